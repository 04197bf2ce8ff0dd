"""Scalars as JSON has them, for answers and messages alike: readable by every parser, exact in each.

Bytes are 0x hex. A 256-bit number is a decimal string always; another integer is a number, and a string beyond
what a JSON parser must keep exact (2^53 - 1). Times are RFC 3339. Pure.
"""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, TypeAlias

from msgspec import Meta

__all__ = ["HEX", "Decimal256", "HexText", "Time", "Whole", "hex_text", "ms_text", "time_text", "whole"]

HEX = "^0x([0-9a-f]{2})*$"
SAFE_INT_MAX = 2**53 - 1  # RFC 8259, 6: interoperable integers

HexText: TypeAlias = Annotated[str, Meta(pattern=HEX, description="Bytes as 0x hex.")]
Decimal256: TypeAlias = Annotated[str, Meta(pattern="^[0-9]+$", description="A 256-bit integer, decimal.")]
Whole: TypeAlias = int | Annotated[str, Meta(pattern="^[0-9]+$", description="An integer above 2^53-1.")]
Time: TypeAlias = Annotated[str, Meta(description="RFC 3339, UTC.", extra_json_schema={"format": "date-time"})]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def hex_text(value: Any) -> str:
    """Bytes as 0x hex."""
    return f"0x{value.hex()}"


def whole(value: Any) -> Any:
    """An integer as JSON may have it; None stays."""
    return value if value is None or value <= SAFE_INT_MAX else str(value)


def time_text(at_us: int) -> str | None:
    """Unix time in microseconds as RFC 3339; None beyond what a calendar has."""
    try:
        return (_EPOCH + timedelta(microseconds=at_us)).isoformat(timespec="microseconds").replace("+00:00", "Z")
    except OverflowError:
        return None


def ms_text(at_ms: int | None) -> str | None:
    """Unix time in milliseconds as `time_text` writes it; None stays."""
    return None if at_ms is None else time_text(at_ms * 1_000)
