"""One recording by 1, 2 and 4 shards: frames a second, and processor time a frame, of all that `market record` starts.

    python -m bench.shards [SECONDS]

An exchange in a process of its own plays made-up books of four symbols, at a pace. The journals say how many frames
the shards have taken. Where the exchange, the shards and what else runs have fewer cores
than processes, the wall time says what that machine holds; processor time a frame is the shards' own.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

from tidelog import compiled
from tidelog.errors import ConfigError
from tidelog.market.journal.reader import JournalReader
from tidelog.market.shards.layout import journal_of
from tidelog.runtime import run
from tidelog.sim.exchange import Recording, SimExchange
from tidelog.sim.exchange.markets.pairs import PAIRS
from tidelog.sim.exchange.wire.firehose import firehose
from tidelog.sim.exchange.wire.server import ExchangeServer

SHARDS = (1, 2, 4)
SYMBOLS = ("BTC/USD", "ETH/USD", "DOGE/USD", "SOL/USD")
UPDATES = 4_000  # of each symbol, made once and played again and again
ROUNDS = 1_000
OFFERED_PER_S = (10_000, 40_000, 80_000)  # frames, of all symbols together
SECONDS = 5.0
FIRST_FRAMES = 1_000  # of each journal, before anything is measured
BEGIN_S = 60.0  # for all shards to have frames


async def serve(per_second: float) -> None:
    """The exchange: prints its URL, and plays so many frames a second over each connection."""
    frames: list[bytes] = []
    for symbol in SYMBOLS:
        recording = firehose(updates=UPDATES, symbol=symbol)
        (stream,) = recording.streams
        frames += recording.stream(*stream)
    recording = Recording(frames, paced=False, rounds=ROUNDS, per_second=per_second)
    async with ExchangeServer(SimExchange(pairs=[PAIRS[symbol] for symbol in SYMBOLS], recording=recording)) as server:
        print(server.url(), flush=True)
        await asyncio.Event().wait()


@contextmanager
def exchange(per_second: float) -> Iterator[str]:
    command = [sys.executable, "-m", "bench.shards", "--serve", str(per_second)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()


def journaled(journal: Path, shards: int) -> list[int]:
    """Records of each shard's journal."""
    counts: list[int] = []
    for number in range(1, shards + 1):
        path = journal_of(str(journal), number)
        if not Path(path).exists():
            return []
        try:
            reader = JournalReader(path)
        except ConfigError:  # it is being made
            return []
        try:
            ends = reader.ends()
        finally:
            reader.close()
        counts.append(0 if ends is None else ends.last.seq)
    return counts


def processor_s(processes: Sequence[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in processes)


@contextmanager
def recording(url: str, journal: Path, shards: int = 1, *more: str) -> Iterator[psutil.Process]:
    """A program that records all symbols; each of its journals has its first frames."""
    command = [
        sys.executable, "-m", "tidelog", "market", "record", "--symbols", ",".join(SYMBOLS), "--channels", "book",
        "--url", url, "--journal", str(journal), "--log-level", "error", "--progress", "none", *more,
    ]  # fmt: skip
    program = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        limit_s = time.monotonic() + BEGIN_S
        while not (counts := journaled(journal, shards)) or min(counts) < FIRST_FRAMES:
            assert time.monotonic() < limit_s, "no frames came"
            time.sleep(0.05)
        yield psutil.Process(program.pid)
    finally:
        program.terminate()
        program.wait()


def taken(journal: Path, working: Sequence[psutil.Process], seconds: float, shards: int = 1) -> tuple[float, float]:
    """Frames a second that come into the journals, and microseconds of processor time a frame."""
    began_s, before, used_s = time.monotonic(), sum(journaled(journal, shards)), processor_s(working)
    time.sleep(seconds)
    frames, used_s = sum(journaled(journal, shards)) - before, processor_s(working) - used_s
    return frames / (time.monotonic() - began_s), used_s / frames * 1e6


def measure(url: str, shards: int, seconds: float) -> tuple[float, float]:
    """See `taken`."""
    lists = ";".join(",".join(SYMBOLS[number::shards]) for number in range(shards))
    with tempfile.TemporaryDirectory() as folder:
        journal = Path(folder) / "m.journal"
        divided = ["--shard-symbols", lists] if shards > 1 else []
        with recording(url, journal, shards, *divided) as parent:
            return taken(journal, parent.children() if shards > 1 else [parent], seconds, shards)


def main(seconds: float) -> None:
    print(f"{psutil.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {len(SYMBOLS)} symbols; {compiled.core().said}")
    print("| offered, frames/s | shards | taken, frames/s | processor time a frame |\n|---|---|---|---|")
    for offered in OFFERED_PER_S:
        for shards in SHARDS:
            with exchange(offered / shards) as url:
                rate, us = measure(url, shards, seconds)
            print(f"| {offered:,} | {shards} | {rate:,.0f} | {us:.1f} us |", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        run(serve(float(sys.argv[2])))
    else:
        main(float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS)
