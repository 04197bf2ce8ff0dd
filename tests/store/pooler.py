"""Poolers between the store and PostgreSQL: one made for tests, which is as hard as they come, and PgBouncer itself.

The one made for tests gives each transaction the server connection that was idle the longest, so that of two
transactions of one client never both run on the same; what a client leaves behind there shows in the next one's.
"""

import asyncio
import contextlib
import os
import pwd
import shutil
import socket
import struct
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit

from tests.conftest import missing
from tests.patience import HANGS_S
from tests.ports import reserved_port

__all__ = ["TransactionPooler", "pooled"]

SSL_REQUEST, CANCEL_REQUEST = 80877103, 80877102
TRACKED = {"user", "database", "client_encoding", "application_name"}  # as PgBouncer: all else is refused
SERVERS = 3  # connections to the server
POLL_S = 0.02  # PgBouncer tells nobody that it listens


class _Server:
    """A connection of the pooler's to PostgreSQL. `greeting` are the parameters that it told at the start."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.greeting = b""

    @classmethod
    async def open(cls, host: str, port: int, user: str, database: str) -> "_Server":
        server = cls(*await asyncio.open_connection(host, port))
        body = f"user\0{user}\0database\0{database}\0application_name\0tidelog\0\0".encode()
        server.writer.write(struct.pack("!II", len(body) + 8, 196608) + body)
        while True:
            kind, message = await _message(server.reader)
            if kind == b"S":
                server.greeting += message
            if kind == b"Z":
                return server
            assert kind in b"RKS", message


async def _message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Its type, and the whole of it."""
    head = await reader.readexactly(5)
    return head[:1], head + await reader.readexactly(struct.unpack("!I", head[1:])[0] - 4)


class TransactionPooler:
    """`async with TransactionPooler(url) as pooler:` listens at `pooler.url`; `refuses` settings, or forgets them."""

    def __init__(self, url: str, *, refuses: bool = True) -> None:
        parts = urlsplit(url)
        self._server_at = (parts.hostname or "", parts.port or 0, parts.username or "", parts.path[1:])
        self._refuses = refuses
        self._idle: deque[_Server] = deque()
        self._returned = asyncio.Condition()
        self._listener: asyncio.Server
        self._clients: set[asyncio.Task[None]] = set()
        self.refused: list[str] = []  # the settings
        self.url = ""

    async def __aenter__(self) -> "TransactionPooler":
        self._idle.extend([await _Server.open(*self._server_at) for _ in range(SERVERS)])
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._listener.sockets[0].getsockname()[1]
        self.url = f"postgresql://{self._server_at[2]}@127.0.0.1:{port}/{self._server_at[3]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listener.close()
        for task in self._clients:
            task.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)
        for server in self._idle:
            server.writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._clients.add(task)
        try:
            if await self._greeted(reader, writer):
                await self._relay(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._clients.discard(task)
            writer.close()

    async def _greeted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        while True:
            size, code = struct.unpack("!II", await reader.readexactly(8))
            body = await reader.readexactly(size - 8)
            if code == CANCEL_REQUEST:
                return False
            if code != SSL_REQUEST:
                break
            writer.write(b"N")
        words = body.decode().split("\0")
        unknown = set(words[:-2:2]) - TRACKED
        if unknown and self._refuses:
            self.refused += sorted(unknown)
            fields = f"SFATAL\0VFATAL\0C08P01\0Munsupported startup parameter: {min(unknown)}\0\0".encode()
            writer.write(b"E" + struct.pack("!I", len(fields) + 4) + fields)
            return False
        writer.write(b"R" + struct.pack("!II", 8, 0) + self._idle[0].greeting)
        writer.write(b"K" + struct.pack("!III", 12, 2**31 - 1, 7) + b"Z" + struct.pack("!I", 5) + b"I")
        return True

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server, answering = None, None
        try:
            while True:
                kind, message = await _message(reader)
                if kind == b"X":
                    return
                if answering is None or answering.done():
                    server = await self._taken()
                    answering = asyncio.ensure_future(self._answer(server, writer))
                assert server is not None
                server.writer.write(message)
        finally:
            if server is not None and answering is not None and not answering.done():
                answering.cancel()  # in the midst of a transaction: the server rolls back
                server.writer.close()
                self._idle.append(await _Server.open(*self._server_at))

    async def _taken(self) -> _Server:
        async with self._returned:
            await self._returned.wait_for(lambda: self._idle)
            return self._idle.popleft()

    async def _answer(self, server: _Server, writer: asyncio.StreamWriter) -> None:
        """Hand over what the server says, until its transaction is over."""
        while True:
            kind, message = await _message(server.reader)
            if kind == b"Z" and message[5:] == b"I":
                async with self._returned:
                    self._idle.append(server)
                    self._returned.notify()
                # the task is done before the client can say more: nothing is awaited from here
                writer.write(message)
                return
            writer.write(message)


def pgbouncer_program() -> str | None:
    return os.environ.get("TIDELOG_PGBOUNCER") or shutil.which("pgbouncer") or shutil.which("/usr/sbin/pgbouncer")


@contextlib.contextmanager
def pgbouncer(program: str, url: str, mode: str) -> Iterator[str]:
    """The URL of a PgBouncer in front of the database at `url`, with the settings that it has by itself."""
    parts = urlsplit(url)
    port = reserved_port()
    settings = (
        f"[databases]\n{parts.path[1:]} = host={parts.hostname} port={parts.port} user={parts.username}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nauth_type = any\nunix_socket_dir =\n"
        f"pool_mode = {mode}\ndefault_pool_size = 8\n"
    )
    nobody = pwd.getpwnam("nobody") if os.geteuid() == 0 else None  # it refuses root
    with tempfile.NamedTemporaryFile("w", suffix=".ini", delete=False) as file:
        file.write(settings)
    os.chmod(file.name, 0o644)
    process = subprocess.Popen(
        [program, file.name],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        user=nobody and nobody.pw_uid,
        group=nobody and nobody.pw_gid,
        extra_groups=None if nobody is None else [],
    )
    try:
        deadline = time.monotonic() + HANGS_S
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            assert process.poll() is None, f"pgbouncer ended with {process.returncode}"
            assert time.monotonic() < deadline
            time.sleep(POLL_S)
        yield f"postgresql://{parts.username}@127.0.0.1:{port}{parts.path}"
    finally:
        process.kill()
        process.wait()
        os.unlink(file.name)


@contextlib.asynccontextmanager
async def pooled(kind: str, url: str) -> AsyncIterator[str]:
    """The URL of a pooler: refusing, forgetting; session, transaction (PgBouncer's modes)."""
    if kind in ("refusing", "forgetting"):
        async with TransactionPooler(url, refuses=kind == "refusing") as pooler:
            yield pooler.url
        return
    program = pgbouncer_program()
    if program is None:
        missing("pgbouncer is not here: .ci/packages installs it, TIDELOG_PGBOUNCER names another one")
    assert program is not None
    with pgbouncer(program, url, kind) as address:
        yield address
