"""The recording of an exchange, as a command: until Ctrl-C, and what it has then."""

import os

from tidelog.cli.options import LogLevel, Mode
from tidelog.cli.out import say
from tidelog.cli.sources.market import MarketSource, record_market
from tidelog.cli.sources.progress import write_json
from tidelog.cli.sources.shards import divided
from tidelog.cli.sources.stopping import Stop
from tidelog.errors import ConfigError
from tidelog.market.kraken.auth import ApiKey
from tidelog.market.shards.claims import shard_source
from tidelog.market.shards.layout import Layout
from tidelog.runtime import SystemRuntime, run
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


def run_divided(
    source: MarketSource, layout: Layout, status: str | None, *, progress: Mode, log_level: LogLevel
) -> None:
    """Record by several processes until interrupted."""
    from tidelog.cli.run.divided import supervise_shards

    if progress == "json":
        raise ConfigError("--progress json is of one process: with --shards, ask --status, or let the log say it")
    divided(source, layout)  # what is wrong with a shard is said before any is started
    supervise_shards(source, layout, status, log_level)


def print_released(journal: str, db: str, name: str, shard: int) -> None:
    """Let others have the symbols of a shard, once all of its journal is loaded."""
    from tidelog.cli.sources.loading import given_up

    if not os.path.isfile(journal):
        raise ConfigError(f"{journal} cannot be opened: there is no such file")
    configure_logs(level="warning")
    run(given_up(journal, SystemRuntime(), db, name, shard))
    say(f"{shard_source(name, shard)} has no symbols any more, and all of {journal} is in the store")


def api_key() -> ApiKey | None:
    """What the environment has."""
    key, secret = os.environ.get("TIDELOG_KRAKEN_KEY"), os.environ.get("TIDELOG_KRAKEN_SECRET")
    return ApiKey(key, secret) if key and secret else None
