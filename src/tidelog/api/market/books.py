"""A symbol's book, and the coverage of its books and trades over time.

The store holds samples of books; a server that follows a recording's journal can show the book of this
moment. What follows it puts a `LiveBooks` into the application's state as `live_books`.
"""

from typing import Annotated, Any, Literal, Protocol

from litestar import Request, Response, get
from litestar.di import NamedDependency
from litestar.params import QueryParameter
from msgspec import Meta, Struct

from tidelog.api.access.turns import searching
from tidelog.api.chain.answers import unstored
from tidelog.api.http.backend import Backend
from tidelog.api.http.pagination import page_of
from tidelog.api.http.parameters import Cursor, Limit, Order, Recording, Since, Symbol, Until, time_us
from tidelog.api.http.problems import Refused
from tidelog.api.market.fields import Coverage, Gap, Level, Standing, coverage_of, gap_of, standing_of
from tidelog.api.market.view import MarketAnswer, the_market
from tidelog.batch import Row
from tidelog.json_values import Time, time_text
from tidelog.market.projection.rows import SAMPLED_LEVELS, decimal_text, levels_of
from tidelog.market.projection.tables import BOOK_SNAPSHOTS, COVERAGE, GAPS
from tidelog.store import Condition, Snapshot

__all__ = ["ROUTES", "BookView", "LiveBooks"]

DEPTH_MAX = 1_000  # the deepest that an exchange gives
Depth = Annotated[
    int,
    QueryParameter(
        ge=1, le=DEPTH_MAX, description=f"Levels of each side; a stored sample has {SAMPLED_LEVELS} at most."
    ),
]


class BookView(Struct, frozen=True):
    """A book at one moment: `time` is when its last message was received, by the journal."""

    origin: Annotated[Literal["store", "journal"], Meta(description="A stored sample, or the journal's end.")]
    time: Time | None
    time_us: int
    exchange_time: Annotated[Time | None, Meta(description="The same by the exchange, where its message has it.")]
    age_ms: Annotated[int, Meta(description="How old that is, by the server's clock.")]
    proven_depth: Annotated[int, Meta(description="Levels of each side that a checksum proved; 0: none.")]
    depth: Annotated[int, Meta(description="As subscribed.")]
    bids: Annotated[list[Level], Meta(description="The best first.")]
    asks: Annotated[list[Level], Meta(description="The best first.")]


class LiveBooks(Protocol):
    """Books at the journal's end."""

    def book(self, recording: str, symbol: str, levels: int | None = None) -> BookView | None:
        """Its best `levels` of each side, or all; None where the recording is not followed, or has no such book."""
        ...


class BookAnswer(MarketAnswer, frozen=True, kw_only=True):
    """A book, and what the recording's books of the symbol are worth now."""

    symbol: str
    standing: Standing | None
    data: BookView


class Coverages(MarketAnswer, frozen=True, kw_only=True):
    """Intervals by channel and time, and what is missing still."""

    symbol: str
    data: list[Coverage]
    next: str | None
    gaps: Annotated[list[Gap], Meta(description="Not closed, the oldest of each kind first; /gaps lists all.")]


class Gaps(MarketAnswer, frozen=True, kw_only=True):
    """Gaps in order."""

    symbol: str
    data: list[Gap]
    next: str | None


@get("/v1/markets/{symbol:str}/book", operation_id="get_book", summary="The latest book of a symbol", tags=["market"])
async def get_book(
    request: Request[Any, Any, Any],
    backend: NamedDependency[Backend],
    symbol: Symbol,
    recording: Recording = None,
    depth: Depth = SAMPLED_LEVELS,
) -> Response[BookAnswer]:
    """With what is proven of it, and its age: a sample of every ten seconds, unless the journal is followed."""
    async with backend.store.snapshot() as snapshot:
        view, name = await the_market(snapshot, recording, symbol)
        rows = await snapshot.select(
            BOOK_SNAPSHOTS, scope=view.source, where={"symbol": name}, descending=True, limit=1
        )
    followed: LiveBooks | None = request.app.state.get("live_books")
    book = None if followed is None else followed.book(view.recording, name, depth)
    if book is None and rows:
        book = _sampled(rows[0], int(backend.runtime.now() * 1_000_000))
    if book is None:
        raise Refused(404, f"recording {view.recording} has no book of {name} yet")
    state = view.state.symbols.get(name)
    return unstored(
        BookAnswer(
            symbol=name,
            standing=None if state is None else standing_of(state.book),
            data=_cut(book, depth),
            **view.envelope(),
        )
    )


def _sampled(row: Row, now_us: int) -> BookView:
    cells: dict[str, Any] = dict(zip(BOOK_SNAPSHOTS.names, row, strict=True))
    price_scale, qty_scale, at_us, exchange_us = (
        cells[name] for name in ("price_scale", "qty_scale", "time_us", "exchange_us")
    )
    bids, asks = (
        [Level(decimal_text(level.price, price_scale), decimal_text(level.qty, qty_scale)) for level in side]
        for side in levels_of(row)
    )
    return BookView(
        "store",
        time_text(at_us),
        at_us,
        None if exchange_us is None else time_text(exchange_us),
        max(0, (now_us - at_us) // 1_000),
        cells["proven_depth"],
        cells["depth"],
        bids,
        asks,
    )


def _cut(book: BookView, depth: int) -> BookView:
    return BookView(
        book.origin,
        book.time,
        book.time_us,
        book.exchange_time,
        book.age_ms,
        book.proven_depth,
        book.depth,
        book.bids[:depth],
        book.asks[:depth],
    )


@get(
    "/v1/markets/{symbol:str}/coverage",
    operation_id="list_coverage",
    summary="For which times books and trades are proven",
    tags=["market"],
)
async def list_coverage(
    request: Request[Any, Any, Any],
    backend: NamedDependency[Backend],
    symbol: Symbol,
    recording: Recording = None,
    from_: Since = None,
    to: Until = None,
    limit: Limit = None,
    cursor: Cursor = None,
) -> Response[Coverages]:
    """Books first, then trades, the oldest first. `from` also shows the interval that reaches into the time."""
    low, end = time_us("from", from_), time_us("to", to)
    page = page_of(backend.options, COVERAGE, ("coverage", recording, symbol, low, end), limit, cursor)
    async with searching(request) as snapshot:
        view, name = await the_market(snapshot, recording, symbol)
        rows = await snapshot.select(
            COVERAGE,
            scope=view.source,
            low=await _begin(snapshot, view.source, name, low),
            high=None if end is None else end - 1,
            where={"symbol": name},
            after=page.after,
            limit=page.limit,
        )
        where: dict[str, Condition] = {"scope": view.gap_scopes(name), "closed_at": None}
        gaps = await snapshot.select(GAPS, scope=view.source, where=where, limit=page.size)
    rows, following = page.cut(rows)
    shown = [each for each in map(coverage_of, rows) if low is None or each.until_us >= low]
    shown_gaps = [gap_of(row) for row in gaps]
    return unstored(Coverages(symbol=name, data=shown, next=following, gaps=shown_gaps, **view.envelope()))


async def _begin(snapshot: Snapshot, source: str, symbol: str, low: int | None) -> int | None:
    """When the earliest interval began that reaches into the time: one of each channel may."""
    if low is None:
        return None
    begins = [low]
    for channel in ("book", "trade"):
        where: dict[str, Condition] = {"symbol": symbol, "channel": channel}
        rows = await snapshot.select(COVERAGE, scope=source, high=low, where=where, descending=True, limit=1)
        begins += [int(str(row[COVERAGE.index("since_us")])) for row in rows]
    return min(begins)


@get("/v1/markets/{symbol:str}/gaps", operation_id="list_gaps", summary="What is missing of a symbol", tags=["market"])
async def list_gaps(
    request: Request[Any, Any, Any],
    backend: NamedDependency[Backend],
    symbol: Symbol,
    recording: Recording = None,
    order: Order = "asc",
    limit: Limit = None,
    cursor: Cursor = None,
) -> Response[Gaps]:
    """Times without a connection, and ranges of missing trade ids; closed ones too.

    Of a symbol that moved between shards, the connections of all of them.
    """
    page = page_of(backend.options, GAPS, ("gaps", recording, symbol, order), limit, cursor)
    async with searching(request) as snapshot:
        view, name = await the_market(snapshot, recording, symbol)
        rows = await snapshot.select(
            GAPS,
            scope=view.source,
            where={"scope": view.gap_scopes(name)},
            after=page.after,
            descending=order == "desc",
            limit=page.limit,
        )
    rows, following = page.cut(rows)
    return unstored(Gaps(symbol=name, data=[gap_of(row) for row in rows], next=following, **view.envelope()))


ROUTES = [get_book, list_coverage, list_gaps]
