"""Stored blocks: their references, and all of their rows."""

from collections.abc import Sequence

from tidelog.batch import Row, Value
from tidelog.chain.blocks import BlockRef
from tidelog.chain.rows.layout import BlockRows
from tidelog.chain.rows.tables import BLOCKS, LOGS, TRANSACTIONS, UNCLES, WITHDRAWALS
from tidelog.store import Snapshot

__all__ = ["read_block", "read_blocks", "refs_between"]

_REF_COLUMNS = tuple(BLOCKS.index(name) for name in ("number", "hash", "parent_hash"))


async def refs_between(snapshot: Snapshot, chain_id: int, low: int, high: int) -> list[BlockRef]:
    """The references of the stored blocks `low` to `high`, oldest first."""
    number, block_hash, parent = _REF_COLUMNS
    refs: list[BlockRef] = []
    async for rows in snapshot.scan(BLOCKS, scope=chain_id, low=low, high=high):
        refs += [BlockRef(row[number], row[block_hash], row[parent]) for row in rows]  # type: ignore[arg-type]
    return refs


async def read_blocks(snapshot: Snapshot, chain_id: int, low: int, high: int) -> list[BlockRows]:
    """The stored blocks `low` to `high` with all their rows."""
    blocks = await snapshot.select(BLOCKS, scope=chain_id, low=low, high=high)
    groups: list[dict[Value, Sequence[Row]]] = []
    for table in (TRANSACTIONS, LOGS, WITHDRAWALS, UNCLES):
        found = await snapshot.pieces(table, scope=chain_id, low=low, high=high)
        groups.append({piece.height: piece.rows for piece in found.pieces})
    number = BLOCKS.index("number")
    return [BlockRows(block, *(group.get(block[number], []) for group in groups)) for block in blocks]


async def read_block(snapshot: Snapshot, chain_id: int, number: int) -> BlockRows | None:
    """The stored block of that number with all its rows; None if it is not stored."""
    found = await read_blocks(snapshot, chain_id, number, number)
    return found[0] if found else None
