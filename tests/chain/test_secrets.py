"""A canary key in every part of an endpoint's URL that can hold one, through failures of every kind.

The endpoint echoes its whole URL wherever it can. Afterwards the key is in no log, metric, exception, output,
and no column of the store.
"""

import asyncio
import io
import random
import sys
import traceback
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import apsw
import msgspec
import pytest
from prometheus_client import generate_latest

from tests.chain.rig import WatchedHttp, a_node, rig
from tests.runtime import FakeRuntime
from tests.sim.asking import FULL
from tidelog.chain.source import new_heads
from tidelog.chain.sync.monitoring.health import Limits, readiness
from tidelog.config import EndpointUrl
from tidelog.errors import SourceError, TidelogError
from tidelog.net.http import HttpResponse
from tidelog.net.status import StatusServer, ask
from tidelog.sim.node.answers import JSON_HEADERS
from tidelog.sim.node.lies import LIES
from tidelog.sim.node.node import SimNode
from tidelog.sim.node.server import NodeServer
from tidelog.telemetry import Readiness, configure_logs, merged, rendered

CANARIES = ("CANARY0user0aaaaaaaa", "CANARY0pass0bbbbbbbb", "CANARY0path0cccccccc", "CANARY0query0dddddddd")
URL = "http://{}:{}@replica-0/v2/{}?token={}&mode=fast".format(*CANARIES)


@pytest.fixture(autouse=True)
def logs() -> io.StringIO:
    stream = io.StringIO()
    configure_logs(stream=stream, level="debug")
    return stream


def assert_no_canary(*texts: object) -> None:
    for text in texts:
        assert "CANARY" not in str(text), str(text)[max(0, str(text).find("CANARY") - 200) :][:400]


def of_exception(error: BaseException) -> Iterator[str]:
    """All that a handler could print of an exception."""
    yield "".join(traceback.format_exception(error))
    seen: BaseException | None = error
    while seen is not None:
        yield f"{seen} {seen!r} {seen.args} {seen.__dict__}"
        seen = seen.__cause__ or seen.__context__


class Echoing(WatchedHttp):
    """Some answers are failures that quote the URL; whole blocks carry it in a field of the endpoint's own."""

    def __init__(self, node: SimNode, runtime: FakeRuntime, *, share: float) -> None:
        super().__init__(node, runtime)
        self.rng = random.Random(1)
        self.spoiled = 0
        self.share = share
        self.told: set[int] = set()

    @asynccontextmanager
    async def post(
        self, url: str, body: bytes, *, headers: Mapping[str, str], timeout_s: float
    ) -> AsyncIterator[HttpResponse]:
        async with super().post(url, body, headers=headers, timeout_s=timeout_s) as response:
            truth = b"".join([chunk async for chunk in response.chunks()])
        if self.rng.random() < self.share:
            status, text, extra = self.rng.choice(failures(url, body))
            self.told.add(status)
            yield Played(status, dict(JSON_HEADERS) | extra, text)
        else:
            answer = marked(truth, url)
            if self.rng.random() < self.share / 3:
                self.spoiled += 1
                field = self.rng.choice((b"stateRoot", b"gasUsed", b"nonce", b"transactionIndex"))
                echo = self.rng.choice((url, "0x" + url, url[-40:])).encode()
                answer = answer.replace(b'"%b":"' % field, b'"%b":"%b' % (field, echo))
            yield Played(response.status, response.headers, answer)


class Played:
    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status, self.headers, self._body = status, headers, body

    async def chunks(self) -> AsyncIterator[bytes]:
        yield self._body


def failures(url: str, body: bytes) -> list[tuple[int, bytes, dict[str, str]]]:
    calls = msgspec.json.decode(body)
    several = calls if isinstance(calls, list) else [calls]
    error = {"code": -32000, "message": f"no backend for {url}", "data": url}
    replies = [{"jsonrpc": "2.0", "id": call["id"], "error": error} for call in several]
    wrong = [{"jsonrpc": "2.0", "id": call["id"], "result": url} for call in several]
    return [
        (500, url.encode(), {}),
        (401, b'{"error":"bad key in %b"}' % url.encode(), {}),
        (307, b"", {"location": url}),
        (429, url.encode(), {"retry-after": url}),
        (413, url.encode(), {}),
        (200, f"<html>{url}</html>".encode(), {}),
        (201, url.encode() * 100, {}),
        (200, msgspec.json.encode(replies if isinstance(calls, list) else replies[0]), {}),
        (200, msgspec.json.encode(wrong if isinstance(calls, list) else wrong[0]), {}),
    ]


def marked(answer: bytes, url: str) -> bytes:
    """Every block, transaction and receipt with a field that says who served it."""

    def mark(value: Any) -> Any:
        if isinstance(value, list):
            return [mark(item) for item in value]
        if isinstance(value, dict):
            served = {"servedBy": url} if {"stateRoot", "gasUsed", "nonce"} & set(value) else {}
            return {name: mark(item) for name, item in value.items()} | served
        return value

    try:
        return msgspec.json.encode(mark(msgspec.json.decode(answer)))
    except msgspec.DecodeError:
        return answer


def stored_values(path: Path) -> Iterator[object]:
    connection = apsw.Connection(str(path))
    names = [row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    for name in names:
        for row in connection.execute(f'SELECT * FROM "{name}"'):
            yield from (value.decode("latin-1") if isinstance(value, bytes) else value for value in row)
    connection.close()


async def test_no_key_is_shown_by_failures_of_any_kind(tmp_path: Path, logs: io.StringIO) -> None:
    node = a_node(20, shape=FULL)
    async with rig(tmp_path, node, urls=[URL]) as r:
        echoing = Echoing(node, r.runtime, share=0.3)
        r.http = echoing
        await r.follow_script(lambda: r.tree.reorg(3), *[lambda: r.tree.extend(1)] * 15)
        assert len(echoing.told) >= 6, "every kind was told"
        assert echoing.spoiled > 3
        echoing.share = 0.0
        await r.once()
        await r.assert_equals_node()
        echoing.share = 1.0
        for _ in range(12):
            with pytest.raises(SourceError) as failure:
                await r.once(give_up_s=5.0)
            assert_no_canary(*of_exception(failure.value))
    assert "endpoint_failed" in logs.getvalue()
    assert "***" in logs.getvalue(), "something was redacted"
    assert_no_canary(logs.getvalue(), generate_latest(r.metrics.registry).decode())
    values = list(stored_values(tmp_path / "chain.db"))
    assert any("servedBy" in str(value) for value in values), "the fields are kept, without the key"
    assert_no_canary(*values)


@pytest.mark.parametrize("name", ["key_echoed", "redirect", "html_200", "id_wrong", "too_large", "throttle"])
async def test_no_key_is_shown_by_the_lies_of_a_node(tmp_path: Path, logs: io.StringIO, name: str) -> None:
    assert name in LIES
    async with rig(tmp_path, a_node(5), urls=[URL]) as r:
        r.node.tell(name)
        with pytest.raises(TidelogError) as failure:
            await r.once(give_up_s=5.0)
    assert_no_canary(logs.getvalue(), *of_exception(failure.value), generate_latest(r.metrics.registry).decode())


async def test_no_key_is_shown_by_a_status_server(tmp_path: Path) -> None:
    """Metrics and readiness of a sync whose endpoint says nothing but its own URL."""
    async with rig(tmp_path, a_node(5), urls=[URL]) as r:
        r.http = Echoing(r.node, r.runtime, share=1.0)
        run = r.sync(give_up_s=5.0)

        async def metrics() -> bytes:
            return rendered(r.metrics.registry)

        def ready() -> Readiness:
            return readiness(run.facts, Limits())

        async with StatusServer(f"unix:{tmp_path}/s.sock", metrics=metrics, ready=ready) as server:
            with pytest.raises(SourceError):
                await run.run()
            answers = [(await ask(server.address, path)).body.decode() for path in ("/metrics", "/readyz", "/livez")]
    assert 'endpoint="http://replica-0"' in answers[0]
    assert "tidelog_rpc_requests_total" in answers[0]
    merged_text = merged({"mainnet": answers[0].encode()}).decode()
    assert_no_canary(*answers, merged_text)


async def test_no_key_is_shown_by_the_command_line(tmp_path: Path) -> None:
    """Over a real socket: a sync that meets an echo and succeeds, and one that is refused."""
    node = a_node(5)

    printed = ""

    async def run(url: str) -> int | None:
        nonlocal printed
        db = f"sqlite:///{tmp_path}/chain.db"
        arguments = ("chain", "sync", "--rpc", url, "--db", db, "--log-level", "debug")
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", "from tidelog.cli import main; main()", *arguments, stdout=PIPE, stderr=STDOUT
        )
        output, _ = await process.communicate()
        printed += output.decode()
        return process.returncode

    async with NodeServer(node) as server:
        user = server.url("v2/{}?token={}".format(*CANARIES[2:])).replace("//", f"//{CANARIES[0]}:{CANARIES[1]}@")
        node.tell("key_echoed", times=1)
        assert await run(user) == 0
        node.tell("chain_id_wrong")
        assert await run(user) == 2
    assert "127.0.0.1" in printed
    assert_no_canary(printed, *stored_values(tmp_path / "chain.db"))


async def test_no_key_is_shown_by_the_subscription_of_new_heads(logs: io.StringIO) -> None:
    class Failing:
        async def connect(self, url: str, *, timeout_s: float) -> Any:
            assert CANARIES[2] in url
            raise SourceError(f"cannot reach {url}")

    url = EndpointUrl(URL.replace("http", "ws"), schemes=("ws",))
    runtime = FakeRuntime()
    task = asyncio.create_task(new_heads.HeadsWatcher(url, runtime, asyncio.Event(), Failing()).run())
    tried = asyncio.Event()
    runtime.on_sleep = lambda: tried.set() if runtime.sleeps > 5 else None
    await tried.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert "wakeup_lost" in logs.getvalue()
    assert_no_canary(logs.getvalue(), url, repr(url))
