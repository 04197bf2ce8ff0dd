"""What a frame of the exchange says about books and trades, read apart from the engine's codecs.

Numbers stay text, as the exchange wrote them. A frame that says something else, or nothing that matters to a store,
is None; one that cannot be read is `Broken`.
"""

import json
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, TypeAlias

from msgspec import Struct

Json: TypeAlias = Any
Level: TypeAlias = tuple[str, str]  # price, quantity

CHANNELS = {
    "v1": {"book", "trade", "ticker", "ohlc", "spread", "ownTrades", "openOrders"},
    "v2": {"book", "trade", "ticker", "ohlc", "instrument", "status", "heartbeat", "executions", "balances"},
}
RENAMED = {"XBT": "BTC", "XDG": "DOGE"}
HEAD = 256  # bytes at the beginning, or end, of a frame in which it says what it is about


class Broken(Struct, frozen=True):
    """It could not be read. `books` are the symbols whose books it may have been about; None: any."""

    books: tuple[str, ...] | None


class BookPart(Struct, frozen=True):
    symbol: str
    snapshot: bool
    bids: Sequence[Level]
    asks: Sequence[Level]
    checksum: int | None
    time_us: int | None


class BookFrame(Struct, frozen=True):
    parts: tuple[BookPart, ...]


class RawTrade(Struct, frozen=True):
    symbol: str
    side: str
    price: Decimal
    qty: Decimal
    ord_type: str
    time_us: int
    trade_id: int | None


class TradeFrame(Struct, frozen=True):
    trades: tuple[RawTrade, ...]


class Answered(Struct, frozen=True):
    """A subscription was begun or ended; `error`: it was refused instead."""

    method: str | None
    channel: str | None
    symbol: str | None
    req_id: int | None
    error: str | None = None
    depth: int | None = None  # of a book


class RawInstrument(Struct, frozen=True):
    symbol: str
    base: str
    quote: str
    status: str
    price_precision: int
    qty_precision: int
    price_increment: Decimal
    qty_increment: Decimal


class InstrumentFrame(Struct, frozen=True):
    instruments: tuple[RawInstrument, ...]


Said: TypeAlias = BookFrame | TradeFrame | Answered | InstrumentFrame | Broken | None


class _Number(str):
    """The text of a number, told apart from text."""

    __slots__ = ()


def read(protocol: str, frame: bytes) -> Said:
    """What the frame says."""
    try:
        value = json.loads(frame.decode("utf-8", "surrogateescape"), parse_float=_Number, parse_int=_Number)
        return _v2(value) if protocol == "v2" else _v1(value)
    except (ValueError, TypeError, KeyError, IndexError, RecursionError, InvalidOperation, AttributeError):
        return Broken(_meant_v2(frame) if protocol == "v2" else _meant_v1(frame))


def _text(value: Json) -> str:
    if not isinstance(value, str) or isinstance(value, _Number):
        raise TypeError(f"{value!r} is no text")
    value.encode()  # what was no UTF-8 is none now
    return value


def _int(value: Json) -> int:
    if not isinstance(value, _Number):
        raise TypeError(f"{value!r} is no number")
    return int(value)


def _optional(value: Json, reading: Callable[[Json], Any]) -> Any:
    return None if value is None else reading(value)


def _decimal(value: Json) -> Decimal:
    number = Decimal(value)
    if not number.is_finite():
        raise ValueError(f"{value!r} is no number")
    return number


def _moment_us(value: Json) -> int:
    """RFC 3339, with a zone, in microseconds of Unix time."""
    moment = datetime.fromisoformat(_text(value))
    whole = int(moment.replace(microsecond=0).timestamp())
    if moment.tzinfo is None:
        raise ValueError(f"{value!r} has no zone")
    return whole * 1_000_000 + moment.microsecond


def _crc(value: Json) -> int:
    number = int(value)
    if not 0 <= number < 2**32:
        raise ValueError(f"{value!r} is no CRC")
    return number


# -- v2 -------------------------------------------------------------------------------------------------------------


def _v2(value: Json) -> Said:
    if not isinstance(value, dict):
        raise TypeError("no object")
    channel = value.get("channel")
    if channel:
        return _data_v2(_text(channel), value)
    method = value.get("method")
    if method:
        return _answer_v2(_text(method), value)
    error = value.get("Error")
    return Broken(None) if error is None else Answered(None, None, None, None, _text(error))


def _data_v2(channel: str, value: Json) -> Said:
    if channel not in CHANNELS["v2"] or channel == "heartbeat":
        return None
    kind = value.get("type", "update")
    if kind not in ("snapshot", "update"):
        raise ValueError(kind)
    data = value["data"]
    if channel == "book":
        return BookFrame(
            tuple(
                BookPart(
                    _text(one["symbol"]),
                    kind == "snapshot",
                    [(str(level["price"]), str(level["qty"])) for level in one.get("bids", ())],
                    [(str(level["price"]), str(level["qty"])) for level in one.get("asks", ())],
                    _optional(one.get("checksum"), _crc),
                    _optional(one.get("timestamp"), _moment_us),
                )
                for one in data
            )
        )
    if channel == "trade":
        return TradeFrame(
            tuple(
                RawTrade(
                    _text(one["symbol"]),
                    {"buy": "buy", "sell": "sell"}[one["side"]],
                    _decimal(one["price"]),
                    _decimal(one["qty"]),
                    _text(one.get("ord_type", "")),  # the one field of a trade that may be absent
                    _moment_us(one["timestamp"]),
                    _int(one["trade_id"]),
                )
                for one in data
            )
        )
    if channel == "instrument":
        return InstrumentFrame(
            tuple(
                RawInstrument(
                    _text(one["symbol"]), _text(one["base"]), _text(one["quote"]), _text(one["status"]),
                    _int(one["price_precision"]), _int(one["qty_precision"]),
                    _decimal(one["price_increment"]), _decimal(one["qty_increment"]),
                )
                for one in data.get("pairs", ())
            )
        )  # fmt: skip
    return None


def _answer_v2(method: str, value: Json) -> Said:
    req_id = _optional(value.get("req_id"), _int)
    if value.get("success", True) is not True or value.get("error") is not None:
        error = value.get("error") or "refused without a reason"
        return Answered(method, None, _optional(value.get("symbol"), _text), req_id, _text(error))
    if method not in ("subscribe", "unsubscribe"):
        return None
    result = value["result"]
    symbol, depth = _optional(result.get("symbol"), _text), _optional(result.get("depth"), _int)
    return Answered(method, _text(result["channel"]), symbol, req_id, depth=depth)


def _meant_v2(frame: bytes) -> tuple[str, ...] | None:
    said = re.search(rb'channel"\s*:\s*"([a-z]+)"', frame[:HEAD])
    if said is None or said[1].decode() not in CHANNELS["v2"]:
        return () if re.match(rb'\s*\{\s*"method"\s*:', frame) else None
    if said[1] != b"book":
        return ()
    symbols = [found.decode("utf-8", "replace") for found in re.findall(rb'"symbol"\s*:\s*"([^"\\]+)"', frame)]
    return tuple(dict.fromkeys(symbols)) or None


# -- v1 -------------------------------------------------------------------------------------------------------------


def symbol_of(pair: str) -> str:
    """v2's name of a pair of v1."""
    return "/".join(RENAMED.get(asset, asset) for asset in pair.split("/"))


def _v1(value: Json) -> Said:
    if isinstance(value, dict):
        return _notice(value)
    if len(value) < 3:
        raise ValueError("too short")
    name = _text(value[-2]).partition("-")[0]
    if name == "book":
        return BookFrame((_book_v1(value),))
    if name == "trade":
        _, payload, _, pair = value
        return TradeFrame(tuple(_trade_v1(symbol_of(_text(pair)), row) for row in payload))
    return None


def _levels_v1(rows: Json) -> list[Level]:
    return [(_text(price), _text(qty)) for price, qty, *_ in rows]


def _book_v1(value: Json) -> BookPart:
    _int(value[0])
    sides, symbol = value[1:-2], symbol_of(_text(value[-1]))
    if len(sides) not in (1, 2) or not all(isinstance(side, dict) for side in sides):
        raise ValueError("one or two objects are a book")
    first = sides[0]
    if len(sides) == 1 and (first.get("as") is not None or first.get("bs") is not None):
        return BookPart(symbol, True, _levels_v1(first.get("bs") or ()), _levels_v1(first.get("as") or ()), None, None)
    bids = [level for side in sides for level in _levels_v1(side.get("b", ()))]
    asks = [level for side in sides for level in _levels_v1(side.get("a", ()))]
    return BookPart(symbol, False, bids, asks, _optional(sides[-1].get("c"), int), None)


def _trade_v1(symbol: str, row: Json) -> RawTrade:
    price, qty, time, side, kind = row[:5]
    ord_type = "market" if _text(kind) == "m" else "limit"
    time_us = int(_decimal(time) * 1_000_000)
    return RawTrade(symbol, {"b": "buy", "s": "sell"}[side], _decimal(price), _decimal(qty), ord_type, time_us, None)


def _notice(value: Json) -> Said:
    event = _text(value.get("event", ""))
    if event != "subscriptionStatus":
        error = value.get("Error") or value.get("errorMessage")
        failed = event == "error" or value.get("Error") is not None
        return Answered(None, None, None, _optional(value.get("reqid"), _int), error or "") if failed else None
    of = value.get("subscription")
    channel = None if of is None else _text(of["name"])
    symbol = None if value.get("pair") is None else symbol_of(_text(value["pair"]))
    req_id, status = _optional(value.get("reqid"), _int), _text(value.get("status", ""))
    if status == "error":
        return Answered(None, channel, symbol, req_id, _text(value.get("errorMessage") or "") or "")
    method = {"subscribed": "subscribe", "unsubscribed": "unsubscribe"}[status]
    if of is None:
        raise ValueError("an answer that does not say to what")
    return Answered(method, channel, symbol, req_id, depth=_optional(of.get("depth"), _int))


def _meant_v1(frame: bytes) -> tuple[str, ...] | None:
    tail = re.search(rb'"([A-Za-z]+)(?:-\d+)?"\s*,\s*(?:"([^"\\]+)"|\{[^{}]*\})\s*\]\s*\Z', frame[-HEAD:])
    if tail is None or tail[1].decode() not in CHANNELS["v1"]:
        return () if re.match(rb'\s*\{[^{}\[\]]*"event"\s*:', frame[:HEAD]) else None
    if tail[1] != b"book":
        return ()
    return None if tail[2] is None else (symbol_of(tail[2].decode("utf-8", "replace")),)
