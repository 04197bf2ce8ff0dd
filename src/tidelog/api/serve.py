"""Serving: a socket, uvicorn on it inside our own event loop, and an end in order. No routes in here."""

import asyncio
import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from tidelog.api.app import create_app
from tidelog.api.backend import Backend
from tidelog.api.door import Door
from tidelog.api.live.connections import StreamWebSocket
from tidelog.api.options import ApiOptions
from tidelog.api.wire import limited_protocol
from tidelog.errors import ConfigError
from tidelog.telemetry import logger

__all__ = ["ApiServer"]

BACKLOG = 256  # connections that wait to be accepted: a burst of a browser's, or a restart's
WS_MESSAGE_BYTES_MAX = 64 * 1024  # what a client asks of a live stream is a few hundred bytes

_log = logger("api")


class ApiServer:
    """A server over a backend. `run` serves until `stop`; the address is known once it listens."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        options = backend.options
        self.app = create_app(backend)
        self._socket = listening(options)
        host, port = self._socket.getsockname()[:2]
        self.host, self.port = str(host), int(port)
        protocol = limited_protocol(
            head_bytes_max=options.head_bytes_max,
            head_s=options.request_timeout_s,
            connections_max=options.connections_max,
        )
        config = uvicorn.Config(
            Door(self.app, backend),  # type: ignore[arg-type]
            http=protocol,
            ws=StreamWebSocket,
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
        self._server = _Server(config, lambda: self.app.state.stopping.set())
        for name in ("uvicorn", "uvicorn.error", "uvicorn.asgi"):  # it speaks of what clients do wrong
            logging.getLogger(name).setLevel(logging.CRITICAL)

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    async def run(self, listening: Callable[[str], None] = lambda url: None) -> None:
        """Serve until `stop` is called.

        Args:
            listening: called with the address as soon as requests are taken.
        """
        serving = asyncio.ensure_future(self._server.serve(sockets=[self._socket]))
        try:
            await self._server.begun.wait()
            if self._server.started:
                _log.info("api_listening", url=self.url)
                listening(self.url)
            await asyncio.shield(serving)
        except asyncio.CancelledError:
            self._server.should_exit = True
            await serving
            raise
        finally:
            self._socket.close()
        _log.info("api_stopped")

    def stop(self) -> None:
        """End: no new connections, open streams are told, what is left after `stop_s` is cut off."""
        self._server.should_exit = True


class _Server(uvicorn.Server):
    """Signals are the command's own; live streams learn of the end before they are waited for."""

    def __init__(self, config: uvicorn.Config, on_shutdown: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_shutdown = on_shutdown
        self.begun = asyncio.Event()

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


def listening(options: ApiOptions) -> socket.socket:
    """A socket that listens where the options say; ConfigError where that cannot be."""
    try:
        found = socket.getaddrinfo(options.host, options.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
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
        raise ConfigError(f"{options.host}:{options.port} cannot be listened on: {_reason(error)}") from None
    return made


def _reason(error: OSError) -> Any:
    return error.strerror or error
