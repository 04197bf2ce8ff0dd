"""Fetch a range of blocks ahead of the committer: many requests at once, bounded, answers in order.

Blocks are asked for by number, whole, several to a request. How many follows from their size; how many
requests are under way follows from each endpoint's own limit. What is fetched and not yet taken is bounded
in bytes, so that memory stays flat however long the range is and however slow the database.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from functools import partial
from typing import NamedTuple

from tidelog.chain.intake import Proven, Rules, take_in
from tidelog.chain.pool import Pool
from tidelog.chain.rpc import Endpoint
from tidelog.errors import TooLarge
from tidelog.runtime import Runtime

REQUEST_BYTES = 2 * 1024 * 1024  # aimed at per request: large enough to amortise, small enough to share a core
APART_BYTES = 256 * 1024  # from here on a process of its own gains more than the way there costs
REQUEST_BLOCKS_MAX = 200  # tiny blocks: beyond it providers refuse the batch
BLOCKS_REGAINED = 1 / 16  # per request that succeeds: what was too large once need not be for ever
AHEAD_REQUESTS = 12  # requests whose answers may wait or be under way
AHEAD_BYTES_MAX = 48 * 1024 * 1024  # answers that may wait: rows take about twice the bytes of their JSON


class _Request(NamedTuple):
    """Blocks that were asked for, or wait to be taken."""

    task: asyncio.Task[list[Proven]]
    blocks: int

    def size_bytes(self, block_bytes: float) -> float:
        """The answer's size; what it may become as long as it is not there."""
        if self.task.done() and not self.task.cancelled() and self.task.exception() is None:
            return sum(block.size_bytes for block in self.task.result())
        return self.blocks * block_bytes


class Fetcher:
    """Asks the pool for blocks and gives them back proven."""

    def __init__(self, pool: Pool, runtime: Runtime, rules: Rules) -> None:
        self.rules = rules
        self._pool = pool
        self._runtime = runtime
        self._block_bytes = 1024.0 * 1024  # large until blocks have been seen; then a moving average
        self._blocks_max = float(REQUEST_BLOCKS_MAX)

    async def blocks(self, keys: Sequence[int | bytes], *, range_first: int | None = None) -> list[Proven]:
        """The blocks of `keys`, proven, in order; split where the answer would be too large.

        Raises:
            SourceError, ProofFailure: as `Pool.ask`.
        """
        lowest = min((key for key in keys if isinstance(key, int)), default=None)

        async def fetch(endpoint: Endpoint) -> list[Proven]:
            raws = await endpoint.blocks(keys)
            now_ms = int(self._runtime.now() * 1000)
            work = partial(
                take_in,
                raws,
                keys,
                self.rules,
                range_first=range_first,
                endpoint=endpoint.name,
                now_ms=now_ms,
                redact=endpoint.redact,
            )
            large = sum(raw.size_bytes for raw in raws) >= APART_BYTES
            return await (self._runtime.compute_apart(work) if large else self._runtime.compute(work))

        try:
            proven = await self._pool.ask(fetch, number=lowest, divisible=len(keys) > 1)
        except TooLarge:
            if len(keys) == 1:
                raise
            half = len(keys) // 2
            self._blocks_max = max(1, min(self._blocks_max, half))
            return [
                *await self.blocks(keys[:half], range_first=range_first),
                *await self.blocks(keys[half:], range_first=range_first),
            ]
        if proven:
            self._blocks_max = min(REQUEST_BLOCKS_MAX, self._blocks_max + BLOCKS_REGAINED)
            mean = sum(block.size_bytes for block in proven) / len(proven)
            self._block_bytes += (mean - self._block_bytes) / 2
        return proven

    def request_blocks(self) -> int:
        """How many blocks the next request should ask for."""
        return max(1, min(int(self._blocks_max), int(REQUEST_BYTES / max(1.0, self._block_bytes))))

    async def ahead(
        self, first: int, last: int, *, range_first: int | None = None, downwards: bool = False
    ) -> AsyncGenerator[list[Proven], None]:
        """Blocks `first` to `last` in lists, each list ascending; the lists descend if `downwards`."""
        waiting: deque[_Request] = deque()
        low, high = first, last
        try:
            while waiting or low <= high:
                while low <= high and self._room(waiting):
                    count = min(self.request_blocks(), high - low + 1)
                    keys = range(high - count + 1, high + 1) if downwards else range(low, low + count)
                    low, high = (low, high - count) if downwards else (low + count, high)
                    task = asyncio.create_task(self.blocks(list(keys), range_first=range_first))
                    waiting.append(_Request(task, count))
                blocks = await waiting[0].task
                waiting.popleft()
                yield blocks
        finally:
            for request in waiting:
                request.task.cancel()
            await asyncio.gather(*(request.task for request in waiting), return_exceptions=True)

    def _room(self, waiting: Sequence[_Request]) -> bool:
        size = sum(request.size_bytes(self._block_bytes) for request in waiting)
        return not waiting or (len(waiting) < AHEAD_REQUESTS and size < AHEAD_BYTES_MAX)
