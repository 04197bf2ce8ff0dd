"""The sync beside cryo, which writes Parquet files and proves nothing: from the same node, in turns.

cryo comes by pip into a virtual environment of its own, `.bench/cryo`, the first time. Of each contender it says blocks
a second and processor time a block, the start of its process included, each as the median of some rounds; and the same
of blocks of 2 transactions and of 10,000 logs. Run as `python -m bench.beside [BLOCKS [ROUNDS]]`.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from tests.postgres import binaries, running

from bench.chain import node
from tidelog import compiled

PACKAGES = ("cryo==0.3.2", "polars", "pyarrow", "pandas")  # cryo names none of the others, and wants all of them
INSTALL_S = 180
FOLDER = Path(__file__).parent.parent / ".bench" / "cryo"
SMALL_BLOCKS = 6_000
HUGE_BLOCKS = 40
COLLECT = """
import os, sys
from cryo import freeze
url, last, folder = sys.argv[1:]
freeze(["blocks", "transactions", "logs"], rpc=url, blocks=[f"1:{int(last) + 1}"], output_dir=folder,
       requests_per_second=None, max_concurrent_requests=32, no_verbose=True, overwrite=True)
os._exit(0)  # its threads now and then crash an interpreter that ends
"""


class Run(NamedTuple):
    """What one run took."""

    wall_s: float
    cpu_s: float
    peak_mb: float


def measured(command: list[str], environment: dict[str, str] | None = None) -> Run:
    """Of a process, and the processor time of those that it waited for."""
    with tempfile.TemporaryFile() as said:
        started = time.perf_counter()
        process = subprocess.Popen(command, env=os.environ | (environment or {}), stdout=said, stderr=said)
        _, status, used = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            said.seek(0)
            raise SystemExit(f"{' '.join(command[:4])} ended with {process.returncode}: {said.read()[-500:]!r}")
    return Run(wall_s, used.ru_utime + used.ru_stime, used.ru_maxrss / 1000)


def cryo() -> Path | str:
    """The Python that has cryo, or why there is none."""
    python = FOLDER / "bin" / "python"
    try:
        if not python.exists():
            subprocess.run([sys.executable, "-m", "venv", str(FOLDER)], check=True, capture_output=True, text=True)
        probe = [str(python), "-c", "import cryo, polars, pyarrow, pandas"]
        if subprocess.run(probe, capture_output=True).returncode != 0:
            pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PACKAGES]
            subprocess.run(pip, check=True, capture_output=True, text=True, timeout=INSTALL_S)
            subprocess.run(probe, check=True, capture_output=True, text=True)
    except subprocess.TimeoutExpired:
        return f"pip did not have it within {INSTALL_S} s"
    except subprocess.CalledProcessError as error:
        return next(iter((error.stderr or "").strip().splitlines()[-1:]), str(error))
    return python


def sync(url: str, db: str, last: int, core: str) -> Run:
    command = [sys.executable, "-m", "tidelog", "chain", "sync", "--rpc", url, "--db", db, "--to", str(last)]
    return measured(command, {"TIDELOG_CORE": core})


def in_turns(contenders: dict[str, Callable[[int], Run]], rounds: int) -> dict[str, Run]:
    """Each contender once a round; the medians."""
    runs: dict[str, list[Run]] = {name: [] for name in contenders}
    for turn in range(rounds):
        for name, work in contenders.items():
            runs[name].append(work(turn))
    return {name: Run(*map(statistics.median, zip(*each, strict=True))) for name, each in runs.items()}


def compared(blocks: int, rounds: int, python: Path | str) -> None:
    core = compiled.core()
    print(f"\n{blocks} blocks of 120 transactions and 360 logs into a store, beside cryo; {core.said}")
    if isinstance(python, str):
        print(f"  cryo is not measured: {python}")
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        url = stack.enter_context(node(blocks))
        contenders: dict[str, Callable[[int], Run]] = {}
        if isinstance(python, Path):
            collect = [str(python), "-c", COLLECT, url, str(blocks)]
            contenders["cryo"] = lambda turn: measured([*collect, f"{folder}/parquet-{turn}"])
        for path in ("native", "python") if core.module is not None else ("python",):
            db = f"sqlite:///{folder}/{path}"
            contenders[f"SQLite, {path}"] = lambda turn, db=db, path=path: sync(url, f"{db}-{turn}.db", blocks, path)  # type: ignore[misc]
        programs = binaries()
        if programs is None:
            print("  PostgreSQL is not measured: its test package is not installed")
        else:
            server = stack.enter_context(running(programs))
            path = "native" if core.module is not None else "python"
            contenders[f"PostgreSQL, {path}"] = lambda turn: sync(url, server.create_database(), blocks, path)
        told(in_turns(contenders, rounds), blocks)


def told(found: dict[str, Run], blocks: int) -> None:
    first = next(iter(found.values()))
    for name, run in found.items():
        print(
            f"  {name:20}{blocks / run.wall_s:8.1f} blocks/s {first.wall_s / run.wall_s:6.2f}"
            f"   {run.cpu_s / blocks * 1000:6.2f} ms of processor time a block {run.cpu_s / first.cpu_s:6.2f}"
            f"   {run.peak_mb:4.0f} MB",
            flush=True,
        )


def small(rounds: int) -> None:
    core = "native" if compiled.core().module is not None else "python"
    print(f"\n{SMALL_BLOCKS} blocks of 2 transactions")
    with tempfile.TemporaryDirectory() as folder, node(SMALL_BLOCKS, "small") as url:
        work: dict[str, Callable[[int], Run]] = {
            f"SQLite, {core}": lambda turn: sync(url, f"sqlite:///{folder}/{turn}.db", SMALL_BLOCKS, core),
            "its start alone": lambda turn: sync(url, f"sqlite:///{folder}/start-{turn}.db", 1, core),
        }
        found = in_turns(work, rounds)
        told({name: run for name, run in found.items() if name != "its start alone"}, SMALL_BLOCKS)
        (whole, start) = found.values()
        print(f"  without its start   {SMALL_BLOCKS / (whole.wall_s - start.wall_s):8.1f} blocks/s")


def huge() -> None:
    core = "native" if compiled.core().module is not None else "python"
    print(f"\n{HUGE_BLOCKS} blocks of 250 transactions and 10,000 logs")
    with tempfile.TemporaryDirectory() as folder, node(HUGE_BLOCKS, "huge") as url:
        told({f"SQLite, {core}": sync(url, f"sqlite:///{folder}/huge.db", HUGE_BLOCKS, core)}, HUGE_BLOCKS)


if __name__ == "__main__":
    numbers = [int(each) for each in sys.argv[1:]]
    blocks, rounds = (*numbers, *(600, 3)[len(numbers) :])
    compared(blocks, rounds, cryo())
    small(rounds)
    huge()
