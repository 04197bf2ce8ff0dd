"""A search of many segments that looks only into those which may have what it looks for. Composes queries, runs none.

It looks into the first `near_segments` of its range as any search does: what is common is found there. Only where
these do not fill the page it asks for the segments beyond them that may have the value (`tidelog.store.fingerprints`),
and looks into these, in order, until the page is full: neighbours by one query together, AT_ONCE at most.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from tidelog.batch import Row, Table, Value
from tidelog.store.fingerprints import fingerprint, runs, segments_in, texts_for

__all__ = ["ANY", "Span", "beyond", "narrowed", "wanted_fingerprints"]

AT_ONCE = 256  # segments whose bounds are asked for together

Ask = Callable[[str, list[Value]], Awaitable[list[Row]]]


class Span(NamedTuple):
    """Heights that are searched, both ends included. None: no bound."""

    low: int | None
    high: int | None


class Look(Protocol):
    """The first so many of the rows that are searched for, of a span; `near_segments` as of `query.select_query`."""

    def __call__(self, span: Span, most: int | None, near_segments: int | None = None, /) -> Awaitable[list[Row]]: ...


def wanted_fingerprints(
    table: Table, where: Mapping[str, Any] | None, any_of: Sequence[tuple[str, Value]] = ()
) -> list[bytes]:
    """Of values of which rows have one; empty: of none that has fingerprints."""
    found = [fingerprint(table.name, name, (where or {}).get(name)) for name in table.segmented]
    one = next((each for each in found if each is not None), None)
    if one is not None:
        return [one]
    either = [fingerprint(table.name, name, value) for name, value in any_of]
    return [] if None in either else [each for each in either if each is not None]


async def narrowed(
    ask: Ask,
    look: Look,
    *,
    mark: str,
    scope: int,
    wanted: Sequence[bytes],
    span: Span,
    descending: bool,
    limit: int | None,
    near_segments: int,
) -> list[Row]:
    """The first `limit` rows, in order.

    Args:
        ask: runs a query.
        wanted: fingerprints of values of which each of them has one.
    """
    found = await look(span, limit, near_segments)
    if limit is not None and len(found) >= limit:
        return found
    texts = texts_for(mark)
    if descending:
        text, begin, end = texts.far_below, span.high, -ANY if span.low is None else span.low
    else:
        text, begin, end = texts.far_above, span.low, ANY if span.high is None else span.high
    edge: list[Any] = await ask(text, [scope, beyond(begin, descending=descending), near_segments, end])
    if not edge or _outside(span, edge[0][0], descending):
        return found
    height, bound, last = edge[0]  # of the first segment that is not near, and the number of the last one
    far = Span(span.low, height) if descending else Span(height, span.high)
    candidates: dict[int, tuple[int, int, int] | None] = {}
    for value in wanted:
        candidates |= await _candidates(ask, mark, scope, value)
    lowest, highest = (-ANY if last is None else last, bound) if descending else (bound, last)
    ordered = sorted((each for each in candidates if lowest <= each <= highest), reverse=descending)
    for place in range(0, len(ordered), AT_ONCE):
        some = ordered[place : place + AT_ONCE]
        bounds = [each for number in some if (each := candidates[number]) is not None]
        missing = [number for number in some if candidates[number] is None]
        if missing:
            marks = ", ".join(f"{mark}{number}" for number in range(2, len(missing) + 2))
            bounds += await ask(texts.bounds.format(marks), [scope, *missing])  # type: ignore[arg-type]
        for low, high in runs(sorted(bounds, reverse=descending)):
            found += await look(_within(far, low, high), None if limit is None else limit - len(found))
            if limit is not None and len(found) >= limit:
                return found
    return found


async def _candidates(ask: Ask, mark: str, scope: int, wanted: bytes) -> dict[int, tuple[int, int, int] | None]:
    """The segments that may have a fingerprint: number, first and last height; None where that is not known yet."""
    bucket = int.from_bytes(wanted[:2], "big")
    rows: list[Any] = await ask(texts_for(mark).candidates, [scope, wanted[0], wanted, bucket, wanted[2:]])
    found: dict[int, tuple[int, int, int] | None] = {}
    for number, first, last, packed in rows:
        if packed is None:
            found[number] = number, first, last
        else:
            for each in segments_in(number, packed, wanted):
                found.setdefault(each, None)
    return found


ANY = 1 << 62  # beyond any height and any segment


def beyond(height: int | None, *, descending: bool) -> int:
    """Segments of a search from this height on begin above this one, or below it."""
    if height is None:
        return ANY if descending else -ANY
    return height + 1 if descending else height - 1


def _outside(span: Span, height: int, descending: bool) -> bool:
    if descending:
        return span.low is not None and height < span.low
    return span.high is not None and height > span.high


def _within(span: Span, low: int, high: int) -> Span:
    return Span(low if span.low is None else max(low, span.low), high if span.high is None else min(high, span.high))
