"""A chain's backlog as a store has it: what is the same whether its changes are read or its final blocks.

Each page is read from one snapshot; a database that is away is waited for.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection

from msgspec import Struct

from tidelog.chain.forks.bookmarks import Place
from tidelog.chain.reading.outbox import stretches
from tidelog.chain.rows.tables import LOGS
from tidelog.chain.written import BlockEvents, Log, log_of
from tidelog.runtime import Runtime
from tidelog.store import Snapshot, Store
from tidelog.store.patience import patiently
from tidelog.stream.backlog import Page
from tidelog.stream.bodies import Encoding
from tidelog.stream.chain.events import block_events
from tidelog.stream.chain.messages import Content, Detail
from tidelog.stream.envelope import Part
from tidelog.telemetry import StreamFigures

__all__ = ["LIMITS", "ChainLimits", "StoredBacklog"]


class ChainLimits(Struct, frozen=True):
    """How much is read at once."""

    page_blocks: int = 256
    page_blocks_whole: int = 16  # the same where logs or events are published: a block may have ten thousand
    store_patience_s: float = 86_400.0  # that a database may be away: it keeps what is to be published


LIMITS = ChainLimits()
NOTHING = BlockEvents(events=[], uncovered=[])  # of a block that is not there any more


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
        encoding: Encoding = "json",
        metrics: StreamFigures | None = None,
        limits: ChainLimits = LIMITS,
    ) -> None:
        self.last = 0
        self._store = store
        self._runtime = runtime
        self._chain = chain
        self._detail: Detail = detail
        self._encoding: Encoding = encoding
        self._metrics = metrics or StreamFigures()
        self._limits = limits

    @property
    def source(self) -> str:
        """See `Backlog`."""
        return f"chain {self._chain}"

    def follow_on(self, newest: Part) -> None:
        """See `Backlog`. Nothing has to: a place names the writers of the changes before it."""
        return

    async def next(self, place: Place, payload_max: int) -> Page:
        """See `Backlog`."""
        limits = self._limits
        count = limits.page_blocks if self._detail == "header" else limits.page_blocks_whole

        async def read() -> Page:
            async with self._store.snapshot() as snapshot:
                return await self._page(snapshot, place, count, payload_max)

        return await patiently(self._runtime, read, patience_s=limits.store_patience_s)

    @abstractmethod
    async def _page(self, snapshot: Snapshot, place: Place, count: int, payload_max: int) -> Page:
        """What comes behind a place: of `count` blocks at most."""

    async def look(self) -> None:
        """See `Backlog`."""
        async with self._store.snapshot() as snapshot:
            self._note_last(await self._last(snapshot))

    @abstractmethod
    async def _last(self, snapshot: Snapshot) -> int:
        """How far it is, in the numbers of its places."""

    def _note_last(self, last: int) -> None:
        self.last = last
        self._metrics.note_stored(seq=last)

    async def _contents(self, snapshot: Snapshot, numbers: Collection[int]) -> Callable[[int | None], Content]:
        """What is published of some stored blocks beside their headers, by number; None: a block that is not there."""
        if self._detail == "header":
            return lambda number: None
        if self._detail == "logs":
            logs = {number: await self._logs(snapshot, number) for number in numbers}
            return lambda number: [] if number is None else logs[number]
        events: dict[int, BlockEvents] = {}
        for low, high in stretches(sorted(numbers)):
            events |= await block_events(snapshot, self._chain, low, high)
        return lambda number: NOTHING if number is None else events[number]

    async def _logs(self, snapshot: Snapshot, number: int) -> list[Log]:
        return [log_of(log) for log in await snapshot.select(LOGS, scope=self._chain, low=number, high=number)]

    async def close(self) -> None:
        """The store is the caller's, and stays open."""
        return
