"""Trouble in equal stretches, and how much memory each leaves behind: a feed, slow subscribers, and the loader.

Measured with tracemalloc, in this process, in a hurry, and without sockets.
"""

import asyncio
import gc
import tracemalloc
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

from tests.market.exchange import Script, Wire
from tests.system.disturbed import NAME, Hurried
from tidelog.market.events import EventId
from tidelog.market.journal.retention import Retention
from tidelog.market.live.fanout import Policy, Subscription
from tidelog.market.live.feed import Feed
from tidelog.market.load.loader import Loader
from tidelog.market.projection.inputs import ProjectionInput
from tidelog.market.replay.position import events_to_load
from tidelog.runtime import SystemRuntime
from tidelog.store import open_store

SYMBOLS = ("A/USD", "B/USD")
ROUND_FRAMES = 24  # of a round, at least
TROUBLE_EVERY = 20  # rounds: then the connection is lost, or a checksum is wrong
PENDING_MAX = 20
BATCH = 100  # of the loader
CAP_BYTES = 200_000  # of the journal, so that it drops what is old all the time
UNTIL_S = 600.0  # that the loader may take for a long stretch, on a machine that has no time
MEASURED = [
    tracemalloc.Filter(False, pattern)  # frames as the exchange made them count too: who keeps one, keeps its memory
    for pattern in ("*/_pytest/*", "*/tracemalloc.py", "*/linecache.py", "<*")
]


def used() -> int:
    """Bytes that are allocated, but for what the measuring itself holds."""
    gc.collect()
    snapshot = tracemalloc.take_snapshot().filter_traces(MEASURED)
    return sum(trace.size for trace in snapshot.traces)


class Rig:
    """A feed of two symbols in trouble. One subscriber never reads, two are too slow."""

    def __init__(self, feed: Feed, wire: Wire) -> None:
        self.feed = feed
        self.wire = wire
        assert isinstance(wire.script, Script)
        self.script = wire.script
        self.loaded = EventId(0, 0)
        self.ended = False
        self.loading: asyncio.Task[None] | None = None
        self.never = feed.events(pending_max=PENDING_MAX)
        self._wanted = EventId(0, 0)  # in the store, soon
        self._rounds = 0
        self._traded: dict[str, int] = {}  # the last id by symbol

    async def load(self, url: str, journal: Path) -> None:
        runtime = SystemRuntime()
        store = await open_store(url, runtime)
        try:
            loader = await Loader.open(store, runtime, NAME)
            entries = events_to_load(str(journal), runtime, after=loader.committed, ending=lambda: self.ended)
            batch: list[ProjectionInput] = []
            async for entry in entries:
                batch.append(entry)
                if len(batch) >= BATCH or self.loaded < self._wanted <= entry.id:
                    await loader.load(batch)
                    self.loaded = loader.committed
                    batch.clear()
        finally:
            await store.close()

    async def read_slowly(self, subscription: Subscription) -> None:
        async for _ in subscription:
            await asyncio.sleep(0.05)

    async def round(self) -> None:
        """Some frames, most of them in order."""
        await self._until_proven()
        self._rounds += 1
        script, wire = self.script, self.wire
        enough = self.feed.progress.frames + ROUND_FRAMES
        for number in range(ROUND_FRAMES // 2 - 2):
            symbol = SYMBOLS[number % 2]
            wire.push(script.update(symbol, 3 + number + self._rounds % 7), self._trade(symbol))
        if self._rounds % TROUBLE_EVERY == 10:
            self._trade("A/USD")  # lost
        wire.push(
            b"null",
            b'{"channel":"never heard of %d","type":"update","data":[]}' % self._rounds,
            self._trade(f"X{self._rounds % 5}/USD"),
            script.update("B/USD", 2),
            script.update("A/USD", 2, wrong=self._rounds % TROUBLE_EVERY == 5),
        )
        await self._until(lambda: self.feed.progress.frames >= enough)
        if self._rounds % TROUBLE_EVERY == 0:
            wire.cut(f"reset number {self._rounds}")

    def _trade(self, symbol: str) -> bytes:
        """The symbol's next."""
        self.script.trade_id = self._traded.get(symbol, 0)
        self._traded[symbol] = self.script.trade_id + 1
        return self.script.trade(symbol)

    async def _until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(UNTIL_S):
            while not condition():
                if self.loading is not None and self.loading.done():
                    self.loading.result()
                await asyncio.sleep(0.002)

    async def _until_proven(self) -> None:
        await self._until(lambda: all((view := self.feed.book(one)) and view.proven for one in SYMBOLS))

    async def stretch(self, rounds: int) -> None:
        """Rounds, and then rest."""
        for _ in range(rounds):
            await self.round()
        await self._until_proven()
        self._wanted = self.feed.progress.last
        await self._until(lambda: self.loaded >= self._wanted)
        self.script.requests.clear()  # the exchange's own memory


async def grows_by(hurry: Hurried, folder: Path, rounds: int) -> int:
    """How much more is in use after a stretch of so many rounds than after one like it.

    Of three stretches the lesser growth: at rest the loader holds the last group that it read, large or small.
    """
    wire, journal = Wire(Script()), folder / "journal"
    tracemalloc.start()
    try:
        rig: Rig | None = None
        retention = Retention(bytes_max=CAP_BYTES, restart=lambda: None if rig is None else rig.loaded)
        feed = Feed(
            SYMBOLS, ["book", "trade"], journal=str(journal), transport=wire, runtime=hurry, retention=retention
        )
        async with feed:
            rig = Rig(feed, wire)
            slow = [
                asyncio.create_task(rig.read_slowly(feed.events(policy, pending_max=PENDING_MAX)))
                for policy in (Policy.DROP_OLDEST, Policy.CONFLATE)
            ]
            loading = rig.loading = asyncio.create_task(rig.load(f"sqlite:///{folder}/store.db", journal))
            seen = []
            for _ in range(3):
                await rig.stretch(rounds)
                seen.append(used())
            assert rig.never.statistics.pending == PENDING_MAX
            assert rig.never.statistics.dropped > rounds * ROUND_FRAMES
            assert feed.progress.connects > rounds // TROUBLE_EVERY
            assert feed.progress.mismatches > rounds // TROUBLE_EVERY
        rig.ended = True
        await loading
        for task in slow:
            task.cancel()
        await asyncio.gather(*slow, return_exceptions=True)
    finally:
        tracemalloc.stop()
    return min(after - before for before, after in pairwise(seen))
