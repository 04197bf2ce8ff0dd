"""A reader by name, whose place the server keeps: it goes on where its last turn ended, on whichever machine.

What is kept is a place, as messages have it, and not a number of the stream's: a stream that went back, or was filled
again, may give its numbers to other messages. So a reader goes on by `seq` whatever became of the stream. A turn ends
when the next item is asked for. One whose end is not kept yet when the reader is killed comes again.
"""

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, aclosing, suppress
from datetime import datetime
from typing import Protocol, TypeVar

from msgspec import Struct

from tidelog.backoff import delays
from tidelog.errors import ConfigError, Unreachable
from tidelog.runtime import Runtime
from tidelog.stream.consumer import LIMITS, ConsumerLimits, consume
from tidelog.stream.envelope import Language
from tidelog.stream.port import Moved, StreamSession, StreamTransport
from tidelog.telemetry import logger

__all__ = ["DurableLimits", "DurableSession", "DurableTransport", "Kept", "consume_durably"]

NAME_MAX = 64
_NAME = re.compile(rf"[A-Za-z0-9_-]{{1,{NAME_MAX}}}")

_log = logger("stream")


class Kept(Struct, frozen=True):
    """What a server keeps of a reader. Whoever puts another one names the revision that it replaces."""

    place: str  # behind the last item whose turn has ended; empty: none has
    reader: str  # the process that put it there: a number that it drew
    revision: int = 0


class DurableSession(StreamSession, Protocol):
    """A connection to an engine that keeps readers' places beside a stream."""

    async def kept(self, name: str) -> Kept | None:
        """What is kept of the reader of this name; None: nothing."""
        ...

    async def keep(self, name: str, kept: Kept) -> int:
        """Keep it in the place of the revision that it names, 0 for none; its own revision, which is higher.

        Raises:
            Moved: another one is kept.
        """
        ...


class DurableTransport(StreamTransport, Protocol):
    """Connects to such an engine."""

    def connect(self) -> AbstractAsyncContextManager[DurableSession]:
        """See `StreamTransport`."""
        ...


class DurableLimits(Struct, frozen=True):
    """How long a reader that ends tries to have its place kept."""

    end_s: float = 5.0


DURABLE_LIMITS = DurableLimits()


class Item(Protocol):
    """What a stream says, with the place behind it."""

    @property
    def place(self) -> str: ...


T = TypeVar("T", bound=Item)


async def consume_durably(
    transport: DurableTransport,
    runtime: Runtime,
    language: Language[T],
    name: str,
    *,
    after: str | datetime = "0",
    limits: ConsumerLimits = LIMITS,
    durable_limits: DurableLimits = DURABLE_LIMITS,
) -> AsyncGenerator[T, None]:
    """As `consume`, from the place on that the server keeps by this name.

    Args:
        after: where it begins if the server keeps no place of it.

    Raises:
        ConfigError: as `consume`; or another process reads by this name.
    """
    if _NAME.fullmatch(name) is None:
        raise ConfigError(f"the durable name {name[:80]!r}: give letters, digits, - and _, at most {NAME_MAX}")
    keeper = _Keeper(transport, runtime, name)
    begun = await keeper.claim()
    keeping = asyncio.create_task(keeper.run())
    try:
        async with aclosing(consume(transport, runtime, language, after=begun or after, limits=limits)) as items:
            async for item in items:
                if keeping.done():
                    keeping.result()
                yield item
                keeper.turn_ended(item.place)
    finally:
        with suppress(TimeoutError):
            async with asyncio.timeout(durable_limits.end_s):
                await keeper.end(keeping)
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)


class _Keeper:
    """Has the place behind the last turn kept, one after the other, while the reader goes on."""

    def __init__(self, transport: DurableTransport, runtime: Runtime, name: str) -> None:
        self._transport = transport
        self._runtime = runtime
        self._name = name
        random = runtime.random("stream durable")
        self._reader = f"{random.getrandbits(64):016x}"
        self._pauses = delays(random)
        self._latest = ""  # behind the last turn
        self._kept = ""  # as the server has it
        self._revision = 0
        self._changed = asyncio.Event()
        self._level = asyncio.Event()  # the server has the latest

    async def claim(self) -> str:
        """The place that is kept, in our name from now on: who read by it before is refused. Empty: none is.

        Waits for the server.
        """
        while True:
            try:
                async with self._transport.connect() as session:
                    found = await session.kept(self._name)
                    self._latest, self._revision = ("", 0) if found is None else (found.place, found.revision)
                    await self._put(session)
                    return self._latest
            except Moved:  # two at once: the later one has it
                pass
            except Unreachable as error:
                self._say_away(error)
            await self._runtime.sleep(next(self._pauses))

    def turn_ended(self, place: str) -> None:
        """All up to this place was applied."""
        self._latest = place
        self._level.clear()
        self._changed.set()

    async def run(self) -> None:
        """Keep what is the latest whenever it has changed.

        Raises:
            ConfigError: another reader has the name.
        """
        self._level.set()
        while True:
            try:
                async with self._transport.connect() as session:
                    self._pauses = delays(self._runtime.random("stream durable"))
                    while True:
                        await self._changed.wait()
                        self._changed.clear()
                        await self._keep(session)
            except Unreachable as error:
                self._say_away(error)
                self._changed.set()
            await self._runtime.sleep(next(self._pauses))

    async def end(self, keeping: asyncio.Task[None]) -> None:
        """Return once the latest is kept, or `keeping` has failed."""
        level = asyncio.create_task(self._level.wait())
        try:
            await asyncio.wait([level, keeping], return_when=asyncio.FIRST_COMPLETED)
        finally:
            level.cancel()

    async def _keep(self, session: DurableSession) -> None:
        while self._kept != self._latest:
            try:
                await self._put(session)
            except Moved:
                await self._look(session)
        self._level.set()

    async def _put(self, session: DurableSession) -> None:
        place = self._latest
        self._revision = await session.keep(self._name, Kept(place, self._reader, self._revision))
        self._kept = place

    async def _look(self, session: DurableSession) -> None:
        """What is kept is not what this process had put last: it was, and the answer was lost; or it went back."""
        found = await session.kept(self._name)
        if found is not None and found.reader != self._reader and found.revision > self._revision:
            raise ConfigError(
                f"another process reads {self._transport.name} by the durable name {self._name}: stop one of them, or "
                "give it another name"
            )
        self._revision = 0 if found is None else found.revision

    def _say_away(self, error: Unreachable) -> None:
        _log.warning("stream_away", source=f"reader {self._name}", stream=self._transport.name, error=str(error))
