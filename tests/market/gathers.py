"""Frames through a core as a live feed gives them, many at a time, and beside it one by one in Python."""

import random
from collections.abc import Sequence

from msgspec.structs import replace

from tests.market.stretches import MadeUp, raise_fault
from tidelog.market.book.lending import OnFault, Room
from tidelog.market.core import Core
from tidelog.market.events import Connected, Event, EventId, Resync, Started, Stream
from tidelog.market.records import Kind, Record, array_head, encode_records
from tidelog.market.session.controls import Connect, Control, Ping, Subscribe, Wanted, encode_control
from tidelog.market.session.limits import PaceLimits, SessionLimits
from tidelog.market.venues import venue_of

START_US = 1_700_000_000_000_000
NEVER_US = 1 << 60
ROOM = Room(1 << 30, 64)


class Paths:
    """A core that gathers, and one that does not, over the same records."""

    def __init__(
        self,
        protocol: str,
        depths: dict[str, int],
        on_fault: OnFault = raise_fault,
        limits: SessionLimits | None = None,
    ) -> None:
        self.core = Core(digest=True, gathers=on_fault, limits=limits)
        self.plain = Core(digest=True, limits=limits)
        self.at_us = START_US
        self.seq = 0
        self.taken = self.left = 0
        controls: list[Control] = [Started(protocol), Connect(), Connected()]
        for number, (symbol, depth) in enumerate(depths.items(), 1):
            stream = Stream("book", depth)
            controls += [Wanted(stream, (symbol,)), Subscribe(stream, (symbol,), number)]
        for control in controls:
            self.control(control)

    def control(self, control: Control) -> None:
        self.seq += 1
        record = Record(EventId(1, self.seq), self.at_us, Kind.CONTROL, encode_control(control), self.seq == 1)
        assert self.core.apply(record) == self.plain.apply(record)

    def frames(self, frames: list[bytes], room: Room = ROOM) -> list[Event]:
        """Apply frames that came at once; what they say by the core that gathers."""
        events: list[Event] = []
        while len(events) < len(frames):
            begin, first = len(events), EventId(1, self.seq + 1)
            for core in (self.core, self.plain):  # as if it had just decided
                core.session.deadline_us = NEVER_US
            gathered = self.core.gather(frames, begin, first, self.at_us, room)
            if gathered is None:
                entry = self.core.apply(Record(first, self.at_us, Kind.IN, frames[begin]))
                assert entry is not None
                events.append(entry.event)
                self.left += 1
            else:
                events += gathered.events
                self.taken += gathered.frames
                taken = frames[begin : len(events)]
                packed = encode_records([(Kind.IN.value, self.at_us, frame) for frame in taken])
                assert array_head(len(taken)) + gathered.packed == packed
                assert gathered.size == sum(len(frame) + room.record_bytes for frame in taken)
                assert gathered.updates + gathered.heartbeats == len(taken) == len(gathered.events)
            self._follow(frames[begin : len(events)], events[begin:])
        return events

    def _follow(self, frames: Sequence[bytes], events: Sequence[Event]) -> None:
        """Apply them in Python too; where a core decides, that is asked after each."""
        for number, (frame, event) in enumerate(zip(frames, events, strict=True), 1):
            self.seq += 1
            entry = self.plain.apply(Record(EventId(1, self.seq), self.at_us, Kind.IN, frame))
            assert entry is not None
            assert event == entry.event
            if number < len(frames):
                assert self.plain.session.deadline_us, "the session wants to decide, and the core went on"
        assert self.core.session.session_state == self.plain.session.session_state
        assert self.core.session.deadline_us == self.plain.session.deadline_us
        assert self.core.books.unproven == self.plain.books.unproven
        assert self.core.at == self.plain.at

    def assert_same(self) -> None:
        for symbol in self.plain.books.by_symbol:
            for levels in (1, 10, None):
                assert self.core.books.top(symbol, levels) == self.plain.books.top(symbol, levels)
        assert self.core.digest is not None
        assert self.plain.digest is not None
        assert self.core.digest.hexdigest() == self.plain.digest.hexdigest()
        assert self.core.snapshot() == self.plain.snapshot()


def impatient(protocol: str) -> SessionLimits:
    """Limits under which a book's pace is learned, and learned again, within a few frames."""
    limits = venue_of(protocol).rules.limits
    pace = PaceLimits(stretch_us=40_000, stretch_pauses=5)
    return replace(limits, silence=replace(limits.silence, pace=pace))


def play(protocol: str, seed: int, count: int = 300) -> Paths:
    """A made-up feed, in pieces of all sizes, with what a session decides in between."""
    rng, feed = random.Random(seed), MadeUp(protocol, seed)
    frames = feed.frames(count)
    paths = Paths(protocol, feed.depths, limits=impatient(protocol))
    begin, trusted = len(feed.depths), [*feed.depths]
    paths.frames(frames[:begin])  # snapshots
    while begin < len(frames):
        size = rng.choice((1, 2, 7, 40, 300))
        paths.at_us += rng.choice((0, 1, 500, 20_000))
        paths.frames(frames[begin : begin + size])
        begin += size
        if rng.random() < 0.1:
            paths.control(Ping(9))
        if trusted and rng.random() < 0.1:
            paths.control(Resync("book", trusted.pop(), None, "doubted", paths.at_us + 10**9))
        if rng.random() < 0.1:
            paths.assert_same()
    paths.assert_same()
    return paths


def gathered(feed: MadeUp, count: int) -> list[tuple[bytes, Event]]:
    """Frames of a feed, and what they say by a core that gathers; those of snapshots are left out."""
    frames = feed.frames(count)
    paths = Paths(feed.protocol, feed.depths)
    first = len(feed.depths)  # snapshots
    paths.frames(frames[:first])
    found = []
    for begin in range(first, len(frames), 100):
        paths.at_us += 1_000
        part = frames[begin : begin + 100]
        found += list(zip(part, paths.frames(part), strict=True))
    assert paths.taken > paths.left
    return found
