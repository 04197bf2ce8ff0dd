"""Lies about receipts and logs."""

from typing import Any

import msgspec

from tidelog.sim.node.chain.methods import INVALID_PARAMS, LIMIT_EXCEEDED, METHOD_NOT_FOUND, SERVER_ERROR, RpcError
from tidelog.sim.node.lies.edits import flipped, plus_one
from tidelog.sim.node.lies.lie import RECEIPTS, SINGLE, Asked, on_call

INTERNAL_ERROR = -32603  # JSON-RPC 2.0
HASH_CHARS = 66  # of a hash as 0x text
HIDDEN_SHARE = 0.1  # of the logs of an answer
FEW_ADDRESSES = 2  # in one filter
NARROW_BLOCKS, FEW_LOGS, SLOW_BLOCKS = 7, 3, 20  # what an endpoint takes at once
LAG_BLOCKS = 3  # how far the lagging half of a balancer is behind


@on_call("eth_getBlockReceipts")
def receipts_empty(asked: Asked) -> Any:
    """A full block's receipts are []."""
    return []


@on_call("eth_getBlockReceipts")
def receipts_missing(asked: Asked) -> Any:
    """The second half of a block's receipts is missing."""
    return asked.result[: len(asked.result) // 2]


@on_call("eth_getBlockReceipts")
def receipts_null(asked: Asked) -> Any:
    """A block's receipts are null, as during a reorg."""
    return None


@on_call("eth_getBlockReceipts")
def receipts_other_fork(asked: Asked) -> Any:
    """The receipts are those of another block of the same height."""
    rival = asked.question.chain.rival(asked.block) if asked.block else None
    return msgspec.json.decode(rival.page.receipts) if rival else asked.result


@on_call("eth_getBlockReceipts")
def receipts_doubled(asked: Asked) -> Any:
    """A block's first receipt comes twice."""
    return [*asked.result[:1], *asked.result]


@on_call("eth_getBlockReceipts")
def receipts_with_nulls(asked: Asked) -> Any:
    """Every second of a block's receipts is null."""
    return [None if place % 2 else receipt for place, receipt in enumerate(asked.result)]


@on_call("eth_getBlockReceipts")
def receipts_crash(asked: Asked) -> Any:
    """eth_getBlockReceipts fails inside: "method handler crashed"."""
    raise RpcError(INTERNAL_ERROR, "method handler crashed")


@on_call("eth_getBlockReceipts")
def receipts_by_number_only(asked: Asked) -> Any:
    """eth_getBlockReceipts takes no hash: "hex number > 64 bits"."""
    return _only_numbers(asked, "invalid argument 0: hex number > 64 bits")


@on_call("eth_getBlockReceipts")
def receipts_invalid_params(asked: Asked) -> Any:
    """eth_getBlockReceipts takes no hash: "Invalid params"."""
    return _only_numbers(asked, "Invalid params")


@on_call("eth_getTransactionReceipt")
def receipt_null(asked: Asked) -> Any:
    """A single receipt is null, inside a batch or alone."""
    return None


@on_call(*RECEIPTS)
def receipt_altered(asked: Asked) -> Any:
    """A receipt's cumulative gas is off by one."""
    for receipt in _receipts(asked.result)[:1]:
        receipt["cumulativeGasUsed"] = plus_one(receipt["cumulativeGasUsed"])
    return asked.result


@on_call(*SINGLE)
def indexing(asked: Asked) -> Any:
    """Single transactions and receipts: "transaction indexing is in progress"."""
    raise RpcError(SERVER_ERROR, "transaction indexing is in progress")


@on_call("eth_getBlockReceipts")
def method_missing(asked: Asked) -> Any:
    """There is no eth_getBlockReceipts."""
    raise RpcError(METHOD_NOT_FOUND, "the method eth_getBlockReceipts does not exist/is not available")


@on_call("eth_getBlockReceipts", "eth_getLogs", *SINGLE)
def lagging_backend(asked: Asked) -> Any:
    """Headers come from one node, everything else from one that is 3 blocks behind."""
    return asked.seen_from(asked.behind(LAG_BLOCKS))


@on_call(*RECEIPTS, "eth_getLogs")
def logs_missing(asked: Asked) -> Any:
    """The last log of an answer is gone, under an unchanged hash and bloom."""
    return _without_last(asked)


def _without_last(asked: Asked) -> Any:
    for logs in reversed(_log_lists(asked)):
        if logs:
            logs.pop()
            break
    return asked.result


@on_call(*RECEIPTS)
def receipt_logs_missing(asked: Asked) -> Any:
    """The last log of a block is gone from its receipts alone; eth_getLogs has it."""
    return _without_last(asked)


@on_call(*RECEIPTS, "eth_getLogs")
def logs_at_random(asked: Asked) -> Any:
    """One log in ten is gone, wherever it is asked for."""
    for logs in _log_lists(asked):
        logs[:] = [log for log in logs if asked.rng.random() >= HIDDEN_SHARE]
    return asked.result


@on_call("eth_getLogs")
def asked_logs_missing(asked: Asked) -> Any:
    """The last log of an answer to eth_getLogs is gone; receipts have it."""
    return asked.result[:-1]


@on_call("eth_getLogs")
def asked_logs_at_random(asked: Asked) -> Any:
    """One log in ten of an answer to eth_getLogs is gone; receipts have it."""
    return [log for log in asked.result if asked.rng.random() >= HIDDEN_SHARE]


@on_call("eth_getLogs")
def asked_log_altered(asked: Asked) -> Any:
    """The data of the first log of an answer to eth_getLogs is another."""
    for log in asked.result[:1]:
        log["data"] = log["data"] + "ff"
    return asked.result


@on_call("eth_getLogs")
def asked_log_doubled(asked: Asked) -> Any:
    """An answer to eth_getLogs has a log that is not there, behind its last one."""
    return [*asked.result, *({**log, "logIndex": plus_one(log["logIndex"])} for log in asked.result[-1:])]


@on_call("eth_getLogs")
def asked_logs_other_fork(asked: Asked) -> Any:
    """The logs of the first block of an answer to eth_getLogs are those of another block of the same height."""
    if not asked.result:
        return asked.result
    first, question = asked.result[0], asked.question
    block = question.chain.at(int(first["blockNumber"], 16), question.tip)
    rival = question.chain.rival(block) if block is not None else None
    theirs = [log for log in map(msgspec.json.decode, rival.page.logs if rival else ()) if _alike(log, first)]
    if not theirs:  # there is no other: one that nobody has, with a transaction of its own
        theirs = [first | {name: flipped(first[name]) for name in ("blockHash", "transactionHash")}]
    return [*theirs, *(log for log in asked.result if log["blockNumber"] != first["blockNumber"])]


def _alike(log: Any, other: Any) -> bool:
    return bool(log["address"] == other["address"] and log["topics"][:1] == other["topics"][:1])


@on_call("eth_getLogs")
def asked_range_refused(asked: Asked) -> Any:
    """eth_getLogs takes no more than 7 blocks: "range 1000 exceeds limit of 7"."""
    wanted = asked.question.param(0)
    blocks = int(wanted["toBlock"], 16) - int(wanted["fromBlock"], 16) + 1
    if blocks > NARROW_BLOCKS:
        raise RpcError(INVALID_PARAMS, f"range {blocks} exceeds limit of {NARROW_BLOCKS}")
    return asked.result


@on_call("eth_getLogs")
def asked_addresses_refused(asked: Asked) -> Any:
    """eth_getLogs takes no more than 2 addresses: "exceed max addresses or topics per search position"."""
    if len(asked.question.param(0).get("address", ())) > FEW_ADDRESSES:
        raise RpcError(INVALID_PARAMS, "exceed max addresses or topics per search position")
    return asked.result


@on_call("eth_getLogs")
def asked_logs_many(asked: Asked) -> Any:
    """eth_getLogs gives no more than 3 logs: "query returned more than 3 results"."""
    if len(asked.result) > FEW_LOGS:
        raise RpcError(LIMIT_EXCEEDED, f"query returned more than {FEW_LOGS} results")
    return asked.result


@on_call("eth_getLogs")
def asked_logs_slow(asked: Asked) -> Any:
    """eth_getLogs runs out of time for more than 20 blocks: "query timeout exceeded, request timed out"."""
    wanted = asked.question.param(0)
    if int(wanted["toBlock"], 16) - int(wanted["fromBlock"], 16) >= SLOW_BLOCKS:
        raise RpcError(SERVER_ERROR, "query timeout exceeded, request timed out")
    return asked.result


@on_call(*RECEIPTS, "eth_getLogs")
def log_index_duplicate(asked: Asked) -> Any:
    """The second log of an answer has the first one's logIndex."""
    logs = [log for logs in _log_lists(asked) for log in logs]
    if len(logs) > 1:
        logs[1]["logIndex"] = logs[0]["logIndex"]
    return asked.result


@on_call(*RECEIPTS, "eth_getLogs")
def log_index_wrong(asked: Asked) -> Any:
    """Log indexes start again at 0 in each receipt."""
    for logs in _log_lists(asked):
        for index, log in enumerate(logs):
            log["logIndex"] = hex(index)
    return asked.result


@on_call(*RECEIPTS, "eth_getLogs")
def log_altered(asked: Asked) -> Any:
    """The first log's data is another."""
    for log in [log for logs in _log_lists(asked) for log in logs][:1]:
        log["data"] = log["data"] + "ff"
    return asked.result


@on_call(*RECEIPTS)
def receipt_bloom_wrong(asked: Asked) -> Any:
    """A receipt's bloom has one bit flipped."""
    for receipt in _receipts(asked.result)[:1]:
        receipt["logsBloom"] = flipped(receipt["logsBloom"])
    return asked.result


def _only_numbers(asked: Asked, message: str) -> Any:
    if len(str(asked.question.param(0))) == HASH_CHARS:
        raise RpcError(INVALID_PARAMS, message)
    return asked.result


def _receipts(result: Any) -> list[dict[str, Any]]:
    return result if isinstance(result, list) else [result]


def _log_lists(asked: Asked) -> list[list[dict[str, Any]]]:
    if asked.question.method == "eth_getLogs":
        return [asked.result]
    return [receipt["logs"] for receipt in _receipts(asked.result)]
