"""What a publisher of a stream counts. Plain numbers; metrics are made of them at scrapes."""

from collections.abc import Iterator

from prometheus_client import Gauge
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tidelog.telemetry.exposition import new_registry
from tidelog.telemetry.readiness import Readiness

BEHIND_CHANGES = 1_000  # that may be missing in the stream while the publisher is ready: some seconds of catching up
BEHIND_S = 30.0  # the same of a recording


class StreamFigures:
    """What one publisher counts: of a chain's changes, or of one journal of a recording."""

    def __init__(self) -> None:
        self.connected: bool | None = None  # to the server of the stream; None: not yet
        self.published_seq: int | None = None  # the last change that the stream has; None: not known yet
        self.stored_seq: int | None = None  # the last change that the store has; None: not looked at yet
        self.stored_us: int | None = None  # the time of a recording's last record in the journal ...
        self.published_us: int | None = None  # ... and of the last one that was published
        self._begun_seq = 0  # what was stored at the first look: the lag counts from there while nobody knows
        self._begun_us = 0  # what the stream has, so that it is never said to be more than it is
        self.messages = 0  # published by this process
        self.put_aside: int | None = None  # messages that a receiver of webhooks does not take; None: there is none

    def note_stored(self, *, seq: int | None = None, at_us: int | None = None) -> None:
        """How far the store, or the journal, is: the number of its last change, or the time of its last record."""
        if seq is not None:
            self._begun_seq = seq if self.stored_seq is None else self._begun_seq
            self.stored_seq = seq
        if at_us is not None:
            self._begun_us = at_us if self.stored_us is None else self._begun_us
            self.stored_us = at_us

    @property
    def lag(self) -> int:
        """Changes that are stored and not published; at least, while it is not known what the stream has."""
        published = self._begun_seq if self.published_seq is None else self.published_seq
        return max(0, (self.stored_seq or 0) - published)

    @property
    def lag_s(self) -> float:
        """How far the stream is behind the journal, by the times of records; at least, as above."""
        published_us = self._begun_us if self.published_us is None else self.published_us
        return max(0, (self.stored_us or 0) - published_us) / 1_000_000


class StreamMetrics(Collector):
    """The metrics of one process that publishes a chain's changes, or the journals of a recording."""

    def __init__(self, *, recording: bool = False) -> None:
        self.recording = recording
        self.registry = new_registry()
        self._publishers: list[StreamFigures] = []
        self.store_size = Gauge(
            "tidelog_store_size_bytes", "Size of the whole store on its disk.", registry=self.registry
        )
        self.registry.register(self)

    def publisher(self) -> StreamFigures:
        """The figures of one more publisher of this process. A chain has one, a recording one for each shard."""
        figures = StreamFigures()
        self._publishers.append(figures)
        return figures

    @property
    def connected(self) -> bool:
        """Whether the stream's server answers all publishers."""
        return bool(self._publishers) and all(each.connected for each in self._publishers)

    @property
    def lag(self) -> int:
        """Of the publisher that is furthest behind; alike below."""
        return max([each.lag for each in self._publishers], default=0)

    @property
    def lag_s(self) -> float:
        return max([each.lag_s for each in self._publishers], default=0.0)

    @property
    def put_aside(self) -> int | None:
        """Messages that wait for somebody; None: nothing goes to a webhook."""
        found = [each.put_aside for each in self._publishers if each.put_aside is not None]
        return sum(found) if found else None

    def readiness(self, behind_max: int = BEHIND_CHANGES) -> Readiness:
        reasons = []
        if not self.connected:
            reasons.append("the stream's server does not answer")
        if self.recording:
            if self.lag_s > BEHIND_S:
                reasons.append(f"the stream is {self.lag_s:.0f} s behind the journal: {BEHIND_S:.0f} s may be missing")
        elif self.lag > behind_max:
            reasons.append(f"the stream is {self.lag} changes behind the store: {behind_max} may be missing")
        if self.put_aside:
            reasons.append(f"{self.put_aside} messages were put aside: see tidelog stream aside")
        return Readiness.of(reasons)

    def collect(self) -> Iterator[Metric]:
        yield _gauge("tidelog_stream_connected", "1 if the stream's server answers.", float(self.connected))
        if self.recording:
            documentation = "How far the stream is behind the journal, by their last records; of shards, at most."
            yield _gauge("tidelog_stream_lag_seconds", documentation, self.lag_s)
        else:
            published = max([each.published_seq or 0 for each in self._publishers], default=0)
            stored = max([each.stored_seq or 0 for each in self._publishers], default=0)
            yield _gauge("tidelog_stream_published_seq", "The last change in the stream.", float(published))
            yield _gauge("tidelog_stream_stored_seq", "The last change in the store.", float(stored))
            yield _gauge("tidelog_stream_lag_changes", "Changes that are stored and not published.", float(self.lag))
        if self.put_aside is not None:
            documentation = "Messages that the receiver of a webhook refused too often, and that wait for somebody."
            yield _gauge("tidelog_stream_put_aside", documentation, float(self.put_aside))
        messages = CounterMetricFamily("tidelog_stream_messages", "Messages that this process published.")
        messages.add_metric([], sum([each.messages for each in self._publishers]))
        yield messages


def _gauge(name: str, documentation: str, value: float) -> Metric:
    return GaugeMetricFamily(name, documentation, value=value)
