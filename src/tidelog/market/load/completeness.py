"""Whether a candle is made of all trades of its time: read from what the store holds. One snapshot, no clock.

Trades with ids follow each other without a hole, so that a candle is complete when a trade before it is stored, one
after it, and no id in between is missing. Trades without ids prove nothing of that kind: such a candle is complete
when the coverage reaches over its time without a gap, which says that the connection was up. The view `v_candles`
says the same in SQL. What a store's retention has dropped can prove nothing any more: it notes in each candle's own
column what was true before.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

from msgspec import Struct

from tidelog.batch import INT_MAX, Row, Value
from tidelog.market.projection.coverage import GAP
from tidelog.market.projection.tables import CANDLES, COVERAGE, GAPS, TRADES
from tidelog.store import Condition, Snapshot

__all__ = ["Evidence", "evidence_of", "with_completeness"]

IDS_AT_ONCE = 5_000  # trades that one query looks for by their ids
IDS_APART = 64  # so many are looked for one by one: for two at once SQLite reads all trades of the symbol instead

_SYMBOL, _INTERVAL, _BEGIN = (CANDLES.index(name) for name in ("symbol", "interval_s", "time_us"))
_COMPLETE = CANDLES.index("complete")


class Evidence(Struct, frozen=True):
    """What is known of a symbol's trades, in microseconds of Unix time."""

    first_us: (
        int  # a trade of this time is stored, or the coverage begins here, and nothing is known of what was before
    )
    last_us: int  # the same of what comes after
    holes: tuple[tuple[int, int], ...] = ()  # from a stored trade to the next one, with something missing between

    def is_complete(self, begin_us: int, end_us: int) -> bool:
        """Whether all trades from `begin_us` to before `end_us` are stored."""
        known = self.first_us < begin_us and end_us <= self.last_us
        return known and not any(low < end_us and high >= begin_us for low, high in self.holes)


async def with_completeness(snapshot: Snapshot, source: str, rows: Iterable[Row]) -> list[Row]:
    """Candles with their `complete` as 0 or 1. `rows` are whole rows of `candles`, those of a symbol together."""
    judged: list[Row] = []
    for symbol, group in groupby(rows, key=lambda row: row[_SYMBOL]):
        candles = list(group)
        evidence: Evidence | None = None
        if any(row[_COMPLETE] is None for row in candles):
            evidence = await evidence_of(snapshot, source, str(symbol))
        judged += [row if row[_COMPLETE] is not None else (*row[:_COMPLETE], _judged(row, evidence)) for row in candles]
    return judged


def _judged(row: Row, evidence: Evidence | None) -> int:
    begin_us, interval_s = row[_BEGIN], row[_INTERVAL]
    assert isinstance(begin_us, int)
    assert isinstance(interval_s, int)
    return int(evidence is not None and evidence.is_complete(begin_us, begin_us + interval_s * 1_000_000))


async def evidence_of(snapshot: Snapshot, source: str, symbol: str) -> Evidence | None:
    """What the store knows of the symbol's trades; None if it holds none."""
    ends: list[Row] = []
    for descending in (False, True):
        ends += await snapshot.select(
            TRADES,
            scope=source,
            where={"symbol": symbol},
            descending=descending,
            limit=1,
            columns=("time_us", "trade_id"),
        )
    if not ends:
        return None
    (first, number), (last, _) = ends
    if number is None:
        return await _unnumbered(snapshot, source, symbol)
    where = {"scope": f"trades:{symbol}", "closed_at": None}
    missing = await snapshot.select(GAPS, scope=source, where=where, columns=("first", "last"))
    edges = [(_int(low) - 1, _int(high) + 1) for low, high in missing]
    times = await _times(snapshot, source, symbol, [number for edge in edges for number in edge])
    holes = [(times.get(low, 0), times.get(high, INT_MAX)) for low, high in edges]
    return Evidence(_int(first), _int(last), tuple(holes))


async def _times(snapshot: Snapshot, source: str, symbol: str, numbers: Sequence[int]) -> Mapping[int, int]:
    """When the trades of these ids were; those that are not stored are left out."""
    found: dict[int, int] = {}
    numbers = sorted(set(numbers))
    step = 1 if len(numbers) <= IDS_APART else IDS_AT_ONCE
    for at in range(0, len(numbers), step):
        where: dict[str, Condition] = {
            "symbol": symbol,
            "trade_id": numbers[at] if step == 1 else numbers[at : at + step],
        }
        rows = await snapshot.select(TRADES, scope=source, where=where, columns=("trade_id", "time_us"))
        found.update((_int(number), _int(time_us)) for number, time_us in rows)
    return found


async def _unnumbered(snapshot: Snapshot, source: str, symbol: str) -> Evidence | None:
    where = {"symbol": symbol, "channel": "trade"}
    columns = ("since_us", "until_us", "state", "closed_at")
    rows = await snapshot.select(COVERAGE, scope=source, where=where, columns=columns)
    if not rows:
        return None
    # in the order of the key, whose last column is `since_us`
    holes = [(_int(since), _int(until)) for since, until, state, closed in rows if state == GAP and closed is None]
    (since_us, *_), (_, until_us, *_) = rows[0], rows[-1]
    return Evidence(_int(since_us), _int(until_us), tuple(holes))


def _int(value: Value) -> int:
    assert isinstance(value, int)
    return value
