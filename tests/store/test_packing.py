"""Rows as one value: the function of the compiled core gives what was packed, and refuses what was not."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.chain.native import needs_core
from tests.store.rows import SOURCE, Chain
from tidelog import compiled
from tidelog.batch import Batch, Checkpoint, Piece, Pieces, Row, Rows, encode_row
from tidelog.chain.rows.tables import BLOCK_TABLES, LOGS, TRANSACTIONS
from tidelog.compiled import VARIABLE, found
from tidelog.errors import Corruption
from tidelog.store.sqlite import packing, wide
from tidelog.store.sqlite.writer import Writer

VALUES: st.SearchStrategy[Any] = (
    st.none()
    | st.integers(-(2**63), 2**63 - 1)
    | st.sampled_from([0, 127, 128, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32, -1, -32, -33, -128, -129, -(2**31)])
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
    | st.binary(max_size=300)
)
ROWS = st.integers(1, 40).flatmap(lambda width: st.lists(st.tuples(*[VALUES] * width), min_size=1, max_size=5))
BLOCKS = 30


@pytest.fixture(scope="module")
def connection() -> Iterator[apsw.Connection]:
    with apsw.Connection(":memory:") as connection:
        assert packing.load(connection) is None
        yield connection


def given_back(connection: apsw.Connection, packed: bytes, width: int) -> list[Row]:
    text = packing.from_packed(width)
    return list(connection.execute(text, (packed,)))


def encoded(rows: Iterable[Row]) -> bytes:
    return b"".join(map(encode_row, rows))


@needs_core
@given(ROWS)
def test_the_rows_come_back_as_they_were_packed(connection: apsw.Connection, rows: list[Row]) -> None:
    assert given_back(connection, encoded(rows), len(rows[0])) == rows


@needs_core
@given(ROWS, st.data())
def test_what_is_cut_is_refused_whole(connection: apsw.Connection, rows: list[Row], data: st.DataObject) -> None:
    packed = encoded(rows)
    whole = [len(encoded(rows[:count])) for count in range(len(rows) + 1)]
    end = data.draw(st.integers(0, len(packed)))
    if end in whole:
        assert given_back(connection, packed[:end], len(rows[0])) == rows[: whole.index(end)]
    else:
        with pytest.raises(apsw.SQLError, match="tidelog_rows: no row of this width"):
            given_back(connection, packed[:end], len(rows[0]))


@needs_core
@given(st.binary(max_size=200), st.integers(1, 64))
def test_any_bytes_are_rows_or_are_refused(connection: apsw.Connection, packed: bytes, width: int) -> None:
    try:
        rows = given_back(connection, packed, width)
    except apsw.SQLError:
        return
    assert all(len(row) == width for row in rows)


@needs_core
@pytest.mark.parametrize(
    "given",
    [
        (None, 1), ("text", 1), (7, 1), (b"\x91\x01", 0), (b"\x91\x01", 65), (b"\x91\x01", -1), (b"\x91\x01", 2),
        (b"\x91\xc2", 1), (b"\x91\xcb" + bytes(8), 1), (b"\x91\xcf" + b"\xff" * 8, 1), (b"\x91\xa1\xff", 1),
        (b"\x91\x01\x00", 1),
    ],
)  # fmt: skip
def test_what_is_no_row_of_this_width_is_an_error(connection: apsw.Connection, given: tuple[Any, int]) -> None:
    with pytest.raises(apsw.SQLError, match="tidelog_rows"):
        connection.execute("SELECT c0 FROM tidelog_rows(?, ?)", given).fetchall()
    assert given_back(connection, b"\x91\x01", 1) == [(1,)], "the next one is none the worse"


@needs_core
def test_it_wants_both_arguments_and_is_for_no_schema(connection: apsw.Connection) -> None:
    for text in ("SELECT * FROM tidelog_rows", "SELECT * FROM tidelog_rows(x'9101')"):
        with pytest.raises(apsw.SQLError):
            connection.execute(text).fetchall()
    connection.execute("CREATE VIEW v AS SELECT c0 FROM tidelog_rows(x'9101', 1)")
    with pytest.raises(apsw.SQLError, match="unsafe"):
        connection.execute("SELECT * FROM v").fetchall()
    connection.execute("DROP VIEW v")


@needs_core
def test_several_walks_at_once_do_not_disturb_each_other(connection: apsw.Connection) -> None:
    text = (
        "SELECT a.c0, b.c0, max(c.c1) FROM tidelog_rows(?1, 2) AS a, tidelog_rows(?2, 1) AS b"
        " LEFT JOIN tidelog_rows(?1, 2) AS c ON c.c0 = b.c0 GROUP BY a.c0, b.c0"
    )
    values = (encoded([(1, "x"), (2, "y")]), encoded([(1,), (3,)]))
    assert list(connection.execute(text, values)) == [(1, 1, "x"), (1, 3, None), (2, 1, "x"), (2, 3, None)]


# -- read packed ------------------------------------------------------------------------------------------------------

PLAIN = st.none() | st.integers(0, 2**63 - 1) | st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
NARROW = PLAIN | st.binary(max_size=300)
WIDE = st.none() | st.integers(0, 2**64 - 1)  # as 32 bytes beyond 63 bits


@needs_core
@given(st.lists(st.tuples(NARROW, WIDE, NARROW, WIDE), max_size=20))
def test_rows_are_packed_in_the_order_in_which_they_come(connection: apsw.Connection, rows: list[Row]) -> None:
    connection.execute("DROP TABLE IF EXISTS rows; CREATE TABLE rows (a, b, c, d)")
    connection.executemany("INSERT INTO rows VALUES (?, ?, ?, ?)", map(wide.stored, rows))
    text = "SELECT tidelog_packed(10, a, b, c, d) FROM (SELECT * FROM rows ORDER BY rowid) GROUP BY 1 = 1"
    expected = encoded(rows)
    assert [packed for (packed,) in connection.execute(text)] == ([expected] if rows else [])
    module = compiled.core().module
    assert module is not None
    assert list(module.Rows(expected, 4)) == rows


@needs_core
@pytest.mark.parametrize(
    "values",
    [
        "-1", "1.5", "cast(x'ff' AS TEXT)", "0, x'010000000000000000'", "0, -1",
    ],
)  # fmt: skip
def test_what_no_row_has_is_refused(connection: apsw.Connection, values: str) -> None:
    with pytest.raises(apsw.SQLError, match="tidelog_packed: a value that no row has"):
        connection.execute(f"SELECT tidelog_packed(2, {values})").get
    with pytest.raises(apsw.SQLError, match="tidelog_packed"):
        connection.execute("SELECT tidelog_packed()").get
    assert connection.execute("SELECT tidelog_packed(2, 5, x'07')").get == b"\x92\x05\x07", (
        "the next one is none the worse"
    )
    assert connection.execute("SELECT tidelog_packed(0, 1) FROM (SELECT 1 WHERE 0)").get is None
    connection.execute("CREATE VIEW packs AS SELECT tidelog_packed(0, 1) AS packed")
    with pytest.raises(apsw.SQLError, match="unsafe"):
        connection.execute("SELECT * FROM packs").get
    connection.execute("DROP VIEW packs")


@needs_core
@given(st.binary(max_size=60) | st.lists(st.tuples(NARROW, WIDE), max_size=5).map(encoded))
def test_any_bytes_are_rows_in_their_canonical_encoding_or_are_refused(packed: bytes) -> None:
    module = compiled.core().module
    assert module is not None
    try:
        rows = module.Rows(packed, 2)
    except ValueError:
        return
    assert encoded(rows) == packed == rows.packed


@needs_core
def test_packed_reads_go_by_the_key_alone(tmp_path: Path) -> None:
    writer, _ = opened(tmp_path / "store.db")
    writer.close()
    with apsw.Connection(str(tmp_path / "store.db")) as connection:
        assert packing.load(connection) is None
        for table in BLOCK_TABLES:
            if table.key[:2] == (table.scope, table.height):
                plan = connection.execute(f"EXPLAIN QUERY PLAN {packing.packed_query(table)}", (1, 0, 9)).fetchall()
                assert [line[3] for line in plan] == [
                    f"SEARCH {table.name} USING PRIMARY KEY ({table.scope}=? AND {table.height}>? AND {table.height}<?)"
                ]


def test_portions_are_bounded_and_hold_every_row_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "PORTION_BYTES", 60_000)
    monkeypatch.setattr(packing, "ROWS_MIN", 600)
    rows: list[Row] = [(place, b"x" * 60) for place in range(5_000)]
    odd: Row = (2**64, b"no 64 bits")
    found = list(packing.portions(iter([*rows[:3_000], odd, *rows[3_000:]])))
    assert [row for part, _ in found for row in part] == [*rows[:3_000], odd, *rows[3_000:]]
    packed = [(part, content) for part, content in found if content is not None]
    assert len(packed) > 3
    assert all(content == encoded(list(part)) and len(content) < 100_000 for part, content in packed)
    assert all(odd in part or len(part) < 600 for part, content in found if content is None)
    assert list(packing.portions([])) == []


def test_pieces_that_are_encoded_already_are_taken_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    class Encoded(list[Row]):
        packed = b"as the core has it"

    monkeypatch.setattr(packing, "ROWS_MIN", 3)
    own: list[Row] = [(5,)] * 70_000
    pieces = [Piece(1, 1, Encoded([(1,), (2,)])), Piece(1, 2, [(3,)]), Piece(1, 3, own)]
    (part, packed), *others = packing.portions(Pieces(pieces))
    assert not others
    assert list(part) == [(1,), (2,), (3,), *own]
    assert bytes(packed or b"") == Encoded.packed + encoded([(3,), *own])


def opened(path: Path) -> tuple[Writer, Checkpoint]:
    writer = Writer(str(path), None, lambda place: None)
    writer.migrate()
    return writer, writer.acquire(SOURCE, 1)


def rows_in(path: Path) -> list[list[tuple[Any, ...]]]:
    connection = apsw.Connection(str(path))
    rows = [connection.execute(f"SELECT * FROM {table.name}").fetchall() for table in BLOCK_TABLES]
    connection.close()
    return rows


@needs_core
def test_a_store_is_the_same_either_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts: list[str] = []
    for core in ("native", "python"):
        used = found({VARIABLE: core})
        monkeypatch.setattr(compiled, "core", lambda used=used: used)
        monkeypatch.setattr(packing, "ROWS_MIN", 1)
        writer, checkpoint = opened(tmp_path / core)
        monkeypatch.setattr(Writer, "_write", told(texts, core, Writer._write))
        chain = Chain(checkpoint, seed=5)
        for keep in (None, BLOCKS // 2):
            writer.commit(chain.extend(BLOCKS, keep=keep))
        writer.close()
        monkeypatch.undo()
    assert rows_in(tmp_path / "native") == rows_in(tmp_path / "python")
    assert {text for text in texts if text.startswith("native")} == {"native chains", "native gaps"}, "which are put"
    assert {"python logs", "python transactions"} < set(texts)


def told(texts: list[str], core: str, write: Any) -> Any:
    def wrapped(writer: Writer, statement: str, table: Any, rows: Any) -> None:
        texts.append(f"{core} {table.name}")
        write(writer, statement, table, rows)

    return wrapped


@needs_core
def test_a_taken_key_among_many_rows_is_named_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "ROWS_MIN", 1)
    path = tmp_path / "store.db"
    writer, checkpoint = opened(path)
    batch = Chain(checkpoint).extend(BLOCKS)
    groups = {rows.table: list(rows.rows) for rows in batch.add}
    twin = groups[LOGS][-3]
    named = "logs.*" + ".*".join(str(twin[LOGS.index(name)]) for name in LOGS.key)
    twice = Batch(
        batch.before, batch.after, (Rows(TRANSACTIONS, groups[TRANSACTIONS]), Rows(LOGS, [*groups[LOGS], twin]))
    )
    with pytest.raises(Corruption, match=named):
        writer.commit(twice)
    assert rows_in(path) == [[]] * len(BLOCK_TABLES)
    writer.commit(batch)
    stored = dict(zip(BLOCK_TABLES, rows_in(path), strict=True))
    assert all(len(stored[table]) == len(rows) for table, rows in groups.items() if table in stored)
    assert len(stored[LOGS]) > 100
    writer.close()


def test_without_the_function_it_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    with apsw.Connection(":memory:") as connection:
        monkeypatch.setattr(compiled, "core", lambda: found({VARIABLE: "python"}))
        assert packing.load(connection) == "without the compiled core"
