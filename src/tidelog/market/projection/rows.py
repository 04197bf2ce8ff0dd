"""Market values as rows of `tidelog.batch`, and back: exact integers, each with its scale. No I/O.

What 256 bits or 36 decimals cannot hold has no row: the functions say so with None, and the caller decides
what that is worth.
"""

from decimal import Context, Decimal
from typing import Any, NamedTuple

import msgspec

from tidelog.batch import INT_MAX, NUMBER_MAX, UINT64_MAX, Row, Value, uint256
from tidelog.market.book.levels import Book, ScaledLevel
from tidelog.market.events import EventId, Instrument, Trade, decimals, micros, scaled_int
from tidelog.market.projection.candles import Bar, Tick
from tidelog.market.projection.tables import BOOK_SNAPSHOTS, CANDLES, TRADES

SCALE_USUAL = 15  # decimals, and 64 bits: a number beyond either loses its trailing zeros, down to these
EXACT = Context(prec=100)  # digits: more than any number of a row has
SCALE_MAX = 36  # decimals: twice those of the tokens with the most, and a candle's sums have room in 256 bits
SAMPLED_LEVELS = 25  # of each side in a book snapshot: the ten that can be proven, and as much again below

_Level = tuple[int | bytes, int | bytes]  # bytes, big-endian, beyond 64 bits: msgpack has no larger integers
_LEVELS = msgspec.msgpack.Decoder(tuple[tuple[_Level, ...], tuple[_Level, ...]])


class Scaled(NamedTuple):
    """`value` units of 10**-scale."""

    value: int
    scale: int


def scaled(number: Decimal) -> Scaled | None:
    """A positive number at the scale it was written with; a long one without trailing zeros."""
    scale = decimals(number)
    value = scaled_int(number, scale)
    while scale and (value > INT_MAX or scale > SCALE_USUAL) and value % 10 == 0:
        value, scale = value // 10, scale - 1
    return Scaled(value, scale) if 0 < value <= NUMBER_MAX and scale <= SCALE_MAX else None


def decimal_text(value: int, scale: int) -> str:
    """The number as people read it: all of its decimals, and no exponent."""
    sign, digits = "-" if value < 0 else "", f"{abs(value):0{scale + 1}}"
    return f"{sign}{digits[:-scale]}.{digits[-scale:]}" if scale else f"{sign}{digits}"


def trade_row(source: str, trade: Trade, ordinal: int, id_: EventId, received_us: int) -> Row | None:
    """None if no row can hold it, as one from before 1970; `ordinal` serves where the trade has no id of its own."""
    price, qty, time_us = scaled(trade.price), scaled(trade.qty), micros(trade.timestamp)
    if price is None or qty is None or time_us < 0 or "\0" in trade.ord_type:
        return None
    return (
        source,
        trade.symbol,
        time_us,
        ordinal if trade.trade_id is None else trade.trade_id,
        price.value,
        qty.value,
        trade.side,
        trade.ord_type,
        price.scale,
        qty.scale,
        trade.trade_id,
        id_.run,
        id_.seq,
        received_us,
    )


_SAID = [TRADES.index(name) for name in ("symbol", "trade_id", "time_us", "side")]
_NUMBERS = [(TRADES.index(name), TRADES.index(f"{name}_scale")) for name in ("price", "qty")]


def said_by(row: Row) -> tuple[Value | Decimal, ...]:
    """What a row of `trades` says of a trade, with however many decimals."""
    numbers = [
        Decimal(str(row[value])).scaleb(-int(str(row[scale])), EXACT).normalize(EXACT) for value, scale in _NUMBERS
    ]
    return (*[row[at] for at in _SAID], *numbers)


_TICK = [TRADES.index(name) for name in ("time_us", "ordinal", "price", "price_scale", "qty", "qty_scale")]


def tick_of_row(row: Any) -> Tick:
    return Tick(*[row[i] for i in _TICK])


def candle_row(source: str, symbol: str, interval_s: int, bar: Bar) -> Row | None:
    if max(bar.high, bar.volume, bar.turnover) > NUMBER_MAX:
        return None
    return (
        source,
        symbol,
        interval_s,
        bar.begin_us,
        bar.open,
        bar.high,
        bar.low,
        bar.close,
        bar.price_scale,
        uint256(bar.volume),
        bar.qty_scale,
        uint256(bar.turnover),
        bar.trades,
        None,
    )


_VOLUME, _TURNOVER = CANDLES.index("volume"), CANDLES.index("turnover")


def bar_of_row(row: Any) -> Bar:
    return Bar(
        row[CANDLES.index("time_us")],
        row[CANDLES.index("open")],
        row[CANDLES.index("high")],
        row[CANDLES.index("low")],
        row[CANDLES.index("close")],
        row[CANDLES.index("price_scale")],
        int.from_bytes(row[_VOLUME], "big"),
        row[CANDLES.index("qty_scale")],
        int.from_bytes(row[_TURNOVER], "big"),
        row[CANDLES.index("trades")],
    )


def instrument_row(source: str, instrument: Instrument, at_us: int) -> Row | None:
    price, qty = scaled(instrument.price_increment), scaled(instrument.qty_increment)
    words = (instrument.symbol, instrument.base, instrument.quote, instrument.status)
    if price is None or qty is None or any("\0" in word for word in words):
        return None
    return (
        source,
        *words,
        instrument.price_precision,
        instrument.qty_precision,
        *price,
        *qty,
        at_us,
    )


def book_row(source: str, book: Book, proven_depth: int, id_: EventId, at_us: int, exchange_us: int | None) -> Row:
    """The top of a book as it is now."""
    sides = book.top(SAMPLED_LEVELS)
    try:
        levels = msgspec.msgpack.encode(sides)
    except OverflowError:
        levels = msgspec.msgpack.encode([[[_packed(number) for number in level] for level in side] for side in sides])
    return sample_row(source, book, proven_depth, levels, id_, at_us, exchange_us)


def sample_row(
    source: str, book: Book, proven_depth: int, levels: bytes, id_: EventId, at_us: int, exchange_us: int | None
) -> Row:
    """The same, with levels that are packed already; of the book nothing but what they do not say."""
    return (
        source,
        book.symbol,
        at_us,
        exchange_us,
        book.depth,
        proven_depth,
        book.precision.price,
        book.precision.qty,
        levels,
        id_.run,
        id_.seq,
    )


def _packed(number: int) -> int | bytes:
    return number if number <= UINT64_MAX else number.to_bytes((number.bit_length() + 7) // 8, "big")


def _level(price: int | bytes, qty: int | bytes) -> ScaledLevel:
    return ScaledLevel(
        *[number if isinstance(number, int) else int.from_bytes(number, "big") for number in (price, qty)]
    )


def levels_of(row: Any) -> tuple[tuple[ScaledLevel, ...], tuple[ScaledLevel, ...]]:
    """Bids and asks of a row of `book_snapshots`, best first, in units of its scales."""
    bids, asks = _LEVELS.decode(row[BOOK_SNAPSHOTS.index("levels")])
    return tuple([_level(*level) for level in bids]), tuple([_level(*level) for level in asks])
