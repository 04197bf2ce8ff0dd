"""Headers as the blocks of a selection that have nothing of what is selected.

The usual is taken exactly, and everything else declined: a header that is odd, that does not hash to its hash, or whose
bloom does not exclude what is selected. Then the whole block is asked for, which decides, and has the words of errors.
What the compiled core declines of headers, is looked at here. Pure; tens of microseconds a header without the core.
"""

from collections.abc import Callable, Sequence
from functools import cache

from msgspec import Struct

from tidelog import compiled
from tidelog.chain import extra as own
from tidelog.chain import native
from tidelog.chain.blocks import BlockRef
from tidelog.chain.decode.lenient import Oddities
from tidelog.chain.decode.strict import ReadHeader, decode_headers
from tidelog.chain.encoding import headers
from tidelog.chain.proof.outcome import CHECKS, NOT_APPLICABLE, PASSED, Proof
from tidelog.chain.rows.layout import BlockRows, header_rows, required_bytes
from tidelog.chain.rows.tables import BLOCKS
from tidelog.chain.select.selection import LEFT_OUT, Selection, bloom_decides
from tidelog.chain.verify import Rules, VerifiedBlock

__all__ = ["HeaderAnswer", "excluded_blocks"]

_BLOOM = BLOCKS.index("logs_bloom")


class HeaderAnswer(Struct, frozen=True):
    """What came for a block without its transactions."""

    key: int | bytes
    answer: bytes
    endpoint: str  # its redacted name
    redact: Callable[[str], str]


def excluded_blocks(
    answers: Sequence[HeaderAnswer],
    rules: Rules,
    selection: Selection,
    *,
    range_first: int | None,
    now_ms: int,
    faults: list[tuple[int | bytes, native.Declined]] | None = None,
) -> list[VerifiedBlock | None]:
    """Of each answer the block with nothing in it, where its header proves that; None where it does not.

    Args:
        answers: of one endpoint.
        faults: collects those of the compiled core, each with what was asked for.
    """
    left, found = list(range(len(answers))), list[VerifiedBlock | None]([None] * len(answers))
    if answers and compiled.core().module is not None:
        left = []
        for place, held in enumerate(_held(answers, rules, range_first=range_first, now_ms=now_ms)):
            if isinstance(held, native.Held):
                found[place] = _excluded_row(answers[place], held, rules, selection, range_first=range_first)
                continue
            left.append(place)
            if held.reason == native.FAULT and faults is not None:
                faults.append((answers[place].key, held))
    decoded = decode_headers([answers[place].answer for place in left])
    for place, read in zip(left, decoded, strict=True):
        if read is not None:
            begins = read.header.number == range_first
            found[place] = _excluded(answers[place], read, rules, selection, begins=begins, now_ms=now_ms)
    return found


def _held(
    answers: Sequence[HeaderAnswer], rules: Rules, *, range_first: int | None, now_ms: int
) -> list[native.Held | native.Declined]:
    """What the compiled core makes of them."""
    _, first = _proof(True, rules.senders)
    _, other = _proof(False, rules.senders)
    return native.hold_headers(
        [(each.key, each.answer) for each in answers],
        rules,
        range_first=range_first,
        proofs=(first, other),
        endpoint=answers[0].endpoint,
        now_ms=now_ms,
        redact=answers[0].redact,
    )


def _excluded_row(
    given: HeaderAnswer, held: native.Held, rules: Rules, selection: Selection, *, range_first: int | None
) -> VerifiedBlock | None:
    rows = BlockRows(held.row, [], [], [])
    number, bloom = rows.number, required_bytes(held.row[_BLOOM])
    if not bloom_decides(rules.spec, number) or selection.may_have(number, bloom):
        return None
    proof, _ = _proof(number == range_first, rules.senders)
    return VerifiedBlock(rows, proof, rows.ref, held.timestamp, len(given.answer), Oddities())


def _excluded(
    given: HeaderAnswer, read: ReadHeader, rules: Rules, selection: Selection, *, begins: bool, now_ms: int
) -> VerifiedBlock | None:
    header = read.header
    if given.key not in (header.number, header.hash) or (begins and rules.anchor not in (None, header.hash)):
        return None
    if read.oddities.absent or headers.hash_of(header) != header.hash:
        return None
    if not bloom_decides(rules.spec, header.number) or selection.may_have(header.number, header.logs_bloom):
        return None
    return _block(given, read, rules, begins=begins, now_ms=now_ms)


def _block(given: HeaderAnswer, read: ReadHeader, rules: Rules, *, begins: bool, now_ms: int) -> VerifiedBlock:
    header, extra, oddities = read
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
