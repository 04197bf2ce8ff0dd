"""A journal alone answers `tidelog top`, as it grows or replayed: by the API's own routes, over a temporary store.

The loader fills that store from where one began to look, when each record's time has come. The books are those of the
journal at that time.
"""

import asyncio
import os
import re
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial

import msgspec

from tidelog.cli.top.books import JournalBooks
from tidelog.cli.top.inside import store_answers
from tidelog.cli.top.pace import Pace, PacedRuntime
from tidelog.errors import ConfigError, TidelogError, Unreachable
from tidelog.market.events import EventId, micros
from tidelog.market.journal.reader import JournalReader
from tidelog.market.load.expiry import Keep
from tidelog.market.load.loader import Loader, LoaderLimits, Options
from tidelog.market.projection.inputs import ProjectionInput
from tidelog.market.replay.position import events_to_load
from tidelog.runtime import Runtime, SystemRuntime
from tidelog.store import open_store
from tidelog.telemetry import MarketMetrics, Readiness, merged, rendered
from tidelog.tui.asking import Answers, Reply

__all__ = ["JournalAnswers", "Span", "moment_us", "span_of"]

LIVE_S = 900.0  # before its end, where one begins to look at a journal that grows
LIMITS = LoaderLimits(batch_age_s=0.2)  # someone is looking
OPTIONS = Options(keep=Keep(trades=2, books=2))  # days: more is on no screen, and one may look for weeks

_CLOCK = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9]))?")


class Span(msgspec.Struct, frozen=True):
    """The times of a journal's first and last record, Unix time in microseconds."""

    begin_us: int
    end_us: int


def span_of(path: str) -> Span:
    """ConfigError: it is no journal, or there is nothing in it."""
    reader = JournalReader(path)
    try:
        begin_us, last = reader.begun_us(), reader.last_block()
    finally:
        reader.close()
    if begin_us is None or last is None:
        raise ConfigError(f"{path} holds no records yet")
    return Span(begin_us, last[1])


def moment_us(text: str, span: Span) -> int:
    """A time, or a time of the day, the last one before the journal's end; both in UTC. ConfigError: it is none."""
    clock = _CLOCK.fullmatch(text)
    if clock is not None:
        end = datetime.fromtimestamp(span.end_us / 1_000_000, UTC)
        hour, minute, second = (int(part or 0) for part in clock.groups())
        found = end.replace(hour=hour, minute=minute, second=second, microsecond=0)
        return micros(found if found <= end else found - timedelta(days=1))
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"--from {text[:80]!r}: give a time such as 12:30 or 2024-05-01T12:30:00Z, in UTC") from None
    return micros(time if time.tzinfo is not None else time.replace(tzinfo=UTC))


class JournalAnswers:
    """`Answers`, and what moves a replay (`tui.app.Playback`). `run` is its task.

    Args:
        speed: of a replay; None: the journal is followed as it grows.
        begin_us: where one begins to look.
    """

    def __init__(self, path: str, span: Span, speed: float | None, begin_us: int) -> None:
        self._path = path
        self._span = span
        self._name = os.path.basename(path).partition(".")[0] or "journal"
        self._system = SystemRuntime()
        self._pace = self._paced(speed, begin_us)
        self.runtime = PacedRuntime(self._pace)  # of who looks: its time is that of the present replay
        self._begin_us = begin_us
        self._moved = asyncio.Event()
        self._inside: Answers | None = None
        self._books: JournalBooks | None = None
        self._metrics = MarketMetrics()
        self._failure: TidelogError | None = None

    def _paced(self, speed: float | None, begin_us: int) -> Pace:
        return Pace(self._system, speed, begin_us, self._span.end_us)

    # -- as somebody who is asked ---------------------------------------------------------------------------

    async def ask(self, path: str, body: bytes | None, timeout_s: float) -> Reply:
        """As the API answers. TidelogError: the journal cannot be read."""
        if self._failure is not None:
            raise self._failure
        inside, books = self._inside, self._books
        if inside is None or books is None:
            raise Unreachable("the journal is being read")
        if path == "/readyz":
            return Reply(200, msgspec.json.encode(Readiness.of(books.reasons)))
        reply = await inside.ask(path, body, timeout_s)
        if path == "/metrics":
            own = rendered(self._metrics.registry)
            return Reply(reply.status, reply.body + merged({self._name: own}))
        return reply

    # -- as a replay that is moved --------------------------------------------------------------------------

    @property
    def words(self) -> str:
        """Where it stands, in a word or two."""
        if self._pace.speed is None:
            return "live"
        return "replay ended" if self._pace.ended else f"replay x{self._pace.speed:g}"

    def stand(self, still: bool) -> None:
        """Stand still, or go on."""
        self._pace.stand(still)

    def seek(self, by_s: float) -> str | None:
        """Go so far back or on; why that cannot be."""
        if self._pace.speed is None:
            return "this is live: give --speed to replay, and to move in it"
        here_us = self._begin_us if self._moved.is_set() else self._pace.now_us()
        at_us = here_us + int(by_s * 1_000_000)
        self._begin_us = max(self._span.begin_us, min(at_us, self._span.end_us))
        self._inside = None
        self._moved.set()
        return None

    # -- how it is filled -----------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until it is cancelled: from each place that one moves to."""
        while True:
            self._moved.clear()
            self._pace = self.runtime.pace = self._paced(self._pace.speed, self._begin_us)
            try:
                async with self._filled():
                    await self._moved.wait()
            except TidelogError as error:
                self._failure = error
                await self._moved.wait()
                self._failure = None

    @asynccontextmanager
    async def _filled(self) -> AsyncIterator[None]:
        runtime, metrics = PacedRuntime(self._pace), MarketMetrics()
        after = await runtime.compute(partial(_before, self._path, self._begin_us))
        with tempfile.TemporaryDirectory(prefix="tidelog-top-") as folder:
            url = f"sqlite:///{folder}/top.db"
            store = await open_store(url, runtime)
            try:
                loader = await Loader.open(store, runtime, self._name, OPTIONS, metrics=metrics, limits=LIMITS)
                books = JournalBooks(self._name, self._path, after, runtime, self._pace, metrics)
                async with store_answers(url, (), runtime, books=books) as inside:
                    self._metrics, self._books, self._inside = metrics, books, inside
                    try:
                        async with asyncio.TaskGroup() as group:
                            tasks = [
                                group.create_task(loader.run(self._inputs(runtime, after, loader))),
                                group.create_task(books.run()),
                            ]
                            yield
                            for task in tasks:
                                task.cancel()
                    except BaseExceptionGroup as errors:
                        raise errors.exceptions[0] from None
                    finally:
                        self._inside = None
            finally:
                await store.close()

    async def _inputs(self, runtime: Runtime, after: EventId, loader: Loader) -> AsyncGenerator[ProjectionInput, None]:
        """What the loader takes, each when its time has come."""
        pace, run = self._pace, after.run
        entries = events_to_load(self._path, runtime, after=after, afresh=True, on_fault=loader.note_fault)
        async with aclosing(entries) as found:
            async for entry in found:
                if entry.id > after:
                    if entry.id.run != run:
                        run = entry.id.run
                        pace.skip_to(entry.at_us)
                    await pace.until(entry.at_us)
                    pace.reached(entry.at_us)
                yield entry


def _before(path: str, at_us: int) -> EventId:
    reader = JournalReader(path)
    try:
        return reader.before(at_us)
    finally:
        reader.close()
