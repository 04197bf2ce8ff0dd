"""Book messages written by hand, in whichever text a test wants."""

import zlib
from collections.abc import Iterable

from msgspec import Struct

from tidelog.market.events import BookDelta, BookSnapshot

Pairs = Iterable[tuple[str, str]]


class Level(Struct, frozen=True):
    price_text: str
    qty_text: str


def levels(pairs: Pairs) -> tuple[Level, ...]:
    return tuple(Level(price, qty) for price, qty in pairs)


def snapshot(bids: Pairs, asks: Pairs, checksum: int | None = None, symbol: str = "BTC/USD") -> BookSnapshot:
    return BookSnapshot(symbol, levels(bids), levels(asks), checksum)


def delta(bids: Pairs, asks: Pairs, checksum: int | None = None, symbol: str = "BTC/USD") -> BookDelta:
    return BookDelta(symbol, levels(bids), levels(asks), checksum)


def crc(asks: Pairs, bids: Pairs) -> int:
    """The exchange's recipe, to the letter, over levels that are best first."""
    text = ""
    for side in (asks, bids):
        for price, qty in list(side)[:10]:
            text += price.replace(".", "").lstrip("0") + qty.replace(".", "").lstrip("0")
    return zlib.crc32(text.encode())
