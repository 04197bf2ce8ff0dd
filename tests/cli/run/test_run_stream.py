"""`[[stream]]` under `tidelog run`: it publishes, comes back when it is killed, and says why it is not ready."""

import asyncio
import json
import os
import re
import signal
from collections.abc import Iterator
from contextlib import aclosing
from functools import partial
from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from tests.cli.test_mistakes import assert_one_sentence
from tests.command import Running, tidelog, until
from tests.nats_server import NatsServer
from tests.patience import HANGS_S
from tests.simulated import Simulated
from tests.system.test_market_kill import Exchange
from tests.webhook_receiver import SECRET
from tidelog.sim.node.chain.tree import BlockTree
from tidelog.stream import Change, changes, events

CHAIN_ID = 1337
WEBHOOK = f'url = "https://h/hooks"\nsecret = "{SECRET}"\nstate = "hook"'
FILE = """
[[chain]]
name = "sim"
rpc = ["{node}"]
jobs = 0
poll = "100ms"
[[market]]
name = "kraken"
symbols = ["BTC/USD"]
url = "{exchange}"
[[stream]]
name = "changes"
source = "sim"
nats = ["{nats}"]
[[stream]]
name = "trades"
source = "kraken"
nats = ["{nats}"]
events = ["trade", "gap"]
[api]
enabled = false
[run]
stop_timeout = "200s"
"""


@pytest.fixture
def system(tmp_path: Path, nats: NatsServer) -> Iterator[tuple[Running, Simulated, Path]]:
    with Simulated(BlockTree(seed=11, blocks=20)) as node, Exchange(5) as exchange:
        file = tmp_path / "tidelog.toml"
        file.write_text(FILE.format(node=node.url, exchange=exchange.url, nats=nats.url))
        with Running("run", "-c", str(file), log=tmp_path / "log") as run:
            try:
                yield run, node, file
            finally:
                if run.process.poll() is None:
                    run.interrupt()


async def read_change(nats: str, seq: int) -> None:
    async with asyncio.timeout(HANGS_S), aclosing(changes(nats, chain=CHAIN_ID)) as items:
        async for item in items:
            if isinstance(item, Change) and item.seq >= seq:
                return


async def read_event(nats: str) -> None:
    async with asyncio.timeout(HANGS_S), aclosing(events(nats)) as items:
        await anext(items)


def status(file: Path) -> tuple[int, str]:
    done = tidelog("status", "-c", str(file))
    return done.code, done.out


def test_a_stream_of_the_file_is_published_and_supervised(
    system: tuple[Running, Simulated, Path], nats: NatsServer
) -> None:
    run, node, file = system
    asyncio.run(read_change(nats.url, 20))
    asyncio.run(read_event(nats.url))
    run.until(lambda: status(file)[0] == 0, "readiness")
    pid = int((file.parent / "run" / "changes.lock").read_text())
    os.kill(pid, signal.SIGKILL)
    node.do(partial(node.tree.extend, 5))
    asyncio.run(read_change(nats.url, 25))
    nats.kill()
    until(lambda: "the stream's server does not answer" in status(file)[1], "the reason why it is not ready")
    assert status(file)[0] == 3
    nats.start()
    run.until(lambda: status(file)[0] == 0, "readiness again")
    assert run.interrupt() == 0


def test_a_file_with_a_stream_is_checked(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "t.toml"
    text = FILE.format(node="http://h", exchange="wss://h/v2", nats="nats://user:canary@h:4222")
    file.write_text(text)
    done = cli("config", "check", "-c", str(file))
    assert done.code == 0
    assert "changes: sim to nats://h:4222" in done.out
    shown = cli("config", "show", "--json", "-c", str(file))
    assert "canary" not in done.out + shown.out
    assert json.loads(shown.out)["values"]["stream"]["trades"]["events"] == ["trade", "gap"]
    file.write_text(text.replace('source = "sim"', 'source = "other"'))
    words = "stream.changes: there is no [[chain]] and no [[market]] called other"
    assert_one_sentence(cli("config", "check", "-c", str(file)), words)
    file.write_text(text.replace('name = "trades"', 'name = "sim"'))
    assert_one_sentence(cli("config", "check", "-c", str(file)), "two sources are called sim: give one another name")


@pytest.mark.parametrize(
    ("keys", "shown"),
    [
        ('kafka = "a:9092,b:9092"\nuser = "me"\npassword = "canary"', "a:9092,b:9092"),
        (f'url = "https://h/hooks/canary-key-1"\nsecret = "{SECRET}"\nstate = "hook"', "https://h/***"),
    ],
    ids=["kafka", "webhook"],
)
def test_a_stream_may_be_a_topic_or_a_webhook(cli: Cli, tmp_path: Path, keys: str, shown: str) -> None:
    file = tmp_path / "t.toml"
    file.write_text(
        FILE.format(node="http://h", exchange="wss://h/v2", nats="nats://h").replace('nats = ["nats://h"]', keys, 1)
    )
    done = cli("config", "check", "-c", str(file))
    assert (done.code, f"changes: sim to {shown}\n" in done.out) == (0, True), done.err
    shown_file = cli("config", "show", "--json", "-c", str(file))
    assert not re.search(f"canary|{SECRET}", done.out + shown_file.out)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ("", "say where it goes: nats, kafka, or url"),
        ('nats = ["nats://h"]\nkafka = "h:1"', "say where it goes: nats, kafka, or url"),
        ('kafka = "h"', "a Kafka broker is HOST:PORT, not 'h'"),
        ('kafka = "h:1"\nuser = "me"', "a Kafka user needs both a name and a password"),
        ('url = "https://h/hooks/canary-key-1"', "a webhook needs a secret, by which its receiver knows it: --secret"),
        ('url = "https://h"\nsecret = "canary"', "a webhook's secret is whsec_ and 24 to 64 bytes in Base64"),
        (f'url = "https://h"\nsecret = "{SECRET}"', "a webhook needs a file for how far it is: --state"),
        ('nats = ["nats://h"]\nstream = "a.b"', "a stream of NATS cannot be called 'a.b'"),
        ('nats = ["nats://h"]\nstream = ""', "a stream of NATS cannot be called ''"),
        ('nats = ["nats://h"]\nreplicas = 6', "a stream of NATS is on 1 to 5 servers, not on 6"),
        ('kafka = "h:1"\nstream = "a b"', "a topic of Kafka cannot be called 'a b'"),
    ],
)
def test_a_stream_that_goes_nowhere_is_one_sentence(cli: Cli, tmp_path: Path, keys: str, words: str) -> None:
    file = tmp_path / "t.toml"
    file.write_text(
        FILE.format(node="http://h", exchange="wss://h/v2", nats="nats://h").replace('nats = ["nats://h"]', keys, 1)
    )
    done = cli("config", "check", "-c", str(file))
    assert_one_sentence(done, f"stream.changes: {words}")
    assert "canary" not in done.err


@pytest.mark.parametrize("age", ["0", '"500ms"', "1.5"])
def test_an_age_is_whole_seconds(cli: Cli, tmp_path: Path, age: str) -> None:
    file = tmp_path / "t.toml"
    whole = FILE.format(node="http://h", exchange="wss://h/v2", nats="nats://h")
    file.write_text(whole.replace('nats = ["nats://h"]', f'nats = ["nats://h"]\nmax_age = {age}', 1))
    assert_one_sentence(cli("config", "check", "-c", str(file)), "max_age: give whole seconds, 1 or more")


@pytest.mark.parametrize(
    ("source", "keys", "words"),
    [
        ("sim", 'nats = ["nats://h"]\nframes = true', "frames is for a recording, not for a chain: leave it out"),
        ("sim", 'nats = ["nats://h"]\nevents = ["gap"]', "events is for a recording, not for a chain"),
        ("kraken", 'kafka = "h:1"\ndetail = "logs"', "detail is for a chain, not for a recording"),
        ("kraken", 'kafka = "h:1"\ntoken = "canary"', "token is for NATS, not for Kafka"),
        ("sim", 'nats = ["nats://h"]\npassword = "canary"', "password is for Kafka, not for NATS"),
        ("sim", 'nats = ["nats://h"]\nsecret = "canary"', "secret is for a webhook, not for NATS"),
        ("sim", f'{WEBHOOK}\nmax_bytes = "1GiB"', "max_bytes is for NATS or Kafka, not for a webhook"),
        ("kraken", f'{WEBHOOK}\ntls_ca = "f"', "tls_ca is for NATS or Kafka, not for a webhook"),
    ],
)
def test_a_key_that_would_do_nothing_is_refused(cli: Cli, tmp_path: Path, source: str, keys: str, words: str) -> None:
    file = tmp_path / "t.toml"
    whole = FILE.format(node="http://h", exchange="wss://h/v2", nats="nats://h")
    file.write_text(whole.replace('source = "sim"\nnats = ["nats://h"]', f'source = "{source}"\n{keys}', 1))
    done = cli("config", "check", "-c", str(file))
    assert_one_sentence(done, f"stream.changes.{words}")
    assert "canary" not in done.err


@pytest.mark.parametrize(
    ("source", "keys"),
    [
        ("sim", 'nats = ["nats://h"]\ndetail = "logs"\ndelivery = "final"\nreplicas = 3\ntoken = "canary"'),
        ("sim", f'{WEBHOOK}\ndetail = "logs"\nevents = ["trade", "book", "top", "candle", "proof", "gap"]'),
        ("kraken", 'kafka = "h:1"\nframes = true\nmax_age = "7d"\ntls = true\nsasl = "PLAIN"'),
        ("kraken", f'{WEBHOOK}\nevents = ["trade"]'),
    ],
)
def test_a_key_that_does_something_is_taken(cli: Cli, tmp_path: Path, source: str, keys: str) -> None:
    file = tmp_path / "t.toml"
    whole = FILE.format(node="http://h", exchange="wss://h/v2", nats="nats://h")
    file.write_text(whole.replace('source = "sim"\nnats = ["nats://h"]', f'source = "{source}"\n{keys}', 1))
    done = cli("config", "check", "-c", str(file))
    assert done.code == 0, done.err
