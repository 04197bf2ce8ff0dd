"""Who may read what: each route names a scope, each token has some. Runs before a route reads its request.

A route says its scope by `opt={"scope": "metrics"}`; "read" is what it has when it says none, so that a
new route is guarded before anybody thinks of it. `opt={"scope": None}` opens a route to everybody.

A server that only this machine reaches asks for no token until there is one; any other server asks from the
start. A token that is shown has to be good in either case.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from tidelog.api.backend import Backend
from tidelog.api.problems import Refused
from tidelog.store.tokens import Token, check, listed

__all__ = ["DEFAULT_SCOPE", "METRICS", "READ", "TokenList", "authorize", "scope_of"]

READ, METRICS = "read", "metrics"
DEFAULT_SCOPE = READ
CHALLENGE = {"www-authenticate": 'Bearer realm="tidelog"'}
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
        self.needed = not backend.options.loopback  # also while there is none

    async def current(self) -> Sequence[Token]:
        """All of them. Whatever hinders the reading is raised: who cannot be checked is not let in."""
        if self._is_stale():
            async with self._reading:
                if self._is_stale():
                    begun_s = self._backend.runtime.monotonic()
                    async with self._backend.store.snapshot() as snapshot:
                        self._tokens = await listed(snapshot)
                    self._read_s = begun_s
        return self._tokens

    def _is_stale(self) -> bool:
        read_s = self._read_s
        return read_s is None or self._backend.runtime.monotonic() - read_s > self._backend.options.tokens_s


async def authorize(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Raises Refused (401, 403) unless the connection may use the route."""
    scope = scope_of(handler)
    if scope is None:
        return
    backend: Backend = connection.app.state.backend
    tokens: TokenList = connection.app.state.tokens
    held = await tokens.current()
    shown = [value for name, value in connection.scope["headers"] if name == b"authorization"]
    if not shown:
        if held or tokens.needed:
            raise Refused(401, "a token is needed: send Authorization: Bearer tl_...", headers=CHALLENGE)
        return
    token = _checked(shown, held, int(backend.runtime.now() * 1_000))
    if token is None:
        raise Refused(401, "this token is not valid: it is unknown, expired or revoked", headers=CHALLENGE)
    if scope not in token.scopes:
        raise Refused(403, f"this token lacks the scope {scope!r}")


def _checked(shown: list[bytes], held: Sequence[Token], now_ms: int) -> Token | None:
    if len(shown) != 1 or len(shown[0]) > TOKEN_BYTES_MAX:
        return None
    scheme, _, text = shown[0].decode("latin-1").partition(" ")
    return check(text.strip(), held, now_ms) if scheme.lower() == "bearer" else None
