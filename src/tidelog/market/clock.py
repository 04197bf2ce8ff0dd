"""The journal's clock: Unix time that never goes back; it follows the wall clock when that is set, or after a sleep.

Reads no clock itself: the caller gives the readings of the wall clock and the monotonic clock, in seconds. Between two
looks at the wall clock, time passes as the monotonic clock says.
"""

STEP_US = 1_000_000  # by which the wall clock has to differ from what is expected: less is jitter between two readings
SLOWNESS = 0.1  # the share by which time passes more slowly while it is ahead of the wall clock


class Clock:
    """Times in microseconds since 1970."""

    def __init__(self, wall_s: float, monotonic_s: float) -> None:
        self._wall_s = wall_s
        self._since_s = monotonic_s  # when the wall clock said so
        self._ahead_s = 0.0  # of the wall clock, then

    def now_us(self, monotonic_s: float) -> int:
        passed_s = monotonic_s - self._since_s
        return int((self._wall_s + passed_s + max(0.0, self._ahead_s - SLOWNESS * passed_s)) * 1_000_000)

    def follow(self, wall_s: float, monotonic_s: float) -> int:
        """Compare with the wall clock, and follow it if it was set: forwards at once, backwards by passing more slowly.

        Returns:
            The step in microseconds, negative if it was set back; 0 if it is where it was expected.
        """
        step_us = int((wall_s - self._wall_s - (monotonic_s - self._since_s)) * 1_000_000)
        if abs(step_us) < STEP_US:
            return 0
        now_s = self.now_us(monotonic_s) / 1_000_000
        self._wall_s, self._since_s, self._ahead_s = wall_s, monotonic_s, max(0.0, now_s - wall_s)
        return step_us
