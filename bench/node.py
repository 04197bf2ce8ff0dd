"""A local node that answers from memory, in a process of its own: blocks of 120 transactions and 360 logs.

Run as `python -m bench.node BLOCKS`; it prints its URL when every answer is rendered.
"""

import asyncio
import sys

from tidelog.sim.forge import BENCH
from tidelog.sim.ledger import Ledger
from tidelog.sim.node import SimNode
from tidelog.sim.server import NodeServer


async def serve(blocks: int) -> None:
    chain = Ledger(seed=1, shape=BENCH, blocks=blocks, finalized_depth=0)
    for number in range(blocks + 1):
        page = chain.canonical(number).page
        _ = page.full, page.receipts
    async with NodeServer(SimNode(chain)) as server:
        print(server.url(), flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
