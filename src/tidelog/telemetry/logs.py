"""Structured logs: human on a terminal, one JSON object a line otherwise; as a library, nearly silent.

Until somebody configures structlog, an event below a warning goes nowhere, and the others go to standard error,
as Python's own logging does it. A program that uses structlog itself gets tidelog's events in its own way.
"""

import logging
import sys
from typing import Any, TextIO

import structlog


def configure_logs(*, stream: TextIO | None = None, level: str = "info") -> None:
    """Human-readable lines on a terminal, one JSON object a line otherwise; to standard error by default."""
    target = stream if stream is not None else sys.stderr
    structlog.configure(
        processors=_processors(target),
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(target),
        cache_logger_on_first_use=False,
    )


def _processors(target: TextIO) -> list[Any]:
    return [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        structlog.dev.ConsoleRenderer() if target.isatty() else structlog.processors.JSONRenderer(),
    ]


class Logger:
    """Tells what happens in one component. The first argument is the event's name, from docs/events.md."""

    def __init__(self, component: str) -> None:
        self._component = component

    def debug(self, event: str, **fields: object) -> None:
        self._bound().debug(event, **fields)

    def info(self, event: str, **fields: object) -> None:
        self._bound().info(event, **fields)

    def warning(self, event: str, **fields: object) -> None:
        self._bound().warning(event, **fields)

    def error(self, event: str, **fields: object) -> None:
        self._bound().error(event, **fields)

    def _bound(self) -> Any:  # structlog's bound loggers have no common static type
        if structlog.is_configured():
            return structlog.get_logger(component=self._component)
        return structlog.wrap_logger(
            structlog.PrintLogger(sys.stderr),
            processors=_processors(sys.stderr),
            wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
            component=self._component,
        )


def logger(component: str) -> Logger:
    return Logger(component)
