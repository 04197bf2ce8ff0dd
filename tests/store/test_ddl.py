"""Tables that a commit makes and removes: with their indexes and views, in that commit or not at all."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pkgutil import resolve_name
from typing import Any

import apsw
import msgspec
import pytest
from msgspec.structs import replace

from tests.fixtures import schema3
from tests.runtime import FakeRuntime
from tests.store.test_store_conformance import rows_of
from tests.store.test_views import asked
from tests.system.sql import Sql
from tidelog.batch import (
    INT_MAX,
    UINT64_MAX,
    Batch,
    Column,
    Kind,
    Rollback,
    Row,
    Rows,
    Table,
    bytes_column,
    int256,
    int_column,
    text_column,
    uint64_column,
    uint256,
)
from tidelog.errors import StoreError
from tidelog.store import Store, open_store
from tidelog.store.migrations import shipped
from tidelog.store.query import select_query
from tidelog.store.sqlite.segments import enter_segments

THINGS = Table(
    "e_things",
    (
        int_column("chain_id"),
        int_column("block_number"),
        int_column("log_index"),
        uint64_column("timestamp"),
        bytes_column("from_"),
        uint64_column("wide"),
        Column("value", Kind.UINT256, spelled=True),
        Column("amount", Kind.INT256, spelled=True),
        text_column("note"),
    ),
    key=("chain_id", "block_number", "log_index"),
    scope="chain_id",
    height="block_number",
    searched=("from_", "amount"),
    view="v_things",
)
ADDRESS = bytes(range(20))
NUMBERS = [
    (1, 0, 0, 0),
    (2, INT_MAX, 2**256 - 1, -1),
    (3, INT_MAX + 1, 10**18, -(2**255)),
    (4, UINT64_MAX, 2**255, 2**255 - 1),
    (5, 10_000, 1, -(10**24)),
    (6, 9_999, 10**40, -10_000),
]
ROWS: list[Row] = [
    (
        1,
        number,
        0,
        1_700_000_000 + number,
        ADDRESS[number:] + ADDRESS[:number],
        wide,
        uint256(value),
        int256(amount),
        "x",
    )
    for number, wide, value, amount in NUMBERS
]


async def commit(store: Store, *, source: str = "things", position: str = "1", **parts: object) -> None:
    before = await store.acquire(source)
    await store.commit(Batch(before, before.advanced(position), **parts))  # type: ignore[arg-type]


async def test_a_table_comes_and_goes_with_its_commit(store: Store) -> None:
    await commit(store, create=(THINGS,), add=(Rows(THINGS, ROWS),))
    assert await rows_of(store, THINGS) == ROWS
    await commit(store, rollback=Rollback((THINGS,), 1, 4), put=(Rows(THINGS, [(*ROWS[0][:-1], "y")]),))
    assert await rows_of(store, THINGS) == [(*ROWS[0][:-1], "y"), *ROWS[1:4]]
    await commit(store, discard=(THINGS,))
    with pytest.raises(StoreError):
        await rows_of(store, THINGS)
    await commit(store, create=(THINGS,))
    assert await rows_of(store, THINGS) == []


async def test_another_table_may_have_the_name_of_one_that_is_gone(store: Store) -> None:
    await commit(store, create=(THINGS,), add=(Rows(THINGS, ROWS[:1]),), put=(Rows(THINGS, ROWS),))
    assert await rows_of(store, THINGS) == ROWS
    other = msgspec.structs.replace(THINGS, columns=(*THINGS.columns[:-2], text_column("word")), searched=())
    rows: list[Row] = [(*row[:-2], "word") for row in ROWS]
    await commit(store, discard=(THINGS,))
    await commit(store, create=(other,), add=(Rows(other, rows[:3]),), put=(Rows(other, rows[2:]),))
    assert await rows_of(store, other) == rows


@pytest.mark.usefixtures("either_path")
async def test_a_table_that_is_made_anew_takes_rows_of_its_new_types(store: Store) -> None:
    """A connection of PostgreSQL has statements prepared for the table that was, also if that was never committed."""
    old, new = (Table("e_t_e", (int_column("a"), Column("b", kind)), key=("a",)) for kind in (Kind.INT, Kind.BYTES))
    rows: list[Row] = [(1, b"x"), (2, b"y")]
    await commit(store, create=(old,), add=(Rows(old, [(1, 7)]),), put=(Rows(old, [(1, 8)]),))
    await commit(store, discard=(old,))
    await commit(store, create=(new,), add=(Rows(new, rows[:1]),), put=(Rows(new, rows),))
    assert await rows_of(store, new) == rows
    await commit(store, discard=(new,))
    with pytest.raises(ValueError, match="does not fit"):
        await commit(store, create=(old,), add=(Rows(old, [(1, 7), (2, None)]),))
    await commit(store, create=(new,), add=(Rows(new, rows[:1]),), put=(Rows(new, rows),))
    assert await rows_of(store, new) == rows


async def test_a_commit_that_fails_leaves_no_table(store: Store) -> None:
    bad = Rows(THINGS, [*ROWS, (1, 7, 0, 1, None, 0, uint256(0), int256(0), "x")])
    with pytest.raises(ValueError, match="does not fit"):
        await commit(store, create=(THINGS,), add=(bad,))
    with pytest.raises(StoreError):
        await rows_of(store, THINGS)
    await commit(store, create=(THINGS,), add=(Rows(THINGS, ROWS),))
    with pytest.raises(StoreError):
        await commit(store, create=(THINGS,))
    assert await rows_of(store, THINGS) == ROWS


async def test_indexes_take_no_name_that_a_table_may_have(store: Store) -> None:
    others = [replace(THINGS, name=f"e_things_{name}", view=f"v_things_{name}") for name in ("0", "1", "key", "pkey")]
    await commit(store, create=(THINGS, *others))
    assert [await rows_of(store, table) for table in (THINGS, *others)] == [[]] * 5


async def test_the_view_says_the_same_on_both_backends_and_is_searched_by_an_index(store: Store, url: str) -> None:
    await commit(store, create=(THINGS,), add=(Rows(THINGS, ROWS),))
    shown = await asked(url, "SELECT time, from_, wide, value, amount, note FROM v_things ORDER BY block_number")
    assert shown == [
        {
            "time": f"2023-11-14T22:13:2{number}Z",
            "from_": "0x" + (ADDRESS[number:] + ADDRESS[:number]).hex(),
            "wide": str(wide),
            "value": str(value),
            "amount": str(amount),
            "note": "x",
        }
        for number, wide, value, amount in NUMBERS
    ]
    for condition in (f"from_ = '{shown[2]['from_']}'", f"amount = {'%s'}" % _literal(url, -(2**255))):
        query = f"SELECT block_number FROM v_things WHERE {condition}"
        assert await asked(url, query) == [{"block_number": "3"}]
        assert "e_things__" in str(await asked(url, f"{_EXPLAIN[url.partition(':')[0]]} {query}"))


@pytest.mark.parametrize(("column", "place"), [("from_", 4), ("amount", 7)])
async def test_a_read_by_a_searched_column_uses_its_index(column: str, place: int, store: Store, url: str) -> None:
    await commit(store, create=(THINGS,), add=(Rows(THINGS, ROWS),))
    mark = "?" if url.startswith("sqlite") else "$"
    async with store.snapshot() as snapshot:
        for row in ROWS:
            assert await snapshot.select(THINGS, scope=1, where={column: row[place]}, descending=True) == [row]
        several = [row[place] for row in ROWS[:3]]
        assert await snapshot.select(THINGS, scope=1, low=2, where={column: several}) == ROWS[1:3]
        assert await snapshot.count(THINGS, where={column: b"\7" * 32}) == 0
        for where in ({"value": ROWS[1][6]}, {"amount": ROWS[1][7], "value": ROWS[1][6]}):
            assert await snapshot.select(THINGS, scope=1, where=where) == [ROWS[1]]
    text, values = select_query(THINGS, mark=mark, scope=1, where={column: ROWS[0][place]}, limit=5)
    for number, value in reversed([*enumerate(values, 1)]):
        text = text.replace(f"{mark}{number}", f"'{value}'" if isinstance(value, str) else str(value))
    plan = str(await asked(url, f"{_EXPLAIN[url.partition(':')[0]]} {text}"))
    assert f"e_things__{THINGS.searched.index(column)}" in plan


async def test_integers_of_256_bits_are_numbers_or_their_text_stands_beside_them(store: Store, url: str) -> None:
    await commit(store, create=(THINGS,), add=(Rows(THINGS, ROWS),))
    wanted = {"value": str(sum(value for _, _, value, _ in NUMBERS)), "amount": str(sum(each[3] for each in NUMBERS))}
    if url.startswith("sqlite"):
        texts = await asked(url, "SELECT value_text AS value, amount_text AS amount FROM e_things")
        assert {name: str(sum(int(row[name]) for row in texts)) for name in wanted} == wanted
    else:
        assert await asked(url, "SELECT sum(value) AS value, sum(amount) AS amount FROM e_things") == [wanted]


_EXPLAIN = {"sqlite": "EXPLAIN QUERY PLAN", "postgresql": "EXPLAIN"}


def _literal(url: str, number: int) -> str:
    return f"'{number}'" if url.startswith("sqlite") else str(number)


IN_SEGMENTS = replace(THINGS, name="e_many", view="v_many", segmented=THINGS.searched)


async def test_a_segmented_table_is_read_segment_by_segment(store: Store, url: str) -> None:
    await commit(store, create=(IN_SEGMENTS,), add=(Rows(IN_SEGMENTS, ROWS[:3]),))
    await commit(store, add=(Rows(IN_SEGMENTS, ROWS[3:5]),), put=(Rows(IN_SEGMENTS, ROWS[5:]),))
    mark = "?" if url.startswith("sqlite") else "$"
    async with store.snapshot() as snapshot:
        for column, place in (("from_", 4), ("amount", 7)):
            for row in ROWS:
                for descending in (False, True):
                    found = await snapshot.select(
                        IN_SEGMENTS, scope=1, where={column: row[place]}, descending=descending, limit=5
                    )
                    assert found == [row]
        assert await snapshot.select(IN_SEGMENTS, scope=1, where={"from_": ROWS[0][4], "amount": ROWS[1][7]}) == []
    assert await store.check_integrity() == []
    await commit(store, rollback=Rollback((IN_SEGMENTS,), 1, 4))
    assert await rows_of(store, IN_SEGMENTS) == ROWS[:4]
    text, _ = select_query(IN_SEGMENTS, mark=mark, scope=1, where={"from_": ADDRESS}, limit=5)
    assert '"segment"' in text
    shown = await asked(url, "SELECT from_ FROM v_many ORDER BY block_number")
    query = f"SELECT block_number FROM v_many WHERE from_ = '{shown[2]['from_']}'"
    assert await asked(url, query) == [{"block_number": "3"}]


AMCHECK = (  # the servers of the tests come without it
    "CREATE FUNCTION bt_index_check(index regclass, heapallindexed boolean) RETURNS void LANGUAGE sql AS ''",
    "SET allow_system_table_mods = on",
    "INSERT INTO pg_extension (oid, extname, extowner, extnamespace, extrelocatable, extversion)"
    " SELECT 99999, 'amcheck', nspowner, oid, true, '1.4' FROM pg_namespace WHERE nspname = 'public'",
)


@pytest.mark.parametrize(
    ("sqlite", "postgres"),
    [
        ("sqlite.segments.strayed_query", "postgres.segments.strayed_query"),
        ("sqlite.integrity.part_is_sound", "postgres.unlimited"),
    ],
    ids=["segments", "files"],
)
async def test_a_table_that_is_discarded_while_the_store_is_checked_is_no_damage(
    store: Store, url: str, monkeypatch: pytest.MonkeyPatch, sqlite: str, postgres: str
) -> None:
    """It goes when the check has listed it, and has not come to it."""
    await commit(store, create=(IN_SEGMENTS,), add=(Rows(IN_SEGMENTS, ROWS),))
    if not url.startswith("sqlite"):
        await asyncio.to_thread(told, url, *AMCHECK)
    place = f"tidelog.store.{sqlite if url.startswith('sqlite') else postgres}"
    checked, gone = resolve_name(place), threading.Lock()

    def after_it_is_gone(*args: Any, **words: Any) -> Any:
        if gone.acquire(blocking=False):
            with ThreadPoolExecutor(1) as other:
                other.submit(told, url, f"DROP VIEW {IN_SEGMENTS.view}", f"DROP TABLE {IN_SEGMENTS.name}").result()
        return checked(*args, **words)

    monkeypatch.setattr(place, after_it_is_gone)
    assert await store.check_integrity() == []
    assert gone.locked()


async def test_tables_that_an_earlier_release_created_get_segments(store: Store, url: str) -> None:
    """Those of which an index begins with the value. A view of somebody's over one has the rows that it had."""
    await commit(store, create=(THINGS,), add=(Rows(THINGS, ROWS),))
    await store.close()
    sqlite = url.startswith("sqlite")
    await asyncio.to_thread(told, url, "CREATE VIEW mine AS SELECT block_number, from_ FROM e_things")
    if sqlite:  # which lets what a view reads go
        await asyncio.to_thread(told, url, "CREATE VIEW lost AS SELECT value FROM e_gone")
    shown = await asyncio.to_thread(told, url, "SELECT * FROM mine ORDER BY 1")
    bounds = "(1, 0, 3, 4, 0), (1, 4, 9, 5, 0)"  # as logs have made them: scope, first, last, segment, rows
    text = f"INSERT INTO segments (scope, first, last, segment, rows) VALUES {bounds}"
    await asyncio.to_thread(told, url, text)
    if sqlite:
        await asyncio.to_thread(told, url, "DELETE FROM sqlite_stat1 WHERE tbl = 'e_things'")
        with closing(apsw.Connection(url.removeprefix("sqlite:///"))) as connection:
            enter_segments(connection)
    else:
        (migration,) = (each for each in shipped("tidelog.store.postgres") if each.name == "event_segments")
        await asyncio.to_thread(told, url, migration.sql)
    again = await open_store(url, FakeRuntime())
    table = replace(THINGS, segmented=THINGS.searched)
    try:
        assert await asyncio.to_thread(told, url, "SELECT * FROM mine ORDER BY 1") == shown
        assert await rows_of(again, table) == ROWS
        async with again.snapshot() as snapshot:
            assert await snapshot.select(table, scope=1, where={"from_": ROWS[2][4]}) == [ROWS[2]]
        await commit(again, put=(Rows(table, ROWS[:2]),), rollback=Rollback((table,), 1, 4), position="2")
        await commit(again, add=(Rows(table, ROWS[4:]),), position="3")
        assert await rows_of(again, table) == ROWS
        assert await again.check_integrity() == []
    finally:
        await again.close()
    if sqlite:
        text = "SELECT sql FROM sqlite_schema WHERE name GLOB 'e_things__*' AND sql IS NOT NULL"
        stats = await asyncio.to_thread(told, url, "SELECT idx FROM sqlite_stat1 WHERE tbl = 'e_things' ORDER BY idx")
        assert stats == [("e_things",), ("e_things__0",), ("e_things__1",)]
    else:
        text = "SELECT indexdef FROM pg_indexes WHERE indexname IN ('e_things__0', 'e_things__1')"
    indexes = await asyncio.to_thread(told, url, text)
    assert len(indexes) == 2
    assert all('("segment", (' in index or "(segment, " in index for (index,) in indexes)


DEPENDENT = """
SELECT its.relname FROM pg_index
JOIN pg_class AS its ON its.oid = indexrelid
JOIN pg_am ON pg_am.oid = its.relam AND amname = 'btree'
CROSS JOIN LATERAL unnest(indcollation::oid[], indclass::oid[]) AS part (collation_oid, class_oid)
JOIN pg_opclass ON pg_opclass.oid = class_oid
WHERE its.relnamespace = 'public'::regnamespace AND collation_oid NOT IN (0, '"C"'::regcollation)
AND opcname <> 'text_pattern_ops'
"""
BY_BYTES = "SELECT indexname FROM pg_indexes WHERE schemaname = 'public' AND indexdef LIKE '%text_pattern_ops%'"


@pytest.mark.parametrize("earlier", [False, True])
async def test_no_index_sorts_as_the_locale_of_its_database_does(postgres_url: str, earlier: bool) -> None:
    """An upgrade of the system may change how a language sorts, and damage it; and each comparison costs more."""
    if earlier:
        schema3.postgres_store(postgres_url)
    store = await open_store(postgres_url, FakeRuntime())
    try:
        await commit(store, create=(THINGS, IN_SEGMENTS), add=(Rows(THINGS, ROWS), Rows(IN_SEGMENTS, ROWS)))
    finally:
        await store.close()
    assert await asyncio.to_thread(told, postgres_url, DEPENDENT) == []
    by_bytes = {name for (name,) in await asyncio.to_thread(told, postgres_url, BY_BYTES)}
    chain = {"transactions_hash", "transactions_from", "transactions_to", "logs_address", "logs_topic0"}
    assert by_bytes >= chain | {f"{THINGS.name}__0", f"{IN_SEGMENTS.name}__0"}


def told(url: str, *texts: str) -> list[tuple[Any, ...]]:
    with Sql(url) as database:
        return [tuple(row) for text in texts for row in database.fetch(text)]
