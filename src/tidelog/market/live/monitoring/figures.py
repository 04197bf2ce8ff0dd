"""What a feed counts, in the words of its metrics: every one of a small, fixed set, never a peer's own text.

Pure, but for `journal_bytes`, which looks at the disk.
"""

import os
from datetime import datetime

from tidelog.errors import Rejected, SourceError, Throttled
from tidelog.market.events import (
    Ack,
    Balances,
    BookDelta,
    BookSnapshot,
    BookUpdates,
    Candles,
    Event,
    Executions,
    Heartbeat,
    Instruments,
    Malformed,
    Pong,
    Rejection,
    Spread,
    Status,
    Tickers,
    Trades,
    Unknown,
)

CHANNELS: dict[type[Event], str] = {
    BookSnapshot: "book",
    BookDelta: "book",
    BookUpdates: "book",
    Trades: "trade",
    Tickers: "ticker",
    Candles: "ohlc",
    Spread: "spread",
    Instruments: "instrument",
    Executions: "executions",
    Balances: "balances",
    Status: "status",
    Heartbeat: "heartbeat",
    Ack: "reply",
    Rejection: "reply",
    Pong: "reply",
    Unknown: "unknown",
    Malformed: "malformed",
}

CLOSING = "closing"  # our own will: no reason for a reconnect
_REASONS: tuple[tuple[str, str], ...] = (  # how a sentence begins, and the word for it
    ("nothing came for", "silent"),
    ("journal_stalled", "journal_stalled"),
    ("no token", "no_token"),
    ("clock", "clock"),
    ("the peer closed", "closed"),
    ("the connection was lost", "lost"),
    ("the peer sent", "protocol"),
    ("the peer broke the protocol", "protocol"),
    ("the peer reads nothing", "protocol"),
    ("no request is answered any more", "unacknowledged"),
    (CLOSING, CLOSING),
)
RECONNECT_REASONS = (*dict.fromkeys([word for _, word in _REASONS if word != CLOSING]), "other")
REFUSED_REASONS = ("throttled", "rejected", "unreachable")


def reconnect_reason(sentence: str) -> str:
    """The word for why a connection ended."""
    return next((word for start, word in _REASONS if sentence.startswith(start)), "other")


def refused_reason(error: SourceError) -> str:
    """The word for why a connection could not be had."""
    if isinstance(error, Throttled):
        return "throttled"
    return "rejected" if isinstance(error, Rejected) else "unreachable"


def exchange_time(event: Event) -> datetime | None:
    """When the exchange says that it happened; None where it does not, or reports the past."""
    kind = event.__class__  # `type` is another one where the compiled core made it
    stamp: datetime | None = None
    if kind is BookDelta or kind is Spread:
        assert isinstance(event, BookDelta | Spread)
        stamp = event.timestamp
    elif kind is Trades:
        assert isinstance(event, Trades)
        stamp = event.trades[-1].timestamp if event.trades and not event.snapshot else None
    elif kind is Tickers:
        assert isinstance(event, Tickers)
        stamp = event.tickers[-1].timestamp if event.tickers else None
    return stamp if stamp is not None and stamp.tzinfo is not None else None


def journal_bytes(path: str) -> int | None:
    """Size of a journal on its disk, what it has not checkpointed included; None if it is not there."""
    try:
        size = os.path.getsize(path)
    except OSError:
        return None
    try:
        return size + os.path.getsize(f"{path}-wal")
    except OSError:
        return size
