"""A recording's journal, followed as it grows: its books as they are now, and its trades for its listeners.

One task per journal runs its records through the core of the live feed. Whatever happens to the file (not there yet,
damaged, pruned past us, another one in its place, a recorder that is killed and comes back) it says so, and begins
again where the journal allows. Listeners then find what they missed in the journal itself, see `missed`.

It is a commit's window behind the recorder, and writes nothing.
"""

from functools import partial

from msgspec import Struct

from tidelog.api.http.limits import LiveLimits
from tidelog.api.http.options import JournalSource
from tidelog.api.http.problems import FAULT
from tidelog.api.live.feeds.signal import Signal
from tidelog.api.live.feeds.topics import place_text
from tidelog.api.live.feeds.traces import ReadBatches
from tidelog.backoff import delays
from tidelog.errors import ConfigError, Corruption, StoreError, TidelogError
from tidelog.market.core import Core, JournalEvent
from tidelog.market.events import BookDelta, BookSnapshot, BookUpdates, EventId, Stream, Trades
from tidelog.market.journal.reader import JournalReader
from tidelog.market.journal.writer import FOLLOW_POLL_S
from tidelog.market.live.fanout import FanOut, Policy, Subscription
from tidelog.market.records import BEGINNING, Kind, Record
from tidelog.market.replay.position import resume
from tidelog.market.views import BookView, view_of
from tidelog.runtime import Runtime
from tidelog.store.sqlite.opened import file_at
from tidelog.telemetry import logger

__all__ = ["JournalTail", "LiveBook", "TailHealth", "by_symbol", "follows"]


_log = logger("live")


class LiveBook(Struct, frozen=True):
    """A book as of the journal's last record. `proven` is never true of one that may be another by now."""

    id: EventId  # of the last record
    view: BookView
    depth: int  # as subscribed
    proven: bool
    reason: str | None  # why it is not
    age_us: int | None  # since its last message; None: there was none on this connection


class TailHealth(Struct, frozen=True):
    """Whether the tail is at the journal's end, and if not, why."""

    ready: bool
    reason: str | None
    at: EventId
    age_us: int | None  # of the last record


class _Lost(Exception):
    """The journal has moved on without us: begin again."""


def follows(before: EventId, after: EventId) -> bool:
    """Whether nothing lies between two records, as far as their ids can tell."""
    return after == (before.run, before.seq + 1) or (after.run > before.run and after.seq == 1)


def by_symbol(event: Trades) -> dict[str, Trades]:
    """The trades of a frame, taken apart by symbol: mostly there is one."""
    symbols = list(dict.fromkeys([trade.symbol for trade in event.trades]))
    if len(symbols) == 1:
        return {symbols[0]: event}
    return {
        symbol: Trades(tuple([trade for trade in event.trades if trade.symbol == symbol]), event.snapshot)
        for symbol in symbols
    }


class JournalTail:
    """Belongs to one event loop. `run` is its task; everything else may be asked at any time."""

    def __init__(self, source: JournalSource, runtime: Runtime, limits: LiveLimits) -> None:
        self.limits = limits
        self.name = source.name
        self.path = source.path
        self.following = Signal()  # touched when it has begun, and when it cannot continue
        self._runtime = runtime
        self._core = Core()
        self._at_us = 0  # when the last record was written
        self._end = BEGINNING  # up to there nothing is emitted: it was there before
        self._failure: str | None = "it is not read yet"  # None: records are taken
        self._quiet = False  # nothing was journaled for too long
        self.batches = ReadBatches()  # for traces
        self._trades: dict[str, FanOut] = {}
        self._books: dict[str, Signal] = {}

    # -- what it knows -------------------------------------------------------------------------------------

    @property
    def at(self) -> EventId:
        """The last record that was applied; everything after it is still to be emitted."""
        return self._core.at

    @property
    def at_us(self) -> int:
        """When that record was written; 0: none was read yet."""
        return self._at_us

    @property
    def ready(self) -> bool:
        return self._failure is None and self._core.at >= self._end

    @property
    def health(self) -> TailHealth:
        reason = self._failure or (None if self.ready else "it is catching up")
        if reason is None and self._quiet:
            reason = f"nothing was journaled for {self.limits.stale_s:g} s: is the recorder running?"
        return TailHealth(reason is None, reason, self.at, self._age_us(self._at_us))

    def listed(self, channel: str) -> list[str]:
        """The symbols that are recorded on a channel."""
        subscriptions = self._core.session.session_state.subscriptions
        return sorted([one.symbol for one in subscriptions if one.stream.channel == channel and one.symbol is not None])

    def records(self, channel: str, symbol: str) -> bool:
        return self._core.session.subscription(Stream(channel), symbol) is not None

    def trade_id(self, symbol: str) -> int | None:
        """The exchange's number of the last trade on this connection; None: there was none, or it has none."""
        subscription = self._core.session.subscription(Stream("trade"), symbol)
        return None if subscription is None else subscription.sequence or None

    def book(self, symbol: str, levels: int | None = None) -> LiveBook | None:
        """A book as it is now, its best `levels` of each side; None where no such book is recorded."""
        view = view_of(self._core, symbol, levels)
        if view is None:
            return None
        reason = self._unproven_reason(view)
        depth = self._core.books.by_symbol[symbol].depth
        return LiveBook(self.at, view, depth, reason is None, reason, self._age_us(view.data_us))

    def _unproven_reason(self, view: BookView) -> str | None:
        if (failed := self.health.reason) is not None:
            return failed
        if view.proven:
            return None
        if view.crossed:
            return "crossed"
        return "its last message does not prove it" if view.bids or view.asks else "no snapshot of it has come yet"

    def _age_us(self, since_us: int) -> int | None:
        return max(0, int(self._runtime.now() * 1_000_000) - since_us) if since_us else None

    # -- what it reports -----------------------------------------------------------------------------------

    def trades(self, symbol: str) -> Subscription:
        """The trades of a symbol after `at`. It ends when the tail has to begin again."""
        fanout = self._trades.setdefault(symbol, FanOut())
        return fanout.subscribe(Policy.DROP_OLDEST, pending_max=self.limits.trades_pending_max)

    def touched(self, symbol: str) -> Signal:
        """Tells that a book may have changed: `book` says how it is."""
        return self._books.setdefault(symbol, Signal())

    # -- how it follows ------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Follow for ever."""
        pauses = delays(self._runtime.random("tail"), max_s=self.limits.retry_s_max)
        while True:
            begun = self._runtime.monotonic()
            try:
                await self._follow()
            except (_Lost, TidelogError) as error:
                self._fail(error)
            except Exception as error:  # a mistake of ours must not end the others' streams
                _log.error("journal_tail_failed", recording=self.name, exc_info=error)
                self._fail(error)
            if self._runtime.monotonic() - begun > self.limits.retry_s_max:
                pauses = delays(self._runtime.random("tail"), max_s=self.limits.retry_s_max)
            await self._runtime.sleep(next(pauses))

    def _fail(self, error: Exception) -> None:
        reason = _sentence(error)
        if reason != self._failure:
            _log.warning("journal_not_followed", recording=self.name, reason=str(error))
        self._failure = reason
        self._begin_again()

    def _begin_again(self) -> None:
        """Listeners come back, and find in the journal what they have not got."""
        fanouts, self._trades = self._trades, {}
        for fanout in fanouts.values():
            fanout.close()
        self._touch_all()

    def _touch_all(self) -> None:
        self.following.touch()
        for signal in self._books.values():
            signal.touch()

    async def _follow(self) -> None:
        """Begin, and take records until something raises."""
        worker = self._runtime.worker("journal-tail")
        reader: JournalReader | None = None
        try:
            file = await worker.call(lambda: file_at(self.path))
            reader = await worker.call(lambda: JournalReader(self.path))
            if await worker.call(lambda: file_at(self.path)) != file:  # it was made meanwhile: nobody listens yet
                raise _Lost("there is another file in its place")
            self._core, after, self._end = await worker.call(partial(_begin, reader))
            self.batches.begin(b"" if reader.identity is None else reader.identity.id)
            self._failure, looked = None, self._runtime.monotonic()
            announced = False
            while True:
                records = await worker.call(partial(reader.block, after))
                if records:
                    self.batches.note(records[0].id, records[-1].id, self._runtime.monotonic())
                    await self._take(records)
                    after = records[-1].id
                if self.ready and not announced:
                    announced = True
                    self._touch_all()
                    _log.info("journal_followed", recording=self.name, at=place_text(self.at))
                if self._runtime.monotonic() - looked > self.limits.look_s:
                    looked = self._runtime.monotonic()
                    self._look()
                    if await worker.call(lambda: file_at(self.path)) != file:
                        raise _Lost("there is another file in its place")
                if not records:
                    await self._runtime.sleep(FOLLOW_POLL_S)
        finally:
            if reader is not None:
                await worker.call(reader.close)
            await worker.close()

    def _look(self) -> None:
        """Whether it has gone quiet, or has not any more: its books are suspect for as long."""
        age_us = self._age_us(self._at_us)
        quiet = age_us is not None and age_us > self.limits.stale_s * 1_000_000
        if quiet != self._quiet:
            self._quiet = quiet
            self._touch_all()

    async def _take(self, records: list[Record]) -> None:
        for number, record in enumerate(records, 1):
            before = self._core.at
            if record.kind is Kind.LOST or (before != BEGINNING and not follows(before, record.id)):
                raise _Lost("records were dropped before they were read")
            entry = self._core.apply(record)
            self._at_us = record.at_us
            if record.kind is Kind.CONTROL:
                self._touch_all()  # some of them clear books; they are few
            elif entry is not None and record.id > self._end:
                self._emit(entry)
            if number % self.limits.turn_records == 0:
                await self._runtime.sleep(0)
        if self._quiet:
            self._look()

    def _emit(self, entry: JournalEvent) -> None:
        event = entry.event
        for symbol in entry.suspected:
            self._touch(symbol)
        if isinstance(event, BookDelta | BookSnapshot):
            self._touch(event.symbol)
        elif isinstance(event, BookUpdates):
            for part in event.parts:
                self._touch(part.symbol)
        elif isinstance(event, Trades):
            for symbol, trades in by_symbol(event).items():
                if (fanout := self._trades.get(symbol)) is not None:
                    fanout.publish(entry.id, trades)

    def _touch(self, symbol: str) -> None:
        if (signal := self._books.get(symbol)) is not None:
            signal.touch()


def _begin(reader: JournalReader) -> tuple[Core, EventId, EventId]:
    """A core, where it reads on, and where the journal ends now."""
    ends = reader.ends()
    end = BEGINNING if ends is None else ends.last
    return *resume(reader, end), end


def _sentence(error: Exception) -> str:
    """The sentence for clients; paths are in the log alone."""
    match error:
        case _Lost():
            return str(error)
        case ConfigError():
            return "there is no journal that can be opened"
        case Corruption():
            return "the journal is damaged"
        case StoreError():
            return "the journal cannot be read now"
    return FAULT
