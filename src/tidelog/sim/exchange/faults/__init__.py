"""How an exchange and the way to it fail, each as a switch: a name, where it applies, what it does.

A fault is a pure function of what was to be sent and of a random source of its own. One that leaves
everything as it was counts as not shown. Four kinds: the market does something odd and truthfully tells it;
a frame is lost, changed or sent in an odd manner; a request is refused; a connection is not had.
"""

from tidelog.sim.exchange.faults import connections, content, market, order
from tidelog.sim.exchange.faults.fault import FAULTS, Fault

__all__ = ["FAULTS", "Fault", "connections", "content", "market", "order"]
