"""Reads with alternatives, on both backends, against a filter of all rows."""

import random
from typing import Any

import pytest

from tests.store.rows import SOURCE, make_row
from tidelog.batch import Batch, Row, Rows, Table, Value
from tidelog.chain.rows.tables import LOGS, TRANSACTIONS
from tidelog.store import Store
from tidelog.store.merged import ALTERNATIVES_MAX, merged
from tidelog.store.query import key_of

ADDRESSES: list[Value] = [bytes([n]) * 20 for n in range(6)]
TOPICS: list[Value] = [None, b"s" * 32, b"t" * 32]


async def filled(store: Store, rng: random.Random) -> dict[str, list[Row]]:
    """Logs and transactions of two chains that share few addresses; what is stored, by table."""
    places = [(chain, number, index) for chain in (1, 2) for number in range(12) for index in range(10)]
    rows = {
        LOGS.name: [
            make_row(
                LOGS,
                rng,
                chain_id=chain,
                block_number=number,
                log_index=index,
                address=rng.choice(ADDRESSES),
                topic0=rng.choice(TOPICS),
                tx_index=index % 3,
            )
            for chain, number, index in places
        ],
        TRANSACTIONS.name: [
            make_row(
                TRANSACTIONS,
                rng,
                chain_id=chain,
                block_number=number,
                tx_index=index,
                from_address=rng.choice(ADDRESSES),
                to_address=rng.choice([None, *ADDRESSES]),
                contract_address=rng.choice([None, None, *ADDRESSES]),
            )
            for chain, number, index in places
        ],
    }
    before = await store.acquire(SOURCE)
    add = (Rows(LOGS, rows[LOGS.name]), Rows(TRANSACTIONS, rows[TRANSACTIONS.name]))
    await store.commit(Batch(before, before.advanced("x"), add=add))
    return rows


def filtered(
    table: Table, rows: list[Row], columns: list[str], values: list[Value], given: dict[str, Any]
) -> list[Row]:
    """The same by looking at every row."""
    places = [table.index(name) for name in columns]
    height = table.index(table.height or "")
    found = []
    for row in rows:
        key = key_of(table, row)
        after = given["after"]
        if (
            any(row[place] in values for place in places)
            and row[0] == given["scope"]
            and (given["low"] is None or row[height] >= given["low"])
            and (given["high"] is None or row[height] <= given["high"])
            and all(row[table.index(name)] == value for name, value in (given["where"] or {}).items())
            and (after is None or (key < after if given["descending"] else key > after))
        ):
            found.append(row)
    found.sort(key=lambda row: key_of(table, row), reverse=given["descending"])
    return found[: given["limit"]]


async def test_merged_reads_give_what_a_filter_of_all_rows_gives(store: Store) -> None:
    rng = random.Random(20)
    rows = await filled(store, rng)
    sizes = set()
    async with store.snapshot() as snapshot:
        for _ in range(200):
            portion_min = rng.choice([1, 2, 7, 500])
            table, columns, where, choices = rng.choice(
                [
                    (LOGS, ["address"], {"topic0": TOPICS[1]}, ADDRESSES),
                    (LOGS, ["address"], None, ADDRESSES),
                    (LOGS, ["topic0"], {"tx_index": 1}, TOPICS),
                    (TRANSACTIONS, ["from_address", "to_address", "contract_address"], None, ADDRESSES),
                    (TRANSACTIONS, ["to_address"], None, [*ADDRESSES, None]),
                ]
            )
            values = rng.choices(choices, k=rng.choice([0, 1, 2, 4]))
            given: dict[str, Any] = {
                "scope": rng.choice([1, 2, 3]),
                "low": rng.choice([None, rng.randrange(12)]),
                "high": rng.choice([None, rng.randrange(12)]),
                "where": where,
                "descending": rng.random() < 0.5,
                "limit": rng.choice([0, 1, 3, 20, 1_000]),
                "after": None,
            }
            if rng.random() < 0.5:
                given["after"] = (given["scope"], rng.randrange(12), rng.randrange(10))
            expected = filtered(table, rows[table.name], columns, values, given)
            found = await merged(snapshot, table, column=columns, values=values, portion_min=portion_min, **given)
            assert found == expected, given
            sizes.add(len(expected))
    assert max(sizes) > 50


async def test_pages_of_merged_reads_are_the_whole(store: Store) -> None:
    rows = await filled(store, random.Random(3))
    pages: list[Row] = []
    async with store.snapshot() as snapshot:
        while page := await merged(
            snapshot,
            TRANSACTIONS,
            column=("from_address", "to_address", "contract_address"),
            values=[ADDRESSES[2]],
            scope=1,
            descending=True,
            limit=7,
            after=key_of(TRANSACTIONS, pages[-1]) if pages else None,
        ):
            pages += page
    wanted = [row for row in rows[TRANSACTIONS.name] if row[0] == 1 and ADDRESSES[2] in (row[5], row[6], row[30])]
    assert pages == sorted(wanted, key=lambda row: row[:3], reverse=True)


async def test_too_many_alternatives_are_refused(store: Store) -> None:
    values: list[Value] = [n.to_bytes(20, "big") for n in range(ALTERNATIVES_MAX + 1)]
    async with store.snapshot() as snapshot:
        assert await merged(snapshot, LOGS, column="address", values=[*values[1:], *values[1:]], limit=5) == []
        with pytest.raises(ValueError, match="101 alternatives: at most 100"):
            await merged(snapshot, LOGS, column="address", values=values, limit=5)


async def test_two_conditions_for_one_column_are_a_mistake(store: Store) -> None:
    async with store.snapshot() as snapshot:
        with pytest.raises(ValueError, match="two conditions for one column of address"):
            await merged(snapshot, LOGS, column="address", values=[b"a"], where={"address": b"b"}, limit=5)
