"""Logs, metrics and health: one event name per thing that happens, one registry per process.

Nothing here ever sees a URL with its key: callers pass redacted endpoint names. Names follow Prometheus'
conventions; docs/metrics.md and docs/events.md list all of them, and tests hold the lists to the code.
"""

from tidelog.telemetry.api import ApiMetrics
from tidelog.telemetry.chain import ChainMetrics
from tidelog.telemetry.exposition import CONTENT_TYPE, merged, new_registry, rendered
from tidelog.telemetry.logs import Logger, configure_logs, diverted_logs, logger
from tidelog.telemetry.market import MarketMetrics
from tidelog.telemetry.readiness import Readiness

__all__ = [
    "CONTENT_TYPE",
    "ApiMetrics",
    "ChainMetrics",
    "Logger",
    "MarketMetrics",
    "Readiness",
    "configure_logs",
    "diverted_logs",
    "logger",
    "merged",
    "new_registry",
    "rendered",
]
