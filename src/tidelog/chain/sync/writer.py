"""The one writer of a chain: it holds the checkpoint, commits every move, and remembers which blocks are unfinalized.

What is in memory changes only after a commit has succeeded, so that it never says more than the store.
"""

from collections.abc import Callable, Collection, Sequence
from functools import partial

from msgspec.structs import replace

from tidelog.batch import Checkpoint, Drop, Rollback, Row, Rows, Table
from tidelog.chain.blocks import BlockRef, Header
from tidelog.chain.contracts.births import Births
from tidelog.chain.contracts.contract import ASKED, CONTRACTS, PROVEN, Registered, registered_row
from tidelog.chain.contracts.kinship import ancestors
from tidelog.chain.forks import checkpoint as transitions
from tidelog.chain.forks.checkpoint import Transition
from tidelog.chain.forks.choice import is_linked
from tidelog.chain.forks.position import Counts, Position, counts, counts_of, decode_position, source_of
from tidelog.chain.projections import REWIND, Projection
from tidelog.chain.proof.outcome import NOT_APPLICABLE, Proof, parse_proof, with_parent
from tidelog.chain.reading.blocks import read_block, read_blocks, refs_between
from tidelog.chain.reading.contracts import stored_births, stored_contracts, stored_coverage
from tidelog.chain.rows.layout import BlockRows, with_proof
from tidelog.chain.rows.tables import BLOCKS, LOGS, MERKLE_PROOFS, TRANSACTIONS
from tidelog.chain.select.coverage import Coverage, Span, changed, clipped, joined
from tidelog.chain.select.faults import LOG_FAULTS, faults_between
from tidelog.chain.select.holdings import Holdings
from tidelog.chain.sync.commits import WRITER_LIMITS, Commits, WriterLimits
from tidelog.chain.sync.staging import StagingBuffer
from tidelog.errors import ConfigError, Corruption
from tidelog.runtime import Runtime
from tidelog.store import Store
from tidelog.telemetry import ChainMetrics, logger

_log = logger("ledger")


class ChainWriter:
    """A chain in the store, as its only writer."""

    def __init__(
        self,
        store: Store,
        runtime: Runtime,
        metrics: ChainMetrics,
        chain_id: int,
        checkpoint: Checkpoint,
        projections: Sequence[Projection] = (),
        limits: WriterLimits = WRITER_LIMITS,
        contracts: Sequence[Registered] = (),
        coverage: Coverage | None = None,
        births: Births | None = None,
    ) -> None:
        self._limits = limits
        self.holdings = Holdings(contracts, coverage or {}, Births() if births is None else births)
        self.chain_id = chain_id
        self._store = store
        self._runtime = runtime
        self.commits = Commits(store, runtime, chain_id, limits)
        self._metrics = metrics
        self._checkpoint = checkpoint
        self._given = tuple(projections)
        self._with_first: tuple[tuple[Rows, ...], tuple[Table, ...]] = ((), ())  # what goes with the first blocks
        self._then: Callable[[], None] | None = None  # to be called when that is committed
        self.resets = 0  # how often blocks below the first one brought children, so that others are filled in again
        self.begin_asked_from: int | None = None  # with the first blocks: from where on what is below them is asked for
        self._position = decode_position(checkpoint)
        self._refs: list[BlockRef] = []  # from the finalized block (or the first, or `held_max` below) to the head

    @classmethod
    async def open(
        cls,
        store: Store,
        runtime: Runtime,
        metrics: ChainMetrics,
        chain_id: int,
        projections: Sequence[Projection] = (),
        limits: WriterLimits = WRITER_LIMITS,
    ) -> "ChainWriter":
        """Become the writer of the chain; any earlier one is fenced.

        Args:
            projections: what derives further rows of every block that is committed, beside the chain's own.

        Raises:
            Corruption: the checkpoint and the blocks do not fit together.
        """
        writer = await cls.acquire(store, runtime, metrics, chain_id, projections, limits)
        await writer._load()
        return writer

    @classmethod
    async def acquire(
        cls,
        store: Store,
        runtime: Runtime,
        metrics: ChainMetrics,
        chain_id: int,
        projections: Sequence[Projection] = (),
        limits: WriterLimits = WRITER_LIMITS,
    ) -> "ChainWriter":
        """The same without a look at the blocks: for `repair`, where one of them is known to be damaged."""
        metrics.reorgs.labels(chain_id)  # there from the start, so that a first one shows
        metrics.reorg_depth.labels(chain_id)
        checkpoint = await store.acquire(source_of(chain_id))
        async with store.snapshot() as snapshot:
            contracts = await stored_contracts(snapshot, chain_id)
            coverage = await stored_coverage(snapshot, chain_id)
            births = await stored_births(snapshot, chain_id, contracts)
        return cls(store, runtime, metrics, chain_id, checkpoint, projections, limits, contracts, coverage, births)

    async def _load(self) -> None:
        position = self._position
        if position is None:
            return
        low = max(position.first, position.head - self._limits.held_max + 1)
        if position.finalized is not None:
            low = max(low, position.finalized)
        async with self._store.snapshot() as snapshot:
            self._refs = await refs_between(snapshot, self.chain_id, low, position.head)
        ends = [(ref.number, ref.hash) for ref in self._refs[-1:]]
        whole = len(self._refs) == position.head - low + 1 and is_linked(self._refs)
        if not whole or ends != [(position.head, position.head_ref_hash)]:
            raise Corruption(
                f"chain {self.chain_id}: the checkpoint says head {position.head}, and the blocks below it do not "
                "lead there: run `tidelog chain verify`"
            )
        self._tell()
        if counts(position) is None:  # an older tidelog did not count: this once, all blocks are read
            counted = await self._counted(position.first, position.head)
            _log.info("counted", chain=self.chain_id, **counted._asdict())
            await self._commit(transitions.recount(self._checkpoint, counted))

    async def _counted(self, low: int, high: int) -> Counts:
        """How many rows the stored blocks `low` to `high` have."""

        async def count() -> Counts:
            found = Counts()
            async with self._store.snapshot() as snapshot:
                async for rows in snapshot.scan(BLOCKS, scope=self.chain_id, low=low, high=high):
                    found = found.plus(counts_of(rows))
            return found

        return await self.commits.patiently(count)

    # -- what is stored -------------------------------------------------------------------------------------

    @property
    def position(self) -> Position | None:
        """None until the first commit."""
        return self._position

    @property
    def head(self) -> BlockRef | None:
        """The last block that is committed; None while there is none."""
        return self._refs[-1] if self._refs else None

    @property
    def window(self) -> tuple[Sequence[BlockRef], bool]:
        """The references that a reorg may touch, and whether the lowest is final: see `forks.choice.choose_fork`."""
        position = self._required()
        if position.finalized is None and self._refs[0].number == position.first and position.first > 0:
            return [position.base, *self._refs], False
        return self._refs, True

    @property
    def writer_number(self) -> int:
        """The number that this writer drew when it opened."""
        return self._checkpoint.writer

    @property
    def _projections(self) -> Sequence[Projection]:
        events = self.holdings.events
        return self._given if events is None else (*self._given, events)

    @property
    def selects(self) -> bool:
        """Whether of each block only a selection is held; while there are none, whether the contracts want that."""
        if self._position is not None:
            return self._position.selection
        return self.holdings.wants_selection

    def ref(self, number: int) -> BlockRef | None:
        """The stored reference of that number, if it is in the window."""
        if not self._refs:
            return None
        index = number - self._refs[0].number
        return self._refs[index] if 0 <= index < len(self._refs) else None

    async def stored_ref(self, number: int) -> BlockRef | None:
        """The reference of a stored block, wherever in the range: finality may lag behind the window."""
        ref, position = self.ref(number), self._position
        if ref is not None or position is None or not position.first <= number < self._refs[0].number:
            return ref

        async def read() -> BlockRef | None:
            async with self._store.snapshot() as snapshot:
                return next(iter(await refs_between(snapshot, self.chain_id, number, number)), None)

        return await self.commits.patiently(read)

    async def holds(self, header: Header) -> bool:
        """Whether a header is that of a stored block, wherever in the range."""
        ref = await self.stored_ref(header.number)
        return ref is not None and ref.hash == header.hash

    def _required(self) -> Position:
        if self._position is None:
            raise AssertionError("nothing is stored yet")
        return self._position

    # -- moves ----------------------------------------------------------------------------------------------

    async def append(self, blocks: Sequence[BlockRows], *, chain: Rows | None = None) -> None:
        """Commit blocks that link to the head; `chain` goes with the first ones."""
        refs = [block.ref for block in blocks]
        if not is_linked([*self._refs[-1:], *refs]):
            raise AssertionError("blocks that do not link reached a commit")
        move = transitions.append(
            self.chain_id,
            self._checkpoint,
            blocks,
            chain=chain,
            selection=self.selects,
            asked_from=self.begin_asked_from,
            projections=self._projections,
        )
        await self._commit_covering(self._begun(move), self._covered(refs))
        self._with_first, then, self._then = ((), ()), self._then, None
        if then is not None:
            then()
        self._hold([*self._refs, *refs])
        self._metrics.blocks.labels(self.chain_id).inc(len(blocks))

    async def replace(
        self, keep: BlockRef | None, refs: Sequence[BlockRef], staged: StagingBuffer, *, reason: str
    ) -> None:
        """Drop what is above `keep` and commit the branch in the staging buffer, all at once."""
        dropped = [ref for ref in self._refs if keep is None or ref.number > keep.number]
        kept = self._refs[: len(self._refs) - len(dropped)]
        if not is_linked([*kept[-1:], *refs]):
            raise AssertionError("a branch that does not link reached a commit")
        old_head = self._required().head
        gone = await self._counted(old_head - len(dropped) + 1, old_head)
        move = transitions.replace(
            self.chain_id,
            self._checkpoint,
            keep=keep,
            dropped=dropped,
            refs=refs,
            rows=staged.rows(),
            reason=reason,
            at_ms=int(self._runtime.now() * 1000),
            gone=gone,
            blocks=staged,
            projections=self._projections,
        )
        below = self.holdings.coverage
        if self.selects:
            last = move.position.head - len(refs)
            below = {name: clipped(spans, last) for name, spans in self.holdings.coverage.items()}
        await self._commit_covering(move, self._covered(refs, below))
        self._hold([*kept, *refs])
        if reason != REWIND:
            self._metrics.reorgs.labels(self.chain_id).inc()
            self._metrics.reorg_depth.labels(self.chain_id).observe(len(dropped))
        _log.warning(
            "reorg" if reason != REWIND else "rewind",
            chain=self.chain_id,
            depth=len(dropped),
            fork=move.position.head - len(refs),
            old_head=old_head,
            new_head=move.position.head,
            reason=reason,
        )

    async def prepend(self, blocks: Sequence[BlockRows], *, between: bool = True) -> bool:
        """Commit blocks below the first one, which they lead up to.

        Args:
            between: no blocks are on their way that come above, and were selected by the children that are known.

        Returns:
            False: these name other children, and have to wait until there are none.
        """
        position = self._required()
        async with self._store.snapshot() as snapshot:
            first = await read_block(snapshot, self.chain_id, position.first)
        refs = [block.ref for block in blocks]
        if first is None or not is_linked([*refs, first.ref]):
            raise AssertionError("blocks that do not link reached a commit")
        proven = with_proof(first, with_parent(parse_proof(first.proof_text)))
        lowest = blocks[0]  # until blocks below it come, nothing is there to compare its parent with
        begins = Proof({**parse_proof(lowest.proof_text).results, "parent": NOT_APPLICABLE})
        lower = [replace(lowest, block=with_proof(lowest, begins)), *blocks[1:]]
        asked: list[BlockRows] = []
        if position.asked_from is not None:
            async with self._store.snapshot() as snapshot:
                asked = await read_blocks(snapshot, self.chain_id, refs[0].number, position.first - 1)
        faults = faults_between(self.chain_id, asked, blocks, self.holdings.selection, self.holdings.coverage)
        move = transitions.prepend(
            self.chain_id,
            self._checkpoint,
            lower,
            proven,
            gone=counts_of([block.block for block in asked]),
            put=(Rows(LOG_FAULTS, faults),) if faults else (),
            projections=self._projections,
        )
        named, gone = self.holdings.family(move.batch, refs[0].number, position.first - 1)
        if (named or gone) and self.selects and not between:
            return False
        again = partial(self.holdings.again, named=named, gone=gone, above=position.head + 1, selects=self.selects)
        await self._commit_again(move, self._covered(refs), {*named, *gone}, again, low=refs[0].number)
        self._metrics.blocks.labels(self.chain_id).inc(len(blocks))
        for fault in faults:
            _log.warning("log_fault", **dict(zip(LOG_FAULTS.names, fault, strict=True)))
        return True

    async def _commit_again(
        self,
        move: Transition,
        coverage: Coverage,
        reset: Collection[str],
        again: Callable[[Registered], Registered],
        *,
        low: int = 0,
    ) -> None:
        """Commit a move, and with it that these contracts, and what they create, are looked for anew.

        Args:
            low: where children are added and none goes, from this block on: below it none of them has logged.
        """
        if not reset:
            await self._commit_covering(move, coverage)
            return
        contracts = tuple([again(each) for each in self.holdings.contracts])
        changed = [each for each, before in zip(contracts, self.holdings.contracts, strict=True) if each != before]
        rows = [registered_row(self.chain_id, each) for each in changed]
        move = transitions.covering(move, put=(Rows(CONTRACTS, rows),) if rows else (), drop=())
        named = {each.contract.name for each in contracts if each.is_named}
        left = {
            name: spans if not self.holdings.descends(name, reset) else clipped(spans, low - 1) if name in named else ()
            for name, spans in coverage.items()
        }
        coverage = {name: spans for name, spans in left.items() if spans}
        await self._commit_covering(move, coverage)
        self.resets += 1
        self.holdings.keep(contracts)

    def _begun(self, move: Transition) -> Transition:
        """The move, with the tables that wait for the first blocks."""
        put, create = self._with_first
        return transitions.with_first_blocks(move, put=put, create=create) if put else move

    async def keep_contracts(
        self,
        contracts: Sequence[Registered],
        *,
        add: Sequence[Rows] = (),
        rollback: Rollback | None = None,
        create: Sequence[Table] = (),
        discard: Sequence[Table] = (),
        again: Collection[str] = (),
        then: Callable[[], None] | None = None,
    ) -> None:
        """Commit which contracts there are from now on, with rows and tables of theirs.

        Where no blocks are held yet, it is committed with the first ones.

        Args:
            again: those whose proven blocks are filled in once more.
            then: called once it is committed.

        Raises:
            Blocked: objects that others made need a table of `discard`.
        """
        before = self.holdings.contracts
        changed = [each for each in contracts if each not in before]
        names = {each.contract.name for each in contracts}
        put = (Rows(CONTRACTS, [registered_row(self.chain_id, each) for each in changed]),) if changed else ()
        gone = [each.contract.name for each in before if each.contract.name not in names]
        drop = tuple([Drop(CONTRACTS, self.chain_id, (("name", name),), self.chain_id) for name in gone])
        there = {each.contract.name for each in before}  # one that is new has no rows, whatever is said of it
        staying = {each.contract.name for each in contracts if not each.leaving}.intersection(there)
        coverage = {name: spans for name, spans in self.holdings.coverage.items() if name in staying}
        for name in again:
            coverage[name] = tuple([span for span in coverage.get(name, ()) if span.evidence != PROVEN])
        if self._position is None:
            self._with_first, self._then = (put, tuple(create)), then
        else:
            move = transitions.aside(
                self._checkpoint,
                add=tuple(add),
                put=put,
                rollback=rollback,
                drop=drop,
                create=tuple(create),
                discard=tuple(discard),
            )
            await self._commit_covering(move, coverage)
            if then is not None:
                then()
        for name in there - staying:
            self.holdings.births.forget(name)
        self.holdings.keep(contracts)

    async def fill(
        self,
        contract: str,
        span: range,
        *,
        blocks: Sequence[Row],
        add: Sequence[Rows],
        proofs: Sequence[Row],
        rollback: Rollback,
    ) -> None:
        """Commit what a contract logged in stored blocks of a selection, and that they are covered.

        Args:
            contract: its name.
            span: the blocks, ascending.
            blocks: those rows of them that say other counts now.
            add: the rows of logs and transactions that were not there, and of the contract's tables.
            proofs: Merkle proofs, which may be there.
            rollback: what its tables have of these blocks.
        """
        put = tuple([Rows(table, rows) for table, rows in ((BLOCKS, blocks), (MERKLE_PROOFS, proofs)) if rows])
        move = transitions.reselect(self._checkpoint, add=tuple(add), put=put, rollback=rollback)
        spans = joined(self.holdings.coverage.get(contract, ()), Span(span[0], span[-1], PROVEN))
        await self._commit_covering(move, {**self.holdings.coverage, contract: spans})

    async def ask_from(self, number: int) -> None:
        """Commit that from this block on it is asked what contracts logged below the blocks that are held.

        Of those that others create it is asked once what creates them was.
        """
        above = self._required().head + 1
        contracts = [each.contract for each in self.holdings.contracts if not each.leaving]
        found = {each.name for each in contracts if any(one.evidence == ASKED for one in ancestors(each, contracts))}
        await self._commit_again(
            transitions.ask_from(self._checkpoint, number),
            self.holdings.coverage,
            found,
            lambda each: replace(each, named_from=above) if each.contract.name in found else each,
        )

    async def put_asked(
        self,
        contracts: Sequence[str],
        span: range,
        *,
        endpoint: str | None,
        blocks: Sequence[Row],
        add: Sequence[Rows],
        rollback: Rollback,
    ) -> None:
        """Commit what an endpoint says that contracts logged in blocks below the first one, and that they are covered.

        Args:
            contracts: their names.
            span: the blocks, ascending.
            endpoint: who says so; None where that follows from what is proven.
            blocks: the rows of those in which something was logged.
            add: as for `fill`, and the next one.
        """
        put = (Rows(BLOCKS, blocks),) if blocks else ()
        move = transitions.reselect(self._checkpoint, add=tuple(add), put=put, rollback=rollback)
        new = Span(span[0], span[-1], ASKED, endpoint)
        covered = {name: joined(self.holdings.coverage.get(name, ()), new) for name in contracts}
        await self._commit_covering(move, {**self.holdings.coverage, **covered})

    async def leave_out(
        self, span: range, *, blocks: Sequence[Row], left: Sequence[Rows], dropped: Counts, empty: Sequence[int] = ()
    ) -> None:
        """Commit that of some blocks only these logs and transactions are left.

        Args:
            span: the blocks, ascending.
            blocks: those rows of them that say other counts now.
            dropped: how many logs and transactions they had.
            empty: of what was asked, blocks of which nothing is left.
        """
        rollback = Rollback((MERKLE_PROOFS, LOGS, TRANSACTIONS), self.chain_id, span[0] - 1, span[-1])
        put = (Rows(BLOCKS, blocks),) if blocks else ()
        drop = tuple([Drop(BLOCKS, self.chain_id, (("number", number),), number) for number in empty])
        move = transitions.reselect(
            self._checkpoint, add=tuple(left), put=put, rollback=rollback, dropped=dropped, drop=drop
        )
        await self._commit(move)

    async def finalize(self, ref: BlockRef) -> None:
        """Raise finality to a stored block."""
        await self._commit(transitions.finalize(self._checkpoint, ref.number, ref.hash))
        self._hold(self._refs)

    async def describe(self, chain: Rows) -> None:
        """Put another row for the chain in place of the stored one."""
        await self._commit(transitions.describe(self._checkpoint, chain))

    async def rewind(self, to: int, *, below_finalized: bool) -> int:
        """Drop the blocks above `to`; how many. ConfigError where that is not in the range, or final."""
        position = self._position
        if position is None or not position.first <= to <= position.head:
            stored = "no blocks" if position is None else f"blocks {position.first} to {position.head}"
            raise ConfigError(f"--to {to} is not in the store, which holds {stored} of chain {self.chain_id}")
        if position.finalized is not None and to < position.finalized and not below_finalized:
            raise ConfigError(f"--to {to} drops final blocks (up to {position.finalized}): say --below-finalized too")
        if to == position.head:
            return 0
        async with self._store.snapshot() as snapshot:
            self._refs = await refs_between(snapshot, self.chain_id, to, position.head)
        with StagingBuffer() as empty:
            await self.replace(self._refs[0], (), empty, reason=REWIND)
        return position.head - to

    async def repair(self, block: BlockRows) -> None:
        """Put one block's rows in the place of the stored ones."""
        async with self._store.snapshot() as snapshot:
            stored = await read_block(snapshot, self.chain_id, block.number)
        sound = stored is not None and stored.digest() == stored.stored_digest
        gone = counts_of([stored.block]) if stored is not None and sound else None
        await self._commit(
            transitions.repair(self.chain_id, self._checkpoint, block, gone, projections=self._projections)
        )

    def _covered(self, refs: Sequence[BlockRef], below: Coverage | None = None) -> Coverage:
        """The coverage once these blocks are stored too, of a selection."""
        found = self.holdings.coverage if below is None else below
        return self.holdings.covering(refs, found) if self.selects else found

    async def _commit_covering(self, move: Transition, coverage: Coverage) -> None:
        """Commit a move, and with it the coverage that it leads to."""
        change = changed(self.chain_id, self.holdings.coverage, coverage)
        await self._commit(transitions.covering(move, put=change.put, drop=change.drop) if self.selects else move)
        self.holdings.coverage = coverage

    def _hold(self, refs: list[BlockRef]) -> None:
        position = self._required()
        lowest = max(refs[-1].number - self._limits.held_max + 1, position.finalized or 0) if refs else 0
        self._refs = [ref for ref in refs if ref.number >= lowest] if refs[0].number < lowest else refs
        self._tell()

    def _tell(self) -> None:
        position = self._required()
        self._metrics.indexed.labels(self.chain_id).set(position.head)
        if position.finalized is not None:
            self._metrics.finalized.labels(self.chain_id).set(position.finalized)

    async def _commit(self, move: Transition) -> None:
        def committed(seconds: float) -> None:
            self._checkpoint, self._position = move.batch.after, move.position
            self.holdings.remember(move.batch)
            self._metrics.commit_seconds.labels(self.chain_id).observe(seconds)
            for rows in (*move.batch.add, *move.batch.put):
                self._metrics.rows.labels(self.chain_id, rows.table.name).inc(len(rows.rows))

        await self.commits.commit(move.batch, committed)
