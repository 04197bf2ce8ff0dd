"""What follows from a transaction by its chain's rules: its price, the contract that it makes. Pure."""

from tidelog.chain.blocks import Transaction
from tidelog.chain.encoding.items import DEPOSIT, keccak
from tidelog.chain.encoding.rlp import encode_bytes, encode_int, encode_list


def state_sync_hash(number: int, block_hash: bytes) -> bytes:
    """The hash of Polygon's state-sync transaction, which no root covers (bor, core/types/bor_receipt.go)."""
    return keccak(b"matic-bor-receipt-" + number.to_bytes(8, "big") + block_hash)


def effective_gas_price(tx: Transaction, base_fee: int | None) -> int | None:
    """The price per gas that was paid, in wei (EIP-1559); None for types that pay otherwise."""
    if tx.type in (0, 1):
        return tx.gas_price
    if tx.type not in (2, 3, 4) or base_fee is None:
        return None
    return min(tx.max_fee_per_gas or 0, base_fee + (tx.max_priority_fee_per_gas or 0))


def contract_address(tx: Transaction) -> bytes | None:
    """The address that a creating transaction gives its contract; None if it creates none.

    None for deposits too: the nonce that theirs follows from is not the transaction's.
    """
    if tx.to is not None or tx.nonce is None or tx.type == DEPOSIT:
        return None
    return keccak(encode_list((encode_bytes(tx.sender), encode_int(tx.nonce))))[12:]
