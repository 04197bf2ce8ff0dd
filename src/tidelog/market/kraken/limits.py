"""What Kraken asks of a client, and what may be expected of it: limits and silences. Times are in µs. No I/O.

https://docs.kraken.com/api/docs/guides/spot-ws-intro has the exchange's limits.
"""

from tidelog.market.events import Stream
from tidelog.market.kraken.streams import STREAMS
from tidelog.market.session.limits import SECOND, SessionLimits, SilenceLimits

FIRST_DATA_US = {"book": 15 * SECOND, "ticker": 30 * SECOND, "ohlc": 60 * SECOND, "instrument": 60 * SECOND}
FIRST_DATA_PRIVATE_US = 30 * SECOND  # every private channel begins with a snapshot


def first_data_us(stream: Stream) -> int | None:
    """How long the first data may take after the ack; None: none are promised, and the limit is that of later ones."""
    if STREAMS["v1"].is_private(stream):
        return FIRST_DATA_PRIVATE_US
    if stream.channel == "trade" and stream.snapshot:
        return FIRST_DATA_US["ticker"]
    return FIRST_DATA_US.get(stream.channel)


LIMITS = SessionLimits(
    requests_per_s=15,  # the exchange admits some 20 messages a second
    symbols_per_request=10,
    throttled_us=2 * SECOND,
    attempts_window_us=600 * SECOND,
    attempts_max=120,  # the exchange bans at 150
    outage_first_us=10 * SECOND,
    outage_max_us=20 * SECOND,  # at least half of it, 5 s, as the exchange asks
    ping_after_us=5 * SECOND,  # both protocols send a heartbeat every second
    silent_us=15 * SECOND,
    fills_shown=50,  # as the exchange says
    silence=SilenceLimits(
        first_data_us=first_data_us,
        may_begin_empty=frozenset({"trade", "ohlc"}),  # the last trades, and candles of them: of a new market none
        stale_least_us={"book": 30 * SECOND, "trade": 60 * SECOND, "ticker": 120 * SECOND, "spread": 120 * SECOND},
    ),
)
