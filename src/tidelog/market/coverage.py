"""What a symbol's channel was worth over time: intervals that are proven, unproven or a gap. Pure.

Nothing is claimed beyond what was seen. What is proven ends with the last message that proved it, not with
the first that failed: in between the exchange may have said what did not reach us. What is mended begins
with the message that mended it. So the intervals of a channel follow each other without holes.
"""

from msgspec import Struct

from tidelog.market.trade_ids import Loss

PROVEN, UNPROVEN, GAP = "proven", "unproven", "gap"
_WORTH = {GAP: 0, UNPROVEN: 1, PROVEN: 2}


class Interval(Struct, frozen=True, array_like=True):
    """Of the journal's time. `until_us` is the last message of its kind, as long as no other one follows."""

    since_us: int
    until_us: int
    state: str
    reason: str | None = None  # why it is not proven


def turn(held: Interval | None, state: str, at_us: int, reason: str | None = None) -> tuple[Interval, ...]:
    """What becomes of an interval at `at_us`, when the channel is found, or stays, in `state`.

    Returns:
        The interval that is current now, last; before it, the one that has ended with this, if one has.
        Each begins later than the one before, by a microsecond at least: that is its key in the store.
    """
    if held is None:
        return (Interval(at_us, at_us, state, reason),)
    if held.state == state:
        return (Interval(held.since_us, max(held.until_us, at_us if state != GAP else 0), state, held.reason),)
    border = at_us if _WORTH[state] > _WORTH[held.state] else held.until_us
    border = max(border, held.since_us + 1)
    ended = Interval(held.since_us, border, held.state, held.reason)
    return ended, Interval(border, max(border, at_us if state != GAP else border), state, reason)


def loss_between(held: Interval | None, at_us: int) -> Loss:
    """The gap that it would be if messages of the channel were missing until the one at `at_us`."""
    if held is None:
        return Loss(at_us, at_us + 1, "trade_id")
    if held.state == GAP:
        return Loss(held.since_us, max(at_us, held.since_us + 1), held.reason or GAP)
    since = max(held.until_us, held.since_us + 1)
    return Loss(since, max(at_us, since + 1), "trade_id")
