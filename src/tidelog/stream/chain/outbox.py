"""A chain's outbox as messages: each row of `changes`, with the block's header or its logs."""

from msgspec import Struct

from tidelog.batch import Row
from tidelog.chain.forks.bookmarks import Place, WentBack
from tidelog.chain.projections import APPLY
from tidelog.chain.reading.outbox import Page as Changes
from tidelog.chain.reading.outbox import headers_of, in_order, last_change, next_changes
from tidelog.chain.rows.tables import CHANGES, LOGS
from tidelog.chain.written import Log, block_of, log_of
from tidelog.runtime import Runtime
from tidelog.store import Snapshot, Store
from tidelog.store.patience import patiently
from tidelog.stream.backlog import Page
from tidelog.stream.chain.messages import Detail, messages_of, reset_message
from tidelog.stream.port import Message
from tidelog.telemetry import StreamMetrics

__all__ = ["LIMITS", "Outbox", "OutboxLimits"]

_KIND, _NUMBER, _HASH = (CHANGES.index(name) for name in ("kind", "number", "hash"))


class OutboxLimits(Struct, frozen=True):
    """How much is read at once."""

    page_changes: int = 256
    page_blocks_of_logs: int = 16  # the same where logs are published: a block may have ten thousand
    store_patience_s: float = 86_400.0  # that a database may be away: its outbox keeps what is to be published


LIMITS = OutboxLimits()


class Outbox:
    """A `Backlog` of the changes of one chain of a store."""

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
        self.source = f"chain {chain}"
        self.origin = "store"
        self.last = 0
        self._store = store
        self._runtime = runtime
        self._chain = chain
        self._detail: Detail = detail
        self._metrics = metrics or StreamMetrics()
        self._limits = limits

    async def next(self, place: Place, payload_max: int) -> Page:
        """See `Backlog`. A database that is away is waited for."""
        limits = self._limits
        rows_max = limits.page_changes if self._detail == "header" else limits.page_blocks_of_logs

        async def read() -> Page:
            async with self._store.snapshot() as snapshot:
                changes = await next_changes(snapshot, self._chain, place, rows_max)
                self.last = self._metrics.stored_seq = await last_change(snapshot, self._chain) or 0
                messages = await self._messages(snapshot, place, changes, payload_max)
                return Page(changes.verdict, changes.place, messages, bool(changes.rows))

        return await patiently(self._runtime, read, patience_s=limits.store_patience_s)

    async def _messages(self, snapshot: Snapshot, place: Place, page: Changes, payload_max: int) -> list[Message]:
        found: list[Message] = []
        if isinstance(page.verdict, WentBack):
            found.append(reset_message(self._chain, place, page.begun))
        headers = await headers_of(snapshot, self._chain, page.rows)
        for row, before, _ in in_order(self._chain, page):
            block = headers.get(row[_HASH]) if row[_KIND] == APPLY else None
            logs = None if self._detail == "header" else await self._logs(snapshot, row, block is not None)
            found += messages_of(
                self._chain, row, before, None if block is None else block_of(block), logs, payload_max
            )
        return found

    async def _logs(self, snapshot: Snapshot, row: Row, is_there: bool) -> list[Log]:
        if not is_there:
            return []
        number = row[_NUMBER]
        assert isinstance(number, int)
        return [log_of(log) for log in await snapshot.select(LOGS, scope=self._chain, low=number, high=number)]

    async def close(self) -> None:
        """Nothing: the store is the caller's."""
