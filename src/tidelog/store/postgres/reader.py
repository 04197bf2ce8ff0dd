"""Read-only connections of a PostgreSQL store, a few, and the snapshots they give.

A snapshot is a REPEATABLE READ transaction. It keeps the server from cleaning up, so that it should be
short; the server ends one that is idle for too long (see `SESSION`).
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import asyncpg

from tidelog.batch import Checkpoint, Pieces, Row, Table, Value
from tidelog.errors import Busy, ConfigError, TimedOut
from tidelog.runtime import Runtime
from tidelog.store import Condition, Lag, ReadLimits, migrations
from tidelog.store.ddl import POSTGRES
from tidelog.store.limits import PostgresLimits
from tidelog.store.patience import patiently
from tidelog.store.postgres.connection import CALL_TIMEOUT_S, SNAPSHOT, UNLIMITED_S, Address, Link, connect
from tidelog.store.postgres.copying import copied, copy_query
from tidelog.store.postgres.uint256 import with_sign
from tidelog.store.postgres.writer import applied_migrations, to_checkpoint
from tidelog.store.query import CHECKPOINT_COLUMNS, QuerySnapshot, integers

__all__ = ["ReaderPool"]

COPIED_MIN = 8  # heights of one read, from which on a COPY pays
ENDING_S = 0.05  # that a snapshot waits for another one's end before it makes a connection, which takes as long
RELEASE_TIMEOUT_S = 5.0  # for the end of a transaction; a connection that cannot end it by then is cut

# Every read here is a short range of an index, in that index's order. The planner takes a partition that was
# empty when it looked last for small, would read it whole, and then sort what it found in all of them.
# So one plan serves all values: left to itself the server plans anew for the first five, on each connection, and to
# plan several alternatives takes longer than to search.
SESSION = {"enable_seqscan": "off", "enable_bitmapscan": "off", "plan_cache_mode": "force_generic_plan"}

# Told by the program's name, since behind a pooler nobody knows the process that is ours.
LOCK_HOLDERS = """
SELECT DISTINCT holder.pid, holder.usename, holder.application_name, holder.state,
    extract(epoch FROM now() - holder.state_change)::int
FROM pg_stat_activity waiting
CROSS JOIN LATERAL unnest(pg_blocking_pids(waiting.pid)) AS blocking(pid)
JOIN pg_stat_activity holder ON holder.pid = blocking.pid
WHERE waiting.wait_event_type = 'Lock' AND waiting.datname = current_database()
    AND waiting.application_name = current_setting('application_name')
ORDER BY holder.pid LIMIT 3
"""

# A standby that has replayed all that it received, and that its primary talks to, lags by nothing, however long ago the
# last commit was. One that has lost its primary cannot know: then the age of its last commit counts.
STANDBY_LAG = """
SELECT CASE
    WHEN NOT pg_is_in_recovery() THEN NULL
    WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() AND EXISTS (SELECT FROM pg_stat_wal_receiver) THEN 0
    ELSE greatest(0, extract(epoch FROM
        clock_timestamp() - coalesce(pg_last_xact_replay_timestamp(), pg_postmaster_start_time())))
    END::float8,
    CASE WHEN pg_is_in_recovery() THEN pg_is_wal_replay_paused() ELSE false END
"""
# the limit of a transaction's next statements is taken away; what it was
UNLIMIT = """
SELECT statement_timeout, set_config('statement_timeout', '0', true)
FROM (SELECT current_setting('statement_timeout') AS statement_timeout OFFSET 0) AS before
"""
LIMIT_AGAIN = "SELECT set_config('statement_timeout', $1, true)"
LOOK_AGAIN_S = 0.05  # what has arrived in this moment seems as old as the commit before it


def _signed(row: Row, places: Sequence[int]) -> Row:
    return tuple(
        [with_sign(value) if place in places and isinstance(value, bytes) else value for place, value in enumerate(row)]
    )


@contextmanager
def _in_time() -> Iterator[None]:
    """Turn the server's end of a statement that took too long into `TimedOut`."""
    try:
        yield
    except Busy as error:
        if isinstance(error.__cause__, asyncpg.QueryCanceledError):
            raise TimedOut("a read took longer than it may: ask for less at once") from error
        raise


class _Snapshot(QuerySnapshot):
    """`tidelog.store.Snapshot` on a connection that is in a read-only transaction.

    `_limited` says whether somebody has said how long a read may take; `_timeout_s` is our own limit for the next one.
    """

    mark = "$"
    relations_text = POSTGRES.relations
    any_of_max = 8  # each of them is planned

    def __init__(self, link: Link, near_segments: int, *, limited: bool) -> None:
        self._link = link
        self.near_segments = near_segments
        self._limited = limited
        self._timeout_s = CALL_TIMEOUT_S

    async def _fetch(
        self, text: str, values: list[Value], wide: Sequence[int] = (), signed: Sequence[int] = ()
    ) -> list[Row]:
        records = await self._read(text, *values)
        rows = integers(records, wide) if wide else [tuple(record) for record in records]
        return [_signed(row, signed) for row in rows] if signed else rows

    async def pieces(self, table: Table, *, scope: int, low: int, high: int) -> Pieces:
        # a statement that is prepared costs less than a COPY where there is little to read
        query = copy_query(table, scope, low, high) if high - low >= COPIED_MIN else None
        packed = None if query is None else copied(table, scope, await self._copied(query))
        return await super().pieces(table, scope=scope, low=low, high=high) if packed is None else packed

    async def _copied(self, query: str) -> bytes:
        stream = bytearray()

        async def take(data: bytes) -> None:
            stream.extend(data)

        with _in_time():
            await self._link.run(self._link.connection.copy_from_query(query, output=take, format="binary"))
        return bytes(stream)

    async def count(
        self,
        table: Table,
        *,
        scope: int | str | None = None,
        low: int | None = None,
        high: int | None = None,
        where: Mapping[str, Condition] | None = None,
    ) -> int:
        """See `Snapshot.count`: it may read all of a table, for as long as it takes."""
        if self._limited:
            return await super().count(table, scope=scope, low=low, high=high, where=where)
        [(limit, _)] = await self._read(UNLIMIT)
        self._timeout_s = UNLIMITED_S
        try:
            found = await super().count(table, scope=scope, low=low, high=high, where=where)
        finally:
            self._timeout_s = CALL_TIMEOUT_S
        await self._read(LIMIT_AGAIN, limit)
        return found

    async def _read(self, text: str, *values: Any) -> "list[asyncpg.Record]":
        with _in_time():
            return await self._link.read(text, *values, timeout_s=self._timeout_s)

    async def checkpoint(self, source: str) -> Checkpoint | None:
        rows = await self._read(f"SELECT {CHECKPOINT_COLUMNS} FROM checkpoints WHERE source = $1", source)
        return to_checkpoint(rows[0]) if rows else None

    async def checkpoints(self) -> list[Checkpoint]:
        rows = await self._read(f"SELECT {CHECKPOINT_COLUMNS} FROM checkpoints ORDER BY source")
        return [to_checkpoint(row) for row in rows]

    async def lag(self) -> Lag | None:
        """Of the server at this moment, whatever the snapshot shows."""
        ((seconds, paused),) = await self._read(STANDBY_LAG)
        return None if seconds is None else Lag(seconds, paused)


class ReaderPool:
    """A few connections, made as they are needed.

    `_idle` are those that nobody uses; `_endings` are the tasks that end a transaction, which nobody can
    cancel.
    """

    def __init__(self, address: Address, runtime: Runtime, reads: ReadLimits, limits: PostgresLimits) -> None:
        self._limits = limits
        self._address = address
        self._runtime = runtime
        self._patience_s = limits.read_patience_s if reads.patience_s is None else reads.patience_s
        self._settings = dict(SESSION)
        self._limited = reads.statement_timeout_s is not None
        if reads.statement_timeout_s is not None:
            self._settings["statement_timeout"] = f"{max(1, round(reads.statement_timeout_s * 1000))}ms"
        self._idle: list[Link] = []
        self._slots = asyncio.Semaphore(reads.readers or limits.readers_max)
        self._endings: set[asyncio.Task[None]] = set()

    async def _begin(self) -> Link:
        """A connection in a transaction whose state is fixed. It has a slot, which a failure gives back.

        So nobody waits for those who try again: while the server is away all of them learn it in the same time.
        """
        await self._slots.acquire()
        try:
            if not self._idle and self._endings:  # that is over sooner than a connection is made, with its plans
                await asyncio.wait(self._endings, timeout=ENDING_S, return_when=asyncio.FIRST_COMPLETED)
            link = self._idle.pop() if self._idle else await connect(self._address, self._settings)
            try:
                # The first query is what fixes the state that is shown: it goes with the begin.
                await link.begin_reading(SNAPSHOT, "SELECT 1")
            except BaseException:
                link.abandon()
                raise
        except BaseException:
            self._slots.release()
            raise
        return link

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[_Snapshot]:
        link = await patiently(self._runtime, self._begin, patience_s=self._patience_s)
        try:
            yield _Snapshot(link, self._limits.fingerprints.near_segments, limited=self._limited)
        finally:
            # Whoever had the connection has its rows, or was cancelled, and need not wait for this.
            ending = asyncio.ensure_future(self._release(link))
            self._endings.add(ending)
            ending.add_done_callback(self._endings.discard)

    async def _release(self, link: Link) -> None:
        """End the transaction, and with it a query that is under way, and give the connection back."""
        try:
            async with asyncio.timeout(RELEASE_TIMEOUT_S):
                await link.end_transaction()
        except TimeoutError:
            link.abandon()
        finally:
            if link.is_open:
                self._idle.append(link)
            self._slots.release()

    async def lag(self) -> Lag | None:
        """How far a standby lags; None: this is none."""
        async with self.snapshot() as snapshot:
            first = await snapshot.lag()
            if first is None or first.seconds == 0:
                return first
            await self._runtime.sleep(LOOK_AGAIN_S)
            second = await snapshot.lag()
        return second if second is None or second.seconds < first.seconds else first

    @asynccontextmanager
    async def connection(self, patience_s: float | None = None) -> AsyncIterator[Link]:
        """A connection of its own, outside a transaction."""
        patience_s = self._limits.read_patience_s if patience_s is None else patience_s
        link = await patiently(self._runtime, lambda: connect(self._address), patience_s=patience_s)
        try:
            yield link
        finally:
            await link.close()

    async def lock_holders(self) -> str:
        """Who lets a write of tidelog's wait for a lock, as a sentence: process, user, program, and for how long."""
        link = await connect(self._address)
        try:
            rows = await link.fetch(LOCK_HOLDERS)
        finally:
            await link.close()
        if not rows:
            return "the server has not answered yet, and no lock is waited for"
        return "waits for a lock of " + ", and of ".join(
            f"process {pid} ({user or 'another user'}, {program or 'unnamed program'}, {state or 'working'}"
            f" for {seconds or 0} s)"
            for pid, user, program, state, seconds in rows
        )

    async def check_schema(self, patience_s: float | None = None) -> int:
        """The schema's version; ConfigError if there is no tidelog store, or it is not up to date."""
        location = self._address.location
        async with self.connection(patience_s) as link:
            applied = await applied_migrations(link, location)
        if applied is None:
            raise ConfigError(f"{location} holds no store: none was created there yet")
        if migrations.pending(applied, migrations.shipped("tidelog.store.postgres"), location=location):
            raise ConfigError(f"{location} has an older schema: run `tidelog db migrate` first")
        return max(applied)

    async def close(self) -> None:
        await asyncio.gather(*self._endings)
        while self._idle:
            await self._idle.pop().close()
