"""What asks endpoints: a sync, a probe of a chain's rules, the repair of a block."""

from tidelog.chain.maintenance.repair import repair_block
from tidelog.chain.proof.spec import rules_text
from tidelog.chain.source.opening import RpcEndpoint, open_pool
from tidelog.chain.sync.rulebook import probe_chain
from tidelog.cli.options import LogLevel, Mode
from tidelog.cli.out import say
from tidelog.cli.sources.chain import ChainSource, sync_chain
from tidelog.cli.sources.stopping import Stop
from tidelog.cli.stores import opened, the_chain
from tidelog.runtime import SystemRuntime, run
from tidelog.telemetry import ChainMetrics, configure_logs
from tidelog.telemetry.otel import traced

__all__ = ["print_probe", "repair_one", "run_sync"]


def run_sync(source: ChainSource, status: str | None, *, progress: Mode, log_level: LogLevel) -> int:
    """Sync until it is done or interrupted; the exit code."""
    configure_logs(level=log_level)
    with traced("chain sync"):
        return run(_sync(source, status, progress))


async def _sync(source: ChainSource, status: str | None, progress: Mode) -> int:
    stop = Stop()
    stop.on_signals()
    return await sync_chain(source, stop, status, progress=progress)


def print_probe(rpc: tuple[RpcEndpoint, ...], db: str | None, chain_id: int | None) -> None:
    configure_logs(level="error")
    run(_probe(rpc, db, chain_id))


async def _probe(rpc: tuple[RpcEndpoint, ...], db: str | None, chain_id: int | None) -> None:
    runtime, metrics = SystemRuntime(), ChainMetrics()
    async with open_pool(rpc, runtime, metrics) as pool:
        if db is None:
            found = await probe_chain(None, pool, runtime, metrics, chain_id)
        else:
            async with opened(db, readonly=False, existing=True, runtime=runtime) as store:
                chain = await the_chain(store, chain_id)
                found = await probe_chain(store, pool, runtime, metrics, chain)
    say(
        f"chain {found.chain_id} ({found.spec.name}): {found.blocks} blocks of 0 to {found.high} looked at, from "
        f"{found.endpoints} endpoints"
    )
    for each in found.spec.ranges:
        say(rules_text(each))
    if found.stored is not None:
        say(f"stored: blocks from {found.next} on are proven by these rules:")
        for each in found.stored.ranges:
            say(f"  {rules_text(each)}")


def repair_one(number: int, rpc: tuple[RpcEndpoint, ...], db: str, chain_id: int | None) -> None:
    configure_logs()
    run(_repair(number, rpc, db, chain_id))


async def _repair(number: int, rpc: tuple[RpcEndpoint, ...], db: str, chain_id: int | None) -> None:
    runtime, metrics = SystemRuntime(), ChainMetrics()
    async with (
        open_pool(rpc, runtime, metrics) as pool,
        opened(db, readonly=False, existing=True, runtime=runtime) as store,
    ):
        chain = await the_chain(store, chain_id)
        block = await repair_block(store, pool, runtime, metrics, chain, number)
    say(f"block {number}: stored again as 0x{block.ref.hash.hex()}, {block.proof_text}")
