"""Replay: recordings and journals through the live path; the same events whatever the speed, from wherever."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.market.blocks import block_of
from tests.market.conftest import Recording
from tests.market.exchange import Script, Wire, until
from tests.market.paths import cores_on_either_path
from tests.patience import HANGS_S
from tidelog.errors import ConfigError, Corruption
from tidelog.market.book.books import Books
from tidelog.market.book.lending import Stretch
from tidelog.market.book.proof import Check
from tidelog.market.core import Core, JournalEvent
from tidelog.market.events import BookSnapshot, Connected, Disconnected, EventId, Missed, Resync, Started, Trades
from tidelog.market.journal.file import JournalWriter
from tidelog.market.journal.pruning import PruneLimits
from tidelog.market.journal.reader import JournalReader
from tidelog.market.journal.writer import open_journal
from tidelog.market.kraken import v2
from tidelog.market.kraken.checksum import ChecksumProof
from tidelog.market.live.feed import Feed
from tidelog.market.projection.inputs import Baseline, ProjectionInput
from tidelog.market.records import BEGINNING, Kind, Record
from tidelog.market.replay.position import events_after, events_to_load, follow_events
from tidelog.market.replay.replay import Summary, replay_records, summarize
from tidelog.market.replay.sources import Source, read_recording, read_source
from tidelog.market.session.controls import encode_control
from tidelog.runtime import SystemRuntime

__all__ = ["cores_on_either_path"]  # a fixture: every test runs on both paths
pytestmark = pytest.mark.usefixtures("cores_on_either_path")

RECORDED = [
    ("book-v1-depth10-xbtusd", "v1", {Check.UNCHECKED: 1, Check.MATCHED: 979}),
    ("book-v2-depth10-btcusd", "v2", {Check.MATCHED: 510}),
]


class Recorded(Script):
    """An exchange that answers the first subscription with a recording."""

    def __init__(self, frames: list[bytes]) -> None:
        super().__init__()
        self.frames = frames

    def opened(self) -> list[bytes]:
        return []

    def answer(self, frame: bytes) -> list[bytes]:
        frames, self.frames = self.frames, []
        return frames


async def run(records: list[Record], speed: float | None = None) -> tuple[list[JournalEvent], Summary]:
    summary = Summary()
    return [item async for item in replay_records(records, SystemRuntime(), speed=speed, summary=summary)], summary


def checks(summary: Summary) -> dict[Check, int]:
    return {check: count for check, count in summary.checks.items() if count}


async def journaled(path: Path) -> list[Record]:
    """A journal with some of everything that a reader has to survive, over two runs."""
    for _ in range(2):
        script = Script()
        wire = Wire(script)
        async with Feed(["A/USD", "B/USD"], ["book", "trade"], journal=str(path), transport=wire) as feed:
            for turn in range(3):
                await until(lambda: all((view := feed.book(name)) and view.proven for name in ("A/USD", "B/USD")))
                enough = feed.progress.frames
                for qty in range(3, 10):
                    enough += 3
                    wire.push(script.update("A/USD", qty), script.trade("B/USD"), script.update("B/USD", qty))
                if turn < 2:
                    enough += 3
                    wire.push(b"null", script.update("A/USD", 5, wrong=turn == 0), script.update("B/USD", 2))
                    if turn == 1:
                        wire.cut()
                await until(lambda enough=enough: feed.progress.frames >= enough)  # type: ignore[misc]
                await until(lambda turn=turn: feed.progress.connects == 1 + (turn > 0))  # type: ignore[misc]
    reader = JournalReader(str(path))
    records = list(reader.records())
    reader.close()
    return records


@pytest.mark.parametrize(
    ("records", "speed", "why"),
    [([], 0, "speed 0"), ([], -1, "speed -1"), ([], float("nan"), "speed nan"), ("a.journal", None, "is a path")],
)
async def test_what_cannot_be_replayed_so_is_refused(records: Any, speed: float | None, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        await anext(replay_records(records, SystemRuntime(), speed=speed))


@pytest.mark.parametrize(("name", "protocol", "expected"), RECORDED)
async def test_every_recorded_frame_replays_with_every_checksum_right(
    kraken_data: Path, name: str, protocol: str, expected: dict[Check, int]
) -> None:
    path = str(kraken_data / f"{name}.jsonl")
    digests = set()
    for speed in (None, None, 2_000, 100_000):
        items, summary = await run(list(read_recording(path)), speed)
        assert checks(summary) == expected
        assert items[0].event == Started(protocol)
        digests.add(summary.digests[1].hexdigest())
    assert len(digests) == 1


@pytest.mark.parametrize("name", ["book-v1-depth10-xbtusd", "book-v2-depth10-btcusd", "trade-v1", "journal"])
async def test_as_fast_as_it_goes_a_replay_counts_and_digests_the_same(
    kraken_data: Path, tmp_path: Path, name: str
) -> None:
    path = kraken_data / f"{name}.jsonl"
    if name == "journal":
        path = tmp_path / "journal"
        await journaled(path)
    _, paced = await run(list(read_source(str(path))))
    summary = summarize(Source(str(path)).blocks())
    for one in (summary, paced):
        one.digests = {run: (digest.events, digest.hexdigest()) for run, digest in one.digests.items()}  # type: ignore[misc]
    assert vars(summary) == vars(paced)
    assert summary.events > 0


@pytest.mark.parametrize(("name", "protocol", "expected"), RECORDED)
async def test_every_recorded_frame_through_a_live_feed_and_its_journal_has_the_same_digest(
    recording: Recording, tmp_path: Path, name: str, protocol: str, expected: dict[Check, int]
) -> None:
    frames, path = recording(name), tmp_path / "journal"
    wire = Wire(Recorded(list(frames)))
    feed = Feed(["BTC/USD"], ["book"], journal=str(path), protocol=protocol, transport=wire, digest=True)
    async with feed:
        await until(lambda: feed.progress.frames == len(frames))
        view = feed.book("BTC/USD")
        assert view is not None
        assert view.proven
    records = list(read_source(str(path)))
    assert [record.payload for record in records if record.kind is Kind.IN] == frames
    _, summary = await run(records)
    assert checks(summary) == expected
    assert {run: digest.hexdigest() for run, digest in summary.digests.items()} == {1: feed.digest}


async def test_replay_keeps_the_pace_of_the_records(kraken_data: Path) -> None:
    records = list(read_recording(str(kraken_data / "book-v2-depth10-btcusd.jsonl")))
    took_s = (records[-1].at_us - records[0].at_us) / 1_000_000
    loop = asyncio.get_running_loop()
    begun = loop.time()
    await run(records, speed=took_s / 0.3)
    assert 0.25 < loop.time() - begun < 3


async def test_reading_from_any_position_yields_exactly_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    records = await journaled(path)
    core = Core()
    whole = [item for record in records if (item := core.apply(record)) is not None]
    kinds = Counter(type(item.event) for item in whole)
    assert (kinds[Started], kinds[Disconnected], kinds[Resync]) == (2, 4, 2)
    assert kinds[Trades] == 42
    reader = JournalReader(str(path))
    assert list(events_after(reader)) == whole
    for after in (record.id for record in records[:: max(1, len(records) // 40)]):
        assert list(events_after(reader, after)) == [item for item in whole if item.id > after]
    reader.close()


async def test_a_journal_is_read_by_another_program_while_it_is_written(tmp_path: Path) -> None:
    path, runtime = tmp_path / "journal", SystemRuntime()
    records = await journaled(tmp_path / "source")
    journal = await open_journal(str(path), runtime)
    seen: list[JournalEvent] = []
    core = Core()
    first_run = [record for record in records if record.id.run == 1]
    whole = [item for record in first_run if (item := core.apply(record)) is not None]

    async def watch() -> None:
        async for items in follow_events(str(path), runtime, after=EventId(1, 10)):
            seen.extend(items)
            if seen[-1].id == whole[-1].id:
                return

    watching: asyncio.Task[None] | None = None
    for number, record in enumerate(first_run):
        id_ = journal.append(record.kind, record.payload, record.at_us, restart=record.restart)
        if number % 20 == 19:
            await journal.wait_durable(id_)
            watching = watching or asyncio.create_task(watch())
    assert watching is not None
    async with asyncio.timeout(HANGS_S):
        await watching
    assert seen == [item for item in whole if item.id.seq > 10]
    await journal.close()


async def test_the_loader_gets_the_books_as_they_were_and_the_feeds_own_events(tmp_path: Path) -> None:
    path, runtime = tmp_path / "journal", SystemRuntime()
    records = await journaled(path)
    core = Core()
    whole = [item for record in records if (item := core.apply(record)) is not None]
    for after in (BEGINNING, records[len(records) // 3].id, records[len(records) // 2].id):
        loaded = [item async for item in events_to_load(str(path), runtime, after=after, ending=lambda: True)]
        past, rest = [one for one in loaded if one.id <= after], [one for one in loaded if one.id > after]
        assert [id_ for one in rest for id_ in ids_of(one)] == [item.id for item in whole if item.id > after]
        books = Books(v2.decode, ChecksumProof)
        for name in ("A/USD", "B/USD"):
            books.open(name, 10)
        then = Core()
        for record in records:
            if record.id <= after:
                then.apply(record)
        for one in past:
            assert isinstance(one, JournalEvent)
            assert isinstance(one.event, BookSnapshot)
            books.by_symbol[one.event.symbol].apply(one.event)
        for name, book in then.books.by_symbol.items():
            again = books.by_symbol[name]
            assert (again.bids, again.asks, again.proven) == (book.bids, book.asks, book.proven)
    everything = [item async for item in events_to_load(str(path), runtime, ending=lambda: True)]
    kinds = Counter(type(one.event) for one in everything if isinstance(one, JournalEvent))
    assert [kinds[kind] for kind in (Started, Connected, Disconnected, Resync)] == [2, 4, 4, 2]


async def test_a_position_that_retention_has_passed_is_told_by_the_first_event(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    records = await journaled(path)
    journal = await open_journal(str(path), SystemRuntime())
    await journal.prune(PruneLimits(before_us=records[-1].at_us + 1))
    await journal.close()
    reader = JournalReader(str(path))
    missed, first, *_ = events_after(reader, EventId(1, 5))
    last_of_run = max(record.id for record in records if record.id.run == 1)
    assert (missed.id, missed.event) == (last_of_run, Missed("journal_pruned"))
    assert first.id == EventId(2, 1)
    assert isinstance(first.event, Started)
    assert next(events_after(reader, last_of_run)) == first, "nothing is gone that was not read"
    assert next(events_after(reader)) == first
    reader.close()


async def with_states(path: Path) -> list[Record]:
    """A copy of a journal's first run in small blocks, a full state in every other one."""
    records = [record for record in await journaled(path.parent / "source") if record.id.run == 1]
    journal = await open_journal(str(path), SystemRuntime())
    core = Core()
    for number, record in enumerate(records, 1):
        id_ = journal.append(record.kind, record.payload, record.at_us, restart=record.restart)
        core.apply(record)
        if number % 20 == 0:
            id_ = journal.append(Kind.CONTROL, encode_control(core.snapshot()), record.at_us, restart=True)
        if number % 10 == 0:
            await journal.wait_durable(id_)
    await journal.close()
    return list(read_source(str(path)))


async def cut(path: Path, *, times: int = 1) -> EventId:
    """Drop the oldest though nobody has read it; the last that is gone."""
    writer = JournalWriter(str(path))
    for _ in range(times):
        assert writer.prune(PruneLimits(None, writer.used_bytes - 1, BEGINNING, at_all_costs=True)) > 0
    gone = writer.dropped
    assert gone is not None
    assert gone.reason == "journal_full"
    writer.forget_run()
    writer.close()
    return gone.id


async def test_a_follower_whose_next_record_is_dropped_begins_anew_and_says_so(tmp_path: Path) -> None:
    path, runtime = tmp_path / "journal", SystemRuntime()
    records = await with_states(path)
    core = Core()
    whole = [item for record in records if (item := core.apply(record)) is not None]
    ended = False
    following = follow_events(str(path), runtime, ending=lambda: ended, books=True)
    seen = await anext(following)  # the first block; then it has better things to do
    gone = await cut(path, times=3)
    ended = True
    missed, *rest = [item async for items in following for item in items]
    assert seen == [item for item in whole if item.id <= seen[-1].id]
    assert (missed.id, missed.event) == (gone, Missed("journal_full"))
    assert seen[-1].id < gone
    books, events = [one for one in rest if one.id == gone], [one for one in rest if one.id > gone]
    assert events == [item for item in whole if item.id > gone]
    assert_books(books, records, gone)


async def test_a_follower_that_had_read_what_is_dropped_does_not_notice(tmp_path: Path) -> None:
    path, runtime = tmp_path / "journal", SystemRuntime()
    records = await with_states(path)
    core = Core()
    whole = [item for record in records if (item := core.apply(record)) is not None]
    ended = False
    following = follow_events(str(path), runtime, ending=lambda: ended)
    seen: list[JournalEvent] = []
    while len(seen) < len(whole) // 2:
        seen += await anext(following)
    writer = JournalWriter(str(path))
    writer.prune(PruneLimits(before_us=records[-1].at_us, restart=seen[-1].id))
    assert writer.dropped is not None
    writer.forget_run()
    writer.close()
    ended = True
    assert seen + [item async for items in following for item in items] == whole


async def test_a_loader_started_anywhere_misses_exactly_what_was_dropped(tmp_path: Path) -> None:
    path, runtime = tmp_path / "journal", SystemRuntime()
    records = await with_states(path)
    core = Core()
    whole = [item for record in records if (item := core.apply(record)) is not None]
    gone = await cut(path, times=3)
    for after in [record.id for record in records]:
        loaded = [one async for one in events_to_load(str(path), runtime, after=after, ending=lambda: True)]
        gaps = [one.id for one in loaded if isinstance(one, JournalEvent) and one.event == Missed("journal_full")]
        assert gaps == ([gone] if after < gone else []), after
        rest = [one for one in loaded if one.id > max(after, gone)]
        assert [id_ for one in rest for id_ in ids_of(one)] == [item.id for item in whole if item.id > max(after, gone)]
        baselines = [one for one in loaded if isinstance(one, Baseline)]
        assert bool(baselines) == (after <= gone), "books are news only to one that has not seen how they came so"
        books = [
            one.book if isinstance(one, Baseline) else one.event
            for one in loaded
            if one not in rest and not isinstance(one, Stretch)
        ]
        assert_books(
            [JournalEvent(after, 0, book, None) for book in books if isinstance(book, BookSnapshot)],
            records,
            max(after, gone),
        )
        assert all(one.depth == 10 for one in baselines)


def ids_of(item: ProjectionInput) -> list[EventId]:
    """Of all events that it stands for."""
    if isinstance(item, Stretch):
        return [EventId(item.id.run, seq) for seq in range(item.begin.seq, item.end.seq)]
    return [item.id]


def assert_books(items: list[JournalEvent], records: list[Record], at: EventId) -> None:
    """They are the books as they were when that record had come."""
    then = Core()
    for record in records:
        if record.id <= at or (record.restart and record.id.seq == at.seq + 1):
            then.apply(record)
    books = Books(v2.decode, ChecksumProof)
    for item in items:
        assert isinstance(item.event, BookSnapshot)
        books.open(item.event.symbol, 10).apply(item.event)
    ready = {name: book for name, book in then.books.by_symbol.items() if book.state.ready}
    assert {name: (book.bids, book.asks) for name, book in books.by_symbol.items()} == {
        name: (book.bids, book.asks) for name, book in ready.items()
    }


async def test_a_snapshot_within_a_block_costs_the_records_before_it(tmp_path: Path) -> None:
    """As of journals that were written before snapshots began their blocks."""
    path = tmp_path / "journal"
    records = await with_states(tmp_path / "other")
    begin = next(number for number, record in enumerate(records) if record.restart and number > 10)
    left = records[begin - 5 : begin + 15]
    writer = JournalWriter(str(path))
    block = block_of(1, left[0].id.seq, [(one.kind.value, one.at_us, one.payload) for one in left])
    block.restart_seq = records[begin].id.seq
    writer.forget_run()
    writer.import_run([block])
    writer.close()
    reader = JournalReader(str(path))
    for after in [record.id for record in records[begin - 8 : begin - 1]]:
        missed, *rest = events_after(reader, after)
        assert missed.event == Missed("journal_pruned")
        assert all(item.id > records[begin].id for item in rest)
    assert all(not isinstance(item.event, Missed) for item in events_after(reader, records[begin - 1].id))
    reader.close()


async def test_a_digest_of_a_run_that_was_not_read_whole_is_none(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    records = await with_states(path)
    gone = await cut(path, times=2)
    lost = Record(gone, 0, Kind.LOST, b"journal_full")
    _, summary = await run([*records[:20], lost, *[record for record in records if record.id > gone]])
    assert summary.digests == {}


async def test_a_journal_that_contradicts_itself_is_told(tmp_path: Path) -> None:
    records = await journaled(tmp_path / "journal")
    opened = next(
        number
        for number, record in enumerate(records)
        if record.kind is Kind.CONTROL and b"Connected" in record.payload
    )
    core = Core()
    for record in records[:opened]:
        core.apply(record)
    core.apply(records[opened])
    with pytest.raises(Corruption, match="opened while subscribing"):
        core.apply(records[opened])
    with pytest.raises(Corruption, match="cannot be read"):
        core.apply(Record(EventId(1, 99), 0, Kind.CONTROL, b"{}"))


def test_files_that_are_no_source_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        list(read_source(str(tmp_path / "absent")))


def test_a_core_without_a_snapshot_yields_nothing() -> None:
    core = Core()
    assert core.apply(Record(EventId(1, 1), 0, Kind.IN, b'{"channel":"heartbeat"}')) is None
    assert core.at > BEGINNING
