"""The Merkle-Patricia root of an ordered list (Yellow Paper, appendix D), in one pass over the sorted keys.

Block headers commit to transactions, receipts and withdrawals as the root of the trie that maps
`rlp(index)` to each encoded item. No trie is kept: beside the root it gives branches, the nodes from the root to an
item, which prove that item to anybody who knows the root.
"""

from collections.abc import Collection, Sequence
from functools import lru_cache

from sha3 import keccak_256

from tidelog.chain.encoding.rlp import EMPTY, Item, decode, encode_bytes, encode_int, encode_list

HASH_BYTES = 32  # a node that is shorter stands within its parent
BRANCH_ITEMS = 17
KEYS = 4096  # the keys are the same in every list: those of lists of up to so many items are kept
EMPTY_ROOT = bytes.fromhex("56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421")


def ordered_root(values: Sequence[bytes]) -> bytes:
    """The root of `{rlp(i): values[i]}`: 32 bytes."""
    if not values:
        return EMPTY_ROOT
    leaves = _leaves(values)
    return bytes(keccak_256(_node(leaves, 0, len(leaves), 0)).digest())


def ordered_branches(values: Sequence[bytes], indexes: Collection[int]) -> dict[int, list[bytes]]:
    """By index the nodes from the root of `{rlp(i): values[i]}` to that value; those within others are not apart."""
    leaves = _leaves(values)
    nodes: dict[tuple[int, int, int], bytes] = {}
    if leaves:
        _node(leaves, 0, len(leaves), 0, nodes)
    return {index: _branch(leaves, nodes, _index_nibbles(index)) for index in indexes}


def _branch(leaves: list[tuple[bytes, bytes]], nodes: dict[tuple[int, int, int], bytes], key: bytes) -> list[bytes]:
    start, end, depth = 0, len(leaves), 0
    found: list[bytes] = []
    while True:
        node = nodes[start, end, depth]
        if not found or len(node) >= HASH_BYTES:
            found.append(node)
        if end - start == 1:
            return found
        fork = _fork(leaves[start][0], leaves[end - 1][0], depth)
        if fork > depth:
            depth = fork
            continue
        while leaves[start][0][depth] != key[depth]:
            start += 1
        while leaves[end - 1][0][depth] != key[depth]:
            end -= 1
        depth += 1


def proven_value(root: bytes, index: int, branch: Sequence[bytes]) -> bytes:
    """The value that a branch proves to stand at an index under this root; ValueError: it proves none."""
    key, rest = _index_nibbles(index), iter(branch)
    reference: Item = root
    while True:
        item = reference
        if isinstance(reference, bytes):
            node = next(rest, b"")
            if bytes(keccak_256(node).digest()) != reference:
                raise ValueError(f"no node of the branch hashes to 0x{reference.hex()}")
            item = decode(node)
        if not isinstance(item, list):
            raise ValueError("a node is no list")
        if len(item) == BRANCH_ITEMS and key:
            reference, key = item[key[0]], key[1:]
            continue
        if len(item) != 2 or not isinstance(item[0], bytes) or not item[0]:
            raise ValueError("a node has neither 17 items nor a path and one")
        nibbles = bytes([nibble for byte in item[0] for nibble in (byte >> 4, byte & 15)])
        path, is_leaf = nibbles[1 if nibbles[0] & 1 else 2 :], nibbles[0] & 2
        if key[: len(path)] != path:
            raise ValueError(f"the branch leads elsewhere than to {index}")
        reference, key = item[1], key[len(path) :]
        if is_leaf:
            if key or not isinstance(reference, bytes) or next(rest, None) is not None:
                raise ValueError(f"the branch does not end at {index}")
            return reference


def _leaves(values: Sequence[bytes]) -> list[tuple[bytes, bytes]]:
    leaves = [(_index_nibbles(index), value) for index, value in enumerate(values)]
    leaves.sort(key=lambda leaf: leaf[0])
    return leaves


@lru_cache(maxsize=KEYS)
def _index_nibbles(index: int) -> bytes:
    """The key's nibbles, one to a byte: they sort as the trie branches."""
    return bytes([nibble for byte in encode_int(index) for nibble in (byte >> 4, byte & 15)])


def _node(
    leaves: list[tuple[bytes, bytes]],
    start: int,
    end: int,
    depth: int,
    nodes: dict[tuple[int, int, int], bytes] | None = None,
) -> bytes:
    """The RLP of the node over `leaves[start:end]`, whose keys share their first `depth` nibbles.

    Args:
        nodes: takes it, and all below it, by `start`, `end` and `depth`.
    """
    first, (first_key, first_value) = start, leaves[start]
    if end - start == 1:
        node = encode_list((_path(first_key[depth:], leaf=True), encode_bytes(first_value)))
    elif (fork := _fork(first_key, leaves[end - 1][0], depth)) > depth:
        child = _reference(_node(leaves, start, end, fork, nodes))
        node = encode_list((_path(first_key[depth:fork], leaf=False), child))
    else:
        children = [EMPTY] * BRANCH_ITEMS  # no key is a prefix of another, so no branch holds a value
        while start < end:
            nibble = leaves[start][0][depth]
            stop = start + 1
            while stop < end and leaves[stop][0][depth] == nibble:
                stop += 1
            children[nibble] = _reference(_node(leaves, start, stop, depth + 1, nodes))
            start = stop
        node = encode_list(children)
    if nodes is not None:
        nodes[first, end, depth] = node
    return node


def _fork(first_key: bytes, last_key: bytes, depth: int) -> int:
    """How many nibbles the keys from one to another share: sorted, so what the ends share, all share."""
    while first_key[depth] == last_key[depth]:
        depth += 1
    return depth


def _reference(node: bytes) -> bytes:
    """How a parent holds a node: itself when it is under 32 bytes, else its hash."""
    return node if len(node) < HASH_BYTES else b"\xa0" + bytes(keccak_256(node).digest())


@lru_cache(maxsize=KEYS)
def _path(nibbles: bytes, *, leaf: bool) -> bytes:
    """Hex-prefix encoding of a path (Yellow Paper, appendix C), as an RLP item."""
    flag = 2 if leaf else 0
    padded = bytes((flag + 1,)) + nibbles if len(nibbles) % 2 else bytes((flag, 0)) + nibbles
    return encode_bytes(bytes([high << 4 | low for high, low in zip(padded[::2], padded[1::2], strict=True)]))
