"""What a recording of private channels has to tell, against what the exchange knows of its account.

The exchange's account is a sequence of happenings. Of those that are a channel's, a recording tells every one as it
was, or it breaks off: a reconnect, a new run or a resync stands between frames that do not follow on each other, or
right after them. What follows a break begins with a snapshot. Raises `Violation` with the promise that is broken.
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import TypeAlias

from tidelog.market.core import JournalEvent
from tidelog.market.events import Ack, Balances, Disconnected, Executions, Missed, Resync, Started, micros
from tidelog.sim.exchange.markets.account import BALANCE_PRECISION, BEGINNING, Account, Happening, Order
from tidelog.sim.exchange.protocol.v1 import FILLS_SHOWN
from tidelog.sim.oracle.chain import require

Row: TypeAlias = tuple[object, ...]  # what is said of one order, fill or balance; the first says of which

_OF_V1 = {"new": "open", "partially_filled": "open", "filled": "closed"}


class Channel:
    """One channel, as it is told and as it was."""

    def __init__(self, name: str, account: Account, *, bits_flip: bool) -> None:
        """`bits_flip`: private channels have no checksum; what they say was not to be trusted on the way."""
        self.name = name
        self._bits_flip = bits_flip
        told = [(each.time_us, rows) for each in account.happenings if (rows := _rows(name, each))]
        self._times_us = [time_us for time_us, _ in told]
        self._truth = [rows for _, rows in told]
        self._index = {key: nth for nth, rows in enumerate(self._truth) for key, *_ in rows}
        self._assets = tuple(account.balances)
        self._whole = False  # a snapshot has come since the last break
        self._leaving = False  # what comes is of a subscription that is being given up
        self._doubt: str | None = None  # what a break has to follow
        self._sequence = 0
        self._last = -1  # the happening that was told last
        self._snapshot: list[Row] | None = None  # until the update after it says when it was made

    def breaks(self, *, leaving: bool = False) -> None:
        """What comes next does not follow on what came.

        Args:
            leaving: the connection is still there, and brings the rest of what is given up.
        """
        self._whole, self._leaving, self._doubt, self._snapshot = False, leaving, None, None

    def left(self) -> None:
        self._leaving = False

    def take(self, event: Executions | Balances) -> None:
        self._require_no_doubt()
        rows = _told(event)
        before, self._sequence = self._sequence, event.sequence
        if event.snapshot:
            self._whole, self._leaving, self._snapshot = True, False, rows
            return
        nth = next((self._index.get(key, -1) for key, *_ in rows), -1)
        if self._bits_flip and (nth < 0 or rows != self._truth[nth]):
            return
        require(nth >= 0 and rows == self._truth[nth], f"what is told of {self.name} happened so: {rows}")
        if self._whole and event.sequence == before + 1 and self._snapshot is not None:
            as_it_was = sorted(self._snapshot, key=repr) == sorted(self._state(nth), key=repr)
            require(self._bits_flip or as_it_was, f"the snapshot of {self.name} is the account as it was")
        elif not self._leaving and (not self._whole or event.sequence != before + 1 or nth != self._last + 1):
            self._doubt = f"{before} and then {event.sequence}, happenings {self._last} and then {nth}"
        self._last, self._snapshot = nth, None

    def end(self, until_us: int) -> None:
        """The recording ends here. What happened until then was to be told."""
        self._require_no_doubt()
        require(self._whole, f"{self.name} ends with what follows on a snapshot")
        due = sum(1 for time_us in self._times_us if time_us <= until_us)
        require(self._last >= due - 1, f"{self.name} is told up to the end: {self._last} of {due}")

    def _require_no_doubt(self) -> None:
        told = self._bits_flip or self._doubt is None
        require(told, f"what is missing of {self.name} is told by a break: frames {self._doubt}")

    def _state(self, nth: int) -> list[Row]:
        """What a snapshot says that is made before the `nth` happening."""
        before = self._truth[:nth]
        if self.name == "balances":
            balances = dict.fromkeys(self._assets, _decimal(BEGINNING, BALANCE_PRECISION))
            balances |= {str(asset): balance for rows in before for _, asset, _, _, balance, _ in rows}  # type: ignore[misc]
            return [(None, asset, None, None, balance, None) for asset, balance in balances.items()]
        if self.name == "ownTrades":
            return [row for rows in before[-FILLS_SHOWN:] for row in rows]
        order = next(iter(before[-1]), None) if before else None
        shown = []
        if order is not None:
            _, status = order
            shown = [] if status in ("filled", "closed") else [order]
        if self.name == "executions":  # the last fills are asked for, each with what it made of its order
            shown += [row for rows in [rows for rows in before if len(rows) > 1][-FILLS_SHOWN:] for row in rows]
        return shown


def every_happening(
    entries: Iterable[JournalEvent], channels: Sequence[str], account: Account, until_us: int, *, bits_flip: bool
) -> None:
    """A whole journal's entries against the account; `until_us`: what happened up to then was still to be told."""
    told = {name: Channel(name, account, bits_flip=bits_flip) for name in channels}
    for entry in entries:
        match entry.event:
            case Disconnected("closing"):
                pass  # what comes next, if anything does, is another run
            case Started() | Disconnected() | Missed():
                for channel in told.values():
                    channel.breaks()
            case Resync(name):
                told[name].breaks(leaving=True)
            case Ack("unsubscribe", str(name)) if name in told:
                told[name].left()
            case Executions() | Balances():
                told[entry.event.channel].take(entry.event)
    for channel in told.values():
        channel.end(until_us)


def _rows(name: str, happening: Happening) -> list[Row]:
    """What a channel says of a happening: nothing, if that is not its own."""
    order, fill = happening.order, happening.fill
    if name == "balances":
        return [
            (
                entry.ledger_id,
                entry.asset,
                _decimal(entry.amount, BALANCE_PRECISION),
                _decimal(entry.fee, BALANCE_PRECISION),
                _decimal(entry.balance, BALANCE_PRECISION),
                happening.time_us,
            )
            for entry in happening.entries
        ]
    rows: list[Row] = [] if name == "ownTrades" else [_order(order, v1=name == "openOrders")]
    if fill is not None and name != "openOrders":
        pair = order.pair
        price, qty = _decimal(order.price, pair.price_precision), _decimal(fill.qty, pair.qty_precision)
        cost = _decimal(fill.cost, pair.price_precision + pair.qty_precision)
        rows.append((fill.exec_id, order.order_id, pair.symbol, order.side, price, qty, cost, fill.time_us))
    return rows


def _order(order: Order, *, v1: bool) -> Row:
    filled = _decimal(order.filled, order.pair.qty_precision)
    return (order.order_id, filled), _OF_V1[order.status] if v1 else order.status


def _told(event: Executions | Balances) -> list[Row]:
    """The same of what was recorded."""
    if isinstance(event, Balances):
        return [
            (each.ledger_id, each.asset, each.amount, each.fee, each.balance, each.timestamp and micros(each.timestamp))
            for each in event.balances
        ]
    orders: list[Row] = [((each.order_id, each.cum_qty), each.order_status) for each in event.orders]
    return orders + [
        (
            trade.exec_id,
            trade.order_id,
            trade.symbol,
            trade.side,
            trade.price,
            trade.qty,
            trade.cost,
            micros(trade.timestamp),
        )
        for trade in event.trades
    ]


def _decimal(units: int, precision: int) -> Decimal:
    return Decimal(units).scaleb(-precision)
