"""Log lines and counts of what the exchange says beside data: each cause once, in its words. See `Peer`."""

from collections.abc import Sequence

from tidelog.config import EndpointUrl
from tidelog.errors import SourceError
from tidelog.market.core import JournalEvent
from tidelog.market.events import Ack, Event, Rejection, Status
from tidelog.market.session.connection import Session
from tidelog.market.session.peer import OTHER_STATUS, STATUSES, Peer, clipped
from tidelog.telemetry import MarketMetrics, logger

NOTICE_KINDS: frozenset[type[Event]] = frozenset({Rejection, Status, Ack})
UNNAMED = "unnamed"  # in metrics, the channel of a refusal that does not say what it refuses
TOKENLESS = "no token"  # how the reason of a connection that ended for want of one begins; see `figures`

_log = logger("market")


class Notices:
    """What an exchange says beside data, for one feed. `peer` is the present state of it, but for `peer_of`."""

    def __init__(self, url: EndpointUrl, channels: Sequence[str], metrics: MarketMetrics) -> None:
        self.peer = Peer()
        self._url = url
        self._metrics = metrics
        metrics.refusals.update(dict.fromkeys((*channels, UNNAMED), 0))  # there from the start, so that a first shows

    @property
    def status(self) -> str | None:
        """The exchange's state as a word of a fixed set; None: it has not said it."""
        status = self.peer.status
        return status if status is None or status in STATUSES else OTHER_STATUS

    def peer_of(self, session: Session) -> Peer:
        """The exchange as of its last word: without refusals of what nobody wants, or is held though no ack came."""
        if self.peer.refusals:
            wanted = [one for one in session.session_state.subscriptions if one.refusals and not one.unwanted]
            self.peer.keep({(one.stream.channel, one.symbol) for one in wanted})
        return self.peer

    def receive(self, entry: JournalEvent) -> None:
        """Receive an event of one of the kinds in `NOTICE_KINDS`."""
        peer = self.peer
        match entry.event:
            case Rejection() as rejection:
                self._refused(rejection, entry)
            case Status(system) if peer.said(system):
                if system == "online":
                    _log.info("exchange_online", endpoint=self._url.name)
                else:
                    _log.warning("exchange_limited", endpoint=self._url.name, status=peer.status)
            case Ack("subscribe", channel, symbol, warnings=warnings):
                for answered in entry.answered or (symbol,):
                    peer.accepted(channel, answered)
                for warning in warnings:
                    _log.info("exchange_warned", channel=channel, symbol=symbol, warning=clipped(warning))

    def _refused(self, rejection: Rejection, entry: JournalEvent) -> None:
        if rejection.req_id is not None and not entry.refused:
            return  # of what we gave up, or have already: nothing is kept from us
        for kept, _ in entry.refused or ((UNNAMED, None),):
            self._metrics.refusals[kept] += 1
        for refusal in self.peer.refused(rejection, entry.refused):
            words = self._url.redact(refusal.words)
            _log.warning("refused", channel=refusal.channel, symbol=refusal.symbol, reason=words)

    def denied(self, error: SourceError | TimeoutError, within_s: float) -> str:
        """No token was had: why the connection ends."""
        words = clipped(error.reason if isinstance(error, SourceError) else f"none within {within_s:g} s")
        if self.peer.denied(words):
            _log.warning("token_refused", endpoint=self._url.name, reason=words)
        return words if words.startswith(TOKENLESS) else f"{TOKENLESS}: {words}"
