"""The bounds of segments in a PostgreSQL store, moved in a commit's own transaction. See `tidelog.store.segments`."""

from collections.abc import AsyncIterator, Generator, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from tidelog.batch import Rollback, Table
from tidelog.errors import StoreError
from tidelog.store.ddl import POSTGRES
from tidelog.store.fingerprints import Ask, Put, overlooked, steps, texts_for
from tidelog.store.limits import FingerprintLimits
from tidelog.store.postgres.connection import SNAPSHOT, UNLIMITED_S, Link, is_there, unlimited
from tidelog.store.query import count_query
from tidelog.store.segments import (
    MISCOUNTED,
    Heights,
    Places,
    Segment,
    SegmentTexts,
    assigned,
    miscounted,
    shortened,
    strayed,
    strayed_query,
)

__all__ = ["add_fingerprints", "enter_segment", "segment_faults", "shortening", "take_places"]

T = TypeVar("T")

_TEXTS = SegmentTexts("$")


async def enter_segment(link: Link, number: int) -> None:
    """Rows that are put from now on, to the transaction's end, are of this segment: the columns' default says so."""
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
    tables = [table for table in rollback.tables if table.counted]
    touched = [Segment(*row) for row in await link.fetch(_TEXTS.overlapping, scope, keep, high)] if tables else []
    gone = [
        await _count(link, tables, scope, max(keep + 1, segment.first), min(high, segment.last))
        if rollback.counted is None
        else rollback.counted
        for segment in touched
    ]
    yield
    ends = rollback.through is None
    for segment, count in zip(touched, gone, strict=True):
        [(highest,)] = await link.fetch(_TEXTS.highest, scope, segment.first, segment.last)
        if not ends and rollback.counted is None:  # rows may have been missing, or too many
            count = segment.rows - await _count(link, tables, scope, segment.first, segment.last)
        left = shortened(segment, gone=count, ends=ends, highest=highest)
        if left is None:
            await link.execute(_TEXTS.delete, scope, segment.number)
        else:
            await _put(link, scope, left)


async def add_fingerprints(link: Link, places: Places, limits: FingerprintLimits) -> None:
    """What a commit adds to the fingerprints of the scopes that it has rows for."""
    await _run(link, steps("$", places.items(), limits))


async def _run(link: Link, work: Generator[Ask | Put, list[Any], T]) -> T:
    """Carry out what a generator asks for; what it returns."""
    rows: list[Any] = []
    try:
        asked = next(work)
        while True:
            if isinstance(asked, Put):
                await link.run(link.connection.executemany(asked.text, asked.rows))
            else:
                rows = await link.fetch(asked.text, *asked.values)
            asked = work.send(rows)
    except StopIteration as end:
        result: T = end.value
        return result


async def _count(link: Link, tables: Sequence[Table], scope: int | str, low: int, high: int) -> int:
    count = 0
    for table in tables:
        text, values = count_query(table, mark="$", scope=scope, low=low, high=high)
        [(found,)] = await link.fetch(text, *values, timeout_s=UNLIMITED_S)
        count += found
    return count


async def segment_faults(link: Link) -> list[str]:
    """What is wrong with rows and their segments, a sentence for each table; it reads all of them."""
    created = [name for (name,) in await link.fetch(POSTGRES.segmented)]
    texts = _TEXTS.strayed | {name: strayed_query(name) for name in created}
    found: list[str] = []
    for name, text in texts.items():
        try:
            async with unlimited(link):
                [(count,)] = await link.fetch(text, timeout_s=UNLIMITED_S)
        except StoreError:
            if name not in created or await is_there(link, f'"{name}"'):
                raise
            continue
        found += [strayed(name, count)] if count else []
    async with unlimited(link):
        found += [miscounted(*row) for row in await link.fetch(MISCOUNTED, timeout_s=UNLIMITED_S)]
    for scope, segment in await link.fetch(texts_for("$").with_any):
        async with unlimited(link, modes=SNAPSHOT):  # one state for each segment
            found += await _run(link, overlooked("$", scope, segment))
    return found


async def _put(link: Link, scope: int | str, segment: Segment) -> None:
    await link.execute(_TEXTS.put, scope, segment.number, segment.first, segment.last, segment.rows)
