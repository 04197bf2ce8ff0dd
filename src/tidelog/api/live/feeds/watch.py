"""One poll of a source's checkpoint, shared by all listeners that wait for its next commit.

A look is one row read by its key. There is one for each source that somebody listens to, none for the others, and
however many listen. What was committed they read themselves, each from where it is.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from tidelog.api.live.feeds.signal import Signal
from tidelog.errors import TidelogError
from tidelog.runtime import Runtime
from tidelog.store import Snapshot, Store
from tidelog.telemetry import logger

__all__ = ["SourceWatch", "Watches"]


Look = Callable[[Snapshot], Awaitable[object]]

_log = logger("live")


class SourceWatch:
    """What a source's checkpoint was at the last look; `signal` announces each new one."""

    def __init__(self, source: str, look: Look) -> None:
        self.source = source
        self.signal = Signal()
        self._look = look
        self._seen: object = None  # at the last look

    async def run(self, store: Store, runtime: Runtime, every_s: float) -> None:
        """Look for ever. A store that is away is waited for."""
        away = False
        while True:
            try:
                async with store.snapshot() as snapshot:
                    found = await self._look(snapshot)
            except TidelogError as error:
                if not away:
                    _log.warning("watch_failed", source=self.source, error=str(error))
                away = True
            else:
                away = False
                if found != self._seen:
                    self._seen = found
                    self.signal.touch()
            await runtime.sleep(every_s)


class Watches:
    """The watches that somebody has joined. Each looks every `every_s` seconds."""

    def __init__(self, store: Store, runtime: Runtime, every_s: float) -> None:
        self._every_s = every_s
        self._store = store
        self._runtime = runtime
        self._held: dict[str, tuple[SourceWatch, asyncio.Task[None]]] = {}
        self._joined: dict[str, int] = {}  # by source, how many; a source without any is in neither

    @asynccontextmanager
    async def joined(self, source: str, look: Look | None = None) -> AsyncIterator[SourceWatch]:
        """Its watch, for as long as the context lasts.

        Args:
            look: gives what is another value after each commit; its checkpoint, if that is all that there is.
        """
        if source not in self._held:
            watch = SourceWatch(source, look or (lambda snapshot: snapshot.checkpoint(source)))
            self._held[source] = watch, asyncio.create_task(watch.run(self._store, self._runtime, self._every_s))
        self._joined[source] = self._joined.get(source, 0) + 1
        try:
            yield self._held[source][0]
        finally:
            self._joined[source] -= 1
            if not self._joined[source]:
                del self._joined[source]
                _, task = self._held.pop(source)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
