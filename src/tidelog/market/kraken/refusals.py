"""What Kraken means by its refusals: its words, classified. No I/O."""

from tidelog.market.events import Rejection
from tidelog.market.session.rules import Refusal

RATE_ERROR = "Exceeded msg rate"  # names no request


def refusal_of(rejection: Rejection) -> Refusal:
    """What a refusal means. v1 and v2 write the same texts, with other prefixes and capitals."""
    if rejection.error.startswith(RATE_ERROR):
        return Refusal.THROTTLED
    if "nvalid session" in rejection.error:
        return Refusal.TOKEN
    if "lready subscribed" in rejection.error:
        return Refusal.ALREADY
    return Refusal.OTHER
