"""Whose key has signed a transaction: the check that an extra library makes possible. Pure."""

import functools
from typing import TYPE_CHECKING

from tidelog.chain.blocks import Transaction
from tidelog.chain.encoding.items import keccak
from tidelog.chain.encoding.variants import message
from tidelog.errors import ConfigError

if TYPE_CHECKING:
    from coincurve import PublicKey


@functools.cache
def _public_key() -> "type[PublicKey]":
    """Imported when a sender is asked for: it is an extra."""
    try:
        from coincurve import PublicKey
    except ImportError:
        raise ConfigError(
            "recovering senders needs a library that is not here: pip install 'tidelog[senders]'"
        ) from None
    return PublicKey


def require_senders() -> None:
    """ConfigError if senders cannot be recovered here, said before a sync begins."""
    _public_key()


def recover_sender(tx: Transaction) -> bytes | None:
    """The address whose key signed the transaction; None if the signature is none.

    Raises:
        ConfigError: the library that computes it is not installed.
    """
    public_key = _public_key()
    v = tx.v or 0
    parity = v if tx.type else (v - 35) % 2 if v >= 35 else v - 27
    try:
        signature = (tx.r or 0).to_bytes(32, "big") + (tx.s or 0).to_bytes(32, "big") + bytes((parity,))
        key = public_key.from_signature_and_message(signature, keccak(message(tx) or b""), hasher=None)
    except (ValueError, OverflowError):
        return None
    return keccak(key.format(compressed=False)[1:])[12:]
