"""What is kept of a chain's blocks when only contracts' events are wanted: which logs, and which blooms exclude them.

A log is kept if its contract is selected at that block, and its first topic is that of one of the contract's events;
of a contract with an anonymous event all logs are. With the logs their transactions are kept, and the header of every
block. What is left out of a block is taken out of its rows once the whole block was proven.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from tidelog.batch import Row
from tidelog.chain.contracts.contract import Contract
from tidelog.chain.encoding.items import keccak
from tidelog.chain.proof.outcome import CHECKS, Outcome, Proof, Result, parse_proof
from tidelog.chain.proof.spec import ChainSpec
from tidelog.chain.rows.layout import BlockRows, with_proof
from tidelog.chain.rows.tables import BLOCKS, LOGS, TRANSACTIONS

__all__ = [
    "HASH_ONLY", "KEPT_CHECKS", "LEFT_OUT",
    "Selection", "bloom_decides", "bloom_has", "is_hash_only", "is_selected", "merged", "narrowed",
]  # fmt: skip

LEFT_OUT = Result(Outcome.NOT_COMPUTABLE, "selection")
"""Of the checks whose input a selection does not keep: what they said when the block came, coverage stands for."""
HASH_ONLY = -1  # in the place of a transaction's type: more of it than its hash was not asked for
BITS_KEPT = 1 << 14  # of items: those that are selected, and what is verified
KEPT_CHECKS = ("hash", "parent", "senders")  # that a selected block's own rows can be proven by again

_UNCLES, _TRANSACTION_COUNT, _LOG_COUNT, _WITHDRAWAL_COUNT = (
    BLOCKS.index(name) for name in ("uncles", "transaction_count", "log_count", "withdrawal_count")
)
_ADDRESS, _TOPIC0, _LOG_TX, _LOG_INDEX = (LOGS.index(name) for name in ("address", "topic0", "tx_index", "log_index"))
_TX_INDEX, _TYPE = TRANSACTIONS.index("tx_index"), TRANSACTIONS.index("type")


def bloom_decides(spec: ChainSpec, number: int) -> bool:
    """Whether the bloom of a header that hashes to its hash proves what is not in the block.

    It has to be checked on the chain, and a block must have been seen in which that compared something. Further bits
    do no harm (`bloom_superset`). Logs of a state sync are under no bloom (Polygon).
    """
    rules = spec.at(number)
    checked = all(name in rules.checks and name not in rules.unconfirmed for name in ("hash", "bloom"))
    return checked and not rules.state_sync


def bloom_has(bloom: bytes, item: bytes) -> bool:
    """Whether a bloom may be over an address or a topic; False: it is not."""
    return not _bits(item) & ~int.from_bytes(bloom, "big")


class _Wanted(Struct, frozen=True):
    """A contract, as blooms and logs are compared with it."""

    contract: Contract
    topics: frozenset[bytes] | None  # of its events; None: any will do
    address_bits: int
    topic_bits: tuple[int, ...]  # of each topic


class Selection:
    """The contracts that are selected; a value."""

    def __init__(self, contracts: Iterable[Contract]) -> None:
        self.contracts = tuple(contracts)
        self._wanted = [_wanted(contract) for contract in self.contracts]
        by_address: dict[bytes, list[_Wanted]] = {}
        for each in self._wanted:
            by_address.setdefault(each.contract.address, []).append(each)
        self._by_address: Mapping[Any, list[_Wanted]] = by_address

    def may_have(self, number: int, bloom: bytes) -> bool:
        """Whether a block of this bloom may have a log that is wanted."""
        bits = int.from_bytes(bloom, "big")
        for each in self._wanted:
            if number < each.contract.first_block or each.address_bits & ~bits:
                continue
            if each.topics is None or any(not topic & ~bits for topic in each.topic_bits):
                return True
        return False

    def wants(self, number: int, address: Any, topic0: Any) -> bool:
        """Whether a log is wanted."""
        return any(
            number >= each.contract.first_block and (each.topics is None or topic0 in each.topics)
            for each in self._by_address.get(address, ())
        )

    def wanting(self, number: int, address: Any, topic0: Any) -> list[str]:
        """The names of the contracts that want a log."""
        return [
            each.contract.name
            for each in self._by_address.get(address, ())
            if number >= each.contract.first_block and (each.topics is None or topic0 in each.topics)
        ]

    def of(self, block: BlockRows) -> BlockRows:
        """What is kept of a whole block that was proven, or of one that was selected for more than this."""
        number = block.number
        rows: Sequence[Any] = block.logs
        return narrowed(block, [row for row in rows if self.wants(number, row[_ADDRESS], row[_TOPIC0])])


def _wanted(contract: Contract) -> _Wanted:
    topics = None
    if all(event.topic0 is not None for event in contract.events):
        topics = frozenset(event.topic0 for event in contract.events if event.topic0 is not None)
    return _Wanted(contract, topics, _bits(contract.address), tuple(map(_bits, sorted(topics or ()))))


@lru_cache(BITS_KEPT)
def _bits(item: bytes) -> int:
    """The three bits of an address or a topic in a bloom (Yellow Paper 4.3.1)."""
    digest = keccak(item)
    return sum({1 << (int.from_bytes(digest[place : place + 2], "big") & 0x7FF) for place in (0, 2, 4)})


def narrowed(block: BlockRows, logs: list[Any]) -> BlockRows:
    """The block with these of its logs and their transactions, and with its header; nothing else of it."""
    indexes = {row[_LOG_TX] for row in logs}
    transactions = [row for row in block.transactions if row[_TX_INDEX] in indexes]
    row = list(block.block)
    row[_UNCLES], row[_WITHDRAWAL_COUNT] = b"", None
    row[_TRANSACTION_COUNT], row[_LOG_COUNT] = len(transactions), len(logs)
    kept = BlockRows(tuple(row), transactions, logs, [])
    return replace(kept, block=with_proof(kept, header_proof(parse_proof(block.proof_text))))


def merged(stored: BlockRows, more: BlockRows) -> BlockRows:
    """A selected block with what another selection of the same block adds."""
    logs: dict[Any, Any] = {row[_LOG_INDEX]: row for row in (*more.logs, *stored.logs)}
    transactions: dict[Any, Any] = {row[_TX_INDEX]: row for row in (*more.transactions, *stored.transactions)}
    both = replace(stored, transactions=[transactions[index] for index in sorted(transactions)])
    return narrowed(both, [logs[index] for index in sorted(logs)])


def is_hash_only(transaction: Row) -> bool:
    """Whether of this transaction no more is held than its hash, as a row of `transactions` says."""
    return transaction[_TYPE] == HASH_ONLY


def is_selected(proof_text: str) -> bool:
    """Whether a block of this proof is one of a selection."""
    return f"transactions{LEFT_OUT.outcome.value}({LEFT_OUT.reason})" in proof_text


def header_proof(whole: Proof) -> Proof:
    """What a selected block's rows can show of a proof."""
    return Proof({name: whole.results[name] if name in KEPT_CHECKS else LEFT_OUT for name in CHECKS})
