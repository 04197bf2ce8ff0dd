"""A `Runtime` for tests: time stands still but for sleeps, chance is seeded, nothing runs on another thread."""

import asyncio
import random
from collections.abc import Callable, Sequence
from itertools import count
from typing import TypeVar

from tidelog.runtime import Worker

T = TypeVar("T")

START = 1_700_000_000.0  # Unix seconds
SLEEPS_MAX = 20_000  # what sleeps more often than this will never end
_writers = count()


class InlineWorker:
    """A `Worker` that works in the caller's turn."""

    async def call(self, function: Callable[[], T]) -> T:
        await asyncio.sleep(0)
        return function()

    async def close(self) -> None:
        """There is no thread to end."""


class FakeRuntime:
    """Both clocks are `clock`; a sleep moves it at once.

    `on_sleep` is called before each sleep: a test's chance to let the world go on.
    """

    def __init__(self, *, seed: int = 0) -> None:
        self.clock = 0.0
        self.sleeps = 0
        self.on_sleep: Callable[[], None] = lambda: None
        self.points: list[str] = []  # those reached so far
        self.on_point: Callable[[str], None] = lambda point: None
        self._seed = seed

    def now(self) -> float:
        return START + self.clock

    def monotonic(self) -> float:
        return self.clock

    def random(self, component: str) -> random.Random:
        if component == "writer":  # of two runtimes too: writers with one number would be one writer
            return random.Random(next(_writers))
        return random.Random(f"{self._seed} {component}")

    async def sleep(self, seconds: float) -> None:
        self.sleeps += 1
        if self.sleeps > SLEEPS_MAX:
            raise AssertionError(f"{SLEEPS_MAX} sleeps, and no end")
        self.on_sleep()
        self.clock += seconds
        await asyncio.sleep(0)

    async def compute(self, function: Callable[[], T]) -> T:
        await asyncio.sleep(0)
        return function()

    async def compute_apart(self, function: Callable[[], T]) -> T:
        return await self.compute(function)

    async def processes(self, calls: Sequence[Callable[[], T]]) -> list[T]:
        raise AssertionError("processes are tested over the system's runtime")

    def worker(self, name: str) -> Worker:
        return InlineWorker()

    def reached(self, point: str) -> None:
        self.points.append(point)
        self.on_point(point)
