"""A market's rows as answers have them: prices and quantities as exact decimals, times both ways."""

from typing import Annotated, Any, Literal, TypeAlias

from msgspec import Meta, Struct

from tidelog.batch import Row
from tidelog.json_values import Time, ms_text, time_text, whole
from tidelog.market.projection.coverage import Interval
from tidelog.market.projection.rows import bar_of_row, decimal_text
from tidelog.market.projection.state import SymbolState
from tidelog.market.projection.tables import CANDLES, COVERAGE, GAPS, INSTRUMENTS, TRADES

__all__ = ["Candle", "Coverage", "Gap", "Level", "Market", "Trade"]

Decimal: TypeAlias = Annotated[str, Meta(pattern=r"^-?[0-9]+(\.[0-9]+)?$", description="An exact decimal.")]
Worth: TypeAlias = Literal["proven", "unproven", "gap"]
Integer: TypeAlias = int | Annotated[str, Meta(pattern="^[0-9]+$", description="An integer above 2^53-1.")]


class Standing(Struct, frozen=True):
    """What a channel of a symbol is worth since when, and up to the last message of it."""

    state: Worth
    since: Time | None
    since_us: int
    until: Time | None
    until_us: int
    reason: Annotated[str | None, Meta(description="Why it is not proven.")]


class Market(Struct, frozen=True):
    """A symbol of a recording. What the exchange did not tell is null."""

    recording: str
    symbol: str
    base: str | None
    quote: str | None
    status: Annotated[str | None, Meta(description="As the exchange told it last; one that it lists no more keeps it.")]
    price_precision: int | None
    qty_precision: int | None
    price_increment: Decimal | None
    qty_increment: Decimal | None
    book: Standing | None
    trades: Standing | None


class Trade(Struct, frozen=True):
    """A trade. `side` and `ord_type` are the taker's."""

    time: Time | None
    time_us: Annotated[int, Meta(description="Unix time in microseconds, by the exchange.")]
    trade_id: Annotated[Integer | None, Meta(description="Null where the exchange gives none.")]
    ordinal: Annotated[Integer, Meta(description="Among trades of one time: the id, or the order of arrival.")]
    side: str
    ord_type: str
    price: Decimal
    qty: Decimal


class Candle(Struct, frozen=True):
    """A candle; an interval without trades has none. It changes as long as trades of its time come."""

    time: Annotated[str | None, Meta(description="When it begins.", extra_json_schema={"format": "date-time"})]
    time_us: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    vwap: Annotated[str, Meta(description="The volume-weighted mean price, rounded half up to the price's scale.")]
    volume: Decimal
    turnover: Annotated[str, Meta(description="The sum of price times quantity, exact.")]
    trades: int
    complete: Annotated[
        bool, Meta(description="Whether all trades of its time are stored; not before one after it is.")
    ]


class Level(Struct, frozen=True):
    """A price of a book, and how much there is."""

    price: Decimal
    qty: Decimal


class Coverage(Struct, frozen=True):
    """What a channel was worth for a time. Intervals of a channel follow each other without holes."""

    channel: Literal["book", "trade"]
    state: Worth
    since: Time | None
    since_us: int
    until: Time | None
    until_us: int
    reason: str | None
    closed_at: Annotated[Time | None, Meta(description="When all that a gap had missed was there after all.")]


class Gap(Struct, frozen=True):
    """What is missing: trade ids (`trades:SYMBOL`), or a time without a connection, in microseconds."""

    scope: str
    first: Integer
    last: Integer
    reason: str
    opened_at: Time | None
    closed_at: Time | None


def standing_of(interval: Interval | None) -> Standing | None:
    if interval is None:
        return None
    since_us, until_us = interval.since_us, interval.until_us
    state: Any = interval.state
    return Standing(state, time_text(since_us), since_us, time_text(until_us), until_us, interval.reason)


def market_of(recording: str, symbol: str, state: SymbolState | None, row: Row | None) -> Market:
    book, trades = (None, None) if state is None else (standing_of(state.book), standing_of(state.trade))
    if row is None:
        return Market(recording, symbol, *(None,) * 7, book, trades)
    cells: dict[str, Any] = dict(zip(INSTRUMENTS.names, row, strict=True))
    return Market(
        recording,
        symbol,
        cells["base"],
        cells["quote"],
        cells["status"],
        cells["price_precision"],
        cells["qty_precision"],
        decimal_text(cells["price_increment"], cells["price_increment_scale"]),
        decimal_text(cells["qty_increment"], cells["qty_increment_scale"]),
        book,
        trades,
    )


def trade_of(row: Row) -> Trade:
    cells: dict[str, Any] = dict(zip(TRADES.names, row, strict=True))
    return Trade(
        time_text(cells["time_us"]),
        cells["time_us"],
        whole(cells["trade_id"]),
        whole(cells["ordinal"]),
        cells["side"],
        cells["ord_type"],
        decimal_text(cells["price"], cells["price_scale"]),
        decimal_text(cells["qty"], cells["qty_scale"]),
    )


def candle_of(row: Row) -> Candle:
    bar = bar_of_row(row)
    prices = (bar.open, bar.high, bar.low, bar.close, bar.vwap(bar.price_scale))
    first, high, low, last, mean = [decimal_text(price, bar.price_scale) for price in prices]
    return Candle(
        time_text(bar.begin_us),
        bar.begin_us,
        first,
        high,
        low,
        last,
        mean,
        decimal_text(bar.volume, bar.qty_scale),
        decimal_text(bar.turnover, bar.price_scale + bar.qty_scale),
        bar.trades,
        bool(row[CANDLES.index("complete")]),
    )


def coverage_of(row: Row) -> Coverage:
    cells: dict[str, Any] = dict(zip(COVERAGE.names, row, strict=True))
    since_us, until_us = cells["since_us"], cells["until_us"]
    return Coverage(
        cells["channel"],
        cells["state"],
        time_text(since_us),
        since_us,
        time_text(until_us),
        until_us,
        cells["reason"],
        ms_text(cells["closed_at"]),
    )


def gap_of(row: Row) -> Gap:
    cells: dict[str, Any] = dict(zip(GAPS.names, row, strict=True))
    return Gap(
        cells["scope"],
        whole(cells["first"]),
        whole(cells["last"]),
        cells["reason"],
        ms_text(cells["opened_at"]),
        ms_text(cells["closed_at"]),
    )
