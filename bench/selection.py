"""A selection, proven and asked, beside the whole chain, from one node, in turns: blocks a second, calls, and bytes.

The chain has blocks of 120 transactions and 360 logs; in about one of fifty a contract logs that is the only one
selected. Times are without the start of the process, which is measured by a run of one block. Run as
`python -m bench.selection [BLOCKS [ROUNDS]]`.
"""

import json
import sys
import tempfile
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from bench.beside import Run, in_turns, measured
from bench.chain import node
from tidelog import compiled
from tidelog.sim.node.chain.block_builder import RARE

CONTRACTS = """
[[contract]]
name = "rare"
address = "0x{}"
abi = "Rare()"
evidence = "{}"
"""


class Asked(NamedTuple):
    """What a node was asked for, and answered."""

    calls: int
    size: int


def asked(url: str) -> Asked:
    with urllib.request.urlopen(urllib.request.Request(f"{url}count", data=b"{}", method="POST")) as answer:
        return Asked(*json.load(answer))


def sync(url: str, db: str, last: int, *more: str) -> Run:
    command = [sys.executable, "-m", "tidelog", "chain", "sync", "--rpc", url, "--db", db, "--to", str(last), *more]
    return measured(command)


def compared(blocks: int, rounds: int) -> None:
    print(f"\n{blocks} blocks of 120 transactions and 360 logs, one in fifty with a log that is selected")
    print(f"  {compiled.core().said}")
    with tempfile.TemporaryDirectory() as folder, node(blocks, "rare") as url:

        def selecting(evidence: str) -> tuple[str, str]:
            file = Path(folder) / f"{evidence}.toml"
            file.write_text(CONTRACTS.format(RARE.hex(), evidence))
            return "--contracts", str(file)

        used: dict[str, Asked] = {}

        def contender(name: str, last: int, *more: str) -> Callable[[int], Run]:
            def work(turn: int) -> Run:
                before = asked(url)
                run = sync(url, f"sqlite:///{folder}/{name.replace(' ', '-')}-{turn}.db", last, *more)
                after = asked(url)
                used[name] = Asked(after.calls - before.calls, after.size - before.size)
                return run

            return work

        found = in_turns(
            {
                "whole": contender("whole", blocks),
                "proven": contender("proven", blocks, *selecting("proven")),
                "asked": contender("asked", blocks, *selecting("asked")),
                "start": contender("start", 1, *selecting("proven")),
            },
            rounds,
        )
    start = found.pop("start")
    whole = found["whole"]
    for name, run in found.items():
        wall_s, cpu_s = run.wall_s - start.wall_s, run.cpu_s - start.cpu_s
        print(
            f"  {name:12}{blocks / wall_s:8.0f} blocks/s {(whole.wall_s - start.wall_s) / wall_s:6.1f}"
            f"   {cpu_s / blocks * 1000:6.2f} ms of processor time a block {(whole.cpu_s - start.cpu_s) / cpu_s:6.1f}"
            f"   {used[name].calls} calls, {used[name].size / 1e6:.1f} MB",
            flush=True,
        )


if __name__ == "__main__":
    numbers = [int(each) for each in sys.argv[1:]]
    compared(*(*numbers, *(3_000, 3)[len(numbers) :]))
