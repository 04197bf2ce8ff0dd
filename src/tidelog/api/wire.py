"""The server's side of a connection: uvicorn's HTTP protocol, with the limits that it lacks.

A request's line and headers are bounded in bytes and in time, connections are bounded in number, and what is
refused here, before there is a request, has the same shape as every other error.
"""

from asyncio import BaseTransport, TimerHandle
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tidelog.api.live.connections import StreamHttp
from tidelog.api.problems import RETRY_AFTER_S, body_of

__all__ = ["limited_protocol"]

HEADER_EXTRA = 4  # ": " and the line's end
REASONS = {400: b"Bad Request", 408: b"Request Timeout", 431: b"Request Header Fields Too Large"}
REASONS[503] = b"Service Unavailable"


class _LimitedProtocol(StreamHttp):
    """`_head_bytes` counts what came since the last request's end, while no headers are complete."""

    head_bytes_max: ClassVar[int]
    head_s: ClassVar[float]
    connections_max: ClassVar[int]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_bytes = 0
        self._arrived = 0  # bytes of the latest read, in which a request may begin
        self._in_head = True
        self._patience: TimerHandle | None = None

    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]
        if len(self.connections) > self.connections_max:
            self._refuse(503, "too many connections are open: try again")
        else:
            self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        self._arrived = len(data)
        self._head_bytes += self._arrived
        super().data_received(data)
        if self._in_head and self._head_bytes > self.head_bytes_max and not self.transport.is_closing():
            self._refuse(431, f"the request line and headers are longer than {self.head_bytes_max} bytes")

    def on_message_begin(self) -> None:
        self._in_head = True
        self._head_bytes = self._arrived
        self._await_head()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._stop_waiting()
        size = len(self.url) + sum(len(name) + len(value) + HEADER_EXTRA for name, value in self.headers)
        if size > self.head_bytes_max:
            self._refuse(431, f"the request line and headers are longer than {self.head_bytes_max} bytes")
            return
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        if not self.transport.is_closing():
            self._refuse(400, "this is no HTTP request that can be read")

    def _await_head(self) -> None:
        self._stop_waiting()
        self._patience = self.loop.call_later(self.head_s, self._too_slow)

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _too_slow(self) -> None:
        if not self.transport.is_closing():
            self._refuse(408, "the request did not arrive in time")

    def _refuse(self, status: int, message: str) -> None:
        body = body_of(status, message)
        later = f"retry-after: {RETRY_AFTER_S}\r\n" if status == 503 else ""
        head = (
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
            f"cache-control: no-store\r\n{later}connection: close\r\n\r\n"
        )
        self.transport.write(b"HTTP/1.1 %d %s\r\n" % (status, REASONS[status]) + head.encode() + body)
        self.transport.close()


def limited_protocol(*, head_bytes_max: int, head_s: float, connections_max: int) -> type[HttpToolsProtocol]:
    """The protocol with these limits."""
    limits = {"head_bytes_max": head_bytes_max, "head_s": head_s, "connections_max": connections_max}
    return type("LimitedProtocol", (_LimitedProtocol,), limits)
