"""`/v1/live`: a WebSocket that carries many subscriptions. What its commands mean is in `commands`.

Each subscription is a task that reads its stream and sends; all share one lock, so that what waits for a client
that does not read is one batch of each. A client that reads nothing for `send_s` is disconnected with that reason.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack, suppress
from typing import Any

from litestar import WebSocket, websocket

from tidelog.api.http.problems import Refused
from tidelog.api.live.commands import Ping, Subscribe, Unsubscribe, answer, event, parse
from tidelog.api.live.failure import log_failure
from tidelog.api.live.feeds.messages import Message, Messages
from tidelog.api.live.heartbeat import with_heartbeats
from tidelog.api.live.hub import Live
from tidelog.errors import TidelogError
from tidelog.telemetry import logger

__all__ = ["ROUTES"]

SILENCE_S = 3_600.0  # a subscription's own silence means nothing here: WebSocket pings show who is there

GOING_AWAY, TOO_SLOW, BARRED, TRY_LATER = 1001, 1008, 1008, 1013  # RFC 6455, 7.4.1, and its registry

_log = logger("live")


@websocket("/v1/live")
async def live_socket(socket: WebSocket[Any, Any, Any]) -> None:
    live: Live = socket.app.state.live
    await socket.accept()
    async with AsyncExitStack() as counted:
        try:
            live.admit()
            await counted.enter_async_context(live.counted(socket, "websocket"))
        except Refused as refused:
            await socket.close(code=TRY_LATER, reason=refused.message)
            return
        await _Connection(socket, live).serve()


class _Connection:
    """One client. `_leaving` is set with the code and the reason of its close."""

    def __init__(self, socket: WebSocket[Any, Any, Any], live: Live) -> None:
        self._socket = socket
        self._live = live
        self._sending = asyncio.Lock()
        self._tasks: dict[str, asyncio.Task[None]] = {}  # by the subscription's id
        self._given = 0  # ids that the server has given
        self._leaving: asyncio.Future[tuple[int, str]] = asyncio.get_running_loop().create_future()

    async def serve(self) -> None:
        """Until either side ends it."""
        hearing = asyncio.create_task(self._hear())
        stopping = asyncio.create_task(self._live.stopping.wait())
        barring = asyncio.create_task(self._live.barred(self._socket))
        waited: list[asyncio.Future[Any]] = [hearing, stopping, barring, self._leaving]
        try:
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        finally:
            tasks: list[asyncio.Task[Any]] = [hearing, stopping, barring, *self._tasks.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if hearing.done() and not hearing.cancelled() and hearing.exception() is None:
            return  # the client has left
        code, reason = (GOING_AWAY, "the server stops: connect again")
        if self._leaving.done():
            code, reason = self._leaving.result()
        elif barring.done() and not barring.cancelled():
            code, reason = BARRED, barring.result()
        with suppress(Exception):  # it may be gone meanwhile
            await self._socket.close(code=code, reason=reason)

    async def _hear(self) -> None:
        """Carry out commands until the client leaves."""
        while (message := await self._socket.receive())["type"] != "websocket.disconnect":
            said: Any = message.get("text") or message.get("bytes") or ""
            try:
                await self._obey(said)
            except Refused as refused:
                await self._send(answer("refused", error=refused.message))

    async def _obey(self, text: str | bytes) -> None:
        match parse(text):
            case Ping(id_):
                await self._send(answer("pong", id=id_))
            case Unsubscribe(id_):
                if (task := self._tasks.pop(id_, None)) is None:
                    raise Refused(404, f"there is no subscription {id_}")
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                await self._send(answer("unsubscribed", id=id_))
            case Subscribe(id_, topic):
                id_ = self._free(id_)
                try:
                    stream = await self._live.open(topic)
                except TidelogError:
                    raise Refused(503, "the store cannot answer: try again") from None
                except Refused as refused:
                    await self._send(answer("refused", id=id_, error=refused.message))
                    return
                await self._send(answer("subscribed", id=id_))
                self._tasks[id_] = asyncio.create_task(self._pump(id_, stream))

    def _free(self, id_: str | None) -> str:
        """The id of a new subscription."""
        most = self._live.limits.subscriptions_max
        if len(self._tasks) >= most:
            raise Refused(429, f"a connection has at most {most} subscriptions: give one up first")
        if id_ is None:
            self._given += 1
            return self._free(str(self._given))
        if id_ in self._tasks:
            raise Refused(400, f"there is a subscription {id_} already: give another id")
        return id_

    async def _pump(self, id_: str, stream: Messages) -> None:
        messages = with_heartbeats(stream, self._live.stopping, SILENCE_S)
        while (batch := await self._next(id_, messages)) is not None:
            for each in batch:  # what goes wrong here is that the client has left
                await self._send(event(id_, each))
            self._live.sent("websocket", batch)

    async def _next(self, id_: str, messages: AsyncIterator[list[Message]]) -> list[Message] | None:
        """What comes next. None: it has ended, or it failed, which the client has been told."""
        try:
            return await anext(messages, None)
        except Exception as error:
            sentence = log_failure(error)
        self._tasks.pop(id_, None)
        await self._send(answer("ended", id=id_, error=sentence))
        return None

    async def _send(self, data: bytes) -> None:
        """One message, once the client reads."""
        async with self._sending:
            await self._in_time(self._socket.send_data(data.decode(), mode="text", encoding="utf-8"))

    async def _in_time(self, sent: Awaitable[None]) -> None:
        send_s = self._live.limits.send_s
        try:
            async with asyncio.timeout(send_s):
                await sent
        except TimeoutError:
            if not self._leaving.done():
                _log.info("client_too_slow", seconds=send_s)
                self._leaving.set_result((TOO_SLOW, f"nothing was read for {send_s:g} s"))
            await asyncio.Future()  # what was to be sent is lost with the connection; `serve` ends this


ROUTES = [live_socket]
