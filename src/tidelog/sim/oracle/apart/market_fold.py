"""What a journal comes to in a store, folded apart from the engine: trades, book samples, coverage and gaps.

The rules are those of docs/market.md, written a second time: by single trades where the engine has ranges, by plain
dictionaries where it has books. Nothing of `tidelog.market` is used.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, NamedTuple, TypeAlias

import msgspec

from tidelog.sim.oracle.apart.raw_books import MATCHED, REFUSED, UNCHECKED, RawBook
from tidelog.sim.oracle.apart.raw_frames import (
    Answered,
    BookFrame,
    BookPart,
    Broken,
    InstrumentFrame,
    RawTrade,
    TradeFrame,
    read,
)
from tidelog.sim.oracle.apart.raw_journal import NOTED, RECEIVED, Entry

BOOK, TRADE = "book", "trade"
PROVEN, UNPROVEN, GAP = "proven", "unproven", "gap"
SAMPLE_US = 10_000_000
REMEMBERED = 100  # trades without ids, whose moments a later snapshot may begin in
DEPTH = 10  # of every book that is asked for

Row: TypeAlias = tuple[Any, ...]
Mark: TypeAlias = Mapping[str, Any]


class Loss(NamedTuple):
    """A stretch of the coverage in which trades were lost."""

    since_us: int
    until_us: int
    reason: str


class Missing(NamedTuple):
    """An id that did not come, though later ones, or earlier ones, did."""

    opened_us: int
    loss: Loss


class Stretch(NamedTuple):
    """A row of the coverage, but for where it begins."""

    until_us: int
    state: str
    reason: str | None
    closed_at: int | None = None  # in ms


class Outage(NamedTuple):
    """A time without a connection, but for where it begins; all in us."""

    until_us: int
    reason: str
    opened_us: int
    closed_us: int | None = None


class Cover:
    """The coverage of one channel of one symbol: stretches, by their beginnings."""

    def __init__(self) -> None:
        self.rows: dict[int, Stretch] = {}  # by where each begins
        self.since_us = 0
        self.state: str | None = None  # None: nothing is known yet

    @property
    def until_us(self) -> int:
        return self.rows[self.since_us].until_us

    @property
    def reason(self) -> str | None:
        return self.rows[self.since_us].reason

    def _reaches(self, until_us: int) -> None:
        """What goes on ends there."""
        self.rows[self.since_us] = self.rows[self.since_us]._replace(until_us=until_us)

    def found(self, state: str, at_us: int, reason: str | None = None) -> None:
        """The channel is found in that state. What is known ends with what showed it last."""
        reaches_us = 0 if state == GAP else at_us
        if state == self.state:
            self._reaches(max(self.until_us, reaches_us))
            return
        begins_us = at_us
        if self.state is not None:
            order = (GAP, UNPROVEN, PROVEN)
            better = order.index(state) > order.index(self.state)
            begins_us = max(at_us if better else self.until_us, self.since_us + 1)
            self._reaches(begins_us)
        elif state == GAP:
            reaches_us = at_us
        self.since_us, self.state = begins_us, state
        self.rows[begins_us] = Stretch(max(begins_us, reaches_us), state, reason)

    def loss(self, at_us: int) -> Loss:
        """Where trades were lost that turn out to be missing at that moment."""
        if self.state is None:
            return Loss(at_us, at_us + 1, "trade_id")
        if self.state == GAP:
            return Loss(self.since_us, max(at_us, self.since_us + 1), self.reason or GAP)
        since_us = max(self.until_us, self.since_us + 1)
        return Loss(since_us, max(at_us, since_us + 1), "trade_id")

    def repaired(self, loss: Loss, at_us: int) -> None:
        """All that was lost there has come."""
        self.rows[loss.since_us] = Stretch(loss.until_us, GAP, loss.reason, at_us // 1000)


class Ids:
    """Which ids of a symbol's trades were stored, which are missing and which were."""

    def __init__(self) -> None:
        self.range: tuple[int, int] | None = None  # the lowest and the highest
        self.missing: dict[int, Missing] = {}
        self.filled: dict[int, tuple[Missing, int]] = {}  # with the time at which each came


class Symbol:
    """What is known of one symbol."""

    def __init__(self) -> None:
        self.cover = {BOOK: Cover(), TRADE: Cover()}
        self.ids = Ids()
        self.acked_depth: int | None = None
        self.sampled_us: int | None = None
        self.unnumbered = self.repeats = False
        self.tick_us = self.ticks = 0
        self.moments: Counter[int] = Counter()  # how many trades without ids each microsecond had


class Folding:
    """Take the entries of all journals in turn; then `trades` to `gaps` are what the store has to hold."""

    def __init__(self, protocol: str) -> None:
        self.trades: dict[Row, Row] = {}
        self.samples: dict[Row, Row] = {}
        self.instruments: dict[str, Row] = {}
        self.outages: dict[int, Outage] = {}  # by where each begins
        self.symbols: dict[str, Symbol] = {}
        self._protocol = protocol
        self._run = 0
        self._at_us = self._frame_us = self._outage_us = 0
        self._outage: int | None = None  # since when the connection is down
        self._books: dict[str, RawBook] = {}  # that are followed
        self._phases: dict[tuple[str, str], tuple[str, int | None]] = {}  # by channel and symbol: phase, request
        self.last: tuple[int, int] = (0, 0)

    def take(self, entry: Entry) -> None:
        """Take the next record of the journal."""
        if entry.kind == NOTED:
            mark = msgspec.json.decode(entry.payload)
            self._follow(mark, entry.at_us)
            if mark["type"] in ("Started", "Connected", "Disconnected", "ClockStepped", "Resync"):
                self._moment(entry)
                self._noted(mark)
        elif entry.kind == RECEIVED:
            self._moment(entry)
            self._received(entry)

    def begin_journal(self) -> None:
        """The journal is lost, and the next entries are another's."""
        self._lose("journal")
        if self._outage is not None:
            self._outage_is(until_us=max(self._outage, self._at_us), reason="journal")

    def position(self, journal: str) -> dict[str, Any]:
        """What the store's checkpoint says, as JSON values; of trades that are missing, their ids one by one."""
        outage = None if self._outage is None else self.outages[self._outage]
        return {
            "run": self.last[0],
            "seq": self.last[1],
            "at_us": self._at_us,
            "frame_us": self._frame_us,
            "outage": None if outage is None else (self._outage, outage.reason, outage.opened_us),
            "outage_us": self._outage_us,
            "journal": journal,
            "symbols": {name: self._state(name, symbol) for name, symbol in self.symbols.items()},
        }

    def _state(self, name: str, symbol: Symbol) -> dict[str, Any]:
        ids = symbol.ids
        missing = {number: (one.opened_us, *one.loss) for number, one in ids.missing.items()}
        covers = {channel: cover for channel, cover in symbol.cover.items() if cover.state is not None}
        return {
            **{
                channel: [cover.since_us, cover.until_us, cover.state, cover.reason]
                for channel, cover in covers.items()
            },
            "held": None if ids.range is None else (*ids.range, missing),
            "unnumbered": symbol.unnumbered,
            "acked_depth": symbol.acked_depth,
            "depth": DEPTH,
            "sampled_us": symbol.sampled_us,
            "tick_us": symbol.tick_us,
            "ticks": symbol.ticks,
            "moments": _latest(symbol.moments) if symbol.unnumbered else [],
            "repeats": symbol.repeats,
            "from_us": 0,
            "trades": sum(1 for key in self.trades if key[0] == name),
        }

    def symbol(self, name: str) -> Symbol:
        return self.symbols.setdefault(name, Symbol())

    # -- the connection -----------------------------------------------------------------------------------------

    def _moment(self, entry: Entry) -> None:
        self._at_us = max(self._at_us, entry.at_us)
        self.last = entry.id
        if self._run not in (0, entry.run):
            self._lose("restart")
        self._run = entry.run

    def _noted(self, mark: Mark) -> None:
        """What the program noted, as far as it is told."""
        match mark["type"]:
            case "Disconnected":
                self._lose(mark["reason"][:200].replace("\0", "") or "disconnected")
            case "ClockStepped" if mark["by_us"] > 0:
                self._lose("clock")
            case "Resync" if mark["channel"] == BOOK:
                symbol = self.symbols.get(mark["symbol"])
                if symbol is not None and symbol.cover[BOOK].state == PROVEN:
                    symbol.cover[BOOK].found(UNPROVEN, self._at_us, "resync")
            case "Resync" if mark["channel"] == TRADE and mark["symbol"] in self.symbols:
                self.symbols[mark["symbol"]].repeats = True

    def _lose(self, reason: str) -> None:
        """What came from here on, or since the last frame, is missing."""
        at_us = self._at_us
        if self._outage is None and self._frame_us:
            since_us = self._outage = self._outage_us = max(self._frame_us, self._outage_us + 1)
            self.outages[since_us] = Outage(max(since_us, at_us), reason, at_us)
        for symbol in self.symbols.values():
            symbol.repeats = symbol.unnumbered
            for cover in symbol.cover.values():
                if cover.state is not None:
                    cover.found(GAP, at_us, reason)

    def _resume(self) -> None:
        self._frame_us = self._at_us
        if self._outage is not None:
            self._outage_is(until_us=max(self._outage, self._at_us), closed_us=self._at_us)
            self._outage = None

    def _outage_is(self, **known: Any) -> None:
        """Something more is known of the outage that goes on."""
        assert self._outage is not None
        self.outages[self._outage] = self.outages[self._outage]._replace(**known)

    # -- what is followed ---------------------------------------------------------------------------------------

    def _follow(self, mark: Mark, at_us: int) -> None:
        """Which books are followed, and what has been asked for, by what the program noted."""
        kind = mark["type"]
        channel = mark.get("stream", {}).get("channel")
        symbols = mark.get("symbols", ())
        if kind == "Started":
            self._books.clear()
            self._phases.clear()
        elif kind in ("Drop", "Disconnected"):
            self._phases.clear()
            for book in self._books.values():
                book.clear()
        elif kind == "Lapse":
            for key, (phase, req_id) in list(self._phases.items()):
                if req_id == mark["req_id"] and phase != "held":
                    del self._phases[key]
        elif kind == "Resync" and mark["channel"] == BOOK and mark["until_us"] <= at_us:
            self._clear([mark["symbol"]])
        elif kind in ("Subscribe", "Unsubscribe"):
            for symbol in symbols:
                self._phases[channel, symbol] = ("asked" if kind == "Subscribe" else "leaving", mark["req_id"])
        if channel != BOOK:
            return
        for symbol in symbols:
            if kind == "Subscribe":
                self._books.setdefault(symbol, RawBook(DEPTH)).begin()
            elif kind == "Unsubscribe":
                self._clear([symbol])
            elif kind == "Unwanted":
                self._books.pop(symbol, None)
            elif kind == "Wanted" and (BOOK, symbol) in self._phases and symbol not in self._books:
                self._books[symbol] = RawBook(DEPTH)

    def _clear(self, symbols: Iterable[str]) -> None:
        for symbol in symbols:
            if symbol in self._books:
                self._books[symbol].clear()

    def _held(self, channel: str, symbol: str) -> None:
        """Data came: whatever became of the answer, what was asked for is there."""
        if self._phases.get((channel, symbol), ("", None))[0] == "asked":
            self._phases[channel, symbol] = ("held", None)

    # -- frames -------------------------------------------------------------------------------------------------

    def _received(self, entry: Entry) -> None:
        self._resume()
        said = read(self._protocol, entry.payload)
        match said:
            case Broken(books):
                self._doubt(books)
            case BookFrame(parts):
                for part in parts:
                    self._take_book(part, entry)
            case TradeFrame(trades):
                for name in dict.fromkeys(trade.symbol for trade in trades):
                    self._held(TRADE, name)
                    self._take_trades(name, [trade for trade in trades if trade.symbol == name], entry)
            case Answered():
                self._take_answer(said)
            case InstrumentFrame(instruments):
                for one in instruments:
                    self.instruments[one.symbol] = (
                        one.symbol, one.base, one.quote, one.status, one.price_precision, one.qty_precision,
                        *_scaled(one.price_increment), *_scaled(one.qty_increment), self._at_us,
                    )  # fmt: skip

    def _doubt(self, books: tuple[str, ...] | None) -> None:
        """A frame that cannot be read may have been about these books; None: about any."""
        known = [name for name in books or () if name in self._books]
        for name in known if known or books == () else list(self._books):
            symbol = self.symbols.get(name)
            if symbol is not None and symbol.cover[BOOK].state == PROVEN:
                symbol.cover[BOOK].found(UNPROVEN, self._at_us, "malformed")

    def _take_answer(self, answer: Answered) -> None:
        if answer.error is not None:
            self._take_refusal(answer)
            return
        if answer.channel not in (BOOK, TRADE) or answer.symbol is None:
            return
        key = answer.channel, answer.symbol
        phase, _ = self._phases.get(key, ("", None))
        symbol = self.symbol(answer.symbol)
        if answer.channel == TRADE:
            symbol.repeats = symbol.unnumbered
        if answer.method == "subscribe":
            if phase == "asked":
                self._phases[key] = ("held", None)
            if answer.channel == BOOK and answer.depth is not None:
                symbol.acked_depth = answer.depth
            return
        if phase == "leaving" or (phase == "held" and answer.req_id is None):
            del self._phases[key]
            if phase == "held" and answer.channel == BOOK:
                self._clear([answer.symbol])
        if symbol.cover[answer.channel].state is not None:
            symbol.cover[answer.channel].found(GAP, self._at_us, "unsubscribed")

    def _take_refusal(self, answer: Answered) -> None:
        """A subscription that is refused is a gap from there on."""
        if answer.req_id is None and answer.symbol is None and answer.channel is None:
            return
        for (channel, name), (phase, req_id) in list(self._phases.items()):
            asked = answer.req_id in (None, req_id) and answer.symbol in (None, name)
            if phase == "held" or not asked or answer.channel not in (None, channel):
                continue
            del self._phases[channel, name]
            if phase == "asked" and "lready subscribed" not in (answer.error or ""):
                reason = f"refused: {answer.error}"[:200].replace("\0", "")
                self.symbol(name).cover[channel].found(GAP, self._at_us, reason)

    def _take_book(self, part: BookPart, entry: Entry) -> None:
        symbol, book = self.symbol(part.symbol), self._books.get(part.symbol)
        if part.snapshot:
            self._held(BOOK, part.symbol)
        check = UNCHECKED if book is None else book.apply(part)
        crossed = book is not None and book.crossed
        cover = symbol.cover[BOOK]
        proven = check == MATCHED and not crossed
        if proven:
            cover.found(PROVEN, self._at_us)
        else:
            cover.found(UNPROVEN, self._at_us, "crossed" if crossed else check)
        begins_us = self._at_us - self._at_us % SAMPLE_US
        if book is None or check == REFUSED or (symbol.sampled_us is not None and begins_us <= symbol.sampled_us):
            return
        symbol.sampled_us = begins_us
        levels = msgspec.msgpack.encode([book.bids, book.asks])
        self.samples[part.symbol, self._at_us] = (
            part.symbol, self._at_us, part.time_us, DEPTH, 10 if proven else 0, *book.scales, levels, *entry.id,
        )  # fmt: skip

    # -- trades ---------------------------------------------------------------------------------------------------

    def _take_trades(self, name: str, trades: list[RawTrade], entry: Entry) -> None:
        if self._protocol == "v1":
            self._take_unnumbered(self.symbol(name), trades, entry)
            return
        symbol, at_us = self.symbol(name), self._at_us
        ids, cover = symbol.ids, symbol.cover[TRADE]
        frame = {trade.trade_id: trade for trade in reversed(trades)}  # of equal ids the first
        numbers = sorted(number for number in frame if number is not None)
        loss = cover.loss(at_us)
        low, high = ids.range or (numbers[0], numbers[0] - 1)
        filled = [number for number in numbers if number in ids.missing]
        new = [*filled, *[number for number in numbers if not low <= number <= high]]
        lowest, highest = ids.range = min(low, numbers[0]), max(high, numbers[-1])
        beyond = [*range(lowest, low), *range(high + 1, highest + 1)]
        skipped = [number for number in beyond if number not in frame]
        repaired = {ids.missing[number].loss for number in filled}
        for number in filled:
            ids.filled[number] = ids.missing.pop(number), at_us
        ids.missing |= {number: Missing(at_us, loss) for number in skipped}
        for number in new:
            trade = frame[number]
            self._store(trade, number, entry)
        if skipped and cover.state != GAP:
            cover.found(GAP, at_us, "trade_id")
        if cover.state == GAP:
            repaired.add(cover.loss(at_us))
        cover.found(PROVEN, at_us)
        for each in repaired - {missing.loss for missing in ids.missing.values()}:
            cover.repaired(each, at_us)

    def _take_unnumbered(self, symbol: Symbol, trades: list[RawTrade], entry: Entry) -> None:
        """Trades without ids are numbered within their microsecond, over frames.

        A snapshot begins again, but for its oldest moment, of which it may have the last trades alone.
        """
        symbol.unnumbered = True
        counts: Counter[int] = Counter({symbol.tick_us: symbol.ticks})
        if symbol.repeats:
            first_us = min(trade.time_us for trade in trades)
            there = sum(1 for trade in trades if trade.time_us == first_us)
            counts = Counter({first_us: max(0, symbol.moments[first_us] - there)})
            symbol.tick_us = symbol.ticks = 0
            symbol.repeats = False
        for trade in trades:
            self._store(trade, counts[trade.time_us], entry)
            counts[trade.time_us] += 1
        latest_us = max([symbol.tick_us, *[trade.time_us for trade in trades]])
        symbol.tick_us, symbol.ticks = latest_us, counts[latest_us]
        for trade in trades:
            symbol.moments[trade.time_us] = max(symbol.moments[trade.time_us], counts[trade.time_us])
        symbol.cover[TRADE].found(UNPROVEN, self._at_us, "no_trade_ids")

    def _store(self, trade: RawTrade, ordinal: int, entry: Entry) -> None:
        (price, price_scale), (qty, qty_scale) = _scaled(trade.price), _scaled(trade.qty)
        row = (
            trade.symbol, trade.time_us, ordinal, price, qty, trade.side, trade.ord_type, price_scale, qty_scale,
            trade.trade_id, *entry.id, self._at_us,
        )  # fmt: skip
        self.trades[row[:7]] = row


def _latest(moments: Mapping[int, int]) -> list[list[int]]:
    """The latest moments, as many as have REMEMBERED trades together."""
    order = sorted(moments)
    while len(order) > 1 and sum(moments[time_us] for time_us in order[1:]) >= REMEMBERED:
        order.pop(0)
    return [[time_us, moments[time_us]] for time_us in order]


def _scaled(number: Decimal) -> tuple[int, int]:
    """A number as an integer and its decimals, as it was written."""
    exponent = number.as_tuple().exponent
    scale = -exponent if isinstance(exponent, int) and exponent < 0 else 0
    return int(number.scaleb(scale)), scale
