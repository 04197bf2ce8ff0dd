"""What both kinds of scenario share: programs, faults and the rest of the world continue until the script ends."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from tidelog.sim.scenario.faults import Faults
from tidelog.sim.world.disk import Mount
from tidelog.sim.world.supervisor import Supervisor
from tidelog.sim.world.world import World

__all__ = ["run_script", "until"]

LOOK_S = 0.5  # between looks at what is waited for


async def run_script(
    world: World,
    faults: Faults,
    supervisors: Sequence[Supervisor],
    observer: Mount,
    beside: Coroutine[Any, Any, None],
    script: Coroutine[Any, Any, None],
) -> None:
    """Run `script` to its end while the faults come and `beside` goes on; then end the programs and the observer."""
    world.on_step = faults.on_step
    tasks = [asyncio.create_task(task) for task in (beside, faults.play())]
    try:
        await script
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for supervisor in supervisors:
            await supervisor.close()
        observer.close_connections()
        observer.unregister()


async def until(world: World, condition: Callable[[], bool], seconds: float) -> bool:
    """Whether it comes to hold within so many simulated seconds; False also once a promise is broken."""
    deadline = world.loop.time() + seconds
    while world.loop.time() < deadline and not world.violations:
        if condition():
            return True
        await asyncio.sleep(LOOK_S)
    return False
