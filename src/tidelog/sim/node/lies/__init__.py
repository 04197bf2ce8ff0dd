"""How endpoints lie (EVM.md), each as a switch: a name, where it applies, and what it makes of the truth.

A lie is a pure function of what was asked, the true answer, and a random source of its own. One that
leaves the answer as it was counts as not told. Three kinds, by what they change: the `result` of one call
(receipts, blocks, heads, oddities), the whole HTTP answer (transport), the `newHeads` that a subscriber is sent.
"""

from tidelog.sim.node.lies import blocks, heads, oddities, receipts, transport
from tidelog.sim.node.lies.lie import LIES, Asked, Exchange, Lie

__all__ = ["LIES", "Asked", "Exchange", "Lie", "blocks", "heads", "oddities", "receipts", "transport"]
