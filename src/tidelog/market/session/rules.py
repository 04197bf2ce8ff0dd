"""What a session has to know of the exchange that it talks to. No rules of its own."""

import enum
from collections.abc import Callable

from msgspec import Struct

from tidelog.market.events import Rejection
from tidelog.market.session.limits import SessionLimits


class Refusal(enum.Enum):
    """What a rejection means for what was asked."""

    THROTTLED = "throttled"  # we sent too fast; it does not say which request: every un-acked one has to be sent again
    ALREADY = "already"  # it is subscribed: as good as an ack
    TOKEN = "token"  # noqa: S105 - the connection's token is not accepted any more; the request is refused
    OTHER = "other"  # the request is refused, until it is asked for again


class SessionRules(Struct, frozen=True):
    """An exchange, as far as a session is concerned."""

    limits: SessionLimits
    refusal: Callable[[Rejection], Refusal]  # the exchange's words, classified
    acks_name_symbols: bool = True  # False: one ack answers a whole request, by its id
