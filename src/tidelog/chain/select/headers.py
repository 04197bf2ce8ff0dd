"""Headers as the blocks of a selection that have nothing of what is selected.

The usual is taken exactly, and everything else declined: a header that is odd, that does not hash to its hash, or whose
bloom does not exclude what is selected. Then the whole block is asked for, which decides, and has the words of errors.
Pure; tens of microseconds a header.
"""

from collections.abc import Callable, Sequence

from msgspec import Struct

from tidelog.chain import extra as own
from tidelog.chain.blocks import Block, BlockRef, Bundle, Header
from tidelog.chain.decode.lenient import Oddities
from tidelog.chain.decode.strict import decode_header, extra_of
from tidelog.chain.encoding import headers
from tidelog.chain.proof.outcome import CHECKS, NOT_APPLICABLE, PASSED, Proof
from tidelog.chain.rows.layout import to_rows
from tidelog.chain.select.selection import LEFT_OUT, Selection, bloom_decides, narrowed
from tidelog.chain.verify import Rules, VerifiedBlock
from tidelog.errors import Rejected

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
    return [_excluded(each, rules, selection, range_first=range_first, now_ms=now_ms) for each in answers]


def _excluded(
    given: HeaderAnswer, rules: Rules, selection: Selection, *, range_first: int | None, now_ms: int
) -> VerifiedBlock | None:
    oddities = Oddities()
    try:
        header = decode_header(given.answer, oddities)
    except Rejected:
        return None
    begins = header.number == range_first
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
    said = {"hash": PASSED, "parent": NOT_APPLICABLE if begins else PASSED}
    said["senders"] = PASSED if rules.senders else NOT_APPLICABLE
    proof = Proof({name: said.get(name, LEFT_OUT) for name in CHECKS})
    rows = to_rows(
        rules.chain_id,
        Bundle(Block(header, (), (), None, extra), ()),
        proof,
        covered=0,
        endpoint=given.endpoint,
        ingested_at_ms=now_ms,
    )
    ref = BlockRef(header.number, header.hash, header.parent_hash)
    size_bytes = len(memoryview(given.answer))
    return VerifiedBlock(narrowed(rows, []), proof, ref, header.timestamp, size_bytes, oddities)
