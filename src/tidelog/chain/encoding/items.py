"""The bytes that a header's hash and roots are over: headers, transactions, receipts, withdrawals, blooms.

Sources: Yellow Paper 4.4; EIP-155, 658, 1559, 2718, 2930, 4844, 4895, 7702, 7685; for deposits the OP stack's
specification ("Deposits", "Regolith", "Canyon").
"""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any

from sha3 import keccak_256

from tidelog.chain.blocks import AccessEntry, Authorization, Header, Log, Receipt, Transaction, Withdrawal
from tidelog.chain.encoding.rlp import EMPTY, EMPTY_LIST, decode, encode_bytes, encode_int, encode_list
from tidelog.chain.header_fields import APPENDED, HASHED, Kind

DEPOSIT = 0x7E  # of the OP stack; other chains use the number too, see `tidelog.chain.encoding.variants`
SIGNED_TYPES = frozenset({0, 1, 2, 3, 4})
BLOOM_CACHE = 1 << 16  # addresses and topics repeat from block to block; about 20 MB when full

_HASH = b"\xa0"  # the RLP prefix of 32 bytes
_ADDRESS = b"\x94"  # of 20 bytes
_BLOOM = b"\xb9\x01\x00"  # of 256 bytes


def keccak(data: bytes) -> bytes:
    """The Keccak-256 of the data: 32 bytes."""
    digest: bytes = keccak_256(data).digest()
    return digest


def encode_header(header: Header, beyond: Iterable[bytes] = ()) -> bytes:
    """The header by the fields that are present; ValueError if one is missing in front of another.

    `beyond` are further fields, encoded, that stand behind all others.

    Forks append fields and never leave one out. Without that rule a value could move to another field of its
    size (a withdrawals root to `requestsHash`, say) under the same hash, and a field of value 0 disappear.
    """
    if len(header.logs_bloom) != 256 or len(header.ommers_hash) != 32:
        raise ValueError("logsBloom or sha3Uncles is missing")
    if header.seal is not None:
        sealed = (encode_int(header.seal[0]), encode_bytes(header.seal[1]))
    elif header.mix_hash is None or header.nonce is None:
        raise ValueError("mixHash or nonce is missing")
    else:
        sealed = (_HASH + header.mix_hash, encode_bytes(header.nonce))
    items = [encode(getattr(header, name)) for name, encode in _UNSEALED]
    items += sealed
    complete = True
    for name, encode in _APPENDED:
        value = getattr(header, name)
        if value is None:
            complete = False
        elif complete:
            items.append(encode(value))
        else:
            raise ValueError("a field is missing that comes before one that is there")
    if header.parent_proposer_pubkey is not None:
        items.append(encode_bytes(header.parent_proposer_pubkey))
    return encode_list((*items, *beyond))


_ENCODERS: dict[Kind, Callable[[Any], bytes]] = {
    Kind.HASH: _HASH.__add__,
    Kind.ADDRESS: _ADDRESS.__add__,
    Kind.BLOOM: _BLOOM.__add__,
    Kind.NONCE: encode_bytes,
    Kind.DATA: encode_bytes,
    Kind.NUMBER: encode_int,
    Kind.UINT64: encode_int,
    Kind.UINT256: encode_int,
}
_SEAL = ("mix_hash", "nonce")
_UNSEALED = [
    (field.name, _ENCODERS[field.kind]) for field in HASHED if field not in APPENDED and field.name not in _SEAL
]
_APPENDED = [(field.name, _ENCODERS[field.kind]) for field in APPENDED]


def read_encoded_header(encoded: bytes) -> Header:
    """The header that `encode_header` gave these bytes for; ValueError for anything else."""
    fields = decode(encoded)
    if not isinstance(fields, list) or not len(HASHED) - len(APPENDED) <= len(fields) <= len(HASHED):
        raise ValueError("no header has so many fields")
    values: dict[str, int | bytes | None] = {field.name: None for field in HASHED}
    for field, value in zip(HASHED, fields, strict=False):
        if not isinstance(value, bytes) or field.kind.size not in (None, len(value)):
            raise ValueError(f"{field.name} is of another size")
        values[field.name] = int.from_bytes(value, "big") if field.kind.is_integer else value
    header = Header(hash=keccak(encoded), **values)  # type: ignore[arg-type]
    if encode_header(header) != encoded:
        raise ValueError("a number has leading zeros")
    return header


def _fields(tx: Transaction) -> list[bytes]:
    """The encoded fields that are signed, without the signature. Only for SIGNED_TYPES and deposits."""
    to = EMPTY if tx.to is None else _ADDRESS + tx.to
    gas, value, payload = encode_int(tx.gas or 0), encode_int(tx.value or 0), encode_bytes(tx.input or b"")
    nonce = encode_int(tx.nonce or 0)
    if tx.type == 0:
        return [nonce, encode_int(tx.gas_price or 0), gas, to, value, payload]
    if tx.type == DEPOSIT:
        return [
            _HASH + (tx.source_hash or b""),
            _ADDRESS + tx.sender,
            to,
            encode_int(tx.mint or 0),
            value,
            gas,
            encode_int(1 if tx.is_system_tx else 0),
            payload,
        ]
    chain_id, access_list = encode_int(tx.chain_id or 0), encode_access_list(tx.access_list or ())
    if tx.type == 1:
        return [chain_id, nonce, encode_int(tx.gas_price or 0), gas, to, value, payload, access_list]
    tip, cap = encode_int(tx.max_priority_fee_per_gas or 0), encode_int(tx.max_fee_per_gas or 0)
    fields = [chain_id, nonce, tip, cap, gas, to, value, payload, access_list]
    if tx.type == 3:
        fields.append(encode_int(tx.max_fee_per_blob_gas or 0))
        fields.append(encode_hashes(tx.blob_versioned_hashes or ()))
    elif tx.type == 4:
        fields.append(encode_authorizations(tx.authorization_list or ()))
    return fields


def encode_transaction(tx: Transaction) -> bytes:
    """What the hash of one of SIGNED_TYPES, or a deposit, is over, and the transactions root's value."""
    fields = _fields(tx)
    if tx.type != DEPOSIT:
        fields += (encode_int(tx.v or 0), encode_int(tx.r or 0), encode_int(tx.s or 0))
    return _typed(tx.type, encode_list(fields))


def encode_unsigned(tx: Transaction) -> bytes:
    """What the sender signed: its keccak is the message of the signature (EIP-155 for type 0)."""
    fields = _fields(tx)
    if tx.type == 0 and (tx.v or 0) >= 35:
        fields += (encode_int(((tx.v or 0) - 35) // 2), EMPTY, EMPTY)
    return _typed(tx.type, encode_list(fields))


def encode_receipt(tx_type: int, receipt: Receipt, bloom: bytes, appended: Iterable[bytes] = ()) -> bytes:
    """The receipts root's value; `appended` is what a chain of its own puts behind, encoded."""
    outcome = encode_int(receipt.status) if receipt.status is not None else encode_bytes(receipt.root or b"")
    fields = [
        outcome,
        encode_int(receipt.cumulative_gas_used),
        _BLOOM + bloom,
        encode_list([_encode_log(log) for log in receipt.logs]),
    ]
    if tx_type == DEPOSIT and receipt.deposit_receipt_version is not None:
        fields += (encode_int(receipt.deposit_nonce or 0), encode_int(receipt.deposit_receipt_version))
    return _typed(tx_type, encode_list([*fields, *appended]))


def _encode_log(log: Log) -> bytes:
    topics = encode_list([_HASH + topic for topic in log.topics])
    return encode_list((_ADDRESS + log.address, topics, encode_bytes(log.data)))


def encode_withdrawal(withdrawal: Withdrawal) -> bytes:
    """What the trie of withdrawals holds of one (EIP-4895)."""
    return encode_list(
        (
            encode_int(withdrawal.index),
            encode_int(withdrawal.validator_index),
            _ADDRESS + withdrawal.address,
            encode_int(withdrawal.amount_gwei),
        )
    )


def encode_block(
    header: Header,
    transactions: Iterable[Transaction],
    ommers: Iterable[Header],
    withdrawals: Iterable[Withdrawal] | None,
    *,
    encode: Callable[[Transaction], bytes] = encode_transaction,
) -> bytes:
    """A whole block, as nodes send it to each other: its length is the `size` of JSON-RPC.

    A typed transaction is a byte string in the list of transactions (EIP-2718), one of type 0 a list itself.
    Source: the eth wire protocol, NewBlock: [header, transactions, ommers, withdrawals].
    """
    body = [encode_bytes(encode(tx)) if tx.type else encode(tx) for tx in transactions]
    parts = [encode_header(header), encode_list(body), encode_list([encode_header(ommer) for ommer in ommers])]
    if withdrawals is not None:
        parts.append(encode_list([encode_withdrawal(item) for item in withdrawals]))
    return encode_list(parts)


def encode_access_list(entries: Sequence[AccessEntry]) -> bytes:
    """The RLP of an access list (EIP-2930)."""
    if not entries:
        return EMPTY_LIST
    return encode_list(
        [encode_list((_ADDRESS + entry.address, encode_hashes(entry.storage_keys))) for entry in entries]
    )


def encode_hashes(hashes: Iterable[bytes]) -> bytes:
    """The RLP of a list of hashes."""
    return encode_list([_HASH + item for item in hashes])


def encode_authorizations(authorizations: Iterable[Authorization]) -> bytes:
    """The RLP of a list of authorizations (EIP-7702)."""
    return encode_list(
        [
            encode_list(
                (
                    encode_int(item.chain_id),
                    _ADDRESS + item.address,
                    encode_int(item.nonce),
                    encode_int(item.y_parity),
                    encode_int(item.r),
                    encode_int(item.s),
                )
            )
            for item in authorizations
        ]
    )


def _typed(tx_type: int, payload: bytes) -> bytes:
    return bytes((tx_type,)) + payload if tx_type else payload


def logs_bloom(logs: Iterable[Log]) -> int:
    """The bloom over each log's address and topics, as an integer of 2048 bits."""
    bloom = 0
    for log in logs:
        bloom |= _bloom_bits(log.address)
        for topic in log.topics:
            bloom |= _bloom_bits(topic)
    return bloom


def items_bloom(items: Iterable[bytes]) -> int:
    """The bloom over addresses and topics that are no `Log` yet, as an integer of 2048 bits."""
    bits = 0
    for item in items:
        bits |= _bloom_bits(item)
    return bits


@lru_cache(maxsize=BLOOM_CACHE)
def _bloom_bits(item: bytes) -> int:
    digest = keccak(item)
    return (
        1 << ((digest[0] << 8 | digest[1]) & 0x7FF)
        | 1 << ((digest[2] << 8 | digest[3]) & 0x7FF)
        | 1 << ((digest[4] << 8 | digest[5]) & 0x7FF)
    )
