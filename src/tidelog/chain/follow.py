"""Follow the head: ask who has what, let `lineage` decide, prove the new branch, commit it.

The shell around the verdict. Truth is the walk along parent hashes; notifications only wake it up.
"""

from collections.abc import Callable, Sequence
from enum import Enum, auto

from tidelog.chain.blocks import Header
from tidelog.chain.history import Fetched, Fetcher
from tidelog.chain.intake import Proven
from tidelog.chain.ledger import Ledger
from tidelog.chain.lineage import (
    Advance,
    Known,
    Link,
    NotHigher,
    ParentWanted,
    Patience,
    TooDeep,
    decide,
    is_linked,
)
from tidelog.chain.pool import Nobody, Pool
from tidelog.chain.position import REORG, SHRINK
from tidelog.chain.rpc import Endpoint
from tidelog.chain.spool import Spool
from tidelog.chain.votes import Votes
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
    """Moves a ledger along the chain that the endpoints serve."""

    def __init__(
        self,
        ledger: Ledger,
        pool: Pool,
        votes: Votes,
        fetcher: Fetcher,
        runtime: Runtime,
        *,
        reorg_patience_s: float,
        on_blocks: Callable[[Sequence[Proven]], None],
    ) -> None:
        """`on_blocks` is told of proven blocks that are committed, or about to be in one reorg."""
        self._ledger = ledger
        self._pool = pool
        self._votes = votes
        self._fetcher = fetcher
        self._runtime = runtime
        self._patience = Patience()
        self._patience_s = reorg_patience_s
        self._on_blocks = on_blocks

    async def step(self, target: Header) -> Step:
        """Move towards `target`, at most BRANCH_BLOCKS above our head.

        Raises:
            BelowFinality: every endpoint contradicts a block that is final here.
            SourceError, ProofFailure: the branch could not be had, or does not prove.
        """
        head = self._required_head()
        if target.number > head.number + BRANCH_BLOCKS:
            near = await self._header(head.number + BRANCH_BLOCKS)
            if near is None:
                return Step.WAITING
            target = near
        branch = [_link(target)]
        abandoned = await self._abandoned(target)
        while True:
            held, rooted = self._ledger.window
            if not rooted and target.number <= held[0].number:
                return Step.WAITING  # lower than all that is held, of which nothing is final: it will grow
            verdict = decide(held, branch, rooted=rooted, abandoned=abandoned)
            match verdict:
                case Known():
                    return Step.STILL if target.hash == head.hash else Step.WAITING
                case NotHigher():
                    return Step.WAITING
                case ParentWanted(number, block_hash):
                    branch = [*await self._parents(number, block_hash), *branch]
                case TooDeep(final):
                    await self._votes.settle_conflict(final)
                    return Step.WAITING
                case Advance(keep, links):
                    return await self._advance(keep, links, abandoned=abandoned)

    def _required_head(self) -> Link:
        if self._ledger.head is None:
            raise AssertionError("following starts from a block")
        return self._ledger.head

    async def _abandoned(self, target: Header) -> bool:
        """Whether no endpoint has known our head for longer than patience, and a lower chain is believed."""
        head, now = self._required_head(), self._runtime.monotonic()
        if target.hash == head.hash or target.number > head.number:
            self._patience = Patience()
            return False
        known = await self._votes.known(head.hash)
        if known is None:
            return False
        self._patience = self._patience.observed(head.hash, known=known, now=now)
        return self._patience.exhausted(head.hash, now=now, patience_s=self._patience_s)

    async def _header(self, number: int) -> Header | None:
        return await self._pool.ask(lambda endpoint: endpoint.header_by_number(number))

    async def _parents(self, number: int, block_hash: bytes) -> list[Link]:
        """At least the block of that hash, and what its endpoint has below it, linked, oldest first."""
        held, _ = self._ledger.window
        low = max(held[0].number + 1, number - WALK_BLOCKS + 1, 0)

        async def work(endpoint: Endpoint) -> list[Link]:
            top = await endpoint.header_by_hash(block_hash)
            if top is None:  # no fault of one that is on another branch
                lacking.append(endpoint)
                return []
            below = await endpoint.headers_by_number(low, number - 1) if low < number else []
            links = [_link(header) for header in below if header is not None] + [_link(top)]
            while not is_linked(links):  # by number the endpoint may already be on another branch
                links.pop(0)
            return links

        lacking: list[Endpoint] = []
        links: list[Link] = []
        while not links:
            try:
                links = await self._pool.ask(work, without=lacking)
            except Nobody:
                raise Rejected(
                    f"no endpoint has block 0x{block_hash.hex()}, the parent of one that was named"
                ) from None
        return links

    async def _advance(self, keep: Link | None, links: Sequence[Link], *, abandoned: bool) -> Step:
        head = self._required_head()
        if keep is not None and keep.hash == head.hash:
            await self._extend(links)
            return Step.MOVED
        if not abandoned and not await self._votes.prevails(links):
            return Step.WAITING
        with Spool() as spool:
            rooted = keep is not None and self._ledger.link(keep.number) is not None
            first = None if rooted else links[0].number  # the range begins anew, and below it nothing is held
            while len(spool) < len(links):
                part = links[len(spool) : len(spool) + self._fetcher.request_blocks()]
                blocks = (await self._branch_blocks(part, range_first=first)).required()
                for block in blocks:
                    spool.add(block.rows)
                self._on_blocks(blocks)
            shrinks = not links or links[-1].number < head.number
            await self._ledger.replace(keep, links, spool, reason=SHRINK if shrinks else REORG)
        self._patience = Patience()
        return Step.MOVED

    async def _extend(self, links: Sequence[Link]) -> None:
        """Commit a branch on top of our head, block by block or in small groups when many are missing."""
        count = max(1, min(self._fetcher.request_blocks(), len(links) // 4))
        for start in range(0, len(links), count):
            blocks, failure = await self._branch_blocks(links[start : start + count])
            if blocks:
                await self._ledger.append([block.rows for block in blocks])
                self._on_blocks(blocks)
            if failure is not None:
                raise failure

    async def _branch_blocks(self, links: Sequence[Link], *, range_first: int | None = None) -> Fetched:
        fetched = await self._fetcher.some([link.hash for link in links], range_first=range_first)
        for block, link in zip(fetched.blocks, links, strict=False):
            if block.link != link:  # possible only where the profile has no header hash to check
                raise Rejected(f"block {link.number} came with another parent than its header")
        return fetched


def _link(header: Header) -> Link:
    return Link(header.number, header.hash, header.parent_hash)
