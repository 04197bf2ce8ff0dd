"""The simulated disk, under SQLite: a power cut loses what was not synced and nothing else, and every fault is met."""

import os
import random
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from tidelog.sim.world.disk import FAULTS, SECTOR_BYTES, Disk, Fault, Mount

ROWS = 20
MANY = "INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) SELECT i FROM n"


class Lost(Exception):
    """The process is dead."""


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(str(tmp_path), random.Random(1))


class Machine:
    """A disk and the process that has it mounted."""

    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        self.dead = False
        self.mount = Mount(disk, self.refuse)

    def refuse(self) -> None:
        if self.dead:
            raise Lost

    def open(self) -> apsw.Connection:
        connection = apsw.Connection(self.disk.path("a.db"), vfs=self.mount.name)
        connection.pragma("journal_mode", "wal")
        connection.pragma("synchronous", 2)
        connection.execute("CREATE TABLE IF NOT EXISTS t (n INTEGER)")
        return connection

    def die(self) -> None:
        self.dead = True
        self.mount.close_connections()
        self.mount.unregister()


@pytest.fixture
def machine(disk: Disk) -> Iterator[Machine]:
    one = Machine(disk)
    yield one
    if not one.dead:
        one.die()


def rows(connection: apsw.Connection) -> int:
    count: int = connection.execute("SELECT count(*) FROM t").get
    assert connection.pragma("integrity_check") == "ok"
    return count


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.9, 1.0])
@pytest.mark.parametrize("seed", range(4))
def test_a_power_cut_keeps_every_commit_and_no_half(tmp_path: Path, kept: float, seed: int) -> None:
    disk = Disk(str(tmp_path), random.Random(seed))
    machine = Machine(disk)
    connection = machine.open()
    for number in range(ROWS):
        connection.execute("INSERT INTO t VALUES (?)", (number,))
    connection.pragma("cache_size", 2)  # pages: what is not committed goes to the log too
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(MANY)
    assert disk.file(disk.path("a.db-wal")).volatile
    machine.die()
    disk.cut_power(kept)
    again = Machine(disk)
    assert rows(again.open()) == ROWS
    again.die()


def test_a_crash_loses_writes_that_were_not_synced(machine: Machine) -> None:
    connection = machine.open()
    connection.execute("INSERT INTO t VALUES (1)")
    connection.pragma("synchronous", 0)
    connection.execute("INSERT INTO t VALUES (2)")
    assert rows(connection) == 2
    machine.die()
    machine.disk.cut_power(0.0)
    again = Machine(machine.disk)
    assert rows(again.open()) == 1, "without a sync it was only said to be done"
    again.die()


def test_a_crash_without_a_power_cut_loses_nothing(machine: Machine) -> None:
    connection = machine.open()
    connection.pragma("synchronous", 0)
    connection.execute("INSERT INTO t VALUES (1)")
    machine.die()
    again = Machine(machine.disk)
    assert rows(again.open()) == 1
    again.die()


def test_a_file_that_was_never_synced_is_gone(disk: Disk) -> None:
    machine = Machine(disk)
    connection = apsw.Connection(disk.path("b.db"), vfs=machine.mount.name)
    connection.pragma("synchronous", 0)
    connection.execute("CREATE TABLE t (n INTEGER)")
    assert os.path.exists(disk.path("b.db"))
    machine.die()
    disk.cut_power(0.0)
    assert not os.path.exists(disk.path("b.db"))


def test_a_dead_process_changes_nothing(machine: Machine) -> None:
    connection = machine.open()
    connection.execute("INSERT INTO t VALUES (1)")
    machine.dead = True
    with pytest.raises(Lost):
        connection.execute("INSERT INTO t VALUES (2)")
    machine.mount.close_connections()
    machine.mount.unregister()
    again = Machine(machine.disk)
    assert rows(again.open()) == 1
    again.die()


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("full", apsw.FullError),
        ("write_error", apsw.IOError),
        ("short_write", apsw.IOError),
        ("sync_error", apsw.IOError),
    ],
)
def test_a_fault_is_met_once_and_then_it_is_over(machine: Machine, kind: str, error: type[apsw.Error]) -> None:
    connection = machine.open()
    machine.disk.faults.append(Fault(kind, FAULTS[kind]))
    with pytest.raises(error, match="simulated"):
        connection.execute("INSERT INTO t VALUES (1)")
    assert machine.disk.happened == [f"{kind} a.db-wal"]
    connection.execute("INSERT INTO t VALUES (2)")
    assert rows(connection) == 1


def test_a_read_can_fail_too(machine: Machine) -> None:
    connection = machine.open()
    connection.execute(MANY)
    connection.cache_flush()
    reader = apsw.Connection(machine.disk.path("a.db"), vfs=machine.mount.name)
    machine.disk.faults.append(Fault("read_error", "read"))
    with pytest.raises(apsw.IOError, match="simulated: read failed"):
        reader.execute("SELECT count(*) FROM t").fetchall()


def test_syncs_take_time_that_somebody_owes(machine: Machine) -> None:
    connection = machine.open()
    machine.disk.take_owed()
    machine.disk.sync_s = 2.5
    connection.execute("INSERT INTO t VALUES (1)")
    assert machine.disk.take_owed() == 2.5
    assert machine.disk.take_owed() == 0.0


def test_sectors_survive_one_by_one(disk: Disk) -> None:
    machine = Machine(disk)
    flags = [apsw.SQLITE_OPEN_MAIN_DB | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_READWRITE, 0]
    opened = machine.mount.xOpen(disk.path("c"), flags)
    opened.xWrite(b"a" * SECTOR_BYTES * 8, 0)
    opened.xSync(0)
    opened.xWrite(b"b" * SECTOR_BYTES * 8, 0)
    opened.xClose()
    machine.die()
    disk.cut_power(0.5)
    content = Path(disk.path("c")).read_bytes()
    sectors = {content[at : at + SECTOR_BYTES] for at in range(0, len(content), SECTOR_BYTES)}
    assert sectors == {b"a" * SECTOR_BYTES, b"b" * SECTOR_BYTES}, "each is old or new, and whole"
