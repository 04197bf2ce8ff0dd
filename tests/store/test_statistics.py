"""Statistics of PostgreSQL's planner: gathered by the store itself, so that people's queries use its indexes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import asyncpg
import pytest
import pytest_asyncio
from bench.chain_rows import ChainRows
from structlog.testing import capture_logs

from tests.patience import HANGS_S
from tests.store.rows import SOURCE
from tests.store.test_ddl import ROWS, THINGS
from tidelog.batch import Batch, Rows
from tidelog.chain.rows.tables import BLOCKS, LOGS, TRANSACTIONS, WITHDRAWALS
from tidelog.runtime import SystemRuntime
from tidelog.store import Store, open_store
from tidelog.store.limits import PostgresLimits, StoreLimits
from tidelog.store.postgres.connection import address_of, connect
from tidelog.store.postgres.statistics import PAGES_MIN, gather_statistics

BLOCK_COUNT = (
    60  # 21,600 logs and 7,200 transactions in 750 pages: read whole, they cost twenty times what an index does
)
PARTS = ("logs_1_0", "transactions_1_0")


async def filled(store: Store, first: int, count: int) -> None:
    before = await store.acquire(SOURCE)
    made = list(ChainRows().blocks(first, count))
    tables = (BLOCKS, TRANSACTIONS, LOGS, WITHDRAWALS)
    add = tuple(Rows(table, [row for block in made for row in block[table.name]]) for table in tables)
    await store.commit(Batch(before, before.advanced(str(first)), add=add))


async def known(client: "asyncpg.Connection[asyncpg.Record]") -> set[str]:
    """The tables that somebody has analyzed who is not the server's own autovacuum."""
    return {row[0] for row in await client.fetch("SELECT relname FROM pg_stat_user_tables WHERE analyze_count > 0")}


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(HANGS_S):
        while not await holds():  # noqa: ASYNC110  # the server tells nobody
            await asyncio.sleep(0.02)


@pytest_asyncio.fixture
async def client(postgres_url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """Somebody at a SQL prompt."""
    connection = await asyncpg.connect(postgres_url)
    yield connection
    await connection.close(timeout=1)


@pytest.mark.parametrize(
    ("view", "column", "bytes_"),
    [
        ("v_logs", "address", 20),
        ("v_logs", "topic0", 32),
        ("v_transactions", "from_address", 20),
        ("v_transactions", "hash", 32),
    ],
)
async def test_what_is_not_there_is_not_looked_for_in_the_whole_table(
    postgres_url: str, client: "asyncpg.Connection[asyncpg.Record]", view: str, column: str, bytes_: int
) -> None:
    limits = StoreLimits(postgres=PostgresLimits(statistics_rows=1))
    store = await open_store(postgres_url, SystemRuntime(), limits=limits)
    try:
        await filled(store, 0, BLOCK_COUNT)

        async def gathered() -> bool:
            return (await known(client)).issuperset(PARTS)

        await until(gathered)
        absent = "0x" + "ab" * bytes_
        query = f"EXPLAIN SELECT * FROM {view} WHERE {column} = '{absent}' LIMIT 50"
        plan = "\n".join([row[0] for row in await client.fetch(query)])
        assert "Seq Scan" not in plan.partition(f"{PARTS[view == 'v_transactions']} ")[0].rpartition("->")[2]
        assert f"encode({column}, 'hex'::text)) = '{absent}'" in plan
        assert "Index Scan" in plan
    finally:
        await store.close()


async def test_they_are_gathered_where_there_are_none_and_again_when_a_table_has_doubled(
    postgres_url: str, client: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    limits = StoreLimits(postgres=PostgresLimits(statistics_rows=2**60))
    store = await open_store(postgres_url, SystemRuntime(), limits=limits)
    link = await connect(address_of(postgres_url))
    try:
        assert await gather_statistics(link) == []
        await filled(store, 0, BLOCK_COUNT)
        for name in PARTS:  # the server's own come by chance
            await client.execute(f"ALTER TABLE {name} SET (autovacuum_enabled = false)")
        assert set(PARTS) <= set(await gather_statistics(link))
        assert await gather_statistics(link) == []
        await filled(store, BLOCK_COUNT, BLOCK_COUNT // 2)
        assert await gather_statistics(link) == []
        await filled(store, 2 * BLOCK_COUNT, 2 * BLOCK_COUNT)
        assert set(PARTS) <= set(await gather_statistics(link))
        await client.execute("VACUUM")  # counts pages, and samples nothing
        assert await gather_statistics(link) == []
        text = str(await client.fetchval("SELECT pg_get_indexdef('logs_topic0'::regclass)"))
        await client.execute(f"DROP INDEX logs_topic0; {text.replace(' ONLY ', ' ')}")  # as a migration does
        assert await gather_statistics(link) == [PARTS[0]]
        before = await store.acquire("things")
        rows = [(1, number, *ROWS[0][2:-1], "x" * 100) for number in range(PAGES_MIN * 80)]
        await store.commit(Batch(before, before.advanced("1"), create=(THINGS,), add=(Rows(THINGS, rows),)))
        await client.execute("VACUUM e_things")
        assert await gather_statistics(link) == ["e_things"]
    finally:
        await link.close()
        await store.close()


async def test_a_commit_does_not_wait_for_them_nor_fail_with_them(
    postgres_url: str, client: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    limits = StoreLimits(postgres=PostgresLimits(statistics_rows=1, statistics_s=0.0))
    store = await open_store(postgres_url, SystemRuntime(), limits=limits)
    try:
        with capture_logs() as told:
            await filled(store, 0, 2)
            await filled(store, 2, 2)

            async def failed() -> bool:
                return any(each["event"] == "statistics_failed" for each in told)

            await until(failed)
            await filled(store, 4, 2)
    finally:
        await store.close()
    assert await client.fetchval("SELECT count(*) FROM blocks") == 6
