"""A chain as a source: what it is told, and how it runs. `chain sync` and `run` share it.

Checks what a user said, in the words of where it was said: a flag, or a key of a file.
"""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from msgspec import Struct

from tidelog.chain.budget import Said
from tidelog.chain.health import Limits, readiness
from tidelog.chain.pool import Pool
from tidelog.chain.profiles import LOWERABLE
from tidelog.chain.reporting import Progress
from tidelog.chain.rpc import LATEST, Endpoint
from tidelog.chain.sync import Options, Sync
from tidelog.chain.wakeup import HeadsWatcher
from tidelog.cli.progress import Display
from tidelog.cli.status import StoreSize, status_served
from tidelog.cli.stopping import INTERRUPTED, Stop
from tidelog.config import EndpointUrl
from tidelog.errors import ConfigError
from tidelog.net.http import AioHttp
from tidelog.runtime import SystemRuntime
from tidelog.store import open_store
from tidelog.telemetry import ChainMetrics

STOP_GRACE_S = 2.0  # after Ctrl-C: what is on its way is still committed, what an endpoint holds back is not
DAY_S = 86_400
RPC_RATE_MIN, RPC_RATE_MAX = 0.01, 1e6  # calls a second: one in two minutes, and more than any node answers
HASH = re.compile(r"0x[0-9a-fA-F]{64}")


class RpcEndpoint(Struct, frozen=True):
    """An endpoint as the user gives it, with its key, and what is said of its plan."""

    url: str
    rate: float | None = None  # calls a second
    batch: int | None = None  # calls a request


class ChainSource(Struct, frozen=True):
    """One chain into one store."""

    rpc: tuple[RpcEndpoint, ...]
    db: str
    options: Options
    ws: str | None
    jobs: int
    limits: Limits


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
    ws: str | None,
    poll: float,
    reorg_patience: float,
    jobs: int | None,
    ready_behind: int,
) -> ChainSource:
    """What was said, checked. `spelled` gives a setting's name as it was said.

    Raises:
        ConfigError: it cannot be meant.
    """
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
        poll_s=_positive(spelled("poll"), poll),
        reorg_patience_s=_positive(spelled("reorg_patience"), reorg_patience),
    )
    if first is not None and to is not None and to < first:
        raise ConfigError(f"{spelled('to')} {to} is below {spelled('from')} {first}")
    if jobs is None:
        jobs = max(0, (os.cpu_count() or 1) - 1)
    limits = Limits(behind_blocks=at_least(spelled("ready_behind"), ready_behind, 0))
    return ChainSource(rpc, db, options, ws, at_least(spelled("jobs"), jobs, 0), limits)


async def sync_chain(
    source: ChainSource,
    stop: Stop,
    status: str | None,
    *,
    live: bool = True,
    running: Callable[[], None] = lambda: None,
) -> int:
    """Sync until it is done or asked to stop; the exit code.

    Args:
        status: where to serve metrics and readiness, if anywhere.
        live: show a status line where standard error is a terminal.
        running: called when the store is open and it begins.
    """
    runtime, metrics = SystemRuntime(jobs=source.jobs), ChainMetrics()
    heads = None if source.ws is None else EndpointUrl(source.ws, schemes=("ws", "wss"))
    async with pool_of(source.rpc, runtime, metrics) as pool, AsyncExitStack() as stack:
        store = await stop.unless(open_store(source.db, runtime, readonly=False))
        if store is None:
            return 0 if source.options.follow else INTERRUPTED
        stack.push_async_callback(store.close)
        with Display(runtime, live=live) as display:
            syncing = Sync(store, pool, runtime, metrics, source.options, on_progress=display.update)
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
            display.tell(task.result(), "stopped" if syncing.stopping else "done")
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


@asynccontextmanager
async def pool_of(rpc: Sequence[RpcEndpoint], runtime: SystemRuntime, metrics: ChainMetrics) -> AsyncIterator[Pool]:
    """The endpoints, told apart by their redacted names."""
    http = AioHttp()
    names: dict[str, int] = {}
    endpoints = []
    for given in rpc:
        url, said = EndpointUrl(given.url), Said(given.rate, given.batch)
        names[url.name] = names.get(url.name, 0) + 1
        name = url.name if names[url.name] == 1 else f"{url.name}#{names[url.name]}"
        endpoints.append(Endpoint(url, http, runtime, metrics, name=name, said=said))
    try:
        yield Pool(endpoints, runtime, metrics)
    finally:
        await http.close()


def _number(flag: str, text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise ConfigError(f"{flag} {text!r}: give a block number, or latest")
    return int(text)


def _check(flag: str, name: str) -> str:
    if name not in LOWERABLE:
        raise ConfigError(f"{flag} {name!r}: give one of {', '.join(LOWERABLE)}")
    return name


def at_least(flag: str, value: int, least: int) -> int:
    if value < least:
        raise ConfigError(f"{flag} {value}: give {least} or more")
    return value


def _positive(flag: str, value: float) -> float:
    if not 0 < value < DAY_S:
        raise ConfigError(f"{flag} {value:g}: give more than 0 seconds and less than a day")
    return value


def hexadecimal(flag: str, text: str, pattern: re.Pattern[str], what: str) -> bytes:
    if not pattern.fullmatch(text):
        raise ConfigError(f"{flag} {text[:80]!r}: give {what}, as 0x and hex digits")
    return bytes.fromhex(text[2:])
