"""A journal's reader: what it finds by time, and how little of the file it reads for that."""

import random
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import apsw
import pytest

from tidelog.errors import Corruption
from tidelog.market.events import EventId
from tidelog.market.journal.export import export_journal, import_journal, read_export
from tidelog.market.journal.file import JournalWriter
from tidelog.market.journal.pruning import PruneLimits
from tidelog.market.journal.reader import JournalReader
from tidelog.market.journal.schema import Block
from tidelog.market.records import BEGINNING, Kind, PackedRecords, Record

MARKED_EVERY = 7  # blocks
BLOCK_US = 10  # from one block's last record to the next one's


def write_run(path: Path, blocks: int, begin_us: int) -> None:
    """A run of blocks of three records, some of which have a control record in the middle."""
    writer = JournalWriter(str(path))
    written: list[Block] = []
    for number in range(blocks):
        block = Block(writer.run, number * 3 + 1)
        for place in range(3):
            marked = place == 1 and number % MARKED_EVERY == 0
            at_us = begin_us + number * BLOCK_US + place
            block.add(Kind.CONTROL if marked else Kind.IN, at_us, b"frame", 5)
        written.append(block)
    if written:
        writer.commit(written)
    writer.close()


def before_of_all(blocks: list[tuple[int, int, int, int]], at_us: int) -> EventId:
    """What precedes the first block that ends then or later."""
    for run, first_seq, _, last_us in blocks:
        if last_us >= at_us:
            return EventId(run, first_seq - 1)
    return EventId(blocks[-1][0], blocks[-1][1] + blocks[-1][2] - 1) if blocks else BEGINNING


@pytest.mark.parametrize(
    "runs",
    [
        [],
        [(0, 0)],
        [(1, 1_000)],
        [(20, 1_000)],
        [(20, 1_000), (15, 1_400), (0, 0)],
        [(20, 1_000), (0, 0), (1, 1_300), (30, 1_320)],
        [(20, 1_000), (30, 900), (9, 1_100)],  # the clock was set back between runs
    ],
)
def test_what_is_found_by_time_is_what_a_walk_through_everything_finds(
    tmp_path: Path, runs: list[tuple[int, int]]
) -> None:
    path = tmp_path / "j"
    JournalWriter(str(path)).close()
    for blocks, begin_us in runs:
        write_run(path, blocks, begin_us)
    connection = apsw.Connection(str(path))
    held = list(connection.execute("SELECT run, first_seq, count, last_us FROM blocks ORDER BY run, first_seq"))
    connection.close()
    reader = JournalReader(str(path))
    marks = [each for each in reader.records() if each.kind is Kind.CONTROL]
    for at_us in range(898, 1_640, 3):
        assert list(reader.marks(at_us)) == [mark for mark in marks if mark.at_us >= at_us], at_us
        assert reader.before(at_us) == before_of_all(held, at_us), at_us
    reader.close()


def steps_of(path: Path, ask: Callable[[JournalReader, int], object], at_us: int) -> int:
    """How many steps SQLite takes to answer."""
    steps = 0

    def count() -> bool:
        nonlocal steps
        steps += 1
        return False

    reader = JournalReader(str(path))
    reader._connection.set_progress_handler(count, 1)
    ask(reader, at_us)
    reader.close()
    return steps


def list_marks(reader: JournalReader, at_us: int) -> object:
    return list(reader.marks(at_us))


@pytest.mark.parametrize("ask", [list_marks, JournalReader.before])
def test_a_time_is_found_without_reading_what_is_older(
    tmp_path: Path, ask: Callable[[JournalReader, int], object]
) -> None:
    small, large = tmp_path / "small", tmp_path / "large"
    for path, blocks in ((small, 200), (large, 20_000)):
        write_run(path, blocks, 0)
        write_run(path, 100, 1_000_000)
    for at_us in (1_000_500, 1_000_995, 2_000_000):
        assert steps_of(large, ask, at_us) <= steps_of(small, ask, at_us)


def test_a_time_within_a_run_is_found_by_halving(tmp_path: Path) -> None:
    small, large = tmp_path / "small", tmp_path / "large"
    for path, blocks in ((small, 200), (large, 20_000)):
        write_run(path, blocks, 0)
    for ask in (list_marks, JournalReader.before):
        newest = [steps_of(path, ask, (blocks - 20) * BLOCK_US) for path, blocks in ((small, 200), (large, 20_000))]
        assert newest[1] < 3 * newest[0]


def test_controls_after_an_id_are_found_without_reading_what_is_older(tmp_path: Path) -> None:
    """Steps grow with what is behind the id, and not with what is before it."""
    steps = []
    for blocks in (200, 20_000):
        path = tmp_path / str(blocks)
        write_run(path, blocks, 0)
        write_run(path, 5, 1_000_000)
        reader = JournalReader(str(path))
        every = list(reader.controls(BEGINNING))
        for seq in (0, 1, 2, 3, 4, blocks * 3 - 61, blocks * 3 - 60, blocks * 3, blocks * 3 + 1):
            after = EventId(1, seq)
            assert list(reader.controls(after)) == [record for record in every if record.id > after]
        reader.close()
        steps.append(steps_of(path, lambda reader, seq: list(reader.controls(EventId(1, seq))), blocks * 3 - 60))
    assert steps[1] <= steps[0]


def marks_of(reader: JournalReader) -> Iterator[Record]:
    return reader.marks(0)


def controls_of(reader: JournalReader) -> Iterator[Record]:
    return reader.controls(BEGINNING)


def write_restarts(path: Path) -> JournalWriter:
    """A run of forty blocks, each of which begins with a snapshot."""
    writer, noise = JournalWriter(str(path)), random.Random(1)
    for first_seq in range(1, 81, 2):
        block = Block(writer.run, first_seq)
        block.add(Kind.CONTROL, first_seq, b"state", 5, restart=True)
        block.add(Kind.IN, first_seq, noise.randbytes(20_000), 20_000)
        writer.commit([block])
    return writer


@pytest.mark.parametrize("controls", [marks_of, controls_of])
def test_what_is_dropped_between_two_reads_is_left_out(
    tmp_path: Path, controls: Callable[[JournalReader], Iterator[Record]]
) -> None:
    writer = write_restarts(tmp_path / "j")
    reader = JournalReader(str(tmp_path / "j"))
    found = controls(reader)
    seen = [next(found).id.seq for _ in range(3)]
    assert writer.prune(PruneLimits(bytes_max=writer.used_bytes // 2, at_all_costs=True)) > 10
    assert writer.dropped is not None
    seen += [record.id.seq for record in found]
    assert seen == [1, 3, 5, *range(writer.dropped.id.seq + 1, 81, 2)]
    reader.close()
    writer.close()


def test_an_export_of_which_some_is_dropped_meanwhile_has_what_is_left_without_a_hole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer, path = write_restarts(tmp_path / "j"), str(tmp_path / "exported")
    reader, read, reads = JournalReader(str(tmp_path / "j")), JournalReader.packed, count(1)

    def packed(self: JournalReader, after: EventId = BEGINNING) -> PackedRecords | Record | None:
        if self is reader and next(reads) == 4:
            writer.prune(PruneLimits(bytes_max=writer.used_bytes // 2, at_all_costs=True))
        return read(self, after)

    monkeypatch.setattr(JournalReader, "packed", packed)
    records = export_journal(reader, path)
    left = list(reader.records())
    assert left[0].id.seq > 10
    assert list(read_export(path)) == left
    assert import_journal(path, str(tmp_path / "imported")) == records == len(left)
    reader.close()
    writer.close()


@pytest.mark.parametrize("controls", [marks_of, controls_of])
def test_a_block_that_is_missing_and_was_not_dropped_is_damage(
    tmp_path: Path, controls: Callable[[JournalReader], Iterator[Record]]
) -> None:
    writer = write_restarts(tmp_path / "j")
    writer.prune(PruneLimits(bytes_max=writer.used_bytes // 2, at_all_costs=True))
    writer.close()
    reader = JournalReader(str(tmp_path / "j"))
    found = controls(reader)
    next(found)
    connection = apsw.Connection(str(tmp_path / "j"))
    connection.execute("DELETE FROM blocks WHERE first_seq = 71")
    connection.close()
    with pytest.raises(Corruption, match=r"record 1\.71 is missing"):
        list(found)
    reader.close()
