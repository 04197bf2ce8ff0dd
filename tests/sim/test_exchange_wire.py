"""The exchange behind the client's WebSocket port, without a socket: the same messages and the same failures."""

import asyncio
import hashlib

import pytest

from tests.patience import HANGS_S
from tests.sim.exchange_client import CODECS, SYMBOLS, follower
from tidelog.errors import Rejected, SourceError, Throttled, Unreachable
from tidelog.market.events import Stream
from tidelog.net.websocket import WebSocket, WebSocketTransport
from tidelog.sim.exchange import SimExchange
from tidelog.sim.exchange.wire.firehose import firehose
from tidelog.sim.exchange.wire.transport import ExchangeWire, WireSocket

BOOK = Stream("book", depth=10)
URLS = {"v1": "wss://ws.kraken.com", "v2": "wss://ws.kraken.com/v2"}


async def subscribed(exchange: SimExchange, protocol: str = "v2", depth: int = 10) -> WireSocket:
    transport: WebSocketTransport = ExchangeWire(exchange)
    socket: WebSocket = await transport.connect(URLS[protocol], timeout_s=HANGS_S)
    socket.send(CODECS[protocol].subscribe(Stream("book", depth=depth), SYMBOLS, 1).frame)
    assert isinstance(socket, WireSocket)
    return socket


@pytest.mark.parametrize("protocol", ["v1", "v2"])
@pytest.mark.parametrize("depth", [10, 25, 100, 500, 1000])
async def test_books_are_followed(protocol: str, depth: int) -> None:
    exchange = SimExchange(seed=4, rate=1_000)
    socket = await subscribed(exchange, protocol, depth)
    client = follower(exchange, protocol, socket.session.connection_id, depth)
    while client.proven < 2_000:
        if not socket.session.outbox:
            exchange.advance(20_000)
        client.take(await socket.receive())
    assert client.mismatched == 0


async def test_two_runs_give_the_same_bytes() -> None:
    async def run() -> str:
        exchange = SimExchange(seed=9, rate=200)
        socket = await subscribed(exchange)
        exchange.advance(2_000_000)
        return hashlib.sha256(b"".join([await socket.receive() for _ in range(300)])).hexdigest()

    assert await run() == await run()


async def test_receiving_waits_for_time_to_pass() -> None:
    exchange = SimExchange()
    socket = await ExchangeWire(exchange).connect(URLS["v2"], timeout_s=HANGS_S)
    await socket.receive()
    waiting = asyncio.create_task(socket.receive())
    await asyncio.sleep(0)
    assert not waiting.done()
    exchange.advance(1_000_000)
    assert await asyncio.wait_for(waiting, HANGS_S) == b'{"channel":"heartbeat"}'


@pytest.mark.parametrize(
    ("fault", "kind", "words", "answered"),
    [
        ("close_1006", Unreachable, "without a close", None),
        ("close_1012", Unreachable, "code 1012", 1012),
        ("compressed", Rejected, "a compressed frame", 1002),
        ("huge", Rejected, "a message of more than", 1009),
    ],
)
async def test_a_connection_that_ends(fault: str, kind: type[SourceError], words: str, answered: int | None) -> None:
    exchange = SimExchange(rate=100)
    socket = await subscribed(exchange)
    exchange.tell(fault, times=1)
    exchange.advance(1_000_000)
    for _ in range(2):
        error = await ending(socket)
        assert isinstance(error, kind)
        assert words in str(error)
    assert exchange.sessions == []
    assert socket.left_with == answered


async def test_a_message_in_pieces_is_put_together() -> None:
    async def frames(probability: float) -> list[bytes]:
        exchange = SimExchange(rate=100)
        socket = await subscribed(exchange)
        exchange.tell("fragments", probability=probability)
        exchange.advance(1_000_000)
        assert (exchange.told["fragments"] > 50) is (probability == 1)
        return [await socket.receive() for _ in range(50)]

    assert await frames(1) == await frames(0)


async def ending(socket: WebSocket) -> SourceError:
    """How a connection ends, whatever comes before."""
    while True:
        try:
            await socket.receive()
        except SourceError as error:
            return error


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        ("refused_429", Throttled, "429"),
        ("refused_503", Unreachable, "503"),
        ("refused_reset", Unreachable, "no WebSocket"),
        ("handshake_stalled", Unreachable, "within"),
    ],
)
async def test_a_connection_that_is_not_had(fault: str, kind: type[SourceError], words: str) -> None:
    exchange = SimExchange()
    exchange.tell(fault, times=1)
    wire = ExchangeWire(exchange)
    with pytest.raises(kind, match=words):
        await wire.connect(URLS["v2"], timeout_s=0.01 if fault == "handshake_stalled" else HANGS_S)
    wire.refusing = True
    with pytest.raises(Unreachable, match="Refused"):
        await wire.connect(URLS["v2"], timeout_s=HANGS_S)
    with pytest.raises(Rejected, match="404"):
        await ExchangeWire(exchange).connect("wss://ws.kraken.com/v9", timeout_s=HANGS_S)


async def test_closing_ends_both_ends() -> None:
    exchange = SimExchange()
    socket = await subscribed(exchange)
    await socket.close()
    assert isinstance(await ending(socket), Unreachable)
    assert exchange.sessions == []


async def test_a_firehose_needs_no_time() -> None:
    exchange = SimExchange(pairs=(), recording=firehose(updates=20))
    wire = ExchangeWire(exchange)
    socket = await wire.connect(URLS["v2"], timeout_s=HANGS_S)
    socket.send(CODECS["v2"].subscribe(BOOK, ("BTC/USD",), 1).frame)
    messages = [await socket.receive() for _ in range(2 + 21)]
    assert [b'"snapshot","data"' in message for message in messages] == [False, False, True] + [False] * 20
