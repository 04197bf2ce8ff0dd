"""Limits of a recording, and of its exchange, that a small simulated run can reach. Values alone."""

from msgspec.structs import replace

from tidelog.market.journal.writer import JournalLimits
from tidelog.market.live.limits import FeedLimits
from tidelog.market.session.limits import PaceLimits, SessionLimits
from tidelog.market.venues import venue_of
from tidelog.net.websocket import WebSocketLimits
from tidelog.sim.exchange import Limits
from tidelog.sim.scenario import schedule as plan

__all__ = ["EXCHANGE", "WEB_SOCKET", "feed_limits", "session_limits"]

SECOND = 1_000_000

WAITING_BYTES = 14 * 1024  # for each symbol, in the journal: first snapshots fit, and a disk that stands still does not
WEB_SOCKET = WebSocketLimits(message_bytes_max=128 * 1024)
EXCHANGE = Limits(
    attempts=1_000,  # ours is the budget that is judged
    attempts_us=120 * SECOND,
    token_us=8 * SECOND,
    huge_bytes=WEB_SOCKET.message_bytes_max,
)


def session_limits(schedule: plan.Schedule) -> SessionLimits:
    """Limits of the session that the run can reach. With more markets, those of silence are as they are."""
    own = venue_of(schedule.protocol).rules.limits
    silence = own.silence if schedule.markets else replace(own.silence, pace=PaceLimits(stale_max_us=60 * SECOND))
    return replace(own, attempts_max=8, attempts_window_us=120 * SECOND, silence=silence)


def feed_limits(schedule: plan.Schedule, session: SessionLimits) -> FeedLimits:
    """Limits of the feed that the run can reach. Many markets fill the small journal's bound by themselves."""
    symbols = 2 + len(schedule.odd_markets)
    journal = JournalLimits() if schedule.markets else JournalLimits(waiting_bytes_max=WAITING_BYTES * symbols)
    return FeedLimits(snapshot_every_us=10 * SECOND, journal=journal, session=session)
