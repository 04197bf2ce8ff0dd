"""One client that does its worst, and another one that asks its questions meanwhile: real processes, real sockets."""

import http.client
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.api.served import BLOCKS, CHAIN, filled, sqlite_url
from tests.command import Running, environment, tidelog, until
from tests.patience import HANGS_S
from tests.system.attacking import UNDER_WAY

ATTACKER, OTHER = "127.0.0.2", "127.0.0.3"
QUESTIONS = 400  # of one round: four of them are above its p99
ROUNDS = 8  # of each kind, at most: a machine that does other things has quiet moments too
SLOWER_MAX = 5.0  # times: other work on the machine may make it slower too


class Served:
    """`tidelog serve` in a process of its own, and two clients' tokens."""

    def __init__(self, folder: Path) -> None:
        self.url = filled(sqlite_url(folder)).url
        self.attacker, self.other = (
            tidelog("token", "create", name, "--scope", "read", "--db", self.url).out.strip()
            for name in ("attacker", "other")
        )
        self.server = Running(
            "serve", "--port", "0", "--db", self.url, "--request-timeout", str(HANGS_S), log=folder / "log"
        )
        self.server.until(lambda: self.server.events("api_listening"), "the server")
        self.port = int(self.server.events("api_listening")[0]["url"].rsplit(":", 1)[1])

    def connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=HANGS_S, source_address=(OTHER, 0))

    def round_s(self) -> list[float]:
        """How long each question took, of a client that has its own connection; all are answered."""
        spent, headers = [], {"authorization": f"Bearer {self.other}"}
        with closing(self.connection()) as connection:
            for number in range(QUESTIONS):
                began = time.perf_counter()
                connection.request("GET", f"{CHAIN}/blocks/{number % BLOCKS}", headers=headers)
                answer = connection.getresponse()
                answer.read()
                spent.append(time.perf_counter() - began)
                assert answer.status == 200
        return spent

    def lives(self) -> bool:
        """Whether `/livez` answers on a new connection."""
        with closing(self.connection()) as connection:
            connection.request("GET", "/livez")
            return connection.getresponse().status == 200


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    made = Served(tmp_path)
    try:
        yield made
    finally:
        made.server.kill9()


@contextmanager
def attack(served: Served, log: Path) -> Iterator[None]:
    """An attack that is under way: every limit that it can reach is reached."""
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.system.attacking", str(served.port), ATTACKER, served.attacker],
            env=environment(),
            stdout=output,
        )
    try:
        until(lambda: all(word in log.read_text() for word in UNDER_WAY), "the attack")
        assert process.poll() is None
        yield
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()


def p99(spent: list[float]) -> float:
    return sorted(spent)[int(0.99 * (len(spent) - 1))]


def test_one_client_s_attack_leaves_another_one_as_it_was(served: Served, tmp_path: Path) -> None:
    """Idle connections made `/livez` answer 503, one client could hold every stream, nothing slowed wrong tokens."""
    quiet, beside = [], []
    for number in range(ROUNDS):
        quiet.append(p99(served.round_s()))
        log = tmp_path / f"attack{number}"
        with attack(served, log):
            for _ in range(2):
                beside.append(p99(served.round_s()))
                assert served.lives()
        if min(beside) <= SLOWER_MAX * min(quiet):
            break
    answers = json.loads(log.read_text().splitlines()[-1])
    assert min(beside) <= SLOWER_MAX * min(quiet), (quiet, beside, answers)
    assert answers["stream 200"] <= 64
    assert answers["wrong token 401"] > 0
    assert not [kind for kind in answers if kind.endswith(" 500")], answers
    assert served.server.events("request_failed") == []
    assert served.server.interrupt() == 0
