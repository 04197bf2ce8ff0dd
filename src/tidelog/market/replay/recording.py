"""A file of frames as the journal that a feed would have written: what the frames say of themselves, and a guess else.

The protocol is that of most of the first frames. A book's depth is what its ack says, or v1's name of its channel;
where nothing says it, the size of its snapshot, which a thin market makes too small: a note says so. Books begin with
their ack or snapshot, and end with the ack of an unsubscribe.
"""

from collections import Counter
from collections.abc import Iterator
from itertools import chain, islice

from tidelog.errors import ConfigError, Rejected
from tidelog.market.events import Ack, BookDelta, BookSnapshot, BookUpdates, Connected, EventId, Started, Stream
from tidelog.market.journal.frame_lines import FrameLine, frames_of
from tidelog.market.records import Kind, Record
from tidelog.market.session.controls import Connect, Control, Subscribe, Unwanted, Wanted, encode_control
from tidelog.market.venue import RecordedFrames, Venue
from tidelog.market.venues import DEFAULT, VENUES, venue_of

HEAD_FRAMES = 500  # that are looked at before the first is taken: for the protocol, the first time, the acks
SYMBOLS_TOLD = 5


class Recording:
    """The frames of a file. `notes` are what was guessed, and what is wrong with the file as a whole.

    Args:
        protocol: v1 or v2; it overrides what the frames say.
        depth: of its books; it overrides what the file says.

    Raises:
        ConfigError: there is no such protocol or depth.
    """

    def __init__(self, path: str, *, protocol: str | None = None, depth: int | None = None) -> None:
        if depth is not None:
            venue_of(protocol or DEFAULT).streams.stream("book", depth=depth, interval=1)
        self.path = path
        self.notes: list[str] = []
        self.first_line = 0  # the number of the line that has the first frame; 0: there is none
        self._protocol = protocol
        self._depth = depth
        self._seq = 0
        self._guessed: dict[str, int] = {}  # symbols whose depth nothing said, and what it was assumed to be

    def records(self) -> Iterator[Record]:
        """All records, the frames with the times that they carry; where they carry none, that of the frame before.

        Raises:
            ConfigError: the file cannot be read.
        """
        frames = frames_of(self.path, self.notes)
        head = list(islice(frames, HEAD_FRAMES))
        self.first_line = head[0].number if head else 0
        protocol = self._protocol or self._spoken(head)
        books = _Books(protocol, self._depth, self._guessed)
        books.read_ahead(head)
        time_of = _frames_of(venue_of(protocol)).time_us
        at_us = next((time for line in head if (time := line.time_us or time_of(line.frame))), 0)
        opening: tuple[Control, ...] = (Started(protocol), Connect(), Connected())
        for control in opening:
            yield self._record(at_us, Kind.CONTROL, encode_control(control))
        for line in chain(head, frames):
            at_us = max(at_us, line.time_us or time_of(line.frame))
            for control in books.controls_before(line.frame):
                yield self._record(at_us, Kind.CONTROL, encode_control(control))
            yield self._record(at_us, Kind.IN, line.frame)
        if self._guessed:
            self.notes.append(self._guess_told())

    def _record(self, at_us: int, kind: Kind, payload: bytes) -> Record:
        self._seq += 1
        return Record(EventId(1, self._seq), at_us, kind, payload, self._seq == 1)

    def _spoken(self, head: list[FrameLine]) -> str:
        said = Counter(spoken for line in head if (spoken := _protocol_of(line.frame)))
        if not said and head:
            self.notes.append(f"no frame says its protocol: they are read as {DEFAULT} (--protocol says it)")
        if not said:
            return DEFAULT
        protocol = said.most_common(1)[0][0]
        if len(said) > 1:
            others = said.total() - said[protocol]
            self.notes.append(f"{others} of the first {len(head)} frames are not of {protocol}, as most of them are")
        return protocol

    def _guess_told(self) -> str:
        shown = [f"{symbol} {depth}" for symbol, depth in list(self._guessed.items())[:SYMBOLS_TOLD]]
        more = f" and {len(self._guessed) - len(shown)} more" if len(self._guessed) > len(shown) else ""
        return (
            f"no frame says the depth of these books, it is guessed by the size of their snapshots: "
            f"{', '.join(shown)}{more} (--depth says it)"
        )


class _Books:
    """Which books a recording follows, and with which depth."""

    def __init__(self, protocol: str, depth: int | None, guessed: dict[str, int]) -> None:
        venue = venue_of(protocol)
        self._decode = venue.decoder().decode
        self._frames = _frames_of(venue)
        self._depths = venue.streams.depths
        self._given = depth
        self._said: dict[str, int] = {}  # depths, by symbol
        self._guessed = guessed
        self._followed: dict[bytes, int] = {}  # depths, by symbol as it is written in a frame
        self._requests = 0

    def read_ahead(self, head: list[FrameLine]) -> None:
        """Note what the acks of the first frames say: one may come after its snapshot."""
        for line in head:
            event = self._event(line.frame) if self._frames.is_answer(line.frame) else None
            if isinstance(event, Ack) and event.method == "subscribe":
                self._note_depth(event)

    def _note_depth(self, ack: Ack) -> None:
        if ack.channel == "book" and ack.symbol is not None and ack.depth is not None and ack.depth in self._depths:
            self._said[ack.symbol] = ack.depth

    def controls_before(self, frame: bytes) -> Iterator[Control]:
        """What the feed would have noted for this frame to mean what it says."""
        if not self._frames.is_about_books(frame):
            return
        if not self._frames.is_answer(frame):
            yield from self._begin(frame)
            return
        event = self._event(frame)
        if isinstance(event, Ack) and event.channel == "book" and event.symbol is not None:
            if event.method == "subscribe":
                self._note_depth(event)
            elif self._followed.pop(self._key(event.symbol), None):
                yield Unwanted(Stream("book"), (event.symbol,))

    def _begin(self, frame: bytes) -> Iterator[Control]:
        """Follow the books of a snapshot, or of an update that comes before any."""
        if not self._frames.is_snapshot(frame) and self._knows(frame):
            return
        event = self._event(frame)
        for part in event.parts if isinstance(event, BookUpdates) else (event,):
            if not isinstance(part, BookSnapshot | BookDelta):
                continue
            key, depth = self._key(part.symbol), self._depth(part, frame)
            followed_depth = self._followed.get(key)
            if followed_depth is None if isinstance(part, BookDelta) else followed_depth != depth:
                self._followed[key] = depth
                self._requests += 1
                stream = Stream("book", depth=depth)
                yield Wanted(stream, (part.symbol,))
                yield Subscribe(stream, (part.symbol,), self._requests)

    def _knows(self, frame: bytes) -> bool:
        """Whether the book of an update is followed, without reading all of it."""
        names = self._frames.books_named(frame)
        return bool(names) and all(name in self._followed for name in names)

    def _key(self, symbol: str) -> bytes:
        return symbol.encode()

    def _depth(self, message: BookSnapshot | BookDelta, frame: bytes) -> int:
        """What the book was subscribed with, as far as anything says it."""
        symbol = message.symbol
        if self._given is not None:
            return self._given
        named = self._frames.depth(frame)
        if named is not None and named in self._depths:
            return named
        if symbol in self._said:
            return self._said[symbol]
        size = max(len(message.bids), len(message.asks))
        fitting = next((depth for depth in self._depths if depth >= size), self._depths[-1])
        self._guessed[symbol] = max(fitting, self._guessed.get(symbol, 0))
        return self._guessed[symbol]

    def _event(self, frame: bytes) -> object:
        try:
            return self._decode(frame)
        except Rejected:
            return None


def _protocol_of(frame: bytes) -> str | None:
    """Which protocol a frame is of; None: it does not say."""
    for protocol, venue in VENUES.items():
        if venue.recorded is not None and venue.recorded.is_spoken(frame):
            return protocol
    return None


def _frames_of(venue: Venue) -> RecordedFrames:
    """ConfigError: files of its frames cannot be replayed."""
    if venue.recorded is None:
        raise ConfigError(f"protocol {venue.protocol}: its frames are replayed from a journal, and from no other file")
    return venue.recorded
