"""The writing connection of a SQLite store. Synchronous: it lives on one worker thread, never on two.

Each public method is one whole transaction, so that a caller which is cancelled while it waits leaves
either all of it or nothing.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress

import apsw

from tidelog.batch import INT_MAX, Batch, Checkpoint, Outcome, Rollback, Row, Table, Value
from tidelog.errors import Displaced
from tidelog.store import migrations
from tidelog.store.ddl import SQLITE
from tidelog.store.fence import is_settled, key_taken
from tidelog.store.limits import STORE_LIMITS, SqliteLimits
from tidelog.store.query import CHECKPOINT_COLUMNS, column_list, drop_query
from tidelog.store.segments import heights_of, parts
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
from tidelog.store.sqlite.opened import OpenedFiles
from tidelog.store.sqlite.packing import from_packed, load, portions
from tidelog.store.sqlite.segments import add_fingerprints, enter_segments, shortening, take_places
from tidelog.store.sqlite.wide import stored, texts
from tidelog.telemetry import logger

__all__ = ["Writer", "applied_migrations", "read_checkpoints"]

_log = logger("store")

PAGE_BYTES = 16_384  # of a new file: a tenth faster to fill than 8,192, see bench/README.md. An old one keeps its own.
CACHE_KIB = 32_768  # pages that the inserts of one commit hit again; of a large store no cache holds all

_DUPLICATE_KEY = {
    apsw.SQLITE_CONSTRAINT_PRIMARYKEY,
    apsw.SQLITE_CONSTRAINT_UNIQUE,
    apsw.SQLITE_CONSTRAINT_ROWID,
}

EVENT_SEGMENTS = "event_segments"  # the migration whose tables no SQL file can name

MIGRATIONS_DDL = """
CREATE TABLE IF NOT EXISTS migrations (
    number INTEGER PRIMARY KEY, name TEXT NOT NULL, sha256 TEXT NOT NULL, applied_at TEXT NOT NULL
) STRICT
"""


class _Statements:
    """The statements that write one table, or of a segmented one the rows of a segment."""

    def __init__(self, table: Table, segment: int | None) -> None:
        written = (*table.names, *(text for _, text, _ in table.spelled))
        names = column_list(written)
        marks = ", ".join("?" * len(written))
        packed = from_packed(len(written))
        if segment is not None:  # as a literal: rows need not carry it
            names, marks, packed = f'{names}, "segment"', f"{marks}, {segment}", from_packed(len(written), segment)
        others = [name for name in written if name not in table.key]
        replaced = ", ".join(f'"{name}" = excluded."{name}"' for name in others)
        self.add = f'INSERT INTO "{table.name}" ({names}) VALUES ({marks})'
        self.add_packed = f'INSERT INTO "{table.name}" ({names}) {packed}'
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
    """The checkpoint of a source, or all of them in the order of their sources."""
    text = f"SELECT {CHECKPOINT_COLUMNS} FROM checkpoints"
    rows = (
        connection.execute(f"{text} ORDER BY source")
        if source is None
        else connection.execute(f"{text} WHERE source = ?", (source,))
    )
    return [Checkpoint(*row) for row in rows]


def applied_migrations(connection: apsw.Connection) -> dict[int, migrations.Record]:
    """What the file records of its migrations, by number."""
    rows = connection.execute("SELECT number, name, sha256 FROM migrations")
    return {number: migrations.Record(name, sha256) for number, name, sha256 in rows}


class Writer:
    """Owns the writing connection.

    `_files` are None before the first transaction, and on a file system that is simulated. `_wal_pages` is the length
    of the log as of our last commit, `_cut_pages` the length to cut it at. `_unpacked` says why rows are bound one by
    one; None: they are packed.
    """

    def __init__(
        self,
        path: str,
        vfs: str | None,
        reached: Callable[[str], None],
        limits: SqliteLimits = STORE_LIMITS.sqlite,
    ) -> None:
        self._limits = limits
        self._path = path
        self._reached = reached
        self._simulated = vfs is not None
        self._files: OpenedFiles | None = None
        self._statements: dict[str, tuple[int | None, _Statements]] = {}  # by table: of the segment written last
        self._shipped = migrations.shipped("tidelog.store.sqlite")
        self._migrated: list[int] = []
        self._wal_pages = 0
        self._cut_pages = self._limits.wal_pages_max
        with translated(path):
            self._connection = connect(path, READ_WRITE, vfs)
            try:
                identify(self._connection, path)  # before anything could change the file
                self._configure()
            except BaseException:
                self._connection.close()
                raise

    def _of(self, table: Table, segment: int | None = None) -> _Statements:
        held = self._statements.get(table.name)
        if held is None or held[0] != segment:
            held = self._statements[table.name] = (segment, _Statements(table, segment))
        return held[1]

    def _configure(self) -> None:
        connection = self._connection
        connection.pragma("page_size", PAGE_BYTES)  # an existing file keeps its own
        pragma(connection, "journal_mode", "wal")
        pragma(connection, "synchronous", 2)  # FULL: a commit that was reported survives a power cut
        pragma(connection, "fullfsync", 1)  # macOS: a plain fsync does not reach the disk there
        pragma(connection, "foreign_keys", 0)
        pragma(connection, "cache_size", -CACHE_KIB)
        pragma(connection, "journal_size_limit", self._limits.wal_pages_max * PAGE_BYTES)
        connection.set_wal_hook(self._note_wal)  # in place of the automatic checkpoint
        self._unpacked = load(connection)

    def _note_wal(self, connection: apsw.Connection, database: str, pages: int) -> int:
        self._wal_pages = pages
        return apsw.SQLITE_OK

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """A transaction of the files that were opened, and of no others."""
        with transaction(self._connection):
            if self._files is None and not self._simulated:
                self._files = OpenedFiles(self._connection)
            self._check_files()
            yield
            self._check_files()

    def _check_files(self) -> None:
        if self._files is not None:
            self._files.check()

    def migrate(self) -> list[int]:
        """Bring the file up to date; the numbers of the migrations that it got by this and earlier tries.

        A file that holds nothing yet gets the schema in one transaction, which is ten times as fast as what led to
        it. Later each migration has its own.
        """
        with translated(self._path):
            while True:
                with self._transaction():  # nobody else migrates between the look and the leap
                    if not identify(self._connection, self._path):
                        self._connection.pragma("application_id", APPLICATION_ID)
                    self._connection.execute(MIGRATIONS_DDL)
                    missing = migrations.pending(
                        applied_migrations(self._connection), self._shipped, location=self._path
                    )
                    if not missing:
                        break
                    done = self._migrate(missing)
                    self._connection.executemany(
                        "INSERT INTO migrations VALUES (?, ?, ?, strftime('%Y-%m-%dT%H:%M:%SZ', 'now'))",
                        [(each.number, each.name, each.sha256) for each in done],
                    )
                self._migrated.extend(each.number for each in done)
                with suppress(apsw.BusyError):  # or the log would have at the end what all of them have written
                    self._bound_wal()
            # What a statement of many rows keeps until its end, some megabytes, goes into memory: not every machine has
            # a folder for it. Not before this: a migration sorts all rows of a table.
            pragma(self._connection, "temp_store", 2)
        return list(self._migrated)

    def _migrate(self, missing: Sequence[migrations.Migration]) -> Sequence[migrations.Migration]:
        """Apply the first of the migrations that are missing, or to an empty file all that the schema has; which."""
        if len(missing) == len(self._shipped):
            schema = migrations.schema("tidelog.store.sqlite")
            if schema.number <= len(missing):
                self._connection.execute(schema.sql)
                return missing[: schema.number]
        step = missing[0]
        _log.info("store_migrating", step=step.number, name=step.name, store=self._path)
        self._connection.execute(step.sql)
        if step.name == EVENT_SEGMENTS:
            enter_segments(self._connection)
        return missing[:1]

    def acquire(self, source: str, number: int) -> Checkpoint:
        with translated(self._path), self._transaction():
            row = self._connection.execute(
                f"INSERT INTO checkpoints ({CHECKPOINT_COLUMNS}) VALUES (?, 1, 0, NULL, ?)"
                " ON CONFLICT (source) DO UPDATE SET epoch = epoch + 1, writer = excluded.writer"
                f" RETURNING {CHECKPOINT_COLUMNS}",
                (source, number),
            ).get
            return Checkpoint(*row)

    def commit(self, batch: Batch) -> Outcome:
        """See `Store.commit`. The durable step: everything that changes rows goes through here."""
        heights = heights_of((*batch.add, *batch.put))
        with translated(self._path):
            self._check_files()
            self._bound_wal()
            with self._transaction():
                present = read_checkpoints(self._connection, batch.before.source)
                if is_settled(batch, present[0] if present else None):
                    return Outcome.ALREADY
                for table in batch.create:
                    self._statements.pop(table.name, None)  # another table may have had the name
                    for statement in SQLITE.create(table):
                        self._connection.execute(statement)
                if batch.rollback is not None:
                    self._roll_back(batch.rollback)
                for drop in batch.drop:
                    self._connection.execute(*drop_query(drop, mark="?"))
                self._reached("store.rolled_back")
                places = take_places(self._connection, heights, self._limits.segment_rows)
                for rows in batch.add:
                    for segment, part in parts(rows, places):
                        self._add(self._of(rows.table, segment), rows.table, part)
                for rows in batch.put:
                    for segment, part in parts(rows, places):
                        self._write(self._of(rows.table, segment).put, rows.table, part)
                add_fingerprints(self._connection, places, self._limits.fingerprints)
                for table in batch.discard:
                    for statement in SQLITE.discard(table):
                        self._connection.execute(statement)
                self._connection.execute(
                    "UPDATE checkpoints SET epoch = ?, commit_seq = ?, position = ? WHERE source = ?",
                    (batch.after.epoch, batch.after.commit_seq, batch.after.position, batch.after.source),
                )
                self._reached("store.written")
            self._reached("store.committed")
        return Outcome.COMMITTED

    def _roll_back(self, rollback: Rollback) -> None:
        bounds = (rollback.scope, rollback.keep, rollback.last)
        with shortening(self._connection, rollback):
            for table in rollback.tables:
                self._connection.execute(self._of(table).rollback, bounds)

    def _add(self, statements: _Statements, table: Table, rows: Iterable[Row]) -> None:
        """Insert rows: packed where that is to be had and pays, else one by one. They are walked once here too."""
        if self._unpacked is not None or table.spelled:
            self._write(statements.add, table, rows)
            return
        for part, packed in portions(rows):
            if packed is not None:
                try:
                    self._connection.execute(statements.add_packed, (packed,))
                    continue
                except (apsw.ConstraintError, apsw.MismatchError, apsw.SQLError):
                    pass  # nothing of it was added. One by one, they go in, or the row that does not is named.
            self._write(statements.add, table, part)

    def _write(self, statement: str, table: Table, rows: Iterable[Row]) -> None:
        """Run the statement for each row. Rows are walked once and never gathered: they may be on disk."""
        last: Row | None = None
        spelled = table.spelled

        def walk() -> Iterator[Row]:
            nonlocal last
            for last in rows:
                yield last if not spelled else (*last, *texts(last, spelled))

        walking = walk()
        try:
            while True:
                try:
                    self._connection.executemany(statement, walking)
                    break
                except OverflowError:  # an integer beyond 64 bits: so rare that looking for them would cost more
                    if last is None or not table.wide:
                        raise
                    self._connection.execute(statement, (*_stored(table, last), *texts(last, spelled)))
        except apsw.ConstraintError as error:
            if extended_code(error) in _DUPLICATE_KEY:
                raise key_taken(table, last, str(error)) from error
            raise ValueError(f"a row does not fit {table.name}: {error}") from error
        except (apsw.MismatchError, apsw.BindingsError) as error:
            raise ValueError(f"a row does not fit {table.name}: {error}") from error

    def _bound_wal(self) -> None:
        """Copy the log into the file when it is long, and cut it when it is too long.

        Done ahead of a commit: what goes wrong here then has changed nothing, as `Full` promises.
        """
        if self._wal_pages < self._limits.checkpoint_pages:
            return
        if self._wal_pages < self._cut_pages:
            self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
            return
        self._connection.set_busy_timeout(self._limits.wal_cut_wait_ms)
        try:
            self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
            self._wal_pages, self._cut_pages = 0, self._limits.wal_pages_max
        except apsw.BusyError:  # a reader still needs the old end of the log
            self._cut_pages = self._wal_pages + self._limits.checkpoint_pages
        finally:
            self._connection.set_busy_timeout(0)

    def close(self) -> None:
        with suppress(Displaced):  # said by who wrote last; what matters now is that closing changes nothing
            self._check_files()
        with translated(self._path):
            self._connection.close()
