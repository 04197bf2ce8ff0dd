"""The changes of a chain as a follower reads them: those after its place, or why there are none. See `bookmarks`."""

from collections.abc import Iterator, Sequence

from msgspec import Struct

from tidelog.batch import Row, Value
from tidelog.chain.forks.bookmarks import Agreed, Place, Verdict, WentBack, mark_of, verdict
from tidelog.chain.projections import APPLY
from tidelog.chain.reading.position import stored_position
from tidelog.chain.rows.tables import BLOCKS, CHANGES
from tidelog.errors import Corruption
from tidelog.store import Snapshot

__all__ = ["Page", "headers_of", "in_order", "last_change", "newest", "next_changes", "stretches"]


_BLOCK_HASH, _SEQ = BLOCKS.index("hash"), CHANGES.index("seq")


class Page(Struct, frozen=True):
    """The changes that come next for a follower."""

    verdict: Verdict
    begun: Place  # where they begin: where the follower is, once it has undone what it has to
    rows: Sequence[Row]  # of `changes`

    @property
    def place(self) -> Place:
        """Where the follower is once it has them."""
        return self.begun.advanced(self.rows)


async def next_changes(snapshot: Snapshot, chain_id: int, place: Place, limit: int) -> Page:
    """The changes after a place, at most `limit`; after the last common one, where the store went back."""
    first = place.seq if place.marks else place.seq + 1  # the last one that it has, too: whether it is still the same
    rows = await snapshot.select(CHANGES, scope=chain_id, low=first, limit=limit + place.seq + 1 - first)
    if place.marks:
        if rows and mark_of(rows[0]) == place.marks[0]:
            return Page(Agreed(), place, rows[1:])
    elif rows:
        return Page(Agreed(), place, rows)
    last = await last_change(snapshot, chain_id)
    ends = {mark.writer: await _end(snapshot, chain_id, mark.writer) for mark in place.marks}
    said = verdict(place, {writer: end for writer, end in ends.items() if end is not None}, last or 0)
    if not isinstance(said, WentBack):
        return Page(said, place, [])
    rows = await snapshot.select(CHANGES, scope=chain_id, low=said.place.seq + 1, limit=limit)
    return Page(said, said.place, rows)


async def last_change(snapshot: Snapshot, chain_id: int) -> int | None:
    """The number of the store's last change; None where it holds nothing of the chain."""
    position = await stored_position(snapshot, chain_id)
    return None if position is None else position.changes


async def newest(snapshot: Snapshot, chain_id: int) -> Place:
    """The place of who begins now: behind the store's last change."""
    return Place(0).advanced(await snapshot.select(CHANGES, scope=chain_id, descending=True, limit=1))


def in_order(chain_id: int, page: Page) -> Iterator[tuple[Row, Place, Place]]:
    """Each change of a page, with the place of a follower before it and behind it. Corruption: there is a hole."""
    place = page.begun
    for row in page.rows:
        if row[_SEQ] != place.seq + 1:
            raise Corruption(f"the changes of chain {chain_id} have a hole after {place.seq}")
        before, place = place, place.advanced([row])
        yield row, before, place


async def headers_of(snapshot: Snapshot, chain_id: int, rows: Sequence[Row]) -> dict[Value, Row]:
    """The rows of `blocks` that these changes applied and that are there still, by hash."""
    numbers = sorted({number for _, _, kind, number, *_ in rows if kind == APPLY and isinstance(number, int)})
    found: list[Row] = []
    for low, high in stretches(numbers):
        found += await snapshot.select(BLOCKS, scope=chain_id, low=low, high=high)
    return {row[_BLOCK_HASH]: row for row in found}


def stretches(numbers: list[int]) -> list[tuple[int, int]]:
    """Ascending numbers as ranges without gaps: a page is one, but for reorgs."""
    found: list[tuple[int, int]] = []
    for number in numbers:
        if found and found[-1][1] + 1 == number:
            found[-1] = found[-1][0], number
        else:
            found.append((number, number))
    return found


async def _end(snapshot: Snapshot, chain_id: int, writer: int) -> int | None:
    """The last change of a writer; None where it has none."""
    rows = await snapshot.select(CHANGES, scope=chain_id, where={"writer": writer}, descending=True, limit=1)
    return mark_of(rows[0]).seq if rows else None
