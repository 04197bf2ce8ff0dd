"""Metrics and readiness of several processes as one answer. Each is asked at its own socket."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from types import TracebackType

from tidelog.errors import ConfigError, SourceError
from tidelog.net.status import ask_readiness, scrape
from tidelog.runtime import Runtime
from tidelog.telemetry import Readiness, merged

__all__ = ["Gathered"]

LOOK_S = 1.0  # between two looks at how the processes are
ANSWER_S = 2.0  # a process on the same machine that takes longer does not answer


class Gathered:
    """An async context manager: while it lasts, it looks at the processes.

    Args:
        own: the name of the process that asks.
        exposition: its own metrics.
        own_readiness: of the process that asks, which knows which of the others run.
        sockets: of the others, by name.
    """

    def __init__(
        self,
        own: str,
        exposition: Callable[[], Awaitable[bytes]],
        own_readiness: Callable[[], Readiness],
        sockets: Mapping[str, str],
        runtime: Runtime,
    ) -> None:
        self._own = own
        self._exposition = exposition
        self._own_readiness = own_readiness
        self._sockets = sockets
        self._runtime = runtime
        unknown = Readiness(ready=False, reasons=("it was not asked yet",))
        self._found: dict[str, Readiness] = dict.fromkeys(sockets, unknown)
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Gathered":
        self._task = asyncio.create_task(self._watch())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def exposition(self) -> bytes:
        """As `merged`; a process that does not answer shows as down."""
        own, *others = await asyncio.gather(self._exposition(), *map(_scraped, self._sockets.values()))
        return merged({self._own: own} | dict(zip(self._sockets, others, strict=True)))

    def readiness(self) -> Readiness:
        """As of the last look: ready when all are."""
        reasons = list(self._own_readiness().reasons)
        down = {reason.partition(" ")[0] for reason in reasons}
        notes = []
        for name, found in self._found.items():
            reasons += [f"{name}: {reason}" for reason in found.reasons if name not in down]
            notes += [f"{name}: {note}" for note in found.notes]
        return Readiness.of(reasons, notes)

    async def _watch(self) -> None:
        while True:
            names = list(self._sockets)
            found = await asyncio.gather(*(ask_readiness(self._sockets[name], timeout_s=ANSWER_S) for name in names))
            self._found = dict(zip(names, found, strict=True))
            await self._runtime.sleep(LOOK_S)


async def _scraped(address: str) -> bytes | None:
    try:
        return await scrape(address, timeout_s=ANSWER_S)
    except (SourceError, ConfigError):
        return None
