"""The application: every group of routes, behind one guard, with one shape of errors. No server in here."""

from litestar import Litestar
from litestar.datastructures import State
from litestar.di import Provide
from litestar.types import ControllerRouterHandler

from tidelog.api import chains
from tidelog.api.backend import Backend
from tidelog.api.guard import authorize
from tidelog.api.live import socket, sse
from tidelog.api.live.hub import Live
from tidelog.api.problems import EXCEPTION_HANDLERS

__all__ = ["create_app", "route_handlers"]


def route_handlers() -> list[ControllerRouterHandler]:
    """All routes. A module of routes exports `ROUTES`, and is named here."""
    return [
        *chains.ROUTES,
        *sse.ROUTES,
        *socket.ROUTES,
    ]


def create_app(backend: Backend) -> Litestar:
    """The application over a store that its caller opens and closes."""
    live = Live(backend)
    return Litestar(
        route_handlers=route_handlers(),
        guards=[authorize],
        dependencies={
            "backend": Provide(lambda: backend, sync_to_thread=False),
            "live": Provide(lambda: live, sync_to_thread=False),
        },
        lifespan=[lambda app: live.running()],
        exception_handlers=EXCEPTION_HANDLERS,
        state=State({"backend": backend, "live": live}),
        request_max_body_size=backend.options.body_bytes_max,
        openapi_config=None,
        logging_config=None,
    )
