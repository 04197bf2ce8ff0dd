"""Run a coroutine in virtual time: deadlines and pauses of the code under test pass at once, and in order."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from tests.runtime import FakeRuntime
from tidelog.sim.world.loop import SimLoop

T = TypeVar("T")


class VirtualRuntime(FakeRuntime):
    """Its clocks are the loop's: sleeps and time-outs agree on what time it is."""

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    def now(self) -> float:
        return 1_700_000_000.0 + self.monotonic()

    async def sleep(self, seconds: float) -> None:
        self.on_sleep()
        await asyncio.sleep(seconds)


def virtually(main: Coroutine[Any, Any, T]) -> T:
    """The coroutine's result. An error that a task left behind, or a wait that nothing ends, is one of the test."""
    loop = SimLoop()  # type: ignore[abstract]  # what is left out is an error to ask for
    try:
        result = loop.run_until_complete(main)
        assert not loop.failures, loop.failures
        return result
    finally:
        loop.close()
