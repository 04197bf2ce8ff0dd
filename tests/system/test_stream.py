"""A chain's changes through a real NATS server: whoever is killed, whatever the stream loses, the follower that is
shipped ends equal to the store, and applied each change once."""

import asyncio
import json
import os
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.api.live.test_follower import CHAIN_ID, Follower, changes, judge, make
from tests.command import Running, tidelog
from tests.command import until as command_until
from tests.kafka_broker import KafkaBroker
from tests.nats_server import NatsServer
from tests.patience import HANGS_S
from tests.ports import reserved_port
from tests.simulated import Simulated
from tests.status import metric, readiness
from tests.system.sql import opened, position
from tidelog.errors import Unreachable
from tidelog.sim.node.chain.tree import BlockTree
from tidelog.stream import Change
from tidelog.stream import changes as stream_changes
from tidelog.stream.envelope import part_of
from tidelog.stream.jetstream import JetStream
from tidelog.stream.kafka.login import SCHEME
from tidelog.stream.kafka.transport import Kafka
from tidelog.stream.port import Stored, StreamSettings
from tidelog.telemetry.stream import BEHIND_CHANGES

EXAMPLE = Path(__file__).parents[2] / "examples" / "stream_follower.py"
REORG_DEPTH_MAX = 20
LIFE_S = 0.1  # of a process after the chain was changed: the change is on its way through all of them
LOOK_S = 0.05
UNTIL_S = HANGS_S

pytestmark = pytest.mark.timeout(600)


def until(condition: Callable[[], bool], what: str) -> None:
    def look() -> bool:
        time.sleep(LOOK_S)
        return condition()

    command_until(look, what, timeout_s=UNTIL_S)


class StreamFollower(Follower):
    """The example that reads a stream."""

    def __init__(self, servers: Sequence[str], path: Path, log: Path) -> None:
        super().__init__(servers[0], path, log)
        where = [word for server in servers for word in ("--server", server)]
        self._command = [sys.executable, str(EXAMPLE), *where, "--chain", str(CHAIN_ID), "--db", str(path)]


def flags(servers: Sequence[str]) -> tuple[str, ...]:
    """Of commands, that say where the stream is."""
    name = "--kafka" if servers[0].startswith(SCHEME) else "--nats"
    return tuple([word for server in servers for word in (name, server.removeprefix(SCHEME))])


def times_away(log: Path, source: str) -> int:
    """How often the publisher of a source has said that its stream is away. A reader names no source."""
    return sum(1 for line in log.read_text().splitlines() if "stream_away" in line and source in line)


class Story:
    """A node, a sync, a publisher, a NATS server (or several of one cluster) or a Kafka broker, and a follower."""

    def __init__(self, folder: Path, node: Simulated, servers: Sequence[str], *options: str) -> None:
        self.node = node
        self.path = folder / "chain.db"
        self.db = f"sqlite:///{self.path}"
        self.log = folder / "log"
        self.follower = StreamFollower(servers, folder / "followed.db", folder / "follower.log")
        self._commands = {
            "sync": ("chain", "sync", "--rpc", node.url, "--db", self.db, "--follow", "--poll", "0.02"),
            "publisher": ("stream", "run", *flags(servers), "--db", self.db, "--chain-id", str(CHAIN_ID), *options),
        }
        self.running: dict[str, Running] = {}

    def start(self, name: str) -> None:
        if name == "follower":
            self.follower.start()
        else:
            self.running[name] = Running(*self._commands[name], log=self.log)

    def kill9(self, name: str) -> None:
        if name == "follower":
            self.follower.kill9()
        else:
            self.running[name].kill9()

    def begin(self) -> None:
        asyncio.run(make(self.db))
        self.start("sync")
        until(lambda: changes(self.db) > 0, "a commit")
        self.start("publisher")
        self.start("follower")
        until(lambda: self.seq > 0, "the first change")

    @property
    def seq(self) -> int:
        return self.follower.position()[0]

    def disturb(self, rng: random.Random) -> None:
        """A reorg, and blocks."""
        self.node.do(partial(self.node.tree.reorg, rng.randint(1, REORG_DEPTH_MAX)))
        time.sleep(rng.uniform(0, LIFE_S))  # what is tested: any moment will do

    def moves(self, why: str) -> None:
        """The follower continues: it has all that the store has, and then some more."""
        self.node.do(partial(self.node.tree.extend, 2))
        until(self.is_level, f"the follower to have all after {why}")

    def is_level(self) -> bool:
        at = position(self.db, CHAIN_ID)
        assert self.follower.process is not None
        assert self.follower.process.poll() is None, self.follower_log[-2_000:]
        return at is not None and self.is_head(at) and self.seq == int(at["changes"])  # of one moment

    def is_synced(self) -> bool:
        at = position(self.db, CHAIN_ID)
        return at is not None and self.is_head(at)

    def is_head(self, at: dict[str, Any]) -> bool:
        """Whether a checkpoint's position is at the node's head."""
        return bool(at["head_hash"] == "0x" + self.node.head_hash.hex())

    def judge(self) -> None:
        until(self.is_level, "the follower to have all")
        judge(self.follower, self.db)

    @property
    def follower_log(self) -> str:
        return (self.path.parent / "follower.log").read_text()

    def resets(self) -> int:
        with closing(sqlite3.connect(self.follower.path, timeout=10)) as file:
            (count,) = file.execute("SELECT resets FROM position").fetchone()
        return int(count)


@contextmanager
def told(folder: Path, nats: str | Sequence[str], *options: str, seed: int = 0) -> Iterator[Story]:
    with Simulated(BlockTree(seed=seed, blocks=60)) as node:
        story = Story(folder, node, [nats] if isinstance(nats, str) else nats, *options)
        try:
            story.begin()
            yield story
        finally:
            story.follower.kill9()
            for each in story.running.values():
                each.kill9()


async def _stored(nats: str) -> list[Stored]:
    settings = StreamSettings(f"tidelog-chain-{CHAIN_ID}", f"tidelog.chain.{CHAIN_ID}")
    transport = Kafka([nats], settings) if nats.startswith(SCHEME) else JetStream([nats], settings)
    async with transport.connect() as session:
        ends = await session.ends()
        assert ends is not None
        found: list[Stored] = []
        async for each in session.read(ends.first):
            found += each
            if found and found[-1].sequence >= ends.last:
                break
        return found


async def _patiently_stored(nats: str) -> list[Stored]:
    """A cluster that has just got its servers back may not answer at once."""
    async with asyncio.timeout(UNTIL_S):
        while True:
            try:
                return await _stored(nats)
            except Unreachable:
                await asyncio.sleep(LOOK_S)


def folds_to_the_table(nats: str, db: str) -> None:
    """The stream by itself, from its first message to its last, gives the changes of the store."""
    place, log = "0", list[tuple[str, int, str]]()
    for stored in asyncio.run(_patiently_stored(nats)):
        assert stored.headers["Tidelog-After"] == place, "each message continues the one before"
        part = part_of(stored)
        if not part.is_last:
            continue
        is_packed = stored.headers["Content-Type"] == "application/msgpack"
        said = msgspec.msgpack.decode(stored.payload) if is_packed else json.loads(stored.payload)
        place = stored.headers["Tidelog-Place"]
        if said["kind"] == "reset":
            assert said["seq"] < len(log)
            del log[said["seq"] :]
        else:
            assert said["seq"] == len(log) + 1
            log.append((said["kind"], said["number"], said["hash"]))
    with opened(db) as view:
        rows = view.rows(f"SELECT kind, number, hash FROM changes WHERE chain_id = {CHAIN_ID} ORDER BY seq")
    assert log == [(kind, number, "0x" + block_hash.hex()) for kind, number, block_hash in rows]


# -- kills ----------------------------------------------------------------------------------------------------------


def kill_everybody_in_turn(folder: Path, nats: NatsServer | KafkaBroker, kills: int, seed: int, *options: str) -> None:
    rng = random.Random(seed)
    with told(folder, nats.url, *options, seed=seed) as story:
        for kill in range(kills):
            story.disturb(rng)
            victim = ("publisher", "nats", "follower", "sync")[kill % 4]
            if victim == "nats":
                nats.restart()
            else:
                story.kill9(victim)
                story.start(victim)
            if kill % 4 == 3:
                story.moves(f"{victim} was killed")
        story.judge()
        folds_to_the_table(nats.url, story.db)
        assert story.resets() == 0


def test_through_kills_of_all_each_change_is_published_and_applied_once(tmp_path: Path, nats: NatsServer) -> None:
    kill_everybody_in_turn(tmp_path, nats, 20, 1)


def test_through_kills_with_logs_too(tmp_path: Path, nats: NatsServer) -> None:
    kill_everybody_in_turn(tmp_path, nats, 4, 2, "--detail", "logs", "--encoding", "msgpack")


@pytest.mark.torture
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(3, 6))
def test_through_hundreds_of_kills_each_change_is_applied_once(tmp_path: Path, nats: NatsServer, seed: int) -> None:
    kill_everybody_in_turn(tmp_path, nats, 200, seed, "--detail", "logs" if seed % 2 else "header")


def test_two_publishers_of_a_store_publish_each_change_once(tmp_path: Path, nats: NatsServer) -> None:
    rng = random.Random(3)
    with told(tmp_path, nats.url) as story:
        first = story.running["publisher"]
        story.start("publisher")  # another one, beside it
        try:
            for _ in range(4):
                story.disturb(rng)
                story.moves("a reorg with two publishers")
            assert first.process.poll() is None
        finally:
            first.kill9()
        story.judge()
        folds_to_the_table(nats.url, story.db)


# -- final blocks ---------------------------------------------------------------------------------------------------


async def read_final(nats: str, last: int) -> list[tuple[int, int, str]]:
    found: list[tuple[int, int, str]] = []
    async with asyncio.timeout(UNTIL_S), aclosing(stream_changes(nats, chain=CHAIN_ID, final=True)) as items:
        async for item in items:
            assert isinstance(item, Change)
            assert item.kind == "apply"
            assert item.block is not None
            found.append((item.seq, item.number, item.hash))
            if item.number >= last:
                return found
    raise AssertionError


def test_final_blocks_come_once_in_order_without_reverts(tmp_path: Path, nats: NatsServer) -> None:
    rng = random.Random(6)
    final = ("stream", "run", "--nats", nats.url, "--chain-id", str(CHAIN_ID), "--delivery", "final")
    with told(tmp_path, nats.url) as story:
        command = (*final, "--db", story.db)
        for life in range(4):
            with Running(*command, log=tmp_path / "final"):
                story.disturb(rng)
                story.node.do(partial(story.node.tree.extend, 10))
                story.moves("a reorg and blocks")
                at = position(story.db, CHAIN_ID)
                assert at is not None
                last = int(at["finalized"])
                found = asyncio.run(read_final(nats.url, last))
            if life == 2:
                nats.kill()
                nats.lose()
                nats.start()
        with opened(story.db) as view:
            rows = view.rows(f"SELECT number, hash FROM blocks WHERE chain_id = {CHAIN_ID} ORDER BY number")
        blocks = [(number + 1, number, "0x" + block_hash.hex()) for number, block_hash in rows]
        assert found == blocks[: len(found)]
        assert found[-1][1] == last > 0


# -- what becomes of the stream ---------------------------------------------------------------------------------------


def test_a_stream_whose_folder_is_deleted_is_filled_again(tmp_path: Path, nats: NatsServer) -> None:
    with told(tmp_path, nats.url) as story:
        story.moves("the beginning")
        nats.kill()
        nats.lose()
        nats.start()
        story.moves("the folder was deleted")
        story.judge()
        folds_to_the_table(nats.url, story.db)
        assert story.resets() == 0


@pytest.mark.parametrize("are_down", [False, True], ids=["while they run", "while they are down"])
def test_an_older_copy_of_the_streams_folder(tmp_path: Path, nats: NatsServer, are_down: bool) -> None:
    rng = random.Random(4)
    with told(tmp_path, nats.url) as story:
        story.moves("the beginning")
        nats.kill()
        shutil.copytree(nats.folder, tmp_path / "copy")
        nats.start()
        story.disturb(rng)
        story.moves("more blocks and a reorg")
        if are_down:
            story.kill9("publisher")
            story.kill9("follower")
        nats.kill()
        nats.lose()
        shutil.copytree(tmp_path / "copy", nats.folder)
        nats.start()
        if are_down:
            story.start("follower")
            story.start("publisher")
        story.moves("an older copy was restored")
        story.judge()
        folds_to_the_table(nats.url, story.db)
        assert story.resets() == 0


def test_a_stream_whose_last_block_is_cut(tmp_path: Path, nats: NatsServer) -> None:
    with told(tmp_path, nats.url) as story:
        story.moves("the beginning")
        nats.kill()
        block = max(nats.folder.rglob("msgs/*.blk"), key=lambda path: path.stat().st_size)
        os.truncate(block, block.stat().st_size * 2 // 3)
        nats.start()
        story.moves("the last block was cut")
        story.judge()
        folds_to_the_table(nats.url, story.db)


def test_the_lag_grows_while_the_server_is_away(tmp_path: Path, nats: NatsServer) -> None:
    port = reserved_port()

    def lag() -> float:
        return metric(port, "tidelog_stream_lag_changes") or 0.0

    with told(tmp_path, nats.url, "--status", f"127.0.0.1:{port}") as story:
        story.moves("the beginning")
        nats.kill()
        story.node.do(partial(story.node.tree.extend, 2 * BEHIND_CHANGES))
        until(lambda: lag() > BEHIND_CHANGES, "the lag to grow with the store")
        until(lambda: len(readiness(port)[1]) == 2, "both reasons")  # of a request that has its time to fail, too
        code, (away, behind) = readiness(port)
        assert (code, away) == (503, "the stream's server does not answer")
        assert re.fullmatch(r"the stream is \d+ changes behind the store: 1000 may be missing", behind)
        until(story.is_synced, "the sync, which does not notice")

        story.kill9("publisher")
        story.start("publisher")
        until(lambda: (metric(port, "tidelog_stream_stored_seq") or 0) > 2 * BEHIND_CHANGES, "its first look")
        assert lag() == 0, "what the stream has is not known yet"
        story.node.do(partial(story.node.tree.extend, 10))
        until(lambda: lag() == 10, "the lag to grow from there on")

        nats.start()
        story.moves("the server is back")
        until(lambda: readiness(port) == (200, []), "its readiness")
        assert lag() == 0
        story.judge()
        folds_to_the_table(nats.url, story.db)


def test_a_store_that_went_back_is_told_and_followers_end_equal(tmp_path: Path, nats: NatsServer) -> None:
    rng = random.Random(5)
    with told(tmp_path, nats.url) as story:
        story.moves("the beginning")
        story.kill9("sync")
        copy = tmp_path / "copy.db"
        with closing(sqlite3.connect(story.path)) as store, closing(sqlite3.connect(copy)) as target:
            store.backup(target)
        story.start("sync")
        story.disturb(rng)
        story.moves("what the copy does not have")
        story.kill9("sync")
        story.kill9("publisher")
        for suffix in ("", "-wal", "-shm"):
            Path(f"{story.path}{suffix}").unlink(missing_ok=True)
        shutil.copy(copy, story.path)
        story.disturb(rng)
        story.start("sync")
        until(lambda: changes(story.db) > 0 and changes(story.db) != story.seq, "the restored store to go on")
        story.start("publisher")
        story.moves("the store went back")
        with closing(sqlite3.connect(story.follower.path, timeout=10)) as file:
            assert file.execute("SELECT seq, applied FROM position").fetchone()[0] == changes(story.db)
        judge(story.follower, story.db)
        folds_to_the_table(nats.url, story.db)
        assert story.resets() == 1


def test_a_cluster_loses_one_server_then_two_and_has_all_again(
    tmp_path: Path, nats_cluster: Sequence[NatsServer]
) -> None:
    servers, urls = nats_cluster, [server.url for server in nats_cluster]
    with told(tmp_path, urls, "--replicas", "3") as story:
        story.moves("the beginning")
        servers[2].kill()
        story.moves("one of three servers is away")
        before = times_away(story.log, f"chain {CHAIN_ID}")  # of the first one, if it led
        servers[1].kill()
        story.node.do(partial(story.node.tree.extend, 5))
        until(lambda: times_away(story.log, f"chain {CHAIN_ID}") > before, "the publisher to say that it is away")
        until(story.is_synced, "the sync, which does not notice")
        assert not story.is_level()
        servers[1].start()
        servers[2].start()
        story.moves("all are there again")
        story.judge()
        folds_to_the_table(urls[0], story.db)


# -- commands ---------------------------------------------------------------------------------------------------------


def test_read_prints_changes_from_a_place_on(tmp_path: Path, nats: NatsServer) -> None:
    with told(tmp_path, nats.url) as story:
        story.moves("the beginning")
        common = ("stream", "read", "--nats", nats.url, "--chain-id", str(CHAIN_ID))
        done = tidelog(*common, "--count", "3", timeout_s=UNTIL_S)
        lines = [json.loads(line) for line in done.out.splitlines()]
        assert [line["seq"] for line in lines] == [1, 2, 3]
        assert lines[0]["block"]["number"] == 0
        done = tidelog(*common, "--count", "2", "--after", lines[2]["place"], timeout_s=UNTIL_S)
        assert [json.loads(line)["seq"] for line in done.out.splitlines()] == [4, 5]
        done = tidelog(*common, "--count", "1", "--after", "2001-01-01T00:00:00Z", timeout_s=UNTIL_S)
        assert [json.loads(line)["seq"] for line in done.out.splitlines()] == [1]
        with Running(*common, "--count", "1", "--after", "now", log=tmp_path / "now", stdout=subprocess.PIPE) as now:
            assert now.process.stdout is not None
            seqs = list[int]()
            while now.process.poll() is None:
                story.node.do(partial(story.node.tree.extend, 1))
                time.sleep(LOOK_S)
            with now.process.stdout as out:
                seqs += [json.loads(line)["seq"] for line in out]
            assert seqs[0] > 60


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--nats", "http://127.0.0.1:1"), "an endpoint URL must look like nats://host or tls://host"),
        (("--nats", "nats://127.0.0.1:1", "--creds", "/no/such.creds"), "--creds /no/such.creds: No such file"),
        (("--nats", "nats://127.0.0.1:1", "--tls-ca", "/no/such.pem"), "the TLS files cannot be used"),
        (("--nats", "nats://127.0.0.1:1", "--replicas", "0"), "--replicas 0: give 1 or more"),
        ((), "say where the stream is: --nats, or --kafka"),
        (("--kafka", "127.0.0.1"), "a Kafka broker is HOST:PORT, not '127.0.0.1'"),
        (("--kafka", "127.0.0.1:1", "--user", "me"), "a Kafka user needs both a name and a password"),
        (("--kafka", "127.0.0.1:1", "--nats", "nats://127.0.0.1:1"), "say where the stream is: --nats, or --kafka"),
        (("--nats", "nats://127.0.0.1:1", "--user", "me"), "are for --kafka"),
    ],
)
def test_what_cannot_be_done_as_asked_is_one_sentence(few_blocks: str, arguments: tuple[str, ...], said: str) -> None:
    done = tidelog("stream", "run", "--db", few_blocks, *arguments, timeout_s=UNTIL_S)
    assert done.code == 2, done.err
    assert said in done.err
    assert "Traceback" not in done.err


def test_a_stream_of_others_is_left_alone(few_blocks: str, nats: NatsServer) -> None:
    asyncio.run(make_streams(nats.url))
    command = ("stream", "run", "--db", few_blocks, "--nats", nats.url, "--stream")
    done = tidelog(*command, "other", timeout_s=UNTIL_S)
    assert (done.code, "the stream other takes other.> instead of tidelog.chain.1337.>" in done.err) == (2, True)
    done = tidelog(*command, "foreign", timeout_s=UNTIL_S)
    assert (done.code, "message 1 of the stream is not tidelog's" in done.err) == (2, True)


async def make_streams(url: str) -> None:
    """One with other subjects, and one with ours in which somebody else has a message."""
    from nats import connect
    from nats.js.api import StorageType

    client = await connect(url)
    try:
        js = client.jetstream()
        await js.add_stream(name="other", subjects=["other.>"], storage=StorageType.FILE)
        await js.add_stream(name="foreign", subjects=["tidelog.chain.1337.>"], storage=StorageType.FILE)
        await js.publish("tidelog.chain.1337.apply", b"hello")
    finally:
        await client.close()


def test_a_server_that_wants_a_token_gets_it_and_never_shows_it(tmp_path: Path) -> None:
    from tests.conftest import running_nats

    with running_nats('authorization { token: "canary-key-1" }') as server:
        db = f"sqlite:///{tmp_path}/chain.db"
        asyncio.run(make(db))
        with Simulated(BlockTree(seed=1, blocks=2)) as node:
            assert tidelog("chain", "sync", "--rpc", node.url, "--db", db).code == 0
        command = ("stream", "run", "--db", db, "--nats", server.url)
        done = tidelog(*command, timeout_s=UNTIL_S)
        assert (done.code, "refuses the credentials" in done.err) == (2, True)
        done = tidelog(*command, "--token", "canary-key-2", timeout_s=UNTIL_S)
        assert done.code == 2
        assert "canary-key" not in done.err
        read = ("stream", "read", "--chain-id", str(CHAIN_ID), "--nats", server.url, "--count", "3")
        with Running(*command, "--token", "canary-key-1", log=tmp_path / "log"):
            done = tidelog(*read, env={"TIDELOG_NATS_TOKEN": "canary-key-1"}, timeout_s=UNTIL_S)
        assert len(done.out.splitlines()) == 3
        assert "canary-key" not in (tmp_path / "log").read_text()
