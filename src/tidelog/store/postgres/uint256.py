"""A row's integers as PostgreSQL's binary NUMERIC, and back to 32 bytes: no Decimal, no text in between.

What a damaged column may have, NaN, more than 256 bits or a sign where none belongs, comes back as more than 32 bytes:
so whoever compares rows finds it, and no reader fails.

The format is `numeric_send`'s (src/backend/utils/adt/numeric.c): four 16-bit words (count of digits, the
first digit's power of 10,000, sign, decimal places), then the digits in base 10,000, the highest first.
"""

import struct
from functools import lru_cache

__all__ = ["decode_numeric", "encode_numeric", "with_sign"]

BASE = 10_000
CACHED_VALUES = 65_536  # most amounts and fees in a block are a few values that come again, zero above all

DIGITS_MAX = 20  # of 2**256 - 1 in base 10,000
NEGATIVE, NAN = 0x4000, 0xC000  # NUMERIC's sign
NO_NUMBER = b"\xff" * 34

_HEAD = struct.Struct("!hhHh")
_PACK = [struct.Struct(f"!hhHh{count}h").pack for count in range(DIGITS_MAX + 1)]


def encode_numeric(value: bytes | int) -> bytes:
    """32 bytes, big-endian, without a sign, or an integer of 256 bits, as NUMERIC; ValueError if it is neither."""
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
        if number < -(2**255):
            raise ValueError(f"{number} is beyond 256 bits with a sign")
        return _encoded(-number, NEGATIVE)
    high, low = divmod(number, BASE)
    if high:
        return _PACK[2](2, 1, 0, 0, high, low) if low else _PACK[1](1, 1, 0, 0, high)
    return _PACK[1](1, 0, 0, 0, low) if low else _PACK[0](0, 0, 0, 0)


def _encoded(number: int, sign: int = 0) -> bytes:
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
    return _PACK[len(digits)](len(digits), weight, sign, 0, *digits)


@lru_cache(CACHED_VALUES)
def decode_numeric(value: bytes) -> bytes:
    """NUMERIC as 32 bytes, or more if it is no integer of 256 bits without a sign; ValueError if it has decimals.

    A negative one of 256 bits has 33, the first of them 0xff: see `with_sign`.
    """
    count, weight, sign, scale = _HEAD.unpack_from(value)
    if sign == NAN:
        return NO_NUMBER
    if sign not in (0, NEGATIVE) or scale:
        raise ValueError("the stored number is no integer")
    number = 0
    for digit in struct.unpack_from(f"!{count}h", value, _HEAD.size):
        number = number * BASE + digit
    number = int(number * BASE ** (weight + 1 - count))
    if sign:
        return (-number).to_bytes(33 if number <= 2**255 else len(NO_NUMBER), "big", signed=True)
    return number.to_bytes(32 if number < 2**256 else len(NO_NUMBER), "big")


def with_sign(value: bytes) -> bytes:
    """What `decode_numeric` gave of a column whose integers have a sign, in two's complement; longer if it is none."""
    if len(value) == 33:
        return value[1:]
    return NO_NUMBER if len(value) == 32 and value[0] & 0x80 else value
