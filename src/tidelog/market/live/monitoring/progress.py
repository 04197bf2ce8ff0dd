"""Where a feed is: for its user, and for a scrape. Changes nothing; looks at the disk for a journal's size."""

from collections import defaultdict

from msgspec import Struct

from tidelog.market.core import Core
from tidelog.market.events import EventId
from tidelog.market.journal.writer import Journal
from tidelog.market.live.fanout import FanOut
from tidelog.market.live.monitoring.figures import CHANNELS, journal_bytes
from tidelog.market.live.monitoring.metrics import FeedMetrics
from tidelog.market.session.subscription.subscriptions import ConnectionState, Phase
from tidelog.telemetry.distribution import Distribution
from tidelog.telemetry.market import FeedReading

__all__ = ["Progress", "progress_of", "reading_of", "unproven_of"]


class Progress(Struct, frozen=True):
    """Where a feed is."""

    state: ConnectionState
    subscriptions: int
    held: int  # of those, acknowledged and not suspect
    frames: int
    mismatches: int
    malformed: int
    connects: int
    resyncs: int
    unsynced: int  # records that a crash would lose
    last: EventId


def progress_of(core: Core, metrics: FeedMetrics, journal: Journal | None) -> Progress:
    """`journal`: None before the feed has been started."""
    session = core.session
    subscriptions = [one for one in session.session_state.subscriptions if not one.is_over]
    held = [one for one in subscriptions if one.phase is Phase.HELD and one.suspect_reason is None]
    return Progress(
        session.state,
        len(subscriptions),
        len(held),
        sum(metrics.frames.values()),
        metrics.mismatches,
        metrics.malformed,
        metrics.connects,
        metrics.resyncs,
        0 if journal is None else journal.unsynced_frames,
        core.at,
    )


def unproven_of(core: Core) -> list[str]:
    """Symbols whose books the last message did not prove."""
    return core.books.unproven


def reading_of(core: Core, metrics: FeedMetrics, fanout: FanOut, journal: Journal | None, path: str) -> FeedReading:
    """All that a scrape shows of a feed. `path` is the journal's."""
    session, progress, consumers = core.session, progress_of(core, metrics, journal), fanout.statistics
    frames: defaultdict[str, int] = defaultdict(int)
    for kind, count in metrics.frames.items():
        frames[CHANNELS.get(kind, "unknown")] += count
    return FeedReading(
        state=progress.state.value,
        states=tuple([state.value for state in ConnectionState]),
        wanted=progress.subscriptions,
        held=progress.held,
        books=tuple(core.books.by_symbol),
        unproven=len(unproven_of(core)),
        refused=len(metrics.notices.peer_of(session).refusals),
        status=metrics.notices.status,
        frames=frames,
        malformed=progress.malformed,
        connects=progress.connects,
        subscribers=fanout.subscribers,
        lag=consumers.lag,
        pending=consumers.pending,
        dropped=consumers.dropped,
        conflated=consumers.conflated,
        journal_bytes=journal_bytes(path),
        pending_bytes=0 if journal is None else journal.waiting_bytes,
        unsynced=progress.unsynced,
        stalled=journal is not None and journal.stalled,
        durable_us=0 if journal is None else journal.durable_us,
        committed_bytes=0 if journal is None else journal.committed_bytes,
        commits=Distribution(()) if journal is None else journal.commits,
    )
