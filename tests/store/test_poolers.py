"""The store behind a pooler, which refuses or forgets settings and may change the server under each transaction."""

import asyncio

import asyncpg
import pytest

from tests.store.pooler import SERVERS, TransactionPooler, pooled
from tests.store.rows import SOURCE, Chain
from tests.store.test_postgres import digest_of
from tidelog.batch import Outcome
from tidelog.chain.rows.tables import BLOCKS
from tidelog.errors import Fenced
from tidelog.runtime import SystemRuntime
from tidelog.store import Store, open_store

KINDS = ("refusing", "forgetting", "session", "transaction")


async def written(url: str) -> None:
    """A store with a reorg, read by several at once while it is written."""
    store = await open_store(url, SystemRuntime())
    try:
        chain = Chain(await store.acquire(SOURCE))
        assert await store.commit(chain.extend(5)) is Outcome.COMMITTED
        reorg = chain.extend(4, keep=2)
        _, *counts = await asyncio.gather(store.commit(reorg), *(counted(store) for _ in range(8)))
        assert set(counts) <= {5, 7}
        assert await store.commit(reorg) is Outcome.ALREADY
        assert (await store.info()).backend == "postgresql"
        assert await store.check_integrity() == []
    finally:
        await store.close()


async def counted(store: Store) -> int:
    async with store.snapshot() as snapshot:
        first = await snapshot.count(BLOCKS)
        assert len(await snapshot.select(BLOCKS)) == first
        return first


@pytest.mark.parametrize("kind", KINDS)
async def test_behind_a_pooler_a_store_is_the_same(kind: str, postgres_url: str) -> None:
    async with pooled(kind, postgres_url) as url:
        await written(url)
        store = await open_store(url, SystemRuntime(), readonly=True)
        through = await digest_of(store)
        await store.close()
    store = await open_store(postgres_url, SystemRuntime(), readonly=True)
    assert await digest_of(store) == through
    async with store.snapshot() as snapshot:
        assert [row[1] for row in await snapshot.select(BLOCKS)] == list(range(7))
    await store.close()


async def test_nothing_is_left_behind_on_a_poolers_connections(postgres_url: str) -> None:
    """What a session would set shows in those of other programs: `enable_seqscan = off` would slow them down."""
    names = ("enable_seqscan", "jit", "lock_timeout", "statement_timeout", "synchronous_commit", "search_path")
    settings = "SELECT " + ", ".join(f"current_setting('{name}')" for name in names)
    fresh = await asyncpg.connect(postgres_url)
    async with TransactionPooler(postgres_url) as pooler:
        await written(pooler.url)
        assert set(pooler.refused) >= {"lock_timeout", "statement_timeout", "synchronous_commit"}
        other = await asyncpg.connect(pooler.url, statement_cache_size=0)
        seen, expected = set(), tuple(await fresh.fetchrow(settings) or ())
        for _ in range(SERVERS):
            async with other.transaction():
                seen.add(await other.fetchval("SELECT pg_backend_pid()"))
                assert tuple(await other.fetchrow(settings) or ()) == expected
                assert await other.fetchval("SELECT count(*) FROM pg_prepared_statements WHERE name <> ''") == 0
        assert len(seen) == SERVERS
        await other.close()
    await fresh.close()


async def test_settings_are_made_for_each_transaction_behind_a_pooler(postgres_url: str) -> None:
    async with TransactionPooler(postgres_url) as pooler:
        store = await open_store(f"{pooler.url}?work_mem=5MB", SystemRuntime(), statement_timeout_s=7)
        for _ in range(SERVERS):
            async with store.snapshot() as snapshot:
                rows = await snapshot._read(  # type: ignore[attr-defined]
                    "SELECT current_setting('statement_timeout'), current_setting('enable_seqscan'),"
                    " current_setting('work_mem')"
                )
                assert tuple(rows[0]) == ("7s", "off", "5MB")
        await store.close()


async def test_a_second_writer_behind_a_pooler_fences_the_first(postgres_url: str) -> None:
    async with TransactionPooler(postgres_url) as pooler:
        first, second = [await open_store(pooler.url, SystemRuntime()) for _ in range(2)]
        chain = Chain(await first.acquire(SOURCE))
        await first.commit(chain.extend(1))
        await second.acquire(SOURCE)
        with pytest.raises(Fenced):
            await first.commit(chain.extend(1))
        await first.close()
        await second.close()
