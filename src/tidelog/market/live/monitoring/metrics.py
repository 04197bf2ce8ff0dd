"""What a feed counts, times and logs of what passes through it. Decides nothing."""

from collections import defaultdict
from collections.abc import Sequence

from tidelog.config import EndpointUrl
from tidelog.market.book.lending import Fault, Gathered
from tidelog.market.book.proof import Check
from tidelog.market.core import JournalEvent
from tidelog.market.events import (
    BookDelta,
    BookSnapshot,
    BookUpdates,
    Connected,
    Disconnected,
    Event,
    Executions,
    Heartbeat,
    Malformed,
    Resync,
    Tickers,
    Trades,
)
from tidelog.market.live.monitoring.figures import (
    CLOSING,
    RECONNECT_REASONS,
    REFUSED_REASONS,
    exchange_time,
    reconnect_reason,
)
from tidelog.market.live.monitoring.notices import NOTICE_KINDS, Notices
from tidelog.market.session.connection import Session
from tidelog.telemetry import MarketMetrics, logger
from tidelog.telemetry.market import LATENCY_EVERY_US

__all__ = ["FeedMetrics"]

# in the order of `lending.Counts`
_GATHERED: tuple[type[Event], ...] = (BookDelta, BookSnapshot, Heartbeat, Trades, Tickers)
_log = logger("market")


class FeedMetrics:
    """Of one feed, since it was made; `totals` are those of the process."""

    def __init__(self, url: EndpointUrl, channels: Sequence[str], totals: MarketMetrics) -> None:
        self.frames: defaultdict[type[Event], int] = defaultdict(int)  # by kind of event
        self.malformed = self.connects = self.resyncs = self.mismatches = 0
        self.notices = Notices(url, channels, totals)
        self.totals = totals
        self._url = url
        self._fills_suspected = 0  # snapshots before which own fills may be missing
        self._timed_from_us = 0  # no frame is timed before
        for words, counts in (
            (RECONNECT_REASONS, totals.reconnects),
            (REFUSED_REASONS, totals.refused),
            (channels, totals.resyncs),
        ):
            counts.update(dict.fromkeys(words, 0))  # there from the start, so that a first one shows

    def frame(self, frame: JournalEvent, session: Session) -> None:
        """A frame went through the core; `session` is as it is after it."""
        event = frame.event
        kind = type(event)
        self.frames[kind] += 1
        if frame.check is Check.MISMATCHED and isinstance(event, BookDelta | BookSnapshot):
            self._mismatch(event.symbol)
        elif isinstance(event, BookUpdates):
            for part, check in zip(event.parts, frame.checks, strict=True):
                if check is Check.MISMATCHED:
                    self._mismatch(part.symbol)
        elif kind is Malformed:
            self.malformed += 1
        elif kind in NOTICE_KINDS:
            self.notices.receive(frame)
        elif kind is Executions:
            suspected = session.session_state.fills.doubted
            if suspected > self._fills_suspected:
                _log.warning("fills_may_be_missing", shown=session.rules.limits.fills_shown)
            self._fills_suspected = suspected

    def gathered(self, gathered: Gathered) -> None:
        """Frames went through the core at once."""
        for kind, count in zip(_GATHERED, gathered.counts, strict=True):
            if count:
                self.frames[kind] += count

    def fault(self, fault: Fault) -> None:
        """The compiled core has failed at a frame, which goes by the Python path then."""
        self.totals.core_faults += 1
        _log.error("core_fault", run=fault.id.run, seq=fault.id.seq, error=fault.what)

    def control(self, control: JournalEvent) -> None:
        """What the feed itself did took effect."""
        match control.event:
            case Connected():
                self.connects += 1
                self.notices.peer.connected()
                _log.info("connected", endpoint=self._url.name)
            case Disconnected(reason):
                if (word := reconnect_reason(reason)) != CLOSING:
                    self.totals.reconnects[word] += 1
                self.notices.peer.left(reason)
                _log.info("disconnected", endpoint=self._url.name, reason=reason)
            case Resync(channel, symbol, _, reason):
                self.resyncs += 1
                self.totals.resyncs[channel] += 1
                _log.info("resync", channel=channel, symbol=symbol, reason=reason)

    def timed(self, at_us: int) -> bool:
        """Whether the frame received at that time is one of those that are timed."""
        if at_us < self._timed_from_us:
            return False
        self._timed_from_us = at_us + LATENCY_EVERY_US
        return True

    def time(self, event: Event, handling_s: float, now_s: float) -> None:
        """How long a frame took from us to the consumers, and from the exchange to us, by the wall clock `now_s`."""
        self.totals.handling.observe(handling_s)
        stamp = exchange_time(event)
        if stamp is not None:  # the journal's clock does not follow corrections of the wall clock
            self.totals.latency.observe(max(0.0, now_s - handling_s - stamp.timestamp()))

    def ack_timeout(self, req_id: int, session: Session) -> None:
        """Log, once, what the exchange does not acknowledge."""
        for one in session.session_state.subscriptions:
            if one.req_id == req_id and one.ack_timeouts == session.rules.limits.ack_timeouts_max + 1:
                _log.warning(
                    "not_acknowledged", channel=one.stream.channel, symbol=one.symbol, requests=one.ack_timeouts
                )

    def _mismatch(self, symbol: str) -> None:
        self.mismatches += 1
        self.totals.mismatches[symbol] += 1
