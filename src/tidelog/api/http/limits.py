"""Limits of a server's streams and of its own health checks, as values: every limit with its reason.

`ApiOptions` is what a user may ask for; these are for tests and for those who embed the application.
"""

from msgspec import Struct

__all__ = ["ApiLimits", "LiveLimits", "LookLimits"]


class LiveLimits(Struct, frozen=True, kw_only=True):
    """Of live streams."""

    # a stream and its client
    heartbeat_s: float = 15.0  # of silence: below the 30 s to 60 s after which proxies give a silent connection up
    send_s: float = 30.0  # that a client may read nothing: beyond any pause of a healthy one
    linger_s: float = 5.0  # after a close that waits behind unread messages: then the connection is dropped
    recheck_s: float = 5.0  # how long a stream may outlive its token
    subscriptions_max: int = 32  # of one connection: a desk's symbols, or a task and a batch each
    # what is read of the store
    watch_s: float = 0.2  # between looks at a checkpoint: unnoticed by a chain's follower, and no load for the store
    changes_page_rows: int = 200  # of one read, and of one send: 50 kB, or with headers 400 kB
    candles_page_rows: int = 500  # of one read, and of one send
    retry_s: float = 1.0  # after a read that failed: a database that restarts is back within a few
    # what is read of a journal
    look_s: float = 1.0  # between looks whether the file is still the one, and whether it grows
    retry_s_max: float = 5.0  # between tries to begin to follow it
    stale_s: float = 20.0  # without a record: the exchange is heard every second, its silence journaled after 15 s
    turn_records: int = 200  # applied at a stretch: a few ms, then other tasks have their turn
    trades_pending_max: int = 1_000  # events that wait for one listener: minutes of one symbol, about a megabyte
    trades_batch_events: int = 100  # sent at once: what is taken out of the fan-out is not bounded by it any more
    place_s: float = 15.0  # idle seconds between position heartbeats, so that a client resumes from a recent id
    missed_records_max: int = 500_000  # read for one listener: a minute of the busiest market; seconds to read
    missed_bytes: int = 256 * 1024  # of messages that are read at once for one listener: it may take them slowly
    resumes_at_once: int = 4  # journals read for listeners that resume: each is a thread; a restart brings them all


class LookLimits(Struct, frozen=True, kw_only=True):
    """Of what `/metrics` and `/readyz` look at."""

    store_s: float = 2.0  # for a look at the store
    tokens_s: float = 1.0  # for the tokens, where those that were read last would do
    scrape_s: float = 3.0  # for each other process, all at once: well below REQUEST_S, and Prometheus' own 10 s
    reasons_bytes_max: int = 64 * 1024  # of another's answer to /readyz: its reasons are a few sentences
    reasons_max: int = 20  # of one process that are shown


class ApiLimits(Struct, frozen=True, kw_only=True):
    """All of them."""

    live: LiveLimits = LiveLimits()
    looks: LookLimits = LookLimits()
