"""A simulated node on real HTTP, served from a thread of its own so that any kind of test can play with it."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, TypeVar

from tests.patience import HANGS_S
from tests.ports import release_port, reserved_port
from tidelog.sim.node.chain.methods import Chain
from tidelog.sim.node.chain.tree import BlockTree
from tidelog.sim.node.node import SimNode
from tidelog.sim.node.server import NodeServer

__all__ = ["Simulated"]

T = TypeVar("T")


class Simulated:
    """`with Simulated(chain) as node:` serves it. Everything that touches the node goes through `do`."""

    def __init__(self, chain: Chain, *, replicas: int = 1) -> None:
        self.chain = chain
        self.node = SimNode(chain, replicas=replicas)
        self._port = reserved_port()
        self._server = NodeServer(self.node, port=self._port)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="node")

    def __enter__(self) -> "Simulated":
        self._thread.start()
        self._run(self._server.start())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._run(self._server.stop())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(HANGS_S)
            self._loop.close()
            release_port(self._port)

    @property
    def tree(self) -> BlockTree:
        assert isinstance(self.chain, BlockTree), "recorded blocks stand still"
        return self.chain

    @property
    def url(self) -> str:
        return self._server.url()

    def path(self, path: str) -> str:
        """The address of a path, such as "replica-1" or "v2/KEY"."""
        return self._server.url(path)

    def do(self, action: Callable[[], T]) -> T:
        """Run `action` where the node is served, between two of its answers."""

        async def act() -> T:
            return action()

        return asyncio.run_coroutine_threadsafe(act(), self._loop).result(HANGS_S)

    def stop(self) -> None:
        """Refuse connections; `start` listens on the same port again."""
        self._run(self._server.stop())

    def start(self) -> None:
        self._run(self._server.start())

    @property
    def head_hash(self) -> bytes:
        return self.do(lambda: self.chain.head.hash)

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(HANGS_S)
