"""Stored values as live events have them: exact, named as the columns, readable by every JSON parser. No I/O."""

from datetime import timedelta
from typing import Any

from tidelog.batch import BLOCKS, CANDLES, Kind, Row
from tidelog.market.events import EPOCH
from tidelog.market.rows import bar_of_row, decimal_text

__all__ = ["candle_object", "header_of", "time_text"]

SAFE_INT_MAX = 2**53 - 1  # RFC 8259, 6: what every JSON parser keeps exact

_HEADER = [
    (name, BLOCKS.index(name), BLOCKS.columns[BLOCKS.index(name)].kind)
    for name in BLOCKS.names
    if name not in ("chain_id", "uncles", "proof", "extra", "endpoint", "ingested_at", "rows_digest")
]


def time_text(time_us: int) -> str:
    """RFC 3339, UTC."""
    return (EPOCH + timedelta(microseconds=time_us)).isoformat().replace("+00:00", "Z")


def header_of(row: Row) -> dict[str, Any]:
    """A block's header."""
    return {name: _value(kind, row[at]) for name, at, kind in _HEADER}


def _value(kind: Kind, value: Any) -> Any:
    if value is None:
        return None
    if kind is Kind.UINT256:
        return str(int.from_bytes(value, "big"))
    if kind is Kind.BYTES:
        return f"0x{value.hex()}"
    return str(value) if isinstance(value, int) and value > SAFE_INT_MAX else value


def candle_object(row: Row) -> dict[str, Any]:
    """A row of `candles`."""
    bar = bar_of_row(row)
    prices = {
        "open": bar.open,
        "high": bar.high,
        "low": bar.low,
        "close": bar.close,
        "vwap": bar.vwap(bar.price_scale),
    }
    return {
        "symbol": row[CANDLES.index("symbol")],
        "interval_s": row[CANDLES.index("interval_s")],
        "time": time_text(bar.begin_us),
        "time_us": bar.begin_us,
        **{name: decimal_text(price, bar.price_scale) for name, price in prices.items()},
        "volume": decimal_text(bar.volume, bar.qty_scale),
        "trades": bar.trades,
    }
