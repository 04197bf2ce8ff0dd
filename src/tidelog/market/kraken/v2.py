"""Kraken's WebSocket API v2: frames to events, requests to frames. No I/O and no state.

Every frame is an object that names its `channel`, or, for an answer, its `method`. The exchange writes
the channel first, so `decode` takes its name from the first bytes and lets one typed decoder, built once,
read the frame in one pass. A frame that is written in another order takes the long way to the same event.

https://docs.kraken.com/api/docs/websocket-v2/book and its neighbours.
"""

import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, Generic, Literal, TypeVar

import msgspec
from msgspec import Raw, Struct, field

from tidelog.market.events import (
    Ack,
    Balance,
    Balances,
    BookDelta,
    BookSnapshot,
    BookUpdates,
    Candle,
    Candles,
    Crc,
    Event,
    Executions,
    Heartbeat,
    Instrument,
    Instruments,
    OrderUpdate,
    OwnTrade,
    Pong,
    Rejection,
    Request,
    Side,
    Status,
    Stream,
    Ticker,
    Tickers,
    Time,
    Trade,
    Trades,
    Unknown,
)
from tidelog.market.kraken.frame import ABSENT, BROKEN, HEAD_BYTES_READ, REDACTED, request, unknown
from tidelog.market.venue import unreadable

_BOOK = b'{"channel":"book"'
_CHANNEL = b'{"channel":"'
_CHANNEL_END = len(_CHANNEL)
_HEARTBEAT = Heartbeat()


class Level(Struct, frozen=True, gc=False):
    """A level as v2 writes it. The number's text is all that a checksum can be made from."""

    price: Raw
    qty: Raw

    @classmethod
    def of_texts(cls, price_text: str, qty_text: str) -> "Level":
        """A level of these numbers."""
        return cls(Raw(price_text.encode()), Raw(qty_text.encode()))

    def __repr__(self) -> str:
        return f"Level({self.price_text}, {self.qty_text})"

    def __hash__(self) -> int:  # `Raw` has none
        return hash((bytes(self.price), bytes(self.qty)))

    @property
    def price_text(self) -> str:
        return str(self.price, "latin-1")

    @property
    def qty_text(self) -> str:
        return str(self.qty, "latin-1")


class _Head(Struct, gc=False):
    channel: str = ""
    method: str = ""
    error: str | None = field(name="Error", default=None)


class _Book(Struct, gc=False):
    symbol: str
    bids: tuple[Level, ...] = ()
    asks: tuple[Level, ...] = ()
    checksum: Crc | None = None
    timestamp: Time | None = None


class _AckResult(Struct, gc=False):
    channel: str
    symbol: str | None = None
    depth: int | None = None
    interval: int | None = None
    warnings: tuple[str, ...] | None = None


class _Answer(Struct, gc=False):
    method: str
    success: bool = True  # a pong has none
    result: Raw = ABSENT
    error: str | None = None
    symbol: str | None = None
    req_id: int | None = None


class _Execution(Struct, gc=False):
    order_id: str
    exec_type: str = ""
    order_status: str | None = None
    symbol: str | None = None
    side: Side | None = None
    order_type: str | None = None
    order_qty: Decimal | None = None
    cum_qty: Decimal | None = None
    limit_price: Decimal | None = None
    avg_price: Decimal | None = None
    exec_id: str | None = None
    trade_id: int | None = None
    last_qty: Decimal | None = None
    last_price: Decimal | None = None
    cost: Decimal | None = None
    timestamp: Time | None = None


class _Pairs(Struct, gc=False):
    pairs: tuple[Instrument, ...] = ()


Data = TypeVar("Data")


class _Frame(Struct, Generic[Data], gc=False):
    data: Data
    type: Literal["snapshot", "update"] = "update"
    sequence: int | None = None  # on private channels


_decode_head = msgspec.json.Decoder(_Head).decode
_decode_answer = msgspec.json.Decoder(_Answer).decode
_decode_ack_result = msgspec.json.Decoder(_AckResult).decode
_decode_book = msgspec.json.Decoder(_Frame[tuple[_Book, ...]]).decode
_decode_trades = msgspec.json.Decoder(_Frame[tuple[Trade, ...]]).decode
_decode_tickers = msgspec.json.Decoder(_Frame[tuple[Ticker, ...]]).decode
_decode_candles = msgspec.json.Decoder(_Frame[tuple[Candle, ...]]).decode
_decode_pairs = msgspec.json.Decoder(_Frame[_Pairs]).decode
_decode_status = msgspec.json.Decoder(_Frame[tuple[Status]]).decode
_decode_executions = msgspec.json.Decoder(_Frame[tuple[_Execution, ...]]).decode
_decode_balances = msgspec.json.Decoder(_Frame[tuple[Balance, ...]]).decode


def decode(frame: bytes) -> Event:
    """Read one frame.

    Raises:
        Rejected: it is not JSON, or not of the shape that its channel promises. Nothing else is raised,
            whatever the bytes.
    """
    try:
        if frame.startswith(_BOOK):  # nearly all of the traffic, so it is asked for first
            return _book(frame)
        if frame.startswith(_CHANNEL):
            read = _CHANNELS.get(frame[_CHANNEL_END : frame.find(b'"', _CHANNEL_END)])
            if read is not None:
                return read(frame)
        head = _decode_head(frame)
        if head.channel:
            read = _CHANNELS.get(head.channel.encode())
            return read(frame) if read is not None else unknown(head.channel)
        if head.method:
            return _answer(frame)
        return Unknown("") if head.error is None else Rejection(head.error)
    except BROKEN as error:
        raise unreadable(frame, error) from None


def _book(frame: bytes) -> BookSnapshot | BookDelta | BookUpdates:
    message = _decode_book(frame)
    event = BookDelta if message.type == "update" else BookSnapshot
    if len(message.data) == 1:
        (book,) = message.data
        return event(book.symbol, book.bids, book.asks, book.checksum, book.timestamp)
    return BookUpdates(
        tuple([event(book.symbol, book.bids, book.asks, book.checksum, book.timestamp) for book in message.data])
    )


_CHANNEL_SAID = re.compile(rb'channel"\s*:\s*"([a-z]+)"')
_METHOD_SAID = re.compile(rb'\s*\{\s*"method"\s*:')
_SYMBOL_SAID = re.compile(rb'"symbol"\s*:\s*"([^"\\]+)"')


def books_in(frame: bytes) -> tuple[str, ...] | None:
    """The symbols whose books a frame may be about that `decode` refused; None: any book."""
    channel = _CHANNEL_SAID.search(frame, 0, HEAD_BYTES_READ)
    if channel is None or channel[1] not in _CHANNELS:
        return () if _METHOD_SAID.match(frame) else None
    if channel[1] != b"book":
        return ()
    found = [symbol.decode("utf-8", "replace") for symbol in _SYMBOL_SAID.findall(frame)]
    return tuple(dict.fromkeys(found)) or None


def _trades(frame: bytes) -> Trades:
    message = _decode_trades(frame)
    if any(trade.trade_id is None for trade in message.data):
        raise ValueError("a trade without its id")  # taken, it could be stored twice, and its absence not be noticed
    return Trades(message.data, message.type == "snapshot")


def _tickers(frame: bytes) -> Tickers:
    return Tickers(_decode_tickers(frame).data)


def _candles(frame: bytes) -> Candles:
    message = _decode_candles(frame)
    return Candles(message.data, message.type == "snapshot")


def _instruments(frame: bytes) -> Instruments:
    message = _decode_pairs(frame)
    return Instruments(message.data.pairs, message.type == "snapshot")


def _status(frame: bytes) -> Status:
    (status,) = _decode_status(frame).data
    return status


def _heartbeat(frame: bytes) -> Heartbeat:
    _decode_head(frame)
    return _HEARTBEAT


def _executions(frame: bytes) -> Executions:
    message = _decode_executions(frame)
    orders = [
        OrderUpdate(
            row.order_id, row.order_status, row.symbol, row.side, row.order_type,
            row.order_qty, row.cum_qty, row.limit_price, row.avg_price,
        )
        for row in message.data
    ]  # fmt: skip
    trades = [_own_trade(row) for row in message.data if row.exec_type == "trade"]
    return Executions("executions", _sequence(message), tuple(orders), tuple(trades), message.type == "snapshot")


def _own_trade(row: _Execution) -> OwnTrade:
    if (
        row.exec_id is None
        or row.symbol is None
        or row.side is None
        or row.last_price is None
        or row.last_qty is None
        or row.timestamp is None
    ):
        raise ValueError("an execution of type trade without all that a trade has")
    return OwnTrade(
        row.exec_id, row.order_id, row.symbol, row.side, row.last_price, row.last_qty, row.timestamp,
        row.cost, row.trade_id,
    )  # fmt: skip


def _balances(frame: bytes) -> Balances:
    message = _decode_balances(frame)
    return Balances("balances", _sequence(message), message.data, message.type == "snapshot")


def _sequence(message: _Frame[Any]) -> int:
    if message.sequence is None:
        raise ValueError("a private channel without sequence")
    return message.sequence


_CHANNELS: dict[bytes, Callable[[bytes], Event]] = {
    b"book": _book,
    b"trade": _trades,
    b"ticker": _tickers,
    b"ohlc": _candles,
    b"instrument": _instruments,
    b"status": _status,
    b"heartbeat": _heartbeat,
    b"executions": _executions,
    b"balances": _balances,
}


def _answer(frame: bytes) -> Pong | Ack | Rejection | Unknown:
    answer = _decode_answer(frame)
    if not answer.success or answer.error is not None:
        error = answer.error or "refused without a reason"
        return Rejection(error, answer.method, None, answer.symbol, answer.req_id)
    if answer.method == "pong":
        return Pong(answer.req_id)
    if answer.method in ("subscribe", "unsubscribe"):
        result = _decode_ack_result(answer.result)
        return Ack(
            answer.method, result.channel, result.symbol, result.depth, result.interval,
            answer.req_id, result.warnings or (),
        )  # fmt: skip
    return unknown(answer.method)


class _Params(Struct, omit_defaults=True):
    channel: str
    symbol: Sequence[str] = ()
    depth: int | None = None
    interval: int | None = None
    snapshot: bool | None = None
    snap_orders: bool | None = None  # of executions: the open orders
    snap_trades: bool | None = None  # ... and the last fills, which are else in no frame if nobody listened
    token: str | None = None


class _Subscription(Struct):
    method: str
    params: _Params
    req_id: int


class _Ping(Struct):
    method: str
    req_id: int


def subscribe(stream: Stream, symbols: Sequence[str], req_id: int, token: str | None = None) -> Request:
    """Ask for a stream; `token` for the private ones, which take no symbols. One ack per symbol follows."""
    return _subscription("subscribe", stream, symbols, req_id, token)


def unsubscribe(stream: Stream, symbols: Sequence[str], req_id: int, token: str | None = None) -> Request:
    """Give a stream up. It has to be named as it was subscribed, depth and interval included."""
    return _subscription("unsubscribe", stream, symbols, req_id, token)


def _subscription(method: str, stream: Stream, symbols: Sequence[str], req_id: int, token: str | None) -> Request:
    snapshot = stream.snapshot if method == "subscribe" else None
    shown = True if stream.channel == "executions" and method == "subscribe" else None
    params = _Params(stream.channel, symbols, stream.depth, stream.interval, snapshot, shown, shown, token)
    message = _Subscription(method, params, req_id)
    if token is None:
        return request(message, message)
    hidden = msgspec.structs.replace(params, token=REDACTED)
    return request(message, _Subscription(method, hidden, req_id))


def ping(req_id: int) -> Request:
    message = _Ping("ping", req_id)
    return request(message, message)
