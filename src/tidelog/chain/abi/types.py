"""The types of an ABI: elementary ones, arrays and tuples, with their canonical names and their place in words."""

from enum import Enum
from typing import TypeAlias

from msgspec import Struct

from tidelog.errors import ConfigError

__all__ = ["DEPTH_MAX", "WORD", "Array", "Elementary", "Kind", "Parameter", "Tuple", "Type", "array_of", "elementary"]

WORD = 32
DEPTH_MAX = 16  # arrays and tuples inside each other: contracts have three or four
LENGTH_MAX = 1 << 32  # elements of an array of fixed length; data of so many words is not to be had


class Kind(Enum):
    UINT = "uint"
    INT = "int"
    ADDRESS = "address"
    BOOL = "bool"
    FIXED_BYTES = "bytesN"
    UFIXED = "ufixed"
    FIXED = "fixed"
    BYTES = "bytes"
    STRING = "string"


class Elementary(Struct, frozen=True):
    """A type that has no further ones inside. `size` is in bits, of bytesN in bytes; `places` are decimals of fixed."""

    name: str
    kind: Kind
    size: int = 0
    places: int = 0

    @property
    def words(self) -> int | None:
        """Words that a value takes in place; None: it is elsewhere, behind an offset."""
        return None if self.kind in (Kind.BYTES, Kind.STRING) else 1

    @property
    def depth(self) -> int:
        return 0


class Array(Struct, frozen=True):
    """`item` in a row, `length` times; None: as often as the data says."""

    item: "Type"
    length: int | None
    name: str
    words: int | None
    depth: int


class Tuple(Struct, frozen=True):
    """What Solidity calls a struct. Made by `Tuple.of`."""

    parameters: "tuple[Parameter, ...]"
    name: str
    words: int | None
    depth: int

    @classmethod
    def of(cls, parameters: "tuple[Parameter, ...]") -> "Tuple":
        """ConfigError: it is empty, or too deep."""
        if not parameters:
            raise ConfigError("a tuple has no members")
        types = [parameter.type for parameter in parameters]
        depth = 1 + max(inner.depth for inner in types)
        _require_depth(depth)
        name = f"({','.join(inner.name for inner in types)})"
        return cls(parameters, name, total_words(types), depth)


Type: TypeAlias = Elementary | Array | Tuple


class Parameter(Struct, frozen=True):
    """An argument of an event or a function, or a member of a tuple."""

    name: str  # "" where it has none
    type: Type
    indexed: bool = False

    @property
    def is_hashed(self) -> bool:
        """Whether a topic has the value's hash and not the value."""
        return self.indexed and (not isinstance(self.type, Elementary) or self.type.words is None)


def total_words(types: "list[Type] | tuple[Type, ...]") -> int | None:
    """Words of all in a row; None if one is elsewhere."""
    total = 0
    for inner in types:
        if inner.words is None:
            return None
        total += inner.words
    return total


def head_words(types: "list[Type] | tuple[Type, ...]") -> int:
    """Words of the head of a tuple of these: an offset stands for what is elsewhere."""
    return sum(1 if inner.words is None else inner.words for inner in types)


def array_of(item: Type, length: int | None) -> Array:
    """ConfigError: its length is 0 or beyond all reason, or it is too deep."""
    if length is not None and not 1 <= length <= LENGTH_MAX:
        raise ConfigError(f"an array of fixed length has 1 to {LENGTH_MAX} elements")
    _require_depth(item.depth + 1)
    words = None if length is None or item.words is None else length * item.words
    return Array(item, length, f"{item.name}[{'' if length is None else length}]", words, item.depth + 1)


def _require_depth(depth: int) -> None:
    if depth > DEPTH_MAX:
        raise ConfigError(f"arrays and tuples are more than {DEPTH_MAX} deep")


def elementary(text: str) -> Elementary:
    """The type of this name, or of its short form: `uint` is `uint256`. ConfigError: there is none."""
    found = _ELEMENTARY.get(text) or _fixed(text)
    if found is None:
        raise ConfigError(f"{text[:80]!r} is no type of an ABI")
    return found


def _fixed(text: str) -> Elementary | None:
    head, _, places = text.rpartition("x")
    for kind in (Kind.UFIXED, Kind.FIXED):
        size = head.removeprefix(kind.value)
        if head == kind.value + size and size in _SIZES and places in _PLACES:
            return Elementary(text, kind, int(size), int(places))
    return None


_SIZES = {str(size) for size in range(8, 257, 8)}
_PLACES = {str(places) for places in range(1, 81)}
_ELEMENTARY = {
    "address": Elementary("address", Kind.ADDRESS, 160),
    "bool": Elementary("bool", Kind.BOOL, 1),
    "bytes": Elementary("bytes", Kind.BYTES),
    "string": Elementary("string", Kind.STRING),
    "function": Elementary("function", Kind.FIXED_BYTES, 24),
    "uint": Elementary("uint256", Kind.UINT, 256),
    "int": Elementary("int256", Kind.INT, 256),
    "ufixed": Elementary("ufixed128x18", Kind.UFIXED, 128, 18),
    "fixed": Elementary("fixed128x18", Kind.FIXED, 128, 18),
    **{f"bytes{size}": Elementary(f"bytes{size}", Kind.FIXED_BYTES, size) for size in range(1, 33)},
    **{f"uint{size}": Elementary(f"uint{size}", Kind.UINT, size) for size in range(8, 257, 8)},
    **{f"int{size}": Elementary(f"int{size}", Kind.INT, size) for size in range(8, 257, 8)},
}
