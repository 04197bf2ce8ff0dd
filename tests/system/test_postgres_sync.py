"""A sync whose PostgreSQL is killed, stopped and taken away goes on by itself; a second writer takes over."""

import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import asyncpg
import pytest

from tests.command import Running, digest, tidelog, until
from tests.postgres import PostgresServer
from tests.simulated import Simulated
from tests.system.sql import Sql, position
from tests.system.truth import standing
from tidelog.sim.node.chain.block_builder import Shape
from tidelog.sim.node.chain.tree import BlockTree

CHAIN_ID = 1337
FULL = Shape(transactions=(30, 30), logs=(4, 4), failing=0.0)  # some 150 rows a block
BLOCKS = 300  # some commits of history, each a COPY of a tenth of a second or more
MORE_BLOCKS = 20
DOWN_S = 3.0  # longer than several tries of a client, shorter than its patience


@pytest.fixture(scope="module")
def node() -> Iterator[Simulated]:
    with Simulated(BlockTree(seed=5, blocks=BLOCKS, shape=FULL)) as served:
        yield served


def follow(node: Simulated, url: str, log: Path) -> Running:
    return Running("chain", "sync", "--rpc", node.url, "--db", url, "--follow", "--poll", "0.05", log=log)


def has_reached(url: str, number: float) -> bool:
    stored = position(url, CHAIN_ID)
    return stored is not None and stored["head"] >= number


def is_caught_up(url: str, node: Simulated) -> bool:
    stored = position(url, CHAIN_ID)
    return stored is not None and stored["head_hash"] == "0x" + node.head_hash.hex()


def assert_as_undisturbed(node: Simulated, url: str, tmp_path: Path) -> None:
    """The store is at the node's head, and has the digest of a run into SQLite that nothing has disturbed."""
    assert standing(url, CHAIN_ID).head_hash == node.head_hash
    undisturbed = f"sqlite:///{tmp_path}/undisturbed.db"
    assert tidelog("chain", "sync", "--rpc", node.url, "--db", undisturbed).code == 0
    assert digest(url) == digest(undisturbed)


def copying_backend(database: Sql, url: str, node: Simulated) -> int | None:
    """The backend that is in the middle of a COPY. Who has missed all of them gets more: the chain grows."""
    found = database.fetch("SELECT pid FROM pg_stat_progress_copy WHERE tuples_processed > 0")
    if not found and is_caught_up(url, node):
        node.do(lambda: node.tree.extend(MORE_BLOCKS))
    return int(found[0][0]) if found else None


def test_a_backend_killed_in_the_middle_of_a_copy(
    node: Simulated, postgres_server: PostgresServer, postgres_url: str, tmp_path: Path
) -> None:
    with follow(node, postgres_url, tmp_path / "log") as sync:
        for _ in range(2):
            with Sql(postgres_url) as database:
                backend = sync.until(partial(copying_backend, database, postgres_url, node), "a COPY")
                assert backend is not None
                postgres_server.kill_backend(backend)
                until_restarted(database, postgres_url)
        sync.until(lambda: is_caught_up(postgres_url, node), "the head")
        assert sync.interrupt() == 0
    assert_as_undisturbed(node, postgres_url, tmp_path)


def until_restarted(witness: Sql, url: str) -> None:
    """Wait until the server has ended every backend, the witness's too, and has replayed its log."""
    until(lambda: not is_answered(lambda: witness.fetch("SELECT 1")), "the end of all backends")
    until(lambda: is_answered(lambda: Sql(url).close()), "the server's recovery")


def is_answered(question: Callable[[], object]) -> bool:
    try:
        question()
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        return False
    return True


def test_a_server_that_stops_at_once_and_starts_again(
    node: Simulated, postgres_server: PostgresServer, postgres_url: str, tmp_path: Path
) -> None:
    with follow(node, postgres_url, tmp_path / "log") as sync:
        for share in (0.2, 0.5, 1.0):  # in the history, and at the head
            sync.until(partial(has_reached, postgres_url, share * BLOCKS), "blocks")
            postgres_server.restart_immediately()
            node.do(lambda: node.tree.extend(2))
            node.do(lambda: node.tree.reorg(3))
        sync.until(lambda: is_caught_up(postgres_url, node), "the head")
        assert sync.interrupt() == 0
    assert_as_undisturbed(node, postgres_url, tmp_path)


def test_a_server_that_is_away_for_some_seconds(
    node: Simulated, postgres_server: PostgresServer, postgres_url: str, tmp_path: Path
) -> None:
    with follow(node, postgres_url, tmp_path / "log") as sync:
        sync.until(partial(has_reached, postgres_url, 0.5 * BLOCKS), "blocks")
        postgres_server.kill9()
        try:
            node.do(lambda: node.tree.extend(2))
            threading.Event().wait(DOWN_S)  # what is tested: nothing happens for so long
            assert sync.process.poll() is None, sync.text
        finally:
            postgres_server.start()
        sync.until(lambda: is_caught_up(postgres_url, node), "the head")
        assert sync.interrupt() == 0
    assert_as_undisturbed(node, postgres_url, tmp_path)


def test_the_second_writer_takes_over_and_the_first_stops(url: str, tmp_path: Path) -> None:
    with Simulated(BlockTree(seed=6, blocks=20)) as node, follow(node, url, tmp_path / "first") as first:
        first.until(partial(has_reached, url, 20), "the head")
        with follow(node, url, tmp_path / "second") as second:
            second.until(lambda: writer_epoch(url) == 2, "the second writer")
            node.do(lambda: node.tree.extend(3))
            assert first.wait() == 5
            second.until(partial(has_reached, url, 23), "blocks of the second writer")
            assert second.interrupt() == 0
        assert first.text.splitlines()[-1].startswith("tidelog: ")
        assert "Traceback" not in first.text
        assert_as_undisturbed(node, url, tmp_path)


def writer_epoch(url: str) -> int:
    with Sql(url) as database:
        return int(database.fetch(f"SELECT epoch FROM checkpoints WHERE source = 'chain:{CHAIN_ID}'")[0][0])
