"""One stream of events to many consumers, each with its own bound. No socket, and no clock but the loop's, for turns.

`publish` never waits and never fails: a consumer that is slow, stuck or gone costs at most its own bound.
Where it lost events it gets `Lagged(missed=n)`, no later than the place of the loss, and then the next event.

An event is handed out at once, with `durable=False` until the journal has committed its frame; a consumer of durable
events gets it only then. One event loop owns a `FanOut`; each subscription has one reader.
"""

import asyncio
import enum
from collections import deque
from collections.abc import Hashable, Iterable
from typing import NamedTuple

from msgspec import Struct

from tidelog.market.events import (
    NOTHING,
    BookDelta,
    BookSnapshot,
    BookUpdates,
    Candles,
    Event,
    EventId,
    Spread,
    Tickers,
    Trades,
)

PENDING_MAX = 10_000  # items per subscriber: seconds of a busy market, a few megabytes
ITEMS_AT_ONCE = 512  # that a consumer gets before others have their turn: twice what a feed takes in one of its own
TURN_S = 0.05  # ... or for so long, if it is slow
UNDURABLE_MAX = 100_000  # items waiting for the journal: above what its hand-off lets pass uncommitted


class Policy(enum.Enum):
    """What happens to a consumer that is behind by its whole bound."""

    DROP_OLDEST = "drop_oldest"  # it loses the oldest, and gets `Lagged` with their number
    CONFLATE = "conflate"  # of each kind and symbol it gets the latest, not in the order of ids


class Item(Struct, frozen=True, gc=False):
    """An event as a consumer gets it. What is not durable is lost with the process, and its id with it."""

    id: EventId
    event: Event
    durable: bool


class Lagged(Struct, frozen=True, gc=False):
    """A consumer that was too slow has lost events here.

    missed: how many of those that it asked for. None of them comes later; `replay_records` has them, from the journal.
    """

    missed: int


class Statistics(Struct, frozen=True):
    """Counts of events since a consumer subscribed, and how far it is behind."""

    pending: int  # not read yet
    delivered: int
    dropped: int  # reported as `Lagged`
    conflated: int  # replaced by a newer one of their kind and symbol
    lag: int  # events published since the latest that was delivered


class _Published(NamedTuple):
    number: int  # in the stream, from 1
    id: EventId
    event: Event


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
            return type(event)


class Subscription:
    """One consumer's end: `async for item in subscription` gives `Item` and `Lagged`.

    It ends once either side has closed it and what is pending was read. One task reads it at a time; a wait that is
    cancelled loses nothing.
    """

    def __init__(
        self, fanout: "FanOut", policy: Policy, pending_max: int, kinds: frozenset[type[Event]] | None
    ) -> None:
        self._fanout = fanout
        self._policy = policy
        self._pending_max = pending_max
        self._kinds = kinds
        self._since = fanout.published  # what came before is not for us
        self._pending: dict[Hashable, _Published] = {}  # next first, at most `pending_max`
        self._missed = 0  # dropped before the first of `_pending`, and not reported yet
        self._delivered = self._dropped = self._conflated = 0
        self._reached = fanout.published  # the number in the stream of the one that was delivered last
        self._at_once = 0  # items that were handed out without a wait ...
        self._turn_s = 0.0  # ... since then
        self._closed = False
        self._readable = asyncio.Event()

    def __aiter__(self) -> "Subscription":
        return self

    async def __anext__(self) -> Item | Lagged:
        if self._pending:
            await self._take_turns()
        while not (self._missed or self._pending):
            if self._closed:
                raise StopAsyncIteration
            self._readable.clear()
            await self._readable.wait()
            self._turn_s, self._at_once = asyncio.get_running_loop().time(), 0
        if self._missed:
            missed, self._missed = self._missed, 0
            return Lagged(missed)
        published = self._pending.pop(next(iter(self._pending)))
        self._delivered += 1
        self._reached = max(self._reached, published.number)
        return Item(published.id, published.event, published.id <= self._fanout.durable_through)

    async def _take_turns(self) -> None:
        """A consumer that is behind never waits for an event: let the others run now and then, the feed for one."""
        loop = asyncio.get_running_loop()
        self._at_once += 1
        if self._at_once >= ITEMS_AT_ONCE or loop.time() - self._turn_s > TURN_S:
            try:
                await asyncio.sleep(0)
            finally:  # a consumer whose own time limit ends just here has let the others run, too
                self._turn_s, self._at_once = loop.time(), 0

    @property
    def statistics(self) -> Statistics:
        """What this consumer has got, has lost, and has still to read."""
        lag = self._fanout.published - self._reached
        return Statistics(len(self._pending), self._delivered, self._dropped, self._conflated, lag)

    def close(self) -> None:
        """Receive nothing more. What is pending can still be read; then the iteration ends."""
        self._closed = True
        self._readable.set()
        self._fanout._forget(self)

    def _put(self, published: _Published) -> None:
        if not self._wants(published):
            return
        conflating = self._policy is Policy.CONFLATE
        key = conflation_key(published.event) if conflating else published.number
        if key in self._pending:  # keeps its place: the busiest symbol would never get its turn
            self._conflated += 1
        elif len(self._pending) >= self._pending_max:
            self._lose(self._pending.pop(next(iter(self._pending))))
        self._pending[key] = published
        self._readable.set()

    def _lose(self, published: _Published) -> None:
        if self._wants(published):
            self._missed += 1
            self._dropped += 1
            self._readable.set()

    def _wants(self, published: _Published) -> bool:
        return published.number > self._since and (self._kinds is None or type(published.event) in self._kinds)


class FanOut:
    """Where a feed publishes, and consumers subscribe."""

    def __init__(self, *, undurable_max: int = UNDURABLE_MAX) -> None:
        self.published = 0
        self.durable_through = NOTHING  # ids grow; all up to here are durable
        self._undurable_max = undurable_max
        self._subscriptions: dict[Subscription, None] = {}  # ordered, for determinism
        self._patient: dict[Subscription, None] = {}  # those of durable events only
        self._undurable: deque[_Published] = deque()  # what the patient have not got yet
        self._closed = False
        self._gone = [0, 0, 0]  # delivered, dropped and conflated of those that have left

    def subscribe(
        self,
        policy: Policy = Policy.DROP_OLDEST,
        *,
        pending_max: int = PENDING_MAX,
        durable_only: bool = False,
        kinds: Iterable[type[Event]] | None = None,
    ) -> Subscription:
        """Take part from here on.

        Args:
            policy: what happens when `pending_max` events wait to be read.
            durable_only: get events only once the journal has their frames.
            kinds: get only events of these types, so that others take no room.
        """
        if pending_max < 1:
            raise ValueError("a subscription has to hold at least one event")
        selected = None if kinds is None else frozenset(kinds)
        subscription = Subscription(self, policy, pending_max, selected)
        if self._closed:
            subscription.close()
        else:
            (self._patient if durable_only else self._subscriptions)[subscription] = None
        return subscription

    @property
    def subscribers(self) -> int:
        return len(self._subscriptions) + len(self._patient)

    @property
    def statistics(self) -> Statistics:
        """Of all subscriptions together, those that have left included; `lag` is that of the slowest."""
        delivered, dropped, conflated = self._gone
        pending = lag = 0
        for subscription in (*self._subscriptions, *self._patient):
            one = subscription.statistics
            pending, lag = pending + one.pending, max(lag, one.lag)
            delivered, dropped, conflated = delivered + one.delivered, dropped + one.dropped, conflated + one.conflated
        return Statistics(pending, delivered, dropped, conflated, lag)

    def publish(self, id_: EventId, event: Event) -> None:
        """Hand an event to everybody. Ids grow from call to call."""
        self.published += 1
        published = _Published(self.published, id_, event)
        for subscription in self._subscriptions:
            subscription._put(published)
        if not self._patient:
            return
        if id_ <= self.durable_through:
            for subscription in self._patient:
                subscription._put(published)
            return
        if len(self._undurable) >= self._undurable_max:
            lost = self._undurable.popleft()
            for subscription in self._patient:
                subscription._lose(lost)
        self._undurable.append(published)

    def durable(self, through: EventId) -> None:
        """The journal has committed every frame up to this one."""
        self.durable_through = max(self.durable_through, through)
        while self._undurable and self._undurable[0].id <= self.durable_through:
            published = self._undurable.popleft()
            for subscription in self._patient:
                subscription._put(published)

    def close(self) -> None:
        """The stream is over: consumers read what is pending, and end."""
        self._closed = True
        for subscription in (*self._subscriptions, *self._patient):
            subscription.close()
        self._undurable.clear()

    def _forget(self, subscription: Subscription) -> None:
        if subscription in self._subscriptions or subscription in self._patient:
            left = subscription.statistics
            for at, count in enumerate((left.delivered, left.dropped, left.conflated)):
                self._gone[at] += count
        self._subscriptions.pop(subscription, None)
        self._patient.pop(subscription, None)
        if not self._patient:
            self._undurable.clear()
