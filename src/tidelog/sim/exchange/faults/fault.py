"""What a fault is, and the table of all of them; the modules beside this one fill it."""

import random
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from msgspec import Struct

from tidelog.sim.exchange.delivery import Effect, Frame
from tidelog.sim.exchange.markets.market import Market
from tidelog.sim.node.answers import Answer

DATA = frozenset({"snapshot", "update"})

FrameFault = Callable[[Frame, random.Random], Sequence[Effect]]
MarketFault = Callable[[Market, random.Random], None]
RequestFault = Callable[[], bytes]
ConnectFault = Callable[[], Answer]
GrantFault = Callable[[], str]
F = TypeVar("F", bound=FrameFault)


class Fault(Struct, frozen=True):
    """One switch. Exactly one of the five functions is there; `kinds` and `channels` belong to `frame`."""

    name: str
    doc: str
    kinds: frozenset[str] = DATA
    channels: frozenset[str] = frozenset()  # empty: all
    frame: FrameFault | None = None
    market: MarketFault | None = None
    request: RequestFault | None = None
    connect: ConnectFault | None = None
    grant: GrantFault | None = None


FAULTS: dict[str, Fault] = {}


def _doc(function: Callable[..., Any]) -> str:
    return (function.__doc__ or "").partition("\n")[0]


def on_frame(*channels: str, kinds: frozenset[str] = DATA) -> Callable[[F], F]:
    """Register a fault in what is sent on these channels; none named: on all."""

    def register(function: F) -> F:
        name = function.__name__
        FAULTS[name] = Fault(name, _doc(function), kinds, frozenset(channels), frame=function)
        return function

    return register


def on_market(function: MarketFault) -> MarketFault:
    """Register something odd that a market does, and truthfully tells."""
    FAULTS[function.__name__] = Fault(function.__name__, _doc(function), market=function)
    return function


def on_request(function: RequestFault) -> RequestFault:
    """Register an answer to any request, which is then not carried out."""
    FAULTS[function.__name__] = Fault(function.__name__, _doc(function), request=function)
    return function


def on_connect(function: ConnectFault) -> ConnectFault:
    """Register an answer to a WebSocket's handshake."""
    FAULTS[function.__name__] = Fault(function.__name__, _doc(function), connect=function)
    return function


def on_subscribe(function: GrantFault) -> GrantFault:
    """Register the words with which the subscription of a symbol is refused."""
    FAULTS[function.__name__] = Fault(function.__name__, _doc(function), grant=function)
    return function
