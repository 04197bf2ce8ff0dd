"""A chain sync under simulation: a node with replicas, a network, a disk, a program started again and again.

`Sync`, the pool, the proofs, the tree and the SQLite store are those of production. What the schedule says goes
wrong does; then comes the quiet phase, in which the store has to become the node's chain without a hand.
"""

import asyncio
from collections.abc import Coroutine
from contextlib import closing, suppress
from typing import Any

import apsw
from msgspec.structs import replace

from tidelog.batch import Batch, Outcome
from tidelog.chain.abi.known import known_abi
from tidelog.chain.contracts.contract import Contract
from tidelog.chain.contracts.creation import Creation
from tidelog.chain.endpoint.log_ranges import LogRangeLimits
from tidelog.chain.source.client import Endpoint
from tidelog.chain.source.new_heads import HeadsWatcher
from tidelog.chain.source.pool import Pool
from tidelog.chain.sync.commits import WRITER_LIMITS
from tidelog.chain.sync.engine import Options, Sync
from tidelog.chain.sync.options import SYNC_LIMITS, SyncLimits
from tidelog.config import EndpointUrl
from tidelog.errors import Busy
from tidelog.sim.node.chain.block_builder import LONDON, PRAGUE, Fork, Shape
from tidelog.sim.node.chain.tree import BlockTree
from tidelog.sim.node.contracts import world as places
from tidelog.sim.node.control import Place
from tidelog.sim.node.limits import PLANS
from tidelog.sim.node.node import SimNode
from tidelog.sim.oracle.blocks import Facts, compared_something, equals_node, segments_follow, segments_hold
from tidelog.sim.oracle.chain import Standing, counted, require, standing
from tidelog.sim.oracle.contracts import (
    Asked,
    asked_now,
    coverage_follows,
    events_follow,
    faults_follow,
    is_settled,
    selected,
)
from tidelog.sim.oracle.fingerprints import fingerprints_find
from tidelog.sim.oracle.history import finality_was_voted, past_is_told, writer_is_told, written_in_turn
from tidelog.sim.oracle.merkle import proofs_follow
from tidelog.sim.runs.following import Following
from tidelog.sim.runs.network import Network, NetworkHttp, NetworkWire
from tidelog.sim.runs.streaming import (
    STREAMED_S,
    ChangesStreaming,
    FinalStreaming,
    Streaming,
    all_published,
    undone,
)
from tidelog.sim.runs.tally import TalliedStore, Tally
from tidelog.sim.scenario import schedule as plan
from tidelog.sim.scenario.faults import Faults
from tidelog.sim.scenario.harness import run_script, until
from tidelog.sim.world.disk import Mount
from tidelog.sim.world.runtime import SimRuntime
from tidelog.sim.world.supervisor import Supervisor
from tidelog.sim.world.world import Process, Violation, World
from tidelog.store import Store
from tidelog.store.limits import FingerprintLimits, SqliteLimits
from tidelog.store.sqlite import open_sqlite
from tidelog.stream.chain.messages import Detail
from tidelog.telemetry import ChainMetrics

LIMITS = SqliteLimits(  # some blocks' worth, so that reorgs reach across segments, and into what old ones have
    segment_rows=20, fingerprints=FingerprintLimits(near_segments=1, section_segments=2, parts_at_once=100)
)
LOG_RANGES = LogRangeLimits(first=3, most=8)  # so that history is asked about in many questions
CHAIN_ID = 1337
ODD_BLOCKS = 20  # odd ones, at the end: a rule shows in several blocks that compare something
UNKNOWN_ID = 424_242  # no table has it: its rules are found by looking at its blocks
SMALL = Shape(transactions=(0, 2), logs=(0, 2), withdrawals=(0, 1))
MINED = replace(SMALL, uncles=(0, 2))
MANY_LOGS = (2, 8)  # of a transaction, where a stream has them: more than fits into one of its messages
TIDE = Contract("tide", places.TIDE, known_abi("erc20").events_named("Transfer"))  # which every life has named
SHELLS = Contract("shells", places.SHELLS, known_abi("erc721").events_named("Transfer"), 3)  # every second one
FACTORY = Contract("factory", places.FACTORY, known_abi("uniswap_v3_factory").events_named("PoolCreated"))
POOL = Contract(  # both in two of three, where history is asked in three of four
    "pool",
    b"",
    tuple([each for each in known_abi("uniswap_v3_pool").events if each.name in ("Initialize", "Swap")]),
    created_by=Creation("factory", "PoolCreated", "pool"),
)
BLOCK_S = 3.0  # between blocks
FINALIZED_DEPTH = 12
LAGGING = 10  # blocks that finality is below what is held, where it lags behind that
KNOWN_DEPTH, UNKNOWN_DEPTH = 64, 256  # below the head that a block is final where a node has no tag for it
MADE = "SELECT count(*) FROM pragma_table_info('changes') WHERE name = 'writer'"  # what the last migration adds
PATIENCE_S = 10.0  # for a lower chain
POLL_S, WOKEN_POLL_S = 1.0, 20.0  # the second where newHeads are followed: so that it is they that wake
HANGING_S = 8.0  # a poll, and a few seconds in which an endpoint turns out to hang
HANGING_WOKEN_S = HANGING_S + WOKEN_POLL_S  # who wakes it up may be the one that hangs
SETTLED_S = 75.0  # until all endpoints are back: the longest time alone, and a request that hangs
QUIET_S = 600.0  # in which all has to be well again
FOLLOW_CHANCE = 0.3  # that a follower reads at a look
TROUBLED_S = 90.0  # in which all before a block that cannot be had is stored: some rounds of the sync
TROUBLED_BLOCKS = 40  # that come before the trouble; it is at the one half-way, which is final
REFUSED_MIN, REFUSED_A_LIFE, REFUSED_SHARE = 100, 60, 0.25  # calls that a plan may refuse: what learning it costs


class UncertainStore(TalliedStore):
    """A store whose connection may be lost between a commit and its answer; the run's `uncertain` counts how often."""

    def __init__(self, store: Store, run: "ChainRun", process: Process) -> None:
        super().__init__(store, run.tally, process)
        self._run = run

    async def commit(self, batch: Batch) -> Outcome:
        outcome = await super().commit(batch)
        if self._run.uncertain > 0:
            self._run.uncertain -= 1
            raise Busy("simulated: the connection was lost after COMMIT")
        return outcome


class ChainRun:
    """One scenario. `run` gives nothing: what it found is in `world.violations`."""

    def __init__(self, world: World, schedule: plan.Schedule) -> None:
        self.world = world
        self.schedule = schedule
        tag_depth = schedule.held + LAGGING if schedule.held else FINALIZED_DEPTH
        self.tree = BlockTree(
            seed=schedule.seed,
            shape=_shape(schedule),
            chain_id=UNKNOWN_ID if schedule.oddity else CHAIN_ID,
            forks=_forks(schedule),
            blocks=schedule.blocks,
            finalized_depth=None if schedule.untagged else tag_depth,
            safe_depth=None if schedule.untagged else tag_depth // 2,
        )
        self._highest = self.tree.head.number  # that there ever was
        self.tree.watchers.append(self._note_highest)
        self.node = SimNode(self.tree, seed=schedule.seed, replicas=schedule.replicas)
        if schedule.limits:
            self.node.limits = PLANS[schedule.limits]
        self.network = Network()
        self.uncertain = 0
        self._lives = 0
        self.tally = Tally()
        self.syncing: Sync | None = None
        self._standing: Standing | None = None  # as of the last look
        self._asked: Asked | None = None  # alike
        self._floor: Standing | None = None  # as of the last commit that was reported: nothing may fall behind it
        self._committing_s: dict[int, float] = {}  # when each process began its last commit
        self._observer = Mount(world.disk, faulty=False)
        self._following = Following(self.tree.chain_id)
        self._follows = world.random("following")  # when it reads, and how much
        self.streams: tuple[Streaming, ...] = ()
        self._copy: tuple[bytes, Standing] | None = None  # the last one that was taken of the store
        self._restoring = False  # once the program is dead
        self._growing = True
        self.faults = Faults(world, schedule.events, self._act, self._kill, self._path)

    @property
    def _path(self) -> str:
        return self.world.disk.path("chain.db")

    async def run(self) -> None:
        self.world.on_point = self._on_point
        self.supervisor = Supervisor(self.world, "sync", self._main, on_end=self._ended)
        supervisors = [self.supervisor]
        if self.schedule.stream:
            chain, engine = self.tree.chain_id, self.schedule.engine
            self.streams = (
                ChangesStreaming(self.world, engine, chain, _detail(self.schedule), self._path, self._restore),
                FinalStreaming(self.world, engine, chain, self._path, self._final, self._restore),
            )
            supervisors += [each for streaming in self.streams for each in streaming.supervisors]
        await run_script(self.world, self.faults, supervisors, self._observer, self._mine(), self._script())

    async def _script(self) -> None:
        await until(self.world, lambda: False, self.schedule.busy_s)
        self._growing = False
        self.faults.end()
        self._mend()
        if self.schedule.troubled:
            await self._trouble()
        await self._quiet()

    def _mend(self) -> None:
        """Nothing is wrong with the node any more."""
        self.node.honest()
        self.network.down.clear()
        self.network.slow_s.clear()
        for replica in range(self.schedule.replicas):
            self.node.act(Place(replica))
        self.uncertain = 0
        for streaming in self.streams:
            streaming.mend()

    async def _trouble(self) -> None:
        """A block that cannot be had costs none of those before it."""
        at = self.tree.head.number + TROUBLED_BLOCKS // 2
        self.node.tell("bloom_wrong", blocks=[at])
        self.tree.extend(TROUBLED_BLOCKS)
        self.world.trace.add(f"trouble at {at}")
        await until(self.world, lambda: self._standing is not None and self._standing.head >= at - 1, TROUBLED_S)
        head = -1 if self._standing is None else self._standing.head
        if head < at - 1:
            self.world.violated(f"what is proven before block {at}, which cannot be had, is committed: "
                                f"after {TROUBLED_S:g} s the store is at block {head}")  # fmt: skip
        self.node.honest()

    async def _quiet(self) -> None:
        if self.schedule.oddity:
            self.tree.extend(max(ODD_BLOCKS, self.schedule.odd_from + ODD_BLOCKS - self.tree.head.number))
        if self.schedule.grows_at_end:
            self.tree.extend(1)
        if self.schedule.asked and self.syncing is not None:
            self.syncing.stop()  # and the next life proves what was asked
        self.supervisor.quiet_at = self.world.loop.time()
        self.world.trace.add("quiet")
        if await until(self.world, self._settled, QUIET_S) and not self.world.violations:
            self._judge_end()
            await self._publish_all()
            if self.schedule.hanging is not None:
                await self._keep_up(self.schedule.hanging)
        elif not self.world.violations:
            state, tree = self._standing, self.tree
            at = "nothing" if state is None else f"block {state.head}, final to {state.finalized}"
            self.world.violated(f"recovers by itself: after {QUIET_S:g} s without faults the store is at {at}, "
                                f"the node at {tree.head.number}, final to {self._deepest}")  # fmt: skip

    async def _publish_all(self) -> None:
        """The stream, and who follows it, get all that the store has."""
        if not self.streams or self.world.violations:
            return
        wanted = f"after {STREAMED_S:g} s without faults the stream's consumer has all changes"
        with closing(self._open()) as connection:
            await all_published(self.world, self.streams, connection, wanted)

    def _final(self, number: int) -> str | None:
        """The hash of a block that is final; None of one that is not."""
        return f"0x{self.tree.canonical(number).hash.hex()}" if number <= self._deepest else None

    async def _keep_up(self, hanging: plan.Lie) -> None:
        """Grow beside an endpoint that hangs: each block is stored soon, whoever does not answer."""
        await until(self.world, lambda: False, SETTLED_S)
        self.node.tell(hanging.name, replica=hanging.replica, probability=hanging.probability)
        self.world.trace.add(f"hangs {hanging.replica} {hanging.name}")
        allowed_s = HANGING_WOKEN_S if self.schedule.heads else HANGING_S
        ends_at = self.world.loop.time() + hanging.for_s
        while self.world.loop.time() < ends_at and not self.world.violations:
            self.tree.extend(1)
            mined_at, head = self.world.loop.time(), self.tree.head
            if not await until(self.world, self._caught_up, allowed_s) and not self.world.violations:
                self.world.violated(
                    f"no healthy endpoint waits for another: beside one that hangs ({hanging.name}) block "
                    f"{head.number} is not stored {allowed_s:g} s after it was mined"
                )
            await asyncio.sleep(max(0.0, mined_at + BLOCK_S - self.world.loop.time()))

    def _caught_up(self) -> bool:
        return self._standing is not None and self._standing.head_hash == self.tree.head.hash

    def _is_final(self) -> bool:
        """Whether what nodes call final is so in the store. Those that know of nothing final say genesis."""
        if self._standing is None:
            return False
        finalized = self._standing.finalized or 0
        if self.schedule.untagged:
            return self.tree.head.number - KNOWN_DEPTH <= finalized <= self._deepest
        return finalized == self._deepest

    @property
    def _deepest(self) -> int:
        """The highest block that no reorg may drop: that of the tag, or so far below the highest head."""
        if self.schedule.untagged:
            return max(0, self._highest - KNOWN_DEPTH)
        return self.tree.finalized or 0

    def _note_highest(self) -> None:
        self._highest = max(self._highest, self.tree.head.number)

    def _settled(self) -> bool:
        """Whether it has caught up, in finality too, and of a selection has what was added and nothing of what left."""
        if not (self._caught_up() and self._is_final()):
            return False
        if not self.schedule.selection:
            return True
        with closing(self._open()) as connection:
            return is_settled(connection, self.tree.head.number)

    # -- the program ------------------------------------------------------------------------------------------

    async def _main(self, process: Process) -> None:
        runtime, metrics = SimRuntime(process), ChainMetrics()
        http = NetworkHttp(self.node, self.network, process, runtime)
        urls = [EndpointUrl(f"http://replica-{index}") for index in range(self.schedule.replicas)]
        endpoints = [Endpoint(url, http, runtime, metrics, log_ranges=LOG_RANGES) for url in urls]
        pool = Pool(endpoints, runtime, metrics)
        store = await open_sqlite(f"sqlite:///{self._path}", runtime, limits=LIMITS, vfs=process.mount.name)
        try:
            options = Options(
                follow=True,
                senders=True,
                chain_id=self.tree.chain_id,
                reorg_patience_s=PATIENCE_S,
                poll_s=WOKEN_POLL_S if self.schedule.heads else POLL_S,
                prove=self.schedule.asked and (not self._growing or self._lives % 3 == 2),
            )
            self._lives += 1
            contracts = _contracts(self.schedule, self._lives)
            counting: Any = UncertainStore(store, self, process)
            limits = _limits(self.schedule)
            syncing = Sync(counting, pool, runtime, metrics, options, contracts=contracts, limits=limits)
            self.syncing = syncing
            wire = NetworkWire(self.node, self.network, process, runtime)
            heads = HeadsWatcher(EndpointUrl("ws://replica-0", schemes=("ws",)), runtime, syncing.wake, wire)
            await _beside(syncing.run(), heads.run() if self.schedule.heads else None)
        finally:
            if self.syncing is syncing:  # another one may have taken over
                self.syncing = None
            await store.close()

    # -- what happens -------------------------------------------------------------------------------------------

    async def _mine(self) -> None:
        while True:
            await asyncio.sleep(BLOCK_S)
            if self._growing:
                self.tree.extend(1)

    def _kill(self, why: str) -> None:
        self.supervisor.kill(why)
        if why != "crash":  # the machine, or its operator
            for streaming in self.streams:
                streaming.kill(why)

    def _ended(self, process: Process, killed: bool) -> None:
        self.network.gone(process)
        if killed:
            self.faults.bury()
        self._restore()
        self._look()

    def _on_point(self, process: Process, name: str, nth: int) -> None:
        if name == "ledger.before_commit":
            self._committing_s[process.domain] = self.world.loop.time()
        if name in ("store.written", "store.committed"):  # a reader may come at either
            self._look(process if name == "store.committed" else None)
        self.faults.on_point(name, nth)

    def _act(self, action: plan.Action) -> object:
        """Carry out what is the chain's own; what undoes it, if that is due later."""
        match action:
            case plan.Grow(count):
                self.tree.extend(count)
            case plan.Fork(depth, length):
                depth = min(depth, self.tree.head.number - self._deepest)
                if depth:
                    self.tree.reorg(depth, length)
            case plan.Lie(name, replica, probability):
                self.node.tell(name, replica=replica, probability=probability)
                return lambda: self._silence(name, replica)
            case plan.Down(replica):
                replicas = {replica} if replica is not None else set(range(self.schedule.replicas))
                self.network.take_down(replicas)
                return lambda: self.network.down.difference_update(replicas)
            case plan.Slow(replica, by_s):
                self.network.slow_s[replica] = by_s
                return lambda: self.network.slow_s.pop(replica, None)
            case plan.Lag(replica, blocks):
                self.node.act(Place(replica, lag=blocks))
                return lambda: self.node.act(Place(replica))
            case plan.Uncertain(times):
                self.uncertain += times
            case plan.Takeover():
                self.supervisor.take_over()
            case plan.Restart():
                if self.syncing is not None:
                    self.syncing.stop()
            case plan.Copy():
                self._take_copy()
            case plan.Restore():
                self._restoring = self._copy is not None
                if self._restoring:
                    self._kill("restore")
                    self._restore()
            case _ if self.streams:
                return undone([streaming.act(action) for streaming in self.streams])
        return None

    def _take_copy(self) -> None:
        """A copy of what is committed now."""
        self._look()
        with suppress(apsw.Error), closing(self._open()) as connection:
            if self._standing is not None:
                self._copy = connection.serialize("main"), self._standing

    def _restore(self) -> None:
        """Put the copy in the place of the store, once nobody uses it."""
        if not self._restoring or self._copy is None or self.supervisor.lives:
            return
        if any(streaming.reads_store for streaming in self.streams):
            return
        self.faults.unlock()
        content, self._floor = self._copy
        self._standing, self._asked = self._floor, None
        self.world.disk.put(self._path, content)
        self.world.trace.add(f"restored {self._floor.changes}")
        self._restoring = False

    def _silence(self, name: str, replica: int | None) -> None:
        for index, one in enumerate(self.node.replicas):
            if replica in (None, index):
                one.active.pop(name, None)

    # -- judging ------------------------------------------------------------------------------------------------

    def _open(self) -> apsw.Connection:
        return apsw.Connection(self._path, flags=apsw.SQLITE_OPEN_READONLY, vfs=self._observer.name)

    def _look(self, committed: Process | None = None) -> None:
        """Judge what is committed now.

        Args:
            committed: the program that was told that this commit is done. One whose sync failed may show, and go again.
        """
        try:
            connection = self._open()
        except apsw.CantOpenError:
            return  # nothing was ever written
        try:
            if connection.execute(MADE).get:
                before, self._standing = self._standing, standing(connection, self.tree, self._floor)
                if self.schedule.asked:
                    was, self._asked = self._asked, asked_now(connection, self.tree)
                    faults_follow(was, self._asked)
                if self._follows.random() < FOLLOW_CHANCE:
                    self._following.read(connection, self._follows.randint(1, 60))
                if committed is not None:
                    compared_something(connection, self.tree)
                    past_is_told(connection, self.tree, self.world.clock_ms)
                    writer_is_told(connection, self.tree, self.tally.by_process[committed.domain], before)
                    self._judge_finality(committed, before, self._standing)
                    self._floor = self._standing
        except (apsw.IOError, apsw.ReadOnlyError):
            pass  # a rollback is due, which only a writer may do: the program's next start does it
        except Violation as violation:
            self.world.violated(str(violation))
        finally:
            _close(connection)

    def _judge_finality(self, process: Process, before: Standing | None, now: Standing | None) -> None:
        at_s = self._committing_s.get(process.domain)
        if now is not None and at_s is not None:
            finality_was_voted(
                before,
                now,
                now.hashes,
                self.network.witness(process),
                at_s=at_s,
                away_s=PATIENCE_S,
                depth=UNKNOWN_DEPTH if self.schedule.oddity else KNOWN_DEPTH,
            )

    def _judge_limits(self) -> None:
        """A plan is learned: what it refuses is little beside what it serves."""
        if not self.schedule.limits:
            return
        for index, replica in enumerate(self.node.replicas):
            asked, refused = replica.meter.asked, replica.meter.refused
            most = REFUSED_MIN + REFUSED_A_LIFE * len(self.world.processes) + REFUSED_SHARE * asked
            if refused > most:
                self.world.violated(f"an endpoint's limits are learned: replica {index} has refused {refused} calls "
                                    f"of {asked}")  # fmt: skip

    def _judge_end(self) -> None:
        self._judge_limits()
        connection = self._open()
        try:
            require(connection.pragma("integrity_check") == "ok", "the database finds itself sound")
            self.judge_store(connection)
            self._following.at_end(connection)
        except Violation as violation:
            self.world.violated(str(violation))
        finally:
            _close(connection)

    def judge_store(self, connection: apsw.Connection) -> None:
        """Judge all that a store holds which has caught up with the node. Violation: a promise is broken."""
        now = standing(connection, self.tree, self._floor)
        require(now is not None, "something is stored")
        counted(connection, self.tally)
        written_in_turn(connection, self.tree, self.tally.given)
        past_is_told(connection, self.tree, self.world.clock_ms)
        compared_something(connection, self.tree)
        facts = Facts(
            self.schedule.replicas,
            self.world.clock_ms,
            self.schedule.oddity,
            self.schedule.odd_from,
            selected=selected(connection, self.tree, self.tree.head.number) if self.schedule.selection else None,
            sizeless=self.node.sizeless,
        )
        equals_node(connection, self.tree, facts)
        if self.schedule.selection:
            segments_hold(connection, self.tree.chain_id)
        else:
            segments_follow(connection, self.tree.chain_id, LIMITS.segment_rows)
        fingerprints_find(connection, self.tree.chain_id)
        if self.schedule.contracts:
            head, selection = self.tree.head.number, self.schedule.selection
            events_follow(connection, self.tree, head, selection=selection, asked=self.schedule.asked)
            coverage_follows(connection, self.tree, head, selection=selection)
        proofs_follow(connection, self.tree, selection=self.schedule.selection)


def _contracts(schedule: plan.Schedule, life: int) -> tuple[Contract, ...] | None:
    """Those that a process names, by how many were started: some come and go."""
    if not schedule.contracts:
        return None
    without = 4 if schedule.asked else 3  # the third life, which proves what was asked, has what the first two have
    named = [TIDE, *([SHELLS] if life % 2 else []), *((FACTORY, POOL) if life % without else ())]
    if schedule.selection:
        evidence = "asked" if schedule.asked else "proven"
        return tuple([replace(each, evidence=evidence, keep_proof=True) for each in named])
    return tuple(named)


def _limits(schedule: plan.Schedule) -> SyncLimits:
    return replace(SYNC_LIMITS, writer=replace(WRITER_LIMITS, held_max=schedule.held)) if schedule.held else SYNC_LIMITS


def _shape(schedule: plan.Schedule) -> Shape:
    shape = replace(MINED if schedule.uncles else SMALL, contracts=schedule.contracts)
    return replace(shape, logs=MANY_LOGS) if schedule.stream == "logs" else shape


def _detail(schedule: plan.Schedule) -> Detail:
    return "logs" if schedule.stream == "logs" else "header"


def _forks(schedule: plan.Schedule) -> tuple[tuple[int, Fork], ...]:
    if not schedule.oddity:
        return ((0, LONDON if schedule.uncles else PRAGUE),)
    odd = (schedule.odd_from, replace(PRAGUE, oddities=(schedule.oddity,)))
    below = (0, replace(PRAGUE, oddities=("quiet",) if schedule.quiet else ()))
    return (below, odd) if schedule.odd_from else (odd,)


async def _beside(running: Coroutine[Any, Any, object], watching: Coroutine[Any, Any, None] | None) -> None:
    """Run to the end, with a watcher beside, which ends by no other error than the end of all."""
    watcher = None if watching is None else asyncio.create_task(watching)
    try:
        await running
    finally:
        if watcher is not None:
            watcher.cancel()
            with suppress(asyncio.CancelledError):
                await watcher


def _close(connection: apsw.Connection) -> None:
    with suppress(apsw.Error):  # SQLite would tidy up, which a reader may not: it is closed all the same
        connection.close()
