"""`tidelog market coverage | candles | trades`: what they print of a recording, and what they refuse."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.market.recorded import Recording, levels
from tidelog.cli.listing import time_text
from tidelog.cli.market import app
from tidelog.errors import ConfigError
from tidelog.market.events import Disconnected
from tidelog.market.load.loader import Loader
from tidelog.runtime import SystemRuntime
from tidelog.store import open_store


async def fill(url: str, *names: str) -> None:
    made = Recording()
    made.trades(1, 2)
    made.trades(100, 101)
    made.trades(1, symbol="ETH/USD")
    made.book(levels([99]), levels([101]), whole=True)
    made.note(Disconnected("1006"))
    made.book(levels([99]), levels([101]), whole=True)
    store = await open_store(url, SystemRuntime())
    for name in names:
        loader = await Loader.open(store, SystemRuntime(), name)
        await loader.load(made.events)
    await store.close()


@pytest.fixture
def db(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path}/market.db"
    asyncio.run(fill(url, "kraken"))
    return url


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, Any]]:
    app([*arguments, "--json"], result_action="return_value")
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_trades_oldest_first(db: str, capsys: pytest.CaptureFixture[str]) -> None:
    rows = printed(capsys, "trades", "--symbol", "BTC/USD", "--db", db)
    assert [row["trade_id"] for row in rows] == [1, 2, 100, 101]
    assert rows[0] == {
        "time": "2023-11-14T22:13:21.000000Z",
        "side": "buy",
        "price": "100.0",
        "qty": "1.00",
        "type": "limit",
        "trade_id": 1,
    }


@pytest.mark.parametrize(
    ("flags", "ids"),
    [
        (["--limit", "2"], [100, 101]),
        (["--from", "2023-11-14T22:13:22Z"], [2, 100, 101]),
        (["--to", "2023-11-14T22:13:22Z"], [1]),
        (["--from", "2023-11-14T22:13:22", "--to", "2023-11-14T23:14:59.5+00:00", "--limit", "1"], [101]),
        (["--from", "2030-01-01"], []),
    ],
)
def test_trades_within_a_time(db: str, flags: list[str], ids: list[int], capsys: pytest.CaptureFixture[str]) -> None:
    rows = printed(capsys, "trades", "--symbol", "BTC/USD", "--db", db, *flags)
    assert [row["trade_id"] for row in rows] == ids


def test_candles_are_listed(db: str, capsys: pytest.CaptureFixture[str]) -> None:
    rows = printed(capsys, "candles", "BTC/USD", "--interval", "1m", "--db", db)
    assert [(row["time"], row["trades"]) for row in rows] == [
        ("2023-11-14T22:13:00.000000Z", 2),
        ("2023-11-14T22:15:00.000000Z", 2),
    ]
    assert [row["complete"] for row in rows] == [False, False]  # the first began before, and the last may go on
    assert rows[0]["volume"] == "2.00"
    assert {rows[0][name] for name in ("open", "high", "low", "close", "vwap")} == {"100.0"}
    assert [row["trades"] for row in printed(capsys, "candles", "BTC/USD", "--interval", "1d", "--db", db)] == [4]


def test_coverage_is_listed(db: str, capsys: pytest.CaptureFixture[str]) -> None:
    rows = printed(capsys, "coverage", "--symbol", "BTC/USD", "--db", db)
    states = [(row["channel"], row["state"], row["reason"]) for row in rows if "channel" in row]
    assert states == [
        ("book", "proven", None),
        ("book", "gap", "1006"),
        ("book", "proven", None),
        ("trade", "proven", None),
        ("trade", "gap", "trade_id"),
        ("trade", "proven", None),
        ("trade", "gap", "1006"),
    ]
    [missing] = [row for row in rows if "missing" in row]
    assert (missing["missing"], missing["first"], missing["last"]) == ("trades:BTC/USD", 3, 99)
    every = printed(capsys, "coverage", "--db", db)
    assert {row.get("symbol") for row in every} == {"BTC/USD", "ETH/USD", None}
    late = printed(capsys, "coverage", "--symbol", "BTC/USD", "--db", db, "--from", "2030-01-01")
    assert [row for row in late if "channel" in row] == []


def test_rows_without_json_are_name_and_value(db: str, capsys: pytest.CaptureFixture[str]) -> None:
    app(["trades", "ETH/USD", "--db", db], result_action="return_value")
    out = capsys.readouterr().out
    assert out == "time=2023-11-14T22:13:21.000000Z  side=buy  price=100.0  qty=1.00  type=limit  trade_id=1\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["trades", "BTC/USD", "--limit", "0"], "--limit 0: give 1 to"),
        (["trades", "BTC/USD", "--from", "yesterday"], "--from 'yesterday': give a time"),
        (["candles", "BTC/USD", "--interval", "1y"], "--interval '1y': give one such"),
        (["candles", "BTC/USD", "--interval", ""], "--interval ''"),
        (["trades", "XRP/USD"], "recording kraken has no trades of XRP/USD; it has BTC/USD, ETH/USD"),
        (["candles", "XRP/USD"], "recording kraken has no trades of XRP/USD; it has BTC/USD, ETH/USD"),
        (["coverage", "XRP/USD"], "recording kraken has no coverage of XRP/USD; it has BTC/USD, ETH/USD"),
        (["candles", "BTC/USD", "--interval", "2m"], "has no candles of 120 s; it has 1m, 5m, "),
        (["coverage", "--name", "other"], "holds no recording 'other'; it holds kraken"),
    ],
)
def test_a_mistake_is_one_sentence(db: str, arguments: list[str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        app([*arguments, "--db", db], result_action="return_value")


def test_rejects_an_ambiguous_recording(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = f"sqlite:///{tmp_path}/market.db"
    asyncio.run(fill(url, "one", "two"))
    with pytest.raises(ConfigError, match="by --name: the store holds one, two"):
        app(["trades", "BTC/USD", "--db", url], result_action="return_value")
    assert len(printed(capsys, "trades", "BTC/USD", "--db", url, "--name", "two")) == 4


def test_times_beyond_the_calendar_are_printed_as_numbers() -> None:
    assert time_text(2**63 - 1) == "9223372036854775807 us"
