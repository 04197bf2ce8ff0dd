"""`/v1/markets`: what was recorded of an exchange: its symbols, their trades, and candles of these."""

from typing import Annotated, Any

from litestar import Request, Response, get
from litestar.di import NamedDependency
from litestar.params import QueryParameter
from msgspec import Struct

from tidelog.api.access.turns import searching
from tidelog.api.chain.answers import unstored
from tidelog.api.http.backend import Backend
from tidelog.api.http.pagination import page_of
from tidelog.api.http.parameters import Cursor, Limit, Order, Recording, Since, Symbol, Until, time_us
from tidelog.api.http.problems import Refused
from tidelog.api.market.fields import Candle, Market, Trade, candle_of, market_of, trade_of
from tidelog.api.market.view import MarketAnswer, market_states, the_market
from tidelog.batch import Row
from tidelog.market.load.completeness import with_completeness
from tidelog.market.projection.tables import CANDLES, INSTRUMENTS, TRADES

__all__ = ["ROUTES"]

_SYMBOL = INSTRUMENTS.index("symbol")
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
    page = page_of(backend.options, INSTRUMENTS, ("markets", recording), limit, cursor)
    found: dict[Row, Market] = {}  # by key, which is how a row begins
    async with searching(request) as snapshot:
        for view in await market_states(snapshot):
            if len(found) == page.limit or recording not in (None, view.recording):
                continue
            rows = {row[_SYMBOL]: row for row in await snapshot.select(INSTRUMENTS, scope=view.source)}
            for symbol in sorted({*map(str, rows), *view.state.symbols}):
                key: Row = (view.source, symbol)
                if len(found) < page.limit and (page.after is None or key > page.after):
                    state = view.state.symbols.get(symbol)
                    found[key] = market_of(view.recording, symbol, state, rows.get(symbol))
    keys, following = page.cut(list(found))
    return unstored(Markets([found[key] for key in keys], following))


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
    low, end = time_us("from", from_), time_us("to", to)
    page = page_of(backend.options, TRADES, ("trades", recording, symbol, low, end, order), limit, cursor)
    async with searching(request) as snapshot:
        view, name = await the_market(snapshot, recording, symbol)
        rows = await snapshot.select(
            TRADES,
            scope=view.source,
            low=low,
            high=None if end is None else end - 1,
            where={"symbol": name},
            after=page.after,
            descending=order == "desc",
            limit=page.limit,
        )
    rows, following = page.cut(rows)
    data = [trade_of(row) for row in rows]
    return unstored(Trades(symbol=name, data=data, next=following, **view.envelope()))


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
    low, end = time_us("from", from_), time_us("to", to)
    identity = (f"candles {interval_s}", recording, symbol, low, end, order)
    page = page_of(backend.options, CANDLES, identity, limit, cursor)
    async with searching(request) as snapshot:
        view, name = await the_market(snapshot, recording, symbol)
        intervals = view.state.intervals_s
        if intervals and interval_s not in intervals:
            made = ", ".join(f"{each}s" for each in intervals)
            raise Refused(400, f"interval: candles of {interval_s}s are not made of this recording; {made} are")
        rows = await snapshot.select(
            CANDLES,
            scope=view.source,
            low=low,
            high=None if end is None else end - 1,
            where={"symbol": name, "interval_s": interval_s},
            after=page.after,
            descending=order == "desc",
            limit=page.limit,
        )
        rows = await with_completeness(snapshot, view.source, rows)
    rows, following = page.cut(rows)
    data = [candle_of(row) for row in rows]
    return unstored(Candles(symbol=name, interval_s=interval_s, data=data, next=following, **view.envelope()))


ROUTES = [list_markets, list_trades, list_candles]
