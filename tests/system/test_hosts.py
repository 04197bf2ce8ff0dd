"""Several hosts, whose cables are pulled: nobody is told, connections stay open, and nothing that is sent arrives.

That a server was killed, the system says within a moment. That a host is cut off is known by silence alone.
"""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from subprocess import PIPE

import pytest

from tests.api.live.test_follower import CHAIN_ID, make
from tests.command import Running, digest, environment, until
from tests.conftest import running_nats_cluster, running_postgres
from tests.hosts import Host, Hosts
from tests.simulated import Simulated
from tests.system.proxy import Proxy
from tests.system.sql import Sql, position
from tests.system.test_market_kill import Exchange
from tests.system.test_shards import RATE, SYMBOLS, Market, goes_on
from tests.system.test_stream import folds_to_the_table, times_away, told
from tidelog.sim.node.chain.tree import BlockTree

pytestmark = pytest.mark.timeout(600)

BLOCKS = 600


def test_a_cluster_of_three_hosts_is_cut_apart(tmp_path: Path, three_hosts: Hosts) -> None:
    with running_nats_cluster(three_hosts.all) as servers:
        urls = [server.url for server in servers]
        with told(tmp_path, urls, "--replicas", "3") as story:
            story.moves("the beginning")
            _, second, third = three_hosts.all
            third.pull()
            story.moves("one of three hosts is cut off")
            before = times_away(story.log, f"chain {CHAIN_ID}")
            second.pull()
            story.node.do(partial(story.node.tree.extend, 5))
            until(lambda: times_away(story.log, f"chain {CHAIN_ID}") > before, "the publisher to say that it is away")
            until(story.is_synced, "the sync, which does not notice")
            assert not story.is_level()
            second.plug()
            third.plug()
            story.moves("all are there again")
            for host in three_hosts.all:  # among them those that publisher and follower are connected to
                host.pull()
                story.moves(f"{host.address} is cut off")
                host.plug()
            story.judge()
            folds_to_the_table(urls[0], story.db)
            assert story.resets() == 0


@contextmanager
def syncing(host: Host, node: str, db: str, log: Path) -> Iterator[Running]:
    command = ("chain", "sync", "--rpc", node, "--db", db, "--follow", "--poll", "0.05")
    with Running(*command, log=log, prefix=host.prefix) as sync:
        yield sync


def test_a_writer_that_is_cut_off_is_taken_over_from(tmp_path: Path, three_hosts: Hosts) -> None:
    """It holds locks at the server, which is told nothing of it; once it is back it ends, and has written nothing."""
    first, second, _ = three_hosts.all
    with (
        running_postgres(also_at=three_hosts.gateway) as server,
        Simulated(BlockTree(seed=1, blocks=BLOCKS)) as node,
        Proxy(three_hosts.gateway) as way,
    ):
        here = server.create_database()
        asyncio.run(make(here))
        there = here.replace("127.0.0.1", three_hosts.gateway)
        rpc = way.route(node.url)

        def is_level() -> bool:
            at = position(here, CHAIN_ID)
            return at is not None and at["head_hash"] == "0x" + node.head_hash.hex()

        with syncing(first, rpc, there, tmp_path / "first") as one:
            one.until(lambda: position(here, CHAIN_ID), "the first one's first commit")
            first.pull()  # amid its history, and maybe amid a commit
            node.do(partial(node.tree.reorg, 3, 5))
            with syncing(second, rpc, there, tmp_path / "second") as two:
                two.until(is_level, "the second one to be at the head")
                first.plug()
                assert one.wait() == 5
                assert "taken over by another writer" in one.text
                node.do(partial(node.tree.extend, 2))
                two.until(is_level, "the second one to go on")
                assert two.interrupt() == 0
        undisturbed = server.create_database()
        with Running("chain", "sync", "--rpc", node.url, "--db", undisturbed, log=tmp_path / "undisturbed") as whole:
            assert whole.wait() == 0
        assert digest(here) == digest(undisturbed)


CLIENT = """
import asyncio, sys
from tidelog.errors import Busy
from tidelog.runtime import SystemRuntime
from tidelog.store.postgres.connection import address_of, connect

async def main():
    link = await connect(address_of(sys.argv[1]))
    await link.begin()
    await link.execute("SELECT pg_advisory_xact_lock(1)")
    print("locked", flush=True)
    sys.stdin.readline()
    try:
        await link.execute("SELECT 1")
    except Busy as error:
        print(error, flush=True)
    sys.stdin.readline()

asyncio.run(main())
"""


def test_client_and_server_notice_that_they_are_cut_off(three_hosts: Hosts) -> None:
    """Long before the limits of a call and of a lock, so that nobody else's wait for the lock ends in vain."""
    host = three_hosts.all[0]
    with running_postgres(also_at=three_hosts.gateway) as server, Sql(server.url()) as other:
        program = [*host.prefix, sys.executable, "-c", CLIENT, server.url().replace("127.0.0.1", three_hosts.gateway)]
        with subprocess.Popen(program, stdin=PIPE, stdout=PIPE, text=True, env=environment()) as client:
            try:
                assert client.stdin is not None
                assert client.stdout is not None
                assert client.stdout.readline() == "locked\n"
                host.pull()
                print("go on", file=client.stdin, flush=True)
                other.fetch("SET lock_timeout = '30s'")  # as tidelog has it
                other.fetch("SELECT pg_advisory_lock(1)")
                assert "cannot be reached" in client.stdout.readline()
            finally:
                client.kill()


LISTS = ("BTC/USD,ETH/USD;DOGE/USD,SOL/USD,ETH/BTC", "DOGE/USD,ETH/USD;BTC/USD,SOL/USD,ETH/BTC")


def test_shards_on_two_hosts_are_cut_off(tmp_path: Path, three_hosts: Hosts) -> None:
    """From exchange and store at once: who is cut off records again by itself, and symbols can move afterwards."""
    with running_postgres(also_at=three_hosts.gateway) as server:
        here = server.create_database()
        with Exchange(1, SYMBOLS, RATE) as served, Proxy(three_hosts.gateway) as way:
            market = Market(here, tmp_path, served)
            there = Market(
                here.replace("127.0.0.1", three_hosts.gateway), tmp_path, served, exchange=way.route(served.url)
            )
            first, second, _ = three_hosts.all

            @contextmanager
            def both(lists: str) -> Iterator[tuple[Running, Running]]:
                def shard(number: int, host: Host) -> Running:
                    options = ("--shard", f"{number}/2", "--shard-symbols", lists)
                    return there.running(*options, log=tmp_path / f"log-{number}", prefix=host.prefix)

                with shard(1, first) as one, shard(2, second) as two:
                    one.until(goes_on(market, market.ends(), 2), "frames in both journals")
                    yield one, two
                    assert (one.interrupt(), two.interrupt()) == (0, 0)

            def disconnections(recorder: Running) -> int:
                return len(recorder.events("disconnected"))

            with both(LISTS[0]) as (one, two):
                one.until(lambda: len(market.owners()) == len(SYMBOLS), "each symbol to be a shard's")
                one.until(goes_on(market, market.ends(), 2), "frames in both journals")
                second.pull()
                two.until(lambda: disconnections(two) > 0, "the second one to notice it")
                one.until(goes_on(market, market.ends(), 1), "frames of the first one, which does not")
                assert disconnections(one) == 0
                first.pull()
                one.until(lambda: disconnections(one) > 0, "the first one to notice it")
                second.plug()
                first.plug()
                one.until(goes_on(market, market.ends(), 2), "frames in both journals again")
            with both(LISTS[1]) as (one, _):
                moved = {"DOGE/USD": 1, "ETH/USD": 1, "BTC/USD": 2, "SOL/USD": 2, "ETH/BTC": 2}
                one.until(lambda: market.owners() == moved, "each symbol to be its shard's")
        market.judge()  # once the exchange stands still
