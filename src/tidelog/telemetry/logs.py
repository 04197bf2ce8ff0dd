"""Structured logs: human on a terminal, one JSON object a line otherwise; as a library, nearly silent.

Until somebody configures structlog, an event below a warning goes nowhere, and the others go to standard error,
as Python's own logging does it. A program that uses structlog itself gets tidelog's events in its own way.

structlog is imported by the first event: it brings a terminal's whole library, which few commands need.
"""

import logging
import sys
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager, suppress
from typing import Any, TextIO, cast

from tidelog.printable import printable_lines


def configure_logs(
    *, stream: TextIO | None = None, level: str = "info", form: str = "auto", process: str | None = None
) -> None:
    """Human-readable lines on a terminal, one JSON object a line otherwise; to standard error by default.

    Each line is one write, its end included: processes share a log, also where Python does not buffer what it writes.
    A line that cannot be written is lost.

    Args:
        form: human or json, for any stream.
        process: each event says that it is of this one of several.
    """
    import structlog

    target = stream if stream is not None else sys.stderr
    lines = _STANDARD_ERROR if stream is None else _Target(stream)

    def named(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        return event if process is None else {"process": process, **event}

    structlog.configure(
        processors=[named, *_processors(target, form)],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.WriteLoggerFactory(cast(TextIO, lines)),
        cache_logger_on_first_use=False,
    )


class _Target:
    """Where lines go. One that cannot be written, on a full disk or to a reader that has left, is lost: nothing ends.

    None is standard error as it is at each line: a live display puts itself in its place, so that lines go above it.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError):
            (self._stream or sys.stderr).write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            (self._stream or sys.stderr).flush()


_STANDARD_ERROR = _Target(None)  # one: structlog keeps a lock for each target for ever


@contextmanager
def diverted_logs(take: Callable[[str, MutableMapping[str, Any]], None]) -> Iterator[None]:
    """Meanwhile every event goes to `take`, with its level, and nowhere else."""
    import structlog

    before = structlog.get_config() if structlog.is_configured() else None

    def diverted(logger: Any, method: str, event: MutableMapping[str, Any]) -> Any:
        take(method, event)
        raise structlog.DropEvent

    structlog.configure(processors=[diverted], cache_logger_on_first_use=False)
    try:
        yield
    finally:
        structlog.reset_defaults()
        if before is not None:
            structlog.configure(**before)


def _processors(target: TextIO, form: str = "auto") -> list[Any]:
    import structlog

    human = target.isatty() if form == "auto" else form == "human"
    for_people = [_printable, structlog.dev.ConsoleRenderer(colors=target.isatty())]
    return [
        _with_trace,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        *(for_people if human else [structlog.processors.JSONRenderer()]),
    ]


def _printable(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """What peers wrote does not command the terminal. Of other values the renderer shows Python's own form."""
    return {name: printable_lines(value) if isinstance(value, str) else value for name, value in event.items()}


def _with_trace(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The trace that the line belongs to, where there is one."""
    from tidelog.telemetry.tracing import current

    if (trace_id := current.get()) is not None:
        event.setdefault("trace_id", trace_id)
    return event


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
        import structlog

        if structlog.is_configured():
            return structlog.get_logger(component=self._component)
        return structlog.wrap_logger(
            structlog.WriteLogger(cast(TextIO, _STANDARD_ERROR)),
            processors=_processors(sys.stderr),
            wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
            component=self._component,
        )


def logger(component: str) -> Logger:
    return Logger(component)
