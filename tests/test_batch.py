"""The canonical encoding that every digest is over, and the tables, whose columns are part of it."""

import hashlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidelog.batch import (
    INT_MAX,
    NUMBER_MAX,
    UINT64_MAX,
    Batch,
    Checkpoint,
    Column,
    ContentDigest,
    Kind,
    Rollback,
    Row,
    Rows,
    Table,
    Value,
    decode_row,
    encode_row,
    optional_uint256,
    rows_digest,
    uint256,
)
from tidelog.chain.rows.tables import (
    BLOCK_TABLES,
)

values = st.none() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=40) | st.binary(max_size=40)
rows = st.lists(values, max_size=8).map(tuple)


# -- the encoding: MessagePack in its shortest form, an array a row ------------------------------------------------


@pytest.mark.parametrize(
    ("row", "encoded"),
    [
        ((), "90"),
        ((None,), "91c0"),
        ((0, 127, 128, 255, 256, 65535, 65536, 2**32, 2**63 - 1),
         "99 00 7f cc80 ccff cd0100 cdffff ce00010000 cf0000000100000000 cf7fffffffffffffff"),
        ((-1, -32, -33, -128, -129, -32769, -(2**31) - 1, -(2**63)),
         "98 ff e0 d0df d080 d1ff7f d2ffff7fff d3ffffffff7fffffff d38000000000000000"),
        (("", "a", "é", "x" * 31, "x" * 32), "95 a0 a161 a2c3a9 bf" + "78" * 31 + "d920" + "78" * 32),
        ((b"", b"\x00", b"\xff" * 20, b"\x01" * 256), "94 c400 c40100 c414" + "ff" * 20 + "c50100" + "01" * 256),
        ((1,) * 16, "dc0010" + "01" * 16),
        (("1", 1, b"1"), "93 a131 01 c40131"),
    ],
)  # fmt: skip
def test_the_encoding_of_rows_never_changes(row: Row, encoded: str) -> None:
    assert encode_row(row).hex() == encoded.replace(" ", "")


@given(rows)
def test_an_encoded_row_reads_as_it_was_written(row: Row) -> None:
    decoded = decode_row(encode_row(row))
    assert decoded == row
    assert [type(value) for value in decoded] == [type(value) for value in row]


@given(rows, rows)
def test_different_rows_have_different_encodings(one: Row, other: Row) -> None:
    same = one == other and [type(value) for value in one] == [type(value) for value in other]
    assert (encode_row(one) == encode_row(other)) == same


# -- digests ---------------------------------------------------------------------------------------------------------

SMALL = Table(
    "small",
    (Column("id", Kind.INT), Column("when", Kind.INT, content=False), Column("text", Kind.TEXT, nullable=True)),
    key=("id",),
)
WHOLE = Table("whole", (Column("id", Kind.INT), Column("text", Kind.TEXT)), key=("id",))


def test_a_block_s_digest_is_over_table_names_and_whole_rows() -> None:
    groups: list[tuple[Table, list[Row]]] = [(SMALL, [(1, 2, "a"), (2, 3, None)]), (WHOLE, [])]
    expected = hashlib.sha256(b"\xa5small" + b"\x93\x01\x02\xa1a" + b"\x93\x02\x03\xc0" + b"\xa5whole")
    assert rows_digest(groups) == expected.digest()


def test_a_store_s_digest_leaves_out_the_facts_of_ingestion() -> None:
    digest = ContentDigest(SMALL)
    digest.update([(1, 2, "a")])
    digest.update([(2, 3, None)])
    assert digest.hexdigest() == hashlib.sha256(b"\xa5small" + b"\x92\x01\xa1a" + b"\x92\x02\xc0").hexdigest()
    assert digest.row_count == 2
    other = ContentDigest(SMALL)
    other.update([(1, 99, "a"), (2, 99, None)])
    assert other.hexdigest() == digest.hexdigest()
    whole = ContentDigest(WHOLE)
    whole.update([(1, "a")])
    assert whole.hexdigest() == hashlib.sha256(b"\xa5whole" + b"\x92\x01\xa1a").hexdigest()


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.text(max_size=3)), max_size=6), st.data())
def test_a_digest_does_not_depend_on_how_the_rows_are_handed_over(items: list[Row], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(items)))
    one, two = ContentDigest(SMALL), ContentDigest(SMALL)
    one.update(items)
    two.update(items[:at])
    two.update(iter(items[at:]))
    assert (one.hexdigest(), one.row_count) == (two.hexdigest(), two.row_count)


@pytest.mark.parametrize(
    ("value", "encoded"),
    [(0, bytes(32)), (1, bytes(31) + b"\x01"), (2**256 - 1, b"\xff" * 32), (258, bytes(30) + b"\x01\x02")],
)
def test_a_wide_integer_is_32_bytes(value: int, encoded: bytes) -> None:
    assert uint256(value) == optional_uint256(value) == encoded


@pytest.mark.parametrize("value", [-1, 2**256])
def test_refuses_numbers_beyond_256_bits(value: int) -> None:
    with pytest.raises(OverflowError):
        uint256(value)
    with pytest.raises(OverflowError):
        optional_uint256(value)
    assert optional_uint256(None) is None


# -- batches ---------------------------------------------------------------------------------------------------------


def test_a_checkpoint_advances_by_one_commit_in_its_epoch() -> None:
    before = Checkpoint("chain:1", 4, 7, None, 99)
    assert before.advanced("there") == Checkpoint("chain:1", 4, 8, "there", 99)


def test_a_batch_counts_its_rows() -> None:
    before = Checkpoint("chain:1", 4, 7, None)
    cells: list[Row] = [(1, 2, None), (2, 2, None)]
    add = (Rows(SMALL, cells), Rows(SMALL, ()))
    batch = Batch(before, before.advanced("x"), add=add, put=(Rows(SMALL, cells[:1]),))
    assert batch.row_count == 3
    assert Batch(before, before.advanced("x")).row_count == 0


@pytest.mark.parametrize(("through", "last"), [(None, INT_MAX), (9, 9)])
def test_a_rollback_ends_at_its_last_height_or_at_the_highest(through: int | None, last: int) -> None:
    assert Rollback(BLOCK_TABLES, 1, 5, through).last == last


def test_values_are_what_both_databases_hold() -> None:
    assert INT_MAX == 2**63 - 1
    value: Value = INT_MAX
    assert encode_row((value,)).hex() == "91cf7fffffffffffffff"
    for beyond in (2**256, -(2**63) - 1):
        with pytest.raises(OverflowError):
            encode_row((beyond,))


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        (UINT64_MAX, "91cfffffffffffffffff"),
        (UINT64_MAX + 1, "91c70901010000000000000000"),
        (NUMBER_MAX, "91c72001" + "ff" * 32),
    ],
)
def test_an_integer_beyond_64_bits_is_an_extension_over_its_bytes(value: int, encoded: str) -> None:
    assert encode_row((value,)).hex() == encoded
    assert decode_row(bytes.fromhex(encoded)) == (value,)


@pytest.mark.parametrize("encoded", ["91c72101" + "ff" * 33, "91d40501"])
def test_other_msgpack_extensions_are_no_row(encoded: str) -> None:
    with pytest.raises((ValueError, msgspec.MsgspecError)):
        decode_row(bytes.fromhex(encoded))
