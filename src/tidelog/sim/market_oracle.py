"""What a recording's store and journal have to be, said in SQL against the exchange's own trades.

Raises `Violation` with the promise that is broken.
"""

from decimal import Decimal
from typing import Any

import apsw
import msgspec

from tidelog.sim.exchange import Pair, SimExchange
from tidelog.sim.exchange.market import TrueTrade
from tidelog.sim.oracle import require

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
    row: Any = connection.execute("SELECT position FROM checkpoints WHERE source = ?", (source,)).fetchone()
    if row is None or row[0] is None:
        return None
    state = msgspec.json.decode(row[0])
    return state.get("run", 0), state.get("seq", 0)


def end_of_journal(connection: apsw.Connection) -> tuple[int, int]:
    """The last record of the journal, as (run, seq); of a run that has begun, and has none yet, (run, 0)."""
    row: Any = connection.execute("SELECT run, last_seq FROM runs ORDER BY run DESC LIMIT 1").fetchone()
    return (0, 0) if row is None else (row[0], row[1])


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
        stored = {row[0]: row for row in rows}
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


def _says(row: Any, trade: TrueTrade, pair: Pair) -> bool:
    _, time_us, side, ord_type, price, price_scale, qty, qty_scale = row
    return bool(
        (time_us, side, ord_type) == (trade.time_us, trade.side, trade.ord_type)
        and Decimal(price).scaleb(-price_scale) == Decimal(trade.price).scaleb(-pair.price_precision)
        and Decimal(qty).scaleb(-qty_scale) == Decimal(trade.qty).scaleb(-pair.qty_precision)
    )
