"""What a store is: every promise of `tidelog.store`, on both backends."""

import asyncio
import contextlib
import hashlib
import random
import subprocess
import sys
from collections.abc import Callable, Collection, Coroutine, Iterator
from contextlib import aclosing
from typing import Any, TypeVar

import apsw
import asyncpg
import msgspec
import pytest

from tests.patience import HANGS_S
from tests.store.conftest import Opener
from tests.store.rows import SOURCE, Chain, block_rows, extreme_row, make_row
from tests.system.sql import Sql
from tidelog import compiled
from tidelog.batch import (
    INT_MAX,
    NUMBER_MAX,
    UINT64_MAX,
    Batch,
    Checkpoint,
    Column,
    ContentDigest,
    Drop,
    Kind,
    Outcome,
    Rollback,
    Row,
    Rows,
    Table,
    Value,
    uint256,
)
from tidelog.chain.contracts.contract import CONTRACTS
from tidelog.chain.rows.tables import BLOCK_TABLES, BLOCKS, CHAINS, CHANGES, LOGS, TRANSACTIONS, WITHDRAWALS
from tidelog.errors import Busy, ConfigError, Corruption, Fenced, TimedOut
from tidelog.market.projection.tables import COVERAGE, GAPS, TRADES
from tidelog.runtime import SystemRuntime
from tidelog.store import SCAN_ROWS, Condition, Snapshot, Store, open_store
from tidelog.store.migrations import pending, shipped
from tidelog.store.query import key_of
from tidelog.tables import TABLES

Answer = TypeVar("Answer")
RNG = random.Random(7)
STEPS = [migration.number for migration in shipped("tidelog.store.sqlite")]


async def contents(store: Store) -> dict[str, list[Row]]:
    """Everything that is in the store."""
    async with store.snapshot() as snapshot:
        return {table.name: await snapshot.select(table) for table in TABLES}


async def state(store: Store) -> tuple[dict[str, list[Row]], list[Checkpoint]]:
    async with store.snapshot() as snapshot:
        checkpoints = await snapshot.checkpoints()
    return await contents(store), checkpoints


async def rows_of(store: Store, table: Table) -> list[Row]:
    async with store.snapshot() as snapshot:
        return await snapshot.select(table)


async def heights(store: Store) -> list[Value]:
    return [row[BLOCKS.index("number")] for row in await rows_of(store, BLOCKS)]


async def grown(store: Store, blocks: int, *, chain_id: int = 1, source: str = SOURCE) -> Chain:
    chain = Chain(await store.acquire(source), chain_id=chain_id, uncles=1, proofs=1)
    if blocks:
        assert await store.commit(chain.extend(blocks)) is Outcome.COMMITTED
    return chain


async def digests(store: Store) -> dict[str, str]:
    found = {}
    async with store.snapshot() as snapshot:
        for table in TABLES:
            digest = ContentDigest(table)
            async for rows in snapshot.scan(table):
                digest.update(rows)
            found[table.name] = digest.hexdigest()
    return found


class Failing(Collection[Row]):
    """Rows that end in an error, or in a row that fits no table, after some good ones."""

    def __init__(self, rows: list[Row], last: Row | None = None) -> None:
        self._rows = rows
        self._last = last

    def __len__(self) -> int:
        return len(self._rows) + 1

    def __contains__(self, row: object) -> bool:
        return row in self._rows

    def __iter__(self) -> Iterator[Row]:
        yield from self._rows
        if self._last is None:
            raise ConnectionAbortedError("the rows cannot be read")
        yield self._last


class TestCheckpoint:
    async def test_a_source_begins_with_epoch_1_and_no_position(self, store: Store) -> None:
        stored = await store.acquire("a")
        assert stored == Checkpoint("a", 1, 0, None, stored.writer)

    async def test_acquiring_raises_the_epoch_and_keeps_the_rest(self, store: Store) -> None:
        chain = await grown(store, 3)
        stored = await store.acquire(SOURCE)
        assert stored == Checkpoint(SOURCE, 2, 1, chain.checkpoint.position, stored.writer)

    async def test_each_writer_draws_a_number_that_its_commits_carry(self, store: Store) -> None:
        seen = set()
        for _ in range(20):
            stored = await store.acquire(SOURCE)
            await store.commit(Batch(stored, stored.advanced("A")))
            async with store.snapshot() as snapshot:
                after = await snapshot.checkpoint(SOURCE)
            assert after == stored.advanced("A")
            assert after is not None
            assert 1 <= after.writer <= INT_MAX
            seen.add(after.writer)
        assert len(seen) == 20

    async def test_a_snapshot_lists_checkpoints_by_source(self, store: Store) -> None:
        for source in ("b", "a", "\u00e4", "B"):
            await store.acquire(source)
        async with store.snapshot() as snapshot:
            assert [c.source for c in await snapshot.checkpoints()] == ["B", "a", "b", "\u00e4"]
            stored = await snapshot.checkpoint("a")
            assert stored is not None
            assert stored == Checkpoint("a", 1, 0, None, stored.writer)
            assert await snapshot.checkpoint("c") is None


class TestCommit:
    async def test_a_commit_stores_rows_and_checkpoint(self, store: Store) -> None:
        chain = Chain(await store.acquire(SOURCE))
        batch = chain.extend(3)
        assert await store.commit(batch) is Outcome.COMMITTED
        stored = await contents(store)
        for rows in (*batch.add, *batch.put):
            assert stored[rows.table.name] == sorted(rows.rows, key=lambda row: row[:3])
        async with store.snapshot() as snapshot:
            assert await snapshot.checkpoint(SOURCE) == batch.after

    async def test_a_commit_is_idempotent(self, store: Store) -> None:
        chain = Chain(await store.acquire(SOURCE))
        batch = chain.extend(2)
        assert await store.commit(batch) is Outcome.COMMITTED
        before = await state(store)
        assert await store.commit(batch) is Outcome.ALREADY
        assert await state(store) == before

    @pytest.mark.parametrize(
        "last",
        [
            pytest.param(None, id="the rows end in an error"),
            pytest.param((1, "text where a number belongs"), id="a row is too short"),
            pytest.param(make_row(LOGS, RNG, chain_id=1, block_number=9, data=None), id="a value is missing"),
            pytest.param(make_row(LOGS, RNG, chain_id=1, block_number=2**63), id="a number is too large"),
            pytest.param(make_row(LOGS, RNG, chain_id=1, block_number=9, data="text"), id="a type is wrong"),
        ],
    )
    async def test_a_bad_row_leaves_nothing(self, store: Store, last: Row | None) -> None:
        chain = await grown(store, 3)
        before = await state(store)
        good = chain.extend(2, keep=1)
        blocks, transactions, logs, *others = good.add
        bad = Rows(LOGS, Failing(list(logs.rows), last))
        with pytest.raises((ConnectionAbortedError, ValueError, TypeError, OverflowError)):
            await store.commit(Batch(good.before, good.after, (blocks, transactions, bad), good.put, good.rollback))
        assert await state(store) == before
        assert await store.commit(good) is Outcome.COMMITTED
        assert others

    @pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
    async def test_a_key_that_is_there_already_is_corruption(self, store: Store, table: Table) -> None:
        chain = await grown(store, 3)
        before = await state(store)
        if not before[0][table.name]:  # the chain's own batches hold no such row
            await store.commit(_add(chain, table, make_row(table, RNG)))
            before = await state(store)
        taken = (await rows_of(store, table))[0]
        stored = chain.checkpoint
        with pytest.raises(Corruption, match=table.name):
            await store.commit(_add(chain, table, taken))
        chain.checkpoint = stored
        assert await state(store) == before

    async def test_two_blocks_of_one_hash_are_corruption(self, store: Store) -> None:
        chain = await grown(store, 1)
        before = await state(store)
        [row] = await rows_of(store, BLOCKS)
        twin = make_row(BLOCKS, RNG, chain_id=1, number=1, hash=row[BLOCKS.index("hash")])
        with pytest.raises(Corruption, match="blocks"):
            await store.commit(_add(chain, BLOCKS, twin))
        assert await state(store) == before

    async def test_two_transactions_may_have_one_hash(self, store: Store) -> None:
        chain = await grown(store, 0)
        rows = [make_row(TRANSACTIONS, RNG, chain_id=1, block_number=n, hash=b"same") for n in (1, 2)]
        after = chain.checkpoint.advanced("2")
        assert await store.commit(Batch(chain.checkpoint, after, (Rows(TRANSACTIONS, rows),))) is Outcome.COMMITTED
        async with store.snapshot() as snapshot:
            assert await snapshot.select(TRANSACTIONS, where={"hash": b"same"}) == rows

    async def test_put_replaces_by_key(self, store: Store) -> None:
        chain = await grown(store, 0)
        old = [make_row(GAPS, RNG, source="s", scope="x", first=n) for n in range(3)]
        new = [
            make_row(GAPS, RNG, source="s", scope="x", first=1, closed_at=None),
            make_row(GAPS, RNG, first=9),
        ]
        for rows in (old, new):
            await store.commit(_put(chain, GAPS, *rows))
        assert sorted(await rows_of(store, GAPS)) == sorted([old[0], new[0], old[2], new[1]])

    async def test_the_last_of_two_puts_of_a_key_wins(self, store: Store) -> None:
        chain = await grown(store, 0)
        first, last = (make_row(CHAINS, RNG, chain_id=5, profile=text) for text in ("a", "b"))
        await store.commit(_put(chain, CHAINS, first, last))
        assert await rows_of(store, CHAINS) == [last]

    async def test_a_drop_deletes_what_it_names_up_to_its_end_before_rows_come(self, store: Store) -> None:
        chain = await grown(store, 0)
        rows = [
            make_row(COVERAGE, RNG, source=source, symbol=symbol, channel="book", since_us=since_us)
            for source in ("m", "n")
            for symbol in ("a", "b")
            for since_us in (1, 2, 3)
        ]
        await store.commit(_add(chain, COVERAGE, *rows))
        before, after = chain.checkpoint, chain.checkpoint.advanced("dropped")
        again = make_row(COVERAGE, RNG, source="m", symbol="a", channel="book", since_us=1)
        drop = (Drop(COVERAGE, "m", (("symbol", "a"), ("channel", "book")), 2),)
        assert await store.commit(Batch(before, after, add=(Rows(COVERAGE, [again]),), drop=drop)) is Outcome.COMMITTED
        chain.checkpoint = after
        assert await rows_of(store, COVERAGE) == [again, *rows[2:]]
        assert await store.commit(Batch(before, after, add=(Rows(COVERAGE, [again]),), drop=drop)) is Outcome.ALREADY

    async def test_a_batch_that_skips_a_commit_is_a_mistake(self, store: Store) -> None:
        chain = await grown(store, 1)
        after = chain.checkpoint.advanced("a").advanced("b")
        with pytest.raises(ValueError, match="one commit after"):
            await store.commit(Batch(chain.checkpoint, after))

    async def test_a_cancelled_commit_is_whole_or_absent(self, store: Store) -> None:
        chain = Chain(await store.acquire(SOURCE))
        batch = chain.extend(50)
        task = asyncio.create_task(store.commit(batch))
        await asyncio.sleep(0)  # it has been handed to the database by now
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await store.commit(batch) in Outcome
        assert await heights(store) == list(range(50))


def _add(chain: Chain, table: Table, *rows: Row) -> Batch:
    before, chain.checkpoint = chain.checkpoint, chain.checkpoint.advanced("x")
    return Batch(before, chain.checkpoint, add=(Rows(table, list(rows)),))


def _put(chain: Chain, table: Table, *rows: Row) -> Batch:
    before, chain.checkpoint = chain.checkpoint, chain.checkpoint.advanced("x")
    return Batch(before, chain.checkpoint, put=(Rows(table, list(rows)),))


class TestFence:
    async def test_an_earlier_writer_is_fenced(self, opener: Opener) -> None:
        first, second = await opener(), await opener()
        old = await grown(first, 2)
        new = Chain(await second.acquire(SOURCE))
        before = await state(second)
        with pytest.raises(Fenced, match=SOURCE):
            await first.commit(old.extend(1))
        assert await state(second) == before
        assert await second.commit(Batch(new.checkpoint, new.checkpoint.advanced("x"))) is Outcome.COMMITTED

    async def test_a_stale_commit_number_is_fenced(self, store: Store) -> None:
        chain = await grown(store, 1)
        stale = chain.checkpoint
        await store.commit(chain.extend(1))
        await store.commit(chain.extend(1))
        with pytest.raises(Fenced):
            await store.commit(Batch(stale, stale.advanced("elsewhere")))

    async def test_of_two_commits_from_one_checkpoint_one_wins(self, store: Store) -> None:
        stored = await store.acquire(SOURCE)
        ours, theirs = Batch(stored, stored.advanced("ours")), Batch(stored, stored.advanced("theirs"))
        results = await asyncio.gather(store.commit(ours), store.commit(theirs), return_exceptions=True)
        assert sorted(type(result).__name__ for result in results) == ["Fenced", "Outcome"]

    async def test_a_position_that_came_back_fools_nobody(self, store: Store) -> None:
        """A-B-A: the position is the same as when this writer looked, and two commits have passed."""
        stored = await store.acquire(SOURCE)
        for position in ("A", "B", "A"):
            after = stored.advanced(position)
            await store.commit(Batch(stored, after))
            if after.commit_seq == 1:
                slow = after
            stored = after
        with pytest.raises(Fenced):
            await store.commit(Batch(slow, slow.advanced("C")))

    async def test_the_same_place_reached_by_another_epoch_is_not_ours(self, store: Store) -> None:
        stored = await store.acquire(SOURCE)
        ours = Batch(stored, stored.advanced("A"))
        again = await store.acquire(SOURCE)
        await store.commit(Batch(again, again.advanced("A")))
        with pytest.raises(Fenced):
            await store.commit(ours)

    async def test_a_store_that_went_back_takes_nothing_of_whoever_wrote_on(self, opener: Opener) -> None:
        """As a writer meets it whose server is replaced by a standby that lacks the last commits."""
        store = await opener()
        first = await store.acquire(SOURCE)
        second = first.advanced("A")
        with pytest.raises(Fenced, match=r"chain:1 went back .* at epoch 1, commit 0, expected epoch 1, commit 1"):
            await store.commit(Batch(second, second.advanced("B")))
        later = Checkpoint(SOURCE, 2, 0, None, first.writer - 1)
        with pytest.raises(Fenced, match=r"chain:1 went back .* at epoch 1, commit 0, expected epoch 2, commit 0"):
            await store.commit(Batch(later, later.advanced("B")))

    async def test_the_same_place_of_another_writer_is_not_ours(self, store: Store) -> None:
        """A restored copy repeats epochs and commit numbers, and never the number of a writer."""
        stored = await store.acquire(SOURCE)
        other = msgspec.structs.replace(stored, writer=stored.writer - 1)
        with pytest.raises(Fenced, match="another writer"):
            await store.commit(Batch(other, other.advanced("A")))

    async def test_a_source_that_nobody_acquired_is_fenced(self, store: Store) -> None:
        before = Checkpoint("unknown", 1, 0, None)
        with pytest.raises(Fenced, match="no checkpoint"):
            await store.commit(Batch(before, before.advanced("A")))

    async def test_writers_of_different_sources_do_not_disturb_each_other(self, opener: Opener) -> None:
        stores = [await opener() for _ in range(3)]
        chains = [await grown(store, 0, chain_id=n, source=f"chain:{n}") for n, store in enumerate(stores, start=1)]

        async def grow(store: Store, chain: Chain) -> None:
            for _ in range(15):
                batch = chain.extend(2)
                assert await store.commit(Batch(batch.before, batch.after, batch.add)) is Outcome.COMMITTED

        await asyncio.gather(*(grow(*pair) for pair in zip(stores, chains, strict=True)))
        async with stores[0].snapshot() as snapshot:
            assert [await snapshot.count(BLOCKS, scope=n) for n in (1, 2, 3)] == [30, 30, 30]


class TestRollback:
    async def test_a_rollback_replaces_blocks_in_one_commit(self, store: Store) -> None:
        chain = await grown(store, 10)
        kept = [row for row in await rows_of(store, BLOCKS) if row[1] in range(7)]
        batch = chain.extend(5, keep=6)
        assert await store.commit(batch) is Outcome.COMMITTED
        stored = await contents(store)
        assert stored[BLOCKS.name] == [*kept, *batch.add[0].rows]
        for rows in batch.add[1:4]:
            position = rows.table.index(rows.table.height or "")
            assert [row for row in stored[rows.table.name] if row[position] in range(7, 99)] == list(rows.rows)

    @pytest.mark.parametrize("keep", [-1, 0, 4, 9, 10, 2**63 - 1])
    async def test_a_rollback_drops_exactly_what_is_above(self, store: Store, keep: int) -> None:
        chain = await grown(store, 10)
        rollback = Rollback(BLOCK_TABLES, 1, keep)
        await store.commit(Batch(chain.checkpoint, chain.checkpoint.advanced("x"), rollback=rollback))
        wanted = [number for number in range(10) if number <= keep]
        stored = await contents(store)
        for table in BLOCK_TABLES:
            position = table.index(table.height or "")
            assert {row[position] for row in stored[table.name]} == {*wanted}

    async def test_a_rollback_touches_only_its_scope_and_its_tables(self, store: Store) -> None:
        one = await grown(store, 5)
        await grown(store, 5, chain_id=2, source="chain:2")
        before = await contents(store)
        rollback = Rollback((LOGS, WITHDRAWALS), 1, 2)
        await store.commit(Batch(one.checkpoint, one.checkpoint.advanced("x"), rollback=rollback))
        after = await contents(store)
        for table in TABLES:
            dropped = [
                row
                for row in before[table.name]
                if table in (LOGS, WITHDRAWALS) and row[0] == 1 and row[1] in range(3, 5)
            ]
            assert after[table.name] == [row for row in before[table.name] if row not in dropped], table.name

    async def test_a_rollback_ends_where_it_is_told_to(self, store: Store) -> None:
        chain = await grown(store, 6)
        rollback = Rollback(BLOCK_TABLES, 1, 2, through=4)
        await store.commit(Batch(chain.checkpoint, chain.checkpoint.advanced("x"), rollback=rollback))
        stored = await contents(store)
        for table in BLOCK_TABLES:
            assert {row[table.index(table.height or "")] for row in stored[table.name]} == {0, 1, 2, 5}

    async def test_a_table_without_height_cannot_be_rolled_back(self, store: Store) -> None:
        chain = await grown(store, 1)
        with pytest.raises(ValueError, match="changes"):
            await store.commit(
                Batch(chain.checkpoint, chain.checkpoint.advanced("x"), rollback=Rollback((CHANGES,), 1, 0))
            )


class TestSnapshot:
    async def test_a_snapshot_does_not_see_what_is_committed_meanwhile(self, store: Store) -> None:
        chain = await grown(store, 4)
        async with store.snapshot() as snapshot:
            await store.commit(chain.extend(3, keep=1))  # nothing was read before
            numbers = [row[1] for row in await snapshot.select(BLOCKS)]
            checkpoint = await snapshot.checkpoint(SOURCE)
        assert numbers == [0, 1, 2, 3]
        assert checkpoint is not None
        assert checkpoint.position == "3"
        assert await heights(store) == [0, 1, 2, 3, 4]

    async def test_rows_come_height_by_height_as_they_come_at_once(self, store: Store) -> None:
        await grown(store, 40)
        async with store.snapshot() as snapshot:
            for table in (TRANSACTIONS, LOGS, WITHDRAWALS):
                _, height = table.places
                rows = await snapshot.select(table, scope=1, low=3, high=30)
                pieces = await snapshot.pieces(table, scope=1, low=3, high=30)
                assert [row for piece in pieces.pieces for row in piece.rows] == rows
                assert [(piece.scope, piece.height) for piece in pieces.pieces] == [(1, n) for n in range(3, 31)]
                assert all(row[height] == piece.height for piece in pieces.pieces for row in piece.rows)
                module = compiled.core().module
                assert module is None or all(isinstance(piece.rows, module.Rows) for piece in pieces.pieces)
            assert not (await snapshot.pieces(LOGS, scope=2, low=0, high=99)).pieces

    async def test_rows_are_found_by_many_keys_at_once(self, store: Store) -> None:
        await grown(store, 40)
        async with store.snapshot() as snapshot:
            rows = await snapshot.select(TRANSACTIONS, scope=1)
            keys = [row[1:3] for row in rows]
            wanted = [keys[41], keys[3], (99, 0), keys[40], (3, 99)]
            found = await snapshot.lookup(TRANSACTIONS, scope=1, keys=wanted)
            assert found == [rows[3], rows[40], rows[41]], "in key order, whole"
            named = await snapshot.lookup(TRANSACTIONS, scope=1, keys=wanted, columns=("hash", "tx_index"))
            places = [TRANSACTIONS.index(name) for name in ("hash", "tx_index")]
            assert named == [tuple(row[place] for place in places) for row in found]
            assert await snapshot.lookup(TRANSACTIONS, scope=1, keys=keys) == rows
            assert await snapshot.lookup(TRANSACTIONS, scope=2, keys=keys) == []
            assert await snapshot.lookup(TRANSACTIONS, scope=1, keys=[]) == []
            blocks = await snapshot.lookup(BLOCKS, scope=1, keys=[(7,), (3,)], columns=("number",))
            assert blocks == [(3,), (7,)]

    async def test_no_reader_ever_sees_a_half_state(self, opener: Opener) -> None:
        store, other = await opener(), await opener(readonly=True)
        chain = await grown(store, 1)
        done = asyncio.Event()

        async def write() -> None:
            rng = random.Random(3)
            for _ in range(60):
                depth = rng.choice([0, 0, 1, 5])
                keep = max(chain.head - depth, 0) if depth else None
                await store.commit(chain.extend(rng.randint(1, 6), keep=keep))
            done.set()

        async def read(reader: Store) -> int:
            looks = 0
            while not done.is_set():
                async with reader.snapshot() as snapshot:
                    checkpoint = await snapshot.checkpoint(SOURCE)
                    blocks = await snapshot.select(BLOCKS, scope=1)
                    counts = [await snapshot.count(table) for table in (TRANSACTIONS, LOGS, WITHDRAWALS)]
                numbers = [row[BLOCKS.index("number")] for row in blocks]
                assert checkpoint is not None
                assert numbers == list(range(int(checkpoint.position or -1) + 1))
                assert counts == [2 * len(blocks), 4 * len(blocks), len(blocks)]
                looks += 1
            return looks

        _, *looks = await asyncio.gather(write(), read(store), read(other), read(other))
        assert all(looks)

    async def test_a_snapshot_ends_when_its_reader_is_cancelled(self, store: Store) -> None:
        await grown(store, 1)
        entered = asyncio.Event()

        async def hold() -> None:
            async with store.snapshot():
                entered.set()
                await asyncio.Event().wait()

        for _ in range(10):  # more than there are readers
            entered.clear()
            task = asyncio.create_task(hold())
            await entered.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert await heights(store) == [0]

    async def test_many_snapshots_at_once_wait_their_turn(self, store: Store) -> None:
        await grown(store, 2)
        assert await asyncio.gather(*(heights(store) for _ in range(20))) == [[0, 1]] * 20


ENDLESS = Table("endless", (Column("number", Kind.INT),), key=("number",))


async def with_endless_table(url: str) -> None:
    """Give the database a table of which no read ever ends."""
    if url.startswith("sqlite"):
        connection = apsw.Connection(url.removeprefix("sqlite:///"))
        connection.execute(
            "CREATE VIEW endless AS WITH RECURSIVE n (number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM n)"
            " SELECT number FROM n"
        )
        connection.close()
    else:
        admin = await asyncpg.connect(url)
        await admin.execute("CREATE VIEW endless AS SELECT 1::bigint AS number FROM pg_sleep(3600)")
        await admin.close()


class TestRead:
    """`Store.read`, which is a snapshot for one function."""

    async def test_a_read_gives_what_the_function_makes_of_one_state(self, store: Store) -> None:
        await grown(store, 3)

        async def look(snapshot: Snapshot) -> tuple[object, ...]:
            checkpoint = await snapshot.checkpoint(SOURCE)
            rows = await snapshot.select(BLOCKS, columns=("number",))
            scanned = [row async for rows in snapshot.scan(BLOCKS) for row in rows]
            assert checkpoint is not None
            return checkpoint.commit_seq > 0, [row[0] for row in rows], len(scanned), await snapshot.count(BLOCKS)

        assert await store.read(look) == (True, [0, 1, 2], 3, 3)

    async def test_a_read_sees_what_was_committed_before(self, store: Store) -> None:
        async def counted(snapshot: Snapshot) -> int:
            return await snapshot.count(BLOCKS)

        assert await store.read(counted) == 0
        await grown(store, 2)
        assert await asyncio.gather(*(store.read(counted) for _ in range(20))) == [2] * 20

    async def test_an_error_of_the_function_ends_a_read(self, opener: Opener) -> None:
        store = await opener(readers=1)
        await grown(store, 1)

        async def fail(snapshot: Snapshot) -> None:
            await snapshot.count(BLOCKS)
            raise LookupError("not there")

        for _ in range(3):
            with pytest.raises(LookupError, match="not there"):
                await store.read(fail)
        assert await heights(store) == [0]

    async def test_a_read_ends_within_its_time_and_when_nobody_waits(self, url: str, opener: Opener) -> None:
        await grown(await opener(), 2)
        await with_endless_table(url)
        store = await opener(readonly=True, statement_timeout_s=0.2, readers=1)
        unlimited = await opener(readonly=True, readers=1)

        async def endless(snapshot: Snapshot) -> None:
            await snapshot.count(BLOCKS)
            await snapshot.select(ENDLESS)

        for delay_s in (0.0, 0.01, 0.1):
            with pytest.raises(TimedOut, match="ask for less"):
                await store.read(endless)
            task = asyncio.create_task(unlimited.read(endless))
            await asyncio.sleep(delay_s)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            async with asyncio.timeout(HANGS_S):
                assert await heights(unlimited) == [0, 1]
                assert await heights_in_time(store) == [0, 1]

    async def test_the_function_may_answer_for_a_read_that_took_too_long(self, url: str, opener: Opener) -> None:
        await grown(await opener(), 2)
        await with_endless_table(url)
        store = await opener(readonly=True, statement_timeout_s=0.05, readers=1)

        async def excused(snapshot: Snapshot) -> str:
            try:
                await snapshot.select(ENDLESS)
            except TimedOut:
                return "half of it, then"
            return "all of it"

        assert await in_time(lambda: store.read(excused)) == "half of it, then"


async def in_time(read: Callable[[], Coroutine[Any, Any, Answer]]) -> Answer:
    """What a short read gives, under a limit that is near: a machine that stands still may need more for that too."""
    async with asyncio.timeout(HANGS_S):
        while True:
            with contextlib.suppress(TimedOut):
                return await read()


async def heights_in_time(store: Store) -> list[Value]:
    return await in_time(lambda: heights(store))


class TestTimeLimit:
    async def read(self, how: str, snapshot: Snapshot) -> None:
        if how == "select":
            await snapshot.select(ENDLESS, limit=1)
        elif how == "count":
            await snapshot.count(ENDLESS)
        else:
            async for _ in snapshot.scan(ENDLESS):
                pass

    @pytest.mark.parametrize("how", ["select", "count", "scan"])
    async def test_a_read_that_takes_longer_is_ended(self, url: str, opener: Opener, how: str) -> None:
        await grown(await opener(), 2)
        await with_endless_table(url)
        store = await opener(readonly=True, statement_timeout_s=0.05, readers=1)

        async def ended() -> None:
            async with store.snapshot() as snapshot:
                with pytest.raises(TimedOut, match="ask for less"):
                    await self.read(how, snapshot)

        for _ in range(3):
            await in_time(ended)
            assert await heights_in_time(store) == [0, 1]  # by the same reader: there is one

    async def test_a_read_within_its_time_is_not_ended(self, opener: Opener) -> None:
        await grown(await opener(), 2)
        store = await opener(readonly=True, statement_timeout_s=60.0)
        assert await heights(store) == [0, 1]

    async def test_a_cancelled_caller_leaves_no_read_behind(self, url: str, opener: Opener) -> None:
        await grown(await opener(), 2)
        await with_endless_table(url)
        store = await opener(readonly=True, readers=1)

        async def endless() -> None:
            async with store.snapshot() as snapshot:
                await snapshot.select(ENDLESS)

        for delay_s in (0.0, 0.01, 0.1):  # before the statement has begun, about then, and within it
            task = asyncio.create_task(endless())
            await asyncio.sleep(delay_s)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            async with asyncio.timeout(HANGS_S):
                assert await heights(store) == [0, 1]

    async def test_as_many_snapshots_at_once_as_there_are_readers(self, opener: Opener) -> None:
        store = await opener(readers=2)
        await grown(store, 1)
        async with store.snapshot(), store.snapshot():
            third = asyncio.create_task(heights(store))
            assert await asyncio.wait({third}, timeout=0.05) == (set(), {third})
        assert await third == [0]

    @pytest.mark.parametrize("wrong", [{"statement_timeout_s": 0.0}, {"readers": 0}])
    async def test_read_limits_that_cannot_be_kept_are_refused(self, url: str, wrong: dict[str, float]) -> None:
        with pytest.raises(ValueError, match="cannot"):
            await open_store(url, SystemRuntime(), **wrong)  # type: ignore[arg-type]


A, B = (bytes([n]) * 20 for n in (0xA, 0xB))
T = b"t" * 32


async def searchable(store: Store) -> None:
    """Two chains of 6 blocks with 3 logs each; every other log by A, the rest by B; topic0 T or none."""
    stored = await store.acquire(SOURCE)
    logs = [
        make_row(
            LOGS,
            RNG,
            chain_id=chain_id,
            block_number=number,
            log_index=index,
            address=A if (number + index) % 2 else B,
            topic0=T if index else None,
            tx_index=number,
        )
        for chain_id in (1, 2)
        for number in range(6)
        for index in range(3)
    ]
    blocks = [row for n in range(6) for row in block_rows(n, RNG)[BLOCKS.name]]
    changes = [make_row(CHANGES, RNG, chain_id=c, seq=s) for c in (1, 2) for s in range(1, 5)]
    RNG.shuffle(logs)  # the order of arrival has no say in the order of answers
    tables = (Rows(LOGS, logs), Rows(BLOCKS, blocks), Rows(CHANGES, changes))
    await store.commit(Batch(stored, stored.advanced("x"), add=tables))


class TestSelect:
    # where and range                                          the keys (chain, block, log) that come
    cases: tuple[tuple[dict[str, object], list[tuple[int, ...]]], ...] = (
        ({}, [(c, n, i) for c in (1, 2) for n in range(6) for i in range(3)]),
        ({"scope": 2, "low": 5}, [(2, 5, 0), (2, 5, 1), (2, 5, 2)]),
        ({"scope": 1, "low": 2, "high": 2}, [(1, 2, 0), (1, 2, 1), (1, 2, 2)]),
        ({"high": 0, "limit": 4}, [(1, 0, 0), (1, 0, 1), (1, 0, 2), (2, 0, 0)]),
        ({"scope": 1, "high": 1, "where": {"address": A}}, [(1, 0, 1), (1, 1, 0), (1, 1, 2)]),
        ({"scope": 1, "high": 0, "where": {"address": [A, B]}}, [(1, 0, 0), (1, 0, 1), (1, 0, 2)]),
        ({"scope": 1, "high": 1, "where": {"topic0": None}}, [(1, 0, 0), (1, 1, 0)]),
        ({"scope": 1, "high": 0, "where": {"topic0": [None, T]}}, [(1, 0, 0), (1, 0, 1), (1, 0, 2)]),
        ({"scope": 1, "where": {"topic0": T, "address": B, "tx_index": [0, 1]}}, [(1, 0, 2), (1, 1, 1)]),
        ({"scope": 1, "where": {"address": []}}, []),
        ({"scope": 3}, []),
        ({"scope": 1, "low": 4, "high": 3}, []),
        ({"scope": 1, "after": (1, 4, 1)}, [(1, 4, 2), (1, 5, 0), (1, 5, 1), (1, 5, 2)]),
        ({"scope": 1, "after": (1, 1, 1), "limit": 2}, [(1, 1, 2), (1, 2, 0)]),
        ({"scope": 1, "after": (1, 5, 2)}, []),
        ({"after": (1, 5, 1), "limit": 2}, [(1, 5, 2), (2, 0, 0)]),
        ({"scope": 1, "after": (1, 1, 0), "high": 1}, [(1, 1, 1), (1, 1, 2)]),
        ({"scope": 1, "after": (1, 0, 0), "low": 5}, [(1, 5, 0), (1, 5, 1), (1, 5, 2)]),
        ({"scope": 1, "descending": True, "limit": 2}, [(1, 5, 2), (1, 5, 1)]),
        ({"scope": 1, "descending": True, "after": (1, 1, 0)}, [(1, 0, 2), (1, 0, 1), (1, 0, 0)]),
        ({"descending": True, "after": (2, 0, 1), "limit": 2}, [(2, 0, 0), (1, 5, 2)]),
        ({"scope": 1, "where": {"address": A}, "after": (1, 4, 1), "limit": 2}, [(1, 5, 0), (1, 5, 2)]),
        ({"limit": 0}, []),
    )

    async def test_rows_come_whole_and_in_key_order(self, store: Store) -> None:
        await searchable(store)
        async with store.snapshot() as snapshot:
            for arguments, expected in self.cases:
                rows = await snapshot.select(LOGS, **arguments)  # type: ignore[arg-type]
                assert [row[:3] for row in rows] == expected, arguments
                assert all(len(row) == len(LOGS.columns) for row in rows)

    async def test_without_a_height_the_range_is_over_the_last_key_column(self, store: Store) -> None:
        await searchable(store)
        async with store.snapshot() as snapshot:
            rows = await snapshot.select(CHANGES, scope=2, low=2, high=3)
            assert [row[:2] for row in rows] == [(2, 2), (2, 3)]

    async def test_a_select_gives_only_the_columns_that_are_asked_for(self, store: Store) -> None:
        await searchable(store)
        async with store.snapshot() as snapshot:
            whole = await snapshot.select(LOGS, scope=1, where={"address": A})
            some = await snapshot.select(LOGS, scope=1, where={"address": A}, columns=("topic0", "log_index"))
        position = LOGS.index("topic0")
        assert some == [(row[position], row[2]) for row in whole]

    async def test_a_column_that_does_not_exist_is_refused(self, store: Store) -> None:
        async with store.snapshot() as snapshot:
            with pytest.raises(ValueError, match="has no column"):
                await snapshot.select(BLOCKS, where={'hash" IS NULL --': 1})
            with pytest.raises(ValueError, match="has no column"):
                await snapshot.select(BLOCKS, columns=("hash", '1" FROM blocks --'))

    async def test_256_bit_integers_and_text_can_be_asked_for(self, store: Store) -> None:
        chain = await grown(store, 0)
        row = make_row(TRANSACTIONS, RNG, value=uint256(2**255 + 1), extra="x'y")
        await store.commit(_add(chain, TRANSACTIONS, row))
        wanted: list[dict[str, Condition]] = [{"value": uint256(2**255 + 1)}, {"extra": ["x'y", "z"]}]
        async with store.snapshot() as snapshot:
            for where in wanted:
                assert await snapshot.select(TRANSACTIONS, where=where) == [row]

    async def test_a_count_is_of_the_rows_that_a_select_gives(self, store: Store) -> None:
        await searchable(store)
        async with store.snapshot() as snapshot:
            assert await snapshot.count(LOGS) == 36
            assert await snapshot.count(LOGS, scope=2) == 18
            assert await snapshot.count(LOGS, scope=3) == 0
            assert await snapshot.count(LOGS, scope=2, low=1, high=2) == 6

    async def test_a_scan_gives_the_same_rows_in_lists(self, store: Store) -> None:
        chain = await grown(store, 0)
        logs = [make_row(LOGS, RNG, chain_id=1, block_number=i // 7, log_index=i % 7) for i in range(2 * SCAN_ROWS + 1)]
        await store.commit(_add(chain, LOGS, *logs))
        async with store.snapshot() as snapshot:
            lists = [rows async for rows in snapshot.scan(LOGS)]
            part = [rows async for rows in snapshot.scan(LOGS, scope=1, low=3, high=4)]
            async with aclosing(snapshot.scan(LOGS, scope=2)) as nothing:  # type: ignore[type-var]
                assert [rows async for rows in nothing] == []
        assert [len(rows) for rows in lists] == [SCAN_ROWS, SCAN_ROWS, 1]
        assert [row for rows in lists for row in rows] == logs
        assert part == [logs[21:35]]


class TestValues:
    @pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
    async def test_values_come_back_as_they_went_in(self, store: Store, table: Table) -> None:
        chain = await grown(store, 0)
        zero: dict[Kind, Value] = {Kind.TEXT: "", Kind.BYTES: b"", Kind.UINT256: uint256(0)}
        zero |= dict.fromkeys((Kind.INT, Kind.UINT64, Kind.NUMBER), 0)
        rows = [
            extreme_row(table),
            tuple([zero[column.kind] for column in table.columns]),
            tuple([None if c.nullable else zero[c.kind] for c in table.columns]),
            make_row(table, RNG),
        ]
        if table is BLOCKS:
            rows[2] = (*rows[2][:2], b"another hash", *rows[2][3:])
        another: dict[Kind, Value] = {Kind.INT: 7, Kind.TEXT: "seven"}
        key_end = table.index(table.key[-1])
        rows[2] = (*rows[2][:key_end], another[table.columns[key_end].kind], *rows[2][key_end + 1 :])
        if table is CONTRACTS:
            rows[2] = (7, "seven", *rows[2][2:])  # a name is one contract in the whole store
        await store.commit(_add(chain, table, *rows))
        assert sorted(await rows_of(store, table), key=repr) == sorted(rows, key=repr)

    @pytest.mark.parametrize("value", [0, 1, 9999, 10**4, 10**8 - 1, 10**8, 2**64, 10**40, 2**255, 2**256 - 1])
    async def test_256_bit_integers_are_exact(self, store: Store, value: int) -> None:
        chain = await grown(store, 0)
        row = make_row(TRANSACTIONS, RNG, value=uint256(value), gas_price=uint256(value))
        await store.commit(_add(chain, TRANSACTIONS, row))
        assert await rows_of(store, TRANSACTIONS) == [row]

    @pytest.mark.parametrize("value", [0, 10**8, INT_MAX, INT_MAX + 1, 10**19, UINT64_MAX])
    async def test_integers_of_64_bits_without_a_sign_are_exact(self, store: Store, value: int) -> None:
        chain = await grown(store, 0)
        row = make_row(TRANSACTIONS, RNG, nonce=value, gas=value, cumulative_gas_used=value)
        await store.commit(_add(chain, TRANSACTIONS, row))
        assert await rows_of(store, TRANSACTIONS) == [row]
        async with store.snapshot() as snapshot:
            assert await snapshot.select(TRANSACTIONS, where={"gas": value}, columns=("gas", "tx_index")) == [
                (value, row[TRANSACTIONS.index("tx_index")])
            ]

    async def test_a_block_with_a_row_beyond_64_bits_keeps_its_other_rows(self, store: Store) -> None:
        """SQLite takes them one by one, between rows that it takes as they are."""
        chain = await grown(store, 0)
        nonces = [1, 2**64 - 1, 2**64 - 2, 3, 2**63]
        rows = [
            make_row(TRANSACTIONS, RNG, chain_id=1, block_number=1, tx_index=i, nonce=n) for i, n in enumerate(nonces)
        ]
        await store.commit(_add(chain, TRANSACTIONS, *rows))
        assert await rows_of(store, TRANSACTIONS) == rows

    async def test_numbers_sort_as_numbers_at_any_size(self, store: Store) -> None:
        prices = [5, 7, INT_MAX, INT_MAX + 1, 2**64, 10**20, 10**40, NUMBER_MAX - 1]
        chain = await grown(store, 0)
        rows = [
            make_row(TRADES, RNG, source="m", symbol="s", time_us=1, ordinal=1, price=price, trade_id=None)
            for price in prices
        ]
        await store.commit(_add(chain, TRADES, *reversed(rows)))
        async with store.snapshot() as snapshot:
            assert await snapshot.select(TRADES, scope="m") == rows
            assert await snapshot.select(TRADES, scope="m", after=key_of(TRADES, rows[4])) == rows[5:]
            assert (
                await snapshot.select(TRADES, scope="m", after=key_of(TRADES, rows[4]), descending=True) == rows[3::-1]
            )

    @pytest.mark.parametrize(("table", "name"), [(LOGS, "tx_index"), (TRADES, "trade_id")])
    async def test_other_columns_take_64_bits_with_a_sign(self, store: Store, table: Table, name: str) -> None:
        chain = await grown(store, 0)
        rows = [make_row(table, RNG, **{name: value}) for value in (1, 2**63)]
        stored = chain.checkpoint
        with pytest.raises((ValueError, OverflowError)):
            await store.commit(_add(chain, table, *rows))
        chain.checkpoint = stored
        assert await rows_of(store, table) == []

    async def test_text_keys_sort_by_their_bytes(self, store: Store) -> None:
        chain = await grown(store, 0)
        names = ["b", "a", "B", "\u00e4", "a-b", "aa", "", "\U0001f30a", "\uffee"]
        await store.commit(_add(chain, GAPS, *(make_row(GAPS, RNG, source=name, scope="") for name in names)))
        assert [row[0] for row in await rows_of(store, GAPS)] == sorted(names, key=str.encode)


# Of the chain below, whatever it is stored in: a change of this value is a change of the digest's meaning.
DIGEST = "a7d3d7b21297285349d5efd3a017f5a2cce0c920eb65986c875b73a33ecb38c4"


class TestDigest:
    async def test_the_digest_is_the_same_on_every_backend_and_however_the_blocks_came(self, store: Store) -> None:
        chain = Chain(await store.acquire(SOURCE), seed=99)
        for blocks, keep in ((3, None), (40, None), (7, 31), (1, None)):
            await store.commit(chain.extend(blocks, keep=keep))
        stored = await digests(store)
        together = " ".join(stored[table.name] for table in (CHAINS, BLOCKS, TRANSACTIONS, LOGS, WITHDRAWALS))
        assert hashlib.sha256(together.encode()).hexdigest() == DIGEST


FIRST_CHANGE = (1, 1, "apply", 1, b"\x01" * 32, b"\x00" * 32)


def _fill_first_schema(url: str) -> None:
    """Rows in the columns that the first schema has, by plain SQL: today's code knows columns that it lacks."""
    with Sql(url) as database:
        database.fetch(f"INSERT INTO checkpoints VALUES ('{SOURCE}', 4, 9, '{{\"head\":1}}')")
        first, parent = (value.hex() for value in FIRST_CHANGE[-2:])
        literal = "x'{}'" if url.startswith("sqlite:") else "'\\x{}'::bytea"
        hashes = f"{literal.format(first)}, {literal.format(parent)}"
        database.fetch(f"INSERT INTO changes VALUES (1, 1, 'apply', 1, {hashes})")


class TestOpening:
    async def test_migrations_are_applied_once(self, opener: Opener) -> None:
        first, second = await opener(), await opener()
        assert await first.migrate() == STEPS
        assert await second.migrate() == []
        assert (await second.info()).schema_version == STEPS[-1]

    async def test_migrations_of_a_try_that_was_not_the_last_are_told_too(
        self, url: str, opener: Opener, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tries = 0

        def busy_once(*args: Any, **words: Any) -> Any:
            nonlocal tries
            tries += 1
            if tries == 2:  # the schema is there by then, or the first step towards it
                raise Busy("somebody else has the lock")
            return pending(*args, **words)

        monkeypatch.setattr("tidelog.store.migrations.pending", busy_once)
        store = await opener()
        assert tries == (3 if url.startswith("sqlite") else len(STEPS) + 2)
        assert await store.migrate() == STEPS

    async def test_an_older_store_is_brought_up_to_date_and_keeps_its_rows(
        self, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patch:
            patch.setattr("tidelog.store.migrations.shipped", lambda package: shipped(package)[:1])
            older = await open_store(url, SystemRuntime())
            await older.migrate()
            await older.close()
        await asyncio.to_thread(_fill_first_schema, url)
        store = await open_store(url, SystemRuntime())
        assert await store.migrate() == STEPS[1:]
        checkpoint = await store.acquire(SOURCE)
        assert (checkpoint.epoch, checkpoint.commit_seq, checkpoint.position) == (5, 9, '{"head":1}')
        (change,) = await rows_of(store, CHANGES)
        assert change[: len(FIRST_CHANGE)] == FIRST_CHANGE
        assert change[CHANGES.index("writer")] == 0  # which says that it was written before there were such numbers
        assert await rows_of(store, TRADES) == []
        await store.close()

    async def test_many_may_open_a_fresh_store_at_once(self, url: str, opener: Opener) -> None:
        program = (
            "import asyncio, sys\n"
            "from tidelog.runtime import SystemRuntime\n"
            "from tidelog.store import open_store\n"
            "async def main():\n"
            "    store = await open_store(sys.argv[1], SystemRuntime())\n"
            "    await store.acquire('chain:1')\n"
            "    await store.close()\n"
            "asyncio.run(main())"
        )
        children = [
            subprocess.Popen([sys.executable, "-c", program, url], stderr=subprocess.PIPE, text=True)  # noqa: ASYNC220
            for _ in range(2)
        ]
        try:
            stores = await asyncio.gather(*(opener() for _ in range(3)))
        finally:  # whatever the stores did, nothing of a child is left to the next test
            said = [(await asyncio.to_thread(child.communicate))[1] for child in children]
        assert [child.returncode for child in children] == [0, 0], said
        applied = [number for store in stores for number in await store.migrate()]
        assert len(set(applied)) == len(applied)  # each once, by one of the five, whoever it was
        assert {*applied} <= {*STEPS}
        stored = await stores[0].acquire("chain:1")
        assert stored == Checkpoint("chain:1", 3, 0, None, stored.writer)

    async def test_what_was_committed_is_there_after_reopening(self, url: str) -> None:
        store = await open_store(url, SystemRuntime())
        chain = await grown(store, 3)
        before = await state(store)
        await store.close()
        for readonly in (False, True):
            again = await open_store(url, SystemRuntime(), readonly=readonly)
            assert await state(again) == before
            await again.close()
        assert chain.head == 2

    async def test_read_only_stores_refuse_to_write(self, store: Store, opener: Opener) -> None:
        chain = await grown(store, 1)
        reader = await opener(readonly=True)
        assert await heights(reader) == [0]
        for attempt in (reader.acquire(SOURCE), reader.migrate(), reader.commit(chain.extend(1))):
            with pytest.raises(ConfigError, match="read only"):
                await attempt

    async def test_a_store_says_what_it_is(self, store: Store, url: str) -> None:
        info = await store.info()
        assert info.backend == url.partition(":")[0]
        assert info.version[0].isdigit()
        assert info.size_bytes > 0

    async def test_a_sound_store_has_no_complaints(self, store: Store) -> None:
        await grown(store, 5)
        assert await store.check_integrity() == []

    async def test_closing_twice_is_fine(self, opener: Opener) -> None:
        store = await opener()
        await grown(store, 1)
        assert await heights(store) == [0]
        await store.close()
        await store.close()
