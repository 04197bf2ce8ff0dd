"""Retention: sizes as people write them, and a pruner that holds a journal at its cap while it is written."""

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tidelog.errors import ConfigError, Corruption, StoreError
from tidelog.market.events import EventId
from tidelog.market.journal.file import JournalWriter
from tidelog.market.journal.pruning import PruneLimits
from tidelog.market.journal.reader import JournalReader
from tidelog.market.journal.retention import SNAPSHOTS_PER_CAP, Pruner, Retention, size_of
from tidelog.market.journal.writer import Journal, open_journal
from tidelog.market.records import BEGINNING, Kind
from tidelog.runtime import SystemRuntime

CAP_BYTES = 400_000
FRAME_BYTES = 2_000


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("10GiB", 10 * 1024**3),
        ("500MiB", 500 * 1024**2),
        ("500 MB", 500_000_000),
        ("1.5GB", 1_500_000_000),
        (" 2TiB ", 2 * 1024**4),
        ("1048576", 1024**2),
        ("1048576B", 1024**2),
        ("2048KiB", 2 * 1024**2),
    ],
)
def test_size_of_reads_units(text: str, size: int) -> None:
    assert size_of(text) == size


@pytest.mark.parametrize("text", ["", "GiB", "1e9", "-1GiB", "1gib", "1.GiB", "1,5GiB", "10 GiB/s", "\u0661GiB"])
def test_size_of_refuses_other_texts(text: str) -> None:
    with pytest.raises(ConfigError, match="is no size: write it as 500MiB or 10GiB"):
        size_of(text)


@pytest.mark.parametrize("text", ["0", "1MB", "1023KiB", "0.5MiB"])
def test_size_of_refuses_sizes_below_the_minimum(text: str) -> None:
    with pytest.raises(ConfigError, match="is too small for a journal"):
        size_of(text)


class Writing:
    """A journal that is written as a feed does it, with its pruner."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.states = 0
        self.largest = 0
        self.noise = SystemRuntime().random("noise")
        self.read: EventId | None = BEGINNING  # by the slowest reader

    async def write(self, frames: int, state: bytes = b"state") -> Journal:
        """As many frames that do not compress, in groups of ten; what there was to write was kept on the way."""

        def write_snapshot() -> None:
            self.states += 1
            journal.append(Kind.CONTROL, state, 0, restart=True)
            pruner.snapshot_written(len(state))

        def on_durable(through: EventId) -> None:
            pruner.committed()

        journal = await open_journal(str(self.path), SystemRuntime(), on_durable=on_durable)
        retention = Retention(bytes_max=CAP_BYTES, restart=lambda: self.read)
        pruner = Pruner(retention, journal, lambda: 0, write_snapshot)
        journal.append(Kind.CONTROL, b"started", 0, restart=True)
        for number in range(1, frames + 1):
            id_ = journal.append(Kind.IN, self.noise.randbytes(FRAME_BYTES), 0)
            if number % 10 == 0:
                await journal.wait_durable(id_)
                self.largest = max(self.largest, self.path.stat().st_size)
        await pruner.close()
        await journal.close()
        return journal


async def test_a_journal_stays_at_its_cap_though_nobody_reads_it(tmp_path: Path) -> None:
    writing = Writing(tmp_path / "j")
    journal = await writing.write(600)
    assert writing.largest < CAP_BYTES * 1.5
    assert journal.used_bytes <= CAP_BYTES * 1.2
    assert journal.used_bytes > CAP_BYTES * (1 - 2 / SNAPSHOTS_PER_CAP) / 2, "no more goes than has to"
    gone = journal.dropped
    assert gone is not None
    assert gone.reason == "journal_full"
    reader = JournalReader(str(writing.path))
    first = next(reader.records())
    assert (first.restart, first.id.seq) == (True, gone.id.seq + 1)
    reader.close()


async def test_cap_drops_nothing_that_a_reader_still_needs(tmp_path: Path) -> None:
    writing = Writing(tmp_path / "j")
    writing.read = EventId(9, 9)
    journal = await writing.write(400)
    assert journal.dropped is not None
    assert journal.dropped.reason == "journal_pruned"
    assert writing.largest < CAP_BYTES * 1.5


@pytest.mark.parametrize("error", [Corruption("j is damaged"), StoreError("disk I/O error")])
async def test_what_cannot_be_dropped_is_said_and_tried_again_with_the_next_snapshot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    prune, fails, calls = JournalWriter.prune, True, 0

    def prune_or_fail(writer: JournalWriter, bounds: PruneLimits) -> int:
        nonlocal calls
        calls += 1
        if fails:
            raise error
        return prune(writer, bounds)

    monkeypatch.setattr(JournalWriter, "prune", prune_or_fail)
    writing = Writing(tmp_path / "j")
    with capture_logs() as logs:
        journal = await writing.write(300)
    assert journal.dropped is None
    assert journal.used_bytes > CAP_BYTES
    told = [entry["error"] for entry in logs if entry["event"] == "journal_prune_failed"]
    assert set(told) == {str(error)}
    assert len(told) in (calls - 1, calls)  # of one that is under way at the end nothing is told
    assert 1 <= calls <= writing.states + 1
    fails = False
    assert (await writing.write(100)).used_bytes <= CAP_BYTES * 1.2


async def test_large_snapshots_do_not_fill_the_journal(tmp_path: Path) -> None:
    writing = Writing(tmp_path / "j")
    state = writing.noise.randbytes(CAP_BYTES // 3)
    await writing.write(400, state)
    assert writing.states < 400 * FRAME_BYTES / len(state) * 1.5
