"""The fields of a block header, in one table: decoding, rows and the header's hash all go by it.

A field of a fork to come is a line here, an attribute of `Header` (`blocks.py`) and of `BlockColumns`
(`rows/columns.py`), and a migration. Tests hold the three to one order. Sources: Yellow Paper 4.4; EIP-1559, 4895,
4844, 4788, 7685; of Amsterdam, EIP-7928 and 7843.
"""

from enum import Enum
from typing import NamedTuple

__all__ = ["APPENDED", "HASHED", "HEADER_FIELDS", "Fork", "HeaderField", "Kind"]


class Kind(Enum):
    """What a header field holds."""

    HASH = "32 bytes"
    ADDRESS = "20 bytes"
    BLOOM = "256 bytes"
    NONCE = "8 bytes"
    DATA = "bytes of any length"
    NUMBER = "an integer of 63 bits"  # what a store sorts by
    UINT64 = "an integer of 64 bits"
    UINT256 = "an integer of 256 bits"

    @property
    def is_integer(self) -> bool:
        """Whether a value is an int; all others are bytes."""
        return self in (Kind.NUMBER, Kind.UINT64, Kind.UINT256)

    @property
    def size(self) -> int | None:
        """In bytes; None where a value has no fixed size."""
        return _SIZES.get(self)


_SIZES = {Kind.HASH: 32, Kind.ADDRESS: 20, Kind.BLOOM: 256, Kind.NONCE: 8}


class Fork(Enum):
    """Since when headers have a field."""

    FRONTIER = 1
    LONDON = 2
    SHANGHAI = 3
    CANCUN = 4
    PRAGUE = 5
    AMSTERDAM = 6


class HeaderField(NamedTuple):
    """One field. `name` is its attribute of `Header` and its column of `blocks`, `json` its name in answers."""

    name: str
    json: str
    kind: Kind
    fork: Fork
    place: int | None  # in the RLP list that the header's hash is over; None: the hash itself
    optional: bool  # whether a block may be without it

    @property
    def appended(self) -> bool:
        """Whether a fork has put it behind those that were there before."""
        return self.fork is not Fork.FRONTIER


def _frontier(name: str, json: str, kind: Kind, place: int | None, *, optional: bool = False) -> HeaderField:
    return HeaderField(name, json, kind, Fork.FRONTIER, place, optional)


def _since(fork: Fork, name: str, json: str, kind: Kind, place: int) -> HeaderField:
    return HeaderField(name, json, kind, fork, place, True)


HEADER_FIELDS = (
    _frontier("number", "number", Kind.NUMBER, 8),
    _frontier("hash", "hash", Kind.HASH, None),
    _frontier("parent_hash", "parentHash", Kind.HASH, 0),
    _frontier("ommers_hash", "sha3Uncles", Kind.HASH, 1),
    _frontier("miner", "miner", Kind.ADDRESS, 2),
    _frontier("state_root", "stateRoot", Kind.HASH, 3),
    _frontier("transactions_root", "transactionsRoot", Kind.HASH, 4),
    _frontier("receipts_root", "receiptsRoot", Kind.HASH, 5),
    _frontier("logs_bloom", "logsBloom", Kind.BLOOM, 6),
    _frontier("difficulty", "difficulty", Kind.UINT256, 7),
    _frontier("gas_limit", "gasLimit", Kind.UINT64, 9),
    _frontier("gas_used", "gasUsed", Kind.UINT64, 10),
    _frontier("timestamp", "timestamp", Kind.UINT64, 11),
    _frontier("extra_data", "extraData", Kind.DATA, 12),
    _frontier("mix_hash", "mixHash", Kind.HASH, 13, optional=True),  # AuRa has a seal in the place of these two
    _frontier("nonce", "nonce", Kind.NONCE, 14, optional=True),
    _since(Fork.LONDON, "base_fee_per_gas", "baseFeePerGas", Kind.UINT256, 15),
    _since(Fork.SHANGHAI, "withdrawals_root", "withdrawalsRoot", Kind.HASH, 16),
    _since(Fork.CANCUN, "blob_gas_used", "blobGasUsed", Kind.UINT64, 17),
    _since(Fork.CANCUN, "excess_blob_gas", "excessBlobGas", Kind.UINT64, 18),
    _since(Fork.CANCUN, "parent_beacon_block_root", "parentBeaconBlockRoot", Kind.HASH, 19),
    _since(Fork.PRAGUE, "requests_hash", "requestsHash", Kind.HASH, 20),
    _since(Fork.AMSTERDAM, "block_access_list_hash", "blockAccessListHash", Kind.HASH, 21),
    _since(Fork.AMSTERDAM, "slot_number", "slotNumber", Kind.UINT64, 22),
)
"""In the order of `Header`, and of the columns of `blocks`."""

HASHED = tuple(
    sorted((field for field in HEADER_FIELDS if field.place is not None), key=lambda field: field.place or 0)
)
"""In the order of the RLP list."""

APPENDED = tuple([field for field in HASHED if field.appended])
"""Those that forks have appended: each is there only where all before it are."""
