"""Publishing a chain's changes or a recording, and reading them."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, suppress
from datetime import datetime
from typing import Any, Literal, TypeAlias

import msgspec
from msgspec import Struct

from tidelog.cli.options import LogLevel
from tidelog.cli.out import say
from tidelog.cli.sources.shards import journals_here
from tidelog.cli.sources.status import StoreSize, status_served
from tidelog.cli.sources.stopping import Stop
from tidelog.cli.stores import opened, the_chain
from tidelog.cli.stream.engines import Destination, Engine, Running, publisher_to
from tidelog.errors import ConfigError, StoreError
from tidelog.market.journal.reader import JournalReader
from tidelog.market.journal.writer import FOLLOW_POLL_S
from tidelog.market.shards.layout import shard_of_run
from tidelog.runtime import Runtime, SystemRuntime, run
from tidelog.store import Store
from tidelog.stream import changes, events
from tidelog.stream.backlog import Backlog
from tidelog.stream.bodies import Encoding
from tidelog.stream.chain.final import FinalBlocks
from tidelog.stream.chain.messages import Detail, stream_of_chain
from tidelog.stream.chain.outbox import Outbox
from tidelog.stream.market.journal import JournalBacklog
from tidelog.stream.market.messages import KINDS_OF_EVENTS, EventKind, stream_of_recording
from tidelog.stream.market.sharded import ShardPublishers
from tidelog.stream.port import Limits
from tidelog.telemetry import StreamMetrics, configure_logs, logger

__all__ = [
    "ChainPublishing",
    "MarketPublishing",
    "Publishing",
    "kinds_of",
    "print_chain",
    "print_recording",
    "publish",
    "publish_on",
]

WAIT_S = 1.0  # between looks at a store or a journal that is not there yet

_log = logger("stream")


class ChainPublishing(Struct, frozen=True):
    """A chain's changes, as `tidelog stream run` is asked for them."""

    destination: Destination
    stream: str | None
    limits: Limits
    db: str
    chain_id: int | None
    detail: Detail
    delivery: Literal["latest", "final"] = "latest"
    encoding: Encoding = "json"


class MarketPublishing(Struct, frozen=True):
    """A recording, alike. Without kinds it is the records as they were journaled."""

    destination: Destination
    stream: str | None
    limits: Limits
    journal: str
    recording: str
    kinds: tuple[EventKind, ...]
    encoding: Encoding = "json"


Publishing: TypeAlias = ChainPublishing | MarketPublishing


def kinds_of(text: str, frames: bool) -> tuple[EventKind, ...]:
    """Which events are published. ConfigError: one is not known."""
    if frames:
        return ()
    asked = [word.strip() for word in text.split(",") if word.strip()]
    for word in asked:
        if word not in KINDS_OF_EVENTS:
            raise ConfigError(f"--events {word!r}: there are {', '.join(KINDS_OF_EVENTS)}")
    if not asked:
        raise ConfigError(f"--events names none: there are {', '.join(KINDS_OF_EVENTS)}")
    return tuple([kind for kind in KINDS_OF_EVENTS if kind in asked])


def publish(asked: Publishing, status: str | None, log_level: LogLevel) -> int:
    """Publish until it is interrupted; the exit code."""
    configure_logs(level=log_level)
    return run(_publish(asked, status))


async def _publish(asked: Publishing, status: str | None) -> int:
    stop = Stop()
    stop.on_signals()
    runtime = SystemRuntime()
    metrics = StreamMetrics(recording=isinstance(asked, MarketPublishing))
    async with _made(asked, runtime, metrics) as (publishing, store):
        await _run_publishing(publishing, store, stop, status, metrics, runtime)
    return 0


async def publish_on(asked: Publishing, stop: Stop, status: str, *, running: Callable[[], None]) -> int:
    """Publish until it is asked to stop, beside the process that makes the store or the journal: what is not there yet
    is waited for."""
    runtime = SystemRuntime()
    metrics = StreamMetrics(recording=isinstance(asked, MarketPublishing))
    nothing = StoreSize(metrics.store_size, runtime, lambda: None)
    async with status_served(status, metrics.registry, metrics.readiness, nothing):
        running()
        await stop.unless(_await_source(asked, runtime))
    if stop.asked:
        return 0
    async with _made(asked, runtime, metrics) as (publishing, store):
        await _run_publishing(publishing, store, stop, status, metrics, runtime)
    return 0


async def _await_source(asked: Publishing, runtime: Runtime) -> None:
    """Return once there is something to publish from."""
    told = False
    while True:
        try:
            if isinstance(asked, MarketPublishing):
                _require_journal(asked.journal)
            else:
                async with opened(asked.db, runtime=runtime) as store:
                    await the_chain(store, asked.chain_id)
            return
        except (ConfigError, StoreError) as error:
            if not told:
                _log.info("stream_waiting", reason=str(error))
            told = True
        await runtime.sleep(WAIT_S)


def _readable(journal: str) -> dict[int, str]:
    """The journals of a recording's shards that can be read now. ConfigError: the first is that of another shard."""
    found = {}
    for number, path in journals_here(journal).items():
        with suppress(ConfigError, StoreError):  # it is being made
            reader = JournalReader(path)
            try:
                ends = reader.ends()
            finally:
                reader.close()
            found[number] = path
            if number == 1 and ends is not None and (shard := shard_of_run(ends.first.run)) != 1:
                break
    else:
        return found
    raise ConfigError(
        f"{journal} is the journal of shard {shard}: give the recording's own, without a number; those of its shards, "
        "beside it, are published with it"
    )


def _require_journal(journal: str) -> None:
    """ConfigError, StoreError: there is none to read."""
    if not _readable(journal):
        JournalReader(journal).close()


async def _run_publishing(
    publishing: Running,
    store: Store | None,
    stop: Stop,
    status: str | None,
    metrics: StreamMetrics,
    runtime: Runtime,
) -> None:
    size = StoreSize(metrics.store_size, runtime, lambda: store)
    async with status_served(status, metrics.registry, metrics.readiness, size):
        await stop.unless(publishing.run())


def _made(
    asked: Publishing, runtime: Runtime, metrics: StreamMetrics
) -> AbstractAsyncContextManager[tuple[Running, Store | None]]:
    return (
        _recording(asked, runtime, metrics) if isinstance(asked, MarketPublishing) else _chain(asked, runtime, metrics)
    )


@asynccontextmanager
async def _chain(
    asked: ChainPublishing, runtime: Runtime, metrics: StreamMetrics
) -> AsyncIterator[tuple[Running, Store | None]]:
    async with opened(asked.db, runtime=runtime) as store:
        chain = await the_chain(store, asked.chain_id)
        backlog: Backlog
        figures = metrics.publisher()
        final = asked.delivery == "final"
        settings = stream_of_chain(chain, asked.stream, asked.limits, final=final)
        if final:
            backlog = FinalBlocks(store, runtime, chain, detail=asked.detail, encoding=asked.encoding, metrics=figures)
        else:
            backlog = Outbox(store, runtime, chain, detail=asked.detail, encoding=asked.encoding, metrics=figures)
        async with publisher_to(asked.destination, settings, backlog, runtime, figures) as publisher:
            yield publisher, store


@asynccontextmanager
async def _recording(
    asked: MarketPublishing, runtime: Runtime, metrics: StreamMetrics
) -> AsyncIterator[tuple[Running, Store | None]]:
    _require_journal(asked.journal)

    async def publish_shard(shard: int, path: str) -> None:
        name, figures = asked.recording, metrics.publisher()
        settings = stream_of_recording(name, shard, asked.stream, asked.limits, frames=not asked.kinds)
        backlog = JournalBacklog(
            path, runtime, name, kinds=asked.kinds, encoding=asked.encoding, shard=shard, metrics=figures
        )
        destination = asked.destination.of_shard(shard)
        try:
            async with publisher_to(destination, settings, backlog, runtime, figures, FOLLOW_POLL_S) as publisher:
                await publisher.run()
        finally:
            await backlog.close()

    yield ShardPublishers(lambda: _readable(asked.journal), publish_shard), None


def print_chain(
    engine: Engine,
    chain: int,
    final: bool,
    stream: str | None,
    after: str,
    durable: str | None,
    count: int | None,
    log_level: LogLevel,
) -> None:
    configure_logs(level=log_level)
    items = changes(
        engine.urls,
        chain=chain,
        after=_begin(after),
        final=final,
        durable=durable,
        stream=stream,
        login=engine.login,
    )
    run(_printed(items, count))


def print_recording(
    engine: Engine,
    recording: str,
    frames: bool,
    shard: int,
    stream: str | None,
    after: str,
    durable: str | None,
    count: int | None,
    log_level: LogLevel,
) -> None:
    configure_logs(level=log_level)
    items = events(
        engine.urls,
        recording=recording,
        frames=frames,
        shard=shard,
        after=_begin(after),
        durable=durable,
        stream=stream,
        login=engine.login,
    )
    run(_printed(items, count))


def _begin(after: str) -> str | datetime:
    if "T" in after or ":" in after:
        with suppress(ValueError):
            return datetime.fromisoformat(after)
    return after


async def _printed(found: AsyncGenerator[Any, None], count: int | None) -> None:
    encode = msgspec.json.Encoder().encode
    left = count
    async with aclosing(found) as items:
        async for item in items:
            say(encode(item).decode(), flush=True)
            if left is not None:
                left -= 1
                if left == 0:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(0):  # asking for the next one ends the turn of this one
                            await anext(items)
                    return
