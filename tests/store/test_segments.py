"""Segments: where rows go, and that the bounds follow from the blocks alone, on both backends."""

import asyncio
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

import pytest
import pytest_asyncio

from tests.fixtures import schema3
from tests.store.rows import SOURCE, Chain, block_rows
from tests.system.sql import Sql
from tidelog.batch import Batch, Piece, Pieces, Rollback, Rows
from tidelog.chain.rows.tables import BLOCK_TABLES, LOGS, TRANSACTIONS
from tidelog.runtime import SystemRuntime
from tidelog.store import Store, open_store
from tidelog.store.limits import PostgresLimits, SqliteLimits, StoreLimits
from tidelog.store.postgres import segments as postgres_segments
from tidelog.store.postgres.partitions import needed_partitions
from tidelog.store.segments import REMEDY, Segment, assigned, heights_of, parts, shortened
from tidelog.store.sqlite import segments as sqlite_segments

ROOT = Path(__file__).parents[2]
A, B, C = Segment(0, 10, 19, 100), Segment(1, 20, 29, 100), Segment(2, 30, 39, 50)


@pytest.mark.parametrize(
    ("near", "heights", "places", "changed"),
    [
        # the first block of a chain begins the first segment, wherever that is
        ([], {7: 60, 8: 60, 9: 60}, {7: 0, 8: 0, 9: 1}, [Segment(0, 7, 8, 120), Segment(1, 9, 9, 60)]),
        # the newest one grows until it is full, and is never cut within a block
        ([C], {40: 49, 41: 400, 42: 1}, {40: 2, 41: 2, 42: 3}, [Segment(2, 30, 41, 499), Segment(3, 42, 42, 1)]),
        # a full one takes back the blocks that it had: a repair moves no bounds
        ([A, B], {15: 5}, {15: 0}, [Segment(0, 10, 19, 105)]),
        ([A, B], {19: 5}, {19: 0}, [Segment(0, 10, 19, 105)]),
        ([B], {29: 5}, {29: 1}, [Segment(1, 20, 29, 105)]),
        # blocks below the lowest: it grows downward, then another begins, with the next lower number
        ([C], {29: 40, 28: 40, 27: 40}, {29: 2, 28: 2, 27: 1}, [Segment(2, 28, 39, 130), Segment(1, 27, 27, 40)]),
    ],
)
def test_rows_go_to_segments(
    near: Sequence[Segment], heights: Mapping[int, int], places: Mapping[int, int], changed: Sequence[Segment]
) -> None:
    assert assigned(near, heights, 100) == (places, changed)


@pytest.mark.parametrize(
    ("gone", "ends", "highest", "left"),
    [
        (30, True, 16, Segment(0, 10, 16, 70)),
        (100, True, None, None),
        (30, False, 16, Segment(0, 10, 19, 70)),
        (100, False, None, Segment(0, 10, 19, 0)),  # a repair puts them back
    ],
)
def test_a_rollback_leaves_what_is_below(gone: int, ends: bool, highest: int | None, left: Segment | None) -> None:
    assert shortened(A, gone=gone, ends=ends, highest=highest) == left


def test_rows_come_in_parts_of_one_segment() -> None:
    rng = random.Random(1)
    rows = Rows(LOGS, [row for number in range(4) for row in block_rows(number, rng)[LOGS.name]])
    places = {(1, 0): 0, (1, 1): 0, (1, 2): 1, (1, 3): 1}
    assert [(number, [row[1] for row in part]) for number, part in parts(rows, places)] == [
        (0, [0] * 4 + [1] * 4),
        (1, [2] * 4 + [3] * 4),
    ]


def test_rows_given_block_by_block_go_where_they_go_as_one_list() -> None:
    rng = random.Random(1)
    blocks = [(number, block_rows(number, rng)[LOGS.name]) for number in range(5)]
    stacked = Rows(LOGS, Pieces([Piece(1, number, rows) for number, rows in blocks]))
    flat = Rows(LOGS, [row for _, rows in blocks for row in rows])
    assert heights_of([stacked]) == heights_of([flat])
    assert (list(stacked.rows), len(stacked.rows)) == (flat.rows, len(flat.rows))
    places = {(1, number): number // 2 for number in range(5)}
    assert [(number, list(part)) for number, part in parts(stacked, places)] == [
        (number, list(part)) for number, part in parts(flat, places)
    ]
    assert needed_partitions([stacked]) == needed_partitions([flat])


def test_a_row_of_no_height_fits_no_table() -> None:
    row = (1, "high", *block_rows(0, random.Random(1))[LOGS.name][0][2:])
    with pytest.raises(ValueError, match="does not fit logs"):
        heights_of([Rows(LOGS, [row])])


def run_sql(url: str, *statements: str) -> None:
    with Sql(url) as database:
        for statement in statements:
            database.fetch(statement)


def bounds(url: str) -> list[tuple[int, ...]]:
    with Sql(url) as database:
        known = database.fetch("SELECT scope, segment, first, last, rows FROM segments ORDER BY scope, first")
    return [tuple(row) for row in known]


@pytest_asyncio.fixture
async def small(url: str) -> AsyncIterator[Store]:
    """A store with segments of 15 rows: three blocks of two transactions and four logs make one."""
    limits = StoreLimits(SqliteLimits(segment_rows=15), PostgresLimits(segment_rows=15))
    store = await open_store(url, SystemRuntime(), limits=limits)
    yield store
    await store.close()


async def test_the_same_blocks_make_the_same_segments(small: Store, url: str) -> None:
    """In one commit, block by block, through reorgs within and across segments, and after repairs."""
    chains = [Chain(await small.acquire(f"{SOURCE}{n}"), chain_id=n) for n in range(4)]
    await small.commit(chains[0].extend(10))
    for _ in range(10):
        await small.commit(chains[1].extend(1))
    for count, keep in ((9, None), (3, 6), (5, 1), (3, 6), (0, 6), (3, None)):
        await small.commit(chains[2].extend(count, keep=keep))
    await small.commit(chains[3].extend(10))
    for number in (0, 4, 5, 9):
        held = chains[3].checkpoint
        rows = block_rows(number, random.Random(number), chain_id=3)
        repair = Batch(
            held,
            held.advanced("repaired"),
            rollback=Rollback(BLOCK_TABLES, 3, number - 1, number, counted=6 if number % 2 else None),
            add=(Rows(TRANSACTIONS, rows[TRANSACTIONS.name]), Rows(LOGS, rows[LOGS.name])),
        )
        await small.commit(repair)
        chains[3].checkpoint = repair.after
    found = await asyncio.to_thread(bounds, url)
    assert await small.check_integrity() == []
    once = [(0, 0, 2, 18), (1, 3, 5, 18), (2, 6, 8, 18), (3, 9, 9, 6)]
    assert found == [(scope, *segment) for scope in range(4) for segment in once]
    await small.commit(chains[0].extend(0, keep=-1))
    assert [row for row in await asyncio.to_thread(bounds, url) if row[0] == 0] == []


async def test_a_repair_counts_no_whole_segment(small: Store, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that an old store holds is one segment, and a commit that counts it takes minutes."""
    chain = Chain(await small.acquire(SOURCE))
    await small.commit(chain.extend(3))
    before, held = await asyncio.to_thread(bounds, url), chain.checkpoint
    await asyncio.to_thread(run_sql, url, "DELETE FROM logs WHERE block_number = 1")
    assert await small.check_integrity() == [f"segment 0 of chain 1 counts 18 rows and has 14: {REMEDY}"]
    for backend in (postgres_segments, sqlite_segments):
        monkeypatch.delattr(backend, "_count")
    rows = block_rows(1, random.Random(1))
    add = (Rows(TRANSACTIONS, rows[TRANSACTIONS.name]), Rows(LOGS, rows[LOGS.name]))
    rollback = Rollback((LOGS, TRANSACTIONS), 1, 0, 1, counted=6)
    await small.commit(Batch(held, held.advanced("repaired"), rollback=rollback, add=add))
    assert await small.check_integrity() == []
    assert await asyncio.to_thread(bounds, url) == before


async def test_blocks_below_the_first_make_segments_downward(small: Store, url: str) -> None:
    held = await small.acquire(SOURCE)
    for first, count in ((100, 2), (95, 5), (94, 1), (90, 4)):
        blocks = [block_rows(number, random.Random(number)) for number in range(first, first + count)]
        add = [Rows(table, [row for block in blocks for row in block[table.name]]) for table in (TRANSACTIONS, LOGS)]
        batch = Batch(held, held.advanced(str(first)), add=tuple(add))
        await small.commit(batch)
        held = batch.after
    assert await asyncio.to_thread(bounds, url) == [
        (1, -3, 90, 92, 18),
        (1, -2, 93, 95, 18),
        (1, -1, 96, 98, 18),
        (1, 0, 99, 101, 18),
    ]


@pytest.mark.parametrize("descending", [False, True])
async def test_a_search_finds_the_rows_of_all_segments_in_order(small: Store, descending: bool) -> None:
    chain = Chain(await small.acquire(SOURCE))
    await small.commit(chain.extend(12))
    async with small.snapshot() as snapshot:
        logs = await snapshot.select(LOGS, descending=descending)
        for address in {row[LOGS.index("address")] for row in logs}:
            wanted = [row for row in logs if row[LOGS.index("address")] == address]
            found, after = [], None
            while rows := await snapshot.select(
                *(LOGS,), scope=1, where={"address": address}, after=after, descending=descending, limit=2
            ):
                found += rows
                after = rows[-1][:3]
            assert found == wanted
            within = await snapshot.select(
                LOGS, scope=1, low=3, high=7, where={"address": address}, descending=descending
            )
            assert within == [row for row in wanted if 3 <= int(str(row[1])) <= 7]


async def test_a_row_in_a_wrong_segment_is_told(small: Store, url: str) -> None:
    chain = Chain(await small.acquire(SOURCE))
    await small.commit(chain.extend(8))

    await asyncio.to_thread(run_sql, url, "UPDATE logs SET segment = 0 WHERE block_number = 7")
    assert await small.check_integrity() == [
        "4 rows of logs are not in the segment of their block: searches by what they hold may miss them: "
        'docs/reliability.md has the SQL that sets it right, under "Segments"'
    ]


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        ("UPDATE segments SET rows = 17 WHERE segment = 1", "segment 1 of chain 1 counts 17 rows and has 18: "),
        ("UPDATE segments SET last = 4 WHERE segment = 1", "2 rows of transactions are not in the segment of their"),
        ("DELETE FROM segments WHERE segment = 0", "6 rows of transactions are not in the segment of their block: "),
        ("UPDATE transactions SET segment = 9 WHERE block_number = 2", "2 rows of transactions are not in the segment"),
    ],
)
async def test_damage_of_segments_is_told_and_the_sql_of_the_docs_sets_it_right(
    small: Store, url: str, damage: str, told: str
) -> None:
    chain = Chain(await small.acquire(SOURCE))
    await small.commit(chain.extend(8))
    await asyncio.to_thread(run_sql, url, damage)
    assert (await small.check_integrity())[0].startswith(told)
    section = (ROOT / "docs/reliability.md").read_text().partition("## Segments")[2]
    remedy = section.partition("```sql")[2].partition("```")[0]
    await asyncio.to_thread(run_sql, url, *filter(str.strip, remedy.split(";")))
    assert await small.check_integrity() == []
    await small.commit(chain.extend(3))
    assert await small.check_integrity() == []
    async with small.snapshot() as snapshot:
        logs = await snapshot.select(LOGS)
        address = logs[0][LOGS.index("address")]
        found = await snapshot.select(LOGS, scope=1, where={"address": address})
    assert found == [row for row in logs if row[LOGS.index("address")] == address]


async def test_what_an_old_store_holds_is_one_segment(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    for old in (schema3.sqlite_store(tmp_path), schema3.postgres_store(request.getfixturevalue("postgres_url"))):
        store = await open_store(old, SystemRuntime())
        async with store.snapshot() as snapshot:
            logs = await snapshot.select(LOGS)
            rows = len(logs) + await snapshot.count(TRANSACTIONS)
            heights = sorted({int(str(row[1])) for row in (*logs, *await snapshot.select(TRANSACTIONS))})
            address = logs[0][LOGS.index("address")]
            found = await snapshot.select(LOGS, scope=1337, where={"address": address})
        assert await store.check_integrity() == []
        await store.close()
        assert await asyncio.to_thread(bounds, old) == [(1337, 0, heights[0], heights[-1], rows)]
        assert found == [row for row in logs if row[LOGS.index("address")] == address]
