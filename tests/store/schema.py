"""The schema of a new SQLite store, from its migrations: `python -m tests.store.schema` after a migration was added."""

from pathlib import Path

import apsw

import tidelog.store.sqlite
from tidelog.store.migrations import shipped

HEAD = """\
-- What the migrations make of an empty file, up to the one of this number. Made from them by
-- `python -m tests.store.schema`: what is here and why is said there.

ANALYZE; -- makes the tables of statistics

"""


def migrated() -> apsw.Connection:
    """An empty file, to which all migrations were applied one by one."""
    connection = apsw.Connection(":memory:")
    for each in shipped("tidelog.store.sqlite"):
        connection.execute(each.sql)
    return connection


def schema() -> str:
    """What the migrations make of an empty file, as SQL: each table, index and view as it is in the end, and the rows
    that they enter: what the planner is to believe.
    """
    connection = migrated()
    made = connection.execute(
        "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite!_%' ESCAPE '!' ORDER BY rowid"
    )
    believed = connection.execute("SELECT tbl, idx, stat FROM sqlite_stat1 ORDER BY rowid")
    rows = ",\n".join(f"    ('{table}', '{index}', '{numbers}')" for table, index, numbers in believed)
    return (
        HEAD
        + "".join(f"{sql};\n\n" for (sql,) in made)
        + f"INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES\n{rows};\nANALYZE sqlite_schema;\n"
    )


def main() -> None:
    """Write the file, in place of the one before."""
    made = schema()
    folder = Path(tidelog.store.sqlite.__file__).parent
    for old in folder.glob("schema_*.sql"):
        old.unlink()
    folder.joinpath(f"schema_{len(shipped('tidelog.store.sqlite')):04}.sql").write_text(made)


if __name__ == "__main__":
    main()
