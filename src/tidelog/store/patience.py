"""Try again while a store is `Busy`, for a bounded time, and say what is waited for."""

from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

from tidelog.backoff import delays
from tidelog.errors import Busy
from tidelog.runtime import Runtime
from tidelog.telemetry import logger

__all__ = ["patiently"]

T = TypeVar("T")

_log = logger("store")

RETRY_FIRST_S = 0.005  # a commit holds the lock for some milliseconds
RETRY_MAX_S = 0.5  # a server that restarts is back within a second or two
TOLD_FIRST_S = 3.0  # longer than any commit or restart that nobody would ask about
TOLD_EVERY_S = 10.0


async def patiently(
    runtime: Runtime,
    attempt: Callable[[], Awaitable[T]],
    *,
    patience_s: float,
    waits: Iterator[float] | None = None,
    on_busy: Callable[[Busy], None] | None = None,
) -> T:
    """The result of the first `attempt` that is not `Busy`; the last `Busy` when `patience_s` are over.

    A store rides over its locks by it, for seconds; who writes rides over the store's outages, for minutes or hours.

    Args:
        waits: seconds before each next attempt; by default those of a lock that is taken for milliseconds.
        on_busy: told of each `Busy`; by default the log says every ten seconds that something is waited for.
    """
    began = runtime.monotonic()
    while True:
        try:
            return await attempt()
        except Busy as error:
            # made when they are needed: a random source costs a tenth of a read
            on_busy = on_busy or _Waiting(runtime, began).tell
            waits = waits or delays(runtime.random("store"), first_s=RETRY_FIRST_S, max_s=RETRY_MAX_S)
            delay_s = next(waits)
            if runtime.monotonic() + delay_s > began + patience_s:
                raise
            on_busy(error)
        await runtime.sleep(delay_s)


class _Waiting:
    """Says in the log that a store is waited for: first after some seconds, then every ten."""

    def __init__(self, runtime: Runtime, began: float) -> None:
        self._runtime = runtime
        self._began = began
        self._next = began + TOLD_FIRST_S

    def tell(self, error: Busy) -> None:
        now = self._runtime.monotonic()
        if now >= self._next:
            _log.error("store_waiting", waited_s=round(now - self._began, 1), reason=str(error))
            self._next = now + TOLD_EVERY_S
