"""Rows as the compiled core holds them: a sequence of the tuples that the Python path lays out."""

from collections.abc import Sequence
from typing import Any

import pytest

from tests.chain.answers import raw_of, rules_of, simulated
from tests.chain.native import by_python, needs_core
from tidelog.batch import Row, encode_row
from tidelog.chain import native
from tidelog.chain.rows.layout import block_rows
from tidelog.chain.verify import VerifiedBlock

pytestmark = needs_core
TABLES = ("transactions", "logs", "withdrawals", "uncles")


@pytest.fixture(params=TABLES)
def both(request: pytest.FixtureRequest) -> tuple[Any, list[Row]]:
    """The rows of one table of a block, by the core and in Python."""
    answers = simulated("prague")
    options: dict[str, Any] = {"range_first": None, "endpoint": "http://node", "now_ms": 7}
    (by_core,) = native.verify_blocks([raw_of(answers)], [3], rules_of(answers), **options)
    in_python = by_python(raw_of(answers), 3, rules_of(answers))
    assert isinstance(by_core, VerifiedBlock)
    assert isinstance(in_python, VerifiedBlock)
    return getattr(by_core.rows, request.param), list(getattr(in_python.rows, request.param))


def test_they_are_walked_as_often_as_wanted(both: tuple[Any, list[Row]]) -> None:
    rows, expected = both
    assert not isinstance(rows, list)
    assert list(rows) == list(rows) == expected
    assert (len(rows), bool(rows)) == (len(expected), bool(expected))
    assert [list(map(type, row)) for row in rows] == [list(map(type, row)) for row in expected]


def test_they_are_a_sequence(both: tuple[Any, list[Row]]) -> None:
    rows, expected = both
    assert isinstance(rows, Sequence)
    for place in range(-len(expected), len(expected)):
        assert rows[place] == expected[place]
    for cut in (slice(None), slice(1, None), slice(None, -1), slice(None, None, -2), slice(5, 2), slice(90, 99)):
        assert rows[cut] == expected[cut]
    for place in (len(expected), -len(expected) - 1, 2**62):
        with pytest.raises(IndexError):
            rows[place]
    assert all(row in rows for row in expected)


def test_they_equal_the_same_rows_and_no_others(both: tuple[Any, list[Row]]) -> None:
    rows, expected = both
    assert all((rows == expected, expected == rows, rows == rows[:], rows == tuple(expected)))
    others: list[Any] = [None, "rows", [*expected, (1,)], 5]
    others += [expected[:-1], [(0, *expected[0][1:]), *expected[1:]]] if expected else []
    for other in others:
        assert rows != other


def test_packed_they_are_the_canonical_encodings(both: tuple[Any, list[Row]]) -> None:
    rows, expected = both
    assert rows.packed == b"".join(map(encode_row, expected))


def test_a_batch_has_them_block_by_block() -> None:
    answers = [simulated("prague", number) for number in (1, 2, 3)]
    options: dict[str, Any] = {"range_first": None, "endpoint": "http://node", "now_ms": 7}
    blocks = native.verify_blocks([raw_of(each) for each in answers], [1, 2, 3], rules_of(answers[0]), **options)
    rows = [block.rows for block in blocks if isinstance(block, VerifiedBlock)]
    for group in block_rows(rows):
        flat = [
            row
            for block in rows
            for row in ([block.block] if group.table.name == "blocks" else getattr(block, group.table.name))
        ]
        assert list(group.rows) == flat
        assert len(group.rows) == len(flat)
