"""What it means that a subscription's data come, and that they stay away: the rules of silence. Pure.

Three things can be silent. The connection is `decisions`' affair. A subscription that was acknowledged may never begin:
where a snapshot is promised, that has a short limit. And one that has begun may go silent, as a quiet market does, or
because the exchange forgot it: nothing but the market's own pace (see `pace`) tells one from the other.
"""

from tidelog.market import pace as paces
from tidelog.market.pace import STRETCH_PAUSES, paused, stale_after_us
from tidelog.market.streams import is_private
from tidelog.market.subscriptions import Subscription

SECOND = 1_000_000

# How long data may stay away: at first, after the ack, where a snapshot is promised; later, as long as the symbol's own
# pace says (see `pace`), and at least so long: a busy market is not asked about each time it holds its breath. A symbol
# that is resynced needlessly costs two requests and one snapshot; each time the limit is doubled.
FIRST_DATA_US = {"book": 15 * SECOND, "ticker": 30 * SECOND, "ohlc": 60 * SECOND, "instrument": 60 * SECOND}
STALE_LEAST_US = {"book": 30 * SECOND, "trade": 60 * SECOND, "ticker": 120 * SECOND, "spread": 120 * SECOND}
STALE_DOUBLED_MAX_US = 4 * 3600 * SECOND  # a dead subscription is found within this, whatever was learned before
STALE_DOUBLINGS_MAX = 32  # so that the limit stays a number that can be compared; the one above comes first
FIRST_DATA_PRIVATE_US = 30 * SECOND  # every private channel begins with a snapshot
# A trade changes the book: where trades came and the book said nothing, it is dead, however slow the market is.
TRADE_MOVES_US = SECOND  # how far apart the frames about one trade may come


def take_data(subscription: Subscription, at_us: int, *, moved: bool, seen: int | None = None) -> bool:
    """Note that data came, and how long they were away.

    Args:
        moved: something has happened in the market; a snapshot only says how it is.
        seen: what tells one state of the market from another: a book's checksum, the last trade's id.

    Returns:
        Whether something may be due sooner than was thought.
    """
    sooner = False
    if moved:
        if 0 < subscription.moved_us < at_us:
            sooner = _follow_pause(subscription, at_us - subscription.moved_us, at_us)
        subscription.moved_us = at_us
    elif subscription.stale and seen is not None and subscription.seen not in (0, seen):
        # it was dead while the market moved: that pause was not the market's
        subscription.moved_us = subscription.stales = 0
    if seen is not None:
        subscription.seen = seen
    if subscription.stale:
        subscription.stale = False
        sooner = True
    subscription.data_us = at_us
    return sooner


def _follow_pause(subscription: Subscription, pause_us: int, at_us: int) -> bool:
    """Learn from a pause. What was doubled stays so until data have come as often as a stretch wants them."""
    pace = subscription.pace
    if subscription.stales:
        subscription.calm += 1
        if subscription.calm >= STRETCH_PAUSES:
            subscription.stales = 0
    subscription.pauses += 1
    enough = subscription.pauses == STRETCH_PAUSES  # is known now to judge by it
    if pause_us <= pace.longest_us and at_us - pace.since_us < paces.STRETCH_US:
        return enough  # nothing new: nearly always
    after = subscription.pace = paused(pace, pause_us, subscription.pauses, at_us)
    if not pace.since_us or after.since_us == pace.since_us:
        return enough
    subscription.pauses = 0
    return True


def first_data_us(subscription: Subscription) -> int | None:
    """How long the first data may take after the ack; None: none are promised, and the limit is that of later ones."""
    stream = subscription.stream
    if is_private(stream):
        return FIRST_DATA_PRIVATE_US
    if stream.channel == "trade" and stream.snapshot:
        return FIRST_DATA_US["ticker"]
    return FIRST_DATA_US.get(stream.channel)


def stale_limit_us(subscription: Subscription, least_us: int) -> int:
    """How long its data may stay away now."""
    limit_us = stale_after_us(subscription.pace, subscription.pauses, least_us)
    return min(limit_us << min(subscription.stales, STALE_DOUBLINGS_MAX), STALE_DOUBLED_MAX_US)


def is_stale(subscription: Subscription) -> bool:
    """Of one that is resynced: because data that nobody promised stay away, not because of what they were."""
    silent = subscription.data_us > 0 or first_data_us(subscription) is None
    return subscription.doubt is None and silent
