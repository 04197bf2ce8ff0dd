"""How long a symbol's data may stay away before that is suspicious, told by their own pace. Pure.

Nothing promises data: one market has hundreds of updates a second, another one an hour, and each is quiet at night. So
the measure is the market's own: the longest pause between its data lately. Were they to come by chance, at whatever
rate, then of n pauses the longest is about ln(n) times the usual one, and one PAUSES times as long comes by chance once
in n**PAUSES / 24: with STRETCH_PAUSES of them once in some 5,000. In a slow market, and when a market falls asleep, a
needless resync comes at times, and the pause that follows is learned from.
"""

from msgspec import Struct

SECOND = 1_000_000

STRETCH_US = 600 * SECOND  # pauses are remembered for one such stretch at least, and for two at most
STRETCH_PAUSES = 16  # that a stretch has at least: a slow market's lasts longer
PAUSES = 4
COLD_US = 300 * SECOND  # at least, in a market's first stretch: a burst may have been all that it showed of itself
STALE_MAX_US = 3600 * SECOND  # of markets that are slow, or of which too little is known yet


class Pace(Struct, frozen=True):
    """The recent pauses between data, in µs."""

    since_us: int = 0  # when the current stretch began, Unix time; 0: nothing is known
    longest_us: int = 0  # pause in it so far
    before_us: int = 0  # ... and in the stretch before; 0: there was none


def paused(pace: Pace, pause_us: int, pauses: int, at_us: int) -> Pace:
    """The pace after a datum at `at_us` that came so long after the one before it, as one of so many of its stretch."""
    if pace.since_us == 0:
        return Pace(at_us, pause_us)
    longest_us = max(pace.longest_us, pause_us)
    if at_us - pace.since_us < STRETCH_US or pauses < STRETCH_PAUSES:
        return Pace(pace.since_us, longest_us, pace.before_us)
    return Pace(at_us, 0, longest_us)


def stale_after_us(pace: Pace, pauses: int, least_us: int) -> int:
    """How long data may stay away, `least_us` at least.

    Args:
        pauses: how many the current stretch has.
    """
    longest_us = max(pace.longest_us, pace.before_us)
    if pace.before_us == 0:
        if pauses < STRETCH_PAUSES:
            return STALE_MAX_US
        least_us = max(least_us, COLD_US)
    return min(max(PAUSES * longest_us, least_us), STALE_MAX_US)
