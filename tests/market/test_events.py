"""Events mean the same whoever made them: a codec, or the compiled core, whose are made when they are looked at, and
whole for who looks into each.
"""

import copy
import dataclasses
import gc
import pickle
import pprint
import tracemalloc
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal

import msgspec
import pytest

from tests.chain.native import needs_core
from tests.market.gathers import Paths, gathered, look_into
from tests.market.stretches import SYMBOLS, MadeUp
from tidelog.market.book.levels import Book
from tidelog.market.core import lending_for
from tidelog.market.events import BookDelta, BookSnapshot, Event, EventId, Heartbeat, Tickers, Trades
from tidelog.market.kraken import v1, v2
from tidelog.market.kraken.checksum import ChecksumProof
from tidelog.market.live.batches import Item
from tidelog.market.live.monitoring.figures import exchange_time
from tidelog.market.live.pending import conflation_key
from tidelog.market.replay.replay import tell_fault
from tidelog.market.venues import venue_of
from tidelog.market.written import written

DECODE: dict[str, Callable[[bytes], Event]] = {"v1": v1.decode, "v2": v2.decode}
SEEDS = range(3)
FEW = 5  # events that are kept, of thousands
KEPT_BYTES_MAX = 100_000

Made = tuple[Sequence[Event], Sequence[Event]]  # by a codec, and by the maker that is tested


@pytest.fixture(
    params=["codec", pytest.param("core", marks=needs_core), pytest.param("core, looked into", marks=needs_core)]
)
def maker(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=SYMBOLS)
def made(request: pytest.FixtureRequest, maker: str) -> Made:
    """Updates of books and heartbeats."""
    decode = DECODE[request.param]
    frames = [frame for seed in SEEDS for frame in MadeUp(request.param, seed).frames(150)]
    if maker == "codec":
        return [decode(frame) for frame in frames], [decode(frame) for frame in frames]
    look = look_into if maker == "core, looked into" else None
    found = [pair for seed in SEEDS for pair in gathered(MadeUp(request.param, seed), 150, look)]
    by_core = Counter(type(event).__name__ for _, event in found if is_lazy(event))
    assert by_core.keys() >= {"BookDelta", "Trades", "Tickers"}
    updates = sum(isinstance(event, BookDelta) for _, event in found)
    assert (by_core["BookDelta"] < updates / 2) == (look is not None)
    return [decode(frame) for frame, _ in found], [event for _, event in found]


def is_lazy(event: object) -> bool:
    return type(event).__module__ == "tidelog_core"


def deltas(made: Made) -> list[tuple[BookDelta, BookDelta]]:
    pairs = [(one, other) for one, other in zip(*made, strict=True) if isinstance(one, BookDelta)]
    assert len(pairs) > 100
    assert all(isinstance(other, BookDelta) for _, other in pairs)
    return [(one, other) for one, other in pairs if isinstance(other, BookDelta)]


def test_equality_hash_and_repr(made: Made) -> None:
    for one, other in zip(*made, strict=True):
        assert one == other
        assert other == one
        assert (one != other) is False
        assert (hash(one), repr(one)) == (hash(other), repr(other))
        assert other != Heartbeat() or isinstance(other, Heartbeat)
        assert Item(EventId(1, 1), one, True) == Item(EventId(1, 1), other, True)
    updates = [other for _, other in deltas(made)]
    assert len(set(updates)) == len({one for one, _ in deltas(made)})
    assert updates[0] != updates[1]


def test_class_and_matching(made: Made) -> None:
    for one, other in deltas(made):
        assert other.__class__ is BookDelta
        assert not isinstance(other, BookSnapshot)
        match other:
            case BookSnapshot():
                pytest.fail("it is no snapshot")
            case BookDelta(symbol, bids, asks, checksum=checksum, timestamp=timestamp, sequence=sequence):
                assert (symbol, bids, asks) == (one.symbol, one.bids, one.asks)
                assert (checksum, timestamp, sequence) == (one.checksum, one.timestamp, one.sequence)
        assert conflation_key(other) == conflation_key(one)
        assert exchange_time(other) == exchange_time(one)


def test_trades_and_tickers(made: Made) -> None:
    pairs = [(one, other) for one, other in zip(*made, strict=True) if isinstance(one, Trades | Tickers)]
    assert {one.__class__ for one, _ in pairs} == {Trades, Tickers}
    for one, other in pairs:
        assert other.__class__ is one.__class__
        match other:
            case Trades(trades, snapshot=snapshot):
                assert isinstance(one, Trades)
                assert (trades, snapshot) == (one.trades, one.snapshot)
            case Tickers(tickers):
                assert isinstance(one, Tickers)
                assert tickers == one.tickers
            case _:
                pytest.fail("it is one of the two")
        assert conflation_key(other) == conflation_key(one)
        assert exchange_time(other) == exchange_time(one)


@needs_core
def test_a_snapshot_of_the_core_is_one() -> None:
    feed = MadeUp("v2", 0)
    frame = next(frame for frame in feed.frames(3) if b'"snapshot"' in frame)
    paths = Paths("v2", feed.depths)
    paths.frames([frame])
    (other,), one = paths.frames([frame]), v2.decode(frame)
    assert is_lazy(other)
    assert isinstance(one, BookSnapshot)
    assert isinstance(other, BookSnapshot)
    assert not isinstance(other, BookDelta)
    assert (other, hash(other), repr(other)) == (one, hash(one), repr(one))
    assert [getattr(other, name) for name in BookSnapshot.__struct_fields__] == [
        getattr(one, name) for name in BookSnapshot.__struct_fields__
    ]
    assert pickle.loads(pickle.dumps(other)) == one
    assert msgspec.json.encode(other) == msgspec.json.encode(one)
    assert conflation_key(other) == conflation_key(one)


def test_fields(made: Made) -> None:
    for one, other in deltas(made):
        assert [type(getattr(other, name)) for name in BookDelta.__struct_fields__] == [
            type(getattr(one, name)) for name in BookDelta.__struct_fields__
        ]
        if other.timestamp is not None:
            assert other.timestamp.tzinfo is UTC
        for ours, theirs in zip((*other.bids, *other.asks), (*one.bids, *one.asks), strict=True):
            assert ours == theirs
            assert (float(ours.price_text), Decimal(ours.qty_text)) == (
                float(theirs.price_text),
                Decimal(theirs.qty_text),
            )
        with pytest.raises(AttributeError):
            other.symbol = "X/USD"  # type: ignore[misc]
        with pytest.raises(AttributeError):
            other.prices  # type: ignore[attr-defined]


def test_whatever_else_an_object_of_the_class_has(made: Made) -> None:
    by_class = {one.__class__: (one, other) for one, other in zip(*made, strict=True)}
    assert by_class.keys() >= {BookDelta, Trades, Tickers}
    pairs: list[tuple[object, object]] = [*by_class.values()]
    pairs += [levels for one, other in deltas(made)[:10] for levels in zip(one.asks, other.asks, strict=True)]
    for one, other in pairs:
        assert [name for name in dir(one) if not hasattr(other, name)] == []
        assert getattr(other, "__struct_fields__", None) == getattr(one, "__struct_fields__", None)


def test_copies_pickles_and_json(made: Made) -> None:
    for one, other in zip(*made, strict=True):
        assert pickle.loads(pickle.dumps(other)) == one
        assert copy.copy(other) == one
        assert copy.deepcopy(other) == one
        for order in (None, "deterministic", "sorted"):  # the last one uses each field after it has let go of it
            assert msgspec.json.encode(other, order=order) == msgspec.json.encode(one, order=order)
            assert msgspec.msgpack.encode(other, order=order) == msgspec.msgpack.encode(one, order=order)
        assert msgspec.json.encode([written(other)]) == msgspec.json.encode([written(one)])


def test_none_is_a_dataclass_and_all_are_printed(made: Made) -> None:
    by_class = {one.__class__: (one, other) for one, other in zip(*made, strict=True)}
    pairs: list[tuple[object, object]] = [*by_class.values(), *deltas(made)[:20]]
    pairs += [levels for one, other in deltas(made)[:10] for levels in zip(one.bids, other.bids, strict=True)]
    for one, other in pairs:
        assert not dataclasses.is_dataclass(other)
        assert "__dataclass_fields__" not in vars(type(other))  # orjson looks for it there, and crashes if it is none
        assert pprint.pformat([other], width=40) == pprint.pformat([one], width=40)


def test_a_copy_is_of_pythons_own_class(made: Made) -> None:
    for one, other in deltas(made):
        copied = copy.copy(other)
        assert type(copied) is BookDelta
        assert msgspec.structs.astuple(copied) == msgspec.structs.astuple(one)
        assert msgspec.structs.replace(copied, checksum=7) == msgspec.structs.replace(one, checksum=7)


def test_a_new_one_is_made_by_its_class(made: Made) -> None:
    for _, other in deltas(made):
        fields = [getattr(other, name) for name in BookDelta.__struct_fields__]
        assert BookDelta(*fields) == other
    at = datetime(2024, 1, 1, tzinfo=UTC)
    assert BookDelta("A/USD", (), (), 7, at) == BookDelta(symbol="A/USD", bids=(), asks=(), checksum=7, timestamp=at)


@needs_core
def test_updates_are_made_whole_for_who_looks_into_them_and_no_longer_than_that() -> None:
    def lazily_made(looks: int) -> list[bool]:
        """Of each update, where a consumer looks into so many of the first."""
        left = iter(range(looks))

        def look(event: Event) -> None:
            if isinstance(event, BookDelta) and next(left, None) is not None:
                look_into(event)

        found = [event for _, event in gathered(MadeUp("v2", 1), 400, look)]
        return [is_lazy(event) for event in found if isinstance(event, BookDelta)]

    places = enumerate(zip(lazily_made(0), lazily_made(40), strict=True))
    whole = [at for at, (lazily, by_look) in places if lazily and not by_look]
    assert len(whole) > 20
    assert whole[0] >= 1
    assert 40 <= whole[-1] < 60


@needs_core
def test_the_longer_each_update_is_looked_into_the_more_are_made_whole_in_a_row() -> None:
    feed = MadeUp("v2", 1)
    [symbol, *_] = feed.depths
    snapshot, lending = DECODE["v2"](feed.frames(1)[0]), lending_for(venue_of("v2"), tell_fault)
    assert isinstance(snapshot, BookSnapshot)
    book = Book(symbol, feed.depths[symbol], ChecksumProof)
    book.apply(snapshot)
    lending.lend(book)
    update = (
        f'{{"channel":"book","type":"update","data":[{{"symbol":"{symbol}","bids":[{{"price":1.5,"qty":2.5}}],"asks":[],'
        '"checksum":7,"timestamp":"2024-01-01T00:00:00.000000Z"}]}'
    ).encode()
    lazily_made = []
    for at, event in enumerate(lending.read([update] * 500)):
        look_into(event)
        if is_lazy(event):
            lazily_made.append(at)
    assert lazily_made == [0, 16, 47, 108, 229, 470]  # 15, 30, 60, 120 and 240 between them


@needs_core
@pytest.mark.parametrize("kept", ["event", "event that was looked into", "level"])
def test_what_is_kept_of_an_event_keeps_a_few_frames_at_most(kept: str) -> None:
    def found(count: int) -> Sequence[object]:
        events = [event for _, event in gathered(MadeUp("v2", 1), count) if isinstance(event, BookDelta)]
        events = [event for event in events if is_lazy(event)]
        if kept == "level":
            return [level for event in events[::100] for level in (*event.bids, *event.asks)][:FEW]
        if kept == "event that was looked into":
            assert sum([len(event.bids) + len(event.asks) for event in events]) > count / 5
        return [*events[::100][:FEW]]

    found(300)  # what is made once is not counted
    tracemalloc.start()
    try:
        few = found(3_000)  # of some 600 kB
        gc.collect()
        held, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(few) == FEW
    assert all(map(is_lazy, few))
    assert held < KEPT_BYTES_MAX < most / 4
