"""Fetching ahead: every block once and in order, requests that fit, and no more under way than allowed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.chain.native import needs_core
from tests.chain.rig import SMALL, Calls, WatchedHttp, a_node
from tests.runtime import FakeRuntime
from tidelog.chain import native
from tidelog.chain.blocks import RawBlock
from tidelog.chain.endpoint.budget import LIMITS, BudgetLimits
from tidelog.chain.proof.known_chains import PROFILES
from tidelog.chain.source.client import Endpoint
from tidelog.chain.source.pool import Pool
from tidelog.chain.source.prefetch import PREFETCH_LIMITS, Prefetcher, PrefetchLimits
from tidelog.chain.verify import Rules
from tidelog.config import EndpointUrl
from tidelog.errors import ProofFailure, Rejected, TooLarge
from tidelog.sim.node.chain.block_builder import Shape
from tidelog.sim.node.limits import Limits
from tidelog.sim.node.node import SimNode
from tidelog.telemetry import ChainMetrics

pytestmark = pytest.mark.usefixtures("either_path")

FULL = Shape(transactions=(2, 3), failing=0.0)
EMPTY = Shape(transactions=(0, 0), logs=(0, 0), withdrawals=(0, 0))


class Fetching:
    def __init__(self, node: SimNode, limits: BudgetLimits = LIMITS, ahead: PrefetchLimits = PREFETCH_LIMITS) -> None:
        self.runtime = FakeRuntime()
        self.http = WatchedHttp(node, self.runtime)
        self.metrics = metrics = ChainMetrics()
        endpoint = Endpoint(EndpointUrl("http://replica-0"), self.http, self.runtime, metrics, limits=limits)
        self.pool = Pool([endpoint], self.runtime, metrics)
        self.prefetcher = Prefetcher(self.pool, self.runtime, Rules(1337, PROFILES[1337]), metrics, ahead)
        self.sizes: list[int] = []
        self.calls = 0
        self.http.before = self._note

    def _note(self, host: str, calls: Calls) -> None:
        self.sizes.append(sum("Receipt" not in call["method"] for call in calls))
        self.calls += len(calls)

    async def numbers(self, first: int, last: int, **options: Any) -> list[list[int]]:
        async with aclosing(self.prefetcher.prefetch(first, last, **options)) as lists:
            return [[block.ref.number for block in blocks] async for blocks in lists]


@asynccontextmanager
async def fetching(
    node: SimNode, limits: BudgetLimits = LIMITS, ahead: PrefetchLimits = PREFETCH_LIMITS
) -> AsyncIterator[Fetching]:
    one = Fetching(node, limits, ahead)
    await one.pool.identify(None)
    one.sizes.clear()
    yield one


@pytest.mark.parametrize(("first", "last"), [(0, 0), (0, 7), (5, 5), (3, 400), (400, 400)])
@pytest.mark.parametrize("downwards", [False, True])
async def test_every_block_once_and_in_order(first: int, last: int, downwards: bool) -> None:
    async with fetching(a_node(400, shape=EMPTY)) as one:
        lists = await one.numbers(first, last, downwards=downwards)
        if downwards:
            lists.reverse()
        assert [number for numbers in lists for number in numbers] == list(range(first, last + 1))


async def test_an_empty_range_asks_for_nothing() -> None:
    async with fetching(a_node(4)) as one:
        assert await one.numbers(3, 2) == []
        assert one.sizes == []


async def test_requests_grow_with_what_blocks_turn_out_to_measure() -> None:
    async with fetching(a_node(1_500, shape=EMPTY)) as one:
        await one.numbers(0, 1_500)
        assert one.sizes[0] <= LIMITS.calls_first // 2, "careful at first"
        assert max(one.sizes) > 30
    async with fetching(a_node(60, shape=Shape(transactions=(60, 60), logs=(3, 3)))) as one:
        for _ in range(3):
            await one.numbers(0, 60)
        assert one.prefetcher.request_blocks() < 30


async def test_a_limit_of_calls_is_learned_and_tried_again_only_now_and_then() -> None:
    async with fetching(a_node(200, shape=EMPTY, limits=Limits(batch_calls=10))) as one:
        for _ in range(3):
            one.sizes.clear()
            lists = await one.numbers(0, 200)
            assert sum(map(len, lists)) == 201
        assert one.prefetcher.request_blocks() == 5
        assert max(one.sizes) == 5


async def test_a_limit_that_is_gone_is_noticed() -> None:
    node = a_node(400, shape=EMPTY, limits=Limits(batch_calls=10))
    async with fetching(node) as one:
        await one.numbers(0, 400)
        assert one.prefetcher.request_blocks() == 5
        node.limits = Limits()
        one.runtime.clock += LIMITS.again_s
        for _ in range(6):
            await one.numbers(0, 400)
        assert one.prefetcher.request_blocks() > 20


async def test_a_block_that_is_too_large_for_one_answer_comes_in_parts() -> None:
    """Refused call by call, as go-ethereum does: 4,000 bytes are less than some receipts, 2,500 than some blocks."""
    for most in (4_000, 2_500):
        async with fetching(a_node(30, shape=SMALL, limits=Limits(response_bytes=most))) as one:
            lists = await one.numbers(0, 30)
            assert sum(map(len, lists)) == 31


async def test_one_transaction_that_is_too_large_is_said_so() -> None:
    async with fetching(a_node(4, shape=SMALL, limits=Limits(response_bytes=1_000))) as one:
        with pytest.raises(TooLarge):
            await one.prefetcher.blocks([3, 4])


async def test_no_more_under_way_than_allowed() -> None:
    limits = BudgetLimits(calls_first=2, calls_max=2, in_flight_first=6.0, in_flight_max=6)
    async with fetching(a_node(200, shape=EMPTY), limits) as one:
        lists = one.prefetcher.prefetch(0, 200)
        for _ in range(2):
            await anext(lists)
        for _ in range(200):
            await asyncio.sleep(0)  # nobody takes the next list
        assert 12 <= len(one.sizes) <= 6 * PREFETCH_LIMITS.rounds + 2
        await lists.aclose()
        assert one.http.open == 0


async def test_one_unit_alone_finds_out_how_large_blocks_are() -> None:
    async with fetching(a_node(200, shape=EMPTY), BudgetLimits(in_flight_first=6.0)) as one:
        lists = one.prefetcher.prefetch(0, 200)
        first = len(await anext(lists))
        assert len(one.sizes) == 1
        await anext(lists)
        assert len(one.sizes) > 2
        assert first == one.sizes[0]
        await lists.aclose()


async def test_no_more_bytes_waiting_than_allowed() -> None:
    ahead = PrefetchLimits(bytes_max=10_000)  # some five answers of an empty block
    limits = BudgetLimits(calls_first=2, calls_max=2)
    async with fetching(a_node(200, shape=EMPTY), limits, ahead) as one:
        lists = one.prefetcher.prefetch(0, 200)
        for _ in range(2):
            await anext(lists)
        for _ in range(200):
            await asyncio.sleep(0)
        assert len(one.sizes) <= 8
        await lists.aclose()


async def test_leaving_early_leaves_nothing_behind() -> None:
    async with fetching(a_node(200, shape=EMPTY)) as one:
        async with aclosing(one.prefetcher.prefetch(0, 200)) as lists:
            async for _ in lists:
                break
        assert one.http.open == 0
        assert one.pool.endpoints[0].budget.in_flight == 0
        assert len(asyncio.all_tasks()) == 1


async def fetched(one: Fetching, first: int, last: int, **options: Any) -> tuple[list[int], Exception | None]:
    """The numbers that come out, in the order of their lists, and what ends them."""
    seen: list[int] = []
    try:
        async with aclosing(one.prefetcher.prefetch(first, last, **options)) as lists:
            async for blocks in lists:
                seen.extend(block.ref.number for block in blocks)
    except (ProofFailure, Rejected) as error:
        return seen, error
    return seen, None


@pytest.mark.parametrize("calls", [2, 4, 10, 64])
@pytest.mark.parametrize("bad", [0, 1, 22, 39, 40])
async def test_all_blocks_before_one_that_fails_are_given_out(calls: int, bad: int) -> None:
    node = a_node(40, shape=FULL)
    async with fetching(node, BudgetLimits(calls_first=calls, calls_max=calls)) as one:
        node.tell("receipt_altered", blocks=[bad + 1] if bad < 40 else [40])
        bad = min(bad + 1, 40)
        seen, failure = await fetched(one, 0, 40)
        assert seen == list(range(bad))
        assert isinstance(failure, ProofFailure)
        assert failure.subject == f"block {bad}"


async def test_all_blocks_above_one_that_fails_are_given_out_downwards() -> None:
    node = a_node(40, shape=FULL)
    async with fetching(node, BudgetLimits(calls_first=10, calls_max=10)) as one:
        node.tell("receipt_altered", blocks=[22])
        seen, failure = await fetched(one, 0, 40, downwards=True)
        assert sorted(seen) == list(range(23, 41))
        assert isinstance(failure, ProofFailure)


async def test_a_block_that_fails_costs_the_others_no_second_call() -> None:
    node = a_node(300, shape=FULL)
    async with fetching(node) as one:
        node.tell("receipt_altered", blocks=[20])
        await fetched(one, 0, 300)
        one.calls = 0
        for _ in range(10):
            seen, failure = await fetched(one, 20, 300)
            assert seen == []
            assert failure is not None
        assert one.calls < 10 * 6 * 60, "the unit that holds it, and nothing beyond"
        node.honest()
        seen, failure = await fetched(one, 20, 300)
        assert seen == list(range(20, 301))
        assert failure is None


@pytest.mark.parametrize(
    "lie", ["receipts_empty", "receipts_missing", "receipts_doubled", "receipts_with_nulls", "receipts_other_fork"]
)
async def test_wrong_receipts_of_a_block_are_no_verdict_on_the_block(lie: str) -> None:
    """The same node has the right ones, one by one: the root decides."""
    node = a_node(60, shape=FULL)
    async with fetching(node) as one:
        node.tell(lie, blocks=[22])
        seen, failure = await fetched(one, 0, 60)
        assert (seen, failure) == (list(range(61)), None)
        node.tell(lie)
        for asked in (True, False):
            node.requests.clear()
            seen, failure = await fetched(one, 0, 60)
            assert (seen, failure) == (list(range(61)), None)
            assert bool(node.requests["eth_getBlockReceipts"]) == asked, "after some failures it is left alone"


async def test_another_block_than_asked_for_is_refused() -> None:
    node = a_node(40)
    async with fetching(node) as one:
        node.tell("block_other")
        with pytest.raises(Rejected, match="answered block 6 where 7 was asked for"):
            await one.prefetcher.blocks([7])
        head = node.chain.head.hash
        with pytest.raises(Rejected, match=f"where 0x{head.hex()} was asked for"):
            await one.prefetcher.blocks([head])


# -- the compiled core ------------------------------------------------------------------------------------------


def counted(one: Fetching) -> dict[str, int]:
    """What the core was given, by what became of it."""
    (family,) = one.metrics.core_blocks.collect()
    return {s.labels["outcome"]: int(s.value) for s in family.samples if s.name.endswith("_total") and s.value}


@pytest.mark.parametrize("apart_bytes", [PREFETCH_LIMITS.apart_bytes, 0])
async def test_blocks_by_the_core_are_counted_and_those_it_declines_are_proven_in_python(
    either_path: str, apart_bytes: int
) -> None:
    node = a_node(40, shape=SMALL)
    async with fetching(node, ahead=PrefetchLimits(apart_bytes=apart_bytes)) as one:
        node.tell("odd_receipt_type_null", blocks=[22, 23])
        node.tell("receipt_altered", blocks=[39])
        found = await one.prefetcher.some(range(41))
    assert [block.ref.number for block in found.blocks] == list(range(39))
    assert isinstance(found.failure, ProofFailure)
    outcomes = counted(one)
    assert outcomes.pop("differs", 0) >= (either_path == "native")
    assert outcomes == ({"taken": 38, "odd": 2} if either_path == "native" else {})


@needs_core
async def test_a_fault_of_the_core_is_told_counted_and_costs_no_block(
    either_path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def faulty(raws: list[RawBlock], keys: list[int | bytes], rules: Rules, **_: Any) -> list[Any]:
        return [native.Declined("fault", "panicked at checks.rs:7:3")] * len(raws)

    monkeypatch.setattr(native, "verify_blocks", faulty)
    async with fetching(a_node(3)) as one:
        with capture_logs() as logs:
            blocks = await one.prefetcher.blocks(range(4))
    assert [block.ref.number for block in blocks] == list(range(4))
    faults = [log for log in logs if log["event"] == "core_fault"]
    if either_path == "native":
        assert counted(one) == {"fault": 4}
        assert [(log["block"], log["error"]) for log in faults] == [(n, "panicked at checks.rs:7:3") for n in range(4)]
    else:
        assert (counted(one), faults) == ({}, [])
