"""A network that stalls, resets, trickles, half-closes and refuses: both jobs come back by themselves."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command import digest
from tests.patience import HANGS_S
from tests.simulated import Simulated
from tests.system.disturbed import Hurried, hurry, judge, recording
from tests.system.proxy import Manner, Proxy
from tidelog.chain.source.client import Endpoint, RpcLimits
from tidelog.chain.source.pool import Pool
from tidelog.chain.sync.engine import Options, Sync
from tidelog.config import EndpointUrl
from tidelog.net.http import AioHttp
from tidelog.runtime import SystemRuntime
from tidelog.sim.exchange.control import Disconnect
from tidelog.sim.node.chain.tree import BlockTree
from tidelog.store import open_store
from tidelog.telemetry import ChainMetrics

__all__ = ["hurry"]  # a fixture

FAULTY = [manner for manner in Manner if manner is not Manner.SOUND]
ANSWER_S = 0.5  # in which loopback answers, and after which a stalled request is given up
SHOWN = 2


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with Proxy() as served:
        yield served


async def until_shown(proxy: Proxy, manner: Manner) -> None:
    """Let it misbehave so often, then be sound again."""
    while proxy.shown[manner] < SHOWN:  # noqa: ASYNC110  # it is counted on another thread
        await asyncio.sleep(0.005)
    proxy.manner = Manner.SOUND


async def sync(url: str, db: str) -> None:
    runtime, metrics, http = SystemRuntime(), ChainMetrics(), AioHttp()
    pool = Pool(
        [Endpoint(EndpointUrl(url), http, runtime, metrics, rpc=RpcLimits(request_timeout_s=ANSWER_S))],
        runtime,
        metrics,
    )
    store = await open_store(db, runtime)
    try:
        await Sync(store, pool, runtime, metrics, Options()).run()
    finally:
        await store.close()
        await http.close()


@pytest.mark.parametrize("manner", FAULTY)
async def test_a_sync_through_a_bad_network(manner: Manner, proxy: Proxy, tmp_path: Path) -> None:
    disturbed, undisturbed = (f"sqlite:///{tmp_path}/{name}.db" for name in ("disturbed", "undisturbed"))
    with Simulated(BlockTree(seed=8, blocks=40)) as node:
        await sync(node.url, undisturbed)
        proxy.manner = manner
        mending = asyncio.create_task(until_shown(proxy, manner))
        async with asyncio.timeout(HANGS_S):
            await sync(proxy.route(node.url), disturbed)
            await mending
    assert await asyncio.to_thread(digest, disturbed) == await asyncio.to_thread(digest, undisturbed)


@pytest.mark.parametrize("manner", FAULTY)
async def test_a_recording_through_a_bad_network(manner: Manner, proxy: Proxy, hurry: Hurried, tmp_path: Path) -> None:
    async with recording(hurry, tmp_path, route=proxy.route) as running:
        proxy.manner = manner
        if manner is Manner.REFUSE:
            running.exchange.act(Disconnect(1012))
        await running.until(lambda: proxy.shown[manner] >= SHOWN, f"{manner.value} to be shown")
        proxy.manner = Manner.SOUND
        await running.recovers()
    await judge(running, tmp_path)
