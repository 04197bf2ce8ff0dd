"""The engine in a simulated world: a fixed set of seeds, in which every promise has to hold, and the proof that one
seed is one run. `tidelog sim run --seeds 0-999` is the long search."""

import os
import subprocess
import sys

import pytest

from tests.chain.native import needs_core, use_python
from tests.patience import HANGS_S
from tidelog.sim.exchange import FAULTS, ODD_MARKETS
from tidelog.sim.node.lies import LIES
from tidelog.sim.node.limits import PLANS
from tidelog.sim.runs.play import generate, play, shrunk
from tidelog.sim.scenario import schedule as plan
from tidelog.sim.scenario.generator import MARKET_LEFT_OUT

CHAIN_SEEDS = range(5)
CONTRACT_SEEDS = range(3)
SELECTION_SEEDS = (2, 4, 6)  # the last on a chain whose blooms say nothing
ASKED_SEEDS = (13, 14)  # in which endpoints hide that pools are created
UNTAGGED_SEEDS = (0, 5)  # in the second a reorg's dropped blocks are given for their numbers until they would be final
STREAM_SEEDS = range(2)  # of each engine
RECORDING_STREAM_SEEDS = (0, 2)  # short ones
SHARD_SEEDS = range(3)
MARKET_SEEDS = range(3)
MARKET_BOTH_PATHS = (0, 2)  # short ones, as are these
BOTH_PATHS = (0, 8)
REMOVES_A_CONTRACT = 44  # of a selection, whose stored blocks are read again for that
SAME = 3  # the seed that is run twice
LOSES_A_JOURNAL = 57  # and begins another one, which needs an id


@pytest.mark.parametrize("seed", CHAIN_SEEDS)
def test_a_chain(seed: int) -> None:
    verdict = play(generate(plan.CHAIN, seed))
    assert verdict.ok, verdict.violations


@pytest.mark.parametrize("seed", CONTRACT_SEEDS)
def test_a_chain_whose_contracts_have_tables(seed: int) -> None:
    verdict = play(generate(plan.CHAIN, seed, contracts=True))
    assert verdict.ok, verdict.violations


@pytest.mark.parametrize("seed", SELECTION_SEEDS)
def test_a_selection_of_a_chain(seed: int) -> None:
    verdict = play(generate(plan.CHAIN, seed, selection=True))
    assert verdict.ok, verdict.violations


@pytest.mark.parametrize("seed", ASKED_SEEDS)
def test_a_chain_whose_history_is_asked_and_then_proven(seed: int) -> None:
    verdict = play(generate(plan.CHAIN, seed, asked=True))
    assert verdict.ok, verdict.violations


@pytest.mark.parametrize("seed", UNTAGGED_SEEDS)
def test_a_chain_whose_nodes_have_no_tag_for_what_is_final(seed: int) -> None:
    verdict = play(generate(plan.CHAIN, seed, untagged=True))
    assert verdict.ok, verdict.violations


@pytest.mark.each_choice
@pytest.mark.parametrize("engine", plan.ENGINES)
@pytest.mark.parametrize("seed", STREAM_SEEDS)
def test_a_chain_whose_changes_are_published(seed: int, engine: str) -> None:
    verdict = play(generate(plan.CHAIN, seed, engine=engine))
    assert verdict.ok, verdict.violations


@pytest.mark.each_choice
@pytest.mark.parametrize("engine", plan.ENGINES)
@pytest.mark.parametrize("seed", RECORDING_STREAM_SEEDS)
def test_a_recording_that_is_published(seed: int, engine: str) -> None:
    verdict = play(generate(plan.MARKET, seed, engine=engine))
    assert verdict.ok, verdict.violations


@pytest.mark.parametrize("seed", SHARD_SEEDS)
def test_a_recording_of_several_programs(seed: int) -> None:
    verdict = play(generate(plan.MARKET, seed, shards=True))
    assert verdict.ok, verdict.violations


@pytest.mark.parametrize("seed", MARKET_SEEDS)
def test_a_recording(seed: int) -> None:
    verdict = play(generate(plan.MARKET, seed))
    assert verdict.ok, verdict.violations


def test_the_same_seed_takes_the_same_steps_in_another_process() -> None:
    command = [sys.executable, "-m", "tidelog", "sim", "run", "--seed", str(SAME), "--chain", "--market"]
    environment = os.environ | {"PYTHONHASHSEED": "99"}  # the order of sets is another there
    there = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=HANGS_S, check=True).stdout
    lines = there.splitlines()
    for kind, printed, told in [(plan.CHAIN, lines[0], lines[1]), (plan.MARKET, lines[2], lines[3])]:
        assert printed == plan.encode(generate(kind, SAME)), "the schedule stands before the run"
        here = play(generate(kind, SAME))
        assert f"trace {here.digest[:32]}, {here.steps} steps" in told


@needs_core
@pytest.mark.parametrize("seed", MARKET_BOTH_PATHS)
def test_a_recording_takes_the_same_steps_by_the_core_and_in_python(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    by_core = play(generate(plan.MARKET, seed))
    use_python(monkeypatch)
    in_python = play(generate(plan.MARKET, seed))
    assert in_python.ok
    assert by_core == in_python


@needs_core
@pytest.mark.parametrize(("seed", "selection"), [*((seed, False) for seed in BOTH_PATHS), (REMOVES_A_CONTRACT, True)])
def test_a_chain_takes_the_same_steps_by_the_core_and_in_python(
    seed: int, selection: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_core = play(generate(plan.CHAIN, seed, selection=selection))
    use_python(monkeypatch)
    in_python = play(generate(plan.CHAIN, seed, selection=selection))
    assert in_python.ok
    assert by_core == in_python


def test_a_run_whose_journal_is_lost_takes_the_same_steps_again() -> None:
    schedule = generate(plan.MARKET, LOSES_A_JOURNAL)
    assert any(isinstance(event.do, plan.LoseJournal) for event in schedule.events)
    assert play(schedule).digest == play(schedule).digest


def test_another_seed_is_another_run() -> None:
    assert play(generate(plan.CHAIN, 1, steps=0)).digest != play(generate(plan.CHAIN, 2, steps=0)).digest


@pytest.mark.parametrize("kind", [plan.CHAIN, plan.MARKET])
def test_a_schedule_is_data(kind: str) -> None:
    for seed in range(50):
        schedule = generate(kind, seed)
        assert plan.decode(plan.encode(schedule)) == schedule
        assert generate(kind, seed) == schedule


def test_every_fault_is_drawn() -> None:
    """All that an exchange can do, but for what is left out by name."""
    drawn_faults = {
        event.do.name
        for seed in range(400)
        for event in generate(plan.MARKET, seed).events
        if isinstance(event.do, plan.Fault)
    }
    assert drawn_faults == FAULTS.keys() - MARKET_LEFT_OUT


def test_every_odd_market_is_drawn() -> None:
    assert {name for seed in range(400) for name in generate(plan.MARKET, seed).odd_markets} == ODD_MARKETS.keys()


def test_every_lie_is_drawn() -> None:
    drawn_lies = {
        event.do.name
        for seed in range(400)
        for asked in (False, True)
        for event in generate(plan.CHAIN, seed, asked=asked).events
        if isinstance(event.do, plan.Lie)
    }
    assert drawn_lies == LIES.keys()


def test_every_plan_of_a_provider_is_drawn_and_so_is_trouble() -> None:
    schedules = [generate(plan.CHAIN, seed) for seed in range(400)]
    assert {schedule.limits for schedule in schedules} == PLANS.keys() | {""}
    assert {schedule.troubled for schedule in schedules} == {True, False}


def test_shrinking_keeps_what_it_takes_to_fail() -> None:
    schedule = generate(plan.CHAIN, 5, steps=12)
    culprits = {schedule.events[3], schedule.events[9]}
    smaller = shrunk(schedule, lambda tried: culprits <= set(tried.events))
    assert set(smaller.events) == culprits
