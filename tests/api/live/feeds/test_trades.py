"""Trades as a stream: cut anywhere and gone on with, there is no hole and no duplicate; what is lost is said."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.api.live.feeds.test_tail import damage
from tests.api.live.recorder import A, B, Recorder, recording, source
from tests.api.live.serving import USUAL, Event, Served, listening, refusal, serving, take
from tests.market.exchange import Script, until
from tests.patience import HANGS_S
from tidelog.api.http.limits import LiveLimits
from tidelog.api.live.feeds import trades as trades_module
from tidelog.api.live.feeds.messages import Message, Messages
from tidelog.api.live.feeds.tail import JournalTail
from tidelog.api.live.feeds.topics import Trades as Topic
from tidelog.api.live.feeds.topics import place_of
from tidelog.market.journal.file import JournalWriter
from tidelog.market.journal.reader import JournalReader
from tidelog.market.records import Record
from tidelog.market.shards.layout import first_run
from tidelog.runtime import SystemRuntime
from tidelog.store import open_store

PATH = "/v1/markets/A-USD/live/trades"


@asynccontextmanager
async def served(tmp_path: Path, *journals: Path, limits: LiveLimits = USUAL) -> AsyncIterator[Served]:
    store = await open_store(f"sqlite:///{tmp_path}/store.db", SystemRuntime())
    try:
        async with serving(store, *[source(path, path.name) for path in journals], limits=limits) as server:
            yield server
    finally:
        await store.close()


def numbers(events: list[Event]) -> list[int]:
    """The exchange's numbers of all trades."""
    return [trade["trade_id"] for event in events if event.name == "trades" for trade in event.data["trades"]]


async def ready(server: Served) -> None:
    await until(lambda: all(tail.ready for tail in server.live.tails.values()))


def topic_after(text: str) -> Topic:
    return Topic(A, None, place_of("after", text))


async def until_place(stream: Messages) -> AsyncIterator[Message]:
    """The messages up to the one that says where a stream goes on live."""
    async for messages in stream:
        for message in messages:
            yield message
        if messages[-1].event == "place":
            return


async def until_number(stream: AsyncIterator[Event], number: int) -> list[Event]:
    """The events up to the trade of that number."""
    found: list[Event] = []
    async with asyncio.timeout(HANGS_S):
        while number not in numbers(found):
            found.append(await anext(stream))
    return found


async def test_trades_come_in_order_with_exact_numbers(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    async with recording(path) as recorder, served(tmp_path, path) as server:
        await until(lambda: server.live.tails["journal"].at == recorder.feed.progress.last)
        async with listening(server.url + PATH) as stream:
            begin = (await take(stream, 1))[0]
            assert (begin.name, begin.id) == ("place", f"1-{recorder.feed.progress.last.seq}")
            await recorder.trade(3)
            await recorder.trade(2, B)
            await recorder.trade(1)
            events = await take(stream, 4)
    assert numbers(events) == [1, 2, 3, 6]
    assert events[0].data == {
        "symbol": A,
        "snapshot": False,
        "trades": [
            {
                "time": "2023-09-25T07:49:37.708706Z",
                "time_us": 1_695_628_177_708_706,
                "ordinal": 1,
                "side": "buy",
                "price": "100.0",
                "qty": "1.00000000",
                "ord_type": "limit",
                "trade_id": 1,
            }
        ],
    }


async def test_a_trade_stream_cut_at_any_event_resumes_with_the_next(tmp_path: Path) -> None:
    """Over two runs, with trades that come while the client is away and while it reads."""
    path = tmp_path / "journal"
    script = Script()
    async with recording(path, script) as recorder:
        await recorder.trade(3)
        await recorder.trade(1, B)
    async with recording(path, script) as recorder, served(tmp_path, path) as server:
        await recorder.trade(3)
        await ready(server)
        async with listening(server.url + PATH, after="0-0") as stream:
            every = [event for event in await until_number(stream, script.trade_id) if event.name == "trades"]
        assert numbers(every) == [1, 2, 3, 5, 6, 7]
        for cut, event in enumerate(every[:-1], 1):
            async with listening(server.url + PATH, after=event.id) as stream:
                missed = numbers(every)[cut:] + list(range(8, script.trade_id + 1))
                assert numbers(await until_number(stream, script.trade_id)) == missed
                await recorder.trade(1)
                assert numbers(await until_number(stream, script.trade_id)) == [script.trade_id]


async def test_trades_that_come_during_catch_up_are_sent_once(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    async with recording(path) as recorder, served(tmp_path, path) as server:
        await ready(server)
        await recorder.trade(20)
        trading = asyncio.create_task(trade_on(recorder, 40))
        for _ in range(8):
            async with listening(server.url + PATH, after="0-0") as stream:
                assert numbers(await until_number(stream, 30)) == list(range(1, 31))
        await trading
        async with listening(server.url + PATH, after="0-0") as stream:
            assert numbers(await until_number(stream, 60)) == list(range(1, 61))


async def trade_on(recorder: Recorder, count: int) -> None:
    for _ in range(count):
        recorder.wire.push(recorder.script.trade(A))
        await asyncio.sleep(0.005)


async def test_trades_that_an_exchange_repeats_are_sent_once(tmp_path: Path) -> None:
    """After a reconnect it sends its last trades again: those that were missed are told, the others are not."""
    path = tmp_path / "journal"
    async with recording(path) as recorder, served(tmp_path, path) as server:
        await ready(server)
        async with listening(server.url + PATH) as stream:
            await recorder.trade(3)
            first = await until_number(stream, 3)
            await recorder.push(repeated(2, 3, 4, 5))
            assert numbers(await take(stream, 1)) == [4, 5]
            recorder.script.trade_id = 5
            await recorder.trade(1)
            assert numbers(await take(stream, 1)) == [6]
        for event, rest in ((first[-1], [4, 5, 6]), (first[-2], [3, 4, 5, 6])):
            async with listening(server.url + PATH, after=event.id) as stream:
                assert numbers(await until_number(stream, 6)) == rest


def repeated(*ids: int) -> bytes:
    trades = ",".join(
        f'{{"symbol":"{A}","side":"buy","price":100.0,"qty":1.0,"ord_type":"limit","trade_id":{number},'
        '"timestamp":"2023-09-25T07:49:37.708706Z"}'
        for number in ids
    )
    return f'{{"channel":"trade","type":"snapshot","data":[{trades}]}}'.encode()


async def test_a_quiet_stream_sends_its_position(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    limits = replace(USUAL, place_s=0.05)
    async with recording(path) as recorder, served(tmp_path, path, limits=limits) as server:
        await ready(server)
        async with listening(server.url + PATH) as stream:
            first = (await take(stream, 1))[0]
            await recorder.trade(1)
            await take(stream, 1)
            await recorder.update(5)
            seq = recorder.feed.progress.last.seq
            place = first.id or ""
            while place_of("id", place).record < (1, seq):
                event = (await take(stream, 1))[0]
                assert event.name in ("place", "trades")
                place = event.id or ""
            assert place_of("id", place).trade_id == 1  # the last trade that it had
        async with listening(server.url + PATH, after=place) as stream:
            await recorder.push(repeated(1, 2))
            assert numbers(await until_number(stream, 2)) == [2]


async def stood_still(path: Path, recorder: Recorder, limits: LiveLimits = USUAL) -> JournalTail:
    """A tail that has read all there is, and reads no further, while the journal goes on."""
    tail = JournalTail(source(path), SystemRuntime(), limits)
    running = asyncio.create_task(tail.run())
    await until(lambda: tail.at == recorder.feed.progress.last)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    return tail


def journaled(path: Path, tail: JournalTail) -> list[Record]:
    """The records that the tail has not read."""
    reader = JournalReader(str(path))
    try:
        return list(reader.records(tail.at))
    finally:
        reader.close()


async def test_a_trade_that_comes_as_the_idle_timeout_ends_is_sent(tmp_path: Path) -> None:
    """The place of a quiet stream is told, and is not beyond what the listener has still to get."""
    path = tmp_path / "journal"
    async with recording(path) as recorder:
        tail = await stood_still(path, recorder, replace(USUAL, place_s=0))
        stream = await trades_module.trade_stream(tail, SystemRuntime(), asyncio.Semaphore(1), Topic(A))
        await anext(stream)
        await recorder.trade(1)
        records = journaled(path, tail)
        coming = asyncio.ensure_future(anext(stream))  # waits, and its time is over at once
        await asyncio.gather(coming, tail._take(records))
        told = [*coming.result(), *await anext(stream)]
        await stream.aclose()
    assert "trades" in [message.event for message in told]


@pytest.mark.parametrize("missed_bytes", [1, 1_000, 1_000_000])
async def test_a_listener_that_takes_slowly_what_it_missed_holds_up_no_other(tmp_path: Path, missed_bytes: int) -> None:
    path = tmp_path / "journal"
    async with recording(path) as recorder:
        for _ in range(5):
            await recorder.trade(3)
        tail = await stood_still(path, recorder, replace(USUAL, missed_bytes=missed_bytes))
        one_at_once = asyncio.Semaphore(1)
        slow, other = [
            await trades_module.trade_stream(tail, SystemRuntime(), one_at_once, topic_after("0-0")) for _ in range(2)
        ]
        told = await anext(slow)  # and then it asks for nothing more
        async with asyncio.timeout(HANGS_S):
            ids = [message.id for message in [message async for message in until_place(other)]]
        told += [message async for message in until_place(slow)]
        await slow.aclose()
        await other.aclose()
    assert [message.id for message in told] == ids
    assert len(ids) == len(set(ids)) == 15 + 1  # the place


class TestWhatIsLost:
    async def test_a_position_of_another_journal_is_reset(self, tmp_path: Path) -> None:
        path = tmp_path / "journal"
        async with recording(path) as recorder, served(tmp_path, path) as server:
            await recorder.trade(1)
            await until(lambda: server.live.tails["journal"].at == recorder.feed.progress.last)
            async with listening(server.url + PATH, after="7-1") as stream:
                said, place = await take(stream, 2)
                assert said.name == "reset"
                assert "7-1 is not of this one" in said.data["reason"]
                assert place.name == "place"
                await recorder.trade(1)
                assert numbers(await take(stream, 1)) == [2]

    async def test_a_position_in_another_shard_s_journal_is_reset(self, tmp_path: Path) -> None:
        """That shard's trades behind the position are not in this one, though nothing has come before its first."""
        path = tmp_path / "journal"
        JournalWriter(str(path), first_run=first_run(2)).close()
        async with recording(path) as recorder, served(tmp_path, path) as server:
            await recorder.trade(2)
            await until(lambda: server.live.tails["journal"].at == recorder.feed.progress.last)
            async with listening(server.url + PATH, after="0-0") as stream:
                assert numbers(await until_number(stream, 2)) == [1, 2]
            async with listening(server.url + PATH, after="1-1200") as stream:
                said, place = await take(stream, 2)
                assert said.name == "reset"
                assert "1-1200 is not of this one" in said.data["reason"]
                assert place.name == "place"
                await recorder.trade(1)
                assert numbers(await take(stream, 1)) == [3]

    async def test_too_many_missed_records_are_reported_as_lagged(self, tmp_path: Path) -> None:
        path = tmp_path / "journal"
        limits = replace(USUAL, missed_records_max=5)
        async with recording(path) as recorder, served(tmp_path, path, limits=limits) as server:
            for _ in range(3):
                await recorder.trade(6)
            await until(lambda: server.live.tails["journal"].at == recorder.feed.progress.last)
            async with listening(server.url + PATH, after="0-0") as stream:
                events = [await anext(stream)]
                while events[-1].name != "place":
                    events.append(await anext(stream))
                lagged = [event.data for event in events if event.name == "lagged"]
                assert [data["missed"] for data in lagged] == [None]
                assert "more than 5 records were missed" in lagged[0]["reason"]
                assert len(numbers(events)) < 18
                await recorder.trade(1)
                assert numbers(await take(stream, 1)) == [19]

    async def test_records_read_ahead_of_the_tail_are_sent_once(self, tmp_path: Path) -> None:
        path = tmp_path / "journal"
        async with recording(path) as recorder:
            tail = await stood_still(path, recorder, replace(USUAL, missed_records_max=30))
            for _ in range(8):
                await recorder.trade(5)
            stream = await trades_module.trade_stream(tail, SystemRuntime(), asyncio.Semaphore(1), topic_after("0-0"))
            told = [message async for message in until_place(stream)]
            assert "lagged" in [message.event for message in told]
            await tail._take(journaled(path, tail))
            told += await anext(stream)
            await stream.aclose()
        ids = [message.id for message in told if message.event == "trades"]
        assert len(ids) == len(set(ids)) == 40

    async def test_pruned_records_are_reported_as_lagged(self, tmp_path: Path) -> None:
        path = tmp_path / "journal"
        script = Script()
        async with recording(path, script) as recorder:
            await recorder.trade(3)
        async with recording(path, script) as recorder, served(tmp_path, path) as server:
            await recorder.trade(2)
            await ready(server)
            async with listening(server.url + PATH, after="1-5") as stream:
                assert numbers(await until_number(stream, 5)) == [1, 2, 3, 4, 5]
            damage(path, "DELETE FROM blocks WHERE run = 1; DELETE FROM runs WHERE run = 1")
            damage(path, "UPDATE runs SET first_seq = 13; DELETE FROM blocks WHERE first_seq < 13")
            async with listening(server.url + PATH, after="1-5") as stream:
                said, *rest = await until_number(stream, 5)
                assert (said.name, said.data["missed"]) == ("lagged", None)
                assert "the journal has dropped what came before 2-" in said.data["reason"]
                assert numbers(rest) == [4, 5]

    async def test_a_slow_listener_is_sent_the_number_of_missed_events(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "journal"
        async with recording(path) as recorder, served(tmp_path, path) as server:
            await ready(server)
            tail = server.live.tails["journal"]
            topic = Topic(A)
            stream = await trades_module.trade_stream(tail, SystemRuntime(), asyncio.Semaphore(1), topic)
            assert [message.event for message in await anext(stream)] == ["place"]
            await recorder.trade(1_500)
            await until(lambda: tail.at == recorder.feed.progress.last)
            messages = await anext(stream)
            while len(messages) < 101:
                messages += await anext(stream)
            assert messages[0].event == "lagged"
            assert b'"missed":500' in messages[0].data
            assert b'"trade_id":501' in messages[1].data
            await stream.aclose()


@pytest.mark.parametrize("channel", ["trades", "book"])
async def test_a_stream_whose_symbol_moves_to_another_shard_ends(tmp_path: Path, channel: str) -> None:
    """With a reason; who connects again gets what the other one records."""
    first, second = tmp_path / "1" / "journal", tmp_path / "2" / "journal"
    first.parent.mkdir()
    second.parent.mkdir()
    url = f"/v1/markets/A-USD/live/{channel}"
    async with (
        recording(first) as before,
        recording(second) as after,
        served(tmp_path, first, second, limits=replace(USUAL, place_s=0.05)) as server,
    ):
        one, other = server.live.tails.values()
        after.feed.unsubscribe([A])
        await ready(server)
        await until(lambda: one.records("trade", A) and not other.records("trade", A))
        async with listening(server.url + url) as stream:
            await anext(stream)
            before.feed.unsubscribe([A])
            await until(lambda: not one.records("trade", A))
            after.feed.subscribe([A])
            async with asyncio.timeout(HANGS_S):
                *_, last = [event async for event in stream]
        assert last.name == "error"
        assert "another shard" in last.data["message"]
        async with listening(server.url + url) as stream:
            await anext(stream)
            await after.trade(1) if channel == "trades" else await after.update(5)
            async with asyncio.timeout(HANGS_S):
                while (event := await anext(stream)).name == "place":
                    pass
            assert event.name == channel


@pytest.mark.parametrize(
    ("path", "status", "sentence"),
    [
        ("/v1/markets/C-USD/live/trades", 404, "has no trades of C/USD; it has those of: A/USD, B/USD"),
        (f"{PATH}?after=5", 400, "after '5' is no place in this stream"),
        (f"{PATH}?recording=other", 404, "this server follows no journal of a recording named other; it has journal"),
    ],
)
async def test_rejects_streams_of_trades_that_are_not_recorded(
    tmp_path: Path, path: str, status: int, sentence: str
) -> None:
    journal = tmp_path / "journal"
    async with recording(journal), served(tmp_path, journal) as server:
        await ready(server)
        got, said = await refusal(server.url + path)
        assert (got, sentence in said) == (status, True), said


async def test_rejects_an_ambiguous_recording(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    async with served(tmp_path) as server:
        assert await refusal(server.url + PATH) == (404, "this server follows no journal of a recording")
    async with recording(one), served(tmp_path, one, two) as server:
        got, said = await refusal(server.url + PATH)
        assert (got, "more than one journal of a recording: say recording; it has one, two" in said) == (400, True)
        await until(lambda: server.live.tails["two"].health.reason != "it is not read yet")
        got, said = await refusal(server.url + PATH + "?recording=two")
        assert (got, "there is no journal that can be opened" in said) == (503, True)
        assert str(tmp_path) not in said
