"""Metrics as they are served, as far as they are shown. Pure."""

import re
from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["Sample", "Samples", "read_samples"]

SHOWN = frozenset(
    {
        "tidelog_up",
        "tidelog_chain_blocks_behind",
        "tidelog_chain_proof_failures_total",
        "tidelog_rpc_endpoint_identified",
        "tidelog_rpc_endpoint_benched",
        "tidelog_rpc_endpoint_put_aside",
        "tidelog_rpc_endpoint_quarantined",
        "tidelog_rpc_endpoint_strikes",
        "tidelog_rpc_endpoint_requests_in_flight",
        "tidelog_rpc_endpoint_requests_in_flight_max",
        "tidelog_rpc_endpoint_calls_per_second",
        "tidelog_rpc_endpoint_calls_per_second_max",
        "tidelog_market_frames_total",
        "tidelog_market_checksum_mismatches_total",
        "tidelog_market_resyncs_total",
        "tidelog_market_gaps_opened_total",
        "tidelog_market_event_latency_seconds_bucket",
        "tidelog_market_event_handling_seconds_bucket",
        "tidelog_market_loader_lag_seconds",
        "tidelog_market_journal_unsynced_frames",
        "tidelog_stream_lag_changes",
        "tidelog_store_recording_seq",
    }
)
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_ESCAPES = {"\\n": "\n", '\\"': '"', "\\\\": "\\"}
_ESCAPE = re.compile(r'\\[n"\\]')


class Sample(NamedTuple):
    name: str
    labels: dict[str, str]
    value: float


class Samples(NamedTuple):
    """What a scrape gave, by name."""

    by_name: dict[str, list[Sample]]

    def of(self, name: str, **labels: str) -> Iterator[Sample]:
        for sample in self.by_name.get(name, ()):
            if all(sample.labels.get(label) == value for label, value in labels.items()):
                yield sample

    def total(self, name: str, **labels: str) -> float | None:
        """The sum; None where there is none."""
        values = [sample.value for sample in self.of(name, **labels)]
        return sum(values) if values else None

    def quantile(self, name: str, share: float, **labels: str) -> float | None:
        """The upper bound of the bucket in which a share of a histogram ends; None where it has seen nothing."""
        buckets: dict[float, float] = {}
        for sample in self.of(f"{name}_bucket", **labels):
            bound = float(sample.labels["le"])
            buckets[bound] = buckets.get(bound, 0.0) + sample.value
        whole = max(buckets.values(), default=0.0)
        return next((bound for bound in sorted(buckets) if buckets[bound] >= whole * share), None) if whole else None


def read_samples(text: str) -> Samples:
    """The samples whose names are shown; other lines, and any that cannot be read, are passed over."""
    found: dict[str, list[Sample]] = {}
    for line in text.splitlines():
        end = line.find("{")
        name = line[:end] if end > 0 else line.partition(" ")[0]
        if name not in SHOWN:
            continue
        labels, _, value = line[len(name) :].rpartition(" ")
        try:
            number = float(value)
        except ValueError:
            continue
        read = {key: _ESCAPE.sub(lambda each: _ESCAPES[each[0]], text) for key, text in _LABEL.findall(labels)}
        found.setdefault(name, []).append(Sample(name, read, number))
    return Samples(found)
