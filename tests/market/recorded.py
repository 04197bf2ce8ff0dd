"""A journal written by hand: events as its reader would give them, with the checks that true books have."""

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal

import msgspec

from tests.market.ladder import Pairs, delta, snapshot
from tidelog.market.book.levels import Book
from tidelog.market.book.proof import Check
from tidelog.market.core import JournalEvent
from tidelog.market.events import (
    EPOCH,
    Ack,
    Event,
    EventId,
    Heartbeat,
    Instrument,
    Instruments,
    Trade,
    Trades,
)
from tidelog.market.kraken.checksum import ChecksumProof, checksum_of

START_US = 1_700_000_000_000_000
SYMBOL = "BTC/USD"


def trade(
    number: int | None, at_us: int = 0, *, price: str = "100.0", qty: str = "1.00", symbol: str = SYMBOL
) -> Trade:
    """A trade `at_us` after the start, by the exchange's clock."""
    time = EPOCH + timedelta(microseconds=START_US + at_us)
    return Trade(symbol, "buy", Decimal(price), Decimal(qty), time, "limit", number)


class Recording:
    """Events so far. Each method adds one, `after_us` after the one before."""

    def __init__(self) -> None:
        self.events: list[JournalEvent] = []
        self.run = 1
        self.at_us = START_US
        self._seq = 0
        self._books: dict[str, Book] = {}

    def note(self, event: Event, after_us: int = 1_000, check: Check | None = None) -> JournalEvent:
        self.at_us += after_us
        self._seq += 1
        entry = JournalEvent(EventId(self.run, self._seq), self.at_us, event, check)
        self.events.append(entry)
        return entry

    def restart(self) -> None:
        """The process was killed, and is back."""
        self.run += 1
        self._seq = 0

    def heartbeat(self, after_us: int = 1_000) -> None:
        self.note(Heartbeat(), after_us)

    def trades(self, *numbers: int | None, after_us: int = 1_000, symbol: str = SYMBOL, snapshot: bool = False) -> None:
        """A frame of trades, each a second after the one of the id before."""
        found = [trade(number, (number or 0) * 1_000_000, symbol=symbol) for number in numbers]
        self.note(Trades(tuple(found), snapshot), after_us)

    def ack(self, channel: str, depth: int | None = None, method: str = "subscribe", symbol: str = SYMBOL) -> None:
        self.note(Ack(method, channel, symbol, depth))

    def instrument(self, status: str = "online") -> None:
        found = Instrument(SYMBOL, "BTC", "USD", status, 1, 8, Decimal("0.1"), Decimal("1E-8"))
        self.note(Instruments((found,)))

    def book(
        self, bids: Pairs, asks: Pairs, *, after_us: int = 1_000, whole: bool = False, wrong: bool = False
    ) -> None:
        """A book message with the checksum that is right for it, or a wrong one."""
        message = (snapshot if whole else delta)(bids, asks)
        known_book = self._books.get(SYMBOL)
        if known_book is None:
            known_book = self._books[SYMBOL] = Book(SYMBOL, 10, ChecksumProof)
        known_book.apply(message)
        message = msgspec.structs.replace(message, checksum=checksum_of(known_book) ^ wrong)
        self.note(message, after_us, known_book.apply(message) if whole else _check(known_book, wrong))


def _check(book: Book, wrong: bool) -> Check:
    return Check.MISMATCHED if wrong else Check.MATCHED


def levels(prices: Sequence[int], qty: int = 1) -> list[tuple[str, str]]:
    return [(f"{price}.0", f"{qty}.00") for price in prices]
