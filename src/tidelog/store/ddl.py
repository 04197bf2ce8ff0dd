"""The SQL text that makes and removes a table which no migration made: its columns, key, indexes and view. Executes
nothing.

A view is for people: bytes as 0x and hex digits, times as ISO 8601, integers of 256 bits as decimals. What it shows of
a `searched` column has an index, so that to ask the view for one value reads what has it, and no more. Databases have
tables and indexes under the same names: that of an index has `__` in it, which that of no event's table has.
"""

from collections.abc import Iterable, Mapping

from msgspec import Struct

from tidelog.batch import Column, Kind, Table
from tidelog.store.query import column_list

__all__ = ["IDENTIFIER_MAX", "POSTGRES", "SQLITE", "Dialect"]

IDENTIFIER_MAX = 63  # bytes of a name that PostgreSQL tells apart
KEY_SUFFIX = "__key"  # of the name of a table's key; by it a table that a batch created is told from any other
TIME_COLUMN = "timestamp"  # in seconds; a view has a `time` behind it


# Rows of a large table, and of each beginning of a key: (https://sqlite.org/fileformat2.html#the_sqlite_stat1_table).
# Without them SQLite reads a chain's rows in order rather than by an index, since those it need not sort.
LIKELY_KEY = "10000000 10000000 10 1"
LIKELY = "10000000 1000 3 1"
LIKELY_SEGMENTED = "10000000 100000 100 3 1"


class Dialect(Struct, frozen=True):
    """How one database has it."""

    types: Mapping[Kind, str]
    hexadecimal: str  # of a column of bytes
    by_bytes: str  # behind a text in an index: it sorts by its bytes, whatever the database's locale
    time: str  # of a column of seconds
    ending: str  # of a table's definition
    plans: bool  # whether the planner believes what is written of a table, and knows nothing else
    spells: bool  # whether texts are stored beside integers of 256 bits
    relations: str  # query: the name of each table and view, and whether `create` made it
    segment: str  # the type of a row's segment
    segmented: str  # query: the names of the tables that `create` made with segments

    def create(self, table: Table) -> list[str]:
        """Statements that make a table, its indexes and its view."""
        columns = [self._defined(column.name, self.types[column.kind], column.nullable) for column in table.columns]
        if table.segmented:
            columns.append(f'"segment" {self.segment}')
        if self.spells:
            nullable = {place: table.columns[place].nullable for place, _, _ in table.spelled}
            columns += [self._defined(name, "TEXT", nullable[place]) for place, name, _ in table.spelled]
        columns.append(f'CONSTRAINT "{table.name}{KEY_SUFFIX}" PRIMARY KEY ({column_list(table.key)})')
        made = [f'CREATE TABLE "{table.name}" ({", ".join(columns)}){self.ending}']
        for number, name in enumerate(table.searched):
            column = table.columns[table.index(name)]
            found = f"({self._shown(column)}){self.by_bytes if column.kind is Kind.BYTES else ''}"
            behind = column_list(table.key[1:])  # rows of one scope: it tells nothing
            first = '"segment", ' if table.segmented else ""
            made.append(f'CREATE INDEX "{table.name}__{number}" ON "{table.name}" ({first}{found}, {behind})')
        if self.plans:
            indexes = [f"{table.name}__{number}" for number in range(len(table.searched))]
            likely = self.likely(table.name, indexes, segmented=bool(table.segmented))
            made += [likely, "ANALYZE sqlite_schema"]
        if table.view is not None:
            made.append(f'CREATE VIEW "{table.view}" AS SELECT {self._selected(table)} FROM "{table.name}"')
        return made

    def likely(self, table: str, indexes: Iterable[str], *, segmented: bool) -> str:
        """The statement that tells SQLite's planner of a table and its indexes."""
        stats = {table: LIKELY_KEY} | dict.fromkeys(indexes, LIKELY_SEGMENTED if segmented else LIKELY)
        rows = ", ".join(f"('{table}', '{name}', '{stat}')" for name, stat in stats.items())
        return f"INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES {rows}"

    def discard(self, table: Table) -> list[str]:
        """Statements that remove all of that, if it is there."""
        view = [] if table.view is None else [f'DROP VIEW IF EXISTS "{table.view}"']
        return [*view, f'DROP TABLE IF EXISTS "{table.name}"']

    def _defined(self, name: str, its_type: str, nullable: bool) -> str:
        return f'"{name}" {its_type}{"" if nullable else " NOT NULL"}'

    def _shown(self, column: Column) -> str:
        if column.kind is Kind.BYTES:
            return self.hexadecimal.format(column.name)
        if self.spells and column.spelled:
            return f'"{column.name}_text"'
        return f'"{column.name}"'

    def _selected(self, table: Table) -> str:
        parts = []
        for column in table.columns:
            shown = self._shown(column)
            if self.spells and column.kind is Kind.UINT64 and column.name not in table.searched:
                shown = _DECIMAL.replace("value", f'"{table.name}"."{column.name}"')
            parts.append(f'{shown} AS "{column.name}"')
            if column.name == TIME_COLUMN:
                parts.append(f'{self.time.format(column.name)} AS "time"')
        return ", ".join(parts)


# An integer that SQLite keeps as 32 bytes, as decimal text, by long division: hex digits in portions of eight (`src`,
# then `dst`) are divided by 10^9 again and again, each remainder is nine digits of `text`. Migration 4 has the same.
_PORTION = " + ".join([f"(instr('123456789ABCDEF', substr(src, {n}, 1)) << {32 - 4 * n})" for n in range(1, 9)])
_QUOTIENT = "dst || CASE WHEN dst = '' AND v < 1000000000 THEN '' ELSE printf('%08X', v / 1000000000) END"
_DECIMAL = f"""CASE typeof(value) WHEN 'blob' THEN (
    WITH RECURSIVE digits (src, v, dst, text) AS (
        SELECT substr(hex(value), -8 * max(1, (length(ltrim(hex(value), '0')) + 7) / 8)), 0, '', ''
        UNION ALL
        SELECT
            CASE WHEN src <> '' THEN substr(src, 9) ELSE {_QUOTIENT} END,
            CASE WHEN src <> '' THEN v % 1000000000 * 4294967296 + ({_PORTION}) WHEN {_QUOTIENT} <> '' THEN 0 END,
            CASE WHEN src <> '' THEN {_QUOTIENT} ELSE '' END,
            CASE WHEN src <> '' THEN text ELSE printf('%09d', v % 1000000000) || text END
        FROM digits WHERE v IS NOT NULL
    )
    SELECT coalesce(nullif(ltrim(text, '0'), ''), '0') FROM digits WHERE v IS NULL
) ELSE value END"""

SQLITE = Dialect(
    types={
        Kind.INT: "INTEGER",
        Kind.UINT64: "ANY",
        Kind.NUMBER: "ANY",
        Kind.TEXT: "TEXT",
        Kind.BYTES: "BLOB",
        Kind.UINT256: "BLOB",
        Kind.INT256: "BLOB",
    },
    hexadecimal="'0x' || lower(hex(\"{}\"))",
    by_bytes="",
    time="strftime('%Y-%m-%dT%H:%M:%SZ', \"{}\", 'unixepoch')",
    ending=" STRICT, WITHOUT ROWID",
    plans=True,
    spells=True,
    relations=(
        f"""SELECT name, type = 'table' AND instr(sql, 'CONSTRAINT "' || name || '{KEY_SUFFIX}"') > 0"""
        " FROM sqlite_schema WHERE type IN ('table', 'view') ORDER BY name"
    ),
    segment="INTEGER NOT NULL",
    segmented=(
        f"""SELECT name FROM sqlite_schema AS made WHERE type = 'table'
        AND instr(sql, 'CONSTRAINT "' || name || '{KEY_SUFFIX}"') > 0
        AND EXISTS (SELECT 1 FROM pragma_table_info(made.name) WHERE name = 'segment') ORDER BY name"""
    ),
)
POSTGRES = Dialect(
    types={
        Kind.INT: "BIGINT",
        Kind.UINT64: "NUMERIC(20, 0)",
        Kind.NUMBER: "NUMERIC(78, 0)",
        Kind.TEXT: 'TEXT COLLATE "C"',
        Kind.BYTES: "BYTEA",
        Kind.UINT256: "NUMERIC(78, 0)",
        Kind.INT256: "NUMERIC(78, 0)",
    },
    hexadecimal="'0x' || encode(\"{}\", 'hex')",
    by_bytes=" text_pattern_ops",
    time=(
        'CASE WHEN "{0}" < 253402300800 THEN to_char(to_timestamp("{0}") AT TIME ZONE \'UTC\','
        ' \'YYYY-MM-DD"T"HH24:MI:SS"Z"\') END'
    ),
    ending="",
    plans=False,
    spells=False,
    relations=(
        "SELECT relname::text, EXISTS (SELECT FROM pg_constraint WHERE conrelid = relation.oid AND contype = 'p'"
        f" AND conname = relation.relname || '{KEY_SUFFIX}') FROM pg_class AS relation"
        " WHERE relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT relispartition"
        " AND relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'checkpoints'::regclass) ORDER BY 1"
    ),
    segment="INTEGER NOT NULL DEFAULT current_setting('tidelog.segment')::integer",
    segmented=(
        "SELECT relname::text FROM pg_class AS relation WHERE relkind = 'r'"
        " AND EXISTS (SELECT FROM pg_constraint WHERE conrelid = relation.oid AND contype = 'p'"
        f" AND conname = relation.relname || '{KEY_SUFFIX}')"
        " AND EXISTS (SELECT FROM pg_attribute WHERE attrelid = relation.oid AND attname = 'segment'"
        " AND NOT attisdropped)"
        " AND relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'checkpoints'::regclass) ORDER BY 1"
    ),
)
