"""Rows on their way to the server by COPY: in portions, and laid out by the compiled core where it is.

What the core leaves is encoded by asyncpg, which also says what does not fit.
"""

from collections.abc import AsyncIterator, Iterable, Iterator
from functools import lru_cache
from itertools import chain

from tidelog import compiled
from tidelog.batch import Kind, Pieces, Row, Table

__all__ = ["pieces", "portions", "streams"]

PORTION_BYTES_MAX = 8_000_000  # of one COPY: what we gather in memory, and one statement's time
PIECE_BYTES = 256 * 1024  # of a stream: what is handed to the connection at once
VALUE_BYTES = 12  # a number with its length word
TABLES_KEPT = 256

_LETTERS = {
    Kind.INT: "i",
    Kind.UINT64: "n",
    Kind.NUMBER: "n",
    Kind.UINT256: "n",
    Kind.TEXT: "t",
    Kind.BYTES: "b",
}  # as `tidelog_core.copy_rows` calls them


def streams(
    table: Table, rows: Iterable[Row], *, bytes_max: int = PORTION_BYTES_MAX
) -> Iterator[tuple[list[Row], bytes | None]]:
    """The rows in portions, each with the stream of its binary COPY; None in its place where asyncpg has to make it.

    Rows that are encoded are not decoded for it, so that of their portions there is the stream alone.
    """
    module, columns = compiled.core().module, _columns(table)
    if module is None or columns is None:
        yield from ((records, None) for records in portions(rows, bytes_max=bytes_max))
        return
    left = iter(rows)
    if isinstance(rows, Pieces) and all(isinstance(piece.rows, module.Rows) for piece in rows.pieces):
        held, place, row = [piece.rows for piece in rows.pieces], 0, 0
        while (part := module.copy_packed(held, columns, bytes_max, place, row)) is not None:
            stream, ends = part
            if stream is None:
                break  # from where this portion began
            yield [], stream
            place, row = ends
        else:
            return
        left = chain(held[place][row:], *held[place + 1 :])
    while (portion := module.copy_rows(left, columns, bytes_max)) is not None:
        yield portion


@lru_cache(TABLES_KEPT)
def _columns(table: Table) -> bytes | None:
    """What the core has to know of a table's columns; None where it does not know one."""
    letters = [_LETTERS.get(column.kind) for column in table.columns]
    return None if None in letters else "".join(map(str, letters)).encode()


async def pieces(stream: bytes) -> AsyncIterator[bytes]:
    """A stream as the connection takes it."""
    for start in range(0, len(stream), PIECE_BYTES):
        yield stream[start : start + PIECE_BYTES]


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
