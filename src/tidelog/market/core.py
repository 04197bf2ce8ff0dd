"""The core: records of a journal to events, one after the other. The same for a live feed and for any replay.

No I/O, no clock, no randomness: its events and its state are a function of the records alone. It starts at the first
record of a run or at a snapshot, and skips what comes before. Where records are missing, it starts again at the next.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence

import msgspec
from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from tidelog import compiled
from tidelog.errors import Rejected
from tidelog.market.book.books import Books
from tidelog.market.book.gathering import GatheringBooks
from tidelog.market.book.lending import (
    Cursor,
    Gathered,
    Lending,
    LendingBooks,
    OnFault,
    Room,
    Stretch,
    record_at,
)
from tidelog.market.book.proof import Check
from tidelog.market.events import (
    Ack,
    BookSnapshot,
    BookUpdates,
    ClockStepped,
    Connected,
    Disconnected,
    Event,
    EventId,
    Malformed,
    Missed,
    Rejection,
    Resync,
    Started,
    Stream,
    Tickers,
    Trades,
    Unknown,
)
from tidelog.market.records import Kind, PackedRecords, Record
from tidelog.market.session.connection import Session
from tidelog.market.session.controls import (
    Control,
    CoreSnapshot,
    Drop,
    Subscribe,
    Unsubscribe,
    Unwanted,
    Wanted,
    decode_control,
)
from tidelog.market.session.limits import SessionLimits
from tidelog.market.session.subscription.subscriptions import Phase, SessionState
from tidelog.market.venue import Decoder, Venue
from tidelog.market.venues import DEFAULT, venue_of

_TOLD = (Started, Connected, Disconnected, ClockStepped, Resync)  # the control records that are events


class JournalEvent(Struct, frozen=True, gc=False):
    """An event, with the id and the time (Unix, µs) of its record, and what it proved about its book, if any."""

    id: EventId
    at_us: int
    event: Event
    check: Check | None = None
    checks: tuple[Check | None, ...] = ()  # of a `BookUpdates`, one for each of its parts
    suspected: tuple[str, ...] = ()  # symbols whose books are not proven any more, because it could not be read
    depth: int | None = None  # as subscribed, of the book of a snapshot
    refused: tuple[tuple[str, str | None], ...] = ()  # channel and symbol of what a refusal keeps from us
    protocol: str = DEFAULT  # of its run, where it has the snapshot of a book
    answered: tuple[str, ...] = ()  # symbols of the request that an ack is of, where it does not name them
    depths: tuple[int | None, ...] = ()  # `depth` of a `BookUpdates`, one for each of its parts


_encode = msgspec.json.Encoder().encode


class EventDigest:
    """SHA-256 over the canonical encoding of each event of a run: its id, kind, content and check, as JSON.

    Numbers stand in it as the exchange wrote them.
    """

    def __init__(self) -> None:
        self._sha = hashlib.sha256()
        self.events = 0

    def update(self, entry: JournalEvent) -> None:
        event, check = entry.event, entry.check
        shown: tuple[object, ...] = (entry.id, event.__class__.__name__, event, None if check is None else check.value)
        if entry.checks:
            shown += ([None if each is None else each.value for each in entry.checks],)
        self._sha.update(_encode(shown))
        self.events += 1

    def update_encoded(self, encoded: bytes, events: int) -> None:
        """Take events that are encoded already."""
        self._sha.update(encoded)
        self.events += events

    def hexdigest(self) -> str:
        return self._sha.hexdigest()


class Core:
    """Books and session as of the last record, and a digest of the events of its run.

    `digest` is None unless it is asked for, and if this core did not see the run from its first record.
    """

    def __init__(
        self,
        *,
        digest: bool = False,
        limits: SessionLimits | None = None,
        stretches: OnFault | None = None,
        gathers: OnFault | None = None,
    ) -> None:
        """
        Args:
            digest: compute the digest of a run's events.
            limits: of sessions, instead of the exchange's.
            stretches: the compiled core, where it is here, may take many records at a time, by `take`, and this is
                told of its faults. For who reads and decides nothing: the session does not follow the market's pace
                then. None: it takes none.
            gathers: the same for who decides: it may take many frames at a time, by `gather`, and the session follows.
        """
        self.at = EventId(0, 0)  # the last record
        self._digesting = digest
        self._limits = limits
        self._on_fault = stretches or gathers
        self._module = None if self._on_fault is None else compiled.core().module
        self._gathers = gathers is not None
        self.venue: Venue
        self.session: Session
        self.decoder: Decoder
        self.books: Books
        self._forget()

    def _forget(self) -> None:
        self._use(venue_of(DEFAULT))
        self.protocol: str | None = None  # None: nothing to start from was seen yet
        self.digest: EventDigest | None = None
        self._begun_us: int | UnsetType = UNSET  # when the run began, where that is known

    def apply(self, record: Record) -> JournalEvent | None:
        """Apply the next record.

        Returns:
            The event that it is; None if it is none.

        Raises:
            Corruption: it cannot follow on what came before.
        """
        self.at = record.id
        if record.kind is Kind.IN:
            if self.protocol is None:
                return None
            entry = self._apply_frame(record)
        elif record.kind is Kind.OUT:
            return None
        elif record.kind is Kind.LOST:
            self._forget()
            return JournalEvent(record.id, record.at_us, Missed(record.payload.decode()), None)
        else:
            control = decode_control(record.payload)
            self._apply_control(control, record.at_us)
            self._look_again()
            if not isinstance(control, _TOLD) or self.protocol is None:
                return None
            entry = JournalEvent(record.id, record.at_us, control, None)
        if self.digest is not None:
            self.digest.update(entry)
        return entry

    def take(self, block: PackedRecords, begin: Cursor, last: int | None = None) -> Stretch | None:
        """Apply records as far as the compiled core takes them; what it leaves is for `apply`.

        Args:
            begin: the first of them.
            last: the number of the last that may be taken; None: all of the block.

        Returns:
            What was taken; None if nothing was.
        """
        if not isinstance(self.books, LendingBooks) or self.protocol is None:
            return None
        last = block.last.seq if last is None else last
        taken = self.books.take(block, begin, last, encode=self.digest is not None)
        if taken is None:
            return None
        stretch = taken.stretch
        self.at = stretch.id
        self.session.note_frames(stretch.at_us)
        for symbol, trade_id in taken.followed:
            self.session.note_trades(symbol, trade_id)
        if self.digest is not None:
            self.digest.update_encoded(taken.encoded, stretch.events)
        return replace(stretch, protocol=self.protocol)

    def gather(self, frames: Sequence[bytes], begin: int, first: EventId, at_us: int, room: Room) -> Gathered | None:
        """Apply frames of a socket as far as the compiled core takes them; what it leaves is for `apply`.

        Args:
            begin: the place of the first in `frames`.
            first: its id in the journal; those of the others follow.
            at_us: when they came.

        Returns:
            What was taken, for the journal too; None if nothing was.
        """
        books = self.books
        if not isinstance(books, GatheringBooks) or self.protocol is None:
            return None
        gathered = books.gather(frames, begin, first, at_us, room, encode=self.digest is not None)
        if gathered is None:
            return None
        self.at = EventId(first.run, first.seq + gathered.frames - 1)
        self.session.note_frames(at_us)
        if gathered.to_see is not None:
            symbol, checksum = gathered.to_see
            books.tell(symbol)
            self.session.note_update(symbol, checksum, at_us)
            books.look_again([symbol])
        if gathered.followed:
            for channel, symbol, trade_id in gathered.followed:
                self.session.note_followed(channel, symbol, trade_id, at_us)
            books.follow_again(gathered)
        if self.digest is not None:
            self.digest.update_encoded(gathered.encoded, gathered.frames)
        return gathered

    def data_us(self, symbol: str) -> int | None:
        """When the last message of a book came, Unix time; 0: none on this connection; None: it is not subscribed to.

        The session is told of nothing for that, which takes longer than to look the book's levels up.
        """
        told_us = self.session.told_us(symbol)
        noted_us = self.books.noted_us(symbol) if isinstance(self.books, GatheringBooks) else None
        return told_us if told_us is None or noted_us is None else noted_us

    def apply_block(self, block: PackedRecords) -> Iterator[JournalEvent | Stretch]:
        """Apply all records of a block; what they are, as `take` and `apply` say it.

        Raises:
            Corruption: one cannot follow on what came before, or cannot be read.
        """
        if not self.stretches:
            yield from filter(None, map(self.apply, block.records()))
            return
        cursor = Cursor(block.first_seq)
        while cursor.seq <= block.last.seq:
            stretch = self.take(block, cursor)
            if stretch is not None:
                cursor = stretch.end
                yield stretch
                continue
            record, cursor = self.record_at(block, cursor)
            entry = self.apply(record)
            if entry is not None:
                yield entry

    @property
    def stretches(self) -> bool:
        """Whether `take` may take any."""
        return self._module is not None and not self._gathers

    def record_at(self, block: PackedRecords, cursor: Cursor) -> tuple[Record, Cursor]:
        """One record of a block, which `take` has left, and the place behind it. Only where `stretches` says so.

        Raises:
            Corruption: it cannot be read.
        """
        return record_at(self._module, block, cursor)

    def _apply_frame(self, record: Record) -> JournalEvent:
        event: Event
        try:
            event, check = self.books.apply_frame(record.payload)
        except Rejected as error:
            meant = self.decoder.books_in(record.payload)
            suspected = self.books.suspect(meant)
            event = Malformed(error.reason)
            self.session.observe(event, None, record.at_us)
            for symbol in suspected:
                if symbol in (meant or ()):  # an update of it is lost: a new snapshot brings that back
                    self.session.suspect_book(symbol, "a frame could not be read")
            return JournalEvent(record.id, record.at_us, event, None, suspected=suspected)
        kind = type(event)
        if kind is BookUpdates or kind is Unknown or kind is Ack or kind is BookSnapshot or kind is Rejection:
            entry = self._apply_rare(record, event, check)
            if isinstance(event, Rejection):
                self._look_again()
            elif isinstance(event, Ack):
                self._look_again(event.symbol)
            return entry  # of the others no book is lent: a message of it brought it back
        self.session.observe(event, check, record.at_us)
        if (kind is Trades or kind is Tickers) and isinstance(self.books, LendingBooks):
            assert isinstance(event, Trades | Tickers)
            self._follow(event, self.books)
        return JournalEvent(record.id, record.at_us, event, check)

    def _follow(self, event: Trades | Tickers, books: LendingBooks) -> None:
        """Let the compiled core take what comes next of these symbols: as it is held, nothing more follows from it."""
        if isinstance(event, Tickers):
            channel, symbols = "ticker", {ticker.symbol for ticker in event.tickers}
        else:
            channel, symbols = "trade", {trade.symbol for trade in event.trades}
        numbered = isinstance(event, Trades) and any(trade.trade_id is not None for trade in event.trades)
        for symbol in symbols:
            subscription = self.session.subscription(Stream(channel), symbol)
            if subscription is None:
                books.follow(channel, symbol, None)
            elif subscription.phase is Phase.HELD and (subscription.sequence or not numbered):
                books.follow(channel, symbol, subscription.sequence if numbered else None)

    def _apply_rare(self, record: Record, event: Event, check: Check | None) -> JournalEvent:
        """Apply what is rare, and means more than an update."""
        at_us = record.at_us
        if isinstance(event, Ack | Rejection) and isinstance(self.books, LendingBooks):
            self.books.forget()  # what is held may be another thing then
        match event:
            case BookUpdates(parts):
                checks = tuple([self.books.apply(part) for part in parts])
                for part, each in zip(parts, checks, strict=True):
                    self.session.observe(part, each, at_us)
                books = [self.books.but_levels(part.symbol) for part in parts]
                depths = tuple([None if book is None else book.depth for book in books])
                return JournalEvent(record.id, at_us, event, None, checks, protocol=self.venue.protocol, depths=depths)
            case Rejection():
                refused = self.session.refused_by(event)
                self.session.observe(event, None, at_us)
                return JournalEvent(record.id, at_us, event, None, refused=refused)
            case Unknown(""):  # it names neither channel nor method: it may have been anything
                suspected = self.books.suspect(None)
                self.session.observe(event, None, at_us)
                return JournalEvent(record.id, at_us, event, None, suspected=suspected)
            case BookSnapshot():
                self.session.observe(event, check, at_us)
                book = self.books.by_symbol.get(event.symbol)
                depth = None if book is None else book.depth
                return JournalEvent(record.id, at_us, event, check, depth=depth, protocol=self.venue.protocol)
            case Ack("unsubscribe", "book", str(symbol)):
                subscription = self.session.subscription(Stream("book"), symbol)
                if subscription is not None and subscription.phase is Phase.HELD and event.req_id is None:
                    self._clear([symbol])  # we did not ask for it: the exchange has ended it
            case Ack(symbol=None) if not self.session.rules.acks_name_symbols:
                answered = self.session.answered_by(event)
                self.session.observe(event, None, at_us)
                return JournalEvent(record.id, at_us, event, None, answered=answered)
        self.session.observe(event, check, at_us)
        return JournalEvent(record.id, at_us, event, check)

    def _look_again(self, symbol: str | None = None) -> None:
        """A subscription may have moved: of that symbol, or any."""
        if isinstance(self.books, GatheringBooks):
            self.books.look_again(None if symbol is None else [symbol])

    def end(self, at_us: int) -> None:
        """Follow nothing any more, where no record can say so: no book is proven, and the session is closed."""
        if self.session.is_connected:
            self._apply_control(Disconnected(""), at_us)
        self.session.end()

    def snapshot(self) -> CoreSnapshot:
        """What another core has to know to start after the record that this is written in."""
        assert self.protocol is not None
        books = [book.state for book in self.books.by_symbol.values()]
        return CoreSnapshot(self.protocol, self.session.session_state, tuple(books), self._begun_us, self.decoder.state)

    def _apply_control(self, control: Control, at_us: int) -> None:
        if isinstance(control, Started):
            self.protocol = control.protocol
            self._begun_us = at_us
            self._use(venue_of(control.protocol))
            self.digest = EventDigest() if self._digesting else None
        elif self.protocol is None:
            if isinstance(control, CoreSnapshot):
                self.protocol = control.protocol
                self._begun_us = control.begun_us
                self._use(venue_of(control.protocol), control.session)
                self.decoder.resume(control.decoder)
                for state in control.books:
                    self.books.put_back(state)
            return
        self.session.apply(control, at_us)
        if isinstance(self.books, LendingBooks) and not isinstance(control, CoreSnapshot):
            self.books.forget()
        match control:
            case Subscribe(Stream("book", int(depth)), symbols):
                for symbol in symbols:
                    book = self.books.by_symbol.get(symbol)
                    if book is None or book.depth != depth:
                        self.books.open(symbol, depth)
                    else:
                        book.begin()
            case Wanted(Stream("book"), symbols):
                for symbol in symbols:
                    self._follow_again(symbol)
            case Unwanted(Stream("book"), symbols):
                for symbol in symbols:
                    self.books.close(symbol)
            case Resync("book", str(symbol), until_us=until_us) if until_us <= at_us:
                self._clear([symbol])
            case Unsubscribe(Stream("book"), symbols):  # one that has to wait is judged here: it may match again
                self._clear(symbols)
            case Connected():
                self.decoder = self.venue.decoder()
                self.books.decode_with(self.decoder.decode)
            case Drop() | Disconnected():
                for book in self.books.by_symbol.values():
                    book.clear()

    def _follow_again(self, symbol: str) -> None:
        """Follow a book again that was given up and not left yet: it starts with its next snapshot, or by a resync."""
        subscription = self.session.subscription(Stream("book"), symbol)
        if subscription is not None and subscription.phase is not Phase.WANTED and symbol not in self.books.by_symbol:
            assert subscription.stream.depth is not None
            self.books.open(symbol, subscription.stream.depth)

    def _clear(self, symbols: Iterable[str]) -> None:
        for symbol in symbols:
            if symbol in self.books.by_symbol:
                self.books.by_symbol[symbol].clear()

    def _use(self, venue: Venue, state: SessionState | None = None) -> None:
        """Begin with an exchange's protocol: no books, a session in that state or a new one."""
        self.venue = venue
        rules = venue.rules if self._limits is None else replace(venue.rules, limits=self._limits)
        self.session = Session(rules, state)
        self.decoder = venue.decoder()
        self.books = self._new_books(venue)

    def _new_books(self, venue: Venue) -> Books:
        if self._module is None or self._on_fault is None or venue.compiled is None:
            return Books(self.decoder.decode, venue.proof)
        lending = lending_for(venue, self._on_fault)
        if self._gathers:
            books = GatheringBooks(self.decoder.decode, venue.proof, lending, self.session)
            self.session.learn_from(books.tell)
            return books
        return LendingBooks(self.decoder.decode, venue.proof, lending)


def lending_for(venue: Venue, on_fault: OnFault) -> Lending:
    """Where books of a venue can be lent, which the compiled core knows. Only where it is in use."""
    frames = venue.compiled
    assert frames is not None
    return Lending(
        compiled.core().module,
        frames.scanner,
        frames.name_of,
        frames.decode,
        frames.level,
        on_fault,
        level_is_text=frames.level_is_text,
    )
