"""The wire between a simulated program and the simulated exchange, which sees what the program makes of each message.

Messages are handed over in gathers of every size, mostly one by one. Before, the book that the feed shows after the one
before is compared with the exchange's own at that very frame.
"""

import asyncio
import hashlib
from collections import Counter
from collections.abc import Callable, Sequence

from tidelog.errors import Rejected
from tidelog.market.events import BookDelta, BookSnapshot
from tidelog.market.session.limits import SessionLimits
from tidelog.market.venues import venue_of
from tidelog.market.views import BookView
from tidelog.net.websocket import WebSocket, WebSocketLimits
from tidelog.sim.exchange import SimExchange
from tidelog.sim.exchange.markets.book import TrueTop
from tidelog.sim.exchange.protocol.dialect import SECOND_US
from tidelog.sim.exchange.session import Session
from tidelog.sim.exchange.wire.transport import ExchangeWire, WireSocket
from tidelog.sim.oracle.chain import require
from tidelog.sim.world.runtime import SimRuntime
from tidelog.sim.world.world import Process, World

LATENCY_S = 0.05  # of a handshake
TOP = 10  # levels of each side that are proven
GATHERS = (1, 1, 1, 2, 3, 10, 100)  # messages at once, at most


class CheckedTransport:
    """What lies between the exchange and whichever program runs."""

    def __init__(
        self,
        world: World,
        exchange: SimExchange,
        protocol: str,
        limits: WebSocketLimits,
        session: SessionLimits,
        depth: int = 0,
    ) -> None:
        self.world = world
        self.exchange = exchange
        self.limits = limits
        self.session = session
        self.depth = depth  # of the books that are followed
        self.decode = venue_of(protocol).decoder().decode
        self.refusing = False
        self.attempts_us: list[int] = []  # moments of all attempts to connect, by the exchange's clock
        self.proven: Counter[str] = Counter()  # by symbol: frames after which the book was shown as proven, and true
        self.sockets: dict[int, list[WireSocket]] = {}  # of each process
        self.largest = 0  # bytes of a message that came
        self._kills = 0

    def gone(self, process: Process, killed: bool) -> None:
        """The process is gone: its connections are reset."""
        self._kills += killed
        for socket in self.sockets.pop(process.domain, ()):
            socket.session.lost()

    def judge_attempts(self) -> None:
        """The exchange's budget of connections is kept, restarts and all.

        A kill may forget attempts that no commit has reached yet: on a slow disk all that were made at once.
        """
        allowed = self.session.attempts_max + (self.session.at_once + 1) * self._kills
        window_us = self.session.attempts_window_us
        for nth, at_us in enumerate(self.attempts_us):
            within = sum(1 for other in self.attempts_us[: nth + 1] if other > at_us - window_us)
            require(within <= allowed, f"{within} attempts to connect within {window_us // SECOND_US} s")

    def judge(self, message: bytes, top: TrueTop, shown: Callable[[str, int], BookView | None]) -> None:
        try:
            event = self.decode(message)
        except Rejected:  # whatever it said, the book may be shown as proven only if nothing came of it
            view = shown(top.symbol, TOP)
            if view is not None and view.proven and (view.bids, view.asks) != (top.bids, top.asks):
                self.world.violated(f"a book of {top.symbol} is in doubt where a frame of it cannot be read")
            return
        if isinstance(event, BookDelta | BookSnapshot) and event.symbol == top.symbol:
            view = shown(event.symbol, self.depth + 1)
            if view is not None and max(len(view.bids), len(view.asks)) > self.depth:
                self.world.violated(f"the book of {event.symbol} is no deeper than was asked for")
            if view is not None and view.proven:
                if (view.bids[:TOP], view.asks[:TOP]) != (top.bids, top.asks):
                    self.world.violated(f"the top 10 of {event.symbol}, shown as proven, are the exchange's")
                self.proven[event.symbol] += 1


class CheckedWire:
    """`WebSocketTransport` of one process."""

    def __init__(
        self,
        transport: CheckedTransport,
        process: Process,
        runtime: SimRuntime,
        shown: Callable[[str, int], BookView | None],
    ) -> None:
        """`shown` gives the program's book of a symbol, to so many levels."""
        self._transport = transport
        self._process = process
        self._runtime = runtime
        self._shown = shown
        self._wire = ExchangeWire(transport.exchange, transport.limits)
        self._rng = runtime.random("wire")

    async def connect(self, url: str, *, timeout_s: float) -> WebSocket:
        self._process.check()
        self._transport.attempts_us.append(self._transport.exchange.now_us)
        self._transport.world.trace.add(f"connect {self._process.name}")
        await asyncio.sleep(self._rng.random() * LATENCY_S)
        self._wire.refusing = self._transport.refusing
        socket = await self._wire.connect(url, timeout_s=timeout_s)
        self._process.check()
        assert isinstance(socket, WireSocket)
        self._transport.sockets.setdefault(self._process.domain, []).append(socket)
        return _CheckedSocket(self._transport, self._process, self._runtime, socket, socket.session, self._shown)


class _CheckedSocket:
    def __init__(
        self,
        transport: CheckedTransport,
        process: Process,
        runtime: SimRuntime,
        socket: WireSocket,
        session: Session,
        shown: Callable[[str, int], BookView | None],
    ) -> None:
        self._transport = transport
        self._process = process
        self._runtime = runtime
        self._socket = socket
        self._connection = session.connection_id
        self._shown = shown
        self._index = -1
        self._message = b""
        self._gathers = runtime.random("gathers")

    async def receive(self) -> bytes:
        (message,) = await self.receive_all(1)
        return message

    async def receive_all(self, messages_max: int) -> Sequence[bytes]:
        self._process.check()
        top = self._transport.exchange.truth.top10(self._connection, self._index)
        if top is not None and self._message:
            self._transport.judge(self._message, top, self._shown)
        self._message = b""  # judged once, though a wait for the next may be cancelled and begun again
        messages = await self._socket.receive_all(min(messages_max, self._gathers.choice(GATHERS)))
        self._process.check()
        for message in messages:
            self._note(message)
        return messages

    def _note(self, message: bytes) -> None:
        self._index += 1
        self._message = message
        self._transport.largest = max(self._transport.largest, len(message))
        if len(message) > self._transport.limits.message_bytes_max:
            self._transport.world.violated(f"a message of {len(message)} bytes is refused")
        self._transport.world.trace.add(f"frame {hashlib.sha256(message).hexdigest()[:12]}")
        self._runtime.reached("frame")

    def send(self, message: bytes) -> None:
        self._process.check()
        self._transport.world.trace.add(f"send {message.decode()}")
        self._socket.send(message)

    async def close(self) -> None:
        self._process.check()
        await self._socket.close()
