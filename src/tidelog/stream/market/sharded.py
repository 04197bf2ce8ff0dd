"""The journals of a recording's shards, each published by a publisher of its own, as they come.

A shard's journal has the order of its symbols, and numbers of runs of its own: so each is a stream. One whose shard
is not run any more is published to its end.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, NoReturn

from msgspec import Struct

__all__ = ["ShardPublishers", "ShardsLimits"]


class ShardsLimits(Struct, frozen=True):
    """How often it is looked for journals."""

    look_s: float = 2.0


LIMITS = ShardsLimits()


class ShardPublishers:
    """Publishes all journals that there are.

    Args:
        journals: those that can be read now, by the numbers of their shards.
        publish: publishes that of a shard until it is cancelled.
    """

    def __init__(
        self,
        journals: Callable[[], Mapping[int, str]],
        publish: Callable[[int, str], Coroutine[Any, Any, None]],
        limits: ShardsLimits = LIMITS,
    ) -> None:
        self._journals = journals
        self._publish = publish
        self._limits = limits

    async def run(self) -> NoReturn:
        """Publish until it is cancelled. Raises what the first publisher raises that fails; the others end then."""
        running: dict[int, asyncio.Task[None]] = {}
        try:
            while True:
                for number, path in (await asyncio.to_thread(self._journals)).items():
                    if number not in running:
                        running[number] = asyncio.create_task(self._publish(number, path), name=f"shard {number}")
                if not running:
                    await asyncio.sleep(self._limits.look_s)
                    continue
                done, _ = await asyncio.wait(
                    running.values(), timeout=self._limits.look_s, return_when=asyncio.FIRST_COMPLETED
                )
                for task in done:
                    task.result()
        finally:
            for task in running.values():
                task.cancel()
            await asyncio.gather(*running.values(), return_exceptions=True)
