"""The books of a journal at the time that it is there, and what is counted on the way."""

from contextlib import aclosing
from functools import partial

from tidelog.api.live.feeds.books import levels_of
from tidelog.api.market.books import BookView
from tidelog.cli.top.pace import Pace
from tidelog.json_values import time_text
from tidelog.market.book.proof import Check
from tidelog.market.core import Core, JournalEvent
from tidelog.market.events import BookDelta, BookSnapshot, BookUpdates, EventId, Resync
from tidelog.market.journal.reader import JournalReader
from tidelog.market.journal.writer import follow
from tidelog.market.live.monitoring.figures import exchange_time
from tidelog.market.replay.position import resume
from tidelog.market.views import view_of
from tidelog.runtime import Runtime
from tidelog.telemetry import MarketMetrics
from tidelog.telemetry.market import LATENCY_EVERY_US

__all__ = ["JournalBooks"]

SILENT_S = 30.0  # without a record, heartbeats included: the recorder is gone, or its connection
TURN_RECORDS = 200  # without a pause: some 5 ms, then the screen has its turn


class JournalBooks:
    """`run` is its task; it takes each record when its time has come.

    Args:
        after: the last record that is not shown.
        metrics: mismatches, resyncs and delays are counted there.
    """

    def __init__(
        self, name: str, path: str, after: EventId, runtime: Runtime, pace: Pace, metrics: MarketMetrics
    ) -> None:
        self._name = name
        self._path = path
        self._after = after
        self._runtime = runtime
        self._pace = pace
        self._metrics = metrics
        self._core = Core()
        self._at_us = 0  # of the last record
        self._timed_from_us = 0

    @property
    def reasons(self) -> list[str]:
        """Why not all is well, in sentences."""
        books = self._core.books.by_symbol.values()
        unproven = sorted(book.symbol for book in books if not book.proven)
        found = []
        if self._is_silent:
            found.append(f"{self._name}: nothing was journaled for {SILENT_S:g} s: is the recorder running?")
        if unproven:
            found.append(f"{self._name}: {len(unproven)} of {len(books)} books are not proven, {unproven[0]} for one")
        return found

    @property
    def _is_silent(self) -> bool:
        at_s = self._at_us / 1_000_000
        return self._pace.speed is None and self._at_us > 0 and self._runtime.now() - at_s > SILENT_S

    def book(self, recording: str, symbol: str, levels: int | None = None) -> BookView | None:
        """As `api.market.books.LiveBooks` has it."""
        view = view_of(self._core, symbol, levels) if recording == self._name else None
        if view is None or not view.data_us:
            return None
        age_us = max(0, int(self._runtime.now() * 1_000_000) - view.data_us)
        return BookView(
            "journal",
            time_text(view.data_us),
            view.data_us,
            None,
            age_us // 1_000,
            view.proven_depth if view.proven and not self._is_silent else 0,
            self._core.books.by_symbol[symbol].depth,
            levels_of(view.bids, view.precision),
            levels_of(view.asks, view.precision),
        )

    async def run(self) -> None:
        """Take records for ever. TidelogError: the journal cannot be read on."""
        worker = self._runtime.worker("journal-books")
        try:
            self._core, start = await worker.call(partial(_begin, self._path, self._after))
        finally:
            await worker.close()
        async with aclosing(follow(self._path, self._runtime, after=start)) as blocks:
            async for records in blocks:
                for number, record in enumerate(records):
                    if record.id > self._after:
                        if record.id.run != self._core.at.run:  # the time between runs is not waited for
                            self._pace.skip_to(record.at_us)
                        await self._pace.until(record.at_us)
                        self._pace.reached(record.at_us)
                    entry = self._core.apply(record)
                    self._at_us = record.at_us
                    if entry is not None and record.id > self._after:
                        self._count(entry)
                    if number % TURN_RECORDS == 0:
                        await self._runtime.sleep(0)

    def _count(self, entry: JournalEvent) -> None:
        event, metrics = entry.event, self._metrics
        match event:
            case BookSnapshot(symbol) | BookDelta(symbol) if entry.check is Check.MISMATCHED:
                metrics.mismatches[symbol] += 1
            case BookUpdates(parts):
                for part, check in zip(parts, entry.checks, strict=True):
                    metrics.mismatches[part.symbol] += check is Check.MISMATCHED
            case Resync(channel):
                metrics.resyncs[channel] += 1
        if entry.at_us >= self._timed_from_us and (stamp := exchange_time(event)) is not None:
            self._timed_from_us = entry.at_us + LATENCY_EVERY_US
            metrics.latency.observe(max(0.0, entry.at_us / 1_000_000 - stamp.timestamp()))


def _begin(path: str, after: EventId) -> tuple[Core, EventId]:
    reader = JournalReader(path)
    try:
        return resume(reader, after)
    finally:
        reader.close()
