"""A chain as a source: its options, and how it runs. `chain sync` and `run` share it.

Checks what a user said, in the words of where it was said: a flag, or a key of a file.
"""

import asyncio
import os
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from typing import Any, Literal

from msgspec import Struct

from tidelog.chain.contracts.contract import Contract
from tidelog.chain.proof.senders import require_senders
from tidelog.chain.proof.spec import LOWERABLE
from tidelog.chain.source.client import LATEST
from tidelog.chain.source.new_heads import HeadsWatcher
from tidelog.chain.source.opening import RpcEndpoint, open_pool
from tidelog.chain.sync.engine import Options, Sync
from tidelog.chain.sync.monitoring.health import Limits, readiness
from tidelog.chain.sync.monitoring.reporting import Progress
from tidelog.cli.options import HASH, Mode, at_least, hexadecimal
from tidelog.cli.sources.chain_progress import ChainReport
from tidelog.cli.sources.progress import Display
from tidelog.cli.sources.status import StoreSize, status_served
from tidelog.cli.sources.stopping import Stop
from tidelog.compiled import core
from tidelog.config import EndpointUrl
from tidelog.errors import ConfigError
from tidelog.interrupt import INTERRUPTED
from tidelog.runtime import SystemRuntime
from tidelog.store import open_store
from tidelog.telemetry import ChainMetrics, logger

_log = logger("sync")

STOP_GRACE_S = 2.0  # after Ctrl-C: what is on its way is still committed, what an endpoint holds back is not
DAY_S = 86_400
BLOCK_DIGITS_MAX = 18  # more than any chain has, and what a column holds
RPC_RATE_MIN, RPC_RATE_MAX = 0.01, 1e6  # calls a second: one in two minutes, and more than any node answers


class ChainSource(Struct, frozen=True):
    """One chain into one store."""

    rpc: tuple[RpcEndpoint, ...]
    db: str
    options: Options
    ws: str | None
    jobs: int
    limits: Limits
    contracts: tuple[Contract, ...] | None = None  # whose events have tables; None: those that the store says


def rpc_endpoints(urls: Sequence[str], rate: float | None, batch: int | None) -> tuple[RpcEndpoint, ...]:
    """The endpoints of the command line, each with this plan. ConfigError: none is given, or it cannot be meant."""
    if not urls:
        raise ConfigError("no endpoint is given: say --rpc URL, or set TIDELOG_RPC")
    if rate is not None and not RPC_RATE_MIN <= rate <= RPC_RATE_MAX:
        raise ConfigError(f"--rpc-rate {rate:g}: give {RPC_RATE_MIN:g} to {RPC_RATE_MAX:g} calls a second")
    if batch is not None:
        at_least("--rpc-batch", batch, 1)
    return tuple([RpcEndpoint(url, rate, batch) for url in urls])


def chain_source(
    spelled: Callable[[str], str],
    *,
    rpc: tuple[RpcEndpoint, ...],
    db: str,
    from_: int | str | None,
    to: int | None,
    follow: bool,
    finality: str,
    confirmations: int,
    anchor: str | None,
    senders: bool,
    accept_unproven: tuple[str, ...],
    chain_id: int | None,
    cross_check: bool,
    prove: bool,
    ws: str | None,
    poll: float,
    reorg_patience: float,
    jobs: int | None,
    ready_behind: int,
    contracts: tuple[Contract, ...] | None,
) -> ChainSource:
    """What was said, checked. `spelled` gives a setting's name as it was said.

    Raises:
        ConfigError: it cannot be meant, or the library that recovers senders is not installed.
    """
    if senders:
        require_senders()
    first = None if from_ in (None, LATEST) else _number(spelled("from"), str(from_))
    options = Options(
        first=first,
        first_latest=from_ == LATEST,
        to=None if to is None else at_least(spelled("to"), to, 0),
        follow=follow,
        finality=finality,
        confirmations=at_least(spelled("confirmations"), confirmations, 0),
        anchor=None if anchor is None else hexadecimal(spelled("anchor"), anchor, HASH, "a hash of 32 bytes"),
        senders=senders,
        accept_unproven=tuple(_check(spelled("accept_unproven"), check) for check in accept_unproven),
        chain_id=chain_id,
        cross_check=cross_check,
        prove=prove,
        poll_s=_positive(spelled("poll"), poll),
        reorg_patience_s=_positive(spelled("reorg_patience"), reorg_patience),
    )
    if first is not None and to is not None and to < first:
        raise ConfigError(f"{spelled('to')} {to} is below {spelled('from')} {first}")
    limits = Limits(behind_blocks=at_least(spelled("ready_behind"), ready_behind, 0))
    return ChainSource(rpc, db, options, ws, workers(spelled("jobs"), jobs), limits, contracts)


def workers(spelled: str, jobs: int | None) -> int:
    """How many processes or threads prove beside; one for each further core if that was not said."""
    return max(0, (os.cpu_count() or 1) - 1) if jobs is None else at_least(spelled, jobs, 0)


async def sync_chain(
    source: ChainSource,
    stop: Stop,
    status: str | None,
    *,
    progress: Mode = "log",
    running: Callable[[], None] = lambda: None,
) -> int:
    """Sync until it is done or asked to stop; the exit code.

    Args:
        status: where to serve metrics and readiness, if anywhere.
        progress: how it shows where it is.
        running: called when the store is open and it begins.
    """
    runtime, metrics = SystemRuntime(jobs=source.jobs), ChainMetrics()
    _log.info("core", core=core().said)
    heads = None if source.ws is None else EndpointUrl(source.ws, schemes=("ws", "wss"))
    async with open_pool(source.rpc, runtime, metrics) as pool, AsyncExitStack() as stack:
        store = await stop.unless(open_store(source.db, runtime, readonly=False))
        if store is None:
            return 0 if source.options.follow else INTERRUPTED
        stack.push_async_callback(store.close)
        syncing = Sync(store, pool, runtime, metrics, source.options, contracts=source.contracts)
        report = ChainReport(
            lambda: syncing.progress if syncing.begun else None, lambda: syncing.facts.source, pool.readings
        )
        async with Display(report, runtime, progress) as display:
            size = StoreSize(metrics.store_size, runtime, lambda: store)
            async with status_served(status, metrics.registry, lambda: readiness(syncing.facts, source.limits), size):
                task = asyncio.ensure_future(syncing.run())
                stop.then(lambda: _stop(syncing, task))
                running()
                try:
                    await _beside(task, None if heads is None else HeadsWatcher(heads, runtime, syncing.wake).run())
                finally:
                    runtime.close()
        if not task.cancelled():
            task.result()
        report.look(runtime.monotonic())
        ended: Literal["stopped", "done"] = "stopped" if syncing.stopping else "done"
        report.log(ended)  # also where an endpoint's late answer has not come in time
        display.end(ended)
    return INTERRUPTED if stop.asked and not source.options.follow else 0


async def _beside(running: asyncio.Future[Progress], watching: Coroutine[Any, Any, None] | None) -> None:
    """Wait for the sync's end, with a watcher beside it."""
    watcher = None if watching is None else asyncio.create_task(watching)
    try:
        await asyncio.wait((running,))
    finally:
        for task in (running, watcher):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)


def _stop(syncing: Sync, running: asyncio.Future[Progress]) -> None:
    """End after the commit that is under way, which cancelling does not cut short."""
    syncing.stop()
    asyncio.get_running_loop().call_later(STOP_GRACE_S, running.cancel)


def _number(flag: str, text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= BLOCK_DIGITS_MAX):
        raise ConfigError(f"{flag} {text[:80]!r}: give a block number, or latest")
    return int(text)


def _check(flag: str, name: str) -> str:
    if name not in LOWERABLE:
        raise ConfigError(f"{flag} {name!r}: give one of {', '.join(LOWERABLE)}")
    return name


def _positive(flag: str, value: float) -> float:
    if not 0 < value < DAY_S:
        raise ConfigError(f"{flag} {value:g}: give more than 0 seconds and less than a day")
    return value
