"""The events of one contract into PostgreSQL, by tidelog and by ponder, from one node, in turns.

ponder (TypeScript) comes by npm into `.bench/ponder`, 200 MB, the first time. It asks for logs by eth_getLogs and for
the blocks that these name, as `asked` does, and checks none of it against a header; `proven` has the header of every
block, and both roots of those with a log. The rows of all have to be equal. Two contracts: one that logs in one block
of fifty, and a token that logs in nearly all. Of each contender: blocks a second, and processor time of its process and
of those below it, without its start. PostgreSQL's server and the node run on the same cores; their time is not counted.
Run as `python -m bench.ponder [BLOCKS [ROUNDS]]`; of the token a third as many blocks.
"""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg
import psutil
from tests.postgres import PostgresServer, binaries, running
from tests.system.test_events_decoded import described
from tests.system.test_ponder import APP, END_S, THERE_S, as_ours

from bench.chain import CHAIN_ID, node
from bench.selection import Asked, asked, sync
from tidelog import compiled
from tidelog.chain.abi.entries import Event
from tidelog.chain.abi.signatures import parse_event
from tidelog.sim.node.chain.block_builder import RARE
from tidelog.sim.node.contracts.world import TIDE

ROOT = Path(__file__).parents[1]
PACKAGES = ROOT / ".bench" / "ponder"
INSTALL_S = 300
FINAL_DEPTH = (
    100  # blocks above those that are taken: below the last 30 of a chain ponder does not know, all is history
)
SAMPLE_S = 0.05
BEGAN, ENDED = "Started backfill indexing", "Completed backfill indexing"


class Contract(NamedTuple):
    """Whose events are taken."""

    shape: str  # of the chain, as `bench.node` names it
    what: str
    name: str
    address: bytes
    event: str


CONTRACTS = (
    Contract("rare", "a contract that logs in one block of fifty", "rare", RARE, "Rare()"),
    Contract(
        "tokens",
        "a token that logs in nearly every block",
        "token",
        TIDE,
        "Transfer(address indexed from, address indexed to, uint256 value)",
    ),
)


class Spent(NamedTuple):
    """Up to some moment of a run."""

    wall_s: float
    cpu_s: float

    def since(self, before: "Spent") -> "Spent":
        return Spent(self.wall_s - before.wall_s, self.cpu_s - before.cpu_s)


def installed() -> Path | str:
    """What npm has installed, or why there is nothing."""
    found = PACKAGES / "node_modules"
    if (found / ".bin" / "ponder").exists():
        return found
    if shutil.which("npm") is None:
        return "npm is not here"
    PACKAGES.mkdir(parents=True, exist_ok=True)
    try:
        script = [ROOT / ".ci" / "ponder", PACKAGES]
        subprocess.run(script, check=True, capture_output=True, text=True, timeout=INSTALL_S)
    except subprocess.TimeoutExpired:
        return f"npm did not have it within {INSTALL_S} s"
    except subprocess.CalledProcessError as error:
        return next(iter((error.stderr or "").strip().splitlines()[-1:]), str(error))
    return found


def median(runs: Sequence[Spent]) -> Spent:
    return Spent(*map(statistics.median, zip(*runs, strict=True)))


def taken(process: "psutil.Process") -> float:
    """Processor time of a process, and of those below it, ended ones included."""
    total = 0.0
    for each in (process, *process.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            used = each.cpu_times()
            total += used.user + used.system
            total += used.children_user + used.children_system
    return total


@contextlib.contextmanager
def indexing(packages: Path, folder: Path, environment: dict[str, str]) -> Iterator[Callable[[str], Spent]]:
    """ponder, until the context ends; gives what it had spent when its log first said something."""
    app = shutil.copytree(APP, folder / "app")
    (app / "node_modules").symlink_to(packages)
    told = os.environ | {"PONDER_TELEMETRY_DISABLED": "true"} | environment
    command = [
        str(packages / ".bin" / "ponder"),
        "start",
        "--schema",
        "compared",
        "--port",
        "0",
        "--log-format",
        "json",
    ]
    path = folder / "ponder.log"
    with path.open("wb") as log:
        began = time.perf_counter()
        started = subprocess.Popen(command, cwd=app, env=told, stdout=log, stderr=log, start_new_session=True)
        process = psutil.Process(started.pid)

        def until(words: str) -> Spent:
            while started.poll() is None and time.perf_counter() - began < THERE_S:
                if words in path.read_text():
                    return Spent(time.perf_counter() - began, taken(process))
                time.sleep(SAMPLE_S)
            raise SystemExit(f"ponder did not say {words!r}: {path.read_text()[-1000:]}")

        try:
            yield until
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(started.pid, signal.SIGTERM)
            try:
                started.wait(END_S)
            except subprocess.TimeoutExpired:
                os.killpg(started.pid, signal.SIGKILL)
                started.wait()


async def rows(database: str, query: str) -> list[dict[str, Any]]:
    client = await asyncpg.connect(database)
    try:
        return [dict(row) for row in await client.fetch(query)]
    finally:
        await client.close()


def of_ponder(database: str) -> list[tuple[Any, ...]]:
    found = asyncio.run(rows(database, "SELECT * FROM compared.row ORDER BY block, log_index"))
    return [
        (row["block_number"], row["log_index"], row["transaction_hash"], row["address"], *row["args"].values())
        for row in map(as_ours, found)
    ]


def of_tidelog(database: str, contract: Contract, event: Event) -> list[tuple[Any, ...]]:
    view = f"v_{contract.name}_{event.name.lower()}"
    arguments = [{"from": "from_", "to": "to_"}.get(name, name) for name in event.names]
    columns = ["block_number", "log_index", "transaction_hash", "address", *(f"{name}::text" for name in arguments)]
    query = f"SELECT {', '.join(columns)} FROM {view} ORDER BY block_number, log_index"
    return [tuple(row.values()) for row in asyncio.run(rows(database, query))]


def ponder_run(
    packages: Path, url: str, database: str, contract: Contract, event: Event, last: int
) -> tuple[Spent, Spent]:
    """What its start took, and the rest."""
    inputs = [described(each) for each in event.parameters]
    abi = [{"type": "event", "anonymous": False, "name": event.name, "inputs": inputs}]
    environment = {
        "NODE_URL": url,
        "CHAIN_ID": str(CHAIN_ID),
        "DATABASE_URL": database,
        "CONTRACTS": json.dumps({"It": {"abi": abi, "address": f"0x{contract.address.hex()}", "endBlock": last}}),
        "EVENTS": f"It:{event.name}",
    }
    with tempfile.TemporaryDirectory() as folder, indexing(packages, Path(folder), environment) as until:
        start = until(BEGAN)
        return start, until(ENDED).since(start)


def compared(packages: Path, server: PostgresServer, contract: Contract, blocks: int, rounds: int) -> None:
    print(f"\n{blocks} blocks of 120 transactions, {contract.what}, into PostgreSQL; {compiled.core().said}")
    event = parse_event(contract.event)
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        url = stack.enter_context(node(blocks + FINAL_DEPTH, contract.shape))
        runs: dict[str, list[tuple[Spent, Spent]]] = {}
        used: dict[str, Asked] = {}
        found: dict[str, list[tuple[Any, ...]]] = {}

        def ours(evidence: str, last: int, database: str) -> Spent:
            file = Path(folder) / f"{evidence}.toml"
            file.write_text(
                f'[[contract]]\nname = "{contract.name}"\naddress = "0x{contract.address.hex()}"\n'
                f'abi = "{contract.event}"\nevidence = "{evidence}"\n'
            )
            run = sync(url, database, last, "--contracts", str(file))
            return Spent(run.wall_s, run.cpu_s)

        for _ in range(rounds):
            for name in ("ponder", "asked", "proven"):
                database = server.create_database()
                before = asked(url)
                if name == "ponder":
                    start, spent = ponder_run(packages, url, database, contract, event, blocks)
                    found[name] = of_ponder(database)
                else:
                    spent = ours(name, blocks, database)
                    found[name] = of_tidelog(database, contract, event)
                after = asked(url)
                if name != "ponder":
                    start = ours(name, 1, server.create_database())
                    spent = spent.since(start)
                used[name] = Asked(after.calls - before.calls, after.size - before.size)
                runs.setdefault(name, []).append((start, spent))
    medians = {name: [median(each) for each in zip(*pairs, strict=True)] for name, pairs in runs.items()}
    _, first = medians["ponder"]
    for name, (start, spent) in medians.items():
        if min(spent) <= 0:
            print(f"  {name:10}no longer than its start, {start.wall_s:.1f} s")
            continue
        print(
            f"  {name:10}{spent.wall_s:7.2f} s {blocks / spent.wall_s:8.0f} blocks/s {first.wall_s / spent.wall_s:6.1f}"
            f"   {spent.cpu_s:6.2f} s of processor time {first.cpu_s / spent.cpu_s:6.1f}"
            f"   {used[name].calls} calls, {used[name].size / 1e6:.1f} MB; start {start.wall_s:.1f} s",
            flush=True,
        )
    equal = all(each == found["ponder"] for each in found.values())
    print(f"  {len(found['ponder'])} rows, {'equal' if equal else 'NOT equal'}")
    if not equal:
        raise SystemExit("rows differ")


def main(blocks: int, rounds: int) -> None:
    packages, programs = installed(), binaries()
    if isinstance(packages, str):
        print(f"\nponder is not measured: {packages}")
        return
    if programs is None:
        print("\nponder is not measured: PostgreSQL's test package is not installed")
        return
    with running(programs) as server:
        for contract, share in zip(CONTRACTS, (1, 3), strict=True):
            compared(packages, server, contract, blocks // share, rounds)


if __name__ == "__main__":
    numbers = [int(each) for each in sys.argv[1:]]
    main(*(*numbers, *(900, 3)[len(numbers) :]))
