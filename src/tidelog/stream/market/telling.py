"""What a record of a journal comes to, for those who follow a recording elsewhere: a pure function of the journal.

A core is taken from record to record, as everywhere. What is told of a book beside its messages (its top, whether it is
proven) is told where it differs from what it was before the record; so whoever begins at any record tells the same.
Private channels are not told.
"""

from collections.abc import Collection, Iterable, Iterator

from tidelog.market.book.levels import Book, Precision, ScaledLevel, plain_number
from tidelog.market.book.proof import Check
from tidelog.market.core import Core, JournalEvent
from tidelog.market.events import (
    BookDelta,
    BookSnapshot,
    BookUpdates,
    Candle,
    Candles,
    Disconnected,
    Heartbeat,
    Missed,
    Started,
    Tickers,
    Trade,
    Trades,
    micros,
)
from tidelog.market.events import Level as WrittenLevel
from tidelog.market.projection.rows import decimal_text
from tidelog.market.records import Kind, Record
from tidelog.stream.market.messages import (
    KINDS_OF_EVENTS,
    BookChange,
    BookTop,
    EventKind,
    ExchangeCandle,
    Level,
    MarketEvent,
    Missing,
    ProofState,
    RecordedTrade,
    TradesMade,
)

__all__ = ["Teller"]

_SNAPSHOT = b'"FullState"'  # the tag of a control record that has a core's whole state


class Teller:
    """Takes a core from record to record, and says what each comes to."""

    def __init__(self, core: Core, kinds: Collection[EventKind] = KINDS_OF_EVENTS) -> None:
        self._core = core
        self._kinds = frozenset(kinds)
        self._told: dict[str, BookTop] = {}  # of each book that is followed
        self._ids: dict[str, int] = {}  # the last trade's, of each symbol that had one since it was subscribed

    def pass_by(self, record: Record) -> None:
        """Take a record that was told before."""
        self._core.apply(record)

    def begin(self) -> None:
        """All that comes now is to be told: after `pass_by`."""
        self._note_all()

    def take(self, record: Record) -> list[MarketEvent]:
        """What the next record comes to. Corruption: it cannot follow on what came before."""
        core = self._core
        entry = core.apply(record)
        found: list[MarketEvent] = []
        rare = record.kind is Kind.CONTROL
        if rare:
            if _SNAPSHOT in record.payload[:40]:
                found += self._books_again()
        elif entry is None:
            return []
        touched = None if entry is None or rare else self._touched(entry)
        if entry is not None:
            found += self._said(entry)
        if touched is None:
            self._note_ids()
        for symbol in self._all() if touched is None else touched:
            found += self._differs(symbol)
        return [event for event in found if event.__struct_config__.tag in self._kinds]

    # -- what events say ------------------------------------------------------------------------------------------

    def _said(self, entry: JournalEvent) -> Iterator[MarketEvent]:
        match entry.event:
            case BookDelta() | BookSnapshot() as message:
                yield from self._book(message, entry.check)
            case BookUpdates(parts):
                for part, check in zip(parts, entry.checks, strict=True):
                    yield from self._book(part, check)
            case Trades() as trades:
                yield from self._trades(trades)
            case Candles(candles, snapshot):
                for candle in candles:
                    yield _candle(candle, snapshot)
            case Started(previous_us=int(previous_us)):
                yield Missing(reason="restart", since_us=previous_us)
            case Disconnected(reason):
                yield Missing(reason=reason, since_us=entry.at_us)
            case Missed(reason):
                yield Missing(reason=reason, since_us=entry.at_us or None)

    def _book(self, message: BookDelta | BookSnapshot, check: Check | None) -> Iterator[BookChange]:
        book = self._core.books.by_symbol.get(message.symbol)
        if book is None:  # it is not followed any more
            return
        yield BookChange(
            symbol=message.symbol,
            snapshot=isinstance(message, BookSnapshot),
            depth=book.depth,
            bids=_written(message.bids),
            asks=_written(message.asks),
            time_us=None if message.timestamp is None else micros(message.timestamp),
            check=None if check is None else check.value,
            proven=book.proven,
        )

    def _books_again(self) -> Iterator[BookChange]:
        """All books as they are, for those who begin here."""
        for symbol, book in self._core.books.by_symbol.items():
            if book.ready:
                yield BookChange(
                    symbol=symbol,
                    snapshot=True,
                    again=True,
                    depth=book.depth,
                    bids=_scaled(book.bids, book.precision),
                    asks=_scaled(book.asks, book.precision),
                    proven=book.proven,
                )

    def _trades(self, event: Trades) -> Iterator[MarketEvent]:
        by_symbol: dict[str, list[Trade]] = {}
        for trade in event.trades:
            by_symbol.setdefault(trade.symbol, []).append(trade)
        for symbol, trades in by_symbol.items():
            ids = [trade.trade_id for trade in trades if trade.trade_id is not None]
            before = self._ids.get(symbol, 0)
            if before and ids and not event.snapshot and min(ids) > before + 1:
                yield Missing(symbol=symbol, reason="trade_ids", first=before + 1, last=min(ids) - 1)
            if ids:
                self._ids[symbol] = max(before, *ids)
            yield TradesMade(symbol=symbol, snapshot=event.snapshot, trades=_made(trades))

    # -- what differs ---------------------------------------------------------------------------------------------

    def _touched(self, entry: JournalEvent) -> Collection[str] | None:
        """Symbols of books that the record may have changed; None: any, and subscriptions too."""
        match entry.event:
            case BookDelta(symbol=symbol) | BookSnapshot(symbol=symbol):
                return (symbol,)
            case BookUpdates(parts):
                return dict.fromkeys([part.symbol for part in parts])
            case Trades() | Tickers() | Candles() | Heartbeat():
                return ()
        return None

    def _all(self) -> list[str]:
        return sorted({*self._told, *self._core.books.by_symbol})

    def _note_all(self) -> None:
        self._told = {symbol: now for symbol in self._core.books.by_symbol if (now := self._now(symbol)) is not None}
        self._note_ids()

    def _note_ids(self) -> None:
        subscriptions = self._core.session.session_state.subscriptions
        self._ids = {
            each.symbol: each.sequence
            for each in subscriptions
            if each.stream.channel == "trade" and each.symbol is not None and each.sequence
        }

    def _differs(self, symbol: str) -> Iterator[MarketEvent]:
        before, now = self._told.get(symbol), self._now(symbol)
        if now is None:
            self._told.pop(symbol, None)
            now = BookTop(symbol=symbol, bid=None, ask=None, proven=False)
        else:
            self._told[symbol] = now
        if before is None:
            before = BookTop(symbol=symbol, bid=None, ask=None, proven=False)
        if now.proven != before.proven:
            book = self._core.books.by_symbol.get(symbol)
            yield ProofState(symbol=symbol, proven=now.proven, levels=0 if book is None else book.proven_depth)
        if now != before:
            yield now

    def _now(self, symbol: str) -> BookTop | None:
        book = self._core.books.by_symbol.get(symbol)
        if book is None:
            return None
        bids, asks = book.top(1)
        return BookTop(symbol=symbol, bid=_best(bids, book), ask=_best(asks, book), proven=book.proven)


def _best(side: tuple[ScaledLevel, ...], book: Book) -> Level | None:
    return _scaled(side, book.precision)[0] if side else None


def _scaled(side: Iterable[ScaledLevel], precision: Precision) -> list[Level]:
    return [Level(decimal_text(price, precision.price), decimal_text(qty, precision.qty)) for price, qty in side]


def _written(side: Iterable[WrittenLevel]) -> list[Level]:
    return [Level(plain_number(level.price_text), plain_number(level.qty_text)) for level in side]


def _made(trades: list[Trade]) -> list[RecordedTrade]:
    """As the store has them: the ordinals too."""
    found: list[RecordedTrade] = []
    ordinals: dict[int, int] = {}
    for trade in trades:
        time_us = micros(trade.timestamp)
        ordinal = ordinals[time_us] = ordinals.get(time_us, -1) + 1
        if trade.trade_id is not None:
            ordinal = trade.trade_id
        price, qty = f"{trade.price:f}", f"{trade.qty:f}"
        found.append(RecordedTrade(time_us, trade.trade_id, ordinal, trade.side, trade.ord_type, price, qty))
    return found


def _candle(candle: Candle, snapshot: bool) -> ExchangeCandle:
    numbers = (candle.open, candle.high, candle.low, candle.close, candle.vwap, candle.volume)
    opened, high, low, close, vwap, volume = [f"{number:f}" for number in numbers]
    return ExchangeCandle(
        symbol=candle.symbol,
        interval_s=candle.interval * 60,
        time_us=micros(candle.interval_begin),
        open=opened,
        high=high,
        low=low,
        close=close,
        vwap=vwap,
        volume=volume,
        trades=candle.trades,
        snapshot=snapshot,
    )
