"""An exchange that speaks Kraken's protocols, to test and play against: markets, sessions, faults, the truth.

No socket, no clock: `tick` is told the time, and everything random comes from the seed. The same calls give
the same bytes. `server` puts it on real sockets, `wire` behind the client's WebSocket port.
"""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

import msgspec

from tidelog.sim.exchange.control import Action, Announce, Disconnect, Halt, Honest, List, Tell
from tidelog.sim.exchange.delivery import Frame
from tidelog.sim.exchange.faults import FAULTS
from tidelog.sim.exchange.markets.book import DEPTHS, TrueTop
from tidelog.sim.exchange.markets.market import Market, Step
from tidelog.sim.exchange.markets.natures import Nature
from tidelog.sim.exchange.markets.pairs import PAIRS, Pair
from tidelog.sim.exchange.markets.rhythm import Rhythm, Timetable
from tidelog.sim.exchange.markets.truth import REMEMBERED
from tidelog.sim.exchange.protocol import v1, v2
from tidelog.sim.exchange.protocol.dialect import SECOND_US, Dialect
from tidelog.sim.exchange.protocol.recording import Recording
from tidelog.sim.exchange.session import Session, Subscription
from tidelog.sim.exchange.state import LEVELS, ExchangeState, Limits
from tidelog.sim.node.answers import Answer

START_US = 1_700_000_000 * SECOND_US
CATCH_UP_US = 60 * SECOND_US  # a machine that slept longer finds a market that slept too
CONTROL_PATH = "/sim"
MAINTENANCE = "maintenance"
PLAIN = (("content-type", "text/plain"),)

_actions = msgspec.json.Decoder(Action)


class SimExchange(ExchangeState):
    def __init__(
        self,
        *,
        seed: int = 0,
        pairs: Sequence[Pair] = (PAIRS["BTC/USD"], PAIRS["ETH/USD"]),
        rate: float = 20.0,
        levels: int | Mapping[str, int] = LEVELS,
        rhythms: Mapping[str, Rhythm] | None = None,
        limits: Limits | None = None,
        start_us: int = START_US,
        recording: Recording | None = None,
        schedule: Sequence[tuple[int, Action]] = (),
        remembered: int = REMEMBERED,
        natures: Mapping[str, Nature] | None = None,
    ) -> None:
        """
        Args:
            rate: moments per second in which something happens, over all markets; with a recording also
                the frames per second that each subscription gets of it.
            levels: of each side of a book, for all or by symbol.
            rhythms: the pace of each market; without it `rate` is that of all together.
            start_us: Unix time in microseconds at which it begins.
            schedule: what happens by itself, as (microseconds after the start, action), in any order.
            remembered: frames whose truth is kept, for `truth`.
            natures: of markets that are not as most, by symbol.
        """
        super().__init__(
            seed=seed,
            pairs=pairs,
            levels=levels,
            limits=limits or Limits(),
            start_us=start_us,
            recording=recording,
            remembered=remembered,
            natures=natures or {},
        )
        self.missed: Counter[str] = Counter()  # updates of a book that nobody followed then, who had followed it before
        self._followed: set[str] = set()  # symbols of books that somebody has followed
        self.told = self.active_faults.told  # how often each fault was shown
        self.sessions: list[Session] = []
        self._rng = random.Random(f"{seed} exchange")
        self._connection_ids = random.Random(f"{seed} connections")
        self._attempts: dict[str, list[int]] = {}
        self._banned_until_us: dict[str, int] = {}
        self._period_us = max(1, round(SECOND_US / rate))
        self._timetable = None if rhythms is None else Timetable(rhythms, seed=seed, start_us=start_us)
        self._next_step_us = start_us + self._period_us
        self._next_second_us = start_us + SECOND_US
        self._schedule = sorted([(start_us + after, nth, act) for nth, (after, act) in enumerate(schedule)])

    def tick(self, now_us: int) -> None:
        """It is this late now: do everything that is due, in order. Going back is ignored."""
        self._next_step_us = max(self._next_step_us, now_us - CATCH_UP_US)
        self._next_second_us = max(self._next_second_us, now_us - CATCH_UP_US)
        while True:
            scheduled_us = self._schedule[0][0] if self._schedule else now_us + 1
            step_us = self._next_step_us if self._timetable is None else self._timetable.next_us
            due_us = min(step_us, self._next_second_us, scheduled_us)
            if due_us > now_us:
                break
            self.now_us = max(self.now_us, due_us)
            if due_us == scheduled_us:
                self.act(self._schedule.pop(0)[2])
            elif due_us == self._next_second_us:
                self._next_second_us += SECOND_US
                self._second()
            elif self._timetable is not None:
                self._step(self._timetable.pop(now_us - CATCH_UP_US))
            else:
                self._next_step_us += self._period_us
                self._step()
        self.now_us = max(self.now_us, now_us)

    def slow_down(self, times: int) -> None:
        """From now on something happens so many times more rarely."""
        self._period_us *= times

    def advance(self, us: int) -> None:
        """Let so many microseconds pass."""
        self.tick(self.now_us + us)

    def connect(self, url: str, *, address: str = "") -> Session | Answer:
        """Open a connection, or say how it is refused.

        Args:
            url: whole, or the path alone: `/` and `/v2`, and the private ones at `/auth` and `/auth/v2`
                or on a host that begins with ws-auth.
            address: of the client; attempts are counted for each.
        """
        refusal = self.active_faults.connect()
        if refusal is not None:
            return refusal
        if self._too_many(address):
            return Answer(429, b"too many connections", PLAIN)
        parts = urlsplit(url)
        path = parts.path.strip("/")
        private = (parts.hostname or "").startswith("ws-auth") or path.partition("/")[0] == "auth"
        if path not in ("", "v2", "auth", "auth/v2"):
            return Answer(404, b"not found", PLAIN)
        dialect: Dialect = v2 if path.endswith("v2") else v1
        # the highest bit is set: a client must not take it for a signed number
        session = Session(
            self, dialect, 2**63 | self._connection_ids.getrandbits(63), private=private, on_lost=self._forget
        )
        if not session.closed:
            self.sessions.append(session)
        return session

    def _forget(self, session: Session) -> None:
        if session in self.sessions:
            self.sessions.remove(session)

    def post(self, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Answer the REST call for a token, or carry out a `control` action posted to /sim."""
        if path != CONTROL_PATH:
            return self.tokens.answer(path, headers, body, self.now_us)
        try:
            self.act(_actions.decode(body))
        except (msgspec.DecodeError, ValueError) as error:
            return Answer(400, str(error).encode(), PLAIN)
        return Answer(200, b"true")

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
        """Switch a fault on.

        Args:
            probability: the chance per occasion (frame, step of a market, request or handshake).
            times: after so many it stops by itself.
            at: on this occasion alone, counted from 1.
            channel, symbol, connection: only there; a connection by the number in its status frame.

        Raises:
            ValueError: there is no such fault.
        """
        if name not in FAULTS:
            raise ValueError(f"there is no fault {name!r}")
        self.active_faults.tell(
            name, probability=probability, times=times, at=at, channel=channel, symbol=symbol, connection=connection
        )

    def honest(self, name: str | None = None) -> None:
        """Switch one fault off, or all."""
        self.active_faults.honest(name)

    def act(self, action: Action) -> None:
        """Carry out an action. ValueError if it cannot be done."""
        match action:
            case Tell(name, probability, times, at, channel, symbol, connection):
                self.tell(
                    name, probability=probability, times=times, at=at,
                    channel=channel, symbol=symbol, connection=connection,
                )  # fmt: skip
            case Honest(name):
                self.honest(name)
            case Announce(system):
                self.system = system
                for session in tuple(self.sessions):
                    session.say(Frame(session.dialect.status(system, session.connection_id), "status", "status"))
            case Disconnect(code, connection):
                for session in tuple(self.sessions):
                    if connection in (None, session.connection_id):
                        session.close(code)

            case List(symbol, how):
                self.unlisted.discard(symbol)
                self.unheard.discard(symbol)
                if how != "listed":
                    (self.unlisted if how == "refused" else self.unheard).add(symbol)
            case Halt(symbol, status):
                if symbol not in self.markets:
                    raise ValueError(f"there is no market {symbol!r}")
                market = self.markets[symbol]
                market.status = status
                for session, subscription in self._subscribed():
                    if subscription.key.channel == "instrument":
                        data = session.dialect.instruments([(market.pair, status)], "update")
                        session.send(subscription, data, "update")

    def _second(self) -> None:
        if self.markets:
            happening = self.account.step(self._some_market(), self.now_us)
            for session, subscription in self._subscribed():
                if subscription.key.channel in session.dialect.PRIVATE:
                    number = subscription.sequence + 1
                    data = session.dialect.happening(subscription.key.channel, happening, number)
                    if data is not None:
                        subscription.sequence = number
                        session.send(subscription, data, "update")
        for session in tuple(self.sessions):
            session.keep()

    def _step(self, symbol: str | None = None) -> None:
        """Let something happen in that market, or in any."""
        if self.recording is not None and self.recording.paced:
            self._play(self.recording)
        if not self.markets:
            return
        market = self._some_market() if symbol is None else self.markets[symbol]
        if self.system == MAINTENANCE or market.status == MAINTENANCE:
            return  # nothing is traded, nobody changes an order
        step = market.step(self.now_us, self.active_faults.market(market.pair.symbol))
        rendered = _Rendered(step)
        for session in self.sessions:
            for subscription in session.of(market.pair.symbol):
                key = subscription.key
                if self._plays(session, subscription):
                    continue
                data, top = rendered.get(session.dialect, key.channel, key.parameter)
                for each in data:
                    session.send(subscription, each, "update", top)
        self._note_missed(step)

    def _note_missed(self, step: Step) -> None:
        symbol = step.market.pair.symbol
        if any(one.key.channel == "book" for session in self.sessions for one in session.of(symbol)):
            self._followed.add(symbol)
        elif symbol in self._followed and (step.told("bids", DEPTHS[0]) or step.told("asks", DEPTHS[0])):
            self.missed[symbol] += 1

    def _play(self, recording: Recording) -> None:
        for session, subscription in self._subscribed():
            key = subscription.key
            data = recording.frame(session.dialect.NAME, key.channel, key.symbol, subscription.played)
            if data is not None:
                kind = "snapshot" if subscription.played == 0 else "update"
                subscription.played += 1
                session.send(subscription, data, kind)

    def _plays(self, session: Session, subscription: Subscription) -> bool:
        key = subscription.key
        return self.recording is not None and self.recording.has(session.dialect.NAME, key.channel, key.symbol)

    def _subscribed(self) -> list[tuple[Session, Subscription]]:
        return [(session, one) for session in self.sessions for one in session.subscriptions.values()]

    def _some_market(self) -> Market:
        return self._rng.choice(tuple(self.markets.values()))

    def _too_many(self, address: str) -> bool:
        if self._banned_until_us.get(address, 0) > self.now_us:
            return True
        attempts = [at for at in self._attempts.get(address, []) if at > self.now_us - self.limits.attempts_us]
        attempts.append(self.now_us)
        self._attempts[address] = attempts
        if len(attempts) <= self.limits.attempts:
            return False
        self._banned_until_us[address] = self.now_us + self.limits.attempts_us
        return True


class _Rendered:
    """The frames of one step, made once for all who want the same."""

    def __init__(self, step: Step) -> None:
        self._step = step
        self._made: dict[tuple[str, str, int | None], tuple[Sequence[bytes], TrueTop | None]] = {}

    def get(self, dialect: Dialect, channel: str, parameter: int | None) -> tuple[Sequence[bytes], TrueTop | None]:
        key = (dialect.NAME, channel, parameter)
        if key not in self._made:
            self._made[key] = self._make(dialect, channel, parameter)
        return self._made[key]

    def _make(self, dialect: Dialect, channel: str, parameter: int | None) -> tuple[Sequence[bytes], TrueTop | None]:
        step = self._step
        market, pair, time_us = step.market, step.market.pair, step.time_us
        if channel == "book" and parameter is not None:
            bids, asks = step.told("bids", parameter), step.told("asks", parameter)
            if not bids and not asks:
                return (), None
            top = market.book.top(pair, dialect.price_precision(pair), time_us)
            return (dialect.book(pair, parameter, bids, asks, top.checksum, time_us, "update"),), top
        if channel == "spread":
            return ((dialect.spread(market, time_us),) if step.touch_moved and market.quoted else ()), None
        if not step.trades:
            return (), None
        if channel == "trade":
            return (dialect.trades(pair, step.trades, "update"),), None
        if channel == "ticker" and market.quoted:
            return (dialect.ticker(market, time_us, "update"),), None
        if channel == "ohlc" and parameter is not None:
            running = (market.candles[parameter][-1],)
            return dialect.candles(pair, parameter, running, time_us, "update"), None
        return (), None
