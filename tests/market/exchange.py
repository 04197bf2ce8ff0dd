"""A small exchange that speaks v2, as a script: what a feed's tests connect to. No faults but those it is told.

`Script` is the exchange's side of one connection at a time; `Wire` carries it in this process, `serve` over a socket.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Protocol

import msgspec
from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server

from tests.patience import HANGS_S
from tidelog.errors import SourceError, Unreachable
from tidelog.market.book.levels import Book, Precision
from tidelog.market.events import BookDelta, BookSnapshot
from tidelog.market.kraken import v2
from tidelog.market.kraken.checksum import ChecksumProof, checksum_of
from tidelog.market.kraken.limits import LIMITS
from tidelog.market.live.limits import FeedLimits

PRECISION = Precision(1, 8)


def session_limits(**changes: Any) -> FeedLimits:
    """Limits of a feed whose session has these of its own; see `SessionLimits`."""
    return FeedLimits(session=msgspec.structs.replace(LIMITS, **changes))


class Answering(Protocol):
    """An exchange's side of a connection."""

    def opened(self) -> list[bytes]:
        """What it sends first; nothing is subscribed."""

    def answer(self, frame: bytes) -> list[bytes]:
        """What it sends for a request."""


class Script:
    """True books of some symbols, and what to answer."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.sent = 0
        self.subscribed: dict[str, int] = {}  # books: symbol to depth
        self.books: dict[str, Book] = {}
        self.prices: dict[str, float] = {}
        self.deaf = False  # nothing is answered, before `answer_late`
        self._unanswered: list[bytes] = []
        self.trade_id = 0

    def opened(self) -> list[bytes]:
        self.subscribed.clear()
        self._unanswered.clear()
        return [b'{"channel":"status","type":"update","data":[{"system":"online","version":"2.0.10"}]}']

    def answer(self, frame: bytes) -> list[bytes]:
        """What the exchange sends for a request."""
        request: dict[str, Any] = msgspec.json.decode(frame)
        self.requests.append(request)
        if self.deaf:
            self._unanswered.append(frame)
            return []
        if request["method"] == "ping":
            return [_encode({"method": "pong", "req_id": request["req_id"]})]
        params = request["params"]
        frames: list[bytes] = []
        for symbol in params.get("symbol") or [None]:
            result = {"channel": params["channel"], "symbol": symbol, "depth": params.get("depth")}
            frames.append(
                _encode({"method": request["method"], "req_id": request["req_id"], "success": True, "result": result})
            )
            if params["channel"] == "book" and request["method"] == "subscribe":
                self.subscribed[symbol] = params["depth"]
                frames.append(self.snapshot(symbol))
            elif params["channel"] == "book":
                self.subscribed.pop(symbol, None)
            elif params["channel"] == "executions":
                frames.append(b'{"channel":"executions","type":"snapshot","data":[],"sequence":1}')
        return frames

    @property
    def has_unanswered(self) -> bool:
        return bool(self._unanswered)

    def answer_late(self) -> list[bytes]:
        """What was not answered while it was deaf, which it is no longer."""
        unanswered, self._unanswered, self.deaf = self._unanswered, [], False
        return [answer for frame in unanswered for answer in self.answer(frame)]

    def snapshot(self, symbol: str) -> bytes:
        book = self.books[symbol] = Book(symbol, self.subscribed[symbol], ChecksumProof, PRECISION)
        top = self.prices.setdefault(symbol, 100.0)
        bids = [(f"{top - 0.1 * rank:.1f}", "1.00000000") for rank in range(1, 11)]
        asks = [(f"{top + 0.1 * rank:.1f}", "2.00000000") for rank in range(1, 11)]
        return self._message(book, "snapshot", bids, asks)

    def update(self, symbol: str, qty: int, *, wrong: bool = False) -> bytes:
        """The best bid's quantity changes."""
        bids = [(f"{self.prices[symbol] - 0.1:.1f}", f"{qty}.00000000")]
        return self._message(self.books[symbol], "update", bids, [], wrong=wrong)

    def trade(self, symbol: str) -> bytes:
        self.trade_id += 1
        return (
            b'{"channel":"trade","type":"update","data":[{"symbol":"%s","side":"buy","price":100.0,"qty":1.00000000,'
            b'"ord_type":"limit","trade_id":%d,"timestamp":"2023-09-25T07:49:37.708706Z"}]}'
        ) % (symbol.encode(), self.trade_id)

    def _message(
        self, book: Book, kind: str, bids: list[tuple[str, str]], asks: list[tuple[str, str]], *, wrong: bool = False
    ) -> bytes:
        sides = [
            tuple([v2.Level(msgspec.Raw(p.encode()), msgspec.Raw(q.encode())) for p, q in side])
            for side in (bids, asks)
        ]
        event = BookSnapshot if kind == "snapshot" else BookDelta
        book.apply(event(book.symbol, sides[0], sides[1], None))
        data = {"symbol": book.symbol, "bids": sides[0], "asks": sides[1], "checksum": checksum_of(book) ^ wrong}
        return _encode({"channel": "book", "type": kind, "data": [data]})


_encode = msgspec.json.Encoder().encode


class Wire:
    """`WebSocketTransport` to a script in this process."""

    def __init__(self, script: Answering) -> None:
        self.script = script
        self.connects = 0
        self.refusals: list[SourceError] = []  # of the next attempts
        self.socket: _Socket | None = None
        self.opened = asyncio.Event()

    async def connect(self, url: str, *, timeout_s: float) -> "_Socket":
        self.connects += 1
        if self.refusals:
            raise self.refusals.pop(0)
        self.socket = _Socket(self.script)
        self.opened.set()
        return self.socket

    def push(self, *frames: bytes) -> None:
        """Send from the exchange's side."""
        assert self.socket is not None
        self.socket.push(list(frames))

    def cut(self, reason: str = "the connection was lost without a close") -> None:
        assert self.socket is not None
        self.socket.end(reason)


class _Socket:
    def __init__(self, script: Answering) -> None:
        self._script = script
        self._frames: deque[bytes] = deque()
        self._arrived = asyncio.Event()
        self._ended: str | None = None
        self.push(script.opened())

    def push(self, frames: list[bytes]) -> None:
        self._frames.extend(frames)
        self._arrived.set()

    def end(self, reason: str) -> None:
        self._ended = reason
        self._arrived.set()

    async def receive(self) -> bytes:
        (message,) = await self.receive_all(1)
        return message

    async def receive_all(self, messages_max: int) -> list[bytes]:
        while not self._frames:
            if self._ended is not None:
                raise Unreachable(self._ended)
            self._arrived.clear()
            await self._arrived.wait()
        return [self._frames.popleft() for _ in range(min(messages_max, len(self._frames)))]

    def send(self, message: bytes) -> None:
        if self._ended is None:
            self.push(self._script.answer(message))

    async def close(self) -> None:
        self.end("closed")


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop run until something holds."""
    async with asyncio.timeout(HANGS_S):
        while not condition():  # noqa: ASYNC110 - of state that nobody announces
            await asyncio.sleep(0.001)


class Server:
    """The script over real sockets."""

    def __init__(self, script: Answering) -> None:
        self.script = script
        self.url = ""
        self.transport: WSTransport | None = None

    def push(self, *frames: bytes) -> None:
        assert self.transport is not None
        for frame in frames:
            self.transport.send(WSMsgType.TEXT, frame)


@asynccontextmanager
async def serve(script: Answering) -> AsyncIterator[Server]:
    server = Server(script)

    class Listener(WSListener):
        def on_ws_connected(self, transport: WSTransport) -> None:
            server.transport = transport
            for frame in script.opened():
                transport.send(WSMsgType.TEXT, frame)

        def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
            if frame.msg_type == WSMsgType.CLOSE:
                transport.send_close(frame.get_close_code())
                transport.disconnect()
                return
            for answer in script.answer(frame.get_payload_as_bytes()):
                transport.send(WSMsgType.TEXT, answer)

    def listener(request: WSUpgradeRequest) -> Listener:
        return Listener()

    listening = await ws_create_server(listener, "127.0.0.1", 0)
    server.url = f"ws://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        listening.close()
        if server.transport is not None:
            server.transport.disconnect()
        await listening.wait_closed()
