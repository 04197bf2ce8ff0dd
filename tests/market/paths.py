"""What tests of a market's parts need to run on both paths: in Python, and by the compiled core where that takes it.

`tests.chain.native.either_path` chooses the path of what looks for the core by itself: feeds, replays, loaders. The
parts below those know one path, and are given the other one here: what the core takes goes by it, the rest by Python.
"""

from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

from tests.chain.native import needs_core, use
from tests.market.ladder import snapshot
from tests.market.stretches import raise_fault
from tidelog.errors import Rejected
from tidelog.market.book.gathering import GatheringBooks
from tidelog.market.book.lending import Cursor, Lending, Room
from tidelog.market.book.levels import Book
from tidelog.market.book.proof import Check, NewProof
from tidelog.market.book.watch import Noted, Watch
from tidelog.market.core import Core, JournalEvent, lending_for
from tidelog.market.events import BookDelta, BookSnapshot, Event, EventId, Heartbeat
from tidelog.market.kraken import v1, v2
from tidelog.market.kraken.checksum import ChecksumProof
from tidelog.market.records import PackedRecords, Record, encode_records
from tidelog.market.session.connection import Session
from tidelog.market.session.limits import SessionLimits
from tidelog.market.venues import venue_of

NEVER_US = 1 << 60
ROOM = Room(1 << 30, 64)
PROTOCOLS: dict[Callable[[bytes], Event], str] = {v1.decode: "v1", v2.decode: "v2"}
both_paths = pytest.fixture(scope="module", params=["python", pytest.param("native", marks=needs_core)])


def lending_of(protocol: str) -> Lending:
    return lending_for(venue_of(protocol), raise_fault)


# -- books -------------------------------------------------------------------------------------------------------------


class Unwatched:
    """No session, for which all is alike."""

    def alike_until_us(self, channel: str, symbol: str) -> int:
        return NEVER_US

    def watch_of(self, symbol: str) -> Watch | None:
        return Watch(0)

    def note_alike(self, symbol: str, noted: Noted) -> None:
        pass


class GatheredBooks(GatheringBooks):
    """`Books` whose frames go to the core first, each by itself."""

    taken = 0  # by the core, of all

    def __init__(self, decode: Callable[[bytes], Event], proof: NewProof) -> None:
        super().__init__(decode, proof, lending_of(PROTOCOLS[decode]), Unwatched())

    def apply_frame(self, frame: bytes) -> tuple[Event, Check | None]:
        gathered = self.gather([frame], 0, EventId(1, 1), 0, ROOM, encode=False)
        if gathered is None:
            return super().apply_frame(frame)
        GatheredBooks.taken += 1
        (event,) = gathered.events
        if not isinstance(event, BookDelta | BookSnapshot):
            return event, None
        self._lending.recall(event.symbol)  # a test may look at its book
        self._due[event.symbol] = None
        return event, Check.MATCHED


class LentBook(Book):
    """A `Book` that the core has while it takes an update, written as v2 does; it comes back behind each."""

    taken = 0  # by the core, of all

    def apply(self, message: BookSnapshot | BookDelta) -> Check:
        frame = written(message) if isinstance(message, BookDelta) and self._new_proof is ChecksumProof else None
        if frame is not None:
            lending = lending_of("v2")
            lending.lend(self)
            gathered = lending.gather([frame], 0, 1, EventId(1, 1), 0, ROOM, encode=False)
            lending.recall(self.symbol)
            if gathered is not None:
                LentBook.taken += 1
                return Check.MATCHED
        return super().apply(message)


def written(message: BookDelta) -> bytes | None:
    """A frame that says so; None if there is none."""
    if message.checksum is None:
        return None
    sides = [
        ",".join(f'{{"price":{level.price_text},"qty":{level.qty_text}}}' for level in side)
        for side in (message.bids, message.asks)
    ]
    stamp = ""
    if message.timestamp is not None:
        stamp = f',"timestamp":"{message.timestamp:%Y-%m-%dT%H:%M:%S.%f}Z"'
    return (
        f'{{"channel":"book","type":"update","data":[{{"symbol":"{message.symbol}","bids":[{sides[0]}],'
        f'"asks":[{sides[1]}],"checksum":{message.checksum}{stamp}}}]}}'
    ).encode()


@both_paths
def books_on_either_path(request: pytest.FixtureRequest) -> Iterator[str]:
    """The test runs twice: the module's `Books` and `Book` are those of Python, or go by the core."""
    with pytest.MonkeyPatch.context() as patch:
        for name, kind in (("Books", GatheredBooks), ("Book", LentBook)):
            if request.param == "native" and hasattr(request.module, name):
                patch.setattr(request.module, name, kind)
        yield str(request.param)


def read_by(lending: Lending, frame: bytes, symbol: str) -> BookDelta | None:
    """An update as the core reads it by itself, where it knows the book; None: it does not."""
    if symbol not in lending:
        book = Book(symbol, 10, ChecksumProof)
        book.apply(snapshot([("1.0", "1.0")], [("2.0", "1.0")], symbol=symbol))
        lending.lend(book)
    read = [*lending.read([frame])]
    return read[0] if read else None


# -- codecs ------------------------------------------------------------------------------------------------------------


class _Codec(ModuleType):
    """A codec; what the core reads of a frame, too, is what the codec says."""

    def __init__(self, codec: ModuleType) -> None:
        super().__init__(codec.__name__)
        self._codec = codec
        self._lending = lending_of(PROTOCOLS[codec.decode])

    def __getattr__(self, name: str) -> Any:
        return getattr(self._codec, name)

    def decode(self, frame: bytes) -> Event:
        try:
            event: Event = self._codec.decode(frame)
        except Rejected:
            assert self._read(frame, None) is None
            raise
        read = self._read(frame, event)
        if read is not None:
            assert read == event
            return read
        return event

    def _read(self, frame: bytes, event: Event | None) -> BookDelta | None:
        """By the core, which has to know the book's name."""
        return read_by(self._lending, frame, event.symbol if isinstance(event, BookDelta) else "BTC/USD")


@both_paths
def codec_on_either_path(request: pytest.FixtureRequest) -> Iterator[str]:
    """The test runs twice: the second time the core reads each frame, too, and what it reads is what is tested."""
    with pytest.MonkeyPatch.context() as patch:
        for name, codec in (("v1", v1), ("v2", v2)):
            if request.param == "native" and hasattr(request.module, name):
                patch.setattr(request.module, name, _Codec(codec))
        yield str(request.param)


# -- events ------------------------------------------------------------------------------------------------------------

_reader: list[Lending] = []


class _CoresOwn(type):
    """`BookDelta` in all but that the core makes what it can read."""

    def __call__(cls, *fields: Any, **named: Any) -> BookDelta:
        event = BookDelta(*fields, **named)
        frame = written(event)
        return event if frame is None else read_by(_reader[0], frame, event.symbol) or event

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, BookDelta)


class CoresDelta(metaclass=_CoresOwn):
    """What a test's module has instead of `BookDelta`."""


@both_paths
def events_on_either_path(request: pytest.FixtureRequest) -> Iterator[str]:
    """The test runs twice: the second time updates of books are the core's, whose fields are read when looked at."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "native":
            patch.setattr(request.module, "BookDelta", CoresDelta)
            patch.setattr("tests.market.paths._reader", [lending_of("v2")])
        yield str(request.param)


# -- cores -------------------------------------------------------------------------------------------------------------


class StretchingCore(Core):
    """A `Core` whose records go to the compiled core first, each by itself."""

    taken = 0  # by the compiled core, of all

    def __init__(self, *, digest: bool = False, limits: SessionLimits | None = None) -> None:
        super().__init__(digest=digest, limits=limits, stretches=raise_fault)

    def apply(self, record: Record) -> JournalEvent | None:
        id_, packed = record.id, encode_records([(record.kind.value, record.at_us, record.payload)])
        stretch = self.take(PackedRecords(id_.run, id_.seq, 1, packed), Cursor(id_.seq))
        if stretch is None:
            return super().apply(record)
        StretchingCore.taken += 1
        return JournalEvent(
            id_, record.at_us, self.decoder.decode(record.payload), Check.MATCHED if stretch.updates else None
        )


@both_paths
def cores_on_either_path(request: pytest.FixtureRequest) -> Iterator[str]:
    """The test runs twice: what looks for the compiled core finds it, or not, and the module's `Core` goes by it."""
    with pytest.MonkeyPatch.context() as patch:
        use(request.param, patch)
        if request.param == "native" and hasattr(request.module, "Core"):
            patch.setattr(request.module, "Core", StretchingCore)
        yield str(request.param)


# -- sessions ----------------------------------------------------------------------------------------------------------


@both_paths
def session_on_either_path(request: pytest.FixtureRequest) -> Iterator[str]:
    """The test runs twice: the second time a session is told of what the core may take as a feed that gathers does."""
    observe = Session.observe

    def noted(session: Session, event: Event, check: Check | None, at_us: int) -> None:
        matched = isinstance(event, BookDelta) and check is Check.MATCHED and event.checksum is not None
        if not (matched or isinstance(event, Heartbeat)):
            observe(session, event, check, at_us)
            return
        if isinstance(event, BookDelta):
            assert event.checksum is not None
            watch = session.watch_of(event.symbol)
            if watch is None:
                observe(session, event, check, at_us)
                return
            pause_us = at_us - watch.moved_us if watch.moved_us else 0
            if pause_us and (watch.pauses_left == 0 or (watch.due_us is not None and at_us >= watch.due_us)):
                session.note_update(event.symbol, event.checksum, at_us)
            else:
                noted = Noted(pause_us > 0, at_us, pause_us, at_us, at_us, event.checksum)
                session.note_alike(event.symbol, noted)
        session.note_frames(at_us)

    with pytest.MonkeyPatch.context() as patch:
        if request.param == "native":
            patch.setattr(Session, "observe", noted)
        yield str(request.param)
