"""What an exchange says, as typed, immutable values that are the same for every protocol. No I/O.

One frame is one event, so a frame's id in the journal is its event's id. Field names are those of Kraken's
v2 API, which the v2 codec therefore decodes into these very structs; v1 is brought to them.

Numbers are `Decimal`, exactly as the exchange wrote them, trailing zeros included. Decimal *arithmetic*
rounds to a precision that any code in the thread may change: compute with integers, by `scaled_int`.
The class of an event is `event.__class__`, as `isinstance` and `match` take it. `type` is another one of events that
the compiled core has read, whose fields become objects when they are looked at: docs/stability.md says what takes them.
The levels of a book message keep their text, because a `Book` is the only one to read them, and making
numbers of them before that is known would cost more than the rest of the decoding.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Literal, NamedTuple, Protocol, TypeAlias

from msgspec import UNSET, Meta, Struct, UnsetType

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MAGNITUDE_MAX = 30  # powers of ten either way: beyond any market, and far below what would fill memory

Time: TypeAlias = Annotated[datetime, Meta(tz=True)]
Side: TypeAlias = Literal["buy", "sell"]
Crc: TypeAlias = Annotated[int, Meta(ge=0, lt=2**32)]


def scaled_int(number: Decimal, scale: int) -> int:
    """`number` as an exact integer in units of 10**-scale.

    Raises:
        ValueError: it has more decimals than that, or is none that `require_finite` lets pass.
    """
    require_finite(number)
    numerator, denominator = number.as_integer_ratio()
    whole: int
    whole, rest = divmod(numerator * 10**scale, denominator)
    if rest:
        raise ValueError(f"{number} has more than {scale} decimals")
    return whole


def decimals(number: Decimal) -> int:
    """How many decimals the number was written with: its scale."""
    exponent = number.as_tuple().exponent
    return -exponent if isinstance(exponent, int) and exponent < 0 else 0


def micros(time: datetime) -> int:
    """Unix time in microseconds, exact."""
    return (time - EPOCH) // timedelta(microseconds=1)


def require_finite(*numbers: Decimal | None) -> None:
    """ValueError for what `Decimal` can hold and no market can mean: NaN, infinities, 1E+999999."""
    for number in numbers:
        if number is not None and not (number.is_finite() and -MAGNITUDE_MAX <= number.adjusted() <= MAGNITUDE_MAX):
            raise ValueError("not a number that a market can have")


class Level(Protocol):
    """A price and what is there now: text as the exchange wrote it. A quantity of zero removes the level.

    The text is not looked at before `Book.apply` reads it, which refuses what is no number.
    """

    @property
    def price_text(self) -> str:
        """The price, as the exchange wrote it."""
        ...

    @property
    def qty_text(self) -> str:
        """The quantity that is there now, as the exchange wrote it."""
        ...


class SequenceSpan(NamedTuple):
    """The numbers of a book's message: one may stand for several of the exchange's."""

    first: int
    last: int


class BookSnapshot(Struct, frozen=True, gc=False):
    """A whole book, to the depth that was subscribed.

    It is proven by its checksum or by its number, whichever the exchange sends; see `book.proof`.
    """

    symbol: str
    bids: Sequence[Level]
    asks: Sequence[Level]
    checksum: int | None  # None: this message has none, so nothing in it can be checked
    timestamp: datetime | None = None  # v1 stamps levels instead of messages
    sequence: SequenceSpan | UnsetType = UNSET  # UNSET, and in no encoding, where the exchange numbers nothing


class BookDelta(Struct, frozen=True, gc=False):
    """Changes to a book, to be applied in this order: one price may come several times."""

    symbol: str
    bids: Sequence[Level]
    asks: Sequence[Level]
    checksum: int | None
    timestamp: datetime | None = None
    sequence: SequenceSpan | UnsetType = UNSET


class BookUpdates(Struct, frozen=True, gc=False):
    """The messages of a frame that is about several books, or, oddly, about none. One book's come as one of these."""

    parts: tuple[BookSnapshot | BookDelta, ...]


class Trade(Struct, frozen=True, gc=False):
    """A trade, in exact decimals: quantities in the base, prices in the quote, times in UTC."""

    symbol: str
    side: Side  # of the taker
    price: Decimal
    qty: Decimal
    timestamp: Time
    ord_type: str = ""  # of the taker: limit | market
    trade_id: int | None = None  # sequential per symbol; v1 has none

    def __post_init__(self) -> None:
        require_finite(self.price, self.qty)


class Trades(Struct, frozen=True, gc=False):
    """The trades of one frame, oldest first as a rule. A snapshot repeats trades that were sent before."""

    trades: tuple[Trade, ...]
    snapshot: bool = False


class Ticker(Struct, frozen=True, gc=False):
    """The top of the book, and the last 24 hours."""

    symbol: str
    bid: Decimal
    bid_qty: Decimal
    ask: Decimal
    ask_qty: Decimal
    last: Decimal
    volume: Decimal
    vwap: Decimal
    low: Decimal
    high: Decimal
    change: Decimal | None = None  # v2 only, and the next two
    change_pct: Decimal | None = None
    timestamp: Time | None = None

    def __post_init__(self) -> None:
        require_finite(
            self.bid, self.bid_qty, self.ask, self.ask_qty, self.last, self.volume, self.vwap,
            self.low, self.high, self.change, self.change_pct,
        )  # fmt: skip


class Tickers(Struct, frozen=True, gc=False):
    """The tickers of one frame."""

    tickers: tuple[Ticker, ...]


class Candle(Struct, frozen=True, gc=False):
    """A candle as the exchange computes it. The running one is repeated; nothing says when it is closed."""

    symbol: str
    interval: int  # minutes
    interval_begin: Time
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    vwap: Decimal
    volume: Decimal
    trades: int

    def __post_init__(self) -> None:
        require_finite(self.open, self.high, self.low, self.close, self.vwap, self.volume)


class Candles(Struct, frozen=True, gc=False):
    """The candles of one frame. A snapshot is what there was when it was subscribed."""

    candles: tuple[Candle, ...]
    snapshot: bool = False


class Spread(Struct, frozen=True, gc=False):
    """The top of the book alone (v1). All-zero rows occur."""

    symbol: str
    bid: Decimal
    ask: Decimal
    bid_qty: Decimal
    ask_qty: Decimal
    timestamp: Time

    def __post_init__(self) -> None:
        require_finite(self.bid, self.ask, self.bid_qty, self.ask_qty)


class Instrument(Struct, frozen=True, gc=False):
    """What the exchange says of a market: its assets, its state, and the steps of prices and quantities."""

    symbol: str
    base: str
    quote: str
    status: str
    price_precision: int  # decimals with which prices enter a checksum
    qty_precision: int
    price_increment: Decimal
    qty_increment: Decimal

    def __post_init__(self) -> None:
        require_finite(self.price_increment, self.qty_increment)
        if not (0 <= self.price_precision <= MAGNITUDE_MAX and 0 <= self.qty_precision <= MAGNITUDE_MAX):
            raise ValueError("not a precision that a market can have")


class Instruments(Struct, frozen=True, gc=False):
    """The markets of one frame: all of them in a snapshot, else those that have changed."""

    instruments: tuple[Instrument, ...]
    snapshot: bool = False


class Status(Struct, frozen=True, gc=False):
    """The exchange's state: online | cancel_only | post_only | maintenance. Sent first on connecting."""

    system: str
    connection_id: int | None = None  # may exceed 2**63
    version: str = ""


class Heartbeat(Struct, frozen=True, gc=False):
    """The connection is alive. Says nothing about any subscription."""


class Pong(Struct, frozen=True, gc=False):
    """The answer to a ping."""

    req_id: int | None = None


class Ack(Struct, frozen=True, gc=False):
    """A request was accepted: one per symbol, all with the request's id."""

    method: str  # subscribe | unsubscribe
    channel: str
    symbol: str | None = None
    depth: int | None = None
    interval: int | None = None
    req_id: int | None = None
    warnings: tuple[str, ...] = ()


class Rejection(Struct, frozen=True, gc=False):
    """A request was refused. What is None, the exchange did not say."""

    error: str
    method: str | None = None
    channel: str | None = None
    symbol: str | None = None
    req_id: int | None = None


class OwnTrade(Struct, frozen=True, gc=False):
    """A fill of one of the account's orders."""

    exec_id: str
    order_id: str
    symbol: str
    side: Side
    price: Decimal
    qty: Decimal
    timestamp: Time
    cost: Decimal | None = None
    trade_id: int | None = None

    def __post_init__(self) -> None:
        require_finite(self.price, self.qty, self.cost)


class OrderUpdate(Struct, frozen=True, gc=False):
    """What changed about one of the account's orders; None is "not mentioned"."""

    order_id: str
    order_status: str | None = None
    symbol: str | None = None
    side: Side | None = None
    order_type: str | None = None
    order_qty: Decimal | None = None
    cum_qty: Decimal | None = None
    limit_price: Decimal | None = None
    avg_price: Decimal | None = None

    def __post_init__(self) -> None:
        require_finite(self.order_qty, self.cum_qty, self.limit_price, self.avg_price)


class Executions(Struct, frozen=True, gc=False):
    """Orders and fills of the account. `sequence` grows by one per frame of its channel: a gap is a loss."""

    channel: str
    sequence: int
    orders: tuple[OrderUpdate, ...] = ()
    trades: tuple[OwnTrade, ...] = ()
    snapshot: bool = False


class Balance(Struct, frozen=True, gc=False):
    """What the account holds of an asset; with a `ledger_id`, and by what it has just changed."""

    asset: str
    balance: Decimal
    amount: Decimal | None = None
    fee: Decimal | None = None
    ledger_id: str | None = None
    timestamp: Time | None = None

    def __post_init__(self) -> None:
        require_finite(self.balance, self.amount, self.fee)


class Balances(Struct, frozen=True, gc=False):
    """Balances of the account. `sequence` grows by one per frame of its channel: a gap is a loss."""

    channel: str
    sequence: int
    balances: tuple[Balance, ...]
    snapshot: bool = False


class Unknown(Struct, frozen=True, gc=False):
    """Sound JSON about something this version does not know. The caller counts it and continues."""

    name: str  # of the channel, method or event, cut to a bounded length


class Malformed(Struct, frozen=True, gc=False):
    """A frame that could not be read: `why` holds its head. The session continues."""

    why: str


class Started(Struct, frozen=True, gc=False, tag=True):
    """A run of the feed begins. What was journaled in the last window before a crash may be missing.

    `attempts` are the times (Unix, µs) of recent connection attempts of earlier runs: they count against the
    exchange's budget. `previous_us` is the time of the last record before this run, None if there is none;
    `clean` says that the run before ended in order, so that nothing was lost.
    """

    protocol: str  # v1 | v2
    private: bool = False
    attempts: tuple[int, ...] = ()
    previous_us: int | None = None
    clean: bool = True


class Connected(Struct, frozen=True, gc=False, tag=True):
    """The socket is open. Nothing is subscribed yet, and no book is proven."""


class Disconnected(Struct, frozen=True, gc=False, tag=True):
    """The socket is gone, and with it what was known of every book. Data is missing until it comes again."""

    reason: str


class ClockStepped(Struct, frozen=True, gc=False, tag=True):
    """The wall clock was set, or the machine has slept: records from here on have times of the new clock.

    Times do not go back: where `by_us` is negative they grow more slowly until the wall clock has caught up.
    """

    by_us: int


class Resync(Struct, frozen=True, gc=False, tag=True):
    """One subscription is not to be trusted: it is given up and asked for again, not before `until_us`."""

    channel: str
    symbol: str | None
    interval: int | None
    reason: str
    until_us: int


class Missed(Struct, frozen=True, gc=False, tag=True):
    """Events are missing here: the journal had to drop them before they were read. Every book starts again after it.

    Only who reads a journal can meet one; it is in no journal, and in no digest.
    """

    reason: str  # journal_full | journal_pruned


Event: TypeAlias = (
    BookSnapshot
    | BookDelta
    | BookUpdates
    | Trades
    | Tickers
    | Candles
    | Spread
    | Instruments
    | Status
    | Heartbeat
    | Pong
    | Ack
    | Rejection
    | Executions
    | Balances
    | Unknown
    | Malformed
    | Started
    | Connected
    | Disconnected
    | ClockStepped
    | Resync
    | Missed
)


class EventId(NamedTuple):
    """A frame in the journal: the run of the feed that received it, and its number there."""

    run: int
    seq: int


NOTHING = EventId(-1, -1)  # before anything was loaded, as stored states say it; a journal begins at `BEGINNING`


class Stream(Struct, frozen=True, gc=False):
    """What can be subscribed, symbols apart: a channel's name (book, trade, ohlc) and its parameters."""

    channel: str
    depth: int | None = None  # levels, for books
    interval: int | None = None  # minutes, for candles
    snapshot: bool | None = None  # None leaves it to the exchange's default; v1 has no choice


class Request(Struct, frozen=True, gc=False):
    """A frame to send, and the same frame fit for a journal or a log: without the token."""

    frame: bytes
    redacted: bytes

    def __repr__(self) -> str:
        return f"Request({self.redacted!r})"
