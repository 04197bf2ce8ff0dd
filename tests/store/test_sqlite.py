"""What is particular to the SQLite store: files, the log beside them, kills, and a full or broken disk."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import apsw
import pytest

from tests.patience import HANGS_S
from tests.store.rows import SOURCE, Chain
from tidelog.batch import Kind, Outcome, Table, Value
from tidelog.chain.rows.tables import BLOCKS, LOGS, TRANSACTIONS
from tidelog.errors import Busy, ConfigError, Corruption, Full
from tidelog.market.projection.tables import CANDLES, TRADES
from tidelog.runtime import SystemRuntime
from tidelog.store import Snapshot, Store, open_store
from tidelog.store.limits import SqliteLimits, StoreLimits
from tidelog.store.migrations import shipped
from tidelog.store.query import select_query
from tidelog.store.sqlite import connection as connections
from tidelog.store.sqlite import writer
from tidelog.tables import TABLES


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


async def opened(path: Path, limits: SqliteLimits | None = None, *, readonly: bool = False) -> Store:
    stores = StoreLimits(sqlite=limits or SqliteLimits())
    return await open_store(f"sqlite:///{path}", SystemRuntime(), readonly=readonly, limits=stores)


async def filled(path: Path, blocks: int = 3) -> None:
    store = await opened(path)
    await store.commit(Chain(await store.acquire(SOURCE)).extend(blocks))
    await store.close()


async def test_a_new_store_is_its_owners_alone_and_keeps_what_the_owner_allows(path: Path) -> None:
    """It holds the hashes of tokens."""
    store = await opened(path)
    assert {file.stat().st_mode & 0o777 for file in path.parent.glob("store.db*")} == {0o600}
    await store.close()
    path.chmod(0o644)
    await (await opened(path)).close()
    assert path.stat().st_mode & 0o777 == 0o644


async def blocks(snapshot: Snapshot) -> int:
    return len(await snapshot.select(BLOCKS, scope=1))


class TestReplaced:
    """Another file takes the store's name while it is read: an older copy that is restored, most often."""

    @pytest.mark.parametrize("by", ["snapshot", "read"])
    async def test_a_reader_goes_over_to_it(self, path: Path, tmp_path: Path, by: str) -> None:
        copy = tmp_path / "copy.db"
        await filled(copy, 2)
        await filled(path, 5)
        store = await opened(path, readonly=True)

        async def count() -> int:
            if by == "snapshot":
                async with store.snapshot() as snapshot:
                    return await blocks(snapshot)
            return await store.read(blocks)

        assert await count() == 5
        async with store.snapshot() as before:
            assert await blocks(before) == 5
            copy.rename(path)
            assert await blocks(before) == 5  # it stays what it was
            assert await count() == 2
        await (await opened(path)).close()  # and the log beside it is that of the other one
        assert await count() == 2
        await store.close()

    async def test_what_is_moved_away_is_read_until_there_is_another(self, path: Path, tmp_path: Path) -> None:
        await filled(path, 5)
        store = await opened(path, readonly=True)
        assert await store.read(blocks) == 5
        path.rename(tmp_path / "away.db")
        assert await store.read(blocks) == 5
        await filled(path, 2)
        assert await store.read(blocks) == 2
        await store.close()

    @pytest.mark.parametrize("content", [b"", b"SQLite format 3\0", b"x" * 4096])
    async def test_what_is_no_store_yet_is_waited_for(self, path: Path, tmp_path: Path, content: bytes) -> None:
        copy = tmp_path / "copy.db"
        await filled(copy, 2)
        await filled(path, 5)
        store = await open_store(f"sqlite:///{path}", SystemRuntime(), readonly=True, patience_s=0.05)
        assert await store.read(blocks) == 5
        path.unlink()
        path.write_bytes(content)
        with pytest.raises(Busy, match=r"store\.db was replaced, and cannot be read"):
            await store.read(blocks)
        copy.rename(path)
        assert await store.read(blocks) == 2
        await store.close()


class TestUrl:
    @pytest.mark.parametrize(
        ("url", "path"),
        [
            ("sqlite:///tidelog.db", "tidelog.db"),
            ("sqlite:///data/tide log.db", "data/tide log.db"),
            ("sqlite:////var/lib/tidelog.db", "/var/lib/tidelog.db"),
        ],
    )
    def test_a_url_names_a_file(self, url: str, path: str) -> None:
        assert connections.path_of(url) == path

    @pytest.mark.parametrize(
        "url",
        [
            "sqlite://",
            "sqlite:///",
            "sqlite://tidelog.db",
            "sqlite://host/tidelog.db",
            "sqlite:////var/lib/",
            "sqlite:///:memory:",
            "sqlite:///file:x.db",
            "sqlite:///x.db?mode=ro",
        ],
    )
    async def test_a_url_that_names_no_file_is_refused(self, url: str) -> None:
        with pytest.raises(ConfigError, match="names no SQLite file"):
            await open_store(url, SystemRuntime())


class TestFile:
    async def test_a_missing_file_is_not_made_by_a_reader(self, path: Path) -> None:
        with pytest.raises(ConfigError, match="no such file"):
            await opened(path, readonly=True)
        assert not path.exists()

    async def test_a_missing_folder_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"there is no folder .*nowhere"):
            await opened(tmp_path / "nowhere" / "store.db")

    async def test_a_folder_is_no_store(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="it is a folder"):
            await opened(tmp_path)

    async def test_an_unwritable_folder_is_refused(self) -> None:
        with pytest.raises(ConfigError, match="cannot be opened"):
            await opened(Path("/proc/store.db"))

    @pytest.mark.parametrize("content", [b"x", b"hello\n", b"x" * 99, b"x" * 100, b"{}" * 5000])
    @pytest.mark.parametrize("readonly", [False, True])
    async def test_a_file_that_is_not_sqlite_is_left_alone(self, path: Path, content: bytes, readonly: bool) -> None:
        path.write_bytes(content)
        with pytest.raises(ConfigError, match="not a SQLite file"):
            await opened(path, readonly=readonly)
        assert path.read_bytes() == content

    @pytest.mark.parametrize("script", ["CREATE TABLE other (x)", "PRAGMA application_id = 7"])
    async def test_a_file_of_another_program_is_left_alone(self, path: Path, script: str) -> None:
        other = apsw.Connection(str(path))
        other.execute(script)
        other.close()
        content = path.read_bytes()
        with pytest.raises(ConfigError, match="another program"):
            await opened(path)
        assert path.read_bytes() == content

    @pytest.mark.parametrize("moment", ["application_id", "count(*)"])
    def test_a_file_that_another_process_makes_a_store_of_meanwhile_is_not_another_programs(
        self, path: Path, moment: str
    ) -> None:
        """The two reads that identify a file see one state of it."""
        for mode in ("delete", "wal"):  # as the file is before, and after, the other one has opened it
            maker, opening = apsw.Connection(str(path)), apsw.Connection(str(path))
            maker.pragma("journal_mode", mode)

            def make(cursor: apsw.Cursor, statement: str, bindings: object, maker: apsw.Connection = maker) -> bool:
                if moment in statement and not maker.in_transaction:
                    with suppress(apsw.BusyError):  # whoever identifies a file may keep it from being written
                        maker.execute(f"BEGIN; PRAGMA application_id = {connections.APPLICATION_ID}; CREATE TABLE t(x)")
                        maker.execute("COMMIT")
                return True

            opening.exec_trace = make
            assert connections.identify(opening, str(path)) in (True, False)
            opening.exec_trace = None
            if maker.in_transaction:
                maker.execute("COMMIT")  # it waited for the reads, and goes on
            assert connections.identify(opening, str(path)) is True
            maker.close()
            opening.close()
            path.unlink()

    async def test_an_empty_file_becomes_a_store(self, path: Path) -> None:
        path.touch()
        with pytest.raises(ConfigError, match="no store was created"):
            await opened(path, readonly=True)
        await filled(path)
        assert edited(path, "PRAGMA application_id") == [(connections.APPLICATION_ID,)]

    async def test_a_file_is_written_durably(self, path: Path) -> None:
        store = await opened(path)
        assert (await store.info()).details == {"journal_mode": "wal", "synchronous": "full"}
        await store.close()
        assert sorted(file.name for file in path.parent.iterdir()) == ["store.db"]


def edited(path: Path, script: str, values: Sequence[Value] = ()) -> list[tuple[object, ...]]:
    connection = apsw.Connection(str(path))
    try:
        return list(connection.execute(script, values))
    finally:
        connection.close()


class TestSchema:
    @pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
    async def test_the_schema_has_the_columns_and_key_of_each_table(self, path: Path, table: Table) -> None:
        await filled(path, 1)
        types = {Kind.INT: "INTEGER", Kind.TEXT: "TEXT", **dict.fromkeys((Kind.BYTES, Kind.UINT256), "BLOB")}
        types |= dict.fromkeys((Kind.UINT64, Kind.NUMBER), "ANY")
        columns = edited(path, f"SELECT name, type, \"notnull\", pk FROM pragma_table_info('{table.name}')")
        assert columns == [
            (
                column.name,
                types[column.kind],
                int(not column.nullable),
                table.key.index(column.name) + 1 if column.name in table.key else 0,
            )
            for column in table.columns
        ] + [("segment", "INTEGER", 1, 0)] * bool(table.segmented)

    async def test_a_newer_schema_is_refused(self, path: Path) -> None:
        await filled(path)
        edited(path, "INSERT INTO migrations VALUES (99, 'future', 'abc', 'then')")
        for readonly in (False, True):
            with pytest.raises(ConfigError, match="schema version 99"):
                await opened(path, readonly=readonly)

    async def test_an_older_schema_is_not_read(self, path: Path) -> None:
        await filled(path)
        edited(path, "DELETE FROM migrations")
        with pytest.raises(ConfigError, match="db migrate"):
            await opened(path, readonly=True)

    async def test_a_migration_that_is_not_the_shipped_one_is_corruption(self, path: Path) -> None:
        await filled(path)
        edited(path, "UPDATE migrations SET sha256 = 'abc'")
        with pytest.raises(Corruption, match="migration 1"):
            await opened(path)

    @pytest.mark.parametrize(
        ("table", "arguments", "index"),
        [
            (LOGS, {"low": 5, "high": 9}, "PRIMARY KEY (chain_id=? AND block_number>? AND block_number<?)"),
            (LOGS, {"after": (1, 5, 1)}, "PRIMARY KEY (chain_id=? AND"),
            (LOGS, {"where": {"address": b"a"}, "low": 5}, "logs_address (segment=? AND chain_id=? AND address=? AND"),
            (
                LOGS,
                {"where": {"address": b"a"}, "after": (1, 5, 1)},
                "logs_address (segment=? AND chain_id=? AND address=? AND",
            ),
            (
                LOGS,
                {"where": {"topic0": b"a"}, "low": 5, "high": 9},
                "logs_topic0 (segment=? AND chain_id=? AND topic0_hex=? AND",
            ),
            (
                LOGS,
                {"where": {"topic0": b"a", "address": b"a"}},
                "logs_address (segment=? AND chain_id=? AND address=?",
            ),
            (TRANSACTIONS, {"where": {"hash": b"a"}}, "transactions_hash (segment=? AND chain_id=? AND hash=?)"),
            (
                TRANSACTIONS,
                {"where": {"from_address": b"a"}, "descending": True},
                "transactions_from (segment=? AND chain_id=? AND from_address=?)",
            ),
            (
                TRANSACTIONS,
                {"where": {"from_address": b"a"}, "descending": True, "after": (1, 5, 1)},
                "transactions_from (segment=? AND chain_id=? AND from_address=? AND block_number<?)",
            ),
            (
                TRANSACTIONS,
                {"where": {"to_address": b"a"}, "descending": True, "after": (1, 5, 1)},
                "transactions_to (segment=? AND chain_id=? AND to_address_hex=? AND block_number<?)",
            ),
            (
                TRANSACTIONS,
                {"where": {"to_address": b"a"}, "low": 5, "high": 9},
                "transactions_to (segment=? AND chain_id=? AND to_address_hex=? AND block_number>? AND block_number<?)",
            ),
            (
                TRANSACTIONS,
                {"where": {"contract_address": b"a"}, "descending": True, "after": (1, 5, 1)},
                "transactions_contract (segment=? AND chain_id=? AND contract_address=? AND block_number<?)",
            ),
            (
                LOGS,
                {"where": {"address": b"a", "topic1": b"t"}, "low": 5, "high": 9},
                "logs_address (segment=? AND chain_id=? AND address=? AND block_number>? AND block_number<?)",
            ),
            (BLOCKS, {"where": {"hash": b"a"}}, "sqlite_autoindex_blocks_2 (chain_id=? AND hash=?)"),
            (
                TRADES,
                {"where": {"symbol": "a"}, "low": 5, "high": 9},
                "PRIMARY KEY (source=? AND symbol=? AND time_us>? AND time_us<?)",
            ),
            (
                TRADES,
                {"where": {"symbol": "a"}, "descending": True, "after": (1, "a", 5, 5, 5, 5, "buy", "limit")},
                "PRIMARY KEY (source=? AND symbol=?)",
            ),
            (
                CANDLES,
                {"where": {"symbol": "a", "interval_s": 60}, "low": 5, "high": 9},
                "PRIMARY KEY (source=? AND symbol=? AND interval_s=? AND time_us>? AND time_us<?)",
            ),
        ],
    )
    async def test_a_read_is_one_range_of_an_index(
        self, path: Path, table: Table, arguments: dict[str, Any], index: str
    ) -> None:
        await filled(path)
        text, values = select_query(table, mark="?", scope=1, limit=9, **arguments)
        plan = str(edited(path, f"EXPLAIN QUERY PLAN {text}", values))
        assert index in plan
        if table is not BLOCKS:
            assert "TEMP B-TREE" not in plan


class TestLock:
    async def test_a_lock_is_waited_for_and_then_busy(self, path: Path) -> None:
        store = await opened(path, SqliteLimits(write_patience_s=0.05))
        chain = Chain(await store.acquire(SOURCE))
        batch = chain.extend(1)
        other = apsw.Connection(str(path))
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Busy, match="locked"):
            await store.commit(batch)
        other.execute("ROLLBACK")
        other.close()
        assert await store.commit(batch) is Outcome.COMMITTED
        await store.close()

    async def test_a_reader_that_is_opened_while_the_log_is_recovered_waits(self, path: Path) -> None:
        await filled(path)
        other = apsw.Connection(str(path))
        other.pragma("locking_mode", "exclusive")
        other.execute("BEGIN EXCLUSIVE")  # who recovers a log has the file alone as well

        class Recovering(SystemRuntime):
            """The log is recovered while somebody waits for it."""

            async def sleep(self, seconds: float) -> None:
                other.close()
                await super().sleep(0)

        with pytest.raises(Busy, match="locked"):
            await opened(path, SqliteLimits(read_patience_s=0.0), readonly=True)
        store = await open_store(f"sqlite:///{path}", Recovering(), readonly=True)
        async with store.snapshot() as snapshot:
            assert await snapshot.count(BLOCKS) == 3
        await store.close()


class TestRead:
    async def test_a_read_may_wait_for_its_snapshot_alone(self, path: Path) -> None:
        store = await opened(path)

        async def dawdle(snapshot: Snapshot) -> None:
            await asyncio.sleep(0)

        with pytest.raises(RuntimeError, match="its snapshot alone"):
            await store.read(dawdle)
        await store.close()


class TestLog:
    async def test_the_log_stays_bounded_while_readers_come_and_go(self, path: Path) -> None:
        store = await opened(path, SqliteLimits(checkpoint_pages=50, wal_pages_max=100))
        chain = Chain(await store.acquire(SOURCE))
        log = path.with_name("store.db-wal")
        sizes = []
        async with store.snapshot() as columns:  # nothing can be dropped from the log meanwhile
            for _ in range(20):
                await store.commit(chain.extend(5))
            grown = log.stat().st_size
            assert await columns.count(BLOCKS) == 0
        async with asyncio.timeout(HANGS_S):
            while log.stat().st_size >= grown:  # it is cut once the reader has gone, which ends in the background
                await store.commit(chain.extend(5))
        for _ in range(40):
            await store.commit(chain.extend(5))
            sizes.append(log.stat().st_size)
        await store.close()
        assert grown > 100 * writer.PAGE_BYTES
        assert max(sizes) < 200 * writer.PAGE_BYTES

    async def test_what_migrations_write_does_not_add_up(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """An index is made anew by each of many: a disk has to have room for the largest, not for all of them."""
        with monkeypatch.context() as patch:
            patch.setattr("tidelog.store.migrations.shipped", lambda package: shipped(package)[:9])
            await (await opened(path)).close()
        edited(
            path,
            "INSERT INTO logs (chain_id, block_number, log_index, tx_index, address, topic0, data, covered)"
            " WITH RECURSIVE numbers (number) AS (VALUES (0) UNION ALL SELECT number + 1 FROM numbers LIMIT 10000)"
            " SELECT 1, number, 0, 0, randomblob(20), randomblob(32), x'', 1 FROM numbers",
        )
        store = await opened(path, SqliteLimits(checkpoint_pages=10, wal_pages_max=20))
        assert path.with_name("store.db-wal").stat().st_size < 20 * writer.PAGE_BYTES
        await store.close()


async def read_all(store: Store) -> None:
    async with store.snapshot() as snapshot:
        for table in TABLES:
            await snapshot.select(table)


class TestDisk:
    async def test_a_damaged_page_is_corruption(self, path: Path) -> None:
        await filled(path, 400)
        content = bytearray(path.read_bytes())
        begin = len(content) // 2  # behind what says which tables there are
        content[begin : -writer.PAGE_BYTES] = b"\xff" * (len(content) - writer.PAGE_BYTES - begin)
        path.write_bytes(content)
        store = await opened(path, readonly=True)
        with pytest.raises(Corruption, match="damaged"):
            await read_all(store)
        complaints = await store.check_integrity()
        assert complaints
        assert len(complaints) <= 101
        await store.close()

    async def test_a_damaged_text_is_corruption(self, path: Path) -> None:
        """SQLite's own check does not look at it."""
        await filled(path)
        edited(path, "UPDATE blocks SET proof = CAST(x'ff' || CAST(proof AS BLOB) AS TEXT) WHERE number = 1")
        store = await opened(path, readonly=True)
        with pytest.raises(Corruption, match="damaged: a text in it is not UTF-8"):
            await read_all(store)
        with pytest.raises(Corruption, match="damaged: a text in it is not UTF-8"):
            await store.read(lambda snapshot: snapshot.pieces(BLOCKS, scope=1, low=0, high=2))
        await store.close()

    def test_a_full_disk_changes_nothing(self, path: Path) -> None:
        """The child may not make a file larger than 8 MB: it fills the store until that is `Full`."""
        child = subprocess.run(
            [sys.executable, "-m", "tests.store.sqlite_child", str(path), "full"],
            capture_output=True,
            text=True,
            check=False,
            timeout=HANGS_S,
        )
        assert child.returncode == Full.exit_code, child.stderr
        committed = int(child.stdout.split()[-1])
        assert committed > 0
        assert edited(path, "SELECT max(number), count(*) FROM blocks") == [(committed, committed + 1)]
        assert edited(path, "PRAGMA integrity_check") == [("ok",)]


class TestKill:
    def test_a_kill_leaves_whole_batches(self, path: Path) -> None:
        for commits in (1, 2, 3, 5, 8, 13):  # so many are reported before the kill, which hits a later one
            with subprocess.Popen(
                [sys.executable, "-m", "tests.store.sqlite_child", str(path), "forever"],
                stdout=subprocess.PIPE,
                text=True,
            ) as child:
                assert child.stdout is not None
                reported = [int(child.stdout.readline()) for _ in range(commits)][-1]
                os.kill(child.pid, signal.SIGKILL)
            [[head]] = edited(path, "SELECT position FROM checkpoints")
            assert int(str(head)) >= reported
            whole = (int(str(head)), int(str(head)) + 1)
            assert edited(path, "SELECT max(number), count(*) FROM blocks") == [whole]
            for table, each in (("transactions", 2), ("logs", 4), ("withdrawals", 1)):
                assert edited(path, f"SELECT count(*) FROM {table}") == [(each * whole[1],)]
        assert edited(path, "PRAGMA integrity_check") == [("ok",)]
