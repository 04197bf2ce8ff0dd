"""From the journal's events to the store's rows: the pure core of the loader. No I/O, no clock.

`Projection` applies events in order and collects the rows that they change. What it has to know of the past is its
`ProjectionState`, which is committed with its rows: wherever it is stopped and started again, the rows come out the
same.

The levels of books are not in that state. A reader therefore begins at or before the position of the state: of events
up to there, only the books are built. Instead of going back to a book's last snapshot it may give the book as it was
then, as a `BookSnapshot` under any such id. One that has to begin later, because what came before was dropped, gives a
`Missed` and then each book as it is there, as a `Baseline`.
"""

from collections.abc import Collection, Iterable

from tidelog.errors import ConfigError
from tidelog.market.book.lending import Lending, OnFault, Prints, Purpose, Stretch, Taken
from tidelog.market.book.levels import Book
from tidelog.market.book.proof import Check
from tidelog.market.core import JournalEvent, lending_for
from tidelog.market.events import (
    NOTHING,
    Ack,
    BookDelta,
    BookSnapshot,
    BookUpdates,
    ClockStepped,
    Connected,
    Disconnected,
    Event,
    EventId,
    Instruments,
    Missed,
    Rejection,
    Resync,
    Started,
    Trade,
    Trades,
    micros,
)
from tidelog.market.projection.account import BOOK, TRADE, Account
from tidelog.market.projection.candles import bucket
from tidelog.market.projection.changes import Changes
from tidelog.market.projection.coverage import GAP, PROVEN, UNPROVEN
from tidelog.market.projection.inputs import Baseline, ProjectionInput
from tidelog.market.projection.rows import book_row, instrument_row, sample_row
from tidelog.market.projection.state import Outage, ProjectionState
from tidelog.market.projection.tables import BOOK_SNAPSHOTS, INSTRUMENTS
from tidelog.market.projection.trades import TradeRows
from tidelog.market.venues import DEFAULT, VENUES, venue_of

SYMBOLS_MAX = 5_000  # an exchange lists some 1,500; the bound is against names that it makes up
REASON_MAX = 200  # characters of why a connection ended: a peer may say anything
CONNECTION = "connection"  # the scope of its gaps
MOVED = "moved"  # why nothing comes of a symbol that another shard records from here on
MALFORMED, RESYNC = "malformed", "resync"  # why a book is not proven: a frame could not be read; it was given up


class Projection:
    """Applies events; `drain` hands over the rows that they have changed since it was last called."""

    def __init__(
        self,
        source: str,
        state: ProjectionState,
        sample_us: int,
        on_fault: OnFault,
        *,
        connection: str = CONNECTION,
        owned: Collection[str] | None = None,
    ) -> None:
        """
        Args:
            on_fault: is told of faults of the compiled core, in a `Stretch`.
            connection: the scope of gaps of the connection.
            owned: the symbols that there may be rows of; None: any.
        """
        self.state = state
        self._account = Account(source, state)
        self._trades = TradeRows(self._account)
        self._on_fault = on_fault
        self._connection = connection
        self._owned = owned
        self._sample_us = sample_us
        self._books: dict[str, Book] = {}
        self._lendable: dict[str, None] = {}  # books that are here and may be lent to the compiled core
        self._followable: dict[str, None] = {}  # symbols whose trades it may take, if nothing else follows from them
        self._lending: Lending | None = None  # None: no stretch has come
        self._lent_protocol = DEFAULT

    @property
    def refused(self) -> int:
        """Trades and instruments that no row could hold, since the beginning."""
        return self._account.refused

    def drain(self) -> Changes:
        return self._account.drain()

    def apply(self, entry: ProjectionInput) -> None:
        """Apply the next event of the journal, or know a book where the reader begins.

        Raises:
            ConfigError: this is another journal than before, or a symbol's trades come with ids, and before
                they came without, or the other way.
        """
        if isinstance(entry, Baseline):
            self._apply_baseline(entry)
            return
        if isinstance(entry, Stretch):
            self._apply_stretch(entry)
            return
        state, event = self.state, entry.event
        if entry.id <= state.id:
            self._require_known(entry.id, entry.at_us)
            for part in event.parts if isinstance(event, BookUpdates) else (event,):
                if isinstance(part, BookSnapshot | BookDelta):
                    self._build_book(part, entry.protocol)
            return
        at_us = state.at_us = max(entry.at_us, state.at_us)
        if state.run not in (NOTHING.run, entry.id.run):
            self._lose("restart", at_us)
        state.run, state.seq = entry.id
        if isinstance(event, Started | Connected | Disconnected | ClockStepped | Resync | Missed):
            self._apply_control(event, at_us)
            return
        self._resume(at_us)
        for symbol in entry.suspected:
            self._doubt(symbol, at_us)
        match event:
            case BookSnapshot() | BookDelta():
                if self._admits(event.symbol):
                    self._apply_book(entry, event, entry.check, entry.depth, at_us)
            case BookUpdates(parts):
                for part, check, depth in zip(parts, entry.checks, entry.depths, strict=True):
                    if self._admits(part.symbol):
                        self._apply_book(entry, part, check, depth, at_us)
            case Trades():
                by_symbol: dict[str, list[Trade]] = {}
                for trade in event.trades:
                    by_symbol.setdefault(trade.symbol, []).append(trade)
                for symbol, trades in by_symbol.items():
                    if self._admits(symbol):
                        self._trades.apply(symbol, trades, entry.id, at_us)
                        self._followable[symbol] = None
            case Instruments():
                for instrument in event.instruments:
                    row = instrument_row(self._account.source, instrument, at_us)
                    self._account.refused += not self._account.changes.put(INSTRUMENTS, row)
            case Ack():
                for answered in entry.answered or (event.symbol,):
                    self._apply_ack(event, answered, at_us)
            case Rejection(error):
                self._forget()
                for channel, named in entry.refused:
                    if channel in (BOOK, TRADE) and named is not None and self._admits(named):
                        self._account.transition(named, channel, GAP, at_us, _sentence(f"refused: {error}"))
            case _:
                pass

    def _require_known(self, id_: EventId, at_us: int) -> None:
        """ConfigError if an event that should be in the store already is later than those there."""
        state = self.state
        if at_us > state.at_us:
            raise ConfigError(
                f"{self._account.source} was loaded from another journal, which came as far as run {state.run}, "
                f"frame {state.seq}; this one has {tuple(id_)} at a later time: give it a name of its own"
            )

    # -- the connection -------------------------------------------------------------------------------------

    def begin_journal(self, journal: str) -> None:
        """Continue with another journal, whose runs have higher numbers; what lies between is a gap."""
        state = self.state
        state.journal = journal
        self._lose("journal", state.at_us)
        outage = state.outage
        if outage is not None:  # one may have begun before, for a reason that matters less
            state.outage = Outage(outage.since_us, "journal", outage.opened_us)
            self._account.put_gap(self._connection, outage.since_us, state.at_us, "journal", outage.opened_us)

    def give_up(self, symbols: Iterable[str]) -> None:
        """Another shard may have these from here on: what is known of them is put aside, and nothing more comes."""
        state = self.state
        self._forget()
        for symbol in symbols:
            symbol_state = self._account.symbol(symbol)
            symbol_state.repeats = symbol_state.unnumbered
            for channel, interval in ((BOOK, symbol_state.book), (TRADE, symbol_state.trade)):
                if interval is not None:
                    self._account.transition(symbol, channel, GAP, state.at_us, MOVED)
            state.leaving = {**state.leaving, symbol: state.symbols.pop(symbol)}

    def _apply_control(self, event: Event, at_us: int) -> None:
        """What the feed itself did between frames, or what its journal had to drop."""
        symbols = self.state.symbols
        self._forget()
        match event:
            case Disconnected(reason):
                self._lose(_sentence(reason or "disconnected"), at_us)
            case Missed(reason):
                self._lose(_sentence(reason or GAP), at_us)
            case ClockStepped(by_us) if by_us > 0:  # one that was set back loses no time
                self._lose("clock", at_us)
            case Resync("trade", str(symbol)) if symbol in symbols:
                symbols[symbol].repeats = True
            case Resync("book", str(symbol)) if symbol in symbols:
                book = symbols[symbol].book
                if book is not None and book.state == PROVEN:
                    self._account.transition(symbol, BOOK, UNPROVEN, at_us, RESYNC)

    def _lose(self, reason: str, at_us: int) -> None:
        """Frames are missing from here on, or were since the last one."""
        state = self.state
        self._forget()
        if state.outage is None and state.frame_us:
            since_us = state.outage_us = max(state.frame_us, state.outage_us + 1)
            state.outage = Outage(since_us, reason, at_us)
            self._account.put_gap(self._connection, since_us, max(since_us, at_us), reason, at_us)
        for symbol, symbol_state in state.symbols.items():
            symbol_state.repeats = symbol_state.unnumbered
            for channel, interval in ((BOOK, symbol_state.book), (TRADE, symbol_state.trade)):
                if interval is not None:
                    self._account.transition(symbol, channel, GAP, at_us, reason)

    def _resume(self, at_us: int) -> None:
        """A frame came."""
        state = self.state
        state.frame_us = at_us
        outage, state.outage = state.outage, None
        if outage is not None:
            last_us = max(outage.since_us, at_us)
            self._account.put_gap(self._connection, outage.since_us, last_us, outage.reason, outage.opened_us, at_us)

    def _apply_ack(self, ack: Ack, symbol: str | None, at_us: int) -> None:
        if symbol is None or ack.channel not in (BOOK, TRADE) or not self._admits(symbol):
            return
        self._forget()
        symbol_state = self._account.symbol(symbol)
        if ack.channel == TRADE:  # once it has ended too: the next trades are a snapshot's, even if its ack is lost
            symbol_state.repeats = symbol_state.unnumbered
        if ack.method == "subscribe":
            if ack.channel == BOOK and _is_offered(ack.depth):
                symbol_state.acked_depth = ack.depth
        elif (symbol_state.book if ack.channel == BOOK else symbol_state.trade) is not None:
            self._account.transition(symbol, ack.channel, GAP, at_us, "unsubscribed")

    # -- books ----------------------------------------------------------------------------------------------

    def _apply_stretch(self, stretch: Stretch) -> None:
        """Apply events, of which each of a book matched: by the compiled core, and one by one where it leaves some."""
        state, block = self.state, stretch.block
        lending = self._lending_of(stretch.protocol)
        cursor = stretch.begin
        while cursor.seq < stretch.end.seq:
            is_news = EventId(block.run, cursor.seq) > state.id
            until = stretch.id.seq
            if not is_news and state.run == block.run:
                until = min(until, state.seq)
            self._lend(lending)
            purpose = Purpose.ROWS if is_news else Purpose.BOOKS
            if is_news and state.run not in (NOTHING.run, block.run):
                lending.forget()  # frames may be missing between the runs
            taken = lending.take(block, cursor, until, purpose=purpose, floor_us=state.at_us if is_news else 0)
            if taken is not None:
                cursor = taken.stretch.end
                if is_news:
                    self._note_taken(taken)
                else:
                    self._require_known(taken.stretch.id, taken.stretch.at_us)
                continue
            record, cursor = lending.record_at(block, cursor)
            event = venue_of(stretch.protocol).decoder().decode(record.payload)
            check, depth = None, None
            if isinstance(event, BookDelta | BookSnapshot):
                check, book = Check.MATCHED, self._books.get(event.symbol)
                depth = None if book is None else book.depth  # of a snapshot in a stretch it is as it was
            self.apply(JournalEvent(record.id, record.at_us, event, check, depth=depth, protocol=stretch.protocol))

    def _note_taken(self, taken: Taken) -> None:
        """What follows from events that the compiled core took: their books are proven."""
        state, stretch = self.state, taken.stretch
        if state.run not in (NOTHING.run, stretch.id.run):
            self._lose("restart", stretch.first_us)
        self._resume(stretch.first_us)
        state.at_us = state.frame_us = stretch.at_us
        state.run, state.seq = stretch.id
        for seen in taken.books:
            self._account.transition(seen.symbol, BOOK, PROVEN, seen.first_us)
            self._account.transition(seen.symbol, BOOK, PROVEN, seen.last_us)
        for sample in taken.samples:
            book = sample.book
            self._account.symbol(book.symbol).sampled_us = bucket(sample.at_us, self._sample_us)
            id_ = EventId(stretch.id.run, sample.seq)
            row = sample_row(
                self._account.source, book, book.proven_depth, sample.levels, id_, sample.at_us, sample.exchange_us
            )
            self._account.changes.put(BOOK_SNAPSHOTS, row)
        by_symbol: dict[str, list[Prints]] = {}
        for prints in taken.prints:
            by_symbol.setdefault(prints.symbol, []).append(prints)
        for symbol, frames in by_symbol.items():
            self._trades.take(symbol, frames, stretch.id.run)

    def _forget(self) -> None:
        """Something else may follow from trades than the rows that they make."""
        self._followable.clear()
        if self._lending is not None:
            self._lending.forget()

    def _lending_of(self, protocol: str) -> Lending:
        """Where books of a protocol are lent; those of another one come back."""
        lending = self._lending
        if lending is None or self._lent_protocol != protocol:
            if lending is not None:
                for symbol in self._books:
                    lending.recall(symbol)
            lending = self._lending = lending_for(venue_of(protocol), self._on_fault)
            self._followable.clear()
            self._lent_protocol = protocol
        return lending

    def _lend(self, lending: Lending) -> None:
        """Lend the books that can be; each is stored again in each interval."""
        for symbol in filter(self._is_ours, self._lendable):
            sampled_us = self._account.symbol(symbol).sampled_us
            due_us = 0 if sampled_us is None else bucket(sampled_us, self._sample_us) + self._sample_us
            lending.lend(self._books[symbol], due_us=due_us, sample_us=self._sample_us, takes_snapshots=True)
        self._lendable.clear()
        for symbol in self._followable:
            symbol_state = self._account.symbol(symbol)
            ids, interval = symbol_state.ids, symbol_state.trade
            if interval is not None and ids is not None and interval.state == PROVEN:
                lending.follow(TRADE, symbol, ids.last)
            elif interval is not None and symbol_state.unnumbered and interval.state == UNPROVEN:
                lending.follow(TRADE, symbol, None)
        self._followable.clear()

    def _take_in(self, book: Book, message: BookSnapshot | BookDelta) -> Check:
        """Let a book apply a message; note whether it can be lent then."""
        check = book.apply(message)
        if check is Check.MATCHED or isinstance(message, BookSnapshot):
            self._lendable[book.symbol] = None
        return check

    def _book(self, event: BookSnapshot | BookDelta, depth: int, protocol: str = DEFAULT) -> Book:
        """The book that the message is about; a snapshot starts it again, with that depth."""
        if self._lending is not None:
            self._lending.recall(event.symbol)
        book = self._books.get(event.symbol)
        if book is None or isinstance(event, BookSnapshot):
            book = self._books[event.symbol] = Book(event.symbol, depth, venue_of(protocol).proof)
        return book

    def _build_book(self, event: BookSnapshot | BookDelta, protocol: str) -> None:
        """Take a message that is in the store already. Only those since the last snapshot matter."""
        symbol_state = self.state.symbols.get(event.symbol)
        if symbol_state is not None:
            self._take_in(self._book(event, symbol_state.depth, protocol), event)

    def _apply_baseline(self, baseline: Baseline) -> None:
        """Know a book, without having seen a message of it that could be stored, or prove anything."""
        symbol = baseline.book.symbol
        if self._admits(symbol):
            symbol_state = self._account.symbol(symbol)
            symbol_state.depth = symbol_state.acked_depth = baseline.depth
            self._take_in(self._book(baseline.book, symbol_state.depth, baseline.protocol), baseline.book)

    def _doubt(self, symbol: str, at_us: int) -> None:
        """A frame that could not be read may have been about this book."""
        symbol_state = self.state.symbols.get(symbol)
        if symbol_state is not None and symbol_state.book is not None and symbol_state.book.state == PROVEN:
            self._account.transition(symbol, BOOK, UNPROVEN, at_us, MALFORMED)

    def _apply_book(
        self,
        entry: JournalEvent,
        event: BookSnapshot | BookDelta,
        check: Check | None,
        depth: int | None,
        at_us: int,
    ) -> None:
        symbol_state = self._account.symbol(event.symbol)
        if isinstance(event, BookSnapshot):
            size = max(len(event.bids), len(event.asks))
            depths = venue_of(entry.protocol).streams.depths
            guess = next((depth for depth in depths if depth >= size), depths[-1])
            symbol_state.depth = depth or symbol_state.acked_depth or guess
        book = self._book(event, symbol_state.depth, entry.protocol)
        if check in (None, Check.REFUSED):
            book.clear()  # as the reader's copy, which is all that a projection that begins here can know
            own = Check.REFUSED
        else:
            own = self._take_in(book, event)
        proven = check is Check.MATCHED and book.proven
        if proven:
            self._account.transition(event.symbol, BOOK, PROVEN, at_us)
        else:
            self._account.transition(event.symbol, BOOK, UNPROVEN, at_us, _reason(book, own, check))
        begin_us = bucket(at_us, self._sample_us)
        if own is not Check.REFUSED and (symbol_state.sampled_us is None or begin_us > symbol_state.sampled_us):
            symbol_state.sampled_us = begin_us
            proven_depth = book.proven_depth if proven else 0
            exchange_us = None if event.timestamp is None else micros(event.timestamp)
            row = book_row(self._account.source, book, proven_depth, entry.id, at_us, exchange_us)
            self._account.changes.put(BOOK_SNAPSHOTS, row)

    def _admits(self, symbol: str) -> bool:
        """Whether there can be rows of that symbol."""
        known = self.state.symbols
        if symbol in known or (self._is_ours(symbol) and len(known) < SYMBOLS_MAX and "\0" not in symbol):
            return True
        self._account.refused += 1
        return False

    def _is_ours(self, symbol: str) -> bool:
        """Whether no other shard has it."""
        return self._owned is None or symbol in self._owned


def _reason(book: Book, own: Check, live: Check | None) -> str:
    """Why a book is not proven. `own`: what the message did to our copy of it, `live`: to the reader's."""
    if book.crossed:
        return "crossed"
    check = own if live is Check.MATCHED else live or Check.UNCHECKED
    return check.value


def _is_offered(depth: int | None) -> bool:
    return any(depth in venue.streams.depths for venue in VENUES.values())


def _sentence(text: str) -> str:
    """A peer's words, as a store can hold them."""
    return text[:REASON_MAX].replace("\0", "")
