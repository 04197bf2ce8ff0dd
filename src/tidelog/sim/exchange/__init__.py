"""An exchange that speaks Kraken's protocols and can fail in every known way: a pure core, and its shells."""

from tidelog.sim.exchange.core import Limits, SimExchange
from tidelog.sim.exchange.faults import FAULTS
from tidelog.sim.exchange.listing import MARKETS_MAX, Listing, listing
from tidelog.sim.exchange.pairs import PAIRS, Pair
from tidelog.sim.exchange.recording import Recording
from tidelog.sim.exchange.rhythm import Rhythm

__all__ = [
    "FAULTS",
    "MARKETS_MAX",
    "PAIRS",
    "Limits",
    "Listing",
    "Pair",
    "Recording",
    "Rhythm",
    "SimExchange",
    "listing",
]
