"""A process that loads a made-up journal into a SQLite store, and is killed: `... PATH SEED`.

It prints a line after each commit. The journal is a function of the seed, so every process has the same.
"""

import asyncio
import random
import sys
from collections.abc import AsyncIterator

from tests.market.recorded import Recording, levels
from tidelog.market.core import JournalEvent
from tidelog.market.events import Disconnected
from tidelog.market.load.loader import Loader
from tidelog.runtime import SystemRuntime
from tidelog.store import open_store

FRAMES = 1_500
BATCH = 10


def journal(seed: int, frames: int = FRAMES) -> list[JournalEvent]:
    """Two symbols' trades, with jumps and late ones; a book; disconnects and restarts."""
    rng = random.Random(seed)
    made = Recording()
    made.ack("book", 10)
    made.book(levels(range(99, 89, -1)), levels(range(101, 111)), whole=True)
    numbers = {"BTC/USD": 1, "ETH/USD": 500}
    for _ in range(frames):
        symbol = rng.choice(list(numbers))
        after_us = rng.randrange(200_000)
        match rng.randrange(20):
            case 0:
                made.note(Disconnected("reset by peer"), after_us)
            case 1:
                made.restart()
            case 2 | 3:
                numbers[symbol] += rng.randrange(1, 6)  # some were lost
            case 4 | 5:
                last = numbers[symbol]
                made.trades(*range(max(last - 30, 1), last + 1), symbol=symbol, snapshot=True, after_us=after_us)
            case 6:
                made.book(levels([99], rng.randrange(1, 9)), [], wrong=rng.random() < 0.2, after_us=after_us)
            case 7:
                made.book(levels(range(99, 89, -1)), levels(range(101, 111)), whole=True, after_us=after_us)
            case _:
                last = numbers[symbol]
                numbers[symbol] += rng.randrange(1, 4)
                made.trades(*range(last, numbers[symbol]), symbol=symbol, after_us=after_us)
    return made.events


async def load(path: str, seed: int) -> None:
    store = await open_store(f"sqlite:///{path}", SystemRuntime())
    loader = await Loader.open(store, SystemRuntime(), "test")
    entries = journal(seed)
    for at in range(0, len(entries), BATCH):
        await loader.load(entries[at : at + BATCH])
        print(loader.committed, flush=True)
    await store.close()


async def given(entries: list[JournalEvent]) -> AsyncIterator[JournalEvent]:
    for entry in entries:
        yield entry


if __name__ == "__main__":
    asyncio.run(load(sys.argv[1], int(sys.argv[2])))
