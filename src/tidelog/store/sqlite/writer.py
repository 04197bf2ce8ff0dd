"""The writing connection of a SQLite store. Synchronous: it lives on one worker thread, never on two.

Each public method is one whole transaction, so that a caller which is cancelled while it waits leaves
either all of it or nothing.
"""

from collections.abc import Callable, Iterator, Sequence

import apsw

from tidelog.batch import INT_MAX, TABLES, Batch, Checkpoint, Outcome, Row, Rows, Table, Value
from tidelog.store import migrations
from tidelog.store.fence import is_settled, key_taken
from tidelog.store.query import column_list, drop_query
from tidelog.store.sqlite.connection import (
    APPLICATION_ID,
    READ_WRITE,
    connect,
    extended_code,
    identify,
    pragma,
    transaction,
    translated,
)
from tidelog.store.sqlite.wide import stored

__all__ = ["Writer", "applied_migrations", "read_checkpoints"]

PAGE_BYTES = 8_192  # of a new file: a tenth faster to fill than 4,096, and still small for random hashes
CACHE_KIB = 65_536  # pages of the indexes that inserts hit at random
CHECKPOINT_PAGES = 2_000  # 16 MB: at this size the log is copied into the file, as far as readers allow
WAL_PAGES_MAX = 16_000  # 128 MB: past this the log is cut, and the writer waits for readers to allow it
WAL_CUT_WAIT_MS = 500  # ... so long, and tries again when the log has grown by CHECKPOINT_PAGES

_DUPLICATE_KEY = {
    apsw.SQLITE_CONSTRAINT_PRIMARYKEY,
    apsw.SQLITE_CONSTRAINT_UNIQUE,
    apsw.SQLITE_CONSTRAINT_ROWID,
}

MIGRATIONS_DDL = """
CREATE TABLE IF NOT EXISTS migrations (
    number INTEGER PRIMARY KEY, name TEXT NOT NULL, sha256 TEXT NOT NULL, applied_at TEXT NOT NULL
) STRICT
"""


class _Statements:
    """The statements that write one table."""

    def __init__(self, table: Table) -> None:
        names = column_list(table.names)
        marks = ", ".join("?" * len(table.columns))
        others = [name for name in table.names if name not in table.key]
        replaced = ", ".join(f'"{name}" = excluded."{name}"' for name in others)
        self.add = f'INSERT INTO "{table.name}" ({names}) VALUES ({marks})'
        self.put = f"{self.add} ON CONFLICT ({column_list(table.key)}) DO UPDATE SET {replaced}"
        self.rollback = (
            f'DELETE FROM "{table.name}" WHERE "{table.scope}" = ? AND "{table.height}" > ? AND "{table.height}" <= ?'
        )


def _stored(table: Table, row: Row) -> Sequence[Value]:
    """A row with an integer beyond 64 bits; OverflowError where the column takes none."""
    for name, value in zip(table.names, row, strict=False):
        if isinstance(value, int) and value > INT_MAX and name not in table.wide:
            raise OverflowError(f"{table.name}.{name} takes signed 64 bits, not {value}")
    return stored(row)


def read_checkpoints(connection: apsw.Connection, source: str | None = None) -> list[Checkpoint]:
    text = "SELECT source, epoch, commit_seq, position FROM checkpoints"
    rows = (
        connection.execute(f"{text} ORDER BY source")
        if source is None
        else connection.execute(f"{text} WHERE source = ?", (source,))
    )
    return [Checkpoint(*row) for row in rows]


def applied_migrations(connection: apsw.Connection) -> dict[int, migrations.Record]:
    rows = connection.execute("SELECT number, name, sha256 FROM migrations")
    return {number: migrations.Record(name, sha256) for number, name, sha256 in rows}


class Writer:
    """Owns the writing connection.

    `_wal_pages` is the length of the log as of our last commit, `_cut_pages` the length to cut it at.
    """

    def __init__(self, path: str, vfs: str | None, reached: Callable[[str], None]) -> None:
        self._path = path
        self._reached = reached
        self._statements = {table.name: _Statements(table) for table in TABLES}
        self._shipped = migrations.shipped("tidelog.store.sqlite")
        self._wal_pages = 0
        self._cut_pages = WAL_PAGES_MAX
        with translated(path):
            self._connection = connect(path, READ_WRITE, vfs)
            try:
                identify(self._connection, path)  # before anything could change the file
                self._configure()
            except BaseException:
                self._connection.close()
                raise

    def _configure(self) -> None:
        connection = self._connection
        connection.pragma("page_size", PAGE_BYTES)  # an existing file keeps its own
        pragma(connection, "journal_mode", "wal")
        pragma(connection, "synchronous", 2)  # FULL: a commit that was reported survives a power cut
        pragma(connection, "fullfsync", 1)  # macOS: a plain fsync does not reach the disk there
        pragma(connection, "foreign_keys", 0)
        pragma(connection, "cache_size", -CACHE_KIB)
        pragma(connection, "journal_size_limit", WAL_PAGES_MAX * PAGE_BYTES)
        connection.set_wal_hook(self._note_wal)  # in place of the automatic checkpoint

    def _note_wal(self, connection: apsw.Connection, database: str, pages: int) -> int:
        self._wal_pages = pages
        return apsw.SQLITE_OK

    def migrate(self) -> list[int]:
        """Apply what is missing, each migration in its transaction."""
        numbers: list[int] = []
        with translated(self._path):
            while True:
                with transaction(self._connection):  # nobody else migrates between the look and the leap
                    if not identify(self._connection, self._path):
                        self._connection.pragma("application_id", APPLICATION_ID)
                    self._connection.execute(MIGRATIONS_DDL)
                    missing = migrations.pending(
                        applied_migrations(self._connection), self._shipped, location=self._path
                    )
                    if not missing:
                        return numbers
                    migration = missing[0]
                    self._connection.execute(migration.sql)
                    self._connection.execute(
                        "INSERT INTO migrations VALUES (?, ?, ?, strftime('%Y-%m-%dT%H:%M:%SZ', 'now'))",
                        (migration.number, migration.name, migration.sha256),
                    )
                numbers.append(migration.number)

    def acquire(self, source: str) -> Checkpoint:
        with translated(self._path), transaction(self._connection):
            row = self._connection.execute(
                "INSERT INTO checkpoints (source, epoch, commit_seq, position) VALUES (?, 1, 0, NULL)"
                " ON CONFLICT (source) DO UPDATE SET epoch = epoch + 1"
                " RETURNING source, epoch, commit_seq, position",
                (source,),
            ).get
            return Checkpoint(*row)

    def commit(self, batch: Batch) -> Outcome:
        """See `Store.commit`. The durable step: everything that changes rows goes through here."""
        with translated(self._path):
            self._bound_wal()
            with transaction(self._connection):
                held = read_checkpoints(self._connection, batch.before.source)
                if is_settled(batch, held[0] if held else None):
                    return Outcome.ALREADY
                if batch.rollback is not None:
                    bounds = (batch.rollback.scope, batch.rollback.keep, batch.rollback.last)
                    for table in batch.rollback.tables:
                        self._connection.execute(self._statements[table.name].rollback, bounds)
                for drop in batch.drop:
                    self._connection.execute(*drop_query(drop, mark="?"))
                self._reached("store.rolled_back")
                for rows in batch.add:
                    self._write(self._statements[rows.table.name].add, rows)
                for rows in batch.put:
                    self._write(self._statements[rows.table.name].put, rows)
                self._connection.execute(
                    "UPDATE checkpoints SET epoch = ?, commit_seq = ?, position = ? WHERE source = ?",
                    (batch.after.epoch, batch.after.commit_seq, batch.after.position, batch.after.source),
                )
                self._reached("store.written")
            self._reached("store.committed")
        return Outcome.COMMITTED

    def _write(self, statement: str, rows: Rows) -> None:
        """Run the statement for each row. Rows are walked once and never gathered: they may be on disk."""
        last: Row | None = None

        def walk() -> Iterator[Row]:
            nonlocal last
            for last in rows.rows:  # noqa: UP028 `yield from` would not keep the last one
                yield last

        walking = walk()
        try:
            while True:
                try:
                    self._connection.executemany(statement, walking)
                    break
                except OverflowError:  # an integer beyond 64 bits: so rare that looking for them would cost more
                    if last is None or not rows.table.wide:
                        raise
                    self._connection.execute(statement, _stored(rows.table, last))
        except apsw.ConstraintError as error:
            if extended_code(error) in _DUPLICATE_KEY:
                raise key_taken(rows.table, last, str(error)) from error
            raise ValueError(f"a row does not fit {rows.table.name}: {error}") from error
        except (apsw.MismatchError, apsw.BindingsError) as error:
            raise ValueError(f"a row does not fit {rows.table.name}: {error}") from error

    def _bound_wal(self) -> None:
        """Copy the log into the file when it is long, and cut it when it is too long.

        Done ahead of a commit: what goes wrong here then has changed nothing, as `Full` promises.
        """
        if self._wal_pages < CHECKPOINT_PAGES:
            return
        if self._wal_pages < self._cut_pages:
            self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
            return
        self._connection.set_busy_timeout(WAL_CUT_WAIT_MS)
        try:
            self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
            self._wal_pages, self._cut_pages = 0, WAL_PAGES_MAX
        except apsw.BusyError:  # a reader still needs the old end of the log
            self._cut_pages = self._wal_pages + CHECKPOINT_PAGES
        finally:
            self._connection.set_busy_timeout(0)

    def close(self) -> None:
        with translated(self._path):
            self._connection.close()
