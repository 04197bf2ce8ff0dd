"""Fan-out: each consumer has its own bound and policy, and none of them is felt by the others."""

import asyncio
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidelog.market.events import (
    BookDelta,
    BookSnapshot,
    Candle,
    Candles,
    Event,
    EventId,
    Heartbeat,
    Pong,
    Spread,
    Tickers,
    Trade,
    Trades,
)
from tidelog.market.live.fanout import FanOut, Item, Lagged, Policy, Subscription, conflation_key

AT = datetime(2023, 1, 1, tzinfo=UTC)


def publish(fanout: FanOut, seqs: Iterable[int]) -> None:
    for seq in seqs:
        fanout.publish(EventId(1, seq), Pong(seq))


async def read(subscription: Subscription) -> str:
    """What can be read without waiting: `-3` for three missed, an id, or `5!` for a durable one."""
    told = []
    while subscription.statistics.pending or subscription._missed:
        match await anext(subscription):
            case Lagged(missed):
                told.append(f"-{missed}")
            case Item(id_, _, durable):
                told.append(f"{id_.seq}{'!' if durable else ''}")
    return " ".join(told)


async def test_all_consumers_get_all_events_in_order() -> None:
    fanout = FanOut()
    consumers = [fanout.subscribe(Policy.DROP_OLDEST) for _ in range(2)]
    publish(fanout, range(5))
    assert [await read(consumer) for consumer in consumers] == ["0 1 2 3 4"] * 2


async def test_a_consumer_takes_part_from_its_subscription_on() -> None:
    fanout = FanOut()
    publish(fanout, [0, 1])
    consumer = fanout.subscribe()
    publish(fanout, [2])
    assert await read(consumer) == "2"


@pytest.mark.parametrize(
    ("bound", "published", "told"),
    [
        (3, 3, "0 1 2"),
        (3, 4, "-1 1 2 3"),
        (3, 9, "-6 6 7 8"),
        (1, 5, "-4 4"),
    ],
)
async def test_slow_consumer_loses_the_oldest_events_and_gets_lagged(bound: int, published: int, told: str) -> None:
    fanout = FanOut()
    consumer = fanout.subscribe(pending_max=bound)
    publish(fanout, range(published))
    assert consumer.statistics.pending == bound
    assert await read(consumer) == told
    publish(fanout, [99])
    assert await read(consumer) == "99"


async def test_conflation_keeps_the_latest_of_each_kind_and_symbol() -> None:
    fanout = FanOut()
    consumer = fanout.subscribe(Policy.CONFLATE, pending_max=2)
    events: list[Event] = [
        BookSnapshot("A", (), (), None),
        BookDelta("B", (), (), 1),
        BookDelta("A", (), (), 2),
        BookDelta("A", (), (), 3),
    ]
    for seq, event in enumerate(events):
        fanout.publish(EventId(1, seq), event)
    assert (consumer.statistics.conflated, consumer.statistics.dropped) == (2, 0)
    fanout.publish(EventId(1, 4), BookDelta("C", (), (), 4))
    assert await read(consumer) == "-1 1 4"  # a third symbol is beyond the bound: A goes, the next in line


async def test_a_busy_symbol_gets_its_turn_from_a_reader_that_is_slower_than_all() -> None:
    fanout = FanOut()
    consumer = fanout.subscribe(Policy.CONFLATE)
    told = []
    for seq in range(40):
        for symbol in ("busy", "quiet" if seq % 2 else "busy"):
            fanout.publish(EventId(1, seq), BookDelta(symbol, (), (), seq))
        if seq % 4 == 3:
            item = await anext(consumer)
            assert isinstance(item, Item)
            assert isinstance(item.event, BookDelta)
            told.append(item.event.symbol)
    assert told == ["busy", "quiet"] * 5


def trade(symbol: str) -> Trade:
    return Trade(symbol, "buy", Decimal(1), Decimal(1), AT)


def candle(symbol: str, interval: int) -> Candle:
    one = Decimal(1)
    return Candle(symbol, interval, AT, one, one, one, one, one, one, 1)


ONE = Decimal(1)
DIFFERENT: list[Event] = [
    BookDelta("A", (), (), None),
    BookDelta("B", (), (), None),
    Spread("A", ONE, ONE, ONE, ONE, AT),
    Trades((trade("A"),)),
    Trades((trade("B"),)),
    Trades((trade("A"), trade("B"))),
    Tickers(()),
    Candles((candle("A", 1),)),
    Candles((candle("A", 5),)),
    Heartbeat(),
    Pong(),
]


def test_conflation_keys() -> None:
    assert len({conflation_key(event) for event in DIFFERENT}) == len(DIFFERENT)
    assert conflation_key(BookSnapshot("A", (), (), 1)) == conflation_key(BookDelta("A", (), (), 2))
    assert conflation_key(Trades((trade("A"), trade("A")))) == conflation_key(Trades((trade("A"),)))


async def test_kinds_that_are_not_wanted_take_no_room() -> None:
    fanout = FanOut(undurable_max=1)
    consumers = [fanout.subscribe(pending_max=1, kinds=[Pong], durable_only=durable) for durable in (False, True)]
    publish(fanout, [0])
    fanout.durable(EventId(1, 0))
    for seq in (1, 2, 3):
        fanout.publish(EventId(1, seq), Heartbeat())
    assert [await read(consumer) for consumer in consumers] == ["0!", "0!"]


async def test_durable_is_said_of_each_event_as_it_is_read() -> None:
    fanout = FanOut()
    consumer = fanout.subscribe()
    publish(fanout, range(4))
    fanout.durable(EventId(1, 1))
    fanout.durable(EventId(0, 99))  # an older run: nothing goes back
    assert await read(consumer) == "0! 1! 2 3"


async def test_durable_only_consumer_waits_for_the_journal() -> None:
    fanout = FanOut()
    publish(fanout, [0])
    consumer = fanout.subscribe(durable_only=True)
    publish(fanout, range(1, 4))
    late = fanout.subscribe(durable_only=True)
    assert await read(consumer) == ""
    fanout.durable(EventId(1, 2))
    assert await read(consumer) == "1! 2!"
    assert consumer.statistics.lag == 1
    fanout.durable(EventId(1, 9))
    publish(fanout, [4])
    assert await read(consumer) == "3! 4!"
    assert await read(late) == "4!"


async def test_stalled_journal_costs_durable_only_consumers_no_memory() -> None:
    fanout = FanOut(undurable_max=3)
    consumer = fanout.subscribe(durable_only=True)
    publish(fanout, range(10))
    fanout.durable(EventId(1, 9))
    assert await read(consumer) == "-7 7! 8! 9!"


async def test_closing_lets_pending_events_be_read_and_wakes_who_waits() -> None:
    fanout = FanOut()
    busy, idle = fanout.subscribe(), fanout.subscribe(kinds=[Heartbeat])
    waiting = asyncio.create_task(anext(idle, None))
    publish(fanout, [0, 1])
    await asyncio.sleep(0)
    fanout.close()
    assert await waiting is None
    assert [item.id.seq async for item in busy if isinstance(item, Item)] == [0, 1]
    assert [item async for item in fanout.subscribe()] == []


async def test_statistics_of_a_subscription() -> None:
    fanout = FanOut()
    consumer = fanout.subscribe(pending_max=2)
    publish(fanout, range(5))
    await anext(consumer)  # the loss
    await anext(consumer)
    stats = consumer.statistics
    assert (stats.pending, stats.delivered, stats.dropped, stats.lag) == (1, 1, 3, 1)


def test_a_pending_bound_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        FanOut().subscribe(pending_max=0)


async def test_stuck_slow_and_failing_consumers_are_not_felt() -> None:
    """Ten thousand events: the good consumer gets each, whatever the other three do."""
    fanout = FanOut()
    good, stuck, slow, failing = (fanout.subscribe(pending_max=200) for _ in range(4))

    async def take_all() -> int:
        return len([item async for item in good if isinstance(item, Item)])

    async def take_slowly() -> int:
        taken = 0
        async for _ in slow:
            taken += 1
            for _ in range(10):
                await asyncio.sleep(0)
        return taken

    async def fail() -> None:
        async for _ in failing:
            raise RuntimeError("a consumer's own mistake")

    tasks = [asyncio.create_task(work) for work in (take_all(), take_slowly(), fail())]
    begun = time.perf_counter()
    for start in range(0, 10_000, 100):
        publish(fanout, range(start, start + 100))
        await asyncio.sleep(0)
    spent = time.perf_counter() - begun
    fanout.close()
    taken, slowly, failed = await asyncio.gather(*tasks, return_exceptions=True)
    assert taken == 10_000
    assert isinstance(slowly, int)
    assert slow.statistics.delivered + slow.statistics.dropped == 10_000
    assert isinstance(failed, RuntimeError)
    assert (stuck.statistics.pending, stuck.statistics.dropped) == (200, 9_800)
    assert spent < 5  # 0.1 s here


@given(
    st.integers(1, 5),
    st.sampled_from([Policy.DROP_OLDEST, Policy.CONFLATE]),
    st.lists(st.sampled_from(["publish", "read", "durable"]), max_size=60),
    st.booleans(),
)
def test_nothing_is_lost_without_being_counted(
    bound: int, policy: Policy, steps: list[str], durable_only: bool
) -> None:
    async def run() -> None:
        fanout = FanOut(undurable_max=4)
        consumer = fanout.subscribe(policy, pending_max=bound, durable_only=durable_only)
        seen: list[int] = []
        missed = seq = 0
        for step in [*steps, "durable", *["read"] * 100]:
            if step == "publish":
                seq += 1
                fanout.publish(EventId(1, seq), BookDelta("A" if seq % 3 else "B", (), (), seq))
            elif step == "durable":
                fanout.durable(EventId(1, seq))
            elif consumer.statistics.pending or consumer._missed:
                match await anext(consumer):
                    case Lagged(count):
                        missed += count
                    case Item(id_):
                        seen.append(id_.seq)
            assert consumer.statistics.pending <= bound
        assert len(seen) + missed + consumer.statistics.conflated == seq
        assert len(set(seen)) == len(seen)
        if policy is Policy.DROP_OLDEST:
            assert seen == sorted(seen)

    asyncio.run(run())
