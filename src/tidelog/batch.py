"""What goes into a store, as plain values: rows, checkpoints, and the `Batch` that is one commit; what a `Table` is.

This is the waist of tidelog. Chain and market make batches without knowing a database; a store commits
them without knowing a chain or a market. No I/O in here.

Row values are None, int, str, bytes; which integers a column takes is its `Kind`, and a UINT256 is 32 bytes,
big-endian. The canonical encoding of a row is the msgpack array of its values in column order, in msgpack's
shortest form; an integer beyond msgpack's 64 bits is extension type 1 over its big-endian bytes. Digests are
SHA-256 over such encodings, so that they are equal on every backend and machine.
"""

import enum
import hashlib
import itertools
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple, TypeAlias

import msgspec
from msgspec import Struct

Value: TypeAlias = int | str | bytes | None
Row: TypeAlias = tuple[Value, ...]

INT_MAX = 2**63 - 1  # what SQLite's INTEGER and PostgreSQL's BIGINT hold
UINT64_MAX = 2**64 - 1  # of gas, nonces and times, by the protocol
NUMBER_MAX = 2**256 - 1  # 77 digits: a price of a market that counts in atoms, and what NUMERIC(78, 0) takes


class Kind(enum.Enum):
    """What a column holds, and so what each backend stores it as."""

    INT = "int"  # signed 64 bits: INTEGER, BIGINT
    # The next two are INTEGER in SQLite up to INT_MAX and 32 bytes beyond: SQLite sorts a BLOB behind all integers.
    UINT64 = "uint64"  # 0 to UINT64_MAX; NUMERIC(20,0) in PostgreSQL
    NUMBER = "number"  # 0 to NUMBER_MAX; NUMERIC(78,0)
    TEXT = "text"  # TEXT
    BYTES = "bytes"  # BLOB, BYTEA
    UINT256 = "uint256"  # 32 bytes big-endian in a row and in SQLite, NUMERIC(78,0) in PostgreSQL
    INT256 = "int256"  # the same with a sign: two's complement in the bytes


WIDE = frozenset((Kind.UINT64, Kind.NUMBER))  # integers that may be beyond what a database's own integers hold


class Column(Struct, frozen=True):
    """A column. `content` is False for facts of ingestion (when, from where): no digest compares them.

    Beside a `spelled` one of 256 bits its decimal text is stored where the database has no such numbers, in a column
    of this name and `_text`, which is no part of a row.
    """

    name: str
    kind: Kind
    nullable: bool = False
    content: bool = True
    spelled: bool = False


class Table(Struct, frozen=True, dict=True):
    """A table: its columns in the order of a row, its natural key, and what a rollback goes by.

    `scope` is the column that says whose row it is (a chain id, say), `height` the one that a rollback
    compares; tables without a `height` are never rolled back. `content` tables are covered by digests, but a
    `later` one only when it has rows: it came when stores had their digests already, and these must stay.
    A `partitioned` one is so large that a store that can divides it by scope and ranges of height. `segmented` are the
    columns by whose values its rows are found, through indexes that begin with a segment: see `tidelog.store.segments`;
    of those that are `counted` the rows make a segment full. A table that a batch creates has an index for each
    `searched` column, which begins with a segment if it is a segmented one too, and a `view` of this name.
    """

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    scope: str | None = None
    height: str | None = None
    content: bool = True
    later: bool = False
    partitioned: bool = False
    searched: tuple[str, ...] = ()
    view: str | None = None
    segmented: tuple[str, ...] = ()
    counted: bool = False

    @cached_property
    def places(self) -> tuple[int, int]:
        """Where scope and height stand in a row; ValueError if the table has not both."""
        if self.scope is None or self.height is None:
            raise ValueError(f"{self.name} has no scope and height")
        return self.index(self.scope), self.index(self.height)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of the columns, in the order of a row."""
        return tuple([column.name for column in self.columns])

    @cached_property
    def spelled(self) -> tuple[tuple[int, str, bool], ...]:
        """Of each `spelled` column its place, the name of its text's column, and whether it has a sign."""
        return tuple(
            [
                (place, f"{column.name}_text", column.kind is Kind.INT256)
                for place, column in enumerate(self.columns)
                if column.spelled
            ]
        )

    @cached_property
    def signed(self) -> frozenset[str]:
        """The columns of 256 bits with a sign."""
        return frozenset([column.name for column in self.columns if column.kind is Kind.INT256])

    @cached_property
    def _places(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(self.names)}

    @cached_property
    def wide(self) -> frozenset[str]:
        """The columns whose integers may be beyond 64 bits with a sign."""
        return frozenset([column.name for column in self.columns if column.kind in WIDE])

    def index(self, name: str) -> int:
        """The position of a column in a row; ValueError if there is none of that name."""
        try:
            return self._places[name]
        except KeyError:
            raise ValueError(f"{self.name} has no column {name}") from None


class Piece(NamedTuple):
    """Rows of one scope and height: what a block has in a table. They may be made anew at each walk."""

    scope: Value
    height: Value
    rows: Sequence[Row]


class Pieces(Collection[Row]):
    """Rows of one table, block by block, so that where they belong is known without a look at each."""

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self.pieces = pieces
        self._count = sum([len(piece.rows) for piece in pieces])

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Row]:
        return itertools.chain.from_iterable([piece.rows for piece in self.pieces])

    def __contains__(self, row: object) -> bool:
        return any(row == each for each in self)


class Rows(Struct, frozen=True):
    """Rows for one table. `rows` is sized and can be walked again: a retry walks it a second time."""

    table: Table
    rows: Collection[Row]


class Rollback(Struct, frozen=True):
    """Delete, in `tables` order, every row of `scope` whose height is above `keep`, up to `through`.

    `counted` says of one height as how many rows of counted tables its segment has it, whatever is left of them. None:
    the store counts what is left of the segments, which takes its time.
    """

    tables: tuple[Table, ...]
    scope: int | str
    keep: int
    through: int | None = None  # None: without an end
    counted: int | None = None

    @property
    def last(self) -> int:
        """The highest height that is deleted."""
        return INT_MAX if self.through is None else self.through


class Drop(Struct, frozen=True):
    """Delete the rows of `scope` in which the named columns have these values, up to `through`.

    That is of the table's `height`, or of the last column of its key.
    """

    table: Table
    scope: int | str
    where: tuple[tuple[str, Value], ...]
    through: int

    @property
    def ranged(self) -> str:
        """The column that `through` bounds."""
        return self.table.height or self.table.key[-1]


class Checkpoint(Struct, frozen=True):
    """How far a source is, and who may move it: one row per source.

    Opening a writer raises `epoch`, each commit raises `commit_seq`. `position` is text that only the
    source's own code reads; None as long as nothing was committed. `writer` is the number that the writer drew when
    it opened. A copy that is restored has all the others again, and never this one once somebody has opened it.
    """

    source: str
    epoch: int
    commit_seq: int
    position: str | None
    writer: int = 0  # 0: it was opened before there were such numbers

    def advanced(self, position: str) -> "Checkpoint":
        """The checkpoint after one commit that moves to `position`."""
        return Checkpoint(self.source, self.epoch, self.commit_seq + 1, position, self.writer)


class Batch(Struct, frozen=True):
    """One commit: everything in it becomes visible at once, or nothing does.

    The order of work: check that the stored checkpoint is `before`, make the tables of `create`, delete what `rollback`
    and `drop` name, insert `add` (a row whose key is there already is `Corruption`), replace `put` by key, remove the
    tables of `discard` with all that is in them, store `after`.
    """

    before: Checkpoint
    after: Checkpoint
    add: tuple[Rows, ...] = ()
    put: tuple[Rows, ...] = ()
    rollback: Rollback | None = None
    drop: tuple[Drop, ...] = ()
    create: tuple[Table, ...] = ()
    discard: tuple[Table, ...] = ()

    @property
    def row_count(self) -> int:
        """How many rows it adds and puts."""
        return sum(len(rows.rows) for rows in (*self.add, *self.put))


class Outcome(enum.Enum):
    """What a commit did. Both are success: the store is at `batch.after`."""

    COMMITTED = "committed"
    ALREADY = "already"  # an earlier try of the same batch had reached the store


_encoder = msgspec.msgpack.Encoder()
_INTEGER = 1  # msgpack's extension type of an integer that msgpack has no form for


def encode_row(row: Row) -> bytes:
    """The canonical encoding of one row."""
    try:
        return _encoder.encode(row)
    except OverflowError:
        return _encoder.encode([_extended(value) for value in row])


def _extended(value: Value) -> Value | msgspec.msgpack.Ext:
    if isinstance(value, int) and UINT64_MAX < value <= NUMBER_MAX:
        return msgspec.msgpack.Ext(_INTEGER, value.to_bytes((value.bit_length() + 7) // 8, "big"))
    return value


def _integer(code: int, content: memoryview) -> int:
    if code != _INTEGER or len(content) > 32:
        raise ValueError(f"extension type {code} with {len(content)} bytes is no value of a row")
    return int.from_bytes(content, "big")


_decoder = msgspec.msgpack.Decoder(tuple[Any, ...], ext_hook=_integer)


def decode_row(content: bytes) -> Row:
    """What `encode_row` encoded; msgspec.MsgspecError or ValueError if it is no row. Its types are to be checked."""
    return _decoder.decode(content)


def rows_digest(groups: Iterable[tuple[Table, Iterable[Row]]]) -> bytes:
    """SHA-256 over all columns of the rows, table by table: what a block's `rows_digest` column holds."""
    digest = hashlib.sha256()
    for table, rows in groups:
        digest.update(_encoder.encode(table.name))
        for row in rows:
            digest.update(encode_row(row))
    return digest.digest()


class ContentDigest:
    """The digest of one table's content, fed with rows in key order."""

    def __init__(self, table: Table) -> None:
        self._positions = [i for i, column in enumerate(table.columns) if column.content]
        self._whole = len(self._positions) == len(table.columns)
        self._digest = hashlib.sha256(_encoder.encode(table.name))
        self.row_count = 0

    def update(self, rows: Iterable[Row]) -> None:
        """Take in rows, whole ones, in key order."""
        digest, encode, positions = self._digest, encode_row, self._positions
        for row in rows:
            digest.update(encode(row if self._whole else tuple([row[i] for i in positions])))
            self.row_count += 1

    def hexdigest(self) -> str:
        """The SHA-256 of all rows so far, as hex."""
        return self._digest.hexdigest()


def uint256(value: int) -> bytes:
    """A 256-bit integer as a row holds it. OverflowError if it is negative or larger."""
    return value.to_bytes(32, "big")


def int256(value: int) -> bytes:
    """An integer of 256 bits with a sign as a row holds it. OverflowError if it is beyond them."""
    return value.to_bytes(32, "big", signed=True)


def optional_uint256(value: int | None) -> bytes | None:
    """The same, or None for None."""
    return None if value is None else value.to_bytes(32, "big")


def table_map(tables: Iterable[Table]) -> dict[str, Table]:
    """The tables by name."""
    return {table.name: table for table in tables}


def int_column(name: str, *, nullable: bool = False, content: bool = True) -> Column:
    """A column of signed 64-bit integers."""
    return Column(name, Kind.INT, nullable, content)


def uint64_column(name: str, *, nullable: bool = False) -> Column:
    """A column of integers from 0 to 2^64 - 1."""
    return Column(name, Kind.UINT64, nullable)


def number_column(name: str) -> Column:
    """A column of integers from 0 to 2^256 - 1, which sort as numbers."""
    return Column(name, Kind.NUMBER)


def bytes_column(name: str, *, nullable: bool = False, content: bool = True) -> Column:
    """A column of bytes."""
    return Column(name, Kind.BYTES, nullable, content)


def text_column(name: str, *, nullable: bool = False, content: bool = True) -> Column:
    """A column of text."""
    return Column(name, Kind.TEXT, nullable, content)


def uint256_column(name: str, *, nullable: bool = False) -> Column:
    """A column of 256-bit integers, 32 bytes each in a row."""
    return Column(name, Kind.UINT256, nullable)
