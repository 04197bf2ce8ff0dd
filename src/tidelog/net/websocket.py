"""WebSocket as a port: connect, receive whole messages as bytes, send, close. No JSON, no policy.

`WebSocketTransport` is the seam: `PicoWebSocket` is the real one, the simulation brings its own.
"""

import asyncio
from collections import deque
from typing import Protocol

from picows import (
    WSCloseCode,
    WSError,
    WSFrame,
    WSInvalidStatusError,
    WSListener,
    WSMsgType,
    WSTransport,
    ws_connect,
)

from tidelog.errors import Rejected, SourceError, Throttled, Unreachable

MESSAGE_BYTES_MAX = 16 * 1024 * 1024  # the largest that is sent: every instrument of an exchange, a few MB
WAITING_MAX = 10_000  # messages that may wait to be received; beyond it the peer is faster than we are
CLOSE_S = 2.0  # for the peer's half of a close


class WebSocket(Protocol):
    """One connection. Owned by one task."""

    async def receive(self) -> bytes:
        """The next whole message.

        Raises:
            Unreachable: the connection is gone; the text says how (close code, reset).
            Rejected: the peer broke the protocol or a limit; the connection is closed.
        """
        ...

    def send(self, message: bytes) -> None:
        """Queue a text message. Silent if the connection is gone: `receive` says so."""
        ...

    async def close(self) -> None: ...


class WebSocketTransport(Protocol):
    async def connect(self, url: str, *, timeout_s: float) -> WebSocket:
        """Open a connection.

        Raises:
            Unreachable, Throttled, Rejected: it could not be had. The text never holds the URL.
        """
        ...


class _Listener(WSListener):
    """Collects frames into messages, under limits."""

    def __init__(self) -> None:
        self.messages: deque[bytes] = deque()
        self.ended: SourceError | None = None
        self.arrived = asyncio.Event()
        self._parts: list[bytes] = []
        self._size = 0

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        kind = frame.msg_type
        if kind == WSMsgType.PING:
            transport.send_pong(frame.get_payload_as_bytes())
        elif kind == WSMsgType.CLOSE:
            code = frame.get_close_code()
            self._end(Unreachable(f"the peer closed the connection with code {code.value if code else 1005}"))
            transport.send_close(code)
            transport.disconnect()
        elif kind in (WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.CONTINUATION):
            self._collect(transport, frame)

    def _collect(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.rsv1:  # compression was not negotiated, and could hide any size
            self._refuse(transport, WSCloseCode.PROTOCOL_ERROR, "a compressed frame")
            return
        self._size += len(frame.get_payload_as_memoryview())
        if self._size > MESSAGE_BYTES_MAX:
            self._refuse(transport, WSCloseCode.MESSAGE_TOO_BIG, f"a message of more than {MESSAGE_BYTES_MAX} bytes")
            return
        self._parts.append(frame.get_payload_as_bytes())
        if not frame.fin:
            return
        self.messages.append(self._parts[0] if len(self._parts) == 1 else b"".join(self._parts))
        self._parts, self._size = [], 0
        if len(self.messages) > WAITING_MAX:
            self._refuse(transport, WSCloseCode.POLICY_VIOLATION, f"more than {WAITING_MAX} messages wait")
            return
        self.arrived.set()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._end(Unreachable("the connection was lost without a close"))

    def _refuse(self, transport: WSTransport, code: WSCloseCode, reason: str) -> None:
        self._parts = []
        self._end(Rejected(f"the peer sent {reason}"))
        transport.send_close(code)
        transport.disconnect()

    def _end(self, error: SourceError) -> None:
        if self.ended is None:
            self.ended = error
        self.arrived.set()


class _PicoSocket:
    def __init__(self, transport: WSTransport, listener: _Listener) -> None:
        self._transport = transport
        self._listener = listener

    async def receive(self) -> bytes:
        listener = self._listener
        while not listener.messages:
            if listener.ended is not None:
                raise listener.ended
            listener.arrived.clear()
            await listener.arrived.wait()
        return listener.messages.popleft()

    def send(self, message: bytes) -> None:
        self._transport.send(WSMsgType.TEXT, message)

    async def close(self) -> None:
        self._transport.send_close(WSCloseCode.OK)
        self._transport.disconnect()
        try:
            await asyncio.wait_for(self._transport.wait_disconnected(), CLOSE_S)
        except TimeoutError:
            self._transport.disconnect(False)
        except (WSError, OSError):
            pass  # what ended it before: `receive` has said that it is gone


class PicoWebSocket:
    """`WebSocketTransport` over picows."""

    async def connect(self, url: str, *, timeout_s: float) -> WebSocket:
        try:
            async with asyncio.timeout(timeout_s):
                transport, listener = await ws_connect(
                    _Listener, url, max_frame_size=MESSAGE_BYTES_MAX, websocket_handshake_timeout=timeout_s
                )
        except TimeoutError:
            raise Unreachable(f"no WebSocket within {timeout_s:g} s") from None
        except WSInvalidStatusError as error:
            status = 0 if error.response is None else int(error.response.status)
            if status == 429:
                raise Throttled("HTTP 429 at the WebSocket's handshake") from None
            kind = Rejected if 400 <= status < 500 else Unreachable
            raise kind(f"HTTP {status} at the WebSocket's handshake") from None
        except (WSError, OSError, ValueError) as error:
            raise Unreachable(f"no WebSocket ({type(error).__name__})") from None
        assert isinstance(listener, _Listener)
        return _PicoSocket(transport, listener)
