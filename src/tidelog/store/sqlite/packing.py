"""Rows as one value, so that one statement adds or reads many of them: by two functions of the compiled core in SQL.

Bound one by one, each row costs a round through the interpreter and opens each index of its table anew. The function
`tidelog_rows(packed, width)` gives the rows that a value holds, and SQLite adds them with the interpreter's lock
released. Packed is what every row has, its canonical encoding (`tidelog.batch`). Where the function is not there, or
does not take the rows, they are bound one by one; the store holds the same.

The other way, the aggregate `tidelog_packed(wide, ..)` packs the rows of each height as they are read.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import islice

import apsw
import msgspec

from tidelog import compiled
from tidelog.batch import Piece, Pieces, Row, Table
from tidelog.store.query import column_list

__all__ = ["from_packed", "load", "packed_query", "portions"]

ROWS_MIN = 2_048  # of one statement. It keeps the pages that it changes as they were: few rows are cheaper one by one.
PORTION_BYTES = 2 * 1024 * 1024  # of one value, which is there three times while its statement runs
_STEP = 512  # rows that are encoded at once
_ENTRY = "sqlite3_tidelog_init"

_encoder = msgspec.msgpack.Encoder()


def load(connection: apsw.Connection) -> str | None:
    """Give a connection the function; None, or why it has not got it."""
    module = compiled.core().module
    if module is None:
        return "without the compiled core"
    library = str(getattr(module, "tidelog_core", module).__file__)  # the package's own part that is compiled
    option = apsw.SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION  # for us, and for no SQL
    try:
        connection.config(option, 1)
        try:
            connection.load_extension(library, _ENTRY)
        finally:
            connection.config(option, 0)
    except (AttributeError, apsw.Error) as error:  # an SQLite that loads nothing, or an older core
        return str(error)
    return None


def from_packed(width: int, *values: int) -> str:
    """What adds packed rows, in the place of VALUES: each with further values behind its own. It has one parameter."""
    columns = [*(f"c{place}" for place in range(width)), *map(str, values)]
    return f"SELECT {', '.join(columns)} FROM tidelog_rows(?, {width})"


@lru_cache
def packed_query(table: Table) -> str:
    """What reads the rows of a scope (its first parameter) from one height to another: each height, its rows packed.

    They come in the order of the key, of which these are the first columns.
    """
    wide = sum(1 << place for place, name in enumerate(table.names) if name in table.wide)
    return (
        f'SELECT "{table.height}", tidelog_packed({wide}, {column_list(table.names)}) FROM "{table.name}"'
        f' WHERE "{table.scope}" = ?1 AND "{table.height}" >= ?2 AND "{table.height}" <= ?3 GROUP BY "{table.height}"'
    )


def portions(rows: Iterable[Row]) -> Iterator[tuple[Collection[Row], bytearray | None]]:
    """Rows in portions of about PORTION_BYTES, each with its rows packed; None: they cannot be, or are too few."""
    part: list[Piece] = []
    count, packed = 0, bytearray()
    for piece, encoded in _encoded(rows):
        if encoded is not None:
            part.append(piece)
            packed += encoded
            count += len(piece.rows)
        if part and (encoded is None or len(packed) >= PORTION_BYTES):
            yield Pieces(part), packed if count >= ROWS_MIN else None
            part, count, packed = [], 0, bytearray()
        if encoded is None:
            yield piece.rows, None
    if part:
        yield Pieces(part), packed if count >= ROWS_MIN else None


def _encoded(rows: Iterable[Row]) -> Iterator[tuple[Piece, bytes | memoryview | None]]:
    """Rows in pieces, each with their encodings one behind the other; None: they cannot be encoded."""
    if isinstance(rows, Pieces):
        for piece in rows.pieces:
            held: bytes | None = getattr(piece.rows, "packed", None)  # rows of the core are encoded already
            yield piece, _packed(piece.rows) if held is None else held
        return
    walking = iter(rows)
    while step := list(islice(walking, _STEP)):
        yield Piece(None, None, step), _packed(step)


def _packed(rows: Sequence[Row]) -> memoryview | None:
    """The encodings of rows, one behind the other."""
    try:
        listed = _encoder.encode(list(rows))
    except (OverflowError, TypeError, ValueError):  # msgpack has no such integer, no such text, no such type
        return None
    # behind the head of the list: msgpack's array of up to 15, of 16 bits, of 32
    return memoryview(listed)[1 if len(rows) < 16 else 3 if len(rows) < 1 << 16 else 5 :]
