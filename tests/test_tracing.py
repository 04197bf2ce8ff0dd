"""Traces, without a collector: what turns them on, what log lines carry, and what a message carries."""

import io
import json
from collections.abc import Mapping

import pytest

from tidelog.errors import ConfigError
from tidelog.telemetry import configure_logs, logger, otel, tracing
from tidelog.telemetry.otel import ENDPOINTS, traced, wanted
from tidelog.telemetry.tracing import trace_of, traceparent, within

URL = "http://localhost:4318"


@pytest.fixture
def lines() -> io.StringIO:
    shown = io.StringIO()
    configure_logs(stream=shown, form="json")
    return shown


@pytest.mark.parametrize(
    ("environment", "on"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": URL}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": URL}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": URL}, False),
        ({"OTEL_SDK_DISABLED": "TRUE", "OTEL_EXPORTER_OTLP_ENDPOINT": URL}, False),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf", "OTEL_TRACES_EXPORTER": "otlp"}, True),
    ],
)
def test_traces_are_on_where_they_are_asked_for(environment: Mapping[str, str], on: bool) -> None:
    assert wanted(environment) is on


def test_a_collector_without_a_scheme_is_refused_without_its_path() -> None:
    with pytest.raises(ConfigError, match="is no URL") as refused:
        wanted({ENDPOINTS[0]: "collector/KEY"})
    assert "KEY" not in str(refused.value)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://["),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
        ("OTEL_BSP_SCHEDULE_DELAY", "-1"),
        ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "many"),
    ],
)
def test_a_variable_that_cannot_be_is_refused_in_a_sentence(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", URL)
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigError, match="OTEL_"), traced("test"):
        pass


def test_a_queue_may_be_smaller_than_what_goes_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", URL)
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "256")
    with traced("test"):
        assert tracing.active() is not None


def test_variables_without_the_extra_are_one_warning_and_nothing_else(
    lines: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", URL)
    monkeypatch.setattr(otel, "EXTRA", "opentelemetry.exporter.nowhere")
    with traced("test"):
        assert tracing.active() is None
    (line,) = map(json.loads, lines.getvalue().splitlines())
    assert (line["event"], line["level"]) == ("traces_off", "warning")
    assert "tidelog[otel]" in line["reason"]


def test_log_lines_carry_the_trace_that_they_belong_to(lines: io.StringIO) -> None:
    trace, log = trace_of("test", 1), logger("test")
    log.info("before")
    with within(trace), within(None):
        log.info("inside")
    log.info("after")
    found = [json.loads(line).get("trace_id") for line in lines.getvalue().splitlines()]
    assert found == [None, trace.id.hex(), None]


def test_traceparent_follows_the_w3c_trace_context() -> None:
    trace = trace_of("block", 1, 2, b"\3")
    parts = traceparent(trace, sampled=True).split("-")
    assert parts == ["00", trace.id.hex(), trace.root.hex(), "01"]
    assert [len(part) for part in parts] == [2, 32, 16, 2]
    assert traceparent(trace, sampled=False).endswith("-00")


def test_traces_of_different_things_differ_though_their_texts_run_together() -> None:
    assert trace_of("block", 1, 12) != trace_of("block", 11, 2)
