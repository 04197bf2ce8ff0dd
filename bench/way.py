"""Where the time of a block goes on its way from a node into SQLite: by thread, and by step.

The sync runs in this process, with the node that answers from memory beside it; the steps are timed from outside, by
wrapping them. Of each it says processor time and wall time a block: on a busy machine only the first means something.
Run as `python -m bench.way [BLOCKS [small]]`; `TIDELOG_CORE` says which path is measured.
"""

import asyncio
import os
import resource
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import apsw

from bench.chain import node
from tidelog import compiled
from tidelog.chain.endpoint import jsonrpc
from tidelog.chain.forks import checkpoint
from tidelog.chain.source import prefetch
from tidelog.chain.source.opening import RpcEndpoint, open_pool
from tidelog.chain.sync.engine import Options, Sync
from tidelog.runtime import SystemRuntime
from tidelog.store import open_store
from tidelog.store.sqlite import writer as sqlite_writer
from tidelog.telemetry import ChainMetrics

TICKS = os.sysconf("SC_CLK_TCK")


class Steps:
    """Processor and wall seconds by step."""

    def __init__(self) -> None:
        self.cpu: dict[str, float] = defaultdict(float)
        self.wall: dict[str, float] = defaultdict(float)
        self.calls: dict[str, int] = defaultdict(int)

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        cpu, wall = time.thread_time(), time.perf_counter()
        try:
            yield
        finally:
            self.cpu[name] += time.thread_time() - cpu
            self.wall[name] += time.perf_counter() - wall
            self.calls[name] += 1

    def timed(self, owner: Any, attribute: str, name: str) -> None:
        work: Callable[..., Any] = getattr(owner, attribute)

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with self.of(name):
                return work(*args, **kwargs)

        setattr(owner, attribute, wrapped)


def threads() -> dict[str, float]:
    """Processor seconds of each thread so far, by its name."""
    names = {thread.native_id: thread.name for thread in threading.enumerate()}
    found: dict[str, float] = defaultdict(float)
    for task in os.listdir("/proc/self/task"):
        with open(f"/proc/self/task/{task}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        name = names.get(int(task), "other").rstrip("0123456789_-")
        found[name] += (int(fields[11]) + int(fields[12])) / TICKS
    return found


def wrap(steps: Steps) -> None:
    steps.timed(jsonrpc, "decode", "JSON-RPC: an answer into its parts")
    steps.timed(prefetch, "_judge_by_core", "core, whole call")
    steps.timed(prefetch, "_judge_all", "proof, whole call")
    steps.timed(prefetch, "verify_blocks", "proof in Python")
    module = compiled.core().module
    if module is not None:
        steps.timed(module, "prove", "core, its own call")
    steps.timed(sqlite_writer.Writer, "commit", "commit, whole")
    steps.timed(sqlite_writer.Writer, "_bound_wal", "commit: the log into the file")
    steps.timed(checkpoint, "append", "rows of a commit, gathered")

    class Connection:
        """apsw's connection, timed."""

        def __init__(self, connection: apsw.Connection) -> None:
            object.__setattr__(self, "_own", connection)

        def __getattr__(self, name: str) -> Any:
            return getattr(object.__getattribute__(self, "_own"), name)

        def __setattr__(self, name: str, value: Any) -> None:
            setattr(object.__getattribute__(self, "_own"), name, value)

        def __enter__(self) -> Any:
            return self._own.__enter__()

        def __exit__(self, *exception: Any) -> Any:
            return self._own.__exit__(*exception)

        def executemany(self, statement: str, rows: Any) -> Any:
            table = statement.split('"')[1]
            with steps.of(f"commit: rows of {table}"):
                return self._own.executemany(statement, rows)

        def execute(self, statement: str, *values: Any) -> Any:
            with steps.of("commit: COMMIT" if statement == "COMMIT" else "commit: other statements"):
                return self._own.execute(statement, *values)

    connect = vars(sqlite_writer)["connect"]
    vars(sqlite_writer)["connect"] = lambda *arguments: Connection(connect(*arguments))


async def sync(url: str, folder: str, last: int, steps: Steps) -> None:
    runtime, metrics = SystemRuntime(jobs=0), ChainMetrics()  # all in this process, where it can be timed
    async with open_pool([RpcEndpoint(url)], runtime, metrics) as pool:
        store = await open_store(f"sqlite:///{folder}/way.db", runtime, readonly=False)
        try:
            before, started = threads(), time.perf_counter()
            await Sync(store, pool, runtime, metrics, Options(to=last)).run()
            took, after = time.perf_counter() - started, threads()
        finally:
            await store.close()
            runtime.close()
    busy = steps.wall["commit, whole"] / took
    print(f"{last} blocks in {took:.2f} s: {last / took:.0f} blocks/s; {compiled.core().said}")
    print(f"  the writer was busy {busy:.0%} of the time")
    print("  processor time by thread, ms a block")
    for name, seconds in sorted(after.items()):
        print(f"    {name:44}{(seconds - before.get(name, 0.0)) / last * 1000:7.3f}")
    total = sum(after.values()) - sum(before.values())
    print(f"    {'all':44}{total / last * 1000:7.3f}")
    print(f"  by step, ms a block{'':26}{'processor':>9}{'wall':>8}{'calls':>7}")
    for name in sorted(steps.cpu):
        cpu, wall = (seconds[name] / last * 1000 for seconds in (steps.cpu, steps.wall))
        print(f"    {name:44}{cpu:7.3f} {wall:7.3f}{steps.calls[name]:7d}")
    print(f"  most memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000:.0f} MB", flush=True)


def main(blocks: int, *shape: str) -> None:
    steps = Steps()
    wrap(steps)
    with tempfile.TemporaryDirectory() as folder, node(blocks, *shape) as url:
        asyncio.run(sync(url, folder, blocks, steps))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 600, *sys.argv[2:])
