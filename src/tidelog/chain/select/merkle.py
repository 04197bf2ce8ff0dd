"""Merkle proofs of transactions whose logs a selection keeps: made of whole blocks, and checked with a header alone.

A proof is two branches, of the transactions' trie and of the receipts' trie. The first proves what the transaction is,
the second its receipt with all of its logs, each by its place in the receipt. What place a log has in its block the
receipts before it say, which are not among it. Pure.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

from tidelog.batch import Row
from tidelog.chain.blocks import Header, Receipt, Transaction
from tidelog.chain.encoding import rlp
from tidelog.chain.encoding.items import encode_receipt, keccak, logs_bloom
from tidelog.chain.encoding.trie import ordered_branches, proven_value
from tidelog.chain.encoding.variants import encode, receipt_appends
from tidelog.chain.proof.outcome import parse_proof
from tidelog.chain.rows.columns import LogColumns
from tidelog.chain.rows.layout import BlockRows
from tidelog.chain.rows.reading import to_bundle
from tidelog.chain.rows.tables import BLOCKS, TRANSACTIONS

__all__ = ["MerkleProof", "branch_of", "merkle_proofs", "unproven"]

LOGS_AT = 3  # in a receipt: behind its outcome, the gas and the bloom (EIP-658, EIP-2718)
TYPED = 0x80  # what begins with less is an envelope of EIP-2718: its type, and the RLP behind it
_COVERED = TRANSACTIONS.index("covered")


class MerkleProof(NamedTuple):
    """A row of `merkle_proofs`."""

    chain_id: int
    block_number: int
    tx_index: int
    first_log: int  # the index of the receipt's first log in the block
    transaction: bytes  # the nodes of its branch, as an RLP list
    receipt: bytes


def merkle_proofs(block: BlockRows, indexes: Collection[int]) -> list[Row]:
    """Of these transactions of a whole block; none where its roots were not computed."""
    proof = parse_proof(block.proof_text)
    if not indexes or not (proof.holds("transactions") and proof.holds("receipts")):
        return []
    bundle = to_bundle(block)
    chain_id, number = block.block[BLOCKS.index("chain_id")], block.number
    count = sum(1 for row in block.transactions if row[_COVERED])  # what is behind them is under no root
    pairs = list(zip(bundle.block.transactions, bundle.receipts, strict=True))[:count]
    inside = sorted(index for index in indexes if index < count)
    transactions = ordered_branches([encode(tx) for tx, _ in pairs], inside)
    receipts = ordered_branches([_receipt(*pair) for pair in pairs], inside)
    firsts = [0]
    for _, receipt in pairs:
        firsts.append(firsts[-1] + len(receipt.logs))
    return [
        (chain_id, number, index, firsts[index], _joined(transactions[index]), _joined(receipts[index]))
        for index in inside
    ]


def _receipt(tx: Transaction, receipt: Receipt) -> bytes:
    bloom = logs_bloom(receipt.logs).to_bytes(256, "big")
    return encode_receipt(tx.type, receipt, bloom, receipt_appends(tx.type, receipt))


def unproven(proof: MerkleProof, header: Header, tx_hash: bytes, logs: Iterable[Any]) -> str | None:
    """What a proof does not show of a transaction and of rows of its logs; None: it shows all of that.

    Args:
        header: of the block: whoever checks it trusts this header, by its hash.
    """
    try:
        value = proven_value(header.transactions_root, proof.tx_index, branch_of(proof.transaction))
        if keccak(value) != tx_hash:
            return f"its branch proves another transaction than 0x{tx_hash.hex()}"
        logged = _logs(proven_value(header.receipts_root, proof.tx_index, branch_of(proof.receipt)))
    except (ValueError, RecursionError) as error:
        return str(error)
    for log in map(LogColumns._make, logs):
        place = log.log_index - proof.first_log
        topics = [topic for topic in (log.topic0, log.topic1, log.topic2, log.topic3) if topic is not None]
        if not 0 <= place < len(logged) or logged[place] != [log.address, topics, log.data]:
            return f"log {log.log_index} is none of its receipt's, which its branch proves"
    return None


def branch_of(nodes: bytes) -> list[bytes]:
    """The nodes of a stored branch, from the root on; ValueError: it is none."""
    found = rlp.decode(nodes)
    if not isinstance(found, list):
        raise ValueError("a branch is a list of nodes")
    return [_text(node) for node in found]


def _logs(receipt: bytes) -> Sequence[rlp.Item]:
    fields = rlp.decode(receipt if receipt[:1] >= bytes([TYPED]) else receipt[1:])
    if not isinstance(fields, list) or len(fields) <= LOGS_AT:
        raise ValueError("its receipt has no logs")
    logs = fields[LOGS_AT]
    if not isinstance(logs, list):
        raise ValueError("its receipt has no list of logs")
    return logs


def _text(item: rlp.Item) -> bytes:
    if not isinstance(item, bytes):
        raise ValueError("a node is a byte string")
    return item


def _joined(branch: Sequence[bytes]) -> bytes:
    return rlp.encode_list([rlp.encode_bytes(node) for node in branch])
