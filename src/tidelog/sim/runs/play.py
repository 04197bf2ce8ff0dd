"""Run one scenario: from a seed, or from a schedule that was printed before. The same one runs the same way.

One seed is the whole scenario: `generate` makes its schedule, everything else that is random comes from sources named
after the seed and the component. `shrunk` takes events away for as long as the run still fails.
"""

import gc
import os
import shutil
import tempfile
from collections.abc import Callable
from typing import Any

from msgspec import Struct

from tidelog.sim.runs.chain import ChainRun
from tidelog.sim.runs.market import MarketRun
from tidelog.sim.runs.sharding import ShardsRun
from tidelog.sim.scenario import schedule as plan
from tidelog.sim.scenario.generator import generate
from tidelog.sim.world.loop import Deadlock, Escaped, SimLoop
from tidelog.sim.world.world import World
from tidelog.telemetry import diverted_logs

__all__ = ["Verdict", "generate", "play", "shrunk"]

FOLDERS = "/dev/shm"  # in memory where there is such a place: what is durable is the simulated disk's affair  # noqa: S108


class Verdict(Struct, frozen=True):
    """What came of a run."""

    violations: tuple[str, ...]
    digest: str  # of the trace
    events: int  # lines in the trace
    steps: int
    lives: int  # programs that were started
    seconds: float  # that passed, in the simulation
    last: tuple[str, ...]  # the end of the trace

    @property
    def ok(self) -> bool:
        return not self.violations


def play(schedule: plan.Schedule) -> Verdict:
    """Run it."""
    folder = tempfile.mkdtemp(prefix="tidelog-sim-", dir=_folders())
    loop = SimLoop()  # type: ignore[abstract]  # what is left out is an error to ask for
    world = World(loop, schedule.seed, folder)
    collecting = gc.isenabled()
    gc.disable()  # when it runs depends on everything else in the process, and generators are closed by it
    try:
        with diverted_logs(lambda level, event: world.trace.add(f"log {level} {sorted(event.items())}")):
            try:
                loop.run_until_complete(_runner(schedule)(world))
            except (Deadlock, Escaped) as error:
                world.violated(f"{type(error).__name__}: {error}")
            for failure in loop.failures:
                world.violated(f"an exception that nobody took: {failure!r}")
            loop.close()
    finally:
        if collecting:
            gc.enable()
        shutil.rmtree(folder, ignore_errors=True)
    trace = world.trace
    return Verdict(
        tuple(world.violations),
        trace.hexdigest(),
        trace.count,
        loop.steps,
        len(world.processes),
        loop.time(),
        tuple(trace.last),
    )


def _runner(schedule: plan.Schedule) -> Callable[[World], Any]:
    if schedule.kind == plan.CHAIN:
        return lambda world: ChainRun(world, schedule).run()
    if schedule.shards:
        return lambda world: ShardsRun(world, schedule).run()
    return lambda world: MarketRun(world, schedule).run()


def _folders() -> str | None:
    return FOLDERS if os.path.isdir(FOLDERS) and os.access(FOLDERS, os.W_OK) else None


def shrunk(schedule: plan.Schedule, fails: Callable[[plan.Schedule], bool]) -> plan.Schedule:
    """The schedule with as few events as this finds, halves first, so that it still fails."""
    size = max(1, len(schedule.events) // 2)
    while True:
        at, before = 0, len(schedule.events)
        while at < len(schedule.events):
            smaller = plan.without(schedule, at, size)
            if fails(smaller):
                schedule = smaller
            else:
                at += size
        if size == 1 and len(schedule.events) == before:
            return schedule
        size = max(1, size // 2)
