"""The live streams as server-sent events: one route for each, one response that carries any of them.

A stream sends a comment when it was silent for `heartbeat_s`, so that proxies and clients know that it lives. It ends
when the server stops; a client that reads nothing for `send_s` is cut off. Both come back with `Last-Event-ID`.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated, Any, Literal

from litestar import Request, get
from litestar.params import HeaderParameter, QueryParameter
from litestar.response.base import ASGIResponse
from litestar.types import Receive, Scope, Send

from tidelog.api.access.connections import abort
from tidelog.api.http.parameters import Chain, Recording, Symbol
from tidelog.api.live.failure import log_failure
from tidelog.api.live.feeds.messages import HEARTBEAT, Message, Messages, as_events, error_message
from tidelog.api.live.feeds.topics import LEVELS_DEFAULT, LEVELS_MAX, Topic, book, candles, changes, trades
from tidelog.api.live.heartbeat import with_heartbeats
from tidelog.api.live.hub import Live
from tidelog.telemetry import logger

__all__ = ["ROUTES"]

STREAM = {"stream": True}  # the document of the API says so

_log = logger("live")

After = Annotated[str | None, QueryParameter(name="after", description="The id of the last event that you have.")]
LastId = Annotated[str | None, HeaderParameter(name="last-event-id", description="The same, as a browser says it.")]
Blocks = Annotated[Literal["header"] | None, QueryParameter(description="With the header of each applied block.")]
Levels = Annotated[  # which `Book` checks, for every carrier
    int, QueryParameter(description="Levels of each side.", schema_extra={"minimum": 1, "maximum": LEVELS_MAX})
]
Interval = Annotated[str, QueryParameter(description="How long a candle is: 60, 1m, 1h, 1d.")]


class EventStream(ASGIResponse):
    """A response that lasts until its stream, its client or the server ends."""

    _should_set_content_length = False

    def __init__(self, stream: Messages, live: Live, request: Request[Any, Any, Any]) -> None:
        super().__init__(
            media_type="text/event-stream",
            headers={"cache-control": "no-store", "x-accel-buffering": "no"},
        )
        self._stream = stream
        self._live = live
        self._request = request

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = list(self.encode_headers())
        async with aclosing(self._stream), self._live.counted(self._request, "sse"):
            sending = asyncio.create_task(self._send(send, headers))
            leaving = asyncio.create_task(_left(receive))
            barring = asyncio.create_task(self._live.barred(self._request))
            tasks = (sending, leaving, barring)
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                outcome, _, barred = await asyncio.gather(*tasks, return_exceptions=True)
        if isinstance(barred, str):
            try:
                await self._in_time(send, as_events([error_message(barred)]))
                await send({"type": "http.response.body", "body": b"", "more_body": False})
            except TimeoutError:
                abort(scope)
            return
        if isinstance(outcome, TimeoutError):
            _log.info("client_too_slow", seconds=self._live.limits.send_s)
            abort(scope)
        elif isinstance(outcome, Exception):
            raise outcome

    async def _send(self, send: Send, headers: list[tuple[bytes, bytes]]) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": headers})
        messages = with_heartbeats(self._stream, self._live.stopping, self._live.limits.heartbeat_s)
        while (batch := await self._next(send, messages)) is not None:
            await self._in_time(send, as_events(batch) or HEARTBEAT)
            self._live.sent("sse", batch)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _next(self, send: Send, messages: AsyncIterator[list[Message]]) -> list[Message] | None:
        """What comes next. None: it has ended, or it failed, which the client has been told."""
        try:
            return await anext(messages, None)
        except Exception as error:
            await self._in_time(send, as_events([error_message(log_failure(error))]))
            return None

    async def _in_time(self, send: Send, body: bytes) -> None:
        """TimeoutError where the client reads nothing."""
        async with asyncio.timeout(self._live.limits.send_s):
            await send({"type": "http.response.body", "body": body, "more_body": True})


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _answer(request: Request[Any, Any, Any], topic: Topic) -> EventStream:
    live: Live = request.app.state.live
    live.admit()
    return EventStream(await live.open(topic), live, request)


@get(
    "/v1/chains/{chain:str}/live/changes",
    operation_id="live_changes",
    summary="Blocks as they are applied and reverted",
    tags=["live"],
    opt=STREAM,
)
async def live_changes(
    request: Request[Any, Any, Any],
    chain: Chain,
    after: After = None,
    last_id: LastId = None,
    blocks: Blocks = None,
) -> EventStream:
    """`after=0` begins with the first change; without `after` with the next one. `blocks=header` adds headers."""
    return await _answer(request, changes(chain, last_id or after, blocks))


@get(
    "/v1/markets/{symbol:str}/live/trades",
    operation_id="live_trades",
    summary="A symbol's trades as they come",
    tags=["live"],
    opt=STREAM,
)
async def live_trades(
    request: Request[Any, Any, Any],
    symbol: Symbol,
    recording: Recording = None,
    after: After = None,
    last_id: LastId = None,
) -> EventStream:
    """First those behind `after`, out of the journal; without it the next one."""
    return await _answer(request, trades(symbol, recording, last_id or after))


@get(
    "/v1/markets/{symbol:str}/live/book",
    operation_id="live_book",
    summary="A book's best levels whenever they change",
    tags=["live"],
    opt=STREAM,
)
async def live_book(
    request: Request[Any, Any, Any],
    symbol: Symbol,
    recording: Recording = None,
    levels: Levels = LEVELS_DEFAULT,
) -> EventStream:
    """A stream begins with the present levels; a slow listener gets the latest."""
    return await _answer(request, book(symbol, recording, levels))


@get(
    "/v1/markets/{symbol:str}/live/candles",
    operation_id="live_candles",
    summary="A symbol's candles whenever they change",
    tags=["live"],
    opt=STREAM,
)
async def live_candles(
    request: Request[Any, Any, Any],
    symbol: Symbol,
    recording: Recording = None,
    interval: Interval = "1m",
    after: After = None,
    last_id: LastId = None,
) -> EventStream:
    """`after` is the time at which a candle begins, in microseconds; 0 begins with the first."""
    return await _answer(request, candles(symbol, recording, interval, last_id or after))


ROUTES = [live_changes, live_trades, live_book, live_candles]
