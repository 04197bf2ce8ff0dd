"""The task that owns a feed's socket, core and the journal's end. Decides nothing itself. Does I/O.

Each frame goes to the journal, then through the core, then to the consumers; each decision of the session goes to the
journal, then through the core, and is then carried out. What a replay sees is thereby what happened here.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from msgspec import Struct

from tidelog.errors import Corruption, JournalStalled, SourceError, StoreError, Throttled
from tidelog.market.book.lending import Gathered
from tidelog.market.clock import Clock
from tidelog.market.core import Core
from tidelog.market.events import ClockStepped, Connected, Disconnected, Event, EventId, Request, Started, Stream
from tidelog.market.journal.reader import JournalReader
from tidelog.market.journal.retention import Pruner, Retention
from tidelog.market.journal.writer import Journal, open_journal
from tidelog.market.live.attempts import Attempts
from tidelog.market.live.config import FeedConfig
from tidelog.market.live.fanout import FanOut
from tidelog.market.live.limits import FeedLimits
from tidelog.market.live.monitoring.figures import refused_reason
from tidelog.market.live.monitoring.metrics import FeedMetrics
from tidelog.market.records import Kind, Record
from tidelog.market.session.controls import (
    AckTimeout,
    Authorized,
    BackOff,
    Closing,
    Connect,
    Control,
    Denied,
    Drop,
    Ping,
    Refused,
    Subscribe,
    Unsubscribe,
    Unwanted,
    Wanted,
    attempts_of,
    encode_control,
    ended_in_order,
)
from tidelog.market.session.subscription.subscriptions import ConnectionState
from tidelog.market.tracing import BatchTraces
from tidelog.net.websocket import WebSocket, WebSocketTransport
from tidelog.runtime import Runtime
from tidelog.telemetry import logger, tracing

__all__ = ["FeedLoop", "Parts", "start_loop"]

Tokens = Callable[[], Awaitable[str]]

_log = logger("market")
_BEING_MADE = (ConnectionState.CONNECTING, ConnectionState.AUTHENTICATING)


class Parts(Struct, frozen=True):
    """What a loop works with. Core, consumers and metrics are the feed's, which shows them before it is started."""

    config: FeedConfig
    limits: FeedLimits
    runtime: Runtime
    transport: WebSocketTransport
    clock: Clock
    core: Core
    fanout: FanOut
    metrics: FeedMetrics
    tokens: Tokens | None  # for private channels
    retention: Retention | None  # None: everything is kept
    attempts: Attempts | None = None  # that others share; None: those of its own journal are all there are
    first_run: int = 1  # of a new journal

    def now_us(self) -> int:
        """The journal's time."""
        return self.clock.now_us(self.runtime.monotonic())


async def start_loop(parts: Parts, path: str, vfs: str | None) -> "FeedLoop":
    """Begin a run in the journal at `path`, and follow what the configuration says.

    Raises:
        ConfigError: it is no journal, it cannot be opened, or another process writes it.
        Corruption: it is damaged.
    """
    now_us, traces = parts.now_us(), None
    session = parts.limits.session or parts.config.venue.rules.limits
    if tracing.active() is not None:
        traces = BatchTraces(parts.config.url.name, parts.runtime, parts.now_us)
    # the writer first: it alone can repair a file whose making, or last commit, was cut short
    journal = await open_journal(
        path,
        parts.runtime,
        first_run=parts.first_run,
        on_commit=None if traces is None else traces.committed,
        limits=parts.limits.journal,
        vfs=vfs,
    )
    try:
        last, controls = await _left_by_earlier_runs(parts.runtime, path, vfs, now_us - session.attempts_window_us)
        clean = last is None or (last.kind is Kind.CONTROL and ended_in_order(last.payload))
        started = Started(
            parts.config.venue.protocol,
            parts.config.private,
            attempts_of([(control.at_us, control.payload) for control in controls]),
            None if last is None else last.at_us,
            clean,
        )
        return FeedLoop(parts, journal, traces, started, now_us)
    except BaseException:
        await journal.close()
        raise


async def _left_by_earlier_runs(
    runtime: Runtime, path: str, vfs: str | None, since_us: int
) -> tuple[Record | None, list[Record]]:
    """The last record of earlier runs, and their control records since a time."""

    def read() -> tuple[Record | None, list[Record]]:
        reader = JournalReader(path, vfs)
        try:
            return reader.last(), list(reader.marks(since_us))
        finally:
            reader.close()

    worker = runtime.worker("journal-reader")
    try:
        return await worker.call(read)
    finally:
        await worker.close()


class FeedLoop:
    """One run of a feed. Made by `start_loop`, running from then on; belongs to one event loop."""

    def __init__(
        self, parts: Parts, journal: Journal, traces: BatchTraces | None, started: Started, now_us: int
    ) -> None:
        self.journal = journal
        self._parts = parts
        self._traces = traces  # None: it is not traced
        self._config, self._limits, self._runtime = parts.config, parts.limits, parts.runtime
        self._core, self._fanout, self._metrics = parts.core, parts.fanout, parts.metrics
        self._requests = parts.config.venue.requests
        self._streams = parts.config.venue.streams
        self._tokens = parts.tokens
        self._rng = parts.runtime.random("session")
        self._socket: WebSocket | None = None  # None: there is no connection
        self._received: Sequence[bytes] = []  # from it, all that came at once ...
        self._applied = 0  # ... of which so many are journaled and applied
        self._token: str | None = None  # of this connection
        self._waiting: asyncio.Timeout | None = None  # of what the task waits for
        self._heard_s = 0.0  # until when it is known what has come, by the event loop's time
        self._snapshot_us = now_us  # when the last one was written
        self._event_loop = asyncio.get_running_loop()
        self._ending = asyncio.Lock()
        self._ended = False
        self._pruner = (
            None if parts.retention is None else Pruner(parts.retention, journal, parts.now_us, self._write_snapshot)
        )
        journal.listen(self._on_durable)
        self._record(started, restart=True)
        self.follow(parts.config.streams(), parts.config.symbols)
        self._task = asyncio.create_task(self._run())

    # -- for the feed -----------------------------------------------------------------------------------------

    def follow(self, streams: Sequence[Stream], symbols: tuple[str, ...]) -> None:
        """Want these symbols on these streams; it takes effect as soon as it can."""
        for stream in streams:
            self._record(Wanted(stream, symbols if self._streams.has_symbols(stream) else ()))
        self._wake()

    def leave(self, streams: Sequence[Stream], symbols: tuple[str, ...]) -> None:
        """Want them no longer."""
        for stream in streams:
            self._record(Unwanted(stream, symbols if self._streams.has_symbols(stream) else ()))
        self._metrics.notices.peer_of(self._core.session)  # a refusal of what is wanted again later is news
        self._wake()

    def require_event_loop(self) -> None:
        """RuntimeError in another event loop than the one to which it belongs."""
        if asyncio.get_running_loop() is not self._event_loop:
            raise RuntimeError("the feed was entered in another event loop: use and leave it in that one")

    async def finished(self) -> None:
        """Return when it has ended; an error that ended it is raised."""
        self.require_event_loop()
        await asyncio.shield(self._task)

    async def close(self) -> None:
        """End in order: journal what was received, close the socket, let consumers read what is pending."""
        self.require_event_loop()
        async with self._ending:  # who asks meanwhile waits for that
            if not self._ended:
                try:
                    await self._end()
                finally:
                    self._ended = True

    async def _end(self) -> None:
        try:
            self._record(Closing())
            self._wake()
        except (StoreError, Corruption):  # the journal is lost: the task may not have noticed, and cannot continue
            self._task.cancel()
        try:
            await self._task
        finally:
            try:
                if self._pruner is not None:
                    await self._pruner.close()
                await self.journal.close()
            finally:
                self._fanout.close()

    # -- the task ---------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        try:
            while self._core.session.state is not ConnectionState.CLOSED:
                await self._turn()
            self._fanout.end()  # `close` commits the journal's rest: consumers of durable events get that, too
        except BaseException:
            self._fanout.close()
            self._core.end(self._parts.now_us())
            raise
        finally:
            if self._socket is not None:
                await self._socket.close()

    async def _turn(self) -> None:
        """Do what is to be done by now, then wait for what comes next."""
        session = self._core.session
        if self._socket is None:
            await self._wait_room()
        try:
            await self._follow_clock()
            if self._was_held():
                session.deadline_us = self._parts.now_us() + self._limits.catch_up_us
                await self._wait()
            while (decision := session.decide(self._parts.now_us(), self._rng)) is not None:
                if isinstance(decision, Drop) and self._applied < len(self._received):
                    while not self._apply_received(to_the_end=True):
                        await self._runtime.sleep(0)
                    continue  # it may say otherwise
                if isinstance(decision, Connect) and self._parts.attempts is not None:
                    decision = await self._attempt(decision, self._parts.attempts)
                self._record(decision)
                await self._carry_out(decision)
            if session.state is not ConnectionState.CLOSED:
                due = self._parts.now_us() - self._snapshot_us >= self._limits.snapshot_every_us
                if due and self.journal.takes_snapshot:
                    self._write_snapshot()
                await self._wait()
        except JournalStalled as error:
            self._metrics.totals.journal_stalls += 1
            _log.warning("journal_stalled", error=str(error))
            if self._socket is not None:
                self._record(Drop("journal_stalled"))
                await self._hang_up("journal_stalled")

    async def _wait_room(self) -> None:
        """Wait until the journal takes frames again, or until the end is wanted, which needs no room."""
        while not self._core.session.session_state.closing:
            try:
                async with asyncio.timeout(None) as self._waiting:  # closing interrupts it
                    await self.journal.wait_room()
                return
            except TimeoutError:
                pass  # woken, and maybe for something else, which can wait
            finally:
                self._waiting = None

    async def _follow_clock(self) -> None:
        """Follow the wall clock where it was set, or has advanced while the machine slept."""
        if self._core.session.state is ConnectionState.CLOSED:
            return
        before_us, wall_s, monotonic_s = self._parts.now_us(), self._runtime.now(), self._runtime.monotonic()
        by_us = self._parts.clock.follow(wall_s, monotonic_s)
        if by_us == 0:
            return
        self._record(ClockStepped(by_us), at_us=before_us)
        _log.warning("clock_stepped", seconds=by_us / 1_000_000)
        if by_us > self._limits.clock_step_us and self._socket is not None:
            await self._hang_up("clock")

    def _was_held(self) -> bool:
        """Whether nobody has looked into the socket for so long that its silence would be judged.

        A suspended machine or a blocking disk holds the event loop, and what came meanwhile waits in the socket.
        """
        silence_us = (asyncio.get_running_loop().time() - self._heard_s) * 1_000_000
        return self._socket is not None and silence_us >= self._core.session.rules.limits.ping_after_us

    async def _wait(self) -> None:
        """Receive frames, or just wait, until the session wants to decide."""
        session, socket = self._core.session, self._socket
        loop = asyncio.get_running_loop()
        pause_s = min(max(0.0, (session.deadline_us - self._parts.now_us()) / 1_000_000), self._limits.wait_s_max)
        timeout = asyncio.timeout_at(loop.time() + pause_s)
        try:
            async with timeout as self._waiting:
                if socket is None:
                    await loop.create_future()
                    return
                while session.deadline_us:
                    if self._applied == len(self._received):
                        self._received, self._applied = await socket.receive_all(self._limits.received_at_once), 0
                        self._heard_s = loop.time()
                    if not self._apply_received():
                        await self._runtime.sleep(0)
        except TimeoutError:
            ended_s = timeout.when() or 0.0
            if pause_s > 0 and loop.time() - ended_s <= self._limits.late_s:
                self._heard_s = ended_s
        except SourceError as error:
            reason = self._config.url.redact(error.reason)
            await self._hang_up(reason)
        finally:
            self._waiting = None

    def _wake(self) -> None:
        """Let the task decide again. One whose wait has expired is about to, and cannot be rescheduled.

        A connection that is being made is given up for nothing but the end: what else is wanted is asked for over it.
        """
        session = self._core.session
        if session.state in _BEING_MADE and not session.session_state.closing:
            return
        if self._waiting is not None and not self._waiting.expired():
            self._waiting.reschedule(asyncio.get_running_loop().time())

    async def _carry_out(self, decision: Control) -> None:
        match decision:
            case Connect():
                await self._connect()
            case Subscribe(stream, symbols, req_id):
                self._send(self._requests.subscribe(stream, symbols, req_id, self._token))
            case Unsubscribe(stream, symbols, req_id):
                self._send(self._requests.unsubscribe(stream, symbols, req_id, self._token))
            case Ping(req_id):
                self._send(self._requests.ping(req_id))
            case AckTimeout(req_id):
                self._metrics.ack_timeout(req_id, self._core.session)
            case Drop(reason):
                await self._hang_up(reason)

    # -- the connection ---------------------------------------------------------------------------------------

    async def _attempt(self, connect: Connect, attempts: Attempts) -> Connect | BackOff:
        """Connect if an attempt is left of those that others share; else wait until there is one."""
        until_us = await attempts.take(self._parts.now_us())
        return connect if until_us == 0 else BackOff(until_us, "no attempt is left of those that are shared")

    async def _connect(self) -> None:
        url = self._config.url
        try:
            async with asyncio.timeout(None) as self._waiting:  # closing interrupts it
                self._socket = await self._parts.transport.connect(url.reveal(), timeout_s=self._limits.connect_s)
        except (SourceError, TimeoutError) as error:
            reason = url.redact(error.reason) if isinstance(error, SourceError) else "closing"
            if isinstance(error, SourceError):
                self._metrics.totals.refused[refused_reason(error)] += 1
            _log.warning("connect_failed", endpoint=url.name, reason=reason)
            self._metrics.notices.peer.left(reason)
            self._record(Refused(reason, self._patience_us(error)))
            return
        finally:
            self._waiting = None
        self._record(Connected())
        self._heard_s = asyncio.get_running_loop().time()
        if self._config.private and self._tokens is not None:
            await self._authorize(self._tokens)

    async def _authorize(self, tokens: Tokens) -> None:
        limit_s = self._limits.token_s
        try:
            async with asyncio.timeout(limit_s) as self._waiting:  # closing interrupts it
                self._token = await tokens()
        except (SourceError, TimeoutError) as error:
            if self._core.session.session_state.closing:
                return  # which is what is decided next
            self._record(Denied(str(error) or f"no token within {limit_s:g} s", self._patience_us(error)))
            await self._hang_up(self._metrics.notices.denied(error, limit_s))
            return
        finally:
            self._waiting = None
        self._metrics.notices.peer.authorized()
        self._record(Authorized())

    def _patience_us(self, error: Exception) -> int:
        """How long a peer wants us to wait; 0: it did not ask for it."""
        if not isinstance(error, Throttled):
            return 0
        asked_s = self._limits.throttled_s if error.retry_after_s is None else error.retry_after_s
        return int(max(asked_s, self._limits.throttled_s_min) * 1_000_000)

    async def _hang_up(self, reason: str) -> None:
        """The socket is gone, or has to go."""
        socket, self._socket = self._socket, None
        self._token = None
        self._received, self._applied = [], 0
        if self._core.session.state is not ConnectionState.DRAINING:
            self._record(Disconnected(reason))
            reason = ""
        if socket is not None:
            await socket.close()
        if reason:
            self._record(Disconnected(reason))

    # -- what goes into the journal, and through the core -----------------------------------------------------

    def _apply_received(self, *, to_the_end: bool = False) -> bool:
        """Journal, apply and publish what was received, up to where the session wants to decide.

        Args:
            to_the_end: whatever it wants: the connection is to be given up, and all that came over it is journaled.

        Returns:
            False: others have to get their turn now.
        """
        received, session, turn = self._received, self._core.session, self._limits.frames_at_once
        events: list[Event] = []  # that are not published yet
        first = EventId(self.journal.run, self.journal.last.seq + 1)
        try:
            while turn > 0 and self._applied < len(received) and (session.deadline_us or to_the_end):
                gathered = self._gather()
                if gathered is None:
                    events.append(self._apply_frame(received[self._applied]))
                    self._applied += 1
                    turn -= 1
                    continue
                self._applied += gathered.frames
                turn -= 1 + gathered.frames // self._limits.gathered_as_one
                if events:
                    self._fanout.publish_all(first, events)
                    first, events = EventId(first.run, first.seq + len(events)), []
                self._fanout.publish_all(first, gathered.events)
                first = EventId(first.run, first.seq + gathered.frames)
        finally:  # what is journaled and applied is published, whatever comes of the next
            if events:
                self._fanout.publish_all(first, events)
        return turn > 0

    def _gather(self) -> Gathered | None:
        """Journal and apply as many frames as the compiled core takes at once."""
        at_us, began_s = self._parts.now_us(), self._runtime.monotonic()
        first = EventId(self.journal.run, self.journal.last.seq + 1)
        gathered = self._core.gather(self._received, self._applied, first, at_us, self.journal.room)
        if gathered is None:
            return None
        last = self.journal.append_packed(gathered, at_us)
        if self._traces is not None:
            self._traces.applied(last, began_s, self._runtime.monotonic())
        self._metrics.gathered(gathered)
        if self._metrics.timed(at_us):
            self._time(gathered.events[0], at_us)
        return gathered

    def _apply_frame(self, payload: bytes) -> Event:
        """Journal a frame, and apply it; what it says."""
        at_us = self._parts.now_us()
        id_ = self.journal.append(Kind.IN, payload, at_us)
        traces = self._traces
        began_s = 0.0 if traces is None else self._runtime.monotonic()
        frame = self._core.apply(Record(id_, at_us, Kind.IN, payload))
        assert frame is not None  # the run has begun, so that the core knows the protocol
        if traces is not None:
            traces.applied(id_, began_s, self._runtime.monotonic())
        self._metrics.frame(frame, self._core.session)
        if self._metrics.timed(at_us):
            self._time(frame.event, at_us)
        return frame.event

    def _time(self, event: Event, at_us: int) -> None:
        """Measure how long an event took that came then."""
        handling_s = (self._parts.now_us() - at_us) / 1_000_000
        self._metrics.time(event, handling_s, self._runtime.now())

    def _send(self, request: Request) -> None:
        assert self._socket is not None  # the session asks for nothing without a connection
        self.journal.append(Kind.OUT, request.redacted, self._parts.now_us())
        self._socket.send(request.frame)

    def _record(self, control: Control, *, restart: bool = False, at_us: int | None = None) -> int:
        """Journal a control record, and let it take effect; how many bytes it has."""
        payload, at_us = encode_control(control), self._parts.now_us() if at_us is None else at_us
        id_ = self.journal.append(Kind.CONTROL, payload, at_us, restart=restart)
        event = self._core.apply(Record(id_, at_us, Kind.CONTROL, payload, restart))
        if event is not None:
            self._metrics.control(event)
            self._fanout.publish(id_, event.event)
        return len(payload)

    def _on_durable(self, through: EventId) -> None:
        self._fanout.durable(through)
        if self._pruner is not None:
            self._pruner.committed()

    def _write_snapshot(self) -> None:
        """Write a snapshot, unless the run has ended: nothing comes after its last record."""
        if self._core.session.state is ConnectionState.CLOSED:
            return
        self._snapshot_us = self._parts.now_us()
        size = self._record(self._core.snapshot(), restart=True)
        if self._pruner is not None:
            self._pruner.snapshot_written(size)
