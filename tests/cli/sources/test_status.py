"""`--status` of the commands that run for long: what a process shows while it runs, and that it goes with it."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from tests.cli.conftest import BLOCKS, Cli
from tests.command import Running
from tests.patience import HANGS_S
from tests.simulated import Simulated
from tidelog.cli.sources.status import SIZE_S, StoreSize, status_served
from tidelog.errors import Busy, Corruption, Unreachable
from tidelog.net.status import Answer, ask
from tidelog.telemetry import ChainMetrics, Readiness


def get(socket: Path, path: str) -> Answer | None:
    """None while nobody answers."""
    try:
        return asyncio.run(ask(f"unix:{socket}", path, timeout_s=HANGS_S))
    except Unreachable:
        return None


def test_a_sync_shows_its_status_while_it_runs(node: Simulated, tmp_path: Path) -> None:
    socket, db = tmp_path / "s.sock", f"sqlite:///{tmp_path}/chain.db"
    arguments = ("chain", "sync", "--rpc", node.url, "--db", db, "--follow", "--status", f"unix:{socket}")
    with Running(*arguments, log=tmp_path / "log") as run:
        run.until(lambda: (answer := get(socket, "/readyz")) is not None and answer.status == 200, "readiness")
        metrics = get(socket, "/metrics")
        assert metrics is not None
        assert f'tidelog_chain_indexed_block{{chain="1337"}} {BLOCKS:.1f}' in metrics.body.decode()
        assert "tidelog_store_size_bytes" in metrics.body.decode()
        run.interrupt()
    assert run.events("status_listening")[0]["address"] == f"unix:{socket}"
    assert not socket.exists()


def test_a_recording_that_is_not_connected_says_why(tmp_path: Path) -> None:
    socket = tmp_path / "s.sock"
    arguments = ("market", "record", "--symbols", "BTC/USD", "--url", "ws://127.0.0.1:1", "--journal", f"{tmp_path}/j")
    with Running(*arguments, "--status", f"unix:{socket}", log=tmp_path / "log") as run:
        answer = run.until(lambda: get(socket, "/readyz"), "an answer")
        assert answer is not None
        readiness = msgspec.json.decode(answer.body, type=Readiness)
        assert answer.status == 503
        assert "and not live" in readiness.reasons[0]
        assert readiness.reasons[1] == "0 of 2 subscriptions are acknowledged"


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("0.0.0.0:9464", "not of this machine alone"),
        ("9464", "write 127.0.0.1:PORT or unix:PATH"),
        ("unix:/nowhere/at/all/s.sock", "No such file or directory"),
    ],
)
def test_a_status_address_that_cannot_be_is_one_sentence(
    cli: Cli, node: Simulated, tmp_path: Path, address: str, said: str
) -> None:
    done = cli("chain", "sync", "--rpc", node.url, "--db", f"sqlite:///{tmp_path}/c.db", "--status", address)
    assert done.code == 2
    assert said in done.err
    assert "Traceback" not in done.err


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


class Sized:
    def __init__(self) -> None:
        self.size_bytes = 0
        self.away = False

    async def info(self) -> "Sized":
        if self.away:
            raise Busy("the server is away")
        return self


async def test_the_size_of_the_store_is_looked_at_now_and_then() -> None:
    metrics, clock, store = ChainMetrics(), Clock(), Sized()
    sized: list[Sized] = []
    size = StoreSize(metrics.store_size, clock, lambda: sized[0] if sized else None)  # type: ignore[arg-type, return-value]
    seen = []
    for seconds, size_bytes in ((0, 10), (0, 10), (1, 20), (SIZE_S, 30), (SIZE_S, 40)):
        clock.now += seconds
        store.size_bytes = size_bytes
        store.away = size_bytes == 40
        await size.refresh()
        seen.append(metrics.registry.get_sample_value("tidelog_store_size_bytes"))
        sized[:] = [store]
    assert seen == [0, 10, 10, 30, 30]


class Failing:
    def __init__(self, error: Exception | None) -> None:
        self.error = error

    async def info(self) -> Sized:
        if self.error is None:
            await asyncio.Event().wait()
        assert self.error is not None
        raise self.error


@pytest.mark.parametrize("error", [Busy("the server is away"), Corruption("the file is damaged"), None])
async def test_the_other_metrics_are_there_whatever_a_store_does(error: Exception | None, tmp_path: Path) -> None:
    metrics, address, store = ChainMetrics(), f"unix:{tmp_path}/s.sock", Failing(error)
    size = StoreSize(metrics.store_size, Clock(), lambda: store, look_s=0.05)  # type: ignore[arg-type, return-value]
    async with status_served(address, metrics.registry, lambda: Readiness.of([]), size):
        answer = await ask(address, "/metrics", timeout_s=HANGS_S)
    assert answer.status == 200
    assert b"tidelog_chain_head_block" in answer.body
