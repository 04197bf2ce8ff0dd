"""Rows as one value, so that one statement adds many of them: by the table-valued function of the compiled core.

Bound one by one, each row costs a round through the interpreter and opens each index of its table anew. The function
`tidelog_rows(packed, width)` gives the rows that a value holds, and SQLite adds them with the interpreter's lock
released. Packed is what every row has, its canonical encoding (`tidelog.batch`). Where the function is not there, or
does not take the rows, they are bound one by one; the store holds the same.
"""

from collections.abc import Iterable, Iterator
from itertools import islice

import apsw
import msgspec

from tidelog import compiled
from tidelog.batch import Row

__all__ = ["from_packed", "load", "portions"]

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


def portions(rows: Iterable[Row]) -> Iterator[tuple[list[Row], bytearray | None]]:
    """Rows in pieces of about PORTION_BYTES, each with its rows packed; None: they cannot be, or are too few."""
    part: list[Row] = []
    packed = bytearray()
    walking = iter(rows)
    while step := list(islice(walking, _STEP)):
        encoded = _packed(step)
        if encoded is not None:
            part += step
            packed += encoded
        if part and (encoded is None or len(packed) >= PORTION_BYTES):
            yield part, packed if len(part) >= ROWS_MIN else None
            part, packed = [], bytearray()
        if encoded is None:
            yield step, None
    if part:
        yield part, packed if len(part) >= ROWS_MIN else None


def _packed(rows: list[Row]) -> memoryview | None:
    """The encodings of rows, one behind the other."""
    try:
        listed = _encoder.encode(rows)
    except (OverflowError, TypeError, ValueError):  # msgpack has no such integer, no such text, no such type
        return None
    return memoryview(listed)[1 if len(rows) < 16 else 3 :]  # behind the head of the list, msgpack's array 16
