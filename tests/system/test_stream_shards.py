"""A recording with shards through a real NATS server: each shard's journal is a stream, whoever is killed and however
the symbols are divided anew; together they have the store's trades."""

import asyncio
import random
from contextlib import aclosing
from pathlib import Path

import pytest

from tests.command import Running, tidelog
from tests.nats_server import NatsServer
from tests.system.disturbed import contents, named, records
from tests.system.test_market_kill import Exchange
from tests.system.test_shards import LISTS, NAME, RATE, SYMBOLS, Market, children, goes_on, kill9_all
from tests.system.test_stream import UNTIL_S
from tidelog.market.core import Core
from tidelog.market.projection.tables import TRADES
from tidelog.market.shards.layout import journal_of, shard_of_run
from tidelog.stream import Frame, Frames, MarketEvent, Recorded, TradesMade, events
from tidelog.stream.market.telling import Teller

pytestmark = pytest.mark.timeout(600)

Told = list[tuple[int, int, list[MarketEvent]]]


def told(journal: Path) -> Told:
    """What a shard's records come to."""
    teller = Teller(Core())
    return [(*record.id, found) for record in records(journal) if (found := teller.take(record))]


async def streamed(nats: str, shard: int, last: tuple[int, int]) -> Told:
    """What its stream has up to a record."""
    found: Told = []
    async with asyncio.timeout(UNTIL_S), aclosing(events(nats, recording=NAME, shard=shard)) as items:
        async for item in items:
            assert isinstance(item, Recorded)
            assert shard_of_run(item.run) == shard
            found.append((item.run, item.seq, item.events))
            if (item.run, item.seq) >= last:
                return found
    raise AssertionError


def trades_of(streams: list[Told]) -> dict[tuple[str, int | None], tuple[str, str]]:
    return {
        (event.symbol, trade.trade_id): (trade.price, trade.qty)
        for stream in streams
        for _, _, found in stream
        for event in found
        if isinstance(event, TradesMade)
        for trade in event.trades
    }


def divided_and_killed(folder: Path, nats: NatsServer, url: str, *, rounds: int, seed: int) -> None:
    rng = random.Random(seed)
    with Exchange(seed, SYMBOLS, RATE) as served:
        market = Market(url, folder, served)
        command = ("stream", "run", "--nats", nats.url, "--journal", str(market.journal), "--recording", NAME)
        publisher = None
        for nth in range(rounds):
            lists = LISTS[nth % 3] if nth else LISTS[3]
            shards = lists.count(";") + 1
            before = market.ends()
            with market.running(*(("--shard-symbols", lists) if shards > 1 else ())) as recording:
                recording.until(goes_on(market, before, shards), "frames in each journal")
                if publisher is None:
                    publisher = Running(*command, log=market.log)
                for victim in rng.sample(("shard", "publisher", "nats"), 2):
                    alive = children(recording)
                    if victim == "shard" and shards > 1 and alive:
                        rng.choice(alive).kill()
                    elif victim == "publisher":
                        publisher.kill9()
                        publisher = Running(*command, log=market.log)
                    elif victim == "nats":
                        nats.restart()
                    recording.until(goes_on(market, market.ends(), shards), "frames again")
                kill9_all(recording)
        with market.running("--shards", "4") as recording:
            recording.until(goes_on(market, market.ends(), 3), "frames")
            wanted = {"BTC/USD": 2, "ETH/USD": 1, "DOGE/USD": 4, "SOL/USD": 2, "ETH/BTC": 1}
            recording.until(lambda: market.owners() == wanted, "each symbol is its shard's")
            assert recording.interrupt() == 0
    assert publisher is not None
    try:
        streams = []
        for journal in market.journals:
            expected = told(journal)
            shard = shard_of_run(expected[0][0])
            assert journal == Path(journal_of(str(market.journal), shard))
            streams.append(asyncio.run(streamed(nats.url, shard, expected[-1][:2])))
            assert streams[-1] == expected
        assert len(streams) == 4
        assert publisher.process.poll() is None
    finally:
        publisher.kill9()
    stored = named(TRADES, asyncio.run(contents(url, NAME)))
    assert {(row["symbol"], row["trade_id"]) for row in stored} == trades_of(streams).keys()


def test_each_shards_journal_is_a_stream_through_kills_and_other_layouts(tmp_path: Path, nats: NatsServer) -> None:
    divided_and_killed(tmp_path, nats, f"sqlite:///{tmp_path}/market.db", rounds=3, seed=1)


@pytest.mark.torture
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(2, 4))
def test_through_dozens_of_layouts(tmp_path: Path, nats: NatsServer, seed: int) -> None:
    divided_and_killed(tmp_path, nats, f"sqlite:///{tmp_path}/market.db", rounds=40, seed=seed)


def test_raw_records_of_shards_and_the_journal_of_one(tmp_path: Path, nats: NatsServer) -> None:
    url = f"sqlite:///{tmp_path}/market.db"
    with Exchange(1, SYMBOLS, RATE) as served:
        market = Market(url, tmp_path, served)
        with market.running("--shards", "2") as recording:
            recording.until(goes_on(market, {}, 2), "frames in each journal")
            assert recording.interrupt() == 0
    second = market.journals[1]
    count = len(list(records(second)))
    with Running("stream", "run", "--nats", nats.url, "--journal", str(market.journal), "--frames", log=market.log):
        frames = asyncio.run(some_frames(nats.url, 2, count))
    for frame, record in zip(frames, records(second), strict=True):
        assert (frame.run, frame.seq, frame.at_us, frame.payload) == (*record.id, record.at_us, record.payload)
    done = tidelog("stream", "run", "--nats", nats.url, "--journal", str(second), timeout_s=UNTIL_S)
    assert done.code == 2
    assert f"{second} is the journal of shard 2: give the recording's own, without a number" in done.err


async def some_frames(nats: str, shard: int, count: int) -> list[Frame]:
    found: list[Frame] = []
    async with asyncio.timeout(UNTIL_S), aclosing(events(nats, frames=True, shard=shard)) as reading:
        async for item in reading:
            assert isinstance(item, Frames)
            found += item.frames
            if len(found) >= count:
                break
    return found
