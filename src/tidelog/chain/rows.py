"""A proven block as rows, and back: what the store holds of it, and what can be proven again from that alone.

What is stored of a transaction is what its type encodes, and derived fields are stored as derived, not as
answered: so that two honest endpoints give the same rows, and a lie has no column to hide in. Per block,
`rows_digest` covers every column of every row, so that what no root covers (ingest facts, an endpoint's
extra fields) cannot change unnoticed either.
"""

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from tidelog.batch import (
    BLOCKS,
    LOGS,
    TRANSACTIONS,
    UNCLES,
    WITHDRAWALS,
    Row,
    Rows,
    Value,
    optional_uint256,
    rows_digest,
    uint256,
)
from tidelog.chain import rlp
from tidelog.chain.blocks import (
    TYPE_MAX,
    AccessEntry,
    Authorization,
    Block,
    Bundle,
    Header,
    Log,
    Receipt,
    Transaction,
    Withdrawal,
)
from tidelog.chain.canonical import Derived, answered, derived, encoded_only
from tidelog.chain.encoding import (
    SIGNED_TYPES,
    encode_access_list,
    encode_authorizations,
    encode_hashes,
    encode_header,
    keccak,
    read_encoded_header,
)
from tidelog.chain.headers import with_own_fields
from tidelog.chain.lineage import Link
from tidelog.chain.proof import Proof
from tidelog.chain.variants import BERACHAIN_FORM, form_of
from tidelog.errors import Corruption


class BlockRows(Struct, frozen=True):
    """All rows of one block, each kind in key order."""

    block: Row
    transactions: list[Row]
    logs: list[Row]
    withdrawals: list[Row]
    uncles: list[Row] = []  # none where nobody gave the headers

    @property
    def number(self) -> int:
        return _int(self.block[_NUMBER])

    @property
    def link(self) -> Link:
        return Link(self.number, _bytes(self.block[_HASH]), _bytes(self.block[_PARENT_HASH]))

    @property
    def row_count(self) -> int:
        return 1 + len(self.transactions) + len(self.logs) + len(self.withdrawals) + len(self.uncles)

    @property
    def proof_text(self) -> str:
        return str(self.block[_PROOF])

    def digest(self) -> bytes:
        """What `rows_digest` must hold, recomputed."""
        return _digest(self.block[:-1], self.transactions, self.logs, self.withdrawals, self.uncles)

    @property
    def stored_digest(self) -> bytes:
        return _bytes(self.block[-1])


_both_parts = msgspec.json.Decoder(dict[str, msgspec.Raw])
_NUMBER, _HASH, _PARENT_HASH = (BLOCKS.index(name) for name in ("number", "hash", "parent_hash"))
_PROOF = BLOCKS.index("proof")


def _digest(
    block: Row,
    transactions: Sequence[Row],
    logs: Sequence[Row],
    withdrawals: Sequence[Row],
    uncles: Sequence[Row],
) -> bytes:
    groups = [(BLOCKS, (block,)), (TRANSACTIONS, transactions), (LOGS, logs), (WITHDRAWALS, withdrawals)]
    if uncles:  # digests of before there was this table stay as they are
        groups.append((UNCLES, uncles))
    return rows_digest(groups)


def to_rows(
    chain_id: int, bundle: Bundle, proof: Proof, *, covered: int, endpoint: str, ingested_at_ms: int
) -> BlockRows:
    """The rows of a proven block.

    Args:
        covered: how many transactions, from the first on, the block's roots are over. Their rows say that they
            are covered only where those roots could be checked.
        endpoint: the redacted name of who served it.
    """
    header, block = bundle.block.header, bundle.block
    derives = proof.holds("derived")
    transactions: list[Row] = []
    logs: list[Row] = []
    cumulative = 0
    for i, (tx, receipt) in enumerate(zip(block.transactions, bundle.receipts, strict=True)):
        inside = i < covered
        result = answered(receipt)
        if derives and inside:
            result = derived(tx, receipt, header.base_fee_per_gas, receipt.cumulative_gas_used - cumulative)
            cumulative = receipt.cumulative_gas_used
        whole = inside and proof.holds("transactions") and proof.holds("receipts")
        transactions.append(_transaction_row(chain_id, header, tx, receipt, result, int(whole)))
        log_covered = int(inside and proof.holds("receipts"))
        for log in receipt.logs:
            t = log.topics
            topics = t if len(t) == 4 else (*t, *(None,) * (4 - len(t)))
            logs.append((chain_id, header.number, len(logs), i, log.address, *topics, log.data, log_covered))
    withdrawals: list[Row] = [
        (chain_id, header.number, i, item.index, item.validator_index, item.address, item.amount_gwei)
        for i, item in enumerate(block.withdrawals or ())
    ]
    ommers = [encode_header(ommer) for ommer in block.ommers or ()] if proof.holds("uncles") else []
    uncles: list[Row] = [(chain_id, header.number, i, keccak(item), item) for i, item in enumerate(ommers)]
    row = (
        chain_id,
        header.number,
        header.hash,
        header.parent_hash,
        header.ommers_hash,
        header.miner,
        header.state_root,
        header.transactions_root,
        header.receipts_root,
        header.logs_bloom,
        uint256(header.difficulty),
        header.gas_limit,
        header.gas_used,
        header.timestamp,
        header.extra_data,
        header.mix_hash,
        header.nonce,
        optional_uint256(header.base_fee_per_gas),
        header.withdrawals_root,
        header.blob_gas_used,
        header.excess_blob_gas,
        header.parent_beacon_block_root,
        header.requests_hash,
        header.block_access_list_hash,
        header.slot_number,
        b"".join(block.uncles),
        len(transactions),
        len(logs),
        None if block.withdrawals is None and header.withdrawals_root is None else len(withdrawals),
        str(proof),
        block.extra,
        endpoint,
        ingested_at_ms,
    )
    digest = _digest(row, transactions, logs, withdrawals, uncles)
    return BlockRows((*row, digest), transactions, logs, withdrawals, uncles)


def _transaction_row(
    chain_id: int, header: Header, tx: Transaction, receipt: Receipt, result: Derived, covered: int
) -> Row:
    tx, appends = encoded_only(tx), tx.type not in SIGNED_TYPES
    return (
        chain_id,
        header.number,
        tx.index,
        tx.hash,
        tx.type,
        tx.sender,
        tx.to,
        tx.nonce,
        optional_uint256(tx.value),
        tx.gas,
        optional_uint256(tx.gas_price) if tx.type in (0, 1) or form_of(tx) == BERACHAIN_FORM else None,
        optional_uint256(tx.max_fee_per_gas),
        optional_uint256(tx.max_priority_fee_per_gas),
        optional_uint256(tx.max_fee_per_blob_gas),
        tx.input,
        tx.chain_id if tx.type else None,
        None if tx.access_list is None else encode_access_list(tx.access_list),
        None if tx.blob_versioned_hashes is None else encode_hashes(tx.blob_versioned_hashes),
        None if tx.authorization_list is None else encode_authorizations(tx.authorization_list),
        tx.v,
        optional_uint256(tx.r),
        optional_uint256(tx.s),
        tx.source_hash,
        optional_uint256(tx.mint),
        None if tx.is_system_tx is None else int(tx.is_system_tx),
        receipt.status,
        receipt.root,
        receipt.cumulative_gas_used,
        result.gas_used,
        optional_uint256(result.price),
        result.contract,
        len(receipt.logs),
        receipt.deposit_nonce if appends else None,
        receipt.deposit_receipt_version if appends else None,
        covered,
        _joined_extra(tx.extra, receipt.extra),
    )


def _joined_extra(transaction: str | None, receipt: str | None) -> str | None:
    if transaction is None and receipt is None:
        return None
    parts = {"transaction": transaction, "receipt": receipt}
    return msgspec.json.encode(
        {name: msgspec.Raw(text.encode()) for name, text in parts.items() if text is not None}
    ).decode()


def block_rows(blocks: Sequence[BlockRows]) -> tuple[Rows, ...]:
    """The rows of several blocks, as a batch adds them: parents first."""
    return tuple(
        Rows(table, rows)
        for table, rows in (
            (BLOCKS, [block.block for block in blocks]),
            (TRANSACTIONS, [row for block in blocks for row in block.transactions]),
            (LOGS, [row for block in blocks for row in block.logs]),
            (WITHDRAWALS, [row for block in blocks for row in block.withdrawals]),
            (UNCLES, [row for block in blocks for row in block.uncles]),
        )
        if rows
    )


def with_proof(rows: BlockRows, proof: Proof) -> Row:
    """The block's row under another proof, its digest renewed."""
    block = (*rows.block[:_PROOF], str(proof), *rows.block[_PROOF + 1 : -1])
    return (*block, _digest(block, rows.transactions, rows.logs, rows.withdrawals, rows.uncles))


# -- and back ---------------------------------------------------------------------------------------------


def to_bundle(rows: BlockRows) -> Bundle:
    """The block as it was before it became rows; Corruption if the rows cannot be a block.

    Positions of logs are those of the rows, so that a proof's comparison with them finds a row that moved.
    """
    try:
        return _bundle(rows)
    except (Corruption, ValueError, TypeError, OverflowError) as error:
        raise Corruption(f"block {rows.block[_NUMBER]!r}: its rows cannot be read as a block: {error}") from None


def _bundle(rows: BlockRows) -> Bundle:
    block = dict(zip(BLOCKS.names, rows.block, strict=True))
    header = read_header(rows.block)
    logs = _logs_by_transaction(rows, header)
    pairs = [_transaction(row, header, logs) for row in rows.transactions]
    withdrawals = [read_withdrawal(row) for row in rows.withdrawals]
    for name, count in (
        ("transaction_count", len(pairs)),
        ("log_count", len(rows.logs)),
        ("withdrawal_count", len(withdrawals)),
    ):
        if block[name] != count and not (name == "withdrawal_count" and block[name] is None and count == 0):
            raise Corruption(f"{name} is {block[name]!r}, and there are {count} rows")
    uncles = _bytes(block["uncles"])
    if len(uncles) % 32:
        raise Corruption(f"{len(uncles)} bytes are no list of hashes")
    return Bundle(
        Block(
            header,
            tuple(tx for tx, _ in pairs),
            tuple(uncles[i : i + 32] for i in range(0, len(uncles), 32)),
            None if block["withdrawal_count"] is None else tuple(withdrawals),
            _text(block["extra"]),
            tuple(map(read_uncle, rows.uncles)) if rows.uncles else None,
        ),
        tuple(receipt for _, receipt in pairs),
    )


def read_header(row: Row) -> Header:
    """The header of a block's row; Corruption if a value cannot be one."""
    block = dict(zip(BLOCKS.names, row, strict=True))
    header = Header(
        number=_int(block["number"]),
        hash=_sized(block["hash"], 32),
        parent_hash=_sized(block["parent_hash"], 32),
        ommers_hash=_sized_or_empty(block["ommers_hash"], 32),
        miner=_sized(block["miner"], 20),
        state_root=_sized(block["state_root"], 32),
        transactions_root=_sized(block["transactions_root"], 32),
        receipts_root=_sized(block["receipts_root"], 32),
        logs_bloom=_sized_or_empty(block["logs_bloom"], 256),
        difficulty=int.from_bytes(_sized(block["difficulty"], 32), "big"),
        gas_limit=_int(block["gas_limit"]),
        gas_used=_int(block["gas_used"]),
        timestamp=_int(block["timestamp"]),
        extra_data=_bytes(block["extra_data"]),
        mix_hash=_optional_sized(block["mix_hash"], 32),
        nonce=_optional_sized(block["nonce"], 8),
        base_fee_per_gas=_optional_uint(block["base_fee_per_gas"]),
        withdrawals_root=_optional_sized(block["withdrawals_root"], 32),
        blob_gas_used=_optional_int(block["blob_gas_used"]),
        excess_blob_gas=_optional_int(block["excess_blob_gas"]),
        parent_beacon_block_root=_optional_sized(block["parent_beacon_block_root"], 32),
        requests_hash=_optional_sized(block["requests_hash"], 32),
        block_access_list_hash=_optional_sized(block["block_access_list_hash"], 32),
        slot_number=_optional_int(block["slot_number"]),
    )
    return with_own_fields(header, _text(block["extra"]))


def _logs_by_transaction(rows: BlockRows, header: Header) -> dict[int, list[Log]]:
    hashes = {_int(row[2]): _bytes(row[3]) for row in rows.transactions}
    logs: dict[int, list[Log]] = {}
    for row in rows.logs:
        _, number, position, tx_index, address, *topics, data, _ = row
        log_index = _int(position)
        present = [_sized(topic, 32) for topic in topics if topic is not None]
        if topics[: len(present)] != present:
            raise ValueError(f"log {log_index} has a topic behind an absent one")
        index = _int(tx_index)
        if index not in hashes:
            raise ValueError(f"log {log_index} belongs to transaction {index}, which is not there")
        logs.setdefault(index, []).append(
            Log(
                _sized(address, 20),
                tuple(present),
                _bytes(data),
                header.hash,
                _int(number),
                hashes[index],
                index,
                log_index,
            )
        )
    return logs


def read_transaction(values: Row, header: Header) -> Transaction:
    """The transaction of a row of the block with this header; Corruption or ValueError if it cannot be one."""
    row = dict(zip(TRANSACTIONS.names, values, strict=True))
    index, tx_hash = _int(row["tx_index"]), _sized(row["hash"], 32)
    tx_type = _int(row["type"])
    if tx_type > TYPE_MAX:
        raise Corruption(f"transaction {index} is of type {tx_type}, and types are one byte")
    access_list, hashes = row["access_list"], row["blob_versioned_hashes"]
    authorizations = row["authorization_list"]
    return Transaction(
        block_hash=header.hash,
        block_number=_int(row["block_number"]),
        index=index,
        hash=tx_hash,
        type=tx_type,
        sender=_sized(row["from_address"], 20),
        to=_optional_sized(row["to_address"], 20),
        nonce=_optional_int(row["nonce"]),
        value=_optional_uint(row["value"]),
        gas=_optional_int(row["gas"]),
        gas_price=_optional_uint(row["gas_price"]),
        max_fee_per_gas=_optional_uint(row["max_fee_per_gas"]),
        max_priority_fee_per_gas=_optional_uint(row["max_priority_fee_per_gas"]),
        max_fee_per_blob_gas=_optional_uint(row["max_fee_per_blob_gas"]),
        input=_optional_bytes(row["input"]),
        chain_id=_optional_int(row["signed_chain_id"]),
        access_list=None if access_list is None else read_access_list(_bytes(access_list)),
        blob_versioned_hashes=None if hashes is None else read_hashes(_bytes(hashes)),
        authorization_list=None if authorizations is None else read_authorizations(_bytes(authorizations)),
        v=_optional_int(row["v"]),
        r=_optional_uint(row["r"]),
        s=_optional_uint(row["s"]),
        source_hash=_optional_sized(row["source_hash"], 32),
        mint=_optional_uint(row["mint"]),
        is_system_tx=None if row["is_system_tx"] is None else bool(row["is_system_tx"]),
        extra=None if tx_type in SIGNED_TYPES else _own_fields(row["extra"], "transaction"),
    )


def _transaction(values: Row, header: Header, logs: dict[int, list[Log]]) -> tuple[Transaction, Receipt]:
    transaction = read_transaction(values, header)
    row, index = dict(zip(TRANSACTIONS.names, values, strict=True)), transaction.index
    own = logs.get(index, [])
    if row["log_count"] != len(own):
        raise ValueError(f"transaction {index} has {len(own)} logs, its row says {row['log_count']!r}")
    receipt = Receipt(
        block_hash=header.hash,
        block_number=transaction.block_number,
        transaction_hash=transaction.hash,
        transaction_index=index,
        type=transaction.type,
        status=_optional_int(row["status"]),
        root=_optional_sized(row["root"], 32),
        cumulative_gas_used=_int(row["cumulative_gas_used"]),
        gas_used=_int(row["gas_used"]),
        effective_gas_price=_optional_uint(row["effective_gas_price"]),
        contract_address=_optional_sized(row["contract_address"], 20),
        logs_bloom=None,
        logs=tuple(own),
        deposit_nonce=_optional_int(row["deposit_nonce"]),
        deposit_receipt_version=_optional_int(row["deposit_receipt_version"]),
        extra=None if transaction.type in SIGNED_TYPES else _own_fields(row["extra"], "receipt"),
    )
    return transaction, receipt


def read_withdrawal(row: Row) -> Withdrawal:
    _, _, _, index, validator, address, amount = row
    return Withdrawal(_int(index), _int(validator), _sized(address, 20), _int(amount))


def read_uncle(row: Row) -> Header:
    """The header of a row of `uncles`; Corruption or ValueError if it is none."""
    _, _, _, uncle_hash, encoded = row
    header = read_encoded_header(_bytes(encoded))
    if header.hash != uncle_hash:
        raise Corruption("the header of an uncle does not hash to the hash beside it")
    return header


def read_access_list(encoded: bytes) -> tuple[AccessEntry, ...]:
    """A stored access list; ValueError or Corruption if it is none. So do the next two."""
    return tuple(
        AccessEntry(_sized(address, 20), _hashes(keys))
        for address, keys in (_items(entry, 2) for entry in _items(rlp.decode(encoded)))
    )


def read_authorizations(encoded: bytes) -> tuple[Authorization, ...]:
    return tuple(
        Authorization(_uint(chain_id), _sized(address, 20), _uint(nonce), _uint(y_parity), _uint(r), _uint(s))
        for chain_id, address, nonce, y_parity, r, s in (_items(item, 6) for item in _items(rlp.decode(encoded)))
    )


def read_hashes(encoded: bytes) -> tuple[bytes, ...]:
    return _hashes(rlp.decode(encoded))


def _hashes(item: rlp.Item) -> tuple[bytes, ...]:
    return tuple(_sized(value, 32) for value in _items(item))


def _items(item: rlp.Item, count: int | None = None) -> list[rlp.Item]:
    if not isinstance(item, list) or (count is not None and len(item) != count):
        raise ValueError("a stored list is not of its shape")
    return item


def _uint(item: rlp.Item) -> int:
    data = _bytes(item)
    if len(data) > 32:
        raise Corruption(f"{len(data)} bytes where an integer of up to 32 belongs")
    return int.from_bytes(data, "big")


def _int(value: object) -> int:
    """No column of a block holds a negative number."""
    if not isinstance(value, int) or value < 0:
        raise Corruption(f"{value!r} where an integer from 0 on belongs")
    return value


def _bytes(value: object) -> bytes:
    if not isinstance(value, bytes):
        raise Corruption(f"{value!r} where bytes belong")
    return value


def _text(value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise Corruption(f"{value!r} where text belongs")
    return value


def _own_fields(extra: Value, part: str) -> str | None:
    """A part of a transaction's `extra`, as it was in the answer: what types of some chains alone encode."""
    if extra is None:
        return None
    value = _both_parts.decode(str(extra)).get(part)
    return None if value is None else bytes(value).decode()


def _sized_or_empty(value: object, size: int) -> bytes:
    """Bytes of that size; none where no answer had them, and nothing could prove what belongs there."""
    return _sized(value, size) if value != b"" else b""


def _sized(value: object, size: int) -> bytes:
    sized = _bytes(value)
    if len(sized) != size:
        raise Corruption(f"{len(sized)} bytes where {size} belong")
    return sized


def _optional_int(value: object) -> int | None:
    return None if value is None else _int(value)


def _optional_bytes(value: object) -> bytes | None:
    return None if value is None else _bytes(value)


def _optional_sized(value: object, size: int) -> bytes | None:
    return None if value is None else _sized(value, size)


def _optional_uint(value: object) -> int | None:
    return None if value is None else int.from_bytes(_sized(value, 32), "big")
