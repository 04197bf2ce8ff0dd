"""What traces cost: off, all, one in a hundred, each beside the same without; and with a collector that hangs.

CPU seconds of a sync and its processes; microseconds of one block's trace, and of a frame's. The collector is a
process of its own. Run as `python -m bench.tracing [BLOCKS]`.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil
from tests.collector import Collector
from tests.market.blocks import block_of

from bench.chain import node
from bench.market import parse, seconds
from bench.market_path import frames_in
from tidelog.chain.blocks import BlockRef
from tidelog.chain.tracing import BlockTraces, Traced, block_trace
from tidelog.chain.verify import Fetch, Stages
from tidelog.market.events import EventId
from tidelog.market.records import Kind
from tidelog.market.tracing import BatchTraces
from tidelog.runtime import SystemRuntime
from tidelog.telemetry.otel import traced

ROUNDS = 5
BATCH_FRAMES = 100
TOLD = 300  # traces of blocks at a stretch: fewer spans than a queue holds, so that none is left out
RATIO = {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.01"}


@contextmanager
def collector(*arguments: str) -> Iterator[dict[str, str]]:
    """The variables that send traces to a collector."""
    command = [sys.executable, "-m", "bench.tracing", "collector", *arguments]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield {"OTEL_EXPORTER_OTLP_ENDPOINT": process.stdout.readline().strip()}
    finally:
        process.kill()
        process.wait()


def collect(*, hang: bool) -> None:
    with Collector(hang=hang) as taking:
        print(taking.url, flush=True)
        sys.stdin.read()


def cpu_s(url: str, db: str, blocks: int, environment: Mapping[str, str]) -> float:
    """Of a sync and the processes that it ends, user and system."""
    before = psutil.Process().cpu_times()
    command = [sys.executable, "-m", "tidelog", "chain", "sync", "--rpc", url, "--db", db, "--to", str(blocks)]
    subprocess.run(command, env={**os.environ, **environment}, check=True, capture_output=True)
    after = psutil.Process().cpu_times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def of_a_sync(blocks: int) -> None:
    print(f"CPU seconds of a sync of {blocks} blocks of 120 transactions, median of {ROUNDS}, in turns")
    with tempfile.TemporaryDirectory() as folder, node(blocks) as url, collector() as told, collector("hang") as hung:
        ways = {"off": {}, "all": told, "one in a hundred": {**told, **RATIO}, "all, the collector hangs": hung}
        found: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(ROUNDS):
            for name, environment in ways.items():
                db = f"sqlite:///{folder}/{name.replace(' ', '-')}-{number}.db"
                found[name].append(cpu_s(url, db, blocks, environment))
    off = statistics.median(found["off"])
    for name, values in found.items():
        seconds = statistics.median(values)
        print(f"  {name:28}{seconds:7.2f} s   {seconds / off:5.2f} x off", flush=True)


def of_a_block() -> None:
    """At the head blocks come one by one, each with all its spans: no limit helps there."""
    runtime = SystemRuntime()
    stages = Stages((Fetch("bench", 1.0, 2.0, 1),), 2.0, 3.0)
    refs = [BlockRef(number, number.to_bytes(32, "big"), b"") for number in range(TOLD)]
    blocks = [Traced(ref, 120, 360, 150_000, "hash+", stages, block_trace(1, 1, ref.hash)) for ref in refs]

    traces = BlockTraces(1, lambda: 1, runtime)

    def microseconds() -> float:
        """Of this process's CPU, what its other threads send included."""
        with traced("bench"):
            started = time.process_time()
            for block in blocks:
                with traces.commit([block], blocks=1):
                    pass
        return (time.process_time() - started) / len(blocks) * 1e6

    off = min(microseconds() for _ in range(ROUNDS))
    with collector() as environment:
        os.environ.update(environment)
        on = min(microseconds() for _ in range(ROUNDS))
        del os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"]
    print(f"\none block's trace of five spans, CPU, sending included: off {off:.2f} us, on {on:.0f} us")


def of_a_frame() -> None:
    """In batches of BATCH_FRAMES, as a busy market has them; beside `json.loads` of the same frames."""
    runtime = SystemRuntime()
    with tempfile.TemporaryDirectory() as folder, collector() as environment:
        _, frames = frames_in(Path(folder))
        loads_us = min(seconds(parse, frames) for _ in range(ROUNDS)) / len(frames) * 1e6
        now_us = int(runtime.now() * 1e6)
        batches = [
            block_of(1, first + 1, [(Kind.IN.value, now_us, frame) for frame in frames[first : first + BATCH_FRAMES]])
            for first in range(0, len(frames), BATCH_FRAMES)
        ]

        def microseconds() -> float:
            with traced("bench"):
                traces = BatchTraces("bench", runtime, lambda: now_us)
                started = time.process_time()
                for batch in batches:
                    for number in range(batch.count):
                        traces.applied(EventId(1, batch.first_seq + number), 1.0, 2.0)
                    traces.committed(b"bench", [batch], 2.0, 3.0)
            return (time.process_time() - started) / len(frames) * 1e6

        os.environ.update(environment)
        on = min(microseconds() for _ in range(ROUNDS))
        del os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"]
    print(
        f"one frame of a batch of {BATCH_FRAMES}, CPU, sending included: {on:.1f} us, {on / loads_us:.2f} x json.loads"
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["collector"]:
        collect(hang="hang" in sys.argv)
    else:
        of_a_sync(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
        of_a_block()
        of_a_frame()
