"""What is to be published, behind what a stream has: the publisher's other side."""

import asyncio
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from typing import Protocol, TypeVar

from msgspec import Struct

from tidelog.chain.forks.bookmarks import Place, Verdict
from tidelog.errors import TidelogError
from tidelog.runtime import Runtime
from tidelog.stream.envelope import Part
from tidelog.stream.port import Message

__all__ = ["Backlog", "Page", "looked_at"]

T = TypeVar("T")


class Page(Struct, frozen=True):
    """What comes next for a stream."""

    verdict: Verdict  # on the stream's place
    place: Place  # of the stream, once it has the messages
    messages: Sequence[Message]
    more: bool  # whether there may be more at once
    until_us: int = 0  # the time of the last record that it comes of; 0: changes have none


class Backlog(Protocol):
    """A source's messages, in order, from any place on."""

    @property
    def source(self) -> str:
        """What people call it: chain 1, recording kraken."""
        ...

    @property
    def origin(self) -> str:
        """What it is read from: a store, a journal."""
        ...

    @property
    def last(self) -> int:
        """How far it is, by the last look, in the numbers of its places."""
        ...

    def follow_on(self, newest: Part) -> None:
        """The stream ends with this: what comes behind it has to fit to it, where messages say what they follow on.

        Raises:
            Rejected: it cannot be read.
        """
        ...

    async def next(self, place: Place, payload_max: int) -> Page:
        """What comes behind a place.

        Args:
            payload_max: bytes of a message, headers included.

        Raises:
            ConfigError: something does not fit into a message, or does not follow on what the stream ends with.
            StoreError: it cannot be read, or not for longer than the limit.
            Corruption: it has a hole.
        """
        ...

    async def look(self) -> None:
        """Look how far it is, for `last` and the metrics; no message is read. Raises what `next` does."""
        ...

    async def close(self) -> None: ...


async def looked_at(backlog: Backlog, runtime: Runtime, every_s: float, publishing: Awaitable[T]) -> T:
    """What publishing a backlog comes to; how far that is, is looked at again and again meanwhile.

    Whoever publishes may wait long for a server, and reads nothing then: the backlog grows, and so does the lag.
    """
    looking = asyncio.create_task(_look(backlog, runtime, every_s))
    try:
        return await publishing
    finally:
        looking.cancel()
        with suppress(asyncio.CancelledError):
            await looking


async def _look(backlog: Backlog, runtime: Runtime, every_s: float) -> None:
    while True:
        with suppress(TidelogError):  # what hinders it is raised by `next`, to whoever wants messages
            await backlog.look()
        await runtime.sleep(every_s)
