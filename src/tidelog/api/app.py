"""The application: every group of routes, behind one guard, with one shape of errors. No server in here."""

import asyncio

from litestar import Litestar
from litestar.config.cors import CORSConfig
from litestar.datastructures import State
from litestar.di import Provide
from litestar.types import ControllerRouterHandler

from tidelog.api import (
    blocks,
    chains,
    changes,
    docs,
    health,
    logs,
    market_books,
    markets,
    rpc_route,
    stats,
    transactions,
)
from tidelog.api.backend import Backend
from tidelog.api.guard import TokenList, authorize
from tidelog.api.live import socket, sse
from tidelog.api.live.hub import Live
from tidelog.api.media import admit
from tidelog.api.problems import EXCEPTION_HANDLERS

__all__ = ["create_app", "route_handlers"]


def route_handlers() -> list[ControllerRouterHandler]:
    """All routes. A module of routes exports `ROUTES`, and is named here.

    Each is guarded (`guard.py`) unless it says otherwise.
    """
    return [
        *chains.ROUTES,
        *rpc_route.ROUTES,
        *blocks.ROUTES,
        *transactions.ROUTES,
        *logs.ROUTES,
        *changes.ROUTES,
        *markets.ROUTES,
        *market_books.ROUTES,
        *stats.ROUTES,
        *health.ROUTES,
        *sse.ROUTES,
        *socket.ROUTES,
        *docs.ROUTES,
    ]


def create_app(backend: Backend) -> Litestar:
    """The application over a store that its caller opens and closes.

    Its state has the `backend`, `stopping`, an event that is set when the server ends: streams end then; and what
    is `live`.
    """
    stopping = asyncio.Event()
    live = Live(backend, stopping)
    cors = CORSConfig(
        allow_origins=list(backend.options.cors),
        allow_methods=["GET", "HEAD", "POST"],
        allow_headers=["authorization", "content-type", "if-none-match", "last-event-id"],
        expose_headers=["etag"],
    )
    return Litestar(
        route_handlers=route_handlers(),
        guards=[authorize],
        before_request=admit,
        cors_config=cors if backend.options.cors else None,
        dependencies={"backend": Provide(lambda: backend, sync_to_thread=False)},
        exception_handlers=EXCEPTION_HANDLERS,
        lifespan=[lambda app: live.running()],
        state=State(
            {
                "backend": backend,
                "stopping": stopping,
                "tokens": TokenList(backend),
                "live": live,
                "live_books": live,
            }
        ),
        request_max_body_size=backend.options.body_bytes_max,
        openapi_config=None,
        logging_config=None,
    )
