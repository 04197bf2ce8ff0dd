"""The views for people: the same columns and the same words on both backends, found by indexes, and exact."""

import random
import sqlite3
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.fixtures import schema3
from tests.store.rows import make_row
from tidelog.batch import INT_MAX, NUMBER_MAX, UINT64_MAX, Batch, Row, Rows, Table, Value, uint256
from tidelog.chain.rows.tables import BLOCKS, LOGS, TRANSACTIONS, WITHDRAWALS
from tidelog.market.projection.tables import CANDLES, TRADES
from tidelog.runtime import SystemRuntime
from tidelog.store import open_store

VIEWS = {
    "v_blocks": "chain_id, number",
    "v_transactions": "chain_id, block_number, tx_index",
    "v_logs": "chain_id, block_number, log_index",
    "v_withdrawals": "chain_id, block_number, position",
    "v_trades": "source, symbol, time, trade_id, seq, price, qty",
    "v_candles": "source, symbol, interval_s, time",
}
RNG = random.Random(5)
SIZES = [0, 1, 999_999_999, 10**9, 2**32, INT_MAX, INT_MAX + 1, UINT64_MAX, 10**40, NUMBER_MAX]


async def migrated(url: str) -> str:
    store = await open_store(url, SystemRuntime())
    await store.close()
    return url


async def asked(url: str, text: str) -> list[dict[str, Any]]:
    """What a query answers, by plain clients, its values as they print."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
            cursor = connection.execute(text)
            names = [column[0] for column in cursor.description]
            found = [dict(zip(names, row, strict=True)) for row in cursor]
    else:
        client = await asyncpg.connect(url)
        try:
            found = [dict(record) for record in await client.fetch(text)]
        finally:
            await client.close()
    return [{name: _printed(value) for name, value in row.items()} for row in found]


def _printed(value: object) -> str | None:
    if isinstance(value, Decimal):  # a NUMERIC: the client's own form of it has an exponent
        return f"{value:f}"
    return None if value is None else str(value)


async def stored(url: str, *rows: tuple[Table, Row]) -> str:
    store = await open_store(url, SystemRuntime())
    before = await store.acquire("x")
    await store.commit(Batch(before, before.advanced("1"), add=tuple([Rows(table, [row]) for table, row in rows])))
    await store.close()
    return url


@pytest.mark.parametrize("view", VIEWS)
async def test_views_of_both_backends_say_the_same(view: str, tmp_path: Path, postgres_url: str) -> None:
    query = f"SELECT * FROM {view} ORDER BY {VIEWS[view]}"
    first = await asked(await migrated(schema3.sqlite_store(tmp_path)), query)
    second = await asked(await migrated(schema3.postgres_store(postgres_url)), query)
    for row in (*first, *second):  # of the two syncs that made the fixtures
        row.pop("ingested_at", None)
        row.pop("rows_digest", None)
    assert first
    assert first == second


@pytest.mark.parametrize("number", SIZES)
async def test_numbers_are_decimals_of_any_size(number: int, url: str) -> None:
    row = make_row(TRANSACTIONS, RNG, value=uint256(number), effective_gas_price=uint256(number), mint=None)
    await stored(url, (TRANSACTIONS, row))
    [shown] = await asked(url, "SELECT value, effective_gas_price, mint FROM v_transactions")
    assert shown == {"value": str(number), "effective_gas_price": str(number), "mint": None}


@pytest.mark.parametrize("number", [number for number in SIZES if number <= UINT64_MAX])
async def test_64_bits_without_a_sign_are_shown_whole(number: int, url: str) -> None:
    names = ("withdrawal_index", "validator_index", "amount_gwei")
    await stored(url, (WITHDRAWALS, make_row(WITHDRAWALS, RNG, **dict.fromkeys(names, number))))
    assert await asked(url, f"SELECT {', '.join(names)} FROM v_withdrawals") == [dict.fromkeys(names, str(number))]


async def test_a_time_that_no_calendar_has_is_null(url: str) -> None:
    rows = [(BLOCKS, make_row(BLOCKS, RNG, chain_id=1, number=n, timestamp=t)) for n, t in enumerate((7, UINT64_MAX))]
    await stored(url, *rows)
    shown = await asked(url, "SELECT timestamp, time FROM v_blocks ORDER BY number")
    assert shown == [{"timestamp": "7", "time": "1970-01-01T00:00:07Z"}, {"timestamp": str(UINT64_MAX), "time": None}]


@pytest.mark.parametrize(
    ("number", "scale", "text"),
    [
        (1000, 1, "100.0"),
        (5, 8, "0.00000005"),
        (7, 0, "7"),
        (12345678901212345678, 8, "123456789012.12345678"),
        (10**40 + 5, 20, "100000000000000000000.00000000000000000005"),
        (2**70, 36, "0.000000000000001180591620717411303424"),
    ],
)
async def test_prices_have_their_decimals(number: int, scale: int, text: str, url: str) -> None:
    given: dict[str, Value] = {"time_us": 1_700_000_000_000_007, "price_scale": scale, "qty_scale": 0}
    prices = dict.fromkeys(("open", "high", "low", "close"), number)
    trade = make_row(TRADES, RNG, **given, price=number, qty=number)
    candle = make_row(CANDLES, RNG, **given, **prices, volume=uint256(number), turnover=uint256(number))
    await stored(url, (TRADES, trade), (CANDLES, candle))
    time = "2023-11-14T22:13:20.000007Z"
    assert await asked(url, "SELECT time, price, qty FROM v_trades") == [
        {"time": time, "price": text, "qty": str(number)}
    ]
    assert await asked(url, "SELECT time, open, high, low, close, volume, turnover FROM v_candles") == [
        {"time": time, **dict.fromkeys(prices, text), "volume": str(number), "turnover": text}
    ]


@pytest.mark.parametrize("scope", ["", "chain_id = 1337 AND "])
@pytest.mark.parametrize(
    ("view", "table", "column", "index"),
    [
        ("v_logs", LOGS, "address", "logs_address"),
        ("v_logs", LOGS, "topic0", "logs_topic0"),
        ("v_transactions", TRANSACTIONS, "hash", "transactions_hash"),
        ("v_transactions", TRANSACTIONS, "from_address", "transactions_from"),
        ("v_transactions", TRANSACTIONS, "to_address", "transactions_to"),
        ("v_blocks", BLOCKS, "hash", "blocks"),
    ],
)
async def test_views_are_read_by_an_index(
    view: str, table: Table, column: str, index: str, scope: str, tmp_path: Path, postgres_url: str
) -> None:
    lite = await migrated(schema3.sqlite_store(tmp_path))
    server = await migrated(schema3.postgres_store(postgres_url))
    [first, *_] = await asked(lite, f"SELECT {column} FROM {view}")
    query = f"SELECT * FROM {view} WHERE {scope}{column} = '{first[column]}' ORDER BY {VIEWS[view]}"
    [plan, *_] = await asked(lite, f"EXPLAIN QUERY PLAN {query}")
    assert f"INDEX {index}" in plan["detail"] or "INDEX sqlite_autoindex_blocks" in plan["detail"]
    assert f"{column}>? AND {column}<?" in plan["detail"] or f"{column}_hex=?" in plan["detail"]
    client = await asyncpg.connect(server)
    try:
        await client.execute("SET enable_seqscan = off")  # the fixture's few rows are read faster without an index
        told = "\n".join([row[0] for row in await client.fetch(f"EXPLAIN {query}")])
    finally:
        await client.close()
    assert "Seq Scan" not in told
    assert f"('0x'::text || encode({column}, 'hex'::text)) = '{first[column]}'::text" in told.replace("(('0x'", "('0x'")
    assert "Index Cond" in told or "Recheck Cond" in told
    count = len([row for row in await asked(lite, f"SELECT {column} FROM {view}") if row == first])
    assert len(await asked(lite, query)) == len(await asked(server, query)) == count
