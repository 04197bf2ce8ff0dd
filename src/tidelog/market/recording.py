"""A file of frames as the journal that a feed would have written: what the frames say of themselves, and a guess else.

The protocol is that of most of the first frames. A book's depth is what its ack says, or v1's name of its channel;
where nothing says it, the size of its snapshot, which a thin market makes too small: that is told. Books begin with
their ack or snapshot, and end with the ack of an unsubscribe.
"""

import re
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from itertools import chain, islice

import msgspec

from tidelog.errors import ConfigError, Rejected
from tidelog.market.core import codec_of
from tidelog.market.events import Ack, BookDelta, BookSnapshot, BookUpdates, Connected, EventId, Started, Stream, micros
from tidelog.market.frame_lines import FrameLine, frames_of
from tidelog.market.marks import Connect, Mark, Subscribe, Unwanted, Wanted, encode_mark
from tidelog.market.records import Kind, Record
from tidelog.market.streams import DEPTHS

HEAD_FRAMES = 500  # that are looked at before the first is taken: for the protocol, the first time, the acks
SYMBOLS_TOLD = 5

_TIME_V1 = re.compile(rb'"(\d{10}\.\d{6})"')
_TIME_V2 = re.compile(rb'"timestamp":"([^"]{20,32})"')
_V2_KEYS = re.compile(rb'\{\s*"(channel|method)"')
_DEPTH_V1 = re.compile(rb'"book-(\d+)"\s*,\s*"[^"]*"\s*\]\s*\Z')
_SYMBOL_V2 = re.compile(rb'"symbol"\s*:\s*"([^"\\]+)"')
_ABOUT_ACKS = re.compile(rb'"method"\s*:|"subscriptionStatus"')


class Recording:
    """The frames of a file. `notes` are what was guessed, and what is wrong with the file as a whole.

    Args:
        protocol: v1 or v2, whatever the frames say.
        depth: of its books, whatever is said of them.

    Raises:
        ConfigError: there is no such protocol or depth.
    """

    def __init__(self, path: str, *, protocol: str | None = None, depth: int | None = None) -> None:
        if depth is not None and depth not in DEPTHS:
            raise ConfigError(f"a book of depth {depth}: the exchange has {', '.join(map(str, DEPTHS))}")
        self.path = path
        self.notes: list[str] = []
        self.first_line = 0  # the number of the line that has the first frame; 0: there is none
        self._protocol = protocol
        self._depth = depth
        self._seq = 0
        self._guessed: dict[str, int] = {}  # symbols whose depth nothing said, and what it was taken for

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
        at_us = next((time for line in head if (time := line.time_us or _time_of(line.frame))), 0)
        begun: tuple[Mark, ...] = (Started(protocol), Connect(), Connected())
        for mark in begun:
            yield self._record(at_us, Kind.MARK, encode_mark(mark))
        for line in chain(head, frames):
            at_us = max(at_us, line.time_us or _time_of(line.frame))
            for mark in books.marks_before(line.frame):
                yield self._record(at_us, Kind.MARK, encode_mark(mark))
            yield self._record(at_us, Kind.IN, line.frame)
        if self._guessed:
            self.notes.append(self._guess_told())

    def _record(self, at_us: int, kind: Kind, payload: bytes) -> Record:
        self._seq += 1
        return Record(EventId(1, self._seq), at_us, kind, payload, self._seq == 1)

    def _spoken(self, head: list[FrameLine]) -> str:
        said = Counter(spoken for line in head if (spoken := _protocol_of(line.frame)))
        if not said and head:
            self.notes.append("no frame says its protocol: they are read as v2 (--protocol says it)")
        if not said:
            return "v2"
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
        self._decode = codec_of(protocol).decode
        self._protocol = protocol
        self._given = depth
        self._said: dict[str, int] = {}  # depths, by symbol
        self._guessed = guessed
        self._followed: dict[bytes, int] = {}  # depths, by symbol as it stands in a frame
        self._requests = 0

    def read_ahead(self, head: list[FrameLine]) -> None:
        """Note what the acks of the first frames say: one may come after its snapshot."""
        for line in head:
            event = self._event(line.frame) if _ABOUT_ACKS.search(line.frame) else None
            if isinstance(event, Ack) and event.method == "subscribe":
                self._note_depth(event)

    def _note_depth(self, ack: Ack) -> None:
        if ack.channel == "book" and ack.symbol is not None and ack.depth in DEPTHS:
            self._said[ack.symbol] = ack.depth

    def marks_before(self, frame: bytes) -> Iterator[Mark]:
        """What the feed would have noted for this frame to mean what it says."""
        if b"book" not in frame:
            return
        if not _ABOUT_ACKS.search(frame):
            yield from self._begin(frame)
            return
        event = self._event(frame)
        if isinstance(event, Ack) and event.channel == "book" and event.symbol is not None:
            if event.method == "subscribe":
                self._note_depth(event)
            elif self._followed.pop(self._key(event.symbol), None):
                yield Unwanted(Stream("book"), (event.symbol,))

    def _begin(self, frame: bytes) -> Iterator[Mark]:
        """Follow the books of a snapshot, or of an update that comes before any."""
        is_snapshot = b'"snapshot"' in frame[:256] or b'"as"' in frame or b'"bs"' in frame
        if not is_snapshot and self._knows(frame):
            return
        event = self._event(frame)
        for part in event.parts if isinstance(event, BookUpdates) else (event,):
            if not isinstance(part, BookSnapshot | BookDelta):
                continue
            key, depth = self._key(part.symbol), self._depth(part, frame)
            held = self._followed.get(key)
            if held is None if isinstance(part, BookDelta) else held != depth:
                self._followed[key] = depth
                self._requests += 1
                stream = Stream("book", depth=depth)
                yield Wanted(stream, (part.symbol,))
                yield Subscribe(stream, (part.symbol,), self._requests)

    def _knows(self, frame: bytes) -> bool:
        """Whether the book of an update is followed, without reading all of it."""
        if self._protocol == "v2":
            symbols = _SYMBOL_V2.findall(frame)
            return bool(symbols) and all(symbol in self._followed for symbol in symbols)
        return frame[frame.rfind(b',"') + 2 : frame.rfind(b'"')] in self._followed

    def _key(self, symbol: str) -> bytes:
        return symbol.encode()

    def _depth(self, message: BookSnapshot | BookDelta, frame: bytes) -> int:
        """What the book was subscribed with, as far as anything says it."""
        symbol = message.symbol
        if self._given is not None:
            return self._given
        named = _DEPTH_V1.search(frame) if self._protocol == "v1" else None
        if named is not None and int(named[1]) in DEPTHS:
            return int(named[1])
        if symbol in self._said:
            return self._said[symbol]
        size = max(len(message.bids), len(message.asks))
        fitting = next((depth for depth in DEPTHS if depth >= size), DEPTHS[-1])
        self._guessed[symbol] = max(fitting, self._guessed.get(symbol, 0))
        return self._guessed[symbol]

    def _event(self, frame: bytes) -> object:
        try:
            return self._decode(frame)
        except Rejected:
            return None


def _protocol_of(frame: bytes) -> str | None:
    """Which protocol a frame is of; None: it does not say."""
    if frame.startswith(b"["):
        return "v1"
    if _V2_KEYS.match(frame):
        return "v2"
    if frame.startswith(b"{"):
        return _by_keys(frame)
    return None


def _by_keys(frame: bytes) -> str | None:
    try:
        keys = msgspec.json.decode(frame, type=dict[str, msgspec.Raw]).keys()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if "channel" in keys or "method" in keys:
        return "v2"
    return "v1" if "event" in keys else None


def _time_of(frame: bytes) -> int:
    """The latest time in a frame, Unix µs; 0: there is none."""
    latest = 0
    for found in _TIME_V1.findall(frame):
        latest = max(latest, int(found.replace(b".", b"")))
    for found in _TIME_V2.findall(frame):
        try:
            latest = max(latest, micros(datetime.fromisoformat(found.decode())))
        except (ValueError, TypeError, UnicodeDecodeError):
            continue
    return latest
