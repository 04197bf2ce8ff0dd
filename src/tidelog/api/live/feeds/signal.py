"""A change notification for any number of waiters: a version counter, without a queue."""

import asyncio

__all__ = ["Signal"]


class Signal:
    """A waiter passes the `version` that it has seen, and wakes up once there is a later one."""

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
