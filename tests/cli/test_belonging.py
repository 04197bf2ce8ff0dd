"""Options that are for another source or destination: each is refused by a sentence, and none that does something."""

import shlex
from typing import Any

import msgspec
import pytest

from tests.cli.conftest import Cli
from tests.cli.test_mistakes import assert_one_sentence
from tests.webhook_receiver import SECRET
from tidelog.cli.run.file.streams import StreamSettings
from tidelog.cli.stream import running
from tidelog.cli.stream.belonging import OWNERS

TO_NATS, TO_KAFKA = "--nats nats://host:4222", "--kafka host:9092"
TO_WEBHOOK = f"--webhook https://host/x --secret {SECRET} --state s"
VARIABLES = ("NATS", "NATS_TOKEN", "KAFKA", "KAFKA_USER", "KAFKA_PASSWORD", "WEBHOOK_SECRET")


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was to be published or read; nothing is."""
    asked: list[Any] = []
    for name in VARIABLES:
        monkeypatch.delenv(f"TIDELOG_{name}", raising=False)

    def note(*arguments: Any) -> int:
        asked.append(arguments)
        return 0

    for name in ("publish", "print_chain", "print_recording"):
        monkeypatch.setattr(running, name, note)
    return asked


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (f"run {TO_NATS} --frames", "--frames is for a recording, not for a chain: leave it out"),
        (f"run {TO_NATS} --events trade", "--events is for a recording, not for a chain"),
        (f"run {TO_NATS} --recording x", "--recording is for a recording, not for a chain"),
        (f"run {TO_NATS} --journal j --detail logs", "--detail is for a chain, not for a recording"),
        (f"run {TO_NATS} --journal j --db d.db", "--db is for a chain, not for a recording"),
        (
            f"run {TO_NATS} --journal j --frames --events trade",
            "--frames publishes every record as it is: leave --events out",
        ),
        (f"run {TO_KAFKA} --journal j --delivery final", "--delivery is for a chain, not for a recording"),
        *(
            (f"run {TO_WEBHOOK} {option}", f"{option.split()[0]} is for NATS or Kafka, not for a webhook: leave it out")
            for option in (
                *("--stream s", "--replicas 3", "--max-bytes 9", "--max-age 9"),
                *("--tls-ca f", "--tls-cert f", "--tls-key f"),
            )
        ),
        *(
            (f"run {TO_WEBHOOK} {option}", f"{option.split()[0]} is for Kafka, not for a webhook: leave it out")
            for option in ("--user u", "--password p", "--sasl SCRAM-SHA-256", "--tls")
        ),
        *(
            (f"run {TO_WEBHOOK} {option}", f"{option.split()[0]} is for NATS, not for a webhook: leave it out")
            for option in ("--creds f", "--nkey f", "--token t")
        ),
        (f"run {TO_KAFKA} --token t", "--token is for NATS, not for Kafka"),
        (f"run {TO_NATS} --secret {SECRET}", "--secret is for a webhook, not for NATS: leave it out"),
        (f"run {TO_KAFKA} --state s", "--state is for a webhook, not for Kafka"),
        (f"read {TO_NATS} --chain-id 1 --frames", "--frames is for a recording, not for a chain"),
        (f"read {TO_NATS} --chain-id 1 --shard 3", "--shard is for a recording, not for a chain"),
        (f"read {TO_KAFKA} --recording r --final", "--final is for a chain, not for a recording"),
        (f"read {TO_KAFKA} --recording r --token t", "--token is for NATS, not for Kafka"),
    ],
)
def test_an_option_that_would_do_nothing_is_refused(cli: Cli, begun: list[Any], command: str, said: str) -> None:
    assert_one_sentence(cli("stream", *shlex.split(command)), said)
    assert not begun


@pytest.mark.parametrize(
    "command",
    [
        f"run {TO_NATS} --nats nats://other --chain-id 1 --detail events --delivery final",
        f"run {TO_NATS} --encoding msgpack --stream s --replicas 3 --max-bytes 9 --max-age 9",
        f"run {TO_NATS} --token t --tls-ca f --tls-cert f --tls-key f",
        f"run {TO_NATS} --journal j --recording r --events trade,top --stream s",
        f"run {TO_NATS} --journal j --frames",
        f"run {TO_NATS} --recording kraken --replicas 1 --sasl PLAIN",  # as the default is
        f"run {TO_KAFKA} --user u --password p --sasl SCRAM-SHA-256 --tls --tls-ca f --stream s --max-age 9",
        f"run {TO_WEBHOOK} --chain-id 1 --detail logs --delivery final",
        f"run {TO_WEBHOOK} --journal j --recording r --events trade",
        f"read {TO_NATS} --chain-id 1 --final --stream s --durable d --count 1 --creds f",
        f"read {TO_KAFKA} --recording r --frames --shard 2 --user u --password p --tls",
    ],
)
def test_an_option_that_does_something_is_taken(cli: Cli, begun: list[Any], command: str) -> None:
    done = cli("stream", *shlex.split(command))
    assert (done.code, len(begun)) == (0, 1), done.err


def test_what_the_environment_has_is_for_other_commands_too(
    cli: Cli, begun: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDELOG_WEBHOOK_SECRET", SECRET)
    monkeypatch.setenv("TIDELOG_NATS_TOKEN", "t")
    monkeypatch.setenv("TIDELOG_DB", "sqlite:///other.db")
    assert cli("stream", "run", "--journal", "j", *shlex.split(TO_NATS)).code == 0
    for destination in (TO_NATS, TO_KAFKA, TO_WEBHOOK):
        assert cli("stream", "run", *shlex.split(destination)).code == 0
    monkeypatch.setenv("TIDELOG_KAFKA_USER", "u")
    monkeypatch.setenv("TIDELOG_KAFKA_PASSWORD", "p")
    for destination in (TO_KAFKA, TO_WEBHOOK):
        assert cli("stream", "run", *shlex.split(destination)).code == 0


def test_each_option_of_the_table_is_one() -> None:
    keys = {field.name for field in msgspec.structs.fields(StreamSettings)}
    assert set(OWNERS) - keys == {"db", "recording", "final", "shard"}  # of the command line alone
    assert keys - set(OWNERS) == {"name", "source", "nats", "kafka", "url", "encoding"}  # for all, or they say which
