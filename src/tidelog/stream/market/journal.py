"""A recording's journal as messages: what its records come to, or the records themselves.

Reads what is durable, beside the process that writes. Where the journal had to drop records that the stream does not
have, a gap stands for them; a journal that went back, since an older copy was put in its place, is told by a reset.
"""

from collections.abc import Callable, Collection, Iterator
from functools import partial
from typing import TypeVar

from msgspec import UNSET, Struct

from tidelog.chain.forks.bookmarks import Agreed, Ahead, Place, Verdict, WentBack, verdict
from tidelog.errors import ConfigError
from tidelog.market.core import Core
from tidelog.market.events import EventId, Started
from tidelog.market.journal.reader import Ends, JournalReader
from tidelog.market.records import BEGINNING, Kind, Record
from tidelog.market.replay.position import resume
from tidelog.market.session.controls import CoreSnapshot, decode_control
from tidelog.market.shards.layout import first_run
from tidelog.runtime import Runtime, Worker
from tidelog.store.patience import patiently
from tidelog.store.sqlite.opened import FileIdentity, file_at
from tidelog.stream.backlog import Page
from tidelog.stream.bodies import Encoding
from tidelog.stream.envelope import HEADERS_BYTES, Part
from tidelog.stream.market.messages import (
    KINDS_OF_EVENTS,
    EventKind,
    MarketEvent,
    Missing,
    events_subject,
    frames_messages,
    frames_subject,
    messages_of,
    reset_message,
)
from tidelog.stream.market.places import behind, id_of, number_of
from tidelog.stream.market.telling import Teller
from tidelog.stream.port import Message
from tidelog.telemetry import StreamFigures

__all__ = ["LIMITS", "JournalBacklog", "JournalLimits"]

T = TypeVar("T")

ANOTHER_JOURNAL = "journal"  # why records are missing: the recording goes on in another journal, without them


class JournalLimits(Struct, frozen=True):
    """How a journal is read."""

    look_s: float = 2.0  # between looks whether another file is in its place
    patience_s: float = 86_400.0  # that it may be locked: it keeps what is to be published
    frames_bytes: int = 256 * 1024  # of raw records in one message


LIMITS = JournalLimits()


class JournalBacklog:
    """A `Backlog` of a recording.

    Args:
        kinds: of events; empty: the records as they were journaled instead.
        encoding: of events.
        shard: of the recording, whose journal it is.
    """

    def __init__(
        self,
        path: str,
        runtime: Runtime,
        recording: str,
        *,
        kinds: Collection[EventKind] = KINDS_OF_EVENTS,
        encoding: Encoding = "json",
        shard: int = 1,
        metrics: StreamFigures | None = None,
        limits: JournalLimits = LIMITS,
        vfs: str | None = None,
    ) -> None:
        self.source = f"recording {recording}" if shard == 1 else f"shard {shard} of recording {recording}"
        self.origin = "journal"
        self.last = 0
        self._runtime = runtime
        self._limits = limits
        self._metrics = metrics or StreamFigures()
        self._worker: Worker = runtime.worker("journal-reader")
        self._reading = _Reading(path, recording, kinds, encoding, shard, limits, vfs)
        self._is_file = vfs is None
        self._looked = runtime.monotonic()

    def follow_on(self, newest: Part) -> None:
        """See `Backlog`. Nothing has to: a record's number is the journal's own."""
        return

    async def next(self, place: Place, payload_max: int) -> Page:
        """See `Backlog`.

        Raises:
            ConfigError: there is no journal, or an event does not fit into a message.
            Corruption: the journal is damaged.
        """
        now = self._runtime.monotonic()
        if self._is_file and now >= self._looked + self._limits.look_s:
            self._looked = now
            await self._call(self._reading.look)
        page = await self._call(partial(self._reading.next, place, payload_max))
        self._note_end()
        return page

    async def look(self) -> None:
        """See `Backlog`."""
        if self._is_file:
            await self._worker.call(self._reading.look)
        await self._worker.call(self._reading.look_at_end)
        self._note_end()

    def _note_end(self) -> None:
        end = self._reading.end
        self.last = number_of(end.id)
        self._metrics.note_stored(at_us=end.at_us or None)

    async def _call(self, work: Callable[[], T]) -> T:
        return await patiently(self._runtime, lambda: self._worker.call(work), patience_s=self._limits.patience_s)

    async def close(self) -> None:
        await self._worker.call(self._reading.close)
        await self._worker.close()


class _End(Struct, frozen=True):
    """The journal's last record."""

    id: EventId = BEGINNING
    at_us: int = 0


class _Reading:
    """The journal's file, and where in it we are. Lives on one thread."""

    def __init__(
        self,
        path: str,
        recording: str,
        kinds: Collection[EventKind],
        encoding: Encoding,
        shard: int,
        limits: JournalLimits,
        vfs: str | None,
    ) -> None:
        self.end = _End()
        self._told_us = 0  # the time of the last record that was passed on
        self._path = path
        self._recording = recording
        self._kinds = kinds
        self._encoding: Encoding = encoding
        self._shard = shard
        self._limits = limits
        self._vfs = vfs
        self._reader: JournalReader | None = None
        self._file: FileIdentity | None = None
        self._teller: Teller | None = None
        self._begun: dict[int, int] = {}  # when runs began
        self._place: Place | None = None  # of the stream; None: to be looked for in the journal
        self._at = BEGINNING  # the last record that was read

    # -- the file -------------------------------------------------------------------------------------------------

    def look(self) -> None:
        """Begin again where another file is in the journal's place."""
        if self._file is not None and file_at(self._path) not in (None, self._file):
            self.close()

    def look_at_end(self) -> None:
        """Look which record is the last."""
        last = self._open.last_block()
        self.end = _End() if last is None else _End(*last)

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()
        self._reader = self._file = self._place = None
        self._begun = {}

    @property
    def _open(self) -> JournalReader:
        if self._reader is None:
            self._file = None if self._vfs is not None else file_at(self._path)
            self._reader = JournalReader(self._path, self._vfs)
        return self._reader

    # -- what comes next ------------------------------------------------------------------------------------------

    def next(self, place: Place, payload_max: int) -> Page:
        said: Verdict = Agreed()
        messages: list[Message] = []
        begun = place
        if place != self._place or self._reader is None:
            self._place = None
            ends = self._open.ends()
            said = self._verdict(place, ends)
            if isinstance(said, Ahead) or ends is None:
                return Page(said, place, [], more=False)
            if isinstance(said, WentBack):
                begun = said.place
                subject = events_subject if self._kinds else frames_subject
                subjects = subject(self._recording, self._shard)
                messages.append(reset_message(self._recording, subjects, place, begun, self._encoding, self._shard))
            begun, gap, is_there = self._begin(begun, ends, payload_max)
            messages += gap
            if not is_there:
                return Page(said, begun, messages, more=True)
        records = self._open.block(self._at)
        if _is_lost(records):
            self._place = None
            return Page(said, begun, messages, more=True)
        for found, message in self._messages(begun, records, payload_max):
            begun = found
            messages.append(message)
        self._note_end(records)
        if not messages:
            begun = place
        self._place = begun
        return Page(said, begun, messages, more=bool(records), until_us=self._told_us)

    def _note_end(self, records: list[Record]) -> None:
        if records:
            self._at, self._told_us = records[-1].id, records[-1].at_us
        self.look_at_end()
        if self._at == self.end.id:
            self._told_us = self.end.at_us

    def _messages(self, place: Place, records: list[Record], payload_max: int) -> Iterator[tuple[Place, Message]]:
        """Messages of records that come next, each with the place behind its record."""
        if not records:
            return
        begun_us = self._begun_us(records[0].id.run)
        if self._teller is None:
            yield from self._frames(place, records, begun_us, payload_max)
            return
        for record in records:
            events = self._teller.take(record)
            if events:
                after, place = place, behind(place, record.id, begun_us)
                for message in self._told(after, place, record.at_us, events, payload_max):
                    yield place, message

    def _told(
        self, after: Place, place: Place, at_us: int, events: list[MarketEvent], payload_max: int
    ) -> list[Message]:
        return messages_of(self._recording, after, place, at_us, events, payload_max, self._encoding, self._shard)

    def _frames(
        self, place: Place, records: list[Record], begun_us: int, payload_max: int
    ) -> Iterator[tuple[Place, Message]]:
        room = payload_max - HEADERS_BYTES
        full = min(room, self._limits.frames_bytes)
        packed: list[tuple[int, int, bytes]] = []
        size, first = 0, records[0].id
        for nth, record in enumerate(records):
            packed.append((record.kind.value, record.at_us, record.payload))
            size += len(record.payload) + 32
            following = len(records[nth + 1].payload) + 32 if nth + 1 < len(records) else 0
            if not following or size + following > full:
                after, place = place, behind(place, record.id, begun_us)
                yield place, frames_messages(self._recording, after, place, first, packed, room)
                packed, size, first = [], 0, EventId(record.id.run, record.id.seq + 1)

    # -- where it begins ------------------------------------------------------------------------------------------

    def _verdict(self, place: Place, ends: Ends | None) -> Verdict:
        """What the journal says to a place."""
        if not place.marks:
            if place.seq:
                raise ConfigError(f"place {place.seq} names no run of a journal")
            return Agreed()
        if ends is None:
            return Ahead(0)
        if self._id_of(place).run < ends.first.run:  # it is dropped, or in another journal: what was, is not known here
            return Agreed()
        known = {}
        for mark in place.marks:
            run = id_of(mark.seq, self._shard).run
            found = self._open.run(run)
            if found is not None and self._begun_us(run) == mark.writer:
                known[mark.writer] = number_of(EventId(run, found.last_seq))
        said = verdict(place, known, number_of(ends.last))
        if isinstance(said, WentBack) and not known:
            # what another journal had is not known here: only its runs whose numbers this one has given out anew
            older = tuple([mark for mark in place.marks if id_of(mark.seq, self._shard).run < ends.first.run])
            said = WentBack(Place(older[0].seq, older, place.whole)) if older else said
        if isinstance(said, WentBack) and self._id_of(said.place).run == ends.last.run:
            return Ahead(number_of(ends.last))  # an older copy, to which nobody has written: it may be one that lags
        return said

    def _begin(self, place: Place, ends: Ends, payload_max: int) -> tuple[Place, list[Message], bool]:
        """Go to a place, or, where what comes next is gone, to the journal's beginning; a gap, then.

        Gives also whether it came there: else what leads there was dropped meanwhile, and it has to be tried again.
        """
        at, first = self._id_of(place), self._first(ends)
        dropped = self._open.dropped()
        messages: list[Message] = []
        is_gone = at < EventId(first.run, first.seq - 1) and (dropped is None or at < dropped.id or first > ends.first)
        if is_gone and (place.seq or first != EventId(first_run(self._shard), 1)):
            reason = ANOTHER_JOURNAL if dropped is None else dropped.reason
            since_us = None if dropped is None or not dropped.at_us else dropped.at_us
            at = EventId(first.run, first.seq - 1)
            after, place = place, behind(place, at, self._begun_us(first.run))
            messages = self._gap(after, place, Missing(reason=reason, since_us=since_us), payload_max)
        self._at = at
        self._teller = None
        if self._kinds:
            core, start = resume(self._open, at)
            self._teller = self._told_up_to(core, start, at)
            return place, messages, self._teller is not None
        return place, messages, True

    def _told_up_to(self, core: Core, start: EventId, at: EventId) -> Teller | None:
        """A teller that has passed all records up to one; None: some of them were dropped meanwhile."""
        teller = Teller(core, self._kinds)
        while start < at:
            records = self._open.block(start)
            if _is_lost(records):
                return None
            if not records:
                break
            for record in records:
                if record.id <= at:
                    teller.pass_by(record)
            start = records[-1].id
        teller.begin()
        return teller

    def _first(self, ends: Ends) -> EventId:
        """The first record that can be told: of events, none before the first of the core's states."""
        found = self._open.run(ends.first.run) if self._kinds else None
        return ends.first if found is None else found.restart.id

    def _gap(self, after: Place, place: Place, missing: Missing, payload_max: int) -> list[Message]:
        if self._kinds:
            return self._told(after, place, missing.since_us or 0, [missing], payload_max)
        room = payload_max - HEADERS_BYTES
        return [frames_messages(self._recording, after, place, self._id_of(place), [], room)]

    def _id_of(self, place: Place) -> EventId:
        return id_of(place.seq, self._shard)

    def _begun_us(self, run: int) -> int:
        """When a run began; 0: only an older tidelog has written it, and its beginning is gone."""
        if run not in self._begun:
            found = self._open.run(run)
            control = None if found is None else decode_control(found.restart.payload)
            begun_us = 0
            if found is not None and isinstance(control, Started):
                begun_us = found.restart.at_us
            elif isinstance(control, CoreSnapshot) and control.begun_us is not UNSET:
                begun_us = control.begun_us
            self._begun[run] = begun_us
        return self._begun[run]


def _is_lost(records: list[Record]) -> bool:
    """Whether what would come next was dropped meanwhile."""
    return bool(records) and records[0].kind is Kind.LOST
