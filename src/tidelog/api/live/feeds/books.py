"""A book's best levels as a stream: the present ones, and each change.

Nothing is queued: a slow listener gets the latest book when it reads. A book that is not proven, or may be stale, is
sent as not proven, with the reason.
"""

from collections.abc import Sequence

from msgspec import Struct

from tidelog.api.http.problems import Refused
from tidelog.api.live.feeds.messages import Messages, message
from tidelog.api.live.feeds.tail import JournalTail, LiveBook
from tidelog.api.live.feeds.topics import Book, place_text
from tidelog.api.market.fields import Level
from tidelog.json_values import time_text
from tidelog.market.book.levels import Precision, ScaledLevel
from tidelog.market.projection.rows import decimal_text

__all__ = ["LiveTop", "book_stream", "levels_of", "live_book"]


class LiveTop(Struct, frozen=True):
    """A book's best levels. `at` is the journal's record; `reason` says why it is not proven."""

    symbol: str
    at: str
    proven: bool
    proven_depth: int
    reason: str | None
    time: str | None
    time_us: int  # of its last message; 0: none came on this connection
    age_ms: int | None
    bids: list[Level]
    asks: list[Level]


async def book_stream(tail: JournalTail, topic: Book) -> Messages:
    """The best levels of a book.

    Raises:
        Refused: no such book is recorded, or the journal is not followed now.
    """
    if not tail.ready:
        raise Refused(503, f"the recording {tail.name} is not followed now: {tail.health.reason}")
    if not tail.records("book", topic.symbol):
        symbols = ", ".join(tail.listed("book")[:20]) or "none"
        raise Refused(404, f"the recording {tail.name} has no book of {topic.symbol[:40]}; it has those of: {symbols}")
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
            yield [message("book", _absent(tail, topic.symbol) if book is None else live_book(book))]
        await signal.beyond(version)


def live_book(book: LiveBook) -> LiveTop:
    """A book as clients read it."""
    view = book.view
    return LiveTop(
        view.symbol,
        place_text(book.id),
        book.proven,
        view.proven_depth if book.proven else 0,
        book.reason,
        time_text(view.data_us) if view.data_us else None,
        view.data_us,
        None if book.age_us is None else book.age_us // 1_000,
        levels_of(view.bids, view.precision),
        levels_of(view.asks, view.precision),
    )


def _absent(tail: JournalTail, symbol: str) -> LiveTop:
    """A book that is not there yet, or not any more."""
    missing = "no snapshot of it has come yet" if tail.records("book", symbol) else "it is not recorded any more"
    reason = tail.health.reason or missing
    return LiveTop(symbol, place_text(tail.at), False, 0, reason, None, 0, None, [], [])


def levels_of(side: Sequence[ScaledLevel], precision: Precision) -> list[Level]:
    return [Level(decimal_text(price, precision.price), decimal_text(qty, precision.qty)) for price, qty in side]
