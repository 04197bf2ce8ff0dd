"""Fan-out: each consumer has its own bound and policy, and none of them is felt by the others."""

import asyncio
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.market.paths import events_on_either_path
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
from tidelog.market.live.batches import EventBatch, Item
from tidelog.market.live.fanout import (
    ITEMS_AT_ONCE,
    OPENED_MAX,
    TURN_S,
    BatchSubscription,
    FanOut,
    Lagged,
    Policy,
    Subscription,
)
from tidelog.market.live.pending import conflation_key

__all__ = ["events_on_either_path"]  # a fixture: every test runs on both paths
pytestmark = pytest.mark.usefixtures("events_on_either_path")

AT = datetime(2023, 1, 1, tzinfo=UTC)

AnySubscription = Subscription | BatchSubscription
Subscribe = Callable[..., AnySubscription]
WAYS: dict[str, Subscribe] = {"events": FanOut.subscribe, "batches": FanOut.subscribe_batches}


@pytest.fixture(params=WAYS)
def subscribe(request: pytest.FixtureRequest) -> Subscribe:
    """Each test of a consumer is one of both kinds."""
    return WAYS[request.param]


def publish(fanout: FanOut, seqs: Iterable[int]) -> None:
    for seq in seqs:
        fanout.publish(EventId(1, seq), Pong(seq))


async def read(subscription: AnySubscription) -> str:
    """What can be read without waiting: `-3` for three missed, an id, or `5!` for a durable one."""
    told = []
    while subscription.statistics.pending or subscription._missed:
        for item in await read_once(subscription):
            match item:
                case Lagged(missed):
                    told.append(f"-{missed}")
                case Item(id_, _, durable):
                    told.append(f"{id_.seq}{'!' if durable else ''}")
    return " ".join(told)


async def read_once(subscription: AnySubscription) -> list[Item | Lagged]:
    return flat(await anext(subscription))


def flat(given: Item | EventBatch | Lagged) -> list[Item | Lagged]:
    return [*given] if isinstance(given, EventBatch) else [given]


async def test_all_consumers_get_all_events_in_order(subscribe: Subscribe) -> None:
    fanout = FanOut()
    consumers = [subscribe(fanout, Policy.DROP_OLDEST) for _ in range(2)]
    publish(fanout, range(5))
    assert [await read(consumer) for consumer in consumers] == ["0 1 2 3 4"] * 2


async def test_a_consumer_takes_part_from_its_subscription_on(subscribe: Subscribe) -> None:
    fanout = FanOut()
    publish(fanout, [0, 1])
    consumer = subscribe(fanout)
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
async def test_slow_consumer_loses_the_oldest_events_and_gets_lagged(
    subscribe: Subscribe, bound: int, published: int, told: str
) -> None:
    fanout = FanOut()
    consumer = subscribe(fanout, pending_max=bound)
    publish(fanout, range(published))
    assert consumer.statistics.pending == bound
    assert await read(consumer) == told
    publish(fanout, [99])
    assert await read(consumer) == "99"


async def test_conflation_keeps_the_latest_of_each_kind_and_symbol(subscribe: Subscribe) -> None:
    fanout = FanOut()
    consumer = subscribe(fanout, Policy.CONFLATE, pending_max=2)
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


async def test_kinds_that_are_not_wanted_take_no_room(subscribe: Subscribe) -> None:
    fanout = FanOut(undurable_max=1)
    consumers = [subscribe(fanout, pending_max=1, kinds=[Pong], durable_only=durable) for durable in (False, True)]
    publish(fanout, [0])
    fanout.durable(EventId(1, 0))
    for seq in (1, 2, 3):
        fanout.publish(EventId(1, seq), Heartbeat())
    assert [await read(consumer) for consumer in consumers] == ["0!", "0!"]


async def test_durable_is_said_of_each_event_as_it_is_read(subscribe: Subscribe) -> None:
    fanout = FanOut()
    consumer = subscribe(fanout)
    publish(fanout, range(4))
    fanout.durable(EventId(1, 1))
    fanout.durable(EventId(0, 99))  # an older run: nothing goes back
    assert await read(consumer) == "0! 1! 2 3"


async def test_durable_only_consumer_waits_for_the_journal(subscribe: Subscribe) -> None:
    fanout = FanOut()
    publish(fanout, [0])
    consumer = subscribe(fanout, durable_only=True)
    publish(fanout, range(1, 4))
    late = subscribe(fanout, durable_only=True)
    assert await read(consumer) == ""
    fanout.durable(EventId(1, 2))
    assert await read(consumer) == "1! 2!"
    assert consumer.statistics.lag == 1
    fanout.durable(EventId(1, 9))
    publish(fanout, [4])
    assert await read(consumer) == "3! 4!"
    assert await read(late) == "4!"


async def test_stalled_journal_costs_durable_only_consumers_no_memory(subscribe: Subscribe) -> None:
    fanout = FanOut(undurable_max=3)
    consumer = subscribe(fanout, durable_only=True)
    publish(fanout, range(10))
    fanout.durable(EventId(1, 9))
    assert await read(consumer) == "-7 7! 8! 9!"


async def test_closing_lets_pending_events_be_read_and_wakes_who_waits(subscribe: Subscribe) -> None:
    fanout = FanOut()
    busy, idle = subscribe(fanout), subscribe(fanout, kinds=[Heartbeat])
    waiting = asyncio.create_task(anext(idle, None))
    publish(fanout, [0, 1])
    await asyncio.sleep(0)
    fanout.close()
    assert await waiting is None
    assert [item.id.seq async for given in busy for item in flat(given) if isinstance(item, Item)] == [0, 1]
    assert [item async for item in subscribe(fanout)] == []


async def test_durable_only_consumers_get_what_is_committed_after_the_end(subscribe: Subscribe) -> None:
    fanout = FanOut()
    eager, patient = subscribe(fanout), subscribe(fanout, durable_only=True)
    publish(fanout, range(4))
    fanout.durable(EventId(1, 0))
    fanout.end()
    assert [item.id.seq async for given in eager for item in flat(given) if isinstance(item, Item)] == [0, 1, 2, 3]
    assert [item async for item in subscribe(fanout, durable_only=True)] == []
    assert await read(patient) == "0!"
    waiting = asyncio.create_task(read_once(patient))
    await asyncio.sleep(0)
    fanout.durable(EventId(1, 2))
    fanout.close()
    got = [*await waiting, *[item async for given in patient for item in flat(given)]]
    assert [item.id.seq for item in got if isinstance(item, Item)] == [1, 2]  # 3 was never committed


@pytest.mark.parametrize("readers", [2, 5])
async def test_tasks_that_read_together_get_each_event_once(subscribe: Subscribe, readers: int) -> None:
    fanout = FanOut()
    consumer = subscribe(fanout)
    got: list[int] = []

    async def work() -> None:
        async for came in consumer:
            got.extend(item.id.seq for item in flat(came) if isinstance(item, Item))
            await asyncio.sleep(0)

    tasks = [asyncio.create_task(work()) for _ in range(readers)]
    for seq in range(600):
        publish(fanout, [seq])
        if seq % 7 == 0:
            await asyncio.sleep(0)
    fanout.close()
    await asyncio.gather(*tasks)
    assert got == [*range(600)]
    assert consumer.statistics.delivered == 600


async def test_statistics_of_a_subscription() -> None:
    fanout = FanOut()
    consumer = fanout.subscribe(pending_max=2)
    publish(fanout, range(5))
    await anext(consumer)  # the loss
    await anext(consumer)
    stats = consumer.statistics
    assert (stats.pending, stats.delivered, stats.dropped, stats.lag) == (1, 1, 3, 1)


async def test_statistics_count_events_whatever_they_come_in() -> None:
    fanout = FanOut()
    consumer = fanout.subscribe_batches(pending_max=3)
    fanout.publish_all(EventId(1, 0), [Pong(seq) for seq in range(5)])
    assert (consumer.statistics.pending, consumer.statistics.dropped, consumer.statistics.lag) == (3, 2, 5)
    assert await anext(consumer) == Lagged(2)
    batch = await anext(consumer)
    assert isinstance(batch, EventBatch)
    assert batch.events == (Pong(2), Pong(3), Pong(4))
    stats = consumer.statistics
    assert (stats.pending, stats.delivered, stats.dropped, stats.lag) == (0, 3, 2, 0)
    assert fanout.statistics == stats


def test_a_pending_bound_below_one_is_refused(subscribe: Subscribe) -> None:
    with pytest.raises(ValueError, match="at least one"):
        subscribe(FanOut(), pending_max=0)


async def test_a_batch_is_a_sequence_of_items() -> None:
    fanout = FanOut()
    consumer = fanout.subscribe_batches()
    publish(fanout, [3])
    fanout.publish_all(EventId(1, 4), (Pong(4), Pong(5)))
    fanout.durable(EventId(1, 4))
    batch = await anext(consumer)
    assert isinstance(batch, EventBatch)
    items = [Item(EventId(1, seq), Pong(seq), seq < 5) for seq in (3, 4, 5)]
    assert [*batch] == items
    assert (len(batch), batch[0], batch[-1], batch[1:]) == (3, items[0], items[2], (items[1], items[2]))
    assert batch.ids == (EventId(1, 3), EventId(1, 4), EventId(1, 5))
    assert (batch.durable_through, repr(batch)) == (EventId(1, 4), f"EventBatch({items})")
    with pytest.raises(IndexError):
        batch[3]


async def test_a_batch_is_bounded_and_the_others_get_their_turn_between_two() -> None:
    fanout = FanOut()
    consumer = fanout.subscribe_batches(pending_max=2 * ITEMS_AT_ONCE)
    fanout.publish_all(EventId(1, 0), [Pong(seq) for seq in range(2 * ITEMS_AT_ONCE)])
    turns = []

    async def other() -> None:
        turns.append(consumer.statistics.pending)

    assert len(flat(await anext(consumer))) == ITEMS_AT_ONCE
    task = asyncio.create_task(other())
    assert len(flat(await anext(consumer))) == ITEMS_AT_ONCE
    await task
    assert turns == [ITEMS_AT_ONCE]


def work(share: float) -> None:
    """A consumer's own work on an item, as a share of a turn."""
    time.sleep(share * TURN_S)


@pytest.mark.parametrize(("quick", "slow", "share"), [(0, 40, 0.1), (300, OPENED_MAX + 200, 0.01)])
async def test_a_consumer_that_is_slow_and_behind_lets_the_others_have_their_turn(
    quick: int, slow: int, share: float
) -> None:
    fanout = FanOut()
    consumer = fanout.subscribe()
    fanout.publish_all(EventId(1, 0), [Pong(seq) for seq in range(2_000)])
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    for _ in range(quick):
        await anext(consumer)
    begun = turns
    for _ in range(slow):
        await anext(consumer)
        work(share)
    task.cancel()
    assert turns - begun >= 3
    assert consumer.statistics.delivered == quick + slow


async def test_a_cancelled_wait_loses_nothing(subscribe: Subscribe) -> None:
    fanout = FanOut()
    consumer = subscribe(fanout)
    waiting = asyncio.ensure_future(anext(consumer))
    await asyncio.sleep(0)
    publish(fanout, [0, 1])
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await read(consumer) == "0 1"


async def test_what_is_published_at_once_is_cut_where_a_consumer_began_and_where_the_journal_is(
    subscribe: Subscribe,
) -> None:
    fanout = FanOut(undurable_max=4)
    early = subscribe(fanout, durable_only=True)
    fanout.publish_all(EventId(1, 0), [Pong(seq) for seq in range(3)])
    late = subscribe(fanout, durable_only=True)
    fanout.durable(EventId(1, 1))
    fanout.publish_all(EventId(1, 3), [Heartbeat(), *[Pong(seq) for seq in range(4, 9)]])
    assert (await read(early), await read(late)) == ("-3 0! 1!", "-2")  # only four may wait: 2, 3 and 4 are gone
    fanout.durable(EventId(1, 7))
    assert (await read(early), await read(late)) == ("5! 6! 7!", "5! 6! 7!")
    fanout.durable(EventId(2, 0))
    assert (await read(early), await read(late)) == ("8!", "8!")


TURNS = 3  # of the event loop, until who is woken has read; the slow one takes ten for an event


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


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
            await turns(10)
        return taken

    async def fail() -> None:
        async for _ in failing:
            raise RuntimeError("a consumer's own mistake")

    tasks = [asyncio.create_task(work) for work in (take_all(), take_slowly(), fail())]
    for start in range(0, 10_000, 100):
        publish(fanout, range(start, start + 100))
        await turns(TURNS)
        assert good.statistics.pending == 0, "some turns are enough for who reads"
    fanout.close()
    taken, slowly, failed = await asyncio.gather(*tasks, return_exceptions=True)
    assert taken == 10_000
    assert isinstance(slowly, int)
    assert slow.statistics.delivered + slow.statistics.dropped == 10_000
    assert isinstance(failed, RuntimeError)
    assert (stuck.statistics.pending, stuck.statistics.dropped) == (200, 9_800)


STEPS = st.lists(st.tuples(st.sampled_from(["publish", "read", "durable"]), st.integers(1, 4)), max_size=60)
POLICIES = st.sampled_from([Policy.DROP_OLDEST, Policy.CONFLATE])
KINDS = st.sampled_from([None, frozenset({BookDelta}), frozenset({BookDelta, Heartbeat})])


def made(seq: int) -> Event:
    return Heartbeat() if seq % 4 == 0 else BookDelta("A" if seq % 3 else "B", (), (), seq)


@given(st.integers(1, 5), POLICIES, STEPS, st.booleans(), KINDS)
def test_batches_one_after_the_other_are_the_events(
    bound: int,
    policy: Policy,
    steps: list[tuple[str, int]],
    durable_only: bool,
    kinds: frozenset[type[Event]] | None,
) -> None:
    """Whether events are published and read at once or one by one, each consumer is told the same."""

    async def run() -> None:
        together, apart = FanOut(undurable_max=4), FanOut(undurable_max=4)
        consumers = [
            subscribe(fanout, policy, pending_max=bound, durable_only=durable_only, kinds=kinds)
            for fanout in (together, apart)
            for subscribe in WAYS.values()
        ]
        seq = 0
        for step, count in [*steps, ("durable", 1), ("read", 1)]:
            if step == "publish":
                events = [made(number) for number in range(seq, seq + count)]
                together.publish_all(EventId(1, seq), events)
                for number, event in enumerate(events, seq):
                    apart.publish(EventId(1, number), event)
                seq += count
            elif step == "durable":
                for fanout in (together, apart):
                    fanout.durable(EventId(1, seq - count))
            else:
                told = [await read(consumer) for consumer in consumers]
                assert told == told[:1] * 4
        assert [consumer.statistics for consumer in consumers] == [consumers[0].statistics] * 4

    asyncio.run(run())


@given(
    st.integers(1, 5),
    st.sampled_from([Policy.DROP_OLDEST, Policy.CONFLATE]),
    st.lists(st.sampled_from(["publish", "read", "durable"]), max_size=60),
    st.booleans(),
    st.sampled_from([*WAYS]),
)
def test_nothing_is_lost_without_being_counted(
    bound: int, policy: Policy, steps: list[str], durable_only: bool, way: str
) -> None:
    async def run() -> None:
        fanout = FanOut(undurable_max=4)
        consumer = WAYS[way](fanout, policy, pending_max=bound, durable_only=durable_only)
        seen: list[int] = []
        missed = seq = 0
        for step in [*steps, "durable", *["read"] * 100]:
            if step == "publish":
                seq += 1
                fanout.publish(EventId(1, seq), BookDelta("A" if seq % 3 else "B", (), (), seq))
            elif step == "durable":
                fanout.durable(EventId(1, seq))
            elif consumer.statistics.pending or consumer._missed:
                for item in await read_once(consumer):
                    match item:
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
