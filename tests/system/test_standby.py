"""Reads from a standby of PostgreSQL while its primary is written: whole states, a little late, never torn."""

import asyncio
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import asyncpg
import pytest

from tests.api.served import Served
from tests.command import Running, digest, tidelog, until
from tests.conftest import running_postgres
from tests.postgres import PostgresServer
from tests.simulated import Simulated
from tests.system.conftest import with_schema
from tests.system.sql import opened, position
from tests.system.truth import assert_whole
from tidelog.errors import Busy
from tidelog.runtime import SystemRuntime
from tidelog.sim.node.chain.tree import BlockTree
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
    with Simulated(BlockTree(seed=3, blocks=BLOCKS)) as node:
        arguments = ("chain", "sync", "--rpc", node.url, "--db", url, "--follow", "--poll", "0.05")
        with Running(*arguments, log=tmp_path / "log") as sync:
            heads = set()
            for depth in (1, 4, 7):
                node.do(partial(node.tree.reorg, depth, depth + 2))
                head, at = node.head_hash, None
                while (
                    at != head
                ):  # each is looked at once at least: how many in between are seen is the machine's matter
                    with opened(replica) as view:
                        standing = assert_whole(view, CHAIN_ID)
                    at = None if standing is None else standing.head_hash
                    heads.add(at)
                    assert sync.process.poll() is None, sync.text[-2000:]
            assert len(heads - {None}) >= 3, "a state after each reorg was seen"
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


LAG_MAX_S = 1.0


def test_a_standby_that_lags_is_not_ready_and_says_by_how_much(
    primary: PostgresServer, standby: PostgresServer, url: str
) -> None:
    """Paused, or without its primary, it stayed ready, and nobody saw that what it showed was old."""
    name = url.rpartition("/")[2]
    replica = standby.url(name)
    until(lambda: _is_there(replica), "the standby to have the schema")
    with Served(replica, standby_lag_max_s=LAG_MAX_S) as api:
        until(lambda: ready(api) and lag_s(api) <= LAG_MAX_S, "it to be ready")
        _execute(replica, "SELECT pg_wal_replay_pause()")
        _execute(url, "CREATE TABLE later ()")
        paused = "the standby that is read, whose replay is paused, lags "
        (reason,) = until(lambda: lagging(api, paused), "the pause to be noticed")
        assert reason.endswith(" s behind its primary: at most 1 s")
        assert lag_s(api) > LAG_MAX_S
        _execute(replica, "SELECT pg_wal_replay_resume()")
        until(lambda: ready(api), "it to have caught up")

        primary.stop()
        try:
            until(lambda: lagging(api, "the standby that is read lags "), "the primary's end to be noticed")
        finally:
            primary.start()
        until(lambda: ready(api), "it to hear of its primary again")
    with Served(url, standby_lag_max_s=LAG_MAX_S) as api:  # and a primary lags behind nobody
        until(lambda: ready(api), "the primary to be read")
        assert lag_s(api) == 0.0


def ready(api: Served) -> bool:
    return api.get("/readyz").status == 200


def lagging(api: Served, words: str) -> list[str]:
    """Why it is not ready, as soon as that is a reason in these words."""
    reasons: list[str] = api.get("/readyz").json["reasons"]
    return [reason for reason in reasons if words in reason]


def lag_s(api: Served) -> float:
    for line in api.get("/metrics").body.decode().splitlines():
        if line.startswith("tidelog_store_standby_lag_seconds"):
            return float(line.rpartition(" ")[2])
    raise AssertionError("no metric of the lag")


def _execute(url: str, text: str) -> None:
    async def work() -> None:
        connection = await asyncpg.connect(url)
        try:
            await connection.execute(text)
        finally:
            await connection.close()

    asyncio.run(work())


def _is_there(url: str) -> bool:
    """Whether the replica has come to the schema."""
    try:
        with opened(url) as view:
            return bool(view.rows("SELECT number FROM migrations"))
    except asyncpg.PostgresError:
        return False
