"""The bounds of segments in a PostgreSQL store, moved in a commit's own transaction. See `tidelog.store.segments`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tidelog.batch import Rollback
from tidelog.store.postgres.connection import Link
from tidelog.store.query import count_query
from tidelog.store.segments import Heights, Segment, SegmentTexts, assigned, shortened, strayed

__all__ = ["enter_segment", "shortening", "strayed_rows", "take_places"]

_TEXTS = SegmentTexts("$")


async def enter_segment(link: Link, number: int) -> None:
    """Rows that are copied from now on, to the transaction's end, are of this segment: the columns' default says so."""
    await link.fetch("SELECT set_config('tidelog.segment', $1, true)", str(number))


async def take_places(link: Link, heights: Heights, rows_max: int) -> dict[tuple[int, int], int]:
    """The segment of each scope and height to which rows come; the bounds are moved as far as that needs."""
    places: dict[tuple[int, int], int] = {}
    for scope, counts in heights.items():
        near = [Segment(*row) for row in await link.fetch(_TEXTS.near, scope, min(counts), max(counts))]
        found, changed = assigned(near, counts, rows_max)
        for segment in changed:
            await _put(link, scope, segment)
        for height, number in found.items():
            places[scope, height] = number
    return places


@asynccontextmanager
async def shortening(link: Link, rollback: Rollback) -> AsyncIterator[None]:
    """Take from the segments what the rollback deletes within."""
    scope, keep, high = rollback.scope, rollback.keep, rollback.last
    tables = [table for table in rollback.tables if table.segmented]
    touched = [Segment(*row) for row in await link.fetch(_TEXTS.overlapping, scope, keep, high)] if tables else []
    gone = []
    for segment in touched:
        count = 0
        for table in tables:
            first, last = max(keep + 1, segment.first), min(high, segment.last)
            text, values = count_query(table, mark="$", scope=scope, low=first, high=last)
            [(found,)] = await link.fetch(text, *values)
            count += found
        gone.append(count)
    yield
    for segment, count in zip(touched, gone, strict=True):
        [(highest,)] = await link.fetch(_TEXTS.highest, scope, segment.first, segment.last)
        left = shortened(segment, gone=count, ends=rollback.through is None, highest=highest)
        if left is None:
            await link.execute(_TEXTS.delete, scope, segment.number)
        else:
            await _put(link, scope, left)


async def strayed_rows(link: Link) -> list[str]:
    """What is wrong with rows and their segments, a sentence for each table; it reads all of them."""
    counts = {name: (await link.fetch(text))[0][0] for name, text in _TEXTS.strayed.items()}
    return [strayed(name, count) for name, count in counts.items() if count]


async def _put(link: Link, scope: int | str, segment: Segment) -> None:
    await link.execute(_TEXTS.put, scope, segment.number, segment.first, segment.last, segment.rows)
