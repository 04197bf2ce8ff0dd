"""A `SimExchange` on a real socket of the loopback interface: WebSocket and REST on one port.

No decision is taken here. Plain streams instead of a WebSocket library, because a library does not send what
is broken.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from types import TracebackType

from msgspec import Struct

from tidelog.runtime import Runtime, SystemRuntime
from tidelog.sim.exchange.core import SimExchange
from tidelog.sim.exchange.delivery import ABNORMAL, Close, Manner
from tidelog.sim.exchange.protocol.recording import Recording
from tidelog.sim.exchange.session import Session
from tidelog.sim.exchange.wire import framing
from tidelog.sim.node.answers import Answer, Ending

HOST = "127.0.0.1"
TICK_S = 0.02  # how fine time is when a runtime drives it
HEAD_BYTES_MAX = 64 * 1024
BODY_BYTES_MAX = 64 * 1024
WRITE_BYTES = 256 * 1024  # put together for one write
SLICE_S = 0.005  # of a stream with a rate: what is written at once
TRICKLE_S = 0.001  # between two pieces
TRICKLE_PIECES_MAX = 500  # a long message comes in larger pieces than bytes, or it would take minutes
CLOSE_S = 1.0  # for the client's half of a close, and for what it has still to read


class ExchangeServer:
    """`async with ExchangeServer(exchange) as server:` listens; leaving it drops every connection."""

    def __init__(self, exchange: SimExchange, *, port: int = 0, runtime: Runtime | None = None) -> None:
        """
        Args:
            port: 0 is any free one, the same again after `stop` and `start`.
            runtime: its wall clock drives the exchange; without one time passes by `exchange.advance` alone.
        """
        self.exchange = exchange
        self._port = port
        self._driven = runtime is not None
        self.runtime = runtime or SystemRuntime()
        self._server: asyncio.Server | None = None
        self._ticking: asyncio.Task[None] | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._chunks: dict[tuple[str, str, str | None], Sequence[tuple[int, bytes]]] = {}

    async def __aenter__(self) -> "ExchangeServer":
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def port(self) -> int:
        return self._port

    def url(self, protocol: str = "v2", *, private: bool = False) -> str:
        """The WebSocket address that speaks "v1" or "v2"."""
        path = "/".join([part for part in ("auth" if private else "", "v2" if protocol == "v2" else "") if part])
        return f"ws://{HOST}:{self._port}/{path}"

    @property
    def rest_url(self) -> str:
        """The address of the REST API, without a path."""
        return f"http://{HOST}:{self._port}"

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, HOST, self._port, limit=HEAD_BYTES_MAX)
        self._port = self._server.sockets[0].getsockname()[1]
        if self._driven:
            self._ticking = asyncio.create_task(self._tick())

    async def stop(self) -> None:
        """Refuse connections from now on, and drop those there are. Raises what had ended time, if anything."""
        if self._server is None:
            return
        server, self._server = self._server, None
        server.close()
        ticking, self._ticking = self._ticking, None
        tasks = [*self._connections, *([] if ticking is None else [ticking])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()
        if ticking is not None and not ticking.cancelled():
            ticking.result()  # time ended by a mistake in the core: that is not to be swallowed

    async def _tick(self) -> None:
        while True:
            await self.runtime.sleep(TICK_S)
            self.exchange.tick(int(self.runtime.now() * 1_000_000))

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            await self._serve(reader, writer)
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError):
            writer.transport.abort()  # the client is gone, or speaks something else
        except asyncio.CancelledError:  # the server stops, and nobody awaits what streams started
            writer.transport.abort()
        finally:
            self._connections.discard(task)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = _parse((await reader.readuntil(b"\r\n\r\n")).decode("latin-1"))
        if request.headers.get("upgrade", "").lower() == "websocket":
            address, _ = writer.get_extra_info("peername")
            session = self.exchange.connect(request.path, address=address)
            if isinstance(session, Session):
                await _Connection(self, session, reader, writer).run(request.headers.get("sec-websocket-key", ""))
                return
            answer = session
        elif request.method == "POST":
            size = int(request.headers.get("content-length", "0"))
            if not 0 <= size <= BODY_BYTES_MAX:
                raise ValueError("too large a body")
            answer = self.exchange.post(request.path, request.headers, await reader.readexactly(size))
        else:
            answer = Answer(405, b"open a WebSocket, or POST for a token", (("content-type", "text/plain"),))
        await _respond(answer, writer)

    def chunks(self, stream: tuple[str, str, str | None]) -> Sequence[tuple[int, bytes]]:
        """A recorded stream as what is written to a socket, and how many frames that is; made once for all."""
        if stream not in self._chunks:
            recording = self.exchange.recording
            assert recording is not None
            frames_max = None if recording.per_second is None else max(1, round(recording.per_second * SLICE_S))
            chunks: list[tuple[int, bytes]] = []
            parts: list[bytes] = []
            size = 0
            for frame in recording.stream(*stream):
                parts.append(framing.encode(frame))
                size += len(parts[-1])
                if size >= WRITE_BYTES or len(parts) == frames_max:
                    chunks.append((len(parts), b"".join(parts)))
                    parts, size = [], 0
            self._chunks[stream] = [*chunks, (len(parts), b"".join(parts))]
        return self._chunks[stream]


class _Connection:
    """One WebSocket: a reader, and a writer that carries out what the session wants sent."""

    def __init__(
        self, server: ExchangeServer, session: Session, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._server = server
        self._session = session
        self._reader = reader
        self._writer = writer
        self._due = asyncio.Event()
        self._due.set()
        session.wake = self._due.set

    async def run(self, key: str) -> None:
        head = f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" \
               f"Sec-WebSocket-Accept: {framing.accept_key(key)}\r\n\r\n"  # fmt: skip
        self._writer.write(head.encode())
        sending = asyncio.create_task(self._send())
        receiving = asyncio.create_task(self._receive())
        try:
            done, _ = await asyncio.wait((sending, receiving), return_when=asyncio.FIRST_COMPLETED)
            if receiving not in done:  # we closed: the client answers that before it goes
                await asyncio.wait((receiving,), timeout=CLOSE_S)
            for task in done:
                task.result()
        finally:
            self._session.lost()
            for task in (sending, receiving):
                task.cancel()
            await asyncio.gather(sending, receiving, return_exceptions=True)
            self._writer.close()
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(CLOSE_S):  # a client that does not read would hold it up for ever
                    await self._writer.wait_closed()
            self._writer.transport.abort()

    async def _receive(self) -> None:
        session = self._session
        while True:
            received = await framing.read(self._reader)
            if session.half_open:
                continue
            if received.opcode == framing.PING:
                self._writer.write(framing.encode(received.payload, framing.FIN | framing.PONG))
            elif received.opcode == framing.CLOSE:
                if not session.closed:
                    self._writer.write(framing.encode(received.payload, framing.FIN | framing.CLOSE))
                return
            elif received.opcode == framing.TEXT:
                session.receive(received.payload)

    async def _send(self) -> None:
        """Carry out deliveries until one of them is the end."""
        session, writer = self._session, self._writer
        while True:
            await self._due.wait()
            self._due.clear()
            parts: list[bytes] = []
            while session.outbox:
                delivery = session.outbox.popleft()
                if isinstance(delivery, Close):
                    await self._end(delivery.code, b"".join(parts))
                    return
                encoded = framing.encode_message(delivery.frame.data, delivery.manner)
                if delivery.manner is Manner.TRICKLE:
                    self._write(b"".join(parts))
                    parts = []
                    await self._trickle(encoded)
                else:
                    parts.append(encoded)
            self._write(b"".join(parts))
            await writer.drain()
            await self._play()

    def _write(self, data: bytes) -> None:
        """OSError: the client has gone. Of this asyncio's loop says so at the next drain, uvloop by a RuntimeError."""
        if self._writer.is_closing():
            raise ConnectionResetError("the client has gone")
        self._writer.write(data)

    async def _end(self, code: int, before: bytes) -> None:
        self._write(before if code == ABNORMAL else before + framing.encode_close(code))
        with contextlib.suppress(OSError):
            await self._writer.drain()
        if code == ABNORMAL:
            self._writer.transport.abort()

    async def _trickle(self, encoded: bytes) -> None:
        size = -(-len(encoded) // TRICKLE_PIECES_MAX)
        for at in range(0, len(encoded), size):
            self._write(encoded[at : at + size])
            await self._writer.drain()
            await self._server.runtime.sleep(TRICKLE_S)

    async def _play(self) -> None:
        """What is recorded and not paced, as fast as the client reads."""
        recording = self._server.exchange.recording
        for subscription in self._session.unpaced():
            assert recording is not None
            stream = (self._session.dialect.NAME, subscription.key.channel, subscription.key.symbol)
            subscription.played = recording.rounds * len(recording.stream(*stream))
            await self._pour(recording, self._server.chunks(stream))

    async def _pour(self, recording: Recording, chunks: Sequence[tuple[int, bytes]]) -> None:
        runtime, writer = self._server.runtime, self._writer
        begun, sent = runtime.monotonic(), 0
        for number in range(recording.rounds):
            for count, chunk in chunks:  # one by one: they may be made when they are asked for, with the time of then
                self._write(recording.in_round(chunk, number))
                await writer.drain()
                sent += count
                if recording.per_second is not None:
                    await runtime.sleep(max(0.0, begun + sent / recording.per_second - runtime.monotonic()))


class _Request(Struct, frozen=True):
    method: str
    path: str
    headers: dict[str, str]  # names in lower case


def _parse(head: str) -> _Request:
    """ValueError: that is no HTTP."""
    first, *lines = head.rstrip().split("\r\n")
    method, path, _ = first.split(" ")
    fields = [line.partition(":") for line in lines]
    return _Request(method, path, {name.strip().lower(): value.strip() for name, _, value in fields})


async def _respond(answer: Answer, writer: asyncio.StreamWriter) -> None:
    if answer.ending is Ending.STALL:
        await asyncio.get_running_loop().create_future()
    if answer.ending is Ending.RESET:
        writer.transport.abort()
        return
    headers = (*answer.headers, ("content-length", str(len(answer.body))), ("connection", "close"))
    head = f"HTTP/1.1 {answer.status} -\r\n" + "".join([f"{name}: {value}\r\n" for name, value in headers])
    writer.write(head.encode() + b"\r\n" + answer.body)
    await writer.drain()
    writer.close()
    await writer.wait_closed()
