"""Keep a store in step with a chain: history ahead in parallel, the head block by block, reorgs in between.

The loop that decides what to do next, and nothing else: `committer` takes history in, `follow` walks, `ledger` commits,
`votes` asks the endpoints together, `reporting` tells.
Whatever goes wrong in a round, the next one starts from what is committed.
"""

import asyncio
from collections.abc import Callable

from msgspec import Struct
from msgspec.structs import replace

from tidelog.backoff import delays
from tidelog.chain.blocks import Header
from tidelog.chain.committer import Committer, Unlinked
from tidelog.chain.follow import Follower, Step
from tidelog.chain.health import Facts
from tidelog.chain.history import Fetcher
from tidelog.chain.intake import Rules
from tidelog.chain.ledger import Ledger, links_between
from tidelog.chain.pool import Pool
from tidelog.chain.profiles import Profile
from tidelog.chain.reporting import Progress, Reporter
from tidelog.chain.rpc import LATEST
from tidelog.chain.rulebook import Rulebook, first_contact, recognised
from tidelog.chain.trouble import Trouble
from tidelog.chain.votes import View, Votes
from tidelog.errors import ConfigError, ProofFailure, Pruned, Rejected, SourceError, TooLarge, Unreachable
from tidelog.runtime import Runtime
from tidelog.store import Store
from tidelog.telemetry import ChainMetrics, logger

REFUSED_ROUNDS = 2  # ... and so many rounds in a row, each of which has asked everybody several times
UNLINKED_MAX = 8  # times in a row that history may not link before there is a pause
CONTACT_S = 10.0  # how long the first contact with any endpoint may take
REFUSED_S = 5.0  # how long refusals of every endpoint are taken for a passing state: a balancer's moment, a restart

_log = logger("sync")


class Options(Struct, frozen=True):
    """What the user asked for."""

    first: int | None = None  # None: block 0, or what the store has
    first_latest: bool = False  # begin at the head of the moment
    to: int | None = None  # stop there
    follow: bool = False  # stay at the head until stopped
    finality: str = LATEST  # go no further than this tag
    confirmations: int = 0  # go no further than the head minus this
    anchor: bytes | None = None
    senders: bool = False
    accept_unproven: tuple[str, ...] = ()  # checks that are not made from the next block on
    chain_id: int | None = None
    poll_s: float = 1.0
    reorg_patience_s: float = 30.0
    give_up_s: float = 60.0  # when not following: how long the source may fail without progress


class Sync:
    """One run of `tidelog chain sync`."""

    def __init__(
        self,
        store: Store,
        pool: Pool,
        runtime: Runtime,
        metrics: ChainMetrics,
        options: Options,
        *,
        on_progress: Callable[[Progress], None] = lambda progress: None,
    ) -> None:
        self._store = store
        self._pool = pool
        self._runtime = runtime
        self._metrics = metrics
        self._options = options
        self._on_progress = on_progress
        self._reporter: Reporter | None = None  # from when all is there that it tells of
        self.wake = asyncio.Event()
        self._source = Trouble(runtime)  # with the endpoints
        self._stopping = False
        self._progress_at = 0.0  # when the run last got further, by the monotonic clock
        self._refused = 0  # rounds in a row since then that ended with a refusal
        self._unlinked = 0  # times in a row that history did not link

    def stop(self) -> None:
        """End after the commit that is under way."""
        self._stopping = True
        self.wake.set()

    @property
    def stopping(self) -> bool:
        return self._stopping

    @property
    def begun(self) -> bool:
        """Whether there is progress to tell of."""
        return self._reporter is not None

    @property
    def facts(self) -> Facts:
        """For `health.readiness`, at any time."""
        source = self._source.cause or self._pool.silence()
        reporter, store = self._reporter, getattr(self._store, "trouble", None)
        if reporter is None:  # the first contact, or the store's first answer, is awaited
            return Facts(store=store, source=source)
        told_at = reporter.told_at
        return Facts(
            self.progress.chain_id,
            self.progress.head,
            self.progress.goal,
            None if told_at is None else self._runtime.monotonic() - told_at,
            self._ledger.committing_s,
            store or self._ledger.lasting_trouble,
            source,
        )

    @property
    def progress(self) -> Progress:
        """Where the run is, once it has begun."""
        if self._reporter is None:
            raise AssertionError("progress is of a run that has begun")
        return self._reporter.progress

    # -- the run --------------------------------------------------------------------------------------------

    async def run(self) -> Progress:
        """Sync until the goal is reached, or until stopped when following.

        Raises:
            ConfigError: another chain than the store's, a range that would leave a hole.
            SourceError, ProofFailure: the endpoints do not give what is needed (not when following).
            BelowFinality: the endpoints contradict what is final.
            StoreError, Corruption: the store cannot go on.
        """
        try:
            await self._prepare()
            await self._check_start()
            await self._rounds()
        finally:
            await self._pool.close()
        return self.progress

    async def _prepare(self) -> None:
        """Make what a run consists of."""
        self._pool.patience_s = self._options.reorg_patience_s
        chain_id = await self._identify()
        stored = await recognised(self._store, self._pool, chain_id, others_allowed=self._options.chain_id is not None)
        profile = await self._first_contact(chain_id) if stored is None else stored.profile
        ledger = self._ledger = await Ledger.open(self._store, self._runtime, self._metrics, chain_id)
        self._rulebook = Rulebook(
            profile,
            stored,
            self._store,
            ledger,
            self._pool,
            self._runtime,
            accept=self._options.accept_unproven,
        )
        await self._rulebook.begin()
        self._profile = self._rulebook.profile
        rules = Rules(chain_id, self._profile, self._options.senders, self._options.anchor)
        fetcher = self._fetcher = Fetcher(self._pool, self._runtime, rules)
        self._votes = Votes(ledger, self._pool, self._runtime, self._profile)
        reporter = self._reporter = Reporter(ledger, self._profile, self._runtime, self._metrics, self._on_progress)
        self._follower = Follower(
            ledger,
            self._pool,
            self._votes,
            fetcher,
            self._runtime,
            reorg_patience_s=self._options.reorg_patience_s,
            on_blocks=reporter.count,
        )
        self._committer = Committer(
            ledger,
            fetcher,
            self._votes,
            reporter,
            self._runtime,
            chain=lambda: self._rulebook.row,
            on_commit=self._committed,
            stopping=lambda: self._stopping,
        )
        self._report(None)

    async def _first_contact(self, chain_id: int) -> Profile:
        """Find out what holds on the chain; wait for blocks to see it by, for as long as the options say."""
        started, pauses = self._runtime.monotonic(), delays(self._runtime.random("contact"), max_s=30.0)
        while True:
            try:
                return await first_contact(chain_id, self._pool, self._runtime, first=self._options.first or 0)
            except (SourceError, ProofFailure) as error:
                waited_s = self._runtime.monotonic() - started
                if self._stopping or (not self._options.follow and waited_s > CONTACT_S):
                    raise
                _log.error("sync_failing", error=str(error), kind=type(error).__name__)
            await self._wait(next(pauses))
            await self._pool.identify(chain_id)

    def _adopt_rules(self) -> None:
        """Prove the next blocks by what the rulebook says now."""
        profile = self._rulebook.profile
        self._fetcher.rules = replace(self._fetcher.rules, profile=profile)
        self._profile = self.progress.profile = profile

    def _committed(self) -> None:
        self._progressed()
        self._report(self.progress.goal)

    async def _rounds(self) -> None:
        """Round after round; failures of the source are waited out, for as long as the options say."""
        pauses = delays(self._runtime.random("sync"), max_s=30.0)
        self._progressed()
        while not self._stopping:
            before, height = self._ledger.position, self._height
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
            if self._height > height or (failure is None and self._ledger.position != before):
                self._progressed()
                pauses = delays(self._runtime.random("sync"), max_s=30.0)
            if not self._options.follow:
                self._check_hope(failure)
            if failure is None:
                self._source.clear()
            else:
                self._source.note(str(failure))
                _log.error("sync_failing", error=str(failure), kind=type(failure).__name__)
                await self._wait(next(pauses))

    def _progressed(self) -> None:
        """From now on the patience of a run that has an end counts anew, also that of questions under way."""
        self._progress_at = self._runtime.monotonic()
        self._refused = 0
        if not self._options.follow:
            self._pool.give_up_at = self._progress_at + self._options.give_up_s

    @property
    def _height(self) -> int:
        """How many blocks are held."""
        position = self._ledger.position
        return 0 if position is None else position.head - position.first + 1

    def _check_hope(self, failure: SourceError | ProofFailure | None) -> None:
        """Raise when a run that has an end will not get there.

        What every endpoint refuses, question after question, is not waited for as an outage is.
        """
        waited_s = self._runtime.monotonic() - self._progress_at
        refused = isinstance(failure, Rejected) and not isinstance(failure, TooLarge)
        self._refused = self._refused + 1 if refused else 0
        hopeless = self._refused >= REFUSED_ROUNDS and waited_s >= REFUSED_S
        if isinstance(failure, ProofFailure | Pruned):
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
        await self._pool.identify(self._ledger.chain_id)
        if await self._rulebook.look_again():
            self._adopt_rules()
        self._votes.release()
        view = await self._votes.look()
        if not view:
            raise self._pool.cause()
        reporter = self._reporter
        assert reporter is not None
        reporter.observe(view)
        if await self._backfill():
            return False
        goal = self._goal(view)
        if goal is None and not self._options.follow:
            raise Unreachable(f"the chain has no {self._options.finality} block yet")
        self._report(goal)
        moved = goal is not None and await self._towards(goal, view)
        if await self._votes.settle_finality(view):
            self._report(goal)
        if moved:
            return False
        if self._reached(goal) and not await self._votes.contradicted(view):
            return True
        await self._wait(self._options.poll_s)
        return False

    async def _towards(self, goal: int, view: View) -> bool:
        """One stride towards block `goal`; True if something was committed."""
        head = self._ledger.head
        if head is None:
            return await self._begin(goal, view)
        final = view.likely_final(self._profile)
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
        heads = view.heads()
        if heads and heads[0].number <= goal:
            return heads
        header = await self._pool.ask(lambda endpoint: endpoint.header_by_number(goal))
        return [header] if header is not None else []

    async def _history(self, first: int, last: int, *, begins: bool = False) -> None:
        """Take history in; where it does not link, let the lineage decide."""
        try:
            await self._committer.forward(first, last, begins=begins)
            self._unlinked = 0
        except Unlinked as error:
            await self._relink(error.number)

    async def _backfill(self) -> bool:
        """Extend the range downwards to a lower --from; True if something was committed."""
        position, first = self._ledger.position, self._options.first
        if position is None or first is None or first >= position.first or self._options.first_latest:
            return False
        await self._committer.downwards(first)
        return True

    async def _relink(self, number: int) -> None:
        """Let the lineage decide about a block of history that does not link."""
        _log.info("history_unlinked", number=number)
        self._unlinked += 1
        header = await self._pool.ask(lambda endpoint: endpoint.header_by_number(number), number=number)
        if header is not None and self._ledger.head is not None:
            await self._follower.step(header)
            self._report(self.progress.goal)
        if self._unlinked > UNLINKED_MAX:
            raise Unreachable(f"block {number} never links to the one below it")

    # -- the start ------------------------------------------------------------------------------------------

    async def _identify(self) -> int:
        started, pauses = self._runtime.monotonic(), delays(self._runtime.random("contact"), max_s=1.0)
        while (chain_id := await self._pool.identify(self._options.chain_id)) is None:
            cause, waited_s = self._pool.cause(), self._runtime.monotonic() - started
            self._source.note(str(cause))
            if isinstance(cause, Rejected) and waited_s > REFUSED_S:
                raise cause
            if waited_s > CONTACT_S:
                raise Unreachable(f"no contact within {CONTACT_S:g} s: {cause}: is the URL right, and the node up?")
            await self._runtime.sleep(next(pauses))
        self._source.clear()
        return chain_id

    async def _check_start(self) -> None:
        position, options = self._ledger.position, self._options
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
                (first,) = await links_between(snapshot, self._ledger.chain_id, position.first, position.first)
            if first.hash != options.anchor:
                raise ConfigError(
                    f"--anchor 0x{options.anchor.hex()} is not the hash of the store's first block {position.first}, "
                    f"which is 0x{first.hash.hex()}"
                )

    async def _begin(self, goal: int, view: View) -> bool:
        """The first blocks of a new range; True if something was committed."""
        first = goal if self._options.first_latest else self._options.first or 0
        if first > goal:
            if self._options.follow:
                return False
            raise ConfigError(f"--from {first} is not there yet: the chain goes to {goal}; --follow waits for it")
        final = view.likely_final(self._profile)
        if final is not None and final >= first:
            await self._history(first, min(goal, final), begins=True)
        else:
            await self._committer.append(await self._fetcher.blocks([first], range_first=first))
        return True

    # -- goals, waiting ------------------------------------------------------------------------------

    def _goal(self, view: View) -> int | None:
        """The block that the options let us go to."""
        highest = view.highest
        if highest is None:
            return None
        tag = self._options.finality
        number = highest if tag == LATEST else view.final_number(self._profile, tag)
        if number is None:
            return None
        number = min(number, highest - self._options.confirmations)
        if self._options.to is not None:
            number = min(number, self._options.to)
        return number if number >= 0 else None

    def _reached(self, goal: int | None) -> bool:
        """Whether the run has done what was asked for, or all that can be done without waiting for blocks."""
        position, options = self._ledger.position, self._options
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

    async def _wait(self, seconds: float) -> None:
        """Sleep, unless a new head or a stop comes first."""
        if not self._stopping:
            sleep = asyncio.ensure_future(self._runtime.sleep(seconds))
            wake = asyncio.ensure_future(self.wake.wait())
            try:
                await asyncio.wait((sleep, wake), return_when=asyncio.FIRST_COMPLETED)
            finally:
                sleep.cancel()
                wake.cancel()
                await asyncio.gather(sleep, wake, return_exceptions=True)
        self.wake.clear()

    def _report(self, goal: int | None) -> None:
        if self._reporter is None:
            return
        rates, progress = [endpoint.budget.rate for endpoint in self._pool.endpoints], self.progress
        progress.calls_per_s = sum(rate.reached(self._runtime.monotonic()) for rate in rates)
        limits = [rate.calls_per_s for rate in rates]
        progress.calls_per_s_max = None if None in limits else sum(limit for limit in limits if limit is not None)
        self._reporter.report(goal)
