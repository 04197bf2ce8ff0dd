"""What a session takes note of when an event comes: acknowledgements, refusals, data, and what puts them in doubt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import UNSET

from tidelog.market.book.proof import Check
from tidelog.market.book.watch import Noted, Watch
from tidelog.market.events import (
    Ack,
    Balances,
    BookDelta,
    BookSnapshot,
    Candles,
    Event,
    Executions,
    Instruments,
    Pong,
    Rejection,
    Spread,
    Status,
    Tickers,
    Trades,
)
from tidelog.market.session.fills import apply_fills
from tidelog.market.session.followed import UNDER_WAY, Followed
from tidelog.market.session.rules import Refusal
from tidelog.market.session.subscription.actions import ended
from tidelog.market.session.subscription.pace import waited
from tidelog.market.session.subscription.silence import NEVER_US, alike_until_us, note_alike, watch_of
from tidelog.market.session.subscription.subscription_phases import Happening
from tidelog.market.session.subscription.subscriptions import Phase, Subscription

if TYPE_CHECKING:
    from collections.abc import Iterator

ONLINE = "online"  # how an exchange says that it is back; see `events.Status`

_DOUBTFUL = {  # what a message may say about its book, and the reason for a resync
    Check.MISMATCHED: "checksum differs",
    Check.REFUSED: "update refused",
    Check.OUTDATED: "older than the message before",
    Check.GAP: "messages are missing",
}


class Observer(Followed):
    """Takes note of events; see `Session`."""

    def observe(self, event: Event, check: Check | None, at_us: int) -> None:
        """Take note of an event, and of what it proved."""
        self._session_state.last_received_us = at_us
        kind = type(event)
        if kind is BookDelta or kind is BookSnapshot:
            assert isinstance(event, BookDelta | BookSnapshot)
            subscription = self._by_key.get(("book", event.symbol, None))
            if subscription is not None:
                if kind is BookSnapshot:
                    self._imply_ack(subscription, at_us)
                seen = event.checksum
                if seen is None and event.sequence is not UNSET:
                    seen = event.sequence.last
                self._note_data(subscription, at_us, moved=kind is BookDelta, seen=seen)
                if check in _DOUBTFUL and subscription.phase is Phase.HELD and subscription.suspect_reason is None:
                    subscription.suspect_reason = _DOUBTFUL[check]
                    self.deadline_us = 0
            return
        match event:
            case Ack():
                self._learn()
                self._session_state.answered_us = at_us
                self._acknowledge(event, at_us)
            case Rejection():
                self._learn()
                self._session_state.answered_us = at_us
                self._refuse(event, at_us)
            case Pong():
                self._session_state.answered_us = at_us
                self.deadline_us = 0
            case Status(system=system):
                if system == ONLINE:
                    self._ask_refused_again(at_us)
            case Executions() | Balances():
                self._follow_sequence(event, at_us)
            case Trades():
                self._follow_trades(event, at_us)
            case _:
                for key in _keys_of(event):
                    subscription = self._by_key.get(key)
                    if subscription is not None:
                        self._imply_ack(subscription, at_us)
                        self._note_data(subscription, at_us, moved=subscription.data_us > 0)

    def note_frames(self, at_us: int) -> None:
        """Frames came that nothing follows from but the market's pace, which is not kept where nothing is decided."""
        self._session_state.last_received_us = at_us

    def note_trades(self, symbol: str, trade_id: int) -> None:
        """Trades came, none of which is missing, up to this id; nothing else follows, as for `note_frames`."""
        subscription = self._by_key.get(("trade", symbol, None))
        if subscription is not None:
            subscription.sequence = max(subscription.sequence, trade_id)

    def note_update(self, symbol: str, checksum: int, at_us: int) -> None:
        """An update of a book came that matched, as `observe` of it."""
        subscription = self._by_key.get(("book", symbol, None))
        if subscription is not None:
            self._note_data(subscription, at_us, moved=True, seen=checksum)

    def told_us(self, symbol: str) -> int | None:
        """When the last message of a book came that this was told of; 0: none did; None: it is not subscribed to."""
        subscription = self._by_key.get(("book", symbol, None))
        return None if subscription is None else subscription.data_us

    def watch_of(self, symbol: str) -> Watch | None:
        """How a book's messages that match may be watched, snapshots of what is held; None: the next one may not."""
        subscription = self._by_key.get(("book", symbol, None))
        return Watch(0) if subscription is None else watch_of(subscription, self._limits.silence.pace)

    def note_alike(self, symbol: str, noted: Noted) -> None:
        """Messages of a book came as `watch_of` said: as `observe` of each."""
        subscription = self._by_key.get(("book", symbol, None))
        if subscription is not None:
            note_alike(subscription, noted, self._limits.silence.pace)

    def note_followed(self, channel: str, symbol: str, trade_id: int | None, at_us: int) -> None:
        """Trades or tickers came at one moment, none of which is missing, up to this id where they have ids.

        As `observe` of each, if the moment is before `alike_until_us`, they are held, and some came before.
        """
        subscription = self._by_key.get((channel, symbol, None))
        if subscription is None:
            return
        if channel == "trade":
            subscription.sequence = max(subscription.sequence, trade_id or 0)
            self._note_trades(subscription, at_us, snapshot=False)
        else:
            self._note_data(subscription, at_us, moved=subscription.data_us > 0)

    def alike_until_us(self, channel: str, symbol: str) -> int:
        """The time before which nothing is due because of data that say only how the market moved."""
        subscription = self._by_key.get((channel, symbol, None))
        return NEVER_US if subscription is None else alike_until_us(subscription, self._limits.silence.pace)

    def suspect_book(self, symbol: str, reason: str) -> None:
        """An update of this book was lost."""
        subscription = self._by_key.get(("book", symbol, None))
        if subscription is not None and subscription.phase is Phase.HELD and subscription.suspect_reason is None:
            subscription.suspect_reason = reason
            self.deadline_us = 0

    def _acknowledge(self, ack: Ack, at_us: int) -> None:
        subscription = self._by_key.get((ack.channel, ack.symbol, ack.interval))
        if subscription is not None:
            self._acknowledge_one(subscription, ack, at_us)
        elif not self.rules.acks_name_symbols and ack.symbol is None:
            for each in self._of_request(ack):
                self._acknowledge_one(each, ack, at_us)

    def answered_by(self, ack: Ack) -> tuple[str, ...]:
        """The symbols of the request that an ack is of, where it names none: to be asked before it is observed."""
        return tuple([one.symbol for one in self._of_request(ack) if one.symbol is not None])

    def _of_request(self, ack: Ack) -> list[Subscription]:
        return [
            one
            for one in self._session_state.subscriptions
            if one.req_id == ack.req_id and one.stream.channel == ack.channel
        ]

    def _acknowledge_one(self, subscription: Subscription, ack: Ack, at_us: int) -> None:
        if ack.method != "subscribe":
            if ack.req_id is not None:
                self._step(subscription, Happening.LEFT, at_us)
                return
            held = subscription.phase is Phase.HELD
            until_us = ended(subscription, at_us, self._limits) if held else at_us
            self._step(subscription, Happening.ENDED, at_us, until_us=until_us)
        elif ack.req_id in (None, subscription.req_id):
            if ack.req_id is None or ack.req_id >= subscription.acks_from:
                self._step(subscription, Happening.ACKED, at_us)
        elif ack.req_id >= subscription.acks_from:  # one that comes late is believed, unless we have left since
            self._step(subscription, Happening.ACKED_EARLIER, at_us)

    def _refuse(self, rejection: Rejection, at_us: int) -> None:
        refusal = self.rules.refusal(rejection)
        if refusal is Refusal.THROTTLED:  # does not say which: all that are under way are asked for again
            self._session_state.next_send_us = at_us + self._limits.throttled_us
            for subscription in self._session_state.subscriptions:
                if subscription.phase in UNDER_WAY:
                    until_us = self._session_state.next_send_us
                    self._step(subscription, Happening.TIMED_OUT, at_us, until_us=until_us)
            self.deadline_us = 0
            return
        for subscription in [*self._meant(rejection)]:
            self._session_state.expired |= self._session_state.private and refusal is Refusal.TOKEN
            already = refusal is Refusal.ALREADY
            self._step(subscription, Happening.ALREADY if already else Happening.REFUSED, at_us)
        self.deadline_us = 0

    def _ask_refused_again(self, at_us: int) -> None:
        """What was refused while the exchange was under maintenance may be had now, whatever pause had come of that."""
        for subscription in self._session_state.subscriptions:
            if subscription.refusals and subscription.phase is Phase.WANTED:
                subscription.not_before_us = min(subscription.not_before_us, at_us)
                self.deadline_us = 0

    def refused_by(self, rejection: Rejection) -> tuple[tuple[str, str | None], ...]:
        """Channel and symbol of the subscriptions that a refusal keeps from us: to be asked before it is observed."""
        if self.rules.refusal(rejection) in (Refusal.THROTTLED, Refusal.ALREADY):
            return ()
        asked = [one for one in self._meant(rejection) if one.phase is not Phase.LEAVING]
        return tuple([(one.stream.channel, one.symbol) for one in asked])

    def _meant(self, rejection: Rejection) -> Iterator[Subscription]:
        """The subscriptions that a refusal is about, as far as it says."""
        if rejection.req_id is None and rejection.symbol is None and rejection.channel is None:
            return
        for subscription in self._session_state.subscriptions:
            if (
                subscription.phase in UNDER_WAY
                and rejection.req_id in (None, subscription.req_id)
                and rejection.symbol in (None, subscription.symbol)
                and rejection.channel in (None, subscription.stream.channel)
            ):
                yield subscription

    def _follow_sequence(self, event: Executions | Balances, at_us: int) -> None:
        if isinstance(event, Executions) and (event.trades or event.snapshot):
            self._session_state.fills, _ = apply_fills(self._session_state.fills, event, self._limits)
        subscription = self._by_key.get((event.channel, None, None))
        if subscription is None:
            return
        self._imply_ack(subscription, at_us)
        self._note_data(subscription, at_us, moved=not event.snapshot)
        before, subscription.sequence = subscription.sequence, event.sequence
        if not event.snapshot and (before == 0 or event.sequence != before + 1) and subscription.suspect_reason is None:
            subscription.suspect_reason = f"sequence {before} to {event.sequence}" if before else "no snapshot"
            self.deadline_us = 0

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
            if jumped and subscription.phase is Phase.HELD and subscription.suspect_reason is None:
                subscription.suspect_reason = f"trade {before} to {trade.trade_id}"
                self.deadline_us = 0
        for subscription in followed.values():
            self._note_trades(subscription, at_us, snapshot=event.snapshot)

    def _note_trades(self, subscription: Subscription, at_us: int, *, snapshot: bool) -> None:
        seen = subscription.sequence or None
        # v1 begins with trades that were before, and does not say so
        moved = not snapshot and (seen is not None or subscription.data_us > 0)
        if moved and not subscription.moved_us:
            subscription.pace = waited(subscription.pace, at_us - subscription.acked_us, at_us)
        self._note_data(subscription, at_us, moved=moved, seen=seen)
        if moved:  # by then its book has to have said something too
            self.deadline_us = min(self.deadline_us, at_us + self._limits.silence.stale_least_us["book"])


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
