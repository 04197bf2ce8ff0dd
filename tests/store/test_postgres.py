"""What is particular to the PostgreSQL store: lost connections and answers, crashes, partitions, secrets."""

import asyncio
import contextlib
import random
import re
import socket
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, TypeAlias

import asyncpg
import pytest
import pytest_asyncio

from tests.patience import HANGS_S
from tests.postgres import PostgresServer
from tests.runtime import FakeRuntime
from tests.store.rows import SOURCE, Chain, make_row, wide_block
from tidelog.batch import (
    INT_MAX,
    NUMBER_MAX,
    Batch,
    Checkpoint,
    Column,
    ContentDigest,
    Kind,
    Outcome,
    Row,
    Rows,
    Table,
    int256,
    int_column,
    uint256,
)
from tidelog.chain.rows.tables import BLOCKS, CHANGES, LOGS, TRANSACTIONS
from tidelog.errors import Busy, ConfigError, Corruption, TimedOut
from tidelog.runtime import SystemRuntime
from tidelog.store import Store, open_store
from tidelog.store.limits import PostgresLimits, StoreLimits
from tidelog.store.migrations import shipped
from tidelog.store.postgres import reader
from tidelog.store.postgres.connection import Link, Lost, address_of, connect
from tidelog.store.postgres.partitions import PARTITION_BLOCKS, Partition, ensure_partitions, needed_partitions
from tidelog.store.postgres.uint256 import NO_NUMBER, decode_numeric, encode_numeric, with_sign
from tidelog.store.query import select_query
from tidelog.tables import TABLES

RNG = random.Random(11)


class Dozing(FakeRuntime):
    """Who sleeps goes on when a test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.asleep, self.awake = asyncio.Event(), asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        self.asleep.set()
        await self.awake.wait()


@pytest_asyncio.fixture
async def store(postgres_url: str) -> AsyncIterator[Store]:
    opened = await open_store(postgres_url, SystemRuntime())
    yield opened
    await opened.close()


@pytest_asyncio.fixture
async def admin(postgres_url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """A connection of somebody else to the same database."""
    connection = await asyncpg.connect(postgres_url)
    yield connection
    await connection.close(timeout=HANGS_S)


async def digest_of(store: Store) -> list[str]:
    found = []
    async with store.snapshot() as snapshot:
        for table in TABLES:
            digest = ContentDigest(table)
            async for rows in snapshot.scan(table):
                digest.update(rows)
            found.append(digest.hexdigest())
    return found


async def backends(admin: "asyncpg.Connection[asyncpg.Record]") -> list[int]:
    """The process ids of the store's backends."""
    rows = await admin.fetch(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    return [row[0] for row in rows]


STALL_S = 0.5  # nobody tells when the kernel's buffers are full; on loopback it takes milliseconds


class Proxy:
    """Stands between store and server, and cuts the connection at the next COMMIT, or within a COPY.

    `lose` says whether the server still gets the COMMIT ("answer" is lost) or not ("request" is lost);
    "copy" stops reading when a COPY begins, and cuts when the store's side can write no more.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._server: asyncio.Server | None = None
        self._links: set[asyncio.Task[None]] = set()
        self.port = 0
        self.lose: str | None = None
        self.lost = 0

    async def __aenter__(self) -> "Proxy":
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)  # soon full, for "copy"
        listener.bind(("127.0.0.1", 0))
        self._server = await asyncio.start_server(self._serve, sock=listener)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for link in self._links:
            link.cancel()
        await asyncio.gather(*self._links, return_exceptions=True)

    async def _serve(self, client_in: asyncio.StreamReader, client_out: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._links.add(task)
        server_in, server_out = await asyncio.open_connection("127.0.0.1", self._port)
        cut = asyncio.Event()

        async def requests() -> None:
            while data := await client_in.read(1 << 16):
                if self.lose == "copy" and b"COPY " in data:
                    self.lost += 1
                    self.lose = None
                    await asyncio.sleep(STALL_S)
                    cut.set()
                    return
                if self.lose in ("answer", "request") and b"COMMIT\0" in data:
                    self.lost += 1
                    if self.lose == "answer":
                        server_out.write(data)
                    self.lose = None
                    cut.set()
                    return
                server_out.write(data)

        async def answers() -> None:
            while (data := await server_in.read(1 << 16)) and not cut.is_set():
                client_out.write(data)

        streams = [asyncio.ensure_future(each) for each in (requests(), answers())]
        with contextlib.suppress(OSError):
            await asyncio.wait([*streams, asyncio.ensure_future(cut.wait())], return_when=asyncio.FIRST_COMPLETED)
        if cut.is_set():
            client_out.transport.abort()
            await asyncio.sleep(0)  # the request, if it is let through, leaves before the connection ends
            await asyncio.wait(streams, timeout=1)
        for stream in streams:
            stream.cancel()
        for writer in (client_out, server_out):
            writer.close()


class TestLostAnswer:
    @pytest.mark.parametrize("lose", ["answer", "request"])
    async def test_a_lost_answer_is_settled_by_the_checkpoint(
        self, postgres_server: PostgresServer, postgres_url: str, store: Store, lose: str
    ) -> None:
        """The answer to COMMIT, or COMMIT itself, never arrives: the batch is there once, and we know it."""
        async with Proxy(postgres_server.port) as proxy:
            name = postgres_url.rpartition("/")[2]
            proxied = await open_store(postgres_server.url(name, port=proxy.port), SystemRuntime())
            chain = Chain(await proxied.acquire(SOURCE))
            await proxied.commit(chain.extend(3))
            batch = chain.extend(2, keep=1)
            proxy.lose = lose
            outcome = await proxied.commit(batch)
            assert proxy.lost == 1
            assert outcome is (Outcome.ALREADY if lose == "answer" else Outcome.COMMITTED)
            async with store.snapshot() as snapshot:
                assert await snapshot.checkpoint(SOURCE) == batch.after
                assert [row[1] for row in await snapshot.select(BLOCKS)] == [0, 1, 2, 3]
            await proxied.close()

    async def test_a_lost_answer_waits_for_the_old_backend_that_still_commits(
        self, store: Store, postgres_url: str
    ) -> None:
        """The old backend holds the checkpoint's lock, not yet committed, when the batch is tried again."""
        chain = Chain(await store.acquire(SOURCE))
        batch = chain.extend(1)
        old = await asyncpg.connect(postgres_url)
        await old.execute("BEGIN")
        await old.execute(
            "UPDATE checkpoints SET commit_seq = $1, position = $2",
            batch.after.commit_seq,
            batch.after.position,
        )
        again = asyncio.create_task(store.commit(batch))
        watcher = await asyncpg.connect(postgres_url)
        while not await watcher.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        ):
            assert not again.done()
        await old.execute("COMMIT")
        assert await again is Outcome.ALREADY
        await old.close()
        await watcher.close()


class TestStatements:
    async def test_a_table_that_was_made_anew_is_read_by_the_next_try(self, store: Store, postgres_url: str) -> None:
        """The connection has a statement prepared for the old one, whose column was of another type."""
        reading = await open_store(postgres_url, SystemRuntime(), readonly=True, readers=1)
        old, new = (Table("e_t_e", (int_column("a"), Column("b", kind)), key=("a",)) for kind in (Kind.INT, Kind.BYTES))
        first = await store.acquire(SOURCE)
        second = first.advanced("x")
        third = second.advanced("x")
        await store.commit(Batch(first, second, create=(old,), add=(Rows(old, [(1, 7)]),)))
        assert await reading.read(lambda snapshot: snapshot.select(old)) == [(1, 7)]
        await store.commit(Batch(second, third, discard=(old,)))
        await store.commit(Batch(third, third.advanced("x"), create=(new,), add=(Rows(new, [(1, b"x")]),)))
        with pytest.raises(Busy, match="made anew"):
            await reading.read(lambda snapshot: snapshot.select(new))
        assert await reading.read(lambda snapshot: snapshot.select(new)) == [(1, b"x")]
        await reading.close()


class TestIntegrity:
    async def test_indexes_are_checked_where_we_may(
        self, store: Store, postgres_url: str, admin: "asyncpg.Connection[asyncpg.Record]"
    ) -> None:
        """Whoever installs amcheck says in which schema; its functions are for superusers, until they are granted.

        The servers of the tests come without it: a function that finds everything wrong stands for it.
        """
        await admin.execute(
            "CREATE SCHEMA checks; CREATE FUNCTION checks.bt_index_check(index regclass, heapallindexed boolean)"
            " RETURNS void LANGUAGE plpgsql AS $$ BEGIN RAISE 'wrong' USING ERRCODE = 'index_corrupted'; END $$;"
            " REVOKE EXECUTE ON FUNCTION checks.bt_index_check FROM public; SET allow_system_table_mods = on;"
            " INSERT INTO pg_extension (oid, extname, extowner, extnamespace, extrelocatable, extversion)"
            " SELECT 99999, 'amcheck', nspowner, oid, true, '1.4' FROM pg_namespace WHERE nspname = 'checks'"
        )
        complaints = await store.check_integrity()
        assert any(re.match("segments_pkey: .* is damaged: wrong", each) for each in complaints)
        await admin.execute("CREATE ROLE auditor LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO auditor")
        theirs = await open_store(postgres_url.replace("tidelog@", "auditor@"), SystemRuntime(), readonly=True)
        try:
            assert await theirs.check_integrity() == []
        finally:
            await theirs.close()
            await admin.execute("DROP OWNED BY auditor; DROP ROLE auditor")


class TestLongReads:
    async def test_a_check_of_all_rows_takes_its_time(
        self, store: Store, admin: "asyncpg.Connection[asyncpg.Record]", monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """No row is read while somebody has locked the table, as if there were so many of them."""
        await store.commit(Chain(await store.acquire(SOURCE)).extend(2))
        monkeypatch.setattr(Link.run, "__kwdefaults__", {"timeout_s": 1.0})  # that a call may take
        async with admin.transaction():
            await admin.execute("LOCK TABLE logs")
            checking = asyncio.create_task(store.check_integrity())
            await asyncio.wait({checking}, timeout=2.0)
            assert not checking.done()
        assert await checking == []

    async def test_a_rollback_takes_its_time(
        self, postgres_url: str, admin: "asyncpg.Connection[asyncpg.Record]", monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A rewind deletes most of a chain by a statement for each table."""
        url = f"{postgres_url}?statement_timeout=1s"
        store = await open_store(url, SystemRuntime(), limits=_limits(write_patience_s=0.0))
        chain = Chain(await store.acquire(SOURCE))
        await store.commit(chain.extend(3))
        monkeypatch.setattr(Link.run, "__kwdefaults__", {"timeout_s": 1.0})
        async with admin.transaction():
            await admin.execute("LOCK TABLE logs IN EXCLUSIVE MODE")
            rewinding = asyncio.create_task(store.commit(chain.extend(0, keep=0)))
            await asyncio.wait({rewinding}, timeout=2.0)
            assert not rewinding.done()
        assert await rewinding is Outcome.COMMITTED
        await store.close()


class TestLostConnection:
    async def test_a_copy_that_is_stuck_comes_back(self, postgres_server: PostgresServer) -> None:
        """The peer stops reading and then dies: asyncpg's COPY, paused by then, would never return."""
        url = postgres_server.create_database()
        async with Proxy(postgres_server.port) as proxy:
            name = url.rpartition("/")[2]
            proxied = await open_store(postgres_server.url(name, port=proxy.port), SystemRuntime())
            acquired = await proxied.acquire(SOURCE)
            rows = [
                make_row(TRANSACTIONS, RNG, chain_id=1, block_number=n, tx_index=0, input=RNG.randbytes(100_000))
                for n in range(150)
            ]
            batch = Batch(acquired, acquired.advanced("x"), add=(Rows(TRANSACTIONS, rows),))
            proxy.lose = "copy"
            async with asyncio.timeout(HANGS_S):
                assert await proxied.commit(batch) is Outcome.COMMITTED
            assert proxy.lost == 1
            async with proxied.snapshot() as snapshot:
                assert await snapshot.select(TRANSACTIONS) == rows
            await proxied.close()

    async def test_a_killed_backend_costs_nothing(
        self, store: Store, admin: "asyncpg.Connection[asyncpg.Record]"
    ) -> None:
        chain = Chain(await store.acquire(SOURCE))
        for _ in range(5):
            for pid in await backends(admin):
                await admin.execute("SELECT pg_terminate_backend($1)", pid)
            assert await store.commit(chain.extend(2)) is Outcome.COMMITTED
        async with store.snapshot() as snapshot:
            assert await snapshot.count(BLOCKS) == 10

    async def test_a_backend_killed_in_the_middle_of_a_copy_costs_nothing(
        self, store: Store, postgres_server: PostgresServer, admin: "asyncpg.Connection[asyncpg.Record]"
    ) -> None:
        """kill -9 of the writing backend after the rows have begun to flow, which restarts the server."""
        chain = Chain(await store.acquire(SOURCE))
        await store.commit(chain.extend(2))
        [pid] = await backends(admin)
        rng = random.Random(5)
        rows = [row for n in range(100, 140) for row in wide_block(n, rng, [])[TRANSACTIONS.name]]
        killed = False

        class Interrupted(list[Row]):
            """Rows that kill the backend on their first walk for the COPY, when many of them are sent."""

            def __iter__(self) -> Iterator[Row]:
                nonlocal killed
                walk_count[0] += 1
                for number, row in enumerate(list.__iter__(self)):
                    if number == len(self) // 2 and walk_count[0] == 2 and not killed:
                        killed = True
                        postgres_server.kill_backend(pid)
                    yield row

        walk_count = [0]
        before, after = chain.checkpoint, chain.checkpoint.advanced("x")
        batch = Batch(before, after, add=(Rows(LOGS, []), Rows(TRANSACTIONS, Interrupted(rows))))
        assert await store.commit(batch) is Outcome.COMMITTED
        assert killed
        async with store.snapshot() as snapshot:
            assert await snapshot.count(TRANSACTIONS) == 4 + len(rows)

    async def run(self, server: PostgresServer, crash: Callable[[], None] | None) -> list[str]:
        """The digest after 40 commits with reorgs, with two crashes of the server among them, or none."""
        store = await open_store(server.create_database(), SystemRuntime())
        chain = Chain(await store.acquire(SOURCE), seed=3)
        rng = random.Random(9)
        progress = asyncio.Semaphore(0)

        async def commits() -> None:
            for _ in range(40):
                keep = max(chain.head - rng.randrange(4), 0) if chain.head > 0 else None
                await store.commit(chain.extend(rng.randrange(5, 9), keep=keep))
                if chain.checkpoint.commit_seq % 10 == 0:
                    progress.release()

        task = asyncio.create_task(commits())
        if crash is not None:
            for _ in range(2):
                await progress.acquire()  # ten commits in, and the next one is under way
                await asyncio.to_thread(crash)
        await task
        digest = await digest_of(store)
        await store.close()
        return digest

    async def test_a_crash_of_the_server_leaves_the_same_content(self, postgres_server: PostgresServer) -> None:
        def kill() -> None:
            postgres_server.kill9()
            postgres_server.start()

        undisturbed = await self.run(postgres_server, None)
        assert await self.run(postgres_server, postgres_server.restart_immediately) == undisturbed
        assert await self.run(postgres_server, kill) == undisturbed

    async def test_a_commit_without_a_server_is_busy(self, postgres_server: PostgresServer, postgres_url: str) -> None:
        store = await open_store(postgres_url, SystemRuntime(), limits=_limits(write_patience_s=0.1))
        chain = Chain(await store.acquire(SOURCE))
        batch = chain.extend(1)
        postgres_server.stop()
        try:
            with pytest.raises(Lost):
                await store.commit(batch)
        finally:
            postgres_server.start()
        assert await store.commit(batch) is Outcome.COMMITTED
        await store.close()

    @pytest.mark.parametrize("readonly", [True, False])
    async def test_who_opens_a_store_without_a_server_learns_it_soon(self, *, readonly: bool) -> None:
        runtime = FakeRuntime()
        with pytest.raises(Lost):
            await open_store("postgresql://tidelog@127.0.0.1:1/tidelog", runtime, readonly=readonly)
        assert 2.5 <= runtime.clock <= 5.0

    async def test_a_snapshot_is_tried_for_as_long_as_its_reader_is_told(
        self, postgres_server: PostgresServer, postgres_url: str, store: Store
    ) -> None:
        runtime = FakeRuntime()
        asked = await open_store(postgres_url, runtime, readonly=True, patience_s=1.0)
        postgres_server.stop()
        try:
            with pytest.raises(Busy):
                async with asked.snapshot():
                    pass
        finally:
            postgres_server.start()
        assert 0.5 <= runtime.clock <= 1.0
        async with asked.snapshot() as snapshot:
            assert await snapshot.checkpoints() == []
        await asked.close()

    async def test_whoever_tries_again_holds_nobody_up(
        self, postgres_server: PostgresServer, postgres_url: str, store: Store
    ) -> None:
        runtime = Dozing()
        asked = await open_store(postgres_url, runtime, readonly=True, readers=1)

        async def read() -> int:
            async with asked.snapshot() as snapshot:
                return len(await snapshot.checkpoints())

        postgres_server.stop()
        try:
            waiting = asyncio.create_task(read())
            await runtime.asleep.wait()
        finally:
            postgres_server.start()
        assert await read() == 0
        runtime.awake.set()
        assert await waiting == 0
        await asked.close()

    async def test_a_lock_that_is_held_is_busy(
        self, postgres_url: str, admin: "asyncpg.Connection[asyncpg.Record]", monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(_session(), "lock_timeout", "50ms")
        store = await open_store(postgres_url, SystemRuntime(), limits=_limits(write_patience_s=0.0))
        batch = Chain(await store.acquire(SOURCE)).extend(1)
        async with admin.transaction():
            await admin.execute("SELECT * FROM checkpoints FOR UPDATE")
            with pytest.raises(Busy, match="lock"):
                await store.commit(batch)
        assert await store.commit(batch) is Outcome.COMMITTED
        await store.close()

    async def test_a_count_takes_as_long_as_it_needs(
        self,
        postgres_url: str,
        store: Store,
        admin: "asyncpg.Connection[asyncpg.Record]",
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """It stands for a table so large that the server's limit for a statement is over before it is counted."""
        await store.commit(Chain(await store.acquire(SOURCE)).extend(2))
        monkeypatch.setitem(_session(), "statement_timeout", "500ms")
        asked = await open_store(postgres_url, SystemRuntime(), readonly=True)
        async with asked.snapshot() as snapshot:
            async with admin.transaction():
                await admin.execute(f"LOCK TABLE {BLOCKS.name}")
                counting = asyncio.create_task(snapshot.count(BLOCKS))
                await asyncio.sleep(1.0)
                assert not counting.done()
            assert await counting == 2
            async with admin.transaction():
                await admin.execute(f"LOCK TABLE {LOGS.name}")
                with pytest.raises(TimedOut):  # any other read is limited, as before
                    await snapshot.select(LOGS)
        await asked.close()


def _limits(*, write_patience_s: float) -> StoreLimits:
    return StoreLimits(postgres=PostgresLimits(write_patience_s=write_patience_s))


def _session() -> dict[str, str]:
    from tidelog.store.postgres.connection import SESSION

    return SESSION


class TestPartitions:
    def needed(self, *heights: int) -> list[int]:
        rows = [make_row(LOGS, RNG, chain_id=1, block_number=height) for height in heights]
        return sorted(each.low for each in needed_partitions([Rows(LOGS, rows)]))

    def test_partitions_are_made_one_ahead(self) -> None:
        width = PARTITION_BLOCKS
        assert self.needed() == []
        assert self.needed(0) == [0, width]
        assert self.needed(width - 1, 5) == [0, width]
        assert self.needed(width - 1, width) == [0, width, 2 * width]
        assert self.needed(INT_MAX) == [INT_MAX // width * width]

    def test_tables_without_partitions_need_none(self) -> None:
        assert needed_partitions([Rows(BLOCKS, [make_row(BLOCKS, RNG)])]) == set()

    def test_names_of_partitions_fit_postgresql(self) -> None:
        assert len(Partition(TRANSACTIONS, INT_MAX, INT_MAX // PARTITION_BLOCKS * PARTITION_BLOCKS).name) < 64

    async def test_a_commit_across_the_edge_of_a_partition_succeeds(
        self, store: Store, admin: "asyncpg.Connection[asyncpg.Record]"
    ) -> None:
        acquired = await store.acquire(SOURCE)
        logs = [make_row(LOGS, RNG, chain_id=1, block_number=PARTITION_BLOCKS + n) for n in (-1, 0)]
        assert await store.commit(Batch(acquired, acquired.advanced("x"), add=(Rows(LOGS, logs),))) is Outcome.COMMITTED
        names = await admin.fetch("SELECT relid::text FROM pg_partition_tree('logs') WHERE isleaf")
        assert sorted(name for (name,) in names) == ["logs_1_0", "logs_1_1000000", "logs_1_500000"]
        async with store.snapshot() as snapshot:
            assert await snapshot.select(LOGS) == logs

    async def test_partitions_that_a_failover_has_lost_are_made_again(
        self, store: Store, admin: "asyncpg.Connection[asyncpg.Record]"
    ) -> None:
        """Each is made before the commit that needs it: a standby may lack it, and nothing else."""
        chain = Chain(await store.acquire(SOURCE))
        await store.commit(chain.extend(1))
        await admin.execute(f"DROP TABLE logs_1_{PARTITION_BLOCKS}")
        for pid in await backends(admin):
            await admin.execute("SELECT pg_terminate_backend($1)", pid)
        chain.head = PARTITION_BLOCKS
        assert await store.commit(chain.extend(1)) is Outcome.COMMITTED

    async def test_partitions_are_attached_while_somebody_reads(self, store: Store) -> None:
        acquired = await store.acquire(SOURCE)
        async with store.snapshot() as snapshot:
            assert await snapshot.count(LOGS) == 0
            logs = [make_row(LOGS, RNG, chain_id=77, block_number=5)]
            async with asyncio.timeout(HANGS_S):
                await store.commit(Batch(acquired, acquired.advanced("x"), add=(Rows(LOGS, logs),)))
            assert await snapshot.count(LOGS) == 0

    async def test_a_read_touches_only_the_partitions_in_range(
        self, store: Store, admin: "asyncpg.Connection[asyncpg.Record]"
    ) -> None:
        acquired = await store.acquire(SOURCE)
        logs = [make_row(LOGS, RNG, chain_id=c, block_number=PARTITION_BLOCKS * n) for c in (1, 2) for n in range(5)]
        await store.commit(Batch(acquired, acquired.advanced("x"), add=(Rows(LOGS, logs),)))
        plan = str(
            await admin.fetch(
                "EXPLAIN SELECT * FROM logs WHERE chain_id = 1 AND block_number >= 1000000 AND block_number <= 1000009"
            )
        )
        assert "logs_1_1000000" in plan
        assert "logs_1_500000" not in plan
        assert "logs_2_" not in plan


Admin: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
X = b"x" * 20


class TestPlans:
    """What the server does for the reads of an API, in a reader's session, with a partition that is empty."""

    by_sender = "(segment = segments.segment) AND (('0x'::text || encode(from_address, 'hex'::text)) ="
    by_hash = "(segment = segments.segment) AND (('0x'::text || encode(hash, 'hex'::text)) ="
    by_address = "(segment = segments.segment) AND (('0x'::text || encode(address, 'hex'::text)) ="
    by_receiver = "(segment = segments.segment) AND (('0x'::text || encode(to_address, 'hex'::text)) ="
    by_contract = "(segment = segments.segment) AND (contract_address ="
    by_topic = "(segment = segments.segment) AND (('0x'::text || encode(topic0, 'hex'::text)) ="
    cases: tuple[tuple[Table, dict[str, Any], str], ...] = (
        (TRANSACTIONS, {"where": {"hash": X}, "high": 30, "descending": True}, by_hash),
        (TRANSACTIONS, {"where": {"from_address": X}, "descending": True}, by_sender),
        (TRANSACTIONS, {"where": {"from_address": X}, "descending": True, "after": (1, 6, 1)}, by_sender),
        (TRANSACTIONS, {"where": {"from_address": X}, "low": 0, "high": 30}, by_sender),
        (TRANSACTIONS, {"where": {"to_address": X}, "descending": True}, by_receiver),
        (TRANSACTIONS, {"where": {"to_address": X}, "descending": True, "after": (1, 6, 1)}, by_receiver),
        (TRANSACTIONS, {"where": {"contract_address": X}, "descending": True}, by_contract),
        (TRANSACTIONS, {"where": {"contract_address": X}, "after": (1, 2, 1)}, by_contract),
        (TRANSACTIONS, {"where": {"from_address": X}, "descending": True, "near_segments": 1}, by_sender),
        (LOGS, {"where": {"address": X, "topic1": X}, "low": 0, "high": 30}, by_address),
        (LOGS, {"where": {"address": X}, "after": (1, 2, 1)}, by_address),
        (LOGS, {"where": {"topic0": X}, "low": 0, "high": 30}, by_topic),
        (LOGS, {"low": 0, "high": 30}, "(chain_id = "),
        (BLOCKS, {"low": 5, "high": 5}, "(chain_id = "),
        (CHANGES, {"after": (1, 9)}, "(chain_id = "),
        (CHANGES, {"where": {"writer": 7}, "descending": True}, "(writer = "),
    )

    @pytest.mark.parametrize("analyzed", [True, False])
    @pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
    async def test_each_read_is_one_range_of_an_index_in_each_segment(
        self, store: Store, admin: Admin, mode: str, analyzed: bool
    ) -> None:
        """Nothing is sorted but what one segment gives at most, and each partition is passed over that is not its."""
        acquired, addresses = await store.acquire(SOURCE), [RNG.randbytes(20) for _ in range(50)]
        blocks = [wide_block(number, RNG, addresses) for number in range(8)]
        add = [Rows(table, [row for block in blocks for row in block[table.name]]) for table in (TRANSACTIONS, LOGS)]
        await store.commit(Batch(acquired, acquired.advanced("x"), add=tuple(add)))
        if analyzed:
            await admin.execute("ANALYZE")
        else:  # a store that was filled a moment ago: the server knows its size, and nothing of its values
            await admin.execute(
                "UPDATE pg_class SET reltuples = 1e6, relpages = 100 WHERE relname IN ('transactions_1_0', 'logs_1_0')"
            )
        for name, value in {**reader.SESSION, "plan_cache_mode": mode}.items():
            await admin.execute(f"SET {name} = {value}")
        # without statistics, version 16 takes what a segment has for so few that it sorts them
        may_sort = {"Incremental"} if analyzed or admin.get_server_version() >= (17,) else {"Incremental", ""}
        for table, arguments, index in self.cases:
            text, values = select_query(table, mark="$", scope=1, limit=9, **arguments)
            plan = "\n".join([row[0] for row in await admin.fetch(f"EXPLAIN {text}", *values)])
            sorts = re.findall(r"(\w*) ?Sort  ", plan)
            assert index == self.by_hash or set(sorts) <= may_sort, plan  # a hash has a row, or a few
            assert "Seq Scan" not in plan, plan
            scans = re.findall(r"Scan (?:Backward )?using \S+ on (\S+).*\n\s+Index Cond: (.*)", plan)
            filled = {name: condition for name, condition in scans if not name.endswith(f"_{PARTITION_BLOCKS}")}
            filled.pop("segments", None)
            assert filled, plan
            assert all(index in condition for condition in filled.values()), plan

    @pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
    async def test_alternatives_are_a_range_of_each_one_s_index(self, store: Store, admin: Admin, mode: str) -> None:
        acquired, addresses = await store.acquire(SOURCE), [RNG.randbytes(20) for _ in range(50)]
        rows = [row for number in range(8) for row in wide_block(number, RNG, addresses)[TRANSACTIONS.name]]
        await store.commit(Batch(acquired, acquired.advanced("x"), add=(Rows(TRANSACTIONS, rows),)))
        await admin.execute("ANALYZE")
        for name, value in {**reader.SESSION, "plan_cache_mode": mode}.items():
            await admin.execute(f"SET {name} = {value}")
        wanted = [("from_address", X), ("to_address", X), ("contract_address", X)]
        for descending in (False, True):
            text, values = select_query(
                TRANSACTIONS, mark="$", scope=1, limit=9, high=30, any_of=wanted, near_segments=2, descending=descending
            )
            plan = "\n".join([row[0] for row in await admin.fetch(f"EXPLAIN {text}", *values)])
            assert "Seq Scan" not in plan, plan
            for index in (self.by_sender, self.by_receiver, self.by_contract):
                assert index in plan, plan

    async def test_who_reads_again_at_once_has_the_same_connection(self, store: Store, admin: Admin) -> None:
        """It is in its end still: that is waited for, since another one would have to be made, and its plans."""
        before = set(await backends(admin))
        for _ in range(20):
            async with store.snapshot() as snapshot:
                await snapshot.checkpoints()
        assert len(set(await backends(admin)) - before) == 1

    async def test_the_indexes_come_to_partitions_old_and_new(
        self, postgres_url: str, admin: Admin, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patch:
            patch.setattr("tidelog.store.migrations.shipped", lambda package: shipped(package)[:2])
            await (await open_store(postgres_url, SystemRuntime())).close()
        link = await connect(address_of(postgres_url))
        await ensure_partitions(link, needed_partitions(Chain(Checkpoint(SOURCE, 1, 0, None)).extend(2).add))
        await link.close()
        store = await open_store(postgres_url, SystemRuntime())
        acquired = await store.acquire(SOURCE)
        later = make_row(TRANSACTIONS, RNG, chain_id=1, block_number=PARTITION_BLOCKS)
        await store.commit(Batch(acquired, acquired.advanced("x"), add=(Rows(TRANSACTIONS, [later]),)))
        await store.close()
        rows = await admin.fetch(
            "SELECT i.indrelid::regclass::text, count(*) FROM pg_partition_tree('transactions') t"
            " JOIN pg_index i ON i.indrelid = t.relid WHERE i.indisvalid GROUP BY 1 ORDER BY 1"
        )
        leaves = [f"transactions_1_{n * PARTITION_BLOCKS}" for n in range(3)]
        assert {str(row[0]): row[1] for row in rows} == dict.fromkeys(["transactions", "transactions_1", *leaves], 5)


class TestSchema:
    @pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
    async def test_the_schema_has_the_columns_and_key_of_each_table(
        self, store: Store, admin: "asyncpg.Connection[asyncpg.Record]", table: Table
    ) -> None:
        types = {Kind.INT: "bigint", Kind.TEXT: "text", Kind.BYTES: "bytea"}
        types |= dict.fromkeys((Kind.UINT64, Kind.NUMBER, Kind.UINT256), "numeric")
        columns = await admin.fetch(
            "SELECT column_name, data_type, is_nullable, coalesce(collation_name, 'C') FROM"
            " information_schema.columns WHERE table_name = $1 ORDER BY ordinal_position",
            table.name,
        )
        assert [tuple(column) for column in columns] == [
            (column.name, types[column.kind], "YES" if column.nullable else "NO", "C") for column in table.columns
        ] + [("segment", "integer", "NO", "C")] * bool(table.segmented)
        key = await admin.fetch(
            "SELECT a.attname::text FROM pg_index i, unnest(i.indkey) WITH ORDINALITY k (number, position)"
            " JOIN pg_attribute a ON a.attnum = k.number"
            " WHERE i.indrelid = $1::text::regclass AND a.attrelid = i.indrelid AND i.indisprimary"
            " ORDER BY k.position",
            table.name,
        )
        assert tuple(name for (name,) in key) == table.key

    async def test_a_newer_schema_is_refused(
        self, store: Store, postgres_url: str, admin: "asyncpg.Connection[asyncpg.Record]"
    ) -> None:
        await admin.execute("INSERT INTO migrations VALUES (99, 'future', 'abc')")
        for readonly in (False, True):
            with pytest.raises(ConfigError, match="schema version 99"):
                await open_store(postgres_url, SystemRuntime(), readonly=readonly)

    async def test_a_migration_that_is_not_the_shipped_one_is_corruption(
        self, store: Store, postgres_url: str, admin: "asyncpg.Connection[asyncpg.Record]"
    ) -> None:
        await admin.execute("UPDATE migrations SET sha256 = 'abc'")
        with pytest.raises(Corruption, match="migration 1"):
            await open_store(postgres_url, SystemRuntime())

    @pytest.mark.parametrize("script", ["CREATE TABLE migrations (id int)", "CREATE TABLE blocks (x int)"])
    async def test_a_database_of_another_program_is_left_alone(
        self, postgres_url: str, admin: "asyncpg.Connection[asyncpg.Record]", script: str
    ) -> None:
        await admin.execute(script)
        with pytest.raises(ConfigError, match="another program"):
            await open_store(postgres_url, SystemRuntime())
        assert await admin.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 1

    async def test_an_empty_database_is_not_read(self, postgres_url: str) -> None:
        with pytest.raises(ConfigError, match="holds no store"):
            await open_store(postgres_url, SystemRuntime(), readonly=True)


class TestAddress:
    SECRET = "p@ss/w:rd%"
    QUOTED = "p%40ss%2Fw%3Ard%25"

    @pytest.mark.parametrize(
        "url",
        [
            f"postgresql://me:{QUOTED}@127.0.0.1:1/name",  # nobody listens
            f"postgresql://me:{QUOTED}@127.0.0.1:x/name",
            f"postgresql://me:{QUOTED}@[127.0.0.1/name",
            f"postgresql://me@127.0.0.1:1/name?password={QUOTED}",
            f"postgresql://me:{QUOTED}@127.0.0.1:1/name?sslmode=never",
        ],
    )
    async def test_a_secret_is_never_shown(self, url: str) -> None:
        limits = StoreLimits(postgres=PostgresLimits(open_patience_s=0.0))
        with pytest.raises((ConfigError, Busy)) as caught:
            await open_store(url, SystemRuntime(), limits=limits)
        said = "".join(traceback.format_exception(caught.value))
        assert self.SECRET not in said
        assert self.QUOTED not in said

    def test_the_location_is_what_may_be_shown(self) -> None:
        address = address_of(f"postgresql://me:{self.QUOTED}@db.example:5433/chain?sslmode=require&password=x")
        assert address.location == "postgresql://me@db.example:5433/chain"
        assert self.QUOTED not in repr(address)

    async def test_a_database_that_does_not_exist_is_named(self, postgres_server: PostgresServer) -> None:
        with pytest.raises(ConfigError, match="nowhere"):
            await open_store(postgres_server.url("nowhere"), SystemRuntime())


class TestNumeric:
    VALUES = (0, 1, 9_999, 10_000, 10_001, 10**8, 10**18, 2**64, 2**255 + 1, 2**256 - 1)

    @pytest.mark.parametrize("value", VALUES)
    async def test_an_encoded_numeric_is_what_the_server_reads(
        self, store: Store, admin: "asyncpg.Connection[asyncpg.Record]", value: int
    ) -> None:
        assert decode_numeric(encode_numeric(uint256(value))) == uint256(value)
        acquired = await store.acquire(SOURCE)
        row = make_row(TRANSACTIONS, RNG, value=uint256(value))
        await store.commit(Batch(acquired, acquired.advanced("x"), add=(Rows(TRANSACTIONS, [row]),)))
        assert await admin.fetchval("SELECT value::text FROM transactions") == str(value)

    async def test_what_is_no_integer_of_256_bits_is_read_as_another_one(
        self, store: Store, admin: "asyncpg.Connection[asyncpg.Record]"
    ) -> None:
        """As a damaged column may have it: whoever proves the rows finds it, and repairs them."""
        acquired = await store.acquire(SOURCE)
        row = make_row(TRANSACTIONS, RNG, value=uint256(7))
        await store.commit(Batch(acquired, acquired.advanced("x"), add=(Rows(TRANSACTIONS, [row]),)))
        for damage in ("'NaN'", str(2**256), str(10**78 - 1), str(1 - 10**78), "-1", str(-(2**255))):
            await admin.execute(f"UPDATE transactions SET value = {damage}, gas_used = 'NaN'")
            async with store.snapshot() as snapshot:
                [(value, gas_used)] = await snapshot.select(TRANSACTIONS, columns=("value", "gas_used"))
            assert isinstance(value, bytes)
            assert len(value) > 32
            assert gas_used == NUMBER_MAX

    @pytest.mark.parametrize("number", [0, 1, -1, 2**255 - 1, -(2**255)])
    def test_an_integer_with_a_sign_comes_back_in_twos_complement(self, number: int) -> None:
        assert with_sign(decode_numeric(encode_numeric(number))) == int256(number)

    def test_what_no_integer_with_a_sign_is_comes_back_longer(self) -> None:
        for number in (2**255, 2**256 - 1):
            assert len(with_sign(decode_numeric(encode_numeric(number)))) > 32
        assert len(with_sign(NO_NUMBER)) > 32

    def test_a_uint256_of_another_length_is_refused(self) -> None:
        with pytest.raises(ValueError, match="32 bytes"):
            encode_numeric(b"\x01")


async def test_the_epoch_survives_a_reconnect(store: Store, admin: "asyncpg.Connection[asyncpg.Record]") -> None:
    acquired = await store.acquire(SOURCE)
    for pid in await backends(admin):
        await admin.execute("SELECT pg_terminate_backend($1)", pid)
    again = await store.acquire(SOURCE)
    assert again.epoch > acquired.epoch
    assert again == Checkpoint(SOURCE, again.epoch, 0, None, again.writer)
