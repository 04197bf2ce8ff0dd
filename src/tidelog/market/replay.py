"""Replay: a journal, or a recording of frames, through the fold that the live feed uses.

`entries` is for programs that keep their own position, the loader for one: it begins at the restart point before
that position, folds silently up to it, and yields what comes after. `replay` is for people: at a pace, to the end.
"""

import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator
from contextlib import aclosing
from datetime import datetime
from pathlib import Path

from msgspec import Struct

from tidelog.errors import ConfigError, Corruption, Rejected
from tidelog.market.book import Check
from tidelog.market.core import Core, Entry, EventDigest, codec_of
from tidelog.market.events import (
    BookSnapshot,
    Connected,
    Disconnected,
    EventId,
    Missed,
    Resync,
    Started,
    Stream,
    micros,
)
from tidelog.market.folded import CONNECTED, DISCONNECTED, GAP, RESYNC, Folded, Marker, Standing
from tidelog.market.journal import follow
from tidelog.market.journal_file import JournalReader
from tidelog.market.journal_retention import Reason
from tidelog.market.marks import Connect, Mark, Subscribe, Wanted, encode_mark
from tidelog.market.records import BEGINNING, Kind, Record
from tidelog.market.rows import decimal_text
from tidelog.market.streams import DEPTHS
from tidelog.runtime import Runtime

PAUSE_S_MIN = 0.001  # shorter ones are added up: a sleep is longer than that anyway
_SQLITE = b"SQLite format 3\0"
_TIME_V1 = re.compile(rb'"(\d{10}\.\d{6})"')
_TIME_V2 = re.compile(rb'"timestamp":"([^"]{20,32})"')


def resume(reader: JournalReader, after: EventId, *, digest: bool = False) -> tuple[Core, EventId]:
    """A fold that can go on from a position, and where to read on: what is folded up to `after` is known already.

    Where the journal has dropped what that would take, the fold is an empty one, and begins where the journal does.

    Raises:
        Corruption: nothing in the journal says how things were there.
    """
    core = Core(digest=digest)
    start = reader.restart_point(after)
    if start is not None:
        return core, EventId(start.run, start.seq - 1)
    ends = reader.ends()
    if after > BEGINNING and ends is not None and ends[0] <= after and reader.dropped() is None:
        raise Corruption(f"the journal has no restart point at or before record {after.run}.{after.seq}")
    return core, after


class _Standing(Struct, frozen=True):
    """A book as it is at a position. `is_news`: what it came from was not read, but dropped before."""

    id: EventId
    at_us: int
    depth: int
    book: BookSnapshot
    is_news: bool


class _Reading:
    """Records to the events after a position, told apart from those that are folded silently to come there."""

    def __init__(self, core: Core, after: EventId) -> None:
        self._core = core
        self._after = after
        self._at_us = 0  # of the last record
        self._books_due = True
        self._is_late = False  # the fold has begun beyond the position, or will
        self._is_behind = False  # it has lost what came next, which was told

    def take(self, record: Record) -> Iterator[Entry | _Standing]:
        """What the next record comes to; before the first event after the position, the books as they are there."""
        core = self._core
        if self._books_due and record.id > self._after and core.protocol is not None:
            yield from _standing(core, self._after, self._at_us, is_news=self._is_late)
            self._books_due = False
        lost, waits = record.kind is Kind.LOST, core.protocol is None
        entry = core.take(record)
        self._at_us = record.at_us
        if lost or (waits and core.protocol is None):
            # what is dropped is missed; and so is what cannot be understood, for want of what came before it
            if record.id > self._after and not self._is_behind and (lost or self._after > BEGINNING):
                self._is_behind = self._is_late = self._books_due = True
                self._after = record.id
                reason = record.payload.decode() if lost else Reason.PRUNED.value
                yield Entry(record.id, record.at_us, Missed(reason), None)
            return
        self._is_behind = False
        self._is_late = self._is_late or (waits and record.id > self._after)
        if entry is not None and entry.id > self._after:
            yield entry


def at_the_end(path: str) -> tuple[Core, EventId]:
    """A core that will know how things are at the end of a journal, and where it reads on to get there: soon."""
    reader = JournalReader(path)
    try:
        ends = reader.ends()
        return resume(reader, BEGINNING if ends is None else ends[1])
    finally:
        reader.close()


def entries(reader: JournalReader, after: EventId = BEGINNING) -> Iterator[Entry]:
    """The events after a position, in order, up to the end of the journal."""
    core, start = resume(reader, after)
    reading = _Reading(core, after)
    for record in reader.records(start):
        yield from (item for item in reading.take(record) if isinstance(item, Entry))


async def follow_entries(
    path: str,
    runtime: Runtime,
    *,
    after: EventId = BEGINNING,
    ending: Callable[[], bool] = lambda: False,
    books: bool = False,
    vfs: str | None = None,
) -> AsyncGenerator[list[Entry], None]:
    """The events after a position, group by group, and those that come from now on.

    Where the journal had to drop events that were not read yet, a `Missed` stands in their place.

    Args:
        ending: as of `follow`.
        books: begin with the books as they were at that position, each as a snapshot under the position's id; and so
            again after each `Missed`, under its id.
        vfs: SQLite's name of another file system.
    """
    async with aclosing(_follow(path, runtime, after, ending, vfs)) as groups:
        async for items in groups:
            fresh = [
                item if isinstance(item, Entry) else Entry(item.id, item.at_us, item.book, None)
                for item in items
                if books or isinstance(item, Entry)
            ]
            if fresh:
                yield fresh


async def _follow(
    path: str, runtime: Runtime, after: EventId, ending: Callable[[], bool], vfs: str | None
) -> AsyncGenerator[list[Entry | _Standing], None]:
    worker = runtime.worker("journal-reader")

    def begin() -> tuple[Core, EventId]:
        reader = JournalReader(path, vfs)
        try:
            return resume(reader, after)
        finally:
            reader.close()

    try:
        core, start = await worker.call(begin)
    finally:
        await worker.close()
    reading = _Reading(core, after)
    async with aclosing(follow(path, runtime, after=start, ending=ending, vfs=vfs)) as blocks:
        async for records in blocks:
            yield [item for record in records for item in reading.take(record)]


async def load_entries(
    path: str,
    runtime: Runtime,
    *,
    after: EventId = BEGINNING,
    ending: Callable[[], bool] = lambda: False,
    vfs: str | None = None,
) -> AsyncGenerator[Folded, None]:
    """What the loader takes: as `follow_entries` with books, one by one, the feed's own events as markers."""
    async with aclosing(_follow(path, runtime, after, ending, vfs)) as groups:
        async for items in groups:
            for item in items:
                yield _as_loaded(item)


def _as_loaded(item: Entry | _Standing) -> Folded:
    if isinstance(item, _Standing):
        return Folded(item.id, item.at_us, Standing(item.depth, item.book) if item.is_news else item.book)
    match item.event:
        case Connected():
            marker = Marker(CONNECTED)
        case Disconnected(reason):
            marker = Marker(DISCONNECTED, reason)
        case Resync("book", str(symbol)):
            marker = Marker(RESYNC, symbol)
        case Resync(channel, symbol):
            marker = Marker(f"{RESYNC} {channel}", symbol or "")
        case Started():
            marker = Marker("started")
        case Missed(reason):
            marker = Marker(GAP, reason)
        case _:
            return Folded(item.id, item.at_us, item.event, item.check)
    return Folded(item.id, item.at_us, marker)


class _Written(Struct, frozen=True):
    """A level as text, with all decimals."""

    price_text: str
    qty_text: str


def _standing(core: Core, at: EventId, at_us: int, *, is_news: bool) -> Iterator[_Standing]:
    """The books as they are, as messages."""
    for book in core.books.by_symbol.values():
        if not book.state.ready:
            continue
        bids, asks = (
            tuple(
                [
                    _Written(decimal_text(price, book.precision.price), decimal_text(qty, book.precision.qty))
                    for price, qty in side
                ]
            )
            for side in (book.bids, book.asks)
        )
        checksum = book.checksum() if book.proven else None
        yield _Standing(at, at_us, book.depth, BookSnapshot(book.symbol, bids, asks, checksum), is_news)


def read_recording(path: str) -> Iterator[Record]:
    """The records that a feed would have written for a file of frames, one a line. Its books are those in it.

    Times are those that the frames carry; where they carry none, that of the frame before.
    """
    frames = [line for line in Path(path).read_bytes().split(b"\n") if line.strip()]
    protocol = "v1" if any(frame.startswith(b"[") or b'"event"' in frame[:200] for frame in frames[:50]) else "v2"
    times = list(_times(frames))
    at_us = next((time for time in times if time), 0)
    marks: list[Mark] = [Started(protocol)]
    depths = _depths(protocol, frames)
    marks += [Wanted(Stream("book", depth=depth), (symbol,)) for symbol, depth in depths.items()]
    marks += [Connect(), Connected()]
    marks += [
        Subscribe(Stream("book", depth=depth), (symbol,), number)
        for number, (symbol, depth) in enumerate(depths.items(), 1)
    ]
    for seq, mark in enumerate(marks, 1):
        yield Record(EventId(1, seq), at_us, Kind.MARK, encode_mark(mark), seq == 1)
    for seq, (frame, time_us) in enumerate(zip(frames, times, strict=True), len(marks) + 1):
        yield Record(EventId(1, seq), max(at_us, time_us), Kind.IN, frame)


def _depths(protocol: str, frames: Iterable[bytes]) -> dict[str, int]:
    """The books of a recording: a snapshot has as many levels as were subscribed, unless the market is thin."""
    decode = codec_of(protocol).decode
    depths: dict[str, int] = {}
    for frame in frames:
        if b"book" not in frame:
            continue
        try:
            event = decode(frame)
        except Rejected:
            continue
        if isinstance(event, BookSnapshot):
            levels = max(len(event.bids), len(event.asks))
            fitting = next((depth for depth in DEPTHS if depth >= levels), DEPTHS[-1])
            depths[event.symbol] = max(fitting, depths.get(event.symbol, 0))
    return depths


def _times(frames: Iterable[bytes]) -> Iterator[int]:
    latest = 0
    for frame in frames:
        for found in _TIME_V1.findall(frame):
            latest = max(latest, int(found.replace(b".", b"")))
        for found in _TIME_V2.findall(frame):
            try:
                latest = max(latest, micros(datetime.fromisoformat(found.decode())))
            except (ValueError, TypeError, UnicodeDecodeError):
                continue
        yield latest


def read_source(path: str, after: EventId = BEGINNING) -> Iterator[Record]:
    """The records of a journal, or, if it is none, of a recording."""
    try:
        with open(path, "rb") as file:
            is_database = file.read(len(_SQLITE)) == _SQLITE
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    if not is_database:
        yield from read_recording(path)
        return
    reader = JournalReader(path)
    try:
        yield from reader.records(after)
    finally:
        reader.close()


class Summary:
    """What a replay came to, run by run."""

    def __init__(self) -> None:
        self.events = 0
        self.checks: dict[Check, int] = dict.fromkeys(Check, 0)
        self.digests: dict[int, EventDigest] = {}  # by run, of runs that were folded from their start

    def add(self, item: Entry) -> None:
        self.events += 1
        if item.check is not None:
            self.checks[item.check] += 1


async def replay(
    records: Iterable[Record], runtime: Runtime, *, speed: float | None = None, summary: Summary | None = None
) -> AsyncIterator[Entry]:
    """The events of records, at a pace.

    Args:
        speed: 1 is as it happened, 10 ten times as fast, None as fast as it goes.
        summary: is filled in on the way; its digests are those of the live runs.
    """
    core = Core(digest=summary is not None)
    run, begun_us, begun_s = 0, 0, 0.0
    for record in records:
        if speed is not None:
            if record.id.run != run:  # the time between runs is not waited for
                run, begun_us, begun_s = record.id.run, record.at_us, runtime.monotonic()
            pause_s = (record.at_us - begun_us) / 1_000_000 / speed - (runtime.monotonic() - begun_s)
            if pause_s >= PAUSE_S_MIN:
                await runtime.sleep(pause_s)
        item = core.take(record)
        if item is None:
            continue
        if summary is not None:
            summary.add(item)
            if core.digest is not None:
                summary.digests[item.id.run] = core.digest
            elif isinstance(item.event, Missed):  # of that run there is a part only
                summary.digests.pop(item.id.run, None)
        yield item
