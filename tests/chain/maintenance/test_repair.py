"""`repair` mends one block: the store is what it was, and no endpoint can swap another block in."""

from collections.abc import AsyncIterator
from pathlib import Path

import apsw
import pytest
import pytest_asyncio

from tests.chain.rig import CHAIN_ID, Rig, a_node, rig
from tests.sim.asking import FULL
from tidelog.chain.maintenance.repair import repair_block
from tidelog.chain.maintenance.verify import COMMITMENT, Finding, verify_jobs
from tidelog.errors import BelowFinality, ConfigError, Corruption, Fenced, ProofFailure, Rejected, SourceError

HEAD = 17


@pytest_asyncio.fixture
async def r(tmp_path: Path) -> AsyncIterator[Rig]:
    """A synced chain of HEAD + 1 blocks."""
    async with rig(tmp_path, a_node(HEAD, shape=FULL)) as made:
        await made.once()
        yield made


def damage(folder: Path, statement: str) -> None:
    connection = apsw.Connection(str(folder / "chain.db"))
    connection.execute(statement)
    assert connection.changes() or statement == "SELECT 1"
    connection.close()


async def findings(r: Rig) -> list[Finding]:
    report = await verify_jobs("", r.store, r.runtime, CHAIN_ID, low=None, high=None, jobs=1, findings_max=9)
    return report.findings


async def repair(r: Rig, number: int) -> None:
    await repair_block(r.store, r.pool(), r.runtime, r.metrics, CHAIN_ID, number)


@pytest.mark.parametrize(
    ("number", "statement"),
    [
        (12, "SELECT 1"),  # a sound block stays what it is
        (12, "UPDATE blocks SET gas_limit = gas_limit + 1 WHERE number = 12"),
        (12, "UPDATE blocks SET hash = zeroblob(32), parent_hash = zeroblob(32) WHERE number = 12"),
        (12, "UPDATE blocks SET proof = 'nonsense' WHERE number = 12"),
        (12, "DELETE FROM blocks WHERE number = 12"),
        (12, "DELETE FROM transactions WHERE block_number = 12"),
        (12, "UPDATE logs SET data = x'00' WHERE block_number = 12"),
        (12, "UPDATE logs SET log_index = log_index + 50 WHERE block_number = 12"),
        (12, "DELETE FROM withdrawals WHERE block_number = 12"),
        (0, "UPDATE blocks SET gas_limit = 1 WHERE number = 0"),
        (HEAD, f"UPDATE blocks SET gas_limit = 1 WHERE number = {HEAD}"),
        (HEAD, f"UPDATE blocks SET hash = zeroblob(32) WHERE number = {HEAD}"),
        (HEAD, f"DELETE FROM blocks WHERE number = {HEAD}"),
    ],
)
async def test_a_damaged_block_is_repaired(r: Rig, tmp_path: Path, number: int, statement: str) -> None:
    whole, position = await r.digest(), await r.position()
    damage(tmp_path, statement)
    assert bool(await findings(r)) == (statement != "SELECT 1")
    await repair(r, number)
    assert await r.position() == position
    assert await r.digest() == whole
    await r.assert_equals_node()
    await r.once()
    await r.assert_equals_node()


@pytest.mark.parametrize("column", ["hash", "parent_hash"])
async def test_an_endpoint_on_another_branch_cannot_swap_it(r: Rig, tmp_path: Path, column: str) -> None:
    damage(tmp_path, f"UPDATE blocks SET {column} = zeroblob(32) WHERE number = 14")
    before = await r.digest()
    r.tree.reorg(8)
    with pytest.raises(Rejected, match=r"block 14 came with hash 0x.* neighbours in the store name"):
        await repair(r, 14)
    assert await r.digest() == before


async def test_damaged_neighbours_are_repaired_one_by_one(r: Rig, tmp_path: Path) -> None:
    damage(tmp_path, "UPDATE blocks SET parent_hash = zeroblob(32) WHERE number IN (12, 13)")
    with pytest.raises(Rejected, match="if a neighbour is damaged too, repair that one first"):
        await repair(r, 12)
    await repair(r, 13)
    await repair(r, 12)
    await r.assert_equals_node()


@pytest.mark.parametrize("lie", ["receipts_missing", "log_altered", "receipts_null", "transaction_altered"])
async def test_a_repair_stores_nothing_that_does_not_prove(r: Rig, tmp_path: Path, lie: str) -> None:
    damage(tmp_path, "UPDATE blocks SET gas_limit = 1 WHERE number = 12")
    before = await r.digest()
    r.node.tell(lie)
    r.node.tell("receipt_null")  # nor are receipts to be had one by one
    with pytest.raises((SourceError, ProofFailure)):
        await repair(r, 12)
    assert await r.digest() == before


@pytest.mark.parametrize("number", [HEAD + 1, 900])
async def test_a_repair_refuses_a_block_that_is_not_stored(r: Rig, number: int) -> None:
    with pytest.raises(ConfigError, match=f"block {number} is not in the store"):
        await repair(r, number)


async def test_a_repair_refuses_a_block_below_the_range(tmp_path: Path) -> None:
    async with rig(tmp_path, a_node(HEAD)) as late:
        await late.once(first=10)
        with pytest.raises(ConfigError, match="block 9 is not in the store"):
            await repair(late, 9)
        damage(tmp_path, "UPDATE blocks SET gas_limit = 1 WHERE number = 10")
        await repair(late, 10)
        await late.assert_equals_node(first=10)


async def test_a_repair_recovers_senders_where_they_were_recovered(tmp_path: Path) -> None:
    async with rig(tmp_path, a_node(HEAD, shape=FULL)) as made:
        await made.once(senders=True)
        whole = await made.digest()
        damage(tmp_path, "UPDATE transactions SET from_address = zeroblob(20) WHERE block_number = 12")
        assert [finding.kind for finding in await findings(made)] == [COMMITMENT], "the signature is one here"
        await repair(made, 12)
        assert await made.digest() == whole


async def test_a_repair_refuses_a_chain_that_nothing_describes(r: Rig, tmp_path: Path) -> None:
    damage(tmp_path, "DELETE FROM chains")
    with pytest.raises(Corruption, match="no row that describes the chain"):
        await repair(r, 12)


async def test_a_repair_fences_a_sync_that_runs(r: Rig) -> None:
    repaired = False

    def until(_: object) -> bool:
        r.tree.extend(1)
        return False

    original = r.store.commit

    async def commit(batch: object) -> object:
        nonlocal repaired
        if not repaired:
            repaired = True
            await repair(r, 12)
        return await original(batch)  # type: ignore[arg-type]

    r.store.commit = commit  # type: ignore[method-assign,assignment]
    with pytest.raises(Fenced):
        await r.follow(until=until)
    r.store.commit = original  # type: ignore[method-assign]
    await r.once()
    await r.assert_equals_node()
    assert BelowFinality.exit_code != Fenced.exit_code
