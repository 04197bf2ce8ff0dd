"""A local node that answers from memory, in a process of its own: blocks of 120 transactions and 360 logs, or others.

Run as `python -m bench.node BLOCKS [small|huge|rare|tokens]`; it prints its URL when every answer is rendered. Posts to
`/count` are answered with the calls and the bytes of answers so far.
"""

import asyncio
import sys

from msgspec.structs import replace

from tidelog.sim.node.answers import Answer
from tidelog.sim.node.chain.block_builder import BENCH, Shape
from tidelog.sim.node.chain.tree import BlockTree
from tidelog.sim.node.node import SimNode
from tidelog.sim.node.server import NodeServer

SMALL = Shape(transactions=(2, 2), logs=(0, 2))
RARE = replace(BENCH, rare=1 / (50 * 360))  # a log of the rare contract in one block of fifty
TOKENS = replace(BENCH, contracts=True)
HUGE = Shape(transactions=(250, 250), logs=(40, 40))
SHAPES = {"small": SMALL, "huge": HUGE, "rare": RARE, "tokens": TOKENS, "": BENCH}


class Counted(SimNode):
    """Counts what it is asked for, and what it answers."""

    calls = size = 0

    def handle(self, path: str, body: bytes, *, now: float = 0.0) -> Answer:
        if path == "/count":
            return Answer(200, b"[%d,%d]" % (self.calls, self.size))
        answer = super().handle(path, body, now=now)
        self.calls += body.count(b'"method"')
        self.size += len(answer.body)
        return answer


async def serve(blocks: int, shape: Shape) -> None:
    chain = BlockTree(seed=1, shape=shape, blocks=blocks, finalized_depth=0)
    for number in range(blocks + 1):
        page = chain.canonical(number).page
        _ = page.full, page.brief, page.receipts, page.log_addresses
    async with NodeServer(Counted(chain)) as server:
        print(server.url(), flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), SHAPES["".join(sys.argv[2:])]))
