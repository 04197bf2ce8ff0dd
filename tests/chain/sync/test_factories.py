"""Contracts that a factory creates: found in order and kept with their blocks, in whole stores and in selections."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import msgspec
import pytest
from msgspec.structs import replace

from tests.chain.rig import Rig, a_node
from tests.chain.sync.test_contracts import CHAIN_ID, KILLS, SHAPE, TIDE, event_rows, run_sql, verified
from tests.runtime import FakeRuntime
from tidelog.chain.abi.known import known_abi
from tidelog.chain.abi.signatures import parse_event
from tidelog.chain.contracts.contract import Contract
from tidelog.chain.contracts.creation import Creation
from tidelog.chain.maintenance.repair import repair_block
from tidelog.chain.reading.contracts import stored_coverage
from tidelog.chain.rows.tables import LOGS
from tidelog.chain.select.coverage import Span
from tidelog.chain.select.faults import LOG_FAULTS
from tidelog.chain.sync.beside.proving import Prover, ProvingLimits
from tidelog.chain.sync.committer import CommitLimits
from tidelog.chain.sync.contracts import ContractKeeper, ContractLimits
from tidelog.chain.sync.engine import SYNC_LIMITS
from tidelog.chain.sync.writer import ChainWriter
from tidelog.cli.db.content import content_digests
from tidelog.errors import ConfigError, Corruption
from tidelog.sim.node.chain.tree import BlockTree
from tidelog.sim.node.contracts import world as places
from tidelog.sim.node.node import SimNode
from tidelog.store import open_store

FACTORY = Contract("factory", places.FACTORY, known_abi("uniswap_v3_factory").events_named("PoolCreated"))
POOL = Contract(
    "pool",
    b"",
    known_abi("uniswap_v3_pool").events,
    created_by=Creation.read("factory.PoolCreated.pool"),
)
TRADER = Contract("trader", b"", POOL.events, created_by=Creation.read("pool.Swap.recipient"))  # third generation
BOTH = (FACTORY, POOL)
WITH_TIDE = (FACTORY, POOL, TIDE)
LINKED = ["whole", "proven"]
EVIDENCES = [*LINKED, "asked"]
NAME = "http://replica-0"


def held(contracts: tuple[Contract, ...], evidence: str) -> tuple[Contract, ...]:
    return tuple(replace(each, evidence=evidence) for each in contracts)


@asynccontextmanager
async def opened(url: str, node: SimNode, contracts: tuple[Contract, ...] | None) -> AsyncIterator[Rig]:
    runtime = FakeRuntime()
    store = await open_store(url, runtime)
    try:
        r = Rig(store, node, runtime, (NAME,))
        r.contracts = contracts
        yield r
    finally:
        await store.close()


async def undisturbed(node: SimNode, tmp_path: Any, contracts: tuple[Contract, ...]) -> dict[str, tuple[str, int]]:
    async with opened(f"sqlite:///{tmp_path}/undisturbed-{len(contracts)}.db", node, contracts) as r:
        await r.once()
        return await content_digests(r.store)


def logged(tree: BlockTree, low: int) -> list[tuple[int, int, Any]]:
    return [
        (number, index, log)
        for number in range(low, tree.head.number + 1)
        for index, log in enumerate([log for receipt in tree.canonical(number).receipts for log in receipt.logs])
    ]


async def assert_follows(r: Rig, evidence: str, contracts: tuple[Contract, ...] = BOTH) -> None:
    """Children and rows are those that the node's own logs say, of a selection the logs too, and all is covered."""
    if evidence == "asked":  # the head may be there before all answers are
        await r.once()
    report = await verified(r)
    assert (report.findings, report.unfilled) == ([], set())
    position = await r.position()
    born: dict[bytes, tuple[int, int]] = {}
    children: list[Any] = []
    swaps: list[tuple[int, int, bytes]] = []
    opened_at: list[tuple[int, int, bytes]] = []
    for number, index, log in logged(r.tree, position.lowest):
        if log.address == places.FACTORY and log.topics[0] == places.POOL_CREATED:
            born[log.data[-20:]] = number, index
            children.append((CHAIN_ID, number, index, log.data[-20:]))
        elif log.address in born and log.topics[0] in (places.SWAP, places.INITIALIZE):
            (swaps if log.topics[0] == places.SWAP else opened_at).append((number, index, log.address))
    rows: dict[str, list[Any]] = await event_rows(r.store)
    assert rows["e_pool__children"] == children
    for table, wanted in (("e_pool_swap", swaps), ("e_pool_initialize", opened_at)):
        assert [(row[1], row[2], row[6]) for row in rows[table]] == wanted
    assert rows["e_pool__misfits"] == []
    if evidence == "whole":
        return
    async with r.store.snapshot() as snapshot:
        logs: list[Any] = await snapshot.select(LOGS)
        spans = dict(await stored_coverage(snapshot, CHAIN_ID))
    if contracts == BOTH:
        made = [(number, index) for _, number, index, _ in children]
        assert [(row[1], row[2]) for row in logs] == sorted(
            [*made, *((number, index) for number, index, _ in (*swaps, *opened_at))]
        )
    below = Span(position.lowest, position.first - 1, "asked", NAME)
    above = Span(position.first, position.head, "proven")
    assert spans == {each.name: (below, above) if position.asked_from is not None else (above,) for each in contracts}


async def assert_same(r: Rig, evidence: str, contracts: tuple[Contract, ...], tmp_path: Any) -> None:
    """What is stored is what an undisturbed run stores; of what was asked, once it is proven."""
    if evidence == "asked":
        await r.once(prove=True)
        r.contracts = held(contracts, "proven")
        await r.once()
        assert (await verified(r)).findings == []
        evidence = "proven"
    assert await content_digests(r.store) == await undisturbed(r.node, tmp_path, held(contracts, evidence))


@pytest.mark.each_choice
@pytest.mark.parametrize("evidence", EVIDENCES)
async def test_children_are_found_in_order_through_reorgs(url: str, evidence: str, tmp_path: Any) -> None:
    node = a_node(50, shape=SHAPE)
    async with opened(url, node, held(BOTH, evidence)) as r:
        await r.once()
        await assert_follows(r, evidence)
        assert len((await event_rows(r.store))["e_pool__children"]) == 4
        await r.follow_script(
            lambda: r.tree.reorg(1), lambda: r.tree.reorg(7), lambda: r.tree.extend(12), lambda: r.tree.reorg(7, 9)
        )
        await assert_follows(r, evidence)
        await assert_same(r, evidence, BOTH, tmp_path)


@pytest.mark.each_choice
@pytest.mark.parametrize("evidence", EVIDENCES)
async def test_a_child_of_a_block_that_is_replaced_goes_and_is_found_again(
    url: str, evidence: str, tmp_path: Any
) -> None:
    node = a_node(28, shape=SHAPE, finalized_depth=None)
    async with opened(url, node, held(BOTH, evidence)) as r:
        await r.once(to=28)
        there = len((await event_rows(r.store))["e_pool__children"])
        await r.follow_script(lambda: r.tree.extend(20))
        assert len((await event_rows(r.store))["e_pool__children"]) > there
        await r.follow_script(lambda: r.tree.reorg(22, 25))
        await assert_follows(r, evidence)
        await r.follow_script(lambda: r.tree.reorg(1, 5))
        await assert_follows(r, evidence)
        await assert_same(r, evidence, BOTH, tmp_path)


@pytest.mark.each_choice
@pytest.mark.parametrize("evidence", EVIDENCES)
async def test_added_later_they_are_filled_in_in_order(url: str, evidence: str, tmp_path: Any) -> None:
    node = a_node(60, shape=SHAPE)
    async with opened(url, node, held((TIDE,), evidence)) as r:
        await r.once(first=4)
        r.contracts = held((FACTORY, TIDE), evidence)
        await r.once()
        r.contracts = held(WITH_TIDE, evidence)
        await r.follow_script(lambda: r.tree.reorg(3), lambda: r.tree.extend(2))
        await assert_follows(r, evidence, WITH_TIDE)
        r.contracts = held((TIDE,), evidence)
        await r.once()
        r.contracts = held(WITH_TIDE, evidence)
        await r.once()
        await assert_follows(r, evidence, WITH_TIDE)
        assert await content_digests(r.store) != {}
        await r.once(first=0)
        await assert_follows(r, evidence, WITH_TIDE)
        await assert_same(r, evidence, WITH_TIDE, tmp_path)


@pytest.mark.each_choice
@pytest.mark.parametrize("evidence", EVIDENCES)
async def test_what_children_create_before_they_are_known_is_found_too(url: str, evidence: str, tmp_path: Any) -> None:
    """Blocks come above those in which the creators of the creators are still looked for."""
    node = a_node(60, shape=SHAPE)
    async with opened(url, node, held((FACTORY,), evidence)) as r:
        await r.once(to=30)
        r.contracts = held((FACTORY, POOL, TRADER), evidence)
        await r.once()
        await r.once()
        traders = [row for row in (await event_rows(r.store))["e_trader__children"] if int(row[1] or 0) > 30]
        assert traders
        assert (await verified(r)).findings == []
        await assert_same(r, evidence, (FACTORY, POOL, TRADER), tmp_path)


@pytest.mark.parametrize("evidence", EVIDENCES)
async def test_blocks_below_bring_children_that_logged_above(evidence: str, tmp_path: Any) -> None:
    node = a_node(60, shape=SHAPE)
    url = f"sqlite:///{tmp_path}/chain.db"
    async with opened(url, node, held(BOTH, evidence)) as r:
        r.sync_limits = replace(SYNC_LIMITS, commit=CommitLimits(blocks=8))
        await r.once(first=40)
        few = len((await event_rows(r.store))["e_pool__children"])
        await assert_follows(r, evidence)
        await r.once(first=20)
        await assert_follows(r, evidence)
        await r.once(first=0)
        assert len((await event_rows(r.store))["e_pool__children"]) > few
        await assert_follows(r, evidence)
        await assert_same(r, evidence, BOTH, tmp_path)


@pytest.mark.each_choice
@pytest.mark.parametrize("evidence", EVIDENCES)
async def test_they_go_with_their_children_in_steps(url: str, evidence: str, tmp_path: Any) -> None:
    node = a_node(60, shape=SHAPE)
    async with opened(url, node, held(WITH_TIDE, evidence)) as r:
        await r.once()
        writer = await ChainWriter.open(r.store, r.runtime, r.metrics, CHAIN_ID)
        keeper = ContractKeeper(writer, r.store, r.runtime, ContractLimits(rows=3, logs=20))
        await keeper.begin(held((TIDE,), evidence))
        steps = 0
        while await keeper.step():
            steps += 1
            if steps % 7 == 0:
                assert (await verified(r)).findings == []
        assert steps > 10
        assert (await verified(r)).findings == []
        await assert_same(r, evidence, (TIDE,), tmp_path)


async def test_each_step_of_filling_in_is_whole(tmp_path: Any) -> None:
    node = a_node(60, shape=SHAPE)
    async with opened(f"sqlite:///{tmp_path}/chain.db", node, None) as r:
        await r.once()
        writer = await ChainWriter.open(r.store, r.runtime, r.metrics, CHAIN_ID)
        keeper = ContractKeeper(writer, r.store, r.runtime, ContractLimits(logs=1))
        await keeper.begin(held(BOTH, "whole"))
        steps = 0
        while await keeper.step():
            steps += 1
            if steps % 5 == 0:
                assert (await verified(r)).findings == []
            if steps == 2:
                await writer.rewind(40, below_finalized=True)
        await assert_follows_to(r, 40)
        await r.once()
        await assert_follows(r, "whole")


async def assert_follows_to(r: Rig, head: int) -> None:
    report = await verified(r)
    assert (report.findings, report.unfilled, report.last) == ([], set(), head)


@pytest.mark.each_choice
@pytest.mark.parametrize("evidence", LINKED)
async def test_rewind_and_repair_keep_to_the_children(url: str, evidence: str, tmp_path: Any) -> None:
    node = a_node(60, shape=SHAPE)
    async with opened(url, node, held(BOTH, evidence)) as r:
        await r.once()
        rows: dict[str, list[Any]] = await event_rows(r.store)
        named = [row[1] for row in rows["e_pool__children"]]
        for number in (named[0], named[1], rows["e_pool_swap"][0][1]):
            await repair_block(r.store, r.pool(), r.runtime, r.metrics, CHAIN_ID, number)
        await assert_follows(r, evidence)
        writer = await ChainWriter.open(r.store, r.runtime, r.metrics, CHAIN_ID)
        await writer.rewind(named[2] - 1, below_finalized=True)
        assert [row[1] for row in (await event_rows(r.store))["e_pool__children"]] == named[:2]
        await r.once()
        await assert_follows(r, evidence)
        await assert_same(r, evidence, BOTH, tmp_path)


@pytest.mark.each_choice
@pytest.mark.parametrize("evidence", EVIDENCES)
@pytest.mark.parametrize(("url", "point"), KILLS, indirect=["url"])
async def test_a_kill_anywhere_leaves_what_an_undisturbed_run_leaves(
    url: str, point: str, evidence: str, tmp_path: Any
) -> None:
    class Killed(BaseException):
        pass

    node = a_node(24, shape=SHAPE)
    for life, contracts in enumerate(((TIDE,), WITH_TIDE, BOTH, WITH_TIDE)):
        contracts = held(contracts, evidence)
        async with opened(url, node, contracts) as r:

            def reached(name: str, r: Rig = r, nth: int = 2 + life % 3) -> None:
                if r.runtime.points.count(point) == nth:
                    raise Killed

            r.runtime.on_point = reached
            with pytest.raises(Killed):
                await r.follow_script(*[lambda r=r: r.tree.reorg(2, 8)] * 3)
        async with opened(url, node, contracts) as r:
            assert (await verified(r)).findings == []
    async with opened(url, node, held(WITH_TIDE, evidence)) as r:
        await r.once()
        await assert_follows(r, evidence, WITH_TIDE)
        await assert_same(r, evidence, WITH_TIDE, tmp_path)


async def test_both_ways_give_the_same_rows(tmp_path: Any) -> None:
    node = a_node(60, shape=SHAPE)
    found = []
    for evidence in EVIDENCES:
        async with opened(f"sqlite:///{tmp_path}/{evidence}.db", node, held(BOTH, evidence)) as r:
            await r.once()
            found.append(await event_rows(r.store))
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("contract", "words"),
    [
        (
            replace(POOL, created_by=Creation.read("maker.PoolCreated.pool")),
            "contract pool: there is no contract 'maker'",
        ),
        (
            replace(POOL, created_by=Creation.read("factory.Created.pool")),
            "contract pool: factory has no event 'Created'; it has PoolCreated",
        ),
        (
            replace(POOL, created_by=Creation.read("factory.PoolCreated.pond")),
            "contract pool: factory.PoolCreated has no argument 'pond'; it has token0, token1, fee, tickSpacing, pool",
        ),
        (
            replace(POOL, created_by=Creation.read("factory.PoolCreated.fee")),
            "contract pool: factory.PoolCreated: its argument fee is of type uint24, and no address",
        ),
        (
            replace(POOL, created_by=Creation.read("pool.Mint.sender")),
            "contract pool: it would create itself: pool < pool",
        ),
    ],
)
async def test_what_cannot_create_is_refused_in_a_sentence(contract: Contract, words: str, tmp_path: Any) -> None:
    async with opened(f"sqlite:///{tmp_path}/chain.db", a_node(5, shape=SHAPE), (FACTORY, contract)) as r:
        with pytest.raises(ConfigError) as refused:
            await r.once()
        assert str(refused.value).startswith(words)


async def test_another_creator_under_the_same_name_is_refused(tmp_path: Any) -> None:
    other = replace(FACTORY, name="other", events=(parse_event("PoolCreated(address pool)"),))
    async with opened(f"sqlite:///{tmp_path}/chain.db", a_node(5, shape=SHAPE), BOTH) as r:
        await r.once()
        r.contracts = (FACTORY, other, replace(POOL, created_by=Creation.read("other.PoolCreated.pool")))
        with pytest.raises(ConfigError, match="contract pool: its created_by is another one"):
            await r.once()


async def test_children_are_asked_about_in_filters_that_an_endpoint_takes(tmp_path: Any) -> None:
    node = a_node(60, shape=SHAPE)
    async with opened(f"sqlite:///{tmp_path}/chain.db", node, held(BOTH, "asked")) as r:
        filters: list[int] = []

        def before(host: str, calls: list[dict[str, Any]]) -> None:
            filters.extend(len(call["params"][0]["address"]) for call in calls if call["method"] == "eth_getLogs")

        r.http.before = before
        node.tell("asked_addresses_refused")
        await r.once()
        assert max(filters) == 4, "all at once, which is refused"
        assert filters[-2:] == [2, 2]
        await assert_follows(r, "asked")


async def test_each_child_is_asked_about_from_the_block_on_in_which_it_is_named(tmp_path: Any) -> None:
    node = a_node(60, shape=SHAPE)
    async with opened(f"sqlite:///{tmp_path}/chain.db", node, held(BOTH, "asked")) as r:
        questions: list[tuple[set[str], int]] = []

        def before(host: str, calls: list[dict[str, Any]]) -> None:
            for (wanted,) in (call["params"] for call in calls if call["method"] == "eth_getLogs"):
                questions.append(({*wanted["address"]}, int(wanted["fromBlock"], 16)))

        r.http.before = before
        await r.once()
        rows: dict[str, list[Any]] = await event_rows(r.store)
        born = {"0x" + row[3].hex(): row[1] for row in rows["e_pool__children"]}
        assert [row[1] for row in rows["e_pool_initialize"]] == [*born.values()], "each logs in that block already"
        of_children = [(addresses, low) for addresses, low in questions if addresses & born.keys()]
        assert of_children
        assert all(low >= min(born[each] for each in addresses) for addresses, low in of_children)


async def faults(r: Rig) -> list[Any]:
    async with r.store.snapshot() as snapshot:
        return await snapshot.select(LOG_FAULTS)


@pytest.mark.each_choice
@pytest.mark.parametrize("lie", ["asked_logs_missing", "asked_logs_at_random", "logs_at_random"])
async def test_children_whose_creation_was_hidden_are_found_by_the_proof(url: str, lie: str, tmp_path: Any) -> None:
    node = a_node(60, shape=SHAPE)
    async with opened(url, node, held(BOTH, "asked")) as r:
        node.tell(lie)
        await r.once()
        node.honest()
        known: list[Any] = (await event_rows(r.store))["e_pool__children"]
        await r.once(prove=True)
        children: list[Any] = (await event_rows(r.store))["e_pool__children"]
        assert lie != "asked_logs_missing" or len(known) < len(children)
        found = {row[2:] for row in await faults(r) if row[1] == "factory"}
        assert found == {(number, index, "left out", NAME) for _, number, index, _ in {*children} - {*known}}
        await r.once()
        await assert_same(r, "asked", BOTH, tmp_path)


async def test_a_child_that_was_made_up_goes_with_all_that_it_logged(url: str, tmp_path: Any) -> None:
    """A log of the factory from block 20 on names another pool than it did: one that was created before."""
    node = a_node(60, shape=SHAPE)
    younger = (replace(FACTORY, first_block=20), POOL)
    async with opened(f"sqlite:///{tmp_path}/whole.db", node, younger) as whole:
        await whole.once()
        so = await event_rows(whole.store)
    tree = cast(BlockTree, node.chain)
    first = next(log for _, _, log in logged(tree, 0) if log.topics[:1] == (places.POOL_CREATED,))
    older, altered = first.data[-20:].hex(), "0x" + places.FACTORY.hex()
    handle: Any = node.handle

    def altering(path: str, body: bytes, **more: Any) -> Any:
        answer = handle(path, body, **more)
        if b"eth_getLogs" not in body or altered.encode() not in body:
            return answer
        replies = msgspec.json.decode(answer.body)
        for reply in replies if isinstance(replies, list) else [replies]:
            for log in reply["result"][:1]:
                log["data"] = log["data"][:-40] + older
        return replace(answer, body=msgspec.json.encode(replies))

    async with opened(url, node, held(younger, "asked")) as r:
        node.handle = altering  # type: ignore[method-assign]
        await r.once()
        node.handle = handle  # type: ignore[method-assign]
        told: dict[str, list[Any]] = await event_rows(r.store)
        assert bytes.fromhex(older) in {row[6] for row in told["e_pool_swap"]}
        await r.once(prove=True)
        assert {row[4] for row in await faults(r) if row[1] == "factory"} == {"altered"}
        await r.once()
        assert await event_rows(r.store) == so
        await assert_same(r, "asked", younger, tmp_path)


def hiding(node: SimNode) -> Any:
    """What answers as the node does, and with none of the logs of the factory where these are asked for."""
    handle: Any = node.handle

    def handling(path: str, body: bytes, **more: Any) -> Any:
        answer = handle(path, body, **more)
        if b"eth_getLogs" not in body or places.FACTORY.hex().encode() not in body:
            return answer
        replies = msgspec.json.decode(answer.body)
        for reply in replies if isinstance(replies, list) else [replies]:
            reply["result"] = []
        return replace(answer, body=msgspec.json.encode(replies))

    return handling


async def test_what_the_proof_finds_created_is_not_missed_in_blocks_that_were_on_their_way(tmp_path: Any) -> None:
    """The store is far behind: blocks above were fetched, and looked at, before the children were known."""
    node = a_node(60, shape=SHAPE)
    async with opened(f"sqlite:///{tmp_path}/chain.db", node, held(BOTH, "asked")) as r:
        handle: Any = node.handle
        node.handle = hiding(node)  # type: ignore[method-assign]
        await r.once()
        node.handle = handle  # type: ignore[method-assign]
        r.tree.extend(150)
        r.sync_limits = replace(SYNC_LIMITS, commit=CommitLimits(blocks=4))
        await r.once(prove=True)
        await r.once()
        await assert_same(r, "asked", BOTH, tmp_path)


async def test_a_contract_is_no_better_known_than_what_creates_it(tmp_path: Any) -> None:
    mixed = held((FACTORY,), "asked") + held((POOL,), "proven")
    async with opened(f"sqlite:///{tmp_path}/chain.db", a_node(5, shape=SHAPE), mixed) as r:
        with pytest.raises(ConfigError, match="contract pool: its evidence is proven, and that of factory, which crea"):
            await r.once()


async def test_each_block_is_fetched_twice_at_most_however_many_creations_the_proof_finds(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What children log above the piece in which they are named is looked for once, behind the last piece."""
    assert Prover.__init__.__kwdefaults__ is not None
    monkeypatch.setitem(Prover.__init__.__kwdefaults__, "limits", ProvingLimits(blocks=1))
    node = a_node(60, shape=SHAPE)
    handle: Any = node.handle
    fetched: Counter[str] = Counter()

    def counting(path: str, body: bytes, **more: Any) -> Any:
        calls = msgspec.json.decode(body)
        for call in calls if isinstance(calls, list) else [calls]:
            if call["method"] == "eth_getBlockReceipts":
                fetched[call["params"][0]] += 1
        return handle(path, body, **more)

    async with opened(f"sqlite:///{tmp_path}/chain.db", node, held(BOTH, "asked")) as r:
        node.handle = hiding(node)  # type: ignore[method-assign]
        await r.once()
        assert not (await event_rows(r.store))["e_pool__children"]
        node.handle = counting  # type: ignore[method-assign]
        await r.once(prove=True)
        created = [row[1] for row in (await event_rows(r.store))["e_pool__children"]]
        assert len({*created}) > 2, "in as many pieces"
        assert set(fetched.values()) == {1}, "by its number to be proven, by its hash to be looked at once more"
        await assert_same(r, "asked", BOTH, tmp_path)


@pytest.mark.each_choice
@pytest.mark.parametrize("evidence", LINKED)
@pytest.mark.parametrize(
    ("altered", "cause"),
    [
        (
            "factory.PoolCreated.token0",
            "e_pool__children has another row of log 0 than that log says: they are as created_by = "
            "factory.PoolCreated.pool says, and the row of contract pool in `contracts` says "
            "factory.PoolCreated.token0: one of both was altered",
        ),
        ("factory.PoolCreated.fee", "its argument fee is of type uint24, and no address"),
        ("nobody.PoolCreated.pool", "there is no contract 'nobody'"),
        ("pool.Swap.sender", "it would create itself: pool < pool"),
    ],
)
async def test_an_altered_row_of_what_creates_a_contract_is_named_as_the_cause(
    altered: str, cause: str, url: str, evidence: str
) -> None:
    async with opened(url, a_node(3, shape=SHAPE), held(BOTH, evidence)) as r:
        await r.once()
        statement = f"UPDATE contracts SET created_by = '{altered}' WHERE name = 'pool'"
        await asyncio.to_thread(run_sql, url, statement)
        try:
            said = [str(finding) for finding in (await verified(r)).findings]
        except Corruption as error:
            said = [str(error)]
            assert said[0].startswith(f"the row of contract 'pool' in `contracts` says created_by = {altered}, and ")
        assert len(said) == 1
        assert cause in said[0]
