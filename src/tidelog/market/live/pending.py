"""What waits for one consumer: the newest events in order, or the latest of each kind and symbol. Pure.

Both hold at most so many events, and say what they had to drop for that.
"""

from collections import deque
from collections.abc import Hashable
from itertools import islice
from typing import Protocol

from tidelog.market.events import BookDelta, BookSnapshot, BookUpdates, Candles, Event, Spread, Tickers, Trades
from tidelog.market.live.batches import Published

__all__ = ["InOrder", "Latest", "Pending", "conflation_key"]


class Pending(Protocol):
    """Events that wait to be read."""

    conflated: int  # events that a newer one of their kind and symbol has replaced

    def __len__(self) -> int:
        """How many."""

    def put(self, published: Published) -> int:
        """Take events in; how many had to go for that, the next ones first."""

    def next(self, events_max: int) -> Published:
        """The next ones, in order: at least one, where any wait, and so many at most. They stay until `skip`."""

    def skip(self, count: int) -> None:
        """Take so many out of those."""

    def take(self, events_max: int) -> list[Published]:
        """Take so many out, in order, or all that there are."""


class InOrder:
    """All events in the order in which they came; the oldest goes where there is no room."""

    __slots__ = ("_at", "_count", "_max", "_parts", "conflated")

    def __init__(self, pending_max: int) -> None:
        self._max = pending_max
        self._parts: deque[Published] = deque()
        self._at = 0  # the next of the first part: what comes before it is gone
        self._count = 0
        self.conflated = 0  # nothing is

    def __len__(self) -> int:
        return self._count

    def put(self, published: Published) -> int:
        self._parts.append(published)
        self._count += len(published.seqs)
        dropped = self._count - self._max
        if dropped <= 0:
            return 0
        self.skip(dropped)
        return dropped

    def next(self, events_max: int) -> Published:
        part, at = self._parts[0], self._at
        size = min(events_max, len(part.seqs) - at)
        return part if size == len(part.seqs) else part.part(at, at + size)

    def take(self, events_max: int) -> list[Published]:
        found: list[Published] = []
        wanted = min(events_max, self._count)
        while wanted:
            found.append(part := self.next(wanted))
            self.skip(len(part.seqs))
            wanted -= len(part.seqs)
        return found

    def skip(self, count: int) -> None:
        self._count -= count
        at = self._at + count
        while self._parts and at >= len(self._parts[0].seqs):
            at -= len(self._parts.popleft().seqs)
        self._at = at


class Latest:
    """Of each kind and symbol the latest event. It takes its predecessor's place.

    At the end of the queue the busiest symbol would never get its turn.
    """

    __slots__ = ("_latest", "_max", "conflated")

    def __init__(self, pending_max: int) -> None:
        self._max = pending_max
        self._latest: dict[Hashable, Published] = {}  # one event each; next first
        self.conflated = 0

    def __len__(self) -> int:
        return len(self._latest)

    def put(self, published: Published) -> int:
        latest, dropped = self._latest, 0
        for place, event in enumerate(published.events):
            key = conflation_key(event)
            if key in latest:
                self.conflated += 1
            elif len(latest) >= self._max:
                del latest[next(iter(latest))]
                dropped += 1
            latest[key] = Published(published.run, published.seqs[place : place + 1], (event,), published.ahead)
        return dropped

    def next(self, events_max: int) -> Published:
        return next(iter(self._latest.values()))

    def skip(self, count: int) -> None:
        self.take(count)

    def take(self, events_max: int) -> list[Published]:
        return [self._latest.pop(key) for key in [*islice(self._latest, events_max)]]


def conflation_key(event: Event) -> Hashable:
    """The kind and symbol of an event: of equal ones, only the latest says how things are."""
    match event:
        case BookSnapshot() | BookDelta():
            return BookDelta, event.symbol
        case BookUpdates():
            return BookDelta, *{part.symbol: None for part in event.parts}
        case Spread():
            return Spread, event.symbol
        case Trades():
            return Trades, *{trade.symbol: None for trade in event.trades}
        case Tickers():
            return Tickers, *{ticker.symbol: None for ticker in event.tickers}
        case Candles():
            return Candles, *{(candle.symbol, candle.interval): None for candle in event.candles}
        case _:
            return event.__class__
