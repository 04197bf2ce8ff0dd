"""From an endpoint's raw answers to proven rows: decode, compare with what was asked for, prove, lay out.

Where an answer has several readings, the one that its commitments confirm is taken; where none does, the refusal
names the field. What an endpoint adds of its own is bounded here.

Pure and slow (milliseconds a block), so it runs off the event loop. What comes out may be committed as soon
as its parent link has been compared with the block below, which only the committer knows.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

from msgspec import Raw, Struct
from msgspec.structs import replace

from tidelog.chain import extra as own
from tidelog.chain.blocks import Block, BlockRef, Bundle, RawBlock, Receipt, Transaction
from tidelog.chain.decode.lenient import Oddities
from tidelog.chain.decode.strict import decode_block, decode_receipts, decode_uncle
from tidelog.chain.encoding import headers, variants
from tidelog.chain.encoding.items import SIGNED_TYPES
from tidelog.chain.proof.checks import completed, completed_header, prove, rooted_count
from tidelog.chain.proof.outcome import Proof
from tidelog.chain.proof.spec import ChainSpec
from tidelog.chain.rows.layout import BlockRows, to_rows
from tidelog.errors import NewerNeeded, ProofFailure, Rejected

Extended = TypeVar("Extended", Block, Transaction, Receipt)


class Rules(Struct, frozen=True):
    """What blocks are proven by."""

    chain_id: int
    spec: ChainSpec
    senders: bool = False
    anchor: bytes | None = None  # the hash that the first block of the range must have


class Fetch(Struct, frozen=True):
    """One request for whole blocks. Times are of the monotonic clock."""

    endpoint: str  # its redacted name
    began_s: float
    ended_s: float
    blocks: int  # that were asked for
    error: str | None = None


class Stages(Struct, frozen=True):
    """How a block came, for its trace. The last fetch gave it."""

    fetches: tuple[Fetch, ...]
    verify_began_s: float
    verify_ended_s: float


class VerifiedBlock(Struct, frozen=True, gc=False):
    """A block that passed every check but the comparison of its parent link with the block below."""

    rows: BlockRows
    proof: Proof
    ref: BlockRef
    timestamp: int
    size_bytes: int  # of the answer it came from: what it may cost in memory
    oddities: Oddities  # of the answer: for the endpoint's metrics and the log
    stages: Stages | None = None  # None: it is not traced
    children_known: int = 0  # of a selection that grows: how many were known, of those that its stretch had added


def verify_blocks(
    raws: Sequence[RawBlock],
    keys: Sequence[int | bytes],
    rules: Rules,
    *,
    range_first: int | None,
    endpoint: str,
    now_ms: int,
    redact: Callable[[str], str] = str,
) -> list[VerifiedBlock]:
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
            _verify_one(raw, key, rules, range_first=range_first, endpoint=endpoint, now_ms=now_ms, redact=redact)
            for raw, key in zip(raws, keys, strict=True)
        ]
    except Rejected as error:
        raise Rejected(redact(error.reason), endpoint=endpoint) from None


def _verify_one(
    raw: RawBlock,
    key: int | bytes,
    rules: Rules,
    *,
    range_first: int | None,
    endpoint: str,
    now_ms: int,
    redact: Callable[[str], str],
) -> VerifiedBlock:
    oddities = Oddities()
    bundle = read_bundle(raw.block, raw.receipts, oddities, chain_id=rules.chain_id, redact=redact)
    if raw.uncles is not None:
        block = replace(bundle.block, ommers=tuple(map(decode_uncle, raw.uncles)))
        bundle = Bundle(block, bundle.receipts)
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
    bundle, proof = prove_reading(
        bundle, raw.receipts, rules.spec, oddities, parent_hash=parent, senders=rules.senders, endpoint=endpoint
    )
    rows = to_rows(
        rules.chain_id,
        bundle,
        proof,
        covered=rooted_count(bundle, rules.spec),
        endpoint=endpoint,
        ingested_at_ms=now_ms,
    )
    ref = BlockRef(header.number, header.hash, header.parent_hash)
    return VerifiedBlock(rows, proof, ref, header.timestamp, raw.size_bytes, oddities)


def read_bundle(
    block: bytes | Raw,
    receipts: bytes | Raw,
    oddities: Oddities,
    *,
    chain_id: int | None = None,
    redact: Callable[[str], str] = str,
) -> Bundle:
    """A block and its receipts as answered, their extra fields redacted and bounded; Rejected if they are none."""
    # apart: a field that a block leaves out is none that a receipt does
    decoded = decode_block(block, oddities, chain_id=chain_id)
    of_receipts = Oddities()
    bundle = Bundle(decoded, decode_receipts(receipts, of_receipts))
    oddities.merge(of_receipts)
    return _bounded(bundle, redact, oddities)


def prove_reading(
    bundle: Bundle,
    receipts: bytes | Raw,
    spec: ChainSpec,
    oddities: Oddities,
    *,
    parent_hash: bytes | None = None,
    senders: bool = False,
    endpoint: str | None = None,
) -> tuple[Bundle, Proof]:
    """Prove a bundle; if it differs, the other reading that its answer may have. The bundle that was proven.

    Raises:
        ProofFailure: as `tidelog.chain.proof.checks.prove`; NewerNeeded names a header field that is not known yet.
        Rejected: the header's hash shows that a field which the answer leaves out is not nothing.
    """

    def proven(reading: Bundle) -> tuple[Bundle, Proof]:
        proof = prove(reading, spec, parent_hash=parent_hash, senders=senders, endpoint=endpoint)
        return completed(reading, spec), proof

    try:
        return proven(bundle)
    except ProofFailure as failure:
        other = _other_reading(bundle, receipts, spec, failure, oddities)
        if other is None:
            raise _explained(failure, bundle.block, oddities, endpoint) from None
    return proven(other)


def _other_reading(
    bundle: Bundle, receipts: bytes | Raw, spec: ChainSpec, failure: ProofFailure, oddities: Oddities
) -> Bundle | None:
    block = bundle.block
    if failure.check == "hash":
        header = headers.as_hashed(completed_header(bundle, spec))
        if header is None:
            return None
        oddities.note("zero_for_absent", "$")
        without = header.withdrawals_root is None and not block.withdrawals
        return Bundle(
            replace(block, header=header, withdrawals=None if without else block.withdrawals), bundle.receipts
        )
    if failure.check == "receipts" and "root_and_status" in oddities.found:
        roots = decode_receipts(receipts, by_root=True)
        return Bundle(block, tuple(map(_with_root, bundle.receipts, roots)))
    return None


def _with_root(receipt: Receipt, by_root: Receipt) -> Receipt:
    return replace(receipt, status=by_root.status, root=by_root.root)


def _explained(
    failure: ProofFailure, block: Block, oddities: Oddities, endpoint: str | None
) -> ProofFailure | Rejected:
    """What a failure comes from, if that can be said better."""
    if failure.check != "hash":
        return failure
    if oddities.absent:
        places = ", ".join(f"`$.{name}`" for name in oddities.absent)
        return Rejected(
            f"block answer of the wrong shape: {failure.subject} leaves out a field, and the hash of its header "
            f"is not the one without it - at {places}",
            endpoint=endpoint,
        )
    beyond = headers.hashed_beyond(block.header, block.extra)
    if beyond:
        return NewerNeeded(failure.subject, beyond, failure.expected, failure.got, endpoint)
    unknown = headers.unknown_fields(block.extra)
    if unknown:
        names = ", ".join(map(_quoted, unknown[:UNKNOWN_NAMED_MAX]))
        failure.got += f"; the block has fields that tidelog does not know: {names}"
        failure.args = (failure.check, failure.expected, failure.got, failure.subject, failure.endpoint)
    return failure


UNKNOWN_NAMED_MAX = 5  # in one sentence


def _quoted(name: str) -> str:
    return f"`{name[:40]}`"


def _bounded(bundle: Bundle, redact: Callable[[str], str], oddities: Oddities) -> Bundle:
    """The bundle with its extra fields redacted, and no more of them than their limits.

    They are stored as text, and an endpoint may quote its URL in them, or send megabytes.
    """
    block = bundle.block
    added = any(tx.extra for tx in block.transactions) or any(receipt.extra for receipt in bundle.receipts)
    if block.extra is None and not added:
        return bundle
    room = own.BLOCK_BYTES + own.TRANSACTION_BYTES * len(block.transactions)

    def clean(item: Extended, committed: frozenset[str], limit: int, where: str) -> Extended:
        nonlocal room
        if item.extra is None:
            return item
        text, dropped = own.bounded(redact(item.extra), min(limit, room), committed)
        if dropped:
            oddities.note("extra_dropped", f"{where}.{dropped[0][:40]}")
        room -= len(text or "")
        return replace(item, extra=text)

    def limit_of(kind: int) -> int:
        return own.OBJECT_BYTES_MAX if kind in SIGNED_TYPES else own.KEPT_RAW_BYTES_MAX

    room += sum(own.KEPT_RAW_BYTES_MAX for tx in block.transactions if tx.type not in SIGNED_TYPES)
    cleaned = replace(
        clean(block, headers.COMMITTED, own.OBJECT_BYTES_MAX, "$"),
        transactions=tuple(
            clean(tx, variants.COMMITTED, limit_of(tx.type), f"$.transactions[{i}]")
            for i, tx in enumerate(block.transactions)
        ),
    )
    receipts = tuple(
        clean(receipt, variants.COMMITTED, limit_of(tx.type), f"$[{i}]")
        for i, (tx, receipt) in enumerate(zip(block.transactions, bundle.receipts, strict=False))
    )
    return Bundle(cleaned, (*receipts, *bundle.receipts[len(receipts) :]))
