"""The one writer of a chain: what it loads, what it refuses, how it rewinds, and how patient it is."""

from collections.abc import AsyncIterator
from pathlib import Path

import apsw
import pytest
import pytest_asyncio

from tests.chain.rig import CHAIN_ID, Rig, a_node, rig
from tidelog.batch import Batch, Outcome
from tidelog.chain.forks.position import counts
from tidelog.chain.reading.blocks import read_block, refs_between
from tidelog.chain.rows.tables import BLOCKS, REORGS
from tidelog.chain.sync.commits import WRITER_LIMITS, WriterLimits
from tidelog.chain.sync.engine import SyncLimits
from tidelog.chain.sync.writer import ChainWriter
from tidelog.errors import Busy, ConfigError, Corruption, Fenced

HEAD = 30  # of which 22 are final


@pytest_asyncio.fixture
async def r(tmp_path: Path) -> AsyncIterator[Rig]:
    async with rig(tmp_path, a_node(HEAD)) as made:
        await made.once()
        yield made


async def opened(r: Rig) -> ChainWriter:
    return await ChainWriter.open(r.store, r.runtime, r.metrics, CHAIN_ID)


async def test_the_writer_loads_the_references_from_the_finalized_block_up(r: Rig) -> None:
    writer = await opened(r)
    window, rooted = writer.window
    assert [ref.number for ref in window] == list(range(22, HEAD + 1))
    assert rooted
    assert writer.head == window[-1]
    assert writer.ref(25) == window[3]
    assert (writer.ref(21), writer.ref(31)) == (None, None)


async def test_the_writer_of_a_store_without_the_chain_has_nothing(r: Rig) -> None:
    writer = await ChainWriter.open(r.store, r.runtime, r.metrics, 5)
    assert (writer.position, writer.head, writer.ref(0)) == (None, None, None)


async def test_the_references_that_are_held_are_bounded(tmp_path: Path) -> None:
    limits = WriterLimits(held_max=10)
    async with rig(tmp_path, a_node(60, finalized_depth=None), limits=SyncLimits(writer=limits)) as r:
        r.tree.finalize(1)
        await r.once()
        writer = await ChainWriter.open(r.store, r.runtime, r.metrics, CHAIN_ID, limits=limits)
        assert len(writer.window[0]) == 10
        r.tree.reorg(5)
        await r.follow_script(lambda: r.tree.extend(20))
        await r.assert_equals_node()


@pytest.mark.parametrize(
    "statement",
    [
        f"DELETE FROM blocks WHERE number = {HEAD}",
        "DELETE FROM blocks WHERE number = 25",
        "DELETE FROM blocks",
        "UPDATE blocks SET hash = zeroblob(32) WHERE number = 25",
        "UPDATE blocks SET parent_hash = zeroblob(32) WHERE number = 25",
        "UPDATE checkpoints SET position = json_set(position, '$.head', 29)",
        "UPDATE checkpoints SET position = json_set(position, '$.head', 31)",
        "UPDATE checkpoints SET position = json_set(position, '$.head_hash', '0x00')",
        "UPDATE checkpoints SET position = 'nonsense'",
    ],
)
async def test_refuses_a_checkpoint_that_its_blocks_contradict(r: Rig, tmp_path: Path, statement: str) -> None:
    connection = apsw.Connection(str(tmp_path / "chain.db"))
    connection.execute(statement)
    connection.close()
    before = await r.digest()
    with pytest.raises(Corruption):
        await r.once()
    assert await r.digest() == before, "nothing is mended silently"


# -- counting --------------------------------------------------------------------------------------------------------


async def test_a_chain_that_an_older_tidelog_left_is_counted_once(r: Rig, tmp_path: Path) -> None:
    counted, digest = counts(await r.position()), await r.digest()
    assert counted is not None
    assert min(counted) > 0
    connection = apsw.Connection(str(tmp_path / "chain.db"))
    connection.execute(
        "UPDATE checkpoints SET position = json_remove(position, '$.transactions', '$.logs', '$.withdrawals')"
    )
    connection.close()
    assert counts(await r.position()) is None
    await opened(r)
    assert counts(await r.position()) == counted
    assert await r.digest() == digest
    await r.assert_equals_node()


@pytest.mark.parametrize("damage", ["SET log_count = log_count + 5", "SET miner = zeroblob(20)"])
async def test_a_repair_leaves_the_counts_right(r: Rig, tmp_path: Path, damage: str) -> None:
    async with r.store.snapshot() as snapshot:
        block = await read_block(snapshot, CHAIN_ID, 25)
    assert block is not None
    connection = apsw.Connection(str(tmp_path / "chain.db"))
    connection.execute(f"UPDATE blocks {damage} WHERE number = 25")
    connection.execute("DELETE FROM logs WHERE block_number = 25")
    connection.close()
    await (await opened(r)).repair(block)
    await r.assert_equals_node()


# -- rewinding -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("to", "below_finalized"), [(29, False), (22, False), (21, True), (0, True), (HEAD, False)])
async def test_rewinding_drops_what_is_above_and_a_sync_goes_on(r: Rig, to: int, below_finalized: bool) -> None:
    whole = await r.digest()
    dropped = await (await opened(r)).rewind(to, below_finalized=below_finalized)
    assert dropped == HEAD - to
    await r.assert_equals_node(head=to)
    position = await r.position()
    assert position.finalized == min(22, to)
    async with r.store.snapshot() as snapshot:
        audit = [(row[2], row[3], row[8]) for row in await snapshot.select(REORGS)]
    assert audit == ([(to, HEAD - to, "rewind")] if dropped else [])
    await r.once()
    await r.assert_equals_node()
    assert await r.digest() == whole


@pytest.mark.parametrize(
    ("to", "says"),
    [
        (31, f"--to 31 is not in the store, which holds blocks 0 to {HEAD}"),
        (-1, "--to -1 is not in the store"),
        (21, "drops final blocks .up to 22.: say --below-finalized too"),
    ],
)
async def test_refuses_a_rewind_out_of_the_range_or_below_finality(r: Rig, to: int, says: str) -> None:
    before = await r.digest()
    with pytest.raises(ConfigError, match=says):
        await (await opened(r)).rewind(to, below_finalized=False)
    assert await r.digest() == before


async def test_a_rewind_to_the_head_changes_nothing(r: Rig) -> None:
    with pytest.raises(ConfigError, match="holds no blocks of chain 5"):
        await (await ChainWriter.open(r.store, r.runtime, r.metrics, 5)).rewind(0, below_finalized=False)


# -- the store -------------------------------------------------------------------------------------------------------


async def test_a_later_writer_fences_the_earlier_one(r: Rig) -> None:
    first = await opened(r)
    second = await opened(r)
    with pytest.raises(Fenced):
        await first.rewind(25, below_finalized=False)
    assert (first.head and first.head.number) == HEAD, "the state in memory changes only after a commit"
    assert await second.rewind(25, below_finalized=False) == 5


@pytest.mark.parametrize(
    ("away_s", "comes_back"),
    [(WRITER_LIMITS.store_patience_s - 60, True), (WRITER_LIMITS.store_patience_s + 60, False)],
)
async def test_a_database_that_is_away_is_waited_for(r: Rig, away_s: float, comes_back: bool) -> None:
    inner, until = r.store.commit, r.runtime.clock + away_s

    async def commit(batch: Batch) -> Outcome:
        if r.runtime.clock < until:
            raise Busy("the server is away")
        return await inner(batch)

    r.store.commit = commit  # type: ignore[method-assign]
    r.tree.extend(1)
    if comes_back:
        await r.once()
        await r.assert_equals_node()
    else:
        with pytest.raises(Busy):
            await r.once()
    r.store.commit = inner  # type: ignore[method-assign]


async def test_an_answer_that_got_lost_is_a_commit_all_the_same(r: Rig) -> None:
    """The store commits, and says that it is busy: the second try of the same batch tells."""
    inner, lost = r.store.commit, 0

    async def commit(batch: Batch) -> Outcome:
        nonlocal lost
        outcome = await inner(batch)
        if outcome is Outcome.COMMITTED and lost < 9:
            lost += 1
            raise Busy("the answer got lost")
        return outcome

    r.store.commit = commit  # type: ignore[method-assign]
    await r.follow_script(lambda: r.tree.reorg(4), lambda: r.tree.extend(3))
    r.store.commit = inner  # type: ignore[method-assign]
    assert lost > 2
    await r.assert_equals_node()


async def test_stored_blocks_are_read_back_whole(r: Rig) -> None:
    async with r.store.snapshot() as snapshot:
        assert [ref.number for ref in await refs_between(snapshot, CHAIN_ID, 28, 99)] == [28, 29, 30]
        block = await read_block(snapshot, CHAIN_ID, 17)
        assert block is not None
        assert block.ref.hash == r.tree.canonical(17).hash
        assert block.digest() == block.stored_digest
        assert len(block.transactions) == block.block[BLOCKS.index("transaction_count")]
        assert await read_block(snapshot, CHAIN_ID, 31) is None
