"""Candles as a stream: what a commit of the loader makes or changes, resumed by the time of the last one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.api.live.serving import Event, Served, listening, refusal, serving, take
from tests.market.recorded import START_US, Recording
from tests.store.conftest import Opener
from tidelog.market.load.loader import Loader
from tidelog.runtime import SystemRuntime

PATH = "/v1/markets/BTC-USD/live/candles"
MINUTE_US = 60_000_000
FIRST_US = START_US - START_US % MINUTE_US


class Loading:
    """A loader, and trades at a minute's beginning each."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader
        self._made = Recording()

    async def trades(self, *seconds: int) -> None:
        """A commit with trades so many seconds after the start; their numbers too."""
        begin = len(self._made.events)
        for second in seconds:
            self._made.trades(second)
        await self._loader.load(self._made.events[begin:])


@asynccontextmanager
async def loading(opener: Opener) -> AsyncIterator[tuple[Loading, Served]]:
    store = await opener()
    loader = Loading(await Loader.open(store, SystemRuntime(), "test"))
    await loader.trades(1)
    async with serving(await opener(readonly=True)) as served:
        yield loader, served


def told(events: list[Event]) -> list[tuple[int, int]]:
    """The minute of each candle, and how many trades it has."""
    return [
        ((event.data["candle"]["time_us"] - FIRST_US) // MINUTE_US, event.data["candle"]["trades"]) for event in events
    ]


async def test_each_commit_sends_what_it_changed(opener: Opener) -> None:
    async with loading(opener) as (loader, served), listening(served.url + PATH) as stream:
        first = await take(stream, 1)
        begun = told(first)[0][0]
        assert told(first) == [(begun, 1)]
        assert first[0].id == str(first[0].data["candle"]["time_us"])
        assert (first[0].data["symbol"], first[0].data["interval_s"]) == ("BTC/USD", 60)
        assert first[0].data["candle"]["open"] == "100.0"
        await loader.trades(2, 3)
        assert told(await take(stream, 1)) == [(begun, 3)]
        await loader.trades(61, 121)
        assert told(await take(stream, 2)) == [(begun + 1, 1), (begun + 2, 1)]
        await loader.trades(62, 63)  # late ones: an older candle changes
        changed = await take(stream, 1)
        assert told(changed) == [(begun + 1, 3)]
        assert changed[0].id == str(FIRST_US + (begun + 2) * MINUTE_US)  # what is resumed from is the latest


async def test_a_candle_stream_resumes_by_time_and_repeats_what_may_have_changed(opener: Opener) -> None:
    async with loading(opener) as (loader, served):
        await loader.trades(*[60 * minute for minute in range(1, 31)])
        async with listening(served.url + PATH + "?after=0") as stream:
            every = await take(stream, 31)
        minutes = [minute for minute, _ in told(every)]
        assert minutes == list(range(minutes[0], minutes[0] + 31))
        async with listening(served.url + PATH, after=str(every[20].data["candle"]["time_us"])) as stream:
            assert told(await take(stream, 20)) == told(every[10:])[:20] + told(every[30:])[1:]


async def test_a_client_whose_connection_is_lost_amid_a_page_resumes_without_a_hole(opener: Opener) -> None:
    """Each has the id of the latest one so far: with that of the page's last one, what was cut off was missed."""
    async with loading(opener) as (loader, served):
        await loader.trades(*[60 * minute for minute in range(1, 31)])
        async with listening(served.url + PATH + "?after=0") as stream:
            every = await take(stream, 31)
        assert [event.id for event in every] == [str(event.data["candle"]["time_us"]) for event in every]
        assert every[3].id is not None
        async with listening(served.url + PATH, after=every[3].id) as stream:
            again = await take(stream, 31)
        assert told(again) == told(every)
        # a client that hears little of each connection is not sent back by what is repeated
        assert [event.id for event in again] == [every[3].id] * 4 + [event.id for event in every[4:]]


@pytest.mark.parametrize(
    ("path", "status", "sentence"),
    [
        (f"{PATH}?interval=7m", 400, "interval is 420 s: the recording test has candles of 60, 300, 900"),
        (f"{PATH}?interval=soon", 400, "interval 'soon' is no length of time"),
        (f"{PATH}?recording=other", 404, "the store holds no recording other"),
        (f"{PATH}?after=yesterday", 400, "after 'yesterday' is no place"),
        ("/v1/markets/X-USD/live/candles", 404, "the recording test has no trades of X/USD"),
    ],
)
async def test_rejects_streams_of_candles_that_are_not_stored(
    opener: Opener, path: str, status: int, sentence: str
) -> None:
    async with loading(opener) as (_, served):
        got, said = await refusal(served.url + path)
        assert (got, sentence in said) == (status, True), said
