"""A local node that answers from memory, in a process of its own: blocks of 120 transactions and 360 logs, or others.

Run as `python -m bench.node BLOCKS [small|huge]`; it prints its URL when every answer is rendered.
"""

import asyncio
import sys

from tidelog.sim.node.chain.block_builder import BENCH, Shape
from tidelog.sim.node.chain.tree import BlockTree
from tidelog.sim.node.node import SimNode
from tidelog.sim.node.server import NodeServer

SMALL = Shape(transactions=(2, 2), logs=(0, 2))
SHAPES = {"small": SMALL, "huge": Shape(transactions=(250, 250), logs=(40, 40)), "": BENCH}


async def serve(blocks: int, shape: Shape) -> None:
    chain = BlockTree(seed=1, shape=shape, blocks=blocks, finalized_depth=0)
    for number in range(blocks + 1):
        page = chain.canonical(number).page
        _ = page.full, page.receipts
    async with NodeServer(SimNode(chain)) as server:
        print(server.url(), flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), SHAPES["".join(sys.argv[2:])]))
