"""What the exchange is at this moment, as every connection sees it: markets, account, faults, limits, the time."""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from tidelog.sim.exchange.faults.active import ActiveFaults
from tidelog.sim.exchange.faults.content import HUGE_BYTES
from tidelog.sim.exchange.markets.account import Account
from tidelog.sim.exchange.markets.book import TrueTop
from tidelog.sim.exchange.markets.market import Market
from tidelog.sim.exchange.markets.natures import ORDINARY, Nature
from tidelog.sim.exchange.markets.pairs import Pair
from tidelog.sim.exchange.markets.truth import Truth
from tidelog.sim.exchange.protocol import v1, v2
from tidelog.sim.exchange.protocol.dialect import SECOND_US, Dialect
from tidelog.sim.exchange.protocol.recording import Recording, symbol_v2
from tidelog.sim.exchange.protocol.tokens import Tokens

LEVELS = 1_100  # a side: more than the deepest window, so that levels fall out of it and come back


class Limits(Struct, frozen=True):
    """What a client may do: attempts as the exchange says it, requests as users have met it (15 to 25)."""

    requests_per_s: int = 25  # per connection
    attempts: int = 150  # per address, in a rolling 10 minutes; then it is banned for 10 minutes
    idle_s: int = 60  # without a subscription
    attempts_us: int = 600 * SECOND_US  # the window of the attempts, and how long an address is banned
    token_us: int = 15 * 60 * SECOND_US  # to be used in; a token stays good where something is subscribed with it
    outbox_max: int = 200_000  # deliveries that wait for a reader: beyond it the exchange hangs up
    huge_bytes: int = HUGE_BYTES  # of the frame of the fault `huge`


class ExchangeState:
    """Read by sessions, and moved on by the core."""

    def __init__(
        self,
        *,
        seed: int,
        pairs: Sequence[Pair],
        levels: int | Mapping[str, int],
        limits: Limits,
        start_us: int,
        recording: Recording | None,
        remembered: int,
        natures: Mapping[str, Nature],
    ) -> None:
        """See `SimExchange`."""
        self.now_us = start_us
        self.limits = limits
        self.recording = recording
        self.system = "online"
        self.markets = {
            pair.symbol: Market(
                pair,
                seed=seed,
                start_us=start_us,
                levels=levels if isinstance(levels, int) else levels[pair.symbol],
                nature=natures.get(pair.symbol, ORDINARY),
            )
            for pair in pairs
        }
        self.unlisted: set[str] = set()  # symbols that are refused, as if there were none such
        self.unheard: set[str] = set()  # symbols about which no request is answered, nor carried out
        self.exceeded = 0  # requests that came too fast
        self.account = Account(seed=seed, pairs=pairs)
        self.truth = Truth(remembered)
        self.tokens = Tokens(seed, self.limits.token_us)
        self.active_faults = ActiveFaults(seed, self.limits.huge_bytes)
        self._symbols: dict[tuple[str, str], str] = {}  # by protocol and the name in it

    def symbol_of(self, dialect: Dialect, name: str | None, channel: str) -> str | None:
        """The symbol that a client means; None: there is none."""
        if not self._symbols:
            for each in (v1, v2):
                for market in self.markets.values():
                    self._symbols[each.NAME, each.name_of(market.pair)] = market.pair.symbol
        known = None if name is None else self._symbols.get((dialect.NAME, name))
        if known is not None:
            return None if known in self.unlisted else known
        symbol = symbol_v2(name) if name is not None and dialect.NAME == "v1" else name
        played = self.recording is not None and self.recording.has(dialect.NAME, channel, symbol)
        return symbol if played else None

    def top(self, market: Market, dialect: Dialect) -> TrueTop:
        return market.book.top(market.pair, dialect.price_precision(market.pair), self.now_us)
