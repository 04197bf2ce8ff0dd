"""What a reader makes of a recording's stream, written apart from the engine: books, trades, and what was missed."""

from decimal import Decimal

from tidelog.market.core import Core
from tidelog.market.projection.rows import decimal_text
from tidelog.stream.market.messages import (
    BookChange,
    BookTop,
    Level,
    MarketEvent,
    MarketItem,
    MarketReset,
    Missing,
    ProofState,
    Recorded,
    TradesMade,
)

Side = dict[Decimal, Decimal]
Key = tuple[int, int, int]  # run, seq, place in the record


class Folded:
    """Items of `events`, in order."""

    def __init__(self) -> None:
        self.place = "0"
        self.at = (0, 0)
        self.books: dict[str, tuple[Side, Side]] = {}
        self.tops: dict[str, BookTop] = {}
        self.proven: dict[str, bool] = {}
        self.trades: dict[tuple[str, int], tuple[int, str, str, str]] = {}  # by symbol and id
        self._first: dict[tuple[str, int], tuple[int, int]] = {}  # the record that told of a trade first
        self.gaps: list[Missing] = []
        self.resets = 0
        self.records = 0

    def take(self, item: MarketItem) -> None:
        if isinstance(item, MarketReset):
            assert (item.run, item.seq) <= self.at
            self.at = (item.run, item.seq)
            self.resets += 1
            self.books, self.tops, self.proven = {}, {}, {}  # they come again
            self._forget_trades()
        else:
            assert isinstance(item, Recorded)
            assert (item.run, item.seq) > self.at, "each record comes once, in order"
            self.at = (item.run, item.seq)
            self.records += 1
            for event in item.events:
                self.hear(event)
        self.place = item.place

    def hear(self, event: MarketEvent) -> None:
        match event:
            case BookChange():
                self._change(event)
            case BookTop():
                self.tops[event.symbol] = event
            case ProofState():
                assert self.proven.get(event.symbol) != event.proven, "a state is told where it changes"
                self.proven[event.symbol] = event.proven
            case TradesMade():
                for each in event.trades:
                    assert each.trade_id is not None
                    key = (event.symbol, each.trade_id)
                    self.trades[key] = (each.time_us, each.side, each.price, each.qty)
                    self._first.setdefault(key, self.at)
            case Missing():
                self.gaps.append(event)

    def _forget_trades(self) -> None:
        """Of records behind where a journal went back to: they are lost, and the exchange may not repeat them."""
        for key in [key for key, record in self._first.items() if record > self.at]:
            del self._first[key], self.trades[key]

    def _change(self, event: BookChange) -> None:
        if event.snapshot:
            self.books[event.symbol] = ({}, {})
        sides = self.books.setdefault(event.symbol, ({}, {}))
        for side, levels, best_is_high in ((sides[0], event.bids, True), (sides[1], event.asks, False)):
            for level in levels:
                price, qty = Decimal(level.price), Decimal(level.qty)
                if qty:
                    side[price] = qty
                else:
                    side.pop(price, None)
            for price in sorted(side, reverse=best_is_high)[event.depth :]:
                del side[price]

    def equals(self, core: Core) -> None:
        """Held against the core's books at the same place."""
        for symbol, book in core.books.by_symbol.items():
            assert self.proven.get(symbol, False) == book.proven, symbol
            if not book.ready or not book.proven:
                continue
            for side, levels in zip(self.books[symbol], (book.bids, book.asks), strict=True):
                expected = {
                    Decimal(decimal_text(price, book.precision.price)): Decimal(decimal_text(qty, book.precision.qty))
                    for price, qty in levels
                }
                assert side == expected, symbol
            for told, levels in ((self.tops[symbol].bid, book.bids), (self.tops[symbol].ask, book.asks)):
                price, qty = levels[0]
                assert told == Level(
                    decimal_text(price, book.precision.price), decimal_text(qty, book.precision.qty)
                ), symbol
