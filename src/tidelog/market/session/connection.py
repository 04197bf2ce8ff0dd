"""One connection to an exchange as a state machine. No socket, no clock, no chance of its own.

Everything goes in by three doors, each a function of the state and its arguments alone: `observe` (in `observed`) takes
an event that came, `apply` a control record, and `decide(now)` says what is to be done by now, if anything. A decision
is a value; it does nothing until it is journaled and comes back through `apply`, and the shell then carries it out. So
a replay of the journal, which has the decisions in it, comes to the same state, and never decides.

What the connection may do next is a table in `connection_states`, and what each subscription may do another in
`subscription_phases`. What is wanted, and what the exchange has acknowledged, are kept apart, and the one is brought to
the other by requests that are paced, answered or repeated. A symbol that is not to be trusted is given up and asked for
again by itself; the others do not notice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidelog.errors import Corruption
from tidelog.market.events import (
    ClockStepped,
    Connected,
    Disconnected,
    Resync,
    Started,
    Stream,
)
from tidelog.market.session.connection_states import Input
from tidelog.market.session.controls import (
    AckTimeout,
    Authorized,
    BackOff,
    Closing,
    Connect,
    Control,
    CoreSnapshot,
    Decision,
    Denied,
    Drop,
    Ping,
    Refused,
    Stopped,
    Subscribe,
    Unsubscribe,
    Unwanted,
    Wanted,
)
from tidelog.market.session.decisions import Look
from tidelog.market.session.fills import Fills
from tidelog.market.session.followed import OPEN, UNDER_WAY
from tidelog.market.session.limits import SECOND
from tidelog.market.session.observed import Observer
from tidelog.market.session.subscription.actions import suspect
from tidelog.market.session.subscription.subscription_phases import Happening, step_of
from tidelog.market.session.subscription.subscriptions import SessionState, Subscription

if TYPE_CHECKING:
    import random


class Session(Observer):
    """The connection and its subscriptions: the three doors, and nothing else that changes them."""

    def apply(self, control: Control, at_us: int) -> None:
        """Let a control record take effect.

        Raises:
            Corruption: it cannot come here; nothing has changed.
        """
        if isinstance(control, CoreSnapshot | ClockStepped):
            return  # one says what we know already, the other changes no state: the feed hangs up if it has to
        self._learn()
        session_state = self._session_state
        self.deadline_us = 0
        match control:
            case Started():
                attempts = list(control.attempts)
                fills = Fills(earlier=control.previous_us is not None)
                self._begin(SessionState(private=control.private, subscriptions=[], attempts=attempts, fills=fills))
            case Wanted():
                self._want(control, at_us)
            case Unwanted():
                self._give_up(control, at_us)
            case Closing():
                session_state.closing = True
            case Connect():
                self._move(Input.CONNECT)
                self._count_attempt(at_us)
            case BackOff(until_us=until_us):
                self._move(Input.BACK_OFF)
                session_state.retry_us = until_us
            case Connected():
                self._move(Input.OPENED_PRIVATE if session_state.private else Input.OPENED)
                session_state.opened_us = session_state.last_received_us = at_us
                session_state.pinged_us = session_state.next_send_us = session_state.answered_us = (
                    session_state.stale_us
                ) = 0
                session_state.expired = False
                self._settle()
            case Authorized():
                self._move(Input.AUTHORIZED)
                self._settle()
            case Denied(retry_after_us=retry_after_us):
                self._move(Input.DENIED)
                self._be_patient(retry_after_us, at_us)
            case Refused(retry_after_us=retry_after_us):
                self._move(Input.REFUSED)
                session_state.failures += 1
                self._be_patient(retry_after_us, at_us)
            case Drop():
                self._move(Input.DROP)
            case Disconnected():
                self._move(Input.LOST)
                self._lose_connection(at_us)
            case Stopped():
                self._move(Input.STOP)
            case _:
                self._apply_to_subscriptions(control, at_us)

    def _apply_to_subscriptions(
        self, control: Subscribe | Unsubscribe | AckTimeout | Ping | Resync, at_us: int
    ) -> None:
        session_state = self._session_state
        if session_state.state not in OPEN:
            raise Corruption(f"the journal has {type(control).__name__} while {session_state.state.value}")
        match control:
            case Subscribe():
                for subscription in self._all_of(control, Happening.SUBSCRIBE):
                    self._step(subscription, Happening.SUBSCRIBE, at_us)
                    self._note_request(subscription, control, at_us)
            case Unsubscribe(req_id=req_id):
                for subscription in self._all_of(control, Happening.UNSUBSCRIBE):
                    self._step(subscription, Happening.UNSUBSCRIBE, at_us)
                    self._note_request(subscription, control, at_us)
                    subscription.acks_from = req_id
            case AckTimeout(req_id):
                for subscription in session_state.subscriptions:
                    if subscription.req_id == req_id and subscription.phase in UNDER_WAY:
                        self._step(subscription, Happening.TIMED_OUT, at_us, until_us=at_us)
            case Ping(req_id):
                session_state.next_req_id = req_id + 1
                session_state.pinged_us = at_us
            case Resync():
                subscription = self._of(Stream(control.channel, interval=control.interval), control.symbol)
                self._step(subscription, Happening.RESYNC, at_us)
                suspect(subscription, at_us, control.until_us, self._limits)
                if subscription.stale:
                    session_state.stale_us = at_us

    def _all_of(self, control: Subscribe | Unsubscribe, happening: Happening) -> list[Subscription]:
        """The subscriptions of a request. Corruption: one of them is not there, or it cannot happen to it."""
        subscriptions = [self._of(control.stream, symbol) for symbol in control.symbols or (None,)]
        for subscription in subscriptions:
            step_of(subscription.phase, happening)
        return subscriptions

    def _note_request(self, subscription: Subscription, request: Subscribe | Unsubscribe, at_us: int) -> None:
        session_state = self._session_state
        subscription.req_id, subscription.asked_us = request.req_id, at_us
        session_state.next_req_id = request.req_id + 1
        session_state.next_send_us = at_us + max(1, len(request.symbols)) * SECOND // self._limits.requests_per_s

    def _of(self, stream: Stream, symbol: str | None) -> Subscription:
        subscription = self.subscription(stream, symbol)
        if subscription is None:
            raise Corruption(f"the journal speaks of {stream.channel} {symbol or ''}, which nobody wanted")
        return subscription

    def _want(self, control: Wanted, at_us: int) -> None:
        for symbol in control.symbols or (None,):
            subscription = self.subscription(control.stream, symbol)
            if subscription is not None:
                self._step(subscription, Happening.WANTED_AGAIN, at_us)
                continue
            subscription = Subscription(control.stream, symbol, acks_from=self._session_state.next_req_id)
            self._session_state.subscriptions.append(subscription)
            self._by_key[subscription.key] = subscription
        self._settle()

    def _give_up(self, control: Unwanted, at_us: int) -> None:
        is_open = self._session_state.state in OPEN
        for symbol in control.symbols or (None,):
            subscription = self.subscription(control.stream, symbol)
            if subscription is not None:
                self._step(subscription, Happening.UNWANTED if is_open else Happening.UNWANTED_CLOSED, at_us)
        self._settle()

    def _count_attempt(self, at_us: int) -> None:
        session_state = self._session_state
        session_state.attempts = [
            time for time in session_state.attempts if time > at_us - self._limits.attempts_window_us
        ]
        session_state.attempts.append(at_us)
        session_state.retry_us = 0

    def _be_patient(self, retry_after_us: int, at_us: int) -> None:
        """The exchange asked us to wait, if it did: then nothing is tried again at once, as after a random drop."""
        if retry_after_us:
            self._session_state.retry_us = at_us + retry_after_us
            self._session_state.failures = max(self._session_state.failures, self._limits.at_once + 1)

    def _lose_connection(self, at_us: int) -> None:
        session_state = self._session_state
        lasted = session_state.opened_us and at_us - session_state.opened_us >= self._limits.stable_us
        session_state.failures = 1 if lasted else session_state.failures + 1
        session_state.opened_us = 0
        session_state.subscriptions = [
            subscription for subscription in session_state.subscriptions if not subscription.unwanted
        ]
        self._by_key = {subscription.key: subscription for subscription in session_state.subscriptions}
        for subscription in session_state.subscriptions:
            self._step(subscription, Happening.LOST, at_us)

    def decide(self, now_us: int, rng: random.Random) -> Decision | None:
        """What is to be done by now; None, and `deadline_us` says until when. Changes nothing; see `decisions`.

        Args:
            now_us: Unix time; never goes back.
            rng: for the length of pauses.
        """
        self._learn()
        look = Look(self._session_state, now_us, rng, self.rules)
        decision = look.decide()
        self.deadline_us = look.deadline_us if decision is None else 0
        return decision
