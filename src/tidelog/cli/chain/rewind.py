"""A rewind of a stored chain: its newest blocks are dropped."""

from tidelog.chain.sync.writer import ChainWriter
from tidelog.cli.out import say
from tidelog.cli.stores import opened, the_chain
from tidelog.runtime import SystemRuntime, run
from tidelog.telemetry import ChainMetrics, configure_logs

__all__ = ["rewind_to"]


def rewind_to(db: str, chain_id: int | None, to: int, *, below_finalized: bool) -> None:
    configure_logs()
    run(_rewind(db, chain_id, to, below_finalized))


async def _rewind(db: str, chain_id: int | None, to: int, below_finalized: bool) -> None:
    runtime = SystemRuntime()
    async with opened(db, readonly=False, existing=True, runtime=runtime) as store:
        writer = await ChainWriter.open(store, runtime, ChainMetrics(), await the_chain(store, chain_id))
        dropped = await writer.rewind(to, below_finalized=below_finalized)
    say(f"chain {writer.chain_id}: {dropped} blocks dropped, the head is {to}")
