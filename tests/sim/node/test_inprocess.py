"""The node behind the engine's ports, without a socket: the same answers and the same failures."""

import asyncio
import json

import pytest

from tests.patience import HANGS_S
from tests.sim.asking import call, full_node, ledger_of
from tidelog.errors import Rejected, Unreachable
from tidelog.net.http import HttpTransport
from tidelog.net.websocket import WebSocketTransport
from tidelog.sim.node.inprocess import InProcessHttp, InProcessWire, NodeSocket
from tidelog.sim.node.node import SimNode

BODY = json.dumps(call("eth_getBlockByNumber", "0xf", True)).encode()


async def post(http: HttpTransport, url: str, *, timeout_s: float = HANGS_S) -> tuple[int, bytes]:
    async with http.post(url, BODY, headers={}, timeout_s=timeout_s) as response:
        return response.status, b"".join([chunk async for chunk in response.chunks()])


async def test_the_host_or_the_path_names_the_replica() -> None:
    node = full_node(replicas=2)
    node.replicas[1].lag = 10
    http = InProcessHttp(node)
    for url, known in [
        ("http://replica-0/", True),
        ("http://node/v2/KEY", True),
        ("http://node", True),
        ("http://replica-1/v2/KEY", False),
        ("http://node/replica-1", False),
    ]:
        status, body = await post(http, url)
        assert status == 200
        assert (json.loads(body)["result"] is not None) == known


@pytest.mark.parametrize(("lie", "words"), [("cut", "broke"), ("reset", "broke"), ("stall", "within 0.05 s")])
async def test_failures_are_those_of_a_real_connection(lie: str, words: str) -> None:
    node = full_node()
    node.tell(lie, times=1)
    http = InProcessHttp(node)
    with pytest.raises(Unreachable, match=words):
        await post(http, "http://node/v2/KEY", timeout_s=0.05 if lie == "stall" else HANGS_S)
    assert (await post(http, "http://node/v2/KEY"))[0] == 200


async def test_a_refused_connection() -> None:
    http = InProcessHttp(full_node())
    http.refusing = True
    with pytest.raises(Unreachable, match="refused"):
        await post(http, "http://node/")


async def test_an_endless_body_ends_with_the_time_allowed() -> None:
    node = full_node()
    node.tell("endless")
    with pytest.raises(Unreachable, match="within"):
        await post(InProcessHttp(node), "http://node/", timeout_s=0.05)


async def test_the_moment_comes_from_outside() -> None:
    node = full_node()
    node.tell("throttle_date")
    async with InProcessHttp(node, now=lambda: 1_700_000_000.0).post(
        "http://node/", BODY, headers={}, timeout_s=HANGS_S
    ) as response:
        assert response.status == 429
        assert response.headers["retry-after"] == "Tue, 14 Nov 2023 22:13:21 GMT"


async def subscribed(node: SimNode) -> NodeSocket:
    wire: WebSocketTransport = InProcessWire(node)
    socket = await wire.connect("ws://replica-0/KEY", timeout_s=HANGS_S)
    assert isinstance(socket, NodeSocket)
    socket.send(json.dumps(call("eth_subscribe", "newHeads")).encode())
    assert json.loads(await socket.receive())["result"] == "0x1"
    return socket


async def number(socket: NodeSocket) -> int:
    return int(json.loads(await socket.receive())["params"]["result"]["number"], 16)


async def test_new_heads_come_as_over_a_real_socket() -> None:
    node = full_node()
    socket = await subscribed(node)
    ledger_of(node).extend(2)
    assert [await number(socket), await number(socket)] == [21, 22]
    node.tell("new_heads_stall", times=1)
    ledger_of(node).extend(1)
    waiting = asyncio.create_task(number(socket))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    ledger_of(node).extend(1)
    assert await waiting == 24, "nothing was said of 23"


async def test_a_socket_that_is_lost() -> None:
    node = full_node()
    socket = await subscribed(node)
    waiting = asyncio.create_task(socket.receive())
    await asyncio.sleep(0)
    socket.lost()
    with pytest.raises(Unreachable, match="without a close"):
        await waiting
    await socket.close()
    assert ledger_of(node).watchers == []
    with pytest.raises(Rejected, match="404"):
        await InProcessWire(node).connect("ws://replica-7/", timeout_s=HANGS_S)
