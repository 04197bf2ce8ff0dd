"""What an earlier tidelog has left is opened by today's: migrated, with the same digest, and gone on with."""

import asyncio
import json
import re
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from tests.command import tidelog
from tests.fixtures import schema3
from tests.fixtures.schema3 import FACTS
from tests.patience import HANGS_S
from tests.postgres import PostgresServer
from tests.simulated import Simulated
from tests.system.sql import opened
from tests.system.truth import assert_whole
from tidelog.market.live.feed import Feed
from tidelog.market.load.loader import Loader
from tidelog.market.replay.position import events_to_load
from tidelog.runtime import SystemRuntime
from tidelog.sim.exchange import SimExchange
from tidelog.sim.exchange.wire.server import ExchangeServer
from tidelog.store import open_store

JOURNALS = ("v2.journal", "v1.journal", "private.journal")


@pytest.fixture(params=["sqlite", "postgresql"])
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A store of schema version 3."""
    if request.param == "sqlite":
        yield schema3.sqlite_store(tmp_path)
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    with server.database() as url:
        yield schema3.postgres_store(url)


def said(*arguments: str) -> str:
    done = tidelog(*arguments)
    assert done.code == 0, done
    return done.out


def digests(url: str, wanted: dict[str, Any]) -> dict[str, Any]:
    """What `db digest` says of the tables that there were."""
    told = json.loads(said("db", "digest", "--db", url, "--json"))
    return {name: told[name] for name in wanted}


def runs(journal: Path) -> list[str]:
    """What `market replay` says of each run."""
    return re.findall(r"^run .*$", said("market", "replay", str(journal)), re.MULTILINE)


def test_an_old_store_keeps_its_digest(old: str) -> None:
    said("db", "migrate", "--db", old)
    assert digests(old, FACTS["stores"]) == FACTS["stores"]
    assert said("db", "migrate", "--db", old).startswith("nothing to do")


def test_an_old_chain_is_proven_again(old: str) -> None:
    said("db", "migrate", "--db", old)
    assert said("chain", "verify", "--db", old).startswith(FACTS["verify"].splitlines()[0])
    status = json.loads(said("chain", "status", "--db", old, "--json"))
    assert {name: status[name] for name in FACTS["chain"]} == FACTS["chain"]


def test_a_sync_goes_on_with_an_old_chain(old: str) -> None:
    """Through a reorg that begins among the old blocks."""
    chain = schema3.chain()
    with Simulated(chain) as node:
        said("chain", "sync", "--rpc", node.url, "--db", old)
    with opened(old) as view:
        standing = assert_whole(view, 1337)
    assert standing is not None
    assert (standing.first, standing.head, standing.head_hash) == (0, 30, chain.head.hash)
    assert said("chain", "verify", "--db", old).startswith("chain 1337: 31 blocks (0 to 30)")
    last = json.loads(said("chain", "status", "--db", old, "--json"))["last_reorg"]
    assert last == {"fork": 24, "depth": 2, "old_head": 26}


async def test_a_loader_goes_on_with_an_old_recording(old: str, tmp_path: Path) -> None:
    runtime = SystemRuntime()
    store = await open_store(old, runtime)
    loader = await Loader.open(store, runtime, "kraken")
    path = str(schema3.journal("v2.journal", tmp_path))
    async with aclosing(events_to_load(path, runtime, after=loader.committed, ending=lambda: True)) as entries:
        await loader.run(entries)
    await store.close()
    wanted = FACTS["stores, with all of v2.journal"]
    assert digests(old, wanted) == wanted


@pytest.mark.parametrize("name", JOURNALS)
def test_an_old_journal_is_replayed_to_the_same_events(name: str, tmp_path: Path) -> None:
    assert runs(schema3.journal(name, tmp_path)) == FACTS["replay"][name].splitlines()[1:]


@pytest.mark.parametrize("protocol", ["v2", "v1"])
async def test_recording_goes_on_with_an_old_journal(protocol: str, tmp_path: Path) -> None:
    journal = schema3.journal(f"{protocol}.journal", tmp_path)
    before = runs(journal)
    runtime = SystemRuntime()
    exchange = SimExchange(seed=8, rate=200, start_us=int(runtime.now() * 1_000_000))
    async with asyncio.timeout(HANGS_S), ExchangeServer(exchange, runtime=runtime) as server:
        feed = Feed(
            ["BTC/USD"], ["book"], journal=str(journal), protocol=protocol, url=server.url(protocol), digest=True
        )
        async with feed:
            events = feed.events()
            for _ in range(50):
                await anext(events)
    after = runs(journal)
    assert after[:-1] == before
    assert after[-1].startswith(f"run {len(before) + 1}: ")
    assert after[-1].endswith(f"digest {feed.digest}")
