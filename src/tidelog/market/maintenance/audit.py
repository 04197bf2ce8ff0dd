"""A recording's rows compared with each other and with its checkpoint, without its journal.

What follows from other rows is recomputed: candles from trades, which trades are stored from their ids and the gaps,
coverage from its own borders. Reads one snapshot, in streams. Each difference is one sentence.
"""

from bisect import bisect_right
from collections.abc import AsyncIterator, Iterator, Mapping
from itertools import pairwise
from typing import Any

import msgspec

from tidelog.batch import Row, Table
from tidelog.market.events import EventId
from tidelog.market.load.expiry import DAY_S, KEEP_DAYS_MIN
from tidelog.market.load.recorded import Recorded, connection_of, source_of
from tidelog.market.projection.account import BOOK, TRADE
from tidelog.market.projection.candles import Bar, bars, bucket, coarser
from tidelog.market.projection.coverage import GAP, PROVEN, UNPROVEN, Interval
from tidelog.market.projection.rows import SAMPLED_LEVELS, bar_of_row, candle_row, levels_of, tick_of_row
from tidelog.market.projection.state import ProjectionState, SymbolState
from tidelog.market.projection.tables import BOOK_SNAPSHOTS, CANDLES, COVERAGE, GAPS, INSTRUMENTS, MARKET_TABLES, TRADES
from tidelog.market.venues import provable_depths
from tidelog.store import SCAN_ROWS, Condition, Snapshot

__all__ = ["audit", "may_be_gone", "rows_of"]

_STATES = {PROVEN, UNPROVEN, GAP}

NamedRow = Mapping[str, Any]  # a row by the names of its columns


async def rows_of(
    snapshot: Snapshot, table: Table, source: str, where: Mapping[str, Condition] | None = None
) -> AsyncIterator[Row]:
    """The rows of a recording in key order, a part of them in memory at a time."""
    after: Row | None = None
    while rows := await snapshot.select(table, scope=source, where=where, after=after, limit=SCAN_ROWS):
        for row in rows:
            yield row
        after = tuple([rows[-1][table.index(name)] for name in table.key])


async def audit(snapshot: Snapshot, source: str, recorded: Recorded) -> AsyncIterator[str]:
    """What differs, as it is found."""
    state = recorded.state
    async for wrong in _rows_of_nobody(snapshot, source, state):
        yield wrong
    for symbol, symbol_state in state.symbols.items():
        gaps = _Gaps(
            [_named(GAPS, row) async for row in rows_of(snapshot, GAPS, source, {"scope": f"trades:{symbol}"})]
        )
        for part in (
            gaps.wrong(symbol, symbol_state),
            _trades(snapshot, source, symbol, recorded, symbol_state, gaps),
            _candles(snapshot, source, symbol, state, symbol_state),
            _coverage(snapshot, source, symbol, BOOK, symbol_state.book),
            _coverage(snapshot, source, symbol, TRADE, symbol_state.trade),
            _books(snapshot, source, symbol, recorded),
        ):
            async for wrong in part:
                yield wrong
    async for wrong in _outages(snapshot, source, recorded):
        yield wrong
    for wrong in _owned(recorded):
        yield wrong


def _owned(recorded: Recorded) -> Iterator[str]:
    """Who has a symbol, by the checkpoints of the shards, and by the record of who may write what."""
    for number, state in () if recorded.claims is None else recorded.shards.items():
        for symbol in state.symbols:
            owner = recorded.owners.get(symbol)
            if owner != number:
                whose = "nobody" if owner is None else f"shard {owner}"
                yield f"shard {number} has {symbol} by its checkpoint, and by the record of all shards {whose} has it"


def _named(table: Table, row: Row) -> NamedRow:
    return dict(zip(table.names, row, strict=True))


async def _rows_of_nobody(snapshot: Snapshot, source: str, state: ProjectionState) -> AsyncIterator[str]:
    """Rows of no recording, and of symbols that the checkpoint knows nothing of."""
    known = {one.source for one in await snapshot.checkpoints() if one.source.startswith(source_of(""))}
    for table in (*MARKET_TABLES, GAPS):
        strange = await snapshot.count(table) - sum([await snapshot.count(table, scope=name) for name in known])
        if strange:
            yield f"{strange} rows of {table.name} are of no recording"
    for table in (TRADES, CANDLES, BOOK_SNAPSHOTS, COVERAGE):
        count = await snapshot.count(table, scope=source)
        of_known = sum(
            [await snapshot.count(table, scope=source, where={"symbol": symbol}) for symbol in state.symbols]
        )
        if count != of_known:
            yield f"{count - of_known} rows of {table.name} are of symbols that the checkpoint does not know"


# -- trades ----------------------------------------------------------------------------------------------------------


class _Gaps:
    """The ids that a symbol's trades lack, as the store says: those that are missing still, by their first."""

    def __init__(self, rows: list[NamedRow]) -> None:
        self._rows = rows
        self.open = [(row["first"], row["last"]) for row in rows if row["closed_at"] is None]
        self._firsts = [first for first, _ in self.open]

    def hold(self, number: int) -> bool:
        at = bisect_right(self._firsts, number) - 1
        return at >= 0 and number <= self.open[at][1]

    def count(self, low: int) -> int:
        """How many ids from `low` on are missing."""
        return sum([max(0, last - max(first, low) + 1) for first, last in self.open])

    async def wrong(self, symbol: str, symbol_state: SymbolState) -> AsyncIterator[str]:
        for row in self._rows:
            closed_at = row["closed_at"]
            if row["first"] > row["last"] or (closed_at is not None and closed_at < row["opened_at"]):
                yield f"a gap of {symbol}'s trade ids begins after its end, or was closed before it was known"
        for (_, last), (first, _) in pairwise(self.open):
            if first <= last:
                yield f"trades {first} to {last} of {symbol} are missing in two gaps at once"
        ids = symbol_state.ids
        for first, last in self.open:
            if ids is None or not ids.first <= first <= last <= ids.last:
                yield f"trades {first} to {last} of {symbol} are missing, and the checkpoint does not reach over them"
        for gap in () if ids is None else ids.missing:
            if (gap.first, gap.last) not in self.open and not symbol_state.from_us:
                yield f"the checkpoint lacks trades {gap.first} to {gap.last} of {symbol}, and there is no such gap"


async def _trades(
    snapshot: Snapshot, source: str, symbol: str, recorded: Recorded, symbol_state: SymbolState, gaps: _Gaps
) -> AsyncIterator[str]:
    """Each trade for itself, and all of them against the ids that there have to be."""
    count, numbered, lowest = 0, 0, None
    async for found in rows_of(snapshot, TRADES, source, {"symbol": symbol}):
        row = _named(TRADES, found)
        number, count = row["trade_id"], count + 1
        name = f"the trade of {symbol} at {row['time_us']}, {row['ordinal']}"
        place = EventId(row["run"], row["seq"])
        if not recorded.has_loaded(place) or row["received_us"] > recorded.state.at_us:
            yield f"{name} comes from a place in the journal that was not loaded"
        if row["price"] <= 0 or row["qty"] <= 0 or row["side"] not in ("buy", "sell"):
            yield f"{name} has a price, a quantity or a side that no trade has"
        if row["time_us"] < symbol_state.from_us:
            yield f"{name} is older than those that were dropped"
        if number is None:
            if symbol_state.ids is not None:
                yield f"{name} has no id, and the others have"
            continue
        numbered, lowest = numbered + 1, number if lowest is None else min(lowest, number)
        if number != row["ordinal"]:
            yield f"{name} has the id {number}, and another place"
        if symbol_state.ids is None or not symbol_state.ids.first <= number <= symbol_state.ids.last:
            yield f"{name} has an id that the checkpoint does not reach over"
        elif gaps.hold(number):
            yield f"trade {number} of {symbol} is there, and it is missing in a gap"
    if symbol_state.trades is not None and symbol_state.trades != count:
        yield f"the checkpoint counts {symbol_state.trades} trades of {symbol}, and there are {count}"
    if symbol_state.ids is not None and not symbol_state.from_us:
        expected = symbol_state.ids.last - symbol_state.ids.first + 1 - gaps.count(symbol_state.ids.first)
        if expected != numbered:
            yield f"{symbol} has {numbered} trades with ids, and by its ids and gaps there are {expected}"


# -- candles ---------------------------------------------------------------------------------------------------------


async def _bars(snapshot: Snapshot, source: str, symbol: str, interval_s: int) -> AsyncIterator[Bar]:
    """Stored candles, as bars."""
    async for row in rows_of(snapshot, CANDLES, source, {"symbol": symbol, "interval_s": interval_s}):
        yield bar_of_row(row)


async def _made_of_trades(snapshot: Snapshot, source: str, symbol: str, interval_us: int) -> AsyncIterator[Bar]:
    """The candles of the shortest interval, computed again: the trades of one in memory at a time."""
    ticks: list[Any] = []
    async for row in rows_of(snapshot, TRADES, source, {"symbol": symbol}):
        tick = tick_of_row(row)
        if ticks and bucket(tick.time_us, interval_us) != bucket(ticks[0].time_us, interval_us):
            for bar in bars(ticks, interval_us):
                yield bar
            ticks = []
        ticks.append(tick)
    for bar in bars(ticks, interval_us):
        yield bar


async def _made_of_bars(parts: AsyncIterator[Bar], interval_us: int) -> AsyncIterator[Bar]:
    """The candles of an interval, made of those of the one before."""
    group: list[Bar] = []
    async for part in parts:
        if group and bucket(part.begin_us, interval_us) != bucket(group[0].begin_us, interval_us):
            for bar in coarser(group, interval_us):
                yield bar
            group = []
        group.append(part)
    for bar in coarser(group, interval_us):
        yield bar


async def _candles(
    snapshot: Snapshot, source: str, symbol: str, state: ProjectionState, symbol_state: SymbolState
) -> AsyncIterator[str]:
    """Each interval's candles against those of the one before, the shortest one's against the trades.

    What retention has dropped is made of nothing any more: candles from before what is left are not looked at. One
    that cannot be held has no row, nor has any that it is a part of (`market/load/candle_rows.py`).
    """
    before_s: int | None = None
    unheld = set[int]()  # when those begin, of the interval before
    for interval_s in state.intervals_s:
        interval_us = interval_s * 1_000_000
        made = (
            _made_of_trades(snapshot, source, symbol, interval_us)
            if before_s is None
            else _made_of_bars(_bars(snapshot, source, symbol, before_s), interval_us)
        )
        expected, first, seen = await anext(made, None), True, False
        unheld = {bucket(begin_us, interval_us) for begin_us in unheld}

        def fresh(bar: Bar, interval_s: int = interval_s, unheld: set[int] = unheld) -> Row | None:
            row = None if bar.begin_us in unheld else candle_row(source, symbol, interval_s, bar)
            if row is None:
                unheld.add(bar.begin_us)
            return row

        where: dict[str, Condition] = {"symbol": symbol, "interval_s": interval_s}
        async for row in rows_of(snapshot, CANDLES, source, where):
            stored = bar_of_row(row)
            name = f"the candle of {interval_s} s of {symbol} at {stored.begin_us}"
            if row[-1] not in (None, 0, 1):
                yield f"{name} is neither complete nor not"
            while expected is not None and expected.begin_us < stored.begin_us:
                gone = not seen and may_be_gone(state, expected.begin_us)
                if fresh(expected) is not None and not gone:
                    yield f"there is no candle of {interval_s} s of {symbol} at {expected.begin_us}, and trades are"
                expected, first = await anext(made, None), False
            seen = True
            left = first and may_be_gone(state, stored.begin_us)  # made of what is gone in part
            if expected is None or expected.begin_us > stored.begin_us:
                if not left and stored.begin_us >= symbol_state.from_us:
                    yield f"{name} is of a time without trades"
                continue
            wanted = fresh(expected)
            if (wanted is None or wanted[:-1] != row[:-1]) and not left:
                yield f"{name} is not what its trades make of it"
            expected, first = await anext(made, None), False
        while expected is not None:
            gone = not seen and may_be_gone(state, expected.begin_us)
            if fresh(expected) is not None and not gone:
                yield f"there is no candle of {interval_s} s of {symbol} at {expected.begin_us}, and trades are"
            expected = await anext(made, None)
        before_s = interval_s


def may_be_gone(state: ProjectionState, time_us: int) -> bool:
    """Whether a row of that time may have expired: the least time for which any is kept is over."""
    return time_us < state.at_us - KEEP_DAYS_MIN * DAY_S * 1_000_000


# -- coverage and books ----------------------------------------------------------------------------------------------


async def _coverage(
    snapshot: Snapshot, source: str, symbol: str, channel: str, current: Interval | None
) -> AsyncIterator[str]:
    """The intervals follow each other, and the last one is the current one of the checkpoint."""
    before: NamedRow | None = None
    async for row in rows_of(snapshot, COVERAGE, source, {"symbol": symbol, "channel": channel}):
        found = _named(COVERAGE, row)
        name = f"the coverage of {symbol}'s {channel} from {found['since_us']}"
        if found["state"] not in _STATES or (found["reason"] is None) != (found["state"] == PROVEN):
            yield f"{name} is in no state that there is, or has a reason where none belongs"
        if found["closed_at"] is not None and found["state"] != GAP:
            yield f"{name} is closed, and is no gap"
        if found["until_us"] < found["since_us"]:
            yield f"{name} ends before it begins"
        if before is not None and before["until_us"] != found["since_us"]:
            yield f"{name} does not begin where the interval before it ends"
        before = found
    last = None if before is None else (before["since_us"], before["until_us"], before["state"], before["reason"])
    if last != (None if current is None else msgspec.structs.astuple(current)):
        yield f"the coverage of {symbol}'s {channel} does not end with the interval that the checkpoint continues"


async def _books(snapshot: Snapshot, source: str, symbol: str, recorded: Recorded) -> AsyncIterator[str]:
    """Each stored book for itself, and its proof against the coverage of its moment."""
    proven: list[tuple[int, int]] = []
    begins_us: int | None = None  # what is known of the book's worth
    async for row in _named_rows(snapshot, COVERAGE, source, {"symbol": symbol, "channel": BOOK}):
        begins_us = row["since_us"] if begins_us is None else begins_us
        if row["state"] == PROVEN:
            proven.append((row["since_us"], row["until_us"]))
    sinces = [since for since, _ in proven]
    async for found in rows_of(snapshot, BOOK_SNAPSHOTS, source, {"symbol": symbol}):
        row = _named(BOOK_SNAPSHOTS, found)
        name, time_us = f"the book of {symbol} at {row['time_us']}", row["time_us"]
        if not recorded.has_loaded(EventId(row["run"], row["seq"])) or time_us > recorded.state.at_us:
            yield f"{name} comes from a place in the journal that was not loaded"
        try:
            sides = levels_of(found)
        except (msgspec.DecodeError, TypeError, ValueError):
            yield f"{name} has levels that cannot be read"
            continue
        bids, asks = ([level.price for level in side] for side in sides)
        if bids != sorted(set(bids), reverse=True) or asks != sorted(set(asks)):
            yield f"{name} has levels out of order"
        if any(level.price <= 0 or level.qty <= 0 for side in sides for level in side):
            yield f"{name} has a level without a price or a quantity"
        if max(map(len, sides)) > min(row["depth"], SAMPLED_LEVELS):
            yield f"{name} has more levels than were subscribed"
        if row["proven_depth"] not in provable_depths(row["depth"]) or row["proven_depth"] > row["depth"]:
            yield f"{name} is proven to a depth that no checksum reaches"
            continue
        if row["proven_depth"] and bids and asks and bids[0] >= asks[0]:
            yield f"{name} is crossed, and proven"
        at = bisect_right(sinces, time_us) - 1
        covered = at >= 0 and time_us <= proven[at][1]
        if begins_us is not None and begins_us <= time_us and row["proven_depth"] and not covered:
            yield f"{name} is proven, and the coverage of that time is not"


async def _named_rows(
    snapshot: Snapshot, table: Table, source: str, where: Mapping[str, Condition]
) -> AsyncIterator[NamedRow]:
    async for row in rows_of(snapshot, table, source, where):
        yield _named(table, row)


async def _outages(snapshot: Snapshot, source: str, recorded: Recorded) -> AsyncIterator[str]:
    """Gaps of connections: one after the other, and open is only the one that lasts. And what no gap is."""
    state = recorded.state
    connections = {connection_of(number): shard for number, shard in recorded.shards.items()}
    for scope, shard in connections.items():
        async for wrong in _outages_of(snapshot, source, scope, shard):
            yield wrong
    scopes = {*connections, *(f"trades:{symbol}" for symbol in state.symbols)}
    async for row in _named_rows(snapshot, GAPS, source, {}):
        if row["scope"] not in scopes:
            yield f"there is a gap of {row['scope']}, which the checkpoint does not know"
    async for row in _named_rows(snapshot, INSTRUMENTS, source, {}):
        if row["price_increment"] <= 0 or row["qty_increment"] <= 0 or row["updated_us"] > state.at_us:
            yield f"the instrument {row['symbol']} has an increment or a time that it cannot have"


async def _outages_of(snapshot: Snapshot, source: str, scope: str, state: ProjectionState) -> AsyncIterator[str]:
    """The gaps of one connection."""
    last_us, still_open = -1, None
    async for row in _named_rows(snapshot, GAPS, source, {"scope": scope}):
        if not last_us < row["first"] <= row["last"]:
            yield f"the gap of the connection from {row['first']} does not follow the one before"
        if row["closed_at"] is not None and row["closed_at"] < row["opened_at"]:
            yield f"the gap of the connection from {row['first']} was closed before it was known"
        if still_open is not None:
            yield f"the gap of the connection from {still_open} is open, and another one came after it"
        last_us, still_open = row["first"], row["first"] if row["closed_at"] is None else None
    if still_open != (None if state.outage is None else state.outage.since_us):
        yield "the checkpoint does not say of the last outage whether it lasts"
