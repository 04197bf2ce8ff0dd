"""Whether something in the process holds the event loop for so long that a feed cannot keep up.

A consumer that computes for seconds between two events holds back everything that shares its loop: frames wait in the
socket, books are old, and no event is missed that a `Lagged` could tell of. So a timer looks how late it is.
"""

import asyncio
from collections.abc import Callable

from tidelog.telemetry import MarketMetrics, logger

LOOK_S = 0.25  # between looks
HELD_S = 0.5  # by which a look may be late: beyond what a collection of garbage or a busy machine takes
TOLD_S = 60.0  # between log lines

_log = logger("market")


class LoopWatch:
    """Looks as long as `needed` says so. Belongs to the loop that it is started in."""

    def __init__(self, metrics: MarketMetrics, needed: Callable[[], int]) -> None:
        self._metrics = metrics
        self._needed = needed  # how many consumers there are
        self._timer: asyncio.TimerHandle | None = None
        self._told_s: float | None = None  # when it was told last
        self._longest_s = 0.0  # since then

    def start(self) -> None:
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(LOOK_S, self._look, loop.time() + LOOK_S)

    def _look(self, due_s: float) -> None:
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        self._timer = None
        if now_s - due_s > HELD_S:
            self._metrics.loop_held_s += now_s - due_s
            self._longest_s = max(self._longest_s, now_s - due_s)
            if self._told_s is None or now_s - self._told_s >= TOLD_S:
                _log.warning("loop_held", seconds=round(self._longest_s, 1), consumers=self._needed())
                self._told_s, self._longest_s = now_s, 0.0
        if self._needed():
            self.start()
