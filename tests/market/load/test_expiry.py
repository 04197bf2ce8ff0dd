"""What a recording's rows are kept for: the oldest go, in bounded steps, and what is left is as it would be without."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from tests.market.recorded import START_US, Recording, levels, trade
from tidelog.batch import Row, Table
from tidelog.errors import ConfigError
from tidelog.market.core import JournalEvent
from tidelog.market.events import Disconnected, Trades
from tidelog.market.load.completeness import with_completeness
from tidelog.market.load.expiry import LIMITS, ExpiryLimits, Keep
from tidelog.market.load.loader import Loader, LoaderLimits, Options
from tidelog.market.load.recorded import source_of, state_of
from tidelog.market.projection.candles import bucket
from tidelog.market.projection.tables import BOOK_SNAPSHOTS, CANDLES, COVERAGE, GAPS, MARKET_TABLES, TRADES
from tidelog.runtime import SystemRuntime
from tidelog.store import Store, open_store

SOURCE = source_of("test")
HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
DAYS = 12


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/market.db"
    address: str = request.getfixturevalue("postgres_url")
    return address


def a_recording(*, numbered: bool = True) -> Recording:
    """A trade of each of two symbols and a book every hour, an outage a day, a missing trade every fourth day."""
    made = Recording()
    made.ack("book", 10)
    made.ack("trade")
    number = 0
    for hour in range(24 * DAYS):
        at_us = hour * HOUR_US
        if hour % 24 == 12:
            made.note(Disconnected("reset by peer"), 1_000)
        number += 2 if hour % 96 == 70 else 1
        made.book(levels(range(99, 89, -1)), levels(range(101, 111)), whole=True, after_us=1_000)
        found = [
            trade(number if numbered else None, at_us, symbol=symbol, price=f"{100 + hour}.0")
            for symbol in ("BTC/USD", "ETH/USD")
        ]
        made.note(Trades(tuple(found)), max(1_000, START_US + at_us + 5_000_000 - made.at_us))
    return made


async def loaded(
    url: str, entries: Sequence[JournalEvent], keep: Keep, *, at_once: int = 20, limits: ExpiryLimits = LIMITS
) -> Store:
    store = await open_store(url, SystemRuntime())
    loader = await Loader.open(store, SystemRuntime(), "test", Options(keep=keep), limits=LoaderLimits(expiry=limits))
    for at in range(0, len(entries), at_once):
        await loader.load(entries[at : at + at_once])
    return store


async def rows_of(store: Store, table: Table) -> list[Row]:
    async with store.snapshot() as snapshot:
        rows = await snapshot.select(table, scope=SOURCE)
        return await with_completeness(snapshot, SOURCE, rows) if table is CANDLES else rows


def times(table: Table, rows: Sequence[Row]) -> list[int]:
    return [int(str(row[table.index(table.height or table.key[-1])])) for row in rows]


@pytest.mark.each_choice
@pytest.mark.parametrize(
    ("keep", "table"),
    [
        (Keep(trades=3), TRADES),
        (Keep(candles=4), CANDLES),
        (Keep(books=2), BOOK_SNAPSHOTS),
        (Keep(coverage=5), COVERAGE),
    ],
)
async def test_expiry_drops_the_oldest_rows_and_leaves_the_rest_as_they_were(
    url: str, tmp_path: Path, keep: Keep, table: Table
) -> None:
    entries = a_recording().events
    whole = await loaded(f"sqlite:///{tmp_path}/whole.db", entries, Keep())
    kept = await loaded(url, entries, keep)
    [days] = [days for days in (keep.trades, keep.candles, keep.books, keep.coverage) if days is not None]
    horizon_us = entries[-1].at_us - round(days * DAY_US)
    for each in (*MARKET_TABLES, GAPS):
        before, after = await rows_of(whole, each), await rows_of(kept, each)
        if each is table:
            gone = [row for row in before if row not in after]
            assert gone
            assert [row for row in before if row in after] == after
            assert max(times(table, gone)) < horizon_us
            left = [time_us for time_us in times(table, after) if time_us < horizon_us - DAY_US]
            assert not left
        elif each is not GAPS:
            assert after == before, each.name
    for store in (whole, kept):
        await store.close()


async def test_expired_trades_take_their_gaps_along_and_candles_keep_their_completeness(
    url: str, tmp_path: Path
) -> None:
    entries = a_recording().events
    whole = await loaded(f"sqlite:///{tmp_path}/whole.db", entries, Keep())
    kept = await loaded(url, entries, Keep(trades=3))
    scope = GAPS.index("scope")
    missing = [[row for row in await rows_of(store, GAPS) if "trades:" in str(row[scope])] for store in (whole, kept)]
    assert [len(found) for found in missing] == [6, 2]  # of three a symbol, the latest is within the last three days
    candles = await rows_of(kept, CANDLES)
    assert candles == await rows_of(whole, CANDLES)
    assert {row[-1] for row in candles} == {0, 1}
    for store in (whole, kept):
        await store.close()


async def test_trades_without_ids_expire_with_their_coverage(url: str, tmp_path: Path) -> None:
    entries = a_recording(numbered=False).events
    whole = await loaded(f"sqlite:///{tmp_path}/whole.db", entries, Keep())
    kept = await loaded(url, entries, Keep(trades=3, coverage=3))
    assert len(await rows_of(kept, TRADES)) < len(await rows_of(whole, TRADES)) / 3
    assert len(await rows_of(kept, COVERAGE)) < len(await rows_of(whole, COVERAGE)) / 2
    assert await rows_of(kept, CANDLES) == await rows_of(whole, CANDLES)
    for store in (whole, kept):
        await store.close()


async def test_expiry_at_once_and_in_small_steps_leaves_the_same_rows(url: str, tmp_path: Path) -> None:
    """However few rows go in a commit, and however many entries are loaded in one, the same is left."""
    entries = a_recording().events
    keep = Keep(trades=2, candles=4, books=2, coverage=3)
    steady = await loaded(url, entries, keep, at_once=20)
    small = ExpiryLimits(step_rows=3, visits=1)
    late = a_recording()
    for _ in range(600):
        late.heartbeat()
    for _ in range(600):
        entries.append(late.events[len(entries)])
    stepwise = await loaded(f"sqlite:///{tmp_path}/steps.db", entries, keep, at_once=1, limits=small)
    for table in (TRADES, CANDLES, BOOK_SNAPSHOTS):
        before, after = await rows_of(steady, table), await rows_of(stepwise, table)
        assert [row for row in before if row in after] == after, table.name
        assert len(before) - len(after) < 30
    for store in (steady, stepwise):
        await store.close()


async def test_a_trade_older_than_the_expired_ones_is_not_stored(url: str) -> None:
    """Its candle would be made anew from it alone."""
    made = a_recording()
    kept = await loaded(url, made.events, Keep(trades=3))
    before = {table.name: await rows_of(kept, table) for table in (TRADES, CANDLES)}
    await kept.close()
    made.note(Trades((trade(71, 71 * HOUR_US - 1),)))  # one of those that were missing
    again = await loaded(url, made.events[-1:], Keep(trades=3))
    assert {table.name: await rows_of(again, table) for table in (TRADES, CANDLES)} == before
    await again.close()


async def test_the_newest_trade_of_a_symbol_stays(url: str) -> None:
    """What is missing before the next one can be told only by it."""
    made = Recording()
    made.trades(1, 2, 3)
    made.trades(1, 2, 3, symbol="ETH/USD")
    made.heartbeat(after_us=9 * DAY_US)
    made.heartbeat()
    kept = await loaded(url, made.events, Keep(trades=2), at_once=1)
    ids = [row[TRADES.index("trade_id")] for row in await rows_of(kept, TRADES)]
    assert 3 in ids
    assert min(times(TRADES, await rows_of(kept, TRADES))) >= bucket(START_US + 3_000_000, 60_000_000)
    async with kept.snapshot() as snapshot:
        checkpoint = await snapshot.checkpoint(SOURCE)
    assert checkpoint is not None
    counted = sum(state.trades or 0 for state in state_of(checkpoint).symbols.values())
    assert counted == len(ids)
    await kept.close()


async def test_one_commit_drops_a_bounded_number_of_rows(tmp_path: Path) -> None:
    limits = ExpiryLimits(step_rows=10)
    entries = a_recording().events
    path = tmp_path / "market.db"
    await (await loaded(f"sqlite:///{path}", entries, Keep())).close()
    with closing(sqlite3.connect(path)) as connection:
        [before] = connection.execute("SELECT count(*) FROM trades").fetchone()
    late = a_recording()
    late.heartbeat()
    await (await loaded(f"sqlite:///{path}", late.events[-1:], Keep(trades=2), limits=limits)).close()
    with closing(sqlite3.connect(path)) as connection:
        [after] = connection.execute("SELECT count(*) FROM trades").fetchone()
    assert 0 < before - after < 2 * 10  # of as many symbols as it takes to have ten


@pytest.mark.parametrize("days", [0, 1.9, -1, float("nan")])
def test_keeping_less_than_two_days_is_refused(days: float) -> None:
    with pytest.raises(ConfigError, match=r"candles are kept for .* days: give 2 or more"):
        Keep(candles=days)
