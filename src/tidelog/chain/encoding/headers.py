"""Which reading of a header gives its hash: fields that only some chains hash, zeros for absent fields, unknown fields.

Pure. What comes out is right by the header's own hash, or is None.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import permutations
from typing import Any

import msgspec

from tidelog.chain.blocks import Header
from tidelog.chain.encoding.items import encode_header, keccak
from tidelog.chain.encoding.rlp import encode_bytes, encode_int
from tidelog.chain.extra import octets_of, own_fields, quantity_of
from tidelog.chain.header_fields import APPENDED

PUBKEY_BYTES = 48  # BLS12-381
COMMITTED = frozenset({"parentProposerPubkey", "auraStep", "step", "auraSeal", "signature"})
"""Fields in a block's `extra` that its hash is over on some chain: they are not dropped."""

UNKNOWN_TRIED_MAX = 6  # unknown fields that are tried as part of a hash, by two at most: 36 hashes
_NEVER_HASHED = frozenset({"size", "totalDifficulty"})  # of Ethereum's own clients, beside the header


def hash_of(header: Header, appended: Iterable[bytes] = ()) -> bytes | None:
    """The hash of a header's fields, and of `appended` RLP behind them; None if it cannot be computed."""
    try:
        return keccak(encode_header(header, appended))
    except (ValueError, OverflowError):
        return None


def with_own_fields(header: Header, extra: str | None) -> Header:
    """The header with the fields that its chain hashes beyond Ethereum's, out of the block's `extra`.

    Sources: Berachain's BRIP-4; OpenEthereum's AuRa engine, whose seal is a step and a signature.
    """
    if extra is None or not any(name in extra for name in COMMITTED):
        return header
    fields = own_fields(extra)
    pubkey = octets_of(fields.get("parentProposerPubkey"), PUBKEY_BYTES)
    if pubkey is not None:
        header = msgspec.structs.replace(header, parent_proposer_pubkey=pubkey)
    return header if header.mix_hash is not None else next(_sealed(header, fields), header)


def _sealed(header: Header, fields: Mapping[str, Any]) -> Iterator[Header]:
    """With AuRa's seal. Clients write the step as a number, in hex, or in decimal digits: the hash says which it is."""
    seal = octets_of(fields.get("auraSeal", fields.get("signature")))
    step = fields.get("auraStep", fields.get("step"))
    if seal is None or isinstance(step, bool) or not isinstance(step, int | str):
        return
    for base in (10, 16):
        try:
            sealed = msgspec.structs.replace(header, seal=(int(str(step), base), seal))
        except ValueError:
            continue
        if hash_of(sealed) == header.hash:
            yield sealed


def as_hashed(header: Header) -> Header | None:
    """The header, or the one without those last fields that are zero, whose hash is right.

    Some nodes answer zero for a field that a fork to come will bring.
    """
    if hash_of(header) == header.hash:
        return header
    for field in reversed(APPENDED):
        name = field.name
        value = getattr(header, name)
        if value is None:
            continue
        if any(value) if isinstance(value, bytes) else value:
            return None
        header = msgspec.structs.replace(header, **{name: None})
        if hash_of(header) == header.hash:
            return header
    return None


def unknown_fields(extra: str | None) -> list[str]:
    """The names of a block's fields that are no part of a header as far as is known."""
    return sorted(own_fields(extra).keys() - _NEVER_HASHED - COMMITTED)


def hashed_beyond(header: Header, extra: str | None) -> tuple[str, ...]:
    """The unknown fields, one or two, with which the header's hash is right: those of a fork to come."""
    fields = own_fields(extra)
    names = [name for name in unknown_fields(extra) if isinstance(fields[name], str)][:UNKNOWN_TRIED_MAX]
    for count in (1, 2):
        for tried in permutations(names, count):
            if any(hash_of(header, encoded) == header.hash for encoded in _readings([fields[name] for name in tried])):
                return tried
    return ()


def _readings(texts: list[str]) -> Iterator[list[bytes]]:
    """The encodings of hex texts: as data, or as a number."""
    if not texts:
        yield []
        return
    octets, number = octets_of(texts[0]), quantity_of(texts[0])
    encoded = {
        *([encode_bytes(octets)] if octets is not None else []),
        *([encode_int(number)] if number is not None else []),
    }
    for rest in _readings(texts[1:]):
        for one in sorted(encoded):
            yield [one, *rest]
