"""Traces by OpenTelemetry: on where its usual variables ask for it and `tidelog[otel]` is installed, else not loaded.

Spans go to a bounded queue, which a thread sends over OTLP/HTTP. A collector that is slow, refuses or is away costs
spans and nothing else: they are counted, and said in the log. At the end what is left has FLUSH_MS to be sent.
"""

import logging
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from tidelog.errors import ConfigError
from tidelog.telemetry import tracing
from tidelog.telemetry.logs import logger
from tidelog.telemetry.tracing import Span, Trace

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

__all__ = ["OtelTracer", "traced", "wanted"]

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
FLUSH_MS = 1_500  # at the end, for spans that were not sent yet, unless OTEL_BSP_EXPORT_TIMEOUT says otherwise
LOST_EVERY_S = 60.0  # between lines about spans that are lost
QUEUE_SPANS = 2_048  # that may wait, unless OTEL_BSP_MAX_QUEUE_SIZE says otherwise: the SDK's own default
BATCH_SPANS = 512  # that go at once, unless OTEL_BSP_MAX_EXPORT_BATCH_SIZE says otherwise: the SDK's own default
EXTRA = "opentelemetry.exporter.otlp.proto.http"
TRUE = ("true", "1")

_log = logger("tracing")


def wanted(environment: Mapping[str, str]) -> bool:
    """Whether the variables ask for traces.

    Raises:
        ConfigError: they ask for a way that there is not.
    """
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() in TRUE:
        return False
    exporter = environment.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    if exporter == "none" or not (exporter or any(environment.get(name) for name in ENDPOINTS)):
        return False
    if exporter not in ("", "otlp"):
        raise ConfigError(f"OTEL_TRACES_EXPORTER is {exporter[:40]!r}: traces are sent by otlp, or not at all by none")
    protocol = next((environment[name] for name in PROTOCOLS if environment.get(name)), "http/protobuf")
    if protocol != "http/protobuf":
        raise ConfigError(f"OTEL_EXPORTER_OTLP_PROTOCOL is {protocol[:40]!r}: traces are sent by http/protobuf")
    url = next((environment[name] for name in ENDPOINTS if environment.get(name)), "http://localhost")
    if not _is_url(url):
        raise ConfigError("OTEL_EXPORTER_OTLP_ENDPOINT is no URL: give one such as http://localhost:4318")
    return True


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:  # a bracket of an IPv6 address without its other one
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


@contextmanager
def traced(process: str) -> Iterator[None]:
    """Trace this process meanwhile, if the environment asks for it.

    Args:
        process: what it is, for the attribute `tidelog.process` of all its spans.

    Raises:
        ConfigError: the environment asks for what there is not.
    """
    if not wanted(os.environ):
        yield
        return
    if not _installed():
        _log.warning("traces_off", reason="OTEL_ variables ask for traces: install tidelog[otel], or unset them")
        yield
        return
    try:
        tracer = OtelTracer(process)
    except ValueError as error:  # so the SDK refuses a limit that cannot be
        raise ConfigError(f"an OTEL_ variable has a value that OpenTelemetry does not take: {error}") from None
    tracing.install(tracer)
    try:
        yield
    finally:
        tracing.install(None)
        tracer.close()


def _installed() -> bool:
    try:
        return find_spec(EXTRA) is not None and find_spec("opentelemetry.sdk.trace") is not None
    except ModuleNotFoundError:
        return False


class OtelTracer:
    """`tracing.Tracer` by the SDK, configured by its variables: sampler, queue, endpoint, headers, resource."""

    def __init__(self, process: str, exporter: "SpanExporter | None" = None) -> None:
        from opentelemetry import trace
        from opentelemetry.context import Context
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.environment_variables import (
            OTEL_BSP_EXPORT_TIMEOUT,
            OTEL_BSP_MAX_EXPORT_BATCH_SIZE,
            OTEL_BSP_MAX_QUEUE_SIZE,
        )
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import Decision

        import tidelog

        sdk = logging.getLogger("opentelemetry")  # it would write lines of its own between ours
        sdk.addHandler(logging.NullHandler())
        sdk.propagate = False
        self._exporter = _Counting(OTLPSpanExporter() if exporter is None else exporter)
        self._ids = _given_ids()
        # nothing of the process itself: its arguments may hold keys
        own = Resource({"service.name": "tidelog", "service.version": tidelog.__version__, "tidelog.process": process})
        self._provider = TracerProvider(
            resource=own.merge(OTELResourceDetector().detect()), id_generator=self._ids, shutdown_on_exit=False
        )
        self._room = _whole_number(OTEL_BSP_MAX_QUEUE_SIZE, QUEUE_SPANS)
        at_once = min(_whole_number(OTEL_BSP_MAX_EXPORT_BATCH_SIZE, BATCH_SPANS), self._room)
        sending = BatchSpanProcessor(cast("SpanExporter", self._exporter), max_export_batch_size=at_once)
        self._provider.add_span_processor(sending)
        self._tracer = self._provider.get_tracer("tidelog", tidelog.__version__)
        self._empty = Context()
        self._api = trace
        self._sampled = (Decision.RECORD_AND_SAMPLE,)
        self._flush_ms = _whole_number(OTEL_BSP_EXPORT_TIMEOUT, FLUSH_MS)

    def wants(self, trace: Trace) -> bool:
        sampler = self._provider.sampler
        return sampler.should_sample(None, int.from_bytes(trace.id, "big"), "tidelog").decision in self._sampled

    def emit(self, trace: Trace, spans: Sequence[Span], *, root: Span | None = None) -> None:
        api, count = self._api, len(spans) + (root is not None)
        if not self._exporter.take(count, self._room):
            return
        sampled = api.TraceFlags(api.TraceFlags.SAMPLED)
        trace_id, root_id = int.from_bytes(trace.id, "big"), int.from_bytes(trace.root, "big")
        offset_ns = time.time_ns() - time.monotonic_ns()
        if root is not None:
            self._ids.trace_id, self._ids.span_id = trace_id, root_id
            self._span(root, self._empty, offset_ns)
            self._ids.span_id = 0
        parent = api.SpanContext(trace_id, root_id, is_remote=root is None, trace_flags=sampled)
        within = api.set_span_in_context(api.NonRecordingSpan(parent), self._empty)
        for span in spans:
            self._span(span, within, offset_ns)

    def _span(self, span: Span, context: Any, offset_ns: int) -> None:
        began_ns, ended_ns = (int(at_s * 1e9) + offset_ns for at_s in (span.began_s, span.ended_s))
        made = self._tracer.start_span(span.name, context, attributes=span.attributes, start_time=began_ns)
        if span.error is not None:
            made.set_status(self._api.Status(self._api.StatusCode.ERROR, span.error))
        made.end(ended_ns)

    def close(self) -> None:
        """Send what is left. No process waits longer for a collector than it may."""
        closing = threading.Thread(target=self._provider.shutdown, name="tidelog-traces-end", daemon=True)
        closing.start()
        closing.join(self._flush_ms / 1_000)
        self._exporter.end()


def _whole_number(variable: str, default: int) -> int:
    try:
        return int(os.environ.get(variable, default))
    except ValueError:  # as the SDK does
        return default


def _given_ids() -> Any:
    """Ids that were set beforehand; a span's own is drawn where none was. Used by one thread."""
    from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

    class Given(RandomIdGenerator):
        trace_id = span_id = 0

        def generate_trace_id(self) -> int:
            return self.trace_id or super().generate_trace_id()

        def generate_span_id(self) -> int:
            return self.span_id or super().generate_span_id()

    return Given()


class _Counting:
    """An exporter that counts what waits before it, and what is lost; it says so, at most once a minute."""

    def __init__(self, exporter: "SpanExporter") -> None:
        self._exporter = exporter
        self._lock = threading.Lock()
        self._waiting = 0
        self._lost = 0  # since the last line
        self._told_s: float | None = None
        self._ended = False

    def take(self, count: int, room: int) -> bool:
        """Whether so many more may wait; else they are lost."""
        with self._lock:
            if self._waiting + count <= room:
                self._waiting += count
                return True
        self._lose(count)
        return False

    def export(self, spans: "Sequence[ReadableSpan]") -> "SpanExportResult":
        from opentelemetry.sdk.trace.export import SpanExportResult

        try:
            result = self._exporter.export(spans)
        except Exception:  # any error of the sending thread has to end there
            result = SpanExportResult.FAILURE
        with self._lock:
            self._waiting -= len(spans)
        if result is not SpanExportResult.SUCCESS:
            self._lose(len(spans))
        return result

    def _lose(self, count: int) -> None:
        with self._lock:
            self._lost += count
            now_s = time.monotonic()
            if self._ended or (self._told_s is not None and now_s - self._told_s < LOST_EVERY_S):
                return
            lost, self._lost, self._told_s = self._lost, 0, now_s
        _log.warning("traces_lost", spans=lost)

    def end(self) -> None:
        """Count what was not sent until now as lost."""
        with self._lock:
            lost, self._ended = self._lost + self._waiting, True
        if lost:
            _log.warning("traces_lost", spans=lost)

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)
