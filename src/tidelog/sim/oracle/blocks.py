"""What the rows of a chain's blocks have to be, column by column, said without the engine: what the simulated node
holds as true, and what its blocks allow to be proven.

Each function raises `Violation` with the promise that is broken.
"""

import hashlib
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeAlias

import apsw
import msgspec

from tidelog.sim.node.chain.blocks import Block
from tidelog.sim.node.chain.transactions import keccak
from tidelog.sim.node.chain.tree import BlockTree
from tidelog.sim.node.lies.oddities import OWN_BYTES
from tidelog.sim.oracle.chain import decoded, require

Json: TypeAlias = Any
Value: TypeAlias = int | str | bytes | None
Read: TypeAlias = Callable[[Json], Value]
Rows: TypeAlias = list[dict[str, Value]]

OWN_FIELDS: Mapping[str, Json] = {  # that a node may add to anything; in lower case, and without underscores
    "simnote": "x" * OWN_BYTES,
    "simtrace": ["y" * OWN_BYTES],
    "blocktimestamp": 1_700_000_000,
}


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
    "block_access_list_hash": ("blockAccessListHash", _data),
    "slot_number": ("slotNumber", _number),
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
    "source_hash": ("sourceHash", _data),
    "mint": ("mint", _wide),
    "is_system_tx": ("isSystemTx", _number),
}
RECEIPT: Mapping[str, tuple[str, Read]] = {
    "status": ("status", _number),
    "root": ("root", _data),
    "cumulative_gas_used": ("cumulativeGasUsed", _number),
    "gas_used": ("gasUsed", _number),
    "effective_gas_price": ("effectiveGasPrice", _wide),
    "contract_address": ("contractAddress", _data),
    "deposit_nonce": ("depositNonce", _number),
    "deposit_receipt_version": ("depositReceiptVersion", _number),
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


CHECKS = ("hash", "parent", "uncles", "transactions", "receipts", "derived", "bloom", "withdrawals", "senders")
_RESULT = re.compile(r"(\w+)([+?-])(?:\(([^)]+)\))?")


def _read(fields: Mapping[str, tuple[str, Read]], answer: Json) -> dict[str, Value]:
    return {column: read(answer.get(name)) for column, (name, read) in fields.items()}


class Facts(msgspec.Struct, frozen=True):
    """What the run knows beside the blocks."""

    replicas: int
    clock_ms: tuple[int, int]  # the lowest and highest time that the wall clock has shown
    oddity: str = ""
    odd_from: int = 0
    # of a selection, which logs are held, by address and first topic, and from which block on
    selected: Mapping[tuple[bytes, bytes], int] | None = None
    sizeless: Collection[bytes] = ()  # hashes of the blocks that a replica has given without their size


def equals_node(connection: apsw.Connection, tree: BlockTree, facts: Facts) -> None:
    """The store holds all blocks of the node up to its head, column by column, and nothing else."""
    order = {"blocks": "number", "transactions": "tx_index", "logs": "log_index"}
    stored = {
        table: _by_block(connection, table, order.get(table, "position"), tree.chain_id)
        for table in ("blocks", "transactions", "logs", "withdrawals", "uncles")
    }
    lowered = _lowered(connection, tree, facts)
    for number in range(tree.head.number + 1):
        block = tree.canonical(number)
        rows = {table: by_block.pop(number, []) for table, by_block in stored.items()}
        require(len(rows["blocks"]) == 1, f"block {number} is stored once")
        row = rows["blocks"][0]
        signs = _signs(block, str(row["proof"]), facts, lowered)
        wanted = _wanted(tree.chain_id, block, signs)
        if facts.selected is not None:
            _narrow(wanted, facts.selected)
        digest = _digest(rows)
        require(row.pop("rows_digest") == digest, f"the digest of block {number} is over its rows")
        row.pop("proof")
        if (
            signs["uncles"] == "?" and facts.selected is None
        ):  # nothing proves which they are: as many as there are is all that can be said
            named, true = row.pop("uncles"), wanted["blocks"][0].pop("uncles")
            as_many = isinstance(named, bytes) and isinstance(true, bytes) and len(named) == len(true)
            require(as_many, f"block {number} names as many uncles as it has")
        _says_whence(row, block, facts)
        receipts = msgspec.json.decode(block.page.receipts)
        for row in rows["transactions"]:
            index: Any = row["tx_index"]
            receipt = receipts[index] if index < len(receipts) else {}
            _adds_both(row.pop("extra"), receipt, f"transaction {row['tx_index']!r} of block {number}")
        for table, rows_wanted in wanted.items():
            require(
                rows[table] == rows_wanted,
                f"{table} of block {number} are the node's{_differing(rows[table], rows_wanted)}",
            )
    left = {table: sorted(rows) for table, rows in stored.items() if rows}
    require(not left, f"nothing is stored that the node does not have: {left}")


def segments_follow(connection: apsw.Connection, chain_id: int, rows_max: int) -> None:
    """The segments follow from the blocks alone, counted from the first, and each row is in that of its block."""
    counts: dict[int, int] = {}
    segments: dict[str, dict[int, set[int]]] = {}
    for table in ("transactions", "logs"):
        segments[table] = {}
        for number, segment in connection.execute(f"SELECT block_number, segment FROM {table}"):  # noqa: S608
            counts[number] = counts.get(number, 0) + 1
            segments[table].setdefault(number, set()).add(segment)
    wanted: list[list[int]] = []
    for number, count in sorted(counts.items()):
        if not wanted or wanted[-1][3] >= rows_max:
            wanted.append([len(wanted), number, number, 0, chain_id])
        wanted[-1][2] = number
        wanted[-1][3] += count
        for table, found in segments.items():
            require(
                found.get(number, {wanted[-1][0]}) == {wanted[-1][0]}, f"{table} of block {number} are in its segment"
            )
    stored = [
        list(row) for row in connection.execute("SELECT segment, first, last, rows, scope FROM segments ORDER BY first")
    ]
    require(stored == wanted, f"the segments follow from the blocks: {stored} where {wanted} belong")


def segments_hold(connection: apsw.Connection, chain_id: int) -> None:
    """Of a selection, in whose blocks rows come and go: segments ascend, and each has the rows of its blocks."""
    query = "SELECT scope, segment, first, last, rows FROM segments ORDER BY segment"
    stored: list[Any] = connection.execute(query).fetchall()
    lowest = stored[0][1] if stored else 0
    numbers = [segment for _, segment, *_ in stored]
    require(lowest <= 0 and numbers == list(range(lowest, lowest + len(stored))), "segments are numbered around 0")
    below = -1
    for scope, segment, first, last, rows in stored:
        require(scope == chain_id and below < first <= last, f"segment {segment} lies above the one below it")
        below = last
        there = 0
        for table in ("transactions", "logs"):
            query = f"SELECT count(*) FROM {table} WHERE segment = ? AND block_number BETWEEN ? AND ?"  # noqa: S608
            there += next(connection.execute(query, (segment, first, last)))[0]
        require(rows == there, f"segment {segment} counts {rows} rows, and has {there} between its bounds")
    counted = sum(
        next(connection.execute(f"SELECT count(*) FROM {table}"))[0]  # noqa: S608
        for table in ("transactions", "logs")
    )
    require(counted == sum(rows for *_, rows in stored), "each row is in a segment, within its bounds")


def _by_block(connection: apsw.Connection, table: str, order: str, chain_id: int) -> dict[int, Rows]:
    """All columns of all rows, by block. Rows of another chain there are none."""
    height = "number" if table == "blocks" else "block_number"
    cursor = connection.execute(f"SELECT * FROM {table} ORDER BY {height}, {order}")  # noqa: S608
    found: dict[int, Rows] = {}
    names: list[str] = []
    for row in cursor:
        names = names or [column[0] for column in cursor.get_description()]
        values: dict[str, Any] = dict(zip(names, row, strict=True))
        values.pop("segment", None)  # where an index has the row: `segments_follow` compares it
        require(values["chain_id"] == chain_id, f"{table} are of this chain alone")
        for name in [name for name in names if name.endswith("_hex")]:
            data, text = values[name.removesuffix("_hex")], values.pop(name)
            require(text == (None if data is None else "0x" + data.hex()), f"{table}: {name} is the bytes in hex")
        found.setdefault(values[height], []).append(values)
    return found


def _differing(stored: Rows, wanted: Rows) -> str:
    """Which columns, for whoever looks into it."""
    if len(stored) != len(wanted):
        return f": {len(stored)} rows where {len(wanted)} belong"
    names = {
        name for a, b in zip(stored, wanted, strict=True) for name in a.keys() | b.keys() if a.get(name) != b.get(name)
    }
    return f": {', '.join(sorted(names))}"


def _wanted(chain_id: int, block: Block, signs: Mapping[str, str]) -> dict[str, Rows]:
    """The block's rows, without what only the run can say."""
    answer, receipts = msgspec.json.decode(block.page.full), msgspec.json.decode(block.page.receipts)
    place = {"chain_id": chain_id, "block_number": block.number}
    logs = [log for receipt in receipts for log in receipt["logs"]]
    withdrawals = answer.get("withdrawals")
    rooted = int(signs["transactions"] == "+" and signs["receipts"] == "+")
    row = {
        "chain_id": chain_id,
        **_read(HEADER, answer),
        "uncles": b"".join(bytes.fromhex(text[2:]) for text in answer["uncles"]),
        "transaction_count": len(receipts),
        "log_count": len(logs),
        "withdrawal_count": None if withdrawals is None else len(withdrawals),
    }
    return {
        "blocks": [row],
        "transactions": [
            {
                **place,
                **_read(TRANSACTION, tx),
                **_read(RECEIPT, receipt),
                "gas_price": _wide(tx["gasPrice"]) if _number(tx["type"]) in (0, 1) else None,
                "signed_chain_id": _number(tx["chainId"]) if _number(tx["type"]) else None,
                "log_count": len(receipt["logs"]),
                "covered": rooted,
            }
            for tx, receipt in zip(answer["transactions"], receipts, strict=True)
        ],
        "logs": [{**place, **_read(LOG, log), "covered": int(signs["receipts"] == "+")} for log in logs],
        "withdrawals": [
            {**place, "position": at, **_read(WITHDRAWAL, item)} for at, item in enumerate(withdrawals or ())
        ],
        "uncles": [
            {**place, "position": at, "hash": keccak(uncle.encoded()), "header": uncle.encoded()}
            for at, uncle in enumerate(block.uncles if signs["uncles"] == "+" else ())
        ],
    }


def _narrow(wanted: dict[str, Rows], selected: Mapping[tuple[bytes, bytes], int]) -> None:
    """Leave the logs that are selected, their transactions, and the header."""
    (row,) = wanted["blocks"]
    number: Any = row["number"]
    wanted["logs"] = [
        log
        for log in wanted["logs"]
        if number >= selected.get((log["address"], log["topic0"]), number + 1)  # type: ignore[arg-type]
    ]
    used = {log["tx_index"] for log in wanted["logs"]}
    wanted["transactions"] = [tx for tx in wanted["transactions"] if tx["tx_index"] in used]
    wanted["withdrawals"], wanted["uncles"] = [], []
    row |= {"uncles": b"", "withdrawal_count": None}
    row |= {"transaction_count": len(wanted["transactions"]), "log_count": len(wanted["logs"])}


# -- what can be proven -------------------------------------------------------------------------------------------

LOWERS = {
    "transactions_root": "transactions",
    "storage_root": "withdrawals",
    "bloom_superset": "bloom",
    "bloom_empty": "bloom",
}


def _signs(block: Block, proof: str, facts: Facts, lowered: Callable[[int], bool]) -> dict[str, str]:
    """What the column `proof` says of each check; no more and no less than the node's block allows.

    A check that fails on the true block can not have passed; one that holds has, unless the chain's stored rules take
    it from the block (`lowered`). Uncles are proven where their headers could be had, which all replicas may deny.
    """
    found = _RESULT.findall(proof)
    told = {name: sign for name, sign, _ in found}
    text = " ".join(f"{name}{sign}{f'({reason})' if reason else ''}" for name, sign, reason in found)
    require(
        text == proof and tuple(told) == CHECKS, f"the proof of block {block.number} names each check once: {proof}"
    )
    require(
        all(bool(reason) == (sign == "?") for _, sign, reason in found), f"what is not computable says why: {proof}"
    )
    true = dict.fromkeys(CHECKS, "+")
    if block.number == 0:
        true["parent"] = "-"  # nothing is below it
    if block.header.withdrawals_root is None:
        true["withdrawals"] = "-"
    odd = LOWERS.get(facts.oddity, "")
    if odd and (_is_odd(block, facts) or (lowered(block.number) and _is_lowered(odd, facts))):
        true[odd] = "?"
    if block.uncles and told["uncles"] == "?":
        true["uncles"] = "?"
    shown = true
    if facts.selected is not None:  # a selection does not keep what the other checks are over
        shown = {name: true[name] if name in ("hash", "parent", "senders") else "?" for name in CHECKS}
    require(told == shown, f"the proof of block {block.number} is what its node allows: told {told}, true {shown}")
    return true


def _is_odd(block: Block, facts: Facts) -> bool:
    """Whether the block differs from what a plain chain commits to."""
    if block.number < facts.odd_from:
        return False
    if facts.oddity == "transactions_root":
        return bool(block.transactions)
    if facts.oddity in ("bloom_superset", "bloom_empty"):
        return any(receipt.logs for receipt in block.receipts)
    return block.header.withdrawals_root is not None


def _is_lowered(check: str, facts: Facts) -> bool:
    """Whether the rule takes the check from a block that is not odd itself: a root of another kind, from all."""
    return check == "transactions" or facts.oddity == "bloom_empty"


def _lowered(connection: apsw.Connection, tree: BlockTree, facts: Facts) -> Callable[[int], bool]:
    """The row of `chains` is right; whether its rules are the odd ones at a block."""
    rows: list[Any] = connection.execute("SELECT chain_id, genesis_hash, profile, spec FROM chains").fetchall()
    require(len(rows) == 1, "there is one chain")
    chain_id, genesis_hash, profile, spec = rows[0]
    require((chain_id, genesis_hash) == (tree.chain_id, tree.canonical(0).hash), "the chain is the node's")
    odd = bool(facts.oddity)
    name, depth, stall_s = (f"chain-{chain_id}", 256, 120.0) if odd else ("anvil", 64, 3_600)
    require(
        decoded(profile, "a profile") == PROFILE | {"name": name, "finality_depth": depth, "stall_s": stall_s},
        f"the chain's profile is that of a plain one: {profile}",
    )
    require((spec is None) == (not odd), "rules are stored where the chain is not known, and there alone")
    ranges = decoded(spec or "[]", "a spec")
    firsts = [each["first"] for each in ranges]
    require(
        firsts == sorted(set(firsts)) and firsts[:1] == [0][: len(firsts)],
        f"the ranges of rules ascend from 0: {firsts}",
    )
    for each in ranges:
        rules = {key: value for key, value in each.items() if key not in ("first", "evidence", "unconfirmed")}
        require(rules in (PLAIN, PLAIN | ODD_RULES[facts.oddity]), f"rules are plain, or those of the chain: {each}")
    return lambda number: any(
        ODD_RULES[facts.oddity].items() <= each.items()
        for each, after in zip(ranges, [*firsts[1:], number + 1], strict=True)
        if each["first"] <= number < after
    )


def compared_something(connection: apsw.Connection, tree: BlockTree) -> None:
    """What is recorded as evidence about transactions comes from blocks that have some, of those there are by now."""
    rows: list[Any] = connection.execute("SELECT spec FROM chains WHERE spec IS NOT NULL").fetchall()
    telling = sum(1 for block in tree.blocks if block.transactions)
    for (spec,) in rows:
        for each in decoded(spec, "a spec"):
            for check, passed, failed in each.get("evidence", ()):
                if check in ("transactions", "receipts", "derived"):
                    require(passed + failed <= telling, f"an empty block is no evidence about {check}")


ALL = list(CHECKS[:-1])
PROFILE: dict[str, Json] = {
    "checks": ALL, "roots": True, "opaque_types": [], "state_sync": False, "storage_withdrawals_root": False,
}  # fmt: skip
PLAIN: dict[str, Json] = {"checks": ALL}
ODD_RULES: Mapping[str, dict[str, Json]] = {
    "transactions_root": {"foreign_roots": ["transactions"]},
    "storage_root": {"storage_withdrawals_root": True},
    "bloom_superset": {"bloom_superset": True},
    "bloom_empty": {"checks": [name for name in ALL if name != "bloom"]},
}


# -- where it came from ---------------------------------------------------------------------------------------------


def _says_whence(row: dict[str, Value], block: Block, facts: Facts) -> None:
    """Who gave the block, when, and what it said beside. What is judged here is taken out of the row."""
    names = {f"http://replica-{index}" for index in range(facts.replicas)}
    require(row.pop("endpoint") in names, f"block {block.number} names the replica that it came from")
    low, high = facts.clock_ms
    ingested_at = row.pop("ingested_at")
    within = isinstance(ingested_at, int) and low <= ingested_at <= high
    require(within, f"block {block.number} came at a time that the clock has shown: {ingested_at!r}")
    extra, answer = row.pop("extra"), msgspec.json.decode(block.page.full)
    where = f"block {block.number}"
    left_out = block.hash in facts.sizeless and (extra is None or "size" not in decoded(extra, where))
    _adds(extra, answer, () if left_out else ("size",), where)


def _adds(text: Value, answer: Json, names: Sequence[str], where: str) -> None:
    """What an answer has beside the specification's fields is kept as it was, and so are a node's own fields."""
    added: dict[str, Json] = {} if text is None else decoded(text, where)
    by_name = {name.replace("_", "").lower(): value for name, value in added.items()}
    for name in names:
        true = answer.get(name)
        told = by_name.pop(name.lower(), None)
        told = int(told, 16) if isinstance(told, str) and told.lower().startswith("0x") else told
        require(told == _number(true), f"{where}: what its endpoint adds as {name} is kept")
    for name, filled in by_name.items():
        require(filled == OWN_FIELDS.get(name), f"{where}: nothing is kept as {name} that the node has not said")


def _adds_both(text: Value, receipt: Json, where: str) -> None:
    """The same of a transaction and its receipt, which one column keeps."""
    parts = {} if text is None else decoded(text, where)
    require(parts.keys() <= {"transaction", "receipt"}, f"{where}: it keeps what is said of it and of its receipt")
    for part, names in (("transaction", ()), ("receipt", ("blobGasUsed", "blobGasPrice"))):
        kept = parts.get(part)
        _adds(None if kept is None else msgspec.json.encode(kept).decode(), receipt, names, where)


def _digest(rows: Mapping[str, Rows]) -> bytes:
    """SHA-256 over the name of each table and all columns of its rows, in msgpack, but for the digest itself."""
    encode = msgspec.msgpack.encode
    digest = hashlib.sha256()
    for table in ("blocks", "transactions", "logs", "withdrawals", "uncles"):
        if table == "uncles" and not rows[table]:
            continue  # the table came when stores had their digests already
        digest.update(encode(table))
        for row in rows[table]:
            digest.update(encode([value for name, value in row.items() if name != "rows_digest"]))
    return digest.digest()
