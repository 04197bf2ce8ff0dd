"""The sync engine over a simulated node in the same process, a real SQLite store, and a clock that obeys."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import msgspec

from tests.chain.oracle import assert_equals_node, held_position
from tests.patience import HANGS_S
from tests.runtime import FakeRuntime
from tidelog.batch import Batch, ContentDigest, Outcome, Rows
from tidelog.chain.contracts.contract import Contract
from tidelog.chain.endpoint.budget import LIMITS
from tidelog.chain.forks.position import Position
from tidelog.chain.projections import Projection
from tidelog.chain.source.client import RPC_LIMITS, Endpoint, RpcLimits
from tidelog.chain.source.pool import Pool
from tidelog.chain.sync.engine import SYNC_LIMITS, Options, Sync, SyncLimits
from tidelog.chain.sync.monitoring.reporting import Progress
from tidelog.config import EndpointUrl
from tidelog.errors import Unreachable
from tidelog.net.http import HttpResponse
from tidelog.sim.node.chain.block_builder import Shape
from tidelog.sim.node.chain.tree import BlockTree
from tidelog.sim.node.inprocess import InProcessHttp
from tidelog.sim.node.node import SimNode
from tidelog.store import Store, open_store
from tidelog.tables import content_tables
from tidelog.telemetry import ChainMetrics

SMALL = Shape(transactions=(0, 3), logs=(0, 2), withdrawals=(0, 2))
CHAIN_ID = 1337

Calls = list[dict[str, Any]]


def a_node(
    blocks: int = 30, *, seed: int = 0, replicas: int = 1, finalized_depth: int | None = 8, **options: Any
) -> SimNode:
    """A node with a small chain; finality 8 blocks behind the head, unless said otherwise."""
    tree = BlockTree(
        seed=seed,
        shape=options.pop("shape", SMALL),
        blocks=blocks,
        finalized_depth=finalized_depth,
        safe_depth=4 if finalized_depth is not None else None,
        **{name: options.pop(name) for name in ("keep_branches", "forks", "chain_id") if name in options},
    )
    return SimNode(tree, seed=seed, replicas=replicas, **options)


class WatchedHttp:
    """The node's transport; `before` sees each request (the redacted host, the calls) ahead of the node."""

    def __init__(self, node: SimNode, runtime: FakeRuntime) -> None:
        self._runtime = runtime
        self._nodes: dict[str, InProcessHttp] = {}
        self.serve(node)
        self.before: Callable[[str, Calls], None] = lambda host, calls: None
        self.down: set[str] = set()  # hosts that refuse connections
        self.requests = 0
        self.open = self.open_max = 0

    def serve(self, node: SimNode, host: str = "") -> None:
        """From now on this node answers, for all hosts or for one."""
        self._nodes[host] = InProcessHttp(node, now=self._runtime.now)

    @asynccontextmanager
    async def post(
        self, url: str, body: bytes, *, headers: Mapping[str, str], timeout_s: float
    ) -> AsyncIterator[HttpResponse]:
        host = EndpointUrl(url).name.partition("://")[2]
        decoded = msgspec.json.decode(body)
        self.requests += 1
        self.before(host, decoded if isinstance(decoded, list) else [decoded])
        if host in self.down:
            await asyncio.sleep(0)
            raise Unreachable("no connection (refused)")
        self.open += 1
        self.open_max = max(self.open_max, self.open)
        try:
            inner = self._nodes.get(host, self._nodes[""])
            async with inner.post(url, body, headers=headers, timeout_s=timeout_s) as response:
                yield response
        finally:
            self.open -= 1

    async def close(self) -> None:
        for inner in self._nodes.values():
            await inner.close()


class Rig:
    """A store, a node and what lies between. Each `sync` is a process of its own but for the store."""

    def __init__(self, store: Store, node: SimNode, runtime: FakeRuntime, urls: Sequence[str]) -> None:
        self.store = store
        self.node = node
        self.runtime = runtime
        self.http = WatchedHttp(node, runtime)
        self.metrics = ChainMetrics()
        self.urls = urls
        self.limits = LIMITS  # of each endpoint's budget
        self.rpc = RPC_LIMITS
        self.sync_limits = SYNC_LIMITS
        self.projections: Sequence[Projection] = ()  # of each sync
        self.contracts: Sequence[Contract] | None = None  # alike

    @property
    def tree(self) -> BlockTree:
        assert isinstance(self.node.chain, BlockTree)
        return self.node.chain

    def pool(self) -> Pool:
        endpoints = [
            Endpoint(EndpointUrl(url), self.http, self.runtime, self.metrics, limits=self.limits, rpc=self.rpc)
            for url in self.urls
        ]
        return Pool(endpoints, self.runtime, self.metrics)

    def sync(self, **options: Any) -> Sync:
        return Sync(
            self.store,
            self.pool(),
            self.runtime,
            self.metrics,
            Options(**options),
            projections=self.projections,
            contracts=self.contracts,
            limits=self.sync_limits,
        )

    async def once(self, **options: Any) -> Progress:
        """A run to its end."""
        async with asyncio.timeout(HANGS_S):
            return await self.sync(**options).run()

    async def follow(self, *, until: Callable[[Sync], bool], rounds: int = 2_000, **options: Any) -> Progress:
        """Follow until `until`, looked at whenever the engine sleeps, holds; fail after `rounds` sleeps."""
        run = self.sync(**({"follow": True} | options))
        slept = 0
        failures: list[BaseException] = []

        def look() -> None:
            nonlocal slept
            slept += 1
            try:
                assert slept <= rounds, f"not there after {rounds} sleeps: {run.progress}"
                if until(run):
                    run.stop()
            except BaseException as error:  # an engine that sleeps must not get to see it
                failures.append(error)
                run.stop()

        with self.sleeping(look):
            async with asyncio.timeout(HANGS_S):
                progress = await run.run()
        if failures:
            raise failures[0]
        return progress

    async def follow_script(self, *steps: Callable[[], object], **options: Any) -> Progress:
        """Follow; each step changes the node, and the next comes when the engine has caught up with it."""
        left = list(steps)

        def until(run: Sync) -> bool:
            if not self.caught_up(run):
                return False
            if not left:
                return True
            left.pop(0)()
            return False

        return await self.follow(until=until, **options)

    def caught_up(self, run: Sync) -> bool:
        """Whether the run has committed the node's head."""
        return run.head is not None and run.head.hash == self.node.chain.head.hash

    @contextmanager
    def sleeping(self, look: Callable[[], None]) -> Iterator[None]:
        self.runtime.on_sleep = look
        try:
            yield
        finally:
            self.runtime.on_sleep = lambda: None

    async def position(self) -> Position:
        position = await held_position(self.store, self.node.chain.chain_id)
        assert position is not None
        return position

    async def digest(self) -> dict[str, str]:
        return await content_digest(self.store)

    async def assert_equals_node(self, **bounds: Any) -> None:
        await assert_equals_node(self.store, self.node, self.runtime, **bounds)


@asynccontextmanager
async def rig(
    path: Path,
    node: SimNode,
    *,
    urls: Sequence[str] = ("http://replica-0",),
    limits: SyncLimits = SYNC_LIMITS,
    rpc: RpcLimits = RPC_LIMITS,
) -> AsyncIterator[Rig]:
    """A rig over the store in folder `path`, made if there is none."""
    runtime = FakeRuntime()
    store = await open_store(f"sqlite:///{path}/chain.db", runtime)
    try:
        made = Rig(store, node, runtime, urls)
        made.sync_limits, made.rpc = limits, rpc
        yield made
    finally:
        await store.close()


def replicas(count: int) -> list[str]:
    return [f"http://replica-{index}" for index in range(count)]


async def content_digest(store: Store) -> dict[str, str]:
    """By table, the digest of its content and how many rows there are."""
    digests = {}
    async with store.snapshot() as snapshot:
        for table in content_tables():
            digest = ContentDigest(table)
            async for rows in snapshot.scan(table):
                digest.update(rows)
            digests[table.name] = f"{digest.row_count} {digest.hexdigest()}"
    return digests


@contextmanager
def commits(store: Any) -> Iterator[list[Batch]]:
    """The batches committed inside the block."""
    seen: list[Batch] = []
    inner = store.commit

    async def commit(batch: Batch) -> Outcome:
        copied = tuple(Rows(rows.table, list(rows.rows)) for rows in batch.add)  # a buffer is closed after the commit
        outcome: Outcome = await inner(batch)
        seen.append(msgspec.structs.replace(batch, add=copied))
        return outcome

    store.commit = commit
    try:
        yield seen
    finally:
        store.commit = inner
