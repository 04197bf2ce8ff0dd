"""Fetch a selection of each block: its header first, and the whole block where the header's bloom does not exclude it.

A header costs a call without transactions, hundreds in a request. What it does not settle is fetched, proven and judged
as every whole block is; only then is left out what nobody selected.
"""

from collections.abc import Callable, Sequence
from functools import partial

from msgspec import Struct
from msgspec.structs import replace

from tidelog.chain.rows.layout import BlockRows
from tidelog.chain.select.headers import HeaderAnswer, excluded_blocks
from tidelog.chain.select.selection import Selection, bloom_decides
from tidelog.chain.source.client import Endpoint
from tidelog.chain.source.pool import Pool
from tidelog.chain.source.prefetch import PREFETCH_LIMITS, Attempt, Failure, Prefetcher, PrefetchLimits
from tidelog.chain.verify import Rules, VerifiedBlock
from tidelog.errors import ProofFailure, SourceError
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

    def request_blocks(self) -> int:
        """How many blocks are a unit: as many headers as one request has, or whole blocks where no bloom helps."""
        at_once = max(endpoint.headers_at_once for endpoint in self._pool.endpoints)
        return max(super().request_blocks(), min(self._selecting.headers, at_once))

    async def _find(
        self,
        keys: Sequence[int | bytes],
        found: dict[int | bytes, VerifiedBlock],
        attempts: list[Attempt] | None,
        range_first: int | None,
        rank: int,
    ) -> Failure | None:
        selection, rules = self._selection(), self.rules
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
        judge = partial(
            excluded_blocks,
            answers,
            self.rules,
            selection,
            range_first=range_first,
            now_ms=int(self._runtime.now() * 1000),
        )
        for each, block in zip(answers, await self._runtime.compute(judge), strict=True):
            if block is not None:
                excluded[each.key] = block
                endpoint.notice(block.oddities, block.ref.number)


def _kept(selection: Selection, blocks: Sequence[BlockRows]) -> list[BlockRows]:
    return [selection.of(block) for block in blocks]
