"""Logs and metrics: one event name per thing that happens, one registry per process.

Nothing here ever sees a URL with its key: callers pass redacted endpoint names.
"""

import logging
import sys
from typing import Any, TextIO

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

Logger = Any  # structlog's bound loggers have no common static type


def configure_logs(*, stream: TextIO | None = None, level: str = "info") -> None:
    """Human-readable lines on a terminal, one JSON object a line otherwise; to standard error by default."""
    target = stream if stream is not None else sys.stderr
    renderer: Any = structlog.dev.ConsoleRenderer() if target.isatty() else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(target),
        cache_logger_on_first_use=False,
    )


def logger(component: str) -> Logger:
    return structlog.get_logger(component=component)


class ChainMetrics:
    """What a chain source counts. Names follow Prometheus conventions."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        chain = ["chain"]
        self.head = Gauge(
            "tidelog_chain_head_block",
            "Highest block that the endpoints report.",
            chain,
            registry=self.registry,
        )
        self.indexed = Gauge("tidelog_chain_indexed_block", "Highest block stored.", chain, registry=self.registry)
        self.finalized = Gauge(
            "tidelog_chain_finalized_block", "Highest block stored as final.", chain, registry=self.registry
        )
        self.behind = Gauge("tidelog_chain_blocks_behind", "Head minus indexed block.", chain, registry=self.registry)
        self.stalled = Gauge(
            "tidelog_chain_head_stalled",
            "1 while the head stands still for too long.",
            chain,
            registry=self.registry,
        )
        self.blocks = Counter("tidelog_chain_blocks", "Blocks committed.", chain, registry=self.registry)
        self.rows = Counter("tidelog_chain_rows", "Rows committed.", chain, registry=self.registry)
        self.commit_seconds = Histogram(
            "tidelog_chain_commit_seconds", "Duration of commits.", chain, registry=self.registry
        )
        self.reorgs = Counter("tidelog_chain_reorgs", "Reorganisations committed.", chain, registry=self.registry)
        self.reorg_depth = Histogram(
            "tidelog_chain_reorg_depth_blocks",
            "Blocks dropped by a reorganisation.",
            chain,
            buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 1024),
            registry=self.registry,
        )
        self.proof_failures = Counter(
            "tidelog_chain_proof_failures",
            "Blocks refused because a check differed.",
            ["check", "endpoint"],
            registry=self.registry,
        )
        self.lowered = Counter(
            "tidelog_chain_checks_not_computable",
            "Checks that could not be computed, by check.",
            ["chain", "check"],
            registry=self.registry,
        )
        self.requests = Counter(
            "tidelog_rpc_requests", "RPC requests.", ["endpoint", "outcome"], registry=self.registry
        )
        self.request_seconds = Histogram(
            "tidelog_rpc_request_seconds", "Duration of RPC requests.", ["endpoint"], registry=self.registry
        )


class ApiMetrics:
    """What an API server counts. Routes are named by their pattern, never by what a client wrote."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "tidelog_http_requests",
            "Requests answered.",
            ["route", "method", "status"],
            registry=self.registry,
        )
        self.request_seconds = Histogram(
            "tidelog_http_request_seconds",
            "Duration of requests, streams excepted.",
            ["route"],
            buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
            registry=self.registry,
        )
        self.streams = Gauge("tidelog_http_streams", "Live streams that are open.", ["kind"], registry=self.registry)
