"""The SQL text of reads, made from a `Table`: the same for both backends but for the sign before a
parameter's number (`?1`, `$1`). Executes nothing.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import ClassVar

from tidelog.batch import Drop, Row, Table, Value
from tidelog.store import SCAN_ROWS, Condition, Present

__all__ = ["QuerySnapshot", "column_list", "count_query", "drop_query", "integers", "key_of", "select_query"]

CONDITION_VALUES_MAX = 10_000  # values of one condition; both databases take 32,766 parameters at most


def column_list(names: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def key_of(table: Table, row: Row) -> Row:
    """The key of a row that has all of the table's columns."""
    return tuple([row[table.index(name)] for name in table.key])


def integers(rows: Iterable[Iterable[Value]], places: Sequence[int]) -> list[Row]:
    """The rows with the bytes that stand at these places, as integers; big-endian, as both backends give them."""
    found = []
    for row in rows:
        values = list(row)
        for place in places:
            value = values[place]
            if isinstance(value, bytes):
                values[place] = int.from_bytes(value, "big")
        found.append(tuple(values))
    return found


@lru_cache(4_096)
def _wide_places(names: tuple[str, ...], wide: frozenset[str]) -> tuple[int, ...]:
    """Where the columns stand that may be beyond a database's own integers."""
    return tuple([place for place, name in enumerate(names) if name in wide])


class _Where:
    """The conditions of one query, and the values of their parameters."""

    def __init__(self, mark: str) -> None:
        self._mark = mark
        self._terms: list[str] = []
        self.values: list[Value] = []

    def bind(self, value: Value) -> str:
        self.values.append(value)
        return f"{self._mark}{len(self.values)}"

    def compare(self, name: str, operator: str, value: Value) -> None:
        self._terms.append(f'"{name}" {operator} {self.bind(value)}')

    def matches(self, name: str, condition: Condition) -> None:
        """`name` equals a value or one of a list; None matches NULL, PRESENT all else, an empty list nothing."""
        if condition is None:
            self._terms.append(f'"{name}" IS NULL')
            return
        if isinstance(condition, Present):
            self._terms.append(f'"{name}" IS NOT NULL')
            return
        if isinstance(condition, int | str | bytes):
            self.compare(name, "=", condition)
            return
        if len(condition) > CONDITION_VALUES_MAX:
            raise ValueError(f"{len(condition)} values for {name}: at most {CONDITION_VALUES_MAX} go in one query")
        values = [value for value in condition if value is not None]
        either = [f'"{name}" IN ({", ".join(map(self.bind, values))})'] if values else []
        if len(values) < len(condition):
            either.append(f'"{name}" IS NULL')
        self._terms.append(f"({' OR '.join(either)})" if either else "1 = 0")

    def between(self, table: Table, low: int | None, high: int | None) -> None:
        ranged = table.height or table.key[-1]
        if low is not None:
            self.compare(ranged, ">=", low)
        if high is not None:
            self.compare(ranged, "<=", high)

    def beyond(self, names: Sequence[str], operator: str, values: Row) -> None:
        """A row comparison: both databases turn it into one range of the key's index."""
        self._terms.append(f"({column_list(names)}) {operator} ({', '.join(map(self.bind, values))})")

    def __str__(self) -> str:
        return f" WHERE {' AND '.join(self._terms)}" if self._terms else ""


def _scope_column(table: Table) -> str:
    if table.scope is None:
        raise ValueError(f"{table.name} has no scope")
    return table.scope


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
) -> tuple[str, list[Value]]:
    """The text and the parameters of `Snapshot.select`."""
    conditions = _Where(mark)
    key = table.key
    if scope is not None:
        conditions.compare(_scope_column(table), "=", scope)
        if after is not None and key[0] == table.scope:
            # The scope is fixed, so what is left of the cursor is a range right behind it in the index;
            # its first column also bounds the height, which lets PostgreSQL leave partitions out.
            key, after = key[1:], after[1:]
            first = after[0]
            if key[0] == table.height and isinstance(first, int):
                if descending:
                    high = first if high is None else min(high, first)
                else:
                    low = first if low is None else max(low, first)
    conditions.between(table, low, high)
    for name, condition in (where or {}).items():
        table.index(name)  # names go into the text: only those that the table has
        conditions.matches(name, condition)
    if after is not None:
        conditions.beyond(key, "<" if descending else ">", after)
    direction = " DESC" if descending else ""
    order = ", ".join(f'"{name}"{direction}' for name in table.key)
    bound = "" if limit is None else f" LIMIT {conditions.bind(limit)}"
    for name in columns or ():
        table.index(name)
    names = table.names if columns is None else columns
    text = f'SELECT {column_list(names)} FROM "{table.name}"{conditions} ORDER BY {order}{bound}'
    return text, conditions.values


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
    table: Table, *, mark: str, scope: int | str | None = None, low: int | None = None, high: int | None = None
) -> tuple[str, list[Value]]:
    """The text and the parameters of `Snapshot.count`."""
    conditions = _Where(mark)
    if scope is not None:
        conditions.compare(_scope_column(table), "=", scope)
    conditions.between(table, low, high)
    return f'SELECT count(*) FROM "{table.name}"{conditions}', conditions.values


class QuerySnapshot(ABC):
    """The part of `tidelog.store.Snapshot` that is queries: a backend says how it runs one."""

    mark: ClassVar[str]  # before a parameter's number

    @abstractmethod
    async def _fetch(self, text: str, values: list[Value], wide: Sequence[int] = ()) -> list[Row]:
        """The rows of a query; the columns at the places `wide` are integers, of whatever size."""

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
    ) -> list[Row]:
        text, values = select_query(
            table,
            mark=self.mark,
            scope=scope,
            low=low,
            high=high,
            where=where,
            after=after,
            descending=descending,
            limit=limit,
            columns=columns,
        )
        names = table.names if columns is None else tuple(columns)
        return await self._fetch(text, values, _wide_places(names, table.wide))

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
        self, table: Table, *, scope: int | str | None = None, low: int | None = None, high: int | None = None
    ) -> int:
        text, values = count_query(table, mark=self.mark, scope=scope, low=low, high=high)
        count = (await self._fetch(text, values))[0][0]
        assert isinstance(count, int)
        return count
