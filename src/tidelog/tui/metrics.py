"""Metrics as they are served, as far as they are shown. Pure."""

import re
from collections.abc import Collection, Iterable, Iterator
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
        "tidelog_market_books",
        "tidelog_market_books_unproven",
        "tidelog_stream_connected",
        "tidelog_stream_published_seq",
        "tidelog_stream_lag_changes",
        "tidelog_stream_lag_seconds",
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

    def buckets(self, name: str, processes: Iterable[str]) -> list[tuple[float, float]]:
        """Each bucket of a histogram over some processes: its upper bound, and how much is inside."""
        sums = self._sums(name, processes)
        below = [0.0, *(up_to for _, up_to in sums)]
        return [(bound, up_to - less) for (bound, up_to), less in zip(sums, below, strict=False)]

    def quantile(self, name: str, share: float, processes: Iterable[str]) -> float | None:
        """The upper bound of the bucket in which a share of a histogram ends; None where it has seen nothing."""
        sums = self._sums(name, processes)
        whole = sums[-1][1] if sums else 0.0
        return next((bound for bound, up_to in sums if up_to >= whole * share), None) if whole else None

    def _sums(self, name: str, processes: Iterable[str]) -> list[tuple[float, float]]:
        """By bound, how much is at or below it."""
        found: dict[float, float] = {}
        for process in processes:
            for sample in self.of(f"{name}_bucket", process=process):
                bound = float(sample.labels["le"])
                found[bound] = found.get(bound, 0.0) + sample.value
        return sorted(found.items())


def read_samples(text: str, wanted: Collection[str] = SHOWN) -> Samples:
    """The samples of some names; other lines, and any that cannot be read, are passed over."""
    found: dict[str, list[Sample]] = {}
    for line in text.splitlines():
        end = line.find("{")
        name = line[:end] if end > 0 else line.partition(" ")[0]
        if name not in wanted:
            continue
        labels, _, value = line[len(name) :].rpartition(" ")
        try:
            number = float(value)
        except ValueError:
            continue
        read = {key: _ESCAPE.sub(lambda each: _ESCAPES[each[0]], text) for key, text in _LABEL.findall(labels)}
        found.setdefault(name, []).append(Sample(name, read, number))
    return Samples(found)
