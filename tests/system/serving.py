"""JSON-RPC over a store, served by the real server on a thread of its own, for clients of any kind."""

import asyncio
import socket
import threading
from types import TracebackType

import uvicorn
from litestar import Litestar
from litestar.di import Provide

from tidelog.api import rpc_route
from tidelog.api.backend import Backend
from tidelog.api.options import ApiOptions
from tidelog.api.problems import EXCEPTION_HANDLERS
from tidelog.runtime import SystemRuntime
from tidelog.store import open_store
from tidelog.telemetry import ApiMetrics

__all__ = ["Serving"]

START_S = 20.0


def application(backend: Backend) -> Litestar:
    """The routes of JSON-RPC as `tidelog.api.app` mounts them, without the rest: a test that proves them alone."""
    return Litestar(
        route_handlers=rpc_route.ROUTES,
        dependencies={"backend": Provide(lambda: backend, sync_to_thread=False)},
        exception_handlers=EXCEPTION_HANDLERS,
        request_max_body_size=backend.options.body_bytes_max,
        openapi_config=None,
        logging_config=None,
    )


class Serving:
    """`with Serving(url) as api:` serves the store at `url`, read-only, on a free port of this machine."""

    def __init__(self, store_url: str, options: ApiOptions | None = None) -> None:
        self._store_url = store_url
        self._options = ApiOptions() if options is None else options
        # by its protocol asyncio knows it for TCP; otherwise an answer's body waits 40 ms for a delayed ACK
        self._socket = socket.socket(proto=socket.IPPROTO_TCP)
        self._socket.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._server: uvicorn.Server | None = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="api")

    async def _serve(self) -> None:
        runtime = SystemRuntime()
        store = await open_store(self._store_url, runtime, readonly=True, statement_timeout_s=5.0)
        try:
            app = application(Backend(store, runtime, self._options, (), ApiMetrics()))
            self._server = uvicorn.Server(uvicorn.Config(app, log_config=None, ws="none", lifespan="off"))
            self._socket.listen()  # so that clients are queued from now on
            self._ready.set()
            await self._server.serve(sockets=[self._socket])
        finally:
            self._ready.set()
            await store.close()

    def __enter__(self) -> "Serving":
        self._thread.start()
        self._ready.wait(START_S)
        if self._server is None:
            self._socket.close()
            raise AssertionError("the API did not start")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.should_exit = True
        self._thread.join(START_S)
        self._socket.close()

    def rpc(self, chain_id: int) -> str:
        """The address of a chain's JSON-RPC."""
        return f"{self.url}/rpc/{chain_id}"
