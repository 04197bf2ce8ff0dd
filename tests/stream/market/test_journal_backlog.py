"""A journal as messages: from any place on the same ones, and what is gone, or went back, is told."""

import asyncio
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.market.blocks import block_of
from tests.market.stretches import write_journal
from tests.stream.market.folded import Folded
from tests.stream.market.test_telling import a_journal
from tests.stream.test_chain_messages import stored
from tidelog.chain.forks.bookmarks import BEGIN, Agreed, Ahead, Place, WentBack
from tidelog.market.core import Core
from tidelog.market.events import EventId, Started
from tidelog.market.journal.file import JournalWriter
from tidelog.market.journal.pruning import PruneLimits
from tidelog.market.journal.reader import JournalReader
from tidelog.market.records import Kind, Record
from tidelog.market.replay.position import resume
from tidelog.market.session.controls import encode_control
from tidelog.runtime import SystemRuntime
from tidelog.stream.backlog import Page
from tidelog.stream.envelope import Part, part_of
from tidelog.stream.market.journal import JournalBacklog
from tidelog.stream.market.messages import KINDS_OF_EVENTS, EventKind, Frames, MarketItem, MarketLanguage, Recorded
from tidelog.stream.market.places import id_of
from tidelog.stream.port import Message
from tidelog.telemetry import StreamFigures

PAYLOAD_MAX = 100_000
NAME = "kraken"
LANGUAGE = MarketLanguage(NAME)
ENOUGH = 10_000  # pages


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One run, with some of the core's states in it."""
    path = tmp_path_factory.mktemp("journal") / "journal"
    write_journal(path, a_journal("v2", 5))
    return path


def pages(
    path: Path, place: Place = BEGIN, kinds: tuple[EventKind, ...] = KINDS_OF_EVENTS, *, skip: int = 0
) -> tuple[list[Page], Place]:
    """All that a journal has behind a place, and the place behind that."""

    async def read(place: Place) -> tuple[list[Page], Place]:
        backlog = JournalBacklog(str(path), SystemRuntime(), NAME, kinds=kinds)
        found: list[Page] = []
        try:
            for _ in range(ENOUGH):
                page = await backlog.next(place, PAYLOAD_MAX)
                place = page.place
                found.append(page)
                if not page.more:
                    return found, place
        finally:
            await backlog.close()
        raise AssertionError("it does not end")

    return asyncio.run(read(place))


def messages(path: Path, place: Place = BEGIN, kinds: tuple[EventKind, ...] = KINDS_OF_EVENTS) -> list[Message]:
    found, _ = pages(path, place, kinds)
    return [message for page in found for message in page.messages]


def items(found: Sequence[Message], place: Place = BEGIN) -> list[MarketItem]:
    """What a consumer makes of them, which are in order."""
    gathered, parts = list[MarketItem](), list[Part]()
    for part in map(part_of, stored(list(found))):
        assert part.after == place
        assert part.number == len(parts) + 1
        parts.append(part)
        if part.is_last:
            gathered.append(LANGUAGE.joined(parts, 0))
            place, parts = part.place, []
    assert not parts
    return gathered


def folded(found: Sequence[Message], place: Place = BEGIN, into: Folded | None = None) -> Folded:
    result = into or Folded()
    for item in items(found, place):
        result.take(item)
    return result


def core_of(path: Path) -> Core:
    core, reader = Core(), JournalReader(str(path))
    try:
        for record in reader.records():
            core.apply(record)
    finally:
        reader.close()
    return core


def add_run(path: Path, *frames: bytes) -> None:
    """Another run, which ends in order."""
    writer = JournalWriter(str(path))
    at_us = 1_800_000_000_000_000 + writer.run * 1_000_000 + len(frames)
    records: list[tuple[int, int, bytes]] = [
        (Kind.CONTROL.value, at_us, encode_control(Started("v2", previous_us=at_us - 9)))
    ]
    records += [(Kind.IN.value, at_us, frame) for frame in frames]
    writer.commit([block_of(writer.run, 1, records, 1)])
    writer.close()


def test_all_of_a_journal_folds_to_its_books(journal: Path) -> None:
    result = folded(messages(journal))
    result.equals(core_of(journal))
    assert result.records > 300
    assert not result.resets


def test_from_any_place_on_it_is_the_same(journal: Path) -> None:
    whole = messages(journal)
    parts = [part_of(each) for each in stored(whole)]
    for index in range(0, len(whole), 37):
        last = max((i for i in range(index + 1) if parts[i].is_last), default=None)
        if last is not None:
            assert messages(journal, parts[last].place) == whole[last + 1 :]


def test_a_place_at_the_end_has_nothing_behind_it(journal: Path) -> None:
    _, place = pages(journal)
    found, after = pages(journal, place)
    assert [(page.verdict, list(page.messages), page.more) for page in found] == [(Agreed(), [], False)]
    assert after == place


async def test_a_look_says_how_far_it_is(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    figures = StreamFigures()
    backlog = JournalBacklog(str(path), SystemRuntime(), NAME, metrics=figures)
    try:
        for run in (1, 2):
            add_run(path)
            await backlog.look()
            assert id_of(backlog.last) == EventId(run, 1)
        assert figures.lag_s == 1.0, "by the times of the last records of two runs"
        for old in tmp_path.glob("journal*"):
            old.unlink()
        add_run(path)
        await backlog.look()
        assert id_of(backlog.last) == EventId(1, 1), "of the file that is in its place now"
    finally:
        await backlog.close()


def test_raw_records_are_the_journals(journal: Path) -> None:
    found = items(messages(journal, kinds=()))
    frames = [frame for item in found if isinstance(item, Frames) for frame in item.frames]
    reader = JournalReader(str(journal))
    records = list(reader.records())
    reader.close()
    assert [(frame.run, frame.seq, frame.at_us, frame.payload) for frame in frames] == [
        (record.id.run, record.id.seq, record.at_us, record.payload) for record in records
    ]
    assert [frame.kind for frame in frames] == [record.kind.name.lower() for record in records]


def pruned(path: Path) -> None:
    """Dropped up to its last state."""
    writer = JournalWriter(str(path))
    writer.prune(PruneLimits(before_us=2**62))
    writer.close()


def test_what_the_journal_has_dropped_is_a_gap(journal: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(journal, tmp_path / "journal"))
    before = messages(path)
    places = [part_of(each).place for each in stored(before)]
    pruned(path)
    first = next(record.id for record in records_of(path) if record.restart)
    assert first.seq > 100
    early = next(place for place in places if place.seq)
    for place in (BEGIN, early):
        result = folded(messages(path, place), place)
        assert [gap.reason for gap in result.gaps][:1] == ["journal_pruned"]
        result.equals(core_of(path))
    late = next(place for place in places if id_of(place.seq) > first)
    later = messages(path, late)
    assert [each.payload for each in later[:20]] == [
        each.payload for each, place in zip(before, places, strict=True) if place.seq > late.seq
    ][:20]


def test_what_is_dropped_on_the_way_to_a_place_is_a_gap(
    journal: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The core was begun with a state that is gone before the records behind it are read."""
    path, copy = (Path(shutil.copy(journal, tmp_path / name)) for name in ("journal", "copy"))
    places = [part_of(each).place for each in stored(messages(path))]
    pruned(copy)
    left = records_of(copy)
    first = next(record.id for record in left if record.restart)
    place = next(place for place in places if left[0].id < id_of(place.seq) < first)
    begun = list[EventId]()

    def slowly(reader: JournalReader, at: EventId) -> tuple[Core, EventId]:
        core, start = resume(reader, at)
        if not begun:
            pruned(path)
        begun.append(start)
        return core, start

    monkeypatch.setattr("tidelog.stream.market.journal.resume", slowly)
    result = folded(messages(path, place), place)
    assert begun[0] < left[0].id
    assert [gap.reason for gap in result.gaps][:1] == ["journal_pruned"]
    result.equals(core_of(path))


def records_of(path: Path) -> list[Record]:
    reader = JournalReader(str(path))
    try:
        return list(reader.records())
    finally:
        reader.close()


def test_an_older_copy_that_goes_on_is_told_by_a_reset(journal: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(journal, tmp_path / "journal"))
    add_run(path, b'{"channel":"heartbeat"}')
    copy = shutil.copy(path, tmp_path / "copy")
    result = folded(messages(path))
    _, common = pages(path)
    add_run(path)
    _, place = pages(path, common)
    folded(messages(path, common), common, result)
    shutil.copy(copy, path)
    found, _ = pages(path, place)
    assert [(page.verdict, page.more) for page in found] == [(Ahead(common.seq + 1), False)], "nobody has written to it"
    add_run(path, b"{")  # another run of the same number
    found, _ = pages(path, place)
    assert isinstance(found[0].verdict, WentBack)
    folded(messages(path, place), place, result)
    assert result.resets == 1
    assert result.at[0] == id_of(place.seq).run
    result.equals(core_of(path))


def test_another_journal_of_the_recording_goes_on_behind_a_gap(journal: Path, tmp_path: Path) -> None:
    _, place = pages(journal)
    path = tmp_path / "another"
    writer = JournalWriter(str(path), first_run=id_of(place.seq).run + 1)
    writer.close()
    add_run(path)
    (gap, started) = items(messages(path, place), place)
    assert isinstance(gap, Recorded)
    assert isinstance(started, Recorded)
    assert [event.__struct_config__.tag for event in gap.events] == ["gap"]
    assert started.run > id_of(place.seq).run


def test_another_file_in_its_place_is_noticed(journal: Path, tmp_path: Path) -> None:
    """While it is read, too: the place is looked for again."""
    path = Path(shutil.copy(journal, tmp_path / "journal"))

    async def read() -> list[Page]:
        runtime = SystemRuntime()
        backlog = JournalBacklog(str(path), runtime, NAME)
        place, found = BEGIN, list[Page]()
        try:
            while (page := await backlog.next(place, PAYLOAD_MAX)).more:
                place = page.place
            add_run(path)
            copy = Path(shutil.copy(path, tmp_path / "copy"))
            copy.replace(path)
            while not found:
                page = await backlog.next(place, PAYLOAD_MAX)
                found += [page] if page.messages else []
        finally:
            await backlog.close()
        return found

    (page,) = asyncio.run(read())
    assert {id_of(part_of(each).place.seq).run for each in stored(list(page.messages))} == {4}
