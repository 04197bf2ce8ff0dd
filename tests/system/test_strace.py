"""kill -9, EIO and ENOSPC at the system calls by which a store and a journal are written, one call after the other.

strace comes between SQLite and the kernel: it kills before the n-th pwrite64, fdatasync, ftruncate or unlink of a
thread, or lets it fail. CI takes every `EVERY`-th of them, `make torture` all. What strace cannot do, a write that is
cut short, a disk without room does: RLIMIT_FSIZE, and a small tmpfs where mounting is allowed.
"""

import shutil
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command import digest
from tests.conftest import missing
from tests.simulated import Simulated
from tests.system.sql import opened
from tests.system.traced import Driver, Fault, Traced, unable
from tests.system.truth import assert_whole
from tidelog.errors import StoreError
from tidelog.sim.node.chain.tree import BlockTree

CHAIN_ID = 1337
EVERY = 23  # a prime: no rhythm of SQLite's is hit again and again


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Driver]:
    if reason := unable():
        missing(reason)
    with Driver(tmp_path) as made:
        yield made


def one_by_call(calls: Counter[tuple[str, str]]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for (call, _), count in calls.items():
        counts[call] += count
    return counts


def points(calls: Counter[tuple[str, str]], every: int) -> Iterator[tuple[str, int]]:
    """Which calls of an undisturbed run are hit: the first of each kind, and every so many."""
    for call, count in sorted(one_by_call(calls).items()):
        for nth in range(1, count + 1, every):
            yield call, nth


# -- a sync -----------------------------------------------------------------------------------------------------------


class Syncing:
    """The same short sync again and again, from the same state of the store."""

    def __init__(self, driver: Driver, node: Simulated, folder: Path, before: Path | None) -> None:
        self._driver = driver
        self._before = before
        self.db = folder / "store.db"
        self.url = f"sqlite:///{self.db}"
        self._command = ("chain", "sync", "--rpc", node.url, "--db", self.url, "--jobs", "0", "--log-level", "error")
        self.prepare()
        self.undisturbed = driver.run(*self._command, files=[self.db])
        assert self.undisturbed.code == 0, self.undisturbed.err
        self.digest = digest(self.url)

    def prepare(self) -> None:
        for path in self.db.parent.glob("store.db*"):
            path.unlink()
        if self._before is not None:
            shutil.copy(self._before, self.db)

    def disturbed(self, fault: Fault) -> Traced:
        self.prepare()
        return self._driver.run(*self._command, files=[self.db], fault=fault)

    def judge(self, fault: object) -> None:
        """The store is whole, and a run on it ends as one that nothing has disturbed."""
        if self.db.exists():
            with opened(self.url) as view:
                if view.rows("SELECT 1 FROM sqlite_schema WHERE name = 'checkpoints'"):
                    assert_whole(view, CHAIN_ID)
        again = self._driver.run(*self._command)
        assert again.code == 0, f"after {fault}: {again.err}"
        assert digest(self.url) == self.digest, f"after {fault}"


@pytest.fixture(params=["into nothing", "through a reorg"])
def syncing(request: pytest.FixtureRequest, driver: Driver, tmp_path: Path) -> Iterator[Syncing]:
    """A sync that makes its store; and one that rolls five blocks back, appends seven and finalises."""
    with Simulated(BlockTree(seed=3, blocks=12, finalized_depth=None, safe_depth=None)) as node:
        before = None
        if request.param == "through a reorg":
            before = Syncing(driver, node, tmp_path, None).db.rename(tmp_path / "before.db")
            node.do(lambda: node.tree.reorg(5))
            node.do(lambda: node.tree.extend(2))
            node.do(lambda: node.tree.finalize(6))
        yield Syncing(driver, node, tmp_path, before)


def kill_a_sync(syncing: Syncing, every: int) -> int:
    killed = 0
    for call, nth in points(syncing.undisturbed.calls, every):
        fault = Fault(call, nth)
        ended = syncing.disturbed(fault)
        # counts are of a thread's own: where two share the calls, the highest are never reached
        assert ended.code in (-signal.SIGKILL, 0), f"{fault}: {ended}"
        killed += ended.code != 0
        syncing.judge(fault)
    return killed


def test_a_sync_killed_at_its_writes(syncing: Syncing) -> None:
    assert set(one_by_call(syncing.undisturbed.calls)) >= {"pwrite64", "fdatasync", "ftruncate", "unlink"}
    assert kill_a_sync(syncing, EVERY) >= 7


@pytest.mark.torture
@pytest.mark.timeout(3600)
def test_a_sync_killed_at_each_of_its_writes(syncing: Syncing) -> None:
    assert kill_a_sync(syncing, 1) > 60


# -- calls that fail ------------------------------------------------------------------------------------------------


def told(ended: Traced) -> str:
    """The one sentence that a command has ended with."""
    sentences = [line for line in ended.err.splitlines() if line.startswith("tidelog: ")]
    assert len(sentences) == 1, ended.err
    assert "Traceback" not in ended.err
    return sentences[0]


def fail_a_sync(syncing: Syncing, every: int, errors: tuple[str, ...]) -> Counter[int]:
    """Let calls fail, one in each run; how the runs ended."""
    codes: Counter[int] = Counter()
    for error in errors:
        for call, nth in points(syncing.undisturbed.calls, every):
            fault = Fault(call, nth, f"error={error}")
            ended = syncing.disturbed(fault)
            # a log that could not be copied or removed at the end is no harm: the next one does it
            assert ended.code in (0, StoreError.exit_code), f"{fault}: {ended}"
            if ended.code:
                assert "store.db" in told(ended), fault
            codes[ended.code] += 1
            syncing.judge(fault)
    return codes


def test_a_sync_whose_disk_fails_once(syncing: Syncing) -> None:
    codes = fail_a_sync(syncing, 4 * EVERY, ("ENOSPC", "EIO"))
    assert codes[StoreError.exit_code] >= 4


@pytest.mark.torture
@pytest.mark.timeout(3600)
def test_a_sync_whose_disk_fails_once_at_each_of_its_writes(syncing: Syncing) -> None:
    codes = fail_a_sync(syncing, 1, ("ENOSPC", "EIO"))
    assert codes[StoreError.exit_code] > 40
