"""Commits of one chain into a store that may be busy, or away, and callers that may be cancelled meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from msgspec import Struct

from tidelog.backoff import delays
from tidelog.batch import Batch
from tidelog.chain.sync.monitoring.trouble import Trouble
from tidelog.errors import Busy
from tidelog.runtime import Runtime
from tidelog.store import Store
from tidelog.store.patience import patiently
from tidelog.telemetry import logger

T = TypeVar("T")

_log = logger("ledger")


class WriterLimits(Struct, frozen=True):
    """What a chain writer holds, and how long it waits for its store."""

    held_max: int = 16_384  # unfinalized links kept: beyond the deepest reorg on record (Ethereum Classic, 2020: 7,000)
    commit_end_s: float = 30.0  # that a commit under way may still take when its caller is to end
    commit_look_s: float = 0.25  # between looks whether it has to be given up
    store_patience_s: float = 600.0  # how long a database may be away before the process gives up and says so


WRITER_LIMITS = WriterLimits()


class Commits:
    """One commit after the other."""

    def __init__(self, store: Store, runtime: Runtime, chain_id: int, limits: WriterLimits) -> None:
        self._store = store
        self._runtime = runtime
        self._chain_id = chain_id
        self._limits = limits
        self._trouble = Trouble(runtime)  # with the store
        self._since: float | None = None  # by the monotonic clock, while a commit is under way

    @property
    def under_way_s(self) -> float:
        """How long the commit that is under way has taken so far; 0 when there is none."""
        return 0.0 if self._since is None else self._runtime.monotonic() - self._since

    @property
    def trouble(self) -> str | None:
        """Why the store does not take what is being committed, in its words; None if it does."""
        return self._trouble.now or getattr(self._store, "trouble", None)

    @property
    def lasting_trouble(self) -> str | None:
        """The same once it lasts for some seconds."""
        return self._trouble.cause

    async def commit(self, batch: Batch, then: Callable[[float], None]) -> None:
        """Commit; a caller that is cancelled meanwhile goes only when that has come to its end.

        A commit that waits for a database that is away is no such end: it is given up at once, and so is one that takes
        longer than `commit_end_s`. Whether it was taken, the next start finds out.

        Args:
            then: called once the store has it, with the seconds that it took, whether or not the caller still waits.
        """
        committing = asyncio.ensure_future(self._commit(batch, then))
        try:
            await asyncio.shield(committing)
        except asyncio.CancelledError:
            loop = asyncio.get_running_loop()
            ends_at = loop.time() + self._limits.commit_end_s
            while not committing.done():
                if self.trouble is not None or loop.time() >= ends_at:
                    committing.cancel()
                await asyncio.wait({committing}, timeout=self._limits.commit_look_s)
            await asyncio.gather(committing, return_exceptions=True)
            raise

    async def _commit(self, batch: Batch, then: Callable[[float], None]) -> None:
        started = self._since = self._runtime.monotonic()
        self._runtime.reached("ledger.before_commit")
        try:
            await self.patiently(lambda: self._store.commit(batch))
            self._runtime.reached("ledger.after_commit")
        finally:
            self._since = None
        then(self._runtime.monotonic() - started)

    async def patiently(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Try until the database is there, and not busy."""
        waits, patience_s = delays(self._runtime.random("ledger"), max_s=10.0), self._limits.store_patience_s
        result = await patiently(self._runtime, attempt, patience_s=patience_s, waits=waits, on_busy=self._note)
        self._trouble.clear()
        return result

    def _note(self, error: Busy) -> None:
        self._trouble.note(str(error))
        _log.warning("store_busy", chain=self._chain_id, error=str(error))
