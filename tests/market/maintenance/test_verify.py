"""A recording is verified while it goes on: what retention drops of its journal meanwhile is no finding."""

from itertools import count
from pathlib import Path

import pytest

from tests.market.exchange import Script, Wire, until
from tidelog.market.events import EventId
from tidelog.market.journal.file import JournalWriter
from tidelog.market.journal.pruning import PruneLimits
from tidelog.market.journal.reader import JournalReader
from tidelog.market.live.feed import Feed
from tidelog.market.live.limits import FeedLimits
from tidelog.market.load.loader import Loader
from tidelog.market.maintenance.verify import verify_market
from tidelog.market.records import BEGINNING, PackedRecords, Record
from tidelog.market.replay.position import events_to_load
from tidelog.runtime import SystemRuntime
from tidelog.store import open_store

NAME = "test"
SYMBOL = "A/USD"


async def recorded(journal: str) -> None:
    script = Script()
    wire, limits = Wire(script), FeedLimits(snapshot_every_us=1_000)
    async with Feed([SYMBOL], ["book", "trade"], journal=journal, transport=wire, limits=limits) as feed:
        await until(lambda: (view := feed.book(SYMBOL)) is not None and view.proven)
        for qty in range(3, 43):
            frames = feed.progress.frames
            wire.push(script.trade(SYMBOL), script.update(SYMBOL, qty))
            await until(lambda frames=frames: feed.progress.frames > frames + 1)  # type: ignore[misc]
            feed.unsubscribe(["B/USD"])  # which it does not follow: it looks whether a snapshot is due


def prune_half(journal: str) -> EventId:
    """Drop the older half of a journal; the last record of that."""
    reader = JournalReader(journal)
    begin_us, last = reader.begun_us(), reader.last_block()
    reader.close()
    assert begin_us is not None
    assert last is not None
    writer = JournalWriter(journal)
    assert writer.prune(PruneLimits(before_us=(begin_us + last[1]) // 2)) > 3
    assert writer.dropped is not None
    dropped = writer.dropped.id
    writer.close()
    return dropped


@pytest.mark.parametrize("reads", [1, 3])
async def test_what_is_dropped_of_the_journal_meanwhile_is_no_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reads: int
) -> None:
    journal, runtime = str(tmp_path / "j"), SystemRuntime()
    await recorded(journal)
    store = await open_store(f"sqlite:///{tmp_path}/market.db", runtime)
    loader = await Loader.open(store, runtime, NAME)
    await loader.run(events_to_load(journal, runtime, ending=lambda: True))
    assert (await verify_market(store, runtime, NAME, [journal])).whole
    read, at, dropped = JournalReader.packed, count(1), list[EventId]()

    def packed(self: JournalReader, after: EventId = BEGINNING) -> PackedRecords | Record | None:
        if next(at) == reads:
            dropped.append(prune_half(journal))
        return read(self, after)

    monkeypatch.setattr(JournalReader, "packed", packed)
    report = await verify_market(store, runtime, NAME, [journal], findings_max=9)
    await store.close()
    assert dropped
    assert (report.findings, report.whole) == ([], False)
    assert report.folded == (dropped[0].run, dropped[0].seq + 1)
