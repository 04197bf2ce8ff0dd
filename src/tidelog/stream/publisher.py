"""A backlog into a stream: each message once, in order, whoever is killed or away meanwhile.

What the stream has is the only truth about what was published: the place in its last message says where to continue,
and a message is taken only behind the one that was last. So a second publisher, a restart or a lost acknowledgement
neither doubles nor skips, and a stream that is gone, or lost its tail, is filled again from the backlog.
"""

from collections.abc import Sequence
from typing import NamedTuple, NoReturn

from msgspec import Struct, structs

from tidelog.backoff import delays
from tidelog.chain.forks.bookmarks import BEGIN, Agreed, Ahead, Place, WentBack, place_text
from tidelog.errors import ConfigError, Rejected, Unreachable
from tidelog.runtime import Runtime
from tidelog.stream.backlog import Backlog, Page, looked_at
from tidelog.stream.envelope import part_of
from tidelog.stream.newest import newest_message
from tidelog.stream.port import Message, Moved, Stored, StreamSession, StreamTransport
from tidelog.telemetry import StreamFigures, logger

__all__ = ["LIMITS", "Publisher", "PublisherLimits"]

_log = logger("stream")


class PublisherLimits(Struct, frozen=True):
    """How much is published at once, and how often the publisher looks."""

    flight_messages: int = 512  # published before the first of them is acknowledged
    flight_bytes: int = 4 * 1024 * 1024  # the same
    flight_pages: int = 64  # of a backlog: most may say nothing, and the stream is looked at between
    poll_s: float = 0.2  # between looks at a backlog that has nothing further
    check_s: float = 5.0  # between looks at a stream to which nothing is published: it may have gone back
    look_s: float = 2.0  # between looks how far a backlog is, whether or not a server takes it


LIMITS = PublisherLimits()


class _Standing(NamedTuple):
    """What the stream has."""

    last: int  # the number of its last message
    place: Place  # of the last that is whole in it
    begun: Stored | None  # the last part of one that is not


class Publisher:
    """Publishes a backlog, until it is cancelled."""

    def __init__(
        self,
        backlog: Backlog,
        transport: StreamTransport,
        runtime: Runtime,
        *,
        metrics: StreamFigures | None = None,
        limits: PublisherLimits = LIMITS,
    ) -> None:
        self._backlog = backlog
        self._transport = transport
        self._runtime = runtime
        self._metrics = metrics or StreamFigures()
        self._limits = limits
        self._left: Place | None = None  # behind what this process published last
        self._left_last = 0  # the number of its last message
        self._waits = False  # for a backlog that ends before the stream does, and has said so
        self._pauses = delays(runtime.random("stream"))  # until the next try, since something came of one

    async def run(self) -> NoReturn:
        """Publish what there is and what comes, until it is cancelled.

        Raises:
            ConfigError: the server refuses us, the stream is not as configured, or another store publishes to it.
            StoreError: the backlog was away for longer than the limit, or cannot be read; of these Fenced: another
                publisher has begun since, where the engine lets one alone publish.
            Corruption: it has a hole.
        """
        await looked_at(self._backlog, self._runtime, self._limits.look_s, self._run())

    async def _run(self) -> NoReturn:
        while True:
            try:
                async with self._transport.connect() as session:
                    standing = await self._standing(session)
                    self._metrics.connected = True
                    await self._publish(session, standing)
            except Unreachable as error:
                if self._metrics.connected is not False:
                    _log.warning(
                        "stream_away", source=self._backlog.source, stream=self._transport.name, error=str(error)
                    )
                self._metrics.connected = False
            await self._pause()

    async def _pause(self) -> None:
        await self._runtime.sleep(next(self._pauses))

    async def _publish(self, session: StreamSession, standing: _Standing) -> NoReturn:
        """Publish behind what the stream has over one session, for as long as it answers."""
        looked = self._runtime.monotonic()
        while True:
            page = await self._gathered(standing.place, session.payload_max)
            if isinstance(page.verdict, WentBack):
                self._refuse_other(standing)
            messages = _behind(page.messages, standing.begun)
            try:
                if messages:
                    last = await self._deliver(session, messages, standing.last)
                    self._pauses = delays(self._runtime.random("stream"))
                    standing = _Standing(last, page.place, None)
                    self._left, self._left_last = page.place, last
                    self._metrics.published_seq = page.place.seq
                elif self._runtime.monotonic() >= looked + self._limits.check_s:
                    if (ends := await session.ends()) is None or ends.last != standing.last:
                        raise Moved
                    looked = self._runtime.monotonic()
                    self._pauses = delays(self._runtime.random("stream"))
            except Moved:
                _log.warning(
                    "stream_moved", source=self._backlog.source, stream=self._transport.name, seq=standing.place.seq
                )
                await self._pause()  # a server that knows the ids of messages that it lost refuses them for a while
                standing = await self._standing(session)
                continue
            if page.until_us:
                self._metrics.published_us = page.until_us
            if not page.more:
                await self._runtime.sleep(self._limits.poll_s)

    async def _standing(self, session: StreamSession) -> _Standing:
        """What the stream has, read from it.

        Raises:
            ConfigError: its last message is not tidelog's.
        """
        await session.ensure()  # it may have been deleted
        ends = await session.ends()
        stored = None if ends is None else await newest_message(session, ends)
        if ends is None or (stored is None and ends.last >= ends.first):
            raise Unreachable("the stream's last message cannot be read")
        if stored is None:  # where its numbers go on, what we left there is too old for its limits
            left = BEGIN if self._left is None or ends.last < self._left_last else self._left
            found = _Standing(ends.last, left, None)
        else:
            try:
                part = part_of(stored)
                self._backlog.follow_on(part)
            except Rejected as error:
                raise ConfigError(f"{self._transport.name}: {error}: give it a stream of its own") from None
            found = _Standing(ends.last, part.place if part.is_last else part.after, None if part.is_last else stored)
        self._metrics.published_seq = found.place.seq
        _log.info(
            "stream_publishing",
            source=self._backlog.source,
            stream=self._transport.name,
            after=found.place.seq,
            last=ends.last,
        )
        return found

    async def _gathered(self, place: Place, payload_max: int) -> Page:
        """What comes next, of as many pages as one flight takes: where there is more, it shares an acknowledgement."""
        page = await self._next(place, payload_max)
        limits = self._limits
        messages, size = list(page.messages), _size(page)
        for _ in range(1, limits.flight_pages):
            if not page.more or len(messages) >= limits.flight_messages or size >= limits.flight_bytes:
                break
            following = await self._next(page.place, payload_max)
            if not isinstance(following.verdict, Agreed):
                break  # it went back meanwhile: it is asked again once this is published
            messages += following.messages
            size += _size(following)
            page = structs.replace(following, verdict=page.verdict)
        return structs.replace(page, messages=messages)

    async def _next(self, place: Place, payload_max: int) -> Page:
        page = await self._backlog.next(place, payload_max)
        waits = isinstance(page.verdict, Ahead)
        if waits and not self._waits:
            _log.warning(
                "stream_ahead", source=self._backlog.source, stream=self._transport.name, seq=place.seq,
                stored=self._backlog.last,
            )  # fmt: skip
        self._waits = waits
        return page

    async def _deliver(self, session: StreamSession, messages: Sequence[Message], last: int) -> int:
        """Publish in flights that fit into memory; the number of the last message."""
        limits, size = self._limits, 0
        flight: list[Message] = []
        for message in messages:
            is_full = len(flight) == limits.flight_messages or size + len(message.payload) > limits.flight_bytes
            if flight and is_full:
                last = await session.publish(flight, last)
                flight, size = [], 0
            flight.append(message)
            size += len(message.payload)
        last = await session.publish(flight, last)
        self._metrics.messages += len(messages)
        return last

    def _refuse_other(self, standing: _Standing) -> None:
        """ConfigError where the stream has, of another origin, what came after what was published from here."""
        if self._left is not None and self._left != standing.place:
            raise ConfigError(
                f"{self._transport.name} has change {standing.place.seq} of another {self._backlog.origin} of "
                f"{self._backlog.source} ({place_text(standing.place)[:60]}): one {self._backlog.origin} publishes to "
                "a stream, so stop the other publisher, or give one of them another --stream"
            )


def _size(page: Page) -> int:
    return sum([len(message.payload) for message in page.messages])


def _behind(messages: Sequence[Message], begun: Stored | None) -> Sequence[Message]:
    """What follows in the stream: without the parts of the first one that it has, if they are the same."""
    if begun is None:
        return messages
    for index, message in enumerate(messages):
        if message.payload == begun.payload and all(
            begun.headers.get(name) == value for name, value in message.headers.items()
        ):
            return messages[index + 1 :]
    return messages
