"""Markets that are not as most: new ones, in which nobody trades yet, thin ones, whose books are empty at times."""

from collections.abc import Mapping
from typing import NamedTuple

from msgspec import Struct

from tidelog.sim.exchange.markets.pairs import Pair


class Nature(Struct, frozen=True):
    """How a market differs from most."""

    levels: int | None = None  # a side; None: as many as others have
    untraded: bool = False  # nobody trades in it, nor has
    shows_no_trades: bool = False  # where there are none, no snapshot of them is sent, not even an empty one
    begins_empty: bool = False  # its book has no level at first
    vacancy: float = 0.0  # the chance, at each moment, that a side or both are emptied for a while


ORDINARY = Nature()


class OddMarket(NamedTuple):
    pair: Pair
    nature: Nature


ODD_MARKETS: Mapping[str, OddMarket] = {
    "new": OddMarket(Pair("AAPLx/USD", "AAPLx/USD", 2, 8, 23_150, 300_000_000), Nature(untraded=True)),
    "unshown": OddMarket(
        Pair("1INCH/USD", "1INCH/USD", 3, 8, 412, 90_000_000_000), Nature(untraded=True, shows_no_trades=True)
    ),
    "empty": OddMarket(
        Pair("DOT28.S/USD", "DOT28.S/USD", 4, 8, 61_230, 5_000_000_000), Nature(begins_empty=True, vacancy=0.1)
    ),
    "vacant": OddMarket(Pair("WIF/USD", "WIF/USD", 4, 5, 23_107, 40_000_000), Nature(vacancy=0.05)),
    "thin": OddMarket(Pair("ETH2.S/ETH", "ETH2.S/ETH", 4, 10, 9_971, 20_000_000_000), Nature(levels=4)),
    "tiny": OddMarket(Pair("SHIB/EUR", "SHIB/EUR", 8, 5, 817, 9_000_000_000_000, 8), Nature()),
    "tinier": OddMarket(Pair("PEPE/USD", "PEPE/USD", 10, 5, 12_004, 800_000_000_000_000, 10), Nature(levels=12)),
}
