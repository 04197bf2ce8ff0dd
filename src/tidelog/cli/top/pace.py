"""The time in a journal that is shown: now, or that of a replay, which goes faster, waits, or stands still."""

from tidelog.runtime import Runtime, SystemRuntime

__all__ = ["Pace", "PacedRuntime"]

STEP_S = 0.05  # the longest sleep until a record is due: who pauses or skips is not waited for longer
LATE_S = 0.5  # that a reader may be behind before time waits for it


class Pace:
    """Belongs to one event loop.

    Args:
        speed: 1 as it happened, 10 ten times as fast; None: it is now, and nothing is waited for.
        begin_us: where a replay begins, Unix time.
        end_us: the last time of a replay.
    """

    def __init__(self, runtime: Runtime, speed: float | None = None, begin_us: int = 0, end_us: int = 0) -> None:
        self.speed = speed
        self._runtime = runtime
        self._begin_us = begin_us
        self._end_us = end_us
        self._set_us = begin_us  # the time at `_set_s`
        self._set_s = runtime.monotonic()
        self._stands = False

    def now_us(self) -> int:
        """The time that it is there."""
        if self.speed is None:
            return int(self._runtime.now() * 1_000_000)
        passed_s = 0.0 if self._stands else (self._runtime.monotonic() - self._set_s) * self.speed
        return min(self._end_us, self._set_us + int(passed_s * 1_000_000))

    @property
    def ended(self) -> bool:
        """Whether a replay has nothing left."""
        return self.speed is not None and self.now_us() >= self._end_us

    def stand(self, still: bool) -> None:
        """Stop the time of a replay, or let it go on."""
        self._set(self.now_us())
        self._stands = still

    def skip_to(self, at_us: int) -> None:
        """Nothing lies between now and then: go there at once. Nothing happens if it is past."""
        if self.speed is not None and at_us > self.now_us():
            self._set(min(at_us, self._end_us))

    async def until(self, at_us: int) -> None:
        """Return once it is that time."""
        while self.speed is not None and (left_us := at_us - self.now_us()) > 0:
            await self._runtime.sleep(min(STEP_S, left_us / 1_000_000 / self.speed))

    def reached(self, at_us: int) -> None:
        """A reader is there only now: time waits for it, instead of showing what is long past as the present."""
        if self.speed is not None and at_us >= self._begin_us:
            late_us = int(LATE_S * self.speed * 1_000_000)
            if self.now_us() - at_us > late_us:
                self._set(at_us + late_us)

    def _set(self, at_us: int) -> None:
        self._set_us, self._set_s = at_us, self._runtime.monotonic()


class PacedRuntime(SystemRuntime):
    """The real one, but for the wall clock, which is that of `pace`."""

    def __init__(self, pace: Pace) -> None:
        super().__init__()
        self.pace = pace

    def now(self) -> float:
        return self.pace.now_us() / 1_000_000
