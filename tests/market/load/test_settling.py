"""How shards settle whose a symbol is, where their loaders are behind."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest

from tidelog.market.events import EventId, Stream
from tidelog.market.journal.file import JournalWriter
from tidelog.market.journal.pruning import PruneLimits
from tidelog.market.journal.reader import JournalReader
from tidelog.market.journal.schema import Block
from tidelog.market.load.recorded import claims_of
from tidelog.market.load.settling import Claiming, SettleLimits, segments, settle
from tidelog.market.records import BEGINNING, Kind, PackedRecords
from tidelog.market.session.controls import Wanted, encode_control
from tidelog.runtime import SystemRuntime
from tidelog.store import open_store

NAME = "test"
LIMITS = SettleLimits(poll_s=0.01)


def shard(number: int) -> Claiming:
    return Claiming(NAME, number, 2, "here:/data", f"{number}.journal", 7)


async def test_a_symbol_that_comes_back_is_given_up_for_who_had_it_in_between(tmp_path: Path) -> None:
    """Its first shard wants it in its next run again, and another one has an earlier run that was not come to yet."""
    runtime = SystemRuntime()
    store = await open_store(f"sqlite:///{tmp_path}/market.db", runtime)
    left = {"A": 2}  # what the other one has left to load from before the first one's next run
    turns: list[int] = []

    async def earlier() -> Mapping[str, int]:
        return left

    async def nothing() -> Mapping[str, int]:
        return {}

    try:
        await settle(store, runtime, shard(1), ["A", "B"], entering=1, earlier=nothing, limits=LIMITS)

        async def comes_back() -> None:
            await settle(store, runtime, shard(1), ["A", "B"], entering=2, earlier=earlier, limits=LIMITS)
            turns.append(1)

        async def in_between() -> None:
            owned = await settle(store, runtime, shard(2), ["A"], entering=10, earlier=nothing, limits=LIMITS)
            assert owned.owned == {"A"}
            turns.append(2)
            left.clear()
            await settle(store, runtime, shard(2), [], entering=11, earlier=nothing, limits=LIMITS)

        async with asyncio.timeout(60.0):
            await asyncio.gather(comes_back(), in_between())
        assert turns == [2, 1]
        async with store.snapshot() as snapshot:
            claims = await claims_of(snapshot, NAME)
        assert claims is not None
        assert claims.owners == {"A": 1, "B": 1}
        assert claims.had == {"A": (1, 2), "B": (1,)}
    finally:
        await store.close()


async def test_a_symbol_that_was_claimed_and_never_came_is_given_up_too(tmp_path: Path) -> None:
    runtime = SystemRuntime()
    store = await open_store(f"sqlite:///{tmp_path}/market.db", runtime)
    try:
        await settle(store, runtime, shard(1), ["A"], entering=1, limits=LIMITS)
        await settle(store, runtime, shard(1), [], entering=2, limits=LIMITS)
        async with asyncio.timeout(60.0):
            await settle(store, runtime, shard(2), ["A"], entering=10, limits=LIMITS)
        async with store.snapshot() as snapshot:
            claims = await claims_of(snapshot, NAME)
        assert claims is not None
        assert claims.owners == {"A": 2}
    finally:
        await store.close()


def test_runs_that_are_dropped_while_a_journal_is_read_are_not_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, noise = str(tmp_path / "j"), SystemRuntime().random("noise")
    for symbol in ("A", "B", "C"):
        writer = JournalWriter(path)
        for first_seq in range(1, 21, 2):
            block = Block(writer.run, first_seq)
            wanted = encode_control(Wanted(Stream("trade"), (symbol,)))
            block.add(Kind.CONTROL, writer.run * 1_000, wanted, 100, restart=True)
            block.add(Kind.IN, writer.run * 1_000, noise.randbytes(20_000), 20_000)
            writer.commit([block])
        if symbol != "C":
            writer.close()
    reads, read = 0, JournalReader._read

    def pruned(self: JournalReader, run: int, seq: int) -> PackedRecords:
        nonlocal reads
        reads += 1
        if reads == 6:  # three begin a run, and two were read of the first
            writer.prune(PruneLimits(bytes_max=writer.used_bytes // 2, at_all_costs=True))
        return read(self, run, seq)

    monkeypatch.setattr(JournalReader, "_read", pruned)
    found = segments(path, BEGINNING, 0, ())
    gone = writer.dropped
    writer.close()
    assert gone is not None
    assert gone.id.run == 2
    assert [(each.run, each.last, each.wanted) for each in found] == [
        (2, EventId(2, 20), frozenset("B")),
        (3, EventId(3, 20), frozenset("C")),
    ]
