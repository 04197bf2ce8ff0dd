"""How far a follower of a chain's changes is, and whether the store agrees.

A store that is restored from a copy, or a standby that takes over without the last commits, has gone back: it gives
numbers of changes out again, for other blocks. Nothing in such a store shows it. But each writer draws a number when it
opens, which is in every change: a change is known by its `seq` and its writer, and up to a change that two histories
share they are equal. So a follower's place names the last change that it has, and the last ones of the writers before:

    120-9f3c0a1b2c3d4e5f.95-01c4d2e8f7a6b594.0

Here the changes up to 95 are of the writer 01c4.., those after it of 9f3c..; the 0 says that none came before. What is
common is found from the newest writer that the store knows. A place `120` alone names no writer: nothing is checked.

Pure; `outbox` asks a store.
"""

import re
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import NamedTuple, TypeAlias

from msgspec import Struct

from tidelog.batch import INT_MAX, Row
from tidelog.chain.rows.tables import CHANGES

__all__ = [
    "BEGIN",
    "MARKS_MAX",
    "Agreed",
    "Ahead",
    "Mark",
    "Place",
    "Verdict",
    "WentBack",
    "mark_of",
    "parse_place",
    "place_text",
    "verdict",
    "writer_text",
]

MARKS_MAX = 8  # writers that a place names: a follower that lost the changes of all eight begins again

_MARK = re.compile(r"([1-9]\d{0,18})-([0-9a-f]{16})", re.ASCII)
_SEQ = re.compile(r"\d{1,19}", re.ASCII)
_SEQ_COLUMN, _WRITER_COLUMN = CHANGES.index("seq"), CHANGES.index("writer")


class Mark(NamedTuple):
    """The last change of a writer that a follower has."""

    seq: int
    writer: int


def mark_of(row: Row) -> Mark:
    """Of a row of `changes`."""
    seq, writer = row[_SEQ_COLUMN], row[_WRITER_COLUMN]
    assert isinstance(seq, int)
    assert isinstance(writer, int)
    return Mark(seq, writer)


class Place(Struct, frozen=True):
    """What a follower has: all changes up to `seq`.

    `marks` are those of the latest writers, the newest first, without one left out between them; the newest one's
    `seq` is this one. None are there at the beginning, and where the follower knows nothing but `seq`.
    """

    seq: int
    marks: tuple[Mark, ...] = ()
    whole: bool = False  # nothing came before the oldest mark

    def advanced(self, rows: Iterable[Row]) -> "Place":
        """The place once the follower has these rows of `changes` too, which come next."""
        place = self
        for row in rows:
            place = place.behind(mark_of(row))
        return place

    def behind(self, mark: Mark) -> "Place":
        """The place behind what comes next, by its mark."""
        older = self.marks[1:] if self.marks and self.marks[0].writer == mark.writer else self.marks
        marks = (mark, *older)
        return Place(mark.seq, marks[:MARKS_MAX], self.whole and len(marks) <= MARKS_MAX)


BEGIN = Place(0, (), True)


class Agreed(Struct, frozen=True):
    """The store has what the follower has."""


class Ahead(Struct, frozen=True):
    """The store ends at `last`, before the place, and contradicts nothing: a replica that lags. Wait for it.

    A store that went back says so too until somebody has written to it.
    """

    last: int


class WentBack(Struct, frozen=True):
    """The store has other changes after `place` than the follower, which has to undo its own after it."""

    place: Place


Verdict: TypeAlias = Agreed | Ahead | WentBack


def verdict(place: Place, ends: Mapping[int, int], last: int) -> Verdict:
    """What a store says to a place.

    Args:
        ends: the last change of each writer of the place's marks that has written any in the store.
        last: the store's last change.
    """
    if not place.marks:
        return Agreed() if place.seq <= last else Ahead(last)
    for index, mark in enumerate(place.marks):
        if mark.writer not in ends:
            continue
        common = min(mark.seq, ends[mark.writer])
        if index == 0 and common == mark.seq:
            return Agreed()
        if last == common:
            return Ahead(last)
        # the follower's next change is of another writer than the store's
        older = place.marks[index + 1 :]
        return WentBack(Place(common, (Mark(common, mark.writer), *older), place.whole))
    # the store has nothing of any of these writers
    if last >= (1 if place.whole else place.marks[-1].seq):
        return WentBack(BEGIN)
    return Ahead(last)


# -- as text -------------------------------------------------------------------------------------------------


def writer_text(writer: int) -> str:
    """A writer's number as clients see it: 16 hex digits, since JavaScript's numbers end at 53 bits."""
    return f"{writer:016x}"


def place_text(place: Place) -> str:
    """A place as a client keeps it: `parse_place` reads it."""
    if not place.marks:
        return str(place.seq)
    marks = [f"{mark.seq}-{writer_text(mark.writer)}" for mark in place.marks]
    return ".".join([*marks, "0"] if place.whole else marks)


def parse_place(text: str) -> Place:
    """Read what `place_text` wrote, or a `seq` alone. ValueError if it is neither."""
    if _SEQ.fullmatch(text):
        seq = int(text)
        if seq >= INT_MAX:
            raise ValueError("its number is too large")
        return Place(seq) if seq else BEGIN
    parts = text.split(".", MARKS_MAX + 1)
    whole = parts[-1] == "0"
    found = [_MARK.fullmatch(part) for part in (parts[:-1] if whole else parts)]
    marks = [Mark(int(each[1]), int(each[2], 16)) for each in found if each is not None]
    if len(marks) < len(found) or not 1 <= len(marks) <= MARKS_MAX:
        raise ValueError("it is no list of changes and their writers")
    if any(newer.seq <= older.seq for newer, older in pairwise(marks)):
        raise ValueError("its changes do not descend")
    if len({mark.writer for mark in marks}) < len(marks):
        raise ValueError("it names a writer twice")
    if marks[0].seq >= INT_MAX or any(mark.writer > INT_MAX for mark in marks):
        raise ValueError("a number in it is too large")
    return Place(marks[0].seq, tuple(marks), whole)
