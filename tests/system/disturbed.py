"""A feed on real sockets to an exchange that is told to fail, its journal loaded into a store, all in a hurry.

The exchange is in this process, so that every book which the feed shows as proven can be compared with the true one
at that very frame. Time runs `SPEED` times as fast for both, if the machine can: a minute of silence costs a second and
a half.
"""

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.patience import HANGS_S
from tests.sim.exchange_client import CODECS
from tidelog.batch import Row, Table
from tidelog.errors import Rejected
from tidelog.market.events import BookDelta, BookSnapshot
from tidelog.market.journal.reader import JournalReader
from tidelog.market.journal.retention import Retention
from tidelog.market.live.feed import Feed
from tidelog.market.live.limits import FeedLimits
from tidelog.market.load.loader import Loader
from tidelog.market.load.recorded import source_of
from tidelog.market.projection.tables import GAPS, MARKET_TABLES, TRADES
from tidelog.market.records import Record
from tidelog.market.replay.position import events_to_load
from tidelog.market.replay.replay import Summary, replay_records
from tidelog.net.websocket import PicoWebSocket, WebSocket, WebSocketLimits
from tidelog.runtime import SystemRuntime
from tidelog.sim.exchange import Pair, SimExchange
from tidelog.sim.exchange.markets.book import TrueTop
from tidelog.sim.exchange.markets.market import TrueTrade
from tidelog.sim.exchange.session import Session
from tidelog.sim.exchange.wire.server import ExchangeServer
from tidelog.sim.node.answers import Answer
from tidelog.store import open_store

Load = Callable[[str, Path, Callable[[], bool]], Coroutine[None, None, None]]

SPEED = 40
TICK_S = 0.005  # of the hurried clocks, in real time
TICK_PASSED_S_MAX = 0.4  # ... and in theirs: twice what a machine with time makes of it
HURRIED = FeedLimits(
    wait_s_max=0.02,  # between looks at the clock, which the event loop does not know to run fast
    connect_s=HANGS_S,  # in real time: the machine may be busy
)
NAME = "test"
SYMBOLS = ("BTC/USD", "ETH/USD")
LEVELS = 60  # a side: some more than are subscribed, so that levels fall out of the window and come back
DEPTH = 25
REPLAY_SPEED = 5_000.0  # of the hurried time: at a pace, though not slowly
PROVEN_AGAIN = 5  # frames of each book after the last fault


class Hurried(SystemRuntime):
    """Real threads and sleeps; clocks that run fast, and no faster than the event loop comes round.

    On a machine that stands still, or is slow, they go slower with it: by their time the exchange and the feed would
    else be silent for minutes, and no connection would last until its books are proven.
    """

    def __init__(self, speed: float = SPEED) -> None:
        super().__init__()
        self._speed = speed
        self._begun, self._begun_s = super().now(), super().monotonic()
        self._passed_s = 0.0
        self._ticked_s: float | None = None  # by the real clock

    def monotonic(self) -> float:
        if self._ticked_s is None:
            self._ticked_s = super().monotonic()
            asyncio.get_running_loop().call_later(TICK_S, self._tick)
        return self._begun_s + self._passed_s

    def now(self) -> float:
        return self._begun + self.monotonic() - self._begun_s

    def _tick(self) -> None:
        """Between two of these everybody on the loop has had a turn."""
        assert self._ticked_s is not None
        now_s = super().monotonic()
        self._passed_s += min((now_s - self._ticked_s) * self._speed, TICK_PASSED_S_MAX)
        self._ticked_s = now_s
        asyncio.get_running_loop().call_later(TICK_S, self._tick)


@pytest.fixture
def hurry() -> Hurried:
    """A fast clock."""
    return Hurried()


class Exchange(SimExchange):
    """Knows whom it let in last."""

    latest: Session | None = None

    def connect(self, url: str, *, address: str = "") -> Session | Answer:
        found = super().connect(url, address=address)
        if isinstance(found, Session):
            self.latest = found
        return found


class Watched:
    """The real transport. Before each message it judges what the feed has made of the one before."""

    def __init__(self, exchange: Exchange, protocol: str) -> None:
        self.exchange = exchange
        self.protocol = protocol
        self.decode = CODECS[protocol].decode
        self.feed: Feed | None = None
        self.frames = 0  # handed to the feed
        self.proven: Counter[str] = Counter()  # by symbol: shown as proven right after a frame, and true
        self._pico = PicoWebSocket(limits=WebSocketLimits(close_s=0.1))

    async def connect(self, url: str, *, timeout_s: float) -> WebSocket:
        socket = await self._pico.connect(url, timeout_s=timeout_s)
        assert self.exchange.latest is not None
        return _WatchedSocket(self, socket, self.exchange.latest.connection_id)

    def judge(self, message: bytes, top: TrueTop) -> None:
        try:
            event = self.decode(message)
        except Rejected:
            return  # it did not reach the book
        assert self.feed is not None
        # of another symbol, where one of its letters was changed on the way, it did not reach the book either
        if isinstance(event, BookDelta | BookSnapshot) and event.symbol == top.symbol:
            view = self.feed.book(event.symbol, 10)
            if view is not None and view.proven:
                assert (view.bids, view.asks) == (top.bids, top.asks), "a proven book is the exchange's"
                self.proven[event.symbol] += 1


class _WatchedSocket(WebSocket):
    def __init__(self, watched: Watched, socket: WebSocket, connection: int) -> None:
        self._watched = watched
        self._socket = socket
        self._connection = connection
        self._index = -1
        self._message = b""

    async def receive(self) -> bytes:
        top = self._watched.exchange.truth.top10(self._connection, self._index)
        if top is not None:
            self._watched.judge(self._message, top)
        self._message = b""  # judged once, though a wait for the next may be cancelled and begun again
        message = await self._socket.receive()
        self._index += 1
        self._message = message
        self._watched.frames += 1
        return message

    def send(self, message: bytes) -> None:
        self._socket.send(message)

    async def close(self) -> None:
        await self._socket.close()


class Recording:
    """What is going on, and, once it is over, what came of it."""

    def __init__(self, exchange: Exchange, feed: Feed, watched: Watched, path: Path, url: str) -> None:
        self.exchange = exchange
        self.feed = feed
        self.watched = watched
        self.path = path
        self.url = url
        self.own: set[asyncio.Task[Any]] = set()  # the test's tasks, which may outlive the recording

    async def until(self, condition: Callable[[], bool], what: str, *, within_s: float = HANGS_S) -> None:
        """Let things go on until something holds; what ends the feed before that is raised."""
        finished = asyncio.ensure_future(self.feed.finished())
        try:
            async with asyncio.timeout(within_s):
                while not condition():
                    if finished.done():
                        finished.result()
                    await asyncio.sleep(0.005)
        except TimeoutError:
            raise AssertionError(f"waited {within_s:g} s for {what}: {self.feed.progress}") from None
        finally:
            finished.cancel()
            await asyncio.gather(finished, return_exceptions=True)

    @property
    def is_whole(self) -> bool:
        """Everything that is wanted is acknowledged, and every book proven."""
        progress = self.feed.progress
        if not 0 < progress.subscriptions == progress.held:
            return False
        return all(view.proven for view in map(self.feed.book, SYMBOLS) if view is not None)

    async def recovers(self) -> None:
        """Leave the exchange honest: everything has to come back, and to stay."""
        self.exchange.honest()
        await self.until(lambda: self.is_whole, "everything to be back")
        before = self.watched.proven.copy()
        await self.until(lambda: self.is_whole and self._has_gone_on(before), "books that go on")

    def _has_gone_on(self, before: Counter[str]) -> bool:
        """Books are proven again and again, and the exchange serves all that the feed believes to have."""
        proven = self.watched.proven
        served = {
            (one.key.channel, one.key.symbol)
            for session in self.exchange.sessions
            for one in session.subscriptions.values()
            if not (one.stalled or session.half_open)
        }
        return len(served) == self.feed.progress.subscriptions and all(
            proven[symbol] >= before[symbol] + PROVEN_AGAIN for symbol in SYMBOLS
        )


def records(journal: Path) -> list[Record]:
    """All of them; Corruption if the journal is not whole."""
    reader = JournalReader(str(journal))
    try:
        return list(reader.records())
    finally:
        reader.close()


async def digest_of(journal: Path, speed: float | None = None) -> str:
    """Of the events of the first run, by a replay."""
    summary = Summary()
    async for _ in replay_records(records(journal), SystemRuntime(), speed=speed, summary=summary):
        pass
    return summary.digests[1].hexdigest()


@asynccontextmanager
async def recording(
    runtime: Hurried,
    folder: Path,
    *,
    seed: int = 1,
    protocol: str = "v2",
    rate: float = 15.0,
    load_later: bool = False,
    loads: Load | None = None,
    retention: Retention | None = None,
    limits: FeedLimits = HURRIED,
    route: Callable[[str], str] = str,
) -> AsyncIterator[Recording]:
    """A feed of two symbols' books and trades and its loader, running; when left, both have ended in order.

    Args:
        rate: moments per second of the exchange's time.
        load_later: only once the feed has ended.
        loads: instead of `load`.
        route: the address at which the feed is to connect, given the exchange's.
    """
    before = set(threading.enumerate())
    exchange = Exchange(seed=seed, rate=rate, levels=LEVELS, start_us=int(runtime.now() * 1_000_000))
    watched = Watched(exchange, protocol)
    path, url = folder / "journal", f"sqlite:///{folder}/store.db"
    async with ExchangeServer(exchange, runtime=runtime) as server:
        ended = False
        loading: asyncio.Task[None] | None = None
        async with Feed(
            SYMBOLS, ["book", "trade"], journal=str(path), depth=DEPTH, protocol=protocol,
            url=route(server.url(protocol)), digest=True, runtime=runtime, transport=watched, retention=retention,
            limits=limits,
        ) as feed:  # fmt: skip
            watched.feed = feed
            if not load_later:
                loading = asyncio.create_task((loads or load)(url, path, lambda: ended))
            try:
                running = Recording(exchange, feed, watched, path, url)
                await running.until(lambda: running.is_whole, "books at the start")
                yield running
            except BaseException:
                if loading is not None:
                    loading.cancel()
                    await asyncio.gather(loading, return_exceptions=True)
                raise
        ended = True
        await asyncio.wait_for(loading or load(url, path), HANGS_S)
    others = asyncio.all_tasks() - {asyncio.current_task()} - running.own
    assert not others, "every task has ended"
    ours = set(threading.enumerate()) - before
    left = {thread.name for thread in ours if thread.name.startswith("tidelog-journal")}
    assert not left, f"every journal's thread has ended: {left}"


async def load(url: str, journal: Path, ending: Callable[[], bool] = lambda: True) -> None:
    """The journal into a store, up to its end once `ending` says so."""
    runtime = SystemRuntime()
    store = await open_store(url, runtime)
    try:
        loader = await Loader.open(store, runtime, NAME)
        await loader.run(events_to_load(str(journal), runtime, after=loader.committed, ending=ending))
    finally:
        await store.close()


async def contents(url: str, name: str = NAME) -> dict[str, list[Row]]:
    """All rows of a recording, table by table: what no digest covers too."""
    store = await open_store(url, SystemRuntime(), readonly=True)
    try:
        async with store.snapshot() as snapshot:
            return {
                table.name: sorted(await snapshot.select(table, scope=source_of(name)), key=repr)
                for table in (*MARKET_TABLES, GAPS)
            }
    finally:
        await store.close()


async def judge(running: Recording, folder: Path, *, bits_flip: bool = False) -> int:
    """What has to hold of every run, however disturbed, once it is over; how many trades are missing."""
    assert await digest_of(running.path) == await digest_of(running.path, REPLAY_SPEED) == running.feed.digest
    stored_rows = await contents(running.url)
    again = f"sqlite:///{folder}/again.db"
    await load(again, running.path)
    assert await contents(again) == stored_rows, "the store is a fold of the journal"
    if running.watched.protocol == "v1":
        states = {row[5] for row in stored_rows["coverage"] if row[2] == "trade"}
        assert "proven" not in states, "without ids nobody knows"
        return 0
    return judge_trades(stored_rows, running.exchange, bits_flip=bits_flip)


def judge_trades(stored_rows: dict[str, list[Row]], exchange: SimExchange, *, bits_flip: bool = False) -> int:
    """Every true trade between the first and the last that were stored is stored as it was, or lies in an open gap.

    Args:
        bits_flip: a trade has no checksum: what it says was not to be trusted on the way.

    Returns:
        How many are missing, and said so.
    """
    said = 0
    for symbol, market in exchange.markets.items():
        of_symbol = [row for row in named(TRADES, stored_rows) if row["symbol"] == symbol]
        stored = {row["trade_id"]: row for row in of_symbol}
        assert len(of_symbol) == len(stored) > 0, "each trade once"
        still_open = [
            gap for gap in named(GAPS, stored_rows) if gap["scope"] == f"trades:{symbol}" and gap["closed_at"] is None
        ]
        for trade in market.trades:
            row = stored.get(trade.trade_id)
            if row is not None:
                assert bits_flip or _says(row, trade, market.pair), (row, trade)
            elif min(stored) <= trade.trade_id <= max(stored):
                assert any(gap["first"] <= trade.trade_id <= gap["last"] for gap in still_open), trade
                said += 1
    return said


def named(table: Table, stored_rows: dict[str, list[Row]]) -> list[dict[str, Any]]:
    return [dict(zip(table.names, row, strict=True)) for row in stored_rows[table.name]]


def _says(row: dict[str, Any], trade: TrueTrade, pair: Pair) -> bool:
    return (
        (row["time_us"], row["side"], row["ord_type"]) == (trade.time_us, trade.side, trade.ord_type)
        and row["price"] * 10**pair.price_precision == trade.price * 10 ** row["price_scale"]
        and row["qty"] * 10**pair.qty_precision == trade.qty * 10 ** row["qty_scale"]
    )
