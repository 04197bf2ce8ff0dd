"""Columns of hex strings to bytes and ints; ValueError says what is wrong with one of them.

A whole column at a time, since one conversion of all hashes of a block costs a fifth of one for each. No JSON, no
shapes: those are in `tidelog.chain.decode.strict`.
"""

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Annotated, Any, TypeVar

from msgspec import Meta

from tidelog.batch import INT_MAX, UINT64_MAX
from tidelog.chain.blocks import TYPE_MAX

UINT256_MAX = 2**256 - 1
T = TypeVar("T")


Hash = Annotated[str, Meta(min_length=66, max_length=66)]
Address = Annotated[str, Meta(min_length=42, max_length=42)]
Bloom = Annotated[str, Meta(min_length=514, max_length=514)]
Nonce = Annotated[str, Meta(min_length=18, max_length=18)]

Texts = Sequence[str]
Convert = Callable[[Any], Sequence[Any]]


def once(convert: Callable[[Texts], list[T]]) -> Callable[[Texts], list[T]]:
    """A converter that looks at a column of equal texts once: of block hashes and numbers, types, statuses."""

    def convert_once(texts: Texts) -> list[T]:
        count = len(texts)
        if count > 1 and texts[0] == texts[-1] and texts.count(texts[0]) == count:
            return convert(texts[:1]) * count
        return convert(texts)

    return convert_once


def fixed(size: int) -> Callable[[Texts], list[bytes]]:
    """A column whose every text has `2 * size + 2` characters, as msgspec has checked."""
    width = 2 * size + 2

    @once
    def convert(texts: Texts) -> list[bytes]:
        count = len(texts)
        joined = "".join(texts)
        if joined[::width] == "0" * count and joined[1::width] == "x" * count:
            values = [bytes.fromhex(text[2:]) for text in texts]
            if len(b"".join(values)) == size * count:  # fromhex forgives white space
                return values
        raise ValueError(f"is not {size} bytes of 0x-prefixed hex")

    return convert


hash32 = fixed(32)
address20 = fixed(20)


def hex_data(texts: Texts) -> list[bytes]:
    """Data of any length; "0x" is no bytes."""
    values = [bytes.fromhex(text[2:]) for text in texts]
    digits = sum(map(len, texts)) - 2 * len(texts)
    if digits != 2 * sum(map(len, values)) or not all(text.startswith("0x") for text in texts):
        raise ValueError("is not 0x-prefixed hex")
    return values


@once
def uint256(texts: Texts) -> list[int]:
    """Integers of up to 256 bits; "0x" is zero."""
    joined = "".join(texts)
    # int() forgives signs, white space, underscores and a missing prefix
    if not (joined.isascii() and joined.isalnum() and joined.count("x") == len(texts)):
        raise ValueError("is not 0x-prefixed hex")
    values = [int(text, 16) if text != "0x" else 0 for text in texts]
    if max(values) > UINT256_MAX:
        raise ValueError("is beyond 256 bits")
    return values


def uint64(texts: Texts) -> list[int]:
    """Gas, nonces, times and amounts: 64 bits without a sign, by the protocol's rules."""
    values = uint256(texts)
    if max(values) > UINT64_MAX:
        raise ValueError("is beyond 64 bits")
    return values


def integer(texts: Texts) -> list[int]:
    """Numbers of blocks and places within one, by which a store is sorted: a column of signed 64 bits."""
    values = uint256(texts)
    if max(values) > INT_MAX:
        raise ValueError("is beyond 63 bits")
    return values


def byte(texts: Texts) -> list[int]:
    """Types of transactions: one byte."""
    values = uint256(texts)
    if max(values) > TYPE_MAX:
        raise ValueError("is beyond 8 bits")
    return values


def hash_lists(lists: Sequence[list[str]]) -> list[tuple[bytes, ...]]:
    """Lists of hashes: all of them in one conversion."""
    hashes = iter(hash32([text for texts in lists for text in texts]))
    return [tuple(islice(hashes, len(texts))) for texts in lists]


def same(values: Sequence[Any]) -> Sequence[Any]:
    """Values that are kept as they are."""
    return values


def optional(convert: Convert) -> Convert:
    """The converter of a column whose texts may be None."""

    def convert_optional(texts: Sequence[Any]) -> Sequence[Any]:
        if None not in texts:
            return convert(texts)
        present = [text for text in texts if text is not None]
        if not present:
            return texts
        values = iter(convert(present))
        return [None if text is None else next(values) for text in texts]

    return convert_optional


def optionals(*converters: Convert) -> tuple[Convert, ...]:
    """`optional` of several converters."""
    return tuple(optional(convert) for convert in converters)
