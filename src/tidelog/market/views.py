"""A book of a core as it is at one moment: immutable, in exact integers or decimals. Pure."""

from decimal import Decimal
from typing import NamedTuple

from msgspec import Struct

from tidelog.market.book.levels import Precision, ScaledLevel
from tidelog.market.core import Core
from tidelog.market.projection.rows import decimal_text


class Quote(NamedTuple):
    """A level as exact decimals, with all that the exchange writes."""

    price: Decimal
    qty: Decimal

    def __str__(self) -> str:
        return f"{self.price:f} x {self.qty:f}"


class BookView(Struct, frozen=True):
    """A book at one moment. `proven` means: the top 10 of each side equalled the exchange's at the last message."""

    symbol: str
    bids: tuple[ScaledLevel, ...]  # best first, in units of the precision
    asks: tuple[ScaledLevel, ...]
    precision: Precision
    proven: bool
    proven_depth: int
    crossed: bool
    mismatches: int
    data_us: int  # when its last message came, Unix time; 0: none on this connection

    @property
    def best_bid(self) -> Quote | None:
        """Price and quantity of the best bid; None if that side is empty."""
        return self._quote(self.bids)

    @property
    def best_ask(self) -> Quote | None:
        """Price and quantity of the best ask; None if that side is empty."""
        return self._quote(self.asks)

    def _quote(self, side: tuple[ScaledLevel, ...]) -> Quote | None:
        if not side:
            return None
        price, qty = side[0]
        return Quote(Decimal(decimal_text(price, self.precision.price)), Decimal(decimal_text(qty, self.precision.qty)))


def view_of(core: Core, symbol: str, levels: int | None = None) -> BookView | None:
    """A book of a core as it is now; None for a symbol whose book is not followed."""
    book = core.books.but_levels(symbol)
    data_us = core.data_us(symbol)
    if book is None or data_us is None:
        return None
    bids, asks = core.books.top(symbol, levels)
    return BookView(
        symbol,
        bids,
        asks,
        book.precision,
        book.proven,
        book.proven_depth,
        bool(bids and asks and bids[0].price >= asks[0].price),
        book.mismatches,
        data_us,
    )
