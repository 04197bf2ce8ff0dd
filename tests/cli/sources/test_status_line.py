"""The status line fits its terminal, and what is logged beside it stands on lines of its own."""

import io
import json
import sys
from math import inf
from typing import Any

import pytest
from msgspec.structs import replace
from rich.console import Console
from rich.live import Live
from rich.text import Text

from tidelog.chain.proof.known_chains import PROFILES
from tidelog.chain.sync.monitoring.reporting import Progress as SyncProgress
from tidelog.cli.sources.chain_progress import ChainReport
from tidelog.cli.sources.market_progress import MarketReport
from tidelog.cli.sources.progress import TERMINAL_ANYWAY, Display, ProgressReport
from tidelog.cli.sources.status_line import Part, fitted, short
from tidelog.market.events import EventId
from tidelog.market.live.monitoring.progress import Progress
from tidelog.market.session.subscription.subscriptions import ConnectionState
from tidelog.runtime import SystemRuntime
from tidelog.telemetry import configure_logs, logger
from tidelog.telemetry.chain import EndpointReading

BUSY = Progress(ConnectionState.SUBSCRIBING, 1_000, 998, 123_456_789, 12, 3_456, 78, 901, 23_456, EventId(1, 1))
CALM = Progress(ConnectionState.LIVE, 4, 4, 950, 0, 0, 1, 0, 7, EventId(1, 1))


SYNCING = SyncProgress(
    11_155_111,
    PROFILES[1],
    first=1,
    head=18_000_000,
    goal=22_222_222,
    finalized=17_999_999,
    blocks=1_000_000,
    proven=999_999,
    transactions=150_000_000,
)


def reading(name: str, calls_per_s: float, calls_per_s_max: float = inf) -> EndpointReading:
    return EndpointReading(name, True, False, False, False, 0, 3, 16, calls_per_s, calls_per_s_max, 100)


ENDPOINTS = (reading("https://eth.provider.example:8545", 50.4, 100.0), reading("https://other.example", 7.0))


def recording_line(progress: Progress, rate: int, width: int) -> str:
    now = replace(progress, frames=progress.frames - rate)
    telling = MarketReport(lambda: now)
    telling.look(0.0)
    now = progress
    telling.look(1.0)
    return telling.line(width)


def sync_line(progress: SyncProgress, blocks_per_s: int, width: int, *, waiting: str | None = None) -> str:
    return sync_telling(progress, blocks_per_s, waiting).line(width)


def sync_telling(progress: SyncProgress | None, blocks_per_s: int, waiting: str | None = None) -> ChainReport:
    now = progress
    if progress is not None:
        now = replace(progress, blocks=progress.blocks - blocks_per_s)
    telling = ChainReport(lambda: now, lambda: waiting, lambda: ENDPOINTS)
    telling.look(0.0)
    now = progress
    telling.look(1.0)
    return telling


@pytest.mark.parametrize("width", [20, 40, 80, 128, 300])
@pytest.mark.parametrize("progress", [BUSY, CALM])
def test_status_line_of_a_recording_fits(progress: Progress, width: int) -> None:
    line = recording_line(progress, 900, width)
    assert len(line) <= width
    assert line.startswith(progress.state.value)


def test_status_line_keeps_what_is_wrong_the_longest() -> None:
    line = recording_line(BUSY, 12_346, 80)
    for part in ("998/1000 held", "12,346 frames/s", "12 mismatches", "3.5k malformed"):
        assert part in line
    assert (
        recording_line(CALM, 3, 80) == "live  4/4 held  3 frames/s  950 frames  0 mismatches  0 malformed  7 unsynced"
    )


@pytest.mark.parametrize("width", [20, 40, 80, 300])
def test_status_line_of_a_sync_fits(width: int) -> None:
    line = sync_line(SYNCING, 1_234, width)
    assert len(line) <= width
    assert "head 18,000,000" in line


def test_in_80_columns_a_sync_says_speed_share_proven_time_left_and_the_endpoint_with_its_limit() -> None:
    line = sync_line(SYNCING, 1_234, 80)
    assert line == "head 18,000,000  1,234 blocks/s  99.9% proven  57m left  eth.provi~ 50/100/s"
    assert len(line) <= 80
    slow = sync_line(replace(SYNCING, head=9_999_999), 250, 80)
    assert slow == "head 9,999,999  250 blocks/s  99.9% proven  13h34m left  eth.provi~ 50/100/s"
    assert "eth.provider.example:8545 50/100/s" in sync_line(SYNCING, 1_234, 200)


def test_all_that_is_proven_is_100_percent_and_nothing_else_is() -> None:
    assert "100% proven" in sync_line(replace(SYNCING, proven=SYNCING.blocks), 10, 200)
    assert "0.0% proven" in sync_line(replace(SYNCING, proven=0), 10, 200)
    assert "proven" not in sync_line(replace(SYNCING, blocks=0, proven=0), 0, 200)


def test_time_left_counts_what_is_filled_in_below_and_is_not_told_while_nothing_moves() -> None:
    filling = replace(SYNCING, head=SYNCING.goal, first=1_000, below=1_000)
    assert "  1,000 below  " in sync_line(filling, 10, 200)
    assert "1m40s left" in sync_line(filling, 10, 200)
    assert " left" not in sync_line(SYNCING, 0, 200)
    assert " left" not in sync_line(replace(SYNCING, head=SYNCING.goal), 10, 200)


def test_before_it_has_begun_it_says_what_it_waits_for() -> None:
    told = sync_telling(None, 0, "http://localhost:8545: no connection")
    assert told.line(80) == "waiting http://localhost:8545: no connection"
    assert told.facts() == {"waiting": "http://localhost:8545: no connection"}


def test_json_of_a_sync_has_each_endpoint_with_its_limit() -> None:
    facts = sync_telling(SYNCING, 1_234).facts()
    assert json.loads(json.dumps(facts)) == facts, "a limit that nobody knows is null: JSON has no infinity"
    assert (facts["proven"], facts["left"], facts["left_s"]) == (999_999, 4_222_222, 3_422)
    assert (facts["endpoint"], facts["calls_per_s"], facts["calls_per_s_max"]) == (ENDPOINTS[0].name, 57.4, None)
    endpoints: Any = facts["endpoints"]
    one, other = endpoints
    assert (one["calls_per_s_max"], other["calls_per_s_max"], one["left_alone"]) == (100.0, None, False)


def test_lightest_parts_are_left_out_first() -> None:
    parts = [Part("aaaa", 2), Part("bbbb", 1), Part("cccc", 3), Part("dddd" * 4, 0)]
    assert fitted(parts, 200) == "aaaa  bbbb  cccc  dddddddddddddddd"
    assert fitted(parts, 20) == "aaaa  bbbb  cccc"
    assert fitted([Part("x" * 100, 1)], 20) == "x" * 20
    assert [short(number) for number in (0, 999, 1_000, 2_345_678, 10**10)] == ["0", "999", "1.0k", "2.3M", "10.0G"]


def test_log_lines_beside_a_live_line_stand_on_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.StringIO()
    monkeypatch.setattr(sys, "stderr", shown)
    configure_logs(form="human")
    console = Console(stderr=True, force_terminal=True, width=80, color_system=None)
    with Live(console=console, auto_refresh=False) as live:
        live.update(Text("live  4/4 held"), refresh=True)
        logger("market").warning("refused", reason="no such pair")
        live.update(Text("live  4/4 held"), refresh=True)
    lines = shown.getvalue().replace("\r", "\n").replace("\x1b[2K", "\n").splitlines()
    (told,) = [line for line in lines if "refused" in line]
    assert "held" not in told


@pytest.mark.parametrize(("variables", "is_shown"), [({}, False), ({"FORCE_COLOR": "1"}, True)])
async def test_the_line_is_for_terminals_and_holds_nothing_that_commands_one(
    variables: dict[str, str], is_shown: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Here(ProgressReport):
        def look(self, now_s: float) -> None: ...
        def log(self) -> None: ...

        def line(self, width: int) -> str:
            return "here \x1b[2J"[:width]

        def facts(self) -> dict[str, object]:
            return {}

        def counts(self) -> tuple[object, ...]:
            return ()

        def news(self) -> tuple[object, ...]:
            return ()

    shown = io.StringIO()
    monkeypatch.setattr(sys, "stderr", shown)
    for name in TERMINAL_ANYWAY:
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    async with Display(Here(), SystemRuntime(), "auto"):
        pass
    assert ("here" in shown.getvalue()) is is_shown
    assert "\x1b[2J" not in shown.getvalue()
