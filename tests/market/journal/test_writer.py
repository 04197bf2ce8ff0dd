"""The journal: what was reported durable is there, a block is whole or absent, and damage has a name."""

import asyncio
import io
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any, TypeVar

import apsw
import pytest

from tests.market.blocks import block_of
from tests.market.journal_child import payload
from tests.patience import HANGS_S
from tests.virtual import VirtualRuntime, virtually
from tidelog.errors import ConfigError, Corruption, Displaced, Fenced, Full, JournalStalled
from tidelog.market.events import EventId
from tidelog.market.journal.export import export_journal, import_journal
from tidelog.market.journal.file import JournalWriter, remove_log
from tidelog.market.journal.identity import Identity, log_of
from tidelog.market.journal.pruning import PruneLimits
from tidelog.market.journal.reader import JournalReader
from tidelog.market.journal.writer import LIMITS, Journal, JournalLimits, follow, follow_packed, open_journal
from tidelog.market.records import BEGINNING, Kind, Record
from tidelog.runtime import Runtime, SystemRuntime, ThreadWorker
from tidelog.telemetry import configure_logs

T = TypeVar("T")
KILLS = 4
MIXED = [(Kind.CONTROL, b"{}"), (Kind.IN, b'{"channel":"heartbeat"}'), (Kind.OUT, b""), (Kind.IN, b"\xff\x00broken\n")]


class SlowWorker(ThreadWorker):
    """A thread that does nothing until it is let."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.gate = threading.Event()
        self.gate.set()

    async def call(self, function: Callable[[], T]) -> T:
        def gated() -> T:
            self.gate.wait()
            return function()

        return await super().call(gated)


class SlowRuntime(SystemRuntime):
    def worker(self, name: str) -> SlowWorker:
        self.slow = SlowWorker(name)
        return self.slow


def read(path: Path, after: EventId = BEGINNING) -> list[Record]:
    reader = JournalReader(str(path))
    try:
        return list(reader.records(after))
    finally:
        reader.close()


async def write(path: Path, count: int, *, restart_every: int = 0, at_us: int = 1_000, flush_every: int = 0) -> Journal:
    """A closed run of `count` frames."""
    journal = await open_journal(str(path), SystemRuntime())
    for seq in range(1, count + 1):
        restart = seq == 1 or bool(restart_every and seq % restart_every == 0)
        kind = Kind.CONTROL if restart else Kind.IN
        id_ = journal.append(kind, payload(seq), at_us + seq, restart=restart)
        if flush_every and seq % flush_every == 0:
            await journal.wait_durable(id_)
    await journal.close()
    return journal


def damage(path: Path, sql: str) -> None:
    connection = apsw.Connection(str(path))
    connection.execute(sql)
    connection.close()


async def test_records_are_read_as_they_were_appended(tmp_path: Path) -> None:
    path = tmp_path / "j"
    told: list[EventId] = []
    journal = await open_journal(str(path), SystemRuntime(), on_durable=told.append)
    ids = [journal.append(kind, body, at_us, restart=kind is Kind.CONTROL) for at_us, (kind, body) in enumerate(MIXED)]
    assert ids == [EventId(1, seq) for seq in (1, 2, 3, 4)]
    assert (journal.unsynced_frames, journal.durable, journal.last) == (4, EventId(1, 0), EventId(1, 4))
    await journal.wait_durable(ids[-1])
    assert (journal.unsynced_frames, journal.durable, told) == (0, ids[-1], [ids[-1]])
    assert read(path) == [
        Record(EventId(1, seq), seq - 1, kind, body, seq == 1) for seq, (kind, body) in enumerate(MIXED, 1)
    ]
    await journal.close()


async def test_each_opening_is_a_run_and_reading_goes_through_all(tmp_path: Path) -> None:
    path = tmp_path / "j"
    for count in (3, 0, 2):
        await write(path, count)
    ids = [record.id for record in read(path)]
    assert ids == [EventId(1, 1), EventId(1, 2), EventId(1, 3), EventId(3, 1), EventId(3, 2)]
    assert [record.id for record in read(path, EventId(1, 2))] == ids[2:]
    assert read(path, EventId(3, 2)) == []
    reader = JournalReader(str(path))
    assert reader.ends() == (ids[0], ids[-1])
    reader.close()


async def test_a_second_recorder_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "j"
    first = await open_journal(str(path), SystemRuntime())
    with pytest.raises(ConfigError, match=rf"{path} is written by process {os.getpid()} already: stop that one first"):
        await open_journal(str(path), SystemRuntime())
    first.append(Kind.IN, b"good", 1)
    await first.close()
    second = await open_journal(str(path), SystemRuntime())
    await second.close()
    assert [record.payload for record in read(path)] == [b"good"]


async def test_a_second_writer_fences_the_first(tmp_path: Path) -> None:
    """As on a file system where locks mean nothing."""
    first = await open_journal(str(tmp_path / "j"), SystemRuntime())
    second = JournalWriter(str(tmp_path / "j"))
    id_ = first.append(Kind.IN, b"late", 1)
    with pytest.raises(Fenced, match="run 2 has taken"):
        await first.wait_durable(id_)
    with pytest.raises(Fenced):
        first.append(Kind.IN, b"later", 2)
    with pytest.raises(Fenced):
        await first.close()
    second.commit([block_of(2, 1, [(Kind.IN.value, 3, b"good")])])
    second.close()
    assert [record.payload for record in read(tmp_path / "j")] == [b"good"]


async def test_the_file_alone_is_whole_after_an_orderly_end_with_a_reader(tmp_path: Path) -> None:
    path = tmp_path / "j"
    await write(path, 50, flush_every=10)
    journal = await open_journal(str(path), SystemRuntime())
    reader = JournalReader(str(path))
    assert len(list(reader.records())) == 50
    journal.append(Kind.IN, b"last", 1_000)
    await journal.close()
    alone = Path(shutil.copy(path, tmp_path / "copy"))
    assert [record.payload for record in read(alone)][50:] == [b"last"]
    reader.close()
    remove_log(str(path))
    assert {file.name for file in tmp_path.iterdir()} - {"copy", "copy-wal", "copy-shm"} == {"j"}


@pytest.fixture
def said() -> io.StringIO:
    """What is logged meanwhile."""
    stream = io.StringIO()
    configure_logs(stream=stream, level="warning")
    return stream


async def test_a_copy_without_its_log_says_so(tmp_path: Path, said: io.StringIO) -> None:
    path = tmp_path / "j"
    journal = await open_journal(str(path), SystemRuntime())
    journal.append(Kind.IN, b"in the log", 1)
    await journal.wait_durable(journal.last)
    alone = Path(shutil.copy(path, tmp_path / "alone"))
    both = Path(shutil.copy(path, tmp_path / "both"))
    shutil.copy(log_of(str(path)), log_of(str(both)))
    await journal.close()

    assert [record.payload for record in read(both)] == [b"in the log"]
    assert "journal_log_missing" not in said.getvalue()
    assert read(alone) == []
    assert "journal_log_missing" in said.getvalue()
    assert f"{alone}-wal is not here: a copy needs both" in said.getvalue()


async def test_a_journal_whose_opening_is_cancelled_while_it_is_made_is_ended_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def make(path: str, vfs: str | None, **rest: Any) -> JournalWriter:
        begun.set()
        assert go_on.wait(HANGS_S)
        return JournalWriter(path, vfs, **rest)

    monkeypatch.setattr("tidelog.market.journal.writer.JournalWriter", make)
    path = str(tmp_path / "journal")
    opening = asyncio.create_task(open_journal(path, SystemRuntime()))
    assert await asyncio.to_thread(begun.wait, HANGS_S)
    opening.cancel()
    await asyncio.sleep(0)  # a turn of the loop, in which it is told so
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await opening
    reader = JournalReader(path)
    assert (reader.identity is not None, getattr(reader.identity, "open_run", 0)) == (True, None)
    reader.close()


def test_an_empty_file_whose_log_is_missing_is_refused(tmp_path: Path) -> None:
    """As an older tidelog left it while it was recording: everything was in the log."""
    path = tmp_path / "j"
    connection = apsw.Connection(str(path))
    connection.pragma("journal_mode", "wal")
    connection.execute("CREATE TABLE runs (run)")
    alone = Path(shutil.copy(path, tmp_path / "alone"))
    connection.close()
    for open_it in (JournalReader, JournalWriter):
        with pytest.raises(ConfigError, match=rf"{alone} holds nothing: .* in {alone}-wal, which is not here"):
            open_it(str(alone))


def test_an_id_stays_and_tells_journals_apart(tmp_path: Path) -> None:
    ids = []
    for name in ("one", "one", "two"):
        writer = JournalWriter(str(tmp_path / name))
        ids.append(writer.id)
        writer.close()
    assert ids[0] == ids[1] != ids[2]


def test_a_journal_of_an_older_tidelog_gets_an_id(tmp_path: Path) -> None:
    path = tmp_path / "j"
    JournalWriter(str(path)).close()
    damage(path, "DROP TABLE identity")
    reader = JournalReader(str(path))
    assert reader.identity is None
    reader.close()
    writer = JournalWriter(str(path))
    writer.close()
    reader = JournalReader(str(path))
    assert reader.identity == Identity(writer.id, None)
    reader.close()


async def test_append_never_waits_and_refuses_frames_beyond_its_bound(tmp_path: Path) -> None:
    runtime = SlowRuntime()
    journal = await open_journal(str(tmp_path / "j"), runtime, limits=JournalLimits(waiting_bytes_max=3_000_000))
    runtime.slow.gate.clear()  # for all that follows: who waited for the disk would wait for ever
    for at_us in range(30):
        journal.append(Kind.IN, b"x" * 100_000, at_us)
    with pytest.raises(JournalStalled, match="wait for the journal's disk"):
        journal.append(Kind.IN, b"x", 30)
    mark = journal.append(Kind.CONTROL, b"stalled", 200)
    room = asyncio.create_task(journal.wait_room())
    await asyncio.sleep(0.1)
    assert not room.done()
    runtime.slow.gate.set()
    await room
    await journal.wait_durable(mark)
    journal.append(Kind.IN, b"again", 300)
    await journal.close()
    assert [record.payload for record in read(tmp_path / "j")][-2:] == [b"stalled", b"again"]


async def test_a_snapshot_that_is_larger_than_the_bound_takes_no_room_from_frames(tmp_path: Path) -> None:
    runtime = SlowRuntime()
    journal = await open_journal(str(tmp_path / "j"), runtime, limits=JournalLimits(waiting_bytes_max=1_000))
    runtime.slow.gate.clear()
    journal.append(Kind.CONTROL, b"s" * 5_000, 1, restart=True)
    assert (journal.stalled, journal.room.size, journal.takes_snapshot) == (False, 1_000, False)
    await journal.wait_room()
    journal.append(Kind.IN, b"x" * 1_000, 2)
    assert (journal.stalled, journal.room.size) == (True, 0)
    with pytest.raises(JournalStalled, match="wait for the journal's disk"):
        journal.append(Kind.IN, b"x", 3)
    journal.append(Kind.CONTROL, b"stalled", 4)
    runtime.slow.gate.set()
    await journal.wait_durable(journal.last)
    assert (journal.stalled, journal.room.size, journal.takes_snapshot) == (False, 1_000, True)
    assert (journal.waiting_bytes, journal._waiting_control_bytes) == (0, 0)
    await journal.close()


def test_what_is_appended_is_durable_within_the_window(tmp_path: Path) -> None:
    """By the loop's clock: nothing else has to happen for it, and no append puts it off."""

    async def main() -> list[float]:
        loop, took = asyncio.get_running_loop(), list[float]()
        journal = await open_journal(str(tmp_path / "j"), VirtualRuntime())

        async def append() -> None:
            begun = loop.time()
            await journal.wait_durable(journal.append(Kind.IN, b"x", 1))
            took.append(loop.time() - begun)

        for pause_s in (0.0, LIMITS.window_s / 5, LIMITS.window_s * 3):
            waiting = []
            for _ in range(20):
                waiting.append(asyncio.create_task(append()))
                await asyncio.sleep(pause_s)
            await asyncio.gather(*waiting)
        await journal.close()
        return took

    took = virtually(main())
    assert len(took) == 60
    assert max(took) <= 1.001 * LIMITS.window_s


async def test_a_disk_that_is_full_for_a_while_costs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit, tries = JournalWriter.commit, []

    def fails_twice(self: JournalWriter, blocks: list[object]) -> None:
        tries.append(len(blocks))
        if len(tries) < 3:
            raise Full("no room is left on the disk")
        commit(self, blocks)  # type: ignore[arg-type]

    monkeypatch.setattr(JournalWriter, "commit", fails_twice)
    journal = await open_journal(str(tmp_path / "j"), SystemRuntime())
    id_ = journal.append(Kind.IN, b"kept", 1)
    await journal.wait_durable(id_)
    assert (len(tries), journal.failure) == (3, None)
    await journal.close()
    assert [record.payload for record in read(tmp_path / "j")] == [b"kept"]


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("UPDATE blocks SET frames = zeroblob(50) WHERE first_seq = 11", "block at 1.11 is damaged"),
        ("UPDATE blocks SET last_us = last_us + 1 WHERE first_seq = 11", "block at 1.11 is damaged"),
        ("UPDATE blocks SET first_seq = 12 WHERE first_seq = 11", "record 1.11 is missing"),
        ("DELETE FROM blocks WHERE first_seq = 11", "record 1.11 is missing"),
        ("DELETE FROM blocks WHERE first_seq = 41", "record 1.41 is missing"),
        ("DELETE FROM blocks WHERE first_seq = 1", "record 1.1 is missing"),
    ],
)
async def test_damaged_blocks_are_corruption(tmp_path: Path, sql: str, told: str) -> None:
    await write(tmp_path / "j", 50, flush_every=10)
    assert len(read(tmp_path / "j")) == 50
    damage(tmp_path / "j", sql)
    with pytest.raises(Corruption, match=told):
        read(tmp_path / "j")


async def test_a_new_journal_and_its_export_are_their_owners_alone(tmp_path: Path) -> None:
    """They may hold private channels; what the owner allows later stays allowed."""
    path, export = tmp_path / "j", tmp_path / "j.jsonl.zst"
    journal = await open_journal(str(path), SystemRuntime())
    journal.append(Kind.IN, b"private", 1)
    await journal.wait_durable(journal.last)
    assert {file.stat().st_mode & 0o777 for file in tmp_path.glob("j*")} == {0o600}
    await journal.close()
    path.chmod(0o640)
    reader = JournalReader(str(path))
    export_journal(reader, str(export))
    reader.close()
    await (await open_journal(str(path), SystemRuntime())).close()
    assert (path.stat().st_mode & 0o777, export.stat().st_mode & 0o777) == (0o640, 0o600)


async def test_only_a_journal_is_opened(tmp_path: Path) -> None:
    other = tmp_path / "other"
    damage(other, "CREATE TABLE t (x)")
    (tmp_path / "text").write_text("not a database, and long enough to have a header of one" * 5)
    for path in (other, tmp_path / "text"):
        with pytest.raises(ConfigError, match="not a journal"):
            await open_journal(str(path), SystemRuntime())
    with pytest.raises(ConfigError):
        JournalReader(str(tmp_path / "absent"))


@pytest.mark.parametrize(
    ("before_us", "bytes_max", "restart", "first"),
    [
        (None, None, None, 1),  # nothing asked, nothing dropped
        (1_000 + 45, None, None, 40),  # by age, back to the snapshot before
        (10**9, None, None, 90),  # everything is old: a reader can still begin
        (10**9, None, EventId(1, 55), 50),  # the slowest reader starts again in there
        (10**9, None, EventId(1, 49), 40),  # ... and not at the point that comes after it
        (10**9, None, EventId(1, 1), 1),
        (None, 1, None, 90),  # by size
        (None, 10**9, None, 1),
    ],
)
async def test_retention_begins_at_a_snapshot_and_spares_the_slowest_reader(
    tmp_path: Path, before_us: int | None, bytes_max: int | None, restart: EventId | None, first: int
) -> None:
    path = tmp_path / "j"
    journal = await open_journal(str(path), SystemRuntime())
    for seq in range(1, 96):
        starts = seq % 10 == 0 or seq == 1
        journal.append(Kind.CONTROL if starts else Kind.IN, payload(seq), 1_000 + seq, restart=starts)
        if seq % 10 in (4, 9):
            await journal.wait_durable(journal.last)
    await journal.prune(PruneLimits(before_us, bytes_max, restart))
    found = [record.id.seq for record in read(path)]
    assert found in (list(range(first, 95)), list(range(first, 96)))  # the last one may have become durable meanwhile
    reader = JournalReader(str(path))
    assert reader.last_snapshot(EventId(1, 94)) == EventId(1, 90)
    reader.close()
    await journal.close()


async def test_retention_drops_whole_runs(tmp_path: Path) -> None:
    path = tmp_path / "j"
    for at_us in (1_000, 2_000, 3_000):
        await write(path, 5, at_us=at_us)
    journal = await open_journal(str(path), SystemRuntime())
    assert await journal.prune(PruneLimits(before_us=2_500)) == 2
    await journal.close()
    assert [record.id.run for record in read(path)] == [3] * 5
    lost = Record(EventId(2, 5), 2_005, Kind.LOST, b"journal_pruned")
    # what was read   so it is told
    for after, told in [
        (BEGINNING, []),  # whoever asks from there asks for what there is
        (EventId(1, 2), [lost]),
        (EventId(2, 4), [lost]),
        (EventId(2, 5), []),  # everything that is gone
    ]:
        assert read(path, after) == told + read(path)


async def test_a_reader_learns_exactly_whether_something_is_gone_that_it_had_not_read(tmp_path: Path) -> None:
    path = tmp_path / "j"
    journal = await written_in_blocks(path)
    whole = read(path)
    for cut in (20, 50):
        restart = EventId(1, 1)  # the slowest reader has read next to nothing
        assert await journal.prune(PruneLimits(None, size_to_drop(path, cut), restart)) == 0
        assert await journal.prune(PruneLimits(None, size_to_drop(path, cut), restart, at_all_costs=True)) > 0
        gone = journal.dropped
        assert gone is not None
        assert (gone.id, gone.reason) == (EventId(1, cut - 1), "journal_full")
        for after in whole[1:]:
            rest = [record for record in whole if record.id > after.id and record.id.seq >= cut]
            lost = [Record(gone.id, 1_000 + cut - 1, Kind.LOST, b"journal_full")] if after.id < gone.id else []
            assert read(path, after.id) == lost + rest
    await journal.close()


async def test_forced_pruning_drops_up_to_the_first_snapshot_that_is_late_enough(tmp_path: Path) -> None:
    path = tmp_path / "j"
    journal = await written_in_blocks(path)
    at_all_costs = PruneLimits(bytes_max=journal.used_bytes, at_all_costs=True)
    assert await journal.prune(at_all_costs) == 0, "it is not over its size"
    assert await journal.prune(PruneLimits(bytes_max=1, at_all_costs=True)) == 0, "no snapshot is late enough for that"
    assert await journal.prune(PruneLimits(bytes_max=journal.used_bytes - 1, at_all_costs=True)) == 2
    assert read(path)[0] == Record(EventId(1, 10), 1_010, Kind.CONTROL, payload(10), restart=True)
    gone = journal.dropped
    assert gone is not None
    assert gone.reason == "journal_pruned", "nobody is known to miss it"
    await journal.close()


async def test_a_journal_of_an_older_tidelog_says_by_its_first_run_what_was_dropped(tmp_path: Path) -> None:
    path = tmp_path / "j"
    journal = await written_in_blocks(path)
    await journal.prune(PruneLimits(before_us=1_055))
    await journal.close()
    first = read(path)[0].id
    damage(path, "DROP TABLE dropped")
    assert read(path)[0].id == first == EventId(1, 50)
    assert [record.kind for record in read(path, EventId(1, 48))][:2] == [Kind.LOST, Kind.CONTROL]
    assert read(path, EventId(1, 49)) == read(path)
    again = await open_journal(str(path), SystemRuntime())
    again.append(Kind.CONTROL, b"{}", 5_000, restart=True)
    await again.close()
    assert read(path, EventId(1, 7))[0].id == EventId(1, 49)


async def test_a_snapshot_begins_a_block(tmp_path: Path) -> None:
    path = tmp_path / "j"
    await write(path, 30, restart_every=7)
    connection = apsw.Connection(str(path))
    blocks = connection.execute("SELECT first_seq, restart_seq FROM blocks ORDER BY first_seq").fetchall()
    connection.close()
    assert blocks == [(seq, seq) for seq in (1, 7, 14, 21, 28)]


async def written_in_blocks(path: Path) -> Journal:
    """A run of 94 records in blocks of five, every tenth a snapshot."""
    journal = await open_journal(str(path), SystemRuntime())
    for seq in range(1, 95):
        starts = seq % 10 == 0 or seq == 1
        journal.append(Kind.CONTROL if starts else Kind.IN, payload(seq), 1_000 + seq, restart=starts)
        if seq % 10 in (4, 9):
            await journal.wait_durable(journal.last)
    return journal


def size_to_drop(path: Path, before: int) -> int:
    """The bytes that the file may have in use, so that the blocks before a record are one byte too much."""
    connection = apsw.Connection(str(path))
    packed = connection.execute("SELECT sum(length(frames)) FROM blocks WHERE first_seq < ?", (before - 5,)).get
    used: int = connection.pragma("page_count") - connection.pragma("freelist_count")
    used *= connection.pragma("page_size")
    connection.close()
    return used - int(packed) - 1


async def test_snapshots_and_control_records_are_found_without_reading_everything(tmp_path: Path) -> None:
    path = tmp_path / "j"
    await write(path, 30, restart_every=10, flush_every=5)
    await write(path, 3, at_us=5_000)
    reader = JournalReader(str(path))
    points = {
        EventId(1, 9): EventId(1, 1),
        EventId(1, 10): EventId(1, 10),
        EventId(1, 29): EventId(1, 20),
        EventId(2, 0): EventId(1, 30),
        EventId(2, 2): EventId(2, 1),
    }
    assert {at: reader.last_snapshot(at) for at in points} == points
    assert reader.last_snapshot(EventId(1, 0)) is None
    assert [mark.id for mark in reader.marks(1_020)] == [EventId(1, 20), EventId(1, 30), EventId(2, 1)]
    reader.close()


async def test_another_process_follows_a_journal(tmp_path: Path) -> None:
    path, runtime = tmp_path / "j", SystemRuntime()
    journal = await open_journal(str(path), runtime)
    seen: list[int] = []

    async def watch() -> None:
        async for records in follow(str(path), runtime, after=EventId(1, 2), poll_s=0.005):
            seen.extend(record.id.seq for record in records)
            if seen[-1] == 40:
                return

    task = asyncio.create_task(watch())
    for seq in range(1, 41):
        id_ = journal.append(Kind.IN, payload(seq), seq)
        if seq % 10 == 0:
            await journal.wait_durable(id_)
    async with asyncio.timeout(HANGS_S):
        await task
    assert seen == list(range(3, 41))
    await journal.close()


async def moved_away(path: Path) -> None:
    path.rename(path.with_name("old"))


async def deleted(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)


async def moved_away_and_made_anew(path: Path) -> None:
    await moved_away(path)
    journal = await open_journal(str(path), SystemRuntime())
    for seq in range(1, 9):
        await journal.wait_durable(journal.append(Kind.IN, payload(seq), seq))
    await journal.close()


@pytest.mark.parametrize("follow_it", [follow, follow_packed])
@pytest.mark.parametrize("displace", [moved_away, deleted, moved_away_and_made_anew])
async def test_who_follows_a_journal_that_is_not_there_any_more_is_told(
    tmp_path: Path,
    follow_it: Callable[[str, Runtime], AsyncGenerator[object, None]],
    displace: Callable[[Path], Awaitable[None]],
) -> None:
    path = tmp_path / "j"
    journal = await open_journal(str(path), SystemRuntime())
    await journal.wait_durable(journal.append(Kind.IN, payload(1), 1))
    await journal.close()
    async with asyncio.timeout(HANGS_S), aclosing(follow_it(str(path), SystemRuntime())) as blocks:
        assert await anext(blocks)
        await displace(path)
        with pytest.raises(Displaced, match=r"j was (deleted or moved away|replaced) while it was read"):
            await anext(blocks)


async def test_an_export_comes_back_byte_for_byte(tmp_path: Path) -> None:
    path, text, copy = tmp_path / "j", tmp_path / "j.jsonl.zst", tmp_path / "copy"
    journal = await open_journal(str(path), SystemRuntime())
    for at_us, (kind, body) in enumerate(MIXED):
        journal.append(kind, body, at_us, restart=at_us == 0)
    await journal.close()
    await write(path, 20)
    reader = JournalReader(str(path))
    assert export_journal(reader, str(text)) == 24
    reader.close()
    assert import_journal(str(text), str(copy)) == 24
    assert read(copy) == read(path)
    assert (await write(copy, 1)).run == 3
    with pytest.raises(ConfigError, match="exists"):
        import_journal(str(text), str(copy))


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.9, 0.999])
async def test_a_cut_export_is_refused_and_leaves_nothing(tmp_path: Path, keep: float) -> None:
    path, text, copy = tmp_path / "j", tmp_path / "j.jsonl.zst", tmp_path / "copy"
    await write(path, 500)
    reader = JournalReader(str(path))
    export_journal(reader, str(text))
    reader.close()
    whole = text.read_bytes()
    text.write_bytes(whole[: int(len(whole) * keep)])
    with pytest.raises(Corruption):
        import_journal(str(text), str(copy))
    assert not list(tmp_path.glob("copy*"))


@pytest.mark.parametrize(
    ("records", "told"),
    [
        ("1.3 1.4 2.1 5.1 5.2", None),  # what came before was dropped, and runs 3 and 4 had no record
        ("1.1 1.3", "record 1.2 is missing"),
        ("1.1 1.2 2.45", "record 2.1 is missing"),
        ("2.1 1.1", "record 1.1 comes after 2.1"),
        ("1.1 1.1", "record 1.2 is missing"),
    ],
)
def test_an_export_with_a_hole_is_refused(tmp_path: Path, records: str, told: str | None) -> None:
    text, copy, ids = tmp_path / "j.jsonl", str(tmp_path / "copy"), [each.split(".") for each in records.split()]
    lines = [f'{{"run":{run},"seq":{seq},"at_us":1,"kind":"in","text":"x"}}' for run, seq in ids]
    text.write_text("\n".join([*lines, f'{{"records":{len(lines)}}}']))
    if told is None:
        assert import_journal(str(text), copy) == len(lines)
        return
    with pytest.raises(Corruption, match=told):
        import_journal(str(text), copy)
    assert not list(tmp_path.glob("copy*"))


def test_a_killed_import_leaves_no_journal_and_is_done_again(tmp_path: Path) -> None:
    path, text, copy = tmp_path / "j", tmp_path / "j.jsonl.zst", tmp_path / "copy"
    asyncio.run(write(path, 500))
    reader = JournalReader(str(path))
    export_journal(reader, str(text))
    reader.close()
    dies = (
        "import os, sys\n"
        "from tidelog.market.journal import export\n"
        "export.IMPORT_BLOCK_BYTES = 1_000\n"
        "written = export.JournalWriter.import_run\n"
        "def import_run(self, blocks):\n"
        "    written(self, blocks)\n"
        "    if blocks[0].last_seq > 100: os.kill(os.getpid(), 9)\n"
        "export.JournalWriter.import_run = import_run\n"
        "export.import_journal(*sys.argv[1:])\n"
    )
    done = subprocess.run([sys.executable, "-c", dies, str(text), str(copy)])
    assert (done.returncode, copy.exists()) == (-signal.SIGKILL, False)
    assert import_journal(str(text), str(copy)) == 500
    assert [file.name for file in tmp_path.glob("copy*")] == ["copy"]
    assert read(copy) == read(path)


def test_a_record_that_no_journal_has_makes_an_export_damaged(tmp_path: Path) -> None:
    text = tmp_path / "j.jsonl"
    text.write_text('{"run":1,"seq":1,"at_us":1,"kind":"lost","text":""}\n{"records":1}\n')
    with pytest.raises(Corruption, match="is damaged after record 1: 'lost'"):
        import_journal(str(text), str(tmp_path / "copy"))


def kill_once(path: Path, after_lines: int) -> EventId:
    """Let a child write until it has reported so often, kill it, and return what it last reported."""
    command = [sys.executable, "-m", "tests.market.journal_child", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for _ in range(after_lines):
            assert child.stdout.readline()
        child.send_signal(signal.SIGKILL)
        lines = child.stdout.read().splitlines()
        child.wait()
    last = [line for line in lines if line.count(" ") == 1]
    if not last:
        return EventId(0, 0)
    run, seq = map(int, last[-1].split())
    return EventId(run, seq)


def test_journal_is_whole_after_kill_9(tmp_path: Path) -> None:
    """What was reported is there, without a hole, and nothing is there in part."""
    path = tmp_path / "j"
    for run in range(1, KILLS + 1):
        reported = kill_once(path, after_lines=1 + run * 3)
        stored = [record for record in read(path) if record.id.run == run]
        assert [record.id.seq for record in stored] == list(range(1, len(stored) + 1))
        assert all(record.payload == payload(record.id.seq) for record in stored)
        assert reported <= stored[-1].id
