"""Books that are lent to the compiled core while they are proven; it applies their updates many at a time. Pure.

A book is either here or lent. The core takes nothing but what leaves a book proven, heartbeats, and trades and
tickers that are followed, because nothing else follows from them; for all else the book comes back, and the Python path
goes on with it. So each message means the same whoever took it.
"""

import enum
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from msgspec import UNSET, Struct

from tidelog.batch import INT_MAX
from tidelog.errors import Corruption
from tidelog.market.book.books import Books
from tidelog.market.book.levels import Book, BookContent, Precision, ScaledLevel
from tidelog.market.book.proof import Check, NewProof
from tidelog.market.book.watch import Noted, Watch
from tidelog.market.events import (
    EPOCH,
    NOTHING,
    BookDelta,
    BookSnapshot,
    Event,
    EventId,
    Heartbeat,
    Level,
    Tickers,
    Trades,
    micros,
)
from tidelog.market.records import KINDS, PackedRecords, Record

__all__ = [
    "Counts",
    "Cursor",
    "Fault",
    "Gathered",
    "Lending",
    "LendingBooks",
    "OnFault",
    "Print",
    "Prints",
    "Purpose",
    "Room",
    "Sample",
    "Seen",
    "Stretch",
]

SCALE_MAX = 19  # decimals of a number in 64 bits
LEVELS_ALL = 1_000_000  # of a side: more than any book has
FAULTS_MAX = 100  # then it is not asked any more: one at each frame would fill a log


class Cursor(NamedTuple):
    """A place in packed records: the number of a record, and where its bytes begin; 0 for the first."""

    seq: int
    at: int = 0


class Fault(NamedTuple):
    """A panic of the compiled core. The record that it was at goes by the Python path, as if it had been declined."""

    id: EventId
    what: str  # as the panic says it


OnFault = Callable[[Fault], None]
OnNoted = Callable[[str, Noted], None]
"""Is told a symbol, and what came of its book."""


class Seen(NamedTuple):
    """What was taken of one book; times are the journal's, Unix, µs."""

    symbol: str
    messages: int
    first_us: int
    last_us: int


class Print(NamedTuple):
    """A trade as the compiled core gives it for a row: prices and quantities in units of 10**-scale."""

    time_us: int
    price: int
    qty: int
    is_buy: bool
    ord_type: str
    price_scale: int
    qty_scale: int
    trade_id: int | None


class Prints(NamedTuple):
    """The trades of a frame, all of one symbol."""

    symbol: str
    seq: int
    at_us: int
    trades: list[Print]


class Sample(NamedTuple):
    """The best levels of a book as it was behind one message, for a row; times are Unix, µs."""

    book: Book  # whose levels are not here
    seq: int
    at_us: int
    exchange_us: int | None
    levels: bytes  # as the row has them


class Stretch(Struct, frozen=True, gc=False):
    """Consecutive records after which all is well: updates and snapshots, each of which matched, of uncrossed books;
    heartbeats; trades of which no id is missing or comes twice; tickers.

    It is what a `JournalEvent` for each of them would say.
    """

    block: PackedRecords
    begin: Cursor
    end: Cursor  # behind the last record
    updates: int
    heartbeats: int
    first_us: int  # time of the first event; Unix, µs
    at_us: int  # ... and of the last
    trades: int = 0  # frames
    tickers: int = 0
    snapshots: int = 0
    protocol: str = ""  # of its run

    @property
    def id(self) -> EventId:
        """That of the last record."""
        return EventId(self.block.run, self.end.seq - 1)

    @property
    def events(self) -> int:
        return self.updates + self.snapshots + self.heartbeats + self.trades + self.tickers


class Purpose(enum.Enum):
    """What trades and tickers are taken for."""

    EVENTS = "events"  # of those that are followed
    ROWS = "rows"  # of trades that are followed; tickers make none
    BOOKS = "books"  # they pass by


class Room(NamedTuple):
    """What may be taken, in bytes: no further frame where so many were taken. Each counts as more than it has."""

    size: int
    record_bytes: int


class Counts(NamedTuple):
    """Frames by what they are."""

    updates: int
    snapshots: int
    heartbeats: int
    trades: int
    tickers: int


class Gathered(NamedTuple):
    """Frames that were taken in one go: updates and snapshots, each of which matched, of uncrossed books; heartbeats;
    trades of which no id is missing or comes twice; tickers.
    """

    frames: int
    packed: bytes  # as a journal has them
    size: int  # as the room counts it
    counts: Counts
    events: Sequence[Event]
    to_see: tuple[str, int] | None  # the symbol of a book whose session has to see the last frame, and its checksum
    followed: Sequence[tuple[str, str, int | None]]  # channel, symbol, the last id of trades that have ids
    encoded: bytes  # the events, in order, as a digest has them


class Lending:
    """Lends books to the compiled core, and calls them back."""

    def __init__(
        self,
        module: Any,
        scanner: str,
        name_of: Callable[[str], str | None],
        decode: Callable[[bytes], Event],
        level: type[Level],
        on_fault: OnFault,
        *,
        level_is_text: bool,
    ) -> None:
        """
        Args:
            module: the compiled core.
            scanner: what reads the frames, by its name there.
            name_of: a symbol as frames have it; None: they have no such symbol.
            decode: reads one frame, by itself.
            level: the class of the levels in what it reads.
            level_is_text: that class is made of the texts of a price and a quantity; else by its `of_texts`.
            on_fault: is told of each panic.
        """
        self._module = module
        self._on_fault = on_fault
        self._faults = 0
        self._faulty = NOTHING  # the record of the last one
        self._native = module.Books(scanner)
        kinds = {"book_delta": BookDelta, "book_snapshot": BookSnapshot, "trades": Trades, "tickers": Tickers}
        self._frames = module.Frames(
            scanner,
            kinds | {"level": level, "scaled_level": ScaledLevel},
            decode=decode,
            heartbeat=Heartbeat(),
            unset=UNSET,
            level_is_text=level_is_text,
        )
        self._name_of = name_of
        self._places: dict[str, int] = {}  # of the books that are lent
        self._lent: dict[int, Book] = {}  # the same by place: their levels are not here
        self._on_noted: OnNoted | None = None
        self._followed: dict[int, tuple[str, str]] = {}  # channels and symbols by place

    def __contains__(self, symbol: str) -> bool:
        return symbol in self._places

    def __iter__(self) -> Iterator[str]:
        return iter([*self._places])

    def __bool__(self) -> bool:
        return bool(self._places)

    def lend(
        self, book: Book, *, due_us: int | None = None, sample_us: int | None = None, takes_snapshots: bool = False
    ) -> None:
        """Lend a book, if the core takes it; one that is lent stays so.

        Args:
            due_us: messages at this time or later are not taken, so that the book is looked at.
            sample_us: for rows they are, and the first of each interval of this length gives a `Sample` from then on.
            takes_snapshots: those that prove it are taken, too, because nothing else follows from them.
        """
        name = self._name_of(book.symbol)
        price, qty = book.precision.price, book.precision.qty
        if book.symbol in self._places or name is None or not book.ready or max(price, qty) > SCALE_MAX:
            return
        content = book.content()
        stamp_us = None if content.stamp is None else micros(content.stamp)
        try:
            place = self._native.lend(
                name,
                book.symbol,
                depth=book.depth,
                scales=(price, qty),
                stamp_us=stamp_us,
                bids=content.bids,
                asks=content.asks,
                due_us=due_us,
                sample_us=sample_us,
                takes_snapshots=takes_snapshots,
            )
        except OverflowError:  # a number beyond 64 bits
            return
        if place is not None:
            self._frames.name(place, book.symbol)
            self._places[book.symbol] = place
            self._lent[place] = book

    def watch_for(self, on_noted: OnNoted) -> None:
        """Tell what is noted of books that are watched, by `tell` and where one comes back."""
        self._on_noted = on_noted

    def watch(self, symbol: str, watch: Watch) -> None:
        """Watch a book that is lent in this way from now on; its next message proves it."""
        self._native.watch(self._places[symbol], *watch)

    def tell(self, symbol: str | None) -> None:
        """Tell what was noted of a book, or of all."""
        if self._on_noted is None:
            return
        if symbol is None:
            for place, noted in self._native.all_noted():
                self._on_noted(self._lent[place].symbol, Noted(*noted))
            return
        place = self._places.get(symbol)
        noted = None if place is None else self._native.noted(place)
        if noted is not None:
            self._on_noted(symbol, Noted(*noted))

    def noted_us(self, symbol: str) -> int | None:
        """When the last message came of a book that is watched, if `tell` has it to tell; None: it has none."""
        place = self._places.get(symbol)
        at_us: int | None = None if place is None else self._native.noted_us(place)
        return at_us

    def follow(self, channel: str, symbol: str, last: int | None, *, due_us: int | None = None) -> bool:
        """Let the core take a symbol's trades, or its tickers, from now on; whether it can.

        Args:
            channel: trade or ticker.
            last: the id of the last trade, on which others have to follow; None: any may come.
            due_us: what comes at this time or later is not taken, so that it is looked at.
        """
        name = self._name_of(symbol)
        if name is None or (last is not None and not 0 <= last <= INT_MAX):
            return False
        place = self._native.follow(name, symbol, is_ticker=channel == "ticker", last=last, due_us=due_us)
        if place is not None:
            self._followed[place] = channel, symbol
        return place is not None

    def forget(self) -> None:
        """Leave all trades and tickers to Python, until they are followed again."""
        self._native.forget()

    def leave_snapshots(self) -> None:
        """Leave all snapshots to Python, each book's until it is lent again."""
        self._native.leave_snapshots()

    def recall(self, symbol: str) -> None:
        """Bring a book back, if it is lent.

        Raises:
            Corruption: a fault of the core has damaged it.
        """
        if symbol in self._places:
            self.tell(symbol)
            place = self._places.pop(symbol)
            book = self._lent.pop(place)
            try:
                bids, asks, stamp_us, unknown_removals = self._native.recall(place)
            except ValueError as error:
                lost = f"the compiled core cannot give the book of {symbol} back ({error})"
                raise Corruption(f"{lost}: do without it, by TIDELOG_CORE=python") from None
            stamp = None if stamp_us is None else EPOCH + timedelta(microseconds=stamp_us)
            book.resume(BookContent(bids, asks, stamp))
            book.unknown_removals += unknown_removals

    def take(
        self,
        block: PackedRecords,
        begin: Cursor,
        last: int,
        *,
        purpose: Purpose,
        floor_us: int = 0,
        encode: bool = False,
    ) -> "Taken | None":
        """Take records as far as all is well; None if the first is not for the core.

        Args:
            last: the number of the last record that may be taken.
            purpose: of trades and tickers.
            floor_us: times before are held here.
            encode: give the events' encoding, for a digest.
        """
        if self._faults >= FAULTS_MAX or self._faulty == (block.run, begin.seq):
            return None
        at, counts, times, seen, followed, prints, samples, encoded, fault = self._native.take(
            block.packed,
            begin=begin.at,
            run=block.run,
            first=begin.seq,
            last=last,
            floor_us=floor_us,
            purpose=purpose.value,
            encode=encode,
        )
        records, updates, snapshots, heartbeats, trades, tickers = counts
        first_us, last_us = times
        self._note(fault, EventId(block.run, begin.seq + records))
        if not records:
            return None
        books = []
        for place, count, begun_us, ended_us in seen:
            book = self._lent[place]
            book.proven = True
            books.append(Seen(book.symbol, count, begun_us, ended_us))
        end = Cursor(begin.seq + records, at)
        stretch = Stretch(block, begin, end, updates, heartbeats, first_us, last_us, trades, tickers, snapshots)
        names = self._followed
        return Taken(
            stretch,
            books,
            encoded,
            [(names[place][1], trade_id) for place, trade_id in followed],
            [Prints(names[place][1], seq, at_us, list(map(Print._make, found))) for place, seq, at_us, found in prints],
            [Sample(self._lent[place], *rest) for place, *rest in samples],
        )

    def gather(
        self,
        frames: Sequence[bytes],
        begin: int,
        frames_max: int,
        first: EventId,
        at_us: int,
        room: Room,
        *,
        encode: bool,
    ) -> Gathered | None:
        """Take so many frames of a socket at most, as `take` does records; see `GatheringBooks.gather`."""
        if self._faults >= FAULTS_MAX or self._faulty == first:
            return None
        count, packed, size, counts, events, books, followed, encoded, fault = self._frames.take(
            self._native,
            frames,
            begin=begin,
            frames_max=frames_max,
            at_us=at_us,
            run=first.run,
            first=first.seq,
            room=room.size,
            record_bytes=room.record_bytes,
            encode=encode,
        )
        self._note(fault, EventId(first.run, first.seq + count))
        if not count:
            return None
        proven, to_see = books
        for place in proven:
            self._lent[place].proven = True
        if to_see is not None:
            to_see = self._lent[to_see[0]].symbol, to_see[1]
        seen = [(*self._followed[place], last) for place, last in followed]
        return Gathered(count, packed, size, Counts(*counts), events, to_see, seen, encoded)

    def read(self, frames: list[bytes]) -> Sequence[BookDelta]:
        """Read updates of books that were lent once, by themselves, as far as they are in the usual form.

        Nothing is applied.
        """
        events: Sequence[BookDelta] = self._frames.read(self._native, frames)
        return events

    def top(self, symbol: str, levels: int | None) -> tuple[tuple[ScaledLevel, ...], tuple[ScaledLevel, ...]] | None:
        """The best levels of a book that is lent, or all of them: bids and asks; None: it is not lent."""
        place = self._places.get(symbol)
        if place is None:
            return None
        top: tuple[tuple[ScaledLevel, ...], tuple[ScaledLevel, ...]] = self._frames.top(
            self._native, place, LEVELS_ALL if levels is None else min(levels, LEVELS_ALL)
        )
        return top

    def _note(self, fault: str | None, id_: EventId) -> None:
        if fault is not None:
            self._faults += 1
            self._faulty = id_
            self._on_fault(Fault(id_, fault))

    def record_at(self, block: PackedRecords, cursor: Cursor) -> tuple[Record, Cursor]:
        """See `record_at`."""
        return record_at(self._module, block, cursor)


class Taken(NamedTuple):
    """What was taken in one go."""

    stretch: Stretch
    books: list[Seen]
    encoded: bytes  # the events, in order, as a digest has them
    followed: list[tuple[str, int]]  # of symbols whose trades are followed by id, the last one
    prints: list[Prints]  # of trades, where rows are made of them
    samples: list[Sample]  # of books, likewise


def record_at(module: Any, block: PackedRecords, cursor: Cursor) -> tuple[Record, Cursor]:
    """One record of a block, and the place behind it.

    Raises:
        Corruption: it cannot be read.
    """
    found = module.record_at(block.packed, cursor.at)
    if found is None:
        raise Corruption(f"the block at {block.run}.{block.first_seq} cannot be read at record {cursor.seq}")
    kind, at_us, payload, at = found
    record_id = EventId(block.run, cursor.seq)
    record = Record(record_id, at_us, KINDS[kind], payload, cursor.seq == block.restart_seq)
    return record, Cursor(cursor.seq + 1, at)


class LendingBooks(Books):
    """`Books` that lends what is proven. By `take`, records are applied many at a time; by the rest, one by one."""

    def __init__(self, decode: Callable[[bytes], Event], proof: NewProof, lending: Lending) -> None:
        super().__init__(decode, proof)
        self._lending = lending
        self._due: dict[str, None] = {}  # books that are here and can be lent
        self._begun: set[str] = set()  # symbols whose next snapshot means nothing more than an update does
        self._mapping = _Recalled(self._books, lending)

    def open(self, symbol: str, depth: int, precision: Precision | None = None) -> Book:
        self._lending.recall(symbol)
        self._due.pop(symbol, None)
        return super().open(symbol, depth, precision)

    def close(self, symbol: str) -> None:
        self._lending.recall(symbol)
        self._due.pop(symbol, None)
        super().close(symbol)

    def follow(self, channel: str, symbol: str, last: int | None) -> None:
        """See `Lending.follow`."""
        self._lending.follow(channel, symbol, last)

    def forget(self) -> None:
        """See `Lending.forget`; and a book's next snapshot may mean more."""
        self._lending.forget()
        self._lending.leave_snapshots()
        self._begun.clear()

    @property
    def by_symbol(self) -> Mapping[str, Book]:
        return self._mapping

    def apply_frame(self, frame: bytes) -> tuple[Event, Check | None]:
        event = self._decode(frame)
        check = self.apply(event) if isinstance(event, BookDelta | BookSnapshot) else None
        return event, check

    def apply(self, message: BookSnapshot | BookDelta) -> Check | None:
        symbol = message.symbol
        self._lending.recall(symbol)
        check = super().apply(message)
        if check is Check.MATCHED or (check is Check.UNCHECKED and isinstance(message, BookSnapshot)):
            self._due[symbol] = None
        if isinstance(message, BookSnapshot):
            self._begun.add(symbol)  # by this one its subscription was held: another one changes nothing there
        return check

    def take(self, block: PackedRecords, begin: Cursor, last: int, *, encode: bool) -> Taken | None:
        """See `Lending.take`."""
        if self._due:
            for symbol in self._due:
                self._lending.lend(self._books[symbol], takes_snapshots=symbol in self._begun)
            self._due.clear()
        return self._lending.take(block, begin, last, purpose=Purpose.EVENTS, encode=encode)


class _Recalled(Mapping[str, Book]):
    """Books by symbol; one that is looked up comes back first."""

    def __init__(self, books: dict[str, Book], lending: Lending) -> None:
        self._books = books
        self._lending = lending

    def __getitem__(self, symbol: str) -> Book:
        book = self._books[symbol]
        self._lending.recall(symbol)
        return book

    def __contains__(self, symbol: object) -> bool:
        return symbol in self._books

    def __iter__(self) -> Iterator[str]:
        return iter(self._books)

    def __len__(self) -> int:
        return len(self._books)
