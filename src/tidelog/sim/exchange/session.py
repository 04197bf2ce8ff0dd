"""One connection as the exchange sees it: what is subscribed, what was asked, what is to be sent.

Bytes in, deliveries out; the time is the exchange's.
"""

from collections import deque
from collections.abc import Callable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from tidelog.sim.exchange.delivery import Again, Close, Delivery, End, Frame, HalfOpen, Hold, Message, Stall
from tidelog.sim.exchange.faults.connections import EXCEEDED
from tidelog.sim.exchange.markets.book import DEPTHS, TrueTop
from tidelog.sim.exchange.markets.market import INTERVALS
from tidelog.sim.exchange.protocol.dialect import SECOND_US, Asked, Dialect, NotUnderstood
from tidelog.sim.exchange.state import ExchangeState

TRADES_SHOWN = 50  # in a snapshot
POLICY_VIOLATION = 1008
NORMAL = 1000

PRIVATE_ELSEWHERE = "Private data and trading are unavailable on this endpoint. Try ws-auth.kraken.com"
PUBLIC_ELSEWHERE = "Public market data subscriptions are unavailable on this endpoint. Try ws.kraken.com"


class Key(Struct, frozen=True):
    channel: str
    symbol: str | None
    parameter: int | None = None  # depth or interval


class Subscription:
    def __init__(self, key: Key) -> None:
        self.key = key
        self.stalled = False
        self.sequence = 0  # of the last frame, on a private channel
        self.played = 0  # frames of a recording


class Session:
    def __init__(
        self,
        exchange: ExchangeState,
        dialect: Dialect,
        connection_id: int,
        *,
        private: bool,
        on_lost: Callable[["Session"], None],
    ) -> None:
        """
        Args:
            connection_id: as the status frame says it.
            private: it is a connection for the account's channels.
            on_lost: called once the connection has ended, from either side.
        """
        self._on_lost = on_lost
        self.dialect = dialect
        self.connection_id = connection_id  # as the status frame says it
        self.subscriptions: dict[Key, Subscription] = {}
        self._by_symbol: dict[str | None, list[Subscription]] = {}
        self.outbox: deque[Delivery] = deque()
        self.half_open = False
        self.closed = False  # nothing is sent or taken any more; what waits in the outbox still goes
        self.wake: Callable[[], None] = lambda: None  # the shell's: there is something in the outbox
        self._exchange = exchange
        self._private = private
        self._messages = 0  # handed over so far
        self._sent_us = self._busy_us = exchange.now_us
        self._held_back: list[Frame] = []
        self._snapshots: dict[tuple[str, str | None], Frame] = {}  # the last of each channel and symbol
        self._requests: deque[int] = deque()  # when they came, in the last second
        self.say(Frame(dialect.status(exchange.system, connection_id), "status", "status"))

    def receive(self, message: bytes) -> None:
        """Take a message from the client."""
        if self.closed or self.half_open:
            return
        exchange, dialect = self._exchange, self.dialect
        refusal = exchange.active_faults.request(self.connection_id)
        if refusal is None and self._too_fast():
            refusal = EXCEEDED
            exchange.exceeded += 1
        if refusal is not None:
            self.say(Frame(refusal, "error"))
            return
        try:
            asked = dialect.parse(message)
        except NotUnderstood as error:
            self.say(Frame(error.answer, "error"))
            return
        if asked.method == "ping":
            self.say(Frame(dialect.pong(asked, exchange.now_us), "pong"))
            return
        for name in asked.names or (None,):
            if exchange.symbol_of(dialect, name, asked.channel) not in exchange.unheard:
                self._answer(asked, name)

    def of(self, symbol: str) -> Sequence[Subscription]:
        """What is subscribed of a symbol."""
        return tuple(self._by_symbol.get(symbol, ()))

    def give_up_all(self) -> None:
        """Forget what is subscribed, without a word to the client."""
        self.subscriptions.clear()
        self._by_symbol.clear()

    def lost(self) -> None:
        """The client is gone."""
        self.closed = True
        self._on_lost(self)

    def close(self, code: int) -> None:
        if not self.closed:
            self.outbox.append(Close(code))
            self.lost()
            self.wake()

    def keep(self) -> None:
        """A second has passed."""
        now_us = self._exchange.now_us
        if self.subscriptions:
            self._busy_us = now_us
        elif now_us - self._busy_us >= self._exchange.limits.idle_s * SECOND_US:
            self.close(NORMAL)
            return
        if self.dialect.NAME == "v1" or now_us - self._sent_us >= SECOND_US:
            self.say(Frame(self.dialect.heartbeat(), "heartbeat", "heartbeat"))

    def send(self, subscription: Subscription, data: bytes, kind: str, top: TrueTop | None = None) -> None:
        """Send what is subscribed."""
        if not subscription.stalled:
            self.say(Frame(data, kind, subscription.key.channel, subscription.key.symbol, top))

    def unpaced(self) -> list[Subscription]:
        """What is to be played as fast as the client reads, and is not over; a shell does that."""
        recording = self._exchange.recording
        if recording is None or recording.paced or self.closed or self.half_open:
            return []
        name = self.dialect.NAME
        return [
            one
            for one in self.subscriptions.values()
            if recording.frame(name, one.key.channel, one.key.symbol, one.played) is not None
        ]

    def say(self, frame: Frame) -> None:
        """Send a frame, after every fault that is about it."""
        if self.closed or self.half_open:
            return
        self._sent_us = self._exchange.now_us
        waiting = tuple(self._held_back)
        for effect in self._exchange.active_faults.frame(frame, self.connection_id):
            match effect:
                case Message():
                    self._hand_over(effect)
                case Hold(kept):
                    self._hold(kept)
                case Stall(of):
                    self._stall(of)
                case End(last):
                    self._end(last)
                case Again(now):
                    self._repeat(now)
                case HalfOpen():
                    self.half_open = True
                case Close(code):
                    self.close(code)
            if self.closed or self.half_open:
                return
        self._release(waiting, frame)
        self.wake()

    def _hold(self, frame: Frame) -> None:
        if any((each.channel, each.symbol) == (frame.channel, frame.symbol) for each in self._held_back):
            self._hand_over(Message(frame))  # this is the one that goes before
        else:
            self._held_back.append(frame)

    def _release(self, waiting: Sequence[Frame], after: Frame) -> None:
        """Let what was delayed follow the frame it was to follow."""
        for frame in waiting:
            if (frame.channel, frame.symbol) == (after.channel, after.symbol):
                self._held_back.remove(frame)
                self._hand_over(Message(frame))

    def _hand_over(self, message: Message) -> None:
        self.outbox.append(message)
        if message.frame.kind == "snapshot":
            self._snapshots[message.frame.channel, message.frame.symbol] = message.frame
        if message.frame.top is not None:
            self._exchange.truth.sent(self.connection_id, self._messages, message.frame.top)
        self._messages += 1
        if len(self.outbox) > self._exchange.limits.outbox_max:
            self.close(POLICY_VIOLATION)

    def _repeat(self, now: Frame) -> None:
        self._hand_over(Message(now))
        snapshot = self._snapshots.get((now.channel, now.symbol))
        if snapshot is not None:  # what is true at that moment is not what it says
            self._hand_over(Message(replace(snapshot, top=now.top)))

    def _stall(self, frame: Frame) -> None:
        for subscription in self.subscriptions.values():
            if (subscription.key.channel, subscription.key.symbol) == (frame.channel, frame.symbol):
                subscription.stalled = True

    def _end(self, last: Frame) -> None:
        self._hand_over(Message(last))
        for key in [key for key in self.subscriptions if (key.channel, key.symbol) == (last.channel, last.symbol)]:
            self._by_symbol[key.symbol].remove(self.subscriptions.pop(key))
            name = None if key.symbol is None else self.dialect.name_of(self._exchange.markets[key.symbol].pair)
            depth, interval = (key.parameter if key.channel == each else None for each in ("book", "ohlc"))
            ended = Asked("unsubscribe", key.channel, depth=depth, interval=interval)
            said = self.dialect.accepted(ended, name, self._exchange.now_us)
            self._hand_over(Message(Frame(said, "ack", key.channel, key.symbol)))

    def _too_fast(self) -> bool:
        now_us = self._exchange.now_us
        while self._requests and self._requests[0] <= now_us - SECOND_US:
            self._requests.popleft()
        if len(self._requests) >= self._exchange.limits.requests_per_s:
            return True
        self._requests.append(now_us)
        return False

    def _answer(self, asked: Asked, name: str | None) -> None:
        key, error = self._key(asked, name)
        known = key in self.subscriptions
        if not error and known is (asked.method == "subscribe"):
            error = "Already subscribed" if known else "Subscription Not Found"
        if not error and asked.method == "subscribe":
            error = self._exchange.active_faults.grant(self.connection_id, key.channel, key.symbol)
        now_us = self._exchange.now_us
        if key.channel == "book":  # an ack says what it is, asked for or not
            asked = replace(asked, depth=key.parameter)
        elif key.channel == "ohlc":
            asked = replace(asked, interval=key.parameter)
        if error:
            self.say(Frame(self.dialect.refused(asked, name, error, now_us), "error", key.channel, key.symbol))
            return
        self.say(Frame(self.dialect.accepted(asked, name, now_us), "ack", key.channel, key.symbol))
        if asked.method == "unsubscribe":
            self._busy_us = now_us
            self._by_symbol[key.symbol].remove(self.subscriptions.pop(key))
            return
        subscription = self.subscriptions[key] = Subscription(key)
        self._by_symbol.setdefault(key.symbol, []).append(subscription)
        wanted = asked.snapshot
        if wanted if wanted is not None else key.channel in self.dialect.SNAPSHOT_BY_DEFAULT:
            self._show(subscription, fills=asked.snap_trades)

    def _key(self, asked: Asked, name: str | None) -> tuple[Key, str]:
        """What is meant, and what is wrong with it."""
        channel, dialect, exchange = asked.channel, self.dialect, self._exchange
        if channel in dialect.PRIVATE:
            if not self._private:
                return Key(channel, None), PRIVATE_ELSEWHERE
            kept = any(key.channel in dialect.PRIVATE for key in self.subscriptions)
            valid = exchange.tokens.use(asked.token, exchange.now_us, kept=kept)
            return Key(channel, None), "" if valid else "ESession:Invalid session"
        if channel not in dialect.PUBLIC:
            return Key(channel, None), "Subscription name invalid"
        if self._private:
            return Key(channel, None), PUBLIC_ELSEWHERE
        if channel == "instrument":
            return Key(channel, None), ""
        symbol = exchange.symbol_of(dialect, name, channel)
        if symbol is None:
            return Key(channel, name), f"Currency pair not supported {name}"
        if channel == "book":
            depth = DEPTHS[0] if asked.depth is None else asked.depth
            return Key(channel, symbol, depth), "" if depth in DEPTHS else "Subscription depth not supported"
        if channel == "ohlc":
            interval = INTERVALS[0] if asked.interval is None else asked.interval
            valid = interval in INTERVALS
            return Key(channel, symbol, interval), "" if valid else "Subscription ohlc interval not supported"
        return Key(channel, symbol), ""

    def _show(self, subscription: Subscription, *, fills: bool) -> None:
        """The snapshot of what was just subscribed."""
        key, exchange, dialect = subscription.key, self._exchange, self.dialect
        if exchange.recording is not None and exchange.recording.has(dialect.NAME, key.channel, key.symbol):
            return
        if key.channel in dialect.PRIVATE:
            subscription.sequence = 1
            self.send(subscription, dialect.account(key.channel, exchange.account, 1, fills=fills), "snapshot")
            return
        if key.symbol is None:
            pairs = [(market.pair, market.status) for market in exchange.markets.values()]
            self.send(subscription, dialect.instruments(pairs, "snapshot"), "snapshot")
            return
        market, now_us = exchange.markets[key.symbol], exchange.now_us
        match key.channel:
            case "book":
                depth = key.parameter or DEPTHS[0]
                top = exchange.top(market, dialect)
                bids, asks = market.book.bids.best(depth), market.book.asks.best(depth)
                data = dialect.book(market.pair, depth, bids, asks, top.checksum, now_us, "snapshot")
                self.send(subscription, data, "snapshot", top)
            case "trade":
                last = list(market.trades)[-TRADES_SHOWN:]
                if last or not market.nature.shows_no_trades:
                    self.send(subscription, dialect.trades(market.pair, last, "snapshot"), "snapshot")
            case "ticker" if market.quoted:
                self.send(subscription, dialect.ticker(market, now_us, "snapshot"), "snapshot")
            case "ohlc":
                interval = key.parameter or INTERVALS[0]
                candles = market.candles[interval]
                for data in dialect.candles(market.pair, interval, list(candles), now_us, "snapshot"):
                    self.send(subscription, data, "snapshot")
            case "spread" if market.quoted:
                self.send(subscription, dialect.spread(market, now_us), "snapshot")
