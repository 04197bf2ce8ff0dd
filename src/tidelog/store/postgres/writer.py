"""The writing connection of a PostgreSQL store: made when it is needed, and again after it was lost.

Each public method is one try. What ends in `Busy` may be tried again; `Lost`, a kind of it, says that the
outcome is not known, and the next try of a commit finds it out by reading the checkpoint under its lock,
which waits for the old backend if that is still at it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from itertools import chain

import asyncpg

from tidelog.batch import TABLES, Batch, Checkpoint, Outcome, Rollback, Row, Rows, Table
from tidelog.errors import ConfigError
from tidelog.store import migrations
from tidelog.store.fence import is_settled, key_taken
from tidelog.store.postgres.connection import NO_WRITES, Address, Link, ReadOnlyServer, connect
from tidelog.store.postgres.partitions import (
    ADVISORY_LOCK,
    Partition,
    ensure_partitions,
    needed_partitions,
)
from tidelog.store.query import column_list, drop_query

__all__ = ["Writer", "applied_migrations", "to_checkpoint"]

PORTION_BYTES_MAX = 8_000_000  # of one COPY: what we gather in memory, and one statement's time
VALUE_BYTES = 12  # a number with its length word
MIGRATION_TIMEOUT_S = 86_400.0  # a new index of a whole chain's transactions takes its hours

OWNER_COMMENT = "tidelog: migrations that were applied"  # tells our table from another program's
MIGRATIONS_DDL = f"""
CREATE TABLE migrations (
    number INTEGER PRIMARY KEY, name TEXT NOT NULL, sha256 TEXT NOT NULL,
    applied_at TIMESTAMPTZ NOT NULL DEFAULT now()
);
COMMENT ON TABLE migrations IS '{OWNER_COMMENT}'
"""
CHECKPOINT_COLUMNS = "source, epoch, commit_seq, position"


def to_checkpoint(record: asyncpg.Record) -> Checkpoint:
    return Checkpoint(record[0], record[1], record[2], record[3])


def _put_statement(table: Table) -> str:
    marks = ", ".join(f"${number}" for number in range(1, len(table.columns) + 1))
    replaced = ", ".join(f'"{name}" = excluded."{name}"' for name in table.names if name not in table.key)
    return (
        f'INSERT INTO "{table.name}" ({column_list(table.names)}) VALUES ({marks})'
        f" ON CONFLICT ({column_list(table.key)}) DO UPDATE SET {replaced}"
    )


async def applied_migrations(link: Link, location: str) -> dict[int, migrations.Record] | None:
    """What the database records, None if nothing yet. ConfigError if the record is another program's."""
    [row] = await link.fetch(
        "SELECT to_regclass('migrations') IS NOT NULL, obj_description(to_regclass('migrations'), 'pg_class')"
    )
    if not row[0]:
        return None
    if row[1] != OWNER_COMMENT:
        raise ConfigError(f"{location} belongs to another program: give tidelog a database of its own")
    rows = await link.fetch("SELECT number, name, sha256 FROM migrations")
    return {number: migrations.Record(name, sha256) for number, name, sha256 in rows}


class Writer:
    """Owns the writing connection.

    `_lock` lets one call at a time use it; `_partitions` are those that are known to exist.
    """

    def __init__(self, address: Address, reached: Callable[[str], None]) -> None:
        self._address = address
        self._reached = reached
        self._link: Link | None = None
        self._lock = asyncio.Lock()
        self._partitions: set[Partition] = set()
        self._put = {table.name: _put_statement(table) for table in TABLES}
        self._shipped = migrations.shipped("tidelog.store.postgres")

    @asynccontextmanager
    async def _linked(self) -> AsyncIterator[Link]:
        """The connection, for one call. Whatever goes wrong, no transaction stays open on it."""
        async with self._lock:
            if self._link is None or not self._link.is_open:
                self._link = await connect(self._address)
            try:
                yield self._link
            except ReadOnlyServer:
                self._link.abandon()  # another connection may find the new primary
                raise
            finally:
                await self._link.end_transaction()

    async def migrate(self) -> list[int]:
        """Apply what is missing, each migration in its transaction."""
        numbers: list[int] = []
        async with self._linked() as link:
            [row] = await link.fetch(
                "SELECT current_setting('server_encoding'), current_setting('transaction_read_only')"
            )
            encoding, read_only = row
            if read_only == "on":
                raise ReadOnlyServer(f"{self._address.location} {NO_WRITES}")
            if encoding != "UTF8":
                raise ConfigError(f"{self._address.location} has encoding {encoding}: it has to be UTF8")
            while True:
                await link.begin()
                await link.execute("SELECT pg_advisory_xact_lock($1)", ADVISORY_LOCK)
                applied = await applied_migrations(link, self._address.location)
                if applied is None:
                    await link.execute(MIGRATIONS_DDL)
                missing = migrations.pending(applied or {}, self._shipped, location=self._address.location)
                if not missing:
                    return numbers
                await self._apply(link, missing[0])
                await link.execute("COMMIT")
                numbers.append(missing[0].number)

    async def _apply(self, link: Link, migration: migrations.Migration) -> None:
        await link.execute("SET LOCAL statement_timeout = 0")
        try:
            await link.run(link.connection.execute(migration.sql), timeout_s=MIGRATION_TIMEOUT_S)
        except Exception as error:
            if isinstance(error.__cause__, asyncpg.DuplicateTableError):
                raise ConfigError(
                    f"{self._address.location} holds tables of another program ({error.__cause__}): "
                    f"give tidelog a database of its own"
                ) from error
            raise
        await link.execute(
            "INSERT INTO migrations (number, name, sha256) VALUES ($1, $2, $3)",
            migration.number,
            migration.name,
            migration.sha256,
        )

    async def acquire(self, source: str) -> Checkpoint:
        async with self._linked() as link:
            [row] = await link.fetch(
                "INSERT INTO checkpoints (source, epoch, commit_seq, position) VALUES ($1, 1, 0, NULL)"
                " ON CONFLICT (source) DO UPDATE SET epoch = checkpoints.epoch + 1"
                f" RETURNING {CHECKPOINT_COLUMNS}",
                source,
            )
            return to_checkpoint(row)

    async def commit(self, batch: Batch) -> Outcome:
        """See `Store.commit`. The durable step: everything that changes rows goes through here."""
        async with self._linked() as link:
            await self._make_room(link, chain(batch.add, batch.put))
            await link.begin()
            rows = await link.fetch(
                f"SELECT {CHECKPOINT_COLUMNS} FROM checkpoints WHERE source = $1 FOR UPDATE",
                batch.before.source,
            )
            if is_settled(batch, to_checkpoint(rows[0]) if rows else None):
                return Outcome.ALREADY
            if batch.rollback is not None:
                await self._roll_back(link, batch.rollback)
            for drop in batch.drop:
                text, values = drop_query(drop, mark="$")
                await link.execute(text, *values)
            self._reached("store.rolled_back")
            for added in batch.add:
                await self._add_rows(link, added)
            for replaced in batch.put:
                await self._put_rows(link, replaced)
            await link.execute(
                "UPDATE checkpoints SET epoch = $2, commit_seq = $3, position = $4 WHERE source = $1",
                batch.after.source,
                batch.after.epoch,
                batch.after.commit_seq,
                batch.after.position,
            )
            self._reached("store.written")
            await link.execute("COMMIT")
        self._reached("store.committed")
        return Outcome.COMMITTED

    async def _make_room(self, link: Link, groups: Iterable[Rows]) -> None:
        """Make the partitions that the batch needs and the next ones, before the commit's own transaction."""
        missing = needed_partitions(groups) - self._partitions
        if missing:
            await ensure_partitions(link, missing)
            self._partitions |= missing

    async def _roll_back(self, link: Link, rollback: Rollback) -> None:
        for table in rollback.tables:
            await link.execute(
                f'DELETE FROM "{table.name}"'
                f' WHERE "{table.scope}" = $1 AND "{table.height}" > $2 AND "{table.height}" <= $3',
                rollback.scope,
                rollback.keep,
                rollback.last,
            )

    async def _add_rows(self, link: Link, added: Rows) -> None:
        table = added.table
        try:
            for records in _portions(added.rows):
                await link.run(link.connection.copy_records_to_table(table.name, records=records, columns=table.names))
        except asyncpg.UniqueViolationError as error:
            raise key_taken(table, None, error.detail or str(error)) from error

    async def _put_rows(self, link: Link, replaced: Rows) -> None:
        table = replaced.table
        try:
            for records in _portions(replaced.rows):
                await link.run(link.connection.executemany(self._put[table.name], records))
        except asyncpg.UniqueViolationError as error:
            raise key_taken(table, None, error.detail or str(error)) from error

    async def close(self) -> None:
        async with self._lock:
            if self._link is not None:
                await self._link.close()


def _portions(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """The rows in lists of about PORTION_BYTES_MAX, each gathered only when the one before was sent."""
    gathered: list[Row] = []
    size = 0
    for row in rows:
        gathered.append(row)
        size += sum([len(value) if isinstance(value, bytes | str) else VALUE_BYTES for value in row])
        if size >= PORTION_BYTES_MAX:
            yield gathered
            gathered, size = [], 0
    if gathered:
        yield gathered
