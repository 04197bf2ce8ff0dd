"""When a peer that asks for patience may be asked again, by what it says. Pure."""

from email.utils import parsedate_to_datetime

RETRY_AFTER_MAX_S = 600  # a peer that asks for more is asked again after this all the same


def retry_after(value: str | None, *, now: float) -> float | None:
    """Seconds to wait by a Retry-After header: seconds or an HTTP date (RFC 9110, 10.2.3)."""
    if value is None:
        return None
    value = value.strip()
    if value.isdecimal() and value.isascii():
        return float(min(int(value[:9]), RETRY_AFTER_MAX_S))
    try:
        return min(max(0.0, parsedate_to_datetime(value).timestamp() - now), float(RETRY_AFTER_MAX_S))
    except (ValueError, TypeError, OverflowError):
        return None
