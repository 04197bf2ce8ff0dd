"""Wake-ups by newHeads: over a real node's WebSocket, and through everything that can end one."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import cycle, pairwise

import pytest

from tests.chain.rig import a_node
from tests.patience import HANGS_S
from tests.runtime import FakeRuntime
from tests.sim.asking import ledger_of
from tidelog.chain.source.new_heads import HEADS_LIMITS, HeadsLimits, HeadsWatcher
from tidelog.config import EndpointUrl
from tidelog.errors import Rejected, SourceError, Throttled, Unreachable
from tidelog.net.websocket import WebSocket, WebSocketTransport
from tidelog.sim.node.node import SimNode
from tidelog.sim.node.server import NodeServer


@asynccontextmanager
async def watching(
    url: str,
    wake: asyncio.Event,
    runtime: FakeRuntime,
    transport: WebSocketTransport | None = None,
    limits: HeadsLimits = HEADS_LIMITS,
) -> AsyncIterator[asyncio.Task[None]]:
    endpoint = EndpointUrl(url, schemes=("ws", "wss"))
    task = asyncio.create_task(HeadsWatcher(endpoint, runtime, wake, transport, limits).run())
    try:
        async with asyncio.timeout(HANGS_S):
            yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def woken(wake: asyncio.Event) -> None:
    await wake.wait()
    wake.clear()


async def test_each_new_head_wakes() -> None:
    node, wake = a_node(3), asyncio.Event()
    async with NodeServer(node) as server, watching(server.websocket_url("v2/KEY"), wake, FakeRuntime()):
        await woken(wake)  # the answer to the subscription
        for _ in range(3):
            ledger_of(node).extend(1)
            await woken(wake)
        ledger_of(node).reorg(2)
        await woken(wake)


@pytest.mark.parametrize("lie", ["new_heads_skip", "new_heads_backwards", "new_heads_stall"])
async def test_what_a_new_head_says_is_never_needed(lie: str) -> None:
    node, wake = a_node(3), asyncio.Event()
    node.tell(lie)
    async with NodeServer(node) as server, watching(server.websocket_url(), wake, FakeRuntime()) as task:
        await woken(wake)
        for _ in range(5):
            ledger_of(node).extend(1)
            await asyncio.sleep(0.01)
        assert not task.done()


async def test_the_subscription_comes_back_after_the_node_was_away() -> None:
    node, wake, runtime = a_node(3), asyncio.Event(), FakeRuntime()
    server = NodeServer(node)
    await server.start()
    async with watching(server.websocket_url(), wake, runtime):
        await woken(wake)
        await server.stop()
        tried = asyncio.Event()
        runtime.on_sleep = lambda: tried.set() if runtime.sleeps > 3 else None
        await tried.wait()
        await server.start()
        await woken(wake)
        ledger_of(node).extend(1)
        await woken(wake)
    await server.stop()


class Scripted:
    """Connections by a script: each entry is an error of `connect`, or what the socket then does."""

    def __init__(self, *entries: SourceError | Callable[[], bytes | SourceError]) -> None:
        self.entries = list(entries)
        self.sockets: list[ScriptedSocket] = []

    async def connect(self, url: str, *, timeout_s: float) -> WebSocket:
        await asyncio.sleep(0)
        entry = self.entries.pop(0) if len(self.entries) > 1 else self.entries[0]
        if isinstance(entry, SourceError):
            raise entry
        self.sockets.append(ScriptedSocket(entry))
        return self.sockets[-1]


class ScriptedSocket(WebSocket):
    def __init__(self, read: Callable[[], bytes | SourceError]) -> None:
        self.read, self.sent, self.closed = read, list[bytes](), False

    async def receive(self) -> bytes:
        await asyncio.sleep(0)
        outcome = self.read()
        if isinstance(outcome, SourceError):
            raise outcome
        return outcome

    def send(self, message: bytes) -> None:
        self.sent.append(message)

    async def close(self) -> None:
        self.closed = True


async def pauses_of(transport: Scripted, count: int) -> list[float]:
    """The first pauses between connections, in seconds."""
    runtime, moments, enough = FakeRuntime(), list[float](), asyncio.Event()

    def on_sleep() -> None:
        moments.append(runtime.clock)
        if len(moments) >= count:
            enough.set()

    runtime.on_sleep = on_sleep
    async with watching("ws://node/", asyncio.Event(), runtime, transport):
        await enough.wait()
    return [later - earlier for earlier, later in pairwise(moments)]


@pytest.mark.parametrize(
    "error", [Unreachable("down"), Throttled("wait", retry_after_s=3), Rejected("404"), SourceError("odd")]
)
async def test_pauses_between_attempts_grow_and_are_bounded(error: SourceError) -> None:
    pauses = await pauses_of(Scripted(error), 14)
    assert pauses[0] < 0.3
    assert all(15 <= pause <= 30 for pause in pauses[8:])


async def test_a_connection_that_was_of_use_starts_the_pauses_anew() -> None:
    outcomes: Iterator[bytes | SourceError] = cycle((b"{}", Unreachable("gone")))
    transport = Scripted(lambda: next(outcomes))
    assert max(await pauses_of(transport, 10)) <= 0.25
    assert all(socket.closed for socket in transport.sockets[:-1])
    assert b'"eth_subscribe"' in transport.sockets[0].sent[0]


async def test_a_subscription_that_falls_silent_is_made_again() -> None:
    node: SimNode = a_node(3)
    node.tell("new_heads_stall")
    wake = asyncio.Event()
    limits = HeadsLimits(silent_s=0.02)
    async with NodeServer(node) as server, watching(server.websocket_url(), wake, FakeRuntime(), limits=limits):
        for _ in range(3):
            await woken(wake)  # each new subscription is answered
