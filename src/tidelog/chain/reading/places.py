"""Where logs stand, by more than numbers: facts of their blocks, and their transactions' hashes.

Reads these columns and no others: a transaction's row is a hundred times as large as its hash.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from tidelog.chain.rows.tables import BLOCKS, TRANSACTIONS
from tidelog.errors import Corruption
from tidelog.store import Snapshot

__all__ = ["BlockFacts", "RowWithoutBlock", "block_facts", "transaction_hashes"]


class BlockFacts(NamedTuple):
    """What is shown of a block beside its logs. `timestamp` is Unix time in seconds."""

    number: int
    hash: bytes
    timestamp: int


class RowWithoutBlock(Corruption):
    """A row is there, and what it belongs to is not. `what` says it as a sentence."""

    def __init__(self, chain_id: int, number: object, what: str) -> None:
        super().__init__(f"chain {chain_id}, block {number}: {what}: run `tidelog chain verify`")
        self.number = number


async def block_facts(snapshot: Snapshot, chain_id: int, numbers: Iterable[int]) -> dict[int, BlockFacts]:
    """Of the blocks of these numbers that are there."""
    keys = [(number,) for number in sorted(set(numbers))]
    rows: list[Any] = await snapshot.lookup(BLOCKS, scope=chain_id, keys=keys, columns=BlockFacts._fields)
    return {found.number: found for found in map(BlockFacts._make, rows)}


async def transaction_hashes(
    snapshot: Snapshot, chain_id: int, places: Iterable[tuple[int, int]]
) -> dict[tuple[int, int], bytes]:
    """By block number and index."""
    rows: list[Any] = await snapshot.lookup(
        TRANSACTIONS, scope=chain_id, keys=sorted(set(places)), columns=("block_number", "tx_index", "hash")
    )
    return {(number, index): tx_hash for number, index, tx_hash in rows}
