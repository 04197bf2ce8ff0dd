"""`tidelog sim run`: what it prints, how it ends, and what it refuses."""

from pathlib import Path
from typing import Any

import pytest

from tidelog.cli.sim import run, simulation
from tidelog.errors import ConfigError
from tidelog.sim.runs.play import Verdict, generate
from tidelog.sim.scenario import schedule as plan

BROKEN = Verdict(("heights are contiguous",), "0" * 64, 3, 2, 1, 0.5, ("0.1 the last line",))


def ended(**flags: Any) -> int:
    with pytest.raises(SystemExit) as exit_:
        run(**flags)
    code = exit_.value.code
    assert isinstance(code, int)
    return code


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({}, "give one of --seed, --seeds and --schedule"),
        ({"seed": 1, "seeds": "1-2"}, "give one of --seed, --seeds and --schedule"),
        ({"seed": 1, "steps": -1}, "--steps -1: give 0 to"),
        ({"seeds": "9-1"}, "--seeds 9-1: give up to"),
        ({"seeds": "one"}, "--seeds one: write the first and the last as 0-99"),
        ({"seeds": "1-2", "jobs": 0}, "--jobs 0: give 1 or more"),
        ({"schedule": Path("/nowhere"), "chain": True}, "a schedule says itself"),
        ({"schedule": Path("/nowhere")}, "--schedule /nowhere: cannot be read"),
    ],
)
def test_a_mistake_is_one_sentence(flags: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        run(**flags)


@pytest.mark.parametrize("flags", [{"seed": 4}, {"seeds": "4-5"}, {"seed": 5, "chain": True}])
def test_a_chain_s_run_without_the_library_for_senders_says_what_to_install(
    flags: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent() -> None:
        raise ConfigError("pip install 'tidelog[senders]'")

    monkeypatch.setattr(simulation, "require_senders", absent)
    with pytest.raises(ConfigError, match=r"tidelog\[senders\]"):
        run(**flags)


@pytest.mark.parametrize("text", ["", "{}", '{"kind":"weather","seed":1,"busy_s":1.0,"events":[]}', "[" * 5_000])
def test_a_schedule_that_is_none_is_said(tmp_path: Path, text: str) -> None:
    path = tmp_path / "schedule.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match="--schedule"):
        run(schedule=path)


@pytest.mark.parametrize(
    ("flags", "kinds"),
    [
        ({"seed": 4}, ["chain"]),
        ({"seed": 5}, ["market"]),
        ({"seed": 4, "market": True}, ["market"]),
        ({"seed": 4, "chain": True, "market": True}, ["chain", "market"]),
    ],
)
def test_the_schedule_is_printed_before_the_run(
    flags: dict[str, Any],
    kinds: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    seen: list[str] = []

    def play(schedule: plan.Schedule) -> Verdict:
        assert capsys.readouterr().out.splitlines()[-1] == plan.encode(schedule)
        seen.append(schedule.kind)
        return Verdict((), "f" * 64, 1, 1, 1, 1.0, ())

    monkeypatch.setattr(simulation, "play", play)
    assert ended(**flags) == 0
    assert seen == kinds


def test_a_broken_promise_is_printed_and_can_be_shrunk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(simulation, "play", lambda schedule: BROKEN)
    path = tmp_path / "schedule.json"
    path.write_text(plan.encode(generate(plan.CHAIN, 1, steps=5)))
    assert ended(schedule=path) == 1
    told = capsys.readouterr().out
    assert "BROKEN" in told
    assert "broken: heights are contiguous" in told
    assert "the last line" in told
    assert ended(schedule=path, shrink=True) == 1
    shrunk = capsys.readouterr().out.partition("shrunk: ")[2]
    assert plan.decode(shrunk).events == (), "nothing is needed to fail where everything fails"


def test_many_seeds_are_run_in_processes(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(seeds="0", steps=0, chain=True, jobs=1) == 0
    assert capsys.readouterr().out.startswith("1 runs, 0 broken, ")
