"""Candles from trades: always computed again from all trades of their interval, never added to. No I/O.

So a candle is a function of the set of its trades: the order in which they arrived does not matter, and one
that comes late, or is found in a gap, changes exactly the candle of its time. Everything is an exact
integer; the mean price is kept as the two sums that it is the quotient of.
"""

from collections.abc import Iterable
from itertools import groupby

from msgspec import Struct

MINUTE_US = 60_000_000


class Tick(Struct, frozen=True, order=True, gc=False):
    """A trade as candles need it. Ticks sort as they happened."""

    time_us: int  # Unix time
    ordinal: int  # among trades of one time: the trade id, or where there is none the order of arrival
    price: int  # in units of 10**-price_scale
    price_scale: int
    qty: int  # in units of 10**-qty_scale
    qty_scale: int


class Bar(Struct, frozen=True, gc=False):
    """A candle, at the finest scales that its trades were written with."""

    begin_us: int  # Unix time; a multiple of the interval
    open: int
    high: int
    low: int
    close: int
    price_scale: int
    volume: int
    qty_scale: int
    turnover: int  # the sum of price times quantity, in units of 10**-(price_scale + qty_scale)
    trades: int

    def vwap(self, scale: int) -> int:
        """The volume-weighted mean price in units of 10**-scale, rounded half up."""
        numerator: int = self.turnover * 10**scale
        denominator: int = self.volume * 10**self.price_scale
        return (2 * numerator + denominator) // (2 * denominator)


def bucket(time_us: int, interval_us: int) -> int:
    """When the candle begins that a trade of this time belongs to. Intervals are counted from the epoch."""
    return time_us - time_us % interval_us


def bars(ticks: Iterable[Tick], interval_us: int) -> list[Bar]:
    """The candles of these trades, oldest first. An interval without trades has none.

    Args:
        ticks: all trades of every interval they touch, each once, in any order, each with a quantity.
        interval_us: length of a candle in microseconds.
    """
    by_bucket = groupby(sorted(ticks), key=lambda tick: bucket(tick.time_us, interval_us))
    return [_bar(begin, list(group)) for begin, group in by_bucket]


def coarser(parts: Iterable[Bar], interval_us: int) -> list[Bar]:
    """The candles of a longer interval: what `bars` would make of the trades that `parts` were made of.

    Args:
        parts: all candles of a shorter interval, which divides this one, of every interval they touch.
        interval_us: length of a candle in microseconds.
    """
    by_bucket = groupby(sorted(parts, key=lambda bar: bar.begin_us), key=lambda bar: bucket(bar.begin_us, interval_us))
    return [_joined(begin, list(group)) for begin, group in by_bucket]


def _joined(begin_us: int, parts: list[Bar]) -> Bar:
    price_scale = max([bar.price_scale for bar in parts])
    qty_scale = max([bar.qty_scale for bar in parts])
    finer = [10 ** (price_scale - bar.price_scale) for bar in parts]
    finer_qty = [10 ** (qty_scale - bar.qty_scale) for bar in parts]
    return Bar(
        begin_us,
        open=parts[0].open * finer[0],
        high=max([bar.high * factor for bar, factor in zip(parts, finer, strict=True)]),
        low=min([bar.low * factor for bar, factor in zip(parts, finer, strict=True)]),
        close=parts[-1].close * finer[-1],
        price_scale=price_scale,
        volume=sum([bar.volume * factor for bar, factor in zip(parts, finer_qty, strict=True)]),
        qty_scale=qty_scale,
        turnover=sum([bar.turnover * f * q for bar, f, q in zip(parts, finer, finer_qty, strict=True)]),
        trades=sum([bar.trades for bar in parts]),
    )


def _bar(begin_us: int, ticks: list[Tick]) -> Bar:
    price_scale = max([tick.price_scale for tick in ticks])
    qty_scale = max([tick.qty_scale for tick in ticks])
    prices = [tick.price * 10 ** (price_scale - tick.price_scale) for tick in ticks]
    qtys = [tick.qty * 10 ** (qty_scale - tick.qty_scale) for tick in ticks]
    return Bar(
        begin_us,
        open=prices[0],
        high=max(prices),
        low=min(prices),
        close=prices[-1],
        price_scale=price_scale,
        volume=sum(qtys),
        qty_scale=qty_scale,
        turnover=sum([price * qty for price, qty in zip(prices, qtys, strict=True)]),
        trades=len(ticks),
    )
