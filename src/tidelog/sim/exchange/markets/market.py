"""One market that lives by itself: a true book, trades that eat from it, candles and a ticker of them.

No clock: `step` is told the time. Everything random comes from the seed and the symbol.
"""

import random
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from tidelog.sim.exchange.markets.book import DEPTHS, Change, Side, SideName, TrueBook
from tidelog.sim.exchange.markets.natures import ORDINARY, Nature
from tidelog.sim.exchange.markets.pairs import Pair

INTERVALS = (1, 5, 15, 30, 60, 240, 1440, 10080, 21600)  # minutes
CANDLES_KEPT = 20  # per interval: what a snapshot shows
TRADES_KEPT = 1_000_000  # per market, for a test that compares all of them; some 200 MB when full
TRADES_BEFORE = 60  # made before the start, so that a snapshot of 50 is full
REFILL = 8  # levels added per step at the far end, at most
GAP_MAX = 5  # units of the price between the sides, beyond which it is closed again
LEVELS_MIN = 3  # per side, below which nothing is taken
PRECISION_MAX = 12  # decimals of a price, beyond which it does not become finer
RANK_TYPICAL = 6  # from the top, of the level that something happens to
MINUTE_US = 60_000_000
VACANT = (1, 12)  # moments for which a side is empty

TradeSide = Literal["buy", "sell"]


class TrueTrade(Struct, frozen=True, gc=False):
    symbol: str
    trade_id: int
    side: TradeSide  # of the taker
    price: int
    qty: int
    ord_type: Literal["limit", "market"]
    time_us: int


class TrueCandle(Struct):
    begin_us: int
    open: int
    high: int
    low: int
    close: int
    volume: int = 0
    notional: int = 0  # the sum of price times quantity
    trades: int = 0

    @property
    def vwap(self) -> int:
        return self.notional // self.volume if self.volume else self.close

    def add(self, trade: TrueTrade) -> None:
        self.high, self.low = max(self.high, trade.price), min(self.low, trade.price)
        self.close = trade.price
        self.volume += trade.qty
        self.notional += trade.price * trade.qty
        self.trades += 1


class Step(Struct, frozen=True):
    """What happened in one moment."""

    market: "Market"
    time_us: int
    changes: Mapping[SideName, list[Change]]
    trades: tuple[TrueTrade, ...]
    edges: Mapping[tuple[SideName, int], int | None]  # of the windows, before
    touch_moved: bool

    def told(self, side: SideName, depth: int) -> list[Change]:
        """The entries of the frame for a subscriber to `depth`."""
        return self.market.book.side(side).told(self.changes[side], self.edges[side, depth], depth)


class Market:
    """The truth about one symbol. `levels` is how many a side has, where the trade allows."""

    def __init__(self, pair: Pair, *, seed: int, start_us: int, levels: int, nature: Nature = ORDINARY) -> None:
        self.pair = pair
        self.nature = nature
        self.book = TrueBook()
        self.trades: deque[TrueTrade] = deque(maxlen=TRADES_KEPT)
        self.candles: dict[int, deque[TrueCandle]] = {each: deque(maxlen=CANDLES_KEPT) for each in INTERVALS}
        self.next_trade_id = 1
        self.status = "online"  # as the instrument channel says it
        self._finer = False  # the next step begins with one more decimal
        self._levels = levels if nature.levels is None else nature.levels
        self._vacant: dict[SideName, int] = {}  # empty sides, each for so many moments
        self._rng = random.Random(f"{seed} market {pair.symbol}")
        self._time_us = start_us
        self._changes: dict[SideName, list[Change]] = {"bids": [], "asks": []}
        self._made: list[TrueTrade] = []
        for side in (self.book.bids, self.book.asks):
            if nature.begins_empty:
                self._vacant[side.name] = self._rng.randint(*VACANT)
            else:
                self._fill(side, pair.price if side is self.book.bids else pair.price + 1)
        self.day = TrueCandle(start_us, pair.price, pair.price, pair.price, pair.price)
        for nth in range(0 if nature.begins_empty else TRADES_BEFORE, 0, -1):
            self._time_us = start_us - nth * 1_000_000
            self._trade()

    def step(self, time_us: int, disturb: Iterable[Callable[["Market"], None]] = ()) -> Step:
        """Let something happen; `disturb` are faults, which then change the market as well."""
        self._time_us = time_us
        if self._finer:
            self._refine()
        self._changes, self._made = {"bids": [], "asks": []}, []
        sides = (self.book.bids, self.book.asks)
        edges = {(side.name, depth): side.edge(depth) for side in sides for depth in DEPTHS}
        tops = [side.best(1) for side in sides]
        if self._lacks_a_side():
            moved = tops != [side.best(1) for side in sides]
            return Step(self, time_us, self._changes, (), edges, moved)
        self._uncross()
        for _ in range(2 if self._rng.random() < 0.25 else 1):
            self._act()
        if self._gap() > GAP_MAX:
            self._insert_inside(self.book.bids if self._rng.random() < 0.5 else self.book.asks)
        for side in sides:
            self._refill(side, min(REFILL, self._levels - len(side.keys)))
            if len(side.keys) > self._levels:
                self.put(side.name, side.levels[side.keys[-1]].price, 0)
        for fault in disturb:
            fault(self)
        moved = tops != [side.best(1) for side in sides]
        return Step(self, time_us, self._changes, tuple(self._made), edges, moved)

    def put(self, side: SideName, price: int, qty: int) -> None:
        """Set a level, 0 removes it, and tell everybody."""
        change = Change(side, price, qty, self._time_us)
        self.book.side(side).put(change)
        self._changes[side].append(change)

    def republish(self, level: Change) -> None:
        """Tell of a level to which nothing happened."""
        self._changes[level.side].append(level._replace(republished=True))

    @property
    def quoted(self) -> bool:
        """Whether there is a price to buy, one to sell, and one at which somebody did."""
        return bool(self.book.bids.keys and self.book.asks.keys and self.trades)

    def _lacks_a_side(self) -> bool:
        """Let empty sides come back in time, empty some now and then, and change what is left meanwhile."""
        vacancy = self.nature.vacancy
        if not self._vacant and vacancy and self._rng.random() < vacancy:
            for side in self._rng.choice(((self.book.bids,), (self.book.asks,), (self.book.bids, self.book.asks))):
                self._vacant[side.name] = self._rng.randint(*VACANT)
                for level in side.best(len(side.keys)):
                    self.put(side.name, level.price, 0)
            return True
        for name, moments in list(self._vacant.items()):
            self._vacant[name] = moments - 1
            if moments == 0:
                del self._vacant[name]
                self._come_back(self.book.side(name))
        for side in (self.book.bids, self.book.asks):
            if self._vacant and side.keys:
                self.put(side.name, self._some_level(side).price, self.some_qty())
        return bool(self._vacant)

    def _come_back(self, side: Side) -> None:
        other = self.book.asks if side is self.book.bids else self.book.bids
        self._fill(side, self.pair.price if not other.keys else other.levels[other.keys[0]].price + side.sign)

    def _fill(self, side: Side, price: int) -> None:
        self.put(side.name, price, self.some_qty())
        self._refill(side, self._levels)

    def refine(self) -> None:
        """From the next step on prices have one more decimal. Nothing is sent because of it."""
        self._finer = self.pair.price_precision < PRECISION_MAX

    def _refine(self) -> None:
        self._finer = False
        pair = self.pair
        self.pair = replace(
            pair,
            price_precision=pair.price_precision + 1,
            price_precision_v1=pair.price_precision_v1 + 1,
            price=pair.price * 10,
        )
        for side in (self.book.bids, self.book.asks):
            side.levels = {key * 10: level._replace(price=level.price * 10) for key, level in side.levels.items()}
            side.keys = [key * 10 for key in side.keys]
        self.trades = deque([replace(trade, price=trade.price * 10) for trade in self.trades], maxlen=TRADES_KEPT)
        for candle in {id(one): one for each in (*self.candles.values(), (self.day,)) for one in each}.values():
            candle.open, candle.high, candle.low = candle.open * 10, candle.high * 10, candle.low * 10
            candle.close, candle.notional = candle.close * 10, candle.notional * 10

    def some_qty(self) -> int:
        return int(self._rng.expovariate(1 / self.pair.qty)) + 1

    def _act(self) -> None:
        kind = self._rng.random()
        side = self.book.bids if self._rng.random() < 0.5 else self.book.asks
        if kind < 0.15:
            self._trade()
        elif kind < 0.40:
            self._insert(side)
        else:
            level = self._some_level(side)
            gone = kind < 0.60 and len(side.keys) > LEVELS_MIN
            self.put(side.name, level.price, 0 if gone else self.some_qty())

    def _some_level(self, side: Side) -> Change:
        rank = min(int(self._rng.expovariate(1 / RANK_TYPICAL)), len(side.keys) - 1)
        return side.levels[side.keys[rank]]

    def _insert(self, side: Side) -> None:
        other = self.book.asks if side is self.book.bids else self.book.bids
        key = side.keys[0] - 2 + int(self._rng.expovariate(1 / (2 * RANK_TYPICAL)))
        if key + other.keys[0] > 0 and key * side.sign > 0:  # it neither meets the other side nor is free
            self.put(side.name, key * side.sign, self.some_qty())

    def _gap(self) -> int:
        """How far the best bid lies below the best ask."""
        return self.book.bids.keys[0] + self.book.asks.keys[0]

    def _insert_inside(self, side: Side) -> None:
        """Somebody betters a best price from which trades have eaten, or the sides would drift apart."""
        key = side.keys[0] - self._rng.randrange(1, self._gap())
        if key * side.sign > 0:
            self.put(side.name, key * side.sign, self.some_qty())

    def _refill(self, side: Side, count: int) -> None:
        for _ in range(count):
            price = side.levels[side.keys[-1]].price + side.sign * (1 + int(self._rng.expovariate(1 / 2)))
            if price > 0:
                self.put(side.name, price, self.some_qty())

    def _uncross(self) -> None:
        bids = self.book.bids
        while self.book.crossed and len(bids.keys) > 1:
            self.put("bids", bids.levels[bids.keys[0]].price, 0)

    def _trade(self) -> None:
        """A taker eats from the top, in one to three bites, which may reach the next level."""
        if self.nature.untraded:
            return
        taker: TradeSide = "buy" if self._rng.random() < 0.5 else "sell"
        side = self.book.asks if taker == "buy" else self.book.bids
        kind: Literal["limit", "market"] = "market" if self._rng.random() < 0.4 else "limit"
        for _ in range(self._rng.choice((1, 1, 1, 2, 3))):
            level = side.levels[side.keys[0]]
            whole = self._rng.random() < 0.3 and len(side.keys) > LEVELS_MIN
            qty = level.qty if whole else max(1, level.qty * self._rng.randrange(1, 90) // 100)
            if level.qty <= qty and len(side.keys) <= LEVELS_MIN:
                return
            self.put(side.name, level.price, level.qty - qty)
            trade = TrueTrade(self.pair.symbol, self.next_trade_id, taker, level.price, qty, kind, self._time_us)
            self.next_trade_id += 1
            self._made.append(trade)
            self._record(trade)

    def repeat_trade(self, count: int) -> None:
        """Let the last trade of this step happen so many times more, if there was one."""
        if self._made:
            for _ in range(count):
                trade = replace(self._made[-1], trade_id=self.next_trade_id)
                self.next_trade_id += 1
                self._made.append(trade)
                self._record(trade)

    def _record(self, trade: TrueTrade) -> None:
        self.trades.append(trade)
        self.day.add(trade)
        for interval, candles in self.candles.items():
            begin_us = trade.time_us // (interval * MINUTE_US) * interval * MINUTE_US
            if not candles or candles[-1].begin_us != begin_us:
                candles.append(TrueCandle(begin_us, trade.price, trade.price, trade.price, trade.price))
            candles[-1].add(trade)
