"""kill -9, EIO and ENOSPC at the system calls of a recording: of its journal, and of the store that it is loaded into.

One recording after the other goes on with the same journal and the same store. Each is killed at another call, and
after each the journal is whole and the store is a fold of it.
"""

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command import until
from tests.conftest import missing
from tests.system.disturbed import SYMBOLS, contents, judge_trades, records
from tests.system.test_market_kill import NAME, Exchange, judge_store
from tests.system.traced import Driver, Fault, Traced, unable
from tidelog.errors import ConfigError
from tidelog.market.records import Kind

# which calls of a thread are hit: a recording of a few commits
FEW = {"pwrite64": (1, 13, 34), "fdatasync": (1, 4)}
ALL = {"pwrite64": tuple(range(1, 61)), "fdatasync": tuple(range(1, 9))}


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Driver]:
    if reason := unable():
        missing(reason)
    with Driver(tmp_path) as made:
        yield made


class Recordings:
    """One recording after the other, into one journal and one store."""

    def __init__(self, driver: Driver, folder: Path, url: str, exchange: Exchange) -> None:
        self._driver = driver
        self._folder = folder
        self._url = url
        self._exchange = exchange
        self.journal = folder / "journal"
        self.db = folder / "store.db"
        self.has_frames = False  # at the last look
        self._command = (
            "market", "record", "--symbols", ",".join(SYMBOLS), "--url", exchange.url,
            "--journal", str(self.journal), "--db", url, "--log-level", "warning",
        )  # fmt: skip

    def killed(self, file: Path, fault: Fault) -> Traced:
        """A recording that ends by itself, at its n-th call on a file."""
        return self._driver.start(*self._command, files=[file], fault=fault).wait()

    def undisturbed(self, fault: Fault | None = None) -> Traced:
        """One that is ended in order, once the journal has frames of it; a call of the journal's may fail before."""
        before = self.frames
        running = self._driver.start(*self._command, files=[self.journal] if fault else (), fault=fault)
        until(lambda: self.frames > before, "frames")
        if fault:
            until(lambda: "journal_write_failed" in self._driver.err.read_text(), "a failure")
        running.interrupt()
        return running.wait()

    def judge(self) -> None:
        try:
            records(self.journal)
        except ConfigError:
            assert not self.has_frames, "a journal that had frames is opened"
        else:
            self.has_frames = self.has_frames or self.frames > 0
            judge_store(self._url, self.journal, self._folder)

    @property
    def frames(self) -> int:
        """That the journal holds."""
        try:
            return sum(record.kind is Kind.IN for record in records(self.journal))
        except ConfigError:  # there is none yet
            return 0


def kill_recordings(driver: Driver, folder: Path, url: str, numbers: dict[str, tuple[int, ...]]) -> None:
    with Exchange(seed=5) as served:
        recordings = Recordings(driver, folder, url, served)
        for file in (recordings.journal, recordings.db):
            for call, nths in numbers.items():
                for nth in nths:
                    fault = Fault(call, nth)
                    ended = recordings.killed(file, fault)
                    assert ended.code == -signal.SIGKILL, f"{file.name}, {fault}: {ended}"
                    recordings.judge()
        ended = recordings.undisturbed()
        assert ended.code == 0, ended.err
    recordings.judge()
    judge_trades(asyncio.run(contents(url, NAME)), served.exchange)


def test_recordings_killed_at_their_writes(driver: Driver, tmp_path: Path, sqlite_url: str) -> None:
    kill_recordings(driver, tmp_path, sqlite_url, FEW)


@pytest.mark.torture
@pytest.mark.timeout(3600)
def test_recordings_killed_at_each_of_their_writes(driver: Driver, tmp_path: Path, sqlite_url: str) -> None:
    kill_recordings(driver, tmp_path, sqlite_url, ALL)


@pytest.mark.parametrize("nth", [1, 3])
def test_a_journal_that_was_killed_while_it_was_made_is_gone_on_with(
    driver: Driver, tmp_path: Path, sqlite_url: str, nth: int
) -> None:
    """It left an empty file, or one without a table, and that was then taken for another program's."""
    with Exchange(seed=6) as served:
        recordings = Recordings(driver, tmp_path, sqlite_url, served)
        assert recordings.killed(recordings.journal, Fault("pwrite64", nth)).code == -signal.SIGKILL
        assert recordings.frames == 0
        ended = recordings.undisturbed()
        assert ended.code == 0, ended.err
        assert recordings.frames > 0


@pytest.mark.parametrize(("call", "error"), [("pwrite64", "ENOSPC"), ("fdatasync", "EIO")])
def test_a_journal_whose_disk_fails_once_goes_on(
    driver: Driver, tmp_path: Path, sqlite_url: str, call: str, error: str
) -> None:
    """What could not be committed waits and is committed then: nothing is lost, no run ends."""
    with Exchange(seed=7) as served:
        recordings = Recordings(driver, tmp_path, sqlite_url, served)
        assert recordings.undisturbed().code == 0
        ended = recordings.undisturbed(
            Fault(
                call,
                40 if call == "pwrite64" else 9,  # behind those of its opening
                f"error={error}",
            )
        )
        assert (ended.code, "Traceback" in ended.err) == (0, False), ended.err
        assert "journal_write_failed" in ended.err
        recordings.judge()
