"""The feed: a frame is journaled, applied, then published; a decision is journaled, applied, then carried out."""

import asyncio
import copy
import pickle
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec
import pytest
from structlog.testing import capture_logs

from tests.chain.native import either_path
from tests.market.exchange import Script, Wire, serve, session_limits, until
from tests.patience import HANGS_S
from tests.sim.test_exchange_core import token_of
from tidelog.errors import ConfigError, Fenced, Full, StoreError, Throttled, Unreachable
from tidelog.market.core import Core, JournalEvent
from tidelog.market.events import (
    BookDelta,
    BookSnapshot,
    ClockStepped,
    Connected,
    Disconnected,
    Event,
    EventId,
    Executions,
    Malformed,
    Missed,
    Resync,
    Started,
    Trade,
    Trades,
)
from tidelog.market.journal.file import JournalWriter
from tidelog.market.journal.reader import JournalReader
from tidelog.market.journal.retention import Retention
from tidelog.market.journal.writer import JournalLimits
from tidelog.market.kraken.limits import LIMITS
from tidelog.market.live.batches import EventBatch, Item
from tidelog.market.live.fanout import Lagged, Policy, Subscription
from tidelog.market.live.feed import Feed
from tidelog.market.live.limits import FeedLimits
from tidelog.market.live.monitoring.loop_watch import LoopWatchLimits
from tidelog.market.records import Kind, Record
from tidelog.market.replay.position import events_to_load
from tidelog.market.replay.replay import Summary, replay_records
from tidelog.market.session.controls import CoreSnapshot, Drop, decode_control, ended_in_order
from tidelog.market.session.subscription.subscriptions import ConnectionState
from tidelog.net.websocket import WebSocketLimits
from tidelog.runtime import SystemRuntime
from tidelog.sim.exchange import PAIRS, SimExchange
from tidelog.sim.exchange.control import Disconnect, List
from tidelog.sim.exchange.wire.transport import ExchangeWire

__all__ = ["either_path"]  # a fixture: every test of a feed runs by the compiled core, too
pytestmark = pytest.mark.usefixtures("either_path")


class Bench:
    """A feed on a wire to a script, and its journal."""

    def __init__(self, folder: Path) -> None:
        self.script = Script()
        self.wire = Wire(self.script)
        self.path = folder / "journal"

    def feed(self, *symbols: str, channels: tuple[str, ...] = ("book",), **options: object) -> Feed:
        return Feed(
            symbols or ("A/USD", "B/USD"),
            channels,
            journal=str(self.path),
            transport=self.wire,
            digest=True,
            **options,  # type: ignore[arg-type]
        )

    def records(self) -> list[Record]:
        reader = JournalReader(str(self.path))
        try:
            return list(reader.records())
        finally:
            reader.close()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


async def first(events: Subscription, kind: type[Event]) -> Item:
    async with asyncio.timeout(HANGS_S):
        async for item in events:
            if isinstance(item, Item) and isinstance(item.event, kind):
                return item
    raise AssertionError(f"no {kind.__name__}")


def proven(feed: Feed, *symbols: str) -> Callable[[], bool]:
    return lambda: all((book := feed.book(symbol)) is not None and book.proven for symbol in symbols)


async def digest_of(records: list[Record], run: int = 1, speed: float | None = None) -> str:
    summary = Summary()
    async for _ in replay_records(records, SystemRuntime(), speed=speed, summary=summary):
        pass
    return summary.digests[run].hexdigest()


async def test_feed_used_in_five_lines(bench: Bench) -> None:
    async with bench.feed("A/USD") as feed:
        async for item in feed.events():
            assert isinstance(item, Item)
            if isinstance(item.event, BookDelta):
                break
            if (view := feed.book("A/USD", levels=1)) is not None and view.proven:
                assert view.bids == ((999, 100000000),)
                bench.wire.push(bench.script.update("A/USD", 7))
        view = feed.book("A/USD", levels=1)
        assert view is not None
        assert (view.bids, view.proven_depth, view.crossed) == (((999, 700000000),), 10, False)
        assert feed.book("X/USD") is None


async def test_a_replay_of_the_journal_has_the_digest_of_the_live_run(bench: Bench) -> None:
    async with bench.feed(channels=("book", "trade")) as feed:
        await until(proven(feed, "A/USD", "B/USD"))
        for qty in range(3, 60):
            bench.wire.push(bench.script.update("A/USD", qty), bench.script.trade("B/USD"))
        bench.wire.push(b"broken", bench.script.update("B/USD", 5, wrong=True))
        await until(lambda: feed.progress.resyncs == 1)
        bench.wire.cut()
        await until(lambda: bench.wire.connects == 2)
        await until(proven(feed, "A/USD", "B/USD"))
    live = feed.digest
    assert (feed.progress.mismatches, feed.progress.malformed, feed.progress.state) == (1, 1, ConnectionState.CLOSED)
    records = bench.records()
    assert [await digest_of(records), await digest_of(records, speed=1000), await digest_of(records, speed=50)] == [
        live
    ] * 3
    assert await digest_of(records[:-4]) != live


async def test_events_come_at_once_and_are_durable_later(bench: Bench) -> None:
    async with bench.feed() as feed:
        at_once, patient = feed.events(), feed.events(durable_only=True)
        early = await first(at_once, Connected)
        late = await first(patient, Connected)
        assert (early.id, early.durable, late.durable) == (late.id, False, True)
        await feed.wait_durable(late.id)


async def test_a_mismatch_costs_one_symbol_its_proof_until_it_is_back(bench: Bench) -> None:
    async with bench.feed() as feed:
        events = feed.events()
        await until(proven(feed, "A/USD", "B/USD"))
        book_before = feed.book("A/USD")
        bench.script.deaf = True
        bench.wire.push(bench.script.update("B/USD", 5, wrong=True))
        item = await first(events, Resync)
        assert isinstance(item.event, Resync)
        assert (item.event.symbol, item.event.reason) == ("B/USD", "checksum differs")
        doubtful = feed.book("B/USD")
        assert doubtful is not None
        assert (doubtful.proven, doubtful.bids) == (False, ())
        assert feed.book("A/USD") == book_before
        await until(lambda: bench.script.requests[-1]["method"] == "unsubscribe")
        bench.script.deaf = False
        leave = bench.script.requests.pop()
        assert leave["params"]["symbol"] == ["B/USD"]
        bench.wire.push(*bench.script.answer(msgspec.json.encode(leave)))
        await until(proven(feed, "B/USD"))
        assert bench.wire.connects == 1


async def test_frame_that_cannot_be_read_has_its_book_in_doubt_and_asked_for_again(bench: Bench) -> None:
    async with bench.feed() as feed:
        events = feed.events()
        await until(proven(feed, "A/USD", "B/USD"))
        bench.wire.push(bench.script.update("B/USD", 5)[:-20])
        await first(events, Malformed)
        doubtful, other = feed.book("B/USD"), feed.book("A/USD")
        assert doubtful is not None
        assert other is not None
        assert (doubtful.proven, other.proven) == (False, True)
        item = await first(events, Resync)
        assert isinstance(item.event, Resync)
        assert (item.event.symbol, item.event.reason) == ("B/USD", "a frame could not be read")
        await until(proven(feed, "B/USD"))
        assert (feed.progress.malformed, bench.wire.connects) == (1, 1)


async def test_frame_that_does_not_say_what_it_is_has_every_book_in_doubt_until_its_next_proof(bench: Bench) -> None:
    async with bench.feed() as feed:
        events = feed.events()
        for frame in (b"null", b"{}", b'{"channel":"bo'):
            await until(proven(feed, "A/USD", "B/USD"))
            before = feed.progress.frames
            bench.wire.push(frame)
            await until(lambda before=before: feed.progress.frames > before)  # type: ignore[misc]
            assert feed.unproven == ["A/USD", "B/USD"]
            bench.wire.push(bench.script.update("A/USD", 5))
            await until(proven(feed, "A/USD"))
            assert feed.unproven == ["B/USD"]
            bench.wire.push(bench.script.update("B/USD", 5))
        await until(proven(feed, "A/USD", "B/USD"))
        assert feed.progress.resyncs == 0
    assert not [item async for item in events if isinstance(item, Item) and isinstance(item.event, Resync)]


async def test_books_of_one_frame_are_each_checked(bench: Bench) -> None:
    async with bench.feed() as feed:
        await until(proven(feed, "A/USD", "B/USD"))
        first_, second = bench.script.update("A/USD", 5), bench.script.update("B/USD", 6, wrong=True)
        joined = first_[:-2] + b"," + second[second.index(b'"data":[') + 8 :]
        bench.wire.push(joined)
        await until(lambda: feed.progress.mismatches == 1)
        book_before = feed.book("A/USD")
        assert book_before is not None
        assert book_before.proven
        await until(lambda: feed.progress.resyncs == 1)
        await until(proven(feed, "A/USD", "B/USD"))
    assert await digest_of(bench.records()) == feed.digest


async def test_a_book_that_has_to_wait_for_its_resync_goes_on_and_may_match_again(bench: Bench) -> None:
    async with bench.feed("A/USD") as feed:
        for number in range(1, 5):
            await until(proven(feed, "A/USD"))
            bench.wire.push(bench.script.update("A/USD", number + 1, wrong=True))
            await until(lambda number=number: feed.progress.resyncs == number)  # type: ignore[misc]
        view = feed.book("A/USD")
        assert view is not None
        assert (view.proven, len(view.bids)) == (False, 10)
        bench.wire.push(bench.script.update("A/USD", 9))
        await until(proven(feed, "A/USD"))


async def test_a_lost_connection_takes_every_proof_and_all_is_subscribed_again_once(bench: Bench) -> None:
    async with bench.feed(channels=("book", "trade")) as feed:
        events = feed.events(kinds=[Disconnected])
        await until(proven(feed, "A/USD", "B/USD"))
        bench.script.requests.clear()
        bench.wire.refusals = [Unreachable("no route"), Unreachable("no route")]
        bench.wire.cut("the peer closed the connection with code 1012")
        item = await first(events, Disconnected)
        assert item.event == Disconnected("the peer closed the connection with code 1012")
        assert not any(view.proven for view in map(feed.book, ("A/USD", "B/USD")) if view is not None)
        await until(proven(feed, "A/USD", "B/USD"))
        await until(lambda: feed.progress.state is ConnectionState.LIVE)
        asked = [(one["params"]["channel"], one["params"]["symbol"]) for one in bench.script.requests]
        assert asked == [("book", ["A/USD", "B/USD"]), ("trade", ["A/USD", "B/USD"])]
        assert (bench.wire.connects, feed.progress.connects) == (4, 2)


@pytest.mark.parametrize(
    ("said_s", "waits_s"),
    [(40.0, 40.0), (0.0, FeedLimits().throttled_s_min), (None, FeedLimits().throttled_s)],
)
async def test_retry_after_of_the_exchange_is_kept(bench: Bench, said_s: float | None, waits_s: float) -> None:
    bench.wire.refusals = [Throttled("HTTP 429", retry_after_s=said_s)] * 2
    async with bench.feed() as feed:
        await until(lambda: feed.progress.state is ConnectionState.BACKING_OFF)
        book_before = feed._core.session.session_state
        least_us = book_before.attempts[-1] + int(waits_s * 1_000_000)
        assert least_us <= book_before.retry_us <= least_us + 11_000_000
        assert bench.wire.connects == 1, "nothing is tried again at once"


class Stepping(SystemRuntime):
    """Its wall clock can be set."""

    set_by_s = 0.0

    def now(self) -> float:
        return super().now() + self.set_by_s


async def test_a_wall_clock_that_is_set_forwards_is_followed_and_the_time_is_a_gap(bench: Bench) -> None:
    runtime = Stepping()
    async with bench.feed("A/USD", runtime=runtime) as feed:
        await until(proven(feed, "A/USD"))
        runtime.set_by_s = 7_200.0
        bench.wire.push(bench.script.update("A/USD", 7))
        await until(lambda: bench.wire.connects == 2)
        await until(proven(feed, "A/USD"))
    items = [item async for item in events_to_load(str(bench.path), runtime, ending=lambda: True)]
    journal_events = [item for item in items if isinstance(item, JournalEvent)]
    steps = [record.at_us for record in bench.records()]
    assert steps == sorted(steps)
    assert abs(steps[-1] / 1e6 - runtime.now()) < 60
    gap = next(one for one in journal_events if isinstance(one.event, ClockStepped) and one.event.by_us > 0)
    after = next(one for one in journal_events if one.id > gap.id and isinstance(one.event, BookSnapshot))
    assert 7_190e6 < after.at_us - gap.at_us < 7_260e6
    assert await digest_of(bench.records()) == feed.digest


async def test_a_wall_clock_that_is_set_back_costs_no_time_and_no_connection(bench: Bench) -> None:
    runtime = Stepping()
    async with bench.feed("A/USD", runtime=runtime) as feed:
        await until(proven(feed, "A/USD"))
        runtime.set_by_s = -7_200.0
        for qty in range(3, 9):
            bench.wire.push(bench.script.update("A/USD", qty))
            frames = feed.progress.frames
            await until(lambda frames=frames: feed.progress.frames > frames)  # type: ignore[misc]
            feed.subscribe([])  # wakes it up
        await until(lambda: any(b"ClockStepped" in record.payload for record in bench.records()))
        assert bench.wire.connects == 1
    times = [record.at_us for record in bench.records()]
    assert times == sorted(times)
    items = [item async for item in events_to_load(str(bench.path), runtime, ending=lambda: True)]
    journal_events = [item for item in items if isinstance(item, JournalEvent)]
    steps = [one.event.by_us for one in journal_events if isinstance(one.event, ClockStepped)]
    assert steps
    assert max(steps) < 0
    assert not any(isinstance(one.event, Missed) for one in journal_events)


@pytest.mark.parametrize("waits", [True, False], ids=["frames wait in the socket", "nothing has come"])
async def test_an_event_loop_that_was_held_is_no_silence_of_the_exchange(bench: Bench, waits: bool) -> None:
    loop = asyncio.get_running_loop()
    limits = session_limits(ping_after_us=250_000, silent_us=500_000)
    limits = msgspec.structs.replace(limits, late_s=0.2, catch_up_us=100_000)
    async with bench.feed("A/USD", limits=limits) as feed:
        await until(proven(feed, "A/USD"))
        loop.call_later(0.02, time.sleep, 1.0)
        if waits:  # a socket that is ready is read in the turn of the loop in which timers that are due are, and before
            loop.call_later(0.03, bench.wire.push, bench.script.update("A/USD", 7))
        await asyncio.sleep(0.1)  # the loop is held within it, so that it ends a second later
        await until(lambda: bench.wire.connects == (1 if waits else 2) and feed.progress.state is ConnectionState.LIVE)
        await until(proven(feed, "A/USD"))
    reasons = [control.reason for record in bench.records() if record.kind is Kind.CONTROL
               and isinstance(control := decode_control(record.payload), Drop)]  # fmt: skip
    assert reasons[0] == ("closing" if waits else "nothing came for 0 s")


async def test_symbols_come_and_go_while_it_runs(bench: Bench) -> None:
    async with bench.feed("A/USD") as feed:
        await until(proven(feed, "A/USD"))
        feed.subscribe(["C/USD"], ["book", "trade"])
        await until(proven(feed, "C/USD"))
        await until(lambda: feed.progress.state is ConnectionState.LIVE)
        assert feed.progress.subscriptions == 3
        feed.unsubscribe(["A/USD"])
        assert feed.book("A/USD") is None
        await until(lambda: feed.progress.subscriptions == 2)
        assert bench.script.subscribed == {"C/USD": 10}
        assert bench.wire.connects == 1


async def test_a_symbol_that_was_given_up_before_it_was_refused_is_no_subscription(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench.feed("A/USD") as feed:
        await until(proven(feed, "A/USD"))
        asked: list[bytes] = []

        def answer(frame: bytes) -> list[bytes]:
            asked.append(frame)
            return []

        monkeypatch.setattr(bench.script, "answer", answer)
        feed.subscribe(["C/USD"])
        await until(lambda: len(asked) == 1)
        feed.unsubscribe(["C/USD"])
        assert (feed.progress.subscriptions, feed.progress.state) == (2, ConnectionState.LIVE)
        refusal = (
            '{"error":"Currency pair not supported","method":"subscribe","req_id":%d,"success":false,"symbol":"C/USD"}'
        )
        bench.wire.push((refusal % msgspec.json.decode(asked[0])["req_id"]).encode())
        await until(lambda: feed.progress.subscriptions == feed.progress.held == 1)


async def test_a_symbol_that_is_wanted_again_before_it_was_left_has_its_book_again(bench: Bench) -> None:
    async with bench.feed("A/USD") as feed:
        await until(proven(feed, "A/USD"))
        feed.unsubscribe(["A/USD"])
        feed.subscribe(["A/USD"])
        book = feed.book("A/USD")
        assert book is not None
        assert not book.proven
        bench.wire.push(bench.script.update("A/USD", 7))
        await until(proven(feed, "A/USD"))
        assert (feed.progress.resyncs, bench.wire.connects) == (1, 1)


async def test_a_subscribe_call_while_the_task_wakes_is_honoured(bench: Bench) -> None:
    async with bench.feed("A/USD") as feed:
        await until(proven(feed, "A/USD"))
        failures: list[object] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: failures.append(context["exception"]))
        loop.call_soon(lambda: feed.subscribe(["B/USD"]))  # its wait is to end ...
        loop.call_soon(lambda: loop.call_soon(feed.subscribe, ["C/USD"]))  # ... and is ending
        await until(proven(feed, "A/USD", "B/USD", "C/USD"))
        assert failures == []


async def test_a_stalled_journal_disconnects_on_purpose_and_comes_back(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = FeedLimits(journal=JournalLimits(waiting_bytes_max=20_000))
    commit, stuck = JournalWriter.commit, [True]

    def fails(self: JournalWriter, blocks: list[object]) -> None:
        if stuck[0]:
            raise StoreError("the disk does not answer")
        commit(self, blocks)  # type: ignore[arg-type]

    async with bench.feed(limits=limits) as feed:
        events = feed.events(kinds=[Disconnected])
        await until(proven(feed, "A/USD", "B/USD"))
        monkeypatch.setattr(JournalWriter, "commit", fails)
        for qty in range(3, 200):
            bench.wire.push(bench.script.update("A/USD", qty))
        item = await first(events, Disconnected)
        assert item.event == Disconnected("journal_stalled")
        view = feed.book("A/USD")
        assert view is not None
        assert not view.proven
        await asyncio.sleep(0.05)
        assert bench.wire.connects == 1  # not before there is room
        stuck[0] = False
        await until(proven(feed, "A/USD", "B/USD"))
    assert await digest_of(bench.records()) == feed.digest


async def test_snapshots_larger_than_what_may_wait_interrupt_nothing_and_one_at_a_time_waits(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = FeedLimits(snapshot_every_us=50_000, journal=JournalLimits(waiting_bytes_max=16_000))
    commit, stuck = JournalWriter.commit, [False]

    def fails(self: JournalWriter, blocks: list[object]) -> None:
        if stuck[0]:
            raise StoreError("the disk does not answer")
        commit(self, blocks)  # type: ignore[arg-type]

    async def some_updates() -> None:
        for qty in range(20):
            bench.wire.push(bench.script.update("S1/USD", 3 + qty))
            feed.subscribe(["S1/USD"])  # wakes it
            await asyncio.sleep(0.02)  # the loop turns in between, and each turn might write a snapshot

    monkeypatch.setattr(JournalWriter, "commit", fails)
    symbols = [f"S{number}/USD" for number in range(1, 21)]
    async with bench.feed(*symbols, limits=limits) as feed:
        await until(proven(feed, *symbols))
        await some_updates()
        stuck[0] = True
        await until(lambda: feed.stalled)
        first_seq = feed.progress.last.seq
        await some_updates()
        last_seq = feed.progress.last.seq
        stuck[0] = False
        await until(lambda: not feed.stalled)
        async with asyncio.timeout(HANGS_S):
            while sum(record.restart and record.id.seq > last_seq for record in bench.records()) < 2:
                await some_updates()
        assert (bench.wire.connects, proven(feed, *symbols)()) == (1, True)
    snapshots = [record for record in bench.records() if record.restart]
    assert max(len(record.payload) for record in snapshots) > 16_000
    assert sum(first_seq < record.id.seq <= last_seq for record in snapshots) <= 1


async def test_a_feed_whose_disk_is_full_ends_when_it_is_asked_to(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: JournalWriter, blocks: list[object]) -> None:
        raise Full("no room is left on the disk")

    feed = bench.feed(limits=FeedLimits(journal=JournalLimits(waiting_bytes_max=20_000, retry_s_max=0.25)))
    await feed.__aenter__()
    events = feed.events(kinds=[Disconnected])
    await until(proven(feed, "A/USD", "B/USD"))
    monkeypatch.setattr(JournalWriter, "commit", full)
    for qty in range(3, 200):
        bench.wire.push(bench.script.update("A/USD", qty))
    assert (await first(events, Disconnected)).event == Disconnected("journal_stalled")
    feed.subscribe(["C/USD"])  # what else wakes it makes no room
    await asyncio.sleep(0.05)  # time in which it would connect again; that it does not has no sign to wait for
    assert (bench.wire.connects, feed.stalled) == (1, True)
    async with asyncio.timeout(HANGS_S):
        with pytest.raises(Full):
            await feed.close()
    assert feed.progress.state is ConnectionState.CLOSED


async def test_a_journal_that_another_has_taken_over_ends_the_feed(bench: Bench) -> None:
    feed = bench.feed()
    await feed.__aenter__()
    events = feed.events()
    await until(proven(feed, "A/USD"))
    other = JournalWriter(str(bench.path))
    bench.wire.push(bench.script.update("A/USD", 3))
    await asyncio.sleep(0.2)
    bench.wire.push(bench.script.update("A/USD", 4))  # which the journal does not take
    with pytest.raises(Fenced):
        await feed.finished()
    view = feed.book("A/USD")  # nobody follows it any more
    assert view is not None
    assert (view.proven, view.bids, feed.progress.state) == (False, (), ConnectionState.CLOSED)
    with pytest.raises(Fenced):
        await feed.close()
    assert [item async for item in events][-1] is not None  # it ends
    other.close()


async def test_runs_follow_each_other_and_say_how_the_last_one_ended(bench: Bench) -> None:
    for _ in range(2):
        async with bench.feed() as feed:
            await until(proven(feed, "A/USD"))
    crashed = JournalWriter(str(bench.path))
    crashed.close()
    started = [
        control for record in bench.records() if record.kind is Kind.CONTROL
        for control in [decode_control(record.payload)] if isinstance(control, Started)
    ]  # fmt: skip
    assert [(control.previous_us is None, control.clean, len(control.attempts)) for control in started] == [
        (True, True, 0),
        (False, True, 1),
    ]


async def test_snapshots_let_a_reader_begin_in_the_middle(bench: Bench) -> None:
    async with bench.feed(limits=FeedLimits(snapshot_every_us=20_000)) as feed:
        await until(proven(feed, "A/USD", "B/USD"))
        for qty in range(3, 30):
            bench.wire.push(bench.script.update("A/USD", qty, wrong=qty == 20), bench.script.update("B/USD", qty))
            feed.subscribe(["C/USD"])  # wakes the task
            await asyncio.sleep(0.005)
            await until(proven(feed, "A/USD", "B/USD"))
    records = bench.records()
    whole = Core()
    items = [whole.apply(record) for record in records]
    begins = [number for number, record in enumerate(records) if record.restart]
    assert len(begins) > 3
    for begin in begins:
        core, later = Core(), records[begin:]
        assert [core.apply(record) for record in later][1:] == items[begin + 1 :]
        assert core.snapshot() == whole.snapshot()


async def test_a_snapshot_equals_the_core_that_read_from_the_start(bench: Bench) -> None:
    async with bench.feed(limits=FeedLimits(snapshot_every_us=1)) as feed:
        await until(proven(feed, "A/USD", "B/USD"))
        bench.wire.push(bench.script.update("A/USD", 9, wrong=True))
        await until(lambda: feed.progress.resyncs == 1)
        await until(proven(feed, "A/USD"))
    core, compared = Core(), 0
    for record in bench.records():
        if record.kind is Kind.CONTROL and isinstance(control := decode_control(record.payload), CoreSnapshot):
            assert control == core.snapshot()
            compared += 1
        core.apply(record)
    assert compared > 3


async def test_retention_drops_old_records_up_to_a_snapshot(bench: Bench) -> None:
    limits = FeedLimits(snapshot_every_us=20_000)
    async with bench.feed("A/USD", retention=Retention(age_s=0.0), limits=limits) as feed:
        await until(proven(feed, "A/USD"))
        for qty in range(3, 12):
            bench.wire.push(bench.script.update("A/USD", qty))
            feed.subscribe(["C/USD"])
            await asyncio.sleep(0.08)
        await until(lambda: bench.records()[0].id.seq > 1)
    records = bench.records()
    assert records[0].id.seq > 1
    core = Core()
    for record in records:
        core.apply(record)
    assert core.snapshot() == feed._core.snapshot()


async def test_private_channels_need_a_token_that_no_journal_sees(bench: Bench) -> None:
    tokens = iter(["first-secret", "second-secret"])

    async def token() -> str:
        return next(tokens)

    async with bench.feed(channels=("executions",), tokens=token) as feed:
        await until(lambda: feed.progress.state is ConnectionState.LIVE)
        bench.wire.cut()
        await until(lambda: feed.progress.connects == 2 and feed.progress.state is ConnectionState.LIVE)
    assert [one["params"]["token"] for one in bench.script.requests] == ["first-secret", "second-secret"]
    sent = [record.payload for record in bench.records() if record.kind is Kind.OUT]
    assert len(sent) == 2
    assert not any(b"secret" in record.payload for record in bench.records())


async def test_a_token_that_cannot_be_had_is_tried_for_again(bench: Bench) -> None:
    calls = []

    async def token() -> str:
        calls.append(1)
        if len(calls) < 3:
            raise Unreachable("HTTP 502")
        return "secret"

    async with bench.feed(channels=("executions",), tokens=token) as feed:
        await until(lambda: feed.progress.state is ConnectionState.LIVE)
    assert bench.wire.connects == 3


@pytest.mark.parametrize(
    ("symbols", "channels", "options", "told"),
    [
        ((), ("book",), {}, "no symbols"),
        (("A/USD",), (), {}, "no channels"),
        ("BTC/USD", ("book",), {}, "symbols 'BTC/USD' is one text where a list is meant"),
        (("A/USD",), "book", {}, "channels 'book' is one text where a list is meant"),
        (("BTCUSD",), ("book",), {}, "'BTCUSD' is no symbol: give base and quote as BTC/USD"),
        (("A/USD",), ("level3",), {}, "has no channel 'level3'"),
        (("A/USD",), ("spread",), {}, "has no channel 'spread'"),
        (("A/USD",), ("book",), {"depth": 11}, "a book of depth 11"),
        (("A/USD",), ("ohlc",), {"interval": 2}, "candles of 2 minutes"),
        (("A/USD",), ("book",), {"protocol": "v3"}, "protocol 'v3'"),
        (("A/USD",), ("book", "executions"), {}, "two feeds"),
        ((), ("executions",), {}, "need an API key"),
        (("A/USD",), ("book",), {"url": "http://x"}, "must look like"),
    ],
)
def test_impossible_arguments_are_refused_before_anything_is_done(
    symbols: Sequence[str], channels: Sequence[str], options: dict[str, object], told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        Feed(symbols, channels, journal="/nowhere/at/all", **options)  # type: ignore[arg-type]


async def test_book_gives_the_levels_that_can_be_proven_unless_all_are_asked_for(bench: Bench) -> None:
    async with bench.feed("A/USD", depth=25) as feed:
        await until(proven(feed, "A/USD"))
        deeper = [(f"{90 - rank}.0", "1.00000000") for rank in range(15)]
        bench.wire.push(bench.script._message(bench.script.books["A/USD"], "update", deeper, []))
        await until(lambda: (view := feed.book("A/USD", None)) is not None and len(view.bids) == 25)
        top, whole = feed.book("A/USD"), feed.book("A/USD", levels=None)
        assert top is not None
        assert whole is not None
        assert (len(top.bids), top.bids) == (10, whole.bids[:10])
        assert (str(top.best_bid), str(top.best_ask)) == ("99.9 x 1.00000000", "100.1 x 2.00000000")


@pytest.mark.parametrize("policy", ["conflate", "drop_oldest", Policy.CONFLATE])
async def test_policy_given_as_text(bench: Bench, policy: Policy | str) -> None:
    async with bench.feed("A/USD") as feed:
        events = feed.events(policy, kinds=[BookDelta], pending_max=100)
        await until(proven(feed, "A/USD"))
        for qty in range(3, 10):
            bench.wire.push(bench.script.update("A/USD", qty))
        await until(lambda: feed.progress.frames >= 10)
        assert (events.statistics.conflated > 0) is (policy in ("conflate", Policy.CONFLATE))


@pytest.mark.parametrize("policy", ["block", "latest", ""])
async def test_unknown_policy_is_refused(bench: Bench, policy: str) -> None:
    async with bench.feed("A/USD") as feed:
        with pytest.raises(ConfigError, match="choose drop_oldest or conflate"):
            feed.events(policy)


@pytest.mark.parametrize("kinds", [["Trades"], [Trade], [Event], [BookDelta | Trades], "Trades", [[1]], [Trades, None]])
async def test_kinds_that_no_event_is_of_are_refused(bench: Bench, kinds: Iterable[type[Event]]) -> None:
    async with bench.feed("A/USD") as feed:
        for subscribe in (feed.events, feed.batches):
            with pytest.raises(ConfigError, match="is no type of event"):
                subscribe(kinds=kinds)
        await until(proven(feed, "A/USD"))


async def test_levels_below_none_are_refused_and_more_than_any_book_has_are_all(bench: Bench) -> None:
    async with bench.feed("A/USD") as feed:
        await until(proven(feed, "A/USD"))
        with pytest.raises(ValueError, match="-1 levels"):
            feed.book("A/USD", -1)
        assert feed.book("A/USD", 10**30) == feed.book("A/USD", None)


async def test_channels_that_come_over_another_connection_are_refused(bench: Bench) -> None:
    async with bench.feed("A/USD") as feed:
        with pytest.raises(ConfigError, match="two connections"):
            feed.subscribe(["A/USD"], ["executions"])
        await until(proven(feed, "A/USD"))
    assert all(request["params"]["channel"] == "book" for request in bench.script.requests)


async def test_a_feed_is_entered_once_and_may_be_closed_again(bench: Bench) -> None:
    async with bench.feed("A/USD") as feed:
        await until(proven(feed, "A/USD"))
        with pytest.raises(RuntimeError, match="entered before"):
            await feed.__aenter__()
        await asyncio.gather(feed.close(), feed.close())
        assert feed.progress.state is ConnectionState.CLOSED
    with pytest.raises(RuntimeError, match="entered before"):
        await feed.__aenter__()
    await feed.close()


def test_a_feed_is_left_in_the_event_loop_in_which_it_was_entered(bench: Bench) -> None:
    feed, entered_in = bench.feed(), asyncio.new_event_loop()
    entered_in.run_until_complete(feed.__aenter__())
    for use in (feed.close, feed.finished, lambda: feed.wait_durable(EventId(1, 1))):
        with pytest.raises(RuntimeError, match="was entered in another event loop"):
            asyncio.run(use())
    entered_in.run_until_complete(feed.close())
    entered_in.close()
    assert ended_in_order(bench.records()[-1].payload)


def test_a_feed_whose_event_loop_has_ended_says_so(bench: Bench) -> None:
    feed = bench.feed()
    asyncio.run(feed.__aenter__())  # which cancels what still runs in the end
    with pytest.raises(RuntimeError, match="was entered in another event loop"):
        asyncio.run(feed.close())


async def test_a_batch_can_be_pickled_copied_and_indexed(bench: Bench) -> None:
    async with bench.feed("A/USD") as feed:
        batches = feed.batches()
        await until(proven(feed, "A/USD"))
        bench.wire.push(*[bench.script.update("A/USD", qty) for qty in range(3, 60)])
        await until(lambda: batches.statistics.pending > 50)
        batch = await anext(batches)
    assert isinstance(batch, EventBatch)
    assert pickle.loads(pickle.dumps(batch)) == copy.deepcopy(batch) == batch
    items = [*batch]
    assert [batch[place] for place in range(-len(items), len(items))] == items * 2
    for beyond in (len(items), -len(items) - 1):
        with pytest.raises(IndexError):
            batch[beyond]


async def test_consumer_that_is_behind_lets_the_feed_run_and_is_told_what_it_missed(bench: Bench) -> None:
    async with bench.feed("A/USD") as feed:
        events = feed.events(pending_max=200)
        await until(proven(feed, "A/USD"))
        for qty in range(200):
            bench.wire.push(bench.script.update("A/USD", 3 + qty % 7))
        await until(lambda: events.statistics.pending == 200)
        before, missed, read = feed.progress.frames, 0, 0
        while read < 150:  # it never waits for anything but the next event
            begun = asyncio.get_running_loop().time()
            while asyncio.get_running_loop().time() < begun + 0.002:
                pass  # it computes
            bench.wire.push(*[bench.script.update("A/USD", 3 + read % 7) for _ in range(10)])
            item = await anext(events)
            missed += item.missed if isinstance(item, Lagged) else 0
            read += 1
        assert feed.progress.frames > before + 500
        assert missed > 0


async def test_batches_have_what_events_have_with_the_same_bounds_kinds_and_policies(bench: Bench) -> None:
    async with bench.feed("A/USD") as feed:
        one_by_one, together = feed.events(kinds=[BookDelta]), feed.batches(kinds=[BookDelta])
        latest, slow, gone = feed.batches("conflate", kinds=[BookDelta]), feed.batches(pending_max=3), feed.batches()
        await until(proven(feed, "A/USD"))
        for _ in range(3):  # whoever waits and is cancelled loses nothing
            waiting = asyncio.create_task(anext(together))
            await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        for qty in range(3, 60):
            bench.wire.push(bench.script.update("A/USD", qty))
        gone.close()
        await until(lambda: one_by_one.statistics.pending == 57)
        with pytest.raises(ConfigError, match="choose drop_oldest or conflate"):
            feed.batches("newest")
    items = [item async for item in one_by_one if isinstance(item, Item)]
    batches = [batch async for batch in together if isinstance(batch, EventBatch)]
    assert len(items) == 57
    assert [(item.id, item.event) for batch in batches for item in batch] == [(item.id, item.event) for item in items]
    (last,) = [batch async for batch in latest if isinstance(batch, EventBatch)]
    assert last.events == (items[-1].event,)
    lagged, kept = [given async for given in slow]
    assert isinstance(lagged, Lagged)
    assert isinstance(kept, EventBatch)
    assert (len(kept), slow.statistics.dropped) == (3, lagged.missed)


async def test_consumer_that_holds_the_event_loop_is_logged(bench: Bench) -> None:
    limits = FeedLimits(loop_watch=LoopWatchLimits(check_s=0.01, late_s=0.05))
    with capture_logs() as logs:
        async with bench.feed("A/USD", limits=limits) as feed:
            feed.events()
            await until(proven(feed, "A/USD"))
            book_before = asyncio.get_running_loop().time() + 0.2
            while asyncio.get_running_loop().time() < book_before:
                pass
            # a machine that stood still may have been told before, and of one minute the first is
            await until(lambda: feed._metrics.totals.loop_held_s >= 0.1)
    (told,) = [entry for entry in logs if entry["event"] == "loop_held"]
    assert told["consumers"] == 1
    assert told["seconds"] >= 0.1


@pytest.mark.parametrize(("protocol", "channel"), [("v1", "ownTrades"), ("v2", "executions")])
@pytest.mark.parametrize(("away_s", "doubted"), [(20, False), (400, True)])
async def test_own_fills_of_an_outage_come_with_the_snapshot_or_are_doubted(
    tmp_path: Path, protocol: str, channel: str, away_s: int, doubted: bool
) -> None:
    exchange = SimExchange(seed=3)
    feed = Feed(
        [],
        [channel],
        journal=str(tmp_path / "journal"),
        protocol=protocol,
        url=f"ws://ws-auth.exchange/{'v2' if protocol == 'v2' else ''}",
        tokens=lambda: asyncio.sleep(0, token_of(exchange, nonce=str(exchange.now_us))["result"]["token"]),
        transport=ExchangeWire(exchange),
    )
    heard: dict[str, None] = {}
    with capture_logs() as logs:
        async with feed:
            events = feed.events(kinds=[Executions])
            await until(lambda: feed.progress.held == 1)
            for _ in range(30):
                exchange.advance(1_000_000)
                await asyncio.sleep(0)
            exchange.act(Disconnect())
            for _ in range(away_s // 20):
                exchange.advance(20_000_000)
            await until(lambda: feed.progress.connects == 2 and feed.progress.held == 1)
        async for item in events:
            if isinstance(item, Item) and isinstance(item.event, Executions):
                heard.update(dict.fromkeys([trade.exec_id for trade in item.event.trades]))
    true = [fill.exec_id for fill in exchange.account.fills]
    told = [entry for entry in logs if entry["event"] == "fills_may_be_missing"]
    assert ([*heard] == true, bool(told)) == (not doubted, doubted)


async def test_a_feed_that_follows_other_symbols_leaves_no_channel_that_has_none(bench: Bench) -> None:
    async with bench.feed("A/USD", "B/USD", channels=("book", "instrument")) as feed:
        await until(lambda: feed.progress.subscriptions == 3 and proven(feed, "A/USD", "B/USD")())
        feed.follow(["A/USD"])
        await until(lambda: feed.progress.subscriptions == 2)
        feed.unsubscribe(["A/USD"])
        await until(lambda: feed.progress.subscriptions == 1)
        feed.unsubscribe([], ["instrument"])
        await until(lambda: feed.progress.subscriptions == 0)


async def test_a_feed_follows_on_its_channels_whatever_a_symbol_was_followed_on_besides(bench: Bench) -> None:
    async with bench.feed("A/USD") as feed:
        await until(proven(feed, "A/USD"))
        feed.subscribe(["C/USD"], ["trade"])
        await until(lambda: feed.progress.held == 2)
        assert feed.follow(["A/USD", "C/USD"]) == (("C/USD",), ())
        await until(proven(feed, "A/USD", "C/USD"))
        assert feed.follow(["A/USD"]) == ((), ("C/USD",))
        await until(lambda: feed.progress.subscriptions == 1)


async def test_a_feed_follows_other_symbols_and_those_that_stay_notice_nothing(bench: Bench) -> None:
    async with bench.feed("A/USD", "B/USD") as feed:
        await until(proven(feed, "A/USD", "B/USD"))
        bench.script.requests.clear()
        assert feed.follow(["b-usd", "C/USD"]) == (("C/USD",), ("A/USD",))
        await until(proven(feed, "B/USD", "C/USD"))
        await until(lambda: feed.progress.subscriptions == 2)
        asked = sorted([(one["method"], one["params"]["symbol"]) for one in bench.script.requests])
        assert asked == [("subscribe", ["C/USD"]), ("unsubscribe", ["A/USD"])]
        assert (feed.progress.connects, feed.progress.resyncs) == (1, 0)
        assert feed.follow(["B/USD", "C/USD"]) == ((), ())
        with pytest.raises(ConfigError, match="no symbols"):
            feed.follow([])
        with pytest.raises(ConfigError, match="is no symbol"):
            feed.follow(["nonsense"])
        assert feed.progress.subscriptions == 2


@pytest.mark.parametrize("protocol", ["v1", "v2"])
async def test_markets_are_named_in_one_form_whoever_writes_them(tmp_path: Path, protocol: str) -> None:
    exchange = SimExchange(rate=200, pairs=[PAIRS["BTC/USD"], PAIRS["DOGE/USD"]])
    wire = ExchangeWire(exchange)
    feed = Feed(
        ["xbt-usd", "XDG/USD", "DOGE/USD"],
        journal=str(tmp_path / "journal"),
        protocol=protocol,
        url=f"ws://exchange/{'v2' if protocol == 'v2' else ''}",
        transport=wire,
    )
    async with feed:
        await until(lambda: feed.progress.state is ConnectionState.LIVE)
        assert (feed.progress.subscriptions, feed.progress.held) == (2, 2)
        exchange.advance(2_000_000)
        await until(proven(feed, "BTC/USD", "DOGE/USD"))
        view = feed.book("xbt_usd")
        assert view is not None
        assert view.symbol == "BTC/USD"
        with pytest.raises(ConfigError, match="one text where a list is meant"):
            feed.subscribe("ETH/USD")
        with pytest.raises(ConfigError, match="one text where a list is meant"):
            feed.subscribe(["ETH/USD"], "book")
        feed.unsubscribe(["XDG-USD"])
        await until(lambda: feed.progress.subscriptions == 1)


async def test_a_symbol_that_is_never_acknowledged_costs_the_others_nothing(bench: Bench) -> None:
    exchange = SimExchange(rate=200)
    exchange.act(List("ETH/USD", "ignored"))
    feed = Feed(
        ["BTC/USD", "ETH/USD"],
        journal=str(bench.path),
        url="ws://exchange/v2",
        transport=ExchangeWire(exchange),
        limits=session_limits(ack_us=20_000),
    )
    async with feed:
        await until(
            lambda: (
                max(one.ack_timeouts for one in feed._core.session.session_state.subscriptions)
                > LIMITS.ack_timeouts_max
            )
        )
        exchange.advance(1_000_000)
        await until(proven(feed, "BTC/USD"))
        assert feed.progress.connects == 1


async def test_what_was_received_when_a_feed_is_closed_is_journaled(bench: Bench) -> None:
    frames = 600  # more than one turn has
    async with bench.feed("A/USD") as feed:
        await until(proven(feed, "A/USD"))
        before = feed.progress.frames
        bench.wire.push(*[bench.script.update("A/USD", 3 + qty % 7) for qty in range(frames)])
    assert feed.progress.frames == before + frames
    assert sum(record.kind is Kind.IN for record in bench.records()) == before + frames
    assert await digest_of(bench.records()) == feed.digest


async def test_what_came_with_the_refusal_of_a_token_is_journaled_before_the_connection_is_given_up(
    bench: Bench,
) -> None:
    async def token() -> str:
        return "secret"

    def fill(sequence: int) -> bytes:
        return (
            b'{"channel":"executions","type":"update","sequence":%d,"data":[{"order_id":"O","exec_type":"trade",'
            b'"exec_id":"T%d","symbol":"A/USD","side":"buy","last_price":1.0,"last_qty":1.0,'
            b'"timestamp":"2023-09-25T07:49:37.708706Z"}]}'
        ) % (sequence, sequence)

    bench.script.deaf = True
    async with bench.feed(channels=("executions",), tokens=token) as feed:
        events = feed.events(kinds=[Executions])
        await until(lambda: bench.script.has_unanswered)
        asked = bench.script.requests[-1]["req_id"]
        refusal = b'{"method":"subscribe","success":false,"error":"EAPI:Invalid session","req_id":%d}' % asked
        bench.wire.push(refusal, *map(fill, range(2, 302)))  # more than one turn has
        await until(lambda: bench.wire.connects == 2)
    told = [item.event.trades[0].exec_id async for item in events if isinstance(item, Item)]  # type: ignore[union-attr]
    assert told == [f"T{sequence}" for sequence in range(2, 302)]


async def test_consumers_of_durable_events_get_all_that_a_feed_commits_at_its_end(bench: Bench) -> None:
    async with bench.feed("A/USD") as feed:
        at_once, patient = feed.events(), feed.events(durable_only=True)
        await until(proven(feed, "A/USD"))
        bench.wire.push(*[bench.script.update("A/USD", 3 + qty % 7) for qty in range(600)])
    told = [item.id async for item in at_once if isinstance(item, Item)]
    assert [item.id async for item in patient if isinstance(item, Item)] == told


async def test_feed_closes_while_it_connects(bench: Bench) -> None:
    async def never(url: str, *, timeout_s: float) -> None:
        await asyncio.Event().wait()

    bench.wire.connect = never  # type: ignore[method-assign, assignment]
    async with asyncio.timeout(HANGS_S), bench.feed() as feed:
        await until(lambda: feed.progress.state is ConnectionState.CONNECTING)
    assert feed.progress.state is ConnectionState.CLOSED


async def test_what_is_wanted_while_it_connects_gives_up_no_connection(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect, may_open = bench.wire.connect, asyncio.Event()

    async def slow(url: str, *, timeout_s: float) -> object:
        socket = await connect(url, timeout_s=timeout_s)
        await may_open.wait()
        return socket

    monkeypatch.setattr(bench.wire, "connect", slow)
    async with bench.feed("A/USD") as feed:
        await until(lambda: feed.progress.state is ConnectionState.CONNECTING)
        feed.subscribe(["B/USD", "C/USD"])
        feed.unsubscribe(["C/USD"])
        await asyncio.sleep(0.01)  # in which the connection must not be given up: nothing shows that it is not
        may_open.set()
        await until(proven(feed, "A/USD", "B/USD"))
        assert bench.wire.connects == 1


async def test_feed_closes_while_it_waits_for_a_token(bench: Bench) -> None:
    async def never() -> str:
        return await asyncio.Future()

    async with bench.feed(channels=("executions",), tokens=never) as feed:
        await until(lambda: feed.progress.state is ConnectionState.AUTHENTICATING)
        before_s = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - before_s < FeedLimits().token_s / 2
    controls = [decode_control(record.payload) for record in bench.records() if record.kind is Kind.CONTROL]
    assert [one.reason for one in controls if isinstance(one, Disconnected)] == ["closing"]
    assert feed.progress.state is ConnectionState.CLOSED


async def test_feed_over_a_real_socket(tmp_path: Path) -> None:
    script = Script()
    path = tmp_path / "journal"
    async with (
        serve(script) as server,
        Feed(["A/USD"], ["book", "trade"], journal=str(path), url=server.url, digest=True) as feed,
    ):
        events = feed.events(pending_max=100_000)
        await until(proven(feed, "A/USD"))
        frames = [frame for qty in range(3, 503) for frame in (script.update("A/USD", qty), script.trade("A/USD"))]
        server.push(*frames)
        last = ((999, 502 * 10**8),)
        await until(lambda: (view := feed.book("A/USD", 1)) is not None and (view.proven, view.bids) == (True, last))
        assert feed.progress.frames >= 1000
        assert server.transport is not None
        server.transport.disconnect()
        await first(events, Disconnected)
        await until(proven(feed, "A/USD"))
        server.push(script.update("A/USD", 2), b"{")
        await first(events, Malformed)
        server.push(b"x" * (WebSocketLimits().message_bytes_max + 1))
        await first(events, Disconnected)
        await until(proven(feed, "A/USD"))
    seen = [item.event async for item in events if isinstance(item, Item)]
    assert not any(isinstance(event, Trades) for event in seen)
    reader = JournalReader(str(path))
    assert await digest_of(list(reader.records())) == feed.digest
    reader.close()


async def test_feed_that_was_not_entered_says_so(bench: Bench) -> None:
    feed = bench.feed("A/USD")
    assert feed.progress.state is ConnectionState.DISCONNECTED
    with pytest.raises(RuntimeError, match="was not entered"):
        feed.subscribe(["B/USD"])
    with pytest.raises(RuntimeError, match="was not entered"):
        await feed.finished()
