"""Headers, transactions, receipts, withdrawals and blooms, encoded as the Ethereum specification does.

Oracles: the specification's own code for random values, the 54 blocks of the execution-apis' conformance chain,
and for OP-stack deposits, which Ethereum does not have, a transaction of OP Sepolia.
"""

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from ethereum.forks.prague.transactions import LegacyTransaction
from ethereum.forks.prague.transactions import encode_transaction as specified_transaction
from ethereum_rlp import rlp as specified
from hypothesis import given
from hypothesis import strategies as st

from tests.chain.answers import bundle_of, simulated
from tests.sim import specification
from tidelog.chain.blocks import AccessEntry, Authorization, Header, Receipt, Transaction, Withdrawal
from tidelog.chain.decode.strict import decode_block, decode_header, decode_receipts
from tidelog.chain.encoding import rlp
from tidelog.chain.encoding.items import (
    DEPOSIT,
    encode_block,
    encode_header,
    encode_receipt,
    encode_transaction,
    encode_withdrawal,
    keccak,
    logs_bloom,
)
from tidelog.chain.encoding.trie import ordered_root

# -- random values, as a node would answer them ---------------------------------------------------------------

u63 = st.one_of(st.integers(0, 300), st.integers(0, 2**63 - 1)).map(hex)
u256 = st.one_of(st.integers(0, 300), st.integers(0, 2**256 - 1)).map(hex)
hash32 = st.binary(min_size=32, max_size=32).map(lambda data: "0x" + data.hex())
address = st.binary(min_size=20, max_size=20).map(lambda data: "0x" + data.hex())
payload = st.one_of(st.binary(max_size=70), st.binary(min_size=250, max_size=260)).map(lambda data: "0x" + data.hex())
access_list = st.lists(
    st.fixed_dictionaries({"address": address, "storageKeys": st.lists(hash32, max_size=3)}), max_size=3
)
authorizations = st.lists(
    st.fixed_dictionaries(
        {"chainId": u256, "address": address, "nonce": u63, "yParity": st.sampled_from(["0x0", "0x1"])}
        | {"r": u256, "s": u256}
    ),
    max_size=3,
)

_BASE = {"nonce": u63, "gas": u63, "value": u256, "input": payload, "r": u256, "s": u256, "hash": hash32}
_BASE |= {"blockHash": hash32, "blockNumber": u63, "transactionIndex": u63, "from": address}
_CREATES = {"to": st.none() | address}
_TYPED = {"chainId": u63, "accessList": access_list, "yParity": st.sampled_from(["0x0", "0x1"])}
_CAPS = {"maxFeePerGas": u256, "maxPriorityFeePerGas": u256, "gasPrice": u256}
_BLOBS = {"maxFeePerBlobGas": u256, "blobVersionedHashes": st.lists(hash32, max_size=3)}
TRANSACTIONS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "0x0": _BASE | _CREATES | {"gasPrice": u256, "v": u63},
    "0x1": _BASE | _CREATES | _TYPED | {"gasPrice": u256},
    "0x2": _BASE | _CREATES | _TYPED | _CAPS,
    "0x3": _BASE | _TYPED | _CAPS | _BLOBS | {"to": address},
    "0x4": _BASE | _TYPED | _CAPS | {"authorizationList": authorizations, "to": address},
}


def transactions(kind: str) -> st.SearchStrategy[dict[str, Any]]:
    def with_v(item: dict[str, Any]) -> dict[str, Any]:
        return {"v": item.get("yParity"), "type": kind} | item

    return st.fixed_dictionaries(TRANSACTIONS[kind]).map(with_v)


@cache
def _block_with(fork: str) -> dict[str, Any]:
    return simulated(fork).parsed()[0]


def decoded(item: dict[str, Any]) -> Transaction:
    block = {**_block_with("prague"), "transactions": [item]}
    return decode_block(json.dumps(block).encode()).transactions[0]


def specified_bytes(item: dict[str, Any]) -> bytes:
    encoded = specified_transaction(specification.transaction(item))
    return specified.encode(encoded) if isinstance(encoded, LegacyTransaction) else bytes(encoded)


@pytest.mark.parametrize("kind", TRANSACTIONS)
@given(data=st.data())
def test_encodes_a_transaction_of_every_type(kind: str, data: st.DataObject) -> None:
    item = data.draw(transactions(kind))
    assert encode_transaction(decoded(item)) == specified_bytes(item)


# -- headers: by the fields that are present --------------------------------------------------------------------

_FIXED = {"parentHash": 32, "sha3Uncles": 32, "miner": 20, "stateRoot": 32, "transactionsRoot": 32, "receiptsRoot": 32}
_FIXED |= {"logsBloom": 256, "mixHash": 32, "nonce": 8, "withdrawalsRoot": 32, "parentBeaconBlockRoot": 32}
_FIXED |= {"requestsHash": 32}
FIELD_COUNTS = {"frontier": 15, "london": 16, "shanghai": 17, "cancun": 20, "prague": 21}


def header_field(name: str) -> st.SearchStrategy[str]:
    if name in _FIXED:
        return st.binary(min_size=_FIXED[name], max_size=_FIXED[name]).map(lambda data: "0x" + data.hex())
    if name == "extraData":
        return st.binary(max_size=60).map(lambda data: "0x" + data.hex())
    return u256 if name in ("difficulty", "baseFeePerGas") else u63


@pytest.mark.parametrize("fork", FIELD_COUNTS)
@given(data=st.data())
def test_encodes_a_header_of_every_fork(fork: str, data: st.DataObject) -> None:
    names = specification.HEADER[: FIELD_COUNTS[fork]]
    fields = data.draw(st.fixed_dictionaries({name: header_field(name) for name in names}))
    header = decode_header(json.dumps({**fields, "hash": "0x" + "00" * 32, "transactions": []}).encode()).header
    encoded = encode_header(header)
    items = rlp.decode(encoded)
    assert len(items) == FIELD_COUNTS[fork]
    assert "0x" + keccak(encoded).hex() == specification.header_hash(fields, fork)


def test_the_fields_that_amsterdam_appends_come_last_in_this_order() -> None:
    """A draft: the block access list's hash (EIP-7928), then the slot's number (EIP-7843)."""
    block = _block_with("prague") | {"blockAccessListHash": "0x" + "ab" * 32, "slotNumber": "0x1234"}
    items = rlp.decode(encode_header(decode_header(json.dumps(block).encode()).header))
    assert len(items) == 23
    assert items[20:] == [bytes.fromhex(block["requestsHash"][2:]), b"\xab" * 32, b"\x12\x34"]


def test_a_header_in_whose_middle_a_field_is_missing_has_no_encoding() -> None:
    appended = ("baseFeePerGas", "withdrawalsRoot", "blobGasUsed", "excessBlobGas", "parentBeaconBlockRoot")
    for name in (*appended, "mixHash", "nonce"):
        block = {key: value for key, value in _block_with("prague").items() if key != name}
        with pytest.raises(ValueError, match="missing"):
            encode_header(decode_header(json.dumps(block).encode()).header)


# -- receipts, withdrawals, blooms ------------------------------------------------------------------------------

log_fields = st.fixed_dictionaries({"address": address, "topics": st.lists(hash32, max_size=4), "data": payload})
receipt_fields = st.fixed_dictionaries(
    {"cumulativeGasUsed": u63, "logs": st.lists(log_fields, max_size=4), "status": st.sampled_from(["0x0", "0x1"])}
)


def receipt_of(fields: dict[str, Any], kind: str = "0x0") -> Receipt:
    place = {"blockHash": "0x" + "00" * 32, "blockNumber": "0x1", "transactionHash": "0x" + "00" * 32}
    answer = [{**place, "transactionIndex": "0x0", "gasUsed": "0x0", "type": kind, **fields}]
    return decode_receipts(json.dumps(answer).encode())[0]


@pytest.mark.parametrize("kind", TRANSACTIONS)
@given(data=st.data())
def test_encodes_a_receipt_of_every_type_and_its_bloom(kind: str, data: st.DataObject) -> None:
    fields: dict[str, Any] = data.draw(receipt_fields)
    receipt = receipt_of(fields, kind)
    bloom = logs_bloom(receipt.logs).to_bytes(256, "big")
    assert "0x" + bloom.hex() == specification.bloom(fields["logs"])
    encoded = encode_receipt(int(kind, 16), receipt, bloom)
    answered = {**fields, "logsBloom": "0x" + bloom.hex()}
    root = specification.receipts_root({"transactions": [_sample(kind)]}, [answered], "prague")
    assert "0x" + ordered_root([encoded]).hex() == root


@cache
def _sample(kind: str) -> dict[str, Any]:
    """Any transaction of a type: the specification encodes a receipt by its transaction."""
    return next(item for item in _block_with("prague")["transactions"] if item["type"] == kind)


@given(receipt_fields, hash32)
def test_encodes_a_receipt_from_before_byzantium(fields: dict[str, Any], state_root: str) -> None:
    del fields["status"]
    fields["root"] = state_root
    receipt = receipt_of(fields)
    bloom = logs_bloom(receipt.logs).to_bytes(256, "big")
    answered = {**fields, "logsBloom": "0x" + bloom.hex()}
    root = specification.receipts_root({"transactions": [_sample("0x0")]}, [answered], "frontier")
    assert "0x" + ordered_root([encode_receipt(0, receipt, bloom)]).hex() == root


@given(st.lists(st.fixed_dictionaries({"index": u63, "validatorIndex": u63, "address": address, "amount": u63})))
def test_encodes_withdrawals(items: list[dict[str, str]]) -> None:
    block = {**_block_with("prague"), "withdrawals": items}
    withdrawals = decode_block(json.dumps(block).encode()).withdrawals
    assert withdrawals is not None
    root = ordered_root([encode_withdrawal(item) for item in withdrawals])
    assert "0x" + root.hex() == specification.withdrawals_root(block)


# -- deposits of the OP stack -----------------------------------------------------------------------------------

# OP Sepolia, transaction 0xbf8b5f08.., as foundry and op-alloy test their own encoders by it
DEPOSIT_RAW = (
    "7ef861a0dfd7ae78bf3c414cfaa77f13c0205c82eb9365e217b2daa3448c3156b69b27ac94778f2146f48179643473b82931c4cd7b"
    "8f153efd94778f2146f48179643473b82931c4cd7b8f153efd872386f26fc10000872386f26fc10000830186a08080"
)
DEPOSIT_HASH = "0xbf8b5f08c43e4b860715cd64fc0849bbce0d0ea20a76b269e7bc8886d112fca7"
DEPOSIT_JSON = {
    "type": "0x7e",
    "hash": DEPOSIT_HASH,
    "sourceHash": "0xdfd7ae78bf3c414cfaa77f13c0205c82eb9365e217b2daa3448c3156b69b27ac",
    "from": "0x778f2146f48179643473b82931c4cd7b8f153efd",
    "to": "0x778f2146f48179643473b82931c4cd7b8f153efd",
    "mint": "0x2386f26fc10000",
    "value": "0x2386f26fc10000",
    "gas": "0x186a0",
    "isSystemTx": False,
    "input": "0x",
    "nonce": "0x12",
    "gasPrice": "0x0",
    "v": "0x0",
    "r": "0x0",
    "s": "0x0",
    "blockHash": "0x" + "00" * 32,
    "blockNumber": "0x1",
    "transactionIndex": "0x0",
}


def test_encodes_a_deposit() -> None:
    encoded = encode_transaction(decoded(DEPOSIT_JSON))
    assert encoded.hex() == DEPOSIT_RAW
    assert "0x" + keccak(encoded).hex() == DEPOSIT_HASH


@pytest.mark.parametrize(
    ("change", "at", "encoded"),  # the field's place in the list, and what stands there
    [
        ({"isSystemTx": True}, 6, b"\x01"),
        ({"isSystemTx": None}, 6, b""),
        ({"mint": None}, 3, b""),
        ({"mint": "0x0"}, 3, b""),
        ({"to": None}, 2, b""),
        ({"input": "0xff"}, 7, b"\xff"),
    ],
)
def test_encodes_the_fields_of_a_deposit_in_order(change: dict[str, Any], at: int, encoded: bytes) -> None:
    raw = encode_transaction(decoded(DEPOSIT_JSON | change))
    items = rlp.decode(raw[1:])
    assert raw[0] == DEPOSIT
    assert items[at] == encoded
    assert len(items) == 8


@pytest.mark.parametrize(
    ("fork", "fields", "tail"),
    [
        ("bedrock", {}, ""),
        ("regolith", {"depositNonce": "0x3d3bbf"}, ""),  # it is in the answer, and not in the root
        ("canyon", {"depositNonce": "0x3d3bbf", "depositReceiptVersion": "0x1"}, "833d3bbf01"),
    ],
)
def test_encodes_a_receipt_of_a_deposit(fork: str, fields: dict[str, str], tail: str) -> None:
    """Canyon's is the vector by which reth and op-alloy test theirs: status 1, gas 46,913, nonce 4,012,991."""
    receipt = receipt_of({"status": "0x1", "cumulativeGasUsed": "0xb741", "logs": [], **fields}, "0x7e")
    body = "0182b741b90100" + "00" * 256 + "c0" + tail
    encoded = encode_receipt(DEPOSIT, receipt, bytes(256))
    assert encoded.hex() == "7ef9" + f"{len(body) // 2:04x}" + body


def test_only_deposits_append_to_their_receipts() -> None:
    fields = {"status": "0x1", "cumulativeGasUsed": "0x1", "logs": []}
    plain = encode_receipt(2, receipt_of(fields, "0x2"), bytes(256))
    more = receipt_of({**fields, "depositNonce": "0x1", "depositReceiptVersion": "0x1"}, "0x2")
    assert encode_receipt(2, more, bytes(256)) == plain


# -- the conformance chain: one block a fork, from Frontier to the second blob parameter fork -------------------


def conformance_chain(shared: Path) -> list[list[Any]]:
    blocks: list[Any] = list(rlp.decode_stream((shared / "data/evm/execution-apis/chain.rlp").read_bytes()))
    return blocks


def number(item: bytes) -> int:
    return int.from_bytes(item, "big")


def header_of(items: list[bytes]) -> Header:
    """A header from its RLP, which has every field at its place; integers at 7 to 11, 15, 17 and 18."""
    values: list[Any] = [number(item) if at in (7, 8, 9, 10, 11, 15, 17, 18) else item for at, item in enumerate(items)]
    values += [None] * (23 - len(values))
    names = (
        *("parent_hash", "ommers_hash", "miner", "state_root", "transactions_root", "receipts_root", "logs_bloom"),
        *("difficulty", "number", "gas_limit", "gas_used", "timestamp", "extra_data", "mix_hash", "nonce"),
        *("base_fee_per_gas", "withdrawals_root", "blob_gas_used", "excess_blob_gas", "parent_beacon_block_root"),
        *("requests_hash", "block_access_list_hash", "slot_number"),
    )
    return Header(hash=keccak(rlp.encode(list(items))), **dict(zip(names, values, strict=True)))


FEES = "chain_id nonce max_priority_fee_per_gas max_fee_per_gas gas to value input access_list"
ORDER = {
    0: "nonce gas_price gas to value input v r s",
    1: "chain_id nonce gas_price gas to value input access_list v r s",
    2: f"{FEES} v r s",
    3: f"{FEES} max_fee_per_blob_gas blob_versioned_hashes v r s",
    4: f"{FEES} authorization_list v r s",
}


def transaction_of(item: Any) -> tuple[bytes, Transaction]:
    """What the trie holds of a transaction in a block's body, and the transaction."""
    raw = rlp.encode(item) if isinstance(item, list) else bytes(item)
    kind, fields = (0, item) if isinstance(item, list) else (raw[0], rlp.decode(raw[1:]))
    values: dict[str, Any] = dict.fromkeys(Transaction.__struct_fields__)
    values |= {"block_hash": b"", "block_number": 0, "index": 0, "hash": keccak(raw), "type": kind, "sender": b""}
    for name, field in zip(ORDER[kind].split(), fields, strict=True):
        values[name] = _value(name, field)
    return raw, Transaction(**values)


def _value(name: str, field: Any) -> Any:
    if name == "to":
        return field or None
    if name == "access_list":
        return tuple(AccessEntry(place, tuple(keys)) for place, keys in field)
    if name == "authorization_list":
        return tuple(
            Authorization(number(chain), place, *(number(item) for item in rest)) for chain, place, *rest in field
        )
    if name == "blob_versioned_hashes":
        return tuple(field)
    return field if name == "input" else number(field)


def test_hashes_and_roots_of_the_conformance_chain_hold(shared: Path) -> None:
    """Every header leads to the next by its hash, and every root over the body is the header's."""
    parent, kinds, counts, field_counts = None, set(), [0, 0, 0], set()
    for items, transactions_, uncles, *more in conformance_chain(shared):
        header = header_of(items)
        assert encode_header(header) == rlp.encode(list(items))
        assert parent is None or header.parent_hash == parent
        parent = header.hash
        field_counts.add(len(items))
        pairs = [transaction_of(item) for item in transactions_]
        for raw, transaction in pairs:
            assert encode_transaction(transaction) == raw
        assert ordered_root([encode_transaction(transaction) for _, transaction in pairs]) == header.transactions_root
        assert keccak(rlp.encode(uncles)) == header.ommers_hash
        ommers = [header_of(uncle) for uncle in uncles]
        withdrawals = [Withdrawal(number(a), number(b), c, number(d)) for a, b, c, d in (more[0] if more else ())]
        if header.withdrawals_root is not None:
            assert ordered_root([encode_withdrawal(item) for item in withdrawals]) == header.withdrawals_root
        body = [transaction for _, transaction in pairs]
        whole = encode_block(header, body, ommers, withdrawals if more else None)
        assert whole == rlp.encode([items, transactions_, uncles, *more])
        kinds |= {transaction.type for _, transaction in pairs}
        counts = [a + b for a, b in zip(counts, (1, len(pairs), len(withdrawals)), strict=True)]
    assert kinds == {0, 1, 2, 3, 4}
    assert field_counts == {15, 16, 17, 20, 21}
    assert counts[:2] == [54, 249]
    assert counts[2] > 0


def exchanges(shared: Path, method: str) -> Iterator[tuple[str, Any]]:
    """(file name, result) of the recorded request and response pairs of a method."""
    for path in sorted((shared / "data/evm/execution-apis" / method).glob("*.io")):
        answer = next(line for line in path.read_text().splitlines() if line.startswith("<<"))
        yield path.name, json.loads(answer[2:]).get("result")


def test_the_headers_that_nodes_answer_for_the_conformance_chain(shared: Path) -> None:
    seen = 0
    for method in ("eth_getBlockByNumber", "eth_getBlockByHash"):
        for name, result in exchanges(shared, method):
            if result is not None:
                header = decode_header(json.dumps(result).encode()).header
                assert keccak(encode_header(header)) == header.hash, name
                seen += 1
    assert seen >= 10


def test_the_receipts_that_nodes_answer_for_the_conformance_chain(shared: Path) -> None:
    blocks = {header.number: header for header in (header_of(items[0]) for items in conformance_chain(shared))}
    seen = set()
    for name, result in exchanges(shared, "eth_getBlockReceipts"):
        if not result:
            continue
        receipts = decode_receipts(json.dumps(result).encode())
        header = blocks[receipts[0].block_number]
        blooms = [logs_bloom(receipt.logs) for receipt in receipts]
        encoded = [
            encode_receipt(receipt.type or 0, receipt, bloom.to_bytes(256, "big"))
            for receipt, bloom in zip(receipts, blooms, strict=True)
        ]
        assert ordered_root(encoded) == header.receipts_root, name
        assert header.hash == receipts[0].block_hash
        seen.add(header.number)
    assert seen == {1, 54}


@pytest.mark.parametrize("fork", ["frontier", "prague"])
def test_a_whole_simulated_block(fork: str) -> None:
    bundle = bundle_of(simulated(fork))
    for transaction in bundle.block.transactions:
        assert keccak(encode_transaction(transaction)) == transaction.hash
