"""Verify a recording: make its rows again from its journals where these are here, and compare them with each other.

A whole journal gives the same store again, row by row; the loader makes it, in a temporary database. One whose
beginning was dropped, or that came after a lost one, does so for the records that it has. Of a recording with shards
each row is held against the journal that it comes from, and what was known of a symbol while it moved from one to the
next against all of them.
"""

import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from msgspec import Struct
from msgspec.structs import replace

from tidelog.batch import INT_MAX, Row, Table
from tidelog.errors import ConfigError
from tidelog.market.events import EventId
from tidelog.market.journal.reader import JournalReader
from tidelog.market.load.loader import SAMPLE_S, Loader, Options, require_journal
from tidelog.market.load.recorded import Recorded, connection_of, recorded, source_of, state_of
from tidelog.market.maintenance.audit import audit, may_be_gone, rows_of
from tidelog.market.maintenance.journals import Located, located
from tidelog.market.maintenance.remaking import Damaged, Overtaken, Remaking, unbroken
from tidelog.market.projection.candles import bucket
from tidelog.market.projection.projection import CONNECTION
from tidelog.market.projection.state import ProjectionState, encode_state
from tidelog.market.projection.tables import BOOK_SNAPSHOTS, CANDLES, COVERAGE, GAPS, INSTRUMENTS, MARKET_TABLES, TRADES
from tidelog.market.replay.position import events_to_load
from tidelog.market.shards.layout import shard_of_run
from tidelog.runtime import Runtime
from tidelog.store import Snapshot, Store, open_store

__all__ = ["Reach", "Report", "differences", "shards_again", "verify_market"]

BEGINNING_OF_ALL = EventId(1, 1)  # a journal's first record, if nothing was dropped
TRIES_MAX = 8  # to read a journal whose oldest records are dropped meanwhile: reading soon leaves those behind

_FOUND = (TRADES, BOOK_SNAPSHOTS)  # whose rows say where in the journal they come from
_COMPARED = (*MARKET_TABLES, GAPS)
_SCOPE, _SYMBOL = GAPS.index("scope"), TRADES.index("symbol")


class Reach(Struct, frozen=True):
    """What of a recording's rows its journals can make again."""

    begins: dict[int, EventId]  # by the number of the shard: the first record that its journal has here
    whole: bool = False  # all of them
    symbols: frozenset[str] = frozenset()  # else: all of these
    connections: frozenset[str] = frozenset()  # ... and of the gaps of these
    instruments: bool = False  # ... and of what comes without a symbol
    divided: bool = False  # whether the recording has shards

    def makes_all(self, table: Table, row: Row) -> bool:
        """Whether a row, if there has to be one, comes out as it was, with what lies before and after it."""
        if self.whole:
            return True
        if table is INSTRUMENTS:
            return self.instruments
        if table is GAPS:
            scope = str(row[_SCOPE])
            return scope in self.connections or scope.removeprefix("trades:") in self.symbols
        return row[_SYMBOL] in self.symbols

    def has(self, table: Table, row: Row) -> bool:
        """Whether a row comes from a record that is here."""
        at = _record(table, row)
        begin = self.begins.get(shard_of_run(at.run))
        return begin is not None and at >= begin


def _record(table: Table, row: Row) -> EventId:
    """The record that a row of `_FOUND` comes from."""
    seq = table.index("seq")
    return EventId(*row[seq - 1 : seq + 1])  # type: ignore[arg-type]


class Report(Struct):
    """What `tidelog market verify` found."""

    source: str
    rows: dict[str, int]  # by table
    folded: EventId | None = None  # the journal was folded again from here on; None: it was not
    whole: bool = False  # ... which is its beginning, and nothing of the store had expired
    shards: int = 1  # whose journals the rows come from
    journals: Located | None = None  # of these; None: the recording has no shards
    expired: bool = False
    findings: list[str] = []

    @property
    def not_looked_at(self) -> str:
        """What is vouched for by nothing, for people."""
        parts = []
        if self.journals is not None:
            parts += _beyond(self.journals)
        elif self.folded is None:
            parts.append(
                "the journal (none was given): whether all that it has is here, and contents of trades and books"
            )
        elif not self.whole:
            parts.append(
                f"what is from before record {self.folded.run}.{self.folded.seq} of the journal, but for order"
            )
            parts.append("coverage and gaps against the journal")
        if self.expired:
            parts.append("candles whose trades have expired")
        parts.append("whether candles that say that they are complete were so")
        parts.append("what the exchange itself had")
        return "not looked at: " + "; ".join(parts)


def _beyond(journals: Located) -> list[str]:
    """What of a recording with shards no journal shows."""
    parts = [
        f"the journal of shard {number} ({why}): whether all that it has is here, and contents of its trades and books"
        for number, why in sorted(journals.absent.items())
    ]
    for number, begin in sorted(journals.begins.items()):
        if number not in journals.whole:
            parts.append(
                f"what is from before record {begin.run}.{begin.seq} of {journals.paths[number]}, but for order"
            )
    if parts:
        parts.append("against the journals, coverage and gaps of what these shards have, or may have had")
    return parts


async def verify_market(
    store: Store,
    runtime: Runtime,
    name: str,
    journals: Sequence[str] = (),
    *,
    usual: str | None = None,
    host: str = "",
    findings_max: int = 1,
    sample_s: int = SAMPLE_S,
) -> Report:
    """Verify the recording `name`.

    Args:
        journals: the paths of its journal, or of those of its shards; of shards those that are not named are looked
            for where the store's record of them says. None of a recording without shards, and no usual one: the rows
            are only compared with each other.
        usual: a journal that may be the recording's, or its first shard's.
        host: this machine, as the record of shards names it.
        findings_max: stop after so many findings.
        sample_s: the interval in which its books were stored once, as `Options.sample_s`: no store says it.

    Raises:
        ConfigError: nothing is recorded under that name, or a journal is another one's.
        Corruption: a checkpoint, or the journal of a recording without shards, cannot be read.
    """
    source = source_of(name)
    async with store.snapshot() as snapshot:  # one view: what is recorded meanwhile shows in none of it
        found = await recorded(snapshot, name)
        if found is None or found.commits == 0:
            raise ConfigError(f"the store holds no recording {name!r}")
        rows = {table.name: await snapshot.count(table, scope=source) for table in _COMPARED}
        expired = any(one.from_us for one in found.state.symbols.values())
        report = Report(source, rows, shards=len(found.shards), expired=expired, findings=[])
        if found.claims is not None:
            report.journals = await runtime.compute(lambda: located(found, journals, host, usual))
        elif len(journals) > 1:
            raise ConfigError(f"{source} has no shards: give its one journal")
        await _gather(report, audit(snapshot, source, found), findings_max)
        report.findings += (await store.check_integrity())[: findings_max - len(report.findings)]
        left = findings_max - len(report.findings)
        if left > 0 and report.journals is not None:
            report.findings += report.journals.wrong[:left]
            await _hold_shards(report, snapshot, runtime, name, found, sample_s, findings_max)
        elif left > 0 and (journal := journals[0] if journals else usual) is not None:
            await _hold(report, snapshot, runtime, name, found, journal, sample_s, findings_max)
    return report


async def _gather(report: Report, found: AsyncIterator[str], findings_max: int) -> None:
    async for difference in found:
        report.findings.append(difference)
        if len(report.findings) >= findings_max:
            return


# -- a recording of one journal --------------------------------------------------------------------------------------


async def _hold(
    report: Report,
    stored: Snapshot,
    runtime: Runtime,
    name: str,
    found: Recorded,
    journal: str,
    sample_s: int,
    findings_max: int,
) -> None:
    """Hold the rows against what their journal makes."""
    _begin(journal, source_of(name), found.state)
    for _ in range(TRIES_MAX):
        async with _passing_store(runtime) as again:
            try:
                folded = await _project_again(again, runtime, name, journal, found.state, sample_s)
                await _hold_folded(report, stored, again, found, folded, journal, sample_s, findings_max)
                return
            except Overtaken:
                pass
    raise _too_fast(journal)


@asynccontextmanager
async def _passing_store(runtime: Runtime) -> AsyncIterator[Store]:
    """An empty store for rows that are made again. It is removed when left."""
    with tempfile.TemporaryDirectory(prefix="tidelog-verify-") as folder:
        store = await open_store(f"sqlite:///{folder}/again.db", runtime)
        try:
            yield store
        finally:
            await store.close()


def _too_fast(journal: str) -> ConfigError:
    return ConfigError(f"{journal}: its oldest records are dropped faster than they are read: verify by a copy of it")


async def _hold_folded(
    report: Report,
    stored: Snapshot,
    again: Store,
    found: Recorded,
    folded: ProjectionState,
    journal: str,
    sample_s: int,
    findings_max: int,
) -> None:
    """Compare the rows of both stores, and what both have come to."""
    source, state = report.source, found.state
    begin, report.whole = _begin(journal, source, state)  # retention may have dropped some since it was read
    report.folded = begin
    async with again.snapshot() as made:
        reach = Reach({1: begin}, whole=report.whole)
        compared = differences(stored, made, source, state, reach, expired=report.expired, sample_s=sample_s)
        await _gather(report, compared, findings_max)
    if len(report.findings) < findings_max and report.whole and not report.expired and _all(state) != _all(folded):
        report.findings.append("the checkpoint is another one than the journal leads to")


def _begin(journal: str, source: str, state: ProjectionState) -> tuple[EventId, bool]:
    """Where the journal begins, and whether that is the beginning of all."""
    reader = JournalReader(journal)
    try:
        require_journal(source, state, None if reader.identity is None else reader.identity.id)
        ends, dropped = reader.ends(), reader.dropped()
    finally:
        reader.close()
    if ends is None or ends.last < state.id:
        raise ConfigError(
            f"{journal} ends before record {tuple(state.id)}, up to which {source} was loaded: it is not all of it"
        )
    return ends.first, ends.first == BEGINNING_OF_ALL and dropped is None


async def _project_again(
    again: Store, runtime: Runtime, name: str, journal: str, state: ProjectionState, sample_s: int
) -> ProjectionState:
    """Load what the store has loaded, and no more; the state that this leads to. Overtaken: see there."""
    loader = await Loader.open(again, runtime, name, Options(state.intervals_s, sample_s))
    await loader.run(unbroken(events_to_load(journal, runtime, until=state.id, ending=lambda: True)))
    async with again.snapshot() as snapshot:
        checkpoint = await snapshot.checkpoint(source_of(name))
    assert checkpoint is not None
    return state_of(checkpoint)


def _all(state: ProjectionState) -> str:
    """All of a state that the journal decides."""
    return encode_state(replace(state, journal=""))


# -- a recording with shards -----------------------------------------------------------------------------------------


async def _hold_shards(
    report: Report, stored: Snapshot, runtime: Runtime, name: str, found: Recorded, sample_s: int, findings_max: int
) -> None:
    """Hold the rows against what the journals of the shards make; again without one that turns out to be damaged."""
    journals = report.journals
    assert journals is not None
    overtaken = 0
    while journals.paths and len(report.findings) < findings_max:
        async with _passing_store(runtime) as again:
            try:
                compared = shards_again(stored, again, runtime, name, found, journals, sample_s, expired=report.expired)
                await _gather(report, compared, findings_max)
                return
            except Damaged as damaged:
                report.findings.append(f"the journal of shard {damaged.number}: {damaged}")
                journals.lose(damaged.number, "it is damaged")
            except Overtaken:
                overtaken += 1
                if overtaken == TRIES_MAX:
                    raise _too_fast(", ".join(journals.paths.values())) from None


async def shards_again(
    stored: Snapshot,
    again: Store,
    runtime: Runtime,
    name: str,
    found: Recorded,
    journals: Located,
    sample_s: int,
    *,
    expired: bool,
    vfs: str | None = None,
) -> AsyncIterator[str]:
    """What a store and its checkpoints have that the journals of the shards do not make, and the reverse.

    Args:
        again: an empty store, for what they make.

    Raises:
        Damaged: one of the journals cannot be read.
        Overtaken: records of one were dropped before they were read.
    """
    source = source_of(name)
    made = await Remaking(again, runtime, name, found, journals.paths, sample_s, vfs=vfs).run()
    if vfs is None:
        await runtime.compute(journals.look_again)
    reach = _reach(found, journals)
    async with again.snapshot() as snapshot:
        compared = differences(stored, snapshot, source, found.state, reach, expired=expired, sample_s=sample_s)
        async for difference in compared:
            yield difference
    if expired:
        return
    for number in sorted(journals.whole):
        if _standing(found.shards[number]) != _standing(made.shards[number]):
            yield f"the checkpoint of shard {number} is another one than {journals.paths[number]} leads to"
    symbols = made.symbols.keys() | found.state.symbols.keys() if reach.whole else reach.symbols
    for symbol in sorted(symbols):
        if found.state.symbols.get(symbol) != made.symbols.get(symbol):
            yield f"what the checkpoint says of {symbol} is not what the journals lead to"


def _standing(state: ProjectionState) -> str:
    """All of a shard's state that its journal alone decides."""
    return encode_state(replace(state, journal="", symbols={}, leaving={}, entered=0))


def _reach(found: Recorded, journals: Located) -> Reach:
    if not journals.absent and journals.whole == journals.paths.keys():
        return Reach(journals.begins, whole=True, divided=True)
    apart = journals.absent.keys() | journals.paths.keys() - journals.whole
    had = {} if found.claims is None else found.claims.had
    symbols = [symbol for symbol in found.state.symbols if symbol in had and apart.isdisjoint(had[symbol])]
    connections = frozenset(map(connection_of, journals.whole))
    return Reach(journals.begins, False, frozenset(symbols), connections, 1 in journals.whole, divided=True)


# -- both stores -----------------------------------------------------------------------------------------------------


async def differences(
    stored: Snapshot,
    again: Snapshot,
    source: str,
    state: ProjectionState,
    reach: Reach,
    *,
    expired: bool,
    sample_s: int,
) -> AsyncIterator[str]:
    """What the store has that the journals do not make, and the reverse."""
    for table in _COMPARED:
        if table is CANDLES and expired:
            continue  # they were made of trades that are gone
        if table not in _FOUND and not (reach.whole or reach.connections or reach.symbols):
            continue
        merging = _Merging(
            table,
            reach,
            state,
            expired=expired,
            oldest=await _oldest(stored, table, source),
            begun={} if reach.whole else await _oldest(again, table, source),
            sample_us=sample_s * 1_000_000,
        )
        async for difference in merging.run(rows_of(stored, table, source), rows_of(again, table, source)):
            yield difference


def _kind(table: Table, row: Row) -> Row:
    """What a row is one of, in time: the key without its last column, the time."""
    return row[1 : table.index(_time(table))]


def _time(table: Table) -> str:
    return {COVERAGE.name: "since_us", GAPS.name: "first", INSTRUMENTS.name: "symbol"}.get(table.name, "time_us")


def _age(table: Table, row: Row) -> int:
    time = row[table.index(_time(table))]
    return time if isinstance(time, int) else 0


async def _oldest(snapshot: Snapshot, table: Table, source: str) -> dict[Row, int]:
    """Of each kind of row, how old the oldest is: retention drops from the old end."""
    found: dict[Row, int] = {}
    async for row in rows_of(snapshot, table, source):
        found.setdefault(_kind(table, row), _age(table, row))
    return found


class _Merging:
    """The rows of one table, those that are stored and those that the journals make, side by side in key order."""

    def __init__(
        self,
        table: Table,
        reach: Reach,
        state: ProjectionState,
        *,
        expired: bool,
        oldest: dict[Row, int],
        begun: dict[Row, int],
        sample_us: int,
    ) -> None:
        self._table = table
        self._reach = reach
        self._state = state
        self._expired = expired
        self._oldest = oldest
        self._begun = begun
        self._sample_us = sample_us
        self._elsewhere: tuple[Row, int] | None = None  # the last stored book that comes from what is not here
        compared = [(at, column) for at, column in enumerate(table.columns) if column.name != "complete"]
        self._columns = [at for at, _ in compared]
        self._content = [at for at, column in compared if column.content]  # a row may have come from elsewhere first

    async def run(self, ours: AsyncIterator[Row], theirs: AsyncIterator[Row]) -> AsyncIterator[str]:
        table = self._table
        places = [table.index(name) for name in table.key]
        mine, other = await anext(ours, None), await anext(theirs, None)
        while mine is not None or other is not None:
            key, key_again = (None if row is None else tuple([row[at] for at in places]) for row in (mine, other))
            if mine is not None and (key_again is None or (key is not None and key < key_again)):
                if self._is_due(mine):
                    yield f"the journal does not make this row of {table.name}: {self._shown(mine)}"
                mine = await anext(ours, None)
            elif other is not None and (key is None or key != key_again):
                if not self._may_lack(other):
                    yield f"a row of {table.name} that the journal makes is not there: {self._shown(other)}"
                other = await anext(theirs, None)
            else:
                assert mine is not None
                assert other is not None
                names = [table.names[at] for at in self._compared(mine) if mine[at] != other[at]]
                if names:
                    what = ", ".join(names)
                    yield f"this row of {table.name} has another {what} than the journal: {self._shown(mine)}"
                mine, other = await anext(ours, None), await anext(theirs, None)

    def _compared(self, row: Row) -> list[int]:
        if self._reach.makes_all(self._table, row):
            return self._columns
        return self._content if self._table in _FOUND else []

    def _is_due(self, row: Row) -> bool:
        """Whether a row of the store has to come out of the journals."""
        if self._reach.makes_all(self._table, row):
            return True
        if self._table not in _FOUND:
            return False
        due = self._reach.has(self._table, row)
        if not due and self._table is BOOK_SNAPSHOTS:
            self._elsewhere = (_kind(self._table, row), bucket(_age(self._table, row), self._sample_us))
        return due

    def _may_lack(self, row: Row) -> bool:
        """Whether the store may lack a row that the journals make: it has expired, or was not wanted."""
        table = self._table
        makes_all = self._reach.makes_all(table, row)
        if not makes_all and table not in _FOUND:
            return True
        if table is INSTRUMENTS:
            return False
        age, kind = _age(table, row), _kind(table, row)
        sampled = self._begun.get(kind) == age or self._elsewhere == (kind, bucket(age, self._sample_us))
        if table is BOOK_SNAPSHOTS and not makes_all and sampled:
            return True  # there was a book already, from before the journal begins, or from one that is not here
        if table is TRADES or (table is GAPS and not str(row[_SCOPE]).startswith(CONNECTION)):
            return self._expired and age < self._oldest.get(kind, INT_MAX)
        return may_be_gone(self._state, age) and age < self._oldest.get(kind, INT_MAX)

    def _shown(self, row: Row) -> str:
        """A row for people: its key, and where in which journal it comes from, if it says so."""
        table = self._table
        shown = ", ".join(f"{name} {row[table.index(name)]!s}" for name in table.key[1:])
        if table not in _FOUND:
            return shown
        run, seq = _record(table, row)
        shard = f" of shard {shard_of_run(run)}" if self._reach.divided else ""
        return f"{shown}, of record {run}.{seq}{shard}"
