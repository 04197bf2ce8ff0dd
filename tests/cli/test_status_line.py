"""The status line fits its terminal, and what is logged beside it stands on lines of its own."""

import io
import sys

import pytest
import structlog
from rich.console import Console
from rich.live import Live
from rich.text import Text

from tidelog.chain.known import PROFILES
from tidelog.chain.reporting import Progress as SyncProgress
from tidelog.cli.market_source import status_line
from tidelog.cli.progress import Display
from tidelog.cli.status_line import Part, fitted, short
from tidelog.market.events import EventId
from tidelog.market.feed import Progress
from tidelog.market.subscriptions import State
from tidelog.runtime import SystemRuntime
from tidelog.telemetry import configure_logs, logger

BUSY = Progress(State.SUBSCRIBING, 1_000, 998, 123_456_789, 12, 3_456, 78, 901, 23_456, EventId(1, 1))
CALM = Progress(State.LIVE, 4, 4, 950, 0, 0, 1, 0, 7, EventId(1, 1))


@pytest.mark.parametrize("width", [20, 40, 80, 128, 300])
@pytest.mark.parametrize("progress", [BUSY, CALM])
def test_status_line_of_a_recording_fits(progress: Progress, width: int) -> None:
    line = status_line(progress, 12_345.6, width)
    assert len(line) <= width
    assert line.startswith(progress.state.value)


def test_status_line_keeps_what_is_wrong_the_longest() -> None:
    line = status_line(BUSY, 12_345.6, 80)
    for part in ("998/1000 held", "12,346 frames/s", "12 mismatches", "3.5k malformed"):
        assert part in line
    assert status_line(CALM, 3, 80) == "live  4/4 held  3 frames/s  950 frames  0 mismatches  0 malformed  7 unsynced"


@pytest.mark.parametrize("width", [20, 40, 80, 300])
def test_status_line_of_a_sync_fits(width: int) -> None:
    progress = SyncProgress(
        11_155_111,
        PROFILES[1],
        first=1,
        head=18_000_000,
        goal=22_222_222,
        finalized=17_999_999,
        blocks=1_000_000,
        transactions=150_000_000,
    )
    display = Display(SystemRuntime(), live=False)
    display.update(progress)
    line = display._line(progress, width)
    assert len(line) <= width
    assert "head 18,000,000" in line


def test_lightest_parts_are_left_out_first() -> None:
    parts = [Part("aaaa", 2), Part("bbbb", 1), Part("cccc", 3), Part("dddd" * 4, 0)]
    assert fitted(parts, 200) == "aaaa  bbbb  cccc  dddddddddddddddd"
    assert fitted(parts, 20) == "aaaa  bbbb  cccc"
    assert fitted([Part("x" * 100, 1)], 20) == "x" * 20
    assert [short(number) for number in (0, 999, 1_000, 2_345_678, 10**10)] == ["0", "999", "1.0k", "2.3M", "10.0G"]


def test_log_lines_beside_a_live_line_stand_on_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.StringIO()
    monkeypatch.setattr(sys, "stderr", shown)
    try:
        configure_logs(form="human")
        console = Console(stderr=True, force_terminal=True, width=80, color_system=None)
        with Live(console=console, auto_refresh=False) as live:
            live.update(Text("live  4/4 held"), refresh=True)
            logger("market").warning("refused", reason="no such pair")
            live.update(Text("live  4/4 held"), refresh=True)
    finally:
        structlog.reset_defaults()
    lines = shown.getvalue().replace("\r", "\n").replace("\x1b[2K", "\n").splitlines()
    (told,) = [line for line in lines if "refused" in line]
    assert "held" not in told
