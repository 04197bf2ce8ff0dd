"""Frames through a core as a live feed gives them, many at a time, and beside it one by one in Python."""

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import count, repeat
from zlib import crc32

from msgspec.structs import replace

from tests.market.stretches import TRADES_AND_TICKERS, MadeUp, raise_fault
from tidelog.market.book.lending import OnFault, Room
from tidelog.market.core import Core
from tidelog.market.events import Connected, Disconnected, Event, EventId, Resync, Started, Stream
from tidelog.market.records import Kind, Record, array_head, encode_records
from tidelog.market.session.controls import Connect, Control, Ping, Subscribe, Wanted, encode_control
from tidelog.market.session.limits import PaceLimits, SessionLimits
from tidelog.market.session.subscription.subscriptions import Phase
from tidelog.market.venues import venue_of
from tidelog.market.views import view_of

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
        channels: Sequence[Stream] = (),
    ) -> None:
        self.core = Core(digest=True, gathers=on_fault, limits=limits)
        self.plain = Core(digest=True, limits=limits)
        self.at_us = START_US
        self.seq = 0
        self.taken = self.left = 0
        self.look: Callable[[Event], object] = lambda event: None  # at each event, before the next one is made
        self.asks = True  # the session behind all that came at once, which has it told of what is watched
        self.counts: Counter[str] = Counter()  # of what was taken
        self._wanted = [
            (stream, symbol) for symbol, depth in depths.items() for stream in (Stream("book", depth), *channels)
        ]
        self.control(Started(protocol))
        for stream, symbol in self._wanted:
            self.control(Wanted(stream, (symbol,)))
        self.connect()

    def connect(self) -> None:
        """Connect, and ask for everything."""
        self.control(Connect())
        self.control(Connected())
        for number, (stream, symbol) in enumerate(self._wanted, self.plain.session.session_state.next_req_id):
            self.control(Subscribe(stream, (symbol,), number))

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
                for event in gathered.events:
                    self.look(event)
                    events.append(event)
                self.taken += gathered.frames
                self.counts.update(gathered.counts._asdict())
                taken = frames[begin : len(events)]
                packed = encode_records([(Kind.IN.value, self.at_us, frame) for frame in taken])
                assert array_head(len(taken)) + gathered.packed == packed
                assert gathered.size == sum(len(frame) + room.record_bytes for frame in taken)
                assert sum(gathered.counts) == len(taken) == len(gathered.events)
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
        for symbol in self.plain.books.by_symbol:  # which has the session told of nothing
            assert view_of(self.core, symbol, 10) == view_of(self.plain, symbol, 10)
        if self.asks:
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


def play(protocol: str, seed: int, size: int = 300) -> Paths:
    """A made-up feed, in pieces of all sizes, with what a session decides in between."""
    rng, feed = random.Random(seed), MadeUp(protocol, seed)
    asking = random.Random(seed)
    frames = feed.frames(size)
    channels = TRADES_AND_TICKERS if seed % 3 else ()
    paths = Paths(protocol, feed.depths, limits=impatient(protocol), channels=channels)
    begin, doubted = len(feed.depths), 0
    paths.frames(frames[:begin])  # snapshots
    while begin < len(frames):
        many = rng.choice((1, 2, 7, 40, 300))
        paths.asks = asking.random() < 0.2
        paths.at_us += rng.choice((0, 1, 500, 20_000))
        paths.frames(frames[begin : begin + many])
        begin += many
        if rng.random() < 0.1:
            paths.control(Ping(9))
        held = [one for one in paths.plain.session.session_state.subscriptions if one.phase is Phase.HELD]
        if held and doubted < 3 and rng.random() < 0.1:
            one = rng.choice(held)
            paths.control(Resync(one.stream.channel, one.symbol, None, "doubted", paths.at_us + 10**9))
            doubted += 1
        if rng.random() < 0.02:
            paths.control(Disconnected("lost"))
            paths.connect()
        if rng.random() < 0.1:
            paths.assert_same()
    paths.assert_same()
    return paths


def learn_paces(protocol: str) -> Counter[str]:
    """Trades, then tickers, three at a time: their paces are learned in the middle of a gather; what was taken."""
    counts: Counter[str] = Counter()
    for frames in (trades_of(protocol), tickers_of(protocol)):
        paths = Paths(protocol, {"BTC/USD": 10}, limits=impatient(protocol), channels=TRADES_AND_TICKERS)
        for _ in range(40):
            paths.at_us += 7_000
            paths.frames([next(frames) for _ in range(3)])
        paths.assert_same()
        counts += paths.counts
    return counts


def trades_of(protocol: str) -> Iterator[bytes]:
    for number in count(1):
        yield (
            b'[337,[["5541.20000","0.15850568","1534614057.321597","s","l",""]],"trade","XBT/USD"]'
            if protocol == "v1"
            else b'{"channel":"trade","type":"update","data":[{"symbol":"BTC/USD","side":"sell","price":5541.2,'
            b'"qty":0.15,"ord_type":"limit","trade_id":%d,"timestamp":"2023-09-25T07:49:37.708706Z"}]}' % number
        )


def tickers_of(protocol: str) -> Iterator[bytes]:
    return repeat(
        b'[340,{"a":["5525.4",1,"1.0"],"b":["5525.1",1,"1.0"],"c":["5525.1","0.004"],"v":["2634.1","3591.2"],'
        b'"p":["5631.4","5653.8"],"t":[11493,16267],"l":["5505.0","5505.0"],"h":["5783.0","5783.0"],'
        b'"o":["5760.7","5763.4"]},"ticker","XBT/USD"]'
        if protocol == "v1"
        else b'{"channel":"ticker","type":"update","data":[{"symbol":"BTC/USD","bid":5525.1,"bid_qty":1.0,"ask":5525.4,'
        b'"ask_qty":1.0,"last":5525.1,"volume":2634.1,"vwap":5631.4,"low":5505.0,"high":5783.0,"change":-0.1,'
        b'"change_pct":-0.2}]}'
    )


def play_again() -> Counter[str]:
    """Snapshots between updates, some of them older, unproven, crossed or in other decimals; what was taken."""

    def frame(kind: str, bids: str, asks: str, proven: bytes, second: int | None) -> bytes:
        stamp = "" if second is None else f',"timestamp":"2024-01-01T00:00:{second:02}.000000Z"'
        sides = f'"bids":[{bids}],"asks":[{asks}]'
        content = f'{{"symbol":"BTC/USD",{sides},"checksum":{crc32(proven)}{stamp}}}'
        return f'{{"channel":"book","type":"{kind}","data":[{content}]}}'.encode()

    bids, asks = '{"price":9.5,"qty":3},{"price":9.4,"qty":1}', '{"price":9.6,"qty":2}'
    paths = Paths("v2", {"BTC/USD": 10})
    for second in range(10, 40, 3):
        whole = frame("snapshot", bids, asks, b"962953941", second)
        update = frame("update", '{"price":9.5,"qty":4}', "", b"962954941", second + 1)
        others = [
            frame("snapshot", bids, asks, b"962953941", second),
            frame("snapshot", bids, asks, b"962953942", None),
            frame("snapshot", bids, bids, b"953941953941", None),
            frame("snapshot", bids, '{"price":9.60,"qty":2}', b"96029503940", None),
        ]
        for other in (b"", *others):
            paths.at_us += 1_000
            paths.frames([whole, whole, update, *[other][not other :]])
            whole = frame("snapshot", bids, asks, b"962953941", None)
            paths.frames([whole, update, whole])
    paths.assert_same()
    return paths.counts


def look_into(event: Event) -> object:
    return getattr(event, "bids", None)


def gathered(feed: MadeUp, size: int, look: Callable[[Event], object] | None = None) -> list[tuple[bytes, Event]]:
    """Frames of a feed, and what they say by a core that gathers; those of snapshots are left out."""
    frames = feed.frames(size)
    paths = Paths(feed.protocol, feed.depths, channels=TRADES_AND_TICKERS)
    paths.look = look or paths.look
    first = len(feed.depths)  # snapshots
    paths.frames(frames[:first])
    found = []
    for begin in range(first, len(frames), 100):
        paths.at_us += 1_000
        part = frames[begin : begin + 100]
        found += list(zip(part, paths.frames(part), strict=True))
    assert paths.taken > paths.left
    return found
