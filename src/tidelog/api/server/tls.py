"""TLS before the HTTP protocol: the certificate, read again when its files change, and connections that it secures.

A connection has its seat before its handshake begins, so that a client that never completes one counts against
the connection limits, and has the time of a request's head.
"""

import asyncio
import os
import socket
import ssl
from collections.abc import Callable

from tidelog.api.access.connections import StreamHttp
from tidelog.api.access.seats import NoSeat, Seat
from tidelog.api.server.protocol import Wire, seated
from tidelog.errors import ConfigError
from tidelog.runtime import Runtime
from tidelog.telemetry import logger

__all__ = ["Certificate", "SecureListener"]

LOOK_S = 2.0  # between looks at the files: who renews them waits for nothing longer
SHUTDOWN_S = 5.0  # for the other side's own end of TLS
AGAIN_S = 0.1  # after a connection that could not be taken
ALPN = ["http/1.1"]

_log = logger("api")


class Certificate:
    """A certificate with its key. `context` is of those that were read last, whole.

    Raises:
        ConfigError: they cannot be read, or do not belong together.
    """

    def __init__(self, cert: str, key: str | None) -> None:
        self._cert = cert
        self._key = key
        self._stamp = self._look()
        self._trouble = ""
        self.context = self._load()

    async def follow(self, runtime: Runtime) -> None:
        """Read the files again whenever they change, for ever."""
        while True:
            await runtime.sleep(LOOK_S)
            self.refresh()

    def refresh(self) -> None:
        """Read the files again if they have changed. A broken certificate changes nothing, and is logged once."""
        stamp = self._look()
        if stamp == self._stamp and not self._trouble:
            return
        try:
            self.context = self._load()
        except ConfigError as error:  # a renewal that has replaced one of the two files, or a mistake
            if str(error) != self._trouble:
                _log.error("certificate_refused", reason=str(error))
            self._trouble = str(error)
        else:
            _log.info("certificate_read", file=self._cert)
            self._stamp, self._trouble = stamp, ""

    def _look(self) -> tuple[tuple[int, int, int], ...]:
        """What changes with the files."""
        found = []
        for path in filter(None, (self._cert, self._key)):
            try:
                status = os.stat(path)
            except OSError:
                continue
            found.append((status.st_mtime_ns, status.st_ino, status.st_size))
        return tuple(found)

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(ALPN)
        files = self._cert if self._key is None else f"{self._cert} and {self._key}"
        try:
            context.load_cert_chain(self._cert, self._key, password=self._no_password)
        except ssl.SSLError as error:
            why = (error.reason or "").replace("_", " ").lower() or "no PEM in it"
            raise ConfigError(f"TLS: {files} are no certificate and its key: {why}") from None
        except OSError as error:
            raise ConfigError(f"TLS: {files} cannot be read: {error.strerror}") from None
        return context

    def _no_password(self) -> str:
        raise ConfigError(f"TLS: the key in {self._key or self._cert} is encrypted: give one without a passphrase")


class SecureListener:
    """Takes the connections of a socket that listens, and makes each secure before anybody speaks HTTP on it.

    Args:
        make: makes the protocol that speaks HTTP.
    """

    def __init__(
        self, listener: socket.socket, make: Callable[[], StreamHttp], wire: Wire, certificate: Certificate
    ) -> None:
        self._listener = listener
        self._make = make
        self._wire = wire
        self._certificate = certificate
        self._handshakes: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Until it is cancelled; handshakes that are under way then are dropped."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                try:
                    connection, peer = await loop.sock_accept(self._listener)
                except OSError:  # no more files may be open, or the client has gone already
                    await asyncio.sleep(AGAIN_S)
                    continue
                self._begin(connection, str(peer[0]))
        finally:
            for handshake in self._handshakes:
                handshake.cancel()

    def _begin(self, connection: socket.socket, peer: str) -> None:
        try:
            seat = seated(self._wire, peer, self._listener.getsockname()[1], connection.close)
        except NoSeat:
            connection.close()  # without a handshake there is no way to say why
            return
        handshake = asyncio.get_running_loop().create_task(self._secure(connection, seat))
        seat.drop = handshake.cancel
        self._handshakes.add(handshake)
        handshake.add_done_callback(self._handshakes.discard)

    async def _secure(self, connection: socket.socket, seat: Seat) -> None:
        def make() -> StreamHttp:
            made = self._make()
            made.seat = seat
            return made

        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                make,
                connection,
                ssl=self._certificate.context,
                ssl_handshake_timeout=self._wire.head_s,
                ssl_shutdown_timeout=SHUTDOWN_S,
            )
        except OSError:  # no TLS, too slow, gone: there is no one to answer
            seat.leave()
        except BaseException:
            seat.leave()
            raise
