"""The API as a process of `run`: the same as `serve`, configured by a file."""

from collections.abc import Callable

from tidelog.api.server.serve import PortTaken
from tidelog.cli.run.file.parts import Part
from tidelog.cli.run.file.processes import api_options_of
from tidelog.cli.sources.api import serve_until
from tidelog.cli.sources.stopping import Stop
from tidelog.cli.stores import opened
from tidelog.errors import Busy
from tidelog.runtime import SystemRuntime
from tidelog.telemetry import ApiMetrics


async def serve_api(part: Part, stop: Stop, listening: Callable[[str], None]) -> int:
    """Serve until asked to stop; the exit code.

    Raises:
        Busy: another process has the port. What cannot be meant is a ConfigError, after which it stays down.
    """
    settings = part.settings
    runtime, db = SystemRuntime(), settings.store.url.reveal()
    async with opened(db, readonly=False, runtime=runtime):
        pass  # it is made, or brought up to date: a reader needs that, and the sources may not have come to it yet
    options = api_options_of(settings, part.sources)
    try:
        await serve_until(stop, db, runtime, options, part.journals, ApiMetrics(), listening)
    except PortTaken as error:
        raise Busy(str(error)) from None
    return 0
