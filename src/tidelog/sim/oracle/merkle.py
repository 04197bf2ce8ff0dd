"""What Merkle proofs of a selection have to show, said without the engine: walked from the node's own roots."""

from typing import Any

import apsw

from tidelog.sim.node.chain.transactions import keccak
from tidelog.sim.node.chain.tree import BlockTree
from tidelog.sim.oracle.chain import require

__all__ = ["proofs_follow"]

_FULL = 17  # items of a node that branches; the others have a path and what is behind it


def proofs_follow(connection: apsw.Connection, tree: BlockTree, *, selection: bool) -> None:
    """Each transaction of a selection has its proof, and no other has one."""
    query = (
        "SELECT chain_id, block_number, tx_index, first_log, transaction_branch, receipt_branch FROM merkle_proofs"
        " ORDER BY block_number, tx_index"
    )
    stored: list[Any] = connection.execute(query).fetchall()
    query = (
        "SELECT chain_id, block_number, tx_index FROM transactions WHERE covered = 1 ORDER BY block_number, tx_index"
    )
    held: list[Any] = connection.execute(query).fetchall() if selection else []
    require([row[:3] for row in stored] == held, f"each transaction has its proof: {len(stored)}, of {len(held)}")
    for chain_id, number, index, first_log, transaction, receipt in stored:
        require(chain_id == tree.chain_id, f"proofs are of this chain: {chain_id}")
        block = tree.canonical(number)
        before = sum(len(each.logs) for each in block.receipts[:index])
        require(first_log == before, f"the first log of transaction {index} of block {number} is {before}: {first_log}")
        there = _walked(block.header.transactions_root, index, transaction)
        tx_hash = block.transactions[index].hash
        require(keccak(there) == tx_hash, f"a branch proves transaction {index} of block {number}")
        proven = _walked(block.header.receipts_root, index, receipt)
        fields: Any = _decoded(proven if proven[:1] >= b"\xc0" else proven[1:])
        logs = [[log.address, list(log.topics), log.data] for log in block.receipts[index].logs]
        require(fields[3] == logs, f"a branch proves the logs of transaction {index} of block {number}")


def _walked(root: bytes, index: int, nodes: bytes) -> bytes:
    """The value at an index, along the nodes."""
    raw = index.to_bytes((index.bit_length() + 7) // 8)
    encoded = b"\x80" if not raw else raw if index < 0x80 else bytes([0x80 + len(raw)]) + raw
    key = [int(digit, 16) for digit in encoded.hex()]
    try:
        branch: Any = _decoded(nodes)
        here = branch.pop(0)
        require(keccak(here) == root, "the first node of a branch hashes to the root")
        item: Any = _decoded(here)
        while True:
            if len(item) == _FULL:
                there, key = item[key[0]], key[1:]
            else:
                path = [int(digit, 16) for digit in item[0].hex()]
                own = path[1:] if path[0] % 2 else path[2:]
                require(key[: len(own)] == own, "a branch leads to its index")
                there, key = item[1], key[len(own) :]
                if path[0] >= 2:
                    require(key == [] and branch == [], "a branch ends at its index")
                    return bytes(there)
            if isinstance(there, list):
                item = there
                continue
            here = branch.pop(0)
            require(keccak(here) == there, "each node of a branch hashes to what the one above it names")
            item = _decoded(here)
    except (IndexError, ValueError, TypeError, AttributeError) as error:
        require(False, f"a branch is a list of nodes: {error}")
        raise


def _decoded(data: bytes) -> Any:
    """RLP; ValueError where it is none."""
    item, end = _item(data, 0)
    if end != len(data):
        raise ValueError("bytes behind an item")
    return item


def _item(data: bytes, at: int) -> tuple[Any, int]:
    first = data[at]
    if first < 0x80:
        return data[at : at + 1], at + 1
    kind = first - (0xC0 if first >= 0xC0 else 0x80)
    start, size = at + 1, kind
    if kind > 55:
        start = at + 1 + kind - 55
        size = int.from_bytes(data[at + 1 : start])
    if start + size > len(data):
        raise ValueError("an item that is cut short")
    if first < 0xC0:
        return data[start : start + size], start + size
    items, here = [], start
    while here < start + size:
        item, here = _item(data, here)
        items.append(item)
    return items, start + size
