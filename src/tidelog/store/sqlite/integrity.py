"""SQLite's check of its own file, in parts that run side by side.

The check of one table and its indexes (https://sqlite.org/pragma.html#pragma_integrity_check) looks at all of them that
the check of the whole file looks at, but not at pages that belong to two tables, or to none. Those are counted
(https://sqlite.org/dbstat.html). Neither looks at pages that are free: a file that has any is checked as a whole.
"""

import apsw

from tidelog.store.sqlite.connection import is_there, reading

__all__ = ["messages", "pages_are_sound", "part_is_sound", "parts"]

MESSAGES_MAX = 100  # one damaged page can cause thousands
SCHEMA = "sqlite_schema"  # a table as well, which does not name itself
LOCKED_BYTE = 1 << 30  # the page that has it is never used: https://sqlite.org/fileformat2.html#the_lock_byte_page


def messages(connection: apsw.Connection) -> list[str]:
    """What SQLite finds wrong with all of its file, in its own words."""
    rows = connection.execute(f"PRAGMA integrity_check({MESSAGES_MAX})").fetchall()
    return [] if rows == [("ok",)] else [str(text) for (text,) in rows]


def parts(connection: apsw.Connection) -> list[str]:
    """The tables that are checked one by one; none where parts do not make a whole."""
    if connection.pragma("freelist_count") or "dbstat" not in connection.execute("PRAGMA module_list").get:
        return []
    tables = "SELECT name FROM sqlite_schema WHERE type = 'table' AND rootpage > 0 ORDER BY rootpage"
    return [SCHEMA, *(name for (name,) in connection.execute(tables))]


def part_is_sound(connection: apsw.Connection, table: str) -> bool:
    """Whether SQLite finds nothing wrong with a table and its indexes, if it is there still."""
    quoted = table.replace('"', '""')
    with reading(connection):
        if table != SCHEMA and not is_there(connection, table):
            return True
        return connection.execute(f'PRAGMA integrity_check("{quoted}")').fetchall() == [("ok",)]


def pages_are_sound(connection: apsw.Connection) -> bool:
    """Whether each page of the file belongs to one table or index, and to one alone."""
    with reading(connection):
        used, different = connection.execute("SELECT count(*), count(DISTINCT pageno) FROM dbstat").get
        pages, size = connection.pragma("page_count"), connection.pragma("page_size")
        free = connection.pragma("freelist_count")
    return bool(free == 0 and used == different == pages - (pages * size > LOCKED_BYTE))
