"""What a recording's store has to be: a fold of its journal that was written apart, and what the exchange knows.

Each function raises `Violation` with the promise that is broken.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

import apsw
import msgspec

from tidelog.sim.exchange import Pair, SimExchange
from tidelog.sim.exchange.markets.market import TrueTrade
from tidelog.sim.oracle.apart.market_fold import Folding, Missing
from tidelog.sim.oracle.chain import decoded, require
from tidelog.sim.world.world import Violation

CONTENTS = {  # what a second fold of the same journal has to give again
    "instruments": "*",
    "trades": "*",
    "candles": "*",
    "book_snapshots": "*",
    "coverage": "*",
    "gaps": "*",
}


def place_in_store(connection: apsw.Connection, source: str) -> tuple[int, int] | None:
    """The last record that the loader has committed, as (run, seq)."""
    text = connection.execute("SELECT position FROM checkpoints WHERE source = ?", (source,)).get
    if text is None:
        return None
    state = msgspec.json.decode(text)
    return state.get("run", 0), state.get("seq", 0)


def end_of_journal(connection: apsw.Connection) -> tuple[int, int]:
    """The last record of the journal, as (run, seq); of a run that has begun, and has none yet, (run, 0)."""
    row: Any = connection.execute("SELECT run, last_seq FROM runs ORDER BY run DESC LIMIT 1").fetchone()
    return (0, 0) if row is None else row


def committed_is_journaled(store: apsw.Connection, journal: apsw.Connection, source: str) -> tuple[int, int]:
    """The store's place, which the journal has to have reached."""
    place = place_in_store(store, source) or (0, 0)
    end = end_of_journal(journal)
    require(place <= end, f"committed <= journaled: the store is at {place}, the journal ends at {end}")
    return place


def contents(connection: apsw.Connection, source: str) -> dict[str, list[Any]]:
    """Everything of a recording, table by table, in an order that says nothing."""
    found: dict[str, list[Any]] = {}
    for table, columns in CONTENTS.items():
        rows: list[Any] = connection.execute(
            f"SELECT {columns} FROM {table} WHERE source = ?",  # noqa: S608
            (source,),
        ).fetchall()
        found[table] = sorted(rows, key=repr)
    return found


def every_trade(connection: apsw.Connection, exchange: SimExchange, source: str, *, bits_flip: bool) -> None:
    """Each v2 trade between the first and the last that are stored is stored as it was, or lies in an open gap.

    Args:
        bits_flip: a trade has no checksum: what it says was not to be trusted on the way.
    """
    for symbol, market in exchange.markets.items():
        rows: list[Any] = connection.execute(
            "SELECT trade_id, time_us, side, ord_type, price, price_scale, qty, qty_scale FROM trades"
            " WHERE source = ? AND symbol = ?",
            (source, symbol),
        ).fetchall()
        stored = {trade_id: row for trade_id, *row in rows}
        require(len(stored) == len(rows), f"each trade of {symbol} is stored once")
        if not rows:
            continue
        gaps: list[Any] = connection.execute(
            "SELECT first, last FROM gaps WHERE source = ? AND scope = ? AND closed_at IS NULL",
            (source, f"trades:{symbol}"),
        ).fetchall()
        low, high = min(stored), max(stored)
        for trade in market.trades:
            row = stored.get(trade.trade_id)
            if row is not None:
                require(bits_flip or _says(row, trade, market.pair), f"trade {trade.trade_id} of {symbol} is as it was")
            elif low <= trade.trade_id <= high:
                said = any(first <= trade.trade_id <= last for first, last in gaps)
                require(said, f"trade {trade.trade_id} of {symbol} is missing, and lies in a recorded gap")
        if not bits_flip:
            true = {trade.trade_id for trade in market.trades}
            require(stored.keys() <= true, f"every stored trade of {symbol} happened")


def trades_happened(connection: apsw.Connection, exchange: SimExchange, source: str, *, doubled: bool) -> None:
    """Each stored trade, of those without ids, is one that happened, and it is stored once.

    Args:
        doubled: frames came twice, or in another order: nothing tells a trade from another that equals it.
    """
    for symbol, market in exchange.markets.items():
        rows: list[Any] = connection.execute(
            "SELECT time_us, side, ord_type, price, price_scale, qty, qty_scale FROM trades"
            " WHERE source = ? AND symbol = ?",
            (source, symbol),
        ).fetchall()
        stored = Counter(
            (time_us, side, ord_type, Decimal(price).scaleb(-price_scale), Decimal(qty).scaleb(-qty_scale))
            for time_us, side, ord_type, price, price_scale, qty, qty_scale in rows
        )
        pair = market.pair
        true = Counter(
            (
                one.time_us,
                one.side,
                one.ord_type,
                Decimal(one.price).scaleb(-pair.price_precision),
                Decimal(one.qty).scaleb(-pair.qty_precision),
            )
            for one in market.trades
        )
        more = sorted(stored.keys() - true.keys() if doubled else (stored - true).keys())
        require(not more, f"every stored trade of {symbol} happened, and once: {more[:3]}")


def complete_is_true(connection: apsw.Connection, exchange: SimExchange, source: str) -> None:
    """A candle is shown as complete where all trades of its time are stored, and one before and one after; no other."""
    rows: list[Any] = connection.execute(
        "SELECT symbol, interval_s, time_us, trades FROM candles WHERE source = ? ORDER BY symbol, interval_s, time_us",
        (source,),
    ).fetchall()
    shown: list[Any] = connection.execute(
        "SELECT complete FROM v_candles WHERE source = ? ORDER BY symbol, interval_s, time", (source,)
    ).fetchall()
    for (symbol, interval_s, begin_us, _), (complete,) in zip(rows, shown, strict=True):
        end_us = begin_us + interval_s * SECOND_US
        times: list[Any] = connection.execute(
            "SELECT trade_id, time_us FROM trades WHERE source = ? AND symbol = ? ORDER BY trade_id", (source, symbol)
        ).fetchall()
        stored = dict(times)
        before = max((number for number, time_us in times if time_us < begin_us), default=None)
        after = min((number for number, time_us in times if time_us >= end_us), default=None)
        whole = before is not None and after is not None and all(n in stored for n in range(before, after))
        require(bool(complete) == whole, f"a candle of {symbol} is complete with all of its trades, and only then")
        if whole:
            true = sum(1 for trade in exchange.markets[symbol].trades if begin_us <= trade.time_us < end_us)
            there = sum(1 for _, time_us in times if begin_us <= time_us < end_us)
            require(there == true, f"a complete candle of {symbol} has the trades that happened")


def _says(row: Any, trade: TrueTrade, pair: Pair) -> bool:
    time_us, side, ord_type, price, price_scale, qty, qty_scale = row
    return bool(
        (time_us, side, ord_type) == (trade.time_us, trade.side, trade.ord_type)
        and Decimal(price).scaleb(-price_scale) == Decimal(trade.price).scaleb(-pair.price_precision)
        and Decimal(qty).scaleb(-qty_scale) == Decimal(trade.qty).scaleb(-pair.qty_precision)
    )


# -- against a fold written apart -----------------------------------------------------------------------------------

INTERVALS_S = (60, 300, 900, 3_600, 14_400, 86_400)
SECOND_US = 1_000_000
TRADES = "symbol, time_us, ordinal, price, qty, side, ord_type, price_scale, qty_scale, trade_id, run, seq, received_us"
SAMPLES = "symbol, time_us, exchange_us, depth, proven_depth, price_scale, qty_scale, levels, run, seq"
INSTRUMENTS = (
    "symbol, base, quote, status, price_precision, qty_precision, price_increment, price_increment_scale,"
    " qty_increment, qty_increment_scale, updated_us"
)


def equals_fold(connection: apsw.Connection, folding: Folding, source: str) -> None:
    """Trades, book samples, instruments, coverage and gaps are what the journal comes to, column by column."""
    for table, columns, wanted in (
        ("trades", TRADES, folding.trades.values()),
        ("book_snapshots", SAMPLES, folding.samples.values()),
        ("instruments", INSTRUMENTS, folding.instruments.values()),
        ("coverage", "symbol, channel, since_us, until_us, state, reason, closed_at", _coverage(folding)),
    ):
        _same(table, _rows(connection, table, columns, source), wanted)
    _gaps_are(_rows(connection, "gaps", "scope, first, last, reason, opened_at, closed_at", source), folding)


def _rows(connection: apsw.Connection, table: str, columns: str, source: str) -> list[Any]:
    """The rows of a table, which holds this recording alone."""
    rows: list[Any] = connection.execute(f"SELECT source, {columns} FROM {table}").fetchall()  # noqa: S608
    require(all(held == source for held, *_ in rows), f"{table} are of this recording")
    return [tuple(row) for _, *row in rows]


def _same(table: str, stored: Iterable[Any], wanted: Iterable[Any]) -> None:
    found, true = Counter(stored), Counter(wanted)
    if found != true:
        more, less = sorted(found - true, key=repr)[:2], sorted(true - found, key=repr)[:2]
        raise Violation(f"{table} are what the journal comes to: stored {more}, true {less}")


def _coverage(folding: Folding) -> Iterable[Any]:
    for name, symbol in folding.symbols.items():
        for channel, cover in symbol.cover.items():
            for since_us, (until_us, state, reason, closed) in cover.rows.items():
                yield name, channel, since_us, until_us, state, reason, closed


def _gaps_are(rows: Sequence[Any], folding: Folding) -> None:
    """The rows of `gaps` are the outages of the connection, and each missing trade lies in one row that says of it
    what is true, whichever way they are put together."""
    outages = [
        ("connection", since_us, until_us, reason, opened_us // 1000, None if closed_us is None else closed_us // 1000)
        for since_us, (until_us, reason, opened_us, closed_us) in folding.outages.items()
    ]
    _same("gaps of the connection", [(scope, *row) for scope, *row in rows if scope == "connection"], outages)
    told: Counter[Any] = Counter()
    for scope, first, last, reason, opened_at, closed_at in rows:
        if scope != "connection":
            told.update((scope, number, reason, opened_at, closed_at) for number in range(first, last + 1))
    true: Counter[Any] = Counter()
    for name, symbol in folding.symbols.items():
        true.update(_gap(name, number, missing, None) for number, missing in symbol.ids.missing.items())
        true.update(_gap(name, number, missing, came) for number, (missing, came) in symbol.ids.filled.items())
    _same("gaps of trades", told.elements(), true.elements())


def _gap(symbol: str, number: int, missing: Missing, came_us: int | None) -> tuple[Any, ...]:
    closed_at = None if came_us is None else came_us // 1000
    return f"trades:{symbol}", number, missing.loss.reason, missing.opened_us // 1000, closed_at


def position_is(connection: apsw.Connection, folding: Folding, journal: str, source: str) -> None:
    """The checkpoint says where the journal ends, and what it has come to there.

    Args:
        journal: the journal's id, in hex.
    """
    rows: list[Any] = connection.execute("SELECT source, position FROM checkpoints").fetchall()
    require([held for held, _ in rows] == [source], "there is one recording")
    [(_, text)] = rows
    told, true = decoded(text, "a checkpoint's position"), folding.position(journal)
    told = {name: told.pop(name, {"outage": None, "symbols": {}}.get(name, 0)) for name in true} | told
    require(told.pop("intervals_s", None) == list(INTERVALS_S), "the checkpoint names the candles' lengths")
    outage = told["outage"]
    told["outage"] = None if outage is None else (outage["since_us"], outage["reason"], outage["opened_us"])
    told["symbols"] = {name: _state(state, true["symbols"].get(name, {})) for name, state in told["symbols"].items()}
    differs = sorted(name for name in told.keys() | true.keys() if told.get(name) != true.get(name))
    require(
        not differs, f"the checkpoint is what the journal comes to: {[(told.get(n), true.get(n)) for n in differs]}"
    )


def _state(told: dict[str, Any], true: dict[str, Any]) -> dict[str, Any]:
    """A symbol's state with what is left out where it is as at first, and with missing trades one by one."""
    usual: dict[str, Any] = {
        "held": None,
        "acked_depth": None,
        "depth": 10,
        "sampled_us": None,
        "unnumbered": False,
        "repeats": False,
        "moments": [],
    }
    state = {name: told.get(name, usual.get(name, 0)) for name in true} | told
    if state["held"] is not None:
        first, last, ranges = state["held"]
        missing = {n: (opened_us, *loss) for low, high, opened_us, loss in ranges for n in range(low, high + 1)}
        state["held"] = (first, last, missing)
    return state


# -- candles --------------------------------------------------------------------------------------------------------


def candles_are_of_the_trades(connection: apsw.Connection, source: str) -> None:
    """Every candle of every length is what the stored trades of its time make, and no other is there."""
    trades = _rows(connection, "trades", "symbol, time_us, ordinal, price, price_scale, qty, qty_scale", source)
    grouped: dict[tuple[str, int, int], list[Any]] = {}
    for symbol, time_us, *rest in sorted(trades):
        for interval_s in INTERVALS_S:
            begin_us = time_us // (interval_s * SECOND_US) * interval_s * SECOND_US
            grouped.setdefault((symbol, interval_s, begin_us), []).append(rest)
    columns = "symbol, interval_s, time_us, open, high, low, close, price_scale, volume, qty_scale, turnover, trades"
    wanted = [(*key, *_candle(rows), None) for key, rows in grouped.items()]
    _same("candles", _rows(connection, "candles", f"{columns}, complete", source), wanted)


def _candle(trades: Sequence[Any]) -> tuple[Any, ...]:
    """From open to trades, at the finest scales of its trades, which come in order."""
    price_scale = max(scale for _, _, scale, _, _ in trades)
    qty_scale = max(scale for _, _, _, _, scale in trades)
    prices = [Decimal(price).scaleb(-scale) for _, price, scale, _, _ in trades]
    qtys = [Decimal(qty).scaleb(-scale) for _, _, _, qty, scale in trades]
    turnover = sum((price * qty for price, qty in zip(prices, qtys, strict=True)), Decimal(0))
    shown = [int(price.scaleb(price_scale)) for price in (prices[0], max(prices), min(prices), prices[-1])]
    volume = int(sum(qtys, Decimal(0)).scaleb(qty_scale))
    turned = int(turnover.scaleb(price_scale + qty_scale)).to_bytes(32, "big")
    return (*shown, price_scale, volume.to_bytes(32, "big"), qty_scale, turned, len(trades))
