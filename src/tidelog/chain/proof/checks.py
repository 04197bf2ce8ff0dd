"""Check a block against what its own header commits to: the outcome is a set of checks, or a `ProofFailure`.

This proves that a block, its transactions, receipts, logs and withdrawals belong to the hash they came
under. It does not prove that the hash belongs to the chain: that is consensus, which is not in here.

What each check compares:

    hash          keccak of the header's fields           with the block's hash
    parent        the header's parent hash                with the hash of the block below
    uncles        each header's hash, and the hash of     with the answer and the header
                  their list
    transactions  each hash, and the root over them,
                  and where each stands                   with the answer and the header
    receipts      one receipt a transaction, their root   with the header
    derived       gas used, price paid, contract address,
                  log positions, the block's gas          with the answer
    bloom         each receipt's and the block's bloom    with the answer and the header
    withdrawals   the root over them                      with the header
    senders       the key recovered from each signature   with the answer's `from`

A check is passed, not computable (with the reason) or not applicable. What differs is never returned.
"""

import functools
from collections.abc import Callable, Collection, Sequence
from typing import TypeVar

from msgspec.structs import replace

from tidelog.chain.blocks import Bundle, Header, Transaction
from tidelog.chain.encoding.derived import contract_address, effective_gas_price, state_sync_hash
from tidelog.chain.encoding.items import (
    DEPOSIT,
    SIGNED_TYPES,
    encode_header,
    encode_receipt,
    encode_withdrawal,
    keccak,
    logs_bloom,
)
from tidelog.chain.encoding.rlp import EMPTY_LIST, encode_list
from tidelog.chain.encoding.trie import EMPTY_ROOT, ordered_root
from tidelog.chain.encoding.variants import (
    FORM_TYPES,
    OPTIMISM_FORM,
    encode,
    is_encodable,
    message,
    receipt_appends,
)
from tidelog.chain.proof.outcome import NOT_APPLICABLE, PASSED, Outcome, Proof, Result
from tidelog.chain.proof.senders import recover_sender
from tidelog.chain.proof.spec import ChainSpec
from tidelog.errors import ProofFailure

T = TypeVar("T")

_NO_UNCLES = keccak(EMPTY_LIST)


class _Case:
    """A bundle under proof, with what several checks need."""

    def __init__(self, bundle: Bundle, spec: ChainSpec, parent_hash: bytes | None) -> None:
        self.block, self.told = bundle.block, bundle.block.header
        self.spec, self.parent_hash = spec.at(bundle.block.header.number), parent_hash
        self.transactions, self.receipts = bundle.block.transactions, bundle.receipts
        self.blooms = [logs_bloom(receipt.logs) for receipt in bundle.receipts]
        self.rooted_count = rooted_count(bundle, spec)
        self.covered: Sequence[Transaction] = self.transactions[: self.rooted_count]
        others = [tx for tx in self.covered if tx.type not in SIGNED_TYPES]
        self.unknown = [tx for tx in others if not is_encodable(tx)] if others else []
        self.unknown_types = {tx.type for tx in self.unknown}
        self.bloom = functools.reduce(int.__or__, self.blooms[: self.rooted_count], 0).to_bytes(256, "big")
        self.header = _completed(self.told, self.bloom)


def _completed(header: Header, bloom: bytes) -> Header:
    """The header with what an answer left out and can be computed."""
    if header.logs_bloom and header.ommers_hash:
        return header
    return replace(header, logs_bloom=header.logs_bloom or bloom, ommers_hash=header.ommers_hash or _NO_UNCLES)


class _Differs(Exception):
    """A comparison that failed: what, expected, got."""


def _compare(what: str, expected: object, got: object) -> None:
    if expected != got:
        raise _Differs(what, _text(expected), _text(got))


def _text(value: object) -> str:
    text = "0x" + value.hex() if isinstance(value, bytes) else str(value)
    return text if len(text) <= 80 else text[:77] + "..."  # blooms: 512 digits are no help


def _hash(case: _Case) -> Result:
    try:
        encoded = encode_header(case.header)
    except ValueError as error:  # where no header has such fields, the spec does not hold this check
        raise _Differs("the header's fields", "all that are hashed", str(error)) from None
    _compare("the header's hash", case.header.hash, keccak(encoded))
    return PASSED


def _parent(case: _Case) -> Result:
    if case.parent_hash is None:
        return NOT_APPLICABLE  # the first block of a range: nothing is below it
    _compare("the parent's hash", case.parent_hash, case.header.parent_hash)
    return PASSED


def _untold(case: _Case, name: str) -> Result | None:
    """Where the answer left a field out, only the header's hash can say that the computed one is right."""
    try:
        computed = keccak(encode_header(case.header)) if "hash" in case.spec.checks else None
    except ValueError:
        computed = None
    return None if computed == case.header.hash else Result(Outcome.NOT_COMPUTABLE, f"the answer has no {name}")


def _uncles(case: _Case) -> Result:
    if not case.told.ommers_hash and (untold := _untold(case, "sha3Uncles")):
        return untold
    ommers = case.block.ommers
    if ommers is not None:
        encoded = [_encoded_uncle(i, ommer) for i, ommer in enumerate(ommers)]
        _compare("the number of uncles", len(case.block.uncles), len(ommers))
        for i, (named, header) in enumerate(zip(case.block.uncles, encoded, strict=True)):
            _compare(f"uncle {i}: its hash", named, keccak(header))
        _compare("the ommers hash", case.header.ommers_hash, keccak(encode_list(encoded)))
        return PASSED
    if case.block.uncles and case.header.ommers_hash != _NO_UNCLES:
        return Result(Outcome.NOT_COMPUTABLE, "the answer holds hashes of uncles, not their headers")
    _compare("the number of uncles", 0, len(case.block.uncles))
    _compare("the ommers hash of no uncles", case.header.ommers_hash, _NO_UNCLES)
    return PASSED


def _encoded_uncle(position: int, ommer: Header) -> bytes:
    try:
        return encode_header(ommer)
    except ValueError as error:
        raise _Differs(f"uncle {position}: its fields", "all that are hashed", str(error)) from None


def _place(case: _Case) -> None:
    """Every transaction is in this block: compared on every chain."""
    block_hash, number = case.header.hash, case.header.number
    for i, tx in enumerate(case.transactions):
        if (tx.block_hash, tx.block_number, tx.index) != (block_hash, number, i):
            _compare(f"transaction {i}: blockHash", block_hash, tx.block_hash)
            _compare(f"transaction {i}: blockNumber", number, tx.block_number)
            _compare(f"transaction {i}: transactionIndex", i, tx.index)


def _pair(case: _Case) -> None:
    """Every transaction has its receipt: compared on every chain."""
    block_hash, number = case.header.hash, case.header.number
    _compare("the number of receipts", len(case.transactions), len(case.receipts))
    for i, (tx, receipt) in enumerate(zip(case.transactions, case.receipts, strict=True)):
        place = (
            receipt.block_hash,
            receipt.block_number,
            receipt.transaction_hash,
            receipt.transaction_index,
        )
        if (*place, receipt.type) != (block_hash, number, tx.hash, i, tx.type):
            _compare(f"receipt {i}: blockHash", block_hash, receipt.block_hash)
            _compare(f"receipt {i}: blockNumber", number, receipt.block_number)
            _compare(f"receipt {i}: transactionHash", tx.hash, receipt.transaction_hash)
            _compare(f"receipt {i}: transactionIndex", i, receipt.transaction_index)
            if receipt.type is not None:
                _compare(f"receipt {i}: type", tx.type, receipt.type)


def _types(types: Collection[int]) -> Result:
    return Result(Outcome.NOT_COMPUTABLE, "type " + " ".join(map(hex, sorted(types))))


def _refuse_known(tx: Transaction, spec: ChainSpec) -> None:
    """A transaction of no form, on a chain whose transactions of that type have a form that is known."""
    deposits = OPTIMISM_FORM in spec.forms or spec.storage_withdrawals_root
    if tx.type == DEPOSIT and deposits:
        _compare(f"transaction {tx.index}: sourceHash", "the one of a deposit", "none")
    if tx.type in FORM_TYPES and FORM_TYPES[tx.type] & set(spec.forms):
        forms = " or ".join(sorted(FORM_TYPES[tx.type] & set(spec.forms)))
        _compare(f"transaction {tx.index}: its hash, by the fields of type {tx.type:#x} ({forms})", tx.hash, "another")


def _transactions(case: _Case) -> Result:
    for tx in case.unknown:
        _refuse_known(tx, case.spec)
    unknown = {tx.index for tx in case.unknown}  # `_place` has compared where each stands
    encoded = [None if i in unknown else encode(tx) for i, tx in enumerate(case.covered)]
    for i, (tx, value) in enumerate(zip(case.covered, encoded, strict=True)):
        if value is not None and tx.hash != (computed := keccak(value)):
            _compare(f"transaction {i}: its hash", tx.hash, computed)
    if not case.spec.rooted("transactions"):
        return Result(Outcome.NOT_COMPUTABLE, "hashes hold, the root is of another kind")
    if case.unknown:
        return _types(case.unknown_types)
    root = ordered_root([value for value in encoded if value is not None])
    _compare("the transactions root", case.header.transactions_root, root)
    return PASSED


def _receipts(case: _Case) -> Result:
    if not case.spec.rooted("receipts"):
        return Result(Outcome.NOT_COMPUTABLE, "all are there, the root is of another kind")
    encoded = [
        encode_receipt(tx.type, receipt, bloom.to_bytes(256, "big"), receipt_appends(tx.type, receipt))
        for tx, receipt, bloom in zip(case.covered, case.receipts, case.blooms, strict=False)
    ]
    root = ordered_root(encoded)
    strange = case.unknown_types - set(case.spec.opaque_types)
    if strange and root != case.header.receipts_root:
        return _types(strange)  # nothing says how receipts of such a type are encoded
    _compare("the receipts root", case.header.receipts_root, root)
    return PASSED


def _bloom(case: _Case) -> Result:
    for i, (receipt, bloom) in enumerate(zip(case.receipts, case.blooms, strict=True)):
        if receipt.logs_bloom is not None:
            _compare(f"receipt {i}: its bloom", receipt.logs_bloom, bloom.to_bytes(256, "big"))
    if not case.told.logs_bloom and (untold := _untold(case, "logsBloom")):
        return untold
    stated, computed = (int.from_bytes(bloom, "big") for bloom in (case.header.logs_bloom, case.bloom))
    if case.spec.bloom_superset and stated != computed and stated & computed == computed:
        return Result(Outcome.NOT_COMPUTABLE, "has further bits beside those of the logs")
    _compare("the block's bloom", case.header.logs_bloom, case.bloom)
    return PASSED


def _withdrawals(case: _Case) -> Result:
    root, withdrawals = case.header.withdrawals_root, case.block.withdrawals
    if root is None:
        _compare("withdrawals without a root", None, withdrawals)
        return NOT_APPLICABLE
    if case.spec.storage_withdrawals_root and root != EMPTY_ROOT and not withdrawals:
        return Result(Outcome.NOT_COMPUTABLE, "the root of a contract's storage")
    computed = ordered_root([encode_withdrawal(item) for item in withdrawals or ()])
    _compare("the withdrawals root", root, computed)
    return PASSED


def _derived(case: _Case) -> Result:
    position = cumulative = 0
    for i, (tx, receipt) in enumerate(zip(case.transactions, case.receipts, strict=True)):
        for log in receipt.logs:
            where = (
                log.block_hash,
                log.block_number,
                log.transaction_hash,
                log.transaction_index,
                log.log_index,
            )
            expected = (case.header.hash, case.header.number, tx.hash, i, position)
            if where != expected:
                for name, want, got in zip(_LOG_PLACE, expected, where, strict=True):
                    if got is not None:
                        _compare(f"receipt {i}, log {position}: its {name}", want, got)
            position += 1
        if i >= case.rooted_count:
            continue  # nothing of it is under a root, and its gas is not the block's
        _compare(f"receipt {i}: gas used", receipt.cumulative_gas_used - cumulative, receipt.gas_used)
        cumulative = receipt.cumulative_gas_used
        price = effective_gas_price(tx, case.header.base_fee_per_gas)
        if price is not None and receipt.effective_gas_price is not None:
            _compare(f"receipt {i}: effective gas price", price, receipt.effective_gas_price)
        if receipt.contract_address is not None and not (tx.type == DEPOSIT and tx.to is None):
            _compare(f"receipt {i}: contract address", contract_address(tx), receipt.contract_address)
    if case.header.block_access_list_hash is None:  # since Amsterdam the block's gas is counted otherwise
        _compare("the block's gas used", case.header.gas_used, cumulative)
    return PASSED


_LOG_PLACE = ("block_hash", "block_number", "transaction_hash", "transaction_index", "log_index")


def _senders(case: _Case) -> Result:
    if unknown := case.unknown_types:
        return _types(unknown)
    for i, tx in enumerate(case.covered):
        if message(tx) is not None:  # deposits, for one, are not signed
            _compare(f"transaction {i}: its sender", recover_sender(tx), tx.sender)
    return PASSED


_COMPUTE: dict[str, Callable[[_Case], Result]] = {
    "hash": _hash,
    "parent": _parent,
    "uncles": _uncles,
    "transactions": _transactions,
    "receipts": _receipts,
    "derived": _derived,
    "bloom": _bloom,
    "withdrawals": _withdrawals,
    "senders": _senders,
}


def prove(
    bundle: Bundle,
    spec: ChainSpec,
    *,
    parent_hash: bytes | None = None,
    senders: bool = False,
    endpoint: str | None = None,
) -> Proof:
    """Make every check that the spec holds for the chain.

    Args:
        parent_hash: the hash of the block below; None if it is not stored.
        senders: recover each signature's key too (about 60 microseconds a transaction).
        endpoint: named in the failure.

    Raises:
        ProofFailure: a check that differs; nothing of the bundle may be stored.
    """
    case = _Case(bundle, spec, parent_hash)
    _checked("transactions", _place, case, endpoint)
    _checked("receipts", _pair, case, endpoint)
    results = {}
    for name, compute in _COMPUTE.items():
        if name == "senders" and not senders:
            results[name] = NOT_APPLICABLE
        elif name not in case.spec.checks and name not in ("senders", "parent"):
            accepted = name in case.spec.accepted
            reason = "accepted as unproven by the user" if accepted else f"not on {spec.name}"
            results[name] = Result(Outcome.NOT_COMPUTABLE, reason)
        else:
            results[name] = _checked(name, compute, case, endpoint)
    return Proof(results)


def assess(bundle: Bundle, spec: ChainSpec) -> dict[str, Result | ProofFailure]:
    """Each check's outcome on its own, failures included: what a block says about the chain's rules.

    NOT_APPLICABLE where the check compared nothing: no transactions, no logs, no withdrawals, no parent. Such a
    block is no evidence that the check holds on the chain, nor that it does not.

    Raises:
        ProofFailure: receipts are missing or belong elsewhere, which is wrong on every chain.
    """
    case = _Case(bundle, spec, None)
    _checked("transactions", _place, case, None)
    _checked("receipts", _pair, case, None)
    idle = _idle(case)
    outcomes: dict[str, Result | ProofFailure] = {}
    for name, compute in _COMPUTE.items():
        try:
            outcome = _checked(name, compute, case, None)
            outcomes[name] = NOT_APPLICABLE if outcome == PASSED and name in idle else outcome
        except ProofFailure as failure:
            outcomes[name] = failure
    return outcomes


def _idle(case: _Case) -> set[str]:
    """The checks that pass on this block because there is nothing to compare."""
    idle = set() if case.covered else {"transactions", "receipts", "derived", "senders"}
    if not any(case.blooms) and not any(case.header.logs_bloom):
        idle.add("bloom")
    if not case.block.withdrawals:
        idle.add("withdrawals")
    return idle


def _checked(name: str, compute: Callable[[_Case], T], case: _Case, endpoint: str | None) -> T:
    try:
        return compute(case)
    except _Differs as differs:
        what, expected, got = differs.args
        raise ProofFailure(
            name,
            expected=f"{what} {expected}",
            got=got,
            subject=f"block {case.header.number}",
            endpoint=endpoint,
        ) from None


def completed_header(bundle: Bundle, spec: ChainSpec) -> Header:
    """The header with what an answer left out as it can be computed, whether or not its hash confirms that."""
    return _Case(bundle, spec, None).header


def completed(bundle: Bundle, spec: ChainSpec) -> Bundle:
    """The bundle with the header's fields that an answer left out, if the header's hash proves them.

    What nothing proves stays empty, and is stored so: a value that no answer had would pass for one that was compared.
    """
    header = bundle.block.header
    if header.logs_bloom and header.ommers_hash:
        return bundle
    case = _Case(bundle, spec, None)
    if _untold(case, ""):
        return bundle
    return Bundle(replace(bundle.block, header=case.header), bundle.receipts)


def rooted_count(bundle: Bundle, spec: ChainSpec) -> int:
    """How many of the transactions, from the first on, stand under the block's roots."""
    header, transactions = bundle.block.header, bundle.block.transactions
    if (
        spec.at(header.number).state_sync
        and transactions
        and transactions[-1].hash == state_sync_hash(header.number, header.hash)
    ):
        return len(transactions) - 1
    return len(transactions)
