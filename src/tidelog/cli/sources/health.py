"""How a recording is, as `/readyz` reports it: facts of the feed and the loader, looked at while it runs."""

from collections.abc import Callable

from tidelog.market.live.feed import Feed
from tidelog.market.live.monitoring.health import ReadinessLimits, RecordingFacts, Unproven, readiness
from tidelog.runtime import Runtime
from tidelog.telemetry import MarketMetrics, Readiness

LOOK_S = 1.0  # between looks at which books are proven: far below the time that one may be unproven


class RecordingHealth:
    """Looks at a recording from time to time, so that it can say since when a book is unproven."""

    def __init__(
        self,
        feed: Feed,
        metrics: MarketMetrics,
        runtime: Runtime,
        *,
        loading: bool,
        waits: Callable[[], str | None] = lambda: None,
        left: Callable[[], str | None] = lambda: None,
    ) -> None:
        """
        Args:
            waits: for which other shard the loader waits, in a sentence.
            left: why the journal of a shard that is not run any more is not loaded, in a sentence.
        """
        self._waits = waits
        self._left = left
        self._feed = feed
        self._metrics = metrics
        self._runtime = runtime
        self._loading = loading
        self._limits = ReadinessLimits()
        self._unproven = Unproven()

    async def watch(self) -> None:
        while True:
            self._look()
            await self._runtime.sleep(LOOK_S)

    def _look(self) -> float:
        now = self._runtime.monotonic()
        self._unproven.look(self._feed.unproven, now)
        return now

    def readiness(self) -> Readiness:
        now, progress = self._look(), self._feed.progress
        facts = RecordingFacts(
            state=progress.state,
            wanted=progress.subscriptions,
            held=progress.held,
            unproven=self._unproven.longer_than(self._limits.unproven_s, now),
            refused=[
                f"{each.channel} {each.symbol or ''}".strip() + f": {each.words}" for each in self._feed.peer.refusals
            ],
            status=self._feed.peer.status,
            ended=self._feed.peer.ended,
            journal_stalled=self._feed.stalled,
            loading=self._loading,
            loader_lag_s=self._metrics.loader_lag_s,
            waits=self._waits(),
            left=self._left(),
        )
        return readiness(facts, self._limits)
