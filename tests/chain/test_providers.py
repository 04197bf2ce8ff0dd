"""Two thousand blocks from a provider with a plan: without a hand, near what the plan allows, with few calls lost.

A real sync into a real store, over the simulated node, whose plan is kept in virtual time: the clock moves only
while everybody waits. One plan is tried over real sockets.
"""

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.chain.oracle import held_position
from tests.patience import HANGS_S
from tidelog.chain.endpoint.budget import Said
from tidelog.chain.source.client import Endpoint
from tidelog.chain.source.pool import Pool
from tidelog.chain.sync.engine import Options, Sync
from tidelog.config import EndpointUrl
from tidelog.net.http import AioHttp
from tidelog.runtime import SystemRuntime
from tidelog.sim.node.chain.block_builder import Shape
from tidelog.sim.node.chain.tree import BlockTree
from tidelog.sim.node.limits import Limits
from tidelog.sim.node.node import SimNode
from tidelog.sim.node.server import NodeServer
from tidelog.sim.runs.network import Network, NetworkHttp
from tidelog.sim.world.loop import SimLoop
from tidelog.sim.world.runtime import SimRuntime
from tidelog.sim.world.world import Process, World
from tidelog.store import open_store
from tidelog.store.sqlite import open_sqlite
from tidelog.telemetry import ChainMetrics

BLOCKS = 2_000
NEEDED = 2 * BLOCKS  # calls: a block, and its receipts
TINY = Shape(transactions=(1, 1), logs=(0, 1), withdrawals=(0, 0))
SHARE = 0.8  # of what the plan allows
WASTE = 1.1  # times the calls needed
WASTE_ON_A_REAL_CLOCK = 1.5  # a machine that stops us for a moment makes a burst of what was paced


@pytest.fixture(scope="module")
def tree() -> BlockTree:
    """Blocks 0 to 1,999, all final but the last."""
    return BlockTree(seed=3, shape=TINY, blocks=BLOCKS - 1, finalized_depth=1, safe_depth=1)


@pytest.fixture
def folder() -> Iterator[str]:
    path = tempfile.mkdtemp(prefix="tidelog-providers-")
    yield path
    shutil.rmtree(path, ignore_errors=True)


class Outcome(NamedTuple):
    seconds: float
    calls: int  # asked of the node
    head: int


def synced(tree: BlockTree, folder: str, *plans: Limits, said: Said | None = None) -> Outcome:
    """Sync from a node with a replica for each plan; in virtual seconds."""
    loop = SimLoop()  # type: ignore[abstract]  # what is left out is an error to ask for
    world = World(loop, 1, folder)
    node = SimNode(tree, seed=1, replicas=len(plans))
    for replica, limits in zip(node.replicas, plans, strict=True):
        replica.limits = limits
    found: list[Outcome] = []

    async def main(process: Process) -> None:
        runtime, metrics = SimRuntime(process), ChainMetrics()
        http = NetworkHttp(node, Network(), process, runtime)
        urls = [EndpointUrl(f"http://replica-{index}") for index in range(len(plans))]
        pool = Pool([Endpoint(url, http, runtime, metrics, said=said) for url in urls], runtime, metrics)
        store = await open_sqlite(f"sqlite:///{world.disk.path('chain.db')}", runtime, vfs=process.mount.name)
        started = runtime.monotonic()
        await Sync(store, pool, runtime, metrics, Options()).run()
        position = await held_position(store, tree.chain_id)
        assert position is not None
        calls = sum(replica.meter.asked for replica in node.replicas)
        found.append(Outcome(runtime.monotonic() - started, calls, position.head))
        await store.close()

    async def live() -> None:
        failure = await Process(world, "sync").run(main)
        if failure is not None:
            raise failure

    loop.run_until_complete(live())
    loop.close()
    assert not world.violations
    (outcome,) = found
    assert outcome.head == BLOCKS - 1
    return outcome


MORE = pytest.mark.torture  # as the others, and minutes in all: virtual time is not free


@pytest.mark.parametrize(
    ("rate", "refusal"),
    [
        (25, "429"),
        (300, "each"),
        (500, "200"),
        *(
            pytest.param(rate, refusal, marks=MORE)
            for rate, refusal in [(25, "200"), (25, "each"), (300, "429"), (300, "200"), (500, "429"), (500, "each")]
        ),
    ],
)
def test_syncs_under_a_plan_of_calls_a_second(tree: BlockTree, folder: str, rate: int, refusal: str) -> None:
    seconds, calls, _ = synced(tree, folder, Limits(rate=rate, refusal=refusal))  # type: ignore[arg-type]
    assert NEEDED / seconds >= SHARE * rate
    assert calls <= WASTE * NEEDED


@pytest.mark.parametrize(
    ("plan", "allowed"),
    [
        (Limits(rate=100, retry_after_s=1), 100),
        pytest.param(Limits(rate=100, burst_s=10.0), 100, marks=MORE),
        (Limits(rate=2_000, compute_units=True), 100),  # 20 units a call
        (Limits(rate=100, batch_calls=10), 100),
        pytest.param(Limits(rate=50, batch_calls=1), 50, marks=MORE),
    ],
    ids=["retry-after", "burst of ten seconds", "compute units", "batches of ten", "no batches"],
)
def test_syncs_under_a_plan_of_another_kind(tree: BlockTree, folder: str, plan: Limits, allowed: float) -> None:
    seconds, calls, _ = synced(tree, folder, plan)
    assert NEEDED / seconds >= SHARE * allowed
    assert calls <= WASTE * NEEDED


@pytest.mark.parametrize(
    ("plan", "most_s"),
    [
        pytest.param(Limits(batch_calls=10), 60.0, marks=MORE),
        pytest.param(Limits(batch_calls=2), 120.0, marks=MORE),
        pytest.param(Limits(batch_calls=1), 240.0, marks=MORE),
        (Limits(response_bytes=100_000, as_a_whole=True), 60.0),
        pytest.param(Limits(response_bytes=20_000), 60.0, marks=MORE),
        # half a second for each block, four and later more at once; behind a gateway what takes 3 s is 504
        pytest.param(Limits(receipts_s=0.5), BLOCKS * 0.5 / 4, marks=MORE),
        (Limits(receipts_s=0.5, gateway_s=3.0), BLOCKS * 0.5 / 4),
    ],
    ids=["batches of ten", "batches of two", "no batches", "bytes", "bytes call by call", "slow", "gateway"],
)
def test_syncs_under_a_limit_of_a_request(tree: BlockTree, folder: str, plan: Limits, most_s: float) -> None:
    seconds, calls, _ = synced(tree, folder, plan)
    assert seconds <= most_s
    assert calls <= WASTE * NEEDED


def test_a_plan_that_is_said_loses_nothing(tree: BlockTree, folder: str) -> None:
    seconds, calls, _ = synced(tree, folder, Limits(rate=100, batch_calls=10), said=Said(rate=95.0, batch=10))
    assert NEEDED / seconds >= SHARE * 95
    assert calls <= 1.01 * NEEDED


def test_two_endpoints_with_plans_are_both_used(tree: BlockTree, folder: str) -> None:
    seconds, calls, _ = synced(tree, folder, Limits(rate=100), Limits(rate=50))
    assert NEEDED / seconds >= SHARE * 150
    assert calls <= WASTE * NEEDED


async def test_syncs_under_a_plan_over_real_sockets(tree: BlockTree, folder: str) -> None:
    """Of 1,000 calls a second, with batches of 50."""
    node = SimNode(tree, limits=Limits(rate=1_000, batch_calls=50))
    runtime, metrics, http = SystemRuntime(), ChainMetrics(), AioHttp()
    async with NodeServer(node) as server, asyncio.timeout(HANGS_S):
        pool = Pool([Endpoint(EndpointUrl(server.url()), http, runtime, metrics)], runtime, metrics)
        store = await open_store(f"sqlite:///{folder}/chain.db", runtime)
        try:
            await Sync(store, pool, runtime, metrics, Options()).run()
            position = await held_position(store, tree.chain_id)
        finally:
            await store.close()
            await http.close()
            runtime.close()
    assert position is not None
    assert position.head == BLOCKS - 1
    assert node.replicas[0].meter.asked <= WASTE_ON_A_REAL_CLOCK * NEEDED
