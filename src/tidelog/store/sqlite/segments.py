"""The bounds of segments in a SQLite store, moved in a commit's own transaction. See `tidelog.store.segments`."""

from collections.abc import Iterator
from contextlib import contextmanager

import apsw

from tidelog.batch import Rollback
from tidelog.store.query import count_query
from tidelog.store.segments import Heights, Segment, SegmentTexts, assigned, shortened, strayed

__all__ = ["shortening", "strayed_rows", "take_places"]

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
    gone = []
    for segment in touched:
        first, last = max(keep + 1, segment.first), min(high, segment.last)
        counts = [count_query(table, mark="?", scope=scope, low=first, high=last) for table in tables]
        gone.append(sum(connection.execute(*count).get for count in counts))
    yield
    for segment, count in zip(touched, gone, strict=True):
        highest = connection.execute(_TEXTS.highest, (scope, segment.first, segment.last)).get
        left = shortened(segment, gone=count, ends=rollback.through is None, highest=highest)
        if left is None:
            connection.execute(_TEXTS.delete, (scope, segment.number))
        else:
            _put(connection, scope, left)


def strayed_rows(connection: apsw.Connection) -> list[str]:
    """What is wrong with rows and their segments, a sentence for each table; it reads all of them."""
    counts = {name: connection.execute(text).get for name, text in _TEXTS.strayed.items()}
    return [strayed(name, count) for name, count in counts.items() if count]


def _put(connection: apsw.Connection, scope: int | str, segment: Segment) -> None:
    connection.execute(_TEXTS.put, (scope, segment.number, segment.first, segment.last, segment.rows))
