"""What a recording's rows are kept for: trades, candles, book snapshots and coverage, each for a time of its own.

The loader drops a bounded number of the oldest rows in each of its commits, by the journal's time, so that the same
journal drops the same. The rest is as it would be without: a candle is never computed again from some of its trades,
for trades before `from_us` are not stored any more; and a candle whose neighbours are dropped says in its own column
whether it was complete. The newest trade of a symbol stays, and so does the current interval of the coverage.
"""

from collections.abc import Sequence

from msgspec import Struct

from tidelog.batch import Drop, Row, Table, Value
from tidelog.errors import ConfigError
from tidelog.market.load.completeness import with_completeness
from tidelog.market.projection.account import BOOK, TRADE
from tidelog.market.projection.candles import bucket
from tidelog.market.projection.projection import CONNECTION
from tidelog.market.projection.state import ProjectionState, SymbolState
from tidelog.market.projection.tables import BOOK_SNAPSHOTS, CANDLES, COVERAGE, GAPS, TRADES
from tidelog.store import Condition, Snapshot

__all__ = ["Expired", "Expiry", "Keep"]

DAY_S = 86_400
KEEP_DAYS_MIN = 2  # the candle of a day is whole, or never will be, a day after its end
KEEP_DAYS_MAX = 1_000_000  # microseconds of more are soon no number of 64 bits


class ExpiryLimits(Struct, frozen=True):
    """How much one commit drops."""

    step_rows: int = 2_000  # of one table and symbol: some 10 ms; a day that has more goes in several commits
    visits: int = 20  # symbols that one commit looks at: each costs a millisecond of reads


LIMITS = ExpiryLimits()


class Keep(Struct, frozen=True):
    """For how many days rows are kept; None: for ever."""

    trades: float | None = None
    candles: float | None = None
    books: float | None = None
    coverage: float | None = None

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            days = getattr(self, name)
            if days is not None and not days >= KEEP_DAYS_MIN:
                raise ConfigError(f"{name} are kept for {days:g} days: give {KEEP_DAYS_MIN} or more")
            if days is not None and days > KEEP_DAYS_MAX:
                raise ConfigError(f"{name} are kept for {days:g} days: give {KEEP_DAYS_MAX} or less")

    @property
    def is_for_ever(self) -> bool:
        return all(getattr(self, name) is None for name in self.__struct_fields__)


class DroppedTrades(Struct, frozen=True):
    """Trades of a symbol that go."""

    symbol: str
    from_us: int  # those before this
    count: int


class Expired(Struct):
    """What one commit drops, and what its state has to say of that."""

    drop: list[Drop] = []
    candles: list[Row] = []  # to be replaced, with what they say of being complete: of each key one
    rows: int = 0
    gone: list[DroppedTrades] = []

    def note_in(self, state: ProjectionState) -> None:
        """Let the state be that of the commit that drops all this."""
        for gone in self.gone:
            symbol_state = state.symbols[gone.symbol]
            symbol_state.from_us = gone.from_us
            if symbol_state.trades is not None:
                symbol_state.trades -= gone.count

    def keep_dropped(self) -> None:
        """Replace no candle that goes in the same commit: a commit drops first."""
        through = {drop.where: drop.through for drop in self.drop if drop.table is CANDLES}
        symbol, interval, begin = (CANDLES.index(name) for name in ("symbol", "interval_s", "time_us"))
        self.candles = [
            row
            for row in self.candles
            if _int(row[begin]) > through.get((("symbol", row[symbol]), ("interval_s", row[interval])), -1)
        ]


class Expiry:
    """Decides what is old. `_next` is the symbol to look at next: they take turns."""

    def __init__(
        self,
        keep: Keep,
        source: str,
        intervals_s: Sequence[int],
        limits: ExpiryLimits = LIMITS,
        *,
        connection: str = CONNECTION,
    ) -> None:
        self._connection = connection
        self._limits = limits
        self._keep = keep
        self._source = source
        self._intervals_us = [interval_s * 1_000_000 for interval_s in intervals_s]
        self._next = 0

    async def step(self, snapshot: Snapshot, state: ProjectionState) -> Expired:
        """What to drop now, by a state that is not changed here: a step may be tried again."""
        expired = Expired()
        symbols = list(state.symbols)
        for _ in range(min(self._limits.visits, len(symbols))):
            self._next = (self._next + 1) % len(symbols)
            await self._look_at(snapshot, state, symbols[self._next], expired)
            if expired.rows >= self._limits.step_rows:
                break
        if self._keep.coverage is not None:
            through = self._horizon_us(state, self._keep.coverage) - 1
            await self._drop(snapshot, GAPS, {"scope": self._connection}, through, expired)
        expired.keep_dropped()
        return expired

    async def _look_at(self, snapshot: Snapshot, state: ProjectionState, symbol: str, expired: Expired) -> None:
        keep = self._keep
        symbol_state = state.symbols[symbol]
        if keep.trades is not None:
            await self._trades(snapshot, symbol, self._horizon_us(state, keep.trades), expired)
        if keep.candles is not None and self._intervals_us:
            through = bucket(self._horizon_us(state, keep.candles), self._intervals_us[-1]) - 1
            for interval_us in self._intervals_us:
                where: dict[str, Value] = {"symbol": symbol, "interval_s": interval_us // 1_000_000}
                await self._drop(snapshot, CANDLES, where, through, expired)
        if keep.books is not None:
            through = self._horizon_us(state, keep.books) - 1
            await self._drop(snapshot, BOOK_SNAPSHOTS, {"symbol": symbol}, through, expired)
        if keep.coverage is not None:
            horizon_us = self._horizon_us(state, keep.coverage)
            for channel in (BOOK, TRADE):
                await self._coverage(snapshot, symbol, channel, symbol_state, horizon_us, expired)

    @staticmethod
    def _horizon_us(state: ProjectionState, days: float) -> int:
        return max(0, state.at_us - round(days * DAY_S * 1_000_000))

    async def _drop(
        self, snapshot: Snapshot, table: Table, where: dict[str, Value], through: int, expired: Expired
    ) -> None:
        """The oldest rows, up to `step_rows`; no two of them are of one time."""
        time = table.height or table.key[-1]
        conditions: dict[str, Condition] = dict(where)
        rows = await snapshot.select(
            table, scope=self._source, high=through, where=conditions, limit=self._limits.step_rows, columns=(time,)
        )
        if rows:
            (last,) = rows[-1]
            expired.drop.append(Drop(table, self._source, tuple(where.items()), _int(last)))
            expired.rows += len(rows)

    async def _trades(self, snapshot: Snapshot, symbol: str, horizon_us: int, expired: Expired) -> None:
        """Whole minutes, the oldest ones; at least one, however many trades it has."""
        minute_us = self._intervals_us[0] if self._intervals_us else 1
        latest = await snapshot.select(
            TRADES,
            scope=self._source,
            where={"symbol": symbol},
            descending=True,
            limit=1,
            columns=("time_us",),
        )
        if not latest:
            return
        [(latest_us,)] = latest
        end_us = min(bucket(horizon_us, minute_us), bucket(_int(latest_us), minute_us))
        columns = ("time_us", "trade_id")
        rows = await snapshot.select(
            TRADES,
            scope=self._source,
            high=end_us - 1,
            where={"symbol": symbol},
            limit=self._limits.step_rows,
            columns=columns,
        )
        if not rows:
            return
        if len(rows) == self._limits.step_rows:
            (first_us, _), (last_us, _) = rows[0], rows[-1]
            first_end_us = bucket(_int(first_us), minute_us) + minute_us
            end_us = max(bucket(_int(last_us), minute_us), first_end_us)
            rows = await snapshot.select(
                TRADES, scope=self._source, high=end_us - 1, where={"symbol": symbol}, columns=columns
            )
        [(kept_us, kept_number)] = await snapshot.select(
            TRADES, scope=self._source, low=end_us, where={"symbol": symbol}, limit=1, columns=columns
        )
        first_us, _ = rows[0]
        await self._note(snapshot, symbol, _int(first_us), _int(kept_us), expired)
        expired.drop.append(Drop(TRADES, self._source, (("symbol", symbol),), end_us - 1))
        numbers = [_int(number) for _, number in rows if number is not None]
        if numbers:  # ids that are missing among those that go
            scope = (("scope", f"trades:{symbol}"),)
            expired.drop.append(Drop(GAPS, self._source, scope, min(max(numbers), _int(kept_number)) - 1))
        expired.rows += len(rows)
        expired.gone.append(DroppedTrades(symbol, end_us, len(rows)))

    async def _coverage(
        self,
        snapshot: Snapshot,
        symbol: str,
        channel: str,
        symbol_state: SymbolState,
        horizon_us: int,
        expired: Expired,
    ) -> None:
        where: dict[str, Condition] = {"symbol": symbol, "channel": channel}
        rows = await snapshot.select(
            COVERAGE,
            scope=self._source,
            high=horizon_us - 1,
            where=where,
            limit=self._limits.step_rows + 1,
            columns=("since_us", "until_us"),
        )
        # the last one may still be open
        old = [_int(since_us) for since_us, until_us in rows[:-1] if _int(until_us) < horizon_us]
        if not old:
            return
        if channel == TRADE and symbol_state.unnumbered:
            next_us, _ = rows[len(old)]
            await self._note(snapshot, symbol, old[0], _int(next_us), expired)
        identity = (("symbol", symbol), ("channel", channel))
        expired.drop.append(Drop(COVERAGE, self._source, identity, old[-1]))
        expired.rows += len(old)

    async def _note(self, snapshot: Snapshot, symbol: str, low_us: int, high_us: int, expired: Expired) -> None:
        """Let the candles between these times say whether they are complete, while that can be seen."""
        for interval_us in self._intervals_us:
            where: dict[str, Condition] = {
                "symbol": symbol,
                "interval_s": interval_us // 1_000_000,
                "complete": None,
            }
            low = bucket(low_us, interval_us)
            candles = await snapshot.select(CANDLES, scope=self._source, low=low, high=high_us, where=where)
            known = {row[: len(CANDLES.key)] for row in expired.candles}
            fresh = [row for row in candles if row[: len(CANDLES.key)] not in known]
            expired.candles += await with_completeness(snapshot, self._source, fresh)


def _int(value: Value) -> int:
    assert isinstance(value, int)
    return value
