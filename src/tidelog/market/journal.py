"""The journal as a feed writes it: hand a record over, never wait for a disk, be told when it is durable.

Records are handed to a thread of their own, which compresses and commits them in groups. What a power cut can
lose is a window's worth. What waits for the thread is bounded: beyond that the feed has to stop taking frames.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from functools import partial

from tidelog.backoff import delays
from tidelog.errors import ConfigError, Corruption, Fenced, JournalStalled, StoreError
from tidelog.filelock import FileLock
from tidelog.market.events import EventId
from tidelog.market.journal_file import Block, JournalReader, JournalWriter
from tidelog.market.journal_identity import ID_BYTES
from tidelog.market.journal_retention import Bounds, Dropped
from tidelog.market.records import BEGINNING, Kind, Record
from tidelog.runtime import Runtime, Worker
from tidelog.telemetry import logger
from tidelog.telemetry.distribution import Distribution
from tidelog.telemetry.market import COMMIT_BUCKETS_S

WINDOW_S = 0.05  # what a power cut may cost
BLOCK_BYTES = 1024 * 1024  # a group is committed at once when it has this size: compresses well, unpacks quickly
HANDOFF_BYTES_MAX = 32 * 1024 * 1024  # that may wait for the disk: seconds of the busiest market
HANDOFF_BYTES_LOW = HANDOFF_BYTES_MAX // 2  # there is room again
RECORD_BYTES = 64  # that a record takes beside its payload, about
RETRY_S_MAX = 5.0  # between tries of a commit that fails
FOLLOW_POLL_S = 0.05  # as long as the window: what is followed is a window behind anyway

_log = logger("journal")


class Journal:
    """One run of a journal. Made by `open_journal`; belongs to one event loop."""

    def __init__(
        self,
        runtime: Runtime,
        worker: Worker,
        writer: JournalWriter,
        lock: FileLock | None,
        on_durable: Callable[[EventId], None] | None,
    ) -> None:
        self.id = writer.id
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
        self._on_durable = on_durable
        self._held_bytes = 0  # handed over and not committed
        self._filling = Block(self.run, 1, [])
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
        return self._held_bytes

    @property
    def stalled(self) -> bool:
        """Whether it takes no frame, or its last commit failed."""
        return self.failure is not None or self._held_bytes >= HANDOFF_BYTES_MAX

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
            restart: it is a restart point, see `journal_file`.

        Raises:
            JournalStalled: too much waits for the disk. Markers are taken all the same: they are few, and say why.
            Fenced, Corruption: the journal takes nothing any more.
        """
        if self._held_bytes >= HANDOFF_BYTES_MAX and kind is not Kind.MARK:
            raise JournalStalled(
                f"{self._held_bytes} bytes wait for the journal's disk ({self.failure or 'it is slow'})"
            )
        if self._ended:
            raise self._over()
        if restart and self._filling.entries:
            self._seal()  # so that the file can begin with the restart point, and nothing is cut with it
        block = self._filling
        block.entries.append((kind.value, at_us, payload))
        seq = block.first_seq + len(block.entries) - 1
        size = len(payload) + RECORD_BYTES
        block.size += size
        self._held_bytes += size
        if kind is Kind.MARK:
            block.marks += 1
            if restart:
                block.restart_seq = seq
        if len(block.entries) == 1:
            self._wake.set()
        if block.size >= BLOCK_BYTES:
            self._seal()
            self._hurry.set()
        return EventId(self.run, seq)

    def _seal(self) -> None:
        self._sealed.append(self._filling)
        self._filling = Block(self.run, self._filling.last_seq + 1, [])

    async def wait_durable(self, id_: EventId) -> None:
        """Return once the record, and so all before it, is on the disk.

        Raises:
            Fenced, Corruption, StoreError: it never will be.
        """
        while self.durable < id_:
            if self._ended:
                raise self._over()
            await self._moved.wait()

    async def wait_room(self) -> None:
        """Return once the disk has caught up enough for frames to be taken again."""
        while self._held_bytes > HANDOFF_BYTES_LOW:
            if self._ended:
                raise self._over()
            await self._moved.wait()

    async def prune(self, bounds: Bounds) -> int:
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
            while not self._closing or self._sealed or self._filling.entries:
                await self._wake.wait()
                with suppress(TimeoutError):
                    async with asyncio.timeout(WINDOW_S):
                        await self._hurry.wait()
                if self._filling.entries:
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
        pauses = delays(self._runtime.random("journal"), max_s=RETRY_S_MAX)
        started = self._runtime.monotonic()
        while True:
            try:
                self._runtime.reached("journal.before_commit")
                await self._worker.call(partial(self._writer.commit, blocks))
                self._runtime.reached("journal.after_commit")
                break
            except StoreError as error:
                self.failure = error
                if isinstance(error, Fenced) or self._closing:
                    raise
                _log.warning("journal_write_failed", error=str(error), waiting=self._held_bytes)
            except Corruption as error:
                self.failure = error
                raise
            await self._runtime.sleep(next(pauses))
        self.failure = None
        size = sum(block.size for block in blocks)
        self.commits.observe(self._runtime.monotonic() - started)
        self.committed_bytes += size
        self._held_bytes -= size
        self.durable_us = blocks[-1].entries[-1][1]
        self.durable = EventId(self.run, blocks[-1].last_seq)
        if self._on_durable is not None:
            self._on_durable(self.durable)
        self._tell_waiters()


async def open_journal(
    path: str, runtime: Runtime, *, on_durable: Callable[[EventId], None] | None = None, vfs: str | None = None
) -> Journal:
    """Begin a run in the journal at `path`, which is made if it does not exist.

    Args:
        on_durable: called in the event loop with the last id of each group that was committed.
        vfs: SQLite's name of another file system.

    Raises:
        ConfigError: it is no journal, it cannot be opened, or another process writes it.
    """
    lock = FileLock(f"{path}.lock", temporary=True) if vfs is None else None
    if lock is not None and not lock.take():
        raise ConfigError(
            f"{path} is written by process {lock.holder()} already: stop that one first, or give another --journal"
        )
    worker, new_id = runtime.worker("journal"), runtime.random("journal id").randbytes(ID_BYTES)
    try:
        writer = await worker.call(lambda: JournalWriter(path, vfs, new_id=new_id))
    except BaseException:
        await worker.close()
        if lock is not None:
            lock.release()
        raise
    return Journal(runtime, worker, writer, lock, on_durable)


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
    """
    worker = runtime.worker("journal-reader")
    reader: JournalReader | None = None
    try:
        reader = await worker.call(lambda: JournalReader(path, vfs))
        while True:
            last_look = ending()
            records = await worker.call(partial(reader.block, after))
            if records:
                after = records[-1].id
                yield records
            elif last_look:
                return
            else:
                await runtime.sleep(poll_s)
    finally:
        if reader is not None:
            await worker.call(reader.close)
        await worker.close()
