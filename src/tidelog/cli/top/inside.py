"""The API in this process, over a store, answers `tidelog top`. Its import takes a second, which others do not pay."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import unquote

from tidelog.api.app import create_app
from tidelog.api.http.backend import Backend
from tidelog.api.http.options import ApiOptions, JournalSource
from tidelog.api.market.books import LiveBooks
from tidelog.errors import TimedOut
from tidelog.runtime import Runtime
from tidelog.store import open_store
from tidelog.store.tokens import Token
from tidelog.telemetry import ApiMetrics
from tidelog.tui.asking import Reply

__all__ = ["store_answers"]

READERS = 4
STATEMENT_S, PATIENCE_S = 5.0, 1.0  # as the API has them by default


class _NoTokens:
    """Whoever may open the store may read it: tokens are for those who come over the network."""

    needed = False

    async def current(self) -> Sequence[Token]:
        return ()

    known = current


class _InProcess:
    """The application, without a server."""

    def __init__(self, application: Any) -> None:
        self._application = application

    async def ask(self, path: str, body: bytes | None, timeout_s: float) -> Reply:
        try:
            async with asyncio.timeout(timeout_s):
                return await self._call(path, body)
        except TimeoutError:
            raise TimedOut(f"no answer within {timeout_s:g} s") from None

    async def _call(self, path: str, body: bytes | None) -> Reply:
        where, _, query = path.partition("?")
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET" if body is None else "POST",
            "scheme": "http",
            "path": _unquoted(where),
            "raw_path": where.encode(),
            "root_path": "",
            "query_string": query.encode(),
            "headers": [(b"host", b"localhost"), (b"content-type", b"application/json")],
            "client": ("127.0.0.1", 0),
            "server": ("127.0.0.1", 80),
        }
        status, content = 500, bytearray()

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body or b"", "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            else:
                content.extend(message.get("body", b""))

        await self._application(scope, receive, send)
        return Reply(status, bytes(content))


def _unquoted(path: str) -> str:
    """As the API's server hands it on: an encoded slash is part of a name."""
    return "/".join(unquote(part).replace("/", "%2F") for part in path.split("/"))


@asynccontextmanager
async def store_answers(
    db: str, journals: tuple[JournalSource, ...], runtime: Runtime, *, books: LiveBooks | None = None
) -> AsyncIterator[_InProcess]:
    """The API over a store.

    Args:
        books: in the place of those at the journals' ends.

    Raises:
        ConfigError: there is no such store, or it is not up to date.
    """
    store = await open_store(
        db, runtime, readonly=True, statement_timeout_s=STATEMENT_S, readers=READERS, patience_s=PATIENCE_S
    )
    try:
        application = create_app(Backend(store, runtime, ApiOptions(), journals, ApiMetrics()))
        application.state["tokens"] = _NoTokens()
        if books is not None:
            application.state["live_books"] = books
        try:
            async with application.lifespan():
                yield _InProcess(application)
        except BaseExceptionGroup as group:  # what is raised within it comes out in one
            if len(group.exceptions) > 1:
                raise
            raise group.exceptions[0] from None
    finally:
        await store.close()
