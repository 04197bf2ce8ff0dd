"""What JSON-RPC from the store costs: from the bytes of a request to the bytes of its answer, without HTTP.

Blocks of 120 transactions and 360 logs, in both stores; each request is for another block. CPU is this
process's, on all of its threads: what is left of the time is waiting. Run as `python -m bench.rpc [BLOCKS]`.
"""

import asyncio
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

from tests.postgres import binaries, running

from bench.chain import CHAIN_ID, node, sync
from tidelog.api.rpc.dispatch import RpcLimits, answer
from tidelog.runtime import SystemRuntime
from tidelog.store import Store, open_store

REQUESTS = 200
LIMITS = RpcLimits()


def call(method: str, *params: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()


async def ask(store: Store, body: bytes) -> Any:
    answered = await answer(body, store, CHAIN_ID, LIMITS)
    assert answered is not None
    return json.loads(answered)["result"]


async def measure(store: Store, blocks: int) -> None:
    draw = random.Random(1)
    numbers = [draw.randint(1, blocks) for _ in range(REQUESTS)]
    known = [await ask(store, call("eth_getBlockByNumber", hex(number), False)) for number in numbers]
    logs = [await ask(store, call("eth_getLogs", {"blockHash": block["hash"]})) for block in known[:20]]
    addresses = sorted({log["address"] for found in logs for log in found})
    firsts = sorted({log["topics"][0] for found in logs for log in found if log["topics"]})
    whole = {"fromBlock": "0x1", "toBlock": hex(blocks)}

    def transaction(at: int) -> str:
        return str(draw.choice(known[at]["transactions"]))

    requests: Sequence[tuple[str, Callable[[int], bytes]]] = (
        ("eth_blockNumber", lambda at: call("eth_blockNumber")),
        ("eth_getBlockByNumber, hashes", lambda at: call("eth_getBlockByNumber", hex(numbers[at]), False)),
        ("eth_getBlockByNumber, full", lambda at: call("eth_getBlockByNumber", hex(numbers[at]), True)),
        ("eth_getBlockReceipts", lambda at: call("eth_getBlockReceipts", hex(numbers[at]))),
        ("eth_getTransactionByHash", lambda at: call("eth_getTransactionByHash", transaction(at))),
        ("eth_getTransactionReceipt", lambda at: call("eth_getTransactionReceipt", transaction(at))),
        ("eth_getLogs, one block", lambda at: call("eth_getLogs", {"blockHash": known[at]["hash"]})),
        (
            "eth_getLogs, address, 10 blocks",
            lambda at: call(
                "eth_getLogs",
                {
                    "fromBlock": hex(max(1, numbers[at] - 9)),
                    "toBlock": hex(numbers[at]),
                    "address": addresses[at % len(addresses)],
                },
            ),
        ),
        (
            "eth_getLogs, address and topic, all",
            lambda at: call(
                "eth_getLogs",
                whole | {"address": addresses[at % len(addresses)], "topics": [firsts[at % len(firsts)]]},
            ),
        ),
    )
    for name, made in requests:
        bodies = [made(at) for at in range(REQUESTS)]
        await answer(bodies[0], store, CHAIN_ID, LIMITS)
        times, size, spent = [], 0, time.process_time()
        for body in bodies:
            started = time.perf_counter()
            answered = await answer(body, store, CHAIN_ID, LIMITS)
            times.append(time.perf_counter() - started)
            size += len(answered or b"")
        cpu = (time.process_time() - spent) / REQUESTS * 1000
        times.sort()
        p50, p99 = times[len(times) // 2] * 1000, times[int(len(times) * 0.99)] * 1000
        print(f"  {name:38}{p50:8.2f}{p99:8.2f}{cpu:8.2f}{size / REQUESTS / 1000:10.1f}", flush=True)


async def read(name: str, db: str, blocks: int) -> None:
    print(f"\n{name}, {blocks} blocks{'':22} p50 ms  p99 ms  CPU ms  kB/answer")
    store = await open_store(db, SystemRuntime(), readonly=True)
    try:
        await measure(store, blocks)
    finally:
        await store.close()


def main(blocks: int) -> None:
    with tempfile.TemporaryDirectory() as folder, node(blocks) as url:
        db = f"sqlite:///{folder}/store.db"
        sync(url, db, blocks)
        asyncio.run(read("SQLite", db, blocks))
        programs = binaries()
        if programs is None:
            print("PostgreSQL: not measured, its test package is not installed")
            return
        with running(programs) as server:
            db = server.create_database()
            sync(url, db, blocks)
            asyncio.run(read("PostgreSQL", db, blocks))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 300)
