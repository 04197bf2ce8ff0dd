"""An API server on a thread of its own, over a store that a test has filled, and a client that says what it got."""

import asyncio
import http.client
import json
import threading
from collections.abc import Coroutine, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlencode

from tests.chain.rig import Rig, a_node
from tests.market.recorded import Recording, levels
from tests.patience import HANGS_S
from tests.runtime import FakeRuntime
from tidelog.api.http.backend import Backend
from tidelog.api.http.limits import ApiLimits, LookLimits
from tidelog.api.http.options import ApiOptions
from tidelog.api.server.serve import ApiServer
from tidelog.market.events import Disconnected
from tidelog.market.load.loader import Loader
from tidelog.runtime import SystemRuntime
from tidelog.sim.node.node import SimNode
from tidelog.store import Store, open_store
from tidelog.telemetry import ApiMetrics

__all__ = ["CHAIN", "Filled", "Reply", "Served", "fill", "filled"]

T = TypeVar("T")

CHAIN = "/v1/chains/1337"
# a machine that stands still is no reason to refuse an answer; who tests these limits gives his own
PATIENT = {"port": 0, "delay_max_s": 0.0, "request_timeout_s": HANGS_S, "statement_timeout_s": HANGS_S}
BLOCKS = 40
PATIENT_LOOKS = LookLimits(store_s=HANGS_S, tokens_s=HANGS_S, scrape_s=HANGS_S)


class Reply(NamedTuple):
    """An answer. `json` is None where it has no JSON body."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    json: Any

    @property
    def error(self) -> str:
        """The message of an error; its shape is checked."""
        assert set(self.json) == {"error"}, self
        assert set(self.json["error"]) == {"code", "message"}, self
        assert self.headers["content-type"] == "application/json"
        assert self.headers["cache-control"] == "no-store"
        message: str = self.json["error"]["message"]
        assert message, self
        assert "\n" not in message, self
        return message

    @property
    def data(self) -> Any:
        assert self.status == 200, self
        return self.json["data"]


class Served:
    """`with Served(url) as api:` serves the store at `url`."""

    def __init__(self, url: str, **options: Any) -> None:
        self.url = url
        self.options = ApiOptions(**(PATIENT | options))
        self.metrics = ApiMetrics()
        self.token: str | None = None  # shown with each request
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="api")
        self._serving: asyncio.Future[None] | None = None
        self.server: ApiServer
        self.store: Store

    def __enter__(self) -> "Served":
        self._thread.start()
        try:
            self.run(self._start())
        except BaseException:
            self._end_loop()
            raise
        return self

    async def _start(self) -> None:
        runtime = SystemRuntime()
        options = self.options
        self.store = await open_store(
            self.url,
            runtime,
            readonly=True,
            statement_timeout_s=options.statement_timeout_s,
            readers=options.readers,
            patience_s=options.store_patience_s,
        )
        self.server = ApiServer(Backend(self.store, runtime, options, (), self.metrics, ApiLimits(looks=PATIENT_LOOKS)))
        begun = asyncio.Event()
        self._serving = asyncio.ensure_future(self.server.run(lambda url: begun.set()))
        await begun.wait()

    async def _stop(self) -> None:
        self.server.stop()
        assert self._serving is not None
        await self._serving
        await self.store.close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.run(self._stop())
        finally:
            self._end_loop()

    def _end_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(HANGS_S)
        self._loop.close()

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        return self._loop

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine where the server runs."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(HANGS_S)

    # -- asking --------------------------------------------------------------------------------------------

    def ask(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Reply:
        sent = {} if self.token is None else {"authorization": f"Bearer {self.token}"}
        connection = http.client.HTTPConnection(self.server.host, self.server.port, timeout=HANGS_S)
        try:
            connection.request(method, path, body, sent | dict(headers or {}))
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        told = {name.lower(): value for name, value in answer.getheaders()}
        is_json = told.get("content-type") == "application/json" and "content-encoding" not in told
        return Reply(answer.status, told, content, json.loads(content) if is_json and content else None)

    def get(self, path: str, /, **query: object) -> Reply:
        """A name that is a word of Python's is written with a line behind it: `from_`."""
        given = {name.rstrip("_"): str(value) for name, value in query.items() if value is not None}
        return self.ask("GET", f"{path}?{urlencode(given)}" if given else path)

    def post(self, path: str, document: Any) -> Reply:
        return self.ask("POST", path, headers={"content-type": "application/json"}, body=json.dumps(document).encode())

    def pages(self, path: str, /, **query: object) -> list[list[Any]]:
        """The data of all pages of a list, following `next`."""
        found, cursor = [], None
        while True:
            reply = self.get(path, **query, cursor=cursor)
            found.append(reply.data)
            cursor = reply.json["next"]
            if cursor is None:
                return found

    def all(self, path: str, /, **query: object) -> list[Any]:
        return [item for page in self.pages(path, **query) for item in page]


class Filled(NamedTuple):
    """A store, the node whose chain it holds, and the recording."""

    url: str
    node: SimNode
    recording: Recording


async def fill(store: Store, node: SimNode) -> Rig:
    """Take the node's chain in, up to its head."""
    rig = Rig(store, node, FakeRuntime(), ("http://replica-0",))
    await rig.once()
    return rig


def a_recording() -> Recording:
    """Two symbols: trades with a gap in their ids, a book that is proven, lost and proven again."""
    made = Recording()
    made.instrument()
    made.trades(1, 2, 3)
    made.trades(100, 101)
    made.trades(1, symbol="ETH/USD")
    made.book(levels([99, 98]), levels([101, 102]), whole=True)
    made.note(Disconnected("1006"))
    made.book(levels([99, 97]), levels([101, 103]), whole=True, after_us=60_000_000)
    return made


def filled(url: str) -> Filled:
    """A store with a chain that went through a reorg, and a recording of a market."""
    node, recording = a_node(BLOCKS), a_recording()

    async def work() -> None:
        store = await open_store(url, SystemRuntime())
        try:
            rig = await fill(store, node)
            rig.tree.reorg(2, 3)
            await rig.once()
            loader = await Loader.open(store, SystemRuntime(), "kraken")
            await loader.load(recording.events)
        finally:
            await store.close()

    asyncio.run(work())
    return Filled(url, node, recording)


def sqlite_url(folder: Path) -> str:
    return f"sqlite:///{folder}/api.db"
