"""What a session leaves to others of a book's messages, and what it is told of them afterwards. Pure.

It learns a market's pace from the pauses between updates. While nothing can be due sooner because of them, it is told
of many at once, when it is asked for something that they bear on: that costs the question, not each message.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

__all__ = ["Meanwhile", "Noted", "Watch", "Watcher"]


class Watch(NamedTuple):
    """How far messages of a book are alike; the first pause beyond is to be seen by itself."""

    moved_us: int  # when the last update came, Unix, µs; 0: none did
    pauses_left: int | None = None  # so many are; None: any
    due_us: int | None = None  # those that end before this time are; None: all


class Noted(NamedTuple):
    """Messages of a book that were alike, each of which matched; times are Unix, µs."""

    pauses: int  # between updates
    first_us: int  # when the first of them ended
    longest_us: int  # how long the longest was
    moved_us: int  # when the last update came; 0: none did
    at_us: int  # ... and the last message
    checksum: int  # of that


Meanwhile = Callable[[str | None], None]
"""Tells what was noted of a symbol's book, or of all."""


class Watcher(Protocol):
    """Who follows the pace of books; see `session.observed`."""

    def alike_until_us(self, channel: str, symbol: str) -> int:
        """The time before which nothing is due because of data that say only how the market moved."""

    def watch_of(self, symbol: str) -> Watch | None:
        """How a book may be watched; None: its next message has to be seen."""

    def note_alike(self, symbol: str, noted: Noted) -> None:
        """Messages of a book came as they were to be watched."""
