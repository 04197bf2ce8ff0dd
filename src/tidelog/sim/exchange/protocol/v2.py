"""How the exchange speaks v2: bare numbers with all their decimals, RFC 3339 times, keys in its order."""

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from tidelog.sim.exchange.markets.account import BALANCE_PRECISION, Account, Fill, Happening, Order
from tidelog.sim.exchange.markets.book import Change
from tidelog.sim.exchange.markets.market import MINUTE_US, Market, TrueCandle, TrueTrade
from tidelog.sim.exchange.markets.pairs import Pair, number
from tidelog.sim.exchange.protocol.dialect import Asked, NotUnderstood, quoted, rfc3339

NAME = "v2"
FILLS_SHOWN = 50  # in the snapshot of executions, if they are asked for
PUBLIC = frozenset({"book", "trade", "ticker", "ohlc", "instrument"})
PRIVATE = frozenset({"executions", "balances"})
SNAPSHOT_BY_DEFAULT = frozenset({"book", "ticker", "ohlc", "instrument", "executions", "balances"})


class _Params(Struct, frozen=True):
    channel: str = ""
    symbol: tuple[str, ...] = ()
    depth: int | None = None
    interval: int | None = None
    snapshot: bool | None = None
    snap_orders: bool | None = None
    snap_trades: bool | None = None
    token: str | None = None


class _Request(Struct):
    method: str
    params: _Params = _Params()
    req_id: int | None = None


_decode = msgspec.json.Decoder(_Request).decode


def name_of(pair: Pair) -> str:
    return pair.symbol


def price_precision(pair: Pair) -> int:
    return pair.price_precision


def parse(message: bytes) -> Asked:
    try:
        request = _decode(message)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise NotUnderstood(b'{"error":"Malformed request","success":false}') from None
    if request.method not in ("subscribe", "unsubscribe", "ping"):
        raise NotUnderstood(b'{"error":"Unsupported method","method":%b,"success":false}' % _text(request.method))
    of = request.params
    return Asked(
        request.method, of.channel, of.symbol, of.depth, of.interval, of.snapshot, bool(of.snap_trades), of.token,
        request.req_id,
    )  # fmt: skip


def pong(asked: Asked, now_us: int) -> bytes:
    return f'{{"method":"pong"{_req_id(asked)}{_times(now_us)}}}'.encode()


def accepted(asked: Asked, name: str | None, now_us: int) -> bytes:
    result = f'{{"channel":{quoted(asked.channel)}'
    if asked.depth is not None:
        result += f',"depth":{asked.depth}'
    if asked.interval is not None:
        result += f',"interval":{asked.interval}'
    if asked.method == "subscribe":
        shown = asked.channel in SNAPSHOT_BY_DEFAULT if asked.snapshot is None else asked.snapshot
        result += f',"snapshot":{"true" if shown else "false"}'
    if name is not None:
        result += f',"symbol":{quoted(name)}'
    times = _times(now_us)
    return f'{{"method":"{asked.method}"{_req_id(asked)},"result":{result}}},"success":true{times}}}'.encode()


def refused(asked: Asked, name: str | None, error: str, now_us: int) -> bytes:
    symbol = "" if name is None else f',"symbol":{quoted(name)}'
    head = f'{{"error":{quoted(error)},"method":"{asked.method}"{_req_id(asked)}'
    return f'{head},"success":false{symbol}{_times(now_us)}}}'.encode()


def status(system: str, connection_id: int) -> bytes:
    data = f'"version":"2.0.10","system":"{system}","api_version":"v2","connection_id":{connection_id}'
    return f'{{"channel":"status","type":"update","data":[{{{data}}}]}}'.encode()


def heartbeat() -> bytes:
    return b'{"channel":"heartbeat"}'


def book(
    pair: Pair, depth: int, bids: Sequence[Change], asks: Sequence[Change], crc: int, time_us: int, kind: str
) -> bytes:
    head = f'{{"channel":"book","type":"{kind}","data":[{{"symbol":"{pair.symbol}","bids":{_levels(pair, bids)}'
    tail = f'"checksum":{crc},"timestamp":"{rfc3339(time_us)}"}}]}}'
    return f'{head},"asks":{_levels(pair, asks)},{tail}'.encode()


def trades(pair: Pair, trades: Sequence[TrueTrade], kind: str) -> bytes:
    rows = [
        f'{{"symbol":"{pair.symbol}","side":"{trade.side}","price":{number(trade.price, pair.price_precision)},'
        f'"qty":{number(trade.qty, pair.qty_precision)},"ord_type":"{trade.ord_type}",'
        f'"trade_id":{trade.trade_id},"timestamp":"{rfc3339(trade.time_us)}"}}'
        for trade in trades
    ]
    return _frame("trade", kind, rows)


def ticker(market: Market, time_us: int, kind: str) -> bytes:
    pair, day = market.pair, market.day
    bid, ask = market.book.bids.best(1)[0], market.book.asks.best(1)[0]
    change = day.close - day.open

    def price(units: int) -> str:
        return number(units, pair.price_precision)

    def qty(units: int) -> str:
        return number(units, pair.qty_precision)

    row = (
        f'{{"symbol":"{pair.symbol}","bid":{price(bid.price)},"bid_qty":{qty(bid.qty)},"ask":{price(ask.price)},'
        f'"ask_qty":{qty(ask.qty)},"last":{price(day.close)},"volume":{qty(day.volume)},"vwap":{price(day.vwap)},'
        f'"low":{price(day.low)},"high":{price(day.high)},"change":{price(change)},'
        f'"change_pct":{number(change * 10_000 // day.open, 2)},"timestamp":"{rfc3339(time_us)}"}}'
    )
    return _frame("ticker", kind, [row])


def candles(pair: Pair, interval: int, candles: Sequence[TrueCandle], time_us: int, kind: str) -> Sequence[bytes]:
    def price(units: int) -> str:
        return number(units, pair.price_precision)

    rows = [
        f'{{"symbol":"{pair.symbol}","open":{price(candle.open)},"high":{price(candle.high)},'
        f'"low":{price(candle.low)},"close":{price(candle.close)},"trades":{candle.trades},'
        f'"volume":{number(candle.volume, pair.qty_precision)},"vwap":{price(candle.vwap)},'
        f'"interval_begin":"{rfc3339(candle.begin_us)[:-1]}000Z","interval":{interval},'
        f'"timestamp":"{rfc3339(candle.begin_us + interval * MINUTE_US)}"}}'
        for candle in candles
    ]
    return (_frame("ohlc", kind, rows),)


def spread(market: Market, time_us: int) -> bytes:
    raise AssertionError("v2 has no channel for the spread")


def instruments(pairs: Sequence[tuple[Pair, str]], kind: str) -> bytes:
    assets = sorted({asset for pair, _ in pairs for asset in (pair.base, pair.quote)})
    asset_rows = [
        f'{{"id":"{asset}","status":"enabled","precision":{BALANCE_PRECISION},"precision_display":5,'
        f'"borrowable":false,"collateral_value":1.00}}'
        for asset in assets
    ]
    pair_rows = [
        f'{{"symbol":"{pair.symbol}","base":"{pair.base}","quote":"{pair.quote}","status":"{status}",'
        f'"qty_precision":{pair.qty_precision},"qty_increment":1E-{pair.qty_precision},'
        f'"price_precision":{pair.price_precision},"cost_precision":5,"marginable":false,"has_index":true,'
        f'"cost_min":0.50,"price_increment":{number(1, pair.price_precision)},"qty_min":0.00010000}}'
        for pair, status in pairs
    ]
    data = f'{{"assets":[{",".join(asset_rows)}],"pairs":[{",".join(pair_rows)}]}}'
    return f'{{"channel":"instrument","type":"{kind}","data":{data}}}'.encode()


def account(channel: str, account: Account, sequence: int, *, fills: bool) -> bytes:
    if channel == "balances":
        rows = [
            f'{{"asset":"{asset}","asset_class":"currency","balance":{number(units, BALANCE_PRECISION)}}}'
            for asset, units in account.balances.items()
        ]
    else:
        rows = [_fill(fill) for fill in list(account.fills)[-FILLS_SHOWN:]] if fills else []
        rows += [] if account.open is None else [_order(account.open, None)]
    return _frame(channel, "snapshot", rows, sequence)


def happening(channel: str, happening: Happening, sequence: int) -> bytes | None:
    if channel == "executions":
        fill, time_us = happening.fill, happening.time_us
        rows = [_order(happening.order, time_us) if fill is None else _fill(fill)]
        return _frame(channel, "update", rows, sequence)
    rows = [
        f'{{"ledger_id":"{entry.ledger_id}","timestamp":"{rfc3339(happening.time_us)}","type":"trade",'
        f'"asset":"{entry.asset}","amount":{number(entry.amount, BALANCE_PRECISION)},'
        f'"balance":{number(entry.balance, BALANCE_PRECISION)},"fee":{number(entry.fee, BALANCE_PRECISION)}}}'
        for entry in happening.entries
    ]
    return _frame(channel, "update", rows, sequence) if rows else None


def _order(order: Order, time_us: int | None) -> str:
    pair = order.pair
    time = "" if time_us is None else f',"timestamp":"{rfc3339(time_us)}"'
    return (
        f'{{"order_id":"{order.order_id}","exec_type":"{order.status}","order_status":"{order.status}",'
        f'"symbol":"{pair.symbol}","side":"{order.side}","order_type":"limit",'
        f'"order_qty":{number(order.qty, pair.qty_precision)},"cum_qty":{number(order.filled, pair.qty_precision)},'
        f'"limit_price":{number(order.price, pair.price_precision)}{time}}}'
    )


def _fill(fill: Fill) -> str:
    order, pair = fill.order, fill.order.pair
    precision = pair.price_precision + pair.qty_precision
    return (
        f'{{"order_id":"{order.order_id}","exec_id":"{fill.exec_id}","exec_type":"trade",'
        f'"trade_id":{fill.trade_id},"symbol":"{pair.symbol}","side":"{order.side}",'
        f'"last_qty":{number(fill.qty, pair.qty_precision)},"last_price":{number(order.price, pair.price_precision)},'
        f'"cost":{number(fill.cost, precision)},"liquidity_ind":"m","order_status":"{order.status}",'
        f'"order_type":"limit","cum_qty":{number(order.filled, pair.qty_precision)},'
        f'"fees":[{{"asset":"{pair.quote}","qty":{number(fill.fee, precision)}}}],'
        f'"timestamp":"{rfc3339(fill.time_us)}"}}'
    )


def _levels(pair: Pair, levels: Sequence[Change]) -> str:
    rows = [
        f'{{"price":{number(level.price, pair.price_precision)},"qty":{number(level.qty, pair.qty_precision)}}}'
        for level in levels
    ]
    return f"[{','.join(rows)}]"


def _frame(channel: str, kind: str, rows: Sequence[str], sequence: int | None = None) -> bytes:
    tail = "" if sequence is None else f',"sequence":{sequence}'
    return f'{{"channel":"{channel}","type":"{kind}","data":[{",".join(rows)}]{tail}}}'.encode()


def _times(now_us: int) -> str:
    """The exchange takes some microseconds, as the real one does."""
    return f',"time_in":"{rfc3339(now_us)}","time_out":"{rfc3339(now_us + 18)}"'


def _req_id(asked: Asked) -> str:
    return "" if asked.req_id is None else f',"req_id":{asked.req_id}'


def _text(text: str) -> bytes:
    return quoted(text).encode()
