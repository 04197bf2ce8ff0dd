"""The journal in the store, on both backends: whole, once, and the same however often it was begun again."""

import asyncio
import random
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from tests.chain.native import either_path
from tests.market.conftest import Recording as Frames
from tests.market.loader_child import BATCH, given, journal
from tests.market.recorded import START_US, SYMBOL, Recording, trade
from tests.patience import HANGS_S
from tests.postgres import PostgresServer
from tests.store.conftest import Opener
from tidelog.batch import Batch, ContentDigest, Outcome, Row
from tidelog.errors import Busy, ConfigError, Corruption, Fenced, Unreachable
from tidelog.market.core import JournalEvent
from tidelog.market.events import NOTHING, Ack, Disconnected, EventId, Trades
from tidelog.market.journal.reader import identity_at
from tidelog.market.kraken import v1
from tidelog.market.load.loader import INTERVALS_S, Loader, LoaderLimits, Options, begin_journal
from tidelog.market.load.recorded import source_of
from tidelog.market.maintenance.verify import verify_market
from tidelog.market.projection.candles import bars, bucket
from tidelog.market.projection.rows import bar_of_row, candle_row, tick_of_row
from tidelog.market.projection.state import decode_state, encode_state
from tidelog.market.projection.tables import BOOK_SNAPSHOTS, CANDLES, COVERAGE, GAPS, MARKET_TABLES, TRADES
from tidelog.runtime import SystemRuntime
from tidelog.store import Store, open_store

__all__ = ["either_path"]  # a fixture: every test runs on both paths
pytestmark = pytest.mark.usefixtures("either_path")

SOURCE = source_of("test")
RUNTIME = SystemRuntime()


async def contents(store: Store) -> dict[str, list[Row]]:
    async with store.snapshot() as snapshot:
        return {table.name: await snapshot.select(table) for table in (*MARKET_TABLES, GAPS)}


async def digest(store: Store) -> str:
    found = []
    async with store.snapshot() as snapshot:
        for table in MARKET_TABLES:
            content = ContentDigest(table)
            async for rows in snapshot.scan(table):
                content.update(rows)
            found.append(content.hexdigest())
    return " ".join(found)


async def loaded(store: Store, entries: Sequence[JournalEvent], name: str = "test") -> Loader:
    loader = await Loader.open(store, RUNTIME, name)
    await loader.run(given(list(entries)))
    return loader


def without_ids(entries: Sequence[JournalEvent]) -> list[JournalEvent]:
    """The same as version 1 of the exchange's protocol tells it."""
    told = []
    for entry in entries:
        event = entry.event
        if isinstance(event, Trades):
            trades = tuple(msgspec.structs.replace(trade, trade_id=None) for trade in event.trades)
            event = msgspec.structs.replace(event, trades=trades)
        told.append(msgspec.structs.replace(entry, event=event))
    return told


async def counted(store: Store, source: str = SOURCE) -> dict[str, int | None]:
    """The counts in the checkpoint, after a look that they are right."""
    async with store.snapshot() as snapshot:
        checkpoint = await snapshot.checkpoint(source)
        rows = await snapshot.select(TRADES, scope=source)
    assert checkpoint is not None
    found = {
        symbol: stored_rows.trades for symbol, stored_rows in decode_state(checkpoint.position or "{}").symbols.items()
    }
    stored = Counter(str(row[TRADES.index("symbol")]) for row in rows)
    assert found == {symbol: stored[symbol] for symbol in found}
    assert stored.keys() <= found.keys()
    return found


class TestCounts:
    @pytest.mark.each_choice
    @pytest.mark.parametrize("told", [list, without_ids])
    @pytest.mark.parametrize("intervals_s", [INTERVALS_S, (60,), ()])
    async def test_counts_equal_the_stored_trades(
        self,
        store: Store,
        told: Callable[[Sequence[JournalEvent]], list[JournalEvent]],
        intervals_s: tuple[int, ...],
    ) -> None:
        entries, rng, at = told(journal(9, 150)), random.Random(9), 0
        while at < len(entries):
            loader = await Loader.open(store, RUNTIME, "test", Options(intervals_s))
            for _ in range(rng.randrange(1, 4)):  # of what it is given, much came before, and some twice
                end = at + rng.randrange(1, 30)
                await loader.load(entries[max(0, at - 20) : end])
                at = end
            await counted(store)
        assert min((await counted(store)).values()) > 10  # type: ignore[type-var, operator]

    async def test_the_same_trades_by_another_run_count_once(self, store: Store) -> None:
        entries = without_ids(journal(10, 100))
        await loaded(store, entries)
        before = await counted(store)
        last = entries[-1]
        again = [
            JournalEvent(EventId(last.id.run + entry.id.run, entry.id.seq), last.at_us + n, entry.event)
            for n, entry in enumerate(entries, 1)
            if isinstance(entry.event, Trades | Disconnected | Ack)
        ]
        await loaded(store, again)
        assert await counted(store) == before

    async def test_a_second_trade_of_a_number_is_told(self, store: Store, capfd: pytest.CaptureFixture[str]) -> None:
        recording = Recording()
        recording.trades(1, 2, 3)
        await loaded(store, recording.events)
        recording.trades(2, 3, 4, snapshot=True)  # as they were
        finer = Decimal("100.000")  # ... and as the market writes them since
        recording.note(Trades((msgspec.structs.replace(trade(3, 3_000_000), price=finer),)))
        recording.trades(4, 4)
        before = capfd.readouterr().err
        await loaded(store, recording.events)
        assert "trade_contradicted" not in before + capfd.readouterr().err
        recording.note(Trades((trade(3, 9_000_000), trade(5, 10_000_000))))
        await loaded(store, recording.events)
        told = [line for line in capfd.readouterr().err.splitlines() if "trade_contradicted" in line]
        assert len(told) == 1
        assert '"trade_id": 3' in told[0]
        rows = (await contents(store))["trades"]
        assert [row[TRADES.index("trade_id")] for row in rows] == [1, 2, 3, 4, 5], "the first of number 3 is stored"

    async def test_trades_of_an_older_tidelog_are_counted_once(self, store: Store) -> None:
        entries = journal(11, 120)
        await loaded(store, entries[:80])
        before = await store.acquire(SOURCE)
        state = decode_state(before.position or "")
        for stored_rows in state.symbols.values():
            stored_rows.trades = None
        assert '"trades"' not in encode_state(state)
        await store.commit(Batch(before, before.advanced(encode_state(state))))
        await loaded(store, entries)
        assert all((await counted(store)).values())


class TestLoading:
    async def test_rows_and_place_are_committed_together(self, store: Store) -> None:
        entries = journal(1, 200)
        loader = await loaded(store, entries)
        assert loader.committed == entries[-1].id
        again = await Loader.open(store, RUNTIME, "test")
        assert again.committed == entries[-1].id
        stored_rows = await contents(store)
        assert all(stored_rows.values()) is False  # no instruments were told
        assert all(rows for name, rows in stored_rows.items() if name != "instruments")

    async def test_loading_the_same_events_again_changes_nothing(self, store: Store) -> None:
        entries = journal(2, 200)
        await loaded(store, entries)
        before = await contents(store)
        for again in (entries, entries[50:]):
            await loaded(store, again)
            assert await contents(store) == before

    async def test_loader_stopped_anywhere_gives_the_same_store(self, opener: Opener, tmp_path: Path) -> None:
        entries = journal(3, 300)
        store = await opener()
        await loaded(store, entries)
        pieces = await open_store(f"sqlite:///{tmp_path}/pieces.db", RUNTIME)
        rng = random.Random(3)
        at = 0
        while at < len(entries):
            loader = await Loader.open(pieces, RUNTIME, "test")
            end = at + rng.randrange(40)
            await loader.load(entries[:end])  # the journal from its beginning, as far as it was then
            at = end
        assert await contents(pieces) == await contents(store)
        assert await digest(pieces) == await digest(store)
        await pieces.close()

    async def test_every_size_of_batch_gives_the_same_store(self, tmp_path: Path) -> None:
        entries = journal(4, 120)
        found = []
        for size in (1, 7, 1_000):
            store = await open_store(f"sqlite:///{tmp_path}/{size}.db", RUNTIME)
            loader = await Loader.open(store, RUNTIME, "test")
            for at in range(0, len(entries), size):
                await loader.load(entries[at : at + size])
            found.append(await contents(store))
            await store.close()
        assert found[0] == found[1] == found[2]

    async def test_two_recordings_in_one_store_do_not_touch(self, store: Store) -> None:
        entries = journal(5, 100)
        await loaded(store, entries)
        before = await contents(store)
        await loaded(store, journal(6, 100), name="other")
        stored_rows = await contents(store)
        assert {name: [row for row in rows if row[0] == SOURCE] for name, rows in stored_rows.items()} == before
        assert len(stored_rows["trades"]) > len(before["trades"])

    async def test_recorded_trades_without_ids(self, store: Store, recording: Frames) -> None:
        events = [v1.decode(frame) for frame in recording("trade-v1")]
        entries = [JournalEvent(EventId(1, n), START_US + n, event) for n, event in enumerate(events, 1)]
        loader = await loaded(store, entries)
        trades = [trade for event in events if isinstance(event, Trades) for trade in event.trades]
        stored_rows = await contents(store)
        assert len(stored_rows["trades"]) == len(trades) >= 10
        assert {row[COVERAGE.index("state")] for row in stored_rows["coverage"]} == {"unproven"}
        assert loader.refused == 0
        await loaded(store, [JournalEvent(EventId(2, n), START_US + n, event) for n, event in enumerate(events, 1)])
        again = await contents(store)  # received a second time, by another run
        assert [row[:11] for row in again["trades"]] == [row[:11] for row in stored_rows["trades"]]
        assert again["candles"] == stored_rows["candles"]


class TestCandles:
    async def test_candles_are_those_of_all_stored_trades(self, store: Store) -> None:
        await loaded(store, journal(7, 400))
        stored_rows = await contents(store)
        wanted = []
        for symbol in (SYMBOL, "ETH/USD"):
            ticks = [tick_of_row(row) for row in stored_rows["trades"] if row[1] == symbol]
            for interval_s in INTERVALS_S:
                found = bars(ticks, interval_s * 1_000_000)
                wanted += [candle_row(SOURCE, symbol, interval_s, bar) for bar in found]
        assert stored_rows["candles"] == wanted
        assert len(wanted) > 20

    async def test_a_late_trade_changes_the_candles_of_its_time_only(self, store: Store) -> None:
        made = Recording()
        made.trades(1)
        made.trades(200)
        loader = await loaded(store, made.events)
        before = {row[:4]: row for row in (await contents(store))["candles"]}
        made.trades(3)
        await loader.load(made.events)
        after = {row[:4]: row for row in (await contents(store))["candles"]}
        changed = {key[2:] for key, row in after.items() if before.get(key) != row}
        time_us = START_US + 3_000_000
        assert changed == {(interval_s, bucket(time_us, interval_s * 1_000_000)) for interval_s in INTERVALS_S}
        counts = {row[2]: bar_of_row(row).trades for key, row in after.items() if key[2:] in changed}
        assert (counts[60], counts[86_400]) == (2, 3)

    @pytest.mark.each_choice
    @pytest.mark.parametrize("first", [False, True])
    @pytest.mark.parametrize("size", [1, 100])
    async def test_a_candle_that_cannot_be_held_is_in_no_longer_one_either(
        self, store: Store, size: int, first: bool
    ) -> None:
        """In any order, and however often a commit is made: what is there is made of all trades of its time."""
        at_us = bucket(START_US, 86_400_000_000) + 86_400_000_000 - START_US  # of a day
        minute_us = 60_000_000
        sound = [trade(1, at_us), trade(2, at_us + 7 * minute_us), trade(4, at_us + 23 * minute_us)]
        sound.append(trade(5, at_us + 1_440 * minute_us))  # of the next day
        absurd = trade(3, at_us + 8 * minute_us, price="1" + "0" * 30, qty="1" + "0" * 30)
        same = trade(6, at_us + 8 * minute_us + 1, qty="0.12345678901234567891")
        made = Recording()
        for one in [absurd, *sound, same] if first else [*sound, same, absurd]:
            made.note(Trades((one,)))
        made.note(Trades((trade(7, at_us + 9 * minute_us),)))
        loader = await Loader.open(store, RUNTIME, "test")
        for at in range(0, len(made.events), size):
            await loader.load(made.events[at : at + size])
        stored_rows = await contents(store)
        assert len(stored_rows["trades"]) == 7
        ticks = [tick_of_row(row) for row in stored_rows["trades"]]
        wanted = [
            candle_row(SOURCE, SYMBOL, interval_s, bar)
            for interval_s in INTERVALS_S
            for bar in bars(ticks, interval_s * 1_000_000)
        ]
        assert None in wanted
        assert stored_rows["candles"] == [row for row in wanted if row is not None]
        assert (await verify_market(store, RUNTIME, "test")).findings == []

    @pytest.mark.parametrize("intervals_s", [(60, 90), (300, 60), (60, 60), (0, 60), (-60, 60)])
    def test_intervals_have_to_divide_each_other(self, intervals_s: tuple[int, ...]) -> None:
        with pytest.raises(ConfigError):
            Options(intervals_s)

    async def test_candles_have_the_configured_intervals(self, store: Store) -> None:
        made = Recording()
        made.trades(1, 2, 3)
        loader = await Loader.open(store, RUNTIME, "test", Options((1, 3600)))
        await loader.load(made.events)
        rows = (await contents(store))["candles"]
        assert [row[CANDLES.index("interval_s")] for row in rows] == [1, 1, 1, 3600]


class Away:
    """A store whose database is not there for a while."""

    def __init__(self, store: Store, times: int) -> None:
        self._store = store
        self.times = times

    def _fail(self) -> None:
        if self.times:
            self.times -= 1
            raise Busy("the server is away")

    async def commit(self, batch: Batch) -> Outcome:
        self._fail()
        outcome = await self._store.commit(batch)
        self._fail()  # done, and the answer is lost
        return outcome

    def __getattr__(self, name: str) -> object:
        if name == "snapshot":
            self._fail()
        return getattr(self._store, name)


class Hurried(SystemRuntime):
    """Waits for nothing."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


class Watched(SystemRuntime):
    """Tells of commits."""

    def __init__(self) -> None:
        super().__init__()
        self.committed = asyncio.Event()

    def reached(self, point: str) -> None:
        if point == "loader.after_commit":
            self.committed.set()


class TestTroubles:
    async def test_a_database_that_was_away_is_caught_up_with(self, store: Store, tmp_path: Path) -> None:
        entries = journal(8, 150)
        away = Away(store, 0)
        loader = await Loader.open(away, Hurried(), "test")  # type: ignore[arg-type]
        rng = random.Random(8)
        for at in range(0, len(entries), BATCH):
            away.times = rng.randrange(4)
            await loader.load(entries[at : at + BATCH])
        calm = await open_store(f"sqlite:///{tmp_path}/calm.db", RUNTIME)
        await loaded(calm, entries)
        assert await contents(store) == await contents(calm)
        await calm.close()

    async def test_a_second_loader_fences_the_first(self, store: Store) -> None:
        entries = journal(9, 60)
        first = await Loader.open(store, RUNTIME, "test")
        await first.load(entries[:20])
        second = await Loader.open(store, RUNTIME, "test")
        with pytest.raises(Fenced, match="market:test"):
            await first.load(entries[20:])
        await second.load(entries[20:])

    async def test_a_position_that_cannot_be_read_is_corruption(self, store: Store) -> None:
        stored_rows = await store.acquire(SOURCE)
        await store.commit(Batch(stored_rows, stored_rows.advanced("nonsense")))
        with pytest.raises(Corruption, match="market:test"):
            await Loader.open(store, RUNTIME, "test")

    async def test_candles_of_other_intervals_are_refused(self, store: Store) -> None:
        await loaded(store, journal(9, 20))
        with pytest.raises(ConfigError, match="has candles of 60, 300"):
            await Loader.open(store, RUNTIME, "test", Options((1, 60)))

    async def test_another_journal_is_refused(self, store: Store) -> None:
        await loaded(store, journal(9, 20))
        other = Recording()
        other.at_us += 60_000_000
        other.trades(1)
        with pytest.raises(ConfigError, match="another journal"):
            await loaded(store, other.events)

    async def test_another_journal_of_the_same_name_is_refused_by_its_id(self, store: Store) -> None:
        mine, other = b"\1" * 16, b"\2" * 16
        loader = await Loader.open(store, RUNTIME, "test", journal=mine)
        await loader.run(given(journal(9, 20)))
        with pytest.raises(ConfigError, match=r"market:test was loaded from another journal, 01010101 up to run \d+"):
            await Loader.open(store, RUNTIME, "test", journal=other)
        again = await Loader.open(store, RUNTIME, "test", journal=mine)
        assert again.committed == loader.committed

    async def test_a_recording_of_an_older_tidelog_adopts_the_first_journal(self, store: Store) -> None:
        entries = journal(9, 20)
        await loaded(store, entries[:10])
        loader = await Loader.open(store, RUNTIME, "test", journal=b"\1" * 16)
        await loader.load(entries[10:])
        with pytest.raises(ConfigError, match="another journal"):
            await Loader.open(store, RUNTIME, "test", journal=b"\2" * 16)

    async def test_a_new_journal_goes_on_behind_the_lost_one_with_a_gap(self, store: Store, tmp_path: Path) -> None:
        lost = Recording()
        lost.trades(1)
        loader = await Loader.open(store, RUNTIME, "test", journal=b"\1" * 16)
        await loader.load(lost.events)
        path = str(tmp_path / "new")
        assert await begin_journal(store, RUNTIME, "test", path) == loader.committed
        identity = identity_at(path)
        assert identity is not None

        new = Recording()
        new.run, new.at_us = lost.run + 2, lost.at_us + 60_000_000  # the command has begun a run, and left it empty
        new.trades(2)
        loader = await Loader.open(store, RUNTIME, "test", journal=identity.id)
        await loader.load(new.events)
        rows = await contents(store)
        assert [row[TRADES.index("trade_id")] for row in rows["trades"]] == [1, 2]
        (gap,) = rows["gaps"]
        assert gap[1:5] == ("connection", lost.at_us, new.at_us, "journal")
        assert gap[GAPS.index("closed_at")] is not None

    async def test_a_new_journal_is_not_made_over_a_file_or_for_nothing(self, store: Store, tmp_path: Path) -> None:
        path = tmp_path / "new"
        with pytest.raises(ConfigError, match="holds no recording 'test'"):
            await begin_journal(store, RUNTIME, "test", str(path))
        await loaded(store, journal(9, 20))
        path.write_bytes(b"kept")
        with pytest.raises(ConfigError, match="exists: move it away first"):
            await begin_journal(store, RUNTIME, "test", str(path))
        assert path.read_bytes() == b"kept"

    async def test_events_before_a_failing_journal_are_stored(self, store: Store) -> None:
        entries = journal(10, 60)

        async def failing() -> AsyncIterator[JournalEvent]:
            for entry in entries[:30]:
                yield entry
            raise Unreachable("the journal is gone")

        loader = await Loader.open(store, RUNTIME, "test")
        with pytest.raises(Unreachable, match="journal"):
            await loader.run(failing())
        assert loader.committed == entries[29].id

    async def test_events_do_not_wait_for_others_for_long(self, store: Store) -> None:
        entries = journal(11, 60)
        more = asyncio.Event()

        async def slow() -> AsyncIterator[JournalEvent]:
            for entry in entries[:30]:
                yield entry
            await more.wait()
            for entry in entries[30:]:
                yield entry

        runtime = Watched()
        loader = await Loader.open(store, runtime, "test", limits=LoaderLimits(batch_age_s=0.01))
        assert loader.committed == NOTHING
        running = asyncio.create_task(loader.run(slow()))
        async with asyncio.timeout(HANGS_S):
            while loader.committed != entries[29].id:  # by one commit or more, as the time comes
                await runtime.committed.wait()
                runtime.committed.clear()
            more.set()
            await running
        assert loader.committed == entries[-1].id

    async def test_events_that_wait_for_a_commit_are_bounded(self, store: Store) -> None:
        entries = journal(12, 200)
        asked = 0
        ahead = 0

        async def counted() -> AsyncIterator[JournalEvent]:
            nonlocal asked, ahead
            for entry in entries:
                asked += 1
                ahead = max(ahead, asked - stored())
                yield entry

        places = {entry.id: n for n, entry in enumerate(entries, 1)} | {NOTHING: 0}
        loader = await Loader.open(store, RUNTIME, "test", limits=LoaderLimits(batch_events=20))

        def stored() -> int:
            return places[loader.committed]

        await loader.run(counted())
        assert loader.committed == entries[-1].id
        assert ahead <= 2 * 20 + 1

    async def test_a_loader_that_is_cancelled_leaves_a_store_to_go_on_with(self, store: Store, tmp_path: Path) -> None:
        entries = journal(13, 100)
        loader = await Loader.open(store, RUNTIME, "test")
        for steps in range(6):
            running = asyncio.create_task(loader.run(given(entries)))
            for _ in range(steps):
                await asyncio.sleep(0)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            loader = await Loader.open(store, RUNTIME, "test")
        await loader.run(given(entries))
        calm = await open_store(f"sqlite:///{tmp_path}/calm.db", RUNTIME)
        await loaded(calm, entries)
        assert await contents(store) == await contents(calm)
        await calm.close()


class Waiting(SystemRuntime):
    """Tells when somebody begins to wait."""

    def __init__(self) -> None:
        super().__init__()
        self.waits = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        if seconds:
            self.waits.set()
        await super().sleep(seconds)


async def test_a_server_that_is_down_and_comes_back_is_caught_up_with(
    postgres_url: str, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    entries = journal(15, 200)
    runtime = Waiting()
    store = await open_store(postgres_url, runtime)
    loader = await Loader.open(store, runtime, "test")
    await loader.load(entries[:100])
    postgres_server.stop_immediately()
    try:
        running = asyncio.create_task(loader.run(given(entries)))
        await runtime.waits.wait()
        assert loader.committed == entries[99].id
    finally:
        postgres_server.start()
    await running
    calm = await open_store(f"sqlite:///{tmp_path}/calm.db", RUNTIME)
    await loaded(calm, entries)
    assert await contents(store) == await contents(calm)
    for each in (store, calm):
        await each.close()


KILLS = 6


def test_a_process_that_is_killed_leaves_a_store_to_go_on_with(tmp_path: Path) -> None:
    """kill -9 at random commits; the store is that of a loader which was never disturbed."""
    rng = random.Random(14)
    killed, calm = tmp_path / "killed.db", tmp_path / "calm.db"
    command = [sys.executable, "-m", "tests.market.loader_child"]
    for _ in range(KILLS):
        with subprocess.Popen([*command, str(killed), "14"], stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            for _ in range(rng.randrange(1, 25)):
                child.stdout.readline()
            child.kill()
    for path in (killed, calm):
        subprocess.run([*command, str(path), "14"], check=True, stdout=subprocess.DEVNULL)

    async def both() -> list[tuple[dict[str, list[Row]], str]]:
        found = []
        for path in (killed, calm):
            store = await open_store(f"sqlite:///{path}", RUNTIME, readonly=True)
            found.append((await contents(store), await digest(store)))
            await store.close()
        return found

    of_killed, of_calm = asyncio.run(both())
    assert of_killed == of_calm
    assert len(of_calm[0][TRADES.name]) > 1_000
    assert len(of_calm[0][BOOK_SNAPSHOTS.name]) > 5
