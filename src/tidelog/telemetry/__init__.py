"""Logs, metrics and health: one event name per thing that happens, one registry per process.

Nothing here ever sees a URL with its key: callers pass redacted endpoint names. Names follow Prometheus'
conventions; docs/metrics.md and docs/events.md list all of them, and tests hold the lists to the code.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from tidelog.telemetry.logs import Logger, configure_logs, diverted_logs, logger
from tidelog.telemetry.readiness import Readiness

if TYPE_CHECKING:
    from tidelog.telemetry.api import ApiMetrics
    from tidelog.telemetry.chain import ChainMetrics
    from tidelog.telemetry.exposition import CONTENT_TYPE, merged, new_registry, rendered
    from tidelog.telemetry.market import MarketMetrics
    from tidelog.telemetry.stream import StreamFigures, StreamMetrics

__all__ = [
    "CONTENT_TYPE",
    "ApiMetrics",
    "ChainMetrics",
    "Logger",
    "MarketMetrics",
    "Readiness",
    "StreamFigures",
    "StreamMetrics",
    "configure_logs",
    "diverted_logs",
    "logger",
    "merged",
    "new_registry",
    "rendered",
]

# what needs the library of metrics, which takes longer to import than most commands to run
_LATE = {
    "ApiMetrics": "api",
    "ChainMetrics": "chain",
    "MarketMetrics": "market",
    "StreamFigures": "stream",
    "StreamMetrics": "stream",
} | dict.fromkeys(("CONTENT_TYPE", "merged", "new_registry", "rendered"), "exposition")


def __getattr__(name: str) -> object:
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"tidelog.telemetry.{_LATE[name]}"), name)
