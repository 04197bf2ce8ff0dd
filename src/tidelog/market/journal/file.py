"""The writing connection of a journal's file: compressed blocks of records, in transactions. Synchronous."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import apsw
import zstandard
from msgspec import structs

from tidelog.errors import ConfigError, Corruption, Fenced, StoreError
from tidelog.market.journal.identity import ID_BYTES, begin_run, end_run, has_log, identify_journal, identity_of
from tidelog.market.journal.pruning import DROPPED_DDL, Dropped, PruneLimits, dropped_of, prune, used_bytes
from tidelog.market.journal.schema import (
    DDL,
    INSERT,
    JOURNAL_ID,
    LOCK_WAIT_MS,
    SCHEMA_VERSION,
    Block,
    StoredBlock,
    is_journal,
    refuse_logless,
    warn_of_missing_log,
)
from tidelog.store.sqlite.connection import READ_WRITE, connect, pragma, refuse_stub, transaction, translated
from tidelog.store.sqlite.opened import OpenedFiles

__all__ = ["JournalWriter", "make_journal", "refuse_existing", "remove_log"]

CHECKPOINT_PAGES = 4_000  # 16 MB: at this size the log is copied into the file
WAL_BYTES_KEPT = 64 * 1024 * 1024
CLOSE_WAIT_MS = 500  # for readers that are in the middle of a block, at the end


class JournalWriter:
    """The writing connection. Opening it begins a run, and fences the earlier writer."""

    def __init__(self, path: str, vfs: str | None = None, *, first_run: int = 1, new_id: bytes | None = None) -> None:
        """Begin a run.

        Args:
            vfs: SQLite's name of another file system.
            first_run: the number of the run if the journal has none of that number or a higher one.
            new_id: the journal's id if it has none yet, 16 bytes; drawn by default.

        Raises:
            ConfigError: the file is no journal, is of another version, or lacks its log.
            Corruption: it is damaged.
            StoreError: it cannot be opened or written.
        """
        self.written_bytes = 0  # blocks of this run, packed
        self.dropped: Dropped | None = None  # by this writer, last
        self._path = path
        self._compress = zstandard.ZstdCompressor(level=3).compress
        if vfs is None:
            refuse_stub(path)
            refuse_logless(path)
        logged = vfs is not None or has_log(path)  # opening makes one
        with translated(path):
            self._connection = connect(path, READ_WRITE, vfs)
            try:
                self._prepare()
                with transaction(self._connection):
                    self.id = self._identity(new_id or os.urandom(ID_BYTES), logged=logged)
                    self.run = self._begin_run(first_run)
                    self.used_bytes = used_bytes(self._connection)  # of the file, as of the last commit
                # a copy of the file alone shall say that a run was open
                self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
                # None: the file system is simulated
                self._files = OpenedFiles(self._connection) if vfs is None else None
            except BaseException:
                self._connection.close()
                raise

    def _prepare(self) -> None:
        """Make the tables of a new file, and set up the connection."""
        connection = self._connection
        connection.set_busy_timeout(LOCK_WAIT_MS)
        made = is_journal(connection, self._path, may_be_empty=True)  # before anything could change the file
        pragma(connection, "synchronous", 2)  # FULL: a commit that was reported survives a power cut
        pragma(connection, "fullfsync", 1)  # macOS: a plain fsync does not reach the disk there
        if not made:
            self._make()
        pragma(connection, "journal_mode", "wal")
        pragma(connection, "journal_size_limit", WAL_BYTES_KEPT)
        connection.wal_autocheckpoint(CHECKPOINT_PAGES)

    def _identity(self, new_id: bytes, *, logged: bool) -> bytes:
        """The journal's id, drawn now if it has none."""
        self._connection.execute(DROPPED_DDL)  # an older journal has no such table yet
        identify_journal(self._connection, new_id)
        identity = identity_of(self._connection)
        assert identity is not None
        if not logged:
            warn_of_missing_log(self._path, identity)
        return identity.id

    def _begin_run(self, first_run: int) -> int:
        query = "SELECT max(coalesce(max(run), 0) + 1, ?) FROM runs"
        run: int = self._connection.execute(query, (first_run,)).get
        self._connection.execute("INSERT INTO runs VALUES (?, 1, 0)", (run,))
        begin_run(self._connection, run)
        return run

    def _make(self) -> None:
        """Make the tables in the file itself, so that it is a journal even without its log."""
        with transaction(self._connection):
            if not is_journal(self._connection, self._path, may_be_empty=True):
                self._connection.execute(DDL)
                self._connection.pragma("application_id", JOURNAL_ID)
                self._connection.pragma("user_version", SCHEMA_VERSION)

    def commit(self, blocks: Sequence[Block]) -> None:
        """Write the blocks, which follow on what is there, as one transaction.

        Raises:
            Fenced: another writer has begun a run since.
            Displaced: the file, or its log, was deleted or replaced: nothing more is ever written.
            Full, Busy, StoreError: nothing was written; the same blocks may be tried again.
        """
        rows = [self._row(block) for block in blocks]
        with translated(self._path), self._transaction():
            newest = self._connection.execute("SELECT max(run) FROM runs").get
            if newest != self.run:
                raise Fenced(f"{self._path}: run {newest} has taken the journal over from run {self.run}")
            self._connection.executemany(INSERT, map(structs.astuple, rows))
            self._connection.execute("UPDATE runs SET last_seq = ? WHERE run = ?", (blocks[-1].last_seq, self.run))
            used = used_bytes(self._connection)
        self.used_bytes = used
        self.written_bytes += sum([len(row.frames) for row in rows])

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """A transaction of the files that were opened, and of no others."""
        with transaction(self._connection):
            yield
            if self._files is not None:
                self._files.check()

    def _row(self, block: Block) -> StoredBlock:
        frames = self._compress(block.packed())
        row = StoredBlock(
            block.run,
            block.first_seq,
            block.count,
            block.first_us,
            block.last_us,
            block.marks,
            block.restart_seq,
            sha256=b"",
            frames=frames,
        )
        return structs.replace(row, sha256=row.digest())

    def import_run(self, blocks: Sequence[Block]) -> None:
        """Write blocks of an older run, as an export has them. Only into a journal that never had it."""
        rows = [self._row(block) for block in blocks]
        with translated(self._path), self._transaction():
            for block in blocks:
                self._connection.execute(
                    "INSERT INTO runs VALUES (?1, ?2, ?3) ON CONFLICT (run) DO UPDATE SET last_seq = ?3",
                    (block.run, block.first_seq, block.last_seq),
                )
            self._connection.executemany(INSERT, map(structs.astuple, rows))

    def forget_run(self) -> None:
        """Take back the run that opening began and nothing was written to: for an import."""
        with translated(self._path):
            self._connection.execute("DELETE FROM runs WHERE run = ? AND last_seq = 0", (self.run,))

    def adopt_identity(self, journal: bytes | None) -> None:
        """Be the journal that an export was made of, if that had an id."""
        if journal is not None:
            with translated(self._path):
                self._connection.execute("UPDATE identity SET id = ?", (journal,))
            self.id = journal

    def prune(self, bounds: PruneLimits) -> int:
        """Drop the oldest blocks; how many. Not all that could go in one call: call again while there are some."""
        with translated(self._path), self._transaction():
            blocks = prune(self._connection, bounds)
            used, dropped = used_bytes(self._connection), dropped_of(self._connection)
        self.used_bytes, self.dropped = used, dropped
        return blocks

    def close(self) -> None:
        """End the run in order: all of it is in the file then, unless a reader is slow to leave an older state.

        Raises:
            Displaced: see `commit`. It is closed all the same.
        """
        with translated(self._path):
            try:
                self._connection.set_busy_timeout(CLOSE_WAIT_MS)
                with self._transaction():
                    end_run(self._connection, self.run)
                with suppress(apsw.BusyError):
                    self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
            finally:
                self._connection.close()


def make_journal(path: str, first_run: int, vfs: str | None = None, *, new_id: bytes) -> bytes:
    """Make a new journal whose runs have higher numbers than `first_run`; its id. ConfigError: there is a file."""
    refuse_existing(path)
    writer = JournalWriter(path, vfs, first_run=first_run, new_id=new_id)
    writer.close()
    return writer.id


def refuse_existing(path: str) -> None:
    """ConfigError: there is something at the path of a journal that is to be new."""
    if os.path.exists(path):
        raise ConfigError(f"{path} exists: move it away first, or give the new journal another path")


def remove_log(path: str, vfs: str | None = None) -> None:
    """Remove what SQLite keeps beside a journal that nobody has open any more: a reader that closes last leaves it."""
    with suppress(StoreError, Corruption, ConfigError), translated(path):
        connection = connect(path, READ_WRITE, vfs)
        try:
            connection.pragma("application_id")  # SQLite looks at the log when it reads for the first time
        finally:
            connection.close()
