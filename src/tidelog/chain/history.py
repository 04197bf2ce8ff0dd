"""Fetch a range of blocks ahead of the committer: many requests at once, bounded, answers in order.

Blocks are asked for by number, whole, in units of what an endpoint takes at once; how many units are under way
is bounded, and so is in bytes what was fetched and not yet taken, so that memory stays flat however long the
range is and however slow the database. A block that fails costs no other: what was proven before it is given
out first, and until it is there nothing is fetched beyond it again.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from functools import partial
from typing import NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from tidelog.chain.blocks import RawBlock
from tidelog.chain.gate import URGENT
from tidelog.chain.intake import Proven, Rules, take_in
from tidelog.chain.pool import Pool
from tidelog.chain.rpc import Endpoint
from tidelog.chain.uncles import UncleSource
from tidelog.chain.wire import decode_block
from tidelog.errors import ProofFailure, Rejected, SourceError
from tidelog.runtime import Runtime

APART_BYTES = 256 * 1024  # from here on a process of its own gains more than the way there costs
AHEAD_UNITS = 12  # units whose answers may wait or be under way
AHEAD_UNITS_SMALL = 32  # ... while they are small: as many as an endpoint may have requests in flight
AHEAD_ROUNDS = 2  # units for each request that may be in flight: more would wait, of a size that is outgrown
SMALL_BYTES = 4 * 1024 * 1024  # of all that is ahead, up to which units count as small
AHEAD_BYTES_MAX = 48 * 1024 * 1024  # answers that may wait: rows take about twice the bytes of their JSON
BLOCK_BYTES_FIRST = 1024 * 1024  # of an answer before a block was seen: large, so that the start is careful
_OF_RECEIPTS = ("receipts", "derived", "bloom")  # checks that fail where receipts are not the block's

Failure = SourceError | ProofFailure


class Fetched(NamedTuple):
    """Blocks that were proven, in order, and what the first one that is missing failed by."""

    blocks: list[Proven]
    failure: Failure | None

    def required(self) -> list[Proven]:
        """All blocks. Raises SourceError or ProofFailure if one is missing."""
        if self.failure is not None:
            raise self.failure
        return self.blocks


class _Judgement(Struct, frozen=True):
    """What proving one block came to."""

    proven: Proven | None = None
    failure: Failure | None = None
    receipts_suspect: bool = False  # the block itself may be right


class _Unit(NamedTuple):
    """Blocks that were asked for, or wait to be taken."""

    task: "asyncio.Task[Fetched]"
    keys: range

    def size_bytes(self, block_bytes: float) -> float:
        """The answer's size; what it may become as long as it is not there."""
        if self.task.done() and not self.task.cancelled() and self.task.exception() is None:
            return sum(block.size_bytes for block in self.task.result().blocks)
        return len(self.keys) * block_bytes


class Fetcher:
    """Asks the pool for blocks and gives them back proven."""

    def __init__(self, pool: Pool, runtime: Runtime, rules: Rules) -> None:
        self.rules = rules
        self._pool = pool
        self._runtime = runtime
        self._uncles = UncleSource()
        self._block_bytes = float(BLOCK_BYTES_FIRST)  # a moving average
        self._units = 0  # so far: the rank of the next one
        self._troubled: int | None = None  # a block that failed, beyond which nothing is fetched until it is there

    def request_blocks(self) -> int:
        """How many blocks are a unit: what the endpoint that takes most takes at once."""
        return max(endpoint.blocks_at_once for endpoint in self._pool.endpoints)

    async def blocks(self, keys: Sequence[int | bytes], *, range_first: int | None = None) -> list[Proven]:
        """The blocks of `keys`, proven, in order.

        Raises:
            SourceError, ProofFailure: as `Pool.ask`.
        """
        return (await self.some(keys, range_first=range_first)).required()

    async def some(
        self,
        keys: Sequence[int | bytes],
        *,
        range_first: int | None = None,
        rank: int = URGENT,
        downwards: bool = False,
    ) -> Fetched:
        """As many of the first blocks of `keys` as can be had, the last ones if `downwards`, proven, in order."""
        found: dict[int | bytes, Proven] = {}
        failure: Failure | None = None
        while failure is None and (missing := [key for key in keys if key not in found]):
            lowest = min((key for key in missing if isinstance(key, int)), default=None)
            try:
                await self._pool.ask(
                    partial(self._take, missing, found, range_first, rank),
                    number=lowest,
                    blocks=min(len(missing), self.request_blocks()),
                )
            except (SourceError, ProofFailure) as error:
                failure = error
        if found:
            mean = sum(block.size_bytes for block in found.values()) / len(found)
            self._block_bytes += (mean - self._block_bytes) / 2
        blocks: list[Proven] = []
        for key in reversed(keys) if downwards else keys:
            if key not in found:
                break
            blocks.append(found[key])
        return Fetched(blocks[::-1] if downwards else blocks, failure)

    async def _take(
        self,
        missing: Sequence[int | bytes],
        found: dict[int | bytes, Proven],
        range_first: int | None,
        rank: int,
        endpoint: Endpoint,
    ) -> None:
        """Get what the endpoint takes at once of what is still missing; raise the first failure after that."""
        keys = [key for key in missing if key not in found][: endpoint.blocks_at_once]
        outcomes = await self._uncles.added(endpoint, await endpoint.bundles(keys, rank=rank), rank=rank)
        failures: list[Failure] = [outcome for outcome in outcomes if isinstance(outcome, SourceError)]
        raws = {key: raw for key, raw in zip(keys, outcomes, strict=True) if isinstance(raw, RawBlock)}
        for key, judgement in (await self._judged(raws, range_first, endpoint)).items():
            failure: Failure | None = judgement.failure
            if judgement.proven is not None:
                found[key] = judgement.proven
                endpoint.notice(judgement.proven.oddities, judgement.proven.link.number)
                if not raws[key].singly:
                    endpoint.judged(True)
            elif judgement.receipts_suspect and not raws[key].singly:
                failure = await self._take_singly(key, raws[key], found, range_first, rank, endpoint, failure)
            if failure is not None:
                failures.append(failure)
        if failures:
            raise failures[0]

    async def _take_singly(
        self,
        key: int | bytes,
        raw: RawBlock,
        found: dict[int | bytes, Proven],
        range_first: int | None,
        rank: int,
        endpoint: Endpoint,
        failure: Failure | None,
    ) -> Failure | None:
        """Ask for the receipts one by one: the same node may have the right ones. `failure` is of the others."""
        try:
            again = await endpoint.singly(raw, rank=rank)
        except Rejected:
            return failure
        except SourceError as error:
            return error
        again = replace(again, uncles=raw.uncles)
        judgement = (await self._judged({key: again}, range_first, endpoint))[key]
        if judgement.proven is not None:
            found[key] = judgement.proven
            endpoint.notice(judgement.proven.oddities, judgement.proven.link.number)
            endpoint.judged(False)
        return judgement.failure

    async def _judged(
        self, raws: dict[int | bytes, RawBlock], range_first: int | None, endpoint: Endpoint
    ) -> dict[int | bytes, _Judgement]:
        """Prove blocks, each by itself, off the event loop."""
        now_ms = int(self._runtime.now() * 1000)
        take_one = partial(
            take_in,
            rules=self.rules,
            range_first=range_first,
            endpoint=endpoint.name,
            now_ms=now_ms,
            redact=endpoint.redact,
        )
        work = partial(_judge_all, list(raws.items()), take_one)
        large = sum(raw.size_bytes for raw in raws.values()) >= APART_BYTES
        judgements = await (self._runtime.compute_apart(work) if large else self._runtime.compute(work))
        return dict(zip(raws, judgements, strict=True))

    async def ahead(
        self, first: int, last: int, *, range_first: int | None = None, downwards: bool = False
    ) -> AsyncGenerator[list[Proven], None]:
        """Blocks `first` to `last` in lists, each list ascending; the lists descend if `downwards`.

        Raises:
            SourceError, ProofFailure: a block could not be had; all before it have been given out.
        """
        waiting: deque[_Unit] = deque()
        low, high = first, last
        try:
            while waiting or low <= high:
                while low <= high and self._room(waiting):
                    count = min(self.request_blocks(), high - low + 1)
                    keys = range(high - count + 1, high + 1) if downwards else range(low, low + count)
                    low, high = (low, high - count) if downwards else (low + count, high)
                    self._units += 1
                    work = self.some(keys, range_first=range_first, rank=self._units, downwards=downwards)
                    waiting.append(_Unit(asyncio.create_task(work), keys))
                blocks, failure = await waiting[0].task
                keys = waiting.popleft().keys
                if failure is not None:
                    self._troubled = keys[-1 - len(blocks) if downwards else len(blocks)]
                elif self._troubled in keys:
                    self._troubled = None
                if blocks:
                    yield blocks
                if failure is not None:
                    raise failure
        finally:
            for unit in waiting:
                unit.task.cancel()
            await asyncio.gather(*(unit.task for unit in waiting), return_exceptions=True)

    def _room(self, waiting: Sequence[_Unit]) -> bool:
        if self._troubled is not None and any(self._troubled in unit.keys for unit in waiting):
            return False
        size = sum(unit.size_bytes(self._block_bytes) for unit in waiting)
        most = AHEAD_UNITS_SMALL if size < SMALL_BYTES else AHEAD_UNITS
        at_once = sum(int(endpoint.budget.in_flight_max) for endpoint in self._pool.endpoints)
        return not waiting or (len(waiting) < min(most, AHEAD_ROUNDS * at_once) and size < AHEAD_BYTES_MAX)


def _judge_all(
    raws: Sequence[tuple[int | bytes, RawBlock]],
    take_one: Callable[[Sequence[RawBlock], Sequence[int | bytes]], list[Proven]],
) -> list[_Judgement]:
    """Prove each block by itself."""
    judgements = []
    for key, raw in raws:
        try:
            (proven,) = take_one([raw], [key])
        except ProofFailure as failure:
            judgements.append(_Judgement(failure=failure, receipts_suspect=failure.check in _OF_RECEIPTS))
        except Rejected as failure:
            judgements.append(_Judgement(failure=failure, receipts_suspect=_is_block(raw, key)))
        else:
            judgements.append(_Judgement(proven))
    return judgements


def _is_block(raw: RawBlock, key: int | bytes) -> bool:
    """Whether the block that was asked for can be read, so that it is the receipts that cannot."""
    try:
        header = decode_block(raw.block).header
    except Rejected:
        return False
    return key in (header.number, header.hash)
