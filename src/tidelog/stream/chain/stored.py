"""A chain's backlog as a store has it: what is the same whether its changes are read or its final blocks.

Each page is read from one snapshot; a database that is away is waited for.
"""

from abc import ABC, abstractmethod

from msgspec import Struct

from tidelog.chain.forks.bookmarks import Place
from tidelog.chain.rows.tables import LOGS
from tidelog.chain.written import Log, log_of
from tidelog.runtime import Runtime
from tidelog.store import Snapshot, Store
from tidelog.store.patience import patiently
from tidelog.stream.backlog import Page
from tidelog.stream.chain.messages import Detail
from tidelog.telemetry import StreamMetrics

__all__ = ["LIMITS", "ChainLimits", "StoredBacklog"]


class ChainLimits(Struct, frozen=True):
    """How much is read at once."""

    page_blocks: int = 256
    page_blocks_of_logs: int = 16  # the same where logs are published: a block may have ten thousand
    store_patience_s: float = 86_400.0  # that a database may be away: it keeps what is to be published


LIMITS = ChainLimits()


class StoredBacklog(ABC):
    """A `Backlog` of one chain of a store."""

    origin = "store"

    def __init__(
        self,
        store: Store,
        runtime: Runtime,
        chain: int,
        *,
        detail: Detail = "header",
        metrics: StreamMetrics | None = None,
        limits: ChainLimits = LIMITS,
    ) -> None:
        self.last = 0
        self._store = store
        self._runtime = runtime
        self._chain = chain
        self._detail: Detail = detail
        self._metrics = metrics or StreamMetrics()
        self._limits = limits

    @property
    def source(self) -> str:
        """See `Backlog`."""
        return f"chain {self._chain}"

    async def next(self, place: Place, payload_max: int) -> Page:
        """See `Backlog`."""
        limits = self._limits
        count = limits.page_blocks if self._detail == "header" else limits.page_blocks_of_logs

        async def read() -> Page:
            async with self._store.snapshot() as snapshot:
                return await self._page(snapshot, place, count, payload_max)

        return await patiently(self._runtime, read, patience_s=limits.store_patience_s)

    @abstractmethod
    async def _page(self, snapshot: Snapshot, place: Place, count: int, payload_max: int) -> Page:
        """What comes behind a place: of `count` blocks at most."""

    def _note_last(self, last: int) -> None:
        self.last = self._metrics.stored_seq = last

    async def _logs(self, snapshot: Snapshot, number: int) -> list[Log] | None:
        """A stored block's logs; None: none are published."""
        if self._detail == "header":
            return None
        return [log_of(log) for log in await snapshot.select(LOGS, scope=self._chain, low=number, high=number)]

    async def close(self) -> None:
        """The store is the caller's, and stays open."""
        return
