"""The API as a process of `run`: the same as `serve`, told by a file."""

from collections.abc import Callable

from tidelog.cli.run.processes import api_options_of, journals_of
from tidelog.cli.run.settings import Settings
from tidelog.cli.serve import serve_until
from tidelog.cli.stopping import Stop
from tidelog.cli.stores import opened
from tidelog.runtime import SystemRuntime
from tidelog.telemetry import ApiMetrics


async def serve_api(settings: Settings, stop: Stop, listening: Callable[[str], None]) -> int:
    """Serve until asked to stop; the exit code."""
    runtime, db = SystemRuntime(), settings.store.url.reveal()
    async with opened(db, readonly=False, runtime=runtime):
        pass  # it is made, or brought up to date: a reader needs that, and the sources may not have come to it yet
    await serve_until(stop, db, runtime, api_options_of(settings), journals_of(settings), ApiMetrics(), listening)
    return 0
