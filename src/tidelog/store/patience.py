"""Try again while a store is `Busy`, for a bounded time, and say what is waited for."""

from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

from tidelog.backoff import delays
from tidelog.errors import Busy
from tidelog.runtime import Runtime
from tidelog.telemetry import logger

__all__ = ["TOLD_EVERY_S", "TOLD_FIRST_S", "patiently"]

T = TypeVar("T")

_log = logger("store")

RETRY_FIRST_S = 0.005  # a commit holds the lock for some milliseconds
RETRY_MAX_S = 0.5  # a server that restarts is back within a second or two
TOLD_FIRST_S = 3.0  # longer than any commit or restart that nobody would ask about
TOLD_EVERY_S = 10.0


async def patiently(runtime: Runtime, attempt: Callable[[], Awaitable[T]], *, patience_s: float) -> T:
    """The result of the first `attempt` that is not `Busy`; the last `Busy` when `patience_s` are over."""
    began = runtime.monotonic()
    deadline, told = began + patience_s, began + TOLD_FIRST_S
    waits: Iterator[float] | None = None  # made when it is needed: a random source costs a tenth of a read
    while True:
        try:
            return await attempt()
        except Busy as error:
            waits = waits or delays(runtime.random("store"), first_s=RETRY_FIRST_S, max_s=RETRY_MAX_S)
            delay_s = next(waits)
            now = runtime.monotonic()
            if now + delay_s > deadline:
                raise
            if now >= told:
                _log.error("store_waiting", waited_s=round(now - began, 1), reason=str(error))
                told = now + TOLD_EVERY_S
        await runtime.sleep(delay_s)
