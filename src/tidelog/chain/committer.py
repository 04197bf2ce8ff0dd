"""Commit history: whole blocks that are fetched ahead, in order, upwards or downwards."""

from collections.abc import Callable
from contextlib import aclosing

from tidelog.batch import Rows
from tidelog.chain.history import Fetcher
from tidelog.chain.intake import Proven
from tidelog.chain.ledger import Ledger
from tidelog.chain.lineage import Link
from tidelog.chain.reporting import Reporter
from tidelog.chain.votes import Votes
from tidelog.errors import ProofFailure, SourceError, Unreachable
from tidelog.runtime import Runtime

ROWS_PER_COMMIT = 20_000  # about a hundred milliseconds of database, and some 10 MB
BYTES_PER_COMMIT = 8 * 1024 * 1024  # of the answers: one huge block goes alone
BLOCKS_PER_COMMIT = 5_000
COMMIT_INTERVAL_S = 1.0  # how long proven blocks may wait for company


class Unlinked(Exception):
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


class Committer:
    """Takes what a fetcher gives into a ledger.

    Args:
        chain: the chain's own row, which goes with the first blocks.
        on_commit: called after each commit.
        stopping: whether to end after the commit that is under way.
    """

    def __init__(
        self,
        ledger: Ledger,
        fetcher: Fetcher,
        votes: Votes,
        reporter: Reporter,
        runtime: Runtime,
        *,
        chain: Callable[[], Rows],
        on_commit: Callable[[], None],
        stopping: Callable[[], bool],
    ) -> None:
        self._ledger = ledger
        self._fetcher = fetcher
        self._votes = votes
        self._reporter = reporter
        self._runtime = runtime
        self._chain_row = chain
        self._committed = on_commit
        self._stopping = stopping

    async def forward(self, first: int, last: int, *, begins: bool = False) -> None:
        """Fetch blocks `first` to `last` ahead, and commit them in order in batches of whole blocks.

        A failure comes after what is before it.

        Args:
            begins: nothing is stored below `first`.

        Raises:
            Unlinked: a block does not lead to the one below it; what comes before it is committed.
        """
        await self._votes.choose_branch(last)
        held = self._ledger.head
        tip = held.hash if held is not None else None
        batch = _Batch()
        committed_at = settled_at = self._runtime.monotonic()
        try:
            async with aclosing(self._fetcher.ahead(first, last, range_first=first if begins else None)) as lists:
                async for blocks in lists:
                    for block in blocks:
                        if tip is not None and block.link.parent_hash != tip:
                            raise Unlinked(block.link.number)
                        tip = block.link.hash
                        batch.add(block)
                        if batch.full:
                            await self.append(batch.taken())
                            committed_at = self._runtime.monotonic()
                            if self._stopping():
                                return
                    now = self._runtime.monotonic()
                    if self._stopping() or now - committed_at >= COMMIT_INTERVAL_S:
                        await self.append(batch.taken())
                        committed_at = now
                    if self._stopping():
                        return
                    if now - settled_at >= 10 * COMMIT_INTERVAL_S:
                        view = await self._votes.look()
                        self._reporter.observe(view)
                        await self._votes.settle_finality(view)
                        settled_at = now
        except (SourceError, ProofFailure, Unlinked):
            await self.append(batch.taken())
            raise
        await self.append(batch.taken())

    async def downwards(self, first: int) -> None:
        """Extend the range down to block `first`, linked to what is stored.

        Raises:
            Unreachable: the endpoints' blocks do not lead to ours.
        """
        position = self._ledger.position
        assert position is not None
        above = position.base
        await self._votes.choose_branch(above.number, ours=above.hash)
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
                self._reporter.count(blocks)
                self._committed()
                if self._stopping():
                    break

    async def append(self, blocks: list[Proven]) -> None:
        """Commit blocks that link to the head."""
        if not blocks:
            return
        chain = self._chain_row() if self._ledger.position is None else None
        await self._ledger.append([block.rows for block in blocks], chain=chain)
        self._reporter.count(blocks)
        self._committed()
