"""Which journal a file is, and whether it is whole without the log beside it.

SQL alone; `journal_file` owns the connection.

SQLite writes what is new into PATH-wal and copies it into PATH later. A file that is copied alone while it is written
lacks what is in the log, and looks like an older state of itself. So the file says which run is being written; after an
orderly end none is, and the file is whole.
"""

import os

import apsw
import msgspec
from msgspec import Struct

ID_BYTES = 16

IDENTITY_DDL = """
CREATE TABLE IF NOT EXISTS identity (
    one INTEGER PRIMARY KEY CHECK (one = 1), -- there is one row
    id BLOB NOT NULL,                        -- random, drawn when the journal was made
    open_run INTEGER                         -- the run that is being written; NULL after an orderly end
) STRICT;
"""


class Identity(Struct, frozen=True):
    """Which journal it is, and which of its runs was not ended in order."""

    id: bytes
    open_run: int | None


def identify_journal(connection: apsw.Connection, new_id: bytes) -> None:
    """Give a journal its id, unless it has one."""
    connection.execute(IDENTITY_DDL)  # a journal that an older tidelog has made has no such table yet
    connection.execute("INSERT INTO identity (one, id) VALUES (1, ?) ON CONFLICT DO NOTHING", (new_id,))


def identity_of(connection: apsw.Connection) -> Identity | None:
    """None for a journal that only an older tidelog has written."""
    if not connection.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'identity'").get:
        return None
    row = connection.execute("SELECT id, open_run FROM identity").fetchone()
    return None if row is None else Identity(*msgspec.convert(row, tuple[bytes, int | None]))


def begin_run(connection: apsw.Connection, run: int) -> None:
    connection.execute("UPDATE identity SET open_run = ?", (run,))


def end_run(connection: apsw.Connection, run: int) -> None:
    """The run has ended in order. A newer one may have begun: then that one is open."""
    connection.execute("UPDATE identity SET open_run = NULL WHERE open_run = ?", (run,))


def log_of(path: str) -> str:
    """The file that SQLite keeps beside a journal while it is open."""
    return f"{path}-wal"


def has_log(path: str) -> bool:
    return os.path.exists(log_of(path))
