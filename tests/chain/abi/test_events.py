"""Logs, decoded: the function written for a signature equals the reader, and what does not fit says why."""

from typing import Any

import eth_abi.abi as eth_abi
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.chain.abi.drawn import TYPES, WORDS, ours, values_of
from tidelog.chain.abi.entries import Event
from tidelog.chain.abi.events import Decoded, EventDecoder, LogDecoder, Misfit
from tidelog.chain.abi.signatures import parse_event
from tidelog.chain.abi.slices import Log
from tidelog.chain.abi.types import Elementary, Parameter

ERC20 = parse_event("Transfer(address indexed from, address indexed to, uint256 value)")
ERC721 = parse_event("Transfer(address indexed from, address indexed to, uint256 indexed tokenId)")
WHO, WHOM = b"\xaa" * 20, b"\xbb" * 20


def word(value: bytes | int) -> bytes:
    return value.to_bytes(32) if isinstance(value, int) else value.rjust(32, b"\0")


def log_of(event: Event, *topics: bytes, data: bytes = b"") -> Log:
    named = () if event.topic0 is None else (event.topic0,)
    first, second, third, fourth = (*named, *topics, None, None, None, None)[:4]
    return first, second, third, fourth, data


@st.composite
def logged(draw: st.DrawFn) -> tuple[Event, tuple[Any, ...], Log]:
    """An event, its values in the order of its arguments, and its log."""
    anonymous = draw(st.booleans())
    chosen: list[Parameter] = []
    values: list[Any] = []
    topics: list[bytes] = []
    plain: list[tuple[str, Any]] = []
    for each in draw(st.lists(WORDS | TYPES, max_size=5)):
        indexed = len(topics) < 3 + anonymous and draw(st.booleans())
        value = draw(values_of(each))
        chosen.append(Parameter("", each, indexed))
        if not indexed:
            plain.append((each.name, value))
        elif isinstance(each, Elementary) and each.words == 1:
            topics.append(eth_abi.encode([each.name], [value]))
        else:
            topics.append(draw(st.binary(min_size=32, max_size=32)))
        values.append(topics[-1] if chosen[-1].is_hashed else ours(each, value))
    event = Event("E", tuple(chosen), anonymous)
    data = eth_abi.encode([name for name, _ in plain], [value for _, value in plain])
    return event, tuple(values), log_of(event, *topics, data=data)


@given(logged())
def test_a_log_of_an_event_has_its_values(case: tuple[Event, tuple[Any, ...], Log]) -> None:
    event, values, log = case
    decoder = EventDecoder(event)
    assert decoder.decode(*log) == decoder.read(*log) == values


@given(logged(), st.data())
def test_a_damaged_log_is_the_same_to_slices_and_reader(
    case: tuple[Event, tuple[Any, ...], Log], draw: st.DataObject
) -> None:
    event, _, log = case
    parts = list(log)
    for _ in range(draw.draw(st.integers(1, 2))):
        place = draw.draw(st.integers(0, 4))
        part = parts[place] or b""
        cut = draw.draw(st.integers(0, len(part)))
        new = part[:cut] + draw.draw(st.binary(max_size=40)) + part[cut + draw.draw(st.integers(0, 40)) :]
        parts[place] = new if place == 4 else draw.draw(st.sampled_from([None, new]))
    decoder = EventDecoder(event)
    damaged: Any = tuple(parts)
    assert decoder.decode(*damaged) == decoder.read(*damaged)


WRITTEN = ["address a, bool b, int24 c", "uint8[3] a, (bool b, bytes4 c)[2] d", "string a, uint256 b, bytes c", ""]


@pytest.mark.parametrize("arguments", WRITTEN)
def test_a_function_is_written_for_fixed_sizes_strings_and_bytes(arguments: str) -> None:
    assert EventDecoder(parse_event(f"E({arguments})")).is_sliced


@pytest.mark.parametrize("arguments", ["uint256[] a", "(string a) b", "fixed a", "bytes32[65] a"])
def test_the_reader_alone_has_the_rest(arguments: str) -> None:
    assert not EventDecoder(parse_event(f"E({arguments})")).is_sliced


def test_one_first_topic_with_other_indexed_arguments_is_told_apart() -> None:
    fungible = log_of(ERC20, word(WHO), word(WHOM), data=word(5))
    token = log_of(ERC721, word(WHO), word(WHOM), word(5))
    assert ERC20.topic0 == ERC721.topic0
    both = LogDecoder([ERC20, ERC721])
    assert both.decode(*fungible) == Decoded(ERC20, (WHO, WHOM, 5))
    assert both.decode(*token) == Decoded(ERC721, (WHO, WHOM, 5))
    assert LogDecoder([ERC20]).decode(*token) == Misfit("indexed arguments: 3, and 2 in the signature")


def test_overloaded_events_are_told_apart_by_their_first_topic() -> None:
    one, two = parse_event("Set(uint256 a)"), parse_event("Set(uint256 a, uint256 b)")
    both = LogDecoder([one, two])
    assert both.decode(*log_of(one, data=word(1))) == Decoded(one, (1,))
    assert both.decode(*log_of(two, data=word(1) + word(2))) == Decoded(two, (1, 2))
    assert both.decode(*log_of(ERC20, word(WHO), word(WHOM), data=word(5))) is None


def test_an_anonymous_event_has_four_indexed_arguments_and_no_name_in_its_topics() -> None:
    event = parse_event(
        "Note(bytes4 indexed a, address indexed b, uint256 indexed c, bool indexed d, string e) anonymous"
    )
    topics = (b"abcd".ljust(32, b"\0"), word(WHO), word(3), word(1))
    log = log_of(event, *topics, data=eth_abi.encode(["string"], ["é"]))
    assert LogDecoder([ERC20, event]).decode(*log) == Decoded(event, (b"abcd", WHO, 3, True, "é"))


def test_of_indexed_strings_tuples_and_arrays_a_log_has_the_hash() -> None:
    event = parse_event("E(string indexed a, (uint256 b, address c) indexed d, uint256[2] indexed e)")
    hashes = tuple(bytes([fill]) * 32 for fill in (1, 2, 3))
    assert EventDecoder(event).decode(*log_of(event, *hashes)) == hashes


def test_what_does_not_fit_is_a_value_with_its_reason() -> None:
    decoder = EventDecoder(ERC20)
    topics = (word(WHO), word(WHOM))
    # the log                                                why it does not fit
    cases = [
        (log_of(ERC20, *topics, data=b""), "the data ends too early"),
        (log_of(ERC20, *topics, data=word(5) + b"\0"), "bytes follow behind the data's last value"),
        (log_of(ERC20, b"\1" * 32, topics[1], data=word(5)), "the padding of an address is not zero"),
        (log_of(ERC20, b"\1", topics[1], data=word(5)), "a topic is not 32 bytes long"),
        (log_of(parse_event("Other()")), "the first topic is another event's"),
        ((None, None, None, None, b""), "the first topic is another event's"),
    ]
    assert decoder.decode_all([log for log, _ in cases]) == [Misfit(why) for _, why in cases]
