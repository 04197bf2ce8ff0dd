"""What the API says of a recording: exact numbers, times both ways, what is proven and what is missing."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.api.served import Filled, Reply, Served, a_recording, sqlite_url
from tidelog.api.market.books import BookView
from tidelog.api.market.fields import Level
from tidelog.market.events import Disconnected
from tidelog.market.load.loader import Loader
from tidelog.market.load.settling import Claiming, settle
from tidelog.runtime import SystemRuntime
from tidelog.store import open_store

BTC = "/v1/markets/BTC-USD"


def test_markets_by_recording_and_symbol(api: Served) -> None:
    markets = api.all("/v1/markets", limit=1)
    assert [(each["recording"], each["symbol"]) for each in markets] == [("kraken", "BTC/USD"), ("kraken", "ETH/USD")]
    told, untold = markets
    assert (told["base"], told["price_increment"], told["qty_increment"]) == ("BTC", "0.1", "0.00000001")
    assert told["book"]["state"] == "proven"
    assert (untold["base"], untold["book"]) == (None, None)


@pytest.mark.parametrize("symbol", ["BTC-USD", "BTC%2FUSD", "BTC%2fUSD"])
def test_a_symbol_is_written_either_way(api: Served, symbol: str) -> None:
    assert api.get(f"/v1/markets/{symbol}/trades").json["symbol"] == "BTC/USD"


class TestTrades:
    def test_a_trade_is_exact(self, api: Served) -> None:
        assert api.get(f"{BTC}/trades", order="asc").data[0] == {
            "time": "2023-11-14T22:13:21.000000Z",
            "time_us": 1_700_000_001_000_000,
            "trade_id": 1,
            "ordinal": 1,
            "side": "buy",
            "ord_type": "limit",
            "price": "100.0",
            "qty": "1.00",
        }

    def test_trades_are_listed_once_in_either_order(self, api: Served) -> None:
        ids = [[trade["trade_id"] for trade in page] for page in api.pages(f"{BTC}/trades", limit=2)]
        assert ids == [[101, 100], [3, 2], [1]]
        assert [trade["trade_id"] for trade in api.all(f"{BTC}/trades", limit=2, order="asc")] == [1, 2, 3, 100, 101]

    @pytest.mark.parametrize(
        ("since", "until", "ids"),
        [
            ("2023-11-14T22:13:22Z", None, [2, 3, 100, 101]),
            ("2023-11-14T22:13:22Z", "2023-11-14T22:13:23Z", [2]),
            ("2023-11-14T23:13:22.000001+01:00", "2023-11-14T22:14:00Z", [3]),
            ("2030-01-01T00:00:00Z", None, []),
        ],
    )
    def test_trades_within_a_time(self, api: Served, since: str, until: str | None, ids: list[int]) -> None:
        trades = api.get(f"{BTC}/trades", order="asc", from_=since, to=until).data
        assert [trade["trade_id"] for trade in trades] == ids


def test_candles_are_those_of_the_trades(api: Served) -> None:
    reply = api.get(f"{BTC}/candles", interval="1m", order="asc")
    assert reply.json["interval_s"] == 60
    first = reply.data[0]
    assert (first["time"], first["open"], first["close"]) == ("2023-11-14T22:13:00.000000Z", "100.0", "100.0")
    assert (first["volume"], first["vwap"], first["turnover"], first["trades"]) == ("3.00", "100.0", "300.000", 3)
    assert first["complete"] is False  # it began before the recording did
    assert api.get(f"{BTC}/candles", interval="60s").json == api.get(f"{BTC}/candles").json
    assert sum(candle["trades"] for candle in api.all(f"{BTC}/candles", limit=1)) == 5


class TestBook:
    def test_the_newest_sample_of_a_book_says_what_is_proven(self, api: Served) -> None:
        reply = api.get(f"{BTC}/book", depth=1)
        book = reply.data
        assert book["bids"] == [{"price": "99.0", "qty": "1.00"}]
        assert book["asks"] == [{"price": "101.0", "qty": "1.00"}]
        assert (book["origin"], book["proven_depth"], book["depth"]) == ("store", 10, 10)
        assert book["age_ms"] > 0
        assert reply.json["standing"]["state"] == "proven"
        assert len(api.get(f"{BTC}/book").data["bids"]) == 2

    def test_a_followed_journal_takes_precedence_over_samples(self, small: Filled) -> None:
        class Followed:
            def book(self, recording: str, symbol: str, levels: int | None = None) -> BookView | None:
                assert (recording, symbol, levels) == ("kraken", "BTC/USD", 2)
                return BookView("journal", None, 1, None, 2, 10, 10, [Level("1.0", "2")] * 3, [])

        with Served(small.url) as api:
            api.server.app.state["live_books"] = Followed()
            book = api.get(f"{BTC}/book", depth=2).data
        assert (book["origin"], len(book["bids"]), book["age_ms"]) == ("journal", 2, 2)


class TestCoverage:
    def test_intervals_follow_each_other_and_gaps_are_told(self, api: Served) -> None:
        reply = api.get(f"{BTC}/coverage")
        by_channel: dict[str, list[Any]] = {"book": [], "trade": []}
        for interval in reply.data:
            by_channel[interval["channel"]].append(interval)
        assert [each["state"] for each in by_channel["book"]] == ["proven", "gap", "proven"]
        assert by_channel["book"][1]["reason"] == "1006"
        for before, after in zip(by_channel["book"], by_channel["book"][1:], strict=False):
            assert before["until_us"] == after["since_us"]
        assert [(gap["scope"], gap["first"], gap["last"]) for gap in reply.json["gaps"]] == [("trades:BTC/USD", 4, 99)]
        assert api.all(f"{BTC}/coverage", limit=1) == reply.data
        assert [gap["scope"] for gap in api.all(f"{BTC}/gaps", limit=1)] == ["connection", "trades:BTC/USD"]

    def test_gaps_of_the_shards_in_which_a_symbol_was_are_told_too(self, tmp_path: Path) -> None:
        recording = a_recording()
        recording.note(Disconnected("went away"))

        async def load() -> None:
            runtime = SystemRuntime()
            store = await open_store(sqlite_url(tmp_path), runtime)
            try:
                shards = [Claiming("kraken", number, 2, "here:/", f"{number}.journal", 7) for number in (1, 2)]
                first = await settle(store, runtime, shards[0], ["BTC/USD", "ETH/USD"], entering=1)
                await (await Loader.open(store, runtime, "kraken", shard=first)).load(recording.events)
                await settle(store, runtime, shards[0], [], entering=2)
                await settle(store, runtime, shards[1], ["BTC/USD"], entering=1_000_000_001)
            finally:
                await store.close()

        asyncio.run(load())
        with Served(sqlite_url(tmp_path)) as api:
            for symbol, missing in (("BTC-USD", ["trades:BTC/USD"]), ("ETH-USD", [])):
                of_connection = ["connection", "connection"]
                assert [gap["scope"] for gap in api.all(f"/v1/markets/{symbol}/gaps")] == [*of_connection, *missing]
                still = api.get(f"/v1/markets/{symbol}/coverage").json["gaps"]
                assert [gap["scope"] for gap in still] == ["connection", *missing]

    def test_from_shows_what_reaches_into_the_time(self, api: Served) -> None:
        whole = api.get(f"{BTC}/coverage").data
        gap = next(each for each in whole if each["channel"] == "book" and each["state"] == "gap")
        inside = api.get(f"{BTC}/coverage", from_="2023-11-14T22:13:30Z").data
        assert gap in inside
        assert all(each["until_us"] >= 1_700_000_010_000_000 for each in inside)


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/v1/markets/BTC-EUR/trades", 404, "did you mean BTC/USD?"),
        ("/v1/markets/XYZ/book", 404, "/v1/markets lists"),
        ("/v1/markets/ETH-USD/book", 404, "no book of ETH/USD yet"),
        (f"{BTC}/trades?recording=other", 404, "none of that name"),
        (f"{BTC}/trades?from=yesterday", 400, "from"),
        (f"{BTC}/trades?from=2023-02-30T00:00:00Z", 400, "no such time"),
        (f"{BTC}/trades?from=1960-01-01T00:00:00Z", 400, "before 1970"),
        (f"{BTC}/trades?from=2023-11-14T22:13:22", 400, "from"),
        (f"{BTC}/candles?interval=2m", 400, "60s, 300s, 900s, 3600s, 14400s, 86400s are"),
        (f"{BTC}/candles?interval=1w", 400, "interval"),
        (f"{BTC}/book?depth=1001", 400, "depth"),
        (f"{BTC}/trades?symbol=1", 400, "no parameter 'symbol'"),
        ("/v1/markets/%00/trades", 400, "symbol"),
        (f"/v1/markets/{'A' * 65}/trades", 400, "symbol"),
    ],
)
def test_market_routes_refuse_mistakes_in_one_sentence(api: Served, path: str, status: int, said: str) -> None:
    reply = api.get(path)
    assert reply.status == status, reply
    assert said in reply.error


def test_with_several_recordings_one_has_to_be_named(tmp_path: Path) -> None:
    async def load() -> None:
        store = await open_store(sqlite_url(tmp_path), SystemRuntime())
        for name in ("one", "two"):
            await (await Loader.open(store, SystemRuntime(), name)).load(a_recording().events)
        await store.close()

    def refused(reply: Reply) -> str:
        assert reply.status == 400
        return reply.error

    asyncio.run(load())
    with Served(sqlite_url(tmp_path)) as api:
        assert "holds one, two" in refused(api.get(f"{BTC}/trades"))
        assert api.get(f"{BTC}/trades", recording="two").json["recording"] == "two"
        assert len(api.all("/v1/markets", limit=3)) == 4
        assert {each["recording"] for each in api.all("/v1/markets", recording="two")} == {"two"}
        assert [each["recording"] for each in api.get("/v1/stats").json["recordings"]] == ["one", "two"]
