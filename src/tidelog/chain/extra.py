"""What an endpoint adds to a block, a transaction or a receipt: JSON text, kept apart, read back, and bounded.

No commitment covers most of it. What one does on some chain (see `variants` and `headers`) is kept without limits.
"""

from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Raw

OBJECT_BYTES_MAX = 4 * 1024  # of one object: L1 fees and the like take up to 500; of unknown types, see below
KEPT_RAW_BYTES_MAX = (
    256 * 1024
)  # of a type that cannot be read, which has no other record: a transaction's largest size
BLOCK_BYTES = 16 * 1024  # of all objects of a block together, and for each transaction
TRANSACTION_BYTES = 1024  # this much more: no node is known to add more to most transactions of a block
EXTRAS_CACHED = 1 << 10  # texts of extra fields, parsed several times for each block

_raw_fields = msgspec.json.Decoder(dict[str, Raw])


@lru_cache(maxsize=EXTRAS_CACHED)
def own_fields(text: str | None) -> Mapping[str, Any]:
    """The fields of a text of extra fields; none where it is none."""
    value = {} if text is None else msgspec.json.decode(text)
    return value if isinstance(value, dict) else {}


def quantity_of(value: object) -> int | None:
    """The number of a hex text; None for anything else."""
    if not isinstance(value, str) or not value.startswith("0x") or not value[2:].isalnum():
        return None
    try:
        return int(value, 16)
    except ValueError:
        return None


def octets_of(value: object, size: int | None = None) -> bytes | None:
    """The bytes of a hex text, if there are `size` of them; None for anything else."""
    if not isinstance(value, str) or not value.startswith("0x"):
        return None
    try:
        octets = bytes.fromhex(value[2:])
    except ValueError:
        return None
    return octets if size is None or len(octets) == size else None


def bounded(text: str, limit: int, committed: Collection[str]) -> tuple[str | None, tuple[str, ...]]:
    """As much of a text of extra fields as `limit` bytes hold, and the names of the fields dropped.

    The smallest fields stay, so that one huge field does not cost the others; those of `committed` always do.
    """
    if len(text) * 4 <= limit or len(text.encode()) <= limit:
        return text, ()
    fields = _raw_fields.decode(text)
    size, kept = 2, {}
    for name in sorted(fields, key=lambda name: (name not in committed, len(bytes(fields[name])), name)):
        cost = len(name.encode()) + len(bytes(fields[name])) + 4
        if name in committed or size + cost <= limit:
            kept[name] = fields[name]
            size += cost
    dropped = tuple(sorted(fields.keys() - kept.keys()))
    text = msgspec.json.encode(dict(sorted(kept.items()))).decode()
    return (text if kept else None), dropped
