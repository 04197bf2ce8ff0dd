"""Everything live in one server: the tails of its journals, the watches on its store, who may listen, the end."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any

from litestar.connection import ASGIConnection

from tidelog.api.access.clients import CLIENT, Clients
from tidelog.api.access.guard import authorize
from tidelog.api.http.backend import Backend
from tidelog.api.http.problems import Refused
from tidelog.api.live.feeds.books import book_stream, levels_of
from tidelog.api.live.feeds.candles import candle_stream
from tidelog.api.live.feeds.changes import change_stream
from tidelog.api.live.feeds.messages import LAGGED, PLACE, Message, Messages
from tidelog.api.live.feeds.tail import JournalTail
from tidelog.api.live.feeds.topics import Book, Candles, Changes, Topic, Trades
from tidelog.api.live.feeds.trades import trade_stream
from tidelog.api.live.feeds.watch import Watches
from tidelog.api.live.heartbeat import with_heartbeats
from tidelog.api.market.books import BookView
from tidelog.api.market.view import SOURCE_PREFIX
from tidelog.errors import TidelogError
from tidelog.json_values import time_text

__all__ = ["Live"]

LATER = {"retry-after": "5"}


class Live:
    """Made with the application, started and closed with it. `stop` ends every stream, in order."""

    def __init__(self, backend: Backend, stopping: asyncio.Event, clients: Clients) -> None:
        self.stopping = stopping
        self._backend = backend
        self._clients = clients
        self.limits = limits = backend.limits.live
        self._watches = Watches(backend.store, backend.runtime, limits.watch_s)
        self._resumes = asyncio.Semaphore(limits.resumes_at_once)
        self.tails: dict[str, JournalTail] = {}  # by recording; those of its further shards have a number behind it
        self._shards: dict[str, list[JournalTail]] = {}  # of each recording
        for source in backend.journals:
            tail, shards = JournalTail(source, backend.runtime, limits), self._shards.setdefault(source.name, [])
            shards.append(tail)
            self.tails[source.name if len(shards) == 1 else f"{source.name}.{len(shards)}"] = tail
        self._tasks: list[asyncio.Task[None]] = []
        self.connections = 0  # that stay open

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Live"]:
        """Follow the journals for as long as the context lasts."""
        self._tasks = [asyncio.create_task(tail.run()) for tail in self.tails.values()]
        try:
            yield self
        finally:
            self.stop()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def stop(self) -> None:
        """Tell every stream to end. A server calls this before it waits for its connections."""
        self.stopping.set()

    def admit(self) -> None:
        """Refused unless one more connection may stay open."""
        limit = self._backend.options.streams_max
        if self.stopping.is_set():
            raise Refused(503, "the server is stopping: connect again", headers={"retry-after": "1"})
        if self.connections >= limit:
            raise Refused(429, f"{limit} live streams are open, which is the limit", headers=LATER)

    @asynccontextmanager
    async def counted(self, connection: ASGIConnection[Any, Any, Any, Any], kind: str) -> AsyncIterator[None]:
        """One connection that stays open: "sse" or "websocket". Refused where its client has as many as it may."""
        client, most = str(connection.scope.get(CLIENT, "")), self._backend.options.client_streams_max
        if not self._clients.take(client, "streams"):
            raise Refused(429, f"{most} live streams of yours are open, which is the limit", headers=LATER)
        gauge = self._backend.metrics.streams.labels(kind)
        self.connections += 1
        gauge.inc()
        try:
            yield
        finally:
            self.connections -= 1
            gauge.dec()
            self._clients.give_back(client, "streams")

    def sent(self, kind: str, batch: Sequence[Message]) -> None:
        """Count what a connection was sent."""
        metrics = self._backend.metrics
        metrics.stream_events.labels(kind).inc(len(batch))
        metrics.stream_lagged.labels(kind).inc(sum(1 for each in batch if each.event == LAGGED))

    async def barred(self, connection: ASGIConnection[Any, Any, Any, Any]) -> str:
        """Return, with the sentence, once a connection may not use its route any more: its token was revoked."""
        while True:
            await self._backend.runtime.sleep(self.limits.recheck_s)
            try:
                await authorize(connection, connection.route_handler)
            except Refused as refused:
                return refused.message
            except TidelogError:  # the store is away: no new listener is admitted, and open streams stay
                continue

    def tail(self, recording: str | None, channel: str, symbol: str) -> JournalTail:
        """The tail of a recording, or of the only one: of several shards, the one that records the symbol.

        Raises:
            Refused: this server follows no such journal.
        """
        return _recording(
            self._shards[_the_one(recording, self._shards, "follows", "journal of a recording")], channel, symbol
        )

    def book(self, recording: str, symbol: str, levels: int | None = None) -> BookView | None:
        """A book at the journal's end, as `market_books.LiveBooks` wants it; None where none is followed now."""
        tails = self._shards.get(recording)
        tail = None if tails is None else _recording(tails, "book", symbol)
        found = tail.book(symbol, levels) if tail is not None and tail.ready else None
        if found is None or not found.view.data_us:
            return None
        view = found.view
        return BookView(
            "journal",
            time_text(view.data_us),
            view.data_us,
            None,
            (found.age_us or 0) // 1_000,
            view.proven_depth if found.proven else 0,
            found.depth,
            levels_of(view.bids, view.precision),
            levels_of(view.asks, view.precision),
        )

    async def open(self, topic: Topic) -> Messages:
        """The stream of a topic. Its reader closes it.

        Raises:
            Refused: there is none, in a sentence.
        """
        backend = self._backend
        match topic:
            case Changes():
                return await change_stream(backend.store, backend.runtime, self._watches, topic, self.limits)
            case Trades():
                tail = self.tail(topic.recording, "trade", topic.symbol)
                stream = await trade_stream(tail, backend.runtime, self._resumes, topic)
                return self._until_moved(stream, tail, "trade", topic.symbol)
            case Book():
                tail = self.tail(topic.recording, "book", topic.symbol)
                return self._until_moved(await book_stream(tail, topic), tail, "book", topic.symbol)
            case Candles():
                recording = await self._stored(topic.recording)
                return await candle_stream(backend.store, backend.runtime, self._watches, recording, topic, self.limits)

    def _until_moved(self, stream: Messages, tail: JournalTail, channel: str, symbol: str) -> Messages:
        """A stream of a shard, until another one has its symbol and nothing is left of it here."""
        tails = self._shards[tail.name]
        return stream if len(tails) == 1 else self._followed(stream, tails, tail, channel, symbol)

    async def _followed(
        self, stream: Messages, tails: Sequence[JournalTail], tail: JournalTail, channel: str, symbol: str
    ) -> Messages:
        async with aclosing(with_heartbeats(stream, self.stopping, self.limits.place_s)) as messages:
            async for batch in messages:
                if batch:
                    yield batch
                is_quiet = all(message.event == PLACE for message in batch)
                if is_quiet and _has_moved(tails, tail, channel, symbol):
                    raise Refused(503, f"{symbol} is recorded by another shard now: connect again")

    async def _stored(self, recording: str | None) -> str:
        """A recording in the store, or the only one."""
        if recording is not None:
            return recording
        async with self._backend.store.snapshot() as snapshot:
            sources = [one.source for one in await snapshot.checkpoints() if one.source.startswith(SOURCE_PREFIX)]
        names = [source.removeprefix(SOURCE_PREFIX) for source in sources]
        return _the_one(None, names, "has", "recording in its store")


def _recording(tails: Sequence[JournalTail], channel: str, symbol: str) -> JournalTail:
    """The one that records a symbol; of several that did, the one that has the latest records."""
    return max(tails, key=lambda tail: (tail.records(channel, symbol), tail.at_us))


def _has_moved(tails: Sequence[JournalTail], tail: JournalTail, channel: str, symbol: str) -> bool:
    """Whether another one records a symbol now, and this one does not, or stands still."""
    best = _recording(tails, channel, symbol)
    is_here = tail.records(channel, symbol) and tail.health.ready
    return best is not tail and best.ready and best.records(channel, symbol) and not is_here


def _the_one(recording: str | None, there: Iterable[str], has: str, what: str) -> str:
    names = sorted(there)
    if recording in names:
        assert recording is not None
        return recording
    if recording is None and len(names) == 1:
        return names[0]
    if not names:
        raise Refused(404, f"this server {has} no {what}")
    wanted = f"no {what} named {recording[:40]}" if recording is not None else f"more than one {what}: say recording"
    raise Refused(404 if recording is not None else 400, f"this server {has} {wanted}; it has {', '.join(names[:20])}")
