"""The SQLite store: one file, one writing connection per process, a few readers beside it.

Several processes may write one file, each for its own source: SQLite lets one commit at a time, and the
others come again (`write_patience_s`). Nothing in here holds a lock while it waits for the event loop.
"""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any, TypeVar

import apsw

from tidelog.batch import Batch, Checkpoint, Outcome
from tidelog.errors import ConfigError
from tidelog.runtime import Runtime, Worker
from tidelog.store import USUAL, Lag, ReadLimits, Snapshot, StoreInfo
from tidelog.store.fence import check_batch, writer_number
from tidelog.store.limits import STORE_LIMITS, SqliteLimits
from tidelog.store.patience import patiently
from tidelog.store.sqlite import integrity
from tidelog.store.sqlite.connection import path_of, refuse_stub
from tidelog.store.sqlite.reader import ReaderPool
from tidelog.store.sqlite.writer import Writer

__all__ = ["SqliteStore", "open_sqlite"]

T = TypeVar("T")


class SqliteStore:
    """`tidelog.store.Store` on a SQLite file. Made by `open_sqlite`."""

    def __init__(
        self,
        path: str,
        runtime: Runtime,
        readers: ReaderPool,
        writing: tuple[Worker, Writer] | None,
        limits: SqliteLimits,
    ) -> None:
        self._path = path
        self._runtime = runtime
        self._readers = readers
        self._writing = writing
        self._limits = limits

    async def _write(self, function: Callable[[Writer], T]) -> T:
        if self._writing is None:
            raise ConfigError(f"{self._path} was opened to be read only")
        worker, writer = self._writing
        return await patiently(
            self._runtime, lambda: worker.call(lambda: function(writer)), patience_s=self._limits.write_patience_s
        )

    async def migrate(self) -> list[int]:
        return await self._write(Writer.migrate)

    async def acquire(self, source: str) -> Checkpoint:
        number = writer_number(self._runtime)
        return await self._write(lambda writer: writer.acquire(source, number))

    async def commit(self, batch: Batch) -> Outcome:
        check_batch(batch)
        return await self._write(lambda writer: writer.commit(batch))

    def snapshot(self) -> AbstractAsyncContextManager[Snapshot]:
        return self._readers.snapshot()

    async def read(self, function: Callable[[Snapshot], Coroutine[Any, Any, T]]) -> T:
        return await self._readers.read(function)

    async def info(self) -> StoreInfo:
        facts = await self._readers.call(lambda reader: reader.facts())
        schema_version = await self._readers.call(lambda reader: reader.check_schema())
        return StoreInfo(
            backend="sqlite",
            version=apsw.sqlite_lib_version(),
            location=self._path,
            schema_version=schema_version,
            size_bytes=int(facts["page_count"]) * int(facts["page_size"]),
            details={"journal_mode": str(facts["journal_mode"]), "synchronous": "full"},
        )

    async def lag(self) -> Lag | None:
        return None  # a file has no standby

    async def check_integrity(self) -> list[str]:
        damaged, strayed = await asyncio.gather(
            self._damaged(), self._readers.call(lambda reader: reader.segment_messages())
        )
        return damaged or strayed  # of a damaged file, what its indexes say of segments means nothing

    async def _damaged(self) -> list[str]:
        """What SQLite finds wrong with its file; it checks the whole only where its parts are not all sound."""

        def sound(check: Callable[[apsw.Connection], bool]) -> Coroutine[Any, Any, bool]:
            return self._readers.call(lambda reader: reader.checked(check, lambda _: False))

        parts = await self._readers.call(lambda reader: reader.checked(integrity.parts, lambda _: []))
        of_parts = [sound(partial(integrity.part_is_sound, table=part)) for part in parts]
        if parts and all(await asyncio.gather(*of_parts, sound(integrity.pages_are_sound))):  # the short one last
            return []
        return await self._readers.call(lambda reader: reader.integrity_messages())

    async def close(self) -> None:
        await self._readers.close()
        if self._writing is not None:
            (worker, writer), self._writing = self._writing, None
            await worker.call(writer.close)
            await worker.close()


async def open_sqlite(
    url: str,
    runtime: Runtime,
    *,
    readonly: bool = False,
    reads: ReadLimits = USUAL,
    limits: SqliteLimits = STORE_LIMITS.sqlite,
    vfs: str | None = None,
) -> SqliteStore:
    """Open the store in the file that `url` names; `vfs` is SQLite's name of another file system."""
    path = path_of(url)
    if vfs is None:
        refuse_stub(path)
    pool = ReaderPool(path, runtime, vfs, reads, limits, goes_over=readonly)
    if readonly:
        try:
            await pool.call(lambda reader: reader.check_schema())
        except BaseException:
            await pool.close()
            raise
        return SqliteStore(path, runtime, pool, None, limits)
    worker = runtime.worker("store")
    try:
        writer = await patiently(
            runtime,
            lambda: worker.call(lambda: Writer(path, vfs, runtime.reached, limits)),
            patience_s=limits.write_patience_s,
        )
    except BaseException:
        await worker.close()
        raise
    store = SqliteStore(path, runtime, pool, (worker, writer), limits)
    try:
        await store.migrate()
    except BaseException:
        await store.close()
        raise
    return store
