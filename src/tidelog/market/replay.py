"""Replay: a journal, or a recording of frames, through the fold that the live feed uses.

`entries` is for programs that keep their own position, the loader for one: it begins at the restart point before
that position, folds silently up to it, and yields what comes after. `replay` is for people: at a pace, to the end.
"""

import re
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
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
    Resync,
    Started,
    Stream,
    micros,
)
from tidelog.market.folded import CONNECTED, DISCONNECTED, RESYNC, Folded, Marker
from tidelog.market.journal import follow
from tidelog.market.journal_file import JournalReader
from tidelog.market.marks import Connect, Mark, Subscribe, Wanted, encode_mark
from tidelog.market.records import BEGINNING, Kind, Record
from tidelog.market.streams import DEPTHS
from tidelog.runtime import Runtime

PAUSE_S_MIN = 0.001  # shorter ones are added up: a sleep is longer than that anyway
_SQLITE = b"SQLite format 3\0"
_TIME_V1 = re.compile(rb'"(\d{10}\.\d{6})"')
_TIME_V2 = re.compile(rb'"timestamp":"([^"]{20,32})"')


def resume(reader: JournalReader, after: EventId, *, digest: bool = False) -> tuple[Core, EventId]:
    """A fold that can go on from a position, and where to read on: what is folded up to `after` is known already.

    Raises:
        Corruption: nothing in the journal says how things were there.
    """
    core = Core(digest=digest)
    start = reader.restart_point(after)
    if start is None:
        return core, after if after <= BEGINNING else _expect_no_past(reader, after)
    return core, EventId(start.run, start.seq - 1)


def _expect_no_past(reader: JournalReader, after: EventId) -> EventId:
    ends = reader.ends()
    if ends is not None and ends[0] <= after:
        raise Corruption(f"the journal has no restart point at or before record {after.run}.{after.seq}")
    return after


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
    for record in reader.records(start):
        item = core.take(record)
        if item is not None and record.id > after:
            yield item


async def follow_entries(
    path: str,
    runtime: Runtime,
    *,
    after: EventId = BEGINNING,
    ending: Callable[[], bool] = lambda: False,
    books: bool = False,
    vfs: str | None = None,
) -> AsyncIterator[list[Entry]]:
    """The events after a position, group by group, and those that come from now on.

    Args:
        ending: as of `follow`.
        books: begin with the books as they were at that position, each as a snapshot under the position's id.
        vfs: SQLite's name of another file system.
    """
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
    at_us = 0
    async for records in follow(path, runtime, after=start, ending=ending, vfs=vfs):
        fresh: list[Entry] = []
        for record in records:
            if books and record.id > after:
                fresh, books = _snapshots(core, after, at_us), False
            item = core.take(record)
            at_us = record.at_us
            if item is not None and item.id > after:
                fresh.append(item)
        if fresh:
            yield fresh


async def load_entries(
    path: str,
    runtime: Runtime,
    *,
    after: EventId = BEGINNING,
    ending: Callable[[], bool] = lambda: False,
    vfs: str | None = None,
) -> AsyncIterator[Folded]:
    """What the loader takes: as `follow_entries` with books, one by one, the feed's own events as markers."""
    async for items in follow_entries(path, runtime, after=after, ending=ending, books=True, vfs=vfs):
        for item in items:
            yield _as_loaded(item)


def _as_loaded(item: Entry) -> Folded:
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
        case _:
            return Folded(item.id, item.at_us, item.event, item.check)
    return Folded(item.id, item.at_us, marker)


class _Written(Struct, frozen=True):
    """A level as text, with all decimals."""

    price_text: str
    qty_text: str


def _snapshots(core: Core, at: EventId, at_us: int) -> list[Entry]:
    """The books as they are, as messages."""
    items = []
    for book in core.books.by_symbol.values():
        if not book.state.ready:
            continue
        bids, asks = (
            tuple([_Written(_text(price, book.precision.price), _text(qty, book.precision.qty)) for price, qty in side])
            for side in (book.bids, book.asks)
        )
        checksum = book.checksum() if book.proven else None
        items.append(Entry(at, at_us, BookSnapshot(book.symbol, bids, asks, checksum), None))
    return items


def _text(number: int, scale: int) -> str:
    digits = f"{number:0{scale + 1}}"
    return f"{digits[:-scale]}.{digits[-scale:]}" if scale else digits


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
        yield item
