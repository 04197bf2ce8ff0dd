"""One stream of events to many consumers, each with its own bound. No socket, and no clock but the loop's, for turns.

`publish` never waits and never fails: a consumer that is slow, stuck or gone costs at most its own bound.
Where it lost events it gets `Lagged(missed=n)`, no later than the place of the loss, and then the next event.

An event is handed out at once, with `durable=False` until the journal has committed its frame; a consumer of durable
events gets it only then. One event loop owns a `FanOut`. Tasks that read one subscription share its events.
"""

import asyncio
import enum
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import length_hint
from typing import TypeVar

from msgspec import Struct

from tidelog.market.events import NOTHING, Event, EventId
from tidelog.market.live.batches import EventBatch, Item, Published, items_of
from tidelog.market.live.pending import InOrder, Latest, Pending

PENDING_MAX = 10_000  # items per subscriber: seconds of a busy market, a few megabytes
ITEMS_AT_ONCE = 8192  # that a consumer gets before others have their turn: twice what a feed takes in one of its own
TURN_S = 0.05  # ... or for so long, if it is slow
OPENED_MAX = 512  # items that a quick consumer has at hand: if it slows down, the others wait for so many
QUICK_S = TURN_S / 16  # in which one that is quick has taken those before them
UNDURABLE_MAX = 100_000  # items waiting for the journal: above what its hand-off lets pass uncommitted


class Policy(enum.Enum):
    """What happens to a consumer that is behind by its whole bound."""

    DROP_OLDEST = "drop_oldest"  # it loses the oldest, and gets `Lagged` with their number
    CONFLATE = "conflate"  # of each kind and symbol it gets the latest, not in the order of ids


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


Consumer = TypeVar("Consumer", bound="_Consumer")


class _Consumer:
    """One consumer's end. It is over once either side has closed it and what is pending was read."""

    def __init__(
        self, fanout: "FanOut", policy: Policy, pending_max: int, kinds: frozenset[type[Event]] | None
    ) -> None:
        self._fanout = fanout
        self._kinds = kinds
        self._since = fanout.published  # what came before is not for us
        self._pending: Pending = Latest(pending_max) if policy is Policy.CONFLATE else InOrder(pending_max)
        self._missed = 0  # dropped before the first of `_pending`, and not reported yet
        self._delivered = self._dropped = 0
        self._reached = fanout.published  # the number in the stream of the one that was delivered last
        self._at_once = ITEMS_AT_ONCE  # items that were handed out without a wait: at first others have their turn ...
        self._turn_s = 0.0  # ... since then
        self._clock: Callable[[], float] = float  # the loop's, from the first turn on
        self._closed = False
        self._readable = asyncio.Event()

    async def _ready(self) -> None:
        """Return once there is something to hand out; StopAsyncIteration: there will be nothing.

        A consumer that is behind never waits for an event: let the others run now and then, the feed for one.
        """
        clock = self._clock = asyncio.get_running_loop().time
        if len(self._pending) and (self._at_once >= ITEMS_AT_ONCE or clock() - self._turn_s > TURN_S):
            try:
                await asyncio.sleep(0)
            finally:  # a consumer whose own time limit ends just here has let the others run, too
                self._turn_s, self._at_once = clock(), 0
        while not (self._missed or len(self._pending)):
            if self._closed:
                raise StopAsyncIteration
            self._readable.clear()
            await self._readable.wait()
            self._turn_s, self._at_once = clock(), 0

    def _settle(self) -> None:
        """Count what was handed out, where that was not done at once."""

    def _lagged(self) -> Lagged:
        missed, self._missed = self._missed, 0
        return Lagged(missed)

    def _deliver(self, events: int, reached: int) -> None:
        self._delivered += events
        self._at_once += events
        self._reached = max(self._reached, reached)

    @property
    def statistics(self) -> Statistics:
        """What this consumer has got, has lost, and has still to read, in events."""
        self._settle()
        lag = self._fanout.published - self._reached
        return Statistics(len(self._pending), self._delivered, self._dropped, self._pending.conflated, lag)

    def close(self) -> None:
        """Receive nothing more. What is pending can still be read; then the iteration ends."""
        self._closed = True
        self._readable.set()
        self._fanout._forget(self)

    def _put(self, published: Published) -> None:
        wanted = self._wanted(published)
        if len(wanted):
            self._settle()
            dropped = self._pending.put(wanted)
            self._missed += dropped
            self._dropped += dropped
            self._readable.set()

    def _lose(self, published: Published) -> None:
        lost = len(self._wanted(published))
        if lost:
            self._settle()
            self._missed += lost
            self._dropped += lost
            self._readable.set()

    def _wanted(self, published: Published) -> Published:
        """Those that came since it takes part, of its kinds."""
        before = self._since - published.ahead  # as a `seq`
        if published.seqs[0] <= before:
            published = published.part(bisect_right(published.seqs, before), len(published))
        return published if self._kinds is None else published.of_kinds(self._kinds)


class Subscription(_Consumer):
    """One consumer's end, event by event: `async for item in subscription` gives `Item` and `Lagged`.

    It ends once either side has closed it and what is pending was read. Of tasks that read it together one
    gets an event; a wait that is cancelled loses nothing.
    """

    # What an item costs beside itself is what busy consumers spend their time on. So some are put at hand at once, and
    # handed out without a look at anything else; what waits is counted again whenever somebody asks or something moves.

    def __init__(
        self, fanout: "FanOut", policy: Policy, pending_max: int, kinds: frozenset[type[Event]] | None
    ) -> None:
        super().__init__(fanout, policy, pending_max, kinds)
        self._items: Iterator[Item] = iter(())  # at hand
        self._opened = 0  # so many were, ...
        self._left: Iterator[int] = iter(())  # ... of which these have not been handed out
        self._part = Published(0, (), (), 0)  # what they are of
        self._opened_max = 1  # as long as the consumer takes them quickly, twice as many each time
        self._opened_s = 0.0

    def __aiter__(self) -> "Subscription":
        return self

    async def __anext__(self) -> Item | Lagged:
        for item in self._items:
            return item
        return await self._next()

    async def _next(self) -> Item | Lagged:
        """The next one, where no items are at hand: look at everything again."""
        self._settle()
        await self._ready()
        while self._opened:  # by another task, meanwhile
            for item in self._items:
                return item
            self._settle()
            await self._ready()
        if self._missed:
            return self._lagged()
        now_s = self._clock()
        is_quick = now_s - self._opened_s < QUICK_S
        self._opened_s = now_s
        self._opened_max = min(2 * self._opened_max, OPENED_MAX) if is_quick else 1
        part = self._part = self._pending.next(self._opened_max)
        self._opened = len(part)
        self._items, self._left = items_of(part, self._fanout.durable_through)
        return next(self._items)

    def _settle(self) -> None:
        """Count what was handed out of the items at hand, and have none at hand."""
        if not self._opened:
            return
        handed = self._opened - length_hint(self._left)
        self._opened, self._items = 0, iter(())
        if handed:
            self._pending.skip(handed)
            self._deliver(handed, self._part.seqs[handed - 1] + self._part.ahead)


class BatchSubscription(_Consumer):
    """One consumer's end, many events at a time: `async for batch in subscription` gives `EventBatch` and `Lagged`.

    A batch has all that was pending, up to `ITEMS_AT_ONCE`: one after the other their items are what a `Subscription`
    would have given. It ends as a `Subscription` does, and may be cancelled as one.
    """

    def __aiter__(self) -> "BatchSubscription":
        return self

    async def __anext__(self) -> EventBatch | Lagged:
        await self._ready()
        if self._missed:
            return self._lagged()
        batch = EventBatch(parts := self._pending.take(ITEMS_AT_ONCE), self._fanout.durable_through)
        self._deliver(len(batch), max([part.seqs[-1] + part.ahead for part in parts]))
        return batch


class FanOut:
    """Where a feed publishes, and consumers subscribe."""

    def __init__(self, *, undurable_max: int = UNDURABLE_MAX) -> None:
        self.published = 0
        self.durable_through = NOTHING  # ids grow; all up to here are durable
        self._undurable_max = undurable_max
        self._subscriptions: dict[_Consumer, None] = {}  # ordered, for determinism
        self._patient: dict[_Consumer, None] = {}  # those of durable events only
        self._undurable: deque[Published] = deque()  # what the patient have not got yet
        self._undurable_events = 0  # in it
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
        """Take part from here on, event by event.

        Args:
            policy: what happens when `pending_max` events wait to be read.
            durable_only: get events only once the journal has their frames.
            kinds: get only events of these types, so that others take no room.
        """
        selected = None if kinds is None else frozenset(kinds)
        return self._enter(Subscription(self, policy, _bound(pending_max), selected), durable_only=durable_only)

    def subscribe_batches(
        self,
        policy: Policy = Policy.DROP_OLDEST,
        *,
        pending_max: int = PENDING_MAX,
        durable_only: bool = False,
        kinds: Iterable[type[Event]] | None = None,
    ) -> BatchSubscription:
        """As `subscribe`, many events at a time; all bounds and counts are in events."""
        selected = None if kinds is None else frozenset(kinds)
        return self._enter(BatchSubscription(self, policy, _bound(pending_max), selected), durable_only=durable_only)

    def _enter(self, consumer: Consumer, *, durable_only: bool) -> Consumer:
        if self._closed:
            consumer.close()
        else:
            (self._patient if durable_only else self._subscriptions)[consumer] = None
        return consumer

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
        self.publish_all(id_, (event,))

    def publish_all(self, first: EventId, events: Sequence[Event]) -> None:
        """Hand events to everybody, whose ids count up from `first`: at least one. They are kept, and not changed."""
        run, seq = first
        ahead = self.published + 1 - seq
        self.published += len(events)
        published = Published(run, range(seq, seq + len(events)), events, ahead)
        for subscription in self._subscriptions:
            subscription._put(published)
        if not self._patient:
            return
        now = published.through(self.durable_through)
        if now:
            self._give_durable(published.part(0, now))
        if now < len(published):
            self._undurable.append(published.part(now, len(published)))
            self._undurable_events += len(published) - now
            self._forget_oldest()

    def durable(self, through: EventId) -> None:
        """The journal has committed every frame up to this one."""
        self.durable_through = max(self.durable_through, through)
        for subscription in (*self._subscriptions, *self._patient):
            subscription._settle()
        while self._undurable:
            published = self._undurable[0]
            now = published.through(self.durable_through)
            if now:
                self._give_durable(self._take_undurable(now))
            if now < len(published):
                break

    def end(self) -> None:
        """Nothing more is published: consumers read what is pending, and end; those of durable events alone wait still.

        What the journal has yet to commit comes to them by `durable`, until `close`.
        """
        self._closed = True
        for subscription in tuple(self._subscriptions):
            subscription.close()

    def close(self) -> None:
        """Nothing becomes durable any more either: all consumers read what is pending, and end."""
        self.end()
        for subscription in tuple(self._patient):
            subscription.close()

    def _give_durable(self, published: Published) -> None:
        for subscription in self._patient:
            subscription._put(published)

    def _forget_oldest(self) -> None:
        """The journal is behind by more than may be kept."""
        while (over := self._undurable_events - self._undurable_max) > 0:
            lost = self._take_undurable(min(over, len(self._undurable[0])))
            for subscription in self._patient:
                subscription._lose(lost)

    def _take_undurable(self, count: int) -> Published:
        """Take so many out of the oldest."""
        published = self._undurable.popleft()
        if count < len(published):
            self._undurable.appendleft(published.part(count, len(published)))
        self._undurable_events -= count
        return published.part(0, count)

    def _forget(self, subscription: _Consumer) -> None:
        if subscription in self._subscriptions or subscription in self._patient:
            left = subscription.statistics
            for at, count in enumerate((left.delivered, left.dropped, left.conflated)):
                self._gone[at] += count
        self._subscriptions.pop(subscription, None)
        self._patient.pop(subscription, None)
        if not self._patient:
            self._undurable.clear()
            self._undurable_events = 0


def _bound(pending_max: int) -> int:
    if pending_max < 1:
        raise ValueError("a subscription has to hold at least one event")
    return pending_max
