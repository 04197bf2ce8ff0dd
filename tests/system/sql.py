"""A store's database, read by plain SQL and by nothing of tidelog: what a stranger finds in it."""

import asyncio
import contextlib
import json
from collections.abc import Iterator
from decimal import Decimal
from types import TracebackType
from typing import Any, Protocol

import apsw
import asyncpg

__all__ = ["Sql", "View", "as_integer", "opened", "position"]

Row = tuple[Any, ...]


class View(Protocol):
    """One consistent state of the database."""

    def rows(self, text: str) -> list[Row]: ...

    def row(self, text: str) -> Row:
        """The only row that the query gives."""
        ...


class _View:
    def __init__(self, database: "Sql") -> None:
        self._database = database

    def rows(self, text: str) -> list[Row]:
        return [tuple(map(_plain, row)) for row in self._database.fetch(text)]

    def row(self, text: str) -> Row:
        (only,) = self.rows(text)
        return only


class Sql:
    """A connection for one thread. `view` gives one consistent state."""

    def __init__(self, url: str) -> None:
        self._sqlite: apsw.Connection | None = None
        self._postgres: asyncpg.Connection[asyncpg.Record] | None = None
        self._runner: asyncio.Runner | None = None
        if url.startswith("sqlite:///"):
            self._sqlite = apsw.Connection(url.removeprefix("sqlite:///"), flags=apsw.SQLITE_OPEN_READWRITE)
            self._sqlite.set_busy_timeout(10_000)
        else:
            self._runner = asyncio.Runner()
            try:
                self._postgres = self._runner.run(asyncpg.connect(url))
            except BaseException:
                self._runner.close()
                raise

    def fetch(self, text: str) -> list[Row]:
        """Rows as the driver gives them; also carries out what gives none."""
        if self._sqlite is not None:
            return self._sqlite.execute(text).fetchall()
        assert self._runner is not None
        assert self._postgres is not None
        return [tuple(record) for record in self._runner.run(self._postgres.fetch(text))]

    @contextlib.contextmanager
    def view(self) -> Iterator[View]:
        self.fetch("BEGIN" if self._sqlite is not None else "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        try:
            yield _View(self)
        finally:
            self.fetch("ROLLBACK")

    def close(self) -> None:
        if self._sqlite is not None:
            self._sqlite.close()
        if self._runner is not None and self._postgres is not None:
            self._postgres.terminate()
            self._runner.close()

    def __enter__(self) -> "Sql":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@contextlib.contextmanager
def opened(url: str) -> Iterator[View]:
    """One state, on a connection of its own."""
    with Sql(url) as database, database.view() as view:
        yield view


def _plain(value: Any) -> Any:
    """The same value from both databases; 256-bit integers stay apart: see `as_integer`."""
    return int(value) if isinstance(value, Decimal) else value


def as_integer(value: Any) -> int | None:
    """A 256-bit column as a number: NUMERIC there, 32 bytes here."""
    return int.from_bytes(value, "big") if isinstance(value, bytes) else value


def position(url: str, chain_id: int) -> dict[str, Any] | None:
    """A chain's checkpoint; None if nothing was committed yet."""
    with opened(url) as view:
        found = view.rows(f"SELECT position FROM checkpoints WHERE source = 'chain:{chain_id}'")
    return json.loads(found[0][0]) if found and found[0][0] is not None else None
