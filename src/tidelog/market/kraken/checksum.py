"""Kraken's proof of a book: a CRC-32 over the text of its best ten levels. Pure.

**Proven means: the top 10 of each side equal the exchange's at that message.** Deeper levels follow from the stream
and are not covered. Nor is the checksum a gap detector: a lost message that touched no level of the top 10, or whose
levels were overwritten since, goes unnoticed.

https://docs.kraken.com/api/docs/guides/spot-ws-book-v2 has the algorithm, and the guide for v1 beside it.
"""

from zlib import crc32

from msgspec import UNSET, UnsetType

from tidelog.market.book.levels import Book
from tidelog.market.book.proof import Check, Evidence, Side
from tidelog.market.events import BookDelta, BookSnapshot

CHECKED_LEVELS = 10  # of each side, that the checksum covers, whatever the depth

_MATCHED, _MISMATCHED, _UNCHECKED = Check.MATCHED, Check.MISMATCHED, Check.UNCHECKED


class ChecksumProof:
    """Compares the checksum of each message with that of the book. Text is put together only where the top changed."""

    __slots__ = ("_asks_crc", "_bids_text")

    watched = CHECKED_LEVELS
    ordered = False

    def __init__(self) -> None:
        self._asks_crc = 0  # the checksum runs over the asks first: its value after them
        self._bids_text = b""

    def depth(self, depth: int) -> int:
        return CHECKED_LEVELS

    def admits(self, message: BookSnapshot | BookDelta) -> bool:
        return True

    def check(self, message: BookSnapshot | BookDelta, bids: Side, asks: Side) -> Check:
        promised = message.checksum
        if promised is None:
            return _UNCHECKED
        # the CRC-32 of what is there: asks from the best up, then bids from the best down
        if asks.changed:
            self._asks_crc = crc32("".join(asks.fragments[:CHECKED_LEVELS]).encode())
            asks.changed = False
        if bids.changed:
            self._bids_text = "".join(bids.fragments[:CHECKED_LEVELS]).encode()
            bids.changed = False
        return _MATCHED if promised == crc32(self._bids_text, self._asks_crc) else _MISMATCHED

    def evidence(self, bids: Side, asks: Side) -> Evidence:
        text = "".join((*asks.fragments[:CHECKED_LEVELS], *bids.fragments[:CHECKED_LEVELS]))
        return Evidence(crc32(text.encode()))

    @property
    def state(self) -> int | UnsetType:
        return UNSET

    def resume(self, state: int | UnsetType) -> None:
        """Nothing to take up: all of it is in the levels."""


def checksum_of(book: Book) -> int:
    """The CRC-32 that the exchange would send for the book as it is."""
    checksum = book.evidence().checksum
    assert checksum is not None
    return checksum
