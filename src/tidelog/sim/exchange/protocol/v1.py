"""How the exchange speaks v1: arrays that are read from their end, quoted numbers, times in epoch seconds."""

from collections.abc import Sequence
from zlib import crc32

import msgspec
from msgspec import Struct

from tidelog.sim.exchange.markets.account import Account, Fill, Happening, Order
from tidelog.sim.exchange.markets.book import Change
from tidelog.sim.exchange.markets.market import MINUTE_US, Market, TrueCandle, TrueTrade
from tidelog.sim.exchange.markets.pairs import Pair, number
from tidelog.sim.exchange.protocol.dialect import Asked, NotUnderstood, epoch, quoted

NAME = "v1"
PUBLIC = frozenset({"book", "trade", "ticker", "ohlc", "spread"})
PRIVATE = frozenset({"ownTrades", "openOrders"})
SNAPSHOT_BY_DEFAULT = PUBLIC | PRIVATE
FILLS_SHOWN = 50  # in the snapshot of ownTrades

_STATUS = {"subscribe": "subscribed", "unsubscribe": "unsubscribed"}
_ORDER_STATUS = {"new": "open", "partially_filled": "open", "filled": "closed"}


class _Wanted(Struct, frozen=True):
    name: str = ""
    depth: int | None = None
    interval: int | None = None
    snapshot: bool | None = None  # of the private channels
    token: str | None = None


class _Request(Struct):
    event: str
    reqid: int | None = None
    pair: tuple[str, ...] = ()
    subscription: _Wanted = _Wanted()


_decode = msgspec.json.Decoder(_Request).decode


def name_of(pair: Pair) -> str:
    return pair.name_v1


def price_precision(pair: Pair) -> int:
    return pair.price_precision_v1


def parse(message: bytes) -> Asked:
    try:
        request = _decode(message)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise NotUnderstood(b'{"errorMessage":"Malformed request","event":"error"}') from None
    if request.event not in ("subscribe", "unsubscribe", "ping"):
        reqid = "" if request.reqid is None else f',"reqid":{request.reqid}'
        raise NotUnderstood(f'{{"errorMessage":"Unsupported event","event":"error"{reqid}}}'.encode())
    of = request.subscription
    return Asked(
        request.event, of.name, request.pair, of.depth, of.interval, of.snapshot, token=of.token, req_id=request.reqid
    )  # fmt: skip


def pong(asked: Asked, now_us: int) -> bytes:
    return f'{{"event":"pong"{_reqid(asked)}}}'.encode()


def accepted(asked: Asked, name: str | None, now_us: int) -> bytes:
    channel = _channel_name(asked.channel, asked.depth or asked.interval)
    number_of = "" if name is None else f'"channelID":{_channel_id(channel, name)},'
    pair = "" if name is None else f',"pair":{quoted(name)}'
    head = f'{{{number_of}"channelName":{quoted(channel)},"event":"subscriptionStatus"{pair}{_reqid(asked)}'
    return f'{head},"status":"{_STATUS[asked.method]}","subscription":{_subscription(asked)}}}'.encode()


def refused(asked: Asked, name: str | None, error: str, now_us: int) -> bytes:
    pair = "" if name is None else f',"pair":{quoted(name)}'
    head = f'{{"errorMessage":{quoted(error)},"event":"subscriptionStatus"{pair}{_reqid(asked)}'
    return f'{head},"status":"error","subscription":{_subscription(asked)}}}'.encode()


def status(system: str, connection_id: int) -> bytes:
    return (f'{{"connectionID":{connection_id},"event":"systemStatus","status":"{system}","version":"1.9.1"}}').encode()


def heartbeat() -> bytes:
    return b'{"event":"heartbeat"}'


def book(
    pair: Pair, depth: int, bids: Sequence[Change], asks: Sequence[Change], crc: int, time_us: int, kind: str
) -> bytes:
    """Where both sides changed, two objects, of which the last has the checksum. A snapshot has none."""
    if kind == "snapshot":
        payload = f'{{"as":{_levels(pair, asks)},"bs":{_levels(pair, bids)}}}'
    else:
        sides = [(key, levels) for key, levels in (("a", asks), ("b", bids)) if levels]
        objects = [f'{{"{key}":{_levels(pair, levels)}' for key, levels in sides]
        payload = "},".join(objects) + f',"c":"{crc}"}}'
    return _data(payload, f"book-{depth}", pair)


def trades(pair: Pair, trades: Sequence[TrueTrade], kind: str) -> bytes:
    rows = [
        f'["{_price(pair, trade.price)}","{_qty(pair, trade.qty)}","{epoch(trade.time_us)}",'
        f'"{trade.side[0]}","{trade.ord_type[0]}",""]'
        for trade in trades
    ]
    return _data(f"[{','.join(rows)}]", "trade", pair)


def ticker(market: Market, time_us: int, kind: str) -> bytes:
    pair, day = market.pair, market.day
    rows = [
        f'"{key}":["{_price(pair, level.price)}",{level.qty // 10**pair.qty_precision},"{_qty(pair, level.qty)}"]'
        for key, level in (("a", market.book.asks.best(1)[0]), ("b", market.book.bids.best(1)[0]))
    ]
    rows.append(f'"c":["{_price(pair, day.close)}","{_qty(pair, market.trades[-1].qty)}"]')
    for key, text in (("v", _qty(pair, day.volume)), ("p", _price(pair, day.vwap))):
        rows.append(f'"{key}":["{text}","{text}"]')
    rows.append(f'"t":[{day.trades},{day.trades}]')
    for key, units in (("l", day.low), ("h", day.high), ("o", day.open)):
        rows.append(f'"{key}":["{_price(pair, units)}","{_price(pair, units)}"]')
    return _data(f"{{{','.join(rows)}}}", "ticker", pair)


def candles(pair: Pair, interval: int, candles: Sequence[TrueCandle], time_us: int, kind: str) -> Sequence[bytes]:
    """One frame each; a snapshot is the running one alone."""
    frames = []
    for candle in candles[-1:]:
        end_us = candle.begin_us + interval * MINUTE_US
        prices = ",".join([f'"{_price(pair, units)}"' for units in
                           (candle.open, candle.high, candle.low, candle.close, candle.vwap)])  # fmt: skip
        row = f'["{epoch(time_us)}","{epoch(end_us)}",{prices},"{_qty(pair, candle.volume)}",{candle.trades}]'
        frames.append(_data(row, f"ohlc-{interval}", pair))
    return frames


def spread(market: Market, time_us: int) -> bytes:
    pair, bid, ask = market.pair, market.book.bids.best(1)[0], market.book.asks.best(1)[0]
    prices = f'"{_price(pair, bid.price)}","{_price(pair, ask.price)}"'
    qtys = f'"{_qty(pair, bid.qty)}","{_qty(pair, ask.qty)}"'
    return _data(f'[{prices},"{epoch(time_us)}",{qtys}]', "spread", pair)


def instruments(pairs: Sequence[tuple[Pair, str]], kind: str) -> bytes:
    raise AssertionError("v1 has no channel for instruments")


def account(channel: str, account: Account, sequence: int, *, fills: bool) -> bytes:
    if channel == "ownTrades":
        rows = [_fill(fill) for fill in list(account.fills)[-FILLS_SHOWN:]]
    else:
        rows = [] if account.open is None else [_order(account.open)]
    return _private(rows, channel, sequence)


def happening(channel: str, happening: Happening, sequence: int) -> bytes | None:
    fill, order = happening.fill, happening.order
    if channel == "ownTrades":
        return None if fill is None else _private([_fill(fill)], channel, sequence)
    if fill is None:
        return _private([_order(order)], channel, sequence)
    qty, status = _qty(order.pair, order.filled), _ORDER_STATUS[order.status]
    changed = f'{{"{order.order_id}":{{"status":"{status}","vol_exec":"{qty}"}}}}'
    return _private([changed], channel, sequence)


def _order(order: Order) -> str:
    pair = order.pair
    about = f'"pair":"{pair.name_v1}","price":"{_price(pair, order.price)}","type":"{order.side}","ordertype":"limit"'
    return (
        f'{{"{order.order_id}":{{"avg_price":"{_price(pair, 0)}","descr":{{{about}}},'
        f'"status":"{_ORDER_STATUS[order.status]}","vol":"{_qty(pair, order.qty)}",'
        f'"vol_exec":"{_qty(pair, order.filled)}"}}}}'
    )


def _fill(fill: Fill) -> str:
    order, pair = fill.order, fill.order.pair
    precision = pair.price_precision + pair.qty_precision
    return (
        f'{{"{fill.exec_id}":{{"cost":"{number(fill.cost, precision)}","fee":"{number(fill.fee, precision)}",'
        f'"margin":"0.00000","ordertxid":"{order.order_id}","ordertype":"limit","pair":"{pair.name_v1}",'
        f'"postxid":"","price":"{_price(pair, order.price)}","time":"{epoch(fill.time_us)}",'
        f'"type":"{order.side}","vol":"{_qty(pair, fill.qty)}"}}}}'
    )


def _levels(pair: Pair, levels: Sequence[Change]) -> str:
    rows = [
        f'["{_price(pair, level.price)}","{_qty(pair, level.qty)}","{epoch(level.time_us)}"'
        + (',"r"]' if level.republished else "]")
        for level in levels
    ]
    return f"[{','.join(rows)}]"


def _data(payload: str, channel: str, pair: Pair) -> bytes:
    return f'[{_channel_id(channel, pair.name_v1)},{payload},"{channel}","{pair.name_v1}"]'.encode()


def _private(rows: Sequence[str], channel: str, sequence: int) -> bytes:
    return f'[[{",".join(rows)}],"{channel}",{{"sequence":{sequence}}}]'.encode()


def _channel_name(channel: str, parameter: int | None) -> str:
    return channel if parameter is None else f"{channel}-{parameter}"


def _channel_id(channel: str, name: str) -> int:
    return crc32(f"{channel} {name}".encode()) % 10_000


def _subscription(asked: Asked) -> str:
    depth = "" if asked.depth is None else f'"depth":{asked.depth},'
    interval = "" if asked.interval is None else f'"interval":{asked.interval},'
    return f'{{{depth}{interval}"name":{quoted(asked.channel)}}}'


def _reqid(asked: Asked) -> str:
    return "" if asked.req_id is None else f',"reqid":{asked.req_id}'


def _price(pair: Pair, units: int) -> str:
    return number(units * 10 ** (pair.price_precision_v1 - pair.price_precision), pair.price_precision_v1)


def _qty(pair: Pair, units: int) -> str:
    return number(units, pair.qty_precision)
