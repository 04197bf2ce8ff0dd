"""The account behind the private channels: it places orders, one at a time, and they are filled bite by bite."""

import random
from collections import deque
from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from tidelog.sim.exchange.markets.market import Market, TradeSide
from tidelog.sim.exchange.markets.pairs import Pair

BALANCE_PRECISION = 10
BEGINNING = 10**6 * 10**BALANCE_PRECISION  # of each asset
FEE_PER_MILLE = 2
FILLS_KEPT = 100_000  # and so many happenings: for who compares them
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


class Order(Struct, frozen=True):
    order_id: str
    pair: Pair
    side: TradeSide
    price: int
    qty: int
    filled: int = 0
    status: str = "new"  # new | partially_filled | filled


class Fill(Struct, frozen=True):
    exec_id: str
    trade_id: int
    order: Order
    qty: int
    time_us: int

    @property
    def cost(self) -> int:
        """In units of the price's and the quantity's precisions together."""
        return self.order.price * self.qty

    @property
    def fee(self) -> int:
        return self.cost * FEE_PER_MILLE // 1000


class Entry(Struct, frozen=True):
    """A line of the ledger; amounts in units of 10**-BALANCE_PRECISION."""

    ledger_id: str
    asset: str
    amount: int
    fee: int
    balance: int


class Happening(Struct, frozen=True):
    """What one step did: an order that is new or was filled, the fill, and what it moved."""

    order: Order
    fill: Fill | None
    entries: tuple[Entry, ...]
    time_us: int


class Account:
    def __init__(self, *, seed: int, pairs: Sequence[Pair]) -> None:
        self.balances = {asset: BEGINNING for pair in pairs for asset in (pair.base, pair.quote)}
        self.fills: deque[Fill] = deque(maxlen=FILLS_KEPT)
        self.happenings: deque[Happening] = deque(maxlen=FILLS_KEPT)
        self.open: Order | None = None
        self._rng = random.Random(f"{seed} account")

    def step(self, market: Market, time_us: int) -> Happening:
        happening = self._step(market, time_us)
        self.happenings.append(happening)
        return happening

    def _step(self, market: Market, time_us: int) -> Happening:
        if self.open is None:
            self.open = self._order(market)
            return Happening(self.open, None, (), time_us)
        order = self.open
        left = order.qty - order.filled
        qty = left if self._rng.random() < 0.5 else max(1, left * self._rng.randrange(10, 90) // 100)
        filled = order.filled + qty
        order = replace(order, filled=filled, status="filled" if filled == order.qty else "partially_filled")
        fill = Fill(self._name("T"), self._rng.randrange(10**6, 10**9), order, qty, time_us)
        self.open = None if order.status == "filled" else order
        self.fills.append(fill)
        return Happening(order, fill, self._book(fill), time_us)

    def _order(self, market: Market) -> Order:
        side: TradeSide = "buy" if self._rng.random() < 0.5 else "sell"
        book_side = market.book.bids if side == "buy" else market.book.asks
        price = book_side.levels[book_side.keys[0]].price if book_side.keys else market.pair.price
        return Order(self._name("O"), market.pair, side, price, self._rng.randrange(1, market.pair.qty))

    def _book(self, fill: Fill) -> tuple[Entry, ...]:
        pair, sign = fill.order.pair, 1 if fill.order.side == "buy" else -1
        quote = pair.price_precision + pair.qty_precision
        moved = (
            (pair.base, sign * _scaled(fill.qty, pair.qty_precision), 0),
            (pair.quote, -sign * _scaled(fill.cost, quote), _scaled(fill.fee, quote)),
        )
        entries = []
        for asset, amount, fee in moved:
            self.balances[asset] += amount - fee
            entries.append(Entry(self._name("L"), asset, amount, fee, self.balances[asset]))
        return tuple(entries)

    def _name(self, kind: str) -> str:
        text = "".join(self._rng.choices(_LETTERS, k=16))
        return f"{kind}{text[:5]}-{text[5:10]}-{text[10:]}"


def _scaled(units: int, precision: int) -> int:
    scaled: int = units * 10**BALANCE_PRECISION // 10**precision
    return scaled
