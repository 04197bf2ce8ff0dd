"""Endpoints that hang beside healthy ones: nobody waits for them, they come back, and votes count them for a while.

In virtual time, over the whole engine and the simulated node.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.chain.rig import Rig, WatchedHttp, a_node, replicas
from tests.virtual import VirtualRuntime, virtually
from tidelog.chain.endpoint.pulse import LATE_S
from tidelog.chain.source.client import RPC_LIMITS, Endpoint
from tidelog.chain.source.pool import Pool
from tidelog.chain.sync.engine import Sync
from tidelog.config import EndpointUrl
from tidelog.errors import Rejected, SourceError, Unreachable
from tidelog.net.http import HttpResponse
from tidelog.sim.node.node import SimNode
from tidelog.sim.scenario.generator import HANGING_LIES
from tidelog.store import open_store
from tidelog.telemetry import ChainMetrics


async def with_rig(path: Path, node: SimNode, count: int, work: Callable[[Rig], Any]) -> Any:
    runtime = VirtualRuntime()
    store = await open_store(f"sqlite:///{path}/chain.db", runtime)
    try:
        return await work(Rig(store, node, runtime, replicas(count)))
    finally:
        await store.close()


async def lags(r: Rig, run: Sync, *, blocks: int, block_s: float) -> list[int]:
    """How many blocks the store is behind at each of so many new blocks, once it has begun."""
    task = asyncio.ensure_future(run.run())
    found: list[int] = []
    while len(found) < blocks and not task.done():
        await asyncio.sleep(block_s)
        if run.begun and run.progress.head is not None:
            r.tree.extend(1)
            found.append(r.tree.head.number - run.progress.head)
    run.stop()
    await task
    return found


@pytest.mark.parametrize("lie", HANGING_LIES)
@pytest.mark.parametrize("hanging", [0, 1])
def test_a_hanging_endpoint_costs_a_few_blocks_at_most(tmp_path: Path, lie: str, hanging: int) -> None:
    node = a_node(30, replicas=2)

    async def main(r: Rig) -> list[int]:
        node.tell(lie, replica=hanging)
        return await lags(r, r.sync(follow=True, poll_s=0.25), blocks=120, block_s=0.25)

    found = virtually(with_rig(tmp_path, node, 2, main))
    assert len(found) == 120
    assert sorted(found)[108] <= 3, "the 90th percentile"
    assert max(found) <= (LATE_S + 1.5) / 0.25 + 3, "it is put aside once, and costs nobody anything from then on"


@pytest.mark.parametrize("lie", HANGING_LIES)
def test_the_first_block_comes_in_seconds_beside_a_hanging_endpoint(tmp_path: Path, lie: str) -> None:
    node = a_node(30, replicas=2)

    async def main(r: Rig) -> float:
        node.tell(lie, replica=0)
        await r.sync().run()
        await r.assert_equals_node(path="/replica-1")
        return r.runtime.monotonic()

    assert virtually(with_rig(tmp_path, node, 2, main)) < 2 * LATE_S + 1


def test_an_endpoint_that_hung_comes_back(tmp_path: Path) -> None:
    """And is enough when the other one goes."""
    node = a_node(30, replicas=2)

    async def main(r: Rig) -> None:
        run = r.sync(follow=True)
        node.tell("stall", replica=0)
        task = asyncio.ensure_future(run.run())
        await asyncio.sleep(90)
        node.honest()
        await asyncio.sleep(60)
        r.http.down.add("replica-1")
        r.tree.extend(5)
        await asyncio.sleep(30)
        run.stop()
        await task
        await r.assert_equals_node(path="/replica-0")

    virtually(with_rig(tmp_path, node, 2, main))


def a_pool(count: int) -> tuple[Pool, SimNode]:
    node, runtime, metrics = a_node(30, replicas=count), VirtualRuntime(), ChainMetrics()
    http = WatchedHttp(node, runtime)
    return Pool([Endpoint(EndpointUrl(url), http, runtime, metrics) for url in replicas(count)], runtime, metrics), node


def names(answers: Any) -> list[str]:
    return [endpoint.name[-1] for endpoint in answers]


def test_a_question_that_hangs_is_asked_elsewhere_and_the_first_answer_wins() -> None:
    async def main() -> None:
        pool, node = a_pool(2)
        await pool.identify(None)
        node.tell("stall", replica=0)
        started = asyncio.get_running_loop().time()
        header = await pool.ask(lambda endpoint: endpoint.header_by_number(7))
        assert header is not None
        assert header.number == 7
        assert LATE_S <= asyncio.get_running_loop().time() - started < LATE_S + 0.5
        at = asyncio.get_running_loop().time()
        for _ in range(20):
            await pool.ask(lambda endpoint: endpoint.header_by_number(7))
        assert asyncio.get_running_loop().time() - at < 0.5, "it is not asked again meanwhile"
        await pool.close()

    virtually(main())


def test_the_only_endpoint_has_the_time_of_a_request() -> None:
    async def main() -> None:
        pool, node = a_pool(1)
        await pool.identify(None)
        node.tell("stall", times=1)
        started = asyncio.get_running_loop().time()
        assert await pool.ask(lambda endpoint: endpoint.header_by_number(7)) is not None
        assert asyncio.get_running_loop().time() - started > RPC_LIMITS.request_timeout_s
        await pool.close()

    virtually(main())


def test_a_slow_endpoint_is_heard_where_its_vote_decides() -> None:
    """It takes longer than others are waited for, and less than what would be late."""

    async def main() -> None:
        pool, _ = a_pool(3)
        await pool.identify(None)

        async def work(endpoint: Endpoint) -> str:
            await asyncio.sleep(1.5 if endpoint.name[-1] == "2" else 0.01)
            return "ab"[endpoint.name[-1] != "0"]

        quick = await pool.quorum_read(work, enough=lambda found: len(found) > 0)
        assert (names(quick), quick.voters, quick.missing) == (["0", "1"], 3, 1)
        await asyncio.sleep(2)
        decided = await pool.quorum_read(work, enough=lambda found: list(found).count("b") * 2 > pool.voters, vote=True)
        assert names(decided) == ["0", "1", "2"]
        await pool.close()

    virtually(main())


def slowed(r: Rig, path: str) -> None:
    """Let an endpoint always be slower than the others, by more than it is waited for at a look."""
    post = r.http.post

    @asynccontextmanager
    async def slow(url: str, *given: Any, **more: Any) -> AsyncIterator[HttpResponse]:
        await asyncio.sleep(0.5 if url.endswith(path) else 0.0)
        async with post(url, *given, **more) as response:
            yield response

    r.http.post = slow  # type: ignore[method-assign]


def test_finality_rises_where_one_endpoint_is_always_slower_than_the_other(tmp_path: Path) -> None:
    """Its answer to a look has yet to come when its vote is asked for."""
    node = a_node(30, replicas=2)

    async def main(r: Rig) -> None:
        slowed(r, "replica-1")
        run = r.sync(follow=True)
        task = asyncio.ensure_future(run.run())
        await asyncio.sleep(60)
        run.stop()
        await task
        assert (await r.position()).finalized == r.tree.head.number - 8

    virtually(with_rig(tmp_path, node, 2, main))


@pytest.mark.parametrize("length", [1, 2, 3])
def test_a_reorg_is_followed_where_one_endpoint_is_always_slower_than_the_other(tmp_path: Path, length: int) -> None:
    """To a branch that ends lower, as high, higher: it has its vote, too."""
    node = a_node(30, replicas=2)

    async def main(r: Rig) -> None:
        slowed(r, "replica-1")
        run = r.sync(follow=True)
        task = asyncio.ensure_future(run.run())
        await asyncio.sleep(60)
        r.tree.reorg(2, length)
        await asyncio.sleep(60)
        run.stop()
        await task
        await r.assert_equals_node(path="/replica-0")

    virtually(with_rig(tmp_path, node, 2, main))


def test_who_hangs_counts_in_a_vote_for_as_long_as_patience() -> None:
    async def main() -> None:
        pool, node = a_pool(3)
        pool.patience_s = 30.0
        await pool.identify(None)
        node.tell("stall", replica=1)
        node.tell("stall_body", replica=2)
        answers = await pool.quorum_read(lambda endpoint: endpoint.heads())
        assert (names(answers), answers.voters) == (["0"], 3), "one of three is no majority"
        await asyncio.sleep(25)
        assert pool.voters == 3
        await asyncio.sleep(10)
        answers = await pool.quorum_read(lambda endpoint: endpoint.heads())
        assert (names(answers), answers.voters) == (["0"], 1), "they have been away for too long"
        node.honest()
        for _ in range(70):
            pool.tend()
            await asyncio.sleep(1)
        assert pool.voters == 3
        await pool.close()

    virtually(main())


def test_a_minority_makes_nothing_final_while_the_others_hang(tmp_path: Path) -> None:
    """One of three says that its head is final, and the other two hang: for a while that is nobody's word."""
    node = a_node(30, replicas=3)

    async def main(r: Rig) -> None:
        run = r.sync(follow=True)
        task = asyncio.ensure_future(run.run())
        await asyncio.sleep(5)
        assert run.progress.finalized == 22
        for replica in (1, 2):
            node.tell("stall", replica=replica)
        r.tree.extend(10)
        await asyncio.sleep(20)
        assert (run.progress.head, run.progress.finalized) == (40, 22), "blocks need no vote, finality does"
        await asyncio.sleep(40)
        assert run.progress.finalized == 32, "now they have been away for longer than patience"
        run.stop()
        await task

    virtually(with_rig(tmp_path, node, 3, main))


def test_a_minority_fork_is_not_adopted_while_the_others_hang(tmp_path: Path) -> None:
    node = a_node(30, replicas=3)

    async def main(r: Rig) -> None:
        run = r.sync(follow=True)
        task = asyncio.ensure_future(run.run())
        await asyncio.sleep(5)
        node.replicas[0].tip = r.tree.extend(9, on=r.tree.canonical(27).hash)[-1].hash
        for replica in (1, 2):
            node.tell("stall", replica=replica)
        await asyncio.sleep(20)
        assert run.progress.head == 30
        node.honest()
        await asyncio.sleep(120)
        assert run.progress.head == 30, "the majority is back, and has another opinion"
        run.stop()
        await task
        await r.assert_equals_node(path="/replica-1")

    virtually(with_rig(tmp_path, node, 3, main))


def test_giving_up_takes_as_long_as_it_says_where_the_endpoint_hangs(tmp_path: Path) -> None:
    node = a_node(30)

    async def main(r: Rig) -> float:
        run = r.sync(give_up_s=60.0)
        run._on_progress = lambda progress: node.tell("stall") if progress.head is None else None
        with pytest.raises(SourceError, match=r"replica-0: no .*answer within"):
            await run.run()
        return r.runtime.monotonic()

    assert 60 <= virtually(with_rig(tmp_path, node, 1, main)) < 60 + 2 * LATE_S


def test_no_contact_with_any_of_two_that_hang(tmp_path: Path) -> None:
    node = a_node(30, replicas=2)

    async def main(r: Rig) -> float:
        node.tell("stall")
        with pytest.raises(Unreachable, match=r"no contact within 10 s: .*replica-0: no .*answer within"):
            await r.sync().run()
        return r.runtime.monotonic()

    assert virtually(with_rig(tmp_path, node, 2, main)) < RPC_LIMITS.request_timeout_s + 5


def test_a_chain_id_of_a_million_digits_leaves_the_endpoint_out(tmp_path: Path) -> None:
    node = a_node(30, replicas=2)

    async def main(r: Rig) -> None:
        node.tell("chain_id_huge", replica=0)
        await r.sync().run()
        await r.assert_equals_node(path="/replica-1")
        reading = r.metrics.registry.get_sample_value
        assert reading("tidelog_rpc_endpoint_identified", {"endpoint": "http://replica-0"}) == 0

    virtually(with_rig(tmp_path, node, 2, main))


def test_a_chain_id_of_a_million_digits_alone_is_a_sentence(tmp_path: Path) -> None:
    node = a_node(30)

    async def main(r: Rig) -> None:
        node.tell("chain_id_huge")
        with pytest.raises(Rejected, match=r"replica-0: eth_chainId answered a number beyond 2\^53"):
            await r.sync().run()
        assert r.runtime.monotonic() < 30

    virtually(with_rig(tmp_path, node, 1, main))
