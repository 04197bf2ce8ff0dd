"""A command of tidelog that also says how many asyncio tasks it has, and how many bytes SQLite holds for it.

`python -m tests.soaked FILE ARGUMENTS...`
"""

import asyncio
import gc
import sys
import threading
from pathlib import Path

import apsw

from tidelog.cli import main as command_line

EVERY_S = 5.0  # looking through all objects takes some milliseconds


def tell(path: Path, ended: threading.Event) -> None:
    while not ended.wait(EVERY_S):
        tasks = sum(isinstance(one, asyncio.Task) and not one.done() for one in gc.get_objects())
        fresh = path.with_suffix(".new")
        fresh.write_text(f"{tasks} {apsw.memory_used()}")
        fresh.rename(path)


def main() -> None:
    ended = threading.Event()
    threading.Thread(target=tell, args=(Path(sys.argv[1]), ended), daemon=True).start()
    try:
        command_line(sys.argv[2:])
    finally:
        ended.set()


if __name__ == "__main__":
    main()
