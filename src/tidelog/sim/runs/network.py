"""The network between a simulated process and a simulated node: latency, silence, refusal, connections that end."""

import asyncio
import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial

from tidelog.chain.endpoint.budget import LIMITS
from tidelog.errors import Overloaded, Unreachable
from tidelog.net.http import HttpResponse
from tidelog.net.websocket import WebSocket
from tidelog.sim.node.inprocess import InProcessHttp, InProcessWire, NodeSocket
from tidelog.sim.node.node import SimNode
from tidelog.sim.node.witness import Statement, Witness
from tidelog.sim.world.runtime import SimRuntime
from tidelog.sim.world.world import Process

LATENCY_S = 0.05  # each way, at most, of a link in order
QUICK_CHUNKS = 4  # of one body; what goes on after them comes slowly, so that an endless one takes time
CHUNK_S = 1.0


class Network:
    """What the network does to each replica of a node, whichever process asks."""

    def __init__(self) -> None:
        self.down: set[int] = set()
        self.slow_s: dict[int, float] = {}  # added to each answer
        self._sockets: list[tuple[int, Process, NodeSocket]] = []
        self._witnesses: dict[int, Witness] = {}

    def witness(self, process: Process) -> Witness:
        """What that process was told."""
        if process.domain not in self._witnesses:
            self._witnesses[process.domain] = Witness(process.world.loop.time())
        return self._witnesses[process.domain]

    def take_down(self, replicas: set[int]) -> None:
        """Nothing listens there any more, and what was connected is cut off."""
        self.down |= replicas
        for replica, _, socket in self._sockets:
            if replica in replicas:
                socket.lost()

    def opened(self, replica: int, process: Process, socket: NodeSocket) -> None:
        self._sockets.append((replica, process, socket))

    def gone(self, process: Process) -> None:
        """The process is gone: its connections are reset."""
        for _, owner, socket in self._sockets:
            if owner is process:
                socket.lost()
        self._sockets = [one for one in self._sockets if one[1] is not process]


class NetworkHttp:
    """`HttpTransport` of one process over the network."""

    def __init__(self, node: SimNode, network: Network, process: Process, runtime: SimRuntime) -> None:
        self._network = network
        self._process = process
        self._rng = runtime.random("links")
        self._reached = runtime.reached
        self._inner = InProcessHttp(node, now=runtime.now)
        self._witness = network.witness(process)
        self._open: Counter[int] = Counter()  # requests under way, by replica

    @asynccontextmanager
    async def post(
        self, url: str, body: bytes, *, headers: Mapping[str, str], timeout_s: float
    ) -> AsyncIterator[HttpResponse]:
        self._process.check()
        replica = int(url.rpartition("replica-")[2].partition("/")[0])
        self._process.world.trace.add(f"ask {replica} {hashlib.sha256(body).hexdigest()[:16]}")
        self._open[replica] += 1
        if self._open[replica] > LIMITS.in_flight_max:
            self._process.world.violated(f"at most {LIMITS.in_flight_max} requests are under way at an endpoint")
        try:
            async with self._answer(replica, url, body, headers, timeout_s) as response:
                yield response
        finally:
            self._open[replica] -= 1

    @asynccontextmanager
    async def _answer(
        self, replica: int, url: str, body: bytes, headers: Mapping[str, str], timeout_s: float
    ) -> AsyncIterator[HttpResponse]:
        latency_s = self._rng.random() * LATENCY_S + self._network.slow_s.get(replica, 0.0)
        await asyncio.sleep(min(latency_s, timeout_s))
        self._process.check()
        self._reached("request")
        if replica in self._network.down:
            raise Unreachable("no connection (refused)")
        if latency_s >= timeout_s:
            raise Overloaded(f"no complete answer within {timeout_s:g} s")
        async with self._inner.post(url, body, headers=headers, timeout_s=timeout_s - latency_s) as response:
            yield _NetworkResponse(
                response, self._rng.random() * LATENCY_S, partial(self._heard, replica, response.statement)
            )
        self._process.check()

    def _heard(self, replica: int, told: Statement | None) -> None:
        if told is not None:
            self._witness.heard(replica, told, self._process.world.loop.time())

    async def close(self) -> None:
        self._process.check()


class _NetworkResponse:
    def __init__(self, inner: HttpResponse, latency_s: float, whole: Callable[[], None]) -> None:
        """`whole` is called when all of the body has come."""
        self._inner = inner
        self._latency_s = latency_s
        self._whole = whole

    @property
    def status(self) -> int:
        return self._inner.status

    @property
    def headers(self) -> Mapping[str, str]:
        return self._inner.headers

    async def chunks(self) -> AsyncIterator[bytes]:
        await asyncio.sleep(self._latency_s)
        number = 0
        async for chunk in self._inner.chunks():
            number += 1
            if number > QUICK_CHUNKS:
                await asyncio.sleep(CHUNK_S)
            yield chunk
        self._whole()


class NetworkWire:
    """`WebSocketTransport` of one process over the network."""

    def __init__(self, node: SimNode, network: Network, process: Process, runtime: SimRuntime) -> None:
        self._network = network
        self._process = process
        self._runtime = runtime
        self._rng = runtime.random("wire")
        self._inner = InProcessWire(node)

    async def connect(self, url: str, *, timeout_s: float) -> WebSocket:
        self._process.check()
        replica = int(url.rpartition("replica-")[2].partition("/")[0])
        self._process.world.trace.add(f"connect {replica}")
        await asyncio.sleep(self._rng.random() * LATENCY_S)
        self._process.check()
        if replica in self._network.down:
            raise Unreachable("no WebSocket (ConnectionRefusedError)")
        socket = await self._inner.connect(url, timeout_s=timeout_s)
        self._process.check()
        assert isinstance(socket, NodeSocket)
        self._network.opened(replica, self._process, socket)
        return _NetworkSocket(socket, self._process, self._runtime)


class _NetworkSocket(WebSocket):
    def __init__(self, inner: NodeSocket, process: Process, runtime: SimRuntime) -> None:
        self._inner = inner
        self._process = process
        self._runtime = runtime

    async def receive(self) -> bytes:
        self._process.check()
        message = await self._inner.receive()
        self._process.check()
        self._process.world.trace.add(f"head {hashlib.sha256(message).hexdigest()[:12]}")
        self._runtime.reached("head")
        return message

    def send(self, message: bytes) -> None:
        self._process.check()
        self._inner.send(message)

    async def close(self) -> None:
        self._process.check()
        await self._inner.close()
