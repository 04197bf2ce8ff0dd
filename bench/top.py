"""What `tidelog top` costs: its share of a core, its memory, and what ingestion notices of it.

500 markets at their own paces and a chain of four blocks a second, by simulated peers through `tidelog run`; `top`
draws on a terminal of 200x60. Ingestion is measured with `top` and without it, by turns. `python -m bench.top`
"""

import fcntl
import json
import os
import pty
import re
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import psutil

from tidelog.sim.exchange import listing
from tidelog.tui.metrics import Samples, read_samples

MARKETS, BLOCK_S = 500, 0.25
SETTLE_S, MEASURE_S = 10.0, 10.0
ROUNDS = 3  # without and with `top`, by turns
INGESTING = ("sim", "kraken")  # processes of `tidelog run`
INGESTION = frozenset(
    {
        "process_cpu_seconds_total",
        "tidelog_chain_blocks_total",
        "tidelog_market_frames_total",
        "tidelog_market_event_handling_seconds_count",
        "tidelog_market_event_handling_seconds_sum",
        "tidelog_market_loader_lag_seconds",
    }
)
READY_S = 120.0
VIEWS = {"overview": "1", "book": "2", "candles": "3", "chain": "4"}


def started(*arguments: str, cwd: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tidelog", *arguments]
    return subprocess.Popen(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def first_line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def cpu_s(processes: Sequence[psutil.Process]) -> float:
    return sum(sum(each.cpu_times()[:2]) for each in processes)


class Screen:
    """`tidelog top` on a terminal that somebody reads."""

    def __init__(self, port: int) -> None:
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 60, 200, 0, 0))
        command = [sys.executable, "-m", "tidelog", "top", "--api", f"http://127.0.0.1:{port}"]
        self.process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)
        self._terminal = ours
        self.drawn_bytes = 0
        threading.Thread(target=self._read, daemon=True).start()

    def press(self, key: str) -> None:
        os.write(self._terminal, key.encode())

    def _read(self) -> None:
        while True:
            try:
                self.drawn_bytes += len(os.read(self._terminal, 65_536))
            except OSError:
                return


def measured(port: int, watched: Sequence[psutil.Process]) -> None:
    screen = Screen(port)
    process = psutil.Process(screen.process.pid)
    try:
        time.sleep(SETTLE_S)
        for view, key in VIEWS.items():
            screen.press(key)
            time.sleep(2)
            before, theirs, drawn, begun_s = cpu_s([process]), cpu_s(watched), screen.drawn_bytes, time.monotonic()
            time.sleep(MEASURE_S)
            took_s = time.monotonic() - begun_s
            share, beside = (
                (now - then) / took_s for now, then in ((cpu_s([process]), before), (cpu_s(watched), theirs))
            )
            memory = process.memory_info().rss / 1e6
            drawn_kb = (screen.drawn_bytes - drawn) / took_s / 1e3
            cost = f"{share:5.1%} of a core, {memory:4.0f} MB, {drawn_kb:5.1f} kB/s drawn"
            print(f"top, {view:9} {cost}; what it looks at: {beside:5.1%} of a core", flush=True)
        screen.press("q")
        screen.process.wait(30)
    finally:
        if screen.process.poll() is None:
            screen.process.kill()


class Ingested(NamedTuple):
    """What the processes that ingest did within a time, by their own metrics."""

    cpu: float  # of a core
    blocks_per_s: float
    frames_per_s: float
    handling_us: float  # from a frame's receipt to its consumers, on average
    loader_lag_s: float

    def __str__(self) -> str:
        return (
            f"{self.cpu:5.1%} of a core, {self.blocks_per_s:.2f} blocks/s, {self.frames_per_s:,.0f} frames/s, "
            f"{self.handling_us:,.0f} us to consumers, store {self.loader_lag_s:.1f} s behind"
        )


def scraped(port: int) -> Samples:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        return read_samples(answer.read().decode(), INGESTION)


def ingested(port: int) -> Ingested:
    before, begun_s = scraped(port), time.monotonic()
    time.sleep(MEASURE_S)
    after, took_s = scraped(port), time.monotonic() - begun_s

    def grown(name: str) -> float:
        return sum(
            (after.total(name, process=each) or 0.0) - (before.total(name, process=each) or 0.0) for each in INGESTING
        )

    timed = grown("tidelog_market_event_handling_seconds_count")
    return Ingested(
        grown("process_cpu_seconds_total") / took_s,
        grown("tidelog_chain_blocks_total") / took_s,
        grown("tidelog_market_frames_total") / took_s,
        grown("tidelog_market_event_handling_seconds_sum") / max(1.0, timed) * 1e6,
        after.total("tidelog_market_loader_lag_seconds") or 0.0,
    )


def noticed(port: int) -> None:
    """Ingestion without `top` and with it, by turns."""
    found: dict[str, list[Ingested]] = {"without": [], "with": []}
    for _ in range(ROUNDS):
        found["without"].append(ingested(port))
        screen = Screen(port)
        try:
            time.sleep(SETTLE_S)
            found["with"].append(ingested(port))
        finally:
            screen.process.kill()
            screen.process.wait(30)
    for name, rounds in found.items():
        middle = Ingested(*(statistics.median(values) for values in zip(*rounds, strict=True)))
        print(f"ingestion {name:7} top: {middle}", flush=True)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        running = [
            started("sim", "node", "--port", "0", "--block-time", str(BLOCK_S), "--reorg-every", "40", cwd=folder),
            started("sim", "exchange", "--port", "0", "--markets", str(MARKETS), cwd=folder),
        ]
        try:
            url, told = first_line(running[0]).split()[0], first_line(running[1])
            port = free_port()
            symbols = json.dumps([pair.symbol for pair in listing(MARKETS, seed=0).pairs])
            feed = re.findall(r"v2 (\S+?),", told)[0]
            (folder / "tidelog.toml").write_text(
                f'[[chain]]\nname = "sim"\nrpc = ["{url}"]\npoll = "100ms"\njobs = 0\n'
                f'[[market]]\nname = "kraken"\nsymbols = {symbols}\nurl = "{feed}"\n[api]\nport = {port}\n'
            )
            running.append(started("run", cwd=folder))
            wait(port)
            watched = psutil.Process(running[-1].pid)
            measured(port, [watched, *watched.children(recursive=True)])
            noticed(port)
        finally:
            for process in reversed(running):
                process.send_signal(signal.SIGTERM)
                process.wait(60)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait(port: int) -> None:
    """Until most books are there."""
    deadline_s = time.monotonic() + READY_S
    while time.monotonic() < deadline_s:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/markets?limit=1000", timeout=30) as answer:
                if sum(each["book"] is not None for each in json.load(answer)["data"]) > MARKETS * 0.9:
                    return
        except OSError:
            pass
        time.sleep(0.5)
    raise SystemExit("what is to be looked at did not come up")


if __name__ == "__main__":
    main()
