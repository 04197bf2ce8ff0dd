"""Transactions and receipts that only some chains have: which form one is of, and what its hash is over.

Type 0x7e alone has three forms. A transaction is of a form if it has the form's fields and hashes right by them, so
that one on a chain that nobody described is read too, and one of no known form is kept raw. The fields that a form
has beyond Ethereum's stand in `extra`, in the answer's own words: there the store keeps them, and reads them back.

Sources: OP stack specification, "Deposits"; scroll-tech/go-ethereum, core/types/l1_message_tx.go;
berachain/bera-geth, core/types/tx_pol.go (BRIP-4); celo-org/celo-proposals, CIP-64, and Cel2's receipts.
"""

from collections.abc import Mapping

from tidelog.chain.blocks import Receipt, Transaction
from tidelog.chain.encoding.items import (
    DEPOSIT,
    SIGNED_TYPES,
    encode_access_list,
    encode_transaction,
    encode_unsigned,
    keccak,
)
from tidelog.chain.encoding.rlp import EMPTY, encode_bytes, encode_int, encode_list
from tidelog.chain.extra import octets_of, own_fields, quantity_of

CELO = 0x7B  # CIP-64
OPTIMISM_FORM, SCROLL_FORM, BERACHAIN_FORM, CELO_FORM = "deposit", "scroll", "berachain", "celo"

FORM_TYPES: Mapping[int, frozenset[str]] = {
    DEPOSIT: frozenset({OPTIMISM_FORM, SCROLL_FORM, BERACHAIN_FORM}),
    CELO: frozenset({CELO_FORM}),
}
"""By transaction type, the forms that it has on one chain or another."""

COMMITTED = frozenset({"queueIndex", "feeCurrency", "baseFee"})
"""Fields in `extra` of a transaction or receipt that a hash is over: they are not dropped."""


def form_of(tx: Transaction) -> str | None:
    """The form of a transaction of a type that Ethereum does not have; None if it is of none that is known."""
    if tx.type == DEPOSIT and tx.source_hash is not None:
        return OPTIMISM_FORM
    encoded = _encoded(tx)
    return None if encoded is None or keccak(encoded[1]) != tx.hash else encoded[0]


def is_encodable(tx: Transaction) -> bool:
    """Whether the bytes that the transaction's hash is over can be made."""
    return tx.type in SIGNED_TYPES or form_of(tx) is not None


def encode(tx: Transaction) -> bytes:
    """What the transaction's hash is over, of any form; the transaction has to be encodable."""
    if tx.type in SIGNED_TYPES or tx.source_hash is not None:
        return encode_transaction(tx)
    encoded = _encoded(tx)
    assert encoded is not None, "only an encodable transaction is encoded"
    return encoded[1]


def message(tx: Transaction) -> bytes | None:
    """What the sender signed; None where nothing is signed, since the hash itself covers the sender."""
    if tx.type in SIGNED_TYPES:
        return encode_unsigned(tx)
    return bytes((CELO,)) + encode_list(_celo(tx)) if tx.type == CELO else None


def _encoded(tx: Transaction) -> tuple[str, bytes] | None:
    if tx.type == DEPOSIT:
        form, fields = (
            (SCROLL_FORM, _scroll(tx)) if "queueIndex" in own_fields(tx.extra) else (BERACHAIN_FORM, _bera(tx))
        )
    elif tx.type == CELO:
        form, fields = CELO_FORM, _celo(tx)
        if fields and None not in (tx.v, tx.r, tx.s):
            fields += (encode_int(tx.v or 0), encode_int(tx.r or 0), encode_int(tx.s or 0))
    else:
        return None
    return (form, bytes((tx.type,)) + encode_list(fields)) if fields else None


def _to(tx: Transaction) -> bytes:
    return EMPTY if tx.to is None else encode_bytes(tx.to)


def _scroll(tx: Transaction) -> list[bytes]:
    """An L1 message."""
    queue_index = quantity_of(own_fields(tx.extra).get("queueIndex"))
    if queue_index is None or tx.gas is None or tx.value is None or tx.input is None:
        return []
    payload = (_to(tx), encode_int(tx.value), encode_bytes(tx.input), encode_bytes(tx.sender))
    return [encode_int(queue_index), encode_int(tx.gas), *payload]


def _bera(tx: Transaction) -> list[bytes]:
    """A proof-of-liquidity transaction, which the node itself puts first into the block."""
    if tx.chain_id is None or tx.nonce is None or tx.gas is None or tx.gas_price is None or tx.input is None:
        return []
    numbers = (encode_int(tx.nonce), encode_int(tx.gas), encode_int(tx.gas_price))
    return [encode_int(tx.chain_id), encode_bytes(tx.sender), _to(tx), *numbers, encode_bytes(tx.input)]


def _celo(tx: Transaction) -> list[bytes]:
    """A transaction that pays its fees in another currency; without the signature."""
    named = own_fields(tx.extra).get("feeCurrency")
    currency = b"" if named is None else octets_of(named, 20)
    numbers = (tx.chain_id, tx.nonce, tx.max_priority_fee_per_gas, tx.max_fee_per_gas, tx.gas)
    if currency is None or tx.value is None or tx.input is None or tx.access_list is None or None in numbers:
        return []
    payload = (_to(tx), encode_int(tx.value), encode_bytes(tx.input), encode_access_list(tx.access_list))
    return [*[encode_int(number or 0) for number in numbers], *payload, encode_bytes(currency)]


# what a form encodes, beside hash, type, sender, recipient, gas and input, which all have
_ENCODED: Mapping[str, frozenset[str]] = {
    SCROLL_FORM: frozenset({"value"}),
    BERACHAIN_FORM: frozenset({"chain_id", "nonce", "gas_price"}),
    CELO_FORM: frozenset(
        {"value", "chain_id", "nonce", "max_fee_per_gas", "max_priority_fee_per_gas", "access_list", "v", "r", "s"}
    ),
}
_EITHER = frozenset(
    {
        *("value", "nonce", "gas_price", "max_fee_per_gas", "max_priority_fee_per_gas", "max_fee_per_blob_gas"),
        *("chain_id", "access_list", "blob_versioned_hashes", "authorization_list", "v", "r", "s"),
        *("mint", "is_system_tx"),
    }
)


def foreign_fields(form: str) -> frozenset[str]:
    """The fields of a transaction that its form does not encode; of deposits `tidelog.chain.rows.canonical` knows."""
    return _EITHER - _ENCODED[form]


def receipt_appends(tx_type: int, receipt: Receipt) -> list[bytes]:
    """What a chain appends to the receipts of a type of its own: Celo the base fee, in the fee's currency."""
    base_fee = quantity_of(own_fields(receipt.extra).get("baseFee")) if tx_type == CELO else None
    return [] if base_fee is None else [encode_int(base_fee)]
