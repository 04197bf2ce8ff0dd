"""One recording by 1, 2 and 4 shards: frames a second, and processor time a frame, of all that `market record` starts.

    python -m bench.shards [SECONDS]

An exchange in a process of its own plays made-up books of four symbols to each subscriber as fast as he takes them. The
journals say how many frames each shard has taken. Where the exchange, the shards and what else runs have fewer cores
than processes, the wall time says what that machine holds; processor time a frame is the shards' own.
"""

import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

from tidelog.market.journal.reader import JournalReader
from tidelog.market.shards.layout import journal_of
from tidelog.runtime import run
from tidelog.sim.exchange import Recording, SimExchange
from tidelog.sim.exchange.markets.pairs import PAIRS
from tidelog.sim.exchange.wire.firehose import firehose
from tidelog.sim.exchange.wire.server import ExchangeServer

SHARDS = (1, 2, 4)
SYMBOLS = ("BTC/USD", "ETH/USD", "DOGE/USD", "SOL/USD")
UPDATES = 20_000  # of each symbol, made once and played again and again
ROUNDS = 1_000
SECONDS = 8.0
BEGIN_S = 60.0  # for all shards to have frames


async def serve() -> None:
    """The exchange: prints its URL, and plays."""
    frames: list[bytes] = []
    for symbol in SYMBOLS:
        recording = firehose(updates=UPDATES, symbol=symbol)
        (stream,) = recording.streams
        frames += recording.stream(*stream)
    recording = Recording(frames, paced=False, rounds=ROUNDS)
    async with ExchangeServer(SimExchange(pairs=[PAIRS[symbol] for symbol in SYMBOLS], recording=recording)) as server:
        print(server.url(), flush=True)
        await asyncio.Event().wait()


@contextmanager
def exchange() -> Iterator[str]:
    process = subprocess.Popen([sys.executable, "-m", "bench.shards", "--serve"], stdout=subprocess.PIPE, text=True)
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
        reader = JournalReader(path)
        try:
            ends = reader.ends()
        finally:
            reader.close()
        counts.append(0 if ends is None else ends.last.seq)
    return counts


def processor_s(processes: Sequence[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def measure(url: str, shards: int, seconds: float) -> tuple[float, float]:
    """Frames a second, and microseconds of processor time a frame."""
    lists = ";".join(",".join(SYMBOLS[number::shards]) for number in range(shards))
    with tempfile.TemporaryDirectory() as folder:
        journal = Path(folder) / "m.journal"
        command = [
            sys.executable, "-m", "tidelog", "market", "record", "--symbols", ",".join(SYMBOLS), "--channels", "book",
            "--url", url, "--journal", str(journal), "--log-level", "error", "--progress", "none",
        ]  # fmt: skip
        if shards > 1:
            command += ["--shard-symbols", lists]
        recording = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            limit_s = time.monotonic() + BEGIN_S
            while not (counts := journaled(journal, shards)) or min(counts) < UPDATES:
                assert time.monotonic() < limit_s, "no frames came"
                time.sleep(0.05)
            parent = psutil.Process(recording.pid)
            working = parent.children() if shards > 1 else [parent]
            began_s, before, used_s = time.monotonic(), sum(journaled(journal, shards)), processor_s(working)
            time.sleep(seconds)
            frames = sum(journaled(journal, shards)) - before
            wall_s, used_s = time.monotonic() - began_s, processor_s(working) - used_s
        finally:
            recording.terminate()
            recording.wait()
    return frames / wall_s, used_s / frames * 1e6


def main(seconds: float) -> None:
    print(f"{psutil.cpu_count()} cores, {len(SYMBOLS)} symbols")
    print("| shards | frames/s | times one | processor time a frame |\n|---|---|---|---|")
    one = 0.0
    for shards in SHARDS:
        with exchange() as url:
            rate, us = measure(url, shards, seconds)
        one = one or rate
        print(f"| {shards} | {rate:,.0f} | {rate / one:.2f} | {us:.1f} us |", flush=True)


if __name__ == "__main__":
    if sys.argv[1:] == ["--serve"]:
        run(serve())
    else:
        main(float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS)
