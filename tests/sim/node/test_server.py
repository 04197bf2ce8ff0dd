"""The node over real sockets: HTTP, broken answers, and newHeads over WebSocket."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from tests.patience import HANGS_S
from tests.sim.asking import call, full_node, ledger_of
from tidelog.errors import Unreachable
from tidelog.net.http import AioHttp
from tidelog.sim.node.answers import Answer
from tidelog.sim.node.limits import Limits
from tidelog.sim.node.node import SimNode
from tidelog.sim.node.server import NodeServer

JSON = {"content-type": "application/json"}


@pytest.fixture
async def http() -> AsyncIterator[AioHttp]:
    transport = AioHttp()
    yield transport
    await transport.close()


async def post(http: AioHttp, url: str, *, timeout_s: float = HANGS_S) -> tuple[int, bytes]:
    body = json.dumps(call("eth_blockNumber")).encode()
    async with http.post(url, body, headers=JSON, timeout_s=timeout_s) as response:
        return response.status, b"".join([chunk async for chunk in response.chunks()])


async def head(http: AioHttp, url: str) -> int:
    _, body = await post(http, url)
    return int(json.loads(body)["result"], 16)


async def test_every_path_answers_and_replicas_have_their_own(http: AioHttp) -> None:
    node = full_node(replicas=2)
    node.replicas[1].lag = 5
    async with NodeServer(node) as server:
        for path, expected in [("", 20), ("v2/KEY", 20), ("replica-1", 15), ("replica-1/v2/KEY", 15)]:
            assert await head(http, server.url(path)) == expected
        assert (await post(http, server.url("replica-9")))[0] == 404


async def test_a_body_over_the_limit_is_413(http: AioHttp) -> None:
    async with NodeServer(full_node(limits=Limits(request_bytes=20))) as server:
        assert (await post(http, server.url()))[0] == 413


async def test_a_page_for_browsers_says_what_to_do(http: AioHttp) -> None:
    async with NodeServer(full_node()) as server, aiohttp.ClientSession() as session:
        assert (await session.get(server.url())).status == 405


@pytest.mark.parametrize("lie", ["cut", "reset"])
async def test_connections_that_break(http: AioHttp, lie: str) -> None:
    node = full_node()
    async with NodeServer(node) as server:
        node.tell(lie, times=1)
        with pytest.raises(Unreachable):
            await post(http, server.url())
        assert await head(http, server.url()) == 20


async def test_an_answer_that_never_comes(http: AioHttp) -> None:
    node = full_node()
    async with NodeServer(node) as server:
        node.tell("stall", times=1)
        with pytest.raises(Unreachable, match="within"):
            await post(http, server.url(), timeout_s=0.2)
        assert await head(http, server.url()) == 20


async def test_a_body_that_never_ends(http: AioHttp) -> None:
    node = full_node()
    node.tell("endless")
    async with NodeServer(node) as server:
        received = 0
        async with http.post(server.url(), b"{}", headers=JSON, timeout_s=HANGS_S) as response:
            async for chunk in response.chunks():
                received += len(chunk)
                if received > 5_000_000:
                    break
        assert received > 5_000_000


async def test_stopping_lets_go_of_stalled_answers_and_refuses_new_ones(
    http: AioHttp, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = full_node()
    asked = asyncio.Event()
    answer = node.handle

    def handle(path: str, body: bytes, *, now: float = 0.0) -> Answer:
        asked.set()
        return answer(path, body, now=now)

    monkeypatch.setattr(node, "handle", handle)
    server = NodeServer(node)
    await server.start()
    port = server.port
    node.tell("stall", times=1)
    stalled = asyncio.create_task(post(http, server.url(), timeout_s=HANGS_S))
    await asked.wait()
    await server.stop()
    with pytest.raises(Unreachable):
        await stalled
    with pytest.raises(Unreachable, match="no connection"):
        await post(http, server.url())
    await server.start()
    assert server.port == port
    assert await head(http, server.url()) == 20
    await server.stop()


class Subscriber:
    """A WebSocket client of newHeads."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket

    async def ask(self, method: str, *params: Any) -> Any:
        await self.socket.send_json(call(method, *params))
        return await self.socket.receive_json(timeout=HANGS_S)

    async def numbers(self, count: int) -> list[int]:
        return [int((await self.notification())["result"]["number"], 16) for _ in range(count)]

    async def notification(self) -> Any:
        message = await self.socket.receive_json(timeout=HANGS_S)
        assert message["method"] == "eth_subscription"
        return message["params"]


async def test_new_heads_are_sent_until_unsubscribed() -> None:
    node = full_node()
    tree = ledger_of(node)
    async with (
        NodeServer(node) as server,
        aiohttp.ClientSession() as session,
        session.ws_connect(server.websocket_url("v2/KEY")) as socket,
    ):
        client = Subscriber(socket)
        subscription = (await client.ask("eth_subscribe", "newHeads"))["result"]
        made = tree.extend()
        notification = await client.notification()
        assert notification["subscription"] == subscription
        assert notification["result"]["hash"] == "0x" + made[0].hash.hex()
        tree.reorg(2, 3)
        assert await client.numbers(3) == [20, 21, 22]
        assert (await client.ask("eth_blockNumber"))["result"] == "0x16"
        assert (await client.ask("eth_unsubscribe", subscription))["result"] is True
        tree.extend()
        assert (await client.ask("eth_unsubscribe", subscription))["result"] is False
        await client.ask("eth_subscribe", "newHeads")
        tree.extend()
        assert await client.numbers(1) == [24], "what came while nobody listened is not sent later"


async def test_subscriptions_that_are_not_offered() -> None:
    async with (
        NodeServer(full_node()) as server,
        aiohttp.ClientSession() as session,
        session.ws_connect(server.websocket_url()) as socket,
    ):
        client = Subscriber(socket)
        assert (await client.ask("eth_subscribe", "logs"))["error"]["code"] == -32601
        assert (await client.ask("eth_subscribe"))["error"]["code"] == -32601
        for _ in range(100):
            assert "result" in await client.ask("eth_subscribe", "newHeads")
        assert "too many" in (await client.ask("eth_subscribe", "newHeads"))["error"]["message"]


async def test_heads_that_go_backwards_and_then_stop() -> None:
    node = full_node()
    async with (
        NodeServer(node) as server,
        aiohttp.ClientSession() as session,
        session.ws_connect(server.websocket_url()) as socket,
    ):
        client = Subscriber(socket)
        await client.ask("eth_subscribe", "newHeads")
        node.tell("new_heads_backwards", times=1)
        ledger_of(node).extend(2)
        assert await client.numbers(3) == [21, 22, 21]
        node.tell("new_heads_stall")
        ledger_of(node).extend(1)
        assert (await client.ask("eth_blockNumber"))["result"] == "0x17", "nothing came before this answer"


async def test_mining_ticks_by_itself() -> None:
    node = full_node()
    async with NodeServer(node) as server:
        grown = asyncio.Event()
        ledger_of(node).watchers.append(grown.set)
        mining = asyncio.create_task(server.mine(0.01))
        await asyncio.wait_for(grown.wait(), HANGS_S)
        mining.cancel()
    assert ledger_of(node).head.number > 20


async def test_a_socket_ends_with_the_server() -> None:
    node: SimNode = full_node()
    server = NodeServer(node)
    await server.start()
    async with aiohttp.ClientSession() as session, session.ws_connect(server.websocket_url()) as socket:
        await server.stop()
        assert (await socket.receive(timeout=HANGS_S)).type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
    assert ledger_of(node).watchers == []
