"""How a long command shows where it is: what each mode writes, when, and that nobody who does not read holds it up."""

import json
import os
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import BLOCKS, Cli
from tests.command import Running, tidelog
from tests.simulated import Simulated
from tests.virtual import VirtualRuntime, virtually
from tidelog.cli.options import Mode
from tidelog.cli.sources.progress import JSON_S, LOG_S, LOOK_S, Display, ProgressReport, Rates, write_json
from tidelog.runtime import Runtime

HOUR_S = 3_600.0


class Counting(ProgressReport):
    """Something that counts; `moves` says what at which time."""

    def __init__(self, runtime: Runtime, moves: Callable[[float], int] = lambda at_s: 0) -> None:
        self._runtime = runtime
        self._moves = moves
        self._at_s = 0.0
        self.count = 0
        self.trouble = False
        self.logged: list[float] = []

    def look(self, now_s: float) -> None:
        self._at_s, self.count = now_s, self._moves(now_s)

    def line(self, width: int) -> str:
        return f"{self.count} counted"

    def facts(self) -> dict[str, object]:
        return {"at": self._at_s, "count": self.count}

    def counts(self) -> tuple[object, ...]:
        return (self.count,)

    def news(self) -> tuple[object, ...]:
        return (self.trouble,)

    def log(self) -> None:
        self.logged.append(self._at_s)


def shown(mode: Mode, seconds: float, moves: Callable[[float], int], trouble_at_s: float | None = None) -> Counting:
    """What was shown of something that ran for so many seconds of virtual time."""

    async def run() -> Counting:
        runtime = VirtualRuntime()
        counting = Counting(runtime, moves)
        async with Display(counting, runtime, mode) as display:
            if trouble_at_s is not None:
                await runtime.sleep(trouble_at_s)
                counting.trouble = True
            await runtime.sleep(seconds - (trouble_at_s or 0.0))
        display.end("done")
        return counting

    return virtually(run())


@pytest.mark.parametrize("mode", ["auto", "log"])
def test_without_a_terminal_there_is_a_log_line_a_minute_whether_anything_moves_or_not(mode: Mode) -> None:
    for moves in (int, lambda at_s: 0):
        logged = shown(mode, HOUR_S, moves).logged
        assert len(logged) in (59, 60)
        assert {round(later - earlier) for earlier, later in pairwise(logged)} == {round(LOG_S)}


def test_news_has_a_log_line_of_its_own() -> None:
    logged = shown("log", 95.0, int, trouble_at_s=25.0).logged
    assert logged[0] - 25.0 <= LOOK_S
    assert len(logged) == 2


def test_none_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown("none", HOUR_S, int).logged == []
    assert capsys.readouterr() == ("", "")


def objects(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_json_is_one_object_a_second_while_something_moves_and_one_a_minute_otherwise(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert shown("json", 600.0, lambda at_s: min(60, int(at_s))).logged == []
    told = objects(capsys.readouterr().out)
    assert [each["state"] for each in told] == ["running"] * (len(told) - 1) + ["done"]
    moving = [each for each in told if each["at"] <= 60]
    assert len(moving) in (60, 61)
    assert all(later["at"] - earlier["at"] >= JSON_S for earlier, later in pairwise(moving))
    assert len(told) - len(moving) in (9, 10, 11)


def test_rates_are_over_a_window_so_that_a_stall_shows() -> None:
    rates = Rates(15.0)
    moving = [rates.per_s(float(second), second * 10) for second in range(30)]
    assert moving[-1] == [10.0]
    stalled = [rates.per_s(float(second), 290) for second in range(30, 50)]
    assert stalled[-1] == [0.0]


def test_a_reader_that_waits_or_is_gone_holds_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        for number in range(10_000):  # far more than a pipe holds
            write_json({"number": number})
        printed = objects(os.read(reading, 1 << 20).decode())
        assert [each["number"] for each in printed] == list(range(len(printed))), "what was left out is left out whole"
        write_json({"number": "again"})
        assert objects(os.read(reading, 1 << 20).decode())[-1]["number"] == "again"
        os.close(reading)
        for number in range(3):
            write_json({"number": number})


def test_a_sync_as_json_is_one_object_a_line_of_standard_output_and_nothing_else(
    cli: Cli, node: Simulated, tmp_path: Path
) -> None:
    done = cli("chain", "sync", "--rpc", node.url, "--db", f"sqlite:///{tmp_path}/chain.db", "--progress", "json")
    told = objects(done.out)
    assert done.code == 0
    last = told[-1]
    assert (last["state"], last["head"], last["blocks"], last["proven"]) == ("done", BLOCKS, BLOCKS + 1, BLOCKS + 1)
    assert (last["behind"], last["left"], last["left_s"]) == (0, 0, None)
    assert last["endpoint"] == node.url.rstrip("/")
    assert [each["endpoint"] for each in last["endpoints"]] == [last["endpoint"]]


def test_an_interrupted_sync_says_so_as_json(node: Simulated, tmp_path: Path) -> None:
    reading, writing = os.pipe()
    db = f"sqlite:///{tmp_path}/chain.db"
    arguments = ("chain", "sync", "--rpc", node.url, "--db", db, "--follow", "--progress", "json")
    with Running(*arguments, log=tmp_path / "log", stdout=writing) as run:
        os.close(writing)
        with os.fdopen(reading) as lines:
            for line in lines:
                told = json.loads(line)
                if told.get("head") == BLOCKS:
                    break
            run.process.terminate()
            rest = objects(lines.read())
        assert run.wait() == 0
    assert rest[-1]["state"] == "stopped"


def test_a_progress_that_is_none_is_refused() -> None:
    done = tidelog("chain", "sync", "--rpc", "http://localhost:1", "--progress", "bar")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert '"bar" for --progress' in done.err
