"""What an endpoint adds to a block, a transaction or a receipt: JSON text, kept apart, read back, and bounded.

No commitment covers most of it. What one does on some chain (see `variants` and `headers`) is never dropped, unless it
is larger than any such field.
"""

import re
from collections.abc import Mapping, Set
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
COMMITTED_BYTES_MAX = 1024  # of a field that a commitment covers on some chain: a signature, the largest, takes 134
NESTED_MAX = 32  # objects and lists within each other: who reads them back may have little room on its stack
EXTRAS_CACHED = 1 << 10  # texts of extra fields, parsed several times for each block; larger ones are not remembered

_raw_fields = msgspec.json.Decoder(dict[str, Raw])
_strings = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"')
_brackets = re.compile(r"[][{}]")


def own_fields(text: str | None) -> Mapping[str, Any]:
    """The fields of a text of extra fields; none where it is none."""
    if text is None:
        return {}
    return _parsed(text) if len(text) <= OBJECT_BYTES_MAX else _parsed.__wrapped__(text)


@lru_cache(maxsize=EXTRAS_CACHED)
def _parsed(text: str) -> Mapping[str, Any]:
    value = msgspec.json.decode(text)
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


def bounded(text: str, limit: int, committed: Set[str]) -> tuple[str | None, tuple[str, ...]]:
    """As much of a text of extra fields as `limit` bytes hold, and the names of the fields dropped.

    The smallest fields stay, so that one huge field does not cost the others; those of `committed` do in any case, if
    they can be what a commitment covers. What is nested deeply never does.
    """
    if (len(text) * 4 <= limit or len(text.encode()) <= limit) and not _is_deep(text):
        return text, ()
    fields = _raw_fields.decode(text)
    shallow = {name: bytes(value) for name, value in fields.items() if not _is_deep(bytes(value).decode())}
    sizes = {name: len(value) for name, value in shallow.items()}
    always = {name for name in committed & sizes.keys() if sizes[name] <= COMMITTED_BYTES_MAX}
    size, kept = 2, {}
    for name in sorted(sizes, key=lambda name: (name not in always, sizes[name], name)):
        cost = len(name.encode()) + sizes[name] + 4
        if name in always or size + cost <= limit:
            kept[name] = fields[name]
            size += cost
    dropped = tuple(sorted(fields.keys() - kept.keys()))
    text = msgspec.json.encode(dict(sorted(kept.items()))).decode()
    return (text if kept else None), dropped


def _is_deep(text: str) -> bool:
    """Whether JSON is nested deeper than `NESTED_MAX`."""
    if text.count("[") + text.count("{") <= NESTED_MAX:
        return False
    depth = 0
    for bracket in _brackets.finditer(_strings.sub("", text)):
        depth += 1 if bracket[0] in "[{" else -1
        if depth > NESTED_MAX:
            return True
    return False
