"""What surrounds the simulated processes: time, chance, a disk, and the points of the code at which things happen.

The world runs in domain 0 of the loop; each process has a domain of its own, and is started, killed and buried from
here. Peers belong to the world: they live on when a process dies.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from typing import Any

from tidelog.errors import TidelogError
from tidelog.sim.world.disk import Disk, Mount
from tidelog.sim.world.loop import DOMAIN, Killed, SimLoop
from tidelog.sim.world.trace import Trace

START_S = 1_700_000_000.0  # Unix time at which every simulation begins


class Violation(AssertionError):
    """A promise of tidelog's is broken."""


class World:
    """One simulation. `violations` are gathered as they are found: the first is what the run is about."""

    def __init__(self, loop: SimLoop, seed: int, folder: str) -> None:
        self.loop = loop
        self.seed = seed
        self.trace = Trace(loop.time, folder)
        self.disk = Disk(folder, self.random("disk"))
        self.skew_s = 0.0  # of the wall clock: it jumps, the monotonic one does not
        self._shown_s = [START_S]  # what the wall clock has shown before and after each jump
        self.points: Counter[str] = Counter()  # how often each was reached, by any process
        self.on_point: Callable[[Process, str, int], None] = lambda process, name, nth: None
        self.on_step: Callable[[Process, int], None] = lambda process, step: None
        self.violations: list[str] = []
        self.processes: dict[int, Process] = {}
        loop.on_step = self._stepped

    def random(self, component: str) -> random.Random:
        return random.Random(f"{self.seed} {component}")

    @property
    def wall_s(self) -> float:
        """Unix time, as the wall clock shows it."""
        return START_S + self.loop.time() + self.skew_s

    @property
    def clock_ms(self) -> tuple[int, int]:
        """The lowest and the highest time that the wall clock has shown, as Unix time in milliseconds."""
        shown = [*self._shown_s, self.wall_s]
        return int(min(shown) * 1000), int(max(shown) * 1000)

    def jump(self, seconds: float) -> None:
        """Let the wall clock jump."""
        self._shown_s.append(self.wall_s)
        self.skew_s += seconds
        self._shown_s.append(self.wall_s)

    def violated(self, text: str) -> None:
        self.trace.add(f"violation {text}")
        self.violations.append(text)

    def _stepped(self, domain: int, step: int) -> None:
        process = self.processes.get(domain)
        if process is not None:
            self.on_step(process, step)


class Process:
    """One life of a program, from its start to its end or its death."""

    def __init__(self, world: World, program: str) -> None:
        self.world = world
        self.domain = len(world.processes) + 1
        self.name = f"{program}.{self.domain}"
        self.dead = False
        self.mount = Mount(world.disk, self.check)
        self.mount.touched = self._touched
        self._ended: asyncio.Future[BaseException | None] = world.loop.create_future()
        world.processes[self.domain] = self

    def check(self) -> None:
        """Raise where the process is dead: every port asks."""
        if self.dead:
            raise Killed

    def _touched(self, point: str) -> None:
        """A write or a sync is about to be done: too many to be in the trace."""
        self.world.points[point] += 1
        self.world.on_point(self, point, self.world.points[point])
        self.check()

    def spawn(self, coro: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """Another task of this process."""
        context = copy_context()
        context.run(DOMAIN.set, self.domain)
        return self.world.loop.create_task(coro, context=context)

    async def run(self, main: Callable[["Process"], Coroutine[Any, Any, None]]) -> BaseException | None:
        """Live; None after an end in order, `Killed` after a death, else the error that ended it."""
        self.world.trace.add(f"start {self.name}")
        task = self.spawn(main(self))
        task.add_done_callback(self._done)
        failure = await self._ended
        self.world.trace.add(f"end {self.name} {describe(failure)}")
        self.clean_up()
        return failure

    @property
    def alive(self) -> bool:
        return not (self.dead or self._ended.done())

    def _done(self, task: asyncio.Task[None]) -> None:
        if not self._ended.done():
            self._ended.set_result(asyncio.CancelledError() if task.cancelled() else task.exception())

    def kill(self, why: str) -> None:
        """End at once. Where the process's own code is running, the caller raises `Killed` next."""
        if not self.alive:
            return
        self.dead = True
        self.world.trace.add(f"kill {self.name} {why}")
        self.world.loop.kill(self.domain)
        self._ended.set_result(Killed())

    def clean_up(self) -> None:
        """What the operating system does for a process that has ended."""
        self.dead = self.mount.ended = True
        self.world.loop.kill(self.domain)
        self.world.loop.bury(self.domain)
        self.mount.close_connections()
        self.mount.unregister()


def describe(failure: BaseException | None) -> str:
    """An ending in words that are equal in every run."""
    if failure is None:
        return "in order"
    return f"{type(failure).__name__}: {failure}" if isinstance(failure, TidelogError) else type(failure).__name__
