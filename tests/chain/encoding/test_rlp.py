"""RLP by the Ethereum specification's own encoder, and refused where it is not canonical."""

import pytest
from ethereum_rlp import rlp as specified
from hypothesis import given
from hypothesis import strategies as st

from tidelog.chain.encoding import rlp
from tidelog.chain.encoding.rlp import Item

EDGES = (0, 1, 2, 55, 56, 57, 255, 256, 2047, 2048, 2049, 65535, 65536)  # where the prefix changes, and the tables end

items = st.recursive(st.binary(max_size=70), lambda inner: st.lists(inner, max_size=6), max_leaves=30)


@given(items)
def test_an_item_is_encoded_as_the_specification_does_and_decodes_to_itself(item: Item) -> None:
    encoded = rlp.encode(item)
    assert encoded == specified.encode(item)
    assert rlp.decode(encoded) == item == listed(specified.decode(encoded))


def listed(item: object) -> object:
    return [listed(inner) for inner in item] if isinstance(item, list | tuple) else item


@pytest.mark.parametrize("size", EDGES)
@pytest.mark.parametrize("first", [b"\x00", b"\x7f", b"\x80"])
def test_sizes_at_which_the_prefix_changes(size: int, first: bytes) -> None:
    data = (first * size)[:size]
    assert rlp.encode_bytes(data) == specified.encode(data)
    assert rlp.decode(rlp.encode_bytes(data)) == data
    ones: list[Item] = [b"\x01"] * size
    assert rlp.encode(ones) == specified.encode(ones)
    assert rlp.decode(rlp.encode(ones)) == ones


@given(st.integers(0, 2**256 - 1))
def test_an_integer_is_its_shortest_bytes(value: int) -> None:
    shortest = value.to_bytes((value.bit_length() + 7) // 8, "big")
    assert rlp.encode_int(value) == specified.encode(shortest)


@pytest.mark.parametrize("power", [0, 7, 8, 15, 16, 63, 64, 255, 256, 440, 448])
def test_integers_around_a_byte_more(power: int) -> None:
    for value in (2**power - 1, 2**power):
        assert rlp.encode_int(value) == specified.encode(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def test_there_are_no_negative_integers() -> None:
    with pytest.raises(ValueError, match="negative"):
        rlp.encode_int(-1)


@pytest.mark.parametrize(
    ("encoded", "fault"),
    [
        ("", "the input ends where an item should start"),
        ("8100", "a single byte below 0x80 with a prefix"),
        ("817f", "a single byte below 0x80 with a prefix"),
        ("b801ff", "a long length for a short item"),
        ("b837" + "ff" * 55, "a long length for a short item"),
        ("b90038" + "ff" * 56, "a bad length"),  # a length with a leading zero
        ("f800", "a bad length"),
        ("f801c0", "a long length for a short item"),
        ("f90038" + "01" * 56, "a bad length"),
        ("83ffff", "runs past the end"),
        ("c283ffff", "runs past the end"),
        ("c483ffff", "runs past the end"),
        ("c281ff01", "1 bytes behind the item"),
        ("0101", "1 bytes behind the item"),
        ("c2c2c0c0", "crosses the end of its list"),
        ("bf" + "ff" * 8, "runs past the end"),
        ("ff" + "ff" * 8, "runs past the end"),
        ("bf0000", "a bad length"),
    ],
)
def test_what_is_not_canonical_is_refused(encoded: str, fault: str) -> None:
    with pytest.raises(ValueError, match=f"RLP: .*{fault}"):
        rlp.decode(bytes.fromhex(encoded))


@given(items.filter(bool), st.data())
def test_every_truncation_is_refused(item: Item, data: st.DataObject) -> None:
    encoded = rlp.encode(item)
    cut = data.draw(st.integers(0, len(encoded) - 1))
    with pytest.raises(ValueError, match="RLP: "):
        rlp.decode(encoded[:cut])


@given(st.binary(max_size=80))
def test_any_input_is_refused_or_the_only_encoding_of_its_item(data: bytes) -> None:
    try:
        item = rlp.decode(data)
    except ValueError:
        return
    assert rlp.encode(item) == data


def test_nesting_has_an_end() -> None:
    deep: Item = []
    for _ in range(rlp.DEPTH_MAX):
        deep = [deep]
    assert rlp.decode(rlp.encode(deep)) == deep
    with pytest.raises(ValueError, match=f"deeper than {rlp.DEPTH_MAX}"):
        rlp.decode(rlp.encode([deep]))
    with pytest.raises(ValueError, match="deeper than"):
        rlp.decode(rlp.encode_list([b"\xc1" * 100_000]))


@given(st.lists(items, max_size=5))
def test_a_stream_is_its_items_one_after_the_other(sequence: list[Item]) -> None:
    stream = b"".join(map(rlp.encode, sequence))
    assert list(rlp.decode_stream(stream)) == sequence
    with pytest.raises(ValueError, match="RLP: "):
        list(rlp.decode_stream(stream + b"\x81"))
