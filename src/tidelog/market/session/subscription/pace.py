"""How long a symbol's data may stay away before that is suspicious, judged by their own pace. Pure.

Nothing promises data: one market has hundreds of updates a second, another one an hour, and each is quiet at night. So
the measure is the market's own: the longest pause between its data lately. Were they to come by chance, at whatever
rate, then of n pauses the longest is about ln(n) times the usual one, and one `factor` times as long comes by chance
once in n**factor / 24: with `stretch_pauses` of them once in some 5,000. In a slow market, and when a market falls
asleep, a needless resync comes at times, and the pause that follows is learned from.
"""

from msgspec import Struct

from tidelog.market.session.limits import PaceLimits


class Pace(Struct, frozen=True):
    """The recent pauses between data, in µs."""

    since_us: int = 0  # when the current stretch began, Unix time; 0: nothing is known
    longest_us: int = 0  # pause in it so far
    before_us: int = 0  # ... and in the stretch before; 0: there was none


def paused(pace: Pace, pause_us: int, pauses: int, at_us: int, limits: PaceLimits) -> Pace:
    """The pace after a datum at `at_us` that came so long after the one before it, as one of so many of its stretch."""
    if pace.since_us == 0:
        return Pace(at_us, pause_us)
    longest_us = max(pace.longest_us, pause_us)
    if at_us - pace.since_us < limits.stretch_us or pauses < limits.stretch_pauses:
        return Pace(pace.since_us, longest_us, pace.before_us)
    return Pace(at_us, 0, longest_us)


def waited(pace: Pace, pause_us: int, at_us: int) -> Pace:
    """The pace after the first datum of a connection, for which it was waited so long: the market paused no less."""
    return Pace(pace.since_us or at_us, max(pace.longest_us, pause_us), pace.before_us)


def first_by_us(pace: Pace, since_us: int, last_us: int) -> int:
    """By when at the latest the first of the data after a time came, if the last of them came at `last_us`."""
    if not pace.since_us:
        return last_us
    return min(last_us, since_us + max(pace.longest_us, pace.before_us))


def stale_after_us(pace: Pace, pauses: int, least_us: int, limits: PaceLimits) -> int:
    """How long data may stay away, µs: `least_us` at least.

    Args:
        pauses: how many the current stretch has.
    """
    longest_us = max(pace.longest_us, pace.before_us)
    if pace.before_us == 0:
        if pauses < limits.stretch_pauses:
            return limits.stale_max_us
        least_us = max(least_us, limits.cold_us)
    return min(max(limits.factor * longest_us, least_us), limits.stale_max_us)
