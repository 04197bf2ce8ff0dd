"""Metrics as text: one process's, and several processes' as one.

The text is Prometheus' exposition format 0.0.4:
https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format
"""

import re
from collections.abc import Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

import tidelog
from tidelog.compiled import core

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
EXPOSITION_BYTES_MAX = 8 * 1024 * 1024  # of one process: a hundred times what one with many endpoints and symbols has

_SUFFIXES = ("", "_total", "_bucket", "_sum", "_count")
_SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+(?: -?\d+)?)")
_PROCESS_LABEL = re.compile(r'(?:(?<=^)|(?<=,))process="')  # a quote inside a value is escaped: this is a label
_UP = "tidelog_up"


class _Build:
    """What is running."""

    def __init__(self) -> None:
        self._core = "python" if core().module is None else "native"

    def collect(self) -> Iterator[Metric]:
        documentation = "The version of tidelog that is running, and which core it uses."
        build = Metric("tidelog_build_info", documentation, "gauge")
        build.add_sample("tidelog_build_info", {"version": tidelog.__version__, "core": self._core}, 1)
        yield build


def new_registry() -> CollectorRegistry:
    """A registry for a process: its own CPU time, memory and open files are in it."""
    registry = CollectorRegistry()
    registry.register(_Build())
    ProcessCollector(registry=registry)
    return registry


class _Plain(Collector):
    """A registry without the times at which its series were made: they are half of the text, and are not needed."""

    def __init__(self, registry: Collector) -> None:
        self._registry = registry

    def collect(self) -> Iterable[Metric]:
        for metric in self._registry.collect():
            kept = Metric(metric.name, metric.documentation, metric.type)
            kept.samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
            yield kept


def rendered(registry: CollectorRegistry) -> bytes:
    """The metrics of this process as text."""
    return generate_latest(_Plain(registry))


class _Family:
    def __init__(self) -> None:
        self.help = ""
        self.type = ""
        self.samples: list[str] = []


def merged(expositions: Mapping[str, bytes | None]) -> bytes:
    """Several processes' metrics as one text, each sample with the label `process`.

    HELP and TYPE come once per family. A process that could not be scraped (None), or whose text is over
    EXPOSITION_BYTES_MAX, shows as `tidelog_up{process="..."} 0`, the others as 1. A line that is no sample is left
    out, as are samples of a family whose type differs from what another process says. A label `process` that was
    there already becomes `exported_process`, as Prometheus names it.
    """
    families: dict[str, _Family] = {}
    up = families[_UP] = _Family()
    up.help, up.type = f"{_UP} Whether the process could be scraped.", f"{_UP} gauge"
    for process, text in expositions.items():
        label = f'process="{_escaped(process)}"'
        sound = text is not None and len(text) <= EXPOSITION_BYTES_MAX
        up.samples.append(f"{_UP}{{{label}}} {int(sound)}")
        if text is not None and sound:
            _add(families, label, text.decode("utf-8", "replace"))
    return "".join(_lines(families)).encode()


def _add(families: dict[str, _Family], label: str, text: str) -> None:
    name, skipping = "", False
    for line in text.split("\n"):
        if line.startswith("# "):
            keyword, _, rest = line[2:].partition(" ")
            if keyword not in ("HELP", "TYPE"):
                continue
            named = rest.partition(" ")[0]
            if named != name:
                name, skipping = named, named == _UP
            family = families.setdefault(name, _Family())
            if keyword == "HELP":
                family.help = family.help or rest
            else:
                skipping = skipping or (family.type or rest) != rest
                family.type = family.type or rest
            continue
        sample = _SAMPLE.fullmatch(line)
        if sample is None:
            continue
        sample_name, labels, value = sample.groups()
        of_family = any(sample_name == name + suffix for suffix in _SUFFIXES)
        if (skipping and of_family) or sample_name == _UP:
            continue
        labels = _PROCESS_LABEL.sub('exported_process="', (labels or "").rstrip(","))
        family = families.setdefault(name if of_family else sample_name, _Family())
        family.samples.append(f"{sample_name}{{{label}{',' if labels else ''}{labels}}} {value}")


def _lines(families: Mapping[str, _Family]) -> Iterator[str]:
    for family in families.values():
        if family.help:
            yield f"# HELP {family.help}\n"
        if family.type:
            yield f"# TYPE {family.type}\n"
        for sample in family.samples:
            yield f"{sample}\n"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
