"""The JSON shapes of JSON-RPC answers, and the converters of their fields: below each shape, in the same order. Pure.

Every scalar is a hex string, of the right length where that is fixed. `strict` reads answers by these.
"""

from collections.abc import Sequence
from itertools import islice
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw, Struct

from tidelog.chain.blocks import (
    AccessEntry,
    Authorization,
)
from tidelog.chain.decode.scalars import (
    Address,
    Bloom,
    Convert,
    Hash,
    Nonce,
    address20,
    byte,
    fixed,
    hash32,
    hash_lists,
    hex_data,
    integer,
    optional,
    optionals,
    same,
    uint64,
    uint256,
)
from tidelog.chain.header_fields import HEADER_FIELDS, HeaderField, Kind


class Wire(Struct, rename="camel"):
    """What an answer calls in camel case."""


class WireAccess(Wire, kw_only=True):
    """An entry of an access list."""

    address: Address
    storage_keys: list[Hash] | None


class WireAuthorization(Wire, kw_only=True):
    """An authorization, whose parity has one of two names."""

    chain_id: str
    address: Address
    nonce: str
    r: str
    s: str
    y_parity: str | None = None
    v: str | None = None


def _access_lists(lists: Sequence[list[WireAccess]]) -> list[tuple[AccessEntry, ...]]:
    entries = [entry for wires in lists for entry in wires]
    addresses = address20([entry.address for entry in entries])
    keys = hash_lists([entry.storage_keys or [] for entry in entries])
    made = iter(list(map(AccessEntry, addresses, keys)))
    return [tuple(islice(made, len(wires))) for wires in lists]


def _authorization_lists(lists: Sequence[list[WireAuthorization]]) -> list[tuple[Authorization, ...]]:
    return [tuple([_authorization(wire) for wire in wires]) for wires in lists]


def _authorization(wire: WireAuthorization) -> Authorization:
    parity = wire.v if wire.y_parity is None else wire.y_parity
    chain_id, nonce, y_parity, r, s = uint256((wire.chain_id, wire.nonce, parity or "", wire.r, wire.s))
    return Authorization(chain_id, address20((wire.address,))[0], nonce, y_parity, r, s)


_TEXTS: dict[Kind, Any] = {Kind.HASH: Hash, Kind.ADDRESS: Address, Kind.BLOOM: Bloom, Kind.NONCE: Nonce}
_CONVERTERS: dict[Kind, Convert] = {
    Kind.HASH: hash32,
    Kind.ADDRESS: address20,
    Kind.BLOOM: fixed(256),
    Kind.NONCE: fixed(8),
    Kind.DATA: hex_data,
    Kind.NUMBER: integer,
    Kind.UINT64: uint64,
    Kind.UINT256: uint256,
}


def _shape(field: HeaderField) -> Any:
    text = _TEXTS.get(field.kind, str)
    return (field.name, text | None, None) if field.optional else (field.name, text)


WireHeader: type[Struct] = msgspec.defstruct(
    "WireHeader",
    [_shape(field) for field in HEADER_FIELDS],
    bases=(Wire,),
    kw_only=True,
    rename={field.name: field.json for field in HEADER_FIELDS},
)
HEADER_COLUMNS: tuple[Convert, ...] = tuple(
    [optional(_CONVERTERS[field.kind]) if field.optional else _CONVERTERS[field.kind] for field in HEADER_FIELDS]
)


class WireTransaction(Wire, kw_only=True, forbid_unknown_fields=True):
    """A transaction of any type."""

    block_hash: Hash
    block_number: str
    transaction_index: str
    hash: Hash
    type: str | None = None  # nodes from before Berlin do not send one
    from_: Address = msgspec.field(name="from")
    to: Address | None = None
    nonce: str | None = None
    value: str | None = None
    gas: str | None = None
    gas_price: str | None = None
    max_fee_per_gas: str | None = None
    max_priority_fee_per_gas: str | None = None
    max_fee_per_blob_gas: str | None = None
    input: str | None = None
    chain_id: str | None = None
    access_list: list[WireAccess] | None = None
    blob_versioned_hashes: list[Hash] | None = None
    authorization_list: list[WireAuthorization] | None = None
    v: str | None = None
    r: str | None = None
    s: str | None = None
    source_hash: Hash | None = None
    mint: str | None = None
    is_system_tx: bool | None = None
    y_parity: str | None = None
    block_timestamp: Any = None  # repeats the block's


TRANSACTION_COLUMNS: tuple[Convert, ...] = (
    hash32, integer, integer, hash32, optional(byte), address20, *optionals(
        address20, uint64, uint256, uint64, uint256, uint256, uint256, uint256, hex_data, uint64,
        _access_lists, hash_lists, _authorization_lists, uint64, uint256, uint256, hash32, uint256,
        same, uint64, same,
    ),
)  # fmt: skip


class WireWithdrawal(Wire, kw_only=True):
    """A withdrawal."""

    index: str
    validator_index: str
    address: Address
    amount: str


WITHDRAWAL_COLUMNS: tuple[Convert, ...] = (uint64, uint64, address20, uint64)


WireBlock: type[Struct] = msgspec.defstruct(
    "WireBlock",
    [
        ("transactions", Raw),
        ("uncles", list[Hash] | None, None),
        ("withdrawals", list[WireWithdrawal] | None, None),
    ],
    bases=(WireHeader,),
    kw_only=True,
)


class WireLog(Wire, kw_only=True):
    """A log of a receipt."""

    address: Address
    topics: Annotated[list[Hash], Meta(max_length=4)]
    data: str
    block_hash: Hash | None = None
    block_number: str | None = None
    transaction_hash: Hash | None = None
    transaction_index: str | None = None
    log_index: str | None = None


LOG_COLUMNS: tuple[Convert, ...] = (
    address20, hash_lists, hex_data, *optionals(hash32, integer, hash32, integer, integer),
)  # fmt: skip


class WireReceipt(Wire, kw_only=True, forbid_unknown_fields=True):
    """A receipt of a transaction of any type."""

    block_hash: Hash
    block_number: str
    transaction_hash: Hash
    transaction_index: str
    type: str | None = None  # repeats the transaction's
    status: str | None = None
    root: Hash | None = None
    cumulative_gas_used: str
    gas_used: str
    effective_gas_price: str | None = None
    contract_address: Address | None = None
    logs_bloom: Bloom | None = None
    logs: list[WireLog]
    deposit_nonce: str | None = None
    deposit_receipt_version: str | None = None
    blob_gas_price: str | None = None  # this one and the next go into `extra`: no commitment covers them
    blob_gas_used: str | None = None
    from_: Any = msgspec.field(name="from", default=None)  # this one and the next two repeat the transaction
    to: Any = None
    block_timestamp: Any = None


RECEIPT_COLUMNS: tuple[Convert, ...] = (
    hash32, integer, hash32, integer, optional(byte), optional(integer), optional(hash32), uint64,
    uint64, optional(uint256), optional(address20), optional(fixed(256)), same, optional(uint64),
    optional(uint64), same, same, same, same, same,
)  # fmt: skip


class LooseTransaction(WireTransaction, kw_only=True, forbid_unknown_fields=False):
    """A transaction with fields that are not known."""


class LooseReceipt(WireReceipt, kw_only=True, forbid_unknown_fields=False):
    """A receipt with fields that are not known."""
