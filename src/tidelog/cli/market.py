"""`tidelog market`: record an exchange, replay what was recorded, follow it, look at a book."""

import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Literal

import cyclopts
import msgspec
from cyclopts import Parameter
from rich.live import Live
from rich.table import Table

from tidelog.cli.market_queries import candles, coverage, trades
from tidelog.cli.market_source import MarketSource, listed, record_market
from tidelog.cli.status import StatusAddress
from tidelog.cli.stopping import Stop
from tidelog.cli.stores import Db, opened
from tidelog.errors import ConfigError
from tidelog.market.book import Precision, Units
from tidelog.market.core import Entry
from tidelog.market.events import EventId
from tidelog.market.expiry import Keep
from tidelog.market.feed import Feed
from tidelog.market.journal import follow as follow_records
from tidelog.market.journal_export import export_journal, import_journal
from tidelog.market.journal_file import JournalReader
from tidelog.market.kraken.auth import ApiKey
from tidelog.market.replay import Source, Summary, at_the_end, follow_entries
from tidelog.market.replay import replay as replay_records
from tidelog.market.retention import size_of
from tidelog.market.rows import decimal_text
from tidelog.market.symbols import normal_symbol
from tidelog.market.tokens import REST_URL
from tidelog.market.views import BookView, view_of
from tidelog.market.written import written
from tidelog.runtime import Runtime, SystemRuntime, run
from tidelog.telemetry import configure_logs, logger

app = cyclopts.App(
    name="market", help="Exchanges: record, replay, follow, export, import, book; and what was recorded."
)
for query in (trades, candles, coverage):
    app.command(query)

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
    keep_trades_days: float | None = None,
    keep_candles_days: float | None = None,
    keep_books_days: float | None = None,
    keep_coverage_days: float | None = None,
    rest: Annotated[str, Parameter(env_var="TIDELOG_KRAKEN_REST")] = REST_URL,
    status: StatusAddress = None,
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
        keep_trades_days: drop older trades from the store, some with each commit; 2 or more, as the next three.
        keep_candles_days: drop older candles from the store.
        keep_books_days: drop older book snapshots from the store.
        keep_coverage_days: drop older coverage, and gaps of the connection, from the store.
        rest: where tokens for private channels are had.
        log_level: the least severe events that are logged, to standard error.
    """
    configure_logs(level=log_level)
    source = MarketSource(
        symbols=listed(symbols),
        channels=listed(channels),
        depth=depth,
        interval=interval,
        journal=journal,
        db=db,
        name=name,
        protocol=protocol,
        url=url,
        keep_days=keep_days,
        journal_max=None if journal_max is None else size_of(journal_max),
        keep=Keep(keep_trades_days, keep_candles_days, keep_books_days, keep_coverage_days),
        rest=rest,
        key=_key(),
    )
    run(_record(source, status))


def _key() -> ApiKey | None:
    """What the environment has."""
    key, secret = os.environ.get("TIDELOG_KRAKEN_KEY"), os.environ.get("TIDELOG_KRAKEN_SECRET")
    return ApiKey(key, secret) if key and secret else None


async def _record(source: MarketSource, status: str | None) -> None:
    stop = Stop()
    stop.on_signals()
    recorded, digest = await record_market(source, stop, status)
    print(
        f"run {recorded.last.run}: {recorded.frames} frames, {recorded.mismatches} mismatches, "
        f"{recorded.malformed} malformed, digest {digest}"
    )


@app.command
def replay(
    source: str,
    *,
    speed: str = "max",
    protocol: Annotated[Literal["v2", "v1"] | None, Parameter(help="Of a file of frames, if not what it says.")] = None,
    depth: Annotated[int | None, Parameter(help="Of the books in a file of frames, if not what it says.")] = None,
) -> None:
    """Replay a journal, its export, or a file of frames, and print what it proves and the digest of its events.

    The digest is the same at every speed and on every machine, and that of the live run. A file of frames has one a
    line, plain or packed with gzip or zstd, with a time before it or inside another object; what nothing in it says
    is guessed, and the guess is printed to standard error.

    Args:
        source: the journal or the file.
        speed: 1 as it happened, 10 ten times as fast, max as fast as it goes.
    """
    factor = _speed(speed)
    found = Source(source, protocol=protocol, depth=depth)
    summary = run(_replay(found, factor))
    found.require_readable(summary)
    for note in [] if found.recording is None else found.recording.notes:
        print(f"{source}: {note}", file=sys.stderr)
    counts = {check.value: count for check, count in summary.checks.items()}
    counts |= {"malformed": summary.malformed, "unknown": summary.unknown}
    print(f"{summary.events} events, " + ", ".join(f"{count} {name}" for name, count in counts.items()))
    for number, digest in summary.digests.items():
        print(f"run {number}: {digest.events} events, digest {digest.hexdigest()}")


async def _replay(source: Source, speed: float | None) -> Summary:
    summary = Summary()
    async for _ in replay_records(source.records(), SystemRuntime(), speed=speed, summary=summary):
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
        **({"checks": [check and check.value for check in entry.checks]} if entry.checks else {}),
        "event": written(entry.event),
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
def new_journal(journal: str, *, db: Db, name: str = "kraken") -> None:
    """Begin a new journal for a recording whose journal is lost: the store has a gap there, and goes on behind it.

    Args:
        journal: a new file; record into it from now on.
        name: of the recording in the store.
    """
    last = run(_new_journal(journal, db, name))
    print(f"{journal} goes on behind run {last.run}, record {last.seq} of the lost one")


async def _new_journal(journal: str, db: str, name: str) -> EventId:
    from tidelog.market.loader import begin_journal

    runtime = SystemRuntime()
    async with opened(db, readonly=False, runtime=runtime) as store:
        return await begin_journal(store, runtime, name, journal)


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
    run(_book(normal_symbol(symbol), depth, levels, journal, protocol, url))


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
    return decimal_text(level.price, precision.price), decimal_text(level.qty, precision.qty)
