"""A chain of which only what contracts log is held: the same rows as from whole blocks, whatever happens meanwhile."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from tests.chain.rig import Rig, a_node, replicas
from tests.chain.sync.test_contracts import (
    ALL,
    BOARD,
    CHAIN_ID,
    GAUGE,
    KILLS,
    SHAPE,
    SHELLS,
    TIDE,
    event_rows,
    verified,
)
from tests.runtime import FakeRuntime
from tidelog.chain.contracts.contract import Contract
from tidelog.chain.forks.position import counts
from tidelog.chain.maintenance.repair import repair_block
from tidelog.chain.reading.contracts import stored_coverage
from tidelog.chain.rows.tables import BLOCKS, LOGS, TRANSACTIONS, WITHDRAWALS
from tidelog.chain.select.coverage import Span
from tidelog.chain.sync import leaving
from tidelog.chain.sync.contracts import ContractKeeper, ContractLimits
from tidelog.chain.sync.writer import ChainWriter
from tidelog.cli.db.content import content_digests
from tidelog.errors import ConfigError, ProofFailure
from tidelog.sim.node.node import SimNode
from tidelog.store import Store, open_store


def proven(*contracts: Contract) -> tuple[Contract, ...]:
    return tuple(replace(each, evidence="proven") for each in contracts)


SELECTED = proven(*ALL)
FEW = proven(SHELLS, GAUGE)


@asynccontextmanager
async def opened(url: str, node: SimNode, contracts: tuple[Contract, ...] | None = SELECTED) -> AsyncIterator[Rig]:
    runtime = FakeRuntime()
    store = await open_store(url, runtime)
    try:
        r = Rig(store, node, runtime, ("http://replica-0",))
        r.contracts = contracts
        yield r
    finally:
        await store.close()


async def whole_rows(node: SimNode, tmp_path: Any, contracts: tuple[Contract, ...]) -> dict[str, Any]:
    """The rows of the contracts' tables in a store that holds the chain whole."""
    plain = tuple(replace(each, evidence=None) for each in contracts)
    async with opened(f"sqlite:///{tmp_path}/whole.db", node, plain) as r:
        await r.once()
        return await event_rows(r.store)


async def undisturbed(node: SimNode, tmp_path: Any, contracts: tuple[Contract, ...]) -> dict[str, tuple[str, int]]:
    async with opened(f"sqlite:///{tmp_path}/undisturbed-{len(contracts)}.db", node, contracts) as r:
        await r.once()
        return await content_digests(r.store)


async def coverage(store: Store) -> dict[str, tuple[Span, ...]]:
    async with store.snapshot() as snapshot:
        return dict(await stored_coverage(snapshot, CHAIN_ID))


async def assert_selected(r: Rig, contracts: tuple[Contract, ...]) -> None:
    """Every header, of logs and transactions only what is selected, each block as it counts itself, all covered."""
    report = await verified(r)
    assert (report.findings, report.unfilled) == ([], set())
    position = await r.position()
    async with r.store.snapshot() as snapshot:
        blocks: list[Any] = await snapshot.select(BLOCKS)
        logs: list[Any] = await snapshot.select(LOGS)
        transactions: list[Any] = await snapshot.select(TRANSACTIONS)
        assert await snapshot.count(WITHDRAWALS) == 0
    assert [row[BLOCKS.index("number")] for row in blocks] == list(range(position.first, position.head + 1))
    wanted = [
        (number, index)
        for number in range(position.first, position.head + 1)
        for index, (address, topics) in enumerate(
            (log.address, log.topics) for receipt in r.tree.canonical(number).receipts for log in receipt.logs
        )
        if any(
            each.address == address
            and number >= each.first_block
            and any(event.topic0 in (None, *topics[:1]) for event in each.events)
            for each in contracts
        )
    ]
    assert [(row[1], row[2]) for row in logs] == wanted
    assert {(row[1], row[3]) for row in logs} == {(row[1], row[2]) for row in transactions}
    in_blocks = Counter(row[1] for row in logs)
    assert [row[BLOCKS.index("log_count")] for row in blocks] == [in_blocks[row[1]] for row in blocks]
    counted = counts(position)
    assert counted is not None
    assert (counted.transactions, counted.logs) == (len(transactions), len(logs))
    assert await coverage(r.store) == {
        each.name: (Span(max(position.first, each.first_block), position.head, "proven"),) for each in contracts
    }


async def test_what_is_selected_is_what_whole_blocks_say_through_reorgs(url: str, tmp_path: Any) -> None:
    node = a_node(60, shape=SHAPE)
    async with opened(url, node) as r:
        await r.once()
        await assert_selected(r, ALL)
        await r.follow_script(
            lambda: r.tree.reorg(1), lambda: r.tree.reorg(5), lambda: r.tree.extend(12), lambda: r.tree.reorg(7, 9)
        )
        await assert_selected(r, ALL)
        rows = await event_rows(r.store)
        assert len(rows["e_tide_transfer"]) > 20
        assert rows == await whole_rows(node, tmp_path, ALL)
        assert await content_digests(r.store) == await undisturbed(node, tmp_path, SELECTED)


async def test_only_blocks_whose_bloom_does_not_exclude_it_are_fetched(tmp_path: Any) -> None:
    node = a_node(120, shape=SHAPE)
    async with opened(f"sqlite:///{tmp_path}/chain.db", node, proven(SHELLS)) as r:
        whole: set[str] = set()

        def before(host: str, calls: list[dict[str, Any]]) -> None:
            whole.update(call["params"][0] for call in calls if call["method"] == "eth_getBlockReceipts")

        r.http.before = before
        await r.once()
        async with r.store.snapshot() as snapshot:
            rows: list[Any] = await snapshot.select(LOGS, columns=("block_number",))
        with_logs = {number for (number,) in rows}
        assert len(with_logs) > 3
        assert {hex(number) for number in with_logs} <= whole
        assert len(whole) < 60, "the first contact looks at some whole blocks"


async def test_a_contract_that_is_added_later_is_filled_by_the_blooms_that_are_stored(url: str, tmp_path: Any) -> None:
    node = a_node(60, shape=SHAPE)
    async with opened(url, node, FEW) as r:
        await r.once(first=4)
        await assert_selected(r, (SHELLS, GAUGE))
        r.contracts = SELECTED
        await r.follow_script(lambda: r.tree.reorg(3), lambda: r.tree.extend(2))
        await r.once()  # who is asked to stop does not wait for what is being fetched
        await assert_selected(r, ALL)
        await r.once(first=0)
        await assert_selected(r, ALL)
        assert await event_rows(r.store) == await whole_rows(node, tmp_path, ALL)
        assert await content_digests(r.store) == await undisturbed(node, tmp_path, SELECTED)


async def test_a_contract_that_is_removed_takes_what_only_it_selected(url: str, tmp_path: Any) -> None:
    node = a_node(40, shape=SHAPE)
    async with opened(url, node) as r:
        await r.once()
        r.contracts = FEW
        await r.once()
        await assert_selected(r, (SHELLS, GAUGE))
        assert await content_digests(r.store) == await undisturbed(node, tmp_path, FEW)
        r.contracts = SELECTED
        await r.once()
        await assert_selected(r, ALL)
        assert await content_digests(r.store) == await undisturbed(node, tmp_path, SELECTED)


async def test_each_log_is_looked_at_once_for_a_contract_that_is_removed_whose_logs_another_one_wants(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was renamed: its tables are emptied in many steps, none of which looks at all of its logs again."""
    node = a_node(60, shape=SHAPE)
    (renamed,) = proven(replace(TIDE, name="ebb"))
    looked: list[Any] = []
    is_wanted = leaving._is_wanted

    def looking(selection: Any, row: Any) -> bool:
        looked.append(row)
        return is_wanted(selection, row)

    async with opened(f"sqlite:///{tmp_path}/chain.db", node, proven(TIDE, renamed)) as r:
        await r.once()
        async with r.store.snapshot() as snapshot:
            logs = await snapshot.select(LOGS)
        writer = await ChainWriter.open(r.store, r.runtime, r.metrics, r.tree.chain_id)
        keeper = ContractKeeper(writer, r.store, r.runtime, ContractLimits(rows=3, logs=5))
        await keeper.begin([renamed])
        monkeypatch.setattr(leaving, "_is_wanted", looking)
        while await keeper.step():
            pass
        assert looked == logs
        assert len(logs) > 20
        r.contracts = (renamed,)
        await r.once()
        await assert_selected(r, (renamed,))


async def test_rewind_and_repair_keep_to_the_selection(url: str, tmp_path: Any) -> None:
    node = a_node(40, shape=SHAPE)
    async with opened(url, node) as r:
        await r.once()
        writer = await ChainWriter.open(r.store, r.runtime, r.metrics, CHAIN_ID)
        await writer.rewind(20, below_finalized=True)
        await assert_selected(r, ALL)
        await repair_block(r.store, r.pool(), r.runtime, r.metrics, CHAIN_ID, 15)
        await assert_selected(r, ALL)
        await r.once()
        assert await content_digests(r.store) == await undisturbed(node, tmp_path, SELECTED)


@pytest.mark.parametrize(("url", "point"), KILLS, indirect=["url"])
async def test_a_kill_anywhere_leaves_what_an_undisturbed_run_leaves(url: str, point: str, tmp_path: Any) -> None:
    class Killed(BaseException):
        pass

    node = a_node(24, shape=SHAPE)
    for life, contracts in enumerate((FEW, SELECTED, proven(TIDE, BOARD), SELECTED)):
        async with opened(url, node, contracts) as r:

            def reached(name: str, r: Rig = r, nth: int = 2 + life % 3) -> None:
                if r.runtime.points.count(point) == nth:
                    raise Killed

            r.runtime.on_point = reached
            with pytest.raises(Killed):
                await r.follow_script(*[lambda r=r: r.tree.reorg(2, 3)] * 3)
        async with opened(url, node, contracts) as r:
            assert (await verified(r)).findings == []
    async with opened(url, node) as r:
        await r.once()
        await assert_selected(r, ALL)
        assert await content_digests(r.store) == await undisturbed(node, tmp_path, SELECTED)


HIDDEN = ("logs_missing", "receipt_logs_missing", "logs_at_random")
HIDING = (*HIDDEN, "log_altered", "receipts_empty", "receipts_missing", "receipts_other_fork", "bloom_wrong",
          "bloom_stale", "transaction_missing")  # fmt: skip


@pytest.mark.parametrize("lie", HIDING)
async def test_a_node_that_hides_logs_beside_an_honest_one_hides_none(lie: str, tmp_path: Any) -> None:
    node = a_node(40, shape=SHAPE, replicas=2)
    async with opened(f"sqlite:///{tmp_path}/chain.db", node) as r:
        r.urls = replicas(2)
        node.tell(lie, replica=0, probability=0.5)
        with capture_logs() as logged:
            await r.once()
        node.honest()
        named = {entry["endpoint"] for entry in logged if entry["event"] == "endpoint_failed"}
        assert named <= {"http://replica-0"}
        assert named or lie not in HIDDEN
        await assert_selected(r, ALL)
        assert await event_rows(r.store) == await whole_rows(node, tmp_path, ALL)


@pytest.mark.parametrize("lie", ["logs_missing", "receipt_logs_missing"])
async def test_a_node_that_always_hides_logs_is_named(lie: str, tmp_path: Any) -> None:
    node = a_node(40, shape=SHAPE)
    async with opened(f"sqlite:///{tmp_path}/chain.db", node) as r:
        node.tell(lie)
        with pytest.raises(ProofFailure, match="http://replica-0"):
            await r.once()
        node.honest()
        await r.once()
        await assert_selected(r, ALL)


async def test_a_chain_is_held_whole_or_as_a_selection(tmp_path: Any) -> None:
    node = a_node(20, shape=SHAPE)
    mixed = (replace(TIDE, evidence="whole"), *proven(BOARD))
    async with opened(f"sqlite:///{tmp_path}/mixed.db", node, mixed) as r:
        with pytest.raises(ConfigError, match="tide: its evidence is whole, and board selects"):
            await r.once()
    async with opened(f"sqlite:///{tmp_path}/whole.db", node, (TIDE,)) as r:
        await r.once()
        r.contracts = proven(TIDE)
        with pytest.raises(ConfigError, match="tide: its evidence is proven, and the store holds chain 1337 whole"):
            await r.once()
    async with opened(f"sqlite:///{tmp_path}/selection.db", node, proven(TIDE)) as r:
        await r.once()
        r.contracts = (replace(TIDE, evidence="whole"),)
        with pytest.raises(ConfigError, match="tide: its evidence is whole, and the store holds a selection"):
            await r.once()
        r.contracts = ()
        with pytest.raises(ConfigError, match="the store holds a selection of chain 1337, and no contract is named"):
            await r.once()
        r.contracts = (TIDE, BOARD)  # no evidence: as the chain is held
        await r.once()
        await assert_selected(r, (TIDE, BOARD))
        r.contracts = None
        r.tree.extend(3)
        await r.once()
        await assert_selected(r, (TIDE, BOARD))
