"""What a block of 120 transactions and 360 logs costs: decoding, proof, and the whole way into both stores.

Against the naive way (`bench.naive`) on the same node in the same run; decoding against `json.loads` of the
same bytes. The node answers from memory in a process of its own, on the same two cores.
Run as `python -m bench.chain [BLOCKS]`.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import psutil
from tests.postgres import binaries, running

from bench.node import SMALL
from tidelog import compiled
from tidelog.chain import native
from tidelog.chain.blocks import BlockRef, Bundle, RawBlock
from tidelog.chain.decode.strict import decode_block, decode_receipts
from tidelog.chain.forks.position import Position
from tidelog.chain.maintenance.verify import prove_again
from tidelog.chain.proof.checks import prove
from tidelog.chain.proof.known_chains import PROFILES
from tidelog.chain.rows.layout import to_rows
from tidelog.chain.verify import Rules, verify_blocks
from tidelog.sim.node.chain.block_builder import BENCH, Shape
from tidelog.sim.node.chain.tree import BlockTree

CHAIN_ID = 1337
PROFILE = PROFILES[CHAIN_ID]
PARTS_BLOCKS = 80
PARTS_ROUNDS = 3
SAMPLE_S = 0.05
BATCH = 20  # blocks in one call, as an endpoint answers them; two threads have as many batches each
ROUNDS = 7
RULES = Rules(CHAIN_ID, PROFILE)
ALL = slice(None)


def best_s(work: Callable[[], object], rounds: int) -> float:
    """The best of some rounds, in seconds: what the work costs when nothing else takes the core."""
    best = float("inf")
    for _ in range(rounds):
        started = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - started)
    return best


def ms_per_block(work: Callable[[int], object]) -> float:
    """Of block after block, each by its number; results are dropped, because the collector would walk what is kept."""

    def all_of_them() -> None:
        for number in range(PARTS_BLOCKS):
            work(number)

    return best_s(all_of_them, PARTS_ROUNDS) / PARTS_BLOCKS * 1000


def parts() -> None:
    """Decode, proof and rows of distinct blocks, one after the other on one core."""
    chain = BlockTree(seed=1, shape=BENCH, blocks=PARTS_BLOCKS)
    pages = [chain.canonical(number).page for number in range(1, PARTS_BLOCKS + 1)]
    answers = [(page.full, page.receipts) for page in pages]
    bundles = [Bundle(decode_block(block), decode_receipts(receipts)) for block, receipts in answers]
    proofs = [prove(bundle, PROFILE) for bundle in bundles]
    loads = ms_per_block(lambda n: (json.loads(answers[n][0]), json.loads(answers[n][1])))
    decode = ms_per_block(lambda n: (decode_block(answers[n][0]), decode_receipts(answers[n][1])))
    proof = ms_per_block(lambda n: prove(bundles[n], PROFILE))
    rows = ms_per_block(
        lambda n: to_rows(CHAIN_ID, bundles[n], proofs[n], covered=120, endpoint="bench", ingested_at_ms=0)
    )
    size = sum(len(a) + len(b) for a, b in answers) / PARTS_BLOCKS / 1000
    print(f"one block of 120 transactions and 360 logs, {size:.0f} kB of JSON, milliseconds on one core")
    print(f"  json.loads              {loads:6.2f}   1.00")
    for name, value in (("decode, typed and strict", decode), ("proof, every check", proof), ("rows and digest", rows)):
        print(f"  {name:24}{value:5.2f}   {value / loads:4.2f}")


class Answered(NamedTuple):
    """Blocks as answered, in batches as an endpoint gives them."""

    what: str
    batches: list[tuple[list[RawBlock], list[int]]]

    @property
    def blocks(self) -> int:
        return sum(len(keys) for _, keys in self.batches)

    def loads(self) -> None:
        for raws, _ in self.batches:
            for raw in raws:
                json.loads(bytes(raw.block))
                json.loads(bytes(raw.receipts))

    def in_python(self) -> None:
        for raws, keys in self.batches:
            verify_blocks(raws, keys, RULES, range_first=None, endpoint="bench", now_ms=0)

    def by_core(self, lanes: int | None = None, batches: slice = ALL) -> None:
        for raws, keys in self.batches[batches]:
            taken = native.verify_blocks(
                raws, keys, RULES, range_first=None, endpoint="bench", now_ms=0, redact=str, lanes=lanes
            )
            assert len(taken) == len(keys)

    def declined(self) -> Counter[str]:
        """How many blocks the core leaves to Python, by reason."""
        outcomes = [
            outcome
            for raws, keys in self.batches
            for outcome in native.verify_blocks(raws, keys, RULES, range_first=None, endpoint="bench", now_ms=0)
        ]
        return Counter(outcome.reason for outcome in outcomes if isinstance(outcome, native.Declined))

    def in_two_threads(self) -> None:
        with ThreadPoolExecutor(2) as pool:
            for half in [pool.submit(self.by_core, None, slice(i, None, 2)) for i in range(2)]:
                half.result()


HASHING = """
import hashlib, sys, time
text = bytes(16384)
print(flush=True)
for _ in sys.stdin:
    started = time.perf_counter()
    for _ in range(5000):
        hashlib.sha256(text).digest()
    print(time.perf_counter() - started, flush=True)
"""


def gained_by_processes() -> float:
    """How much faster two processes that share nothing, and only hash, are than one: what this machine gives."""
    with contextlib.ExitStack() as stack:
        pair = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", HASHING], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
                )
            )
            for _ in range(2)
        ]

        def slowest(some: Sequence["subprocess.Popen[str]"]) -> float:
            for process in some:
                print(file=process.stdin, flush=True)
            return max([float(process.stdout.readline()) for process in some if process.stdout is not None])

        for process in pair:
            assert process.stdout is not None
            process.stdout.readline()  # it has started
        found = [(slowest(pair[:1]), slowest(pair)) for _ in range(ROUNDS)]
        for process in pair:
            assert process.stdin is not None
            process.stdin.close()
    return 2 * min([alone for alone, _ in found]) / min([both for _, both in found])


def answered(what: str, shape: Shape, blocks: int, batch: int) -> Answered:
    tree = BlockTree(seed=1, shape=shape, blocks=blocks)
    pages = [tree.canonical(number).page for number in range(1, blocks + 1)]
    raws = [RawBlock(page.full, page.receipts) for page in pages]
    numbers = list(range(1, blocks + 1))
    return Answered(what, [(raws[i : i + batch], numbers[i : i + batch]) for i in range(0, blocks, batch)])


def paths() -> None:
    """Decode, proof and rows of batches on both paths, beside `json.loads` of the same bytes.

    Contenders alternate to and fro, since whoever comes behind the Python path takes longer, by up to four fifths.
    The best of several rounds counts, and results are dropped: kept ones make the collector walk them, which inflates
    `json.loads` most. Processor time of the thread, but for two threads.
    """
    core = compiled.core()
    print(f"\ndecode, proof and rows of a batch on both paths; {core.said}")
    for blocks in (
        answered("120 transactions and 360 logs", BENCH, PARTS_BLOCKS, BATCH),
        answered("2 transactions", SMALL, 5 * PARTS_BLOCKS, 5 * BATCH),
    ):
        contenders: dict[str, Callable[[], None]] = {"json.loads": blocks.loads, "in Python": blocks.in_python}
        if core.module is not None:
            for lanes in (1, 4, 8):
                if lanes <= core.module.lanes():
                    contenders[f"by the core, lanes: {lanes}"] = partial(blocks.by_core, lanes)
        best = dict.fromkeys(contenders, float("inf"))
        for turn in range(ROUNDS):
            for name, work in list(contenders.items())[:: -1 if turn % 2 else 1]:
                started = time.thread_time()
                work()
                best[name] = min(best[name], time.thread_time() - started)
        loads = best["json.loads"]
        print(f"  blocks of {blocks.what}")
        for name, seconds in best.items():
            print(f"    {name:26}{seconds / blocks.blocks * 1000:7.3f} ms {seconds / loads:6.2f}")
        if core.module is not None:
            one, two = best_s(blocks.by_core, ROUNDS), best_s(blocks.in_two_threads, ROUNDS)
            gained = gained_by_processes()
            print(f"    two threads instead of one {one / two:13.2f} times; two processes that only hash {gained:.2f}")
            print(f"    declined, by reason: {dict(blocks.declined()) or 'none'}", flush=True)


def stored() -> None:
    """Stored blocks proven again from their rows, on both paths; processor time of the thread."""
    (raws, keys), *_ = answered("", BENCH, BATCH, BATCH).batches
    blocks = [block.rows for block in verify_blocks(raws, keys, RULES, range_first=None, endpoint="bench", now_ms=0)]
    above = [native.Above(rows, rows.ref.parent_hash) for rows in blocks]
    position = Position(0, "0x", BATCH, "0x")
    below = [BlockRef(rows.number - 1, rows.ref.parent_hash, bytes(32)) for rows in blocks]
    contenders: dict[str, Callable[[], list[Any]]] = {
        "in Python": lambda: [
            prove_again(rows, ref, position, PROFILE) for rows, ref in zip(blocks, below, strict=True)
        ]
    }
    if compiled.core().module is not None:
        contenders["by the core"] = lambda: native.verify_stored(above, PROFILE)
    best = dict.fromkeys(contenders, float("inf"))
    for _ in range(ROUNDS):
        for name, work in contenders.items():
            started = time.thread_time()
            assert work() == [None] * len(blocks)
            best[name] = min(best[name], time.thread_time() - started)
    print("\nstored blocks proven again from their rows, which are at hand")
    for name, seconds in best.items():
        print(f"    {name:26}{seconds / len(blocks) * 1000:7.3f} ms {best['in Python'] / seconds:6.2f} times")


@contextmanager
def node(blocks: int, *shape: str) -> Iterator[str]:
    """A node that answers from memory, in a process of its own; `shape` is one of `bench.node`."""
    arguments = [sys.executable, "-m", "bench.node", str(blocks), *shape]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait()


def run(arguments: Sequence[str], path: str = "auto") -> tuple[float, float]:
    """Seconds and peak memory in MB of a process and its children, sampled; `path` is what proves blocks in it."""
    started, peak = time.perf_counter(), 0.0
    process = psutil.Popen(
        [sys.executable, "-m", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {compiled.VARIABLE: path},
    )
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
        verified(f"sqlite:///{folder}/all.db", blocks, naive)
        programs = binaries()
        if programs is None:
            print("  PostgreSQL: not measured, its test package is not installed")
            return
        with running(programs) as server:
            naive = naively("PostgreSQL", url, server.create_database(), naive_blocks)
            db = server.create_database()
            seconds, memory = sync(url, db, blocks)
            _line("tidelog, PostgreSQL", blocks / seconds, naive, memory)
            verified(db, blocks, naive)


def verified(db: str, blocks: int, naive: float) -> None:
    """`chain verify` of all of a store, on both paths."""
    verify = ["tidelog", "chain", "verify", "--db", db]
    in_python, memory = run(verify, "python")
    _line("chain verify, in Python", blocks / in_python, naive, memory)
    if compiled.core().module is not None:
        by_core, memory = run(verify, "native")
        _line("chain verify, by the core", blocks / by_core, naive, memory)
        print(f"    by the core instead of in Python {in_python / by_core:7.2f} times")


def naively(name: str, url: str, db: str, blocks: int) -> float:
    """Blocks per second of the naive way."""
    seconds, memory = run(["bench.naive", url, db, str(blocks)])
    _line(f"naive, {name}, {blocks} blocks", blocks / seconds, blocks / seconds, memory)
    return blocks / seconds


def _line(name: str, rate: float, naive: float, memory_mb: float) -> None:
    print(f"  {name:30}{rate:8.1f} blocks/s {rate / naive:6.1f} x naive   peak {memory_mb:5.0f} MB", flush=True)


if __name__ == "__main__":
    parts()
    paths()
    stored()
    whole(int(sys.argv[1]) if len(sys.argv) > 1 else 600)
