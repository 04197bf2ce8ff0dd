"""A chain sync under simulation: a node with replicas, links, a disk, and a program that is started again and again.

`Sync`, the pool, the proofs, the ledger and the SQLite store are those of production. What the schedule says goes
wrong does; then comes the quiet phase, in which the store has to become the node's chain without a hand.
"""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import apsw
from msgspec.structs import replace

from tidelog.batch import Batch, Checkpoint, Outcome
from tidelog.chain.pool import Pool
from tidelog.chain.rpc import Endpoint
from tidelog.chain.sync import Options, Sync
from tidelog.chain.wakeup import HeadsWatcher
from tidelog.config import EndpointUrl
from tidelog.errors import Busy
from tidelog.sim import schedule as plan
from tidelog.sim.control import Place
from tidelog.sim.disk import Mount
from tidelog.sim.faults import Faults
from tidelog.sim.forge import LONDON, PRAGUE, Fork, Shape
from tidelog.sim.keeper import Keeper
from tidelog.sim.ledger import Ledger
from tidelog.sim.limits import PLANS
from tidelog.sim.links import LinkedHttp, LinkedWire, Links
from tidelog.sim.node import SimNode
from tidelog.sim.oracle import Standing, compared_something, equals_node, require, standing
from tidelog.sim.runtime import SimRuntime
from tidelog.sim.staging import staged
from tidelog.sim.world import Process, Violation, World
from tidelog.store import Store
from tidelog.store.sqlite import open_sqlite
from tidelog.telemetry import ChainMetrics

CHAIN_ID = 1337
ODD_BLOCKS = 20  # at the end, of an odd chain: a rule shows in several blocks that compare something
UNKNOWN_ID = 424_242  # no table has it: its rules are found by looking at its blocks
SMALL = Shape(transactions=(0, 2), logs=(0, 2), withdrawals=(0, 1))
MINED = replace(SMALL, uncles=(0, 2))
BLOCK_S = 3.0  # between blocks
FINALIZED_DEPTH = 12
PATIENCE_S = 10.0  # for a lower chain
POLL_S, WOKEN_POLL_S = 1.0, 20.0  # the second where newHeads are followed: so that it is they that wake
HANGING_S = 8.0  # a poll, and a few seconds in which an endpoint turns out to hang
HANGING_WOKEN_S = HANGING_S + WOKEN_POLL_S  # who wakes it up may be the one that hangs
SETTLED_S = 75.0  # until all endpoints are back: the longest time alone, and a request that hangs
QUIET_S = 600.0  # in which all has to be well again
LOOK_S = 0.5
TROUBLED_S = 90.0  # in which all before a block that cannot be had is stored: some rounds of the sync
TROUBLED_BLOCKS = 40  # that come before the trouble; it is at the one half-way, which is final
REFUSED_MIN, REFUSED_A_LIFE, REFUSED_SHARE = 100, 60, 0.25  # calls that a plan may refuse: what learning it costs


class UncertainStore:
    """A store whose connection may be lost between a commit and its answer; `left` counts how often."""

    def __init__(self, store: Store, run: "ChainRun") -> None:
        self._store = store
        self._run = run

    async def acquire(self, source: str) -> Checkpoint:
        return await self._store.acquire(source)

    async def commit(self, batch: Batch) -> Outcome:
        outcome = await self._store.commit(batch)
        if self._run.uncertain > 0:
            self._run.uncertain -= 1
            raise Busy("simulated: the connection was lost after COMMIT")
        return outcome

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)


class ChainRun:
    """One scenario. `run` gives nothing: what it found is in `world.violations`."""

    def __init__(self, world: World, schedule: plan.Schedule) -> None:
        self.world = world
        self.schedule = schedule
        self.ledger = Ledger(
            seed=schedule.seed,
            shape=MINED if schedule.uncles else SMALL,
            chain_id=UNKNOWN_ID if schedule.oddity else CHAIN_ID,
            forks=_forks(schedule),
            blocks=schedule.blocks,
            finalized_depth=FINALIZED_DEPTH,
            safe_depth=FINALIZED_DEPTH // 2,
        )
        self.node = SimNode(self.ledger, seed=schedule.seed, replicas=schedule.replicas)
        if schedule.limits:
            self.node.limits = PLANS[schedule.limits]
        self.links = Links()
        self.uncertain = 0
        self.syncing: Sync | None = None
        self._standing: Standing | None = None  # as of the last look
        self._floor: Standing | None = None  # as of the last commit that was reported: nothing may fall behind it
        self._observer = Mount(world.disk, faulty=False)
        self._growing = True
        self.faults = Faults(world, schedule.events, self._act, self._kill, self._path)

    @property
    def _path(self) -> str:
        return self.world.disk.path("chain.db")

    async def run(self) -> None:
        self.world.on_point = self._on_point
        self.keeper = Keeper(self.world, "sync", self._main, on_end=self._ended)
        await staged(self.world, self.faults, [self.keeper], self._observer, self._mine(), self._script())

    async def _script(self) -> None:
        await self._until(lambda: False, self.schedule.busy_s)
        self._growing = False
        self.faults.end()
        self._mend()
        if self.schedule.troubled:
            await self._trouble()
        await self._quiet()

    def _mend(self) -> None:
        """Nothing is wrong with the node any more."""
        self.node.honest()
        self.links.down.clear()
        self.links.slow_s.clear()
        for replica in range(self.schedule.replicas):
            self.node.act(Place(replica))
        self.uncertain = 0

    async def _trouble(self) -> None:
        """A block that cannot be had costs none of those before it."""
        at = self.ledger.head.number + TROUBLED_BLOCKS // 2
        self.node.tell("bloom_wrong", blocks=[at])
        self.ledger.extend(TROUBLED_BLOCKS)
        self.world.trace.add(f"trouble at {at}")
        await self._until(lambda: self._standing is not None and self._standing.head >= at - 1, TROUBLED_S)
        held = -1 if self._standing is None else self._standing.head
        if held < at - 1:
            self.world.violated(f"what is proven before block {at}, which cannot be had, is committed: "
                                f"after {TROUBLED_S:g} s the store is at block {held}")  # fmt: skip
        self.node.honest()

    async def _quiet(self) -> None:
        if self.schedule.oddity:
            self.ledger.extend(ODD_BLOCKS)
        if self.schedule.grows_at_end:
            self.ledger.extend(1)
        self.keeper.quiet_at = self.world.loop.time()
        self.world.trace.add("quiet")
        if await self._until(self._caught_up, QUIET_S) and not self.world.violations:
            self._judge_end()
            if self.schedule.hanging is not None:
                await self._keep_up(self.schedule.hanging)
        elif not self.world.violations:
            held = self._standing
            at = "nothing" if held is None else f"block {held.head}"
            self.world.violated(f"recovers by itself: after {QUIET_S:g} s without faults the store is at {at}, "
                                f"the node at {self.ledger.head.number}")  # fmt: skip

    async def _keep_up(self, hanging: plan.Lie) -> None:
        """Grow beside an endpoint that hangs: each block is stored soon, whoever does not answer."""
        await self._until(lambda: False, SETTLED_S)
        self.node.tell(hanging.name, replica=hanging.replica, probability=hanging.probability)
        self.world.trace.add(f"hangs {hanging.replica} {hanging.name}")
        allowed_s = HANGING_WOKEN_S if self.schedule.heads else HANGING_S
        ends_at = self.world.loop.time() + hanging.for_s
        while self.world.loop.time() < ends_at and not self.world.violations:
            self.ledger.extend(1)
            mined_at, head = self.world.loop.time(), self.ledger.head
            if not await self._until(self._caught_up, allowed_s) and not self.world.violations:
                self.world.violated(
                    f"no healthy endpoint waits for another: beside one that hangs ({hanging.name}) block "
                    f"{head.number} is not stored {allowed_s:g} s after it was mined"
                )
            await asyncio.sleep(max(0.0, mined_at + BLOCK_S - self.world.loop.time()))

    async def _until(self, condition: Callable[[], bool], seconds: float) -> bool:
        deadline = self.world.loop.time() + seconds
        while self.world.loop.time() < deadline and not self.world.violations:
            if condition():
                return True
            await asyncio.sleep(LOOK_S)
        return False

    def _caught_up(self) -> bool:
        return self._standing is not None and self._standing.head_hash == self.ledger.head.hash

    # -- the program ------------------------------------------------------------------------------------------

    async def _main(self, process: Process) -> None:
        runtime, metrics = SimRuntime(process), ChainMetrics()
        http = LinkedHttp(self.node, self.links, process, runtime)
        urls = [EndpointUrl(f"http://replica-{index}") for index in range(self.schedule.replicas)]
        pool = Pool([Endpoint(url, http, runtime, metrics) for url in urls], runtime, metrics)
        store = await open_sqlite(f"sqlite:///{self._path}", runtime, vfs=process.mount.name)
        try:
            options = Options(
                follow=True,
                senders=True,
                chain_id=self.ledger.chain_id,
                reorg_patience_s=PATIENCE_S,
                poll_s=WOKEN_POLL_S if self.schedule.heads else POLL_S,
            )
            syncing = Sync(UncertainStore(store, self), pool, runtime, metrics, options)  # type: ignore[arg-type]
            self.syncing = syncing
            wire = LinkedWire(self.node, self.links, process, runtime)
            heads = HeadsWatcher(EndpointUrl("ws://replica-0", schemes=("ws",)), runtime, syncing.wake, wire)
            await _beside(syncing.run(), heads.run() if self.schedule.heads else None)
        finally:
            self.syncing = None
            await store.close()

    # -- what happens -------------------------------------------------------------------------------------------

    async def _mine(self) -> None:
        while True:
            await asyncio.sleep(BLOCK_S)
            if self._growing:
                self.ledger.extend(1)

    def _kill(self, why: str) -> None:
        self.keeper.kill(why)

    def _ended(self, process: Process, killed: bool) -> None:
        self.links.gone(process)
        if killed:
            self.faults.bury()
        self._look()

    def _on_point(self, process: Process, name: str, nth: int) -> None:
        if name in ("store.written", "store.committed"):  # a reader may come at either
            self._look(reported=name == "store.committed")
        self.faults.on_point(name, nth)

    def _act(self, action: plan.Action) -> object:
        """Carry out what is the chain's own; what undoes it, if that is due later."""
        match action:
            case plan.Grow(count):
                self.ledger.extend(count)
            case plan.Fork(depth, length):
                deepest = self.ledger.head.number - (self.ledger.finalized or 0)
                depth = min(depth, deepest)
                if depth:
                    self.ledger.reorg(depth, length)
            case plan.Lie(name, replica, probability):
                self.node.tell(name, replica=replica, probability=probability)
                return lambda: self._silence(name, replica)
            case plan.Down(replica):
                replicas = {replica} if replica is not None else set(range(self.schedule.replicas))
                self.links.take_down(replicas)
                return lambda: self.links.down.difference_update(replicas)
            case plan.Slow(replica, by_s):
                self.links.slow_s[replica] = by_s
                return lambda: self.links.slow_s.pop(replica, None)
            case plan.Lag(replica, blocks):
                self.node.act(Place(replica, lag=blocks))
                return lambda: self.node.act(Place(replica))
            case plan.Uncertain(times):
                self.uncertain += times
            case plan.Takeover():
                self.keeper.take_over()
            case plan.Restart():
                if self.syncing is not None:
                    self.syncing.stop()
        return None

    def _silence(self, name: str, replica: int | None) -> None:
        for index, one in enumerate(self.node.replicas):
            if replica in (None, index):
                one.tellings.pop(name, None)

    # -- judging ------------------------------------------------------------------------------------------------

    def _open(self) -> apsw.Connection:
        return apsw.Connection(self._path, flags=apsw.SQLITE_OPEN_READONLY, vfs=self._observer.name)

    def _look(self, *, reported: bool = False) -> None:
        """Judge what is committed now.

        Args:
            reported: the program was told that this commit is done. One whose sync failed may show, and go again.
        """
        try:
            connection = self._open()
        except apsw.CantOpenError:
            return  # nothing was ever written
        try:
            if connection.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'blocks'").get:
                self._standing = standing(connection, self.ledger, self._floor)
                if reported:
                    self._floor = self._standing
        except (apsw.IOError, apsw.ReadOnlyError):
            pass  # a rollback is due, which only a writer may do: the program's next start does it
        except Violation as violation:
            self.world.violated(str(violation))
        finally:
            _close(connection)

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
            equals_node(connection, self.ledger, first=0)
            if self.schedule.oddity:
                compared_something(connection, self.ledger)
        except Violation as violation:
            self.world.violated(str(violation))
        finally:
            _close(connection)


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
