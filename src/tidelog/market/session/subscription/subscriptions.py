"""The state of a session as plain values: the connection, and each subscription. No rules in here."""

import enum

from msgspec import Struct

from tidelog.market.events import Stream
from tidelog.market.session.fills import Fills
from tidelog.market.session.subscription.pace import Pace


class ConnectionState(enum.Enum):
    """Of the connection."""

    DISCONNECTED = "disconnected"
    CONNECTING = "connecting"
    AUTHENTICATING = "authenticating"
    SUBSCRIBING = "subscribing"  # something that is wanted was not acknowledged on this connection yet
    LIVE = "live"
    BACKING_OFF = "backing_off"
    DRAINING = "draining"  # we are closing the socket
    CLOSED = "closed"


class Phase(enum.Enum):
    """Of one subscription."""

    WANTED = "wanted"  # to be asked for
    ASKED = "asked"  # a subscribe is under way
    HELD = "held"  # acknowledged
    RESYNCING = "resyncing"  # not to be trusted: to be given up, and asked for again
    LEAVING = "leaving"  # an unsubscribe is under way


# Journals hold these two, by the names on the right: those are part of the format and do not change.
_STORED_SUBSCRIPTION = {
    "not_before_us": "due_us",
    "ack_timeouts": "lapses",
    "suspect_reason": "doubt",
    "stale_count": "stales",
}
_STORED_SESSION = {"last_received_us": "heard_us", "next_send_us": "paced_us"}


class Subscription(Struct, rename=_STORED_SUBSCRIPTION):
    """One stream of one symbol. Times are Unix, µs; 0 is never."""

    stream: Stream
    symbol: str | None
    phase: Phase = Phase.WANTED
    unwanted: bool = False  # the user gave it up: it goes once it is unsubscribed, or with the connection
    req_id: int = 0  # of the request under way
    asked_us: int = 0  # when that was sent
    not_before_us: int = 0  # nothing is asked for before
    ack_timeouts: int = 0  # requests in a row without an answer
    refusals: int = 0  # requests in a row that were refused
    acked_us: int = 0  # when it was acknowledged last, on this connection
    data_us: int = 0  # when data came last, since then
    suspect_reason: str | None = None  # why it is not to be trusted, until that is acted on
    resyncs: int = 0  # in a row
    stale_count: int = (
        0  # resyncs because no data came any more, each of which doubles the limit; 0 again when it is awake
    )
    stale: bool = False  # it is being asked for again for that reason
    calm: int = 0  # data that came since it was last
    moved_us: int = 0  # when data came last on this connection that were no snapshot: before a resync, if none since
    seen: int = 0  # a book's last checksum, the last trade's id: it outlives a resync
    again: bool = False  # it was left on this connection, to be asked for again
    sequence: int = 0  # the last frame's on private channels, the last trade's id; 0: none since the ack
    pace: Pace = Pace()  # of its data: the market's, so it outlives a connection
    pauses: int = 0  # between data, in the current stretch of that
    acks_from: int = 0  # acks of requests before this one are of a subscription that we have left since

    @property
    def key(self) -> tuple[str, str | None, int | None]:
        """What no two subscriptions share. Not the depth: one symbol has one book."""
        return self.stream.channel, self.symbol, self.stream.interval

    @property
    def is_over(self) -> bool:
        """Whether it was given up while it was asked for, and not granted: there is nothing to leave."""
        return self.unwanted and self.phase is Phase.WANTED


class SessionState(Struct, rename=_STORED_SESSION):
    """All that a session knows."""

    state: ConnectionState = ConnectionState.DISCONNECTED
    private: bool = False  # a token is needed
    closing: bool = False  # the user wants the end
    subscriptions: list[Subscription] = []
    next_req_id: int = 1
    attempts: list[int] = []  # times of the connection attempts that count against the budget, oldest first
    failures: int = 0  # connections in a row that did not last
    opened_us: int = 0  # when the socket opened, 0 while there is none
    last_received_us: int = 0  # when the last frame of any kind came
    answered_us: int = 0  # when an answer to anything that was asked came last, on this connection
    stale_us: int = 0  # when a subscription was given up last because no data came any more
    pinged_us: int = 0
    next_send_us: int = 0  # no request before
    fills: Fills = Fills()  # the account's, where its channels are followed
    expired: bool = False  # the exchange takes this connection's token no more
    retry_us: int = 0  # no connection before
