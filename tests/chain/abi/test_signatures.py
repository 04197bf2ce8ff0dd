"""Signatures as people write them, their canonical form and its hash, and what is none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.chain.abi.drawn import TYPES
from tidelog.chain.abi.signatures import SIGNATURE_CHARACTERS_MAX, parse_event, parse_function
from tidelog.chain.abi.types import Type
from tidelog.errors import ConfigError

TRANSFER = "ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
# what is written                                                   what is hashed
EVENTS = [
    ("Transfer(address indexed from, address indexed to, uint256 value)", "Transfer(address,address,uint256)"),
    ("event Transfer(address,address indexed,uint);", "Transfer(address,address,uint256)"),
    ("event()", "event()"),
    (" E ( tuple ( uint a , string b ) [ 2 ] [ ] x ) anonymous ;", "E((uint256,string)[2][])"),
    ("E((int8[],(bool a) b)[] indexed c)", "E((int8[],(bool))[])"),
    ("E(address payable indexed to, bytes memory b, fixed)", "E(address,bytes,fixed128x18)"),
    ("$_1(function f)", "$_1(function)"),
]


@pytest.mark.parametrize(("written", "canonical"), EVENTS)
def test_an_event_has_one_canonical_form(written: str, canonical: str) -> None:
    assert parse_event(written).signature == canonical


def test_names_indexed_arguments_and_hashes() -> None:
    event = parse_event("Transfer(address indexed from, address indexed, uint256 value)")
    assert event.names == ("from", "arg1", "value")
    assert parse_event("E(uint256 arg1, uint256, uint256)").names == ("arg1", "arg1_", "arg2")
    assert [parameter.indexed for parameter in event.parameters] == [True, True, False]
    assert event.topic0 == bytes.fromhex(TRANSFER)
    assert parse_event("Transfer(address,address,uint256) anonymous").topic0 is None


def test_a_function_is_read_as_far_as_its_arguments() -> None:
    function = parse_function("function transfer(address to, uint256 value) external returns (bool)")
    assert (function.signature, function.selector.hex()) == ("transfer(address,uint256)", "a9059cbb")


@given(st.lists(TYPES, max_size=4))
def test_a_canonical_form_is_read_as_itself(types: list[Type]) -> None:
    text = f"f({','.join(each.name for each in types)})"
    assert parse_function(text).signature == text


REFUSED = [
    ("", "a name is missing at its end"),
    ("Transfer", "'(' is missing at its end"),
    ("Transfer(address", "')' is missing at its end"),
    ("Transfer(address,)", "a type is missing before ')'"),
    ("Transfer(adress a)", "'adress' is no type of an ABI"),
    ("E(uint7 a)", "'uint7' is no type of an ABI"),
    ("E(bytes33 a)", "'bytes33' is no type of an ABI"),
    ("E(uint256[0] a)", "an array of fixed length has 1 to 4294967296 elements"),
    ("E(uint256[01] a)", "the length of an array is written in other digits than a number has"),
    ("E(() a)", "a tuple has no members"),
    ("E(uint256 a, uint256 a)", "two arguments are named a"),
    ("E(uint256 a) b", "'b' follows it"),
    ("E(uint256 a-b)", "'-' has no place in it"),
    ("E(int indexed a, int indexed b, int indexed c, int indexed d)", "E: 4 arguments are indexed, at most 3 can be"),
    (f"E(uint256{'[]' * 17} a)", "arrays and tuples are more than 16 deep"),
    (f"E({'(' * 40}uint256{')' * 40} a)", "arrays and tuples are more than 16 deep"),
    ("E(" + "a" * SIGNATURE_CHARACTERS_MAX, f"it is longer than {SIGNATURE_CHARACTERS_MAX} characters"),
]


@pytest.mark.parametrize(("text", "why"), REFUSED)
def test_what_is_no_signature_is_refused_in_a_sentence(text: str, why: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_event(text)
    assert str(refused.value).endswith(f" is no signature of an event: {why}")


@given(st.text("E(uint256[] indexed,)a0", max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        event = parse_event(text)
    except ConfigError:
        return
    assert parse_event(event.signature).signature == event.signature
