"""Kraken's WebSocket API v1: frames to events, requests to frames. No I/O and no state.

Data frames are arrays that have to be read from their end, `[channelID, payload..., channelName, pair]`,
private ones `[payload, channelName, {"sequence": n}]`; everything else is an object that names its `event`.
`decode` takes the channel's name from the end of the bytes and lets one typed decoder, built once, read the
frame in one pass. A frame that is written otherwise is first cut into its elements.

The decoders are lax, because v1 quotes its numbers: text becomes the number or the time that a field says.
(A time passes through a double there, which holds microseconds exactly until the year 2242.)

v1 calls bitcoin XBT and dogecoin XDG; events and requests carry v2's names.

https://docs.kraken.com/api/docs/guides/spot-ws-book-v1 and its neighbours.
"""

import re
from collections.abc import Callable, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any, Generic, Literal, TypeVar

import msgspec
from msgspec import Raw, Struct, field

from tidelog.market.events import (
    Ack,
    BookDelta,
    BookSnapshot,
    Candle,
    Candles,
    Event,
    Executions,
    Heartbeat,
    OrderUpdate,
    OwnTrade,
    Pong,
    Rejection,
    Request,
    Side,
    Spread,
    Status,
    Stream,
    Ticker,
    Tickers,
    Time,
    Trade,
    Trades,
)
from tidelog.market.kraken.frame import BROKEN, HEAD_BYTES_READ, REDACTED, request, unknown
from tidelog.market.symbols import RENAMED
from tidelog.market.venue import unreadable

_BOOK = b'},"book-'
_HEARTBEAT_FRAME = b'{"event":"heartbeat"}'
_HEARTBEAT = Heartbeat()

PAIRS_CACHED = 4096  # the exchange lists some 1,500; the bound is against names that it makes up
_RENAMED_BACK = {new: old for old, new in RENAMED.items()}
_SIDES: dict[str, Side] = {"b": "buy", "s": "sell", "buy": "buy", "sell": "sell"}


class _Symbols(dict[str, str]):
    """v2's names by v1's: XBT/USD is BTC/USD. A plain look-up for every pair that was met before."""

    def __missing__(self, pair: str) -> str:
        if len(self) >= PAIRS_CACHED:
            self.clear()
        symbol = self[pair] = "/".join([RENAMED.get(asset, asset) for asset in pair.split("/")])
        return symbol


_SYMBOLS = _Symbols()


def symbol_of(pair: str) -> str:
    """v2's name of a pair: XBT/USD is BTC/USD."""
    return _SYMBOLS[pair]


def pair_of(symbol: str) -> str:
    """v1's name of a symbol: BTC/USD is XBT/USD."""
    return "/".join([_RENAMED_BACK.get(asset, asset) for asset in symbol.split("/")])


class Level(Struct, frozen=True, array_like=True, gc=False):
    """A level as v1 writes it. Its time is skipped, and so is the "r" of a level that came back into the
    window with its old one: the order of the array is what counts, never the time.
    """

    price_text: str
    qty_text: str


class _Sides(Struct, gc=False):
    a: tuple[Level, ...] = ()
    b: tuple[Level, ...] = ()
    c: int | None = None
    all_asks: tuple[Level, ...] | None = field(name="as", default=None)
    all_bids: tuple[Level, ...] | None = field(name="bs", default=None)


class _Book(Struct, array_like=True, gc=False):
    """`[id, sides, name, pair]` or `[id, asks, bids, name, pair]`; which one, the last field says."""

    channel_id: int
    sides: _Sides
    name_or_bids: str | _Sides
    pair_or_name: str
    pair: str | None = None


class _Trade(Struct, array_like=True, gc=False):
    price: Decimal
    qty: Decimal
    time: Time
    side: Literal["b", "s"]
    type: str


class _Ticker(Struct, gc=False):
    """Pairs of values are today's and the last 24 hours'."""

    a: tuple[Decimal, Raw, Decimal]  # price, whole lots, quantity
    b: tuple[Decimal, Raw, Decimal]
    c: tuple[Decimal, Raw]
    v: tuple[Raw, Decimal]
    p: tuple[Raw, Decimal]
    l: tuple[Raw, Decimal]  # noqa: E741 - the exchange's name
    h: tuple[Raw, Decimal]


class _Candle(Struct, array_like=True, gc=False):
    time: Time
    end: Time
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    vwap: Decimal
    volume: Decimal
    count: int


class _Spread(Struct, array_like=True, gc=False):
    bid: Decimal
    ask: Decimal
    time: Time
    bid_qty: Decimal
    ask_qty: Decimal


class _OwnTrade(Struct, gc=False):
    ordertxid: str
    pair: str
    price: Decimal
    vol: Decimal
    time: Time
    type: Literal["buy", "sell", "b", "s"]
    cost: Decimal | None = None


class _Description(Struct, gc=False):
    pair: str | None = None
    type: Literal["buy", "sell", "b", "s"] | None = None
    ordertype: str | None = None
    price: Decimal | None = None


class _Order(Struct, gc=False):
    status: str | None = None
    vol: Decimal | None = None
    vol_exec: Decimal | None = None
    avg_price: Decimal | None = None
    descr: _Description | None = None


class _Subscribed(Struct, gc=False):
    name: str
    depth: int | None = None
    interval: int | None = None


class _Notice(Struct, gc=False):
    event: str = ""
    status: str = ""
    version: str = ""
    pair: str | None = None
    reqid: int | None = None
    subscription: _Subscribed | None = None
    connection_id: int | None = field(name="connectionID", default=None)
    error_message: str | None = field(name="errorMessage", default=None)
    error: str | None = field(name="Error", default=None)


class _Sequence(Struct, gc=False):
    sequence: int


Payload = TypeVar("Payload")


class _Public(Struct, Generic[Payload], array_like=True, gc=False):
    channel_id: int
    payload: Payload
    name: str
    pair: str


class _Private(Struct, Generic[Payload], array_like=True, gc=False):
    payload: Payload
    name: str
    position: _Sequence


def _decoder(shape: Any) -> Callable[[bytes], Any]:
    return msgspec.json.Decoder(shape, strict=False).decode


_decode_book: Callable[[bytes], _Book] = _decoder(_Book)
_decode_trades: Callable[[bytes], _Public[tuple[_Trade, ...]]] = _decoder(_Public[tuple[_Trade, ...]])
_decode_ticker: Callable[[bytes], _Public[_Ticker]] = _decoder(_Public[_Ticker])
_decode_candle: Callable[[bytes], _Public[_Candle]] = _decoder(_Public[_Candle])
_decode_spread: Callable[[bytes], _Public[_Spread]] = _decoder(_Public[_Spread])
_decode_own_trades: Callable[[bytes], _Private[tuple[dict[str, _OwnTrade], ...]]] = _decoder(
    _Private[tuple[dict[str, _OwnTrade], ...]]
)
_decode_orders: Callable[[bytes], _Private[tuple[dict[str, _Order], ...]]] = _decoder(
    _Private[tuple[dict[str, _Order], ...]]
)
_decode_notice: Callable[[bytes], _Notice] = _decoder(_Notice)
_decode_items = msgspec.json.Decoder(list[Raw]).decode
_decode_text = msgspec.json.Decoder(str).decode


def decode(frame: bytes) -> Event:
    """Read one frame.

    Raises:
        Rejected: it is not JSON, or not of the shape that its channel promises. Nothing else is raised,
            whatever the bytes.
    """
    try:
        if frame.rfind(_BOOK) >= 0:  # nearly all of the traffic: asked for first, and made without a call
            message = _decode_book(frame)
            sides = message.sides
            if message.pair is None and sides.all_bids is sides.all_asks is None:
                return BookDelta(_SYMBOLS[message.pair_or_name], sides.b, sides.a, sides.c)
            return _book(message)
        if frame == _HEARTBEAT_FRAME:
            return _HEARTBEAT
        return _data(frame) if frame.lstrip().startswith(b"[") else _notice(frame)
    except BROKEN as error:
        raise unreadable(frame, error) from None


def _data(frame: bytes) -> Event:
    name_at = frame.rfind(b',"', 0, max(frame.rfind(b',"'), 0)) + 2
    read = _CHANNELS.get(frame[name_at : frame.find(b'"', name_at)].partition(b"-")[0])
    if read is not None:
        return read(frame)
    items = _decode_items(frame)
    if len(items) < 3:
        raise ValueError("an array of fewer than three elements")
    name = _decode_text(items[-2])
    read = _CHANNELS.get(name.partition("-")[0].encode())
    return read(frame) if read is not None else unknown(name)


_ARRAY_ENDS = re.compile(rb'"([A-Za-z]+)(?:-\d+)?"\s*,\s*(?:"([^"\\]+)"|\{[^{}]*\})\s*\]\s*\Z')
_OBJECT_BEGINS = re.compile(rb'\s*\{[^{}\[\]]*"event"\s*:')


def books_in(frame: bytes) -> tuple[str, ...] | None:
    """The symbols whose books a frame may be about that `decode` refused; None: any book."""
    end = _ARRAY_ENDS.search(frame, max(0, len(frame) - HEAD_BYTES_READ))
    if end is None or end[1] not in _CHANNELS:
        return () if _OBJECT_BEGINS.match(frame, 0, HEAD_BYTES_READ) else None
    if end[1] != b"book":
        return ()
    return None if end[2] is None else (_SYMBOLS[end[2].decode("utf-8", "replace")],)


def _book(message: _Book) -> BookSnapshot | BookDelta:
    sides = message.sides
    if message.pair is not None:  # two objects, one per side; the checksum is in the last
        more = message.name_or_bids
        if isinstance(more, str):
            raise ValueError("five elements, and the third is no side of a book")
        return BookDelta(_SYMBOLS[message.pair], sides.b + more.b, sides.a + more.a, more.c)
    symbol = _SYMBOLS[message.pair_or_name]
    if sides.all_bids is None and sides.all_asks is None:
        return BookDelta(symbol, sides.b, sides.a, sides.c)
    return BookSnapshot(symbol, sides.all_bids or (), sides.all_asks or (), None)


def _trades(frame: bytes) -> Trades:
    message = _decode_trades(frame)
    symbol = _SYMBOLS[message.pair]
    trades = [
        Trade(symbol, _SIDES[row.side], row.price, row.qty, row.time, "market" if row.type == "m" else "limit")
        for row in message.payload
    ]
    return Trades(tuple(trades))


def _ticker(frame: bytes) -> Tickers:
    message = _decode_ticker(frame)
    row = message.payload
    ticker = Ticker(
        _SYMBOLS[message.pair],
        row.b[0], row.b[2], row.a[0], row.a[2], row.c[0], row.v[1], row.p[1], row.l[1], row.h[1],
    )  # fmt: skip
    return Tickers((ticker,))


def _candle(frame: bytes) -> Candles:
    message = _decode_candle(frame)
    row, interval = message.payload, int(message.name.partition("-")[2])
    candle = Candle(
        _SYMBOLS[message.pair], interval, row.end - timedelta(minutes=interval),
        row.open, row.high, row.low, row.close, row.vwap, row.volume, row.count,
    )  # fmt: skip
    return Candles((candle,))


def _spread(frame: bytes) -> Spread:
    message = _decode_spread(frame)
    row = message.payload
    return Spread(_SYMBOLS[message.pair], row.bid, row.ask, row.bid_qty, row.ask_qty, row.time)


def _own_trades(frame: bytes) -> Executions:
    message = _decode_own_trades(frame)
    trades = [
        OwnTrade(
            trade_id, row.ordertxid, _SYMBOLS[row.pair], _SIDES[row.type], row.price, row.vol, row.time,
            row.cost,
        )
        for group in message.payload
        for trade_id, row in group.items()
    ]  # fmt: skip
    sequence = message.position.sequence
    return Executions("ownTrades", sequence, trades=tuple(trades), snapshot=sequence == 1)


def _open_orders(frame: bytes) -> Executions:
    message = _decode_orders(frame)
    orders = [_order(order_id, row) for group in message.payload for order_id, row in group.items()]
    sequence = message.position.sequence
    return Executions("openOrders", sequence, orders=tuple(orders), snapshot=sequence == 1)


def _order(order_id: str, row: _Order) -> OrderUpdate:
    about = row.descr or _Description()
    return OrderUpdate(
        order_id,
        row.status,
        None if about.pair is None else _SYMBOLS[about.pair],
        None if about.type is None else _SIDES[about.type],
        about.ordertype,
        row.vol,
        row.vol_exec,
        about.price,
        row.avg_price,
    )


_CHANNELS: dict[bytes, Callable[[bytes], Event]] = {
    b"book": lambda frame: _book(_decode_book(frame)),
    b"trade": _trades,
    b"ticker": _ticker,
    b"ohlc": _candle,
    b"spread": _spread,
    b"ownTrades": _own_trades,
    b"openOrders": _open_orders,
}

_METHODS = {"subscribed": "subscribe", "unsubscribed": "unsubscribe"}


def _notice(frame: bytes) -> Event:
    notice = _decode_notice(frame)
    if notice.event == "heartbeat":
        return _HEARTBEAT
    if notice.event == "pong":
        return Pong(notice.reqid)
    if notice.event == "systemStatus":
        return Status(notice.status, notice.connection_id, notice.version)
    if notice.event == "subscriptionStatus":
        return _subscription_status(notice)
    if notice.event == "error" or notice.error is not None:
        return Rejection(notice.error or notice.error_message or "", req_id=notice.reqid)
    return unknown(notice.event)


def _subscription_status(notice: _Notice) -> Ack | Rejection:
    stream = notice.subscription
    symbol = None if notice.pair is None else _SYMBOLS[notice.pair]
    if notice.status == "error":
        channel = None if stream is None else stream.name
        return Rejection(notice.error_message or "", None, channel, symbol, notice.reqid)
    method = _METHODS.get(notice.status)
    if method is None or stream is None:
        raise ValueError("an ack that does not say what was done")
    return Ack(method, stream.name, symbol, stream.depth, stream.interval, notice.reqid)


class _Wanted(Struct, omit_defaults=True):
    name: str
    depth: int | None = None
    interval: int | None = None
    token: str | None = None


class _Subscription(Struct, omit_defaults=True):
    event: str
    reqid: int
    pair: Sequence[str] = ()
    subscription: _Wanted | None = None


class _Ping(Struct):
    event: str
    reqid: int


def subscribe(stream: Stream, symbols: Sequence[str], req_id: int, token: str | None = None) -> Request:
    """Ask for a stream; `token` for the private ones, which take no symbols. One ack per symbol follows."""
    return _subscription("subscribe", stream, symbols, req_id, token)


def unsubscribe(stream: Stream, symbols: Sequence[str], req_id: int, token: str | None = None) -> Request:
    """Give a stream up. It has to be named as it was subscribed, depth and interval included."""
    return _subscription("unsubscribe", stream, symbols, req_id, token)


def _subscription(event: str, stream: Stream, symbols: Sequence[str], req_id: int, token: str | None) -> Request:
    wanted = _Wanted(stream.channel, stream.depth, stream.interval, token)
    message = _Subscription(event, req_id, tuple([pair_of(symbol) for symbol in symbols]), wanted)
    if token is None:
        return request(message, message)
    hidden = msgspec.structs.replace(wanted, token=REDACTED)
    return request(message, msgspec.structs.replace(message, subscription=hidden))


def ping(req_id: int) -> Request:
    message = _Ping("ping", req_id)
    return request(message, message)
