"""A TCP proxy that misbehaves as networks do, told from outside how: served from a thread of its own."""

import asyncio
import socket
import struct
import threading
from collections import Counter
from collections.abc import Coroutine
from contextlib import suppress
from enum import Enum
from types import TracebackType
from typing import Any, TypeVar
from urllib.parse import urlsplit

from tests.patience import HANGS_S

__all__ = ["Manner", "Proxy"]

T = TypeVar("T")

CHUNK = 65_536
AFTER_BYTES = 700  # of an answer that pass before a fault shows: within a block, and within a frame
TRICKLE_BYTES = 200
TRICKLE_S = 0.002
LINGER = struct.pack("ii", 1, 0)  # close by RST


class Manner(Enum):
    """What happens to what the server sends, as of the next bytes."""

    SOUND = "sound"
    STALL = "stall"  # after some bytes nothing more comes, and the connection stays
    RESET = "reset"  # after some bytes the connection is reset
    TRICKLE = "trickle"  # a few bytes at a time
    HALF_CLOSE = "half-close"  # after some bytes the server's side is closed; ours may still send
    REFUSE = "refuse"  # a connection is accepted and closed at once


class Proxy:
    """`with Proxy() as proxy:` a connection to the address that `proxy.route(url)` gives goes on to that of the URL."""

    def __init__(self, address: str = "127.0.0.1") -> None:
        """`address`: one of this machine's, at which it listens."""
        self._address = address
        self.manner = Manner.SOUND
        self.shown: Counter[Manner] = Counter()
        self.port = 0
        self._target = ("", 0)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy")
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()
        self._clients: list[asyncio.WriteTransport] = []

    def __enter__(self) -> "Proxy":
        self._thread.start()
        self._run(self._start())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._run(self._stop())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(HANGS_S)
            self._loop.close()

    def route(self, url: str) -> str:
        """The URL by way of this proxy, which leads there from now on."""
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        self._target = (parts.hostname, parts.port)
        return parts._replace(netloc=f"{self._address}:{self.port}").geturl()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(HANGS_S)

    async def _start(self) -> None:
        self._server = await asyncio.start_server(self._accept, self._address, 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)
        for client in self._clients:  # one that is cut off takes nothing more, and would never be closed
            client.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        self._clients.append(writer.transport)
        try:
            if self.manner is Manner.REFUSE:
                self.shown[Manner.REFUSE] += 1
                return
            there, onwards = await asyncio.open_connection(*self._target)
            sending = asyncio.create_task(_pump(reader, onwards))
            try:
                await self._answer(there, writer)
            finally:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)
                onwards.close()
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._open.discard(task)
            writer.close()

    async def _answer(self, there: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on what the server says, in the manner of the moment."""
        while data := await there.read(CHUNK):
            manner = self.manner
            if manner is Manner.TRICKLE:
                self.shown[manner] += 1
                for start in range(0, len(data), TRICKLE_BYTES):
                    writer.write(data[start : start + TRICKLE_BYTES])
                    await writer.drain()
                    await asyncio.sleep(TRICKLE_S)
                continue
            if manner in (Manner.SOUND, Manner.REFUSE):
                writer.write(data)
                await writer.drain()
                continue
            self.shown[manner] += 1
            writer.write(data[:AFTER_BYTES])
            await writer.drain()
            if manner is Manner.STALL:
                await asyncio.Event().wait()
            elif manner is Manner.RESET:
                raw = writer.get_extra_info("socket")
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER)
                return
            else:
                writer.write_eof()
                await asyncio.Event().wait()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
