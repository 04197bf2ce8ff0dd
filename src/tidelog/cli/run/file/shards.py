"""What a file says of shards: which processes a recording has, and which symbols each of them records."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidelog.errors import ConfigError
from tidelog.market.shards.layout import WHOLE, Layout, Shard, layout_of
from tidelog.market.symbols import normal_symbols
from tidelog.market.venues import venue_of

if TYPE_CHECKING:
    from tidelog.cli.run.file.settings import MarketSettings

__all__ = ["SEPARATOR", "active_shards", "layout_for", "recording_of", "shards_here", "symbols_of"]

SEPARATOR = "."  # no name of a source has one


def layout_for(market: MarketSettings) -> Layout | None:
    """How the recording is divided; None: not at all.

    Raises:
        ConfigError: it cannot be divided so.
    """
    shard = None if market.shard is None else Shard.read(market.shard)
    return layout_of(market.symbols, market.shards, shard, market.shard_symbols)


def shards_here(market: MarketSettings) -> dict[str, Shard]:
    """The processes of a recording on this machine, by name, and which shard each is. ConfigError: as `layout_for`."""
    layout = layout_for(market)
    if layout is None:
        return {market.name: WHOLE}
    numbers = active_shards(market, layout)
    if market.shard is not None:
        only = Shard.read(market.shard)
        if only.number not in numbers:
            raise ConfigError(f"shard {only} has none of the symbols: give it a list of its own, or take fewer shards")
        numbers = (only.number,)
    return {f"{market.name}{SEPARATOR}{number}": Shard(number, layout.of) for number in numbers}


def active_shards(market: MarketSettings, layout: Layout) -> tuple[int, ...]:
    """The shards that have something to record."""
    streams = venue_of(market.protocol).streams
    made = [streams.stream(name, depth=market.depth, interval=market.interval) for name in market.channels]
    return layout.numbers(normal_symbols(market.symbols), alone=not all(map(streams.has_symbols, made)))


def symbols_of(market: MarketSettings, shard: Shard) -> tuple[str, ...]:
    """Those of a shard, or of a recording without any."""
    layout = layout_for(market)
    return market.symbols if layout is None else layout.symbols_of(shard.number, normal_symbols(market.symbols))


def recording_of(process: str) -> str:
    """The recording that a process is of."""
    return process.partition(SEPARATOR)[0]
