"""The one writer of a chain: it holds the checkpoint, commits every move, and remembers the unfinalized links.

What is held in memory changes only after a commit has succeeded, so that it never says more than the store.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from msgspec.structs import replace

from tidelog.backoff import delays
from tidelog.batch import BLOCKS, LOGS, TRANSACTIONS, UNCLES, WITHDRAWALS, Checkpoint, Row, Rows, Value
from tidelog.chain import position as moves
from tidelog.chain.blocks import Header
from tidelog.chain.lineage import Link, is_linked
from tidelog.chain.position import Counts, Move, Position, counts, counts_of, decode_position, source_of
from tidelog.chain.proof import NOT_APPLICABLE, Proof, parse_proof, with_parent
from tidelog.chain.rows import BlockRows, with_proof
from tidelog.chain.spool import Spool
from tidelog.chain.trouble import Trouble
from tidelog.errors import Busy, ConfigError, Corruption
from tidelog.runtime import Runtime
from tidelog.store import Snapshot, Store
from tidelog.telemetry import ChainMetrics, logger

HELD_MAX = 16_384  # unfinalized links kept: beyond the deepest reorg on record (Ethereum Classic, 2020: 7,000)
COMMIT_END_S = 30.0  # that a commit under way may still take when its caller is to end
COMMIT_LOOK_S = 0.25  # between looks whether it has to be given up
STORE_PATIENCE_S = 600.0  # how long a database may be away before the process gives up and says so

T = TypeVar("T")

_log = logger("ledger")


class Ledger:
    """A chain in the store, as its only writer."""

    def __init__(
        self, store: Store, runtime: Runtime, metrics: ChainMetrics, chain_id: int, checkpoint: Checkpoint
    ) -> None:
        self.chain_id = chain_id
        self._store = store
        self._runtime = runtime
        self._metrics = metrics
        self._checkpoint = checkpoint
        self._position = decode_position(checkpoint)
        self._trouble = Trouble(runtime)  # with the store
        self._committing_since: float | None = None  # by the monotonic clock
        self._links: list[Link] = []  # from the finalized block (or the first, or HELD_MAX below) to the head

    @classmethod
    async def open(cls, store: Store, runtime: Runtime, metrics: ChainMetrics, chain_id: int) -> "Ledger":
        """Become the writer of the chain; any earlier one is fenced.

        Raises:
            Corruption: the checkpoint and the blocks do not fit together.
        """
        ledger = await cls.acquire(store, runtime, metrics, chain_id)
        await ledger._load()
        return ledger

    @classmethod
    async def acquire(cls, store: Store, runtime: Runtime, metrics: ChainMetrics, chain_id: int) -> "Ledger":
        """The same without a look at the blocks: for `repair`, where one of them is known to be damaged."""
        metrics.reorgs.labels(chain_id)  # there from the start, so that a first one shows
        metrics.reorg_depth.labels(chain_id)
        return cls(store, runtime, metrics, chain_id, await store.acquire(source_of(chain_id)))

    async def _load(self) -> None:
        position = self._position
        if position is None:
            return
        low = max(position.first, position.head - HELD_MAX + 1)
        if position.finalized is not None:
            low = max(low, position.finalized)
        async with self._store.snapshot() as snapshot:
            self._links = await links_between(snapshot, self.chain_id, low, position.head)
        ends = [(link.number, link.hash) for link in self._links[-1:]]
        whole = len(self._links) == position.head - low + 1 and is_linked(self._links)
        if not whole or ends != [(position.head, position.head_link_hash)]:
            raise Corruption(
                f"chain {self.chain_id}: the checkpoint says head {position.head}, and the blocks below it do not "
                "lead there: run `tidelog chain verify`"
            )
        self._tell()
        if counts(position) is None:  # an older tidelog did not count: this once, all blocks are read
            held = await self._counted(position.first, position.head)
            _log.info("counted", chain=self.chain_id, **held._asdict())
            await self._commit(moves.recount(self._checkpoint, held))

    async def _counted(self, low: int, high: int) -> Counts:
        """How many rows the stored blocks `low` to `high` have."""

        async def count() -> Counts:
            found = Counts()
            async with self._store.snapshot() as snapshot:
                async for rows in snapshot.scan(BLOCKS, scope=self.chain_id, low=low, high=high):
                    found = found.plus(counts_of(rows))
            return found

        return await self._patiently(count)

    # -- what is held ---------------------------------------------------------------------------------------

    @property
    def position(self) -> Position | None:
        """None until the first commit."""
        return self._position

    @property
    def head(self) -> Link | None:
        return self._links[-1] if self._links else None

    @property
    def window(self) -> tuple[Sequence[Link], bool]:
        """The links that a reorg may touch, and whether the lowest is final: see `lineage.decide`."""
        position = self._required()
        if position.finalized is None and self._links[0].number == position.first and position.first > 0:
            return [position.base, *self._links], False
        return self._links, True

    @property
    def committing_s(self) -> float:
        """How long the commit that is under way has taken so far; 0 when there is none."""
        since = self._committing_since
        return 0.0 if since is None else self._runtime.monotonic() - since

    @property
    def store_trouble(self) -> str | None:
        """Why the store does not take what is being committed, in its words; None if it does."""
        return self._trouble.now or getattr(self._store, "trouble", None)

    @property
    def lasting_trouble(self) -> str | None:
        """The same once it lasts for some seconds."""
        return self._trouble.cause

    def link(self, number: int) -> Link | None:
        """The held link of that number, if it is in the window."""
        if not self._links:
            return None
        index = number - self._links[0].number
        return self._links[index] if 0 <= index < len(self._links) else None

    async def holds(self, header: Header) -> bool:
        """Whether a header is that of a stored block, wherever in the range."""
        link = self.link(header.number)
        if link is None and self._position is not None and header.number < self._links[0].number:
            async with self._store.snapshot() as snapshot:
                link = next(iter(await links_between(snapshot, self.chain_id, header.number, header.number)), None)
        return link is not None and link.hash == header.hash

    def _required(self) -> Position:
        if self._position is None:
            raise AssertionError("nothing is held yet")
        return self._position

    # -- moves ----------------------------------------------------------------------------------------------

    async def append(self, blocks: Sequence[BlockRows], *, chain: Rows | None = None) -> None:
        """Commit blocks that link to the head; `chain` goes with the first ones."""
        links = [block.link for block in blocks]
        if not is_linked([*self._links[-1:], *links]):
            raise AssertionError("blocks that do not link reached a commit")
        await self._commit(moves.append(self.chain_id, self._checkpoint, blocks, chain=chain))
        self._hold([*self._links, *links])
        self._metrics.blocks.labels(self.chain_id).inc(len(blocks))

    async def replace(self, keep: Link | None, links: Sequence[Link], spool: Spool, *, reason: str) -> None:
        """Drop what is above `keep` and commit the branch in the spool, all at once."""
        dropped = [link for link in self._links if keep is None or link.number > keep.number]
        kept = self._links[: len(self._links) - len(dropped)]
        if not is_linked([*kept[-1:], *links]):
            raise AssertionError("a branch that does not link reached a commit")
        old_head = self._required().head
        gone = await self._counted(old_head - len(dropped) + 1, old_head)
        move = moves.replace(
            self.chain_id,
            self._checkpoint,
            keep=keep,
            dropped=dropped,
            links=links,
            rows=spool.rows(),
            reason=reason,
            at_ms=int(self._runtime.now() * 1000),
            gone=gone,
        )
        await self._commit(move)
        self._hold([*kept, *links])
        if reason != moves.REWIND:
            self._metrics.reorgs.labels(self.chain_id).inc()
            self._metrics.reorg_depth.labels(self.chain_id).observe(len(dropped))
        _log.warning(
            "reorg" if reason != moves.REWIND else "rewind",
            chain=self.chain_id,
            depth=len(dropped),
            fork=move.position.head - len(links),
            old_head=old_head,
            new_head=move.position.head,
            reason=reason,
        )

    async def prepend(self, blocks: Sequence[BlockRows]) -> None:
        """Commit blocks below the first one, which they lead up to."""
        position = self._required()
        async with self._store.snapshot() as snapshot:
            first = await read_block(snapshot, self.chain_id, position.first)
        links = [block.link for block in blocks]
        if first is None or not is_linked([*links, first.link]):
            raise AssertionError("blocks that do not link reached a commit")
        proven = with_proof(first, with_parent(parse_proof(first.proof_text)))
        lowest = blocks[0]  # until blocks below it come, nothing is there to compare its parent with
        begins = Proof({**parse_proof(lowest.proof_text).results, "parent": NOT_APPLICABLE})
        lowest = replace(lowest, block=with_proof(lowest, begins))
        await self._commit(moves.prepend(self.chain_id, self._checkpoint, [lowest, *blocks[1:]], proven))
        self._metrics.blocks.labels(self.chain_id).inc(len(blocks))

    async def finalize(self, link: Link) -> None:
        """Raise finality to a held block."""
        await self._commit(moves.finalize(self._checkpoint, link.number, link.hash))
        self._hold(self._links)

    async def describe(self, chain: Rows) -> None:
        """Put another row for the chain in place of the stored one."""
        await self._commit(moves.describe(self._checkpoint, chain))

    async def rewind(self, to: int, *, below_finalized: bool) -> int:
        """Drop the blocks above `to`; how many. ConfigError where that is not in the range, or final."""
        position = self._position
        if position is None or not position.first <= to <= position.head:
            held = "no blocks" if position is None else f"blocks {position.first} to {position.head}"
            raise ConfigError(f"--to {to} is not in the store, which holds {held} of chain {self.chain_id}")
        if position.finalized is not None and to < position.finalized and not below_finalized:
            raise ConfigError(f"--to {to} drops final blocks (up to {position.finalized}): say --below-finalized too")
        if to == position.head:
            return 0
        async with self._store.snapshot() as snapshot:
            self._links = await links_between(snapshot, self.chain_id, to, position.head)
        with Spool() as empty:
            await self.replace(self._links[0], (), empty, reason=moves.REWIND)
        return position.head - to

    async def repair(self, block: BlockRows) -> None:
        """Put one block's rows in the place of the stored ones."""
        async with self._store.snapshot() as snapshot:
            stored = await read_block(snapshot, self.chain_id, block.number)
        sound = stored is not None and stored.digest() == stored.stored_digest
        gone = counts_of([stored.block]) if stored is not None and sound else None
        await self._commit(moves.repair(self.chain_id, self._checkpoint, block, gone))

    def _hold(self, links: list[Link]) -> None:
        position = self._required()
        lowest = max(links[-1].number - HELD_MAX + 1, position.finalized or 0) if links else 0
        self._links = [link for link in links if link.number >= lowest] if links[0].number < lowest else links
        self._tell()

    def _tell(self) -> None:
        position = self._required()
        self._metrics.indexed.labels(self.chain_id).set(position.head)
        if position.finalized is not None:
            self._metrics.finalized.labels(self.chain_id).set(position.finalized)

    async def _commit(self, move: Move) -> None:
        """Commit; a caller that is cancelled meanwhile goes only when that has come to its end.

        A commit that waits for a database that is away is no such end: it is given up at once, and so is one that takes
        longer than COMMIT_END_S. Whether it was taken, the next start finds out.
        """
        committing = asyncio.ensure_future(self._commit_patiently(move))
        try:
            await asyncio.shield(committing)
        except asyncio.CancelledError:
            loop = asyncio.get_running_loop()
            ends_at = loop.time() + COMMIT_END_S
            while not committing.done():
                if self.store_trouble is not None or loop.time() >= ends_at:
                    committing.cancel()
                await asyncio.wait({committing}, timeout=COMMIT_LOOK_S)
            await asyncio.gather(committing, return_exceptions=True)
            raise

    async def _commit_patiently(self, move: Move) -> None:
        """Commit, and wait for a database that is busy or away."""
        started = self._committing_since = self._runtime.monotonic()
        self._runtime.reached("ledger.before_commit")
        await self._patiently(lambda: self._store.commit(move.batch))
        self._runtime.reached("ledger.after_commit")
        self._committing_since = None
        self._checkpoint, self._position = move.batch.after, move.position
        self._metrics.commit_seconds.labels(self.chain_id).observe(self._runtime.monotonic() - started)
        for rows in (*move.batch.add, *move.batch.put):
            self._metrics.rows.labels(self.chain_id, rows.table.name).inc(len(rows.rows))

    async def _patiently(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Try until the database is there, and not busy."""
        started = self._runtime.monotonic()
        pauses = delays(self._runtime.random("ledger"), max_s=10.0)
        while True:
            try:
                result = await attempt()
            except Busy as error:
                self._trouble.note(str(error))
                if self._runtime.monotonic() - started > STORE_PATIENCE_S:
                    raise
                _log.warning("store_busy", chain=self.chain_id, error=str(error))
            else:
                self._trouble.clear()
                return result
            await self._runtime.sleep(next(pauses))


_LINK_COLUMNS = tuple(BLOCKS.index(name) for name in ("number", "hash", "parent_hash"))


async def links_between(snapshot: Snapshot, chain_id: int, low: int, high: int) -> list[Link]:
    """The links of the stored blocks `low` to `high`, oldest first."""
    number, block_hash, parent = _LINK_COLUMNS
    links: list[Link] = []
    async for rows in snapshot.scan(BLOCKS, scope=chain_id, low=low, high=high):
        links += [Link(row[number], row[block_hash], row[parent]) for row in rows]  # type: ignore[arg-type]
    return links


async def read_blocks(snapshot: Snapshot, chain_id: int, low: int, high: int) -> list[BlockRows]:
    """The stored blocks `low` to `high` with all their rows."""
    blocks = await snapshot.select(BLOCKS, scope=chain_id, low=low, high=high)
    groups: list[dict[Value, list[Row]]] = []
    for table in (TRANSACTIONS, LOGS, WITHDRAWALS, UNCLES):
        height, by_number = table.names.index("block_number"), dict[Value, list[Row]]()
        groups.append(by_number)
        for row in await snapshot.select(table, scope=chain_id, low=low, high=high):
            by_number.setdefault(row[height], []).append(row)
    return [BlockRows(block, *(group.get(block[1], []) for group in groups)) for block in blocks]


async def read_block(snapshot: Snapshot, chain_id: int, number: int) -> BlockRows | None:
    found = await read_blocks(snapshot, chain_id, number, number)
    return found[0] if found else None
