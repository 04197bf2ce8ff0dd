"""Keep a store in step with a chain: history ahead in parallel, the head block by block, reorgs in between.

A run and its start. What it does then is `rounds`: `committer` takes history in, `follower` walks, `writer` commits,
`quorum` asks the endpoints together, `monitoring` reports.
"""

import asyncio
from collections.abc import Callable, Sequence

from tidelog.backoff import delays
from tidelog.chain.blocks import BlockRef
from tidelog.chain.contracts.contract import Contract
from tidelog.chain.projections import Projection
from tidelog.chain.proof.spec import ChainSpec
from tidelog.chain.source.pool import Pool
from tidelog.chain.sync.contracts import ContractKeeper
from tidelog.chain.sync.control import Control
from tidelog.chain.sync.monitoring.health import Facts
from tidelog.chain.sync.monitoring.reporting import Progress
from tidelog.chain.sync.options import SYNC_LIMITS, Options, SyncLimits
from tidelog.chain.sync.rounds import Rounds
from tidelog.chain.sync.rulebook import Rulebook, first_contact, recognised
from tidelog.chain.sync.writer import ChainWriter
from tidelog.errors import ProofFailure, Rejected, SourceError, Unreachable
from tidelog.runtime import Runtime
from tidelog.store import Store
from tidelog.telemetry import ChainMetrics, logger

__all__ = ["SYNC_LIMITS", "Options", "Sync", "SyncLimits"]

_log = logger("sync")


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
        projections: Sequence[Projection] = (),
        contracts: Sequence[Contract] | None = None,
        limits: SyncLimits = SYNC_LIMITS,
    ) -> None:
        """
        Args:
            projections: derive further rows of every block, beside the chain's own.
            contracts: those whose events have tables from now on; None: those that the store says.
        """
        self._limits = limits
        self._store = store
        self._pool = pool
        self._runtime = runtime
        self._metrics = metrics
        self._options = options
        self._on_progress = on_progress
        self._projections = tuple(projections)
        self._contracts = contracts
        self._control = Control(runtime)
        self._rounds: Rounds | None = None  # from when the chain is known and its writer is open

    @property
    def wake(self) -> asyncio.Event:
        """Set it to end a wait between two rounds."""
        return self._control.wake

    def stop(self) -> None:
        """End after the commit that is under way."""
        self._control.stop()

    @property
    def stopping(self) -> bool:
        """Whether it was asked to end."""
        return self._control.stopping

    @property
    def begun(self) -> bool:
        """Whether there is progress to tell of."""
        return self._rounds is not None

    @property
    def head(self) -> BlockRef | None:
        """The last block that is committed; None while there is none."""
        return None if self._rounds is None else self._rounds.writer.head

    @property
    def facts(self) -> Facts:
        """For `health.readiness`, at any time."""
        source = self._control.trouble.cause or self._pool.silence()
        failures = tuple(self._pool.last_failures())
        rounds, store = self._rounds, getattr(self._store, "trouble", None)
        if rounds is None:  # the first contact, or the store's first answer, is awaited
            return Facts(store=store, source=source, failures=failures)
        progress, reported_at = rounds.progress, rounds.head_reported_at
        return Facts(
            progress.chain_id,
            progress.head,
            progress.goal,
            None if reported_at is None else self._runtime.monotonic() - reported_at,
            rounds.writer.commits.under_way_s,
            store or rounds.writer.commits.lasting_trouble,
            source,
            failures,
        )

    @property
    def progress(self) -> Progress:
        """Where the run is, once it has begun."""
        if self._rounds is None:
            raise AssertionError("progress is of a run that has begun")
        return self._rounds.progress

    async def run(self) -> Progress:
        """Sync until the goal is reached, or until stopped when following.

        Raises:
            ConfigError: another chain than the store's, a range that would leave a hole.
            SourceError, ProofFailure: the endpoints do not give what is needed (not when following).
            BelowFinality: the endpoints contradict what is final.
            StoreError, Corruption: the store has failed for good.
        """
        try:
            rounds = self._rounds = await self._start()
            await rounds.check_start()
            await rounds.run()
        finally:
            if self._rounds is not None:
                await self._rounds.beside.close()
                self._rounds.report()
            await self._pool.close()
        return rounds.progress

    # -- the start ------------------------------------------------------------------------------------------

    async def _start(self) -> Rounds:
        """Find out which chain it is and what holds on it, and become its writer."""
        options = self._options
        self._pool.patience_s = options.reorg_patience_s
        chain_id = await self._identify()
        stored = await recognised(self._store, self._pool, chain_id, others_allowed=options.chain_id is not None)
        spec = await self._first_contact(chain_id) if stored is None else stored.spec
        writer = await ChainWriter.open(
            self._store, self._runtime, self._metrics, chain_id, self._projections, self._limits.writer
        )
        rulebook = Rulebook(
            spec, stored, self._store, writer, self._pool, self._runtime, accept=options.accept_unproven
        )
        await rulebook.begin()
        keeper = ContractKeeper(writer, self._store, self._runtime)
        if self._contracts is not None:
            await keeper.begin(self._contracts)
        return Rounds(
            self._store,
            self._pool,
            self._runtime,
            self._metrics,
            options,
            self._limits,
            self._control,
            writer,
            rulebook,
            keeper,
            self._on_progress,
        )

    async def _identify(self) -> int:
        started, pauses = self._runtime.monotonic(), delays(self._runtime.random("contact"), max_s=1.0)
        while (chain_id := await self._pool.identify(self._options.chain_id)) is None:
            cause, waited_s = self._pool.cause(), self._runtime.monotonic() - started
            self._control.trouble.note(str(cause))
            if isinstance(cause, Rejected) and waited_s > self._limits.refused_s:
                raise cause
            if waited_s > self._limits.contact_s:
                raise Unreachable(
                    f"no contact within {self._limits.contact_s:g} s: {cause}: is the URL right, and the node up?"
                )
            await self._runtime.sleep(next(pauses))
        self._control.trouble.clear()
        return chain_id

    async def _first_contact(self, chain_id: int) -> ChainSpec:
        """Find out what holds on the chain; wait for blocks to see it by, for as long as the options say."""
        started, pauses = self._runtime.monotonic(), delays(self._runtime.random("contact"), max_s=30.0)
        while True:
            try:
                return await first_contact(chain_id, self._pool, self._runtime, first=self._options.first or 0)
            except (SourceError, ProofFailure) as error:
                waited_s = self._runtime.monotonic() - started
                if self._control.stopping or (not self._options.follow and waited_s > self._limits.contact_s):
                    raise
                _log.error("sync_failing", error=str(error), kind=type(error).__name__)
            await self._control.wait(next(pauses))
            await self._pool.identify(chain_id)
