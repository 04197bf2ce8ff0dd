"""Rows on their way to the server by COPY, in portions, and back: laid out and read by the compiled core where it is.

What the core leaves is encoded by asyncpg, which also says what does not fit, or is read row by row.
"""

from collections.abc import AsyncIterator, Iterable, Iterator
from functools import lru_cache
from itertools import chain
from typing import Any

from tidelog import compiled
from tidelog.batch import Kind, Piece, Pieces, Row, Table
from tidelog.store.query import column_list

__all__ = ["copied", "copy_query", "pieces", "portions", "streams"]

PORTION_BYTES_MAX = 8_000_000  # of one COPY: what we gather in memory, and one statement's time
PIECE_BYTES = 256 * 1024  # of a stream: what is handed to the connection at once
HEAD_BYTES, END_BYTES = 19, 2  # of a stream of binary COPY
VALUE_BYTES = 12  # a number with its length word
TABLES_KEPT = 256

_LETTERS = {
    Kind.INT: "i",
    Kind.UINT64: "w",
    Kind.NUMBER: "w",
    Kind.UINT256: "n",
    Kind.TEXT: "t",
    Kind.BYTES: "b",
}  # as `tidelog_core.copy_rows` calls them


def streams(
    table: Table, rows: Iterable[Row], *, segment: int | None = None, bytes_max: int = PORTION_BYTES_MAX
) -> Iterator[tuple[list[Row], Iterable[bytes] | None]]:
    """The rows in portions, each with the stream of its binary COPY; None in its place where asyncpg has to make it.

    Rows that are encoded are not decoded for it, so that of their portions there is the stream alone. It is laid out
    while it is sent, so that the server works meanwhile, and has to be sent before the next portion is asked for.

    Args:
        segment: of all rows: the last field of each in the streams; it is not in the rows.
    """
    module, columns = compiled.core().module, _columns(table)
    if module is None or columns is None:
        yield from ((records, None) for records in portions(rows, bytes_max=bytes_max))
        return
    left = iter(rows)
    if isinstance(rows, Pieces) and all(isinstance(piece.rows, module.Rows) for piece in rows.pieces):
        encoded = _Encoded([piece.rows for piece in rows.pieces], module, columns, segment)
        while (first := encoded.part(min(PIECE_BYTES, bytes_max))) is not None:
            yield [], encoded.stream(first, bytes_max)
        left = encoded.left()
    while (portion := module.copy_rows(left, columns, bytes_max, segment)) is not None:
        records, stream = portion
        yield records, None if stream is None else [stream]


class _Encoded:
    """Rows of one table as the core has encoded them, on their way.

    `_place` and `_row` are where the next part begins: a piece and a row of it.
    """

    def __init__(self, pieces: list[Any], module: Any, columns: bytes, segment: int | None) -> None:
        self._pieces = pieces
        self._module = module
        self._columns = columns
        self._segment = segment
        self._place = self._row = 0

    def part(self, bytes_max: int) -> bytes | None:
        """The stream of the next rows; None if none is left, or one of them does not fit its column."""
        place, row = self._place, self._row
        found = self._module.copy_packed(self._pieces, self._columns, bytes_max, place, row, self._segment)
        if found is None:
            self._place, self._row = len(self._pieces), 0
            return None
        part: bytes | None
        part, ends = found
        if part is not None:
            self._place, self._row = ends
        return part

    def stream(self, first: bytes, bytes_max: int) -> Iterator[bytes]:
        """One stream of this part and those behind it."""
        part: bytes | None = first
        head, sent = 0, 0
        while part is not None:
            body = part[head:-END_BYTES]
            yield body
            head, sent = HEAD_BYTES, sent + len(body)
            part = self.part(min(PIECE_BYTES, bytes_max - sent)) if sent < bytes_max else None
        yield first[-END_BYTES:]

    def left(self) -> Iterator[Row]:
        """The rows from the first one on that does not fit."""
        left = self._pieces[self._place :]
        return chain(left[0][self._row :], *left[1:]) if left else iter(())


@lru_cache(TABLES_KEPT)
def _columns(table: Table) -> bytes | None:
    """What the core has to know of a table's columns; None where it does not know one."""
    letters = [_LETTERS.get(column.kind) for column in table.columns]
    return None if None in letters else "".join(map(str, letters)).encode()


def copy_query(table: Table, scope: int, low: int, high: int) -> str | None:
    """What copies the rows of a scope, from one height to another, in the order of the key; None: not for the core."""
    if compiled.core().module is None or _columns(table) is None or table.scope is None or table.height is None:
        return None
    return (
        f'SELECT {column_list(table.names)} FROM "{table.name}" WHERE "{table.scope}" = {scope:d}'
        f' AND "{table.height}" >= {low:d} AND "{table.height}" <= {high:d} ORDER BY {column_list(table.key)}'
    )


def copied(table: Table, scope: int, stream: bytes) -> Pieces | None:
    """The rows of a stream that `copy_query` gave; None where one has a value that no row of the core has."""
    module, columns = compiled.core().module, _columns(table)
    assert module is not None, "asked for only where it is in use"
    found = module.read_copy(stream, columns, table.places[1])
    return None if found is None else Pieces([Piece(scope, height, rows) for height, rows in found])


async def pieces(stream: Iterable[bytes]) -> AsyncIterator[bytes]:
    """A stream as the connection takes it."""
    for part in stream:
        for start in range(0, len(part), PIECE_BYTES):
            yield part[start : start + PIECE_BYTES]


def portions(rows: Iterable[Row], *, bytes_max: int = PORTION_BYTES_MAX) -> Iterator[list[Row]]:
    """The rows in lists of about `bytes_max`, each gathered only when the one before was sent."""
    gathered: list[Row] = []
    size = 0
    for row in rows:
        gathered.append(row)
        size += sum([len(value) if isinstance(value, bytes | str) else VALUE_BYTES for value in row])
        if size >= bytes_max:
            yield gathered
            gathered, size = [], 0
    if gathered:
        yield gathered
