"""Fifty deep books for a soak, served until they are ended: `python -m tests.soak_books COUNT DEPTH PER_SECOND`.

The simulated exchange's own listing makes most books thin and quiet, as on the real one; here all are full and move.
"""

import asyncio
import sys

from tidelog.runtime import SystemRuntime
from tidelog.sim.exchange.core import SimExchange
from tidelog.sim.exchange.markets.listing import listing
from tidelog.sim.exchange.wire.server import ExchangeServer


async def serve(count: int, depth: int, per_second: float) -> None:
    pairs = listing(count).pairs
    exchange = SimExchange(pairs=pairs, rate=per_second, levels=2 * depth)
    async with ExchangeServer(exchange, runtime=SystemRuntime()) as server:
        print(server.url(), server.rest_url, ",".join(pair.symbol for pair in pairs), flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
