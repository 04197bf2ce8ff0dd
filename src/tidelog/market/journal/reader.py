"""A journal's file, read: blocks compared with their checksums and with `runs`. Synchronous; one thread."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import apsw
import msgspec
import zstandard

from tidelog.errors import Corruption, Displaced, StoreError
from tidelog.market.events import EventId
from tidelog.market.journal.identity import Identity, has_log, identity_of
from tidelog.market.journal.pruning import Dropped, dropped_of
from tidelog.market.journal.schema import (
    COLUMNS,
    LOCK_WAIT_MS,
    StoredBlock,
    is_journal,
    refuse_logless,
    warn_of_missing_log,
)
from tidelog.market.records import BEGINNING, Kind, PackedRecords, Record
from tidelog.store.sqlite.connection import READ_ONLY, connect, reading, translated
from tidelog.store.sqlite.opened import file_at

__all__ = ["Ends", "JournalReader", "Run", "identity_at"]

BLOCK_RAW_BYTES_MAX = 64 * 1024 * 1024  # unpacked: far above what a block is filled to, far below what hurts

_Run = int | None


class Ends(NamedTuple):
    """The first and the last record that a journal has."""

    first: EventId
    last: EventId


class _Span(NamedTuple):
    """The first and the last `seq` of a run."""

    first: int
    last: int


class Run(NamedTuple):
    """A run of which something is here."""

    restart: Record  # the first snapshot of it, as far as its blocks name them
    last_seq: int


@contextmanager
def _sound(path: str) -> Iterator[None]:
    """As `translated`; a file to which the reader's own questions make no sense, or with other types, is damaged."""
    try:
        with translated(path):
            yield
    except StoreError as error:
        if isinstance(error.__cause__, apsw.SQLError):  # a table, or a column, has another name now
            raise Corruption(f"{path} is damaged: {error.__cause__}") from error
        raise
    except (msgspec.ValidationError, UnicodeDecodeError) as error:
        raise Corruption(f"{path} is damaged: a row has content that no writer writes ({error})") from error


class JournalReader:
    """A read-only connection, also while another process writes. Lives on one thread."""

    def __init__(self, path: str, vfs: str | None = None) -> None:
        self._path = path
        self._ended: tuple[EventId, int] | None = None  # behind which record nothing came, in which state of the file
        if vfs is None:
            refuse_logless(path)
        logged = vfs is not None or has_log(path)  # opening makes one
        self._file = None if vfs is not None else file_at(path)  # None: its file system is simulated
        with _sound(path):
            self._connection = connect(path, READ_ONLY, vfs)
            try:
                self._connection.set_busy_timeout(LOCK_WAIT_MS)
                is_journal(self._connection, path, may_be_empty=False)
                self.identity = identity_of(self._connection)
            except BaseException:
                self._connection.close()
                raise
        if self.identity is not None and not logged:
            warn_of_missing_log(path, self.identity)

    def require_in_place(self) -> None:
        """Displaced if another file is at the journal's path by now, or none: what is recorded there never comes here.

        Nor can what was read since be relied on: SQLite finds a log by its name, and may have read another one's.
        """
        found = None if self._file is None else file_at(self._path)
        if found != self._file:
            how = "deleted or moved away" if found is None else "replaced"
            raise Displaced(
                f"{self._path} was {how} while it was read: what is recorded from now on is in another file; start "
                "this again, and do not touch a journal while something writes or reads it"
            )

    def records(self, after: EventId = BEGINNING) -> Iterator[Record]:
        """What comes after an id, up to the end of what is committed by then.

        Raises:
            Corruption: a block is damaged or missing.
        """
        while block := self.block(after):
            yield from block
            after = block[-1].id

    def blocks(self, after: EventId = BEGINNING) -> Iterator[PackedRecords | Record]:
        """As `records`, block by block, packed."""
        while block := self.packed(after):
            yield block
            after = block.id if isinstance(block, Record) else block.last

    def block(self, after: EventId) -> list[Record]:
        """The rest of the block in which the record after `after` is; empty at the end of the journal.

        Where retention has dropped what would come next, a record of that, `Kind.LOST`, which is in no file: it has
        the id and the time of the last that was dropped. A reader from the beginning gets what is left.
        """
        found = self.packed(after)
        if isinstance(found, Record):
            return [found]
        return [] if found is None else self._records(found)

    def packed(self, after: EventId) -> PackedRecords | Record | None:
        """As `block`, packed; None at the end of the journal."""
        run: int | None
        run, seq = after
        found: PackedRecords | None = None
        with _sound(self._path):
            version: int = self._connection.execute("PRAGMA data_version").get
        if self._ended == (after, version):  # there was no commit since: a follower asks again and again
            return None
        with _sound(self._path), reading(self._connection):  # one read transaction
            gone = None if after <= BEGINNING else dropped_of(self._connection)
            if gone is not None and after < gone.id:
                return Record(gone.id, gone.at_us, Kind.LOST, gone.reason.encode())
            while run is not None and found is None:
                span = self._span(run)
                if span is not None and span.last > seq:
                    found = self._read(run, max(seq + 1, span.first))
                run = self._run_after(run)
                seq = 0
        self._ended = (after, version) if found is None else None
        return found

    def _span(self, run: int) -> _Span | None:
        """What `runs` says of a run, compared with its blocks: a row of it has no checksum of its own."""
        found = self._connection.execute("SELECT first_seq, last_seq FROM runs WHERE run = ?", (run,)).get
        if found is None:
            return None
        span: _Span = msgspec.convert(found, _Span)
        edges = self._connection.execute(
            "SELECT min(first_seq), (SELECT first_seq + count - 1 FROM blocks WHERE run = ?1"
            " ORDER BY first_seq DESC LIMIT 1) FROM blocks WHERE run = ?1",
            (run,),
        ).get
        if edges != (None, None):
            first, last = msgspec.convert(edges, _Span)
            if not span.first <= first <= last <= span.last:
                raise Corruption(f"{self._path}: run {run} has records {first} to {last}, which it knows nothing of")
        return span

    def _run_after(self, run: int) -> int | None:
        """The next run; a table that leads back would be read for ever."""
        following: _Run
        written: _Run
        following, written = (
            msgspec.convert(self._connection.execute(f"SELECT min(run) FROM {table} WHERE run > ?", (run,)).get, _Run)  # noqa: S608
            for table in ("runs", "blocks")
        )
        if following is not None and following <= run:
            raise Corruption(f"{self._path} is damaged: run {following} follows run {run}")
        if written is not None and (following is None or written < following):
            raise Corruption(f"{self._path}: there are records of run {written}, and no such run")
        return following

    def _read(self, run: int, seq: int) -> PackedRecords:
        """The block of a record, from that one on."""
        row = self._connection.execute(
            f"SELECT {COLUMNS} FROM blocks WHERE run = ? AND first_seq <= ? ORDER BY first_seq DESC LIMIT 1",  # noqa: S608
            (run, seq),
        ).get
        block = None if row is None else self._unpack(row)
        if block is None or not block.first <= EventId(run, seq) <= block.last:  # a damaged index leads elsewhere
            raise Corruption(f"{self._path}: record {run}.{seq} is missing")
        with self._named():
            return block.behind(EventId(run, seq - 1))

    def _records(self, block: PackedRecords) -> list[Record]:
        with self._named():
            return block.records()

    @contextmanager
    def _named(self) -> Iterator[None]:
        """The file is named where a block of it is corrupt."""
        try:
            yield
        except Corruption as error:
            raise Corruption(f"{self._path}: {error}") from None

    def _unpack(self, found: Any) -> PackedRecords:
        row = msgspec.convert(found, StoredBlock)
        run, first_seq, count = row.run, row.first_seq, row.count
        if row.digest() != row.sha256:
            raise Corruption(f"{self._path}: the block at {run}.{first_seq} is damaged: its SHA-256 differs")
        try:
            packed = zstandard.ZstdDecompressor().decompress(row.frames, max_output_size=BLOCK_RAW_BYTES_MAX)
        except zstandard.ZstdError as error:
            raise Corruption(f"{self._path}: the block at {run}.{first_seq} cannot be read: {error}") from None
        return PackedRecords(run, first_seq, count, packed, row.restart_seq)

    def marks(self, since_us: int) -> Iterator[Record]:
        """Control records of that time and later, from blocks that have some: little is read."""
        query = "SELECT run, first_seq FROM blocks WHERE run = ? AND first_seq >= ? AND marks > 0 ORDER BY first_seq"
        rows: list[Any] = []
        with _sound(self._path), reading(self._connection):
            for begin in self._since(since_us):
                rows += self._connection.execute(query, begin)
        yield from (record for record in self._controls_in(rows) if record.at_us >= since_us)

    def controls(self, after: EventId) -> Iterator[Record]:
        """Control records after an id, from blocks that have some."""
        query = (  # from the block that has the id, which the key finds, or a later one
            "SELECT run, first_seq FROM blocks WHERE marks > 0 AND (run, first_seq) >= (?1,"
            " coalesce((SELECT max(first_seq) FROM blocks WHERE run = ?1 AND first_seq <= ?2), 0)) ORDER BY 1, 2"
        )
        with _sound(self._path):
            rows: list[Any] = self._connection.execute(query, after).fetchall()
        yield from (record for record in self._controls_in(rows) if record.id > after)

    def _controls_in(self, blocks: list[Any]) -> Iterator[Record]:
        """Control records of these blocks, but for those that retention has dropped since they were looked up."""
        for run, first_seq in blocks:
            with _sound(self._path), reading(self._connection):  # one state: a pruner is another process, or thread
                gone = dropped_of(self._connection)
                if gone is not None and (run, first_seq) <= gone.id:
                    continue
                block = self._records(self._read(run, first_seq))
            yield from (record for record in block if record.kind is Kind.CONTROL)

    def ends_of_runs(self, after: EventId) -> list[EventId]:
        """The last record of each run that has some after an id."""
        query = "SELECT run, last_seq FROM runs WHERE last_seq >= first_seq AND (run, last_seq) > (?, ?) ORDER BY run"
        with _sound(self._path):
            return [EventId(*row) for row in self._connection.execute(query, after)]

    def last_snapshot(self, at: EventId) -> EventId | None:
        """The last snapshot at or before `at`, where a core has to begin to know the state there; None if none is."""
        with _sound(self._path):
            row = self._connection.execute(
                "SELECT run, restart_seq FROM blocks WHERE restart_seq IS NOT NULL AND run <= ?1 "
                "AND (run, restart_seq) <= (?1, ?2) ORDER BY run DESC, first_seq DESC LIMIT 1",
                at,
            ).get
        return None if row is None else EventId(*row)

    def dropped(self) -> Dropped | None:
        """The last record that was dropped from this journal; None: all are here."""
        with _sound(self._path):
            return dropped_of(self._connection)

    def ends(self) -> Ends | None:
        """The first and the last record that are here; None of an empty journal."""
        with _sound(self._path), reading(self._connection):
            runs: list[Any] = self._connection.execute(
                "SELECT run, first_seq, last_seq FROM runs WHERE last_seq >= first_seq ORDER BY run"
            ).fetchall()
        if not runs:
            return None
        (first_run, first_seq, _), (last_run, _, last_seq) = runs[0], runs[-1]
        return Ends(EventId(first_run, first_seq), EventId(last_run, last_seq))

    def run(self, run: int) -> Run | None:
        """A run; None: no snapshot of it is here."""
        with _sound(self._path), reading(self._connection):
            span = self._span(run)
            restart_seq: int | None = self._connection.execute(
                "SELECT restart_seq FROM blocks WHERE run = ? AND restart_seq IS NOT NULL ORDER BY first_seq LIMIT 1",
                (run,),
            ).get
            if span is None or restart_seq is None:
                return None
            block = self._read(run, 1 if span.first == 1 else restart_seq)  # a run begins with one
        return Run(self._records(block)[0], span.last)

    def before(self, at_us: int) -> EventId:
        """The last record before a time, or one up to a block earlier; BEGINNING: all are later, or there are none.

        Behind the end of the journal it is the last record.
        """
        with _sound(self._path), reading(self._connection):
            found = next(self._since(at_us), None)
        return self.end() if found is None else EventId(found.run, found.seq - 1)

    def _since(self, at_us: int) -> Iterator[EventId]:
        """Where each run that has records of that time or later has its first block that ends then or later.

        Times never go back within a run, and may from one run to the next. No index has them: a block is found by
        halving, of its run only.
        """
        query = "SELECT first_seq, last_us FROM blocks WHERE run = ? AND first_seq <= ? ORDER BY first_seq DESC LIMIT 1"
        runs = self._connection.execute(
            "SELECT run, first_seq, last_seq FROM runs WHERE last_seq >= first_seq ORDER BY run"
        ).fetchall()
        for run, low, high in msgspec.convert(runs, list[tuple[int, int, int]]):
            found: int | None = None
            while low <= high:  # blocks that begin before `low` are earlier
                seq = high if found is None else (low + high) // 2
                row = self._connection.execute(query, (run, seq)).get
                block = msgspec.convert(row, tuple[int, int] | None)
                if block is None or block[1] < at_us:
                    low = seq + 1
                else:
                    found, high = block[0], block[0] - 1
            if found is not None:
                yield EventId(run, found)

    def begun_us(self) -> int | None:
        """The time of the first record that is here; None of an empty journal."""
        with _sound(self._path):
            found: int | None = self._connection.execute(
                "SELECT first_us FROM blocks ORDER BY run, first_seq LIMIT 1"
            ).get
        return found

    def last_block(self) -> tuple[EventId, int] | None:
        """The id and the time of the last record, without reading it; None of an empty journal."""
        with _sound(self._path):
            row = self._connection.execute(
                "SELECT run, first_seq + count - 1, last_us FROM blocks ORDER BY run DESC, first_seq DESC LIMIT 1"
            ).get
        return None if row is None else (EventId(row[0], row[1]), row[2])

    def end(self) -> EventId:
        """The last record, without reading it; BEGINNING of an empty journal."""
        last = self.last_block()
        return BEGINNING if last is None else last[0]

    def last(self) -> Record | None:
        """The last record; None of an empty journal."""
        ends = self.ends()
        with translated(self._path):
            return None if ends is None else self._records(self._read(*ends.last))[-1]

    def close(self) -> None:
        with translated(self._path):
            self._connection.close()


def identity_at(path: str, vfs: str | None = None) -> Identity | None:
    """Which journal a file is; None for one that only an older tidelog has written, or if there is no file."""
    if not os.path.exists(path):
        return None
    reader = JournalReader(path, vfs)
    reader.close()
    return reader.identity
