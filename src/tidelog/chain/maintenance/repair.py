"""Repair one block: fetch it again, prove it, and replace its stored rows.

Which block belongs there is known from its neighbours, so that an endpoint on another branch cannot swap it.
"""

from collections.abc import Sequence

from tidelog.chain.projections import Projection
from tidelog.chain.proof.outcome import Outcome, parse_proof
from tidelog.chain.proof.spec import spec_of
from tidelog.chain.reading.blocks import read_block, refs_between
from tidelog.chain.rows.layout import BlockRows
from tidelog.chain.rows.tables import CHAINS
from tidelog.chain.source.pool import Pool
from tidelog.chain.source.prefetch import Prefetcher
from tidelog.chain.sync.selecting import SelectingPrefetcher
from tidelog.chain.sync.writer import ChainWriter
from tidelog.chain.verify import Rules
from tidelog.errors import ConfigError, Corruption, Rejected
from tidelog.runtime import Runtime
from tidelog.store import Store
from tidelog.telemetry import ChainMetrics


async def repair_block(
    store: Store,
    pool: Pool,
    runtime: Runtime,
    metrics: ChainMetrics,
    chain_id: int,
    number: int,
    *,
    projections: Sequence[Projection] = (),
) -> BlockRows:
    """Replace the rows of block `number`, and what `projections` derive from them; what is stored now.

    Raises:
        ConfigError: the block is not in the stored range.
        SourceError, ProofFailure: it could not be had, or proven.
        Rejected: the endpoint's block is not the one that its stored neighbours name.
    """
    if await pool.identify(chain_id) is None:
        raise pool.cause()
    writer = await ChainWriter.acquire(store, runtime, metrics, chain_id, projections)
    position = writer.position
    if position is None or not position.first <= number <= position.head:
        raise ConfigError(f"block {number} is not in the store")
    async with store.snapshot() as snapshot:
        rows = await snapshot.select(CHAINS, scope=chain_id)
        above = await refs_between(snapshot, chain_id, number + 1, number + 1)
        below = await refs_between(snapshot, chain_id, number - 1, number - 1)
        stored = await read_block(snapshot, chain_id, number)
    if not rows:
        raise Corruption(f"the store has blocks of chain {chain_id} and no row that describes the chain")
    rules = Rules(chain_id, spec_of(rows[0]), senders=_had_senders(stored))
    range_first = number if number == position.first else None
    prefetcher = Prefetcher(pool, runtime, rules)
    if position.selection:
        prefetcher = SelectingPrefetcher(pool, runtime, rules, lambda: writer.holdings.selection_at(number))
    (block,) = await prefetcher.blocks([number], range_first=range_first)
    wanted = position.head_ref_hash if number == position.head else above[0].parent_hash if above else None
    parent = position.base.hash if number == position.first else below[0].hash if below else None
    for name, expected, got in (("hash", wanted, block.ref.hash), ("parent", parent, block.ref.parent_hash)):
        if expected is not None and got != expected:
            raise Rejected(
                f"block {number} came with {name} 0x{got.hex()}, and its neighbours in the store name "
                f"0x{expected.hex()}: if a neighbour is damaged too, repair that one first, or rewind below both"
            )
    await writer.repair(block.rows)
    return block.rows


def _had_senders(stored: BlockRows | None) -> bool:
    try:
        return stored is not None and parse_proof(stored.proof_text).results["senders"].outcome is Outcome.PASSED
    except Corruption:
        return False
