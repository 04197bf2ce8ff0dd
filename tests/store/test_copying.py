"""Rows on their way to PostgreSQL: what the compiled core lays out is, byte for byte, what asyncpg would send."""

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.chain.native import needs_core
from tidelog import compiled
from tidelog.batch import Column, Kind, Piece, Pieces, Row, Table, encode_row
from tidelog.store.postgres.copying import portions, streams
from tidelog.store.postgres.uint256 import encode_numeric

KINDS = (Kind.INT, Kind.UINT64, Kind.NUMBER, Kind.TEXT, Kind.BYTES, Kind.UINT256)
TABLE = Table("t", tuple([Column(kind.value, kind, nullable=True) for kind in KINDS]), key=("int",))
VALUES: dict[Kind, st.SearchStrategy[Any]] = {
    Kind.INT: st.integers(-(2**63), 2**63 - 1),
    Kind.UINT64: st.integers(0, 2**64 - 1),
    Kind.NUMBER: st.integers(0, 2**64 - 1) | st.sampled_from([10**4, 10**8, 10**16, 10**19]),
    Kind.TEXT: st.text(st.characters(exclude_categories=["Cs"]), max_size=9),
    Kind.BYTES: st.binary(max_size=9),
    Kind.UINT256: st.binary(min_size=32, max_size=32)
    | st.integers(0, 77).map(lambda power: (10**power).to_bytes(32, "big")),
}
ROWS = st.lists(st.tuples(*[st.none() | VALUES[kind] for kind in KINDS]), min_size=1, max_size=4)


def as_asyncpg_sends(rows: list[Row]) -> bytes:
    """The format of the server's manual, and the codecs of asyncpg and of our NUMERIC."""
    out = [b"PGCOPY\n\xff\r\n\0", struct.pack("!ii", 0, 0)]
    for row in rows:
        out.append(struct.pack("!h", len(KINDS)))
        for kind, value in zip(KINDS, row, strict=True):
            content = None if value is None else _sent(kind, value)
            out.append(struct.pack("!i", -1) if content is None else struct.pack("!i", len(content)) + content)
    return b"".join([*out, struct.pack("!h", -1)])


def _sent(kind: Kind, value: Any) -> bytes:
    if kind is Kind.INT:
        return struct.pack("!q", value)
    if kind is Kind.TEXT:
        return str(value).encode()
    return bytes(value) if kind is Kind.BYTES else encode_numeric(value)


@needs_core
@given(ROWS)
def test_a_stream_is_what_asyncpg_would_send(rows: list[Row]) -> None:
    assert list(streams(TABLE, rows)) == [(rows, as_asyncpg_sends(rows))]


@needs_core
@pytest.mark.parametrize(
    ("place", "value"),
    [
        (0, 2**63), (0, "1"), (0, b"1"), (0, True), (1, 2**64), (1, -1), (2, 2**200), (3, b"x"), (3, "\ud800"),
        (4, "x"),
        (5, b"1"), (5, 1.5),
    ],
)  # fmt: skip
def test_what_the_core_cannot_lay_out_is_left_to_asyncpg(place: int, value: Any) -> None:
    good: Row = (1, 2, 3, "x", b"y", bytes(32))
    odd = tuple([value if at == place else each for at, each in enumerate(good)])
    found = list(streams(TABLE, iter([good, odd, good])))
    assert found == [([good, odd], None), ([good], as_asyncpg_sends([good]))]


UNSIGNED = st.tuples(*[st.none() | VALUES[kind] for kind in KINDS]).map(lambda row: (abs(row[0] or 0) >> 1, *row[1:]))


def encoded(pieces: list[list[Row]]) -> Pieces:
    """Rows as the compiled core has them."""
    module = compiled.core().module
    assert module is not None
    made = [module.Rows(b"".join(map(encode_row, rows)), len(KINDS)) for rows in pieces]
    return Pieces([Piece(1, height, rows) for height, rows in enumerate(made)])


@needs_core
@given(st.lists(st.lists(UNSIGNED, max_size=3), max_size=4), st.integers(1, 600))
def test_encoded_rows_are_laid_out_without_tuples(pieces: list[list[Row]], bytes_max: int) -> None:
    found = list(streams(TABLE, encoded(pieces), bytes_max=bytes_max))
    rows = [row for piece in pieces for row in piece]
    longest = max((len(as_asyncpg_sends([row])) for row in rows), default=0)
    assert all(records == [] for records, _ in found)
    sent = [stream[19:-2] for _, stream in found if stream is not None]
    assert len(sent) == len(found)
    assert b"".join(sent) == as_asyncpg_sends(rows)[19:-2]
    assert all(len(stream) <= bytes_max + longest for stream in sent)


@needs_core
@pytest.mark.parametrize(("place", "value"), [(0, 2**63), (0, "1"), (1, b"1"), (3, b"x"), (4, "x"), (4, 1), (5, b"1")])
def test_encoded_rows_that_do_not_fit_are_left_to_asyncpg(place: int, value: Any) -> None:
    good: Row = (1, 2, 3, "x", b"y", bytes(32))
    odd = tuple([value if at == place else each for at, each in enumerate(good)])
    pieces = encoded([[good], [good, odd], [good, good]])
    found = list(streams(TABLE, pieces))
    assert found == [([good, good, odd], None), ([good, good], as_asyncpg_sends([good, good]))]
    at_once = list(streams(TABLE, pieces, bytes_max=1))
    assert at_once[:2] == [([], as_asyncpg_sends([good]))] * 2
    assert at_once[2:] == [([odd], None), *[([good], as_asyncpg_sends([good]))] * 2]


def test_portions_are_bounded_and_hold_every_row() -> None:
    rows: list[Row] = [(place, 2, 3, "x" * 20, b"y" * 60, bytes(32)) for place in range(9)]
    for found in (list(portions(rows, bytes_max=300)), [records for records, _ in streams(TABLE, rows, bytes_max=300)]):
        assert [row for records in found for row in records] == rows
        assert 1 < len(found) < len(rows)
    assert list(streams(TABLE, [])) == []


def test_a_table_with_a_kind_that_the_core_does_not_know_is_left_to_asyncpg() -> None:
    signed = Table("s", (Column("a", Kind.INT256),), key=("a",))
    assert list(streams(signed, [(-1,)])) == [([(-1,)], None)]
