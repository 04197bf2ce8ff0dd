"""The follower that is shipped: through reorgs, restarts and kill -9 of each of the three processes, its file ends
with exactly the canonical chain, and every change was applied once."""

import asyncio
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import pytest

from tests import command
from tests.api.served import Served, fill
from tests.chain.rig import a_node
from tests.command import Running, environment
from tests.patience import HANGS_S
from tests.ports import reserved_port
from tests.simulated import Simulated
from tests.system.sql import opened, position
from tidelog.runtime import SystemRuntime
from tidelog.sim.node.chain.tree import BlockTree
from tidelog.store import open_store

EXAMPLE = Path(__file__).parents[3] / "examples" / "follower.py"
CHAIN_ID = 1337
LIFE_S = 0.1  # of a process after the chain was changed: the change is on its way through all three
REORG_DEPTH_MAX = 20
LOOK_S = 0.05


def until(condition: Callable[[], bool], what: str) -> None:
    """As `command.until`, with looks that leave the processor to the processes that are tested."""

    def look() -> bool:
        time.sleep(LOOK_S)
        return condition()

    command.until(look, what)


class Follower:
    """The example as a process."""

    def __init__(self, url: str, path: Path, log: Path) -> None:
        self.path = path
        self._log = log
        self._command = [sys.executable, str(EXAMPLE), "--url", url, "--chain", str(CHAIN_ID), "--db", str(path)]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(self._command, env=environment(), stdout=log, stderr=log)

    def kill9(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(HANGS_S)

    def position(self) -> tuple[int, int]:
        """The last change that the file has, and how many were ever applied."""
        if not self.path.exists():
            return 0, 0
        with closing(sqlite3.connect(self.path, timeout=10)) as file:
            try:
                found = file.execute("SELECT seq, applied FROM position").fetchone()
            except sqlite3.OperationalError:  # it is being made
                return 0, 0
        return (0, 0) if found is None else (int(found[0]), int(found[1]))

    def blocks(self) -> list[tuple[int, str, str]]:
        with closing(sqlite3.connect(self.path, timeout=10)) as file:
            return file.execute("SELECT number, hash, parent_hash FROM blocks ORDER BY number").fetchall()


@contextmanager
def following(url: str, path: Path, log: Path) -> Iterator[Follower]:
    follower = Follower(url, path, log)
    follower.start()
    try:
        yield follower
    finally:
        follower.kill9()


def canonical(db: str) -> list[tuple[int, str, str]]:
    with opened(db) as view:
        rows = view.rows(f"SELECT number, hash, parent_hash FROM blocks WHERE chain_id = {CHAIN_ID} ORDER BY number")
    return [(number, "0x" + block.hex(), "0x" + parent.hex()) for number, block, parent in rows]


def changes(db: str) -> int:
    at = position(db, CHAIN_ID)
    return 0 if at is None else int(at["changes"])


def caught_up(follower: Follower, db: str, node: Simulated) -> bool:
    at = position(db, CHAIN_ID)
    if at is None or at["head_hash"] != "0x" + node.head_hash.hex():
        return False
    return follower.position()[0] == int(at["changes"])


def judge(follower: Follower, db: str) -> None:
    seq, applied = follower.position()
    assert seq == applied == changes(db)  # each once, none left out
    assert follower.blocks() == canonical(db)


async def make(db: str) -> None:
    await (await open_store(db, SystemRuntime())).close()


def kill_everybody_in_turn(tmp_path: Path, kills: int, seed: int) -> None:
    moments = random.Random(seed)
    db, log = f"sqlite:///{tmp_path}/chain.db", tmp_path / "log"
    port = reserved_port()
    asyncio.run(make(db))
    with Simulated(BlockTree(seed=seed, blocks=120)) as node:
        sync = ("chain", "sync", "--rpc", node.url, "--db", db, "--follow", "--poll", "0.02")
        serve = ("serve", "--db", db, "--port", str(port))
        running: dict[str, Running] = {"sync": Running(*sync, log=log)}
        commands = {"sync": sync, "serve": serve}
        try:
            until(lambda: changes(db) > 0, "a commit")
            running["serve"] = Running(*serve, log=log)
            url = f"http://127.0.0.1:{port}"
            with following(url, tmp_path / "followed.db", tmp_path / "follower.log") as follower:
                until(lambda: follower.position()[0] > 0, "the first change")
                for kill in range(kills):
                    node.do(partial(node.tree.reorg, moments.randint(1, REORG_DEPTH_MAX)))
                    time.sleep(moments.uniform(0, LIFE_S))  # what is tested: any moment will do
                    victim = ("follower", "serve", "sync")[kill % 3]
                    if victim == "follower":
                        follower.kill9()
                        follower.start()
                    else:
                        if kill % 6 < 3:
                            running[victim].kill9()
                        else:
                            running[victim].process.send_signal(signal.SIGTERM)
                            running[victim].wait()
                        running[victim] = Running(*commands[victim], log=log)
                    moved = partial(has_moved, follower, follower.position()[0])
                    node.do(partial(node.tree.extend, moments.randint(1, 3)))
                    until(moved, f"the follower to go on after {victim} was ended")
                until(lambda: caught_up(follower, db, node), "the head")
                for _ in range(2):  # nobody is ended: these come by the stream
                    node.do(lambda: node.tree.reorg(5))
                    until(lambda: caught_up(follower, db, node), "the head after a reorg")
                judge(follower, db)
        finally:
            for each in running.values():
                each.kill9()
        with opened(db) as view:
            assert view.row("SELECT count(*) FROM changes WHERE kind = 'revert'")[0] > 0


def has_moved(follower: Follower, since: int) -> bool:
    return follower.position()[0] > since


def test_through_reorgs_restarts_and_kills_each_change_is_applied_once(tmp_path: Path) -> None:
    kill_everybody_in_turn(tmp_path, kills=3, seed=1)


@pytest.mark.torture
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(2, 5))
def test_through_dozens_of_kills_each_change_is_applied_once(tmp_path: Path, seed: int) -> None:
    kill_everybody_in_turn(tmp_path, kills=60, seed=seed)


async def sync(db: str) -> None:
    """Five blocks above the genesis, in this process."""
    store = await open_store(db, SystemRuntime())
    try:
        await fill(store, a_node(blocks=5))
    finally:
        await store.close()


def test_a_follower_with_an_unknown_position_ends_with_a_sentence(tmp_path: Path) -> None:
    db = f"sqlite:///{tmp_path}/chain.db"
    asyncio.run(sync(db))
    with (
        Served(db) as api,
        following(api.server.url, tmp_path / "followed.db", tmp_path / "follower.log") as follower,
    ):
        until(lambda: follower.position() == (6, 6), "all changes")
        follower.kill9()
        with closing(sqlite3.connect(follower.path)) as file, file:
            file.execute("UPDATE position SET place = '60'")
        follower.start()
        assert follower.process is not None
        assert follower.process.wait(HANGS_S) == 2
    assert "after is 60, and the last change of chain 1337 is 6" in (tmp_path / "follower.log").read_text()
