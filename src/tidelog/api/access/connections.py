"""Connections that a stream can cut off while their client reads nothing.

An application can only send, and sending waits for the client; closing waits for what was sent. So a client that
stops reading would hold its connection for ever. These protocols give a stream the means to drop it.

They also say to the connection's seat when something is asked on it, and when it is over.
"""

from typing import Any

from litestar.types import Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from tidelog.api.access.seats import SEAT, Seat

__all__ = ["StreamHttp", "StreamWebSocket", "abort", "lingering"]

EXTENSION = "tidelog.abort"


def abort(scope: Scope) -> None:
    """Drop the connection, whatever still waits in it; nothing on another server."""
    extension: Any = (scope.get("extensions") or {}).get(EXTENSION)
    if extension is not None:
        extension["abort"]()


class StreamHttp(HttpToolsProtocol):
    """Puts `abort`, and its seat, into the scope of each request."""

    seat: Seat | None = None

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {EXTENSION: {"abort": self.transport.abort}, SEAT: self.seat}  # type: ignore[dict-item]

    def on_headers_complete(self) -> None:
        if self.seat is not None:
            self.seat.busy()
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.seat is not None and (self.cycle is None or self.cycle.response_complete):
            self.seat.idle()

    def handle_websocket_upgrade(self) -> None:
        super().handle_websocket_upgrade()
        if self.seat is not None:
            self.seat.busy()
            upgraded = self.transport.get_protocol()
            assert isinstance(upgraded, StreamWebSocket)
            upgraded.take(self.seat)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self.seat is not None:
            self.seat.leave()


class StreamWebSocket(WebSocketsSansIOProtocol):
    """A close does not wait for a client that reads nothing: it is written behind what waits, and has `linger_s`."""

    linger_s: float
    seat: Seat | None = None

    def take(self, seat: Seat) -> None:
        """Keep the seat of the request that was upgraded; its application has not started yet."""
        self.seat = seat
        if self.handshake_initiated and not self.handshake_complete:
            self.scope["extensions"] = {**(self.scope["extensions"] or {}), SEAT: seat}  # type: ignore[dict-item]

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self.seat is not None:
            self.seat.leave()

    def shutdown(self) -> None:
        if self.transport.is_closing():  # uvicorn would close it once more, and fail, and with it the end of the server
            self.stop_keepalive()
            self.loop.call_later(self.linger_s, self.transport.abort)
        else:
            super().shutdown()

    async def send(self, message: Any) -> None:
        stuck = message["type"] == "websocket.close" and self.handshake_complete and not self.writable.is_set()
        if stuck:
            self.writable.set()
            self.loop.call_later(self.linger_s, self.transport.abort)
        await super().send(message)


def lingering(seconds: float) -> type[StreamWebSocket]:
    """The protocol of a server whose closes have so many seconds. uvicorn makes one for each connection."""
    return type("StreamWebSocket", (StreamWebSocket,), {"linger_s": seconds})
