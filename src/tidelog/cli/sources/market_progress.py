"""Where a recording is, as a line, a log line and JSON."""

from collections.abc import Callable

from tidelog.cli.sources.progress import RATE_WINDOW_S, ProgressReport, Rates
from tidelog.cli.sources.status_line import Part, fitted, short
from tidelog.market.live.monitoring.progress import Progress
from tidelog.telemetry import logger

_log = logger("market")


class MarketReport(ProgressReport):
    """Of one run."""

    def __init__(self, progress: Callable[[], Progress]) -> None:
        self._progress = progress
        self._now = progress()
        self._rates = Rates(RATE_WINDOW_S)
        self._rate = 0.0

    def look(self, now_s: float) -> None:
        self._now = self._progress()
        (self._rate,) = self._rates.per_s(now_s, self._now.frames)

    def counts(self) -> tuple[object, ...]:
        return (self._now.frames,)

    def news(self) -> tuple[object, ...]:
        progress = self._now
        return (
            progress.state,
            progress.held,
            progress.subscriptions,
            progress.mismatches,
            progress.malformed,
            progress.resyncs,
            progress.connects,
        )

    def log(self) -> None:
        _log.info("recording", **self.facts())

    def facts(self) -> dict[str, object]:
        progress = self._now
        return {
            "connection": progress.state.value,
            "held": progress.held,
            "subscriptions": progress.subscriptions,
            "frames": progress.frames,
            "frames_per_s": round(self._rate, 1),
            "mismatches": progress.mismatches,
            "malformed": progress.malformed,
            "resyncs": progress.resyncs,
            "connects": progress.connects,
            "unsynced": progress.unsynced,
        }

    def line(self, width: int) -> str:
        """What is wrong stays longest."""
        progress = self._now
        troubles = (
            ("mismatches", progress.mismatches, 85),
            ("malformed", progress.malformed, 84),
            ("resyncs", progress.resyncs, 60),
            ("reconnects", max(0, progress.connects - 1), 50),
        )
        return fitted(
            [
                Part(progress.state.value, 100),
                Part(f"{progress.held}/{progress.subscriptions} held", 90),
                Part(f"{self._rate:,.0f} frames/s", 80),
                Part(f"{short(progress.frames)} frames", 40),
                *[Part(f"{short(count)} {name}", weight if count else weight // 5) for name, count, weight in troubles],
                Part(f"{short(progress.unsynced)} unsynced", 30),
            ],
            width,
        )
