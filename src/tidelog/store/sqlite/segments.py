"""The bounds of segments in a SQLite store, moved in a commit's own transaction. See `tidelog.store.segments`."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import apsw

from tidelog.batch import Rollback, Table
from tidelog.store.ddl import SQLITE
from tidelog.store.fingerprints import Ask, Put, overlooked, steps, texts_for
from tidelog.store.limits import FingerprintLimits
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
from tidelog.store.sqlite.connection import is_there, reading

__all__ = ["add_fingerprints", "enter_segments", "segment_faults", "shortening", "take_places"]

T = TypeVar("T")

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
    tables = [table for table in rollback.tables if table.counted]
    touched = [Segment(*row) for row in connection.execute(_TEXTS.overlapping, (scope, keep, high))] if tables else []
    gone = [
        _count(connection, tables, scope, max(keep + 1, segment.first), min(high, segment.last))
        if rollback.counted is None
        else rollback.counted
        for segment in touched
    ]
    yield
    ends = rollback.through is None
    for segment, count in zip(touched, gone, strict=True):
        highest = connection.execute(_TEXTS.highest, (scope, segment.first, segment.last)).get
        if not ends and rollback.counted is None:  # rows may have been missing, or too many
            count = segment.rows - _count(connection, tables, scope, segment.first, segment.last)
        left = shortened(segment, gone=count, ends=ends, highest=highest)
        if left is None:
            connection.execute(_TEXTS.delete, (scope, segment.number))
        else:
            _put(connection, scope, left)


def add_fingerprints(connection: apsw.Connection, places: Places, limits: FingerprintLimits) -> None:
    """What a commit adds to the fingerprints of the scopes that it has rows for."""
    _run(connection, steps("?", places.items(), limits))


def _run(connection: apsw.Connection, work: Generator[Ask | Put, list[Any], T]) -> T:
    """Carry out what a generator asks for; what it returns."""
    rows: list[Any] = []
    try:
        asked = next(work)
        while True:
            if isinstance(asked, Put):
                connection.executemany(asked.text, asked.rows)
            else:
                rows = connection.execute(asked.text, asked.values).fetchall()
            asked = work.send(rows)
    except StopIteration as end:
        result: T = end.value
        return result


def _count(connection: apsw.Connection, tables: Sequence[Table], scope: int | str, low: int, high: int) -> int:
    queries = [count_query(table, mark="?", scope=scope, low=low, high=high) for table in tables]
    return sum(connection.execute(*query).get for query in queries)


def segment_faults(connection: apsw.Connection) -> list[str]:
    """What is wrong with rows and their segments, a sentence for each table; it reads all of them."""
    created = [name for (name,) in connection.execute(SQLITE.segmented)]
    texts = _TEXTS.strayed | {name: strayed_query(name) for name in created}
    found: list[str] = []
    for name, text in texts.items():
        with reading(connection):
            count = connection.execute(text).get if name not in created or is_there(connection, name) else 0
        found += [strayed(name, count)] if count else []
    found += [miscounted(*row) for row in connection.execute(MISCOUNTED)]
    fingerprinted: list[Any] = connection.execute(texts_for("?").with_any).fetchall()
    for scope, segment in fingerprinted:
        with reading(connection):  # one state for each segment: a long one would keep the log from being used again
            found += _run(connection, overlooked("?", scope, segment))
    return found


def enter_segments(connection: apsw.Connection) -> None:
    """Tables that earlier releases created: their rows get their segment, their indexes begin with it, and the planner
    is told of them."""
    created: list[Any] = connection.execute(
        "SELECT DISTINCT tbl_name FROM sqlite_schema AS made WHERE type = 'index' AND name = tbl_name || '__0'"
        " AND NOT EXISTS (SELECT 1 FROM pragma_table_info(tbl_name) WHERE name = 'segment')"
        " AND tbl_name NOT GLOB '*__children' ORDER BY 1"
    ).fetchall()
    for (table,) in created:
        connection.execute(f'ALTER TABLE "{table}" ADD COLUMN "segment" INTEGER NOT NULL DEFAULT 0')
        connection.execute(
            f'UPDATE "{table}" SET segment = coalesce((SELECT segments.segment FROM segments'
            f' WHERE scope = "{table}".chain_id AND first <= "{table}".block_number ORDER BY first DESC LIMIT 1), 0)'
        )
        indexes: list[Any] = connection.execute(
            "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND tbl_name = ? AND sql IS NOT NULL", (table,)
        ).fetchall()
        for name, text in indexes:
            connection.execute(f'DROP INDEX "{name}"')
            connection.execute(text.replace(f' ON "{table}" (', f' ON "{table}" ("segment", ', 1))
        connection.execute("DELETE FROM sqlite_stat1 WHERE tbl = ?", (table,))
        connection.execute(SQLITE.likely(table, [name for name, _ in indexes], segmented=True))
        connection.execute("ANALYZE sqlite_schema")


def _put(connection: apsw.Connection, scope: int | str, segment: Segment) -> None:
    connection.execute(_TEXTS.put, (scope, segment.number, segment.first, segment.last, segment.rows))
