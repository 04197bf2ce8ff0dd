"""A fair queue for long reads: a semaphore whose waiters are served round-robin by client.

A read that may be long (logs, transactions of an address, candles, a batch of calls) takes a permit, a turn, first. A
short one (a block, a transaction by its hash, a status, the tokens) takes none. There are half as many turns as readers
of the store, so that short reads always find a reader; a client with many searches delays its own.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from litestar.connection import ASGIConnection

from tidelog.api.access.clients import CLIENT
from tidelog.store import Snapshot

__all__ = ["Turns", "searching", "turn"]


class Turns:
    """A fair semaphore of `count` permits. `_waiting` has no client without a waiter; its order is the rotation's."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    @asynccontextmanager
    async def turn(self, client: str) -> AsyncIterator[None]:
        """One turn, for as long as the context lasts."""
        await self._enter(client)
        try:
            yield
        finally:
            self._leave()

    async def _enter(self, client: str) -> None:
        if self._free:
            self._free -= 1
            return
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(client, deque()).append(mine)
        try:
            await mine
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled():  # it was given the turn in the moment of its cancellation
                self._leave()
            raise

    def _leave(self) -> None:
        """Hand the turn to the oldest waiter of the next client in rotation, or free it."""
        while self._waiting:
            client = next(iter(self._waiting))
            line = self._waiting.pop(client)
            given = line.popleft()
            if line:
                self._waiting[client] = line  # behind the others
            if not given.done():
                given.set_result(None)
                return
        self._free += 1


@asynccontextmanager
async def turn(connection: ASGIConnection[Any, Any, Any, Any]) -> AsyncIterator[None]:
    """A turn of the application's, for one long read."""
    turns: Turns = connection.app.state.turns
    async with turns.turn(str(connection.scope.get(CLIENT, ""))):
        yield


@asynccontextmanager
async def searching(connection: ASGIConnection[Any, Any, Any, Any]) -> AsyncIterator[Snapshot]:
    """A snapshot of the store for one long read, once it is the client's turn."""
    async with turn(connection), connection.app.state.backend.store.snapshot() as snapshot:
        yield snapshot
