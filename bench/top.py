"""What `tidelog top` costs: its share of a core and its memory beside the processes that it looks at.

500 markets at their own paces and a chain of four blocks a second, by simulated peers through `tidelog run`; `top`
draws on a terminal of 200x60. `python -m bench.top`
"""

import fcntl
import json
import os
import pty
import re
import signal
import socket
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

import psutil

from tidelog.sim.exchange import listing

MARKETS, BLOCK_S = 500, 0.25
SETTLE_S, MEASURE_S = 10.0, 15.0
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
