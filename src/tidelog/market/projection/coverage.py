"""The coverage of a symbol's channel over time: intervals that are proven, unproven or a gap. Pure.

Nothing is claimed beyond what was seen. What is proven ends with the last message that proved it, not with
the first that failed: in between the exchange may have said what did not reach us. What is repaired begins
with the message that repaired it. So the intervals of a channel follow each other without holes.
"""

from msgspec import Struct

from tidelog.market.projection.trade_ids import Loss

PROVEN, UNPROVEN, GAP = "proven", "unproven", "gap"
_WORTH = {GAP: 0, UNPROVEN: 1, PROVEN: 2}


class Interval(Struct, frozen=True, array_like=True):
    """Of the journal's time. `until_us` is the last message of its kind, as long as no other one follows."""

    since_us: int
    until_us: int
    state: str
    reason: str | None = None  # why it is not proven


def transition(current: Interval | None, state: str, at_us: int, reason: str | None = None) -> tuple[Interval, ...]:
    """What becomes of an interval at `at_us`, when the channel is found, or stays, in `state`.

    Returns:
        The interval that is current now, last; before it, the one that has ended with this, if one has.
        Each begins later than the one before, by a microsecond at least: that is its key in the store.
    """
    if current is None:
        return (Interval(at_us, at_us, state, reason),)
    if current.state == state:
        return (Interval(current.since_us, max(current.until_us, at_us if state != GAP else 0), state, current.reason),)
    border = at_us if _WORTH[state] > _WORTH[current.state] else current.until_us
    border = max(border, current.since_us + 1)
    ended = Interval(current.since_us, border, current.state, current.reason)
    return ended, Interval(border, max(border, at_us if state != GAP else border), state, reason)


def loss_between(current: Interval | None, at_us: int) -> Loss:
    """The gap that it would be if messages of the channel were missing until the one at `at_us`."""
    if current is None:
        return Loss(at_us, at_us + 1, "trade_id")
    if current.state == GAP:
        return Loss(current.since_us, max(at_us, current.since_us + 1), current.reason or GAP)
    since = max(current.until_us, current.since_us + 1)
    return Loss(since, max(at_us, since + 1), "trade_id")
