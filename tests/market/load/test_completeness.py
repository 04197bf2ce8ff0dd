"""Which candles are made of all trades of their time: as Python tells it and as the view does, on both backends."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.market.load.test_loader import loaded
from tests.market.recorded import START_US, SYMBOL, Recording, trade
from tidelog.batch import Table, Value
from tidelog.market.events import Disconnected, Trades
from tidelog.market.load.completeness import Evidence, with_completeness
from tidelog.market.load.recorded import source_of
from tidelog.market.projection.candles import bucket
from tidelog.market.projection.tables import CANDLES, TRADES
from tidelog.runtime import SystemRuntime
from tidelog.store import open_store
from tidelog.store.query import select_query

MINUTE_US = 60_000_000
BEGIN_US = bucket(START_US, MINUTE_US) + MINUTE_US  # of minute 0
DAY_S = 86_400


class Stored:
    """A database, and what was recorded into it so far."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.made = Recording()
        self.made.ack("trade")

    def trades(self, text: str) -> None:
        """One frame each: "3@1" is the trade with id 3 half through minute 1; "-@1" has none."""
        for each in text.split():
            number, _, minute = each.partition("@")
            at_us = BEGIN_US + int(minute) * MINUTE_US + MINUTE_US // 2
            found = trade(None if number == "-" else int(number), at_us - START_US)
            self.made.note(Trades((found,)), max(1_000, at_us + 1_000 - self.made.at_us))

    async def load(self) -> None:
        store = await open_store(self.url, SystemRuntime())
        await loaded(store, self.made.events)
        await store.close()

    async def complete(self, interval_s: int = 60) -> str:
        """The minutes whose candles are complete, as the library says; the view has to say the same."""
        await self.load()
        store = await open_store(self.url, SystemRuntime(), readonly=True)
        async with store.snapshot() as snapshot:
            rows = await snapshot.select(CANDLES, scope=source_of("test"), where={"interval_s": interval_s})
            told = await with_completeness(snapshot, source_of("test"), rows)
        await store.close()
        assert [row[-1] for row in told] == await self._viewed(interval_s)
        return " ".join(
            f"{(int(str(row[CANDLES.index('time_us')])) - BEGIN_US) // MINUTE_US}{'' if row[-1] else '?'}"
            for row in told
        )

    async def _viewed(self, interval_s: int) -> list[object]:
        query = f"SELECT complete FROM v_candles WHERE symbol = '{SYMBOL}' AND interval_s = {interval_s} ORDER BY time"
        if self.url.startswith("sqlite"):
            with closing(sqlite3.connect(self.url.removeprefix("sqlite:///"))) as connection:
                return [row[0] for row in connection.execute(query)]
        client = await asyncpg.connect(self.url)
        try:
            return [row[0] for row in await client.fetch(query)]
        finally:
            await client.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> Stored:
    return Stored(
        f"sqlite:///{tmp_path}/market.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    )


@pytest.mark.parametrize(
    ("trades", "complete"),  # a minute with ? is not known to be complete
    [
        ("1@0", "0?"),
        ("1@0 2@1", "0? 1?"),  # the first began before the recording did, the last goes on
        ("1@0 2@1 3@2", "0? 1 2?"),
        ("1@0 2@1 3@5 4@6", "0? 1 5 6?"),  # a minute without trades has no candle
        ("1@0 2@1 4@2 5@3 6@4", "0? 1? 2? 3 4?"),  # 3 was in one of the two
        ("1@0 2@1 3@1 5@1 6@2 7@3", "0? 1? 2 3?"),
        ("1@0 2@1 4@3 5@4 6@5 3@2", "0? 1 2 3 4 5?"),  # it came after all
        ("1@0 2@1 5@3 6@4 7@5 4@3", "0? 1? 3? 4 5?"),  # and here one of two
    ],
)
async def test_a_minute_is_complete_between_two_trades_with_nothing_missing(
    stored: Stored, trades: str, complete: str
) -> None:
    stored.trades(trades)
    assert await stored.complete() == complete


async def test_a_candle_turns_complete_with_the_trade_after_it(stored: Stored) -> None:
    stored.trades("1@0 2@1")
    assert await stored.complete() == "0? 1?"
    stored.trades("3@2")
    assert await stored.complete() == "0? 1 2?"


async def test_an_outage_in_which_nothing_was_traded_costs_nothing(stored: Stored) -> None:
    stored.trades("1@0 2@1")
    stored.made.note(Disconnected("reset by peer"))
    stored.trades("3@3 4@4")
    assert await stored.complete() == "0? 1 3 4?"


async def test_an_outage_in_which_trades_were_lost_is_in_both_candles_around_it(stored: Stored) -> None:
    stored.trades("1@0 2@1")
    stored.made.note(Disconnected("reset by peer"))
    stored.trades("5@3 6@4 7@5")
    assert await stored.complete() == "0? 1? 3? 4 5?"


async def test_the_day_that_began_before_the_recording_is_not_complete(stored: Stored) -> None:
    minutes = DAY_S // 60
    stored.trades(f"1@0 2@{minutes} 3@{2 * minutes} 4@{3 * minutes}")
    assert [part.endswith("?") for part in (await stored.complete(DAY_S)).split()] == [True, False, False, True]


async def test_trades_without_ids_are_complete_where_the_coverage_has_no_gap(stored: Stored) -> None:
    stored.trades("-@0 -@1 -@2")
    stored.made.note(Disconnected("reset by peer"))
    stored.trades("-@4 -@5 -@6 -@7")
    assert await stored.complete() == "0? 1 2? 4? 5 6 7?"


def test_a_gap_makes_every_candle_it_reaches_incomplete() -> None:
    evidence = Evidence(5, 100, ((30, 50),))
    cases = {(0, 10): False, (10, 20): True, (20, 30): True, (20, 31): False, (40, 45): False, (50, 60): False}
    cases |= {(51, 60): True, (90, 100): True, (90, 101): False, (5, 10): False}
    assert {span: evidence.is_complete(*span) for span in cases} == cases


async def test_the_edges_of_gaps_are_looked_for_by_an_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many trades there are: SQLite does not take the index of ids for a list of them."""
    made = Stored(f"sqlite:///{tmp_path}/completeness.db")
    made.trades("1@0 2@1 5@3 9@4")
    await made.load()
    asked: list[tuple[str, list[Value]]] = []

    def noted(table: Table, **how: Any) -> tuple[str, list[Value]]:
        found = select_query(table, **how)
        asked.extend([found] if table is TRADES and "trade_id" in (how["where"] or {}) else [])
        return found

    monkeypatch.setattr("tidelog.store.query.select_query", noted)
    await made.complete()
    assert asked
    with closing(sqlite3.connect(tmp_path / "completeness.db")) as client:
        for text, values in asked:
            plan = client.execute(f"EXPLAIN QUERY PLAN {text}", values).fetchall()
            assert "trade_id=?" in str(plan), plan


async def test_completeness_noted_in_a_row_is_kept(stored: Stored) -> None:
    stored.trades("1@0 2@1 3@2")
    await stored.load()
    store = await open_store(stored.url, SystemRuntime(), readonly=True)
    async with store.snapshot() as snapshot:
        rows = await snapshot.select(CANDLES, scope=source_of("test"), where={"interval_s": 60})
        noted = [(*row[:-1], value) for row, value in zip(rows, (1, 0, 1), strict=True)]
        assert await with_completeness(snapshot, source_of("test"), noted) == noted
    await store.close()
