"""What one client can do to a server: `python -m tests.system.attacking PORT ADDRESS TOKEN`, until it is ended.

From ADDRESS, all at once and without a pause of its own: idle sockets, heads that come a byte at a time, bodies that do
not come, as many live streams as it gets (with its good TOKEN), wrong tokens, hostile paths and bodies. Standard output
has a line for each second: how often each of them was answered, by status.
"""

import asyncio
import json
import os
import sys
from collections import Counter
from collections.abc import Awaitable, Callable

CONNECTIONS = {"idle": 400, "slow head": 60, "slow body": 16, "stream": 100, "wrong token": 32, "path": 16, "body": 16}
BYTE_S = 0.2  # of a slow head
AGAIN_S = 1.0  # after a connection was refused or cut: a flood of packets is a firewall's business

UNDER_WAY = ("stream 200", "wrong token 401", "path 40", "body 40")  # once these have been answered it is

HEAD = "HTTP/1.1\r\nhost: localhost\r\n"
PATHS = (
    *("/../../etc/passwd", "/%2e%2e/%2e%2e", "/v1/chains/%00", "/v1/chains/1337/blocks/" + "9" * 4_000),
    *("/wp-admin", "/v1/chains/1337/blocks/-1", "//", "/v1/markets/%F0%9F%92%A9/trades?limit=1e9"),
    *("/v1/chains/1337/addresses/0x/transactions?cursor=" + "A" * 2_000, "/metrics", "/v1/chains?" + "a=1&" * 1_000),
)
BODIES = (
    *(b"[" * 100_000, b'{"a":' * 20_000, b"\xff" * 10_000, b"", b"null", b'{"from_block": 1e400}'),
    *(b'{"topics": [' + b"[]," * 50_000 + b"[]]}", b'{"address": "0x' + b"f" * 200_000 + b'"}'),
)


class Attack:
    """One client's connections."""

    def __init__(self, port: int, source: str, token: str) -> None:
        self._port = port
        self._source = source
        self._good = f"authorization: Bearer {token}\r\n"
        self.answers: Counter[str] = Counter()
        self._is_nice = False  # not while it begins: on a busy machine that would take minutes

    async def run(self) -> None:
        """Until it is cancelled."""
        kinds: dict[str, Callable[[int], Awaitable[None]]] = {
            "idle": self._idle,
            "slow head": self._slow_head,
            "slow body": self._slow_body,
            "stream": self._stream,
            "wrong token": self._wrong_token,
            "path": self._path,
            "body": self._body,
        }
        async with asyncio.TaskGroup() as group:
            for kind, count in CONNECTIONS.items():
                for number in range(count):
                    group.create_task(self._again(kinds[kind], number))
            group.create_task(self._tell())

    async def _again(self, attack: Callable[[int], Awaitable[None]], number: int) -> None:
        while True:
            try:
                await attack(number)
            except (OSError, EOFError, asyncio.IncompleteReadError, ValueError):
                self.answers["cut off"] += 1
            await asyncio.sleep(AGAIN_S)

    async def _tell(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            print(json.dumps(self.answers), flush=True)
            if not self._is_nice and all(any(key.startswith(word) for key in self.answers) for word in UNDER_WAY):
                self._is_nice = True
                os.nice(19)  # it stands for a client elsewhere, whose processor is not the server's

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self._port, local_addr=(self._source, 0))

    async def _status(self, kind: str, reader: asyncio.StreamReader) -> int:
        """Of an answer, whose body is read too."""
        head = await reader.readuntil(b"\r\n\r\n")
        status = int(head.split()[1])
        self.answers[f"{kind} {status}"] += 1
        lengths = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        if lengths:
            await reader.readexactly(int(lengths[0]))
        return status

    async def _idle(self, number: int) -> None:
        reader, writer = await self._open()
        try:
            await reader.read(1)
        finally:
            writer.close()

    async def _slow_head(self, number: int) -> None:
        _, writer = await self._open()
        try:
            for letter in f"GET /v1/chains {HEAD}x: {'y' * 1_000}":
                writer.write(letter.encode())
                await writer.drain()
                await asyncio.sleep(BYTE_S)
        finally:
            writer.close()

    async def _slow_body(self, number: int) -> None:
        reader, writer = await self._open()
        try:
            writer.write(f"POST /rpc/1337 {HEAD}{self._good}content-length: 100\r\n\r\n[".encode())
            await self._status("slow body", reader)
        finally:
            writer.close()

    async def _stream(self, number: int) -> None:
        reader, writer = await self._open()
        try:
            writer.write(f"GET /v1/chains/1337/live/changes?after=0 {HEAD}{self._good}\r\n".encode())
            if await self._status("stream", reader) == 200:
                await asyncio.Future()  # and reads nothing
        finally:
            writer.close()

    async def _wrong_token(self, number: int) -> None:
        await self._requests("wrong token", lambda at: f"GET /v1/chains {HEAD}authorization: Bearer tl_{at}\r\n\r\n")

    async def _path(self, number: int) -> None:
        await self._requests("path", lambda at: f"GET {PATHS[at % len(PATHS)]} {HEAD}{self._good}\r\n")

    async def _body(self, number: int) -> None:
        def request(at: int) -> str:
            body = BODIES[at % len(BODIES)].decode("latin-1")
            path = "/rpc/1337" if at % 2 else "/v1/chains/1337/logs"
            kind = "content-type: application/json\r\n"
            return f"POST {path} {HEAD}{self._good}{kind}content-length: {len(body)}\r\n\r\n{body}"

        await self._requests("body", request)

    async def _requests(self, kind: str, request: Callable[[int], str]) -> None:
        reader, writer = await self._open()
        try:
            for at in range(1_000_000):
                writer.write(request(at).encode("latin-1"))
                await self._status(kind, reader)
        finally:
            writer.close()


if __name__ == "__main__":
    asyncio.run(Attack(int(sys.argv[1]), sys.argv[2], sys.argv[3]).run())
