"""A `SimNode` on real HTTP and WebSocket, on the loopback interface. No decision is taken here."""

import asyncio
import contextlib
from types import TracebackType

from aiohttp import WSMsgType, web

from tidelog.runtime import Runtime, SystemRuntime
from tidelog.sim.node.answers import TRICKLE_S, Answer, Ending
from tidelog.sim.node.chain.tree import BlockTree
from tidelog.sim.node.heads import Heads
from tidelog.sim.node.node import Replica, SimNode

HOST = "127.0.0.1"
SHUTDOWN_S = 1.0  # for answers under way; stalled ones are let go of first


class NodeServer:
    """`async with NodeServer(node) as server:` listens; leaving it closes every connection."""

    def __init__(self, node: SimNode, *, port: int = 0, runtime: Runtime | None = None) -> None:
        """`port` 0 is any free one, the same again after `stop` and `start`."""
        self.node = node
        self._port = port
        self._runtime = runtime or SystemRuntime()
        self._runner: web.AppRunner | None = None
        self._closing = asyncio.Event()
        self._sessions: set[_Session] = set()

    async def __aenter__(self) -> "NodeServer":
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def port(self) -> int:
        return self._port

    def url(self, path: str = "") -> str:
        """The HTTP address of a path, such as "replica-1" or "v2/KEY"."""
        return f"http://{HOST}:{self._port}/{path}"

    def websocket_url(self, path: str = "") -> str:
        return f"ws://{HOST}:{self._port}/{path}"

    async def start(self) -> None:
        self._closing = asyncio.Event()
        application = web.Application(client_max_size=self.node.limits.request_bytes + 1)
        application.router.add_post("/{path:.*}", self._post)
        application.router.add_get("/{path:.*}", self._socket)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=SHUTDOWN_S)
        await self._runner.setup()
        site = web.TCPSite(self._runner, HOST, self._port)
        await site.start()
        self._port = self._runner.addresses[0][1]
        if isinstance(self.node.chain, BlockTree):
            self.node.chain.watchers.append(self._wake)

    async def stop(self) -> None:
        """Refuse connections from now on, and drop those there are."""
        if self._runner is None:
            return
        if isinstance(self.node.chain, BlockTree):
            self.node.chain.watchers.remove(self._wake)
        self._closing.set()
        for session in tuple(self._sessions):
            await session.socket.close()
        await self._runner.cleanup()
        self._runner = None

    async def mine(self, block_time_s: float) -> None:
        """Tick every `block_time_s`, until cancelled."""
        while True:
            await self._runtime.sleep(block_time_s)
            self.node.tick()

    def _wake(self) -> None:
        for session in self._sessions:
            session.changed.set()

    async def _post(self, request: web.Request) -> web.StreamResponse:
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return web.Response(status=413, text="content length too large")
        answer = self.node.handle(request.path, body, now=self._runtime.now())
        if answer.delay_s:
            await self._runtime.sleep(answer.delay_s)
        if answer.ending is Ending.COMPLETE:
            return web.Response(status=answer.status, body=answer.body, headers=dict(answer.headers))
        return await self._play(request, answer)

    async def _play(self, request: web.Request, answer: Answer) -> web.StreamResponse:
        """An answer that does not end as it should."""
        response = web.StreamResponse(status=answer.status, headers=dict(answer.headers))
        if answer.ending is Ending.STALL:
            await self._closing.wait()
        if answer.ending is Ending.CUT:
            response.content_length = len(answer.body) + 1
        with contextlib.suppress(ConnectionError):
            if answer.ending is Ending.HANG:
                response.content_length = len(answer.body) + 1
                await response.prepare(request)
                await response.write(answer.body)
                await self._closing.wait()
            elif answer.ending is Ending.TRICKLE:
                await self._trickle(request, response, answer.body)
            elif answer.body:
                await response.prepare(request)
                await response.write(answer.body)
            while answer.ending is Ending.ENDLESS and not self._closing.is_set():
                await response.write(answer.body)
        if request.transport is not None:
            request.transport.abort()
        return response

    async def _trickle(self, request: web.Request, response: web.StreamResponse, body: bytes) -> None:
        response.content_length = len(body)
        await response.prepare(request)
        for start in range(len(body)):
            await response.write(body[start : start + 1])
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), TRICKLE_S)
            if self._closing.is_set():
                return

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        replica = self.node.route(request.path)
        if replica is None:
            return web.Response(status=404, text="no such replica")
        socket = web.WebSocketResponse(max_msg_size=self.node.limits.request_bytes)
        if not socket.can_prepare(request):
            return web.Response(status=405, text="POST JSON-RPC here, or open a WebSocket")
        await socket.prepare(request)
        session = _Session(self.node, replica, request.path, socket, self._runtime)
        self._sessions.add(session)
        try:
            await session.run()
        finally:
            self._sessions.discard(session)
        return socket


class _Session:
    """One WebSocket: calls are answered, and newHeads sent to whoever subscribed."""

    def __init__(
        self, node: SimNode, replica: Replica, path: str, socket: web.WebSocketResponse, runtime: Runtime
    ) -> None:
        self.socket = socket
        self.changed = asyncio.Event()
        self._node = node
        self._path = path
        self._runtime = runtime
        self._heads = Heads(node, replica)

    async def run(self) -> None:
        pusher = asyncio.create_task(self._push())
        try:
            async for message in self.socket:
                if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                    await self._receive(message.data)
        except ConnectionError:
            pass  # the peer went away while it was being answered
        finally:
            pusher.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                await pusher

    async def _receive(self, data: str | bytes) -> None:
        body = data.encode() if isinstance(data, str) else data
        reply = self._heads.answer(body)
        if reply is None:
            answer = self._node.handle(self._path, body, now=self._runtime.now())
            if answer.ending in (Ending.STALL, Ending.HANG, Ending.TRICKLE):
                return
            if answer.ending is not Ending.COMPLETE:
                await self.socket.close()
                return
            reply = answer.body
        if reply:
            await self.socket.send_str(reply.decode())

    async def _push(self) -> None:
        while True:
            await self.changed.wait()
            self.changed.clear()
            for notification in self._heads.due():
                await self.socket.send_str(notification.decode())
