"""Simulated processes: what they leave behind, how they end, and what their runtime gives them."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from tidelog.errors import Full
from tidelog.sim.world.loop import Killed, SimLoop
from tidelog.sim.world.runtime import SimRuntime
from tidelog.sim.world.world import START_S, Process, World, describe


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    loop = SimLoop()  # type: ignore[abstract]
    yield World(loop, 7, str(tmp_path))
    loop.close()


def lived(world: World, main: Callable[[Process], Awaitable[None]]) -> BaseException | None:
    async def run() -> BaseException | None:
        async def whole(process: Process) -> None:
            await main(process)

        return await Process(world, "program").run(whole)

    return world.loop.run_until_complete(run())


def test_an_end_in_order_an_error_and_a_death(world: World) -> None:
    async def orderly(process: Process) -> None:
        await asyncio.sleep(1.0)

    async def failing(process: Process) -> None:
        raise Full("no room")

    async def dying(process: Process) -> None:
        world.loop.call_later(2.0, process.kill, "test")
        await asyncio.sleep(0)
        SimRuntime(process).reached("a.point")

    world.on_point = lambda process, name, nth: process.kill("test")
    ends = [lived(world, main) for main in (orderly, failing, dying)]
    assert [describe(end) for end in ends] == ["in order", "Full: no room", "Killed"]
    assert list(world.trace.last)[-2].endswith("kill program.3 test")


def test_a_dead_process_is_refused_by_its_runtime(world: World) -> None:
    runtimes: list[SimRuntime] = []

    async def main(process: Process) -> None:
        runtimes.append(SimRuntime(process))

    lived(world, main)
    (runtime,) = runtimes
    for call in (runtime.now, runtime.monotonic, lambda: runtime.random("x"), lambda: runtime.worker("x")):
        with pytest.raises(Killed):
            call()


def test_only_the_wall_clock_jumps(world: World) -> None:
    async def main(process: Process) -> None:
        runtime = SimRuntime(process)
        await runtime.sleep(5.0)
        world.skew_s = -3600.0
        assert (runtime.now(), runtime.monotonic()) == (START_S + 5.0 - 3600.0, 5.0)

    assert lived(world, main) is None


def test_each_component_and_each_life_has_its_own_chance(world: World) -> None:
    drawn: list[float] = []

    async def main(process: Process) -> None:
        runtime = SimRuntime(process)
        drawn.extend(runtime.random(name).random() for name in ("a", "b", "a"))

    lived(world, main)
    lived(world, main)
    assert len(set(drawn)) == 6
    assert drawn[0] == random.Random("7 program.1 a").random()


def test_a_worker_runs_its_calls_in_order_and_each_to_its_end(world: World) -> None:
    done: list[int] = []

    async def main(process: Process) -> None:
        worker = SimRuntime(process).worker("w")
        calls = [asyncio.ensure_future(worker.call(lambda n=number: done.append(n))) for number in range(5)]  # type: ignore[misc]
        await asyncio.sleep(0)
        calls[3].cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        with pytest.raises(ZeroDivisionError):
            await worker.call(lambda: 1 // 0)
        await worker.close()

    assert lived(world, main) is None
    assert done == [0, 1, 2, 4], "who gave up before it had begun is left out"


def test_the_disks_time_is_waited_for(world: World) -> None:
    async def main(process: Process) -> None:
        worker = SimRuntime(process).worker("w")

        def write() -> None:
            world.disk.owed_s += 9.0

        await worker.call(write)
        assert 9.0 <= world.loop.time() < 9.1

    assert lived(world, main) is None
