"""Which faults are switched on, for whom, and what is left of them."""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial

from msgspec.structs import replace

from tidelog.sim.exchange.delivery import Effect, Frame, Message
from tidelog.sim.exchange.faults import FAULTS, Fault
from tidelog.sim.exchange.faults.content import HUGE_BYTES, huge
from tidelog.sim.exchange.markets.market import Market
from tidelog.sim.node.answers import Answer


class ActiveFault:
    """A fault that is on."""

    def __init__(
        self,
        fault: Fault,
        rng: random.Random,
        probability: float,
        times: int | None,
        at: int | None,
        channel: str | None,
        symbol: str | None,
        connection: int | None,
    ) -> None:
        self.fault = fault
        self.rng = rng
        self.times = times  # how often it will still be shown; None: for ever
        self.symbol = symbol
        self.connection = connection
        self._probability = probability
        self._at = at  # the one occasion that counts, from 1; None: any
        self.channel = channel
        self._occasions = 0

    def suits(self, frame: Frame) -> bool:
        """Whether it is about such frames."""
        fault = self.fault
        return (
            frame.kind in fault.kinds
            and (not fault.channels or frame.channel in fault.channels)
            and self.channel in (None, frame.channel)
            and self.symbol in (None, frame.symbol)
        )

    def wants(self) -> bool:
        """Whether to show it on this occasion. Draws a random number unless the probability is 1."""
        if self.times == 0:
            return False
        self._occasions += 1
        if self._at is not None:
            return self._occasions == self._at
        return self._probability >= 1 or self.rng.random() < self._probability


class ActiveFaults:
    """All faults that are on."""

    def __init__(self, seed: int, huge_bytes: int = HUGE_BYTES) -> None:
        self._faults = FAULTS | {"huge": replace(FAULTS["huge"], frame=partial(huge, size=huge_bytes))}
        self.told: Counter[str] = Counter()  # how often each was shown
        self._seed = seed
        self._on: list[ActiveFault] = []

    def tell(
        self,
        name: str,
        *,
        probability: float = 1.0,
        times: int | None = None,
        at: int | None = None,
        channel: str | None = None,
        symbol: str | None = None,
        connection: int | None = None,
    ) -> None:
        rng = random.Random(f"{self._seed} fault {name} {channel} {symbol} {connection}")
        self._on.append(ActiveFault(self._faults[name], rng, probability, times, at, channel, symbol, connection))

    def honest(self, name: str | None = None) -> None:
        """Switch one off, or all."""
        self._on = [] if name is None else [one for one in self._on if one.fault.name != name]

    def market(self, symbol: str) -> list[Callable[[Market], None]]:
        """What a market has to do beside its own."""
        chosen = self._chosen(lambda one: one.fault.market is not None and one.symbol in (None, symbol))
        return [partial(_disturb, one) for one in chosen]

    def connect(self) -> Answer | None:
        """The answer to give to a handshake; None: the true one."""
        for one in self._chosen(lambda one: one.fault.connect is not None):
            return one.fault.connect and one.fault.connect()
        return None

    def request(self, connection: int) -> bytes | None:
        """The answer to give to a request; None: the true one."""
        chosen = self._chosen(lambda one: one.fault.request is not None and one.connection in (None, connection))
        for one in chosen:
            return one.fault.request and one.fault.request()
        return None

    def grant(self, connection: int, channel: str, symbol: str | None) -> str:
        """Why a subscription is refused; empty: it is not."""
        suits = self._chosen(
            lambda one: (
                one.fault.grant is not None
                and one.connection in (None, connection)
                and one.symbol in (None, symbol)
                and one.channel in (None, channel)
            )
        )
        for one in suits:
            return one.fault.grant() if one.fault.grant is not None else ""
        return ""

    def frame(self, frame: Frame, connection: int) -> list[Effect]:
        """What becomes of a frame."""
        effects: list[Effect] = [Message(frame)]
        for one in self._on:
            function = one.fault.frame
            if function is None or one.connection not in (None, connection):
                continue
            after: list[Effect] = []
            for effect in effects:
                if type(effect) is Message and one.suits(effect.frame) and one.wants():
                    changed = list(function(effect.frame, one.rng))
                    if changed != [effect]:
                        self._count(one)
                        after += changed
                        continue
                after.append(effect)
            effects = after
        return effects

    def _chosen(self, suits: Callable[[ActiveFault], bool]) -> Iterator[ActiveFault]:
        for one in self._on:
            if suits(one) and one.wants():
                self._count(one)
                yield one

    def _count(self, one: ActiveFault) -> None:
        self.told[one.fault.name] += 1
        if one.times is not None:
            one.times -= 1


def _disturb(one: ActiveFault, market: Market) -> None:
    assert one.fault.market is not None
    one.fault.market(market, one.rng)
