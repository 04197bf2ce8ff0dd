"""`tidelog market`: record an exchange, replay what was recorded, follow it, look at a book."""

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from typing import Annotated, Literal

import cyclopts
import msgspec
from cyclopts import Parameter
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tidelog.cli.market_queries import candles, coverage, trades
from tidelog.cli.stores import opened
from tidelog.errors import ConfigError
from tidelog.market.book import Precision, Units
from tidelog.market.core import Entry
from tidelog.market.events import EventId
from tidelog.market.feed import BookView, Feed, Progress, view_of
from tidelog.market.folded import Folded
from tidelog.market.journal import follow as follow_records
from tidelog.market.journal_export import export_journal, import_journal
from tidelog.market.journal_file import JournalReader
from tidelog.market.kraken.auth import ApiKey
from tidelog.market.replay import Summary, at_the_end, follow_entries, load_entries, read_source
from tidelog.market.replay import replay as replay_records
from tidelog.market.retention import Retention, size_of
from tidelog.market.tokens import REST_URL, KrakenTokens
from tidelog.net.http import AioHttp
from tidelog.runtime import Runtime, SystemRuntime, run
from tidelog.telemetry import configure_logs, logger

app = cyclopts.App(
    name="market", help="Exchanges: record, replay, follow, export, import, book; and what was recorded."
)
for query in (trades, candles, coverage):
    app.command(query)

STATUS_S = 0.5  # between updates of the status line
LOG_S = 10.0  # ... and between structured lines where there is no terminal
TITLE_CHARS = 64  # so that a title stays on one line
LADDER_S = 0.1  # between updates of a ladder: faster than anybody reads

Symbols = Annotated[str, Parameter(help="Such as BTC/USD,ETH/USD.")]
Protocol = Annotated[Literal["v2", "v1"], Parameter(help="Kraken's WebSocket API.")]
Url = Annotated[str | None, Parameter(help="The WebSocket; Kraken's if not given.", env_var="TIDELOG_MARKET_URL")]

_log = logger("market")


@app.command
def record(
    *,
    symbols: Symbols = "",
    channels: str = "book,trade",
    depth: int = 10,
    interval: int = 1,
    journal: str = "market.journal",
    db: str | None = None,
    name: str = "kraken",
    protocol: Protocol = "v2",
    url: Url = None,
    keep_days: float | None = None,
    journal_max: str | None = None,
    rest: Annotated[str, Parameter(env_var="TIDELOG_KRAKEN_REST")] = REST_URL,
    log_level: Literal["debug", "info", "warning", "error"] = "info",
) -> None:
    """Record an exchange: every frame into the journal, books proven on the way.

    Safe to stop and to kill at any moment: what the journal has is whole, and what is missing is said in it. It
    reconnects by itself, for as long as it takes. Ctrl-C ends it in order, and prints the digest of its events.

    Args:
        channels: of book, trade, ticker, ohlc, instrument (v2), spread (v1); or of the private ones, executions and
            balances (v2), ownTrades and openOrders (v1), with the API key in TIDELOG_KRAKEN_KEY and its secret in
            TIDELOG_KRAKEN_SECRET.
        depth: of books: 10, 25, 100, 500 or 1000.
        interval: of the exchange's candles, in minutes.
        journal: the file; it is made if it does not exist, and gone on with if it does.
        db: also load trades, candles, books and coverage into this store.
        name: of the recording in the store.
        keep_days: drop what is older from the journal; not what the store has not got yet.
        journal_max: the size that the journal may have, such as 500MiB or 10GiB; what is logged beside it takes some
            16 MiB more. At that size the oldest goes: first what the store has got already, and if the database is
            away for too long also what it has not. The store then has a gap journal_full there, and goes on behind it.
        rest: where tokens for private channels are had.
        log_level: the least severe events that are logged, to standard error.
    """
    configure_logs(level=log_level)
    loaded = _Loaded()
    retention = _retention(keep_days, journal_max, (lambda: None) if db is None else (lambda: loaded.committed))
    runtime, http = SystemRuntime(), AioHttp()
    feed = Feed(
        _listed(symbols),
        _listed(channels),
        journal=journal,
        depth=depth,
        interval=interval,
        protocol=protocol,
        url=url,
        tokens=_tokens(http, runtime, rest),
        retention=retention,
        digest=True,
        runtime=runtime,
    )
    run(_record(feed, runtime, http, journal, db, name, loaded))


def _retention(
    keep_days: float | None, journal_max: str | None, restart: Callable[[], EventId | None]
) -> Retention | None:
    """How much of the journal is kept; None: all."""
    if keep_days is None and journal_max is None:
        return None
    age_s = None if keep_days is None else keep_days * 86_400
    return Retention(age_s, None if journal_max is None else size_of(journal_max), restart)


def _tokens(http: AioHttp, runtime: Runtime, rest: str) -> KrakenTokens | None:
    """What gives tokens, if the environment has a key."""
    key, secret = os.environ.get("TIDELOG_KRAKEN_KEY"), os.environ.get("TIDELOG_KRAKEN_SECRET")
    return KrakenTokens(ApiKey(key, secret), http, runtime, rest) if key and secret else None


class _Loaded:
    """How far the store is."""

    committed: EventId = EventId(0, 0)


async def _record(
    feed: Feed, runtime: Runtime, http: AioHttp, journal: str, db: str | None, name: str, loaded: _Loaded
) -> None:
    ended = False
    loading: asyncio.Task[None] | None = None
    try:
        async with feed:
            if db is not None:
                loading = asyncio.create_task(_load(runtime, journal, db, name, loaded, lambda: ended))
            stopped, finished = asyncio.create_task(_stop_signal()), asyncio.create_task(feed.finished())
            showing = asyncio.create_task(_show(feed, runtime))
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
            await loading
    progress = feed.progress
    print(f"run {progress.last.run}: {progress.frames} frames, {progress.mismatches} mismatches, digest {feed.digest}")


async def _load(
    runtime: Runtime, journal: str, db: str, name: str, loaded: _Loaded, ending: Callable[[], bool]
) -> None:
    """Load the journal into a store, as it grows."""
    from tidelog.market.loader import Loader

    async with opened(db, readonly=False, runtime=runtime) as store:
        loader = await Loader.open(store, runtime, name)
        loaded.committed = loader.committed

        async def entries() -> AsyncIterator[Folded]:
            async for entry in load_entries(journal, runtime, after=loader.committed, ending=ending):
                loaded.committed = loader.committed
                yield entry

        await loader.run(entries())


async def _stop_signal() -> None:
    """Return on the first signal; a second one ends the process at once, which the journal is made for."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        if stop.is_set():
            os._exit(130)
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal)
    await stop.wait()


async def _show(feed: Feed, runtime: Runtime) -> None:
    """A status line on a terminal, structured lines otherwise."""
    console = Console(stderr=True)
    before, told_s = feed.progress, runtime.monotonic()
    interval_s = STATUS_S if console.is_terminal else LOG_S
    with Live(console=console, auto_refresh=False) if console.is_terminal else nullcontext() as live:
        while True:
            await runtime.sleep(interval_s)
            progress, now_s = feed.progress, runtime.monotonic()
            rate = (progress.frames - before.frames) / max(0.001, now_s - told_s)
            before, told_s = progress, now_s
            if live is None:
                _log.info("progress", rate=round(rate, 1), **_facts(progress))
            else:
                facts = "  ".join(f"{name} {value}" for name, value in _facts(progress).items())
                live.update(Text(f"{rate:,.0f} frames/s  {facts}"), refresh=True)


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


@app.command
def replay(source: str, *, speed: str = "max") -> None:
    """Replay a journal, or a file of frames (one a line), and print what it proves and the digest of its events.

    The digest is the same at every speed and on every machine, and that of the live run.

    Args:
        source: the journal or the file.
        speed: 1 as it happened, 10 ten times as fast, max as fast as it goes.
    """
    summary = run(_replay(source, _speed(speed)))
    print(f"{summary.events} events, " + ", ".join(f"{count} {check.value}" for check, count in summary.checks.items()))
    for number, digest in summary.digests.items():
        print(f"run {number}: {digest.events} events, digest {digest.hexdigest()}")


async def _replay(source: str, speed: float | None) -> Summary:
    summary = Summary()
    async for _ in replay_records(read_source(source), SystemRuntime(), speed=speed, summary=summary):
        pass
    return summary


def _speed(text: str) -> float | None:
    if text == "max":
        return None
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0 < speed < 1e9:
        raise ConfigError(f"--speed {text!r}: give a factor, such as 1 or 10, or max")
    return speed


@app.command
def follow(journal: str, *, from_start: bool = False) -> None:
    """Print the events of a journal that another process is writing, one JSON object a line.

    Args:
        journal: the file.
        from_start: begin with what it has already, not with what comes.
    """
    run(_follow(journal, from_start))


async def _follow(journal: str, from_start: bool) -> None:
    after = EventId(0, 0)
    runtime = SystemRuntime()
    if not from_start:
        async for records in follow_records(journal, runtime, ending=lambda: True):
            after = records[-1].id
    async for entries in follow_entries(journal, runtime, after=after):
        for entry in entries:
            sys.stdout.buffer.write(_line(entry))
        sys.stdout.buffer.flush()


_encode = msgspec.json.Encoder().encode


def _line(entry: Entry) -> bytes:
    shown = {
        "run": entry.id.run,
        "seq": entry.id.seq,
        "at_us": entry.at_us,
        "kind": type(entry.event).__name__,
        "check": None if entry.check is None else entry.check.value,
        "event": entry.event,
    }
    return _encode(shown) + b"\n"


@app.command
def export(journal: str, to: str) -> None:
    """Write a journal as text: one JSON object a line, compressed. Frames with a token never had it in there.

    Args:
        journal: the file.
        to: a new file, such as market.jsonl.zst.
    """
    if os.path.exists(to):
        raise ConfigError(f"{to} exists: an export makes a new file")
    reader = JournalReader(journal)
    try:
        count = export_journal(reader, to)
    finally:
        reader.close()
    print(f"{count} records")


@app.command(name="import")
def import_(source: str, journal: str) -> None:
    """Make a journal of an export, byte for byte what it was.

    Args:
        source: the export.
        journal: a new file.
    """
    print(f"{import_journal(source, journal)} records")


@app.command
def book(
    symbol: str,
    *,
    depth: int = 10,
    levels: int = 10,
    journal: str | None = None,
    protocol: Protocol = "v2",
    url: Url = None,
) -> None:
    """Show a book as it lives, and whether it is proven.

    Args:
        symbol: such as BTC/USD.
        depth: to subscribe.
        levels: to show of each side.
        journal: show the book of a journal that is being recorded, instead of connecting.
    """
    configure_logs(level="error")
    run(_book(symbol, depth, levels, journal, protocol, url))


async def _book(
    symbol: str, depth: int, levels: int, journal: str | None, protocol: Literal["v1", "v2"], url: str | None
) -> None:
    runtime = SystemRuntime()
    watching = (
        _watch_journal(journal, runtime) if journal is not None else _watch_feed(symbol, depth, protocol, url, runtime)
    )
    async with watching as look:
        with Live(auto_refresh=False) as live:
            while True:
                live.update(ladder(symbol, look(symbol, levels)), refresh=True)
                await runtime.sleep(LADDER_S)


Look = Callable[[str, int], BookView | None]


@asynccontextmanager
async def _watch_feed(symbol: str, depth: int, protocol: str, url: str | None, runtime: Runtime) -> AsyncIterator[Look]:
    """A feed of its own, whose journal goes with it."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "book.journal")
        async with Feed([symbol], ["book"], journal=path, depth=depth, protocol=protocol, url=url) as feed:
            yield feed.book


@asynccontextmanager
async def _watch_journal(journal: str, runtime: Runtime) -> AsyncIterator[Look]:
    worker = runtime.worker("journal-reader")
    try:
        core, start = await worker.call(lambda: at_the_end(journal))
    finally:
        await worker.close()

    async def keep_up() -> None:
        async for records in follow_records(journal, runtime, after=start):
            for record in records:
                core.take(record)

    keeping = asyncio.create_task(keep_up())
    try:
        yield lambda symbol, levels: view_of(core, symbol, levels)
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)


def ladder(symbol: str, view: BookView | None) -> Table:
    """A book as a table: asks above, bids below, the touch in the middle."""
    state = "not followed"
    if view is not None:
        state = f"proven to {view.proven_depth} levels" if view.proven else "NOT PROVEN"
        state += ", crossed" if view.crossed else ""
        state += f", {view.mismatches} mismatches" if view.mismatches else ""
    table = Table(title=f"{symbol}: {state}", min_width=TITLE_CHARS)
    for column in ("bid quantity", "price", "ask quantity"):
        table.add_column(column, justify="right")
    if view is not None:
        for level in reversed(view.asks):
            price, qty = _shown(level, view.precision)
            table.add_row("", f"[red]{price}[/]", qty)
        for level in view.bids:
            price, qty = _shown(level, view.precision)
            table.add_row(qty, f"[green]{price}[/]", "")
    return table


def _shown(level: Units, precision: Precision) -> tuple[str, str]:
    return _decimal(level.price, precision.price), _decimal(level.qty, precision.qty)


def _decimal(number: int, scale: int) -> str:
    digits = f"{number:0{scale + 1}}"
    return f"{digits[:-scale]}.{digits[-scale:]}" if scale else digits


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
