"""The API as a process of `run`: the same as `serve`, configured by a file."""

from collections.abc import Callable

from tidelog.cli.run.file.parts import Part
from tidelog.cli.run.file.processes import api_options_of
from tidelog.cli.sources.api import serve_until
from tidelog.cli.sources.stopping import Stop
from tidelog.cli.stores import opened
from tidelog.runtime import SystemRuntime
from tidelog.telemetry import ApiMetrics


async def serve_api(part: Part, stop: Stop, listening: Callable[[str], None]) -> int:
    """Serve until asked to stop; the exit code."""
    settings = part.settings
    runtime, db = SystemRuntime(), settings.store.url.reveal()
    async with opened(db, readonly=False, runtime=runtime):
        pass  # it is made, or brought up to date: a reader needs that, and the sources may not have come to it yet
    options = api_options_of(settings, part.sources)
    await serve_until(stop, db, runtime, options, part.journals, ApiMetrics(), listening)
    return 0
