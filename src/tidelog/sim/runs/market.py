"""A recording under simulation: an exchange, a feed with its journal, a loader and its store, consumers.

Feed, session, books, journal, replay and loader are those of production, put together as `tidelog market record`
does it. What the schedule says goes wrong does; then comes the quiet phase, in which everything has to be proven
again without a hand; then the program ends in order, and what it has left is judged.
"""

import asyncio
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial

import apsw

from tidelog.errors import StoreError
from tidelog.market.live.feed import Feed
from tidelog.market.load.recorded import source_of
from tidelog.market.replay.position import events_to_load
from tidelog.market.views import BookView
from tidelog.sim.exchange import ODD_MARKETS, PAIRS, SimExchange, control, listing
from tidelog.sim.exchange.control import Disconnect
from tidelog.sim.oracle.apart import raw_journal
from tidelog.sim.oracle.apart.market_fold import Folding
from tidelog.sim.oracle.chain import counted, require
from tidelog.sim.oracle.market import (
    candles_are_of_the_trades,
    committed_is_journaled,
    complete_is_true,
    contents,
    end_of_journal,
    equals_fold,
    every_trade,
    position_is,
    trades_happened,
)
from tidelog.sim.runs.consumer import consume
from tidelog.sim.runs.market_limits import EXCHANGE, WEB_SOCKET, feed_limits, session_limits
from tidelog.sim.runs.market_streaming import RecordingStreaming
from tidelog.sim.runs.private import PrivateRun
from tidelog.sim.runs.reading import NAME, read_again
from tidelog.sim.runs.streaming import STREAMED_S, all_published
from tidelog.sim.runs.tally import TalliedStore, Tally
from tidelog.sim.runs.transport import CheckedTransport, CheckedWire
from tidelog.sim.scenario import schedule as plan
from tidelog.sim.scenario.faults import Faults
from tidelog.sim.scenario.generator import SYMBOLS
from tidelog.sim.scenario.harness import run_script, until
from tidelog.sim.scenario.journal_loss import JournalLoss
from tidelog.sim.scenario.quiet import Calm, asked_again_rarely, has_begun, spelled
from tidelog.sim.world.disk import Mount
from tidelog.sim.world.runtime import SimRuntime
from tidelog.sim.world.supervisor import Supervisor
from tidelog.sim.world.world import START_S, Process, Violation, World
from tidelog.store import Store
from tidelog.store.sqlite import open_sqlite

LEVELS = 30  # a side: more than are subscribed, so that levels fall out of the window and come back
DEPTH = 10
FASTEST_US = 500_000  # mean pause of the busiest market, where each has a pace
BUSY_US = 5_000_000  # of those whose next frames can be waited for
RATE = 4.0  # moments of a market per second
TICK_S = 0.25
QUIET_S = 300.0
PROVEN_AGAIN = 15  # frames of each book, after all is back
ROUNDS = 4  # of these, until one is without a mismatch
SETTLED_S = 900.0  # in which what is asked for ever more rarely is asked for a few times
SETTLED_PACE = 8  # times as slowly as before, so that there is less to judge
AGAIN_MAX = 8  # times, of each subscription: where it is doubled it is seven
END_S = 60.0  # for the program to end in order
CLOCK_S = 2.0  # that the journal's time may be behind: what is no step, and a look at the clock
OVER_BYTES = 32 * 1024  # that may wait beyond the hand-off's bound and its last message: markers
SECOND = 1_000_000
DOUBLING = {  # what lets a trade without an id come again and look like another
    *("duplicate", "reorder", "snapshot_twice", "trades_apart", "trades_backwards", "precision_change"),
}


class MarketRun:
    """One scenario. `run` gives nothing: what it found is in `world.violations`."""

    def __init__(self, world: World, schedule: plan.Schedule) -> None:
        self.world = world
        self.schedule = schedule
        listed = listing(schedule.markets, seed=schedule.seed, fastest_us=FASTEST_US) if schedule.markets else None
        pairs = [PAIRS[symbol] for symbol in SYMBOLS] if listed is None else listed.pairs
        odd = [ODD_MARKETS[name] for name in schedule.odd_markets]
        pairs = [*pairs, *(one.pair for one in odd)]
        self.symbols = [pair.symbol for pair in pairs]
        self.untraded = [one.pair.symbol for one in odd if one.nature.untraded]
        self.busy = self.symbols  # those that are proven again and again in the quiet phase
        if listed is not None:
            self.busy = [symbol for symbol, rhythm in listed.rhythms.items() if rhythm.every_us <= BUSY_US]
        self.asked = [spelled(symbol) for symbol in self.symbols] if schedule.spelled else self.symbols
        self.channels = ["book", "trade", *(["instrument"] if schedule.instruments else [])]
        self.calm: Calm | None = None
        self.settled_us = (0, 0)  # when it was watched, by the program's clock
        self.exchange = SimExchange(
            seed=schedule.seed,
            pairs=pairs,
            rate=RATE,
            levels=LEVELS,
            rhythms=None if listed is None else listed.rhythms,
            limits=EXCHANGE,
            start_us=int(START_S * SECOND),
            natures={one.pair.symbol: one.nature for one in odd},
        )
        session = session_limits(schedule)
        self.limits = feed_limits(schedule, session)
        self.transport = CheckedTransport(world, self.exchange, schedule.protocol, WEB_SOCKET, session, DEPTH)
        self.streaming: RecordingStreaming | None = None
        self.private: PrivateRun | None = None
        if schedule.private:
            journal_of = world.disk.path("private")
            transport = CheckedTransport(world, self.exchange, schedule.protocol, WEB_SOCKET, session)
            self.private = PrivateRun(
                world, self.exchange, schedule.protocol, schedule.private, journal_of, transport, self.limits
            )
        self.feed: Feed | None = None
        self.runtime: SimRuntime | None = None
        self.process: Process | None = None
        self._stop: asyncio.Event | None = None
        self._loading: asyncio.Task[None] | None = None
        self._being_replaced: list[asyncio.Task[None]] = []  # loaders that are to be replaced
        self._digests: dict[int, str | None] = {}  # of runs that ended in order
        self._observer = Mount(world.disk, faulty=False)
        self.tally = Tally()
        self.losses = JournalLoss(world.disk, self._journal_path, NAME)
        self.faults = Faults(world, schedule.events, self._act, self._kill, self._store_path)

    @property
    def _store_path(self) -> str:
        return self.world.disk.path("store.db")

    @property
    def _journal_path(self) -> str:
        return self.world.disk.path("journal")

    async def run(self) -> None:
        self.world.on_point = self._on_point
        self.supervisor = Supervisor(self.world, "record", self._main, on_end=self._ended)
        self.supervisors = [self.supervisor]
        if self.private is not None:
            self.supervisors.append(self.private.keep(self.faults.bury))
        streams: list[Supervisor] = []
        if self.schedule.stream:
            losses, vfs = self.losses, self._observer.name
            self.streaming = RecordingStreaming(self.world, self.schedule.engine, self._journal_path, losses, vfs)
            streams += self.streaming.supervisors
        supervisors = [*self.supervisors, *streams]
        await run_script(self.world, self.faults, supervisors, self._observer, self._tick(), self._script())

    async def _script(self) -> None:
        await until(self.world, lambda: False, self.schedule.busy_s)
        self.faults.end()
        self.exchange.honest()
        calm = Calm(self.exchange)
        self._list_all()
        self._refuse(False)
        if self.streaming is not None:
            self.streaming.mend()
        if self.private is not None:
            self.private.settle()
        for supervisor in self.supervisors:
            supervisor.quiet_at = self.world.loop.time()
        self.world.trace.add("quiet")
        if not await until(self.world, self._is_whole, QUIET_S):
            self._not_recovered("everything is subscribed and proven")
            return
        for _ in range(ROUNDS):
            before, mismatches = self.transport.proven.copy(), self._mismatches
            if not await until(self.world, partial(self._has_gone_on, before), QUIET_S):
                self._not_recovered("every book is proven again and again")
                return
            if self._mismatches == mismatches:
                break  # what was flipped below the top 10 may have come up once more, and was found
        else:
            self.world.violated("the books of an honest exchange match their checksums")
        self._judge_clock()
        if self.untraded:
            await self._stay_settled()
        if self.schedule.calm_s:
            await self._stay_calm(calm)
        for supervisor in self.supervisors:
            supervisor.no_more()
        self._ask_to_stop()
        if not await until(self.world, lambda: not any(supervisor.lives for supervisor in self.supervisors), END_S):
            self._not_recovered("the program ends in order")
            return
        if not self.world.violations:
            await self._judge_end()
        if self.streaming is not None and not self.world.violations:
            wanted = f"{STREAMED_S:g} s after the recording's end the stream's consumer has all of it"
            with closing(self._open(self._store_path)) as store:
                await all_published(self.world, (self.streaming,), store, wanted)

    def _list_all(self) -> None:
        """Every market can be had again, and is online."""
        self.exchange.act(control.Announce("online"))
        for symbol in self.symbols:
            self.exchange.act(control.List(symbol, "listed"))
            self.exchange.markets[symbol].status = "online"

    async def _stay_calm(self, calm: Calm) -> None:
        """Let quiet markets be quiet: nothing may be lost by a cure for what is no illness."""
        feed, exceeded = self.feed, self.exchange.exceeded
        assert feed is not None
        calm.begin(feed.now_us)
        await until(self.world, lambda: False, self.schedule.calm_s)
        calm.end(feed.now_us)
        self.calm = calm
        if self.exchange.exceeded > exceeded:
            self.world.violated("requests keep the exchange's pace")

    async def _stay_settled(self) -> None:
        """Of what does not come, because there is none, nothing is asked for again and again for ever."""
        feed = self.feed
        assert feed is not None
        since_us = feed.now_us
        self.exchange.slow_down(SETTLED_PACE)
        await until(self.world, lambda: False, SETTLED_S)
        self.settled_us = (since_us, feed.now_us)

    @property
    def _mismatches(self) -> int:
        return 0 if self.feed is None else self.feed.progress.mismatches

    def _not_recovered(self, promise: str) -> None:
        if not self.world.violations:
            feeds = [self.feed] if self.private is None else [self.feed, self.private.feed]
            at = [None if feed is None else feed.progress for feed in feeds]
            self.world.violated(f"recovers by itself: {promise}; it is at {', '.join(map(str, at))}")

    def _is_whole(self) -> bool:
        """All subscriptions are acknowledged and have begun, every book is proven, and the exchange serves it all."""
        if self.feed is None or not (self.private is None or self.private.is_whole()):
            return False
        progress = self.feed.progress
        if not progress.subscriptions == progress.held == 2 * len(self.symbols) + self.schedule.instruments:
            return False
        if not has_begun(self.feed, self.untraded):
            return False
        served = [
            one
            for session in self.exchange.sessions
            for one in session.subscriptions.values()
            if not (one.stalled or session.half_open)
        ]
        views = [self.feed.book(symbol, 1) for symbol in self.busy]  # a quiet one is proven by its next update
        wanted = progress.subscriptions + len(self.schedule.private)
        return len(served) == wanted and all(view is not None and view.proven for view in views)

    def _has_gone_on(self, before: dict[str, int]) -> bool:
        return self._is_whole() and all(
            self.transport.proven[symbol] >= before.get(symbol, 0) + PROVEN_AGAIN for symbol in self.busy
        )

    # -- the program ------------------------------------------------------------------------------------------

    async def _main(self, process: Process) -> None:
        runtime = SimRuntime(process)
        if self.losses.pending:
            await self._begin_journal(process, runtime)
        wire = CheckedWire(self.transport, process, runtime, lambda symbol, levels: shown(symbol, levels))
        feed = Feed(
            self.asked,
            self.channels,
            journal=self._journal_path,
            depth=DEPTH,
            protocol=self.schedule.protocol,
            url=f"ws://exchange/{'v2' if self.schedule.protocol == 'v2' else ''}",
            digest=True,
            runtime=runtime,
            transport=wire,
            vfs=process.mount.name,
            limits=self.limits,
        )

        def shown(symbol: str, levels: int) -> BookView | None:
            return feed.book(symbol, levels)

        stop, ended = asyncio.Event(), False
        loading: asyncio.Task[None] | None = None
        try:
            async with feed:
                self.feed, self.runtime, self.process, self._stop = feed, runtime, process, stop
                stopped, finished = asyncio.create_task(stop.wait()), asyncio.create_task(feed.finished())
                try:
                    while True:
                        if loading is None or (loading in self._being_replaced and loading.done()):
                            if loading is not None and not loading.cancelled():
                                loading.exception()  # it was told to go, and met a fault on the way
                            loading = asyncio.create_task(self._load(process, runtime, feed.journal_id, lambda: ended))
                            self._loading = loading
                        await asyncio.wait((stopped, finished, loading), return_when=asyncio.FIRST_COMPLETED)
                        if stopped.done() or finished.done() or loading not in self._being_replaced:
                            break
                finally:
                    for task in (stopped, finished):
                        task.cancel()
                    await asyncio.gather(stopped, finished, return_exceptions=True)
            self._digests[feed.progress.last.run] = feed.digest
        finally:
            ended = True
            if self.feed is feed:
                self.feed = self._stop = self._loading = None
            if loading in self._being_replaced:
                await asyncio.gather(loading, return_exceptions=True)
                loading = asyncio.create_task(self._load(process, runtime, feed.journal_id, lambda: True))
            if loading is not None:
                await loading

    async def _begin_journal(self, process: Process, runtime: SimRuntime) -> None:
        store = await open_sqlite(f"sqlite:///{self._store_path}", runtime, vfs=process.mount.name)
        try:
            unasked = self.streaming is not None  # as the command, which makes no journal that a publisher could see
            await self.losses.mend(self._tallied(store, process), runtime, process.mount.name, unasked=unasked)
        finally:
            await store.close()

    async def _load(self, process: Process, runtime: SimRuntime, journal: bytes, ending: Callable[[], bool]) -> None:
        store = await open_sqlite(f"sqlite:///{self._store_path}", runtime, vfs=process.mount.name)
        try:
            loader = await self.losses.open_loader(self._tallied(store, process), runtime, journal)
            entries = events_to_load(
                self._journal_path, runtime, after=loader.committed, ending=ending, vfs=process.mount.name
            )
            await loader.run(entries)
        finally:
            await store.close()

    def _tallied(self, store: Store, process: Process) -> Store:
        return TalliedStore(store, self.tally, process)  # type: ignore[return-value]

    # -- what happens -------------------------------------------------------------------------------------------

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            self.exchange.tick(int((START_S + self.world.loop.time()) * SECOND))
            for recording in (self, self.private):
                written = None if recording is None or recording.feed is None else recording.feed
                if written is None or recording is None:
                    continue
                if (
                    written.waiting_bytes
                    > self.limits.journal.waiting_bytes_max + recording.transport.largest + OVER_BYTES
                ):
                    self.world.violated(f"{written.waiting_bytes} bytes wait for the journal's disk")

    def _kill(self, why: str) -> None:
        for supervisor in self.supervisors:
            supervisor.kill(why)
        if self.streaming is not None and why != "crash":  # the machine
            self.streaming.kill(why)

    def _ended(self, process: Process, killed: bool) -> None:
        self.transport.gone(process, killed)
        if killed:
            self.faults.bury()
        self._look()

    def _ask_to_stop(self) -> None:
        if self._stop is not None:
            self._stop.set()
        if self.private is not None:
            self.private.stop()

    def _on_point(self, process: Process, name: str, nth: int) -> None:
        if name == "store.committed":
            self._look()
        self.faults.on_point(name, nth)

    def _act(self, action: plan.Action) -> object:
        match action:
            case plan.Fault(name, probability):
                self.exchange.tell(name, probability=probability)
                return lambda: self.exchange.honest(name)
            case plan.Cut(code):
                self.exchange.act(Disconnect(code))
            case plan.List(symbol, how):
                self.exchange.act(control.List(symbol, how))
                return lambda: self.exchange.act(control.List(symbol, "listed"))
            case plan.Halt(None, status):
                self.exchange.act(control.Announce(status))
                return lambda: self.exchange.act(control.Announce("online"))
            case plan.Halt(str(symbol), status):
                self.exchange.act(control.Halt(symbol, status))
                return lambda: self.exchange.act(control.Halt(symbol, "online"))
            case plan.Refuse():
                self._refuse(True)
                return lambda: self._refuse(False)
            case plan.Deny(how):
                if self.private is not None:
                    self.private.denial = how
                    return lambda: setattr(self.private, "denial", None)
            case plan.Takeover():
                for supervisor in self.supervisors:
                    supervisor.take_over()
            case plan.Restart():
                self._ask_to_stop()
            case plan.LoseJournal():
                self.supervisor.kill("its journal is moved away")
                if self.streaming is not None:
                    self.streaming.lose_journal()
                self.losses.lose()
                self._digests.clear()
            case plan.Reload():
                if self._loading is not None and not self._loading.done():
                    self._being_replaced.append(self._loading)
                    self._loading.cancel()
            case plan.Churn(reads, symbol):
                if self.feed is not None and self.process is not None and self.runtime is not None:
                    self.process.spawn(self._consume(self.feed, self.runtime, reads, symbol))
            case _ if self.streaming is not None:
                return self.streaming.act(action)
        return None

    def _refuse(self, refusing: bool) -> None:
        self.transport.refusing = refusing
        if self.private is not None:
            self.private.transport.refusing = refusing

    async def _consume(self, feed: Feed, runtime: SimRuntime, reads: int, symbol: str | None) -> None:
        try:
            await consume(feed, runtime, reads, symbol)
        except Violation as violation:
            self.world.violated(str(violation))
        except StoreError:
            pass  # the feed has ended meanwhile

    # -- judging ------------------------------------------------------------------------------------------------

    def _open(self, path: str) -> apsw.Connection:
        return apsw.Connection(path, flags=apsw.SQLITE_OPEN_READONLY, vfs=self._observer.name)

    def _look(self) -> None:
        """Judge what is committed now."""
        connections: list[apsw.Connection] = []
        try:
            connections += [self._open(self._store_path), self._open(self._journal_path)]
            store, journaled = connections
            if self._has(store, "checkpoints") and self._has(journaled, "runs") and not self.losses.pending:
                place = committed_is_journaled(store, journaled, source_of(NAME))
                self.world.trace.add(f"store {place} journal {end_of_journal(journaled)}")
        except (apsw.CantOpenError, apsw.IOError, apsw.ReadOnlyError):
            pass  # there is none yet, or a rollback is due, which only a writer may do
        except Violation as violation:
            self.world.violated(str(violation))
        finally:
            for connection in connections:
                with suppress(apsw.Error):
                    connection.close()

    def _has(self, connection: apsw.Connection, table: str) -> bool:
        return bool(connection.execute("SELECT count(*) FROM sqlite_schema WHERE name = ?", (table,)).get)

    async def _judge_end(self) -> None:
        again = Process(self.world, "again")
        failure = await again.run(self._read_again)
        if failure is not None:
            self.world.violated(f"the journal can be folded again: {failure!r}")
            return
        connections = [self._open(path) for path in (self._store_path, self.world.disk.path("again.db"))]
        try:
            self._judge(*connections)
        except Violation as violation:
            self.world.violated(str(violation))
        finally:
            for connection in connections:
                with suppress(apsw.Error):
                    connection.close()

    def _judge_clock(self) -> None:
        """The journal's time is not behind the wall clock; it may be ahead of one that was set back."""
        if self.feed is None:
            return
        behind_s = self.world.wall_s - self.feed.now_us / SECOND
        if behind_s > CLOCK_S:
            self.world.violated(f"the journal's time follows the wall clock: it is {behind_s:.1f} s behind")

    def _judge(self, store: apsw.Connection, again: apsw.Connection) -> None:
        source = source_of(NAME)
        require(store.pragma("integrity_check") == "ok", "the database finds itself sound")
        stored, folded = contents(store, source), contents(again, source)
        for table, rows in stored.items():
            require(rows == folded[table], f"{table} are a fold of the journal")
        require(bool(stored["trades"]), "something was recorded")
        self.judge_store(store)
        names = {event.do.name for event in self.schedule.events if isinstance(event.do, plan.Fault)}
        if not any(isinstance(event.do, plan.Jump | plan.Takeover) for event in self.schedule.events):
            self.transport.judge_attempts()
            if self.private is not None:
                self.private.transport.judge_attempts()
        if self.calm is not None:
            self.calm.judge(self._journal_path, self._observer.name, len(self.symbols))
        asked_again_rarely(self._journal_path, self._observer.name, self.settled_us, AGAIN_MAX)
        if self.private is not None:
            self.private.judge(self._observer.name, bits_flip="corrupt" in names)

    def judge_store(self, store: apsw.Connection) -> None:
        """Judge all that a store holds which has taken in the whole journal. Violation: a promise is broken."""
        source = source_of(NAME)
        names = {event.do.name for event in self.schedule.events if isinstance(event.do, plan.Fault)}
        bits_flip = "corrupt" in names
        folding, journal = self._folded_apart()
        counted(store, self.tally)
        position_is(store, folding, journal, source)
        equals_fold(store, folding, source)
        candles_are_of_the_trades(store, source)
        if self.schedule.protocol == "v2":
            every_trade(store, self.exchange, source, bits_flip=bits_flip)
            complete_is_true(store, self.exchange, source)
        elif not bits_flip:
            trades_happened(store, self.exchange, source, doubled=bool(names & DOUBLING))

    def _folded_apart(self) -> tuple[Folding, str]:
        """All journals of the recording, in turn, by a fold that shares nothing with the engine's; the last's id."""
        folding = Folding(self.schedule.protocol)
        for path, last in [*self.losses.lost, (self._journal_path, None)]:
            connection = self._open(path)
            try:
                for entry in raw_journal.entries(connection):
                    if last is not None and entry.id > last:
                        break
                    folding.take(entry)
                journal = connection.execute("SELECT hex(id) FROM identity").get
            finally:
                connection.close()
            if last is not None:
                folding.begin_journal()
        return folding, str(journal).lower()

    async def _read_again(self, process: Process) -> None:
        await read_again(process, self.losses, self._journal_path, self._digests)
