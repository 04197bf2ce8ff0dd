"""Prove again what a selection holds of a block: its header, its link, and that what is stored of it fits the header.

A root is over all of a block's transactions or receipts, of which a selection keeps a few: that these are all that were
selected, and as the roots have them, was compared when the block came. It shows again only where the bloom excludes the
contracts that are covered. Pure.
"""

from collections.abc import Container, Mapping, Sequence
from typing import Any, NamedTuple

from tidelog.batch import Row
from tidelog.chain.blocks import BlockRef, Header, Transaction
from tidelog.chain.contracts.births import Births
from tidelog.chain.contracts.contract import Contract
from tidelog.chain.encoding.headers import hash_of
from tidelog.chain.encoding.items import keccak
from tidelog.chain.encoding.variants import encode, is_encodable, message
from tidelog.chain.forks.position import Position
from tidelog.chain.proof.outcome import Outcome, Proof, Result, parse_proof
from tidelog.chain.proof.senders import recover_sender
from tidelog.chain.proof.spec import ChainSpec
from tidelog.chain.rows.columns import BlockColumns, LogColumns
from tidelog.chain.rows.layout import BlockRows, required_bytes
from tidelog.chain.rows.reading import read_header, read_transaction
from tidelog.chain.rows.tables import TRANSACTIONS
from tidelog.chain.select.asked import is_asked
from tidelog.chain.select.coverage import Coverage
from tidelog.chain.select.merkle import MerkleProof, unproven
from tidelog.chain.select.selection import KEPT_CHECKS, LEFT_OUT, Selection, bloom_decides, bloom_has, is_hash_only
from tidelog.errors import Corruption

__all__ = ["COMMITMENT", "INGESTED", "Selected", "Wrong", "prove_asked", "prove_selected"]

COMMITMENT = "differs from the chain's commitment"
INGESTED = "differs from what was ingested"
_TX_INDEX, _HASH, _COVERED = (TRANSACTIONS.index(name) for name in ("tx_index", "hash", "covered"))


class Wrong(NamedTuple):
    """What is wrong with a block, and whose word that breaks: COMMITMENT or INGESTED."""

    kind: str
    what: str


class Selected(NamedTuple):
    """The contracts of a selection that are there to stay, and what is covered of each."""

    contracts: Sequence[Contract]
    coverage: Coverage
    leaving: bool  # rows of others may still be there
    births: Births  # of the children that log in the blocks at hand
    proofs: Mapping[tuple[int, int], MerkleProof]  # of them, by block and transaction

    def at(self, number: int) -> Selection:
        """Those that are covered at a block."""
        return Selection(
            [
                each
                for each in self.contracts
                if any(span.first <= number <= span.last for span in self.coverage.get(each.name, ()))
            ],
            self.births,
        )

    def known_by_ingestion(self, block: BlockRows, spec: ChainSpec, births: Births) -> bool:
        """Whether the block's header does not show again what the block has of what is covered.

        Args:
            births: all children.
        """
        row = BlockColumns._make(block.block)
        selection = Selection(self.at(row.number).contracts, births)
        decides = bloom_decides(spec, row.number) and row.logs_bloom
        return bool(selection.contracts) and (not decides or selection.may_have(row.number, row.logs_bloom))


def prove_selected(
    block: BlockRows, below: BlockRef | None, position: Position, spec: ChainSpec, selected: Selected
) -> Wrong | None:
    """What is wrong with one block of a selection."""
    rules = spec.at(block.number)
    try:
        stored, header = parse_proof(block.proof_text), read_header(block.block)
        if "hash" in rules.checks and hash_of(header) != header.hash:
            return Wrong(COMMITMENT, f"hash: its header does not hash to 0x{header.hash.hex()}")
        if below is not None and header.parent_hash != below.hash:
            return Wrong(COMMITMENT, f"parent: expected 0x{below.hash.hex()}, got 0x{header.parent_hash.hex()}")
        transactions = {int(row[_TX_INDEX] or 0): read_transaction(row, header) for row in block.transactions}
        found = _transactions(transactions, stored) or _logs(block, header, transactions, rules)
    except (Corruption, ValueError, TypeError, OverflowError) as error:
        return Wrong(INGESTED, f"its rows cannot be read: {error}")
    return found or _ingested(block, below, position, stored, selected) or _proofs(block, header, selected)


def _proofs(block: BlockRows, header: Header, selected: Selected) -> Wrong | None:
    """What is wrong with the Merkle proofs that are kept of a block."""
    logs: dict[int, list[Any]] = {}
    rows: Sequence[Any] = block.logs
    for row in rows:
        logs.setdefault(LogColumns._make(row).tx_index, []).append(row)
    selection = selected.at(block.number)
    for row in block.transactions:
        index, tx_hash = int(row[_TX_INDEX] or 0), required_bytes(row[_HASH])
        proof = selected.proofs.get((block.number, index))
        if proof is not None:
            missing = unproven(proof, header, tx_hash, logs.get(index, ()))
            if missing is not None:
                return Wrong(COMMITMENT, f"the Merkle proof of transaction {index}: {missing}")
        elif row[_COVERED] and any(selection.keeps_proof(log[1], log[4], log[5]) for log in logs.get(index, ())):
            return Wrong(INGESTED, f"the Merkle proof of transaction {index} is missing")
    return None


def prove_asked(block: BlockRows, spec: ChainSpec, selected: Selected) -> Wrong | None:
    """What is wrong with one block of which an endpoint said what contracts log in it."""
    rules = spec.at(block.number)
    try:
        stored, header = parse_proof(block.proof_text), read_header(block.block)
        if "hash" in rules.checks and hash_of(header) != header.hash:
            return Wrong(COMMITMENT, f"hash: its header does not hash to 0x{header.hash.hex()}")
        held = {int(row[_TX_INDEX] or 0): row for row in block.transactions}
        full = {index: read_transaction(row, header) for index, row in held.items() if not is_hash_only(row)}
        found = _transactions(full, stored) or _logs(block, header, held, rules)
    except (Corruption, ValueError, TypeError, OverflowError) as error:
        return Wrong(INGESTED, f"its rows cannot be read: {error}")
    if found is None and not block.logs:
        found = Wrong(INGESTED, "nothing that is selected was logged in it, and it leads to no block that is held")
    if found is None and (not is_asked(block.proof_text) or not _proof_fits(stored, begins=False, linked=False)):
        found = Wrong(
            INGESTED, f"its proof reads {block.proof_text!r}, which is not that of a block that was asked for"
        )
    return found or _counted(block, selected)


def _transactions(transactions: dict[int, Transaction], stored: Proof) -> Wrong | None:
    signed = stored.results["senders"].outcome is Outcome.PASSED
    for index, tx in transactions.items():
        if is_encodable(tx) and keccak(encode(tx)) != tx.hash:
            return Wrong(COMMITMENT, f"transactions: transaction {index} does not hash to 0x{tx.hash.hex()}")
        if signed and is_encodable(tx) and message(tx) is not None and recover_sender(tx) != tx.sender:
            return Wrong(COMMITMENT, f"senders: transaction {index} was signed by another one")
    return None


def _logs(block: BlockRows, header: Header, transactions: Container[int], rules: ChainSpec) -> Wrong | None:
    rows: Sequence[Any] = block.logs
    for log in map(LogColumns._make, rows):
        if log.tx_index not in transactions:
            return Wrong(INGESTED, f"log {log.log_index} is of transaction {log.tx_index}, which is not there")
        topics = [topic for topic in (log.topic0, log.topic1, log.topic2, log.topic3) if topic is not None]
        under_bloom = "bloom" in rules.checks and log.covered and header.logs_bloom
        if under_bloom and not all(bloom_has(header.logs_bloom, item) for item in (log.address, *topics)):
            return Wrong(COMMITMENT, f"bloom: the header's excludes log {log.log_index}")
    return None


def _ingested(
    block: BlockRows, below: BlockRef | None, position: Position, stored: Proof, selected: Selected
) -> Wrong | None:
    """What no commitment shows."""
    if not _proof_fits(stored, begins=block.number == position.first, linked=below is not None):
        return Wrong(INGESTED, f"its proof reads {block.proof_text!r}, which is not that of a selection")
    return _counted(block, selected)


def _counted(block: BlockRows, selected: Selected) -> Wrong | None:
    row = BlockColumns._make(block.block)
    for name, says, rows in (
        ("transaction_count", row.transaction_count, block.transactions),
        ("log_count", row.log_count, block.logs),
        ("withdrawal_count", row.withdrawal_count or 0, [*block.withdrawals, *block.uncles]),
    ):
        if says != len(rows):
            return Wrong(INGESTED, f"{name} is {says}, and there are {len(rows)} rows")
    used = {log[3] for log in block.logs}
    if any(each[_TX_INDEX] not in used for each in block.transactions):
        return Wrong(INGESTED, "it has a transaction without a log that is selected")
    selection = selected.at(row.number)
    if not selected.leaving and not all(_is_selected(selection, log) for log in block.logs):
        return Wrong(INGESTED, "it has a log that nobody selected")
    if block.digest() != block.stored_digest:
        return Wrong(INGESTED, "the digest over its rows is another one, and every commitment holds")
    return None


def _is_selected(selection: Selection, log: Row) -> bool:
    _, number, _, _, address, topic0, *_ = log
    return selection.wants(int(number or 0), address, topic0)


def _proof_fits(stored: Proof, *, begins: bool, linked: bool) -> bool:
    left_out = all(result == LEFT_OUT for name, result in stored.results.items() if name not in KEPT_CHECKS)
    parent: Result = stored.results["parent"]
    return left_out and (not linked or parent.outcome is (Outcome.NOT_APPLICABLE if begins else Outcome.PASSED))
