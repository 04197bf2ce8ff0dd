"""Logs as a library and as a program, counting, and several processes' metrics as one text."""

import io
import json
import math
import subprocess
import sys
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

import pytest
import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.parser import text_string_to_metric_families

from tidelog.telemetry import ApiMetrics, ChainMetrics, MarketMetrics, configure_logs, logger, merged, rendered
from tidelog.telemetry.distribution import Distribution, counter, histogram
from tidelog.telemetry.exposition import EXPOSITION_BYTES_MAX


@pytest.fixture(autouse=True)
def unconfigured() -> Iterator[None]:
    structlog.reset_defaults()
    yield
    structlog.reset_defaults()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


# -- logs


def test_a_library_says_nothing_but_warnings_and_those_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    log = logger("part")
    log.debug("one")
    log.info("two")
    assert capsys.readouterr() == ("", "")
    log.warning("three", number=3)
    log.error("four")
    out, err = capsys.readouterr()
    assert out == ""
    lines = [json.loads(line) for line in err.splitlines()]
    assert [(line["event"], line["level"], line["component"]) for line in lines] == [
        ("three", "warning", "part"),
        ("four", "error", "part"),
    ]
    assert lines[0]["number"] == 3


def test_importing_tidelog_configures_nobody_elses_logs() -> None:
    code = "import tidelog.telemetry, structlog; assert not structlog.is_configured()"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_program_that_uses_structlog_itself_gets_the_events_in_its_way() -> None:
    log, seen = logger("part"), list[Mapping[str, Any]]()

    def keep(_logger: object, _method: str, event: MutableMapping[str, Any]) -> str:
        seen.append(event)
        raise structlog.DropEvent

    structlog.configure(processors=[keep])
    log.info("event", number=1)
    assert seen == [{"component": "part", "event": "event", "number": 1}]


def test_configured_logs_are_json_lines_or_text_for_people() -> None:
    log = logger("part")
    lines, screen = io.StringIO(), Terminal()
    configure_logs(stream=lines)
    log.info("happened", number=1)
    log.debug("not told")
    assert json.loads(lines.getvalue())["event"] == "happened"
    configure_logs(stream=screen, level="debug")
    log.debug("seen", number=2)
    assert "seen" in screen.getvalue()
    assert "{" not in screen.getvalue()


# -- counting


@pytest.mark.parametrize(
    ("value", "index"), [(0.0, 0), (-5.0, 0), (1.0, 0), (1.1, 1), (2.0, 1), (2.1, 2), (math.inf, 2)]
)
def test_a_value_falls_where_prometheus_would_have_it(value: float, index: int) -> None:
    ours = Distribution([1, 2])
    ours.observe(value)
    assert ours.counts.index(1) == index
    theirs = Histogram("h", "h", buckets=(1, 2), registry=None)
    theirs.observe(value)
    cumulative = [sample.value for sample in next(iter(theirs.collect())).samples if sample.name == "h_bucket"]
    assert [sample.value for sample in histogram("h", "h", ours).samples if sample.name == "h_bucket"] == cumulative


def test_a_counter_of_plain_numbers() -> None:
    samples = counter("c", "c", {"a": 1, "b": 2}, "kind").samples
    assert [(sample.name, sample.labels, sample.value) for sample in samples] == [
        ("c_total", {"kind": "a"}, 1),
        ("c_total", {"kind": "b"}, 2),
    ]


@pytest.mark.parametrize("make", [ChainMetrics, MarketMetrics, ApiMetrics])
def test_every_registry_renders_from_the_start(make: type[ChainMetrics | MarketMetrics | ApiMetrics]) -> None:
    text = rendered(make().registry).decode()
    names = {family.name for family in text_string_to_metric_families(text)}
    assert {"tidelog_build_info", "process_resident_memory_bytes"} < names
    assert "_created" not in text


@pytest.mark.parametrize(
    ("status", "reason"),
    [(200, None), (404, None), (401, "no_token"), (403, "scope"), (413, "too_large"), (429, "too_many")],
)
def test_requests_that_the_api_refuses_are_counted_by_reason(status: int, reason: str | None) -> None:
    metrics = ApiMetrics()
    metrics.answered("/v1/chains", "GET", status, 0.01)
    value = metrics.registry.get_sample_value
    assert value("tidelog_api_requests_total", {"route": "/v1/chains", "method": "GET", "status": str(status)}) == 1
    metrics.answered("/v1/chains", "GET", status, None)  # a stream: it is not timed
    assert value("tidelog_api_request_seconds_count", {"route": "/v1/chains"}) == 1
    counted = {
        name: value("tidelog_api_rejected_total", {"reason": name})
        for name in ("no_token", "scope", "too_large", "too_many")
    }
    assert counted == {name: 2.0 * (name == reason) for name in counted}


# -- several processes


def a_process(value: float) -> bytes:
    registry = CollectorRegistry()
    Gauge("level", "How high.", registry=registry).set(value)
    Counter("done", 'With a \\ and\na line and "quotes".', ["what"], registry=registry).labels(
        'a\\b"c\nd{,process="x"}'
    ).inc()
    Histogram("took_seconds", "How long.", ["by"], buckets=(1, 2), registry=registry).labels("me").observe(value)
    return rendered(registry)


def samples(text: bytes) -> list[tuple[str, dict[str, str], float]]:
    return [
        (sample.name, sample.labels, sample.value)
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    ]


def test_merging_keeps_every_sample_and_says_whose_it_is() -> None:
    parts = {"one": a_process(1.5), 't\\w"o\n': a_process(7.0)}
    expected = [
        (name, {"process": process} | labels, value)
        for process, text in parts.items()
        for name, labels, value in samples(text)
    ]
    got = [sample for sample in samples(merged(parts)) if sample[0] != "tidelog_up"]
    assert sorted(got, key=repr) == sorted(expected, key=repr)


def test_help_and_type_come_once_per_family_and_its_samples_together() -> None:
    text = merged({"one": a_process(1), "two": a_process(2)}).decode()
    for name in ("level", "done_total", "took_seconds"):
        assert text.count(f"# HELP {name} ") == 1
        assert text.count(f"# TYPE {name} ") == 1
    families = [family.name for family in text_string_to_metric_families(text)]
    assert families == ["tidelog_up", "level", "done", "took_seconds"]


def test_a_process_that_cannot_be_scraped_is_down_and_the_others_are_up() -> None:
    huge = b"# " + b"x" * EXPOSITION_BYTES_MAX
    found = samples(merged({"here": b"a 1\n", "gone": None, "huge": huge}))
    assert found == [
        ("tidelog_up", {"process": "here"}, 1),
        ("tidelog_up", {"process": "gone"}, 0),
        ("tidelog_up", {"process": "huge"}, 0),
        ("a", {"process": "here"}, 1),
    ]
    assert samples(merged({})) == []


@pytest.mark.parametrize(
    ("line", "becomes"),
    [
        ("a 1", 'a{process="p"} 1'),
        ("a{} 1", 'a{process="p"} 1'),
        ('a{b="c"} 1', 'a{process="p",b="c"} 1'),
        ('a{b="c",} 1', 'a{process="p",b="c"} 1'),
        ('a{b="}"} +Inf', 'a{process="p",b="}"} +Inf'),
        ("a NaN 1700000000000", 'a{process="p"} NaN 1700000000000'),
        ('a{process="q",b="c"} 1', 'a{process="p",exported_process="q",b="c"} 1'),
        ('a{b=",process=\\"q"} 1', 'a{process="p",b=",process=\\"q"} 1'),
        ('tidelog_up{process="q"} 1', None),  # who is up is for us to say
        ("<html>", None),
        ("1a 1", None),
        ("a", None),
        ("# a comment", None),
        ("", None),
    ],
)
def test_lines(line: str, becomes: str | None) -> None:
    lines = merged({"p": line.encode() + b"\n"}).decode().splitlines()
    assert lines[3:] == ([] if becomes is None else [becomes])


def test_a_family_of_another_type_is_left_out() -> None:
    one, two = b"# TYPE a gauge\na 1\n", b"# TYPE a counter\na 2\n# TYPE b gauge\nb 3\n"
    assert [sample for sample in samples(merged({"one": one, "two": two})) if sample[0] != "tidelog_up"] == [
        ("a", {"process": "one"}, 1),
        ("b", {"process": "two"}, 3),
    ]


def test_bytes_that_are_no_text_do_no_harm() -> None:
    assert ("tidelog_up", {"process": "p"}, 1) in samples(merged({"p": b'\xff\xfe 1\n\x00\na{b="\xff"} 1\n'}))
