"""What a search costs in a store: through its own queries, through the views in plain SQL, and through the API.

First pages by address, first topic, sender and hash, by what is common, rare and absent. The API answers on a real
socket a client in another process. Each kind says its wall time and this process's processor time, which is without
PostgreSQL's server; of the API that is the time inside, from a request's head to the last byte of its answer.
All of a kind are asked twice, and the second time counts: the pages are at hand then, whatever the machine has kept.
"""

import http.client
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlencode, urlsplit

import apsw
import asyncpg

from bench.chain_rows import CONTRACTS, SENDERS, ChainRows, address_of
from bench.serve import Question, TimedAdmission, ask, in_process, serve_while
from tidelog.chain.abi.signatures import parse_event
from tidelog.chain.reading.event_search import event_search, select_events
from tidelog.chain.reading.log_search import select_logs
from tidelog.chain.reading.transaction_search import select_transactions
from tidelog.chain.rows.tables import LOGS, TRANSACTIONS
from tidelog.store import Snapshot, Store
from tidelog.store.fingerprints import fingerprint

__all__ = ["Plain", "asked_buckets", "search", "search_through_api"]

SEARCHES = 200
TWICE = (*range(SEARCHES), *range(SEARCHES))
PAGE = 50
SPAN = 10_000  # blocks that the API searches by default
EVENT = (
    "Made(bytes32 indexed a, bytes32 indexed b, bytes32 indexed c, uint256 d, uint256 e) anonymous"  # as all rows are
)
ABSENT = CONTRACTS + SENDERS + 1  # numbers of addresses that no row has


def no_such(number: int) -> bytes:
    """32 bytes that no row has."""
    return address_of(ABSENT + number).ljust(32, b"x")


class Known:
    """Hashes and first topics that a block in the middle has."""

    def __init__(self, blocks: int) -> None:
        made = ChainRows().block(blocks // 2)
        self._hashes: list[Any] = [row[TRANSACTIONS.index("hash")] for row in made[TRANSACTIONS.name]]
        self._topics: list[Any] = [row[LOGS.index("topic0")] for row in made[LOGS.name]]

    def hash(self, number: int) -> bytes:
        return bytes(self._hashes[number % len(self._hashes)])

    def topic(self, number: int) -> bytes:
        return bytes(self._topics[number % len(self._topics)])


def common(number: int) -> bytes:
    return address_of(number % 20)


def rare_contract(number: int) -> bytes:
    return address_of(CONTRACTS - 1 - number)


def rare_sender(number: int) -> bytes:
    return address_of(SENDERS - 1 - number)


def absent(number: int) -> bytes:
    return address_of(ABSENT + number)


def asked_buckets(blocks: int) -> set[int]:
    """Where the fingerprints of all that `search` looks for would be."""
    known = Known(blocks)
    asked: dict[tuple[str, str], tuple[Callable[[int], bytes], ...]] = {
        ("logs", "address"): (common, rare_contract, absent),
        ("logs", "topic0"): (known.topic, no_such),
        ("transactions", "from_address"): (common, rare_sender, absent),
        ("transactions", "hash"): (known.hash, no_such),
    }
    found = [
        fingerprint(table, column, value(number))
        for (table, column), values in asked.items()
        for value in values
        for number in range(SEARCHES)
    ]
    return {int.from_bytes(each[:2], "big") for each in found if each is not None}


async def search(store: Store, url: str, blocks: int, *, plain: bool = True) -> None:
    """Say how long first pages take by the store's queries, and by plain SQL."""
    known = Known(blocks)

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

    def named(value: bytes) -> Callable[[Snapshot], Awaitable[object]]:
        return lambda snapshot: snapshot.select(TRANSACTIONS, scope=1, where={"hash": value}, descending=True, limit=2)

    asked: dict[str, Callable[[int], Callable[[Snapshot], Awaitable[object]]]] = {
        "logs, a common address": lambda n: logs(common(n)),
        "logs, a rare address": lambda n: logs(rare_contract(n)),
        "logs, an address that is not there": lambda n: logs(absent(n)),
        "logs, newest first": lambda n: logs(common(n), descending=True),
        "events of a common address, decoded": lambda n: events(common(n)),
        "logs, a first topic": lambda n: logs(topic0=known.topic(n)),
        "logs, a first topic that is not there": lambda n: logs(topic0=no_such(n)),
        "transactions, a common sender": lambda n: sent(common(n)),
        "transactions, a rare sender": lambda n: sent(rare_sender(n)),
        "transactions, a sender that is not there": lambda n: sent(absent(n)),
        "a hash": lambda n: named(known.hash(n)),
        "a hash that is not there": lambda n: named(no_such(n)),
    }
    for name, question in asked.items():
        await _timed(name, lambda number, question=question: store.read(question(number)))  # type: ignore[misc]
    if not plain:
        return
    client = await Plain.connect(url)
    for name, view, column, value in (
        ("v_logs, a common address", "v_logs", "address", common),
        ("v_logs, a rare address", "v_logs", "address", rare_contract),
        ("v_logs, an address that is not there", "v_logs", "address", absent),
        ("v_logs, a first topic", "v_logs", "topic0", known.topic),
        ("v_logs, no such topic", "v_logs", "topic0", no_such),
        ("v_transactions, a common sender", "v_transactions", "from_address", common),
        ("v_transactions, a rare sender", "v_transactions", "from_address", rare_sender),
        ("v_transactions, no such sender", "v_transactions", "from_address", absent),
        ("v_transactions, a hash", "v_transactions", "hash", known.hash),
        ("v_transactions, no such hash", "v_transactions", "hash", no_such),
    ):
        # a parameter, so that it is compiled once: the text of v_transactions takes SQLite some milliseconds
        text = f"SELECT * FROM {view} WHERE {column} = {client.mark}1 LIMIT {PAGE}"
        await _timed(name, lambda number, text=text, value=value: client.ask(text, f"0x{value(number).hex()}"))  # type: ignore[misc]
    await client.close()


async def _timed(name: str, ask: Callable[[int], Awaitable[object]]) -> None:
    """Processor time is this process's: with PostgreSQL it is without the server."""
    spent, used = list[float](), list[float]()
    for number in TWICE:
        began, before = time.perf_counter(), time.process_time()
        await ask(number)
        spent.append((time.perf_counter() - began) * 1000)
        used.append((time.process_time() - before) * 1000)
    _say(name, spent[SEARCHES:], used[SEARCHES:])


def _say(name: str, spent: list[float], used: list[float]) -> None:
    told = [sorted(each)[len(each) * part // 100] for each in (spent, used) for part in (50, 99)]
    print("  {:<44} p50 {:7.2f}  p99 {:7.2f} ms, processor time {:6.2f} {:6.2f} ms".format(name, *told), flush=True)


# -- the API -----------------------------------------------------------------------------------------------


def _text(value: bytes) -> str:
    return f"0x{value.hex()}"


def _over_all(**wanted: object) -> tuple[str, str, bytes]:
    filled = {"from_block": 0, "limit": PAGE, **wanted}
    return "POST", "/v1/chains/1/logs", json.dumps(filled).encode()


def _as_node(low: int, **wanted: object) -> tuple[str, str, bytes]:
    given = {"fromBlock": hex(low), "toBlock": hex(low + SPAN - 1), **wanted}
    call = {"jsonrpc": "2.0", "id": 1, "method": "eth_getLogs", "params": [given]}
    return "POST", "/rpc/1", json.dumps(call).encode()


def _of(value: bytes) -> tuple[str, str, None]:
    return "GET", f"/v1/chains/1/addresses/{_text(value)}/transactions?limit={PAGE}", None


def _named(value: bytes) -> tuple[str, str, None]:
    return "GET", f"/v1/chains/1/transactions/{_text(value)}", None


def _events(value: bytes) -> tuple[str, str, None]:
    given = urlencode({"signature": EVENT, "address": _text(value), "from": 0, "limit": PAGE})
    return "GET", f"/v1/chains/1/events?{given}", None


def api_questions(blocks: int) -> dict[str, Callable[[int], tuple[str, str, bytes | None]]]:
    """What is asked, by its name: method, path and body of the n-th request."""
    known, low = Known(blocks), max(0, blocks // 2 - SPAN)
    return {
        "REST logs, a common address": lambda n: _over_all(address=_text(common(n))),
        "REST logs, a rare address": lambda n: _over_all(address=_text(rare_contract(n))),
        "REST logs, an address that is not there": lambda n: _over_all(address=_text(absent(n))),
        "REST logs, a first topic": lambda n: _over_all(topics=[_text(known.topic(n))]),
        "REST logs, a first topic that is not there": lambda n: _over_all(topics=[_text(no_such(n))]),
        "REST events of a common address, decoded": lambda n: _events(common(n)),
        "REST transactions of a common address": lambda n: _of(common(n)),
        "REST transactions of a rare address": lambda n: _of(rare_sender(n)),
        "REST transactions of an address that is not there": lambda n: _of(absent(n)),
        "REST a hash, with its logs": lambda n: _named(known.hash(n)),
        "REST a hash that is not there": lambda n: _named(no_such(n)),
        "eth_getLogs, a rare address": lambda n: _as_node(low, address=_text(rare_contract(n))),
        "eth_getLogs, an address that is not there": lambda n: _as_node(low, address=_text(absent(n))),
        "eth_getLogs, a first topic that is not there": lambda n: _as_node(low, topics=[_text(no_such(n))]),
    }


def _ask_all(url: str, blocks: int, answer: Any) -> None:
    """The client: milliseconds of each request, by kind."""
    host = urlsplit(url)
    connection = http.client.HTTPConnection(host.hostname or "", host.port)
    found: dict[str, list[float]] = {}
    for name, question in api_questions(blocks).items():
        found[name] = []
        for number in TWICE:
            asked = Question(name, *question(number))
            began = time.perf_counter()
            ask(connection, asked, statuses=(200, 404))
            found[name].append((time.perf_counter() - began) * 1000)
    answer.put(found)


async def search_through_api(url: str, blocks: int) -> None:
    """The same through the API; a client of another process asks."""
    TimedAdmission.spent_ms, TimedAdmission.used_ms = [], []
    seen = await serve_while(url, lambda address: in_process(_ask_all, address, blocks))
    for place, (name, client) in enumerate(seen.items()):
        end = (place + 1) * len(TWICE)
        part = slice(end - SEARCHES, end)
        _say(name, TimedAdmission.spent_ms[part], TimedAdmission.used_ms[part])
        told = [sorted(client[SEARCHES:])[SEARCHES * share // 100] for share in (50, 99)]
        print("  {:<44} p50 {:7.2f}  p99 {:7.2f} ms".format("  a client", *told), flush=True)


# -- plain SQL ---------------------------------------------------------------------------------------------


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

    async def insert(self, table: str, columns: str, rows: list[tuple[Any, ...]]) -> None:
        """Rows, in a transaction."""
        if self._sqlite is not None:
            marks = ", ".join("?" * (columns.count(",") + 1))
            with self._sqlite:
                self._sqlite.executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks})", rows)
            return
        assert self._postgres is not None
        await self._postgres.copy_records_to_table(table, records=rows, columns=columns.split(", "))

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
