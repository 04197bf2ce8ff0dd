"""Who answers `tidelog top`: an API over HTTP, or the same API in this process, over a store."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import unquote

from tidelog.api.app import create_app
from tidelog.api.http.backend import Backend
from tidelog.api.http.options import ApiOptions, JournalSource
from tidelog.api.market.books import LiveBooks
from tidelog.errors import TimedOut, TooLarge
from tidelog.net.http import AioHttp
from tidelog.runtime import Runtime
from tidelog.store import open_store
from tidelog.store.tokens import Token
from tidelog.telemetry import ApiMetrics
from tidelog.tui.asking import Reply

__all__ = ["HttpAnswers", "store_answers"]

ANSWER_BYTES_MAX = 64 * 1024 * 1024  # of one answer: a block in full is some 20 MB
READERS = 4
STATEMENT_S, PATIENCE_S = 5.0, 1.0  # as the API has them by default
JSON = {"content-type": "application/json"}


class HttpAnswers:
    """An API at an address.

    Args:
        token: is sent with every question, and to nobody else: redirects are not followed.
    """

    def __init__(self, url: str, token: str | None) -> None:
        self._url = url.rstrip("/")
        self._headers = {} if not token else {"authorization": f"Bearer {token}"}
        self._http = AioHttp()

    async def ask(self, path: str, body: bytes | None, timeout_s: float) -> Reply:
        if body is None:
            asked = self._http.get(self._url + path, headers=self._headers, timeout_s=timeout_s)
        else:
            asked = self._http.post(self._url + path, body, headers=self._headers | JSON, timeout_s=timeout_s)
        async with asked as response:
            content = bytearray()
            async for chunk in response.chunks():
                content += chunk
                if len(content) > ANSWER_BYTES_MAX:
                    raise TooLarge(f"an answer has more than {ANSWER_BYTES_MAX} bytes")
            return Reply(response.status, bytes(content))

    async def close(self) -> None:
        await self._http.close()


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
