"""Look at blocks of a chain, from all endpoints and at many heights, to find out which of the checks hold there.

The shell around `evidence`: it chooses the blocks, asks for them and asks again. Blocks are looked at in clusters:
a few neighbours, and further ones while too few of them have anything to compare. Where two clusters differ, blocks
between them are looked at until the change is found. What would lower a check is asked for a second time, later.
"""

import asyncio
from bisect import bisect_right
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from itertools import pairwise
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from tidelog.chain.blocks import Bundle, RawBlock
from tidelog.chain.decode.lenient import Oddities
from tidelog.chain.proof.evidence import (
    FAILING_MIN,
    FULL,
    RAISE_MIN,
    Finding,
    Gap,
    Sample,
    agreed,
    confirmed,
    findings,
    fits,
    has_state_sync,
    pieces,
    ranges,
)
from tidelog.chain.proof.spec import LOWERABLE, ChainSpec, Evidence
from tidelog.chain.source.client import Endpoint
from tidelog.chain.source.pool import Pool
from tidelog.chain.verify import prove_reading, read_bundle
from tidelog.errors import ConfigError, ProofFailure, Rejected, SourceError, Throttled, Unreachable
from tidelog.runtime import Runtime
from tidelog.telemetry import logger

HEIGHTS = 8  # clusters over the whole chain: forks that change a header's form are years apart, a gap is halved further
HEIGHTS_MAX = 32  # where all of those are empty: a chain that is quieter still says little, and its checks are applied
DEPTH = 16  # blocks below the head: nearer to it, endpoints do not agree yet
OFFSETS = (
    (0, 1, 2, 3), (4, 5, 6, 7), (11, 15, 19, 23), (39, 55, 71, 87), (151, 215, 279, 343),
)  # fmt: skip  # the blocks of a cluster, in the order of looking: a quiet hour of a chain of 12 s is 300 blocks
COMPARED_MIN = 3  # blocks with something to compare, for each of TELLING, until a cluster says enough
TELLING = ("transactions", "receipts", "bloom")  # withdrawals are left out: many chains have none at all
AGAIN_S = 2.0  # before another look: a backend that is out of step with its neighbours has caught up
MIXED_LOOKS = 4  # further ones at blocks that fail where others pass: who lies half of the time has shown it by then
BISECTIONS_MAX = 32  # halvings for each change: more than the logarithm of any chain's height
FAILING_WINDOW = 256  # blocks from a failing one on in which others fail alike: Polygon's syncs are 16 to 64 apart
CONTROLS = 8  # blocks that passed before, asked for again: an endpoint that now gives them wrongly is itself wrong
ANSWER_S = 20.0  # for a few blocks; who takes longer is not asked again, so that the others need not wait for it
ATTEMPTS = 5  # at a block, where an endpoint asks for patience
THROTTLED_WAIT_S = 1.0  # where it does not say for how long

T = TypeVar("T")

_log = logger("probe")


class Look(Struct, frozen=True):
    """What one endpoint says of one block."""

    hash: bytes
    parent_hash: bytes
    findings: dict[str, Finding]
    state_sync: bool


class Missing(Struct, frozen=True):
    """A number for which the endpoint has no block, and its words."""

    words: str


class Verdict(Struct, frozen=True):
    """The form in which a check holds from a failing block on; FULL: the failure is no rule of the chain, and why."""

    form: int
    reason: str
    compared: int = 0  # blocks that had something to compare


class Probe:
    """One examination of a chain. `looked` is how many blocks it has seen; `failures` what endpoints said instead."""

    def __init__(self, pool: Pool, runtime: Runtime, base: ChainSpec) -> None:
        self._pool = pool
        self._runtime = runtime
        self._base = base
        self._samples: dict[int, Sample] = {}
        self._silent: set[Endpoint] = set()
        self.failures: dict[str, str] = {}

    @property
    def looked(self) -> int:
        """At how many blocks it has looked."""
        return len(self._samples)

    @property
    def state_sync(self) -> bool:
        """Whether a state sync was seen, as Polygon has them."""
        return self._base.state_sync

    @property
    def endpoints(self) -> int:
        """How many endpoints it has asked."""
        return len(self._pool.endpoints)

    # -- the three examinations ---------------------------------------------------------------------------

    async def whole(self, low: int, high: int) -> ChainSpec:
        """The chain's rules from block `low` to `high`, by range.

        Raises:
            Unreachable: no endpoint gave a single whole block.
            ConfigError: the chain's numbers have holes.
        """
        heights = _spread(low, high, HEIGHTS)
        clusters = {height: await self._cluster(height, low, high) for height in heights}
        while len(heights) < HEIGHTS_MAX and not _tells(clusters.values()):
            further = [(a + b) // 2 for a, b in pairwise(heights) if b - a > 1]
            if not further:
                break
            for height in further:
                clusters[height] = await self._cluster(height, low, high)
            heights = sorted({*heights, *further})
        if not self._samples:
            raise Unreachable(self._no_block())
        await self._bisect(clusters, low, high)
        await self._look_again(clusters)
        return replace(self._base, ranges=ranges(_ascending(clusters), self._base))

    async def failing(self, check: str, number: int, end: int, controls: Sequence[int]) -> Verdict:
        """Whether the chain, and not an endpoint, is why `check` fails at block `number` and beyond.

        Args:
            end: the block up to which may be looked; below `number`: downwards.
            controls: blocks that passed this check when they were stored.
        """
        before = await self._twice(controls)
        broken = [sample.number for sample in before if _fails(sample, check) or check in sample.disputed]
        if broken:
            return Verdict(FULL, f"block {broken[0]}, which passed when it was stored, fails now: it is the answers")
        if controls and not any(_is(sample, check, FULL) for sample in before):
            return Verdict(FULL, "no endpoint gives the stored blocks next to it again, to compare its answers by")
        found, passes = await self._beyond(check, number, end)
        if passes:
            return Verdict(FULL, f"block {number} passes at another endpoint, or at another time")
        again = await self._twice([sample.number for sample in found if _fails(sample, check)][:CONTROLS])
        failing = [sample for sample in again if _fails(sample, check)]
        compared = sum(check in sample.forms for sample in found)
        form = max((sample.forms[check].form for sample in failing), default=FULL)
        if len(failing) >= FAILING_MIN and any(sample.number == number for sample in failing):
            return Verdict(form, f"{len(failing)} of {compared} blocks from {number} on fail alike", compared)
        if any(check in sample.disputed for sample in (*found, *again)):
            reason = f"there is no majority of the {self.endpoints} endpoints that gives the same answer about it twice"
        elif not compared:
            reason = f"no endpoint gives a whole block {number}"
        else:
            reason = f"of {compared} blocks from {number} on, {len(failing)} fail alike, a rule shows in {FAILING_MIN}"
        return Verdict(FULL, reason, compared)

    async def _beyond(self, check: str, number: int, end: int) -> tuple[list[Sample], bool]:
        """Samples from `number` towards `end` until enough of them fail; and whether `number` itself passes."""
        step = 1 if end >= number else -1
        last = number + step * min(abs(end - number), FAILING_WINDOW)
        wanted = list(range(number, last + step, step))
        found: list[Sample] = []
        for at in range(0, len(wanted), len(OFFSETS[0])):
            found += await self._sampled(wanted[at : at + len(OFFSETS[0])])
            if any(sample.number == number and _is(sample, check, FULL) for sample in found):
                return found, True
            if sum(_fails(sample, check) for sample in found) >= FAILING_MIN:
                break
        return found, False

    async def border(self, check: str, failing: int, holding: int) -> int:
        """The block nearest to `holding` at which the check still fails, as far as blocks between them show."""
        while holding - failing > 1:
            middle = (failing + holding) // 2
            found = await self._sampled(range(middle, min(middle + len(OFFSETS[0]), holding)))
            fails = [sample.number for sample in found if _fails(sample, check)]
            failing, holding = (max(fails), holding) if fails else (failing, middle)
        return failing

    async def near(self, number: int, high: int, checks: Iterable[str]) -> dict[str, Evidence]:
        """How each of the checks, in its strongest form, does in the blocks from `number` on, and then below it."""
        wanted = tuple(checks)
        above = range(number, min(high, number + FAILING_WINDOW) + 1)
        below = range(min(number - 1, high), max(-1, number - FAILING_WINDOW), -1)
        numbers = [*above, *below]
        found: list[Sample] = []
        for at in range(0, len(numbers), len(OFFSETS[0])):
            found += await self._sampled(numbers[at : at + len(OFFSETS[0])])
            if all(sum(check in sample.forms for sample in found) >= RAISE_MIN for check in wanted):
                break
        return {
            check: Evidence(
                check,
                sum(_is(sample, check, FULL) for sample in found),
                sum(_fails(sample, check) for sample in found),
            )
            for check in wanted
        }

    # -- how ------------------------------------------------------------------------------------------------

    async def _cluster(self, height: int, low: int, high: int) -> list[Sample]:
        """Samples from `height` on, or down from it near the end, until they tell enough."""
        sign = 1 if height + OFFSETS[-1][-1] <= high else -1
        found: dict[int, Sample] = {}
        for offsets in OFFSETS:
            numbers = [number for offset in offsets if low <= (number := height + sign * offset) <= high]
            found |= {sample.number: sample for sample in await self._sampled(numbers)}
            if _enough(found.values()):
                break
        return [found[number] for number in sorted(found)]

    async def _bisect(self, clusters: dict[int, list[Sample]], low: int, high: int) -> None:
        """Look between clusters that differ, until each change lies between two neighbours, or two empty stretches."""
        done: set[Gap] = set()
        for _ in range(BISECTIONS_MAX * HEIGHTS):
            gap = next((gap for gap in self._gaps(clusters) if gap not in done), None)
            if gap is None:
                return
            done.add(gap)
            middle = (gap.low + gap.high) // 2
            if middle not in clusters:
                clusters[middle] = await self._cluster(middle, max(low, gap.low + 1), min(high, gap.high - 1))

    def _gaps(self, clusters: dict[int, list[Sample]]) -> list[Gap]:
        found = _ascending(clusters)
        return [
            gap
            for check in LOWERABLE
            if not fits(check, found, self._base)
            for gap in pieces(check, found)[1]
            if gap.high - gap.low > 1
        ]

    async def _look_again(self, clusters: dict[int, list[Sample]]) -> None:
        """Ask again for blocks that would lower a check; what is not asked for again counts for nothing."""
        wanted: set[int] = set()
        mixed: set[int] = set()
        for cluster in clusters.values():
            for check in LOWERABLE:
                failing = [sample.number for sample in cluster if _fails(sample, check)][: FAILING_MIN + 1]
                wanted.update(failing)
                if any(_is(sample, check, FULL) for sample in cluster):
                    mixed.update(failing)
        again = {sample.number: sample for sample in await self._twice(sorted(wanted))}
        for _ in range(MIXED_LOOKS):
            mixed = {number for number in mixed if number in again and _fails_any(again[number])}
            again |= {sample.number: sample for sample in await self._twice(sorted(mixed))}
        for height, cluster in clusters.items():
            clusters[height] = [again.get(sample.number, _undoubted(sample)) for sample in cluster]

    async def _twice(self, numbers: Sequence[int]) -> list[Sample]:
        """Samples that two looks agree on, the second one later; an earlier look counts as the first."""
        if not numbers:
            return []
        first = {sample.number: sample for sample in await self._sampled(numbers)}
        await self._runtime.sleep(AGAIN_S)
        for number in first:
            del self._samples[number]
        second = {sample.number: sample for sample in await self._sampled(numbers)}
        self._samples |= {
            number: confirmed(sample, second[number]) if number in second else _undoubted(sample)
            for number, sample in first.items()
        }
        return [self._samples[number] for number in numbers if number in second]

    async def _sampled(self, numbers: Iterable[int]) -> list[Sample]:
        """What the endpoints agree on about these blocks; those that none of them gave are left out."""
        wanted = list(numbers)
        unseen = [number for number in wanted if number not in self._samples]
        if unseen:
            answers = await every(self._pool, lambda endpoint: self._looks(endpoint, unseen), self._silent)
            self._check_numbers(unseen, answers)
            for number in unseen:
                looks = [look for answer in answers if isinstance(look := answer[number], Look)]
                if looks:
                    self._note_state_sync(looks)
                    self._samples[number] = agreed(number, [look.findings for look in looks], self.endpoints)
        return [self._samples[number] for number in wanted if number in self._samples]

    async def _looks(self, endpoint: Endpoint, numbers: Sequence[int]) -> dict[int, Look | Missing]:
        looks = await asyncio.gather(*(self._look(endpoint, number) for number in numbers))
        if all(isinstance(look, Missing) for look in looks):
            raise Unreachable(self.failures[endpoint.name])
        return dict(zip(numbers, looks, strict=True))

    async def _look(self, endpoint: Endpoint, number: int) -> Look | Missing:
        for _ in range(ATTEMPTS):
            try:
                (raw,) = await endpoint.blocks([number])
                return await self._runtime.compute(_examination(raw, number, self._base))
            except Throttled as error:
                words = error.reason
                await self._runtime.sleep(error.retry_after_s or THROTTLED_WAIT_S)
            except (SourceError, ProofFailure) as error:
                words = error.reason if isinstance(error, SourceError) else str(error)
                break
        self.failures[endpoint.name] = words
        return Missing(words)

    def _note_state_sync(self, looks: Sequence[Look]) -> None:
        if sum(look.state_sync for look in looks) * 2 > self.endpoints and not self._base.state_sync:
            _log.info("state_sync_found", chain=self._base.name)
            self._base = replace(self._base, state_sync=True)

    def _check_numbers(self, numbers: Sequence[int], answers: Sequence[dict[int, Look | Missing]]) -> None:
        """Raise ConfigError where most endpoints have no block of a number, and the next one links past it."""
        for number in numbers:
            past = 0
            for answer in answers:
                below, here, above = (answer.get(each) for each in (number - 1, number, number + 1))
                if isinstance(below, Look) and isinstance(here, Missing) and isinstance(above, Look):
                    past += above.parent_hash == below.hash
            if past * 2 > self.endpoints:
                raise ConfigError(holes(number))

    def _no_block(self) -> str:
        words = "; ".join(f"{name}: {text}" for name, text in sorted(self.failures.items()))
        return (
            f"{self._base.name} has to be looked at first, and no endpoint gives a whole block: {words or 'no answer'}"
        )


def holes(number: int) -> str:
    """The sentence about a chain whose numbers are not all used."""
    return (
        f"there is no block {number} on this chain, though block {number + 1} builds on block {number - 1}: a chain "
        "whose numbers have holes (null rounds) cannot be stored"
    )


async def every(pool: Pool, work: Callable[[Endpoint], Awaitable[T]], silent: set[Endpoint] | None = None) -> list[T]:
    """The answers of all endpoints of the chain, those included that rest after a failure.

    Args:
        silent: endpoints that are left alone; one that does not answer in time is added.
    """
    silent = set() if silent is None else silent

    async def one(endpoint: Endpoint) -> list[T]:
        try:
            async with asyncio.timeout(ANSWER_S):
                return [await work(endpoint)]
        except SourceError:
            return []
        except TimeoutError:
            silent.add(endpoint)
            return []

    asked = [endpoint for endpoint in pool.endpoints if pool.serves(endpoint) and endpoint not in silent]
    return [answer for found in await asyncio.gather(*map(one, asked)) for answer in found]


async def height(pool: Pool, first: int = 0) -> int:
    """The highest block that most endpoints have, DEPTH below their heads, or less on a short chain.

    Args:
        first: a block that matters; where it is nearer to the head, the head itself.

    Raises:
        SourceError, ProofFailure: no endpoint names its head; what the last one said.
    """
    reported = await every(pool, lambda endpoint: endpoint.heads())
    if not reported:  # wait for the first that answers again
        reported = [await pool.ask(lambda endpoint: endpoint.heads())]
    heads = sorted((found.latest.number for found in reported), reverse=True)
    head = heads[len(heads) // 2]
    old_enough = head - min(DEPTH, head // 4)
    return old_enough if first <= old_enough else head


def _examination(raw: RawBlock, number: int, base: ChainSpec) -> Callable[[], Look]:
    def examine() -> Look:
        bundle = _read(raw, base)
        header = bundle.block.header
        if header.number != number:
            raise Rejected(f"block {header.number} where {number} was asked for")
        found = base
        state_sync = not base.state_sync and has_state_sync(bundle)
        if state_sync:
            found = replace(base, state_sync=True)
        return Look(header.hash, header.parent_hash, findings(bundle, found), state_sync)

    return examine


def _ascending(clusters: dict[int, list[Sample]]) -> list[list[Sample]]:
    """The samples by number, each once, from one cluster's height to the next."""
    heights = sorted(clusters)
    found: list[list[Sample]] = [[] for _ in heights]
    samples = {sample.number: sample for cluster in clusters.values() for sample in cluster}
    for number in sorted(samples):
        found[max(0, bisect_right(heights, number) - 1)].append(samples[number])
    return found


def _read(raw: RawBlock, base: ChainSpec) -> Bundle:
    """The block as answered, in the reading that its commitments confirm, where there are several."""
    oddities = Oddities()
    bundle = read_bundle(raw.block, raw.receipts, oddities)
    for check in ("hash", "receipts"):
        with suppress(ProofFailure, Rejected):
            alone = replace(base, checks=(check,), ranges=())
            bundle, _ = prove_reading(bundle, raw.receipts, alone, oddities)
    return bundle


def _spread(low: int, high: int, count: int) -> list[int]:
    return sorted({low + (high - low) * step // count for step in range(count + 1)})


def _is(sample: Sample, check: str, form: int) -> bool:
    return check in sample.forms and sample.forms[check].form == form


def _fails_any(sample: Sample) -> bool:
    return any(finding.form != FULL for finding in sample.forms.values())


def _fails(sample: Sample, check: str) -> bool:
    return check in sample.forms and sample.forms[check].form != FULL


def _enough(samples: Iterable[Sample]) -> bool:
    found = list(samples)
    for check in LOWERABLE:
        failing = sum(_fails(sample, check) for sample in found)
        compared = sum(check in sample.forms for sample in found)
        if 0 < failing < FAILING_MIN or (check in TELLING and compared < COMPARED_MIN):
            return False
    return True


def _tells(clusters: Iterable[Sequence[Sample]]) -> bool:
    """Whether anything could be compared at all, for each of TELLING."""
    seen = {check for cluster in clusters for sample in cluster for check in sample.forms}
    return seen.issuperset(TELLING)


def _undoubted(sample: Sample) -> Sample:
    """The sample without what would lower a check."""
    kept = {check: finding for check, finding in sample.forms.items() if finding.form == FULL}
    return Sample(sample.number, kept, sample.disputed)
