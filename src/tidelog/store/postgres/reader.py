"""Read-only connections of a PostgreSQL store, a few, and the snapshots they give.

A snapshot is a REPEATABLE READ transaction. It keeps the server from cleaning up, so that it should be
short; the server ends one that is idle for too long (see `SESSION`).
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from tidelog.batch import Checkpoint, Row, Table
from tidelog.errors import ConfigError
from tidelog.runtime import Runtime
from tidelog.store import Condition, migrations
from tidelog.store.patience import patiently
from tidelog.store.postgres.connection import Address, Link, connect
from tidelog.store.postgres.writer import CHECKPOINT_COLUMNS, applied_migrations, to_checkpoint
from tidelog.store.query import count_query, scan_snapshot, select_query

__all__ = ["ReaderPool"]

READERS_MAX = 4  # snapshots at once: a server has a hundred connections for everybody. Others wait.
READ_PATIENCE_S = 10.0  # a restart of the server takes some seconds


class _Snapshot:
    """`tidelog.store.Snapshot` on a connection that is in a read-only transaction."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def checkpoint(self, source: str) -> Checkpoint | None:
        rows = await self._link.fetch(f"SELECT {CHECKPOINT_COLUMNS} FROM checkpoints WHERE source = $1", source)
        return to_checkpoint(rows[0]) if rows else None

    async def checkpoints(self) -> list[Checkpoint]:
        rows = await self._link.fetch(f"SELECT {CHECKPOINT_COLUMNS} FROM checkpoints ORDER BY source")
        return [to_checkpoint(row) for row in rows]

    async def select(
        self,
        table: Table,
        *,
        scope: int | str | None = None,
        low: int | None = None,
        high: int | None = None,
        where: Mapping[str, Condition] | None = None,
        after: Row | None = None,
        descending: bool = False,
        limit: int | None = None,
    ) -> list[Row]:
        text, values = select_query(
            table,
            mark="$",
            scope=scope,
            low=low,
            high=high,
            where=where,
            after=after,
            descending=descending,
            limit=limit,
        )
        return [tuple(record) for record in await self._link.fetch(text, *values)]

    def scan(
        self, table: Table, *, scope: int | str | None = None, low: int | None = None, high: int | None = None
    ) -> AsyncIterator[list[Row]]:
        return scan_snapshot(self, table, scope=scope, low=low, high=high)

    async def count(
        self, table: Table, *, scope: int | str | None = None, low: int | None = None, high: int | None = None
    ) -> int:
        text, values = count_query(table, mark="$", scope=scope, low=low, high=high)
        count = (await self._link.fetch(text, *values))[0][0]
        assert isinstance(count, int)
        return count


class ReaderPool:
    """At most READERS_MAX connections, made as they are needed; `_idle` are those that nobody uses."""

    def __init__(self, address: Address, runtime: Runtime) -> None:
        self._address = address
        self._runtime = runtime
        self._idle: list[Link] = []
        self._slots = asyncio.Semaphore(READERS_MAX)

    async def _begin(self) -> Link:
        """A connection in a transaction whose state is fixed: the first read is what fixes it."""
        link = self._idle.pop() if self._idle else await connect(self._address)
        try:
            await link.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            await link.fetch("SELECT count(*) FROM checkpoints")
        except BaseException:
            link.abandon()
            raise
        return link

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[_Snapshot]:
        async with self._slots:
            link = await patiently(self._runtime, self._begin, patience_s=READ_PATIENCE_S)
            try:
                yield _Snapshot(link)
            except BaseException:
                link.abandon()  # also when cancelled: nothing is awaited that could be cancelled again
                raise
            await link.end_transaction()
            if link.is_open:
                self._idle.append(link)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Link]:
        """A connection of its own, outside a transaction."""
        link = await patiently(self._runtime, lambda: connect(self._address), patience_s=READ_PATIENCE_S)
        try:
            yield link
        finally:
            await link.close()

    async def check_schema(self) -> int:
        """The schema's version; ConfigError if there is no tidelog store, or it is not up to date."""
        location = self._address.location
        async with self.connection() as link:
            applied = await applied_migrations(link, location)
        if applied is None:
            raise ConfigError(f"{location} holds no store: none was created there yet")
        if migrations.pending(applied, migrations.shipped("tidelog.store.postgres"), location=location):
            raise ConfigError(f"{location} has an older schema: run `tidelog db migrate` first")
        return max(applied)

    async def close(self) -> None:
        while self._idle:
            await self._idle.pop().close()
