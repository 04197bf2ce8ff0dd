"""A `SimNode` behind the engine's HTTP and WebSocket ports, without a socket: the same bytes, limits and failures.

`http://replica-1/v2/KEY` is replica 1: the host, if it names a replica, stands for the first path segment.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from tidelog.errors import Overloaded, Rejected, Unreachable
from tidelog.net.http import CHUNK_BYTES
from tidelog.net.websocket import WebSocket
from tidelog.sim.node.answers import TRICKLE_S, Answer, Ending
from tidelog.sim.node.chain.tree import BlockTree
from tidelog.sim.node.heads import Heads
from tidelog.sim.node.node import Replica, SimNode


class PlayedResponse:
    """`HttpResponse` that plays an answer."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.statement = answer.statement

    @property
    def status(self) -> int:
        return self._answer.status

    @property
    def headers(self) -> Mapping[str, str]:
        return dict(self._answer.headers)

    async def chunks(self) -> AsyncIterator[bytes]:
        body, ending = self._answer.body, self._answer.ending
        if ending is Ending.TRICKLE:
            for start in range(len(body)):
                yield body[start : start + 1]
                await asyncio.sleep(TRICKLE_S)
            return
        while True:
            for start in range(0, len(body), CHUNK_BYTES):
                yield body[start : start + CHUNK_BYTES]
                await asyncio.sleep(0)
            if ending is not Ending.ENDLESS:
                break
        if ending is Ending.HANG:
            await asyncio.get_running_loop().create_future()
        if ending is Ending.CUT:
            raise Unreachable("the connection broke (cut)")


@asynccontextmanager
async def played(answering: Callable[[], Answer], timeout_s: float) -> AsyncIterator[PlayedResponse]:
    """A peer's answer as `HttpTransport.post` gives it, with the time that it may take; Unreachable if it is none."""
    try:
        async with asyncio.timeout(timeout_s):
            await asyncio.sleep(0)  # a real transport never answers within the same turn
            answer = answering()
            if answer.ending is Ending.RESET:
                raise Unreachable("the connection broke (reset)")
            if answer.ending is Ending.STALL:
                await asyncio.get_running_loop().create_future()
            if answer.delay_s:
                await asyncio.sleep(answer.delay_s)
            yield PlayedResponse(answer)
    except TimeoutError:
        raise Overloaded(f"no complete answer within {timeout_s:g} s") from None


class InProcessHttp:
    """`HttpTransport` over a node in the same process."""

    def __init__(self, node: SimNode, *, now: Callable[[], float] = lambda: 0.0) -> None:
        """`now` gives Unix time in seconds, for dates in headers."""
        self._node = node
        self._now = now
        self.refusing = False  # as if nothing listened

    @asynccontextmanager
    async def post(
        self, url: str, body: bytes, *, headers: Mapping[str, str], timeout_s: float
    ) -> AsyncIterator[PlayedResponse]:
        def answer() -> Answer:
            if self.refusing:
                raise Unreachable("no connection (refused)")
            return self._node.handle(_path(url) or "/", body, now=self._now())

        async with played(answer, timeout_s) as response:
            yield response

    async def close(self) -> None:
        """Nothing is kept open."""


class NodeSocket(WebSocket):
    """The client's end of a WebSocket to a node: newHeads, for who subscribes to them. Other calls get no answer."""

    def __init__(self, node: SimNode, replica: Replica) -> None:
        self._heads = Heads(node, replica)
        self._waiting: deque[bytes] = deque()
        self._changed = asyncio.Event()
        self._broken = False
        self._watchers = node.chain.watchers if isinstance(node.chain, BlockTree) else []
        self._watchers.append(self._changed.set)

    async def receive(self) -> bytes:
        while not self._waiting:
            if self._broken:
                raise Unreachable("the connection was lost without a close")
            await self._changed.wait()
            self._changed.clear()
            self._waiting.extend(self._heads.due())
        return self._waiting.popleft()

    def send(self, message: bytes) -> None:
        answer = self._heads.answer(message)
        if answer is not None:
            self._waiting.append(answer)
            self._changed.set()

    async def close(self) -> None:
        self.lost()

    def lost(self) -> None:
        """The connection is gone; what has come can still be read."""
        if not self._broken:
            self._broken = True
            self._watchers.remove(self._changed.set)
            self._changed.set()


class InProcessWire:
    """`WebSocketTransport` to a node in the same process."""

    def __init__(self, node: SimNode) -> None:
        self._node = node

    async def connect(self, url: str, *, timeout_s: float) -> WebSocket:
        await asyncio.sleep(0)  # a real transport never answers within the same turn
        replica = self._node.route(_path(url))
        if replica is None:
            raise Rejected("HTTP 404 at the WebSocket's handshake")
        return NodeSocket(self._node, replica)


def _path(url: str) -> str:
    parts = urlsplit(url)
    host = parts.hostname or ""
    return f"/{host}{parts.path}" if host.startswith("replica-") or host == "balanced" else parts.path
