"""Commit history: whole blocks that are fetched ahead, in order, upwards or downwards.

While a commit is under way the blocks of the next one are gathered: the store and the endpoints do not wait for each
other. There is never more than one of each.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import aclosing
from types import TracebackType
from typing import Any, TypeVar

from msgspec import Struct

from tidelog.batch import Rows
from tidelog.chain.blocks import BlockRef
from tidelog.chain.source.prefetch import Prefetcher
from tidelog.chain.sync.monitoring.reporting import Reporter
from tidelog.chain.sync.quorum import Quorum
from tidelog.chain.sync.writer import ChainWriter
from tidelog.chain.tracing import BlockTraces
from tidelog.chain.verify import VerifiedBlock
from tidelog.errors import ProofFailure, SourceError, Unreachable
from tidelog.runtime import Runtime

T = TypeVar("T")


class CommitLimits(Struct, frozen=True):
    """How much history one commit has.

    A commit of many blocks costs less: each page of an index is written once for all of them. What is gathered for the
    next one meanwhile is as much again, and both are held in memory: rows take some 0.7 times the bytes of their JSON.
    """

    rows: int = 60_000  # some 100 to 200 blocks of mainnet, a quarter of a second of database
    answer_bytes: int = 56 * 1024 * 1024  # of the answers: some 40 MB of rows
    blocks: int = 5_000  # empty ones, whose rows are few: the outbox has one of each all the same
    first: float = 0.125  # of a whole commit: the store has work early on. Each commit is twice the one before
    interval_s: float = 1.0  # how long proven blocks may wait for company, unless a commit is under way


COMMIT_LIMITS = CommitLimits()


class Unlinked(Exception):
    """History does not link to what is stored, or not to itself: `number` is the block that does not fit."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class _Batch:
    """Proven blocks that wait for their commit."""

    def __init__(self, limits: CommitLimits) -> None:
        self._limits = limits
        self._blocks: list[VerifiedBlock] = []
        self._rows = self._bytes = 0
        self._part = limits.first  # of the limits

    def add(self, block: VerifiedBlock) -> None:
        self._blocks.append(block)
        self._rows += block.rows.row_count
        self._bytes += block.size_bytes

    @property
    def full(self) -> bool:
        return (
            self._rows >= self._part * self._limits.rows
            or self._bytes >= self._part * self._limits.answer_bytes
            or len(self._blocks) >= self._part * self._limits.blocks
        )

    def pop_all(self) -> list[VerifiedBlock]:
        """All of them; the batch is empty after it."""
        self._part = min(1.0, 2 * self._part)
        blocks, self._blocks, self._rows, self._bytes = self._blocks, [], 0, 0
        return blocks


class _UnderWay:
    """One commit at a time, beside what goes on. Leaving it waits for the end of the commit; its failure comes out."""

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None

    @property
    def idle(self) -> bool:
        """Whether a commit that begins now waits for no other."""
        return self._task is None or self._task.done()

    async def begin(self, commit: Coroutine[Any, Any, None]) -> None:
        """Begin a commit when the one before is at its end."""
        try:
            await self.end()
        except BaseException:
            commit.close()
            raise
        self._task = asyncio.create_task(commit)

    async def end(self) -> None:
        """Wait until no commit is under way."""
        task = self._task
        if task is not None:
            await task
            self._task = None

    async def beside(self, lists: AsyncGenerator[list[VerifiedBlock]]) -> AsyncGenerator[list[VerifiedBlock]]:
        """What `lists` gives. A commit that fails meanwhile is raised at once, whether or not an endpoint answers."""
        while True:
            if self.idle:
                await self.end()
                blocks = await _next(lists)
            else:
                blocks = await self._first(asyncio.ensure_future(_next(lists)))
            if blocks is None:
                return
            yield blocks

    async def _first(self, coming: asyncio.Future[T]) -> T:
        """The result of `coming`; the failure of the commit, if that is first."""
        both: set[asyncio.Future[Any]] = {coming} if self._task is None else {coming, self._task}
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if self.idle:
                await self.end()
            return await coming
        finally:
            if not coming.done():
                coming.cancel()
                await asyncio.gather(coming, return_exceptions=True)

    async def __aenter__(self) -> "_UnderWay":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        task, self._task = self._task, None
        if task is None:
            return
        if error is None or isinstance(error, Exception):
            await task
            return
        task.cancel()  # the writer sees to it that what has begun comes to its end
        await asyncio.gather(task, return_exceptions=True)


async def _next(lists: AsyncGenerator[list[VerifiedBlock]]) -> list[VerifiedBlock] | None:
    return await anext(lists, None)


class Committer:
    """Commits what a prefetcher gives.

    Args:
        chain: the chain's own row, which goes with the first blocks.
        on_commit: called after each commit.
        beside: awaited after each commit, before the next one may begin: a step of what else there is to commit.
        stopping: whether to end after the commit that is under way.
    """

    def __init__(
        self,
        writer: ChainWriter,
        prefetcher: Prefetcher,
        quorum: Quorum,
        reporter: Reporter,
        runtime: Runtime,
        *,
        chain: Callable[[], Rows],
        on_commit: Callable[[], None],
        beside: Callable[[], Awaitable[object]],
        stopping: Callable[[], bool],
        limits: CommitLimits = COMMIT_LIMITS,
    ) -> None:
        self._writer = writer
        self._prefetcher = prefetcher
        self._quorum = quorum
        self._reporter = reporter
        self._runtime = runtime
        self._traces = BlockTraces(writer.chain_id, lambda: writer.writer_number, runtime)
        self._chain_row = chain
        self._committed = on_commit
        self._beside = beside
        self._stopping = stopping
        self._limits = limits

    async def forward(self, first: int, last: int, *, begins: bool = False) -> None:
        """Fetch blocks `first` to `last` ahead, and commit them in order in batches of whole blocks.

        A failure comes after what is before it.

        Args:
            begins: nothing is stored below `first`.

        Raises:
            Unlinked: a block does not lead to the one below it; what comes before it is committed.
        """
        await self._quorum.choose_branch(last)
        stored = self._writer.head
        tip = stored.hash if stored is not None else None
        batch, under_way = _Batch(self._limits), _UnderWay()
        begun_at = settled_at = self._runtime.monotonic()
        lists = self._prefetcher.prefetch(first, last, range_first=first if begins else None)
        try:
            async with under_way, aclosing(lists), aclosing(under_way.beside(lists)) as coming:
                async for blocks in coming:
                    for block in blocks:
                        if tip is not None and block.ref.parent_hash != tip:
                            raise Unlinked(block.ref.number)
                        tip = block.ref.hash
                        batch.add(block)
                        if batch.full:
                            await under_way.end()
                            if self._stopping():
                                return
                            begun_at = self._runtime.monotonic()
                            await under_way.begin(self.append(batch.pop_all()))
                    now, stopping = self._runtime.monotonic(), self._stopping()
                    due = now - begun_at >= self._limits.interval_s
                    if under_way.idle and (due or stopping):
                        begun_at = now
                        await under_way.begin(self.append(batch.pop_all()))
                    if stopping:
                        return
                    if now - settled_at >= 10 * self._limits.interval_s:
                        view = await self._quorum.look()
                        self._reporter.observe(view)
                        await under_way.end()
                        await self._quorum.settle_finality(view)
                        settled_at = now
        except (SourceError, ProofFailure, Unlinked):
            await self.append(batch.pop_all())
            raise
        await self.append(batch.pop_all())

    async def downwards(self, first: int) -> None:
        """Extend the range down to block `first`, linked to what is stored.

        Raises:
            Unreachable: the endpoints' blocks do not lead to ours.
        """
        position = self._writer.position
        assert position is not None
        above = position.base
        await self._quorum.choose_branch(above.number, ours=above.hash)
        batch, under_way = _Batch(self._limits), _UnderWay()
        begun_at = self._runtime.monotonic()
        lists = self._prefetcher.prefetch(first, position.first - 1, range_first=first, downwards=True)
        try:
            async with under_way, aclosing(lists), aclosing(under_way.beside(lists)) as coming:
                async for blocks in coming:
                    for block in reversed(blocks):
                        if block.ref.hash != above.hash:
                            raise Unreachable(
                                f"block {block.ref.number} is 0x{block.ref.hash.hex()}, and the stored block above it "
                                f"names 0x{above.hash.hex()} as its parent"
                            )
                        above = BlockRef(block.ref.number - 1, block.ref.parent_hash, b"")
                        batch.add(block)
                    now, stopping = self._runtime.monotonic(), self._stopping()
                    due = now - begun_at >= self._limits.interval_s
                    if batch.full or (under_way.idle and (due or stopping)):
                        begun_at = now
                        await under_way.begin(self._prepend(batch.pop_all()[::-1]))
                    if stopping:
                        return
        except (SourceError, ProofFailure):
            await self._prepend(batch.pop_all()[::-1])
            raise
        await self._prepend(batch.pop_all()[::-1])

    async def append(self, blocks: list[VerifiedBlock]) -> None:
        """Commit blocks that link to the head."""
        if not blocks:
            return
        chain = self._chain_row() if self._writer.position is None else None
        with self._traces.commit(self._traces.of(blocks), blocks=len(blocks)):
            await self._writer.append([block.rows for block in blocks], chain=chain)
        self._reporter.count(blocks)
        self._committed()
        await self._beside()

    async def _prepend(self, blocks: list[VerifiedBlock]) -> None:
        """Commit blocks below the first one, ascending."""
        if not blocks:
            return
        with self._traces.commit(self._traces.of(blocks), blocks=len(blocks)):
            await self._writer.prepend([block.rows for block in blocks])
        self._reporter.count(blocks)
        self._committed()
        await self._beside()
