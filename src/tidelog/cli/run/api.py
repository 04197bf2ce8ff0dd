"""The API as a process of `run`: the same as `serve`, told by a file."""

from tidelog.cli.run.settings import Settings
from tidelog.cli.stopping import Stop


async def serve_api(settings: Settings, stop: Stop) -> int:
    """Serve until asked to stop; the exit code."""
    await stop.wait()
    return 0
