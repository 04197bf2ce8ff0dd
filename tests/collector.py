"""A collector of traces: takes OTLP over HTTP in a thread of its own, and gives back the spans as plain values."""

import gzip
import threading
from collections import defaultdict
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.command import until
from tests.patience import HANGS_S

__all__ = ["Collector", "Told"]


class Told(NamedTuple):
    """One span as it came."""

    name: str
    trace: str
    id: str
    parent: str
    began_ns: int
    ended_ns: int
    attributes: dict[str, Any]
    resource: dict[str, Any]
    error: str | None


class Collector:
    """`with Collector() as collector`. `hang` has it take requests and answer none; `refuse` has it answer 503."""

    def __init__(self, *, hang: bool = False, refuse: bool = False) -> None:
        self.spans: list[Told] = []
        self.bodies: list[bytes] = []
        self._over = threading.Event()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                collector.bodies.append(body)
                if hang:
                    collector._over.wait(HANGS_S)
                    return
                if not refuse:
                    collector.spans += spans_of(body)
                self.send_response(503 if refuse else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                """A test has its own."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="collector")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def environment(self) -> dict[str, str]:
        """What has a program send its traces here, soon, and all of them before it ends."""
        return {
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.url,
            "OTEL_BSP_SCHEDULE_DELAY": "50",
            "OTEL_BSP_EXPORT_TIMEOUT": str(int(HANGS_S * 1_000)),
        }

    def by_trace(self) -> dict[str, list[Told]]:
        found: defaultdict[str, list[Told]] = defaultdict(list)
        for span in list(self.spans):
            found[span.trace].append(span)
        return dict(found)

    def until(self, condition: Callable[[list[Told]], Any], what: str) -> None:
        until(lambda: condition(list(self.spans)), what)

    def __enter__(self) -> "Collector":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def spans_of(body: bytes) -> list[Told]:
    request = ExportTraceServiceRequest()
    request.ParseFromString(body)
    return [
        Told(
            span.name,
            span.trace_id.hex(),
            span.span_id.hex(),
            span.parent_span_id.hex(),
            span.start_time_unix_nano,
            span.end_time_unix_nano,
            _plain(span.attributes),
            _plain(each.resource.attributes),
            span.status.message if span.status.code == 2 else None,
        )
        for each in request.resource_spans
        for scope in each.scope_spans
        for span in scope.spans
    ]


def _plain(attributes: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in attributes}
