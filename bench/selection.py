"""A selection, proven and asked, beside the whole chain, from one node, in turns: blocks a second, calls, and bytes.

The chain has blocks of 120 transactions and 360 logs; in about one of fifty a contract logs that is the only one
selected. Times are without the start of the process, which is measured by a run of one block. Run as
`python -m bench.selection [BLOCKS [ROUNDS]]`.
"""

import json
import sys
import tempfile
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from tests.postgres import PostgresServer, binaries, running

from bench.beside import Run, in_turns, measured
from bench.chain import node
from tidelog import compiled
from tidelog.sim.node.chain.block_builder import RARE

CONTRACTS = """
[[contract]]
name = "rare"
address = "0x{}"
abi = "Rare()"
evidence = "{}"
"""


class Asked(NamedTuple):
    """What a node was asked for, and answered."""

    calls: int
    size: int


def asked(url: str) -> Asked:
    with urllib.request.urlopen(urllib.request.Request(f"{url}count", data=b"{}", method="POST")) as answer:
        return Asked(*json.load(answer))


def plain_logs(url: str, last: int) -> tuple[int, int]:
    """The bytes of eth_getLogs for the selection, and of a header of each block that it names."""

    def ask(method: str, *params: Any) -> bytes:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        request = urllib.request.Request(url, body, {"content-type": "application/json"})
        with urllib.request.urlopen(request) as answer:
            found: bytes = answer.read()
        return found

    said = ask("eth_getLogs", {"fromBlock": "0x0", "toBlock": hex(last), "address": f"0x{RARE.hex()}"})
    numbers = sorted({log["blockNumber"] for log in json.loads(said)["result"]})
    return len(said), sum(len(ask("eth_getBlockByNumber", number, False)) for number in numbers)


def sync(url: str, db: str, last: int, *more: str) -> Run:
    command = [sys.executable, "-m", "tidelog", "chain", "sync", "--rpc", url, "--db", db, "--to", str(last), *more]
    return measured(command)


def compared(blocks: int, rounds: int) -> None:
    print(f"\n{blocks} blocks of 120 transactions and 360 logs, one in fifty with a log that is selected")
    print(f"  {compiled.core().said}")
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        url = stack.enter_context(node(blocks, "rare"))
        programs = binaries()
        server = None if programs is None else stack.enter_context(running(programs))

        def selecting(evidence: str) -> tuple[str, str]:
            file = Path(folder) / f"{evidence}.toml"
            file.write_text(CONTRACTS.format(RARE.hex(), evidence))
            return "--contracts", str(file)

        used: dict[str, Asked] = {}

        def contender(name: str, last: int, *more: str, postgres: PostgresServer | None = None) -> Callable[[int], Run]:
            def work(turn: int) -> Run:
                db = f"sqlite:///{folder}/{name.replace(' ', '-')}-{turn}.db"
                if postgres is not None:
                    db = postgres.create_database()
                before = asked(url)
                run = sync(url, db, last, *more)
                after = asked(url)
                used[name] = Asked(after.calls - before.calls, after.size - before.size)
                return run

            return work

        contenders = {}
        for backend, postgres in (("SQLite", None), *([("PostgreSQL", server)] if server is not None else [])):
            for what, more in (("whole", ()), ("proven", selecting("proven")), ("asked", selecting("asked"))):
                name = f"{backend}, {what}"
                contenders[name] = contender(name, blocks, *more, postgres=postgres)
            name = f"{backend}, start"
            contenders[name] = contender(name, 1, *selecting("proven"), postgres=postgres)
        found = in_turns(contenders, rounds)
        plain, headers = plain_logs(url, blocks)
    if server is None:
        print("  PostgreSQL is not measured: its test package is not installed")
    print(f"  eth_getLogs alone {plain / 1e6:.2f} MB, and a header of each block with a match {headers / 1e6:.2f} MB")
    for name, run in found.items():
        backend, what = name.split(", ")
        if what == "start":
            continue
        start, whole = found[f"{backend}, start"], found[f"{backend}, whole"]
        wall_s, cpu_s = run.wall_s - start.wall_s, run.cpu_s - start.cpu_s
        if min(wall_s, cpu_s) <= 0:
            print(f"  {name:20}no longer than its start   {used[name].calls} calls, {used[name].size / 1e6:.1f} MB")
            continue
        print(
            f"  {name:20}{blocks / wall_s:8.0f} blocks/s {(whole.wall_s - start.wall_s) / wall_s:6.1f}"
            f"   {cpu_s / blocks * 1000:6.2f} ms of processor time a block {(whole.cpu_s - start.cpu_s) / cpu_s:6.1f}"
            f"   {used[name].calls} calls, {used[name].size / 1e6:.1f} MB",
            flush=True,
        )


if __name__ == "__main__":
    numbers = [int(each) for each in sys.argv[1:]]
    compared(*(*numbers, *(3_000, 3)[len(numbers) :]))
