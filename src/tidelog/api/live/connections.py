"""What a server's connections have to be able to do for streams: to be cut off while their client reads nothing.

An application can only send, and sending waits for the client; closing waits for what was sent. So a client that
stops reading would hold its connection for ever. These protocols give a stream the means to drop it.
"""

from typing import Any

from litestar.types import Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

__all__ = ["StreamHttp", "StreamWebSocket", "abort"]

LINGER_S = 5.0  # after a close that waits behind unread messages: then the connection is dropped
EXTENSION = "tidelog.abort"


def abort(scope: Scope) -> None:
    """Drop the connection, whatever still waits in it; nothing on another server."""
    extension: Any = (scope.get("extensions") or {}).get(EXTENSION)
    if extension is not None:
        extension["abort"]()


class StreamHttp(HttpToolsProtocol):
    """Puts `abort` into the scope of each request."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {EXTENSION: {"abort": self.transport.abort}}


class StreamWebSocket(WebSocketsSansIOProtocol):
    """A close does not wait for a client that reads nothing: it is written behind what waits, and has its time."""

    async def send(self, message: Any) -> None:
        stuck = message["type"] == "websocket.close" and self.handshake_complete and not self.writable.is_set()
        if stuck:
            self.writable.set()
            self.loop.call_later(LINGER_S, self.transport.abort)
        await super().send(message)
