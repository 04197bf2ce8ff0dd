"""From an endpoint's raw answers to proven rows: decode, compare with what was asked for, prove, lay out.

Pure and slow (milliseconds a block), so it runs off the event loop. What comes out may be committed as soon
as its parent link has been compared with the block below, which only the committer knows.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from tidelog.chain.blocks import Block, Bundle, RawBlock, Receipt, Transaction
from tidelog.chain.lineage import Link
from tidelog.chain.profiles import Profile
from tidelog.chain.proof import Proof, covered_count, prove
from tidelog.chain.rows import BlockRows, to_rows
from tidelog.chain.wire import decode_block, decode_receipts
from tidelog.errors import ProofFailure, Rejected

Extended = TypeVar("Extended", Block, Transaction, Receipt)


class Rules(Struct, frozen=True):
    """What blocks are proven by."""

    chain_id: int
    profile: Profile
    senders: bool = False
    anchor: bytes | None = None  # the hash that the first block of the range must have


class Proven(Struct, frozen=True):
    """A block that passed every check but the comparison of its parent link with the block below."""

    rows: BlockRows
    proof: Proof
    link: Link
    timestamp: int
    size_bytes: int  # of the answer it came from: what it may cost in memory


def take_in(
    raws: Sequence[RawBlock],
    keys: Sequence[int | bytes],
    rules: Rules,
    *,
    range_first: int | None,
    endpoint: str,
    now_ms: int,
    redact: Callable[[str], str] = str,
) -> list[Proven]:
    """Prove the blocks that `keys` asked for, by number or hash.

    Args:
        range_first: the number of the block that begins the range, whose parent link is not applicable.
        redact: takes what may be a key out of errors, and out of fields that the endpoint added of its own.

    Raises:
        Rejected: an answer is of the wrong shape, or is another block than the one asked for.
        ProofFailure: a block contradicts its header.
    """
    try:
        return [
            _take_one(raw, key, rules, range_first=range_first, endpoint=endpoint, now_ms=now_ms, redact=redact)
            for raw, key in zip(raws, keys, strict=True)
        ]
    except Rejected as error:
        raise Rejected(redact(error.reason), endpoint=endpoint) from None


def _take_one(
    raw: RawBlock,
    key: int | bytes,
    rules: Rules,
    *,
    range_first: int | None,
    endpoint: str,
    now_ms: int,
    redact: Callable[[str], str],
) -> Proven:
    bundle = _redacted(Bundle(decode_block(raw.block), decode_receipts(raw.receipts)), redact)
    header = bundle.block.header
    if key not in (header.number, header.hash):
        asked = f"0x{key.hex()}" if isinstance(key, bytes) else str(key)
        raise Rejected(f"answered block {header.number} where {asked} was asked for")
    begins = header.number == range_first
    if begins and rules.anchor is not None and header.hash != rules.anchor:
        raise ProofFailure(
            "anchor",
            expected=f"0x{rules.anchor.hex()}",
            got=f"0x{header.hash.hex()}",
            subject=f"block {header.number}",
            endpoint=endpoint,
        )
    # the committer compares the link before it commits, and refuses the block if it differs
    parent = None if begins else header.parent_hash
    proof = prove(bundle, rules.profile, parent_hash=parent, senders=rules.senders, endpoint=endpoint)
    rows = to_rows(
        rules.chain_id,
        bundle,
        proof,
        covered=covered_count(bundle, rules.profile),
        endpoint=endpoint,
        ingested_at_ms=now_ms,
    )
    link = Link(header.number, header.hash, header.parent_hash)
    return Proven(rows, proof, link, header.timestamp, raw.size_bytes)


def _redacted(bundle: Bundle, redact: Callable[[str], str]) -> Bundle:
    """The bundle with its extra fields redacted: they are stored as text, and an endpoint may quote its URL."""

    def clean(item: Extended) -> Extended:
        return item if item.extra is None else replace(item, extra=redact(item.extra))

    block = clean(bundle.block)
    if any(tx.extra is not None for tx in block.transactions):
        block = replace(block, transactions=tuple(map(clean, block.transactions)))
    return Bundle(block, tuple(map(clean, bundle.receipts)))
