"""What a publisher of a stream counts. Plain numbers; metrics are made of them at scrapes."""

from collections.abc import Iterator

from prometheus_client import Gauge
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tidelog.telemetry.exposition import new_registry
from tidelog.telemetry.readiness import Readiness

BEHIND_CHANGES = 1_000  # that may be missing in the stream while the publisher is ready: some seconds of catching up


class StreamMetrics(Collector):
    """The metrics of one process that publishes a chain's changes."""

    def __init__(self) -> None:
        self.registry = new_registry()
        self.connected: bool | None = None  # to the server of the stream; None: not yet
        self.published_seq: int | None = None  # the last change that the stream has; None: not known yet
        self.stored_seq = 0  # the last change that the store has
        self.messages = 0  # published by this process
        self.store_size = Gauge(
            "tidelog_store_size_bytes", "Size of the whole store on its disk.", registry=self.registry
        )
        self.registry.register(self)

    @property
    def lag(self) -> int:
        """Changes that are stored and not published."""
        return max(0, self.stored_seq - (self.published_seq or 0))

    def readiness(self, behind_max: int = BEHIND_CHANGES) -> Readiness:
        reasons = []
        if not self.connected:
            reasons.append("the stream's server does not answer")
        elif self.lag > behind_max:
            reasons.append(f"the stream is {self.lag} changes behind the store: {behind_max} may be missing")
        return Readiness.of(reasons)

    def collect(self) -> Iterator[Metric]:
        yield _gauge("tidelog_stream_connected", "1 if the stream's server answers.", float(bool(self.connected)))
        yield _gauge("tidelog_stream_published_seq", "The last change in the stream.", float(self.published_seq or 0))
        yield _gauge("tidelog_stream_stored_seq", "The last change in the store.", float(self.stored_seq))
        yield _gauge("tidelog_stream_lag_changes", "Changes that are stored and not published.", float(self.lag))
        messages = CounterMetricFamily("tidelog_stream_messages", "Messages that this process published.")
        messages.add_metric([], self.messages)
        yield messages


def _gauge(name: str, documentation: str, value: float) -> Metric:
    return GaugeMetricFamily(name, documentation, value=value)
