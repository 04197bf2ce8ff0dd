"""The logs of the processes that `run` starts: each line says which source it is about."""

import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from tidelog.cli.run.settings import LogSettings
from tidelog.telemetry import configure_logs


def configure(settings: LogSettings, source: str, *, level: str | None = None) -> None:
    """Log to standard error as `settings` say; `level` in the place of theirs, if given."""
    configure_logs(level=level or settings.level)
    processors = list(structlog.get_config()["processors"])
    if settings.format == "human":
        processors[-1] = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    elif settings.format == "json":
        processors[-1] = structlog.processors.JSONRenderer()

    def named(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        return {"source": source, **event}

    structlog.configure(processors=[named, *processors])
