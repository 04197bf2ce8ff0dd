"""A journal as text: `.jsonl.zst`, one JSON object a line. Byte for byte what the journal holds, both ways.

`{"run":1,"seq":7,"at_us":1690000000000000,"kind":"in","text":"..."}`; a payload that is no UTF-8 is in
`base64` instead. The last line, `{"records":n,"journal":id}`, says that nothing is missing, and which journal it was.
"""

import base64
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec
import zstandard
from msgspec import Struct

from tidelog.errors import ConfigError, Corruption, Full
from tidelog.filelock import FileLock
from tidelog.market.events import EventId
from tidelog.market.journal.file import JournalWriter
from tidelog.market.journal.frame_lines import read_lines
from tidelog.market.journal.reader import JournalReader
from tidelog.market.journal.schema import Block
from tidelog.market.records import BEGINNING, JOURNALED, Kind, Record
from tidelog.store.sqlite.connection import NEW_FILE_MODE

IMPORT_BLOCK_BYTES = 1024 * 1024
_KINDS = {kind.name.lower(): kind for kind in JOURNALED}
_BEGINNINGS = (b'{"run":', b'{"records":')  # of the first line


class _Line(Struct, omit_defaults=True):
    run: int = 0
    seq: int = 0
    at_us: int = 0
    kind: str = ""
    text: str | None = None
    base64: str | None = None
    restart: bool = False
    records: int | None = None
    journal: str | None = None  # in hex; None of a journal that has no id yet


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Line).decode


def export_journal(reader: JournalReader, path: str, *, after: EventId = BEGINNING) -> int:
    """Write every record after an id to a new file; how many. What is left of a failed try is no file.

    Raises:
        ConfigError: the file cannot be made there.
        Full: no room is left for it.
    """
    try:
        file = open(path, "xb", opener=_private)  # noqa: SIM115 - `_exported` closes it
    except OSError as error:
        raise ConfigError(f"{path} cannot be made: {error.strerror}") from None
    try:
        return _exported(reader, file, after)
    except BaseException as error:
        Path(path).unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise Full(f"{path} could not be written: {error.strerror}") from None
        raise


def _exported(reader: JournalReader, to: BinaryIO, after: EventId) -> int:
    with to as file:
        while (count := _written(reader, file, after)) is None:
            file.seek(0)
            file.truncate()
    return count


def _written(reader: JournalReader, file: BinaryIO, after: EventId) -> int | None:
    """Write all records that are there; None: some were dropped meanwhile, and what was written has a hole there."""
    count = 0
    with zstandard.ZstdCompressor(write_checksum=True).stream_writer(file, closefd=False) as out:
        for record in reader.records(after):
            if record.kind is Kind.LOST:
                if count:
                    return None
                continue  # an export has what is there
            out.write(_encode(_line(record)) + b"\n")
            count += 1
        identity = reader.identity
        out.write(_encode(_Line(records=count, journal=None if identity is None else identity.id.hex())) + b"\n")
    return count


def _private(path: str, flags: int) -> int:
    """Open a new file that is its owner's alone, as the journal is."""
    return os.open(path, flags, NEW_FILE_MODE)


def _line(record: Record) -> _Line:
    try:
        text, encoded = record.payload.decode(), None
    except UnicodeDecodeError:
        text, encoded = None, base64.b64encode(record.payload).decode()
    run, seq = record.id
    return _Line(run, seq, record.at_us, record.kind.name.lower(), text, encoded, record.restart)


def is_export(path: str) -> bool:
    """Whether a file begins as an export does, packed or not. ConfigError if it cannot be read."""
    first = next((line for line in read_lines(path, []) if line.strip()), b"")
    if not first.startswith(_BEGINNINGS):
        return False
    try:
        line = _decode(first)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return line.records is not None or (line.run > 0 and line.kind in _KINDS)


def read_export(path: str, on_end: Callable[[bytes | None], None] = lambda journal: None) -> Iterator[Record]:
    """The records of an export, packed or not.

    Args:
        on_end: called at the end with the id of the journal that was exported, if it had one.

    Raises:
        ConfigError: it cannot be read.
        Corruption: it is damaged or cut short.
    """
    count, whole = 0, False
    notes: list[str] = []
    try:
        for number, text in enumerate(read_lines(path, notes), 1):
            line = _decode(text)
            if line.records is not None:
                whole = line.records == count
                on_end(None if line.journal is None else bytes.fromhex(line.journal))
                continue
            if whole:
                raise Corruption(f"{path}: line {number} should not be there")
            count += 1
            payload = line.text.encode() if line.text is not None else base64.b64decode(line.base64 or "")
            yield Record(EventId(line.run, line.seq), line.at_us, _KINDS[line.kind], payload, line.restart)
    except (msgspec.DecodeError, ValueError, KeyError) as error:
        raise Corruption(f"{path} is damaged after record {count}: {error}") from None
    for note in notes:
        raise Corruption(f"{path} is damaged after record {count}: {note}")
    if not whole:
        raise Corruption(f"{path} ends after record {count}, before its own end")


def import_journal(source: str, path: str) -> int:
    """Make a new journal of an export; how many records. It is at `path` once it is whole: a killed try leaves none.

    Raises:
        ConfigError: there is something at `path` already, or another process imports there.
        Corruption: the export is damaged, cut short or has a hole.
    """
    making = f"{path}.import"
    with FileLock(f"{making}.lock", temporary=True) as lock:
        if not lock.take():
            raise ConfigError(f"process {lock.holder()} imports a journal to {path} already")
        if Path(path).exists():
            raise ConfigError(f"{path} exists: an import makes a new journal")
        _remove(making)  # of one that was killed
        try:
            count = _import(source, making)
        except BaseException:
            _remove(making)
            raise
        os.rename(making, path)
    return count


def _remove(path: str) -> None:
    for suffix in ("", "-wal", "-shm"):
        Path(path + suffix).unlink(missing_ok=True)


def _import(source: str, path: str) -> int:
    count = 0
    writer = JournalWriter(path)
    try:
        writer.forget_run()
        block: Block | None = None
        for record in read_export(source, on_end=writer.adopt_identity):
            run, seq = record.id
            if block is not None and run != block.run:
                if run < block.run:
                    raise Corruption(f"{source}: record {run}.{seq} comes after {block.run}.{block.last_seq}")
                if seq != 1:  # retention drops from the beginning alone: only the first run may lack some
                    raise Corruption(f"{source}: record {run}.1 is missing")
            if block is not None and (run != block.run or block.size >= IMPORT_BLOCK_BYTES or record.restart):
                if run == block.run and seq != block.last_seq + 1:
                    raise Corruption(f"{source}: record {run}.{block.last_seq + 1} is missing")
                writer.import_run([block])
                block = None
            if block is None:
                block = Block(run, seq)
            elif seq != block.last_seq + 1:
                raise Corruption(f"{source}: record {run}.{block.last_seq + 1} is missing")
            block.add(record.kind, record.at_us, record.payload, len(record.payload), restart=record.restart)
            count += 1
        if block is not None:
            writer.import_run([block])
    finally:
        writer.close()
    return count
