"""Integers beyond SQLite's own 64 bits: 32 bytes, big-endian, in columns that take any type; and as decimal text.

SQLite sorts every BLOB behind every integer, and BLOBs by their bytes: so such a column sorts as its numbers do.
"""

from collections.abc import Sequence
from operator import itemgetter

from tidelog.batch import INT_MAX, Row, Value, uint256
from tidelog.store.query import integers

__all__ = ["restored", "stored", "texts"]


def stored(values: Sequence[Value]) -> Sequence[Value]:
    """Values as SQLite takes them."""
    if any(isinstance(value, int) and value > INT_MAX for value in values):
        return [uint256(value) if isinstance(value, int) and value > INT_MAX else value for value in values]
    return values


def restored(rows: list[Row], places: Sequence[int]) -> list[Row]:
    """Rows as they were stored; integers stand at these places, at least one. Hardly ever is one beyond 64 bits."""
    at = itemgetter(*places, places[0])  # two at least, so that it gives a tuple
    if any(bytes in map(type, at(row)) for row in rows):
        return integers(rows, places)
    return rows


def texts(row: Row, spelled: Sequence[tuple[int, str, bool]]) -> list[str | None]:
    """The decimal texts that are stored beside a row's integers of 256 bits, see `Table.spelled`."""
    found: list[str | None] = []
    for place, _, signed in spelled:
        value = row[place]
        found.append(str(int.from_bytes(value, "big", signed=signed)) if isinstance(value, bytes) else None)
    return found
