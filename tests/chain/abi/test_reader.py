"""Data of any types, compared with eth-abi: what it encodes is read, and what it refuses is refused, soon."""

import sys
from types import FrameType
from typing import Any

import eth_abi.abi as eth_abi
import pytest
from eth_abi.exceptions import DecodingError
from hypothesis import given
from hypothesis import strategies as st

from tests.chain.abi.drawn import TYPES, ours, values_of
from tidelog.chain.abi.reader import Refused, Value, data_reader
from tidelog.chain.abi.signatures import parse_function
from tidelog.chain.abi.types import Type


@st.composite
def encoded(draw: st.DrawFn) -> tuple[list[Type], list[Any], bytes]:
    types = draw(st.lists(TYPES, min_size=1, max_size=4))
    values = [draw(values_of(each)) for each in types]
    return types, values, eth_abi.encode([each.name for each in types], values)


@given(encoded())
def test_what_eth_abi_encodes_is_read_as_it_was(case: tuple[list[Type], list[Any], bytes]) -> None:
    types, values, data = case
    assert data_reader(types)(data) == tuple(ours(each, value) for each, value in zip(types, values, strict=True))


@st.composite
def damaged(draw: st.DrawFn) -> tuple[list[Type], bytes]:
    types, _, data = draw(encoded())
    body = bytearray(data)
    for _ in range(draw(st.integers(1, 3))):
        what = draw(st.sampled_from(["byte", "word", "cut", "more"]))
        at = draw(st.integers(0, max(0, len(body) - 1)))
        if what == "byte" and body:
            body[at] = draw(st.integers(0, 255))
        elif what == "word" and body:
            begin = at // 32 * 32
            body[begin : begin + 32] = draw(st.sampled_from([0, 1, 31, 32, 64, 96, 1 << 255, (1 << 256) - 1])).to_bytes(
                32
            )
        elif what == "cut":
            del body[at:]
        else:
            body += draw(st.binary(min_size=1, max_size=40))
    return types, bytes(body)


@given(damaged())
def test_damaged_data_is_refused_where_eth_abi_refuses_it_and_else_where_no_compiler_writes_it(
    case: tuple[list[Type], bytes],
) -> None:
    types, data = case
    names = [each.name for each in types]
    read: tuple[Value, ...] | None
    try:
        read = data_reader(types)(data)
    except Refused:
        read = None
    try:
        reference = eth_abi.decode(names, data)
    except (DecodingError, UnicodeDecodeError, OverflowError):
        assert read is None
        return
    if read is None:
        assert eth_abi.encode(names, reference) != data
    else:
        assert read == tuple(ours(each, value) for each, value in zip(types, reference, strict=True))


def words(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(32) for number in numbers)


HUGE = 1 << 255
# arguments              data                                              why
REFUSED = [
    ("uint256", b"", "the data ends too early"),
    ("uint256", words(1) + b"\0", "bytes follow behind the data's last value"),
    ("uint256", words(1, 0), "bytes follow behind the data's last value"),
    ("uint8", words(256), "a number is too large for uint8"),
    ("int8", words(128), "a number is too large for int8"),
    ("bool", words(2), "a bool is neither 0 nor 1"),
    ("address", words(1 << 160), "the padding of an address is not zero"),
    ("bytes4", words(1), "the padding of a bytes4 is not zero"),
    ("string", words(32, HUGE), "the data ends too early"),
    ("string", words(HUGE), "the data ends too early"),
    ("string", words(0), "an offset points back"),
    ("string", words(32, 1) + b"\xff".ljust(32, b"\0"), "a string is not UTF-8"),
    ("bytes", words(32, 1) + b"ab".ljust(32, b"\0"), "the padding of a bytes is not zero"),
    ("bytes", words(32, 1) + b"a", "the data ends too early"),
    ("uint256[]", words(32, HUGE), "the data ends too early"),
    ("string[]", words(32, HUGE), "the data ends too early"),
    ("string[]", words(32, 1, 0), "an offset points back"),
    ("uint256[4294967296][4294967296]", words(1), "the data ends too early"),
    ("bytes[4294967296]", words(32), "the data ends too early"),
    ("string, string", words(64, 64, 1) + b"a".ljust(32, b"\0"), "the data's offsets overlap"),
]


@pytest.mark.parametrize(("arguments", "data", "why"), REFUSED)
def test_hostile_data_is_refused_with_its_reason(arguments: str, data: bytes, why: str) -> None:
    types = [parameter.type for parameter in parse_function(f"f({arguments})").parameters]
    with pytest.raises(Refused) as refused:
        data_reader(types)(data)
    assert str(refused.value) == why


def test_arrays_whose_offsets_all_point_at_one_place_cost_no_more_than_their_words() -> None:
    """Sixteen levels of sixty arrays each would be 60 ** 16 of them."""
    types = [parameter.type for parameter in parse_function(f"f(uint256{'[]' * 16})").parameters]
    level = words(60, *[60 * 32] * 60)
    data = words(32) + level * 16
    calls = 0

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    try:
        with pytest.raises(Refused):
            data_reader(types)(data)
    finally:
        sys.setprofile(None)
    assert calls < 20 * len(data) // 32


def test_bytes_behind_the_last_value_are_read_over_where_that_is_asked_for() -> None:
    types = [parameter.type for parameter in parse_function("f(uint256)").parameters]
    assert data_reader(types, trailing=True)(words(7) + b"referrer") == (7,)
