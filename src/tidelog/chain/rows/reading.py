"""Rows of a block as the block that they were made of: what is proven again is read from them. Pure."""

from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from tidelog.batch import Row, Value
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
from tidelog.chain.encoding import rlp
from tidelog.chain.encoding.headers import with_own_fields
from tidelog.chain.encoding.items import (
    SIGNED_TYPES,
    read_encoded_header,
)
from tidelog.chain.header_fields import HEADER_FIELDS, HeaderField, Kind
from tidelog.chain.rows.layout import BlockRows, required_bytes, required_int
from tidelog.chain.rows.tables import BLOCKS, TRANSACTIONS
from tidelog.errors import Corruption

_both_parts = msgspec.json.Decoder(dict[str, msgspec.Raw])
_TX_INDEX, _TX_HASH = (TRANSACTIONS.index(name) for name in ("tx_index", "hash"))


def to_bundle(rows: BlockRows) -> Bundle:
    """The block as it was before it became rows; Corruption if the rows cannot be a block.

    Positions of logs are those of the rows, so that a proof's comparison with them finds a row that moved.
    """
    try:
        return _bundle(rows)
    except (Corruption, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise Corruption(
            f"block {rows.block[BLOCKS.index('number')]!r}: its rows cannot be read as a block: {error}"
        ) from None


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
    uncles = required_bytes(block["uncles"])
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
    values = row[_HEADER_BEGINS : _HEADER_BEGINS + len(HEADER_FIELDS)]
    header = Header(*[read(value) for read, value in zip(_HEADER_FROM_ROW, values, strict=True)])
    return with_own_fields(header, _text(row[BLOCKS.index("extra")]))


def _logs_by_transaction(rows: BlockRows, header: Header) -> dict[int, list[Log]]:
    hashes = {required_int(row[_TX_INDEX]): required_bytes(row[_TX_HASH]) for row in rows.transactions}
    logs: dict[int, list[Log]] = {}
    for row in rows.logs:
        _, number, position, tx_index, address, *topics, data, _ = row
        log_index = required_int(position)
        present = [_sized(topic, 32) for topic in topics if topic is not None]
        if topics[: len(present)] != present:
            raise ValueError(f"log {log_index} has a topic behind an absent one")
        index = required_int(tx_index)
        if index not in hashes:
            raise ValueError(f"log {log_index} belongs to transaction {index}, which is not there")
        logs.setdefault(index, []).append(
            Log(
                _sized(address, 20),
                tuple(present),
                required_bytes(data),
                header.hash,
                required_int(number),
                hashes[index],
                index,
                log_index,
            )
        )
    return logs


def read_transaction(values: Row, header: Header) -> Transaction:
    """The transaction of a row of the block with this header; Corruption or ValueError if it cannot be one."""
    row = dict(zip(TRANSACTIONS.names, values, strict=True))
    index, tx_hash = required_int(row["tx_index"]), _sized(row["hash"], 32)
    tx_type = required_int(row["type"])
    if tx_type > TYPE_MAX:
        raise Corruption(f"transaction {index} is of type {tx_type}, and types are one byte")
    access_list, hashes = row["access_list"], row["blob_versioned_hashes"]
    authorizations = row["authorization_list"]
    return Transaction(
        block_hash=header.hash,
        block_number=required_int(row["block_number"]),
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
        access_list=None if access_list is None else read_access_list(required_bytes(access_list)),
        blob_versioned_hashes=None if hashes is None else read_hashes(required_bytes(hashes)),
        authorization_list=None if authorizations is None else read_authorizations(required_bytes(authorizations)),
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
        cumulative_gas_used=required_int(row["cumulative_gas_used"]),
        gas_used=required_int(row["gas_used"]),
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
    """The withdrawal of a row; Corruption if it cannot be one."""
    _, _, _, index, validator, address, amount = row
    return Withdrawal(required_int(index), required_int(validator), _sized(address, 20), required_int(amount))


def read_uncle(row: Row) -> Header:
    """The header of a row of `uncles`; Corruption or ValueError if it is none."""
    _, _, _, uncle_hash, encoded = row
    header = read_encoded_header(required_bytes(encoded))
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
    """A stored list of authorizations."""
    return tuple(
        Authorization(_uint(chain_id), _sized(address, 20), _uint(nonce), _uint(y_parity), _uint(r), _uint(s))
        for chain_id, address, nonce, y_parity, r, s in (_items(item, 6) for item in _items(rlp.decode(encoded)))
    )


def read_hashes(encoded: bytes) -> tuple[bytes, ...]:
    """A stored list of hashes."""
    return _hashes(rlp.decode(encoded))


def _hashes(item: rlp.Item) -> tuple[bytes, ...]:
    return tuple(_sized(value, 32) for value in _items(item))


def _items(item: rlp.Item, count: int | None = None) -> list[rlp.Item]:
    if not isinstance(item, list) or (count is not None and len(item) != count):
        raise ValueError("a stored list is not of its shape")
    return item


def _uint(item: rlp.Item) -> int:
    data = required_bytes(item)
    if len(data) > 32:
        raise Corruption(f"{len(data)} bytes where an integer of up to 32 belongs")
    return int.from_bytes(data, "big")


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
    sized = required_bytes(value)
    if len(sized) != size:
        raise Corruption(f"{len(sized)} bytes where {size} belong")
    return sized


def _optional_int(value: object) -> int | None:
    return None if value is None else required_int(value)


def _optional_bytes(value: object) -> bytes | None:
    return None if value is None else required_bytes(value)


def _optional_sized(value: object, size: int) -> bytes | None:
    return None if value is None else _sized(value, size)


def _uint256(value: object) -> int:
    return int.from_bytes(_sized(value, 32), "big")


def _optional_uint(value: object) -> int | None:
    return None if value is None else _uint256(value)


_MAY_BE_EMPTY = ("ommers_hash", "logs_bloom")  # where an answer leaves them out


def _reader(field: HeaderField) -> Callable[[object], Any]:
    size = field.kind.size
    if field.kind is Kind.UINT256:
        return _optional_uint if field.optional else _uint256
    if field.kind.is_integer:
        return _optional_int if field.optional else required_int
    if size is None:
        return required_bytes
    if field.name in _MAY_BE_EMPTY:
        return partial(_sized_or_empty, size=size)
    return partial(_optional_sized if field.optional else _sized, size=size)


_HEADER_BEGINS = BLOCKS.index(HEADER_FIELDS[0].name)
_HEADER_FROM_ROW = [_reader(field) for field in HEADER_FIELDS]
