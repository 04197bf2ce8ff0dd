"""A chain's final blocks as messages: in the order of their numbers, without reverts, since none is ever replaced.

They follow from the chain alone, whatever happened to the head meanwhile. So `seq` is the block's number and one, and
the writer is drawn from the first block of the stream: whoever fills it again from another store publishes the same.
"""

from msgspec import Struct

from tidelog.batch import INT_MAX, Row
from tidelog.chain.forks.bookmarks import Agreed, Ahead, Place, Verdict
from tidelog.chain.projections import APPLY
from tidelog.chain.reading.position import stored_position
from tidelog.chain.rows.tables import BLOCKS, LOGS
from tidelog.chain.written import block_of, log_of
from tidelog.errors import ConfigError, Corruption
from tidelog.runtime import Runtime
from tidelog.store import Snapshot, Store
from tidelog.store.patience import patiently
from tidelog.stream.backlog import Page
from tidelog.stream.chain.messages import Detail, final_subject, messages_of
from tidelog.stream.chain.outbox import LIMITS, OutboxLimits
from tidelog.stream.port import Message
from tidelog.telemetry import StreamMetrics

__all__ = ["FinalBlocks"]

_NUMBER, _HASH, _PARENT = (BLOCKS.index(name) for name in ("number", "hash", "parent_hash"))


class _Range(Struct, frozen=True):
    """What the store has: its first block, and its highest that is final."""

    first: int
    final: int


class FinalBlocks:
    """A `Backlog` of the final blocks of one chain of a store."""

    def __init__(
        self,
        store: Store,
        runtime: Runtime,
        chain: int,
        *,
        detail: Detail = "header",
        metrics: StreamMetrics | None = None,
        limits: OutboxLimits = LIMITS,
    ) -> None:
        self.source = f"chain {chain}, final"
        self.origin = "store"
        self.last = 0
        self._store = store
        self._runtime = runtime
        self._chain = chain
        self._detail: Detail = detail
        self._metrics = metrics or StreamMetrics()
        self._limits = limits

    async def next(self, place: Place, payload_max: int) -> Page:
        """See `Backlog`. ConfigError: the store begins above what the stream has."""
        limits = self._limits
        count = limits.page_changes if self._detail == "header" else limits.page_blocks_of_logs

        async def read() -> Page:
            async with self._store.snapshot() as snapshot:
                return await self._page(snapshot, place, count, payload_max)

        return await patiently(self._runtime, read, patience_s=limits.store_patience_s)

    async def _page(self, snapshot: Snapshot, place: Place, count: int, payload_max: int) -> Page:
        position = await stored_position(snapshot, self._chain)
        if position is None or position.finalized is None:
            return Page(self._verdict(place, 0), place, [], more=False)
        has = _Range(position.first, position.finalized)
        self.last = self._metrics.stored_seq = has.final + 1
        said = self._verdict(place, self.last)
        low = place.seq if place.seq else has.first
        if low < has.first:
            raise ConfigError(
                f"the stream ends with block {place.seq - 1}, and the store of {self.source} begins with block "
                f"{has.first}: give it another --stream"
            )
        rows: list[Row] = []
        if low <= has.final:
            high = min(has.final, low + count - 1)
            rows = await snapshot.select(BLOCKS, scope=self._chain, low=low, high=high)
        messages: list[Message] = []
        for number, row in enumerate(rows, low):
            if row[_NUMBER] != number:
                raise Corruption(f"the blocks of chain {self._chain} have a hole at {number}")
            after, writer = place, place.marks[0].writer if place.marks else _writer_of(row)
            change = (self._chain, number + 1, APPLY, number, row[_HASH], row[_PARENT], writer)
            place = after.advanced([change])
            logs = None
            if self._detail == "logs":
                logs = [log_of(log) for log in await snapshot.select(LOGS, scope=self._chain, low=number, high=number)]
            messages += messages_of(
                self._chain, change, after, block_of(row), logs, payload_max, subjects=final_subject(self._chain)
            )
        return Page(said, place, messages, more=bool(rows))

    def _verdict(self, place: Place, last: int) -> Verdict:
        return Agreed() if place.seq <= last else Ahead(last)

    async def close(self) -> None:
        """Nothing: the store is the caller's."""


def _writer_of(row: Row) -> int:
    block_hash = row[_HASH]
    assert isinstance(block_hash, bytes)
    return int.from_bytes(block_hash[:8], "big") & INT_MAX
