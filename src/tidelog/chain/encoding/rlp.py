"""Recursive Length Prefix encoding (Yellow Paper, appendix B): what block and transaction hashes are over.

Encoding is by parts: `encode_bytes` and `encode_int` give encoded items, `encode_list` wraps items that are
encoded already. `decode` is for tests, recorded chains and stored lists; it accepts canonical input only.
"""

from collections.abc import Iterable
from typing import TypeAlias

Item: TypeAlias = "bytes | list[Item]"

EMPTY = b"\x80"  # the empty string, and the integer 0
EMPTY_LIST = b"\xc0"
DEPTH_MAX = 64  # access lists nest 3 deep, authorization lists 2; a hostile input would nest without end


def _prefix(short: int, size: int) -> bytes:
    """The prefix of an item of `size` bytes; `short` is 0x80 for strings, 0xC0 for lists."""
    if size < 56:
        return bytes((short + size,))
    length = size.to_bytes((size.bit_length() + 7) >> 3, "big")
    return bytes((short + 55 + len(length),)) + length


# nearly every item of a block is shorter: looking its prefix up halves the time of a proof
_STRING_PREFIXES = tuple(_prefix(0x80, size) for size in range(2048))
_LIST_PREFIXES = tuple(_prefix(0xC0, size) for size in range(2048))
_SMALL_INTS = (EMPTY, *(bytes((value,)) for value in range(1, 0x80)))


def encode_bytes(data: bytes) -> bytes:
    """The RLP of a byte string."""
    size = len(data)
    if size == 1 and data[0] < 0x80:
        return data
    return (_STRING_PREFIXES[size] if size < 2048 else _prefix(0x80, size)) + data


def encode_int(value: int) -> bytes:
    """A non-negative integer, minimal big-endian; ValueError for a negative one."""
    if value < 0x80:
        if value < 0:
            raise ValueError(f"RLP has no negative integers: {value}")
        return _SMALL_INTS[value]
    size = (value.bit_length() + 7) >> 3
    return _STRING_PREFIXES[size] + value.to_bytes(size, "big")


def encode_list(items: Iterable[bytes]) -> bytes:
    """A list of items that are encoded already."""
    payload = b"".join(items)
    size = len(payload)
    return (_LIST_PREFIXES[size] if size < 2048 else _prefix(0xC0, size)) + payload


def encode(item: Item) -> bytes:
    """A nested list of byte strings."""
    if isinstance(item, bytes):
        return encode_bytes(item)
    return encode_list([encode(inner) for inner in item])


def decode(data: bytes) -> Item:
    """Decode one item that fills `data` exactly; ValueError for anything not canonical."""
    item, end = _decode_at(data, 0, 0)
    if end != len(data):
        raise ValueError(f"RLP: {len(data) - end} bytes behind the item")
    return item


def decode_stream(data: bytes) -> Iterable[Item]:
    """The items of a file of concatenated items, such as an exported chain."""
    at = 0
    while at < len(data):
        item, at = _decode_at(data, at, 0)
        yield item


def _decode_at(data: bytes, at: int, depth: int) -> tuple[Item, int]:
    if depth > DEPTH_MAX:
        raise ValueError(f"RLP: nested deeper than {DEPTH_MAX}")
    if at >= len(data):
        raise ValueError("RLP: the input ends where an item should start")
    first = data[at]
    if first < 0x80:
        return data[at : at + 1], at + 1
    is_list = first >= 0xC0
    short = first - (0xC0 if is_list else 0x80)
    start, size = (at + 1, short) if short < 56 else _long_size(data, at, short - 55)
    end = start + size
    if end > len(data):
        raise ValueError(f"RLP: an item of {size} bytes at offset {at} runs past the end")
    if not is_list:
        text = data[start:end]
        if size == 1 and text[0] < 0x80:
            raise ValueError(f"RLP: a single byte below 0x80 with a prefix at offset {at}")
        return text, end
    items: list[Item] = []
    while start < end:
        item, start = _decode_at(data, start, depth + 1)
        items.append(item)
    if start != end:
        raise ValueError(f"RLP: an item crosses the end of its list at offset {at}")
    return items, end


def _long_size(data: bytes, at: int, width: int) -> tuple[int, int]:
    start = at + 1 + width
    length = data[at + 1 : start]
    if len(length) < width or length[0] == 0:
        raise ValueError(f"RLP: a bad length at offset {at}")
    size = int.from_bytes(length, "big")
    if size < 56:
        raise ValueError(f"RLP: a long length for a short item at offset {at}")
    return start, size
