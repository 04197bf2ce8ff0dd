"""How a sync shows where it is: a live line on a terminal, one structured line per interval otherwise."""

from types import TracebackType
from typing import Literal

from rich.console import Console
from rich.live import Live
from rich.text import Text

from tidelog.chain.reporting import Progress
from tidelog.cli.status_line import Part, fitted
from tidelog.runtime import Runtime
from tidelog.telemetry import logger

INTERVAL_S = 10.0  # between structured lines, while there are blocks to catch up with
IDLE_S = 60.0  # ... and while there are none
BAR_COLUMNS = 10
CAUGHT_UP_BLOCKS = 2  # that a follower may be behind between two polls
RATE_WINDOW_S = 15.0  # rates are over this long: shorter jumps about, longer hides a stall

_log = logger("sync")


class Display:
    """Give `update` to `Sync` as `on_progress`. Without `live`, there are structured lines on a terminal too."""

    def __init__(self, runtime: Runtime, *, live: bool = True) -> None:
        self._runtime = runtime
        self._started = runtime.monotonic()
        self._told = self._started
        self._samples: list[tuple[float, int, int]] = [(self._started, 0, 0)]
        self._console = Console(stderr=True)
        self._live = Live(console=self._console, refresh_per_second=8) if live and self._console.is_terminal else None

    def __enter__(self) -> "Display":
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def update(self, progress: Progress) -> None:
        now = self._runtime.monotonic()
        self._samples.append((now, progress.blocks, progress.transactions))
        while len(self._samples) > 2 and now - self._samples[0][0] > RATE_WINDOW_S:
            self._samples.pop(0)
        if self._live is not None:
            line = Text(self._line(progress, self._console.width), no_wrap=True, overflow="crop")
            self._live.update(line)
        elif now - self._told >= (INTERVAL_S if (_behind(progress) or 0) > CAUGHT_UP_BLOCKS else IDLE_S):
            self._told = now
            self.tell(progress)

    def tell(self, progress: Progress, event: Literal["progress", "stopped", "done"] = "progress") -> None:
        """One structured line."""
        facts = self._facts(progress)
        match event:
            case "progress":
                _log.info("progress", **facts)
            case "stopped":
                _log.info("stopped", **facts)
            case "done":
                _log.info("done", **facts)

    def _facts(self, progress: Progress) -> dict[str, object]:
        blocks_per_s, transactions_per_s = self._rates()
        return {
            "chain": progress.chain_id,
            "first": progress.first,
            "head": progress.head,
            "goal": progress.goal,
            "behind": _behind(progress),
            "finalized": progress.finalized,
            "blocks": progress.blocks,
            "transactions": progress.transactions,
            "logs": progress.logs,
            "blocks_per_s": round(blocks_per_s, 1),
            "transactions_per_s": round(transactions_per_s, 1),
            "calls_per_s": round(progress.calls_per_s, 1),
            "calls_per_s_max": None if progress.calls_per_s_max is None else round(progress.calls_per_s_max, 1),
        }

    def _rates(self) -> tuple[float, float]:
        (start, blocks, transactions), (now, more_blocks, more_transactions) = self._samples[0], self._samples[-1]
        seconds = max(0.001, now - start)
        return (more_blocks - blocks) / seconds, (more_transactions - transactions) / seconds

    def _line(self, progress: Progress, width: int) -> str:
        """Where the sync is, in at most `width` columns; the range, the rest of the way and how long stay longest."""
        blocks_per_s, transactions_per_s = self._rates()
        behind = _behind(progress)
        parts = [Part(f"chain {progress.chain_id}", 60)]
        if progress.goal is not None and progress.first is not None and progress.head is not None:
            whole = progress.goal - progress.first + 1
            share = (progress.head - progress.first + 1) / whole if whole > 0 else 1.0
            filled = round(BAR_COLUMNS * min(1.0, share))
            parts.append(Part("[" + "#" * filled + "." * (BAR_COLUMNS - filled) + "]", 20))
        parts.append(Part(f"head {_number(progress.head)}", 100))
        if behind:
            parts.append(Part(f"{behind:,} behind", 90))
        if progress.finalized is not None:
            parts.append(Part(f"final {progress.finalized:,}", 30))
        parts.append(Part(f"{blocks_per_s:,.0f} blocks/s", 80))
        parts.append(Part(f"{transactions_per_s:,.0f} tx/s", 40))
        if progress.calls_per_s_max is not None:
            parts.append(Part(f"{progress.calls_per_s:,.0f} of {progress.calls_per_s_max:,.0f} calls/s", 35))
        if behind and blocks_per_s > 0:
            parts.append(Part(f"ETA {_duration(behind / blocks_per_s)}", 70))
        return fitted(parts, width)


def _behind(progress: Progress) -> int | None:
    if progress.goal is None or progress.head is None:
        return None
    return max(0, progress.goal - progress.head)


def _number(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{rest:02}s"
