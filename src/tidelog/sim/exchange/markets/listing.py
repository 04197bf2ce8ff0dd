"""A whole exchange by a number: as many markets as are asked for, each with its own prices, depth and pace.

The first are those of `PAIRS`; the others are drawn. Paces reach from twenty updates a second to one in ten minutes,
and most markets are quiet, as on the real exchange: of 500 some 400 have an update every 40 seconds or more rarely.
"""

import random
from collections.abc import Mapping, Sequence

from msgspec import Struct

from tidelog.sim.exchange.markets.pairs import PAIRS, Pair
from tidelog.sim.exchange.markets.rhythm import Rhythm

MARKETS_MAX = 1_500  # the real exchange lists about as many
FASTEST_US, SLOWEST_US = 50_000, 600_000_000  # mean pauses
SPREAD = 0.2  # exponent of a market's rank: a fifth of the markets is faster than one update in 40 s
BURST_MAX = 0.05  # the chance of a burst at each moment, at most
DEEP, THIN = 300, 4  # levels a side of the fastest and of the slowest market
QUOTES = ("USD", "EUR", "BTC", "USDT", "GBP")
_BASES = """
BTC ETH DOGE SOL XRP ADA DOT LTC BCH LINK MATIC AVAX ATOM UNI AAVE ALGO XLM ETC FIL TRX EOS XMR ZEC DASH SHIB PEPE
BONK WIF FLOKI APE SAND MANA AXS GALA ENJ CHZ BAT ZRX SNX COMP MKR CRV YFI SUSHI LRC OMG REN KNC BAL ANKR OXT STORJ
ICX KAVA KSM NANO OCEAN PAXG QTUM REP SC WAVES XTZ GNO MLN EWT FLOW GRT INJ KAR KEEP LPT MINA MIR MOVR PERP PHA POWR
RARI RAY SDN SRM TBTC WBTC ACA ACH AGLD ALICE APT ARB ARPA ASTR AUDIO BADGER BAND BICO BIT BLUR BLZ BNC BNT BOND BSX
CELR CFG CQT CTSI CVX DENT DYDX ENS FET FIDA FIS FORTH FTM FXS GAL GHST GLMR GMX GST GTC HFT ICP IDEX IMX INTR JASMY
JUNO KILT KINT KP3R LCX LDO LUNA2 MASK MC MNGO MULTI MXC NEAR NMR NODL NYM OGN OP ORCA OXY PLA POLIS POLS PSTAKE QNT
RAD RBC REQ RLC RNDR ROOK RPL RUNE SAMO SBR SPELL STEP STG STX SUI SUPER SYN T TEER TIA TLM TOKE TVK UMA UNFI UST
"""  # assets that the real exchange has listed
RENAMED_V1 = {"BTC": "XBT", "DOGE": "XDG"}


class Listing(Struct, frozen=True):
    """Markets, their paces, and how many levels a side of each book has."""

    pairs: Sequence[Pair]
    rhythms: Mapping[str, Rhythm]
    levels: Mapping[str, int]


def listing(count: int, *, seed: int = 0, fastest_us: int = FASTEST_US) -> Listing:
    """So many markets, at most `MARKETS_MAX`; the first are the fastest."""
    rng = random.Random(f"{seed} listing")
    pairs = [*PAIRS.values()][:count]
    known = {pair.symbol for pair in pairs}
    names = [f"{base}/{quote}" for quote in QUOTES for base in _BASES.split() if base != quote]
    names += [f"TOKEN{number}/{QUOTES[number % len(QUOTES)]}" for number in range(count)]
    for symbol in names:
        if len(pairs) >= count:
            break
        if symbol not in known:
            pairs.append(_pair(symbol, rng))
    rhythms: dict[str, Rhythm] = {}
    levels: dict[str, int] = {}
    for rank, pair in enumerate(pairs):
        share = (rank / max(1, len(pairs) - 1)) ** SPREAD  # 0 is the fastest, 1 the slowest
        every_us = round(fastest_us * (SLOWEST_US / fastest_us) ** share)
        rhythms[pair.symbol] = Rhythm(every_us, round(rng.random() * BURST_MAX, 3))
        levels[pair.symbol] = max(THIN, round(DEEP * (THIN / DEEP) ** share * rng.uniform(0.5, 2.0)))
    return Listing(pairs, rhythms, levels)


def _pair(symbol: str, rng: random.Random) -> Pair:
    base, _, quote = symbol.partition("/")
    name_v1 = f"{RENAMED_V1.get(base, base)}/{RENAMED_V1.get(quote, quote)}"
    precision = rng.choice((1, 2, 2, 3, 3, 4, 4, 4, 5, 5, 6, 7, 8, 9))
    price = rng.randrange(3_000, 900_000)
    qty_precision = rng.choice((8, 8, 8, 8, 5, 2))
    qty = max(2, round(10 ** rng.uniform(1.5, 4.5) * 10 ** (qty_precision - 2)))
    return Pair(symbol, name_v1, precision, qty_precision, price, qty, max(5, precision))
