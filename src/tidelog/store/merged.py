"""A read with alternatives, "this address or that one", as one ordered read for each of them, merged.

One query for all of them would find every match and sort them before it gives the first page; an index has
the matches of one value in key order already. Where each question is a way to a server and back, a few go together, as
one that merges them segment by segment (`any_of`). No SQL in here: it asks a `Snapshot`.
"""

from collections.abc import Mapping, Sequence

from tidelog.batch import Row, Table, Value
from tidelog.store import Condition, Snapshot
from tidelog.store.query import key_of

__all__ = ["ALTERNATIVES_MAX", "merged"]

ALTERNATIVES_MAX = 100  # each is a query of its own, about a tenth of a millisecond, and holds rows in memory
PORTION_MIN = 32  # rows that an alternative is asked for at once: fewer only make more queries


async def merged(
    snapshot: Snapshot,
    table: Table,
    *,
    column: str | Sequence[str],
    values: Sequence[Value],
    limit: int,
    scope: int | str | None = None,
    low: int | None = None,
    high: int | None = None,
    where: Mapping[str, Condition] | None = None,
    after: Row | None = None,
    descending: bool = False,
    portion_min: int = PORTION_MIN,
) -> list[Row]:
    """The first `limit` rows, in key order, in which a column equals one of the values; each row once.

    Args:
        column: the column, or several, of which any may equal any of the values.
        scope, low, high, where, after, descending, limit: as of `Snapshot.select`.
        portion_min: rows that an alternative is asked for at once, at least.

    Raises:
        ValueError: more alternatives than ALTERNATIVES_MAX, or `where` has a say on the column too.
    """
    columns = (column,) if isinstance(column, str) else tuple(column)
    alternatives = [(name, value) for name in columns for value in dict.fromkeys(values)]
    if len(alternatives) > ALTERNATIVES_MAX:
        raise ValueError(f"{len(alternatives)} alternatives: at most {ALTERNATIVES_MAX} are merged")
    if where is not None and not where.keys().isdisjoint(columns):
        raise ValueError(f"there are two conditions for one column of {', '.join(columns)}")
    together = 0 < len(alternatives) <= snapshot.any_of_max and scope is not None and None not in values
    if together and set(columns) <= set(table.segmented):
        return await snapshot.select(
            table,
            scope=scope,
            low=low,
            high=high,
            where=where,
            after=after,
            descending=descending,
            limit=limit,
            any_of=alternatives,
        )
    portion = max(portion_min, -(-limit // max(1, len(alternatives))))
    streams = [_Stream(table, {**(where or {}), name: value}, after) for name, value in alternatives]
    found: dict[Row, Row] = {}  # by key
    while len(found) < limit:
        for stream in streams:
            if stream.is_wanted:
                await stream.fetch(snapshot, scope, low, high, descending, portion)
        ready = _take_ready(table, streams, descending)
        if not ready:
            break
        for row in ready:
            found.setdefault(key_of(table, row), row)
    return list(found.values())[:limit]


class _Stream:
    """The rows of one alternative: `rows` were fetched and not taken yet, in order; `after` is the last key."""

    def __init__(self, table: Table, where: Mapping[str, Condition], after: Row | None) -> None:
        self._table = table
        self._where = where
        self.after = after
        self.rows: list[Row] = []
        self.ended = False

    @property
    def is_wanted(self) -> bool:
        return not self.rows and not self.ended

    async def fetch(
        self,
        snapshot: Snapshot,
        scope: int | str | None,
        low: int | None,
        high: int | None,
        descending: bool,
        portion: int,
    ) -> None:
        self.rows = await snapshot.select(
            self._table,
            scope=scope,
            low=low,
            high=high,
            where=self._where,
            after=self.after,
            descending=descending,
            limit=portion,
        )
        self.ended = len(self.rows) < portion
        if self.rows:
            self.after = key_of(self._table, self.rows[-1])


def _take_ready(table: Table, streams: Sequence[_Stream], descending: bool) -> list[Row]:
    """Take, in order, the rows before which none can come any more: up to where each stream is known."""

    def key(row: Row) -> tuple[Value, ...]:
        return key_of(table, row)

    known = [key(stream.rows[-1]) for stream in streams if not stream.ended]
    # Key columns are never null, so that keys compare; text compares in Python as in both databases.
    edge = (max(known) if descending else min(known)) if known else None
    ready: list[Row] = []
    for stream in streams:
        if edge is None:
            count = len(stream.rows)
        elif descending:
            count = sum(key(row) >= edge for row in stream.rows)
        else:
            count = sum(key(row) <= edge for row in stream.rows)
        ready += stream.rows[:count]
        del stream.rows[:count]
    ready.sort(key=key, reverse=descending)
    return ready
