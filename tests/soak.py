"""Let everything run for a while against faulty peers, and look at what it takes: `python -m tests.soak --minutes 3`.

A node that reorganises and lies and an exchange that fails are served; a sync follows the one, a recording the other,
both into one store's folder, and a server answers queries of the first. Two more recordings, by the compiled core and
in Python, follow 50 books at depth 100; every minute the connection is lost, so that all books begin again, or many
checksums are wrong. Once a second the memory, the open handles, the threads and the tasks of each are written to
samples.csv and samples-books.csv; at the end there is a plot, soak.svg, and a verdict. The verdict is a judgement of
growth: the slope over the second half of USS without what SQLite holds (its page caches fill up, to a bound that each
connection sets), and whether handles are where they were; of the 50 books also the most that they took.
"""

import argparse
import csv
import itertools
import json
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen, TimeoutExpired
from typing import NamedTuple

import psutil

from tests.command import environment, until
from tests.soak_plot import Sample, plot, slope_per_hour
from tidelog.compiled import VARIABLE, core

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
BOOKS, BOOKS_DEPTH, BOOKS_PER_S = 50, 100, 20  # of all: a machine that is busy keeps up with so many
BOOKS_MB_MAX = 80.0  # megabytes of USS, SQLite's included
BOOKS_JOBS = {f"books-{path}": path for path in (("native", "python") if core().module is not None else ("python",))}
RESYNCS = (["disconnect", 1012], ["fault", "checksum_wrong", 1.0, BOOKS])  # of all books, of some half of them
RESYNC_EVERY_S = 60.0
ENDS_S = 60.0
ANSWER_S = 120.0  # that a peer may take, on a machine that has no time


class Job(NamedTuple):
    """A process that is looked at."""

    name: str
    process: Popen[bytes]
    tasks: Path


def started(folder: Path, name: str, *arguments: str, path: str = "auto") -> Job:
    """Start a command of tidelog; `path` says whether by the compiled core."""
    tasks = folder / f"{name}.tasks"
    with (folder / f"{name}.log").open("wb") as log:
        command = [sys.executable, "-m", "tests.soaked", str(tasks), *arguments]
        return Job(
            name, Popen(command, env=environment() | {VARIABLE: path}, stdin=DEVNULL, stdout=log, stderr=log), tasks
        )


def served(*arguments: str) -> tuple[Popen[bytes], str]:
    """A simulated peer, and the line that says where it is."""
    process = Popen([sys.executable, "-u", "-m", *arguments], env=environment(), stdout=PIPE, stderr=DEVNULL)
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
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=ANSWER_S) as answer:
            answer.read()


def keep(stack: ExitStack, process: Popen[bytes]) -> None:
    """End it with the soak."""

    def end() -> None:
        process.terminate()
        with suppress(TimeoutExpired):
            process.wait(ENDS_S)
        process.kill()
        process.wait()

    stack.callback(end)


def soak_books(minutes: float, folder: Path) -> tuple[list[Sample], list[str]]:
    """Fifty books at depth 100; the samples, and what went wrong."""
    with ExitStack() as stack:
        exchange, line = served("tests.soak_books", str(BOOKS), str(BOOKS_DEPTH), str(BOOKS_PER_S))
        keep(stack, exchange)
        url, rest_url, symbols = line.split()
        jobs = [
            started(
                folder, name, "market", "record", "--symbols", symbols, "--channels", "book",
                "--depth", str(BOOKS_DEPTH), "--url", url,
                "--journal", f"{folder}/journal-{name}", "--journal-max", "200MiB", path=path,
            )
            for name, path in BOOKS_JOBS.items()
        ]  # fmt: skip
        for job in jobs:
            keep(stack, job.process)
        resyncs, due = itertools.cycle(RESYNCS), RESYNC_EVERY_S

        def resync(second: float) -> None:
            nonlocal due
            if second >= due:
                due += RESYNC_EVERY_S
                with urllib.request.urlopen(
                    f"{rest_url}/sim", json.dumps(next(resyncs)).encode(), timeout=ANSWER_S
                ) as answer:
                    answer.read()

        return sampled(jobs, minutes, resync, folder / "samples-books.csv")


def sampled(
    jobs: Sequence[Job], minutes: float, each: Callable[[float], None], path: Path
) -> tuple[list[Sample], list[str]]:
    """Look at the jobs once a second, and do something each time, as long as nothing goes wrong.

    The samples are in a file as they come.
    """
    samples: list[Sample] = []
    begun = time.monotonic()
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(Sample._fields)
        while (second := time.monotonic() - begun) < minutes * 60:
            for job in jobs:
                found = sample(job, second)
                if found is None:
                    return samples, [f"{job.name} ended with {job.process.poll()} after {second:.0f} s"]
                samples.append(found)
                writer.writerow(found)
            file.flush()
            try:
                each(second)
            except OSError as error:
                return samples, [f"after {second:.0f} s: {error}"]
            time.sleep(SAMPLE_S)
    return samples, []


def soak(minutes: float, folder: Path) -> tuple[list[Sample], list[str]]:
    """Everything against faulty peers; the samples, and what went wrong."""
    with ExitStack() as stack:
        node, line = served(
            "tidelog", "sim", "node", "--port", "0", "--block-time", "0.5", "--reorg-every", "7", "--reorg-depth", "4",
            "--replicas", "2", *(part for lie in LIES for part in ("--lie", f"{lie}={PROBABILITY}")),
        )  # fmt: skip
        keep(stack, node)
        url = line.split()[0]
        exchange, line = served(
            "tidelog", "sim", "exchange", "--port", "0", "--rate", "100",
            *(part for fault in FAULTS for part in ("--fault", f"{fault}={PROBABILITY / 2}")),
        )  # fmt: skip
        keep(stack, exchange)
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
        keep(stack, jobs[0].process)
        keep(stack, jobs[1].process)
        until(lambda: (folder / "chain.db").exists(), "a store")
        time.sleep(2)  # until it has its tables: `serve` refuses a store without
        jobs.append(started(folder, "serve", "serve", "--port", "0", "--db", chain_db, "--log-level", "warning"))
        keep(stack, jobs[2].process)
        port = until(lambda: port_in(folder / "serve.log"), "the server") or 0
        return sampled(jobs, minutes, lambda _: ask(port), folder / "samples.csv")


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
        most_mb = max(one.uss for one in own) / 1e6
        fits = name not in BOOKS_JOBS or most_mb < BOOKS_MB_MAX
        judged = f"{'flat' if good else 'GROWS'}{'' if fits else ', TOO LARGE'}: at most {most_mb:.1f} MB"
        found[name] = (
            f"{name}: {judged}; USS {late[-1].uss / 2**20:.1f} MiB, of it SQLite"
            f" {late[-1].sqlite / 2**20:.1f}; without it {slope:+.1f} MiB/h over the second half;"
            f" at most {before} handles in the first half, {after} in the second;"
            f" {late[-1].threads} threads, {late[-1].tasks} tasks"
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--folder", type=Path, default=Path("soak"))
    parser.add_argument("--books", action="store_true", help="the fifty books alone")
    options = parser.parse_args()
    folder: Path = options.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        if old.suffix in {".db", ".log", ".tasks", ".csv", ".svg"} or old.name.startswith(
            ("journal", "chain", "market")
        ):
            old.unlink()
    with ThreadPoolExecutor() as threads:
        parts = (soak_books,) if options.books else (soak, soak_books)
        running = [threads.submit(part, options.minutes, folder) for part in parts]
    samples = [one for part in running for one in part.result()[0]]
    wrong = [why for part in running for why in part.result()[1]]
    lines = verdicts(samples)
    (folder / "soak.svg").write_text(plot(samples, list(lines.values())))
    (folder / "verdict.json").write_text(json.dumps({"wrong": wrong, **lines}, indent=1))
    print(*wrong, *lines.values(), f"plot: {folder / 'soak.svg'}", sep="\n")
    sys.exit(1 if wrong or any("GROWS" in line or "TOO LARGE" in line for line in lines.values()) else 0)


if __name__ == "__main__":
    main()
