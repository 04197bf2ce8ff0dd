"""The server's side of a connection: uvicorn's HTTP protocol, with the limits that it lacks.

A request's line and headers are bounded in bytes and in time, connections are bounded in number, and what is
refused here, before there is a request, has the same shape as every other error.
"""

from asyncio import BaseTransport, TimerHandle, Transport
from collections.abc import Callable, Mapping
from typing import Any, cast

from msgspec import Struct

from tidelog.api.access.clients import Clients, Network, is_in, key_of
from tidelog.api.access.connections import StreamHttp
from tidelog.api.access.seats import NoSeat, Seat, Seats
from tidelog.api.http.problems import RETRY_AFTER_S, body_of

__all__ = ["Wire", "limited_protocol", "seated"]

HEADER_EXTRA = 4  # ": " and the line's end
REASONS = {
    400: b"Bad Request",
    408: b"Request Timeout",
    429: b"Too Many Requests",
    431: b"Request Header Fields Too Large",
    503: b"Service Unavailable",
}
FAULTS = frozenset({400, 408, 431})  # of the client


class Wire(Struct, frozen=True):
    """What all connections of a server share."""

    head_bytes_max: int
    head_s: float
    clients: Clients
    trusted: tuple[Network, ...]  # proxies: they bound their own connections
    seats: Mapping[int, Seats]  # by the port that was connected to


def seated(wire: Wire, peer: str, port: int, drop: Callable[[], object]) -> Seat:
    """The seat of a new connection from an address to one of our ports; NoSeat if there is none."""
    client = None if is_in(peer, wire.trusted) else key_of(peer)
    return wire.seats[port].take(client, drop)


class _LimitedProtocol(StreamHttp):
    """`_head_bytes` counts what came since the last request's end, while no headers are complete."""

    wire: Wire

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_bytes = 0
        self._arrived = 0  # bytes of the latest read, in which a request may begin
        self._in_head = True
        self._refused = False
        self._patience: TimerHandle | None = None

    def connection_made(self, transport: BaseTransport) -> None:
        connection = cast(Transport, transport)
        super().connection_made(connection)
        if self.seat is None:
            peer, own = connection.get_extra_info("peername"), connection.get_extra_info("sockname")
            try:
                self.seat = seated(self.wire, str(peer[0]) if peer else "", own[1], connection.abort)
            except NoSeat as none:
                self._refuse(none.status, none.sentence)
                return
        self.seat.drop = connection.abort
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused or self.transport.is_closing():
            return
        self._arrived = len(data)
        self._head_bytes += self._arrived
        super().data_received(data)
        if self._in_head and self._head_bytes > self.wire.head_bytes_max and not self.transport.is_closing():
            self._refuse_head()

    def on_message_begin(self) -> None:
        self._in_head = True
        self._head_bytes = self._arrived
        self._await_head()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._stop_waiting()
        size = len(self.url) + sum(len(name) + len(value) + HEADER_EXTRA for name, value in self.headers)
        if size > self.wire.head_bytes_max:
            self._refuse_head()
            return
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        if not self.transport.is_closing():
            self._refuse(400, "this is no HTTP request that can be read")

    def _await_head(self) -> None:
        self._stop_waiting()
        self._patience = self.loop.call_later(self.wire.head_s, self._too_slow)

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _too_slow(self) -> None:
        if not self.transport.is_closing():
            self._refuse(408, "the request did not arrive in time")

    def _refuse_head(self) -> None:
        self._refuse(431, f"the request line and headers are longer than {self.wire.head_bytes_max} bytes")

    def _refuse(self, status: int, message: str) -> None:
        """Answer, once, and close; later if the client has done much that is wrong."""
        if self._refused:
            return
        self._refused = True
        self._stop_waiting()
        charged = status in FAULTS and self.seat is not None and self.seat.client is not None
        delay_s = self.wire.clients.fault(str(self.seat.client), 1.0) if charged and self.seat is not None else 0.0
        if delay_s > 0:
            self.transport.pause_reading()
            self._patience = self.loop.call_later(delay_s, self._answer, status, message)
        else:
            self._answer(status, message)

    def _answer(self, status: int, message: str) -> None:
        body = body_of(status, message)
        later = f"retry-after: {RETRY_AFTER_S}\r\n" if status in (429, 503) else ""
        head = (
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
            f"cache-control: no-store\r\n{later}connection: close\r\n\r\n"
        )
        self.transport.write(b"HTTP/1.1 %d %s\r\n" % (status, REASONS[status]) + head.encode() + body)
        self.transport.close()


def limited_protocol(wire: Wire) -> type[StreamHttp]:
    """The protocol with these limits."""
    return type("LimitedProtocol", (_LimitedProtocol,), {"wire": wire})
