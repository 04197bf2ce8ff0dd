"""The SQL text of reads, made from a `Table`: the same for both backends but for the sign before a
parameter's number (`?1`, `$1`). Executes nothing.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, ClassVar

from tidelog.batch import NUMBER_MAX, Column, Drop, Kind, Piece, Pieces, Row, Table, Value
from tidelog.store import SCAN_ROWS, Condition, Present
from tidelog.store.limits import FingerprintLimits
from tidelog.store.narrowing import ANY, Span, beyond, narrowed, wanted_fingerprints

__all__ = [
    "CHECKPOINT_COLUMNS",
    "QuerySnapshot",
    "column_list",
    "count_query",
    "drop_query",
    "integers",
    "key_of",
    "lookup_query",
    "select_query",
]

CHECKPOINT_COLUMNS = "source, epoch, commit_seq, position, writer"
# what indexes have as the text that the views show, and what that is in SQL: so one index serves the views and us
_TEXT = "('0x' || encode(\"{}\", 'hex'))"
INDEXED_AS_TEXT = {
    "$": {
        ("transactions", "hash"): _TEXT,
        ("transactions", "from_address"): _TEXT,
        ("transactions", "to_address"): _TEXT,
        ("logs", "address"): _TEXT,
        ("logs", "topic0"): _TEXT,
    },
    "?": {("logs", "topic0"): '"{}_hex"', ("transactions", "to_address"): '"{}_hex"'},
}
_SEARCHED = {"$": _TEXT, "?": "('0x' || lower(hex(\"{}\")))"}  # bytes of a `searched` column, as `ddl` has them
_NUMBERS = (Kind.UINT256, Kind.INT256)  # bytes in a row
CONDITION_VALUES_MAX = 10_000  # values of one condition; both databases take 32,766 parameters at most


def column_list(names: Sequence[str]) -> str:
    """The names, quoted, with commas between."""
    return ", ".join(f'"{name}"' for name in names)


def key_of(table: Table, row: Row) -> Row:
    """The key of a row that has all of the table's columns."""
    return tuple([row[table.index(name)] for name in table.key])


def integers(rows: Iterable[Iterable[Value]], places: Sequence[int]) -> list[Row]:
    """The rows with the bytes that stand at these places, as integers; big-endian, as both backends give them.

    More than 256 bits, which a damaged store may have, is the largest that a row may have.
    """
    found = []
    for row in rows:
        values = list(row)
        for place in places:
            value = values[place]
            if isinstance(value, bytes):
                values[place] = min(int.from_bytes(value, "big"), NUMBER_MAX)
        found.append(tuple(values))
    return found


@lru_cache(4_096)
def _places(names: tuple[str, ...], among: frozenset[str]) -> tuple[int, ...]:
    """Where those of the columns are that are among these."""
    return tuple([place for place, name in enumerate(names) if name in among])


def _text_of(mark: str, table: Table, column: Column) -> str | None:
    """What the index over a column has in its place, as SQL; None: the column itself."""
    if column.name in table.searched:
        if column.kind is Kind.BYTES:
            return _SEARCHED[mark]
        return '"{}_text"' if column.spelled and mark == "?" else None
    return INDEXED_AS_TEXT[mark].get((table.name, column.name))


class _Where:
    """The conditions of one query, and the values of their parameters."""

    def __init__(self, mark: str, values: list[Value] | None = None) -> None:
        self._mark = mark
        self._terms: list[str] = []
        self.values: list[Value] = [] if values is None else values

    def bind(self, value: Value) -> str:
        self.values.append(value)
        return f"{self._mark}{len(self.values)}"

    def says(self, term: str) -> None:
        self._terms.append(term)

    def compare(self, name: str, operator: str, value: Value) -> None:
        self._terms.append(f'"{name}" {operator} {self.bind(value)}')

    def matching(self, table: Table, name: str, condition: Condition) -> str:
        """`name` equals a value or one of a list; None matches NULL, PRESENT all else, an empty list nothing."""
        column = table.columns[table.index(name)]  # names go into the text: only those that the table has
        if condition is None:
            return f'"{name}" IS NULL'
        if isinstance(condition, Present):
            return f'"{name}" IS NOT NULL'
        text = _text_of(self._mark, table, column)
        term = f'"{name}"' if text is None else text.format(name)
        if isinstance(condition, int | str | bytes):
            return f"{term} = {self._bound(column, condition, text)}"
        if len(condition) > CONDITION_VALUES_MAX:
            raise ValueError(f"{len(condition)} values for {name}: at most {CONDITION_VALUES_MAX} go in one query")
        values = [self._bound(column, value, text) for value in condition if value is not None]
        either = [f"{term} IN ({', '.join(values)})"] if values else []
        if len(values) < len(condition):
            either.append(f'"{name}" IS NULL')
        return f"({' OR '.join(either)})" if either else "1 = 0"

    def _bound(self, column: Column, value: Value, text: str | None) -> str:
        if isinstance(value, bytes) and column.kind in _NUMBERS:
            number = int.from_bytes(value, "big", signed=column.kind is Kind.INT256)
            return self.bind(number if self._mark == "$" else value if text is None else str(number))
        return self.bind(f"0x{value.hex()}" if text is not None and isinstance(value, bytes) else value)

    def match_all(self, table: Table, where: Mapping[str, Condition] | None) -> None:
        for name, condition in (where or {}).items():
            self._terms.append(self.matching(table, name, condition))

    def between(self, table: Table, low: int | None, high: int | None, *, in_segments: bool = False) -> None:
        """`in_segments`: PostgreSQL reads segment by segment, see `_by_segments`."""
        ranged = table.height or table.key[-1]
        if low is not None:
            self.compare(ranged, ">=", low)
        if high is None:
            return
        if in_segments and self._mark == "$":
            self.says(f'"{ranged}" <= ANY (ARRAY[{self.bind(high)}::bigint])')
        else:
            self.compare(ranged, "<=", high)

    def beyond(self, names: Sequence[str], operator: str, values: Row) -> None:
        """A row comparison: both databases turn it into one range of the key's index."""
        self._terms.append(f"({column_list(names)}) {operator} ({', '.join(map(self.bind, values))})")

    @property
    def further(self) -> str:
        """The conditions behind others."""
        return "".join(f" AND {term}" for term in self._terms)

    def __str__(self) -> str:
        return f" WHERE {' AND '.join(self._terms)}" if self._terms else ""


def _scope_column(table: Table) -> str:
    if table.scope is None:
        raise ValueError(f"{table.name} has no scope")
    return table.scope


def _from_cursor(table: Table, span: Span, after: Row | None, *, descending: bool) -> Span:
    """The heights that are left of a span behind a cursor."""
    if after is None or table.key[:2] != (table.scope, table.height) or not isinstance(after[1], int):
        return span
    height = after[1]
    if descending:
        return Span(span.low, height if span.high is None else min(span.high, height))
    return Span(height if span.low is None else max(span.low, height), span.high)


def select_query(
    table: Table,
    *,
    mark: str,
    scope: int | str | None = None,
    low: int | None = None,
    high: int | None = None,
    where: Mapping[str, Condition] | None = None,
    after: Row | None = None,
    descending: bool = False,
    limit: int | None = None,
    columns: Sequence[str] | None = None,
    any_of: Sequence[tuple[str, Value]] = (),
    near_segments: int | None = None,
) -> tuple[str, list[Value]]:
    """The text and the parameters of `Snapshot.select`.

    Args:
        near_segments: where it looks segment by segment, only into so many that begin within the range, and into the
            one in which the range begins.
    """
    conditions = _Where(mark)
    key = table.key
    if scope is not None:
        conditions.compare(_scope_column(table), "=", scope)
        if after is not None and key[0] == table.scope:
            # The scope is fixed, so what is left of the cursor is a range right behind it in the index;
            # its first column also bounds the height, which lets PostgreSQL leave partitions out.
            low, high = _from_cursor(table, Span(low, high), after, descending=descending)
            key, after = key[1:], after[1:]
    in_segments = scope is not None and (bool(any_of) or _is_searched(table, where))
    conditions.between(table, low, high, in_segments=in_segments)
    conditions.match_all(table, where)
    if after is not None:
        conditions.beyond(key, "<" if descending else ">", after)
    direction = " DESC" if descending else ""
    order = ", ".join(f'"{name}"{direction}' for name in table.key)
    for name in columns or ():
        table.index(name)
    names = column_list(table.names if columns is None else columns)
    if scope is None or not in_segments:
        bound = "" if limit is None else f" LIMIT {conditions.bind(limit)}"
        return f'SELECT {names} FROM "{table.name}"{conditions} ORDER BY {order}{bound}', conditions.values
    either = [(name, conditions.matching(table, name, value)) for name, value in any_of]
    segments = _segments(scope, low, high, near_segments, conditions.values, descending=descending, mark=mark)
    return _by_segments(table, conditions, either, segments, names, order, limit, mark=mark), conditions.values


def lookup_query(
    table: Table, *, mark: str, scope: int, keys: Sequence[Row], columns: Sequence[str] | None = None
) -> tuple[str, list[Any]]:
    """The text and the parameters of `Snapshot.lookup`. The text is the same however many keys there are.

    Each key is a search of the key's index: SQLite takes a CROSS JOIN in the order in which it is written, PostgreSQL
    what is limited to one row.
    """
    if table.key[0] != table.scope:
        raise ValueError(f"the key of {table.name} does not begin with a scope")
    rest = table.key[1:]
    for name in columns or ():
        table.index(name)
    names, order = column_list(table.names if columns is None else columns), column_list(rest)
    wanted = [f"wanted_{place}" for place in range(len(rest))]
    equal = " AND ".join(f'"{name}" = {each}' for name, each in zip(rest, wanted, strict=True))
    of_key = f'"{table.name}" WHERE "{table.scope}" = {mark}1 AND {equal}'
    if mark == "?":
        given = ", ".join(f"json_extract(value, '$[{place}]') AS {each}" for place, each in enumerate(wanted))
        text = f"SELECT {names} FROM (SELECT {given} FROM json_each(?2)) CROSS JOIN {of_key} ORDER BY {order}"
        return text, [scope, json.dumps(keys)]
    arrays = ", ".join(f"${place}::bigint[]" for place in range(2, len(rest) + 2))
    text = (
        f"SELECT {names} FROM unnest({arrays}) AS wanted({', '.join(wanted)})"
        f" CROSS JOIN LATERAL (SELECT * FROM {of_key} LIMIT 1) AS found ORDER BY {order}"
    )
    return text, [scope, *map(list, zip(*keys, strict=True))]


def _segments(
    scope: int | str,
    low: int | None,
    high: int | None,
    near: int | None,
    values: list[Value],
    *,
    descending: bool,
    mark: str,
) -> _Where:
    """Which segments are looked into. The scope is the first of the values."""
    segments = _Where(mark, values)
    segments.says(f'segments."scope" = {segments.bind(scope)}')
    of_scope = f"FROM segments WHERE scope = {mark}1"
    if low is not None:
        segments.compare("last", ">=", low)  # and so that those below are not even looked at:
        below = f"SELECT max(first) {of_scope} AND first <= {segments.bind(low)}"
        segments.says(f'segments."first" >= coalesce(({below}), {segments.bind(low)})')
    if high is not None:
        segments.compare("first", "<=", high)
    if near is not None:  # the same as `narrowing.edge` has
        sign, turn, none = (">", "DESC", -ANY) if descending else ("<", "ASC", ANY)
        begin = segments.bind(beyond(high if descending else low, descending=descending))
        behind = f"first {'<' if descending else '>'} {begin}"
        edge = f"SELECT first {of_scope} AND {behind} ORDER BY first {turn} LIMIT 1 OFFSET {segments.bind(near)}"
        segments.says(f'segments."first" {sign} coalesce(({edge}), {none})')
    return segments


def _by_segments(
    table: Table,
    conditions: _Where,
    either: Sequence[tuple[str, str]],
    segments: _Where,
    names: str,
    order: str,
    limit: int | None,
    *,
    mark: str,
) -> str:
    """One segment after the other, as far as the limit needs them: each is a range of an index that begins with it.

    SQLite ends its loop at the limit by itself. PostgreSQL would first sort all that a segment has: there each gives as
    many as the limit. Its bounds let PostgreSQL leave partitions out. The upper one is an array of one: two plain
    bounds make a range, which without statistics is taken for so few rows that reading the key's index seems as good.

    Args:
        either: conditions of which one is enough, each a range of an index, with its column: PostgreSQL alone.
    """
    bound = "" if limit is None else f" LIMIT {conditions.bind(limit)}"
    turn = "DESC" if order.endswith("DESC") else "ASC"
    ending = f'ORDER BY segments."first" {turn}, {order}{bound}'
    conditions.says(f'"{table.name}"."segment" = segments."segment"')
    if mark == "?":
        return f'SELECT {names} FROM segments CROSS JOIN "{table.name}"{conditions}{segments.further} {ending}'
    conditions.says(f'"{table.height}" >= segments."first" AND "{table.height}" <= ANY (ARRAY[segments."last"])')
    ordered = f" ORDER BY {order}{bound}"
    found = [f'SELECT * FROM "{table.name}"{conditions}{further}{ordered}' for further in _apart(either) or [""]]
    one = found[0] if len(found) == 1 else f"SELECT * FROM (({') UNION ALL ('.join(found)})) AS either{ordered}"
    return f"SELECT {names} FROM segments CROSS JOIN LATERAL ({one}) AS found{segments} {ending}"


def _apart(either: Sequence[tuple[str, str]]) -> list[str]:
    """Each condition without the rows of those before it; two values of one column have no row in common."""
    return [
        f" AND {term}" + "".join(f" AND ({other}) IS NOT TRUE" for column, other in either[:place] if column != name)
        for place, (name, term) in enumerate(either)
    ]


def _is_searched(table: Table, where: Mapping[str, Condition] | None) -> bool:
    """Whether one value is looked for that an index finds, segment by segment."""
    return any(isinstance((where or {}).get(name), int | str | bytes) for name in table.segmented)


def drop_query(drop: Drop, *, mark: str) -> tuple[str, list[Value]]:
    """The text and the parameters of what deletes the rows that `drop` names."""
    conditions = _Where(mark)
    conditions.compare(_scope_column(drop.table), "=", drop.scope)
    for name, value in drop.where:
        drop.table.index(name)
        conditions.compare(name, "=", value)
    conditions.compare(drop.ranged, "<=", drop.through)
    return f'DELETE FROM "{drop.table.name}"{conditions}', conditions.values


def count_query(
    table: Table,
    *,
    mark: str,
    scope: int | str | None = None,
    low: int | None = None,
    high: int | None = None,
    where: Mapping[str, Condition] | None = None,
) -> tuple[str, list[Value]]:
    """The text and the parameters of `Snapshot.count`."""
    conditions = _Where(mark)
    if scope is not None:
        conditions.compare(_scope_column(table), "=", scope)
    conditions.between(table, low, high)
    conditions.match_all(table, where)
    return f'SELECT count(*) FROM "{table.name}"{conditions}', conditions.values


class QuerySnapshot(ABC):
    """The part of `tidelog.store.Snapshot` that is queries: a backend says how it runs one."""

    mark: ClassVar[str]  # before a parameter's number
    relations_text: ClassVar[str]  # of the query behind `relations`
    near_segments = FingerprintLimits().near_segments  # see `tidelog.store.narrowing`
    any_of_max = 0

    @abstractmethod
    async def _fetch(
        self, text: str, values: list[Value], wide: Sequence[int] = (), signed: Sequence[int] = ()
    ) -> list[Row]:
        """The rows of a query.

        Args:
            wide: places of columns that are integers, of whatever size.
            signed: places of columns of 256 bits with a sign.
        """

    async def select(
        self,
        table: Table,
        *,
        scope: int | str | None = None,
        low: int | None = None,
        high: int | None = None,
        where: Mapping[str, Condition] | None = None,
        after: Row | None = None,
        descending: bool = False,
        limit: int | None = None,
        columns: Sequence[str] | None = None,
        any_of: Sequence[tuple[str, Value]] = (),
    ) -> list[Row]:
        names = table.names if columns is None else tuple(columns)
        wide, signed = _places(names, table.wide), _places(names, table.signed)

        def look(span: Span, most: int | None, near_segments: int | None = None) -> Awaitable[list[Row]]:
            text, values = select_query(
                table,
                mark=self.mark,
                scope=scope,
                low=span.low,
                high=span.high,
                where=where,
                after=after,
                descending=descending,
                limit=most,
                columns=columns,
                any_of=any_of,
                near_segments=near_segments,
            )
            return self._fetch(text, values, wide, signed)

        span = Span(low, high)
        wanted = wanted_fingerprints(table, where, any_of)
        if not wanted or not isinstance(scope, int):
            return await look(span, limit)
        return await narrowed(
            self._fetch,
            look,
            mark=self.mark,
            scope=scope,
            wanted=wanted,
            span=_from_cursor(table, span, after, descending=descending),
            descending=descending,
            limit=limit,
            near_segments=self.near_segments,
        )

    async def lookup(
        self, table: Table, *, scope: int, keys: Sequence[Row], columns: Sequence[str] | None = None
    ) -> list[Row]:
        if not keys:
            return []
        names = table.names if columns is None else tuple(columns)
        text, values = lookup_query(table, mark=self.mark, scope=scope, keys=keys, columns=columns)
        return await self._fetch(text, values, _places(names, table.wide), _places(names, table.signed))

    async def pieces(self, table: Table, *, scope: int, low: int, high: int) -> Pieces:
        _, height = table.places
        by_height: dict[Value, list[Row]] = {}
        for row in await self.select(table, scope=scope, low=low, high=high):
            by_height.setdefault(row[height], []).append(row)
        return Pieces([Piece(scope, value, rows) for value, rows in by_height.items()])

    async def scan(
        self, table: Table, *, scope: int | str | None = None, low: int | None = None, high: int | None = None
    ) -> AsyncIterator[list[Row]]:
        """By keyset: each list starts after the last key of the one before."""
        after: Row | None = None
        while True:
            rows = await self.select(table, scope=scope, low=low, high=high, after=after, limit=SCAN_ROWS)
            if rows:
                yield rows
            if len(rows) < SCAN_ROWS:
                return
            after = key_of(table, rows[-1])

    async def count(
        self,
        table: Table,
        *,
        scope: int | str | None = None,
        low: int | None = None,
        high: int | None = None,
        where: Mapping[str, Condition] | None = None,
    ) -> int:
        text, values = count_query(table, mark=self.mark, scope=scope, low=low, high=high, where=where)
        count = (await self._fetch(text, values))[0][0]
        assert isinstance(count, int)
        return count

    async def relations(self) -> dict[str, bool]:
        return {str(name): bool(created) for name, created in await self._fetch(self.relations_text, [])}

    async def misspelled(self, table: Table) -> list[int]:
        return []  # where the database has such numbers, there are no texts
