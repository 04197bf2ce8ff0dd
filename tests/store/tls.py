"""TLS in front of the tests' PostgreSQL, whose build has none: real certificates, a real handshake."""

import asyncio
import datetime
import ipaddress
import ssl
import struct
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

__all__ = ["Certificates", "TlsFront", "certificates"]

SSL_REQUEST = struct.pack("!II", 8, 80877103)
PIECE = 1 << 16


class Certificates(NamedTuple):
    """Files: who signed, and the server's own certificate with its key. It is for 127.0.0.1 alone."""

    authority: Path
    server: Path


def certificates(folder: Path) -> Certificates:
    now = datetime.datetime.now(datetime.UTC)
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in ("tests", "server")]
    made = []
    for at in (0, 1):
        builder = x509.CertificateBuilder(names[0], names[at], keys[at].public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(now - datetime.timedelta(days=1))
        builder = builder.not_valid_after(now + datetime.timedelta(days=1))
        builder = builder.add_extension(x509.BasicConstraints(ca=at == 0, path_length=None), critical=True)
        builder = builder.add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        made.append(builder.sign(keys[0], hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    key = keys[1].private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    found = Certificates(folder / "ca.pem", folder / "server.pem")
    found.authority.write_bytes(made[0])
    found.server.write_bytes(made[1] + key)
    return found


class TlsFront:
    """`async with TlsFront(port, certificates) as front:` speaks TLS at `front.port` for the server at `port`."""

    def __init__(self, server_port: int, files: Certificates) -> None:
        self._server_port = server_port
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(files.server)
        self._tasks: set[asyncio.Task[None]] = set()
        self.secured = 0  # connections that came with TLS
        self.port = 0

    async def __aenter__(self) -> "TlsFront":
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listener.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._server_port)
        try:
            first = await reader.readexactly(8)
            if first == SSL_REQUEST:
                writer.write(b"S")
                await writer.start_tls(self._context)
                self.secured += 1
            else:
                server_writer.write(first)
            await asyncio.gather(_copied(reader, server_writer), _copied(server_reader, writer))
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self._tasks.discard(task)
            for each in (writer, server_writer):
                each.transport.abort()  # after a handshake that failed an orderly end never comes


async def _copied(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(PIECE):
        writer.write(piece)
        await writer.drain()
    writer.close()
