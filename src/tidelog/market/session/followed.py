"""What a session knows: the connection, its subscriptions, and how each of them moves.

The connection moves as `connection_states` says, a subscription as `subscription_phases` says; both are tables.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidelog.errors import Corruption
from tidelog.market.book.watch import Meanwhile
from tidelog.market.events import (
    Stream,
)
from tidelog.market.session.connection_states import TRANSITIONS, Input
from tidelog.market.session.rules import SessionRules
from tidelog.market.session.subscription.actions import delay, hold, reset, wait
from tidelog.market.session.subscription.silence import note_data
from tidelog.market.session.subscription.subscription_phases import Action, Happening, step_of
from tidelog.market.session.subscription.subscriptions import ConnectionState, Phase, SessionState, Subscription

if TYPE_CHECKING:
    pass

OPEN = (ConnectionState.SUBSCRIBING, ConnectionState.LIVE)
UNDER_WAY = (Phase.ASKED, Phase.LEAVING)


class Followed:
    """The connection and its subscriptions, as values that move.

    `deadline_us` is the time by which `decide` has to be asked again; 0 is at once. It is no part of the state.
    """

    def __init__(self, rules: SessionRules, state: SessionState | None = None) -> None:
        """
        Args:
            rules: the exchange's.
            state: where to go on; a new session, if it is not given. It is changed from now on.
        """
        self.rules = rules
        self._limits = rules.limits
        self._meanwhile: Meanwhile | None = None
        self._begin(SessionState(subscriptions=[], attempts=[]) if state is None else state)
        self.deadline_us = 0

    def _begin(self, state: SessionState) -> None:
        self._session_state = state
        self._by_key = {subscription.key: subscription for subscription in state.subscriptions}

    def learn_from(self, meanwhile: Meanwhile) -> None:
        """Have what others watch told, whenever it counts."""
        self._meanwhile = meanwhile

    def _learn(self, symbol: str | None = None) -> None:
        """Have it told of a symbol, or of all."""
        if self._meanwhile is not None:
            self._meanwhile(symbol)

    @property
    def session_state(self) -> SessionState:
        """All that it knows: to be read, or encoded."""
        self._learn()
        return self._session_state

    @property
    def state(self) -> ConnectionState:
        return self._session_state.state

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection that can be lost."""
        return (self.state, Input.LOST) in TRANSITIONS

    def end(self) -> None:
        """Be closed, whatever the state was: nothing can be journaled any more, and nothing is decided."""
        self._session_state.state = ConnectionState.CLOSED

    def subscription(self, stream: Stream, symbol: str | None) -> Subscription | None:
        if stream.channel == "book" and symbol is not None:
            self._learn(symbol)
        return self._by_key.get((stream.channel, symbol, stream.interval))

    @property
    def resyncing(self) -> frozenset[str]:
        """Symbols of which something is being asked for again."""
        again = (Phase.RESYNCING, Phase.LEAVING)
        return frozenset(
            [
                subscription.symbol
                for subscription in self._session_state.subscriptions
                if subscription.symbol is not None
                and (subscription.phase in again or (subscription.acked_us and subscription.phase is not Phase.HELD))
            ]
        )

    def _imply_ack(self, subscription: Subscription, at_us: int) -> None:
        """Data came: whatever happened to the ack, the subscription is there."""
        if subscription.phase is not Phase.HELD:  # nearly always it is, and nothing follows
            self._step(subscription, Happening.DATA, at_us)

    def _note_data(self, subscription: Subscription, at_us: int, *, moved: bool, seen: int | None = None) -> None:
        if note_data(subscription, at_us, self._limits.silence.pace, moved=moved, seen=seen):
            self.deadline_us = 0

    def _step(self, subscription: Subscription, happening: Happening, at_us: int, *, until_us: int = 0) -> None:
        """Let something happen to a subscription, as the table says.

        Args:
            until_us: before which it is not asked for again, where a pause comes of it.
        """
        subscription.phase, action = step_of(subscription.phase, happening)
        match action:
            case Action.HOLD:
                hold(subscription, at_us, self._limits)
                self._settle()
            case Action.RETURN:
                self._return(subscription, max(at_us, until_us))
            case Action.WAIT:
                wait(subscription, until_us, self._limits)
            case Action.DELAY:
                delay(subscription, at_us, self._limits)
            case Action.RESET:
                reset(subscription)
            case Action.RELEASE | Action.KEEP:
                subscription.unwanted = action is Action.RELEASE
            case Action.FORGET:
                self._forget(subscription)
            case Action.ASK | Action.LEAVE | Action.SUSPECT | Action.NOTHING:
                pass  # whoever applies the control record notes what it says

    def _return(self, subscription: Subscription, until_us: int) -> None:
        if subscription.unwanted:
            self._forget(subscription)
        else:
            subscription.again = True
            subscription.not_before_us = until_us
        self._settle()

    def _forget(self, subscription: Subscription) -> None:
        self._session_state.subscriptions.remove(subscription)
        del self._by_key[subscription.key]

    def _move(self, what: Input) -> None:
        session_state = self._session_state
        after = TRANSITIONS.get((session_state.state, what))
        if after is None:
            raise Corruption(f"the journal has {what.value} while {session_state.state.value}")
        session_state.state = after

    def _settle(self) -> None:
        """A subscription has moved: something else may be due, and sooner."""
        self.deadline_us = 0
        if self._session_state.state in OPEN:
            # they are mostly acknowledged in order, so the latest tells soonest: thousands begin one after the other
            settled = all(one.acked_us or one.unwanted for one in reversed(self._session_state.subscriptions))
            self._move(Input.SETTLED if settled else Input.UNSETTLED)
