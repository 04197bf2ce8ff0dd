"""What is kept of a chain's blocks when only contracts' events are wanted: which logs, and which blooms exclude them.

A log is kept if its contract is selected at that block, and its first topic is that of one of the contract's events;
of a contract with an anonymous event all logs are. A contract that others create is selected where their events say,
from that block on; so what is selected grows with the blocks. With the logs their transactions are kept, and the
header of every block. What is left out of a block is taken out of its rows once the whole block was proven.
"""

from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from tidelog.batch import INT_MAX, Row
from tidelog.chain.contracts.births import Births, Child
from tidelog.chain.contracts.contract import Contract
from tidelog.chain.contracts.kinship import Kin
from tidelog.chain.encoding.blooms import Bloom, bloom_bits
from tidelog.chain.proof.outcome import CHECKS, Outcome, Proof, Result, parse_proof
from tidelog.chain.proof.spec import ChainSpec
from tidelog.chain.rows.layout import BlockRows, with_proof
from tidelog.chain.rows.tables import BLOCKS, LOGS, MERKLE_PROOFS, TRANSACTIONS
from tidelog.chain.select.merkle import merkle_proofs

__all__ = [
    "HASH_ONLY", "KEPT_CHECKS", "LEFT_OUT",
    "Selection", "bloom_decides", "bloom_has", "is_hash_only", "is_selected", "merged", "narrowed",
]  # fmt: skip

LEFT_OUT = Result(Outcome.NOT_COMPUTABLE, "selection")
"""Of the checks whose input a selection does not keep: what they said when the block came, coverage stands for."""
HASH_ONLY = -1  # in the place of a transaction's type: more of it than its hash was not asked for
KEPT_CHECKS = ("hash", "parent", "senders")  # that a selected block's own rows can be proven by again

_UNCLES, _TRANSACTION_COUNT, _LOG_COUNT, _WITHDRAWAL_COUNT = (
    BLOCKS.index(name) for name in ("uncles", "transaction_count", "log_count", "withdrawal_count")
)
_ADDRESS, _TOPIC0, _LOG_TX, _LOG_INDEX = (LOGS.index(name) for name in ("address", "topic0", "tx_index", "log_index"))
_PROOF_TX = MERKLE_PROOFS.index("tx_index")
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
    return Bloom(bloom).may_have(bloom_bits(item))


class _Wanted(Struct, frozen=True):
    """A contract, as blooms and logs are compared with it."""

    contract: Contract
    topics: frozenset[bytes] | None  # of its events; None: any will do
    address_bits: int  # 0 of one that others create
    topic_bits: tuple[int, ...]  # of each topic

    def may_have(self, bloom: Bloom) -> bool:
        """Whether a bloom may be over an event of it, wherever it stands."""
        if not bloom.may_have(self.address_bits):
            return False
        return self.topics is None or any(bloom.may_have(topic) for topic in self.topic_bits)


class Selection:
    """The contracts that are selected, and the children of those that others create.

    Args:
        births: the children that are known. All that is asked is answered by what is there then.
    """

    def __init__(self, contracts: Iterable[Contract], births: Births | None = None) -> None:
        self._kin = Kin(contracts)
        self.births = Births() if births is None else births
        self._wanted = {contract.name: _wanted(contract) for contract in self._kin.contracts}
        self._standing: dict[Any, list[_Wanted]] = {}
        for each in self._wanted.values():
            if each.contract.created_by is None:
                self._standing.setdefault(each.contract.address, []).append(each)
        self._keeping = any(each.keep_proof for each in self._kin.contracts)
        self._created = [self._wanted[each.name] for each in self._kin.created]

    @property
    def contracts(self) -> tuple[Contract, ...]:
        """Those that are selected."""
        return self._kin.contracts

    @property
    def grows(self) -> bool:
        """Whether blocks may add to what is selected of those behind them."""
        return bool(self._created)

    def over(self, through: int = INT_MAX) -> "Selection":
        """The same, with the children that were named up to this block, and those that the result's blocks will add."""
        other = copy(self)
        other.births = self.births.over(through)
        return other

    def may_have(self, number: int, bloom: bytes) -> bool:
        """Whether a block of this bloom may have a log that is wanted."""
        asked = Bloom(bloom)
        for each in self._wanted.values():
            if number < each.contract.first_block or not each.may_have(asked):
                continue
            if each.contract.created_by is None or self.births.may_have(each.contract.name, number, asked):
                return True
        return False

    def may_have_of(self, children: Sequence[Child], number: int, bloom: bytes) -> bool:
        """Whether a block of this bloom may have a log that is wanted of one of these."""
        asked = Bloom(bloom)
        return any(
            number >= self._wanted[each.contract].contract.first_block
            and asked.may_have(bloom_bits(each.address))
            and self._wanted[each.contract].may_have(asked)
            for each in children
        )

    def wants(self, number: int, address: Any, topic0: Any) -> bool:
        """Whether a log is wanted. Of a child all logs of the block in which it is named are."""
        return any(True for _ in self._wanting(number, address, topic0))

    def wanting(self, number: int, address: Any, topic0: Any) -> list[str]:
        """The names of the contracts that want a log."""
        return [each.contract.name for each in self._wanting(number, address, topic0)]

    def _wanting(self, number: int, address: Any, topic0: Any) -> Iterator[_Wanted]:
        for each in self._standing.get(address, ()):
            if number >= each.contract.first_block and (each.topics is None or topic0 in each.topics):
                yield each
        for each in self._created:
            if number >= each.contract.first_block and (each.topics is None or topic0 in each.topics):
                birth = self.births.birth(each.contract.name, address)
                if birth is not None and birth[0] <= number:
                    yield each

    def meet(self, block: BlockRows) -> None:
        """Take in the children that a block names. Blocks have to come in order."""
        if self.grows:
            for _ in self._kin.walk(block.logs, self.births):
                pass

    def of(self, block: BlockRows) -> BlockRows:
        """What is kept of a whole block that was proven, or of one that was selected for more than this."""
        seen = self
        if self.grows:  # what the block names itself is wanted too
            seen = self.over()
            seen.meet(block)
        number = block.number
        rows: Sequence[Any] = block.logs
        kept = narrowed(block, [row for row in rows if seen.wants(number, row[_ADDRESS], row[_TOPIC0])])
        if self._keeping and kept.logs and not is_selected(block.proof_text):
            proven: set[Any] = {
                row[_LOG_TX] for row in kept.logs if seen.keeps_proof(number, row[_ADDRESS], row[_TOPIC0])
            }
            kept = replace(kept, proofs=merkle_proofs(block, proven))
        return kept

    def keeps_proof(self, number: int, address: Any, topic0: Any) -> bool:
        """Whether the Merkle proof of a log is kept."""
        return self._keeping and any(each.contract.keep_proof for each in self._wanting(number, address, topic0))


def _wanted(contract: Contract) -> _Wanted:
    topics = None
    if all(event.topic0 is not None for event in contract.events):
        topics = frozenset(event.topic0 for event in contract.events if event.topic0 is not None)
    address_bits = bloom_bits(contract.address) if contract.created_by is None else 0
    return _Wanted(contract, topics, address_bits, tuple(map(bloom_bits, sorted(topics or ()))))


def narrowed(block: BlockRows, logs: list[Any]) -> BlockRows:
    """The block with these of its logs and their transactions, and with its header; nothing else of it."""
    indexes = {row[_LOG_TX] for row in logs}
    transactions = [row for row in block.transactions if row[_TX_INDEX] in indexes]
    row = list(block.block)
    row[_UNCLES], row[_WITHDRAWAL_COUNT] = b"", None
    row[_TRANSACTION_COUNT], row[_LOG_COUNT] = len(transactions), len(logs)
    proofs = [proof for proof in block.proofs if proof[_PROOF_TX] in indexes]
    kept = BlockRows(tuple(row), transactions, logs, [], proofs=proofs)
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
