"""What one client can do to the others: connections, requests, streams, wrong tokens; and the door for health."""

import asyncio
import http.client
import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.api.served import CHAIN, Filled, Served, filled, sqlite_url
from tests.command import until
from tests.patience import HANGS_S
from tidelog.api.access import clients, seats
from tidelog.api.access.clients import POINTS_FREE, POINTS_OF_TOKEN
from tidelog.api.access.seats import SPARE
from tidelog.runtime import SystemRuntime
from tidelog.store import open_store
from tidelog.store.tokens import create

ONE, OTHER = "127.0.0.2", "127.0.0.3"


def connected(port: int, source: str) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=HANGS_S, source_address=(source, 0))


def ask(port: int, path: str, source: str, **headers: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=HANGS_S, source_address=(source, 0))
    try:
        connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read() or b"null")
    finally:
        connection.close()


@pytest.fixture
def no_time_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine that stands still a connection would be idle meanwhile, and what was wrong be forgiven."""
    monkeypatch.setattr(seats, "IDLE_S", HANGS_S)
    monkeypatch.setattr(clients, "POINTS_PER_S", 0.0)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def test_idle_connections_take_nobody_s_place(small: Filled, stack: ExitStack) -> None:
    """512 of them made `/livez` answer 503, and everything else too."""
    api = stack.enter_context(Served(small.url, connections_max=16, client_connections_max=16))
    port = api.server.port
    idle = [stack.enter_context(connected(port, ONE)) for _ in range(16)]
    for each in idle[8:]:
        each.sendall(b"GET /v1/chains HTTP/1.1\r\nhost: loc")  # and half a head is idle too
    for path in ("/livez", "/v1/chains"):  # each as soon as one of them has been idle for IDLE_S
        until(lambda path=path: ask(port, path, OTHER)[0] == 200, f"{path} of another client")  # type: ignore[misc]
        until(lambda path=path: ask(port, path, ONE)[0] == 200, f"{path} of the same client")  # type: ignore[misc]


@pytest.mark.usefixtures("no_time_passes")
def test_one_client_has_its_share_of_the_connections(small: Filled, stack: ExitStack) -> None:
    api = stack.enter_context(Served(small.url, connections_max=16, client_connections_max=8))
    port = api.server.port
    for _ in range(8):
        stack.enter_context(connected(port, ONE))
    with connected(port, ONE) as ninth:
        head, _, body = ninth.recv(4_096).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 429 ")
    assert "8 connections of your address" in json.loads(body)["error"]["message"]
    assert ask(port, "/v1/chains", OTHER)[0] == 200


def test_where_every_connection_is_busy_health_still_answers(small: Filled, stack: ExitStack) -> None:
    limits = {"connections_max": 8, "client_connections_max": 8, "streams_max": 100, "client_streams_max": 100}
    api = stack.enter_context(Served(small.url, **limits))
    port = api.server.port
    streams = [stack.enter_context(streaming(port, ONE)) for _ in range(8)]
    assert all(status == 200 for _, status in map(began, streams))
    for path in ("/livez", "/readyz"):
        assert ask(port, path, OTHER)[0] == 200
    status, body = ask(port, "/v1/chains", OTHER)
    assert (status, body["error"]["message"]) == (503, "too many connections are open: try again")
    for _ in range(2 * SPARE):  # a refusal ends, and gives its place back
        assert ask(port, "/livez", OTHER)[0] == 200


def streaming(port: int, source: str) -> socket.socket:
    """A live stream that was asked for."""
    made = connected(port, source)
    made.sendall(f"GET {CHAIN}/live/changes HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
    return made


def began(stream: socket.socket) -> tuple[socket.socket, int]:
    return stream, int(stream.recv(4_096).split()[1])


def test_one_client_has_its_share_of_the_streams(small: Filled, stack: ExitStack) -> None:
    """One could hold all 128."""
    api = stack.enter_context(Served(small.url, streams_max=4, client_streams_max=2))
    port = api.server.port
    one = [began(stack.enter_context(streaming(port, ONE))) for _ in range(3)]
    assert [status for _, status in one] == [200, 200, 429]
    other = began(stack.enter_context(streaming(port, OTHER)))
    assert other[1] == 200

    async def listen() -> object:
        async with connect(f"ws://127.0.0.1:{port}/v1/live", local_addr=(ONE, 0)) as stream:
            await stream.wait_closed()
            return stream.close_code, stream.close_reason

    assert asyncio.run(listen()) == (1013, "2 live streams of yours are open, which is the limit")
    one[0][0].close()
    until(lambda: began(stack.enter_context(streaming(port, ONE)))[1] == 200, "its stream to be gone")


def test_one_client_has_its_share_of_the_requests(small: Filled, stack: ExitStack) -> None:
    api = stack.enter_context(Served(small.url, requests_max=4, client_requests_max=2))
    port = api.server.port
    for _ in range(2):  # requests whose bodies do not come
        half = stack.enter_context(connected(port, ONE))
        half.sendall(
            f"POST {CHAIN}/logs HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
            "content-length: 9\r\n\r\n{".encode()
        )
    until(lambda: ask(port, "/v1/chains", ONE)[0] == 429, "both to be inside")
    assert "2 requests of yours" in ask(port, "/v1/chains", ONE)[1]["error"]["message"]
    assert ask(port, "/livez", ONE)[0] == 200
    assert ask(port, "/v1/chains", OTHER)[0] == 200


def test_the_port_for_health_answers_nothing_else_and_is_full_for_nobody(small: Filled, stack: ExitStack) -> None:
    limits = {"connections_max": 4, "client_connections_max": 4}
    api = stack.enter_context(Served(small.url, health_port=0, **limits))
    health = api.server.health_port
    assert health is not None
    for _ in range(8):
        stack.enter_context(connected(api.server.port, ONE))
    assert [ask(health, path, ONE)[0] for path in ("/livez", "/readyz", "/metrics?x")[:2]] == [200, 200]
    for path in ("/v1/chains", "/docs", "/livez/"):
        status, body = ask(health, path, ONE)
        assert (status, body["error"]["message"]) == (404, "this port answers /livez, /readyz and /metrics alone")
    assert ask(health, "/livez", ONE, host="evil.example")[0] == 403

    async def listen() -> None:
        async with connect(f"ws://127.0.0.1:{health}/v1/live"):
            raise AssertionError("a stream on the port for health")

    with pytest.raises(InvalidStatus):
        asyncio.run(listen())


# -- wrong tokens --------------------------------------------------------------------------------------------


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Served]:
    """A server with one token, which is the client's."""
    url = filled(sqlite_url(tmp_path)).url

    async def make() -> str:
        runtime = SystemRuntime()
        store = await open_store(url, runtime)
        try:
            return await create(store, runtime, "good", ["read"], None)
        finally:
            await store.close()

    token = asyncio.run(make())
    with Served(url, delay_max_s=9.0) as api:
        api.token = token
        yield api


FREE = int(POINTS_FREE / POINTS_OF_TOKEN)


def try_token(api: Served, source: str, token: str = "tl_wrong") -> int:
    return ask(api.server.port, "/v1/chains", source, authorization=f"Bearer {token}")[0]


def held_back(api: Served) -> float:
    return sum(each.value for metric in api.metrics.held_back.collect() for each in metric.samples[:1])


@pytest.mark.usefixtures("no_time_passes")
def test_wrong_tokens_wait_longer_and_longer_and_a_good_one_does_not(guarded: Served) -> None:
    """Nothing slowed them. Those of the same address who are who they say go on as before."""
    api = guarded
    assert api.token is not None
    assert {try_token(api, ONE) for _ in range(FREE)} == {401}
    assert held_back(api) == 0
    with ThreadPoolExecutor(16) as pool:
        wrong = [pool.submit(try_token, api, ONE) for _ in range(16)]  # the last ones for nine seconds
        until(lambda: held_back(api) == 16, "the tries to be delayed")
        assert try_token(api, ONE, api.token) == 200
        assert try_token(api, OTHER) == 401
        assert held_back(api) == 16
        assert not all(each.done() for each in wrong)
        assert {each.result() for each in wrong} == {401}


@pytest.mark.usefixtures("no_time_passes")
def test_a_try_that_is_not_waited_for_costs_nothing_more(guarded: Served) -> None:
    api = guarded
    for _ in range(FREE + 20):
        with connected(api.server.port, ONE) as gone:
            gone.sendall(b"GET /v1/chains HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer tl_x\r\n\r\n")
            until(lambda: held_back(api) > 0 or bool(gone.recv(1)), "its turn")
    seats = api.server.seats
    until(lambda: len(seats) == 0, "their connections to be gone")
    until(lambda: len(asyncio.all_tasks(api.loop)) < 10, "nobody to wait for them any more")


@pytest.mark.usefixtures("no_time_passes")
def test_wrong_tokens_for_a_websocket_wait_too(guarded: Served) -> None:
    api = guarded

    async def one_try() -> None:
        headers = {"authorization": "Bearer tl_wrong"}
        with pytest.raises(InvalidStatus):
            async with connect(
                f"ws://127.0.0.1:{api.server.port}/v1/live", local_addr=(ONE, 0), additional_headers=headers
            ):
                pass

    async def tries() -> None:
        for _ in range(FREE + 3):
            await one_try()

    asyncio.run(tries())
    assert held_back(api) > 0


@pytest.mark.usefixtures("no_time_passes")
def test_behind_a_proxy_it_is_who_asks_that_waits(tmp_path: Path, guarded: Served) -> None:
    """All of them have the proxy's address: one that guesses must not slow the others."""
    with Served(guarded.url, delay_max_s=9.0, trusted_proxies=("127.0.0.0/8",)) as api:
        port = api.server.port

        def wrong(client: str) -> int:
            return ask(port, "/v1/chains", ONE, authorization="Bearer tl_x", x_forwarded_for=client)[0]

        assert {wrong("192.0.2.1") for _ in range(FREE)} == {401}
        assert held_back(api) == 0
        assert wrong("192.0.2.1") == 401
        assert held_back(api) == 1
        assert wrong("192.0.2.2") == 401
        assert held_back(api) == 1


@pytest.mark.usefixtures("no_time_passes")
def test_questions_for_what_is_not_there_are_no_fault(small: Filled) -> None:
    with Served(small.url, delay_max_s=9.0) as api:
        for number in range(3 * int(POINTS_FREE)):
            assert ask(api.server.port, f"{CHAIN}/blocks/{10_000 + number}", ONE)[0] == 404
        assert held_back(api) == 0
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda number: ask(api.server.port, f"/wp-admin/{number}", ONE), range(int(POINTS_FREE) + 8)))
        assert held_back(api) > 0
