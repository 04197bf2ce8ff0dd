"""How long a symbol's trades may stay away before that is suspicious, told by their own pace. Pure.

Nothing promises a trade: one market has hundreds a second, another one a day, and each is quiet at night. So the
measure is the market's own: the longest pause between its trades in the last ten to twenty minutes. Were trades to
come by chance, at whatever rate, then in ten minutes with n of them the longest pause is about ln(n) times the usual
one, and one PAUSES times as long comes by chance once in n**PAUSES pauses: next to never in a busy market. In a slow
one, and when a market falls asleep, a needless resync comes at times, and the pause that follows is learned from.
"""

from msgspec import Struct

SECOND = 1_000_000

STRETCH_US = 600 * SECOND  # pauses are remembered for one such stretch at least, and for two at most
PAUSES = 4
STALE_MIN_US = 60 * SECOND  # so that a busy market is not asked about each time it holds its breath
STALE_MAX_US = 1800 * SECOND  # of markets that are slow, or not known for a stretch yet


class Pace(Struct, frozen=True):
    """The recent pauses between trades, in µs."""

    since_us: int = 0  # when the current stretch began, Unix time; 0: nothing is known
    longest_us: int = 0  # pause in it so far
    before_us: int = 0  # ... and in the stretch before; 0: there was none


def paused(pace: Pace, pause_us: int, at_us: int) -> Pace:
    """The pace after a trade at `at_us` that came so long after the one before it."""
    if pace.since_us == 0:
        return Pace(at_us, pause_us)
    longest_us = max(pace.longest_us, pause_us)
    if at_us - pace.since_us < STRETCH_US:
        return Pace(pace.since_us, longest_us, pace.before_us)
    return Pace(at_us, 0, longest_us)


def stale_after_us(pace: Pace) -> int:
    """How long trades may stay away."""
    if pace.before_us == 0:
        return STALE_MAX_US
    return min(max(PAUSES * max(pace.longest_us, pace.before_us), STALE_MIN_US), STALE_MAX_US)
