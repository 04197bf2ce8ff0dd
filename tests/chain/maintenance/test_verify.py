"""Whatever is changed in a stored chain is found, and told apart: by the chain's commitment, or only by us.

A small chain of every fork and transaction type, with a reorg behind it, is damaged directly by SQL: each
column of each kind of row, then whole rows.
"""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import apsw
import pytest
import pytest_asyncio

from tests.chain.rig import CHAIN_ID, Rig, a_node, rig
from tidelog.batch import Table
from tidelog.chain.maintenance.verify import COMMITMENT, INGESTED, Report, verify_jobs, verify_range
from tidelog.chain.rows.tables import BLOCKS, LOGS, TRANSACTIONS, WITHDRAWALS
from tidelog.errors import ConfigError, Corruption
from tidelog.runtime import SystemRuntime
from tidelog.sim.node.chain.block_builder import BERLIN, CANCUN, FRONTIER, LONDON, PRAGUE, SHANGHAI, Shape
from tidelog.sim.node.node import SimNode
from tidelog.store import open_store

FORKS = ((0, FRONTIER), (2, BERLIN), (4, LONDON), (6, SHANGHAI), (8, CANCUN), (10, PRAGUE))
SHAPE = Shape(transactions=(3, 5), logs=(2, 3), withdrawals=(2, 2), failing=0.1)
HEAD = 17

# what a change of each column contradicts; of every other one it is what was ingested
COVERED = {
    "blocks": "chain_id number hash parent_hash ommers_hash miner state_root transactions_root receipts_root "
    "logs_bloom difficulty gas_limit gas_used timestamp extra_data mix_hash nonce base_fee_per_gas withdrawals_root "
    "blob_gas_used excess_blob_gas parent_beacon_block_root requests_hash block_access_list_hash slot_number uncles",
    "transactions": "chain_id block_number tx_index hash type to_address nonce value gas gas_price max_fee_per_gas "
    "max_priority_fee_per_gas max_fee_per_blob_gas input signed_chain_id access_list blob_versioned_hashes "
    "authorization_list v r s status cumulative_gas_used "
    "gas_used effective_gas_price contract_address",  # these three are derived from what is covered
    "logs": "chain_id block_number log_index tx_index address topic0 topic1 topic2 topic3 data",
    "withdrawals": "chain_id block_number withdrawal_index validator_index address amount_gwei",
}
NEVER_SET = {"source_hash", "mint", "is_system_tx", "deposit_nonce", "deposit_receipt_version"}  # of other chains
NEVER_SET |= {"root", "block_access_list_hash", "slot_number"}  # of old receipts, and of a fork to come


@pytest.fixture(scope="module")
def node() -> SimNode:
    return a_node(HEAD - 1, forks=FORKS, shape=SHAPE)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sound(node: SimNode, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The undamaged store, closed: to be copied."""
    folder = tmp_path_factory.mktemp("sound")
    async with rig(folder, node) as r:
        await r.once()
        r.tree.reorg(3)
        await r.once()
        await r.assert_equals_node()
    return folder / "chain.db"


@asynccontextmanager
async def damaged(sound: Path, folder: Path, node: SimNode, statement: str = "") -> AsyncIterator[Rig]:
    """A rig over a copy of the store, after a statement that changes some rows."""
    assert applied(sound, folder, statement) or not statement, statement
    async with rig(folder, node) as r:
        yield r


def applied(sound: Path, folder: Path, statement: str) -> int:
    """Copy the store and execute the statement in the copy: how many rows it changed."""
    shutil.copy(sound, folder / "chain.db")
    connection = apsw.Connection(str(folder / "chain.db"))
    try:
        connection.execute(statement)
        return connection.changes()
    finally:
        connection.close()


async def verified(r: Rig, *, findings: int = 1) -> Report:
    return await verify_jobs("", r.store, r.runtime, CHAIN_ID, low=None, high=None, jobs=1, findings_max=findings)


@pytest.mark.usefixtures("either_path")
async def test_verify_finds_nothing_in_a_sound_store(sound: Path, tmp_path: Path, node: SimNode) -> None:
    async with damaged(sound, tmp_path, node) as r:
        report = await verified(r)
        assert report.findings == []
        assert (report.first, report.last, report.blocks) == (0, HEAD, HEAD + 1)
        async with r.store.snapshot() as snapshot:
            assert report.transactions == await snapshot.count(TRANSACTIONS) > 40
            assert report.logs == await snapshot.count(LOGS) > 80


# -- each column of each kind of row ---------------------------------------------------------------------------------


def flips(table: Table, column: str) -> list[tuple[str, bool]]:
    """Statements that change one row's value, take it away, and give a value to a row without one.

    The second of each says whether the table above knows whose word it breaks.
    """
    sort, name = table.columns[table.index(column)], f'"{column}"'
    kind = "key" if column in table.key[1:] else sort.kind.value
    other_byte = f"CASE WHEN ifnull(substr({name}, -1), '') = x'41' THEN x'42' ELSE x'41' END"
    changed = {
        "key": f"{name} + 1000",  # beyond what is there
        "int": f"{name} + 1",
        "uint64": f"{name} + 1",
        "text": f"replace({name}, substr({name}, 2, 1), '~')",
        "bytes": f"CAST(ifnull(substr({name}, 1, length({name}) - 1), '') || {other_byte} AS BLOB)",
        "uint256": f"CAST(substr({name}, 1, 31) || {other_byte} AS BLOB)",
    }[kind]
    filled = {"int": "1", "uint64": "1", "text": "'{}'"}.get(kind, "zeroblob(32)")
    key = ", ".join(f'"{part}"' for part in table.key)
    order = ", ".join(f'"{part}" DESC' for part in table.key)

    def where(null: str) -> str:  # the middle of the chain: neither the checkpoint nor the genesis finds it
        rows = f"{name} IS {null} AND {table.height} BETWEEN 2 AND 14"
        return f"WHERE ({key}) = (SELECT {key} FROM {table.name} WHERE {rows} ORDER BY {order} LIMIT 1)"

    statements = [(f"UPDATE {table.name} SET {name} = {changed} {where('NOT NULL')}", True)]
    if sort.nullable:
        statements.append((f"UPDATE {table.name} SET {name} = NULL {where('NOT NULL')}", False))
        statements.append((f"UPDATE {table.name} SET {name} = {filled} {where('NULL')}", False))
    return statements


COLUMNS = [(table, name) for table in (BLOCKS, TRANSACTIONS, LOGS, WITHDRAWALS) for name in table.names]


@pytest.mark.parametrize(("table", "column"), COLUMNS, ids=[f"{table.name}.{name}" for table, name in COLUMNS])
async def test_verify_finds_a_changed_column(
    sound: Path, tmp_path: Path, node: SimNode, table: Table, column: str
) -> None:
    kind = COMMITMENT if column in COVERED[table.name].split() else INGESTED
    found = 0
    for statement, classified in flips(table, column):
        if not applied(sound, tmp_path, statement):
            assert not classified or column in NEVER_SET
            continue  # every row has a value there, or none
        async with rig(tmp_path, node) as r:
            (finding,) = (await verified(r)).findings
        assert not classified or finding.kind == kind, f"{statement}: {finding}"
        found += 1
    assert found


def test_the_table_names_columns_that_there_are() -> None:
    for table in (BLOCKS, TRANSACTIONS, LOGS, WITHDRAWALS):
        assert set(COVERED[table.name].split()) <= set(table.names)


# -- whole rows --------------------------------------------------------------------------------------------------------

OTHER_HASH = "UPDATE checkpoints SET position = json_set(position, '$.{}', '0x' || hex(zeroblob(31)) || 'ff')"
COPY_LOG = "chain_id, {number}, {index}, tx_index, address, topic0, topic1, topic2, topic3, data, covered"
INTO_LOGS = f"INSERT INTO logs ({COPY_LOG.format(number='block_number', index='log_index')}) SELECT"  # not the segment
A_LOG = "block_number = 12 AND log_index = (SELECT max(log_index) FROM logs WHERE block_number = 12)"


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("DELETE FROM blocks WHERE number = 12", COMMITMENT),
        ("DELETE FROM blocks WHERE number = 0", COMMITMENT),
        (f"DELETE FROM blocks WHERE number = {HEAD}", COMMITMENT),
        ("DELETE FROM transactions WHERE block_number = 12 AND tx_index = 0", COMMITMENT),
        ("DELETE FROM transactions WHERE block_number = 12", COMMITMENT),
        ("DELETE FROM logs WHERE block_number = 12 AND log_index = 0", COMMITMENT),
        (f"DELETE FROM logs WHERE {A_LOG}", COMMITMENT),
        ("DELETE FROM logs WHERE block_number = 12", COMMITMENT),
        ("DELETE FROM withdrawals WHERE block_number = 12 AND position = 1", COMMITMENT),
        ("DELETE FROM withdrawals", COMMITMENT),
        (f"{INTO_LOGS} {COPY_LOG.format(number=12, index=999)} FROM logs WHERE {A_LOG}", COMMITMENT),
        (f"{INTO_LOGS} {COPY_LOG.format(number=13, index=999)} FROM logs WHERE {A_LOG}", COMMITMENT),
        (f"{INTO_LOGS} {COPY_LOG.format(number=900, index=0)} FROM logs WHERE {A_LOG}", INGESTED),
        (f"{INTO_LOGS} {COPY_LOG.format(number=-1, index=0)} FROM logs WHERE {A_LOG}", INGESTED),
        (f"{INTO_LOGS} 7, 12, 0, 0, address, NULL, NULL, NULL, NULL, data, 1 FROM logs LIMIT 1", INGESTED),
        (f"UPDATE logs SET block_number = 13, log_index = 999 WHERE {A_LOG}", COMMITMENT),
        ("UPDATE transactions SET block_number = 9, tx_index = 9 WHERE block_number = 12 AND tx_index = 0", COMMITMENT),
        ("UPDATE withdrawals SET block_number = 13, position = 9 WHERE block_number = 12 AND position = 0", COMMITMENT),
        ("UPDATE blocks SET hash = substr(hash, 1, 31) WHERE number = 12", COMMITMENT),
        ("UPDATE logs SET chain_id = 1 WHERE block_number = 12", COMMITMENT),
        ("UPDATE blocks SET chain_id = 1 WHERE number = 12", COMMITMENT),
        ("UPDATE blocks SET number = number + 100 WHERE number = 12", COMMITMENT),
        (f"UPDATE blocks SET number = number + 100 WHERE number = {HEAD}", COMMITMENT),
        (OTHER_HASH.format("head_hash"), INGESTED),
        (OTHER_HASH.format("finalized_hash"), INGESTED),
        (OTHER_HASH.format("first_parent_hash"), COMMITMENT),
        ("UPDATE chains SET genesis_hash = zeroblob(32)", INGESTED),
        ("""UPDATE chains SET profile = replace(profile, '"bloom",', '')""", INGESTED),
    ],
)  # fmt: skip
async def test_verify_finds_a_row_that_is_gone_or_added_or_moved(
    sound: Path, tmp_path: Path, node: SimNode, statement: str, kind: str
) -> None:
    async with damaged(sound, tmp_path, node, statement) as r:
        (finding,) = (await verified(r)).findings
        assert finding.kind == kind, str(finding)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE checkpoints SET position = '{}'",
        "UPDATE chains SET profile = 'nonsense'",
        "DELETE FROM chains",
    ],
)
async def test_verify_names_a_store_that_cannot_be_read(
    sound: Path, tmp_path: Path, node: SimNode, statement: str
) -> None:
    async with damaged(sound, tmp_path, node, statement) as r:
        with pytest.raises(Corruption):
            await verified(r)


# -- the outbox --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seq", ["1", "9", "15", "17", "18", "20", "23", "(SELECT max(seq) FROM changes)"])
@pytest.mark.parametrize(
    "change",
    [
        "UPDATE changes SET chain_id = 1",
        "UPDATE changes SET seq = seq + 1000",
        "UPDATE changes SET kind = CASE kind WHEN 'apply' THEN 'revert' ELSE 'apply' END",
        "UPDATE changes SET kind = 'applied'",
        "UPDATE changes SET number = number + 1",
        "UPDATE changes SET number = number - 1",
        "UPDATE changes SET number = 1000",
        "UPDATE changes SET hash = randomblob(32)",
        "UPDATE changes SET parent_hash = randomblob(32)",
        "DELETE FROM changes",
    ],
)
async def test_verify_finds_a_damaged_outbox(sound: Path, tmp_path: Path, node: SimNode, change: str, seq: str) -> None:
    """Every change, that of a block which is reverted since as well."""
    async with damaged(sound, tmp_path, node, f"{change} WHERE seq = {seq}") as r:
        (finding,) = (await verified(r)).findings
        assert finding.kind == INGESTED
        assert finding.number is None
        assert "outbox" in finding.what or finding.what == "1 rows of changes are of no chain"


async def test_verify_finds_a_change_too_many(sound: Path, tmp_path: Path, node: SimNode) -> None:
    columns = "kind, number, hash, parent_hash, writer"
    statement = f"INSERT INTO changes SELECT chain_id, seq + 1000, {columns} FROM changes WHERE seq = 3"
    async with damaged(sound, tmp_path, node, statement) as r:
        (finding,) = (await verified(r)).findings
        assert "outbox" in finding.what


# -- what a report says ------------------------------------------------------------------------------------------------


async def test_findings_are_counted_and_in_order(sound: Path, tmp_path: Path, node: SimNode) -> None:
    statement = "UPDATE blocks SET gas_limit = gas_limit + 1 WHERE number IN (3, 9, 12)"
    async with damaged(sound, tmp_path, node, statement) as r:
        assert [finding.number for finding in (await verified(r)).findings] == [3]
        assert [finding.number for finding in (await verified(r, findings=2)).findings] == [3, 9]
        assert [finding.number for finding in (await verified(r, findings=99)).findings] == [3, 9, 12]


async def test_a_finding_reads_as_a_sentence(sound: Path, tmp_path: Path, node: SimNode) -> None:
    async with damaged(sound, tmp_path, node, "UPDATE logs SET data = x'00' WHERE block_number = 12") as r:
        (finding,) = (await verified(r)).findings
        assert str(finding).startswith("block 12 differs from the chain's commitment: receipts: expected the receipts")


async def test_verify_of_a_part_of_the_range(sound: Path, tmp_path: Path, node: SimNode) -> None:
    statement = "UPDATE blocks SET gas_limit = gas_limit + 1 WHERE number = 9"
    async with damaged(sound, tmp_path, node, statement) as r:
        for first, last, found in ((0, 8, 0), (9, 9, 1), (10, HEAD, 0), (5, 12, 1)):
            report = await verify_range(r.store, r.runtime, CHAIN_ID, first, last)
            assert len(report.findings) == found
            assert report.blocks == last - first + 1
        for low, high in ((-1, 3), (3, HEAD + 1), (7, 6)):
            with pytest.raises(ConfigError, match=f"it holds 0 to {HEAD}"):
                await verify_range(r.store, r.runtime, CHAIN_ID, low, high)


async def test_verify_checks_the_link_at_the_lower_end_of_a_part(sound: Path, tmp_path: Path, node: SimNode) -> None:
    """Block 9 is whole, and another chain's: its link to block 8 is what differs."""
    async with damaged(sound, tmp_path, node, "UPDATE blocks SET hash = zeroblob(32) WHERE number = 8") as r:
        report = await verify_range(r.store, r.runtime, CHAIN_ID, 9, 12)
        assert [(finding.number, finding.kind) for finding in report.findings] == [(9, COMMITMENT)]
        assert "parent" in report.findings[0].what


async def test_verify_refuses_a_store_without_the_chain(tmp_path: Path, node: SimNode) -> None:
    async with rig(tmp_path, node) as r:
        with pytest.raises(ConfigError, match="holds no blocks of chain 1337"):
            await verified(r)


async def test_verify_in_several_processes(tmp_path: Path) -> None:
    node = a_node(150, shape=Shape(transactions=(0, 1), logs=(0, 1), withdrawals=(0, 0)))
    async with rig(tmp_path, node) as r:
        await r.once()
        changed = apsw.Connection(str(tmp_path / "chain.db"))
        runtime, url = SystemRuntime(), f"sqlite:///{tmp_path}/chain.db"
        store = await open_store(url, runtime, readonly=True)
        try:
            for findings in (0, 2):
                report = await verify_jobs(url, store, runtime, CHAIN_ID, low=None, high=None, jobs=2, findings_max=9)
                assert report.blocks == 151
                assert [finding.number for finding in report.findings] == [20, 140][:findings]
                changed.execute("UPDATE blocks SET gas_limit = gas_limit + 1 WHERE number IN (20, 140)")
        finally:
            changed.close()
            await store.close()


@pytest.mark.parametrize("jobs", [1, 2])
async def test_verify_while_a_sync_shortens_the_chain(tmp_path: Path, jobs: int) -> None:
    """What is to be verified was divided before; of the last part nothing is left."""
    node = a_node(70, finalized_depth=50)
    async with rig(tmp_path, node) as r:
        await r.once()
        url, read_part = f"sqlite:///{tmp_path}/chain.db", r.store.snapshot
        runtime, asked = SystemRuntime(), 0

        @asynccontextmanager
        async def snapshot() -> AsyncIterator[Any]:
            nonlocal asked
            asked += 1
            if asked == 2:  # the first one shows the range, and what holds it together
                await shorten()
            async with read_part() as found:
                yield found

        async def shorten() -> None:
            r.tree.reorg(40, 2)
            r.store.snapshot = read_part  # type: ignore[method-assign]
            await r.once()
            assert (await r.position()).head == 32

        async def processes(calls: Sequence[Callable[[], Any]]) -> list[Any]:
            await shorten()
            return [await asyncio.to_thread(call) for call in calls]

        if jobs == 1:
            r.store.snapshot = snapshot  # type: ignore[method-assign]
        runtime.processes = processes  # type: ignore[method-assign]
        report = await verify_jobs(url, r.store, runtime, CHAIN_ID, low=None, high=None, jobs=jobs, findings_max=9)
        assert (report.findings, report.blocks) == ([], 33)


async def test_verify_while_a_sync_reorganises(tmp_path: Path) -> None:
    """Each part is one view of the store: what moves between two of them is no finding."""
    node = a_node(40, finalized_depth=30)
    async with rig(tmp_path, node) as r:
        await r.once()
        compute = r.runtime.compute

        async def between(function: Callable[[], Any]) -> Any:
            result = await compute(function)
            r.runtime.compute = compute  # type: ignore[method-assign]
            r.tree.reorg(25, 26)
            await r.once()
            return result

        r.runtime.compute = between  # type: ignore[method-assign]
        report = await verify_range(r.store, r.runtime, CHAIN_ID, 12, 40, blocks_at_once=4)
        assert report.findings == []
