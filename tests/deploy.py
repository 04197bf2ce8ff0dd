"""A whole system for a short time, and what Prometheus reads of it: a chain, a recording, the API over both."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import httpx

from tests.command import Running
from tests.market.exchange import Script, serve
from tests.patience import HANGS_S
from tests.simulated import Simulated
from tidelog.api.http.backend import Backend
from tidelog.api.http.options import ApiOptions
from tidelog.api.server.serve import ApiServer
from tidelog.cli.run.child import Child
from tidelog.cli.run.metrics import RunMetrics
from tidelog.errors import Unreachable
from tidelog.net.status import StatusServer, ask
from tidelog.runtime import SystemRuntime
from tidelog.sim.node.chain.block_builder import Shape
from tidelog.sim.node.chain.tree import BlockTree
from tidelog.store import open_store
from tidelog.telemetry import ApiMetrics, Readiness, StreamMetrics, rendered

T = TypeVar("T")

BLOCKS = 80  # more than the last 64: some are final


async def exposition(folder: Path) -> str:
    """What the API's `/metrics` says once everything has happened at least once."""
    db, log = f"sqlite:///{folder}/all.db", folder / "log"
    chain, market = f"unix:{folder}/chain.sock", f"unix:{folder}/market.sock"
    script = Script()
    tree = BlockTree(seed=1, blocks=BLOCKS, shape=Shape(transactions=(1, 2), logs=(1, 2)))
    with Simulated(tree) as node:
        async with serve(script) as exchange:
            sync = ["chain", "sync", "--rpc", node.url, "--db", db, "--follow", "--jobs", "0", "--status", chain]
            record = ["market", "record", "--symbols", "A/USD,B/USD", "--url", exchange.url, "--db", db]
            record += ["--journal", f"{folder}/j", "--status", market]
            with Running(*sync, log=log), Running(*record, log=log):
                await eventually(lambda: _true(len(script.subscribed) == 2))
                await eventually(lambda: _is_ready(chain))
                for qty in range(1, 50):
                    exchange.push(script.update("A/USD", qty), script.trade("B/USD"))
                supervisor = StatusServer(f"unix:{folder}/run.sock", metrics=_supervised, ready=lambda: Readiness(True))
                publisher = StatusServer(f"unix:{folder}/s.sock", metrics=_published, ready=lambda: Readiness(True))
                teller = StatusServer(f"unix:{folder}/t.sock", metrics=_told, ready=lambda: Readiness(True))
                async with supervisor, publisher, teller:
                    addresses = {"supervisor": supervisor.address, "stream": publisher.address, "told": teller.address}
                    return await _read(db, {"chain": chain, "market": market, **addresses})


async def _published() -> bytes:
    """What a publisher shows."""
    return rendered(StreamMetrics().registry)


async def _told() -> bytes:
    """What a publisher of a recording shows."""
    metrics = StreamMetrics(recording=True)
    metrics.publisher().put_aside = 1  # as of a webhook
    return rendered(metrics.registry)


async def _supervised() -> bytes:
    """What a supervisor shows of a process that has ended once."""
    ended = Child("chain", [], {}, "", SystemRuntime(), 60.0)
    ended.last_exit, ended.restarts = 1, 1
    metrics = RunMetrics()
    metrics.look([ended])
    return rendered(metrics.registry)


async def _read(db: str, scrape: dict[str, str]) -> str:
    runtime = SystemRuntime()
    store = await open_store(db, runtime, readonly=True)
    server = ApiServer(Backend(store, runtime, ApiOptions(port=0, scrape=scrape), (), ApiMetrics()))
    serving = asyncio.ensure_future(server.run())
    try:
        async with httpx.AsyncClient(base_url=server.url) as client:

            async def ready() -> bool:
                return (await client.get("/readyz")).status_code == 200

            await eventually(ready)
            return (await client.get("/metrics")).text
    finally:
        server.stop()
        await serving
        await store.close()


async def _is_ready(address: str) -> bool:
    try:
        return (await ask(address, "/readyz")).status == 200
    except Unreachable:
        return False


async def _true(value: bool) -> bool:
    return value


async def eventually(look: Callable[[], Awaitable[T]]) -> T:
    """Look again until it gives something true."""
    async with asyncio.timeout(HANGS_S):
        while not (found := await look()):  # noqa: ASYNC110 - of state that nobody announces
            await asyncio.sleep(0.02)
        return found
