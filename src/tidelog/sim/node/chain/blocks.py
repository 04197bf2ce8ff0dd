"""A made block: its values, what it commits to, and its JSON as geth answers it. Nothing is invented here."""

from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from tidelog.chain.encoding.rlp import EMPTY_LIST, encode_bytes, encode_int, encode_list
from tidelog.sim.node.chain.pages import Page
from tidelog.sim.node.chain.transactions import Signature, Transaction, keccak

if TYPE_CHECKING:
    from tidelog.sim.node.contracts.world import World

BLOOM_BYTES = 256
BLOB_GAS = 131_072  # per blob (EIP-4844)
BLOOM_ITEMS_KEPT = 4_096  # addresses and topics repeat: the contracts of the pool and their events

# a header's fields as the hash has them, in order (EVM.md); a fork has the first so many
HEADER_FIELDS = (
    ("parent_hash", "parentHash"),
    ("uncles_hash", "sha3Uncles"),
    ("miner", "miner"),
    ("state_root", "stateRoot"),
    ("transactions_root", "transactionsRoot"),
    ("receipts_root", "receiptsRoot"),
    ("bloom", "logsBloom"),
    ("difficulty", "difficulty"),
    ("number", "number"),
    ("gas_limit", "gasLimit"),
    ("gas_used", "gasUsed"),
    ("timestamp", "timestamp"),
    ("extra_data", "extraData"),
    ("aura_step", "auraStep"),
    ("aura_seal", "auraSeal"),
    ("mix_hash", "mixHash"),
    ("nonce", "nonce"),
    ("base_fee", "baseFeePerGas"),
    ("withdrawals_root", "withdrawalsRoot"),
    ("blob_gas_used", "blobGasUsed"),
    ("excess_blob_gas", "excessBlobGas"),
    ("parent_beacon_root", "parentBeaconBlockRoot"),
    ("requests_hash", "requestsHash"),
    ("oddity", "simOddity"),
)


class Header(Struct, frozen=True):
    """Fees and gas in wei and gas; the timestamp in Unix seconds; None where the fork has no such field."""

    parent_hash: bytes
    uncles_hash: bytes
    miner: bytes
    state_root: bytes
    transactions_root: bytes
    receipts_root: bytes
    bloom: bytes
    difficulty: int
    number: int
    gas_limit: int
    gas_used: int
    timestamp: int
    extra_data: bytes
    mix_hash: bytes | None
    nonce: bytes | None
    base_fee: int | None = None
    withdrawals_root: bytes | None = None
    blob_gas_used: int | None = None
    excess_blob_gas: int | None = None
    parent_beacon_root: bytes | None = None
    requests_hash: bytes | None = None
    aura_step: int | None = None  # of a chain with Aura's seals, which has no mix hash and nonce
    aura_seal: bytes | None = None
    oddity: bytes | None = None  # a field that only this chain has

    def encoded(self) -> bytes:
        values = (getattr(self, name) for name, _ in HEADER_FIELDS)
        return encode_list(
            [
                encode_int(value) if isinstance(value, int) else encode_bytes(value)
                for value in values
                if value is not None
            ]
        )


class Log(Struct, frozen=True):
    address: bytes
    topics: tuple[bytes, ...]
    data: bytes

    def encoded(self) -> bytes:
        topics = encode_list([encode_bytes(topic) for topic in self.topics])
        return encode_list((encode_bytes(self.address), topics, encode_bytes(self.data)))


class Receipt(Struct, frozen=True):
    """`outcome` is the status, or the state root of before Byzantium."""

    outcome: int | bytes
    gas_used: int
    cumulative_gas: int
    bloom: int
    logs: tuple[Log, ...]

    def encoded(self, kind: int) -> bytes:
        body = encode_list(
            (
                encode_int(self.outcome) if isinstance(self.outcome, int) else encode_bytes(self.outcome),
                encode_int(self.cumulative_gas),
                encode_bytes(self.bloom.to_bytes(BLOOM_BYTES, "big")),
                encode_list([log.encoded() for log in self.logs]),
            )
        )
        return bytes((kind,)) + body if kind else body


class Withdrawal(Struct, frozen=True):
    """`amount` is in Gwei."""

    index: int
    validator: int
    address: bytes
    amount: int

    def encoded(self) -> bytes:
        numbers = (encode_int(self.index), encode_int(self.validator))
        return encode_list((*numbers, encode_bytes(self.address), encode_int(self.amount)))


@lru_cache(maxsize=BLOOM_ITEMS_KEPT)
def _bloom_bits(item: bytes) -> int:
    digest = keccak(item)
    bits = 0
    for at in (0, 2, 4):
        bits |= 1 << (int.from_bytes(digest[at : at + 2], "big") & 0x7FF)
    return bits


def bloom_of(logs: Sequence[Log]) -> int:
    """The bloom of these logs, as a big-endian number of 2048 bits (Yellow Paper, 4.3.1)."""
    bits = 0
    for log in logs:
        bits |= _bloom_bits(log.address)
        for topic in log.topics:
            bits |= _bloom_bits(topic)
    return bits


class Block(Struct, frozen=True, eq=False, dict=True):
    """A block, and what the next one goes on from: the accounts' nonces, the next withdrawal's index, the contracts."""

    header: Header
    hash: bytes
    transactions: tuple[Transaction, ...]
    receipts: tuple[Receipt, ...]
    withdrawals: tuple[Withdrawal, ...] | None
    blob_fee: int
    nonces: tuple[int, ...]
    next_withdrawal: int
    uncles: tuple[Header, ...] = ()
    world: "World | None" = None  # what the contracts hold after it; None: the chain has none

    @property
    def number(self) -> int:
        return self.header.number

    @property
    def parent_hash(self) -> bytes:
        return self.header.parent_hash

    @cached_property
    def page(self) -> Page:
        uncles = [msgspec.json.encode(_uncle_json(uncle)) for uncle in self.uncles]
        return Page(msgspec.json.encode(_block_json(self)), msgspec.json.encode(_receipts_json(self)), uncles)


def _hex(data: bytes) -> str:
    return "0x" + data.hex()


def _maybe_hex(data: bytes | None) -> str | None:
    return None if data is None else "0x" + data.hex()


def _header_json(header: Header) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, key in HEADER_FIELDS:
        value = getattr(header, name)
        if value is not None:
            fields[key] = hex(value) if isinstance(value, int) else _hex(value)
    return fields


def _uncle_json(uncle: Header) -> dict[str, Any]:
    """An uncle as geth answers it: a block with an empty body."""
    encoded = uncle.encoded()
    size = len(encode_list((encoded, EMPTY_LIST, EMPTY_LIST)))
    return _header_json(uncle) | {"hash": _hex(keccak(encoded)), "size": hex(size), "uncles": []}


def _block_json(block: Block) -> dict[str, Any]:
    fields = _header_json(block.header)
    place = {"blockHash": _hex(block.hash), "blockNumber": hex(block.number)}
    base_fee = block.header.base_fee or 0
    fields["hash"] = place["blockHash"]
    fields["size"] = hex(_size(block))
    fields["transactions"] = [
        _transaction_json(transaction, place, index, base_fee) for index, transaction in enumerate(block.transactions)
    ]
    fields["uncles"] = [_hex(keccak(uncle.encoded())) for uncle in block.uncles]
    if block.withdrawals is not None:
        fields["withdrawals"] = [
            {
                "index": hex(withdrawal.index),
                "validatorIndex": hex(withdrawal.validator),
                "address": _hex(withdrawal.address),
                "amount": hex(withdrawal.amount),
            }
            for withdrawal in block.withdrawals
        ]
    return fields


def _size(block: Block) -> int:
    """The length of the block's RLP in bytes."""
    transactions = [tx.raw if tx.payload.type == 0 else encode_bytes(tx.raw) for tx in block.transactions]
    parts = [
        block.header.encoded(),
        encode_list(transactions),
        encode_list([uncle.encoded() for uncle in block.uncles]),
    ]
    if block.withdrawals is not None:
        parts.append(encode_list([withdrawal.encoded() for withdrawal in block.withdrawals]))
    return len(encode_list(parts))


def _signature_json(signature: Signature) -> dict[str, Any]:
    return {"yParity": hex(signature.y_parity), "r": hex(signature.r), "s": hex(signature.s)}


def _transaction_json(transaction: Transaction, place: dict[str, str], index: int, base_fee: int) -> dict[str, Any]:
    payload = transaction.payload
    fields: dict[str, Any] = {
        **place,
        "from": _hex(transaction.sender),
        "gas": hex(payload.gas),
        "gasPrice": hex(transaction.price(base_fee)),
        "hash": _hex(transaction.hash),
        "input": _hex(payload.input),
        "nonce": hex(payload.nonce),
        "to": _maybe_hex(payload.to),
        "transactionIndex": hex(index),
        "value": hex(payload.value),
        "type": hex(payload.type),
    }
    if payload.type >= 2:
        fields["maxFeePerGas"] = hex(payload.fee_cap)
        fields["maxPriorityFeePerGas"] = hex(payload.tip)
    if payload.type >= 1:
        fields["accessList"] = [
            {"address": _hex(address), "storageKeys": [_hex(key) for key in keys]}
            for address, keys in payload.access_list
        ]
    if payload.type == 3:
        fields["maxFeePerBlobGas"] = hex(payload.blob_fee_cap)
        fields["blobVersionedHashes"] = [_hex(blob) for blob in payload.blob_hashes]
    if payload.type == 4:
        fields["authorizationList"] = [
            {
                "chainId": hex(entry.chain_id),
                "address": _hex(entry.address),
                "nonce": hex(entry.nonce),
                **_signature_json(entry.signature),
            }
            for entry in payload.authorizations
        ]
    if payload.chain_id is not None:
        fields["chainId"] = hex(payload.chain_id)
    fields["v"] = hex(transaction.v)
    signature = _signature_json(transaction.signature)
    if payload.type == 0:
        del signature["yParity"]
    return fields | signature


def _receipts_json(block: Block) -> list[dict[str, Any]]:
    place = {"blockHash": _hex(block.hash), "blockNumber": hex(block.number)}
    moment = hex(block.header.timestamp)
    base_fee = block.header.base_fee or 0
    answer = []
    log_index = 0
    for index, (transaction, receipt) in enumerate(zip(block.transactions, block.receipts, strict=True)):
        where = {**place, "transactionHash": _hex(transaction.hash), "transactionIndex": hex(index)}
        logs = [
            {
                "address": _hex(log.address),
                "topics": [_hex(topic) for topic in log.topics],
                "data": _hex(log.data),
                **where,
                "blockTimestamp": moment,
                "logIndex": hex(log_index + offset),
                "removed": False,
            }
            for offset, log in enumerate(receipt.logs)
        ]
        log_index += len(logs)
        fields: dict[str, Any] = {
            **where,
            "contractAddress": _maybe_hex(transaction.created),
            "cumulativeGasUsed": hex(receipt.cumulative_gas),
            "effectiveGasPrice": hex(transaction.price(base_fee)),
            "from": _hex(transaction.sender),
            "gasUsed": hex(receipt.gas_used),
            "logs": logs,
            "logsBloom": _hex(receipt.bloom.to_bytes(BLOOM_BYTES, "big")),
            "to": _maybe_hex(transaction.payload.to),
            "type": hex(transaction.payload.type),
        }
        if isinstance(receipt.outcome, int):
            fields["status"] = hex(receipt.outcome)
        else:
            fields["root"] = _hex(receipt.outcome)
        if transaction.payload.type == 3:
            fields["blobGasUsed"] = hex(BLOB_GAS * len(transaction.payload.blob_hashes))
            fields["blobGasPrice"] = hex(block.blob_fee)
        answer.append(fields)
    return answer
