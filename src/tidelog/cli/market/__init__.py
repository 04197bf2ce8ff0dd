"""`tidelog market`: record an exchange, replay what was recorded, follow it, look at a book.

Only the commands' parameters and their help. What a command does is imported when it runs.
"""

import sys
from typing import Annotated, Literal

import cyclopts
from cyclopts import Parameter

from tidelog.cli.options import (
    DEFAULT_DB,
    FORM,
    LIST_MAX,
    Db,
    Form,
    LogLevel,
    Out,
    ProgressMode,
    Several,
    StatusAddress,
    at_least,
)
from tidelog.cli.out import say
from tidelog.market.kraken.urls import REST_URL

app = cyclopts.App(
    name="market",
    help="Exchanges: record, replay, follow, export, import, book; what was recorded, and whether it is complete.",
)

Symbols = Annotated[str, Parameter(help="Such as BTC/USD,ETH/USD.")]
Protocol = Annotated[Literal["v2", "v1"], Parameter(help="Kraken's WebSocket API.")]
Url = Annotated[str | None, Parameter(help="The WebSocket; Kraken's if not given.", env_var="TIDELOG_MARKET_URL")]
Symbol = Annotated[str, Parameter(help="Such as BTC/USD.")]
Name = Annotated[str | None, Parameter(name="--name", help="Which recording; not needed when the store holds one.")]
From = Annotated[str | None, Parameter(name="--from", help="The earliest time, such as 2024-05-01T12:30:00Z.")]
To = Annotated[str | None, Parameter(name="--to", help="The time before which it ends.")]
Limit = Annotated[int, Parameter(help=f"How many, the latest of them, at most {LIST_MAX}.")]


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
    shards: int | None = None,
    shard: str | None = None,
    shard_symbols: str = "",
    status: StatusAddress = None,
    progress: ProgressMode = "auto",
    log_level: LogLevel = "info",
) -> None:
    """Record an exchange: every frame into the journal, books proven on the way.

    You may stop or kill it at any moment: the journal stays whole, and records what is missing. It reconnects by
    itself, for as long as it takes. Ctrl-C ends it in order, and prints the digest of its events.

    Args:
        channels: of book, trade, ticker, ohlc, instrument (v2), spread (v1); or of the private ones, executions and
            balances (v2), ownTrades and openOrders (v1), with the API key in TIDELOG_KRAKEN_KEY and its secret in
            TIDELOG_KRAKEN_SECRET.
        depth: of books: 10, 25, 100, 500 or 1000.
        interval: of the exchange's candles, in minutes.
        journal: the file; it is made if it does not exist, and continued if it does.
        db: also load trades, candles, books and coverage into this store.
        name: of the recording in the store.
        keep_days: drop older records from the journal, except those that the store does not have yet.
        journal_max: the size that the journal may have, such as 500MiB or 10GiB; its write-ahead log takes some 16 MiB
            more. At that size the oldest records are dropped: first those that the store has; if the database is away
            for too long, also others. The store then has a gap journal_full.
        keep_trades_days: drop older trades from the store, some with each commit; 2 or more, as the next three.
        keep_candles_days: drop older candles from the store.
        keep_books_days: drop older book snapshots from the store.
        keep_coverage_days: drop older coverage, and gaps of the connection, from the store.
        rest: the REST API that gives tokens for private channels.
        shards: divide the symbols among so many processes, each with a connection and a journal of its own
            (market.journal, market.2.journal, ..), into one recording in the store. They are started again when they
            fail, and end together.
        shard: record one shard alone, such as 2/4; the others elsewhere, into the same store.
        shard_symbols: the symbols of the first shard, of the second, and so on, such as BTC/USD;ETH/USD,SOL/USD. Those
            in no list go by their hash.
        log_level: the least severe events that are logged, to standard error.
    """
    from tidelog.cli.market.recording import api_key, run_divided, run_record
    from tidelog.cli.sources.market import MarketSource, listed
    from tidelog.cli.sources.shards import divided
    from tidelog.errors import ConfigError
    from tidelog.market.journal.retention import size_of
    from tidelog.market.load.expiry import KEEP_DAYS_MAX, Keep
    from tidelog.market.shards.layout import Shard, layout_of

    if keep_days is not None and not 0 < keep_days <= KEEP_DAYS_MAX:
        raise ConfigError(f"--keep-days {keep_days:g}: give more than 0, and {KEEP_DAYS_MAX} at most")
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
        key=api_key(),
    )
    only = None if shard is None else Shard.read(shard)
    layout = layout_of(source.symbols, shards, only, [listed(each) for each in shard_symbols.split(";") if each])
    if layout is None:
        run_record(source, status, progress=progress, log_level=log_level)
    elif only is not None:
        run_record(divided(source, layout, only)[only.number], status, progress=progress, log_level=log_level)
    else:
        run_divided(source, layout, status, progress=progress, log_level=log_level)


@app.command
def replay(
    source: str,
    *,
    speed: str = "max",
    protocol: Annotated[
        Literal["v2", "v1"] | None, Parameter(help="Of a file of frames, if the file does not say it.")
    ] = None,
    depth: Annotated[
        int | None, Parameter(help="Of the books in a file of frames, if the file does not say it.")
    ] = None,
) -> None:
    """Replay a journal, its export, or a file of frames, and print what it proves and the digest of its events.

    The digest is the same at every speed and on every machine, and equals that of the live run. A file of frames has
    one frame a line, plain or packed with gzip or zstd, with a time before it or inside another object. If the file
    does not say what it needs to, that is guessed, and the guess is printed to standard error.

    Args:
        source: the journal or the file.
        speed: 1 as it happened, 10 ten times as fast, max as fast as it goes.
    """
    from tidelog.cli.market.journals import print_replay

    print_replay(source, speed=speed, protocol=protocol, depth=depth)


@app.command
def follow(journal: str, *, from_start: bool = False) -> None:
    """Print the events of a journal that another process is writing, one JSON object a line.

    Args:
        journal: the file.
        from_start: begin with what it has already, not with what comes.
    """
    from tidelog.cli.market.journals import print_followed

    print_followed(journal, from_start=from_start)


@app.command
def export(journal: str, to: str) -> None:
    """Write a journal as text: one JSON object a line, compressed. It contains no tokens.

    Args:
        journal: the file.
        to: a new file, such as market.jsonl.zst.
    """
    from tidelog.cli.market.journals import write_export

    say(f"{write_export(journal, to)} records")


@app.command(name="import")
def import_(source: str, journal: str) -> None:
    """Make a journal of an export, byte for byte what it was.

    Args:
        source: the export.
        journal: a new file.
    """
    from tidelog.market.journal.export import import_journal

    say(f"{import_journal(source, journal)} records")


ShardNumber = Annotated[int, Parameter(help="Which shard of the recording, by its number; 1 where it has none.")]


@app.command
def release(journal: str, *, db: Db, name: str = "kraken", shard: ShardNumber) -> None:
    """Load what the journal of a shard has left, and let other shards have its symbols: it is recorded no more.

    Shards of one folder do so for each other. This is for one that was run elsewhere, or whose folder nobody records in
    any more.

    Args:
        journal: the file of that shard.
        name: of the recording in the store.
    """
    from tidelog.cli.market.recording import print_released

    print_released(journal, db, name, shard)


@app.command
def new_journal(journal: str, *, db: Db, name: str = "kraken", shard: ShardNumber = 1) -> None:
    """Begin a new journal for a recording whose journal is lost: the store has a gap there, and continues behind it.

    Args:
        journal: a new file; record into it from now on.
        name: of the recording in the store.
    """
    from tidelog.cli.market.journals import print_begun

    print_begun(journal, db, name, shard)


@app.command
def book(
    symbol: str,
    *,
    depth: int = 10,
    journal: str | None = None,
    protocol: Protocol = "v2",
    url: Url = None,
) -> None:
    """Show a book as it lives, with its trades, and whether it is proven: the view of `tidelog top`, with its keys.

    Args:
        symbol: such as BTC/USD.
        depth: to subscribe.
        journal: show the book of a journal that is being recorded, instead of connecting.
    """
    from tidelog.cli.top.watching import watch_book

    watch_book(symbol, depth=depth, journal=journal, protocol=protocol, url=url)


@app.command
def trades(
    symbol: Symbol,
    *,
    db: Db = DEFAULT_DB,
    name: Name = None,
    from_: From = None,
    to: To = None,
    limit: Limit = 100,
    form: Form = FORM,
) -> None:
    """List stored trades, oldest first."""
    from tidelog.cli.market.queries import list_trades

    list_trades(db, name, symbol, begin=from_, end=to, limit=limit, form=form)


@app.command
def candles(
    symbol: Symbol,
    *,
    interval: Annotated[str, Parameter(help="1m, 5m, 15m, 1h, 4h, 1d.")] = "1m",
    db: Db = DEFAULT_DB,
    name: Name = None,
    from_: From = None,
    to: To = None,
    limit: Limit = 100,
    form: Form = FORM,
) -> None:
    """List stored candles, oldest first. An interval without trades has none.

    One is complete when all trades of its time are stored: when one before it and one after it came, and no id between
    is missing. The latest one is not, and neither is the first, nor one with an outage in it.
    """
    from tidelog.cli.market.queries import list_candles

    list_candles(db, name, symbol, interval=interval, begin=from_, end=to, limit=limit, form=form)


@app.command
def coverage(
    symbol: Annotated[str | None, Parameter(help="Such as BTC/USD; all, when it is left out.")] = None,
    *,
    db: Db = DEFAULT_DB,
    name: Name = None,
    from_: From = None,
    to: To = None,
    limit: Limit = 1_000,
    form: Form = FORM,
) -> None:
    """Say for which times books and trades are proven, and where something is missing.

    A book is proven where the exchange's checksum over its top 10 levels matched; trades are where their ids
    follow each other. `closed` is the time at which everything that was missing in a gap had arrived.
    """
    from tidelog.cli.market.queries import list_coverage

    list_coverage(db, name, symbol, begin=from_, end=to, limit=limit, form=form)


@app.command
def verify(*, db: Db = DEFAULT_DB, name: Name = None, journal: Several = (), findings: int = 1) -> None:
    """Verify what is stored of a recording: by its journal, if that is there, and row against row.

    It derives the rows from the journal again, into a temporary database, and compares them one by one. It makes the
    candles again from the trades, and compares trades with their ids and gaps, coverage with its own borders, books
    with the coverage, and all with the checkpoint. Of a recording with shards it reads the journals of all of them. The
    exit code is 6 if something differs. The last line says what was not checked.

    Args:
        journal: the recording's journal; market.journal if there is one and none is given. Of shards as many as you
            like, one --journal each; the others are looked for where the store says that their shards write them.
        findings: stop after so many findings.
    """
    from tidelog.cli.market.verification import print_verification

    sys.exit(print_verification(db, name, journal, findings=at_least("--findings", findings, 1)))


@app.command
def plot(
    symbol: Symbol,
    *,
    interval: Annotated[str, Parameter(help="10s, 30s, 1m, 5m, 15m, 1h, 4h, 1d.")] = "1m",
    db: Db = DEFAULT_DB,
    name: Name = None,
    out: Out = None,
) -> None:
    """Draw a symbol's candles up to the last one, with gaps shaded, its coverage, and the depth of its last book."""
    from tidelog.cli.top.plots import plot_symbol

    plot_symbol(db, name, symbol, interval, out)
