"""What a journal's file drops, and how it records that. SQL alone; `file` owns the connection.

A journal begins at a snapshot and nowhere else, so a cut is made only there. The last dropped record is stored in the
same commit, so that a reader that had not read so far can tell; no other reader is affected.

https://sqlite.org/pragma.html#pragma_freelist_count: what is freed is used again; the file never shrinks.
"""

import enum

import apsw
import msgspec
from msgspec import Struct

from tidelog.market.events import EventId

PRUNED_BLOCKS_MAX = 5_000  # per call, so that a commit never waits long behind it

DROPPED_DDL = """
CREATE TABLE IF NOT EXISTS dropped (
    one INTEGER PRIMARY KEY CHECK (one = 1), -- there is one row, or none as long as nothing was dropped
    run INTEGER NOT NULL,                    -- the last record that was dropped
    seq INTEGER NOT NULL,
    at_us INTEGER NOT NULL,
    reason TEXT NOT NULL
) STRICT;
"""


class Reason(enum.Enum):
    PRUNED = "journal_pruned"  # by age or size, and every known reader had read it
    FULL = "journal_full"  # at the size cap, and a reader had not read it


class Dropped(Struct, frozen=True):
    """The last record that was dropped from a journal, with its time; all before it are dropped too."""

    id: EventId
    at_us: int
    reason: str


class PruneLimits(Struct, frozen=True):
    """A `Retention` at one moment: what one pruning may drop.

    before_us: records from before this time may be dropped.
    bytes_max: above so many bytes the oldest may be dropped.
    restart: the position of the slowest reader; nothing that it needs to continue there is dropped.
    at_all_costs: above `bytes_max` the oldest are dropped even beyond `restart`; `before_us` is ignored.
    """

    before_us: int | None = None
    bytes_max: int | None = None
    restart: EventId | None = None
    at_all_costs: bool = False


def used_bytes(connection: apsw.Connection) -> int:
    """Bytes of the file that are in use; what is beside that is written to before the file grows."""
    pages: int = connection.pragma("page_count") - connection.pragma("freelist_count")
    size: int = connection.pragma("page_size")
    return pages * size


def dropped_of(connection: apsw.Connection) -> Dropped | None:
    """The last dropped record, or None. For journals that predate the `dropped` table, inferred from the first run."""
    if connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'dropped'").get is not None:
        row = connection.execute("SELECT run, seq, at_us, reason FROM dropped").get
        if row is not None:
            run, seq, at_us, reason = msgspec.convert(
                row, tuple[int, int, int, str]
            )  # ValidationError if it is damaged
            return Dropped(EventId(run, seq), at_us, reason)
    first = connection.execute("SELECT run, first_seq FROM runs ORDER BY run LIMIT 1").get
    if first is None:
        return None
    run, first_seq = first
    return Dropped(EventId(run, first_seq - 1), 0, Reason.PRUNED.value) if first_seq > 1 else None


class _Cut(Struct, frozen=True):
    """The journal is to begin here; so many blocks are before it."""

    at: EventId
    blocks: int


def prune(connection: apsw.Connection, bounds: PruneLimits) -> int:
    """Drop the oldest blocks within a transaction of the caller's; how many, about PRUNED_BLOCKS_MAX at most."""
    excess = 0 if bounds.bytes_max is None else used_bytes(connection) - bounds.bytes_max
    cut = _forced_cut(connection, excess) if bounds.at_all_costs else _cut(connection, bounds, excess)
    if cut is None or cut.blocks == 0:
        return 0
    run, seq, at_us = connection.execute(
        "SELECT run, first_seq + count - 1, last_us FROM blocks WHERE (run, first_seq) < (?, ?) "
        "ORDER BY run DESC, first_seq DESC LIMIT 1",
        cut.at,
    ).get
    passes = bounds.restart is not None and EventId(run, seq) > bounds.restart
    reason = Reason.FULL if passes else Reason.PRUNED
    connection.execute("INSERT OR REPLACE INTO dropped VALUES (1, ?, ?, ?, ?)", (run, seq, at_us, reason.value))
    connection.execute("DELETE FROM blocks WHERE (run, first_seq) < (?, ?)", cut.at)
    connection.execute("DELETE FROM runs WHERE run < ?", (cut.at.run,))
    connection.execute("UPDATE runs SET first_seq = ? WHERE run = ?", (cut.at.seq, cut.at.run))
    return cut.blocks


def _cut(connection: apsw.Connection, bounds: PruneLimits, excess: int) -> _Cut | None:
    """The last snapshot before which everything may be dropped."""
    restart, before_us = bounds.restart, bounds.before_us
    cut: _Cut | None = None
    dropped_bytes = 0
    oldest = connection.execute(
        "SELECT run, first_seq, count, last_us, restart_seq, length(frames) FROM blocks "
        "ORDER BY run, first_seq LIMIT ?",
        (PRUNED_BLOCKS_MAX + 1,),
    )
    for passed, (run, first_seq, count, last_us, restart_seq, size) in enumerate(oldest):
        if restart_seq is not None and (restart is None or EventId(run, restart_seq) <= restart):
            cut = _Cut(EventId(run, first_seq), passed)
        old = before_us is not None and last_us < before_us
        needed = restart is not None and EventId(run, first_seq + count - 1) >= restart
        if needed or not (old or dropped_bytes < excess):
            break
        dropped_bytes += size
    return cut


def _forced_cut(connection: apsw.Connection, excess: int) -> _Cut | None:
    """The first snapshot before which `excess` bytes lie; None if none is so late.

    Where that would be many blocks, one on the way there: the rest is for the next call.
    """
    if excess <= 0:
        return None
    cut: _Cut | None = None
    dropped_bytes = 0
    oldest = connection.execute(
        "SELECT run, first_seq, restart_seq, length(frames) FROM blocks ORDER BY run, first_seq"
    )
    for passed, (run, first_seq, restart_seq, size) in enumerate(oldest):
        if restart_seq is not None and passed:
            cut = _Cut(EventId(run, first_seq), passed)
            if dropped_bytes >= excess or passed >= PRUNED_BLOCKS_MAX:
                return cut
        dropped_bytes += size
    return None
