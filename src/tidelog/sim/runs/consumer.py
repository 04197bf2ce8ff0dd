"""A consumer of a feed that comes, is slow, and goes: what it missed is what it was told.

Beside it a second and a third one read the same stream with room for everything, one of them in batches.
"""

from tidelog.market.live.batches import EventBatch, Item
from tidelog.market.live.fanout import BatchSubscription, Lagged, Subscription
from tidelog.market.live.feed import Feed
from tidelog.sim.oracle.chain import require
from tidelog.sim.world.runtime import SimRuntime

PENDING_MAX = 6  # of the slow one
PAUSE_S_MAX = 2.0  # between its reads
AWAY_S_MAX = 5.0  # that a symbol is not followed


async def consume(feed: Feed, runtime: SimRuntime, reads: int, symbol: str | None) -> None:
    """Read so many items slowly, then compare.

    Args:
        symbol: is left meanwhile and followed again.

    Raises:
        Violation: an event is missing and nobody said so, or came twice, or more was kept than was allowed.
    """
    rng = runtime.random("consumer")
    slow, wide, many = feed.events(pending_max=PENDING_MAX), feed.events(), feed.batches()
    counted, last = 0, None
    try:
        if symbol is not None:
            feed.unsubscribe([symbol])
            await runtime.sleep(rng.random() * AWAY_S_MAX)
            feed.subscribe([symbol])
        for _ in range(reads):
            try:
                item = await anext(slow)
            except StopAsyncIteration:
                break
            counted += _weight(item)
            if isinstance(item, Item):
                require(last is None or item.id > last, "a consumer gets events in their order, each once")
                last = item.id
            require(slow.statistics.pending <= PENDING_MAX, "a consumer's queue is within its bound")
            await runtime.sleep(rng.random() * PAUSE_S_MAX)
    finally:
        slow.close()
        wide.close()
        many.close()
    counted += await _drained(slow)
    total = await _drained(wide)
    together = await _drained(many)
    require(together == total, f"batches have all events: {total}, not {together}")
    require(counted == total, f"what a slow consumer missed is told: {total} events, {counted} accounted for")


def _weight(item: Item | EventBatch | Lagged) -> int:
    match item:
        case Lagged(missed):
            return missed
        case EventBatch():
            return len(item)
        case Item():
            return 1


async def _drained(subscription: Subscription | BatchSubscription) -> int:
    return sum([_weight(item) async for item in subscription])
