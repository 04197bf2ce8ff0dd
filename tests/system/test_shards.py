"""A recording by several processes, killed and divided anew again and again: the store has what one process would have.

Real processes, a simulated exchange that knows the truth. Which symbol is whose changes between the rounds.
"""

import asyncio
import json
import random
import re
import signal
import sqlite3
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.command import Running, tidelog
from tests.patience import HANGS_S
from tests.ports import reserved_port
from tests.status import readiness
from tests.system.disturbed import contents, judge_trades, named, records
from tests.system.test_market_kill import Exchange
from tidelog.batch import Row
from tidelog.errors import ConfigError, StoreError
from tidelog.market.core import Core
from tidelog.market.events import Trades
from tidelog.market.journal.reader import JournalReader
from tidelog.market.load.recorded import claims_of
from tidelog.market.projection.rows import levels_of
from tidelog.market.projection.tables import BOOK_SNAPSHOTS, COVERAGE, TRADES
from tidelog.market.shards.claims import Claims
from tidelog.market.shards.layout import SHARDS_MAX, journal_of, shard_of_run
from tidelog.runtime import SystemRuntime
from tidelog.sim.exchange import PAIRS
from tidelog.store import open_store

NAME = "kraken"  # the command's own
SYMBOLS = tuple(PAIRS)
RATE = 150.0
LISTS = (  # of symbols: those of one shard after the other
    "BTC/USD;ETH/USD;DOGE/USD;SOL/USD,ETH/BTC",
    "SOL/USD;DOGE/USD,ETH/BTC;BTC/USD;ETH/USD",
    "ETH/BTC;BTC/USD,ETH/USD;SOL/USD,DOGE/USD",
    "BTC/USD,ETH/USD,DOGE/USD,SOL/USD,ETH/BTC",
)


class Market:
    """One recording of one exchange, in one folder."""

    def __init__(self, url: str, folder: Path, served: Exchange, *, exchange: str | None = None) -> None:
        """`exchange`: its address for who records; None: its own."""
        self.url = url
        self._exchange = exchange or served.url
        self.folder = folder
        self.journal = folder / "m.journal"
        self.served = served
        self.log = folder / "log"
        self._places: dict[Path, set[tuple[int, int]]] = {}

    def command(self, *options: str) -> tuple[str, ...]:
        symbols = ",".join(SYMBOLS)
        return (
            "market", "record", "--symbols", symbols, "--url", self._exchange,
            "--journal", str(self.journal), "--db", self.url, *options,
        )  # fmt: skip

    def running(self, *options: str, log: Path | None = None, prefix: Sequence[str] = ()) -> Running:
        return Running(*self.command(*options), log=log or self.log, prefix=prefix)

    @property
    def journals(self) -> list[Path]:
        paths = [Path(journal_of(str(self.journal), number)) for number in range(1, SHARDS_MAX + 1)]
        return [path for path in paths if path.exists()]

    def ends(self) -> dict[Path, tuple[int, int]]:
        """How far each journal is."""
        found: dict[Path, tuple[int, int]] = {}
        for path in self.journals:
            with suppress(ConfigError):  # there is none yet
                reader = JournalReader(str(path))
                try:
                    ends = reader.ends()
                finally:
                    reader.close()
                if ends is not None:
                    found[path] = ends.last
        return found

    def traded(self) -> dict[str, dict[int, tuple[int, int]]]:
        """Of each symbol the ids of all trades that any journal has, and where each came first in it."""
        found: dict[str, dict[int, tuple[int, int]]] = {symbol: {} for symbol in SYMBOLS}
        for path in self.journals:
            core = Core()
            for record in records(path):
                entry = core.apply(record)
                if entry is not None and isinstance(entry.event, Trades):
                    for trade in entry.event.trades:
                        assert trade.trade_id is not None
                        found[trade.symbol].setdefault(trade.trade_id, record.id)
        return found

    async def claims(self) -> Claims | None:
        store = await open_store(self.url, SystemRuntime(), readonly=True)
        try:
            async with store.snapshot() as snapshot:
                return await claims_of(snapshot, NAME)
        finally:
            await store.close()

    def owners(self) -> dict[str, int]:
        """The shard of each symbol, as the store says; nothing, while there is none."""
        try:
            claims = asyncio.run(self.claims())
        except (ConfigError, StoreError):  # it is not there yet, or its log is being recovered
            return {}
        return {} if claims is None else claims.owners

    def judge(self) -> dict[str, list[Row]]:
        """The store has all of all journals, each trade once and as it was; no book is proven that is not right."""
        stored = asyncio.run(contents(self.url, NAME))
        rows = {symbol: dict[int, dict[str, Any]]() for symbol in SYMBOLS}
        for row in named(TRADES, stored):
            assert row["trade_id"] not in rows[row["symbol"]], "each trade once"
            rows[row["symbol"]][row["trade_id"]] = row
        for symbol, ids in self.traded().items():
            assert rows[symbol].keys() == ids.keys(), f"of {symbol} the store has what its journals have"
            assert all((row["run"], row["seq"]) in self.places(row["run"]) for row in rows[symbol].values())
        judge_trades(stored, self.served.exchange)
        tops = {(top.symbol, top.bids, top.asks) for top in self.served.exchange.truth.tops()}
        books = [row for row in stored[BOOK_SNAPSHOTS.name] if row[BOOK_SNAPSHOTS.index("proven_depth")]]
        assert books
        for book in books:
            bids, asks = levels_of(book)
            assert (book[BOOK_SNAPSHOTS.index("symbol")], bids[:10], asks[:10]) in tops, (
                "a proven book was the exchange's"
            )
        for symbol in SYMBOLS:
            for channel in ("book", "trade"):
                covered = [
                    row for row in named(COVERAGE, stored) if (row["symbol"], row["channel"]) == (symbol, channel)
                ]
                covered.sort(key=lambda row: int(row["since_us"]))
                assert all(one["until_us"] == other["since_us"] for one, other in pairwise(covered)), "without a hole"
        verified = tidelog("market", "verify", "--db", self.url, "--name", NAME, cwd=self.folder)
        assert verified.code == 0, verified.out + verified.err
        return stored

    def places(self, run: int) -> set[tuple[int, int]]:
        """Of the journal that has this run: its records' ids. Read once."""
        path = Path(journal_of(str(self.journal), shard_of_run(run)))
        if path not in self._places:
            self._places[path] = {tuple(record.id) for record in records(path)}  # type: ignore[misc]
        return self._places[path]


def children(recording: Running) -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(recording.process.pid).children()
    return []


def kill9_all(recording: Running) -> None:
    """The supervisor first, so that it starts none again."""
    alive = children(recording)
    recording.kill9()
    for child in alive:
        with suppress(psutil.NoSuchProcess):
            child.send_signal(signal.SIGKILL)
    psutil.wait_procs(alive, HANGS_S)


def goes_on(market: Market, before: dict[Path, tuple[int, int]], shards: int) -> Callable[[], bool]:
    """Whether so many journals have more than they had."""

    def look() -> bool:
        return sum(end > before.get(path, (0, 0)) for path, end in market.ends().items()) >= shards

    return look


def disturbed(url: str, folder: Path, *, rounds: int, seed: int) -> None:
    rng = random.Random(seed)
    market_url = url
    with Exchange(seed, SYMBOLS, RATE) as served:
        market = Market(market_url, folder, served)
        for _ in range(rounds):
            lists = rng.choice(LISTS)
            shards = lists.count(";") + 1
            before = market.ends()
            options = ("--shard-symbols", lists) if shards > 1 else ()
            with market.running(*options) as recording:
                recording.until(goes_on(market, before, shards), "frames in each journal")
                for _ in range(rng.randrange(3)):
                    alive = children(recording) if shards > 1 else []
                    if alive:
                        with suppress(psutil.NoSuchProcess):
                            rng.choice(alive).kill()
                        recording.until(goes_on(market, market.ends(), shards), "frames again")
                kill9_all(recording)
        with market.running("--shards", "4") as recording:
            wanted = {"BTC/USD": 2, "ETH/USD": 1, "DOGE/USD": 4, "SOL/USD": 2, "ETH/BTC": 1}
            recording.until(lambda: market.owners() == wanted, "each symbol is its shard's")
            recording.until(goes_on(market, market.ends(), 3), "frames")
            assert recording.interrupt() == 0
    market.judge()  # once the exchange stands still


def test_shards_that_are_killed_and_divided_anew_lose_nothing(sqlite_url: str, tmp_path: Path) -> None:
    disturbed(sqlite_url, tmp_path, rounds=3, seed=1)


def test_the_same_with_postgresql(postgres_url: str, tmp_path: Path) -> None:
    disturbed(postgres_url, tmp_path, rounds=2, seed=2)


@pytest.mark.torture
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(3, 7))
def test_divided_anew_dozens_of_times(url: str, tmp_path: Path, seed: int) -> None:
    disturbed(url, tmp_path, rounds=25, seed=seed)


def test_one_endpoint_says_how_all_shards_are(sqlite_url: str, tmp_path: Path) -> None:
    port = reserved_port()
    with Exchange(1, SYMBOLS, RATE) as served:
        market = Market(sqlite_url, tmp_path, served)
        with market.running("--shards", "2", "--status", f"127.0.0.1:{port}") as recording:
            recording.until(lambda: readiness(port)[0] == 200, "readiness of all")
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=HANGS_S) as answer:
                text = answer.read().decode()
            for name in ("supervisor", "kraken.1", "kraken.2"):
                assert f'tidelog_up{{process="{name}"}} 1' in text
            assert 'tidelog_run_up{process="supervisor",source="kraken.2"} 1.0' in text
            (second,) = [child for child in children(recording) if "kraken.2" in child.cmdline()]
            second.suspend()
            try:
                recording.until(lambda: "kraken.2: does not answer" in readiness(port)[1], "the reason by its shard")
            finally:
                second.resume()
            recording.until(lambda: readiness(port)[0] == 200, "readiness of all, again")
            assert recording.interrupt() == 0
        assert tidelog("market", "coverage", "BTC/USD", "--db", sqlite_url).code == 0
    market.judge()  # once the exchange stands still


def changed(path: Path, number: int, since: int = 0) -> tuple[str, str]:
    """Change a bit of a block in the middle of the journal of a shard: its path, and the place of the block.

    Args:
        since: the run from which on it is the middle.
    """
    journal = Path(journal_of(str(path), number))
    with closing(sqlite3.connect(journal)) as file:
        assert file.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone() == (0, 0, 0)
        query = "SELECT run, first_seq, frames FROM blocks WHERE run >= ? ORDER BY run, first_seq"
        blocks = file.execute(query, (since,)).fetchall()
    run, seq, frames = blocks[len(blocks) // 2]
    content = bytearray(journal.read_bytes())
    at = content.index(frames[:64])
    content[at + 32] ^= 1
    journal.write_bytes(content)
    return str(journal), f"{run}.{seq}"


def test_damage_is_named_by_its_shard_and_place(sqlite_url: str, tmp_path: Path) -> None:
    with Exchange(1, SYMBOLS, RATE) as served:
        market = Market(sqlite_url, tmp_path, served)
        with market.running("--shard-symbols", "BTC/USD;ETH/USD,DOGE/USD,SOL/USD,ETH/BTC") as recording:
            recording.until(lambda: [seq > 500 for _, seq in market.ends().values()] == [True, True], "frames")
            assert recording.interrupt() == 0
    verify = ("market", "verify", "--db", sqlite_url, "--findings", "9")
    assert tidelog(*verify).code == 0

    rows = list[str]()
    with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))) as file, file:
        for symbol, shard in (("BTC/USD", 1), ("ETH/USD", 2)):
            trade, run, seq = file.execute(
                "SELECT trade_id, run, seq FROM trades WHERE symbol = ? ORDER BY seq DESC LIMIT 1", (symbol,)
            ).fetchone()
            wrong = "UPDATE trades SET received_us = received_us + 1 WHERE symbol = ? AND trade_id = ?"
            assert file.execute(wrong, (symbol, trade)).rowcount == 1
            place = rf"symbol {symbol}, .*, of record {run}\.{seq} of shard {shard}$"
            rows.append(f"this row of trades has another received_us than the journal: {place}")
    done = tidelog(*verify)
    findings = [line for line in done.out.splitlines() if " differs: " in line]
    assert (done.code, len(findings)) == (6, 2), done.out
    assert all(re.search(row, finding) for row, finding in zip(rows, findings, strict=True)), findings

    journal, place = changed(market.journal, 2)
    done = tidelog(*verify)
    findings = [line for line in done.out.splitlines() if " differs: " in line]
    assert (done.code, len(findings)) == (6, 2), done.out
    damage = f"the journal of shard 2: {journal}: the block at {place} is damaged: its SHA-256 differs"
    assert findings[0] == f"market:{NAME} differs: {damage}"
    assert re.search(rows[0], findings[1]), "what the other journal makes is compared all the same"
    assert f"not looked at: the journal of shard 2 ({journal}: it is damaged)" in done.out.splitlines()[-1]


def test_a_damaged_journal_of_a_shard_that_is_no_more_is_named_until_it_is_whole(
    sqlite_url: str, tmp_path: Path
) -> None:
    lists, port = ("--shard-symbols", "BTC/USD,DOGE/USD;ETH/USD,SOL/USD,ETH/BTC"), reserved_port()
    with Exchange(1, SYMBOLS, RATE) as served:
        market = Market(sqlite_url, tmp_path, served)
        second = Path(journal_of(str(market.journal), 2))
        with market.running(*lists) as recording:
            recording.until(lambda: len(market.owners()) == len(SYMBOLS), "each symbol is its shard's")
            assert recording.interrupt() == 0
        run, _ = market.ends()[second]
        unloaded = [part for part in market.command("--shard", "2/2", *lists) if part not in ("--db", market.url)]
        with Running(*unloaded, log=market.log) as recording:
            recording.until(lambda: market.ends()[second] > (run + 1, 500), "frames that are not loaded")
            assert recording.interrupt() == 0
        sound = second.read_bytes()
        journal, place = changed(market.journal, 2, run + 1)
        damage = f"its journal is not loaded yet: {journal}: the block at {place} is damaged: its SHA-256 differs"
        with market.running("--status", f"127.0.0.1:{port}") as recording:
            reason = f"shard:{NAME}/2 is not run any more, and {damage}"
            recording.until(lambda: reason in readiness(port)[1], "the damage is named")
            assert "shard_left_behind" in market.log.read_text()
            second.write_bytes(sound)
            recording.until(lambda: set(market.owners().values()) == {1}, "the first one has all symbols")
            recording.until(lambda: readiness(port)[0] == 200, "it is ready")
            assert recording.interrupt() == 0
        assert "never retrieved" not in market.log.read_text()
    market.judge()  # once the exchange stands still


def given_up(owners: dict[str, int]) -> bool:
    """Whether the first shard is at its new list: it has its one symbol, and nobody has the other one yet."""
    return owners.get("ETH/USD") == 1 and "BTC/USD" not in owners


def test_two_machines_cannot_have_one_symbol_both(postgres_url: str, tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("a", "b")]
    for folder in folders:
        folder.mkdir()
    with Exchange(1, SYMBOLS, RATE) as served:
        first, second = (Market(postgres_url, folder, served) for folder in folders)
        lists = ("BTC/USD,ETH/USD;DOGE/USD,SOL/USD,ETH/BTC", "ETH/USD;BTC/USD,DOGE/USD,SOL/USD,ETH/BTC")
        with first.running("--shard", "1/2", "--shard-symbols", lists[0]) as one:
            one.until(lambda: first.owners().get("BTC/USD") == 1, "its claim")
            refused = tidelog(*second.command("--shard", "2/2", "--shard-symbols", lists[1]))
            assert refused.code == 2
            (said,) = [line for line in refused.err.splitlines() if line.startswith("tidelog:")]
            assert said.startswith("tidelog: shard 2/2 cannot have BTC/USD: shard 1/2 (process "), said
            assert said.endswith(" records it; start that one without it first, or give this one other symbols"), said
            assert one.interrupt() == 0
        with first.running("--shard", "1/2", "--shard-symbols", lists[1]) as one:
            one.until(lambda: given_up(first.owners()), "that it is given up")
            with second.running("--shard", "2/2", "--shard-symbols", lists[1]) as two:
                two.until(lambda: second.owners().get("BTC/USD") == 2, "the other one's claim")
                two.until(goes_on(second, second.ends(), 1), "frames")
                assert two.interrupt() == 0
            assert one.interrupt() == 0
        journal = next(iter(second.journals))
        released = tidelog("market", "release", str(journal), "--db", postgres_url, "--shard", "2")
        assert released.code == 0, released.err
        assert released.out == f"shard:kraken/2 has no symbols any more, and all of {journal} is in the store\n"
        assert first.owners() == {"ETH/USD": 1}


def test_a_file_is_divided_anew_while_it_runs(sqlite_url: str, tmp_path: Path) -> None:
    with Exchange(1, SYMBOLS, RATE) as served:
        market = Market(sqlite_url, tmp_path, served)
        file = tmp_path / "tidelog.toml"

        def write(divided: str) -> None:
            file.write_text(
                f'[store]\nurl = "{sqlite_url}"\n[[market]]\nname = "{NAME}"\nsymbols = {json.dumps(SYMBOLS)}\n'
                f'url = "{served.url}"\njournal = "m.journal"\n{divided}\n[api]\nenabled = false\n'
                '[run]\ndirectory = "r"\n'
            )

        def ready(*names: str) -> Callable[[], bool]:
            def look() -> bool:
                done = tidelog("status", "-c", str(file))
                return done.code == 0 and [line.split()[0] for line in done.out.splitlines()] == ["supervisor", *names]

            return look

        write("")
        with Running("run", "-c", str(file), log=market.log) as run:
            run.until(ready("kraken"), "the recording")
            for divided, names in (
                ('shard_symbols = [["BTC/USD"], ["ETH/USD", "DOGE/USD", "SOL/USD", "ETH/BTC"]]', (1, 2)),
                ('shard_symbols = [["ETH/BTC"], [], ["BTC/USD", "ETH/USD", "DOGE/USD", "SOL/USD"]]', (1, 3)),
            ):
                write(divided)
                run.process.send_signal(signal.SIGHUP)
                run.until(ready(*(f"kraken.{number}" for number in names)), "the new layout")
            run.until(lambda: set(market.owners().values()) == {1, 3}, "each symbol is its shard's")
            assert run.interrupt() == 0
    market.judge()  # once the exchange stands still
