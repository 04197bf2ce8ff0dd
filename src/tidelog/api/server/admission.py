"""The middleware before the routes: Host and Origin checks, request limits, timeouts, delays. Plain ASGI.

`Host` has to name this server: under DNS rebinding it names the attacking page. `Origin` is checked for WebSockets,
which a browser opens for any page without a preflight request.

Requests beyond the limit are refused at once with `Retry-After`; a request that exceeds its timeout is ended. A stream
of events counts, and is timed, until it begins. Refusals of a client at fault are delayed, the longer the more faults
it has (`clients`). Health checks count against no limit, and can have a port of their own.

HEAD is answered as GET is, without the body (RFC 9110, 9.3.2): no route has to know of it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeAlias
from urllib.parse import unquote

from tidelog.api.access.clients import CLIENT, POINTS_OF_TOKEN, Clients, client_of
from tidelog.api.access.seats import FULL, seat_of
from tidelog.api.http.asgi import App, Message, Receive, Scope, Send
from tidelog.api.http.backend import Backend
from tidelog.api.http.options import ApiOptions
from tidelog.api.http.problems import CLOSE_OF_STATUS, RETRY_AFTER_S, body_of
from tidelog.api.server.compression import Compressed
from tidelog.telemetry import logger

__all__ = ["AdmissionMiddleware", "allowed_hosts"]

STREAM = b"text/event-stream"
SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
)
POLICY = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")  # an answer is no page

_Hold: TypeAlias = Callable[[Scope, int], Awaitable[float]]

_log = logger("api")


class AdmissionMiddleware:
    """An ASGI application around another one."""

    def __init__(self, app: App, backend: Backend, clients: Clients) -> None:
        self._app = app
        self._backend = backend
        self._clients = clients
        self._options = backend.options
        self._trusted = backend.options.trusted
        self._hosts = allowed_hosts(backend.options)
        self._inside = 0  # requests that are being answered

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope.get("method") == "HEAD":
            send = _head_only(send)
        scope[CLIENT] = client = client_of(scope, self._trusted)
        refusal = self._refusal(scope)
        counted = refusal is None and scope["type"] == "http" and not _is_health(scope)
        if counted and self._inside >= self._options.requests_max:
            refusal = 503, "too many requests are being answered: try again"
        elif counted and not self._clients.take(client, "requests"):
            refusal = 429, f"{self._options.client_requests_max} requests of yours are being answered: await them first"
        if refusal is not None:
            # a connection beyond the most would get no place by waiting
            await self._turn_away(scope, receive, send, *refusal, close=refusal is FULL)
        elif scope["type"] == "websocket":
            await self._app(scope, receive, self._delayed(scope, send))
        else:
            await self._timed(scope, receive, send, _Slot(self, client) if counted else None)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        """Why a request is not even looked at, as a status and a sentence; None: it is."""
        seat = seat_of(scope)
        if seat is not None and seat.refusal is not None and not _is_health(scope):
            return seat.refusal
        if not self._is_ours(scope):
            return 403, "this server does not answer under that host: say --allow-host"
        if scope["type"] == "websocket" and not self._may_listen(scope):
            return 403, "pages of that origin may not listen: say --cors"
        return None

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

    async def _timed(self, scope: Scope, receive: Receive, send: Send, place: "_Slot | None") -> None:
        answer = _Answer(scope, receive, send, place, self._delay)
        begun_s = self._backend.runtime.monotonic()
        self._keep_slashes(scope)
        method: str = scope["method"]
        if method == "HEAD":
            scope = {**scope, "method": "GET"}
        try:
            async with asyncio.timeout(self._options.request_timeout_s) as answer.clock:
                await self._app(scope, answer.receive, Compressed(scope, answer.send, self._backend.runtime))
        except TimeoutError:
            if answer.clock is None or not answer.clock.expired():
                raise
            await self._too_late(scope, answer)
        finally:
            if place is not None:
                place.leave()
            spent_s = self._backend.runtime.monotonic() - begun_s - answer.delayed_s
            self._count(scope, method, answer.status, None if answer.streams else spent_s)

    async def _turn_away(
        self, scope: Scope, receive: Receive, send: Send, status: int, sentence: str, *, close: bool
    ) -> None:
        if scope["type"] == "http":
            self._count(scope, scope["method"], status, None)
        await self._delay(scope, status)
        await _refuse(scope, receive, send, status, sentence, close=close)

    def moved(self, by: int) -> None:
        """So many more requests are being answered."""
        self._inside += by
        self._backend.metrics.in_flight.set(self._inside)

    def left(self, client: str) -> None:
        """One request less of the client."""
        self.moved(-1)
        self._clients.give_back(client, "requests")

    async def _delay(self, scope: Scope, status: int) -> float:
        """Delay a refusal by what its client's faults call for, or until the client is gone; the delay in seconds."""
        points = _points(scope, status)
        delay_s = self._clients.fault(str(scope[CLIENT]), points) if points else 0.0
        if delay_s <= 0:
            return 0.0
        self._backend.metrics.held_back.inc()
        seat = seat_of(scope)
        with suppress(TimeoutError):
            await asyncio.wait_for(seat.gone.wait() if seat is not None else asyncio.Future(), delay_s)
        return delay_s

    def _delayed(self, scope: Scope, send: Send) -> Send:
        """A WebSocket's `send`: a refusal of the handshake is delayed too."""

        async def send_later(message: Message) -> None:
            if message["type"] == "websocket.close" and message.get("code", 0) > CLOSE_OF_STATUS:
                await self._delay(scope, message["code"] - CLOSE_OF_STATUS)
            await send(message)

        return send_later

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
            await _refuse(scope, answer.receive, answer.send, 408, "the request did not arrive in time", close=True)

    @staticmethod
    def _keep_slashes(scope: Scope) -> None:
        """An encoded slash is part of a name (BTC%2FUSD), and does not part the path."""
        raw = scope.get("raw_path") or b""
        if b"%2f" in raw.lower():
            text = raw.decode("latin-1")
            scope["path"] = "/".join(unquote(part).replace("/", "%2F") for part in text.split("/"))


_HEALTH = frozenset({"/livez", "/readyz", "/metrics"})
_FAULTS = frozenset({400, 401, 403, 404, 405, 406, 408, 413, 415, 429, 431})  # the client's


def _is_health(scope: Scope) -> bool:
    return scope["type"] == "http" and scope["path"] in _HEALTH


def _points(scope: Scope, status: int) -> float:
    """What an answer costs its client. A question for what is not there, on a route that is, costs nothing."""
    if status not in _FAULTS or (status == 404 and scope.get("path_template")):
        return 0.0
    return POINTS_OF_TOKEN if status == 401 and _given(scope, b"authorization") else 1.0


class _Slot:
    """The slot of one request among those that are being answered."""

    def __init__(self, admission: AdmissionMiddleware, client: str) -> None:
        self._admission = admission
        self._client: str | None = client
        admission.moved(1)

    def leave(self) -> None:
        """Make room for another. Again: nothing."""
        if self._client is not None:
            self._admission.left(self._client)
            self._client = None


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class _Answer:
    """One request's messages, with what they tell of it."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, place: _Slot | None, hold: _Hold) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._place = place
        self._delay = hold
        self.delayed_s = 0.0  # that its refusal was delayed
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
            if self.streams or self.status in _FAULTS:
                if self._place is not None:
                    self._place.leave()
                if self.clock is not None and not self.clock.expired():
                    self.clock.reschedule(None)
            if self.status in _FAULTS:
                self.delayed_s = await self._delay(self._scope, self.status)
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


async def _refuse(
    scope: Scope, receive: Receive, send: Send, status: int, message: str, *, close: bool = False
) -> None:
    """Answer with an error; `close`: and end the connection."""
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
    if status in (429, 503):
        headers.append((b"retry-after", str(RETRY_AFTER_S).encode()))
    if close:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
