"""A disk without room, for real: a file that may not grow (RLIMIT_FSIZE), and a file system that is full (tmpfs).

The kernel then also cuts writes short. A sync ends with one sentence, and goes on once there is room; a recording waits
for it (see `test_market_journal.py`), and the loader's store is made whole again from the journal.
"""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from tests.command import digest, tidelog
from tests.conftest import missing
from tests.simulated import Simulated
from tests.system.sql import opened
from tests.system.traced import Driver
from tests.system.truth import assert_whole
from tidelog.cli.run.policy import Verdict, verdict
from tidelog.errors import Full, StoreError
from tidelog.sim.node.chain.tree import BlockTree
from tidelog.store.sqlite.connection import translated

CHAIN_ID = 1337
KIB = 1024
TMPFS_KIB = (200, 400)  # the store alone has some 150 before its first block, and its log as much


def sync(node: Simulated, url: str) -> tuple[str, ...]:
    return ("chain", "sync", "--rpc", node.url, "--db", url, "--jobs", "0", "--log-level", "error")


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Driver]:
    with Driver(tmp_path) as made:
        yield made


@pytest.fixture(scope="module")
def node() -> Iterator[Simulated]:
    with Simulated(BlockTree(seed=4, blocks=60)) as served:
        yield served


@pytest.fixture(scope="module")
def undisturbed(node: Simulated, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The digest of a store that had room."""
    url = f"sqlite:///{tmp_path_factory.mktemp('undisturbed')}/store.db"
    assert tidelog(*sync(node, url)).code == 0
    return digest(url)


def judge(db: Path) -> None:
    url = f"sqlite:///{db}"
    if db.exists():
        with opened(url) as view:
            if view.rows("SELECT 1 FROM sqlite_schema WHERE name = 'checkpoints'"):
                assert_whole(view, CHAIN_ID)


@pytest.mark.parametrize("kib", [0, 150, 333])
def test_files_that_may_not_grow(node: Simulated, driver: Driver, tmp_path: Path, undisturbed: str, kib: int) -> None:
    """The limit is no multiple of a page: the last write is cut short."""
    db = tmp_path / "store.db"
    command = sync(node, f"sqlite:///{db}")
    ended = driver.start(*command, file_bytes_max=kib * KIB + 700).wait()
    assert ended.code == StoreError.exit_code, ended.err
    assert ended.err.splitlines()[-1].startswith("tidelog: "), ended.err
    assert "Traceback" not in ended.err
    judge(db)
    assert driver.run(*command).code == 0
    assert digest(f"sqlite:///{db}") == undisturbed


class Small:
    """A folder with room for so many KiB: a file system, or files that may not grow where none may be mounted."""

    def __init__(self, folder: Path, kib: int) -> None:
        self.folder = folder
        folder.mkdir()
        self.is_mounted = self._mount(f"size={kib}k")
        self.file_bytes_max = None if self.is_mounted else kib * KIB // 2  # the store and its log share it

    def _mount(self, options: str) -> bool:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(self.folder)]
        return subprocess.run(command, capture_output=True).returncode == 0

    def widen(self) -> None:
        self.file_bytes_max = None
        if self.is_mounted:
            assert self._mount("remount,size=64m")

    def turn(self, state: str) -> None:
        """`ro`, as a kernel does after an error of the disk; `rw`, as its owner does after a look at it."""
        assert self._mount(f"remount,{state}")

    def close(self) -> None:
        if self.is_mounted:
            subprocess.run(["umount", str(self.folder)], check=True)


@pytest.fixture(params=TMPFS_KIB)
def small(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Small]:
    made = Small(tmp_path / "small", request.param)
    try:
        yield made
    finally:
        made.close()


def test_a_file_system_that_is_full(node: Simulated, driver: Driver, small: Small, undisturbed: str) -> None:
    db = small.folder / "store.db"
    command = sync(node, f"sqlite:///{db}")
    ended = driver.start(*command, file_bytes_max=small.file_bytes_max).wait()
    assert ended.code == StoreError.exit_code, ended.err
    assert "room" in ended.err.splitlines()[-1] or "full" in ended.err.splitlines()[-1], ended.err
    judge(db)
    small.widen()
    assert driver.run(*command).code == 0
    assert digest(f"sqlite:///{db}") == undisturbed


def test_a_file_system_that_is_read_only(node: Simulated, driver: Driver, tmp_path: Path, undisturbed: str) -> None:
    """Its end is that of a full one, so that `run` tries again; so is a journal's, and a reader's."""
    small = Small(tmp_path / "small", 64 * KIB)
    if not small.is_mounted:
        missing("file systems may not be mounted here: only root may")
    try:
        db = small.folder / "store.db"
        command = sync(node, f"sqlite:///{db}")
        assert driver.run(*command).code == 0
        small.turn("ro")
        journal = ("market", "record", "--symbols", "BTC/USD", "--url", "ws://127.0.0.1:1/v2")
        for other in (
            command,
            ("chain", "status", "--db", f"sqlite:///{db}"),
            (*journal, "--journal", str(small.folder / "new.journal")),
        ):
            ended = driver.run(*other)
            assert (ended.code, Verdict.BACKOFF) == (StoreError.exit_code, verdict(ended.code, 1.0, 60.0)), ended.err
            assert "its file system is read only" in ended.err.splitlines()[-1], ended.err
        small.turn("rw")
        assert driver.run(*command).code == 0
        assert digest(f"sqlite:///{db}") == undisturbed
    finally:
        small.close()


def test_who_reads_on_a_file_system_that_is_read_only_is_told_why_that_needs_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = os.statvfs_result((4096, 4096, 1, 1, 1, 1, 1, 1, os.ST_RDONLY, 255))
    monkeypatch.setattr("tidelog.store.sqlite.connection.os.statvfs", lambda path: state)
    path = tmp_path / "store.db"
    for absent in (True, False):
        with pytest.raises(Full, match="have to be writable, also to read it") as told, translated(str(path)):
            raise apsw.CantOpenError("unable to open database file")
        assert ("there is no such file" in str(told.value)) == absent
        path.touch()


def test_a_write_that_fails_on_a_file_system_that_turned_read_only_is_no_mistake_of_the_users(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With files open no file system here can be turned; a kernel does it on ext4 after an error of the disk."""
    state = os.statvfs_result((4096, 4096, 1, 1, 1, 1, 1, 1, os.ST_RDONLY, 255))
    monkeypatch.setattr("tidelog.store.sqlite.connection.os.statvfs", lambda path: state)
    for error in (apsw.IOError("disk I/O error"), apsw.ReadOnlyError("attempt to write a readonly database")):
        with pytest.raises(Full, match="its file system is read only"), translated("/data/store.db"):
            raise error
