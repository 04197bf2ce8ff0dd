"""What is known of each symbol of a recording, and the rows that say so: what is covered, and where gaps are. Pure."""

from msgspec.structs import astuple

from tidelog.market.projection.changes import Changes
from tidelog.market.projection.coverage import Interval, transition
from tidelog.market.projection.state import ProjectionState, SymbolState
from tidelog.market.projection.tables import COVERAGE, GAPS
from tidelog.market.projection.trade_ids import Missing

BOOK, TRADE = "book", "trade"  # channels, as coverage names them


class Account:
    """The state that events have led to, and the rows that they have changed since those were last taken."""

    def __init__(self, source: str, state: ProjectionState) -> None:
        self.source = source
        self.state = state
        self.changes = Changes()
        self.refused = 0  # trades and instruments that no row can hold

    def drain(self) -> Changes:
        """The rows that have changed since this was last called."""
        changes, self.changes = self.changes, Changes()
        return changes

    def symbol(self, symbol: str) -> SymbolState:
        """What is known of a symbol, from here on if nothing is."""
        known = self.state.symbols.get(symbol)
        if known is None:
            known = self.state.symbols[symbol] = SymbolState(trades=0)
        return known

    def transition(self, symbol: str, channel: str, state: str, at_us: int, reason: str | None = None) -> None:
        """From `at_us` on a channel of a symbol is in that state of coverage; in the one that it had, it goes on."""
        known = self.symbol(symbol)
        intervals = transition(known.book if channel == BOOK else known.trade, state, at_us, reason)
        for interval in intervals:
            self.put_coverage(symbol, channel, interval)
        if channel == BOOK:
            known.book = intervals[-1]
        else:
            known.trade = intervals[-1]

    def put_coverage(self, symbol: str, channel: str, interval: Interval, closed_us: int | None = None) -> None:
        since_us, until_us, state, reason = astuple(interval)
        row = (self.source, symbol, channel, since_us, until_us, state, reason, _ms(closed_us))
        self.changes.put(COVERAGE, row)

    def put_missing(self, symbol: str, gap: Missing, closed_us: int | None = None) -> None:
        """Trades of a symbol are missing, or, with `closed_us`, were until then."""
        scope = f"trades:{symbol}"
        self.put_gap(scope, gap.first, gap.last, gap.loss.reason, gap.opened_us, closed_us)

    def put_gap(
        self, scope: str, first: int, last: int, reason: str, opened_us: int, closed_us: int | None = None
    ) -> None:
        row = (self.source, scope, first, last, reason, _ms(opened_us), _ms(closed_us))
        self.changes.put(GAPS, row)


def _ms(time_us: int | None) -> int | None:
    return None if time_us is None else time_us // 1000
