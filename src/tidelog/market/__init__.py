"""Exchange market data: typed events, checked books, and the sessions that deliver them.

The public names load on first use: whoever wants a codec does not load a socket and a database.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tidelog.market.events import BookDelta, BookSnapshot, BookUpdates, Tickers, Trades
    from tidelog.market.fanout import Item, Lagged, Policy
    from tidelog.market.feed import Feed, Progress
    from tidelog.market.retention import Retention
    from tidelog.market.views import BookView

__all__ = [
    "BookDelta",
    "BookSnapshot",
    "BookUpdates",
    "BookView",
    "Feed",
    "Item",
    "Lagged",
    "Policy",
    "Progress",
    "Retention",
    "Tickers",
    "Trades",
]

_HOMES = (
    dict.fromkeys(("BookDelta", "BookSnapshot", "BookUpdates", "Tickers", "Trades"), "events")
    | dict.fromkeys(("Item", "Lagged", "Policy"), "fanout")
    | dict.fromkeys(("Feed", "Progress"), "feed")
    | {"BookView": "views", "Retention": "retention"}
)


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(import_module(f"tidelog.market.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
