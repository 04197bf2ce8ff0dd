"""A journal alone answers as the API does over a store loaded from it: to its end, from its middle, as it grows."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.patience import HANGS_S
from tests.system.test_market_kill import Exchange
from tidelog.api.http.options import JournalSource
from tidelog.cli.top.inside import store_answers
from tidelog.cli.top.journal import JournalAnswers, Span, moment_us, span_of
from tidelog.errors import ConfigError, TidelogError
from tidelog.market import Feed, Item, Trades
from tidelog.market.events import EventId
from tidelog.market.journal.reader import JournalReader
from tidelog.market.load.loader import Loader
from tidelog.market.replay.position import events_to_load
from tidelog.runtime import SystemRuntime
from tidelog.store import open_store
from tidelog.tui.asking import Answers

SYMBOL, PATH = "BTC/USD", "/v1/markets/BTC%2FUSD"
TRADES = 60  # of each of two runs
ZSTD = b"\x28\xb5\x2f\xfd"  # each packed block begins so
ALIKE = ("trades?limit=1000", "candles?interval=1m&limit=1000", "coverage?limit=1000", "gaps?limit=1000")


async def recorded(path: str, url: str, trades: int) -> None:
    """A run of a feed, until there are so many trades."""
    async with Feed([SYMBOL], ["book", "trade"], journal=path, url=url) as feed:
        seen = 0
        async for item in feed.events(durable_only=True):
            seen += isinstance(item, Item) and isinstance(item.event, Trades)
            if seen >= trades:
                return


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two runs, with time between them."""
    path = str(tmp_path_factory.mktemp("journal") / "kraken.journal")

    async def both() -> None:
        await recorded(path, exchange.url, TRADES)
        await recorded(path, exchange.url, TRADES)

    with Exchange(7) as exchange:
        asyncio.run(both())
    return path


async def asked(answers: Answers, path: str) -> Any:
    reply = await answers.ask(path, None, 240.0)
    assert reply.status == 200, reply.body
    return json.loads(reply.body)


@asynccontextmanager
async def playing(path: str, speed: float | None, begin_us: int) -> AsyncIterator[JournalAnswers]:
    answers = JournalAnswers(path, span_of(path), speed, begin_us)
    filling = asyncio.create_task(answers.run())
    try:
        yield answers
    finally:
        filling.cancel()
        await asyncio.gather(filling, return_exceptions=True)


async def until_loaded(answers: JournalAnswers, last: EventId) -> None:
    """Once the store has that record."""
    async with asyncio.timeout(HANGS_S):
        while True:
            try:
                book = await answers.ask(f"{PATH}/book", None, 240.0)
                if book.status == 200:
                    checkpoint = json.loads(book.body)["checkpoint"]
                    if EventId(checkpoint["run"], checkpoint["seq"]) >= last:
                        return
            except TidelogError:
                pass  # it begins to be read
            await asyncio.sleep(0.02)


async def until_shown(answers: JournalAnswers, last: EventId) -> None:
    """Once the books are there too: they and the store take the records each for itself."""
    async with asyncio.timeout(HANGS_S):
        while (books := answers._books) is None or books._core.at < last:  # noqa: ASYNC110 - nobody announces it
            await asyncio.sleep(0.02)


async def truth(path: str, folder: Path) -> tuple[dict[str, Any], EventId]:
    """What the API answers over a store that `market record` has loaded, and how far that is."""
    runtime = SystemRuntime()
    url = f"sqlite:///{folder}/truth.db"
    store = await open_store(url, runtime)
    loader = await Loader.open(store, runtime, "kraken")
    async with aclosing(events_to_load(path, runtime, ending=lambda: True)) as events:
        await loader.run(events)
    await store.close()
    async with store_answers(url, (JournalSource("kraken", path),), runtime) as inside:
        found = {name: (await asked(inside, f"{PATH}/{name}"))["data"] for name in ALIKE}
        book = await asked(inside, f"{PATH}/book")
        return found | {"book": without_age(book)}, loader.committed


def without_age(book: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in book["data"].items() if name != "age_ms"}


async def test_a_replay_ends_as_the_recording_did(journal: str, tmp_path: Path) -> None:
    expected, last = await truth(journal, tmp_path)
    async with playing(journal, 50.0, span_of(journal).begin_us) as answers:
        await until_loaded(answers, last)
        await until_shown(answers, last)
        assert answers.words == "replay ended"
        for name in ALIKE:
            assert (await asked(answers, f"{PATH}/{name}"))["data"] == expected[name], name
        assert without_age(await asked(answers, f"{PATH}/book")) == expected["book"]
        readiness = await asked(answers, "/readyz")
        assert readiness["reasons"] == ["kraken: 1 of 1 books are not proven, BTC/USD for one"]  # nobody is connected
        metrics = (await answers.ask("/metrics", None, 240.0)).body.decode()
        assert 'tidelog_market_event_latency_seconds_count{process="kraken"}' in metrics


def second_traded_us(path: str) -> int:
    """When the second run's first trade came that was made meanwhile."""
    reader = JournalReader(path)
    try:
        return next(
            record.at_us
            for record in reader.records()
            if record.id.run == 2 and record.payload.startswith(b'{"channel":"trade","type":"update"')
        )
    finally:
        reader.close()


async def test_it_begins_where_it_is_wanted_and_goes_back(journal: str, tmp_path: Path) -> None:
    expected, last = await truth(journal, tmp_path)
    async with playing(journal, 50.0, second_traded_us(journal)) as answers:
        await until_loaded(answers, last)
        some = (await asked(answers, f"{PATH}/trades?limit=1000"))["data"]
        whole = expected["trades?limit=1000"]
        assert some == whole[: len(some)]
        assert 0 < len(some) < len(whole)
        assert answers.seek(-3_600.0) is None
        with pytest.raises(TidelogError, match="is being read"):
            await answers.ask(f"{PATH}/trades", None, 240.0)
        await until_loaded(answers, last)
        assert (await asked(answers, f"{PATH}/trades?limit=1000"))["data"] == whole


async def test_a_replay_that_stands_still_shows_what_was_there_then(journal: str) -> None:
    async with playing(journal, 0.001, span_of(journal).begin_us) as answers:
        async with asyncio.timeout(HANGS_S):
            while True:
                try:
                    markets = await asked(answers, "/v1/markets")
                    break
                except TidelogError:
                    await asyncio.sleep(0.02)
        assert markets["data"] == []
        assert answers.words == "replay x0.001"


async def test_it_is_followed_as_it_grows(tmp_path: Path) -> None:
    path = str(tmp_path / "kraken.journal")
    with Exchange(7) as exchange:
        await recorded(path, exchange.url, 3)
        async with playing(path, None, 0) as answers:
            await until_loaded(answers, EventId(1, 1))
            before = await asked(answers, f"{PATH}/trades?limit=1000")
            assert (await asked(answers, f"{PATH}/book"))["data"]["origin"] == "store"  # nobody is connected
            assert answers.words == "live"
            assert "this is live" in str(answers.seek(-60.0))
            async with Feed([SYMBOL], ["book", "trade"], journal=path, url=exchange.url), asyncio.timeout(HANGS_S):
                while True:
                    trades = await asked(answers, f"{PATH}/trades?limit=1000")
                    book = (await asked(answers, f"{PATH}/book"))["data"]
                    if trades["data"] != before["data"] and book["origin"] == "journal" and book["proven_depth"] == 10:
                        return
                    await asyncio.sleep(0.02)


async def test_a_damaged_journal_is_told(journal: str, tmp_path: Path) -> None:
    copy = tmp_path / "kraken.journal"
    content = Path(journal).read_bytes()
    copy.write_bytes(content.replace(ZSTD, b"other"[: len(ZSTD)]))
    async with playing(str(copy), 50.0, 0) as answers, asyncio.timeout(HANGS_S):
        while True:
            try:
                await answers.ask("/v1/markets", None, 240.0)
            except TidelogError as error:
                if "is damaged" in str(error):
                    return
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("text", "at_s"),
    [
        ("23:00", 82_800),
        ("01:30", 86_400 + 5_400),
        ("2:00:01", 7_201),
        ("1970-01-01T00:00:05Z", 5),
        ("1970-01-02", 86_400),
    ],
)
def test_a_time_of_the_day_is_the_last_one_before_the_end(text: str, at_s: int) -> None:
    span = Span(0, (86_400 + 7_200) * 1_000_000)  # it ends at 02:00:00 of the second day
    assert moment_us(text, span) == at_s * 1_000_000


@pytest.mark.parametrize("text", ["24:00", "noon", "12:3", ""])
def test_what_is_no_time_is_told(text: str) -> None:
    with pytest.raises(ConfigError, match="give a time such as 12:30"):
        moment_us(text, Span(0, 1))


def test_an_empty_journal_is_told(tmp_path: Path) -> None:
    from tidelog.market.journal.file import JournalWriter

    path = str(tmp_path / "empty.journal")
    JournalWriter(path).close()
    with pytest.raises(ConfigError, match="holds no records yet"):
        span_of(path)
