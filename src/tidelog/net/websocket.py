"""WebSocket as a port: connect, receive whole messages as bytes, send, close. No JSON, no policy.

`WebSocketTransport` is the seam: `PicoWebSocket` is the real one, the simulation brings its own.
"""

import asyncio
import logging
import os
import socket
import ssl
import time
from collections.abc import Sequence
from functools import partial
from typing import Protocol

from msgspec import Struct
from picows import (
    WSCloseCode,
    WSError,
    WSFrame,
    WSInvalidStatusError,
    WSListener,
    WSMsgType,
    WSProtocolError,
    WSTransport,
    ws_connect,
)
from python_socks import ProxyError

from tidelog.errors import Rejected, SourceError, Throttled, Unreachable
from tidelog.net.proxy import Proxies, shown
from tidelog.net.reader import Reader
from tidelog.net.retry_after import retry_after
from tidelog.net.texts import new_messages, size_of

FRAGMENT_BYTES = 64  # what an object costs: fragments without a byte in them are bounded too
WORDS_MAX = 123  # characters of what a peer or a proxy says: what fits into a close (RFC 6455, 5.5)
BODY_BYTES_SHOWN = 4 * WORDS_MAX  # of an answer's body, in which its words are looked for
NO_CODE = 1005  # stands for a close without a code (RFC 6455, 7.4.1)
# looked up once: nearly every frame is asked
_CONTINUATION = WSMsgType.CONTINUATION
_DATA = frozenset((WSMsgType.TEXT, WSMsgType.BINARY, _CONTINUATION))
_SILENT = logging.Logger("tidelog.websocket", logging.CRITICAL + 1)  # picows logs URLs, and a URL may hold a key
_SILENT.addHandler(logging.NullHandler())


class WebSocketLimits(Struct, frozen=True):
    """What one connection may cost. The peer decides what it sends; these decide what is kept of it."""

    message_bytes_max: int = 16 * 1024 * 1024  # the largest that is sent: every instrument of an exchange, a few MB
    waiting_max: int = 10_000  # messages that may wait to be received; beyond it the peer is faster than we are
    waiting_bytes_max: int = 64 * 1024 * 1024  # and their bytes: four of the largest
    write_bytes_max: int = 1024 * 1024  # unread by the peer: thousands of requests; bounds pongs to endless pings
    close_s: float = 2.0  # for the peer's half of a close


LIMITS = WebSocketLimits()


class WebSocket(Protocol):
    """One connection. Owned by one task."""

    async def receive(self) -> bytes:
        """The next whole message, in the order of arrival. Cancelling loses none: the next call returns it.

        Raises:
            Unreachable: the connection is gone; the text says how (close code, reset).
            Rejected: the peer broke the protocol or a limit; the connection is closed.
        """
        ...

    async def receive_all(self, messages_max: int) -> Sequence[bytes]:
        """The messages that have come, in order: at least one, which is waited for, and so many at most.

        Otherwise as `receive`. This one has one at a time; a connection that can give more does.
        """
        return [await self.receive()]

    def send(self, message: bytes) -> None:
        """Queue a text message. Silent if the connection is gone: `receive` says so."""
        ...

    async def close(self) -> None:
        """Close, and wait for the peer's half for a bounded time. Never fails; closing again does nothing."""
        ...


class WebSocketTransport(Protocol):
    """What opens connections: the network, or a simulated one."""

    async def connect(self, url: str, *, timeout_s: float) -> WebSocket:
        """Open a connection.

        Args:
            url: ws:// or wss://; it may hold a key, and is neither logged nor put into an error.
            timeout_s: for all of it: the proxy, TLS and the handshake.

        Raises:
            Unreachable, Throttled, Rejected: it could not be had. The text never holds the URL.
        """
        ...


class Listener(WSListener):
    """Collects frames into messages, under limits. The simulation gives it frames of its own."""

    def __init__(self, limits: WebSocketLimits = LIMITS) -> None:
        self.limits = limits
        self.messages = new_messages()
        self.ended: SourceError | None = None
        self.arrived = asyncio.Event()
        self.waiting_bytes = 0  # of `messages`
        self._parts: list[bytes] = []
        self._size = 0

    def take(self, messages_max: int) -> Sequence[bytes]:
        """The oldest messages that have come, so many at most."""
        waiting = self.messages
        if len(waiting) <= messages_max:
            self.messages, self.waiting_bytes = new_messages(), 0
            return waiting
        taken, self.messages = waiting[:messages_max], waiting[messages_max:]
        self.waiting_bytes -= size_of(taken)
        return taken

    def put(self, messages: list[bytes], size: int) -> bool:
        """Take whole messages in, of so many bytes; False, and none is, unless all of them may wait here."""
        limits, size = self.limits, self.waiting_bytes + size
        if len(self.messages) + len(messages) > limits.waiting_max or size > limits.waiting_bytes_max:
            return False
        self.messages += messages
        self.waiting_bytes = size
        self.arrived.set()
        return True

    @property
    def between_messages(self) -> bool:
        """Whether a message may begin."""
        return not self._parts and self.ended is None

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if self.ended is not None:  # read in one go with what ended it: nothing may follow a gap as if there were none
            return
        kind = frame.msg_type
        if kind in _DATA:
            self._collect(transport, frame)
        elif kind == WSMsgType.CLOSE:
            code = frame.get_close_code()  # 0 if there is none; codes of the peer's own are plain integers
            number = getattr(code, "value", code) or NO_CODE
            words = _words(frame.get_close_message())
            self._end(Unreachable(f"the peer closed the connection with code {number}{words}"))
            transport.send_close(code)
            transport.disconnect()
        elif kind == WSMsgType.PING:
            self._answer(transport, frame)

    def _answer(self, transport: WSTransport, frame: WSFrame) -> None:
        """A pong, unless the peer does not read: it could let our memory grow by asking alone."""
        if not self.has_room(transport):
            return
        transport.send_pong(frame.get_payload_as_bytes())

    def has_room(self, transport: WSTransport) -> bool:
        """Whether more may be written; if not, the connection is ended."""
        waiting = transport.underlying_transport.get_write_buffer_size()
        if waiting <= self.limits.write_bytes_max:
            return True
        self._end(Unreachable(f"the peer reads nothing: {waiting} bytes wait for it"))
        transport.disconnect(False)  # a close would wait behind them
        return False

    def _collect(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.rsv1:  # compression was not negotiated, and could hide any size
            self._refuse(transport, WSCloseCode.PROTOCOL_ERROR, "a compressed frame")
            return
        if frame.rsv2 or frame.rsv3:  # what they mean would have had to be agreed on (RFC 6455, 5.2)
            self._refuse(transport, WSCloseCode.PROTOCOL_ERROR, "a frame with a reserved bit set")
            return
        if (frame.msg_type == _CONTINUATION) != bool(self._parts):
            self._refuse(transport, WSCloseCode.PROTOCOL_ERROR, "fragments out of order")
            return
        payload = frame.get_payload_as_bytes()
        self._size += len(payload) + FRAGMENT_BYTES
        if self._size > self.limits.message_bytes_max:
            reason = f"a message of more than {self.limits.message_bytes_max} bytes"
            self._refuse(transport, WSCloseCode.MESSAGE_TOO_BIG, reason)
            return
        if not frame.fin:
            self._parts.append(payload)
            return
        message = payload
        if self._parts:
            message = b"".join((*self._parts, payload))
            self._parts = []
        self._size = 0
        self.messages.append(message)
        self.waiting_bytes += len(message)
        if len(self.messages) > self.limits.waiting_max or self.waiting_bytes > self.limits.waiting_bytes_max:
            self._refuse(transport, WSCloseCode.POLICY_VIOLATION, "more than can wait here")
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


class _PicoListener(Listener):
    """Lets a `Reader` go on as soon as picows holds no part of a frame."""

    def __init__(self, limits: WebSocketLimits) -> None:
        super().__init__(limits)
        self._reader: Reader | None = None

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        super().on_ws_frame(transport, frame)
        if self._reader is None and frame.last_in_buffer and not frame.tail_size:
            connection = transport.underlying_transport
            self._reader = Reader(connection.get_protocol(), self, self.limits.message_bytes_max)
            connection.set_protocol(self._reader)


class _PicoSocket:
    def __init__(self, transport: WSTransport, listener: Listener) -> None:
        self._transport = transport
        self._listener = listener

    async def receive(self) -> bytes:
        (message,) = await self.receive_all(1)
        return message

    async def receive_all(self, messages_max: int) -> Sequence[bytes]:
        listener = self._listener
        while not listener.messages:
            if listener.ended is not None:
                raise await self._disconnected() or listener.ended
            listener.arrived.clear()
            await listener.arrived.wait()
        return listener.take(messages_max)

    def send(self, message: bytes) -> None:
        if self._listener.ended is None and self._listener.has_room(self._transport):
            self._transport.send(WSMsgType.TEXT, message)

    async def close(self) -> None:
        self._transport.send_close(WSCloseCode.OK)
        self._transport.disconnect()
        await self._disconnected()

    async def _disconnected(self) -> Rejected | None:
        """Wait for the end of the connection; the error, if picows ended it over what the peer sent."""
        try:
            await asyncio.wait_for(self._transport.wait_disconnected(), self._listener.limits.close_s)
        except TimeoutError:
            self._transport.disconnect(False)
        except WSProtocolError as error:
            return Rejected(f"the peer broke the protocol ({error.args[1]})")
        return None


class PicoWebSocket:
    """`WebSocketTransport` over picows, through the environment's proxy where it names one.

    Raises:
        ConfigError: the environment's proxy is no address.
    """

    def __init__(self, proxies: Proxies | None = None, limits: WebSocketLimits = LIMITS) -> None:
        self._limits = limits
        self._proxies = proxies or Proxies(os.environ)

    async def connect(self, url: str, *, timeout_s: float) -> WebSocket:
        proxy = self._proxies.of(url)
        through = "" if proxy is None else f" through the proxy {shown(proxy)}"
        try:
            async with asyncio.timeout(timeout_s):
                transport, listener = await ws_connect(
                    partial(_PicoListener, self._limits),
                    url,
                    max_frame_size=self._limits.message_bytes_max,
                    max_redirects=0,  # elsewhere is not where the user said, and the key would go along
                    websocket_handshake_timeout=timeout_s,
                    logger_name=_SILENT,
                    enable_auto_pong=False,  # picows would write them without a bound
                    proxy=proxy,
                )
        except TimeoutError:
            raise Unreachable(f"no WebSocket within {timeout_s:g} s{through}") from None
        except WSInvalidStatusError as error:
            raise _refusal(error) from None
        except ProxyError as error:
            raise Unreachable(f"no WebSocket{through} ({str(error)[:WORDS_MAX]})") from None
        except (WSError, OSError, ValueError) as error:
            raise Unreachable(f"no WebSocket{through} ({_cause(error)})") from None
        if not isinstance(listener, Listener):  # what picows gives when the peer leaves during the handshake
            raise Unreachable(f"no WebSocket{through} (the peer left during the handshake)")
        return _PicoSocket(transport, listener)


def _cause(error: Exception) -> str:
    """In words where a person can do something about it; its own text may have the URL."""
    if isinstance(error, socket.gaierror):
        return "the host name does not resolve"
    if isinstance(error, ssl.SSLCertVerificationError):
        return "the TLS certificate is not trusted"
    return type(error).__name__


def _refusal(error: WSInvalidStatusError) -> SourceError:
    status = 0 if error.response is None else int(error.response.status)
    text = f"HTTP {status} at the WebSocket's handshake{_words(_line_of(error.raw_body))}"
    header = None if error.response is None else error.response.headers.get("Retry-After")
    if status == 429 or (status == 503 and header is not None):
        return Throttled(text, retry_after_s=retry_after(header, now=time.time()))
    return Rejected(text) if 300 <= status < 500 else Unreachable(text)


def _line_of(body: bytes | None) -> bytes:
    """What an answer says in a line of text; nothing of a page."""
    return b"" if body is None or body.lstrip().startswith(b"<") else body[:BODY_BYTES_SHOWN]


def _words(message: str | bytes | None) -> str:
    """What a peer says on closing, on one line."""
    text = message.decode("utf-8", "replace") if isinstance(message, bytes) else message or ""
    line = " ".join(text.split())[:WORDS_MAX]
    return f": {line}" if line.isprintable() and line else ""
