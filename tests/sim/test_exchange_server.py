"""The exchange over real sockets: followed by the engine's own transport, and broken in every way a wire can be."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from tests.market.exchange import until
from tests.patience import HANGS_S
from tests.sim.exchange_client import CODECS, SYMBOLS, Follower, follower
from tidelog.errors import Rejected, SourceError, Throttled, Unreachable
from tidelog.market.events import BookDelta, Pong, Rejection, Status, Stream
from tidelog.market.kraken.auth import TOKEN_PATH, ApiKey, token_body
from tidelog.net.http import AioHttp
from tidelog.net.websocket import PicoWebSocket, WebSocket
from tidelog.runtime import SystemRuntime
from tidelog.sim.exchange import FAULTS, Limits, SimExchange
from tidelog.sim.exchange.core import START_US
from tidelog.sim.exchange.protocol.tokens import API_KEY, API_SECRET
from tidelog.sim.exchange.wire.firehose import firehose
from tidelog.sim.exchange.wire.server import ExchangeServer

BOOK = Stream("book", depth=10)


@pytest.fixture
async def exchange() -> SimExchange:
    return SimExchange(seed=4, rate=1_000)


@pytest.fixture
async def server(exchange: SimExchange) -> AsyncIterator[ExchangeServer]:
    async with ExchangeServer(exchange) as server:
        yield server


async def receive(socket: WebSocket) -> bytes:
    return await asyncio.wait_for(socket.receive(), HANGS_S)


async def opened(server: ExchangeServer, protocol: str = "v2", depth: int = 10) -> tuple[WebSocket, Follower]:
    """A connection that has said its status, and books that follow it."""
    socket = await PicoWebSocket().connect(server.url(protocol), timeout_s=HANGS_S)
    first = await receive(socket)
    status = CODECS[protocol].decode(first)
    assert isinstance(status, Status)
    assert status.connection_id is not None
    client = follower(server.exchange, protocol, status.connection_id, depth)
    client.take(first)
    return socket, client


async def subscribed(server: ExchangeServer, protocol: str = "v2", depth: int = 10) -> tuple[WebSocket, Follower]:
    socket, client = await opened(server, protocol, depth)
    socket.send(CODECS[protocol].subscribe(Stream("book", depth=depth), SYMBOLS, 1).frame)
    for _ in range(4):  # an ack and a snapshot each
        client.take(await receive(socket))
    return socket, client


async def ending(socket: WebSocket) -> SourceError:
    """How a connection ends, whatever comes before."""
    while True:
        try:
            await receive(socket)
        except SourceError as error:
            return error


@pytest.mark.parametrize("protocol", ["v1", "v2"])
@pytest.mark.parametrize("depth", [10, 25, 100, 500, 1000])
async def test_books_are_followed_through_a_socket(server: ExchangeServer, protocol: str, depth: int) -> None:
    socket, client = await subscribed(server, protocol, depth)
    for _ in range(20):
        server.exchange.advance(100_000)
    socket.send(CODECS[protocol].ping(7).frame)
    while True:
        message = await receive(socket)
        client.take(message)
        if b"pong" in message:
            break
    assert client.mismatched == 0
    assert client.proven > 1_500
    await socket.close()


async def test_a_runtime_drives_the_exchange() -> None:
    exchange = SimExchange(rate=100, start_us=int(time.time() * 1_000_000))
    async with ExchangeServer(exchange, runtime=SystemRuntime()) as server:
        socket, client = await subscribed(server)
        while client.proven < 10:
            client.take(await receive(socket))
        await socket.close()


async def test_a_mistake_in_the_core_is_not_swallowed(exchange: SimExchange, monkeypatch: pytest.MonkeyPatch) -> None:
    ticked = asyncio.Event()

    def tick(now_us: int) -> None:
        ticked.set()
        raise AssertionError("a mistake")

    monkeypatch.setattr(exchange, "tick", tick)
    server = ExchangeServer(exchange, runtime=SystemRuntime())
    await server.start()
    await asyncio.wait_for(ticked.wait(), HANGS_S)
    with pytest.raises(AssertionError, match="a mistake"):
        await server.stop()


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        ("close_1006", Unreachable, "without a close"),
        ("close_1011", Unreachable, "code 1011"),
        ("close_1012", Unreachable, "code 1012"),
        ("close_1013", Unreachable, "code 1013"),
        ("compressed", Rejected, "compressed"),
        ("huge", Rejected, ""),
    ],
)
async def test_a_connection_that_ends(server: ExchangeServer, fault: str, kind: type[SourceError], words: str) -> None:
    socket, _ = await subscribed(server)
    server.exchange.tell(fault, times=1)
    server.exchange.advance(10_000)
    error = await ending(socket)
    assert isinstance(error, kind | Unreachable)
    assert words in str(error)
    again, _ = await subscribed(server)
    await again.close()


@pytest.mark.parametrize("fault", ["compressed", "huge"])
async def test_nothing_is_received_after_what_was_refused(server: ExchangeServer, fault: str) -> None:
    socket, _ = await subscribed(server)
    server.exchange.tell(fault, times=1)
    server.exchange.advance(20_000)  # 20 frames in one write, of which the first is refused
    with pytest.raises((Rejected, Unreachable)):
        await receive(socket)
    await socket.close()


@pytest.mark.parametrize("fault", ["fragments", "trickle"])
async def test_a_message_that_comes_in_pieces_is_whole(server: ExchangeServer, fault: str) -> None:
    socket, client = await subscribed(server)
    server.exchange.tell(fault, times=2)
    server.exchange.advance(10_000)
    for _ in range(5):
        client.take(await receive(socket))
    assert server.exchange.told[fault] == 2
    assert client.proven == 7
    await socket.close()


async def test_a_half_open_connection_says_nothing_and_hears_nothing(server: ExchangeServer) -> None:
    socket, _ = await subscribed(server)
    server.exchange.tell("half_open", times=1)
    server.exchange.advance(5_000_000)
    socket.send(CODECS["v2"].ping(1).frame)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(socket.receive(), 0.1)
    other, _ = await subscribed(server)
    await other.close()
    await socket.close()


async def test_other_subscriptions_go_on_while_one_is_silent(server: ExchangeServer) -> None:
    socket, client = await subscribed(server)
    server.exchange.tell("stall", times=1, channel="book", symbol="BTC/USD")
    server.exchange.advance(500_000)
    socket.send(CODECS["v2"].ping(7).frame)
    symbols = []
    while b"pong" not in (message := await receive(socket)):
        event = client.take(message)
        assert isinstance(event, BookDelta)
        symbols.append(event.symbol)
    assert symbols.count("BTC/USD") == 0
    assert symbols.count("ETH/USD") > 100
    await socket.close()


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        ("refused_429", Throttled, "429"),
        ("refused_503", Unreachable, "503"),
        ("refused_reset", Unreachable, "no WebSocket"),
        ("handshake_stalled", Unreachable, "within"),
    ],
)
async def test_a_connection_that_is_not_had(
    server: ExchangeServer, fault: str, kind: type[SourceError], words: str
) -> None:
    server.exchange.tell(fault, times=1)
    with pytest.raises(kind, match=words):
        await PicoWebSocket().connect(server.url(), timeout_s=0.3 if fault == "handshake_stalled" else HANGS_S)
    socket, _ = await opened(server)
    await socket.close()


async def test_stopping_refuses_and_starting_again_takes_the_same_port(server: ExchangeServer) -> None:
    socket, _ = await subscribed(server)
    port = server.port
    await server.stop()
    assert isinstance(await ending(socket), Unreachable)
    with pytest.raises(Unreachable):
        await PicoWebSocket().connect(server.url(), timeout_s=HANGS_S)
    await server.start()
    assert server.port == port
    again, _ = await subscribed(server)
    await again.close()


async def test_stopping_waits_for_no_client_that_does_not_read(server: ExchangeServer) -> None:
    """What it had still to send to a peer that was gone without a word kept it from ending."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    raw.setblocking(False)
    with raw:
        await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", server.port))
        raw.send(b"GET /v2 HTTP/1.1\r\nupgrade: websocket\r\nsec-websocket-key: eA==\r\n\r\n")
        await until(lambda: len(server.exchange.sessions) == 1)
        (session,) = server.exchange.sessions
        session.receive(CODECS["v2"].subscribe(Stream("book", depth=1000), SYMBOLS, 1).frame)
        waiting = 0
        while waiting < 100:  # turns in which it could send nothing more
            server.exchange.advance(1_000_000 if not session.outbox else 0)
            await asyncio.sleep(0)
            waiting = waiting + 1 if session.outbox else 0
        await asyncio.wait_for(server.stop(), HANGS_S)


@pytest.mark.parametrize(("protocol", "channel"), [("v1", "ownTrades"), ("v2", "executions")])
async def test_private_channels_with_a_token_from_rest(server: ExchangeServer, protocol: str, channel: str) -> None:
    http = AioHttp()
    body = token_body("1")
    headers = ApiKey(API_KEY, API_SECRET).headers(TOKEN_PATH, body, "1")
    url = server.rest_url + TOKEN_PATH
    async with http.post(url, body.encode(), headers=headers, timeout_s=HANGS_S) as response:
        answer = json.loads(b"".join([chunk async for chunk in response.chunks()]))
    await http.close()
    socket = await PicoWebSocket().connect(server.url(protocol, private=True), timeout_s=HANGS_S)
    socket.send(CODECS[protocol].subscribe(Stream(channel), (), 1, answer["result"]["token"]).frame)
    frames = [await receive(socket) for _ in range(3)]
    assert b'"sequence":1' in frames[2]
    await socket.close()


async def test_other_clients_are_served_and_told(server: ExchangeServer) -> None:
    async with aiohttp.ClientSession() as session:
        assert (await session.get(server.rest_url)).status == 405
        assert (await session.post(f"{server.rest_url}/sim", data=b'["announce","maintenance"]')).status == 200
        async with session.ws_connect(server.url("v1")) as socket:
            status: Any = await socket.receive_json(timeout=HANGS_S)
            assert status["status"] == "maintenance"
            await socket.ping(b"x")
            await socket.send_bytes(b'{"event":"ping","reqid":1}')
            assert await socket.receive_json(timeout=HANGS_S) == {"event": "pong", "reqid": 1}
        assert socket.close_code == 1000


async def test_the_exchange_hangs_up_on_what_is_no_http(server: ExchangeServer) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"nonsense\r\n\r\n")
    with pytest.raises((OSError, EOFError)):
        await asyncio.wait_for(reader.readexactly(1), HANGS_S)
    writer.close()
    socket, _ = await opened(server)
    await socket.close()


@pytest.mark.parametrize("protocol", ["v1", "v2"])
async def test_a_firehose_is_as_fast_as_its_reader_and_every_checksum_holds(protocol: str) -> None:
    stream = firehose(updates=500, depth=10, protocol=protocol, rounds=3)
    exchange = SimExchange(pairs=(), recording=stream)
    async with ExchangeServer(exchange) as server:
        socket, client = await opened(server, protocol)
        client.books.open("BTC/USD", 10)
        socket.send(CODECS[protocol].subscribe(BOOK, ("BTC/USD",), 1).frame)
        await receive(socket)
        checks = [client.books.apply_frame(await receive(socket))[1] for _ in range(3 * 501)]
        names = [check.value for check in checks if check is not None]
        assert names.count("matched") == (1500 if protocol == "v1" else 1503)
        await socket.close()
    assert exchange.now_us == START_US, "no time has passed"


async def test_a_firehose_keeps_to_its_rate() -> None:
    exchange = SimExchange(pairs=(), recording=firehose(updates=499, per_second=5_000))
    async with ExchangeServer(exchange) as server:
        socket, _ = await opened(server)
        begun = time.monotonic()
        socket.send(CODECS["v2"].subscribe(BOOK, ("BTC/USD",), 1).frame)
        for _ in range(1 + 500):
            await receive(socket)
        assert time.monotonic() - begun > 0.09, "the last is due after 0.1 s, less a slice"
        await socket.close()


@pytest.mark.parametrize("protocol", ["v1", "v2"])
async def test_in_a_mixture_of_faults_a_proven_book_is_the_exchange_s(protocol: str) -> None:
    """`Follower` holds every proven book against the truth. Connections are lost and had again, many times."""
    exchange = SimExchange(seed=6, rate=1_000, limits=Limits(attempts=10_000))
    rare = {"huge", "nesting", "trickle", "half_open", "handshake_stalled", "heartbeats_lost"}
    for name in FAULTS.keys() - rare:
        exchange.tell(name, probability=0.003)
    proven = lost = 0
    async with ExchangeServer(exchange) as server:
        for _ in range(60):
            try:
                socket, client = await opened(server, protocol)
            except SourceError:
                continue
            socket.send(CODECS[protocol].subscribe(BOOK, SYMBOLS, 1).frame)
            try:
                for us in (0, 100_000):
                    exchange.advance(us)
                    socket.send(CODECS[protocol].ping(7).frame)
                    while not await take(socket, client):
                        pass
            except SourceError:
                lost += 1
            proven += client.proven
            await socket.close()
    assert proven > 500
    assert lost > 5
    assert exchange.sessions == []


async def take(socket: WebSocket, client: Follower) -> bool:
    """Whether the next message answers a ping, or is the refusal to."""
    message = await receive(socket)
    try:
        event = client.take(message)
    except Rejected:  # broken, as a frame; the connection goes on
        client.index += 1
        return False
    return isinstance(event, Pong | Rejection)
