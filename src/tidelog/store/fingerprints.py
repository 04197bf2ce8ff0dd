"""Fingerprints: which segments may have a value, so that a search of many segments looks into few.

A chain of 22 million blocks has some 60,000 segments, and to look into each of them for a value that is not there takes
half a second. So a store keeps four bytes of each value by which the rows of an old segment are found, and where a
value has other bytes the segment has no such row. The bytes are the value's own: hashes, and addresses that come of
hashes, are evenly spread. Where somebody makes addresses with equal bytes, searches for these look into more segments.

A chain of more than `near_segments` has them of all segments but the newest and the lowest ones, which still change.
With each commit the newest segment that lacks them gets them, while its pages are still at hand: its values are read
back, and their fingerprints stored by their first byte, a *part* (`segment_fingerprints`). When as many as
`section_segments` have theirs, they become a *section*: part by part, with each commit, what they have of it moves into
`section_fingerprints`, by the first two bytes, a *bucket*: two bytes more and the segment. A search reads one bucket of
each section, some four kilobytes, and one part of what is in no section yet; and it looks into the segments that have
no fingerprints.

It may look into too many segments, and never into too few, because of three rules. A segment has fingerprints of all
of its rows or says that it has none (`segments.fingerprints`: -1 none, 0 its own, else the number of its section). What
adds rows to a segment, in whichever way, sets it to -1 in the same statement that counts them (`SegmentTexts.put`). A
fingerprint is not removed while its segment says that it has some; it moves within a transaction. What a rollback
leaves behind is of no use and does no harm. A store that an earlier release has made gets its fingerprints in the same
steps, one segment with each commit. It may have all of its blocks in one segment, which has none: searches look into
it, as they do into the lowest one.

Pure: `steps` yields statements, and is sent the rows of each; backends run them.
"""

import sys
from array import array
from bisect import bisect_left
from collections.abc import Generator, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple, TypeAlias

from tidelog import compiled
from tidelog.batch import Value
from tidelog.store.limits import FingerprintLimits

__all__ = [
    "NONE",
    "Ask",
    "FingerprintTexts",
    "Put",
    "Steps",
    "bucketed",
    "fingerprint",
    "overlooked",
    "parted",
    "parted_in_python",
    "runs",
    "segments_in",
    "steps",
]

NONE = -1  # `segments.fingerprints` of a segment without
PARTS = 256
SETTLED = 2  # segments behind the newest ones that have no fingerprints yet: a reorg would take them away again
_SPAN = 1 << 16  # a section's segments are told apart by two bytes
REMEDY = 'docs/reliability.md has the SQL that drops them, under "Segments"'
GAP = 16  # segments between two that are looked into as well: that costs less than a query more

# columns that have fingerprints, and where in a value they begin, from its end. Each column at a place of its own: what
# is frequent in one is not found in another. Not at the beginning, where addresses that somebody has mined have zeros,
# and numbers too.
_PLACES: Mapping[str, Mapping[str, int]] = {
    "transactions": {"hash": 4, "from_address": 8, "to_address": 15, "contract_address": 13},
    "logs": {"address": 12, "topic0": 10},
}
_SHORT = bytes(4)  # the fingerprint of a value without that place, and of NULL


def fingerprint(table: str, column: str, value: Value) -> bytes | None:
    """Four bytes of a value; None: the column has no fingerprints."""
    place = _PLACES.get(table, {}).get(column)
    if place is None or not isinstance(value, bytes):
        return None
    return value[len(value) - place :][:4] if len(value) >= place else _SHORT


def parted(found: Iterable[bytes]) -> dict[int, bytes]:
    """Fingerprints, each once and in order, by their first byte."""
    module, together = compiled.core().module, b"".join(found)
    if module is None:
        return parted_in_python(together)
    parts: dict[int, bytes] = module.parted(together)
    return parts


def parted_in_python(found: bytes) -> dict[int, bytes]:
    """The same without the compiled core, which takes an eighth of the time."""
    values = sorted(set(_numbers(found)))
    cuts = [bisect_left(values, part << 24) for part in range(PARTS + 1)]
    packed = _packed(values)
    return {part: packed[4 * begin : 4 * end] for part, (begin, end) in enumerate(pairwise(cuts)) if begin < end}


def bucketed(first: int, part: int, own: Iterable[tuple[int, bytes]]) -> dict[int, bytes]:
    """What the segments of a section have of one part, by bucket: two bytes, and the segment less `first`."""
    entries = sorted([value << 16 | segment - first for segment, found in own for value in _numbers(found)])
    low = part << 8
    cuts = [bisect_left(entries, bucket << 32) for bucket in range(low, low + 257)]
    packed = _packed([entry & 0xFFFFFFFF for entry in entries])
    return {
        low + place: packed[4 * begin : 4 * end] for place, (begin, end) in enumerate(pairwise(cuts)) if begin < end
    }


def segments_in(first: int, bucket: bytes, wanted: bytes) -> list[int]:
    """The segments of a section that may have a fingerprint, by the bucket that it would be in."""
    found, tail = list[int](), wanted[2:]
    at = bucket.find(tail)
    while at >= 0:
        if at % 4 == 0:
            found.append(first + int.from_bytes(bucket[at + 2 : at + 4], "big"))
        at = bucket.find(tail, at + 1)
    return found


def runs(found: Sequence[tuple[int, int, int]]) -> list[tuple[int, int]]:
    """Segments (number, first, last), in order or in reverse, as ranges of heights: near ones share one."""
    joined: list[tuple[int, int]] = []
    before: int | None = None
    for number, first, last in found:
        if before is not None and abs(number - before) <= GAP:
            low, high = joined.pop()
            joined.append((min(low, first), max(high, last)))
        else:
            joined.append((first, last))
        before = number
    return joined


def _numbers(packed: bytes) -> "array[int]":
    numbers = array("I", packed)
    if sys.byteorder == "little":
        numbers.byteswap()
    return numbers


def _packed(values: Iterable[int]) -> bytes:
    numbers = array("I", values)
    if sys.byteorder == "little":
        numbers.byteswap()
    return numbers.tobytes()


class Ask(NamedTuple):
    """A statement whose rows are wanted, if it has any."""

    text: str
    values: Sequence[Any]


class Put(NamedTuple):
    """A statement for each of some rows."""

    text: str
    rows: list[tuple[Any, ...]]


Steps: TypeAlias = Generator[Ask | Put, list[Any], None]


class _Dialect(NamedTuple):
    """How one database has it."""

    bytes_at: str  # four bytes of a column, from a place counted from the end
    zeros: str
    joined: str  # the aggregate of all rows' bytes
    within: str  # whether a column has some bytes
    null: str


_DIALECTS = {
    "?": _Dialect(
        'substr("{0}", -{1}, 4)', "x'00000000'", "CAST(coalesce(group_concat({}, ''), '') AS BLOB)",
        "instr({}, {}) > 0", "NULL",
    ),
    "$": _Dialect(
        'substr("{0}", length("{0}") - {1} + 1, 4)', r"'\x00000000'::bytea",
        "coalesce(string_agg({}, ''::bytea), ''::bytea)", "position({1}::bytea IN {0}) > 0", "NULL::bytea",
    ),
}  # fmt: skip


class FingerprintTexts:
    """The SQL for a backend's sign before a parameter's number."""

    def __init__(self, mark: str) -> None:
        one, two, three, four, five = (f"{mark}{number}" for number in range(1, 6))
        dialect = _DIALECTS[mark]
        of_scope = f"FROM segments WHERE scope = {one}"
        # of the rows of heights `two` to `three`, by table
        self.read = [
            f"SELECT {dialect.joined.format(' || '.join(_fingerprints(dialect, columns)))} FROM {table}"
            f" WHERE chain_id = {one} AND block_number >= {two} AND block_number <= {three}"
            for table, columns in _PLACES.items()
        ]
        lowest, newest = f"(SELECT min(segment) {of_scope})", f"(SELECT max(segment) {of_scope})"
        self.without = (
            f"SELECT segment, first, last {of_scope} AND fingerprints = {NONE}"
            f" AND segment > {lowest} AND segment <= {newest} - {three} AND {newest} - {lowest} > {two}"
            f" AND rows <= {four}"
            " ORDER BY segment DESC LIMIT 1"
        )
        self.with_own = f"SELECT segment {of_scope} AND fingerprints = 0 ORDER BY segment LIMIT {two}"
        self.put_own = (
            "INSERT INTO segment_fingerprints (scope, part, segment, fingerprints)"
            f" VALUES ({one}, {two}, {three}, {four})"
            " ON CONFLICT (scope, part, segment) DO UPDATE SET fingerprints = excluded.fingerprints"
        )
        self.has_own = f"UPDATE segments SET fingerprints = 0 WHERE scope = {one} AND segment = {two}"
        self.newest_section = (
            f"SELECT section, first, parts FROM sections WHERE scope = {one} ORDER BY section DESC LIMIT 1"
        )
        self.begin = f"INSERT INTO sections (scope, section, first, parts) VALUES ({one}, {two}, {three}, 0)"
        self.enter = (
            f"UPDATE segments SET fingerprints = {two} WHERE scope = {one} AND fingerprints = 0 AND segment <= {three}"
        )
        members = f"(SELECT segment {of_scope} AND fingerprints = {two})"
        of_part = f"FROM segment_fingerprints WHERE scope = {one} AND part = {three} AND segment IN {members}"
        self.own = f"SELECT segment, fingerprints {of_part}"
        self.move = (
            "INSERT INTO section_fingerprints (scope, section, bucket, fingerprints)"
            f" VALUES ({one}, {two}, {three}, {four})"
        )
        self.forget = f"DELETE {of_part}"
        self.moved = f"UPDATE sections SET parts = {three} WHERE scope = {one} AND section = {two}"
        # the segments that may have a fingerprint (three, its part two; of its bucket four the rest five): number and
        # bounds, or a section's first number and its bucket
        of_own = _each(
            *(mark, "segment_fingerprints AS own", "segments"),
            "found.scope = own.scope AND found.segment = own.segment",
        )
        of_section = _each(
            *(mark, "sections", "section_fingerprints"),
            f"found.scope = sections.scope AND found.section = sections.section AND found.bucket = {four}"
            f" AND {dialect.within.format('found.fingerprints', five)}",
        )
        self.candidates = (
            f"SELECT segment, first, last, {dialect.null} {of_scope} AND fingerprints = {NONE}"
            f" UNION ALL SELECT found.segment, found.first, found.last, {dialect.null} {of_own}"
            f" AND own.scope = {one} AND own.part = {two} AND {dialect.within.format('own.fingerprints', three)}"
            f" UNION ALL SELECT sections.first, 0, 0, found.fingerprints {of_section} AND sections.scope = {one}"
        )
        # upward from height `two`, the first segment that is not near, and the one at the end, height `four`; downward
        at_end = f"(SELECT segment {of_scope} AND first <= {four} ORDER BY first DESC LIMIT 1)"
        self.far_above = (
            f"SELECT first, segment, {at_end} {of_scope} AND first > {two} ORDER BY first LIMIT 1 OFFSET {three}"
        )
        self.far_below = (
            f"SELECT last, segment, {at_end} {of_scope} AND first < {two} ORDER BY first DESC LIMIT 1 OFFSET {three}"
        )
        self.with_any = f"SELECT scope, segment FROM segments WHERE fingerprints > {NONE} ORDER BY scope, segment"
        self.state_of = f"SELECT first, last, fingerprints {of_scope} AND segment = {two} AND fingerprints > {NONE}"
        self.own_of = f"SELECT part, fingerprints FROM segment_fingerprints WHERE scope = {one} AND segment = {two}"
        self.bucket_of = (
            "SELECT sections.first, found.fingerprints FROM sections CROSS JOIN section_fingerprints AS found"
            f" WHERE sections.scope = {one} AND sections.section = {two} AND found.scope = sections.scope"
            f" AND found.section = sections.section AND found.bucket = {three}"
        )
        self.bounds = f"SELECT segment, first, last {of_scope} AND segment IN ({{}})"


def _each(mark: str, outer: str, inner: str, condition: str) -> str:
    """The rows of one table, each with the row of another, `found`, that belongs to it: in no other order."""
    if mark == "?":
        return f"FROM {outer} CROSS JOIN {inner} AS found WHERE {condition}"
    one = f"SELECT * FROM {inner} AS found WHERE {condition} LIMIT 1"
    return f"FROM {outer} CROSS JOIN LATERAL ({one}) AS found WHERE true"


def _fingerprints(dialect: _Dialect, columns: Mapping[str, int]) -> list[str]:
    return [
        f'CASE WHEN length("{name}") >= {place} THEN {dialect.bytes_at.format(name, place)} ELSE {dialect.zeros} END'
        for name, place in columns.items()
    ]


@lru_cache
def texts_for(mark: str) -> FingerprintTexts:
    """The SQL for a mark, made once."""
    return FingerprintTexts(mark)


def steps(mark: str, places: Iterable[tuple[tuple[int, int], int]], limits: FingerprintLimits) -> Steps:
    """What a commit adds: for each segment that it wrote to, those of one old segment, and a part of a section.

    Args:
        mark: the backend's sign before a parameter's number.
        places: by scope and height, the segments that the commit has rows for.
    """
    texts = texts_for(mark)
    for scope, _ in sorted({(scope, segment) for (scope, _), segment in places}):
        yield from _fingerprint_one(texts, scope, limits)
        for _ in range(limits.parts_at_once):
            yield from _move_part(texts, scope, limits.section_segments)


def _fingerprint_one(texts: FingerprintTexts, scope: int, limits: FingerprintLimits) -> Steps:
    near = limits.near_segments
    for segment, first, last in (yield Ask(texts.without, (scope, near, min(near, SETTLED), limits.rows_max))):
        found = []
        for text in texts.read:
            found += [packed for (packed,) in (yield Ask(text, (scope, first, last)))]
        yield Put(texts.put_own, [(scope, part, segment, packed) for part, packed in parted(found).items()])
        yield Ask(texts.has_own, (scope, segment))


def _move_part(texts: FingerprintTexts, scope: int, section_segments: int) -> Steps:
    sections = yield Ask(texts.newest_section, (scope,))
    if not sections or sections[0][2] == PARTS:
        waiting = [segment for (segment,) in (yield Ask(texts.with_own, (scope, section_segments)))]
        if len(waiting) < section_segments:
            return
        section, first, part = (sections[0][0] if sections else 0) + 1, waiting[0], 0
        yield Ask(texts.begin, (scope, section, first))
        yield Ask(texts.enter, (scope, section, min(waiting[-1], first + _SPAN - 1)))
    else:
        section, first, part = sections[0]
    own = yield Ask(texts.own, (scope, section, part))
    moved = bucketed(first, part, own)
    if moved:
        yield Put(texts.move, [(scope, section, bucket, packed) for bucket, packed in moved.items()])
    yield Ask(texts.forget, (scope, section, part))
    yield Ask(texts.moved, (scope, section, part + 1))


def overlooked(mark: str, scope: int, segment: int) -> Generator[Ask, list[Any], list[str]]:
    """Whether searches would overlook a segment: a sentence if one of its fingerprints is missing.

    Of a segment that has its own all values are compared, of one in a section those of its first block. All of it has
    to be asked of one state of the store: a commit moves fingerprints, and a reorg takes segments away.
    """
    texts = texts_for(mark)
    complaints: list[str] = []
    for first, last, state in (yield Ask(texts.state_of, (scope, segment))):
        high = last if state == 0 else first
        read: list[bytes] = []
        for text in texts.read:
            read += [packed for (packed,) in (yield Ask(text, (scope, first, high)))]
        own = dict((yield Ask(texts.own_of, (scope, segment))))
        missing = 0
        for part, packed in parted(read).items():
            lacking = set(_numbers(packed)) - set(_numbers(own.get(part, b"")))
            for number in lacking if state > 0 else ():
                wanted = number.to_bytes(4, "big")
                asked = (scope, state, number >> 16)
                for begin, bucket in (yield Ask(texts.bucket_of, asked)):
                    missing -= segment in segments_in(begin, bucket, wanted)
            missing += len(lacking)
        if missing:
            complaints.append(
                f"the fingerprints of segment {segment} of chain {scope} lack {missing} values that its rows have: "
                f"{REMEDY}"
            )
    return complaints
