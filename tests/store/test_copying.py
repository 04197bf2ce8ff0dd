"""Rows on their way to PostgreSQL: what the compiled core lays out is, byte for byte, what asyncpg would send."""

import struct
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.chain.native import needs_core
from tidelog import compiled
from tidelog.batch import Column, Kind, Piece, Pieces, Row, Table, encode_row
from tidelog.store.postgres import copying
from tidelog.store.postgres.copying import copied, copy_query, portions, streams
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


Portions: TypeAlias = Iterable[tuple[list[Row], Iterable[bytes] | None]]


def joined(portions: Portions) -> list[tuple[list[Row], bytes | None]]:
    """Portions, each stream as the server gets it."""
    return [(records, None if stream is None else b"".join(stream)) for records, stream in portions]


def sent(table: Table, rows: Iterable[Row], **options: int) -> list[tuple[list[Row], bytes | None]]:
    """The portions of rows."""
    return joined(streams(table, rows, **options))


def as_asyncpg_sends(rows: list[Row], kinds: Sequence[Kind] = KINDS, *, segment: int | None = None) -> bytes:
    """The format of the server's manual, and the codecs of asyncpg and of our NUMERIC."""
    last = b"" if segment is None else struct.pack("!ii", 4, segment)
    out = [b"PGCOPY\n\xff\r\n\0", struct.pack("!ii", 0, 0)]
    for row in rows:
        out.append(struct.pack("!h", len(kinds) + bool(last)))
        for kind, value in zip(kinds, row, strict=True):
            content = None if value is None else _sent(kind, value)
            out.append(struct.pack("!i", -1) if content is None else struct.pack("!i", len(content)) + content)
        out.append(last)
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
    assert sent(TABLE, rows) == [(rows, as_asyncpg_sends(rows))]


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
    found = sent(TABLE, iter([good, odd, good]))
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
    found = sent(TABLE, encoded(pieces), bytes_max=bytes_max)
    rows = [row for piece in pieces for row in piece]
    longest = max((len(as_asyncpg_sends([row])) for row in rows), default=0)
    assert all(records == [] for records, _ in found)
    bodies = [stream[19:-2] for _, stream in found if stream is not None]
    assert len(bodies) == len(found)
    assert b"".join(bodies) == as_asyncpg_sends(rows)[19:-2]
    assert all(len(body) <= bytes_max + longest for body in bodies)


@needs_core
@given(st.lists(UNSIGNED, min_size=1, max_size=4), st.integers(0, 2**31 - 1))
def test_every_row_ends_with_its_segment(rows: list[Row], segment: int) -> None:
    expected = as_asyncpg_sends(rows, segment=segment)
    assert sent(TABLE, rows, segment=segment) == [(rows, expected)]
    assert sent(TABLE, encoded([rows[:1], rows[1:]]), segment=segment) == [([], expected)]


@needs_core
def test_a_stream_of_encoded_rows_is_laid_out_as_it_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "PIECE_BYTES", 100)
    good: Row = (1, 2, 3, "x", b"y", bytes(32))
    odd: Row = (2**63, 2, 3, "x", b"y", bytes(32))
    rows = encoded([[good], [good] * 3, [good, odd, good]])
    portions = streams(TABLE, rows)
    records, stream = next(portions)
    assert records == []
    assert stream is not None
    parts = list(stream)
    assert len(parts) > 2
    assert b"".join(parts) == as_asyncpg_sends([good] * 4), "up to the part that has one which does not fit"
    assert joined(portions) == sent(TABLE, [good, odd, good])


@needs_core
@pytest.mark.parametrize(("place", "value"), [(0, 2**63), (0, "1"), (1, b"1"), (3, b"x"), (4, "x"), (4, 1), (5, b"1")])
def test_encoded_rows_that_do_not_fit_are_left_to_asyncpg(place: int, value: Any) -> None:
    good: Row = (1, 2, 3, "x", b"y", bytes(32))
    odd = tuple([value if at == place else each for at, each in enumerate(good)])
    pieces = encoded([[good], [good, odd], [good, good]])
    found = sent(TABLE, pieces)
    assert found == [([good, good, odd], None), ([good, good], as_asyncpg_sends([good, good]))]
    at_once = sent(TABLE, pieces, bytes_max=1)
    assert at_once[:2] == [([], as_asyncpg_sends([good]))] * 2
    assert at_once[2:] == [([odd], None), *[([good], as_asyncpg_sends([good]))] * 2]


def test_portions_are_bounded_and_hold_every_row() -> None:
    rows: list[Row] = [(place, 2, 3, "x" * 20, b"y" * 60, bytes(32)) for place in range(9)]
    for found in (list(portions(rows, bytes_max=300)), [records for records, _ in sent(TABLE, rows, bytes_max=300)]):
        assert [row for records in found for row in records] == rows
        assert 1 < len(found) < len(rows)
    assert sent(TABLE, []) == []


def test_a_table_with_a_kind_that_the_core_does_not_know_is_left_to_asyncpg() -> None:
    signed = Table("s", (Column("a", Kind.INT256),), key=("a",))
    assert sent(signed, [(-1,)]) == [([(-1,)], None)]


# -- read back --------------------------------------------------------------------------------------------------------

BLOCKWISE = Table(
    "b",
    (Column("scope", Kind.INT), Column("height", Kind.INT), *TABLE.columns),
    key=("scope", "height", "int"),
    scope="scope",
    height="height",
)
OF_BLOCKS = (Kind.INT, Kind.INT, *KINDS)


@needs_core
@given(
    st.lists(st.tuples(st.integers(0, 5), UNSIGNED), max_size=8).map(lambda rows: sorted(rows, key=lambda row: row[0]))
)
def test_what_was_copied_is_read_block_by_block(found: list[tuple[int, Row]]) -> None:
    rows: list[Row] = [(1, height, *row) for height, row in found]
    pieces = copied(BLOCKWISE, 1, as_asyncpg_sends(rows, OF_BLOCKS))
    assert pieces is not None
    assert list(pieces) == rows
    heights = [piece.height for piece in pieces.pieces]
    assert heights == sorted({height for height, _ in found}), "each of them once"
    assert all(row[:2] == (piece.scope, piece.height) for piece in pieces.pieces for row in piece.rows)
    assert all(piece.rows.packed == b"".join(map(encode_row, piece.rows)) for piece in pieces.pieces)  # type: ignore[attr-defined]


@needs_core
@pytest.mark.parametrize(("place", "value"), [(0, -1), (2, -1), (3, 2**64), (4, 2**200)])
def test_a_value_that_no_row_of_the_core_has_is_read_row_by_row(place: int, value: int) -> None:
    good: Row = (1, 7, 1, 2, 3, "x", b"y", bytes(32))
    odd = tuple([value if at == place else each for at, each in enumerate(good)])
    assert copied(BLOCKWISE, 1, as_asyncpg_sends([good], OF_BLOCKS)) is not None
    assert copied(BLOCKWISE, 1, as_asyncpg_sends([good, odd], OF_BLOCKS)) is None


def test_only_what_the_core_knows_is_copied() -> None:
    query = copy_query(BLOCKWISE, 1, 2, 30)
    if compiled.core().module is None:
        assert query is None
    else:
        assert query is not None
        assert query.endswith(
            'WHERE "scope" = 1 AND "height" >= 2 AND "height" <= 30 ORDER BY "scope", "height", "int"'
        )
    assert copy_query(TABLE, 1, 2, 30) is None, "its rows are of no block"
