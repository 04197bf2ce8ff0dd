"""What the actions of `subscription_phases` do to a subscription. Its phase is set before."""

from tidelog.market.session.decisions import growing
from tidelog.market.session.limits import SessionLimits
from tidelog.market.session.subscription.silence import is_calm, is_stale
from tidelog.market.session.subscription.subscriptions import Subscription


def hold(subscription: Subscription, at_us: int, limits: SessionLimits) -> None:
    """It is acknowledged, at that time: begin to watch for its data."""
    subscription.again = False
    subscription.acked_us = at_us
    subscription.data_us = subscription.ack_timeouts = subscription.refusals = subscription.sequence = 0
    subscription.suspect_reason = None
    promised = limits.silence.first_data_us(subscription.stream) is not None
    subscription.stale = subscription.stale and promised  # where a snapshot is to come, until it does


def wait(subscription: Subscription, until_us: int, limits: SessionLimits) -> None:
    """A request was not answered: ask again, not before that time, and later where that happens again and again."""
    subscription.ack_timeouts += 1
    beyond = subscription.ack_timeouts - limits.ack_timeouts_max - 1
    if beyond >= 0:  # the others are answered: it waits by itself, and keeps nobody else from being asked for
        until_us += growing(limits.unanswered_first_us, beyond, limits.unanswered_max_us)
        subscription.stale = False
    subscription.not_before_us = until_us


def delay(subscription: Subscription, at_us: int, limits: SessionLimits) -> None:
    """A request was refused at that time: ask again, ever more rarely."""
    pause_us = growing(limits.refused_first_us, subscription.refusals, limits.refused_max_us)
    subscription.again = subscription.stale = False
    subscription.not_before_us = at_us + pause_us
    subscription.refusals += 1


def suspect(subscription: Subscription, at_us: int, until_us: int, limits: SessionLimits) -> None:
    """It is resynced, and asked for again not before `until_us`; `stale` then says whether silence was the cause."""
    subscription.stale = is_stale(subscription, limits.silence)
    if subscription.stale:
        subscription.stale_count += 1
        subscription.calm = 0
    else:
        calm = is_calm(subscription, at_us, limits.calm_us)
        subscription.resyncs = 1 if calm else subscription.resyncs + 1
    subscription.suspect_reason = None
    subscription.not_before_us, subscription.data_us = until_us, 0


def ended(subscription: Subscription, at_us: int, limits: SessionLimits) -> int:
    """The exchange ends it at that time, unasked: when to ask again. As with resyncs, some times in a row at once."""
    subscription.resyncs = 1 if is_calm(subscription, at_us, limits.calm_us) else subscription.resyncs + 1
    beyond = subscription.resyncs - limits.resyncs_at_once - 1
    return at_us if beyond < 0 else at_us + growing(limits.resync_first_us, beyond, limits.resync_max_us)


def reset(subscription: Subscription) -> None:
    """The connection is lost: nothing is known of it, but for the market's pace."""
    subscription.suspect_reason = None
    subscription.acked_us = subscription.data_us = subscription.not_before_us = subscription.moved_us = 0
    subscription.ack_timeouts = subscription.sequence = 0
    subscription.stale = subscription.again = False
