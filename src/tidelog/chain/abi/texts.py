"""Values of an ABI as people give and read them: text to a topic, and a value as JSON has it."""

import re
from decimal import Decimal
from typing import Any

from tidelog.chain.abi.entries import named
from tidelog.chain.abi.reader import Value
from tidelog.chain.abi.types import WORD, Array, Elementary, Kind, Parameter, Tuple, Type
from tidelog.chain.encoding.items import keccak
from tidelog.errors import ConfigError

__all__ = ["json_value", "parsed", "topic_of"]

NUMBER_BITS_MAX = 53  # beyond, readers of JSON make another number of it: it is text then, by its type and not its size
DIGITS_MAX = 80  # of a number of 256 bits, with its sign

_HEX = re.compile(r"0x(?:[0-9a-fA-F]{2})*")
_NUMBER = re.compile(r"-?(?:\d+|0x[0-9a-fA-F]+)", re.ASCII)


def json_value(given: Type, value: Value) -> Any:
    """Bytes and addresses as 0x and hex digits, numbers of more than 53 bits as text, a tuple by its members' names."""
    if isinstance(given, Tuple):
        assert isinstance(value, tuple)
        members = zip(named(given.parameters), given.parameters, value, strict=True)
        return {name: json_value(member.type, each) for name, member, each in members}
    if isinstance(given, Array):
        assert isinstance(value, tuple)
        return [json_value(given.item, each) for each in value]
    if isinstance(value, bytes):
        return f"0x{value.hex()}"
    if isinstance(value, Decimal):
        return f"{value:f}"
    return str(value) if given.size > NUMBER_BITS_MAX and isinstance(value, int) else value


def parsed(given: Type, text: str) -> Value:
    """The value that a text says. ConfigError: it says none; what to give."""
    if not isinstance(given, Elementary):
        raise ConfigError(f"a {given.name} cannot be given as text")
    match given.kind:
        case Kind.STRING:
            return text
        case Kind.BOOL if text in ("true", "false"):
            return text == "true"
        case Kind.UINT | Kind.INT if _NUMBER.fullmatch(text) and len(text) <= DIGITS_MAX:
            return _number(given, text)
        case Kind.ADDRESS | Kind.FIXED_BYTES | Kind.BYTES if _HEX.fullmatch(text):
            size = 20 if given.kind is Kind.ADDRESS else given.size
            value = bytes.fromhex(text[2:])
            if given.kind is Kind.BYTES or len(value) == size:
                return value
    raise ConfigError(f"{text[:80]!r} is no {given.name}: give {_wanted(given)}")


def _number(given: Elementary, text: str) -> int:
    number = int(text, 16 if "x" in text else 10)
    signed = given.kind is Kind.INT
    low, high = (-(1 << given.size - 1), 1 << given.size - 1) if signed else (0, 1 << given.size)
    if not low <= number < high:
        raise ConfigError(f"{text} is out of the range of {given.name}")
    return number


def _wanted(given: Elementary) -> str:
    match given.kind:
        case Kind.BOOL:
            return "true or false"
        case Kind.UINT | Kind.INT:
            return "a whole number, or one as 0x and hex digits"
        case Kind.ADDRESS:
            return "20 bytes, as 0x and hex digits"
        case Kind.FIXED_BYTES:
            return f"{given.size} bytes, as 0x and hex digits"
        case Kind.BYTES:
            return "bytes, as 0x and hex digits"
    return "another argument: of this type no text is read"


def topic_of(parameter: Parameter, text: str) -> bytes:
    """The topic of an indexed argument that has this value; of a tuple or an array the text is that hash itself.

    Raises:
        ConfigError: the text is no such value.
    """
    given = parameter.type
    if not isinstance(given, Elementary):
        if _HEX.fullmatch(text) and len(text) == 2 + 2 * WORD:
            return bytes.fromhex(text[2:])
        raise ConfigError(f"{text[:80]!r} is no hash: of a {given.name} a log has the hash, give its 32 bytes as hex")
    value = parsed(given, text)
    match value:
        case bool() | int():
            return (int(value) % (1 << 256)).to_bytes(WORD)
        case str():
            return keccak(value.encode())
        case bytes() if given.kind is Kind.ADDRESS:
            return value.rjust(WORD, b"\0")
        case bytes() if given.kind is Kind.FIXED_BYTES:
            return value.ljust(WORD, b"\0")
        case bytes():
            return keccak(value)
    raise AssertionError(given)
