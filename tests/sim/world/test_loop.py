"""The simulated loop: time jumps, everything has its order, threads are refused, a killed domain stands still."""

import asyncio
import gc
import sys
import threading
from collections.abc import Coroutine
from contextvars import copy_context
from typing import Any

import pytest

from tidelog.sim.world.loop import DOMAIN, Deadlock, Escaped, Killed, SimLoop


@pytest.fixture
def loop() -> SimLoop:
    return SimLoop()  # type: ignore[abstract]


def spawn(loop: SimLoop, domain: int, coro: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    context = copy_context()
    context.run(DOMAIN.set, domain)
    return loop.create_task(coro, context=context)


def test_time_jumps_to_the_next_timer(loop: SimLoop) -> None:
    async def main() -> list[float]:
        moments = []
        for seconds in (3600.0, 0.0, 1e-6):
            await asyncio.sleep(seconds)
            moments.append(loop.time())
        return moments

    assert loop.run_until_complete(main()) == [3600.0, 3600.0, 3600.000001]


def test_timers_of_one_moment_fire_in_the_order_they_were_set(loop: SimLoop) -> None:
    async def main() -> list[int]:
        fired: list[int] = []
        for number in range(20):
            loop.call_at(1.0, fired.append, number)
        loop.call_at(1.0, fired.append, 99).cancel()
        await asyncio.sleep(2.0)
        return fired

    assert loop.run_until_complete(main()) == list(range(20))


def test_asyncio_works_on_it(loop: SimLoop) -> None:
    async def late() -> str:
        try:
            async with asyncio.timeout(5.0):
                await asyncio.sleep(50.0)
        except TimeoutError:
            return "late"
        return "never"

    async def main() -> list[str]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(late()) for _ in range(3)]
        queue: asyncio.Queue[str] = asyncio.Queue(1)
        await queue.put("first")
        return [task.result() for task in tasks] + [await queue.get()]

    assert loop.run_until_complete(main()) == ["late"] * 3 + ["first"]
    assert loop.time() == 5.0


def test_a_deadlock_says_who_waits(loop: SimLoop) -> None:
    async def forever() -> None:
        await asyncio.Event().wait()

    with pytest.raises(Deadlock, match=r"forever at .*test_loop\.py"):
        loop.run_until_complete(forever())
    loop.close()


def test_turning_without_waiting_is_noticed(loop: SimLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidelog.sim.world.loop.IDLE_STEPS_MAX", 1_000)

    async def busy() -> None:
        while True:  # noqa: ASYNC110 - that is what is to be noticed
            await asyncio.sleep(0)

    with pytest.raises(Deadlock, match="1001 of them at 0"):
        loop.run_until_complete(busy())
    loop.close()


def test_threads_are_refused(loop: SimLoop) -> None:
    async def main() -> None:
        with pytest.raises(Escaped, match="through Runtime"):
            await asyncio.to_thread(print)

    loop.run_until_complete(main())
    caught: list[BaseException] = []

    def outside() -> None:
        try:
            loop.call_soon_threadsafe(print)
        except Escaped as error:
            caught.append(error)

    thread = threading.Thread(target=outside)
    thread.start()
    thread.join()
    assert len(caught) == 1


def test_what_nobody_took_is_kept(loop: SimLoop) -> None:
    async def fails() -> None:
        raise ValueError("nobody looks")

    async def main() -> None:
        task = loop.create_task(fails())
        await asyncio.sleep(1.0)
        del task

    loop.run_until_complete(main())
    gc.collect()  # the task and its exception refer to each other
    assert [str(failure) for failure in loop.failures] == ["nobody looks"]


def test_a_killed_domain_takes_no_further_step(loop: SimLoop) -> None:
    steps: list[float] = []
    ends: list[str] = []

    async def program() -> None:
        try:
            while True:
                steps.append(loop.time())
                await asyncio.sleep(1.0)
        except BaseException as error:
            ends.append(type(error).__name__)
            await asyncio.sleep(1.0)  # whoever cleans up may wait for what will never come
            raise
        finally:
            ends.append("finally")

    async def main() -> None:
        task = spawn(loop, 1, program())
        await asyncio.sleep(2.5)
        loop.kill(1)
        await asyncio.sleep(10.0)
        assert (steps, ends) == ([0.0, 1.0, 2.0], []), "it stands still"
        loop.bury(1)
        assert ends == ["Killed", "finally"]
        assert not task.done()
        assert loop.waiting() == [line for line in loop.waiting() if "main" in line]

    loop.run_until_complete(main())
    assert loop.failures == []


def test_steps_are_counted_by_domain_and_can_be_where_it_dies(loop: SimLoop) -> None:
    async def program() -> None:
        for _ in range(100):
            await asyncio.sleep(0.1)

    def on_step(domain: int, step: int) -> None:
        if (domain, step) == (7, 10):
            loop.kill(7)

    async def main() -> None:
        loop.on_step = on_step
        spawn(loop, 7, program())
        await asyncio.sleep(60.0)

    loop.run_until_complete(main())
    assert loop.domain_steps[7] == 10
    loop.close()


def test_killed_is_no_exception_that_is_caught_by_accident() -> None:
    assert not issubclass(Killed, Exception)


def test_nobody_is_told_what_a_dead_process_met_when_its_things_were_collected(
    loop: SimLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[BaseException] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: told.append(unraisable.exc_value))
    before, error = sys.unraisablehook, ValueError("of one that lives")

    class Held:
        def __init__(self, error: BaseException) -> None:
            self.error = error

        def __del__(self) -> None:
            raise self.error

    async def main() -> None:
        for each in (Killed(), error):
            owner = Held(each)
            del owner

    loop.run_until_complete(main())
    assert told == [error]
    assert sys.unraisablehook is before
