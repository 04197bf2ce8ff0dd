"""A reader by name on a real NATS server: the server keeps its place, through kills of it and of the server, and
through all that becomes of the stream."""

import json
import os
import random
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.api.live.test_follower import CHAIN_ID, changes
from tests.command import Running, tidelog
from tests.nats_server import NatsServer
from tests.system.test_stream import UNTIL_S, Story, told, until

NAME = "billing"
AGAIN_MAX = 64  # changes whose turn had ended and that come again after kill -9: what one acknowledgement takes

pytestmark = pytest.mark.timeout(600)


class Reader:
    """`stream read --durable`, whose lines are kept by life."""

    def __init__(self, story: Story, nats: str) -> None:
        self._story = story
        self._command = ("stream", "read", "--nats", nats, "--chain-id", str(CHAIN_ID), "--durable", NAME)
        self._folder = story.path.parent
        self._lives = 0
        self.running: Running | None = None

    def start(self) -> None:
        self._lives += 1
        out = self._path(self._lives).open("wb")
        self.running = Running(*self._command, log=self._folder / "reader.log", stdout=out.fileno())
        out.close()

    def kill9(self) -> None:
        assert self.running is not None
        self.running.kill9()

    def _path(self, life: int) -> Path:
        return self._folder / f"read.{life}"

    @property
    def lives(self) -> list[list[dict[str, Any]]]:
        """What each life was given: whole lines."""
        texts = [self._path(life).read_bytes().rpartition(b"\n")[0] for life in range(1, self._lives + 1)]
        return [[json.loads(line) for line in text.splitlines()] for text in texts]

    def is_level(self) -> bool:
        lives = [life for life in self.lives if life]
        return bool(lives) and lives[-1][-1]["seq"] == changes(self._story.db)

    def judge(self, again_max: int) -> None:
        """In each life the changes come in order, and each begins where the one before ended."""
        last = 0
        for life in self.lives:
            seqs = [item["seq"] for item in life]
            if seqs:
                assert last - again_max <= seqs[0] - 1 <= last, (last, seqs[0])
                assert seqs == list(range(seqs[0], seqs[-1] + 1))
                last = max(last, seqs[-1])
        assert last == changes(self._story.db)


def play(folder: Path, nats: NatsServer, steps: Callable[[Story, Reader], None], *, again_max: int = 0) -> None:
    with told(folder, nats.url) as story:
        reader = Reader(story, nats.url)
        reader.start()
        try:
            steps(story, reader)
            story.moves("all of it")
            until(reader.is_level, "the reader by name to have all")
            reader.judge(again_max)
        finally:
            reader.kill9()


def test_it_goes_on_through_kills_of_it_and_of_the_server(tmp_path: Path, nats: NatsServer) -> None:
    rng = random.Random(11)

    def steps(story: Story, reader: Reader) -> None:
        for kill in range(12):
            story.disturb(rng)
            if kill % 3 == 2:
                nats.restart()
            else:
                reader.kill9()
                reader.start()

    play(tmp_path, nats, steps, again_max=AGAIN_MAX)


@pytest.mark.parametrize("loss", ["the folder is deleted", "the last block is cut", "an older copy is restored"])
def test_a_stream_that_went_back_is_gone_on_with_by_seq(tmp_path: Path, nats: NatsServer, loss: str) -> None:
    rng = random.Random(12)

    def steps(story: Story, reader: Reader) -> None:
        story.moves("the beginning")
        until(reader.is_level, "the reader by name to have the beginning")
        nats.kill()
        shutil.copytree(nats.folder, tmp_path / "copy")
        nats.start()
        story.disturb(rng)
        story.moves("a reorg and blocks")
        until(reader.is_level, "the reader by name to have them")
        nats.kill()
        if loss == "the last block is cut":
            blocks = [path for path in nats.folder.rglob("msgs/*.blk") if "tidelog-places" not in path.parts]
            block = max(blocks, key=lambda path: path.stat().st_size)
            os.truncate(block, block.stat().st_size * 2 // 3)
        else:
            nats.lose()
            if loss == "an older copy is restored":
                shutil.copytree(tmp_path / "copy", nats.folder)
        nats.start()
        story.disturb(rng)
        story.moves(loss)

    play(tmp_path, nats, steps)


def test_it_begins_where_it_is_told_once_and_ends_where_its_last_turn_did(tmp_path: Path, nats: NatsServer) -> None:
    with told(tmp_path, nats.url) as story:
        story.moves("the beginning")
        common = ("stream", "read", "--nats", nats.url, "--chain-id", str(CHAIN_ID), "--durable")

        def seqs(name: str, *options: str) -> list[int]:
            done = tidelog(*common, name, *options, timeout_s=UNTIL_S)
            assert done.code == 0, done.err
            return [json.loads(line)["seq"] for line in done.out.splitlines()]

        assert seqs("from-seq", "--after", "20", "--count", "3") == [21, 22, 23]
        assert seqs("from-seq", "--after", "20", "--count", "3") == [24, 25, 26]
        nats.restart()
        assert seqs("from-seq", "--count", "1") == [27]
        assert seqs("from-time", "--after", "2001-01-01T00:00:00Z", "--count", "2") == [1, 2]
        assert seqs("from-time", "--after", "now", "--count", "2") == [3, 4]
        done = tidelog(*common, "a.b", timeout_s=UNTIL_S)
        assert (done.code, "the durable name 'a.b': give letters, digits" in done.err) == (2, True)


def test_two_readers_of_one_name_are_told(tmp_path: Path, nats: NatsServer) -> None:
    with told(tmp_path, nats.url) as story:
        reader = Reader(story, nats.url)
        reader.start()
        until(reader.is_level, "the reader by name to have all")
        earlier = reader.running
        assert earlier is not None
        reader.start()
        try:

            def has_ended() -> bool:
                story.node.do(partial(story.node.tree.extend, 1))
                return earlier.process.poll() is not None

            until(has_ended, "the first one to end")
            assert earlier.process.returncode == 2
            assert "another process reads stream tidelog-chain-1337" in (tmp_path / "reader.log").read_text()
        finally:
            reader.kill9()
