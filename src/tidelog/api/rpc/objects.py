"""Stored rows to JSON-RPC objects, as a node gives them: the other direction of `tidelog.chain.decode.strict`.

Pure. Quantities are minimal hex, data is padded, fields that a fork or a type does not have are absent, and
what an endpoint added of its own (`extra`) is given back. What rows cannot know: `tidelog.api.rpc.differences`.
The compiled core, where it is, makes arrays of whole transactions and of receipts; what it declines is made here.
Shapes: the execution-apis specification, and what geth, reth and anvil send beyond it.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from tidelog import compiled
from tidelog.batch import Row
from tidelog.chain.blocks import Transaction
from tidelog.chain.encoding.derived import state_sync_hash
from tidelog.chain.encoding.items import DEPOSIT, encode_block, encode_header, items_bloom, keccak
from tidelog.chain.encoding.rlp import EMPTY_LIST
from tidelog.chain.encoding.variants import encode, is_encodable
from tidelog.chain.extra import own_fields
from tidelog.chain.rows.columns import BlockColumns, LogColumns, TransactionColumns
from tidelog.chain.rows.layout import BlockRows
from tidelog.chain.rows.reading import (
    read_access_list,
    read_authorizations,
    read_hashes,
    read_header,
    read_transaction,
    read_uncle,
    read_withdrawal,
)


class Place(NamedTuple):
    """What everything of a block says of it, as text: hash, number, timestamp."""

    hash: str
    number: str
    timestamp: str


def place_of(block: Row) -> Place:
    row = BlockColumns._make(block)
    return place_at(row.number, row.hash, row.timestamp)


def place_at(number: int, block_hash: bytes, timestamp: int) -> Place:
    return Place(_data(block_hash), hex(number), hex(timestamp))


# -- the JSON shapes: a field that is UNSET is absent ------------------------------------------------------

_Text = str | UnsetType


class _Json(Struct, rename="camel", kw_only=True):
    pass


class _JsonHeader(_Json):
    number: str
    hash: str
    parent_hash: str
    ommers_hash: _Text = msgspec.field(name="sha3Uncles")
    miner: str
    state_root: str
    transactions_root: str
    receipts_root: str
    logs_bloom: _Text  # absent where the endpoint gave none and nothing could prove it; so is the ommers hash
    difficulty: str
    gas_limit: str
    gas_used: str
    timestamp: str
    extra_data: str
    mix_hash: _Text
    nonce: _Text
    base_fee_per_gas: _Text
    withdrawals_root: _Text
    blob_gas_used: _Text
    excess_blob_gas: _Text
    parent_beacon_block_root: _Text
    requests_hash: _Text
    block_access_list_hash: _Text
    slot_number: _Text
    size: _Text
    uncles: list[str]


class _JsonBlock(_JsonHeader):
    transactions: list[str] | Raw
    withdrawals: "list[_JsonWithdrawal] | UnsetType"


class _JsonWithdrawal(_Json):
    index: str
    validator_index: str
    address: str
    amount: str


class _JsonTransaction(_Json):
    type: str
    hash: str
    block_hash: str
    block_number: str
    block_timestamp: str
    transaction_index: str
    from_: str = msgspec.field(name="from")
    to: str | UnsetType | None
    nonce: _Text
    value: _Text
    gas: _Text
    gas_price: _Text
    max_fee_per_gas: _Text
    max_priority_fee_per_gas: _Text
    max_fee_per_blob_gas: _Text
    input: _Text
    chain_id: _Text
    access_list: list[dict[str, Any]] | UnsetType
    blob_versioned_hashes: list[str] | UnsetType
    authorization_list: list[dict[str, str]] | UnsetType
    v: _Text
    y_parity: _Text
    r: _Text
    s: _Text
    source_hash: _Text
    mint: _Text
    is_system_tx: bool | UnsetType


class _JsonLog(_Json):
    address: str
    topics: list[str]
    data: str
    block_hash: str
    block_number: str
    block_timestamp: str
    transaction_hash: str
    transaction_index: str
    log_index: str
    removed: bool = False


class _JsonReceipt(_Json):
    type: str
    status: _Text
    root: _Text
    cumulative_gas_used: str
    logs: list[_JsonLog]
    logs_bloom: str
    transaction_hash: str
    transaction_index: str
    block_hash: str
    block_number: str
    gas_used: str
    effective_gas_price: _Text
    from_: str = msgspec.field(name="from")
    to: str | None
    contract_address: str | None
    deposit_nonce: _Text
    deposit_receipt_version: _Text


class _Extra(Struct):
    """The text of a transaction's `extra`: what the endpoint added to either object."""

    transaction: Raw = Raw(b"")
    receipt: Raw = Raw(b"")


_encode = msgspec.json.Encoder().encode
_extras = msgspec.json.Decoder(_Extra)
_object = msgspec.json.Decoder(dict[str, Raw]).decode
_NO_EXTRA = _Extra()
_NO_BLOOM = "0x" + "00" * 256


def _data(value: bytes) -> str:
    return "0x" + value.hex()


def _wide(value: bytes) -> str:
    return hex(int.from_bytes(value, "big"))


def _optional_data(value: bytes | None) -> _Text:
    return UNSET if value is None else "0x" + value.hex()


def _optional_int(value: int | None) -> _Text:
    return UNSET if value is None else hex(value)


def _optional_wide(value: bytes | None) -> _Text:
    return UNSET if value is None else hex(int.from_bytes(value, "big"))


def _with_extra(encoded: bytes, extra: str | bytes | Raw | None) -> Raw:
    """An encoded object with the fields of another behind its own."""
    if not extra:
        return Raw(encoded)
    fields = extra.encode() if isinstance(extra, str) else bytes(extra)
    if isinstance(extra, str):  # out of a row: a damaged text would spoil the whole answer
        _object(fields)
    return Raw(encoded[:-1] + b"," + fields[1:]) if len(fields) > 2 else Raw(encoded)


# -- blocks --------------------------------------------------------------------------------------------------


def block_answer(rows: BlockRows, *, full: bool) -> bytes:
    """The result of eth_getBlockBy..; `rows.logs` is not read.

    Args:
        full: whole transactions, or their hashes.

    Raises:
        Corruption, ValueError: a stored list is none.
    """
    row = BlockColumns._make(rows.block)
    place = place_of(rows.block)
    has_size = row.extra is not None and '"size":' in row.extra
    answer = _JsonBlock(
        number=place.number,
        hash=place.hash,
        parent_hash=_data(row.parent_hash),
        ommers_hash=_optional_data(row.ommers_hash or None),
        miner=_data(row.miner),
        state_root=_data(row.state_root),
        transactions_root=_data(row.transactions_root),
        receipts_root=_data(row.receipts_root),
        logs_bloom=_optional_data(row.logs_bloom or None),
        difficulty=_wide(row.difficulty),
        gas_limit=hex(row.gas_limit),
        gas_used=hex(row.gas_used),
        timestamp=place.timestamp,
        extra_data=_data(row.extra_data),
        mix_hash=_optional_data(row.mix_hash),
        nonce=_optional_data(row.nonce),
        base_fee_per_gas=_optional_wide(row.base_fee_per_gas),
        withdrawals_root=_optional_data(row.withdrawals_root),
        blob_gas_used=_optional_int(row.blob_gas_used),
        excess_blob_gas=_optional_int(row.excess_blob_gas),
        parent_beacon_block_root=_optional_data(row.parent_beacon_block_root),
        requests_hash=_optional_data(row.requests_hash),
        block_access_list_hash=_optional_data(row.block_access_list_hash),
        slot_number=_optional_int(row.slot_number),
        size=UNSET if has_size else _optional_int(block_size(rows)),
        uncles=[_data(row.uncles[i : i + 32]) for i in range(0, len(row.uncles), 32)],
        transactions=_whole_transactions(rows.transactions, place)
        if full
        else [_data(tx.hash) for tx in map(TransactionColumns._make, rows.transactions)],
        withdrawals=UNSET if row.withdrawal_count is None else [_withdrawal(item) for item in rows.withdrawals],
    )
    return bytes(_with_extra(_encode(answer), row.extra))


def uncle_answer(row: Row) -> bytes:
    """The result of eth_getUncleBy.., of a row of `uncles`: a header, as geth gives it; Corruption if it is none."""
    header = read_uncle(row)
    answer = _JsonHeader(
        number=hex(header.number),
        hash=_data(header.hash),
        parent_hash=_data(header.parent_hash),
        ommers_hash=_data(header.ommers_hash),
        miner=_data(header.miner),
        state_root=_data(header.state_root),
        transactions_root=_data(header.transactions_root),
        receipts_root=_data(header.receipts_root),
        logs_bloom=_data(header.logs_bloom),
        difficulty=hex(header.difficulty),
        gas_limit=hex(header.gas_limit),
        gas_used=hex(header.gas_used),
        timestamp=hex(header.timestamp),
        extra_data=_data(header.extra_data),
        mix_hash=_optional_data(header.mix_hash),
        nonce=_optional_data(header.nonce),
        base_fee_per_gas=_optional_int(header.base_fee_per_gas),
        withdrawals_root=_optional_data(header.withdrawals_root),
        blob_gas_used=_optional_int(header.blob_gas_used),
        excess_blob_gas=_optional_int(header.excess_blob_gas),
        parent_beacon_block_root=_optional_data(header.parent_beacon_block_root),
        requests_hash=_optional_data(header.requests_hash),
        block_access_list_hash=_optional_data(header.block_access_list_hash),
        slot_number=_optional_int(header.slot_number),
        size=hex(len(encode_block(header, (), (), None))),  # its body is not known: geth counts an empty one
        uncles=[],
    )
    return _encode(answer)


def _withdrawal(row: Row) -> _JsonWithdrawal:
    item = read_withdrawal(row)
    return _JsonWithdrawal(
        index=hex(item.index),
        validator_index=hex(item.validator_index),
        address=_data(item.address),
        amount=hex(item.amount_gwei),
    )


def block_size(rows: BlockRows) -> int | None:
    """The bytes of the block's RLP; None where header, uncles or transactions are not what their hashes are over.

    Polygon's state-sync transaction is under no root, and no part of the body.
    """
    row = BlockColumns._make(rows.block)
    if len(row.uncles) != 32 * len(rows.uncles):
        return None
    header = read_header(rows.block)
    state_sync = state_sync_hash(row.number, row.hash)
    transactions: list[Transaction] = []
    for tx in rows.transactions:
        transaction, covered = read_transaction(tx, header), TransactionColumns._make(tx).covered
        if transaction.hash == state_sync and not covered:
            continue
        if not covered or not is_encodable(transaction) or keccak(encode(transaction)) != transaction.hash:
            return None
        transactions.append(transaction)
    withdrawals = None if row.withdrawal_count is None else [read_withdrawal(item) for item in rows.withdrawals]
    try:
        if keccak(encode_header(header)) != row.hash:
            return None
        ommers = map(read_uncle, rows.uncles)
        return len(encode_block(header, transactions, ommers, withdrawals, encode=encode))
    except ValueError:  # a field is missing in front of another: a form of header that is not known
        return None


# -- transactions --------------------------------------------------------------------------------------------


def transaction_answer(place: Place, row: Row) -> bytes:
    """The result of eth_getTransactionBy..; Corruption or ValueError if a stored list is none."""
    return bytes(_encoded_transaction(TransactionColumns._make(row), place))


def _whole_transactions(rows: Sequence[Row], place: Place) -> Raw:
    """An array of them, by the compiled core where it is and takes them."""
    module = compiled.core().module
    made = None if module is None else module.transaction_objects(place, rows)
    return (
        Raw(_encode([_encoded_transaction(row, place) for row in map(TransactionColumns._make, rows)]))
        if made is None
        else Raw(made)
    )


def _encoded_transaction(row: TransactionColumns, place: Place) -> Raw:
    kind, typed = row.type, 1 <= row.type <= 4
    answer = _JsonTransaction(
        type=hex(kind),
        hash=_data(row.hash),
        block_hash=place.hash,
        block_number=place.number,
        block_timestamp=place.timestamp,
        transaction_index=hex(row.tx_index),
        from_=_data(row.from_address),
        # a type that is not known may have no recipient at all; then it has no call either
        to=_data(row.to_address) if row.to_address is not None else UNSET if row.input is None else None,
        nonce=_optional_int(row.nonce),
        value=_optional_wide(row.value),
        gas=_optional_int(row.gas),
        gas_price=_optional_wide(row.effective_gas_price if row.gas_price is None else row.gas_price),
        max_fee_per_gas=_optional_wide(row.max_fee_per_gas),
        max_priority_fee_per_gas=_optional_wide(row.max_priority_fee_per_gas),
        max_fee_per_blob_gas=_optional_wide(row.max_fee_per_blob_gas),
        input=_optional_data(row.input),
        chain_id=_optional_int(row.signed_chain_id if kind else _eip155(row.v)),
        access_list=UNSET if row.access_list is None else _access_list(row.access_list),
        blob_versioned_hashes=UNSET
        if row.blob_versioned_hashes is None
        else [_data(item) for item in read_hashes(row.blob_versioned_hashes)],
        authorization_list=UNSET if row.authorization_list is None else _authorizations(row.authorization_list),
        v=_optional_int(row.v),
        y_parity=_optional_int(row.v) if typed else UNSET,
        r=_optional_wide(row.r),
        s=_optional_wide(row.s),
        source_hash=UNSET,
        mint=UNSET,
        is_system_tx=UNSET,
    )
    if kind == DEPOSIT and row.source_hash is not None:
        _as_deposit(answer, row)
    elif kind == DEPOSIT:
        _as_unsigned(answer, row)
    return _with_extra(_encode(answer), _extra(row).transaction)


def _as_deposit(answer: _JsonTransaction, row: TransactionColumns) -> None:
    """As op-geth shows a deposit: unsigned, paid for on the other chain, its nonce out of the receipt."""
    answer.nonce = hex(row.deposit_nonce or 0)
    answer.v = answer.r = answer.s = answer.gas_price = "0x0"
    answer.source_hash = _optional_data(row.source_hash)
    answer.mint = _optional_wide(row.mint) if row.mint is not None and any(row.mint) else UNSET
    answer.is_system_tx = True if row.is_system_tx else UNSET


def _as_unsigned(answer: _JsonTransaction, row: TransactionColumns) -> None:
    """As Scroll and Berachain show theirs: zero in every field that the type does not encode."""
    own = own_fields(bytes(_extra(row).transaction).decode() or None)
    if "queueIndex" in own or None not in (row.nonce, row.signed_chain_id):
        answer.v = answer.r = answer.s = "0x0"
        answer.nonce = hex(row.nonce or 0)
        answer.value = _wide(row.value or b"")
        answer.gas_price = _wide(row.gas_price or row.effective_gas_price or b"")


def _eip155(v: int | None) -> int | None:
    """The chain id that the signature of a transaction of type 0 is over."""
    return None if v is None or v < 35 else (v - 35) // 2


def _access_list(encoded: bytes) -> list[dict[str, Any]]:
    if encoded == EMPTY_LIST:
        return []
    return [
        {"address": _data(entry.address), "storageKeys": [_data(key) for key in entry.storage_keys]}
        for entry in read_access_list(encoded)
    ]


def _authorizations(encoded: bytes) -> list[dict[str, str]]:
    return [
        {
            "chainId": hex(item.chain_id),
            "address": _data(item.address),
            "nonce": hex(item.nonce),
            "yParity": hex(item.y_parity),
            "r": hex(item.r),
            "s": hex(item.s),
        }
        for item in read_authorizations(encoded)
    ]


def _extra(row: TransactionColumns) -> _Extra:
    return _NO_EXTRA if row.extra is None else _extras.decode(row.extra)


# -- receipts and logs ---------------------------------------------------------------------------------------


def receipts_answer(place: Place, transactions: Sequence[Row], logs: Sequence[Row]) -> bytes:
    """The result of eth_getBlockReceipts, of a block's transactions and all of their logs, each in key order.

    By the compiled core where it is and takes them.
    """
    module = compiled.core().module
    made: bytes | None = None if module is None else module.receipt_objects(place, transactions, logs)
    if made is not None:
        return made
    by_transaction: dict[int, list[LogColumns]] = {}
    for row in logs:
        log = LogColumns._make(row)
        by_transaction.setdefault(log.tx_index, []).append(log)
    rows = [TransactionColumns._make(row) for row in transactions]
    return _encode([_receipt(place, row, by_transaction.get(row.tx_index, ())) for row in rows])


def receipt_answer(place: Place, transaction: Row, logs: Sequence[Row]) -> bytes:
    """The result of eth_getTransactionReceipt, of a transaction and its logs."""
    return bytes(_receipt(place, TransactionColumns._make(transaction), [LogColumns._make(row) for row in logs]))


def _receipt(place: Place, row: TransactionColumns, logs: Sequence[LogColumns]) -> Raw:
    tx_hash, deposit = _data(row.hash), row.type == DEPOSIT
    answer = _JsonReceipt(
        type=hex(row.type),
        status=_optional_int(row.status),
        root=_optional_data(row.root),
        cumulative_gas_used=hex(row.cumulative_gas_used),
        logs=[_log(log, place, tx_hash) for log in logs],
        logs_bloom=f"0x{items_bloom(_bloomed(logs)):0512x}" if logs else _NO_BLOOM,
        transaction_hash=tx_hash,
        transaction_index=hex(row.tx_index),
        block_hash=place.hash,
        block_number=place.number,
        gas_used=hex(row.gas_used),
        effective_gas_price=_optional_wide(row.effective_gas_price),
        from_=_data(row.from_address),
        to=None if row.to_address is None else _data(row.to_address),
        contract_address=None if row.contract_address is None else _data(row.contract_address),
        deposit_nonce=_optional_int(row.deposit_nonce) if deposit else UNSET,
        deposit_receipt_version=_optional_int(row.deposit_receipt_version) if deposit else UNSET,
    )
    return _with_extra(_encode(answer), _extra(row).receipt)


def _bloomed(logs: Iterable[LogColumns]) -> Iterable[bytes]:
    for log in logs:
        yield log.address
        yield from _topics(log)


def _topics(log: LogColumns) -> list[bytes]:
    return [topic for topic in (log.topic0, log.topic1, log.topic2, log.topic3) if topic is not None]


def _log(log: LogColumns, place: Place, tx_hash: str) -> _JsonLog:
    return _JsonLog(
        address=_data(log.address),
        topics=[_data(topic) for topic in _topics(log)],
        data=_data(log.data),
        block_hash=place.hash,
        block_number=place.number,
        block_timestamp=place.timestamp,
        transaction_hash=tx_hash,
        transaction_index=hex(log.tx_index),
        log_index=hex(log.log_index),
    )


def logs_answer(logs: Sequence[Row], places: Mapping[int, Place], hashes: Mapping[tuple[int, int], bytes]) -> bytes:
    """The result of eth_getLogs.

    Args:
        places: of every block that a log is in, by number.
        hashes: of every transaction that a log is of, by block number and index.
    """
    return _encode(
        [
            _log(log, places[log.block_number], _data(hashes[log.block_number, log.tx_index]))
            for log in map(LogColumns._make, logs)
        ]
    )
