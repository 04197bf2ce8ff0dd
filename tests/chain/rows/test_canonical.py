"""Two honest endpoints give the same rows, whatever they leave out or add; what follows from elsewhere is derived."""

from pathlib import Path
from typing import Any

import pytest

from tests.chain.answers import answers_of, bundle_of, proven, recorded, simulated
from tidelog.batch import Value
from tidelog.chain.proof.checks import prove
from tidelog.chain.rows.layout import BlockRows, to_rows
from tidelog.chain.rows.tables import TRANSACTIONS

pytestmark = pytest.mark.usefixtures("proofs_on_both_paths")


def cells(rows: BlockRows, i: int) -> dict[str, Value]:
    return dict(zip(TRANSACTIONS.names, rows.transactions[i], strict=True))


FEES = {"max_fee_per_gas", "max_priority_fee_per_gas"}
LISTS = {"access_list", "blob_versioned_hashes", "authorization_list"}
SETS = {  # by type: what is set of the columns that only some types have
    0: {"gas_price"},
    1: {"gas_price", "signed_chain_id", "access_list"},
    2: {"signed_chain_id", "access_list"} | FEES,
    3: {"signed_chain_id", "access_list", "max_fee_per_blob_gas", "blob_versioned_hashes"} | FEES,
    4: {"signed_chain_id", "access_list", "authorization_list"} | FEES,
}
SOME = {"gas_price", "signed_chain_id", "max_fee_per_blob_gas", "source_hash", "mint", "is_system_tx"} | FEES | LISTS


def test_a_type_s_columns_are_those_that_it_encodes() -> None:
    rows, _ = proven(simulated("prague"))
    seen = set()
    for i in range(len(rows.transactions)):
        row = cells(rows, i)
        kind = row["type"]
        assert isinstance(kind, int)
        assert {name for name in SOME if row[name] is not None} == SETS[kind]
        seen.add(kind)
    assert seen == set(SETS)


DEPOSIT: dict[str, Any] = {
    "type": "0x7e",
    "sourceHash": "0x" + "05" * 32,
    "from": "0x" + "06" * 20,
    "to": None,
    "value": "0x0",
    "gas": "0x5",
    "input": "0x",
    "nonce": "0x9",
    "gasPrice": "0x0",
    "v": "0x0",
    "r": "0x0",
    "s": "0x0",
}


def deposit(fields: dict[str, Any], receipt: dict[str, Any]) -> dict[str, Value]:
    """The row of a deposit that stands in the place of the first transaction, unproven."""
    block, receipts = simulated("shanghai").parsed()
    place = {name: block["transactions"][0][name] for name in ("blockHash", "blockNumber", "hash", "transactionIndex")}
    block["transactions"][0] = {**DEPOSIT, **place, **fields}
    receipts[0] |= {"type": "0x7e", "contractAddress": "0x" + "07" * 20, "effectiveGasPrice": "0x0", **receipt}
    bundle = bundle_of(answers_of(block, receipts, 10))
    proof = prove(bundle_of(simulated("shanghai")), simulated("shanghai").spec)
    rows = to_rows(10, bundle, proof, covered=len(receipts), endpoint="", ingested_at_ms=0)
    return cells(rows, 0)


def test_of_a_deposit_only_what_is_encoded_is_stored() -> None:
    row = deposit({}, {"depositNonce": "0x9", "depositReceiptVersion": "0x1"})
    assert {name: row[name] for name in ("nonce", "gas_price", "v", "r", "s", "signed_chain_id", "access_list")} == (
        dict.fromkeys(("nonce", "gas_price", "v", "r", "s", "signed_chain_id", "access_list"))
    )
    assert (row["deposit_nonce"], row["deposit_receipt_version"]) == (9, 1)
    assert row["contract_address"] == b"\x07" * 20, "the endpoint's word: its nonce is not the transaction's"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"mint": None}, {"mint": "0x0"}),
        ({}, {"mint": "0x0"}),
        ({"isSystemTx": False}, {}),
        ({"nonce": "0x9"}, {}),
        ({"chainId": "0xa"}, {}),
    ],
)
def test_what_endpoints_leave_out_or_spell_as_zero_gives_the_same_row(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    assert deposit(one, {}) == deposit(other, {})


def test_where_other_rules_hold_the_price_is_the_endpoint_s_word(shared: Path) -> None:
    """On Arbitrum tips are not paid: the price by Ethereum's rule would be another one."""
    answers = recorded(shared, "arbitrum", 150000000)
    rows, _ = proven(answers)
    _, receipts = answers.parsed()
    price, gas = TRANSACTIONS.index("effective_gas_price"), TRANSACTIONS.index("gas_used")
    for row, receipt in zip(rows.transactions, receipts, strict=True):
        assert row[price] == int(receipt["effectiveGasPrice"], 16).to_bytes(32, "big")
        assert row[gas] == int(receipt["gasUsed"], 16)


def test_what_an_endpoint_leaves_out_is_derived() -> None:
    answers = simulated("prague")
    block, receipts = answers.parsed()
    for receipt in receipts:
        for name in ("effectiveGasPrice", "contractAddress", "logsBloom"):
            del receipt[name]
    assert proven(answers_of(block, receipts, 1))[0].transactions == proven(answers)[0].transactions
