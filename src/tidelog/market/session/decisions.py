"""What a session has to do, and by when: a look at its state, at a time. Changes nothing; no I/O, no clock.

Three things can be silent, and each has its own limit: the connection (nothing at all comes), a subscription that
was acknowledged (no data ever comes), and one that had data (none comes any more). Heartbeats prove the first only.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from tidelog.market.events import Resync
from tidelog.market.session.controls import (
    AckTimeout,
    BackOff,
    Connect,
    Decision,
    Drop,
    Ping,
    Stopped,
    Subscribe,
    Unsubscribe,
)
from tidelog.market.session.limits import SECOND
from tidelog.market.session.rules import SessionRules
from tidelog.market.session.subscription.pace import first_by_us
from tidelog.market.session.subscription.silence import doubled_us, is_calm, is_stale, stale_limit_us
from tidelog.market.session.subscription.subscriptions import ConnectionState, Phase, SessionState, Subscription

if TYPE_CHECKING:
    import random

NEVER = 2**62


class Look:
    """One look at a session's state. After `decide` gave None, `deadline_us` is when to look again."""

    def __init__(self, state: SessionState, now_us: int, rng: random.Random, rules: SessionRules) -> None:
        self._limits = rules.limits
        self._session_state = state
        self._now_us = now_us
        self._rng = rng
        self._stale: int | None = None  # how many are being asked for again because of silence; None: not counted
        self.deadline_us = NEVER

    def decide(self) -> Decision | None:
        """The first thing that is due."""
        session_state = self._session_state
        match session_state.state:
            case ConnectionState.DISCONNECTED | ConnectionState.BACKING_OFF if session_state.closing:
                return Stopped()
            case ConnectionState.DISCONNECTED if session_state.subscriptions:
                until_us, reason = self._next_attempt()
                return Connect() if until_us <= self._now_us else BackOff(until_us, reason)
            case ConnectionState.BACKING_OFF if session_state.subscriptions and self._due(session_state.retry_us):
                return Connect()
            case ConnectionState.AUTHENTICATING if session_state.closing:
                return Drop("closing")
            case ConnectionState.SUBSCRIBING | ConnectionState.LIVE:
                return Drop("closing") if session_state.closing else self._decide_open()
        return None  # nothing is wanted, or the shell is at work and will say how it went

    def _due(self, at_us: int) -> bool:
        """Whether it is time; notes when it will be."""
        if at_us <= self._now_us:
            return True
        self.deadline_us = min(self.deadline_us, at_us)
        return False

    def _next_attempt(self) -> tuple[int, str]:
        session_state, now_us = self._session_state, self._now_us
        if session_state.failures == 0:
            pause_us = 0
        elif session_state.failures <= self._limits.at_once:
            pause_us = int(self._rng.random() * self._limits.at_once_us)
        else:
            ceiling_us = growing(
                self._limits.outage_first_us,
                session_state.failures - self._limits.at_once - 1,
                self._limits.outage_max_us,
            )
            pause_us = ceiling_us // 2 + int(self._rng.random() * ceiling_us / 2)
        until_us, reason = max(now_us + pause_us, session_state.retry_us), f"failure {session_state.failures}"
        recent = [
            min(time, now_us) for time in session_state.attempts if time > now_us - self._limits.attempts_window_us
        ]
        if len(recent) >= self._limits.attempts_max:
            until_us = max(until_us, recent[-self._limits.attempts_max] + self._limits.attempts_window_us)
            reason = f"{len(recent)} attempts in ten minutes"
        return until_us, reason

    def _decide_open(self) -> Decision | None:
        session_state = self._session_state
        if session_state.expired:
            return Drop("no token that is valid any more")  # the next connection has one of its own
        if self._due(session_state.last_received_us + self._limits.silent_us):
            return Drop(f"nothing came for {self._limits.silent_us // SECOND} s")
        if self._due(max(session_state.last_received_us, session_state.pinged_us) + self._limits.ping_after_us):
            return Ping(session_state.next_req_id)
        for subscription in session_state.subscriptions:
            decision = self._decide_about(subscription)
            if decision is not None:
                return decision
        return self._ask()

    def _decide_about(self, subscription: Subscription) -> Decision | None:
        match subscription.phase:
            case Phase.ASKED | Phase.LEAVING if self._due(subscription.asked_us + self._limits.ack_us):
                if subscription.ack_timeouts < self._limits.ack_timeouts_max:
                    return AckTimeout(subscription.req_id)
                return self._unanswered(subscription)
            case Phase.HELD if not subscription.unwanted:
                reason = subscription.suspect_reason or self._silence(subscription)
                if reason is not None:
                    return self._resync(subscription, reason)
        return None

    def _unanswered(self, subscription: Subscription) -> Decision | None:
        """One that is not answered again and again: is it this one, or the connection? A ping tells."""
        session_state = self._session_state
        if session_state.answered_us >= subscription.asked_us:
            return AckTimeout(subscription.req_id)
        if session_state.pinged_us < subscription.asked_us:
            return Ping(session_state.next_req_id)
        if self._due(session_state.pinged_us + self._limits.ack_us):
            about = f"{subscription.stream.channel} {subscription.symbol or ''}".strip()
            return Drop(f"no request is answered any more: {about} is not acknowledged, nor is a ping")
        return None

    def _silence(self, subscription: Subscription) -> str | None:
        """Why the absence of data is suspicious."""
        silence = self._limits.silence
        first_us = silence.first_data_us(subscription.stream)
        if not subscription.data_us and first_us is not None:
            first_us = self._first_limit_us(subscription, first_us)
            due = self._due(subscription.acked_us + first_us)
            return f"acknowledged, and no data for {first_us // SECOND} s" if due else None
        channel = subscription.stream.channel
        least_us = silence.stale_least_us.get(channel)
        if least_us is None:
            return None
        since_us = subscription.data_us or subscription.acked_us
        reason = None
        stale_us = stale_limit_us(subscription, least_us, silence)
        if self._due(since_us + stale_us):
            reason = f"no data for {stale_us // SECOND} s"
        elif channel == "book" and self._is_outpaced(subscription, least_us):
            reason = f"trades came, and no data for {(self._now_us - since_us) // SECOND} s"
        return reason if reason is not None and self._may_be_asked_again() else None

    def _first_limit_us(self, subscription: Subscription, first_us: int) -> int:
        """How long its first data may take: ever longer where there may be none to come."""
        silence = self._limits.silence
        if subscription.stream.channel not in silence.may_begin_empty:
            return first_us
        in_vain = max(0, subscription.resyncs - self._limits.resyncs_at_once)
        return growing(first_us, in_vain, silence.stale_doubled_max_us)

    def _is_outpaced(self, book: Subscription, least_us: int) -> bool:
        """Whether trades of the symbol came that should have changed its book, the first of them long enough ago."""
        silence = self._limits.silence
        trades, since_us = self._trades.get(book.symbol), book.data_us + silence.trade_moves_us
        if not book.data_us or trades is None or trades.moved_us <= since_us:
            return False
        first_us = first_by_us(trades.pace, since_us, trades.moved_us)
        return self._due(first_us + doubled_us(least_us, book, silence))

    @cached_property
    def _trades(self) -> dict[str | None, Subscription]:
        """The subscriptions to trades, by symbol."""
        return {one.symbol: one for one in self._session_state.subscriptions if one.stream.channel == "trade"}

    def _may_be_asked_again(self) -> bool:
        """Whether one more may be given up because of silence."""
        if self._stale is None:
            self._stale = sum(one.stale for one in self._session_state.subscriptions)
        if self._stale >= self._limits.stale_at_once:
            return False  # when one of them is back, there is another look
        return self._due(self._session_state.stale_us + self._limits.stale_every_us)

    def _resync(self, subscription: Subscription, reason: str) -> Resync:
        now_us = self._now_us
        in_a_row = 0 if is_calm(subscription, now_us, self._limits.calm_us) else subscription.resyncs
        until_us = now_us
        if in_a_row >= self._limits.resyncs_at_once and not is_stale(subscription, self._limits.silence):
            ceiling_us = growing(
                self._limits.resync_first_us, in_a_row - self._limits.resyncs_at_once, self._limits.resync_max_us
            )
            until_us += ceiling_us // 2 + int(self._rng.random() * ceiling_us / 2)
        channel, symbol, interval = subscription.key
        return Resync(channel, symbol, interval, reason, until_us)

    def _ask(self) -> Subscribe | Unsubscribe | None:
        """The next request, if the pace allows one: as many symbols of one stream as go into it."""
        session_state = self._session_state
        waiting = [subscription for subscription in session_state.subscriptions if self._waits(subscription)]
        if not waiting or not self._due(session_state.next_send_us):
            return None
        first = min(waiting, key=_rank)
        alike = [
            subscription.symbol
            for subscription in waiting
            if subscription.stream == first.stream and _rank(subscription) == _rank(first)
        ]
        symbols = tuple([symbol for symbol in alike[: self._limits.symbols_per_request] if symbol is not None])
        request = Unsubscribe if _leaves(first) else Subscribe
        return request(first.stream, symbols, session_state.next_req_id)

    def _waits(self, subscription: Subscription) -> bool:
        if subscription.phase is Phase.HELD:
            return subscription.unwanted
        if subscription.is_over:
            return False
        return subscription.phase in (Phase.WANTED, Phase.RESYNCING) and self._due(subscription.not_before_us)


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
