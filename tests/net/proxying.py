"""A small proxy for tests: CONNECT, and requests in absolute form, to names that it resolves to this machine."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit


class SmallProxy:
    """`url` is its address; `asked` are the heads' first lines, `refusal` is a status with which it refuses."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[str] = []
        self.credentials: list[str] = []
        self.refusal: str | None = None
        self.tasks: set[asyncio.Task[None]] = set()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        try:
            await self._serve(reader, writer)
        finally:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            first, *fields = head.decode().split("\r\n")
            self.asked.append(first)
            for field in fields:
                if field.lower().startswith("proxy-authorization: basic "):
                    self.credentials.append(base64.b64decode(field.rpartition(" ")[2]).decode())
            if self.refusal is not None:
                writer.write(f"HTTP/1.1 {self.refusal}\r\nContent-Length: 0\r\n\r\n".encode())
            elif first.startswith("CONNECT "):
                await self._tunnel(int(first.split()[1].rpartition(":")[2]), reader, writer)
            else:
                await self._forward(first, head, reader, writer)

    async def _tunnel(self, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await self._both_ways(reader, writer, there, back)

    async def _forward(
        self, first: str, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        method, target, version = first.split()
        parts = urlsplit(target)
        there, back = await asyncio.open_connection("127.0.0.1", parts.port)
        back.write(f"{method} {parts.path}?{parts.query} {version}\r\n".encode() + head.partition(b"\r\n")[2])
        await self._both_ways(reader, writer, there, back)

    async def _both_ways(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        there: asyncio.StreamReader,
        back: asyncio.StreamWriter,
    ) -> None:
        async def pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
            with suppress(ConnectionError):
                while data := await source.read(65_536):
                    target.write(data)
                    await target.drain()
                target.close()

        try:
            await asyncio.gather(pump(reader, back), pump(there, writer))
        finally:
            back.close()


@asynccontextmanager
async def small_proxy() -> AsyncIterator[SmallProxy]:
    proxy = SmallProxy()
    server = await asyncio.start_server(proxy.accept, "127.0.0.1", 0)
    proxy.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield proxy
    finally:
        server.close()
        for task in proxy.tasks:
            task.cancel()
        await asyncio.gather(*proxy.tasks, return_exceptions=True)
        await server.wait_closed()
