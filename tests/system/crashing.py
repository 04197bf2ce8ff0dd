"""A driver that dies where it is told to: `python -m tests.system.crashing`.

Reads orders, one JSON object a line. Each is a sync, run to its end in a child that is forked for it, so that
nothing has to be imported again; where the order names a point, the child kills itself (kill -9) when it
comes by that point for the nth time. Answers how the child ended, as `subprocess` counts: a signal is below 0.
"""

import os
import signal
import sys
import traceback

import msgspec
from msgspec import Struct

from tidelog.chain.source.client import Endpoint
from tidelog.chain.source.pool import Pool
from tidelog.chain.sync.engine import Options, Sync
from tidelog.cli.sources.contracts import contracts_in
from tidelog.config import EndpointUrl
from tidelog.net.http import AioHttp
from tidelog.runtime import SystemRuntime, run
from tidelog.store import open_store
from tidelog.telemetry import ChainMetrics, configure_logs

__all__ = ["Order"]


class Order(Struct):
    """What to sync, and where to die."""

    db: str
    rpc: str
    options: Options
    point: str | None = None
    nth: int = 1
    contracts: str | None = None  # the file that names those whose events have tables


class Crashing(SystemRuntime):
    """The real runtime, until the point is reached for the nth time."""

    def __init__(self, point: str | None, nth: int) -> None:
        super().__init__()
        self._point = point
        self._left = nth

    def reached(self, point: str) -> None:
        if point == self._point:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


async def sync(order: Order) -> None:
    runtime, metrics, http = Crashing(order.point, order.nth), ChainMetrics(), AioHttp()
    pool = Pool([Endpoint(EndpointUrl(order.rpc), http, runtime, metrics)], runtime, metrics)
    store = await open_store(order.db, runtime)
    try:
        contracts = None if order.contracts is None else contracts_in(order.contracts)
        await Sync(store, pool, runtime, metrics, order.options, contracts=contracts).run()
    finally:
        await store.close()
        await http.close()


def carry_out(order: Order) -> int:
    """The order, in a child; how that ended."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            run(sync(order))
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def main() -> None:
    configure_logs(level="warning")
    for line in sys.stdin:
        print(carry_out(msgspec.json.decode(line, type=Order)), flush=True)


if __name__ == "__main__":
    main()
