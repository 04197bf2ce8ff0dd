"""The journal at its size cap while the database is away: the file stays small, what had to go is said in a gap, and
the loader goes on behind it by itself, in the same process or in another one."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, closing
from pathlib import Path

import apsw
import pytest

from tests.system.disturbed import (
    NAME,
    SYMBOLS,
    Hurried,
    Recording,
    contents,
    hurry,
    judge_trades,
    load,
    named,
    recording,
)
from tidelog.batch import Batch, Outcome, Row
from tidelog.errors import Busy
from tidelog.market.events import EventId
from tidelog.market.journal.pruning import Dropped
from tidelog.market.journal.reader import JournalReader
from tidelog.market.journal.retention import Retention
from tidelog.market.load.loader import Loader, LoaderLimits
from tidelog.market.maintenance.verify import Report, verify_market
from tidelog.market.projection.inputs import ProjectionInput
from tidelog.market.projection.tables import BOOK_SNAPSHOTS, COVERAGE, GAPS, TRADES
from tidelog.market.records import BEGINNING
from tidelog.market.replay.position import events_to_load
from tidelog.runtime import SystemRuntime
from tidelog.store import Store, open_store

__all__ = ["hurry"]  # a fixture

CAP_BYTES = 120_000
SLACK_BYTES = 200_000  # records of the commits that come while the oldest are being dropped
LARGEST = 3  # ... where a commit is large, after the machine stood still: so many of them
SMALL = LoaderLimits(batch_events=100, batch_age_s=0.1)  # instead of thousands, which a small journal never holds
RATE = 40.0


class Patient(SystemRuntime):
    """Never waits long for a database."""

    async def sleep(self, seconds: float) -> None:
        await super().sleep(min(seconds, 0.02))


class Away:
    """A store whose database is not there while it is told so."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.is_away = False

    async def commit(self, batch: Batch) -> Outcome:
        if self.is_away:
            raise Busy("the server is away")
        return await self._store.commit(batch)

    def __getattr__(self, name: str) -> object:
        if name == "snapshot" and self.is_away:
            raise Busy("the server is away")
        return getattr(self._store, name)


class Loading:
    """The loader of a recording, on a database that can go away; how far it is, as the feed's retention asks."""

    def __init__(self) -> None:
        self.committed: EventId = BEGINNING
        self.read: EventId = BEGINNING  # the last record that was taken from the journal, stored or not
        self.away: Away | None = None
        self._ending: Callable[[], bool] = lambda: False
        self._task: asyncio.Task[None] | None = None

    async def run(self, url: str, journal: Path, ending: Callable[[], bool]) -> None:
        self._ending = ending
        try:
            while self._task is None or self._task.cancelled():
                self._task = asyncio.create_task(self._load(url, journal))
                await asyncio.wait([self._task])
            self._task.result()
        finally:
            self.restart()
            await asyncio.gather(*filter(None, [self._task]), return_exceptions=True)

    def restart(self) -> None:
        """The process ends, and another one begins, with a database that is there."""
        if self._task is not None:
            self._task.cancel()

    async def _load(self, url: str, journal: Path) -> None:
        runtime = Patient()
        store = await open_store(url, runtime)
        self.away = Away(store)
        try:
            loader = await Loader.open(self.away, runtime, NAME, limits=SMALL)  # type: ignore[arg-type]
            await loader.run(self._entries(loader, journal, runtime))
        finally:
            await store.close()

    async def _entries(self, loader: Loader, journal: Path, runtime: Patient) -> AsyncIterator[ProjectionInput]:
        begun = events_to_load(
            str(journal), runtime, after=loader.committed, ending=self._ending, on_block=self._on_block
        )
        async with aclosing(begun) as entries:
            async for entry in entries:
                self.committed = loader.committed
                yield entry

    def _on_block(self, first: EventId, last: EventId) -> None:
        self.read = last


def dropped(journal: Path) -> Dropped | None:
    reader = JournalReader(str(journal))
    try:
        return reader.dropped()
    finally:
        reader.close()


class Sizes:
    """How large a journal was, and its largest block, at each look."""

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self.bytes_max = self.block_bytes_max = 0

    def look(self) -> None:
        with closing(apsw.Connection(str(self._journal), flags=apsw.SQLITE_OPEN_READONLY)) as file:
            found = file.execute("SELECT max(length(frames)) FROM blocks").get
        self.block_bytes_max = max(self.block_bytes_max, int(found or 0))
        self.bytes_max = max(self.bytes_max, self._journal.stat().st_size)

    def judge(self) -> None:
        """A commit is what came since the one before: much, after the machine stood still."""
        assert self.bytes_max < CAP_BYTES + SLACK_BYTES + LARGEST * self.block_bytes_max


@pytest.mark.parametrize("goes_on", ["live", "restarted"])
async def test_journal_at_its_cap_drops_the_oldest_and_the_loader_continues_behind_the_gap(
    goes_on: str, hurry: Hurried, tmp_path: Path
) -> None:
    loading = Loading()
    retention = Retention(bytes_max=CAP_BYTES, restart=lambda: loading.committed)
    looks = 0  # in a row, at which records were gone that the loader had not read
    async with recording(hurry, tmp_path, rate=RATE, loads=loading.run, retention=retention) as running:
        journal = running.path
        sizes = Sizes(journal)

        def is_far_behind() -> bool:
            """Records are gone that the loader does not have in hand, nor on its way to it from another thread."""
            nonlocal looks
            sizes.look()
            gone = dropped(journal)
            looks = looks + 1 if gone is not None and gone.id > loading.read else 0
            return looks > 1

        await running.until(lambda: loading.committed.seq > 300, "rows to be stored")
        assert loading.away is not None
        loading.away.is_away = True
        await running.until(is_far_behind, "the journal to be full")
        if goes_on == "restarted":
            loading.restart()
        else:
            loading.away.is_away = False
        gone = dropped(journal)
        assert gone is not None
        assert gone.reason == "journal_full"
        await running.until(lambda: loading.committed.seq > gone.id.seq + 500, "the loader to go on")
        await running.recovers()
        sizes.look()
        assert running.feed.progress.mismatches == 0
    sizes.judge()
    stored = await contents(running.url)
    judge_gaps(stored)
    assert judge_trades(stored, running.exchange) > 0, "some are missing, and lie in gaps"
    await judge_rest(running, stored, tmp_path)


def judge_gaps(stored: dict[str, list[Row]]) -> None:
    """The connection has a gap, which was closed; each channel has one, and is proven again behind it.

    On a machine that is busy with other things there may be others: the exchange's time is a fast one.
    """
    gaps = named(GAPS, stored)
    whole = [gap for gap in gaps if (gap["scope"], gap["reason"]) == ("connection", "journal_full")]
    assert whole
    assert all(gap["closed_at"] is not None and gap["first"] < gap["last"] for gap in whole)
    for symbol in SYMBOLS:
        assert any(gap["scope"] == f"trades:{symbol}" for gap in gaps), gaps
        for channel in ("book", "trade"):
            states = [
                row["reason"] or row["state"]
                for row in sorted(named(COVERAGE, stored), key=lambda row: row["since_us"])
                if (row["symbol"], row["channel"]) == (symbol, channel)
            ]
            at = states.index("journal_full")
            assert "proven" in states[:at]
            assert "proven" in states[at:]


async def judge_rest(running: Recording, stored: dict[str, list[Row]], folder: Path) -> None:
    """What is left of the journal, folded by itself, is in the store row by row, but for the first of each book."""
    again = f"sqlite:///{folder}/again.db"
    await load(again, running.path)
    rest = await contents(again)
    assert len(rest[TRADES.name]) > 10
    assert set(rest[TRADES.name]) <= set(stored[TRADES.name])
    by_symbol = BOOK_SNAPSHOTS.index("symbol")
    for symbol in SYMBOLS:
        books = [row for row in rest[BOOK_SNAPSHOTS.name] if row[by_symbol] == symbol]
        assert len(books) > 2
        assert set(books[1:]) <= set(stored[BOOK_SNAPSHOTS.name])  # they are in the order of their keys, and so of time
    report = await verified(running)
    assert report.findings == []
    assert not report.whole
    assert "before record" in report.not_looked_at


async def verified(running: Recording) -> Report:
    runtime = SystemRuntime()
    store = await open_store(running.url, runtime, readonly=True)
    try:
        return await verify_market(store, runtime, NAME, [str(running.path)], findings_max=9)
    finally:
        await store.close()
