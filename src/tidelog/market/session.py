"""One connection to an exchange as a state machine. No socket, no clock, no chance of its own.

Everything goes in by three doors, each a function of the state and its arguments alone: `observe` takes an event
that came, `apply` a marker, and `decide(now)` says what is to be done by now, if anything. A decision is a value;
it does nothing until it is journaled and comes back through `apply`, and the shell then carries it out. So a
replay of the journal, which has the decisions in it, comes to the same state, and never decides.

What the connection may do next is in `transitions`, a table. What each subscription may do next follows from its
phase: what is wanted, and what the exchange has acknowledged, are kept apart, and the one is brought to the other
by requests that are paced, answered or repeated. A symbol that is not to be trusted is given up and asked for
again by itself; the others do not notice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidelog.errors import Corruption
from tidelog.market.book import Check
from tidelog.market.decisions import (
    AT_ONCE,
    ATTEMPTS_WINDOW_US,
    CALM_US,
    LAPSES_MAX,
    REQUESTS_PER_S,
    SECOND,
    UNANSWERED_FIRST_US,
    UNANSWERED_MAX_US,
    Look,
    growing,
)
from tidelog.market.events import (
    Ack,
    Balances,
    BookDelta,
    BookSnapshot,
    Candles,
    ClockStepped,
    Connected,
    Disconnected,
    Event,
    Executions,
    Instruments,
    Pong,
    Rejection,
    Resync,
    Spread,
    Started,
    Stream,
    Tickers,
    Trades,
)
from tidelog.market.fills import Fills, take_fills
from tidelog.market.marks import (
    Authorized,
    BackOff,
    Closing,
    Connect,
    Decision,
    Denied,
    Drop,
    FullState,
    Lapse,
    Mark,
    Ping,
    Refused,
    Stopped,
    Subscribe,
    Unsubscribe,
    Unwanted,
    Wanted,
)
from tidelog.market.silence import STALE_LEAST_US, first_data_us, is_stale, take_data
from tidelog.market.subscriptions import Phase, SessionState, State, Subscription
from tidelog.market.transitions import TRANSITIONS, Input

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator


THROTTLED_US = 2 * SECOND  # pause after "Exceeded msg rate"
REFUSED_FIRST_US, REFUSED_MAX_US = 10 * SECOND, 300 * SECOND  # until a refused subscription is asked for again
STABLE_US = 10 * SECOND  # a connection that lasted so long was no failure


_OPEN = (State.SUBSCRIBING, State.LIVE)
_UNDER_WAY = (Phase.ASKED, Phase.LEAVING)
_DOUBTFUL = {  # what a message may say about its book, and the reason for a resync
    Check.MISMATCHED: "checksum differs",
    Check.REFUSED: "update refused",
    Check.OUTDATED: "older than the message before",
}


class Session:
    """The connection and its subscriptions.

    `due_us` is the time by which `decide` has to be asked again; 0 is at once. It is no part of the state.
    """

    def __init__(self, state: SessionState | None = None) -> None:
        self._begin(SessionState(subscriptions=[], attempts=[]) if state is None else state)
        self.due_us = 0

    def _begin(self, state: SessionState) -> None:
        self._held = state
        self._by_key = {subscription.key: subscription for subscription in state.subscriptions}

    @property
    def held(self) -> SessionState:
        """All that it knows: to be read, or encoded."""
        return self._held

    @property
    def state(self) -> State:
        return self._held.state

    def subscription(self, stream: Stream, symbol: str | None) -> Subscription | None:
        return self._by_key.get((stream.channel, symbol, stream.interval))

    @property
    def resyncing(self) -> frozenset[str]:
        """Symbols of which something is being asked for again."""
        again = (Phase.RESYNCING, Phase.LEAVING)
        return frozenset(
            [
                subscription.symbol
                for subscription in self._held.subscriptions
                if subscription.symbol is not None
                and (subscription.phase in again or (subscription.acked_us and subscription.phase is not Phase.HELD))
            ]
        )

    # What comes from the exchange.

    def observe(self, event: Event, check: Check | None, at_us: int) -> None:
        """Take note of an event, and of what it proved."""
        self._held.heard_us = at_us
        kind = type(event)
        if kind is BookDelta or kind is BookSnapshot:
            assert isinstance(event, BookDelta | BookSnapshot)
            subscription = self._by_key.get(("book", event.symbol, None))
            if subscription is not None:
                if kind is BookSnapshot:
                    self._imply_ack(subscription, at_us)
                self._take(subscription, at_us, moved=kind is BookDelta, seen=event.checksum)
                if check in _DOUBTFUL and subscription.phase is Phase.HELD and subscription.doubt is None:
                    subscription.doubt = _DOUBTFUL[check]
                    self.due_us = 0
            return
        match event:
            case Ack():
                self._held.answered_us = at_us
                self._acknowledge(event, at_us)
            case Rejection():
                self._held.answered_us = at_us
                self._refuse(event, at_us)
            case Pong():
                self._held.answered_us = at_us
                self.due_us = 0
            case Executions() | Balances():
                self._follow_sequence(event, at_us)
            case Trades():
                self._follow_trades(event, at_us)
            case _:
                for key in _keys_of(event):
                    subscription = self._by_key.get(key)
                    if subscription is not None:
                        self._imply_ack(subscription, at_us)
                        self._take(subscription, at_us, moved=subscription.data_us > 0)

    def doubt_book(self, symbol: str, reason: str) -> None:
        """An update of this book was lost."""
        held = self._by_key.get(("book", symbol, None))
        if held is not None and held.phase is Phase.HELD and held.doubt is None:
            held.doubt = reason
            self.due_us = 0

    def _take(self, subscription: Subscription, at_us: int, *, moved: bool, seen: int | None = None) -> None:
        if take_data(subscription, at_us, moved=moved, seen=seen):
            self.due_us = 0

    def _imply_ack(self, subscription: Subscription, at_us: int) -> None:
        """Data came: whatever happened to the ack, the subscription is there."""
        if subscription.phase is Phase.ASKED:
            self._hold(subscription, at_us)

    def _hold(self, subscription: Subscription, at_us: int) -> None:
        subscription.phase, subscription.again = Phase.HELD, False
        subscription.acked_us = at_us
        subscription.data_us = subscription.lapses = subscription.refusals = subscription.sequence = 0
        subscription.doubt = None
        subscription.stale &= first_data_us(subscription) is not None  # where a snapshot is to come, until it does
        self._settle()

    def _acknowledge(self, ack: Ack, at_us: int) -> None:
        subscription = self._by_key.get((ack.channel, ack.symbol, ack.interval))
        if subscription is None:
            return
        if ack.method == "subscribe":
            # one that comes late, of an earlier request, is believed, unless we have left since
            late = ack.req_id is not None and ack.req_id < subscription.acks_from
            answers = subscription.phase is Phase.WANTED and ack.req_id in (None, subscription.req_id)
            if not late and (answers or subscription.phase is Phase.ASKED):
                self._hold(subscription, at_us)
        elif subscription.phase is Phase.LEAVING or (subscription.phase is Phase.HELD and ack.req_id is None):
            self._left(subscription, at_us)  # nobody here may have asked for it: then the exchange has ended it

    def _left(self, subscription: Subscription, at_us: int) -> None:
        if subscription.unwanted:
            self._forget(subscription)
        else:
            subscription.phase, subscription.again = Phase.WANTED, True
            subscription.due_us = at_us
        self._settle()

    def _forget(self, subscription: Subscription) -> None:
        self._held.subscriptions.remove(subscription)
        del self._by_key[subscription.key]

    def _refuse(self, rejection: Rejection, at_us: int) -> None:
        if rejection.throttled:  # does not say which: all that are under way are asked for again
            self._held.paced_us = at_us + THROTTLED_US
            for subscription in self._held.subscriptions:
                if subscription.phase in _UNDER_WAY:
                    self._lapse(subscription, at_us + THROTTLED_US)
            self.due_us = 0
            return
        for subscription in [*self._meant(rejection)]:
            self._held.expired |= self._held.private and "nvalid session" in rejection.error
            if subscription.phase is Phase.LEAVING:  # there is nothing to leave
                self._left(subscription, at_us)
            elif "lready subscribed" in rejection.error:
                self._hold(subscription, at_us)
            else:
                subscription.phase, subscription.again, subscription.stale = Phase.WANTED, False, False
                subscription.due_us = at_us + growing(REFUSED_FIRST_US, subscription.refusals, REFUSED_MAX_US)
                subscription.refusals += 1
        self.due_us = 0

    def refused_by(self, rejection: Rejection) -> tuple[tuple[str, str | None], ...]:
        """Channel and symbol of the subscriptions that a refusal keeps from us: to be asked before it is observed."""
        if rejection.throttled or "lready subscribed" in rejection.error:
            return ()
        asked = [one for one in self._meant(rejection) if one.phase is not Phase.LEAVING]
        return tuple([(one.stream.channel, one.symbol) for one in asked])

    def _meant(self, rejection: Rejection) -> Iterator[Subscription]:
        """The subscriptions that a refusal is about, as far as it says."""
        if rejection.req_id is None and rejection.symbol is None and rejection.channel is None:
            return
        for subscription in self._held.subscriptions:
            if (
                subscription.phase in _UNDER_WAY
                and rejection.req_id in (None, subscription.req_id)
                and rejection.symbol in (None, subscription.symbol)
                and rejection.channel in (None, subscription.stream.channel)
            ):
                yield subscription

    def _follow_sequence(self, event: Executions | Balances, at_us: int) -> None:
        if isinstance(event, Executions) and (event.trades or event.snapshot):
            self._held.fills, _ = take_fills(self._held.fills, event)
        subscription = self._by_key.get((event.channel, None, None))
        if subscription is None:
            return
        self._imply_ack(subscription, at_us)
        self._take(subscription, at_us, moved=not event.snapshot)
        before, subscription.sequence = subscription.sequence, event.sequence
        if not event.snapshot and (before == 0 or event.sequence != before + 1) and subscription.doubt is None:
            subscription.doubt = f"sequence {before} to {event.sequence}" if before else "no snapshot"
            self.due_us = 0

    def _follow_trades(self, event: Trades, at_us: int) -> None:
        """A jump in the ids is a loss; asking again brings the last trades, which may well close it.

        The order within a frame says nothing: some come with the newest first.
        """
        trades = event.trades
        if len(trades) > 1:
            trades = tuple(sorted(trades, key=lambda trade: trade.trade_id or 0))
        followed: dict[str, Subscription] = {}
        for trade in trades:
            subscription = self._by_key.get(("trade", trade.symbol, None))
            if subscription is None:
                continue
            followed[trade.symbol] = subscription
            self._imply_ack(subscription, at_us)
            if trade.trade_id is None:
                continue
            before, subscription.sequence = subscription.sequence, max(subscription.sequence, trade.trade_id)
            jumped = before and not event.snapshot and trade.trade_id > before + 1
            if jumped and subscription.phase is Phase.HELD and subscription.doubt is None:
                subscription.doubt = f"trade {before} to {trade.trade_id}"
                self.due_us = 0
        for subscription in followed.values():
            seen = subscription.sequence or None
            # v1 begins with trades that were before, and does not say so
            moved = not event.snapshot and (seen is not None or subscription.data_us > 0)
            self._take(subscription, at_us, moved=moved, seen=seen)
            if moved:  # by then its book has to have said something too
                self.due_us = min(self.due_us, at_us + STALE_LEAST_US["book"])

    # What was noticed or decided.

    def apply(self, mark: Mark, at_us: int) -> None:
        """Let a marker take effect.

        Raises:
            Corruption: it cannot come here; nothing has changed.
        """
        if isinstance(mark, FullState | ClockStepped):
            return  # one says what we know already, the other changes no state: the feed hangs up if it has to
        held = self._held
        self.due_us = 0
        match mark:
            case Started():
                attempts = list(mark.attempts)
                fills = Fills(earlier=mark.previous_us is not None)
                self._begin(SessionState(private=mark.private, subscriptions=[], attempts=attempts, fills=fills))
            case Wanted():
                self._want(mark)
            case Unwanted():
                self._give_up(mark)
            case Closing():
                held.closing = True
            case Connect():
                self._move(Input.CONNECT)
                self._count_attempt(at_us)
            case BackOff(until_us=until_us):
                self._move(Input.BACK_OFF)
                held.retry_us = until_us
            case Connected():
                self._move(Input.OPENED_PRIVATE if held.private else Input.OPENED)
                held.opened_us = held.heard_us = at_us
                held.pinged_us = held.paced_us = held.answered_us = held.stale_us = 0
                held.expired = False
                self._settle()
            case Authorized():
                self._move(Input.AUTHORIZED)
                self._settle()
            case Denied(retry_after_us=retry_after_us):
                self._move(Input.DENIED)
                self._be_patient(retry_after_us, at_us)
            case Refused(retry_after_us=retry_after_us):
                self._move(Input.REFUSED)
                held.failures += 1
                self._be_patient(retry_after_us, at_us)
            case Drop():
                self._move(Input.DROP)
            case Disconnected():
                self._move(Input.LOST)
                self._lose_connection(at_us)
            case Stopped():
                self._move(Input.STOP)
            case _:
                self._apply_to_subscriptions(mark, at_us)

    def _apply_to_subscriptions(self, mark: Subscribe | Unsubscribe | Lapse | Ping | Resync, at_us: int) -> None:
        held = self._held
        if held.state not in _OPEN:
            raise Corruption(f"the journal has {type(mark).__name__} while {held.state.value}")
        match mark:
            case Subscribe(stream, symbols, req_id) | Unsubscribe(stream, symbols, req_id):
                asking = isinstance(mark, Subscribe)
                for symbol in symbols or (None,):
                    subscription = self._of(stream, symbol)
                    subscription.phase = Phase.ASKED if asking else Phase.LEAVING
                    subscription.req_id, subscription.asked_us = req_id, at_us
                    if not asking:
                        subscription.acks_from = req_id
                held.next_req_id = req_id + 1
                held.paced_us = at_us + max(1, len(symbols)) * SECOND // REQUESTS_PER_S
            case Lapse(req_id):
                for subscription in held.subscriptions:
                    if subscription.req_id == req_id and subscription.phase in _UNDER_WAY:
                        self._lapse(subscription, at_us)
            case Ping(req_id):
                held.next_req_id = req_id + 1
                held.pinged_us = at_us
            case Resync(channel, symbol, interval, _, until_us):
                subscription = self._of(Stream(channel, interval=interval), symbol)
                subscription.stale = is_stale(subscription)
                if subscription.stale:
                    subscription.stales += 1
                    subscription.calm = 0
                    held.stale_us = at_us
                else:
                    calm = at_us - subscription.acked_us > CALM_US
                    subscription.resyncs = 1 if calm else subscription.resyncs + 1
                subscription.phase, subscription.doubt = Phase.RESYNCING, None
                subscription.due_us, subscription.data_us = until_us, 0

    def _of(self, stream: Stream, symbol: str | None) -> Subscription:
        subscription = self.subscription(stream, symbol)
        if subscription is None:
            raise Corruption(f"the journal speaks of {stream.channel} {symbol or ''}, which nobody wanted")
        return subscription

    def _move(self, what: Input) -> None:
        held = self._held
        after = TRANSITIONS.get((held.state, what))
        if after is None:
            raise Corruption(f"the journal has {what.value} while {held.state.value}")
        held.state = after

    def _settle(self) -> None:
        """A subscription has moved: something else may be due, and sooner."""
        self.due_us = 0
        if self._held.state in _OPEN:
            settled = all(subscription.acked_us for subscription in self._held.subscriptions)
            self._move(Input.SETTLED if settled else Input.UNSETTLED)

    def _want(self, mark: Wanted) -> None:
        for symbol in mark.symbols or (None,):
            subscription = self.subscription(mark.stream, symbol)
            if subscription is not None:
                subscription.unwanted = False
                continue
            subscription = Subscription(mark.stream, symbol, acks_from=self._held.next_req_id)
            self._held.subscriptions.append(subscription)
            self._by_key[subscription.key] = subscription
        self._settle()

    def _give_up(self, mark: Unwanted) -> None:
        for symbol in mark.symbols or (None,):
            subscription = self.subscription(mark.stream, symbol)
            if subscription is None:
                continue
            subscription.unwanted = True
            if subscription.phase is Phase.WANTED or self._held.state not in _OPEN:
                self._forget(subscription)
        self._settle()

    def _count_attempt(self, at_us: int) -> None:
        held = self._held
        held.attempts = [time for time in held.attempts if time > at_us - ATTEMPTS_WINDOW_US]
        held.attempts.append(at_us)
        held.retry_us = 0

    def _be_patient(self, retry_after_us: int, at_us: int) -> None:
        """The exchange asked us to wait, if it did: then nothing is tried again at once, as after a random drop."""
        if retry_after_us:
            self._held.retry_us = at_us + retry_after_us
            self._held.failures = max(self._held.failures, AT_ONCE + 1)

    def _lose_connection(self, at_us: int) -> None:
        held = self._held
        lasted = held.opened_us and at_us - held.opened_us >= STABLE_US
        held.failures = 1 if lasted else held.failures + 1
        held.opened_us = 0
        held.subscriptions = [subscription for subscription in held.subscriptions if not subscription.unwanted]
        self._by_key = {subscription.key: subscription for subscription in held.subscriptions}
        for subscription in held.subscriptions:
            subscription.phase, subscription.doubt = Phase.WANTED, None
            subscription.acked_us = subscription.data_us = subscription.due_us = subscription.moved_us = 0
            subscription.lapses = subscription.sequence = 0
            subscription.stale = subscription.again = False

    def _lapse(self, subscription: Subscription, until_us: int) -> None:
        subscription.phase = Phase.WANTED if subscription.phase is Phase.ASKED else Phase.RESYNCING
        subscription.lapses += 1
        beyond = subscription.lapses - LAPSES_MAX - 1
        if beyond >= 0:  # the others are answered: it waits by itself, and keeps nobody else from being asked for
            until_us += growing(UNANSWERED_FIRST_US, beyond, UNANSWERED_MAX_US)
            subscription.stale = False
        subscription.due_us = until_us

    def decide(self, now_us: int, rng: random.Random) -> Decision | None:
        """What is to be done by now; None, and `due_us` says until when. Changes nothing; see `decisions`.

        Args:
            now_us: Unix time; never goes back.
            rng: for the length of pauses.
        """
        look = Look(self._held, now_us, rng)
        decision = look.decide()
        self.due_us = look.due_us if decision is None else 0
        return decision


def _keys_of(event: Event) -> list[tuple[str, str | None, int | None]]:
    """The subscriptions that an event is data of."""
    match event:
        case Tickers():
            return [("ticker", ticker.symbol, None) for ticker in event.tickers]
        case Candles():
            return [("ohlc", *pair) for pair in {(candle.symbol, candle.interval): None for candle in event.candles}]
        case Spread():
            return [("spread", event.symbol, None)]
        case Instruments():
            return [("instrument", None, None)]
        case _:
            return []
