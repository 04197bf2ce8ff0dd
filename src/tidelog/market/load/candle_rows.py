"""The candles that trades change, made again of all that is stored of their time. One snapshot, no clock.

A candle of an interval is made of those of the interval before. One whose sums 256 bits do not hold has no row, nor has
any longer one that it is a part of, for these would lack its trades: none is stored, and one that was goes. Sums only
grow, so it stays so: a candle whose time has stored trades, and that has no row, is such a one.
"""

from collections.abc import Collection, Iterable, Sequence

from msgspec import Struct

from tidelog.batch import Drop, Row
from tidelog.market.projection.candles import Bar, bars, bucket, coarser
from tidelog.market.projection.rows import bar_of_row, candle_row, tick_of_row
from tidelog.market.projection.tables import CANDLES, TRADES
from tidelog.store import Condition, Snapshot
from tidelog.telemetry import logger

__all__ = ["CandleRows", "made_candles", "stretches"]

_log = logger("loader")


class CandleRows(Struct):
    """What one commit changes of candles."""

    rows: list[Row] = []
    drop: list[Drop] = []
    dropped: list[Row] = []  # their keys


async def made_candles(
    snapshot: Snapshot, source: str, symbol: str, intervals_s: Sequence[int], trades: Collection[Row], into: CandleRows
) -> None:
    """Make the candles of a symbol that these trades touch.

    Args:
        trades: rows of all trades of each shortest interval that they touch, stored or not.
        into: takes what changes.
    """
    made: dict[int, Bar] = {}  # of this interval
    parts: dict[int, Bar] = {}  # stored, of the interval before
    for interval_s, longer_s in zip(intervals_s, (*intervals_s[1:], *intervals_s[-1:]), strict=True):
        interval_us = interval_s * 1_000_000
        is_shortest = interval_s == intervals_s[0]
        if is_shortest:
            made = {bar.begin_us: bar for bar in bars(map(tick_of_row, trades), interval_us)}
        else:
            touched = {bucket(begin, interval_us) for begin in made}
            whole = {begin: bar for begin, bar in parts.items() if bucket(begin, interval_us) in touched}
            made = {bar.begin_us: bar for bar in coarser((whole | made).values(), interval_us)}
        where: dict[str, Condition] = {"symbol": symbol, "interval_s": interval_s}
        stored: dict[int, Bar] = {}
        for low, high in stretches({bucket(begin, longer_s * 1_000_000) for begin in made}, longer_s * 1_000_000):
            found = await snapshot.select(CANDLES, scope=source, low=low, high=high, where=where)
            stored.update((bar.begin_us, bar) for bar in map(bar_of_row, found))
        unheld = set[int]()
        if not is_shortest:
            unheld = await _unheld(snapshot, source, symbol, made.keys() - stored.keys(), interval_us)
        for begin, bar in made.items():
            row = None if begin in unheld else candle_row(source, symbol, interval_s, bar)
            if row is not None:
                into.rows.append(row)
                continue
            if begin not in unheld:
                _log.warning("candle_refused", source=source, symbol=symbol, interval_s=interval_s, begin_us=begin)
            if begin in stored:
                key = (("symbol", symbol), ("interval_s", interval_s), ("time_us", begin))
                into.drop.append(Drop(CANDLES, source, key, begin))
                into.dropped.append((source, symbol, interval_s, begin))
        parts = stored


async def _unheld(snapshot: Snapshot, source: str, symbol: str, begins: Collection[int], interval_us: int) -> set[int]:
    """Which of these candles, which have no row, could not be held before: those whose time has stored trades."""
    found, where = set[int](), {"symbol": symbol}
    for at, high in stretches(begins, interval_us):
        low = at
        while low < high:
            rows = await snapshot.select(
                TRADES, scope=source, low=low, high=high, where=where, limit=1, columns=("time_us",)
            )
            if not rows:
                break
            time_us = rows[0][0]
            assert isinstance(time_us, int)
            found.add(bucket(time_us, interval_us))
            low = bucket(time_us, interval_us) + interval_us
    return found


def stretches(begins: Iterable[int], interval_us: int) -> list[tuple[int, int]]:
    """The intervals that begin there, joined where they touch: first and last microsecond of each stretch."""
    found: list[tuple[int, int]] = []
    for begin in sorted(begins):
        if found and found[-1][1] + 1 == begin:
            found[-1] = (found[-1][0], begin + interval_us - 1)
        else:
            found.append((begin, begin + interval_us - 1))
    return found
