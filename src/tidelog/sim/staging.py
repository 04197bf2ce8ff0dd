"""What both kinds of scenario share: the programs, the faults and the rest of the world go on until the script ends."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

from tidelog.sim.disk import Mount
from tidelog.sim.faults import Faults
from tidelog.sim.keeper import Keeper
from tidelog.sim.world import World

__all__ = ["staged"]


async def staged(
    world: World,
    faults: Faults,
    keepers: Sequence[Keeper],
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
        for keeper in keepers:
            await keeper.close()
        observer.close_connections()
        observer.unregister()
