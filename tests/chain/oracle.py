"""What a store must hold, read from a node's JSON, field by field, by nothing of the engine's.

The lists that transactions carry are encoded by `ethereum_rlp`; everything else is hex text made into bytes
or integers. `assert_equals_node` is what most tests of the engine end with.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

from ethereum_rlp import rlp

from tests.sim.asking import ask
from tidelog.batch import Table, Value
from tidelog.chain.forks.position import Position, counts, decode_position, source_of
from tidelog.chain.maintenance.verify import verify_jobs
from tidelog.chain.rows.tables import BLOCKS, CHANGES, LOGS, TRANSACTIONS, WITHDRAWALS
from tidelog.runtime import Runtime
from tidelog.sim.node.node import SimNode
from tidelog.store import Snapshot, Store

Json: TypeAlias = Any
Expected: TypeAlias = dict[str, Value]
Read: TypeAlias = Callable[[Json], Value]


def raw(text: Json) -> bytes:
    return bytes.fromhex(text[2:])


def data(text: Json) -> Value:
    return None if text is None else raw(text)


def number(text: Json) -> Value:
    return None if text is None else int(text, 16)


def wide(text: Json) -> Value:
    return None if text is None else int(text, 16).to_bytes(32, "big")


def encoded_access_list(entries: Json) -> Value:
    if entries is None:
        return None
    return rlp.encode([[raw(e["address"]), [raw(key) for key in e["storageKeys"]]] for e in entries])


def encoded_hashes(hashes: Json) -> Value:
    return None if hashes is None else rlp.encode([raw(item) for item in hashes])


def encoded_authorizations(items: Json) -> Value:
    if items is None:
        return None
    names = ("chainId", "address", "nonce", "yParity", "r", "s")
    return rlp.encode([[raw(item[n]) if n == "address" else minimal(item[n]) for n in names] for item in items])


def minimal(quantity: str) -> bytes:
    value = int(quantity, 16)
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


HEADER: dict[str, tuple[str, Read]] = {  # column: (JSON field, how it is read)
    "number": ("number", number),
    "hash": ("hash", data),
    "parent_hash": ("parentHash", data),
    "ommers_hash": ("sha3Uncles", data),
    "miner": ("miner", data),
    "state_root": ("stateRoot", data),
    "transactions_root": ("transactionsRoot", data),
    "receipts_root": ("receiptsRoot", data),
    "logs_bloom": ("logsBloom", data),
    "difficulty": ("difficulty", wide),
    "gas_limit": ("gasLimit", number),
    "gas_used": ("gasUsed", number),
    "timestamp": ("timestamp", number),
    "extra_data": ("extraData", data),
    "mix_hash": ("mixHash", data),
    "nonce": ("nonce", data),
    "base_fee_per_gas": ("baseFeePerGas", wide),
    "withdrawals_root": ("withdrawalsRoot", data),
    "blob_gas_used": ("blobGasUsed", number),
    "excess_blob_gas": ("excessBlobGas", number),
    "parent_beacon_block_root": ("parentBeaconBlockRoot", data),
    "requests_hash": ("requestsHash", data),
    "block_access_list_hash": ("blockAccessListHash", data),
    "slot_number": ("slotNumber", number),
}
TRANSACTION: dict[str, tuple[str, Read]] = {
    "block_number": ("blockNumber", number),
    "tx_index": ("transactionIndex", number),
    "hash": ("hash", data),
    "type": ("type", number),
    "from_address": ("from", data),
    "to_address": ("to", data),
    "nonce": ("nonce", number),
    "value": ("value", wide),
    "gas": ("gas", number),
    "max_fee_per_gas": ("maxFeePerGas", wide),
    "max_priority_fee_per_gas": ("maxPriorityFeePerGas", wide),
    "max_fee_per_blob_gas": ("maxFeePerBlobGas", wide),
    "input": ("input", data),
    "access_list": ("accessList", encoded_access_list),
    "blob_versioned_hashes": ("blobVersionedHashes", encoded_hashes),
    "authorization_list": ("authorizationList", encoded_authorizations),
    "v": ("v", number),
    "r": ("r", wide),
    "s": ("s", wide),
}
RECEIPT: dict[str, tuple[str, Read]] = {
    "status": ("status", number),
    "root": ("root", data),
    "cumulative_gas_used": ("cumulativeGasUsed", number),
    "gas_used": ("gasUsed", number),
    "effective_gas_price": ("effectiveGasPrice", wide),
    "contract_address": ("contractAddress", data),
}
WITHDRAWAL: dict[str, tuple[str, Read]] = {
    "withdrawal_index": ("index", number),
    "validator_index": ("validatorIndex", number),
    "address": ("address", data),
    "amount_gwei": ("amount", number),
}
UNANSWERED = {  # columns that no answer has a field for: facts of ingestion, deposits of another kind of chain
    "blocks": {"proof", "extra", "endpoint", "ingested_at", "rows_digest"},
    "transactions": {"extra", "source_hash", "mint", "is_system_tx", "deposit_nonce", "deposit_receipt_version"},
    "logs": set[str](),
    "withdrawals": set[str](),
}


def read(fields: dict[str, tuple[str, Read]], answer: Json) -> Expected:
    return {column: reading(answer.get(name)) for column, (name, reading) in fields.items()}


def expected_rows(chain_id: int, block: Json, receipts: Json) -> dict[str, list[Expected]]:
    """By table, what the store must hold of a block."""
    transactions, logs = [], []
    for tx, receipt in zip(block["transactions"], receipts, strict=True):
        kind = int(tx["type"], 16)
        transactions.append(
            read(TRANSACTION, tx)
            | read(RECEIPT, receipt)
            | {
                "chain_id": chain_id,
                "gas_price": wide(tx["gasPrice"]) if kind < 2 else None,
                "signed_chain_id": number(tx["chainId"]) if kind else None,
                "log_count": len(receipt["logs"]),
                "covered": 1,
            }
        )
        for log in receipt["logs"]:
            topics = [data(topic) for topic in log["topics"]]
            logs.append(
                {
                    "chain_id": chain_id,
                    "block_number": number(log["blockNumber"]),
                    "log_index": number(log["logIndex"]),
                    "tx_index": number(log["transactionIndex"]),
                    "address": data(log["address"]),
                    "data": data(log["data"]),
                    "covered": 1,
                    **{f"topic{i}": topics[i] if i < len(topics) else None for i in range(4)},
                }
            )
    place = {"chain_id": chain_id, "block_number": number(block["number"])}
    withdrawals = [
        place | {"position": i} | read(WITHDRAWAL, item) for i, item in enumerate(block.get("withdrawals") or ())
    ]
    header = read(HEADER, block) | {
        "chain_id": chain_id,
        "uncles": bytes.fromhex("".join(text[2:] for text in block["uncles"])),
        "transaction_count": len(transactions),
        "log_count": len(logs),
        "withdrawal_count": len(withdrawals) if "withdrawals" in block else None,
    }
    return {"blocks": [header], "transactions": transactions, "logs": logs, "withdrawals": withdrawals}


async def stored_rows(snapshot: Snapshot, table: Table, **bounds: Any) -> list[Expected]:
    """The rows of a table as the oracle writes them."""
    left_out = UNANSWERED[table.name]
    return [
        {name: value for name, value in zip(table.names, row, strict=True) if name not in left_out}
        for row in await snapshot.select(table, **bounds)
    ]


async def held_position(store: Store, chain_id: int) -> Position | None:
    async with store.snapshot() as snapshot:
        checkpoint = await snapshot.checkpoint(source_of(chain_id))
    return None if checkpoint is None else decode_position(checkpoint)


async def folded_changes(snapshot: Snapshot, chain_id: int) -> dict[int, tuple[bytes, bytes]]:
    """What a consumer of the outbox holds after the last change: hash and parent hash by number."""
    applied: dict[int, tuple[bytes, bytes]] = {}
    for expected, row in enumerate(await snapshot.select(CHANGES, scope=chain_id), 1):
        _, seq, kind, height, block_hash, parent_hash, _ = row
        assert isinstance(height, int)
        assert isinstance(block_hash, bytes)
        assert isinstance(parent_hash, bytes)
        assert seq == expected, "the outbox has no gaps"
        ref = (block_hash, parent_hash)
        if kind == "apply":
            assert height not in applied, "a block is applied where none is"
            assert applied.get(height - 1, (parent_hash,))[0] == parent_hash, "a block is applied on its parent"
            applied[height] = ref
        else:
            assert kind == "revert"
            assert applied.pop(height) == ref, "what is reverted is what was applied"
            assert height + 1 not in applied, "blocks are reverted from the top"
    return applied


async def assert_equals_node(
    store: Store,
    node: SimNode,
    runtime: Runtime,
    *,
    first: int = 0,
    head: int | None = None,
    path: str = "/",
    proven: bool = True,
) -> None:
    """The store holds blocks `first` to `head` (None: the node's head) exactly as the node serves them.

    Args:
        proven: whether every row has to be under a root that could be checked.
    """
    chain_id = node.chain.chain_id
    last = node.chain.head.number if head is None else head
    position = await held_position(store, chain_id)
    assert position is not None
    assert (position.first, position.head) == (first, last)
    expected: dict[str, list[Expected]] = {name: [] for name in UNANSWERED}
    refs = {}
    for height in range(first, last + 1):
        block = ask(node, "eth_getBlockByNumber", hex(height), True, path=path)
        receipts = ask(node, "eth_getBlockReceipts", hex(height), path=path)
        for name, rows in expected_rows(chain_id, block, receipts).items():
            expected[name] += rows
        refs[height] = (raw(block["hash"]), raw(block["parentHash"]))
    async with store.snapshot() as snapshot:
        for table in (BLOCKS, TRANSACTIONS, LOGS, WITHDRAWALS):
            stored = await stored_rows(snapshot, table, scope=chain_id)
            rows = expected[table.name]
            if not proven:
                stored, rows = ([{**row, "covered": None} for row in each] for each in (stored, rows))
            assert stored == rows, table.name
        assert counts(position) == tuple(
            len(expected[table.name]) for table in (BLOCKS, TRANSACTIONS, LOGS, WITHDRAWALS)
        )
        assert await folded_changes(snapshot, chain_id) == refs
    assert position.head_hash == "0x" + refs[last][0].hex()
    report = await verify_jobs("", store, runtime, chain_id, low=None, high=None, jobs=1, findings_max=5)
    assert not report.findings, [str(finding) for finding in report.findings]
    assert report.blocks == last - first + 1
