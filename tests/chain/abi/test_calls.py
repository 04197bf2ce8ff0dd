"""Input of transactions, decoded by the selector."""

from typing import Any

import eth_abi.abi as eth_abi
from hypothesis import given
from hypothesis import strategies as st

from tests.chain.abi.drawn import TYPES, ours, parameters, values_of
from tidelog.chain.abi.calls import CallDecoder, DecodedCall
from tidelog.chain.abi.entries import Function
from tidelog.chain.abi.events import Misfit
from tidelog.chain.abi.signatures import parse_function
from tidelog.chain.abi.types import Type

TRANSFER = parse_function("transfer(address to, uint256 value)")
SAFE = parse_function("safeTransferFrom(address from, address to, uint256 id)")
OVERLOADED = parse_function("safeTransferFrom(address from, address to, uint256 id, bytes data)")
SENT = TRANSFER.selector + eth_abi.encode(["address", "uint256"], ["0x" + "ab" * 20, 7])


@st.composite
def calls(draw: st.DrawFn) -> tuple[Function, tuple[Any, ...], bytes]:
    types: list[Type] = draw(st.lists(TYPES, max_size=4))
    values = [draw(values_of(each)) for each in types]
    function = Function("f", tuple(parameters(types)))
    right = tuple(ours(each, value) for each, value in zip(types, values, strict=True))
    return function, right, function.selector + eth_abi.encode([each.name for each in types], values)


@given(calls(), st.binary(max_size=40))
def test_a_call_has_its_arguments_whatever_stands_behind_them(
    case: tuple[Function, tuple[Any, ...], bytes], more: bytes
) -> None:
    function, values, data = case
    assert CallDecoder([function]).decode(data + more) == DecodedCall(function, values)


def test_overloaded_functions_are_told_apart_by_their_selector() -> None:
    who = "0x" + "ab" * 20
    data = OVERLOADED.selector + eth_abi.encode(["address", "address", "uint256", "bytes"], [who, who, 1, b"x"])
    decoded = CallDecoder([SAFE, OVERLOADED]).decode(data)
    assert isinstance(decoded, DecodedCall)
    assert decoded.function is OVERLOADED


def test_another_call_is_none_and_one_that_does_not_fit_says_why() -> None:
    decoder = CallDecoder([TRANSFER])
    assert decoder.decode(b"") is None
    assert decoder.decode(SAFE.selector) is None
    assert decoder.decode(SENT[:-1]) == Misfit("the data ends too early")
    assert decoder.decode(SENT[:4] + b"\1" + SENT[5:]) == Misfit("the padding of an address is not zero")
