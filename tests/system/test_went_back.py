"""A store goes back under followers: a file is restored from an older copy, a standby takes over without the last
commits. Then come 200 more blocks and three reorgs. Each follower ends equal to the store, and was told once."""

import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.api.live.test_follower import Follower, until
from tests.command import Running, tidelog
from tests.conftest import running_postgres
from tests.following import Fold, by_events, by_pages
from tests.ports import reserved_port
from tests.postgres import PostgresServer
from tests.simulated import Simulated
from tests.system.conftest import with_schema
from tests.system.sql import Sql, opened, position
from tidelog.sim.node.chain.tree import BlockTree

CHAIN_ID = 1337
BLOCKS = 60
MORE_BLOCKS, REORGS = 200, (3, 1, 7)
LOST_BLOCKS = 12


class Followers:
    """The example in a process of its own, and two in threads: by pages, and by events."""

    def __init__(self, url: str, folder: Path) -> None:
        self.base = f"{url}/v1/chains/{CHAIN_ID}"
        self.pages, self.events = Fold(), Fold()
        self.failures: list[BaseException] = []
        self._over = False
        self._threads = [
            threading.Thread(target=self._follow, args=(by_pages, self.pages)),
            threading.Thread(target=self._follow, args=(by_events, self.events)),
        ]
        self.example = Follower(url, folder / "followed.db", folder / "follower.log")

    def _follow(self, way: Callable[[str, Fold, Callable[[], bool]], None], fold: Fold) -> None:
        try:
            way(self.base, fold, lambda: self._over)
        except BaseException as error:
            self.failures.append(error)

    @contextmanager
    def running(self) -> Iterator["Followers"]:
        for thread in self._threads:
            thread.start()
        self.example.start()
        try:
            yield self
        finally:
            self._over = True
            self.example.kill9()

    def seqs(self) -> list[int]:
        assert not self.failures, self.failures
        return [self.pages.seq, self.events.seq, self.example.position()[0]]

    def resets(self) -> tuple[int, int, int]:
        with closing(sqlite3.connect(self.example.path, timeout=10)) as file:
            (told,) = file.execute("SELECT resets FROM position").fetchone()
        return len(self.pages.resets), len(self.events.resets), told


class Story(NamedTuple):
    """What is the same whatever store it is: a node, a sync and a server that are started at will, and followers."""

    folder: Path
    node: Simulated
    followers: Followers
    port: int

    def sync(self, db: str) -> Running:
        arguments = ("chain", "sync", "--rpc", self.node.url, "--db", db, "--follow", "--poll", "0.02")
        return Running(*arguments, log=self.folder / "log")

    def serve(self, db: str) -> Running:
        return Running("serve", "--db", db, "--port", str(self.port), log=self.folder / "log")

    def caught_up(self, db: str) -> bool:
        """The store has the node's head, and every follower what the store has."""
        at = position(db, CHAIN_ID)
        at_head = at is not None and at["head_hash"] == "0x" + self.node.head_hash.hex()
        return at_head and at is not None and self.followers.seqs() == [int(at["changes"])] * 3

    def grow(self, db: str, blocks: int = MORE_BLOCKS) -> None:
        """So many blocks, with reorgs between them."""
        for depth in REORGS:
            self.node.do(partial(self.node.tree.extend, blocks // len(REORGS)))
            until(lambda: self.caught_up(db), "the head")
            self.node.do(partial(self.node.tree.reorg, depth, depth + 1))
            until(lambda: self.caught_up(db), "the head after a reorg")
        self.node.do(partial(self.node.tree.extend, blocks % len(REORGS)))

    def judge(self, db: str) -> None:
        until(lambda: self.caught_up(db), "the head")
        with opened(db) as view:
            rows = view.rows(f"SELECT number, hash FROM blocks WHERE chain_id = {CHAIN_ID} ORDER BY number")
        blocks = [(number, "0x" + block_hash.hex()) for number, block_hash in rows]
        assert self.followers.pages.blocks() == blocks
        assert self.followers.events.blocks() == blocks
        assert [block[:2] for block in self.followers.example.blocks()] == blocks
        seq, applied = self.followers.example.position()
        assert seq == applied
        assert self.followers.resets() == (1, 1, 1)
        assert "every hash, root, bloom and link holds" in tidelog("chain", "verify", "--db", db).out


@contextmanager
def a_story(tmp_path: Path) -> Iterator[Story]:
    port = reserved_port()
    with Simulated(BlockTree(seed=7, blocks=BLOCKS)) as node:
        followers = Followers(f"http://127.0.0.1:{port}", tmp_path)
        with followers.running():
            yield Story(tmp_path, node, followers, port)


def test_a_file_that_is_restored_from_an_older_copy(tmp_path: Path) -> None:
    """The copy is that of a sync that was killed: the database and its log. Two more writers came after it."""
    path, copy = tmp_path / "chain.db", tmp_path / "copy"
    copy.mkdir()
    db = f"sqlite:///{path}"
    with_schema(db)
    with a_story(tmp_path) as story:
        with story.sync(db) as sync, story.serve(db) as serve:
            until(lambda: story.caught_up(db), "the followers")
            sync.kill9()
            serve.kill9()
        for file in tmp_path.glob("chain.db*"):
            if not file.name.endswith("-shm"):
                shutil.copy(file, copy)
        for _ in range(2):  # what will be lost, of two writers
            with story.sync(db) as sync, story.serve(db) as serve:
                story.node.do(partial(story.node.tree.extend, LOST_BLOCKS))
                until(lambda: story.caught_up(db), "what will be lost")
                sync.kill9()
                serve.kill9()
        for file in tmp_path.glob("chain.db*"):
            file.unlink()
        for file in copy.iterdir():
            shutil.copy(file, tmp_path)
        story.node.do(partial(story.node.tree.reorg, LOST_BLOCKS, LOST_BLOCKS + 1))
        with story.serve(db), story.sync(db):
            story.grow(db)
            story.judge(db)


@pytest.fixture
def primary() -> Iterator[PostgresServer]:
    with running_postgres() as server:
        yield server


def test_a_standby_that_takes_over_without_the_last_commits(primary: PostgresServer, tmp_path: Path) -> None:
    """The sync names both servers. It is fenced by the standby that was promoted, and started again by hand."""
    standby = primary.standby()
    try:
        standby.start()
        with_schema(primary.create_database())
        take_over(primary, standby, tmp_path)
    finally:
        standby.remove()


def asked(server: PostgresServer, text: str) -> list[tuple[Any, ...]]:
    with Sql(server.url()) as database:
        return database.fetch(text)


def cut_off(standby: PostgresServer) -> None:
    """From now on it gets nothing from its primary."""
    asked(standby, "ALTER SYSTEM SET primary_conninfo = ''")
    asked(standby, "SELECT pg_reload_conf()")
    until(lambda: not asked(standby, "SELECT pid FROM pg_stat_wal_receiver"), "the end of the replication")


def take_over(primary: PostgresServer, standby: PostgresServer, tmp_path: Path) -> None:
    name = "test_1"
    old, new = primary.url(name), standby.url(name)
    hosts = f"127.0.0.1:{primary.port},127.0.0.1:{standby.port}"
    both = f"postgresql://tidelog@{hosts}/{name}?target_session_attrs=read-write"
    with a_story(tmp_path) as story, story.sync(both) as sync:
        serve = story.serve(both)
        try:
            until(lambda: story.caught_up(old), "the followers")
            until(lambda: position(new, CHAIN_ID) == position(old, CHAIN_ID), "the standby")
            cut_off(standby)
            story.node.do(partial(story.node.tree.extend, LOST_BLOCKS))
            until(lambda: story.caught_up(old), "what will be lost")
            primary.kill9()
            asked(standby, "SELECT pg_promote()")
            story.node.do(partial(story.node.tree.reorg, LOST_BLOCKS, LOST_BLOCKS + 1))
            assert sync.wait() == 5
            assert "went back" in sync.text
            with story.sync(both):
                story.grow(new)
                story.judge(new)
        finally:
            serve.kill9()
