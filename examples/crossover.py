"""Trades on paper: buys when the mean of few trades rises above that of many, sells when it falls below.

Orders are filled against the book, level by level, and only while it is proven: this program puts the checksum together
itself. What it does follows from the events alone, so a replay of the journal ends as the live run did.

python examples/crossover.py --trades 200 --journal paper.journal [--url ws://127.0.0.1:8546/v2]    # live
python examples/crossover.py --trades 200 --replay paper.journal                                    # again
"""

import argparse
import asyncio
import sys
from collections import deque
from collections.abc import Iterable
from decimal import Decimal
from zlib import crc32

from tidelog import SystemRuntime, TidelogError
from tidelog.market import (
    BookDelta,
    BookSnapshot,
    BookUpdates,
    Connected,
    Disconnected,
    Event,
    Feed,
    Lagged,
    Trades,
    read_source,
    replay_records,
)

FEW, MANY = 5, 20  # trades of the two means
QTY = Decimal("1.5")
DEPTH, PROVEN_LEVELS = 10, 10


class Book:
    """Levels as the exchange wrote them, by price, the best first; `proven` while they have its checksum."""

    def __init__(self) -> None:
        self.bids: dict[Decimal, tuple[str, str]] = {}
        self.asks: dict[Decimal, tuple[str, str]] = {}
        self.proven = False

    def take(self, message: BookSnapshot | BookDelta) -> None:
        if isinstance(message, BookSnapshot):
            self.bids, self.asks = {}, {}
        for side, levels in (("bids", message.bids), ("asks", message.asks)):
            held = dict(getattr(self, side))
            for level in levels:
                price = Decimal(level.price_text)
                if Decimal(level.qty_text):
                    held[price] = (level.price_text, level.qty_text)
                else:
                    held.pop(price, None)
            best = sorted(held, reverse=side == "bids")[:DEPTH]
            setattr(self, side, {price: held[price] for price in best})
        self.proven = message.checksum == self.checksum()

    def checksum(self) -> int:
        """As https://docs.kraken.com/api/docs/guides/spot-ws-book-v2 has it."""
        best = [*self.asks.values()][:PROVEN_LEVELS] + [*self.bids.values()][:PROVEN_LEVELS]
        return crc32("".join(text.replace(".", "").lstrip("0") for level in best for text in level).encode())

    def fill(self, side: str, qty: Decimal) -> Decimal | None:
        """What `qty` costs or brings; None: the book is not proven, or does not have as much."""
        total = Decimal(0)
        for price, (_, there) in (self.asks if side == "buy" else self.bids).items():
            part = min(qty, Decimal(there))
            total, qty = total + part * price, qty - part
            if not qty:
                return total if self.proven else None
        return None


class Crossover:
    """The strategy, and what it has. `take` is a function of the events: no clock, no chance."""

    def __init__(self, symbol: str) -> None:
        self.trades = self.filled = self.missed = 0
        self.holds = False
        self.cash = Decimal(0)
        self._symbol = symbol
        self._book = Book()
        self._prices: deque[Decimal] = deque(maxlen=MANY)

    def take(self, event: Event) -> None:
        match event:
            case BookSnapshot() | BookDelta():
                self._take_book(event)
            case BookUpdates(parts):
                for part in parts:
                    self._take_book(part)
            case Connected() | Disconnected():
                self._book = Book()  # what changes meanwhile, nobody tells
            case Trades(trades, snapshot=False):  # a snapshot repeats trades that were sent before
                for trade in trades:
                    if trade.symbol == self._symbol:
                        self._prices.append(trade.price)
                        self.trades += 1
                self._decide()

    def _take_book(self, message: BookSnapshot | BookDelta) -> None:
        if message.symbol == self._symbol:
            self._book.take(message)

    def _decide(self) -> None:
        if len(self._prices) < MANY:
            return
        prices = list(self._prices)
        rises = sum(prices[-FEW:]) / FEW > sum(prices) / MANY
        if rises == self.holds:
            return
        side = "buy" if rises else "sell"
        money = self._book.fill(side, QTY)
        if money is None:
            self.missed += 1
            return
        self.filled, self.holds = self.filled + 1, rises
        self.cash += -money if rises else money

    def __str__(self) -> str:
        held = QTY if self.holds else Decimal(0)
        return (
            f"{self.trades} trades, {self.filled} orders filled, {self.missed} not, cash {self.cash:f}, holds {held:f}"
        )


async def live(symbol: str, journal: str, url: str | None, trades: int) -> Crossover:
    strategy = Crossover(symbol)
    async with Feed([symbol], ["book", "trade"], journal=journal, url=url, depth=DEPTH) as feed:
        async for batch in feed.batches(durable_only=True):
            if isinstance(batch, Lagged):
                sys.exit(f"{batch.missed} events were missed: from here on a replay would differ")
            if enough(strategy, batch.events, trades):
                break
    return strategy


async def again(symbol: str, journal: str, trades: int) -> Crossover:
    strategy = Crossover(symbol)
    async for item in replay_records(read_source(journal), SystemRuntime()):
        if enough(strategy, [item.event], trades):
            break
    return strategy


def enough(strategy: Crossover, events: Iterable[Event], trades: int) -> bool:
    for event in events:
        strategy.take(event)
        if strategy.trades >= trades:
            return True
    return False


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--symbol", default="BTC/USD")
    parser.add_argument("--journal", default="paper.journal")
    parser.add_argument("--url")
    parser.add_argument("--replay", metavar="JOURNAL")
    parser.add_argument("--trades", type=int, default=200, help="after which it ends")
    given = parser.parse_args()
    try:
        if given.replay:
            print(asyncio.run(again(given.symbol, given.replay, given.trades)))
        else:
            print(asyncio.run(live(given.symbol, given.journal, given.url, given.trades)))
    except TidelogError as error:
        sys.exit(f"{error}")
