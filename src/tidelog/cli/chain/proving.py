"""`tidelog chain prove`: a sync up to the store's head, which proves what was asked below its blocks."""

import json
from typing import Any

from tidelog.batch import Row
from tidelog.chain.reading.position import stored_position
from tidelog.chain.select.faults import LOG_FAULTS
from tidelog.chain.source.opening import RpcEndpoint
from tidelog.chain.sync.monitoring.health import Limits
from tidelog.chain.sync.options import Options
from tidelog.cli.options import LogLevel, Mode, at_least
from tidelog.cli.out import say
from tidelog.cli.sources.chain import ChainSource, sync_chain, workers
from tidelog.cli.sources.stopping import Stop
from tidelog.cli.stores import opened, the_chain
from tidelog.errors import ConfigError
from tidelog.runtime import run
from tidelog.telemetry import configure_logs

__all__ = ["prove_asked"]


def prove_asked(
    rpc: tuple[RpcEndpoint, ...],
    db: str,
    chain_id: int | None,
    down_to: int | None,
    *,
    jobs: int | None,
    progress: Mode,
    log_level: LogLevel,
    as_json: bool,
) -> int:
    """Prove until it is done or interrupted, and print what was found; the exit code.

    Raises:
        ConfigError: an argument cannot be meant, or the store holds no selection.
    """
    configure_logs(level=log_level)
    if down_to is not None:
        at_least("--down-to", down_to, 0)
    return run(_prove(rpc, db, chain_id, down_to, workers("--jobs", jobs), progress, as_json))


async def _prove(
    rpc: tuple[RpcEndpoint, ...],
    db: str,
    chain_id: int | None,
    down_to: int | None,
    jobs: int,
    progress: Mode,
    as_json: bool,
) -> int:
    stop = Stop()
    stop.on_signals()
    async with opened(db) as store:
        chain = await the_chain(store, chain_id)
        async with store.snapshot() as snapshot:
            position = await stored_position(snapshot, chain)
    if position is None or not position.selection:
        raise ConfigError(f"the store holds no selection of chain {chain}: nothing in it was asked")
    options = Options(to=position.head, chain_id=chain, prove=True, prove_down_to=down_to)
    code = await sync_chain(ChainSource(rpc, db, options, None, jobs, Limits()), stop, None, progress=progress)
    async with opened(db) as store, store.snapshot() as snapshot:
        faults = await snapshot.select(LOG_FAULTS, scope=chain)
        after = await stored_position(snapshot, chain)
    for fault in faults:
        say(_shown(fault, as_json))
    if not as_json and after is not None:
        left = "" if after.asked_from is None else f"; blocks {after.asked_from} to {after.first - 1} are not yet"
        found = f"{len(faults)} logs were not as endpoints said" if faults else "endpoints had said all"
        say(f"chain {chain}: proven from block {after.first} to {after.head}{left}; {found}")
    return code


def _shown(fault: Row, as_json: bool) -> str:
    said: dict[str, Any] = dict(zip(LOG_FAULTS.names, fault, strict=True))
    if as_json:
        return json.dumps(said)
    number, index, contract = said["block_number"], said["log_index"], said["contract"]
    return f"block {number}, log {index} of {contract!s}: {said['fault']!s} by {said['endpoint']!s}"
