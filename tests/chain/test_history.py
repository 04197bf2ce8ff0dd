"""Fetching ahead: every block once and in order, requests that fit, and no more under way than allowed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest

from tests.chain.rig import Calls, WatchedHttp, a_node
from tests.runtime import FakeRuntime
from tidelog.chain import history
from tidelog.chain.history import AHEAD_REQUESTS, REQUEST_BLOCKS_MAX, Fetcher
from tidelog.chain.intake import Rules
from tidelog.chain.pool import Pool
from tidelog.chain.profiles import PROFILES
from tidelog.chain.rpc import Endpoint
from tidelog.config import EndpointUrl
from tidelog.errors import ProofFailure, Rejected, TooLarge
from tidelog.sim.forge import Shape
from tidelog.sim.node import Limits, SimNode
from tidelog.telemetry import ChainMetrics

EMPTY = Shape(transactions=(0, 0), logs=(0, 0), withdrawals=(0, 0))


class Fetching:
    def __init__(self, node: SimNode) -> None:
        self.runtime = FakeRuntime()
        self.http = WatchedHttp(node, self.runtime)
        metrics = ChainMetrics()
        endpoint = Endpoint(EndpointUrl("http://replica-0"), self.http, self.runtime, metrics)
        self.pool = Pool([endpoint], self.runtime, metrics)
        self.fetcher = Fetcher(self.pool, self.runtime, Rules(1337, PROFILES[1337]))
        self.sizes: list[int] = []
        self.http.before = self._note

    def _note(self, host: str, calls: Calls) -> None:
        self.sizes.append(sum("Receipt" not in call["method"] for call in calls))

    async def numbers(self, first: int, last: int, **options: Any) -> list[list[int]]:
        async with aclosing(self.fetcher.ahead(first, last, **options)) as lists:
            return [[block.link.number for block in blocks] async for blocks in lists]


@asynccontextmanager
async def fetching(node: SimNode) -> AsyncIterator[Fetching]:
    one = Fetching(node)
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
    async with fetching(a_node(3_000, shape=EMPTY)) as one:
        await one.numbers(0, 3_000)
        assert one.sizes[0] < 100, "careful at first"
        assert max(one.sizes) == REQUEST_BLOCKS_MAX
    async with fetching(a_node(60, shape=Shape(transactions=(60, 60), logs=(3, 3)))) as one:
        await one.numbers(0, 60)
        assert one.fetcher.request_blocks() < 30


async def test_what_is_too_large_is_halved_until_it_fits() -> None:
    async with fetching(a_node(200, shape=EMPTY, limits=Limits(batch_calls=10))) as one:
        lists = await one.numbers(0, 200)
        assert sum(map(len, lists)) == 201
        assert one.fetcher.request_blocks() <= 5
        one.sizes.clear()
        await one.numbers(0, 200)
        too_large = sum(size > 5 for size in one.sizes)
        assert too_large * 10 < len(one.sizes), "the limit is remembered, and tried again only now and then"


async def test_a_limit_that_is_gone_is_noticed() -> None:
    node = a_node(400, shape=EMPTY, limits=Limits(batch_calls=10))
    async with fetching(node) as one:
        await one.numbers(0, 100)
        node.limits = Limits()
        for _ in range(12):
            await one.numbers(0, 400)
        assert one.fetcher.request_blocks() > 20


async def test_one_block_that_is_too_large_is_said_so() -> None:
    async with fetching(a_node(4, limits=Limits(response_bytes=2_000))) as one:
        with pytest.raises(TooLarge):
            await one.fetcher.blocks([3, 4])


async def test_no_more_under_way_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "REQUEST_BLOCKS_MAX", 2)
    async with fetching(a_node(200, shape=EMPTY)) as one:
        one.pool.endpoints[0].concurrency.limit = 1_000.0
        lists = one.fetcher.ahead(0, 200)
        await anext(lists)
        for _ in range(200):
            await asyncio.sleep(0)  # nobody takes the next list
        assert len(one.sizes) <= AHEAD_REQUESTS + 1
        await lists.aclose()
        assert one.http.open == 0


async def test_no_more_bytes_waiting_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "REQUEST_BLOCKS_MAX", 2)
    monkeypatch.setattr(history, "AHEAD_BYTES_MAX", 10_000)  # some three answers of two empty blocks
    async with fetching(a_node(200, shape=EMPTY)) as one:
        lists = one.fetcher.ahead(0, 200)
        await anext(lists)
        for _ in range(200):
            await asyncio.sleep(0)
        assert len(one.sizes) <= 5
        await lists.aclose()


async def test_leaving_early_leaves_nothing_behind() -> None:
    async with fetching(a_node(200, shape=EMPTY)) as one:
        async with aclosing(one.fetcher.ahead(0, 200)) as lists:
            async for _ in lists:
                break
        assert one.http.open == 0
        assert one.pool.endpoints[0].concurrency.in_flight == 0
        assert len(asyncio.all_tasks()) == 1


async def test_a_failure_comes_where_the_block_would_have_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "REQUEST_BLOCKS_MAX", 5)
    node = a_node(40, shape=Shape(transactions=(2, 3)))
    async with fetching(node) as one:
        node.tell("receipts_missing", blocks=[22])
        seen: list[int] = []

        async def fetch() -> None:
            async with aclosing(one.fetcher.ahead(0, 40)) as lists:
                async for blocks in lists:
                    seen.extend(block.link.number for block in blocks)

        with pytest.raises(ProofFailure) as failure:
            await fetch()
        assert failure.value.subject == "block 22"
        assert seen == list(range(len(seen)))
        assert 22 - 5 < len(seen) <= 22  # all that came before the request which held it


async def test_another_block_than_asked_for_is_refused() -> None:
    node = a_node(40)
    async with fetching(node) as one:
        node.tell("block_other")
        with pytest.raises(Rejected, match="answered block 6 where 7 was asked for"):
            await one.fetcher.blocks([7])
        head = node.chain.head.hash
        with pytest.raises(Rejected, match=f"where 0x{head.hex()} was asked for"):
            await one.fetcher.blocks([head])
