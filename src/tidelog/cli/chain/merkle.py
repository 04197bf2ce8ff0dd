"""`tidelog chain proofs`: what a store can hand to somebody who knows a header, and does not trust the store."""

from typing import Any

import msgspec

from tidelog.chain.encoding.headers import hash_of
from tidelog.chain.encoding.items import encode_header
from tidelog.chain.reading.blocks import read_block
from tidelog.chain.reading.position import stored_position
from tidelog.chain.rows.columns import LogColumns
from tidelog.chain.rows.layout import BlockRows
from tidelog.chain.rows.reading import read_header
from tidelog.chain.rows.tables import MERKLE_PROOFS, TRANSACTIONS
from tidelog.chain.select.merkle import MerkleProof, branch_of
from tidelog.cli.options import at_least
from tidelog.cli.out import say
from tidelog.cli.stores import opened, the_chain
from tidelog.errors import ConfigError, Corruption
from tidelog.runtime import run
from tidelog.store.query import key_of

__all__ = ["print_proofs"]

AT_ONCE = 200  # of some kilobytes each

_INDEX, _HASH = TRANSACTIONS.index("tx_index"), TRANSACTIONS.index("hash")


def print_proofs(db: str, chain_id: int | None, low: int | None, high: int | None) -> None:
    """Print the Merkle proofs of a range of blocks, one JSON object a line.

    Raises:
        ConfigError: the store holds no selection.
    """
    for flag, number in (("--from", low), ("--to", high)):
        if number is not None:
            at_least(flag, number, 0)
    run(_print(db, chain_id, low, high), brief=True)


async def _print(db: str, chain_id: int | None, low: int | None, high: int | None) -> None:
    async with opened(db) as store:
        chain = await the_chain(store, chain_id)
        async with store.snapshot() as snapshot:
            position = await stored_position(snapshot, chain)
            if position is None or not position.selection:
                raise ConfigError(
                    f"the store holds no selection of chain {chain}: Merkle proofs are kept of contracts that say "
                    "keep_proof = true"
                )
            after, block = None, None
            while True:
                rows: list[Any] = await snapshot.select(
                    MERKLE_PROOFS, scope=chain, low=low, high=high, after=after, limit=AT_ONCE
                )
                for proof in map(MerkleProof._make, rows):
                    if block is None or block.number != proof.block_number:
                        block = await read_block(snapshot, chain, proof.block_number)
                    if block is None:
                        raise Corruption(f"a Merkle proof is of block {proof.block_number}, which is not stored")
                    say(msgspec.json.encode(_shown(proof, block)).decode())
                if len(rows) < AT_ONCE:
                    return
                after = key_of(MERKLE_PROOFS, rows[-1])


def _shown(proof: MerkleProof, block: BlockRows) -> dict[str, Any]:
    hashes = {row[_INDEX]: row[_HASH] for row in block.transactions}
    header = read_header(block.block)
    is_hashed = hash_of(header) == header.hash  # not on a chain that hashes fields of its own
    rows: Any = block.logs
    return {
        "block_number": proof.block_number,
        "block_hash": _hex(block.ref.hash),
        "header": _hex(encode_header(header)) if is_hashed else None,
        "tx_index": proof.tx_index,
        "transaction_hash": _hex(hashes.get(proof.tx_index) or b""),
        "transaction_branch": [_hex(node) for node in branch_of(proof.transaction)],
        "receipt_branch": [_hex(node) for node in branch_of(proof.receipt)],
        "first_log_index": proof.first_log,
        "log_indexes": [log.log_index for log in map(LogColumns._make, rows) if log.tx_index == proof.tx_index],
    }


def _hex(value: Any) -> str:
    return f"0x{value.hex()}"
