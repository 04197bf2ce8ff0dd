"""Values as text: what a topic is made of, and what JSON has."""

import json
from decimal import Decimal

import eth_abi.abi as eth_abi
import pytest
from sha3 import keccak_256

from tidelog.chain.abi.reader import Value
from tidelog.chain.abi.signatures import parse_event
from tidelog.chain.abi.texts import json_value, parsed, topic_of
from tidelog.errors import ConfigError

ADDRESS = "0x" + "Ab" * 20
# type            text           as eth-abi has it
TOPICS = [
    ("uint256", "0", 0),
    ("uint256", "0xff", 255),
    ("int24", "-887272", -887272),
    ("bool", "true", True),
    ("bool", "false", False),
    ("address", ADDRESS, ADDRESS),
    ("bytes4", "0x01020304", b"\1\2\3\4"),
]


@pytest.mark.parametrize(("name", "text", "value"), TOPICS)
def test_a_topic_is_the_values_encoding(name: str, text: str, value: object) -> None:
    (parameter,) = parse_event(f"E({name} indexed a)").parameters
    assert topic_of(parameter, text) == eth_abi.encode([name], [value])


def test_of_strings_bytes_and_arrays_a_topic_is_the_hash() -> None:
    string, raw, array = parse_event("E(string indexed a, bytes indexed b, uint8[] indexed c)").parameters
    assert topic_of(string, "é") == keccak_256("é".encode()).digest()
    assert topic_of(raw, "0x00ff") == keccak_256(b"\0\xff").digest()
    assert topic_of(array, "0x" + "12" * 32) == b"\x12" * 32


REFUSED = [
    ("uint8", "256", "256 is out of the range of uint8"),
    ("uint8", "-1", "-1 is out of the range of uint8"),
    ("uint256", "1e18", "'1e18' is no uint256: give a whole number, or one as 0x and hex digits"),
    ("uint256", "9" * 100, "give a whole number"),
    ("bool", "1", "'1' is no bool: give true or false"),
    ("address", "vitalik.eth", "'vitalik.eth' is no address: give 20 bytes, as 0x and hex digits"),
    ("address", "0x12", "'0x12' is no address: give 20 bytes, as 0x and hex digits"),
    ("bytes4", "0x12", "'0x12' is no bytes4: give 4 bytes, as 0x and hex digits"),
    ("bytes", "12", "'12' is no bytes: give bytes, as 0x and hex digits"),
    ("fixed128x18", "1", "'1' is no fixed128x18: give another argument"),
    ("uint8[]", "[1]", "'[1]' is no hash: of a uint8[] a log has the hash"),
]


@pytest.mark.parametrize(("name", "text", "why"), REFUSED)
def test_what_is_no_such_value_is_told_what_to_give(name: str, text: str, why: str) -> None:
    (parameter,) = parse_event(f"E({name} indexed a)").parameters
    with pytest.raises(ConfigError) as refused:
        topic_of(parameter, text)
    assert why in str(refused.value)


def test_a_tuple_is_no_text() -> None:
    (parameter,) = parse_event("E((uint8 a) b)").parameters
    with pytest.raises(ConfigError, match="cannot be given as text"):
        parsed(parameter.type, "1")


# type                           value                            as JSON
JSON: list[tuple[str, Value, object]] = [
    ("uint48", 7, 7),
    ("uint56", 7, "7"),
    ("int256", -(1 << 255), str(-(1 << 255))),
    ("bool", True, True),
    ("address", b"\xab" * 20, "0x" + "ab" * 20),
    ("bytes", b"", "0x"),
    ("string", "é", "é"),
    ("fixed168x10", Decimal("-1E-10"), "-0.0000000001"),
    ("(uint256 a, bool)[]", ((1, True), (2, False)), [{"a": "1", "arg1": True}, {"a": "2", "arg1": False}]),
    ("(uint8 arg1, uint8)", (1, 2), {"arg1": 1, "arg1_": 2}),  # one of them was lost
]


@pytest.mark.parametrize(("name", "value", "shown"), JSON)
def test_a_value_as_json_has_it(name: str, value: Value, shown: object) -> None:
    (parameter,) = parse_event(f"E({name})").parameters
    told = json_value(parameter.type, value)
    assert json.loads(json.dumps(told)) == shown
