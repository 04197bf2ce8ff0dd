"""What a feed and a loader tell Prometheus, through everything that a feed goes through."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from tests.market.exchange import Script, Wire, until
from tests.market.loader_child import given, journal
from tidelog.errors import StoreError, Throttled, Unreachable
from tidelog.market.events import EventId, Heartbeat, Trades
from tidelog.market.journal.file import JournalWriter
from tidelog.market.journal.writer import JournalLimits
from tidelog.market.kraken.limits import LIMITS as KRAKEN_LIMITS
from tidelog.market.live.fanout import FanOut, Policy
from tidelog.market.live.feed import Feed
from tidelog.market.live.limits import LIMITS, FeedLimits
from tidelog.market.load.loader import Loader
from tidelog.runtime import SystemRuntime
from tidelog.store import open_store
from tidelog.telemetry import MarketMetrics


class Bench:
    """A feed on a wire to a script, and its metrics."""

    def __init__(self, folder: Path) -> None:
        self.script = Script()
        self.wire = Wire(self.script)
        self.metrics = MarketMetrics()
        self.path = folder / "journal"

    def feed(self, limits: FeedLimits = LIMITS) -> Feed:
        return Feed(
            ["A/USD", "B/USD"],
            ["book", "trade"],
            journal=str(self.path),
            transport=self.wire,
            metrics=self.metrics,
            limits=limits,
        )

    def value(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"tidelog_market_{name}", labels)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


async def test_a_feed_tells_how_it_is(bench: Bench) -> None:
    assert bench.value("books") is None  # before there is a feed
    async with bench.feed() as feed:
        await until(lambda: feed.progress.held == 4 and not feed.unproven)
        for qty in range(2, 12):
            bench.wire.push(bench.script.update("A/USD", qty), bench.script.trade("B/USD"))
        await until(lambda: bench.value("frames_total", channel="trade") == 10)
        await feed.wait_durable(feed.progress.last)
        told = {
            name: bench.value(name)
            for name in ("subscriptions_wanted", "subscriptions_held", "books", "books_unproven", "connects_total")
        }
        assert told == {
            "subscriptions_wanted": 4,
            "subscriptions_held": 4,
            "books": 2,
            "books_unproven": 0,
            "connects_total": 1,
        }
        assert bench.value("connection_state", state="live") == 1
        assert bench.value("connection_state", state="connecting") == 0
        assert (bench.value("frames_total", channel="book"), bench.value("frames_total", channel="trade")) == (12, 10)
        assert bench.value("checksum_mismatches_total", symbol="A/USD") == 0
        assert bench.value("journal_unsynced_frames") == 0
        assert bench.value("journal_pending_bytes") == 0
        for name in ("journal_size_bytes", "journal_written_bytes_total", "journal_commit_seconds_count"):
            assert (bench.value(name) or 0) > 0, name
        assert (bench.value("event_handling_seconds_count") or 0) > 0
    assert bench.value("connection_state", state="closed") == 1


async def test_latency_is_from_the_exchanges_stamp_where_there_is_one(bench: Bench) -> None:
    async with bench.feed() as feed:
        await until(lambda: feed.progress.held == 4)
        before = bench.value("event_latency_seconds_count")
        await asyncio.sleep(0.002)  # beyond what is timed at most
        bench.wire.push(bench.script.trade("B/USD"))  # of the year 2023
        await until(lambda: bench.value("event_latency_seconds_count") != before)
        assert (bench.value("event_latency_seconds_sum") or 0) > 1e7
        assert bench.value("event_latency_seconds_bucket", le="30.0") == 0


async def test_refused_connections_are_counted_by_reason(bench: Bench) -> None:
    bench.wire.refusals = [Throttled("429"), Unreachable("no WebSocket")]
    session = msgspec.structs.replace(KRAKEN_LIMITS, outage_first_us=10_000)
    async with bench.feed(FeedLimits(throttled_s=0.01, throttled_s_min=0.01, session=session)) as feed:
        await until(lambda: feed.progress.held == 4)
    assert bench.value("connects_refused_total", reason="throttled") == 1
    assert bench.value("connects_refused_total", reason="unreachable") == 1
    assert bench.value("connects_total") == 1


async def test_errors_of_a_feed_are_counted(bench: Bench) -> None:
    async with bench.feed() as feed:
        await until(lambda: feed.progress.held == 4)
        bench.wire.push(bench.script.update("B/USD", 5, wrong=True), b"{", b"[")
        await until(lambda: feed.progress.malformed == 2)
        await until(lambda: bench.value("resyncs_total", channel="book") == 1)
        bench.wire.cut()
        await until(lambda: feed.progress.connects == 2 and feed.progress.held == 4)
        bench.wire.cut("an exchange may say anything here")
        await until(lambda: feed.progress.connects == 3)
    assert bench.value("checksum_mismatches_total", symbol="B/USD") == 1
    assert bench.value("malformed_frames_total") == 2
    assert bench.value("frames_total", channel="malformed") == 2
    assert bench.value("reconnects_total", reason="lost") == 1
    assert bench.value("reconnects_total", reason="other") == 1
    assert sum(bench.metrics.reconnects.values()) == 2, "to close is no reconnect"


async def test_stalled_journal_shows_in_metrics(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = FeedLimits(journal=JournalLimits(waiting_bytes_max=20_000))
    commit, stuck = JournalWriter.commit, [True]

    def fails(self: JournalWriter, blocks: list[object]) -> None:
        if stuck[0]:
            raise StoreError("the disk does not answer")
        commit(self, blocks)  # type: ignore[arg-type]

    async with bench.feed(limits) as feed:
        await until(lambda: feed.progress.held == 4)
        assert bench.value("journal_stalled") == 0
        monkeypatch.setattr(JournalWriter, "commit", fails)
        for qty in range(3, 200):
            bench.wire.push(bench.script.update("A/USD", qty))
        await until(lambda: bench.value("journal_stalls_total") == 1)
        assert bench.value("journal_stalled") == 1
        assert bench.value("reconnects_total", reason="journal_stalled") == 1
        assert (bench.value("journal_pending_bytes") or 0) > 10_000
        assert (bench.value("journal_unsynced_frames") or 0) > 10
        stuck[0] = False
        await until(lambda: bench.value("journal_stalled") == 0)


async def test_metrics_of_consumers_include_those_that_left(bench: Bench) -> None:
    fanout = FanOut()
    slow, latest = fanout.subscribe(pending_max=2), fanout.subscribe(Policy.CONFLATE)
    for seq in range(1, 6):
        fanout.publish(EventId(1, seq), Heartbeat())
    found = fanout.statistics
    assert (fanout.subscribers, found.pending, found.dropped, found.conflated, found.lag) == (2, 3, 3, 4, 5)
    slow.close()
    slow.close()
    latest.close()
    found = fanout.statistics
    assert (fanout.subscribers, found.pending, found.dropped, found.conflated, found.lag) == (0, 0, 3, 4, 0)
    fanout.subscribe()
    fanout.publish(EventId(1, 6), Trades(()))
    assert (fanout.statistics.dropped, fanout.statistics.lag) == (3, 1)


async def test_a_loader_tells_rows_gaps_and_how_far_it_is(tmp_path: Path) -> None:
    metrics = MarketMetrics()
    value = metrics.registry.get_sample_value
    store = await open_store(f"sqlite:///{tmp_path}/m.db", SystemRuntime())
    try:
        entries = journal(1, 200)
        loader = await Loader.open(store, SystemRuntime(), "test", metrics=metrics)
        before = metrics.loaded_us
        await loader.run(given(entries))
        assert (before, metrics.loaded_us) == (None, entries[-1].at_us)
        assert (value("tidelog_market_loader_rows_total", {"table": "trades"}) or 0) > 0
        assert (value("tidelog_market_loader_commit_seconds_count") or 0) > 0
        again = MarketMetrics()
        await Loader.open(store, SystemRuntime(), "test", metrics=again)
        assert again.loaded_us is not None, "where it stands is known at once"
    finally:
        await store.close()


async def test_a_frame_is_timed_at_most_once_a_millisecond(bench: Bench) -> None:
    async with bench.feed() as feed:
        await until(lambda: feed.progress.held == 4)
        before = bench.value("event_handling_seconds_count") or 0
        first_us = feed.now_us
        bench.wire.push(*[b'{"channel":"heartbeat"}'] * 2_000)
        await until(lambda: bench.value("frames_total", channel="heartbeat") == 2_000)
        spent_ms = (feed.now_us - first_us) / 1_000
        timed = (bench.value("event_handling_seconds_count") or 0) - before
        assert 1 <= timed <= spent_ms + 1
