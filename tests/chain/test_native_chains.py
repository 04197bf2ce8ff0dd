"""Ordinary blocks of common chains are taken by the compiled core, each as the Python path takes it.

Real: the recorded blocks of Ethereum, Polygon and Arbitrum. No block of the OP stack was recorded, so its blocks are
made, by its specification: a simulated block, the deposit with the attributes of L1 before its transactions, and what
op-geth says beside Ethereum's fields in transactions and receipts. All that is committed to is computed anew.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.chain.answers import Answers, raw_of, recorded, simulated
from tests.chain.native import both, needs_core
from tests.chain.test_native import consistent
from tidelog.chain.encoding.items import keccak
from tidelog.chain.native import Declined
from tidelog.chain.proof.known_chains import PROFILES
from tidelog.chain.verify import Rules, VerifiedBlock

pytestmark = needs_core

OP_MAINNET, BASE = 10, 8453
STORAGE_ROOT = "0x" + keccak(b"the storage of the L2ToL1MessagePasser").hex()
NO_REQUESTS = "0xe3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"  # SHA-256 of nothing

# what a receipt says of the fee for L1, by fork (op-geth, core/types/receipt.go); a scalar of Bedrock is decimal text
L1_FEES: dict[str, dict[str, str]] = {
    "regolith": {"l1GasPrice": "0x5d21dba00", "l1GasUsed": "0x8f4", "l1Fee": "0x1c3b7d3a1f", "l1FeeScalar": "0.684"},
    "canyon": {"l1GasPrice": "0x5d21dba00", "l1GasUsed": "0x8f4", "l1Fee": "0x1c3b7d3a1f", "l1FeeScalar": "0.684"},
    "ecotone": {
        "l1GasPrice": "0x1dcd65000",
        "l1GasUsed": "0x640",
        "l1Fee": "0x9c5b3f21",
        "l1BaseFeeScalar": "0x558",
        "l1BlobBaseFee": "0x1",
        "l1BlobBaseFeeScalar": "0xc5fc5",
    },
    "isthmus": {
        "l1GasPrice": "0x1dcd65000",
        "l1GasUsed": "0x640",
        "l1Fee": "0x9c5b3f21",
        "l1BaseFeeScalar": "0x8dd",
        "l1BlobBaseFee": "0x1",
        "l1BlobBaseFeeScalar": "0x101c12",
        "operatorFeeScalar": "0x0",
        "operatorFeeConstant": "0x0",
    },
}
ATTRIBUTES = {"regolith": "015d8eb9", "canyon": "015d8eb9", "ecotone": "440a5e20", "isthmus": "098999be"}
BASED_ON = {"regolith": "london", "canyon": "shanghai", "ecotone": "cancun", "isthmus": "prague"}  # of Ethereum


def deposit(fork: str, nonce: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """The transaction with the attributes of L1, and its receipt (specification: Deposits, L1 attributes)."""
    tx: dict[str, Any] = {
        "type": "0x7e",
        "hash": "0x" + "00" * 32,
        "sourceHash": "0x" + keccak(bytes(31) + b"\1" + keccak(b"a block of L1" + bytes(32))).hex(),
        "from": "0xdeaddeaddeaddeaddeaddeaddeaddeaddead0001",
        "to": "0x4200000000000000000000000000000000000015",
        "value": "0x0",
        "mint": "0x0",
        "gas": "0xf4240",
        "gasPrice": "0x0",
        "nonce": hex(nonce),
        "v": "0x0",
        "r": "0x0",
        "s": "0x0",
        "input": "0x" + ATTRIBUTES[fork] + "00" * 160,
    }
    receipt: dict[str, Any] = {
        "status": "0x1",
        "from": tx["from"],
        "to": tx["to"],
        "gasUsed": "0xab1b",
        "effectiveGasPrice": "0x0",
        "contractAddress": None,
        "logs": [],
        "depositNonce": hex(nonce),  # since Regolith
    }
    if fork != "regolith":
        receipt["depositReceiptVersion"] = "0x1"  # since Canyon, and in the receipts root
        tx["depositReceiptVersion"] = "0x1"
    return tx, receipt


def op_stack(fork: str, number: int = 3) -> Answers:
    """A block of the OP stack at a fork of it."""
    block, receipts = simulated(BASED_ON[fork], number).parsed()
    pairs = [
        (tx, receipt | L1_FEES[fork])
        for tx, receipt in zip(block["transactions"], receipts, strict=True)
        if tx["type"] != "0x3"  # there are no blobs
    ]
    pairs.insert(0, deposit(fork, number))
    for tx, receipt in pairs:
        tx["blockHash"] = receipt["blockHash"] = "0x" + "00" * 32
        receipt |= {"cumulativeGasUsed": "0x0", "transactionHash": tx["hash"]}
    listed = block.pop("withdrawals", None) is not None
    if listed:
        block["withdrawalsRoot"] = STORAGE_ROOT if fork == "isthmus" else EMPTY_LIST
    if "requestsHash" in block:
        block["requestsHash"] = NO_REQUESTS
    block["transactions"] = [tx for tx, _ in pairs]
    made = consistent(block, [receipt for _, receipt in pairs], PROFILES[OP_MAINNET])
    # the list is no part of the header's hash, and is empty on every chain of the stack
    whole = json.loads(made.block) | ({"withdrawals": []} if listed else {})
    return made._replace(block=json.dumps(whole).encode(), chain_id=OP_MAINNET)


EMPTY_LIST = "0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421"


@pytest.mark.parametrize("chain_id", [OP_MAINNET, BASE])
@pytest.mark.parametrize("fork", L1_FEES)
def test_made_blocks_of_the_op_stack_are_taken(fork: str, chain_id: int) -> None:
    answers = [op_stack(fork, number) for number in (1, 2, 3)]
    outcomes = both([raw_of(each) for each in answers], [1, 2, 3], Rules(chain_id, PROFILES[chain_id]))
    for outcome in outcomes:
        assert isinstance(outcome, VerifiedBlock), outcome
        assert all(map(outcome.proof.holds, ("hash", "transactions", "receipts", "derived", "bloom")))
        said = outcome.rows.transactions[1][-1]
        assert isinstance(said, str)
        assert set(L1_FEES[fork]) <= set(json.loads(said)["receipt"])  # kept, as nothing commits to them


def test_recorded_blocks_of_common_chains_are_taken(shared: Path) -> None:
    declined: Counter[str] = Counter()
    for chain, number in (
        *(("ethereum", number) for number in (1000000, 4369999, 18000000, 18500000)),
        *(("polygon", 50000000), ("arbitrum", 150000000)),
    ):
        answers = recorded(shared, chain, number)
        (outcome,) = both([raw_of(answers)], [number], Rules(answers.chain_id, PROFILES[answers.chain_id]))
        if isinstance(outcome, Declined):
            declined[f"{chain}: {outcome.reason}"] += 1
    assert declined == {}
