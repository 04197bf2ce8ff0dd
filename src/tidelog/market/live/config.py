"""What a feed follows and where: what the user gave, checked, in one form. Pure."""

from collections.abc import Sequence

from msgspec import Struct

from tidelog.config import EndpointUrl
from tidelog.errors import ConfigError
from tidelog.market.events import Stream
from tidelog.market.symbols import listed, normal_symbols
from tidelog.market.venue import Venue
from tidelog.market.venues import venue_of

__all__ = ["FeedConfig", "feed_config"]

MIXED = "public and private channels come over two connections: use two feeds, two journals"


class FeedConfig(Struct, frozen=True):
    """One connection's worth: all channels are public, or all are private."""

    venue: Venue
    symbols: tuple[str, ...]  # in the form in which events name them
    channels: tuple[str, ...]
    depth: int  # of books
    interval: int  # of the exchange's candles, in minutes
    private: bool
    url: EndpointUrl

    def streams(self, channels: Sequence[str] | None = None) -> list[Stream]:
        """The streams of these channels, or of the feed's own. ConfigError: one of them is none of the connection's."""
        names = self.channels if channels is None else listed("channels", channels, "book")
        streams = [self.venue.streams.stream(name, depth=self.depth, interval=self.interval) for name in names]
        if any(self.venue.streams.is_private(stream) != self.private for stream in streams):
            raise ConfigError(MIXED)
        return streams

    def require_symbols(self, symbols: Sequence[str]) -> None:
        """ConfigError if there are none, and a channel of the feed's needs some."""
        if not symbols and any(self.venue.streams.has_symbols(stream) for stream in self.streams()):
            raise ConfigError("no symbols: say which, as BTC/USD")


def feed_config(
    symbols: Sequence[str],
    channels: Sequence[str],
    *,
    protocol: str,
    depth: int,
    interval: int,
    url: str | None,
    has_tokens: bool,
) -> FeedConfig:
    """What the user gave, checked.

    Raises:
        ConfigError: there is no such protocol, channel, depth or interval; a symbol cannot be read, or is missing;
            channels are missing or mixed, or are private and there is nothing to get tokens from.
    """
    venue = venue_of(protocol)
    names = tuple(listed("channels", channels, "book"))
    if not names:
        raise ConfigError("no channels: say which, as book")
    markets = normal_symbols(symbols)
    streams = [venue.streams.stream(name, depth=depth, interval=interval) for name in names]
    private = any(venue.streams.is_private(stream) for stream in streams)
    if private and not all(venue.streams.is_private(stream) for stream in streams):
        raise ConfigError(MIXED)
    if private and not has_tokens:
        raise ConfigError(f"{', '.join(names)}: private channels need an API key")
    own_url = venue.private_url if private else venue.url
    address = EndpointUrl(url or own_url, schemes=("ws", "wss"))
    config = FeedConfig(venue, markets, names, depth, interval, private, address)
    config.require_symbols(markets)
    return config
