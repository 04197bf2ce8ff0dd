"""Rows in portions: how many are read at once, and where a list ends that has few rows, or large ones."""

import pytest

from tidelog.batch import Column, Kind, Row, Table
from tidelog.store.portions import take_rows

TABLE = Table("t", (Column("id", Kind.INT), Column("data", Kind.BYTES), Column("text", Kind.TEXT)), key=("id",))


async def taken(
    rows: list[Row], limit: int, *, fit: int = 1, passed_max: int | None = None, bytes_max: int | None = None
) -> tuple[int, list[int], Row | None]:
    """Of rows of which each `fit`th is taken: how many were, how many were asked for at once, and the last key."""
    asked, found = [], []

    async def read(wanted: int, after: Row | None) -> list[Row]:
        asked.append(wanted)
        return [row for row in rows if after is None or row[:1] > after][:wanted]

    def take(row: Row) -> bool:
        if int(str(row[0])) % fit:
            return False
        found.append(row)
        return True

    last = await take_rows(TABLE, read, take, limit=limit, after=None, passed_max=passed_max, bytes_max=bytes_max)
    return len(found), asked, last


def made(count: int, size: int = 0) -> list[Row]:
    return [(number, bytes(size // 2), "x" * (size // 2)) for number in range(count)]


@pytest.mark.parametrize(
    ("count", "limit", "found", "asked", "last"),
    [
        (0, 100, 0, [101], None),
        (100, 100, 100, [101], None),
        (101, 100, 100, [101], 99),  # the API's default page is one query
        (7, 3, 3, [4], 2),
        (101, 101, 101, [101, 1], None),
        (2_000, 1_000, 1_000, [101, 202, 404, 294], 999),
        (5_000, 4_000, 4_000, [101, 202, 404, 808, 1_000, 1_000, 486], 3_999),
    ],
)
async def test_portions_grow_up_to_what_is_wanted(
    count: int, limit: int, found: int, asked: list[int], last: int | None
) -> None:
    key = None if last is None else (last,)
    assert await taken(made(count), limit) == (found, asked, key)
    assert await taken(made(count), limit, bytes_max=0) == (found, asked, key)


@pytest.mark.parametrize(
    ("count", "found", "asked", "last"),
    [
        (50, 11, [101], 10),
        (11, 11, [101], None),  # no page behind it that is empty
        (10, 10, [101], None),
    ],
)
async def test_the_row_that_goes_beyond_the_bytes_is_the_last(
    count: int, found: int, asked: list[int], last: int | None
) -> None:
    key = None if last is None else (last,)
    assert await taken(made(count, 100), 1_000, bytes_max=1_099) == (found, asked, key)


async def test_large_rows_at_the_end_of_a_portion_are_followed_by_one_row() -> None:
    assert await taken(made(101, 100), 1_000, bytes_max=10_050) == (101, [101, 1], None)
    assert await taken(made(102, 100), 1_000, bytes_max=10_050) == (101, [101, 1], (100,))


async def test_rows_that_are_passed_over_count_as_bytes_and_by_themselves() -> None:
    assert await taken(made(1_000), 3, fit=100) == (3, [4, 101, 101], (200,))
    assert await taken(made(1_000), 3, fit=100, passed_max=50) == (1, [4, 101], (50,))
    assert await taken(made(1_000, 100), 3, fit=100, bytes_max=5_050) == (1, [4, 101], (50,))
