"""Rows to JSON-RPC answers: what a node said comes back, field by field, up to the documented differences."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from tests.chain.answers import PROVABLE, Answers, answers_of, bundle_of, recorded, simulated
from tidelog.api.rpc.differences import DIFFERENCES
from tidelog.api.rpc.objects import (
    block_answer,
    block_size,
    logs_answer,
    place_of,
    receipt_answer,
    receipts_answer,
    transaction_answer,
)
from tidelog.batch import Row
from tidelog.chain.proof.checks import prove, rooted_count
from tidelog.chain.proof.known_chains import PROFILES
from tidelog.chain.proof.spec import ChainSpec
from tidelog.chain.rows.columns import BlockColumns, LogColumns, TransactionColumns
from tidelog.chain.rows.layout import BlockRows, to_rows
from tidelog.chain.rows.tables import BLOCKS, LOGS, TRANSACTIONS
from tidelog.sim.node.chain.block_builder import FORKS

Json: TypeAlias = Any
Found: TypeAlias = set[tuple[str, str]]

UNPROVEN = ChainSpec("unproven", checks=(), roots=False)  # for recordings of chains whose rules are their own
REFUSED = {"bittensor-testnet"}  # its authorizations lack the chain id: such an answer is never stored
ABSENT = "absent"


def rows_of(answers: Answers, spec: ChainSpec | None = None) -> BlockRows:
    spec = answers.spec if spec is None else spec
    bundle = bundle_of(answers)
    proof, covered = prove(bundle, spec), rooted_count(bundle, spec)
    return to_rows(answers.chain_id, bundle, proof, covered=covered, endpoint="http://node", ingested_at_ms=7)


def differing(kind: str, wanted: Json, given: Json) -> Found:
    names = wanted.keys() | given.keys()
    return {(kind, name) for name in names if wanted.get(name, ABSENT) != given.get(name, ABSENT)}


def compare(block: Json, receipts: Json, rows: BlockRows) -> Found:
    """The fields in which the answers made of rows differ from the node's."""
    place = place_of(rows.block)
    full, short = (json.loads(block_answer(rows, full=choice)) for choice in (True, False))
    assert short.pop("transactions") == [tx["hash"] for tx in block["transactions"]]
    assert {name: full[name] for name in short} == short
    found = differing("block", block | {"transactions": 0}, full | {"transactions": 0})
    for wanted, given, row in zip(block["transactions"], full["transactions"], rows.transactions, strict=True):
        assert json.loads(transaction_answer(place, row)) == given
        found |= differing("transaction", wanted, given)
    all_receipts = json.loads(receipts_answer(place, rows.transactions, rows.logs))
    for wanted, given, row in zip(receipts, all_receipts, rows.transactions, strict=True):
        assert json.loads(receipt_answer(place, row, logs_of(rows, row))) == given
        found |= differing("receipt", wanted | {"logs": 0}, given | {"logs": 0})
        for log, given_log in zip(wanted["logs"], given["logs"], strict=True):
            found |= differing("log", log, given_log)
    hashes = {(tx.block_number, tx.tx_index): tx.hash for tx in map(TransactionColumns._make, rows.transactions)}
    logs = json.loads(logs_answer(rows.logs, {rows.number: place}, hashes))
    assert logs == [log for receipt in all_receipts for log in receipt["logs"]]
    return found


def logs_of(rows: BlockRows, transaction: Row) -> list[Row]:
    return [log for log in rows.logs if log[3] == transaction[2]]


def recordings(shared: Path) -> Iterator[tuple[str, int, Json, Json]]:
    """Every recorded block; where its receipts are not whole, with receipts that say as little as they can."""
    for folder in sorted((shared / "data" / "evm" / "rpc").glob("*/*")):
        block = json.loads((folder / "block.json").read_bytes())
        path = folder / "receipts.json"
        receipts = json.loads(path.read_bytes()) if path.exists() else []
        if len(receipts) != len(block["transactions"]):
            receipts = [least_receipt(tx) for tx in block["transactions"]]
        yield folder.parent.name, int(folder.name), block, receipts


def least_receipt(tx: Json) -> Json:
    place = {name: tx[name] for name in ("blockHash", "blockNumber", "transactionIndex", "type", "from")}
    none = {"logs": [], "logsBloom": "0x" + "00" * 256, "to": tx.get("to"), "contractAddress": None}
    spent = {"status": "0x1", "cumulativeGasUsed": "0x0", "gasUsed": "0x0", "effectiveGasPrice": tx["gasPrice"]}
    return place | none | spent | {"transactionHash": tx["hash"]}


DOCUMENTED = {(difference.object, difference.field) for difference in DIFFERENCES}


def test_columns_are_named_as_in_the_store() -> None:
    for columns, table in ((BlockColumns, BLOCKS), (TransactionColumns, TRANSACTIONS), (LogColumns, LOGS)):
        assert columns._fields == table.names


def test_recorded_blocks_round_trip(shared: Path) -> None:
    seen: dict[str, Found] = {}
    for chain, number, block, receipts in recordings(shared):
        if chain in REFUSED:
            continue
        known = (chain, number) in PROVABLE
        answers = recorded(shared, chain, number) if known else answers_of(block, receipts, 1)
        rows = rows_of(answers, None if known else UNPROVEN)
        seen[chain] = seen.get(chain, set()) | compare(block, receipts, rows)
    assert set().union(*seen.values()) <= DOCUMENTED
    assert seen["ethereum"] == {("transaction", "blockTimestamp")}
    assert seen["arbitrum"] == {("transaction", "blockTimestamp"), ("transaction", "gasPrice")}
    assert seen["polygon"] == {("transaction", "blockTimestamp")}
    assert ("log", "logIndex") in seen["cronos"]
    assert len(seen) == 9


def test_the_specification_s_blocks_round_trip(shared: Path) -> None:
    """Blocks with whole transactions by their answers alone, receipts beside the block that they belong to."""
    blocks: dict[str, Json] = {}
    receipts: dict[str, Json] = {}
    for path in (shared / "data" / "evm" / "execution-apis").glob("eth_getBlock*/*.io"):
        asked, result = exchanged(path)
        if asked["method"] == "eth_getBlockReceipts" and result:
            receipts[result[0]["blockHash"]] = result
        elif asked["method"] != "eth_getBlockReceipts" and result and asked["params"][1]:
            blocks[result["hash"]] = result
    assert len(blocks) == 3
    for block_hash, block in blocks.items():
        rows = rows_of(answers_of(block, receipts.get(block_hash, []), 1))
        assert compare(block, receipts.get(block_hash, []), rows) == set()
        assert block_size(rows) == int(block["size"], 16)


def exchanged(path: Path) -> tuple[Json, Json]:
    asked, answered = (
        re.search(rf"^{mark} (.*)$", path.read_text(), re.MULTILINE)[1]  # type: ignore[index]
        for mark in (">>", "<<")
    )
    return json.loads(asked), json.loads(answered)["result"]


@pytest.mark.parametrize("fork", FORKS)
def test_simulated_blocks_of_every_fork_round_trip(fork: str) -> None:
    answers = simulated(fork)
    block, receipts = answers.parsed()
    rows = rows_of(answers)
    assert compare(block, receipts, rows) <= {("transaction", "blockTimestamp"), ("log", "blockTimestamp")}


def without_size(answers: Answers) -> tuple[Json, Json]:
    block, receipts = answers.parsed()
    block.pop("size", None)
    return block, receipts


def test_a_size_that_was_not_told_is_computed_where_it_can_be(shared: Path) -> None:
    for chain, number, size in (
        ("ethereum", 1000000, 768),
        ("ethereum", 4369999, 10_435),
        ("ethereum", 18000000, 289_190),
        ("ethereum", 18500000, 74_469),
        ("polygon", 50000000, 139_919),  # without its state-sync transaction
    ):
        told = recorded(shared, chain, number)
        block, receipts = without_size(told)
        given = json.loads(block_answer(rows_of(answers_of(block, receipts, told.chain_id)), full=False))
        assert given["size"] == told.parsed()[0]["size"] == hex(size)
    for chain, number in (("arbitrum", 150000000), ("cronos", 10000)):  # parts that no hash is known to be over
        told = recorded(shared, chain, number)
        block, receipts = without_size(told)
        given = json.loads(block_answer(rows_of(answers_of(block, receipts, told.chain_id)), full=False))
        assert "size" not in given
    block, receipts = without_size(simulated("prague"))
    uncles = block | {"uncles": ["0x" + "12" * 32]}
    assert "size" not in json.loads(block_answer(rows_of(answers_of(uncles, receipts, 1), UNPROVEN), full=False))


# op-geth's answers to a deposit: the attributes of the first block, before and after Regolith, and one that mints
DEPOSIT: Json = {
    "type": "0x7e",
    "hash": "0x" + "11" * 32,
    "blockHash": "0x" + "22" * 32,
    "blockNumber": "0x64",
    "blockTimestamp": "0x65555555",
    "transactionIndex": "0x0",
    "from": "0xdeaddeaddeaddeaddeaddeaddeaddeaddead0001",
    "to": "0x4200000000000000000000000000000000000015",
    "nonce": "0x5",
    "value": "0x0",
    "gas": "0xf4240",
    "gasPrice": "0x0",
    "input": "0x440a5e20",
    "v": "0x0",
    "r": "0x0",
    "s": "0x0",
    "sourceHash": "0x" + "33" * 32,
    "depositReceiptVersion": "0x1",
}
DEPOSIT_RECEIPT: Json = {
    "type": "0x7e",
    "status": "0x1",
    "cumulativeGasUsed": "0xb44c",
    "gasUsed": "0xb44c",
    "effectiveGasPrice": "0x0",
    "logs": [],
    "logsBloom": "0x" + "00" * 256,
    "transactionHash": DEPOSIT["hash"],
    "transactionIndex": "0x0",
    "blockHash": DEPOSIT["blockHash"],
    "blockNumber": "0x64",
    "from": DEPOSIT["from"],
    "to": DEPOSIT["to"],
    "contractAddress": None,
    "depositNonce": "0x5",
    "depositReceiptVersion": "0x1",
    "l1Fee": "0x0",
}
DEPOSITS: Json = (
    ({}, {}),
    ({"mint": "0xde0b6b3a7640000", "value": "0xde0b6b3a7640000"}, {}),
    ({"isSystemTx": True}, {}),
    ({"nonce": "0x0"}, {"depositNonce": ABSENT, "depositReceiptVersion": ABSENT}),  # before Regolith
)


@pytest.mark.parametrize(("transaction", "receipt"), DEPOSITS)
def test_deposits_come_back_as_the_op_stack_shows_them(transaction: Json, receipt: Json) -> None:
    tx = DEPOSIT | transaction
    answered = {name: value for name, value in (DEPOSIT_RECEIPT | receipt).items() if value != ABSENT}
    header = {name: value for name, value in simulated("prague").parsed()[0].items() if name != "transactions"}
    place = {"hash": tx["blockHash"], "number": tx["blockNumber"], "timestamp": tx["blockTimestamp"]}
    block = header | place | {"transactions": [tx]}
    rows = rows_of(answers_of(block, [answered], 10), UNPROVEN)
    assert compare(block, [answered], rows) == set()


def test_fields_that_nodes_fill_in_or_omit_have_one_form() -> None:
    block, receipts = simulated("prague").parsed()
    typed = next(tx for tx in block["transactions"] if tx["type"] == "0x2")
    wanted = json.loads(json.dumps(typed))
    typed["v"] = hex(37 + int(typed["v"], 16))  # beside the y parity, in the style of EIP-155
    legacy = next(tx for tx in block["transactions"] if tx["type"] == "0x0")
    legacy["accessList"] = []
    for receipt in receipts:
        del receipt["effectiveGasPrice"]
    given = json.loads(block_answer(rows_of(answers_of(block, receipts, 1)), full=True))["transactions"]
    by_hash = {tx["hash"]: tx for tx in given}
    assert by_hash[typed["hash"]] == wanted | {"blockTimestamp": block["timestamp"]}
    assert "accessList" not in by_hash[legacy["hash"]]


def test_profiles_that_prove_nothing_give_what_the_node_said() -> None:
    assert PROFILES[25].checks != UNPROVEN.checks
    block, receipts = simulated("prague").parsed()
    for receipt in receipts:
        receipt["effectiveGasPrice"] = "0x5"
    rows = rows_of(answers_of(block, receipts, 1), UNPROVEN)
    given = json.loads(receipts_answer(place_of(rows.block), rows.transactions, rows.logs))
    assert {receipt["effectiveGasPrice"] for receipt in given} == {"0x5"}
