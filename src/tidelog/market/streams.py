"""Which streams Kraken offers in which protocol, and where. No I/O."""

from tidelog.errors import ConfigError
from tidelog.market.events import Stream

PUBLIC_URLS = {"v1": "wss://ws.kraken.com", "v2": "wss://ws.kraken.com/v2"}
PRIVATE_URLS = {"v1": "wss://ws-auth.kraken.com", "v2": "wss://ws-auth.kraken.com/v2"}
DEPTHS = (10, 25, 100, 500, 1000)
INTERVALS = (1, 5, 15, 30, 60, 240, 1440, 10080, 21600)  # minutes

_PRIVATE = {"v1": ("ownTrades", "openOrders"), "v2": ("executions", "balances")}
_PUBLIC = {"v1": ("book", "trade", "ticker", "ohlc", "spread"), "v2": ("book", "trade", "ticker", "ohlc", "instrument")}


def is_private(stream: Stream) -> bool:
    return any(stream.channel in names for names in _PRIVATE.values())


def has_symbols(stream: Stream) -> bool:
    """Whether it is subscribed by symbol; the others come as one."""
    return stream.channel != "instrument" and not is_private(stream)


def stream_of(protocol: str, channel: str, *, depth: int, interval: int) -> Stream:
    """The stream of that name; `depth` serves for books, `interval` for candles. ConfigError if there is none."""
    known = _PUBLIC[protocol] + _PRIVATE[protocol]
    if channel not in known:
        raise ConfigError(f"protocol {protocol} has no channel {channel!r}; it has {', '.join(known)}")
    match channel:
        case "book":
            if depth not in DEPTHS:
                raise ConfigError(f"a book of depth {depth}: the exchange has {', '.join(map(str, DEPTHS))}")
            return Stream("book", depth=depth)
        case "ohlc":
            if interval not in INTERVALS:
                raise ConfigError(f"candles of {interval} minutes: the exchange has {', '.join(map(str, INTERVALS))}")
            return Stream("ohlc", interval=interval)
        case "trade" if protocol == "v2":
            return Stream("trade", snapshot=True)  # the last fifty: they close the gap of a reconnect
        case _:
            return Stream(channel)
