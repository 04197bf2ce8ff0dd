"""The journal's file: a SQLite database of compressed blocks of records. Synchronous; no event loop in here.

A block is one row and was committed whole or not at all. It carries a SHA-256 over its bytes and its place, and
`runs` says which numbers a run has, so that a changed, a missing and a misplaced block are each `Corruption`.

A *restart point* is a record that says everything that a fold of the journal has to know (the start of a run,
or the marker of a full state): a fold can begin there, and retention lets a journal begin nowhere else.
"""

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import apsw
import msgspec
import zstandard
from msgspec import Struct

from tidelog.errors import ConfigError, Corruption, Fenced, StoreError
from tidelog.market.events import EventId
from tidelog.market.journal_identity import (
    ID_BYTES,
    Identity,
    begin_run,
    end_run,
    has_log,
    identify_journal,
    identity_of,
    log_of,
)
from tidelog.market.journal_retention import DROPPED_DDL, Bounds, Dropped, dropped_of, prune, used_bytes
from tidelog.market.records import BEGINNING, JOURNALED, Kind, Record
from tidelog.store.sqlite.connection import (
    HEADER_BYTES,
    READ_ONLY,
    READ_WRITE,
    connect,
    pragma,
    refuse_stub,
    transaction,
    translated,
)
from tidelog.telemetry import logger

JOURNAL_ID = 0x7469646A  # "tidj", in the file's header
SCHEMA_VERSION = 1
BLOCK_RAW_BYTES_MAX = 64 * 1024 * 1024  # unpacked: far above what a block is filled to, far below what hurts
CHECKPOINT_PAGES = 4_000  # 16 MB: at this size the log is copied into the file
WAL_BYTES_KEPT = 64 * 1024 * 1024
LOCK_WAIT_MS = 5_000  # for another writer that is just leaving
CLOSE_WAIT_MS = 500  # for readers that are in the middle of a block, at the end
WAL_FORMAT = 2  # https://sqlite.org/fileformat2.html: bytes 18 and 19 of a file whose news are in a log

_DDL = """
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
_COLUMNS = "run, first_seq, count, first_us, last_us, marks, restart_seq, sha256, frames"


_log = logger("journal")

_KINDS = {kind.value: kind for kind in JOURNALED}


Entry = tuple[int, int, bytes]  # kind, at_us, payload
_Row = tuple[int, int, int, int, int, int, int | None, bytes, bytes]  # as _COLUMNS
_Run = int | None
_Span = tuple[int, int]  # the first and the last seq of a run


class Block(Struct):
    """Consecutive records of one run on their way into the file."""

    run: int
    first_seq: int
    entries: list[Entry] = []
    size: int = 0  # bytes, roughly
    marks: int = 0
    restart_seq: int | None = None

    @property
    def last_seq(self) -> int:
        return self.first_seq + len(self.entries) - 1


_encode_entries = msgspec.msgpack.Encoder().encode
_decode_entries = msgspec.msgpack.Decoder(list[Entry]).decode


def _digest(*fields: int | None, frames: bytes) -> bytes:
    return hashlib.sha256(repr(fields).encode() + frames).digest()


@contextmanager
def _sound(path: str) -> Iterator[None]:
    """As `translated`; a file to which the reader's own questions make no sense, or with other types, is damaged."""
    try:
        with translated(path):
            yield
    except StoreError as error:
        if isinstance(error.__cause__, apsw.SQLError):  # a table, or a column, has another name now
            raise Corruption(f"{path} is damaged: {error.__cause__}") from error
        raise
    except (msgspec.ValidationError, UnicodeDecodeError) as error:
        raise Corruption(f"{path} is damaged: a row holds what nobody wrote ({error})") from error


class JournalWriter:
    """The writing connection. Opening it begins a run, and fences whoever wrote before."""

    run: int
    id: bytes  # of the journal
    used_bytes: int  # of the file, as of the last commit: see `journal_retention`
    written_bytes = 0  # blocks of this run, packed
    dropped: Dropped | None = None  # by this writer, last

    def __init__(self, path: str, vfs: str | None = None, *, first_run: int = 1, new_id: bytes | None = None) -> None:
        """Begin a run.

        Args:
            vfs: SQLite's name of another file system.
            first_run: the number of the run if the journal has none of that number or a higher one.
            new_id: the journal's id if it has none yet; drawn by default.
        """
        self._path = path
        self._compress = zstandard.ZstdCompressor(level=3).compress
        if vfs is None:
            refuse_stub(path)
            _refuse_logless(path)
        logged = vfs is not None or has_log(path)  # opening makes one
        with translated(path):
            self._connection = connect(path, READ_WRITE, vfs)
            try:
                self._open(first_run, new_id or os.urandom(ID_BYTES), logged=logged)
            except BaseException:
                self._connection.close()
                raise

    def _open(self, first_run: int, new_id: bytes, *, logged: bool) -> None:
        connection = self._connection
        connection.set_busy_timeout(LOCK_WAIT_MS)
        is_journal = _identify(connection, self._path, may_be_empty=True)  # before anything could change the file
        pragma(connection, "synchronous", 2)  # FULL: a commit that was reported survives a power cut
        pragma(connection, "fullfsync", 1)  # macOS: a plain fsync does not reach the disk there
        if not is_journal:
            self._make()
        pragma(connection, "journal_mode", "wal")
        pragma(connection, "journal_size_limit", WAL_BYTES_KEPT)
        connection.wal_autocheckpoint(CHECKPOINT_PAGES)
        with transaction(connection):
            connection.execute(DROPPED_DDL)  # an older journal has no such table yet
            identify_journal(connection, new_id)
            identity = identity_of(connection)
            assert identity is not None
            if not logged:
                _warn_of_missing_log(self._path, identity)
            self.id = identity.id
            self.run = connection.execute("SELECT max(coalesce(max(run), 0) + 1, ?) FROM runs", (first_run,)).get
            connection.execute("INSERT INTO runs VALUES (?, 1, 0)", (self.run,))
            begin_run(connection, self.run)
            self.used_bytes = used_bytes(connection)
        # a copy of the file alone shall say that a run was open
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)

    def _make(self) -> None:
        """Make the tables, in the file itself: whatever happens to the log, it can be told that this is a journal."""
        with transaction(self._connection):
            if not _identify(self._connection, self._path, may_be_empty=True):
                self._connection.execute(_DDL)
                self._connection.pragma("application_id", JOURNAL_ID)
                self._connection.pragma("user_version", SCHEMA_VERSION)

    def commit(self, blocks: Sequence[Block]) -> None:
        """Write the blocks, which follow on what is there, as one transaction.

        Raises:
            Fenced: another writer has begun a run since.
            Full, Busy, StoreError: nothing was written; the same blocks may be tried again.
        """
        rows = [self._row(block) for block in blocks]
        with translated(self._path), transaction(self._connection):
            newest = self._connection.execute("SELECT max(run) FROM runs").get
            if newest != self.run:
                raise Fenced(f"{self._path}: run {newest} has taken the journal over from run {self.run}")
            self._connection.executemany(f"INSERT INTO blocks ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?)", rows)  # noqa: S608
            self._connection.execute("UPDATE runs SET last_seq = ? WHERE run = ?", (blocks[-1].last_seq, self.run))
            used = used_bytes(self._connection)
        self.used_bytes = used
        self.written_bytes += sum([len(row[-1]) for row in rows])

    def _row(self, block: Block) -> _Row:
        frames = self._compress(_encode_entries(block.entries))
        first_us, last_us = block.entries[0][1], block.entries[-1][1]
        fields = (block.run, block.first_seq, len(block.entries), first_us, last_us, block.marks, block.restart_seq)
        return (*fields, _digest(*fields, frames=frames), frames)

    def import_run(self, blocks: Sequence[Block]) -> None:
        """Write blocks of an older run, as an export has them. Only into a journal that never held it."""
        rows = [self._row(block) for block in blocks]
        with translated(self._path), transaction(self._connection):
            for block in blocks:
                self._connection.execute(
                    "INSERT INTO runs VALUES (?1, ?2, ?3) ON CONFLICT (run) DO UPDATE SET last_seq = ?3",
                    (block.run, block.first_seq, block.last_seq),
                )
            self._connection.executemany(f"INSERT INTO blocks ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?)", rows)  # noqa: S608

    def forget_run(self) -> None:
        """Take back the run that opening began and nothing was written to: for an import."""
        with translated(self._path):
            self._connection.execute("DELETE FROM runs WHERE run = ? AND last_seq = 0", (self.run,))

    def take_identity(self, journal: bytes | None) -> None:
        """Be the journal that an export was made of, if that had an id."""
        if journal is not None:
            with translated(self._path):
                self._connection.execute("UPDATE identity SET id = ?", (journal,))
            self.id = journal

    def prune(self, bounds: Bounds) -> int:
        """Drop the oldest blocks; how many. Not all that could go in one call: call again while there are some."""
        with translated(self._path), transaction(self._connection):
            blocks = prune(self._connection, bounds)
            used, dropped = used_bytes(self._connection), dropped_of(self._connection)
        self.used_bytes, self.dropped = used, dropped
        return blocks

    def close(self) -> None:
        """End the run in order: all of it is in the file then, unless a reader is slow to leave an older state."""
        with translated(self._path):
            try:
                self._connection.set_busy_timeout(CLOSE_WAIT_MS)
                with transaction(self._connection):
                    end_run(self._connection, self.run)
                with suppress(apsw.BusyError):
                    self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
            finally:
                self._connection.close()


class JournalReader:
    """A read-only connection, also while another process writes. Lives on one thread."""

    def __init__(self, path: str, vfs: str | None = None) -> None:
        self._path = path
        self._ended: tuple[EventId, int] | None = None  # behind which record nothing came, in which state of the file
        if vfs is None:
            _refuse_logless(path)
        logged = vfs is not None or has_log(path)  # opening makes one
        with _sound(path):
            self._connection = connect(path, READ_ONLY, vfs)
            try:
                self._connection.set_busy_timeout(LOCK_WAIT_MS)
                _identify(self._connection, path, may_be_empty=False)
                self.identity = identity_of(self._connection)
            except BaseException:
                self._connection.close()
                raise
        if self.identity is not None and not logged:
            _warn_of_missing_log(path, self.identity)

    def records(self, after: EventId = BEGINNING) -> Iterator[Record]:
        """What comes after an id, up to the end of what is committed by then.

        Raises:
            Corruption: a block is damaged or missing.
        """
        while block := self.block(after):
            yield from block
            after = block[-1].id

    def block(self, after: EventId) -> list[Record]:
        """The rest of the block in which the record after `after` is; empty at the end of the journal.

        Where retention has dropped what would come next, a record of that, `Kind.LOST`, which is in no file: it has
        the id and the time of the last that was dropped. Whoever asks from the beginning asks for what is here.
        """
        run: int | None
        run, seq = after
        records: list[Record] = []
        with _sound(self._path):
            version: int = self._connection.execute("PRAGMA data_version").get
        if self._ended == (after, version):  # nobody has committed since: a follower asks again and again
            return []
        with _sound(self._path), _reading(self._connection):  # one read transaction
            gone = None if after <= BEGINNING else dropped_of(self._connection)
            if gone is not None and after < gone.id:
                return [Record(gone.id, gone.at_us, Kind.LOST, gone.reason.encode())]
            while run is not None and not records:
                span = self._span(run)
                if span is not None and span[1] > seq:
                    records = self._read(run, max(seq + 1, span[0]))
                run = self._run_after(run)
                seq = 0
        self._ended = None if records else (after, version)
        return records

    def _span(self, run: int) -> _Span | None:
        """What `runs` says of a run, held against its blocks: a row of it has no checksum of its own."""
        found = self._connection.execute("SELECT first_seq, last_seq FROM runs WHERE run = ?", (run,)).get
        if found is None:
            return None
        span: _Span = msgspec.convert(found, _Span)
        edges = self._connection.execute(
            "SELECT min(first_seq), (SELECT first_seq + count - 1 FROM blocks WHERE run = ?1"
            " ORDER BY first_seq DESC LIMIT 1) FROM blocks WHERE run = ?1",
            (run,),
        ).get
        if edges != (None, None):
            first, last = msgspec.convert(edges, _Span)
            if not span[0] <= first <= last <= span[1]:
                raise Corruption(f"{self._path}: run {run} has records {first} to {last}, which it knows nothing of")
        return span

    def _run_after(self, run: int) -> int | None:
        """The next run; a table that leads back would be read for ever."""
        following: _Run
        written: _Run
        following, written = (
            msgspec.convert(self._connection.execute(f"SELECT min(run) FROM {table} WHERE run > ?", (run,)).get, _Run)  # noqa: S608
            for table in ("runs", "blocks")
        )
        if following is not None and following <= run:
            raise Corruption(f"{self._path} is damaged: run {following} follows run {run}")
        if written is not None and (following is None or written < following):
            raise Corruption(f"{self._path}: there are records of run {written}, and no such run")
        return following

    def _read(self, run: int, seq: int) -> list[Record]:
        row = self._connection.execute(
            f"SELECT {_COLUMNS} FROM blocks WHERE run = ? AND first_seq <= ? ORDER BY first_seq DESC LIMIT 1",  # noqa: S608
            (run, seq),
        ).get
        block = [] if row is None else self._unpack(row)
        if not block or not block[0].id <= EventId(run, seq) <= block[-1].id:  # a damaged index leads elsewhere
            raise Corruption(f"{self._path}: record {run}.{seq} is missing")
        return [record for record in block if record.id.seq >= seq]

    def _unpack(self, found: Any) -> list[Record]:
        row = msgspec.convert(found, _Row)
        fields, sha256, frames = row[:7], row[7], row[8]
        run, first_seq, count, _, _, _, restart_seq = fields
        if _digest(*fields, frames=frames) != sha256:
            raise Corruption(f"{self._path}: the block at {run}.{first_seq} is damaged: its SHA-256 differs")
        try:
            raw = zstandard.ZstdDecompressor().decompress(frames, max_output_size=BLOCK_RAW_BYTES_MAX)
            entries = _decode_entries(raw)
        except (zstandard.ZstdError, msgspec.DecodeError) as error:
            raise Corruption(f"{self._path}: the block at {run}.{first_seq} cannot be read: {error}") from None
        if len(entries) != count:
            raise Corruption(f"{self._path}: the block at {run}.{first_seq} has {len(entries)} records, not {count}")
        return [
            Record(EventId(run, seq), at_us, _KINDS[kind], payload, seq == restart_seq)
            for seq, (kind, at_us, payload) in enumerate(entries, first_seq)
        ]

    def marks(self, since_us: int) -> Iterator[Record]:
        """Markers of that time and later, from blocks that hold some: little is read."""
        with _sound(self._path):
            rows: list[Any] = self._connection.execute(
                "SELECT run, first_seq FROM blocks WHERE marks > 0 AND last_us >= ? ORDER BY run, first_seq",
                (since_us,),
            ).fetchall()
        for run, first_seq in rows:
            with _sound(self._path):
                block = self._read(run, first_seq)
            yield from (record for record in block if record.kind is Kind.MARK and record.at_us >= since_us)

    def restart_point(self, at: EventId) -> EventId | None:
        """The last restart point of a run up to and including `at`, which a fold has to start at to be there."""
        with _sound(self._path):
            row = self._connection.execute(
                "SELECT run, first_seq, restart_seq FROM blocks WHERE restart_seq IS NOT NULL AND run <= ?1 "
                "AND (run, restart_seq) <= (?1, ?2) ORDER BY run DESC, first_seq DESC LIMIT 1",
                at,
            ).get
        return None if row is None else EventId(row[0], row[2])

    def dropped(self) -> Dropped | None:
        """What is gone from this journal; None: nothing."""
        with _sound(self._path):
            return dropped_of(self._connection)

    def ends(self) -> tuple[EventId, EventId] | None:
        """The first and the last record that are here; None of an empty journal."""
        with _sound(self._path), _reading(self._connection):
            runs: list[Any] = self._connection.execute(
                "SELECT run, first_seq, last_seq FROM runs WHERE last_seq >= first_seq ORDER BY run"
            ).fetchall()
        if not runs:
            return None
        return EventId(runs[0][0], runs[0][1]), EventId(runs[-1][0], runs[-1][2])

    def last(self) -> Record | None:
        """The last record; None of an empty journal."""
        ends = self.ends()
        with translated(self._path):
            return None if ends is None else self._read(*ends[1])[-1]

    def close(self) -> None:
        with translated(self._path):
            self._connection.close()


@contextmanager
def _reading(connection: apsw.Connection) -> Iterator[None]:
    """One read transaction. What ends it by itself, a disk that cannot be read, is what is told."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        if connection.in_transaction:
            with suppress(apsw.Error):  # SQLite may have ended it meanwhile
                connection.execute("ROLLBACK")


def _identify(connection: apsw.Connection, path: str, *, may_be_empty: bool) -> bool:
    """True for a journal, False for an empty file where that is allowed; ConfigError for anything else."""
    try:
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


def make_journal(path: str, first_run: int, vfs: str | None = None) -> bytes:
    """Make a new journal whose runs have higher numbers than `first_run`; its id. ConfigError: there is a file."""
    if os.path.exists(path):
        raise ConfigError(f"{path} exists: move it away first, or give the new journal another path")
    writer = JournalWriter(path, vfs, first_run=first_run)
    writer.close()
    return writer.id


def identity_at(path: str, vfs: str | None = None) -> Identity | None:
    """Which journal a file is; None for one that only an older tidelog has written, or if there is no file."""
    if not os.path.exists(path):
        return None
    reader = JournalReader(path, vfs)
    reader.close()
    return reader.identity


def settle(path: str, vfs: str | None = None) -> None:
    """Remove what SQLite keeps beside a journal that nobody has open any more: a reader that closes last leaves it."""
    with suppress(StoreError, Corruption, ConfigError), translated(path):
        connection = connect(path, READ_WRITE, vfs)
        try:
            connection.pragma("application_id")  # SQLite looks at the log when it reads for the first time
        finally:
            connection.close()


def _refuse_logless(path: str) -> None:
    """ConfigError for a file that holds nothing yet because all of it was in a log, which is not here."""
    try:
        with open(path, "rb") as file:
            header = file.read(HEADER_BYTES)
    except OSError:
        return  # SQLite says what is wrong
    application = int.from_bytes(header[68:72], "big")
    if len(header) == HEADER_BYTES and header[18:20] == bytes((WAL_FORMAT, WAL_FORMAT)) and application == 0:
        empty = os.path.getsize(path) <= int.from_bytes(header[16:18], "big")
        if empty and not has_log(path):
            raise ConfigError(
                f"{path} holds nothing: what was recorded is in {log_of(path)}, which is not here; put it there, too"
            )


def _warn_of_missing_log(path: str, identity: Identity) -> None:
    if identity.open_run is not None:
        _log.warning(
            "journal_log_missing",
            path=path,
            run=identity.open_run,
            advice=f"it was not ended in order, and {log_of(path)} is not here: a copy needs both",
        )
