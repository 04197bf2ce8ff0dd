"""Each lie and each oddity of the simulated node, and what a client sees when it is told."""

import json
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from tests.sim.asking import ask, call, full_node, ledger_of, mined_node, reply
from tidelog.sim.node.answers import Answer, Ending
from tidelog.sim.node.chain.block_builder import Shape
from tidelog.sim.node.chain.tree import BlockTree
from tidelog.sim.node.lies import LIES
from tidelog.sim.node.node import SimNode

AT = "0xf"  # a full block in the middle of the chain, not yet final
HEAD = "0x14"
Seen = Callable[[Any, Any], bool]  # given the true and the false result

FULL = ("eth_getBlockByNumber", AT, True)
RECEIPTS = ("eth_getBlockReceipts", AT)
LOGS = ("eth_getLogs", {"fromBlock": "0x0", "toBlock": "0x14"})
LOGS_OF_MANY = ("eth_getLogs", {"address": ["0x" + bytes([each] * 20).hex() for each in range(3)]})
RECEIPTS_BY_HASH = ("eth_getBlockReceipts", "0x" + ledger_of(full_node()).canonical(int(AT, 16)).hash.hex())
FINALIZED = ("eth_getBlockByNumber", "finalized", False)


def differs(*path: str | int) -> Seen:
    """Only what is at this path differs."""

    def seen(truth: Any, lied: Any) -> bool:
        inner_truth, inner_lied = truth, lied
        for step in path[:-1]:
            inner_truth, inner_lied = inner_truth[step], inner_lied[step]
        changed: bool = inner_truth[path[-1]] != inner_lied[path[-1]]
        inner_lied[path[-1]] = inner_truth[path[-1]]
        return changed and truth == lied

    return seen


def fails(code: int, words: str) -> Seen:
    return lambda _, lied: lied[0] == code and words in lied[1]


def is_null(_: Any, lied: Any) -> bool:
    return lied is None


def all_texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for inner in value.values() for text in all_texts(inner)]
    if isinstance(value, list):
        return [text for inner in value for text in all_texts(inner)]
    return [value] if isinstance(value, str) else []


def log_indexes(receipts: Any) -> list[int]:
    return [int(log["logIndex"], 16) for receipt in receipts for log in receipt["logs"]]


def logs_of(receipts: Any) -> list[Any]:
    return [log for receipt in receipts for log in receipt["logs"]]


def hides(truth: Any, lied: Any) -> bool:
    return lied != truth and all(log in logs_of(truth) for log in logs_of(lied))


def receipts_have(name: str, value: object) -> Seen:
    return lambda truth, lied: lied != truth and any(receipt.get(name) == value for receipt in lied)


def transactions_have(name: str, value: object) -> Seen:
    return lambda truth, lied: lied != truth and all(item.get(name) == value for item in lied["transactions"])


RESULTS: dict[str, tuple[tuple[Any, ...], Seen]] = {
    # receipts and logs
    "receipts_doubled": (RECEIPTS, lambda truth, lied: lied == [truth[0], *truth]),
    "receipts_with_nulls": (RECEIPTS, lambda truth, lied: lied[0] == truth[0] and lied[1] is None),
    "receipts_crash": (RECEIPTS, fails(-32603, "method handler crashed")),
    "receipts_by_number_only": (RECEIPTS_BY_HASH, fails(-32602, "hex number > 64 bits")),
    "receipts_invalid_params": (RECEIPTS_BY_HASH, fails(-32602, "Invalid params")),
    "receipts_empty": (RECEIPTS, lambda _, lied: lied == []),
    "receipts_missing": (RECEIPTS, lambda truth, lied: lied == truth[: len(truth) // 2]),
    "receipts_null": (RECEIPTS, is_null),
    "receipts_other_fork": (
        RECEIPTS,
        lambda truth, lied: lied[0]["blockNumber"] == AT and lied[0]["blockHash"] != truth[0]["blockHash"],
    ),
    "receipt_null": (("eth_getTransactionReceipt", "a transaction"), is_null),
    "receipt_altered": (RECEIPTS, differs(0, "cumulativeGasUsed")),
    "receipt_bloom_wrong": (RECEIPTS, differs(0, "logsBloom")),
    "indexing": (("eth_getTransactionReceipt", "a transaction"), fails(-32000, "indexing is in progress")),
    "method_missing": (RECEIPTS, fails(-32601, "eth_getBlockReceipts")),
    "lagging_backend": (("eth_getBlockReceipts", HEAD), is_null),
    "logs_missing": (RECEIPTS, lambda truth, lied: logs_of(lied) == logs_of(truth)[:-1]),
    "log_index_duplicate": (RECEIPTS, lambda _, lied: log_indexes(lied)[:2] == [0, 0]),
    "log_index_wrong": (RECEIPTS, lambda _, lied: log_indexes(lied).count(0) == len(lied)),
    "log_altered": (RECEIPTS, differs(0, "logs", 0, "data")),
    "receipt_logs_missing": (RECEIPTS, lambda truth, lied: logs_of(lied) == logs_of(truth)[:-1]),
    "logs_at_random": (
        RECEIPTS,
        lambda truth, lied: lied != truth and all(log in logs_of(truth) for log in logs_of(lied)),
    ),
    "asked_logs_missing": (LOGS, lambda truth, lied: lied == truth[:-1]),
    "asked_logs_at_random": (LOGS, lambda truth, lied: lied != truth and all(log in truth for log in lied)),
    "asked_log_altered": (LOGS, differs(0, "data")),
    "asked_log_doubled": (LOGS, lambda truth, lied: lied[:-1] == truth and lied[-1] not in truth),
    "asked_logs_other_fork": (
        LOGS,
        lambda truth, lied: (
            (lied[0]["blockNumber"], lied[-1]) == (truth[0]["blockNumber"], truth[-1])
            and lied[0]["blockHash"] != truth[0]["blockHash"]
        ),
    ),
    "asked_range_refused": (LOGS, fails(-32602, "exceeds limit of 7")),
    "asked_addresses_refused": (LOGS_OF_MANY, fails(-32602, "exceed max addresses")),
    "asked_logs_many": (LOGS, fails(-32005, "returned more than 3 results")),
    "asked_logs_slow": (LOGS, fails(-32000, "timed out")),
    # blocks
    "bloom_wrong": (FULL, differs("logsBloom")),
    "bloom_stale": (FULL, differs("logsBloom")),
    "parent_wrong": (FULL, differs("parentHash")),
    "hash_wrong": (FULL, differs("hash")),
    "block_other": (FULL, lambda truth, lied: lied["hash"] == truth["parentHash"]),
    "block_null": (("eth_getBlockByNumber", HEAD, True), is_null),
    "transaction_altered": (FULL, differs("transactions", 0, "value")),
    "transaction_missing": (
        FULL,
        lambda truth, lied: lied["transactions"] == truth["transactions"][:-1],
    ),
    "transaction_unknown_type": (FULL, differs("transactions", 0, "type")),
    "sender_wrong": (FULL, differs("transactions", 0, "from")),
    "withdrawal_altered": (FULL, differs("withdrawals", 0, "amount")),
    "wide_numbers": (FULL, lambda _, lied: int(lied["gasUsed"], 16) >= 2**64),
    "zero_as_0x": (FULL, lambda _, lied: lied["difficulty"] == "0x"),
    "leading_zeros": (FULL, lambda _, lied: lied["number"] == "0x0f"),
    "uppercase_hex": (
        FULL,
        lambda truth, lied: (
            lied["hash"] == "0x" + truth["hash"][2:].upper() and not set("abcdef") & set("".join(all_texts(lied)))
        ),
    ),
    "optional_missing": (
        FULL,
        lambda truth, lied: set(truth) - set(lied) == {"size", "uncles"} and "yParity" not in str(lied),
    ),
    "required_missing": (FULL, lambda truth, lied: set(truth) - set(lied) == {"stateRoot"}),
    # oddities
    "odd_numbers": (FULL, lambda truth, lied: lied["number"] == 15 and lied["hash"] == truth["hash"]),
    "odd_snake_case": (FULL, lambda truth, lied: lied["parent_hash"] == truth["parentHash"] and "miner" in lied),
    "odd_prefix": (FULL, lambda _, lied: lied["number"] == "0Xf"),
    "odd_none_0x": (RECEIPTS, receipts_have("root", "0x")),
    "odd_none_empty": (RECEIPTS, receipts_have("root", "")),
    "odd_contract_zero": (RECEIPTS, receipts_have("contractAddress", "0x" + "00" * 20)),
    "odd_receipt_type_missing": (RECEIPTS, lambda _, lied: all("type" not in receipt for receipt in lied)),
    "odd_receipt_type_null": (RECEIPTS, receipts_have("type", None)),
    "odd_type_null": (FULL, transactions_have("type", None)),
    "odd_bloom_0x": (FULL, lambda _, lied: lied["logsBloom"] == "0x"),
    "odd_root_beside_status": (RECEIPTS, receipts_have("root", "0x" + "00" * 32)),
    "odd_logs_null": (("eth_getTransactionReceipt", "a silent transaction"), lambda _, lied: lied["logs"] is None),
    "odd_header_short": (FULL, lambda truth, lied: set(truth) - set(lied) == {"difficulty", "sha3Uncles"}),
    "odd_zero_for_absent": (FULL, lambda _, lied: lied["slotNumber"] == "0x0"),
    "odd_lists": (FULL, lambda truth, lied: "accessList" in str(truth) and "'accessList': []" not in str(lied)),
    "odd_input_as_data": (FULL, transactions_have("input", None)),
    "odd_timestamps": (FULL, transactions_have("blockTimestamp", 1_700_000_000)),
    "odd_own_fields": (FULL, lambda _, lied: len(lied["simNote"]) > 1_000),
    "pruned": (("eth_getBlockByNumber", "0x2", False), fails(4444, "pruned history unavailable")),
    # heads, finality, identity
    "heads_flap": (("eth_blockNumber",), lambda truth, lied: 1 <= int(truth, 16) - int(lied, 16) <= 4),
    "finalized_missing": (FINALIZED, fails(-32000, "finalized block not found")),
    "finalized_zero": (FINALIZED, lambda _, lied: lied["number"] == "0x0"),
    "finalized_backwards": (
        FINALIZED,
        lambda truth, lied: int(lied["number"], 16) < int(truth["number"], 16),
    ),
    "finalized_conflict": (
        FINALIZED,
        lambda truth, lied: lied["number"] == truth["number"] and lied["hash"] != truth["hash"],
    ),
    "chain_id_wrong": (("eth_chainId",), lambda _, lied: lied == hex(1338)),
    "chain_id_huge": (("eth_chainId",), lambda _, lied: len(lied) == 1_000_002),
    "syncing": (("eth_syncing",), lambda _, lied: lied["highestBlock"] == hex(1020)),
    "internal_error": (("eth_blockNumber",), fails(-32603, "internal error")),
    "rate_limited_200": (("eth_blockNumber",), fails(-32005, "rate exceeded")),
}


def one(answer: Answer) -> Any:
    return json.loads(answer.body)


TRANSPORT: dict[str, Callable[[Answer], bool]] = {  # what becomes of a call, sent to /v2/SECRET
    "throttle": lambda seen: (seen.status, dict(seen.headers)["retry-after"]) == (429, "1"),
    "throttle_date": lambda seen: parsedate_to_datetime(dict(seen.headers)["retry-after"]).timestamp() == 1_700_000_001,
    "throttle_silent": lambda seen: seen.status == 429 and "retry-after" not in dict(seen.headers),
    "too_large": lambda seen: seen.status == 413,
    "bad_gateway": lambda seen: seen.status == 502 and seen.body.startswith(b"<html>"),
    "html_200": lambda seen: seen.status == 200 and seen.body.startswith(b"<html>"),
    "redirect": lambda seen: seen.status == 307 and "location" in dict(seen.headers),
    "cut": lambda seen: seen.ending is Ending.CUT and b"jsonrpc" in seen.body,
    "truncated": lambda seen: seen.ending is Ending.COMPLETE and not seen.body.endswith(b"}"),
    "empty_body": lambda seen: (seen.status, seen.body) == (200, b""),
    "endless": lambda seen: seen.ending is Ending.ENDLESS,
    "reset": lambda seen: seen.ending is Ending.RESET,
    "stall": lambda seen: seen.ending is Ending.STALL,
    "stall_body": lambda seen: (seen.status, seen.body, seen.ending) == (200, b"", Ending.HANG),
    "trickle": lambda seen: seen.ending is Ending.TRICKLE and b"jsonrpc" in seen.body,
    "id_wrong": lambda seen: one(seen)["id"] not in (None, 1),
    "result_missing": lambda seen: not {"result", "error"} & set(one(seen)),
    "key_echoed": lambda seen: "SECRET" in one(seen)["error"]["message"],
}

BATCHES: dict[str, Callable[[Any], bool]] = {  # what becomes of a batch of the ids 1, 2, 3
    "batch_reordered": lambda seen: [item["id"] for item in seen] == [3, 2, 1],
    "batch_short": lambda seen: [item["id"] for item in seen] == [1, 2],
    "batch_doubled": lambda seen: [item["id"] for item in seen] == [1, 1, 2, 3],
    "batch_refused": lambda seen: seen["id"] is None and "batches" in seen["error"]["message"],
}

PUSHED: dict[str, Callable[[list[list[int]]], bool]] = {  # heads announced for 4 x 2 new blocks
    "new_heads_skip": lambda seen: sum(len(heads) for heads in seen) < 5 and all(len(h) < 2 for h in seen),
    "new_heads_stall": lambda seen: seen == [[], [], [], []],
    "new_heads_backwards": lambda seen: seen[0] == [21, 22, 21],
}


UNCLE = ("eth_getUncleByBlockHashAndIndex", "its hash", "0x1")
UNCLES: dict[str, tuple[tuple[Any, ...], Seen]] = {
    "uncle_altered": (UNCLE, differs("miner")),
    "uncle_null": (UNCLE, is_null),
    "uncle_unsupported": (UNCLE, fails(-32601, "does not exist")),
    "uncle_hash_wrong": (FULL, differs("uncles", 0)),
    "uncles_missing": (FULL, lambda truth, lied: len(truth["uncles"]) == 2 and lied["uncles"] == []),
}


@pytest.mark.parametrize("name", UNCLES)
def test_a_lie_about_uncles(name: str) -> None:
    node = mined_node()
    (method, *params), seen = UNCLES[name]
    params = ["0x" + ledger_of(node).canonical(15).hash.hex() if param == "its hash" else param for param in params]
    truth = ask(node, method, *params)
    node.tell(name)
    assert seen(truth, ask(node, method, *params))
    assert node.told[name] == 1


def test_every_lie_is_in_one_of_the_tables() -> None:
    tables = [*RESULTS, *UNCLES, *TRANSPORT, *BATCHES, *PUSHED, "method_refused_whole", "block_stale"]
    assert sorted(tables) == sorted(LIES)


def test_a_stale_block_is_one_that_was_dropped() -> None:
    node = full_node()
    dropped = ask(node, *FULL)
    ledger_of(node).reorg(8)
    truth, tagged = ask(node, *FULL), ask(node, *FINALIZED)
    node.tell("block_stale")
    assert dropped != truth
    assert ask(node, *FULL) == dropped
    assert ask(node, "eth_getBlockByHash", truth["hash"], True) == truth
    assert ask(node, *FINALIZED) == tagged
    assert node.told["block_stale"] == 1


@pytest.mark.parametrize("name", RESULTS)
def test_a_lie_in_a_result(name: str) -> None:
    (method, *params), seen = RESULTS[name]
    node = full_node(seed=3)
    if params == ["a transaction"]:
        params = ["0x" + ledger_of(node).canonical(15).transactions[0].hash.hex()]
    if params == ["a silent transaction"]:
        node = SimNode(BlockTree(shape=Shape(transactions=(3, 3), logs=(0, 0)), blocks=2))
        params = ["0x" + ledger_of(node).canonical(2).transactions[0].hash.hex()]
    truth = ask(node, method, *params)
    node.tell(name)
    assert seen(truth, ask(node, method, *params))
    assert node.told[name] == 1
    node.honest()
    assert ask(node, method, *params) == truth


@pytest.mark.parametrize("name", TRANSPORT)
def test_a_lie_in_the_transport(name: str) -> None:
    node = full_node()
    node.tell(name)
    seen = node.handle("/v2/SECRET", json.dumps(call("eth_blockNumber")).encode(), now=1_700_000_000.0)
    assert TRANSPORT[name](seen)
    assert node.told[name] == 1


@pytest.mark.parametrize("name", BATCHES)
def test_a_lie_about_a_batch(name: str) -> None:
    node = full_node()
    node.tell(name)
    assert ask(node, "eth_blockNumber") == HEAD, "a single call is answered as it should"
    assert BATCHES[name](reply(node, [call("eth_blockNumber", call_id=number) for number in (1, 2, 3)]))


def test_a_method_that_a_request_is_refused_for_as_a_whole() -> None:
    node = full_node()
    node.tell("method_refused_whole")
    calls = [call("eth_blockNumber"), call(*RECEIPTS)]
    assert ask(node, "eth_blockNumber") == HEAD
    for asked in (calls, calls[1]):
        seen = node.handle("/", json.dumps(asked).encode())
        assert (seen.status, one(seen)["error"]["message"]) == (400, "Unsupported method: eth_getBlockReceipts")


@pytest.mark.parametrize("name", PUSHED)
def test_a_lie_in_new_heads(name: str) -> None:
    node = full_node()
    node.tell(name)
    assert PUSHED[name](announced(node))


def announced(node: SimNode) -> list[list[int]]:
    last, heads = ledger_of(node).head.hash, []
    for _ in range(4):
        ledger_of(node).extend(2)
        headers, last = node.announce(node.replicas[0], last)
        heads.append([int(json.loads(header)["number"], 16) for header in headers])
    return heads


def test_a_null_receipt_inside_a_batch_leaves_the_others() -> None:
    node = full_node()
    hashes = ["0x" + item.hash.hex() for item in ledger_of(node).canonical(15).transactions[:3]]
    node.tell("receipt_null", times=1)
    batch = [call("eth_getTransactionReceipt", text) for text in hashes]
    assert [item["result"] is None for item in reply(node, batch)] == [True, False, False]


def test_block_null_shows_just_after_the_head_was_named() -> None:
    node = full_node()
    node.tell("block_null", times=1)
    head = ask(node, "eth_blockNumber")
    assert ask(node, "eth_getBlockByNumber", head, False) is None
    assert ask(node, "eth_getBlockByNumber", head, False)["number"] == head


def test_a_lie_stops_after_so_many_times() -> None:
    node = full_node()
    node.tell("receipts_empty", times=2)
    assert [ask(node, *RECEIPTS) == [] for _ in range(4)] == [True, True, False, False]
    assert node.told["receipts_empty"] == 2


def test_the_node_knows_which_blocks_it_gave_without_their_size() -> None:
    node = full_node()
    node.tell("optional_missing")
    node.tell("odd_own_fields")
    ask(node, "eth_getBlockByNumber", "0x6", False)
    ask(node, "eth_getBlockReceipts", "0x6")
    assert not node.sizeless, "neither a header nor receipts are a block in full"
    ask(node, "eth_getBlockByNumber", "0x7", True)
    node.honest()
    ask(node, "eth_getBlockByNumber", "0x8", True)
    assert node.sizeless == {ledger_of(node).canonical(7).hash}


def test_a_lie_that_changes_nothing_is_not_told() -> None:
    node = full_node()
    node.tell("receipts_empty", times=1)
    assert ask(node, "eth_getBlockReceipts", "0x0") == [], "the genesis is empty, in truth"
    assert ask(node, *RECEIPTS) == []


def test_a_lie_keeps_to_its_blocks_and_its_replica() -> None:
    node = full_node(replicas=2)
    node.tell("receipts_empty", replica=1, blocks={15})
    lied = {
        (path, at)
        for path in ("/replica-0", "/replica-1")
        for at in ("0xe", "0xf")
        if ask(node, "eth_getBlockReceipts", at, path=path) == []
    }
    assert lied == {("/replica-1", "0xf")}


def test_a_probability_is_drawn_from_the_seed_and_from_nothing_else() -> None:
    def told(*others: str, seed: int = 1) -> list[bool]:
        node = full_node(seed=seed)
        for name in ("receipts_empty", *others):
            node.tell(name, probability=0.5)
        return [ask(node, *RECEIPTS) == [] for _ in range(40)]

    assert told() == told()
    assert told() == told("heads_flap", "parent_wrong"), "another lie takes no draw away"
    assert told() != told(seed=2)
    assert 5 < sum(told()) < 35


def test_an_unknown_lie_is_refused() -> None:
    with pytest.raises(KeyError):
        full_node().tell("nonsense")
