"""The writing connection of a PostgreSQL store: made when it is needed, and again after it was lost.

Each public method is one try. What ends in `Busy` may be tried again; `Lost`, a kind of it, says that the
outcome is not known, and the next try of a commit finds it out by reading the checkpoint under its lock,
which waits for the old backend if that is still at it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from itertools import chain

import asyncpg

from tidelog.batch import Batch, Checkpoint, Outcome, Rollback, Row, Rows, Table
from tidelog.errors import ConfigError
from tidelog.store import migrations
from tidelog.store.ddl import POSTGRES
from tidelog.store.fence import is_settled, key_taken
from tidelog.store.limits import PostgresLimits
from tidelog.store.postgres.connection import NO_WRITES, UNLIMITED_S, Address, Link, ReadOnlyServer, connect
from tidelog.store.postgres.copying import pieces, portions, streams
from tidelog.store.postgres.partitions import (
    ADVISORY_LOCK,
    Partition,
    ensure_partitions,
    needed_partitions,
)
from tidelog.store.postgres.segments import add_fingerprints, enter_segment, shortening, take_places
from tidelog.store.query import CHECKPOINT_COLUMNS, column_list, drop_query
from tidelog.store.segments import heights_of, parts
from tidelog.telemetry import logger

__all__ = ["Writer", "applied_migrations", "to_checkpoint"]

_log = logger("store")

OWNER_COMMENT = "tidelog: migrations that were applied"  # tells our table from another program's
MIGRATIONS_DDL = f"""
CREATE TABLE migrations (
    number INTEGER PRIMARY KEY, name TEXT NOT NULL, sha256 TEXT NOT NULL,
    applied_at TIMESTAMPTZ NOT NULL DEFAULT now()
);
COMMENT ON TABLE migrations IS '{OWNER_COMMENT}'
"""


def to_checkpoint(record: asyncpg.Record) -> Checkpoint:
    """A row of `checkpoints` as a value."""
    return Checkpoint(*record)


def _put_statement(table: Table) -> str:
    marks = ", ".join(f"${number}" for number in range(1, len(table.columns) + 1))
    replaced = ", ".join(f'"{name}" = excluded."{name}"' for name in table.names if name not in table.key)
    return (
        f'INSERT INTO "{table.name}" ({column_list(table.names)}) VALUES ({marks})'
        f" ON CONFLICT ({column_list(table.key)}) DO UPDATE SET {replaced}"
    )


async def applied_migrations(link: Link, location: str) -> dict[int, migrations.Record] | None:
    """What the database records, None if nothing yet. ConfigError if the record is another program's."""
    found = await link.fetch(  # both by the statement's snapshot: to_regclass alone sees what came after it
        "SELECT obj_description(oid, 'pg_class') FROM pg_class WHERE oid = to_regclass('migrations')"
    )
    if not found:
        return None
    [(comment,)] = found
    if comment != OWNER_COMMENT:
        raise ConfigError(f"{location} belongs to another program: give tidelog a database of its own")
    rows = await link.fetch("SELECT number, name, sha256 FROM migrations")
    return {number: migrations.Record(name, sha256) for number, name, sha256 in rows}


class Writer:
    """Owns the writing connection.

    `_lock` lets one call at a time use it; `_partitions` are those that it has seen.
    """

    def __init__(self, address: Address, reached: Callable[[str], None], limits: PostgresLimits) -> None:
        self._limits = limits
        self._address = address
        self._reached = reached
        self._link: Link | None = None
        self._lock = asyncio.Lock()
        self._partitions: set[Partition] = set()
        self._put: dict[str, str] = {}  # by table, each made when it is needed
        self._shipped = migrations.shipped("tidelog.store.postgres")
        self._migrated: set[int] = set()

    @asynccontextmanager
    async def _linked(self, *, renewed: bool = False) -> AsyncIterator[Link]:
        """The connection, for one call. Whatever goes wrong, no transaction stays open on it.

        Args:
            renewed: it ends with this call, which makes or discards tables: asyncpg has statements prepared for the
                tables of its time, and encodes for a table that is made anew by the types of the one before.
        """
        async with self._lock:
            if self._link is None or not self._link.is_open:
                self._link = await connect(self._address)
                self._partitions.clear()  # a standby that took over may lack the last ones
            try:
                yield self._link
            except ReadOnlyServer:
                self._link.abandon()  # another connection may find the new primary
                raise
            finally:
                await self._link.end_transaction()
                if renewed:
                    await self._link.close()

    async def migrate(self) -> list[int]:
        """Apply what is missing, each migration in its transaction; what was applied by this and earlier tries."""
        is_new = False
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
                    return sorted(self._migrated)
                is_new = is_new or missing[0].number == 1
                if not is_new:  # with rows in it, which takes its time
                    step = missing[0]
                    _log.info("store_migrating", step=step.number, name=step.name, store=self._address.location)
                await self._apply(link, missing[0])
                self._migrated.add(missing[0].number)  # whether or not the server's answer comes through
                await link.execute("COMMIT")

    async def _apply(self, link: Link, migration: migrations.Migration) -> None:
        await link.execute("SET LOCAL statement_timeout = 0")
        try:
            await link.run(link.connection.execute(migration.sql), timeout_s=UNLIMITED_S)
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

    async def acquire(self, source: str, number: int) -> Checkpoint:
        async with self._linked() as link:
            [row] = await link.fetch(
                f"INSERT INTO checkpoints AS held ({CHECKPOINT_COLUMNS}) VALUES ($1, 1, 0, NULL, $2)"
                " ON CONFLICT (source) DO UPDATE SET epoch = held.epoch + 1, writer = excluded.writer"
                f" RETURNING {CHECKPOINT_COLUMNS}",
                source,
                number,
            )
            return to_checkpoint(row)

    async def commit(self, batch: Batch) -> Outcome:
        """See `Store.commit`. The durable step: everything that changes rows goes through here."""
        heights = heights_of((*batch.add, *batch.put))
        async with self._linked(renewed=bool(batch.create or batch.discard)) as link:
            await self._make_room(link, chain(batch.add, batch.put))
            await link.begin()
            rows = await link.fetch(
                f"SELECT {CHECKPOINT_COLUMNS} FROM checkpoints WHERE source = $1 FOR UPDATE",
                batch.before.source,
            )
            if is_settled(batch, to_checkpoint(rows[0]) if rows else None):
                return Outcome.ALREADY
            for table in batch.create:
                self._put.pop(table.name, None)  # another table may have had the name
                for text in POSTGRES.create(table):
                    await link.execute(text)
            if batch.rollback is not None:
                await self._roll_back(link, batch.rollback)
            for drop in batch.drop:
                text, values = drop_query(drop, mark="$")
                await link.execute(text, *values)
            self._reached("store.rolled_back")
            places = await take_places(link, heights, self._limits.segment_rows)
            entered: int | None = None
            for each in batch.add:
                for segment, part in parts(each, places):
                    await self._add_rows(link, each.table, part, segment)
            for each in batch.put:
                for segment, part in parts(each, places):
                    if segment not in (None, entered):
                        await enter_segment(link, segment)
                        entered = segment
                    await self._put_rows(link, each.table, part)
            await add_fingerprints(link, places, self._limits.fingerprints)
            for table in batch.discard:
                for text in POSTGRES.discard(table):
                    await link.execute(text)
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
        """However long it takes: a rewind may delete most of a chain."""
        await link.execute("SET LOCAL statement_timeout = 0")
        async with shortening(link, rollback):
            for table in rollback.tables:
                text = (
                    f'DELETE FROM "{table.name}"'
                    f' WHERE "{table.scope}" = $1 AND "{table.height}" > $2 AND "{table.height}" <= $3'
                )
                work = link.connection.execute(text, rollback.scope, rollback.keep, rollback.last)
                await link.run(work, timeout_s=UNLIMITED_S)

    async def _add_rows(self, link: Link, table: Table, rows: Iterable[Row], segment: int | None) -> None:
        # the column's default says it too, but is worked out for each row
        columns = table.names if segment is None else (*table.names, "segment")
        try:
            for records, stream in streams(table, _signed(table, rows), segment=segment):
                if stream is None:
                    given = records if segment is None else [(*record, segment) for record in records]
                    work = link.connection.copy_records_to_table(table.name, records=given, columns=columns)
                else:
                    work = link.connection.copy_to_table(
                        table.name, source=pieces(stream), columns=columns, format="binary"
                    )
                await link.run(work)
        except asyncpg.UniqueViolationError as error:
            raise key_taken(table, None, error.detail or str(error)) from error

    async def _put_rows(self, link: Link, table: Table, rows: Iterable[Row]) -> None:
        statement = self._put.get(table.name) or self._put.setdefault(table.name, _put_statement(table))
        try:
            for records in portions(_signed(table, rows)):
                await link.run(link.connection.executemany(statement, records))
        except asyncpg.UniqueViolationError as error:
            raise key_taken(table, None, error.detail or str(error)) from error

    async def close(self) -> None:
        async with self._lock:
            if self._link is not None:
                await self._link.close()


def _signed(table: Table, rows: Iterable[Row]) -> Iterable[Row]:
    """The rows, with integers that have a sign as such: from bytes alone NUMERIC's encoder cannot tell."""
    places = frozenset(map(table.index, table.signed))
    if not places:
        return rows
    return (
        tuple(
            [
                int.from_bytes(value, "big", signed=True) if place in places and isinstance(value, bytes) else value
                for place, value in enumerate(row)
            ]
        )
        for row in rows
    )
