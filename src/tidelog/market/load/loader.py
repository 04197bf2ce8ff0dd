"""The journal into the store: the loader makes rows of durable events, and commits rows and position together.

It may be stopped anywhere, killed included, and started again: the checkpoint carries all that the projection has to
know, so that the store comes out the same. A database that is away is waited for; meanwhile the journal keeps what
comes. All decisions are in `projection`, the candles' arithmetic in `candles`; this is the shell.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Collection, Iterable, Sequence
from itertools import pairwise
from typing import TypeVar

from msgspec import Struct

from tidelog.backoff import delays
from tidelog.batch import Batch, Checkpoint, Row, Rows, Value
from tidelog.errors import Busy, ConfigError
from tidelog.market.book.lending import Fault, Stretch
from tidelog.market.events import NOTHING, EventId
from tidelog.market.journal.file import make_journal, refuse_existing
from tidelog.market.journal.identity import ID_BYTES
from tidelog.market.load.candle_rows import CandleRows, made_candles, stretches
from tidelog.market.load.expiry import LIMITS as EXPIRY_LIMITS
from tidelog.market.load.expiry import Expired, Expiry, ExpiryLimits, Keep
from tidelog.market.load.recorded import connection_of, source_of, state_of
from tidelog.market.projection.candles import bucket
from tidelog.market.projection.changes import Changes
from tidelog.market.projection.inputs import ProjectionInput
from tidelog.market.projection.projection import CONNECTION, Projection
from tidelog.market.projection.rows import said_by
from tidelog.market.projection.state import ProjectionState, encode_state
from tidelog.market.projection.tables import CANDLES, GAPS, TRADES
from tidelog.market.shards.claims import shard_source
from tidelog.market.tracing import LoadTraces
from tidelog.runtime import Runtime
from tidelog.store import Snapshot, Store
from tidelog.store.patience import patiently
from tidelog.telemetry import MarketMetrics, logger

T = TypeVar("T")

SAMPLE_S = 10  # a book a day is 8,640 rows
INTERVALS_S = (60, 300, 900, 3_600, 14_400, 86_400)

_CLOSED_AT = GAPS.index("closed_at")
_SYMBOL, _TIME_US, _TRADE_ID = TRADES.index("symbol"), TRADES.index("time_us"), TRADES.index("trade_id")

_log = logger("loader")


class LoaderLimits(Struct, frozen=True):
    """How much one commit takes, and how long a database may be away."""

    batch_events: int = 2_000  # of one commit: at this size a commit's own cost no longer counts
    batch_age_s: float = 1.0  # the longest that an event waits for others to be committed with
    stretch_share: int = 8  # events that the compiled core took, for one that Python decoded: what they keep in memory
    turn_events: int = 200  # projected without a pause: some 5 ms, then the event loop's other tasks have their turn
    repeats_max: int = 2_000  # stored trades that those which come again are compared with: a snapshot repeats fifty
    store_patience_s: float = 86_400.0  # that a database may be away: the journal runs out first, and says so
    expiry: ExpiryLimits = EXPIRY_LIMITS


LIMITS = LoaderLimits()


class OwnedShard(Struct, frozen=True):
    """A shard, as its claims were settled: see `market.load.settling`."""

    number: int
    checkpoint: Checkpoint
    owned: frozenset[str]  # symbols


class Options(Struct, frozen=True):
    """How rows are made."""

    intervals_s: tuple[int, ...] = INTERVALS_S  # of candles, ascending; each divides the next; never changed
    sample_s: int = SAMPLE_S  # a book is stored once in each interval of this length
    keep: Keep = Keep()

    def __post_init__(self) -> None:
        if any(interval_s < 1 for interval_s in (*self.intervals_s, self.sample_s)):
            raise ConfigError("an interval has to be a second or more")
        for shorter, longer in pairwise(self.intervals_s):
            if longer <= shorter or longer % shorter:
                raise ConfigError(f"candles of {longer} s cannot be made of candles of {shorter} s")


def require_journal(source: str, state: ProjectionState, journal: bytes | None) -> None:
    """ConfigError if a recording was loaded from another journal than the one with that id."""
    if journal is not None and state.journal not in ("", journal.hex()):
        raise ConfigError(
            f"{source} was loaded from another journal, {state.journal[:8]} up to run {state.run}, and this one is "
            f"{journal.hex()[:8]}: put that journal back, give this recording another --name, or, if that journal is "
            "lost, continue with a gap by tidelog market new-journal"
        )


async def begin_journal(
    store: Store, runtime: Runtime, name: str, path: str, *, shard: int = 1, vfs: str | None = None
) -> EventId:
    """Make a new journal for a recording, or a shard of it, whose journal is lost; what lies between becomes a gap.

    Returns:
        The id of the last event of the lost journal that the store has.

    Raises:
        ConfigError: nothing is recorded under that name, or there is a file at `path`; nothing has changed then.
    """
    source = shard_source(name, shard)
    async with store.snapshot() as snapshot:
        stored = await snapshot.checkpoint(source)
    if stored is None or state_of(stored).id == NOTHING:
        which = "" if shard == 1 else f"shard {shard} of "
        raise ConfigError(f"the store holds no {which}recording {name!r}: record it, and its journal is made")
    refuse_existing(path)
    # from here on, for a writer that begins is written down, and displaces the one there is
    checkpoint = await store.acquire(source)
    last = state_of(checkpoint).id
    worker, new_id = runtime.worker("journal"), runtime.random("journal id").randbytes(ID_BYTES)
    try:
        journal = await worker.call(lambda: make_journal(path, last.run + 1, vfs, new_id=new_id))
    finally:
        await worker.close()
    await go_on_with(store, checkpoint, journal, name, shard)
    return last


async def go_on_with(store: Store, checkpoint: Checkpoint, journal: bytes, name: str, shard: int = 1) -> None:
    """Let a recording be loaded from another journal from here on, whose runs have higher numbers."""
    projection = Projection(
        source_of(name), state_of(checkpoint), 0, on_fault=lambda _: None, connection=connection_of(shard)
    )  # it is given no events
    projection.begin_journal(journal.hex())
    changes = projection.drain()
    after = checkpoint.advanced(encode_state(projection.state))
    await store.commit(Batch(checkpoint, after, changes.add, changes.replaced))


class Loader:
    """The one writer of a recording's rows. Once a method has raised, open another."""

    def __init__(
        self,
        store: Store,
        runtime: Runtime,
        checkpoint: Checkpoint,
        state: ProjectionState,
        options: Options,
        metrics: MarketMetrics,
        journal: bytes | None = None,
        limits: LoaderLimits = LIMITS,
        *,
        source: str | None = None,
        connection: str = CONNECTION,
        owned: Collection[str] | None = None,
    ) -> None:
        self._store = store
        self._source = source = source or checkpoint.source
        self._limits = limits
        self._runtime = runtime
        self._checkpoint = checkpoint
        self._options = options
        self._projection = Projection(
            source, state, options.sample_s * 1_000_000, self.note_fault, connection=connection, owned=owned
        )
        self._committed = state.id
        self._metrics = metrics
        self.traces = LoadTraces(source, journal, runtime)
        self._expiry = (
            None
            if options.keep.is_for_ever
            else Expiry(options.keep, source, options.intervals_s, limits.expiry, connection=connection)
        )

    @classmethod
    async def open(
        cls,
        store: Store,
        runtime: Runtime,
        name: str,
        options: Options | None = None,
        *,
        journal: bytes | None = None,
        metrics: MarketMetrics | None = None,
        limits: LoaderLimits = LIMITS,
        shard: OwnedShard | None = None,
    ) -> "Loader":
        """Become the writer of the recording `name`; any earlier one is fenced.

        Args:
            journal: the id of the journal whose events are to be loaded; None if that is not known.
            shard: whose journal that is, and what it owns; None: the recording has no shards.

        Raises:
            Corruption: the checkpoint cannot be read.
            ConfigError: its candles were made for other intervals, or it was loaded from another journal.
        """
        options = options or Options()
        checkpoint = await store.acquire(source_of(name)) if shard is None else shard.checkpoint
        state = state_of(checkpoint)
        require_journal(checkpoint.source, state, journal)
        if journal is not None:
            state.journal = journal.hex()
        if state.intervals_s not in ((), options.intervals_s):
            made = ", ".join(map(str, state.intervals_s))
            raise ConfigError(f"{checkpoint.source} has candles of {made} s: continue with these, or take another name")
        state.intervals_s = options.intervals_s
        if any(one.trades is None for one in state.symbols.values()):
            await _count_once(store, source_of(name), state)
        metrics = metrics or MarketMetrics()
        metrics.loaded_us = state.at_us or None
        return cls(
            store,
            runtime,
            checkpoint,
            state,
            options,
            metrics,
            journal,
            limits,
            source=source_of(name),
            connection=CONNECTION if shard is None else connection_of(shard.number),
            owned=None if shard is None else shard.owned,
        )

    @property
    def committed(self) -> EventId:
        """The id of the last event that is in the store; `events.NOTHING` before the first.

        A journal may drop what lies before it, but for the snapshot that says how the books were there.
        """
        return self._committed

    @property
    def refused(self) -> int:
        """Trades and instruments since the start that no row can hold: absurd numbers."""
        return self._projection.refused

    def note_fault(self, fault: Fault) -> None:
        """Tell of a fault of the compiled core at a record, which goes by the Python path then, and count it."""
        self._metrics.core_faults += 1
        _log.error("core_fault", run=fault.id.run, seq=fault.id.seq, error=fault.what)

    async def run(self, events: AsyncIterable[ProjectionInput]) -> None:
        """Load events until there are no more, in commits of a bounded size and age.

        Cancelling it leaves the store at its last commit. Open another loader to continue.

        Args:
            events: from `events_to_load` with `after=committed`; see `projection` for where else they may begin.

        Raises:
            Fenced: another loader writes this recording.
            Full: no room is left for the store.
            Busy: the database was away for longer than `LoaderLimits.store_patience_s`.
            ConfigError: the recording mixes Kraken's protocols. What `events` raises propagates.
        """
        pending = _Pending(events, self._limits)
        try:
            while batch := await pending.next():
                await self.load(batch)
        finally:
            await pending.close()

    async def load(self, events: Sequence[ProjectionInput]) -> None:
        """Load some events, in one commit; nothing is committed if all of them are in the store already."""
        refused = self._projection.refused
        count = 0
        for event in events:
            self._projection.apply(event)
            before = count
            count += event.events if isinstance(event, Stretch) else 1
            for _ in range(count // self._limits.turn_events - before // self._limits.turn_events):
                await self._runtime.sleep(0)  # as often with either core: a simulated world is the same then
        state = self._projection.state
        if state.id == self._committed:
            return  # they were here already
        started = self._runtime.monotonic()
        if self._projection.refused > refused:
            _log.warning("rows_refused", source=self._checkpoint.source, rows=self._projection.refused - refused)
        changes = self._projection.drain()
        for symbol, row in (await self._patiently(lambda: self._contradicted(changes))).items():
            source = self._checkpoint.source
            _log.warning("trade_contradicted", source=source, symbol=symbol, trade_id=row[_TRADE_ID])
        candles, added = await self._patiently(lambda: self._candles(changes))
        expired = await self._patiently(self._expired)
        expired.note_in(state)
        for symbol, count in added.items():
            state.symbols[symbol].trades = (state.symbols[symbol].trades or 0) + count
        # what is noted of a candle was read before this commit, and a candle that this one changes is noted later
        made = {*candles.dropped, *[row[: len(CANDLES.key)] for row in candles.rows]}
        noted = [row for row in expired.candles if row[: len(CANDLES.key)] not in made]
        put = (*changes.replaced, *[Rows(CANDLES, rows) for rows in (candles.rows, noted) if rows])
        after = self._checkpoint.advanced(encode_state(state))
        batch = Batch(self._checkpoint, after, changes.add, put, drop=(*expired.drop, *candles.drop))
        self._runtime.reached("loader.before_commit")
        commit_s = self._runtime.monotonic()
        await self._patiently(lambda: self._store.commit(batch))
        self._runtime.reached("loader.after_commit")
        self._checkpoint, self._committed = batch.after, state.id
        self.traces.loaded(state.id, commit_s, batch.row_count)
        self._count(batch, events[-1].at_us, self._runtime.monotonic() - started)

    async def _expired(self) -> Expired:
        """What is too old to be kept, as the store is before this commit."""
        if self._expiry is None:
            return Expired()
        async with self._store.snapshot() as snapshot:
            return await self._expiry.step(snapshot, self._projection.state)

    def _count(self, batch: Batch, at_us: int, seconds: float) -> None:
        metrics = self._metrics
        metrics.loader_commits.observe(seconds)
        metrics.loaded_us = at_us
        for rows in (*batch.add, *batch.put):
            metrics.loaded[rows.table.name] += len(rows.rows)
            if rows.table is GAPS:
                metrics.gaps += sum(1 for row in rows.rows if row[_CLOSED_AT] is None)

    async def _candles(self, changes: Changes) -> tuple[CandleRows, dict[str, int]]:
        """The candles that the trades touch, made of all their trades: those stored, and these.

        And, by symbol, how many of these are not stored yet.
        """
        by_symbol = _by_symbol(changes.trades)
        made, added = CandleRows(), dict[str, int]()
        if by_symbol:
            finest_us = min(self._options.intervals_s, default=1) * 1_000_000
            async with self._store.snapshot() as snapshot:
                for symbol, trades in by_symbol.items():
                    by_key = await self._stored(snapshot, symbol, trades, finest_us)
                    stored = len(by_key)
                    by_key.update((row[: len(TRADES.key)], row) for row in trades)
                    added[symbol] = len(by_key) - stored
                    intervals_s = self._options.intervals_s
                    await made_candles(snapshot, self._source, symbol, intervals_s, by_key.values(), made)
        return made, added

    async def _contradicted(self, changes: Changes) -> dict[str, Row]:
        """By symbol, the first trade that came with the number of another one: that one is stored, and this is not."""
        by_symbol = _by_symbol(changes.repeated)
        found: dict[str, Row] = {}
        if not by_symbol:
            return found
        known = {said_by(row) for row in changes.numbered}
        async with self._store.snapshot() as snapshot:
            for symbol, rows in by_symbol.items():
                left = [row for row in rows if said_by(row) not in known]
                times = _times_us(left)
                if not times:
                    continue
                stored = await snapshot.select(
                    TRADES,
                    scope=self._source,
                    low=min(times),
                    high=max(times),
                    where={"symbol": symbol},
                    limit=self._limits.repeats_max,
                )
                if len(stored) < self._limits.repeats_max:
                    there = {said_by(row) for row in stored}
                    others = [row for row in left if said_by(row) not in there]
                    if others:
                        found[symbol] = others[0]
        return found

    async def _stored(self, snapshot: Snapshot, symbol: str, trades: list[Row], interval_us: int) -> dict[Row, Row]:
        """The stored trades, by key, of the intervals in which these lie."""
        touched = {bucket(time_us, interval_us) for time_us in _times_us(trades)}
        by_key: dict[Row, Row] = {}
        for low, high in stretches(touched, interval_us):
            where = {"symbol": symbol}
            stored_rows = await snapshot.select(TRADES, scope=self._source, low=low, high=high, where=where)
            by_key.update((row[: len(TRADES.key)], row) for row in stored_rows)
        return by_key

    async def _patiently(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Try until the database is there, and not busy."""

        def tell(error: Busy) -> None:
            _log.warning("store_busy", source=self._checkpoint.source, error=str(error))

        waits, patience_s = delays(self._runtime.random("loader"), max_s=10.0), self._limits.store_patience_s
        return await patiently(self._runtime, attempt, patience_s=patience_s, waits=waits, on_busy=tell)


def _by_symbol(trades: Iterable[Row]) -> dict[str, list[Row]]:
    """Rows of trades, by symbol."""
    found: dict[str, list[Row]] = {}
    for row in trades:
        found.setdefault(str(row[_SYMBOL]), []).append(row)
    return found


def _times_us(trades: Iterable[Row]) -> list[int]:
    return [time_us for row in trades if isinstance(time_us := row[_TIME_US], int)]


async def _count_once(store: Store, source: str, state: ProjectionState) -> None:
    """Count the trades that an older tidelog has stored; the next commit keeps what was counted."""
    found: Counter[Value] = Counter()
    async with store.snapshot() as snapshot:
        async for rows in snapshot.scan(TRADES, scope=source):
            found.update([row[_SYMBOL] for row in rows])
    for name, symbol_state in state.symbols.items():
        symbol_state.trades = found[name]


class _Pending:
    """Gathers events while the loader is at a commit: at most one more batch, then the source waits."""

    def __init__(self, events: AsyncIterable[ProjectionInput], limits: LoaderLimits) -> None:
        self._limits = limits
        self._gathered: list[ProjectionInput] = []
        self._weight = 0  # of those, in events
        self._some, self._full, self._room = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._task = asyncio.create_task(self._gather(events))

    async def _gather(self, events: AsyncIterable[ProjectionInput]) -> None:
        try:
            async for event in events:
                while self._weight >= self._limits.batch_events:
                    self._room.clear()
                    await self._room.wait()
                self._gathered.append(event)
                self._weight += 1 + event.events // self._limits.stretch_share if isinstance(event, Stretch) else 1
                self._some.set()
                if self._weight >= self._limits.batch_events:
                    self._full.set()
        finally:
            self._some.set()
            self._full.set()
            if isinstance(events, AsyncGenerator):  # what it holds open is to end with this, not at some later time
                await events.aclose()

    async def next(self) -> list[ProjectionInput]:
        """The events of the next commit; none when the source has ended. What it raised is raised here."""
        await self._some.wait()
        try:
            async with asyncio.timeout(self._limits.batch_age_s):
                await self._full.wait()
        except TimeoutError:
            pass
        batch, self._gathered, self._weight = self._gathered, [], 0
        if not self._task.done():
            self._some.clear()
            self._full.clear()
        self._room.set()
        if not batch:
            await self._task
        return batch

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
