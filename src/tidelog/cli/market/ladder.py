"""A book as it lives, as a ladder on the terminal."""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Literal

from rich.live import Live
from rich.table import Table
from rich.text import Text

from tidelog.market.book.levels import Precision, ScaledLevel
from tidelog.market.journal.writer import follow as follow_records
from tidelog.market.live.feed import Feed
from tidelog.market.projection.rows import decimal_text
from tidelog.market.replay.position import core_at_end
from tidelog.market.symbols import normal_symbol
from tidelog.market.views import BookView, view_of
from tidelog.printable import printable
from tidelog.runtime import Runtime, SystemRuntime, run
from tidelog.telemetry import configure_logs

TITLE_CHARS = 64  # so that a title stays on one line
LADDER_S = 0.1  # between updates of a ladder: faster than anybody reads


def show_book(
    symbol: str, *, depth: int, levels: int, journal: str | None, protocol: Literal["v1", "v2"], url: str | None
) -> None:
    """Until interrupted."""
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
        core, start = await worker.call(lambda: core_at_end(journal))
    finally:
        await worker.close()

    async def keep_up() -> None:
        async for records in follow_records(journal, runtime, after=start):
            for record in records:
                core.apply(record)

    keeping = asyncio.create_task(keep_up())
    try:
        yield lambda symbol, levels: view_of(core, symbol, levels)
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)


def ladder(symbol: str, view: BookView | None) -> Table:
    """A book as a table: asks above, bids below, the best of both in the middle."""
    state = "not followed"
    if view is not None:
        state = f"proven to {view.proven_depth} levels" if view.proven else "NOT PROVEN"
        state += ", crossed" if view.crossed else ""
        state += f", {view.mismatches} mismatches" if view.mismatches else ""
    table = Table(title=Text(f"{printable(symbol)}: {state}"), min_width=TITLE_CHARS)
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


def _shown(level: ScaledLevel, precision: Precision) -> tuple[str, str]:
    return decimal_text(level.price, precision.price), decimal_text(level.qty, precision.qty)
