"""An exchange as a source: its options, and how it is recorded. `market record` and `run` share it."""

import asyncio
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from tidelog.cli.options import Mode
from tidelog.cli.sources.health import RecordingHealth
from tidelog.cli.sources.market_progress import MarketReport
from tidelog.cli.sources.progress import Display
from tidelog.cli.sources.status import StoreSize, status_served
from tidelog.cli.sources.stopping import Stop
from tidelog.cli.stores import opened
from tidelog.errors import ConfigError, TidelogError
from tidelog.market.events import NOTHING
from tidelog.market.journal.file import remove_log
from tidelog.market.journal.reader import identity_at
from tidelog.market.journal.retention import Retention
from tidelog.market.kraken.auth import ApiKey
from tidelog.market.kraken.urls import REST_URL
from tidelog.market.live.attempts import FileAttempts
from tidelog.market.live.feed import Feed
from tidelog.market.live.monitoring.progress import Progress
from tidelog.market.live.tokens import RestTokens
from tidelog.market.load.expiry import Keep
from tidelog.market.shards.layout import first_run
from tidelog.market.symbols import normal_symbols
from tidelog.market.venues import venue_of
from tidelog.net.http import AioHttp
from tidelog.runtime import Runtime, SystemRuntime
from tidelog.store.sqlite.connection import path_of
from tidelog.telemetry import MarketMetrics, logger

if TYPE_CHECKING:
    from tidelog.cli.sources.loading import Loading

DAY_S = 86_400

_log = logger("market")


class RecordLimits(Struct, frozen=True, kw_only=True):
    """How long a recording waits for its store."""

    store_s: float = 5.0  # to say which journal it has been loaded from, before the recording begins
    loading_s: float = 15.0  # at the end, for what it has not got: half of what `run` gives a process, and ten batches


class SourceShard(Struct, frozen=True):
    """Which shard of a recording it is."""

    number: int
    of: int
    active: tuple[int, ...]  # the shards that have something to record
    base: str  # the recording's journal, of whose path those of the shards are made


class MarketSource(Struct, frozen=True, kw_only=True):
    """One recording: into a journal, and from there into a store if one is given.

    Raises:
        ConfigError: both are one file.
    """

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
    shard: SourceShard | None = None  # None: it is all of the recording
    limits: RecordLimits = RecordLimits()

    def __post_init__(self) -> None:
        if self.db is None or not self.db.startswith("sqlite:"):
            return
        if os.path.realpath(path_of(self.db)) == os.path.realpath(self.journal):
            raise ConfigError(f"{self.journal} is the store's file: the journal needs another")


class Recording:
    """A recording that has begun."""

    def __init__(self, feed: Feed, loading: "Loading | None", symbols: Sequence[str]) -> None:
        self._feed = feed
        self._loading = loading
        self.symbols = frozenset(normal_symbols(symbols))

    def follow(self, symbols: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """As `Feed.follow`."""
        changed = self._feed.follow(symbols)
        self.symbols = frozenset(normal_symbols(symbols))
        if self._loading is not None:
            self._loading.follow()
        return changed


async def record_market(
    source: MarketSource,
    stop: Stop,
    status: str | None,
    *,
    progress: Mode = "log",
    running: Callable[[Recording], None] = lambda recording: None,
) -> tuple[Progress, str]:
    """Record until asked to stop; where it ended, and the digest of its events.

    Args:
        status: where to serve metrics and readiness, if anywhere.
        progress: how it shows where it is.
        running: called when the journal is open and it begins; it can be made to follow other symbols.
    """
    from tidelog.cli.sources.loading import Loading

    runtime, http, metrics = SystemRuntime(), AioHttp(), MarketMetrics()
    recording: Recording | None = None
    loaded = Loading(source, runtime, metrics, lambda: recording.symbols if recording else ())
    loading: asyncio.Task[None] | None = None
    if source.db is not None:
        await require_its_journal(source, source.db, runtime)
    try:
        feed = _feed(source, loaded, runtime, http, metrics)
        health = RecordingHealth(
            feed,
            metrics,
            runtime,
            loading=source.db is not None,
            waits=lambda: loaded.waits,
            left=lambda: loaded.left,
        )
        size = StoreSize(metrics.store_size, runtime, lambda: loaded.store)
        async with feed, status_served(status, metrics.registry, health.readiness, size):
            recording = Recording(feed, None if source.db is None else loaded, source.symbols)
            if source.db is not None:
                run = feed.progress.last.run
                loading = asyncio.create_task(loaded.run(source.db, feed.journal_id, run, feed.now_us))
            stopped, finished = asyncio.create_task(stop.wait()), asyncio.create_task(feed.finished())
            watching = asyncio.create_task(health.watch())
            running(recording)
            waited = [task for task in (stopped, finished, loading) if task is not None]
            try:
                async with Display(MarketReport(lambda: feed.progress), runtime, progress):
                    await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (stopped, finished, watching):
                    task.cancel()
                await asyncio.gather(stopped, finished, watching, return_exceptions=True)
    finally:
        loaded.ended = True
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
    from tidelog.market.load.loader import require_journal
    from tidelog.market.load.recorded import state_of
    from tidelog.market.shards.claims import shard_source

    name = shard_source(source.name, 1 if source.shard is None else source.shard.number)
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
    if state.id != NOTHING and not there:
        raise ConfigError(
            f"{name} was loaded from a journal up to run {state.run}, and there is none at {source.journal}: put it "
            "back, give this recording another --name, or, if that journal is lost, continue with a gap by "
            f"tidelog market new-journal {source.journal} --db .. --name {source.name}{_shard_option(source)}"
        )
    require_journal(name, state, None if identity is None else identity.id)


def _shard_option(source: MarketSource) -> str:
    return "" if source.shard is None or source.shard.number == 1 else f" --shard {source.shard.number}"


async def finished_loading(loading: asyncio.Task[None], patience_s: float) -> None:
    """Wait until the store has all of the journal, at most `patience_s`: the next run continues from there."""
    done, _ = await asyncio.wait({loading}, timeout=patience_s)
    if not done:
        _log.warning("loading_left", seconds=patience_s)
        loading.cancel()
        await asyncio.wait({loading})
    elif not loading.cancelled():
        loading.result()


def _feed(source: MarketSource, loaded: "Loading", runtime: Runtime, http: AioHttp, metrics: MarketMetrics) -> Feed:
    retention = None
    if source.keep_days is not None or source.journal_max is not None:
        age_s = None if source.keep_days is None else source.keep_days * DAY_S
        retention = Retention(age_s, source.journal_max)
        if source.db is not None:
            retention = Retention(age_s, source.journal_max, restart=lambda: loaded.committed)
    shard, attempts = source.shard, None
    if shard is not None:
        limits = venue_of(source.protocol).rules.limits
        path = f"{shard.base}.attempts"
        attempts = FileAttempts(path, limits.attempts_max, limits.attempts_window_us, runtime)
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
        attempts=attempts,
        first_run=first_run(1 if shard is None else shard.number),
    )


def listed(text: str) -> list[str]:
    """The parts between commas."""
    return [part.strip() for part in text.split(",") if part.strip()]
