"""A live feed: the public class that follows an exchange, journals it and hands it out. `feed_loop` does the work.

    async with Feed(["BTC/USD"], ["book", "trade"], journal="btc.journal") as feed:
        async for item in feed.events():
            print(item, feed.book("BTC/USD"))

`examples/market.py` is a whole program.
"""

from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any, get_args

from tidelog.errors import ConfigError
from tidelog.market.clock import Clock
from tidelog.market.core import Core
from tidelog.market.events import Event, EventId
from tidelog.market.journal.retention import Retention
from tidelog.market.live.attempts import Attempts
from tidelog.market.live.config import feed_config
from tidelog.market.live.fanout import PENDING_MAX, BatchSubscription, FanOut, Policy, Subscription
from tidelog.market.live.feed_loop import FeedLoop, Parts, Tokens, start_loop
from tidelog.market.live.limits import LIMITS, FeedLimits
from tidelog.market.live.monitoring.loop_watch import LoopWatch
from tidelog.market.live.monitoring.metrics import FeedMetrics
from tidelog.market.live.monitoring.progress import Progress, progress_of, reading_of, unproven_of
from tidelog.market.session.peer import Peer
from tidelog.market.symbols import normal_symbol, normal_symbols
from tidelog.market.views import BookView, view_of
from tidelog.net.websocket import PicoWebSocket, WebSocketTransport
from tidelog.runtime import Runtime, SystemRuntime
from tidelog.telemetry import MarketMetrics

__all__ = ["Feed"]

EVENTS = get_args(Event)
KIND_SHOWN = 60  # characters of what is no type of event
TOP_LEVELS = 10  # of each side that `Feed.book` gives: those that can be proven


class Feed:
    """Market data of an exchange, journaled and proven. Use it as an async context manager, once.

    Entering it begins a run of the journal and connects; it reconnects, resubscribes and asks for lost books by
    itself until it is left. Leaving it closes the connection, commits the journal, and lets consumers read what is
    pending. It belongs to the event loop in which it is entered, and cannot be left in another one (RuntimeError). So
    do its metrics: in another thread a question, or a scrape, may meet the compiled core at work, and ends with a
    RuntimeError then.

    Args:
        symbols: as `BTC/USD`; other spellings (xbt-usd) are brought to that, in which events name it.
        channels: book, trade, ticker, ohlc, instrument, spread (v1); or, with `tokens`, private ones only.
        journal: path of the file; it is made if it does not exist.
        depth: levels of a book on each side: 10, 25, 100, 500 or 1000.
        interval: of the exchange's candles, in minutes.
        protocol: v2 or v1.
        url: of the WebSocket, `ws://` or `wss://`; Kraken's if it is not given.
        tokens: gives a token for the private channels; awaited at each connection.
        retention: what of the journal may be dropped; nothing, if it is not given.
        digest: compute the digest of the events while they come, as a replay does.
        metrics: what counts; one of the feed's own, if it is not given.
        vfs: SQLite's name of another file system, for the journal.
        limits: what it waits for and how long.
        attempts: is asked before each connection, where several processes share what an exchange allows.
        first_run: the number of the first run of a journal that is made.

    Raises:
        ConfigError: here, what is asked for cannot be; on entering, the journal is none, or is written by another
            process.
        Corruption: on entering, the journal is damaged.
        Fenced, Displaced, Corruption: on leaving, and by `finished`: another process has taken the journal over, its
            file was replaced or deleted, or it was damaged meanwhile. No book is proven then, and consumers end.
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
        limits: FeedLimits = LIMITS,
        attempts: Attempts | None = None,
        first_run: int = 1,
    ) -> None:
        self._config = feed_config(
            symbols,
            channels,
            protocol=protocol,
            depth=depth,
            interval=interval,
            url=url,
            has_tokens=tokens is not None,
        )
        runtime, totals = runtime or SystemRuntime(), metrics or MarketMetrics()
        self._path, self._vfs = journal, vfs
        self._metrics = FeedMetrics(self._config.url, self._config.channels, totals)
        self._core = Core(digest=digest, limits=limits.session, gathers=self._metrics.fault)
        self._fanout = FanOut()
        self._parts = Parts(
            self._config,
            limits,
            runtime,
            transport or PicoWebSocket(),
            Clock(runtime.now(), runtime.monotonic()),
            self._core,
            self._fanout,
            self._metrics,
            tokens,
            retention,
            attempts,
            first_run,
        )
        self._watch = LoopWatch(totals, lambda: self._fanout.subscribers, limits.loop_watch)
        self._started: FeedLoop | None = None  # None: it was not entered yet
        totals.feed = lambda: reading_of(
            self._core, self._metrics, self._fanout, None if self._started is None else self._started.journal, journal
        )

    async def __aenter__(self) -> "Feed":
        if self._started is not None:
            raise RuntimeError("the feed was entered before: a run has a Feed of its own, make another one")
        self._started = await start_loop(self._parts, self._path, self._vfs)
        if self._fanout.subscribers:
            self._watch.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End in order, as leaving the context does. One that has ended stays so.

        Cancelling it leaves the journal as a crash would: whole up to its last commit.
        """
        await self._loop.close()

    @property
    def _loop(self) -> FeedLoop:
        if self._started is None:
            raise RuntimeError("the feed was not entered: use it as `async with Feed(..) as feed`")
        return self._started

    # -- what it gives ----------------------------------------------------------------------------------------

    def events(
        self,
        policy: Policy | str = Policy.DROP_OLDEST,
        *,
        pending_max: int = PENDING_MAX,
        durable_only: bool = False,
        kinds: Iterable[type[Event]] | None = None,
    ) -> Subscription:
        """The events from now on: an async iterator of `Item` and `Lagged`, which ends when the feed has ended.

        It may be asked for before the feed is entered. A wait for the next item may be cancelled; nothing is lost by
        that. Close it, or let it be collected with the feed, when nothing more is wanted.

        Args:
            policy: what happens when `pending_max` events wait: `drop_oldest` or `conflate`, also as text.
            pending_max: events that may wait to be read.
            durable_only: events come only once the journal has their frames on the disk.
            kinds: events of these types alone, so that others take no room.

        Raises:
            ConfigError: there is no such policy, or one of `kinds` is no type of event.
            ValueError: `pending_max` is less than 1.
        """
        subscription = self._fanout.subscribe(
            _policy(policy), pending_max=pending_max, durable_only=durable_only, kinds=_kinds(kinds)
        )
        self._watch_loop()
        return subscription

    def batches(
        self,
        policy: Policy | str = Policy.DROP_OLDEST,
        *,
        pending_max: int = PENDING_MAX,
        durable_only: bool = False,
        kinds: Iterable[type[Event]] | None = None,
    ) -> BatchSubscription:
        """The same events as `events` gives, many at a time: an async iterator of `EventBatch` and `Lagged`.

        A batch has what was pending, at least one event and at most 8,192. In a busy market this costs a fraction of
        taking them one by one. Bounds and counts are in events, as in `events`, and so are arguments and errors.
        """
        subscription = self._fanout.subscribe_batches(
            _policy(policy), pending_max=pending_max, durable_only=durable_only, kinds=_kinds(kinds)
        )
        self._watch_loop()
        return subscription

    def _watch_loop(self) -> None:
        """A consumer's own code may hold the loop up: that is watched while there are consumers."""
        if self._started is not None:
            self._watch.start()

    def book(self, symbol: str, levels: int | None = TOP_LEVELS) -> BookView | None:
        """The book as it is now; None for a symbol whose book is not followed.

        Args:
            levels: of each side, best first; None: all, which at a depth of 1000 takes a hundred times as long.

        Raises:
            ConfigError: it is no symbol.
            ValueError: `levels` is less than 0.
        """
        if levels is not None and levels < 0:
            raise ValueError(f"{levels} levels of a book: give 0 or more, or None for all")
        known = symbol in self._core.books.by_symbol
        return view_of(self._core, symbol if known else normal_symbol(symbol), levels)

    async def wait_durable(self, id_: EventId) -> None:
        """Return once the record of that id, and so all before it, is on the disk.

        Raises:
            Fenced, Displaced, Corruption, StoreError: it never will be.
        """
        self._loop.require_event_loop()
        await self._loop.journal.wait_durable(id_)

    async def finished(self) -> None:
        """Return when the feed has ended; an error that ended it is raised. Cancelling it does not end the feed."""
        await self._loop.finished()

    # -- what it follows --------------------------------------------------------------------------------------

    def subscribe(self, symbols: Sequence[str], channels: Sequence[str] | None = None) -> None:
        """Follow more symbols, on the feed's channels or on others; it takes effect as soon as it can.

        Raises:
            ConfigError: one of them is no symbol or no channel, or no channel of a public feed, or of a private one;
                nothing has changed.
        """
        names = normal_symbols(symbols)
        self._loop.follow(self._config.streams(channels), names)

    def unsubscribe(self, symbols: Sequence[str], channels: Sequence[str] | None = None) -> None:
        """Follow these no longer; see `subscribe`. A channel that has no symbols is left where it is named alone."""
        names = normal_symbols(symbols)
        streams = self._config.streams(channels)
        if channels is None:
            streams = [*filter(self._config.venue.streams.has_symbols, streams)]
        self._loop.leave(streams, names)

    def follow(self, symbols: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Follow these symbols on the feed's channels, and no others on any; those that stay are not interrupted.

        Returns:
            Those that were added, and those that were left.

        Raises:
            ConfigError: one of them is no symbol, or none is left of what needs some; nothing has changed.
        """
        names = normal_symbols(symbols)
        self._config.require_symbols(names)
        followed: dict[str, set[str]] = {}  # channels, by symbol
        for one in self._core.session.session_state.subscriptions:
            if one.symbol is not None and not one.unwanted:
                followed.setdefault(one.symbol, set()).add(one.stream.channel)
        own = {stream.channel for stream in filter(self._config.venue.streams.has_symbols, self._config.streams())}
        left = tuple([symbol for symbol in followed if symbol not in names])
        added = tuple([symbol for symbol in names if not own <= followed.get(symbol, set())])
        if added:
            self.subscribe(added)
        if left:
            channels = own.union(*[followed[symbol] for symbol in left])
            self.unsubscribe(left, sorted(channels))
        return added, left

    # -- how it is --------------------------------------------------------------------------------------------

    @property
    def progress(self) -> Progress:
        """Where it is: connection, subscriptions, counts since it was made."""
        return progress_of(self._core, self._metrics, None if self._started is None else self._started.journal)

    @property
    def peer(self) -> Peer:
        """What the exchange has said beside data."""
        return self._metrics.notices.peer_of(self._core.session)

    @property
    def unproven(self) -> list[str]:
        """Symbols whose books the last message did not prove."""
        return unproven_of(self._core)

    @property
    def stalled(self) -> bool:
        """Whether the journal takes no frame, or could not commit."""
        return self._started is not None and self._started.journal.stalled

    @property
    def waiting_bytes(self) -> int:
        """What was handed to the journal and is not committed."""
        return 0 if self._started is None else self._started.journal.waiting_bytes

    @property
    def now_us(self) -> int:
        """The journal's time: Unix time in microseconds, which never goes back."""
        return self._parts.now_us()

    @property
    def digest(self) -> str | None:
        """Of the events of this run so far, if it is computed."""
        return None if self._core.digest is None else self._core.digest.hexdigest()

    @property
    def journal_id(self) -> bytes:
        """Which journal is written: drawn at random when it was made."""
        return self._loop.journal.id


def _policy(named: Policy | str) -> Policy:
    """ConfigError: there is no such policy."""
    chosen = next((each for each in Policy if named in (each, each.value)), None)
    if chosen is None:
        raise ConfigError(f"policy {named!r}: choose drop_oldest or conflate")
    return chosen


def _kinds(kinds: object) -> frozenset[type[Event]] | None:
    """ConfigError: one of them is no type of event. Nothing would ever be of it."""
    if kinds is None:
        return None
    named: list[Any] = [*kinds] if isinstance(kinds, Iterable) and not isinstance(kinds, str) else [kinds]
    for kind in named:
        if not any(kind is event for event in EVENTS):
            shown = getattr(kind, "__name__", None) or repr(kind)
            raise ConfigError(f"kinds: {shown[:KIND_SHOWN]} is no type of event: give a list of such, as [Trades]")
    return frozenset(named)
