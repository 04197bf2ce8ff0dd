"""The status server over real sockets: what it answers, where it listens, who may; and how it is read."""

import asyncio
import os
import socket
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import aiohttp
import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.patience import HANGS_S
from tidelog.errors import ConfigError, TooLarge, Unreachable
from tidelog.net import status
from tidelog.net.status import StatusServer, TcpAddress, UnixAddress, parse_address
from tidelog.telemetry import ChainMetrics, Readiness, rendered

ask, scrape = partial(status.ask, timeout_s=HANGS_S), partial(status.scrape, timeout_s=HANGS_S)
TEXT = b"# TYPE a gauge\na 1\n"


class Process:
    """What a server shows, for a test to change."""

    def __init__(self) -> None:
        self.readiness = Readiness(True)
        self.text = TEXT
        self.let_go = asyncio.Event()
        self.let_go.set()

    async def metrics(self) -> bytes:
        await self.let_go.wait()
        return self.text

    def server(self, address: str, metrics_s: float = HANGS_S) -> StatusServer:
        return StatusServer(address, metrics=self.metrics, ready=lambda: self.readiness, metrics_s=metrics_s)


@asynccontextmanager
async def served(address: str = "127.0.0.1:0", metrics_s: float = HANGS_S) -> AsyncIterator[tuple[Process, str]]:
    process = Process()
    async with process.server(address, metrics_s) as server:
        yield process, server.address


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("127.0.0.1:9464", TcpAddress("127.0.0.1", 9464)),
        ("127.1.2.3:0", TcpAddress("127.1.2.3", 0)),
        ("localhost:1", TcpAddress("localhost", 1)),
        ("[::1]:9464", TcpAddress("::1", 9464)),
        ("unix:/run/tidelog/chain.sock", UnixAddress("/run/tidelog/chain.sock")),
        ("unix:here.sock", UnixAddress("here.sock")),
        ("127.0.0.1", "is none: write 127.0.0.1:PORT or unix:PATH"),
        (":9464", "is none"),
        ("127.0.0.1:65536", "is none"),
        ("127.0.0.1:-1", "is none"),
        ("127.0.0.1:٣", "is none"),
        ("", "is none"),
        ("0.0.0.0:9464", "not of this machine alone"),
        ("192.0.2.1:9464", "not of this machine alone"),
        ("[::]:9464", "not of this machine alone"),
        ("example.com:9464", "not of this machine alone"),
        ("unix:", "needs a path"),
        ("unix:" + "x" * 108, "needs a path of 1 to 107 bytes"),
        ("unix:a\0b", "needs a path"),
    ],
)
def test_status_addresses_are_parsed_or_refused(text: str, parsed: TcpAddress | UnixAddress | str) -> None:
    if not isinstance(parsed, str):
        assert parse_address(text) == parsed
        return
    with pytest.raises(ConfigError, match=parsed):
        parse_address(text)


@pytest.mark.parametrize("kind", ["tcp", "unix"])
async def test_status_server_shows_metrics_liveness_and_readiness(kind: str, tmp_path: Path) -> None:
    async with served("127.0.0.1:0" if kind == "tcp" else f"unix:{tmp_path}/s.sock") as (process, address):
        assert await scrape(address) == TEXT
        assert await ask(address, "/livez") == (200, b'{"live":true}\n')
        assert await ask(address, "/readyz") == (200, b'{"ready":true,"reasons":[],"notes":[]}\n')
        process.readiness = Readiness(False, ("chain 1: 77 blocks behind", "and more"))
        status_code, body = await ask(address, "/readyz")
        assert (status_code, msgspec.json.decode(body, type=Readiness)) == (503, process.readiness)
        assert (await ask(address, "/nothing")).status == 404


@pytest.mark.parametrize(
    ("host", "answer"),
    [
        *(("localhost", 200), ("LocalHost:80", 200), ("127.0.0.1:9464", 200), ("[::1]:9464", 200)),
        *(("evil.example:9464", 403), ("127.0.0.1.evil.example", 403), ("10.0.0.1", 403)),
    ],
)
async def test_a_page_of_another_name_reads_nothing(host: str, answer: int) -> None:
    async with served() as (_, address), aiohttp.ClientSession(headers={"host": host}) as session:
        for path in ("/metrics", "/livez", "/readyz"):
            async with session.get(f"http://{address}{path}") as reply:
                assert reply.status == answer


async def test_the_content_type_is_prometheus_own() -> None:
    async with served() as (_, address), aiohttp.ClientSession() as session:
        async with session.get(f"http://{address}/metrics") as response:
            assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        async with session.post(f"http://{address}/metrics", data=b"x" * 100) as response:
            assert response.status == 405
        async with session.get(f"http://{address}/livez", headers={"x": "y" * 10_000}) as response:
            assert response.status == 400


async def test_rendered_registry_can_be_parsed() -> None:
    metrics = ChainMetrics()
    metrics.head.labels(1).set(17)
    async with served() as (process, address):
        process.text = rendered(metrics.registry)
        families = {family.name: family for family in text_string_to_metric_families((await scrape(address)).decode())}
    assert families["tidelog_chain_head_block"].samples[0].value == 17
    assert not [name for name in families if name.endswith("_created")]


async def test_a_unix_socket_is_for_its_owner_and_goes_with_the_server(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    async with served(f"unix:{path}"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not path.exists()


async def test_a_socket_that_a_dead_process_left_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    async with served(f"unix:{path}") as (_, address):
        assert await scrape(address) == TEXT


async def test_address_in_use_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    async with served(f"unix:{path}") as (process, address):
        with pytest.raises(ConfigError, match="in use by a process that runs"):
            await process.server(address).start()
        assert await scrape(address) == TEXT
    async with served() as (process, address):
        with pytest.raises(ConfigError, match="another process listens there"):
            await process.server(address).start()
    path.write_text("somebody's file")
    with pytest.raises(ConfigError, match="is no socket"):
        await Process().server(f"unix:{path}").start()
    assert path.read_text() == "somebody's file"
    with pytest.raises(ConfigError, match="No such file or directory"):
        await Process().server(f"unix:{tmp_path}/nowhere/s.sock").start()


async def test_closing_does_not_remove_the_socket_of_a_successor(tmp_path: Path) -> None:
    path, process = tmp_path / "s.sock", Process()
    first = process.server(f"unix:{path}")
    await first.start()
    os.unlink(path)
    async with served(f"unix:{path}") as (_, address):
        await first.close()
        assert await scrape(address) == TEXT


async def test_metrics_that_take_too_long_are_an_error_and_no_hang() -> None:
    async with served(metrics_s=0.05) as (process, address):
        process.let_go.clear()
        assert (await ask(address, "/metrics")).status == 503
        assert (await ask(address, "/livez")).status == 200
        process.let_go.set()
        async with asyncio.timeout(HANGS_S):
            while (answer := await ask(address, "/metrics")).status == 503:  # the machine may let the time pass too
                pass
        assert (answer.status, answer.body) == (200, TEXT)


async def test_a_scrape_has_limits(tmp_path: Path) -> None:
    async with served(f"unix:{tmp_path}/s.sock") as (process, address):
        process.text = b"x" * 1_000
        with pytest.raises(TooLarge, match="more than 999 bytes"):
            await scrape(address, bytes_max=999)
        assert len(await scrape(address, bytes_max=1_000)) == 1_000
        process.let_go.clear()
        with pytest.raises(Unreachable, match=r"no answer within 0\.05 s"):
            await scrape(address, timeout_s=0.05)
        process.readiness = Readiness(False, ("not yet",))
        with pytest.raises(Unreachable, match="HTTP 503"):
            await scrape(address, "/readyz")
        process.let_go.set()
    with pytest.raises(Unreachable, match="no answer"):
        await scrape(address)
    with pytest.raises(Unreachable, match="no answer"):
        await scrape("127.0.0.1:1")
