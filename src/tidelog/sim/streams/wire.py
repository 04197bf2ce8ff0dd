"""A simulated process's way to the simulated server of streams, as the port has it."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager

from tidelog.errors import Unreachable
from tidelog.sim.streams.server import SimStreams
from tidelog.sim.world.world import Process
from tidelog.stream.durable import Kept
from tidelog.stream.port import Ends, Message, Stored

__all__ = ["SimStreamTransport"]

LATENCY_S = 0.02  # each way, at most
SILENCE_S = 2.0  # of a reader, before it is told that nothing comes
POLL_S = 0.1
BATCH = 64


class SimStreamTransport:
    """`StreamTransport` of one process over the network."""

    name = "the simulated stream"

    def __init__(self, server: SimStreams, process: Process) -> None:
        self._server = server
        self._process = process

    @asynccontextmanager
    async def connect(self) -> AsyncIterator["SimStreamSession"]:
        session = SimStreamSession(self._server, self._process)
        await session.way()
        yield session


class SimStreamSession:
    """A connection to the server, until that starts again."""

    payload_max = SimStreams.payload_max

    def __init__(self, server: SimStreams, process: Process) -> None:
        self._server = server
        self._process = process
        self._rng = process.world.random(f"{process.name} stream")
        self._start = server.starts
        self._publisher: int | None = None

    async def way(self) -> None:
        """One way through the network. Unreachable where nobody is at its end any more."""
        self._process.check()
        await asyncio.sleep(self._rng.random() * LATENCY_S)
        self._process.check()
        if self._server.away or self._server.starts != self._start:
            raise Unreachable("simulated: no answer", endpoint="stream")

    async def ensure(self) -> None:
        await self.way()
        self._server.make()
        self._begin()
        await self.way()

    def _begin(self) -> int:
        if self._publisher is None:
            self._publisher = self._server.begin()
        return self._publisher

    async def ends(self) -> Ends | None:
        await self.way()
        found = self._server.ends()
        await self.way()
        return found

    async def get(self, sequence: int) -> Stored | None:
        await self.way()
        found = self._server.get(sequence)
        await self.way()
        return found

    async def since(self, at_us: int) -> int:
        raise NotImplementedError

    async def kept(self, name: str) -> Kept | None:
        await self.way()
        found = self._server.places.get(name)
        await self.way()
        return found

    async def keep(self, name: str, kept: Kept) -> int:
        await self.way()
        revision = self._server.keep(name, kept)
        await self.way()
        return revision

    async def publish(self, messages: Sequence[Message], after: int) -> int:
        await self.way()
        last = self._server.take(messages, after, self._begin())
        self._process.world.trace.add(f"published {after} {len(messages)} {last is not None}")
        await self.way()
        if last is None:
            raise Unreachable("simulated: no acknowledgement", endpoint="stream")
        return last

    async def read(self, first: int) -> AsyncGenerator[list[Stored], None]:
        await self.way()
        silent = False
        while True:
            silenced_at = self._process.world.loop.time() + SILENCE_S
            while True:
                await self.way()
                silent = silent or self._server.silent
                stream = [] if silent else self._server.given(first, BATCH)
                if stream or self._process.world.loop.time() > silenced_at:
                    break
                await asyncio.sleep(POLL_S)
            if stream:
                first = stream[-1].sequence + 1
            yield stream
