"""Serving: a socket, uvicorn on it inside our own event loop, and an end in order. No routes in here."""

import asyncio
import errno
import gc
import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from tidelog.api.access.clients import Clients
from tidelog.api.access.connections import lingering
from tidelog.api.access.seats import Seats
from tidelog.api.app import create_app
from tidelog.api.http.backend import Backend
from tidelog.api.http.defaults import HEALTH_CONNECTIONS_MAX
from tidelog.api.http.options import ApiOptions
from tidelog.api.server.admission import AdmissionMiddleware
from tidelog.api.server.protocol import Wire, limited_protocol
from tidelog.api.server.tls import Certificate, SecureListener
from tidelog.errors import ConfigError
from tidelog.telemetry import logger

__all__ = ["ApiServer", "PortTaken", "settled"]

BACKLOG = 256  # connections that wait to be accepted: a burst of a browser's, or a restart's
WS_MESSAGE_BYTES_MAX = 64 * 1024  # what a client asks of a live stream is a few hundred bytes

HEALTH_ALONE = (404, "this port answers /livez, /readyz and /metrics alone")

_log = logger("api")


class PortTaken(ConfigError):
    """Another process has the port: it may let it go."""


def settled() -> None:
    """Spare the collector what is here for good, modules and routes: it would walk all of it amid an answer.

    For a process that is about to serve, and does nothing else.
    """
    gc.collect()
    gc.freeze()


class ApiServer:
    """A server over a backend. `run` serves until `stop`; the address is known once it listens."""

    def __init__(self, backend: Backend) -> None:
        self._runtime = backend.runtime
        options = backend.options
        self.app = create_app(backend)
        self._certificate = None if options.tls_cert is None else Certificate(options.tls_cert, options.tls_key)
        self._sockets = _sockets(options)
        host, port = self._sockets[0].getsockname()[:2]
        self.host, self.port = str(host), int(port)
        clients: Clients = self.app.state.clients
        monotonic = backend.runtime.monotonic
        self.seats = Seats(options.connections_max, options.client_connections_max, monotonic)
        seats = {self.port: self.seats}
        self.health_port = None
        if options.health_port is not None:
            self.health_port = int(self._sockets[-1].getsockname()[1])
            most = HEALTH_CONNECTIONS_MAX
            seats[self.health_port] = Seats(most, most, monotonic, refusal=HEALTH_ALONE)
        wire = Wire(options.head_bytes_max, options.request_timeout_s, clients, options.trusted, seats)
        config = uvicorn.Config(
            AdmissionMiddleware(self.app, backend, clients),  # type: ignore[arg-type]
            http=limited_protocol(wire),
            ws=lingering(backend.limits.live.linger_s),
            ws_max_size=WS_MESSAGE_BYTES_MAX,
            ws_per_message_deflate=False,  # what it saves is not worth its memory for each connection
            loop="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=BACKLOG,
            timeout_keep_alive=max(1, int(options.keep_alive_s)),
            timeout_graceful_shutdown=max(1, int(options.stop_s)),
        )
        self._server = _Server(config, self._end)
        self._wire = wire
        self._beside: list[asyncio.Task[None]] = []  # that belong to TLS
        for name in ("uvicorn", "uvicorn.error", "uvicorn.asgi"):  # it speaks of what clients do wrong
            logging.getLogger(name).setLevel(logging.CRITICAL)

    @property
    def url(self) -> str:
        return self._url_of(self.port)

    @property
    def health_url(self) -> str | None:
        """Where health alone is asked; None where it has no port of its own."""
        return None if self.health_port is None else self._url_of(self.health_port)

    def _url_of(self, port: int) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'http' if self._certificate is None else 'https'}://{host}:{port}"

    async def run(self, listening: Callable[[str], None] = lambda url: None) -> None:
        """Serve until `stop` is called.

        Args:
            listening: called with the address as soon as requests are taken.
        """
        plain = self._sockets if self._certificate is None else []
        serving = asyncio.ensure_future(self._server.serve(sockets=plain))
        try:
            await self._server.begun.wait()
            if self._server.started:
                self._secure()
                health = {} if self.health_url is None else {"health": self.health_url}
                _log.info("api_listening", url=self.url, **health)
                listening(self.url)
            await asyncio.shield(serving)
        except asyncio.CancelledError:
            self._server.should_exit = True
            await serving
            raise
        finally:
            self._end()
            await asyncio.gather(*self._beside, return_exceptions=True)
            for each in self._sockets:
                each.close()
        _log.info("api_stopped")

    def _secure(self) -> None:
        """Take connections with TLS, where there is a certificate."""
        certificate = self._certificate
        if certificate is None:
            return
        protocol = limited_protocol(self._wire)
        shared = self._server.shared()
        listeners = [
            SecureListener(each, lambda: protocol(**shared), self._wire, certificate) for each in self._sockets
        ]
        works = [certificate.follow(self._runtime), *(each.run() for each in listeners)]
        self._beside = [asyncio.ensure_future(work) for work in works]

    def _end(self) -> None:
        """Notify the streams, and drop connections that are still in their handshake; wait for neither."""
        self.app.state.stopping.set()
        for work in self._beside:
            work.cancel()

    def stop(self) -> None:
        """End: no new connections, open streams are closed, what is left after `stop_s` is cut off."""
        self._server.should_exit = True


class _Server(uvicorn.Server):
    """Signals are the command's own; live streams learn of the end before they are waited for."""

    def __init__(self, config: uvicorn.Config, on_shutdown: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_shutdown = on_shutdown
        self.begun = asyncio.Event()

    def shared(self) -> dict[str, Any]:
        """What each protocol is made with."""
        return {"config": self.config, "server_state": self.server_state, "app_state": self.lifespan.state}

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        finally:
            self.begun.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._on_shutdown()
        await super().shutdown(sockets)


def _sockets(options: ApiOptions) -> list[socket.socket]:
    """That of the API, and where health has a port of its own that one; ConfigError: one cannot be had, and none is."""
    first = listening(options)
    if options.health_port is None:
        return [first]
    try:
        return [first, listening(options, options.health_port)]
    except ConfigError:
        first.close()
        raise


def listening(options: ApiOptions, port: int | None = None) -> socket.socket:
    """A socket that listens where the options say, or on another port; ConfigError where that cannot be."""
    port = options.port if port is None else port
    try:
        found = socket.getaddrinfo(options.host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        # by its protocol asyncio knows it for TCP, and sends at once; else a body waits 40 ms for a delayed ACK
        made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    except OSError as error:
        raise ConfigError(f"--host {options.host!r} is no address of this machine: {_reason(error)}") from None
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
        made.listen(BACKLOG)
        made.setblocking(False)
    except OSError as error:
        made.close()
        kind = PortTaken if error.errno == errno.EADDRINUSE else ConfigError
        raise kind(
            f"{options.host}:{port} cannot be listened on: {_reason(error)}; give another host or port"
        ) from None
    return made


def _reason(error: OSError) -> Any:
    return error.strerror or error
