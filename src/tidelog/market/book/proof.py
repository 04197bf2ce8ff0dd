"""The proof of a book, separate from its levels. One exchange sends a checksum, another numbers its messages.

A `Book` makes a proof whenever it begins from empty sides, shows it each message after its levels were applied, and
throws it away with them. Pure.
"""

import enum
from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeAlias

from msgspec import UNSET, Struct, UnsetType

from tidelog.market.events import BookDelta, BookSnapshot, SequenceSpan


class Check(enum.Enum):
    """What a message proved about the book."""

    MATCHED = "matched"
    MISMATCHED = "mismatched"  # we are not where the exchange is: ask for a new snapshot
    UNCHECKED = "unchecked"  # it came with nothing that could be checked
    OUTDATED = "outdated"  # the exchange's time in it is before that of a message before it: ask for a new snapshot
    REFUSED = "refused"  # it could not be applied, `Book.refusal` says why; the book is empty now
    GAP = "sequence_gap"  # messages between the last one and this one are missing: ask for a new snapshot


class Side(Protocol):
    """One side of a book as a proof reads it, best level first."""

    changed: bool  # one of the best `Proof.watched` levels, since the proof set it to False

    @property
    def fragments(self) -> list[str]:
        """Each level as the digits of its price, then those of its quantity, in units of the book's precision."""


class Evidence(NamedTuple):
    """What a message has to carry that shows a book as it is, and is to be proven by it."""

    checksum: int | None = None
    sequence: SequenceSpan | UnsetType = UNSET


class Proof(Protocol):
    """How far a book equals the exchange's, message by message."""

    @property
    def watched(self) -> int:
        """How many of the best levels of each side it reads; 0: none, the levels mean nothing to it."""

    def depth(self, depth: int) -> int:
        """How many levels of each side are proven in a book of that depth, when a message matched."""

    def admits(self, message: BookSnapshot | BookDelta) -> bool:
        """Whether the levels of a message are news; those of one that is not are left out, and the book stays as it is.

        Asked only of proofs whose `ordered` is true.
        """

    @property
    def ordered(self) -> bool:
        """Whether messages have numbers, by which one that was applied already can be recognised."""

    def check(self, message: BookSnapshot | BookDelta, bids: Side, asks: Side) -> Check:
        """What a message proves, after its levels were applied: MATCHED, MISMATCHED, UNCHECKED or GAP."""

    def evidence(self, bids: Side, asks: Side) -> Evidence:
        """What a snapshot of the book as it is now would carry."""

    @property
    def state(self) -> int | UnsetType:
        """What it has to know of the messages before; UNSET: nothing. Part of a stored `BookState`."""

    def resume(self, state: int | UnsetType) -> None:
        """Take up from a state that another one had."""


NewProof: TypeAlias = Callable[[], Proof]


class SequenceProof(Struct):
    """Proves by the messages' numbers: each says its first and its last, and follows on the one before it.

    A snapshot says the number up to which it has everything. A message whose numbers are all known is left out; one
    that begins later than expected leaves a gap, and from then on nothing matches before the next snapshot. What it
    proves is that no message is missing: the whole book, as far as the exchange's messages are right.
    """

    last: int = -1  # number of the last message; -1: none yet
    broken: bool = False

    watched = 0
    ordered = True

    def depth(self, depth: int) -> int:
        return depth

    def admits(self, message: BookSnapshot | BookDelta) -> bool:
        span = message.sequence
        return span is UNSET or not isinstance(message, BookDelta) or span.last > self.last

    def check(self, message: BookSnapshot | BookDelta, bids: Side, asks: Side) -> Check:
        span = message.sequence
        if span is UNSET:
            return Check.UNCHECKED
        if isinstance(message, BookDelta):
            if self.broken or span.first > self.last + 1:
                self.broken = True
                return Check.GAP
            self.last = max(self.last, span.last)
        else:
            self.last = span.last
        return Check.MATCHED

    def evidence(self, bids: Side, asks: Side) -> Evidence:
        return Evidence(None, SequenceSpan(self.last, self.last))

    @property
    def state(self) -> int | UnsetType:
        return -2 if self.broken else self.last

    def resume(self, state: int | UnsetType) -> None:
        if state is not UNSET:
            self.last, self.broken = state, state == -2
