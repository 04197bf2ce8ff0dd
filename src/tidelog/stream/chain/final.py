"""A chain's final blocks as messages: in the order of their numbers, without reverts, since none is ever replaced.

They follow from the chain alone, whatever happened to the head meanwhile. So `seq` is the block's number and one, and
the writer is drawn from the first block of the stream: whoever fills it again from another store publishes the same.
"""

from msgspec import Struct

from tidelog.batch import INT_MAX, Row
from tidelog.chain.forks.bookmarks import Agreed, Ahead, Place, Verdict
from tidelog.chain.projections import APPLY
from tidelog.chain.reading.position import stored_position
from tidelog.chain.rows.tables import BLOCKS
from tidelog.chain.written import block_of
from tidelog.errors import ConfigError, Corruption
from tidelog.json_values import hex_text
from tidelog.store import Snapshot
from tidelog.stream.backlog import Page
from tidelog.stream.chain.messages import ChainLanguage, Change, final_subject, messages_of
from tidelog.stream.chain.stored import StoredBacklog
from tidelog.stream.envelope import Part
from tidelog.stream.port import Message

__all__ = ["FinalBlocks"]

_NUMBER, _HASH, _PARENT = (BLOCKS.index(name) for name in ("number", "hash", "parent_hash"))


class _Range(Struct, frozen=True):
    """What the store has: its first block, and its highest that is final."""

    first: int
    final: int


class FinalBlocks(StoredBacklog):
    """A `Backlog` of the final blocks of one chain of a store. ConfigError: they do not follow on the stream's."""

    _newest: tuple[int, str] | None = None  # number and hash of the stream's last block, or of the last that was read

    @property
    def source(self) -> str:
        """See `Backlog`."""
        return f"chain {self._chain}, final"

    def follow_on(self, newest: Part) -> None:
        """See `Backlog`. Numbers alone do not say which chain they are of: one may have been begun anew by its id."""
        change = ChainLanguage(self._chain).joined([newest], 0)
        if isinstance(change, Change):
            self._newest = change.number, change.hash

    async def _page(self, snapshot: Snapshot, place: Place, count: int, payload_max: int) -> Page:
        position = await stored_position(snapshot, self._chain)
        if position is None or position.finalized is None:
            return Page(self._verdict(place, 0), place, [], more=False)
        has = _Range(position.first, position.finalized)
        self._note_last(has.final + 1)
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
        if rows:
            self._require_same_chain(low, rows[0])
            self._newest = low + len(rows) - 1, hex_text(rows[-1][_HASH])
        contents = await self._contents(snapshot, range(low, low + len(rows)))
        messages: list[Message] = []
        for number, row in enumerate(rows, low):
            if row[_NUMBER] != number:
                raise Corruption(f"the blocks of chain {self._chain} have a hole at {number}")
            after, writer = place, place.marks[0].writer if place.marks else _writer_of(row)
            change = (self._chain, number + 1, APPLY, number, row[_HASH], row[_PARENT], writer)
            place = after.advanced([change])
            messages += messages_of(
                self._chain,
                change,
                after,
                block_of(row),
                contents(number),
                payload_max,
                subjects=final_subject(self._chain),
                encoding=self._encoding,
            )
        return Page(said, place, messages, more=bool(rows))

    def _require_same_chain(self, number: int, row: Row) -> None:
        """ConfigError where the block that is next for the stream is not of the chain of its last one."""
        if self._newest is None:
            return
        newest, newest_hash = self._newest
        own = {newest: row[_HASH], newest + 1: row[_PARENT]}.get(number)  # the store's own word on that block
        if own is not None and hex_text(own) != newest_hash:
            raise ConfigError(
                f"the stream of {self.source}, has block {newest} as {newest_hash}, on which block {number} of the "
                f"store, {hex_text(row[_HASH])}, does not follow: the chain was begun anew, or blocks that were final "
                "were replaced, so give it another --stream"
            )

    async def _last(self, snapshot: Snapshot) -> int:
        position = await stored_position(snapshot, self._chain)
        return 0 if position is None or position.finalized is None else position.finalized + 1

    def _verdict(self, place: Place, last: int) -> Verdict:
        return Agreed() if place.seq <= last else Ahead(last)


def _writer_of(row: Row) -> int:
    block_hash = row[_HASH]
    assert isinstance(block_hash, bytes)
    return int.from_bytes(block_hash[:8], "big") & INT_MAX
