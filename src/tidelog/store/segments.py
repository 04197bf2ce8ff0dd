"""Segments: the pieces, of about so many rows, by which secondary indexes stay small where they are written.

An index over random keys (hashes, addresses) is written everywhere at once, and the more it holds the more a commit
costs. So every such index begins with the row's segment: what is written is the part of the index that belongs to the
newest segment, whatever the store holds. A segment is a range of one chain's heights; when it has `segment_rows` rows
of the tables with `Table.counted`, the next block that has any begins another one. Rows of other segmented tables are
in the segment of their block.

The bounds are rows of the table `segments` (scope, first, last, segment, rows), which a commit reads and moves in its
own transaction. They follow from the blocks alone, whatever the batches, restarts, reorgs or repairs: blocks are
counted one by one, upward from the first, downward from the lowest where blocks are added below. Numbers ascend with
heights. A row's segment is a column of the store's own: no digest covers it, and no `Table` names it. Pure: backends
run the texts.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from operator import attrgetter, itemgetter
from typing import Any, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from tidelog.batch import INT_MAX, Pieces, Row, Rows

__all__ = [
    "MISCOUNTED",
    "Heights",
    "Places",
    "Segment",
    "SegmentTexts",
    "assigned",
    "heights_of",
    "miscounted",
    "parts",
    "shortened",
    "strayed",
    "strayed_query",
]

Heights: TypeAlias = Mapping[int, Mapping[int, int]]  # by scope and height, how many rows come
Places: TypeAlias = Mapping[tuple[int, int], int]  # by scope and height, the segment


class Segment(Struct, frozen=True):
    """The heights `first` to `last` of one scope, and how many rows they have. No two overlap."""

    number: int
    first: int
    last: int
    rows: int


SEGMENTED = ("transactions", "logs")  # the counted tables, which have the column by the migrations


REMEDY = 'docs/reliability.md has the SQL that sets it right, under "Segments"'
MISCOUNTED_MAX = 10  # that are named

_STRAYED = (
    "SELECT count(*) FROM {name} AS strayed WHERE NOT EXISTS (SELECT 1 FROM segments WHERE scope = strayed.chain_id"
    " AND segments.segment = strayed.segment AND strayed.block_number BETWEEN first AND last)"
)


_HAS = " + ".join(
    f"(SELECT count(*) FROM {name} WHERE chain_id = scope AND block_number >= first AND block_number <= last)"
    for name in SEGMENTED
)
# segments that count other rows than those of their heights: scope, number, what they say, what there is
MISCOUNTED = (
    f"SELECT * FROM (SELECT scope, segment, rows AS says, {_HAS} AS there_are FROM segments) AS counted"
    f" WHERE says <> there_are ORDER BY scope, segment LIMIT {MISCOUNTED_MAX}"
)


def strayed_query(table: str) -> str:
    """How many rows of a segmented table its segments' bounds do not contain."""
    return _STRAYED.format(name=f'"{table}"')


class SegmentTexts:
    """The SQL of the table `segments`, for a backend's sign before a parameter's number."""

    def __init__(self, mark: str) -> None:
        scope, low, high = f"{mark}1", f"{mark}2", f"{mark}3"
        columns = "segment, first, last, rows"
        of_scope = f"FROM segments WHERE scope = {scope}"
        lowest = f"coalesce((SELECT max(first) {of_scope} AND first <= {low}), (SELECT min(first) {of_scope}))"
        highest = f"coalesce((SELECT min(first) {of_scope} AND first > {high}), {high})"
        # those that the heights `low` to `high` lie in, and the next ones below and above
        self.near = f"SELECT {columns} {of_scope} AND first >= {lowest} AND first <= {highest} ORDER BY first"
        # those that have any of the heights above `low` up to `high`
        self.overlapping = f"SELECT {columns} {of_scope} AND first <= {high} AND last > {low} ORDER BY first"
        self.put = (
            f"INSERT INTO segments (scope, {columns}) VALUES ({', '.join(f'{mark}{place}' for place in range(1, 6))})"
            " ON CONFLICT (scope, segment)"
            " DO UPDATE SET first = excluded.first, last = excluded.last, rows = excluded.rows,"
            # rows come or go: what the segment has fingerprints of is no longer all that it has
            " fingerprints = CASE WHEN segments.rows = excluded.rows THEN segments.fingerprints ELSE -1 END"
        )
        # rows that their segment's bounds do not contain, by table: how many
        self.strayed = {name: strayed_query(name) for name in SEGMENTED}
        self.delete = f"DELETE {of_scope} AND segment = {mark}2"
        heights = " UNION ALL ".join(
            f"SELECT max(block_number) AS height FROM {name}"
            f" WHERE chain_id = {scope} AND block_number >= {low} AND block_number <= {high}"
            for name in SEGMENTED
        )
        # the highest height from `low` to `high` that has rows
        self.highest = f"SELECT max(height) FROM ({heights}) AS heights"


def heights_of(groups: Iterable[Rows]) -> Heights:
    """How many rows of counted tables the groups have, by scope and height; ValueError: one fits no table.

    Heights of which they have rows of other segmented tables alone count 0.
    """
    found: dict[int, Counter[int]] = {}
    for rows in groups:
        table = rows.table
        if not table.segmented:
            continue
        for (scope, height), count in _counted(rows).items():
            if not isinstance(scope, int) or not isinstance(height, int) or abs(height) > INT_MAX:
                raise ValueError(f"a row does not fit {table.name}: scope {scope!r}, height {height!r}")
            found.setdefault(scope, Counter())[height] += count if table.counted else 0
    return found


def _counted(rows: Rows) -> Counter[tuple[Any, Any]]:
    if not isinstance(rows.rows, Pieces):
        return Counter(map(itemgetter(*rows.table.places), rows.rows))
    counts: Counter[tuple[Any, Any]] = Counter()
    for piece in rows.rows.pieces:
        counts[piece.scope, piece.height] += len(piece.rows)
    return counts


def assigned(
    near: Sequence[Segment], heights: Mapping[int, int], rows_max: int
) -> tuple[dict[int, int], list[Segment]]:
    """Where rows go, and what becomes of the segments.

    Args:
        near: the segments that the heights lie in, and the next ones below and above, by height.
        heights: how many rows come, by height.
        rows_max: how many rows make a segment full.

    Returns:
        The segment of each height, and the segments that are new or have changed.
    """
    held = list(near)
    places: dict[int, int] = {}
    changed: dict[int, Segment] = {}
    ordered = sorted(heights)
    lowest = held[0].first if held else ordered[0]
    below = bisect_right(ordered, lowest - 1)
    for height in (*ordered[below:], *reversed(ordered[:below])):
        count = heights[height]
        at = bisect_right(held, height, key=lambda segment: segment.first) - 1
        if not held:
            taken, at = Segment(0, height, height, count), 0
            held.append(taken)
        elif at < 0 and held[0].rows >= rows_max:
            taken, at = Segment(held[0].number - 1, height, height, count), 0
            held.insert(0, taken)
        elif at == len(held) - 1 and height > held[at].last and held[at].rows >= rows_max:
            taken, at = Segment(held[at].number + 1, height, height, count), at + 1
            held.append(taken)
        else:
            at = max(at, 0)
            old = held[at]
            taken = replace(old, first=min(old.first, height), last=max(old.last, height), rows=old.rows + count)
            held[at] = taken
        places[height] = taken.number
        changed[taken.number] = taken
    return places, list(changed.values())


def shortened(segment: Segment, *, gone: int, ends: bool, highest: int | None) -> Segment | None:
    """What a rollback has left of a segment; None: nothing, its bounds go too.

    Args:
        gone: how many of its rows were deleted.
        ends: whether all heights above some one are deleted. A repair puts rows back where they were, so that it moves
            no bounds.
        highest: the highest height that has rows of the segment now; None if none has.
    """
    left = replace(segment, rows=max(0, segment.rows - gone))
    if not ends:
        return left
    return None if highest is None else replace(left, last=highest)


def strayed(table: str, count: int) -> str:
    """What is wrong where a table has rows that their segment's bounds do not contain."""
    return (
        f"{count} rows of {table} are not in the segment of their block: searches by what they hold may miss them: "
        f"{REMEDY}"
    )


def miscounted(scope: int | str, segment: int, says: int, there_are: int) -> str:
    """What is wrong where a segment counts other rows than it has."""
    return f"segment {segment} of chain {scope} counts {says} rows and has {there_are}: {REMEDY}"


def parts(rows: Rows, places: Places) -> Iterator[tuple[int | None, Iterable[Row]]]:
    """The rows in pieces of one segment each, in their order; None: their table has no segments."""
    if not rows.table.segmented:
        yield None, rows.rows
        return
    numbers = set(places.values())
    if len(numbers) == 1:
        yield numbers.pop(), rows.rows
        return
    if isinstance(rows.rows, Pieces):
        segment = attrgetter("scope", "height")
        for number, pieces in groupby(rows.rows.pieces, key=lambda piece: places[segment(piece)]):
            yield number, Pieces(list(pieces))
        return
    place: Callable[[Row], tuple[int, int]] = itemgetter(*rows.table.places)
    yield from groupby(rows.rows, key=lambda row: places[place(row)])
