"""A process that writes a journal for ever and prints each id that is durable, to be killed.

`python -m tests.market.journal_child PATH`
"""

import asyncio
import sys

from tidelog.market.events import EventId
from tidelog.market.journal.writer import open_journal
from tidelog.market.records import Kind
from tidelog.runtime import SystemRuntime


def payload(seq: int) -> bytes:
    return b"%d:" % seq + b"x" * (seq * 37 % 4000)


async def fill(path: str) -> None:
    def tell(id_: EventId) -> None:
        print(*id_, flush=True)

    journal = await open_journal(path, SystemRuntime(), on_durable=tell)
    seq = 0
    while True:
        for _ in range(100):
            seq += 1
            journal.append(Kind.IN, payload(seq), seq, restart=seq == 1)
        await asyncio.sleep(0.001)
        await journal.wait_room()


if __name__ == "__main__":
    asyncio.run(fill(sys.argv[1]))
