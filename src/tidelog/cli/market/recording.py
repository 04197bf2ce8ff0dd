"""The recording of an exchange, as a command: until Ctrl-C, and what it has then."""

import os

from tidelog.cli.options import LogLevel, Mode
from tidelog.cli.out import say
from tidelog.cli.sources.market import MarketSource, record_market
from tidelog.cli.sources.progress import write_json
from tidelog.cli.sources.stopping import Stop
from tidelog.market.kraken.auth import ApiKey
from tidelog.runtime import run
from tidelog.telemetry import configure_logs
from tidelog.telemetry.otel import traced

__all__ = ["api_key", "run_record"]


def run_record(source: MarketSource, status: str | None, *, progress: Mode, log_level: LogLevel) -> None:
    """Record until interrupted, and print what was recorded."""
    configure_logs(level=log_level)
    with traced("market record"):
        run(_record(source, status, progress))


async def _record(source: MarketSource, status: str | None, progress: Mode) -> None:
    stop = Stop()
    stop.on_signals()
    recorded, digest = await record_market(source, stop, status, progress=progress)
    if progress == "json":
        facts = {"frames": recorded.frames, "mismatches": recorded.mismatches, "malformed": recorded.malformed}
        write_json({"state": "stopped", "run": recorded.last.run, **facts, "digest": digest})
        return
    say(
        f"run {recorded.last.run}: {recorded.frames} frames, {recorded.mismatches} mismatches, "
        f"{recorded.malformed} malformed, digest {digest}"
    )


def api_key() -> ApiKey | None:
    """What the environment has."""
    key, secret = os.environ.get("TIDELOG_KRAKEN_KEY"), os.environ.get("TIDELOG_KRAKEN_SECRET")
    return ApiKey(key, secret) if key and secret else None
