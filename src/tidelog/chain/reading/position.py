"""Which chains a store has, and the checkpoint of each, as a snapshot of the store says."""

from typing import Any

from tidelog.chain.forks.position import Position, decode_position, source_of
from tidelog.chain.rows.tables import CHAINS
from tidelog.store import Snapshot

__all__ = ["stored_chains", "stored_position"]


async def stored_chains(snapshot: Snapshot, limit: int | None = None) -> list[int]:
    """The ids of the chains that the store names, the lowest first."""
    rows: list[Any] = await snapshot.select(CHAINS, columns=("chain_id",), limit=limit)
    return [chain_id for (chain_id,) in rows]


async def stored_position(snapshot: Snapshot, chain_id: int) -> Position | None:
    """None where the store holds no block of the chain. Corruption: its checkpoint cannot be read."""
    checkpoint = await snapshot.checkpoint(source_of(chain_id))
    return None if checkpoint is None else decode_position(checkpoint)
