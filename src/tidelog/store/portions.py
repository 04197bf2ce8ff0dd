"""A list's rows read in portions: the first so many, or fewer where they are large. Knows no SQL.

A limit of rows alone bounds no memory: there are logs of 400 kB, and transactions and arguments of as much.
"""

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from tidelog.batch import Row, Table
from tidelog.store.query import key_of

__all__ = ["PORTION_ROWS", "PORTION_ROWS_MAX", "Read", "take_rows"]

PORTION_ROWS = 101  # at first: the API's default page and the row behind it, one query; of 400 kB each 40 MB
PORTION_ROWS_MAX = 1_000
_SIZED = bytes, str

Read: TypeAlias = Callable[[int, Row | None], Awaitable[list[Row]]]  # so many rows behind a key, in key order


async def take_rows(
    table: Table,
    read: Read,
    take: Callable[[Row], bool],
    *,
    limit: int,
    after: Row | None,
    passed_max: int | None = None,
    bytes_max: int | None = None,
) -> Row | None:
    """Hand over rows of `table` until it is enough: the last key that was handed over, None if there are no more.

    Args:
        take: whether it takes a row, or passes over it.
        limit: rows that are taken at most.
        passed_max: rows that are passed over at most.
        bytes_max: the row whose bytes and text go beyond it, with those before, is the last.
    """
    taken = passed = size = 0
    portion = PORTION_ROWS

    def is_enough() -> bool:
        many = taken == limit or (passed_max is not None and passed >= passed_max)
        return many or (bytes_max is not None and size > bytes_max)

    while True:
        wanted = 1 if is_enough() else max(limit - taken + 1, PORTION_ROWS if passed else 0)
        wanted = min(wanted, portion)
        rows = await read(wanted, after)
        for place, row in enumerate(rows):
            if is_enough():
                return key_of(table, rows[place - 1]) if place else after
            size += sum(len(cell) for cell in row if isinstance(cell, _SIZED))
            if take(row):
                taken += 1
            else:
                passed += 1
        if len(rows) < wanted:
            return None
        after = key_of(table, rows[-1])
        portion = min(2 * portion, PORTION_ROWS_MAX)
