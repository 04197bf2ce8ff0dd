"""A follower of a simulated chain's changes, which keeps its own place through all that happens to the store.

Where it goes on is what is tested: `tidelog.chain.reading.outbox` says so, over the rows that an observer sees. What
it makes of the changes, and what it holds against the store, is code apart.
"""

from collections.abc import Coroutine, Sequence
from typing import Any, NamedTuple, TypeVar

import apsw

from tidelog.batch import Checkpoint, Row
from tidelog.chain.forks.bookmarks import BEGIN, Ahead, Place, WentBack, parse_place, place_text
from tidelog.chain.reading.outbox import Page, next_changes
from tidelog.sim.oracle.chain import require
from tidelog.store.query import CHECKPOINT_COLUMNS, QuerySnapshot

__all__ = ["Following"]

T = TypeVar("T")


class _Change(NamedTuple):
    kind: str
    number: int
    hash: bytes
    writer: int


class _Seen(QuerySnapshot):
    """A snapshot over a connection, without a thread: nothing in it waits."""

    mark = "?"

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection

    async def _fetch(
        self, text: str, values: list[Any], wide: Sequence[int] = (), signed: Sequence[int] = ()
    ) -> list[Row]:
        rows: list[Any] = self._connection.execute(text, values).fetchall()
        return rows

    async def checkpoint(self, source: str) -> Checkpoint | None:
        text = f"SELECT {CHECKPOINT_COLUMNS} FROM checkpoints WHERE source = ?"  # noqa: S608
        found: list[Any] = self._connection.execute(text, (source,)).fetchall()
        return Checkpoint(*found[0]) if found else None


def _done(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of what waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    raise AssertionError("it waited")


class Following:
    """What a follower has. It reads a page whenever it is told to."""

    def __init__(self, chain_id: int) -> None:
        self.place = BEGIN
        self.resets = 0
        self.waits = 0
        self._chain_id = chain_id
        self._log: list[_Change] = []  # the change with seq n at n - 1
        self._chain: dict[int, bytes] = {}

    def read(self, connection: apsw.Connection, limit: int) -> int:
        """Take the next page; how many changes it had. Violation if it does not lead on from what is here."""
        place = parse_place(place_text(self.place))  # as it is kept
        page: Page = _done(next_changes(_Seen(connection), self._chain_id, place, limit))  # type: ignore[arg-type]
        if isinstance(page.verdict, WentBack):
            self._go_back(connection, page.begun)
        self.waits += isinstance(page.verdict, Ahead)
        for row in page.rows:
            self._take(row)
        self.place = page.place
        require(self.place.seq == len(self._log), "a place says how far a follower is")
        return len(page.rows)

    def at_end(self, connection: apsw.Connection) -> None:
        """Catch up, and hold the outcome against the blocks that are stored."""
        while self.read(connection, 1_000):
            pass
        text = "SELECT number, hash FROM blocks WHERE chain_id = ? ORDER BY number"
        blocks: list[Any] = connection.execute(text, (self._chain_id,)).fetchall()
        require(sorted(self._chain.items()) == blocks, "whoever follows the changes ends equal to the store")

    def _take(self, row: Any) -> None:
        _, seq, kind, number, block_hash, _, writer = row
        require(seq == len(self._log) + 1, "a follower misses no change, and has none twice")
        self._log.append(_Change(kind, number, block_hash, writer))
        if kind == "apply":
            require(number not in self._chain, "a follower applies a block where none is")
            self._chain[number] = block_hash
        else:
            require(self._chain.pop(number, None) == block_hash, "a follower reverts what it has applied")

    def _go_back(self, connection: apsw.Connection, to: Place) -> None:
        self.resets += 1
        require(to.seq < len(self._log), "what is told to go back has something to undo")
        rows = self._stored(connection)
        require(rows[: to.seq] == self._log[: to.seq], "up to where a follower is sent back, both have the same")
        beyond = slice(to.seq, to.seq + 1)
        writers = {change.writer for change in (*rows[beyond], *self._log[beyond])}
        require(len(writers) == 2, "a follower is sent back no further than to the last common change")
        while len(self._log) > to.seq:
            undone = self._log.pop()
            if undone.kind == "apply":
                require(self._chain.pop(undone.number, None) == undone.hash, "a follower undoes what it has applied")
            else:
                self._chain[undone.number] = undone.hash

    def _stored(self, connection: apsw.Connection) -> list[_Change]:
        text = "SELECT kind, number, hash, writer FROM changes WHERE chain_id = ? ORDER BY seq"
        rows: list[Any] = connection.execute(text, (self._chain_id,)).fetchall()
        return [_Change(*row) for row in rows]
