"""`tidelog config` and `tidelog init`: what a file says, and a file to begin with."""

import json
import os
from typing import Annotated, Any

import cyclopts
from cyclopts import Parameter

from tidelog.cli.out import complain, say
from tidelog.cli.run import DEFAULT_FILE, ConfigFile, DataDir, surroundings
from tidelog.cli.run.file.processes import checked, market_source_of, warnings_of
from tidelog.cli.run.file.reference import commented_file
from tidelog.cli.run.file.settings import Settings
from tidelog.cli.run.file.shards import layout_for, shards_here
from tidelog.cli.run.file.streams import StreamSettings
from tidelog.config import shown
from tidelog.errors import ConfigError

app = cyclopts.App(name="config", help="The configuration file of `tidelog run`: check, show.")


@app.command
def check(*, config: ConfigFile = DEFAULT_FILE, data_dir: DataDir = None) -> None:
    """Say what a file would run, or what is wrong with it; exit code 2 then. Connects to nothing."""
    loaded = checked(config, surroundings(data_dir))
    for warning in warnings_of(loaded, config):
        complain(f"tidelog: warning: {warning}")
    for about, what in _plan(loaded.value):
        say(f"{about:8} {what}")


def _plan(settings: Settings) -> list[tuple[str, str]]:
    lines = [("store", str(settings.store.url.shown()))]
    for chain in settings.chain:
        contracts = f"; contracts {', '.join(each.name for each in chain.contract)}" if chain.contract else ""
        lines.append(("chain", f"{chain.name}: {', '.join(url.shown() for url in chain.rpc)}{contracts}"))
    lines += [
        ("market", f"{market.name}: {', '.join((*market.symbols, *market.channels))}; journal {market.journal}")
        for market in settings.market
        if layout_for(market) is None
    ]
    for market in settings.market:
        for name, shard in shards_here(market).items():
            if layout_for(market) is not None:
                source = market_source_of(settings, name)
                what = ", ".join((*source.symbols, *source.channels))
                lines.append(("market", f"{market.name}, shard {shard}: {what}; journal {source.journal}"))
    lines += [("stream", f"{stream.name}: {stream.source} to {_destination(stream)}") for stream in settings.stream]
    api = f"{settings.api.host}, port {settings.api.port}" if settings.api.enabled else "not served"
    lines += [("api", api), ("run", f"in {settings.run.directory}, stops within {settings.run.stop_timeout.shown()}")]
    return lines


@app.command
def show(
    *,
    config: ConfigFile = DEFAULT_FILE,
    data_dir: DataDir = None,
    as_json: Annotated[bool, Parameter(name="--json")] = False,
) -> None:
    """Print every key with its value, secrets hidden, and where it is from: the file, a variable, or the default.

    Args:
        as_json: one JSON object: the values under "values", the variables that override keys under "overrides".
    """
    keys = shown(checked(config, surroundings(data_dir)))
    if not as_json:
        for key in keys:
            say(f"{key.key} = {json.dumps(key.value)}  # {key.origin}")
        return
    values: dict[str, Any] = {}
    for key in keys:
        below = values
        for step in key.path[:-1]:
            below = below.setdefault(step, {})
        below[key.path[-1]] = key.value
    overrides = {key.key: key.origin for key in keys if key.origin not in ("file", "default")}
    say(json.dumps({"values": values, "overrides": overrides}))


def init(path: str = DEFAULT_FILE, /) -> None:
    """Write a configuration file with every key, commented. A file that exists is left alone.

    Args:
        path: of the new file.
    """
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)  # keys may come to stand in it
    except FileExistsError:
        raise ConfigError(f"{path} exists: give the path of a new file") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from None
    with open(file, "w", encoding="utf-8") as opened:
        opened.write(commented_file())
    say(f"{path} is written: `tidelog config check -c {path}`, then `tidelog run -c {path}`")


def _destination(stream: StreamSettings) -> str:
    """Where it goes, without secrets."""
    if stream.url is not None:
        return stream.url.shown()
    return stream.kafka or ", ".join(url.shown() for url in stream.nats or ())
