"""The limits of a session, as values that are passed in: the reason is beside each. No rules in here.

Those without a default are the exchange's to say, see `kraken.limits`; the others hold wherever one is connected to.
Times are in µs.
"""

from collections.abc import Callable, Collection, Mapping

from msgspec import Struct

from tidelog.market.events import Stream

SECOND = 1_000_000


class PaceLimits(Struct, frozen=True):
    """How a market's own pace is learned; see `pace`."""

    stretch_us: int = 600 * SECOND  # pauses are remembered for one such stretch at least, and for two at most
    stretch_pauses: int = 16  # that a stretch has at least: a slow market's lasts longer
    factor: int = 4  # times the longest pause before silence is suspicious: by chance once in some 5,000 of 16
    cold_us: int = 300 * SECOND  # at least, in a market's first stretch: a burst may have been all that it showed
    stale_max_us: int = 3600 * SECOND  # of markets that are slow, or of which too little is known yet


class SilenceLimits(Struct, frozen=True):
    """How long data may stay away; see `silence`.

    A symbol that is resynced needlessly costs two requests and one snapshot; each time the limit is doubled.
    """

    first_data_us: Callable[[Stream], int | None]  # after the ack; None: nothing is promised at the start of a stream
    stale_least_us: Mapping[str, int]  # by channel, at any pace: a busy market pauses now and then
    may_begin_empty: Collection[str] = ()  # channels whose first data do not come while a market is new
    stale_doubled_max_us: int = (
        4 * 3600 * SECOND
    )  # a dead subscription is found within this, however slow its market is
    stale_doublings_max: int = 32  # so that the limit stays a number that can be compared; the one above comes first
    trade_moves_us: int = SECOND  # how far apart the frames about one trade may come: a trade changes the book
    pace: PaceLimits = PaceLimits()


class SessionLimits(Struct, frozen=True):
    """What a connection is given, and what is asked of the exchange."""

    requests_per_s: int  # symbols asked for: below what the exchange admits
    symbols_per_request: int  # so that one refusal or one lost ack is about few
    throttled_us: int  # pause after it has said that we send too fast
    attempts_window_us: int  # in which connection attempts are counted
    attempts_max: int  # in the window: below the exchange's own limit, since others may share our address
    outage_first_us: int  # pause after a failure that is no random drop; at least half of it is kept
    outage_max_us: int  # ... and the longest that it grows to
    ping_after_us: int  # of silence; longer than the pause between heartbeats
    silent_us: int  # ... and then the connection is dead, even if the socket is open
    fills_shown: int  # of the account's, in a snapshot: one that is full may be short of some
    silence: SilenceLimits

    ack_us: int = 10 * SECOND  # an exchange answers within milliseconds
    ack_timeouts_max: int = 4  # requests for one subscription without an answer, then it is asked for ever more rarely
    unanswered_first_us: int = 10 * SECOND  # ... after so long
    unanswered_max_us: int = 300 * SECOND
    refused_first_us: int = 10 * SECOND  # until a refused subscription is asked for again; it may be listed again
    refused_max_us: int = 300 * SECOND
    resyncs_at_once: int = 3  # of one subscription; further ones wait, longer each time
    calm_us: int = 60 * SECOND  # acknowledged for so long, with data, and resyncs are counted from the beginning
    resync_first_us: int = 5 * SECOND
    resync_max_us: int = 60 * SECOND
    at_once: int = 3  # failures after which a connection is tried again at once, as after a random drop
    at_once_us: int = SECOND // 2  # ... within so long
    stable_us: int = 10 * SECOND  # a connection that lasted so long was no failure
    # Silence is a suspicion, not a fault. What is asked again because of it takes a seventh of the pace of requests and
    # leaves few symbols without data at a time, so that 500 books that fall silent together stay followed.
    stale_at_once: int = 4
    stale_every_us: int = SECOND

    @property
    def fills_known(self) -> int:
        """Whose ids are remembered: a snapshot may come while later fills have come already."""
        return 4 * self.fills_shown
