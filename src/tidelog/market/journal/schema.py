"""What a journal's file is made of: its tables, its blocks as rows, and how it is identified.

A block is one row and was committed whole or not at all. It carries a SHA-256 over its bytes and its place, and
`runs` says which numbers a run has, so that a changed, a missing and a misplaced block are each `Corruption`.

A *snapshot* is a record from which reading can begin, because it says all that came before: the start of a run, or the
control record of a core's whole state. Retention lets a journal begin nowhere else. In the file it is a restart.
"""

import hashlib
import os

import apsw
from msgspec import Struct

from tidelog.errors import ConfigError
from tidelog.market.journal.identity import Identity, has_log, log_of
from tidelog.market.records import Kind, PackedRecord, array_head, decode_records, encode_record
from tidelog.store.sqlite.connection import HEADER_BYTES, READ_ONLY, reading
from tidelog.telemetry import logger

JOURNAL_ID = 0x7469646A  # "tidj", in the file's header
SCHEMA_VERSION = 1
LOCK_WAIT_MS = 5_000  # for another writer that is just leaving
WAL_FORMAT = 2  # https://sqlite.org/fileformat2.html: bytes 18 and 19 of a file whose news are in a log

DDL = """
CREATE TABLE runs (
    run INTEGER PRIMARY KEY,
    first_seq INTEGER NOT NULL, -- the first that is still here
    last_seq INTEGER NOT NULL
) STRICT;
CREATE TABLE blocks (
    run INTEGER NOT NULL,
    first_seq INTEGER NOT NULL,
    count INTEGER NOT NULL,
    first_us INTEGER NOT NULL,
    last_us INTEGER NOT NULL,
    marks INTEGER NOT NULL,     -- how many of its records are markers
    restart_seq INTEGER,        -- the last restart point in it
    sha256 BLOB NOT NULL,
    frames BLOB NOT NULL,       -- zstd over the msgpack array of [kind, at_us, payload]
    PRIMARY KEY (run, first_seq)
) STRICT;
"""

_log = logger("journal")


class StoredBlock(Struct, frozen=True, array_like=True):
    """A row of `blocks`."""

    run: int
    first_seq: int
    count: int
    first_us: int
    last_us: int
    marks: int
    restart_seq: int | None
    sha256: bytes
    frames: bytes

    def digest(self) -> bytes:
        """What `sha256` has to be: over the bytes and their place."""
        place = (self.run, self.first_seq, self.count, self.first_us, self.last_us, self.marks, self.restart_seq)
        return hashlib.sha256(repr(place).encode() + self.frames).digest()


COLUMNS = ", ".join(StoredBlock.__struct_fields__)
INSERT = f"INSERT INTO blocks ({COLUMNS}) VALUES ({','.join('?' * len(StoredBlock.__struct_fields__))})"  # noqa: S608


class Block(Struct):
    """Consecutive records of one run on their way into the file, packed one by one or many at a time."""

    run: int
    first_seq: int
    count: int = 0
    first_us: int = 0
    last_us: int = 0
    size: int = 0  # bytes, roughly
    marks: int = 0
    mark_bytes: int = 0  # of `size`, what these are
    restart_seq: int | None = None
    parts: list[bytes] = []

    @property
    def last_seq(self) -> int:
        return self.first_seq + self.count - 1

    def add(self, kind: Kind, at_us: int, payload: bytes, size: int, *, restart: bool = False) -> int:
        """Add a record of that size; its number."""
        seq = self.add_packed(encode_record((kind.value, at_us, payload)), 1, at_us, size)
        if kind is Kind.CONTROL:
            self.marks += 1
            self.mark_bytes += size
        if restart:
            self.restart_seq = seq
        return seq

    def add_packed(self, packed: bytes, count: int, at_us: int, size: int) -> int:
        """Add records of one time, all of them frames; the number of the last."""
        if self.count == 0:
            self.first_us = at_us
        self.parts.append(packed)
        self.count += count
        self.last_us = at_us
        self.size += size
        return self.last_seq

    def packed(self) -> bytes:
        """All of them, as `encode_records` packs them."""
        return b"".join((array_head(self.count), *self.parts))

    def records(self) -> list[PackedRecord]:
        """All of them again."""
        return decode_records(self.packed())


def is_journal(connection: apsw.Connection, path: str, *, may_be_empty: bool) -> bool:
    """True for a journal, False for an empty file where that is allowed; ConfigError for anything else."""
    try:
        with reading(connection):  # between two reads its recorder may make a journal of it
            application_id = connection.pragma("application_id")
            objects = connection.execute("SELECT count(*) FROM sqlite_schema").get
            version = connection.pragma("user_version")
    except apsw.NotADBError:
        raise ConfigError(f"{path} is not a journal: give --journal another path") from None
    if application_id == JOURNAL_ID:
        if version != SCHEMA_VERSION:
            raise ConfigError(f"{path} has version {version}, and this tidelog reads {SCHEMA_VERSION}")
        return True
    if application_id == 0 and objects == 0 and may_be_empty:
        return False
    raise ConfigError(f"{path} is not a journal: give --journal another path")


def refuse_logless(path: str) -> None:
    """ConfigError for a file that holds nothing yet because all of it was in a log, which is not here."""
    header = header_of(path)
    application = int.from_bytes(header[68:72], "big")
    if len(header) == HEADER_BYTES and header[18:20] == bytes((WAL_FORMAT, WAL_FORMAT)) and application == 0:
        empty = os.path.getsize(path) <= int.from_bytes(header[16:18], "big")
        if empty and not has_log(path):
            raise ConfigError(
                f"{path} holds nothing: what was recorded is in {log_of(path)}, which is not here; put it there, too"
            )


def header_of(path: str) -> bytes:
    """The file's first bytes, none where it cannot be read, which SQLite will say.

    Read by SQLite: for a process that has the file open, closing another descriptor of it would take its locks away
    (https://sqlite.org/howtocorrupt.html, section 2.2).
    """
    try:
        file = apsw.VFSFile("", path, [apsw.SQLITE_OPEN_MAIN_DB | READ_ONLY, 0])
    except apsw.Error:
        return b""
    try:
        return file.xRead(min(HEADER_BYTES, file.xFileSize()), 0)
    except apsw.Error:
        return b""
    finally:
        file.xClose()


def warn_of_missing_log(path: str, identity: Identity) -> None:
    if identity.open_run is not None:
        _log.warning(
            "journal_log_missing",
            path=path,
            run=identity.open_run,
            advice=f"it was not ended in order, and {log_of(path)} is not here: a copy needs both",
        )
