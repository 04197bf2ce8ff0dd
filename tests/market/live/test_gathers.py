"""Frames that are taken many at a time leave the same events, books, session and digest as one by one."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.chain.native import needs_core
from tests.market.conftest import Recording
from tests.market.gathers import Paths, learn_paces, play, play_again
from tests.market.kraken.frames import V2
from tests.market.kraken.mutations import mutated
from tests.market.stretches import SYMBOLS, TRADES_AND_TICKERS, MadeUp
from tidelog.market.book.lending import Fault, Room
from tidelog.market.events import BookDelta, Event, EventId, Heartbeat, Stream, Trades
from tidelog.market.live.fanout import BatchSubscription, FanOut, Policy, Subscription
from tidelog.market.records import Kind, Record

pytestmark = needs_core


@pytest.mark.parametrize("protocol", SYMBOLS)
@pytest.mark.parametrize("seed", range(6))
def test_made_up_feeds(protocol: str, seed: int) -> None:
    assert play(protocol, seed).taken > 0


@pytest.mark.torture
@pytest.mark.parametrize("protocol", SYMBOLS)
def test_many_made_up_feeds(protocol: str) -> None:
    for seed in range(6, 200):
        play(protocol, seed)


@pytest.mark.parametrize(("name", "protocol"), [("book-v1-depth10-xbtusd", "v1"), ("book-v2-depth10-btcusd", "v2")])
def test_of_a_recording_nearly_all_is_taken(recording: Recording, name: str, protocol: str) -> None:
    years = range(2023, 2026)
    frames = [
        frame.replace(b'"timestamp":"2023', b'"timestamp":"%d' % year) for year in years for frame in recording(name)
    ]
    paths = Paths(protocol, {"BTC/USD": 10})
    for begin in range(0, len(frames), 50):
        paths.at_us += 100_000
        paths.frames(frames[begin : begin + 50])
    paths.assert_same()
    assert paths.left < paths.taken / 10
    assert paths.counts["snapshots"] == (len(years) - 1 if protocol == "v2" else 0), (
        "v1's have nothing that proves them"
    )


@pytest.mark.parametrize("channels", [TRADES_AND_TICKERS, ()], ids=["subscribed", "unasked"])
@pytest.mark.parametrize("protocol", SYMBOLS)
def test_trades_and_tickers_are_taken(protocol: str, channels: tuple[Stream, ...]) -> None:
    feed = MadeUp(protocol, 1)
    frames = feed.frames(400)
    paths = Paths(protocol, feed.depths, channels=channels)
    for begin in range(0, len(frames), 40):
        paths.at_us += 1_000
        paths.frames(frames[begin : begin + 40])
    paths.assert_same()
    assert paths.counts["trades"] > 5
    assert paths.counts["tickers"] > 5


@pytest.mark.parametrize("protocol", SYMBOLS)
def test_the_session_looks_where_a_pace_is_learned(protocol: str) -> None:
    counts = learn_paces(protocol)
    assert counts["trades"] > 50
    assert counts["tickers"] > 50


def test_snapshots_between_updates() -> None:
    assert play_again()["snapshots"] > 5


def test_a_missing_trade_is_seen_by_the_session() -> None:
    def frame(trade_id: int) -> bytes:
        return V2["trade"].replace(b'"trade_id":4665906', b'"trade_id":%d' % trade_id)

    paths = Paths("v2", {"MATIC/USD": 10}, channels=TRADES_AND_TICKERS)
    paths.frames([frame(number) for number in (1, 2, 3)])
    taken = paths.counts["trades"]
    assert taken > 0
    paths.frames([frame(number) for number in (5, 6)])
    subscription = paths.core.session.subscription(Stream("trade"), "MATIC/USD")
    assert subscription is not None
    assert subscription.suspect_reason == "trade 3 to 5"


@pytest.mark.parametrize("protocol", SYMBOLS)
@given(data=st.data())
def test_mutated_frames_mean_the_same(protocol: str, data: st.DataObject) -> None:
    feed = MadeUp(protocol, data.draw(st.integers(0, 1000), label="seed"))
    frames = feed.frames(40)
    for _ in range(data.draw(st.integers(1, 3), label="wounds")):
        place = data.draw(st.integers(len(feed.depths), len(frames) - 1), label="place")
        frames.insert(place, data.draw(mutated(frames), label="frame"))
    paths = Paths(protocol, feed.depths)
    size = data.draw(st.integers(1, len(frames)), label="size")
    for begin in range(0, len(frames), size):
        paths.at_us += 1_000
        paths.frames(frames[begin : begin + size])
    paths.assert_same()


def test_what_has_no_room_in_the_journal_is_left() -> None:
    feed = MadeUp("v2", 2)
    frames = feed.frames(60)
    paths = Paths("v2", feed.depths)
    first = len(feed.depths)
    paths.frames(frames[:first])
    paths.frames(frames[first:])
    taken = paths.taken
    assert taken > 30
    paths.frames(frames[first + 1 : first + 2], Room(0, 64))
    assert paths.taken == taken


def test_a_panic_is_told_and_its_frame_goes_by_python(monkeypatch: pytest.MonkeyPatch) -> None:
    faults: list[Fault] = []
    feed = MadeUp("v2", 4)
    frames = feed.frames(60)
    paths = Paths("v2", feed.depths, on_fault=faults.append)
    first = len(feed.depths)
    paths.frames(frames[:first])
    lending = paths.core.books._lending  # type: ignore[attr-defined]
    native = lending._frames

    class Failing:
        """As the core answers where it has panicked at the first frame."""

        name = native.name

        def take(self, *arguments: object, **named: object) -> tuple[object, ...]:
            return 0, b"", 0, (0, 0, 0, 0, 0), (), [], [], b"", "index out of bounds"

    lending._frames = Failing()
    gathered = paths.core.gather(frames, first, paths.core.at._replace(seq=paths.seq + 1), paths.at_us, Room(9_999, 64))
    assert gathered is None
    assert [fault.what for fault in faults] == ["index out of bounds"]
    lending._frames = native
    paths.frames(frames[first:])
    paths.assert_same()
    assert len(faults) == 1


def test_other_frames_between_them() -> None:
    feed = MadeUp("v2", 5)
    frames = feed.frames(80)
    for place in range(10, 80, 7):
        frames.insert(place, V2["trade"])
    paths = Paths("v2", feed.depths)
    paths.frames(frames)
    paths.assert_same()
    assert paths.taken > 10


async def test_consumers_get_what_was_taken_as_from_any_list() -> None:
    feed = MadeUp("v2", 3)
    frames = feed.frames(200)
    paths = Paths("v2", feed.depths)
    first, lazy, plain = len(feed.depths), FanOut(), FanOut()
    both = (lazy, plain)
    terms: list[tuple[tuple[type[Event], ...] | None, Policy, int]] = [
        (None, Policy.DROP_OLDEST, 1_000),
        ((BookDelta,), Policy.DROP_OLDEST, 1_000),
        ((Heartbeat, Trades), Policy.DROP_OLDEST, 3),
        (None, Policy.DROP_OLDEST, 7),
        (None, Policy.CONFLATE, 2),
    ]
    consumers: list[list[Subscription | BatchSubscription]] = []
    for kinds, policy, bound in terms:
        for wait in (False, True):
            for subscribe in (FanOut.subscribe, FanOut.subscribe_batches):
                consumers.append(
                    [subscribe(one, policy, pending_max=bound, durable_only=wait, kinds=kinds) for one in both]
                )
    paths.frames(frames[:first])
    taken = 0
    while (begin := first + taken) < len(frames):
        at = EventId(1, paths.seq + 1)
        gathered = paths.core.gather(frames, begin, at, paths.at_us, Room(1 << 30, 64))
        if gathered is None:
            event = paths.core.apply(Record(at, paths.at_us, Kind.IN, frames[begin]))
            assert event is not None
            events: Sequence[Event] = [event.event]
        else:
            events = gathered.events
            assert not isinstance(events, (list, tuple))
        lazy.publish_all(at, events)
        plain.publish_all(at, [*events])
        paths.seq += len(events)
        taken += len(events)
        for fanout in both:
            fanout.durable(EventId(1, paths.seq - 5))
    for fanout in both:
        fanout.durable(EventId(1, paths.seq))
        fanout.close()
    for one, other in consumers:
        given = [item async for item in one]
        assert given
        assert given == [item async for item in other]
        assert one.statistics == other.statistics
