"""Proof by the numbers of messages, as a book uses it."""

import pytest
from msgspec import UNSET

from tidelog.market.book.levels import Book
from tidelog.market.book.proof import Check, Evidence, SequenceProof
from tidelog.market.events import BookDelta, BookSnapshot, SequenceSpan
from tidelog.market.kraken import v1

BID, ASK = (v1.Level("1.0", "1.00"),), (v1.Level("2.0", "1.00"),)


def snapshot(last: int) -> BookSnapshot:
    return BookSnapshot("A/USD", BID, ASK, None, sequence=SequenceSpan(last, last))


def delta(first: int, last: int, qty: str = "3.00") -> BookDelta:
    return BookDelta("A/USD", (v1.Level("1.0", qty),), (), None, sequence=SequenceSpan(first, last))


# what comes after a snapshot of number 10, what each proves, and the best bid's quantity at the end
CASES: dict[str, tuple[list[BookSnapshot | BookDelta], list[Check], int]] = {
    "in order": ([delta(11, 11), delta(12, 14, "4.00")], [Check.MATCHED, Check.MATCHED], 400),
    "overlapping what is known": ([delta(9, 12), delta(13, 13)], [Check.MATCHED, Check.MATCHED], 300),
    "known already": ([delta(11, 11), delta(8, 11, "9.00")], [Check.MATCHED, Check.MATCHED], 300),
    "gap": ([delta(12, 12)], [Check.GAP], 300),
    "after a gap": ([delta(12, 12), delta(13, 13)], [Check.GAP, Check.GAP], 300),
    "snapshot after a gap": (
        [delta(12, 12), snapshot(20), delta(21, 21)],
        [Check.GAP, Check.MATCHED, Check.MATCHED],
        300,
    ),
    "without a number": ([BookDelta("A/USD", BID, (), None)], [Check.UNCHECKED], 100),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("restored", [False, True])
def test_messages_prove_a_book_by_their_numbers(name: str, restored: bool) -> None:
    messages, checks, qty = CASES[name]
    book = Book("A/USD", 5, SequenceProof)
    assert book.apply(snapshot(10)) is Check.MATCHED
    for message, check in zip(messages, checks, strict=True):
        if restored:
            book = Book.restored(book.state, SequenceProof)
        assert book.apply(message) is check
    assert (book.proven, book.proven_depth) == ((True, 5) if checks[-1] is Check.MATCHED else (False, 0))
    assert book.bids[0].qty == qty


def test_an_empty_book_learns_its_decimals_and_keeps_its_number() -> None:
    book = Book("A/USD", 5, SequenceProof)
    assert book.apply(BookSnapshot("A/USD", (), (), None, sequence=SequenceSpan(10, 10))) is Check.MATCHED
    assert book.apply(delta(11, 11)) is Check.MATCHED
    assert book.apply(delta(13, 13)) is Check.GAP


def test_evidence_of_a_book_proves_it_again() -> None:
    book = Book("A/USD", 5, SequenceProof)
    book.apply(snapshot(10))
    assert book.evidence() == Evidence(None, SequenceSpan(10, 10))
    copy = Book("A/USD", 5, SequenceProof)
    assert copy.apply(BookSnapshot("A/USD", BID, ASK, *_given(book.evidence()))) is Check.MATCHED
    assert copy.apply(delta(11, 11)) is Check.MATCHED


def _given(evidence: Evidence) -> tuple[int | None, None, SequenceSpan]:
    assert evidence.sequence is not UNSET
    return evidence.checksum, None, evidence.sequence
