"""Read-only connections of a SQLite store: a few, each on its own worker thread, and the snapshots they give.

A snapshot is a read transaction. It keeps SQLite from reusing its log, so that it should be short.

A file that another one has replaced, such as a copy that is restored, is left before the next read: whoever has it open
would read it for ever, while writers go on with the other one. The readers of a writer stay: it stops by itself.

A read that nobody waits for any more is interrupted, and again until it has ended: an interrupt that comes
before its statement has begun does nothing (https://sqlite.org/c3ref/interrupt.html).
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, Protocol, TypeVar

import apsw

from tidelog import compiled
from tidelog.batch import Checkpoint, Piece, Pieces, Row, Table, Value
from tidelog.errors import Busy, ConfigError, Corruption, StoreError, TimedOut
from tidelog.runtime import Runtime, Worker
from tidelog.store import ReadLimits, Snapshot, migrations
from tidelog.store.ddl import SQLITE
from tidelog.store.limits import SqliteLimits
from tidelog.store.patience import patiently
from tidelog.store.query import QuerySnapshot, column_list
from tidelog.store.sqlite import integrity, packing
from tidelog.store.sqlite.connection import READ_ONLY, connect, identify, pragma, translated
from tidelog.store.sqlite.opened import file_at
from tidelog.store.sqlite.segments import segment_faults
from tidelog.store.sqlite.wide import restored, stored, texts
from tidelog.store.sqlite.writer import applied_migrations, read_checkpoints

__all__ = ["ReaderPool"]

T = TypeVar("T")
U = TypeVar("U")

CACHE_KIB = 16_384
INTERRUPT_EVERY_S = 0.005  # until a read that was given up has ended


class _Reader:
    """A read-only connection. Synchronous: lives on one worker thread, all but `interrupt`.

    `_reading` is True while the rows of a query are fetched: what an interrupt may end; `begun` from the
    beginning of a transaction to its end.
    """

    def __init__(self, path: str, vfs: str | None, *, goes_over: bool) -> None:
        self._path = path
        self._vfs = vfs
        self._goes_over = goes_over and vfs is None
        self._reading = False
        self._packs: bool | None = None  # whether its connection packs rows; None: nobody has asked yet
        self.begun = False
        self._file = file_at(path)  # before it is opened: one that comes meanwhile is another one then
        with translated(path):
            self.connection = self._opened()

    def _opened(self) -> apsw.Connection:
        connection = connect(self._path, READ_ONLY, self._vfs)
        try:
            identify(connection, self._path)
            pragma(connection, "query_only", 1)
            pragma(connection, "cache_size", -CACHE_KIB)
        except BaseException:
            connection.close()
            raise
        return connection

    def begin(self) -> None:
        """Open the read transaction; the read makes SQLite choose the state that it shows.

        Busy: another file has replaced this one, and is no store that can be read, or none yet.
        """
        with translated(self._path):
            self.end()
            self._go_over()
            self.begun = True
            self.connection.execute("BEGIN DEFERRED")
            try:
                self.connection.execute("SELECT 1 FROM checkpoints LIMIT 1").get  # noqa: B018
            except BaseException:
                self.end()
                raise

    def _go_over(self) -> None:
        """Read the file that has the store's name now, if it is another one. Of one that is moved away, all is here."""
        found = file_at(self._path) if self._goes_over else None
        if found is None or found == self._file:
            return
        try:
            with translated(self._path):
                connection = self._opened()
                try:
                    _schema_of(connection, self._path)
                except BaseException:
                    connection.close()
                    raise
        except (ConfigError, StoreError, Corruption) as error:  # it is being copied
            raise Busy(f"{self._path} was replaced, and cannot be read: {error}") from error
        left, self.connection, self._file, self._packs = self.connection, connection, found, None
        left.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)  # the log of that name is the other file's
        left.close()

    def end(self) -> None:
        if self.connection.in_transaction:
            with suppress(apsw.Error):  # SQLite has ended it by itself after a grave error
                self.connection.execute("ROLLBACK")
        self.begun = False

    def rows(self, text: str, values: list[Value], wide: Sequence[int]) -> list[Row]:
        self._reading = True
        try:
            with translated(self._path):
                found: list[Any] = self.connection.execute(text, stored(values)).fetchall()
        finally:
            self._reading = False
        return restored(found, wide) if wide else found

    def packed(self, table: Table, scope: int, low: int, high: int, module: Any) -> Pieces | None:
        """Rows as the compiled core takes them, with the interpreter's lock released; None where that is not to be had.

        In a damaged store there may be a value that no row of the core has.

        Args:
            module: of the core.
        """
        if self._packs is None:
            self._packs = packing.load(self.connection) is None
        if not self._packs:
            return None
        self._reading = True
        try:
            with translated(self._path), suppress(apsw.SQLError, ValueError):
                found: list[Any] = self.connection.execute(packing.packed_query(table), (scope, low, high)).fetchall()
                width = len(table.columns)
                return Pieces([Piece(scope, height, module.Rows(rows, width)) for height, rows in found])
        finally:
            self._reading = False
        return None

    def interrupt(self) -> None:
        """End the query that is under way, if there is one. From any thread."""
        if self._reading:
            self.connection.interrupt()

    def checkpoints(self, source: str | None) -> list[Checkpoint]:
        with translated(self._path):
            return read_checkpoints(self.connection, source)

    def check_schema(self) -> int:
        """The schema's version; ConfigError if the file is no tidelog store, or not up to date."""
        with translated(self._path):
            return _schema_of(self.connection, self._path)

    def facts(self) -> dict[str, int | str]:
        names = ("page_count", "page_size", "journal_mode")
        with translated(self._path):
            return {name: self.connection.pragma(name) for name in names}

    def misspelled(self, table: Table) -> list[int]:
        """See `Snapshot.misspelled`."""
        numbers = [table.names[place] for place, _, _ in table.spelled]
        columns = column_list([str(table.height), *numbers, *(name for _, name, _ in table.spelled)])
        spelled = [(number, name, signed) for number, (_, name, signed) in enumerate(table.spelled, 1)]
        self._reading = True
        try:
            with translated(self._path):
                rows = self.connection.execute(f'SELECT {columns} FROM "{table.name}"')
                return list(dict.fromkeys(row[0] for row in rows if [*row[len(spelled) + 1 :]] != texts(row, spelled)))
        finally:
            self._reading = False

    def checked(self, check: Callable[[apsw.Connection], T], unreadable: Callable[[Corruption], T]) -> T:
        """What a check of the file finds; what stands for it where the file is too damaged for the check itself."""
        try:
            with translated(self._path):
                return check(self.connection)
        except Corruption as error:
            return unreadable(error)

    def segment_messages(self) -> list[str]:
        """What is wrong with rows and their segments; it relies on the indexes, which the integrity check looks at."""
        return self.checked(segment_faults, lambda error: [str(error)])

    def integrity_messages(self) -> list[str]:
        """What SQLite itself finds wrong with its file."""
        return self.checked(integrity.messages, lambda error: [str(error)])

    def close(self) -> None:
        self.connection.close()


def _schema_of(connection: apsw.Connection, path: str) -> int:
    """See `_Reader.check_schema`."""
    if not identify(connection, path):
        raise ConfigError(f"{path} is empty: no store was created there yet")
    applied = applied_migrations(connection)
    if migrations.pending(applied, migrations.shipped("tidelog.store.sqlite"), location=path):
        raise ConfigError(f"{path} has an older schema: run `tidelog db migrate` first")
    return max(applied)


class _Ask(Protocol):
    """Runs a function on the reader that a snapshot is of."""

    async def __call__(self, query: Callable[[_Reader], T], /) -> T: ...


class _Snapshot(QuerySnapshot):
    """`tidelog.store.Snapshot` on a reader that is in a read transaction."""

    mark = "?"
    relations_text = SQLITE.relations

    def __init__(self, ask: _Ask, near_segments: int) -> None:
        self._ask = ask
        self.near_segments = near_segments

    async def checkpoint(self, source: str) -> Checkpoint | None:
        found = await self._ask(lambda reader: reader.checkpoints(source))
        return found[0] if found else None

    async def checkpoints(self) -> list[Checkpoint]:
        return await self._ask(lambda reader: reader.checkpoints(None))

    async def _fetch(
        self, text: str, values: list[Value], wide: Sequence[int] = (), signed: Sequence[int] = ()
    ) -> list[Row]:
        return await self._ask(lambda reader: reader.rows(text, values, wide))

    async def pieces(self, table: Table, *, scope: int, low: int, high: int) -> Pieces:
        module, packed = compiled.core().module, None
        if module is not None:  # or the worker would be asked twice
            packed = await self._ask(lambda reader: reader.packed(table, scope, low, high, module))
        return await super().pieces(table, scope=scope, low=low, high=high) if packed is None else packed

    async def misspelled(self, table: Table) -> list[int]:
        return await self._ask(lambda reader: reader.misspelled(table)) if table.spelled else []


class ReaderPool:
    """A few readers, opened as they are needed.

    `_idle` holds the readers that nobody uses; `_slots` counts how many more may be in use; `_endings` are
    the tasks that put a reader in order again, which nobody can cancel.
    """

    def __init__(
        self,
        path: str,
        runtime: Runtime,
        vfs: str | None,
        reads: ReadLimits,
        limits: SqliteLimits,
        *,
        goes_over: bool = False,
    ) -> None:
        """
        Args:
            goes_over: whether its readers leave a file that another one has replaced.
        """
        self._limits = limits
        self._goes_over = goes_over
        self._statement_timeout_s = reads.statement_timeout_s
        self._patience_s = limits.read_patience_s if reads.patience_s is None else reads.patience_s
        self._path = path
        self._runtime = runtime
        self._vfs = vfs
        self._idle: list[tuple[Worker, _Reader]] = []
        self._slots = asyncio.Semaphore(reads.readers or limits.readers_max)
        self._endings: set[asyncio.Task[None]] = set()

    async def _open(self) -> tuple[Worker, _Reader]:
        worker = self._runtime.worker("store-reader")
        try:
            return worker, await self._patiently(lambda: worker.call(self._made))
        except BaseException:
            await worker.close()
            raise

    def _made(self) -> _Reader:
        return _Reader(self._path, self._vfs, goes_over=self._goes_over)

    @asynccontextmanager
    async def _reader(self) -> AsyncIterator[tuple[Worker, _Reader]]:
        await self._slots.acquire()
        try:
            pair = self._idle.pop() if self._idle else await self._open()
        except BaseException:
            self._slots.release()
            raise
        # A read transaction has to end even if this task is cancelled meanwhile, and nobody may have the reader
        # before: so a task of its own ends it and then gives it back. Whoever had the reader has its rows, and need
        # not wait for that.
        try:
            yield pair
        except BaseException:
            self._in_background(self._release(*pair))
            raise
        if pair[1].begun:
            self._in_background(self._release(*pair))
        else:
            self._give_back(*pair)

    def _in_background(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)
        self._endings.add(task)
        task.add_done_callback(self._endings.discard)
        return task

    async def _release(self, worker: Worker, reader: _Reader) -> None:
        await worker.call(reader.end)
        self._give_back(worker, reader)

    def _give_back(self, worker: Worker, reader: _Reader) -> None:
        self._idle.append((worker, reader))
        self._slots.release()

    async def _limited(self, worker: Worker, reader: _Reader, function: Callable[[_Reader], T]) -> T:
        """What the function gives. Its queries are ended when their time is over, or nobody waits any more."""
        limit_s = self._statement_timeout_s
        alarm = None if limit_s is None else _Alarm(reader, limit_s)
        try:
            return await worker.call(lambda: function(reader))
        except TimedOut:
            assert limit_s is not None, "an alarm rang"
            raise TimedOut(f"a read took longer than the {limit_s:g} s that it may: ask for less at once") from None
        except asyncio.CancelledError:
            await asyncio.shield(self._in_background(_halt(worker, reader)))
            raise
        finally:
            if alarm is not None:
                alarm.cancel()

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[_Snapshot]:
        async with self._reader() as (worker, reader):
            await self._patiently(lambda: worker.call(reader.begin))
            yield _Snapshot(partial(self._limited, worker, reader), self._limits.fingerprints.near_segments)

    async def read(self, function: Callable[[Snapshot], Coroutine[Any, Any, T]]) -> T:
        """`Store.read`: all of it in one call to the reader's thread; there and back costs more than a row."""

        def whole(reader: _Reader) -> T:
            async def ask(query: Callable[[_Reader], U]) -> U:
                return query(reader)

            reader.begin()
            try:
                return _completed(function(_Snapshot(ask, self._limits.fingerprints.near_segments)))
            finally:
                reader.end()

        async with self._reader() as (worker, reader):
            return await self._patiently(lambda: self._limited(worker, reader, whole))

    async def call(self, function: Callable[[_Reader], T]) -> T:
        """Run one function on a reader, outside a snapshot."""
        async with self._reader() as (worker, reader):
            return await patiently(
                self._runtime, lambda: worker.call(lambda: function(reader)), patience_s=self._limits.read_patience_s
            )

    def _patiently(self, attempt: Callable[[], Coroutine[Any, Any, T]]) -> Coroutine[Any, Any, T]:
        return patiently(self._runtime, attempt, patience_s=self._patience_s)

    async def close(self) -> None:
        """Close the readers. Snapshots have to be over by now."""
        await asyncio.gather(*self._endings)
        while self._idle:
            worker, reader = self._idle.pop()
            await worker.call(reader.close)
            await worker.close()


def _completed(reading: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that has nothing to wait for."""
    try:
        reading.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    reading.close()
    raise RuntimeError("a read may wait for its snapshot alone")


class _Alarm:
    """Interrupts a reader after some time, and again and again until it is cancelled."""

    def __init__(self, reader: _Reader, after_s: float) -> None:
        self._reader = reader
        self._loop = asyncio.get_running_loop()
        self._handle = self._loop.call_later(after_s, self._ring)

    def _ring(self) -> None:
        self._reader.interrupt()
        self._handle = self._loop.call_later(INTERRUPT_EVERY_S, self._ring)

    def cancel(self) -> None:
        self._handle.cancel()


async def _halt(worker: Worker, reader: _Reader) -> None:
    """End what the reader is at, and wait until it has ended."""
    alarm = _Alarm(reader, 0.0)
    try:
        await worker.call(lambda: None)
    finally:
        alarm.cancel()
