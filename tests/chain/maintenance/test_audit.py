"""What is derived from a chain's blocks is recomputed: counters, head and finality, outbox, the record of reorgs.

What was seen: a checkpoint with other counters, a finalized block above the head and a reorg of another depth passed
`chain verify`. Each column of each such row is damaged by SQL, on both databases, in a store behind which lie several
runs, reorgs of each kind, blocks that came below the first, and a writer that was fenced.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from tests.chain.rig import CHAIN_ID, Rig, a_node
from tests.runtime import FakeRuntime
from tests.system.sql import Sql
from tidelog.chain.blocks import BlockRef
from tidelog.chain.forks.position import Position, source_of
from tidelog.chain.maintenance.verify import COMMITMENT, INGESTED, Report, verify_jobs, verify_range
from tidelog.chain.reading.blocks import refs_between
from tidelog.chain.rows.tables import REORGS, UNCLES
from tidelog.chain.sync.writer import ChainWriter
from tidelog.sim.node.chain.block_builder import BERLIN, FRONTIER, LONDON, Shape
from tidelog.store import Snapshot, open_store
from tidelog.telemetry import ChainMetrics

FORKS = ((0, FRONTIER), (2, BERLIN), (20, LONDON))
SHAPE = Shape(transactions=(1, 2), logs=(1, 2), uncles=(0, 2))
FIRST = 3


async def fill(r: Rig) -> None:
    """Several runs, and reorgs of each kind."""
    await r.once(first=8)
    r.tree.reorg(3)
    await r.once()
    r.tree.reorg(4, 2)  # a lower chain
    await r.once()
    r.tree.extend(4)
    await r.once()
    r.tree.reorg(1)
    await r.once()
    await r.once(first=FIRST)  # blocks below those that are there
    writer = await ChainWriter.open(r.store, r.runtime, ChainMetrics(), CHAIN_ID)
    head = (await r.position()).head
    assert await writer.rewind(head - 2, below_finalized=False) == 2
    assert await writer.rewind(head - 3, below_finalized=False) == 1  # reverts behind reverts, of two rows
    await r.once()
    await r.assert_equals_node(first=FIRST)


class Store:
    """A filled store: what verifying finds in it, and its rows, to be damaged and mended."""

    def __init__(self, url: str, r: Rig) -> None:
        self._url = url
        self.rig = r

    async def fetch(self, text: str) -> list[Any]:
        def run() -> list[Any]:
            with Sql(self._url) as sql:
                return [tuple(map(_plain, row)) for row in sql.fetch(text)]

        return await asyncio.to_thread(run)

    def literal(self, value: Any) -> str:
        if value is None:
            return "NULL"
        if isinstance(value, bytes):
            return f"X'{value.hex()}'" if self._url.startswith("sqlite") else f"'\\x{value.hex()}'::bytea"
        return str(value) if isinstance(value, int) else "'" + str(value).replace("'", "''") + "'"

    async def verified(self) -> Report:
        store, runtime = self.rig.store, self.rig.runtime
        return await verify_jobs("", store, runtime, CHAIN_ID, low=None, high=None, jobs=1, findings_max=1)

    async def found(self, damage: str, mended: str) -> str:
        """What is found after a statement, and that nothing is after the one that undoes it."""
        await self.fetch(damage)
        findings = (await self.verified()).findings
        await self.fetch(mended)
        assert findings, damage
        return str(findings[0])

    async def found_of(self, table: str, where: str, column: str, value: Any) -> str:
        """What is found when one value of one row is another."""
        ((old,),) = await self.fetch(f"SELECT {column} FROM {table} WHERE {where}")
        assert old != value
        names = [f"UPDATE {table} SET {column} = {self.literal(one)}" for one in (value, old)]
        moved = where.replace(f"{column} = {self.literal(old)}", f"{column} = {self.literal(value)}")
        return await self.found(f"{names[0]} WHERE {where}", f"{names[1]} WHERE {moved}")


class _Runtime(FakeRuntime):
    """Whose writers are told apart."""

    def random(self, component: str) -> random.Random:
        return random.SystemRandom() if component == "writer" else super().random(component)


def _plain(value: Any) -> Any:
    return int(value) if isinstance(value, Decimal) else value


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/chain.db"
    return str(request.getfixturevalue("postgres_url"))


@pytest_asyncio.fixture
async def store(url: str) -> AsyncIterator[Store]:
    runtime = _Runtime()
    opened = await open_store(url, runtime)
    try:
        node = a_node(22, forks=FORKS, shape=SHAPE, finalized_depth=8)
        r = Rig(opened, node, runtime, ("http://replica-0",))
        await fill(r)
        yield Store(url, r)
    finally:
        await opened.close()


FAR = 9_000_000_000_000_000_000  # a number that fits, and of which no memory has one bit each
SOURCE = source_of(CHAIN_ID)
OTHER_HASH = "0x" + "ab" * 32


async def test_an_audit_finds_nothing_in_a_sound_store(store: Store) -> None:
    report = await store.verified()
    assert report.findings == []
    reasons = [row[0] for row in await store.fetch("SELECT reason FROM reorgs ORDER BY seq")]
    assert reasons == ["reorg", "shrink", "reorg", "rewind", "rewind"]
    assert len(await store.fetch("SELECT DISTINCT writer FROM changes")) >= 5
    assert report.not_looked_at.startswith("not looked at: the senders in ")
    part = await verify_range(store.rig.store, store.rig.runtime, CHAIN_ID, FIRST, FIRST + 1)
    assert part.not_looked_at.startswith(
        "not looked at: other blocks, checkpoint, outbox and reorgs (a range was given)"
    )


async def test_an_audit_reads_the_blocks_of_the_outbox_and_not_all_between_them(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks come far below others while these go on: of a long chain all that lies between would fill the memory."""
    monkeypatch.setattr("tidelog.chain.maintenance.audit.SCAN_ROWS", 2)
    read: list[int] = []

    async def watched(snapshot: Snapshot, chain_id: int, low: int, high: int) -> list[BlockRef]:
        found = await refs_between(snapshot, chain_id, low, high)
        read.append(len(found))
        return found

    monkeypatch.setattr("tidelog.chain.maintenance.audit.refs_between", watched)
    assert (await store.verified()).findings == []
    assert 0 < max(read) <= 4
    position = await store.rig.position()
    said = await store.found_of("changes", f"seq = {position.changes}", "number", FIRST)
    assert said.endswith(f"change {position.changes} of the outbox does not lead to what is stored of block {FIRST}")


async def test_an_audit_finds_each_changed_figure_of_the_checkpoint(store: Store) -> None:
    ((text,),) = await store.fetch(f"SELECT position FROM checkpoints WHERE source = '{SOURCE}'")
    stored_position = msgspec.json.decode(text)
    head, finalized = stored_position["head"], stored_position["finalized"]
    for changed, said in (
        ({"transactions": stored_position["transactions"] + 1}, "the checkpoint counts"),
        ({"logs": stored_position["logs"] - 1}, "the checkpoint counts"),
        ({"withdrawals": stored_position["withdrawals"] + 1}, "the checkpoint counts"),
        ({"finalized": head + 1}, f"the checkpoint names it finalized, and the store holds blocks {FIRST} to {head}"),
        ({"finalized": FIRST - 1}, "the checkpoint names it finalized, and the store holds"),
        ({"finalized": finalized + 1}, "the checkpoint names it finalized with the hash"),
        ({"finalized_hash": OTHER_HASH}, "the checkpoint names it finalized with the hash"),
        ({"head_hash": OTHER_HASH}, "the checkpoint names it head with the hash"),
        ({"head": head + 1}, "is missing"),
        ({"head": head - 1}, "lie outside of every range"),
        ({"head": FAR}, f"block {head + 1} differs from the chain's commitment: the block is missing"),
        ({"first": FAR, "head": FAR}, f"block {FAR} differs from the chain's commitment: the block is missing"),
        # nothing is held of what was asked for, down from there
        (
            {"asked_from": head + 1, "first": FAR, "head": FAR, "selection": True},
            f"block {FAR} differs from the chain's commitment: the block is missing",
        ),
        ({"first": FIRST + 1}, "its parent"),
        ({"first": FIRST - 1}, "is missing"),
        ({"first_parent_hash": OTHER_HASH}, "its parent"),
        ({"changes": stored_position["changes"] + 1}, "outbox"),
        ({"changes": stored_position["changes"] - 1}, "outbox"),
        ({"selection": True}, "differs from what was ingested"),  # whose blocks say that they are whole
    ):
        position = msgspec.json.encode(stored_position | changed).decode()
        assert said in await store.found_of("checkpoints", f"source = '{SOURCE}'", "position", position), changed
    # what is False is left out
    assert set(stored_position) | {"selection", "asked_from"} == set(Position.__struct_fields__)


def others(column: str, value: Any) -> list[Any]:
    """What a column of `reorgs` might hold instead."""
    if column == "chain_id":
        return [99]
    if column == "reason":  # a chain that became shorter by nothing but dropping is a rewind too, by its changes
        words = [word for word in ("reorg", "shrink", "rewind", "other") if word != value]
        return [word for word in words if (value, word) != ("rewind", "shrink")]
    return [b"\1" * 32 if isinstance(value, bytes) else value + 1]


async def test_an_audit_finds_each_changed_column_of_a_reorg(store: Store) -> None:
    for row in await store.fetch("SELECT * FROM reorgs ORDER BY seq"):
        for column, value in zip(REORGS.names, row, strict=True):
            if column == "at":
                continue  # nothing else says when it was, and the report says so
            for other in others(column, value):
                said = await store.found_of("reorgs", f"seq = {row[1]}", column, other)
                assert "reorg" in said, (column, value, other)


async def test_an_audit_finds_reorgs_that_are_gone_or_too_many(store: Store) -> None:
    names = ", ".join(REORGS.names)
    for row in await store.fetch(f"SELECT {names} FROM reorgs ORDER BY seq"):
        mended = f"INSERT INTO reorgs ({names}) VALUES ({', '.join(map(store.literal, row))})"
        said = await store.found(f"DELETE FROM reorgs WHERE seq = {row[1]}", mended)
        assert "of which no reorg speaks" in said or "no reorg speaks of the revert" in said
        again = (row[0], row[1] + 1, *row[2:])
        said = await store.found(
            f"INSERT INTO reorgs ({names}) VALUES ({', '.join(map(store.literal, again))})",
            f"DELETE FROM reorgs WHERE seq = {again[1]}",
        )
        assert f"the reorg of change {again[1]} " in said


async def test_an_audit_finds_a_changed_writer_of_a_change(store: Store) -> None:
    rows = await store.fetch("SELECT seq, writer FROM changes ORDER BY seq")
    turns = list(dict.fromkeys(writer for _, writer in rows))
    for seq, writer in rows[1:-1:2]:
        other = turns[(turns.index(writer) + 2) % len(turns)]  # a border of two turns could as well be elsewhere
        said = await store.found_of("changes", f"seq = {seq}", "writer", other)
        assert "by a writer whose turn was another one" in said


async def test_an_audit_finds_each_changed_column_of_an_uncle(store: Store) -> None:
    row = (await store.fetch("SELECT * FROM uncles ORDER BY block_number DESC, position DESC LIMIT 1"))[0]
    key = f"block_number = {row[1]} AND position = {row[2]}"
    for column, value in zip(UNCLES.names, row, strict=True):
        other = value[:-1] + bytes([value[-1] ^ 1]) if isinstance(value, bytes) else value + 1000
        said = await store.found_of("uncles", key, column, other)
        assert said.startswith((f"block {row[1]} {COMMITMENT}", f"block {row[1]} {INGESTED}")), (column, said)


async def test_an_audit_finds_rows_of_no_chain(store: Store) -> None:
    names = "kind, number, hash, parent_hash, writer"
    for damage, mended, said in (
        (
            f"INSERT INTO changes (chain_id, seq, {names}) SELECT 99, seq, {names} FROM changes WHERE seq = 1",
            "DELETE FROM changes WHERE chain_id = 99",
            "1 rows of changes are of no chain",
        ),
        (
            "INSERT INTO checkpoints SELECT 'chain:99', epoch, commit_seq, position, writer FROM checkpoints",
            "DELETE FROM checkpoints WHERE source = 'chain:99'",
            "the checkpoint chain:99 is of a chain that no row describes",
        ),
        (
            "INSERT INTO chains SELECT 99, NULL, profile, spec FROM chains",
            "DELETE FROM chains WHERE chain_id = 99",
            "chain 99 has no checkpoint",
        ),
    ):
        assert said in await store.found(damage, mended)
