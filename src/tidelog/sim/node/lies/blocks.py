"""Lies about blocks, and about how their numbers are written."""

from typing import Any

import msgspec

from tidelog.sim.node.chain.methods import METHOD_NOT_FOUND, RpcError
from tidelog.sim.node.lies.edits import flipped, plus_one, texts, without
from tidelog.sim.node.lies.lie import BLOCK, RECEIPTS, Asked, on_call

PRUNED_CODE = 4444  # what go-ethereum answers for history it has dropped
PRUNED_DEPTH = 8  # blocks that a pruned node still has
UNCLE = ("eth_getUncleByBlockHashAndIndex",)
HISTORY = (*BLOCK, *RECEIPTS, "eth_getTransactionByHash", "eth_getLogs")
OPTIONAL = ("size", "uncles", "yParity", "chainId", "removed", "blockTimestamp", "effectiveGasPrice")


@on_call(*BLOCK)
def bloom_wrong(asked: Asked) -> Any:
    """A block's bloom has one bit flipped."""
    return asked.result | {"logsBloom": flipped(asked.result["logsBloom"])}


@on_call(*BLOCK)
def bloom_stale(asked: Asked) -> Any:
    """A block's bloom is its parent's."""
    parent = asked.question.chain.by_hash(asked.block.parent_hash) if asked.block else None
    if parent is None:
        return asked.result
    return asked.result | {"logsBloom": msgspec.json.decode(parent.page.header)["logsBloom"]}


@on_call(*BLOCK)
def parent_wrong(asked: Asked) -> Any:
    """A block's parentHash is another."""
    return asked.result | {"parentHash": flipped(asked.result["parentHash"])}


@on_call(*BLOCK)
def hash_wrong(asked: Asked) -> Any:
    """A block's hash is not the hash of its header."""
    return asked.result | {"hash": flipped(asked.result["hash"])}


@on_call(*BLOCK)
def block_other(asked: Asked) -> Any:
    """Another block than the one asked for: its parent."""
    parent = asked.question.chain.by_hash(asked.block.parent_hash) if asked.block else None
    if parent is None:
        return asked.result
    return msgspec.json.decode(parent.page.full if asked.question.flag(1) else parent.page.brief)


@on_call("eth_getBlockByNumber")
def block_stale(asked: Asked) -> Any:
    """A block asked for by its number is one that a reorg has dropped: a cache that nobody has cleared."""
    if asked.block is None or not str(asked.question.params[0]).startswith("0x"):  # tags are answered by another node
        return asked.result
    stale = asked.question.chain.dropped(asked.block.number)
    if stale is None or stale.hash == asked.block.hash:
        return asked.result
    return msgspec.json.decode(stale.page.full if asked.question.flag(1) else stale.page.brief)


@on_call(*BLOCK)
def block_null(asked: Asked) -> Any:
    """The head is null just after eth_blockNumber named it."""
    at_head = asked.block is not None and asked.block.number == asked.question.tip.number
    return None if at_head else asked.result


@on_call(*BLOCK)
def transaction_altered(asked: Asked) -> Any:
    """The first transaction's value is off by one wei."""
    for transaction in _transactions(asked.result)[:1]:
        transaction["value"] = plus_one(transaction["value"])
    return asked.result


@on_call(*BLOCK)
def transaction_missing(asked: Asked) -> Any:
    """A block's last transaction is missing."""
    return asked.result | {"transactions": asked.result["transactions"][:-1]}


@on_call(*BLOCK)
def transaction_unknown_type(asked: Asked) -> Any:
    """The first transaction is of a type that nobody knows."""
    for transaction in _transactions(asked.result)[:1]:
        transaction["type"] = "0x55"
    return asked.result


@on_call(*BLOCK)
def sender_wrong(asked: Asked) -> Any:
    """The first transaction's `from` is not who signed it."""
    for transaction in _transactions(asked.result)[:1]:
        transaction["from"] = flipped(transaction["from"])
    return asked.result


@on_call(*BLOCK)
def withdrawal_altered(asked: Asked) -> Any:
    """The first withdrawal's amount is off by one."""
    for withdrawal in asked.result.get("withdrawals", [])[:1]:
        withdrawal["amount"] = plus_one(withdrawal["amount"])
    return asked.result


@on_call(*BLOCK, *RECEIPTS)
def wide_numbers(asked: Asked) -> Any:
    """Gas used is beyond 64 bits."""
    for item in asked.result if isinstance(asked.result, list) else [asked.result]:
        item["gasUsed"] = hex(int(item["gasUsed"], 16) + 2**64)
    return asked.result


@on_call(*BLOCK, *RECEIPTS)
def zero_as_0x(asked: Asked) -> Any:
    """Zero is written 0x."""
    return texts(asked.result, lambda text: "0x" if text == "0x0" else text)


@on_call(*BLOCK, *RECEIPTS)
def leading_zeros(asked: Asked) -> Any:
    """Odd-length quantities get a leading zero."""
    return texts(asked.result, lambda text: text if len(text) % 2 == 0 else "0x0" + text[2:])


@on_call(*BLOCK, *RECEIPTS)
def uppercase_hex(asked: Asked) -> Any:
    """Hex digits are upper case."""
    return texts(asked.result, lambda text: "0x" + text[2:].upper())


@on_call(*BLOCK, *RECEIPTS)
def optional_missing(asked: Asked) -> Any:
    """Fields that can be derived or done without are left out."""
    return without(asked.result, OPTIONAL)


@on_call(*BLOCK)
def required_missing(asked: Asked) -> Any:
    """A block has no stateRoot."""
    return without(asked.result, ("stateRoot",))


@on_call(*HISTORY)
def pruned(asked: Asked) -> Any:
    """Anything below the head's 8 last blocks: "pruned history unavailable"."""
    if asked.block is None or asked.block.number > asked.question.tip.number - PRUNED_DEPTH:
        return asked.result
    raise RpcError(PRUNED_CODE, "pruned history unavailable")


@on_call(*UNCLE)
def uncle_altered(asked: Asked) -> Any:
    """An uncle's miner is another."""
    return asked.result | {"miner": flipped(asked.result["miner"])}


@on_call(*UNCLE)
def uncle_null(asked: Asked) -> Any:
    """An uncle is null, as at a node that is behind."""
    return None


@on_call(*UNCLE)
def uncle_unsupported(asked: Asked) -> Any:
    """There is no method for uncles."""
    raise RpcError(METHOD_NOT_FOUND, f"the method {asked.question.method} does not exist/is not available")


@on_call(*BLOCK)
def uncle_hash_wrong(asked: Asked) -> Any:
    """A block names another uncle than its own."""
    uncles = asked.result.get("uncles") or []  # another lie may have left them out
    return asked.result | {"uncles": [*map(flipped, uncles[:1]), *uncles[1:]]} if uncles else asked.result


@on_call(*BLOCK)
def uncles_missing(asked: Asked) -> Any:
    """A block names none of its uncles."""
    return asked.result | {"uncles": []}


def _transactions(block: dict[str, Any]) -> list[dict[str, Any]]:
    """The transactions of a block, if they are there in full."""
    return [item for item in block["transactions"] if isinstance(item, dict)]
