"""What a consumer makes of a stream's messages: each change once, in order, or the word that it has to look again.

A message counts only where it continues what the consumer has. What it has already, which came twice, is hidden; of
parts of a change nothing is shown until all are there. Pure.
"""

from typing import Generic, TypeVar

from tidelog.chain.forks.bookmarks import Place, Verdict, place_text, verdict
from tidelog.stream.envelope import Language, Part

__all__ = ["Astray", "Following", "is_same", "said_of"]

T = TypeVar("T")


class Astray(Exception):
    """A message does not continue what the consumer has: the stream is not what it was."""


def is_same(one: Place, other: Place) -> bool:
    """Whether two places are the same. One that names no writer is known by its number alone."""
    if one.marks and other.marks:
        return one.marks[0] == other.marks[0]
    return one.seq == other.seq


def said_of(have: Place, newest: Place) -> Verdict:
    """What a stream whose newest place is `newest` says to a consumer's: as a store says it to a follower."""
    return verdict(have, {mark.writer: mark.seq for mark in newest.marks}, newest.seq)


class Following(Generic[T]):
    """A consumer's place, and the parts of a change that is not whole yet."""

    def __init__(self, language: Language[T], place: Place | None) -> None:
        self._language = language
        self._place = place  # behind what was shown last
        self._before = place  # what the next message has to come after: where nothing was published, before our place
        self._parts: list[Part] = []

    @property
    def place(self) -> Place | None:
        """Behind what was shown last; None where it begins with whatever comes first."""
        return self._place

    def take(self, part: Part) -> T | None:
        """What a message completes; None: nothing yet, or nothing new.

        Raises:
            Astray: it does not continue what was shown.
            Rejected: it cannot be read.
        """
        if self._place is None or self._before is None:
            if part.number > 1:  # the middle of a change
                return None
            self._place = self._before = part.after
        if not self._parts and is_same(part.place, self._before):
            return None
        if not is_same(part.after, self._before):
            raise Astray(f"{place_text(part.after)} is not {place_text(self._before)}")
        if part.number == 1:  # also where whoever published it had to begin it again
            self._parts = []
        elif len(self._parts) != part.number - 1 or self._parts[0].count != part.count:
            raise Astray(f"part {part.number} of {part.count} follows {len(self._parts)} parts")
        self._parts.append(part)
        if not part.is_last:
            return None
        found = self._language.joined(self._parts, self._place.seq)
        self._parts, self._place, self._before = [], part.place, part.place
        return found

    def go_back(self, place: Place, before: Place | None = None) -> None:
        """Continue behind another place; with a message that comes after `before`, whose beginning is known."""
        self._parts, self._place, self._before = [], place, before or place
