"""Authorization: each route names a scope, each token has some. Runs before a route reads its request.

A route says its scope by `opt={"scope": "metrics"}`; "read" is what it has when it says none, so that a
new route is guarded before anybody thinks of it. `opt={"scope": None}` opens a route to everybody.

A server that only this machine reaches asks for no token until there is one; any other server asks from the
start. A token that is shown has to be good in either case.

A browser cannot be made to send `Bearer`, so that it could not open a page. The token is taken as the password of
`Basic` as well, with any name, and a route that a person opens (`opt={"login": True}`) makes the browser ask for it.
It then sends it to this server by itself, whichever page asks: that does no harm, since nothing is changed here, and
pages of other origins read nothing.
"""

import asyncio
from base64 import b64decode
from collections.abc import Sequence
from typing import Any

from litestar.connection import ASGIConnection
from litestar.enums import ScopeType
from litestar.exceptions import WebSocketException
from litestar.handlers import BaseRouteHandler

from tidelog.api.http.backend import Backend
from tidelog.api.http.problems import CLOSE_OF_STATUS, Refused
from tidelog.errors import Busy, Corruption, StoreError
from tidelog.store.tokens import Token, check, listed

__all__ = ["DEFAULT_SCOPE", "METRICS", "READ", "TokenList", "authorize", "guard", "scope_of"]

READ, METRICS = "read", "metrics"
DEFAULT_SCOPE = READ
CHALLENGE = {"www-authenticate": 'Bearer realm="tidelog"'}
LOGIN = {
    "www-authenticate": 'Basic realm="tidelog", charset="UTF-8"'
}  # alone: browsers ask by the first that they know
TOKEN_BYTES_MAX = 200  # a token has 46 characters: what is longer is none, and is not hashed


def scope_of(handler: BaseRouteHandler) -> str | None:
    """The scope that a token needs for this route; None: no token is asked for."""
    scope: str | None = handler.opt.get("scope", DEFAULT_SCOPE)
    return scope


class TokenList:
    """The store's tokens, at most `tokens_s` old: so long does one that was revoked still work."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._tokens: Sequence[Token] = ()
        self._read_s: float | None = None  # when, by the monotonic clock; None: never
        self._reading = asyncio.Lock()
        self._failures = 0  # readings that found the store away
        self.needed = not backend.options.loopback  # also while there is none

    async def current(self) -> Sequence[Token]:
        """All tokens, read again if they are stale. Fails closed: read errors propagate.

        Concurrent callers share one refresh, its failure included: one after the other they would wait for as long as
        all of them together.
        """
        if self._is_stale():
            failures = self._failures
            async with self._reading:
                if self._is_stale():
                    if self._failures > failures:
                        raise Busy("the store was away while its tokens were waited for")
                    await self._read()
        return self._tokens

    async def _read(self) -> None:
        begun_s = self._backend.runtime.monotonic()
        try:
            async with self._backend.store.snapshot() as snapshot:
                self._tokens = await listed(snapshot)
        except Busy:
            self._failures += 1
            raise
        self._read_s = begun_s

    async def known(self) -> Sequence[Token]:
        """The same; while the store is away, or is damaged, the tokens that were read last: revoking one needs it too.

        For routes that need no store: metrics are needed most while it is away.
        """
        try:
            async with asyncio.timeout(self._backend.limits.looks.tokens_s):
                return await self.current()
        except TimeoutError:
            error: StoreError | Corruption = Busy("the store has not given its tokens in time")
        except (StoreError, Corruption) as away:
            error = away
        if self._read_s is None:
            raise error
        return self._tokens

    def _is_stale(self) -> bool:
        read_s = self._read_s
        return read_s is None or self._backend.runtime.monotonic() - read_s > self._backend.options.tokens_s


async def guard(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """`authorize`; a WebSocket gets its refusal as a close code."""
    try:
        await authorize(connection, handler)
    except Refused as refused:
        if connection.scope["type"] != ScopeType.WEBSOCKET:
            raise
        code = CLOSE_OF_STATUS + refused.status_code
        raise WebSocketException(detail=refused.message, code=code) from None


async def authorize(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Raises Refused (401, 403) unless the connection may use the route."""
    scope = scope_of(handler)
    if scope is None:
        return
    backend: Backend = connection.app.state.backend
    tokens: TokenList = connection.app.state.tokens
    stored = await (tokens.known() if scope == METRICS else tokens.current())
    shown = [value for name, value in connection.scope["headers"] if name == b"authorization"]
    challenge = LOGIN if handler.opt.get("login") else CHALLENGE
    if not shown:
        if stored or tokens.needed:
            raise Refused(401, "a token is needed: send Authorization: Bearer tl_...", headers=challenge)
        return
    token = _checked(shown, stored, int(backend.runtime.now() * 1_000))
    if token is None:
        raise Refused(401, "this token is not valid: it is unknown, expired or revoked", headers=challenge)
    if scope not in token.scopes:
        raise Refused(403, f"this token lacks the scope {scope!r}")


def _checked(shown: list[bytes], stored: Sequence[Token], now_ms: int) -> Token | None:
    if len(shown) != 1 or len(shown[0]) > TOKEN_BYTES_MAX:
        return None
    scheme, _, text = shown[0].decode("latin-1").partition(" ")
    match scheme.lower():
        case "bearer":
            return check(text.strip(), stored, now_ms)
        case "basic":
            return check(_password(text.strip()), stored, now_ms)
    return None


def _password(text: str) -> str:
    """Of RFC 7617: base64 of a name, a colon and the password; nothing, where it is none."""
    try:
        return b64decode(text, validate=True).decode().partition(":")[2]
    except ValueError:
        return ""
