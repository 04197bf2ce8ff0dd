"""Reads from a standby of PostgreSQL while its primary is written: whole states, a little late, never torn."""

import asyncio
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import asyncpg
import pytest

from tests.command import Running, digest, tidelog, until
from tests.conftest import running_postgres
from tests.postgres import PostgresServer
from tests.simulated import Simulated
from tests.system.conftest import with_schema
from tests.system.sql import opened, position
from tests.system.truth import assert_whole
from tidelog.errors import Busy
from tidelog.runtime import SystemRuntime
from tidelog.sim.ledger import Ledger
from tidelog.store import open_store

CHAIN_ID = 1337
BLOCKS = 60


@pytest.fixture(scope="module")
def primary() -> Iterator[PostgresServer]:
    """One of its own: a standby begins as a copy of all that its primary has."""
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="module")
def standby(primary: PostgresServer) -> Iterator[PostgresServer]:
    server = primary.standby()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
def url(primary: PostgresServer) -> str:
    return with_schema(primary.create_database())


def as_the_primary_says(primary: str, replica: str) -> bool:
    return position(primary, CHAIN_ID) == position(replica, CHAIN_ID)


def test_a_standby_shows_whole_states_through_reorgs(standby: PostgresServer, url: str, tmp_path: Path) -> None:
    replica = standby.url(url.rpartition("/")[2])
    until(lambda: _is_there(replica), "the standby to have the schema")
    with Simulated(Ledger(seed=3, blocks=BLOCKS)) as node:
        arguments = ("chain", "sync", "--rpc", node.url, "--db", url, "--follow", "--poll", "0.05")
        with Running(*arguments, log=tmp_path / "log") as sync:
            heads = set()
            for depth in (1, 4, 7):
                node.do(partial(node.ledger.reorg, depth, depth + 2))
                head = "0x" + node.head_hash.hex()
                while (position(replica, CHAIN_ID) or {}).get("head_hash") != head:
                    with opened(replica) as view:
                        standing = assert_whole(view, CHAIN_ID)
                    heads.add(None if standing is None else standing.head_hash)
                    assert sync.process.poll() is None, sync.text[-2000:]
            assert len(heads) > 1, "states in between were seen"
            assert sync.interrupt() == 0
    until(lambda: as_the_primary_says(url, replica), "the standby to catch up")
    assert digest(replica) == digest(url)
    assert "every hash, root, bloom and link holds" in tidelog("chain", "verify", "--db", replica).out


def test_a_standby_is_not_written_to(standby: PostgresServer, url: str) -> None:
    replica = standby.url(url.rpartition("/")[2])
    until(lambda: _is_there(replica), "the standby to have the schema")

    async def write() -> None:
        store = await open_store(replica, SystemRuntime())
        try:
            await store.acquire(f"chain:{CHAIN_ID}")
        finally:
            await store.close()

    with pytest.raises(Busy, match="takes no writes now: it is a standby, or read only, or a failover is under way"):
        asyncio.run(write())


def _is_there(url: str) -> bool:
    """Whether the replica has come to the schema."""
    try:
        with opened(url) as view:
            return bool(view.rows("SELECT number FROM migrations"))
    except asyncpg.PostgresError:
        return False
