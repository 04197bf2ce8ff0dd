"""A row's integers as PostgreSQL's binary NUMERIC, and back to 32 bytes: no Decimal, no text in between.

The format is `numeric_send`'s (src/backend/utils/adt/numeric.c): four 16-bit words (count of digits, the
first digit's power of 10,000, sign, decimal places), then the digits in base 10,000, the highest first.
"""

import struct
from functools import lru_cache

__all__ = ["decode_numeric", "encode_numeric"]

BASE = 10_000
CACHED_VALUES = 65_536  # most amounts and fees in a block are a few values that come again, zero above all

DIGITS_MAX = 20  # of 2**256 - 1 in base 10,000

_HEAD = struct.Struct("!hhHh")
_PACK = [struct.Struct(f"!hhHh{count}h").pack for count in range(DIGITS_MAX + 1)]


def encode_numeric(value: bytes | int) -> bytes:
    """32 bytes, big-endian, or an integer from 0, as NUMERIC; ValueError if it is neither."""
    if isinstance(value, int):
        return _encode_integer(value)
    return _encode_bytes(value)


@lru_cache(CACHED_VALUES)
def _encode_bytes(value: bytes) -> bytes:
    if len(value) != 32:
        raise ValueError(f"a 256-bit integer has 32 bytes, not {len(value)}")
    return _encoded(int.from_bytes(value, "big"))


def _encode_integer(number: int) -> bytes:
    """Not remembered: sums of gas and running numbers hardly come again, and most have two digits at most."""
    if number >= BASE * BASE:
        return _encoded(number)
    if number < 0:
        raise ValueError(f"{number} is negative")
    high, low = divmod(number, BASE)
    if high:
        return _PACK[2](2, 1, 0, 0, high, low) if low else _PACK[1](1, 1, 0, 0, high)
    return _PACK[1](1, 0, 0, 0, low) if low else _PACK[0](0, 0, 0, 0)


def _encoded(number: int) -> bytes:
    if number >= 2**256:
        raise ValueError(f"{number} is beyond 256 bits")
    digits: list[int] = []
    while number:
        digits.append(number % BASE)
        number //= BASE
    weight = max(len(digits) - 1, 0)
    digits.reverse()
    while digits and not digits[-1]:
        digits.pop()
    return _PACK[len(digits)](len(digits), weight, 0, 0, *digits)


@lru_cache(CACHED_VALUES)
def decode_numeric(value: bytes) -> bytes:
    """NUMERIC as 32 bytes; ValueError if it is no integer of 256 bits."""
    count, weight, sign, scale = _HEAD.unpack_from(value)
    if sign or scale:
        raise ValueError("the stored number is negative or has decimal places")
    number = 0
    for digit in struct.unpack_from(f"!{count}h", value, _HEAD.size):
        number = number * BASE + digit
    return int(number * BASE ** (weight + 1 - count)).to_bytes(32, "big")
