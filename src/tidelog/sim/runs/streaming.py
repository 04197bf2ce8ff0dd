"""A publisher of a simulated chain's changes, a stream, and a consumer of it: each is killed, and each goes back.

The publisher and the consumer are those of production. What the consumer makes of the changes, and what is held
against the store, is code apart.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any

import apsw
import msgspec

from tidelog.errors import Unreachable
from tidelog.sim.oracle.chain import require
from tidelog.sim.scenario import schedule as plan
from tidelog.sim.streams.server import SimStreams
from tidelog.sim.world.runtime import SimRuntime
from tidelog.sim.world.supervisor import Supervisor
from tidelog.sim.world.world import Process, Violation, World
from tidelog.store.sqlite import open_sqlite
from tidelog.stream.chain.final import FinalBlocks
from tidelog.stream.chain.messages import ChainLanguage, Change, Detail, Reset
from tidelog.stream.chain.outbox import Outbox
from tidelog.stream.consumer import consume
from tidelog.stream.durable import Kept
from tidelog.stream.port import Ends, Message, Stored
from tidelog.stream.publisher import Publisher

__all__ = ["ChangesStreaming", "FinalStreaming", "SimStreamTransport", "Streaming", "undone"]

LATENCY_S = 0.02  # each way, at most
SILENCE_S = 2.0  # of a reader, before it is told that nothing comes
POLL_S = 0.1
BATCH = 64


class Streaming(ABC):
    """The stream's server, and who uses it."""

    def __init__(self, world: World, on_end: Callable[[], None] = lambda: None, *, name: str = "") -> None:
        """`on_end` is told whenever one of its processes has ended; `name` tells its processes from another one's."""
        self._world = world
        self._on_end = on_end
        self.server = SimStreams(world.random(f"{name}streams"))
        self._publisher = Supervisor(world, f"{name}publisher", self._publish, on_end=self._ended)
        self._consumer = Supervisor(world, f"{name}consumer", self._consume, on_end=self._ended)
        self.supervisors = (self._publisher, self._consumer)

    def kill(self, why: str) -> None:
        """All of it, but the server."""
        for supervisor in self.supervisors:
            supervisor.kill(why)

    @property
    def reads_store(self) -> bool:
        """Whether a process of it has the store, or the journal, open."""
        return bool(self._publisher.lives)

    def _ended(self, process: Process, killed: bool) -> None:
        self._on_end()

    def act(self, action: plan.Action) -> object:
        """Carry out what is the stream's own; what undoes it, if that is due later."""
        server = self.server
        match action:
            case plan.StreamLoss("tail", count):
                server.lose_tail(count)
            case plan.StreamLoss("forgotten"):
                server.forget()
            case plan.StreamLoss("copied"):
                server.copy()
            case plan.StreamLoss("restored"):
                server.restore()
            case plan.StreamLoss():
                server.restart()
            case plan.StreamDown():
                server.away = True
                return lambda: setattr(server, "away", False)
            case plan.StreamSilence():
                server.silent = True
                return lambda: setattr(server, "silent", False)
            case plan.StreamDoubt(times):
                server.doubts += times
            case plan.StreamKill("publisher"):
                self._publisher.kill("crash")
            case plan.StreamKill("consumer"):
                self._consumer.kill("crash")
            case plan.StreamKill():
                self._publisher.take_over()  # a second one, beside it
        return None

    def mend(self) -> None:
        self.server.away = self.server.silent = False
        self.server.doubts = 0
        for supervisor in self.supervisors:
            supervisor.quiet_at = self._world.loop.time()

    @abstractmethod
    async def _publish(self, process: Process) -> None: ...

    @abstractmethod
    def is_level(self, connection: apsw.Connection) -> bool:
        """Whether the consumer has all that the store has."""

    @abstractmethod
    def judge(self, connection: apsw.Connection) -> None:
        """Hold the stream, and what the consumer has, against the store. Violation: a promise is broken."""

    @abstractmethod
    def _items(self, transport: "SimStreamTransport", runtime: SimRuntime) -> AsyncGenerator[Any, None]:
        """What is consumed, from where the consumer is."""

    @abstractmethod
    def _heard(self, item: Any) -> None:
        """The consumer was given this. Violation: it may not be."""

    async def _consume(self, process: Process) -> None:
        items = self._items(SimStreamTransport(self.server, process), SimRuntime(process))
        async with aclosing(items):
            async for item in items:
                try:
                    self._heard(item)
                except Violation as violation:
                    self._world.violated(str(violation))
                    return


def undone(undoings: Sequence[object]) -> object:
    """What undoes what was done to several streams; None where nothing has to be undone."""
    calls = [each for each in undoings if callable(each)]
    if not calls:
        return None

    def undo() -> None:
        for call in calls:
            call()

    return undo


class ChangesStreaming(Streaming):
    """A chain's changes."""

    def __init__(self, world: World, chain: int, detail: Detail, path: str, on_end: Callable[[], None]) -> None:
        super().__init__(world, on_end)
        self._chain = chain
        self._detail: Detail = detail
        self._path = path
        self._folded = Folded()

    def is_level(self, connection: apsw.Connection) -> bool:
        return self._folded.log == stored_log(connection, self._chain)

    def judge(self, connection: apsw.Connection) -> None:
        log = stored_log(connection, self._chain)
        require(self._folded.log == log, "whoever follows the stream ends equal to the store")
        require(self._folded.blocks == stored_blocks(connection, self._chain), "and has its blocks")
        told = Folded()
        for message in self.server.stream or []:
            told.hear(message)
        require(told.log == log, "the stream folds to the store, each change once, in order")

    async def _publish(self, process: Process) -> None:
        runtime = SimRuntime(process)
        store = await open_sqlite(f"sqlite:///{self._path}", runtime, readonly=True, vfs=process.mount.name)
        try:
            transport = SimStreamTransport(self.server, process)
            outbox = Outbox(store, runtime, self._chain, detail=self._detail)
            await Publisher(outbox, transport, runtime).run()
        finally:
            await store.close()

    def _items(self, transport: "SimStreamTransport", runtime: SimRuntime) -> AsyncGenerator[Any, None]:
        return consume(transport, runtime, ChainLanguage(self._chain), after=self._folded.place)

    def _heard(self, item: Any) -> None:
        require(isinstance(item, Change | Reset), "nothing is missing in a stream without limits")
        self._folded.take(msgspec.to_builtins(item))


class FinalStreaming(Streaming):
    """A chain's final blocks, beside its changes: what is shown as final once is so for ever."""

    def __init__(
        self, world: World, chain: int, path: str, truth: Callable[[int], str | None], on_end: Callable[[], None]
    ) -> None:
        """`truth` says the hash of a block that is final by the chain itself; None: it is not final yet."""
        super().__init__(world, on_end, name="final ")
        self._chain = chain
        self._path = path
        self._truth = truth
        self._place = "0"
        self._blocks: list[tuple[int, str]] = []

    def is_level(self, connection: apsw.Connection) -> bool:
        return self._blocks == stored_final(connection, self._chain)

    def judge(self, connection: apsw.Connection) -> None:
        final = stored_final(connection, self._chain)
        require(self._blocks == final, "whoever follows the final blocks ends equal to the store's")
        place, told = "0", list[tuple[int, str]]()
        for message in self.server.stream or []:
            require(message.headers["Tidelog-After"] == place, "each final block continues the one before")
            place = message.headers["Tidelog-Place"]
            said = msgspec.json.decode(message.payload)
            told.append((said["number"], said["hash"]))
        require(told == final, "the stream has each final block once, in order")

    async def _publish(self, process: Process) -> None:
        runtime = SimRuntime(process)
        store = await open_sqlite(f"sqlite:///{self._path}", runtime, readonly=True, vfs=process.mount.name)
        try:
            transport = SimStreamTransport(self.server, process)
            await Publisher(FinalBlocks(store, runtime, self._chain), transport, runtime).run()
        finally:
            await store.close()

    def _items(self, transport: "SimStreamTransport", runtime: SimRuntime) -> AsyncGenerator[Any, None]:
        return consume(transport, runtime, ChainLanguage(self._chain), after=self._place)

    def _heard(self, item: Any) -> None:
        require(isinstance(item, Change) and item.kind == "apply", "final blocks are applied, and nothing else")
        require(not self._blocks or item.number == self._blocks[-1][0] + 1, "final blocks come in order, each once")
        require(self._truth(item.number) == item.hash, "a block is shown as final when the chain says that it is")
        self._blocks.append((item.number, item.hash))
        self._place = item.place


class Folded:
    """What comes of messages: the changes in order, and the blocks that they leave. Written apart from the engine."""

    def __init__(self) -> None:
        self.place = "0"
        self.log: list[tuple[str, int, str]] = []  # kind, number, hash; the change with seq n at n - 1
        self.blocks: dict[int, str] = {}
        self._parts = 0

    def hear(self, message: Stored) -> None:
        """A message as the stream has it, parts apart."""
        number, _, count = message.headers["Tidelog-Part"].partition("/")
        require(message.headers["Tidelog-After"] == self.place, "each message continues the one before")
        require(int(number) in (1, self._parts + 1), "parts come in order")
        self._parts = int(number)
        if number == count:
            self._parts = 0
            self.take(msgspec.json.decode(message.payload))

    def take(self, said: dict[str, Any]) -> None:
        if said["kind"] == "reset":
            require(said["seq"] < len(self.log), "a reset undoes something")
            while len(self.log) > said["seq"]:
                self._undo(*self.log.pop())
        else:
            require(said["seq"] == len(self.log) + 1, "each change comes once, in order")
            self._do(said["kind"], said["number"], said["hash"])
            self.log.append((said["kind"], said["number"], said["hash"]))
            block, logs = said.get("block"), said.get("logs")
            if block is not None:
                require(block["hash"] == said["hash"], "a change has its own block's header")
                require(logs is None or len(logs) == block["log_count"], "a change has all logs of its block")
        self.place = said["place"]

    def _do(self, kind: str, number: int, block_hash: str) -> None:
        if kind == "apply":
            require(number not in self.blocks, "a block is applied where none is")
            self.blocks[number] = block_hash
        else:
            require(self.blocks.pop(number, None) == block_hash, "what is reverted was applied")

    def _undo(self, kind: str, number: int, block_hash: str) -> None:
        self._do("revert" if kind == "apply" else "apply", number, block_hash)


def stored_log(connection: apsw.Connection, chain: int) -> list[tuple[str, int, str]]:
    text = "SELECT kind, number, '0x' || lower(hex(hash)) FROM changes WHERE chain_id = ? ORDER BY seq"
    return list(connection.execute(text, (chain,)))


def stored_blocks(connection: apsw.Connection, chain: int) -> dict[int, str]:
    text = "SELECT number, '0x' || lower(hex(hash)) FROM blocks WHERE chain_id = ?"
    return dict(connection.execute(text, (chain,)))


def stored_final(connection: apsw.Connection, chain: int) -> list[tuple[int, str]]:
    """The store's blocks up to the one that its position says is final."""
    text: Any = connection.execute("SELECT position FROM checkpoints WHERE source = ?", (f"chain:{chain}",)).get
    final = msgspec.json.decode(text).get("finalized")
    query = "SELECT number, '0x' || lower(hex(hash)) FROM blocks WHERE chain_id = ? AND number <= ? ORDER BY number"
    return [] if final is None else list(connection.execute(query, (chain, final)))


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
