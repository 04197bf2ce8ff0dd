"""The WebSocket transport against servers that speak frames byte by byte: messages, limits, ends, handshakes."""

import asyncio
import base64
import hashlib
import logging
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from tests.chain.native import needs_core, use
from tests.patience import HANGS_S
from tidelog.errors import Rejected, SourceError, Throttled, Unreachable
from tidelog.net import websocket
from tidelog.net.reader import Reader
from tidelog.net.websocket import LIMITS, PicoWebSocket, WebSocket, WebSocketLimits

TEXT, BINARY, CLOSE, PING, PONG, CONTINUATION = 1, 2, 8, 9, 10, 0
KEY = "CANARY-0123456789abcdef"
GREETS = False  # a server, and waits until that has been received
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture(params=["picows", "python", pytest.param("native", marks=needs_core)], autouse=True)
def greets(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Who reads: picows what comes with the handshake, and our own reader what comes later, by each path."""
    if request.param != "picows":
        use(request.param, monkeypatch)
    monkeypatch.setattr(sys.modules[__name__], "GREETS", request.param != "picows")
    return bool(request.param != "picows")


def frame(kind: int, payload: bytes = b"", *, fin: bool = True, rsv1: bool = False, bits: int = 0) -> bytes:
    """A server's frame (RFC 6455, 5.2); `bits` are reserved ones, as they lie in the first byte."""
    first = (0x80 if fin else 0) | (0x40 if rsv1 else 0) | bits | kind
    size = len(payload)
    if size < 126:
        return bytes((first, size)) + payload
    if size < 65_536:
        return bytes((first, 126)) + size.to_bytes(2, "big") + payload
    return bytes((first, 127)) + size.to_bytes(8, "big") + payload


async def read_frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """A client's frame, unmasked."""
    first, second = await reader.readexactly(2)
    size = second & 0x7F
    if size == 126:
        size = int.from_bytes(await reader.readexactly(2), "big")
    mask = await reader.readexactly(4)
    payload = await reader.readexactly(size)
    return first & 0xF, bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))


async def handshake(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    request = (await reader.readuntil(b"\r\n\r\n")).decode()
    key = next(line.split(": ")[1] for line in request.split("\r\n") if line.lower().startswith("sec-websocket-key"))
    accept = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest())
    writer.write(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )


@asynccontextmanager
async def serving(serve: Serve) -> AsyncIterator[str]:
    """A server that gives each connection to `serve`; the URL, with a key in it."""

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client went away, as it should
        finally:
            writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"ws://127.0.0.1:{port}/v2/{KEY}"
    finally:
        server.close()
        await server.wait_closed()


@asynccontextmanager
async def connected(
    *frames: bytes, then: Serve | None = None, limits: WebSocketLimits = LIMITS
) -> AsyncIterator[WebSocket]:
    """A connection to a server that sends these bytes, and then waits until the client goes."""

    received = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await handshake(reader, writer)
        if GREETS:
            writer.write(frame(TEXT, b"hello"))
            await received.wait()
        for part in frames:
            writer.write(part)
        if then is not None:
            await then(reader, writer)
        else:
            await reader.read()

    async with serving(serve) as url:
        socket = await PicoWebSocket(limits=limits).connect(url, timeout_s=HANGS_S)
        try:
            async with asyncio.timeout(HANGS_S):
                if GREETS:
                    assert await socket.receive() == b"hello"
                    reads = isinstance(socket._transport.underlying_transport.get_protocol(), Reader)  # type: ignore[attr-defined]
                    assert reads
                    received.set()
                yield socket
        finally:
            await socket.close()


async def until_the_end(socket: WebSocket) -> None:
    while True:
        await socket.receive()


@pytest.mark.parametrize(
    ("frames", "messages"),
    [
        ([frame(TEXT, b"one")], [b"one"]),
        ([frame(TEXT, b"one"), frame(BINARY, b"two"), frame(TEXT)], [b"one", b"two", b""]),
        ([frame(TEXT, b"on", fin=False), frame(CONTINUATION, b"e")], [b"one"]),
        ([frame(TEXT, fin=False), frame(CONTINUATION, fin=False), frame(CONTINUATION, b"one")], [b"one"]),
        ([frame(TEXT, b"o", fin=False), frame(PING, b"?"), frame(CONTINUATION, b"ne")], [b"one"]),
        ([frame(TEXT, b"x" * 125), frame(TEXT, b"x" * 126)], [b"x" * 125, b"x" * 126]),
        ([frame(TEXT, b"x" * 65_535), frame(TEXT, b"x" * 65_536)], [b"x" * 65_535, b"x" * 65_536]),
        ([frame(TEXT, b"x" * 3_000_000)], [b"x" * 3_000_000]),
    ],
)
async def test_messages_are_received_whole(frames: list[bytes], messages: list[bytes]) -> None:
    async with connected(*frames) as socket:
        assert [await socket.receive() for _ in messages] == messages


async def test_messages_that_come_byte_by_byte() -> None:
    data = frame(TEXT, b"on", fin=False) + frame(PING) + frame(CONTINUATION, b"e") + frame(BINARY, b"x" * 126)

    async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for byte in data:
            writer.write(bytes((byte,)))
            await writer.drain()
            await asyncio.sleep(0)
        await reader.read()

    async with connected(then=trickle) as socket:
        assert [await socket.receive(), await socket.receive()] == [b"one", b"x" * 126]


async def test_a_ping_is_answered_once() -> None:
    answers: list[tuple[int, bytes]] = []

    async def then(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers.append(await read_frame(reader))
        answers.append(await read_frame(reader))
        writer.write(frame(TEXT, b"done"))

    async with connected(frame(PING, b"are you there"), then=then) as socket:
        socket.send(b"after")
        assert await socket.receive() == b"done"
    assert sorted(answers) == [(TEXT, b"after"), (PONG, b"are you there")]


UNREAD = WebSocketLimits(write_bytes_max=64 * 1024)


async def test_a_peer_that_pings_and_reads_nothing_is_left() -> None:
    pings = frame(PING, b"x" * 125) * 1_000
    ended = asyncio.Event()

    async def then(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not ended.is_set():  # what it is answered is never read
            writer.write(pings)
            await writer.drain()

    async with connected(then=then, limits=UNREAD) as socket:
        with pytest.raises(Unreachable, match=r"the peer reads nothing: \d+ bytes wait for it"):
            await socket.receive()
        transport = socket._transport.underlying_transport  # type: ignore[attr-defined]
        assert transport.get_write_buffer_size() <= 64 * 1024 + 256
        socket.send(b"x" * 1_000_000)
        assert transport.get_write_buffer_size() <= 64 * 1024 + 256
        ended.set()


async def test_unread_sent_bytes_are_bounded() -> None:
    ended = asyncio.Event()

    async def then(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await ended.wait()

    async with connected(then=then, limits=UNREAD) as socket:
        for _ in range(1_000):
            socket.send(b"x" * 60_000)
        with pytest.raises(Unreachable, match="the peer reads nothing"):
            await socket.receive()
        ended.set()


async def test_sent_messages_arrive() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            kind, payload = await read_frame(reader)
            if kind == CLOSE:
                return
            writer.write(frame(kind, payload))

    async with connected(then=echo) as socket:
        for message in (b"one", b"", b"x" * 60_000):
            socket.send(message)
            assert await socket.receive() == message


# -- limits ----------------------------------------------------------------------------------------------------------


SMALL = WebSocketLimits(message_bytes_max=10_000, waiting_max=20, waiting_bytes_max=30_000)


@pytest.mark.parametrize(
    ("frames", "says"),
    [
        ([frame(TEXT, b"x" * 10_001)], "broke the protocol .*exceeding max"),
        (
            [frame(TEXT, b"x" * 4_000, fin=False), *[frame(CONTINUATION, b"x" * 4_000, fin=False)] * 3],
            "more than 10000",
        ),
        ([frame(TEXT, fin=False), *[frame(CONTINUATION, fin=False)] * 10_000], "more than 10000 bytes"),
        ([frame(TEXT, b"{}")] * 21, "more than can wait here"),
        ([frame(TEXT, b"x" * 9_000)] * 4, "more than can wait here"),
        ([frame(TEXT, b"x", rsv1=True)], "a compressed frame"),
        ([frame(TEXT, b"x", bits=0x20)], "a frame with a reserved bit set"),
        ([frame(TEXT, b"x", bits=0x10)], "a frame with a reserved bit set"),
        ([frame(CONTINUATION, b"x")], "fragments out of order"),
        ([frame(TEXT, b"x", fin=False), frame(TEXT, b"y")], "fragments out of order"),
        ([frame(PING, b"x", fin=False)], "broke the protocol"),
        ([frame(3, b"x")], "broke the protocol .*opcode"),
    ],
)
async def test_a_peer_that_breaks_a_limit_or_the_protocol_is_refused(frames: list[bytes], says: str) -> None:
    async with connected(b"".join(frames), limits=SMALL) as socket:
        await asyncio.sleep(0.05)  # all of it has arrived before the first is taken
        with pytest.raises(Rejected, match=says):
            await until_the_end(socket)


# -- ends --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("last", "says"),
    [
        (frame(CLOSE, (1000).to_bytes(2, "big")), "closed the connection with code 1000"),
        (frame(CLOSE, (1001).to_bytes(2, "big") + b"going  away"), "code 1001: going away$"),
        (frame(CLOSE, (4001).to_bytes(2, "big") + b"of its own"), "code 4001"),
        (frame(CLOSE), "code 1005"),
        (b"", "lost without a close"),
    ],
)
async def test_the_end_comes_after_what_came_before_it(last: bytes, says: str) -> None:
    async def leave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await writer.drain()

    async with connected(frame(TEXT, b"one"), frame(TEXT, b"two"), last, then=leave) as socket:
        assert [await socket.receive(), await socket.receive()] == [b"one", b"two"]
        for _ in range(2):
            with pytest.raises(Unreachable, match=says):
                await socket.receive()
        socket.send(b"silent")


async def test_a_reset_is_an_end() -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await writer.drain()
        writer.transport.abort()

    async with connected(frame(TEXT, b"one"), then=reset) as socket:
        with pytest.raises(Unreachable):
            await until_the_end(socket)


async def test_closing_says_so_to_the_peer() -> None:
    seen: list[tuple[int, bytes]] = []

    async def then(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await read_frame(reader))
        writer.write(frame(CLOSE, (1000).to_bytes(2, "big")))

    async with connected(then=then) as socket:
        await socket.close()
        await socket.close()
    assert seen == [(CLOSE, (1000).to_bytes(2, "big"))]


# -- handshakes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "kind", "says"),
    [
        (b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 3\r\nContent-Length: 0\r\n\r\n", Throttled, "429"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", Rejected, "HTTP 404"),
        (b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", Rejected, "HTTP 401"),
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 6\r\n\r\n<html>", Unreachable, "HTTP 502"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>", Unreachable, "HTTP 200"),
        (b"HTTP/1.1 302 Found\r\nLocation: ws://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n", Rejected, "HTTP 302"),
        (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
            Unreachable,
            "no We",
        ),
        (b"<html>Please log in</html>\r\n\r\n", Unreachable, "no WebSocket"),
        (b"", Unreachable, "no WebSocket"),
    ],
)
async def test_a_handshake_that_fails(answer: bytes, kind: type[SourceError], says: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)

    async with serving(serve) as url:
        with pytest.raises(kind, match=says) as failure:
            await PicoWebSocket().connect(url, timeout_s=HANGS_S)
        assert type(failure.value) is kind
        assert KEY not in f"{failure.value} {failure.value!r}"


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("3", 3.0), ("99999", 600.0), ("soon", None), (None, None), ("Sun, 06 Nov 1994 08:49:37 GMT", 0.0)],
)
async def test_a_429_says_how_long_to_wait(header: str | None, seconds: float | None) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        said = "" if header is None else f"Retry-After: {header}\r\n"
        writer.write(f"HTTP/1.1 429 Too Many Requests\r\n{said}Content-Length: 0\r\n\r\n".encode())

    async with serving(serve) as url:
        with pytest.raises(Throttled) as failure:
            await PicoWebSocket().connect(url, timeout_s=HANGS_S)
        assert failure.value.retry_after_s == seconds


async def test_a_handshake_that_never_ends() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with serving(serve) as url:
        with pytest.raises(Unreachable, match=r"no WebSocket"):
            await PicoWebSocket().connect(url, timeout_s=0.1)


async def test_connecting_where_nobody_listens_is_unreachable() -> None:
    with pytest.raises(Unreachable, match="no WebSocket"):
        await PicoWebSocket().connect(f"ws://127.0.0.1:9/{KEY}", timeout_s=HANGS_S)
    with pytest.raises(Unreachable, match="no WebSocket"):
        await PicoWebSocket().connect(f"nonsense://{KEY}", timeout_s=HANGS_S)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (socket.gaierror(-3, f"{KEY}: temporary failure"), "no WebSocket (the host name does not resolve)"),
        (ssl.SSLCertVerificationError(1, f"{KEY}: self-signed"), "no WebSocket (the TLS certificate is not trusted)"),
        (ConnectionRefusedError(111, KEY), "no WebSocket (ConnectionRefusedError)"),
    ],
)
async def test_why_there_is_no_connection_is_said_in_words(
    monkeypatch: pytest.MonkeyPatch, error: Exception, words: str
) -> None:
    async def fails(*args: object, **options: object) -> None:
        raise error

    monkeypatch.setattr(websocket, "ws_connect", fails)
    with pytest.raises(Unreachable) as failure:
        await PicoWebSocket().connect("wss://peer", timeout_s=HANGS_S)
    assert str(failure.value) == words


async def test_nothing_of_the_url_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(1):
        logging.getLogger("picows").setLevel(1)
        async with connected(frame(TEXT, b"one")) as socket:
            await socket.receive()
        with pytest.raises(Unreachable):
            await PicoWebSocket().connect(f"ws://127.0.0.1:9/{KEY}", timeout_s=HANGS_S)
    assert KEY not in caplog.text
