"""What stands before the routes: who is asked for, how many at once, and for how long. Plain ASGI.

The name in `Host` has to be one of ours: a page in a browser whose own name was made to point at this machine
(DNS rebinding) names itself there. A browser opens a WebSocket for any page and asks nobody, unlike for other requests:
so the page's own address, in `Origin`, is looked at here.

Requests beyond the limit are turned away at once, with a time to come back; one that takes too long ends. A stream of
events counts, and is timed, only until it begins.

HEAD is answered as GET is, without the body (RFC 9110, 9.3.2): no route has to know of it.
"""

import asyncio
from collections.abc import Callable
from urllib.parse import unquote

from tidelog.api.asgi import App, Message, Receive, Scope, Send
from tidelog.api.backend import Backend
from tidelog.api.compression import Compressed
from tidelog.api.options import ApiOptions
from tidelog.api.problems import RETRY_AFTER_S, body_of
from tidelog.telemetry import logger

__all__ = ["Door", "allowed_hosts"]

STREAM = b"text/event-stream"
SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
)
POLICY = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")  # an answer is no page

_log = logger("api")


class Door:
    """An ASGI application around another one."""

    def __init__(self, app: App, backend: Backend) -> None:
        self._app = app
        self._backend = backend
        self._options = backend.options
        self._hosts = allowed_hosts(backend.options)
        self._inside = 0  # requests that are being answered

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("method") == "HEAD":
            send = _head_only(send)
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif not self._is_ours(scope):
            self._turned_away(scope, 403)
            await _refuse(scope, receive, send, 403, "this server does not answer under that host: say --allow-host")
        elif scope["type"] == "websocket" and not self._may_listen(scope):
            await _refuse(scope, receive, send, 403, "pages of that origin may not listen: say --cors")
        elif scope["type"] == "websocket":
            await self._app(scope, receive, send)
        elif self._inside >= self._options.requests_max:
            self._turned_away(scope, 503)
            await _refuse(scope, receive, send, 503, "too many requests are being answered: try again")
        else:
            await self._timed(scope, receive, send)

    def _is_ours(self, scope: Scope) -> bool:
        if self._hosts is None:
            return True
        given = _given(scope, b"host")
        return len(given) == 1 and _host(given[0]) in self._hosts

    def _may_listen(self, scope: Scope) -> bool:
        """Programs have no origin; a page has to be of this server, or of an origin that may read."""
        own = _given(scope, b"host")
        return all(
            origin in self._options.cors or origin.partition("://")[2] in own for origin in _given(scope, b"origin")
        )

    async def _timed(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = _Answer(receive, send, self._leave)
        begun_s = self._backend.runtime.monotonic()
        self._keep_slashes(scope)
        method: str = scope["method"]
        if method == "HEAD":
            scope = {**scope, "method": "GET"}
        self._inside += 1
        self._backend.metrics.in_flight.set(self._inside)
        try:
            async with asyncio.timeout(self._options.request_timeout_s) as answer.clock:
                await self._app(scope, answer.receive, Compressed(scope, answer.send))
        except TimeoutError:
            if answer.clock is None or not answer.clock.expired():
                raise
            await self._too_late(scope, answer)
        finally:
            if not answer.streams:
                self._leave()
            spent_s = self._backend.runtime.monotonic() - begun_s
            self._count(scope, method, answer.status, None if answer.streams else spent_s)

    def _turned_away(self, scope: Scope, status: int) -> None:
        if scope["type"] == "http":
            self._count(scope, scope["method"], status, None)

    def _leave(self) -> None:
        self._inside -= 1
        self._backend.metrics.in_flight.set(self._inside)

    def _count(self, scope: Scope, method: str, status: int, seconds: float | None) -> None:
        """By the route's template: what a client asked for has no bounds. 0 is the status of one that left."""
        known = method if method in _METHODS else "other"
        self._backend.metrics.answered(str(scope.get("path_template") or "none"), known, status, seconds)

    async def _too_late(self, scope: Scope, answer: "_Answer") -> None:
        if answer.status:
            return  # the connection is closed: the answer ends short of its length
        if not answer.reading:
            _log.warning("request_timed_out", route=str(scope.get("path_template") or "none"))
            await _refuse(scope, answer.receive, answer.send, 504, "the answer took too long: ask for less at once")
        else:
            await _refuse(scope, answer.receive, answer.send, 408, "the request did not arrive in time")

    @staticmethod
    def _keep_slashes(scope: Scope) -> None:
        """An encoded slash is part of a name (BTC%2FUSD), and does not part the path."""
        raw = scope.get("raw_path") or b""
        if b"%2f" in raw.lower():
            text = raw.decode("latin-1")
            scope["path"] = "/".join(unquote(part).replace("/", "%2F") for part in text.split("/"))


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class _Answer:
    """One request's messages, with what they tell of it."""

    def __init__(self, receive: Receive, send: Send, on_stream: Callable[[], None]) -> None:
        self._receive = receive
        self._send = send
        self._on_stream = on_stream
        self.clock: asyncio.Timeout | None = None
        self.reading = False  # it waits for more of the request's body
        self.status = 0  # once it is answered
        self.streams = False

    async def receive(self) -> Message:
        self.reading = True
        message = await self._receive()
        self.reading = False
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = [_with_head(*pair) for pair in message.get("headers", ())]
            names = {name for name, _ in headers}
            self.streams = any(name == b"content-type" and value.startswith(STREAM) for name, value in headers)
            if self.streams:
                self._on_stream()
                if self.clock is not None:
                    self.clock.reschedule(None)
            added = [pair for pair in (*SECURITY_HEADERS, POLICY) if pair[0] not in names]
            message = {**message, "headers": [*headers, *added]}
        await self._send(message)


def _head_only(send: Send) -> Send:
    """Ends an answer where its body would begin; a stream sees its client leave."""

    async def send_head(message: Message) -> None:
        if message["type"] == "http.response.start":
            await send(message)
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    return send_head


def _with_head(name: bytes, value: bytes) -> tuple[bytes, bytes]:
    """`Allow` names HEAD too, which the routes do not know of."""
    return name, value.replace(b"GET", b"GET, HEAD") if name == b"allow" else value


def allowed_hosts(options: ApiOptions) -> frozenset[str] | None:
    """The names that `Host` may have; None: any. Only a server for this machine alone can list its names."""
    if not options.loopback and not options.hosts:
        return None
    own = ("localhost", "127.0.0.1", "::1") if options.loopback else ()
    return frozenset(name.lower().strip("[]") for name in (*own, options.host, *options.hosts))


def _given(scope: Scope, wanted: bytes) -> list[str]:
    return [value.decode("latin-1") for name, value in scope["headers"] if name == wanted]


def _host(text: str) -> str:
    """Without its port."""
    if text.startswith("["):
        return text[1:].partition("]")[0].lower()
    return text.partition(":")[0].lower()


async def _refuse(scope: Scope, receive: Receive, send: Send, status: int, message: str) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008, "reason": message})
        return
    body = body_of(status, message)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    if status == 503:
        headers.append((b"retry-after", str(RETRY_AFTER_S).encode()))
    if status == 408:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
