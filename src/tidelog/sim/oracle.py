"""What a chain's store has to be, said without the engine: SQL against what the simulated node holds as true.

Nothing of `tidelog.chain` or `tidelog.store` is used: a mistake there must not hide itself. Each function raises
`Violation` with the promise that is broken.
"""

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any, TypeAlias

import apsw
import msgspec

from tidelog.sim.ledger import Ledger
from tidelog.sim.transactions import keccak
from tidelog.sim.world import Violation

Json: TypeAlias = Any
Value: TypeAlias = int | str | bytes | None
Read: TypeAlias = Callable[[Json], Value]


class Standing(msgspec.Struct, frozen=True):
    """Where a whole store stands."""

    epoch: int
    commit_seq: int
    first: int
    head: int
    head_hash: bytes
    finalized: int | None
    changes: int


def require(condition: bool, promise: str) -> None:
    if not condition:
        raise Violation(promise)


def standing(connection: apsw.Connection, ledger: Ledger, before: Standing | None) -> Standing | None:
    """Check one committed state: whole, linked, true, and not behind an earlier one. None: nothing is held yet.

    Args:
        before: what an earlier look has given.
    """
    chain_id = ledger.chain_id
    found: list[Any] = connection.execute(
        "SELECT epoch, commit_seq, position FROM checkpoints WHERE source = ?", (f"chain:{chain_id}",)
    ).fetchall()
    blocks: list[Any] = connection.execute(
        "SELECT number, hash, parent_hash, transaction_count, log_count, withdrawal_count FROM blocks"
        " WHERE chain_id = ? ORDER BY number",
        (chain_id,),
    ).fetchall()
    if not found or found[0][2] is None:
        require(not blocks, "blocks are held without a checkpoint")
        require(before is None, "the checkpoint is gone")
        return None
    epoch, commit_seq, text = found[0]
    position = msgspec.json.decode(text)
    first, head, changes = position["first"], position["head"], position.get("changes", 0)
    require([block[0] for block in blocks] == list(range(first, head + 1)), "heights are contiguous, as the checkpoint")
    require(position["head_hash"] == "0x" + blocks[-1][1].hex(), "the checkpoint names the head that is held")
    require(all(a[1] == b[2] for a, b in pairwise(blocks)), "each block links to the one below it")
    for number, block_hash, *_ in blocks:
        true = ledger.by_hash(block_hash)
        require(true is not None and true.number == number, f"block {number} is one that the node had")
    for table, column in (("transactions", 3), ("logs", 4), ("withdrawals", 5)):
        counts: list[Any] = connection.execute(
            f"SELECT block_number, count(*) FROM {table} WHERE chain_id = ? GROUP BY block_number",  # noqa: S608
            (chain_id,),
        ).fetchall()
        require(
            dict(counts) == {block[0]: block[column] for block in blocks if block[column]},
            f"{table} belong to whole blocks",
        )
    require(_folded(connection, chain_id, changes) == [block[:3] for block in blocks], "changes fold to the blocks")
    finalized = position.get("finalized")
    now = Standing(epoch, commit_seq, first, head, blocks[-1][1], finalized, changes)
    if finalized is not None:
        require(position["finalized_hash"] == "0x" + blocks[finalized - first][1].hex(), "what is final is held")
    if before is not None:
        _follows(before, now)
    return now


def _follows(before: Standing, now: Standing) -> None:
    require(now.epoch >= before.epoch, "the epoch only rises")
    require(now.commit_seq >= before.commit_seq, "a commit that was reported is not lost")
    require(now.changes >= before.changes, "the outbox only grows")
    if now.commit_seq == before.commit_seq:
        same = (now.head, now.head_hash, now.first) == (before.head, before.head_hash, before.first)
        require(same, "rows move with their checkpoint")
    if before.finalized is not None:
        require(now.finalized is not None and now.finalized >= before.finalized, "finality only rises")


def _folded(connection: apsw.Connection, chain_id: int, changes: int) -> list[tuple[int, bytes, bytes]]:
    """What a follower of the outbox holds at its end."""
    rows: list[Any] = connection.execute(
        "SELECT seq, kind, number, hash, parent_hash FROM changes WHERE chain_id = ? ORDER BY seq", (chain_id,)
    ).fetchall()
    require(
        [row[0] for row in rows] == list(range(1, changes + 1)), "the outbox has no gap, and ends at the checkpoint"
    )
    held: dict[int, tuple[bytes, bytes]] = {}
    for _, kind, number, block_hash, parent_hash in rows:
        link = (block_hash, parent_hash)
        if kind == "apply":
            require(number not in held, "a block is applied where none is")
            held[number] = link
        else:
            require(held.pop(number, None) == link, "what is reverted is what was applied")
            require(number + 1 not in held, "blocks are reverted from the top")
    return [(number, *link) for number, link in sorted(held.items())]


def compared_something(connection: apsw.Connection, ledger: Ledger) -> None:
    """What is recorded as evidence about transactions comes from blocks that have some."""
    found: list[Any] = connection.execute("SELECT spec FROM chains WHERE chain_id = ?", (ledger.chain_id,)).fetchall()
    telling = sum(1 for block in ledger.blocks if block.transactions)
    for each in msgspec.json.decode(found[0][0] or "[]"):
        for check, held, failed in each.get("evidence", ()):
            if check in ("transactions", "receipts", "derived"):
                require(held + failed <= telling, f"an empty block is no evidence about {check}")


# -- field by field ---------------------------------------------------------------------------------------------


def _data(text: Json) -> Value:
    return None if text is None else bytes.fromhex(text[2:])


def _number(text: Json) -> Value:
    return None if text is None else int(text, 16)


def _wide(text: Json) -> Value:
    return None if text is None else int(text, 16).to_bytes(32, "big")


def _rlp(item: bytes | list[Any]) -> bytes:
    """Recursive length prefix, from the Yellow Paper's appendix B."""
    if isinstance(item, bytes):
        return item if len(item) == 1 and item[0] < 0x80 else _prefixed(item, 0x80)
    return _prefixed(b"".join(map(_rlp, item)), 0xC0)


def _prefixed(body: bytes, base: int) -> bytes:
    if len(body) < 56:
        return bytes([base + len(body)]) + body
    size = len(body).to_bytes((len(body).bit_length() + 7) // 8, "big")
    return bytes([base + 55 + len(size)]) + size + body


def _access_list(entries: Json) -> Value:
    if entries is None:
        return None
    raw = bytes.fromhex
    return _rlp([[raw(e["address"][2:]), [raw(key[2:]) for key in e["storageKeys"]]] for e in entries])


def _hash_list(hashes: Json) -> Value:
    return None if hashes is None else _rlp([bytes.fromhex(text[2:]) for text in hashes])


def _authorizations(items: Json) -> Value:
    if items is None:
        return None
    names = ("chainId", "address", "nonce", "yParity", "r", "s")
    return _rlp([[_item(item[name], name) for name in names] for item in items])


def _item(text: str, name: str) -> bytes:
    if name == "address":
        return bytes.fromhex(text[2:])
    value = int(text, 16)
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


HEADER: Mapping[str, tuple[str, Read]] = {  # column: (JSON field, how it is read)
    "number": ("number", _number),
    "hash": ("hash", _data),
    "parent_hash": ("parentHash", _data),
    "ommers_hash": ("sha3Uncles", _data),
    "miner": ("miner", _data),
    "state_root": ("stateRoot", _data),
    "transactions_root": ("transactionsRoot", _data),
    "receipts_root": ("receiptsRoot", _data),
    "logs_bloom": ("logsBloom", _data),
    "difficulty": ("difficulty", _wide),
    "gas_limit": ("gasLimit", _number),
    "gas_used": ("gasUsed", _number),
    "timestamp": ("timestamp", _number),
    "extra_data": ("extraData", _data),
    "mix_hash": ("mixHash", _data),
    "nonce": ("nonce", _data),
    "base_fee_per_gas": ("baseFeePerGas", _wide),
    "withdrawals_root": ("withdrawalsRoot", _data),
    "blob_gas_used": ("blobGasUsed", _number),
    "excess_blob_gas": ("excessBlobGas", _number),
    "parent_beacon_block_root": ("parentBeaconBlockRoot", _data),
    "requests_hash": ("requestsHash", _data),
}
TRANSACTION: Mapping[str, tuple[str, Read]] = {
    "tx_index": ("transactionIndex", _number),
    "hash": ("hash", _data),
    "type": ("type", _number),
    "from_address": ("from", _data),
    "to_address": ("to", _data),
    "nonce": ("nonce", _number),
    "value": ("value", _wide),
    "gas": ("gas", _number),
    "max_fee_per_gas": ("maxFeePerGas", _wide),
    "max_priority_fee_per_gas": ("maxPriorityFeePerGas", _wide),
    "max_fee_per_blob_gas": ("maxFeePerBlobGas", _wide),
    "input": ("input", _data),
    "access_list": ("accessList", _access_list),
    "blob_versioned_hashes": ("blobVersionedHashes", _hash_list),
    "authorization_list": ("authorizationList", _authorizations),
    "v": ("v", _number),
    "r": ("r", _wide),
    "s": ("s", _wide),
}
RECEIPT: Mapping[str, tuple[str, Read]] = {
    "status": ("status", _number),
    "root": ("root", _data),
    "cumulative_gas_used": ("cumulativeGasUsed", _number),
    "gas_used": ("gasUsed", _number),
    "effective_gas_price": ("effectiveGasPrice", _wide),
    "contract_address": ("contractAddress", _data),
}
LOG: Mapping[str, tuple[str, Read]] = {
    "log_index": ("logIndex", _number),
    "tx_index": ("transactionIndex", _number),
    "address": ("address", _data),
    "data": ("data", _data),
    **{f"topic{i}": ("topics", lambda topics, i=i: _data(topics[i]) if i < len(topics) else None) for i in range(4)},  # type: ignore[misc]
}
WITHDRAWAL: Mapping[str, tuple[str, Read]] = {
    "withdrawal_index": ("index", _number),
    "validator_index": ("validatorIndex", _number),
    "address": ("address", _data),
    "amount_gwei": ("amount", _number),
}


def _expected(fields: Mapping[str, tuple[str, Read]], answer: Json) -> tuple[Value, ...]:
    return tuple([read(answer.get(name)) for name, read in fields.values()])


def equals_node(connection: apsw.Connection, ledger: Ledger, *, first: int) -> None:
    """The store holds blocks `first` to the node's head, field by field, and nothing else."""
    head = ledger.head.number
    tables = {
        "blocks": ("number", list(HEADER), "number"),
        "transactions": ("block_number", [*TRANSACTION, *RECEIPT], "tx_index"),
        "logs": ("block_number", list(LOG), "log_index"),
        "withdrawals": ("block_number", list(WITHDRAWAL), "position"),
    }
    stored: dict[str, dict[int, list[tuple[Value, ...]]]] = {}
    for table, (height, columns, order) in tables.items():
        by_height: dict[int, list[tuple[Value, ...]]] = {}
        text = f"SELECT {height}, {', '.join(columns)} FROM {table} WHERE chain_id = ? ORDER BY {height}, {order}"  # noqa: S608
        rows: list[Any] = connection.execute(text, (ledger.chain_id,)).fetchall()
        for row in rows:
            by_height.setdefault(row[0], []).append(row[1:])
        stored[table] = by_height
    for number in range(first, head + 1):
        page = ledger.canonical(number).page
        block, receipts = msgspec.json.decode(page.full), msgspec.json.decode(page.receipts)
        pairs = list(zip(block["transactions"], receipts, strict=True))
        wanted = {
            "blocks": [_expected(HEADER, block)],
            "transactions": [_expected(TRANSACTION, tx) + _expected(RECEIPT, receipt) for tx, receipt in pairs],
            "logs": [_expected(LOG, log) for receipt in receipts for log in receipt["logs"]],
            "withdrawals": [_expected(WITHDRAWAL, item) for item in block.get("withdrawals") or ()],
        }
        for table, rows_wanted in wanted.items():
            require(stored[table].pop(number, []) == rows_wanted, f"{table} of block {number} are the node's")
    _uncles_are_the_nodes(connection, ledger, first=first)
    left = {table: sorted(rows) for table, rows in stored.items() if rows}
    require(not left, f"nothing is held that the node does not have: {left}")


def _uncles_are_the_nodes(connection: apsw.Connection, ledger: Ledger, *, first: int) -> None:
    """Each block's uncles are all there, or none is and its proof says so."""
    text = "SELECT block_number, hash, header FROM uncles WHERE chain_id = ? ORDER BY block_number, position"
    stored: dict[int, list[tuple[Value, ...]]] = {}
    rows: list[Any] = connection.execute(text, (ledger.chain_id,)).fetchall()
    for number, *row in rows:
        stored.setdefault(number, []).append(tuple(row))
    proofs: list[Any] = connection.execute(
        "SELECT number, proof FROM blocks WHERE chain_id = ?", (ledger.chain_id,)
    ).fetchall()
    proven = {number: "uncles+" in proof.split() for number, proof in proofs}
    for number in range(first, ledger.head.number + 1):
        wanted = [(keccak(uncle.encoded()), uncle.encoded()) for uncle in ledger.canonical(number).uncles]
        held = stored.pop(number, [])
        require(held == (wanted if proven[number] else []), f"the uncles of block {number} are the node's, or unproven")
        require(proven[number] or bool(wanted), f"that block {number} has no uncles can always be proven")
    require(not stored, "there are no uncles but those of blocks that are held")
