"""The PostgreSQL store: one writing connection, a few readers beside it, partitions for the large tables.

Nothing here depends on the connection staying up: a commit that is interrupted anywhere is settled by
reading the checkpoint under its lock on a new connection (`write_patience_s`).
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

from tidelog.batch import Batch, Checkpoint, Outcome
from tidelog.errors import Busy, ConfigError, Corruption, StoreError, TidelogError
from tidelog.runtime import Runtime
from tidelog.store import Lag, ReadLimits, Snapshot, StoreInfo
from tidelog.store.fence import check_batch, writer_number
from tidelog.store.limits import PostgresLimits
from tidelog.store.patience import patiently
from tidelog.store.postgres.connection import UNLIMITED_S, Address, Link, address_of, is_there, unlimited
from tidelog.store.postgres.reader import ReaderPool
from tidelog.store.postgres.segments import segment_faults
from tidelog.store.postgres.statistics import gather_statistics
from tidelog.store.postgres.writer import Writer
from tidelog.telemetry import logger

__all__ = ["PostgresStore", "open_postgres"]

T = TypeVar("T")

_log = logger("store")

SETTINGS = ("synchronous_commit", "fsync", "full_page_writes")

# amcheck's function, in whichever schema it is, if we may call it: that is for superusers until somebody grants it
AMCHECK = """
SELECT quote_ident(nspname) || '.bt_index_check' FROM pg_extension
JOIN pg_namespace AS its ON its.oid = extnamespace
JOIN pg_proc AS function ON pronamespace = its.oid AND proname = 'bt_index_check' AND pronargs = 2
WHERE extname = 'amcheck' AND has_schema_privilege(its.oid, 'USAGE') AND has_function_privilege(function.oid, 'EXECUTE')
"""


class PostgresStore:
    """`tidelog.store.Store` on a PostgreSQL database. Made by `open_postgres`."""

    def __init__(
        self,
        address: Address,
        runtime: Runtime,
        readers: ReaderPool,
        writer: Writer | None,
        limits: PostgresLimits,
    ) -> None:
        self._limits = limits
        self._address = address
        self._runtime = runtime
        self._readers = readers
        self._writer = writer
        self._unseen = 0  # rows that were committed since the last look at statistics
        self._gathering: asyncio.Task[None] | None = None
        self.trouble: str | None = None  # why a write waits, in the server's words; None: none waits

    async def _write(self, action: Callable[[Writer], Awaitable[T]], patience_s: float) -> T:
        writer = self._writer
        if writer is None:
            raise ConfigError(f"{self._address.location} was opened to be read only")

        async def attempt() -> T:
            try:
                result = await self._watched(action(writer))
            except Busy as error:
                self.trouble = str(error)
                raise
            self.trouble = None
            return result

        return await patiently(self._runtime, attempt, patience_s=patience_s)

    async def _watched(self, writing: Awaitable[T]) -> T:
        """A write; while the server lets it wait, the log says for whom."""
        watching: list[asyncio.Task[None]] = []
        timer = asyncio.get_running_loop().call_later(
            self._limits.waiting_first_s, lambda: watching.append(asyncio.ensure_future(self._tell_waiting()))
        )
        try:
            return await writing
        finally:
            timer.cancel()
            for task in watching:
                task.cancel()

    async def _tell_waiting(self) -> None:
        began = self._runtime.monotonic() - self._limits.waiting_first_s
        while True:
            try:
                reason = await self._readers.lock_holders()
            except TidelogError as error:
                reason = str(error)
            _log.error("store_waiting", waited_s=round(self._runtime.monotonic() - began, 1), reason=reason)
            await asyncio.sleep(self._limits.waiting_every_s)

    async def migrate(self) -> list[int]:
        return await self._write(Writer.migrate, self._limits.open_patience_s)

    async def acquire(self, source: str) -> Checkpoint:
        number = writer_number(self._runtime)
        return await self._write(lambda writer: writer.acquire(source, number), self._limits.write_patience_s)

    async def commit(self, batch: Batch) -> Outcome:
        check_batch(batch)
        outcome = await self._write(lambda writer: writer.commit(batch), self._limits.write_patience_s)
        self._unseen += batch.row_count
        if self._unseen >= self._limits.statistics_rows and (self._gathering is None or self._gathering.done()):
            self._unseen = 0
            self._gathering = asyncio.create_task(self._gather())
        return outcome

    async def _gather(self) -> None:
        """Look which tables need statistics, beside all else. What fails is done the next time."""
        try:
            async with asyncio.timeout(self._limits.statistics_s), self._readers.connection() as link:
                await gather_statistics(link)
        except (TidelogError, TimeoutError) as error:
            _log.info("statistics_failed", store=self._address.location, error=str(error) or "it took too long")

    def snapshot(self) -> AbstractAsyncContextManager[Snapshot]:
        return self._readers.snapshot()

    async def read(self, function: Callable[[Snapshot], Coroutine[Any, Any, T]]) -> T:
        async with self._readers.snapshot() as snapshot:
            return await function(snapshot)

    async def info(self) -> StoreInfo:
        schema_version = await self._readers.check_schema()
        async with self._readers.connection() as link:
            details = {name: str((await link.fetch(f"SHOW {name}"))[0][0]) for name in SETTINGS}
            [version] = await link.fetch("SHOW server_version")
            [size] = await link.fetch("SELECT pg_database_size(current_database())")
        return StoreInfo("postgresql", version[0], self._address.location, schema_version, size[0], details)

    async def lag(self) -> Lag | None:
        return await self._readers.lag()

    async def check_integrity(self) -> list[str]:
        """Rows in a wrong segment, and what `amcheck` finds wrong with the indexes of the store's tables.

        Where that extension is not installed, or not for this user, the server has no check of its own.
        """
        async with self._readers.connection() as link:
            complaints = [
                each for (check,) in await link.fetch(AMCHECK) for each in await _index_complaints(link, check)
            ]
            return complaints + await segment_faults(link)

    async def close(self) -> None:
        if self._gathering is not None:
            self._gathering.cancel()
            await asyncio.gather(self._gathering, return_exceptions=True)
        await self._readers.close()
        if self._writer is not None:
            await self._writer.close()


async def _index_complaints(link: Link, check: str) -> list[str]:
    indexes = await link.fetch(
        "SELECT i.indexrelid::regclass::text FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
        " JOIN pg_am a ON a.oid = c.relam WHERE a.amname = 'btree' AND c.relkind = 'i'"
        " AND c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'checkpoints'::regclass)"
    )
    complaints = []
    for (name,) in indexes:
        try:
            async with unlimited(link):  # it reads every page of the index
                await link.fetch(f"SELECT {check}($1::text::regclass, true)", name, timeout_s=UNLIMITED_S)
        except Corruption as error:
            complaints.append(f"{name}: {error}")
        except StoreError:
            if await is_there(link, name):
                raise
    return complaints


async def open_postgres(
    url: str,
    runtime: Runtime,
    *,
    readonly: bool = False,
    reads: ReadLimits,
    limits: PostgresLimits,
) -> PostgresStore:
    """Open the store in the database that `url` names."""
    address = address_of(url)
    pool = ReaderPool(address, runtime, reads, limits)
    if readonly:
        await pool.check_schema(limits.open_patience_s)
        return PostgresStore(address, runtime, pool, None, limits)
    store = PostgresStore(address, runtime, pool, Writer(address, runtime.reached, limits), limits)
    try:
        await store.migrate()
    except BaseException:
        await store.close()
        raise
    return store
