"""A recording by several programs under simulation: each has a feed, a journal and a loader, all one store.

They are killed, together and one by one, and started with their symbols divided anew; what no engine decides, who
starts with what, the schedule says. At the end the store has to have what every one of them has journaled, as if it had
been one program.
"""

import asyncio
import random
from collections.abc import AsyncIterable, Callable, Coroutine, Mapping
from contextlib import suppress
from itertools import pairwise
from typing import Any

import apsw
import msgspec

from tidelog.market.core import Core
from tidelog.market.events import EventId, Trades
from tidelog.market.journal.reader import JournalReader
from tidelog.market.live.feed import Feed
from tidelog.market.load.loader import SAMPLE_S, Loader, OwnedShard
from tidelog.market.load.recorded import recorded, source_of
from tidelog.market.load.settling import Claiming
from tidelog.market.load.sharded import Live, ShardLoading
from tidelog.market.maintenance.journals import located
from tidelog.market.maintenance.verify import shards_again
from tidelog.market.projection.inputs import ProjectionInput
from tidelog.market.replay.position import events_to_load
from tidelog.market.shards.layout import first_run
from tidelog.market.views import BookView
from tidelog.sim.exchange import PAIRS, SimExchange
from tidelog.sim.exchange.control import Disconnect
from tidelog.sim.oracle.chain import require
from tidelog.sim.oracle.market import candles_are_of_the_trades, complete_is_true, every_trade
from tidelog.sim.runs.market_limits import EXCHANGE, WEB_SOCKET, feed_limits, session_limits
from tidelog.sim.runs.reading import NAME
from tidelog.sim.runs.transport import CheckedTransport, CheckedWire
from tidelog.sim.scenario import schedule as plan
from tidelog.sim.scenario.faults import Faults
from tidelog.sim.scenario.harness import run_script, until
from tidelog.sim.scenario.journal_loss import JournalLoss
from tidelog.sim.world.disk import Mount
from tidelog.sim.world.runtime import SimRuntime
from tidelog.sim.world.supervisor import Supervisor
from tidelog.sim.world.world import START_S, Process, Violation, World
from tidelog.store.sqlite import open_sqlite

__all__ = ["ShardsRun"]

SYMBOLS = tuple(PAIRS)
CHANNELS = ("book", "trade")
LEVELS, DEPTH = 30, 10
RATE = 6.0  # moments of a market per second
TICK_S = 0.25
QUIET_S = 400.0
PROVEN_AGAIN = 5  # frames of each book, after all is back
END_S = 120.0
SECOND = 1_000_000


class SharedAttempts:
    """The twin of the file that shards share: it outlives each of them."""

    def __init__(self, attempts_max: int, window_us: int) -> None:
        self._attempts_max = attempts_max
        self._window_us = window_us
        self._times: list[int] = []

    async def take(self, now_us: int) -> int:
        self._times = [time for time in self._times if time > now_us - self._window_us]
        if len(self._times) >= self._attempts_max:
            return sorted(self._times)[-self._attempts_max] + self._window_us
        self._times.append(now_us)
        return 0


class ShardsRun:
    """One scenario. `run` gives nothing: what it found is in `world.violations`."""

    def __init__(self, world: World, schedule: plan.Schedule) -> None:
        self.world = world
        self.schedule = schedule
        self.exchange = SimExchange(
            seed=schedule.seed,
            pairs=[PAIRS[symbol] for symbol in SYMBOLS],
            rate=RATE,
            levels=LEVELS,
            limits=EXCHANGE,
            start_us=int(START_S * SECOND),
        )
        session = session_limits(schedule)
        self.limits = feed_limits(schedule, session)
        self.transport = CheckedTransport(world, self.exchange, "v2", WEB_SOCKET, session, DEPTH)
        self.attempts = SharedAttempts(session.attempts_max * schedule.shards, session.attempts_window_us)
        self.losses = {number: JournalLoss(world.disk, self._journal(number), NAME, number) for number in self._numbers}
        self.feeds: dict[int, Feed] = {}
        self._stops: dict[int, asyncio.Event] = {}
        self._observer = Mount(world.disk, faulty=False)
        self._rng = random.Random(f"{schedule.seed} layouts")
        self.layout = self._drawn()
        self.faults = Faults(world, schedule.events, self._act, self._kill, self._store_path)

    def _drawn(self) -> dict[str, int]:
        """A shard for each symbol."""
        return {symbol: self._rng.randint(1, self.schedule.shards) for symbol in SYMBOLS}

    @property
    def _numbers(self) -> range:
        return range(1, self.schedule.shards + 1)

    @property
    def _store_path(self) -> str:
        return self.world.disk.path("store.db")

    def _journal(self, number: int) -> str:
        return self.world.disk.path(f"journal.{number}")

    def _journals(self) -> Mapping[int, str]:
        """Those that there are."""
        return {number: self._journal(number) for number in self._numbers if self._is_there(self._journal(number))}

    def _is_there(self, path: str) -> bool:
        try:
            with suppress(apsw.Error):
                connection = self._open(path)
                try:
                    return bool(connection.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'runs'").get)
                finally:
                    connection.close()
        except Violation:
            pass
        return False

    async def run(self) -> None:
        self.world.on_point = lambda process, name, nth: self.faults.on_point(name, nth)
        self.supervisors = [
            Supervisor(self.world, f"shard {number}", self._main_of(number), on_end=self._ended)
            for number in self._numbers
        ]
        await run_script(self.world, self.faults, self.supervisors, self._observer, self._tick(), self._script())

    async def _script(self) -> None:
        await until(self.world, lambda: False, self.schedule.busy_s)
        self.faults.end()
        self.exchange.honest()
        self.transport.refusing = False
        for supervisor in self.supervisors:
            supervisor.quiet_at = self.world.loop.time()
        self.world.trace.add(f"quiet {sorted(self.layout.items())}")
        if not await until(self.world, lambda: self._is_proven({}), QUIET_S):
            self._not_recovered("everything is subscribed and proven")
            return
        before = self.transport.proven.copy()
        if not await until(self.world, lambda: self._is_proven(before), QUIET_S):
            self._not_recovered("every book is proven again and again")
            return
        if not await until(self.world, self._is_owned, QUIET_S):
            self._not_recovered("each symbol is its shard's")
            return
        for supervisor in self.supervisors:
            supervisor.no_more()
        for stop in self._stops.values():
            stop.set()
        if not await until(self.world, lambda: not any(one.lives for one in self.supervisors), END_S):
            self._not_recovered("the programs end in order")
            return
        if not self.world.violations:
            await self._judge_end()

    def _not_recovered(self, promise: str) -> None:
        if not self.world.violations:
            at = {number: feed.progress for number, feed in self.feeds.items()}
            self.world.violated(f"recovers by itself: {promise}; it is at {at}")

    def _is_proven(self, before: Mapping[str, int]) -> bool:
        """Every book is shown as proven by its own shard, some frames after `before`."""
        for symbol, number in self.layout.items():
            feed = self.feeds.get(number)
            view = None if feed is None else feed.book(symbol, 1)
            if view is None or not view.proven:
                return False
            if before and self.transport.proven[symbol] < before.get(symbol, 0) + PROVEN_AGAIN:
                return False
        return True

    def _is_owned(self) -> bool:
        """The store says of each symbol the shard that records it."""
        connection = self._open(self._store_path)
        try:
            query = "SELECT json_extract(position, '$.owners') FROM checkpoints WHERE source = ?"
            owners = connection.execute(query, (f"shards:{NAME}",)).get
        finally:
            connection.close()
        return isinstance(owners, str) and sorted(self.layout.items()) == sorted(_decoded(owners).items())

    # -- the programs -----------------------------------------------------------------------------------------

    def _main_of(self, number: int) -> Callable[[Process], Coroutine[Any, Any, None]]:
        async def main(process: Process) -> None:
            await self._main(process, number)

        return main

    async def _main(self, process: Process, number: int) -> None:
        runtime, stop = SimRuntime(process), asyncio.Event()
        symbols = [symbol for symbol, its in self.layout.items() if its == number]
        self._stops[number] = stop
        if self.losses[number].pending:
            await self._begin_journal(process, runtime, number, unasked=not symbols)
        if not symbols:
            await self._load_the_rest(process, runtime, number, stop)
            return
        path, ended = self._journal(number), False

        def shown(symbol: str, levels: int) -> BookView | None:
            return feed.book(symbol, levels)

        feed = Feed(
            symbols,
            CHANNELS,
            journal=path,
            depth=DEPTH,
            url="ws://exchange/v2",
            runtime=runtime,
            transport=CheckedWire(self.transport, process, runtime, shown),
            vfs=process.mount.name,
            limits=self.limits,
            attempts=self.attempts,
            first_run=first_run(number),
        )
        loading: asyncio.Task[None] | None = None
        try:
            async with feed:
                self.feeds[number] = feed
                live = Live(feed.progress.last.run, feed.now_us, lambda: symbols)
                loading = asyncio.create_task(
                    self._load(process, runtime, number, feed.journal_id, live, lambda: ended)
                )
                tasks = [asyncio.create_task(stop.wait()), asyncio.create_task(feed.finished())]
                try:
                    await asyncio.wait((*tasks, loading), return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for task in tasks:
                        task.cancel()
                    await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            ended = True
            self.feeds.pop(number, None)
            if loading is not None:
                await loading

    async def _begin_journal(self, process: Process, runtime: SimRuntime, number: int, *, unasked: bool) -> None:
        """The operator goes on with a new journal, also of a shard that is to be no more: it can give all up then."""
        store = await open_sqlite(f"sqlite:///{self._store_path}", runtime, vfs=process.mount.name)
        try:
            await self.losses[number].mend(store, runtime, process.mount.name, unasked=unasked)
        finally:
            await store.close()

    async def _load_the_rest(self, process: Process, runtime: SimRuntime, number: int, stop: asyncio.Event) -> None:
        """A shard without symbols records nothing; what its journal has left is loaded, and it gives all up."""
        if number in self._journals():
            await self._load(process, runtime, number, None, None, lambda: True)
        await stop.wait()

    async def _load(
        self,
        process: Process,
        runtime: SimRuntime,
        number: int,
        journal: bytes | None,
        live: Live | None,
        ending: Callable[[], bool],
    ) -> None:
        path, vfs = self._journal(number), process.mount.name
        store = await open_sqlite(f"sqlite:///{self._store_path}", runtime, vfs=vfs)
        try:

            async def open_loader(owned: OwnedShard) -> Loader:
                return await self.losses[number].open_loader(store, runtime, journal, owned)

            def read(loader: Loader, until_id: EventId | None) -> AsyncIterable[ProjectionInput]:
                return events_to_load(
                    path,
                    runtime,
                    after=loader.committed,
                    until=until_id,
                    ending=ending if until_id is None else lambda: True,
                    vfs=vfs,
                )

            me = Claiming(NAME, number, self.schedule.shards, "here", path, process.domain)
            await ShardLoading(store, runtime, me, open_loader, read, self._journals, vfs=vfs).run(live)
        finally:
            await store.close()

    # -- what happens -------------------------------------------------------------------------------------------

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            self.exchange.tick(int((START_S + self.world.loop.time()) * SECOND))

    def _kill(self, why: str) -> None:
        """One of them, or all: after a power cut nothing is left alive."""
        several = why == "power" or self._rng.random() < 0.3
        for supervisor in self.supervisors if several else [self._rng.choice(self.supervisors)]:
            supervisor.kill(why)

    def _ended(self, process: Process, killed: bool) -> None:
        self.transport.gone(process, killed)
        if killed:
            self.faults.bury()

    def _act(self, action: plan.Action) -> object:
        match action:
            case plan.Fault(name, probability):
                self.exchange.tell(name, probability=probability)
                return lambda: self.exchange.honest(name)
            case plan.Cut(code):
                self.exchange.act(Disconnect(code))
            case plan.Refuse():
                self.transport.refusing = True
                return lambda: setattr(self.transport, "refusing", False)
            case plan.Divide(killed):
                self.layout = self._drawn()
                self.world.trace.add(f"layout {sorted(self.layout.items())}")
                if killed:
                    for supervisor in self.supervisors:
                        supervisor.kill("it is divided anew")
                for stop in self._stops.values():
                    stop.set()
            case plan.LoseJournal():
                number = self._rng.choice(self._numbers)
                self.supervisors[number - 1].kill("its journal is moved away")
                self.losses[number].lose()
            case plan.Restart():
                self._stops.get(self._rng.choice(self._numbers), asyncio.Event()).set()
        return None

    # -- judging ------------------------------------------------------------------------------------------------

    def _open(self, path: str) -> apsw.Connection:
        return apsw.Connection(path, flags=apsw.SQLITE_OPEN_READONLY, vfs=self._observer.name)

    def _journaled(self) -> dict[str, set[int]]:
        """The ids of all trades that any journal has, by symbol; of a lost one, as far as it was loaded."""
        found: dict[str, set[int]] = {symbol: set() for symbol in SYMBOLS}
        journals: list[tuple[str, tuple[int, int] | None]] = [(path, None) for path in self._journals().values()]
        for losses in self.losses.values():
            journals += losses.lost
        for path, last in journals:
            reader, core = JournalReader(path, self._observer.name), Core()
            try:
                for record in reader.records():
                    if last is not None and record.id > last:
                        break
                    entry = core.apply(record)
                    if entry is not None and isinstance(entry.event, Trades):
                        for trade in entry.event.trades:
                            if trade.symbol in found and trade.trade_id is not None:
                                found[trade.symbol].add(trade.trade_id)
            finally:
                reader.close()
        return found

    async def _judge_end(self) -> None:
        self._judge()
        if not self.world.violations:
            again = Process(self.world, "again")
            failure = await again.run(self._hold_against_journals)
            if failure is not None:
                self.world.violated(f"the journals can be folded again: {failure!r}")

    async def _hold_against_journals(self, process: Process) -> None:
        """What is stored is what the journals make, as `tidelog market verify` makes it again."""
        runtime, vfs = SimRuntime(process), process.mount.name
        store = await open_sqlite(f"sqlite:///{self._store_path}", runtime, vfs=vfs)
        again = await open_sqlite(f"sqlite:///{self.world.disk.path('again.db')}", runtime, vfs=vfs)
        try:
            async with store.snapshot() as snapshot:
                found = await recorded(snapshot, NAME)
                require(found is not None, "something was recorded")
                assert found is not None
                journals = located(found, list(self._journals().values()), "here", vfs=vfs)
                missing = [*journals.wrong, *journals.absent.values()]
                require(not missing, f"the journals of all shards are found: {missing}")
                lost = {number for number, losses in self.losses.items() if losses.lost}
                require(not journals.whole & lost, "a journal that came after a lost one is not taken for all")
                compared = shards_again(
                    snapshot, again, runtime, NAME, found, journals, SAMPLE_S, expired=False, vfs=vfs
                )
                async for difference in compared:
                    self.world.violated(difference)
        finally:
            await again.close()
            await store.close()

    def _judge(self) -> None:
        store = self._open(self._store_path)
        try:
            source = source_of(NAME)
            require(store.pragma("integrity_check") == "ok", "the database finds itself sound")
            every_trade(store, self.exchange, source, bits_flip=False)
            complete_is_true(store, self.exchange, source)
            candles_are_of_the_trades(store, source)
            for symbol, ids in self._journaled().items():
                rows = store.execute(
                    "SELECT trade_id FROM trades WHERE source = ? AND symbol = ?", (source, symbol)
                ).fetchall()
                require({number for (number,) in rows} == ids, f"of {symbol} the store has what the journals have")
                self._judge_coverage(store, source, symbol)
            self.transport.judge_attempts()
        except Violation as violation:
            self.world.violated(str(violation))
        finally:
            store.close()

    def _judge_coverage(self, store: apsw.Connection, source: str, symbol: str) -> None:
        for channel in CHANNELS:
            rows = store.execute(
                "SELECT since_us, until_us FROM coverage WHERE source = ? AND symbol = ? AND channel = ? ORDER BY 1",
                (source, symbol, channel),
            ).fetchall()
            require(bool(rows), f"{symbol} has a coverage of its {channel}")
            for (_, until_us), (since_us, _) in pairwise(rows):
                require(until_us == since_us, f"the coverage of {symbol}'s {channel} has no hole where it moved")


def _decoded(text: str) -> dict[str, int]:
    return msgspec.json.decode(text, type=dict[str, int])
