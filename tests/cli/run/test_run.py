"""`tidelog run` with everything: a chain, an exchange and the API, through kill -9 of each, new files and signals."""

import json
import os
import signal
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.command import Running, tidelog, until
from tests.patience import HANGS_S
from tests.ports import reserved_port
from tests.simulated import Simulated
from tests.system.test_market_kill import Exchange
from tidelog.sim.node.chain.tree import BlockTree

CANARY = "canary0123456789"
SECRET = "c2VjcmV0Y2FuYXJ5"  # base64, as an exchange's is
KEYS = {"NODE_KEY": CANARY, "EXCHANGE_SECRET": SECRET}
STRAY = "straycanary"  # of the environment, and nothing of ours
NAMES = ("sim", "kraken", "api")
READY = [["supervisor", "ready"], ["sim", "ready"], ["kraken", "ready"]]


class System:
    """One file, and the `tidelog run` of it that is up."""

    def __init__(self, folder: Path, node: Simulated, exchange: Exchange) -> None:
        self.folder = folder
        self.file = folder / "tidelog.toml"
        self.node = node
        self.port = reserved_port()
        self.text = f"""
[[chain]]
name = "sim"
rpc = ["{node.path("v2/${NODE_KEY}")}"]
jobs = 0
poll = "100ms"
[[market]]
name = "kraken"
symbols = ["BTC/USD"]
url = "{exchange.url}"
key = "k"
secret = "${{EXCHANGE_SECRET}}"
[api]
port = {self.port}
[run]
stop_timeout = "200s"
"""
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.manager.bind(str(folder / "notify"))
        self._heard: list[str] = []  # by systemd
        self._hearing = threading.Thread(target=self._hear, daemon=True)
        self._hearing.start()
        self.run: Running | None = None

    def write(self, text: str) -> None:
        self.file.write_text(text)
        self.file.chmod(0o600)

    def up(self) -> Running:
        """Have it run, and ready."""
        if self.run is None or self.run.process.poll() is not None:
            self.write(self.text)
            environ = {
                "NOTIFY_SOCKET": str(self.folder / "notify"),
                "WATCHDOG_USEC": "200000",
                "SOMEBODY_S_TOKEN": STRAY,
                **KEYS,
            }
            self.run = Running("run", "-c", str(self.file), log=self.folder / "log", env=environ)
        self.run.until(self.ready, "readiness")
        return self.run

    def ask(self, name: str, path: str) -> tuple[int, bytes] | None:
        """What the status server of a process answers, if there is one."""
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(HANGS_S)
                connection.connect(f"{self.folder}/run/{name}.sock")
                connection.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
                answer = b"".join(iter(lambda: connection.recv(65_536), b""))
        except OSError:
            return None
        head, _, body = answer.partition(b"\r\n\r\n")
        return (int(head.split()[1]), body) if head else None

    def api(self, path: str) -> tuple[int, bytes]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=HANGS_S) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def metrics(self, name: str) -> str:
        answer = until(lambda: self.ask(name, "/metrics"), f"metrics of {name}")
        assert answer is not None
        return answer[1].decode()

    def has(self, samples: list[str]) -> str | None:
        """The API's metrics, if all of these are among them."""
        text = self.api("/metrics")[1].decode()
        return text if all(sample in text for sample in samples) else None

    def status(self) -> tuple[int, list[list[str]]]:
        """What `tidelog status` says."""
        done = tidelog("status", "-c", str(self.file), env=KEYS)
        return done.code, [line.split() for line in done.out.splitlines()]

    def ready(self) -> bool:
        answer = self.ask("supervisor", "/readyz")
        return answer is not None and answer[0] == 200

    def pid(self, name: str) -> int:
        return int((self.folder / "run" / f"{name}.lock").read_text() or 0)

    def pids(self) -> dict[str, int]:
        return {name: self.pid(name) for name in NAMES}

    def caught_up(self) -> bool:
        """Whether the API has the chain's head."""
        status, body = self.api("/v1/chains")
        heads = (
            [chain["head"]["number"] for chain in json.loads(body)["data"] if chain["head"]] if status == 200 else []
        )
        return heads == [self.node.do(lambda: self.node.tree.head.number)]

    def reload(self, text: str) -> None:
        """A new file, and word of it."""
        assert self.run is not None
        self.write(text)
        before = len(self.run.events("reloaded")) + len(self.run.events("reload_refused"))
        self.run.process.send_signal(signal.SIGHUP)
        self.run.until(
            lambda: len(self.events("reloaded")) + len(self.events("reload_refused")) > before, "the file to be read"
        )

    def events(self, name: str) -> list[dict[str, Any]]:
        assert self.run is not None
        return self.run.events(name)

    def _hear(self) -> None:
        """Take all that comes, as systemd does: what a socket has no room for is lost, and the watchdog's fill it."""
        while text := self.manager.recv(4096).decode():
            self._heard.append(text.splitlines()[0])

    def heard(self, *messages: str) -> None:
        """Wait until systemd has heard these since the last `forget`."""
        until(lambda: set(messages) <= set(self._heard), f"systemd to hear {messages}")

    def forget(self) -> None:
        self._heard = []

    def close(self) -> None:
        self.manager.shutdown(socket.SHUT_RD)
        self._hearing.join(HANGS_S)
        self.manager.close()


@pytest.fixture(scope="module")
def shared_system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with Simulated(BlockTree(seed=11, blocks=60)) as node, Exchange(5) as exchange:
        system = System(tmp_path_factory.mktemp("run"), node, exchange)
        try:
            yield system
        finally:
            if system.run is not None:
                system.run.kill9()
            until(lambda: not any(map(alive, system.pids().values())), "the end of its processes")
            system.close()


@pytest.fixture
def system(shared_system: System) -> System:
    """It is up and ready, with its first file."""
    shared_system.up()
    return shared_system


def alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def test_everything_runs_and_is_told_to_systemd(system: System) -> None:
    until(system.caught_up, "the head in the API")
    system.heard("READY=1", "WATCHDOG=1")
    text = system.metrics("supervisor")
    for name in NAMES:
        assert f'tidelog_run_up{{source="{name}"}} 1.0' in text
        assert f'tidelog_run_restarts_total{{source="{name}"}} 0.0' in text


def test_the_api_shows_all_processes(system: System) -> None:
    until(lambda: system.api("/readyz") == (200, b'{"ready":true,"reasons":[],"notes":[]}'), "the API's readiness")
    # each of them has seconds to answer, which it may need: then it is told as one that does not
    up = [f'tidelog_up{{process="{process}"}} 1' for process in ("supervisor", *NAMES)]
    text = until(lambda: system.has(up), "all processes in the API's metrics") or ""
    until(lambda: system.status() == (0, READY), "the status of all to be ready")
    for sample in (
        'tidelog_chain_indexed_block{process="sim",chain="1337"}',
        'tidelog_run_up{process="supervisor",source="sim"} 1.0',
    ):
        assert sample in text


def test_no_secret_is_on_a_command_line_or_in_a_log(system: System) -> None:
    run = system.up()
    for pid in (run.process.pid, *system.pids().values()):
        assert CANARY not in " ".join(psutil.Process(pid).cmdline())
    assert CANARY not in run.text
    assert SECRET not in run.text
    assert {event["process"] for event in run.events("status_listening")} >= {"supervisor", "sim", "kraken"}


def test_no_process_has_a_secret_in_its_environment_or_what_is_not_for_it(system: System) -> None:
    """Who takes the API over, which strangers talk to, has what it has: not the exchange's secret."""
    system.up()
    for name, pid in system.pids().items():
        process = psutil.Process(pid)
        for each in (process, *process.children(recursive=True)):
            environment = Path(f"/proc/{each.pid}/environ").read_bytes().decode()
            assert "PATH=" in environment, name
            assert not [word for word in (CANARY, SECRET, STRAY, "NOTIFY_SOCKET") if word in environment], name


def test_a_second_one_on_the_same_file_is_refused(system: System) -> None:
    run = system.up()
    done = tidelog("run", "-c", str(system.file), env=KEYS)
    assert (done.code, done.err.count("tidelog: ")) == (2, 1)
    assert f"process {run.process.pid} runs with {system.folder}/run already" in done.err
    run.until(system.ready, "the first one to be ready still")


def test_a_killed_process_is_restarted(system: System) -> None:
    run = system.up()
    before = system.pids()
    for pid in before.values():
        os.kill(pid, signal.SIGKILL)
    system.node.do(lambda: system.node.tree.extend(3))
    run.until(lambda: all(system.pid(name) != before[name] for name in NAMES), "new processes")
    run.until(system.ready, "readiness")
    until(system.caught_up, "the head in the API")
    text = system.metrics("supervisor")
    for name in NAMES:
        assert f'tidelog_run_last_exit_code{{source="{name}"}} -9.0' in text
    assert {event["reason"] for event in run.events("child_restarts")} == {"it ended with SIGKILL"}


def test_a_bad_file_changes_nothing(system: System) -> None:
    before = system.pids()
    for text in ("nonsense", system.text.replace("poll", "pol"), system.text.replace("${NODE_KEY}", "${NOT_SET}")):
        system.reload(text)
    refused = [event["reason"] for event in system.events("reload_refused")]
    for words in ("this is no TOML", "did you mean poll?", "NOT_SET is not set"):
        assert any(words in reason for reason in refused)
    until(system.ready, "all to be ready still")
    assert system.pids() == before
    os.kill(before["sim"], signal.SIGKILL)  # and who starts anew gets the file that was accepted
    until(lambda: system.pid("sim") != before["sim"] and system.ready(), "the chain")
    system.reload(system.text)


def test_a_new_file_touches_what_it_changes_and_nothing_else(system: System) -> None:
    run, before = system.up(), system.pids()
    system.forget()
    changed = system.text.replace("jobs = 0", f'jobs = 0\nanchor = "0x{"1" * 64}"') + '[logs]\nlevel = "debug"\n'
    system.reload(changed)
    answer = until(lambda: refusal(system), "the refusal of the anchor")
    assert "sim stays down: it cannot do what it is asked to: " in answer
    assert "is not the hash of the store's first" in answer
    until(lambda: any(e["process"] == "kraken" for e in run.events("log_level")), "another level of the logs")
    system.heard("RELOADING=1")
    assert {name: system.pid(name) for name in ("kraken", "api")} == {name: before[name] for name in ("kraken", "api")}
    system.reload(system.text)
    run.until(system.ready, "readiness")
    assert system.pid("sim") != before["sim"]
    assert {name: system.pid(name) for name in ("kraken", "api")} == {name: before[name] for name in ("kraken", "api")}


def test_a_symbol_that_is_added_costs_the_others_nothing(system: System) -> None:
    run, before = system.up(), system.pids()
    connected = len([event for event in system.events("connected") if event["process"] == "kraken"])
    system.reload(system.text.replace('symbols = ["BTC/USD"]', 'symbols = ["BTC/USD", "eth-usd"]'))
    assert system.events("reloaded")[-1]["told"] == ["kraken"]
    run.until(lambda: "ETH/USD" in system.metrics("kraken"), "the book of the new symbol")
    run.until(lambda: b'"ETH/USD"' in system.api("/v1/markets")[1], "the new symbol in the store")
    changed = system.events("symbols_changed")[-1]
    assert (changed["come"], changed["gone"]) == (["ETH/USD"], [])
    system.reload(system.text)
    run.until(lambda: system.events("symbols_changed")[-1]["gone"] == ["ETH/USD"], "the old symbols")
    assert system.pids() == before
    assert len([event for event in system.events("connected") if event["process"] == "kraken"]) == connected
    run.until(system.ready, "readiness")


def refusal(system: System) -> str:
    answer = system.ask("supervisor", "/readyz")
    return answer[1].decode() if answer is not None and b"stays down" in answer[1] else ""


def test_another_takes_over_when_the_supervisor_is_killed(system: System) -> None:
    run, before = system.up(), system.pids()
    run.kill9()
    system.up()
    until(lambda: not any(map(alive, before.values())), "the end of those before")
    assert {event["process"] for event in system.events("supervisor_gone")} == set(NAMES)
    assert "crashed" not in {event["event"] for event in map(json.loads, lines(system)) if "event" in event}
    assert not set(before.values()) & set(system.pids().values())
    system.node.do(lambda: system.node.tree.extend(2))
    until(system.caught_up, "the head in the API")


def lines(system: System) -> list[str]:
    assert system.run is not None
    return [line for line in system.run.text.splitlines() if line.startswith("{")]


def test_sigterm_ends_everything_in_order(system: System) -> None:
    run, before = system.up(), system.pids()
    system.forget()
    run.process.send_signal(signal.SIGTERM)
    assert run.wait() == 0
    assert not any(map(alive, before.values()))
    system.heard("STOPPING=1")
    assert [event["child"] for event in run.events("child_ended")][-3:][0] == "api"
    assert (len(run.events("run_stopped")), run.events("child_killed")) == (1, [])
    assert not list((system.folder / "run").glob("*.sock"))


def test_a_hanging_process_is_killed_after_the_stop_timeout(tmp_path: Path) -> None:
    file, lock = tmp_path / "tidelog.toml", tmp_path / "run" / "sim.lock"
    with Simulated(BlockTree(seed=11, blocks=3)) as node:
        file.write_text(
            f'[[chain]]\nname = "sim"\nrpc = ["{node.url}"]\njobs = 0\n'
            '[api]\nenabled = false\n[run]\nstop_timeout = "1500ms"\n'
        )
        with Running("run", "-c", str(file), log=tmp_path / "log") as run:
            run.until(lambda: lock.exists() and lock.read_text(), "the process")
            pid = int(lock.read_text())
            os.kill(pid, signal.SIGSTOP)
            run.process.send_signal(signal.SIGTERM)
            assert run.wait() == 0
            assert not alive(pid)
            assert [event["child"] for event in run.events("child_killed")] == ["sim"]
