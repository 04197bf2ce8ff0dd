"""The core: records of a journal to events, one after the other. The same for a live feed and for any replay.

No I/O, no clock, no chance: what comes out, and what is held after it, is a function of the records alone. It
begins at a restart point and skips what comes before it. Where records are lost, it begins anew at the next one.
"""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Protocol

import msgspec
from msgspec import Struct

from tidelog.errors import ConfigError, Rejected
from tidelog.market.book import Check
from tidelog.market.books import Books
from tidelog.market.events import (
    Ack,
    BookSnapshot,
    BookUpdates,
    ClockStepped,
    Connected,
    Disconnected,
    Event,
    EventId,
    Malformed,
    Missed,
    Rejection,
    Request,
    Resync,
    Started,
    Stream,
    Unknown,
)
from tidelog.market.kraken import v1, v2
from tidelog.market.marks import Drop, FullState, Mark, Subscribe, Unsubscribe, Unwanted, Wanted, decode_mark
from tidelog.market.records import Kind, Record
from tidelog.market.session import Session
from tidelog.market.subscriptions import Phase


class Codec(Protocol):
    """A protocol's module."""

    def decode(self, frame: bytes, /) -> Event: ...

    def books_in(self, frame: bytes, /) -> tuple[str, ...] | None: ...

    def subscribe(self, stream: Stream, symbols: Sequence[str], req_id: int, token: str | None = None) -> Request: ...

    def unsubscribe(self, stream: Stream, symbols: Sequence[str], req_id: int, token: str | None = None) -> Request: ...

    def ping(self, req_id: int) -> Request: ...


CODECS: dict[str, Codec] = {"v1": v1, "v2": v2}
_TOLD = (Started, Connected, Disconnected, ClockStepped, Resync)  # the markers that are events


def codec_of(protocol: str) -> Codec:
    codec = CODECS.get(protocol)
    if codec is None:
        raise ConfigError(f"protocol {protocol!r}: say {' or '.join(CODECS)}")
    return codec


class Entry(Struct, frozen=True, gc=False):
    """An event, with the id and the time (Unix, µs) of its record, and what it proved about its book, if any."""

    id: EventId
    at_us: int
    event: Event
    check: Check | None
    checks: tuple[Check | None, ...] = ()  # of a `BookUpdates`, one for each of its parts
    doubted: tuple[str, ...] = ()  # symbols whose books it leaves in doubt, because it could not be read
    depth: int | None = None  # as subscribed, of the book of a snapshot
    refused: tuple[tuple[str, str | None], ...] = ()  # channel and symbol of what a refusal keeps from us


_encode = msgspec.json.Encoder().encode


class EventDigest:
    """SHA-256 over the canonical encoding of each event of a run: its id, kind, content and check, as JSON.

    Numbers stand in it as the exchange wrote them.
    """

    def __init__(self) -> None:
        self._sha = hashlib.sha256()
        self.events = 0

    def update(self, entry: Entry) -> None:
        event, check = entry.event, entry.check
        shown: tuple[object, ...] = (entry.id, type(event).__name__, event, None if check is None else check.value)
        if entry.checks:
            shown += ([None if each is None else each.value for each in entry.checks],)
        self._sha.update(_encode(shown))
        self.events += 1

    def hexdigest(self) -> str:
        return self._sha.hexdigest()


class Core:
    """Books and session as of the last record, and a digest of the events of its run.

    The digest is None unless it is asked for, and in a run that was not entry from its start.
    """

    def __init__(self, *, digest: bool = False) -> None:
        self.at = EventId(0, 0)  # the last record
        self._digesting = digest
        self._forget()

    def _forget(self) -> None:
        self.session = Session()
        self.books = Books(v2.decode)
        self.codec: Codec = v2
        self.protocol: str | None = None  # None: no restart point was seen yet
        self.digest: EventDigest | None = None

    def take(self, record: Record) -> Entry | None:
        """Take the next record in; the event that it is, if it is one.

        Raises:
            Corruption: it cannot follow on what came before.
        """
        self.at = record.id
        if record.kind is Kind.IN:
            if self.protocol is None:
                return None
            entry = self._take_frame(record)
        elif record.kind is Kind.OUT:
            return None
        elif record.kind is Kind.LOST:
            self._forget()
            return Entry(record.id, record.at_us, Missed(record.payload.decode()), None)
        else:
            mark = decode_mark(record.payload)
            self._apply(mark, record.at_us)
            if not isinstance(mark, _TOLD) or self.protocol is None:
                return None
            entry = Entry(record.id, record.at_us, mark, None)
        if self.digest is not None:
            self.digest.update(entry)
        return entry

    def _take_frame(self, record: Record) -> Entry:
        event: Event
        try:
            event, check = self.books.take(record.payload)
        except Rejected as error:
            meant = self.codec.books_in(record.payload)
            doubted = self.books.doubt(meant)
            event = Malformed(error.reason)
            self.session.observe(event, None, record.at_us)
            for symbol in doubted:
                if symbol in (meant or ()):  # an update of it is lost: a new snapshot brings that back
                    self.session.doubt_book(symbol, "a frame could not be read")
            return Entry(record.id, record.at_us, event, None, doubted=doubted)
        kind = type(event)
        if kind is BookUpdates or kind is Unknown or kind is Ack or kind is BookSnapshot or kind is Rejection:
            return self._take_odd(record, event, check)
        self.session.observe(event, check, record.at_us)
        return Entry(record.id, record.at_us, event, check)

    def _take_odd(self, record: Record, event: Event, check: Check | None) -> Entry:
        """What comes seldom, and means more than an update."""
        at_us = record.at_us
        match event:
            case BookUpdates(parts):
                checks = tuple([self.books.apply(part) for part in parts])
                for part, each in zip(parts, checks, strict=True):
                    self.session.observe(part, each, at_us)
                return Entry(record.id, at_us, event, None, checks)
            case Rejection():
                refused = self.session.refused_by(event)
                self.session.observe(event, None, at_us)
                return Entry(record.id, at_us, event, None, refused=refused)
            case Unknown(""):  # it names neither channel nor method: it may have been anything
                doubted = self.books.doubt(None)
                self.session.observe(event, None, at_us)
                return Entry(record.id, at_us, event, None, doubted=doubted)
            case BookSnapshot():
                self.session.observe(event, check, at_us)
                book = self.books.by_symbol.get(event.symbol)
                return Entry(record.id, at_us, event, check, depth=None if book is None else book.depth)
            case Ack("unsubscribe", "book", str(symbol)):
                held = self.session.subscription(Stream("book"), symbol)
                if held is not None and held.phase is Phase.HELD and event.req_id is None:
                    self._clear([symbol])  # nobody here asked for it: the exchange has ended it
        self.session.observe(event, check, at_us)
        return Entry(record.id, at_us, event, check)

    def full_state(self) -> FullState:
        """What a fold has to know to begin after the record that it is written in."""
        assert self.protocol is not None
        books = [book.state for book in self.books.by_symbol.values()]
        return FullState(self.protocol, self.session.held, tuple(books))

    def _apply(self, mark: Mark, at_us: int) -> None:
        if isinstance(mark, Started):
            self._speak(mark.protocol)
            self.digest = EventDigest() if self._digesting else None
        elif self.protocol is None:
            if isinstance(mark, FullState):
                self._speak(mark.protocol)
                self.session = Session(mark.session)
                for state in mark.books:
                    self.books.put_back(state)
            return
        self.session.apply(mark, at_us)
        match mark:
            case Subscribe(Stream("book", int(depth)), symbols):
                for symbol in symbols:
                    held = self.books.by_symbol.get(symbol)
                    if held is None or held.depth != depth:
                        self.books.open(symbol, depth)
                    else:
                        held.begin()
            case Wanted(Stream("book"), symbols):
                for symbol in symbols:
                    self._follow_again(symbol)
            case Unwanted(Stream("book"), symbols):
                for symbol in symbols:
                    self.books.close(symbol)
            case Resync("book", str(symbol), until_us=until_us) if until_us <= at_us:
                self._clear([symbol])
            case Unsubscribe(Stream("book"), symbols):  # one that has to wait goes on till here: it may match again
                self._clear(symbols)
            case Drop() | Disconnected():
                for book in self.books.by_symbol.values():
                    book.clear()

    def _follow_again(self, symbol: str) -> None:
        """It may have been given up and not been left yet: its book begins anew, by its snapshot or by a resync."""
        held = self.session.subscription(Stream("book"), symbol)
        if held is not None and held.phase is not Phase.WANTED and symbol not in self.books.by_symbol:
            assert held.stream.depth is not None
            self.books.open(symbol, held.stream.depth)

    def _clear(self, symbols: Iterable[str]) -> None:
        for symbol in symbols:
            if symbol in self.books.by_symbol:
                self.books.by_symbol[symbol].clear()

    def _speak(self, protocol: str) -> None:
        self.protocol, self.codec = protocol, codec_of(protocol)
        self.books = Books(self.codec.decode)
