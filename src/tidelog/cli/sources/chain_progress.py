"""Where the sync of a chain is, as a line, a log line and JSON."""

from collections.abc import Callable, Sequence
from math import inf
from typing import Literal

from tidelog.chain.sync.monitoring.reporting import Progress
from tidelog.cli.sources.progress import RATE_WINDOW_S, ProgressReport, Rates
from tidelog.cli.sources.status_line import Part, fitted
from tidelog.telemetry import logger
from tidelog.telemetry.chain import EndpointReading

BAR_COLUMNS = 10
CAUGHT_UP_BLOCKS = 2  # that a follower may be behind between two polls
HOST_COLUMNS = 10  # of an endpoint's host, so that with all else that matters the line has no more than 80
WIDE_COLUMNS = 110  # from here on there is room for all of a host

_log = logger("sync")


class ChainReport(ProgressReport):
    """Of one run.

    Args:
        progress: where it is; None before it has begun.
        waiting: what it waits for before it has begun.
        endpoints: the state of each, in the user's order.
    """

    def __init__(
        self,
        progress: Callable[[], Progress | None],
        waiting: Callable[[], str | None],
        endpoints: Callable[[], Sequence[EndpointReading]],
    ) -> None:
        self._progress = progress
        self._waiting = waiting
        self._endpoints = endpoints
        self._rates = Rates(RATE_WINDOW_S)
        self._now: Progress | None = None
        self._readings: Sequence[EndpointReading] = ()
        self._blocks_per_s = self._transactions_per_s = 0.0

    def look(self, now_s: float) -> None:
        self._now, self._readings = self._progress(), self._endpoints()
        blocks, transactions = (0, 0) if self._now is None else (self._now.blocks, self._now.transactions)
        self._blocks_per_s, self._transactions_per_s = self._rates.per_s(now_s, blocks, transactions)

    def counts(self) -> tuple[object, ...]:
        progress = self._now
        return () if progress is None else (progress.first, progress.head, progress.goal, progress.finalized)

    def news(self) -> tuple[object, ...]:
        progress = self._now
        if progress is None:
            return ()
        return (left_of(progress) or 0) <= CAUGHT_UP_BLOCKS, progress.lowered

    def log(self, event: Literal["progress", "stopped", "done"] = "progress") -> None:
        if self._now is None:
            return
        facts = self.facts()
        del facts["endpoints"]
        match event:
            case "progress":
                _log.info("progress", **facts)
            case "stopped":
                _log.info("stopped", **facts)
            case "done":
                _log.info("done", **facts)

    def facts(self) -> dict[str, object]:
        progress = self._now
        if progress is None:
            return {"waiting": self._waiting() or "for a first answer of the endpoints"}
        left, used, limits = left_of(progress), self._used(), [each.calls_per_s_max for each in self._readings]
        return {
            "chain": progress.chain_id,
            "first": progress.first,
            "head": progress.head,
            "goal": progress.goal,
            "behind": _behind(progress),
            "left": left,
            "left_s": self._left_s(left),
            "finalized": progress.finalized,
            "blocks": progress.blocks,
            "proven": progress.proven,
            "transactions": progress.transactions,
            "logs": progress.logs,
            "blocks_per_s": round(self._blocks_per_s, 1),
            "transactions_per_s": round(self._transactions_per_s, 1),
            "calls_per_s": round(sum(each.calls_per_s for each in self._readings), 1),
            "calls_per_s_max": _finite(sum(limits)) if limits else None,
            "endpoint": None if used is None else used.name,
            "endpoints": [
                {
                    "endpoint": each.name,
                    "calls_per_s": round(each.calls_per_s, 1),
                    "calls_per_s_max": _finite(each.calls_per_s_max),
                    "request_calls_max": each.request_calls_max,
                    "in_flight": each.in_flight,
                    "in_flight_max": each.in_flight_max,
                    "left_alone": each.benched or each.put_aside or each.quarantined,
                }
                for each in self._readings
            ],
        }

    def _used(self) -> EndpointReading | None:
        """The endpoint that has answered most of late."""
        return max(self._readings, key=lambda each: each.calls_per_s, default=None)

    def _left_s(self, left: int | None) -> int | None:
        return round(left / self._blocks_per_s) if left and self._blocks_per_s > 0 else None

    def line(self, width: int) -> str:
        """Where it is, how fast, how much of it is proven, how long it takes; the endpoint is cut off last."""
        progress = self._now
        if progress is None:
            return fitted([Part(f"waiting {self._waiting() or 'for a first answer of the endpoints'}", 100)], width)
        behind, left = _behind(progress), left_of(progress)
        parts = [Part(f"chain {progress.chain_id}", 60)]
        if progress.goal is not None and progress.first is not None and progress.head is not None:
            whole = progress.goal - progress.first + 1 + progress.below
            share = (progress.head - progress.first + 1) / whole if whole > 0 else 1.0
            filled = int(BAR_COLUMNS * min(1.0, share))
            parts.append(Part("[" + "#" * filled + "." * (BAR_COLUMNS - filled) + "]", 20))
        parts.append(Part(f"head {_number(progress.head)}", 100))
        if behind:
            parts.append(Part(f"{behind:,} behind", 62))
        if progress.below:
            parts.append(Part(f"{progress.below:,} below", 63))
        if progress.finalized is not None:
            parts.append(Part(f"final {progress.finalized:,}", 30))
        parts.append(Part(f"{self._blocks_per_s:,.0f} blocks/s", 90))
        parts.append(Part(f"{self._transactions_per_s:,.0f} tx/s", 40))
        if progress.blocks:
            parts.append(Part(f"{_percent(progress.proven, progress.blocks)} proven", 80))
        if (seconds := self._left_s(left)) is not None:
            parts.append(Part(f"{_duration(seconds)} left", 85))
        if (used := self._used()) is not None:
            parts.append(Part(_rate(used, HOST_COLUMNS if width < WIDE_COLUMNS else WIDE_COLUMNS // 3), 70))
            if others := len(self._readings) - 1:
                parts.append(Part(f"+{others}", 50))
        return fitted(parts, width)


def left_of(progress: Progress) -> int | None:
    """Blocks that the range lacks, above and below what is stored."""
    behind = _behind(progress)
    return None if behind is None else behind + progress.below


def _behind(progress: Progress) -> int | None:
    if progress.goal is None or progress.head is None:
        return None
    return max(0, progress.goal - progress.head)


def _number(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _finite(rate: float) -> float | None:
    return None if rate == inf else round(rate, 1)


def _percent(part: int, whole: int) -> str:
    """Rounded down, so that 100% is all."""
    return "100%" if part == whole else f"{1000 * part // whole / 10:.1f}%"


def _rate(endpoint: EndpointReading, columns: int) -> str:
    """Whom we ask, what it serves a second and what it may be asked."""
    host = endpoint.name.partition("://")[2] or endpoint.name
    host = host if len(host) <= columns else host[: columns - 1] + "~"
    limit = "" if endpoint.calls_per_s_max == inf else f"/{endpoint.calls_per_s_max:.0f}"
    return f"{host} {endpoint.calls_per_s:.0f}{limit}/s"


def _duration(seconds: int) -> str:
    """In two units at most: 4d07h, 12h34m, 57m, 40s."""
    minutes, hours = seconds // 60, seconds // 3600
    if hours >= 100:
        return f"{hours // 24}d{hours % 24:02}h"
    if hours:
        return f"{hours}h{minutes % 60:02}m"
    return f"{minutes}m" if minutes >= 10 else f"{minutes}m{seconds % 60:02}s" if minutes else f"{seconds}s"
