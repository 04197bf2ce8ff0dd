"""A live feed: one task owns the socket, the fold and the journal's end. It decides nothing itself.

Each frame goes to the journal, then through the fold, then to the consumers; each decision of the session goes to
the journal, then through the fold, and is then carried out. What a replay sees is thereby what happened here.

    async with Feed(["BTC/USD"], ["book", "trade"], journal="btc.journal") as feed:
        async for item in feed.events():
            print(item, feed.book("BTC/USD"))

`examples/market.py` is a whole program.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from types import TracebackType

from msgspec import Struct

from tidelog.config import EndpointUrl
from tidelog.errors import ConfigError, Corruption, JournalStalled, SourceError, StoreError, Throttled
from tidelog.market.book import Check
from tidelog.market.clock import Clock
from tidelog.market.core import Core, Entry, codec_of
from tidelog.market.decisions import ATTEMPTS_WINDOW_US, LAPSES_MAX
from tidelog.market.events import (
    BookDelta,
    BookSnapshot,
    BookUpdates,
    ClockStepped,
    Connected,
    Disconnected,
    Event,
    EventId,
    Executions,
    Malformed,
    Request,
    Resync,
    Started,
    Stream,
)
from tidelog.market.fanout import PENDING_MAX, FanOut, Policy, Subscription
from tidelog.market.figures import (
    CHANNELS,
    CLOSING,
    RECONNECT_REASONS,
    REFUSED_REASONS,
    exchange_time,
    journal_bytes,
    reconnect_reason,
    refused_reason,
)
from tidelog.market.fills import FILLS_SHOWN
from tidelog.market.hearing import HEARD, Hearing
from tidelog.market.journal import Journal, open_journal
from tidelog.market.journal_file import JournalReader
from tidelog.market.loop_watch import LoopWatch
from tidelog.market.marks import (
    Authorized,
    Closing,
    Connect,
    Denied,
    Drop,
    Lapse,
    Mark,
    Ping,
    Refused,
    Subscribe,
    Unsubscribe,
    Unwanted,
    Wanted,
    attempts_of,
    encode_mark,
    ended_in_order,
)
from tidelog.market.peer import Peer
from tidelog.market.records import Kind, Record
from tidelog.market.retention import Keeper, Retention
from tidelog.market.streams import PRIVATE_URLS, PUBLIC_URLS, has_symbols, is_private, stream_of
from tidelog.market.subscriptions import Phase, State
from tidelog.market.symbols import listed, normal_symbol, normal_symbols
from tidelog.market.views import BookView, view_of
from tidelog.net.websocket import PicoWebSocket, WebSocket, WebSocketTransport
from tidelog.runtime import Runtime, SystemRuntime
from tidelog.telemetry import MarketMetrics, logger
from tidelog.telemetry.distribution import Distribution
from tidelog.telemetry.market import LATENCY_EVERY_US, FeedReading

CONNECT_S = 10.0
STATE_EVERY_US = 60_000_000  # between full states: what a fold has to read again at most, on restarting
FRAMES_AT_ONCE = 256  # between which others get their turn, however fast the exchange sends
TOP_LEVELS = 10  # of each side that `Feed.book` gives: those that can be proven
WAIT_S_MAX = 60.0  # without a look at the clock
THROTTLED_S = 30.0  # to wait where the exchange throttles us and does not say for how long: it bans for ten minutes
THROTTLED_S_MIN = 5.0  # ... and at least, whatever it says: as rarely as it wants attempts after an outage
CLOCK_STEP_US = 5_000_000  # after a longer step of the clock what is on the connection is too old to be gone on with
TOKEN_S = 15.0  # for a token to be had

Tokens = Callable[[], Awaitable[str]]

_log = logger("market")


def _patience_us(error: Exception) -> int:
    """How long a peer wants us to wait; 0: it did not ask for it."""
    if not isinstance(error, Throttled):
        return 0
    return int(max(THROTTLED_S if error.retry_after_s is None else error.retry_after_s, THROTTLED_S_MIN) * 1_000_000)


class Progress(Struct, frozen=True):
    """Where a feed is."""

    state: State
    subscriptions: int
    held: int  # of those, acknowledged and not doubted
    frames: int
    mismatches: int
    malformed: int
    connects: int
    resyncs: int
    unsynced: int  # records that a crash would lose
    last: EventId


class Feed:
    """Market data of an exchange, journaled and proven. Use it as an async context manager.

    Args:
        symbols: as `BTC/USD`; other ways to write one (xbt-usd) are brought to that, in which events name it.
        channels: book, trade, ticker, ohlc, instrument, spread (v1); or, with `tokens`, private ones only.
        journal: the file; it is made if it does not exist.
        depth: of books: 10, 25, 100, 500 or 1000.
        interval: of the exchange's candles, in minutes.
        protocol: v2 or v1.
        url: of the WebSocket; Kraken's if it is not given.
        tokens: gives a token for the private channels; asked at each connection.
        retention: what of the journal may be dropped; nothing, if it is not given.
        digest: compute the digest of the events while they come, as a replay does.
        metrics: what counts; one of the feed's own, if it is not given.
        vfs: SQLite's name of another file system, for the journal.
    """

    def __init__(
        self,
        symbols: Sequence[str],
        channels: Sequence[str] = ("book",),
        *,
        journal: str,
        depth: int = 10,
        interval: int = 1,
        protocol: str = "v2",
        url: str | None = None,
        tokens: Tokens | None = None,
        retention: Retention | None = None,
        digest: bool = False,
        metrics: MarketMetrics | None = None,
        runtime: Runtime | None = None,
        transport: WebSocketTransport | None = None,
        vfs: str | None = None,
    ) -> None:
        self._codec = codec_of(protocol)
        self._protocol = protocol
        self._depth, self._interval = depth, interval
        self._channels = tuple(listed("channels", channels, "book"))
        self._symbols = normal_symbols(symbols)
        streams = self._streams_of(None)
        self._private = any(is_private(stream) for stream in streams)
        if self._private and not all(is_private(stream) for stream in streams):
            raise ConfigError("public and private channels come over two connections: use two feeds, two journals")
        if self._private and tokens is None:
            raise ConfigError(f"{', '.join(self._channels)}: private channels need an API key")
        self._require_symbols(self._symbols)
        urls = PRIVATE_URLS if self._private else PUBLIC_URLS
        self._url = EndpointUrl(url or urls[protocol], schemes=("ws", "wss"))
        self._tokens = tokens
        self._token: str | None = None
        self._path, self._vfs = journal, vfs
        self._retention = retention
        self._runtime = runtime or SystemRuntime()
        self._transport = transport or PicoWebSocket()
        self._clock = Clock(self._runtime.now(), self._runtime.monotonic())
        self._rng = self._runtime.random("session")
        self._fanout = FanOut()
        self._core = Core(digest=digest)
        self._journal: Journal | None = None
        self._socket: WebSocket | None = None
        self._limit: asyncio.Timeout | None = None  # of what the task waits for
        self._task: asyncio.Task[None] | None = None
        self._state_us = 0  # when the last full state was written
        self._keeper: Keeper | None = None  # None: everything is kept
        self._frames: defaultdict[type[Event], int] = defaultdict(int)  # by kind of event
        self._malformed = self._connects = self._resyncs = self._mismatches = 0
        self._metrics = metrics or MarketMetrics()
        self._metrics.feed = self._reading
        self._watch = LoopWatch(self._metrics, lambda: self._fanout.subscribers)
        self._hearing = Hearing(self._url, self._channels, self._metrics)
        self._fills_doubted = 0  # snapshots before which own fills may be missing
        self._timed_from_us = 0  # no frame is timed before
        for words, counts in (
            (RECONNECT_REASONS, self._metrics.reconnects),
            (REFUSED_REASONS, self._metrics.refused),
            (self._channels, self._metrics.resyncs),
        ):
            counts.update(dict.fromkeys(words, 0))  # there from the start, so that a first one shows

    # For the user.

    def events(
        self,
        policy: Policy | str = Policy.DROP_OLDEST,
        *,
        pending_max: int = PENDING_MAX,
        durable_only: bool = False,
        kinds: Iterable[type[Event]] | None = None,
    ) -> Subscription:
        """The events from now on; see `FanOut.subscribe`. It ends with the feed.

        Args:
            policy: `drop_oldest` or `conflate`, also as text.

        Raises:
            ConfigError: there is no such policy, or it is none for a live feed.
        """
        chosen = next((each for each in Policy if policy in (each, each.value)), None)
        if chosen is None:
            raise ConfigError(f"policy {policy!r}: choose drop_oldest or conflate")
        if chosen is Policy.BLOCK:
            raise ConfigError("a live feed waits for nobody: choose drop_oldest or conflate")
        subscription = self._fanout.subscribe(chosen, pending_max=pending_max, durable_only=durable_only, kinds=kinds)
        if self._task is not None:
            self._watch.start()
        return subscription

    def book(self, symbol: str, levels: int | None = TOP_LEVELS) -> BookView | None:
        """The book as it is now; None for a symbol whose book is not followed.

        Args:
            levels: of each side, best first; None: all, which at a depth of 1000 takes a hundred times as long.
        """
        known = symbol in self._core.books.by_symbol
        return view_of(self._core, symbol if known else normal_symbol(symbol), levels)

    def subscribe(self, symbols: Sequence[str], channels: Sequence[str] | None = None) -> None:
        """Follow more symbols, on the feed's channels or on others; it takes effect as soon as it can."""
        names = normal_symbols(symbols)
        for stream in self._streams_of(channels):
            self._note(Wanted(stream, names if has_symbols(stream) else ()))
        self._wake()

    def unsubscribe(self, symbols: Sequence[str], channels: Sequence[str] | None = None) -> None:
        """Follow these no longer."""
        names = normal_symbols(symbols)
        for stream in self._streams_of(channels):
            self._note(Unwanted(stream, names if has_symbols(stream) else ()))
        self._wake()

    def follow(self, symbols: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Follow these symbols on the feed's channels, and no others; what stays notices nothing.

        Returns:
            Those that have come, and those that have gone.

        Raises:
            ConfigError: one of them is no symbol, or none is left of what needs some; nothing has changed.
        """
        names = normal_symbols(symbols)
        self._require_symbols(names)
        subscriptions = self._core.session.held.subscriptions
        known = [one.symbol for one in subscriptions if one.symbol is not None and not one.unwanted]
        gone = tuple([symbol for symbol in dict.fromkeys(known) if symbol not in names])
        come = tuple([symbol for symbol in names if symbol not in known])
        if come:
            self.subscribe(come)
        if gone:
            self.unsubscribe(gone)
        return come, gone

    def _require_symbols(self, symbols: Sequence[str]) -> None:
        if not symbols and any(has_symbols(stream) for stream in self._streams_of(None)):
            raise ConfigError("no symbols: say which, as BTC/USD")

    def _streams_of(self, channels: Sequence[str] | None) -> list[Stream]:
        names = self._channels if channels is None else listed("channels", channels, "book")
        return [stream_of(self._protocol, name, depth=self._depth, interval=self._interval) for name in names]

    @property
    def progress(self) -> Progress:
        session = self._core.session
        held = [one for one in session.held.subscriptions if one.phase is Phase.HELD and one.doubt is None]
        return Progress(
            session.state,
            len(session.held.subscriptions),
            len(held),
            sum(self._frames.values()),
            self._mismatches,
            self._malformed,
            self._connects,
            self._resyncs,
            0 if self._journal is None else self._journal.unsynced_frames,
            self._core.at,
        )

    def _reading(self) -> FeedReading:
        progress, fanout, journal = self.progress, self._fanout.statistics, self._journal
        frames: defaultdict[str, int] = defaultdict(int)
        for kind, count in self._frames.items():
            frames[CHANNELS.get(kind, "unknown")] += count
        books = self._core.books.by_symbol
        return FeedReading(
            state=progress.state.value,
            states=tuple([state.value for state in State]),
            wanted=progress.subscriptions,
            held=progress.held,
            books=tuple(books),
            unproven=len(self.unproven),
            refused=len(self.peer.refusals),
            status=self._hearing.status,
            frames=frames,
            malformed=progress.malformed,
            connects=progress.connects,
            subscribers=self._fanout.subscribers,
            lag=fanout.lag,
            pending=fanout.pending,
            dropped=fanout.dropped,
            conflated=fanout.conflated,
            journal_bytes=journal_bytes(self._path),
            pending_bytes=0 if journal is None else journal.waiting_bytes,
            unsynced=progress.unsynced,
            stalled=self.stalled,
            durable_us=0 if journal is None else journal.durable_us,
            committed_bytes=0 if journal is None else journal.committed_bytes,
            commits=Distribution(()) if journal is None else journal.commits,
        )

    @property
    def peer(self) -> Peer:
        """What the exchange has said beside data."""
        return self._hearing.peer

    @property
    def unproven(self) -> list[str]:
        """Symbols whose books the last message did not prove."""
        return [symbol for symbol, book in self._core.books.by_symbol.items() if not book.proven]

    @property
    def stalled(self) -> bool:
        """Whether the journal takes no frame, or could not commit."""
        return self._journal is not None and self._journal.stalled

    @property
    def digest(self) -> str | None:
        """Of the events of this run so far, if it is computed."""
        return None if self._core.digest is None else self._core.digest.hexdigest()

    @property
    def journal_id(self) -> bytes:
        """Which journal is written: drawn at random when it was made."""
        assert self._journal is not None
        return self._journal.id

    async def wait_durable(self, id_: EventId) -> None:
        """Return once the record is on the disk."""
        assert self._journal is not None
        await self._journal.wait_durable(id_)

    async def finished(self) -> None:
        """Return when the feed has ended; what ended it, if that was an error, is raised."""
        assert self._task is not None
        await asyncio.shield(self._task)

    async def __aenter__(self) -> "Feed":
        now_us = self._now_us()
        # the writer first: it alone can mend a file whose making, or last commit, was cut short
        self._journal = await open_journal(self._path, self._runtime, on_durable=self._on_durable, vfs=self._vfs)
        try:
            last, marks = await self._history(now_us - ATTEMPTS_WINDOW_US)
        except BaseException:
            await self._journal.close()
            raise
        if self._retention is not None:
            self._keeper = Keeper(self._retention, self._journal, self._now_us, self._write_state)
        clean = last is None or (last.kind is Kind.MARK and ended_in_order(last.payload))
        previous_us = None if last is None else last.at_us
        attempts = attempts_of([(mark.at_us, mark.payload) for mark in marks])
        self._note(Started(self._protocol, self._private, attempts, previous_us, clean), restart=True)
        self._state_us = now_us
        self.subscribe(self._symbols)
        self._task = asyncio.create_task(self._run())
        if self._fanout.subscribers:
            self._watch.start()
        return self

    async def _history(self, since_us: int) -> tuple[Record | None, list[Record]]:
        """The last record that earlier runs have left, and their markers since a time."""

        def read() -> tuple[Record | None, list[Record]]:
            reader = JournalReader(self._path, self._vfs)
            try:
                return reader.last(), list(reader.marks(since_us))
            finally:
                reader.close()

        worker = self._runtime.worker("journal-reader")
        try:
            return await worker.call(read)
        finally:
            await worker.close()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End in order: close the socket, journal everything that came, let consumers read what is pending."""
        assert self._journal is not None
        assert self._task is not None
        try:
            self._note(Closing())
            self._wake()
        except (StoreError, Corruption):  # the journal is lost: the task may not have noticed, and cannot go on
            self._task.cancel()
        try:
            await self._task
        finally:
            if self._keeper is not None:
                await self._keeper.close()
            await self._journal.close()

    # The task.

    async def _run(self) -> None:
        try:
            while self._core.session.state is not State.CLOSED:
                await self._turn()
        finally:
            if self._socket is not None:
                await self._socket.close()
            self._fanout.close()

    async def _turn(self) -> None:
        """Do what is to be done by now, then wait for what comes next."""
        assert self._journal is not None
        session = self._core.session
        if self._socket is None:
            await self._journal.wait_room()
        try:
            await self._follow_clock()
            while (decision := session.decide(self._now_us(), self._rng)) is not None:
                self._note(decision)
                await self._carry_out(decision)
            if session.state is not State.CLOSED:
                if self._now_us() - self._state_us >= STATE_EVERY_US:
                    self._write_state()
                await self._wait()
        except JournalStalled as error:
            self._metrics.journal_stalls += 1
            _log.warning("journal_stalled", error=str(error))
            if self._socket is not None:
                self._note(Drop("journal_stalled"))
                await self._hang_up("journal_stalled")

    def _now_us(self) -> int:
        """The journal's time."""
        return self._clock.now_us(self._runtime.monotonic())

    async def _follow_clock(self) -> None:
        """Follow the wall clock where it was set, or has gone on while the machine slept."""
        if self._core.session.state is State.CLOSED:
            return
        before_us, wall_s, monotonic_s = self._now_us(), self._runtime.now(), self._runtime.monotonic()
        by_us = self._clock.follow(wall_s, monotonic_s)
        if by_us == 0:
            return
        self._note(ClockStepped(by_us), at_us=before_us)
        _log.warning("clock_stepped", seconds=by_us / 1_000_000)
        if by_us > CLOCK_STEP_US and self._socket is not None:
            await self._hang_up("clock")

    async def _wait(self) -> None:
        """Take frames, or just wait, until the session wants to decide."""
        session, socket = self._core.session, self._socket
        loop = asyncio.get_running_loop()
        pause_s = min(max(0.0, (session.due_us - self._now_us()) / 1_000_000), WAIT_S_MAX)
        try:
            async with asyncio.timeout_at(loop.time() + pause_s) as self._limit:
                if socket is None:
                    await loop.create_future()
                    return
                while session.due_us:
                    for _ in range(FRAMES_AT_ONCE):
                        self._take(await socket.receive())
                        if session.due_us == 0:
                            break
                    await self._runtime.sleep(0)
        except TimeoutError:
            pass
        except SourceError as error:
            reason = self._url.redact(error.reason)
            await self._hang_up(reason)
        finally:
            self._limit = None

    def _wake(self) -> None:
        """Let the task decide again."""
        if self._limit is not None and not self._limit.expired():  # then it is about to, and does not like to be told
            self._limit.reschedule(asyncio.get_running_loop().time())

    async def _carry_out(self, decision: Mark) -> None:
        match decision:
            case Connect():
                await self._connect()
            case Subscribe(stream, symbols, req_id):
                self._send(self._codec.subscribe(stream, symbols, req_id, self._token))
            case Unsubscribe(stream, symbols, req_id):
                self._send(self._codec.unsubscribe(stream, symbols, req_id, self._token))
            case Ping(req_id):
                self._send(self._codec.ping(req_id))
            case Lapse(req_id):
                self._tell_unanswered(req_id)
            case Drop(reason):
                await self._hang_up(reason)

    def _tell_unanswered(self, req_id: int) -> None:
        """Log, once, what the exchange does not acknowledge."""
        for one in self._core.session.held.subscriptions:
            if one.req_id == req_id and one.lapses == LAPSES_MAX + 1:
                _log.warning("not_acknowledged", channel=one.stream.channel, symbol=one.symbol, requests=one.lapses)

    async def _connect(self) -> None:
        try:
            async with asyncio.timeout(None) as self._limit:  # closing interrupts it
                self._socket = await self._transport.connect(self._url.reveal(), timeout_s=CONNECT_S)
        except (SourceError, TimeoutError) as error:
            reason = self._url.redact(error.reason) if isinstance(error, SourceError) else "closing"
            if isinstance(error, SourceError):
                self._metrics.refused[refused_reason(error)] += 1
            _log.warning("connect_failed", endpoint=self._url.name, reason=reason)
            self.peer.left(reason)
            self._note(Refused(reason, _patience_us(error)))
            return
        finally:
            self._limit = None
        self._note(Connected())
        if self._private:
            await self._authorize()

    async def _authorize(self) -> None:
        assert self._tokens is not None
        try:
            async with asyncio.timeout(TOKEN_S):
                self._token = await self._tokens()
        except (SourceError, TimeoutError) as error:
            self._note(Denied(str(error) or f"no token within {TOKEN_S:g} s", _patience_us(error)))
            await self._hang_up(self._hearing.denied(error, TOKEN_S))
            return
        self.peer.authorized()
        self._note(Authorized())

    async def _hang_up(self, reason: str) -> None:
        """The socket is gone, or has to go."""
        socket, self._socket = self._socket, None
        self._token = None
        if self._core.session.state is not State.DRAINING:
            self._note(Disconnected(reason))
            reason = ""
        if socket is not None:
            await socket.close()
        if reason:
            self._note(Disconnected(reason))

    # What goes into the journal, and through the fold.

    def _take(self, frame: bytes) -> None:
        assert self._journal is not None
        at_us = self._now_us()
        id_ = self._journal.append(Kind.IN, frame, at_us)
        entry = self._core.take(Record(id_, at_us, Kind.IN, frame))
        assert entry is not None
        event = entry.event
        self._frames[type(event)] += 1
        if entry.check is Check.MISMATCHED:
            assert isinstance(event, BookDelta | BookSnapshot)
            self._mismatched(event.symbol)
        elif type(event) is BookUpdates:
            for part, check in zip(event.parts, entry.checks, strict=True):
                if check is Check.MISMATCHED:
                    self._mismatched(part.symbol)
        elif type(event) is Malformed:
            self._malformed += 1
        elif type(event) in HEARD:
            self._hearing.take(entry)
        elif type(event) is Executions:
            self._tell_doubted_fills()
        self._fanout.publish(id_, event)
        if at_us >= self._timed_from_us:
            self._time(event, at_us)

    def _tell_doubted_fills(self) -> None:
        doubted = self._core.session.held.fills.doubted
        if doubted > self._fills_doubted:
            _log.warning("fills_may_be_missing", shown=FILLS_SHOWN)
        self._fills_doubted = doubted

    def _mismatched(self, symbol: str) -> None:
        self._mismatches += 1
        self._metrics.mismatches[symbol] += 1

    def _time(self, event: Event, at_us: int) -> None:
        """Note how long a frame took from the exchange to us, and from us to the consumers."""
        self._timed_from_us = at_us + LATENCY_EVERY_US
        handling_s = (self._now_us() - at_us) / 1_000_000
        self._metrics.handling.observe(handling_s)
        stamp = exchange_time(event)
        if stamp is not None:  # by the wall clock: ours does not follow its corrections
            self._metrics.latency.observe(max(0.0, self._runtime.now() - handling_s - stamp.timestamp()))

    def _send(self, request: Request) -> None:
        assert self._journal is not None
        assert self._socket is not None
        self._journal.append(Kind.OUT, request.redacted, self._now_us())
        self._socket.send(request.frame)

    def _note(self, mark: Mark, *, restart: bool = False, at_us: int | None = None) -> int:
        """Journal a marker, and let it take effect; how many bytes it has."""
        assert self._journal is not None
        payload, at_us = encode_mark(mark), self._now_us() if at_us is None else at_us
        id_ = self._journal.append(Kind.MARK, payload, at_us, restart=restart)
        entry = self._core.take(Record(id_, at_us, Kind.MARK, payload, restart))
        if entry is not None:
            self._count(entry)
            self._fanout.publish(id_, entry.event)
        return len(payload)

    def _count(self, entry: Entry) -> None:
        match entry.event:
            case Connected():
                self._connects += 1
                self.peer.connected()
                _log.info("connected", endpoint=self._url.name)
            case Disconnected(reason):
                if (word := reconnect_reason(reason)) != CLOSING:
                    self._metrics.reconnects[word] += 1
                self.peer.left(reason)
                _log.info("disconnected", endpoint=self._url.name, reason=reason)
            case Resync(channel, symbol, _, reason):
                self._resyncs += 1
                self._metrics.resyncs[channel] += 1
                _log.info("resync", channel=channel, symbol=symbol, reason=reason)

    def _on_durable(self, through: EventId) -> None:
        self._fanout.durable(through)
        if self._keeper is not None:
            self._keeper.committed()

    def _write_state(self) -> None:
        """Write the full state, unless the run has ended: nothing comes after its last marker."""
        if self._core.session.state is State.CLOSED:
            return
        self._state_us = self._now_us()
        size = self._note(self._core.full_state(), restart=True)
        if self._keeper is not None:
            self._keeper.state_written(size)
