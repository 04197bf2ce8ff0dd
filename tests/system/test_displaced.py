"""A store has one writer a source, also when somebody deletes or moves its files while it is written.

What was seen: after `rm PATH-wal` a second sync ran beside the first, and neither was fenced, since each had a log of
its own.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.command import Running, environment, tidelog
from tests.market.blocks import block_of
from tests.patience import HANGS_S
from tests.simulated import Simulated
from tests.system.sql import opened, position
from tests.system.truth import standing
from tidelog.errors import Displaced
from tidelog.market.events import EventId
from tidelog.market.journal.file import JournalWriter
from tidelog.market.journal.reader import JournalReader
from tidelog.market.records import BEGINNING
from tidelog.sim.node.chain.tree import BlockTree

CHAIN_ID = 1337


@pytest.fixture
def node() -> Iterator[Simulated]:
    with Simulated(BlockTree(seed=5, blocks=30)) as served:
        yield served


def following(node: Simulated, db: str, log: Path) -> Running:
    return Running("chain", "sync", "--rpc", node.url, "--db", db, "--follow", log=log)


def reached(db: str, head: int) -> Callable[[], bool]:
    path = Path(db.removeprefix("sqlite:///"))

    def look() -> bool:
        if not path.exists():
            return False
        try:
            at = position(db, CHAIN_ID)
        except Exception as error:
            if "no such table" in str(error):  # it was just made
                return False
            raise
        return at is not None and at["head"] >= head

    return look


def epoch(db: str) -> int:
    with opened(db) as view:
        return int(view.row("SELECT epoch FROM checkpoints")[0])


def grow(node: Simulated) -> int:
    """Blocks come; the new head."""
    node.do(lambda: node.tree.extend(3))
    return node.do(lambda: node.tree.head.number)


def unlink_log(path: Path) -> None:
    Path(f"{path}-wal").unlink()
    Path(f"{path}-shm").unlink()


def unlink_index(path: Path) -> None:
    Path(f"{path}-shm").unlink()


def move_away(path: Path) -> None:
    path.rename(f"{path}.old")


@pytest.mark.parametrize(
    ("harm", "what"),
    [(unlink_log, "chain.db-wal was"), (unlink_index, "chain.db-shm was"), (move_away, "chain.db was deleted")],
)
def test_the_first_of_two_syncs_writes_nothing_more(
    node: Simulated, harm: Callable[[Path], None], what: str, tmp_path: Path
) -> None:
    path = tmp_path / "chain.db"
    db = f"sqlite:///{path}"
    with following(node, db, tmp_path / "first.log") as first:
        first.until(reached(db, 30), "the head")
        harm(path)
        if harm is move_away:
            grow(node)
            assert first.wait() == 5
        with following(node, db, tmp_path / "second.log") as second:
            second.until(reached(db, 30), "the head that was there")
            head = grow(node)
            second.until(reached(db, head), "the new head")
            if harm is not move_away:
                assert first.wait() == 5
            assert what in first.text
            assert "start it again" in first.text
            assert "Traceback" not in first.text
            head = grow(node)
            second.until(reached(db, head), "the head after the other one's end")
            assert second.interrupt() == 0
    assert standing(db, CHAIN_ID).head == head
    verified = tidelog("chain", "verify", "--db", db)
    assert verified.code == 0, verified.out + verified.err


def test_a_second_sync_takes_over_from_the_first(node: Simulated, tmp_path: Path) -> None:
    """As it was: the newer one goes on, the older one is fenced."""
    db = f"sqlite:///{tmp_path}/chain.db"
    with following(node, db, tmp_path / "first.log") as first:
        first.until(reached(db, 30), "the head")
        with following(node, db, tmp_path / "second.log") as second:
            second.until(lambda: epoch(db) == 2, "its start")
            second.until(reached(db, grow(node)), "the new head")
            assert first.wait() == 5
            assert "taken over by another writer" in first.text
            assert second.interrupt() == 0


# -- a journal -------------------------------------------------------------------------------------------------------

OTHER = """
import sys
from tests.market.blocks import block_of
from tidelog.market.journal.file import JournalWriter
writer = JournalWriter(sys.argv[1])
for seq in range(1, 4):
    writer.commit([block_of(writer.run, seq, [(1, 1, b"other")])])
writer.close()
"""


def test_a_journal_whose_log_is_gone_takes_nothing_and_harms_no_other(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    writer = JournalWriter(str(path))
    writer.commit([block_of(writer.run, 1, [(1, 1, b"ours")])])
    unlink_log(path)
    subprocess.run([sys.executable, "-c", OTHER, path], env=environment(), check=True, timeout=HANGS_S)
    written = path.read_bytes()
    for _ in range(2):
        with pytest.raises(Displaced, match=r"a\.journal-wal was (deleted|replaced) while tidelog wrote to it"):
            writer.commit([block_of(writer.run, 2, [(1, 1, b"lost")])])
    with pytest.raises(Displaced):
        writer.close()
    assert path.read_bytes() == written
    reader = JournalReader(str(path))
    found = [(record.id, record.payload) for record in reader.records(BEGINNING)]
    reader.close()
    assert found == [(EventId(2, seq), b"other") for seq in range(1, 4)]


LOCKING = """
import fcntl, os, sys
try:  # what SQLite locks of the file itself, as long as it has it open: https://sqlite.org/src/file/src/os.h
    fcntl.lockf(os.open(sys.argv[1], os.O_RDWR), fcntl.LOCK_EX | fcntl.LOCK_NB, 512, 0x40000000)
except OSError:
    sys.exit("locked")
"""


def test_a_reader_in_the_writers_process_leaves_it_its_locks(tmp_path: Path) -> None:
    """A descriptor of the file that the process closes takes all of SQLite's locks on it away."""
    path = tmp_path / "a.journal"
    writer = JournalWriter(str(path))
    writer.commit([block_of(writer.run, 1, [(1, 1, b"ours")])])
    reader = JournalReader(str(path))
    assert len(list(reader.records(BEGINNING))) == 1
    reader.close()
    done = subprocess.run([sys.executable, "-c", LOCKING, path], capture_output=True, timeout=HANGS_S, check=False)
    assert done.stderr == b"locked\n"
    writer.close()
