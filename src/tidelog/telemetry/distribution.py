"""Counting for hot paths: plain numbers now, metrics at a scrape.

A `prometheus_client` histogram costs microseconds per observation; a `Distribution` costs a search among a
dozen bounds. Both are read by a collector, at scrapes only.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.utils import floatToGoString


class Distribution:
    """How often values fell between bounds. One thread observes; a reader sees whole numbers."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value


def histogram(name: str, documentation: str, distribution: Distribution) -> HistogramMetricFamily:
    """A distribution as Prometheus has it: cumulative, up to +Inf."""
    bounds = [*map(floatToGoString, distribution.bounds), "+Inf"]
    buckets, total = [], 0
    for bound, count in zip(bounds, distribution.counts, strict=True):
        total += count
        buckets.append((bound, float(total)))
    return HistogramMetricFamily(name, documentation, buckets=buckets, sum_value=distribution.sum)


def counter(name: str, documentation: str, counts: Mapping[str, float], label: str) -> CounterMetricFamily:
    """A counter with one label; `name` is without `_total`."""
    family = CounterMetricFamily(name, documentation, labels=[label])
    for value, count in counts.items():
        family.add_metric([value], count)
    return family


def gauge(name: str, documentation: str, value: float | None) -> GaugeMetricFamily:
    """A gauge without labels; it has no sample while there is no value."""
    return GaugeMetricFamily(name, documentation, value=value)
