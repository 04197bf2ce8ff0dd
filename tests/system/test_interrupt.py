"""A sync that is cancelled in the middle of a commit ends when the commit has."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.patience import HANGS_S
from tests.simulated import Simulated
from tests.system.truth import standing
from tidelog.batch import Batch, Outcome
from tidelog.chain.source.client import Endpoint
from tidelog.chain.source.pool import Pool
from tidelog.chain.sync.engine import Options, Sync
from tidelog.config import EndpointUrl
from tidelog.net.http import AioHttp
from tidelog.runtime import SystemRuntime
from tidelog.sim.node.chain.tree import BlockTree
from tidelog.store import Store, open_store
from tidelog.telemetry import ChainMetrics


class Gated:
    """A store whose commits wait at a gate."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.begun = asyncio.Event()
        self.gate = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def commit(self, batch: Batch) -> Outcome:
        self.begun.set()
        await self.gate.wait()
        return await self._store.commit(batch)


async def test_a_commit_that_is_under_way_is_not_cut_short(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/chain.db"
    runtime, metrics, http = SystemRuntime(), ChainMetrics(), AioHttp()
    with Simulated(BlockTree(seed=3, blocks=10)) as node:
        store = await open_store(url, runtime)
        gated: Any = Gated(store)
        pool = Pool([Endpoint(EndpointUrl(node.url), http, runtime, metrics)], runtime, metrics)
        running = asyncio.ensure_future(Sync(gated, pool, runtime, metrics, Options()).run())
        try:
            await asyncio.wait_for(gated.begun.wait(), HANGS_S)
            running.cancel()
            done, _ = await asyncio.wait((running,), timeout=0.05)
            assert not done
            gated.gate.set()
            with pytest.raises(asyncio.CancelledError):
                await asyncio.wait_for(running, HANGS_S)
        finally:
            running.cancel()
            await http.close()
            await store.close()
    assert await asyncio.to_thread(standing, url, 1337)
