"""The API over a store, served by the real server on a thread of its own, for clients of any kind."""

import asyncio
import socket
import threading
from types import TracebackType

import uvicorn

from tidelog.api.app import create_app
from tidelog.api.backend import Backend
from tidelog.api.options import ApiOptions
from tidelog.runtime import SystemRuntime
from tidelog.store import open_store
from tidelog.telemetry import ApiMetrics

__all__ = ["Serving"]

START_S = 20.0


class Serving:
    """`with Serving(url) as api:` serves the store at `url`, read-only, on a free port of this machine."""

    def __init__(self, store_url: str, options: ApiOptions | None = None) -> None:
        self._store_url = store_url
        self._options = ApiOptions() if options is None else options
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._server: uvicorn.Server | None = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="api")

    async def _serve(self) -> None:
        runtime = SystemRuntime()
        store = await open_store(self._store_url, runtime, readonly=True, statement_timeout_s=5.0)
        try:
            app = create_app(Backend(store, runtime, self._options, (), ApiMetrics()))
            self._server = uvicorn.Server(uvicorn.Config(app, log_config=None, ws="none", lifespan="off"))
            self._socket.listen()  # so that clients are queued from now on
            self._ready.set()
            await self._server.serve(sockets=[self._socket])
        finally:
            await store.close()

    def __enter__(self) -> "Serving":
        self._thread.start()
        assert self._ready.wait(START_S), "the API did not start"
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
