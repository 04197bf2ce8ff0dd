"""A chain's changes to a real HTTP server: whoever is killed, whoever keeps ids has each change once, in order."""

import json
import random
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from tests.api.live.test_follower import CHAIN_ID
from tests.command import Running, tidelog
from tests.patience import HANGS_S
from tests.ports import reserved_port
from tests.simulated import Simulated
from tests.status import metric, readiness
from tests.system.sql import opened, position
from tests.system.test_stream import LIFE_S, REORG_DEPTH_MAX, until
from tests.webhook_receiver import SECRET, Answer, Receiver, receiving
from tidelog.sim.node.chain.tree import BlockTree

pytestmark = pytest.mark.timeout(600)


class Story:
    """A node, a sync, a publisher and a receiver."""

    def __init__(self, folder: Path, node: Simulated, receiver: Receiver, *options: str) -> None:
        self.node, self.receiver = node, receiver
        self.db, self.state, self.log = f"sqlite:///{folder}/chain.db", str(folder / "hook.state"), folder / "log"
        self._commands = {
            "sync": ("chain", "sync", "--rpc", node.url, "--db", self.db, "--follow", "--poll", "0.02"),
            "publisher": (
                "stream", "run", "--db", self.db, "--chain-id", str(CHAIN_ID), "--webhook", receiver.url,
                "--secret", SECRET, "--state", self.state, *options,
            ),
        }  # fmt: skip
        self.running: dict[str, Running] = {}

    def start(self, name: str) -> None:
        self.running[name] = Running(*self._commands[name], log=self.log)

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """As `until`, and everybody has to be alive meanwhile."""

        def look() -> bool:
            for name, running in self.running.items():
                assert running.process.poll() is None, f"{name} ended: {self.log.read_text()[-2_000:]}"
            return condition()

        until(look, what)

    def log_of_changes(self) -> list[tuple[str, int, str]]:
        """What somebody has who ignores ids that he knows."""
        known, found = set[str](), list[tuple[str, int, str]]()
        for request in list(self.receiver.requests):
            if request.id not in known:
                known.add(request.id)
                said = json.loads(request.body)
                assert said["seq"] == len(found) + 1, "in order, without a hole"
                found.append((said["kind"], said["number"], said["hash"]))
        return found

    def stored(self) -> list[tuple[str, int, str]]:
        with opened(self.db) as view:
            rows = view.rows(f"SELECT kind, number, hash FROM changes WHERE chain_id = {CHAIN_ID} ORDER BY seq")
        return [(kind, number, "0x" + block_hash.hex()) for kind, number, block_hash in rows]

    def is_level(self) -> bool:
        at = position(self.db, CHAIN_ID)
        is_head = at is not None and at["head_hash"] == "0x" + self.node.head_hash.hex()
        return is_head and self.log_of_changes() == self.stored()


@contextmanager
def told(folder: Path, *options: str) -> Iterator[Story]:
    with receiving() as receiver, Simulated(BlockTree(seed=7, blocks=20)) as node:
        story = Story(folder, node, receiver, *options)
        try:
            assert tidelog("chain", "sync", "--rpc", node.url, "--db", story.db).code == 0
            story.start("sync")
            story.start("publisher")
            until(lambda: bool(receiver.requests), "the first message")
            yield story
        finally:
            for each in story.running.values():
                each.kill9()


def kill_in_turn(folder: Path, kills: int, seed: int) -> None:
    rng = random.Random(seed)
    with told(folder) as story:
        for kill in range(kills):
            count = len(story.receiver.requests)
            if kill % 4 == 1:
                story.receiver.answer = lambda request: Answer(503)  # away while it is killed
            story.node.do(partial(story.node.tree.reorg, rng.randint(1, min(REORG_DEPTH_MAX, 8))))
            story.until(lambda count=count: len(story.receiver.requests) > count, f"a message before kill {kill}")  # type: ignore[misc]
            time.sleep(rng.uniform(0, LIFE_S))  # what is tested: any moment will do
            victim = "sync" if kill % 4 == 3 else "publisher"
            story.running[victim].kill9()
            story.receiver.answer = lambda request: Answer()
            story.start(victim)
        story.until(story.is_level, "the receiver to have all")


def test_through_kills_each_change_is_posted_and_known_once(tmp_path: Path) -> None:
    kill_in_turn(tmp_path, 20, 1)


@pytest.mark.torture
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(2, 4))
def test_through_hundreds_of_kills_each_change_is_known_once(tmp_path: Path, seed: int) -> None:
    kill_in_turn(tmp_path, 200, seed)


def test_the_lag_grows_while_the_receiver_is_away(tmp_path: Path) -> None:
    port = reserved_port()

    def lag() -> float | None:
        return metric(port, "tidelog_stream_lag_changes")

    with told(tmp_path, "--status", f"127.0.0.1:{port}") as story:
        until(story.is_level, "the receiver to have all")
        story.receiver.answer = lambda request: Answer(503)
        for _ in range(2):
            before = lag() or 0.0
            story.node.do(partial(story.node.tree.extend, 10))
            until(lambda before=before: (lag() or 0.0) >= before + 10, "the lag to grow with the store")  # type: ignore[misc]
        until(lambda: readiness(port) == (503, ["the stream's server does not answer"]), "the reason")
        story.receiver.answer = lambda request: Answer()
        until(lambda: readiness(port) == (200, []) and lag() == 0, "the receiver to have all again")


def test_what_is_refused_is_listed_and_sent_again(tmp_path: Path) -> None:
    with told(tmp_path) as story:
        until(story.is_level, "the receiver to have all")
        done = tidelog("stream", "aside", "--state", story.state)
        assert (done.code, done.out) == (0, "")
        story.running["publisher"].kill9()
        from tidelog.stream.port import Message
        from tidelog.stream.webhook.kept import Aside, Kept

        with Kept(story.state, f"chain {CHAIN_ID}") as kept:
            headers = {"Nats-Msg-Id": "c-1", "Tidelog-Place": "1", "Tidelog-Part": "1/1"}
            kept.put_aside(Aside("c-1", Message("s", headers, b"{}"), 1, 8, "it answers 400", False), None)
        done = tidelog("stream", "aside", "--state", story.state)
        assert json.loads(done.out) == {
            "id": "c-1", "subject": "s", "place": "1", "at": "1970-01-01T00:00:00+00:00", "failures": 8,
            "reason": "it answers 400", "due": False,
        }  # fmt: skip
        story.receiver.requests.clear()
        story.start("publisher")
        done = tidelog("stream", "resend", "--state", story.state, "c-1")
        assert (done.code, done.out) == (0, "1 messages will be sent again\n")
        until(lambda: story.receiver.ids == ["c-1"], "it to be sent again")
        until(lambda: not tidelog("stream", "aside", "--state", story.state).out, "it to be forgotten")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--webhook", "ftp://host"), "an endpoint URL must look like http://host or https://host"),
        (("--webhook", "http://host/canary-key-1"), "needs a secret"),
        (("--webhook", "http://host", "--secret", "canary-key-1"), "a webhook's secret is whsec_"),
        (("--webhook", "http://host", "--secret", SECRET), "needs a file for how far it is: --state"),
        (("--webhook", "http://host", "--secret", SECRET, "--state", "/no/such"), "/no/such.lock cannot be made"),
        (("--webhook", "http://host", "--kafka", "host:1"), "--webhook, --nats and --kafka: say one of them"),
        (
            ("--webhook", "http://host", "--secret", SECRET, "--state", "s", "--encoding", "msgpack"),
            "a webhook sends JSON",
        ),
    ],
)
def test_what_cannot_be_done_as_asked_is_one_sentence(few_blocks: str, arguments: tuple[str, ...], said: str) -> None:
    done = tidelog("stream", "run", "--db", few_blocks, *arguments, timeout_s=HANGS_S)
    assert done.code == 2, done.err
    assert said in done.err
    assert not re.search("Traceback|canary", done.err)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("aside", "--state", "/no/such"), "--state /no/such: there is no such file"),
        (("resend", "--state", "/no/such", "--all"), "--state /no/such: there is no such file"),
        (("resend", "--state", "/no/such"), "say which messages: their ids, or --all"),
        (("resend", "--state", "/no/such", "--all", "x"), "say which messages: their ids, or --all"),
    ],
)
def test_commands_say_what_is_missing(arguments: tuple[str, ...], said: str) -> None:
    done = tidelog("stream", *arguments)
    assert (done.code, said in done.err) == (2, True), done.err
