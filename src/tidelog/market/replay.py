"""Replay: a journal, or a recording of frames, through the fold that the live feed uses.

`entries` is for programs that keep their own position, the loader for one: it begins at the restart point before
that position, folds silently up to it, and yields what comes after. `replay` is for people: at a pace, to the end.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator
from contextlib import aclosing

from msgspec import Struct

from tidelog.errors import ConfigError, Corruption
from tidelog.market.book import Check
from tidelog.market.core import Core, Entry, EventDigest
from tidelog.market.events import (
    BookSnapshot,
    ClockStepped,
    Connected,
    Disconnected,
    EventId,
    Malformed,
    Missed,
    Resync,
    Started,
    Unknown,
)
from tidelog.market.folded import CLOCK, CONNECTED, DISCONNECTED, GAP, RESYNC, Folded, Marker, Standing
from tidelog.market.journal import follow
from tidelog.market.journal_export import is_export, read_export
from tidelog.market.journal_file import JournalReader
from tidelog.market.journal_retention import Reason
from tidelog.market.recording import Recording
from tidelog.market.records import BEGINNING, Kind, Record
from tidelog.market.rows import decimal_text
from tidelog.runtime import Runtime

PAUSE_S_MIN = 0.001  # shorter ones are added up: a sleep is longer than that anyway
_SQLITE = b"SQLite format 3\0"


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
        case ClockStepped(by_us):
            marker = Marker(GAP if by_us > 0 else CLOCK, "clock")
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
            return Folded(
                item.id, item.at_us, item.event, item.check, item.checks, item.doubted, item.depth, item.refused
            )
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
    """The records that a feed would have written for a file of frames; see `Recording`."""
    return Recording(path).records()


def read_source(path: str, after: EventId = BEGINNING) -> Iterator[Record]:
    """The records of a journal, of an export, or, if it is neither, of a recording; see `Source`."""
    return Source(path).records(after)


class Source:
    """What can be replayed. `notes` are what was guessed, and is wrong with a file as a whole; for people.

    Args:
        protocol, depth: of the frames of a recording; a journal says both itself.

    Raises:
        ConfigError: it cannot be read, or does not want to be told.
    """

    def __init__(self, path: str, *, protocol: str | None = None, depth: int | None = None) -> None:
        self._path = path
        try:
            with open(path, "rb") as file:
                self._is_journal = file.read(len(_SQLITE)) == _SQLITE
        except OSError as error:
            raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
        self.recording: Recording | None = None  # None: it has a feed's own records
        if not self._is_journal and not is_export(path):
            self.recording = Recording(path, protocol=protocol, depth=depth)
        elif protocol is not None or depth is not None:
            raise ConfigError(f"{path} says its protocol and depths itself: leave --protocol and --depth out")

    def records(self, after: EventId = BEGINNING) -> Iterator[Record]:
        """The records after an id.

        Raises:
            ConfigError: it cannot be read.
            Corruption: it is damaged.
        """
        if self._is_journal:
            reader = JournalReader(self._path)
            try:
                yield from reader.records(after)
            finally:
                reader.close()
            return
        records = read_export(self._path) if self.recording is None else self.recording.records()
        yield from (record for record in records if record.id > after)

    def require_readable(self, summary: "Summary") -> None:
        """ConfigError if not one frame of a recording could be read; it says what is wrong with the first."""
        if self.recording is None or summary.readable:
            return
        if summary.first_trouble is None:
            why = "; ".join(self.recording.notes) or "it is empty"
            raise ConfigError(f"{self._path} holds no frames: {why}")
        line = self.recording.first_line
        raise ConfigError(
            f"no line of {self._path} is a frame of Kraken's, as `market replay` takes them (one a line, plain or "
            f"packed with gzip or zstd); line {line}: {summary.first_trouble}"
        )


class Summary:
    """What a replay came to, run by run."""

    def __init__(self) -> None:
        self.events = 0
        self.checks: dict[Check, int] = dict.fromkeys(Check, 0)
        self.malformed = 0  # frames that could not be read
        self.unknown = 0  # frames about something that this version does not know
        self.readable = 0  # all other frames
        self.first_trouble: str | None = None  # what was wrong with the first frame that was not readable
        self.digests: dict[int, EventDigest] = {}  # by run, of runs that were folded from their start

    def add(self, item: Entry) -> None:
        self.events += 1
        for check in item.checks or (item.check,):
            if check is not None:
                self.checks[check] += 1
        match item.event:
            case Malformed(why):
                self.malformed += 1
                self.first_trouble = self.first_trouble or why
            case Unknown(name):
                self.unknown += 1
                what = f"its channel {name!r} is not known" if name else "it names no channel and no method"
                self.first_trouble = self.first_trouble or what
            case Started() | Connected() | Disconnected() | ClockStepped() | Resync() | Missed():
                pass
            case _:
                self.readable += 1


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
