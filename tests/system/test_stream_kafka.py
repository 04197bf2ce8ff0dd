"""A chain's changes through a real Kafka broker: whoever is killed, whatever the topic loses, the follower that is
shipped ends equal to the store, and applied each change once."""

import json
import random
import shutil
from functools import partial
from pathlib import Path

import pytest

from tests.command import tidelog
from tests.kafka_broker import KafkaBroker
from tests.system.test_stream import UNTIL_S, folds_to_the_table, kill_everybody_in_turn, told, until
from tidelog.errors import Fenced

pytestmark = pytest.mark.timeout(600)


def test_through_kills_of_all_each_change_is_published_and_applied_once(tmp_path: Path, kafka: KafkaBroker) -> None:
    kill_everybody_in_turn(tmp_path, kafka, 20, 1)


@pytest.mark.torture
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(2, 4))
def test_through_hundreds_of_kills_each_change_is_applied_once(tmp_path: Path, kafka: KafkaBroker, seed: int) -> None:
    kill_everybody_in_turn(tmp_path, kafka, 200, seed, "--detail", "logs" if seed % 2 else "header")


def test_the_older_of_two_publishers_is_fenced(tmp_path: Path, kafka: KafkaBroker) -> None:
    rng = random.Random(3)
    with told(tmp_path, kafka.url) as story:
        older = story.running["publisher"]
        story.start("publisher")
        try:
            story.disturb(rng)
            story.moves("a reorg with two publishers")

            def has_ended() -> bool:  # once there is something to publish
                story.node.do(partial(story.node.tree.extend, 1))
                return older.process.poll() is not None

            until(has_ended, "the older one to end")
            assert older.process.returncode == Fenced.exit_code
            assert "has begun since" in story.log.read_text()
            assert story.running["publisher"].process.poll() is None
        finally:
            older.kill9()
        story.judge()
        folds_to_the_table(kafka.url, story.db)


def test_a_topic_that_is_gone_or_went_back_is_filled_again(tmp_path: Path, kafka: KafkaBroker) -> None:
    rng = random.Random(4)
    with told(tmp_path, kafka.url) as story:
        story.moves("the beginning")
        kafka.kill()
        shutil.copytree(kafka.folder, tmp_path / "copy")
        kafka.start()
        story.disturb(rng)
        story.moves("more blocks and a reorg")
        kafka.kill()
        kafka.lose()
        shutil.copytree(tmp_path / "copy", kafka.folder)
        kafka.start()
        story.moves("an older copy was restored")
        kafka.kill()
        kafka.lose()
        kafka.start()
        story.moves("the folder was deleted")
        story.judge()
        folds_to_the_table(kafka.url, story.db)
        assert story.resets() == 0


def test_read_prints_changes_from_a_place_on(tmp_path: Path, kafka: KafkaBroker) -> None:
    with told(tmp_path, kafka.url) as story:
        story.moves("the beginning")
        common = ("stream", "read", "--kafka", kafka.address, "--chain-id", "1337")
        done = tidelog(*common, "--count", "3", timeout_s=UNTIL_S)
        lines = [json.loads(line) for line in done.out.splitlines()]
        assert [line["seq"] for line in lines] == [1, 2, 3]
        done = tidelog(*common, "--count", "2", "--after", lines[2]["place"], timeout_s=UNTIL_S)
        assert [json.loads(line)["seq"] for line in done.out.splitlines()] == [4, 5]
        done = tidelog(*common, "--count", "1", "--after", "2001-01-01T00:00:00Z", timeout_s=UNTIL_S)
        assert [json.loads(line)["seq"] for line in done.out.splitlines()] == [1]
