"""Books kept apart from the engine's: plain dictionaries of levels, and the exchange's checksum of them."""

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from zlib import crc32

from tidelog.sim.oracle.apart.raw_frames import BookPart, Level

CHECKED = 10  # levels of each side that a checksum is over

# What a message has proved of a book, or why it has not.
MATCHED, MISMATCHED, UNCHECKED, OUTDATED, REFUSED = "matched", "mismatched", "unchecked", "outdated", "refused"


class RawBook:
    """One symbol's. `ready`: there was a snapshot, and nothing that could not be applied since."""

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.latest_us: int | None = None  # the exchange's time in the messages so far
        self.clear()

    def clear(self) -> None:
        self.ready = False
        self._start(0, 0)

    def begin(self) -> None:
        """It is subscribed again, and its next snapshot may have any time."""
        self.clear()
        self.latest_us = None

    def _start(self, price_scale: int, qty_scale: int) -> None:
        self.scales = price_scale, qty_scale
        self._bids: dict[int, int] = {}
        self._asks: dict[int, int] = {}

    @property
    def bids(self) -> list[tuple[int, int]]:
        """Price and quantity, best first, in units of the scales."""
        return sorted(self._bids.items(), reverse=True)

    @property
    def asks(self) -> list[tuple[int, int]]:
        return sorted(self._asks.items())

    @property
    def crossed(self) -> bool:
        return bool(self._bids and self._asks) and max(self._bids) >= min(self._asks)

    def checksum(self) -> int:
        """Asks from the best up, then bids from the best down: the digits of price and quantity, run together."""
        levels = self.asks[:CHECKED] + self.bids[:CHECKED]
        return crc32("".join(f"{price}{qty}" for price, qty in levels).encode())

    def apply(self, part: BookPart) -> str:
        """Take a message in; what it has proved."""
        late = part.time_us is not None and self.latest_us is not None and part.time_us < self.latest_us
        if part.time_us is not None and not late:
            self.latest_us = part.time_us
        try:
            self._take(part)
        except (ValueError, InvalidOperation):
            self.clear()
            return REFUSED
        if late:
            return OUTDATED
        if part.checksum is None:
            return UNCHECKED
        return MATCHED if part.checksum == self.checksum() else MISMATCHED

    def _take(self, part: BookPart) -> None:
        written = tuple(max((_decimals(level[i]) for level in (*part.bids, *part.asks)), default=0) for i in (0, 1))
        if part.snapshot:
            self._start(*written)
            self.ready = True
        elif not self.ready:
            raise ValueError("no snapshot came before")
        elif not self._bids and not self._asks:
            finer = max(self.scales[0], written[0]), max(self.scales[1], written[1])
            if finer != self.scales:
                self._start(*finer)
        self._put(self._bids, part.bids, best=max)
        self._put(self._asks, part.asks, best=min)

    def _put(self, side: dict[int, int], levels: Sequence[Level], *, best: object) -> None:
        for price_text, qty_text in levels:
            price, qty = _units(price_text, self.scales[0]), _units(qty_text, self.scales[1])
            if price == 0:
                raise ValueError("a level has a price")
            if qty:
                side[price] = qty
            else:
                side.pop(price, None)
        kept = sorted(side, reverse=best is max)[: self.depth]
        for price in side.keys() - set(kept):
            del side[price]


def _decimals(text: str) -> int:
    exponent = Decimal(text).as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def _units(text: str, scale: int) -> int:
    number = Decimal(text)
    if number < 0 or _decimals(text) > scale:
        raise ValueError(f"{text} is no number of {scale} decimals")
    return int(number.scaleb(scale))
