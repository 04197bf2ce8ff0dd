"""An exchange that speaks Kraken's protocols and can fail in every known way: a pure core, and its shells."""

from tidelog.sim.exchange.core import Limits, SimExchange
from tidelog.sim.exchange.faults import FAULTS
from tidelog.sim.exchange.pairs import PAIRS, Pair
from tidelog.sim.exchange.recording import Recording

__all__ = ["FAULTS", "PAIRS", "Limits", "Pair", "Recording", "SimExchange"]
