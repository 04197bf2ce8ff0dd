"""What a stream says, each message once and in order, for a program of one's own.

Whoever keeps the place of what it has applied, in one transaction with what that did, applies each change exactly
once: kill the consumer, the publisher, the server, restore an older copy of any of them. What the stream's own numbers
are does not matter; they may begin again.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import datetime
from typing import Generic, Literal, TypeVar

from msgspec import Struct

from tidelog.backoff import delays
from tidelog.chain.forks.bookmarks import BEGIN, Agreed, Ahead, Place, WentBack, parse_place
from tidelog.errors import ConfigError, Corruption, Unreachable
from tidelog.market.events import micros
from tidelog.runtime import Runtime
from tidelog.stream.envelope import Language, Part, part_of
from tidelog.stream.following import Astray, Following, is_same, said_of
from tidelog.stream.newest import newest_message
from tidelog.stream.port import Ends, StreamSession, StreamTransport
from tidelog.telemetry import logger

__all__ = ["ConsumerLimits", "consume"]

T = TypeVar("T")

_log = logger("stream")


class ConsumerLimits(Struct, frozen=True):
    """How often a consumer looks again."""

    wait_s: float = 1.0  # between looks at a stream that is not there, or ends before the consumer's place


LIMITS = ConsumerLimits()


async def consume(
    transport: StreamTransport,
    runtime: Runtime,
    language: Language[T],
    *,
    after: str | Literal["now"] | datetime = "0",
    limits: ConsumerLimits = LIMITS,
) -> AsyncGenerator[T, None]:
    """What a stream says, and what comes, for ever; close it, or cancel its task, to stop.

    Args:
        transport: where the stream is.
        language: what its messages say.
        after: the `place` behind what the caller has applied; "0": the beginning; "now": what comes from now on; a
            time: what the stream took then or later.

    Yields:
        What `language` makes of messages, of a store or journal that went back, and of what the stream no longer has.

    Raises:
        ConfigError: the server refuses us, or `after` cannot be read.
        Rejected: a message is not tidelog's, or of a later version.
        Corruption: the stream contradicts itself.
    """
    following = Following(language, await _begin(transport, runtime, after, limits))
    consumer = _Consumer(transport, runtime, language, following, limits)
    begun_us = micros(after) if isinstance(after, datetime) else None
    pauses = delays(runtime.random("stream"))
    while True:
        try:
            async with transport.connect() as session, aclosing(consumer.items(session, begun_us)) as items:
                async for item in items:
                    pauses = delays(runtime.random("stream"))
                    yield item
        except Unreachable as error:
            _log.warning("stream_away", stream=transport.name, error=str(error))
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
    stored = await newest_message(session, ends)
    if stored is None:
        raise Unreachable("the stream's last message cannot be read")
    part = part_of(stored)
    return ends, part.place if part.is_last else part.after


async def _part(session: StreamSession, sequence: int) -> Part | None:
    stored = await session.get(sequence)
    return None if stored is None else part_of(stored)


def _begun(part: Part) -> Place:
    """Where one can begin with a message: before it, or, where it is in the middle of a change, behind that."""
    return part.after if part.number == 1 else part.place


def _is_reset(part: Part) -> bool:
    """Whether a message says that the store or journal went back: all others lead on."""
    return part.place.seq < part.after.seq


class _Found(Struct, Generic[T], frozen=True):
    """What has to be told before anything is read."""

    item: T


class _Strayed(Struct, frozen=True):
    """A message that did not continue the consumer's place."""

    place: Place
    part: Part


class _Consumer(Generic[T]):
    """What a consumer knows beyond one session."""

    def __init__(
        self,
        transport: StreamTransport,
        runtime: Runtime,
        language: Language[T],
        following: Following[T],
        limits: ConsumerLimits,
    ) -> None:
        self._transport = transport
        self._runtime = runtime
        self._language = language
        self._following = following
        self._limits = limits
        self._at: int | None = None  # the number of the message whose end is our place, where that is known
        self._next = 0  # the number of the message that comes next
        self._strayed: _Strayed | None = None  # the last time
        self._behind_hole = False  # what comes next is behind messages that are gone: our place is not looked for

    async def items(self, session: StreamSession, begun_us: int | None) -> AsyncGenerator[T, None]:
        """What comes over one session."""
        self._behind_hole = False
        while True:
            if self._following.place is None and begun_us is not None:
                self._next = await session.since(begun_us)
            elif self._behind_hole:
                self._behind_hole = False
            else:
                found = await self._locate(session)
                if isinstance(found, _Found):
                    yield found.item
                if not isinstance(found, int):
                    continue
                self._next = found
            try:
                async with aclosing(session.read(self._next)) as reading:
                    async for stored in reading:
                        if not stored and not await self._is_still_there(session):
                            break
                        for part in map(part_of, stored):
                            item = self._take(part)
                            if item is not None:
                                yield item
            except Astray as error:
                _log.warning("stream_astray", stream=self._transport.name, reason=str(error))
                place = self._following.place
                assert place is not None
                for item in await self._missing(session, _Strayed(place, part)):
                    yield item

    async def _missing(self, session: StreamSession, strayed: _Strayed) -> list[T]:
        """What has to be told of messages that were deleted, or lost, between others.

        They were where the same message does not continue our place though we have looked for that again. It may also
        repeat what we have, as where a second publisher was not shut out: then our place is found again behind it.
        """
        before, self._strayed = self._strayed, strayed
        if strayed != before:
            return []
        place, part, told = strayed.place, strayed.part, list[T]()
        begun = _begun(part)
        stored = await session.get(self._next)
        if stored is not None and stored.sequence == part.sequence:
            said = said_of(place, begun)
            if isinstance(said, Ahead):
                said = said_of(place, part.place)
            if isinstance(said, WentBack):  # the message that said so is among them
                place = said.place
                told.append(self._language.reset(place))
            if not isinstance(said, Ahead) and begun.seq > place.seq:
                told.append(self._language.gap(place, begun))
        if not told:
            if await self._is_repeated(session, part, place):
                return []
            if not _is_reset(part) or not isinstance(said_of(place, part.place), Ahead):
                await self._runtime.sleep(self._limits.wait_s)
                return []
            begun = part.place  # it goes back before our place, and so did one before it, which is gone
            told.append(self._language.reset(begun))
        self._following.go_back(begun)
        self._at = self._next = part.sequence  # what has our place may be before it too, where a store went back
        self._behind_hole = True
        return told

    async def _is_repeated(self, session: StreamSession, part: Part, place: Place) -> bool:
        """Whether our place comes again from a message on: there it is looked for next."""
        ends = await session.ends()
        found = None if ends is None else await self._search(session, Ends(part.sequence, ends.last), place)
        if found is None or found.after != place:
            return False
        self._at = found.sequence - 1
        return True

    def _take(self, part: Part) -> T | None:
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

    async def _locate(self, session: StreamSession) -> int | _Found[T] | None:
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
        # as many writers as a place names may have come since: then the stream itself says whether it has ours
        is_unknown = isinstance(said, WentBack) and said.place == BEGIN and not last.whole
        if isinstance(said, WentBack) and not is_unknown:
            return self._reset(said.place)
        found = await self._find(session, newest, place)
        if found is not None:
            self._following.go_back(place, found.after)  # parts of a change come again
            return found.sequence
        first = await _part(session, ends.first)
        if first is None:  # dropped meanwhile
            return None
        if is_unknown and not isinstance(said_of(place, first.place), Agreed):
            return self._reset(BEGIN)
        begun = _begun(first) if _begun(first).seq > place.seq else await self._above(session, ends, place)
        if begun is None:
            raise Corruption(
                f"{self._transport.name} has no message of change {place.seq}, and begins with {first.place.seq}"
            )
        self._following.go_back(begun)
        return _Found(self._language.gap(place, begun))

    def _reset(self, place: Place) -> _Found[T]:
        self._following.go_back(place)
        return _Found(self._language.reset(place))

    async def _find(self, session: StreamSession, newest: tuple[Ends, Place], place: Place) -> "_Start | None":
        """Where to read on from a place; None: the stream has nothing that continues it."""
        ends, last = newest
        if self._at is not None and ends.first <= self._at <= ends.last:
            part = await _part(session, self._at)
            if part is not None and (start := self._start(part, place)) is not None:
                return start
        low, high = ends.first, ends.last
        while low <= high:  # by the places' numbers, which ascend, but where a store went back
            middle = (low + high) // 2
            part = await _part(session, middle)
            if part is None or part.sequence > high:  # nothing has a number from the middle on
                high = middle - 1
                continue
            if (start := self._start(part, place)) is not None:
                return start
            if part.place.seq <= place.seq:
                low = part.sequence + 1
            else:
                high = middle - 1
        first = await _part(session, ends.first)
        if first is not None and place.seq < first.after.seq:
            # all that the stream has comes after it, unless its store went back so far: then these would not agree
            said = said_of(first.after, last), said_of(place, first.after)
            if any(isinstance(each, Agreed) for each in said):
                return None
        return await self._search(session, ends, place)

    async def _above(self, session: StreamSession, ends: Ends, place: Place) -> Place | None:
        """Where the first change begins that comes after a place; None: none that agrees with it does."""
        low, high, found = ends.first, ends.last, None
        while low <= high:
            middle = (low + high) // 2
            part = await _part(session, middle)
            if part is None or part.sequence > high:
                high = middle - 1
            elif _begun(part).seq > place.seq:
                found, high = part, middle - 1
            else:
                low = part.sequence + 1
        return None if found is None or not isinstance(said_of(place, found.place), Agreed) else _begun(found)

    async def _search(self, session: StreamSession, ends: Ends, place: Place) -> "_Start | None":
        """As `_find`, message by message: where a store went back, the numbers descend within the stream."""
        async with aclosing(session.read(ends.first)) as reading:
            async for stored in reading:
                for one in stored:
                    if (start := self._start(part_of(one), place)) is not None:
                        return start
                if not stored or stored[-1].sequence >= ends.last:
                    break
        return None

    def _start(self, part: Part, place: Place) -> "_Start | None":
        """Where to read on, as far as a message says it."""
        if part.is_last and is_same(part.place, place):
            return _Start(part.sequence + 1, place)
        if part.number > 1:
            return None
        if is_same(part.after, place):
            return _Start(part.sequence, place)
        if self._language.is_dense or not part.after.seq < place.seq < part.place.seq:
            return None
        # nothing was published between, or a gap stands for it
        return _Start(part.sequence, part.after) if isinstance(said_of(place, part.place), Agreed) else None


class _Start(Struct, frozen=True):
    """Read from a message on; what comes before it, up to `after`, the consumer has."""

    sequence: int
    after: Place
