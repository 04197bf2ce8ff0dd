"""A command of tidelog that also says how many asyncio tasks it has, and how many bytes SQLite holds for it.

`python -m tests.soaked FILE ARGUMENTS...`
"""

import asyncio
import sys
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import apsw

from tidelog import runtime

T = TypeVar("T")

EVERY_S = 5.0
run = runtime.run


async def tell(path: Path) -> None:
    while True:
        fresh = path.with_suffix(".new")
        fresh.write_text(f"{len(asyncio.all_tasks())} {apsw.memory_used()}")
        fresh.rename(path)
        await asyncio.sleep(EVERY_S)


def run_telling(main: Coroutine[Any, Any, T], *, brief: bool = False) -> T:
    async def both() -> T:
        telling = asyncio.create_task(tell(Path(sys.argv[1])))
        try:
            return await main
        finally:
            telling.cancel()
            with suppress(asyncio.CancelledError):
                await telling

    return run(both(), brief=brief)


def main() -> None:
    runtime.run = run_telling  # before the commands are imported, each of which takes it by its name
    from tidelog.cli import main as command_line

    command_line(sys.argv[2:])


if __name__ == "__main__":
    main()
