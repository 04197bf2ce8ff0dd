"""A recording's rows fit each other and their checkpoint; what is changed in them is named."""

import asyncio
import shutil
from pathlib import Path

import apsw
import pytest
from msgspec.structs import replace

from tests.market.load.test_expiry import a_recording
from tests.market.load.test_loader import without_ids
from tests.market.loader_child import journal
from tests.market.recorded import Recording
from tidelog.batch import Batch, Table
from tidelog.errors import ConfigError
from tidelog.market.core import JournalEvent
from tidelog.market.events import EventId, Heartbeat
from tidelog.market.load.expiry import Keep
from tidelog.market.load.loader import SAMPLE_S, Loader, Options
from tidelog.market.load.recorded import source_of, state_of
from tidelog.market.maintenance.verify import Reach, Report, differences, verify_market
from tidelog.market.projection.state import Outage, encode_state
from tidelog.market.projection.tables import BOOK_SNAPSHOTS, CANDLES, COVERAGE, GAPS, INSTRUMENTS, TRADES
from tidelog.market.projection.trade_ids import Loss, Missing
from tidelog.runtime import SystemRuntime
from tidelog.store import open_store

NAME = "test"
SOURCE = source_of(NAME)


async def verified(url: str, findings: int = 1) -> Report:
    runtime = SystemRuntime()
    store = await open_store(url, runtime, readonly=True)
    try:
        return await verify_market(store, runtime, NAME, findings_max=findings)
    finally:
        await store.close()


async def recorded(url: str, entries: list[JournalEvent], keep: Keep | None = None) -> None:
    runtime = SystemRuntime()
    store = await open_store(url, runtime)
    try:
        loader = await Loader.open(store, runtime, NAME, Options(keep=keep or Keep()))
        for at in range(0, len(entries), 50):
            await loader.load(entries[at : at + 50])
    finally:
        await store.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/market.db"
    return str(request.getfixturevalue("postgres_url"))


# -- sound ones ------------------------------------------------------------------------------------------------------


@pytest.mark.each_choice
@pytest.mark.parametrize("seed", range(4))
async def test_sound_recording_with_ids_has_no_findings(url: str, seed: int) -> None:
    await recorded(url, journal(seed, 600))
    report = await verified(url, 9)
    assert report.findings == []
    assert report.rows["trades"] > 300
    assert report.rows["gaps"] > 20
    assert report.not_looked_at.startswith("not looked at: the journal (none was given)")


@pytest.mark.parametrize("seed", range(2))
async def test_sound_recording_without_ids_has_no_findings(url: str, seed: int) -> None:
    await recorded(url, without_ids(journal(seed, 400)))
    assert (await verified(url, 9)).findings == []


@pytest.mark.each_choice
@pytest.mark.parametrize(
    "keep", [Keep(trades=2), Keep(candles=2), Keep(books=2), Keep(coverage=2), Keep(2, 2, 2, 2)], ids=str
)
@pytest.mark.parametrize("numbered", [True, False])
async def test_expired_rows_are_no_finding(url: str, keep: Keep, numbered: bool) -> None:
    await recorded(url, a_recording(numbered=numbered).events, keep)
    assert (await verified(url, 9)).findings == []


# -- damaged ones ----------------------------------------------------------------------------------------------------

# columns whose other value nothing else in the store contradicts: only the journal does, and of those behind the
# stroke not even that
ALONE = {
    "trades": "time_us ord_type run seq received_us",
    "candles": "| complete",
    "book_snapshots": "time_us exchange_us depth price_scale qty_scale run seq",
    "coverage": "reason closed_at",
    "gaps": "first last reason opened_at closed_at",
    "instruments": "symbol base quote status price_precision qty_precision price_increment price_increment_scale "
    "qty_increment qty_increment_scale updated_us",
}


def entries_of_sound() -> list[JournalEvent]:
    entries, instruments = journal(2, 400), Recording()
    instruments.instrument()
    last, event = entries[-1], instruments.events[-1].event
    entries.append(JournalEvent(EventId(last.id.run, last.id.seq + 1), last.at_us + 1_000, event))
    entries.append(JournalEvent(EventId(last.id.run, last.id.seq + 2), last.at_us + 2_000, Heartbeat()))
    return entries


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sound") / "market.db"
    asyncio.run(recorded(f"sqlite:///{path}", entries_of_sound()))
    return path


def changed(table: Table, column: str) -> str:
    """Another value, that the column can hold."""
    kind = table.columns[table.index(column)].kind.value
    name = f'"{column}"'
    if (table, column) == (TRADES, "trade_id"):
        return "trade_id + 100000"  # of no other trade
    if column == "complete":
        return "7"
    if column == "exchange_us":
        return "1"
    return {
        "int": f"{name} + 1",
        "number": f"{name} + 1",
        "text": f"{name} || '~'",
        "bytes": f"CAST({name} || x'41' AS BLOB)",
        "uint256": f"CAST(substr({name}, 1, 31) || x'ff' AS BLOB)",
    }[kind]


COLUMNS = [
    (table, name) for table in (TRADES, CANDLES, BOOK_SNAPSHOTS, COVERAGE, GAPS, INSTRUMENTS) for name in table.names
]


def damaged(sound: Path, folder: Path, table: Table, column: str) -> str:
    """A copy in which one value of a row in the middle is another; its address."""
    path = folder / "market.db"
    shutil.copy(sound, path)
    key = ", ".join(f'"{name}"' for name in table.key)
    rows = f'SELECT {key} FROM {table.name} ORDER BY "{column}" IS NULL, {key}'
    filled = f'SELECT count("{column}") / 2 FROM {table.name}'
    middle = f"SELECT {key} FROM ({rows}) LIMIT 1 OFFSET ({filled})"
    connection = apsw.Connection(str(path))
    try:
        connection.execute(f'UPDATE {table.name} SET "{column}" = {changed(table, column)} WHERE ({key}) = ({middle})')
        assert connection.changes() == 1
    finally:
        connection.close()
    return f"sqlite:///{path}"


@pytest.mark.parametrize(("table", "column"), COLUMNS, ids=[f"{table.name}.{name}" for table, name in COLUMNS])
async def test_each_changed_column_is_found(sound: Path, tmp_path: Path, table: Table, column: str) -> None:
    url = damaged(sound, tmp_path, table, column)
    alone, _, never = ALONE[table.name].partition("|")
    findings = (await verified(url)).findings
    assert bool(findings) == (column not in alone.split()), findings
    found = await differing(url, f"sqlite:///{sound}")
    assert bool(found) == (column not in never.split()), found


async def differing(url: str, again: str) -> list[str]:
    """What `verify` says of a store, and of what its journal makes."""
    runtime = SystemRuntime()
    stores = [await open_store(each, runtime, readonly=True) for each in (url, again)]
    try:
        async with stores[0].snapshot() as stored, stores[1].snapshot() as made:
            checkpoint = await made.checkpoint(SOURCE)
            assert checkpoint is not None
            state = state_of(checkpoint)
            reach = Reach({1: EventId(1, 1)}, whole=True)
            found = differences(stored, made, SOURCE, state, reach, expired=False, sample_s=SAMPLE_S)
            return [each async for each in found]
    finally:
        for store in stores:
            await store.close()


async def test_both_databases_hold_the_same(sound: Path, url: str) -> None:
    """So that a journal is folded into SQLite, whatever the store is."""
    await recorded(url, entries_of_sound())
    assert await differing(url, f"sqlite:///{sound}") == []


async def test_missing_and_surplus_rows_are_found(sound: Path, tmp_path: Path) -> None:
    for table in (TRADES, CANDLES, BOOK_SNAPSHOTS, COVERAGE, GAPS, INSTRUMENTS):
        path = tmp_path / f"{table.name}.db"
        shutil.copy(sound, path)
        connection = apsw.Connection(str(path))
        connection.execute(f"DELETE FROM {table.name}")
        count = connection.changes()
        connection.close()
        (*_, last) = await differing(f"sqlite:///{path}", f"sqlite:///{sound}")
        assert f"a row of {table.name} that the journal makes is not there" in last
        assert len(await differing(f"sqlite:///{path}", f"sqlite:///{sound}")) == count
        (first, *_) = await differing(f"sqlite:///{sound}", f"sqlite:///{path}")
        assert f"the journal does not make this row of {table.name}" in first


@pytest.mark.each_choice
@pytest.mark.parametrize("damage", ["trades", "held", "book", "trade", "missing", "outage", "symbol"])
async def test_checkpoint_that_contradicts_the_rows_is_found(url: str, damage: str) -> None:
    """What it says of a symbol, and of the connection, is what the rows say; on both databases."""
    await recorded(url, journal(1, 400))
    runtime = SystemRuntime()
    store = await open_store(url, runtime)
    try:
        checkpoint = await store.acquire(SOURCE)
        state = state_of(checkpoint)
        symbol = state.symbols["BTC/USD"]
        assert symbol.ids is not None
        assert symbol.book is not None
        assert symbol.trade is not None
        match damage:
            case "trades":
                symbol.trades = (symbol.trades or 0) + 1
            case "held":
                symbol.ids = replace(symbol.ids, last=symbol.ids.last + 1)
            case "book":
                symbol.book = replace(symbol.book, until_us=symbol.book.until_us + 1)
            case "trade":
                symbol.trade = replace(symbol.trade, since_us=symbol.trade.since_us - 1)
            case "missing":
                loss = Missing(symbol.ids.last, symbol.ids.last, 1, Loss(1, 2, "trade_id"))
                symbol.ids = replace(symbol.ids, missing=(*symbol.ids.missing, loss))
            case "outage":
                state.outage = Outage(1, "reset", 1)
            case "symbol":
                del state.symbols["ETH/USD"]
        await store.commit(Batch(checkpoint, checkpoint.advanced(encode_state(state))))
    finally:
        await store.close()
    assert (await verified(url)).findings


async def test_verifying_an_unknown_recording_is_refused(url: str) -> None:
    await recorded(url, journal(1, 20))
    runtime = SystemRuntime()
    store = await open_store(url, runtime, readonly=True)
    try:
        with pytest.raises(ConfigError, match="the store holds no recording 'other'"):
            await verify_market(store, runtime, "other")
    finally:
        await store.close()
