"""A chain's changes from a stream, each once and in order, for a program of one's own.

Whoever keeps the place of what it has applied, in one transaction with what that did, applies each change exactly
once: kill the consumer, the publisher, the server, restore an older copy of any of them. What the stream's own numbers
are does not matter; they may begin again.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import datetime
from typing import Literal

from msgspec import Struct

from tidelog.backoff import delays
from tidelog.chain.forks.bookmarks import BEGIN, Ahead, Place, WentBack, parse_place, place_text
from tidelog.errors import ConfigError, Corruption, Unreachable
from tidelog.market.events import micros
from tidelog.runtime import Runtime
from tidelog.stream.following import Astray, Following, Gap, StreamItem, is_same, said_of
from tidelog.stream.messages import Change, Part, Reset, part_of
from tidelog.stream.port import Ends, StreamSession, StreamTransport
from tidelog.telemetry import logger

__all__ = ["ConsumerLimits", "consume"]

_log = logger("stream")


class ConsumerLimits(Struct, frozen=True):
    """How often a consumer looks again."""

    wait_s: float = 1.0  # between looks at a stream that is not there, or ends before the consumer's place


LIMITS = ConsumerLimits()


async def consume(
    transport: StreamTransport,
    runtime: Runtime,
    *,
    chain: int,
    after: str | Literal["now"] | datetime = "0",
    limits: ConsumerLimits = LIMITS,
) -> AsyncGenerator[StreamItem, None]:
    """A chain's changes from a stream, and those that come, for ever; close it, or cancel its task, to stop.

    Args:
        transport: where the stream is.
        after: the `place` behind what the caller has applied; "0": the beginning; "now": what comes from now on; a
            time: what the stream took then or later.

    Yields:
        `Change`: apply it, and keep its place with it. `Reset`: undo the changes after its `seq`, and keep its place.
        `Gap`: the stream no longer has these changes; what comes next comes after them.

    Raises:
        ConfigError: the server refuses us, or `after` cannot be read.
        Rejected: a message is not tidelog's, or of a later version.
        Corruption: the stream contradicts itself.
    """
    following = Following(await _begin(transport, runtime, after, limits))
    consumer = _Consumer(transport, runtime, chain, following, limits)
    begun_us = micros(after) if isinstance(after, datetime) else None
    pauses = delays(runtime.random("stream"))
    while True:
        try:
            async with transport.connect() as session, aclosing(consumer.items(session, begun_us)) as items:
                async for item in items:
                    pauses = delays(runtime.random("stream"))
                    yield item
        except Unreachable as error:
            _log.warning("stream_away", chain=chain, stream=transport.name, error=str(error))
        await runtime.sleep(next(pauses))


async def _begin(
    transport: StreamTransport, runtime: Runtime, after: str | datetime, limits: ConsumerLimits
) -> Place | None:
    """The place to begin behind; None: with the first change of a time."""
    if isinstance(after, datetime):
        if after.tzinfo is None:
            raise ConfigError(f"after {after.isoformat()}: a time needs its zone")
        return None
    if after != "now":
        try:
            return parse_place(after)
        except ValueError as error:
            raise ConfigError(f"after {after[:80]!r} is no place: {error}") from None
    while True:
        try:
            async with transport.connect() as session:
                newest = await _newest(session)
                return BEGIN if newest is None else newest[1]
        except Unreachable:
            await runtime.sleep(limits.wait_s)


async def _newest(session: StreamSession) -> tuple[Ends, Place] | None:
    """The ends of the stream, and the place behind the last change that is whole in it; None: it has none."""
    ends = await session.ends()
    if ends is None or ends.last < ends.first:
        return None
    part = await _part(session, ends.last)
    if part is None:
        raise Unreachable("the stream's last message cannot be read")
    return ends, part.place if part.is_last else part.after


async def _part(session: StreamSession, sequence: int) -> Part | None:
    stored = await session.get(sequence)
    return None if stored is None else part_of(stored)


class _Consumer:
    """What a consumer knows beyond one session."""

    def __init__(
        self, transport: StreamTransport, runtime: Runtime, chain: int, following: Following, limits: ConsumerLimits
    ) -> None:
        self._transport = transport
        self._runtime = runtime
        self._chain = chain
        self._following = following
        self._limits = limits
        self._at: int | None = None  # the number of the message whose end is our place, where that is known
        self._next = 0  # the number of the message that comes next

    async def items(self, session: StreamSession, begun_us: int | None) -> AsyncGenerator[StreamItem, None]:
        """What comes over one session."""
        while True:
            if self._following.place is None and begun_us is not None:
                self._next = await session.since(begun_us)
            else:
                found = await self._locate(session)
                if isinstance(found, Reset | Gap):
                    yield found
                if not isinstance(found, int):
                    continue
                self._next = found
            try:
                async with aclosing(session.read(self._next)) as reading:
                    async for stored in reading:
                        if not stored and not await self._is_still_there(session):
                            break
                        for one in stored:
                            item = self._take(part_of(one))
                            if item is not None:
                                yield item
            except Astray as error:
                _log.warning("stream_astray", chain=self._chain, stream=self._transport.name, reason=str(error))

    def _take(self, part: Part) -> Change | Reset | None:
        item = self._following.take(part)
        self._next = part.sequence + 1
        if part.is_last:
            self._at = part.sequence
        return item

    async def _is_still_there(self, session: StreamSession) -> bool:
        """Whether the stream has what it had before the next message, and nothing behind it that we were not given."""
        ends = await session.ends()
        if ends is None or ends.last != self._next - 1:
            return False
        place = self._following.place
        if place is None or ends.last < ends.first:
            return True
        part = await _part(session, ends.last)
        return part is not None and is_same(part.place if part.is_last else part.after, place)

    async def _locate(self, session: StreamSession) -> int | Reset | Gap | None:
        """The number of the message to read from; what has to be told before that; None: look again."""
        place = self._following.place
        assert place is not None
        newest = await _newest(session)
        if newest is None:
            await self._runtime.sleep(self._limits.wait_s)
            return None
        ends, last = newest
        said = said_of(place, last)
        if isinstance(said, Ahead):  # a publisher fills the stream again, or did not come so far
            await self._runtime.sleep(self._limits.wait_s)
            return None
        if isinstance(said, WentBack):
            self._following.go_back(said.place)
            return Reset(chain=self._chain, seq=said.place.seq, place=place_text(said.place))
        found = await self._find(session, ends, place)
        if found is not None:
            self._following.go_back(place)  # parts of a change come again
            return found
        first = await _part(session, ends.first)
        if first is None:  # dropped meanwhile
            return None
        if first.after.seq <= place.seq:
            raise Corruption(
                f"{self._transport.name} has no message of change {place.seq}, and begins with {first.place.seq}"
            )
        begun = first.after if first.number == 1 else first.place
        self._following.go_back(begun)
        return Gap(chain=self._chain, first=place.seq + 1, last=begun.seq, place=place_text(begun))

    async def _find(self, session: StreamSession, ends: Ends, place: Place) -> int | None:
        """The number behind the message whose end is a place; None: the stream has none."""
        if self._at is not None and ends.first <= self._at <= ends.last:
            part = await _part(session, self._at)
            if part is not None and part.is_last and is_same(part.place, place):
                return self._at + 1
        first = await _part(session, ends.first)
        if first is not None and first.number == 1 and is_same(first.after, place):
            return ends.first
        low, high = ends.first, ends.last
        while low <= high:  # by `seq`, which ascends, but where a store went back
            middle = (low + high) // 2
            part = await _part(session, middle)
            if part is None:
                break
            if part.is_last and is_same(part.place, place):
                return middle + 1
            if part.place.seq <= place.seq:
                low = middle + 1
            else:
                high = middle - 1
        return await self._search(session, ends, place)

    async def _search(self, session: StreamSession, ends: Ends, place: Place) -> int | None:
        """As `_find`, message by message: where a store went back, the numbers descend within the stream."""
        async with aclosing(session.read(ends.first)) as reading:
            async for stored in reading:
                for one in stored:
                    part = part_of(one)
                    if part.is_last and is_same(part.place, place):
                        return part.sequence + 1
                if not stored or stored[-1].sequence >= ends.last:
                    break
        return None
