"""Of which blocks a store holds what a contract logged, and how that is known: its `contract_coverage`. Pure.

A contract's spans ascend, neither touch nor overlap if they have the same evidence, and never overlap otherwise. A
chain that is held whole has no rows here: there each block has everything.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from tidelog.batch import INT_MAX, Drop, Row, Rows, Table, int_column, text_column
from tidelog.errors import Corruption

__all__ = [
    "CONTRACT_COVERAGE",
    "Coverage",
    "Span",
    "Spans",
    "changed",
    "clipped",
    "gaps",
    "joined",
    "merged",
    "read_coverage",
]

CONTRACT_COVERAGE = Table(
    "contract_coverage",
    (
        int_column("chain_id"),
        text_column("contract"),
        int_column("first"),
        int_column("last"),
        text_column("evidence"),  # proven | asked
        text_column("endpoint", nullable=True, content=False),  # of what was asked: who said so; several by ", "
    ),
    key=("chain_id", "contract", "first"),
    scope="chain_id",
    later=True,
)


HELD = "held"  # of `merged` spans: by whatever evidence


class Span(Struct, frozen=True):
    """Blocks `first` to `last`, and how it is known what a contract logged in them."""

    first: int
    last: int
    evidence: str
    endpoint: str | None = None  # who said so, of what was asked


Spans: TypeAlias = tuple[Span, ...]
Coverage: TypeAlias = Mapping[str, Spans]
"""By the contract's name."""


def joined(spans: Sequence[Span], new: Span) -> Spans:
    """The spans and a new one, which decides where it overlaps an old one. A span without blocks changes nothing.

    Those that it does not touch stay the same objects, however many they are: endpoints that answer in turn leave some
    thousand behind, and each block that comes adds one.
    """
    if new.first > new.last:
        return tuple(spans)
    begin = bisect_left(spans, new.first - 1, key=lambda each: each.last)
    end = bisect_right(spans, new.last + 1, begin, key=lambda each: each.first)
    pieces: list[Span] = [new]
    for old in spans[begin:end]:
        pieces += [
            piece
            for piece in (
                replace(old, last=min(old.last, new.first - 1)),
                replace(old, first=max(old.first, new.last + 1)),
            )
            if piece.first <= piece.last
        ]
    found: list[Span] = []
    for piece in sorted(pieces, key=lambda each: each.first):
        below = found[-1] if found else None
        if below is not None and below.last == piece.first - 1 and _known_alike(below, piece):
            found[-1] = replace(below, last=piece.last)
        else:
            found.append(piece)
    return (*spans[:begin], *found, *spans[end:])


def merged(spans: Iterable[Span]) -> Spans:
    """The blocks of all these spans, however each of them is known: neighbours are one."""
    found: Spans = ()
    for span in spans:
        found = joined(found, Span(span.first, span.last, HELD))
    return found


def _known_alike(one: Span, other: Span) -> bool:
    return (one.evidence, one.endpoint) == (other.evidence, other.endpoint)


def clipped(spans: Iterable[Span], last: int) -> Spans:
    """What is left of the spans once no block above `last` is stored."""
    return tuple([replace(each, last=min(each.last, last)) for each in spans if each.first <= last])


def gaps(spans: Iterable[Span], low: int, high: int) -> list[range]:
    """The stretches of the blocks `low` to `high` that are in no span, ascending."""
    found: list[range] = []
    for each in spans:
        if low > high:
            break
        if each.last < low:
            continue
        if each.first > low:
            found.append(range(low, min(each.first, high + 1)))
        low = each.last + 1
    if low <= high:
        found.append(range(low, high + 1))
    return found


class Changed(Struct, frozen=True):
    """What a commit does to the table."""

    put: tuple[Rows, ...]
    drop: tuple[Drop, ...]


def changed(chain_id: int, before: Coverage, after: Coverage) -> Changed:
    """From one coverage to another. What a commit writes does not grow with the spans that stay as they were."""
    rows: list[Row] = []
    drop: list[Drop] = []
    for name in sorted({*before, *after}):
        old, new = _differing(before.get(name, ()), after.get(name, ()))
        there = {each.first: each for each in old}
        gone = there.keys() - {each.first for each in new}
        if len(gone) > len(after.get(name, ())):
            drop.append(Drop(CONTRACT_COVERAGE, chain_id, (("contract", name),), INT_MAX))
            there, new = {}, after.get(name, ())
        else:
            drop += [
                Drop(CONTRACT_COVERAGE, chain_id, (("contract", name), ("first", first)), first)
                for first in sorted(gone)
            ]
        rows += [
            (chain_id, name, each.first, each.last, each.evidence, each.endpoint)
            for each in new
            if there.get(each.first) != each
        ]
    return Changed((Rows(CONTRACT_COVERAGE, rows),) if rows else (), tuple(drop))


def _differing(old: Spans, new: Spans) -> tuple[Spans, Spans]:
    """Both without the spans at their beginning and at their end that are the same."""
    if old is new:
        return (), ()
    begin, shorter = 0, min(len(old), len(new))
    while begin < shorter and old[begin] == new[begin]:
        begin += 1
    end = 0
    while end < shorter - begin and old[-1 - end] == new[-1 - end]:
        end += 1
    return old[begin : len(old) - end], new[begin : len(new) - end]


def read_coverage(rows: Sequence[Row]) -> dict[str, Spans]:
    """What rows of the table say, those of one chain in the order of the key. Corruption: they cannot be that."""
    found: dict[str, list[Span]] = {}
    for row in rows:
        values: Any = row
        _, name, first, last, evidence, endpoint = values
        spans = found.setdefault(name, [])
        if not (isinstance(first, int) and isinstance(last, int) and 0 <= first <= last):
            raise Corruption(f"the coverage of contract {name!r} goes from {first!r} to {last!r}")
        if spans and spans[-1].last >= first:
            raise Corruption(f"the coverage of contract {name!r} has block {first} twice")
        spans.append(Span(first, last, str(evidence), endpoint))
    return {name: tuple(spans) for name, spans in found.items()}
