"""What is traded, and how its numbers are written. All amounts in here are integers in units of 10**-precision."""

from msgspec import Struct


class Pair(Struct, frozen=True):
    """A market. The two protocols write the same price with different decimals, so their checksums differ."""

    symbol: str  # v2's name
    name_v1: str
    price_precision: int
    qty_precision: int
    price: int  # where it starts, in units
    qty: int  # of a typical level, in units
    price_precision_v1: int = 5

    @property
    def base(self) -> str:
        return self.symbol.partition("/")[0]

    @property
    def quote(self) -> str:
        return self.symbol.partition("/")[2]


PAIRS = {
    pair.symbol: pair
    for pair in (
        Pair("BTC/USD", "XBT/USD", 1, 8, 294_302, 80_000_000),
        Pair("ETH/USD", "ETH/USD", 2, 8, 187_240, 1_500_000_000),
        Pair("DOGE/USD", "XDG/USD", 7, 8, 754_320, 500_000_000_000, 7),
        Pair("SOL/USD", "SOL/USD", 2, 8, 2_415_00, 4_000_000_000),
        Pair("ETH/BTC", "ETH/XBT", 5, 8, 63_620, 90_000_000),
    )
}


def number(units: int, precision: int) -> str:
    """The decimal text of an amount, with all its decimals: 3740000 of 8 is 0.03740000."""
    if precision == 0:
        return str(units)
    sign, units = ("-", -units) if units < 0 else ("", units)
    text = f"{units:0{precision + 1}d}"
    return f"{sign}{text[:-precision]}.{text[-precision:]}"
