"""`tidelog serve` and `tidelog token` as commands, and a server beside a sync that commits as fast as it can."""

import asyncio
import http.client
import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.api.served import CHAIN, Filled, Served, fill, filled
from tests.chain.rig import Rig, a_node
from tests.cli.conftest import Cli, cli
from tests.cli.conftest import environment as clean
from tests.command import Running, environment, until
from tests.patience import HANGS_S
from tests.postgres import PostgresServer
from tests.runtime import FakeRuntime
from tidelog.api.http.backend import Backend
from tidelog.api.http.options import ApiOptions
from tidelog.api.server.serve import ApiServer, listening
from tidelog.runtime import SystemRuntime
from tidelog.store import open_store
from tidelog.telemetry import ApiMetrics

__all__ = ["clean", "cli"]  # fixtures

CROWD = 16  # requests at once


class Command:
    """`tidelog serve` in a process of its own; `address` is what it has printed."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tidelog", "serve", "--port", "0", *arguments],
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        said = self.process.stdout.readline()
        assert said.startswith("listening on http://127.0.0.1:"), said
        self.port = int(said.rsplit(":", 1)[1])

    def get(self, path: str, token: str | None = None) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=HANGS_S)
        connection.request("GET", path, headers={} if token is None else {"authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        body = json.loads(answer.read())
        connection.close()
        return answer.status, body

    def end(self, number: signal.Signals) -> tuple[int, str]:
        """The exit code, and what it logged."""
        self.process.send_signal(number)
        _, logged = self.process.communicate(timeout=HANGS_S)
        return self.process.returncode, logged


@pytest.fixture
def command(small: Filled) -> Iterator[Command]:
    made = Command("--db", small.url)
    try:
        yield made
    finally:
        made.process.kill()
        made.process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_prints_its_address_answers_and_ends_in_order(command: Command, number: signal.Signals) -> None:
    status, body = command.get(f"{CHAIN}/blocks/latest")
    assert (status, body["data"]["number"]) == (200, 41)
    idle = socket.create_connection(("127.0.0.1", command.port))  # a connection that asks nothing
    code, logged = command.end(number)
    idle.close()
    assert code == 0
    assert [json.loads(line)["event"] for line in logged.splitlines()] == ["api_listening", "api_stopped"]


def test_an_answer_is_sent_without_delay() -> None:
    """A head and a body are two writes: where the second waits for the first one's receipt, that takes 40 ms."""
    with listening(ApiOptions(port=0)) as made:
        assert made.proto == socket.IPPROTO_TCP  # what asyncio looks at


def test_serve_ends_in_time_with_requests_open(small: Filled) -> None:
    with Served(small.url, stop_s=1.0) as api:
        half = socket.create_connection((api.server.host, api.server.port))
        half.sendall(
            b"POST /v1/chains/1/logs HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
            b"content-length: 9\r\n\r\n{"
        )
        assert api.get("/v1/chains").status == 200
    with half:  # the server is gone, and so is the request that never came
        half.settimeout(HANGS_S)
        assert b" 200 " not in half.recv(100)


@pytest.mark.parametrize("tokens_s", [1e-9, 1e9])  # it is the guard that meets the store, or the route
def test_while_the_store_is_away_every_request_is_503_soon(postgres_server: PostgresServer, tokens_s: float) -> None:
    """One after the other they would wait until their requests time out, and be told that: 504."""
    # one after the other they would take CROWD * 5 s, beyond the time of a request
    patient = {"store_patience_s": 5.0, "request_timeout_s": 60.0}
    with postgres_server.database() as url, Served(filled(url).url, readers=1, tokens_s=tokens_s, **patient) as api:
        assert api.get("/v1/chains").status == 200
        postgres_server.stop()
        try:
            with ThreadPoolExecutor(CROWD) as pool:
                replies = list(pool.map(api.get, ["/v1/chains"] * CROWD))
        finally:
            postgres_server.start()
        assert {(reply.status, reply.headers["retry-after"]) for reply in replies} == {(503, "1")}
        assert {reply.error for reply in replies} == {"the store is not available now: try again"}
        until(lambda: api.get("/v1/chains").status == 200, "the store to be back")


def test_a_server_that_is_cancelled_is_gone(small: Filled) -> None:
    async def serve() -> None:
        store = await open_store(small.url, SystemRuntime(), readonly=True)
        server = ApiServer(Backend(store, SystemRuntime(), ApiOptions(port=0), (), ApiMetrics()))
        begun = asyncio.Event()
        running = asyncio.ensure_future(server.run(lambda url: begun.set()))
        await begun.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await store.close()
        with pytest.raises(OSError, match="refused"):
            socket.create_connection((server.host, server.port))

    asyncio.run(serve())


def test_tokens_are_made_listed_and_revoked_while_it_runs(tmp_path: Path, cli: Cli) -> None:
    db = f"sqlite:///{tmp_path}/tokens.db"
    cli("db", "migrate", "--db", db)
    command = Command("--db", db)
    try:
        assert command.get("/v1/chains")[0] == 200
        token = cli("token", "create", "me", "--scope", "read", "--expires", "30d", "--db", db).out.strip()
        assert token.startswith("tl_")
        until(lambda: command.get("/v1/chains")[0] == 401, "the server to ask for a token")
        assert command.get("/v1/chains", token)[0] == 200
        listed = json.loads(cli("token", "list", "--json", "--db", db).out)
        assert (listed["name"], listed["scopes"], listed["state"]) == ("me", ["read"], "valid")
        assert cli("token", "revoke", "me", "--db", db).out == "me is revoked\n"
        until(lambda: command.get("/v1/chains", token)[0] == 401, "the token to be given up")
        _, logged = command.end(signal.SIGTERM)
        assert token not in logged
    finally:
        command.process.kill()
        command.process.communicate()


@pytest.mark.parametrize(
    ("arguments", "warned"),
    [
        (("--host", "0.0.0.0"), ["no_token", "exposed"]),
        (("--host", "0.0.0.0", "--trusted-proxy", "10.0.0.1"), ["no_token"]),  # which has the TLS
        (("--host", "127.0.0.1"), []),
    ],
)
def test_an_exposed_server_warns_at_its_start(
    small: Filled, tmp_path: Path, arguments: tuple[str, ...], warned: list[str]
) -> None:
    with Running("serve", "--port", "0", "--db", small.url, *arguments, log=tmp_path / "log") as serving:
        serving.until(lambda: serving.events("api_listening"), "the server")
        told = [json.loads(line) for line in serving.text.splitlines() if line.startswith("{")]
        assert [each["event"] for each in told if each["level"] == "warning"] == warned
        for each in serving.events("exposed"):
            assert "everybody on the way can read tokens and answers: give --tls-cert" in each["reason"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("serve", "--db", "sqlite:///{path}/none.db"), "there is no such file"),
        (("serve", "--db", "{db}", "--host", "192.0.2.1"), "192.0.2.1:8420 cannot be listened on"),
        (("serve", "--db", "{db}", "--page-max", "0"), "give 1 or more"),
        (("serve", "--db", "{db}", "--journal", "kraken={path}/none"), "there is no such file"),
        (("serve", "--db", "{db}", "--cors", "*"), "give one such as https://app.example"),
        (("token", "create", "a b", "--scope", "read", "--db", "{db}"), "cannot be a token's name"),
        (("token", "create", "a", "--scope", "write", "--db", "{db}"), "write"),
        (("token", "create", "a", "--scope", "read", "--expires", "soon", "--db", "{db}"), "--expires 'soon'"),
        (("token", "revoke", "a", "--db", "{db}"), "no token 'a'"),
    ],
)
def test_mistakes_are_one_sentence(
    small: Filled, tmp_path: Path, cli: Cli, arguments: tuple[str, ...], said: str
) -> None:
    done = cli(*(each.format(path=tmp_path, db=small.url) for each in arguments))
    assert done.code == 2, done
    assert said in done.err
    assert len(done.err.splitlines()) == 1


def test_answers_are_whole_while_blocks_are_committed_and_replaced(url: str) -> None:
    """Each answer is of one commit: what it says of itself fits what it holds, and none fails."""
    node = a_node(30)
    failures: list[BaseException] = []
    done, looked = threading.Event(), threading.Semaphore(0)

    async def begin() -> None:
        store = await open_store(url, SystemRuntime())
        await fill(store, node)
        await store.close()

    async def write() -> None:
        store = await open_store(url, SystemRuntime())
        rig = Rig(store, node, FakeRuntime(), ("http://replica-0",))
        for turn in range(9):
            rig.tree.extend(8)
            if turn % 3 == 2:
                rig.tree.reorg(4, 6)
            await rig.once()
            looked.acquire(timeout=HANGS_S)  # however slow the reader is, it looks between commits
        await store.close()

    def writing() -> None:
        try:
            asyncio.run(write())
        except BaseException as error:
            failures.append(error)
        finally:
            done.set()

    asyncio.run(begin())
    writer = threading.Thread(target=writing)
    seen: set[int] = set()
    with Served(url) as api:
        writer.start()
        while not done.is_set():
            block = api.get(f"{CHAIN}/blocks/latest", transactions="full")
            told = block.data
            assert block.json["head"] == {"number": told["number"], "hash": told["hash"]}
            assert told["transaction_count"] == len(told["transactions"])
            assert told["log_count"] == sum(each["receipt"]["log_count"] for each in told["transactions"])
            page = api.get(f"{CHAIN}/blocks", limit=20)
            assert page.json["head"]["hash"] == page.data[0]["hash"]
            for child, parent in zip(page.data, page.data[1:], strict=False):
                assert child["parent_hash"] == parent["hash"]
            logs = api.post(f"{CHAIN}/logs", {"from_block": page.data[-1]["number"], "limit": 1_000})
            assert all(each["transaction_hash"] and each["block_hash"] for each in logs.data)
            seen.add(block.json["checkpoint"]["commit_seq"])
            looked.release()
        writer.join()
        assert failures == []
        assert api.get(f"{CHAIN}/blocks/latest").data["hash"] == "0x" + node.chain.head.hash.hex()
    assert len(seen) > 2  # it did read between commits
