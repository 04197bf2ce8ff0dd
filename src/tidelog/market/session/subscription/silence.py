"""What it means when a subscription's data come or stay away: the rules of silence. Pure.

Three things can be silent. The connection is `decisions`' affair. A subscription that was acknowledged may never begin:
where a snapshot is promised, that has a short limit. And one that has begun may go silent, as a quiet market does, or
because the exchange forgot it: nothing but the market's own pace (see `pace`) distinguishes the two.
"""

from tidelog.market.book.watch import Noted, Watch
from tidelog.market.session.limits import PaceLimits, SilenceLimits
from tidelog.market.session.subscription.pace import Pace, paused, stale_after_us
from tidelog.market.session.subscription.subscriptions import Subscription

NEVER_US = 2**62  # beyond any time


def note_data(
    subscription: Subscription, at_us: int, limits: PaceLimits, *, moved: bool, seen: int | None = None
) -> bool:
    """Note that data came, and how long they were away.

    Args:
        at_us: when, Unix time.
        moved: something has happened in the market; a snapshot only says how it is.
        seen: what distinguishes one state of the market from another: a book's checksum, the last trade's id.

    Returns:
        Whether something may be due sooner than was thought.
    """
    sooner = False
    if moved:
        if 0 < subscription.moved_us < at_us:
            sooner = _follow_pause(subscription, at_us - subscription.moved_us, at_us, limits)
        subscription.moved_us = at_us
    elif subscription.stale and seen is not None and subscription.seen not in (0, seen):
        # it was dead while the market moved: that pause was not the market's
        subscription.moved_us = subscription.stale_count = 0
    if seen is not None:
        subscription.seen = seen
    if subscription.stale:
        subscription.stale = False
        sooner = True
    subscription.data_us = at_us
    return sooner


def _follow_pause(subscription: Subscription, pause_us: int, at_us: int, limits: PaceLimits) -> bool:
    """Learn from a pause."""
    pace = subscription.pace
    if subscription.stale_count:
        _calm(subscription, 1, limits)
    subscription.pauses += 1
    enough = subscription.pauses == limits.stretch_pauses  # is known now to judge by it
    if pause_us <= pace.longest_us and at_us - pace.since_us < limits.stretch_us:
        return enough  # nothing new: nearly always
    after = subscription.pace = paused(pace, pause_us, subscription.pauses, at_us, limits)
    if not pace.since_us or after.since_us == pace.since_us:
        return enough
    subscription.pauses = 0
    return True


def _calm(subscription: Subscription, pauses: int, limits: PaceLimits) -> None:
    """What was doubled stays so until data have come as often as a stretch wants them."""
    subscription.calm = min(subscription.calm + pauses, max(limits.stretch_pauses, subscription.calm + 1))
    if subscription.calm >= limits.stretch_pauses:
        subscription.stale_count = 0


def watch_of(subscription: Subscription, limits: PaceLimits) -> Watch | None:
    """How far data cannot make something due sooner, see `note_data`; None: the next ones may."""
    if subscription.stale:
        return None
    left = limits.stretch_pauses - 1 - subscription.pauses
    if left >= 0:
        return Watch(subscription.moved_us, pauses_left=left)
    return Watch(subscription.moved_us, due_us=subscription.pace.since_us + limits.stretch_us)


def alike_until_us(subscription: Subscription, limits: PaceLimits) -> int:
    """The time before which no data that move can make something due sooner; 0: the next ones may."""
    watch = watch_of(subscription, limits)
    if watch is None or watch.pauses_left == 0:
        return 0
    return NEVER_US if watch.due_us is None else watch.due_us


def note_alike(subscription: Subscription, noted: Noted, limits: PaceLimits) -> None:
    """Note data that came as `watch_of` says: as `note_data` of each, none of which makes anything due sooner."""
    if noted.pauses:
        if subscription.stale_count:
            _calm(subscription, noted.pauses, limits)
        subscription.pauses += noted.pauses
        pace = subscription.pace
        if noted.longest_us > pace.longest_us or not pace.since_us:
            since_us = pace.since_us or noted.first_us
            subscription.pace = Pace(since_us, max(pace.longest_us, noted.longest_us), pace.before_us)
    if noted.moved_us:
        subscription.moved_us = noted.moved_us
    subscription.seen = noted.checksum
    subscription.data_us = noted.at_us


def stale_limit_us(subscription: Subscription, least_us: int, limits: SilenceLimits) -> int:
    """How long its data may stay away now, µs."""
    limit_us = stale_after_us(subscription.pace, subscription.pauses, least_us, limits.pace)
    return doubled_us(limit_us, subscription, limits)


def doubled_us(limit_us: int, subscription: Subscription, limits: SilenceLimits) -> int:
    """A limit, doubled for each resync because of silence since the subscription was awake last."""
    return min(limit_us << min(subscription.stale_count, limits.stale_doublings_max), limits.stale_doubled_max_us)


def is_stale(subscription: Subscription, limits: SilenceLimits) -> bool:
    """Whether a resync is caused by silence where no data were promised, rather than by bad data."""
    silent = subscription.data_us > 0 or limits.first_data_us(subscription.stream) is None
    return subscription.suspect_reason is None and silent


def is_calm(subscription: Subscription, at_us: int, calm_us: int) -> bool:
    """Whether the resyncs before are none of a row any more: it had data, and was acknowledged for so long."""
    return subscription.data_us > 0 and at_us - subscription.acked_us > calm_us
