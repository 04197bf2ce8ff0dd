"""The table of header fields and what is written beside it have one order and one meaning."""

import pytest

from tidelog.batch import Kind as ColumnKind
from tidelog.chain.blocks import Header
from tidelog.chain.header_fields import APPENDED, HASHED, HEADER_FIELDS, Fork, HeaderField, Kind
from tidelog.chain.rows.columns import BlockColumns
from tidelog.chain.rows.tables import BLOCKS

NAMES = tuple(field.name for field in HEADER_FIELDS)
COLUMN_KINDS = {Kind.NUMBER: ColumnKind.INT, Kind.UINT64: ColumnKind.UINT64, Kind.UINT256: ColumnKind.UINT256}


def test_headers_rows_and_named_columns_have_the_fields_in_the_same_order() -> None:
    assert Header.__struct_fields__[: len(NAMES)] == NAMES
    assert BLOCKS.names[1 : 1 + len(NAMES)] == NAMES
    assert BlockColumns._fields == BLOCKS.names


@pytest.mark.parametrize("field", HEADER_FIELDS, ids=lambda field: field.name)
def test_a_column_takes_what_its_field_holds(field: HeaderField) -> None:
    column = BLOCKS.columns[BLOCKS.index(field.name)]
    assert column.kind is COLUMN_KINDS.get(field.kind, ColumnKind.BYTES)
    assert column.nullable is field.optional
    assert column.content


def test_every_field_but_the_hash_has_its_own_place_under_the_hash() -> None:
    assert [field.place for field in HASHED] == list(range(len(HEADER_FIELDS) - 1))
    assert [field.name for field in HEADER_FIELDS if field.place is None] == ["hash"]


def test_forks_append_in_order() -> None:
    forks = [field.fork.value for field in HASHED]
    assert forks == sorted(forks)
    counts = {fork: sum(field.fork.value <= fork.value for field in HASHED) for fork in Fork}
    assert list(counts.values()) == [15, 16, 17, 20, 21, 23]  # as the execution specifications count them
    assert all(field.optional for field in APPENDED)
