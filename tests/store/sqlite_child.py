"""A process that fills a SQLite store and prints the head after each commit, to be killed or starved.

`python -m tests.store.sqlite_child PATH forever` goes on until it is killed; `... PATH full` may not make
a file larger than FILE_BYTES_MAX, and exits as `Full` says.
"""

import asyncio
import resource
import signal
import sys

from tests.store.rows import SOURCE, Chain
from tidelog.errors import TidelogError
from tidelog.runtime import SystemRuntime
from tidelog.store import open_store

FILE_BYTES_MAX = 8_000_000  # several times what an empty store takes: its log keeps every migration
BLOCKS_PER_COMMIT = 3


async def fill(path: str) -> None:
    store = await open_store(f"sqlite:///{path}", SystemRuntime())
    before = await store.acquire(SOURCE)
    chain = Chain(before, seed=before.epoch)
    chain.head = int(before.position or -1)
    async with store.snapshot() as snapshot:
        for checkpoint in await snapshot.checkpoints():
            chain.seq = checkpoint.commit_seq * BLOCKS_PER_COMMIT
    while True:
        await store.commit(chain.extend(BLOCKS_PER_COMMIT))
        print(chain.head, flush=True)


def main() -> int:
    _, path, mode = sys.argv
    if mode == "full":
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES_MAX, FILE_BYTES_MAX))
    try:
        asyncio.run(fill(path))
    except TidelogError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
