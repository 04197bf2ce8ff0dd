"""Fingerprints: a search of many segments finds what a look at every row finds, whatever happened to the store."""

import asyncio
import random
import re
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.chain.native import needs_core
from tests.store.rows import SOURCE, Chain, block_rows
from tests.system.sql import Sql
from tidelog import compiled
from tidelog.batch import Batch, Rollback, Row, Rows, Table, Value
from tidelog.chain.rows.tables import BLOCK_TABLES, BLOCKS, LOGS, TRANSACTIONS, WITHDRAWALS
from tidelog.runtime import SystemRuntime
from tidelog.store import Snapshot, Store, open_store
from tidelog.store.fingerprints import bucketed, fingerprint, parted, parted_in_python, runs, segments_in
from tidelog.store.limits import FingerprintLimits, PostgresLimits, SqliteLimits, StoreLimits
from tidelog.store.merged import merged
from tidelog.store.postgres.reader import SESSION

# three blocks a segment; two that are near; three make a section, whose parts move all at once, or 100 with each commit
ALL_AT_ONCE = FingerprintLimits(near_segments=2, section_segments=3, parts_at_once=256)
IN_PORTIONS = FingerprintLimits(near_segments=2, section_segments=3, parts_at_once=100)
VALUES = 6  # of each column that are searched for
PARTIES = ("from_address", "to_address", "contract_address")
SEARCHED = [(table, column) for table in (TRANSACTIONS, LOGS) for column in table.segmented]


# -- the pure part -----------------------------------------------------------------------------------------


def test_fingerprints_are_four_bytes_from_another_place_of_each_column() -> None:
    value = bytes(range(32))
    found = [fingerprint(table.name, column, value) for table, column in SEARCHED]
    assert len(set(found)) == len(SEARCHED)
    assert found == [value[value.index(each) :][:4] for each in found if each is not None]


def test_zeros_before_an_address_do_not_change_its_fingerprint() -> None:
    assert fingerprint("logs", "topic0", bytes(12) + bytes(range(20))) == fingerprint(
        "logs", "topic0", bytes(range(20))
    )


@pytest.mark.parametrize(
    ("table", "column", "value"), [("blocks", "hash", bytes(32)), ("logs", "data", b"x"), ("logs", "address", None)]
)
def test_other_conditions_have_none(table: str, column: str, value: Value) -> None:
    assert fingerprint(table, column, value) is None


@pytest.mark.parametrize("section_first", [0, -70, 1_000])
def test_what_segments_have_is_found_in_their_section_and_hardly_anything_else(section_first: int) -> None:
    rng = random.Random(1)
    had = {segment: [rng.randbytes(4) for _ in range(500)] for segment in range(section_first, section_first + 100)}
    had[section_first + 7].append(b"\0\0\0\0")
    of_parts = {segment: parted(found) for segment, found in had.items()}
    buckets: dict[int, bytes] = {}
    for part in range(256):
        own = [(segment, found[part]) for segment, found in of_parts.items() if part in found]
        buckets |= bucketed(section_first, part, own)
    others = 0
    for segment, found in had.items():
        for each in found:
            given = segments_in(section_first, buckets[int.from_bytes(each[:2], "big")], each)
            assert segment in given
            others += len(given) - 1
    assert others <= 10  # of 50,000 in 2^32


@needs_core
@given(st.lists(st.binary(min_size=4, max_size=4), max_size=50))
def test_the_compiled_core_parts_them_equally(found: list[bytes]) -> None:
    module = compiled.core().module
    assert module is not None
    twice = [*found, *found[::-1]]
    assert module.parted(b"".join(twice)) == parted_in_python(b"".join(twice)) == parted(twice)
    with pytest.raises(ValueError, match="four bytes"):
        module.parted(b"".join(found) + b"x")


def test_a_match_across_two_entries_is_none() -> None:
    bucket = bytes.fromhex("00aabb01cc020003")
    assert [segments_in(0, bucket, b"xx" + bytes.fromhex(tail)) for tail in ("aabb", "01cc", "00aa")] == [
        [],
        [],
        [0xBB01],
    ]


def test_neighbours_share_a_range() -> None:
    segments = [(0, 0, 9), (1, 10, 19), (17, 170, 179), (34, 340, 349)]
    assert runs(segments) == [(0, 179), (340, 349)]
    assert runs(segments[::-1]) == [(340, 349), (0, 179)]


# -- in a store --------------------------------------------------------------------------------------------


async def opened(url: str, limits: FingerprintLimits) -> Store:
    held = StoreLimits(
        SqliteLimits(segment_rows=15, fingerprints=limits), PostgresLimits(segment_rows=15, fingerprints=limits)
    )
    return await open_store(url, SystemRuntime(), limits=held)


@pytest_asyncio.fixture
async def store(url: str) -> AsyncIterator[Store]:
    opened_store = await opened(url, IN_PORTIONS)
    yield opened_store
    await opened_store.close()


async def states(url: str) -> list[int]:
    """Of each segment what it says of its fingerprints."""

    def look() -> list[int]:
        with Sql(url) as database:
            return [state for (state,) in database.fetch("SELECT fingerprints FROM segments ORDER BY segment")]

    return await asyncio.to_thread(look)


async def whole(snapshot: Snapshot, table: Table, scope: int) -> list[Row]:
    return [row for rows in [rows async for rows in snapshot.scan(table, scope=scope)] for row in rows]


def values_of(rows: Sequence[Row], table: Table, column: str) -> list[bytes]:
    seen: dict[Any, None] = dict.fromkeys(row[table.index(column)] for row in rows)
    return [value for value in seen if value is not None]


async def assert_searches_find(store: Store, *, scope: int = 1) -> int:
    """Some values of every column, in both directions, whole and by pages; how many there were."""
    asked = 0
    async with store.snapshot() as snapshot:
        for table, column in SEARCHED:
            rows = await whole(snapshot, table, scope)
            place = table.index(column)
            for value in values_of(rows, table, column)[:: max(1, len(rows) // VALUES)]:
                wanted = [row for row in rows if row[place] == value]
                where = {column: value}
                assert await snapshot.select(table, scope=scope, where=where) == wanted
                assert await snapshot.select(table, scope=scope, where=where, descending=True) == wanted[::-1]
                assert await snapshot.select(table, scope=scope, where=where, limit=1) == wanted[:1]
                first = wanted[0]
                assert await snapshot.select(table, scope=scope, where=where, after=first[:3]) == wanted[1:]
                height = first[1]
                assert isinstance(height, int)
                at = await snapshot.select(table, scope=scope, where=where, low=height, high=height)
                assert at == [row for row in wanted if row[1] == height]
                below = await snapshot.select(table, scope=scope, where=where, high=height, descending=True, limit=5)
                assert below == [row for row in wanted[::-1] if row[1] <= height][:5]  # type: ignore[operator]
                asked += 1
            absent = bytes(31) + b"\x01"
            assert await snapshot.select(table, scope=scope, where={column: absent}) == []
        await assert_alternatives_find(snapshot, scope)
    assert await store.check_integrity() == []
    return asked


async def assert_alternatives_find(snapshot: Snapshot, scope: int) -> None:
    """Transactions of an address in any role, in both directions, and as many as there are."""
    rows = await whole(snapshot, TRANSACTIONS, scope)
    places = [TRANSACTIONS.index(name) for name in PARTIES]
    for value in values_of(rows, TRANSACTIONS, "from_address")[:: max(1, len(rows) // VALUES)]:
        wanted = [row for row in rows if value in [row[place] for place in places]]
        for descending, limit in ((False, 1), (True, 2), (False, len(wanted) + 1), (True, len(wanted) + 1)):
            found = await merged(
                snapshot,
                TRANSACTIONS,
                column=PARTIES,
                values=[value],
                scope=scope,
                limit=limit,
                descending=descending,
            )
            assert found == (wanted[::-1] if descending else wanted)[:limit]


async def test_a_chain_that_grows(store: Store, url: str) -> None:
    chain = Chain(await store.acquire(SOURCE))
    for _ in range(13):
        await store.commit(chain.extend(3))
    assert await assert_searches_find(store) > 4 * VALUES
    found = await states(url)
    assert found[0] == -1  # blocks may come below it
    assert found[-2:] == [-1, -1]
    assert max(found) >= 1


async def test_a_store_without_fingerprints_gets_them_step_by_step(url: str) -> None:
    store = await opened(url, FingerprintLimits(near_segments=1_000))
    chain = Chain(await store.acquire(SOURCE))
    await store.commit(chain.extend(39))
    await store.close()
    assert set(await states(url)) == {-1}
    store = await opened(url, ALL_AT_ONCE)
    chain.checkpoint = await store.acquire(SOURCE)
    for done in range(10):
        assert sum(state >= 0 for state in await states(url)) == done
        await assert_searches_find(store)
        await store.commit(chain.extend(1))
    await store.close()


async def repaired(store: Store, chain: Chain, number: int) -> None:
    """One block's rows are deleted and put back, as others: a repair."""
    made = block_rows(number, random.Random(f"{number} again"))
    rollback = Rollback(BLOCK_TABLES, 1, number - 1, through=number)
    add = tuple(Rows(table, made[table.name]) for table in (BLOCKS, TRANSACTIONS, LOGS, WITHDRAWALS))
    batch = Batch(chain.checkpoint, chain.checkpoint.advanced(str(chain.head)), add=add, rollback=rollback)
    await store.commit(batch)
    chain.checkpoint = batch.after


async def test_whatever_happens_to_a_chain(store: Store, url: str) -> None:
    """Reorgs within what is near, rewinds into sections and below all of them, repairs in each kind of segment."""
    rng = random.Random(1)
    chain = Chain(await store.acquire(SOURCE))
    await store.commit(chain.extend(3))
    seen: set[int] = set()
    for turn in range(32):
        action = rng.choice(("extend", "extend", "extend", "reorg", "repair", "rewind"))
        if action == "extend" or chain.head < 6:
            await store.commit(chain.extend(rng.randrange(1, 9)))
        elif action == "reorg":
            await store.commit(chain.extend(rng.randrange(1, 4), keep=chain.head - rng.randrange(1, 5)))
        elif action == "rewind":
            await store.commit(chain.extend(0, keep=rng.randrange(chain.head // 2, chain.head)))
        else:
            await repaired(store, chain, rng.randrange(chain.head + 1))
        seen.update(await states(url))
        if turn % 8 == 7:
            await assert_searches_find(store)
    assert seen >= {-1, 0, 1, 2}


async def test_a_repair_takes_a_segment_its_fingerprints_until_it_is_read_again(store: Store, url: str) -> None:
    chain = Chain(await store.acquire(SOURCE))
    for _ in range(13):
        await store.commit(chain.extend(3))
    before = await states(url)
    section = before.index(1)
    await repaired(store, chain, 3 * section)
    assert (await states(url))[section] == 0  # by the same commit: of its rows as they are now
    await assert_searches_find(store)


def below(chain: Chain, first: int) -> Batch:
    """Three blocks from this one on, below those that are there."""
    made = [block_rows(number, random.Random(number)) for number in range(first, first + 3)]
    add = tuple(
        Rows(table, [row for block in made for row in block[table.name]])
        for table in (BLOCKS, TRANSACTIONS, LOGS, WITHDRAWALS)
    )
    batch = Batch(chain.checkpoint, chain.checkpoint.advanced(str(first)), add=add)
    chain.checkpoint = batch.after
    return batch


async def test_blocks_that_are_added_below(store: Store, url: str) -> None:
    chain = Chain(await store.acquire(SOURCE))
    chain.head = 99
    await store.commit(chain.extend(9))
    for first in range(97, 50, -3):
        await store.commit(below(chain, first))
    assert max(await states(url)) >= 1
    await assert_searches_find(store)


async def test_a_segment_of_a_whole_chain_gets_none(url: str) -> None:
    """An earlier release left it, and blocks have come below: a commit would read all of its rows at once."""
    store = await opened(url, FingerprintLimits(near_segments=1_000))
    chain = Chain(await store.acquire(SOURCE))
    chain.head = 99
    await store.commit(chain.extend(60))

    def join() -> None:
        with Sql(url) as database:
            database.fetch("DELETE FROM segments")
            database.fetch("INSERT INTO segments (scope, first, last, segment, rows) VALUES (1, 100, 159, 0, 360)")
            database.fetch("UPDATE transactions SET segment = 0")
            database.fetch("UPDATE logs SET segment = 0")

    await asyncio.to_thread(join)
    await store.close()
    store = await opened(url, replace(ALL_AT_ONCE, rows_max=100))
    chain.checkpoint = await store.acquire(SOURCE)
    for first in range(97, 50, -3):
        await store.commit(below(chain, first))
        await store.commit(chain.extend(3))
    found = await states(url)
    assert found[16] == -1  # the one in the middle
    assert min(found[4:16] + found[17:-4]) >= 0
    assert await store.check_integrity() == []
    await assert_searches_find(store)
    await store.close()


async def test_chains_do_not_see_each_other(store: Store) -> None:
    chains = [Chain(await store.acquire(f"{SOURCE}{number}"), chain_id=number) for number in (1, 2)]
    for _ in range(9):
        for chain in chains:
            await store.commit(chain.extend(3))
    for scope in (1, 2):
        await assert_searches_find(store, scope=scope)


async def test_a_commit_that_dies_leaves_the_fingerprints_as_they_were(url: str) -> None:
    """The process ends with all of a step written and nothing committed."""

    class Died(BaseException):
        pass

    class Dying(SystemRuntime):
        def reached(self, point: str) -> None:
            if point == "store.written" and self.dies:
                raise Died

        dies = False

    runtime = Dying()
    limits = StoreLimits(
        SqliteLimits(segment_rows=15, fingerprints=ALL_AT_ONCE),
        PostgresLimits(segment_rows=15, fingerprints=ALL_AT_ONCE),
    )
    store = await open_store(url, runtime, limits=limits)
    chain = Chain(await store.acquire(SOURCE))
    for _ in range(13):
        await store.commit(chain.extend(3))
        before, checkpoint, head = await states(url), chain.checkpoint, chain.head
        batch = chain.extend(3)
        runtime.dies = True
        with pytest.raises(Died):
            await store.commit(batch)
        runtime.dies = False
        assert await states(url) == before
        await assert_searches_find(store)
        chain.checkpoint, chain.head = checkpoint, head
    await store.close()


@pytest.mark.each_choice
@pytest.mark.parametrize(
    "change",
    [
        "UPDATE segment_fingerprints SET fingerprints = {zeros}",
        "DELETE FROM section_fingerprints WHERE bucket % 2 = 0",
        "UPDATE segments SET fingerprints = 2 WHERE fingerprints = 1",
    ],
)
async def test_fingerprints_that_lack_a_value_are_named(store: Store, url: str, change: str) -> None:
    chain = Chain(await store.acquire(SOURCE))
    while not {0, 1, 2} <= set(await states(url)):
        await store.commit(chain.extend(3))
    assert await store.check_integrity() == []
    zeros = "zeroblob(4)" if url.startswith("sqlite") else r"'\x00000000'::bytea"

    def damage() -> None:
        with Sql(url) as database:
            database.fetch(change.format(zeros=zeros))

    await asyncio.to_thread(damage)
    complaints = await store.check_integrity()
    assert complaints
    assert all(re.match(r"the fingerprints of segment \d+ of chain 1 lack \d+ values", each) for each in complaints)


async def test_what_commits_move_meanwhile_is_not_missing(store: Store) -> None:
    """`chain verify` beside a sync, whose commits make fingerprints and move them into sections."""
    chain = Chain(await store.acquire(SOURCE))
    await store.commit(chain.extend(39))

    async def commits() -> None:
        for _ in range(20):
            await store.commit(chain.extend(3))

    syncing = asyncio.create_task(commits())
    while not syncing.done():
        assert await store.check_integrity() == []
    await syncing


# -- plans -------------------------------------------------------------------------------------------------


async def asked_by(store: Store, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[Any]]]:
    """The queries of a search for a hash in the newest segments, and of one for an address among old ones."""
    asked: list[tuple[str, list[Any]]] = []
    async with store.snapshot() as snapshot:
        fetch = snapshot._fetch  # type: ignore[attr-defined]

        def noted(text: str, values: list[Any], *places: Any) -> Any:
            asked.append((text, list(values)))
            return fetch(text, values, *places)

        monkeypatch.setattr(snapshot, "_fetch", noted)
        absent = b"\xff" * 32
        await snapshot.select(TRANSACTIONS, scope=1, where={"hash": absent}, descending=True, limit=2)
        await snapshot.select(LOGS, scope=1, where={"address": absent[:20]}, low=9, high=200, limit=50)
        await merged(snapshot, TRANSACTIONS, column=PARTIES, values=[absent[:20]], scope=1, limit=50, descending=True)
    return asked


async def test_no_query_of_a_search_walks_all_segments(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 20,000 segments each is found by a range of an index, and so is what is known of sections."""
    store = await opened(url, ALL_AT_ONCE)
    chain = Chain(await store.acquire(SOURCE))
    for _ in range(13):
        await store.commit(chain.extend(3))
    is_sqlite = url.startswith("sqlite")
    series = (
        "(WITH RECURSIVE c(n) AS (SELECT 1000 UNION ALL SELECT n + 1 FROM c LIMIT 20000) SELECT n FROM c)"
        if is_sqlite
        else "generate_series(1000, 20999) AS n"
    )

    def prepare() -> None:
        with Sql(url) as database:
            database.fetch(
                "INSERT INTO segments (scope, first, last, segment, rows, fingerprints)"
                f" SELECT 1, n, n, n, 15, CASE WHEN n < 20990 THEN 1 ELSE -1 END FROM {series}"
            )
            if not is_sqlite:
                database.fetch("ANALYZE segments, sections, segment_fingerprints, section_fingerprints")

    await asyncio.to_thread(prepare)
    asked = await asked_by(store, monkeypatch)
    assert len(asked) >= 6
    explain = "EXPLAIN QUERY PLAN" if is_sqlite else "EXPLAIN"

    def plans() -> list[str]:
        with Sql(url) as database:
            if not is_sqlite:
                for name, value in SESSION.items():
                    database.fetch(f"SET {name} = {value}")
            return ["\n".join(str(row[-1]) for row in database.fetch(f"{explain} {filled(*each)}")) for each in asked]

    for (text, _), plan in zip(asked, await asyncio.to_thread(plans), strict=True):
        if is_sqlite:
            assert "SCAN segments" not in plan, (text, plan)
            assert "SEARCH segments USING PRIMARY KEY (scope=?)" not in plan, (text, plan)
            assert "TEMP B-TREE" not in plan, (text, plan)
        else:
            assert "Seq Scan" not in plan, (text, plan)
            for condition in re.findall(r"Scan .*on segments.*\n\s+Index Cond: (.*)", plan):
                assert re.search(r"first|segment|fingerprints", condition), (text, plan)
    await store.close()


def filled(text: str, values: list[Any]) -> str:
    """A query with its values in the place of its parameters."""

    def literal(match: re.Match[str]) -> str:
        value = values[int(match[1]) - 1]
        if not isinstance(value, bytes):
            return f"'{value}'" if isinstance(value, str) else str(value)
        return f"x'{value.hex()}'" if match[0][0] == "?" else rf"'\x{value.hex()}'"

    return re.sub(r"[?$](\d+)", literal, text)
