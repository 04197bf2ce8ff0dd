"""Which streams Kraken offers in which protocol. No I/O."""

from msgspec import Struct

from tidelog.errors import ConfigError
from tidelog.market.events import Stream

DEPTHS = (10, 25, 100, 500, 1000)
INTERVALS = (1, 5, 15, 30, 60, 240, 1440, 10080, 21600)  # minutes

_PRIVATE = {"v1": ("ownTrades", "openOrders"), "v2": ("executions", "balances")}
_PUBLIC = {"v1": ("book", "trade", "ticker", "ohlc", "spread"), "v2": ("book", "trade", "ticker", "ohlc", "instrument")}
_ALL_PRIVATE = (*_PRIVATE["v1"], *_PRIVATE["v2"])


class KrakenStreams(Struct, frozen=True):
    """The streams of one protocol; see `venue.Streams`."""

    protocol: str
    depths: tuple[int, ...] = DEPTHS

    def is_private(self, stream: Stream) -> bool:
        return stream.channel in _ALL_PRIVATE

    def has_symbols(self, stream: Stream) -> bool:
        return stream.channel != "instrument" and not self.is_private(stream)

    def stream(self, channel: str, *, depth: int, interval: int) -> Stream:
        known = _PUBLIC[self.protocol] + _PRIVATE[self.protocol]
        if channel not in known:
            raise ConfigError(f"protocol {self.protocol} has no channel {channel!r}; it has {', '.join(known)}")
        match channel:
            case "book":
                if depth not in DEPTHS:
                    raise ConfigError(f"a book of depth {depth}: the exchange has {', '.join(map(str, DEPTHS))}")
                return Stream("book", depth=depth)
            case "ohlc":
                if interval not in INTERVALS:
                    offered = ", ".join(map(str, INTERVALS))
                    raise ConfigError(f"candles of {interval} minutes: the exchange has {offered}")
                return Stream("ohlc", interval=interval)
            case "trade" if self.protocol == "v2":
                return Stream("trade", snapshot=True)  # the last fifty: they close the gap of a reconnect
            case _:
                return Stream(channel)


STREAMS = {protocol: KrakenStreams(protocol) for protocol in _PUBLIC}
