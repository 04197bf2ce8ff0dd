"""Mend one block: fetch it again, prove it, and put it in the place of its stored rows.

Which block belongs there is known from its neighbours, so that an endpoint on another branch cannot swap it.
"""

from tidelog.batch import CHAINS
from tidelog.chain.history import Fetcher
from tidelog.chain.intake import Rules
from tidelog.chain.ledger import Ledger, links_between, read_block
from tidelog.chain.pool import Pool
from tidelog.chain.profiles import profile_of
from tidelog.chain.proof import Outcome, parse_proof
from tidelog.chain.rows import BlockRows
from tidelog.errors import ConfigError, Corruption, Rejected
from tidelog.runtime import Runtime
from tidelog.store import Store
from tidelog.telemetry import ChainMetrics


async def repair_block(
    store: Store, pool: Pool, runtime: Runtime, metrics: ChainMetrics, chain_id: int, number: int
) -> BlockRows:
    """Replace the rows of block `number`; what is stored now.

    Raises:
        ConfigError: the block is not in the stored range.
        SourceError, ProofFailure: it could not be had, or proven.
        Rejected: the endpoint's block is not the one that its stored neighbours name.
    """
    if await pool.identify(chain_id) is None:
        raise pool.cause()
    ledger = await Ledger.acquire(store, runtime, metrics, chain_id)
    position = ledger.position
    if position is None or not position.first <= number <= position.head:
        raise ConfigError(f"block {number} is not in the store")
    async with store.snapshot() as snapshot:
        rows = await snapshot.select(CHAINS, scope=chain_id)
        above = await links_between(snapshot, chain_id, number + 1, number + 1)
        below = await links_between(snapshot, chain_id, number - 1, number - 1)
        stored = await read_block(snapshot, chain_id, number)
    if not rows:
        raise Corruption(f"the store has blocks of chain {chain_id} and no row that describes the chain")
    rules = Rules(chain_id, profile_of(rows[0]), senders=_had_senders(stored))
    range_first = number if number == position.first else None
    (block,) = await Fetcher(pool, runtime, rules).blocks([number], range_first=range_first)
    wanted = position.head_link_hash if number == position.head else above[0].parent_hash if above else None
    parent = position.base.hash if number == position.first else below[0].hash if below else None
    for name, expected, got in (("hash", wanted, block.link.hash), ("parent", parent, block.link.parent_hash)):
        if expected is not None and got != expected:
            raise Rejected(
                f"block {number} came with {name} 0x{got.hex()}, and its neighbours in the store name "
                f"0x{expected.hex()}: if a neighbour is damaged too, repair that one first, or rewind below both"
            )
    await ledger.repair(block.rows)
    return block.rows


def _had_senders(stored: BlockRows | None) -> bool:
    try:
        return stored is not None and parse_proof(stored.proof_text).results["senders"].outcome is Outcome.PASSED
    except Corruption:
        return False
