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
    agreed_number,
    decide,
    is_linked,
    prevails,
)
from tidelog.chain.pool import Pool
from tidelog.chain.position import REORG, SHRINK
from tidelog.chain.profiles import Profile
from tidelog.chain.rpc import Endpoint, Tips
from tidelog.chain.spool import Spool
from tidelog.errors import BelowFinality, Rejected, SourceError, Unreachable
from tidelog.runtime import Runtime
from tidelog.telemetry import logger

BRANCH_BLOCKS = 64  # how far above our head one step reaches: two epochs of the beacon chain
WALK_BLOCKS = 16  # parents asked for in one request while walking down

_log = logger("follow")


class View(dict[Endpoint, Tips]):
    """What each endpoint in good standing reports, at one moment."""

    def heads(self) -> list[Header]:
        """Distinct latest headers, the highest first; where heights are equal, the more common first."""
        counts: dict[bytes, int] = {}
        for tips in self.values():
            counts[tips.latest.hash] = counts.get(tips.latest.hash, 0) + 1
        distinct = {tips.latest.hash: tips.latest for tips in self.values()}
        return sorted(distinct.values(), key=lambda header: (-header.number, -counts[header.hash], header.hash))

    @property
    def highest(self) -> int | None:
        return max((tips.latest.number for tips in self.values()), default=None)

    def final_number(self, profile: Profile, tag: str = "finalized") -> int | None:
        """The highest block that most endpoints report as final (or safe), by depth where the tag is unknown."""
        numbers = [
            header.number if (header := getattr(tips, tag)) is not None else tips.latest.number - profile.finality_depth
            for tips in self.values()
        ]
        return agreed_number([number if number >= 0 else None for number in numbers])


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
        fetcher: Fetcher,
        runtime: Runtime,
        profile: Profile,
        *,
        reorg_patience_s: float,
        on_blocks: Callable[[Sequence[Proven]], None],
    ) -> None:
        """`on_blocks` is told of proven blocks that are committed, or about to be in one reorg."""
        self._ledger = ledger
        self._pool = pool
        self._fetcher = fetcher
        self._runtime = runtime
        self._profile = profile
        self._patience = Patience()
        self._patience_s = reorg_patience_s
        self._on_blocks = on_blocks

    async def look(self) -> View:
        """Ask every endpoint for its tips."""
        return View(await self._pool.survey(lambda endpoint: endpoint.tips()))

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
                    await self._settle_conflict(final)
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
        answers = await self._pool.survey(lambda endpoint: endpoint.header_by_hash(head.hash))
        if not answers:
            return False
        known = any(header is not None for header in answers.values())
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
            if top is None:
                raise Rejected(f"null for block 0x{block_hash.hex()}, the parent of one it has", endpoint=endpoint.name)
            below = await endpoint.headers_by_number(low, number - 1) if low < number else []
            links = [_link(header) for header in below if header is not None] + [_link(top)]
            while not is_linked(links):  # by number the endpoint may already be on another branch
                links.pop(0)
            return links

        return await self._pool.ask(work)

    async def _advance(self, keep: Link | None, links: Sequence[Link], *, abandoned: bool) -> Step:
        head = self._required_head()
        if keep is not None and keep.hash == head.hash:
            await self._extend(links)
            return Step.MOVED
        if not abandoned and not await self._majority(keep, links):
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

    async def _majority(self, keep: Link | None, links: Sequence[Link]) -> bool:
        """Whether most endpoints that have the block at the fork have the new branch's."""
        head, theirs = self._required_head(), links[0]
        ours = self._ledger.link(theirs.number)
        answers = await self._pool.survey(lambda endpoint: endpoint.header_by_number(theirs.number))
        hashes = [header.hash for header in answers.values() if header is not None]
        verdict = prevails(
            ours=hashes.count(ours.hash) if ours is not None else 0,
            theirs=hashes.count(theirs.hash),
            higher=links[-1].number > head.number,
        )
        if not verdict:
            _log.info("branch_outvoted", number=theirs.number, endpoints=len(hashes))
        return verdict

    # -- finality ---------------------------------------------------------------------------------------------

    async def settle_finality(self, view: View) -> bool:
        """Raise finality as far as most endpoints agree with what we hold; True if it moved."""
        position = self._ledger.position
        reported = view.final_number(self._profile)
        if position is None or reported is None:
            return False
        number = min(reported, position.head)
        ours = self._ledger.link(number)
        if ours is None or (position.finalized is not None and number <= position.finalized):
            return False
        answers = await self._pool.survey(lambda endpoint: endpoint.header_by_number(number))
        hashes = [header.hash for header in answers.values() if header is not None]
        if hashes.count(ours.hash) * 2 <= len(view):
            return False  # a lineage step will find out who is right
        await self._ledger.finalize(ours)
        return True

    async def _settle_conflict(self, final: Link) -> None:
        """A branch leaves ours below what is final: quarantine who says so, or stop if nobody agrees with us."""
        answers = await self._pool.survey(lambda endpoint: endpoint.header_by_number(final.number))
        agreeing = [endpoint for endpoint, header in answers.items() if header and header.hash == final.hash]
        conflicting = [endpoint for endpoint, header in answers.items() if header and header.hash != final.hash]
        if not agreeing and len(answers) + len(self._pool.quarantined) < len(self._pool.endpoints):
            raise Unreachable(f"block {final.number} is final here, and not every endpoint can be asked about it")
        if conflicting and not agreeing:
            names = ", ".join(endpoint.name for endpoint in conflicting)
            raise BelowFinality(
                f"chain {self._ledger.chain_id}: block {final.number} is final here as 0x{final.hash.hex()}, and "
                f"{names} has another one: nothing was changed; check the endpoint, or start a new store"
            )
        if not conflicting and not agreeing:
            raise Unreachable(f"no endpoint has block {final.number}, which is final here")
        for endpoint in conflicting:
            self._pool.quarantine(endpoint, True)

    async def release(self) -> None:
        """Let endpoints out of quarantine that agree with what is final again."""
        position = self._ledger.position
        if position is None or position.finalized is None:
            return
        final = self._ledger.link(position.finalized)
        for endpoint in self._pool.quarantined:
            try:
                header = await endpoint.header_by_number(position.finalized)
            except SourceError:
                continue
            if header is not None and final is not None and header.hash == final.hash:
                self._pool.quarantine(endpoint, False)


def _link(header: Header) -> Link:
    return Link(header.number, header.hash, header.parent_hash)
