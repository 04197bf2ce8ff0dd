"""Where logs stand, by more than numbers: facts of their blocks, and their transactions' hashes.

Reads these columns and no others: a transaction's row is a hundred times as large as its hash.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from tidelog.batch import BLOCKS, TRANSACTIONS, Table
from tidelog.store import Condition, Snapshot

__all__ = ["BlockFacts", "block_facts", "transaction_hashes"]

BLOCKS_AT_ONCE = 1_000  # far below what one statement may name
HASHED_AT_ONCE = 8  # blocks whose transactions are looked up at once: their indexes are combined, so not too many


class BlockFacts(NamedTuple):
    number: int
    hash: bytes
    timestamp: int


async def block_facts(snapshot: Snapshot, chain_id: int, numbers: Iterable[int]) -> dict[int, BlockFacts]:
    """Of the blocks of these numbers that are there."""
    facts: dict[int, BlockFacts] = {}
    for part in _parts(numbers, BLOCKS_AT_ONCE):
        rows = await _named(snapshot, BLOCKS, chain_id, {"number": part}, BlockFacts._fields)
        facts |= {row[0]: BlockFacts._make(row) for row in rows}
    return facts


async def transaction_hashes(
    snapshot: Snapshot, chain_id: int, places: Iterable[tuple[int, int]]
) -> dict[tuple[int, int], bytes]:
    """By block number and index: of these, and maybe of others in the same blocks."""
    indexes: dict[int, set[int]] = {}
    for number, index in places:
        indexes.setdefault(number, set()).add(index)
    hashes: dict[tuple[int, int], bytes] = {}
    for part in _parts(indexes, HASHED_AT_ONCE):
        wanted = sorted(set().union(*(indexes[number] for number in part)))
        where: dict[str, Condition] = {"block_number": part, "tx_index": wanted}
        rows = await _named(snapshot, TRANSACTIONS, chain_id, where, ("block_number", "tx_index", "hash"))
        hashes |= {(number, index): tx_hash for number, index, tx_hash in rows}
    return hashes


async def _named(
    snapshot: Snapshot, table: Table, chain_id: int, where: dict[str, Condition], columns: Sequence[str]
) -> list[Any]:
    """The first condition is of block numbers, which are also given as a range: PostgreSQL leaves partitions out."""
    numbers: Any = next(iter(where.values()))
    low, high = numbers[0], numbers[-1]
    return await snapshot.select(table, scope=chain_id, low=low, high=high, where=where, columns=columns)


def _parts(numbers: Iterable[int], size: int) -> list[list[int]]:
    ordered = sorted(set(numbers))
    return [ordered[start : start + size] for start in range(0, len(ordered), size)]
