"""A chain's outbox as messages: each row of `changes`, with the block's header, and its logs or events."""

from tidelog.chain.forks.bookmarks import Place, WentBack
from tidelog.chain.projections import APPLY
from tidelog.chain.reading.outbox import headers_of, in_order, last_change, next_changes
from tidelog.chain.rows.tables import CHANGES
from tidelog.chain.written import block_of
from tidelog.store import Snapshot
from tidelog.stream.backlog import Page
from tidelog.stream.chain.messages import messages_of, reset_message
from tidelog.stream.chain.stored import StoredBacklog
from tidelog.stream.port import Message

__all__ = ["Outbox"]

_KIND, _HASH = CHANGES.index("kind"), CHANGES.index("hash")


class Outbox(StoredBacklog):
    """A `Backlog` of the changes of one chain of a store."""

    async def _page(self, snapshot: Snapshot, place: Place, count: int, payload_max: int) -> Page:
        changes = await next_changes(snapshot, self._chain, place, count)
        self._note_last(await self._last(snapshot))
        messages: list[Message] = []
        if isinstance(changes.verdict, WentBack):
            messages.append(reset_message(self._chain, place, changes.begun, self._encoding))
        headers = await headers_of(snapshot, self._chain, changes.rows)
        there = {block_hash: block_of(row) for block_hash, row in headers.items()}
        contents = await self._contents(snapshot, [block.number for block in there.values()])
        for row, before, _ in in_order(self._chain, changes):
            block = there.get(row[_HASH]) if row[_KIND] == APPLY else None
            content = contents(None if block is None else block.number)
            messages += messages_of(self._chain, row, before, block, content, payload_max, encoding=self._encoding)
        return Page(changes.verdict, changes.place, messages, bool(changes.rows))

    async def _last(self, snapshot: Snapshot) -> int:
        return await last_change(snapshot, self._chain) or 0
