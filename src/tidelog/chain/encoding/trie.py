"""The Merkle-Patricia root of an ordered list (Yellow Paper, appendix D), in one pass over the sorted keys.

Block headers commit to transactions, receipts and withdrawals as the root of the trie that maps
`rlp(index)` to each encoded item. Only the root is needed, so no trie is kept.
"""

from collections.abc import Sequence
from functools import lru_cache

from sha3 import keccak_256

from tidelog.chain.encoding.rlp import EMPTY, encode_bytes, encode_int, encode_list

KEYS = 4096  # the keys are the same in every list: those of lists of up to so many items are kept
EMPTY_ROOT = bytes.fromhex("56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421")


def ordered_root(values: Sequence[bytes]) -> bytes:
    """The root of `{rlp(i): values[i]}`: 32 bytes."""
    if not values:
        return EMPTY_ROOT
    leaves = [(_index_nibbles(index), value) for index, value in enumerate(values)]
    leaves.sort(key=lambda leaf: leaf[0])
    return bytes(keccak_256(_node(leaves, 0, len(leaves), 0)).digest())


@lru_cache(maxsize=KEYS)
def _index_nibbles(index: int) -> bytes:
    """The key's nibbles, one to a byte: they sort as the trie branches."""
    return bytes([nibble for byte in encode_int(index) for nibble in (byte >> 4, byte & 15)])


def _node(leaves: list[tuple[bytes, bytes]], start: int, end: int, depth: int) -> bytes:
    """The RLP of the node over `leaves[start:end]`, whose keys share their first `depth` nibbles."""
    first_key, first_value = leaves[start]
    if end - start == 1:
        return encode_list((_path(first_key[depth:], leaf=True), encode_bytes(first_value)))
    last_key = leaves[end - 1][0]
    fork = depth
    while first_key[fork] == last_key[fork]:  # sorted, so what the ends share, all share
        fork += 1
    if fork > depth:
        child = _reference(_node(leaves, start, end, fork))
        return encode_list((_path(first_key[depth:fork], leaf=False), child))
    children = [EMPTY] * 17  # no key is a prefix of another, so no branch holds a value
    while start < end:
        nibble = leaves[start][0][depth]
        stop = start + 1
        while stop < end and leaves[stop][0][depth] == nibble:
            stop += 1
        children[nibble] = _reference(_node(leaves, start, stop, depth + 1))
        start = stop
    return encode_list(children)


def _reference(node: bytes) -> bytes:
    """How a parent holds a node: itself when it is under 32 bytes, else its hash."""
    return node if len(node) < 32 else b"\xa0" + bytes(keccak_256(node).digest())


@lru_cache(maxsize=KEYS)
def _path(nibbles: bytes, *, leaf: bool) -> bytes:
    """Hex-prefix encoding of a path (Yellow Paper, appendix C), as an RLP item."""
    flag = 2 if leaf else 0
    padded = bytes((flag + 1,)) + nibbles if len(nibbles) % 2 else bytes((flag, 0)) + nibbles
    return encode_bytes(bytes([high << 4 | low for high, low in zip(padded[::2], padded[1::2], strict=True)]))
