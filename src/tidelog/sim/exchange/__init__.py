"""An exchange that speaks Kraken's protocols and can fail in every known way: a pure core, and its shells."""

from tidelog.sim.exchange.core import SimExchange
from tidelog.sim.exchange.faults import FAULTS
from tidelog.sim.exchange.markets.listing import MARKETS_MAX, Listing, listing
from tidelog.sim.exchange.markets.natures import ODD_MARKETS
from tidelog.sim.exchange.markets.pairs import PAIRS, Pair
from tidelog.sim.exchange.markets.rhythm import Rhythm
from tidelog.sim.exchange.protocol.recording import Recording
from tidelog.sim.exchange.state import Limits

__all__ = [
    "FAULTS",
    "MARKETS_MAX",
    "ODD_MARKETS",
    "PAIRS",
    "Limits",
    "Listing",
    "Pair",
    "Recording",
    "Rhythm",
    "SimExchange",
    "listing",
]
