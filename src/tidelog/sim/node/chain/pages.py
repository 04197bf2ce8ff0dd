"""A block as JSON, kept encoded: what a node answers from memory, whole or by part.

A page knows nothing of how a block is made or proven. It is fed with two `result` texts, of
`eth_getBlockByNumber` with full transactions and of `eth_getBlockReceipts`, and gives the others from them.
"""

from collections.abc import Sequence
from functools import cached_property

import msgspec
from msgspec import Raw, Struct

BODY_FIELDS = ("transactions", "uncles", "withdrawals", "size", "totalDifficulty")  # not in a newHeads header

_fields = msgspec.json.Decoder(dict[str, Raw])
_items = msgspec.json.Decoder(list[Raw])


class _Hashed(Struct):
    hash: str


class _Receipt(Struct, rename="camel"):
    transaction_hash: str
    logs: list[Raw]


class _Logging(Struct):
    address: str


class _Logged(Struct):
    logs: list[_Logging]


_hashes = msgspec.json.Decoder(list[_Hashed])
_receipts = msgspec.json.Decoder(list[_Receipt] | None)
_logged = msgspec.json.Decoder(list[_Logged] | None)
_raw_receipts = msgspec.json.Decoder(list[Raw] | None)


class Page:
    """The JSON of one block. Each part is cut out at its first use and kept."""

    def __init__(self, full: bytes, receipts: bytes, uncles: Sequence[bytes] = ()) -> None:
        self.full = full
        self.receipts = receipts
        self.uncles = uncles  # their headers, as eth_getUncleBy.. answers them

    @cached_property
    def brief(self) -> bytes:
        """The block with the hashes of its transactions."""
        fields: dict[str, object] = dict(_fields.decode(self.full))
        fields["transactions"] = self.transaction_hashes
        return msgspec.json.encode(fields)

    @cached_property
    def header(self) -> bytes:
        """What a `newHeads` notification carries."""
        fields = _fields.decode(self.full)
        return msgspec.json.encode({name: raw for name, raw in fields.items() if name not in BODY_FIELDS})

    @cached_property
    def transactions(self) -> list[Raw]:
        return _items.decode(_fields.decode(self.full)["transactions"])

    @cached_property
    def transaction_hashes(self) -> list[str]:
        return [item.hash for item in _hashes.decode(_fields.decode(self.full)["transactions"])]

    @cached_property
    def single_receipts(self) -> dict[str, Raw]:
        """By transaction hash: recorded receipts may be fewer than the transactions."""
        keys = [receipt.transaction_hash for receipt in _receipts.decode(self.receipts) or ()]
        return dict(zip(keys, _raw_receipts.decode(self.receipts) or (), strict=True))

    @cached_property
    def logs(self) -> list[Raw]:
        return [log for receipt in _receipts.decode(self.receipts) or () for log in receipt.logs]

    @cached_property
    def log_addresses(self) -> frozenset[str]:
        """What logged in the block: by it a search passes over blocks, as a node does by their blooms."""
        return frozenset([log.address for receipt in _logged.decode(self.receipts) or () for log in receipt.logs])
