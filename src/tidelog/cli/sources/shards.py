"""A recording that is divided into shards: the options of each, and where they stand beside each other."""

import os
import socket

from msgspec.structs import replace

from tidelog.cli.sources.market import MarketSource, SourceShard
from tidelog.errors import ConfigError
from tidelog.market.events import Stream
from tidelog.market.shards.layout import SHARDS_MAX, Layout, Shard, journal_of
from tidelog.market.symbols import normal_symbols
from tidelog.market.venues import venue_of

__all__ = ["divided", "journals_here", "place_of"]


def divided(source: MarketSource, layout: Layout, only: Shard | None = None) -> dict[int, MarketSource]:
    """The options of each shard that has something to record, by its number.

    Args:
        only: the one that is run here; None: all of them.

    Raises:
        ConfigError: the channels cannot be divided, or nothing is left for the shard.
    """
    streams = venue_of(source.protocol).streams
    plain: list[str] = []  # channels that come without symbols: the first shard has them
    for channel in source.channels:
        stream: Stream = streams.stream(channel, depth=source.depth, interval=source.interval)
        if streams.is_private(stream):
            raise ConfigError(f"{channel} comes over one connection: private channels have no shards")
        if not streams.has_symbols(stream):
            plain.append(channel)
    symbols = normal_symbols(source.symbols)
    active = layout.numbers(symbols, alone=bool(plain))
    if not symbols:
        raise ConfigError("no symbols: say which, as BTC/USD")
    if only is not None and only.number not in active:
        raise ConfigError(f"shard {only} has none of the symbols: give it a list of its own, or take fewer shards")
    found: dict[int, MarketSource] = {}
    for number in active if only is None else (only.number,):
        own = layout.symbols_of(number, symbols)
        channels = [each for each in source.channels if each not in plain or number == 1]
        found[number] = replace(
            source,
            symbols=list(own),
            channels=channels if own else plain,
            journal=journal_of(source.journal, number),
            shard=SourceShard(number, layout.of, active, source.journal),
        )
    return found


def journals_here(journal: str) -> dict[int, str]:
    """The journals of a recording that there are, by the numbers of their shards."""
    paths = {number: journal_of(journal, number) for number in range(1, SHARDS_MAX + 1)}
    return {number: path for number, path in paths.items() if os.path.exists(path)}


def place_of(journal: str) -> str:
    """Where a recording's journals are: who starts one of its shards there, starts and stops all of them."""
    return f"{socket.gethostname()}:{os.path.dirname(os.path.realpath(journal))}"
