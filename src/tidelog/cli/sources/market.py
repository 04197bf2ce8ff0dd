"""An exchange as a source: its options, and how it is recorded. `market record` and `run` share it."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing

from msgspec import Struct

from tidelog.cli.options import Mode
from tidelog.cli.sources.health import RecordingHealth
from tidelog.cli.sources.market_progress import MarketReport
from tidelog.cli.sources.progress import Display
from tidelog.cli.sources.status import StoreSize, status_served
from tidelog.cli.sources.stopping import Stop
from tidelog.cli.stores import opened
from tidelog.errors import ConfigError, TidelogError
from tidelog.market.events import EventId
from tidelog.market.journal.file import remove_log
from tidelog.market.journal.reader import identity_at
from tidelog.market.journal.retention import Retention
from tidelog.market.kraken.auth import ApiKey
from tidelog.market.kraken.urls import REST_URL
from tidelog.market.live.feed import Feed
from tidelog.market.live.monitoring.progress import Progress
from tidelog.market.live.tokens import RestTokens
from tidelog.market.load.expiry import Keep
from tidelog.market.projection.inputs import ProjectionInput
from tidelog.market.replay.position import events_to_load
from tidelog.net.http import AioHttp
from tidelog.runtime import Runtime, SystemRuntime
from tidelog.store import Store
from tidelog.telemetry import MarketMetrics, logger

DAY_S = 86_400

_log = logger("market")


class RecordLimits(Struct, frozen=True, kw_only=True):
    """How long a recording waits for its store."""

    store_s: float = 5.0  # to say which journal it has been loaded from, before the recording begins
    loading_s: float = 15.0  # at the end, for what it has not got: half of what `run` gives a process, and ten batches


class MarketSource(Struct, frozen=True, kw_only=True):
    """One recording: into a journal, and from there into a store if one is given."""

    symbols: list[str]
    channels: list[str]
    depth: int
    interval: int
    journal: str
    db: str | None
    name: str
    protocol: str
    url: str | None
    keep_days: float | None = None
    keep: Keep = Keep()  # of the store's rows
    journal_max: int | None = None  # bytes
    rest: str = REST_URL
    key: ApiKey | None = None  # for private channels
    limits: RecordLimits = RecordLimits()


async def record_market(
    source: MarketSource,
    stop: Stop,
    status: str | None,
    *,
    progress: Mode = "log",
    running: Callable[[Feed], None] = lambda feed: None,
) -> tuple[Progress, str]:
    """Record until asked to stop; where it ended, and the digest of its events.

    Args:
        status: where to serve metrics and readiness, if anywhere.
        progress: how it shows where it is.
        running: called when the journal is open and it begins; the feed can be made to follow other symbols.
    """
    runtime, http, metrics = SystemRuntime(), AioHttp(), MarketMetrics()
    loaded, ended = _Loaded(), False
    loading: asyncio.Task[None] | None = None
    if source.db is not None:
        await require_its_journal(source, source.db, runtime)
    try:
        feed = _feed(source, loaded, runtime, http, metrics)
        health = RecordingHealth(feed, metrics, runtime, loading=source.db is not None)
        size = StoreSize(metrics.store_size, runtime, lambda: loaded.store)
        async with feed, status_served(status, metrics.registry, health.readiness, size):
            if source.db is not None:
                loading = asyncio.create_task(
                    _load(runtime, source, source.db, feed.journal_id, loaded, metrics, lambda: ended)
                )
            stopped, finished = asyncio.create_task(stop.wait()), asyncio.create_task(feed.finished())
            watching = asyncio.create_task(health.watch())
            running(feed)
            waited = [task for task in (stopped, finished, loading) if task is not None]
            try:
                async with Display(MarketReport(lambda: feed.progress), runtime, progress):
                    await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (stopped, finished, watching):
                    task.cancel()
                await asyncio.gather(stopped, finished, watching, return_exceptions=True)
    finally:
        ended = True
        await http.close()
        if loading is not None:
            try:
                await finished_loading(loading, source.limits.loading_s)
            finally:
                remove_log(source.journal)
    return feed.progress, str(feed.digest)


async def require_its_journal(source: MarketSource, db: str, runtime: Runtime) -> None:
    """Refuse to record into another journal than the one that the store has been loaded from so far.

    A store that cannot be asked now is no reason not to record: the loader asks it again before it loads.

    Raises:
        ConfigError: it is another one, or it is not there any more.
    """
    from tidelog.market.load.loader import require_journal, source_of, state_of

    name = source_of(source.name)
    try:
        async with (
            asyncio.timeout(source.limits.store_s),
            opened(db, runtime=runtime) as store,
            store.snapshot() as snapshot,
        ):
            checkpoint = await snapshot.checkpoint(name)
    except (TidelogError, TimeoutError):
        return
    if checkpoint is None:
        return
    state = state_of(checkpoint)
    identity, there = await runtime.compute(lambda: (identity_at(source.journal), os.path.exists(source.journal)))
    if state.run and not there:
        raise ConfigError(
            f"{name} was loaded from a journal up to run {state.run}, and there is none at {source.journal}: put it "
            "back, give this recording another --name, or, if that journal is lost, continue with a gap by "
            f"tidelog market new-journal {source.journal} --db .. --name {source.name}"
        )
    require_journal(name, state, None if identity is None else identity.id)


async def finished_loading(loading: asyncio.Task[None], patience_s: float) -> None:
    """Wait until the store has all of the journal, at most `patience_s`: the next run continues from there."""
    done, _ = await asyncio.wait({loading}, timeout=patience_s)
    if not done:
        _log.warning("loading_left", seconds=patience_s)
        loading.cancel()
        await asyncio.wait({loading})
    elif not loading.cancelled():
        loading.result()


def _feed(source: MarketSource, loaded: "_Loaded", runtime: Runtime, http: AioHttp, metrics: MarketMetrics) -> Feed:
    retention = None
    if source.keep_days is not None or source.journal_max is not None:
        age_s = None if source.keep_days is None else source.keep_days * DAY_S
        retention = Retention(age_s, source.journal_max)
        if source.db is not None:
            retention = Retention(age_s, source.journal_max, restart=lambda: loaded.committed)
    return Feed(
        source.symbols,
        source.channels,
        journal=source.journal,
        depth=source.depth,
        interval=source.interval,
        protocol=source.protocol,
        url=source.url,
        tokens=None if source.key is None else RestTokens(source.key, http, runtime, source.rest),
        retention=retention,
        digest=True,
        metrics=metrics,
        runtime=runtime,
    )


class _Loaded:
    """How far the store is."""

    committed: EventId = EventId(0, 0)
    store: Store | None = None  # once it is open


async def _load(
    runtime: Runtime,
    source: MarketSource,
    db: str,
    journal: bytes,
    loaded: _Loaded,
    metrics: MarketMetrics,
    ending: Callable[[], bool],
) -> None:
    """Load the journal into a store, as it grows."""
    from tidelog.market.load.loader import Loader, Options

    async with opened(db, readonly=False, runtime=runtime) as store:
        options = Options(keep=source.keep)
        loader = await Loader.open(store, runtime, source.name, options, journal=journal, metrics=metrics)
        loaded.committed, loaded.store = loader.committed, store

        async def entries() -> AsyncIterator[ProjectionInput]:
            after = loader.committed
            reading = events_to_load(
                source.journal,
                runtime,
                after=after,
                ending=ending,
                on_block=loader.traces.read,
                on_fault=loader.note_fault,
            )
            async with aclosing(reading) as found:
                async for entry in found:
                    loaded.committed = loader.committed
                    yield entry

        try:
            await loader.run(entries())
        finally:
            loaded.store = None


def listed(text: str) -> list[str]:
    """The parts between commas."""
    return [part.strip() for part in text.split(",") if part.strip()]
