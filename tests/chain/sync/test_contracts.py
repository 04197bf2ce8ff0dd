"""Contracts' tables in a store that follows a chain: whole with their blocks, through reorgs, kills and new wishes."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from tests.chain.rig import Rig, a_node
from tests.runtime import FakeRuntime
from tests.system.sql import Sql
from tidelog.batch import Batch, Row, Rows
from tidelog.chain.abi.known import known_abi
from tidelog.chain.abi.signatures import parse_event
from tidelog.chain.contracts.contract import Contract
from tidelog.chain.contracts.event_tables import ContractTables
from tidelog.chain.maintenance.repair import repair_block
from tidelog.chain.maintenance.verify import Report, verify_jobs
from tidelog.chain.reading.contracts import stored_contracts, stored_tables
from tidelog.chain.rows.tables import LOGS
from tidelog.chain.sync.committer import CommitLimits
from tidelog.chain.sync.contracts import ContractKeeper, ContractLimits
from tidelog.chain.sync.writer import ChainWriter
from tidelog.cli.db.content import content_digests
from tidelog.errors import ConfigError, Corruption, StoreError
from tidelog.sim.node.chain.block_builder import Shape
from tidelog.sim.node.contracts import world as places
from tidelog.sim.node.node import SimNode
from tidelog.store import Store, open_store

SHAPE = Shape(transactions=(2, 5), logs=(0, 2), withdrawals=(0, 0), contracts=True)
CHAIN_ID = 1337
POINTS = ("ledger.before_commit", "store.rolled_back", "store.written", "store.committed", "ledger.after_commit")
KILLS = [*(("sqlite", point) for point in POINTS), ("postgresql", "store.written"), ("postgresql", "store.committed")]

TIDE = Contract("tide", places.TIDE, known_abi("erc20").events)
BOARD = Contract(
    "board",
    places.BOARD,
    (
        parse_event("Note(string indexed subject, string text)"),
        parse_event("Note(uint256 indexed number, (address author, uint64 at) stamp, bytes32[] tags)"),
        parse_event("Parcel((uint256 weight, string label) indexed parcel, int256[2] place)"),
        parse_event("Tick(address indexed who, uint256 count) anonymous"),
    ),
)
GAUGE = Contract(
    "gauge",
    places.GAUGE,
    (
        parse_event("Measured(uint256 value)"),
        parse_event("Measured(uint256 indexed value)"),
        parse_event("MeasuredBy(address indexed by, string note)"),
    ),
)
SHELLS = Contract("shells", places.SHELLS, known_abi("erc721").events_named("Transfer"), first_block=10)
ALL = (TIDE, BOARD, GAUGE, SHELLS)


@asynccontextmanager
async def opened(url: str, node: SimNode, contracts: tuple[Contract, ...] | None = ALL) -> AsyncIterator[Rig]:
    runtime = FakeRuntime()
    store = await open_store(url, runtime)
    try:
        r = Rig(store, node, runtime, ("http://replica-0",))
        r.contracts = contracts
        yield r
    finally:
        await store.close()


def run_sql(url: str, statement: str) -> None:
    with Sql(url) as database:
        database.fetch(statement)


def fetched(url: str, query: str) -> list[Any]:
    with Sql(url) as database:
        return list(database.fetch(query))


async def relations(r: Rig) -> dict[str, bool]:
    async with r.store.snapshot() as snapshot:
        return await snapshot.relations()


async def event_rows(store: Store) -> dict[str, list[Row]]:
    async with store.snapshot() as snapshot:
        return {table.name: await snapshot.select(table) for table in await stored_tables(snapshot)}


async def verified(r: Rig, findings: int = 5) -> Report:
    return await verify_jobs("", r.store, r.runtime, CHAIN_ID, low=None, high=None, jobs=1, findings_max=findings)


async def undisturbed(node: SimNode, tmp_path: Any) -> dict[str, tuple[str, int]]:
    """The digests of a store that took the node's chain in at once, with all contracts from the start."""
    async with opened(f"sqlite:///{tmp_path}/undisturbed.db", node) as r:
        await r.once()
        return await content_digests(r.store)


async def assert_whole(r: Rig) -> None:
    report = await verified(r)
    assert report.findings == []
    assert report.unfilled == set()


async def test_rows_are_there_with_their_blocks_through_reorgs(url: str, tmp_path: Any) -> None:
    node = a_node(60, shape=SHAPE)
    async with opened(url, node) as r:
        await r.once()
        rows = await event_rows(r.store)
        assert len(rows["e_tide_transfer"]) > 20
        assert len(rows["e_board__misfits"]) > 0
        await assert_whole(r)
        await r.follow_script(
            lambda: r.tree.reorg(1), lambda: r.tree.reorg(5), lambda: r.tree.extend(12), lambda: r.tree.reorg(7, 9)
        )
        await assert_whole(r)
        assert (await verified(r)).event_rows > 100
        assert await content_digests(r.store) == await undisturbed(node, tmp_path)
        await r.assert_equals_node()


async def test_a_contract_that_is_added_later_is_filled_in_steps_while_the_head_is_followed(
    url: str, tmp_path: Any
) -> None:
    node = a_node(60, shape=SHAPE)
    async with opened(url, node, None) as r:
        await r.once(first=4)
        assert await event_rows(r.store) == {}
        r.contracts = ALL
        await r.follow_script(lambda: r.tree.reorg(3), lambda: r.tree.extend(2))
        await assert_whole(r)
        await r.once(first=0)
        await assert_whole(r)
        assert await content_digests(r.store) == await undisturbed(node, tmp_path)


async def test_a_contract_is_filled_in_though_the_head_moves_whenever_it_is_looked_at(tmp_path: Any) -> None:
    async with opened(f"sqlite:///{tmp_path}/chain.db", a_node(60, shape=SHAPE), None) as r:
        await r.once()
        r.contracts = ALL
        run, asked = r.sync(follow=True), 0

        def before(host: str, calls: object) -> None:
            nonlocal asked
            asked += 1
            if asked < 200:
                r.tree.extend(1)
            else:
                run.stop()

        r.http.before = before
        await run.run()
        async with r.store.snapshot() as snapshot:
            assert [each.is_filled for each in await stored_contracts(snapshot)] == [True] * len(ALL)
        assert (await verified(r)).findings == []


@pytest.mark.parametrize("limit", [2, 30])
async def test_each_step_is_whole_and_says_how_far_it_is(limit: int, tmp_path: Any) -> None:
    node = a_node(50, shape=SHAPE)
    async with opened(f"sqlite:///{tmp_path}/chain.db", node, None) as r:
        await r.once()
        writer = await ChainWriter.open(r.store, r.runtime, r.metrics, CHAIN_ID)
        keeper = ContractKeeper(writer, r.store, r.runtime, ContractLimits(logs=limit))
        await keeper.begin(ALL)
        steps = 0
        while await keeper.step():
            steps += 1
            if steps % 5 == 0:
                assert (await verified(r)).findings == [], "what is said to be filled in is"
            if steps == 5:  # below what is filled in: what comes then has its rows anyway
                await writer.rewind(20, below_finalized=True)
                assert (await verified(r)).unfilled
        assert steps > 4
        await assert_whole(r)
        await r.once()
        await assert_whole(r)
        assert await content_digests(r.store) == await undisturbed(node, tmp_path)


async def test_a_contract_that_is_removed_goes_with_its_rows_and_may_come_again(url: str, tmp_path: Any) -> None:
    node = a_node(40, shape=SHAPE)
    async with opened(url, node) as r:
        await r.once()
        r.contracts = (TIDE,)
        await r.once()
        rows = await event_rows(r.store)
        assert sorted(rows) == ["e_tide__misfits", "e_tide_approval", "e_tide_transfer"]
        async with r.store.snapshot() as snapshot:
            with pytest.raises(StoreError):
                await snapshot.select(ContractTables(BOARD).misfits)
        await assert_whole(r)
        changed = msgspec.structs.replace(BOARD, events=BOARD.events[:1])
        r.contracts = (TIDE, changed)
        await r.once()
        await assert_whole(r)
        r.contracts = ALL
        with pytest.raises(ConfigError, match="its abi or events is another one than its tables were made for"):
            await r.once()
        r.contracts = (TIDE, GAUGE, SHELLS)
        await r.once()
        r.contracts = ALL
        await r.once()
        assert await content_digests(r.store) == await undisturbed(node, tmp_path)


async def test_one_that_leaves_is_removed_in_steps_and_may_come_again_before_it_has_gone(tmp_path: Any) -> None:
    node = a_node(40, shape=SHAPE)
    async with opened(f"sqlite:///{tmp_path}/chain.db", node) as r:
        await r.once()
        writer = await ChainWriter.open(r.store, r.runtime, r.metrics, CHAIN_ID)
        keeper = ContractKeeper(writer, r.store, r.runtime, ContractLimits(rows=10))
        await keeper.begin((BOARD,))
        steps = 0
        while steps < 4 and await keeper.step():
            steps += 1
        assert (await verified(r)).findings == []
        await writer.rewind(30, below_finalized=True)
        await keeper.begin(ALL)
        while await keeper.step():
            steps += 1
        assert steps > 4
        await r.once()
        await assert_whole(r)
        assert await content_digests(r.store) == await undisturbed(node, tmp_path)


async def test_what_is_no_use_is_refused_in_a_sentence(tmp_path: Any) -> None:
    node = a_node(5, shape=SHAPE)
    async with opened(f"sqlite:///{tmp_path}/chain.db", node) as r:
        await r.once()
        for wrong, words in (
            (msgspec.structs.replace(TIDE, address=places.SALT), "contract tide: its address is another one"),
            (msgspec.structs.replace(TIDE, first_block=3), "contract tide: its from is another one"),
        ):
            r.contracts = (wrong,)
            with pytest.raises(ConfigError, match=words):
                await r.once()
        r.contracts = (
            Contract("a", places.TIDE, (parse_event("B_C()"),)),
            Contract("a_b", places.TIDE, (parse_event("C()"),)),
        )
        with pytest.raises(ConfigError, match="contract a_b would have the table e_a_b_c, which is a's"):
            await r.once()


async def test_a_rewind_and_a_repair_find_the_contracts_in_the_store(url: str) -> None:
    node = a_node(30, shape=SHAPE)
    async with opened(url, node) as r:
        await r.once()
        writer = await ChainWriter.open(r.store, r.runtime, r.metrics, CHAIN_ID)
        await writer.rewind(20, below_finalized=True)
        await assert_whole(r)
        tables = ContractTables(TIDE)
        [transfer] = [table for table in tables.tables if table.name == "e_tide_transfer"]
        async with r.store.snapshot() as snapshot:
            row = (await snapshot.select(transfer))[0]
        before = await r.store.acquire("damage")
        wrong: Row = (*row[:-1], bytes(31) + b"\7")
        missing: Row = (*row[:2], 9_999, *row[3:])
        await r.store.commit(
            Batch(before, before.advanced("1"), put=(Rows(transfer, [wrong]),), add=(Rows(transfer, [missing]),))
        )
        found = [str(finding) for finding in (await verified(r)).findings]
        number, index = int(str(row[1])), int(str(row[2]))
        assert found == [
            f"block {number} differs from what was ingested: e_tide_transfer has another row of log {index} than that "
            "log says"
        ]
        await repair_block(r.store, r.pool(), r.runtime, r.metrics, CHAIN_ID, number)
        await assert_whole(r)


async def test_a_view_of_somebody_s_does_not_stop_the_sync_that_removes_what_it_reads(url: str, tmp_path: Any) -> None:
    """PostgreSQL keeps such a table, empty; SQLite does not ask."""
    node = a_node(40, shape=SHAPE)
    async with opened(url, node) as r:
        await r.once()
        await asyncio.to_thread(run_sql, url, "CREATE VIEW mine AS SELECT value FROM e_tide_transfer")
        r.contracts = (BOARD, GAUGE)
        with capture_logs() as told:
            await r.once()
        async with r.store.snapshot() as snapshot:
            there = {each.contract.name: each.leaving for each in await stored_contracts(snapshot)}
        reasons = [each["reason"] for each in told if each["event"] == "contract_blocked"]
        if url.startswith("sqlite"):
            assert (there, reasons) == ({"board": False, "gauge": False}, [])
            r.contracts = ALL  # the same again: the view reads the table that was made anew
            await r.once()
            [table] = [each for each in ContractTables(TIDE).tables if each.name == "e_tide_transfer"]
            async with r.store.snapshot() as snapshot:
                rows = await snapshot.select(table)
            assert len(await asyncio.to_thread(fetched, url, "SELECT * FROM mine")) == len(rows) > 0
            return
        assert there == {"board": False, "gauge": False, "tide": True}
        assert reasons == ["view mine depends on table e_tide_transfer: drop that, or let it read something else"]
        await assert_whole(r)
        r.tree.extend(3)
        await r.once()
        changed = msgspec.structs.replace(TIDE, events=TIDE.events[:1])
        r.contracts = (BOARD, GAUGE, changed)
        with pytest.raises(ConfigError, match="contract tide: the tables that it had cannot go: view mine depends on"):
            await r.once()
        r.contracts = ALL  # the same again: in the tables that stayed
        await r.once()
        await assert_whole(r)
        assert await content_digests(r.store) == await undisturbed(node, tmp_path)
        r.contracts = (BOARD, GAUGE)
        await r.once()
        await asyncio.to_thread(run_sql, url, "DROP VIEW mine")
        await r.once()
        async with r.store.snapshot() as snapshot:
            assert [each.contract.name for each in await stored_contracts(snapshot)] == ["board", "gauge"]
        assert "e_tide_transfer" not in await relations(r)


async def test_tables_of_a_contract_whose_row_is_gone_are_named_and_made_anew(url: str, tmp_path: Any) -> None:
    node = a_node(40, shape=SHAPE)
    async with opened(url, node) as r:
        await r.once()
        await asyncio.to_thread(run_sql, url, "DELETE FROM contracts WHERE name = 'tide'")
        assert [str(finding) for finding in (await verified(r)).findings] == [
            "the store differs from what was ingested: e_tide__misfits, e_tide_approval, e_tide_transfer: of no "
            "contract that `contracts` has: a sync that is given the contract again makes them anew; or drop them"
        ]
        r.tree.extend(3)
        await r.once()
        await assert_whole(r)
        assert await content_digests(r.store) == await undisturbed(node, tmp_path)


async def test_a_table_that_somebody_dropped_is_named_and_made_anew(url: str, tmp_path: Any) -> None:
    node = a_node(40, shape=SHAPE)
    async with opened(url, node) as r:
        await r.once()
        cascade = "" if url.startswith("sqlite") else " CASCADE"
        await asyncio.to_thread(run_sql, url, f"DROP TABLE e_tide_transfer{cascade}")
        assert [str(finding) for finding in (await verified(r, findings=1)).findings] == [
            "block 0 differs from what was ingested: e_tide_transfer of contract tide: missing: let one sync run "
            "without the contract, and then one with it, which makes its tables anew"
        ]
        with pytest.raises(ConfigError, match="contract tide: its table e_tide_transfer is missing: let one sync run"):
            await r.once()
        for contracts in ((BOARD,), ALL):
            r.contracts = contracts
            await r.once()
        await assert_whole(r)
        assert await content_digests(r.store) == await undisturbed(node, tmp_path)


async def test_a_row_of_contracts_that_cannot_be_read_is_named_with_what_to_do(url: str) -> None:
    async with opened(url, a_node(20, shape=SHAPE)) as r:
        await r.once()
        await asyncio.to_thread(run_sql, url, "UPDATE contracts SET abi = '[' WHERE name = 'tide'")
        with pytest.raises(Corruption, match=r"contract 'tide' cannot be read .* delete it from `contracts` with SQL"):
            await verified(r)
        await asyncio.to_thread(run_sql, url, "DELETE FROM contracts WHERE name = 'tide'")
        await r.once()
        await assert_whole(r)


async def test_a_name_that_something_else_has_is_refused(url: str) -> None:
    async with opened(url, a_node(5, shape=SHAPE), None) as r:
        await r.once()
        await asyncio.to_thread(run_sql, url, "CREATE TABLE e_tide_transfer (number integer)")
        r.contracts = ALL
        with pytest.raises(ConfigError, match="the table e_tide_transfer, and the database has something of that name"):
            await r.once()
        assert "e_board__misfits" not in await relations(r)


async def test_an_added_contract_is_told_once_it_is_committed(tmp_path: Any) -> None:
    class Killed(BaseException):
        pass

    def killing(name: str) -> None:
        if name == "store.written":
            raise Killed

    node = a_node(20, shape=SHAPE)
    async with opened(f"sqlite:///{tmp_path}/chain.db", node) as r:
        r.runtime.on_point = killing
        with capture_logs() as told, pytest.raises(Killed):
            await r.once()
        assert [each for each in told if each["event"] == "contract_added"] == []
    async with opened(f"sqlite:///{tmp_path}/chain.db", node) as r:
        with capture_logs() as told:
            await r.once()
        assert [each["contract"] for each in told if each["event"] == "contract_added"] == [c.name for c in ALL]


async def test_a_contract_is_filled_in_while_history_is_far_behind(tmp_path: Any) -> None:
    node = a_node(200, shape=SHAPE)
    async with opened(f"sqlite:///{tmp_path}/chain.db", node, None) as r:
        await r.once(to=60)
        r.contracts = ALL
        r.sync_limits = msgspec.structs.replace(r.sync_limits, commit=CommitLimits(blocks=10, first=1.0))
        run, filled_at = r.sync(to=150), list[int]()
        with capture_logs() as told:

            def reached(name: str) -> None:
                filled = sum(each["event"] == "contract_filled" for each in told)
                if name == "ledger.after_commit" and filled == len(ALL) and run.head is not None:
                    filled_at.append(run.head.number)

            r.runtime.on_point = reached
            await run.run()
        assert filled_at[0] < 150
        await assert_whole(r)


async def test_rows_outside_of_the_chain_are_found(tmp_path: Any) -> None:
    async with opened(f"sqlite:///{tmp_path}/chain.db", a_node(12, shape=SHAPE)) as r:
        await r.once()
        misfits = ContractTables(TIDE).misfits
        before = await r.store.acquire("damage")
        rows: list[Row] = [(CHAIN_ID, 5, 77, "made up"), (CHAIN_ID, 500, 0, "made up")]
        await r.store.commit(Batch(before, before.advanced("1"), add=(Rows(misfits, rows),)))
        assert [str(finding) for finding in (await verified(r)).findings] == [
            "block 5 differs from what was ingested: e_tide__misfits has a row of log 77, which says none",
            "the store differs from what was ingested: 1 rows of e_tide__misfits lie outside of the stored range",
        ]


async def test_a_text_that_is_not_that_of_its_integer_is_found(tmp_path: Any) -> None:
    """SQLite has it beside integers of 256 bits, and the views show it."""
    path = f"{tmp_path}/chain.db"
    async with opened(f"sqlite:///{path}", a_node(12, shape=SHAPE)) as r:
        await r.once()
        table = next(table for table in ContractTables(TIDE).tables if table.spelled)
        with closing(sqlite3.connect(path)) as database, database:
            (number,) = database.execute(f"SELECT max(block_number) FROM {table.name}").fetchone()
            database.execute(f"UPDATE {table.name} SET value_text = '1' WHERE block_number = {number}")
        assert [str(finding) for finding in (await verified(r)).findings] == [
            f"block {number} differs from what was ingested: "
            f"{table.name} has another text beside an integer than that one's"
        ]


@pytest.mark.parametrize(("url", "point"), KILLS, indirect=["url"])
async def test_a_run_that_dies_anywhere_leaves_blocks_whole_with_their_rows(
    url: str, point: str, tmp_path: Any
) -> None:
    class Killed(BaseException):
        pass

    node = a_node(24, shape=SHAPE)
    for life, contracts in enumerate((None, ALL, (TIDE, BOARD), ALL)):
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
        await assert_whole(r)
        await r.assert_equals_node()
        assert await content_digests(r.store) == await undisturbed(node, tmp_path)


async def test_the_rows_are_those_of_the_logs(url: str) -> None:
    """What the tables say, said again from the node's own blocks by what made them."""
    node = a_node(90, shape=SHAPE)
    async with opened(url, node) as r:
        await r.once()
        rows = await event_rows(r.store)
        world = r.tree.head.world
        assert world is not None
        balances: dict[bytes, int] = {}
        transfers: Any = rows["e_tide_transfer"]
        for *_, address, giver, taker, value in transfers:
            assert address == places.TIDE
            amount = int.from_bytes(value)
            balances[giver] = balances.get(giver, 0) - amount
            balances[taker] = balances.get(taker, 0) + amount
        made = balances.pop(places.NOBODY)
        assert made == -sum(balances.values())
        held = {holder: amount for (token, holder), amount in world.balances.items() if token == places.TIDE}
        assert {who: amount for who, amount in balances.items() if amount} == {w: a for w, a in held.items() if a}
        async with r.store.snapshot() as snapshot:
            logs = await snapshot.count(LOGS, where={"address": places.GAUGE})
            [contract] = [each for each in await stored_contracts(snapshot) if each.contract.name == "gauge"]
        upgrades = 1
        assert sum(len(rows[table.name]) for table in ContractTables(contract.contract).tables) == logs - upgrades
        assert not rows["e_gauge__misfits"]
        pieces: Any = rows["e_shells_transfer"]
        assert min(row[1] for row in pieces) >= 10
