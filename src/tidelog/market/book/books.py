"""The books of a connection, fed with frames: decode, apply, check, in one call. No I/O, no clock.

`Books.apply_frame` is where each frame goes that the compiled core does not take; `lending` and `gathering` have its
books. What it promises, tests/market/book/test_books.py states: the events, the checks, `Rejected`.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from tidelog.market.book.levels import Book, BookState, Precision, ScaledLevel
from tidelog.market.book.proof import Check, NewProof
from tidelog.market.events import BookDelta, BookSnapshot, Event


class Books:
    """Books by symbol, each opened with its depth. Messages for other symbols pass by, unchecked."""

    def __init__(self, decode: Callable[[bytes], Event], proof: NewProof) -> None:
        """
        Args:
            decode: of the exchange's protocol; it may have a state, see `venue.Decoder`.
            proof: makes what proves a book.
        """
        self._decode = decode
        self._proof = proof
        self._books: dict[str, Book] = {}

    def open(self, symbol: str, depth: int, precision: Precision | None = None) -> Book:
        """Follow `symbol`, from an empty book."""
        book = self._books[symbol] = Book(symbol, depth, self._proof, precision)
        return book

    def put_back(self, state: BookState) -> None:
        """Follow a book from a state that it had."""
        self._books[state.symbol] = Book.restored(state, self._proof)

    def decode_with(self, decode: Callable[[bytes], Event]) -> None:
        """Read frames by another decoder from now on: of a new connection."""
        self._decode = decode

    def close(self, symbol: str) -> None:
        self._books.pop(symbol, None)

    @property
    def by_symbol(self) -> Mapping[str, Book]:
        return MappingProxyType(self._books)

    def apply_frame(self, frame: bytes) -> tuple[Event, Check | None]:
        """What the frame says, and, where it is about an open book, what it proved.

        Raises:
            Rejected: the frame is malformed; no book has changed.
        """
        event = self._decode(frame)
        if type(event) is BookDelta or type(event) is BookSnapshot:  # for structs, isinstance is slow to deny
            book = self._books.get(event.symbol)
            if book is not None:
                return event, book.apply(event)
        return event, None

    def apply(self, message: BookSnapshot | BookDelta) -> Check | None:
        """What one message of a `BookUpdates` proved; `apply_frame` leaves them to the caller."""
        book = self._books.get(message.symbol)
        return None if book is None else book.apply(message)

    def top(self, symbol: str, levels: int | None) -> tuple[tuple[ScaledLevel, ...], tuple[ScaledLevel, ...]]:
        """The best levels of an open book, or all of them: bids and asks."""
        book = self._books[symbol]
        return (book.bids, book.asks) if levels is None else book.top(levels)

    def but_levels(self, symbol: str) -> Book | None:
        """An open book for all that it says but its levels: those may not be here, see `top`. None: it is not open."""
        return self._books.get(symbol)

    @property
    def unproven(self) -> list[str]:
        """Symbols whose books the last message did not prove."""
        return [symbol for symbol, book in self._books.items() if not book.proven]

    def suspect(self, symbols: Sequence[str] | None) -> tuple[str, ...]:
        """Take the proof from the books that a lost frame may have been about.

        Args:
            symbols: as far as the frame said; None, or none that is open: it may have been any.

        Returns:
            Those that were meant.
        """
        known = () if symbols is None else tuple([symbol for symbol in symbols if symbol in self._books])
        suspected = tuple(self._books) if not known and symbols != () else known
        for symbol in suspected:
            self._books[symbol].suspect()
        return suspected
