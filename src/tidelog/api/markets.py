"""`/v1/markets`: what was recorded of an exchange: its symbols, their trades, and candles of these."""

from typing import Annotated, Any

from litestar import Request, Response, get
from litestar.di import NamedDependency
from litestar.params import QueryParameter
from msgspec import Struct

from tidelog.api.answers import unstored
from tidelog.api.backend import Backend
from tidelog.api.cursors import open_cursor, seal
from tidelog.api.market_fields import Candle, Market, Trade, candle_of, market_of, trade_of
from tidelog.api.market_view import MarketAnswer, market_states, the_market
from tidelog.api.parameters import Cursor, Limit, Order, Recording, Since, Symbol, Until, page_size, time_us
from tidelog.api.problems import Refused
from tidelog.batch import CANDLES, INSTRUMENTS, TRADES, Row, Table
from tidelog.store import Condition
from tidelog.store.query import key_of

__all__ = ["ROUTES", "rows_of"]

UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}

Interval = Annotated[
    str, QueryParameter(pattern="^[1-9][0-9]{0,4}[smhd]$", description="How long a candle is: 1m, 5m, 15m, 1h, 4h, 1d.")
]


class Markets(Struct, frozen=True):
    """Symbols, by recording and name."""

    data: list[Market]
    next: str | None


class Trades(MarketAnswer, frozen=True, kw_only=True):
    """Trades in order."""

    symbol: str
    data: list[Trade]
    next: str | None


class Candles(MarketAnswer, frozen=True, kw_only=True):
    """Candles in order."""

    symbol: str
    interval_s: int
    data: list[Candle]
    next: str | None


@get("/v1/markets", operation_id="list_markets", summary="Recordings and their symbols", tags=["market"])
async def list_markets(
    request: Request[Any, Any, Any],
    backend: NamedDependency[Backend],
    recording: Recording = None,
    limit: Limit = None,
    cursor: Cursor = None,
) -> Response[Markets]:
    """By recording and symbol; with what their books and trades are worth now."""
    size = page_size(limit, backend.options.page_default, backend.options.page_max)
    identity = ("markets", recording)
    after = open_cursor(cursor, INSTRUMENTS, identity)
    found: list[tuple[Row, Market]] = []
    async with backend.store.snapshot() as snapshot:
        for view in await market_states(snapshot):
            if len(found) > size or recording not in (None, view.recording):
                continue
            told = {row[1]: row for row in await snapshot.select(INSTRUMENTS, scope=view.source)}
            for symbol in sorted({*map(str, told), *view.state.symbols}):
                key: Row = (view.source, symbol)
                if len(found) <= size and (after is None or key > after):
                    state = view.state.symbols.get(symbol)
                    found.append((key, market_of(view.recording, symbol, state, told.get(symbol))))
    following = seal(INSTRUMENTS, identity, found[size - 1][0]) if len(found) > size else None
    return unstored(Markets([market for _, market in found[:size]], following))


@get("/v1/markets/{symbol:str}/trades", operation_id="list_trades", summary="Trades of a symbol", tags=["market"])
async def list_trades(
    request: Request[Any, Any, Any],
    backend: NamedDependency[Backend],
    symbol: Symbol,
    recording: Recording = None,
    from_: Since = None,
    to: Until = None,
    order: Order = "desc",
    limit: Limit = None,
    cursor: Cursor = None,
) -> Response[Trades]:
    """The newest first, unless `order` says otherwise. A trade found in a gap later takes its place in time."""
    page = Page(TRADES, "trades", symbol, recording, from_, to, order, limit, cursor)
    fields, rows = await rows_of(backend, page)
    return unstored(Trades(data=[trade_of(row) for row in rows], **fields))


@get("/v1/markets/{symbol:str}/candles", operation_id="list_candles", summary="Candles of a symbol", tags=["market"])
async def list_candles(
    request: Request[Any, Any, Any],
    backend: NamedDependency[Backend],
    symbol: Symbol,
    interval: Interval = "1m",
    recording: Recording = None,
    from_: Since = None,
    to: Until = None,
    order: Order = "desc",
    limit: Limit = None,
    cursor: Cursor = None,
) -> Response[Candles]:
    """The newest first, unless `order` says otherwise; `from` and `to` are of their beginnings."""
    interval_s = int(interval[:-1]) * UNITS[interval[-1]]
    page = Page(CANDLES, f"candles {interval_s}", symbol, recording, from_, to, order, limit, cursor, interval_s)
    fields, rows = await rows_of(backend, page)
    return unstored(Candles(data=[candle_of(row) for row in rows], interval_s=interval_s, **fields))


class Page(Struct, frozen=True):
    """What a client asks of a symbol's rows in time."""

    table: Table
    name: str  # of the list
    symbol: str
    recording: str | None
    since: str | None
    until: str | None
    order: str
    limit: int | None
    cursor: str | None
    interval_s: int | None = None


async def rows_of(backend: Backend, page: Page) -> tuple[dict[str, Any], list[Row]]:
    """The envelope with `symbol` and `next`, and the rows of one page."""
    size = page_size(page.limit, backend.options.page_default, backend.options.page_max)
    low, end = time_us("from", page.since), time_us("to", page.until)
    identity = (page.name, page.recording, page.symbol, low, end, page.order)
    after = open_cursor(page.cursor, page.table, identity)
    rows: list[Row] = []
    async with backend.store.snapshot() as snapshot:
        market = await the_market(snapshot, page.recording, page.symbol)
        if not isinstance(market, Refused):
            view, symbol = market
            where: dict[str, Condition] = {"symbol": symbol}
            if page.interval_s is not None:
                where["interval_s"] = page.interval_s
            rows = await snapshot.select(
                page.table,
                scope=view.source,
                low=low,
                high=None if end is None else end - 1,
                where=where,
                after=after,
                descending=page.order == "desc",
                limit=size + 1,
            )
    if isinstance(market, Refused):
        raise market
    intervals = view.state.intervals_s
    if page.interval_s is not None and intervals and page.interval_s not in intervals:
        made = ", ".join(f"{each}s" for each in intervals)
        raise Refused(400, f"interval: candles of {page.interval_s}s are not made of this recording; {made} are")
    following = seal(page.table, identity, key_of(page.table, rows[size - 1])) if len(rows) > size else None
    return {"symbol": symbol, "next": following, **view.envelope()}, rows[:size]


ROUTES = [list_markets, list_trades, list_candles]
