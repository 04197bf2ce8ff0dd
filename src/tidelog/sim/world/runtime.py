"""`tidelog.runtime.Runtime` of a simulated process: virtual clocks, seeded chance, workers without threads.

What would run on a thread runs in one turn of the loop, after a delay by chance; so that what may happen between the
call and its end does happen. Time that the disk took is waited for before the answer comes.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from tidelog.runtime import Worker
from tidelog.sim.world.loop import Killed
from tidelog.sim.world.world import Process

T = TypeVar("T")

WORK_S_MAX = 0.002  # that a call waits for its thread, and its answer for the loop
COMPUTE_S_MAX = 0.01


class SimRuntime:
    """The runtime of one process."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._world = process.world
        self._sources: dict[str, random.Random] = {}

    def now(self) -> float:
        self._process.check()
        return self._world.wall_s

    def monotonic(self) -> float:
        self._process.check()
        return self._world.loop.time()

    def random(self, component: str) -> random.Random:
        self._process.check()
        if component not in self._sources:
            self._sources[component] = self._world.random(f"{self._process.name} {component}")
        return self._sources[component]

    async def sleep(self, seconds: float) -> None:
        self._process.check()
        await asyncio.sleep(seconds)
        self._process.check()

    async def compute(self, function: Callable[[], T]) -> T:
        await self.sleep(self.random("compute").random() * COMPUTE_S_MAX)
        return function()

    async def compute_apart(self, function: Callable[[], T]) -> T:
        return await self.compute(function)

    async def processes(self, calls: Sequence[Callable[[], T]]) -> list[T]:
        return [await self.compute(call) for call in calls]

    def worker(self, name: str) -> Worker:
        self._process.check()
        return SimWorker(self._process, self.random(f"worker {name}"))

    def reached(self, point: str) -> None:
        world, process = self._world, self._process
        process.check()
        world.points[point] += 1
        world.trace.add(f"reached {process.name} {point}")
        world.on_point(process, point, world.points[point])
        process.check()


class SimWorker:
    """A `Worker`: calls run one after the other, each whole once it has begun, whoever is cancelled."""

    def __init__(self, process: Process, rng: random.Random) -> None:
        self._process = process
        self._rng = rng
        self._waiting: deque[tuple[asyncio.Future[Any], Callable[[], Any]]] = deque()
        self._busy = False
        self._idle = asyncio.Event()
        self._idle.set()

    async def call(self, function: Callable[[], T]) -> T:
        self._process.check()
        loop = self._process.world.loop
        future: asyncio.Future[T] = loop.create_future()
        self._waiting.append((future, function))
        self._idle.clear()
        if not self._busy:
            self._busy = True
            loop.call_later(self._rng.random() * WORK_S_MAX, self._next)
        return await future

    def _next(self) -> None:
        """Run the oldest call that is still wanted."""
        while self._waiting and self._waiting[0][0].cancelled():
            self._waiting.popleft()
        if not self._waiting:
            self._busy = False
            self._idle.set()
            return
        future, function = self._waiting.popleft()
        result: Any = None
        failure: BaseException | None = None
        try:
            result = function()
        except Killed:
            return
        except BaseException as error:  # it belongs to the caller
            failure = error
        delay_s = self._process.world.disk.take_owed() + self._rng.random() * WORK_S_MAX
        self._process.world.loop.call_later(delay_s, self._answer, future, result, failure)

    def _answer(self, future: asyncio.Future[Any], result: Any, failure: BaseException | None) -> None:
        if not future.done():
            if failure is None:
                future.set_result(result)
            else:
                future.set_exception(failure)
        self._next()

    async def close(self) -> None:
        self._process.check()
        await self._idle.wait()
