"""What the API counts: requests by route, streams, and what it turned away."""

from prometheus_client import Counter, Gauge, Histogram

from tidelog.telemetry.exposition import new_registry

SECONDS_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
REJECTIONS = {401: "no_token", 403: "scope", 413: "too_large", 429: "too_many"}  # by status


class ApiMetrics:
    """The metrics of one process that serves the API. Routes are templates, never what a client asked for."""

    def __init__(self) -> None:
        self.registry = new_registry()
        self.requests = Counter(
            "tidelog_api_requests",
            "Requests answered, by route template, method and status.",
            ["route", "method", "status"],
            registry=self.registry,
        )
        self.request_seconds = Histogram(
            "tidelog_api_request_seconds",
            "From a request's head to the end of its answer; streams are not among them.",
            ["route"],
            buckets=SECONDS_BUCKETS,
            registry=self.registry,
        )
        self.in_flight = Gauge(
            "tidelog_api_requests_in_flight", "Requests that are being answered.", registry=self.registry
        )
        self.rejected = Counter(
            "tidelog_api_rejected", "Requests turned away, by reason.", ["reason"], registry=self.registry
        )
        self.held_back = Counter(
            "tidelog_api_held_back",
            "Refusals that were delayed: of wrong tokens and of invalid requests.",
            registry=self.registry,
        )
        self.streams = Gauge(
            "tidelog_api_streams_open", "Live streams that are open.", ["kind"], registry=self.registry
        )
        self.stream_events = Counter(
            "tidelog_api_stream_events", "Events sent on live streams.", ["kind"], registry=self.registry
        )
        self.stream_lagged = Counter(
            "tidelog_api_stream_lagged",
            "Times that readers of live streams missed events, and were notified.",
            ["kind"],
            registry=self.registry,
        )
        for reason in REJECTIONS.values():
            self.rejected.labels(reason)
        for kind in ("sse", "websocket"):
            self.streams.labels(kind)
            self.stream_events.labels(kind)
            self.stream_lagged.labels(kind)

    def answered(self, route: str, method: str, status: int, seconds: float | None) -> None:
        """Count one request. `route` is its template, `method` one that there is; no `seconds` for a stream."""
        self.requests.labels(route, method, str(status)).inc()
        if seconds is not None:
            self.request_seconds.labels(route).observe(seconds)
        reason = REJECTIONS.get(status)
        if reason is not None:
            self.rejected.labels(reason).inc()
