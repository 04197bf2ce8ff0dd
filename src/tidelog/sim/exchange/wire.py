"""A `SimExchange` behind the client's WebSocket port, without a socket: the same messages, limits and failures.

The host of a URL says nothing but whether it begins with ws-auth; see `SimExchange.connect` for paths.
"""

import asyncio

from tidelog.errors import Rejected, Throttled, Unreachable
from tidelog.net.websocket import MESSAGE_BYTES_MAX, WebSocket
from tidelog.sim.answers import Answer, Ending
from tidelog.sim.exchange.core import SimExchange
from tidelog.sim.exchange.delivery import ABNORMAL, Close, Delivery, Frame, Manner, Message
from tidelog.sim.exchange.session import Session


class WireSocket:
    """The client's end. `session` is the exchange's."""

    def __init__(self, exchange: SimExchange, session: Session) -> None:
        self.session = session
        self._exchange = exchange
        self._ended: Unreachable | Rejected | None = None
        self._arrived = asyncio.Event()
        session.wake = self._arrived.set

    async def receive(self) -> bytes:
        while self._ended is None:
            delivery = self._next()
            if delivery is not None:
                return self._taken(delivery)
            self._arrived.clear()
            await self._arrived.wait()
        raise self._ended

    def send(self, message: bytes) -> None:
        self.session.receive(message)

    async def close(self) -> None:
        self._end(Unreachable("the connection was closed here"))

    def _next(self) -> Delivery | None:
        session, recording = self.session, self._exchange.recording
        if session.outbox:
            return session.outbox.popleft()
        for subscription in session.unpaced():
            assert recording is not None
            key, index = subscription.key, subscription.played
            data = recording.frame(session.dialect.NAME, key.channel, key.symbol, index)
            subscription.played += 1
            return None if data is None else Message(Frame(data, "update", key.channel, key.symbol))
        return None

    def _taken(self, delivery: Delivery) -> bytes:
        if isinstance(delivery, Close):
            how = "the peer closed the connection with code"
            text = "the connection was lost without a close" if delivery.code == ABNORMAL else f"{how} {delivery.code}"
            raise self._end(Unreachable(text))
        if delivery.manner is Manner.COMPRESSED:
            raise self._end(Rejected("the peer sent a compressed frame"))
        if len(delivery.frame.data) > MESSAGE_BYTES_MAX:
            raise self._end(Rejected(f"the peer sent a message of more than {MESSAGE_BYTES_MAX} bytes"))
        return delivery.frame.data

    def _end(self, error: Unreachable | Rejected) -> Unreachable | Rejected:
        if self._ended is None:
            self._ended = error
            self.session.lost()
        self._arrived.set()
        return error


class ExchangeWire:
    """`WebSocketTransport` to an exchange in the same process. Time passes by `exchange.advance` alone."""

    def __init__(self, exchange: SimExchange) -> None:
        self._exchange = exchange
        self.refusing = False  # as if nothing listened

    async def connect(self, url: str, *, timeout_s: float) -> WebSocket:
        await asyncio.sleep(0)  # a real transport never answers within the same turn
        if self.refusing:
            raise Unreachable("no WebSocket (ConnectionRefusedError)")
        session = self._exchange.connect(url)
        if isinstance(session, Session):
            return WireSocket(self._exchange, session)
        raise await _refusal(session, timeout_s)


async def _refusal(answer: Answer, timeout_s: float) -> Unreachable | Throttled | Rejected:
    if answer.ending is Ending.STALL:
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.get_running_loop().create_future()
        except TimeoutError:
            return Unreachable(f"no WebSocket within {timeout_s:g} s")
    if answer.ending is Ending.RESET:
        return Unreachable("no WebSocket (ConnectionResetError)")
    if answer.status == 429:
        return Throttled("HTTP 429 at the WebSocket's handshake")
    kind = Rejected if 400 <= answer.status < 500 else Unreachable
    return kind(f"HTTP {answer.status} at the WebSocket's handshake")
