"""The compiled core in the place of `tidelog.chain.verify`: a batch of raw blocks is proven, or declined, by it.
Stored blocks are proven again by it too, for `tidelog.chain.maintenance.verify`.

The core takes the usual exactly and declines everything else, without a word of error: a declined block goes by the
Python path, which decides about it. What the core takes, the Python path takes too, with equal rows, digest and proof.
Pure, but for the interpreter's lock, which is released meanwhile: so threads prove side by side.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from msgspec import Struct

from tidelog import compiled
from tidelog.batch import Row
from tidelog.chain.blocks import BlockRef, RawBlock
from tidelog.chain.decode.lenient import Oddities
from tidelog.chain.proof.outcome import Proof, parse_proof
from tidelog.chain.proof.spec import ChainSpec
from tidelog.chain.rows.layout import BlockRows
from tidelog.chain.rows.tables import BLOCKS
from tidelog.chain.verify import Rules, VerifiedBlock
from tidelog.errors import Corruption

FAULT = "fault"  # the reason of a panic
TAKEN = "taken"  # the label of the count of taken blocks
REASONS = ("json", "shape", "odd", "type", "differs", "asked", "extra", "rules", FAULT)
"""Why a block is declined; docs/metrics.md says what each means."""

_TAKEN_PARTS = 7  # of what the core says of a block that it has taken; of one that it declines it says two
_NUMBER, _HASH, _PARENT_HASH = (BLOCKS.index(name) for name in ("number", "hash", "parent_hash"))
_NOTHING_ODD = Oddities()  # of all blocks that the core takes; nobody changes it

_PROOFS_KEPT = 1 << 10  # nearly all blocks of a chain have one of a few proofs
_RULES_KEPT = 64


class Declined(Struct, frozen=True):
    """A block that the core leaves to the Python path."""

    reason: str  # of REASONS
    what: str  # for who debugs the core; of a fault: what the panic says


def verify_blocks(
    raws: Sequence[RawBlock],
    keys: Sequence[int | bytes],
    rules: Rules,
    *,
    range_first: int | None,
    endpoint: str,
    now_ms: int,
    redact: Callable[[str], str] | None = None,
    lanes: int | None = None,
) -> list[VerifiedBlock | Declined]:
    """Prove the blocks that `keys` asked for, each by itself. The core has to be in use (`tidelog.compiled`).

    Args:
        range_first, endpoint, now_ms, redact: as for `tidelog.chain.verify.verify_blocks`.
        lanes: how many messages are hashed at once; None for what the processor has.
    """
    module = compiled.core().module
    assert module is not None, "asked for only where it is in use"
    if rules.senders:  # its curve is not in the core
        return [Declined("rules", "senders")] * len(raws)
    answers = [(key, raw.block, raw.receipts, raw.uncles) for raw, key in zip(raws, keys, strict=True)]
    outcomes = module.prove(
        answers,
        _rules(rules),
        range_first=range_first,
        endpoint=endpoint,
        ingested_at=now_ms,
        redact=redact,
        lanes=lanes,
    )
    return [_outcome(outcome, raw) for outcome, raw in zip(outcomes, raws, strict=True)]


class Held(NamedTuple):
    """A header that hashes to its hash, as the row of its block."""

    row: Row
    timestamp: int


def hold_headers(
    answers: Sequence[tuple[int | bytes, bytes]],
    rules: Rules,
    *,
    range_first: int | None,
    proofs: tuple[str, str],
    endpoint: str,
    now_ms: int,
    redact: Callable[[str], str],
    lanes: int | None = None,
) -> list[Held | Declined]:
    """Blocks without their transactions, each with what it was asked for by, as those of a selection that have nothing.
    The core has to be in use (`tidelog.compiled`).

    Args:
        proofs: what is said of the block that begins the range, and of all others.
        range_first, endpoint, now_ms, redact, lanes: as for `verify_blocks`.
    """
    module = compiled.core().module
    assert module is not None, "asked for only where it is in use"
    outcomes = module.hold_headers(
        answers,
        _rules(rules),
        range_first=range_first,
        proofs=proofs,
        endpoint=endpoint,
        ingested_at=now_ms,
        redact=redact,
        lanes=lanes,
    )
    return [Declined(*outcome) if isinstance(outcome[0], str) else Held(*outcome) for outcome in outcomes]


NO_CHAIN = 0  # the rows say whose they are


class Above(NamedTuple):
    """A stored block, and the hash of the block below; None for the first one."""

    rows: BlockRows
    parent: bytes | None


def verify_stored(blocks: Sequence[Above], spec: ChainSpec, *, lanes: int | None = None) -> list[Declined | None]:
    """Prove stored blocks again from their rows, each by itself. The core has to be in use (`tidelog.compiled`).

    Args:
        spec: what is checked on their chain.
        lanes: as for `verify_blocks`.

    Returns:
        Of each block None where everything about it holds: commitments, links, proof, marks and digest.
    """
    module = compiled.core().module
    assert module is not None, "asked for only where it is in use"
    tables = [
        (rows.block, rows.transactions, rows.logs, rows.withdrawals, rows.uncles, parent) for rows, parent in blocks
    ]
    outcomes = module.reprove(tables, _rules(Rules(NO_CHAIN, spec)), lanes=lanes)
    return [
        Declined(*outcome) if outcome is not None else None if _proof(rows.proof_text) else Declined("rules", "a proof")
        for outcome, (rows, _) in zip(outcomes, blocks, strict=True)
    ]


def _outcome(outcome: tuple[Any, ...], raw: RawBlock) -> VerifiedBlock | Declined:
    if len(outcome) != _TAKEN_PARTS:
        return Declined(*outcome)
    block, transactions, logs, withdrawals, uncles, text, timestamp = outcome
    proof = _proof(text)
    if proof is None:
        return Declined("rules", "a proof that cannot be read back")
    rows = BlockRows(block, transactions, logs, withdrawals, uncles)
    ref = BlockRef(block[_NUMBER], block[_HASH], block[_PARENT_HASH])
    return VerifiedBlock(rows, proof, ref, timestamp, raw.size_bytes, _NOTHING_ODD)


@lru_cache(maxsize=_PROOFS_KEPT)
def _proof(text: str) -> Proof | None:
    try:
        return parse_proof(text)
    except Corruption:  # a spec's name may contain what separates the parts of a proof's text
        return None


@lru_cache(maxsize=_RULES_KEPT)
def _rules(rules: Rules) -> Any:
    """The rules as the core takes them."""
    spec, module = rules.spec, compiled.core().module
    assert module is not None
    ranges = [
        (
            each.first,
            list(each.checks),
            list(each.accepted),
            list(each.foreign_roots),
            each.state_sync,
            each.storage_withdrawals_root,
            each.bloom_superset,
        )
        for each in spec.as_ranges()
    ]
    return module.Rules(rules.chain_id, spec.name, bytes(spec.opaque_types), ranges, rules.anchor)
