"""The node behind the engine's HTTP port, without a socket: the same answers and the same failures."""

import json

import pytest

from tests.sim.asking import call, full_node
from tidelog.errors import Unreachable
from tidelog.net.http import HttpTransport
from tidelog.sim.inprocess import InProcessHttp

BODY = json.dumps(call("eth_getBlockByNumber", "0xf", True)).encode()


async def post(http: HttpTransport, url: str, *, timeout_s: float = 5.0) -> tuple[int, bytes]:
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
        await post(http, "http://node/v2/KEY", timeout_s=0.05)
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
        "http://node/", BODY, headers={}, timeout_s=1
    ) as response:
        assert response.status == 429
        assert response.headers["retry-after"] == "Tue, 14 Nov 2023 22:13:21 GMT"
