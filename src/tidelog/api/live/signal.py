"""A change that is told to any number of waiters: it counts, and holds nothing for anybody."""

import asyncio

__all__ = ["Signal"]


class Signal:
    """Who waits with the `version` that it knows wakes up once there is a later one, however many there were."""

    def __init__(self) -> None:
        self.version = 0
        self._moved = asyncio.Event()  # replaced whenever it is set

    def touch(self) -> None:
        self.version += 1
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    async def beyond(self, version: int) -> None:
        """Return once something has changed since `version`."""
        while self.version <= version:
            await self._moved.wait()
