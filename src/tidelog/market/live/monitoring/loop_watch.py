"""Whether something in the process blocks the event loop for so long that a feed cannot keep up.

A consumer that computes for seconds between two events holds back everything that shares its loop: frames wait in the
socket, books are old, and no event is lost that a `Lagged` could report. So a timer checks how late it is.
"""

import asyncio
from collections.abc import Callable

from msgspec import Struct

from tidelog.telemetry import MarketMetrics, logger

_log = logger("market")


class LoopWatchLimits(Struct, frozen=True):
    """When a late timer means that something holds the event loop."""

    check_s: float = 0.25  # between checks
    late_s: float = 0.5  # by which a check may be late: beyond what garbage collection or a busy machine takes
    log_s: float = 60.0  # between log lines


LIMITS = LoopWatchLimits()


class LoopWatch:
    """Checks as long as there are consumers. Belongs to the loop that it is started in."""

    def __init__(self, metrics: MarketMetrics, needed: Callable[[], int], limits: LoopWatchLimits = LIMITS) -> None:
        self._limits = limits
        self._metrics = metrics
        self._needed = needed  # how many consumers there are
        self._timer: asyncio.TimerHandle | None = None
        self._logged_s: float | None = None  # when it was logged last
        self._longest_s = 0.0  # since then

    def start(self) -> None:
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._limits.check_s, self._check, loop.time() + self._limits.check_s)

    def _check(self, due_s: float) -> None:
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        self._timer = None
        if now_s - due_s > self._limits.late_s:
            self._metrics.loop_held_s += now_s - due_s
            self._longest_s = max(self._longest_s, now_s - due_s)
            if self._logged_s is None or now_s - self._logged_s >= self._limits.log_s:
                _log.warning("loop_held", seconds=round(self._longest_s, 1), consumers=self._needed())
                self._logged_s, self._longest_s = now_s, 0.0
        if self._needed():
            self.start()
