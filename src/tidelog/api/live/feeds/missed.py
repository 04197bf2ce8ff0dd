"""What a listener missed, out of the journal: the trades of one symbol after a record, in order, to the journal's end.

Frames are read again; no book is built. It ends sooner where too much was missed, and says where records are gone.
"""

from collections.abc import AsyncGenerator
from functools import partial
from typing import NamedTuple

from msgspec import Struct

from tidelog.api.live.feeds.tail import by_symbol, follows
from tidelog.api.live.feeds.topics import place_text
from tidelog.errors import Rejected
from tidelog.market.events import Connected, EventId, Started, Trades
from tidelog.market.journal.reader import JournalReader
from tidelog.market.records import BEGINNING, Kind, Record
from tidelog.market.session.controls import CoreSnapshot, decode_control
from tidelog.market.shards.layout import shard_of_run
from tidelog.market.venue import Venue
from tidelog.market.venues import DEFAULT, VENUES, venue_of
from tidelog.runtime import Runtime

__all__ = ["Found", "Gone", "missed_trades"]


_STATES = (b'"Started"', b'"FullState"', b'"Connected"')  # control records that say how frames are to be decoded


class Found(Struct, frozen=True):
    """What some consecutive records hold; `through` is the last of them, and `overlap` the trades of the first.

    The overlap is what the listener has already: it says how far the exchange's own numbers had come.
    """

    trades: list[tuple[EventId, Trades]]
    through: EventId
    read: int  # records until now
    overlap: Trades | None = None


class Gone(Struct, frozen=True):
    """Something is missing here."""

    reason: str
    ends: bool = False  # nothing comes after this, though the journal has more
    elsewhere: bool = False  # the place is none of this journal's: nothing is known of what was missed


class _Block(NamedTuple):
    first: EventId
    last: EventId
    size: int  # records
    trades: list[tuple[EventId, Trades]]
    lost: bool = False  # it stands for records that were dropped


async def missed_trades(
    path: str, runtime: Runtime, symbol: str, after: EventId, records_max: int, read: int = 0
) -> AsyncGenerator[Found | Gone, None]:
    """The trades after a record, of about `records_max` records. What this raises, the journal's reader raises.

    Args:
        read: how many of them were read before.
    """
    worker = runtime.worker("journal-reader")
    reading: _Reading | None = None
    try:
        reading = await worker.call(lambda: _Reading(path, symbol, after))
        if reading.end_without is not None:
            end = place_text(reading.end_without)
            yield Gone(f"the journal ends at {end}: {place_text(after)} is not of this one", ends=True, elsewhere=True)
            return
        at = after
        place = EventId(after.run, after.seq - 1)  # the record itself comes again, for its trades
        while block := await worker.call(partial(reading.next, place)):
            if block.lost or (block.first > at and not follows(at, block.first)):
                if block.last > at:
                    yield Gone(f"the journal has dropped what came before {place_text(block.first)}")
                place = at = max(at, block.last)
                if block.lost:
                    continue
            overlap = next((trades for id_, trades in block.trades if id_ == after), None)
            read += block.size
            yield Found([(id_, trades) for id_, trades in block.trades if id_ > after], block.last, read, overlap)
            place = at = block.last
            if read >= records_max:
                reason = f"more than {records_max} records were missed: those after {place_text(at)} are left out"
                yield Gone(reason, ends=True)
                return
    finally:
        if reading is not None:
            await worker.call(reading.close)
        await worker.close()


def _may_have(last: EventId, id_: EventId) -> bool:
    """Whether a journal with this last record has, or had, another one; each has what comes before all records."""
    return id_ <= BEGINNING or (id_ <= last and shard_of_run(id_.run) == shard_of_run(last.run))


class _Reading:
    """A reader, and what it needs to know to read frames. Lives on one thread."""

    def __init__(self, path: str, symbol: str, after: EventId) -> None:
        self._symbol = symbol
        self._use(venue_of(DEFAULT))
        self._reader = JournalReader(path)
        try:
            ends = self._reader.ends()
            # where the journal ends that the place is not of; None: it is, or it holds nothing
            self.end_without = None if ends is None or _may_have(ends.last, after) else ends.last
            start = self._reader.last_snapshot(after)
            if start is not None:
                self._speak(self._reader.block(EventId(start.run, start.seq - 1))[0])
        except BaseException:
            self._reader.close()
            raise

    def next(self, after: EventId) -> _Block | None:
        """What the next block holds; None at the journal's end."""
        records = self._reader.block(after)
        if not records:
            return None
        if records[0].kind is Kind.LOST:
            return _Block(records[0].id, records[0].id, 0, [], lost=True)
        found: list[tuple[EventId, Trades]] = []
        for record in records:
            if record.kind is Kind.CONTROL:
                self._speak(record)
            elif record.kind is Kind.IN and self._venue.trades_marked in record.payload:
                try:
                    event = self._decoder.decode(record.payload)
                except Rejected:
                    continue
                if isinstance(event, Trades) and (mine := by_symbol(event).get(self._symbol)) is not None:
                    found.append((record.id, mine))
        return _Block(records[0].id, records[-1].id, len(records), found)

    def _speak(self, record: Record) -> None:
        """Take the protocol from a marker that says it."""
        if record.kind is Kind.CONTROL and any(state in record.payload[:200] for state in _STATES):
            control = decode_control(record.payload)
            if isinstance(control, Connected):
                self._use(self._venue)
            elif isinstance(control, Started | CoreSnapshot) and control.protocol in VENUES:
                self._use(venue_of(control.protocol))
                if isinstance(control, CoreSnapshot):
                    self._decoder.resume(control.decoder)

    def _use(self, venue: Venue) -> None:
        self._venue, self._decoder = venue, venue.decoder()

    def close(self) -> None:
        self._reader.close()
