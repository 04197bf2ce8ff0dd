"""A recording through the simulated server, which loses what real ones lose; publishers and readers die."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from tests.market.stretches import write_journal
from tests.stream.market.folded import Folded
from tests.stream.market.test_journal_backlog import core_of
from tests.stream.market.test_telling import a_journal
from tidelog.market.core import Core
from tidelog.sim.streams.server import SimStreams
from tidelog.sim.streams.wire import SimStreamTransport
from tidelog.sim.world.loop import SimLoop
from tidelog.sim.world.runtime import SimRuntime
from tidelog.sim.world.world import Process, World
from tidelog.stream.consumer import consume
from tidelog.stream.envelope import part_of
from tidelog.stream.market.journal import JournalBacklog
from tidelog.stream.market.messages import MarketItem, MarketLanguage, Recorded, TradesMade
from tidelog.stream.market.places import id_of
from tidelog.stream.market.telling import Teller
from tidelog.stream.publisher import Publisher, PublisherLimits

FAULTS = 30
PAUSE_S = 1.5  # of simulated time, at most, between them
QUIET_S = 600.0
SMALL = PublisherLimits(flight_messages=7)


class Reader(Folded):
    """Counts records; trades apart, whose ids a made-up market does not keep to."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[tuple[int, int]] = []

    def take(self, item: MarketItem) -> None:
        assert isinstance(item, Recorded), "nothing went back but the stream"
        self.ids.append((item.run, item.seq))
        super().take(structs.replace(item, events=[each for each in item.events if not isinstance(each, TradesMade)]))


@pytest.mark.parametrize("seed", range(6))
def test_each_record_is_read_once_whatever_becomes_of_the_stream(tmp_path: Path, seed: int) -> None:
    loop = SimLoop()  # type: ignore[abstract]  # what is left out is an error to ask for
    world = World(loop, seed, str(tmp_path))
    path = world.disk.path("journal")
    records = a_journal("v2", seed, frames=200)
    write_journal(Path(path), records)
    teller = Teller(Core())
    begin = records[0].id  # what was before it is not in this journal: a gap
    expected = [(begin.run, 0), *[(record.id.run, record.id.seq) for record in records if teller.take(record)]]
    server, reader, rng = SimStreams(world.random("streams")), Reader(), random.Random(seed)

    async def publish(process: Process) -> None:
        runtime = SimRuntime(process)
        backlog = JournalBacklog(path, runtime, "kraken", vfs=process.mount.name)
        try:
            await Publisher(backlog, SimStreamTransport(server, process), runtime, limits=SMALL).run()
        finally:
            await backlog.close()

    async def read(process: Process) -> None:
        transport = SimStreamTransport(server, process)
        async with aclosing(
            consume(transport, SimRuntime(process), MarketLanguage("kraken"), after=reader.place)
        ) as items:
            async for item in items:
                reader.take(item)

    programs: dict[str, Callable[[Process], Coroutine[Any, Any, None]]] = {"publisher": publish, "reader": read}
    processes: dict[str, Process] = {}
    lives: list[asyncio.Task[BaseException | None]] = []

    def start(name: str) -> None:
        processes[name] = Process(world, name)
        lives.append(asyncio.ensure_future(processes[name].run(programs[name])))

    def is_whole() -> bool:
        """Whether the stream ends with the journal."""
        last = None if not server.stream else part_of(server.stream[-1])
        return last is not None and last.is_last and id_of(last.place.seq) == expected[-1]

    async def main() -> None:
        for name in programs:
            start(name)
        faults: list[Callable[[], object]] = [
            lambda: server.lose_tail(rng.randint(1, 60)), server.forget, server.copy, server.restore, server.restart,
            lambda: setattr(server, "doubts", server.doubts + 2),
        ]  # fmt: skip
        for _ in range(FAULTS):
            await asyncio.sleep(rng.random() * PAUSE_S)
            if rng.random() < 0.4:
                name = rng.choice(list(programs))
                processes[name].kill("crash")
                start(name)
            else:
                rng.choice(faults)()
        server.doubts = 0
        async with asyncio.timeout(QUIET_S):
            while reader.ids != expected or not is_whole():
                assert all(process.alive for process in processes.values()), "who is not killed goes on"
                await asyncio.sleep(1.0)
        for process in processes.values():
            process.kill("crash")
        await asyncio.gather(*lives)

    try:
        loop.run_until_complete(main())
    finally:
        loop.close()
    reader.equals(core_of(Path(path)))
    parts = [part_of(each) for each in server.stream or ()]
    assert [part.place for part in parts if part.is_last] == sorted(
        {part.place for part in parts}, key=lambda place: place.seq
    ), "the stream has each record once, in order"
