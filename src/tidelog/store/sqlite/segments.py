"""The bounds of segments in a SQLite store, moved in a commit's own transaction. See `tidelog.store.segments`."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import apsw

from tidelog.batch import Rollback, Table
from tidelog.store.query import count_query
from tidelog.store.segments import (
    MISCOUNTED,
    Heights,
    Segment,
    SegmentTexts,
    assigned,
    miscounted,
    shortened,
    strayed,
)

__all__ = ["segment_faults", "shortening", "take_places"]

_TEXTS = SegmentTexts("?")


def take_places(connection: apsw.Connection, heights: Heights, rows_max: int) -> dict[tuple[int, int], int]:
    """The segment of each scope and height to which rows come; the bounds are moved as far as that needs."""
    places: dict[tuple[int, int], int] = {}
    for scope, counts in heights.items():
        near = [Segment(*row) for row in connection.execute(_TEXTS.near, (scope, min(counts), max(counts)))]
        found, changed = assigned(near, counts, rows_max)
        for segment in changed:
            _put(connection, scope, segment)
        for height, number in found.items():
            places[scope, height] = number
    return places


@contextmanager
def shortening(connection: apsw.Connection, rollback: Rollback) -> Iterator[None]:
    """Take from the segments what the rollback deletes within."""
    scope, keep, high = rollback.scope, rollback.keep, rollback.last
    tables = [table for table in rollback.tables if table.segmented]
    touched = [Segment(*row) for row in connection.execute(_TEXTS.overlapping, (scope, keep, high))] if tables else []
    gone = [
        _count(connection, tables, scope, max(keep + 1, segment.first), min(high, segment.last)) for segment in touched
    ]
    yield
    ends = rollback.through is None
    for segment, count in zip(touched, gone, strict=True):
        highest = connection.execute(_TEXTS.highest, (scope, segment.first, segment.last)).get
        if not ends:  # a repair: rows may have been missing, or too many
            count = segment.rows - _count(connection, tables, scope, segment.first, segment.last)
        left = shortened(segment, gone=count, ends=ends, highest=highest)
        if left is None:
            connection.execute(_TEXTS.delete, (scope, segment.number))
        else:
            _put(connection, scope, left)


def _count(connection: apsw.Connection, tables: Sequence[Table], scope: int | str, low: int, high: int) -> int:
    queries = [count_query(table, mark="?", scope=scope, low=low, high=high) for table in tables]
    return sum(connection.execute(*query).get for query in queries)


def segment_faults(connection: apsw.Connection) -> list[str]:
    """What is wrong with rows and their segments, a sentence for each table; it reads all of them."""
    counts = {name: connection.execute(text).get for name, text in _TEXTS.strayed.items()}
    counted = [miscounted(*row) for row in connection.execute(MISCOUNTED)]
    return [strayed(name, count) for name, count in counts.items() if count] + counted


def _put(connection: apsw.Connection, scope: int | str, segment: Segment) -> None:
    connection.execute(_TEXTS.put, (scope, segment.number, segment.first, segment.last, segment.rows))
