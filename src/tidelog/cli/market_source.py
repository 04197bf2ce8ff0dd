"""An exchange as a source: what it is told, and how it is recorded. `market record` and `run` share it."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, nullcontext

from msgspec import Struct
from rich.console import Console
from rich.live import Live
from rich.text import Text

from tidelog.cli.recording_health import RecordingHealth
from tidelog.cli.status import StoreSize, status_served
from tidelog.cli.status_line import Part, fitted, short
from tidelog.cli.stopping import Stop
from tidelog.cli.stores import opened
from tidelog.errors import ConfigError, TidelogError
from tidelog.market.events import EventId
from tidelog.market.expiry import Keep
from tidelog.market.feed import Feed, Progress
from tidelog.market.folded import Folded
from tidelog.market.journal_file import identity_at, settle
from tidelog.market.kraken.auth import ApiKey
from tidelog.market.replay import load_entries
from tidelog.market.retention import Retention
from tidelog.market.tokens import REST_URL, KrakenTokens
from tidelog.net.http import AioHttp
from tidelog.runtime import Runtime, SystemRuntime
from tidelog.store import Store
from tidelog.telemetry import MarketMetrics, logger

STATUS_S = 0.5  # between updates of the status line
LOOK_S = 10.0  # ... and between looks whether there is news where there is no terminal
LOG_S = 60.0  # between structured lines without news
DAY_S = 86_400
STORE_S = 5.0  # for the store to say which journal it has been loaded from, before the recording begins
LOADING_S = 15.0  # at the end, for what the store has not got: half of what `run` gives a process, and ten batches

_log = logger("market")


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


async def record_market(
    source: MarketSource,
    stop: Stop,
    status: str | None,
    *,
    live: bool = True,
    running: Callable[[Feed], None] = lambda feed: None,
) -> tuple[Progress, str]:
    """Record until asked to stop; where it ended, and the digest of its events.

    Args:
        status: where to serve metrics and readiness, if anywhere.
        live: show a status line where standard error is a terminal.
        running: called when the journal is open and it begins; the feed may be told to follow other symbols.
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
            showing = asyncio.gather(_show(feed, runtime, live=live), health.watch())
            running(feed)
            waited = [task for task in (stopped, finished, loading) if task is not None]
            try:
                await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (stopped, finished, showing):
                    task.cancel()
                await asyncio.gather(stopped, finished, showing, return_exceptions=True)
    finally:
        ended = True
        await http.close()
        if loading is not None:
            try:
                await finished_loading(loading)
            finally:
                settle(source.journal)
    return feed.progress, str(feed.digest)


async def require_its_journal(source: MarketSource, db: str, runtime: Runtime) -> None:
    """Refuse to record into another journal than the one that the store has been loaded from so far.

    A store that cannot be asked now is no reason not to record: the loader asks it again before it loads.

    Raises:
        ConfigError: it is another one, or it is not there any more.
    """
    from tidelog.market.loader import require_journal, source_of, state_of

    name = source_of(source.name)
    try:
        async with asyncio.timeout(STORE_S), opened(db, runtime=runtime) as store, store.snapshot() as snapshot:
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
            "back, give this recording another --name, or, if that journal is lost, go on with a gap by "
            f"tidelog market new-journal {source.journal} --db .. --name {source.name}"
        )
    require_journal(name, state, None if identity is None else identity.id)


async def finished_loading(loading: asyncio.Task[None]) -> None:
    """Wait for the store to have all of the journal, and no longer than LOADING_S: the next run goes on from there."""
    done, _ = await asyncio.wait({loading}, timeout=LOADING_S)
    if not done:
        _log.warning("loading_left", seconds=LOADING_S)
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
        tokens=None if source.key is None else KrakenTokens(source.key, http, runtime, source.rest),
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
    from tidelog.market.loader import Loader, Options

    async with opened(db, readonly=False, runtime=runtime) as store:
        options = Options(keep=source.keep)
        loader = await Loader.open(store, runtime, source.name, options, journal=journal, metrics=metrics)
        loaded.committed, loaded.store = loader.committed, store

        async def entries() -> AsyncIterator[Folded]:
            after = loader.committed
            async with aclosing(load_entries(source.journal, runtime, after=after, ending=ending)) as found:
                async for entry in found:
                    loaded.committed = loader.committed
                    yield entry

        try:
            await loader.run(entries())
        finally:
            loaded.store = None


async def _show(feed: Feed, runtime: Runtime, *, live: bool) -> None:
    """A status line on a terminal; otherwise a structured line when something is new, or a minute has passed."""
    console = Console(stderr=True)
    live = live and console.is_terminal
    before, seen_s = feed.progress, runtime.monotonic()
    told, told_s, told_frames = _news(before), seen_s, before.frames
    with Live(console=console, auto_refresh=False) if live else nullcontext() as display:
        while True:
            await runtime.sleep(STATUS_S if live else LOOK_S)
            progress, now_s = feed.progress, runtime.monotonic()
            rate = (progress.frames - before.frames) / max(0.001, now_s - seen_s)
            before, seen_s = progress, now_s
            if display is not None:
                line = Text(status_line(progress, rate, console.width), no_wrap=True, overflow="crop")
                display.update(line, refresh=True)
            elif _news(progress) != told or now_s - told_s >= LOG_S:
                rate = (progress.frames - told_frames) / max(0.001, now_s - told_s)
                told, told_s, told_frames = _news(progress), now_s, progress.frames
                _log.info("recording", rate=round(rate, 1), **_facts(progress))


def _news(progress: Progress) -> tuple[object, ...]:
    """What is worth a line when it changes."""
    return (
        progress.state,
        progress.held,
        progress.subscriptions,
        progress.mismatches,
        progress.malformed,
        progress.resyncs,
        progress.connects,
    )


def status_line(progress: Progress, rate: float, width: int) -> str:
    """Where a recording is, in at most `width` columns; what is wrong stays longest."""
    troubles = (
        ("mismatches", progress.mismatches, 85),
        ("malformed", progress.malformed, 84),
        ("resyncs", progress.resyncs, 60),
        ("reconnects", max(0, progress.connects - 1), 50),
    )
    return fitted(
        [
            Part(progress.state.value, 100),
            Part(f"{progress.held}/{progress.subscriptions} held", 90),
            Part(f"{rate:,.0f} frames/s", 80),
            Part(f"{short(progress.frames)} frames", 40),
            *[Part(f"{short(count)} {name}", weight if count else weight // 5) for name, count, weight in troubles],
            Part(f"{short(progress.unsynced)} unsynced", 30),
        ],
        width,
    )


def _facts(progress: Progress) -> dict[str, object]:
    return {
        "state": progress.state.value,
        "subscriptions": f"{progress.held}/{progress.subscriptions}",
        "frames": progress.frames,
        "mismatches": progress.mismatches,
        "malformed": progress.malformed,
        "resyncs": progress.resyncs,
        "connects": progress.connects,
        "unsynced": progress.unsynced,
    }


def listed(text: str) -> list[str]:
    """What stands between commas."""
    return [part.strip() for part in text.split(",") if part.strip()]
