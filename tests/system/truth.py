"""What must hold for a store, said without the engine: raw JSON from the node against rows from SQL.

The names of columns stand beside the names of the JSON-RPC specification; a field that stands nowhere here
has to be in the row's `extra`, so that nothing that a node says can get lost unnoticed.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from typing import Any, NamedTuple, TypeAlias

from ethereum_rlp import rlp

from tests.system.sql import View, as_integer, opened

__all__ = ["Standing", "assert_is_chain_of", "assert_whole", "standing"]

Json: TypeAlias = Any
Rpc: TypeAlias = Callable[..., Json]
Compared: TypeAlias = dict[str, Any]


class Standing(NamedTuple):
    """Where a whole store stands."""

    first: int
    head: int
    head_hash: bytes
    finalized: int | None
    changes: int
    commits: int


# -- a store that is whole --------------------------------------------------------------------------------------


def assert_whole(view: View, chain_id: int) -> Standing | None:
    """That one state of the database has no gap, no half block, and a checkpoint and an outbox that fit.

    None if nothing was committed yet.
    """
    source = f"'chain:{chain_id}'"
    checkpoints = view.rows(f"SELECT position, commit_seq FROM checkpoints WHERE source = {source}")
    blocks = view.rows(
        "SELECT number, hash, parent_hash, transaction_count, log_count, withdrawal_count FROM blocks"
        f" WHERE chain_id = {chain_id} ORDER BY number"
    )
    if not checkpoints or checkpoints[0][0] is None:
        assert not blocks, "blocks without a checkpoint"
        return None
    position, commits = json.loads(checkpoints[0][0]), checkpoints[0][1]
    numbers = [block[0] for block in blocks]
    assert numbers == list(range(position["first"], position["head"] + 1)), "the checkpoint's range has a gap"
    assert position["head_hash"] == "0x" + blocks[-1][1].hex()
    assert position["first_parent_hash"] == "0x" + blocks[0][2].hex()
    assert all(below[1] == above[2] for below, above in pairwise(blocks)), "a block does not link to its parent"
    for table, column in (("transactions", 3), ("logs", 4), ("withdrawals", 5)):
        _assert_children(view, chain_id, table, {block[0]: block[column] or 0 for block in blocks})
    _assert_outbox(view, chain_id, position["changes"], blocks)
    finalized = position.get("finalized")
    if finalized is not None:
        assert position["finalized_hash"] == "0x" + blocks[finalized - position["first"]][1].hex()
    return Standing(position["first"], position["head"], blocks[-1][1], finalized, position["changes"], commits)


def _assert_children(view: View, chain_id: int, table: str, wanted: Mapping[int, int]) -> None:
    order = {"transactions": "tx_index", "logs": "log_index", "withdrawals": "position"}[table]
    found = view.rows(
        f"SELECT block_number, count(*), min({order}), max({order}) FROM {table} WHERE chain_id = {chain_id}"
        " GROUP BY block_number"
    )
    expected = {(number, count, 0, count - 1) for number, count in wanted.items() if count}
    assert set(found) == expected, f"{table} do not belong to whole blocks"


def _assert_outbox(view: View, chain_id: int, changes: int, blocks: list[tuple[Any, ...]]) -> None:
    """`changes` is gapless, each step is possible where it stands, and its fold is the table."""
    rows = view.rows(f"SELECT seq, kind, number, hash, parent_hash FROM changes WHERE chain_id = {chain_id}")
    rows.sort()
    assert [row[0] for row in rows] == list(range(1, changes + 1)), "the outbox has a gap"
    fold: dict[int, tuple[bytes, bytes]] = {}
    for seq, kind, number, block_hash, parent_hash in rows:
        if kind == "apply":
            assert number not in fold, f"change {seq} applies block {number} twice"
            fold[number] = (block_hash, parent_hash)
        else:
            assert kind == "revert"
            assert number == max(fold), f"change {seq} reverts a block below the head"
            assert fold.pop(number) == (block_hash, parent_hash)
    assert fold == {block[0]: (block[1], block[2]) for block in blocks}, "the outbox does not lead to the blocks"


def standing(url: str, chain_id: int) -> Standing:
    """Where the store stands, which has to be whole and to hold blocks."""
    with opened(url) as view:
        found = assert_whole(view, chain_id)
    assert found is not None, "nothing was committed yet"
    return found


# -- the node's canonical chain ------------------------------------------------------------------------------------


def assert_is_chain_of(view: View, rpc: Rpc, chain_id: int) -> int:
    """That the store equals the node's canonical chain field by field; how many blocks were compared."""
    standing = assert_whole(view, chain_id)
    assert standing is not None
    latest = rpc("eth_getBlockByNumber", "latest", False)
    assert (standing.head, standing.head_hash) == (_number(latest["number"]), _data(latest["hash"]))
    stored = {table: _by_block(view, table, chain_id) for table in ("transactions", "logs", "withdrawals")}
    blocks = _by_block(view, "blocks", chain_id, column="number")
    for number in range(standing.first, standing.head + 1):
        block = rpc("eth_getBlockByNumber", hex(number), True)
        receipts = rpc("eth_getBlockReceipts", block["hash"])
        (row,) = blocks[number]
        _assert_block(block, row)
        pairs = list(zip(block["transactions"], receipts, strict=True))
        _assert_rows(stored["transactions"].get(number, []), pairs, block)
        _assert_logs(stored["logs"].get(number, []), receipts)
        _assert_withdrawals(stored["withdrawals"].get(number, []), block.get("withdrawals") or [])
    return standing.head - standing.first + 1


def _by_block(view: View, table: str, chain_id: int, column: str = "block_number") -> dict[int, list[Compared]]:
    names = COLUMNS[table]
    order = {"blocks": "number", "transactions": "tx_index", "logs": "log_index", "withdrawals": "position"}[table]
    found: dict[int, list[Compared]] = {}
    for values in view.rows(
        f"SELECT {', '.join(names)} FROM {table} WHERE chain_id = {chain_id} ORDER BY {column}, {order}"
    ):
        row = dict(zip(names, values, strict=True))
        found.setdefault(row[column], []).append(row)
    return found


def _data(text: str | None) -> bytes | None:
    return None if text is None else bytes.fromhex(text[2:])


def _number(text: str | None) -> int | None:
    return None if text is None else int(text, 16)


class Field(NamedTuple):
    """A field of the JSON, the column it goes to, and how it is written there."""

    name: str
    column: str
    read: Callable[[Json], Any]
    shown: Callable[[Any], Any] = lambda value: value


def _wide(name: str, column: str) -> Field:
    return Field(name, column, _number, as_integer)


HEADER = (
    Field("number", "number", _number),
    Field("hash", "hash", _data),
    Field("parentHash", "parent_hash", _data),
    Field("sha3Uncles", "ommers_hash", _data),
    Field("miner", "miner", _data),
    Field("stateRoot", "state_root", _data),
    Field("transactionsRoot", "transactions_root", _data),
    Field("receiptsRoot", "receipts_root", _data),
    Field("logsBloom", "logs_bloom", _data),
    _wide("difficulty", "difficulty"),
    Field("gasLimit", "gas_limit", _number),
    Field("gasUsed", "gas_used", _number),
    Field("timestamp", "timestamp", _number),
    Field("extraData", "extra_data", _data),
    Field("mixHash", "mix_hash", _data),
    Field("nonce", "nonce", _data),
    _wide("baseFeePerGas", "base_fee_per_gas"),
    Field("withdrawalsRoot", "withdrawals_root", _data),
    Field("blobGasUsed", "blob_gas_used", _number),
    Field("excessBlobGas", "excess_blob_gas", _number),
    Field("parentBeaconBlockRoot", "parent_beacon_block_root", _data),
    Field("requestsHash", "requests_hash", _data),
)
TRANSACTION = (
    Field("transactionIndex", "tx_index", _number),
    Field("hash", "hash", _data),
    Field("type", "type", _number),
    Field("from", "from_address", _data),
    Field("to", "to_address", _data),
    Field("nonce", "nonce", _number),
    _wide("value", "value"),
    Field("gas", "gas", _number),
    _wide("maxFeePerGas", "max_fee_per_gas"),
    _wide("maxPriorityFeePerGas", "max_priority_fee_per_gas"),
    _wide("maxFeePerBlobGas", "max_fee_per_blob_gas"),
    Field("input", "input", _data),
    Field("v", "v", _number),
    Field("r", "r", _number, lambda value: int.from_bytes(value, "big")),
    Field("s", "s", _number, lambda value: int.from_bytes(value, "big")),
)
RECEIPT = (
    Field("status", "status", _number),
    Field("cumulativeGasUsed", "cumulative_gas_used", _number),
    Field("gasUsed", "gas_used", _number),
    _wide("effectiveGasPrice", "effective_gas_price"),
    Field("contractAddress", "contract_address", _data),
)
COLUMNS: dict[str, list[str]] = {
    "blocks": [
        *(field.column for field in HEADER),
        *("transaction_count", "log_count", "withdrawal_count", "uncles", "extra", "proof"),
    ],
    "transactions": [
        *("block_number", "gas_price", "signed_chain_id", "access_list", "blob_versioned_hashes"),
        *("authorization_list", "root", "log_count", "covered", "extra"),
        *(field.column for field in (*TRANSACTION, *RECEIPT)),
    ],
    "logs": ["block_number", "log_index", "tx_index", "address", "topic0", "topic1", "topic2", "topic3", "data"],
    "withdrawals": ["block_number", "position", "withdrawal_index", "validator_index", "address", "amount_gwei"],
}
# said elsewhere in the answers too, or compared below in words of its own
PLACE = {"blockHash", "blockNumber", "blockTimestamp"}
LISTS = {"accessList", "blobVersionedHashes", "authorizationList"}
BLOCK_OTHERS = {"transactions", "uncles", "withdrawals"}
TRANSACTION_OTHERS = PLACE | LISTS | {"gasPrice", "chainId", "yParity"}
RECEIPT_OTHERS = PLACE | {"transactionHash", "transactionIndex", "type", "from", "to", "logs", "logsBloom", "root"}


def _assert_fields(fields: Iterable[Field], said: Json, row: Compared) -> None:
    for field in fields:
        expected = field.read(said.get(field.name))
        got = row[field.column]
        assert (None if got is None else field.shown(got)) == expected, f"{field.column} of {said.get('hash')}"


def _assert_extra(said: Json, known: set[str], extra: Json) -> None:
    assert {name: value for name, value in said.items() if name not in known} == extra


def _assert_block(block: Json, row: Compared) -> None:
    _assert_fields(HEADER, block, row)
    _assert_extra(block, {field.name for field in HEADER} | BLOCK_OTHERS, json.loads(row["extra"] or "{}"))
    assert row["transaction_count"] == len(block["transactions"])
    assert row["withdrawal_count"] == (len(block["withdrawals"]) if "withdrawals" in block else None)
    assert row["uncles"] == b"".join(bytes.fromhex(uncle[2:]) for uncle in block["uncles"])


def _assert_rows(rows: list[Compared], pairs: list[tuple[Json, Json]], block: Json) -> None:
    assert len(rows) == len(pairs)
    for row, (transaction, receipt) in zip(rows, pairs, strict=True):
        _assert_fields(TRANSACTION, transaction, row)
        _assert_fields(RECEIPT, receipt, row)
        extra = json.loads(row["extra"] or "{}")
        known = {field.name for field in TRANSACTION} | TRANSACTION_OTHERS
        _assert_extra(transaction, known, extra.get("transaction", {}))
        _assert_extra(receipt, {field.name for field in RECEIPT} | RECEIPT_OTHERS, extra.get("receipt", {}))
        _assert_others(transaction, receipt, row, block)


def _assert_others(transaction: Json, receipt: Json, row: Compared, block: Json) -> None:
    kind = int(transaction["type"], 16)
    assert (transaction["blockHash"], receipt["blockHash"]) == (block["hash"], block["hash"])
    assert (receipt["transactionHash"], receipt["type"]) == (transaction["hash"], transaction["type"])
    price = as_integer(row["gas_price"])
    assert price == (_number(transaction["gasPrice"]) if kind < 2 else None)
    assert row["signed_chain_id"] == (_number(transaction["chainId"]) if kind else None)
    assert (row["root"], row["covered"], row["log_count"]) == (None, 1, len(receipt["logs"]))
    entries = transaction.get("accessList")
    assert row["access_list"] == _rlp(
        None if entries is None else [[_data(e["address"]), [_data(k) for k in e["storageKeys"]]] for e in entries]
    )
    hashes = transaction.get("blobVersionedHashes")
    assert row["blob_versioned_hashes"] == _rlp(None if hashes is None else [_data(text) for text in hashes])
    given = transaction.get("authorizationList")
    assert row["authorization_list"] == _rlp(
        None if given is None else [[_item(a, n) for n in AUTHORIZATION] for a in given]
    )


AUTHORIZATION = ("chainId", "address", "nonce", "yParity", "r", "s")


def _item(authorization: Json, name: str) -> bytes | None:
    if name == "address":
        return _data(authorization[name])
    value = int(authorization[name], 16)
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def _rlp(value: Any) -> bytes | None:
    """By the encoder of the Ethereum specification in Python."""
    return None if value is None else bytes(rlp.encode(value))


def _assert_logs(rows: list[Compared], receipts: list[Json]) -> None:
    logs = [log for receipt in receipts for log in receipt["logs"]]
    assert len(rows) == len(logs)
    for index, (row, log) in enumerate(zip(rows, logs, strict=True)):
        topics = [_data(topic) for topic in log["topics"]] + [None] * (4 - len(log["topics"]))
        assert row["log_index"] == index == _number(log["logIndex"])
        assert row["tx_index"] == _number(log["transactionIndex"])
        assert (row["address"], row["data"]) == (_data(log["address"]), _data(log["data"]))
        assert [row[f"topic{n}"] for n in range(4)] == topics


def _assert_withdrawals(rows: list[Compared], withdrawals: list[Json]) -> None:
    expected = [
        (i, _number(w["index"]), _number(w["validatorIndex"]), _data(w["address"]), _number(w["amount"]))
        for i, w in enumerate(withdrawals)
    ]
    names = ("position", "withdrawal_index", "validator_index", "address", "amount_gwei")
    assert [tuple(row[name] for name in names) for row in rows] == expected
