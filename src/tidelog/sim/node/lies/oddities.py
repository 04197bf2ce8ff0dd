"""Oddities: answers in other words than the specification's, which say the same. A client has to read them all.

Each is told by some node, provider or chain. What they make of an answer has one reading, and the store that
comes of it is the same, to the byte, as from the plain words.
"""

import re
from collections.abc import Callable
from typing import Any, TypeAlias

from tidelog.sim.node.lies.lie import BLOCK, RECEIPTS, Asked, on_call

NUMBERS = frozenset(
    {
        *("number", "difficulty", "gasLimit", "gasUsed", "timestamp", "baseFeePerGas", "blobGasUsed", "excessBlobGas"),
        *("blockNumber", "transactionIndex", "type", "nonce", "gas", "value", "chainId", "v", "yParity", "logIndex"),
        *("maxFeePerGas", "maxPriorityFeePerGas", "gasPrice", "cumulativeGasUsed", "effectiveGasPrice", "status"),
        *("index", "validatorIndex", "amount"),
    }
)
JSON_MAX = 2**53 - 1  # beyond it a client may not trust a JSON number
NO_ADDRESS = "0x" + "00" * 20
NO_HASH = "0x" + "00" * 32
NO_BLOOM = "0x" + "00" * 256
OWN_BYTES = 3_000  # of one field that the node adds, to every object

Object: TypeAlias = dict[str, Any]


def _objects(value: Any) -> list[Object]:
    """Every object of an answer, the outermost first."""
    if isinstance(value, dict):
        return [value, *(item for inner in value.values() for item in _objects(inner))]
    return [item for inner in value for item in _objects(inner)] if isinstance(value, list) else []


def _receipts(result: Any) -> list[Object]:
    return [item for item in (result if isinstance(result, list) else [result]) if isinstance(item, dict)]


def _transactions(block: Object) -> list[Object]:
    return [item for item in block["transactions"] if isinstance(item, dict)]


def _renamed(value: Any, rename: Callable[[str], str]) -> Any:
    if isinstance(value, dict):
        return {rename(name): _renamed(inner, rename) for name, inner in value.items()}
    return [_renamed(inner, rename) for inner in value] if isinstance(value, list) else value


def _is_number(item: Object, name: str, value: object) -> bool:
    if not isinstance(value, str) or name not in NUMBERS or (name == "nonce" and "miner" in item):
        return False  # a header's nonce is eight bytes, no number
    return len(value) > 2 and int(value, 16) <= JSON_MAX


@on_call(*BLOCK, *RECEIPTS, harmless=True)
def odd_numbers(asked: Asked) -> Any:
    """Quantities are JSON numbers, up to 2^53."""
    for item in _objects(asked.result):
        item |= {name: int(value, 16) for name, value in item.items() if _is_number(item, name, value)}
    return asked.result


@on_call(*BLOCK, *RECEIPTS, harmless=True)
def odd_snake_case(asked: Asked) -> Any:
    """Names of fields are in snake case."""
    return _renamed(asked.result, lambda name: re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower())


@on_call(*BLOCK, *RECEIPTS, harmless=True)
def odd_prefix(asked: Asked) -> Any:
    """The prefix of numbers is 0X."""
    for item in _objects(asked.result):
        item |= {name: "0X" + value[2:] for name, value in item.items() if _is_number(item, name, value)}
    return asked.result


@on_call(*BLOCK, *RECEIPTS, harmless=True)
def odd_none_0x(asked: Asked) -> Any:
    """Nobody, no contract and no root are 0x."""
    return _none(asked.result, "0x")


@on_call(*BLOCK, *RECEIPTS, harmless=True)
def odd_none_empty(asked: Asked) -> Any:
    """Nobody, no contract and no root are the empty text."""
    return _none(asked.result, "")


def _none(result: Any, word: str) -> Any:
    for item in _objects(result):
        for name in ("to", "contractAddress"):
            if name in item and item[name] is None:
                item[name] = word
        if "status" in item:
            item.setdefault("root", word)
    return result


@on_call(*RECEIPTS, harmless=True)
def odd_contract_zero(asked: Asked) -> Any:
    """No contract is the zero address."""
    for receipt in _receipts(asked.result):
        receipt["contractAddress"] = receipt.get("contractAddress") or NO_ADDRESS
    return asked.result


@on_call(*RECEIPTS, harmless=True)
def odd_receipt_type_missing(asked: Asked) -> Any:
    """Receipts have no type."""
    for receipt in _receipts(asked.result):
        receipt.pop("type", None)
    return asked.result


@on_call(*RECEIPTS, harmless=True)
def odd_receipt_type_null(asked: Asked) -> Any:
    """The type of receipts is null."""
    for receipt in _receipts(asked.result):
        receipt["type"] = None
    return asked.result


@on_call(*BLOCK, harmless=True)
def odd_type_null(asked: Asked) -> Any:
    """The type of transactions is null."""
    for transaction in _transactions(asked.result):
        transaction["type"] = None
    return asked.result


@on_call(*BLOCK, *RECEIPTS, harmless=True)
def odd_bloom_0x(asked: Asked) -> Any:
    """Blooms are 0x."""
    for item in _objects(asked.result):
        if "logsBloom" in item:
            item["logsBloom"] = "0x"
    return asked.result


@on_call(*RECEIPTS, harmless=True)
def odd_root_beside_status(asked: Asked) -> Any:
    """A state root of zeros beside the status."""
    for receipt in _receipts(asked.result):
        receipt.setdefault("root", NO_HASH)
    return asked.result


@on_call(*RECEIPTS, harmless=True)
def odd_logs_null(asked: Asked) -> Any:
    """No logs are null."""
    for receipt in _receipts(asked.result):
        if receipt.get("logs") == [] and receipt.get("logsBloom") == NO_BLOOM:
            receipt["logs"] = None
    return asked.result


@on_call(*BLOCK, harmless=True)
def odd_header_short(asked: Asked) -> Any:
    """A header without difficulty where it is zero, and without the hash of no uncles."""
    names = ["sha3Uncles", *(["difficulty"] if asked.result.get("difficulty") == "0x0" else [])]
    return {name: value for name, value in asked.result.items() if name not in names}


@on_call(*BLOCK, harmless=True)
def odd_zero_for_absent(asked: Asked) -> Any:
    """Zero in the header's fields of forks to come."""
    for name, zero in (
        *(("baseFeePerGas", "0x0"), ("withdrawalsRoot", NO_HASH), ("blobGasUsed", "0x0"), ("excessBlobGas", "0x0")),
        *(("parentBeaconBlockRoot", NO_HASH), ("requestsHash", NO_HASH)),
        *(("blockAccessListHash", NO_HASH), ("slotNumber", "0x0")),
    ):
        asked.result.setdefault(name, zero)
    return asked.result


@on_call(*BLOCK, harmless=True)
def odd_lists(asked: Asked) -> Any:
    """No withdrawals are null, or an empty list where there cannot be any; empty access lists are left out."""
    if not asked.result.get("withdrawals"):
        asked.result["withdrawals"] = [] if "withdrawals" not in asked.result else None
    for transaction in _transactions(asked.result):
        if transaction.get("accessList") == []:
            del transaction["accessList"]
    return asked.result


@on_call(*BLOCK, harmless=True)
def odd_input_as_data(asked: Asked) -> Any:
    """A transaction's input is named data."""
    for transaction in _transactions(asked.result):
        if "input" in transaction:
            transaction["data"] = transaction.pop("input")
    return asked.result


@on_call(*BLOCK, harmless=True)
def odd_timestamps(asked: Asked) -> Any:
    """Transactions have a blockTimestamp, as a number."""
    for transaction in _transactions(asked.result):
        transaction["blockTimestamp"] = 1_700_000_000
    return asked.result


@on_call(*BLOCK, *RECEIPTS, harmless=True)
def odd_own_fields(asked: Asked) -> Any:
    """Fields of the node's own, of several kilobytes, in every object."""
    for item in [*_objects(asked.result)]:
        if "hash" in item or "transactionHash" in item:
            item |= {"simNote": "x" * OWN_BYTES, "simTrace": ["y" * OWN_BYTES]}
    return asked.result
