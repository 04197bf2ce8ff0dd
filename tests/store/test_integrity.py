"""SQLite's check of its file in parts finds what its check of the whole finds, in the same words."""

import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import apsw
import pytest
import pytest_asyncio

from tests.patience import HANGS_S
from tests.store.test_sqlite import edited, filled, opened
from tidelog.store import Store
from tidelog.store.sqlite import integrity


@pytest_asyncio.fixture
async def store(tmp_path: Path) -> AsyncIterator[tuple[Path, Store]]:
    """The file of a store, and the store, which nobody writes: what a test does to the file shows."""
    path = tmp_path / "store.db"
    await filled(path, 400)
    reading = await opened(path, readonly=True)
    yield path, reading
    await reading.close()


def rewrite_schema(path: Path, statement: str) -> None:
    """Change what the file says of its tables, so that other connections see it."""
    edited(path, f"PRAGMA writable_schema = ON; {statement}; PRAGMA schema_version = 1000")


def found_by_parts(path: Path) -> dict[str, bool]:
    connection = apsw.Connection(str(path))
    found = {part: integrity.part_is_sound(connection, part) for part in integrity.parts(connection)}
    found["pages"] = integrity.pages_are_sound(connection)
    connection.close()
    return found


async def test_all_parts_of_a_sound_file_are_sound(store: tuple[Path, Store]) -> None:
    path, reading = store
    found = found_by_parts(path)
    assert {"sqlite_schema", "blocks", "transactions", "logs", "checkpoints"} < found.keys()
    assert all(found.values())
    assert await reading.check_integrity() == []


async def test_a_row_that_an_index_lacks_is_found_by_its_table_alone(store: tuple[Path, Store]) -> None:
    path, reading = store
    [(index,)] = edited(path, "SELECT name FROM sqlite_schema WHERE type = 'index' AND tbl_name = 'logs' LIMIT 1")
    rewrite_schema(
        path,
        "UPDATE sqlite_schema SET rootpage = ("
        "SELECT rootpage FROM sqlite_schema WHERE type = 'index' AND tbl_name = 'transactions' LIMIT 1"
        f") WHERE name = '{index}'",
    )
    assert not found_by_parts(path)["logs"]
    assert any(str(index) in complaint for complaint in await reading.check_integrity())


async def test_a_page_of_two_tables_is_found(store: tuple[Path, Store]) -> None:
    """Both are empty, so that each of them is sound."""
    path, reading = store
    edited(path, "CREATE TABLE one (a); CREATE TABLE two (a)")
    rewrite_schema(
        path,
        "UPDATE sqlite_schema SET rootpage = ("
        "SELECT rootpage FROM sqlite_schema WHERE name = 'one') WHERE name = 'two'",
    )
    found = found_by_parts(path)
    assert [part for part, is_sound in found.items() if not is_sound] == ["pages"]
    complaints = await reading.check_integrity()
    assert any("2nd reference to page" in complaint for complaint in complaints)
    assert any("never used" in complaint for complaint in complaints)


async def test_a_page_of_no_table_is_found(store: tuple[Path, Store]) -> None:
    path, reading = store
    edited(path, "CREATE TABLE one (a)")
    rewrite_schema(path, "DELETE FROM sqlite_schema WHERE name = 'one'")
    assert [part for part, is_sound in found_by_parts(path).items() if not is_sound] == ["pages"]
    [complaint] = await reading.check_integrity()
    assert "never used" in complaint


@pytest.mark.parametrize("kept", [True, False], ids=["sound", "lost"])
async def test_a_file_with_free_pages_is_checked_as_a_whole(store: tuple[Path, Store], *, kept: bool) -> None:
    """What SQLite knows of free pages is in none of the parts: here their list is cut off."""
    path, reading = store
    edited(path, "CREATE TABLE one (a); INSERT INTO one VALUES (zeroblob(500000)); DROP TABLE one")
    assert found_by_parts(path) == {"pages": False}
    if not kept:
        edited(path, "PRAGMA wal_checkpoint(TRUNCATE)")
        content = bytearray(path.read_bytes())
        content[32:36] = bytes(4)  # the first page of the list: https://sqlite.org/fileformat2.html#the_database_header
        path.write_bytes(content)
    assert (await reading.check_integrity() == []) == kept


UNCOUNTED = """
import sys
import apsw
from tidelog.store.sqlite.connection import leave_memory_uncounted

path, is_open = sys.argv[1], sys.argv[2] == "True"
connections = [apsw.Connection(path)] if is_open else []
leave_memory_uncounted()
connections.append(apsw.Connection(path))
print([connection.pragma("integrity_check") for connection in connections], apsw.memory_used() > 0)
"""


@pytest.mark.parametrize(("is_open", "said"), [(False, "['ok'] False"), (True, "['ok', 'ok'] True")])
def test_memory_is_left_uncounted_unless_a_connection_is_open(tmp_path: Path, is_open: bool, said: str) -> None:
    """In a process of its own: it is for all of it."""
    command = [sys.executable, "-c", UNCOUNTED, str(tmp_path / "some.db"), str(is_open)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=HANGS_S)
    assert done.stdout.strip() == said
