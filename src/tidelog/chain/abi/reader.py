"""Data of any types, read or refused: the reading that says why.

Every word of honest data is read once, so what is read is bounded by what is there: offsets that loop or overlap run
out of words, and a length is compared with the data before anything is read by it. As strict as eth-abi: padding,
ranges, booleans, UTF-8; and stricter in that offsets into a head and bytes behind the last value are refused.
"""

from collections.abc import Callable, Sequence
from decimal import Context, Decimal
from typing import TypeAlias

from tidelog.chain.abi.types import WORD, Array, Elementary, Kind, Tuple, Type, head_words

__all__ = ["Refused", "Value", "data_reader", "word_reader"]

Value: TypeAlias = "int | bool | bytes | str | Decimal | tuple[Value, ...]"
"""An address is 20 bytes; an array and a tuple are a tuple."""

_EXACT = Context(prec=100)  # a number of 256 bits has 78 digits


class Refused(ValueError):
    """Data that is not what the types say, and why."""


class _Walk:
    """Data, and how many of its words may still be read."""

    __slots__ = ("data", "end", "left")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.left = len(data) // WORD
        self.end = 0  # behind what was read

    def take(self, at: int, words: int) -> None:
        """Refused: there are not so many words at that place, or all of them were read."""
        end = at + WORD * words
        if end > len(self.data):
            raise Refused("the data ends too early")
        self.left -= words
        if self.left < 0:
            raise Refused("the data's offsets overlap")
        self.end = max(self.end, end)

    def number(self, at: int) -> int:
        return int.from_bytes(self.data[at : at + WORD])


_Read: TypeAlias = Callable[[_Walk, int], Value]  # of what begins there


def data_reader(types: Sequence[Type], *, trailing: bool = False) -> Callable[[bytes], tuple[Value, ...]]:
    """A reader of values of these types, in a row. It raises `Refused`.

    Args:
        trailing: whether bytes may stand behind the last value.
    """
    words = head_words(tuple(types))
    read_all = _members(tuple(types))

    def read(data: bytes) -> tuple[Value, ...]:
        walk = _Walk(data)
        walk.take(0, words)
        values = read_all(walk, 0)
        if walk.end != len(data) and not trailing:
            raise Refused("bytes follow behind the data's last value")
        return values

    return read


def word_reader(elementary: Elementary) -> Callable[[bytes], Value]:
    """A reader of one word, as a topic is."""
    read_word = _elementary(elementary)

    def read(word: bytes) -> Value:
        if len(word) != WORD:
            raise Refused("a topic is not 32 bytes long")
        return read_word(word)

    return read


def _reader(given: Type) -> _Read:
    """Of a value whose head, where it has one, was taken."""
    if isinstance(given, Tuple):
        return _members(tuple(member.type for member in given.parameters))
    if isinstance(given, Array):
        return _array(given)
    if given.words is None:
        return _text(given)
    read_word = _elementary(given)
    return lambda walk, at: read_word(walk.data[at : at + WORD])


def _members(types: tuple[Type, ...]) -> Callable[[_Walk, int], tuple[Value, ...]]:
    """Of values in a row: those of no fixed size stand behind an offset, which counts from the row's begin."""
    head = WORD * head_words(types)
    parts: list[_Read] = []
    place = 0
    for each in types:
        parts.append(_member(each, place, head))
        place += WORD * (1 if each.words is None else each.words)

    def read(walk: _Walk, at: int) -> tuple[Value, ...]:
        return tuple([part(walk, at) for part in parts])

    return read


def _member(given: Type, place: int, head: int) -> _Read:
    read_value = _reader(given)
    if given.words is not None:
        return lambda walk, at: read_value(walk, at + place)
    words = _own_head_words(given)

    def read(walk: _Walk, at: int) -> Value:
        offset = walk.number(at + place)
        if offset < head:
            raise Refused("an offset points back")
        walk.take(at + offset, words)
        return read_value(walk, at + offset)

    return read


def _own_head_words(given: Type) -> int:
    """What a value of no fixed size begins with: its length, or the heads of its members."""
    if isinstance(given, Tuple):
        return head_words(tuple(member.type for member in given.parameters))
    return given.length if isinstance(given, Array) and given.length is not None else 1


def _array(given: Array) -> _Read:
    read_item = _reader(given.item)
    words = given.item.words
    own = _own_head_words(given.item)

    def read_items(walk: _Walk, at: int, count: int) -> Value:
        if words is not None:
            return tuple([read_item(walk, at + WORD * words * index) for index in range(count)])
        values = []
        for index in range(count):
            offset = walk.number(at + WORD * index)
            if offset < WORD * count:
                raise Refused("an offset points back")
            walk.take(at + offset, own)
            values.append(read_item(walk, at + offset))
        return tuple(values)

    def read(walk: _Walk, at: int) -> Value:
        count = walk.number(at)
        walk.take(at + WORD, count * (1 if words is None else words))
        return read_items(walk, at + WORD, count)

    if given.length is None:
        return read
    length = given.length
    return lambda walk, at: read_items(walk, at, length)


def _text(given: Elementary) -> _Read:
    is_string = given.kind is Kind.STRING

    def read(walk: _Walk, at: int) -> Value:
        length = walk.number(at)
        words = -(-length // WORD)
        begin = at + WORD
        walk.take(begin, words)
        end = begin + length
        if walk.data[end : begin + WORD * words].strip(b"\0"):
            raise Refused(f"the padding of a {given.name} is not zero")
        value = walk.data[begin:end]
        if not is_string:
            return value
        try:
            return str(value, "utf-8")
        except UnicodeDecodeError:
            raise Refused("a string is not UTF-8") from None

    return read


def _elementary(given: Elementary) -> Callable[[bytes], Value]:
    """Of a word."""
    kind = given.kind
    if kind is Kind.FIXED_BYTES:
        return _fixed_bytes(given)
    if kind is Kind.BOOL:
        return _bool
    if kind is Kind.ADDRESS:
        return _address
    return _number(given)


def _fixed_bytes(given: Elementary) -> Callable[[bytes], Value]:
    size = given.size

    def read(word: bytes) -> Value:
        if word[size:].strip(b"\0"):
            raise Refused(f"the padding of a {given.name} is not zero")
        return word[:size]

    return read


def _bool(word: bytes) -> Value:
    number = int.from_bytes(word)
    if number > 1:
        raise Refused("a bool is neither 0 nor 1")
    return number == 1


def _address(word: bytes) -> Value:
    if word[:12].strip(b"\0"):
        raise Refused("the padding of an address is not zero")
    return word[12:]


def _number(given: Elementary) -> Callable[[bytes], Value]:
    signed = given.kind in (Kind.INT, Kind.FIXED)
    low, high = (-(1 << given.size - 1), 1 << given.size - 1) if signed else (0, 1 << given.size)
    places = given.places

    def read(word: bytes) -> Value:
        number = int.from_bytes(word, signed=signed)
        if not low <= number < high:
            raise Refused(f"a number is too large for {given.name}")
        return Decimal(number).scaleb(-places, _EXACT) if places else number

    return read
