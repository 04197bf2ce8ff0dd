"""What a receiver's answer means for a message. Pure."""

from collections.abc import Mapping
from typing import TypeAlias

from msgspec import Struct

__all__ = ["Away", "Gone", "Refused", "Taken", "Verdict", "verdict_on"]

GONE = 410
BUSY = (  # said by a receiver that cannot now, or by a proxy before it
    *(408, 425, 429, 502, 503, 504),  # RFC 9110, 8470 and 6585; 408 and 425: the request itself was not taken up
    # Cloudflare's own, of a receiver that it cannot reach, or whose answer it does not get. 525 and 526 too: without
    # TLS the receiver has not seen the message, and a certificate that we ourselves do not trust is no refusal either
    *(520, 521, 522, 523, 524, 525, 526, 530),
)
RETRY_AFTER_S_MAX = 3_600.0


class Taken(Struct, frozen=True):
    """It has the message."""


class Away(Struct, frozen=True):
    """Nothing is said of this message: it is sent again, however long that takes."""

    reason: str
    after_s: float = 0.0


class Refused(Struct, frozen=True):
    """It does not take this message: after so many times it is put aside, and the next one is sent."""

    reason: str


class Gone(Struct, frozen=True):
    """It wants no message any more."""


Verdict: TypeAlias = Taken | Away | Refused | Gone


def verdict_on(status: int, headers: Mapping[str, str]) -> Verdict:
    """What an answer means.

    Args:
        headers: names in lower case.
    """
    if 200 <= status < 300:
        return Taken()
    if status == GONE:
        return Gone()
    if status in BUSY:
        return Away(f"it answers {status}", _retry_after_s(headers.get("retry-after", "")))
    if 300 <= status < 400:
        return Refused(f"it answers {status}: redirects are not followed")
    return Refused(f"it answers {status}")


def _retry_after_s(text: str) -> float:
    """Seconds alone: a date would need both clocks to agree."""
    return min(float(text), RETRY_AFTER_S_MAX) if text.isascii() and text.isdigit() else 0.0
