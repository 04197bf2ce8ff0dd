"""Derived rows are in the store with their blocks or not at all: a toy one, through reorgs, kills and repairs."""

from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager

import apsw
import asyncpg
import pytest
import pytest_asyncio

from tests.chain.rig import Rig, a_node
from tests.runtime import FakeRuntime
from tidelog.batch import Batch, Row, Rows, Table, bytes_column, int_column
from tidelog.chain.maintenance.repair import repair_block
from tidelog.chain.projections import OWN, Outbox, Reorgs, Step, derived_rows
from tidelog.chain.rows.columns import LogColumns
from tidelog.chain.rows.layout import BlockRows
from tidelog.chain.rows.tables import BLOCKS, CHANGES, LOGS, REORGS
from tidelog.chain.sync.writer import ChainWriter
from tidelog.sim.node.chain.block_builder import Shape
from tidelog.sim.node.node import SimNode
from tidelog.store import Store, open_store

BUSY = Shape(transactions=(0, 3), logs=(0, 4), withdrawals=(0, 1))
COUNTS = Table(
    "address_logs",
    (int_column("chain_id"), int_column("block_number"), bytes_column("address"), int_column("logs")),
    key=("chain_id", "block_number", "address"),
    scope="chain_id",
    height="block_number",
)
DDL = (
    "CREATE TABLE address_logs (chain_id BIGINT NOT NULL, block_number BIGINT NOT NULL, address {bytes} NOT NULL,"
    " logs BIGINT NOT NULL, PRIMARY KEY (chain_id, block_number, address))"
)
CHAIN_ID = 1337
POINTS = ("ledger.before_commit", "store.rolled_back", "store.written", "store.committed", "ledger.after_commit")


class LogCounts:
    """How many logs each address has in each block."""

    undone: tuple[Table, ...] = (COUNTS,)

    def rows(self, step: Step) -> Sequence[Rows]:
        return [derived_rows(COUNTS, step.blocks, _counts_of)]


def _counts_of(block: BlockRows) -> Iterator[Row]:
    yield from _counted(block.logs)


def _counted(logs: Sequence[Row]) -> list[Row]:
    places = ((log.chain_id, log.block_number, log.address) for log in map(LogColumns._make, logs))
    return [(*place, count) for place, count in sorted(Counter(places).items())]


@pytest_asyncio.fixture
async def made(url: str) -> str:
    """The store at `url`, with the toy's table in it."""
    store = await open_store(url, FakeRuntime())
    await store.close()
    if url.startswith("sqlite"):
        database = apsw.Connection(url.removeprefix("sqlite:///"))
        database.execute(DDL.format(bytes="BLOB"))
        database.close()
    else:
        connection = await asyncpg.connect(url)
        await connection.execute(DDL.format(bytes="BYTEA"))
        await connection.close()
    return url


@asynccontextmanager
async def opened(url: str, node: SimNode) -> AsyncIterator[Rig]:
    runtime = FakeRuntime()
    store = await open_store(url, runtime)
    try:
        r = Rig(store, node, runtime, ("http://replica-0",))
        r.projections = (LogCounts(),)
        yield r
    finally:
        await store.close()


async def assert_whole(store: Store) -> None:
    """Every stored block has its derived rows, and no row is of a block that is not stored."""
    async with store.snapshot() as snapshot:
        logs = await snapshot.select(LOGS)
        assert await snapshot.select(COUNTS) == _counted(logs)


async def test_derived_rows_follow_the_chain_through_reorgs(made: str) -> None:
    node = a_node(20, shape=BUSY)
    async with opened(made, node) as r:
        await r.once()
        await assert_whole(r.store)
        await r.follow_script(
            lambda: r.tree.reorg(1), lambda: r.tree.reorg(5), lambda: r.tree.extend(3), lambda: r.tree.reorg(7, 9)
        )
        await assert_whole(r.store)
        await r.assert_equals_node()
        async with r.store.snapshot() as snapshot:
            assert await snapshot.count(REORGS) == 3
            assert await snapshot.count(COUNTS) > 10


async def test_derived_rows_come_with_blocks_below_the_first_and_go_with_a_rewind(made: str) -> None:
    node = a_node(30, shape=BUSY)
    async with opened(made, node) as r:
        await r.once(first=20)
        await r.once(first=4)
        await assert_whole(r.store)
        writer = await ChainWriter.open(r.store, r.runtime, r.metrics, CHAIN_ID, r.projections)
        await writer.rewind(12, below_finalized=True)
        await assert_whole(r.store)
        async with r.store.snapshot() as snapshot:
            assert await snapshot.count(BLOCKS) == 9


async def test_a_repair_makes_the_derived_rows_of_its_block_anew(made: str) -> None:
    node = a_node(12, shape=BUSY)
    async with opened(made, node) as r:
        await r.once()
        async with r.store.snapshot() as snapshot:
            chain_id, number, address, count = (await snapshot.select(COUNTS))[0]
        before = await r.store.acquire("damage")
        wrong: Row = (chain_id, number, address, int(str(count)) + 1)
        await r.store.commit(Batch(before, before.advanced("1"), put=(Rows(COUNTS, [wrong]),)))
        with pytest.raises(AssertionError):
            await assert_whole(r.store)
        await repair_block(
            r.store, r.pool(), r.runtime, r.metrics, CHAIN_ID, int(str(number)), projections=r.projections
        )
        await assert_whole(r.store)


@pytest.mark.each_choice
@pytest.mark.parametrize("point", POINTS)
async def test_a_run_that_dies_leaves_blocks_whole_with_their_derived_rows(made: str, point: str) -> None:
    class Killed(BaseException):
        pass

    node = a_node(20, shape=BUSY)
    for nth in (1, 2, 3):
        async with opened(made, node) as r:

            def reached(name: str, r: Rig = r, nth: int = nth) -> None:
                if r.runtime.points.count(point) == nth:
                    raise Killed

            r.runtime.on_point = reached
            with pytest.raises(Killed):
                await r.follow_script(*[lambda r=r: r.tree.reorg(2, 4)] * 3)
        async with opened(made, node) as r:
            await assert_whole(r.store)
    async with opened(made, node) as r:
        await r.once()
        await assert_whole(r.store)
        await r.assert_equals_node()


async def test_the_chain_s_own_projections_are_the_outbox_and_the_record_of_reorgs(made: str) -> None:
    assert [type(each) for each in OWN] == [Outbox, Reorgs]
    assert [table for each in OWN for table in each.undone] == []  # they only grow
    async with opened(made, a_node(5)) as r:
        await r.once()
        r.tree.reorg(2)
        await r.once()
        async with r.store.snapshot() as snapshot:
            kinds = [kind for (kind,) in await snapshot.select(CHANGES, columns=("kind",))]
    assert kinds == ["apply"] * 6 + ["revert"] * 2 + ["apply"] * 3
