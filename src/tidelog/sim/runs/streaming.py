"""A publisher of a simulated chain's changes, a stream, and a consumer of it: each is killed, and each goes back.

The publisher and the consumer are those of production. What the consumer makes of the changes, and what is held
against the store, is code apart.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from typing import Any

import apsw
import msgspec

from tidelog.sim.oracle.chain import require
from tidelog.sim.runs.engines import engine_of
from tidelog.sim.scenario import schedule as plan
from tidelog.sim.scenario.harness import until
from tidelog.sim.world.runtime import SimRuntime
from tidelog.sim.world.supervisor import Supervisor
from tidelog.sim.world.world import Process, Violation, World
from tidelog.store import Store
from tidelog.store.sqlite import open_sqlite
from tidelog.stream.backlog import Backlog
from tidelog.stream.chain.final import FinalBlocks
from tidelog.stream.chain.messages import ChainLanguage, Change, Detail, Reset, changes_subject, final_subject
from tidelog.stream.chain.outbox import Outbox
from tidelog.stream.consumer import consume
from tidelog.stream.port import Stored, StreamTransport
from tidelog.telemetry import StreamFigures

__all__ = ["STREAMED_S", "ChangesStreaming", "FinalStreaming", "Streaming", "all_published", "undone"]

STREAMED_S = 120.0  # in which streams get all that is stored
TOLD_S = 30.0  # in which their publishers say so: they look every few seconds


class Streaming(ABC):
    """What keeps the messages, and who publishes and follows them."""

    def __init__(self, world: World, engine: str, on_end: Callable[[], None] = lambda: None, *, name: str = "") -> None:
        """`on_end` is told whenever one of its processes has ended; `name` tells its processes from another one's."""
        self._world = world
        self._on_end = on_end
        self._figures: dict[Process, StreamFigures] = {}  # of publishers that live
        self._publisher = Supervisor(world, f"{name}publisher", self._publish, on_end=self._ended)
        self.engine = engine_of(engine, world, name, self._publisher)
        self.supervisors: tuple[Supervisor, ...] = (self._publisher,)
        self._consumer: Supervisor | None = None
        if self.engine.is_read:
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
        self._figures.pop(process, None)
        self._on_end()

    def act(self, action: plan.Action) -> object:
        """Carry out what is the stream's own; what undoes it, if that is due later."""
        match action:
            case plan.StreamKill("publisher"):
                self._publisher.kill("crash")
            case plan.StreamKill("consumer"):
                if self._consumer is not None:
                    self._consumer.kill("crash")
            case plan.StreamKill():
                self._publisher.take_over()  # a second one, beside it
            case _:
                return self.engine.act(action)
        return None

    def mend(self) -> None:
        self.engine.mend()
        for supervisor in self.supervisors:
            supervisor.quiet_at = self._world.loop.time()

    def is_level(self, connection: apsw.Connection) -> bool:
        """Whether whoever is told has all that the store has."""
        if self._consumer is not None:
            return self._has_all(connection)
        try:
            self._judge_told(connection)
        except Violation:
            return False
        return True

    def is_told_level(self) -> bool:
        """Whether each publisher says that nothing is missing in the stream, and one does."""
        return bool(self._figures) and not any(each.lag or each.lag_s for each in self._figures.values())

    def judge(self, connection: apsw.Connection) -> None:
        """Hold the stream, and what the consumer has, against the store. Violation: a promise is broken."""
        if self._consumer is not None:
            self._judge_consumed(connection)
        self._judge_told(connection)

    @property
    def _told(self) -> Sequence[Stored]:
        return self.engine.stream

    @property
    @abstractmethod
    def _subject(self) -> str:
        """What the messages' subjects begin with."""

    @abstractmethod
    def _backlog(
        self, process: Process, runtime: SimRuntime, figures: StreamFigures
    ) -> AbstractAsyncContextManager[Backlog]:
        """What is published."""

    @abstractmethod
    def _has_all(self, connection: apsw.Connection) -> bool:
        """Whether the consumer has all that the store has."""

    @abstractmethod
    def _judge_consumed(self, connection: apsw.Connection) -> None:
        """Hold what the consumer has against the store."""

    @abstractmethod
    def _judge_told(self, connection: apsw.Connection) -> None:
        """Hold the stream by itself against the store."""

    @abstractmethod
    def _items(self, transport: StreamTransport, runtime: SimRuntime) -> AsyncGenerator[Any, None]:
        """What is consumed, from where the consumer is."""

    @abstractmethod
    def _heard(self, item: Any) -> None:
        """The consumer was given this. Violation: it may not be."""

    async def _publish(self, process: Process) -> None:
        runtime = SimRuntime(process)
        figures = self._figures[process] = StreamFigures()
        async with self._backlog(process, runtime, figures) as backlog:
            await self.engine.publish(backlog, process, runtime, figures)

    async def _consume(self, process: Process) -> None:
        items = self._items(self.engine.transport(process), SimRuntime(process))
        async with aclosing(items):
            async for item in items:
                try:
                    self._heard(item)
                except Violation as violation:
                    self._world.violated(str(violation))
                    return


async def all_published(world: World, streams: Sequence[Streaming], connection: apsw.Connection, wanted: str) -> None:
    """Streams, and who follows them, get all that the store has, and their publishers say so; else it is a violation.

    Args:
        wanted: the promise that they get it.
    """
    if not await until(world, lambda: all(each.is_level(connection) for each in streams), STREAMED_S):
        world.violated(wanted)
        return
    try:
        for streaming in streams:
            streaming.judge(connection)
    except Violation as violation:
        world.violated(str(violation))
        return
    if not await until(world, lambda: all(each.is_told_level() for each in streams), TOLD_S):
        world.violated("the publisher of a stream that has all says that nothing is missing")


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

    def __init__(
        self, world: World, engine: str, chain: int, detail: Detail, path: str, on_end: Callable[[], None]
    ) -> None:
        self._chain = chain
        super().__init__(world, engine, on_end)
        self._detail: Detail = detail
        self._path = path
        self._folded = Folded()

    @property
    def _subject(self) -> str:
        return changes_subject(self._chain)

    @asynccontextmanager
    async def _backlog(self, process: Process, runtime: SimRuntime, figures: StreamFigures) -> AsyncIterator[Backlog]:
        async with _store(self._path, process, runtime) as store:
            yield Outbox(store, runtime, self._chain, detail=self._detail, metrics=figures)

    def _has_all(self, connection: apsw.Connection) -> bool:
        return self._folded.log == stored_log(connection, self._chain)

    def _judge_consumed(self, connection: apsw.Connection) -> None:
        log = stored_log(connection, self._chain)
        require(self._folded.log == log, "whoever follows the stream ends equal to the store")
        require(self._folded.blocks == stored_blocks(connection, self._chain), "and has its blocks")

    def _judge_told(self, connection: apsw.Connection) -> None:
        told = Folded()
        for message in self._told:
            told.hear(message)
        log = stored_log(connection, self._chain)
        require(told.log == log, "the stream folds to the store, each change once, in order")

    def _items(self, transport: StreamTransport, runtime: SimRuntime) -> AsyncGenerator[Any, None]:
        return consume(transport, runtime, ChainLanguage(self._chain), after=self._folded.place)

    def _heard(self, item: Any) -> None:
        require(isinstance(item, Change | Reset), "nothing is missing in a stream without limits")
        self._folded.take(msgspec.to_builtins(item))


class FinalStreaming(Streaming):
    """A chain's final blocks, beside its changes: what is shown as final once is so for ever."""

    def __init__(
        self,
        world: World,
        engine: str,
        chain: int,
        path: str,
        truth: Callable[[int], str | None],
        on_end: Callable[[], None],
    ) -> None:
        """`truth` says the hash of a block that is final by the chain itself; None: it is not final yet."""
        self._chain = chain
        super().__init__(world, engine, on_end, name="final ")
        self._path = path
        self._truth = truth
        self._place = "0"
        self._blocks: list[tuple[int, str]] = []

    @property
    def _subject(self) -> str:
        return final_subject(self._chain)

    @asynccontextmanager
    async def _backlog(self, process: Process, runtime: SimRuntime, figures: StreamFigures) -> AsyncIterator[Backlog]:
        async with _store(self._path, process, runtime) as store:
            yield FinalBlocks(store, runtime, self._chain, metrics=figures)

    def _has_all(self, connection: apsw.Connection) -> bool:
        return self._blocks == stored_final(connection, self._chain)

    def _judge_consumed(self, connection: apsw.Connection) -> None:
        final = stored_final(connection, self._chain)
        require(self._blocks == final, "whoever follows the final blocks ends equal to the store's")

    def _judge_told(self, connection: apsw.Connection) -> None:
        place, told = "0", list[tuple[int, str]]()
        for message in self._told:
            require(message.headers["Tidelog-After"] == place, "each final block continues the one before")
            place = message.headers["Tidelog-Place"]
            said = msgspec.json.decode(message.payload)
            told.append((said["number"], said["hash"]))
        require(told == stored_final(connection, self._chain), "the stream has each final block once, in order")

    def _items(self, transport: StreamTransport, runtime: SimRuntime) -> AsyncGenerator[Any, None]:
        return consume(transport, runtime, ChainLanguage(self._chain), after=self._place)

    def _heard(self, item: Any) -> None:
        require(isinstance(item, Change) and item.kind == "apply", "final blocks are applied, and nothing else")
        require(not self._blocks or item.number == self._blocks[-1][0] + 1, "final blocks come in order, each once")
        require(self._truth(item.number) == item.hash, "a block is shown as final when the chain says that it is")
        self._blocks.append((item.number, item.hash))
        self._place = item.place


@asynccontextmanager
async def _store(path: str, process: Process, runtime: SimRuntime) -> AsyncIterator[Store]:
    store = await open_sqlite(f"sqlite:///{path}", runtime, readonly=True, vfs=process.mount.name)
    try:
        yield store
    finally:
        await store.close()


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
