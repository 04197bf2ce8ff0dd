"""Let everything run for a while against faulty peers, and look at what it takes: `python -m tests.soak --minutes 3`.

A node that reorganises and lies and an exchange that fails are served; a sync follows the one, a recording the other,
both into one store's folder, and a server answers queries of the first. Once a second the memory, the open handles, the
threads and the tasks of each are written to samples.csv; at the end there is a plot, soak.svg, and a verdict. The
verdict is a judgement of growth: the slope over the second half of USS without what SQLite holds (its page caches fill
up, to a bound that each connection sets), and whether handles are where they were.
"""

import argparse
import csv
import json
import sys
import time
import urllib.request
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen
from typing import NamedTuple

import psutil

from tests.command import environment, until
from tests.soak_plot import Sample, plot, slope_per_hour

SAMPLE_S = 1.0
LIES = (
    *("block_null", "block_other", "receipts_empty", "receipts_missing", "receipts_other_fork", "transaction_altered"),
    *("parent_wrong", "bloom_wrong", "heads_flap", "lagging_backend", "internal_error", "rate_limited_200"),
    *("throttle", "bad_gateway", "cut", "truncated", "reset", "id_wrong", "batch_short", "empty_body"),
)
FAULTS = (
    *("drop", "duplicate", "reorder", "checksum_wrong", "corrupt", "cut", "fragments", "fields_new", "close_1006"),
    *("close_1012", "half_open", "stall", "snapshot_partial", "snapshot_lost", "ack_lost", "huge", "nesting"),
)
PROBABILITY = 0.002  # of each, at each message: one in some thirty is wrong
GROWTH_MIB_PER_HOUR = 60.0  # of the second half: a page or two of a cache, seen over minutes, is as much
HANDLES_MORE = 12  # connections come and go


class Job(NamedTuple):
    """A process that is looked at."""

    name: str
    process: Popen[bytes]
    tasks: Path


def started(folder: Path, name: str, *arguments: str) -> Job:
    tasks = folder / f"{name}.tasks"
    with (folder / f"{name}.log").open("wb") as log:
        command = [sys.executable, "-m", "tests.soaked", str(tasks), *arguments]
        return Job(name, Popen(command, env=environment(), stdin=DEVNULL, stdout=log, stderr=log), tasks)


def served(*arguments: str) -> tuple[Popen[bytes], str]:
    """A simulated peer, and the line that says where it is."""
    process = Popen([sys.executable, "-u", "-m", "tidelog", *arguments], env=environment(), stdout=PIPE, stderr=DEVNULL)
    assert process.stdout is not None
    return process, process.stdout.readline().decode()


def sample(job: Job, second: float) -> Sample | None:
    """None: it has ended."""
    if job.process.poll() is not None:
        return None
    with suppress(psutil.NoSuchProcess):
        seen = psutil.Process(job.process.pid)
        memory = seen.memory_full_info()
        tasks, sqlite = map(int, job.tasks.read_text().split()) if job.tasks.exists() else (0, 0)
        return Sample(second, job.name, memory.rss, memory.uss, sqlite, seen.num_fds(), seen.num_threads(), tasks)
    return None


def ask(port: int) -> None:
    """Some of what a reader asks a server for."""
    for path in ("/v1/chains/1337/blocks?limit=100", "/v1/chains/1337/changes?limit=100", "/v1/stats"):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=20) as answer:
            answer.read()


def soak(minutes: float, folder: Path) -> tuple[list[Sample], list[str]]:
    """The samples, and what went wrong."""
    wrong: list[str] = []
    samples: list[Sample] = []
    with ExitStack() as stack:

        def keep(process: Popen[bytes]) -> None:
            stack.callback(process.wait, 30)
            stack.callback(process.terminate)

        node, line = served(
            "sim", "node", "--port", "0", "--block-time", "0.5", "--reorg-every", "7", "--reorg-depth", "4",
            "--replicas", "2", *(part for lie in LIES for part in ("--lie", f"{lie}={PROBABILITY}")),
        )  # fmt: skip
        keep(node)
        url = line.split()[0]
        exchange, line = served(
            "sim", "exchange", "--port", "0", "--rate", "100",
            *(part for fault in FAULTS for part in ("--fault", f"{fault}={PROBABILITY / 2}")),
        )  # fmt: skip
        keep(exchange)
        socket = line.split()[1].rstrip(",")
        chain_db, market_db = f"sqlite:///{folder}/chain.db", f"sqlite:///{folder}/market.db"
        jobs = [
            started(
                folder, "sync", "chain", "sync", "--rpc", f"{url}replica-0", "--rpc", f"{url}replica-1",
                "--db", chain_db, "--follow", "--poll", "0.2", "--jobs", "0",
            ),
            started(
                folder, "record", "market", "record", "--symbols", "BTC/USD,ETH/USD", "--url", socket,
                "--journal", f"{folder}/journal", "--db", market_db,
            ),
        ]  # fmt: skip
        keep(jobs[0].process)
        keep(jobs[1].process)
        until(lambda: (folder / "chain.db").exists(), "a store")
        time.sleep(2)  # until it has its tables: `serve` refuses a store without
        jobs.append(started(folder, "serve", "serve", "--port", "0", "--db", chain_db, "--log-level", "warning"))
        keep(jobs[2].process)
        port = until(lambda: port_in(folder / "serve.log"), "the server") or 0
        begun = time.monotonic()
        while (second := time.monotonic() - begun) < minutes * 60:
            for job in jobs:
                found = sample(job, second)
                if found is None:
                    wrong.append(f"{job.name} ended with {job.process.poll()} after {second:.0f} s")
                else:
                    samples.append(found)
            if wrong:
                break
            try:
                ask(port)
            except OSError as error:
                wrong.append(f"serve: {error}")
            time.sleep(SAMPLE_S)
    return samples, wrong


def port_in(log: Path) -> int | None:
    """Where the server says that it listens."""
    for word in log.read_text().split():
        address = word.strip("\",'/")
        if address.startswith("http://127.0.0.1:"):
            return int(address.removeprefix("http://127.0.0.1:").split("/")[0])
    return None


def verdicts(samples: Sequence[Sample]) -> dict[str, str]:
    """For each process, in a line, whether it grows."""
    found: dict[str, str] = {}
    for name in dict.fromkeys(one.name for one in samples):
        own = [one for one in samples if one.name == name]
        late = own[len(own) // 2 :]
        slope = slope_per_hour([(one.second, one.uss - one.sqlite) for one in late]) / 2**20
        before, after = (max(one.handles for one in part) for part in (own[: len(own) // 2], late))
        good = slope < GROWTH_MIB_PER_HOUR and after <= before + HANDLES_MORE
        found[name] = (
            f"{name}: {'flat' if good else 'GROWS'}: USS {late[-1].uss / 2**20:.1f} MiB, of it SQLite"
            f" {late[-1].sqlite / 2**20:.1f}; without it {slope:+.1f} MiB/h over the second half;"
            f" at most {before} handles in the first half, {after} in the second;"
            f" {late[-1].threads} threads, {late[-1].tasks} tasks"
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--folder", type=Path, default=Path("soak"))
    options = parser.parse_args()
    folder: Path = options.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        if old.suffix in {".db", ".log", ".tasks", ".csv", ".svg"} or old.name.startswith(
            ("journal", "chain", "market")
        ):
            old.unlink()
    samples, wrong = soak(options.minutes, folder)
    with (folder / "samples.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(Sample._fields)
        writer.writerows(samples)
    lines = verdicts(samples)
    (folder / "soak.svg").write_text(plot(samples, list(lines.values())))
    (folder / "verdict.json").write_text(json.dumps({"wrong": wrong, **lines}, indent=1))
    print(*wrong, *lines.values(), f"plot: {folder / 'soak.svg'}", sep="\n")
    sys.exit(1 if wrong or any("GROWS" in line for line in lines.values()) else 0)


if __name__ == "__main__":
    main()
