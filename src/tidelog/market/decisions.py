"""What a session has to do, and by when: a look at its state, at a time. Changes nothing; no I/O, no clock.

Three things can be silent, and each has its own limit: the connection (nothing at all comes), a subscription that
was acknowledged (no data ever comes), and one that had data (none comes any more). Heartbeats prove the first only.

https://docs.kraken.com/api/docs/guides/spot-ws-intro has the exchange's limits.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from tidelog.market.events import Resync
from tidelog.market.marks import BackOff, Connect, Decision, Drop, Lapse, Ping, Stopped, Subscribe, Unsubscribe
from tidelog.market.silence import (
    STALE_DOUBLED_MAX_US,
    STALE_DOUBLINGS_MAX,
    STALE_LEAST_US,
    TRADE_MOVES_US,
    first_data_us,
    is_stale,
    stale_limit_us,
)
from tidelog.market.subscriptions import Phase, SessionState, State, Subscription

if TYPE_CHECKING:
    import random

SECOND = 1_000_000

PING_AFTER_US = 5 * SECOND  # of silence; both protocols send a heartbeat every second
SILENT_US = 15 * SECOND  # ... and then the connection is dead, whatever the socket says
ACK_US = 10 * SECOND  # the exchange answers within milliseconds
REQUESTS_PER_S = 15  # symbols asked for: the exchange admits some 20 messages a second
LAPSES_MAX = 4  # requests for one subscription without an answer, then it is asked for ever more rarely
UNANSWERED_FIRST_US, UNANSWERED_MAX_US = 10 * SECOND, 300 * SECOND  # ... after so long
SYMBOLS_PER_REQUEST = 10
RESYNCS_AT_ONCE = 3  # of one subscription; further ones wait, longer each time
CALM_US = 60 * SECOND  # held for so long, and resyncs are counted from the beginning
RESYNC_FIRST_US, RESYNC_MAX_US = 5 * SECOND, 60 * SECOND

ATTEMPTS_WINDOW_US = 600 * SECOND
ATTEMPTS_MAX = 120  # in the window: the exchange bans at 150, and others may share our address
AT_ONCE = 3  # failures after which a connection is tried again at once, as after a random drop
AT_ONCE_US = SECOND // 2  # ... within so long
OUTAGE_FIRST_US, OUTAGE_MAX_US = 10 * SECOND, 20 * SECOND  # later: at least half of it, 5 s, as the exchange asks

# Silence is a suspicion, not a fault. What is asked again because of it takes a seventh of the pace of requests and
# leaves few symbols without data at a time, so that 500 books that fall silent together stay followed.
STALE_AT_ONCE = 4
STALE_EVERY_US = SECOND

NEVER = 2**62


class Look:
    """One look at a session's state. After `decide` gave None, `due_us` is when to look again."""

    def __init__(self, state: SessionState, now_us: int, rng: random.Random) -> None:
        self._held = state
        self._now_us = now_us
        self._rng = rng
        self._stale: int | None = None  # how many are being asked for again because of silence; None: not counted
        self.due_us = NEVER

    def decide(self) -> Decision | None:
        """The first thing that is due."""
        held = self._held
        match held.state:
            case State.DISCONNECTED | State.BACKING_OFF if held.closing:
                return Stopped()
            case State.DISCONNECTED if held.subscriptions:
                until_us, reason = self._next_attempt()
                return Connect() if until_us <= self._now_us else BackOff(until_us, reason)
            case State.BACKING_OFF if held.subscriptions and self._due(held.retry_us):
                return Connect()
            case State.AUTHENTICATING if held.closing:
                return Drop("closing")
            case State.SUBSCRIBING | State.LIVE:
                return Drop("closing") if held.closing else self._decide_open()
        return None  # nothing is wanted, or the shell is at work and will say how it went

    def _due(self, at_us: int) -> bool:
        """Whether it is time; notes when it will be."""
        if at_us <= self._now_us:
            return True
        self.due_us = min(self.due_us, at_us)
        return False

    def _next_attempt(self) -> tuple[int, str]:
        held, now_us = self._held, self._now_us
        if held.failures == 0:
            pause_us = 0
        elif held.failures <= AT_ONCE:
            pause_us = int(self._rng.random() * AT_ONCE_US)
        else:
            ceiling_us = growing(OUTAGE_FIRST_US, held.failures - AT_ONCE - 1, OUTAGE_MAX_US)
            pause_us = ceiling_us // 2 + int(self._rng.random() * ceiling_us / 2)
        until_us, reason = max(now_us + pause_us, held.retry_us), f"failure {held.failures}"
        recent = [min(time, now_us) for time in held.attempts if time > now_us - ATTEMPTS_WINDOW_US]
        if len(recent) >= ATTEMPTS_MAX:
            until_us = max(until_us, recent[-ATTEMPTS_MAX] + ATTEMPTS_WINDOW_US)
            reason = f"{len(recent)} attempts in ten minutes"
        return until_us, reason

    def _decide_open(self) -> Decision | None:
        held = self._held
        if held.expired:
            return Drop("no token that is valid any more")  # the next connection has one of its own
        if self._due(held.heard_us + SILENT_US):
            return Drop(f"nothing came for {SILENT_US // SECOND} s")
        if self._due(max(held.heard_us, held.pinged_us) + PING_AFTER_US):
            return Ping(held.next_req_id)
        for subscription in held.subscriptions:
            decision = self._decide_about(subscription)
            if decision is not None:
                return decision
        return self._ask()

    def _decide_about(self, subscription: Subscription) -> Decision | None:
        match subscription.phase:
            case Phase.ASKED | Phase.LEAVING if self._due(subscription.asked_us + ACK_US):
                if subscription.lapses < LAPSES_MAX:
                    return Lapse(subscription.req_id)
                return self._unanswered(subscription)
            case Phase.HELD if not subscription.unwanted:
                reason = subscription.doubt or self._silence(subscription)
                if reason is not None:
                    return self._resync(subscription, reason)
        return None

    def _unanswered(self, subscription: Subscription) -> Decision | None:
        """One that is not answered again and again: is it this one, or the connection? A ping tells."""
        held = self._held
        if held.answered_us >= subscription.asked_us:
            return Lapse(subscription.req_id)
        if held.pinged_us < subscription.asked_us:
            return Ping(held.next_req_id)
        if self._due(held.pinged_us + ACK_US):
            about = f"{subscription.stream.channel} {subscription.symbol or ''}".strip()
            return Drop(f"no request is answered any more: {about} is not acknowledged, nor is a ping")
        return None

    def _silence(self, subscription: Subscription) -> str | None:
        """Why the absence of data is suspicious."""
        first_us = first_data_us(subscription)
        if not subscription.data_us and first_us is not None:
            due = self._due(subscription.acked_us + first_us)
            return f"acknowledged, and no data for {first_us // SECOND} s" if due else None
        channel = subscription.stream.channel
        least_us = STALE_LEAST_US.get(channel)
        if least_us is None:
            return None
        since_us = subscription.data_us or subscription.acked_us
        reason = None
        stale_us = stale_limit_us(subscription, least_us)
        if self._due(since_us + stale_us):
            reason = f"no data for {stale_us // SECOND} s"
        elif channel == "book" and self._is_outpaced(subscription, least_us):
            reason = f"trades came, and no data for {(self._now_us - since_us) // SECOND} s"
        return reason if reason is not None and self._may_be_asked_again() else None

    def _is_outpaced(self, book: Subscription, least_us: int) -> bool:
        """Whether trades of the symbol came that its book should have told of."""
        traded_us = self._traded_us.get(book.symbol, 0)
        if not book.data_us or traded_us <= book.data_us + TRADE_MOVES_US:
            return False
        doubled_us = min(least_us << min(book.stales, STALE_DOUBLINGS_MAX), STALE_DOUBLED_MAX_US)
        return self._due(traded_us + doubled_us)

    @cached_property
    def _traded_us(self) -> dict[str | None, int]:
        """When trades came last, by symbol."""
        return {one.symbol: one.moved_us for one in self._held.subscriptions if one.stream.channel == "trade"}

    def _may_be_asked_again(self) -> bool:
        """Whether one more may be given up because of silence."""
        if self._stale is None:
            self._stale = sum(one.stale for one in self._held.subscriptions)
        if self._stale >= STALE_AT_ONCE:
            return False  # when one of them is back, there is another look
        return self._due(self._held.stale_us + STALE_EVERY_US)

    def _resync(self, subscription: Subscription, reason: str) -> Resync:
        now_us = self._now_us
        in_a_row = 0 if now_us - subscription.acked_us > CALM_US else subscription.resyncs
        until_us = now_us
        if in_a_row >= RESYNCS_AT_ONCE and not is_stale(subscription):
            ceiling_us = growing(RESYNC_FIRST_US, in_a_row - RESYNCS_AT_ONCE, RESYNC_MAX_US)
            until_us += ceiling_us // 2 + int(self._rng.random() * ceiling_us / 2)
        channel, symbol, interval = subscription.key
        return Resync(channel, symbol, interval, reason, until_us)

    def _ask(self) -> Subscribe | Unsubscribe | None:
        """The next request, if the pace allows one: as many symbols of one stream as go into it."""
        held = self._held
        waiting = [subscription for subscription in held.subscriptions if self._waits(subscription)]
        if not waiting or not self._due(held.paced_us):
            return None
        first = min(waiting, key=_rank)
        alike = [
            subscription.symbol
            for subscription in waiting
            if subscription.stream == first.stream and _rank(subscription) == _rank(first)
        ]
        symbols = tuple([symbol for symbol in alike[:SYMBOLS_PER_REQUEST] if symbol is not None])
        request = Unsubscribe if _leaves(first) else Subscribe
        return request(first.stream, symbols, held.next_req_id)

    def _waits(self, subscription: Subscription) -> bool:
        if subscription.phase is Phase.HELD:
            return subscription.unwanted
        return subscription.phase in (Phase.WANTED, Phase.RESYNCING) and self._due(subscription.due_us)


def _leaves(subscription: Subscription) -> bool:
    return subscription.phase is not Phase.WANTED


def _rank(subscription: Subscription) -> int:
    """Who is asked for first: nobody is given up while another one that was waits to come back."""
    if subscription.phase is Phase.WANTED:
        return 0 if subscription.again else 2
    return 3 if subscription.stale else 1


def growing(first_us: int, times: int, max_us: int) -> int:
    """A pause that doubles each time, up to a limit."""
    return min(first_us << min(times, 32), max_us)
