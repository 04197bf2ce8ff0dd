"""Follow the head: ask who has what, let fork choice decide, prove the new branch, commit it.

The shell around the verdict. Truth is the walk along parent hashes; notifications only wake it up.
"""

from collections.abc import Awaitable, Callable, Sequence
from enum import Enum, auto

from tidelog.chain.blocks import BlockRef, Header
from tidelog.chain.forks.choice import (
    Advance,
    Known,
    NotHigher,
    ParentWanted,
    Patience,
    TooDeep,
    choose_fork,
    is_linked,
)
from tidelog.chain.projections import REORG, SHRINK
from tidelog.chain.source.client import Endpoint
from tidelog.chain.source.pool import Nobody, Pool
from tidelog.chain.source.prefetch import Fetched, Prefetcher
from tidelog.chain.sync.quorum import Quorum
from tidelog.chain.sync.staging import StagingBuffer
from tidelog.chain.sync.writer import ChainWriter
from tidelog.chain.tracing import BlockTraces
from tidelog.chain.verify import VerifiedBlock
from tidelog.errors import Rejected
from tidelog.runtime import Runtime

BRANCH_BLOCKS = 64  # how far above our head one step reaches: two epochs of the beacon chain
WALK_BLOCKS = 16  # parents asked for in one request while walking down


class Step(Enum):
    """What a step did."""

    MOVED = auto()  # committed something
    STILL = auto()  # nothing to do
    WAITING = auto()  # something is odd, and time or other endpoints have to tell


class Follower:
    """Moves a chain writer along the chain that the endpoints serve."""

    def __init__(
        self,
        writer: ChainWriter,
        pool: Pool,
        quorum: Quorum,
        prefetcher: Prefetcher,
        runtime: Runtime,
        *,
        reorg_patience_s: float,
        on_blocks: Callable[[Sequence[VerifiedBlock]], None],
        is_same_chain: Callable[[], Awaitable[bool]],
    ) -> None:
        """
        Args:
            on_blocks: gets proven blocks that are committed, or about to be in one reorg.
            is_same_chain: awaited before a branch replaces all that is stored.
        """
        self._writer = writer
        self._pool = pool
        self._quorum = quorum
        self._prefetcher = prefetcher
        self._runtime = runtime
        self._traces = BlockTraces(writer.chain_id, lambda: writer.writer_number, runtime)
        self._patience = Patience()
        self._patience_s = reorg_patience_s
        self._on_blocks = on_blocks
        self._is_same_chain = is_same_chain

    async def step(self, target: Header) -> Step:
        """Move towards `target`, at most BRANCH_BLOCKS above our head.

        Raises:
            BelowFinality: every endpoint contradicts a block that is final here.
            SourceError, ProofFailure: the branch could not be had, or does not prove.
        """
        head = self._required_head()
        if target.number > head.number + BRANCH_BLOCKS:
            near = await self._quorum.header(head.number + BRANCH_BLOCKS)
            if near is None:
                return Step.WAITING
            target = near
        branch = [_ref(target)]
        abandoned = await self._abandoned(target)
        while True:
            stored, rooted = self._writer.window
            if not rooted and target.number <= stored[0].number:
                return Step.WAITING  # lower than all that is stored, of which nothing is final: it will grow
            verdict = choose_fork(stored, branch, rooted=rooted, abandoned=abandoned)
            match verdict:
                case Known():
                    return Step.STILL if target.hash == head.hash else Step.WAITING
                case NotHigher():
                    return Step.WAITING
                case ParentWanted(number, block_hash):
                    branch = [*await self._parents(number, block_hash), *branch]
                case TooDeep(final):
                    await self._quorum.settle_conflict(final)
                    return Step.WAITING
                case Advance(keep, refs):
                    return await self._advance(keep, refs, abandoned=abandoned)

    def _required_head(self) -> BlockRef:
        if self._writer.head is None:
            raise AssertionError("following starts from a block")
        return self._writer.head

    async def _abandoned(self, target: Header) -> bool:
        """Whether no endpoint has known our head for longer than patience, and a lower chain is believed."""
        head, now = self._required_head(), self._runtime.monotonic()
        if target.hash == head.hash or target.number > head.number:
            self._patience = Patience()
            return False
        known = await self._quorum.known(head.hash)
        if known is None:
            return False
        self._patience = self._patience.observed(head.hash, known=known, now=now)
        return self._patience.exhausted(head.hash, now=now, patience_s=self._patience_s)

    async def _parents(self, number: int, block_hash: bytes) -> list[BlockRef]:
        """At least the block of that hash, and what its endpoint has below it, linked, oldest first."""
        stored, _ = self._writer.window
        low = max(stored[0].number + 1, number - WALK_BLOCKS + 1, 0)

        async def work(endpoint: Endpoint) -> list[BlockRef]:
            top = await endpoint.header_by_hash(block_hash)
            if top is None:  # no fault of one that is on another branch
                lacking.append(endpoint)
                return []
            below = await endpoint.headers_by_number(low, number - 1) if low < number else []
            refs = [_ref(header) for header in below if header is not None] + [_ref(top)]
            while not is_linked(refs):  # by number the endpoint may already be on another branch
                refs.pop(0)
            return refs

        lacking: list[Endpoint] = []
        refs: list[BlockRef] = []
        while not refs:
            try:
                refs = await self._pool.ask(work, without=lacking)
            except Nobody:
                raise Rejected(
                    f"no endpoint has block 0x{block_hash.hex()}, the parent of one that was named"
                ) from None
        return refs

    async def _advance(self, keep: BlockRef | None, refs: Sequence[BlockRef], *, abandoned: bool) -> Step:
        head = self._required_head()
        if keep is not None and keep.hash == head.hash:
            await self._extend(refs)
            return Step.MOVED
        if not abandoned and not await self._quorum.prevails(refs):
            return Step.WAITING
        if keep is None and not await self._is_same_chain():
            return Step.WAITING
        traced = []
        with StagingBuffer() as staged:
            rooted = keep is not None and self._writer.ref(keep.number) is not None
            first = None if rooted else refs[0].number  # the range begins again, and below it nothing is stored
            with self._prefetcher.branch(refs[0].number - 1 if refs else head.number):
                while len(staged) < len(refs):
                    part = refs[len(staged) : len(staged) + self._prefetcher.request_blocks()]
                    blocks = (await self._branch_blocks(part, range_first=first)).required()
                    for block in blocks:
                        staged.add(block.rows)
                    traced += self._traces.of(blocks)
                    self._on_blocks(blocks)
            shrinks = not refs or refs[-1].number < head.number
            reason = SHRINK if shrinks else REORG
            with self._traces.commit(traced, blocks=len(refs), reason=reason):
                await self._writer.replace(keep, refs, staged, reason=reason)
        self._patience = Patience()
        return Step.MOVED

    async def _extend(self, refs: Sequence[BlockRef]) -> None:
        """Commit a branch on top of our head, block by block or in small groups when many are missing."""
        count = max(1, min(self._prefetcher.request_blocks(), len(refs) // 4))
        for start in range(0, len(refs), count):
            blocks, failure = await self._branch_blocks(refs[start : start + count])
            if blocks:
                with self._traces.commit(self._traces.of(blocks), blocks=len(blocks)):
                    await self._writer.append([block.rows for block in blocks])
                self._on_blocks(blocks)
            if failure is not None:
                raise failure

    async def _branch_blocks(self, refs: Sequence[BlockRef], *, range_first: int | None = None) -> Fetched:
        fetched = await self._prefetcher.some([ref.hash for ref in refs], range_first=range_first)
        for block, ref in zip(fetched.blocks, refs, strict=False):
            if block.ref != ref:  # possible only where the spec has no header hash to check
                raise Rejected(f"block {ref.number} came with another parent than its header")
        return fetched


def _ref(header: Header) -> BlockRef:
    return BlockRef(header.number, header.hash, header.parent_hash)
