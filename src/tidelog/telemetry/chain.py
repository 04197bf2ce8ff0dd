"""What a chain source counts: its range, its reorgs, its proofs, its endpoints, its commits."""

from collections.abc import Callable, Iterable, Iterator

from msgspec import Struct
from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tidelog.telemetry.exposition import new_registry

REQUEST_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)  # up to the time-out of a request
COMMIT_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600)  # ... patience
DEPTH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 1024)


class EndpointReading(Struct, frozen=True):
    """The state of an endpoint in the pool."""

    name: str  # redacted
    identified: bool  # it has named the right chain
    benched: bool
    put_aside: bool  # it did not answer in time
    quarantined: bool
    strikes: int
    in_flight: int
    in_flight_max: int
    calls_per_s: float  # that it has served of late
    calls_per_s_max: float  # that it may be asked; infinite where no limit is known
    request_calls_max: int


class ChainMetrics(Collector):
    """The metrics of one process that syncs a chain."""

    def __init__(self) -> None:
        self.registry = new_registry()
        self.endpoints: Callable[[], Iterable[EndpointReading]] = tuple  # asked at scrapes; the pool answers
        self._count_chain()
        self._count_proofs()
        self._count_requests()
        self.store_size = Gauge(
            "tidelog_store_size_bytes", "Size of the whole store on its disk.", registry=self.registry
        )
        self.registry.register(self)

    def _count_chain(self) -> None:
        chain = ["chain"]
        self.head = self._gauge("head_block", "Highest block that the endpoints report.")
        self.indexed = self._gauge("indexed_block", "Highest block stored.")
        self.finalized = self._gauge("finalized_block", "Highest block stored as final.")
        self.behind = self._gauge("blocks_behind", "Blocks missing up to where it may go.")
        self.stalled = self._gauge("head_stalled", "1 while the head has not moved for too long.")
        self.head_seen = self._gauge("head_seen_timestamp_seconds", "When an endpoint last reported a head, Unix time.")
        self.blocks = Counter("tidelog_chain_blocks", "Blocks committed.", chain, registry=self.registry)
        self.rows = Counter("tidelog_chain_rows", "Rows committed.", [*chain, "table"], registry=self.registry)
        self.commit_seconds = Histogram(
            "tidelog_chain_commit_seconds",
            "Duration of commits, waiting for a busy database included.",
            chain,
            buckets=COMMIT_BUCKETS_S,
            registry=self.registry,
        )
        self.reorgs = Counter("tidelog_chain_reorgs", "Reorganisations committed.", chain, registry=self.registry)
        self.reorg_depth = Histogram(
            "tidelog_chain_reorg_depth_blocks",
            "Blocks dropped by a reorganisation.",
            chain,
            buckets=DEPTH_BUCKETS,
            registry=self.registry,
        )

    def _count_proofs(self) -> None:
        self.proof_failures = Counter(
            "tidelog_chain_proof_failures",
            "Blocks refused because a check differed.",
            ["check", "endpoint"],
            registry=self.registry,
        )
        self.oddities = Counter(
            "tidelog_chain_answer_oddities",
            "Answers that were odd in some way and read all the same; a block's answers count once.",
            ["kind", "endpoint"],
            registry=self.registry,
        )
        self.core_blocks = Counter(
            "tidelog_chain_core_blocks",
            "Blocks that the compiled core was given: taken, or left to Python for a reason.",
            ["outcome"],
            registry=self.registry,
        )
        self.lowered = Counter(
            "tidelog_chain_checks_not_computable",
            "Checks that could not be computed, by check.",
            ["chain", "check"],
            registry=self.registry,
        )

    def _count_requests(self) -> None:
        labels = ["method", "endpoint", "outcome"]
        self.requests = Counter(
            "tidelog_rpc_requests", "JSON-RPC calls; a batch counts each of its own.", labels, registry=self.registry
        )
        self.request_seconds = Histogram(
            "tidelog_rpc_request_seconds",
            "Duration of HTTP requests, once for each method that a request has calls of.",
            labels,
            buckets=REQUEST_BUCKETS_S,
            registry=self.registry,
        )

    def _gauge(self, name: str, documentation: str) -> Gauge:
        return Gauge(f"tidelog_chain_{name}", documentation, ["chain"], registry=self.registry)

    def collect(self) -> Iterator[Metric]:
        """How the endpoints stand, as of now."""
        readings = list(self.endpoints())
        for name, documentation, value in _ENDPOINT_GAUGES:
            family = GaugeMetricFamily(f"tidelog_rpc_endpoint_{name}", documentation, labels=["endpoint"])
            for reading in readings:
                family.add_metric([reading.name], value(reading))
            yield family


_ENDPOINT_GAUGES: tuple[tuple[str, str, Callable[[EndpointReading], float]], ...] = (
    ("identified", "1 once the endpoint has named the right chain.", lambda reading: reading.identified),
    ("benched", "1 while the endpoint is left alone after failures.", lambda reading: reading.benched),
    (
        "put_aside",
        "1 while the endpoint is left out because it did not answer in time.",
        lambda reading: reading.put_aside,
    ),
    ("quarantined", "1 while the endpoint contradicts what is final.", lambda reading: reading.quarantined),
    ("strikes", "Failures of the endpoint in a row.", lambda reading: reading.strikes),
    ("requests_in_flight", "Requests that the endpoint has not answered yet.", lambda reading: reading.in_flight),
    ("requests_in_flight_max", "Requests that it may have at once.", lambda reading: reading.in_flight_max),
    ("calls_per_second", "Calls served a second, over the last 10 s.", lambda reading: reading.calls_per_s),
    (
        "calls_per_second_max",
        "Calls that it is asked a second at most, said or learned; +Inf while no limit is known.",
        lambda reading: reading.calls_per_s_max,
    ),
    (
        "request_calls_max",
        "Calls that a request to it has at most, said or learned.",
        lambda reading: reading.request_calls_max,
    ),
)
