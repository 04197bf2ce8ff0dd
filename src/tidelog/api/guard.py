"""Who may read what: each route names a scope, each token has some. Runs before a route reads its request.

A route says its scope by `opt={"scope": "metrics"}`; "read" is what it has when it says none, so that a
new route is guarded before anybody thinks of it. `opt={"scope": None}` opens a route to everybody.
"""

from typing import Any

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

__all__ = ["DEFAULT_SCOPE", "METRICS", "READ", "authorize", "scope_of"]

READ, METRICS = "read", "metrics"
DEFAULT_SCOPE = READ


def scope_of(handler: BaseRouteHandler) -> str | None:
    """The scope that a token needs for this route; None: no token is asked for."""
    scope: str | None = handler.opt.get("scope", DEFAULT_SCOPE)
    return scope


async def authorize(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Raises Refused (401, 403) unless the connection may use the route."""
    if scope_of(handler) is None:
        return
