"""True order books: every level there is, and what of a change a subscriber to some depth is told.

Written apart from `tidelog.market.book.levels`, and as plainly as can be, because it judges that one.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Literal, NamedTuple
from zlib import crc32

from msgspec import Struct

from tidelog.sim.exchange.markets.pairs import Pair

DEPTHS = (10, 25, 100, 500, 1000)
CHECKED = 10  # levels of each side under the checksum

SideName = Literal["bids", "asks"]
Levels = tuple[tuple[int, int], ...]  # price and quantity in units, best first


class Change(NamedTuple):
    """A level as it is from now on; a quantity of 0 removes it."""

    side: SideName
    price: int
    qty: int
    time_us: int
    republished: bool = False  # nothing happened to it, it came back into the window


class Side:
    """One side. A key is the price, negated for bids, so that keys ascend from the best."""

    def __init__(self, name: SideName) -> None:
        self.name: SideName = name
        self.sign = -1 if name == "bids" else 1
        self.keys: list[int] = []  # ascending
        self.levels: dict[int, Change] = {}  # by key

    def put(self, change: Change) -> None:
        key = change.price * self.sign
        if change.qty:
            if key not in self.levels:
                self.keys.insert(bisect_left(self.keys, key), key)
            self.levels[key] = change
        elif key in self.levels:
            del self.keys[bisect_left(self.keys, key)], self.levels[key]

    def best(self, count: int) -> list[Change]:
        return [self.levels[key] for key in self.keys[:count]]

    def edge(self, depth: int) -> int | None:
        """The key of the worst level inside a window of `depth`; None: every level is inside."""
        return self.keys[depth - 1] if len(self.keys) >= depth else None

    def told(self, changes: Sequence[Change], edge_before: int | None, depth: int) -> list[Change]:
        """What a subscriber to `depth` is sent about these changes, in order.

        Nothing is said of a level that falls out of the window: the subscriber cuts. A level that comes
        into it because a better one went is sent as it is, with the time it was last changed.
        """
        edge = self.edge(depth)
        sent: list[Change] = []
        changed: set[int] = set()
        for change in changes:
            key = change.price * self.sign
            changed.add(key)
            limit = edge if key in self.levels else edge_before
            if limit is None or key <= limit:
                sent.append(change)
        if edge_before is not None:
            entered = self.keys[bisect_right(self.keys, edge_before) : depth]
            sent += [self.levels[key]._replace(republished=True) for key in entered if key not in changed]
        return sent


class TrueTop(Struct, frozen=True, gc=False):
    """The top 10 of a book at one moment, in the units in which a protocol writes it."""

    symbol: str
    bids: Levels
    asks: Levels
    checksum: int
    time_us: int


class TrueBook:
    def __init__(self) -> None:
        self.bids = Side("bids")
        self.asks = Side("asks")

    def side(self, name: SideName) -> Side:
        return self.bids if name == "bids" else self.asks

    @property
    def crossed(self) -> bool:
        return bool(self.bids.keys and self.asks.keys) and -self.bids.keys[0] >= self.asks.keys[0]

    def top(self, pair: Pair, price_precision: int, time_us: int) -> TrueTop:
        """The top 10, with prices of so many decimals (not fewer than the pair's)."""
        factor = 10 ** (price_precision - pair.price_precision)
        bids = tuple([(level.price * factor, level.qty) for level in self.bids.best(CHECKED)])
        asks = tuple([(level.price * factor, level.qty) for level in self.asks.best(CHECKED)])
        return TrueTop(pair.symbol, bids, asks, checksum(asks, bids), time_us)


def checksum(asks: Levels, bids: Levels) -> int:
    """The exchange's recipe: without point and leading zeros a number's text is that of its units."""
    return crc32("".join([f"{price}{qty}" for price, qty in asks + bids]).encode())
