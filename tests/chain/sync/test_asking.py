"""A chain of which it is asked what contracts log: the same rows as from whole blocks, or who lied is named."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from tests.chain.rig import Rig, a_node, replicas
from tests.chain.sync.test_contracts import (
    ALL,
    BOARD,
    GAUGE,
    KILLS,
    SHAPE,
    SHELLS,
    TIDE,
    event_rows,
    run_sql,
    verified,
)
from tests.chain.sync.test_selecting import assert_selected, coverage, proven, undisturbed, whole_rows
from tests.runtime import FakeRuntime
from tidelog.batch import Row
from tidelog.chain.contracts.contract import Contract
from tidelog.chain.rows.tables import BLOCKS, TRANSACTIONS
from tidelog.chain.select.coverage import Span
from tidelog.chain.select.faults import LOG_FAULTS
from tidelog.chain.select.selection import HASH_ONLY
from tidelog.cli.db.content import content_digests
from tidelog.errors import ConfigError, Rejected
from tidelog.net.http import HttpResponse
from tidelog.sim.node.node import SimNode
from tidelog.store import Store, open_store

NAME = "http://replica-0"


def asked(*contracts: Contract) -> tuple[Contract, ...]:
    return tuple(replace(each, evidence="asked") for each in contracts)


ASKED = asked(*ALL)
PROVEN = proven(*ALL)


@asynccontextmanager
async def opened(url: str, node: SimNode, contracts: tuple[Contract, ...] | None = ASKED) -> AsyncIterator[Rig]:
    runtime = FakeRuntime()
    store = await open_store(url, runtime)
    try:
        r = Rig(store, node, runtime, (NAME,))
        r.contracts = contracts
        yield r
    finally:
        await store.close()


async def faults(store: Store) -> list[Row]:
    async with store.snapshot() as snapshot:
        return await snapshot.select(LOG_FAULTS)


async def assert_asked(r: Rig, contracts: tuple[Contract, ...], *, names: str = NAME, lowest: int = 0) -> None:
    """Below the blocks that are held, headers of what was logged alone; all covered; nothing wrong."""
    report = await verified(r)
    assert (report.findings, report.unfilled) == ([], set())
    position = await r.position()
    assert position.asked_from == lowest
    async with r.store.snapshot() as snapshot:
        below: list[Any] = await snapshot.select(BLOCKS, low=0, high=position.first - 1)
        transactions: list[Any] = await snapshot.select(TRANSACTIONS, low=0, high=position.first - 1)
    wanted = [
        number
        for number in range(lowest, position.first)
        if any(
            each.address == log.address
            and number >= each.first_block
            and any(event.topic0 in (None, *log.topics[:1]) for event in each.events)
            for receipt in r.tree.canonical(number).receipts
            for log in receipt.logs
            for each in contracts
        )
    ]
    assert [row[BLOCKS.index("number")] for row in below] == wanted
    assert {row[TRANSACTIONS.index("type")] for row in transactions} <= {HASH_ONLY}
    covered = await coverage(r.store)
    assert covered == {
        each.name: tuple(
            span
            for span in (
                Span(max(lowest, each.first_block), position.first - 1, "asked", names),
                Span(max(position.first, each.first_block), position.head, "proven"),
            )
            if span.first <= span.last
        )
        for each in contracts
    }


async def test_what_is_asked_is_what_whole_blocks_say_through_reorgs(url: str, tmp_path: Any) -> None:
    node = a_node(60, shape=SHAPE)
    async with opened(url, node) as r:
        await r.once()
        assert (await r.position()).first == 52  # what is final, and from there on the selection is proven
        await assert_asked(r, ALL)
        assert await event_rows(r.store) == await whole_rows(node, tmp_path, ALL)
        await r.follow_script(lambda: r.tree.reorg(1), lambda: r.tree.reorg(5), lambda: r.tree.extend(12))
        await assert_asked(r, ALL)
        rows = await event_rows(r.store)
        assert len(rows["e_tide_transfer"]) > 20
        assert rows == await whole_rows(node, tmp_path, ALL)


async def test_what_was_asked_is_proven_later(url: str, tmp_path: Any) -> None:
    node = a_node(60, shape=SHAPE)
    async with opened(url, node) as r:
        await r.once()
        r.contracts = None
        await r.once(prove=True)
        r.contracts = PROVEN
        await r.once()
        await assert_selected(r, ALL)
        assert await content_digests(r.store) == await undisturbed(node, tmp_path, PROVEN)
        assert await faults(r.store) == []


async def test_what_was_asked_is_proven_beside_the_following(url: str, tmp_path: Any) -> None:
    node = a_node(60, shape=SHAPE)
    async with opened(url, node) as r:
        await r.follow_script(lambda: r.tree.reorg(3), lambda: r.tree.extend(12), prove=True)
        await r.once(prove=True)
        await assert_selected(r, ALL)
        assert await event_rows(r.store) == await whole_rows(node, tmp_path, ALL)


@pytest.mark.parametrize(
    ("lie", "fault"),
    [
        ("asked_logs_missing", "left out"),
        ("asked_logs_at_random", "left out"),
        ("asked_log_altered", "altered"),
        ("asked_log_doubled", "made up"),
    ],
)
async def test_proving_finds_each_log_that_was_hidden_altered_or_made_up(lie: str, fault: str, tmp_path: Any) -> None:
    node = a_node(60, shape=SHAPE)
    async with opened(f"sqlite:///{tmp_path}/chain.db", node, asked(TIDE, SHELLS)) as r:
        node.tell(lie)
        await r.once()
        node.honest()
        told = await event_rows(r.store)
        so = await whole_rows(node, tmp_path, (TIDE, SHELLS))
        assert told != so
        await r.once(prove=True)
        assert await event_rows(r.store) == so
        differing = {(row[1], row[2]) for name, rows in so.items() for row in {*rows} ^ {*told.get(name, ())}}
        found = await faults(r.store)
        assert {(row[2], row[3]) for row in found} == differing
        assert {row[4] for row in found} == {fault}
        assert {row[5] for row in found} == {NAME}


@pytest.mark.parametrize(
    "lie",
    ["asked_logs_missing", "asked_logs_at_random", "logs_missing", "logs_at_random", "receipt_logs_missing"],
)
async def test_a_node_that_goes_on_hiding_logs_is_found_out_beside_an_honest_one(lie: str, tmp_path: Any) -> None:
    """In eth_getLogs alone, in receipts alone, in both, at random: each log is found, and who hid it is named."""
    node = a_node(60, shape=SHAPE, replicas=2)
    async with opened(f"sqlite:///{tmp_path}/chain.db", node) as r:
        r.urls = replicas(2)
        node.tell(lie, replica=0)
        await r.once()
        told = await event_rows(r.store)
        with capture_logs() as logged:
            await r.once(prove=True)
        node.honest()
        so = await whole_rows(node, tmp_path, ALL)
        assert await event_rows(r.store) == so
        hidden = {(row[1], row[2]) for name, rows in so.items() for row in {*rows} - {*told[name]}}
        found = await faults(r.store)
        assert bool(hidden) == (lie != "receipt_logs_missing")
        assert {row[2:] for row in found} == {(*place, "left out", NAME) for place in hidden}
        told_of = [entry for entry in logged if entry["event"] == "log_fault"]
        assert {(each["block_number"], each["log_index"], each["endpoint"]) for each in told_of} == {
            (*place, NAME) for place in hidden
        }


@pytest.mark.parametrize("lie", ["asked_range_refused", "asked_logs_many", "asked_logs_slow"])
async def test_ranges_adapt_to_what_an_endpoint_takes(lie: str, tmp_path: Any) -> None:
    node = a_node(60, shape=SHAPE)
    async with opened(f"sqlite:///{tmp_path}/chain.db", node) as r:
        node.tell(lie)
        await r.once()
        report = await verified(r)
        assert (report.findings, report.unfilled) == ([], set())
        assert await event_rows(r.store) == await whole_rows(node, tmp_path, ALL)


@pytest.mark.parametrize("oddity", ["odd_header_short", "odd_zero_for_absent"])
async def test_a_header_in_other_words_is_read_as_its_hash_says(oddity: str, tmp_path: Any) -> None:
    """As those of whole blocks are: the endpoint was refused, its header would not hash to its hash."""
    node = a_node(60, shape=SHAPE)
    async with opened(f"sqlite:///{tmp_path}/chain.db", node, asked(TIDE)) as r:
        node.tell(oddity)
        await r.once()
        node.honest()
        await assert_asked(r, (TIDE,))
        assert await event_rows(r.store) == await whole_rows(node, tmp_path, (TIDE,))


async def test_a_header_without_its_bloom_is_refused_in_words_that_say_so(tmp_path: Any) -> None:
    node = a_node(60, shape=SHAPE)
    async with opened(f"sqlite:///{tmp_path}/chain.db", node, asked(TIDE)) as r:
        node.tell("odd_bloom_0x")
        with pytest.raises(Rejected, match="without logsBloom, which it leaves out"):
            await r.once()


async def test_an_answer_of_another_branch_is_refused(tmp_path: Any) -> None:
    node = a_node(60, shape=SHAPE)
    async with opened(f"sqlite:///{tmp_path}/chain.db", node) as r:
        node.tell("asked_logs_other_fork")
        with pytest.raises(
            Rejected, match=r"replica-0: eth_getLogs: log \d+ of block \d+ is of 0x\w+, and the block is"
        ):
            await r.once()
        assert all(span.evidence == "proven" for spans in (await coverage(r.store)).values() for span in spans)
        node.honest()
        await r.once()
        await assert_asked(r, ALL)
        assert await event_rows(r.store) == await whole_rows(node, tmp_path, ALL)


@pytest.mark.parametrize(
    "lie", ["asked_logs_missing", "asked_logs_at_random", "asked_log_altered", "asked_log_doubled"]
)
async def test_a_second_endpoint_contradicts_one_that_hides_logs(lie: str, tmp_path: Any) -> None:
    node = a_node(60, shape=SHAPE, replicas=2)
    async with opened(f"sqlite:///{tmp_path}/chain.db", node) as r:
        r.urls = replicas(2)
        node.tell(lie, replica=0)
        with capture_logs() as logged:
            await r.once(cross_check=True)
        node.honest()
        assert (await verified(r)).findings == []
        assert await event_rows(r.store) == await whole_rows(node, tmp_path, ALL)
        said = {entry["error"] for entry in logged if entry["event"] == "endpoint_failed"}
        assert said
        assert all(text.startswith("http://replica-0: eth_getLogs says otherwise of block") for text in said)
        names = {span.endpoint for spans in (await coverage(r.store)).values() for span in spans}
        assert names <= {None, "http://replica-0, http://replica-1", "http://replica-1, http://replica-0"}
        await r.once(prove=True)
        assert await faults(r.store) == []


async def test_a_second_endpoint_that_does_not_say_is_not_one_that_says_otherwise(tmp_path: Any) -> None:
    """It gives no answer of more than 3 logs, and some blocks have more: these are fetched whole, nobody is named."""
    node = a_node(60, shape=replace(SHAPE, transactions=(6, 8)), replicas=2)
    async with opened(f"sqlite:///{tmp_path}/chain.db", node) as r:
        r.urls = replicas(2)
        node.tell("asked_logs_many", replica=1)
        with capture_logs() as logged:
            await r.once(cross_check=True)
        assert node.told["asked_logs_many"] > 0
        assert [entry for entry in logged if entry["event"] == "endpoint_failed"] == []
        assert await event_rows(r.store) == await whole_rows(node, tmp_path, ALL)


async def test_a_cross_check_needs_a_second_endpoint(tmp_path: Any) -> None:
    async with opened(f"sqlite:///{tmp_path}/chain.db", a_node(30, shape=SHAPE)) as r:
        with pytest.raises(ConfigError, match="cross_check compares what two endpoints say, and there is one"):
            await r.once(cross_check=True)


async def test_contracts_are_added_and_removed_and_the_range_goes_lower(url: str, tmp_path: Any) -> None:
    node = a_node(60, shape=SHAPE)
    async with opened(url, node, asked(SHELLS, GAUGE)) as r:
        await r.once(first=20)
        await assert_asked(r, (SHELLS, GAUGE), lowest=20)
        r.contracts = ASKED
        await r.once(first=20)
        await assert_asked(r, ALL, lowest=20)
        await r.once(first=4)
        await assert_asked(r, ALL, lowest=4)
        r.contracts = asked(TIDE, BOARD)
        await r.once()
        await assert_asked(r, (TIDE, BOARD), lowest=4)
        r.contracts = ASKED
        await r.once(first=0)
        await assert_asked(r, ALL)
        assert await event_rows(r.store) == await whole_rows(node, tmp_path, ALL)
        await r.once(prove=True)
        r.contracts = PROVEN
        await r.once()
        assert await content_digests(r.store) == await undisturbed(node, tmp_path, PROVEN)


async def test_a_proven_contract_has_headers_from_its_first_block_on(tmp_path: Any) -> None:
    node = a_node(60, shape=SHAPE)
    both = (*asked(TIDE), *proven(replace(SHELLS, first_block=30)))
    async with opened(f"sqlite:///{tmp_path}/chain.db", node, both) as r:
        await r.once()
        assert (await r.position()).first == 30
        await assert_asked(r, both)
        r.contracts = (*both, *proven(replace(GAUGE, first_block=12)))
        await r.once()
        assert (await r.position()).first == 12
        assert (await verified(r)).findings == []


async def test_proving_stops_where_it_is_told_to_and_goes_on(tmp_path: Any) -> None:
    node = a_node(60, shape=SHAPE)
    async with opened(f"sqlite:///{tmp_path}/chain.db", node) as r:
        await r.once(prove=True, prove_down_to=30)
        assert (await r.position()).first == 30
        await assert_asked(r, ALL)
        await r.once(prove=True)
        await assert_selected(r, ALL)


async def test_a_chain_of_which_nothing_is_final_is_not_asked_about(tmp_path: Any) -> None:
    node = a_node(20, shape=SHAPE, finalized_depth=None)
    async with opened(f"sqlite:///{tmp_path}/chain.db", node) as r:
        await r.once()
        position = await r.position()
        assert (position.first, position.asked_from) == (0, None)


@pytest.mark.parametrize(("url", "point"), KILLS, indirect=["url"])
async def test_a_kill_anywhere_leaves_what_an_undisturbed_run_leaves(url: str, point: str, tmp_path: Any) -> None:
    class Killed(BaseException):
        pass

    node = a_node(40, shape=SHAPE)
    node.tell("asked_range_refused")
    lives = ((asked(SHELLS, GAUGE), False), (ASKED, False), (asked(TIDE, BOARD), True), (ASKED, False), (ASKED, True))
    for life, (contracts, prove) in enumerate(lives):
        async with opened(url, node, contracts) as r:

            def reached(name: str, r: Rig = r, nth: int = 3 + life % 3) -> None:
                if r.runtime.points.count(point) == nth:
                    raise Killed

            r.runtime.on_point = reached
            with pytest.raises(Killed):
                await r.follow_script(*[lambda r=r: r.tree.reorg(2, 3)] * 6, prove=prove)
        async with opened(url, node, contracts) as r:
            assert (await verified(r)).findings == []
    async with opened(url, node, PROVEN) as r:
        await r.once(prove=True)
        await assert_selected(r, ALL)
        assert await content_digests(r.store) == await undisturbed(node, tmp_path, PROVEN)


async def test_a_row_of_contracts_that_somebody_deleted_is_named_and_leaves_no_coverage_behind(
    url: str, tmp_path: Any
) -> None:
    node = a_node(40, shape=SHAPE)
    async with opened(url, node, asked(TIDE, SHELLS)) as r:
        await r.once()
        await asyncio.to_thread(run_sql, url, "DELETE FROM contracts WHERE name = 'tide'")
        found = [str(finding) for finding in (await verified(r, findings=50)).findings]
        assert any("e_tide_transfer" in text and "of no contract that `contracts` has" in text for text in found)
        assert any("the coverage of contract tide of chain 1337 is of no contract" in text for text in found)
        await r.once()
        assert (await verified(r)).findings == []
        assert await event_rows(r.store) == await whole_rows(node, tmp_path, (TIDE, SHELLS))


async def test_a_coverage_of_more_than_is_stored_is_named_and_mended_as_it_says(url: str, tmp_path: Any) -> None:
    node = a_node(40, shape=SHAPE)
    async with opened(url, node, asked(TIDE, SHELLS)) as r:
        await r.once()
        head = (await r.position()).head
        widened = f"UPDATE contract_coverage SET last = 9999 WHERE contract = 'tide' AND last = {head}"
        await asyncio.to_thread(run_sql, url, widened)
        (finding,) = (await verified(r)).findings
        assert f"the coverage of contract tide says blocks 32 to 9999, and stored are 0 to {head}" in str(finding)
        await asyncio.to_thread(run_sql, url, "DELETE FROM contract_coverage WHERE contract = 'tide'")
        await r.once()
        await assert_asked(r, (TIDE, SHELLS))
        assert await event_rows(r.store) == await whole_rows(node, tmp_path, (TIDE, SHELLS))


@pytest.mark.parametrize("evidence", ["asked", "proven"])
async def test_the_head_is_followed_while_what_is_fetched_beside_it_takes_for_ever(
    evidence: str, tmp_path: Any
) -> None:
    node = a_node(40, shape=SHAPE)
    many = tuple(replace(each, evidence=evidence) for each in ALL)
    async with opened(f"sqlite:///{tmp_path}/chain.db", node, many[:1]) as r:
        await r.once()
        r.contracts = many
        held = asyncio.Event()
        waiting: list[str] = []
        post = r.http.post

        @asynccontextmanager
        async def slow(where: str, body: bytes, **more: Any) -> AsyncIterator[HttpResponse]:
            calls = msgspec.json.decode(body)
            methods = {call["method"] for call in (calls if isinstance(calls, list) else [calls])}
            numbers = [call["params"][0] for call in (calls if isinstance(calls, list) else [calls]) if call["params"]]
            old = any(text in early for text in numbers if isinstance(text, str))
            if not held.is_set() and ("eth_getLogs" in methods or old):
                waiting.append(where)
                await held.wait()
            async with post(where, body, **more) as response:
                yield response

        early = {"0x" + node.chain.at(number, node.chain.head).hash.hex() for number in range(33)}  # type: ignore[union-attr]
        r.http.post = slow  # type: ignore[method-assign, assignment]
        before = node.chain.head.number
        await r.follow_script(*[lambda: r.tree.extend(1)] * 5)
        assert waiting, "what is fetched beside waits"
        assert (await r.position()).head == before + 5
        held.set()
        await r.once()
        report = await verified(r)
        assert (report.findings, report.unfilled) == ([], set())
        assert await event_rows(r.store) == await whole_rows(node, tmp_path, ALL)
