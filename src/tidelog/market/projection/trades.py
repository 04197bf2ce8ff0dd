"""The rows of trades, and what is known to be missing of them. Pure."""

from collections.abc import Iterable
from operator import attrgetter

from msgspec.structs import replace

from tidelog.batch import INT_MAX, Row
from tidelog.errors import ConfigError
from tidelog.market.book.lending import Prints
from tidelog.market.events import EventId, Trade, micros
from tidelog.market.projection.account import TRADE, Account
from tidelog.market.projection.coverage import GAP, PROVEN, UNPROVEN, Interval, loss_between
from tidelog.market.projection.ordinals import number_trades
from tidelog.market.projection.rows import trade_row
from tidelog.market.projection.tables import TRADES
from tidelog.market.projection.trade_ids import add_ids


class TradeRows:
    """Takes trades of one symbol after the other into an account."""

    def __init__(self, account: Account) -> None:
        self._account = account

    def apply(self, symbol: str, trades: list[Trade], id_: EventId, at_us: int) -> None:
        """Take the trades of a frame.

        Raises:
            ConfigError: they come with ids, and before they came without, or the other way.
        """
        numbered = [trade for trade in trades if trade.trade_id is not None]
        known = self._account.symbol(symbol)
        if (numbered and known.unnumbered) or (len(numbered) < len(trades) and known.ids is not None):
            raise ConfigError(
                f"trades of {symbol} come with ids in one of Kraken's protocols and without in the other: "
                f"{self._account.source} holds those of the other one, give this recording a name of its own"
            )
        if numbered:
            self._apply_numbered(symbol, numbered, id_, at_us)
        else:
            self._apply_unnumbered(symbol, trades, id_, at_us)

    def take(self, symbol: str, frames: list[Prints], run: int) -> None:
        """Take frames of trades, of which the compiled core has seen that the ids, if there are any, follow on.

        So no gap begins or ends with them, and what is covered goes on as it was.
        """
        known = self._account.symbol(symbol)
        interval = known.trade
        assert interval is not None
        for _, seq, at_us, trades in frames:
            if known.ids is None:
                ordinals: Iterable[int | None] = number_trades(known, [trade.time_us for trade in trades])
            else:
                trades.sort(key=attrgetter("trade_id"))
                ordinals = [trade.trade_id for trade in trades]
            rows = [
                (
                    self._account.source,
                    symbol,
                    trade.time_us,
                    ordinal,
                    trade.price,
                    trade.qty,
                    "buy" if trade.is_buy else "sell",
                    trade.ord_type,
                    trade.price_scale,
                    trade.qty_scale,
                    trade.trade_id,
                    run,
                    seq,
                    at_us,
                )
                for trade, ordinal in zip(trades, ordinals, strict=True)
                if trade.time_us >= known.from_us
            ]
            if known.ids is None:
                for row in rows:
                    self._account.changes.put(TRADES, row)
            else:
                self._account.changes.numbered += rows
        if known.ids is not None:
            last = frames[-1].trades[-1].trade_id
            assert last is not None
            known.ids = replace(known.ids, last=last)
        self._account.transition(symbol, TRADE, interval.state, frames[-1].at_us, interval.reason)

    def _apply_numbered(self, symbol: str, trades: list[Trade], id_: EventId, at_us: int) -> None:
        rows: dict[int, Row] = {}
        again: list[Row] = []
        for trade in trades:
            number = trade.trade_id
            row = trade_row(self._account.source, trade, 0, id_, at_us)
            if row is None or number is None or not 0 <= number <= INT_MAX:
                self._account.refused += 1  # its id is missing then, and the gap says so
            elif rows.setdefault(number, row) is not row:
                again.append(row)
        if not rows:
            return
        known = self._account.symbol(symbol)
        added = add_ids(known.ids, rows, at_us, loss_between(known.trade, at_us))
        known.ids = added.ids
        self._account.changes.numbered += [
            rows[number] for number in sorted(added.new) if _time_us(rows[number]) >= known.from_us
        ]
        again += [row for number, row in rows.items() if number not in added.new]
        self._account.changes.repeated += [row for row in again if _time_us(row) >= known.from_us]
        for gap in added.missing:
            self._account.put_missing(symbol, gap)
        for gap in added.filled:
            self._account.put_missing(symbol, gap, at_us)
        if added.opened and (known.trade is None or known.trade.state != GAP):
            self._account.transition(symbol, TRADE, GAP, at_us, "trade_id")
        repaired = {gap.loss for gap in added.filled}
        if known.trade is not None and known.trade.state == GAP:
            repaired.add(loss_between(known.trade, at_us))
        self._account.transition(symbol, TRADE, PROVEN, at_us)
        for loss in repaired - added.unrepaired:
            self._account.put_coverage(symbol, TRADE, Interval(loss.since_us, loss.until_us, GAP, loss.reason), at_us)

    def _apply_unnumbered(self, symbol: str, trades: list[Trade], id_: EventId, at_us: int) -> None:
        account, known = self._account, self._account.symbol(symbol)
        known.unnumbered = True
        times = [micros(trade.timestamp) for trade in trades]
        for trade, time_us, ordinal in zip(trades, times, number_trades(known, times), strict=True):
            row = trade_row(account.source, trade, ordinal, id_, at_us)
            if row is None or time_us >= known.from_us:
                account.refused += not account.changes.put(TRADES, row)
        account.transition(symbol, TRADE, UNPROVEN, at_us, "no_trade_ids")


def _time_us(trade: Row) -> int:
    time_us = trade[TRADES.index("time_us")]
    assert isinstance(time_us, int)
    return time_us
