"""The logs of the processes that `run` starts: each line says which one it is of."""

from tidelog.cli.run.file.settings import LogSettings
from tidelog.telemetry import configure_logs


def configure(settings: LogSettings, process: str, *, level: str | None = None) -> None:
    """Log to standard error as `settings` say; `level` in the place of theirs, if given."""
    configure_logs(level=level or settings.level, form=settings.format, process=process)
