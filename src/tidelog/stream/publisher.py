"""A chain's outbox into a stream: each change once, in order, whoever is killed or away meanwhile.

What the stream has is the only truth about what was published: the place in its last message says where to continue,
and a message is taken only behind the one that was last. So a second publisher, a restart or a lost acknowledgement
neither doubles nor skips, and a stream that is gone, or lost its tail, is filled again from the outbox.
"""

from collections.abc import Sequence
from typing import NamedTuple, NoReturn

from msgspec import Struct

from tidelog.backoff import delays
from tidelog.batch import Row
from tidelog.chain.forks.bookmarks import BEGIN, Ahead, Place, WentBack, place_text
from tidelog.chain.projections import APPLY
from tidelog.chain.reading.outbox import Page, headers_of, in_order, last_change, next_changes
from tidelog.chain.rows.tables import CHANGES, LOGS
from tidelog.chain.written import Log, block_of, log_of
from tidelog.errors import ConfigError, Rejected, Unreachable
from tidelog.runtime import Runtime
from tidelog.store import Snapshot, Store
from tidelog.store.patience import patiently
from tidelog.stream.messages import Detail, messages_of, part_of, reset_message
from tidelog.stream.port import Message, Moved, Stored, StreamSession, StreamTransport
from tidelog.telemetry import StreamMetrics, logger

__all__ = ["LIMITS", "Publisher", "PublisherLimits"]

_KIND, _NUMBER, _HASH = (CHANGES.index(name) for name in ("kind", "number", "hash"))

_log = logger("stream")


class PublisherLimits(Struct, frozen=True):
    """How much is published at once, and how often the publisher looks."""

    page_changes: int = 256  # of one read of the store, and of one flight of messages
    page_blocks_of_logs: int = 16  # the same where logs are published: a block may have ten thousand
    flight_bytes: int = 4 * 1024 * 1024  # published before the first of them is acknowledged
    poll_s: float = 0.2  # between looks at a store that has no further changes
    check_s: float = 5.0  # between looks at a stream to which nothing is published: it may have gone back
    store_patience_s: float = 86_400.0  # that a database may be away: its outbox keeps what is to be published


LIMITS = PublisherLimits()


class _Standing(NamedTuple):
    """What the stream has."""

    last: int  # the number of its last message
    place: Place  # of the last change that is whole in it
    begun: Stored | None  # the last part of one that is not


class Publisher:
    """Publishes the changes of one chain of a store, until it is cancelled."""

    def __init__(
        self,
        store: Store,
        transport: StreamTransport,
        runtime: Runtime,
        chain: int,
        *,
        detail: Detail = "header",
        metrics: StreamMetrics | None = None,
        limits: PublisherLimits = LIMITS,
    ) -> None:
        self._store = store
        self._transport = transport
        self._runtime = runtime
        self._chain = chain
        self._detail = detail
        self._metrics = metrics or StreamMetrics()
        self._limits = limits
        self._left: Place | None = None  # behind what this process published last
        self._waits = False  # for a store that ends before the stream does, and has said so

    async def run(self) -> NoReturn:
        """Publish what there is and what comes, until it is cancelled.

        Raises:
            ConfigError: the server refuses us, the stream is not as configured, or another store publishes to it.
            StoreError: the store was away for longer than the limit, or cannot be read.
            Corruption: the outbox has a hole.
        """
        pauses = delays(self._runtime.random("stream"))
        while True:
            try:
                async with self._transport.connect() as session:
                    standing = await self._standing(session)
                    self._metrics.connected = True
                    pauses = delays(self._runtime.random("stream"))
                    await self._publish(session, standing)
            except Unreachable as error:
                if self._metrics.connected is not False:
                    _log.warning("stream_away", chain=self._chain, stream=self._transport.name, error=str(error))
                self._metrics.connected = False
            await self._runtime.sleep(next(pauses))

    async def _publish(self, session: StreamSession, standing: _Standing) -> NoReturn:
        """Publish behind what the stream has over one session, for as long as it answers."""
        looked = self._runtime.monotonic()
        while True:
            page, messages = await self._next(standing.place, session.payload_max)
            if isinstance(page.verdict, WentBack):
                self._refuse_other(standing)
            messages = _behind(messages, standing.begun)
            try:
                if messages:
                    last = await self._deliver(session, messages, standing.last)
                    standing = _Standing(last, page.place, None)
                    self._left = page.place
                    self._metrics.published_seq = page.place.seq
                elif self._runtime.monotonic() >= looked + self._limits.check_s:
                    if (ends := await session.ends()) is None or ends.last != standing.last:
                        raise Moved
                    looked = self._runtime.monotonic()
            except Moved:
                _log.warning("stream_moved", chain=self._chain, stream=self._transport.name, seq=standing.place.seq)
                standing = await self._standing(session)
                continue
            if not page.rows:
                await self._runtime.sleep(self._limits.poll_s)

    async def _standing(self, session: StreamSession) -> _Standing:
        """What the stream has, read from it.

        Raises:
            ConfigError: its last message is not tidelog's.
        """
        await session.ensure()  # it may have been deleted
        ends = await session.ends()
        stored = None if ends is None or ends.last < ends.first else await session.get(ends.last)
        if ends is None or (stored is None and ends.last >= ends.first):
            raise Unreachable("the stream's last message cannot be read")
        if stored is None:
            found = _Standing(ends.last, BEGIN, None)
        else:
            try:
                part = part_of(stored)
            except Rejected as error:
                raise ConfigError(f"{self._transport.name}: {error}: give the chain a stream of its own") from None
            found = _Standing(ends.last, part.place if part.is_last else part.after, None if part.is_last else stored)
        self._metrics.published_seq = found.place.seq
        _log.info(
            "stream_publishing", chain=self._chain, stream=self._transport.name, after=found.place.seq, last=ends.last
        )
        return found

    async def _next(self, place: Place, payload_max: int) -> tuple[Page, list[Message]]:
        """The next changes, and the messages that they come to."""
        limits = self._limits
        rows_max = limits.page_changes if self._detail == "header" else limits.page_blocks_of_logs

        async def read() -> tuple[Page, list[Message]]:
            async with self._store.snapshot() as snapshot:
                page = await next_changes(snapshot, self._chain, place, rows_max)
                self._metrics.stored_seq = await last_change(snapshot, self._chain) or 0
                return page, await self._messages(snapshot, place, page, payload_max)

        page, messages = await patiently(self._runtime, read, patience_s=limits.store_patience_s)
        waits = isinstance(page.verdict, Ahead)
        if waits and not self._waits:
            _log.warning(
                "stream_ahead", chain=self._chain, stream=self._transport.name, seq=place.seq,
                stored=self._metrics.stored_seq,
            )  # fmt: skip
        self._waits = waits
        return page, messages

    async def _messages(self, snapshot: Snapshot, place: Place, page: Page, payload_max: int) -> list[Message]:
        found: list[Message] = []
        if isinstance(page.verdict, WentBack):
            found.append(reset_message(self._chain, place, page.begun))
        headers = await headers_of(snapshot, self._chain, page.rows)
        for row, before, _ in in_order(self._chain, page):
            block = headers.get(row[_HASH]) if row[_KIND] == APPLY else None
            logs = None if self._detail == "header" else await self._logs(snapshot, row, block is not None)
            found += messages_of(
                self._chain, row, before, None if block is None else block_of(block), logs, payload_max
            )
        return found

    async def _logs(self, snapshot: Snapshot, row: Row, is_there: bool) -> list[Log]:
        if not is_there:
            return []
        number = row[_NUMBER]
        assert isinstance(number, int)
        return [log_of(log) for log in await snapshot.select(LOGS, scope=self._chain, low=number, high=number)]

    async def _deliver(self, session: StreamSession, messages: Sequence[Message], last: int) -> int:
        """Publish in flights that fit into memory; the number of the last message."""
        flight: list[Message] = []
        size = 0
        for message in messages:
            if flight and size + len(message.payload) > self._limits.flight_bytes:
                last = await session.publish(flight, last)
                flight, size = [], 0
            flight.append(message)
            size += len(message.payload)
        last = await session.publish(flight, last)
        self._metrics.messages += len(messages)
        return last

    def _refuse_other(self, standing: _Standing) -> None:
        """ConfigError where the stream has, of another store, what came after what was published from here."""
        if self._left is not None and self._left != standing.place:
            raise ConfigError(
                f"{self._transport.name} has change {standing.place.seq} of another store of chain {self._chain} "
                f"({place_text(standing.place)[:60]}): one store publishes to a stream, so stop the other publisher, "
                "or give one of them another --stream"
            )


def _behind(messages: list[Message], begun: Stored | None) -> list[Message]:
    """What follows in the stream: without the parts of the first change that it has, if they are the same."""
    if begun is None:
        return messages
    for index, message in enumerate(messages):
        if message.payload == begun.payload and all(
            begun.headers.get(name) == value for name, value in message.headers.items()
        ):
            return messages[index + 1 :]
    return messages
