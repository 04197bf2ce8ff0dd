"""Blocks read from a node's JSON into the Ethereum specification's own types, and recomputed by it.

Nothing of tidelog is used: this is the oracle that says whether a simulated chain is a real one.
"""

from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from importlib import import_module
from typing import Any, get_args, get_type_hints

from ethereum.crypto.hash import keccak256
from ethereum.forks.frontier import blocks as frontier
from ethereum.forks.prague import blocks as prague
from ethereum.forks.prague import transactions as spec
from ethereum.forks.prague.bloom import logs_bloom
from ethereum.forks.prague.trie import Trie, root, trie_set
from ethereum_rlp import rlp
from ethereum_types.bytes import Bytes0, Bytes20
from ethereum_types.numeric import U64, Uint

HEADER = (
    *("parentHash", "sha3Uncles", "miner", "stateRoot", "transactionsRoot", "receiptsRoot", "logsBloom"),
    *("difficulty", "number", "gasLimit", "gasUsed", "timestamp", "extraData", "mixHash", "nonce"),
    *("baseFeePerGas", "withdrawalsRoot", "blobGasUsed", "excessBlobGas"),
    *("parentBeaconBlockRoot", "requestsHash"),
)
FEES = "chainId nonce maxPriorityFeePerGas maxFeePerGas gas to value input accessList"
TRANSACTIONS: dict[str, tuple[Any, str]] = {
    "0x0": (spec.LegacyTransaction, "nonce gasPrice gas to value input v r s"),
    "0x1": (spec.AccessListTransaction, "chainId nonce gasPrice gas to value input accessList yParity r s"),
    "0x2": (spec.FeeMarketTransaction, f"{FEES} yParity r s"),
    "0x3": (spec.BlobTransaction, f"{FEES} maxFeePerBlobGas blobVersionedHashes yParity r s"),
    "0x4": (spec.SetCodeTransaction, f"{FEES} authorizationList yParity r s"),
}
NESTED = {  # members of the objects that a transaction, a receipt or a block contains
    "Access": "address storageKeys",
    "Authorization": "chainId address nonce yParity r s",
    "Log": "address topics data",
    "Withdrawal": "index validatorIndex address amount",
}


def typed(hint: Any, value: Any) -> Any:
    """A JSON value as the specification's type."""
    if is_dataclass(hint):
        kind: Any = hint
        values = [value[name] for name in NESTED[kind.__name__].split()] if isinstance(value, dict) else value
        hints = get_type_hints(kind)
        names = [field.name for field in fields(kind)]
        return kind(**{name: typed(hints[name], each) for name, each in zip(names, values, strict=True)})
    if isinstance(value, list):
        return tuple([typed(get_args(hint)[0], each) for each in value])
    if hint is bool:
        return value == "0x1"
    if hasattr(hint, "from_be_bytes"):
        return hint(int(value, 16))
    if get_args(hint):  # the recipient of a transaction: nobody, or an address
        return Bytes0() if value is None else Bytes20(bytes.fromhex(value[2:]))
    return hint(bytes.fromhex(value[2:]))


def header_hash(block: dict[str, Any], fork: str) -> str:
    kind = import_module(f"ethereum.forks.{fork}.blocks").Header
    header = typed(kind, [block[name] for name in HEADER if name in block])
    return "0x" + bytes(keccak256(rlp.encode(header))).hex()


def transaction(item: dict[str, Any]) -> Any:
    kind, names = TRANSACTIONS[item["type"]]
    return typed(kind, [item[name] for name in names.split()])


def transaction_hash(item: dict[str, Any]) -> str:
    encoded = spec.encode_transaction(transaction(item))
    return "0x" + bytes(spec.get_transaction_hash(encoded)).hex()


def sender(item: dict[str, Any]) -> str:
    chain_id = U64(int(item.get("chainId", "0x0"), 16))
    return "0x" + bytes(spec.recover_sender(chain_id, transaction(item))).hex()


def transactions_root(block: dict[str, Any]) -> str:
    return _root(spec.encode_transaction(transaction(item)) for item in block["transactions"])


def receipts_root(block: dict[str, Any], receipts: list[dict[str, Any]], fork: str) -> str:
    values = []
    for item, receipt in zip(block["transactions"], receipts, strict=True):
        parts = [receipt["cumulativeGasUsed"], receipt["logsBloom"], receipt["logs"]]
        if fork == "frontier":
            values.append(typed(frontier.Receipt, [receipt["root"], *parts]))
        else:
            value = typed(prague.Receipt, [receipt["status"], *parts])
            values.append(prague.encode_receipt(transaction(item), value))
    return _root(values)


def withdrawals_root(block: dict[str, Any]) -> str:
    return _root(rlp.encode(typed(prague.Withdrawal, item)) for item in block["withdrawals"])


def bloom(logs: list[dict[str, Any]]) -> str:
    return "0x" + bytes(logs_bloom(tuple([typed(prague.Log, log) for log in logs]))).hex()


def _root(values: Iterable[Any]) -> str:
    trie: Any = Trie(secured=False, default=None)
    for index, value in enumerate(values):
        trie_set(trie, rlp.encode(Uint(index)), value)
    return "0x" + bytes(root(trie)).hex()
