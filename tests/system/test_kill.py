"""kill -9: at random moments, and at every named point around a commit. The store is whole after each of them,
and ends as if nothing had happened."""

import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import TracebackType

import msgspec
import pytest

from tests.command import Running, digest, environment, tidelog
from tests.simulated import Simulated
from tests.system.anvil import Anvil
from tests.system.crashing import Order
from tests.system.reader import Reader
from tests.system.sql import opened, position
from tests.system.truth import Standing, standing
from tidelog.chain.sync.engine import Options
from tidelog.sim.node.chain.block_builder import Shape
from tidelog.sim.node.chain.tree import BlockTree
from tidelog.sim.node.contracts.world import PLACES

CHAIN_ID = 1337
MISCHIEF = 60  # changes of the chain that come in one life at most, however long it is: it would grow without end
MISCHIEF_S = 0.02  # between changes of the chain: some come while the command starts, some while it commits
REORG_DEPTH_MAX = 40  # above what is final, 64 below the head
READ_S = 0.02  # between looks of the reader: the chain is long, and the rest needs the processor too
KILL_WITHIN_S = 0.25  # after the first commit: time for some more, at the head and in between

BEFORE = ("ledger.before_commit", "store.rolled_back", "store.written")
AFTER = ("store.committed", "ledger.after_commit")


ABIS = {
    "tide": '"erc20"',
    "shells": '"erc721"',
    "gauge": '["Measured(uint256 value)", "Measured(uint256 indexed value)"]',
    "board": '["Note(string indexed subject, string text)"]',
}


# -- random moments -------------------------------------------------------------------------------------------------


class Mischief:
    """Grows and reorganises a node's chain, from a thread of its own: so many changes in each life."""

    def __init__(self, node: Simulated, seed: int) -> None:
        self._node = node
        self._random = random.Random(seed)
        self._stop = threading.Event()
        self._left = 0
        self._thread = threading.Thread(target=self._run, name="mischief")

    def __enter__(self) -> "Mischief":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def begin(self) -> None:
        """A life begins."""
        self._left = MISCHIEF

    def _run(self) -> None:
        while not self._stop.wait(MISCHIEF_S):
            if self._left == 0:
                continue
            self._left -= 1
            if self._random.random() < 0.3:
                depth = self._random.randint(1, REORG_DEPTH_MAX)
                self._node.do(partial(self._node.tree.reorg, depth))
            else:
                count = self._random.randint(1, 3)
                self._node.do(partial(self._node.tree.extend, count))


def changes(url: str) -> int:
    stored = position(url, CHAIN_ID)
    return 0 if stored is None else int(stored["changes"])


def are_filled(url: str) -> bool:
    """Whether the contracts' tables have the rows of all stored blocks."""
    with opened(url) as view:
        return view.row("SELECT count(*), max(filled_from) FROM contracts") == (len(ABIS), 0)


def has_moved(url: str, since: int) -> bool:
    return changes(url) > since


def kill_in_a_loop(url: str, tmp_path: Path, kills: int, seed: int) -> None:
    """Contracts have tables from the second life on: what was stored before is filled in while the chain moves."""
    moments = random.Random(seed)
    log, contracts = tmp_path / "log", named_contracts(tmp_path)
    with Simulated(BlockTree(seed=seed, blocks=200, shape=Shape(contracts=True))) as node:
        command: tuple[str, ...] = ("chain", "sync", "--rpc", node.url, "--db", url, "--follow", "--poll", "0.02")
        with Reader(url, CHAIN_ID, pause_s=READ_S), Mischief(node, seed) as mischief:
            for life in range(kills):
                if life == 1:
                    command += ("--contracts", str(contracts))
                moved = partial(has_moved, url, changes(url))
                mischief.begin()
                with Running(*command, log=log) as sync:
                    sync.until(moved, "a commit")
                    time.sleep(moments.uniform(0, KILL_WITHIN_S))  # what is tested: any moment will do
                    sync.kill9()
                standing(url, CHAIN_ID)
        with Running(*command, log=log) as sync:
            for _ in range(2):
                sync.until(lambda: standing(url, CHAIN_ID).head_hash == node.head_hash, "the head")
                node.do(lambda: node.tree.reorg(7))  # one at least that no kill has come between
            sync.until(lambda: standing(url, CHAIN_ID).head_hash == node.head_hash, "the head")
            sync.until(lambda: are_filled(url), "the rows of blocks that were there before the contracts")
            assert sync.interrupt() == 0
        undisturbed = f"sqlite:///{tmp_path}/undisturbed.db"
        done = tidelog("chain", "sync", "--rpc", node.url, "--db", undisturbed, "--contracts", str(contracts))
        assert done.code == 0
    with opened(url) as view:
        assert view.row("SELECT count(*) FROM reorgs WHERE reason = 'reorg'")[0] >= 2
        assert view.row("SELECT count(*) FROM e_tide_transfer")[0] > 0
    assert digest(url) == digest(undisturbed)
    verified = tidelog("chain", "verify", "--db", url)
    assert (verified.code, "being filled in" in verified.out) == (0, False)


def named_contracts(folder: Path, *names: str) -> Path:
    """A file of contracts of the simulated chain, all of them if none is named."""
    file = folder / f"contracts{'-'.join(names)}.toml"
    file.write_text(
        "".join(
            f'[[contract]]\nname = "{name}"\naddress = "0x{PLACES[name].hex()}"\nabi = {ABIS[name]}\n'
            for name in names or ABIS
        )
    )
    return file


def test_killed_at_random_moments(url: str, tmp_path: Path) -> None:
    kill_in_a_loop(url, tmp_path, kills=5, seed=1)


@pytest.mark.torture
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(2, 6))
def test_killed_at_hundreds_of_random_moments(url: str, tmp_path: Path, seed: int) -> None:
    kill_in_a_loop(url, tmp_path, kills=100, seed=seed)


# -- every point around a commit ---------------------------------------------------------------------------------------


class Driver:
    """`tests.system.crashing` as a process."""

    def __init__(self, node: "Simulated | Anvil", db: str) -> None:
        self._node = node
        self._db = db
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.system.crashing"],
            env=environment(),
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def order(self, options: Options, point: str | None = None, nth: int = 1, *, contracts: Path | None = None) -> int:
        """Carry it out; how it ended."""
        order = Order(
            self._db, self._node.url, options, point, nth, contracts=None if contracts is None else str(contracts)
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(msgspec.json.encode(order) + b"\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def node() -> Iterator[Simulated]:
    """80 blocks, of which tidelog takes the first 16 as final: the node itself names none until it is told to."""
    shape = Shape(contracts=True)
    with Simulated(BlockTree(seed=3, blocks=80, shape=shape, finalized_depth=None, safe_depth=None)) as served:
        yield served


@pytest.fixture
def driver(node: Simulated, url: str) -> Iterator[Driver]:
    process = Driver(node, url)
    try:
        yield process
    finally:
        process.end()


Prepare = Callable[[BlockTree, int], object]

# what happens before each run, given how many there were; which run's options; what only that kind of commit does
COMMITS: dict[str, tuple[Prepare, Callable[[int], Options], int, Callable[[Standing, Standing], bool]]] = {
    "append": (
        lambda tree, turn: tree.extend(3),
        lambda turn: Options(first=60),
        2,  # the second of three, so that the one before it has to be kept
        lambda old, new: new.head == old.head + 3 and new.changes == old.changes + 3,
    ),
    "replace": (
        lambda tree, turn: tree.reorg(5),
        lambda turn: Options(first=60),
        1,
        lambda old, new: new.head == old.head + 1 and new.changes == old.changes + 11,
    ),
    "prepend": (
        lambda tree, turn: None,
        lambda turn: Options(first=50 - 10 * turn),
        1,
        lambda old, new: new.first == old.first - 10 and new.head_hash == old.head_hash,
    ),
    "finalize": (
        lambda tree, turn: tree.finalize(70 + turn),
        lambda turn: Options(first=60),
        1,
        lambda old, new: new.changes == old.changes and new.commits == old.commits + 1,
    ),
}


@pytest.mark.each_choice
@pytest.mark.parametrize("kind", COMMITS)
def test_killed_at_each_point_around_a_commit(
    kind: str, node: Simulated, url: str, driver: Driver, tmp_path: Path
) -> None:
    prepare, options, nth, has_done = COMMITS[kind]
    assert driver.order(Options(first=60)) == 0
    for turn, point in enumerate((*BEFORE, *AFTER)):
        old = standing(url, CHAIN_ID)
        node.do(partial(prepare, node.tree, turn))
        assert driver.order(options(turn), point, nth) == -signal.SIGKILL, point
        crashed = standing(url, CHAIN_ID)
        assert crashed.commits - old.commits == nth - (point in BEFORE), point
        if nth == 1 and point in BEFORE:
            assert crashed == old
        assert driver.order(options(turn)) == 0
        new = standing(url, CHAIN_ID)
        assert has_done(old, new), point
        assert new.head_hash == node.head_hash
    undisturbed = f"sqlite:///{tmp_path}/undisturbed.db"
    assert tidelog("chain", "sync", "--rpc", node.url, "--db", undisturbed, "--from", str(new.first)).code == 0
    assert digest(url) == digest(undisturbed)


@pytest.mark.parametrize("url", ["sqlite", pytest.param("postgresql", marks=pytest.mark.torture)], indirect=True)
def test_killed_while_contracts_are_added_filled_in_and_removed(
    node: Simulated, url: str, driver: Driver, tmp_path: Path
) -> None:
    """What comes and goes are tables, in a transaction with rows; blocks stand still."""
    options, every, one = Options(first=0), named_contracts(tmp_path), named_contracts(tmp_path, "tide")
    assert driver.order(options, contracts=one) == 0
    for point in ("store.rolled_back", "store.written", "store.committed"):
        for wanted in (every, one):  # first the tables are made, or left: then one is filled in, or emptied
            assert driver.order(options, point, 2, contracts=wanted) == -signal.SIGKILL, point
            verified = tidelog("chain", "verify", "--db", url)
            assert verified.code == 0, verified.out
            assert driver.order(options, contracts=wanted) == 0
    undisturbed = f"sqlite:///{tmp_path}/undisturbed.db"
    synced = tidelog("chain", "sync", "--rpc", node.url, "--db", undisturbed, "--contracts", str(one))
    assert synced.code == 0
    assert digest(url) == digest(undisturbed)
