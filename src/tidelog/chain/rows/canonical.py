"""The canonical form of what an answer says of a transaction: two honest endpoints give the same, and no lie is left.

An answer may fill in fields that the transaction's type does not have, and repeats in the receipt what follows
from elsewhere. Neither is under a commitment, so neither is stored: rows hold what the type encodes, and
what can be derived as it was derived.
"""

from typing import Any, NamedTuple

import msgspec

from tidelog.chain.blocks import Receipt, Transaction
from tidelog.chain.encoding.derived import contract_address, effective_gas_price
from tidelog.chain.encoding.items import DEPOSIT, SIGNED_TYPES
from tidelog.chain.encoding.variants import OPTIMISM_FORM, foreign_fields, form_of

_DEPOSIT = frozenset({"source_hash", "mint", "is_system_tx"})
_CAPS = frozenset({"max_fee_per_gas", "max_priority_fee_per_gas"})
_BLOBS = frozenset({"max_fee_per_blob_gas", "blob_versioned_hashes"})
_DELEGATIONS = frozenset({"authorization_list"})
_ACCESS = frozenset({"access_list"})
# what a type does not encode; gas price and chain id aside, which nearly every answer has beside it
_FOREIGN: dict[int, frozenset[str]] = {
    0: _DEPOSIT | _DELEGATIONS | _BLOBS | _CAPS | _ACCESS,
    1: _DEPOSIT | _DELEGATIONS | _BLOBS | _CAPS,
    2: _DEPOSIT | _DELEGATIONS | _BLOBS,
    3: _DEPOSIT | _DELEGATIONS,
    4: _DEPOSIT | _BLOBS,
    DEPOSIT: _DELEGATIONS | _BLOBS | _CAPS | _ACCESS | {"chain_id", "nonce", "v", "r", "s"},
}


def encoded_only(tx: Transaction) -> Transaction:
    """The transaction with nothing but what its type encodes; of an unknown type all is kept, as it was said."""
    form = None if tx.type in SIGNED_TYPES else form_of(tx)
    if form in (None, OPTIMISM_FORM):
        foreign = _FOREIGN.get(tx.type, frozenset()) if form or tx.type in SIGNED_TYPES else frozenset()
    else:
        foreign = foreign_fields(form)
    changes: dict[str, Any] = {name: None for name in foreign if getattr(tx, name) is not None}
    if form == OPTIMISM_FORM:  # absent and zero are encoded alike
        changes |= {"mint": tx.mint or 0, "is_system_tx": bool(tx.is_system_tx)}
    return msgspec.structs.replace(tx, **changes) if changes else tx


class Derived(NamedTuple):
    """What a receipt repeats: gas used, price paid per gas in wei, address of the created contract."""

    gas_used: int
    price: int | None
    contract: bytes | None


def derived(tx: Transaction, receipt: Receipt, base_fee: int | None, gas_used: int) -> Derived:
    """By the rules of Ethereum, which the check `derived` has compared with the answer."""
    price = effective_gas_price(tx, base_fee)
    return Derived(
        gas_used,
        receipt.effective_gas_price if price is None else price,
        contract_address(tx) or receipt.contract_address,
    )


def answered(receipt: Receipt) -> Derived:
    """The endpoint's word: where other rules hold, or for what is under no root."""
    return Derived(receipt.gas_used, receipt.effective_gas_price, receipt.contract_address)
