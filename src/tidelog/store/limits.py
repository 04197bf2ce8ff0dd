"""How long a store waits and how much it holds, as values with their reasons: `open_store(limits=..)` takes others."""

from msgspec import Struct

__all__ = ["STORE_LIMITS", "FingerprintLimits", "PostgresLimits", "SqliteLimits", "StoreLimits"]


SEGMENT_ROWS = 131_072  # some 270 busy blocks: each page of its part of an index is written once or twice in history


class FingerprintLimits(Struct, frozen=True):
    """Of what spares a search to look into each segment, see `store.fingerprints`."""

    near_segments: int = 128  # that a search looks into before it asks: a millisecond. A store of fewer has none.
    section_segments: int = 512  # a search reads a row of each section, of a chain of 22 million blocks 117 of 4 kB
    # of a segment that gets them: 50 MB in memory, and a second. An earlier release left a whole chain as one.
    rows_max: int = 32 * SEGMENT_ROWS
    parts_at_once: int = 1  # that a commit moves: 240,000 fingerprints, some 0.1 s


class SqliteLimits(Struct, frozen=True):
    """Of a store in a file. A page of a new one has 16,384 bytes, of an old one 8,192."""

    write_patience_s: float = 10.0  # the longest commit of another writer, a replaced reorg, takes a second or two
    read_patience_s: float = 5.0  # a reader meets a lock only while another process recovers or removes the log
    readers_max: int = 4  # snapshots at once; each has a thread and a page cache. Further ones wait their turn.
    checkpoint_pages: int = 1_000  # 16 MB: at this size the log is copied into the file, as far as readers allow
    wal_pages_max: int = 8_000  # 128 MB: past this the log is cut, and the writer waits for readers to allow it
    segment_rows: int = SEGMENT_ROWS  # of a full segment, see `store.segments`
    fingerprints: FingerprintLimits = FingerprintLimits()
    wal_cut_wait_ms: int = 500  # ... so long, and tries again when the log has grown by `checkpoint_pages`


class PostgresLimits(Struct, frozen=True):
    """Of a store in a server."""

    write_patience_s: float = 60.0  # a server that crashed replays its log before it answers
    open_patience_s: float = 5.0  # a user who gave the wrong host wants to know soon
    read_patience_s: float = 10.0  # a restart of the server takes some seconds
    readers_max: int = 4  # snapshots at once: a server has a hundred connections for everybody. Others wait.
    segment_rows: int = SEGMENT_ROWS  # of a full segment, see `store.segments`
    fingerprints: FingerprintLimits = FingerprintLimits()
    waiting_first_s: float = 3.0  # until the log says for whom a write waits: longer than any usual commit
    waiting_every_s: float = 10.0  # ... and says it again
    statistics_rows: int = 20_000  # committed between looks whether the planner's statistics are outdated
    statistics_s: float = 120.0  # that gathering them may take: a sample of a large table is read within seconds


class StoreLimits(Struct, frozen=True):
    """Those of both kinds of store."""

    sqlite: SqliteLimits = SqliteLimits()
    postgres: PostgresLimits = PostgresLimits()


STORE_LIMITS = StoreLimits()
