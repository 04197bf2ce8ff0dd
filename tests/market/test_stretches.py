"""The compiled core takes updates that leave a book proven, and then what it took means what Python says."""

from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from tests.chain.native import needs_core
from tests.fixtures import schema3
from tests.market.conftest import Recording
from tests.market.kraken.frames import V2
from tests.market.kraken.mutations import mutated
from tests.market.stretches import (
    SYMBOLS,
    TRADES_AND_TICKERS,
    MadeUp,
    assert_same,
    assert_same_rows,
    blocks_of,
    made_up,
    records_of,
    write_journal,
)
from tidelog import compiled
from tidelog.batch import Row
from tidelog.compiled import VARIABLE, found
from tidelog.market.book.lending import FAULTS_MAX, Fault
from tidelog.market.events import EventId
from tidelog.market.journal.reader import JournalReader
from tidelog.market.load.loader import Loader, LoaderLimits, Options
from tidelog.market.load.recorded import source_of
from tidelog.market.projection.tables import GAPS, MARKET_TABLES
from tidelog.market.records import PackedRecords
from tidelog.market.replay.position import events_to_load
from tidelog.runtime import SystemRuntime
from tidelog.store import open_store
from tidelog.telemetry import MarketMetrics

pytestmark = needs_core

FEW, MANY = 4, 200


class Faulty(ModuleType):
    """The core's module; whatever it is given of a journal, it fails at some records."""

    def __init__(self, seqs: range) -> None:
        super().__init__("faulty")
        self._module = compiled.core().module
        self._seqs = seqs

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)

    def Books(self, scanner: str) -> Any:  # noqa: N802 - the class of that name
        assert self._module is not None
        books, seqs = self._module.Books(scanner), self._seqs

        class Failing:
            def __getattr__(self, name: str) -> Any:
                return getattr(books, name)

            def take(self, packed: bytes, *, first: int, last: int, **rest: Any) -> tuple[Any, ...]:
                at = next((seq for seq in range(first, last + 1) if seq in seqs), last + 1)
                *taken, none = books.take(packed, first=first, last=at - 1, **rest)
                assert none is None
                failed = at <= last and first + taken[1][0] == at
                return *taken, "panicked at book.rs:7:3" if failed else None

        return Failing()


@pytest.mark.parametrize("protocol", SYMBOLS)
def test_made_up_feeds(protocol: str) -> None:
    counts = sum((made_up(protocol, seed) for seed in range(FEW)), Counter[str]())
    assert counts["taken"] > counts["left"]


@pytest.mark.torture
@pytest.mark.parametrize("protocol", SYMBOLS)
def test_many_made_up_feeds(protocol: str) -> None:
    for seed in range(FEW, MANY):
        made_up(protocol, seed)


@pytest.mark.parametrize(
    ("name", "protocol", "left"),
    [
        ("book-v1-depth10-xbtusd", "v1", 21),
        ("book-v2-depth10-btcusd", "v2", 3),
        ("ticker-v1", "v1", 23),
        ("trade-v1", "v1", 15),
    ],
)
def test_of_a_recording_nearly_all_is_taken(recording: Recording, name: str, protocol: str, left: int) -> None:
    frames = recording(name)
    counts = assert_same(blocks_of(records_of(protocol, frames, {"BTC/USD": 10})))
    assert counts["left"] == left  # snapshots, answers, the first ticker or trade of each symbol


@pytest.mark.parametrize("name", ["v2.journal", "v1.journal", "private.journal"])
def test_journals_of_older_versions_mean_the_same(tmp_path: Path, name: str) -> None:
    reader = JournalReader(str(schema3.journal(name, tmp_path)))
    try:
        counts = assert_same(block for block in reader.blocks() if isinstance(block, PackedRecords))
    finally:
        reader.close()
    assert counts.total() > 0


async def contents(
    path: Path, db: Path, core: str, monkeypatch: pytest.MonkeyPatch, stops: list[EventId]
) -> dict[str, list[Row]]:
    """What a store holds into which a journal was loaded by one path, stopped at some records and begun again."""
    used = found({VARIABLE: core})
    monkeypatch.setattr(compiled, "core", lambda: used)
    runtime = SystemRuntime()
    store = await open_store(f"sqlite:///{db}", runtime)
    try:
        for until in (*stops, None):
            loader = await Loader.open(store, runtime, "x", Options(sample_s=1), limits=LoaderLimits(batch_events=50))
            await loader.run(
                events_to_load(str(path), runtime, after=loader.committed, until=until, ending=lambda: True)
            )
        async with store.snapshot() as snapshot:
            rows = {table.name: sorted(await snapshot.select(table), key=repr) for table in (*MARKET_TABLES, GAPS)}
            checkpoint = await snapshot.checkpoint(source_of("x"))
    finally:
        await store.close()
    assert checkpoint is not None
    assert checkpoint.position is not None
    return rows | {"checkpoint": [(checkpoint.position,)]}


@pytest.mark.parametrize("protocol", SYMBOLS)
def test_a_fault_of_the_core_is_told_and_costs_nothing(protocol: str, monkeypatch: pytest.MonkeyPatch) -> None:
    feed, begun = MadeUp(protocol, 3), 20  # the number of a record behind the controls and snapshots
    blocks = [*blocks_of(records_of(protocol, feed.frames(300), feed.depths))]
    without = assert_same(blocks)
    for seqs in (range(begun, begun + 1), range(begun, begun + 9, 2), range(begun, 300)):
        faulty = Faulty(seqs)
        monkeypatch.setattr(compiled, "core", lambda: compiled.Core(faulty, "faulty"))  # noqa: B023
        faults: list[Fault] = []
        counts = assert_same(blocks, faults.append)
        monkeypatch.undo()
        assert counts.total() == without.total()
        assert {fault.id.seq for fault in faults} <= {*seqs}
        assert (len(faults) == FAULTS_MAX) == (len(seqs) > FAULTS_MAX)  # then it is left alone
        assert 0 < len(faults) <= min(len(seqs), FAULTS_MAX)


async def test_the_loader_tells_and_counts_a_fault_of_the_core(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    feed, path, metrics, runtime = MadeUp("v2", 7), tmp_path / "journal", MarketMetrics(), SystemRuntime()
    write_journal(path, records_of("v2", feed.frames(60), feed.depths))
    faulty = Faulty(range(30, 31))
    monkeypatch.setattr(compiled, "core", lambda: compiled.Core(faulty, "faulty"))
    store = await open_store(f"sqlite:///{tmp_path}/a.db", runtime)
    try:
        loader = await Loader.open(store, runtime, "x", metrics=metrics)
        with capture_logs() as logs:
            await loader.run(events_to_load(str(path), runtime, ending=lambda: True, on_fault=loader.note_fault))
    finally:
        await store.close()
    told = [(log["run"], log["seq"], log["error"]) for log in logs if log["event"] == "core_fault"]
    assert told == [(3, 30, "panicked at book.rs:7:3")]
    assert metrics.core_faults == 1


@pytest.mark.parametrize("name", ["v2.journal", "v1.journal", "v1", "v2"])
async def test_a_store_that_is_loaded_by_the_core_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    if name in SYMBOLS:
        feed, path = MadeUp(name, 7), tmp_path / "journal"
        frames = feed.frames(400)
        frames[200:200] = [b"null", *([] if name == "v1" else [V2["trade"]])]
        write_journal(path, records_of(name, frames, feed.depths))
    else:
        path = schema3.journal(name, tmp_path)
    reader = JournalReader(str(path))
    ids = [record.id for record in reader.records()]
    reader.close()
    whole = await contents(path, tmp_path / "python.db", "python", monkeypatch, [])
    assert whole["coverage"]
    assert whole["book_snapshots"]
    for number, stops in enumerate(([], [ids[len(ids) // 3], ids[len(ids) // 2]])):
        assert await contents(path, tmp_path / f"native-{number}.db", "native", monkeypatch, stops) == whole


@pytest.mark.parametrize("protocol", SYMBOLS)
@given(data=st.data())
def test_mutated_frames_mean_the_same(protocol: str, data: st.DataObject) -> None:
    feed = MadeUp(protocol, data.draw(st.integers(0, 1000), label="seed"))
    frames = feed.frames(40)
    for _ in range(data.draw(st.integers(1, 3), label="wounds")):
        place = data.draw(st.integers(len(feed.depths), len(frames) - 1), label="place")
        frames.insert(place, data.draw(mutated(frames), label="frame"))
    channels = data.draw(st.sampled_from([(), TRADES_AND_TICKERS]), label="channels")
    blocks = [*blocks_of(records_of(protocol, frames, feed.depths, channels), size=16)]
    assert_same(blocks)
    assert_same_rows(blocks)
