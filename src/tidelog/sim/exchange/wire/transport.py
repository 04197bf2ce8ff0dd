"""A `SimExchange` behind the client's WebSocket port, without a socket: the same messages, limits and failures.

Frames go to the client's own `Listener`, which puts messages together and keeps its limits. What lies below frames, and
so a message that comes byte by byte, belongs to picows and its socket: it comes whole.
The host of a URL says nothing but whether it begins with ws-auth; see `SimExchange.connect` for paths.
"""

import asyncio
from collections.abc import Sequence

from msgspec import Struct
from picows import WSMsgType

from tidelog.errors import Rejected, Throttled, Unreachable
from tidelog.net.retry_after import retry_after
from tidelog.net.websocket import LIMITS, Listener, WebSocket, WebSocketLimits
from tidelog.sim.exchange.core import SimExchange
from tidelog.sim.exchange.delivery import ABNORMAL, Close, Delivery, Frame, Manner, Message
from tidelog.sim.exchange.session import Session
from tidelog.sim.exchange.wire.framing import fragments
from tidelog.sim.node.answers import Answer, Ending


class _WireFrame(Struct, gc=False):
    """What the listener asks of picows's frames."""

    msg_type: WSMsgType
    payload: bytes
    fin: bool = True
    rsv1: bool = False
    rsv2: bool = False
    rsv3: bool = False
    close_code: int = 0

    def get_payload_as_bytes(self) -> bytes:
        return self.payload

    def get_close_code(self) -> int:
        return self.close_code

    def get_close_message(self) -> bytes:
        return b""


class WireSocket:
    """The client's end. `session` is the exchange's; `left_with` the code with which the client closed."""

    def __init__(self, exchange: SimExchange, session: Session, limits: WebSocketLimits) -> None:
        self.session = session
        self._exchange = exchange
        self._listener = Listener(limits)
        self.left_with: int | None = None
        session.wake = self._listener.arrived.set

    async def receive(self) -> bytes:
        (message,) = await self.receive_all(1)
        return message

    async def receive_all(self, messages_max: int) -> Sequence[bytes]:
        listener = self._listener
        while len(listener.messages) < messages_max and listener.ended is None:
            delivery = self._next()
            if delivery is not None:
                self._deliver(delivery)
            elif listener.messages:
                break
            else:
                listener.arrived.clear()
                await listener.arrived.wait()
        if not listener.messages:
            assert listener.ended is not None
            raise listener.ended
        return listener.take(messages_max)

    def send(self, message: bytes) -> None:
        self.session.receive(message)

    async def close(self) -> None:
        self.send_close(1000)
        self.disconnect()

    def send_close(self, code: int) -> None:
        """As the listener does with picows's transport."""
        self.left_with = int(getattr(code, "value", code))

    def disconnect(self) -> None:
        self.session.lost()
        self._listener.on_ws_disconnected(self)  # type: ignore[arg-type]  # what it has noticed itself stays

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

    def _deliver(self, delivery: Delivery) -> None:
        if isinstance(delivery, Close) and delivery.code == ABNORMAL:
            self.disconnect()
            return
        for frame in _frames(delivery):
            self._listener.on_ws_frame(self, frame)  # type: ignore[arg-type]  # all that it asks of picows is here


def _frames(delivery: Delivery) -> Sequence[_WireFrame]:
    if isinstance(delivery, Close):
        return (_WireFrame(WSMsgType.CLOSE, b"", close_code=delivery.code),)
    data = delivery.frame.data
    if delivery.manner is Manner.FRAGMENTS:
        first, *middle, last = fragments(data)
        inner = [_WireFrame(WSMsgType.CONTINUATION, piece, fin=False) for piece in middle]
        return (
            _WireFrame(WSMsgType.TEXT, first, fin=False),
            *inner,
            _WireFrame(WSMsgType.CONTINUATION, last),
        )
    compressed, reserved = delivery.manner is Manner.COMPRESSED, delivery.manner is Manner.RESERVED
    return (_WireFrame(WSMsgType.TEXT, data, rsv1=compressed, rsv2=reserved),)


class ExchangeWire:
    """`WebSocketTransport` to an exchange in the same process. Time passes by `exchange.advance` alone."""

    def __init__(self, exchange: SimExchange, limits: WebSocketLimits = LIMITS) -> None:
        self._exchange = exchange
        self._limits = limits
        self.refusing = False  # as if nothing listened

    async def connect(self, url: str, *, timeout_s: float) -> WebSocket:
        await asyncio.sleep(0)  # a real transport never answers within the same turn
        if self.refusing:
            raise Unreachable("no WebSocket (ConnectionRefusedError)")
        session = self._exchange.connect(url)
        if isinstance(session, Session):
            return WireSocket(self._exchange, session, self._limits)
        raise await _refusal(session, timeout_s, self._exchange.now_us / 1_000_000)


async def _refusal(answer: Answer, timeout_s: float, now: float) -> Unreachable | Throttled | Rejected:
    if answer.ending is Ending.STALL:
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.get_running_loop().create_future()
        except TimeoutError:
            return Unreachable(f"no WebSocket within {timeout_s:g} s")
    if answer.ending is Ending.RESET:
        return Unreachable("no WebSocket (ConnectionResetError)")
    if answer.status == 429:
        said = dict(answer.headers).get("retry-after")
        return Throttled("HTTP 429 at the WebSocket's handshake", retry_after_s=retry_after(said, now=now))
    kind = Rejected if 400 <= answer.status < 500 else Unreachable
    return kind(f"HTTP {answer.status} at the WebSocket's handshake")
