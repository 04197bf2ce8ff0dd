"""A block and all it carries, as typed, frozen values: bytes and ints, never "0x" text.

Every field that a block's header commits to is here. No decoding, no proof, no rows: those are next door.
"""

from msgspec import Struct

TYPE_MAX = 0xFF  # a transaction's type is one byte (EIP-2718); zkSync uses the highest


class BlockRef(Struct, frozen=True, gc=False):
    """What a chain is made of: a block's number, its hash and its parent's."""

    number: int
    hash: bytes
    parent_hash: bytes


class Header(Struct, frozen=True):
    """A block header. Optional fields are None where the fork, or the chain, does not have them.

    `ommers_hash` and `logs_bloom` are empty where an answer leaves them out: both can be computed.
    """

    number: int
    hash: bytes
    parent_hash: bytes
    ommers_hash: bytes
    miner: bytes
    state_root: bytes
    transactions_root: bytes
    receipts_root: bytes
    logs_bloom: bytes
    difficulty: int
    gas_limit: int
    gas_used: int
    timestamp: int
    extra_data: bytes
    mix_hash: bytes | None
    nonce: bytes | None
    base_fee_per_gas: int | None
    withdrawals_root: bytes | None
    blob_gas_used: int | None
    excess_blob_gas: int | None
    parent_beacon_block_root: bytes | None
    requests_hash: bytes | None
    block_access_list_hash: bytes | None
    slot_number: int | None
    seal: tuple[int, bytes] | None = None  # AuRa: step and signature, in the place of mixHash and nonce
    parent_proposer_pubkey: bytes | None = None  # Berachain: 48 bytes, behind all others


class AccessEntry(Struct, frozen=True):
    """One address of an EIP-2930 access list, with its storage keys."""

    address: bytes
    storage_keys: tuple[bytes, ...]


class Authorization(Struct, frozen=True):
    """One EIP-7702 authorization."""

    chain_id: int
    address: bytes
    nonce: int
    y_parity: int
    r: int
    s: int


class Transaction(Struct, frozen=True):
    """A transaction of any type; which fields are set depends on `type` (EIP-2718).

    `v` is v for type 0 and the y parity for the others. Of a type that tidelog cannot encode, only what
    the answer has is set; the rest of the answer is in `extra`.
    """

    block_hash: bytes
    block_number: int
    index: int
    hash: bytes
    type: int
    sender: bytes
    to: bytes | None
    nonce: int | None
    value: int | None
    gas: int | None
    gas_price: int | None  # types 0 and 1: as signed; others: the effective price, derived
    max_fee_per_gas: int | None
    max_priority_fee_per_gas: int | None
    max_fee_per_blob_gas: int | None
    input: bytes | None
    chain_id: int | None
    access_list: tuple[AccessEntry, ...] | None
    blob_versioned_hashes: tuple[bytes, ...] | None
    authorization_list: tuple[Authorization, ...] | None
    v: int | None
    r: int | None
    s: int | None
    source_hash: bytes | None
    mint: int | None
    is_system_tx: bool | None
    extra: str | None


class Withdrawal(Struct, frozen=True):
    """A withdrawal from the consensus layer (EIP-4895); the amount is in Gwei."""

    index: int
    validator_index: int
    address: bytes
    amount_gwei: int


class Block(Struct, frozen=True):
    """A block with its transactions. `withdrawals` is None where the block has no such list.

    `ommers` are the headers of its uncles; None if no endpoint gave them. `uncles` are their hashes.
    """

    header: Header
    transactions: tuple[Transaction, ...]
    uncles: tuple[bytes, ...]
    withdrawals: tuple[Withdrawal, ...] | None
    extra: str | None
    ommers: tuple[Header, ...] | None = None


class Log(Struct, frozen=True):
    """A log entry. All but address, topics and data say where it is, and are compared with that."""

    address: bytes
    topics: tuple[bytes, ...]
    data: bytes
    block_hash: bytes | None
    block_number: int | None
    transaction_hash: bytes | None
    transaction_index: int | None
    log_index: int | None


class Receipt(Struct, frozen=True):
    """A transaction's receipt. Exactly one of `status` and `root` is set (EIP-658).

    `type` is None where the answer has none: it is the transaction's, by which receipts are encoded.
    """

    block_hash: bytes
    block_number: int
    transaction_hash: bytes
    transaction_index: int
    type: int | None
    status: int | None
    root: bytes | None
    cumulative_gas_used: int
    gas_used: int
    effective_gas_price: int | None
    contract_address: bytes | None
    logs_bloom: bytes | None
    logs: tuple[Log, ...]
    deposit_nonce: int | None
    deposit_receipt_version: int | None
    extra: str | None


class Bundle(Struct, frozen=True):
    """A block and its receipts, in transaction order: the unit that is proven and stored."""

    block: Block
    receipts: tuple[Receipt, ...]


class RawBlock(Struct, frozen=True):
    """A block and its receipts as answered, not yet decoded: the decoding runs off the event loop."""

    block: bytes
    receipts: bytes  # an array
    singly: bool = False  # whether each receipt was asked for by itself
    uncles: tuple[bytes, ...] | None = None  # their headers; None: there are none, or the endpoint does not give them

    @property
    def size_bytes(self) -> int:
        """The bytes of all answers together."""
        size = len(self.block) + len(self.receipts)
        return size + sum(map(len, self.uncles)) if self.uncles else size
