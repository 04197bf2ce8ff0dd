"""The application: every group of routes, behind one guard, with one shape of errors. No server in here."""

import asyncio
from functools import partial

from litestar import Litestar
from litestar.config.cors import CORSConfig
from litestar.datastructures import State
from litestar.di import Provide
from litestar.types import ControllerRouterHandler

from tidelog.api import docs
from tidelog.api.access.clients import Clients
from tidelog.api.access.guard import TokenList, guard
from tidelog.api.access.turns import Turns
from tidelog.api.chain import blocks, chains, changes, contracts, events, logs, transactions
from tidelog.api.http.backend import Backend
from tidelog.api.http.content_negotiation import admit
from tidelog.api.http.problems import EXCEPTION_HANDLERS
from tidelog.api.live import socket, sse
from tidelog.api.live.hub import Live
from tidelog.api.market import books, markets
from tidelog.api.openapi import document
from tidelog.api.operation import health, stats
from tidelog.api.rpc import route

__all__ = ["create_app", "route_handlers"]


def route_handlers() -> list[ControllerRouterHandler]:
    """All routes. A module of routes exports `ROUTES`, and is named here.

    Each is guarded (`guard.py`) unless it says otherwise.
    """
    return [
        *chains.ROUTES,
        *route.ROUTES,
        *blocks.ROUTES,
        *transactions.ROUTES,
        *logs.ROUTES,
        *events.ROUTES,
        *contracts.ROUTES,
        *changes.ROUTES,
        *markets.ROUTES,
        *books.ROUTES,
        *stats.ROUTES,
        *health.ROUTES,
        *sse.ROUTES,
        *socket.ROUTES,
        *docs.ROUTES,
    ]


def create_app(backend: Backend) -> Litestar:
    """The application over a store that its caller opens and closes.

    Its state has the `backend`, `stopping`, an event that is set when the server ends: streams end then; its `clients`,
    and what is `live`.
    """
    stopping = asyncio.Event()
    clients = Clients(backend.options, backend.runtime.monotonic)
    live = Live(backend, stopping, clients)
    cors = CORSConfig(
        allow_origins=list(backend.options.cors),
        allow_methods=["GET", "HEAD", "POST"],
        allow_headers=["authorization", "content-type", "if-none-match", "last-event-id"],
        expose_headers=["etag"],
    )
    return Litestar(
        route_handlers=route_handlers(),
        guards=[guard],
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
                "clients": clients,
                "making": {},  # answers about health that are being made
                "turns": Turns(max(1, backend.options.readers // 2)),
                "document": partial(document, route_handlers(), backend.options),
                "live": live,
                "live_books": live,
            }
        ),
        request_max_body_size=backend.options.body_bytes_max,
        openapi_config=None,
        logging_config=None,
    )
