"""Where rows and checkpoints live: one protocol, opened by URL, with two backends that pass one suite.

A store knows tables and checkpoints (`tidelog.batch`), and neither chains nor markets. It promises:

- `commit` is atomic, fenced and idempotent; see `Store.commit`.
- `snapshot` is one consistent view: nothing that is committed meanwhile shows in it.
- What cannot be true is `Corruption`, never mended silently.
- A row comes back as it went in, and rows come in the same order from every backend. Text is Unicode
  without U+0000, which PostgreSQL cannot hold.
"""

from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeVar

from msgspec import Struct

from tidelog.batch import Batch, Checkpoint, Outcome, Pieces, Row, Table, Value
from tidelog.errors import ConfigError
from tidelog.runtime import Runtime
from tidelog.store.limits import STORE_LIMITS, StoreLimits

__all__ = [
    "PRESENT",
    "USUAL",
    "Condition",
    "Lag",
    "Present",
    "ReadLimits",
    "Snapshot",
    "Store",
    "StoreInfo",
    "open_store",
]

T = TypeVar("T")

SCAN_ROWS = 2_000  # rows a `scan` hands over at once: a few MB of the widest rows


class Present(Struct, frozen=True):
    """A condition on a column: it is not NULL."""


PRESENT = Present()
Condition = Value | Sequence[Value] | Present  # a column equals this value, or one of these, or has any


class ReadLimits(Struct, frozen=True):
    """How a store is read: the arguments of `open_store` with these names."""

    statement_timeout_s: float | None = None
    readers: int | None = None
    patience_s: float | None = None


USUAL = ReadLimits()


class StoreInfo(Struct, frozen=True):
    """What `tidelog db info` prints."""

    backend: str  # "sqlite" | "postgresql"
    version: str  # the database's own version
    location: str  # without any secret
    schema_version: int  # the last migration applied
    size_bytes: int
    details: Mapping[str, str]  # settings that matter: journal mode, durability


class Lag(Struct, frozen=True):
    """How far a standby shows less than its primary has committed."""

    seconds: float  # since the commit that it shows last was made; 0: it shows all that it has heard of
    paused: bool  # its replay was paused, by somebody


class Snapshot(Protocol):
    """One consistent, read-only view. Keep it short: it holds the database's old state alive.

    A read that takes longer than the store's `statement_timeout_s` is ended and raises `TimedOut`; the view
    is then of no further use, the store is. A caller that is cancelled ends its read too, wherever that runs.
    """

    any_of_max: int  # alternatives that `select` takes: 0 where each as a question of its own costs no more

    async def checkpoint(self, source: str) -> Checkpoint | None:
        """How far a source is; None: the store has nothing of it."""
        ...

    async def checkpoints(self) -> list[Checkpoint]:
        """Of every source in the store, by name."""
        ...

    async def select(
        self,
        table: Table,
        *,
        scope: int | str | None = None,
        low: int | None = None,
        high: int | None = None,
        where: Mapping[str, Condition] | None = None,
        after: Row | None = None,
        descending: bool = False,
        limit: int | None = None,
        columns: Sequence[str] | None = None,
        any_of: Sequence[tuple[str, Value]] = (),
    ) -> list[Row]:
        """Rows in key order (or its reverse), whole, as `table.columns` has them, unless `columns` says less.

        Args:
            scope: only rows whose `table.scope` column is this.
            low, high: only rows whose `table.height` column (for a table without one, the last column
                of its key) lies within, both ends included.
            where: only rows whose named columns equal the value, or one of the values; PRESENT: are not NULL.
            after: only rows whose key comes after this key (before it when descending): a keyset cursor.
            limit: at most so many.
            columns: only these, in this order: less to read, and to convert.
            any_of: only rows in which one of these columns, of `table.segmented`, has its value; with a scope and a
                limit.
        """
        ...

    async def lookup(
        self, table: Table, *, scope: int, keys: Sequence[Row], columns: Sequence[str] | None = None
    ) -> list[Row]:
        """The rows of many keys by one question, in key order; of a key that is not there, nothing.

        Args:
            keys: each once, as integers: what the table's key has behind the scope, with which it begins.
            columns: only these, in this order.
        """
        ...

    async def pieces(self, table: Table, *, scope: int, low: int, high: int) -> Pieces:
        """The rows of a table with a scope and heights, by height and then in key order.

        Where the store gives them encoded to the compiled core, tuples are made when somebody walks them.
        """
        ...

    def scan(
        self, table: Table, *, scope: int | str | None = None, low: int | None = None, high: int | None = None
    ) -> AsyncIterator[list[Row]]:
        """The same rows in key order, in lists of at most SCAN_ROWS."""
        ...

    async def count(
        self,
        table: Table,
        *,
        scope: int | str | None = None,
        low: int | None = None,
        high: int | None = None,
        where: Mapping[str, Condition] | None = None,
    ) -> int:
        """How many rows `select` would give for the same bounds."""
        ...

    async def relations(self) -> dict[str, bool]:
        """The tables and views there are, by name: whether it is a table that a batch created."""
        ...

    async def misspelled(self, table: Table) -> list[int]:
        """The heights of rows that have another text beside an integer of 256 bits than that integer's; reads all."""
        ...


class Store(Protocol):
    """A database. One instance serves one event loop."""

    async def migrate(self) -> list[int]:
        """Bring the schema up to date, as opening a store for writing has done already.

        Returns:
            The numbers of the migrations that this instance has applied since it was opened, in order.
        """
        ...

    async def acquire(self, source: str) -> Checkpoint:
        """Become the writer of `source`: raise its epoch, so that every earlier writer is fenced."""
        ...

    async def commit(self, batch: Batch) -> Outcome:
        """Commit the batch: rows and checkpoint together, in one transaction.

        COMMITTED: done. ALREADY: the store is at `batch.after` already, an earlier try had succeeded.
        An outcome that got lost (the connection died between COMMIT and its answer) is settled by
        reading the checkpoint back under its lock, before this returns or raises. A cancelled commit is
        whole or absent too; trying the same batch again tells which.

        Raises:
            Fenced: the stored checkpoint is neither `before` nor `after`; nothing was changed.
            Busy: a lock or the server could not be had. Try the same batch again: if the server left
                with an outcome that could not be settled, that is what settles it.
            Full: no room on the disk; nothing was changed.
            Corruption: a row of `add` has a key that is there already, or a row of `add` or `put` has
                another value that must be unique (a block's hash); nothing was changed.
            ValueError: a row does not fit its table, or the batch itself: a mistake in tidelog.
        """
        ...

    def snapshot(self) -> AbstractAsyncContextManager[Snapshot]:
        """A view of the state at the moment of entering. A few may be open at once, further ones wait."""
        ...

    async def read(self, function: Callable[[Snapshot], Coroutine[Any, Any, T]]) -> T:
        """What the function makes of a snapshot. For reads that are soon done: it costs the least.

        The function awaits the snapshot's reads and nothing else: it may run on another thread, and from the
        beginning again where the database was busy.
        """
        ...

    async def info(self) -> StoreInfo:
        """What the database is, and what it takes."""
        ...

    async def lag(self) -> Lag | None:
        """How far the server behind the store lags; None where it is no standby."""
        ...

    async def check_integrity(self) -> list[str]:
        """What the database itself finds wrong with its files, one sentence each; empty when sound."""
        ...

    async def close(self) -> None:
        """Close its connections, after the commit that is under way. Nothing else may be asked of it then."""
        ...


async def open_store(
    url: str,
    runtime: Runtime,
    *,
    readonly: bool = False,
    statement_timeout_s: float | None = None,
    readers: int | None = None,
    patience_s: float | None = None,
    limits: StoreLimits = STORE_LIMITS,
) -> Store:
    """Open the store at `sqlite:///PATH` or `postgresql://USER@HOST/NAME`.

    A writing store is created or migrated as needed; a read-only one must exist and be up to date.

    Args:
        statement_timeout_s: how long one read of a snapshot may take; None: as long as it needs (SQLite), or
            the five minutes that any statement has (PostgreSQL), and a count as long as it needs.
        readers: how many snapshots may be open at once; None: a few, see `limits`.
        patience_s: for how long a snapshot is tried again while the store is away or locked, before it is `Busy`;
            None: for some seconds, see `limits`.
        limits: of the backend.
    """
    if statement_timeout_s is not None and statement_timeout_s <= 0:
        raise ValueError(f"a statement cannot end within {statement_timeout_s} s")
    if readers is not None and readers < 1:
        raise ValueError(f"{readers} readers cannot read")
    reads = ReadLimits(statement_timeout_s, readers, patience_s)
    scheme, separator, _ = url.partition("://")
    if separator and scheme == "sqlite":
        from tidelog.store.sqlite import open_sqlite

        return await open_sqlite(url, runtime, readonly=readonly, reads=reads, limits=limits.sqlite)
    if separator and scheme in ("postgresql", "postgres"):
        from tidelog.store.postgres import open_postgres

        return await open_postgres(url, runtime, readonly=readonly, reads=reads, limits=limits.postgres)
    raise ConfigError(
        f"--db {url.split('@')[-1]!r} names no store: write sqlite:///tidelog.db or postgresql://user@host/name"
    )
