"""The topics of live streams, as values: the same for a path with its query and for a WebSocket's command. No I/O.

A channel is a function that makes a topic of what a client says: its parameters are what one can say there.
"""

import re
from collections.abc import Callable, Mapping
from typing import TypeAlias

from msgspec import Struct

from tidelog.api.http.parameters import place_of_changes
from tidelog.api.http.problems import Refused
from tidelog.batch import INT_MAX
from tidelog.chain.forks import bookmarks as followed
from tidelog.market.events import EventId
from tidelog.market.symbols import spelled

__all__ = [
    "CHANNELS",
    "LEVELS_DEFAULT",
    "LEVELS_MAX",
    "Book",
    "Candles",
    "Changes",
    "Place",
    "Topic",
    "Trades",
    "book",
    "candles",
    "changes",
    "interval_of",
    "number_of",
    "place_of",
    "place_text",
    "symbol_of",
    "trades",
]

LEVELS_DEFAULT = 10  # what the exchange's checksum proves
LEVELS_MAX = 100  # of each side: some 4 kB a message; a whole book is a job for the journal
SYMBOL_CHARS_MAX = 40

_PLACE = re.compile(r"(\d{1,18})-(\d{1,18})(?:-(\d{1,18}))?", re.ASCII)
_NUMBER = re.compile(r"\d{1,19}", re.ASCII)
_INTERVAL = re.compile(r"(\d{1,6})([smhd]?)", re.ASCII)
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400}


class Place(Struct, frozen=True):
    """A record of a journal, and the last trade that a listener had by then, where that is known."""

    record: EventId
    trade_id: int | None = None


class Changes(Struct, frozen=True):
    """The blocks that a chain's commits apply and revert."""

    chain: int
    after: followed.Place | None = None  # what the client has; None: begin now
    header: bool = False  # with each applied block's header


class Trades(Struct, frozen=True):
    symbol: str
    recording: str | None = None  # None: the only one that there is
    after: Place | None = None


class Book(Struct, frozen=True):
    """The best levels. It has no past: a stream begins with the present levels."""

    symbol: str
    recording: str | None = None
    levels: int = LEVELS_DEFAULT

    def __post_init__(self) -> None:
        if not 1 <= self.levels <= LEVELS_MAX:
            raise Refused(400, f"levels is {self.levels}: give 1 to {LEVELS_MAX}")


class Candles(Struct, frozen=True):
    symbol: str
    recording: str | None = None
    interval_s: int = 60
    after_us: int | None = None  # when the last candle began that the client has


Topic: TypeAlias = Changes | Trades | Book | Candles


# -- the channels: each raises Refused, in a sentence, for what cannot be meant ------------------------------


def changes(chain: int, after: str | int | None = None, blocks: str | None = None) -> Changes:
    return Changes(number_of("chain", chain), None if after is None else place_of_changes(after), blocks is not None)


def trades(symbol: str, recording: str | None = None, after: str | int | None = None) -> Trades:
    return Trades(symbol_of(symbol), recording, None if after is None else place_of("after", after))


def book(symbol: str, recording: str | None = None, levels: int = LEVELS_DEFAULT) -> Book:
    return Book(symbol_of(symbol), recording, levels)


def candles(
    symbol: str, recording: str | None = None, interval: str | int = "1m", after: str | int | None = None
) -> Candles:
    after_us = None if after is None else number_of("after", after)
    return Candles(symbol_of(symbol), recording, interval_of(interval), after_us)


CHANNELS: Mapping[str, Callable[..., Topic]] = {"changes": changes, "trades": trades, "book": book, "candles": candles}


# -- their parameters --------------------------------------------------------------------------------------


def symbol_of(text: str) -> str:
    """`BTC/USD`, of that or of `BTC-USD`, which needs no encoding in a path, or of `xbt-usd`."""
    if not 1 <= len(text) <= SYMBOL_CHARS_MAX or "\0" in text:
        raise Refused(400, "the symbol is none: give one such as BTC-USD")
    return spelled(text.replace("%2F", "/"))  # as a path has it


def number_of(name: str, said: str | int) -> int:
    """A sequence number, or a time in microseconds."""
    text = str(said)
    number = int(text) if _NUMBER.fullmatch(text) else -1
    if not 0 <= number <= INT_MAX:
        raise Refused(400, f"{name} {text[:40]!r} is no place in this stream: give the id of an event, or 0 for all")
    return number


def place_of(name: str, said: str | int) -> Place:
    """`RUN-SEQ`, as events have it, or `RUN-SEQ-TRADE`."""
    text = str(said)
    if (found := _PLACE.fullmatch(text)) is None:
        raise Refused(400, f"{name} {text[:40]!r} is no place in this stream: give the id of an event, such as 3-1200")
    return Place(EventId(int(found[1]), int(found[2])), None if found[3] is None else int(found[3]))


def place_text(id_: EventId, trade_id: int | None = None) -> str:
    return f"{id_.run}-{id_.seq}" if trade_id is None else f"{id_.run}-{id_.seq}-{trade_id}"


def interval_of(said: str | int) -> int:
    """Seconds, of `60`, `1m`, `1h`, `1d`."""
    text = str(said)
    found = _INTERVAL.fullmatch(text)
    interval_s = 0 if found is None else int(found[1]) * _UNITS[found[2]]
    if interval_s == 0:
        raise Refused(400, f"interval {text[:40]!r} is no length of time: give one such as 1m, 1h or 1d")
    return interval_s
