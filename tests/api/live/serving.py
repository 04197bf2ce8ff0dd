"""The application on a real socket, in the test's own event loop, and clients of it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import aiohttp
import msgspec

from tests.patience import HANGS_S
from tidelog.api.http.backend import Backend
from tidelog.api.http.defaults import REQUEST_S
from tidelog.api.http.limits import ApiLimits, LiveLimits
from tidelog.api.http.options import ApiOptions, JournalSource
from tidelog.api.live.hub import Live
from tidelog.api.server.serve import ApiServer
from tidelog.runtime import SystemRuntime
from tidelog.store import Store
from tidelog.telemetry import ApiMetrics

# what is told after so many seconds of silence, or is over then, is not told because the machine is slow
USUAL = LiveLimits(place_s=HANGS_S, stale_s=HANGS_S, send_s=HANGS_S)


class Event(NamedTuple):
    """A server-sent event."""

    id: str | None
    name: str
    data: Any


class Served(NamedTuple):
    """A server that runs."""

    url: str
    live: Live
    backend: Backend
    server: ApiServer


@asynccontextmanager
async def serving(
    store: Store,
    *journals: JournalSource,
    options: ApiOptions | None = None,
    limits: LiveLimits = USUAL,
) -> AsyncIterator[Served]:
    made = options or ApiOptions(port=0)
    if made.request_timeout_s == REQUEST_S:
        made = msgspec.structs.replace(made, request_timeout_s=HANGS_S, statement_timeout_s=HANGS_S)
    backend = Backend(store, SystemRuntime(), made, journals, ApiMetrics(), ApiLimits(live=limits))
    server = ApiServer(backend)
    listens = asyncio.Event()
    running = asyncio.create_task(server.run(lambda url: listens.set()))
    try:
        async with asyncio.timeout(HANGS_S):
            await listens.wait()
        yield Served(server.url, server.app.state.live, backend, server)
    finally:
        server.stop()
        await running


@asynccontextmanager
async def listening(url: str, after: str | None = None) -> AsyncIterator[AsyncIterator[Event]]:
    """The events of a stream, those without data included."""
    headers = {} if after is None else {"Last-Event-ID": after}
    timeout = aiohttp.ClientTimeout(total=None, sock_read=HANGS_S)
    async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url, headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield events(answer.content)


async def events(lines: Any) -> AsyncIterator[Event]:
    id_, name, data = None, "message", None
    async for raw in lines:
        line = raw.decode().rstrip("\n")
        field, _, value = line.partition(": ")
        if field == "id":
            id_ = value
        elif field == "event":
            name = value
        elif field == "data":
            data = json.loads(value)
        elif not line:
            if data is not None or id_ is not None:
                yield Event(id_, name if data is not None else "place", data)
            id_, name, data = None, "message", None


async def take(stream: AsyncIterator[Event], count: int) -> list[Event]:
    async with asyncio.timeout(HANGS_S):
        return [await anext(stream) for _ in range(count)]


async def refusal(url: str, **headers: str) -> tuple[int, str]:
    """The status and the sentence of a request that is refused."""
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as answer:
        return answer.status, (await answer.json())["error"]["message"]
