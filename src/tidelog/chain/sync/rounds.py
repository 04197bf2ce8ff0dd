"""Round after round of a sync that has begun: look at the endpoints, do the next thing, judge what went wrong.

After any failure in a round, the next one starts from what is committed.
"""

import asyncio
from collections.abc import Callable

from msgspec.structs import replace

from tidelog.backoff import delays
from tidelog.chain.blocks import Header
from tidelog.chain.contracts.contract import ASKED
from tidelog.chain.reading.blocks import refs_between
from tidelog.chain.source.client import LATEST
from tidelog.chain.source.pool import Pool
from tidelog.chain.source.prefetch import Prefetcher
from tidelog.chain.sync.beside.asking import Asker
from tidelog.chain.sync.beside.pieces import Beside, Prepare
from tidelog.chain.sync.beside.proving import Prover
from tidelog.chain.sync.committer import Committer, Unlinked
from tidelog.chain.sync.contracts import ContractKeeper
from tidelog.chain.sync.control import Control
from tidelog.chain.sync.filling import Filler
from tidelog.chain.sync.follower import Follower, Step
from tidelog.chain.sync.monitoring.reporting import Progress, Reporter
from tidelog.chain.sync.options import Options, SyncLimits
from tidelog.chain.sync.quorum import Quorum, View
from tidelog.chain.sync.rulebook import Rulebook
from tidelog.chain.sync.selecting import SelectingPrefetcher
from tidelog.chain.sync.writer import ChainWriter
from tidelog.chain.verify import Rules
from tidelog.errors import ConfigError, ProofFailure, Rejected, SourceError, TooLarge, Unreachable
from tidelog.runtime import Runtime
from tidelog.store import Store
from tidelog.telemetry import ChainMetrics, logger

_log = logger("sync")


class Rounds:
    """The loop of one run, complete: the chain is known, and its writer is open."""

    def __init__(
        self,
        store: Store,
        pool: Pool,
        runtime: Runtime,
        metrics: ChainMetrics,
        options: Options,
        limits: SyncLimits,
        control: Control,
        writer: ChainWriter,
        rulebook: Rulebook,
        contracts: ContractKeeper,
        on_progress: Callable[[Progress], None],
    ) -> None:
        self.writer = writer
        self._store = store
        self._pool = pool
        self._runtime = runtime
        self._options = options
        self._limits = limits
        self._control = control
        self._rulebook = rulebook
        self._contracts = contracts
        self._spec = rulebook.spec  # what the next blocks are proven by
        rules = Rules(writer.chain_id, self._spec, options.senders, options.anchor)
        self._whole = Prefetcher(pool, runtime, rules, metrics, limits.prefetch)
        self._prefetcher = self._whole
        if writer.selects:
            self._prefetcher = SelectingPrefetcher(
                pool, runtime, rules, lambda: writer.holdings.selection, metrics, limits.prefetch
            )
        prover: Prover | None = None
        if options.prove:
            prover = Prover(
                writer, self._prefetcher, down_to=options.prove_down_to, between=lambda: self.beside.between
            )
        filler = Filler(writer, store, self._whole, names_more=lambda: prover is not None and prover.goes_on)
        asker = Asker(writer, store, pool, self._whole, runtime, cross_check=options.cross_check)
        works: list[Prepare] = [filler.prepare, asker.prepare]
        if prover is not None:
            works.append(prover.prepare)
        self.beside = Beside(works, runtime, control.wake.set)
        self._quorum = Quorum(writer, pool, runtime, self._spec)
        self._reporter = Reporter(writer, self._spec, runtime, metrics, on_progress)
        self._follower = Follower(
            writer,
            pool,
            self._quorum,
            self._prefetcher,
            runtime,
            reorg_patience_s=options.reorg_patience_s,
            on_blocks=self._reporter.count,
            is_same_chain=rulebook.is_same_chain,
        )
        self._committer = Committer(
            writer,
            self._prefetcher,
            self._quorum,
            self._reporter,
            runtime,
            chain=lambda: rulebook.row,
            on_commit=self._committed,
            beside=self._step_beside,
            stopping=lambda: control.stopping,
            limits=limits.commit,
        )
        self._progress_at = 0.0  # when the run last got further, by the monotonic clock
        self._refused = 0  # rounds in a row since then that ended with a refusal
        self._unlinked = 0  # times in a row that history did not link
        self._report(None)

    @property
    def progress(self) -> Progress:
        """Where the run is."""
        return self._reporter.progress

    @property
    def head_reported_at(self) -> float | None:
        """When an endpoint last reported a head, by the monotonic clock."""
        return self._reporter.head_reported_at

    def report(self) -> None:
        """Say once more where the run is: a commit may have ended after it was cancelled."""
        self._reporter.report(self.progress.goal)

    async def check_start(self) -> None:
        """ConfigError where the options do not fit what the store holds."""
        position, options = self.writer.position, self._options
        if options.cross_check and self.writer.holdings.asks and len(self._pool.endpoints) < 2:
            raise ConfigError("cross_check compares what two endpoints say, and there is one: give another by --rpc")
        if options.anchor is not None and self.writer.holdings.asks:
            raise ConfigError(
                "--anchor is the hash of the first block, and with the evidence asked no blocks lead from there to the "
                "head: leave it out, or name contracts whose evidence is proven"
            )
        if position is None:
            return
        if options.first is not None and options.first > position.head + 1:
            raise ConfigError(
                f"--from {options.first} would leave a hole: the store holds blocks {position.first} to {position.head}"
            )
        if options.to is not None and options.to < position.first and options.first is None:
            raise ConfigError(f"--to {options.to} is below the store's first block {position.first}: say --from too")
        if options.anchor is not None and options.first in (None, position.first):
            async with self._store.snapshot() as snapshot:
                (first,) = await refs_between(snapshot, self.writer.chain_id, position.first, position.first)
            if first.hash != options.anchor:
                raise ConfigError(
                    f"--anchor 0x{options.anchor.hex()} is not the hash of the store's first block {position.first}, "
                    f"which is 0x{first.hash.hex()}"
                )

    async def run(self) -> None:
        """Round after round; failures of the source are waited out, for as long as the options say."""
        pauses = delays(self._runtime.random("sync"), max_s=30.0)
        self._progressed()
        while not self._control.stopping:
            before, height = self.writer.position, self._height
            failure: SourceError | ProofFailure | None = None
            try:
                if await self._round():
                    return
            except (SourceError, ProofFailure) as error:
                failure = error
                if await self._rulebook.reconsider(error):
                    self._adopt_rules()
                    self._progressed()
                    failure = None
            # a run that only goes back and forth makes no progress, though it commits
            if self._height > height or (failure is None and self.writer.position != before):
                self._progressed()
                pauses = delays(self._runtime.random("sync"), max_s=30.0)
            if not self._options.follow:
                self._check_hope(failure)
            if failure is None:
                self._control.trouble.clear()
            else:
                self._control.trouble.note(str(failure))
                _log.error("sync_failing", error=str(failure), kind=type(failure).__name__)
                await self._control.wait(next(pauses))

    def _progressed(self) -> None:
        """From now on the patience of a run that has an end starts again, also that of questions under way."""
        self._progress_at = self._runtime.monotonic()
        self._refused = 0
        if not self._options.follow:
            self._pool.give_up_at = self._progress_at + self._options.give_up_s

    @property
    def _height(self) -> int:
        """How many blocks are stored."""
        position = self.writer.position
        return 0 if position is None else position.head - position.first + 1

    def _check_hope(self, failure: SourceError | ProofFailure | None) -> None:
        """Raise when a run that has an end will not get there.

        What every endpoint refuses, question after question, is not waited for as an outage is.
        """
        waited_s = self._runtime.monotonic() - self._progress_at
        refused = isinstance(failure, Rejected) and not isinstance(failure, TooLarge)
        self._refused = self._refused + 1 if refused else 0
        hopeless = self._refused >= self._limits.refused_rounds and waited_s >= self._limits.refused_s
        if isinstance(failure, ProofFailure):
            raise failure
        if failure is not None and (hopeless or waited_s >= self._options.give_up_s):
            raise failure
        if waited_s >= self._options.give_up_s:
            raise Unreachable(
                f"no progress for {waited_s:.0f} s: the endpoints name block {self.progress.goal}, and most of them "
                "do not have the branch that leads there"
            )

    async def _round(self) -> bool:
        """Look at the endpoints and do the next thing; True when nothing is left to do."""
        await self._pool.identify(self.writer.chain_id)
        if await self._rulebook.look_again():
            self._adopt_rules()
        await self._quorum.release()
        view = await self._quorum.look()
        if not view:
            raise self._pool.cause()
        self._reporter.observe(view)
        if await self._backfill():
            return False
        goal = self._goal(view)
        if goal is None and not self._options.follow:
            raise Unreachable(f"the chain has no {self._options.finality} block yet")
        self._report(goal)
        moved = goal is not None and await self._towards(goal, view)
        if await self._quorum.settle_finality(view):
            self._report(goal)
        kept = await self._keep_contracts(0.0 if moved else self._options.poll_s)
        if moved or kept:
            return False
        if self.beside.busy and not self._options.follow:
            await self._look_beside()
            return False
        if self._reached(goal) and not await self._quorum.contradicted(view):
            return True
        await self._control.wait(self._options.poll_s)
        return False

    async def _keep_contracts(self, within_s: float) -> bool:
        """Fill and remove tables of contracts, one step at least: the head may move in every round.

        Returns:
            Whether there was something to do.
        """
        until, done = self._runtime.monotonic() + within_s, False
        while not self._control.stopping and await self._step_beside(between=True):
            done = True
            self._progressed()
            if self._runtime.monotonic() >= until:
                break
        return done

    async def _step_beside(self, *, between: bool = False) -> bool:
        """One step of what there is to do for contracts; waits for no endpoint.

        Args:
            between: no blocks are on their way.
        """
        if await self._contracts.step(between=between):
            return True
        try:
            return await self.beside.step(between=between)
        except (SourceError, ProofFailure) as error:
            if not self._options.follow:
                raise
            _log.warning("contracts_failing", chain=self.writer.chain_id, error=str(error), kind=type(error).__name__)
            if await self._rulebook.reconsider(error):
                self._adopt_rules()
            return False

    async def _look_beside(self) -> None:
        """Wait for what is being fetched, or for a look at the head."""
        ended = asyncio.ensure_future(self.beside.ended())
        waiting = asyncio.ensure_future(self._control.wait(self._options.poll_s))
        try:
            await asyncio.wait((ended, waiting), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (ended, waiting):
                task.cancel()
            await asyncio.gather(ended, waiting, return_exceptions=True)

    async def _towards(self, goal: int, view: View) -> bool:
        """One stride towards block `goal`; True if something was committed."""
        head = self.writer.head
        if head is None:
            return await self._begin(goal, view)
        final = view.likely_final(self._spec)
        last = min(goal, final if final is not None else -1)
        if last > head.number:
            await self._history(head.number + 1, last)
            return True
        moved = False
        for target in await self._targets(goal, view):
            moved = await self._follower.step(target) is Step.MOVED
            if moved:
                self._report(goal)
                break
        return moved

    async def _targets(self, goal: int, view: View) -> list[Header]:
        """The headers to walk towards, the best first: the heads themselves, or the block at the goal."""
        heads = view.distinct()
        if heads and heads[0].number <= goal:
            return heads
        header = await self._quorum.header(goal)
        return [header] if header is not None else []

    async def _history(self, first: int, last: int, *, begins: bool = False) -> None:
        """Take history in; where it does not link, let fork choice decide."""
        try:
            await self._committer.forward(first, last, begins=begins)
            self._unlinked = 0
        except Unlinked as error:
            await self._relink(error.number)

    async def _backfill(self) -> bool:
        """Extend the range downwards to a lower --from; True if something was committed."""
        position, first = self.writer.position, self._options.first
        if position is None or self._options.first_latest:
            return False
        lowest = position.lowest if first is None else min(first, position.lowest)
        if self.writer.holdings.asks:
            if lowest < position.lowest:
                await self.writer.ask_from(lowest)
                return True
            lowest = self._linked_from(lowest)
        if lowest >= position.first:
            return False
        await self._committer.downwards(lowest)
        return True

    def _linked_from(self, lowest: int, highest: int | None = None) -> int:
        """Of blocks from `lowest` on, the first whose header a contract needs of which nobody is only asked."""
        position = self.writer.position
        top = highest if position is None else position.first
        assert top is not None
        contracts = [each.contract for each in self.writer.holdings.contracts if not each.leaving]
        needed = [each.first_block for each in contracts if each.evidence != ASKED]
        return max(lowest, min([top, *needed]))

    async def _relink(self, number: int) -> None:
        """Let fork choice decide about a block of history that does not link."""
        _log.info("history_unlinked", number=number)
        self._unlinked += 1
        header = await self._pool.ask(lambda endpoint: endpoint.header_by_number(number), number=number)
        if header is not None and self.writer.head is not None:
            await self._follower.step(header)
            self._report(self.progress.goal)
        if self._unlinked > self._limits.unlinked_max:
            raise Unreachable(f"block {number} never links to the one below it")

    async def _begin(self, goal: int, view: View) -> bool:
        """The first blocks of a new range; True if something was committed."""
        first = goal if self._options.first_latest else self._options.first or 0
        if first > goal:
            if self._options.follow:
                return False
            raise ConfigError(f"--from {first} is not there yet: the chain goes to {goal}; --follow waits for it")
        final = view.likely_final(self._spec)
        if final is not None and final >= first:
            last = min(goal, final)
            if self.writer.holdings.asks:
                self.writer.begin_asked_from, first = first, self._linked_from(first, last)
            await self._history(first, last, begins=True)
        else:
            await self._committer.append(await self._prefetcher.blocks([first], range_first=first))
        return True

    def _adopt_rules(self) -> None:
        """Prove the next blocks by what the rulebook says now."""
        spec = self._rulebook.spec
        for prefetcher in (self._prefetcher, self._whole):
            prefetcher.rules = replace(prefetcher.rules, spec=spec)
        self._spec = self.progress.spec = spec

    def _committed(self) -> None:
        self._progressed()
        self._report(self.progress.goal)

    # -- goals -------------------------------------------------------------------------------------------------

    def _goal(self, view: View) -> int | None:
        """The block that the options let us go to."""
        highest = view.highest
        if highest is None:
            return None
        tag = self._options.finality
        number = highest if tag == LATEST else view.final_number(self._spec, tag)
        if number is None:
            return None
        number = min(number, highest - self._options.confirmations)
        if self._options.to is not None:
            number = min(number, self._options.to)
        return number if number >= 0 else None

    def _reached(self, goal: int | None) -> bool:
        """Whether the run has done what was asked for, or all that can be done without waiting for blocks."""
        position, options = self.writer.position, self._options
        if position is None or goal is None:
            return False
        if options.to is not None and position.head >= options.to:
            return True
        if options.follow or position.head < goal:
            return False
        if options.to is not None:
            raise ConfigError(
                f"--to {options.to} is not there yet: stored up to {position.head}; --follow waits for it"
            )
        return True

    def _report(self, goal: int | None) -> None:
        self._reporter.report(goal, None if self._options.first_latest else self._options.first)
