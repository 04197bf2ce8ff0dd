"""From the journal's events to the store's rows: the pure core of the loader. No I/O, no clock.

`Projection` applies events in order and collects the rows that they change. What it has to know of the past is its
`ProjectionState`, which is committed with its rows: wherever it is stopped and started again, the rows come out the
same.

The levels of books are not in that state. A reader therefore begins at or before the position of the state: of events
up to there, only the books are built. Instead of going back to a book's last snapshot it may give the book as it was
then, as a `BookSnapshot` under any such id. One that has to begin later, because what came before was dropped, gives a
`Missed` and then each book as it is there, as a `Baseline`.
"""

from collections.abc import Collection, Iterable, Mapping
from operator import attrgetter

import msgspec

from tidelog.batch import INT_MAX, Row
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
from tidelog.market.projection.candles import bucket
from tidelog.market.projection.changes import Changes
from tidelog.market.projection.coverage import GAP, PROVEN, UNPROVEN, Interval, loss_between, transition
from tidelog.market.projection.inputs import Baseline, ProjectionInput
from tidelog.market.projection.rows import book_row, instrument_row, trade_row
from tidelog.market.projection.state import Outage, ProjectionState, SymbolState
from tidelog.market.projection.tables import BOOK_SNAPSHOTS, COVERAGE, GAPS, INSTRUMENTS, TRADES
from tidelog.market.projection.trade_ids import Missing, add_ids
from tidelog.market.venues import DEFAULT, VENUES, venue_of

SYMBOLS_MAX = 5_000  # an exchange lists some 1,500; the bound is against names that it makes up
REASON_MAX = 200  # characters of why a connection ended: a peer may say anything
CONNECTION = "connection"  # the scope of its gaps
BOOK, TRADE = "book", "trade"  # channels, as coverage names them
MOMENT_TRADES = 100  # whose times are remembered where trades have no ids: twice as many as a snapshot repeats
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
        self._on_fault = on_fault
        self.refused = 0  # trades and instruments that no row can hold
        self._source = source
        self._connection = connection
        self._owned = owned
        self._sample_us = sample_us
        self._books: dict[str, Book] = {}
        self._lendable: dict[str, None] = {}  # books that are here and may be lent to the compiled core
        self._followable: dict[str, None] = {}  # symbols whose trades it may take, if nothing else follows from them
        self._lending: Lending | None = None  # None: no stretch has come
        self._lent_protocol = DEFAULT
        self._changes = Changes()

    def drain(self) -> Changes:
        changes, self._changes = self._changes, Changes()
        return changes

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
                    self._apply_book(entry, event, entry.check, at_us)
            case BookUpdates(parts):
                for part, check in zip(parts, entry.checks, strict=True):
                    if self._admits(part.symbol):
                        self._apply_book(entry, part, check, at_us)
            case Trades():
                by_symbol: dict[str, list[Trade]] = {}
                for trade in event.trades:
                    by_symbol.setdefault(trade.symbol, []).append(trade)
                for symbol, trades in by_symbol.items():
                    if self._admits(symbol):
                        self._apply_trades(symbol, trades, entry.id, at_us)
            case Instruments():
                for instrument in event.instruments:
                    row = instrument_row(self._source, instrument, at_us)
                    self.refused += not self._changes.put(INSTRUMENTS, row)
            case Ack():
                for answered in entry.answered or (event.symbol,):
                    self._apply_ack(event, answered, at_us)
            case Rejection(error):
                self._forget()
                for channel, named in entry.refused:
                    if channel in (BOOK, TRADE) and named is not None and self._admits(named):
                        self._transition(named, channel, GAP, at_us, _sentence(f"refused: {error}"))
            case _:
                pass

    def _require_known(self, id_: EventId, at_us: int) -> None:
        """ConfigError if an event that should be in the store already is later than those there."""
        state = self.state
        if at_us > state.at_us:
            raise ConfigError(
                f"{self._source} was loaded from another journal, which came as far as run {state.run}, "
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
            self._put_gap(self._connection, outage.since_us, state.at_us, "journal", outage.opened_us)

    def give_up(self, symbols: Iterable[str]) -> None:
        """Another shard may have these from here on: what is known of them is put aside, and nothing more comes."""
        state = self.state
        self._forget()
        for symbol in symbols:
            symbol_state = self._symbol(symbol)
            symbol_state.repeats = symbol_state.unnumbered
            for channel, interval in ((BOOK, symbol_state.book), (TRADE, symbol_state.trade)):
                if interval is not None:
                    self._transition(symbol, channel, GAP, state.at_us, MOVED)
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
                    self._transition(symbol, BOOK, UNPROVEN, at_us, RESYNC)

    def _lose(self, reason: str, at_us: int) -> None:
        """Frames are missing from here on, or were since the last one."""
        state = self.state
        self._forget()
        if state.outage is None and state.frame_us:
            since_us = state.outage_us = max(state.frame_us, state.outage_us + 1)
            state.outage = Outage(since_us, reason, at_us)
            self._put_gap(self._connection, since_us, max(since_us, at_us), reason, at_us)
        for symbol, symbol_state in state.symbols.items():
            symbol_state.repeats = symbol_state.unnumbered
            for channel, interval in ((BOOK, symbol_state.book), (TRADE, symbol_state.trade)):
                if interval is not None:
                    self._transition(symbol, channel, GAP, at_us, reason)

    def _resume(self, at_us: int) -> None:
        """A frame came."""
        state = self.state
        state.frame_us = at_us
        outage, state.outage = state.outage, None
        if outage is not None:
            last_us = max(outage.since_us, at_us)
            self._put_gap(self._connection, outage.since_us, last_us, outage.reason, outage.opened_us, at_us)

    def _apply_ack(self, ack: Ack, symbol: str | None, at_us: int) -> None:
        if symbol is None or ack.channel not in (BOOK, TRADE) or not self._admits(symbol):
            return
        self._forget()
        symbol_state = self._symbol(symbol)
        if ack.method == "subscribe":
            if ack.channel == BOOK and _is_offered(ack.depth):
                symbol_state.acked_depth = ack.depth
            elif ack.channel == TRADE:
                symbol_state.repeats = symbol_state.unnumbered
        elif (symbol_state.book if ack.channel == BOOK else symbol_state.trade) is not None:
            self._transition(symbol, ack.channel, GAP, at_us, "unsubscribed")

    # -- books ----------------------------------------------------------------------------------------------

    def _apply_stretch(self, stretch: Stretch) -> None:
        """Apply events of which each update matched: by the compiled core, and one by one where it leaves some."""
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
            check = Check.MATCHED if isinstance(event, BookDelta) else None
            self.apply(JournalEvent(record.id, record.at_us, event, check))

    def _note_taken(self, taken: Taken) -> None:
        """What follows from events that the compiled core took: their books are proven."""
        state, stretch = self.state, taken.stretch
        if state.run not in (NOTHING.run, stretch.id.run):
            self._lose("restart", stretch.first_us)
        self._resume(stretch.first_us)
        state.at_us = state.frame_us = stretch.at_us
        state.run, state.seq = stretch.id
        for seen in taken.books:
            self._transition(seen.symbol, BOOK, PROVEN, seen.first_us)
            self._transition(seen.symbol, BOOK, PROVEN, seen.last_us)
        by_symbol: dict[str, list[Prints]] = {}
        for prints in taken.prints:
            by_symbol.setdefault(prints.symbol, []).append(prints)
        for symbol, frames in by_symbol.items():
            self._take_trades(symbol, frames, stretch.id.run)

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
        """Lend the books that can be, until each is to be stored again."""
        for symbol in filter(self._is_ours, self._lendable):
            sampled_us = self._symbol(symbol).sampled_us
            lending.lend(self._books[symbol], due_us=0 if sampled_us is None else sampled_us + self._sample_us)
        self._lendable.clear()
        for symbol in self._followable:
            symbol_state = self._symbol(symbol)
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
            symbol_state = self._symbol(symbol)
            symbol_state.depth = symbol_state.acked_depth = baseline.depth
            self._take_in(self._book(baseline.book, symbol_state.depth, baseline.protocol), baseline.book)

    def _doubt(self, symbol: str, at_us: int) -> None:
        """A frame that could not be read may have been about this book."""
        symbol_state = self.state.symbols.get(symbol)
        if symbol_state is not None and symbol_state.book is not None and symbol_state.book.state == PROVEN:
            self._transition(symbol, BOOK, UNPROVEN, at_us, MALFORMED)

    def _apply_book(
        self, entry: JournalEvent, event: BookSnapshot | BookDelta, check: Check | None, at_us: int
    ) -> None:
        symbol_state = self._symbol(event.symbol)
        if isinstance(event, BookSnapshot):
            size = max(len(event.bids), len(event.asks))
            depths = venue_of(entry.protocol).streams.depths
            guess = next((depth for depth in depths if depth >= size), depths[-1])
            symbol_state.depth = entry.depth or symbol_state.acked_depth or guess
        book = self._book(event, symbol_state.depth, entry.protocol)
        if check in (None, Check.REFUSED):
            book.clear()  # as the reader's copy, which is all that a projection that begins here can know
            own = Check.REFUSED
        else:
            own = self._take_in(book, event)
        proven = check is Check.MATCHED and book.proven
        if proven:
            self._transition(event.symbol, BOOK, PROVEN, at_us)
        else:
            self._transition(event.symbol, BOOK, UNPROVEN, at_us, _reason(book, own, check))
        begin_us = bucket(at_us, self._sample_us)
        if own is not Check.REFUSED and (symbol_state.sampled_us is None or begin_us > symbol_state.sampled_us):
            symbol_state.sampled_us = begin_us
            proven_depth = book.proven_depth if proven else 0
            exchange_us = None if event.timestamp is None else micros(event.timestamp)
            row = book_row(self._source, book, proven_depth, entry.id, at_us, exchange_us)
            self._changes.put(BOOK_SNAPSHOTS, row)

    # -- trades ---------------------------------------------------------------------------------------------

    def _apply_trades(self, symbol: str, trades: list[Trade], id_: EventId, at_us: int) -> None:
        numbered = [trade for trade in trades if trade.trade_id is not None]
        symbol_state = self._symbol(symbol)
        if (numbered and symbol_state.unnumbered) or (len(numbered) < len(trades) and symbol_state.ids is not None):
            raise ConfigError(
                f"trades of {symbol} come with ids in one of Kraken's protocols and without in the other: "
                f"{self._source} holds those of the other one, give this recording a name of its own"
            )
        if numbered:
            self._apply_numbered(symbol, numbered, id_, at_us)
        else:
            self._apply_unnumbered(symbol, trades, id_, at_us)
        self._followable[symbol] = None

    def _take_trades(self, symbol: str, frames: list[Prints], run: int) -> None:
        """Take frames of trades, of which the compiled core has seen that the ids, if there are any, follow on.

        So no gap begins or ends with them, and what is covered goes on as it was.
        """
        symbol_state = self._symbol(symbol)
        interval = symbol_state.trade
        assert interval is not None
        for _, seq, at_us, trades in frames:
            if symbol_state.ids is None:
                ordinals: Iterable[int | None] = self._ordinals(symbol_state, [trade.time_us for trade in trades])
            else:
                trades.sort(key=attrgetter("trade_id"))
                ordinals = [trade.trade_id for trade in trades]
            rows = [
                (
                    self._source,
                    symbol,
                    trade.time_us,
                    ordinal,
                    trade.price,
                    trade.qty,
                    "buy" if trade.is_buy else "sell",
                    trade.ord_type,
                    trade.price_scale,
                    trade.qty_scale,
                    trade.trade_id,
                    run,
                    seq,
                    at_us,
                )
                for trade, ordinal in zip(trades, ordinals, strict=True)
                if trade.time_us >= symbol_state.from_us
            ]
            if symbol_state.ids is None:
                for row in rows:
                    self._changes.put(TRADES, row)
            else:
                self._changes.numbered += rows
        if symbol_state.ids is not None:
            last = frames[-1].trades[-1].trade_id
            assert last is not None
            symbol_state.ids = msgspec.structs.replace(symbol_state.ids, last=last)
        self._transition(symbol, TRADE, interval.state, frames[-1].at_us, interval.reason)

    def _apply_numbered(self, symbol: str, trades: list[Trade], id_: EventId, at_us: int) -> None:
        rows: dict[int, Row] = {}
        for trade in trades:
            number = trade.trade_id
            row = trade_row(self._source, trade, 0, id_, at_us)
            if row is None or number is None or not 0 <= number <= INT_MAX:
                self.refused += 1  # its id is missing then, and the gap says so
            else:
                rows.setdefault(number, row)
        if not rows:
            return
        symbol_state = self._symbol(symbol)
        added = add_ids(symbol_state.ids, rows, at_us, loss_between(symbol_state.trade, at_us))
        symbol_state.ids = added.ids
        self._changes.numbered += [
            rows[number] for number in sorted(added.new) if _time_us(rows[number]) >= symbol_state.from_us
        ]
        for gap in added.missing:
            self._put_missing(symbol, gap)
        for gap in added.filled:
            self._put_missing(symbol, gap, at_us)
        if added.opened and (symbol_state.trade is None or symbol_state.trade.state != GAP):
            self._transition(symbol, TRADE, GAP, at_us, "trade_id")
        repaired = {gap.loss for gap in added.filled}
        if symbol_state.trade is not None and symbol_state.trade.state == GAP:
            repaired.add(loss_between(symbol_state.trade, at_us))
        self._transition(symbol, TRADE, PROVEN, at_us)
        for loss in repaired - added.unrepaired:
            self._put_coverage(symbol, TRADE, Interval(loss.since_us, loss.until_us, GAP, loss.reason), at_us)

    def _apply_unnumbered(self, symbol: str, trades: list[Trade], id_: EventId, at_us: int) -> None:
        """Give each trade a number among those of its microsecond.

        A snapshot repeats trades that came before, so that its numbers begin at 0, but for its oldest time, of which it
        may have the last trades alone. Those of an update continue where the frame before it ended: equal fills come in
        frames of their own.
        """
        symbol_state = self._symbol(symbol)
        symbol_state.unnumbered = True
        times = [micros(trade.timestamp) for trade in trades]
        for trade, time_us, ordinal in zip(trades, times, self._ordinals(symbol_state, times), strict=True):
            row = trade_row(self._source, trade, ordinal, id_, at_us)
            if time_us >= symbol_state.from_us:
                self.refused += not self._changes.put(TRADES, row)
        self._transition(symbol, TRADE, UNPROVEN, at_us, "no_trade_ids")

    def _ordinals(self, symbol_state: SymbolState, times: list[int]) -> list[int]:
        """The number of each trade of a frame without ids, by their times; see `_apply_unnumbered`."""
        counts = {symbol_state.tick_us: symbol_state.ticks}
        ordinals = []
        if symbol_state.repeats and times:
            oldest_us = min(times)
            counts = {oldest_us: max(0, dict(symbol_state.moments).get(oldest_us, 0) - times.count(oldest_us))}
            symbol_state.tick_us = symbol_state.ticks = 0
            symbol_state.repeats = False
        for time_us in times:
            ordinal = counts.get(time_us, 0)
            ordinals.append(ordinal)
            counts[time_us] = ordinal + 1
            if time_us >= symbol_state.tick_us:
                symbol_state.tick_us, symbol_state.ticks = (
                    time_us,
                    max(counts[time_us], symbol_state.ticks * (time_us == symbol_state.tick_us)),
                )
        symbol_state.moments = _latest(symbol_state.moments, {time_us: counts[time_us] for time_us in times})
        return ordinals

    def _admits(self, symbol: str) -> bool:
        """Whether there can be rows of that symbol."""
        known = self.state.symbols
        if symbol in known or (self._is_ours(symbol) and len(known) < SYMBOLS_MAX and "\0" not in symbol):
            return True
        self.refused += 1
        return False

    def _is_ours(self, symbol: str) -> bool:
        """Whether no other shard has it."""
        return self._owned is None or symbol in self._owned

    # -- rows -----------------------------------------------------------------------------------------------

    def _symbol(self, symbol: str) -> SymbolState:
        symbol_state = self.state.symbols.get(symbol)
        if symbol_state is None:
            symbol_state = self.state.symbols[symbol] = SymbolState(trades=0)
        return symbol_state

    def _transition(self, symbol: str, channel: str, state: str, at_us: int, reason: str | None = None) -> None:
        symbol_state = self._symbol(symbol)
        intervals = transition(symbol_state.book if channel == BOOK else symbol_state.trade, state, at_us, reason)
        for interval in intervals:
            self._put_coverage(symbol, channel, interval)
        if channel == BOOK:
            symbol_state.book = intervals[-1]
        else:
            symbol_state.trade = intervals[-1]

    def _put_coverage(self, symbol: str, channel: str, interval: Interval, closed_us: int | None = None) -> None:
        since_us, until_us, state, reason = msgspec.structs.astuple(interval)
        row = (self._source, symbol, channel, since_us, until_us, state, reason, _ms(closed_us))
        self._changes.put(COVERAGE, row)

    def _put_missing(self, symbol: str, gap: Missing, closed_us: int | None = None) -> None:
        scope = f"trades:{symbol}"
        self._put_gap(scope, gap.first, gap.last, gap.loss.reason, gap.opened_us, closed_us)

    def _put_gap(
        self, scope: str, first: int, last: int, reason: str, opened_us: int, closed_us: int | None = None
    ) -> None:
        row = (self._source, scope, first, last, reason, _ms(opened_us), _ms(closed_us))
        self._changes.put(GAPS, row)


def _latest(moments: tuple[tuple[int, int], ...], more: Mapping[int, int]) -> tuple[tuple[int, int], ...]:
    """The latest times, each with the most trades that it was seen to have, of MOMENT_TRADES or a few more."""
    merged = dict(moments)
    for time_us, count in more.items():
        merged[time_us] = max(merged.get(time_us, 0), count)
    kept: list[tuple[int, int]] = []
    trades = 0
    for time_us in sorted(merged, reverse=True):
        if trades >= MOMENT_TRADES:
            break
        kept.append((time_us, merged[time_us]))
        trades += merged[time_us]
    return tuple(kept[::-1])


def _reason(book: Book, own: Check, live: Check | None) -> str:
    """Why a book is not proven. `own`: what the message did to our copy of it, `live`: to the reader's."""
    if book.crossed:
        return "crossed"
    check = own if live is Check.MATCHED else live or Check.UNCHECKED
    return check.value


def _time_us(trade: Row) -> int:
    time_us = trade[TRADES.index("time_us")]
    assert isinstance(time_us, int)
    return time_us


def _is_offered(depth: int | None) -> bool:
    return any(depth in venue.streams.depths for venue in VENUES.values())


def _sentence(text: str) -> str:
    """A peer's words, as a store can hold them."""
    return text[:REASON_MAX].replace("\0", "")


def _ms(time_us: int | None) -> int | None:
    return None if time_us is None else time_us // 1000
