"""A recording in this process: a feed of the scripted exchange, whose journal the server follows."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.market.exchange import Script, Wire, until
from tests.patience import HANGS_S
from tidelog.api.http.options import JournalSource
from tidelog.market.live.feed import Feed

A, B = "A/USD", "B/USD"


class Recorder:
    """A feed that runs, and what its exchange does next. Each method returns once the journal has it."""

    def __init__(self, script: Script, wire: Wire, feed: Feed) -> None:
        self.script = script
        self.wire = wire
        self.feed = feed

    async def trade(self, count: int = 1, symbol: str = A) -> None:
        await self.push(*[self.script.trade(symbol) for _ in range(count)])

    async def update(self, qty: int, symbol: str = A, *, wrong: bool = False) -> None:
        await self.push(self.script.update(symbol, qty, wrong=wrong))

    async def push(self, *frames: bytes) -> None:
        before = self.feed.progress.frames
        self.wire.push(*frames)
        await until(lambda: self.feed.progress.frames >= before + len(frames) and not self.feed.progress.unsynced)

    async def proven(self) -> None:
        await until(lambda: all((view := self.feed.book(name)) and view.proven for name in (A, B)))


@asynccontextmanager
async def recording(path: Path, script: Script | None = None) -> AsyncIterator[Recorder]:
    """Books and trades of two symbols, in the journal `path`."""
    script = script or Script()
    wire = Wire(script)
    async with Feed([A, B], ["book", "trade"], journal=str(path), transport=wire) as feed:
        recorder = Recorder(script, wire, feed)
        await recorder.proven()
        await until(lambda: feed.progress.held == feed.progress.subscriptions)
        yield recorder


def source(path: Path, name: str = "test") -> JournalSource:
    return JournalSource(name, str(path))


async def settled(condition: asyncio.Event) -> None:
    await asyncio.wait_for(condition.wait(), HANGS_S)
