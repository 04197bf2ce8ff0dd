"""Times of answers. Pure."""

from datetime import UTC, datetime

__all__ = ["rfc_3339", "time_us"]


def time_us(text: str | None) -> int | None:
    """RFC 3339 as Unix time in microseconds; None where there is none, or none that can be read."""
    if text is None:
        return None
    try:
        return round(datetime.fromisoformat(text).timestamp() * 1_000_000)
    except (ValueError, OverflowError):
        return None


def rfc_3339(at_us: int) -> str:
    """Unix time in microseconds, down to its second."""
    return datetime.fromtimestamp(at_us // 1_000_000, UTC).isoformat().replace("+00:00", "Z")
