"""A book's best levels as a stream: how they are now, and again whenever they are otherwise.

Nothing waits in between: a listener that is slow is told the latest when it comes to read. A book that is not
proven, or may be another by now, is told as such, and why.
"""

from typing import Any

from tidelog.api.live.messages import Messages, message
from tidelog.api.live.rows import time_text
from tidelog.api.live.tail import JournalTail, LiveBook
from tidelog.api.live.topics import Book, place_text
from tidelog.api.problems import Refused
from tidelog.market.book import Units
from tidelog.market.rows import decimal_text

__all__ = ["book_object", "book_stream"]


async def book_stream(tail: JournalTail, topic: Book) -> Messages:
    """The best levels of a book.

    Raises:
        Refused: no such book is recorded, or the journal is not followed now.
    """
    if not tail.ready:
        raise Refused(503, f"the recording {tail.name} is not followed now: {tail.health.reason}")
    if tail.book(topic.symbol, 1) is None:
        held = ", ".join(tail.listed("book")[:20]) or "none"
        raise Refused(404, f"the recording {tail.name} has no book of {topic.symbol[:40]}; it has those of: {held}")
    return _tops(tail, topic)


async def _tops(tail: JournalTail, topic: Book) -> Messages:
    shown: object = None
    while True:
        signal = tail.touched(topic.symbol)
        version = signal.version
        book = tail.book(topic.symbol, topic.levels)
        now = None if book is None else (book.view.bids, book.view.asks, book.proven, book.reason)
        if shown is None or now != shown:
            shown = now or ()
            yield [message("book", _absent(tail, topic.symbol) if book is None else book_object(book))]
        await signal.beyond(version)


def book_object(book: LiveBook) -> dict[str, Any]:
    """A book as clients read it: levels are [price, quantity], exact decimals, best first."""
    view = book.view
    return {
        "symbol": view.symbol,
        "at": place_text(book.id),
        "proven": book.proven,
        "proven_depth": view.proven_depth if book.proven else 0,
        "reason": book.reason,
        "time": time_text(view.data_us) if view.data_us else None,
        "age_ms": None if book.age_us is None else book.age_us // 1_000,
        "bids": [_level(level, view.precision.price, view.precision.qty) for level in view.bids],
        "asks": [_level(level, view.precision.price, view.precision.qty) for level in view.asks],
    }


def _absent(tail: JournalTail, symbol: str) -> dict[str, Any]:
    """A book that is not recorded any more, or whose recording has to be begun again."""
    return {
        "symbol": symbol,
        "at": place_text(tail.at),
        "proven": False,
        "proven_depth": 0,
        "reason": tail.health.reason or "it is not recorded any more",
        "time": None,
        "age_ms": None,
        "bids": [],
        "asks": [],
    }


def _level(level: Units, price_scale: int, qty_scale: int) -> tuple[str, str]:
    return decimal_text(level.price, price_scale), decimal_text(level.qty, qty_scale)
