"""What a recording's rows are kept for: trades, candles, book snapshots and coverage, each for a time of its own.

The loader drops a bounded number of the oldest rows in each of its commits, by the journal's time, so that the same
journal drops the same. What is left is as it would be without: a candle is never made anew from some of its trades,
for trades before `from_us` are not taken any more; and a candle whose neighbours go says in its own column whether
it was complete. The newest trade of a symbol stays, and so does the interval of the coverage that goes on.
"""

from collections.abc import Sequence

from msgspec import Struct

from tidelog.batch import BOOK_SNAPSHOTS, CANDLES, COVERAGE, GAPS, TRADES, Drop, Row, Table, Value
from tidelog.errors import ConfigError
from tidelog.market.candles import bucket
from tidelog.market.completeness import told_complete
from tidelog.market.fold import BOOK, TRADE, State, SymbolState
from tidelog.store import Condition, Snapshot

__all__ = ["Expired", "Expiry", "Keep"]

DAY_S = 86_400
KEEP_DAYS_MIN = 2  # the candle of a day is whole, or never will be, a day after its end
STEP_ROWS = 2_000  # of one table and symbol in one commit: some 10 ms; a symbol with more trades in a day is no market
VISITS = 20  # symbols that one commit looks at: each costs a millisecond of reads


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

    @property
    def is_for_ever(self) -> bool:
        return all(getattr(self, name) is None for name in self.__struct_fields__)


class Gone(Struct, frozen=True):
    """Trades of a symbol that go."""

    symbol: str
    from_us: int  # those before this
    count: int


class Expired(Struct):
    """What one commit drops, and what its state has to say of that."""

    drop: list[Drop] = []
    candles: list[Row] = []  # to be replaced, with what they say of being complete: of each key one
    rows: int = 0
    gone: list[Gone] = []

    def note_in(self, state: State) -> None:
        """Let the state be that of the commit that drops all this."""
        for gone in self.gone:
            held = state.symbols[gone.symbol]
            held.from_us = gone.from_us
            if held.trades is not None:
                held.trades -= gone.count

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

    def __init__(self, keep: Keep, source: str, intervals_s: Sequence[int]) -> None:
        self._keep = keep
        self._source = source
        self._intervals_us = [interval_s * 1_000_000 for interval_s in intervals_s]
        self._next = 0

    async def step(self, snapshot: Snapshot, state: State) -> Expired:
        """What to drop now, by a state that is not changed here: a step may be tried again."""
        expired = Expired()
        symbols = list(state.symbols)
        for _ in range(min(VISITS, len(symbols))):
            self._next = (self._next + 1) % len(symbols)
            await self._look_at(snapshot, state, symbols[self._next], expired)
            if expired.rows >= STEP_ROWS:
                break
        if self._keep.coverage is not None:
            through = self._horizon_us(state, self._keep.coverage) - 1
            await self._drop(snapshot, GAPS, {"scope": "connection"}, through, expired)
        expired.keep_dropped()
        return expired

    async def _look_at(self, snapshot: Snapshot, state: State, symbol: str, expired: Expired) -> None:
        keep = self._keep
        held = state.symbols[symbol]
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
                await self._coverage(snapshot, symbol, channel, held, horizon_us, expired)

    @staticmethod
    def _horizon_us(state: State, days: float) -> int:
        return max(0, state.at_us - round(days * DAY_S * 1_000_000))

    async def _drop(
        self, snapshot: Snapshot, table: Table, where: dict[str, Value], through: int, expired: Expired
    ) -> None:
        """The oldest rows, up to STEP_ROWS; no two of them are of one time."""
        time = table.height or table.key[-1]
        conditions: dict[str, Condition] = dict(where)
        rows = await snapshot.select(
            table, scope=self._source, high=through, where=conditions, limit=STEP_ROWS, columns=(time,)
        )
        if rows:
            expired.drop.append(Drop(table, self._source, tuple(where.items()), _int(rows[-1][0])))
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
        end_us = min(bucket(horizon_us, minute_us), bucket(_int(latest[0][0]), minute_us))
        columns = ("time_us", "trade_id")
        rows = await snapshot.select(
            TRADES, scope=self._source, high=end_us - 1, where={"symbol": symbol}, limit=STEP_ROWS, columns=columns
        )
        if not rows:
            return
        if len(rows) == STEP_ROWS:
            first_end_us = bucket(_int(rows[0][0]), minute_us) + minute_us
            end_us = max(bucket(_int(rows[-1][0]), minute_us), first_end_us)
            rows = await snapshot.select(
                TRADES, scope=self._source, high=end_us - 1, where={"symbol": symbol}, columns=columns
            )
        kept = await snapshot.select(
            TRADES, scope=self._source, low=end_us, where={"symbol": symbol}, limit=1, columns=columns
        )
        await self._note(snapshot, symbol, _int(rows[0][0]), _int(kept[0][0]), expired)
        expired.drop.append(Drop(TRADES, self._source, (("symbol", symbol),), end_us - 1))
        numbers = [_int(number) for _, number in rows if number is not None]
        if numbers:  # ids that are missing among those that go
            scope = (("scope", f"trades:{symbol}"),)
            expired.drop.append(Drop(GAPS, self._source, scope, min(max(numbers), _int(kept[0][1])) - 1))
        expired.rows += len(rows)
        expired.gone.append(Gone(symbol, end_us, len(rows)))

    async def _coverage(
        self, snapshot: Snapshot, symbol: str, channel: str, held: SymbolState, horizon_us: int, expired: Expired
    ) -> None:
        where: dict[str, Condition] = {"symbol": symbol, "channel": channel}
        rows = await snapshot.select(
            COVERAGE,
            scope=self._source,
            high=horizon_us - 1,
            where=where,
            limit=STEP_ROWS + 1,
            columns=("since_us", "until_us"),
        )
        old = [row for row in rows[:-1] if _int(row[1]) < horizon_us]  # the last one may be what goes on
        if not old:
            return
        if channel == TRADE and held.unnumbered:
            await self._note(snapshot, symbol, _int(old[0][0]), _int(rows[len(old)][0]), expired)
        identity = (("symbol", symbol), ("channel", channel))
        expired.drop.append(Drop(COVERAGE, self._source, identity, _int(old[-1][0])))
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
            expired.candles += await told_complete(snapshot, self._source, fresh)


def _int(value: Value) -> int:
    assert isinstance(value, int)
    return value
