"""Fetch a range of blocks ahead of the committer: many requests at once, bounded, answers in order.

Blocks are asked for by number, whole, in units of what an endpoint takes at once. What was asked for and not yet taken
is bounded in bytes, so that memory stays flat however long the range is and however slow the database; how large blocks
are, one unit alone finds out. A block that fails costs no other: what was proven before it is given out first, and
until it is there nothing is fetched beyond it again.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from tidelog import compiled
from tidelog.chain import native
from tidelog.chain.blocks import RawBlock
from tidelog.chain.decode.strict import decode_block
from tidelog.chain.source.client import Endpoint
from tidelog.chain.source.gate import URGENT
from tidelog.chain.source.pool import Pool
from tidelog.chain.source.uncles import UncleSource
from tidelog.chain.verify import Fetch, Rules, Stages, VerifiedBlock, verify_blocks
from tidelog.errors import ProofFailure, Rejected, SourceError
from tidelog.runtime import Runtime, clock
from tidelog.telemetry import ChainMetrics, logger, tracing

ERROR_CHARS_MAX = 200  # of a failure's words in a trace
_OF_RECEIPTS = ("receipts", "derived", "bloom")  # checks that fail where receipts are not the block's

Failure = SourceError | ProofFailure
Keyed = tuple[int | bytes, RawBlock]

_log = logger("prefetch")


class PrefetchLimits(Struct, frozen=True):
    """How much is fetched ahead."""

    apart_bytes: int = 256 * 1024  # from here on a process of its own gains more than the way there costs
    rounds: int = 2  # units for each request that may be in flight: more would wait, of a size that is outgrown
    bytes_max: int = 16 * 1024 * 1024  # of answers: each is held two or three times over while it becomes rows
    # of an answer, at the least, once a first one was seen: requests in flight grow from few to many, since each one is
    # wasted when a limit of the endpoint's is met
    block_bytes_first: int = 1024 * 1024


PREFETCH_LIMITS = PrefetchLimits()


class Fetched(NamedTuple):
    """Blocks that were proven, in order, and what the first one that is missing failed by."""

    blocks: list[VerifiedBlock]
    failure: Failure | None

    def required(self) -> list[VerifiedBlock]:
        """All blocks. Raises SourceError or ProofFailure if one is missing."""
        if self.failure is not None:
            raise self.failure
        return self.blocks


class _Judgement(Struct, frozen=True):
    """What proving one block came to."""

    proven: VerifiedBlock | None = None
    failure: Failure | None = None
    receipts_suspect: bool = False  # the block itself may be right
    began_s: float = 0.0  # where that was to be measured, by the monotonic clock
    ended_s: float = 0.0
    declined: native.Declined | None = None  # by the compiled core, so that it was proven here


class Attempt(NamedTuple):
    """A request and a block that it was for, for traces."""

    key: int | bytes
    fetch: Fetch


class _Unit(NamedTuple):
    """Blocks that were asked for, or wait to be taken."""

    task: "asyncio.Task[Fetched]"
    keys: range

    def size_bytes(self, block_bytes: float) -> float:
        """The answer's size; what it may become as long as it is not there."""
        if self.task.done() and not self.task.cancelled() and self.task.exception() is None:
            return sum(block.size_bytes for block in self.task.result().blocks)
        return len(self.keys) * block_bytes


class Prefetcher:
    """Asks the pool for blocks and gives them back proven."""

    def __init__(
        self,
        pool: Pool,
        runtime: Runtime,
        rules: Rules,
        metrics: ChainMetrics | None = None,
        limits: PrefetchLimits = PREFETCH_LIMITS,
    ) -> None:
        self._limits = limits
        self.rules = rules
        self._metrics = metrics
        if metrics is not None:
            for outcome in (native.TAKEN, *native.REASONS):
                metrics.core_blocks.labels(outcome)  # there from the start, so that a first one shows
        self._pool = pool
        self._runtime = runtime
        self._uncles = UncleSource()
        self._block_bytes: float | None = None  # of an answer, a moving average; None before the first one
        self._units = 0  # so far: the rank of the next one
        self._troubled: int | None = None  # a block that failed, beyond which nothing is fetched until it is there

    def request_blocks(self) -> int:
        """How many blocks are a unit: what the endpoint that takes most takes at once."""
        return self._whole_at_once()

    def _whole_at_once(self) -> int:
        return max(endpoint.blocks_at_once for endpoint in self._pool.endpoints)

    async def blocks(self, keys: Sequence[int | bytes], *, range_first: int | None = None) -> list[VerifiedBlock]:
        """The blocks of `keys`, proven, in order.

        Raises:
            SourceError, ProofFailure: as `Pool.ask`.
        """
        return (await self.some(keys, range_first=range_first)).required()

    @contextmanager
    def branch(self, keep: int) -> Iterator[None]:
        """Within it blocks are asked for in order that follow on block `keep`, and not on those stored above it."""
        yield

    async def some(self, keys: Sequence[int | bytes], *, range_first: int | None = None, rank: int = URGENT) -> Fetched:
        """As many of the first blocks of `keys` as can be had, proven, in order."""
        return await self._unit(keys, range_first, rank)

    async def _unit(
        self, keys: Sequence[int | bytes], range_first: int | None, rank: int, *, downwards: bool = False
    ) -> Fetched:
        """As many of the first blocks of `keys` as can be had, the last ones if `downwards`, proven, in order."""
        found: dict[int | bytes, VerifiedBlock] = {}
        attempts: list[Attempt] | None = None if tracing.active() is None else []
        failure = await self._find(keys, found, attempts, range_first, rank)
        if found:
            mean = sum(block.size_bytes for block in found.values()) / len(found)
            known = self._block_bytes
            self._block_bytes = max(mean, self._limits.block_bytes_first) if known is None else (known + mean) / 2
        blocks: list[VerifiedBlock] = []
        for key in reversed(keys) if downwards else keys:
            if key not in found:
                break
            blocks.append(found[key] if attempts is None else _staged(found[key], key, attempts))
        return Fetched(blocks[::-1] if downwards else blocks, failure)

    async def _find(
        self,
        keys: Sequence[int | bytes],
        found: dict[int | bytes, VerifiedBlock],
        attempts: list[Attempt] | None,
        range_first: int | None,
        rank: int,
    ) -> Failure | None:
        """Put the blocks of `keys` into `found`, as many as can be had; what stopped it, if not all."""
        while missing := [key for key in keys if key not in found]:
            lowest = min((key for key in missing if isinstance(key, int)), default=None)
            try:
                await self._pool.ask(
                    partial(self._take, missing, found, attempts, range_first, rank),
                    number=lowest,
                    blocks=min(len(missing), self._whole_at_once()),
                )
            except (SourceError, ProofFailure) as error:
                return error
        return None

    async def _take(
        self,
        missing: Sequence[int | bytes],
        found: dict[int | bytes, VerifiedBlock],
        attempts: list[Attempt] | None,
        range_first: int | None,
        rank: int,
        endpoint: Endpoint,
    ) -> None:
        """Get what the endpoint takes at once of what is still missing; raise the first failure after that."""
        keys = [key for key in missing if key not in found][: endpoint.blocks_at_once]
        began_s = self._runtime.monotonic()
        try:
            outcomes = await self._uncles.added(endpoint, await endpoint.bundles(keys, rank=rank), rank=rank)
        except BaseException as error:
            self._note(attempts, keys, endpoint, began_s, dict.fromkeys(keys, error))
            raise
        answered_s = self._runtime.monotonic()
        refused: dict[int | bytes, BaseException] = {
            key: outcome for key, outcome in zip(keys, outcomes, strict=True) if isinstance(outcome, SourceError)
        }
        failures: list[Failure] = [outcome for outcome in outcomes if isinstance(outcome, SourceError)]
        raws = {key: raw for key, raw in zip(keys, outcomes, strict=True) if isinstance(raw, RawBlock)}
        for key, judgement in (await self._judged(raws, range_first, endpoint)).items():
            failure: Failure | None = judgement.failure
            if judgement.proven is not None:
                found[key] = _timed(judgement.proven, judgement)
                endpoint.notice(judgement.proven.oddities, judgement.proven.ref.number)
                if not raws[key].singly:
                    endpoint.judged(True)
            elif judgement.receipts_suspect and not raws[key].singly:
                failure = await self._ask_singly(key, raws[key], found, range_first, rank, endpoint, failure)
            if failure is not None:
                failures.append(failure)
                refused[key] = failure
        self._note(attempts, keys, endpoint, began_s, refused, answered_s)
        if failures:
            raise failures[0]

    def _note(
        self,
        attempts: list[Attempt] | None,
        keys: Sequence[int | bytes],
        endpoint: Endpoint,
        began_s: float,
        refused: Mapping[int | bytes, BaseException],
        answered_s: float | None = None,
    ) -> None:
        """For the traces of the blocks that were asked for, where there are any: who gave which, and why not."""
        if attempts is None:
            return
        ended_s = self._runtime.monotonic() if answered_s is None else answered_s
        for key in keys:
            error = None if key not in refused else _words(refused[key])
            attempts.append(Attempt(key, Fetch(endpoint.name, began_s, ended_s, len(keys), error)))

    async def _ask_singly(
        self,
        key: int | bytes,
        raw: RawBlock,
        found: dict[int | bytes, VerifiedBlock],
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
            found[key] = _timed(judgement.proven, judgement)
            endpoint.notice(judgement.proven.oddities, judgement.proven.ref.number)
            endpoint.judged(False)
        return judgement.failure

    async def _judged(
        self, raws: dict[int | bytes, RawBlock], range_first: int | None, endpoint: Endpoint
    ) -> dict[int | bytes, _Judgement]:
        """Prove blocks, each by itself, off the event loop: by the compiled core where it is, else in Python."""
        options: dict[str, Any] = {
            "rules": self.rules,
            "range_first": range_first,
            "endpoint": endpoint.name,
            "now_ms": int(self._runtime.now() * 1000),
            "redact": endpoint.redact,
        }
        in_python = partial(verify_blocks, **options)
        by_core = partial(native.verify_blocks, **options) if compiled.core().module is not None else None
        timer = None if tracing.active() is None else clock
        items = list(raws.items())
        if sum(raw.size_bytes for raw in raws.values()) < self._limits.apart_bytes:
            judged = await self._runtime.compute(partial(_judge_all, items, in_python, by_core, timer))
        elif by_core is None:
            judged = await self._runtime.compute_apart(partial(_judge_all, items, in_python, None, timer))
        else:  # in a thread, since the core releases the interpreter's lock; what it declines, in a process
            judged = await self._runtime.compute(partial(_judge_by_core, items, by_core, timer))
            left = [item for item, judgement in zip(items, judged, strict=True) if judgement.proven is None]
            if left:
                again = iter(await self._runtime.compute_apart(partial(_judge_all, left, in_python, None, timer)))
                judged = [_after(one, next(again)) if one.proven is None else one for one in judged]
        if by_core is not None:
            self._count(raws, judged)
        return dict(zip(raws, judged, strict=True))

    def _count(self, keys: Iterable[int | bytes], judged: Sequence[_Judgement]) -> None:
        """Count what the compiled core took and declined, and say its faults."""
        for key, judgement in zip(keys, judged, strict=True):
            if judgement.declined is not None:
                self._count_declined(key, judgement.declined)
            elif self._metrics is not None:
                self._metrics.core_blocks.labels(native.TAKEN).inc()

    def _count_declined(self, key: int | bytes, declined: native.Declined) -> None:
        if self._metrics is not None:
            self._metrics.core_blocks.labels(declined.reason).inc()
        if declined.reason == native.FAULT:
            block = f"0x{key.hex()}" if isinstance(key, bytes) else key
            _log.error("core_fault", block=block, error=declined.what)

    async def prefetch(
        self, first: int, last: int, *, range_first: int | None = None, downwards: bool = False
    ) -> AsyncGenerator[list[VerifiedBlock], None]:
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
                    work = self._unit(keys, range_first, self._units, downwards=downwards)
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
        block_bytes = self._block_bytes
        if block_bytes is None:  # nothing is known of the blocks' size: one unit alone finds it out
            return not waiting
        size = sum(unit.size_bytes(block_bytes) for unit in waiting)
        at_once = sum(int(endpoint.budget.in_flight_max) for endpoint in self._pool.endpoints)
        return not waiting or (len(waiting) < self._limits.rounds * at_once and size < self._limits.bytes_max)


def _judge_all(
    items: Sequence[Keyed],
    in_python: Callable[[Sequence[RawBlock], Sequence[int | bytes]], list[VerifiedBlock]],
    by_core: Callable[[Sequence[RawBlock], Sequence[int | bytes]], list[VerifiedBlock | native.Declined]] | None,
    timer: Callable[[], float] | None,
) -> list[_Judgement]:
    """Prove each block by itself, what the core declines in Python; and say how long each took if there is a timer."""
    if by_core is None:
        return [_judge_in_python(item, in_python, timer) for item in items]
    return [
        judgement if judgement.proven is not None else _after(judgement, _judge_in_python(item, in_python, timer))
        for item, judgement in zip(items, _judge_by_core(items, by_core, timer), strict=True)
    ]


def _judge_by_core(
    items: Sequence[Keyed],
    by_core: Callable[[Sequence[RawBlock], Sequence[int | bytes]], list[VerifiedBlock | native.Declined]],
    timer: Callable[[], float] | None,
) -> list[_Judgement]:
    """Prove blocks together, or one by one if there is a timer. What is declined is neither proven nor a failure."""
    if timer is not None and len(items) > 1:
        return [judgement for item in items for judgement in _judge_by_core([item], by_core, timer)]
    began_s = 0.0 if timer is None else timer()
    outcomes = by_core([raw for _, raw in items], [key for key, _ in items])
    ended_s = 0.0 if timer is None else timer()
    return [
        _Judgement(outcome, began_s=began_s, ended_s=ended_s)
        if isinstance(outcome, VerifiedBlock)
        else _Judgement(declined=outcome)
        for outcome in outcomes
    ]


def _judge_in_python(
    item: Keyed,
    in_python: Callable[[Sequence[RawBlock], Sequence[int | bytes]], list[VerifiedBlock]],
    timer: Callable[[], float] | None,
) -> _Judgement:
    key, raw = item
    began_s = 0.0 if timer is None else timer()
    try:
        (proven,) = in_python([raw], [key])
    except ProofFailure as failure:
        return _Judgement(failure=failure, receipts_suspect=failure.check in _OF_RECEIPTS)
    except Rejected as failure:
        return _Judgement(failure=failure, receipts_suspect=_is_block(raw, key))
    return _Judgement(proven, began_s=began_s, ended_s=0.0 if timer is None else timer())


def _after(declined: _Judgement, judgement: _Judgement) -> _Judgement:
    """A judgement that was made in Python, since the core had declined the block."""
    return replace(judgement, declined=declined.declined)


def _timed(proven: VerifiedBlock, judgement: _Judgement) -> VerifiedBlock:
    """With when it was verified, where that was measured."""
    if judgement.ended_s == 0.0:
        return proven
    return replace(proven, stages=Stages((), judgement.began_s, judgement.ended_s))


def _staged(proven: VerifiedBlock, key: int | bytes, attempts: Sequence[Attempt]) -> VerifiedBlock:
    """With the endpoints that were asked for it until it was there."""
    if proven.stages is None:
        return proven
    fetches = tuple([attempt.fetch for attempt in attempts if attempt.key == key])
    return replace(proven, stages=replace(proven.stages, fetches=fetches))


def _words(error: BaseException) -> str:
    """What a trace says of a request that gave nothing."""
    known = isinstance(error, SourceError | ProofFailure)
    return str(error)[:ERROR_CHARS_MAX] if known else "given up: it was no longer wanted"


def _is_block(raw: RawBlock, key: int | bytes) -> bool:
    """Whether the block that was asked for can be read, so that it is the receipts that cannot."""
    try:
        header = decode_block(raw.block).header
    except Rejected:
        return False
    return key in (header.number, header.hash)
