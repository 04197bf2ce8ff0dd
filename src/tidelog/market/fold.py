"""From the journal's entries to the store's rows: the pure core of the loader. No I/O, no clock.

`Fold` takes entries in order and collects the rows that they change. What it has to know of the past is its
`State`: small, and kept in the checkpoint that its rows are committed with; so wherever it is stopped and
begun again, the rows come out the same.

Only the levels of the books are not in the state. A stream therefore begins at or before the place where
the fold stands: of entries up to there, only the books are built. A reader that does not want to go back to
a book's last snapshot gives the book as it was then as a `BookSnapshot`, whole, its numbers written with all
of their decimals, under any such id and its time. One that has to begin later, because what came before is
gone, says so by a marker of a gap, and gives each book as it is there as a `Standing`, before anything else.
"""

import msgspec
from msgspec import Struct

from tidelog.batch import (
    BOOK_SNAPSHOTS,
    COVERAGE,
    GAPS,
    INSTRUMENTS,
    INT_MAX,
    TRADES,
    Row,
    Rows,
    Table,
    table_map,
)
from tidelog.errors import ConfigError
from tidelog.market.book import CHECKED_LEVELS, Book, Check
from tidelog.market.candles import bucket
from tidelog.market.coverage import GAP, PROVEN, UNPROVEN, Interval, loss_between, turn
from tidelog.market.events import (
    NOTHING,
    Ack,
    BookDelta,
    BookSnapshot,
    BookUpdates,
    EventId,
    Instruments,
    Rejection,
    Trade,
    Trades,
    micros,
)
from tidelog.market.folded import DISCONNECTED, RESYNC, Folded, Marker, Standing
from tidelog.market.folded import GAP as GAP_MARK
from tidelog.market.rows import book_row, instrument_row, trade_row
from tidelog.market.trade_ids import Held, Missing, take

DEPTHS = (10, 25, 100, 500, 1000)  # that an exchange offers: what a book is cut to where no ack said it
SYMBOLS_MAX = 5_000  # an exchange lists some 1,500; the bound is against names that it makes up
REASON_MAX = 200  # characters of why a connection ended: a peer may say anything
BOOK, TRADE = "book", "trade"  # channels, as coverage names them
MALFORMED = "malformed"  # why a book is not proven: a frame could not be read


class SymbolState(Struct, omit_defaults=True):
    """What the past means for one symbol."""

    book: Interval | None = None  # the current interval of its coverage, per channel
    trade: Interval | None = None
    held: Held | None = None  # trades that have ids
    unnumbered: bool = False  # trades came without ids
    acked_depth: int | None = None  # of its next book, as an ack said
    depth: int = DEPTHS[0]  # of its book
    sampled_us: int | None = None  # when its book was last stored
    tick_us: int = 0  # of trades without ids: the latest time, and how many of it there were
    ticks: int = 0
    repeats: bool = False  # ... and whether the next frame of them is a snapshot, of trades that may have come before
    from_us: int = 0  # trades before this were dropped, so that none of them is taken any more
    trades: int | None = None  # that are stored: the loader's count; None where an older tidelog did not count


class Outage(Struct, frozen=True):
    """The connection is down, or frames are missing, since the last one that came."""

    since_us: int
    reason: str
    opened_us: int


class State(Struct, omit_defaults=True):
    """Where the fold stands, and what it has to know of what came before."""

    run: int = NOTHING.run
    seq: int = NOTHING.seq
    at_us: int = 0  # the latest time so far: times that go back are held here
    frame_us: int = 0  # the same of frames alone
    outage: Outage | None = None
    outage_us: int = 0  # when the latest outage began
    intervals_s: tuple[int, ...] = ()  # of the candles that were made
    journal: str = ""  # id of the journal that is loaded, hex; "": an older tidelog has loaded it, and kept none
    symbols: dict[str, SymbolState] = {}

    @property
    def id(self) -> EventId:
        return EventId(self.run, self.seq)


_decode_state = msgspec.json.Decoder(State).decode


def encode_state(state: State) -> str:
    return msgspec.json.encode(state).decode()


def decode_state(text: str) -> State:
    """Raises msgspec.DecodeError if the text is no state."""
    return _decode_state(text)


class Changes:
    """The rows that some entries change: of each key, as it is after the last of them."""

    def __init__(self) -> None:
        self.numbered: list[Row] = []  # trades with ids, each once for ever
        self._rows: dict[str, dict[Row, Row]] = {}  # by table

    def put(self, table: Table, row: Row | None) -> bool:
        """False if there is no row to put."""
        if row is None:
            return False
        key = tuple([row[i] for i in _KEYS[table.name]])
        self._rows.setdefault(table.name, {})[key] = row
        return True

    @property
    def trades(self) -> list[Row]:
        """All rows of trades; those without ids may be stored already."""
        return [*self.numbered, *self._rows.get(TRADES.name, {}).values()]

    @property
    def add(self) -> tuple[Rows, ...]:
        return (Rows(TRADES, self.numbered),) if self.numbered else ()

    @property
    def replaced(self) -> tuple[Rows, ...]:
        return tuple([Rows(_PUT[name], list(rows.values())) for name, rows in self._rows.items()])


_PUT = table_map((TRADES, INSTRUMENTS, BOOK_SNAPSHOTS, COVERAGE, GAPS))
_KEYS = {table.name: [table.index(name) for name in table.key] for table in _PUT.values()}


class Fold:
    """Takes entries; `drain` hands over the rows that they have changed since it was last asked."""

    def __init__(self, source: str, state: State, sample_us: int) -> None:
        self.state = state
        self.refused = 0  # trades and instruments that no row can hold
        self._source = source
        self._sample_us = sample_us
        self._books: dict[str, Book] = {}
        self._changes = Changes()

    def drain(self) -> Changes:
        changes, self._changes = self._changes, Changes()
        return changes

    def take(self, entry: Folded) -> None:
        """Take the next entry in.

        Raises:
            ConfigError: this is another journal than before, or a symbol's trades come with ids, and before
                they came without, or the other way.
        """
        state, event = self.state, entry.event
        if isinstance(event, Standing):
            self._stand(event)
            return
        if entry.id <= state.id:
            if entry.at_us > state.at_us:
                raise ConfigError(
                    f"{self._source} was loaded from another journal, which came as far as run {state.run}, "
                    f"frame {state.seq}; this one has {tuple(entry.id)} at a later time: give it a name of its own"
                )
            for part in event.parts if isinstance(event, BookUpdates) else (event,):
                if isinstance(part, BookSnapshot | BookDelta):
                    self._build_book(part)
            return
        at_us = state.at_us = max(entry.at_us, state.at_us)
        if state.run not in (NOTHING.run, entry.id.run):
            self._lose("restart", at_us)
        state.run, state.seq = entry.id
        if isinstance(event, Marker):
            self._mark(event, at_us)
            return
        self._resume(at_us)
        for symbol in entry.doubted:
            self._doubt(symbol, at_us)
        match event:
            case BookSnapshot() | BookDelta():
                if self._admits(event.symbol):
                    self._take_book(entry, event, entry.check, at_us)
            case BookUpdates(parts):
                for part, check in zip(parts, entry.checks, strict=True):
                    if self._admits(part.symbol):
                        self._take_book(entry, part, check, at_us)
            case Trades():
                by_symbol: dict[str, list[Trade]] = {}
                for trade in event.trades:
                    by_symbol.setdefault(trade.symbol, []).append(trade)
                for symbol, trades in by_symbol.items():
                    if self._admits(symbol):
                        self._take_trades(symbol, trades, entry.id, at_us)
            case Instruments():
                for instrument in event.instruments:
                    row = instrument_row(self._source, instrument, at_us)
                    self.refused += not self._changes.put(INSTRUMENTS, row)
            case Ack():
                self._take_ack(event, at_us)
            case Rejection(error):
                for channel, named in entry.refused:
                    if channel in (BOOK, TRADE) and named is not None and self._admits(named):
                        self._turn(named, channel, GAP, at_us, _sentence(f"refused: {error}"))
            case _:
                pass

    # -- the connection -------------------------------------------------------------------------------------

    def begin_journal(self, journal: str) -> None:
        """Go on with another journal, whose runs have higher numbers; what lies between is a gap."""
        state = self.state
        state.journal = journal
        self._lose("journal", state.at_us)
        outage = state.outage
        if outage is not None:  # one may have begun before, for a reason that matters less
            state.outage = Outage(outage.since_us, "journal", outage.opened_us)
            self._put_gap("connection", outage.since_us, state.at_us, "journal", outage.opened_us)

    def _mark(self, marker: Marker, at_us: int) -> None:
        if marker.kind in (DISCONNECTED, GAP_MARK):
            self._lose(_sentence(marker.detail or marker.kind), at_us)
        elif marker.kind == f"{RESYNC} {TRADE}" and marker.detail in self.state.symbols:
            self.state.symbols[marker.detail].repeats = True
        elif marker.kind == RESYNC:
            symbol = self.state.symbols.get(marker.detail)
            if symbol is not None and symbol.book is not None and symbol.book.state == PROVEN:
                self._turn(marker.detail, BOOK, UNPROVEN, at_us, RESYNC)

    def _lose(self, reason: str, at_us: int) -> None:
        """Frames are missing from here on, or were since the last one."""
        state = self.state
        if state.outage is None and state.frame_us:
            since_us = state.outage_us = max(state.frame_us, state.outage_us + 1)
            state.outage = Outage(since_us, reason, at_us)
            self._put_gap("connection", since_us, max(since_us, at_us), reason, at_us)
        for symbol, held in state.symbols.items():
            held.repeats = held.unnumbered
            for channel, interval in ((BOOK, held.book), (TRADE, held.trade)):
                if interval is not None:
                    self._turn(symbol, channel, GAP, at_us, reason)

    def _resume(self, at_us: int) -> None:
        """A frame came."""
        state = self.state
        state.frame_us = at_us
        outage, state.outage = state.outage, None
        if outage is not None:
            last_us = max(outage.since_us, at_us)
            self._put_gap("connection", outage.since_us, last_us, outage.reason, outage.opened_us, at_us)

    def _take_ack(self, ack: Ack, at_us: int) -> None:
        if ack.symbol is None or ack.channel not in (BOOK, TRADE) or not self._admits(ack.symbol):
            return
        held = self._symbol(ack.symbol)
        if ack.method == "subscribe":
            if ack.channel == BOOK and ack.depth in DEPTHS:
                held.acked_depth = ack.depth
            elif ack.channel == TRADE:
                held.repeats = held.unnumbered
        elif (held.book if ack.channel == BOOK else held.trade) is not None:
            self._turn(ack.symbol, ack.channel, GAP, at_us, "unsubscribed")

    # -- books ----------------------------------------------------------------------------------------------

    def _book(self, event: BookSnapshot | BookDelta, depth: int) -> Book:
        """The book that the message is about; a snapshot begins it anew, with that depth."""
        book = self._books.get(event.symbol)
        if book is None or isinstance(event, BookSnapshot):
            book = self._books[event.symbol] = Book(event.symbol, depth)
        return book

    def _build_book(self, event: BookSnapshot | BookDelta) -> None:
        """Take a message that is in the store already. Only those since the last snapshot matter."""
        held = self.state.symbols.get(event.symbol)
        if held is not None:
            self._book(event, held.depth).apply(event)

    def _stand(self, standing: Standing) -> None:
        """Know a book, without having seen a message of it that could be stored, or prove anything."""
        symbol = standing.book.symbol
        if self._admits(symbol):
            held = self._symbol(symbol)
            held.depth = held.acked_depth = standing.depth
            self._book(standing.book, held.depth).apply(standing.book)

    def _doubt(self, symbol: str, at_us: int) -> None:
        """A frame that could not be read may have been about this book."""
        held = self.state.symbols.get(symbol)
        if held is not None and held.book is not None and held.book.state == PROVEN:
            self._turn(symbol, BOOK, UNPROVEN, at_us, MALFORMED)

    def _take_book(self, entry: Folded, event: BookSnapshot | BookDelta, check: Check | None, at_us: int) -> None:
        held = self._symbol(event.symbol)
        if isinstance(event, BookSnapshot):
            size = max(len(event.bids), len(event.asks))
            guess = next((depth for depth in DEPTHS if depth >= size), DEPTHS[-1])
            held.depth = entry.depth or held.acked_depth or guess
        book = self._book(event, held.depth)
        if check in (None, Check.REFUSED):
            book.clear()  # as the reader's copy, which is all that a fold that begins here can know of
            own = Check.REFUSED
        else:
            own = book.apply(event)
        proven = check is Check.MATCHED and book.proven
        if proven:
            self._turn(event.symbol, BOOK, PROVEN, at_us)
        else:
            self._turn(event.symbol, BOOK, UNPROVEN, at_us, _reason(book, own, check))
        begin_us = bucket(at_us, self._sample_us)
        if own is not Check.REFUSED and (held.sampled_us is None or begin_us > held.sampled_us):
            held.sampled_us = begin_us
            proven_depth = CHECKED_LEVELS if proven else 0
            exchange_us = None if event.timestamp is None else micros(event.timestamp)
            row = book_row(self._source, book, proven_depth, entry.id, at_us, exchange_us)
            self._changes.put(BOOK_SNAPSHOTS, row)

    # -- trades ---------------------------------------------------------------------------------------------

    def _take_trades(self, symbol: str, trades: list[Trade], id_: EventId, at_us: int) -> None:
        numbered = [trade for trade in trades if trade.trade_id is not None]
        held = self._symbol(symbol)
        if (numbered and held.unnumbered) or (len(numbered) < len(trades) and held.held is not None):
            raise ConfigError(
                f"trades of {symbol} come with ids in one of Kraken's protocols and without in the other: "
                f"{self._source} holds those of the other one, give this recording a name of its own"
            )
        if numbered:
            self._take_numbered(symbol, numbered, id_, at_us)
        else:
            self._take_unnumbered(symbol, trades, id_, at_us)

    def _take_numbered(self, symbol: str, trades: list[Trade], id_: EventId, at_us: int) -> None:
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
        held = self._symbol(symbol)
        taken = take(held.held, rows, at_us, loss_between(held.trade, at_us))
        held.held = taken.held
        self._changes.numbered += [
            rows[number] for number in sorted(taken.new) if _time_us(rows[number]) >= held.from_us
        ]
        for gap in taken.missing:
            self._put_missing(symbol, gap)
        for gap in taken.filled:
            self._put_missing(symbol, gap, at_us)
        if taken.opened and (held.trade is None or held.trade.state != GAP):
            self._turn(symbol, TRADE, GAP, at_us, "trade_id")
        mended = {gap.loss for gap in taken.filled}
        if held.trade is not None and held.trade.state == GAP:
            mended.add(loss_between(held.trade, at_us))
        self._turn(symbol, TRADE, PROVEN, at_us)
        for loss in mended - taken.unmended:
            self._put_coverage(symbol, TRADE, Interval(loss.since_us, loss.until_us, GAP, loss.reason), at_us)

    def _take_unnumbered(self, symbol: str, trades: list[Trade], id_: EventId, at_us: int) -> None:
        """Give each trade a number among those of its microsecond.

        A snapshot repeats trades that came before, so that its numbers begin at 0; those of an update go on where the
        frame before it ended: equal fills come in frames of their own.
        """
        held = self._symbol(symbol)
        held.unnumbered = True
        if held.repeats:
            held.tick_us = held.ticks = 0
            held.repeats = False
        counts = {held.tick_us: held.ticks}
        for trade in trades:
            time_us = micros(trade.timestamp)
            ordinal = counts.get(time_us, 0)
            counts[time_us] = ordinal + 1
            if time_us >= held.tick_us:
                held.tick_us, held.ticks = time_us, max(counts[time_us], held.ticks * (time_us == held.tick_us))
            row = trade_row(self._source, trade, ordinal, id_, at_us)
            if time_us >= held.from_us:
                self.refused += not self._changes.put(TRADES, row)
        self._turn(symbol, TRADE, UNPROVEN, at_us, "no_trade_ids")

    def _admits(self, symbol: str) -> bool:
        """Whether there can be rows of that symbol."""
        known = self.state.symbols
        if symbol in known or (len(known) < SYMBOLS_MAX and "\0" not in symbol):
            return True
        self.refused += 1
        return False

    # -- rows -----------------------------------------------------------------------------------------------

    def _symbol(self, symbol: str) -> SymbolState:
        held = self.state.symbols.get(symbol)
        if held is None:
            held = self.state.symbols[symbol] = SymbolState(trades=0)
        return held

    def _turn(self, symbol: str, channel: str, state: str, at_us: int, reason: str | None = None) -> None:
        held = self._symbol(symbol)
        intervals = turn(held.book if channel == BOOK else held.trade, state, at_us, reason)
        for interval in intervals:
            self._put_coverage(symbol, channel, interval)
        if channel == BOOK:
            held.book = intervals[-1]
        else:
            held.trade = intervals[-1]

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


def _reason(book: Book, own: Check, told: Check | None) -> str:
    """Why a book is not proven. `own`: what the message did to our copy of it, `told`: to the reader's."""
    if book.crossed:
        return "crossed"
    check = own if told is Check.MATCHED else told or Check.UNCHECKED
    return check.value


def _time_us(trade: Row) -> int:
    time_us = trade[TRADES.index("time_us")]
    assert isinstance(time_us, int)
    return time_us


def _sentence(text: str) -> str:
    """A peer's words, as a store can hold them."""
    return text[:REASON_MAX].replace("\0", "")


def _ms(time_us: int | None) -> int | None:
    return None if time_us is None else time_us // 1000
