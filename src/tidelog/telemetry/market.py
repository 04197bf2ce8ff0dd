"""What a recording counts. The feed and the loader count in plain numbers; metrics are made of them at scrapes.

A frame costs one addition in here, and at most once a millisecond a look at the clock.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping

from msgspec import Struct
from prometheus_client import Gauge
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tidelog.telemetry.distribution import Distribution, counter, gauge, histogram
from tidelog.telemetry.exposition import new_registry

LATENCY_EVERY_US = 1_000  # at most one frame a millisecond is timed: a thousand a second tell any quantile
LATENCY_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
HANDLING_BUCKETS_S = (5e-06, 1e-05, 2.5e-05, 5e-05, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.01, 0.1, 1)
EXCHANGE_STATUSES = ("online", "maintenance", "cancel_only", "post_only", "limit_only", "other")
COMMIT_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60)


class FeedReading(Struct, frozen=True):
    """A feed as it is at a scrape."""

    state: str
    states: tuple[str, ...]  # that there are
    wanted: int  # subscriptions
    held: int
    books: tuple[str, ...]  # symbols whose books are followed
    unproven: int  # of the books
    refused: int  # subscriptions that the exchange has refused, and not granted since
    status: str | None  # the exchange's state: one of EXCHANGE_STATUSES; None: it has not said it
    frames: Mapping[str, int]  # by channel
    malformed: int
    connects: int
    subscribers: int
    lag: int  # of the subscriber that is furthest behind
    pending: int  # of all subscribers
    dropped: int
    conflated: int
    journal_bytes: int | None  # on the disk; None while it is not there
    pending_bytes: int  # handed over and not committed
    unsynced: int  # records
    stalled: bool  # the journal takes no frame, or cannot commit
    committed_bytes: int  # of the journal, in this run, unpacked
    commits: Distribution  # of the journal
    durable_us: int  # time of the last record that is committed, 0: none yet


class MarketMetrics(Collector):
    """The metrics of one process that records an exchange."""

    def __init__(self) -> None:
        self.registry = new_registry()
        self.feed: Callable[[], FeedReading] | None = None  # asked at scrapes
        self.mismatches: defaultdict[str, int] = defaultdict(int)  # by symbol
        self.resyncs: defaultdict[str, int] = defaultdict(int)  # by channel
        self.reconnects: defaultdict[str, int] = defaultdict(int)  # by reason, of a fixed set
        self.refusals: defaultdict[str, int] = defaultdict(int)  # of requests, by channel
        self.refused: defaultdict[str, int] = defaultdict(int)  # connections that could not be had, likewise
        self.journal_stalls = 0
        self.loop_held_s = 0.0  # for which something in the process kept the feed from running
        self.latency = Distribution(LATENCY_BUCKETS_S)
        self.handling = Distribution(HANDLING_BUCKETS_S)
        self.loader_commits = Distribution(COMMIT_BUCKETS_S)
        self.loaded: defaultdict[str, int] = defaultdict(int)  # rows by table
        self.gaps = 0
        self.core_faults = 0  # of the compiled core, at a frame that came or a record that was loaded
        self.loaded_us: int | None = None  # time of the last entry in the store; None: nothing was loaded yet
        self.store_size = Gauge(
            "tidelog_store_size_bytes", "Size of the whole store on its disk.", registry=self.registry
        )
        self.registry.register(self)

    @property
    def loader_lag_s(self) -> float | None:
        """How far the store is behind the journal, by the times of their last records; None: not known yet."""
        if self.loaded_us is None or self.feed is None:
            return None
        return max(0.0, (self.feed().durable_us - self.loaded_us) / 1e6)

    def collect(self) -> Iterator[Metric]:
        reading = None if self.feed is None else self.feed()
        if reading is not None:
            yield from _of_feed(reading)
        mismatches = dict.fromkeys(() if reading is None else reading.books, 0) | self.mismatches
        yield counter("tidelog_market_checksum_mismatches", "Books that differed.", mismatches, "symbol")
        yield counter("tidelog_market_resyncs", "Subscriptions given up and asked for again.", self.resyncs, "channel")
        yield counter(
            "tidelog_market_reconnects", "Connections that ended against our will.", self.reconnects, "reason"
        )
        yield counter("tidelog_market_refusals", "Requests that the exchange refused.", self.refusals, "channel")
        yield counter("tidelog_market_connects_refused", "Connections that could not be had.", self.refused, "reason")
        yield histogram(
            "tidelog_market_event_latency_seconds",
            "From the exchange's time stamp to receipt, by both clocks; at most one frame a millisecond.",
            self.latency,
        )
        yield histogram(
            "tidelog_market_event_handling_seconds",
            "From receipt to publication: journal hand-off, parsing, book, checksum; at most one frame a millisecond.",
            self.handling,
        )
        yield _total("tidelog_market_journal_stalls", "Times that the journal took no more.", self.journal_stalls)
        yield _total(
            "tidelog_market_loop_held_seconds",
            "Time for which something in the process blocked its event loop, beyond half a second at once.",
            self.loop_held_s,
        )
        yield from self._of_loader()

    def _of_loader(self) -> Iterator[Metric]:
        yield counter("tidelog_market_loader_rows", "Rows committed to the store.", self.loaded, "table")
        yield _total("tidelog_market_gaps_opened", "Gaps that were found and stored.", self.gaps)
        yield _total("tidelog_market_core_faults", "Records at which the compiled core failed.", self.core_faults)
        yield histogram("tidelog_market_loader_commit_seconds", "Duration of loads.", self.loader_commits)
        yield gauge("tidelog_market_loader_lag_seconds", "How far the store is behind the journal.", self.loader_lag_s)


def _total(name: str, documentation: str, count: float) -> Metric:
    family = Metric(name, documentation, "counter")
    family.add_sample(f"{name}_total", {}, count)
    return family


def _of_feed(reading: FeedReading) -> Iterator[Metric]:
    states = GaugeMetricFamily("tidelog_market_connection_state", "1 for the state that it is in.", labels=["state"])
    for state in reading.states:
        states.add_metric([state], state == reading.state)
    yield states
    status_metric = GaugeMetricFamily(
        "tidelog_market_exchange_status", "1 for the state that it says.", labels=["status"]
    )
    for status in EXCHANGE_STATUSES:
        status_metric.add_metric([status], status == reading.status)
    yield status_metric
    yield _total("tidelog_market_connects", "Connections made.", reading.connects)
    yield _total("tidelog_market_malformed_frames", "Frames that could not be read.", reading.malformed)
    yield counter("tidelog_market_frames", "Frames received, by what they are about.", reading.frames, "channel")
    for name, documentation, value in (
        ("subscriptions_wanted", "Subscriptions that are wanted.", reading.wanted),
        ("subscriptions_held", "Of those, acknowledged and not suspect.", reading.held),
        ("subscriptions_refused", "Of those, refused by the exchange.", reading.refused),
        ("books", "Books that are followed.", len(reading.books)),
        ("books_unproven", "Books whose top 10 do not equal the exchange's, as far as known.", reading.unproven),
        ("subscribers", "Consumers in the process.", reading.subscribers),
        ("subscriber_lag_events", "Events that the slowest consumer is behind.", reading.lag),
        ("subscriber_pending_events", "Events that wait for consumers, of all together.", reading.pending),
        ("journal_size_bytes", "Size of the journal on its disk.", reading.journal_bytes),
        ("journal_pending_bytes", "Bytes that wait for the journal's disk.", reading.pending_bytes),
        ("journal_unsynced_frames", "Records that a power cut would lose.", reading.unsynced),
        ("journal_stalled", "1 while the journal takes no frame, or cannot commit.", reading.stalled),
    ):
        yield gauge(f"tidelog_market_{name}", documentation, value)
    yield _total(
        "tidelog_market_subscriber_dropped_events", "Events that consumers were too slow for.", reading.dropped
    )
    yield _total("tidelog_market_subscriber_conflated_events", "Events replaced by newer ones.", reading.conflated)
    yield _total("tidelog_market_journal_written_bytes", "Bytes committed, before packing.", reading.committed_bytes)
    yield histogram("tidelog_market_journal_commit_seconds", "Duration of the journal's commits.", reading.commits)
