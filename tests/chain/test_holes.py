"""Where the model this project grew from loses data: one test for each hole, named for it.

The model is a published indexer of the same shape: one transaction per block, ON CONFLICT DO NOTHING, a check
of the parent hash. Each test would fail on it.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.chain.rig import CHAIN_ID, Rig, a_node, commits, rig
from tests.sim.asking import FULL
from tidelog.batch import Batch, Outcome, Rows
from tidelog.chain.forks.position import decode_position
from tidelog.chain.rows.tables import BLOCKS, LOGS
from tidelog.errors import Busy, Corruption, ProofFailure, SourceError, StoreError, Unreachable
from tidelog.sim.node.chain.block_builder import Shape


@asynccontextmanager
async def synced(path: Path, blocks: int = 20) -> AsyncIterator[Rig]:
    async with rig(path, a_node(blocks, shape=FULL)) as r:
        await r.once()
        yield r


async def test_hole_reorg_rollback_is_one_transaction_with_its_replacement(tmp_path: Path) -> None:
    """There: three deletes outside of a transaction. Here: killed inside of it, the old branch is all there."""

    class Killed(BaseException):
        pass

    for point in ("store.rolled_back", "store.written"):
        folder = tmp_path / point
        folder.mkdir()
        async with synced(folder) as r:
            before, position = await r.digest(), await r.position()
            r.tree.reorg(4)

            def reached(name: str, point: str = point) -> None:
                if name == point:
                    raise Killed

            r.runtime.on_point = reached
            with pytest.raises(Killed):
                await r.once()
            r.runtime.on_point = lambda name: None
            assert await r.digest() == before
            assert await r.position() == position
            await r.once()
            await r.assert_equals_node()


async def test_hole_reorg_moves_the_checkpoint_with_the_rows(tmp_path: Path) -> None:
    """There: the checkpoint stays, and every reorg leaves a gap for ever."""
    async with synced(tmp_path) as r:
        r.tree.reorg(4)
        with commits(r.store) as seen:
            await r.once()
        (reorg,) = [batch for batch in seen if batch.rollback is not None]
        added = [row for rows in reorg.add if rows.table is BLOCKS for row in rows.rows]
        position = decode_position(reorg.after)
        assert position is not None
        assert reorg.rollback is not None
        assert reorg.rollback.keep == 16
        assert [row[1] for row in added] == [17, 18, 19, 20, 21]
        assert position.head == 21
        await r.assert_equals_node()


@pytest.mark.parametrize("depth", [2, 3, 7])
async def test_hole_reorg_of_more_than_one_level_is_rolled_back_whole(tmp_path: Path, depth: int) -> None:
    async with synced(tmp_path) as r:
        r.tree.reorg(depth)
        await r.once()
        await r.assert_equals_node()


async def test_hole_null_block_is_never_skipped(tmp_path: Path) -> None:
    """There: the checkpoint passes a block that was null. Here: it waits in front of it."""
    async with rig(tmp_path, a_node(20, shape=FULL)) as r:
        await r.once(to=5)
        r.node.tell("block_null")
        r.node.replicas[0].lag = 10  # block 10 is the head, and null
        with pytest.raises(SourceError):
            await r.once()
        assert (await r.position()).head == 5
        r.node.honest()
        await r.once()
        await r.assert_equals_node(head=10)


@pytest.mark.parametrize("lie", ["receipts_null", "receipts_empty", "receipts_missing"])
async def test_hole_failed_receipt_is_not_no_logs(tmp_path: Path, lie: str) -> None:
    """There: a receipt that fails three times is stored as "no logs"."""
    async with rig(tmp_path, a_node(20, shape=FULL)) as r:
        r.node.tell(lie, blocks=[7])
        r.node.tell("receipt_null", blocks=[7])  # nor are they to be had one by one
        with pytest.raises((SourceError, ProofFailure)):
            await r.once()
        async with r.store.snapshot() as snapshot:
            assert await snapshot.count(LOGS, scope=CHAIN_ID, low=7) == 0
            assert await snapshot.count(BLOCKS, scope=CHAIN_ID, low=7) == 0
        r.node.honest()
        await r.once()
        await r.assert_equals_node()


async def test_hole_failed_single_receipt_is_not_no_logs(tmp_path: Path) -> None:
    async with rig(tmp_path, a_node(20, shape=FULL)) as r:
        r.node.tell("method_missing")
        r.node.tell("receipt_null", blocks=[7])
        with pytest.raises(SourceError, match="null for the receipt of 0x"):
            await r.once()
        r.node.honest()
        await r.once()
        await r.assert_equals_node()


async def test_hole_logs_have_a_unique_key(tmp_path: Path) -> None:
    """There: the same block twice gives its logs twice."""
    async with synced(tmp_path) as r:
        before = await r.digest()
        for _ in range(3):
            await r.once()
        assert await r.digest() == before
        async with r.store.snapshot() as snapshot:
            rows = await snapshot.select(LOGS, scope=CHAIN_ID, low=7, high=7)
        checkpoint = await r.store.acquire(f"chain:{CHAIN_ID}")
        again = Batch(checkpoint, checkpoint.advanced(checkpoint.position or ""), add=(Rows(LOGS, rows),))
        with pytest.raises(Corruption, match="a new row of logs"):
            await r.store.commit(again)
        assert await r.digest() == before


async def test_hole_database_error_is_not_no_reorg(tmp_path: Path) -> None:
    """There: when the look at the parent fails, the block is taken as linked. Here nothing is believed."""
    async with synced(tmp_path) as r:
        before, position = await r.digest(), await r.position()
        r.tree.reorg(3)
        r.tree.extend(4)

        def broken() -> Any:
            raise StoreError("the database cannot be read")

        snapshot = r.store.snapshot
        r.store.snapshot = broken  # type: ignore[method-assign]
        with pytest.raises(StoreError, match="cannot be read"):
            await r.once()
        r.store.snapshot = snapshot  # type: ignore[method-assign]
        assert await r.digest() == before
        assert await r.position() == position
        await r.once()
        await r.assert_equals_node()


async def test_hole_database_error_in_a_commit_is_tried_again_and_never_passed_over(tmp_path: Path) -> None:
    async with rig(tmp_path, a_node(20, shape=FULL)) as r:
        inner, failures = r.store.commit, 5

        async def commit(batch: Batch) -> Outcome:
            nonlocal failures
            if failures:
                failures -= 1
                raise Busy("the server is away")
            return await inner(batch)

        r.store.commit = commit  # type: ignore[method-assign]
        await r.follow_script(lambda: r.tree.reorg(3), lambda: r.tree.extend(2))
        assert failures == 0
        await r.assert_equals_node()


async def test_hole_behind_by_much_is_not_five_blocks_and_a_sleep(tmp_path: Path) -> None:
    """There: five blocks, then ten seconds of sleep, however far behind. Here nobody sleeps on the way."""
    async with rig(tmp_path, a_node(300)) as r:
        await r.once()
        assert r.runtime.sleeps == 0
        r.tree.extend(60)
        await r.once()
        assert r.runtime.sleeps == 0
        await r.assert_equals_node()


async def test_hole_many_blocks_go_into_one_commit_and_rows_into_one_statement(tmp_path: Path) -> None:
    """There: one insert per row. Here a commit hands over whole lists, of many blocks."""
    async with rig(tmp_path, a_node(200, shape=Shape(transactions=(1, 2)))) as r:
        with commits(r.store) as seen:
            await r.once(finality="finalized")
        history = [batch for batch in seen if any(rows.table is BLOCKS for rows in batch.add)]
        assert len(history) <= 2
        assert all(len(batch.add) <= 5 for batch in history), "one list a table"


async def test_hole_receipts_come_whole_and_not_one_call_each(tmp_path: Path) -> None:
    async with rig(tmp_path, a_node(40, shape=FULL)) as r:
        await r.once()
        assert r.node.requests["eth_getTransactionReceipt"] == 0
        assert r.node.requests["eth_getBlockReceipts"] == 41
        assert r.http.requests < 41, "many blocks to a request"


async def test_hole_an_endpoint_that_is_away_is_not_the_end_of_the_chain(tmp_path: Path) -> None:
    async with synced(tmp_path) as r:
        r.tree.extend(5)
        r.http.down.add("replica-0")
        with pytest.raises(Unreachable):
            await r.once()
        assert (await r.position()).head == 20
        r.http.down.clear()
        await r.once()
        await r.assert_equals_node()
