"""Fetch a selection of each block: its header first, and the whole block where the header's bloom does not exclude it.

A header costs a call without transactions, hundreds in a request. What it does not settle is fetched, proven and judged
as every whole block is; only then is left out what nobody selected.

Where contracts create others, a block adds to what is selected of those behind it, which may have been looked at
before: units are fetched side by side. So blocks are gone through once more in their order. One that was looked at
when fewer children were known, and whose bloom does not exclude the others, is fetched again, whole.
"""

from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from functools import partial

from msgspec import Struct
from msgspec.structs import replace

from tidelog.chain.native import Declined
from tidelog.chain.rows.columns import BlockColumns
from tidelog.chain.rows.layout import BlockRows
from tidelog.chain.select.headers import HeaderAnswer, excluded_blocks
from tidelog.chain.select.selection import Selection, bloom_decides
from tidelog.chain.source.client import Endpoint
from tidelog.chain.source.gate import URGENT
from tidelog.chain.source.pool import Pool
from tidelog.chain.source.prefetch import PREFETCH_LIMITS, Attempt, Failure, Fetched, Prefetcher, PrefetchLimits
from tidelog.chain.verify import Rules, VerifiedBlock
from tidelog.errors import ProofFailure, Rejected, SourceError
from tidelog.runtime import Runtime
from tidelog.telemetry import ChainMetrics

__all__ = ["SELECTING_LIMITS", "SelectingLimits", "SelectingPrefetcher"]


class SelectingLimits(Struct, frozen=True):
    """How many headers are one unit."""

    headers: int = 256  # of some kilobytes each: with the blocks that match, what one commit is glad of


SELECTING_LIMITS = SelectingLimits()


class SelectingPrefetcher(Prefetcher):
    """A prefetcher whose blocks have what is selected, and nothing else but their headers.

    Args:
        selection: what is selected of the blocks that are asked for next.
    """

    def __init__(
        self,
        pool: Pool,
        runtime: Runtime,
        rules: Rules,
        selection: Callable[[], Selection],
        metrics: ChainMetrics | None = None,
        limits: PrefetchLimits = PREFETCH_LIMITS,
        selecting: SelectingLimits = SELECTING_LIMITS,
    ) -> None:
        super().__init__(pool, runtime, rules, metrics, limits)
        self._selection = selection
        self._selecting = selecting
        self._grown: Selection | None = None  # while blocks come in order: with the children that these have named

    def request_blocks(self) -> int:
        """How many blocks are a unit: as many headers as one request has, or whole blocks where no bloom helps."""
        at_once = max(endpoint.headers_at_once for endpoint in self._pool.endpoints)
        return max(super().request_blocks(), min(self._selecting.headers, at_once))

    @contextmanager
    def branch(self, keep: int) -> Iterator[None]:
        """Within it blocks are asked for in order that follow on block `keep`, and not on those stored above it."""
        with self._growing(self._selection().over(keep)):
            yield

    @contextmanager
    def _growing(self, selection: Selection) -> Iterator[Selection]:
        before, self._grown = self._grown, selection
        try:
            yield selection
        finally:
            self._grown = before

    async def some(self, keys: Sequence[int | bytes], *, range_first: int | None = None, rank: int = URGENT) -> Fetched:
        """As many of the first blocks of `keys` as can be had, proven, in order."""
        with self._growing(self._grown or self._selection().over()) as grown:
            found = await super().some(keys, range_first=range_first, rank=rank)
            seen = await self._seen(found.blocks, grown, range_first, rank)
        return Fetched(seen.blocks, seen.failure or found.failure)

    async def prefetch(
        self, first: int, last: int, *, range_first: int | None = None, downwards: bool = False
    ) -> AsyncGenerator[list[VerifiedBlock], None]:
        """Blocks `first` to `last` in lists, as every prefetcher gives them.

        Downwards the blocks come before those that name the children that log in them: what is missing then, who
        commits them has to see to.
        """
        lists = super().prefetch(first, last, range_first=range_first, downwards=downwards)
        if downwards:  # it may go on beside others
            async with aclosing(lists):
                async for blocks in lists:
                    yield blocks
            return
        with self._growing(self._selection().over()) as grown:
            async with aclosing(lists):
                async for blocks in lists:
                    seen = await self._seen(blocks, grown, range_first, URGENT)
                    if seen.blocks:
                        yield seen.blocks
                    if seen.failure is not None:
                        raise seen.failure

    async def _seen(
        self, blocks: Sequence[VerifiedBlock], grown: Selection, range_first: int | None, rank: int
    ) -> Fetched:
        """The blocks with all that is selected of them, once what each names is known; they come in order."""
        if not grown.grows:
            return Fetched(list(blocks), None)
        whole: dict[bytes, VerifiedBlock] = {}
        found: list[VerifiedBlock] = []
        for place, block in enumerate(blocks):
            if block.ref.hash not in whole and self._is_outdated(block, grown):
                left = [each for each in blocks[place:] if each.ref.hash not in whole]
                again = [each.ref.hash for each in left if self._is_outdated(each, grown)]
                came: dict[int | bytes, VerifiedBlock] = {}
                failure = await super()._find(again, came, None, range_first, rank)
                whole |= {each.ref.hash: each for each in came.values()}
                if block.ref.hash not in whole:
                    return Fetched(found, failure)
            if block.ref.hash in whole:
                came_whole = whole[block.ref.hash]
                if came_whole.ref != block.ref:  # where no hash can be checked
                    return Fetched(found, Rejected(f"block {block.ref.number} came with another parent than before"))
                block = replace(came_whole, rows=grown.of(came_whole.rows))
            grown.meet(block.rows)
            found.append(block)
        return Fetched(found, None)

    def _is_outdated(self, block: VerifiedBlock, grown: Selection) -> bool:
        """Whether it may have logs of children that were not known when it was looked at."""
        missed = grown.births.added[block.children_known :]
        if not missed:
            return False
        header = BlockColumns._make(block.rows.block)
        if not bloom_decides(self.rules.spec, header.number):
            return True
        return grown.may_have_of(missed, header.number, header.logs_bloom)

    async def _find(
        self,
        keys: Sequence[int | bytes],
        found: dict[int | bytes, VerifiedBlock],
        attempts: list[Attempt] | None,
        range_first: int | None,
        rank: int,
    ) -> Failure | None:
        selection, rules = self._grown or self._selection(), self.rules
        known = len(selection.births.added)
        excluded: dict[int | bytes, VerifiedBlock] = {}
        asked = [key for key in keys if isinstance(key, bytes) or bloom_decides(rules.spec, key)]
        if asked:
            try:
                await self._pool.ask(partial(self._take_headers, asked, excluded, selection, range_first, rank))
            except (SourceError, ProofFailure) as error:
                return error
        whole: dict[int | bytes, VerifiedBlock] = {}
        left = [key for key in keys if key not in excluded]
        failure = await super()._find(left, whole, attempts, range_first, rank)
        found |= excluded
        if whole:
            rows = [block.rows for block in whole.values()]
            kept = await self._runtime.compute(partial(_kept, selection, rows))
            found |= {key: replace(block, rows=one) for (key, block), one in zip(whole.items(), kept, strict=True)}
        if known:
            found |= {key: replace(found[key], children_known=known) for key in (*excluded, *whole)}
        return failure

    async def _take_headers(
        self,
        keys: Sequence[int | bytes],
        excluded: dict[int | bytes, VerifiedBlock],
        selection: Selection,
        range_first: int | None,
        rank: int,
        endpoint: Endpoint,
    ) -> None:
        answers = [
            HeaderAnswer(key, answer, endpoint.name, endpoint.redact)
            for key, answer in zip(keys, await endpoint.header_answers(keys, rank=rank), strict=True)
            if isinstance(answer, bytes)
        ]
        faults: list[tuple[int | bytes, Declined]] = []
        judge = partial(
            excluded_blocks,
            answers,
            self.rules,
            selection,
            range_first=range_first,
            now_ms=int(self._runtime.now() * 1000),
            faults=faults,
        )
        for each, block in zip(answers, await self._runtime.compute(judge), strict=True):
            if block is not None:
                excluded[each.key] = block
                endpoint.notice(block.oddities, block.ref.number)
        for key, fault in faults:
            self._count_declined(key, fault)


def _kept(selection: Selection, blocks: Sequence[BlockRows]) -> list[BlockRows]:
    return [selection.of(block) for block in blocks]
