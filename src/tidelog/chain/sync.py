"""Keep a store in step with a chain: history ahead in parallel, the head block by block, reorgs in between.

The loop that decides what to do next, and nothing else: `history` fetches, `follow` walks, `ledger` commits.
Whatever goes wrong in a round, the next one starts from what is committed.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing

from msgspec import Struct

from tidelog.backoff import delays
from tidelog.batch import CHAINS, Rows
from tidelog.chain.blocks import Header
from tidelog.chain.follow import Follower, Step, View
from tidelog.chain.health import Facts
from tidelog.chain.history import Fetcher
from tidelog.chain.intake import Proven, Rules
from tidelog.chain.ledger import Ledger, links_between
from tidelog.chain.lineage import Link
from tidelog.chain.pool import Pool
from tidelog.chain.position import chain_row
from tidelog.chain.probe import profile_for
from tidelog.chain.profiles import Profile, decode_profile
from tidelog.chain.proof import CHECKS
from tidelog.chain.rpc import LATEST
from tidelog.errors import ConfigError, ProofFailure, Pruned, SourceError, Unreachable
from tidelog.runtime import Runtime
from tidelog.store import Store
from tidelog.telemetry import ChainMetrics, logger

ROWS_PER_COMMIT = 20_000  # about a hundred milliseconds of database, and some 10 MB
BYTES_PER_COMMIT = 8 * 1024 * 1024  # of the answers: one huge block goes alone
BLOCKS_PER_COMMIT = 5_000
COMMIT_INTERVAL_S = 1.0  # how long proven blocks may wait for company
UNLINKED_MAX = 8  # times in a row that history may not link before there is a pause
CONTACT_S = 10.0  # how long the first contact with any endpoint may take

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
    chain_id: int | None = None
    poll_s: float = 1.0
    reorg_patience_s: float = 30.0
    give_up_s: float = 60.0  # when not following: how long the source may fail without progress


class Progress(Struct):
    """Where the sync is, for people. Counts are of this run."""

    chain_id: int
    profile: Profile
    first: int | None = None
    head: int | None = None
    goal: int | None = None
    highest: int | None = None
    finalized: int | None = None
    blocks: int = 0
    transactions: int = 0
    logs: int = 0
    reorgs: int = 0
    calls_per_s: float = 0.0  # that the endpoints have served of late, together
    calls_per_s_max: float | None = None  # that they may be asked, said or learned; None: there is no limit
    lowered: tuple[str, ...] = ()  # checks that could not be computed for some block


class _Unlinked(Exception):
    """History does not lead to what is held, or not to itself: `number` is the block that does not fit."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class _Batch:
    """Proven blocks that wait for their commit."""

    def __init__(self) -> None:
        self._blocks: list[Proven] = []
        self._rows = self._bytes = 0

    def add(self, block: Proven) -> None:
        self._blocks.append(block)
        self._rows += block.rows.row_count
        self._bytes += block.size_bytes

    @property
    def full(self) -> bool:
        return (
            self._rows >= ROWS_PER_COMMIT or self._bytes >= BYTES_PER_COMMIT or len(self._blocks) >= BLOCKS_PER_COMMIT
        )

    def taken(self) -> list[Proven]:
        """All of them; the batch is empty after it."""
        blocks, self._blocks, self._rows, self._bytes = self._blocks, [], 0, 0
        return blocks


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
        self.wake = asyncio.Event()
        self._stopping = False
        self._head_seen: tuple[int, float] | None = None  # since when it is the head
        self._told_at: float | None = None  # when an endpoint last told a head
        self._stalled = False
        self._unlinked = 0  # times in a row that history did not link

    def stop(self) -> None:
        """End after the commit that is under way."""
        self._stopping = True
        self.wake.set()

    @property
    def stopping(self) -> bool:
        return self._stopping

    @property
    def facts(self) -> Facts:
        """For `health.readiness`, at any time."""
        told_at = self._told_at
        if told_at is None:  # before the first look, which comes when all else is there
            return Facts()
        return Facts(
            self.progress.chain_id,
            self.progress.head,
            self.progress.goal,
            self._runtime.monotonic() - told_at,
            self._ledger.committing_s,
        )

    # -- the run --------------------------------------------------------------------------------------------

    async def run(self) -> Progress:
        """Sync until the goal is reached, or until stopped when following.

        Raises:
            ConfigError: another chain than the store's, a range that would leave a hole.
            SourceError, ProofFailure: the endpoints do not give what is needed (not when following).
            BelowFinality: the endpoints contradict what is final.
            StoreError, Corruption: the store cannot go on.
        """
        chain_id = await self._identify()
        profile, chain = await self._chain(chain_id)
        self._ledger = await Ledger.open(self._store, self._runtime, self._metrics, chain_id)
        self._chain_row = chain
        rules = Rules(chain_id, profile, self._options.senders, self._options.anchor)
        self._fetcher = Fetcher(self._pool, self._runtime, rules)
        self._follower = Follower(
            self._ledger,
            self._pool,
            self._fetcher,
            self._runtime,
            profile,
            reorg_patience_s=self._options.reorg_patience_s,
            on_blocks=self._count,
        )
        for check in CHECKS:
            self._metrics.lowered.labels(chain_id, check)  # there from the start, so that a first one shows
        self.progress = Progress(chain_id, profile)
        self._profile = profile
        self._report(None)
        await self._check_start()
        await self._rounds()
        return self.progress

    async def _rounds(self) -> None:
        """Round after round; failures of the source are waited out, for as long as the options say."""
        pauses = delays(self._runtime.random("sync"), max_s=30.0)
        progress_at = self._runtime.monotonic()
        while not self._stopping:
            before, height = self._ledger.position, self._height
            failure: SourceError | ProofFailure | None = None
            try:
                if await self._round():
                    return
            except (SourceError, ProofFailure) as error:
                failure = error
            # a run that only goes back and forth makes no progress, though it commits
            if self._height > height or (failure is None and self._ledger.position != before):
                progress_at = self._runtime.monotonic()
                pauses = delays(self._runtime.random("sync"), max_s=30.0)
            if not self._options.follow:
                self._check_hope(failure, self._runtime.monotonic() - progress_at)
            if failure is not None:
                _log.error("sync_failing", error=str(failure), kind=type(failure).__name__)
                await self._wait(next(pauses))

    @property
    def _height(self) -> int:
        """How many blocks are held."""
        position = self._ledger.position
        return 0 if position is None else position.head - position.first + 1

    def _check_hope(self, failure: SourceError | ProofFailure | None, waited_s: float) -> None:
        """Raise when a run that has an end will not get there."""
        if isinstance(failure, ProofFailure | Pruned) or (failure is not None and waited_s >= self._options.give_up_s):
            raise failure
        if waited_s >= self._options.give_up_s:
            raise Unreachable(
                f"no progress for {waited_s:.0f} s: the endpoints name block {self.progress.goal}, and most of them "
                "do not have the branch that leads there"
            )

    async def _round(self) -> bool:
        """Look at the endpoints and do the next thing; True when nothing is left to do."""
        await self._pool.identify(self._ledger.chain_id)
        await self._follower.release()
        view = await self._follower.look()
        if not view:
            raise Unreachable("no endpoint answers")
        self._observe(view)
        if await self._backfill(view):
            return False
        goal = self._goal(view)
        if goal is None and not self._options.follow:
            raise Unreachable(f"the chain has no {self._options.finality} block yet")
        self._report(goal)
        moved = goal is not None and await self._towards(goal, view)
        if await self._follower.settle_finality(view):
            self._report(goal)
        if moved:
            return False
        if self._reached(goal):
            return True
        await self._wait(self._options.poll_s)
        return False

    async def _towards(self, goal: int, view: View) -> bool:
        """One stride towards block `goal`; True if something was committed."""
        head = self._ledger.head
        if head is None:
            return await self._begin(goal, view)
        final = view.final_number(self._profile)
        last = min(goal, final if final is not None else -1)
        if last > head.number:
            try:
                await self._history(head.number + 1, last)
                self._unlinked = 0
            except _Unlinked as error:
                await self._relink(error.number)
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

    async def _relink(self, number: int) -> None:
        """Let the lineage decide about a block of history that does not link."""
        _log.info("history_unlinked", number=number)
        self._unlinked += 1
        header = await self._pool.ask(lambda endpoint: endpoint.header_by_number(number))
        if header is not None:
            await self._follower.step(header)
            self._report(self.progress.goal)
        if self._unlinked > UNLINKED_MAX:
            raise Unreachable(f"block {number} never links to the one below it")

    # -- the start ------------------------------------------------------------------------------------------

    async def _identify(self) -> int:
        started, pauses = self._runtime.monotonic(), delays(self._runtime.random("contact"), max_s=1.0)
        while (chain_id := await self._pool.identify(self._options.chain_id)) is None:
            if self._runtime.monotonic() - started > CONTACT_S:
                names = ", ".join(endpoint.name for endpoint in self._pool.endpoints)
                raise Unreachable(f"no answer from {names} within {CONTACT_S:g} s: is the URL right, and the node up?")
            await self._runtime.sleep(next(pauses))
        if chain_id > 2**53:
            raise ConfigError(f"chain id {chain_id} is beyond 2^53 (EIP-2294), and cannot be stored")
        return chain_id

    async def _chain(self, chain_id: int) -> tuple[Profile, Rows | None]:
        """The chain's profile, and its row for `chains` if the store has none yet."""
        async with self._store.snapshot() as snapshot:
            rows = await snapshot.select(CHAINS)
        stored = next((row for row in rows if row[0] == chain_id), None)
        if stored is None and rows and self._options.chain_id is None:
            others = ", ".join(str(row[0]) for row in rows)
            raise ConfigError(
                f"the store holds chain {others}, the endpoint serves chain {chain_id}: use another --db, or say "
                f"--chain-id {chain_id} to keep both in one"
            )
        profile = decode_profile(str(stored[2])) if stored else await profile_for(chain_id, self._pool, self._runtime)
        for endpoint in self._pool.endpoints:
            endpoint.proves_headers = "hash" in profile.checks
        genesis = await self._genesis()
        if stored is None:
            return profile, chain_row(chain_id, genesis, profile)
        held = stored[1]
        if genesis is not None and isinstance(held, bytes) and genesis != held:
            raise ConfigError(
                f"the store holds a chain {chain_id} with genesis 0x{held.hex()}, "
                f"the endpoint's is 0x{genesis.hex()}: use another --db for another chain"
            )
        return profile, None

    async def _genesis(self) -> bytes | None:
        try:
            header = await self._pool.ask(lambda endpoint: endpoint.header_by_number(0))
        except SourceError:
            return None
        return None if header is None else header.hash

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
        final = view.final_number(self._profile)
        if final is not None and final >= first:
            await self._history(first, min(goal, final), begins=True)
        else:
            await self._append(await self._fetcher.blocks([first], range_first=first))
        return True

    # -- history ----------------------------------------------------------------------------------------------

    async def _history(self, first: int, last: int, *, begins: bool = False) -> None:
        """Fetch ahead and commit in order, in batches of whole blocks; a failure comes after what is before it."""
        held = self._ledger.head
        tip = held.hash if held is not None else None
        batch = _Batch()
        committed_at = settled_at = self._runtime.monotonic()
        try:
            async with aclosing(self._fetcher.ahead(first, last, range_first=first if begins else None)) as lists:
                async for blocks in lists:
                    for block in blocks:
                        if tip is not None and block.link.parent_hash != tip:
                            raise _Unlinked(block.link.number)
                        tip = block.link.hash
                        batch.add(block)
                        if batch.full:
                            await self._append(batch.taken())
                            committed_at = self._runtime.monotonic()
                            if self._stopping:
                                return
                    now = self._runtime.monotonic()
                    if self._stopping or now - committed_at >= COMMIT_INTERVAL_S:
                        await self._append(batch.taken())
                        committed_at = now
                    if self._stopping:
                        return
                    if now - settled_at >= 10 * COMMIT_INTERVAL_S:
                        view = await self._follower.look()
                        self._observe(view)
                        await self._follower.settle_finality(view)
                        settled_at = now
        except (SourceError, ProofFailure, _Unlinked):
            await self._append(batch.taken())
            raise
        await self._append(batch.taken())

    async def _backfill(self, view: View) -> bool:
        """Extend the range downwards to a lower --from; True if something was committed."""
        position, first = self._ledger.position, self._options.first
        if position is None or first is None or first >= position.first or self._options.first_latest:
            return False
        above = position.base
        lists = self._fetcher.ahead(first, position.first - 1, range_first=first, downwards=True)
        async with aclosing(lists):
            async for blocks in lists:
                for block in reversed(blocks):
                    if block.link.hash != above.hash:
                        raise Unreachable(
                            f"block {block.link.number} is 0x{block.link.hash.hex()}, and the stored block above it "
                            f"names 0x{above.hash.hex()} as its parent"
                        )
                    above = Link(block.link.number - 1, block.link.parent_hash, b"")
                await self._ledger.prepend([block.rows for block in blocks])
                self._count(blocks)
                self._report(self.progress.goal)
                if self._stopping:
                    break
        return True

    async def _append(self, blocks: list[Proven]) -> None:
        if not blocks:
            return
        await self._ledger.append([block.rows for block in blocks], chain=self._chain_row)
        self._chain_row = None
        self._count(blocks)
        self._report(self.progress.goal)

    def _count(self, blocks: Sequence[Proven]) -> None:
        progress = self.progress
        for block in blocks:
            progress.blocks += 1
            progress.transactions += len(block.rows.transactions)
            progress.logs += len(block.rows.logs)
            for check in block.proof.lowered:
                self._metrics.lowered.labels(progress.chain_id, check).inc()
                if check not in progress.lowered:
                    progress.lowered = (*progress.lowered, check)
                    reason = block.proof.results[check].reason
                    _log.warning("check_not_computable", check=check, block=block.link.number, reason=reason)

    # -- goals, waiting, telling ------------------------------------------------------------------------------

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

    def _observe(self, view: View) -> None:
        """Watch that the chain's head moves."""
        highest, now, chain = view.highest, self._runtime.monotonic(), self._ledger.chain_id
        if highest is None:
            return
        self._told_at = now
        self.progress.highest = highest
        self._metrics.head.labels(chain).set(highest)
        self._metrics.head_seen.labels(chain).set(self._runtime.now())
        if self._head_seen is None or self._head_seen[0] != highest:
            self._head_seen, self._stalled = (highest, now), False
        elif now - self._head_seen[1] > self._profile.stall_s and not self._stalled:
            self._stalled = True
            _log.warning("head_stalled", chain=chain, head=highest, seconds=round(now - self._head_seen[1]))
        self._metrics.stalled.labels(chain).set(int(self._stalled))

    def _report(self, goal: int | None) -> None:
        position, progress = self._ledger.position, self.progress
        progress.goal = goal
        if position is not None:
            progress.first, progress.head, progress.finalized = position.first, position.head, position.finalized
            if progress.highest is not None:
                behind = max(0, progress.highest - position.head)
                self._metrics.behind.labels(progress.chain_id).set(behind)
        rates = [endpoint.budget.rate for endpoint in self._pool.endpoints]
        progress.calls_per_s = sum(rate.reached(self._runtime.monotonic()) for rate in rates)
        limits = [rate.calls_per_s for rate in rates]
        progress.calls_per_s_max = None if None in limits else sum(limit for limit in limits if limit is not None)
        self._on_progress(progress)
