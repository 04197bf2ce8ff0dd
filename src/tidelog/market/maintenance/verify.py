"""Verify a recording: project its journal again where that is given, and compare its rows with each other.

A whole journal gives the same store again, row by row; the loader makes it, in a temporary database. One whose
beginning was dropped, or that came after a lost one, does so for the records that it has.
"""

import tempfile
from collections.abc import AsyncIterator, Callable

from msgspec import Struct
from msgspec.structs import replace

from tidelog.batch import INT_MAX, Row, Table
from tidelog.errors import ConfigError
from tidelog.market.events import EventId
from tidelog.market.journal.reader import JournalReader
from tidelog.market.load.loader import SAMPLE_S, Loader, Options, require_journal
from tidelog.market.load.recorded import recorded, source_of, state_of
from tidelog.market.maintenance.audit import audit, may_be_gone, rows_of
from tidelog.market.projection.state import ProjectionState, encode_state
from tidelog.market.projection.tables import BOOK_SNAPSHOTS, CANDLES, COVERAGE, GAPS, INSTRUMENTS, MARKET_TABLES, TRADES
from tidelog.market.replay.position import events_to_load
from tidelog.runtime import Runtime
from tidelog.store import Snapshot, Store, open_store

__all__ = ["Report", "differences", "verify_market"]

BEGINNING_OF_ALL = EventId(1, 1)  # a journal's first record, if nothing was dropped

_FOUND = (TRADES, BOOK_SNAPSHOTS)  # whose rows say where in the journal they come from
_COMPARED = (*MARKET_TABLES, GAPS)
_SCOPE = GAPS.index("scope")


class Report(Struct):
    """What `tidelog market verify` found."""

    source: str
    rows: dict[str, int]  # by table
    folded: EventId | None = None  # the journal was folded again from here on; None: it was not
    shards: int = 1  # whose journals the rows come from
    whole: bool = False  # ... which is its beginning, and nothing of the store had expired
    expired: bool = False
    findings: list[str] = []

    @property
    def not_looked_at(self) -> str:
        """What is vouched for by nothing, for people."""
        parts = []
        if self.folded is None and self.shards > 1:
            parts.append(
                f"the journals of the {self.shards} shards: whether all that they have is here, and contents of trades "
                "and books"
            )
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


async def verify_market(
    store: Store, runtime: Runtime, name: str, journal: str | None, *, findings_max: int = 1, sample_s: int = SAMPLE_S
) -> Report:
    """Verify the recording `name`.

    Args:
        journal: the path of its journal; None: the rows are only compared with each other.
        findings_max: stop after so many findings.
        sample_s: the interval in which its books were stored once, as `Options.sample_s`: no store says it.

    Raises:
        ConfigError: nothing is recorded under that name, or the journal is another one's.
        Corruption: the checkpoint, or the journal, cannot be read.
    """
    source = source_of(name)
    async with store.snapshot() as snapshot:  # one view: what is recorded meanwhile shows in none of it
        found = await recorded(snapshot, name)
        if found is None or found.commits == 0:
            raise ConfigError(f"the store holds no recording {name!r}")
        state = found.state
        if len(found.shards) > 1:
            journal = None  # which of them a row is to be made from, the symbols' moves decide: see `Report`
        rows = {table.name: await snapshot.count(table, scope=source) for table in _COMPARED}
        expired = any(one.from_us for one in state.symbols.values())
        report = Report(source, rows, shards=len(found.shards), expired=expired, findings=[])
        await _gather(report, audit(snapshot, source, found), findings_max)
        report.findings += (await store.check_integrity())[: findings_max - len(report.findings)]
        if journal is not None and len(report.findings) < findings_max:
            report.folded, report.whole = _begin(journal, source, state)
            with tempfile.TemporaryDirectory(prefix="tidelog-verify-") as folder:
                again = await open_store(f"sqlite:///{folder}/again.db", runtime)
                try:
                    folded = await _project_again(again, runtime, name, journal, state, sample_s)
                    async with again.snapshot() as other:
                        compared = differences(snapshot, other, source, state, folded, report)
                        await _gather(report, compared, findings_max)
                finally:
                    await again.close()
    return report


async def _gather(report: Report, found: AsyncIterator[str], findings_max: int) -> None:
    async for difference in found:
        report.findings.append(difference)
        if len(report.findings) >= findings_max:
            return


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
    """Load what the store has loaded, and no more; the state that this leads to."""
    loader = await Loader.open(again, runtime, name, Options(state.intervals_s, sample_s))
    await loader.run(events_to_load(journal, runtime, until=state.id, ending=lambda: True))
    async with again.snapshot() as snapshot:
        checkpoint = await snapshot.checkpoint(source_of(name))
    assert checkpoint is not None
    return state_of(checkpoint)


# -- both stores -----------------------------------------------------------------------------------------------------


async def differences(
    stored: Snapshot, again: Snapshot, source: str, state: ProjectionState, folded: ProjectionState, report: Report
) -> AsyncIterator[str]:
    """What the store has that the journal does not make, and the reverse."""
    begin, whole = report.folded or BEGINNING_OF_ALL, report.whole
    for table in _COMPARED if whole else _FOUND:
        if table is CANDLES and report.expired:
            continue  # they were made of trades that are gone
        oldest = await _oldest(stored, table, source)
        begun = {} if whole else await _oldest(again, table, source)
        place = table.index("seq") if table in _FOUND else None

        def is_due(row: Row, table: Table = table, place: int | None = place) -> bool:
            """Whether a row of the store has to come out of the journal."""
            return place is None or whole or EventId(*row[place - 1 : place + 1]) >= begin  # type: ignore[arg-type]

        def may_lack(
            row: Row, table: Table = table, oldest: dict[Row, int] = oldest, begun: dict[Row, int] = begun
        ) -> bool:
            """Whether the store may lack a row that the journal makes: it has expired, or was not wanted."""
            if table is INSTRUMENTS:
                return False
            age, kind = _age(table, row), _kind(table, row)
            if table is BOOK_SNAPSHOTS and begun.get(kind) == age:
                return True  # of its first moments there was a book already, from before the journal begins
            if table is TRADES or (table is GAPS and row[_SCOPE] != "connection"):
                return report.expired and age < oldest.get(kind, INT_MAX)
            return may_be_gone(state, age) and age < oldest.get(kind, INT_MAX)

        async for difference in _merged(stored, again, table, source, is_due, may_lack, whole=whole):
            yield difference
    if whole and not report.expired and _compared(state) != _compared(folded):
        yield "the checkpoint is another one than the journal leads to"


def _compared(state: ProjectionState) -> str:
    """All of a state that the journal decides."""
    return encode_state(replace(state, journal=""))


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


async def _merged(
    stored: Snapshot,
    again: Snapshot,
    table: Table,
    source: str,
    is_due: Callable[[Row], bool],
    may_lack: Callable[[Row], bool],
    *,
    whole: bool,
) -> AsyncIterator[str]:
    """Both sides' rows in key order, side by side."""
    places = [table.index(name) for name in table.key]
    compared = [
        at
        for at, column in enumerate(table.columns)
        if column.name != "complete" and (whole or column.content)  # a row may have come in an earlier journal first
    ]
    ours, theirs = rows_of(stored, table, source), rows_of(again, table, source)
    mine, other = await anext(ours, None), await anext(theirs, None)
    while mine is not None or other is not None:
        key, key_again = (None if row is None else tuple([row[at] for at in places]) for row in (mine, other))
        if mine is not None and (key_again is None or (key is not None and key < key_again)):
            if is_due(mine):
                yield f"the journal does not make this row of {table.name}: {_shown(table, mine)}"
            mine = await anext(ours, None)
        elif other is not None and (key is None or key != key_again):
            if not may_lack(other):
                yield f"a row of {table.name} that the journal makes is not there: {_shown(table, other)}"
            other = await anext(theirs, None)
        else:
            assert mine is not None
            assert other is not None
            names = [table.names[at] for at in compared if mine[at] != other[at]]
            if names:
                yield f"this row of {table.name} has another {', '.join(names)} than the journal: {_shown(table, mine)}"
            mine, other = await anext(ours, None), await anext(theirs, None)


def _shown(table: Table, row: Row) -> str:
    return ", ".join(f"{name} {row[table.index(name)]!s}" for name in table.key[1:])
