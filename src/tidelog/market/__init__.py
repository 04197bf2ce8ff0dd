"""Exchange market data: typed events, checked books, and the sessions that deliver them.

The public names load on first use, so that a program which needs a codec does not load sockets and databases.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tidelog.market.book.levels import Precision, ScaledLevel
    from tidelog.market.book.proof import Check
    from tidelog.market.core import JournalEvent
    from tidelog.market.events import (
        Ack,
        Balance,
        Balances,
        BookDelta,
        BookSnapshot,
        BookUpdates,
        Candle,
        Candles,
        ClockStepped,
        Connected,
        Disconnected,
        Event,
        EventId,
        Executions,
        Heartbeat,
        Instrument,
        Instruments,
        Level,
        Malformed,
        Missed,
        OrderUpdate,
        OwnTrade,
        Pong,
        Rejection,
        Resync,
        SequenceSpan,
        Spread,
        Started,
        Status,
        Stream,
        Ticker,
        Tickers,
        Trade,
        Trades,
        Unknown,
    )
    from tidelog.market.journal.retention import Retention
    from tidelog.market.journal.writer import JournalLimits
    from tidelog.market.live.attempts import Attempts, FileAttempts
    from tidelog.market.live.batches import EventBatch, Item
    from tidelog.market.live.fanout import BatchSubscription, Lagged, Policy, Statistics, Subscription
    from tidelog.market.live.feed import Feed
    from tidelog.market.live.limits import FeedLimits
    from tidelog.market.live.monitoring.loop_watch import LoopWatchLimits
    from tidelog.market.live.monitoring.progress import Progress
    from tidelog.market.records import Kind, Record
    from tidelog.market.replay.position import follow_events
    from tidelog.market.replay.replay import Summary, replay_records
    from tidelog.market.replay.sources import read_source
    from tidelog.market.session.limits import PaceLimits, SessionLimits, SilenceLimits
    from tidelog.market.session.peer import Peer, Refusal
    from tidelog.market.session.subscription.subscriptions import ConnectionState
    from tidelog.market.views import BookView, Quote
    from tidelog.net.websocket import WebSocket, WebSocketTransport
    from tidelog.telemetry import MarketMetrics

__all__ = [
    "Ack",
    "Attempts",
    "Balance",
    "Balances",
    "BatchSubscription",
    "BookDelta",
    "BookSnapshot",
    "BookUpdates",
    "BookView",
    "Candle",
    "Candles",
    "Check",
    "ClockStepped",
    "Connected",
    "ConnectionState",
    "Disconnected",
    "Event",
    "EventBatch",
    "EventId",
    "Executions",
    "Feed",
    "FeedLimits",
    "FileAttempts",
    "Heartbeat",
    "Instrument",
    "Instruments",
    "Item",
    "JournalEvent",
    "JournalLimits",
    "Kind",
    "Lagged",
    "Level",
    "LoopWatchLimits",
    "Malformed",
    "MarketMetrics",
    "Missed",
    "OrderUpdate",
    "OwnTrade",
    "PaceLimits",
    "Peer",
    "Policy",
    "Pong",
    "Precision",
    "Progress",
    "Quote",
    "Record",
    "Refusal",
    "Rejection",
    "Resync",
    "Retention",
    "ScaledLevel",
    "SequenceSpan",
    "SessionLimits",
    "SilenceLimits",
    "Spread",
    "Started",
    "Statistics",
    "Status",
    "Stream",
    "Subscription",
    "Summary",
    "Ticker",
    "Tickers",
    "Trade",
    "Trades",
    "Unknown",
    "WebSocket",
    "WebSocketTransport",
    "follow_events",
    "read_source",
    "replay_records",
]

_HOMES = {  # of all others it is `events`
    "tidelog.market.book.proof": ("Check",),
    "tidelog.market.core": ("JournalEvent",),
    "tidelog.market.journal.retention": ("Retention",),
    "tidelog.market.live.batches": (
        "EventBatch",
        "Item",
    ),
    "tidelog.market.live.fanout": (
        "BatchSubscription",
        "Lagged",
        "Policy",
        "Statistics",
        "Subscription",
    ),
    "tidelog.market.live.attempts": ("Attempts", "FileAttempts"),
    "tidelog.market.live.feed": ("Feed",),
    "tidelog.market.live.monitoring.progress": ("Progress",),
    "tidelog.market.replay.position": ("follow_events",),
    "tidelog.market.replay.replay": (
        "Summary",
        "replay_records",
    ),
    "tidelog.market.replay.sources": ("read_source",),
    "tidelog.market.views": (
        "BookView",
        "Quote",
    ),
    "tidelog.market.book.levels": (
        "Precision",
        "ScaledLevel",
    ),
    "tidelog.market.journal.writer": ("JournalLimits",),
    "tidelog.market.live.limits": ("FeedLimits",),
    "tidelog.market.live.monitoring.loop_watch": ("LoopWatchLimits",),
    "tidelog.market.records": (
        "Kind",
        "Record",
    ),
    "tidelog.market.session.limits": (
        "PaceLimits",
        "SessionLimits",
        "SilenceLimits",
    ),
    "tidelog.market.session.peer": (
        "Peer",
        "Refusal",
    ),
    "tidelog.market.session.subscription.subscriptions": ("ConnectionState",),
    "tidelog.net.websocket": (
        "WebSocket",
        "WebSocketTransport",
    ),
    "tidelog.telemetry": ("MarketMetrics",),
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = next((home for home, names in _HOMES.items() if name in names), "tidelog.market.events")
    return getattr(import_module(home), name)
