"""A journal read from a position: the events after it, and the books as they were there. Does I/O.

For programs that keep their own position, the loader for one: reading begins at the snapshot before that position,
passes silently through the core up to it, and gives what comes after.
"""

from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing

from msgspec import Struct

from tidelog.errors import Corruption
from tidelog.market.book.lending import Cursor, OnFault
from tidelog.market.book.proof import Evidence
from tidelog.market.core import Core, JournalEvent
from tidelog.market.events import BookSnapshot, EventId, Missed
from tidelog.market.journal.pruning import Reason
from tidelog.market.journal.reader import JournalReader
from tidelog.market.journal.writer import follow, follow_packed
from tidelog.market.projection.inputs import Baseline, ProjectionInput
from tidelog.market.projection.rows import decimal_text
from tidelog.market.records import BEGINNING, Kind, PackedRecords, Record
from tidelog.market.replay.replay import tell_fault
from tidelog.runtime import Runtime

__all__ = ["events_after", "events_to_load", "follow_events", "resume"]


def resume(
    reader: JournalReader, after: EventId, *, digest: bool = False, stretches: OnFault | None = None
) -> tuple[Core, EventId]:
    """A core that can continue from a position, and the id after which it has to read to get there.

    Where the journal has dropped the snapshot that this would take, the core is an empty one, and reads from where the
    journal begins.

    Raises:
        Corruption: nothing in the journal says how things were there.
    """
    core = Core(digest=digest, stretches=stretches)
    start = reader.last_snapshot(after)
    if start is not None:
        return core, EventId(start.run, start.seq - 1)
    ends = reader.ends()
    if after > BEGINNING and ends is not None and ends.first <= after and reader.dropped() is None:
        raise Corruption(f"the journal has no restart point at or before record {after.run}.{after.seq}")
    return core, after


class _Reading:
    """Records to the events after a position; those up to it only bring the core there."""

    def __init__(self, core: Core, after: EventId, *, is_late: bool = False) -> None:
        self._core = core
        self._after = after
        self._at_us = 0  # of the last record
        self._books_due = True
        self._is_late = is_late  # the core has begun beyond the position, or will; or nobody has what came before
        self._is_behind = False  # it has lost what came next, which was reported

    def receive(self, record: Record) -> Iterator[JournalEvent | Baseline]:
        """What the next record comes to; before the first event after the position, the books as they are there."""
        core = self._core
        yield from self._books_before(record.id)
        lost, waits = record.kind is Kind.LOST, core.protocol is None
        entry = core.apply(record)
        self._at_us = record.at_us
        if lost or (waits and core.protocol is None):
            # what is dropped is missed; and so is what cannot be understood, for want of what came before it
            if record.id > self._after and not self._is_behind and (lost or self._after > BEGINNING):
                self._is_behind = self._is_late = self._books_due = True
                self._after = record.id
                reason = record.payload.decode() if lost else Reason.PRUNED.value
                yield JournalEvent(record.id, record.at_us, Missed(reason), None)
            return
        self._is_behind = False
        self._is_late = self._is_late or (waits and record.id > self._after)
        if entry is not None and entry.id > self._after:
            yield entry

    def receive_block(self, block: PackedRecords, until: EventId | None) -> Iterator[ProjectionInput]:
        """As `receive`, for the records of a block; stretches of them, where the compiled core takes some.

        Args:
            until: a record at which a stretch has to end; None: there is none.
        """
        core, cursor = self._core, Cursor(block.first_seq)
        if not core.stretches:
            for record in block.records():
                yield from self.receive(record)
            return
        while cursor.seq <= block.last.seq:
            yield from self._books_before(EventId(block.run, cursor.seq))
            stretch = core.take(block, cursor, self._last(block, cursor, until))
            if stretch is None:
                record, cursor = core.record_at(block, cursor)
                yield from self.receive(record)
                continue
            cursor = stretch.end
            self._is_behind = False
            self._at_us = stretch.at_us
            if stretch.id > self._after:
                yield stretch

    def _last(self, block: PackedRecords, cursor: Cursor, until: EventId | None) -> int:
        """The number of the last record that may be in a stretch: none goes beyond the position, or `until`."""
        ends = [self._after] if until is None else [self._after, until]
        return min([block.last.seq, *[end.seq for end in ends if end.run == block.run and end.seq >= cursor.seq]])

    def _books_before(self, record: EventId) -> Iterator[Baseline]:
        """The books as they are before the first record after the position, once."""
        core = self._core
        if self._books_due and record > self._after and core.protocol is not None:
            yield from _baselines(core, self._after, self._at_us, is_news=self._is_late)
            self._books_due = False


def events_after(reader: JournalReader, after: EventId = BEGINNING) -> Iterator[JournalEvent]:
    """The events after a position, in order, up to the end of what is committed.

    Raises:
        Corruption: the journal is damaged, or nothing in it says how things were at the position.
    """
    core, start = resume(reader, after)
    reading = _Reading(core, after)
    for record in reader.records(start):
        yield from (item for item in reading.receive(record) if isinstance(item, JournalEvent))


async def follow_events(
    path: str,
    runtime: Runtime,
    *,
    after: EventId = BEGINNING,
    ending: Callable[[], bool] = lambda: False,
    books: bool = False,
    vfs: str | None = None,
) -> AsyncGenerator[list[JournalEvent], None]:
    """The events after a position, group by group, and those that are committed from now on, by any process.

    Where the journal had to drop events that were not read yet, a `Missed` comes in their place. It does not end by
    itself unless `ending` says so; close it, or cancel the task that reads it, to stop.

    Args:
        path: of the journal; nothing is written to it.
        after: the id of the last event that the caller has.
        ending: asked before each look; once it says so, this ends at the journal's end instead of waiting.
        books: begin with the books as they were at that position, each as a snapshot under the position's id; and so
            again after each `Missed`, under its id.
        vfs: SQLite's name of another file system.

    Raises:
        ConfigError: it is no journal.
        Corruption: it is damaged, or nothing in it says how things were at the position.
        Displaced: the file was deleted, moved away or replaced: what is recorded from then on is in another one.
    """
    async with aclosing(_follow(path, runtime, after, ending, vfs)) as groups:
        async for items in groups:
            fresh = [
                item if isinstance(item, JournalEvent) else JournalEvent(item.id, item.at_us, item.book, None)
                for item in items
                if books or isinstance(item, JournalEvent)
            ]
            if fresh:
                yield fresh


async def _follow(
    path: str,
    runtime: Runtime,
    after: EventId,
    ending: Callable[[], bool],
    vfs: str | None,
) -> AsyncGenerator[list[JournalEvent | Baseline], None]:
    core, start = await _begin(path, runtime, after, vfs, stretches=None)
    reading = _Reading(core, after)
    async with aclosing(follow(path, runtime, after=start, ending=ending, vfs=vfs)) as blocks:
        async for records in blocks:
            yield [item for record in records for item in reading.receive(record)]


async def _begin(
    path: str, runtime: Runtime, after: EventId, vfs: str | None, *, stretches: OnFault | None
) -> tuple[Core, EventId]:
    """As `resume`, on a thread of its own."""
    worker = runtime.worker("journal-reader")

    def begin() -> tuple[Core, EventId]:
        reader = JournalReader(path, vfs)
        try:
            return resume(reader, after, stretches=stretches)
        finally:
            reader.close()

    try:
        return await worker.call(begin)
    finally:
        await worker.close()


async def events_to_load(
    path: str,
    runtime: Runtime,
    *,
    after: EventId = BEGINNING,
    until: EventId | None = None,
    ending: Callable[[], bool] = lambda: False,
    on_block: Callable[[EventId, EventId], None] = lambda first, last: None,
    on_fault: OnFault = tell_fault,
    afresh: bool = False,
    vfs: str | None = None,
) -> AsyncGenerator[ProjectionInput, None]:
    """What the loader takes: as `follow_events` with books, one by one; a book that is news comes as a `Baseline`.

    Where the compiled core is here, events that it takes come as a `Stretch`, many at a time.

    Args:
        until: the last that is wanted, books apart; None: there is none.
        on_block: called with the first and the last id of each block that was read, before what it comes to.
        on_fault: called with each fault of the compiled core; what it was at is read in Python then.
        afresh: nothing of what came before is loaded, nor will be: the books that there were are news.
    """
    core, start = await _begin(path, runtime, after, vfs, stretches=on_fault)
    reading = _Reading(core, after, is_late=afresh)
    async with aclosing(follow_packed(path, runtime, after=start, ending=ending, vfs=vfs)) as blocks:
        async for block in blocks:
            if isinstance(block, Record):
                on_block(block.id, block.id)
                items: Iterator[ProjectionInput] = reading.receive(block)
            else:
                on_block(block.first, block.last)
                items = reading.receive_block(block, until)
            for item in items:
                if until is not None and not isinstance(item, Baseline) and item.id > until:
                    return
                if isinstance(item, Baseline) and not item.is_news:
                    yield JournalEvent(item.id, item.at_us, item.book, protocol=item.protocol)
                else:
                    yield item


class _Written(Struct, frozen=True):
    """A level as text, with all decimals."""

    price_text: str
    qty_text: str


def _baselines(core: Core, at: EventId, at_us: int, *, is_news: bool) -> Iterator[Baseline]:
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
        checksum, sequence = book.evidence() if book.proven else Evidence()
        snapshot = BookSnapshot(book.symbol, bids, asks, checksum, sequence=sequence)
        yield Baseline(at, at_us, book.depth, snapshot, is_news, core.venue.protocol)
