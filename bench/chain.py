"""What a block of 120 transactions and 360 logs costs: decoding, proof, and the whole way into both stores.

Against the naive way (`bench.naive`) on the same node in the same run; decoding against `json.loads` of the
same bytes. The node answers from memory in a process of its own, on the same two cores.
Run as `python -m bench.chain [BLOCKS]`.
"""

import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import psutil
from tests.postgres import binaries, running

from tidelog.chain.blocks import Bundle
from tidelog.chain.known import PROFILES
from tidelog.chain.proof import prove
from tidelog.chain.rows import to_rows
from tidelog.chain.wire import decode_block, decode_receipts
from tidelog.sim.forge import BENCH
from tidelog.sim.ledger import Ledger

CHAIN_ID = 1337
PROFILE = PROFILES[CHAIN_ID]
PARTS_BLOCKS = 60
SAMPLE_S = 0.05


def ms_per_block(work: Callable[[], object], blocks: int, rounds: int = 3) -> float:
    """The best of some rounds: what the work costs when nothing else takes the core."""
    best = float("inf")
    for _ in range(rounds):
        started = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - started)
    return best / blocks * 1000


def parts() -> None:
    """Decode, proof and rows of distinct blocks, one after the other on one core."""
    chain = Ledger(seed=1, shape=BENCH, blocks=PARTS_BLOCKS)
    pages = [chain.canonical(number).page for number in range(1, PARTS_BLOCKS + 1)]
    answers = [(page.full, page.receipts) for page in pages]
    bundles = [Bundle(decode_block(block), decode_receipts(receipts)) for block, receipts in answers]
    proofs = [prove(bundle, PROFILE) for bundle in bundles]
    loads = ms_per_block(lambda: [(json.loads(a), json.loads(b)) for a, b in answers], PARTS_BLOCKS)
    decode = ms_per_block(lambda: [(decode_block(a), decode_receipts(b)) for a, b in answers], PARTS_BLOCKS)
    proof = ms_per_block(lambda: [prove(bundle, PROFILE) for bundle in bundles], PARTS_BLOCKS)
    rows = ms_per_block(
        lambda: [
            to_rows(CHAIN_ID, bundle, proof, covered=120, endpoint="bench", ingested_at_ms=0)
            for bundle, proof in zip(bundles, proofs, strict=True)
        ],
        PARTS_BLOCKS,
    )
    size = sum(len(a) + len(b) for a, b in answers) / PARTS_BLOCKS / 1000
    print(f"one block of 120 transactions and 360 logs, {size:.0f} kB of JSON, milliseconds on one core")
    print(f"  json.loads              {loads:6.2f}   1.00")
    for name, value in (("decode, typed and strict", decode), ("proof, every check", proof), ("rows and digest", rows)):
        print(f"  {name:24}{value:5.2f}   {value / loads:4.2f}")


@contextmanager
def node(blocks: int) -> Iterator[str]:
    process = subprocess.Popen([sys.executable, "-m", "bench.node", str(blocks)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait()


def run(arguments: Sequence[str]) -> tuple[float, float]:
    """Seconds and peak memory in MB of a process and its children, sampled."""
    started, peak = time.perf_counter(), 0.0
    process = psutil.Popen([sys.executable, "-m", *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None:
        peak = max(peak, _memory_mb(process))
        time.sleep(SAMPLE_S)
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(arguments)} ended with {process.returncode}")
    return time.perf_counter() - started, peak


def _memory_mb(process: psutil.Process) -> float:
    total = 0
    with contextlib.suppress(psutil.Error):
        for one in (process, *process.children(recursive=True)):
            total += one.memory_info().rss
    return total / 1e6


def sync(url: str, db: str, last: int) -> tuple[float, float]:
    return run(["tidelog", "chain", "sync", "--rpc", url, "--db", db, "--to", str(last)])


def whole(blocks: int) -> None:
    print(f"\nthe whole way, {blocks} such blocks over HTTP; start of the process included")
    naive_blocks = max(10, blocks // 10)
    with tempfile.TemporaryDirectory() as folder, node(blocks) as url:
        naive = naively("SQLite", url, f"sqlite:///{folder}/naive.db", naive_blocks)
        third_s, third_mb = sync(url, f"sqlite:///{folder}/third.db", blocks // 3)
        _line(f"tidelog, SQLite, {blocks // 3} blocks", blocks // 3 / third_s, naive, third_mb)
        seconds, memory = sync(url, f"sqlite:///{folder}/all.db", blocks)
        _line(f"tidelog, SQLite, {blocks} blocks", blocks / seconds, naive, memory)
        verified, memory = run(["tidelog", "chain", "verify", "--db", f"sqlite:///{folder}/all.db"])
        _line("tidelog chain verify", blocks / verified, naive, memory)
        programs = binaries()
        if programs is None:
            print("  PostgreSQL: not measured, its test package is not installed")
            return
        with running(programs) as server:
            naive = naively("PostgreSQL", url, server.create_database(), naive_blocks)
            seconds, memory = sync(url, server.create_database(), blocks)
            _line("tidelog, PostgreSQL", blocks / seconds, naive, memory)


def naively(name: str, url: str, db: str, blocks: int) -> float:
    """Blocks per second of the naive way."""
    seconds, memory = run(["bench.naive", url, db, str(blocks)])
    _line(f"naive, {name}, {blocks} blocks", blocks / seconds, blocks / seconds, memory)
    return blocks / seconds


def _line(name: str, rate: float, naive: float, memory_mb: float) -> None:
    print(f"  {name:30}{rate:8.1f} blocks/s {rate / naive:6.1f} x naive   peak {memory_mb:5.0f} MB", flush=True)


if __name__ == "__main__":
    parts()
    whole(int(sys.argv[1]) if len(sys.argv) > 1 else 600)
