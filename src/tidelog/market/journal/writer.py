"""The journal as a feed writes it: append a record without waiting for a disk, be notified when it is durable.

Records are handed to a thread of their own, which compresses and commits them in groups. What a power cut can
lose is a window's worth. What waits for the thread is bounded: beyond that the feed has to stop taking frames.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, suppress
from functools import partial
from typing import TypeVar

from msgspec import Struct

from tidelog.backoff import delays
from tidelog.errors import ConfigError, Corruption, Displaced, Fenced, JournalStalled, StoreError
from tidelog.filelock import FileLock
from tidelog.market.book.lending import Gathered, Room
from tidelog.market.events import EventId
from tidelog.market.journal.file import JournalWriter
from tidelog.market.journal.identity import ID_BYTES
from tidelog.market.journal.pruning import Dropped, PruneLimits
from tidelog.market.journal.reader import JournalReader
from tidelog.market.journal.schema import Block
from tidelog.market.records import BEGINNING, Kind, PackedRecords, Record
from tidelog.runtime import Runtime, Worker
from tidelog.telemetry import logger
from tidelog.telemetry.distribution import Distribution
from tidelog.telemetry.market import COMMIT_BUCKETS_S

T = TypeVar("T")

RECORD_BYTES = 64  # that a record takes beside its payload, about
FOLLOW_POLL_S = 0.05  # as long as the window: what is followed is a window behind anyway

_log = logger("journal")


class JournalLimits(Struct, frozen=True):
    """How records are grouped on their way to the disk, and how many may wait for it."""

    window_s: float = 0.05  # between commits: what a power cut may cost
    block_bytes: int = 1024 * 1024  # a group of this size is committed at once: it compresses well, unpacks quickly
    waiting_bytes_max: int = 32 * 1024 * 1024  # of frames that may wait for the disk: seconds of the busiest market
    retry_s_max: float = 5.0  # between attempts of a commit that fails

    @property
    def waiting_bytes_low(self) -> int:
        """There is room again at half, so that a slow disk does not stop and start the feed at each commit."""
        return self.waiting_bytes_max // 2


LIMITS = JournalLimits()


class Journal:
    """One run of a journal. Made by `open_journal`; belongs to one event loop."""

    def __init__(
        self,
        runtime: Runtime,
        worker: Worker,
        writer: JournalWriter,
        lock: FileLock | None,
        on_durable: Callable[[EventId], None] | None,
        on_commit: Callable[[bytes, Sequence[Block], float, float], None] | None = None,
        limits: JournalLimits = LIMITS,
    ) -> None:
        self.id = writer.id
        self._limits = limits
        self.run = writer.run
        self.durable = EventId(self.run, 0)  # every record up to here is on the disk
        self.failure: StoreError | Corruption | None = None  # of the last commit: None once one succeeds
        self.commits = Distribution(COMMIT_BUCKETS_S)  # their durations, in seconds
        self.committed_bytes = 0  # of this run, unpacked
        self.durable_us = 0  # the time of the last record that is on the disk; 0: there is none of this run
        self._runtime = runtime
        self._worker = worker
        self._writer = writer
        self._lock = lock
        self._listeners = [] if on_durable is None else [on_durable]
        self._on_commit = on_commit
        self._waiting_bytes = 0  # handed over and not committed
        self._waiting_control_bytes = 0  # of those: a snapshot may be larger than what may wait, and holds up no frame
        self._filling = Block(self.run, 1)
        self._sealed: list[Block] = []  # full, and older than `_filling`
        self._wake = asyncio.Event()  # there is something to commit
        self._hurry = asyncio.Event()  # do not wait for the window's end
        self._moved = asyncio.Event()  # replaced whenever it is set: something was committed, or it is over
        self._closing = self._ended = False
        self._task = asyncio.create_task(self._commit_for_ever())

    @property
    def last(self) -> EventId:
        """The last record that was handed over."""
        return EventId(self.run, self._filling.last_seq)

    @property
    def unsynced_frames(self) -> int:
        """Records that a crash would lose now."""
        return self._filling.last_seq - self.durable.seq

    @property
    def waiting_bytes(self) -> int:
        """What was handed over and is not committed."""
        return self._waiting_bytes

    @property
    def _waiting_frame_bytes(self) -> int:
        return self._waiting_bytes - self._waiting_control_bytes

    @property
    def stalled(self) -> bool:
        """Whether it takes no frame, or its last commit failed."""
        return self.failure is not None or self._waiting_frame_bytes >= self._limits.waiting_bytes_max

    @property
    def takes_snapshot(self) -> bool:
        """Whether a snapshot that is due may be handed over: those that wait for the disk have a bound, too."""
        return self._waiting_bytes < self._limits.waiting_bytes_max

    @property
    def used_bytes(self) -> int:
        """Of the file, as of the last commit: see `journal_retention`."""
        return self._writer.used_bytes

    @property
    def written_bytes(self) -> int:
        """Blocks of this run that were committed, packed."""
        return self._writer.written_bytes

    @property
    def dropped(self) -> Dropped | None:
        """What retention has dropped in this run, up to where."""
        return self._writer.dropped

    def append(self, kind: Kind, payload: bytes, at_us: int, *, restart: bool = False) -> EventId:
        """Hand a record over; its id. Times may not go back.

        Args:
            restart: it is a snapshot, from which reading can begin; see `schema`.

        Raises:
            JournalStalled: too much waits for the disk. Control records are accepted all the same, and do not
                count: they are few, and say why.
            Fenced, Displaced, Corruption: the journal takes nothing any more.
        """
        if kind is not Kind.CONTROL:
            self._require_room()
        if self._ended:
            raise self._over()
        if restart and self._filling.count:
            self._seal()  # a block begins with its snapshot, so that pruning can cut there
        size = len(payload) + RECORD_BYTES
        seq = self._filling.add(kind, at_us, payload, size, restart=restart)
        if kind is Kind.CONTROL:
            self._waiting_control_bytes += size
        self._added(size)
        return EventId(self.run, seq)

    def append_packed(self, gathered: Gathered, at_us: int) -> EventId:
        """Hand frames over that came at one time and fit into `room`; the id of the last."""
        seq = self._filling.add_packed(gathered.packed, gathered.frames, at_us, gathered.size)
        self._added(gathered.size)
        return EventId(self.run, seq)

    @property
    def room(self) -> Room:
        """What may be handed over until a frame would be refused.

        Raises:
            Fenced, Displaced, Corruption: the journal takes nothing any more.
        """
        if self._ended:
            raise self._over()
        return Room(max(0, self._limits.waiting_bytes_max - self._waiting_frame_bytes), RECORD_BYTES)

    def _require_room(self) -> None:
        if self._waiting_frame_bytes >= self._limits.waiting_bytes_max:
            raise JournalStalled(
                f"{self._waiting_bytes} bytes wait for the journal's disk ({self.failure or 'it is slow'})"
            )

    def _added(self, size: int) -> None:
        """Records were added to what is filling."""
        block = self._filling
        self._waiting_bytes += size
        self._wake.set()
        if block.size >= self._limits.block_bytes:
            self._seal()
            self._hurry.set()

    def _seal(self) -> None:
        self._sealed.append(self._filling)
        self._filling = Block(self.run, self._filling.last_seq + 1)

    def listen(self, on_durable: Callable[[EventId], None]) -> None:
        """Call this too with the last id of each group that is committed from now on."""
        self._listeners.append(on_durable)

    async def wait_durable(self, id_: EventId) -> None:
        """Return once the record, and so all before it, is on the disk.

        Raises:
            Fenced, Displaced, Corruption, StoreError: it never will be.
        """
        while self.durable < id_:
            if self._ended:
                raise self._over()
            await self._moved.wait()

    async def wait_room(self) -> None:
        """Return once the disk has caught up enough for frames to be accepted again."""
        while self._waiting_frame_bytes > self._limits.waiting_bytes_low:
            if self._ended:
                raise self._over()
            await self._moved.wait()

    async def prune(self, bounds: PruneLimits) -> int:
        """See `JournalWriter.prune`."""
        return await self._worker.call(partial(self._writer.prune, bounds))

    async def close(self) -> None:
        """Commit what was handed over and close the file; what that raises if it cannot be done."""
        self._closing = True
        self._wake.set()
        self._hurry.set()
        try:
            await self._task
        finally:
            with suppress(StoreError):
                await self._worker.call(self._writer.close)
            await self._worker.close()
            if self._lock is not None:
                self._lock.release()

    async def _commit_for_ever(self) -> None:
        try:
            while not self._closing or self._sealed or self._filling.count:
                await self._wake.wait()
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._limits.window_s):
                        await self._hurry.wait()
                if self._filling.count:
                    self._seal()
                blocks, self._sealed = self._sealed, []
                self._wake.clear()
                if not self._closing:
                    self._hurry.clear()
                if blocks:
                    await self._commit(blocks)
        finally:
            self._ended = True
            self._tell_waiters()

    def _tell_waiters(self) -> None:
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    def _over(self) -> StoreError | Corruption:
        return self.failure or StoreError("the journal is closed")

    async def _commit(self, blocks: list[Block]) -> None:
        """Commit, for as long as it takes, unless the journal is lost or closing."""
        pauses = delays(self._runtime.random("journal"), max_s=self._limits.retry_s_max)
        started = self._runtime.monotonic()
        while True:
            try:
                self._runtime.reached("journal.before_commit")
                await self._worker.call(partial(self._writer.commit, blocks))
                self._runtime.reached("journal.after_commit")
                break
            except StoreError as error:
                self.failure = error
                if isinstance(error, Fenced | Displaced) or self._closing:
                    raise
                _log.warning("journal_write_failed", error=str(error), waiting=self._waiting_bytes)
            except Corruption as error:
                self.failure = error
                raise
            await self._runtime.sleep(next(pauses))
        self.failure = None
        size = sum(block.size for block in blocks)
        self.commits.observe(self._runtime.monotonic() - started)
        self.committed_bytes += size
        self._waiting_bytes -= size
        self._waiting_control_bytes -= sum(block.mark_bytes for block in blocks)
        self.durable_us = blocks[-1].last_us
        self.durable = EventId(self.run, blocks[-1].last_seq)
        if self._on_commit is not None:
            self._on_commit(self.id, blocks, started, self._runtime.monotonic())
        for on_durable in self._listeners:
            on_durable(self.durable)
        self._tell_waiters()


async def open_journal(
    path: str,
    runtime: Runtime,
    *,
    on_durable: Callable[[EventId], None] | None = None,
    on_commit: Callable[[bytes, Sequence[Block], float, float], None] | None = None,
    limits: JournalLimits = LIMITS,
    vfs: str | None = None,
    first_run: int = 1,
) -> Journal:
    """Begin a run in the journal at `path`, which is made if it does not exist.

    Args:
        on_durable: called in the event loop with the last id of each group that was committed.
        on_commit: called there before it with the journal's id, the group's blocks, and when their commit began and
            ended by the monotonic clock: for traces.
        vfs: SQLite's name of another file system.
        first_run: the number of the run if the journal has none of that number or a higher one.

    Raises:
        ConfigError: it is no journal, it cannot be opened, or another process writes it.
    """
    lock = FileLock(f"{path}.lock", temporary=True) if vfs is None else None
    if lock is not None and not lock.take():
        raise ConfigError(
            f"{path} is written by process {lock.holder()} already: stop that one first, or give another --journal"
        )
    worker, new_id = runtime.worker("journal"), runtime.random("journal id").randbytes(ID_BYTES)
    made: list[JournalWriter] = []

    def make() -> JournalWriter:
        made.append(JournalWriter(path, vfs, first_run=first_run, new_id=new_id))
        return made[0]

    def end() -> None:
        for writer in made:
            with suppress(StoreError, Corruption):
                writer.close()

    try:
        writer = await worker.call(make)
    except BaseException as error:
        try:
            if isinstance(error, asyncio.CancelledError):  # what was begun is made all the same
                await worker.call(end)
            await worker.close()
        finally:
            if lock is not None:
                lock.release()
        raise
    return Journal(runtime, worker, writer, lock, on_durable, on_commit, limits)


async def follow(
    path: str,
    runtime: Runtime,
    *,
    after: EventId = BEGINNING,
    poll_s: float = FOLLOW_POLL_S,
    ending: Callable[[], bool] = lambda: False,
    vfs: str | None = None,
) -> AsyncGenerator[list[Record], None]:
    """The records after an id, block by block, and those that are committed from now on, by any process.

    Where records that were not read yet have been dropped, one `Kind.LOST` comes in their place.

    Args:
        ending: asked before each look; once it says so, this ends at the journal's end instead of waiting.
        vfs: SQLite's name of another file system.

    Raises:
        ConfigError: it is no journal.
        Corruption: it is damaged.
        Displaced: another file is at the path by now, or none.
    """

    def read(reader: JournalReader, after: EventId) -> tuple[list[Record], EventId]:
        records = reader.block(after)
        return records, records[-1].id if records else after

    async with aclosing(_follow(path, runtime, read, after, poll_s, ending, vfs)) as blocks:
        async for records in blocks:
            yield records


async def follow_packed(
    path: str,
    runtime: Runtime,
    *,
    after: EventId = BEGINNING,
    ending: Callable[[], bool] = lambda: False,
    vfs: str | None = None,
) -> AsyncGenerator[PackedRecords | Record, None]:
    """As `follow`, each block packed as it is in the file; a `Kind.LOST` comes as the record that it is."""

    def read(reader: JournalReader, after: EventId) -> tuple[PackedRecords | Record | None, EventId]:
        block = reader.packed(after)
        if block is None:
            return None, after
        return block, block.id if isinstance(block, Record) else block.last

    async with aclosing(_follow(path, runtime, read, after, FOLLOW_POLL_S, ending, vfs)) as blocks:
        async for block in blocks:
            if block is not None:
                yield block


async def _follow(
    path: str,
    runtime: Runtime,
    read: Callable[[JournalReader, EventId], tuple[T, EventId]],
    after: EventId,
    poll_s: float,
    ending: Callable[[], bool],
    vfs: str | None,
) -> AsyncGenerator[T, None]:
    """What `read` makes of each block; it gives the id of the last record with it."""
    worker = runtime.worker("journal-reader")
    reader: JournalReader | None = None

    def look(reader: JournalReader, after: EventId) -> tuple[T, EventId]:
        try:
            found = read(reader, after)
        except (Corruption, StoreError):
            reader.require_in_place()  # which says what is wrong
            raise
        if not found[0]:
            reader.require_in_place()
        return found

    try:
        reader = await worker.call(lambda: JournalReader(path, vfs))
        while True:
            last_look = ending()
            found, after = await worker.call(partial(look, reader, after))
            if found:
                yield found
            elif last_look:
                return
            else:
                await runtime.sleep(poll_s)
    finally:
        if reader is not None:
            await worker.call(reader.close)
        await worker.close()
