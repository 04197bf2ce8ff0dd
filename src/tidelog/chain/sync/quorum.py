"""What several endpoints are asked together, and who counts: heads, branches, finality, conflicts.

A vote is over the pool's `voters`. One that gives no answer counts all the same: for what we hold where a branch is
judged, against what would be new where finality is. So endpoints that hang leave the others no majority before they
have been away for the pool's patience, and neither a fork nor finality is adopted on a minority's word meanwhile.
A block on top of our head needs no vote, and waits for no endpoint.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from tidelog.chain.blocks import BlockRef, Header
from tidelog.chain.forks.choice import agreed_number, prevails
from tidelog.chain.proof.spec import ChainSpec
from tidelog.chain.source.client import Endpoint, Heads
from tidelog.chain.source.pool import Nobody, Pool
from tidelog.chain.sync.writer import ChainWriter
from tidelog.errors import BelowFinality, SourceError, Unreachable
from tidelog.runtime import Runtime
from tidelog.telemetry import logger

LINKED_MAX = 64  # blocks up to one that is called final: whole branches that long are not dropped so near to it
FINALITY_SHARE = 5  # of the time at most one part in so many goes into asking about finality

_log = logger("votes")


class View(dict[Endpoint, Heads]):
    """The heads of the endpoints that answered now; of those that count, also what they said lately."""

    def __init__(
        self, answers: Mapping[Endpoint, Heads], *, lately: Mapping[Endpoint, Heads] | None = None, voters: int = 0
    ) -> None:
        super().__init__(answers)
        self._lately = {**(lately or {}), **answers}
        self._voters = max(voters, len(self._lately))

    def distinct(self) -> list[Header]:
        """Distinct latest headers, the highest first; where heights are equal, the more common first."""
        counts = Counter(heads.latest.hash for heads in self.values())
        distinct = {heads.latest.hash: heads.latest for heads in self.values()}
        return sorted(distinct.values(), key=lambda header: (-header.number, -counts[header.hash], header.hash))

    @property
    def highest(self) -> int | None:
        """The highest number of any latest block; None without answers."""
        return max((heads.latest.number for heads in self.values()), default=None)

    def final_number(self, spec: ChainSpec, tag: str = "finalized") -> int | None:
        """The highest block that more than half of the voters report as final (or safe).

        By depth where the tag is unknown. Who says nothing reports nothing.
        """
        numbers = self._final_numbers(spec, tag)
        return agreed_number([*numbers, *[None] * (self._voters - len(numbers))])

    def heads_of(self, endpoint: Endpoint) -> Heads | None:
        """What the endpoint said last; None where it does not count, or has not said."""
        return self._lately.get(endpoint)

    def likely_final(self, spec: ChainSpec) -> int | None:
        """The same over those that are heard of: up to where history is fetched, which does not make it final."""
        return agreed_number(self._final_numbers(spec, "finalized"))

    def _final_numbers(self, spec: ChainSpec, tag: str) -> list[int | None]:
        numbers = [
            header.number if (header := getattr(heads, tag)) is not None else heads.latest.number - spec.finality_depth
            for heads in self._lately.values()
        ]
        return [number if number >= 0 else None for number in numbers]


class Quorum:
    """Asks the endpoints of the chain that a writer holds."""

    def __init__(self, writer: ChainWriter, pool: Pool, runtime: Runtime, spec: ChainSpec) -> None:
        self._writer = writer
        self._pool = pool
        self._runtime = runtime
        self._spec = spec
        self._last_heads: dict[Endpoint, Heads] = {}  # what each said last
        self._finality_due = 0.0

    async def look(self) -> View:
        """Ask every endpoint for its heads. One answer is enough to continue: the others have a moment more."""

        async def heads(endpoint: Endpoint) -> Heads:
            found = self._last_heads[endpoint] = await endpoint.heads()
            return found

        answers = await self._pool.quorum_read(heads, enough=lambda found: len(found) > 0)
        lately = {endpoint: found for endpoint, found in self._last_heads.items() if self._pool.votes(endpoint)}
        return View(answers, lately=lately, voters=answers.voters)

    # -- branches -------------------------------------------------------------------------------------------

    async def header(self, number: int) -> Header | None:
        """The header that an endpoint has at a height; None if none of them has one. Who lags behind has none."""
        lacking: list[Endpoint] = []

        async def work(endpoint: Endpoint) -> Header | None:
            found = await endpoint.header_by_number(number)
            if found is None:
                lacking.append(endpoint)
            return found

        while True:
            try:
                header = await self._pool.ask(work, without=lacking)
            except Nobody:
                return None
            if header is not None:
                return header

    async def known(self, block_hash: bytes) -> bool | None:
        """Whether any endpoint knows the block; None while one that counts has not said."""
        answers = await self._pool.quorum_read(
            lambda endpoint: endpoint.header_by_hash(block_hash),
            enough=lambda found: any(header is not None for header in found),
            vote=True,
        )
        if any(header is not None for header in answers.values()):
            return True
        return None if answers.missing or not answers else False

    async def prevails(self, refs: Sequence[BlockRef]) -> bool:
        """Whether a branch that leaves ours at `links[0]` is adopted, by the endpoints that have the block there."""
        head, theirs = self._writer.head, refs[0]
        ours = self._writer.ref(theirs.number)
        our_hash = None if ours is None else ours.hash
        answers = await self._pool.quorum_read(
            lambda endpoint: endpoint.header_by_number(theirs.number),
            enough=lambda found: self._more_than_half(found, (theirs.hash, our_hash)),
            vote=True,
        )
        hashes = [header.hash for header in answers.values() if header is not None]
        verdict = prevails(
            ours=(0 if our_hash is None else hashes.count(our_hash)) + answers.missing,
            theirs=hashes.count(theirs.hash),
            higher=head is not None and refs[-1].number > head.number,
        )
        if not verdict:
            _log.info("branch_outvoted", number=theirs.number, endpoints=len(hashes))
        return verdict

    def _more_than_half(self, found: Collection[Header | None], hashes: Collection[bytes | None]) -> bool:
        counts = Counter(header.hash for header in found if header is not None)
        return any(counts[wanted] * 2 > self._pool.voters for wanted in hashes if wanted is not None)

    async def choose_branch(self, number: int, *, ours: bytes | None = None) -> None:
        """Let history up to block `number` come from endpoints of one branch: ours, else that of most.

        Where two branches have as many, it is the one with the higher head, then the user's order that decides.
        """
        if len(self._pool.endpoints) < 2:
            return
        answers = await self._pool.quorum_read(
            lambda endpoint: endpoint.header_by_number(number),
            enough=lambda found: self._more_than_half(found, [header.hash for header in found if header is not None]),
        )
        hashes = {endpoint: header.hash for endpoint, header in answers.items() if header is not None}
        counts = Counter(hashes.values())
        if ours is not None and ours not in counts:
            return
        best = ours or max(counts, key=lambda found: (counts[found], self._highest(hashes, found)), default=None)
        self._pool.leave_out([endpoint for endpoint, found in hashes.items() if found != best])

    def _highest(self, hashes: Mapping[Endpoint, bytes], wanted: bytes) -> int:
        reported = [self._last_heads.get(endpoint) for endpoint, found in hashes.items() if found == wanted]
        return max((one.latest.number for one in reported if one is not None), default=0)

    # -- finality -------------------------------------------------------------------------------------------

    async def settle_finality(self, view: View) -> bool:
        """Raise finality as far as more than half of the voters agree with what we hold; True if it moved.

        What an endpoint gives for a number alone is no agreement: see `_linked`.
        """
        position, started = self._writer.position, self._runtime.monotonic()
        reported = view.final_number(self._spec)
        if position is None or reported is None or started < self._finality_due:
            return False
        number = min(reported, position.head)
        if position.finalized is not None and number <= position.finalized:
            return False
        ours = await self._writer.stored_ref(number)
        if ours is None:
            return False
        answers = await self._pool.quorum_read(
            lambda endpoint: self._agrees(ours, endpoint, view.heads_of(endpoint)),
            enough=lambda found: sum(found) * 2 > self._pool.voters,
            vote=True,
        )
        now = self._runtime.monotonic()
        self._finality_due = now + (now - started) * (FINALITY_SHARE - 1)
        if sum(answers.values()) * 2 <= answers.voters:
            return False  # fork choice will decide
        await self._writer.finalize(ours)
        return True

    async def _agrees(self, ours: BlockRef, endpoint: Endpoint, heads: Heads | None) -> bool:
        """Whether an endpoint calls our block final, by its tag, or by depth where it has none.

        By depth our blocks have to lead up to its latest one: as far as we hold them, and from there on as it gives
        them. At the head we hold all of them.
        """
        heads = heads or await endpoint.heads()
        if heads.finalized is not None:
            header = await _linked(ours.number, endpoint, heads.finalized)
            return header is not None and header.hash == ours.hash
        head, latest = self._writer.head, heads.latest
        if latest.number - self._spec.finality_depth < ours.number or head is None:
            return False
        below = await self._writer.stored_ref(latest.number - 1)
        if below is not None and below.hash == latest.parent_hash:
            header = await endpoint.header_by_number(ours.number)
            return header is not None and header.hash == ours.hash
        header = await _linked(head.number, endpoint, latest)
        return header is not None and header.hash == head.hash

    async def settle_conflict(self, final: BlockRef) -> None:
        """A branch leaves ours below what is final: quarantine its endpoints, or stop if no endpoint agrees with us.

        Raises:
            BelowFinality: every endpoint contradicts the final block.
            Unreachable: not every endpoint can be asked.
        """

        async def there(endpoint: Endpoint) -> Header:
            return await endpoint.header_by_number(final.number) or (await endpoint.heads()).latest

        answers = await self._pool.quorum_read(there, enough=lambda found: False, vote=True)
        agreeing = [endpoint for endpoint, header in answers.items() if header.hash == final.hash]
        conflicting = [
            endpoint
            for endpoint, header in answers.items()
            if header.hash != final.hash and header.number <= final.number and not await self._writer.holds(header)
        ]
        absent = [endpoint for endpoint in self._pool.absent if endpoint not in answers]
        if not agreeing and absent:
            names = ", ".join(endpoint.name for endpoint in absent)
            raise Unreachable(f"block {final.number} is final here and contradicted; {names} cannot be asked about it")
        if conflicting and not agreeing:
            raise await self._refused(final, conflicting)
        if not conflicting and not agreeing:
            raise Unreachable(f"no endpoint has block {final.number}, which is final here")
        for endpoint in conflicting:
            self._pool.quarantine(endpoint, True)

    async def _refused(self, final: BlockRef, conflicting: Sequence[Endpoint]) -> BelowFinality:
        """The error that says who contradicts what is final, and what to do."""
        names = ", ".join(endpoint.name for endpoint in conflicting)
        common = await self._common(conflicting[0], final.number)
        advice = (
            f"`tidelog chain rewind --to {common} --below-finalized` drops what is above the last block in common"
            if common is not None
            else "no stored block is theirs, so that only a new store can follow it"
        )
        return BelowFinality(
            f"chain {self._writer.chain_id}: block {final.number} is final here as 0x{final.hash.hex()}, and "
            f"{names} has another one: nothing was changed; check the endpoint, or, if it is right: {advice}"
        )

    async def _common(self, endpoint: Endpoint, final: int) -> int | None:
        """The highest final block that the endpoint has as well; None if there is none, or it does not say."""
        position = self._writer.position
        low, high = (final, final) if position is None else (position.first - 1, final)
        first = low
        while high - low > 1:
            middle = (low + high) // 2
            try:
                header = await endpoint.header_by_number(middle)
            except SourceError:
                return None
            low, high = (middle, high) if header is not None and await self._writer.holds(header) else (low, middle)
        return low if low > first else None

    async def contradicted(self, view: View) -> bool:
        """Whether the endpoints' chain ends below our head, in blocks that are not ours.

        Raises:
            BelowFinality: they contradict what is final.
            Unreachable: ... as far as they can be asked.
        """
        position, highest = self._writer.position, view.highest
        if position is None or highest is None or highest >= position.head:
            return False
        heads = view.distinct()
        for header in heads:
            if await self._writer.holds(header):
                return False
        final = None if position.finalized is None else await self._writer.stored_ref(position.finalized)
        if final is not None and heads[-1].number <= final.number:
            await self.settle_conflict(final)
        return True

    async def release(self) -> None:
        """Let endpoints out of quarantine that agree with what is final again; they are asked in the background."""
        position = self._writer.position
        if position is None or position.finalized is None or not self._pool.quarantined:
            return
        final = await self._writer.stored_ref(position.finalized)
        if final is None:
            return

        async def agrees(endpoint: Endpoint) -> None:
            header = await endpoint.header_by_number(final.number)
            if header is not None and header.hash == final.hash:
                self._pool.quarantine(endpoint, False)

        for endpoint in self._pool.quarantined:
            self._pool.aside(endpoint, agrees)


async def _linked(number: int, endpoint: Endpoint, top: Header) -> Header | None:
    """What an endpoint has at a height; None where it is not below `top`, or what the endpoint gives is no branch.

    A stale cache, or a balancer with a node on another branch, may give for numbers blocks that are not of the branch
    whose block the same endpoint calls final, or its latest. So they have to link up to that one, if it is near.

    Args:
        top: the block that it named by a tag.
    """
    if top.number < number:
        return None
    if top.number - number > LINKED_MAX:
        header, child = await endpoint.headers_by_number(number, number + 1)
        contradicted = header is not None and child is not None and child.parent_hash != header.hash
        return None if contradicted else header
    headers: list[Header | None] = []
    while (low := number + len(headers)) <= top.number:
        headers += await endpoint.headers_by_number(low, min(top.number, low + endpoint.headers_at_once - 1))
    wanted = top.hash
    for header in reversed(headers):
        if header is None or header.hash != wanted:
            return None
        wanted = header.parent_hash
    return headers[0]
