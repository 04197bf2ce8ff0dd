"""Headers as the blocks of a selection that have nothing of what is selected.

The usual is taken exactly, and everything else declined: a header that is odd, that does not hash to its hash, or whose
bloom does not exclude what is selected. Then the whole block is asked for, which decides, and has the words of errors.
Pure; tens of microseconds a header.
"""

from collections.abc import Callable, Sequence
from functools import cache

from msgspec import Struct

from tidelog.chain import extra as own
from tidelog.chain.blocks import BlockRef, Header
from tidelog.chain.decode.lenient import Oddities
from tidelog.chain.decode.strict import decode_headers, extra_of
from tidelog.chain.encoding import headers
from tidelog.chain.proof.outcome import CHECKS, NOT_APPLICABLE, PASSED, Proof
from tidelog.chain.rows.layout import header_rows
from tidelog.chain.select.selection import LEFT_OUT, Selection, bloom_decides
from tidelog.chain.verify import Rules, VerifiedBlock

__all__ = ["HeaderAnswer", "excluded_blocks"]


class HeaderAnswer(Struct, frozen=True):
    """What came for a block without its transactions."""

    key: int | bytes
    answer: bytes
    endpoint: str  # its redacted name
    redact: Callable[[str], str]


def excluded_blocks(
    answers: Sequence[HeaderAnswer], rules: Rules, selection: Selection, *, range_first: int | None, now_ms: int
) -> list[VerifiedBlock | None]:
    """Of each answer the block with nothing in it, where its header proves that; None where it does not."""
    decoded = decode_headers([each.answer for each in answers])
    return [
        None
        if found is None
        else _excluded(each, *found, rules, selection, begins=found[0].number == range_first, now_ms=now_ms)
        for each, found in zip(answers, decoded, strict=True)
    ]


def _excluded(
    given: HeaderAnswer,
    header: Header,
    oddities: Oddities,
    rules: Rules,
    selection: Selection,
    *,
    begins: bool,
    now_ms: int,
) -> VerifiedBlock | None:
    if given.key not in (header.number, header.hash) or (begins and rules.anchor not in (None, header.hash)):
        return None
    if oddities.absent or headers.hash_of(header) != header.hash:
        return None
    if not bloom_decides(rules.spec, header.number) or selection.may_have(header.number, header.logs_bloom):
        return None
    return _block(given, header, rules, begins=begins, oddities=oddities, now_ms=now_ms)


def _block(
    given: HeaderAnswer, header: Header, rules: Rules, *, begins: bool, oddities: Oddities, now_ms: int
) -> VerifiedBlock:
    extra = extra_of(given.answer)
    if extra is not None:
        extra, _ = own.bounded(given.redact(extra), own.OBJECT_BYTES_MAX, headers.COMMITTED)
    proof, text = _proof(begins, rules.senders)
    rows = header_rows(rules.chain_id, header, text, extra, endpoint=given.endpoint, ingested_at_ms=now_ms)
    ref = BlockRef(header.number, header.hash, header.parent_hash)
    size_bytes = len(memoryview(given.answer))
    return VerifiedBlock(rows, proof, ref, header.timestamp, size_bytes, oddities)


@cache
def _proof(begins: bool, senders: bool) -> tuple[Proof, str]:
    """What a header shows, and the same as text."""
    said = {"hash": PASSED, "parent": NOT_APPLICABLE if begins else PASSED}
    said["senders"] = PASSED if senders else NOT_APPLICABLE
    proof = Proof({name: said.get(name, LEFT_OUT) for name in CHECKS})
    return proof, str(proof)
