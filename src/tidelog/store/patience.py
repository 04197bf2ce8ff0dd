"""Try again while a store is `Busy`, for a bounded time."""

from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

from tidelog.backoff import delays
from tidelog.errors import Busy
from tidelog.runtime import Runtime

__all__ = ["patiently"]

T = TypeVar("T")

RETRY_FIRST_S = 0.005  # a commit holds the lock for some milliseconds
RETRY_MAX_S = 0.5  # a server that restarts is back within a second or two


async def patiently(runtime: Runtime, attempt: Callable[[], Awaitable[T]], *, patience_s: float) -> T:
    """The result of the first `attempt` that is not `Busy`; the last `Busy` when `patience_s` are over."""
    deadline = runtime.monotonic() + patience_s
    waits: Iterator[float] | None = None  # made when it is needed: a random source costs a tenth of a read
    while True:
        try:
            return await attempt()
        except Busy:
            waits = waits or delays(runtime.random("store"), first_s=RETRY_FIRST_S, max_s=RETRY_MAX_S)
            delay_s = next(waits)
            if runtime.monotonic() + delay_s > deadline:
                raise
        await runtime.sleep(delay_s)
