"""Starts a program again whenever it ends, and judges how it ends.

Whoever runs a scenario gives the program's `main` and is told of each end. A program may end by one of tidelog's
errors while things go wrong; it may never end by another exception, nor contradict itself.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from tidelog.errors import Corruption, Fenced, TidelogError
from tidelog.sim.world.loop import Killed
from tidelog.sim.world.world import Process, World, describe

RESTART_S = 1.0  # before a program that has ended is started again
CALM_S = 120.0  # of the quiet phase in which a program may still end, by what it met before


class Supervisor:
    """One program of a scenario."""

    def __init__(
        self,
        world: World,
        name: str,
        main: Callable[[Process], Coroutine[Any, Any, None]],
        *,
        on_end: Callable[[Process, bool], None],
    ) -> None:
        """`on_end` is told of each process that has ended, and whether it was killed."""
        self.lives: list[Process] = []  # those that run, the oldest first
        self.quiet_at: float | None = None
        self._world = world
        self._name = name
        self._main = main
        self._on_end = on_end
        self._taken_over = self._over = False
        self._tasks = [asyncio.create_task(self._live())]

    async def _live(self) -> None:
        """Start the program whenever it does not run."""
        while not self._over:
            if not any(process.alive for process in self.lives):
                await self._one_life()
            await asyncio.sleep(RESTART_S)

    async def _one_life(self) -> None:
        process = Process(self._world, self._name)
        self.lives.append(process)
        failure = await process.run(self._main)
        self.lives.remove(process)
        self._on_end(process, isinstance(failure, Killed))
        if failure is None or isinstance(failure, Killed):
            return
        if isinstance(failure, Corruption) or not isinstance(failure, TidelogError):
            self._world.violated(f"the program ended by {describe(failure)} {failure!r}")
        elif isinstance(failure, Fenced) and not self._taken_over:
            self._world.violated("the program was fenced, and nobody had taken over")
        elif self.quiet_at is not None and self._world.loop.time() > self.quiet_at + CALM_S:
            self._world.violated(f"without faults the program ended by {describe(failure)}")

    def take_over(self) -> None:
        """Start the program beside itself."""
        self._taken_over = True
        self._tasks.append(asyncio.create_task(self._one_life()))

    def may_be_fenced(self) -> None:
        """Somebody may be taken for its successor."""
        self._taken_over = True

    def kill(self, why: str) -> None:
        for process in self.lives[:]:
            process.kill(why)

    def no_more(self) -> None:
        """Do not start it again."""
        self._over = True

    async def close(self) -> None:
        """End whatever still runs. What the supervisor itself met is raised."""
        self._over = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for process in self.lives:
            process.kill("the end")
            process.clean_up()
        for task in self._tasks:
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error
