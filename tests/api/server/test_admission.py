"""What stands before the routes: hosts, how many at once, how long, and what is on every answer."""

import asyncio
import gzip
import http.client
import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest
import zstandard
from litestar.routes import HTTPRoute

from tests.api.served import CHAIN, Filled, Reply, Served
from tests.command import until
from tests.patience import HANGS_S
from tidelog.api.access import seats
from tidelog.api.app import create_app
from tidelog.api.http.asgi import Message
from tidelog.api.http.backend import Backend
from tidelog.api.http.options import ApiOptions
from tidelog.api.server import compression
from tidelog.api.server.admission import allowed_hosts
from tidelog.api.server.compression import chosen
from tidelog.errors import Busy, Corruption, TimedOut
from tidelog.runtime import SystemRuntime
from tidelog.telemetry import ApiMetrics


@pytest.fixture
def own(small: Filled) -> Iterator[Served]:
    with Served(small.url) as served:
        yield served


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({}, {"localhost", "127.0.0.1", "::1"}),
        ({"host": "127.0.0.5"}, {"localhost", "127.0.0.1", "::1", "127.0.0.5"}),
        ({"host": "::1", "hosts": ("Tide.local",)}, {"localhost", "127.0.0.1", "::1", "tide.local"}),
        ({"host": "0.0.0.0"}, None),  # its names are not known here, and a token is asked for
        ({"host": "10.0.0.1", "hosts": ("api.example",)}, {"10.0.0.1", "api.example"}),
    ],
)
def test_the_names_of_a_server(options: dict[str, Any], names: set[str] | None) -> None:
    assert allowed_hosts(ApiOptions(**options)) == names


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:8420", 200),
        ("127.0.0.1:1", 200),
        ("[::1]:8420", 200),
        ("evil.example", 403),
        ("evil.example:8420", 403),
        ("localhost.evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("", 403),
    ],
)
def test_rejects_a_foreign_host_header(own: Served, host: str, status: int) -> None:
    """DNS rebinding: the page's own name points here, and the browser tells it."""
    reply = own.ask("GET", "/v1/chains", headers={"host": host})
    assert reply.status == status
    if status == 403:
        assert "--allow-host" in reply.error


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (None, 101),  # no page: a program
        ("http://127.0.0.1:8420", 101),  # the page of this server
        ("https://app.example", 101),
        ("http://app.example", 403),
        ("https://evil.example", 403),
        ("http://127.0.0.1:8421", 403),
        ("http://127.0.0.1", 403),
        ("null", 403),  # a page in a sandbox, or a file
        ("", 403),
    ],
)
def test_rejects_a_websocket_of_a_foreign_origin(small: Filled, origin: str | None, status: int) -> None:
    """A browser opens a WebSocket for any page, whatever CORS says."""
    upgrade = {"connection": "upgrade", "upgrade": "websocket", "host": "127.0.0.1:8420"}
    key = {"sec-websocket-version": "13", "sec-websocket-key": "MDEyMzQ1Njc4OWFiY2RlZg=="}
    said = {} if origin is None else {"origin": origin}
    with Served(small.url, cors=("https://app.example",)) as api:
        assert api.ask("GET", "/v1/live", headers=upgrade | key | said).status == status


def test_pages_of_other_origins_read_nothing_unless_they_are_named(small: Filled, own: Served) -> None:
    asked = {"origin": "https://app.example", "access-control-request-method": "GET"}
    assert "access-control-allow-origin" not in own.ask("GET", "/v1/chains", headers=asked).headers
    with Served(small.url, cors=("https://app.example",)) as api:
        assert api.ask("GET", "/v1/chains", headers=asked).headers["access-control-allow-origin"] == asked["origin"]
        assert api.ask("OPTIONS", "/v1/chains", headers=asked).status == 204
        other = asked | {"origin": "https://evil.example"}
        assert "access-control-allow-origin" not in api.ask("GET", "/v1/chains", headers=other).headers


def test_every_answer_tells_browsers_what_it_is_not(own: Served) -> None:
    for path in ("/v1/chains", "/v1/nothing", f"{CHAIN}/blocks/x"):
        headers = own.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "server" not in headers


class _Held:
    """In the place of a store: snapshots that are given when a test says so, or that fail."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.free = asyncio.Event()
        self.waiting = 0
        self.failure: Exception | None = None

    @asynccontextmanager
    async def snapshot(self) -> Any:
        self.waiting += 1
        if self.failure is not None:
            raise self.failure
        await self.free.wait()
        async with self._inner.snapshot() as snapshot:
            yield snapshot


@contextmanager
def holding(url: str, request_timeout_s: float) -> Iterator[tuple[Served, _Held]]:
    with Served(url, requests_max=2, request_timeout_s=request_timeout_s, tokens_s=1e9) as api:
        until(lambda: api.get("/v1/chains").status == 200, "the tokens to be read")  # the first request may be slow
        inner, store = api.store, _Held(api.store)
        for name in ("snapshot",):
            setattr(inner, name, store.snapshot)
        store._inner = type("Inner", (), {"snapshot": lambda self: type(inner).snapshot(inner)})()
        try:
            yield api, store
        finally:
            del inner.snapshot


@pytest.fixture
def waiting(small: Filled) -> Iterator[tuple[Served, _Held]]:
    """Requests have all the time that they need."""
    with holding(small.url, 60.0) as made:
        yield made


def test_beyond_the_most_requests_the_next_comes_back_later(waiting: tuple[Served, _Held]) -> None:
    api, store = waiting
    with ThreadPoolExecutor(2) as pool:
        slow = [pool.submit(api.get, "/v1/chains") for _ in range(2)]
        until(lambda: store.waiting == 2, "both to be inside")
        reply = api.get("/v1/chains")
        assert (reply.status, reply.headers["retry-after"]) == (503, "1")
        assert reply.error
        api.run(_set(store.free))
        assert [each.result().status for each in slow] == [200, 200]
    assert api.get("/v1/chains").status == 200


async def _set(event: asyncio.Event) -> None:
    event.set()


def test_a_request_that_takes_too_long_is_504(small: Filled) -> None:
    with holding(small.url, 0.5) as (api, _):
        reply = api.get("/v1/chains")
    assert reply.status == 504
    assert "too long" in reply.error


@pytest.mark.parametrize(
    ("failure", "status", "said"),
    [
        (TimedOut("SELECT canary"), 504, "less at once"),
        (Busy("postgresql://canary"), 503, "try again"),
        (Corruption("/canary/path"), 500, "a fault"),
        (RuntimeError("canary"), 500, "a fault"),
    ],
)
def test_a_store_that_fails_is_told_without_its_words(
    waiting: tuple[Served, _Held], failure: Exception, status: int, said: str
) -> None:
    api, store = waiting
    store.failure = failure
    reply = api.get("/v1/chains")
    assert reply.status == status
    assert said in reply.error
    assert "canary" not in reply.body.decode()


PLACES = {
    "{chain}": "1337",
    "{block}": "latest",
    "{tx_hash}": "0x" + "1" * 64,
    "{address}": "0x" + "1" * 40,
    "{symbol}": "BTC-USD",
    "{asset}": "start.js",
}
CHANGING = {"date", "transfer-encoding"}  # the time, and what tells where a stream's parts end


NEEDED = {f"{CHAIN}/events": "?signature=Event0()"}  # a parameter that a route cannot do without


def addresses() -> list[str]:
    """One for every route that answers GET."""
    backend: Any = Backend(None, SystemRuntime(), ApiOptions(), (), ApiMetrics())  # type: ignore[arg-type]
    found = [route for route in create_app(backend).routes if isinstance(route, HTTPRoute) and "GET" in route.methods]
    paths = ["/".join(PLACES.get(part, part) for part in route.path_format.split("/")) for route in found]
    return [path + NEEDED.get(path, "") for path in paths]


class TestHead:
    def head_of(self, api: Served, method: str, path: str) -> tuple[int, dict[str, str]]:
        """What comes before the body, which is not waited for: a stream has no end."""
        connection = http.client.HTTPConnection(api.server.host, api.server.port, timeout=HANGS_S)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            told = {name.lower(): value for name, value in answer.getheaders()}
        finally:
            connection.close()
        if path in ("/metrics", "/v1/markets/BTC-USD/book"):  # which has an age: its length may be another each time
            told["content-length"] = "some" if told["content-length"].isdecimal() else "none"
        return answer.status, {name: value for name, value in told.items() if name not in CHANGING}

    def test_every_route_answers_head_as_get(self, own: Served) -> None:
        seen = set()
        for path in addresses():
            status, told = self.head_of(own, "HEAD", path)
            assert (status, told) == self.head_of(own, "GET", path), path
            seen.add(status)
            assert ("content-length" in told) == ("event-stream" not in told["content-type"]), path
        assert seen == {200, 404}
        assert {"/livez", "/readyz", "/metrics", "/docs", f"{CHAIN}/live/changes"} <= set(addresses())

    @pytest.mark.parametrize("path", ["/v1/chains", f"{CHAIN}/live/changes?after=0", "/v1/nothing"])
    def test_head_has_no_body(self, own: Served, path: str) -> None:
        """A stream's neither: it ends at once."""
        with socket.create_connection((own.server.host, own.server.port), timeout=HANGS_S) as connection:
            connection.sendall(f"HEAD {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
            connection.sendall(b"HEAD /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
            received = b""
            while data := connection.recv(65_536):
                received += data
        heads = received.split(b"\r\n\r\n")
        assert [each[:5] for each in heads] == [b"HTTP/", b"HTTP/", b""]
        until(lambda: own.server.app.state.live.connections == 0, "the stream to be over")

    def test_head_has_the_entity_tag_and_coding_of_get(self, own: Served) -> None:
        path = f"{CHAIN}/blocks?to=20"
        for accepted in ("identity", "gzip", "zstd"):
            headers = {"accept-encoding": accepted}
            whole, head = (own.ask(method, path, headers=headers) for method in ("GET", "HEAD"))
            assert head.body == b""
            assert head.headers["content-length"] == str(len(whole.body))
            assert head.headers.get("content-encoding") == whole.headers.get("content-encoding")
            unchanged = own.ask("HEAD", path, headers={"if-none-match": head.headers["etag"]})
            assert (unchanged.status, unchanged.headers["etag"]) == (304, whole.headers["etag"])

    def test_head_is_refused_where_get_is(self, small: Filled, own: Served) -> None:
        for path, status in (("/v1/chains?x=1", 400), (f"{CHAIN}/blocks/99999", 404), (f"{CHAIN}/logs", 405)):
            head, whole = own.ask("HEAD", path), own.get(path)
            assert (head.status, head.body) == (status, b"")
            assert head.headers["content-length"] == str(len(whole.body))
        assert own.ask("HEAD", "/v1/chains", headers={"host": "evil.example"}).status == 403
        for method in ("POST", "OPTIONS"):
            assert set(own.ask(method, "/v1/chains").headers["allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}
        assert "HEAD" not in own.get(f"{CHAIN}/logs").headers["allow"]
        asked = {"origin": "https://app.example", "access-control-request-method": "HEAD"}
        with Served(small.url, cors=("https://app.example",)) as api:
            assert api.ask("OPTIONS", "/v1/chains", headers=asked).status == 204

    def test_head_is_counted_as_head(self, own: Served) -> None:
        own.ask("HEAD", "/v1/chains")
        wanted = {"route": "/v1/chains", "method": "HEAD", "status": "200"}
        asked = own.metrics.requests
        until(lambda: wanted in [s.labels for m in asked.collect() for s in m.samples], "it to be counted")


class TestCompression:
    @pytest.mark.parametrize(
        ("accepted", "coding"),
        [
            ("", None),
            ("gzip", "gzip"),
            ("gzip, deflate, br, zstd", "zstd"),
            ("zstd;q=0, gzip;q=0.5", "gzip"),
            ("zstd;q=0.2, gzip;q=0.5", "gzip"),
            ("*", "zstd"),
            ("*;q=0", None),
            ("gzip;q=0, *", "zstd"),
            ("br", None),
            ("gzip;q=x", None),
            ("GZIP", "gzip"),
        ],
    )
    def test_the_coding(self, accepted: str, coding: str | None) -> None:
        assert chosen(accepted) == coding

    @pytest.mark.parametrize("coding", ["gzip", "zstd"])
    @pytest.mark.parametrize(("size", "is_apart"), [(100_000, False), (10_000_000, True)])
    async def test_a_large_answer_does_not_hold_the_event_loop(
        self, monkeypatch: pytest.MonkeyPatch, coding: str, size: int, is_apart: bool
    ) -> None:
        threads: list[int] = []
        compress = compression._compress

        def noted(coding: str, body: bytes) -> bytes:
            threads.append(threading.get_ident())
            return compress(coding, body)

        monkeypatch.setattr(compression, "_compress", noted)
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        scope = {"headers": [(b"accept-encoding", coding.encode())]}
        answer = compression.Compressed(scope, send, SystemRuntime())
        await answer({"type": "http.response.start", "headers": [(b"content-type", b"application/json")]})
        await answer({"type": "http.response.body", "body": b" " * size})
        assert (threads != [threading.get_ident()]) == is_apart
        start, body = sent
        assert (b"content-length", str(len(body["body"])).encode()) in start["headers"]

    def test_an_answer_is_the_same_in_each(self, own: Served) -> None:
        def read(accepted: str) -> Reply:
            return own.ask("GET", f"{CHAIN}/blocks?to=20", headers={"accept-encoding": accepted})

        plain = read("identity")
        assert plain.headers["vary"] == "accept-encoding"
        for coding, decompress in (
            ("gzip", gzip.decompress),
            ("zstd", zstandard.ZstdDecompressor().decompress),
        ):
            reply = read(coding)
            assert reply.headers["content-encoding"] == coding
            assert len(reply.body) < len(plain.body) / 2
            assert json.loads(decompress(reply.body)) == plain.json
            assert reply.headers["etag"] == plain.headers["etag"]
        assert (
            "content-encoding" not in own.ask("GET", "/v1/chains/1/blocks", headers={"accept-encoding": "gzip"}).headers
        )


class TestTheWire:
    """Before there is a request: what is sent byte by byte."""

    def exchange(self, api: Served, *parts: bytes) -> tuple[int, Any]:
        with socket.create_connection((api.server.host, api.server.port), timeout=HANGS_S) as connection:
            for part in parts:
                try:
                    connection.sendall(part)
                except OSError:
                    break  # it has refused already
            received = b""
            try:
                while data := connection.recv(65_536):
                    received += data
            except ConnectionResetError:
                pass
        head, _, body = received.partition(b"\r\n\r\n")
        return int(head.split(b" ")[1]), json.loads(body)["error"]["code"]

    @pytest.mark.parametrize(
        ("parts", "answer"),
        [
            ((b"nonsense\r\n\r\n",), (400, "bad_request")),
            ((b"GET / HTTP/1.1\r\nhost: localhost\r\n x\r\n\r\n",), (400, "bad_request")),
            ((b"GET /" + b"a" * 40_000,), (431, "headers_too_large")),
            ((b"GET / HTTP/1.1\r\n", b"x: " + b"y" * 40_000), (431, "headers_too_large")),
            ((b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 8_000 + b"\r\n",), (431, "headers_too_large")),
            ((b"GET / HTTP/1.1\r\nhost: localhost\r\n",), (408, "request_timeout")),
            ((), (408, "request_timeout")),
            (
                (
                    b"POST /v1/chains/1/logs HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n",
                    b"content-length: 9\r\n\r\n{",
                ),
                (408, "request_timeout"),
            ),
        ],
    )
    def test_rejects_what_is_no_http_request(
        self, small: Filled, parts: tuple[bytes, ...], answer: tuple[int, str]
    ) -> None:
        timed_out = answer[0] == 408  # all others are answered before any time is over
        with Served(small.url, request_timeout_s=2.0 if timed_out else 60.0) as api:
            # the first request reads the tokens: on a loaded machine that alone can outlast a short limit
            until(lambda: api.get("/v1/chains").status == 200, "the tokens to be read")
            assert self.exchange(api, *parts) == answer
            until(lambda: api.get("/v1/chains").status == 200, "the next request to be answered")

    def test_a_client_that_leaves_in_the_middle_is_no_fault(self, own: Served) -> None:
        body = b"POST /rpc/1337 HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\n["
        with socket.create_connection((own.server.host, own.server.port)) as connection:
            connection.sendall(body)
        asked = own.metrics.requests
        status = until(
            lambda: {each.labels["status"] for metric in asked.collect() for each in metric.samples}, "the end of it"
        )
        assert status == {"400"}  # a 5xx is counted as a fault of the server, and wakes somebody up

    def test_beyond_the_most_connections_the_next_comes_back_later(
        self, small: Filled, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(seats, "IDLE_S", HANGS_S)  # on a machine that stands still they would make room
        with Served(small.url, connections_max=2) as api:
            open_ones = [socket.create_connection((api.server.host, api.server.port)) for _ in range(2)]
            assert self.exchange(api, b"GET /v1/chains HTTP/1.1\r\nhost: localhost\r\n\r\n") == (503, "unavailable")
            for each in open_ones:
                each.close()
            until(lambda: _status(api) == 200, "the connections to be gone")


def _status(api: Served) -> int:
    try:
        return api.get("/v1/chains").status
    except OSError:
        return 0
